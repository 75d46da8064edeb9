//! comments: who sees a write also sees every write that had been acknowledged before it began.
//!
//! Source: `jepsen.cockroach.comments/checker`, as elle-cli 0.1.10 has it: blind writes of unique values, and reads of
//! all of them. `write 1 ok, then write 2 begins; a read holds 2 and lacks 1` breaks strict serializability. (The order
//! of events counts, whatever the process: it is real time.)
//!
//! Of a value that is written twice, Jepsen takes the last write to have begun, even where the read had ended before;
//! here it is the first, for only that proves anything. Not decided: reads that lack everything, values that nobody
//! wrote, the order of reads among each other.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use super::{JepsenResult, event_of, jsons, oks, some_of, the};
use crate::{
    Check, Details, Validity,
    history::{F, History, Outcome},
    say::{self, Findings},
};

/// The reads that lack what they must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommentsResult {
    /// Ok reads.
    pub read_count: u64,
    /// How many there are in all.
    pub error_count: u64,
    /// The first thousand of them, by completion.
    pub errors: Vec<CommentsError>,
}

/// A read that lacks what it must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommentsError {
    /// Index of its completion.
    pub index: u64,
    /// Who read; `None` where the history names no processes.
    pub process: Option<u32>,
    /// When it ended.
    pub time_ns: u64,
    /// What it lacks, in the order of acknowledgement.
    pub missing: Vec<serde_json::Value>,
    /// How much it must hold, going by what it does hold.
    pub expected_count: u64,
}

/// Errors whose missing values are listed: each costs all writes.
const ERRORS_MAX: usize = 1000;

/// A value's write: of several the first to begin, and the first acknowledgement.
struct Written {
    began: u64,
    failed: bool,
    ok: Option<u64>,
}

/// Checks every read.
pub(super) fn check(history: &History) -> Check {
    let mut result = CommentsResult::default();
    let mut findings = Findings::default();
    let mut writes: FxHashMap<i64, Written> = FxHashMap::default();
    for op in history.ops().filter(|op| *op.f == F::Write) {
        let Some(value) = op.value.as_int() else { continue };
        let failed = op.outcome == Outcome::Fail;
        let of = writes.entry(value).or_insert(Written { began: op.invoke_index, failed, ok: None });
        // A write that failed is not the one that is seen, if there is another.
        if of.failed && !failed {
            (of.began, of.failed) = (op.invoke_index, false);
        }
        if op.outcome == Outcome::Ok {
            let ok = event_of(&op);
            of.ok = Some(of.ok.map_or(ok, |known| known.min(ok)));
        }
    }
    let mut by_ok: Vec<(u64, i64)> = writes.iter().filter_map(|(value, of)| Some((of.ok?, *value))).collect();
    by_ok.sort_unstable();
    for read in oks(history, F::Read.name()) {
        result.read_count += 1;
        let seen: FxHashSet<i64> = read.value.as_ints().unwrap_or_default().iter().copied().collect();
        // What had been acknowledged before the latest of the writes that it sees began, must be there.
        let latest = seen.iter().filter_map(|value| Some((writes.get(value)?.began, *value))).max();
        let Some((began, latest)) = latest else { continue };
        let expected = &by_ok[..by_ok.partition_point(|(ok, _)| *ok < began)];
        let is_expected = |value: &&i64| writes.get(value).and_then(|of| of.ok).is_some_and(|ok| ok < began);
        if seen.iter().filter(is_expected).count() == expected.len() {
            continue;
        }
        result.error_count += 1;
        if result.errors.len() >= ERRORS_MAX {
            findings.count_only(1);
            continue;
        }
        let missing: Vec<i64> =
            expected.iter().map(|(_, value)| *value).filter(|value| !seen.contains(value)).collect();
        findings.push("missing-write", vec![event_of(&read)], || {
            format!(
                "{} holds {} and lacks {}, acknowledged before the write of {} began.",
                say::capital(&the(history, &read)),
                history.spell(latest),
                some_of(history, &missing),
                history.spell(latest)
            )
        });
        result.errors.push(CommentsError {
            index: event_of(&read),
            process: history.names_processes().then_some(read.process),
            time_ns: read.complete_ns.unwrap_or(read.invoke_ns),
            missing: jsons(history, &missing),
            expected_count: expected.len() as u64,
        });
    }
    let (valid, summary) = if result.error_count > 0 {
        let (wrong, all) = (say::count(result.error_count, "read"), result.read_count);
        let why = "a write without one that had been acknowledged before it began";
        (Validity::Invalid, format!("{wrong} of {all} in all: {why}."))
    } else {
        let reads = say::count(result.read_count, "read");
        (Validity::Valid, format!("{reads}; none holds a write and lacks an earlier one."))
    };
    findings.into_check("comments", valid, None, summary, Details::Jepsen(JepsenResult::Comments(result)))
}
