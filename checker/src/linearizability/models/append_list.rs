//! A list that is only appended to, and read as a whole.

use super::{Model, ModelOp, bytes_of, list, list_in_words, text, unknown};

/// `append v` and `read`, whose answer is the list of all values so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct AppendList;

impl Model for AppendList {
    type State = Vec<String>;

    fn step(&self, values: &Vec<String>, op: &ModelOp<'_>, next: &mut Vec<Vec<String>>) {
        self.step_by_apply(values, op, next);
    }

    fn apply(&self, values: &mut Vec<String>, op: &ModelOp<'_>) -> Option<bool> {
        if op.f == "append" {
            values.push(text(op.value));
            return Some(true);
        }
        Some(!op.is_ok || list(op.value).is_some_and(|answer| answer == *values))
    }

    fn is_read(&self, op: &ModelOp<'_>) -> bool {
        op.f == "read"
    }

    /// A read concerns what it holds: without the rest it still holds all that there is.
    fn concerns(&self, op: &ModelOp<'_>) -> Option<Vec<String>> {
        if op.f == "append" { Some(vec![text(op.value)]) } else { list(op.value) }
    }

    fn state_in_words(&self, state: &Self::State) -> String {
        list_in_words(state)
    }

    fn heap_bytes(&self, values: &Vec<String>) -> usize {
        bytes_of(values)
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        match op.f {
            "append" => None,
            "read" if !op.is_ok || list(op.value).is_some() => None,
            "read" => Some("the answer must be a list, or nil for the empty one".into()),
            _ => unknown(op, "append and read"),
        }
    }
}
