//! A schedule drawn from the seed.

use schism_seed::{Seed, Stream};
use serde::{Deserialize, Serialize};

use super::{Entry, Schedule, ScheduleError, fits};
use crate::{
    Fault, FaultSpec, Kind, Target,
    faults::{EXT4_DISK, FUSE},
};

/// When drawn faults may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// No fault begins before, in milliseconds since the run started.
    pub start_ms: u64,
    /// Every fault has ended by then.
    pub end_ms: u64,
    /// Mean quiet time between the end of a fault and the beginning of the next. A quiet time in between lets the
    /// cluster recover, so that each fault meets a cluster that works, and RTO can be told per fault.
    pub interval_ms: u64,
    /// How the quiet times are spread around their mean.
    pub spacing: Spacing,
    /// How long each fault is in force.
    pub duration_ms: u64,
    /// How many sequences of faults go on beside each other: so many may be in force at once.
    pub concurrency: u32,
}

/// How quiet times are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Between half and one and a half times the mean.
    #[default]
    Uniform,
    /// Exponentially, as independent events are (a Poisson process): often short, sometimes several times the mean.
    Exponential,
    /// Always the mean.
    Fixed,
}

impl Spacing {
    fn draw_ms(self, stream: &mut Stream, mean_ms: u64) -> u64 {
        match self {
            Self::Uniform => mean_ms / 2 + stream.below(mean_ms + 1),
            // 1 - u is never 0, so that the logarithm is finite.
            Self::Exponential => (-(1.0 - stream.unit_f64()).ln() * mean_ms as f64) as u64,
            Self::Fixed => mean_ms,
        }
    }
}

impl Window {
    const fn length_ms(&self) -> u64 {
        self.end_ms.saturating_sub(self.start_ms)
    }
}

/// What a seed made of a list of faults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drawn {
    /// The faults.
    pub schedule: Schedule,
    /// Kinds that faults were drawn from and how often each against the others, where the list had a mix.
    pub weights: Vec<(Kind, u32)>,
    /// Kinds of a mix that this seed has switched off.
    pub switched_off: Vec<Kind>,
    /// Kinds of a mix that do not fit, and why.
    pub left_out: Vec<(Kind, String)>,
}

impl Schedule {
    /// Draws faults of these kinds from the seed's stream `faults`, one after the other, until the window is full. A
    /// window that has room for one fault gets one. No specs, no faults.
    ///
    /// Of a mix (`all`, a family) each seed switches about half of the kinds off and weights the others unevenly:
    /// swarm testing, which finds more than every seed doing a little of everything, because one kind of fault often
    /// hides what another would show (A. Groce et al., "Swarm Testing", ISSTA 2012). `unfit` says why a kind of a mix
    /// cannot happen here.
    ///
    /// # Errors
    /// A spec that cannot happen with so many nodes, a mix of which nothing fits, or a window too short for one fault.
    pub fn draw(
        specs: &[FaultSpec],
        seed: Seed,
        window: &Window,
        nodes: usize,
        unfit: impl Fn(Kind) -> Option<String>,
    ) -> Result<Drawn, ScheduleError> {
        let mut drawn = Drawn::default();
        if specs.is_empty() {
            return Ok(drawn);
        }
        let mut choices = Vec::new();
        for spec in specs {
            let fitting = Choice::of(spec, nodes);
            let why = unfit(spec.kind).or_else(|| Some(fitting.as_ref().err()?.to_string()));
            match why {
                Some(why) if spec.mixed => drawn.left_out.push((spec.kind, why)),
                _ => choices.push(fitting?),
            }
        }
        let weights = swarm(&mut choices, seed, &mut drawn)?;
        let window_ms = window.length_ms();
        let duration_ms = window.duration_ms;
        if window_ms < duration_ms {
            return Err(ScheduleError::Window { duration_ms, window_ms });
        }
        let lanes = (0..window.concurrency.max(1)).map(|lane| {
            let name = if lane == 0 { "faults".to_owned() } else { format!("faults/{lane}") };
            draw_lane(&choices, weights.as_deref(), seed.stream(&name), window)
        });
        drawn.schedule = Self::new(lanes.flatten().collect());
        Ok(drawn)
    }
}

/// Switches kinds of a mix off and weights the rest; `None` without a mix: then all are alike.
fn swarm(choices: &mut Vec<Choice>, seed: Seed, drawn: &mut Drawn) -> Result<Option<Vec<u32>>, ScheduleError> {
    const WEIGHTS: [u32; 4] = [1, 2, 4, 8];
    if choices.is_empty() {
        let left_out: Vec<String> = drawn.left_out.iter().map(|(kind, why)| format!("{kind} ({why})")).collect();
        return Err(ScheduleError::NothingFits { left_out: left_out.join("; ") });
    }
    if !choices.iter().any(|choice| choice.mixed) {
        return Ok(None);
    }
    // A stream for each kind, so that one more kind changes nothing for the others.
    let lot = |choice: &Choice| {
        let mut stream = seed.stream(&format!("swarm/{}", choice.kind));
        let kept = stream.chance(1, 2) || !choice.mixed;
        (kept, WEIGHTS[stream.index(WEIGHTS.len())])
    };
    let mut lots: Vec<(bool, u32)> = choices.iter().map(lot).collect();
    if !lots.iter().any(|(kept, _)| *kept) {
        let kept = seed.stream("swarm").index(lots.len());
        lots[kept].0 = true;
    }
    one_below_the_files(choices, &mut lots, seed);
    let mut weights = Vec::new();
    let mut lots = lots.into_iter();
    choices.retain(|choice| {
        let (kept, weight) = lots.next().unwrap_or((true, 1));
        if kept {
            drawn.weights.push((choice.kind, weight));
            weights.push(weight);
        } else {
            drawn.switched_off.push(choice.kind);
        }
        kept
    });
    Ok(Some(weights))
}

/// A disk of the node's own and a file system of ours cannot both be below a node's files: of a mix that has kinds for
/// both, the seed switches one side off, unless the user has named one of it.
fn one_below_the_files(choices: &[Choice], lots: &mut [(bool, u32)], seed: Seed) {
    let kept = |lots: &[(bool, u32)], side: &str, mixed: bool| {
        choices.iter().zip(lots).any(|(choice, lot)| lot.0 && choice.needs(side) && (mixed || !choice.mixed))
    };
    if !(kept(lots, EXT4_DISK, true) && kept(lots, FUSE, true)) {
        return;
    }
    let off = match (kept(lots, EXT4_DISK, false), kept(lots, FUSE, false)) {
        // Named by the user, both: refused when the schedule is checked.
        (true, true) => return,
        (true, false) => FUSE,
        (false, true) => EXT4_DISK,
        (false, false) if seed.stream("swarm/below-the-files").chance(1, 2) => FUSE,
        (false, false) => EXT4_DISK,
    };
    for (choice, lot) in choices.iter().zip(lots) {
        lot.0 &= !choice.needs(off);
    }
}

/// One sequence of faults.
fn draw_lane(choices: &[Choice], weights: Option<&[u32]>, mut stream: Stream, window: &Window) -> Vec<Entry> {
    let slack_ms = window.length_ms() - window.duration_ms;
    let mut entries = Vec::new();
    // The first fault comes early, and in any case early enough to fit.
    let mut at_ms = window.start_ms + stream.below(slack_ms.min(window.interval_ms / 2) + 1);
    while at_ms + window.duration_ms <= window.end_ms {
        let chosen =
            weights.and_then(|weights| stream.weighted(weights)).unwrap_or_else(|| stream.index(choices.len()));
        entries.push(choices[chosen].entry(&mut stream, at_ms, window.duration_ms));
        let quiet_ms = window.spacing.draw_ms(&mut stream, window.interval_ms);
        // At least a millisecond, so that an interval and a duration of 0 end too.
        at_ms += (window.duration_ms + quiet_ms).max(1);
    }
    entries
}

/// A kind and the targets that it may have here.
struct Choice {
    kind: Kind,
    /// With its strength, where the user gave one; else every fault draws its own.
    fault: Option<Fault>,
    targets: Vec<Target>,
    mixed: bool,
}

impl Choice {
    fn needs(&self, capability: &str) -> bool {
        self.kind.info().capabilities.contains(&capability)
    }

    fn of(spec: &FaultSpec, nodes: usize) -> Result<Self, ScheduleError> {
        let FaultSpec { kind, fault, target, mixed } = spec.clone();
        if let Some(target) = target {
            fits(kind, &target, nodes)?;
            return Ok(Self { kind, fault, targets: vec![target], mixed });
        }
        // Every kind's first target is the one that wants the least.
        fits(kind, &kind.targets()[0], nodes)?;
        let fitting = kind.targets().iter().filter(|target| fits(kind, target, nodes).is_ok());
        Ok(Self { kind, fault, targets: fitting.cloned().collect(), mixed })
    }

    fn entry(&self, stream: &mut Stream, at_ms: u64, for_ms: u64) -> Entry {
        let target = self.targets[stream.index(self.targets.len())].clone();
        // 32 bits are plenty, and TOML has no unsigned 64-bit integers.
        let draw = stream.below(1 << 32);
        let fault = self.fault.clone().unwrap_or_else(|| Fault::drawn(self.kind, stream));
        Entry { id: 0, at_ms, when: None, for_ms, fault, target, draw }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kinds;

    const MINUTE: Window = Window {
        start_ms: 5_000,
        end_ms: 60_000,
        interval_ms: 10_000,
        spacing: Spacing::Uniform,
        duration_ms: 5_000,
        concurrency: 1,
    };

    fn drawn(list: &str, seed: u64, window: &Window, nodes: usize) -> Result<Schedule, ScheduleError> {
        mixed(list, seed, window, nodes, |_| None).map(|drawn| drawn.schedule)
    }

    fn mixed(
        list: &str,
        seed: u64,
        window: &Window,
        nodes: usize,
        unfit: impl Fn(Kind) -> Option<String>,
    ) -> Result<Drawn, ScheduleError> {
        Schedule::draw(&FaultSpec::parse_list(list).unwrap(), Seed::new(seed), window, nodes, unfit)
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
    fn each_seed_of_a_mix_leaves_some_kinds_out_and_prefers_others() {
        let all = kinds().filter(|info| !info.kind.damages_files()).count();
        let mut kept = std::collections::BTreeMap::<Kind, u32>::new();
        for seed in 0..200 {
            let drawn = mixed("all", seed, &MINUTE, 3, |_| None).unwrap();
            assert!(drawn.left_out.is_empty());
            assert_eq!(drawn.weights.len() + drawn.switched_off.len(), all);
            let weights: Vec<Kind> = drawn.weights.iter().map(|(kind, _)| *kind).collect();
            assert!(drawn.schedule.entries().iter().all(|entry| weights.contains(&entry.fault.kind())));
            assert!(!drawn.schedule.entries().is_empty());
            weights.into_iter().for_each(|kind| *kept.entry(kind).or_default() += 1);
        }
        // Kinds of disks and of file operations never together.
        assert!(kept.len() == all && kept.values().all(|seeds| (30..140).contains(seeds)), "{kept:?}");
    }

    #[test]
    fn a_mix_has_kinds_of_one_side_below_the_files() {
        let (mut disks, mut rules) = (0, 0);
        for seed in 0..100 {
            let drawn = mixed("all", seed, &MINUTE, 3, |_| None).unwrap();
            let needs =
                |capability| drawn.weights.iter().any(|(kind, _)| kind.info().capabilities.contains(&capability));
            let (disk, fuse) = (needs(EXT4_DISK), needs(FUSE));
            assert!(!(disk && fuse), "{drawn:?}");
            (disks, rules) = (disks + u32::from(disk), rules + u32::from(fuse));
            assert!(!mixed("all,power-loss", seed, &MINUTE, 3, |_| None).unwrap().schedule.needs().fuse);
        }
        assert!(disks > 20 && rules > 20, "{disks} {rules}");
    }

    #[test]
    fn what_does_not_fit_is_left_out_of_a_mix_and_refused_by_itself() {
        let no_failover = |kind| (kind == Kind::Failover).then(|| "nobody to promote".to_owned());
        let drawn = mixed("process", 1, &MINUTE, 3, no_failover).unwrap();
        assert_eq!(drawn.left_out, [(Kind::Failover, "nobody to promote".to_owned())]);
        let drawn = mixed("all", 1, &MINUTE, 1, no_failover).unwrap();
        assert!(drawn.left_out.iter().any(|(kind, why)| *kind == Kind::Partition && why.contains("at least 2 nodes")));
        assert!(mixed("partition", 1, &MINUTE, 1, |_| None).is_err());
        let error = mixed("network", 1, &MINUTE, 1, |_| Some("no network".into())).unwrap_err().to_string();
        assert!(error.contains("partition (no network)"), "{error}");
    }

    #[test]
    fn lanes_overlap_and_the_first_is_what_it_would_be_alone() {
        let alone = drawn("kill,pause", 7, &MINUTE, 5).unwrap();
        let both = drawn("kill,pause", 7, &Window { concurrency: 2, ..MINUTE }, 5).unwrap();
        let without_ids = |schedule: &Schedule| {
            schedule.entries().iter().map(|entry| Entry { id: 0, ..entry.clone() }).collect::<Vec<_>>()
        };
        let both_entries = without_ids(&both);
        assert!(without_ids(&alone).iter().all(|entry| both_entries.contains(entry)));
        assert!(both.entries().windows(2).any(|pair| pair[1].at_ms < pair[0].end_ms()));
    }

    #[test]
    fn quiet_times_have_their_mean() {
        let mut stream = Seed::new(5).stream("faults");
        for spacing in [Spacing::Uniform, Spacing::Exponential, Spacing::Fixed] {
            let total: u64 = (0..20_000).map(|_| spacing.draw_ms(&mut stream, 10_000)).sum();
            let mean = total as f64 / 20_000.0;
            assert!((9_700.0..10_300.0).contains(&mean), "{spacing:?}: {mean}");
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
            let end_ms = start_ms + length_ms;
            let window = Window { start_ms, end_ms, interval_ms, duration_ms, ..MINUTE };
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
