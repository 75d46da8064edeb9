//! Sequential specifications: what one client at a time would see of an object.
//!
//! A model is a file with one required method; `examples/custom_model.rs` adds one that is not among these. The register
//! is not among them either: it has algorithms of its own.

mod append_list;
mod counter;
mod fenced_lock;
mod fetch_and_add;
mod fifo_queue;
mod grow_only_set;
mod kv;
mod multi_register;
mod mutex;
mod reentrant_mutex;
mod set;
mod stack;
mod unordered_queue;

use std::{hash::Hash, io::BufRead};

pub use append_list::AppendList;
pub use counter::Counter;
pub use fenced_lock::FencedLock;
pub use fetch_and_add::FetchAndAdd;
pub use fifo_queue::FifoQueue;
pub use grow_only_set::GrowOnlySet;
pub use kv::Kv;
pub use multi_register::MultiRegister;
pub use mutex::Mutex;
pub use reentrant_mutex::ReentrantMutex;
pub(crate) use set::Element;
pub use set::Set;
pub use stack::Stack;
pub use unordered_queue::UnorderedQueue;

use super::{
    Budget, KeyWitness, NonlinearizableKey, Picture,
    any_model::{Monitor, check_with},
    monitors, picture,
};
use crate::{
    Check, CheckError,
    history::{F, History, Op, Outcome, Value},
    verify::{Certificate, CertificateError, Verification, verify_model},
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
    /// Who does it.
    pub process: u32,
}

impl<'h> ModelOp<'h> {
    /// An operation of a history.
    pub(crate) fn of(op: &Op<'h>) -> Self {
        Self { f: op.f.name(), value: op.value, is_ok: op.outcome == Outcome::Ok, process: op.process }
    }
}

/// A sequential specification.
pub trait Model {
    /// What the object holds; it begins with the default.
    type State: Clone + Eq + Hash + Default;

    /// Adds every state that the operation may leave behind; none if in `state` it is impossible with this answer.
    fn step(&self, state: &Self::State, op: &ModelOp<'_>, next: &mut Vec<Self::State>);

    /// The same step in place, for a model whose operations leave one state at most: false if it is impossible, and then
    /// what the state is does not matter. `None`: not for this model. It is only a matter of speed, and of use where states
    /// are large; such a model's `step` is [`Model::step_by_apply`].
    fn apply(&self, _state: &mut Self::State, _op: &ModelOp<'_>) -> Option<bool> {
        None
    }

    /// A step by [`Model::apply`].
    fn step_by_apply(&self, state: &Self::State, op: &ModelOp<'_>, next: &mut Vec<Self::State>) {
        let mut after = state.clone();
        if self.apply(&mut after, op) == Some(true) {
            next.push(after);
        }
    }

    /// It makes a difference which process does something.
    fn is_about_processes(&self) -> bool {
        false
    }

    /// The operation never changes the state, whatever the state is. It is only a matter of speed.
    fn is_read(&self, _op: &ModelOp<'_>) -> bool {
        false
    }

    /// The object that it is about, where objects are independent of each other. It is only a matter of speed, and a
    /// great one.
    fn key(&self, _op: &ModelOp<'_>) -> Option<String> {
        None
    }

    /// The parts of the object that the operation concerns, where operations on other parts may be left out: taking all
    /// operations that concern some parts out of a linearization leaves one (together with operations that may never have
    /// happened). An empty list: it is never left out, but for a read, and keeps nothing else from being so. `None`:
    /// nothing may be left out beside it. It makes evidence smaller.
    fn concerns(&self, _op: &ModelOp<'_>) -> Option<Vec<String>> {
        None
    }

    /// A state, for people.
    fn state_in_words(&self, _state: &Self::State) -> String {
        "a state of the model".into()
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
pub const NAMES: &[&str] = &[
    "mutex",
    "reentrant-mutex",
    "fenced-lock",
    "multi-register",
    "kv",
    "fifo-queue",
    "unordered-queue",
    "stack",
    "linearizable-set",
    "grow-only-set",
    "append-list",
    "linearizable-counter",
    "fetch-and-add",
];

/// A model whatever its state.
pub(crate) trait AnyModel: Sync {
    /// `keep`: takes what bears out the decision on each key.
    fn check(&self, name: &str, history: &History, budget: &Budget, keep: Option<&mut Vec<KeyWitness>>) -> Check;
    fn complaint(&self, op: &ModelOp<'_>) -> Option<String>;
    /// Re-checks a certificate.
    fn verify(
        &self,
        history: &History,
        certificate: &mut Certificate<&mut dyn BufRead>,
    ) -> Result<Verification, CertificateError>;
    fn picture(&self, history: &History, key: &NonlinearizableKey) -> Option<Picture>;

    /// That the history has only operations of the model. (A foreign one was asked when it was read, with lines.)
    fn fits(&self, history: &History) -> Result<(), CheckError> {
        for op in history.ops().filter(|op| op.outcome != Outcome::Fail) {
            let model_op = ModelOp::of(&op);
            if let Some(complaint) = self.complaint(&model_op) {
                return Err(CheckError::DoesNotFit { event_index: op.invoke_index, f: op.f.name().into(), complaint });
            }
        }
        Ok(())
    }
}

impl<M: Model + Sync> AnyModel for M {
    fn check(&self, name: &str, history: &History, budget: &Budget, keep: Option<&mut Vec<KeyWitness>>) -> Check {
        check_with(history, name, self, None, budget, keep)
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        Model::complaint(self, op)
    }

    fn verify(
        &self,
        history: &History,
        certificate: &mut Certificate<&mut dyn BufRead>,
    ) -> Result<Verification, CertificateError> {
        verify_model(self, history, certificate)
    }

    fn picture(&self, history: &History, key: &NonlinearizableKey) -> Option<Picture> {
        Some(picture::of_model(self, history, key))
    }
}

/// A model with a monitor, which decides what it can.
struct Monitored<M> {
    model: M,
    monitor: Monitor,
}

impl<M: Model + Sync> AnyModel for Monitored<M> {
    fn check(&self, name: &str, history: &History, budget: &Budget, keep: Option<&mut Vec<KeyWitness>>) -> Check {
        check_with(history, name, &self.model, Some(self.monitor), budget, keep)
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        self.model.complaint(op)
    }

    fn verify(
        &self,
        history: &History,
        certificate: &mut Certificate<&mut dyn BufRead>,
    ) -> Result<Verification, CertificateError> {
        verify_model(&self.model, history, certificate)
    }

    fn picture(&self, history: &History, key: &NonlinearizableKey) -> Option<Picture> {
        Some(picture::of_model(&self.model, history, key))
    }
}

/// A set: by element, unless somebody reads the whole of it.
struct SetOrElements;

impl SetOrElements {
    fn is_read_whole(history: &History) -> bool {
        history.ops().any(|op| *op.f == F::Read && op.outcome == Outcome::Ok)
    }
}

impl AnyModel for SetOrElements {
    fn check(&self, name: &str, history: &History, budget: &Budget, keep: Option<&mut Vec<KeyWitness>>) -> Check {
        if Self::is_read_whole(history) {
            check_with(history, name, &Set, None, budget, keep)
        } else {
            check_with(history, name, &Element, None, budget, keep)
        }
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        Model::complaint(&Set, op)
    }

    fn verify(
        &self,
        history: &History,
        certificate: &mut Certificate<&mut dyn BufRead>,
    ) -> Result<Verification, CertificateError> {
        if Self::is_read_whole(history) {
            verify_model(&Set, history, certificate)
        } else {
            verify_model(&Element, history, certificate)
        }
    }

    fn picture(&self, history: &History, key: &NonlinearizableKey) -> Option<Picture> {
        Some(if Self::is_read_whole(history) {
            picture::of_model(&Set, history, key)
        } else {
            picture::of_model(&Element, history, key)
        })
    }
}

/// The model of this name.
pub(crate) fn by_name(name: &str) -> Option<&'static dyn AnyModel> {
    Some(match name {
        "mutex" => &Mutex,
        "reentrant-mutex" => &ReentrantMutex,
        "fenced-lock" => &FencedLock,
        "multi-register" => &MultiRegister,
        "kv" => &Kv,
        "fifo-queue" => &Monitored { model: FifoQueue, monitor: monitors::fifo_queue },
        "unordered-queue" => &Monitored { model: UnorderedQueue, monitor: monitors::unordered_queue },
        "stack" => &Monitored { model: Stack, monitor: monitors::stack },
        "linearizable-set" => &SetOrElements,
        "grow-only-set" => &Monitored { model: GrowOnlySet, monitor: monitors::grow_only_set },
        "append-list" => &Monitored { model: AppendList, monitor: monitors::append_list },
        "linearizable-counter" => &Monitored { model: Counter, monitor: monitors::counter },
        "fetch-and-add" => &Monitored { model: FetchAndAdd, monitor: monitors::fetch_and_add },
        _ => return None,
    })
}

/// What texts keep on the heap.
fn bytes_of<'t>(texts: impl IntoIterator<Item = &'t String>) -> usize {
    texts.into_iter().map(|text| size_of::<String>() + text.capacity()).sum()
}

/// The values of a list, of which nil is the empty one.
pub(crate) fn list(value: &Value) -> Option<Vec<String>> {
    match value.to_json() {
        serde_json::Value::Null => Some(Vec::new()),
        serde_json::Value::Array(items) => Some(items.iter().map(serde_json::Value::to_string).collect()),
        _ => None,
    }
}

/// Values in order, the first hundred.
fn list_in_words<'t>(texts: impl IntoIterator<Item = &'t String>) -> String {
    let shown: Vec<&str> = texts.into_iter().take(100).map(String::as_str).collect();
    if shown.is_empty() { "empty".into() } else { format!("[{}]", shown.join(" ")) }
}

/// A value that can be compared and kept.
pub(crate) fn text(value: &Value) -> String {
    value.to_json().to_string()
}

/// That the model has no such operation.
fn unknown(op: &ModelOp<'_>, known: &str) -> Option<String> {
    Some(format!("the model has no f {}; it has {known}", op.f))
}
