//! Every execution of a few transactions: what twins hold verdicts against.
#![allow(unreachable_pub, dead_code, reason = "each test program uses its own part")]

use std::cell::Cell;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Info,
    Fail,
}

/// A transaction that can be carried out.
pub trait Transaction {
    type State: Clone;
    /// Keys are numbered from 0.
    const KEYS: usize;

    fn outcome(&self) -> Outcome;

    /// Positions of its two events.
    fn span(&self) -> (usize, usize);

    /// Carries it out. False: it read something else.
    fn run(&self, state: &mut Self::State) -> bool;

    /// Only its writes, in their order.
    fn write(&self, state: &mut Self::State);

    fn writes_to(&self, key: usize) -> bool;
}

/// Whether any choice of indeterminate transactions makes `holds` true.
pub fn with_any<T: Transaction>(txns: &[T], holds: impl Fn(&[&T]) -> bool) -> bool {
    let infos = txns.iter().filter(|txn| txn.outcome() == Outcome::Info).count();
    (0..1_u32 << infos).any(|chosen| {
        let number = Cell::new(0);
        let happened = |txn: &&T| match txn.outcome() {
            Outcome::Ok => true,
            Outcome::Fail => false,
            Outcome::Info => chosen >> number.replace(number.get() + 1) & 1 == 1,
        };
        holds(&txns.iter().filter(happened).collect::<Vec<_>>())
    })
}

/// Every order, from this state on.
pub fn serializable<T: Transaction>(txns: &[&T], state: &T::State, real_time: bool) -> bool {
    extend_order(txns, 0, state, real_time)
}

fn extend_order<T: Transaction>(txns: &[&T], done: u32, state: &T::State, real_time: bool) -> bool {
    if done.count_ones() as usize == txns.len() {
        return true;
    }
    (0..txns.len()).filter(|at| done >> at & 1 == 0).any(|at| {
        let waits = |other: &T| other.outcome() == Outcome::Ok && other.span().1 < txns[at].span().0;
        let is_early = (0..txns.len()).any(|other| done >> other & 1 == 0 && other != at && waits(txns[other]));
        if real_time && is_early {
            return false;
        }
        let mut state = state.clone();
        txns[at].run(&mut state) && extend_order(txns, done | 1 << at, &state, real_time)
    })
}

/// Every order of starts and commits, the first committer of a key wins (Berenson et al. 1995; snapshots may be old).
pub fn snapshot_isolated<T: Transaction>(txns: &[&T], state: &T::State) -> bool {
    extend_snapshots(txns, 0, &[], state)
}

/// `running`: those that started and have not committed, each with the keys that others committed meanwhile.
fn extend_snapshots<T: Transaction>(
    txns: &[&T],
    started: u32,
    running: &[(usize, Vec<bool>)],
    state: &T::State,
) -> bool {
    if started.count_ones() as usize == txns.len() && running.is_empty() {
        return true;
    }
    for at in (0..txns.len()).filter(|at| started >> at & 1 == 0) {
        if txns[at].run(&mut state.clone()) {
            let running = [running, &[(at, vec![false; T::KEYS])]].concat();
            if extend_snapshots(txns, started | 1 << at, &running, state) {
                return true;
            }
        }
    }
    running.iter().enumerate().any(|(place, (at, overwritten))| {
        if (0..T::KEYS).any(|key| overwritten[key] && txns[*at].writes_to(key)) {
            return false;
        }
        let mut state = state.clone();
        txns[*at].write(&mut state);
        let mut rest = running.to_vec();
        rest.remove(place);
        for (_, overwritten) in &mut rest {
            (0..T::KEYS).for_each(|key| overwritten[key] |= txns[*at].writes_to(key));
        }
        extend_snapshots(txns, started, &rest, &state)
    })
}

/// Numbers that look random and are the same everywhere (xorshift64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }

    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// Positions of the events of so many transactions, some of which overlap, from `position` on; and the next position.
pub fn spans(random: &mut Random, count: usize, mut position: usize) -> (Vec<(usize, usize)>, usize) {
    let mut spans = vec![(0, 0); count];
    let (mut open, mut begun): (Vec<usize>, usize) = (Vec::new(), 0);
    while begun < count || !open.is_empty() {
        if begun < count && (open.is_empty() || random.below(2) == 0) {
            spans[begun].0 = position;
            open.push(begun);
            begun += 1;
        } else {
            let at = open.swap_remove(random.below(open.len()));
            spans[at].1 = position;
        }
        position += 1;
    }
    (spans, position)
}

/// Mostly the order in which they were invoked.
pub fn mostly_in_order(random: &mut Random, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for at in (1..order.len()).rev() {
        if random.below(3) == 0 {
            order.swap(at, random.below(at + 1));
        }
    }
    order
}
