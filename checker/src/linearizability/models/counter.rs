//! A number that is added to.

use super::{Model, ModelOp, unknown};

/// `add n` and `read`; a read's answer is exact.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counter;

impl Model for Counter {
    /// Wide enough for every sum of as many operations as a history can hold.
    type State = i128;

    fn step(&self, count: &i128, op: &ModelOp<'_>, next: &mut Vec<i128>) {
        next.extend(match (op.f, op.value.as_int()) {
            ("add", Some(delta)) => Some(count + i128::from(delta)),
            ("read", answer) if !op.is_ok || answer.map(i128::from) == Some(*count) => Some(*count),
            _ => None,
        });
    }

    fn is_read(&self, op: &ModelOp<'_>) -> bool {
        op.f == "read"
    }

    fn state_in_words(&self, count: &i128) -> String {
        count.to_string()
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        match op.f {
            "add" if op.value.as_int().is_some() => None,
            "read" if !op.is_ok || op.value.as_int().is_some() => None,
            "add" | "read" => Some("the value must be an integer".into()),
            _ => unknown(op, "add and read"),
        }
    }
}
