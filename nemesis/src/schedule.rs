//! When which fault happens to whom: plain data, decided before the run starts, so that it can be printed, stored and
//! repeated. Nothing here looks at a cluster; see [`crate::Nemesis`] for what carries it out.

mod draw;
mod file;
mod named;

use serde::{Deserialize, Serialize};

pub use draw::Window;
pub use named::{NamedSchedule, named, names};

use crate::{Kind, Target};

/// Faults in order of their beginning. They may overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "file::RawSchedule", into = "file::RawSchedule")]
pub struct Schedule {
    /// Sorted by `at_ms`; an entry's `id` is its position.
    entries: Vec<Entry>,
}

/// One fault of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Position in the schedule; every event of the fault carries it.
    pub id: u32,
    /// When it begins, in milliseconds since the run started.
    pub at_ms: u64,
    /// How long it is in force; 0 for a kill that is restarted at once.
    pub for_ms: u64,
    /// What is done.
    pub fault: Fault,
    /// To whom.
    pub target: Target,
    /// A number drawn beforehand, from which the victims are chosen once the nodes' claims are known.
    pub draw: u64,
}

/// What is done, with its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; started again at the end.
    Kill,
    /// Freeze; thawed at the end.
    Pause,
    /// Cut; lifted at the end.
    Partition {
        /// On which side the clients are.
        clients: Clients,
    },
    /// A replica is promoted in the primary's place.
    Failover(FailoverPlan),
}

/// How a replica takes the primary's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailoverPlan {
    /// For how long the primary is isolated before anything else: what it acknowledges in this time no replica has.
    pub cut_for_ms: u64,
    /// On which side of that cut the clients are.
    pub clients: Clients,
    /// Whether the old primary is killed (while still cut off) before a replica is promoted. It is never started as a
    /// primary again, only by rejoining. Without the kill, two nodes take writes: what happens to a team that
    /// promotes without fencing.
    pub kill: bool,
    /// Whether the old primary is made to follow the new one at the end.
    pub rejoin: Rejoin,
}

impl Default for FailoverPlan {
    /// The orderly emergency: kill, promote, rejoin.
    fn default() -> Self {
        Self { cut_for_ms: 0, clients: Clients::WithNode, kill: true, rejoin: Rejoin::Heal }
    }
}

/// On which side of a cut the clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clients {
    /// Each client site stays with the node it is beside.
    #[default]
    WithNode,
    /// All client sites are on the side with the most nodes.
    Majority,
}

/// Whether a deposed primary comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejoin {
    /// It is made to follow the new primary when the fault ends.
    #[default]
    Heal,
    /// It is left as it is, a second primary.
    Never,
}

impl Fault {
    /// Its kind, without options.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Kill => Kind::Kill,
            Self::Pause => Kind::Pause,
            Self::Partition { .. } => Kind::Partition,
            Self::Failover(_) => Kind::Failover,
        }
    }

    /// This kind with its default options.
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Kill => Self::Kill,
            Kind::Pause => Self::Pause,
            Kind::Partition => Self::Partition { clients: Clients::default() },
            Kind::Failover => Self::Failover(FailoverPlan::default()),
        }
    }
}

impl Entry {
    /// When it ends, in milliseconds since the run started.
    #[must_use]
    pub const fn end_ms(&self) -> u64 {
        self.at_ms.saturating_add(self.for_ms)
    }

    fn needs(&self) -> Needs {
        let kind = self.fault.kind();
        Needs { failover: kind == Kind::Failover, nodes: kind.nodes_min(&self.target) }
    }
}

/// What a schedule wants of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Whether we must be able to promote a replica.
    pub failover: bool,
    /// The fewest nodes.
    pub nodes: usize,
}

/// A schedule that cannot be drawn, read or carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A line of a schedule file is wrong.
    #[error("{}line {line}: {problem}", entry.map(|entry| format!("fault {entry}, ")).unwrap_or_default())]
    File {
        /// Which `[[fault]]` it is in, from 1; `None` outside of them.
        entry: Option<usize>,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A fault cannot happen on this cluster.
    #[error("{fault} needs {needs}; this cluster {has}")]
    Unfit {
        /// The fault: `partition:halves`.
        fault: String,
        /// What it needs.
        needs: String,
        /// What there is.
        has: String,
    },
    /// No fault fits into the window.
    #[error(
        "a fault of {duration_ms} ms does not fit into the {window_ms} ms between the first fault and the last heal"
    )]
    Window {
        /// How long each fault takes.
        duration_ms: u64,
        /// How much time there is.
        window_ms: u64,
    },
    /// Malformed plain data (a stored plan).
    #[error("fault {entry}: {problem}")]
    Data {
        /// Which, from 1.
        entry: usize,
        /// What is wrong.
        problem: String,
    },
    /// There is no schedule of this name.
    #[error("unknown schedule {name:?}; valid schedules: {valid}")]
    Unknown {
        /// The name.
        name: String,
        /// The valid ones, nearest first.
        valid: String,
    },
}

impl Schedule {
    /// Sorts by beginning (the given order decides between equals) and numbers.
    #[must_use]
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by_key(|entry| entry.at_ms);
        for (id, entry) in (0..).zip(&mut entries) {
            entry.id = id;
        }
        Self { entries }
    }

    /// The faults in order of their beginning.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// When the last fault ends, in milliseconds since the run started; 0 without faults.
    #[must_use]
    pub fn end_ms(&self) -> u64 {
        self.entries.iter().map(Entry::end_ms).max().unwrap_or(0)
    }

    /// What it wants of a cluster: the most that any of its faults wants.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.entries.iter().map(Entry::needs).fold(Needs { failover: false, nodes: 1 }, |most, needs| Needs {
            failover: most.failover || needs.failover,
            nodes: most.nodes.max(needs.nodes),
        })
    }

    /// Whether a cluster of these nodes can have these faults; asked before the run starts.
    ///
    /// # Errors
    /// Names the first fault that cannot happen, and why.
    pub fn check(&self, nodes: &[String], can_failover: bool) -> Result<(), ScheduleError> {
        self.entries.iter().try_for_each(|entry| {
            let kind = entry.fault.kind();
            fits(kind, &entry.target, nodes.len())?;
            let unfit = |needs: &str, has: String| {
                let fault = format!("fault {} ({kind}:{})", entry.id + 1, entry.target);
                Err(ScheduleError::Unfit { fault, needs: needs.to_owned(), has })
            };
            match &entry.target {
                Target::Node(name) if !nodes.contains(name) => {
                    unfit(&format!("a node {name}"), format!("has {}", nodes.join(", ")))
                }
                _ if kind == Kind::Failover && !can_failover => unfit(
                    "a database whose replicas can be promoted by us",
                    "fails over by itself or not at all".to_owned(),
                ),
                _ => Ok(()),
            }
        })
    }
}

/// Whether this fault means anything with so many nodes.
pub(crate) fn fits(kind: Kind, target: &Target, nodes: usize) -> Result<(), ScheduleError> {
    let nodes_min = kind.nodes_min(target);
    if nodes >= nodes_min {
        return Ok(());
    }
    let why = if kind == Kind::Partition && nodes == 1 { ": with one there is nothing to cut it off from" } else { "" };
    Err(ScheduleError::Unfit {
        fault: format!("{kind}:{target}"),
        needs: format!("at least {nodes_min} nodes{why}"),
        has: format!("has {nodes}"),
    })
}
