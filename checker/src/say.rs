//! How figures and lists appear in sentences.

use crate::{Check, Details, Finding, Validity};

/// `12.345 s`.
pub(crate) fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

pub(crate) fn as_seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

pub(crate) fn as_millis(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// ` by n1`, or nothing.
pub(crate) fn by(node: Option<&str>) -> String {
    node.map_or_else(String::new, |node| format!(" by {node}"))
}

/// ` on n1`, or nothing.
pub(crate) fn on(node: Option<&str>) -> String {
    node.map_or_else(String::new, |node| format!(" on {node}"))
}

/// `1 add`, `2 adds`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `a, b and c`.
pub(crate) fn list(items: &[impl AsRef<str>]) -> String {
    match items {
        [] => "none".into(),
        [one] => one.as_ref().into(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// With a capital letter first.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Findings as a check carries them: the first ones whole, the rest counted.
#[derive(Default)]
pub(crate) struct Findings {
    kept: Vec<Finding>,
    total: u64,
}

impl Findings {
    /// The sentence is only made where it is kept.
    pub(crate) fn push(&mut self, kind: &str, event_indexes: Vec<u64>, sentence: impl FnOnce() -> String) {
        self.total += 1;
        if self.kept.len() < Check::FINDINGS_MAX {
            self.kept.push(Finding { kind: kind.into(), sentence: sentence(), event_indexes });
        }
    }

    /// Counts findings that are not even listed.
    pub(crate) const fn count_only(&mut self, number: u64) {
        self.total += number;
    }

    pub(crate) fn into_check(
        self,
        name: &str,
        valid: Validity,
        reason: Option<String>,
        summary: String,
        details: Details,
    ) -> Check {
        let reason = reason.filter(|_| valid == Validity::Unknown);
        Check { name: name.into(), valid, reason, summary, findings: self.kept, findings_total: self.total, details }
    }
}
