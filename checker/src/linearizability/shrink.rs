//! Takes out of a key's part what its contradiction does not need.
//!
//! Not every subset of a history that is not linearizable says anything: of `write 7 ok, read 7 ok` the read alone is
//! not linearizable, and the whole is. So a call is only taken out where that keeps every linearization of the rest
//! possible:
//!
//! - *What comes after* some moment: linearizability is closed under prefixes. (What was pending at that moment may have
//!   happened or not.)
//! - *What comes before* some moment, if in exchange the register may begin with any value, and what was pending at
//!   that moment may have happened or not. (So if the window alone is impossible, the whole is.)
//! - *A read*: it changes nothing.
//! - *A write or cas whose value nobody kept observes and could have from it*: those that observe the value returned
//!   before it was invoked. Taken out of an order, what follows up to the next change is gone too, and the next change
//!   is a write.
//!
//! Taken together: if what is kept were linearizable, so would be what is kept within the window, in exchange for any
//! first value; so what is kept is impossible by itself, as it stands. Each step is tried on the search. The order of steps is fixed and their cost bounded, so the evidence is the same on
//! every machine; past the budget it is only larger.

use rustc_hash::FxHashSet;

use super::{
    model::{CasRegister, RegisterOp, ValueId},
    partition::{Call, NEVER, Part},
    search::{Allowance, Answer, search},
};

/// Steps for all attempts.
const STEPS_MAX: u64 = 4_000_000;
/// Steps for one attempt.
const ATTEMPT_STEPS_MAX: u64 = 500_000;
const MEMO_BYTES_MAX: usize = 15_000_000;

/// What is left.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// As they are in the part.
    pub(crate) calls: Vec<Call>,
    /// The call whose return makes it impossible: up to there all could still be explained.
    pub(crate) stuck: Call,
    /// Impossible whatever the register held when it began, rather than from nil. (Where every value is produced once,
    /// it held none of those that the calls themselves produce.)
    pub(crate) is_window: bool,
    /// Index of the event with which the window begins; 0: with the history.
    pub(crate) from: u32,
    /// Index of the event before which it ends; [`NEVER`]: with the history.
    pub(crate) before: u32,
}

/// Shrinks the evidence against a part that the search found not linearizable (`proven`), or about which it could not
/// decide: then there is evidence only if a window around the place where it was stuck is impossible by itself. (A
/// search that fails late in a long history goes back through all of it before it can say so; a window need not.)
pub(crate) fn shrink(part: &Part, stuck_at: u32, proven: bool) -> Option<Evidence> {
    let calls = &part.calls;
    let around = stuck_at as usize;
    let nearest = calls[around];
    // A value out of nowhere needs no other evidence.
    if let Some(value) = nearest.op.observes()
        && value != 0
        && nearest.ret != NEVER
        && !calls
            .iter()
            .any(|call| call.op.produces() == Some(value) && call.invoke < nearest.ret && call.invoke != nearest.invoke)
    {
        return Some(Evidence { calls: vec![nearest], stuck: nearest, is_window: false, from: 0, before: NEVER });
    }
    // Where the search got stuck is near the contradiction, but as it looks ahead, not always after it. Ever larger
    // windows around it; the largest is the whole part, of which we know that it is impossible.
    let mut shrinker = Shrinker { steps: 0, start: 0, end: NEVER };
    let mut kept = calls.clone();
    let mut found = proven;
    let mut size = 8;
    while size < calls.len() && shrinker.steps < STEPS_MAX / 2 {
        shrinker.start = around.checked_sub(size).map_or(0, |first| calls[first].invoke);
        shrinker.end = calls.get(around + size).map_or(NEVER, |last| last.invoke);
        let window = shrinker.cut(calls);
        if shrinker.impossible(&window) {
            (kept, found) = (window, true);
            break;
        }
        (shrinker.start, shrinker.end) = (0, NEVER);
        size *= 2;
    }
    if !found {
        return None;
    }
    // The earliest return by which it is impossible: whose operation is to blame. Prefixes of it are possible.
    let mut ends: Vec<u32> =
        kept.iter().map(|call| call.ret).filter(|ret| *ret < shrinker.end && *ret >= shrinker.start).collect();
    ends.sort_unstable();
    let (mut low, mut high) = (0, ends.len().saturating_sub(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let whole = std::mem::replace(&mut shrinker.end, ends[middle].saturating_add(1));
        if shrinker.impossible(&shrinker.cut(&kept)) {
            high = middle;
        } else {
            low = middle + 1;
        }
        shrinker.end = whole;
    }
    let blamed = ends.get(high).copied();
    if let Some(end) = blamed {
        shrinker.end = end.saturating_add(1);
        kept = shrinker.cut(&kept);
    }
    let stuck = kept.iter().find(|call| Some(call.ret) == blamed).copied().unwrap_or(nearest);
    // The latest beginning.
    let mut size = 4;
    while size < kept.len() {
        let whole = std::mem::replace(&mut shrinker.start, kept[kept.len() - size].invoke);
        let window = shrinker.cut(&kept);
        if shrinker.start > whole && shrinker.impossible(&window) {
            kept = window;
            break;
        }
        shrinker.start = whole;
        size *= 2;
    }
    // Ever smaller runs of calls.
    let mut run = kept.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < kept.len() && shrinker.steps < STEPS_MAX {
            let smaller = without(&kept, at..(at + run).min(kept.len()), stuck);
            if smaller.len() < kept.len() && shrinker.impossible(&smaller) {
                kept = smaller;
            } else {
                at += run;
            }
        }
        if run == 1 || shrinker.steps >= STEPS_MAX {
            break;
        }
        run = run.div_ceil(2);
    }
    Some(Evidence { calls: kept, stuck, is_window: shrinker.start > 0, from: shrinker.start, before: shrinker.end })
}

/// Makes evidence of calls of the part (by invocation) that contradict each other, taking out what even they do not
/// need. `is_window`: they do whatever the register held when the first of them began, but for values that they produce
/// themselves. `None` if by the search's word they do not.
pub(crate) fn shrink_proven(part: &Part, calls: Vec<Call>, is_window: bool) -> Option<Evidence> {
    let mut initials: Vec<ValueId> = vec![0];
    if is_window {
        let produced = |value: &ValueId| calls.iter().any(|call| call.op.produces() == Some(*value));
        initials.extend(calls.iter().filter_map(|call| call.op.observes()).filter(|value| !produced(value)));
    }
    let allowance = Allowance { steps: ATTEMPT_STEPS_MAX, memo_bytes: MEMO_BYTES_MAX };
    // (A contradiction too large for the search is not disproven.)
    let possible =
        |initial: &ValueId| matches!(search(&CasRegister, *initial, &calls, allowance).0, Answer::Linearizable(_));
    if initials.iter().any(possible) {
        return None;
    }
    // The last to return: before it, all could still be explained in some way.
    let returned = (0_u32..).zip(&calls).filter(|(_, call)| call.ret != NEVER);
    let stuck_at = returned.max_by_key(|(_, call)| call.ret).map_or(0, |(at, _)| at);
    if !is_window {
        return shrink(&Part { calls, values: part.values.clone() }, stuck_at, true);
    }
    let stuck = calls[stuck_at as usize];
    Some(Evidence { calls, stuck, is_window, from: 0, before: NEVER })
}

/// The calls without those of the range that may be taken out.
fn without(kept: &[Call], range: std::ops::Range<usize>, stuck: Call) -> Vec<Call> {
    let mut out: FxHashSet<u32> =
        kept[range].iter().filter(|call| call.id != stuck.id).map(|call| call.invoke).collect();
    loop {
        // A write stays if something that stays may have observed it. Keeping it may keep what wrote for it in turn.
        let stays = |call: &&Call| {
            let Some(value) = call.op.produces() else { return false };
            kept.iter().any(|other| {
                other.invoke != call.invoke
                    && !out.contains(&other.invoke)
                    && other.op.observes() == Some(value)
                    && other.ret > call.invoke
            })
        };
        let back: Vec<u32> =
            kept.iter().filter(|call| out.contains(&call.invoke)).filter(stays).map(|call| call.invoke).collect();
        if back.is_empty() {
            return kept.iter().filter(|call| !out.contains(&call.invoke)).copied().collect();
        }
        for invoke in back {
            out.remove(&invoke);
        }
    }
}

struct Shrinker {
    steps: u64,
    /// Event index at which the window begins; 0: with the history.
    start: u32,
    /// Event index before which it ends; [`NEVER`]: with the history.
    end: u32,
}

impl Shrinker {
    /// The calls that the window touches.
    fn cut(&self, calls: &[Call]) -> Vec<Call> {
        calls.iter().filter(|call| call.invoke < self.end && call.ret > self.start).copied().collect()
    }

    /// Whether the calls are impossible within the window.
    fn impossible(&mut self, calls: &[Call]) -> bool {
        let mut relaxed = Vec::with_capacity(calls.len());
        for call in calls {
            if call.invoke >= self.start && call.ret < self.end {
                relaxed.push(*call);
            } else if !matches!(call.op, RegisterOp::Read(_)) {
                relaxed.push(Call { ret: NEVER, ..*call });
            }
        }
        let mut initials: Vec<ValueId> = vec![0];
        if self.start > 0 {
            initials.extend(relaxed.iter().filter_map(|call| call.op.observes()));
            initials.sort_unstable();
            initials.dedup();
            // And a value that nobody knows.
            initials.push(ValueId::MAX);
        }
        initials.into_iter().all(|initial| {
            let allowance = Allowance {
                steps: ATTEMPT_STEPS_MAX.min(STEPS_MAX.saturating_sub(self.steps)),
                memo_bytes: MEMO_BYTES_MAX,
            };
            let (answer, steps) = search(&CasRegister, initial, &relaxed, allowance);
            self.steps += steps + relaxed.len() as u64;
            matches!(answer, Answer::NotLinearizable { .. })
        })
    }
}
