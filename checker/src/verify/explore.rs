//! Tries every order of a few operations, to re-check what a search said of them. As plain as it can be, and slow: it
//! shares no code with `linearizability::{search, general}`.

use std::{collections::hash_map::Entry, hash::Hash};

use rustc_hash::FxHashMap;

/// An operation that is tried.
#[derive(Debug, Clone)]
pub(crate) struct Tried<O> {
    pub(crate) op: O,
    /// Index of the event that invoked it.
    pub(crate) invoke: u64,
    /// Index of the event of its return; [`u64::MAX`]: it may happen at any time after its invocation, or never.
    pub(crate) ret: u64,
    /// It changes nothing, whatever the state: where it is possible, it may as well happen at once.
    pub(crate) is_read: bool,
}

/// What can be done with the object.
pub(crate) trait Steps {
    type Op;
    type State: Clone + Eq + Hash;

    /// Adds the states after `op`; none if it is impossible.
    fn step(&self, state: &Self::State, op: &Self::Op, next: &mut Vec<Self::State>);

    /// What a state keeps on the heap, in bytes.
    fn heap_bytes(&self, _state: &Self::State) -> usize {
        0
    }
}

/// What became of the attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Explored {
    /// An order of them all: positions.
    Order(Vec<usize>),
    /// There is none; one of the longest beginnings of an order.
    None(Vec<usize>),
    /// More than may be tried; the longest beginning met.
    TooLarge(Vec<usize>),
}

/// More operations are not tried.
pub(crate) const OPS_MAX: usize = 1_000;
/// Attempts to place an operation, for a proof.
pub(crate) const ATTEMPTS_MAX: u64 = 1_000_000;
/// What the states and sets that were met may take.
const BYTES_MAX: usize = 200_000_000;

struct Frame<S> {
    done: Box<[u64]>,
    /// Places in `choices` still to try, from the end.
    choices: Vec<(usize, S)>,
}

/// Tries the operations from a state, with so many attempts to place one.
pub(crate) fn explore<M: Steps>(object: &M, initial: M::State, ops: &[Tried<M::Op>], attempts_max: u64) -> Explored {
    if ops.len() > OPS_MAX {
        return Explored::TooLarge(Vec::new());
    }
    let words = ops.len().div_ceil(64);
    let has = |done: &[u64], at: usize| done[at / 64] >> (at % 64) & 1 == 1;
    let mut met: FxHashMap<(Box<[u64]>, M::State), ()> = FxHashMap::default();
    let (mut attempts, mut bytes) = (0_u64, 0_usize);
    let (mut order, mut longest): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut frames: Vec<Frame<M::State>> = Vec::new();
    let mut now = Some((vec![0; words].into_boxed_slice(), initial));
    loop {
        if let Some((done, state)) = now.take() {
            let open = (0..ops.len()).filter(|at| !has(&done, *at));
            let Some(first_return) = open.clone().map(|at| ops[at].ret).filter(|ret| *ret != u64::MAX).min() else {
                return Explored::Order(order);
            };
            if order.len() > longest.len() {
                longest.clone_from(&order);
            }
            let mut choices = Vec::new();
            if let Entry::Vacant(entry) = met.entry((done.clone(), state.clone())) {
                entry.insert(());
                bytes += 64 + 16 * words + 2 * (size_of::<M::State>() + object.heap_bytes(&state));
                for at in open.filter(|at| ops[*at].invoke < first_return) {
                    attempts += 1;
                    let mut next = Vec::new();
                    object.step(&state, &ops[at].op, &mut next);
                    let is_optional = ops[at].ret == u64::MAX;
                    if ops[at].is_read && !is_optional && !next.is_empty() {
                        choices = vec![(at, state.clone())];
                        break;
                    }
                    // What may have happened and changes nothing need not have.
                    choices
                        .extend(next.into_iter().filter(|next| !is_optional || *next != state).map(|next| (at, next)));
                }
                // Those that may never have happened are tried last.
                choices.sort_by_key(|(at, _)| std::cmp::Reverse(ops[*at].ret));
            }
            frames.push(Frame { done, choices });
            if attempts > attempts_max || bytes > BYTES_MAX {
                return Explored::TooLarge(longest);
            }
        }
        let Some(frame) = frames.last_mut() else { return Explored::None(longest) };
        if let Some((at, state)) = frame.choices.pop() {
            let mut done = frame.done.clone();
            done[at / 64] |= 1 << (at % 64);
            order.push(at);
            now = Some((done, state));
        } else {
            frames.pop();
            order.pop();
        }
    }
}
