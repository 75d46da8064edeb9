//! What an error of a database means for the operation it answers: the shape of the tables, one per database.

use schism_checker::history::EventType;

use super::Completion;

/// How far an operation had come when the error arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The connection is being opened; no operation has begun.
    Connect,
    /// The deciding statement has not been sent.
    BeforeCommit,
    /// The error answers the deciding statement: COMMIT, or a statement that commits by itself.
    Commit,
    /// The operation is done where it was sent; what failed is the wait for other nodes to have it.
    Replication,
}

impl Phase {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::BeforeCommit => "before commit",
            Self::Commit => "at commit or autocommit",
            Self::Replication => "after commit, waiting for replicas",
        }
    }
}

/// What the operation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Certainly not done.
    Fail,
    /// Perhaps done.
    Info,
}

impl Outcome {
    /// As in histories.
    #[must_use]
    pub const fn kind(self) -> EventType {
        match self {
            Self::Fail => EventType::Fail,
            Self::Info => EventType::Info,
        }
    }

    pub(crate) fn completion(self, class: &str, text: &str) -> Completion {
        match self {
            Self::Fail => Completion::fail(class, text),
            Self::Info => Completion::info(class, text),
        }
    }
}

/// One line of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRow {
    /// The code, or a prefix of codes or messages. The longest row that fits counts.
    pub code: &'static str,
    /// The phases in which it means this.
    pub phases: &'static [Phase],
    /// What it means.
    pub outcome: Outcome,
    /// Why.
    pub why: &'static str,
}

/// The row for a code (or message) in a phase; `None`: not recognised, and so [`Outcome::Info`].
pub(crate) fn row(table: &'static [ErrorRow], code: &str, phase: Phase) -> Option<&'static ErrorRow> {
    let fitting = table.iter().filter(|row| code.starts_with(row.code) && row.phases.contains(&phase));
    fitting.max_by_key(|row| row.code.len())
}

/// What a code (or message) means in a phase.
pub(crate) fn outcome(table: &'static [ErrorRow], code: &str, phase: Phase) -> Outcome {
    row(table, code, phase).map_or(Outcome::Info, |row| row.outcome)
}
