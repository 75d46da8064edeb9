//! total-queue: what goes in must come out.
//!
//! Source: `jepsen.checker/total-queue` (0.3.11), by multisets of elements; a `drain` is as many dequeues. It only holds
//! of a history that empties the queue in the end.
//!
//! - `lost`: acknowledged enqueues less ok dequeues;
//! - `unexpected`: dequeued, and never tried (a failed enqueue was tried, as in Jepsen);
//! - `duplicated`: dequeued more often than tried. No verdict depends on it;
//! - `recovered`: dequeued, and tried more often than acknowledged.
//!
//! Invalid with lost or unexpected elements. An indeterminate dequeue excuses no loss: that an element must come out is
//! the rule. An indeterminate drain, for which Jepsen gives up (or which it passes over, if it never ended), makes losses
//! unknown. Not decided: order. A dequeue that answers nil has found the queue empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{JepsenResult, event_of, json, queue::taken, the};
use crate::{
    Check, Details, Validity,
    history::{History, Op, Outcome},
    say::{self, Findings},
};

/// Elements with how often.
type Elements = Vec<(serde_json::Value, u64)>;

/// The elements by what became of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TotalQueueResult {
    /// Enqueues that were tried.
    pub attempt_count: u64,
    /// Those that ended ok.
    pub acknowledged_count: u64,
    /// Dequeued elements that were tried.
    pub ok_count: u64,
    /// How many were never tried.
    pub unexpected_count: u64,
    /// How many came out more often than they were put in.
    pub duplicated_count: u64,
    /// How many were acknowledged and never came out.
    pub lost_count: u64,
    /// How many came out that nobody was told are in.
    pub recovered_count: u64,
    /// Drains of which nobody knows what they took.
    pub indeterminate_drains: u64,
    /// Pairs of element and how often.
    pub lost: Elements,
    /// Pairs of element and how often.
    pub unexpected: Elements,
    /// Pairs of element and how often.
    pub duplicated: Elements,
    /// Pairs of element and how often.
    pub recovered: Elements,
}

/// An element's operations.
#[derive(Default)]
struct Of<'h> {
    tried: u64,
    enqueued: u64,
    dequeued: u64,
    last_enqueue: Option<Op<'h>>,
    first_dequeue: Option<Op<'h>>,
}

/// Compares what went in with what came out.
pub(super) fn check(history: &History) -> Check {
    let mut result = TotalQueueResult::default();
    let mut findings = Findings::default();
    let mut elements: BTreeMap<i64, Of<'_>> = BTreeMap::new();
    for op in history.ops() {
        if let ("enqueue", Some(element)) = (op.f.name(), op.value.as_int()) {
            let of = elements.entry(element).or_default();
            of.tried += 1;
            if op.outcome == Outcome::Ok {
                of.enqueued += 1;
                of.last_enqueue = Some(op);
            }
        }
        result.indeterminate_drains += u64::from(op.f.name() == "drain" && op.outcome == Outcome::Info);
        for element in taken(&op) {
            let of = elements.entry(element).or_default();
            of.dequeued += 1;
            of.first_dequeue.get_or_insert(op);
        }
    }
    for (element, of) in &elements {
        let ok = of.dequeued.min(of.tried);
        result.attempt_count += of.tried;
        result.acknowledged_count += of.enqueued;
        result.ok_count += ok;
        let add = |count: &mut u64, list: &mut Elements, number: u64| {
            if number > 0 {
                *count += number;
                list.push((json(history, *element), number));
            }
        };
        let over = of.dequeued.saturating_sub(of.tried);
        let (unexpected, duplicated) = if of.tried == 0 { (over, 0) } else { (0, over) };
        let lost = of.enqueued.saturating_sub(of.dequeued);
        add(&mut result.lost_count, &mut result.lost, lost);
        add(&mut result.unexpected_count, &mut result.unexpected, unexpected);
        add(&mut result.duplicated_count, &mut result.duplicated, duplicated);
        add(&mut result.recovered_count, &mut result.recovered, ok.saturating_sub(of.enqueued));
        if let (true, Some(op)) = (unexpected > 0, of.first_dequeue) {
            findings.push("unexpected", vec![event_of(&op)], || {
                let element = history.spell(*element);
                format!("{} answered {element}, which nobody enqueued.", say::capital(&the(history, &op)))
            });
        }
        if let (true, Some(op)) = (lost > 0 && result.indeterminate_drains == 0, of.last_enqueue) {
            findings.push("lost", vec![event_of(&op)], || {
                format!(
                    "{} of {} was acknowledged, but of {} of it only {} came out.",
                    say::capital(&the(history, &op)),
                    history.spell(*element),
                    say::count(of.enqueued, "acknowledged enqueue"),
                    of.dequeued
                )
            });
        }
    }
    let is_open = result.lost_count > 0 && result.indeterminate_drains > 0;
    let reason = is_open.then(|| {
        format!(
            "{} did not come out, but nobody knows what {} took",
            say::count(result.lost_count, "acknowledged element"),
            say::count(result.indeterminate_drains, "indeterminate drain")
        )
    });
    let figures = format!(
        "{} acknowledged, {} came out; {} lost, {} unexpected, {} duplicated, {} recovered.",
        say::count(result.acknowledged_count, "enqueue"),
        result.ok_count,
        result.lost_count,
        result.unexpected_count,
        result.duplicated_count,
        result.recovered_count
    );
    let (valid, summary) = if result.unexpected_count > 0 || (result.lost_count > 0 && !is_open) {
        (Validity::Invalid, figures)
    } else if let Some(reason) = &reason {
        (Validity::Unknown, format!("Undecided: {reason}. {figures}"))
    } else {
        (Validity::Valid, figures)
    };
    findings.into_check("total-queue", valid, reason, summary, Details::Jepsen(JepsenResult::TotalQueue(result)))
}
