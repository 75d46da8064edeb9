//! A stack: gives back first what was put on last.

use super::{Model, ModelOp, bytes_of, text, unknown};
use crate::history::Value;

/// `push v`; `pop` answers the latest value, or nil of an empty stack.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stack;

impl Model for Stack {
    /// The values, latest last.
    type State = Vec<String>;

    fn step(&self, stack: &Vec<String>, op: &ModelOp<'_>, next: &mut Vec<Vec<String>>) {
        let mut after = stack.clone();
        if op.f == "push" {
            after.push(text(op.value));
            next.push(after);
            return;
        }
        let given = after.pop();
        let answer = (*op.value != Value::Nil).then(|| text(op.value));
        if !op.is_ok || given == answer {
            next.push(after);
        }
    }

    fn heap_bytes(&self, values: &Vec<String>) -> usize {
        bytes_of(values)
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        if matches!(op.f, "push" | "pop") { None } else { unknown(op, "push and pop") }
    }
}
