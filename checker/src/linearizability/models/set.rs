//! A set of elements that come and go.

use std::collections::BTreeSet;

use super::{Model, ModelOp, bytes_of, list, list_in_words, text, unknown};

/// `add v`, `remove v` and `contains v`, answered with `v` alone or with `[v true]`, `[v false]`: whether that changed the
/// set, and whether it is there; and `read`, whose answer is all elements, in any order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Set;

/// The element, and whether it changed or is there if that was answered.
fn element(op: &ModelOp<'_>) -> (String, Option<bool>) {
    if let serde_json::Value::Array(parts) = op.value.to_json()
        && let [element, serde_json::Value::Bool(answer)] = &parts[..]
    {
        return (element.to_string(), op.is_ok.then_some(*answer));
    }
    (text(op.value), None)
}

fn complaint(op: &ModelOp<'_>) -> Option<String> {
    match op.f {
        "add" | "remove" => None,
        "contains" if !op.is_ok || element(op).1.is_some() => None,
        "contains" => Some("the answer must be [v true] or [v false]".into()),
        "read" if !op.is_ok || list(op.value).is_some() => None,
        "read" => Some("the answer must be a list of the elements, or nil for none".into()),
        _ => unknown(op, "add, remove, contains and read"),
    }
}

impl Model for Set {
    type State = BTreeSet<String>;

    fn step(&self, elements: &BTreeSet<String>, op: &ModelOp<'_>, next: &mut Vec<BTreeSet<String>>) {
        self.step_by_apply(elements, op, next);
    }

    fn apply(&self, elements: &mut BTreeSet<String>, op: &ModelOp<'_>) -> Option<bool> {
        if op.f == "read" {
            return Some(!op.is_ok || list(op.value).is_some_and(|answer| BTreeSet::from_iter(answer) == *elements));
        }
        let (element, answer) = element(op);
        let is_so = match op.f {
            "add" => elements.insert(element),
            "remove" => elements.remove(&element),
            _ => elements.contains(&element),
        };
        Some(answer.is_none_or(|answer| answer == is_so))
    }

    fn is_read(&self, op: &ModelOp<'_>) -> bool {
        matches!(op.f, "contains" | "read")
    }

    /// A read concerns what it holds: without the rest it still holds all that there is.
    fn concerns(&self, op: &ModelOp<'_>) -> Option<Vec<String>> {
        if op.f == "read" { list(op.value) } else { Some(vec![element(op).0]) }
    }

    fn state_in_words(&self, elements: &BTreeSet<String>) -> String {
        list_in_words(elements)
    }

    fn heap_bytes(&self, elements: &BTreeSet<String>) -> usize {
        bytes_of(elements)
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        complaint(op)
    }
}

/// One element of a [`Set`]. Elements are independent of each other, as long as nobody reads the whole set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Element;

impl Model for Element {
    /// It is there.
    type State = bool;

    fn step(&self, there: &bool, op: &ModelOp<'_>, next: &mut Vec<bool>) {
        let (after, is_so) = match op.f {
            "add" => (true, !there),
            "remove" => (false, *there),
            _ => (*there, *there),
        };
        if element(op).1.is_none_or(|answer| answer == is_so) {
            next.push(after);
        }
    }

    fn is_read(&self, op: &ModelOp<'_>) -> bool {
        op.f == "contains"
    }

    fn key(&self, op: &ModelOp<'_>) -> Option<String> {
        Some(element(op).0)
    }

    fn state_in_words(&self, there: &bool) -> String {
        if *there { "it is there" } else { "it is not there" }.into()
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        complaint(op)
    }
}
