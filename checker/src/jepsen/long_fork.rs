//! long-fork: reads of the same keys agree on one order of the writes.
//!
//! Source: `jepsen.tests.long-fork/checker` (0.3.11). Each key is written once, by a transaction of its own; reads are of
//! whole groups of keys. Under snapshot isolation what two reads of a group hold is ordered: one holds all that the
//! other does. `r1: x 1, y nil` and `r2: x nil, y 1` are a *long fork*, which parallel snapshot isolation allows.
//!
//! Unknown, as in Jepsen, where the history is not such a one: a key is written twice, a read is of more or fewer keys
//! than a group, two reads hold two values of a key. (A write that failed is none; Jepsen counts it.) Jepsen compares
//! every read with every other. Reads that are ordered are a chain by how much they hold, so it is enough here to
//! compare neighbours: one fork is found for each link that is broken, not every pair of reads.
//!
//! Transactions that both read and write count only by what they write.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{JepsenOptions, JepsenResult, event_of, the};
use crate::{
    Check, Details, Validity,
    history::{History, Op, Outcome, Value},
    say::{self, Findings},
};

/// The reads that disagree.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LongForkResult {
    /// Ok reads.
    pub reads_count: u64,
    /// Reads before anything was written of their keys.
    pub early_read_count: u64,
    /// Reads after all of their keys were written.
    pub late_read_count: u64,
    /// The number of keys in a group; `None` without any read.
    pub group_size: Option<u64>,
    /// Pairs of reads that disagree.
    pub forks: Vec<(ForkRead, ForkRead)>,
}

/// A read of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ForkRead {
    /// Index of its completion.
    pub index: u64,
    /// Who read; `None` where the history names no processes.
    pub process: Option<u32>,
    /// When it ended.
    pub time_ns: u64,
    /// Micro-operations.
    pub value: Json,
}

pub(super) fn complaint(_f: &str, value: &Value, _is_ok: bool) -> Option<&'static str> {
    mops(&value.to_json()).is_none().then_some("the value must be a list of [:r key value] and [:w key value]")
}

/// A micro-operation.
struct Mop {
    writes: bool,
    key: String,
    value: Option<String>,
}

fn mops(value: &Json) -> Option<Vec<Mop>> {
    let mop = |mop: &Json| {
        let [f, key, rest @ ..] = mop.as_array()?.as_slice() else { return None };
        let value = match rest {
            [] | [Json::Null] => None,
            [value] => Some(value.to_string()),
            _ => return None,
        };
        let writes = match f.as_str()?.trim_start_matches(':') {
            "r" => false,
            "w" => true,
            _ => return None,
        };
        let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        Some(Mop { writes, key, value })
    };
    value.as_array()?.iter().map(mop).collect()
}

/// A read's values, in the order of its group's keys.
struct Read<'h> {
    op: Op<'h>,
    values: Vec<Option<String>>,
}

impl Read<'_> {
    fn held(&self) -> usize {
        self.values.iter().flatten().count()
    }

    /// It holds nothing that the other does not hold.
    fn is_within(&self, other: &Self) -> bool {
        self.values.iter().zip(&other.values).all(|(mine, theirs)| mine.is_none() || theirs.is_some())
    }
}

/// Looks for forks in every group.
pub(super) fn check(history: &History, options: &JepsenOptions) -> Check {
    let mut result = LongForkResult::default();
    let mut findings = Findings::default();
    let mut groups: BTreeMap<Vec<String>, Vec<Read<'_>>> = BTreeMap::new();
    let mut written: FxHashMap<String, u64> = FxHashMap::default();
    let mut illegal: Option<String> = None;
    // Elle-cli's default is 0, a group of which nothing could be said.
    let mut size = options.group_size.filter(|size| *size > 0);
    for op in history.ops().filter(|op| op.outcome != Outcome::Fail) {
        let Some(mops) = mops(&op.value.to_json()) else { continue };
        for write in mops.iter().filter(|mop| mop.writes) {
            if let Some(before) = written.insert(write.key.clone(), op.invoke_index) {
                let (key, again) = (&write.key, op.invoke_index);
                illegal.get_or_insert_with(|| format!("key {key} is written twice, at events {before} and {again}"));
            }
        }
        if op.outcome != Outcome::Ok || mops.iter().any(|mop| mop.writes) {
            continue;
        }
        result.reads_count += 1;
        let values: BTreeMap<String, Option<String>> = mops.into_iter().map(|mop| (mop.key, mop.value)).collect();
        result.early_read_count += u64::from(values.values().all(Option::is_none));
        result.late_read_count += u64::from(values.values().all(Option::is_some));
        let expected = *size.get_or_insert(values.len());
        if values.len() != expected {
            let (read, keys) = (the(history, &op), say::count(values.len() as u64, "key"));
            illegal.get_or_insert_with(|| format!("{read} is of {keys}, but a group has {expected} (--group-size)"));
        }
        let (keys, values): (Vec<String>, Vec<Option<String>>) = values.into_iter().unzip();
        groups.entry(keys).or_default().push(Read { op, values });
    }
    result.group_size = size.map(|size| size as u64);
    let mut disagreement: Option<String> = None;
    for (keys, mut reads) in groups {
        let mut known: Vec<Option<(String, usize)>> = vec![None; keys.len()];
        for (at, read) in reads.iter().enumerate() {
            for (key, (value, known)) in read.values.iter().zip(&mut known).enumerate() {
                let Some(value) = value else { continue };
                let (before, first) = known.get_or_insert_with(|| (value.clone(), at));
                if before != value {
                    let (first, this) = (the(history, &reads[*first].op), the(history, &read.op));
                    let key = &keys[key];
                    disagreement.get_or_insert_with(|| {
                        format!("key {key} is {before} for {first} and {value} for {this}: it was written twice")
                    });
                }
            }
        }
        reads.sort_by_key(|read| (read.held(), read.op.complete_index));
        for pair in reads.windows(2) {
            let [less, more] = pair else { continue };
            if less.is_within(more) {
                continue;
            }
            let indexes = vec![event_of(&less.op), event_of(&more.op)];
            findings.push("long-fork", indexes, || sentence(history, &keys, less, more));
            result.forks.push((fork_read(history, less), fork_read(history, more)));
        }
    }
    let reads = say::count(result.reads_count, "read");
    let forks = say::count(result.forks.len() as u64, "fork");
    // A fork proves nothing where keys are written more than once, or where the groups are not what they should be.
    let (valid, reason) = match illegal {
        Some(why) => (Validity::Unknown, Some(why)),
        None if !result.forks.is_empty() => (Validity::Invalid, None),
        None => disagreement.map_or((Validity::Valid, None), |why| (Validity::Unknown, Some(why))),
    };
    let summary = match &reason {
        Some(reason) => format!("Undecided: {reason}."),
        None if valid == Validity::Invalid => format!("{forks} in {reads}."),
        None => format!("{reads}, which agree on an order of the writes."),
    };
    let findings = if valid == Validity::Unknown { Findings::default() } else { findings };
    findings.into_check("long-fork", valid, reason, summary, Details::Jepsen(JepsenResult::LongFork(result)))
}

fn fork_read(history: &History, read: &Read<'_>) -> ForkRead {
    ForkRead {
        index: event_of(&read.op),
        process: history.names_processes().then_some(read.op.process),
        time_ns: read.op.complete_ns.unwrap_or(read.op.invoke_ns),
        value: read.op.value.to_json(),
    }
}

fn sentence(history: &History, keys: &[String], less: &Read<'_>, more: &Read<'_>) -> String {
    let only = |one: &Read<'_>, other: &Read<'_>| {
        let values = one.values.iter().zip(&other.values);
        let keys = keys.iter().zip(values).filter(|(_, (mine, theirs))| mine.is_some() && theirs.is_none());
        say::list(&keys.map(|(key, _)| key.as_str()).collect::<Vec<_>>())
    };
    format!(
        "{} holds key {} and lacks {}; {} holds {} and lacks {}: no order of the writes is both.",
        say::capital(&the(history, &less.op)),
        only(less, more),
        only(more, less),
        the(history, &more.op),
        only(more, less),
        only(less, more)
    )
}
