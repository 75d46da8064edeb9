//! set: what the final read holds of what was added.
//!
//! Source: `jepsen.checker/set` (0.3.11). The last read that ended ok is the final one.
//!
//! - `lost`: acknowledged, and not in the final read;
//! - `unexpected`: in the final read, and never tried (a failed add was tried, as in Jepsen).
//!
//! Unknown without an ok read. Jepsen takes for granted that every add ended before the final read began. Where one was
//! acknowledged later, its absence says nothing: that is unknown here, and lost for Jepsen. Not decided: what reads
//! before the last one hold (`set-full` does), elements that are there twice.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use super::{JepsenResult, event_of, jsons, oks, some_of, the};
use crate::{
    Check, Details, Validity,
    history::{F, History, Op, Outcome, Value},
    say::{self, Findings},
};

/// The elements by what became of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetResult {
    /// Elements that were tried.
    pub attempt_count: u64,
    /// Those whose add ended ok.
    pub acknowledged_count: u64,
    /// Those that were tried and read.
    pub ok_count: u64,
    /// Those acknowledged and not read.
    pub lost_count: u64,
    /// Those read that nobody was told are there.
    pub recovered_count: u64,
    /// Those read that nobody tried.
    pub unexpected_count: u64,
    /// Those acknowledged too late for the final read to say anything.
    pub undecided_count: u64,
    /// The lost, in order.
    pub lost: Vec<serde_json::Value>,
    /// The recovered, in order.
    pub recovered: Vec<serde_json::Value>,
    /// The unexpected, in order.
    pub unexpected: Vec<serde_json::Value>,
}

/// Compares what was added with the final read.
pub(super) fn check(history: &History) -> Check {
    let mut result = SetResult::default();
    let mut findings = Findings::default();
    // Each element's first acknowledgement, if it has one.
    let mut added: FxHashMap<i64, Option<Op<'_>>> = FxHashMap::default();
    for op in history.ops().filter(|op| *op.f == F::Add) {
        let Some(element) = op.value.as_int() else { continue };
        let known = added.entry(element).or_default();
        let is_first = known.is_none_or(|known| op.complete_index < known.complete_index);
        if op.outcome == Outcome::Ok && is_first {
            *known = Some(op);
        }
    }
    result.attempt_count = added.len() as u64;
    result.acknowledged_count = added.values().flatten().count() as u64;
    let last = oks(history, F::Read.name()).pop();
    let Some((read, elements)) =
        last.filter(|read| *read.value != Value::Nil).and_then(|read| Some((read, read.value.as_ints()?)))
    else {
        let reason = "the set was never read".to_owned();
        let summary = format!("Undecided: {reason}.");
        let details = Details::Jepsen(JepsenResult::Set(result));
        return findings.into_check("set", Validity::Unknown, Some(reason), summary, details);
    };
    let seen: FxHashSet<i64> = elements.iter().copied().collect();
    let (mut lost, mut recovered, mut unexpected) = (Vec::new(), Vec::new(), Vec::new());
    for (element, ok) in &added {
        match (ok, seen.contains(element)) {
            (Some(ok), false) if ok.complete_index < Some(read.invoke_index) => lost.push((*element, *ok)),
            (Some(_), false) => result.undecided_count += 1,
            (None, true) => recovered.push(*element),
            _ => {}
        }
    }
    unexpected.extend(seen.iter().copied().filter(|element| !added.contains_key(element)));
    lost.sort_unstable_by_key(|(_, op)| op.complete_index);
    for (element, op) in &lost {
        findings.push("lost", vec![event_of(op), event_of(&read)], || {
            format!(
                "{} of {} was acknowledged, and {} lacks it.",
                say::capital(&the(history, op)),
                history.spell(*element),
                the(history, &read)
            )
        });
    }
    let mut lost: Vec<i64> = lost.into_iter().map(|(element, _)| element).collect();
    for elements in [&mut lost, &mut recovered, &mut unexpected] {
        elements.sort_unstable();
    }
    if !unexpected.is_empty() {
        findings.push("unexpected", vec![event_of(&read)], || {
            let elements = some_of(history, &unexpected);
            format!("{} holds what nobody added: {elements}.", say::capital(&the(history, &read)))
        });
    }
    result.ok_count = (seen.len() - unexpected.len()) as u64;
    (result.lost_count, result.lost) = (lost.len() as u64, jsons(history, &lost));
    (result.recovered_count, result.recovered) = (recovered.len() as u64, jsons(history, &recovered));
    (result.unexpected_count, result.unexpected) = (unexpected.len() as u64, jsons(history, &unexpected));
    let reason = (result.undecided_count > 0).then(|| {
        format!(
            "{} ended after the last read had begun, and that read says nothing of them",
            say::count(result.undecided_count, "acknowledged add")
        )
    });
    let (valid, summary) = if result.lost_count + result.unexpected_count > 0 {
        let summary = format!(
            "{} of {} lost, {} unexpected.",
            result.lost_count,
            say::count(result.acknowledged_count, "acknowledged element"),
            result.unexpected_count
        );
        (Validity::Invalid, summary)
    } else if let Some(reason) = &reason {
        (Validity::Unknown, format!("Undecided: {reason}."))
    } else {
        let elements = say::count(result.acknowledged_count, "acknowledged element");
        (Validity::Valid, format!("The final read holds every one of {elements}, and nothing else than was tried."))
    };
    findings.into_check("set", valid, reason, summary, Details::Jepsen(JepsenResult::Set(result)))
}
