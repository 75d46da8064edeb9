//! A queue that gives back first what was put in first.

use std::collections::VecDeque;

use super::{Model, ModelOp, bytes_of, list_in_words, text, unknown};
use crate::history::Value;

/// `enqueue v`; `dequeue` answers the oldest value, or nil of an empty queue.
#[derive(Debug, Clone, Copy, Default)]
pub struct FifoQueue;

impl Model for FifoQueue {
    /// The values, oldest first.
    type State = VecDeque<String>;

    fn step(&self, queue: &VecDeque<String>, op: &ModelOp<'_>, next: &mut Vec<VecDeque<String>>) {
        self.step_by_apply(queue, op, next);
    }

    fn apply(&self, queue: &mut VecDeque<String>, op: &ModelOp<'_>) -> Option<bool> {
        if op.f == "enqueue" {
            queue.push_back(text(op.value));
            return Some(true);
        }
        let given = queue.pop_front();
        let answer = (*op.value != Value::Nil).then(|| text(op.value));
        Some(!op.is_ok || given == answer)
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

    fn state_in_words(&self, values: &VecDeque<String>) -> String {
        list_in_words(values)
    }

    fn heap_bytes(&self, values: &VecDeque<String>) -> usize {
        bytes_of(values)
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        if matches!(op.f, "enqueue" | "dequeue") { None } else { unknown(op, "enqueue and dequeue") }
    }
}
