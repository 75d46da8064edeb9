//! Independent keys, decided beside each other.
//!
//! What a key may cost, and so its verdict, depends neither on how many threads there are nor on which of them is faster:
//! each key may take the whole budget of steps, and counts as decided only if it and the keys before it stayed within the
//! total; and of the memory each gets a fixed share. A key for which its share was too little is tried again, alone and
//! with all of it.

use std::{
    sync::{
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use super::{
    Budget, NonlinearizableKey,
    search::{Allowance, Shortage},
    witness::Witness,
};

/// Keys decided at the same time, at most.
const WORKERS_MAX: usize = 4;

/// What became of a key.
#[derive(Debug)]
pub(crate) struct KeyOutcome {
    /// Operations considered.
    pub(crate) ops: u64,
    /// Steps taken.
    pub(crate) steps: u64,
    pub(crate) decision: KeyDecision,
    /// What bears it out, where a certificate is asked for.
    pub(crate) witness: Option<Witness>,
}

#[derive(Debug)]
pub(crate) enum KeyDecision {
    Linearizable,
    Nonlinearizable(Box<NonlinearizableKey>),
    Undecided {
        reason: String,
        /// More memory might help.
        is_short_of_memory: bool,
    },
}

impl KeyDecision {
    /// The search gave up at the return of the `reached`-th of the key's operations.
    pub(crate) fn gave_up(shortage: Shortage, reached: usize, ops: usize) -> Self {
        Self::Undecided {
            reason: format!("{shortage} (no attempt came past the return of operation {reached} of {ops})"),
            is_short_of_memory: matches!(shortage, Shortage::Memory(_)),
        }
    }

    /// A verdict that did not pass its own re-check is none.
    pub(crate) fn unconfirmed() -> Self {
        debug_assert!(false, "a verdict did not pass its re-check");
        let reason = "what was found did not pass its re-check: a defect of the checker, please report it".into();
        Self::Undecided { reason, is_short_of_memory: false }
    }
}

/// Decides each key; the outcomes are in the order of the keys.
pub(crate) fn decide_all<K: Sync>(
    keys: &[K],
    budget: &Budget,
    decide: impl Fn(&K, Allowance) -> KeyOutcome + Sync,
) -> Vec<KeyOutcome> {
    let shares = keys.len().clamp(1, WORKERS_MAX);
    let steps = budget.steps_per_key.min(budget.steps_total);
    let shared = Allowance { steps, memo_bytes: budget.memo_bytes / shares };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(shares);
    let (next, spent) = (AtomicUsize::new(0), AtomicU64::new(0));
    let mut outcomes: Vec<Option<KeyOutcome>> = Vec::new();
    outcomes.resize_with(keys.len(), || None);
    let work = |done: &mut dyn FnMut(usize, KeyOutcome)| {
        // Keys are begun in their order: once the keys that are done have spent the total, those not begun come too late.
        while spent.load(Ordering::Relaxed) < budget.steps_total.max(1) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(key) = keys.get(at) else { return };
            let outcome = decide(key, shared);
            spent.fetch_add(outcome.steps, Ordering::Relaxed);
            done(at, outcome);
        }
    };
    if threads == 1 {
        work(&mut |at, outcome| outcomes[at] = Some(outcome));
    } else {
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            for _ in 0..threads {
                let (sender, work) = (sender.clone(), &work);
                // (The receiver lives until all senders are gone.)
                scope.spawn(move || work(&mut |at, outcome| drop(sender.send((at, outcome)))));
            }
            drop(sender);
            for (at, outcome) in receiver {
                outcomes[at] = Some(outcome);
            }
        });
    }
    let mut spent = 0_u64;
    let late = || KeyDecision::Undecided {
        reason: format!("the {} steps for all keys were spent on those before it", budget.steps_total),
        is_short_of_memory: false,
    };
    let outcome = |(key, outcome): (&K, Option<KeyOutcome>)| {
        let left = budget.steps_total.saturating_sub(spent);
        let Some(mut outcome) = outcome else {
            return KeyOutcome { ops: 0, steps: 0, decision: late(), witness: None };
        };
        let is_short_of_memory = matches!(outcome.decision, KeyDecision::Undecided { is_short_of_memory: true, .. });
        if is_short_of_memory && shares > 1 {
            outcome = decide(key, Allowance { steps, memo_bytes: budget.memo_bytes });
        }
        if spent > 0 && outcome.steps > left {
            (outcome.decision, outcome.witness) = (late(), None);
        }
        spent = spent.saturating_add(outcome.steps);
        outcome
    };
    keys.iter().zip(outcomes).map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is decided depends on the order of the keys alone, however long each takes.
    #[test]
    fn the_total_is_spent_in_the_order_of_the_keys() {
        let budget = Budget { steps_per_key: 50, steps_total: 100, memo_bytes: 1000 };
        let keys = [30_u64, 50, 20, 1, 10];
        for slow in 0..keys.len() {
            let outcomes = decide_all(&keys, &budget, |steps, allowance| {
                assert_eq!(allowance, Allowance { steps: 50, memo_bytes: 250 });
                if *steps == keys[slow] {
                    thread::sleep(std::time::Duration::from_millis(20));
                }
                KeyOutcome { ops: 1, steps: *steps, decision: KeyDecision::Linearizable, witness: None }
            });
            let is_decided = |outcome: &KeyOutcome| matches!(outcome.decision, KeyDecision::Linearizable);
            let decided: Vec<bool> = outcomes.iter().map(is_decided).collect();
            assert_eq!(decided, [true, true, true, false, false], "key {slow} was slow");
        }
    }

    #[test]
    fn a_key_short_of_memory_gets_all_of_it() {
        let budget = Budget { steps_per_key: 50, steps_total: 100, memo_bytes: 1000 };
        let outcomes = decide_all(&[100, 400, 2000], &budget, |needed, allowance| {
            let decision = if allowance.memo_bytes < *needed {
                KeyDecision::gave_up(Shortage::Memory(allowance.memo_bytes), 0, 1)
            } else {
                KeyDecision::Linearizable
            };
            KeyOutcome { ops: 1, steps: 1, decision, witness: None }
        });
        let decisions: Vec<KeyDecision> = outcomes.into_iter().map(|outcome| outcome.decision).collect();
        assert!(matches!(
            &decisions[..],
            [KeyDecision::Linearizable, KeyDecision::Linearizable, KeyDecision::Undecided { .. }]
        ));
    }
}
