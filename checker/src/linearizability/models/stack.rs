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
        self.step_by_apply(stack, op, next);
    }

    fn apply(&self, stack: &mut Vec<String>, op: &ModelOp<'_>) -> Option<bool> {
        if op.f == "push" {
            stack.push(text(op.value));
            return Some(true);
        }
        let given = stack.pop();
        let answer = (*op.value != Value::Nil).then(|| text(op.value));
        Some(!op.is_ok || given == answer)
    }

    fn heap_bytes(&self, values: &Vec<String>) -> usize {
        bytes_of(values)
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        if matches!(op.f, "push" | "pop") { None } else { unknown(op, "push and pop") }
    }
}
