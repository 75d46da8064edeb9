//! The kinds of fault: what each is called, does and takes. One table a family, beside the code of that family
//! (`faults/`).

use std::fmt;

use serde::Serialize;

use crate::{faults, nearest, target::Target};

/// A kind of fault, as written in `--faults` and in schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// SIGKILL of everything in the node; started again at the end.
    Kill,
    /// The node's processes stop being scheduled; they go on at the end.
    Pause,
    /// Shut down in order; started again at the end.
    Terminate,
    /// Killed and started over and over.
    RestartStorm,
    /// Killed again soon after every start.
    CrashLoop,
    /// Every node in turn shut down in order and started.
    RollingRestart,
    /// The primary is killed and a replica promoted in its place.
    Failover,
    /// Processor time is taken.
    Cpu,
    /// Memory is taken.
    Memory,
    /// Connections to the server are taken.
    Connections,
    /// The servers can open no more files.
    FileLimit,
    /// The servers can start no more processes.
    Threads,
    /// Packets between hosts are dropped.
    Partition,
    /// A partition that comes and goes.
    Flap,
    /// Packets arrive later.
    Delay,
    /// Packets are lost.
    Loss,
    /// Packets are lost, several in a row.
    BurstLoss,
    /// Packets arrive twice.
    Duplicate,
    /// Packets are overtaken by later ones.
    Reorder,
    /// Bits of packets are flipped.
    Corrupt,
    /// Little fits through a link.
    Bandwidth,
    /// Connections are reset.
    Reset,
    /// Connections take long to close.
    SlowClose,
    /// A node forgets its connections without telling.
    HalfOpen,
    /// A wall clock is set forward or back.
    Skew,
    /// A wall clock runs fast or slow.
    Drift,
    /// A wall clock jumps away and back.
    Strobe,
    /// A wall clock stands still.
    ClockFreeze,
    /// What was not synced is gone.
    PowerLoss,
    /// Nothing more can be written.
    DiskFull,
    /// Every access to the disk fails.
    DiskGone,
    /// Every write to the disk fails.
    ReadOnly,
    /// Bits of files turn over while nothing runs.
    BitFlip,
    /// Files lose their end while nothing runs.
    Truncate,
    /// Files are set back to an earlier state.
    StaleRestore,
    /// File operations take longer.
    SlowIo,
    /// File operations fail with EIO.
    IoError,
    /// Writes and new files fail with ENOSPC.
    NoSpace,
    /// Writes take only a part of their bytes.
    ShortWrite,
}

/// What faults have in common: the part of the machine that they are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// What runs on a node.
    Process,
    /// What a node has only so much of.
    Resource,
    /// What is between nodes, and between nodes and clients.
    Network,
    /// What a node takes the time for.
    Clock,
    /// What is below a node's files.
    Storage,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Process, Self::Resource, Self::Network, Self::Clock, Self::Storage];

    /// Its word in `--faults`, where it stands for all kinds of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Resource => "resource",
            Self::Network => "network",
            Self::Clock => "clock",
            Self::Storage => "storage",
        }
    }
}

/// What `schism list faults` and `schism explain FAULT` tell of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindInfo {
    /// The kind.
    pub kind: Kind,
    /// The word in `--faults`.
    pub name: &'static str,
    /// What it is about.
    pub family: Family,
    /// What it does, on one line.
    pub description: &'static str,
    /// How it is done on a local cluster.
    pub how: &'static str,
    /// What must be seen from the victim's side while it is in force, and when it is over.
    pub verified: &'static str,
    /// What it typically breaks.
    pub breaks: &'static str,
    /// The targets it takes, node names apart; the first wants the fewest nodes.
    pub targets: &'static [Target],
    /// Whether it also takes a node's name.
    pub takes_node: bool,
    /// The fewest nodes with which it means something, whatever the target.
    pub nodes_min: usize,
    /// What a schedule may say of it beyond when and whom.
    pub options: &'static [OptionInfo],
    /// The option that `--faults KIND=VALUE` sets.
    pub strength: Option<&'static str>,
    /// Whether it does nothing when it is lifted at once.
    pub needs_time: bool,
    /// What it needs of the machine beyond what every run needs, as `schism doctor` names it.
    pub capabilities: &'static [&'static str],
}

/// An option of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OptionInfo {
    /// Its name in a schedule.
    pub name: &'static str,
    /// What it means and what it is unless given.
    pub meaning: &'static str,
}

/// Every kind of fault, in the order in which they are listed.
pub fn kinds() -> impl Iterator<Item = &'static KindInfo> {
    faults::FAMILIES.iter().copied().flatten()
}

impl Kind {
    /// The word in `--faults` and in schedules.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// What there is to know of it.
    #[must_use]
    pub fn info(self) -> &'static KindInfo {
        kinds().find(|info| info.kind == self).expect("every kind is in its family's table: a test looks")
    }

    /// Whether it changes or removes what a database has written and synced, which none promises to survive: a mix that
    /// drew it would find fault with every database.
    #[must_use]
    pub const fn damages_files(self) -> bool {
        matches!(self, Self::BitFlip | Self::Truncate | Self::StaleRestore)
    }

    /// The kind of this name; an error lists the valid ones, nearest first.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        kinds().find(|info| info.name == name).map(|info| info.kind).ok_or_else(|| {
            let valid: Vec<&str> = kinds().map(|info| info.name).collect();
            let families = Family::ALL.map(Family::name).join(", ");
            let valid = nearest::listed(name, &valid);
            format!("unknown fault {name:?}; valid faults: {valid}; all, {families}; none")
        })
    }

    /// The targets it takes, node names apart.
    #[must_use]
    pub fn targets(self) -> &'static [Target] {
        self.info().targets
    }

    /// The fewest nodes with which this kind means something for this target.
    #[must_use]
    pub fn nodes_min(self, target: &Target) -> usize {
        self.info().nodes_min.max(target.nodes_min())
    }

    /// The target of this name, if this kind can have it; an error lists the valid ones, nearest first.
    pub(crate) fn parse_target(self, name: &str) -> Result<Target, String> {
        let target = Target::parse(name).ok().filter(|target| self.takes(target));
        target.ok_or_else(|| {
            let valid: Vec<&str> = self.targets().iter().map(Target::name).collect();
            let node = if self.info().takes_node { ", or a node (n1, n2, …)" } else { "" };
            format!("a {self} has no target {name:?}; valid targets: {}{node}", nearest::listed(name, &valid))
        })
    }

    fn takes(self, target: &Target) -> bool {
        match target {
            Target::Node(_) => self.info().takes_node,
            role => self.targets().contains(role),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_told_once_and_whole() {
        let names: BTreeSet<&str> = kinds().map(|info| info.name).collect();
        assert_eq!(names.len(), kinds().count());
        for info in kinds() {
            assert_eq!(info.kind.info(), info);
            for text in [info.description, info.how, info.verified, info.breaks] {
                assert!(text.len() > 20, "{}: {text}", info.name);
            }
            assert!(!info.targets.is_empty(), "{}", info.name);
            if let Some(strength) = info.strength {
                assert!(info.options.iter().any(|option| option.name == strength), "{}", info.name);
            }
        }
    }

    /// A seed may draw a kind without a target where only the least demanding one fits.
    #[test]
    fn every_kinds_first_target_wants_the_fewest_nodes() {
        for info in kinds() {
            let least = info.targets.iter().map(Target::nodes_min).min();
            assert_eq!(info.targets.first().map(Target::nodes_min), least, "{}", info.name);
        }
    }
}
