//! Generators: which operation to try next, as values.
//!
//! The idea is Jepsen's (`jepsen.generator`). Asked with a [`Context`] (the time, and who is free), a generator gives
//! an operation and the generator that comes after it, or says that nothing is due yet, or that it has ended. It sees
//! events through [`Generator::update`]. It touches neither clock nor socket nor global randomness, so that a whole
//! run can be played without any of them ([`simulate`]).
//!
//! The contract between a generator and the loop that drives it:
//!
//! - [`Step::Op`] is a commitment: the operation will be invoked, on the slot it names, at its time or later. While
//!   the loop waits for that time it passes completions to `next`. (Jepsen's loop asks again instead, and so must
//!   keep the old generator; handing over the box needs no copy and no allocation per operation.)
//! - At an invocation the loop takes the slot from [`Free`], then calls `update` with the invocation. At a completion
//!   it puts the slot back, then calls `update` with the completion, and only then gives the slot a new process
//!   number if the operation ended `info`.
//! - [`Step::Pending`] means: ask again at `until_ns`, or after the next event, whichever is first.

mod context;
mod final_reads;
mod limit;
mod mix;
mod sequence;
mod share;
mod simulate;
mod source;
#[cfg(test)]
mod tests;
mod time;

use std::fmt::Debug;

use schism_checker::history::Event;

pub use self::{
    context::{Context, Free},
    final_reads::final_reads,
    limit::{op_limit, until_ok},
    mix::mix,
    sequence::{concat, phases, then},
    share::{any, each_process, on_clients, reserve},
    simulate::{Latency, simulate},
    source::{nothing, ops},
    time::{stagger, time_limit},
};
pub(crate) use source::{Script, scripts};

use crate::op::Op;

/// The answer to "what next?".
#[derive(Debug)]
pub enum Step {
    /// This.
    Op {
        /// The operation.
        op: Op,
        /// Invoke it then, or at once if that is past.
        time_ns: u64,
        /// What comes after.
        next: Box<dyn Generator>,
    },
    /// Nothing now.
    Pending {
        /// Ask again then, or after any event; `None`: only an event can change the answer.
        until_ns: Option<u64>,
        /// The generator to ask.
        next: Box<dyn Generator>,
    },
    /// Nothing ever again.
    Done,
}

/// Says which operation to try next.
pub trait Generator: Send + Debug {
    /// The next operation, and what comes after it.
    fn next(self: Box<Self>, ctx: &Context<'_>) -> Step;

    /// The generator after this invocation or completion.
    fn update(self: Box<Self>, ctx: &Context<'_>, event: &Event) -> Box<dyn Generator>;

    /// A copy.
    fn clone_box(&self) -> Box<dyn Generator>;
}

impl Clone for Box<dyn Generator> {
    fn clone(&self) -> Self {
        (**self).clone_box()
    }
}

/// The earlier of two moments, either of which may never come.
fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
