//! A stack: gives back first what was put on last.

use super::{Model, ModelOp, bytes_of, list_in_words, text, unknown};
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

    fn concerns(&self, op: &ModelOp<'_>) -> Option<Vec<String>> {
        // Which value an indeterminate pop took, it does not say; without that value it need not have happened.
        let is_known = op.f == "push" || (op.is_ok && *op.value != Value::Nil);
        Some(if is_known { vec![text(op.value)] } else { Vec::new() })
    }

    /// That it was empty changes nothing.
    fn is_read(&self, op: &ModelOp<'_>) -> bool {
        op.f == "pop" && op.is_ok && *op.value == Value::Nil
    }

    fn state_in_words(&self, values: &Vec<String>) -> String {
        list_in_words(values)
    }

    fn heap_bytes(&self, values: &Vec<String>) -> usize {
        bytes_of(values)
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        if matches!(op.f, "push" | "pop") { None } else { unknown(op, "push and pop") }
    }
}
