//! The rules in force, what they do to an operation, and how often they did it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::files::{Whose, whose};
use super::rule::{DiskEffect, DiskOperation, DiskRule};

/// What the rules together make of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    /// How long it waits first. Delays of several rules add up.
    pub(super) delay_ms: u64,
    /// The error code with which it then fails: of several the first rule's.
    pub(super) error: Option<i32>,
    /// For a write: takes a part only; which part, this decides.
    pub(super) short: Option<u64>,
}

impl Verdict {
    /// How many of these bytes a write takes. A single byte cannot be taken in part.
    pub(super) fn taken(self, bytes: usize) -> usize {
        match self.short {
            Some(draw) if bytes > 1 => 1 + (draw % (bytes as u64 - 1)) as usize,
            _ => bytes,
        }
    }
}

/// How often a rule was asked and how often it acted, on operations of the database (probes are apart).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Operations that it is about.
    pub(super) matched: u64,
    /// Those that it changed.
    pub(super) hit: u64,
}

#[derive(Debug, Default)]
struct Counters {
    /// Of every operation, the probes' included: the position in the rule's sequence of random numbers.
    drawn: AtomicU64,
    matched: AtomicU64,
    hit: AtomicU64,
}

#[derive(Debug)]
struct InForce {
    id: u32,
    rule: DiskRule,
    counters: Arc<Counters>,
}

/// The rules of one node.
#[derive(Debug, Default)]
pub(super) struct Judge {
    in_force: RwLock<Vec<InForce>>,
    /// Of every rule that ever was: what a rule did is asked when it is lifted.
    counters: RwLock<BTreeMap<u32, Arc<Counters>>>,
}

impl Judge {
    /// Sets or replaces a rule.
    pub(super) fn set(&self, id: u32, rule: DiskRule) {
        let counters = {
            let mut all = self.counters.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(id).or_default())
        };
        let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
        in_force.retain(|other| other.id != id);
        in_force.push(InForce { id, rule, counters });
        in_force.sort_by_key(|rule| rule.id);
    }

    /// Lifts a rule; one that is not there is no error.
    pub(super) fn lift(&self, id: u32) {
        self.in_force.write().unwrap_or_else(PoisonError::into_inner).retain(|rule| rule.id != id);
    }

    pub(super) fn rules(&self) -> BTreeMap<u32, DiskRule> {
        let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
        in_force.iter().map(|rule| (rule.id, rule.rule.clone())).collect()
    }

    pub(super) fn counts(&self) -> BTreeMap<u32, Counts> {
        let all = self.counters.read().unwrap_or_else(PoisonError::into_inner);
        let count = |counters: &Arc<Counters>| Counts {
            matched: counters.matched.load(Ordering::Relaxed),
            hit: counters.hit.load(Ordering::Relaxed),
        };
        all.iter().map(|(&id, counters)| (id, count(counters))).collect()
    }

    /// What happens to an operation on one of these paths (old and new name of a rename). The paths cost a system call,
    /// so they are asked for only if a rule is about the operation.
    pub(super) fn judge(&self, operation: DiskOperation, paths: impl FnOnce() -> Vec<String>) -> Verdict {
        let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
        let about = |rule: &&InForce| rule.rule.operations.contains(&operation);
        let mut verdict = Verdict::default();
        if !in_force.iter().any(|rule| about(&rule)) {
            return verdict;
        }
        let paths = paths();
        for InForce { id, rule, counters } in in_force.iter().filter(about) {
            let owners = || paths.iter().map(|path| whose(path, *id, operation));
            let probe = owners().any(|owner| owner == Whose::Probe);
            let other_probe = owners().any(|owner| owner == Whose::OtherProbe);
            if other_probe || !paths.iter().any(|path| rule.files.contains(path)) {
                continue;
            }
            let number = counters.drawn.fetch_add(1, Ordering::Relaxed);
            let draw = random(rule.seed ^ u64::from(*id).rotate_left(32), number);
            let hits = draw % 1_000_000 < u64::from(rule.probability_ppm);
            if !probe {
                counters.matched.fetch_add(1, Ordering::Relaxed);
                counters.hit.fetch_add(u64::from(hits), Ordering::Relaxed);
            }
            if hits {
                match rule.effect {
                    DiskEffect::Delay(ms) => verdict.delay_ms = verdict.delay_ms.saturating_add(ms),
                    DiskEffect::Fail(error) => verdict.error = verdict.error.or(Some(error.code())),
                    DiskEffect::Short => verdict.short = verdict.short.or(Some(draw / 1_000_000)),
                }
            }
        }
        verdict
    }
}

/// The number at this position of a sequence: SplitMix64 (Steele, Lea, Flood 2014), which can be entered anywhere.
fn random(seed: u64, number: u64) -> u64 {
    let mut mixed = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::files::DiskFiles;
    use super::super::rule::DiskError;
    use super::*;

    fn rule(files: &str, operations: &[DiskOperation], effect: DiskEffect, probability_ppm: u32) -> DiskRule {
        let operations = operations.iter().copied().collect();
        DiskRule { files: DiskFiles::parse(files).unwrap(), operations, effect, probability_ppm, seed: 5 }
    }

    fn judged(judge: &Judge, operation: DiskOperation, path: &str) -> Verdict {
        judge.judge(operation, || vec![path.to_owned()])
    }

    use DiskOperation::{Create, Fsync, Read, Write};

    #[test]
    fn rules_compose_and_are_lifted_one_by_one() {
        let judge = Judge::default();
        judge.set(1, rule("wal", &[Write, Fsync], DiskEffect::Delay(50), 1_000_000));
        judge.set(2, rule("all", &[Fsync], DiskEffect::Delay(7), 1_000_000));
        judge.set(3, rule("wal", &[Write], DiskEffect::Fail(DiskError::NoSpace), 1_000_000));
        judge.set(4, rule("all", &[Write], DiskEffect::Fail(DiskError::Io), 1_000_000));
        let wal = "pg_wal/1";
        assert_eq!(judged(&judge, Fsync, wal), Verdict { delay_ms: 57, ..Verdict::default() });
        assert_eq!(judged(&judge, Write, wal), Verdict { delay_ms: 50, error: Some(nix::libc::ENOSPC), short: None });
        assert_eq!(judged(&judge, Write, "base/1").error, Some(nix::libc::EIO));
        assert_eq!(judged(&judge, Read, wal), Verdict::default());
        assert_eq!(judged(&judge, Create, wal), Verdict::default());
        judge.lift(3);
        judge.lift(3);
        assert_eq!(judged(&judge, Write, wal).error, Some(nix::libc::EIO));
        assert_eq!(judge.rules().keys().copied().collect::<Vec<_>>(), [1, 2, 4]);
        // What a lifted rule did is remembered; probes do not count.
        assert_eq!(judge.counts()[&3], Counts { matched: 1, hit: 1 });
        assert_eq!(judge.counts()[&4], Counts { matched: 3, hit: 3 });
        assert_eq!(judged(&judge, Write, "schism-probe-4-write").error, Some(nix::libc::EIO));
        assert_eq!(judge.counts()[&4], Counts { matched: 3, hit: 3 });
        // A probe is touched by its own fault's rule only, and only when it does what it is for.
        assert_eq!(judged(&judge, Write, "schism-probe-5-write"), Verdict::default());
        assert_eq!(judged(&judge, Write, "schism-probe-4-fsync"), Verdict::default());
    }

    #[test]
    fn a_share_is_a_share_and_repeats_itself() {
        let hits = || {
            let judge = Judge::default();
            judge.set(9, rule("all", &[Write], DiskEffect::Fail(DiskError::Io), 300_000));
            (0..10_000).map(|_| judged(&judge, Write, "x").error.is_some()).collect::<Vec<_>>()
        };
        let first = hits();
        let share = first.iter().filter(|hit| **hit).count();
        assert!((2_800..3_200).contains(&share), "{share}");
        assert_eq!(first, hits());
    }

    #[test]
    fn a_short_write_takes_something_and_not_all() {
        for bytes in [2, 3, 100, 8_192] {
            for draw in 0..1_000 {
                let taken = Verdict { short: Some(draw), ..Verdict::default() }.taken(bytes);
                assert!((1..bytes).contains(&taken), "{taken} of {bytes}");
            }
        }
        assert_eq!(Verdict { short: Some(3), ..Verdict::default() }.taken(1), 1);
        assert_eq!(Verdict::default().taken(10), 10);
    }

    #[test]
    fn paths_are_not_asked_for_when_no_rule_is_about_the_operation() {
        let judge = Judge::default();
        judge.set(1, rule("wal", &[Write], DiskEffect::Short, 1_000_000));
        let verdict = judge.judge(Fsync, || panic!("a system call for nothing"));
        assert_eq!(verdict, Verdict::default());
    }
}
