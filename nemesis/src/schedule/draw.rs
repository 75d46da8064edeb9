//! A schedule drawn from the seed.

use schism_seed::{Seed, Stream};

use super::{Entry, Schedule, ScheduleError, fits};
use crate::{Fault, FaultSpec, Kind, Target};

/// When drawn faults may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// No fault begins before, in milliseconds since the run started.
    pub start_ms: u64,
    /// Every fault has ended by then.
    pub end_ms: u64,
    /// Mean quiet time between the end of a fault and the beginning of the next; each is drawn between half and one
    /// and a half times as long. A quiet time in between lets the cluster recover, so that each fault meets a cluster
    /// that works, and RTO can be told per fault.
    pub interval_ms: u64,
    /// How long each fault is in force.
    pub duration_ms: u64,
}

impl Window {
    const fn length_ms(&self) -> u64 {
        self.end_ms.saturating_sub(self.start_ms)
    }
}

impl Schedule {
    /// Draws faults of these kinds from the seed's stream `faults`, one after the other, until the window is full. A
    /// window that has room for one fault gets one. No specs, no faults.
    ///
    /// # Errors
    /// A spec that cannot happen with so many nodes, or a window too short for one fault.
    pub fn draw(specs: &[FaultSpec], seed: Seed, window: &Window, nodes: usize) -> Result<Self, ScheduleError> {
        if specs.is_empty() {
            return Ok(Self::default());
        }
        let choices = specs.iter().map(|spec| Choice::of(spec, nodes)).collect::<Result<Vec<_>, _>>()?;
        let window_ms = window.length_ms();
        let duration_ms = window.duration_ms;
        let Some(slack_ms) = window_ms.checked_sub(duration_ms) else {
            return Err(ScheduleError::Window { duration_ms, window_ms });
        };
        let mut stream = seed.stream("faults");
        let mut entries = Vec::new();
        // The first fault comes early, and in any case early enough to fit.
        let mut at_ms = window.start_ms + stream.below(slack_ms.min(window.interval_ms / 2) + 1);
        while at_ms + duration_ms <= window.end_ms {
            let choice = &choices[stream.index(choices.len())];
            entries.push(choice.entry(&mut stream, at_ms, duration_ms));
            // At least a millisecond, so that an interval and a duration of 0 end too.
            let quiet_ms = window.interval_ms / 2 + stream.below(window.interval_ms + 1);
            at_ms += (duration_ms + quiet_ms).max(1);
        }
        Ok(Self::new(entries))
    }
}

/// A kind and the targets that it may have here.
struct Choice {
    kind: Kind,
    /// With its strength, where the user gave one; else every fault draws its own.
    fault: Option<Fault>,
    targets: Vec<Target>,
}

impl Choice {
    fn of(spec: &FaultSpec, nodes: usize) -> Result<Self, ScheduleError> {
        let (kind, fault) = (spec.kind, spec.fault.clone());
        if let Some(target) = &spec.target {
            fits(kind, target, nodes)?;
            return Ok(Self { kind, fault, targets: vec![target.clone()] });
        }
        // Every kind's first target is the one that wants the least.
        fits(kind, &kind.targets()[0], nodes)?;
        let fitting = kind.targets().iter().filter(|target| fits(kind, target, nodes).is_ok());
        Ok(Self { kind, fault, targets: fitting.cloned().collect() })
    }

    fn entry(&self, stream: &mut Stream, at_ms: u64, for_ms: u64) -> Entry {
        let target = self.targets[stream.index(self.targets.len())].clone();
        // 32 bits are plenty, and TOML has no unsigned 64-bit integers.
        let draw = stream.below(1 << 32);
        let fault = self.fault.clone().unwrap_or_else(|| Fault::drawn(self.kind, stream));
        Entry { id: 0, at_ms, for_ms, fault, target, draw }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Window = Window { start_ms: 5_000, end_ms: 60_000, interval_ms: 10_000, duration_ms: 5_000 };

    fn drawn(list: &str, seed: u64, window: &Window, nodes: usize) -> Result<Schedule, ScheduleError> {
        Schedule::draw(&FaultSpec::parse_list(list).unwrap(), Seed::new(seed), window, nodes)
    }

    /// Pinned for good: a change here gives every published seed other faults.
    #[test]
    fn a_seed_gives_the_same_schedule_for_years() {
        let schedule = drawn("kill,partition,pause:replica", 42, &MINUTE, 3).unwrap();
        let told: Vec<String> = schedule
            .entries()
            .iter()
            .map(|entry| format!("{} {}:{} {}", entry.at_ms, entry.fault.kind(), entry.target, entry.draw))
            .collect();
        assert_eq!(told, PINNED_42);
    }

    const PINNED_42: [&str; 4] = [
        "9545 partition:one 1013483208",
        "28564 kill:minority 3992107288",
        "41574 pause:replica 1091359465",
        "53732 partition:one 872235740",
    ];

    #[test]
    fn no_specs_no_faults() {
        assert_eq!(drawn("none", 1, &MINUTE, 3), Ok(Schedule::default()));
    }

    #[test]
    fn a_single_node_is_never_partitioned_and_the_error_says_why() {
        let error = drawn("partition", 1, &MINUTE, 1).unwrap_err().to_string();
        assert!(
            error.contains("partition:primary needs at least 2 nodes: with one there is nothing to cut it off from"),
            "{error}"
        );
        for spec in ["partition:halves", "failover", "kill:minority"] {
            assert!(drawn(spec, 1, &MINUTE, 1).is_err(), "{spec}");
        }
        for seed in 0..50 {
            let schedule = drawn("kill,pause", seed, &MINUTE, 1).unwrap();
            assert!(schedule.check(&["n1".into()], false).is_ok());
        }
    }

    #[test]
    fn every_spec_gets_its_turn() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let schedule = drawn("kill,partition,pause,failover", seed, &MINUTE, 5).unwrap();
            seen.extend(schedule.entries().iter().map(|entry| (entry.fault.kind(), entry.target.clone())));
        }
        for kind in [Kind::Kill, Kind::Partition, Kind::Pause, Kind::Failover] {
            for target in kind.targets() {
                assert!(seen.contains(&(kind, target.clone())), "{kind}:{target} was never drawn");
            }
        }
    }

    #[test]
    fn a_window_too_short_is_an_error() {
        let short = Window { end_ms: 9_999, ..MINUTE };
        let error = drawn("kill", 1, &short, 3).unwrap_err();
        assert_eq!(error, ScheduleError::Window { duration_ms: 5_000, window_ms: 4_999 });
        let exact = Window { end_ms: 10_000, ..MINUTE };
        assert_eq!(drawn("kill", 1, &exact, 3).unwrap().entries()[0].at_ms, 5_000);
    }

    proptest! {
        #[test]
        fn drawn_faults_stay_inside_the_window_and_apart(
            seed: u64, start_ms in 0_u64..10_000, length_ms in 0_u64..100_000, interval_ms in 0_u64..20_000,
            duration_ms in 10_u64..10_000, nodes in 2_usize..8,
        ) {
            let window = Window { start_ms, end_ms: start_ms + length_ms, interval_ms, duration_ms };
            match drawn("kill,partition,pause", seed, &window, nodes) {
                Err(error) => prop_assert_eq!(error, ScheduleError::Window { duration_ms, window_ms: length_ms }),
                Ok(schedule) => {
                    prop_assert!(!schedule.entries().is_empty());
                    for entry in schedule.entries() {
                        prop_assert!(entry.at_ms >= window.start_ms && entry.end_ms() <= window.end_ms);
                        prop_assert!(fits(entry.fault.kind(), &entry.target, nodes).is_ok());
                    }
                    for pair in schedule.entries().windows(2) {
                        let quiet_ms = pair[1].at_ms - pair[0].end_ms();
                        prop_assert!(quiet_ms >= interval_ms / 2 && quiet_ms <= interval_ms / 2 + interval_ms);
                    }
                }
            }
        }
    }
}
