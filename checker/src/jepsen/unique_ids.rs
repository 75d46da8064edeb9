//! unique-ids: nobody is given an identifier that another was given.
//!
//! Source: `jepsen.checker/unique-ids` (0.3.11): the values of ok `generate` operations are all different. Not decided:
//! their order. An ok without a value is unknown here; Jepsen takes nil for an identifier.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{JepsenResult, event_of, json, oks, the};
use crate::{
    Check, Details, Validity,
    history::History,
    say::{self, Findings},
};

/// Identifiers given out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UniqueIdsResult {
    /// How often one was asked for.
    pub attempted_count: u64,
    /// How often one was given.
    pub acknowledged_count: u64,
    /// How many were given more than once.
    pub duplicated_count: u64,
    /// Those given the most often, at most 48: pairs of identifier and how often.
    pub duplicated: Vec<(serde_json::Value, u64)>,
    /// The lowest and the highest; `None` without any, or where some are no integers.
    pub range: Option<(i64, i64)>,
    /// Oks without an identifier.
    pub unanswered: u64,
}

/// As many as Jepsen lists.
const DUPLICATED_MAX: usize = 48;

/// Compares all identifiers.
pub(super) fn check(history: &History) -> Check {
    let mut result = UniqueIdsResult { attempted_count: history.len() as u64, ..UniqueIdsResult::default() };
    let mut findings = Findings::default();
    let mut given: FxHashMap<i64, (usize, u64)> = FxHashMap::default();
    let mut are_ints = true;
    for op in oks(history, "generate") {
        let Some(id) = op.value.as_int() else {
            result.unanswered += 1;
            continue;
        };
        result.acknowledged_count += 1;
        are_ints &= !history.is_symbol(id);
        result.range = Some(result.range.map_or((id, id), |(low, high)| (low.min(id), high.max(id))));
        let (first, times) = given.entry(id).or_insert((op.id, 0));
        *times += 1;
        if *times == 1 {
            continue;
        }
        let first = history.op(*first);
        findings.push("duplicate-id", first.iter().chain([&op]).map(event_of).collect(), || {
            let first = first.map_or_else(String::new, |first| the(history, &first));
            format!("{} was given {}, as was {first}.", say::capital(&the(history, &op)), history.spell(id))
        });
    }
    result.range = result.range.filter(|_| are_ints);
    let mut duplicated: Vec<(i64, u64)> =
        given.into_iter().filter(|(_, (_, times))| *times > 1).map(|(id, (_, times))| (id, times)).collect();
    duplicated.sort_unstable_by_key(|(id, times)| (std::cmp::Reverse(*times), *id));
    result.duplicated_count = duplicated.len() as u64;
    result.duplicated =
        duplicated.into_iter().take(DUPLICATED_MAX).map(|(id, times)| (json(history, id), times)).collect();
    let ids = say::count(result.acknowledged_count, "identifier");
    let reason = (result.unanswered > 0)
        .then(|| format!("{} without an identifier", say::count(result.unanswered, "ok completion")));
    let (valid, summary) = if result.duplicated_count > 0 {
        (Validity::Invalid, format!("{ids}; given more than once: {}.", result.duplicated_count))
    } else if let Some(reason) = &reason {
        (Validity::Unknown, format!("Undecided: {reason}; {ids}, each given once."))
    } else {
        (Validity::Valid, format!("{ids}, each given once."))
    };
    findings.into_check("unique-ids", valid, reason, summary, Details::Jepsen(JepsenResult::UniqueIds(result)))
}
