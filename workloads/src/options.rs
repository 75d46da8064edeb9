//! Options given as text, and errors that list what would have been right, nearest first.

use std::{ops::RangeInclusive, str::FromStr};

/// One option of a workload or a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionRow {
    /// Its name.
    pub key: &'static str,
    /// What it is when it is not given.
    pub default: &'static str,
    /// What it may be.
    pub values: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// A workload or an option of one that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// No workload of this name.
    #[error("there is no workload {name:?}; the workloads are {}", valid.join(", "))]
    UnknownWorkload {
        /// As given.
        name: String,
        /// The names there are, nearest first.
        valid: Vec<&'static str>,
    },
    /// The workload has no such option.
    #[error("workload {workload} has no option {key:?}; its options are {}", valid.join(", "))]
    UnknownKey {
        /// The workload.
        workload: &'static str,
        /// As given.
        key: String,
        /// The options it has, nearest first.
        valid: Vec<&'static str>,
    },
    /// The option exists, but cannot be this.
    #[error("workload {workload}: option {key} cannot be {value:?}; it takes {valid} (default {default})")]
    BadValue {
        /// The workload.
        workload: &'static str,
        /// The option.
        key: &'static str,
        /// As given.
        value: String,
        /// What it takes.
        valid: &'static str,
        /// Its default.
        default: &'static str,
    },
    /// Options that exclude each other.
    #[error("workload {workload}: {text}")]
    Contradiction {
        /// The workload.
        workload: &'static str,
        /// Which, and what to do.
        text: String,
    },
}

/// What one workload accepts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choices {
    pub(crate) workload: &'static str,
    pub(crate) rows: &'static [OptionRow],
}

impl Choices {
    pub(crate) fn unknown_key(&self, key: &str) -> WorkloadError {
        let valid = nearest_first(key, self.rows.iter().map(|row| row.key));
        WorkloadError::UnknownKey { workload: self.workload, key: key.to_owned(), valid }
    }

    fn bad_value(&self, key: &str, value: &str) -> WorkloadError {
        match self.rows.iter().find(|row| row.key == key) {
            Some(row) => WorkloadError::BadValue {
                workload: self.workload,
                key: row.key,
                value: value.to_owned(),
                valid: row.values,
                default: row.default,
            },
            None => self.unknown_key(key),
        }
    }
}

/// A number within a range, which the option's row states in words.
pub(crate) fn number<T: FromStr + PartialOrd>(
    choices: &Choices,
    key: &str,
    value: &str,
    range: RangeInclusive<T>,
) -> Result<T, WorkloadError> {
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| choices.bad_value(key, value))
}

/// The candidates by edit distance from what was typed, then by name.
pub(crate) fn nearest_first(typed: &str, candidates: impl IntoIterator<Item = &'static str>) -> Vec<&'static str> {
    let mut candidates: Vec<_> = candidates.into_iter().map(|name| (strsim::levenshtein(typed, name), name)).collect();
    candidates.sort_unstable();
    candidates.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_comes_first() {
        assert_eq!(nearest_first("registr", ["set", "register"]), ["register", "set"]);
    }
}
