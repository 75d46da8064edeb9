//! counter: what a read answers lies between what had certainly been added when it began and what may have been added
//! when it ended.
//!
//! Source: `jepsen.checker/counter` (0.3.11). For a read from its invocation to its completion, with adds that did not
//! fail:
//!
//! - at least: increments acknowledged before it began, and decrements that were tried before it ended;
//! - at most: increments tried before it ended, and decrements acknowledged before it began.
//!
//! Jepsen's stops at a decrement; the bounds above are the same where there is none. Not decided: whether the reads
//! agree with one another, for which there is a model that asks for a linearization. `reads [3] then [1]` may well be
//! within the bounds of both.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{JepsenResult, clamped, event_of, steps, the};
use crate::{
    Check, Details, Validity,
    history::{F, History, Outcome, Value},
    say::{self, Findings},
};

/// Reads with their bounds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CounterResult {
    /// Lower bound, value and upper bound of each read, by completion. A bound past 64 bits is the last within.
    pub reads: Vec<[i64; 3]>,
    /// Those that are out of bounds.
    pub errors: Vec<[i64; 3]>,
    /// Reads that ended ok without a value.
    pub unanswered: u64,
}

pub(super) fn complaint(f: &str, value: &Value, is_ok: bool) -> Option<&'static str> {
    let fits = value.as_int().is_some() || (f == "read" && !is_ok);
    (!fits).then_some("the value must be a whole number of at most 64 bits")
}

/// What was added by then: increments and decrements (as negative sums), tried and acknowledged.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    ups_tried: i128,
    ups_done: i128,
    downs_tried: i128,
    downs_done: i128,
}

/// Checks every read against its bounds.
pub(super) fn check(history: &History) -> Check {
    let mut result = CounterResult::default();
    let mut findings = Findings::default();
    let mut sums = Sums::default();
    let mut open: FxHashMap<usize, Sums> = FxHashMap::default();
    for step in steps(history) {
        let Some(op) = history.op(step.id) else { continue };
        match (op.f, step.ends) {
            (F::Add, _) => {
                let amount = i128::from(op.value.as_int().unwrap_or(0));
                let (tried, done) = if amount < 0 {
                    (&mut sums.downs_tried, &mut sums.downs_done)
                } else {
                    (&mut sums.ups_tried, &mut sums.ups_done)
                };
                if !step.ends && op.outcome != Outcome::Fail {
                    *tried += amount;
                } else if step.ends && op.outcome == Outcome::Ok {
                    *done += amount;
                }
            }
            (F::Read, false) if op.outcome == Outcome::Ok => {
                open.insert(op.id, sums);
            }
            (F::Read, true) => {
                let Some(then) = open.remove(&op.id) else { continue };
                let Some(value) = op.value.as_int() else {
                    result.unanswered += 1;
                    continue;
                };
                let (lower, upper) = (then.ups_done + sums.downs_tried, sums.ups_tried + then.downs_done);
                let read = [clamped(lower), value, clamped(upper)];
                result.reads.push(read);
                if !(lower..=upper).contains(&i128::from(value)) {
                    result.errors.push(read);
                    findings.push("counter-out-of-bounds", vec![op.invoke_index, event_of(&op)], || {
                        format!(
                            "{} is {value}, but what had been added was from {lower} to {upper}.",
                            say::capital(&the(history, &op))
                        )
                    });
                }
            }
            _ => {}
        }
    }
    let reads = say::count(result.reads.len() as u64, "read");
    let reason =
        (result.unanswered > 0).then(|| format!("{} ended ok without a value", say::count(result.unanswered, "read")));
    let (valid, summary) = if !result.errors.is_empty() {
        (Validity::Invalid, format!("{} of {reads} out of bounds.", result.errors.len()))
    } else if let Some(reason) = &reason {
        (Validity::Unknown, format!("Undecided: {reason}; {reads} within bounds."))
    } else {
        (Validity::Valid, format!("{reads}, all within bounds."))
    };
    findings.into_check("counter", valid, reason, summary, Details::Jepsen(JepsenResult::Counter(result)))
}
