//! A lock that one holds at a time, whoever it is: Knossos' mutex.

use super::{Model, ModelOp, unknown};

/// `acquire` is possible while it is free, `release` while it is held.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mutex;

impl Model for Mutex {
    /// It is held.
    type State = bool;

    fn step(&self, held: &bool, op: &ModelOp<'_>, next: &mut Vec<bool>) {
        let acquires = op.f == "acquire";
        if *held != acquires {
            next.push(acquires);
        }
    }

    fn state_in_words(&self, held: &bool) -> String {
        if *held { "held" } else { "free" }.into()
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        if matches!(op.f, "acquire" | "release") { None } else { unknown(op, "acquire and release") }
    }
}
