//! Takes out of a contradiction what it does not need, for any model.
//!
//! Taken out is only what leaves every linearization of the rest possible:
//!
//! - *What comes after* the return at which every order ends. What was in flight then may have happened or not; where it
//!   ended ok later, with the answer that it gave. (Linearizability is closed under prefixes, and in the prefix of an order
//!   of everything each operation answers as it did.)
//! - *A read*: it changes nothing.
//! - *All operations that concern some parts of the object*, of which none that stays concerns any ([`Model::concerns`]).
//!
//! Each step is tried on the search, so what is left is impossible by itself. Steps are tried in a fixed order and their
//! work is bounded: past it the evidence is only larger.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use super::{
    general::{Call, search},
    models::Model,
    partition::NEVER,
    search::{Allowance, Answer},
};

/// Steps for all attempts.
const STEPS_MAX: u64 = 4_000_000;
/// Steps for one attempt, but for a longer history twice its length.
const ATTEMPT_STEPS_MAX: u64 = 200_000;
const MEMO_BYTES_MAX: usize = 50_000_000;

/// The calls without which there is no contradiction, up to the return of `stuck`, past which no order came.
pub(super) fn shrink<'h, M: Model>(model: &M, calls: &[Call<'h>], stuck: &Call<'h>) -> Vec<Call<'h>> {
    let mut kept: Vec<Call<'h>> = Vec::new();
    for call in calls.iter().filter(|call| call.invoke < stuck.ret) {
        if call.ret <= stuck.ret {
            kept.push(*call);
        } else if !model.is_read(&call.op) {
            kept.push(Call { ret: NEVER, ..*call });
        }
    }
    let mut steps = 0;
    for units in [reads, parts, reads] {
        let mut run = units(model, &kept, stuck).len().div_ceil(2);
        while run > 0 && steps < STEPS_MAX {
            let mut at = 0;
            loop {
                let units = units(model, &kept, stuck);
                if at >= units.len() || steps >= STEPS_MAX {
                    break;
                }
                let out: FxHashSet<u32> = units[at..(at + run).min(units.len())].iter().flatten().copied().collect();
                let fewer: Vec<Call<'h>> = kept.iter().filter(|call| !out.contains(&call.id)).copied().collect();
                if is_impossible(model, &fewer, &mut steps) {
                    kept = fewer;
                } else {
                    at += run;
                }
            }
            run = if run == 1 { 0 } else { run.div_ceil(2) };
        }
    }
    kept
}

/// Calls that contradict each other before an event, with all others that cannot be left out beside them (as the rules
/// above have it): for whoever checks it again. `shown` may leave out what does not help by the argument of a monitor.
pub(super) fn whole<'h, M: Model>(model: &M, calls: &[Call<'h>], shown: &[Call<'h>], before: u32) -> Vec<Call<'h>> {
    let until: Vec<Call<'h>> = calls
        .iter()
        .filter(|call| call.invoke < before && (call.ret < before || before == NEVER || !model.is_read(&call.op)))
        .map(|call| Call { ret: if call.ret < before { call.ret } else { NEVER }, ..*call })
        .collect();
    let mut kept: FxHashSet<u32> = shown.iter().map(|call| call.id).collect();
    let mut parts: FxHashSet<String> = FxHashSet::default();
    for call in until.iter().filter(|call| kept.contains(&call.id)) {
        match model.concerns(&call.op) {
            Some(names) => parts.extend(names),
            None => return until,
        }
    }
    loop {
        let mut added = false;
        for call in until.iter().filter(|call| !model.is_read(&call.op)) {
            if kept.contains(&call.id) {
                continue;
            }
            let Some(names) = model.concerns(&call.op) else { return until };
            if names.is_empty() || names.iter().any(|name| parts.contains(name)) {
                kept.insert(call.id);
                for name in names {
                    added |= parts.insert(name);
                }
            }
        }
        if !added {
            break;
        }
    }
    let closed: Vec<Call<'h>> = until.iter().filter(|call| kept.contains(&call.id)).copied().collect();
    // What was left out may have been what makes it impossible: an indeterminate call that was needed there.
    let allowance = Allowance { steps: ATTEMPT_STEPS_MAX, memo_bytes: MEMO_BYTES_MAX };
    if matches!(search(model, &closed, allowance).0, Answer::Linearizable(_)) { until } else { closed }
}

fn is_impossible<M: Model>(model: &M, calls: &[Call<'_>], steps: &mut u64) -> bool {
    let attempt = ATTEMPT_STEPS_MAX.max(4 * calls.len() as u64).min(STEPS_MAX - *steps);
    let (answer, taken) = search(model, calls, Allowance { steps: attempt, memo_bytes: MEMO_BYTES_MAX });
    *steps += taken + calls.len() as u64;
    *steps = (*steps).min(STEPS_MAX);
    matches!(answer, Answer::NotLinearizable { .. })
}

/// Each read but the one that got stuck, by the id of its operation.
fn reads<M: Model>(model: &M, kept: &[Call<'_>], stuck: &Call<'_>) -> Vec<Vec<u32>> {
    let is_free = |call: &&Call<'_>| call.id != stuck.id && model.is_read(&call.op);
    kept.iter().filter(is_free).map(|call| vec![call.id]).collect()
}

/// The operations of each set of parts that may be left out together, but for those that the one that got stuck concerns.
fn parts<M: Model>(model: &M, kept: &[Call<'_>], stuck: &Call<'_>) -> Vec<Vec<u32>> {
    // A number for each part; those that one operation joins are one set, whose root is its least number.
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut of_call: Vec<Option<Vec<usize>>> = Vec::new();
    for call in kept {
        let names = model.concerns(&call.op);
        if names.is_none() && !model.is_read(&call.op) {
            return Vec::new();
        }
        of_call.push(names.map(|names| {
            let number = |name: String| {
                let next = numbers.len();
                *numbers.entry(name).or_insert(next)
            };
            names.into_iter().map(number).collect()
        }));
    }
    let mut parent: Vec<usize> = (0..numbers.len()).collect();
    for (call, parts) in kept.iter().zip(&of_call) {
        let Some([first, rest @ ..]) = parts.as_deref() else { continue };
        // A read may always be left out, so it joins nothing.
        for other in rest.iter().filter(|_| !model.is_read(&call.op)) {
            let (one, other) = (root(&mut parent, *first), root(&mut parent, *other));
            parent[one.max(other)] = one.min(other);
        }
    }
    let mut sets: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    let mut needed: FxHashSet<usize> = FxHashSet::default();
    let mut everywhere: Vec<u32> = Vec::new();
    for (call, parts) in kept.iter().zip(&of_call) {
        match parts {
            Some(parts) => {
                for part in parts {
                    let set = root(&mut parent, *part);
                    sets.entry(set).or_default().push(call.id);
                    if call.id == stuck.id {
                        needed.insert(set);
                    }
                }
            }
            None if call.id == stuck.id => return Vec::new(),
            None => everywhere.push(call.id),
        }
    }
    let is_free = |(set, _): &(usize, Vec<u32>)| !needed.contains(set);
    sets.into_iter()
        .filter(is_free)
        .map(|(_, mut ids)| {
            ids.extend(&everywhere);
            ids
        })
        .collect()
}

/// The root of a set, whose members point to it by way of each other.
fn root(parent: &mut [usize], mut of: usize) -> usize {
    while parent[of] != of {
        parent[of] = parent[parent[of]];
        of = parent[of];
    }
    of
}
