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

/// What a code (or message) means in a phase. Not recognised: [`Outcome::Info`].
pub(crate) fn outcome(table: &[ErrorRow], code: &str, phase: Phase) -> Outcome {
    let fitting = table.iter().filter(|row| code.starts_with(row.code) && row.phases.contains(&phase));
    fitting.max_by_key(|row| row.code.len()).map_or(Outcome::Info, |row| row.outcome)
}

#[cfg(test)]
mod tests {
    use super::{super::postgres_errors, super::redis_errors, *};

    #[test]
    fn the_longest_row_counts_and_the_unknown_is_in_doubt() {
        let postgres = |code, phase| outcome(postgres_errors::table(), code, phase);
        for (code, phase, expected) in [
            ("23505", Phase::Commit, Outcome::Fail),
            ("40001", Phase::Commit, Outcome::Fail),
            ("40002", Phase::Commit, Outcome::Info),
            ("40003", Phase::BeforeCommit, Outcome::Info),
            ("08006", Phase::BeforeCommit, Outcome::Fail),
            ("08006", Phase::Commit, Outcome::Info),
            ("08007", Phase::BeforeCommit, Outcome::Info),
            ("57P01", Phase::BeforeCommit, Outcome::Fail),
            ("57P01", Phase::Commit, Outcome::Info),
            ("XX000", Phase::BeforeCommit, Outcome::Info),
            ("01000", Phase::Replication, Outcome::Info),
        ] {
            assert_eq!(postgres(code, phase), expected, "{code} {}", phase.name());
        }
        let redis = |text, phase| outcome(redis_errors::table(), text, phase);
        for (text, phase, expected) in [
            ("READONLY You can't write against a read only replica.", Phase::Commit, Outcome::Fail),
            ("ERR max number of clients reached", Phase::Connect, Outcome::Fail),
            ("ERR something new", Phase::Commit, Outcome::Info),
            ("UNBLOCKED force unblock from blocking operation", Phase::Replication, Outcome::Info),
            ("READONLY", Phase::Replication, Outcome::Info),
        ] {
            assert_eq!(redis(text, phase), expected, "{text} {}", phase.name());
        }
    }
}
