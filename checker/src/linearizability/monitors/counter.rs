//! Counters to which every add adds the same: O(n log n).
//!
//! Adds are then all alike, and only how many there were matters. Each happens as late as it can: at its return, or where
//! a read that returns needs more; those first that return first, and indeterminate ones, which need never happen, last.
//! The count is thus never higher than in any other order that comes this far, passes through every value between, and a
//! read whose value it passes while the read is pending happens there. So a read that returns with less than the count
//! saw too little in every order; and one that would need more than all adds invoked saw too much. (The rules of the
//! general search, Lowe 2017, under which here no choice is left.)

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::{Call, Contradiction, Monitored, NEVER};
use crate::linearizability::partition::events;

/// Decides a history of `add` and `read`.
pub(crate) fn counter(calls: &[Call<'_>]) -> Monitored {
    let mut deltas = calls.iter().filter(|call| call.op.f == "add").filter_map(|call| call.op.value.as_int());
    let delta = deltas.next().unwrap_or(1);
    if delta == 0 || deltas.any(|other| other != delta) {
        return Monitored::NotApplicable;
    }
    // How many adds a read saw; `None`: no number of them makes it.
    let seen = |call: &Call<'_>| {
        let read = call.op.value.as_int()?;
        let exact = read.checked_rem(delta)? == 0;
        u64::try_from(read.checked_div(delta)?).ok().filter(|_| exact)
    };
    let mut state = State { count: 0, is_done: vec![false; calls.len()], order: Vec::new(), waiting: BTreeMap::new() };
    let mut adds: BinaryHeap<Reverse<(u32, u32)>> = BinaryHeap::new();
    for event in events(calls.iter().map(|call| (call.invoke, call.ret))) {
        let at = event / 2;
        let call = &calls[at as usize];
        let (is_return, is_add) = (event % 2 == 1, call.op.f == "add");
        if state.is_done[at as usize] || (!is_add && call.ret == NEVER) {
            continue;
        }
        match (is_return, is_add) {
            (false, true) => adds.push(Reverse((call.ret, at))),
            (false, false) => match seen(call) {
                Some(seen) => state.wait(seen, at),
                None => return too(calls, at, "no number of adds makes that"),
            },
            (true, true) => {
                while !state.is_done[at as usize] {
                    let Some(Reverse((_, add))) = adds.pop() else { break };
                    state.add(add);
                }
            }
            (true, false) => {
                while !state.is_done[at as usize] && seen(call).is_some_and(|seen| seen > state.count) {
                    let Some(Reverse((_, add))) = adds.pop() else {
                        return too(calls, at, "fewer adds had been invoked by then");
                    };
                    state.add(add);
                }
                if !state.is_done[at as usize] {
                    return too(calls, at, "more adds had happened before it began");
                }
            }
        }
    }
    Monitored::Linearizable(state.order)
}

struct State {
    count: u64,
    is_done: Vec<bool>,
    order: Vec<u32>,
    /// Pending reads by what they saw.
    waiting: BTreeMap<u64, Vec<u32>>,
}

impl State {
    fn done(&mut self, at: u32) {
        self.is_done[at as usize] = true;
        self.order.push(at);
    }

    fn wait(&mut self, seen: u64, at: u32) {
        if seen == self.count { self.done(at) } else { self.waiting.entry(seen).or_default().push(at) }
    }

    fn add(&mut self, at: u32) {
        self.done(at);
        self.count += 1;
        for read in self.waiting.remove(&self.count).unwrap_or_default() {
            self.done(read);
        }
    }
}

/// The read, with all adds and reads that had been invoked when it returned: what the others saw may be what made it too
/// much.
fn too(calls: &[Call<'_>], at: u32, why: &str) -> Monitored {
    let read = &calls[at as usize];
    let matters = |call: &Call<'_>| call.invoke < read.ret && (call.op.f == "add" || call.ret < read.invoke);
    let involved = (0..).zip(calls).filter(|(_, call)| matters(call)).map(|(at, _)| at).collect();
    Contradiction::of(involved, at, why.into())
}
