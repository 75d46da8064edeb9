//! The kinds of fault, and which targets each can have.

use std::fmt;

use crate::{nearest, target::Target};

/// A kind of fault, as written in `--faults` and in schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// SIGKILL of everything in the node; started again at the end.
    Kill,
    /// The node's processes stop being scheduled; they go on at the end.
    Pause,
    /// Packets between hosts are dropped.
    Partition,
    /// The primary is killed and a replica promoted in its place.
    Failover,
}

/// A kind in a sentence, for `schism list faults`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindInfo {
    /// The word in `--faults`.
    pub name: &'static str,
    /// What it does, on one line.
    pub description: &'static str,
    /// The targets it takes, without node names, which every kind but `failover` takes too.
    pub targets: &'static [Target],
}

/// Every kind of fault, in the order in which they are listed.
#[must_use]
pub fn kinds() -> Vec<KindInfo> {
    Kind::ALL.iter().map(|kind| kind.info()).collect()
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kill, Self::Pause, Self::Partition, Self::Failover];

    /// The word in `--faults` and in schedules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::Failover => "failover",
        }
    }

    /// The kind of this name; an error lists the valid ones, nearest first.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let valid = Self::ALL.map(Self::name);
            format!("unknown fault {name:?}; valid faults: {}, none", nearest::listed(name, &valid))
        })
    }

    /// What it does and on whom.
    #[must_use]
    pub const fn info(self) -> KindInfo {
        KindInfo { name: self.name(), description: self.description(), targets: self.targets() }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL every process of the target nodes; they are started again when the fault ends",
            Self::Pause => "freeze every process of the target nodes; they go on, unaware, when the fault ends",
            Self::Partition => {
                "drop packets: the target nodes (with the clients beside them) from the rest, or a shape"
            }
            Self::Failover => {
                "kill the primary and promote the most advanced replica; the old primary rejoins at the end"
            }
        }
    }

    /// The targets it takes, node names apart.
    #[must_use]
    pub const fn targets(self) -> &'static [Target] {
        use Target::{All, Bridge, Halves, MajoritiesRing, Majority, Minority, One, OneWay, Primary, Replica};
        match self {
            Self::Kill | Self::Pause => &[Primary, Replica, One, Minority, Majority, All],
            // Isolating a majority is the same cut as isolating the minority it leaves: one name is enough.
            Self::Partition => &[Primary, Replica, One, Minority, Halves, OneWay, MajoritiesRing, Bridge],
            Self::Failover => &[Primary],
        }
    }

    /// The fewest nodes with which this kind means something for this target.
    #[must_use]
    pub const fn nodes_min(self, target: &Target) -> usize {
        let nodes = target.nodes_min();
        // A partition wants somebody on the other side, a failover somebody to promote.
        if matches!(self, Self::Partition | Self::Failover) && nodes < 2 { 2 } else { nodes }
    }

    /// The target of this name, if this kind can have it; an error lists the valid ones, nearest first.
    pub(crate) fn parse_target(self, name: &str) -> Result<Target, String> {
        let valid: Vec<&str> = self.targets().iter().map(Target::name).collect();
        let target = Target::parse(name).ok().filter(|target| self.takes(target));
        target.ok_or_else(|| {
            let node = if self == Self::Failover { "" } else { ", or a node (n1, n2, …)" };
            format!("a {self} has no target {name:?}; valid targets: {}{node}", nearest::listed(name, &valid))
        })
    }

    fn takes(self, target: &Target) -> bool {
        match target {
            Target::Node(_) => self != Self::Failover,
            role => self.targets().contains(role),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
