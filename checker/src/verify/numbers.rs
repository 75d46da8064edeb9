//! Numbers that are added to, of which an answer is impossible by sums alone, however many operations there are.
//!
//! Nothing but necessary conditions, each of the whole key and linear but for sorting; where all adds are alike, they are
//! sufficient, too: a number that grows as little as acknowledged adds and answers so far demand then gives every answer.

use super::model::return_of;
use crate::{
    history::{Op, Outcome},
    linearizability::models::{FetchAndAdd, ModelOp},
};

/// What was added up to an event.
struct Sums(Vec<(u64, i128)>);

impl Sums {
    fn of(adds: impl Iterator<Item = (u64, i128)>) -> Self {
        let mut sums: Vec<(u64, i128)> = adds.collect();
        sums.sort_unstable_by_key(|(event, _)| *event);
        let mut sum = 0;
        for (_, added) in &mut sums {
            sum += *added;
            *added = sum;
        }
        Self(sums)
    }

    fn before(&self, event: u64) -> i128 {
        let end = self.0.partition_point(|(at, _)| *at < event);
        end.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

/// The highest number known by the returns up to an event.
struct Highest(Vec<(u64, i128)>);

impl Highest {
    fn of(known: impl Iterator<Item = (u64, i128)>) -> Self {
        let mut known: Vec<(u64, i128)> = known.collect();
        known.sort_unstable_by_key(|(ret, _)| *ret);
        for at in 1..known.len() {
            known[at].1 = known[at].1.max(known[at - 1].1);
        }
        Self(known)
    }

    fn before(&self, event: u64) -> Option<i128> {
        let end = self.0.partition_point(|(ret, _)| *ret < event);
        end.checked_sub(1).map(|last| self.0[last].1)
    }
}

/// Whether a read among the named operations cannot have been told what it was, of a counter.
///
/// Adds acknowledged before its invocation had happened, adds invoked after its return had not, and any of the rest may
/// have: that bounds the sum. It is a multiple of what all adds have in common. And while nothing negative is added, no
/// read is told less than one before it.
pub(super) fn counter(all: &[Op<'_>], named: &[Op<'_>]) -> bool {
    let int = |op: &Op<'_>| ModelOp::of(op).value.as_int().map(i128::from);
    let adds = || {
        all.iter().filter(|op| op.f.name() == "add").filter_map(|op| Some((op.invoke_index, return_of(op), int(op)?)))
    };
    let is_answer = |op: &&Op<'_>| op.f.name() == "read" && op.outcome == Outcome::Ok;
    let invoked = |sign: i128| Sums::of(adds().map(move |(invoke, _, n)| (invoke, (n * sign).max(0) * sign)));
    let returned = |sign: i128| Sums::of(adds().map(move |(_, ret, n)| (ret, (n * sign).max(0) * sign)));
    let (up_invoked, up_returned, down_invoked, down_returned) = (invoked(1), returned(1), invoked(-1), returned(-1));
    let common = adds().fold(0, |common, (.., n)| common_divisor(common, n.abs()));
    // 1: the number only grows, -1: it only falls.
    let direction = match (adds().any(|(.., n)| n > 0), adds().any(|(.., n)| n < 0)) {
        (true, true) => 0,
        (_, false) => 1,
        (false, true) => -1,
    };
    let reads = all.iter().filter(is_answer).filter_map(|op| Some((return_of(op), int(op)? * direction)));
    let earlier = Highest::of(reads);
    named.iter().filter(is_answer).any(|op| {
        let Some(answer) = int(op) else { return false };
        let (invoke, ret) = (op.invoke_index, return_of(op));
        answer > down_returned.before(invoke) + up_invoked.before(ret)
            || answer < up_returned.before(invoke) + down_invoked.before(ret)
            || answer.checked_rem(common).is_some_and(|rest| rest != 0)
            || earlier.before(invoke).is_some_and(|earlier| earlier > answer * direction)
    })
}

fn common_divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Whether one of the named operations cannot have been told what it was, of a fetch-and-add. Only where every number
/// added is positive: then the number passes each value at most once, and whatever found less came before whatever found
/// more.
pub(super) fn fetch_and_add(all: &[Op<'_>], named: &[Op<'_>]) -> bool {
    /// What an operation was told, and what the number was after it.
    struct Told {
        found: i128,
        after: i128,
        invoke: u64,
        ret: u64,
    }
    let told = |op: &Op<'_>| -> Option<Told> {
        let model_op = ModelOp::of(op);
        let (found, delta) = match op.f.name() {
            "read" if op.outcome == Outcome::Ok => (model_op.value.as_int()?, 0),
            "read" => return None,
            _ => FetchAndAdd::parts(&model_op).and_then(|(delta, found)| Some((found?, delta)))?,
        };
        let found = i128::from(found);
        Some(Told { found, after: found + i128::from(delta), invoke: op.invoke_index, ret: return_of(op) })
    };
    // Those that were told nothing: what they add, and when they were invoked.
    let mut untold: Vec<(u64, i128)> = Vec::new();
    for op in all.iter().filter(|op| op.f.name() != "read") {
        match FetchAndAdd::parts(&ModelOp::of(op)) {
            Some((delta, _)) if delta <= 0 => return false,
            Some((delta, None)) => untold.push((op.invoke_index, i128::from(delta))),
            Some(_) => {}
            None => return false,
        }
    }
    untold.sort_unstable();
    let unit = untold.first().map(|(_, delta)| *delta);
    let alike = untold.iter().all(|(_, delta)| Some(*delta) == unit);
    let mut adds: Vec<(i128, i128)> = all
        .iter()
        .filter_map(told)
        .filter(|told| told.after > told.found)
        .map(|told| (told.found, told.after))
        .collect();
    adds.sort_unstable();
    let mut sum = 0;
    let sums: Vec<i128> = adds
        .iter()
        .map(|(found, after)| {
            sum += after - found;
            sum
        })
        .collect();
    let earlier = Highest::of(all.iter().filter_map(told).map(|told| (told.ret, told.after)));
    // The lowest number found by those invoked later: the highest below zero, with time reversed.
    let later = Highest::of(all.iter().filter_map(told).map(|told| (!told.invoke, -told.found)));
    named.iter().filter_map(told).any(|told| {
        let below = adds.partition_point(|(found, _)| *found < told.found);
        let passed_over = below.checked_sub(1).is_some_and(|last| adds[last].1 > told.found);
        let twice = told.after > told.found && adds.get(below + 1).is_some_and(|(found, _)| *found == told.found);
        // What those that were told nothing must have added.
        let rest = told.found - below.checked_sub(1).map_or(0, |last| sums[last]);
        let unexplained = match unit {
            _ if rest < 0 => true,
            None => rest != 0,
            Some(unit) if alike => {
                let in_time = untold.partition_point(|(invoke, _)| *invoke < told.ret);
                rest % unit != 0 || rest / unit > in_time as i128
            }
            Some(_) => false,
        };
        passed_over
            || twice
            || unexplained
            || earlier.before(told.invoke).is_some_and(|earlier| earlier > told.found)
            || later.before(!told.ret).is_some_and(|later| -later < told.after)
    })
}
