//! Promises that the in-memory store can break on purpose, one at a time, so that every checker has something that it
//! must find.

use crate::options::nearest_first;

/// One broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lie {
    /// A write is acknowledged and dropped.
    LostWrite,
    /// A read returns what was there before writes that had been acknowledged when it began.
    StaleRead,
    /// A write is refused, and yet everybody sees it.
    DirtyRead,
    /// What another client wrote is overwritten as if it had not been there: a compare-and-set that does not compare,
    /// an append that replaces the list's last element.
    LostUpdate,
    /// Two nodes are primary for a while and both acknowledge writes; afterwards they differ for good.
    SplitBrain,
    /// Of two transactions that each read what the other appends, neither sees the other.
    WriteSkew,
    /// A write is done twice.
    Duplicate,
    /// A transaction reads a list twice, or reads what it appended or wrote itself, and sees something else.
    NonRepeatableRead,
    /// A read by predicate lacks a row that is there and satisfies it.
    Phantom,
    /// A lock is granted that somebody holds.
    TwoHolders,
    /// A lock is granted with the token that its last holder was given.
    ReusedToken,
}

/// A lie in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LieRow {
    /// The lie.
    pub lie: Lie,
    /// Its name.
    pub name: &'static str,
    /// The workloads in which it can be seen.
    pub workloads: &'static [&'static str],
    /// What shows it.
    pub shows_as: &'static str,
}

const LIES: &[LieRow] = &[
    LieRow {
        lie: Lie::LostWrite,
        name: "lost-write",
        workloads: &["set", "register", "list-append", "closed-predicate"],
        shows_as: "set: lost; register: no linearization; list-append: lost appends; closed-predicate: \
                   G-single-realtime",
    },
    LieRow {
        lie: Lie::StaleRead,
        name: "stale-read",
        workloads: &["register"],
        shows_as: "register: no linearization",
    },
    LieRow {
        lie: Lie::DirtyRead,
        name: "dirty-read",
        workloads: &["set", "register", "list-append", "closed-predicate"],
        shows_as: "set: unexpected; register: no linearization; list-append, closed-predicate: G1a (aborted read)",
    },
    LieRow {
        lie: Lie::LostUpdate,
        name: "lost-update",
        workloads: &["register", "list-append"],
        shows_as: "register: no linearization; list-append: lost appends, incompatible order",
    },
    LieRow {
        lie: Lie::SplitBrain,
        name: "split-brain",
        workloads: &["set", "register", "list-append", "closed-predicate"],
        shows_as: "two nodes claim to be primary and acknowledge writes; final states differ",
    },
    LieRow {
        lie: Lie::WriteSkew,
        name: "write-skew",
        workloads: &["list-append"],
        shows_as: "list-append: write skew (G2-item)",
    },
    LieRow {
        lie: Lie::Duplicate,
        name: "duplicate",
        workloads: &["set", "list-append"],
        shows_as: "set: duplicated; list-append: duplicate elements",
    },
    LieRow {
        lie: Lie::NonRepeatableRead,
        name: "non-repeatable-read",
        workloads: &["list-append", "closed-predicate"],
        shows_as: "list-append, closed-predicate: internal",
    },
    LieRow {
        lie: Lie::Phantom,
        name: "phantom",
        workloads: &["closed-predicate"],
        shows_as: "closed-predicate: G-single, G2, predicate-read-miss",
    },
    LieRow { lie: Lie::TwoHolders, name: "two-holders", workloads: &["mutex"], shows_as: "mutex: no linearization" },
    LieRow {
        lie: Lie::ReusedToken,
        name: "reused-token",
        workloads: &["fenced-lock"],
        shows_as: "fenced-lock: no linearization",
    },
];

/// A lie that does not exist, or that its workload cannot show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LieError {
    /// No lie of this name.
    #[error("there is no lie {name:?}; the lies are {}", valid.join(", "))]
    Unknown {
        /// As given.
        name: String,
        /// The lies there are, nearest first.
        valid: Vec<&'static str>,
    },
    /// The workload could not show it: every run would pass.
    #[error(
        "workload {workload} cannot show the lie {lie}, which fits {}; the lies that fit {workload} are {}",
        workloads.join(", "),
        fitting.join(", ")
    )]
    DoesNotFit {
        /// The lie.
        lie: &'static str,
        /// The workload.
        workload: String,
        /// The workloads that can show this lie.
        workloads: &'static [&'static str],
        /// The lies this workload can show.
        fitting: Vec<&'static str>,
    },
}

impl Lie {
    /// All of them, in words.
    #[must_use]
    pub const fn all() -> &'static [LieRow] {
        LIES
    }

    /// The lie of this name, which the workload has to be able to show.
    ///
    /// # Errors
    /// When there is no such lie, or the workload cannot show it.
    pub fn by_name(name: &str, workload: &str) -> Result<Self, LieError> {
        let row = LIES.iter().find(|row| row.name == name).ok_or_else(|| LieError::Unknown {
            name: name.to_owned(),
            valid: nearest_first(name, LIES.iter().map(|row| row.name)),
        })?;
        row.lie.fits(workload)?;
        Ok(row.lie)
    }

    /// Whether this workload can show it.
    ///
    /// # Errors
    /// When it cannot; the error lists what fits.
    pub fn fits(self, workload: &str) -> Result<(), LieError> {
        let row = self.row();
        if row.workloads.contains(&workload) {
            return Ok(());
        }
        let fitting = LIES.iter().filter(|row| row.workloads.contains(&workload)).map(|row| row.name).collect();
        Err(LieError::DoesNotFit { lie: row.name, workload: workload.to_owned(), workloads: row.workloads, fitting })
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// It in words.
    ///
    /// # Panics
    /// Never: every lie has its row.
    #[must_use]
    pub fn row(self) -> &'static LieRow {
        let row = LIES.iter().find(|row| row.lie == self);
        row.unwrap_or_else(|| unreachable!("{self:?} has no row"))
    }
}
