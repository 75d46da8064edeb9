//! Registers with read, write and compare-and-set, stated anew: what each operation needs and leaves, and what makes
//! operations of one key impossible.
//!
//! *Where a value is produced once at most*, what it takes to be impossible can be seen at a glance (the argument is Gibbons
//! & Korach's, "Testing shared memories", 1997; here it is told of given operations, and only what all operations of the
//! key bear out is used):
//!
//! - An operation that observes a value comes after the one that produces it, and nothing produces it twice: so the time
//!   for which the register holds it is one interval, which a compare-and-set from it ends.
//! - Values that compare-and-sets join make one *chain*: its interval is one, too, and its operations are in the order of
//!   the chain, but for the reads of one value among themselves.
//! - Intervals of two chains do not overlap; so if of two operations the first returned before the other was invoked, all
//!   of the first one's chain comes before all of the other's.
//!
//! *Else* every order is tried, from every value that the register may have held.

use rustc_hash::{FxHashMap, FxHashSet};

use super::explore::{ATTEMPTS_MAX, Explored, Steps, Tried, explore};
use crate::history::{F, Op, Outcome};

/// What a register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Held {
    Nil,
    Value(i64),
    /// Something that no operation here knows.
    Stranger,
}

impl From<Option<i64>> for Held {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::Nil, Self::Value)
    }
}

/// What an operation needs to find, and what it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) finds: Option<Held>,
    pub(crate) leaves: Option<Held>,
}

impl Effect {
    /// With the key. `None`: it is no operation of a register.
    pub(crate) fn of(op: &Op<'_>) -> Option<(i64, Self)> {
        match op.f {
            F::Read => {
                let (key, value) = op.value.as_keyed()?;
                Some((key, Self { finds: Some(value.into()), leaves: None }))
            }
            F::Write => {
                let (key, value) = op.value.as_keyed()?;
                Some((key, Self { finds: None, leaves: Some(value.into()) }))
            }
            F::Cas => {
                let (key, old, new) = op.value.as_cas()?;
                Some((key, Self { finds: Some(old.into()), leaves: Some(new.into()) }))
            }
            _ => None,
        }
    }

    pub(crate) fn apply(self, held: Held) -> Option<Held> {
        match self.finds {
            Some(value) if value != held => None,
            _ => Some(self.leaves.unwrap_or(held)),
        }
    }
}

/// A register, to try orders on.
pub(crate) struct Register;

impl Steps for Register {
    type Op = Effect;
    type State = Held;

    fn step(&self, held: &Held, op: &Effect, next: &mut Vec<Held>) {
        next.extend(op.apply(*held));
    }
}

/// An operation with its moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timed {
    pub(super) effect: Effect,
    pub(super) invoke: u64,
    /// [`u64::MAX`]: indeterminate.
    pub(super) ret: u64,
}

impl Timed {
    pub(super) fn of(op: &Op<'_>) -> Option<Self> {
        let (_, effect) = Effect::of(op)?;
        let ret = op.complete_index.filter(|_| op.outcome == Outcome::Ok).unwrap_or(u64::MAX);
        Some(Self { effect, invoke: op.invoke_index, ret })
    }
}

/// Whether the named operations cannot all have happened as they did, where what they find is produced once at most by
/// `all` operations of the key. `None`: something is produced more often, and so this does not tell.
pub(super) fn contradict(all: &[Timed], named: &[Timed]) -> Option<bool> {
    let touched: FxHashSet<Held> = named.iter().flat_map(|op| [op.effect.finds, op.effect.leaves]).flatten().collect();
    let mut producer: FxHashMap<Held, &Timed> = FxHashMap::default();
    for op in all {
        if let Some(value) = op.effect.leaves.filter(|value| touched.contains(value))
            && (value == Held::Nil || producer.insert(value, op).is_some())
        {
            return None;
        }
    }
    let certain = certain(named);
    // Found, but produced by nobody in time.
    let is_early = |op: &&Timed| {
        let found = op.effect.finds.filter(|found| *found != Held::Nil);
        found.is_some_and(|found| producer.get(&found).is_none_or(|by| by.invoke > op.ret || by.invoke == op.invoke))
    };
    if certain.iter().any(is_early) {
        return Some(true);
    }
    let mut reads: FxHashMap<Held, Vec<&Timed>> = FxHashMap::default();
    let (mut cas, mut written): (FxHashMap<Held, &Timed>, FxHashMap<Held, &Timed>) = Default::default();
    let mut changed_into: FxHashSet<Held> = FxHashSet::default();
    for op in &certain {
        match (op.effect.finds, op.effect.leaves) {
            (Some(found), None) => reads.entry(found).or_default().push(op),
            (None, Some(left)) => drop(written.insert(left, op)),
            (Some(found), Some(left)) => {
                changed_into.insert(left);
                if cas.insert(found, op).is_some() {
                    // The first of two ends the only time of the value.
                    return Some(true);
                }
            }
            (None, None) => {}
        }
    }
    let mut values: Vec<Held> = certain.iter().flat_map(|op| [op.effect.finds, op.effect.leaves]).flatten().collect();
    values.sort_unstable();
    values.dedup();
    let mut chains: Vec<(i128, i128)> = Vec::new();
    let mut in_chain = 0;
    for root in values.iter().filter(|value| !changed_into.contains(*value)) {
        // First return and last invocation; nil is there before everything.
        let mut chain = if *root == Held::Nil { (-1, -1) } else { (i128::MAX, -1) };
        let mut earlier = -1_i128;
        let mut value = *root;
        let mut begin: Option<&Timed> = written.get(root).copied();
        loop {
            in_chain += 1;
            let change = cas.get(&value).copied();
            let stages: [&[&Timed]; 3] = [
                &begin.into_iter().collect::<Vec<_>>(),
                reads.get(&value).map_or(&[][..], Vec::as_slice),
                &change.into_iter().collect::<Vec<_>>(),
            ];
            for stage in stages {
                if stage.iter().any(|op| i128::from(op.ret) < earlier) {
                    return Some(true);
                }
                for op in stage {
                    earlier = earlier.max(op.invoke.into());
                    chain = (chain.0.min(op.ret.into()), chain.1.max(op.invoke.into()));
                }
            }
            let Some(left) = change.and_then(|change| change.effect.leaves) else { break };
            (value, begin) = (left, None);
        }
        chains.push(chain);
    }
    // What no chain begins is a circle of changes, each of which must come before the next.
    Some(in_chain < values.len() || two_overlap(&mut chains))
}

/// Of the operations, those that must have happened: what ended ok, and what produced (as nothing else did) a value that
/// one of these found.
fn certain(named: &[Timed]) -> Vec<&Timed> {
    let of_value: FxHashMap<Held, &Timed> =
        named.iter().filter(|op| op.ret == u64::MAX).filter_map(|op| Some((op.effect.leaves?, op))).collect();
    let mut certain: Vec<&Timed> = named.iter().filter(|op| op.ret != u64::MAX).collect();
    let mut known: FxHashSet<u64> = FxHashSet::default();
    let mut next = 0;
    while let Some(op) = certain.get(next) {
        next += 1;
        if let Some(by) = op.effect.finds.and_then(|found| of_value.get(&found))
            && known.insert(by.invoke)
        {
            certain.push(by);
        }
    }
    certain
}

/// Whether each of two chains, given by first return and last invocation, must come before the other.
fn two_overlap(chains: &mut [(i128, i128)]) -> bool {
    chains.sort_unstable();
    // Of the first so many chains, the two that were invoked last: the last one may be the chain itself.
    let mut latest: Vec<[Option<usize>; 2]> = vec![[None; 2]];
    for at in 0..chains.len() {
        let [first, second] = latest[at];
        let is_later = |than: Option<usize>| than.is_none_or(|than| chains[at].1 > chains[than].1);
        latest.push(match (is_later(first), is_later(second)) {
            (true, _) => [Some(at), first],
            (_, true) => [first, Some(at)],
            _ => [first, second],
        });
    }
    chains.iter().enumerate().any(|(at, (first_return, last_invoke))| {
        let before = chains.partition_point(|chain| chain.0 < *last_invoke);
        latest[before].iter().flatten().any(|other| *other != at && chains[*other].1 > *first_return)
    })
}

/// Whether the named operations are impossible within a window of the history, and `all` others of the key can be left
/// out without making them so. `None`: too large to try. An error says which operation is missing.
pub(super) fn impossible(all: &[Timed], named: &[Timed], from: u64, before: u64) -> Result<Option<bool>, String> {
    let is_named: FxHashSet<u64> = named.iter().map(|op| op.invoke).collect();
    let touches = |op: &Timed| op.invoke < before && op.ret > from;
    if let Some(op) = named.iter().find(|op| !touches(op)) {
        return Err(format!("the operation of event {} is not in the window", op.invoke));
    }
    // Take an order of all. Leave out what is not named: a named operation that finds a value finds it still if what
    // produced it last is named; and what is left out cannot have produced it if it was invoked after that one returned.
    let mut found_until: FxHashMap<Held, u64> = FxHashMap::default();
    for op in named {
        if let Some(found) = op.effect.finds {
            let until = found_until.entry(found).or_default();
            *until = op.ret.max(*until);
        }
    }
    let may_matter = |op: &&Timed| {
        let left = op.effect.leaves.and_then(|value| found_until.get(&value));
        touches(op) && !is_named.contains(&op.invoke) && left.is_some_and(|until| *until > op.invoke)
    };
    if let Some(op) = all.iter().find(may_matter) {
        return Err(format!("the operation of event {} is left out, and its value is found", op.invoke));
    }
    let mut tried = Vec::new();
    for op in named {
        let (is_within, is_read) = (op.invoke >= from && op.ret < before, op.effect.leaves.is_none());
        if is_within || !is_read {
            let ret = if is_within { op.ret } else { u64::MAX };
            tried.push(Tried { op: op.effect, invoke: op.invoke, ret, is_read });
        }
    }
    let mut initials = vec![Held::Nil];
    if from > 0 {
        initials.push(Held::Stranger);
        initials.extend(tried.iter().filter_map(|op| op.op.finds));
        initials.sort_unstable();
        initials.dedup();
    }
    let mut all_tried = true;
    for initial in initials {
        match explore(&Register, initial, &tried, ATTEMPTS_MAX) {
            Explored::Order(_) => return Ok(Some(false)),
            Explored::None(_) => {}
            Explored::TooLarge(_) => all_tried = false,
        }
    }
    Ok(all_tried.then_some(true))
}
