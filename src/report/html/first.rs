//! The first screen.

use maud::{Markup, html};
use schism_checker::{
    Details, Validity,
    availability::{FaultAvailability, Rto},
};

use super::{figure, link, text};
use crate::{
    report::{
        plots::Figure,
        words::{self, Headline, REPEATS, Tone, WorstRto, counted, millis, seconds},
    },
    result::{Outcome, RunResult},
};

/// Characters of a sentence on the first screen.
const SENTENCE_MAX: usize = 700;

pub(super) fn screen(result: &RunResult, headline: &Headline, evidence: &[Figure]) -> Markup {
    html! {
        (banner(result, headline))
        div.first {
            section.card.evidence aria-label="Evidence" {
                (evidence_words(result))
                @for picture in evidence { (figure(picture)) }
            }
            section.tiles aria-label="Recovery figures" {
                (rto_tile("RTO, writes", result, |fault| &fault.rto_write))
                (rto_tile("RTO, reads", result, |fault| &fault.rto_read))
                (rpo_tile(result))
                (split_brain_tile(result))
                (latency_tile(result))
            }
        }
        section.card.repeat aria-label="Repeat" {
            strong { "Repeat" }
            pre tabindex="0" { code { (text(&result.command, 4000)) } }
            p.small.muted { (REPEATS) }
        }
        nav.page aria-label="Sections" {
            a href="#checks" { "Checks" }
            a href="#availability" { "Availability" }
            a href="#plots" { "Plots" }
            a href="#lost" { "Lost writes" }
            a href="#differences" { "Differences" }
            a href="#errors" { "Errors" }
            a href="#faults" { "Faults" }
            a href="#files" { "Files" }
            a href="#plan" { "Plan" }
            a href="#definitions" { "Definitions" }
        }
    }
}

fn banner(result: &RunResult, headline: &Headline) -> Markup {
    let (class, mark) = match headline.tone {
        Tone::Good => ("banner good", "✓"),
        Tone::Bad => ("banner bad", "✗"),
        Tone::Doubt => ("banner doubt", "?"),
    };
    html! {
        header class=(class) {
            div.label { (mark) " " (headline.label) }
            div {
                h1 { (text(&headline.sentence, 300)) }
                p.small {
                    (text(&result.target, 80)) " · " (text(&result.workload, 80)) " · seed " (result.seed)
                    " · started " (text(&result.started_utc, 40)) " · " (seconds(result.wall_s))
                }
                @for note in &headline.notes { p.small { strong { (note) } } }
                @for error in result.harness_errors.iter().take(3) {
                    p.small { "Harness: " (text(error, 400)) }
                }
                @if result.harness_errors.len() > 3 {
                    p.small { a href="#faults" { "All " (result.harness_errors.len()) " harness errors" } }
                }
            }
        }
    }
}

fn evidence_words(result: &RunResult) -> Markup {
    if let Some((check, finding)) = words::evidence(result).next() {
        let others = words::varied_evidence(result);
        let of_others: Vec<_> = others.iter().skip(1).filter(|(other, _)| other.name != check.name).take(2).collect();
        return html! {
            h2 { "The smallest evidence" }
            p.sentence { (text(&finding.sentence, SENTENCE_MAX)) }
            @if check.findings_total > 1 {
                p.small.muted {
                    "One of " (counted(check.findings_total, "finding")) " of the check "
                    a href="#checks" { (text(&check.name, 60)) } "."
                }
            }
            @for (other, finding) in of_others {
                p.small { strong { (text(&other.name, 60)) ": " } (text(&finding.sentence, SENTENCE_MAX)) }
            }
        };
    }
    let whole = result.outcome == Outcome::Completed;
    let heading = match result.valid {
        Validity::Valid if whole => "What was checked",
        Validity::Valid => "What was checked in the part that was recorded",
        Validity::Unknown => "What is missing for a verdict",
        Validity::Invalid => "What refutes the guarantee",
    };
    let told = result.checks.iter().filter(|check| check.valid == result.valid);
    html! {
        h2 { (heading) }
        ul.plain {
            @for check in told.take(8) {
                li {
                    strong { (text(&check.name, 60)) ": " }
                    (text(&words::told(check), SENTENCE_MAX))
                }
            }
        }
        @if result.valid == Validity::Valid && whole {
            p.small.muted {
                "Nothing that was looked for was found. A test cannot prove more than its own run: other timings may "
                "break what held here."
            }
        }
    }
}

/// A figure: its name with the definition on hover, its value, and what it rests on.
fn tile(name: &str, definition: &str, value: &str, bad: bool, sub: &str) -> Markup {
    let footnote = DEFINITIONS.iter().position(|known| *known == definition).map_or(0, |position| position + 1);
    html! {
        div.tile title=(definition) {
            div.name { (name) sup { a href="#definitions" aria-label={ "Definition of " (name) } { (footnote) } } }
            div class=(if bad { "value bad" } else { "value" }) { (value) }
            div.sub { (sub) }
        }
    }
}

/// The definitions that tiles show on hover and the footnotes repeat.
const RTO: &str = "RTO (recovery time): from a fault's start to the first operation invoked after it that \
    ended ok. While the fault is in force, what its victims acknowledge does not count: an isolated primary that goes \
    on acknowledging is not a recovery. Shown is the slowest over all faults; per client: the same for each client by \
    itself.";
const RPO: &str = "RPO (recovery point): acknowledged writes that the last reads lack, and the time from the \
    first such acknowledgement to the last.";
const SPLIT_BRAIN: &str = "Split brain: time in which two nodes claimed to be primary and both acknowledged \
    writes; overlapping windows count once.";
const LATENCY: &str = "Steady latency: of operations that ended ok before the first fault.";

/// In the order of the footnotes.
pub(super) const DEFINITIONS: [&str; 4] = [RTO, RPO, SPLIT_BRAIN, LATENCY];

fn rto_tile<'a>(name: &str, result: &'a RunResult, of: impl Fn(&'a FaultAvailability) -> &'a Rto + Copy) -> Markup {
    let faults = counted(result.availability.faults.len() as u64, "fault");
    // The slowest recovery of the cluster need not be the one after which most clients stayed away.
    let never = result.availability.faults.iter().map(of).map(|rto| rto.clients_never).max().unwrap_or(0);
    let (value, bad, sub) = match words::worst_rto(result, of) {
        WorstRto::NoFault => ("–".to_owned(), false, "no fault was in force".to_owned()),
        WorstRto::NotMeasured => ("–".to_owned(), false, "no such operation succeeded before a fault".to_owned()),
        WorstRto::Never => {
            let clients = counted(u64::from(never), "client");
            ("never".to_owned(), true, format!("{clients} never recovered; worst of {faults}"))
        }
        WorstRto::Recovered(s, rto) => {
            let clients = client_rto(rto, never);
            (seconds(s), false, format!("worst of {faults}; {clients}"))
        }
    };
    tile(name, RTO, &value, bad, &sub)
}

fn client_rto(rto: &Rto, never: u32) -> String {
    let shown = |s: Option<f64>| s.map_or_else(|| "–".to_owned(), seconds);
    let mut sub = format!("clients: p50 {}, max {}", shown(rto.client_p50_s), shown(rto.client_max_s));
    if never > 0 {
        sub.push_str(&format!("; {never} never again"));
    }
    sub
}

fn rpo_tile(result: &RunResult) -> Markup {
    match words::recovery_point(result) {
        Ok(point) => {
            let value = counted(point.ops, "write");
            let sub = if point.ops == 0 {
                "no acknowledged write is lost".to_owned()
            } else {
                format!("{:.2} % of acknowledged, over {}", point.percent, seconds(point.window_s))
            };
            tile("RPO", RPO, &value, point.ops > 0, &sub)
        }
        Err(why) => tile("RPO", RPO, "–", false, why),
    }
}

fn split_brain_tile(result: &RunResult) -> Markup {
    let found = result.checks.iter().find_map(|check| match &check.details {
        Details::SplitBrain(split_brain) => Some(split_brain),
        _ => None,
    });
    let (value, bad, sub) = match found {
        None => ("–".to_owned(), false, "not checked".to_owned()),
        Some(found) if !found.claims_observed => ("–".to_owned(), false, "no claims were observed".to_owned()),
        Some(found) if found.windows.is_empty() => {
            let claims = format!("two claimed to be primary for {}", seconds(found.dual_claim_s));
            ("none".to_owned(), false, claims)
        }
        Some(found) => {
            let windows = counted(found.windows.len() as u64, "window");
            (seconds(found.total_s), true, format!("{windows}, longest {}", seconds(found.longest_s)))
        }
    };
    tile("Split brain", SPLIT_BRAIN, &value, bad, &sub)
}

fn latency_tile(result: &RunResult) -> Markup {
    let steady = &result.availability.steady_latency_ms;
    let value = if steady.count == 0 { "–".to_owned() } else { format!("{} ms p99", millis(steady.p99)) };
    let sub = format!("p50 {} ms at {:.0} ok/s before faults", millis(steady.p50), result.availability.steady_ok_per_s);
    tile("Steady latency", LATENCY, &value, false, &sub)
}

/// A link to one of the result folder's files by its path, if it is there.
pub(super) fn file_link(result: &RunResult, path: &str) -> Option<Markup> {
    result.files.iter().find(|(_, known)| known == path).map(|(_, path)| link(path, path))
}
