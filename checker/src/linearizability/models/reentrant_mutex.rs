//! A lock that its holder may take again, and must release as often.

use super::{Model, ModelOp, text, unknown};
use crate::history::Value;

/// `acquire` and `release`. Who does it is told by the value, and by the process where the value is nil.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReentrantMutex;

impl Model for ReentrantMutex {
    /// Who holds it, and how often.
    type State = Option<(String, u32)>;

    fn step(&self, state: &Self::State, op: &ModelOp<'_>, next: &mut Vec<Self::State>) {
        let who = if *op.value == Value::Nil { format!("process {}", op.process) } else { text(op.value) };
        next.extend(match (op.f, state) {
            ("acquire", None) => Some(Some((who, 1))),
            ("acquire", Some((holder, times))) if *holder == who => Some(Some((who, times + 1))),
            ("release", Some((holder, 1))) if *holder == who => Some(None),
            ("release", Some((holder, times))) if *holder == who => Some(Some((who, times - 1))),
            // Held by another, or by nobody.
            _ => None,
        });
    }

    fn is_about_processes(&self) -> bool {
        true
    }

    fn state_in_words(&self, state: &Self::State) -> String {
        match state {
            None => "free".into(),
            Some((holder, times)) => format!("held by {holder}, {times} times"),
        }
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        if matches!(op.f, "acquire" | "release") { None } else { unknown(op, "acquire and release") }
    }
}
