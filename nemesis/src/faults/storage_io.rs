//! Faults of single file operations: slow, failing, or taking only a part of what they are given.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use schism_cluster::{DiskEffect, DiskError, DiskFiles, DiskOperation, DiskProbe, DiskRule, Gauge, Step};
use schism_seed::Stream;

use super::process;
use crate::{
    Family, Kind, KindInfo, OptionInfo,
    Target::{All, Majority, Minority, One, Primary, Replica},
    expect::Expect,
    injection::{Injection, Scene, each},
    options::{OptionError, Options},
    units,
};

const FILES: OptionInfo = OptionInfo {
    name: "files",
    meaning: "on which files: all, wal, data (PostgreSQL), aof, rdb (Redis), or a pattern relative to the data \
              directory, such as \"pg_wal/*\" [default: all]",
};

const PROBABILITY: OptionInfo = OptionInfo {
    name: "probability",
    meaning: "to how many of these operations it happens, at least 1%, drawn for each [default: 100%]",
};

const HOW: &str = "Each node's data directory is served by a file system of ours (FUSE), mounted over it before its \
                   servers start, which judges every operation by the rules in force. It knows files by their names at \
                   that moment. The mount is there for the whole run and costs PostgreSQL some of its speed.";

const TARGETS: &[crate::Target] = &[Primary, Replica, One, Minority, Majority, All];

/// What these kinds need of the machine: a file system of ours below a node's files.
pub(crate) const FUSE: &str = "fuse";

pub(crate) const KINDS: &[KindInfo] = &[
    KindInfo {
        kind: Kind::SlowIo,
        name: "slow-io",
        family: Family::Storage,
        description: "file operations of the target nodes take longer",
        how: HOW,
        verified: "Each operation, done on a file of that name through the mount, takes as long as asked (the median \
                   of those that are hit); at the end it takes less than 90 % of the delay, and the database answers \
                   (30 s).",
        breaks: "Time-outs and leases that count on a quick fsync, replicas that fall behind, check-pointers that \
                 block everybody.",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[
            OptionInfo { name: "delay", meaning: "what each of them waits first, 5ms to 60s [default: 50ms]" },
            OptionInfo {
                name: "operations",
                meaning: "which, of open, create, read, write, fsync, truncate, rename, unlink; a real disk's writes \
                          go to the page cache and are quick [default: read, fsync]",
            },
            FILES,
            PROBABILITY,
        ],
        strength: Some("delay"),
        needs_time: true,
        capabilities: &[FUSE],
    },
    KindInfo {
        kind: Kind::IoError,
        name: "io-error",
        family: Family::Storage,
        description: "file operations of the target nodes fail with EIO",
        how: HOW,
        verified: "Each operation, done on a file of that name through the mount, fails as often as asked; at the end \
                   none fails, the servers run (those that gave up are started again) and the database answers (30 s).",
        breaks: "Servers that go on after a failed fsync as if it had worked, errors that are taken for the end of a \
                 file, replicas that serve what they could not store.",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[
            OptionInfo {
                name: "operations",
                meaning: "which, of open, create, read, write, fsync, truncate, rename, unlink \
                          [default: read, write, fsync]",
            },
            FILES,
            PROBABILITY,
        ],
        strength: Some("probability"),
        needs_time: true,
        capabilities: &[FUSE],
    },
    KindInfo {
        kind: Kind::NoSpace,
        name: "no-space",
        family: Family::Storage,
        description: "writes and new files of the target nodes fail with ENOSPC",
        how: HOW,
        verified: "Each operation, done on a file of that name through the mount, fails as often as asked; at the end \
                   none fails, the servers run (those that gave up are started again) and the database answers (30 s).",
        breaks: "Servers that acknowledge what they could not write, files that are cut off in the middle, servers \
                 that do not come back when there is space again.",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[
            OptionInfo { name: "operations", meaning: "which, of write and create [default: write, create]" },
            FILES,
            PROBABILITY,
        ],
        strength: Some("probability"),
        needs_time: true,
        capabilities: &[FUSE],
    },
    KindInfo {
        kind: Kind::ShortWrite,
        name: "short-write",
        family: Family::Storage,
        description: "writes of the target nodes take a part of their bytes and say how many, as POSIX allows",
        how: HOW,
        verified: "Writes to a file of that name through the mount take less than they are given as often as asked; at \
                   the end none does, and the database answers (30 s).",
        breaks: "Servers that ignore the count that write(2) returns: their files lack what was not taken.",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[
            FILES,
            OptionInfo {
                name: "probability",
                meaning: "to how many writes it happens, at least 1%, drawn for each [default: 50%]",
            },
        ],
        strength: Some("probability"),
        needs_time: true,
        capabilities: &[FUSE],
    },
];

const DELAY_MS: u64 = 50;
/// Below this a loaded machine is as slow by itself.
const DELAY_MIN_MS: u64 = 5;
/// A disk that does not answer for longer is dead; and every measurement waits as long.
const DELAY_MAX_MS: u64 = 60_000;
const ALWAYS_PPM: u32 = 1_000_000;
/// To see a share, operations have to be tried until twenty of them are hit.
const PROBABILITY_MIN_PPM: u32 = 10_000;

/// What happens to file operations of the victims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoFault {
    /// On which files.
    pub files: DiskFiles,
    /// Which operations.
    pub operations: BTreeSet<DiskOperation>,
    /// What happens to them.
    pub effect: DiskEffect,
    /// To how many of them, in parts per million.
    pub probability_ppm: u32,
}

/// What a kind does unless it is told otherwise.
fn by_default(kind: Kind) -> IoFault {
    use DiskOperation::{Create, Fsync, Read, Write};
    let (effect, operations, probability_ppm): (_, &[_], _) = match kind {
        Kind::IoError => (DiskEffect::Fail(DiskError::Io), &[Read, Write, Fsync], ALWAYS_PPM),
        Kind::NoSpace => (DiskEffect::Fail(DiskError::NoSpace), &[Write, Create], ALWAYS_PPM),
        Kind::ShortWrite => (DiskEffect::Short, &[Write], ALWAYS_PPM / 2),
        _ => (DiskEffect::Delay(DELAY_MS), &[Read, Fsync], ALWAYS_PPM),
    };
    IoFault { files: DiskFiles::all(), operations: operations.iter().copied().collect(), effect, probability_ppm }
}

impl IoFault {
    pub(super) const fn kind(&self) -> Kind {
        match self.effect {
            DiskEffect::Delay(_) => Kind::SlowIo,
            DiskEffect::Fail(DiskError::Io) => Kind::IoError,
            DiskEffect::Fail(DiskError::NoSpace) => Kind::NoSpace,
            DiskEffect::Short => Kind::ShortWrite,
        }
    }

    pub(super) fn drawn(kind: Kind, stream: &mut Stream) -> Self {
        const DELAYS_MS: [u64; 5] = [5, 20, 50, 200, 1_000];
        const SHARES_PPM: [u32; 4] = [20_000, 100_000, 500_000, ALWAYS_PPM];
        let mut fault = by_default(kind);
        match &mut fault.effect {
            DiskEffect::Delay(ms) => *ms = DELAYS_MS[stream.index(DELAYS_MS.len())],
            _ => fault.probability_ppm = SHARES_PPM[stream.index(SHARES_PPM.len())],
        }
        fault
    }

    pub(super) fn read(kind: Kind, options: &mut Options) -> Result<Self, OptionError> {
        let wrong = |option: &str, problem| Err(OptionError { option: Some(option.to_owned()), problem });
        let mut fault = by_default(kind);
        if let DiskEffect::Delay(delay_ms) = &mut fault.effect {
            *delay_ms = options.millis("delay")?.unwrap_or(DELAY_MS);
            if !(DELAY_MIN_MS..=DELAY_MAX_MS).contains(delay_ms) {
                let problem = format!("an operation can be delayed by {DELAY_MIN_MS}ms to 60s, not by {delay_ms} ms");
                return wrong("delay", problem);
            }
        }
        // The one operation of a short write is its name.
        if kind != Kind::ShortWrite
            && let Some(operations) = options.word::<BTreeSet<DiskOperation>>("operations")?
        {
            let allowed = |operation| kind != Kind::NoSpace || fault.operations.contains(operation);
            if operations.is_empty() {
                return wrong("operations", "name at least one operation".to_owned());
            }
            if let Some(other) = operations.iter().find(|operation| !allowed(operation)) {
                return wrong("operations", format!("no {} fails for want of space: write or create do", other.name()));
            }
            fault.operations = operations;
        }
        fault.files = options.parsed("files", DiskFiles::parse)?.unwrap_or(fault.files);
        fault.probability_ppm = options.share_ppm("probability")?.unwrap_or(fault.probability_ppm);
        if fault.probability_ppm < PROBABILITY_MIN_PPM {
            let least = units::share_text(PROBABILITY_MIN_PPM);
            return wrong("probability", format!("a share below {least} takes too long to be seen"));
        }
        Ok(fault)
    }

    pub(super) fn write(&self, options: &mut Options) {
        if let DiskEffect::Delay(delay_ms) = self.effect {
            options.set_millis("delay", delay_ms);
        }
        if self.effect != DiskEffect::Short {
            options.set("operations", &self.operations);
        }
        options.set("files", &self.files);
        options.set_share_ppm("probability", self.probability_ppm);
    }

    pub(super) fn inject(&self, scene: &Scene<'_>) -> Injection {
        let (victims, id) = (scene.chosen, scene.id);
        // Each node has luck of its own.
        let rule = |order: u64| DiskRule {
            files: self.files.clone(),
            operations: self.operations.clone(),
            effect: self.effect,
            probability_ppm: self.probability_ppm,
            seed: scene.draw.wrapping_add(order),
        };
        let set = |(order, node): (u64, &String)| Step::DiskRule { node: node.clone(), id, rule: rule(order) };
        let mut undo = each(victims, |node| Step::DiskUnrule { node, id });
        // A server that could not write has ended, as it should.
        undo.extend(each(victims, |node| Step::Start { node }));
        let measured = |now: bool| -> Vec<Expect> {
            let of_node = |node: &String| {
                self.operations.iter().map(|&operation| self.measured(node, id, operation, now)).collect()
            };
            victims.iter().flat_map::<Vec<Expect>, _>(of_node).collect()
        };
        let mut heals = process::serving(victims);
        heals.extend(measured(false));
        // Not one may be right: a server that has nothing to write writes nothing.
        heals.extend(each(victims, |node| Expect::Measures {
            gauge: Gauge::DiskHits { node, id },
            asked: 1.0,
            bounds: 0.0..=f64::INFINITY,
        }));
        Injection {
            steps: (0..).zip(victims).map(set).collect(),
            undo,
            victims: victims.to_vec(),
            detail: self.told(victims),
            bites: measured(true),
            heals,
            ..Injection::default()
        }
    }

    fn told(&self, victims: &[String]) -> String {
        let operations: Vec<&str> = self.operations.iter().map(|operation| operation.name()).collect();
        let what = match self.effect {
            DiskEffect::Delay(ms) => format!("delayed by {ms} ms"),
            DiskEffect::Fail(error) => format!("fail with {}", error.name()),
            DiskEffect::Short => "take only a part".to_owned(),
        };
        let share = units::share_text(self.probability_ppm);
        format!("{share} of {} ({} files) of {} {what}", operations.join(", "), self.files, victims.join(", "))
    }

    /// What must be measured of an operation while the rule is in force, and when it is lifted.
    fn measured(&self, node: &str, id: u32, operation: DiskOperation, in_force: bool) -> Expect {
        let probe = DiskProbe {
            node: node.to_owned(),
            id,
            files: self.files.clone(),
            operation,
            probability_ppm: self.probability_ppm,
        };
        let share = if in_force { share_bounds(&probe) } else { 0.0..=0.0 };
        let share_asked = if in_force { 100.0 * f64::from(self.probability_ppm) / 1e6 } else { 0.0 };
        match self.effect {
            DiskEffect::Delay(delay_ms) => {
                let delay = delay_ms as f64;
                let (asked, bounds) =
                    if in_force { (delay, delay..=latest(operation, delay)) } else { (0.0, 0.0..=delay * 0.9) };
                Expect::Measures { gauge: Gauge::DiskLatency { probe, delay_ms }, asked, bounds }
            }
            DiskEffect::Fail(error) => {
                Expect::Measures { gauge: Gauge::DiskErrors { probe, error }, asked: share_asked, bounds: share }
            }
            DiskEffect::Short => {
                Expect::Measures { gauge: Gauge::DiskShortWrites { probe }, asked: share_asked, bounds: share }
            }
        }
    }
}

/// An operation is never early. How late it may be is the machine's load; what changes a directory also waits for the
/// server's own delayed changes of it, one by one, since the kernel lets in one at a time.
fn latest(operation: DiskOperation, delay_ms: f64) -> f64 {
    match operation {
        DiskOperation::Create | DiskOperation::Rename | DiskOperation::Unlink => delay_ms * 10.0 + 1_000.0,
        _ => delay_ms * 1.5 + 100.0,
    }
}

/// Five standard deviations of the binomial distribution: a share that was drawn is outside of that once in a million
/// times, and one that is not applied is 0.
fn share_bounds(probe: &DiskProbe) -> RangeInclusive<f64> {
    let share = f64::from(probe.probability_ppm) / 1e6;
    let deviation = (share * (1.0 - share) / probe.attempts() as f64).sqrt();
    let (low, high) = (share - 5.0 * deviation, share + 5.0 * deviation);
    100.0 * low.max(share / 10.0)..=100.0 * high.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, options: &[(&str, serde_json::Value)]) -> Result<IoFault, String> {
        let mut all = Options::default();
        for (name, value) in options {
            all.set(name, value);
        }
        let fault = IoFault::read(kind, &mut all).map_err(|error| error.problem)?;
        all.finish(kind).map_err(|error| error.problem)?;
        Ok(fault)
    }

    #[test]
    fn options_are_read_and_checked() {
        let wal = read(Kind::SlowIo, &[("files", "wal".into()), ("operations", ["fsync"].as_slice().into())]).unwrap();
        assert_eq!((wal.files.as_str(), wal.effect), ("wal", DiskEffect::Delay(50)));
        assert_eq!(wal.operations, BTreeSet::from([DiskOperation::Fsync]));
        for (kind, option, value, expected) in [
            (Kind::SlowIo, "delay", "61s".into(), "5ms to 60s"),
            (Kind::SlowIo, "delay", 4.into(), "5ms to 60s"),
            (Kind::SlowIo, "operations", ["sync"].as_slice().into(), "unknown variant `sync`"),
            (Kind::SlowIo, "operations", serde_json::json!([]), "at least one"),
            (Kind::NoSpace, "operations", ["fsync"].as_slice().into(), "no fsync fails for want of space"),
            (Kind::ShortWrite, "operations", ["write"].as_slice().into(), "no option `operations`"),
            (Kind::IoError, "delay", "5ms".into(), "no option `delay`"),
            (Kind::IoError, "files", "walk".into(), "neither a set of files"),
            (Kind::IoError, "probability", "0.5%".into(), "below 1%"),
        ] {
            let error = read(kind, &[(option, value)]).unwrap_err();
            assert!(error.contains(expected), "{kind} {option}: {error}");
        }
    }

    #[test]
    fn a_rule_carries_its_faults_number_and_is_lifted_before_servers_are_started() {
        let nodes = ["n1", "n2", "n3"].map(String::from);
        let fault = read(Kind::NoSpace, &[("files", "wal".into())]).unwrap();
        let injection = fault.inject(&Scene { id: 7, draw: 5, ..Scene::of(&Primary, &nodes[..2], &nodes) });
        let ours = |step: &Step| matches!(step, Step::DiskRule { id: 7, rule, .. } if rule.seed >= 5);
        assert!(injection.steps.len() == 2 && injection.steps.iter().all(ours), "{:?}", injection.steps);
        let lifts = |step: &Step| matches!(step, Step::DiskUnrule { id: 7, .. });
        assert!(injection.undo[..2].iter().all(lifts), "{:?}", injection.undo);
        assert!(injection.undo[2..].iter().all(|step| matches!(step, Step::Start { .. })), "{:?}", injection.undo);
        // Write and create, on both.
        assert_eq!(injection.bites.len(), 4);
    }

    #[test]
    fn a_share_that_is_not_applied_or_applied_to_all_is_out_of_bounds() {
        for ppm in [10_000, 20_000, 300_000, 900_000] {
            let fault = IoFault { probability_ppm: ppm, ..by_default(Kind::IoError) };
            let Expect::Measures { bounds, asked, .. } = fault.measured("n1", 0, DiskOperation::Write, true) else {
                panic!();
            };
            assert!(bounds.contains(&asked), "{ppm}: {bounds:?}");
            assert!(!bounds.contains(&0.0) && !bounds.contains(&100.0), "{ppm}: {bounds:?}");
        }
        let Expect::Measures { bounds, .. } = by_default(Kind::IoError).measured("n1", 0, DiskOperation::Write, true)
        else {
            panic!();
        };
        assert_eq!(bounds, 100.0..=100.0);
    }
}
