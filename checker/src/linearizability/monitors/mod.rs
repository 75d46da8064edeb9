//! Monitors: linearizability of one kind of object, decided in about O(n log n) under a condition that most histories
//! meet, such as that no value is put in twice. Where it does not hold, the general search decides.
//!
//! Emmi & Enea, "Sound, complete, and tractable linearizability monitoring for concurrent collections", POPL 2018, show
//! that such conditions make the problem polynomial; each monitor cites what its own algorithm is from.
//!
//! A monitor gives a linearization or a contradiction: calls that no order of themselves explains, and which by themselves
//! show that the whole history has no linearization.

mod append_list;
mod blocks;
mod counter;
mod fetch_and_add;
mod fifo_queue;
mod grow_only_set;
mod items;
mod residence;
mod stack;
#[cfg(test)]
mod tests;
mod unordered_queue;

pub(crate) use self::{
    append_list::append_list, counter::counter, fetch_and_add::fetch_and_add, fifo_queue::fifo_queue,
    grow_only_set::grow_only_set, stack::stack, unordered_queue::unordered_queue,
};
use super::{any_model::value_in_words, general::Call, models::text, partition::NEVER};

/// What a monitor says of calls that are ordered by invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Monitored {
    /// A linearization: positions in the calls.
    Linearizable(Vec<u32>),
    /// There is none.
    Contradiction(Contradiction),
    /// The monitor's condition does not hold: not decided here.
    NotApplicable,
}

/// Calls that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// Positions in the calls, ascending.
    pub(crate) calls: Vec<u32>,
    /// The event before which they do: what had not returned by then may have happened or not. [`NEVER`]: they do as
    /// they stand.
    pub(crate) before: u32,
    /// The one that shows it: it ended ok.
    pub(crate) shown_by: u32,
    /// Why its answer is impossible: `{its} …, but {why}`.
    pub(crate) why: String,
}

impl Contradiction {
    fn of(mut calls: Vec<u32>, shown_by: u32, why: String) -> Monitored {
        calls.push(shown_by);
        calls.sort_unstable();
        calls.dedup();
        Monitored::Contradiction(Self { calls, before: NEVER, shown_by, why })
    }
}

/// A value, of which `text` is the JSON, in the words of sentences.
fn said(text: &str) -> String {
    serde_json::from_str(text).map_or_else(|_| text.into(), |json| value_in_words(&json))
}

/// A moment: event n happens at 2n, and 2n + 1 lies between it and the next.
type Moment = u64;

/// Later than every event.
const END: Moment = 2 * NEVER as Moment;

/// From invocation to return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    invoke: Moment,
    /// [`END`] if it never returns.
    ret: Moment,
}

impl Span {
    fn of(call: &Call<'_>) -> Self {
        Self { invoke: 2 * Moment::from(call.invoke), ret: 2 * Moment::from(call.ret) }
    }
}

/// The order in which calls happen at given moments, those of one moment in the order given.
fn in_time(mut placed: Vec<(Moment, u32)>) -> Vec<u32> {
    placed.sort_by_key(|(moment, _)| *moment);
    placed.into_iter().map(|(_, at)| at).collect()
}
