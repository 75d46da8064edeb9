//! Takes out of a key's part what its contradiction does not need.
//!
//! Not every subset of a history that is not linearizable says anything: of `write 7 ok, read 7 ok` the read alone is
//! not linearizable, and the whole is. So a call is only taken out where that keeps every linearization of the rest
//! possible:
//!
//! - *What comes after* the return at which the search was stuck: linearizability is closed under prefixes.
//! - *What comes before* some moment, if in exchange the register may begin with any value, and what was pending at
//!   that moment may have happened or not. (So if the window alone is impossible, the whole is.)
//! - *A read*: it changes nothing.
//! - *A write or cas whose value nobody kept observes and could have from it*: those that observe the value returned
//!   before it was invoked. Taken out of an order, what follows up to the next change is gone too, and the next change
//!   is a write.
//!
//! Each step is tried on the search. The order of steps is fixed and their cost bounded, so the evidence is the same on
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
const MEMO_ENTRIES_MAX: usize = 200_000;

/// What is left.
pub(crate) struct Evidence {
    /// As they are in the part.
    pub(crate) calls: Vec<Call>,
    /// The call at whose return no attempt got further.
    pub(crate) stuck: Call,
    /// Impossible whatever the register held when it began, rather than from nil.
    pub(crate) is_window: bool,
}

/// Shrinks the evidence against a part that the search found not linearizable.
pub(crate) fn shrink(part: &Part, stuck_at: u32) -> Evidence {
    let stuck = part.calls[stuck_at as usize];
    let before: Vec<Call> = part.calls.iter().filter(|call| call.invoke < stuck.ret).copied().collect();
    let mut shrinker = Shrinker { steps: 0, window_start: 0 };
    // A value out of nowhere needs no other evidence.
    if let Some(value) = stuck.op.observes()
        && value != 0
        && !before.iter().any(|call| call.op.produces() == Some(value) && call.invoke != stuck.invoke)
    {
        return Evidence { calls: vec![stuck], stuck, is_window: false };
    }
    let mut kept = before;
    let mut stuck = stuck;
    // The shortest window of a power of two that is impossible.
    let mut size = 4;
    while size < kept.len() {
        let start = kept[kept.len() - size].invoke;
        let window: Vec<Call> = kept.iter().filter(|call| call.ret > start).copied().collect();
        shrinker.window_start = start;
        if let Some(new_stuck) = shrinker.impossible(&window) {
            (kept, stuck) = (window, new_stuck);
            break;
        }
        shrinker.window_start = 0;
        if shrinker.steps > STEPS_MAX / 2 {
            break;
        }
        size *= 2;
    }
    // Ever smaller runs of calls.
    let mut run = kept.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < kept.len() && shrinker.steps < STEPS_MAX {
            let smaller = without(&kept, at..(at + run).min(kept.len()), stuck);
            if smaller.len() < kept.len()
                && let Some(new_stuck) = shrinker.impossible(&smaller)
            {
                (kept, stuck) = (smaller, new_stuck);
            } else {
                at += run;
            }
        }
        if run == 1 {
            break;
        }
        run = run.div_ceil(2);
    }
    Evidence { calls: kept, stuck, is_window: shrinker.window_start > 0 }
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
    /// Event index at which the window begins; 0: it is the whole history.
    window_start: u32,
}

impl Shrinker {
    /// Whether the calls are impossible, and where the search is stuck.
    fn impossible(&mut self, calls: &[Call]) -> Option<Call> {
        let mut relaxed = Vec::with_capacity(calls.len());
        let mut initials: Vec<ValueId> = vec![0];
        for call in calls {
            if call.invoke >= self.window_start {
                relaxed.push(*call);
            } else if !matches!(call.op, RegisterOp::Read(_)) {
                relaxed.push(Call { ret: NEVER, ..*call });
            }
        }
        if self.window_start > 0 {
            initials.extend(relaxed.iter().filter_map(|call| call.op.observes()));
            initials.sort_unstable();
            initials.dedup();
            // And a value that nobody knows.
            initials.push(ValueId::MAX);
        }
        let mut stuck: Option<Call> = None;
        for initial in initials {
            let allowance = Allowance {
                steps: ATTEMPT_STEPS_MAX.min(STEPS_MAX.saturating_sub(self.steps)),
                memo_entries: MEMO_ENTRIES_MAX,
            };
            let (answer, steps) = search(&CasRegister, initial, &relaxed, allowance);
            self.steps += steps + relaxed.len() as u64;
            let Answer::NotLinearizable { stuck_at } = answer else { return None };
            let at = relaxed[stuck_at as usize];
            if stuck.is_none_or(|before| at.ret > before.ret) {
                stuck = Some(at);
            }
        }
        stuck
    }
}
