//! Independent keys: a history is linearizable exactly if each key's part is (Herlihy & Wing 1990, locality).

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::model::{RegisterOp, ValueId};
use crate::{
    authority,
    history::{F, History, Op, Outcome},
};

/// Never returns.
pub(crate) const NEVER: u32 = u32::MAX;

/// One operation of a key's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) op: RegisterOp,
    /// Event index of the invocation.
    pub(crate) invoke: u32,
    /// Event index of the ok completion; [`NEVER`]: it is indeterminate and may happen at any time after its
    /// invocation, or not at all.
    pub(crate) ret: u32,
    /// The operation in the history.
    pub(crate) id: u32,
}

/// The part of one key, by invocation.
#[derive(Debug, Default, Clone)]
pub(crate) struct Part {
    pub(crate) calls: Vec<Call>,
    /// The values by id, from 1; id 0 is nil.
    pub(crate) values: Vec<i64>,
}

impl Part {
    pub(crate) fn value(&self, id: ValueId) -> Option<i64> {
        self.values.get((id as usize).checked_sub(1)?).copied()
    }
}

/// The operations of each key. Failed operations certainly did not happen and indeterminate reads tell nothing: both are left
/// out. Final reads of replicas are left out too: they are no clients' reads, and a replica may lag (divergence
/// compares them).
///
/// Given are the operations' ids: a part is built when it is looked at, for all of them at once would take as much memory
/// as the history.
pub(crate) fn keys(history: &History) -> Vec<(i64, Vec<u32>)> {
    let counted_finals = counted_final_reads(history);
    let mut by_key: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for op in history.ops() {
        if op.outcome == Outcome::Fail || (op.outcome == Outcome::Info && *op.f == F::Read) {
            continue;
        }
        if op.is_final && counted_finals.binary_search(&op.id).is_err() {
            continue;
        }
        if let Some(key) = key_of(&op) {
            by_key.entry(key).or_default().push(op.id as u32);
        }
    }
    by_key.into_iter().collect()
}

/// The part made of these operations of one key.
pub(crate) fn part_of(history: &History, op_ids: &[u32]) -> Part {
    let mut part = Part { calls: Vec::with_capacity(op_ids.len()), values: Vec::new() };
    // Looked up only, never iterated: its order cannot reach a result.
    let mut ids: FxHashMap<i64, ValueId> = FxHashMap::default();
    for op in op_ids.iter().filter_map(|&id| history.op(id as usize)) {
        let mut id_of = |value: i64| {
            *ids.entry(value).or_insert_with(|| {
                part.values.push(value);
                part.values.len() as ValueId
            })
        };
        let register_op = match (op.f, op.value.as_keyed(), op.value.as_cas()) {
            (F::Read, Some((_, value)), _) => RegisterOp::Read(value.map_or(0, id_of)),
            (F::Write, Some((_, value)), _) => RegisterOp::Write(value.map_or(0, id_of)),
            (F::Cas, _, Some((_, old, new))) => {
                let old = old.map_or(0, &mut id_of);
                RegisterOp::Cas(old, new.map_or(0, id_of))
            }
            _ => continue,
        };
        let ret =
            if op.outcome == Outcome::Info { NEVER } else { op.complete_index.map_or(NEVER, |index| index as u32) };
        part.calls.push(Call { op: register_op, invoke: op.invoke_index as u32, ret, id: op.id as u32 });
    }
    drop_unobserved(&mut part);
    part
}

fn key_of(op: &Op<'_>) -> Option<i64> {
    match op.f {
        F::Read | F::Write => op.value.as_keyed().map(|(key, _)| key),
        F::Cas => op.value.as_cas().map(|(key, ..)| key),
        _ => None,
    }
}

/// Final reads that count as clients' reads: those of primaries; of a key on which several of them disagree, none
/// (which is divergence).
pub(crate) fn counted_final_reads(history: &History) -> Vec<usize> {
    let finals: Vec<Op<'_>> = history
        .ops()
        .filter(|op| op.is_final && op.outcome == Outcome::Ok && *op.f == F::Read && key_of(op).is_some())
        .collect();
    let counted = authority::authoritative(history, &finals).unwrap_or_default();
    let mut by_key: BTreeMap<i64, Vec<&Op<'_>>> = BTreeMap::new();
    for op in &counted {
        if let Some(key) = key_of(op) {
            by_key.entry(key).or_default().push(op);
        }
    }
    let agreed = by_key.into_values().filter(|ops| ops.windows(2).all(|pair| pair[0].value == pair[1].value));
    let mut ids: Vec<usize> = agreed.flatten().map(|op| op.id).collect();
    ids.sort_unstable();
    ids
}

/// Calls and returns in order, of calls given by both moments: position * 2, + 1 for a return.
pub(crate) fn events(calls: impl Iterator<Item = (u32, u32)>) -> Vec<u32> {
    let mut order: Vec<(u32, u32)> = Vec::with_capacity(2 * calls.size_hint().0);
    for (at, (invoke, ret)) in (0_u32..).zip(calls) {
        order.push((invoke, at * 2));
        if ret != NEVER {
            order.push((ret, at * 2 + 1));
        }
    }
    order.sort_unstable();
    order.into_iter().map(|(_, event)| event).collect()
}

/// Leaves out indeterminate writes and cas whose new value nobody observes (no ok read returns it, no ok or
/// indeterminate cas expects it).
///
/// If an order without them exists, it is an order with them: they may never have happened. If an order with one of
/// them, x, exists, take x out. Whatever follows x up to the next operation that changes the state found the value
/// that x left; but nobody observes that value, so nothing but that next operation follows; and as it does not observe
/// the value either, it is a write, possible in any state. So the order without x is legal.
///
/// (One pass is enough to be sound. What an indeterminate cas expects keeps a write alive even if the cas itself is
/// dropped; so passes are repeated while they drop something.)
pub(crate) fn drop_unobserved(part: &mut Part) {
    loop {
        let mut observed = vec![false; part.values.len() + 1];
        for value in part.calls.iter().filter_map(|call| call.op.observes()) {
            observed[value as usize] = true;
        }
        let before = part.calls.len();
        part.calls.retain(|call| {
            call.ret != NEVER || call.op.produces().is_none_or(|value| observed.get(value as usize) == Some(&true))
        });
        if part.calls.len() == before {
            return;
        }
    }
}
