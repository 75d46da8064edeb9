//! A bag: gives back what was put in, in any order.

use super::{Model, ModelOp, bytes_of, list_in_words, text, unknown};
use crate::history::Value;

/// `enqueue v`; `dequeue` answers some value that is there, or nil of an empty queue.
#[derive(Debug, Clone, Copy, Default)]
pub struct UnorderedQueue;

impl Model for UnorderedQueue {
    /// The values, sorted: what was put in twice is there twice.
    type State = Vec<String>;

    fn step(&self, queue: &Vec<String>, op: &ModelOp<'_>, next: &mut Vec<Vec<String>>) {
        let without = |at: usize| {
            let mut after = queue.clone();
            after.remove(at);
            after
        };
        match (op.f, op.is_ok, op.value) {
            ("enqueue", ..) => {
                let value = text(op.value);
                let mut after = queue.clone();
                after.insert(after.partition_point(|known| *known < value), value);
                next.push(after);
            }
            (_, true, Value::Nil) if queue.is_empty() => next.push(Vec::new()),
            (_, true, Value::Nil) => {}
            (_, true, value) => next.extend(queue.binary_search(&text(value)).ok().map(without)),
            // Any of them may be gone.
            (_, false, _) => next.extend((0..queue.len()).map(without)),
        }
    }

    fn concerns(&self, op: &ModelOp<'_>) -> Option<Vec<String>> {
        // Which value an indeterminate dequeue took, it does not say; without that value it need not have happened.
        let is_known = op.f == "enqueue" || (op.is_ok && *op.value != Value::Nil);
        Some(if is_known { vec![text(op.value)] } else { Vec::new() })
    }

    /// That it was empty changes nothing.
    fn is_read(&self, op: &ModelOp<'_>) -> bool {
        op.f == "dequeue" && op.is_ok && *op.value == Value::Nil
    }

    fn state_in_words(&self, values: &Vec<String>) -> String {
        list_in_words(values)
    }

    fn heap_bytes(&self, values: &Vec<String>) -> usize {
        bytes_of(values)
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        if matches!(op.f, "enqueue" | "dequeue") { None } else { unknown(op, "enqueue and dequeue") }
    }
}
