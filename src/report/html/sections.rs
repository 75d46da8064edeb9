//! Everything after the first screen.

use maud::{Markup, html};
use schism_checker::{
    Check, Details, Validity,
    availability::{FaultAvailability, Quantiles, Rto},
    divergence::final_state::{Difference, DivergenceResult},
    isolation::list_append::ListAppendResult,
};

use super::{figure, first, link, text};
use crate::{
    report::{
        plots::Figure,
        words::{cluster_rto, count, counted, millis, moment, recovery_point, seconds, told},
    },
    result::{FaultRecord, RunResult},
};

/// Rows of a table of evidence; the complete list is a file.
const ROWS_MAX: usize = 200;
/// Findings shown for each check.
const FINDINGS_MAX: usize = 20;
/// Checks, keys and so on: more than any real run has.
const ITEMS_MAX: usize = 50;
/// Characters of a sentence.
const SENTENCE_MAX: usize = 1000;
/// Characters of a name or an error's example.
const CELL_MAX: usize = 300;
/// Characters of the plan.
const PLAN_MAX: usize = 100_000;

pub(super) fn all(result: &RunResult, figures: &[Figure]) -> Markup {
    html! {
        (checks(result))
        (availability(result))
        (plots(figures))
        (lost_writes(result))
        (differences(result))
        (errors(result))
        (faults(result))
        (files(result))
        (plan(result))
        (definitions())
    }
}

/// A table that can be scrolled sideways, also by keyboard.
fn scroll(label: &str, table: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { (table) } }
}

/// What a cut table says below itself.
fn cut_note(result: &RunResult, shown: usize, total: usize, file: &str) -> Markup {
    let complete = first::file_link(result, file);
    html! {
        p.small.muted {
            @if total > shown { "The first " (count(shown as u64)) " of " (count(total as u64)) ". " }
            @if let Some(complete) = complete { "Complete list: " (complete) }
        }
    }
}

fn checks(result: &RunResult) -> Markup {
    let table = html! {
        table.checks {
            thead { tr { th scope="col" { "Verdict" } th scope="col" { "Check" } th scope="col" { "What it found" } } }
            tbody {
                @for check in result.checks.iter().take(ITEMS_MAX) {
                    tr {
                        td { span class={ "tag " (check.valid.name()) } { (check.valid.name()) } }
                        td.nowrap { strong { (text(&check.name, 60)) } }
                        td.long { (check_body(check)) }
                    }
                }
            }
        }
    };
    html! {
        h2 #checks { "Checks" }
        @if result.checks.is_empty() { p { "Nothing was checked." } } @else { (scroll("Checks", &table)) }
    }
}

fn check_body(check: &Check) -> Markup {
    html! {
        (text(&told(check), SENTENCE_MAX))
        (figures_of(&check.details))
        @if !check.findings.is_empty() {
            details open[check.valid == Validity::Invalid && check.findings.len() <= 3] {
                summary { (counted(check.findings_total, "finding")) }
                ul {
                    @for finding in check.findings.iter().take(FINDINGS_MAX) {
                        li {
                            strong { (text(&finding.kind, 60)) } ": " (text(&finding.sentence, SENTENCE_MAX))
                            @if !finding.event_indexes.is_empty() {
                                " " span.muted { "(events " (indexes(&finding.event_indexes)) ")" }
                            }
                        }
                    }
                    @if check.findings_total > FINDINGS_MAX as u64 {
                        li.muted { (count(check.findings_total - FINDINGS_MAX as u64)) " more" }
                    }
                }
            }
        }
    }
}

fn indexes(indexes: &[u64]) -> String {
    let mut shown: Vec<String> = indexes.iter().take(12).map(u64::to_string).collect();
    if indexes.len() > 12 {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

/// A check's own figures in a line or a small table.
fn figures_of(details: &Details) -> Markup {
    match details {
        Details::Set(set) => html! {
            p.small.muted {
                (count(set.attempted)) " adds attempted: " (count(set.acknowledged)) " acknowledged, " (count(set.failed))
                " failed, " (count(set.indeterminate)) " indeterminate (of these " (count(set.recovered))
                " are there). " (count(set.stable)) " stable, " (count(set.lost.len() as u64)) " lost, "
                (count(set.stale)) " stale for a time (longest " (millis(set.stale_max_ms)) " ms), "
                (count(set.never_read)) " never read, " (count(set.vanished.len() as u64)) " vanished, "
                (count(set.duplicated.len() as u64)) " duplicated, "
                (count(set.unexpected.len() as u64)) " unexpected."
            }
        },
        Details::Linearizability(keys) => html! {
            p.small.muted {
                (count(keys.ops)) " operations on " (counted(keys.keys, "key")) ", model " (text(&keys.model, 60)) ", "
                (count(keys.steps)) " search steps."
            }
            @for key in keys.invalid_keys.iter().take(5) {
                details {
                    summary { "Key " (key.key) ": " (counted(key.ops.len() as u64, "operation")) }
                    p { (text(&key.explanation, SENTENCE_MAX)) }
                    ol {
                        @for op in key.ops.iter().take(ITEMS_MAX) {
                            li {
                                "process " (op.process) ": " strong { (text(&op.op, 200)) } " " (text(&op.outcome, 20))
                                @if let Some(node) = &op.node { " at " (text(node, 60)) }
                                ", " (moment(op.invoke_ns)) " to "
                                @match op.complete_ns { Some(ns) => { (moment(ns)) } None => { "?" } }
                            }
                        }
                    }
                }
            }
            @if !keys.unknown_keys.is_empty() {
                p.small {
                    (counted(keys.unknown_keys.len() as u64, "key")) " undecided, the first: "
                    @for (key, reason) in keys.unknown_keys.iter().take(3) {
                        (key) " (" (text(reason, 200)) ") "
                    }
                }
            }
        },
        Details::ListAppend(list) => html! {
            p.small.muted {
                (count(list.txns[0])) " transactions ok, " (count(list.txns[1])) " fail, " (count(list.txns[2]))
                " info; " (count(list.appends_acknowledged)) " acknowledged appends, "
                (count(list.lost_appends.len() as u64)) " lost. Models asked for: "
                (text(&list.consistency_models.join(", "), CELL_MAX)) ". Looked for: "
                (text(&list.looked_for.join(", "), CELL_MAX)) ". Others may be there."
            }
            @if !list.anomalies.is_empty() {
                p.small {
                    "Found: " (kinds(list)) ". "
                    @if list.refuting.is_empty() { "The models asked for allow these." }
                    @else { "Refuting the models asked for: " (text(&list.refuting.join(", "), CELL_MAX)) "." }
                }
            }
        },
        // Judged by `schism check`, not by runs: its summary says it.
        Details::Jepsen(_) => html! {},
        Details::Isolation(found) => html! {
            p.small.muted {
                (count(found.txns[0])) " transactions ok, " (count(found.txns[1])) " fail, " (count(found.txns[2]))
                " info; " (counted(found.edges, "dependency")) ", " (counted(found.components, "component"))
                " with cycles, the largest of " (counted(found.largest_component, "transaction")) "."
            }
            @if !found.not.is_empty() {
                p.small {
                    "Cannot hold: " (text(&found.not.join(", "), CELL_MAX)) "; and so neither "
                    (text(&found.also_not.join(", "), CELL_MAX)) "."
                }
            }
        },
        Details::SplitBrain(found) => html! {
            p.small.muted {
                @if found.claims_observed {
                    (counted(found.windows.len() as u64, "window")) ", " (seconds(found.total_s)) " in all, longest "
                    (seconds(found.longest_s)) "; two nodes claimed to be primary for " (seconds(found.dual_claim_s)) "."
                } @else { "No claims were observed." }
            }
            @for window in found.windows.iter().take(10) {
                p.small {
                    (moment(window.start_ns)) " to " (moment(window.end_ns)) ": "
                    (text(&window.nodes[0], 60)) " acknowledged " (counted(window.acknowledged[0], "write")) ", "
                    (text(&window.nodes[1], 60)) " " (count(window.acknowledged[1])) "."
                }
            }
        },
        Details::Divergence(found) => html! {
            ul.plain.small.muted {
                @for node in found.nodes.iter().take(ITEMS_MAX) {
                    li { (text(&node.node, 60)) " (" (text(&node.role, 40)) ") holds " (count(node.size)) }
                }
                @if !found.unread_nodes.is_empty() {
                    li { "Not read: " (text(&found.unread_nodes.join(", "), CELL_MAX)) }
                }
            }
        },
        Details::Recovery(found) => html! {
            @if !found.missing.is_empty() { p.small { "Missing: " (text(&found.missing, SENTENCE_MAX)) } }
        },
        Details::SteadyState(found) => html! {
            ul.small {
                @for probe in found.probes.iter().take(ITEMS_MAX) {
                    li {
                        (text(&probe.name, 60)) ": before " (held(probe.before)) ", during the faults it held "
                        (count(probe.during_held)) " of " (count(probe.during_held + probe.during_failed))
                        " times, after " (held(probe.after)) " (" (text(&probe.got, CELL_MAX)) ")"
                    }
                }
            }
        },
        Details::Activity(found) => html! {
            p.small.muted {
                (counted(found.ok, "operation")) " ended ok."
                @if !found.never_ok.is_empty() { " Never: " (text(&found.never_ok.join(", "), CELL_MAX)) "." }
            }
        },
    }
}

/// Whether a probe held, in a word.
const fn held(held: Option<bool>) -> &'static str {
    match held {
        Some(true) => "it held",
        Some(false) => "it did not hold",
        None => "it was not asked",
    }
}

/// Anomalies by kind, in the order of their first one.
fn kinds(list: &ListAppendResult) -> String {
    let mut counts: Vec<(&str, u64)> = Vec::new();
    for anomaly in &list.anomalies {
        match counts.iter_mut().find(|(kind, _)| *kind == anomaly.kind) {
            Some((_, number)) => *number += 1,
            None => counts.push((&anomaly.kind, 1)),
        }
    }
    let shown: Vec<String> = counts.iter().map(|(kind, number)| format!("{} {kind}", count(*number))).collect();
    text(&shown.join(", "), CELL_MAX)
}

fn availability(result: &RunResult) -> Markup {
    let figures = &result.availability;
    html! {
        h2 #availability { "Availability" }
        @if figures.faults.is_empty() {
            p { "No fault was in force, so there is no recovery to measure." }
        } @else {
            (scroll("Recovery by fault", &recovery_table(&figures.faults)))
            h3 { "Latency and throughput around each fault" }
            (scroll("Latency by fault", &latency_table(&figures.faults)))
            @if figures.faults.len() > ROWS_MAX {
                p.small.muted { "The first " (ROWS_MAX) " of " (figures.faults.len()) " faults; result.json has all." }
            }
        }
        h3 { "Operations" }
        (scroll("Operations by outcome", &counts_table(result)))
    }
}

fn fault_name(fault: &FaultAvailability) -> Markup {
    html! { "#" (fault.fault_id) " " strong { (text(&fault.kind, 60)) } " " (text(&fault.victims.join(" "), 120)) }
}

fn recovery_table(faults: &[FaultAvailability]) -> Markup {
    html! {
        table {
            caption { "Recovery time (RTO) after each fault" sup { a href="#definitions" { "1" } } }
            thead {
                tr {
                    th scope="col" { "Fault" } th scope="col" { "In force" } th.n scope="col" { "First error" }
                    th scope="col" { "RTO of" } th.n scope="col" { "Cluster" } th.n scope="col" { "Client p50" }
                    th.n scope="col" { "p99" } th.n scope="col" { "max" } th.n scope="col" { "Never" }
                    th.n scope="col" { "Failed" } th.n scope="col" { "Indeterminate" }
                }
            }
            tbody {
                @for fault in faults.iter().take(ROWS_MAX) {
                    tr {
                        td rowspan="2" { (fault_name(fault)) }
                        td.nowrap rowspan="2" {
                            (moment(fault.start_ns)) " –" br;
                            @match fault.end_ns { Some(ns) => { (moment(ns)) } None => { "the end" } }
                        }
                        td.n rowspan="2" {
                            @match fault.first_error_ms { Some(ms) => { (millis(ms)) " ms" } None => { "none" } }
                        }
                        td { "writes" } (rto_cells(&fault.rto_write))
                        td.n rowspan="2" { (count(fault.failed)) }
                        td.n rowspan="2" { (count(fault.indeterminate)) }
                    }
                    tr { td { "reads" } (rto_cells(&fault.rto_read)) }
                }
            }
        }
    }
}

fn rto_cells(rto: &Rto) -> Markup {
    let shown = |s: Option<f64>| s.map_or_else(|| "–".to_owned(), seconds);
    html! {
        td.n { strong { (cluster_rto(rto)) } }
        td.n { (shown(rto.client_p50_s)) } td.n { (shown(rto.client_p99_s)) } td.n { (shown(rto.client_max_s)) }
        td.n { (rto.clients_never) }
    }
}

fn latency_table(faults: &[FaultAvailability]) -> Markup {
    html! {
        table {
            caption { "Latency of ok operations in milliseconds; ok operations a second" }
            thead {
                tr {
                    th scope="col" { "Fault" } th scope="col" { "When" } th.n scope="col" { "p50" }
                    th.n scope="col" { "p95" } th.n scope="col" { "p99" } th.n scope="col" { "p99.9" }
                    th.n scope="col" { "max" } th.n scope="col" { "ok/s" } th.n scope="col" { "Throughput lost" }
                }
            }
            tbody {
                @for fault in faults.iter().take(ROWS_MAX) {
                    tr {
                        td rowspan="3" { (fault_name(fault)) }
                        td { "before" } (latency_cells(&fault.latency_before_ms, fault.ok_per_s_before))
                        td.n rowspan="3" { (format!("{:.1} %", fault.throughput_loss_percent)) }
                    }
                    tr { td { "during" } (latency_cells(&fault.latency_during_ms, fault.ok_per_s_during)) }
                    tr { td { "after" } (latency_cells(&fault.latency_after_ms, fault.ok_per_s_after)) }
                }
            }
        }
    }
}

fn latency_cells(latency: &Quantiles, ok_per_s: f64) -> Markup {
    html! {
        @for ms in [latency.p50, latency.p95, latency.p99, latency.p999, latency.max] {
            td.n { @if latency.count == 0 { "–" } @else { (millis(ms)) } }
        }
        td.n { (format!("{ok_per_s:.0}")) }
    }
}

fn counts_table(result: &RunResult) -> Markup {
    html! {
        table {
            caption { (format!("{:.0} completed operations a second while clients ran", result.availability.ops_per_s)) }
            thead {
                tr {
                    th scope="col" { "Function" } th.n scope="col" { "ok" } th.n scope="col" { "fail" }
                    th.n scope="col" { "info" }
                }
            }
            tbody {
                @for row in result.availability.counts.iter().take(ITEMS_MAX) {
                    tr {
                        td { (text(&row.f, 60)) } td.n { (count(row.ok)) } td.n { (count(row.fail)) }
                        td.n { (count(row.info)) }
                    }
                }
            }
        }
    }
}

fn plots(figures: &[Figure]) -> Markup {
    html! {
        h2 #plots { "Plots" }
        @if figures.is_empty() { p { "There is nothing to plot." } }
        @for one in figures { (figure(one)) }
    }
}

/// A lost write or append, as the table shows it.
struct LostRow {
    what: String,
    process: u32,
    node: String,
    ok_ns: u64,
    ok_index: u64,
    last_seen: String,
    first_missing: String,
}

fn lost_rows(details: &Details) -> Option<(Vec<LostRow>, usize, &'static str)> {
    let node_name = |node: &Option<String>| node.as_deref().map_or_else(|| "–".to_owned(), |node| text(node, 60));
    let seen = |seen: &Option<(u64, Option<String>)>| match seen {
        Some((ns, node)) => format!("{} at {}", moment(*ns), node_name(node)),
        None => "never".to_owned(),
    };
    match details {
        Details::Set(set) if !set.lost.is_empty() => {
            let rows = set.lost.iter().take(ROWS_MAX).map(|lost| LostRow {
                what: lost.element.to_string(),
                process: lost.process,
                node: node_name(&lost.node),
                ok_ns: lost.ok_ns,
                ok_index: lost.ok_index,
                last_seen: seen(&lost.last_seen),
                first_missing: seen(&lost.first_missing),
            });
            Some((rows.collect(), set.lost.len(), "anomalies/lost-writes.jsonl"))
        }
        Details::ListAppend(list) if !list.lost_appends.is_empty() => {
            let rows = list.lost_appends.iter().take(ROWS_MAX).map(|lost| LostRow {
                what: format!("{} of list {}", lost.element, lost.key),
                process: lost.process,
                node: node_name(&lost.node),
                ok_ns: lost.ok_ns,
                ok_index: lost.ok_index,
                last_seen: "–".to_owned(),
                first_missing: "–".to_owned(),
            });
            Some((rows.collect(), list.lost_appends.len(), "anomalies/lost-appends.jsonl"))
        }
        _ => None,
    }
}

fn lost_writes(result: &RunResult) -> Markup {
    let found = result.checks.iter().find_map(|check| lost_rows(&check.details));
    html! {
        h2 #lost { "Lost writes" }
        @match found {
            None => {
                @match recovery_point(result) {
                    Ok(_) => { p { "No acknowledged write was found lost." } }
                    Err(why) => { p { "Whether acknowledged writes were lost: " (why) "." } }
                }
            }
            Some((rows, total, file)) => {
                (rpo_by_fault(result))
                (scroll("Lost writes", &lost_table(&rows)))
                (cut_note(result, rows.len(), total, file))
            }
        }
    }
}

fn rpo_by_fault(result: &RunResult) -> Markup {
    let by_fault = result.checks.iter().find_map(|check| match &check.details {
        Details::Set(set) if !set.rpo.by_fault.is_empty() => Some(&set.rpo.by_fault),
        _ => None,
    });
    html! {
        @if let Some(by_fault) = by_fault {
            ul.plain {
                @for of in by_fault.iter().take(ITEMS_MAX) {
                    li {
                        @match of.fault_id {
                            Some(id) => { "After fault #" (id) ": " } None => { "Before any fault: " }
                        }
                        strong { (counted(of.ops, "write")) } ", acknowledged from " (moment(of.first_ok_ns)) " to "
                        (moment(of.last_ok_ns)) " (" (seconds(of.window_s)) ")"
                    }
                }
            }
        }
    }
}

fn lost_table(rows: &[LostRow]) -> Markup {
    html! {
        table #lost-table {
            thead {
                tr {
                    th.n scope="col" { "Element" } th.n scope="col" { "Process" } th scope="col" { "Acknowledged by" }
                    th.n scope="col" { "Acknowledged" } th.n scope="col" { "Event" } th scope="col" { "Last seen" }
                    th scope="col" { "First missing" }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        td.n { (row.what) } td.n { (row.process) } td { (row.node) } td.n { (moment(row.ok_ns)) }
                        td.n { (row.ok_index) } td { (row.last_seen) } td { (row.first_missing) }
                    }
                }
            }
        }
    }
}

fn differences(result: &RunResult) -> Markup {
    let found = result.checks.iter().find_map(|check| match &check.details {
        Details::Divergence(divergence) => Some(divergence),
        _ => None,
    });
    html! {
        h2 #differences { "Differences between nodes" }
        @match found {
            None => { p { "The nodes' final states were not compared." } }
            Some(found) if found.differences.is_empty() => { p { (agreement(found)) } }
            Some(found) => {
                (scroll("Differences between nodes", &differences_table(&found.differences)))
                (cut_note(result, found.differences.len().min(ROWS_MAX), found.differences.len(),
                    "anomalies/differences.jsonl"))
            }
        }
    }
}

/// One node agrees with itself; that proves nothing.
fn agreement(found: &DivergenceResult) -> String {
    match found.nodes.len() {
        0 => "No node's final state could be read.".to_owned(),
        1 => {
            let node = text(&found.nodes[0].node, 60);
            format!("Only {node} could be read in the end; there was nothing to compare it with.")
        }
        nodes => format!("The final states of {nodes} nodes are the same."),
    }
}

fn differences_table(differences: &[Difference]) -> Markup {
    html! {
        table {
            thead {
                tr { th scope="col" { "Key" } th scope="col" { "Values and who holds them" } th scope="col" { "Written by" } }
            }
            tbody {
                @for difference in differences.iter().take(ROWS_MAX) {
                    tr {
                        td { @match difference.key { Some(key) => { (key) } None => { "–" } } }
                        td.long {
                            @for (value, nodes) in difference.values.iter().take(10) {
                                div {
                                    @if value.is_null() { em { "absent" } } @else { code { (text(&value.to_string(), CELL_MAX)) } }
                                    ": " (text(&nodes.join(", "), CELL_MAX))
                                }
                            }
                        }
                        td.long {
                            @for (index, sentence) in difference.written_by.iter().take(10) {
                                div { (text(sentence, CELL_MAX)) " " span.muted { "(event " (index) ")" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn errors(result: &RunResult) -> Markup {
    let errors = &result.availability.errors;
    let table = html! {
        table {
            thead {
                tr {
                    th scope="col" { "Class" } th scope="col" { "Outcome" } th.n scope="col" { "Count" }
                    th scope="col" { "Example" }
                }
            }
            tbody {
                @for error in errors.iter().take(ROWS_MAX) {
                    tr {
                        td { code { (text(&error.class, 80)) } } td { (text(&error.outcome, 20)) }
                        td.n { (count(error.count)) } td.long { (text(&error.example, CELL_MAX)) }
                    }
                }
            }
        }
    };
    html! {
        h2 #errors { "Errors by class" }
        @if errors.is_empty() { p { "No operation ended with an error." } } @else { (scroll("Errors", &table)) }
        @if errors.len() > ROWS_MAX {
            p.small.muted { "The first " (ROWS_MAX) " of " (errors.len()) " classes; result.json has all." }
        }
    }
}

fn faults(result: &RunResult) -> Markup {
    let table = html! {
        table {
            thead {
                tr {
                    th.n scope="col" { "#" } th scope="col" { "Kind" } th scope="col" { "Target" }
                    th scope="col" { "Victims" } th scope="col" { "In force" } th scope="col" { "What was done" }
                    th scope="col" { "How it was verified" }
                }
            }
            tbody { @for fault in result.faults.iter().take(ROWS_MAX) { (fault_row(fault)) } }
        }
    };
    html! {
        h2 #faults { "Faults" }
        @if result.faults.is_empty() { p { "The plan holds no fault." } } @else { (scroll("Faults", &table)) }
        @if result.faults.len() > ROWS_MAX {
            p.small.muted { "The first " (ROWS_MAX) " of " (result.faults.len()) " faults; result.json has all." }
        }
        @if !result.harness_errors.is_empty() {
            h3 { "Failures of the harness" }
            ul { @for error in result.harness_errors.iter().take(ITEMS_MAX) { li { (text(error, SENTENCE_MAX)) } } }
            @if result.harness_errors.len() > ITEMS_MAX {
                p.small.muted { "The first " (ITEMS_MAX) " of " (result.harness_errors.len()) "." }
            }
        }
    }
}

fn fault_row(fault: &FaultRecord) -> Markup {
    html! {
        tr {
            td.n { (fault.id) } td { strong { (text(&fault.kind, 60)) } } td { (text(&fault.target, 60)) }
            td { (text(&fault.victims.join(", "), CELL_MAX)) }
            td.nowrap {
                @match (fault.start_ns, fault.end_ns) {
                    (None, _) => { "never" }
                    (Some(start), None) => { (moment(start)) " – the end" }
                    (Some(start), Some(end)) => { (moment(start)) " –" br; (moment(end)) }
                }
            }
            td.long { (text(&fault.detail, SENTENCE_MAX)) }
            td.long {
                @if let Some(why) = &fault.skipped {
                    span.tag { "did not happen" } " " (text(why, SENTENCE_MAX))
                } @else if fault.verified.is_empty() {
                    "not verified"
                } @else {
                    (text(&fault.verified, SENTENCE_MAX))
                }
                @if let Some(failure) = &fault.failure {
                    div { span.tag.invalid { "failed" } " " (text(failure, SENTENCE_MAX)) }
                }
            }
        }
    }
}

fn files(result: &RunResult) -> Markup {
    html! {
        h2 #files { "Files" }
        @if result.files.is_empty() { p { "There are no files beside this report." } }
        ul.columns.plain { @for (name, path) in result.files.iter().take(ROWS_MAX) { li { (link(name, path)) } } }
        @if result.files.len() > ROWS_MAX {
            p.small.muted { "The first " (ROWS_MAX) " of " (result.files.len()) " files; result.json has all." }
        }
    }
}

fn plan(result: &RunResult) -> Markup {
    // A JSON value always has a text; the fallback is the same without line breaks.
    let pretty = serde_json::to_string_pretty(&result.plan).unwrap_or_else(|_| result.plan.to_string());
    html! {
        h2 #plan { "Plan and versions" }
        dl.facts.card {
            dt { "schism" } dd { (text(&result.schism_version, 60)) }
            dt { "Target" } dd { (text(&result.target, CELL_MAX)) }
            dt { "Workload" } dd { (text(&result.workload, CELL_MAX)) }
            dt { "Seed" } dd { (result.seed) }
            @for (node, version) in result.versions.iter().take(ITEMS_MAX) {
                dt { (text(node, 60)) } dd { (text(version, CELL_MAX)) }
            }
            dt { "Phases" }
            dd {
                @for (position, (phase, ns)) in result.phases.iter().take(ITEMS_MAX).enumerate() {
                    @if position > 0 { ", " } (text(phase, 60)) " from " (moment(*ns))
                }
            }
            dt { "schism used" }
            dd {
                (format!("{:.1} s of CPU time, at most {} MiB of memory", result.resources.cpu_s,
                    count(result.resources.peak_memory_bytes >> 20)))
            }
            dt { "Exit code" } dd { (result.exit_code) }
        }
        details { summary { "The whole plan" } pre tabindex="0" { code { (text(&pretty, PLAN_MAX)) } } }
    }
}

fn definitions() -> Markup {
    html! {
        footer #definitions {
            h3 { "Definitions" }
            ol {
                @for definition in first::DEFINITIONS { li { (definition) } }
                li {
                    "Outcomes: ok certainly happened; fail certainly did not; info may have happened, then or later."
                }
                li {
                    "Verdicts: valid means that nothing looked for was found in this run, invalid that evidence refutes "
                    "the guarantee, unknown that it could not be decided. Invalid beats unknown beats valid."
                }
                li { "Times are seconds since the run started." }
            }
        }
    }
}
