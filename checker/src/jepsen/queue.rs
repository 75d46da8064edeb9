//! queue: every dequeue must come from somewhere.
//!
//! Source: `jepsen.checker/queue` (0.3.11) with Knossos' unordered queue: by the order of events, every enqueue that did
//! not fail is there from its invocation on, and every ok dequeue takes away one that is there. Each subhistory of every
//! queue obeys this, so that what breaks it is no queue; order and losses are not looked at (`total-queue` looks for
//! losses).
//!
//! Jepsen's says that it leaves out failed enqueues, and does not. It does not look at `drain`, which is as many dequeues
//! here; and a dequeue that answers nil has found the queue empty here, and was given a nil there.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{JepsenResult, event_of, json, steps, the};
use crate::{
    Check, Details, Validity,
    history::{History, Op, Outcome},
    say::{self, Findings},
};

/// What came out, and what is left.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QueueResult {
    /// Elements dequeued.
    pub dequeue_count: u64,
    /// Those that were not there.
    pub error_count: u64,
    /// What is left at the end: pairs of element and how often.
    pub final_queue: Vec<(serde_json::Value, u64)>,
}

/// The elements that an ok operation took out.
pub(super) fn taken(op: &Op<'_>) -> Vec<i64> {
    if op.outcome != Outcome::Ok {
        return Vec::new();
    }
    match op.f.name() {
        "dequeue" => op.value.as_int().into_iter().collect(),
        "drain" => op.value.as_ints().unwrap_or_default().into_owned(),
        _ => Vec::new(),
    }
}

/// Checks every dequeue.
pub(super) fn check(history: &History) -> Check {
    let mut result = QueueResult::default();
    let mut findings = Findings::default();
    let mut queue: FxHashMap<i64, u64> = FxHashMap::default();
    for step in steps(history) {
        let Some(op) = history.op(step.id) else { continue };
        if !step.ends {
            if let ("enqueue", Some(element)) = (op.f.name(), op.value.as_int())
                && op.outcome != Outcome::Fail
            {
                *queue.entry(element).or_default() += 1;
            }
            continue;
        }
        for element in taken(&op) {
            result.dequeue_count += 1;
            match queue.get_mut(&element) {
                Some(times @ 1..) => *times -= 1,
                before => {
                    result.error_count += 1;
                    let why =
                        if before.is_none() { "nobody had enqueued it" } else { "it had been taken as often as put" };
                    findings.push("dequeued-from-nowhere", vec![event_of(&op)], || {
                        format!("{} answered {}, but {why}.", say::capital(&the(history, &op)), history.spell(element))
                    });
                }
            }
        }
    }
    let mut left: Vec<(i64, u64)> = queue.into_iter().filter(|(_, times)| *times > 0).collect();
    left.sort_unstable();
    result.final_queue = left.into_iter().map(|(element, times)| (json(history, element), times)).collect();
    let dequeues = say::count(result.dequeue_count, "dequeued element");
    let (valid, summary) = if result.error_count > 0 {
        (Validity::Invalid, format!("{} of {dequeues} came from nowhere.", result.error_count))
    } else {
        (Validity::Valid, format!("{dequeues}, each enqueued before."))
    };
    findings.into_check("queue", valid, None, summary, Details::Jepsen(JepsenResult::Queue(result)))
}
