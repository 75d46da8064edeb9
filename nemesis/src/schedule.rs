//! When which fault happens to whom: plain data, decided before the run starts, so that it can be printed, stored and
//! repeated. Nothing here looks at a cluster; see [`crate::Nemesis`] for what carries it out.

mod draw;
mod file;
mod named;

use serde::{Deserialize, Serialize};

pub use draw::{Drawn, Spacing, Window};
pub use named::{NamedSchedule, named, names};

use crate::{
    Condition, Fault, Kind, Target,
    faults::{EXT4_DISK, FUSE},
};

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
    /// When it begins, in milliseconds since the run started; one that waits for a condition begins no earlier.
    pub at_ms: u64,
    /// What it waits for from then on; `None`: it begins at that time.
    pub when: Option<When>,
    /// How long it is in force; 0 for a kill that is restarted at once.
    pub for_ms: u64,
    /// What is done.
    pub fault: Fault,
    /// To whom.
    pub target: Target,
    /// A number drawn beforehand, from which the victims are chosen once the nodes' claims are known.
    pub draw: u64,
}

/// A beginning that depends on what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// What has to happen.
    pub condition: Condition,
    /// If it has not by then, in milliseconds since the run started, the fault does not happen.
    pub until_ms: u64,
}

impl Entry {
    /// When it ends, in milliseconds since the run started; at the latest, where it waits for a condition.
    #[must_use]
    pub fn end_ms(&self) -> u64 {
        self.when.as_ref().map_or(self.at_ms, |when| when.until_ms).saturating_add(self.for_ms)
    }

    /// Whether it begins when somebody asks for it.
    #[must_use]
    pub fn waits_for_signal(&self) -> bool {
        self.when.as_ref().is_some_and(|when| matches!(when.condition, Condition::Signal(_)))
    }

    fn needs(&self) -> Needs {
        let kind = self.fault.kind();
        Needs {
            failover: kind == Kind::Failover,
            nodes: kind.nodes_min(&self.target).max(self.fault.nodes_min()),
            disk: kind.info().capabilities.contains(&EXT4_DISK),
            fuse: kind.info().capabilities.contains(&FUSE),
        }
    }
}

/// What a schedule wants of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Whether we must be able to promote a replica.
    pub failover: bool,
    /// The fewest nodes.
    pub nodes: usize,
    /// Whether each node needs a disk of its own, which knows what was synced and what was not.
    pub disk: bool,
    /// Whether the nodes' data directories must be served by a file system of ours.
    pub fuse: bool,
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
    /// Of a mix of faults none can happen.
    #[error("none of these faults can happen here: {left_out}")]
    NothingFits {
        /// Each with the reason.
        left_out: String,
    },
    /// Both a disk and a file system of ours would have to be below the same files.
    #[error(
        "a schedule has faults of disks (power-loss, disk-full, disk-gone, read-only) or faults of file operations (slow-io, \
         io-error, no-space, short-write), not both: only one of the two can be below a node's files"
    )]
    TwoBelow,
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
        let least = Needs { failover: false, nodes: 1, disk: false, fuse: false };
        self.entries.iter().map(Entry::needs).fold(least, |most, needs| Needs {
            failover: most.failover || needs.failover,
            nodes: most.nodes.max(needs.nodes),
            disk: most.disk || needs.disk,
            fuse: most.fuse || needs.fuse,
        })
    }

    /// Whether a cluster of these nodes can have these faults; asked before the run starts.
    ///
    /// # Errors
    /// Names the first fault that cannot happen, and why.
    pub fn check(&self, nodes: &[String], can_failover: bool) -> Result<(), ScheduleError> {
        let needs = self.needs();
        if needs.disk && needs.fuse {
            return Err(ScheduleError::TwoBelow);
        }
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
                _ if nodes.len() < entry.fault.nodes_min() => {
                    unfit(&format!("at least {} nodes", entry.fault.nodes_min()), format!("has {}", nodes.len()))
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

impl Schedule {
    /// Whether each fault of one server of a node names one that the nodes have; asked before the run starts.
    ///
    /// # Errors
    /// Names the first fault that does not, and the servers that there are.
    pub fn check_processes(&self, processes: &[&str]) -> Result<(), ScheduleError> {
        let unknown = |entry: &&Entry| entry.fault.process().is_some_and(|process| !processes.contains(&process));
        self.entries.iter().find(unknown).map_or(Ok(()), |entry| {
            Err(ScheduleError::Unfit {
                fault: format!("fault {} ({}:{})", entry.id + 1, entry.fault.kind(), entry.target),
                needs: format!("a process {:?} on each node", entry.fault.process().unwrap_or_default()),
                has: format!("has {} there", processes.join(" and ")),
            })
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

#[cfg(test)]
mod tests {
    use schism_seed::Seed;

    use super::*;

    #[test]
    fn a_fault_of_one_server_names_one_that_there_is() {
        let text = "[[fault]]\nat = 0\nfor = 100\nkind = \"skew\"\ntarget = \"one\"\nprocess = \"sentinel\"\n";
        let schedule = Schedule::from_toml(text, Seed::new(1)).unwrap();
        assert_eq!(schedule.check_processes(&["redis", "sentinel"]), Ok(()));
        let error = schedule.check_processes(&["postgres"]).unwrap_err().to_string();
        let says = "fault 1 (skew:one) needs a process \"sentinel\" on each node; this cluster has postgres there";
        assert_eq!(error, says);
    }
}
