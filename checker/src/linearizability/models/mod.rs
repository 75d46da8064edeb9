//! Sequential specifications: what one client at a time would see of an object.
//!
//! A model is a file with one required method; `examples/custom_model.rs` adds one that is not among these. The register
//! is not among them either: it has algorithms of its own.

mod fifo_queue;
mod kv;
mod multi_register;
mod mutex;
mod stack;
mod unordered_queue;

use std::hash::Hash;

pub use fifo_queue::FifoQueue;
pub use kv::Kv;
pub use multi_register::MultiRegister;
pub use mutex::Mutex;
pub use stack::Stack;
pub use unordered_queue::UnorderedQueue;

use super::{Budget, KeyWitness, any_model::check_model_keeping};
use crate::{
    Check, CheckError,
    history::{History, Outcome, Value},
};

/// An operation as a model sees it.
#[derive(Debug, Clone, Copy)]
pub struct ModelOp<'h> {
    /// What it does: `enqueue`, `acquire`, ….
    pub f: &'h str,
    /// Of an operation that ended ok its completion's value, which holds the answer; else its invocation's.
    pub value: &'h Value,
    /// It ended ok. Otherwise it may have answered anything.
    pub is_ok: bool,
}

/// A sequential specification.
pub trait Model {
    /// What the object holds; it begins with the default.
    type State: Clone + Eq + Hash + Default;

    /// Adds every state that the operation may leave behind; none if in `state` it is impossible with this answer.
    fn step(&self, state: &Self::State, op: &ModelOp<'_>, next: &mut Vec<Self::State>);

    /// The operation never changes the state, whatever the state is. It is only a matter of speed.
    fn is_read(&self, _op: &ModelOp<'_>) -> bool {
        false
    }

    /// The object that it is about, where objects are independent of each other. It is only a matter of speed, and a
    /// great one.
    fn key(&self, _op: &ModelOp<'_>) -> Option<String> {
        None
    }

    /// What a state keeps on the heap, in bytes: it bounds the search's memory.
    fn heap_bytes(&self, _state: &Self::State) -> usize {
        0
    }

    /// What is wrong with the operation; it is none of the model's.
    fn complaint(&self, _op: &ModelOp<'_>) -> Option<String> {
        None
    }
}

/// The names of the models here.
pub const NAMES: &[&str] = &["mutex", "multi-register", "kv", "fifo-queue", "unordered-queue", "stack"];

/// A model whatever its state.
pub(crate) trait AnyModel: Sync {
    /// `keep`: takes what bears out the decision on each key.
    fn check(&self, name: &str, history: &History, budget: &Budget, keep: Option<&mut Vec<KeyWitness>>) -> Check;
    fn complaint(&self, op: &ModelOp<'_>) -> Option<String>;

    /// That the history has only operations of the model. (A foreign one was asked when it was read, with lines.)
    fn fits(&self, history: &History) -> Result<(), CheckError> {
        for op in history.ops().filter(|op| op.outcome != Outcome::Fail) {
            let model_op = ModelOp { f: op.f.name(), value: op.value, is_ok: op.outcome == Outcome::Ok };
            if let Some(complaint) = self.complaint(&model_op) {
                return Err(CheckError::DoesNotFit { event_index: op.invoke_index, f: op.f.name().into(), complaint });
            }
        }
        Ok(())
    }
}

impl<M: Model + Sync> AnyModel for M {
    fn check(&self, name: &str, history: &History, budget: &Budget, keep: Option<&mut Vec<KeyWitness>>) -> Check {
        check_model_keeping(history, name, self, budget, keep)
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        Model::complaint(self, op)
    }
}

/// The model of this name.
pub(crate) fn by_name(name: &str) -> Option<&'static dyn AnyModel> {
    Some(match name {
        "mutex" => &Mutex,
        "multi-register" => &MultiRegister,
        "kv" => &Kv,
        "fifo-queue" => &FifoQueue,
        "unordered-queue" => &UnorderedQueue,
        "stack" => &Stack,
        _ => return None,
    })
}

/// What texts keep on the heap.
fn bytes_of<'t>(texts: impl IntoIterator<Item = &'t String>) -> usize {
    texts.into_iter().map(|text| size_of::<String>() + text.capacity()).sum()
}

/// A value that can be compared and kept.
fn text(value: &Value) -> String {
    value.to_json().to_string()
}

/// That the model has no such operation.
fn unknown(op: &ModelOp<'_>, known: &str) -> Option<String> {
    Some(format!("the model has no f {}; it has {known}", op.f))
}
