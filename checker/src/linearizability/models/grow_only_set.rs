//! A set that is only added to, and read as a whole.

use std::collections::BTreeSet;

use super::{Model, ModelOp, bytes_of, list, list_in_words, text, unknown};

/// `add v` and `read`, whose answer is all elements so far, in any order.
#[derive(Debug, Clone, Copy, Default)]
pub struct GrowOnlySet;

impl Model for GrowOnlySet {
    type State = BTreeSet<String>;

    fn step(&self, elements: &BTreeSet<String>, op: &ModelOp<'_>, next: &mut Vec<BTreeSet<String>>) {
        self.step_by_apply(elements, op, next);
    }

    fn apply(&self, elements: &mut BTreeSet<String>, op: &ModelOp<'_>) -> Option<bool> {
        if op.f == "add" {
            elements.insert(text(op.value));
            return Some(true);
        }
        Some(!op.is_ok || list(op.value).is_some_and(|answer| BTreeSet::from_iter(answer) == *elements))
    }

    fn is_read(&self, op: &ModelOp<'_>) -> bool {
        op.f == "read"
    }

    /// A read concerns what it holds: without the rest it still holds all that there is.
    fn concerns(&self, op: &ModelOp<'_>) -> Option<Vec<String>> {
        if op.f == "add" { Some(vec![text(op.value)]) } else { list(op.value) }
    }

    fn state_in_words(&self, state: &Self::State) -> String {
        list_in_words(state)
    }

    fn heap_bytes(&self, elements: &BTreeSet<String>) -> usize {
        bytes_of(elements)
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        match op.f {
            "add" => None,
            "read" if !op.is_ok || list(op.value).is_some() => None,
            "read" => Some("the answer must be a list of the elements, or nil for none".into()),
            _ => unknown(op, "add and read"),
        }
    }
}
