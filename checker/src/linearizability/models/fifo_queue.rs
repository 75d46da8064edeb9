//! A queue that gives back first what was put in first.

use std::collections::VecDeque;

use super::{Model, ModelOp, bytes_of, text, unknown};
use crate::history::Value;

/// `enqueue v`; `dequeue` answers the oldest value, or nil of an empty queue.
#[derive(Debug, Clone, Copy, Default)]
pub struct FifoQueue;

impl Model for FifoQueue {
    /// The values, oldest first.
    type State = VecDeque<String>;

    fn step(&self, queue: &VecDeque<String>, op: &ModelOp<'_>, next: &mut Vec<VecDeque<String>>) {
        let mut after = queue.clone();
        if op.f == "enqueue" {
            after.push_back(text(op.value));
            next.push(after);
            return;
        }
        let given = after.pop_front();
        let answer = (*op.value != Value::Nil).then(|| text(op.value));
        if !op.is_ok || given == answer {
            next.push(after);
        }
    }

    fn heap_bytes(&self, values: &VecDeque<String>) -> usize {
        bytes_of(values)
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        if matches!(op.f, "enqueue" | "dequeue") { None } else { unknown(op, "enqueue and dequeue") }
    }
}
