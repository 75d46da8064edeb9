//! Fetch-and-add of positive numbers: O(n log n).
//!
//! The number only grows, so each answer tells the place of its call: a fetch-and-add that found 5 and added 2 comes after
//! whatever found less, nothing can have found or read 6, and something must have made the number 5. Numbers that nobody
//! is known to have made were made by indeterminate calls, which were told nothing. Where all add the same, how many there
//! were is then known; as they never return, it is best to let the one invoked first make the lowest.

use std::collections::BTreeMap;

use super::{Call, Contradiction, Monitored, NEVER, blocks::in_order};
use crate::linearizability::models::{FetchAndAdd, ModelOp};

/// Decides a history of `fetch-and-add` and `read`.
pub(crate) fn fetch_and_add(calls: &[Call<'_>]) -> Monitored {
    match decide(calls).unwrap_or_else(|decided| decided) {
        Monitored::Contradiction(_) => earliest(calls),
        decided => decided,
    }
}

/// The contradiction by the earliest return by which there is one, of a history that has one: up to there, all could be
/// explained. (What later calls were told says nothing yet.)
fn earliest(calls: &[Call<'_>]) -> Monitored {
    let mut returns: Vec<(u32, u32)> =
        (0..).zip(calls).filter(|(_, call)| call.ret != NEVER).map(|(at, call)| (call.ret, at)).collect();
    returns.sort_unstable();
    let until = |number: usize| {
        let end = returns[number].0;
        let open = |call: &Call<'_>| call.ret > end && call.ret != NEVER;
        let kept = (0..).zip(calls).filter(|(_, call)| call.invoke < end && !(open(call) && call.op.f == "read"));
        let (positions, calls): (Vec<u32>, Vec<Call<'_>>) = kept
            .map(|(at, call)| match open(call) {
                true => (at, Call { ret: NEVER, op: ModelOp { is_ok: false, ..call.op }, ..*call }),
                false => (at, *call),
            })
            .unzip();
        (positions, decide(&calls).unwrap_or_else(|decided| decided))
    };
    let (mut low, mut high) = (0, returns.len().saturating_sub(1));
    while low < high {
        let middle = low + (high - low) / 2;
        match until(middle).1 {
            Monitored::Contradiction(_) => high = middle,
            _ => low = middle + 1,
        }
    }
    match until(high) {
        (calls, Monitored::Contradiction(found)) => {
            let (end, shown_by) = returns[high];
            Monitored::Contradiction(Contradiction { calls, before: end + 1, shown_by, why: found.why })
        }
        (_, decided) => decided,
    }
}

fn decide(calls: &[Call<'_>]) -> Result<Monitored, Monitored> {
    // The calls by what they found, with what they added.
    let mut by_found: BTreeMap<i64, (i64, u32)> = BTreeMap::new();
    let mut reads: Vec<(i64, u32)> = Vec::new();
    let mut loose: Vec<(i64, u32)> = Vec::new();
    let mut doubled = None;
    for (at, call) in (0..).zip(calls) {
        if call.op.f == "read" {
            reads.extend(call.op.value.as_int().filter(|_| call.ret != NEVER).map(|read| (read, at)));
            continue;
        }
        let Some((delta, found)) = FetchAndAdd::parts(&call.op).filter(|(delta, _)| *delta > 0) else {
            return Err(Monitored::NotApplicable);
        };
        match found {
            None => loose.push((delta, at)),
            Some(found) => {
                if let Some((_, other)) = by_found.insert(found, (delta, at)) {
                    doubled.get_or_insert((other, at));
                }
            }
        }
    }
    // (Only now is it known that every number is positive.)
    if let Some((other, at)) = doubled {
        return Err(Contradiction::of(vec![other], at, "another call found the same number and added to it".into()));
    }
    // With indeterminate calls, gaps can only be counted out where all add the same.
    let unit = loose.first().map(|(delta, _)| *delta);
    if loose.iter().any(|(delta, _)| Some(*delta) != unit) {
        return Err(Monitored::NotApplicable);
    }
    let mut loose = loose.into_iter();
    let mut blocks: Vec<(u64, u32)> = Vec::with_capacity(calls.len());
    reads.sort_unstable();
    let mut reads = reads.into_iter().peekable();
    let mut number = 0_i128;
    // Blocks of `in_order`: reads that found the same may stand in any order.
    let mut block = 0;
    let whole = |at: u32, why: &str| Contradiction::of(Vec::new(), at, why.into());
    // From one number that was seen to the next.
    let mut found = by_found.into_iter().peekable();
    loop {
        let next_found = found.peek().map(|(found, _)| *found);
        let next_read = reads.peek().map(|(read, _)| *read);
        let Some(next) = next_found.into_iter().chain(next_read).min().map(i128::from) else { break };
        let read_by = reads.peek().filter(|(read, _)| i128::from(*read) == next).map(|(_, at)| *at);
        let seen_by = read_by.or_else(|| found.peek().map(|(_, (_, at))| *at));
        let Some(seen_by) = seen_by else { break };
        if next < number {
            return Err(whole(seen_by, "the number was never that"));
        }
        while number < next {
            let Some((delta, at)) = loose.next() else {
                return Err(whole(seen_by, "no calls that can have happened make the number that"));
            };
            block += 1;
            blocks.push((block, at));
            number += i128::from(delta);
        }
        if number > next {
            return Err(whole(seen_by, "no calls that can have happened make the number that"));
        }
        block += 1;
        while let Some((_, at)) = reads.next_if(|(read, _)| i128::from(*read) == number) {
            blocks.push((block, at));
        }
        if let Some((_, (delta, at))) = found.next_if(|(found, _)| i128::from(*found) == number) {
            block += 1;
            blocks.push((block, at));
            number += i128::from(delta);
        }
    }
    in_order(calls, blocks).map(Monitored::Linearizable).map_err(|(later, earlier)| {
        // The one that has an answer; one of them does, for two calls without never disagree with real time.
        let shown_by = if calls[earlier as usize].ret == NEVER { later } else { earlier };
        let why = if shown_by == earlier {
            "a call that had ended before it began was told more"
        } else {
            "that needs a call which was only invoked after it had ended"
        };
        whole(shown_by, why)
    })
}
