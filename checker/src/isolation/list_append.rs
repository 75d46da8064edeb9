//! list-append: what can be decided without a dependency graph.
//!
//! Transactions append unique elements to lists and read whole lists, so a read shows the order of the writes before it
//! (Kingsbury & Alvaro, "Elle: inferring isolation anomalies from experimental observations", 2020). Looked for:
//!
//! - `internal`: a transaction's read disagrees with its own earlier reads and appends.
//! - `G1a`: an ok transaction read an element of a failed one (Adya 1999).
//! - `incompatible-order`: two reads of a key of which neither is a prefix of the other.
//! - `duplicate-elements`: one read holds an element twice.
//! - `garbage-read`: an ok transaction read an element that nobody ever tried to append.
//! - `lost-append`: an acknowledged element that the last state lacks, by the same rule as for sets.
//! - `lost-update`: two ok transactions read the same version of a key first and then both append to it (Berenson et al.
//!   1995, P4).
//! - `write-skew`: two ok transactions on two keys, each of which read one without the other's append to it (Berenson et
//!   al. 1995, A5B). Whatever the order of versions: in a serial order, who lacks another's append comes before it; each
//!   would come before the other.
//!
//! An element of an indeterminate transaction may be there or not; what an indeterminate transaction read is not
//! looked at.
//!
//! Not checked: cycles of dependencies in general (G0, G1c, G-single, G2 over more than two transactions, and all with
//! session and real-time edges), intermediate reads (G1b), and write skew between transactions whose reads are more than
//! 32 appends old. A history without the anomalies above is not proven isolated, and the summary says so.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::{
    Check, Details, Validity, authority,
    history::{ClaimedRole, F, History, MopRef, Op, Outcome},
    say::{self, Findings},
};

/// The models that a run may ask for, and what refutes each.
///
/// After Adya, "Weak consistency: a generalized theory and optimistic implementations for distributed transactions"
/// (1999): PL-1 proscribes G0, PL-2 also G1, PL-2.99 also G2-item, PL-3 also G2; snapshot isolation proscribes G1 and
/// G-SI, of which a lost update is one case; and Elle's lattice, where `internal` refutes read-atomic and what implies it
/// (snapshot isolation and up, but not PL-2.99, which says nothing of a transaction's own writes), `incompatible-order`
/// implies a dirty read, and duplicates refute everything. Berenson et al., "A critique of ANSI SQL isolation levels"
/// (1995), 4.2: snapshot isolation allows write skew and forbids lost updates; the others here that forbid either forbid
/// both. What is lost or made up is a promise broken under any model.
const MODELS: &[(&str, &[&str])] = &[
    ("read-uncommitted", &["duplicate-elements", "garbage-read", "lost-append"]),
    ("read-committed", &["duplicate-elements", "garbage-read", "lost-append", "G1a", "incompatible-order"]),
    (
        "repeatable-read",
        &[
            "duplicate-elements",
            "garbage-read",
            "lost-append",
            "G1a",
            "incompatible-order",
            "lost-update",
            "write-skew",
        ],
    ),
    (
        "snapshot-isolation",
        &["duplicate-elements", "garbage-read", "lost-append", "G1a", "incompatible-order", "internal", "lost-update"],
    ),
    ("serializable", ANOMALIES),
    ("strict-serializable", ANOMALIES),
];

/// All that is looked for, most telling first.
const ANOMALIES: &[&str] = &[
    "lost-append",
    "duplicate-elements",
    "garbage-read",
    "incompatible-order",
    "G1a",
    "lost-update",
    "internal",
    "write-skew",
];

/// How many appends after a read are looked at for write skew.
const NEIGHBOURS: usize = 32;

/// Anomalies listed of each kind; the rest are only counted among the findings.
const LISTED_MAX: usize = 1000;

/// The models that [`check`] knows.
#[must_use]
pub fn known_models() -> &'static [&'static str] {
    const NAMES: [&str; MODELS.len()] = {
        let mut names = [""; MODELS.len()];
        let mut at = 0;
        while at < MODELS.len() {
            names[at] = MODELS[at].0;
            at += 1;
        }
        names
    };
    &NAMES
}

/// Anomalies found, and what was looked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ListAppendResult {
    /// Transactions by outcome: ok, fail, info.
    pub txns: [u64; 3],
    /// Elements appended by acknowledged transactions.
    pub appends_acknowledged: u64,
    /// The anomalies that were looked for. Others may be there: a history without these is not proven isolated.
    pub looked_for: Vec<String>,
    /// The models asked for.
    pub consistency_models: Vec<String>,
    /// Anomalies found, also those that the models asked for allow.
    pub anomalies: Vec<ListAppendAnomaly>,
    /// Anomaly kinds found that refute a model asked for.
    pub refuting: Vec<String>,
    /// Acknowledged elements that are gone, by acknowledgement time. Complete.
    pub lost_appends: Vec<LostAppend>,
}

/// One anomaly with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ListAppendAnomaly {
    /// `internal`, `G1a`, `incompatible-order`, `duplicate-elements`, `write-skew`, …
    pub kind: String,
    /// In words.
    pub sentence: String,
    /// Indexes of the completion events involved.
    pub event_indexes: Vec<u64>,
}

/// An acknowledged append that is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LostAppend {
    /// List.
    pub key: i64,
    /// Element.
    pub element: i64,
    /// Process of the appending transaction.
    pub process: u32,
    /// Node that acknowledged it.
    pub node: Option<String>,
    /// Acknowledgement time.
    pub ok_ns: u64,
    /// Index of the acknowledging event.
    pub ok_index: u64,
}

/// What is known of one element of one list.
#[derive(Debug, Clone, Copy)]
struct Appended {
    /// The operation that appended it. Of several (a malformed workload), one that did not fail.
    op: usize,
    failed: bool,
    /// The acknowledging event.
    ok: Option<u64>,
    /// Appended more than once: a malformed workload, whose lists may hold it more than once.
    repeated: bool,
}

/// A list as one micro-operation read it.
#[derive(Debug, Clone, Copy)]
struct ListRead<'h> {
    op: Op<'h>,
    list: &'h [i64],
}

/// The anomalies found.
#[derive(Default)]
struct Found {
    by_kind: BTreeMap<&'static str, (u64, Vec<ListAppendAnomaly>)>,
}

impl Found {
    fn add(&mut self, kind: &'static str, event_indexes: &[Option<u64>], sentence: impl FnOnce() -> String) {
        let (total, list) = self.by_kind.entry(kind).or_default();
        *total += 1;
        if list.len() < LISTED_MAX {
            let event_indexes = event_indexes.iter().flatten().copied().collect();
            list.push(ListAppendAnomaly { kind: kind.into(), sentence: sentence(), event_indexes });
        }
    }
}

/// `process 3's transaction on n1 at 1.234 s`.
fn the_txn(op: &Op<'_>) -> String {
    let at = say::seconds(op.complete_ns.unwrap_or(op.invoke_ns));
    format!("process {}'s transaction{} at {at}", op.process, say::on(op.node))
}

/// Checks a list-append workload.
#[must_use]
pub fn check(history: &History) -> Check {
    let mut result = ListAppendResult {
        looked_for: ANOMALIES.iter().map(|kind| (*kind).into()).collect(),
        consistency_models: history.header().consistency_models.clone(),
        ..ListAppendResult::default()
    };
    let mut found = Found::default();
    let mut appended: FxHashMap<(i64, i64), Appended> = FxHashMap::default();
    let mut reads: BTreeMap<i64, Vec<ListRead<'_>>> = BTreeMap::new();
    for op in history.ops().filter(|op| *op.f == F::Txn) {
        result.txns[op.outcome as usize] += 1;
        for mop in op.mops() {
            match mop {
                MopRef::Append { key, element } => {
                    let failed = op.outcome == Outcome::Fail;
                    let ok = op.complete_index.filter(|_| op.outcome == Outcome::Ok);
                    result.appends_acknowledged += u64::from(ok.is_some());
                    let new = Appended { op: op.id, failed, ok, repeated: false };
                    appended
                        .entry((key, element))
                        .and_modify(|before| {
                            if before.failed || (before.ok.is_none() && new.ok.is_some()) {
                                *before = new;
                            }
                            before.repeated = true;
                        })
                        .or_insert(new);
                }
                MopRef::Read { key, list } if op.outcome == Outcome::Ok => {
                    let list = list.unwrap_or_default();
                    reads.entry(key).or_default().push(ListRead { op, list });
                }
                _ => {}
            }
        }
    }

    internal(history, &mut found);
    let mut longest: FxHashMap<i64, &[i64]> = FxHashMap::default();
    for (key, reads) in &reads {
        if let Some(list) = contents(history, *key, reads, &appended, &mut found) {
            longest.insert(*key, list);
        }
    }
    lost_updates(history, &mut found);
    write_skews(history, &appended, &longest, &mut found);
    let undecided = lost_appends(history, &appended, &reads, &mut found, &mut result);
    verdict(result, found, reads.is_empty(), undecided)
}

/// `internal`: each transaction by itself.
fn internal(history: &History, found: &mut Found) {
    for op in history.ops().filter(|op| *op.f == F::Txn && op.outcome == Outcome::Ok) {
        // What the transaction knows of each key: the whole list as it read it, or only the end that it appended.
        let mut known: BTreeMap<i64, (bool, Vec<i64>)> = BTreeMap::new();
        for mop in op.mops() {
            match mop {
                MopRef::Append { key, element } => known.entry(key).or_default().1.push(element),
                MopRef::Read { key, list } => {
                    let list = list.unwrap_or_default();
                    if let Some((whole, expected)) = known.get(&key) {
                        let agrees = if *whole { list == expected.as_slice() } else { list.ends_with(expected) };
                        if !agrees {
                            found.add("internal", &[op.complete_index], || {
                                let end = if *whole { "" } else { "a list that ends with " };
                                format!(
                                    "In {}, key {key} was read as {}, though by its own reads and appends before it \
                                     must be {end}{}",
                                    the_txn(&op),
                                    short(list),
                                    short(expected),
                                )
                            });
                        }
                    }
                    known.insert(key, (true, list.to_vec()));
                }
                _ => {}
            }
        }
    }
}

/// Duplicates, garbage, aborted reads and incompatible orders of one key. Gives its longest read, if all others are
/// prefixes of it.
fn contents<'h>(
    history: &History,
    key: i64,
    reads: &[ListRead<'h>],
    appended: &FxHashMap<(i64, i64), Appended>,
    found: &mut Found,
) -> Option<&'h [i64]> {
    let mut by_length: Vec<&ListRead<'_>> = reads.iter().collect();
    by_length.sort_by_key(|read| (read.list.len(), read.op.complete_index));
    // Each list's elements need a look only beyond the longest list before it of which it is a continuation.
    let mut reported: FxHashSet<i64> = FxHashSet::default();
    let mut before: Option<&ListRead<'_>> = None;
    let mut in_order = true;
    for read in &by_length {
        let looked_at = before.map_or(0, |before| common_prefix(before.list, read.list));
        for element in &read.list[looked_at..] {
            match appended.get(&(key, *element)) {
                None => {
                    if reported.insert(*element) {
                        found.add("garbage-read", &[read.op.complete_index], || {
                            let txn = the_txn(&read.op);
                            format!("Element {element} of key {key} was read by {txn}, but nobody ever appended it")
                        });
                    }
                }
                Some(Appended { failed: true, op, .. }) => {
                    if reported.insert(*element) {
                        let writer = history.op(*op);
                        let failed = writer.and_then(|op| op.complete_index);
                        found.add("G1a", &[failed, read.op.complete_index], || {
                            let writer = writer.map_or_else(String::new, |op| the_txn(&op));
                            let txn = the_txn(&read.op);
                            format!("Element {element} of key {key} was read by {txn}, but {writer}, which appended it, failed")
                        });
                    }
                }
                Some(_) => {}
            }
        }
        if looked_at < read.list.len() {
            let mut sorted = read.list.to_vec();
            sorted.sort_unstable();
            let once = |element| appended.get(&(key, element)).is_none_or(|appended| !appended.repeated);
            if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1] && once(pair[0])) {
                in_order = false;
                found.add("duplicate-elements", &[read.op.complete_index], || {
                    let txn = the_txn(&read.op);
                    format!("Key {key} was read by {txn} with element {} twice: {}", pair[0], short(read.list))
                });
            }
        }
        if let Some(before) = before
            && looked_at < before.list.len()
        {
            in_order = false;
            found.add("incompatible-order", &[before.op.complete_index, read.op.complete_index], || {
                format!(
                    "Key {key} was read as {} by {}, and as {} by {}: neither is a prefix of the other, they part at \
                     position {looked_at}",
                    short_at(before.list, looked_at),
                    the_txn(&before.op),
                    short_at(read.list, looked_at),
                    the_txn(&read.op),
                )
            });
        }
        before = Some(read);
    }
    // Where all reads are prefixes of each other, the last is the longest of them.
    by_length.last().filter(|_| in_order).map(|read| read.list)
}

fn common_prefix(left: &[i64], right: &[i64]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// A key, and of the version that was read the length and the last element.
type Version = (i64, usize, Option<i64>);

/// `lost-update`: by key and version read first.
fn lost_updates(history: &History, found: &mut Found) {
    // The version is told by its length and last element; elements are unique, and where they are not, a longer look
    // below decides.
    let mut by_version: FxHashMap<Version, Vec<(Op<'_>, &[i64])>> = FxHashMap::default();
    let mut order: Vec<Version> = Vec::new();
    for op in history.ops().filter(|op| *op.f == F::Txn && op.outcome == Outcome::Ok) {
        let mops = op.mops();
        let mut read: BTreeSet<i64> = BTreeSet::new();
        for (at, mop) in mops.clone().enumerate() {
            match mop {
                MopRef::Read { key, list } if read.insert(key) => {
                    let appends = |mop: &MopRef<'_>| matches!(mop, MopRef::Append { key: other, .. } if *other == key);
                    if mops.clone().skip(at).any(|mop| appends(&mop)) {
                        let list = list.unwrap_or_default();
                        let version = (key, list.len(), list.last().copied());
                        let txns = by_version.entry(version).or_default();
                        if txns.is_empty() {
                            order.push(version);
                        }
                        txns.push((op, list));
                    }
                }
                _ => {}
            }
        }
    }
    for version in order {
        let Some([first, rest @ ..]) = by_version.get(&version).map(Vec::as_slice) else { continue };
        for second in rest.iter().filter(|second| second.1 == first.1) {
            found.add("lost-update", &[first.0.complete_index, second.0.complete_index], || {
                format!(
                    "Both {} and {} read key {} as {} and then appended to it",
                    the_txn(&first.0),
                    the_txn(&second.0),
                    version.0,
                    short(first.1)
                )
            });
        }
    }
}

/// `write-skew`, over the keys of which all reads agree on one order.
fn write_skews(
    history: &History,
    appended: &FxHashMap<(i64, i64), Appended>,
    longest: &FxHashMap<i64, &[i64]>,
    found: &mut Found,
) {
    let positions = Positions {
        longest,
        of: longest
            .iter()
            .flat_map(|(key, list)| list.iter().enumerate().map(|(at, element)| ((*key, *element), at)))
            .collect(),
    };
    // Acknowledged elements that no read holds come after all that are read. In the order of operations.
    let mut unread: FxHashMap<i64, Vec<i64>> = FxHashMap::default();
    for op in history.ops().filter(|op| *op.f == F::Txn && op.outcome == Outcome::Ok) {
        for mop in op.mops() {
            if let MopRef::Append { key, element } = mop
                && !positions.of.contains_key(&(key, element))
            {
                unread.entry(key).or_default().push(element);
            }
        }
    }
    let mut pairs: FxHashSet<(usize, usize)> = FxHashSet::default();
    for first in history.ops().filter(|op| *op.f == F::Txn && op.outcome == Outcome::Ok) {
        let mops = first.mops();
        if !mops.clone().any(|mop| matches!(mop, MopRef::Append { .. })) {
            continue;
        }
        for mop in mops {
            let MopRef::Read { key, list } = mop else { continue };
            let read_len = list.unwrap_or_default().len();
            let Some(later) = longest.get(&key).and_then(|longest| longest.get(read_len..)) else { continue };
            let unread = unread.get(&key).map_or(&[][..], Vec::as_slice);
            for element in later.iter().take(NEIGHBOURS).chain(unread.iter().take(NEIGHBOURS)) {
                let Some(Appended { op, ok: Some(_), .. }) = appended.get(&(key, *element)) else { continue };
                let Some(second) = history.op(*op).filter(|second| second.id != first.id) else { continue };
                let Some(other) = positions.skewed(&first, key, &second) else { continue };
                if pairs.insert((first.id.min(second.id), first.id.max(second.id))) {
                    found.add("write-skew", &[first.complete_index, second.complete_index], || {
                        format!(
                            "{} read key {key} without element {element} of {}, which read key {other} without what the \
                             first one appended to it",
                            say::capital(&the_txn(&first)),
                            the_txn(&second),
                        )
                    });
                }
            }
        }
    }
}

/// Where each element stands in the longest read of its key, of which every read is a prefix.
struct Positions<'p> {
    longest: &'p FxHashMap<i64, &'p [i64]>,
    of: FxHashMap<(i64, i64), usize>,
}

impl Positions<'_> {
    /// A key other than `except` that `first` appended to and `second` read without that.
    fn skewed(&self, first: &Op<'_>, except: i64, second: &Op<'_>) -> Option<i64> {
        first.mops().find_map(|mop| match mop {
            MopRef::Append { key, element } if key != except && self.longest.contains_key(&key) => {
                let position = self.of.get(&(key, element)).copied().unwrap_or(usize::MAX);
                let lacks = |mop| match mop {
                    MopRef::Read { key: read, list } => read == key && position >= list.unwrap_or_default().len(),
                    _ => false,
                };
                second.mops().any(lacks).then_some(key)
            }
            _ => None,
        })
    }
}

/// `lost-append`. Gives how many acknowledged elements nothing can be said of.
///
/// The last state of a key is what the final reads of primaries say; without final reads, the reads of primaries (of
/// anyone, without claims) that were invoked after the acknowledgement, and after every read that holds it had ended.
/// But such a read may lawfully be old, unless strict serializability is asked for: a serializable store may answer from
/// yesterday's snapshot. So without final reads and under weaker models nothing is called lost.
fn lost_appends(
    history: &History,
    appended: &FxHashMap<(i64, i64), Appended>,
    reads: &BTreeMap<i64, Vec<ListRead<'_>>>,
    found: &mut Found,
    result: &mut ListAppendResult,
) -> Undecided {
    let mut finals: Vec<Op<'_>> =
        history.ops().filter(|op| op.is_final && *op.f == F::Txn && op.outcome == Outcome::Ok).collect();
    finals.sort_by_key(|op| op.complete_index);
    let mut undecided = Undecided::default();
    let authoritative: Option<FxHashSet<usize>> = match authority::authoritative(history, &finals) {
        Ok(ops) => (!finals.is_empty()).then(|| ops.iter().map(|op| op.id).collect()),
        Err(why) => {
            undecided.reason = Some(why);
            Some(FxHashSet::default())
        }
    };
    let models = &history.header().consistency_models;
    let real_time = models.is_empty() || models.iter().any(|model| model == "strict-serializable");
    let mut by_key: BTreeMap<i64, Vec<(i64, usize, u64)>> = BTreeMap::new();
    for ((key, element), of) in appended {
        if let Some(ok) = of.ok {
            by_key.entry(*key).or_default().push((*element, of.op, ok));
        }
    }
    let mut lost: Vec<(u64, i64, i64, usize, Option<ListRead<'_>>)> = Vec::new();
    for (key, elements) in by_key {
        let reads = reads.get(&key).map_or(&[][..], Vec::as_slice);
        // The reads that say what the last state is, of each node the last.
        let mut counted: Vec<ListRead<'_>> = Vec::new();
        match &authoritative {
            Some(ids) => {
                let mut by_node: BTreeMap<Option<&str>, ListRead<'_>> = BTreeMap::new();
                for read in reads.iter().filter(|read| ids.contains(&read.op.id)) {
                    by_node
                        .entry(read.op.node)
                        .and_modify(|last| {
                            if last.op.complete_index <= read.op.complete_index {
                                *last = *read;
                            }
                        })
                        .or_insert(*read);
                }
                counted.extend(by_node.into_values());
            }
            None => {
                let counts = |read: &&ListRead<'_>| {
                    history.claims().is_empty()
                        || read.op.node.zip(read.op.complete_index).is_some_and(|(node, index)| {
                            authority::role_at(history, node, index) == Some(ClaimedRole::Primary)
                        })
                };
                counted.extend(reads.iter().filter(counts));
                counted.sort_by_key(|read| read.op.invoke_index);
            }
        }
        if counted.is_empty() {
            undecided.elements += elements.len() as u64;
            continue;
        }
        let by_finals = authoritative.is_some();
        if authoritative.is_none() && !real_time {
            continue;
        }
        // When each element was last held, by the end of a read (final reads that count: for ever).
        let mut held_until: FxHashMap<i64, u64> = FxHashMap::default();
        for read in if by_finals { &counted } else { reads } {
            let until = if by_finals { u64::MAX } else { read.op.complete_index.unwrap_or(0) };
            for element in read.list {
                let held = held_until.entry(*element).or_insert(until);
                *held = (*held).max(until);
            }
        }
        // The read that decides: of final reads the first invoked, for none of them may be older than the element; of
        // others the last invoked.
        let decider = if by_finals {
            counted.iter().min_by_key(|read| read.op.invoke_index).copied()
        } else {
            counted.last().copied()
        };
        let Some(decider) = decider else { continue };
        for (element, op, ok) in elements {
            let held = held_until.get(&element).copied();
            if held == Some(u64::MAX) {
                continue;
            }
            // An element of the deciding read itself is held until its end.
            if decider.op.invoke_index > ok && held.is_none_or(|held| decider.op.invoke_index > held) {
                lost.push((ok, key, element, op, Some(decider)));
            } else if held.is_none_or(|held| held < ok) {
                undecided.elements += 1;
            }
        }
    }
    // Without final reads the last appends of a run are always unread; that says nothing of the database.
    if authoritative.is_none() {
        undecided.elements = 0;
    }
    lost.sort_unstable_by_key(|(ok, key, element, ..)| (*ok, *key, *element));
    for (ok_index, key, element, op, decider) in lost {
        let Some(op) = history.op(op) else { continue };
        let ok_ns = op.complete_ns.unwrap_or(op.invoke_ns);
        let node = op.node.map(Into::into);
        result.lost_appends.push(LostAppend { key, element, process: op.process, node, ok_ns, ok_index });
        let decided = decider.and_then(|read| read.op.complete_index);
        found.add("lost-append", &[Some(ok_index), decided], || {
            let whose = if authoritative.is_some() {
                "the final read of every primary lacks it".into()
            } else {
                decider.map_or_else(String::new, |read| format!("it is gone for {}", the_txn(&read.op)))
            };
            format!(
                "Process {} was told ok for the append of {element} to key {key}{} at {}; {whose}",
                op.process,
                say::by(op.node),
                say::seconds(ok_ns),
            )
        });
    }
    undecided
}

/// What could not be decided about lost appends.
#[derive(Default)]
struct Undecided {
    elements: u64,
    reason: Option<String>,
}

fn verdict(mut result: ListAppendResult, mut found: Found, nothing_read: bool, undecided: Undecided) -> Check {
    let mut findings = Findings::default();
    let asked: Vec<&str> = result.consistency_models.iter().map(String::as_str).collect();
    let known: Vec<&(&str, &[&str])> = MODELS.iter().filter(|(name, _)| asked.contains(name)).collect();
    // Of the others, what the lattice says.
    let forbidden = super::anomalies_forbidden_by(&result.consistency_models);
    let all = super::model_names();
    let unknown: Vec<&str> = asked.iter().filter(|asked| !all.contains(asked)).copied().collect();
    // Whoever asks for nothing still does not want to lose anything.
    let always: &[&str] = MODELS[0].1;
    let refutes = |kind: &str| {
        always.contains(&kind)
            || known.iter().any(|(_, by)| by.contains(&kind))
            || (known.len() < asked.len() && forbidden.contains(kind))
    };
    let mut parts = Vec::new();
    let mut allowed = Vec::new();
    let (refuting, others): (Vec<&str>, Vec<&str>) = ANOMALIES.iter().partition(|kind| refutes(kind));
    for kind in refuting.into_iter().chain(others) {
        let Some((total, list)) = found.by_kind.remove(kind) else { continue };
        let text = format!("{total} × {kind}");
        if refutes(kind) {
            result.refuting.push(kind.into());
            parts.push(text);
        } else {
            allowed.push(text);
        }
        for anomaly in &list {
            findings.push(kind, anomaly.event_indexes.clone(), || format!("{kind}: {}.", anomaly.sentence));
        }
        findings.count_only(total - list.len() as u64);
        result.anomalies.extend(list);
    }
    let reason = if !unknown.is_empty() {
        Some(format!("{} is no model that is known: {}", say::list(&unknown), all.join(", ")))
    } else if result.txns[0] == 0 {
        Some("no transaction ended ok".into())
    } else if nothing_read {
        Some("nothing was read".into())
    } else if let Some(reason) = undecided.reason {
        Some(reason)
    } else if undecided.elements > 0 {
        let elements = say::count(undecided.elements, "acknowledged element");
        Some(format!("nothing can be said of {elements}: no read that counts was invoked after"))
    } else {
        None
    };
    let limits = format!(
        "Looked for {}; dependency cycles are not searched in this version, so none found proves no isolation level.",
        say::list(ANOMALIES)
    );
    let allowed = if allowed.is_empty() {
        String::new()
    } else {
        format!(" Found, but allowed by what was asked for: {}.", say::list(&allowed))
    };
    let (valid, summary) = match (&reason, parts.is_empty()) {
        (_, false) => {
            (Validity::Invalid, format!("{} refute {}.{allowed} {limits}", say::list(&parts), promise(&asked)))
        }
        (Some(reason), true) => (Validity::Unknown, format!("Undecided: {reason}.{allowed} {limits}")),
        (None, true) => (Validity::Valid, format!("Nothing refutes {}.{allowed} {limits}", promise(&asked))),
    };
    findings.into_check("list-append", valid, reason, summary, Details::ListAppend(result))
}

fn promise(asked: &[&str]) -> String {
    if asked.is_empty() { "durability".into() } else { say::list(asked) }
}

/// A list in at most a few words.
fn short(list: &[i64]) -> String {
    short_at(list, list.len())
}

/// The part of a list around a position.
fn short_at(list: &[i64], at: usize) -> String {
    const AROUND: usize = 4;
    let (start, end) = (at.saturating_sub(AROUND), (at + AROUND).min(list.len()));
    let mut words: Vec<String> = Vec::new();
    if start > 0 {
        words.push("…".into());
    }
    words.extend(list[start.min(end)..end].iter().map(ToString::to_string));
    if end < list.len() {
        words.push("…".into());
    }
    format!("[{}]", words.join(" "))
}
