//! What all reports say in the same words.

use schism_checker::{Check, Details, Finding, Validity, availability::Rto};

use crate::result::{Outcome, RunResult};

/// The verdict as a person reads it first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Headline {
    /// `VALID`, `INVALID`, `UNKNOWN` or `HARNESS FAILURE`.
    pub(super) label: &'static str,
    pub(super) tone: Tone,
    /// The guarantee, held or broken.
    pub(super) sentence: String,
    /// What limits the verdict: an interruption, a failure of the harness, no faults.
    pub(super) notes: Vec<String>,
}

/// How a verdict is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Doubt,
}

/// A broken guarantee stays broken when the harness fails later: the evidence is in the history. Anything less than
/// that is no verdict once the harness failed.
pub(super) fn headline(result: &RunResult) -> Headline {
    let failed = result.outcome == Outcome::HarnessFailure;
    let (label, tone, state) = match result.valid {
        Validity::Invalid => ("INVALID", Tone::Bad, "broken"),
        _ if failed => ("HARNESS FAILURE", Tone::Doubt, "not judged, because schism itself failed"),
        Validity::Unknown => ("UNKNOWN", Tone::Doubt, "undecided"),
        Validity::Valid if result.outcome == Outcome::Aborted => ("UNKNOWN", Tone::Doubt, "held, but cut short"),
        Validity::Valid => ("VALID", Tone::Good, "held in this run"),
    };
    let mut notes = Vec::new();
    match result.outcome {
        Outcome::Completed => {}
        Outcome::Interrupted => {
            notes.push("The run was interrupted: the verdict covers what was recorded until then.".to_owned());
        }
        Outcome::Aborted => {
            let why = result.aborted.as_deref().unwrap_or("no reason was noted");
            notes.push(format!("The faults were ended early: {why}. The verdict covers those that happened."));
        }
        Outcome::HarnessFailure if result.valid == Validity::Invalid => {
            notes.push("The harness failed as well; what was recorded until then proves the violation.".to_owned());
        }
        Outcome::HarnessFailure => {
            notes.push(format!(
                "This is no verdict on the database. What was recorded until the failure is {}.",
                result.valid.name()
            ));
        }
    }
    notes.extend(result.warnings.iter().map(|warning| format!("Warning: {warning}.")));
    if result.faults.iter().all(|fault| fault.start_ns.is_none()) {
        notes.push("No fault was in force in this run: it says nothing about behaviour under failure.".to_owned());
    }
    if result.claims.is_empty() {
        notes.push("No node's claim to be primary was observed: split brain could not have been seen.".to_owned());
    }
    Headline { label, tone, sentence: format!("{}: {state}", capitalised(&result.guarantee)), notes }
}

/// The evidence in the order of the checks' severity: findings of refuted promises, most telling first.
pub(super) fn evidence(result: &RunResult) -> impl Iterator<Item = (&Check, &Finding)> {
    let refuted = result.checks.iter().filter(|check| check.valid == Validity::Invalid);
    refuted.flat_map(|check| check.findings.iter().map(move |finding| (check, finding)))
}

/// One finding of each refuted check first, then the rest: three pieces of evidence should not be three lost writes
/// when there is split brain as well.
pub(super) fn varied_evidence(result: &RunResult) -> Vec<(&Check, &Finding)> {
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for (check, finding) in evidence(result) {
        let seen = first.iter().any(|(earlier, _): &(&Check, &Finding)| earlier.name == check.name);
        if seen { rest.push((check, finding)) } else { first.push((check, finding)) }
    }
    first.append(&mut rest);
    first
}

/// What a check says in a sentence or two, its reason among them.
pub(super) fn told(check: &Check) -> String {
    match &check.reason {
        Some(reason) if !check.summary.contains(reason.as_str()) => {
            format!("{} Undecided: {reason}.", check.summary)
        }
        _ => check.summary.clone(),
    }
}

/// The recovery point of the run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RecoveryPoint {
    /// Acknowledged writes lost.
    pub(super) ops: u64,
    pub(super) percent: f64,
    /// From the first lost acknowledgement to the last.
    pub(super) window_s: f64,
}

/// `Err` says why there is none.
pub(super) fn recovery_point(result: &RunResult) -> Result<RecoveryPoint, &'static str> {
    let mut undecided = false;
    for check in &result.checks {
        let point = match &check.details {
            Details::Set(set) => {
                RecoveryPoint { ops: set.rpo.ops, percent: set.lost_percent, window_s: set.rpo.window_s }
            }
            Details::ListAppend(list) => {
                let times = || list.lost_appends.iter().map(|lost| lost.ok_ns);
                let window_ns = times().max().unwrap_or(0) - times().min().unwrap_or(0);
                let ops = list.lost_appends.len() as u64;
                let percent = 100.0 * ops as f64 / list.appends_acknowledged.max(1) as f64;
                RecoveryPoint { ops, percent, window_s: window_ns as f64 / 1e9 }
            }
            _ => continue,
        };
        // Without losses an undecided check does not mean that nothing was lost.
        if check.valid == Validity::Unknown && point.ops == 0 {
            undecided = true;
            continue;
        }
        return Ok(point);
    }
    Err(if undecided { "could not be decided" } else { "not measured by this workload" })
}

/// The slowest recovery of the cluster over all faults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum WorstRto<'a> {
    NoFault,
    /// No client had succeeded with such an operation before.
    NotMeasured,
    Never,
    Recovered(f64, &'a Rto),
}

/// Writes or reads, by the choice of `of`.
pub(super) fn worst_rto<'a>(
    result: &'a RunResult,
    of: impl Fn(&'a schism_checker::availability::FaultAvailability) -> &'a Rto,
) -> WorstRto<'a> {
    let mut worst = WorstRto::NoFault;
    for rto in result.availability.faults.iter().map(of) {
        worst = match (worst, rto.cluster_s) {
            (WorstRto::Never, _) => worst,
            (_, None) if rto.clients_never > 0 => WorstRto::Never,
            (WorstRto::NoFault, None) => WorstRto::NotMeasured,
            (_, None) => worst,
            (WorstRto::Recovered(slowest, _), Some(s)) if slowest >= s => worst,
            (_, Some(s)) => WorstRto::Recovered(s, rto),
        };
    }
    worst
}

/// A fault's recovery time of the cluster.
pub(super) fn cluster_rto(rto: &Rto) -> String {
    match rto.cluster_s {
        Some(s) => seconds(s),
        None if rto.clients_never > 0 => "never".to_owned(),
        None => "–".to_owned(),
    }
}

/// What a seed repeats, wherever the command is shown.
pub(super) const REPEATS: &str = "The command repeats the plan: the same streams of operations, and the same faults on \
                                  the same schedule. It does not repeat the timing of a real database, so a finding \
                                  may need several runs to show again; only history.jsonl repeats the verdict.";

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 write`, `2 writes`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A length of time with sensible digits: `0.412 s`, `12.3 s`, `2 min 5 s`.
pub(super) fn seconds(s: f64) -> String {
    match s {
        s if s < 10.0 => format!("{s:.3} s"),
        s if s < 120.0 => format!("{s:.1} s"),
        s => format!("{} min {} s", (s / 60.0) as u64, (s % 60.0) as u64),
    }
}

/// A latency in milliseconds with sensible digits.
pub(super) fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

/// A moment of the run: `12.345 s`.
pub(super) fn moment(ns: u64) -> String {
    format!("{:.3} s", ns as f64 / 1e9)
}

/// Cuts a text that may be of any length, saying so.
pub(super) fn clip(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} more characters)", &text[..end], text[end..].chars().count()),
    }
}

pub(super) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn numbers_are_grouped() {
        let grouped: Vec<String> = [0, 999, 1000, 12_345, 1_234_567].into_iter().map(count).collect();
        assert_eq!(grouped, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn clipping_counts_characters_not_bytes() {
        assert_eq!(clip("ääää", 4), "ääää");
        assert_eq!(clip("ääää", 3), "äää… (1 more characters)");
    }

    #[test]
    fn evidence_of_a_broken_promise_outlives_a_failed_harness() {
        let mut result = fixture::losses_and_split_brain(3);
        result.outcome = Outcome::HarnessFailure;
        assert_eq!(headline(&result).label, "INVALID");
        assert_eq!(headline(&fixture::harness_failure()).label, "HARNESS FAILURE");
    }

    #[test]
    fn never_recovered_is_worse_than_any_time() {
        let mut result = fixture::losses_and_split_brain(3);
        assert!(matches!(worst_rto(&result, |fault| &fault.rto_write), WorstRto::Recovered(..)));
        result.availability.faults[0].rto_write = Rto { clients_never: 5, ..Rto::default() };
        assert!(matches!(worst_rto(&result, |fault| &fault.rto_write), WorstRto::Never));
        result.availability.faults.clear();
        assert_eq!(worst_rto(&result, |fault| &fault.rto_write), WorstRto::NoFault);
    }
}
