//! What is wrong with a history: every problem, each with its place.

use std::fmt;

/// One thing that makes a history unfit to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: Option<u64>,
    /// Column in that line, from 1, where the text itself is malformed.
    pub column: Option<u64>,
    /// The event's own index.
    pub event_index: Option<u64>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}")?;
            if let Some(column) = self.column {
                write!(formatter, ", column {column}")?;
            }
            if let Some(index) = self.event_index {
                write!(formatter, " (event {index})")?;
            }
            formatter.write_str(": ")?;
        } else if let Some(index) = self.event_index {
            write!(formatter, "event {index}: ")?;
        }
        formatter.write_str(&self.message)
    }
}

/// All problems of a history, in the order in which they were met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    list: Vec<Problem>,
    total: u64,
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { list: vec![problem], total: 1 }
    }
}

impl Problems {
    /// How many are kept with their text; beyond, they are only counted: a file of another kind altogether has one in
    /// each of its ten million lines.
    pub const KEPT_MAX: usize = 100_000;
    /// How many [`fmt::Display`] prints.
    pub const SHOWN_MAX: usize = 20;

    pub(crate) fn push(&mut self, problem: Problem) {
        self.total += 1;
        if self.list.len() < Self::KEPT_MAX {
            self.list.push(problem);
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.total += other.total;
        let room = Self::KEPT_MAX.saturating_sub(self.list.len());
        self.list.extend(other.list.into_iter().take(room));
    }

    /// The problems, the first [`Problems::KEPT_MAX`] of them.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// How many there are in all.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// True when there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.list.iter().take(Self::SHOWN_MAX).enumerate() {
            if at > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        let shown = self.list.len().min(Self::SHOWN_MAX) as u64;
        if self.total > shown {
            write!(formatter, "\nand {} more problems", self.total - shown)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
