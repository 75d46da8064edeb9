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

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use super::{graph::NONE, versions::Versions};
use crate::{
    Check, Details, Validity, authority,
    history::{ClaimedRole, F, History, MopKind, MopRef, Op, Outcome, Txns},
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

/// Who appended what, by version: each element of each list has a number.
struct Appended<'h> {
    history: &'h History,
    versions: Versions,
    /// The operation that appended it; [`NONE`]: nobody. Of several (a malformed workload), one that did not fail.
    op: Vec<u32>,
    /// Appended more than once: a malformed workload, whose lists may hold it more than once.
    repeated: Vec<bool>,
}

impl<'h> Appended<'h> {
    /// `None`: there is more than can be numbered.
    fn new(history: &'h History) -> Option<Self> {
        let versions = Versions::of(history.txns())?;
        u32::try_from(history.len()).ok()?;
        let mut appended =
            Self { history, op: vec![NONE; versions.len()], repeated: vec![false; versions.len()], versions };
        let txns = history.txns();
        for op in txn_ids(history) {
            let is_ok = history.outcome(op) == Outcome::Ok;
            for at in txns.range(op) {
                let (MopKind::Append, key, element) = txns.raw(at) else { continue };
                let version = appended.version(key, element as i64);
                let before = appended.op[version];
                if before == NONE {
                    appended.op[version] = op as u32;
                    continue;
                }
                let outcome = history.outcome(before as usize);
                if outcome == Outcome::Fail || (outcome == Outcome::Info && is_ok) {
                    appended.op[version] = op as u32;
                }
                appended.repeated[version] = true;
            }
        }
        Some(appended)
    }

    /// The number of an element that the history holds, of the key of this number.
    fn version(&self, key: u32, element: i64) -> usize {
        self.versions.get(key, element) as usize
    }

    fn op(&self, key: u32, element: i64) -> Option<usize> {
        Some(self.op[self.version(key, element)]).filter(|op| *op != NONE).map(|op| op as usize)
    }

    /// The event that acknowledged an operation's appends.
    fn ok(&self, op: usize) -> Option<u64> {
        self.history.complete_index(op).filter(|_| self.history.outcome(op) == Outcome::Ok)
    }
}

/// A list as one micro-operation of an ok transaction read it.
#[derive(Debug, Clone, Copy)]
struct ListRead<'h> {
    op: u32,
    list: &'h [i64],
}

impl ListRead<'_> {
    fn invoke_index(&self, history: &History) -> u64 {
        history.invoke_index(self.op as usize)
    }

    fn complete_index(&self, history: &History) -> Option<u64> {
        history.complete_index(self.op as usize)
    }

    fn node<'h>(&self, history: &'h History) -> Option<&'h str> {
        history.op(self.op as usize)?.node
    }

    fn the_txn(&self, history: &History) -> String {
        history.op(self.op as usize).map_or_else(String::new, |op| the_txn(&op))
    }
}

/// Something of each key, in one piece.
struct ByKey<T> {
    starts: Vec<usize>,
    items: Vec<T>,
}

impl<T: Copy> ByKey<T> {
    fn new(keys: usize, none: T, mut each: impl FnMut(&mut dyn FnMut(u32, T))) -> Self {
        let mut starts = vec![0; keys + 1];
        each(&mut |key, _| starts[key as usize + 1] += 1);
        for key in 0..keys {
            starts[key + 1] += starts[key];
        }
        let mut items = vec![none; starts[keys]];
        let mut at = starts.clone();
        each(&mut |key, item| {
            items[at[key as usize]] = item;
            at[key as usize] += 1;
        });
        Self { starts, items }
    }

    fn of(&self, key: u32) -> &[T] {
        &self.items[self.starts[key as usize]..self.starts[key as usize + 1]]
    }
}

/// The operations that are transactions.
fn txn_ids(history: &History) -> impl Iterator<Item = usize> + '_ {
    history.ops().filter(|op| *op.f == F::Txn).map(|op| op.id)
}

/// What a read of an ok transaction saw.
fn list_of(txns: &Txns, kind: MopKind, arg: u64) -> Option<&[i64]> {
    match kind {
        MopKind::ReadNil => Some(&[]),
        MopKind::Read => {
            let (list, len) = Txns::list_of(arg);
            Some(&txns.list_at(list).1[..len as usize])
        }
        _ => None,
    }
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
    let txns = history.txns();
    let Some(appended) = Appended::new(history) else {
        return verdict(result, found, false, too_large());
    };
    for op in txn_ids(history) {
        result.txns[history.outcome(op) as usize] += 1;
        if history.outcome(op) == Outcome::Ok {
            let appends = txns.range(op).filter(|at| txns.raw(*at).0 == MopKind::Append);
            result.appends_acknowledged += appends.count() as u64;
        }
    }
    let reads = ByKey::new(txns.keys_len(), ListRead { op: NONE, list: &[] }, |visit| {
        for op in txn_ids(history).filter(|op| history.outcome(*op) == Outcome::Ok) {
            for at in txns.range(op) {
                let (kind, key, arg) = txns.raw(at);
                if let Some(list) = list_of(txns, kind, arg) {
                    visit(key, ListRead { op: op as u32, list });
                }
            }
        }
    });
    let mut keys: Vec<u32> = (0..txns.keys_len() as u32).collect();
    keys.sort_unstable_by_key(|key| txns.key(*key));

    internal(history, &mut found);
    let mut longest: Vec<Option<&[i64]>> = vec![None; keys.len()];
    for key in &keys {
        longest[*key as usize] = contents(*key, reads.of(*key), &appended, &mut found);
    }
    lost_updates(history, &mut found);
    write_skews(&appended, &longest, &mut found);
    let undecided = lost_appends(&appended, &keys, &reads, &mut found, &mut result);
    verdict(result, found, reads.items.is_empty(), undecided)
}

fn too_large() -> Undecided {
    Undecided { reason: Some("the history is larger than can be numbered".into()), elements: 0 }
}

/// What a transaction knows of a key: the whole list as it read it, if it did, and what it appended since.
struct Known<'h> {
    key: i64,
    read: Option<&'h [i64]>,
    appended: Vec<i64>,
}

impl Known<'_> {
    fn agrees(&self, list: &[i64]) -> bool {
        match self.read {
            None => list.ends_with(&self.appended),
            Some(read) => list.strip_prefix(read).is_some_and(|end| end == self.appended),
        }
    }

    fn expected(&self) -> Vec<i64> {
        [self.read.unwrap_or_default(), &self.appended].concat()
    }
}

/// `internal`: each transaction by itself.
fn internal(history: &History, found: &mut Found) {
    let mut known: Vec<Known<'_>> = Vec::new();
    for op in history.ops().filter(|op| *op.f == F::Txn && op.outcome == Outcome::Ok) {
        known.clear();
        for mop in op.mops() {
            match mop {
                MopRef::Append { key, element } => match known.iter_mut().find(|known| known.key == key) {
                    Some(known) => known.appended.push(element),
                    None => known.push(Known { key, read: None, appended: vec![element] }),
                },
                MopRef::Read { key, list } => {
                    let list = list.unwrap_or_default();
                    let now = Known { key, read: Some(list), appended: Vec::new() };
                    let Some(known) = known.iter_mut().find(|known| known.key == key) else {
                        known.push(now);
                        continue;
                    };
                    if !known.agrees(list) {
                        found.add("internal", &[op.complete_index], || {
                            let end = if known.read.is_some() { "" } else { "a list that ends with " };
                            format!(
                                "In {}, key {key} was read as {}, though by its own reads and appends before it must be \
                                 {end}{}",
                                the_txn(&op),
                                short(list),
                                short(&known.expected()),
                            )
                        });
                    }
                    *known = now;
                }
                _ => {}
            }
        }
    }
}

/// Duplicates, garbage, aborted reads and incompatible orders of one key. Gives its longest read, if all others are
/// prefixes of it.
fn contents<'h>(key_id: u32, reads: &[ListRead<'h>], appended: &Appended<'h>, found: &mut Found) -> Option<&'h [i64]> {
    let history = appended.history;
    let key = history.txns().key(key_id);
    let mut by_length: Vec<&ListRead<'_>> = reads.iter().collect();
    by_length.sort_by_key(|read| (read.list.len(), read.complete_index(history)));
    // Each list's elements need a look only beyond the longest list before it of which it is a continuation.
    let mut reported: FxHashSet<i64> = FxHashSet::default();
    let mut before: Option<&ListRead<'_>> = None;
    let mut in_order = true;
    for read in &by_length {
        let looked_at = before.map_or(0, |before| common_prefix(before.list, read.list));
        for element in &read.list[looked_at..] {
            match appended.op(key_id, *element) {
                None => {
                    if reported.insert(*element) {
                        found.add("garbage-read", &[read.complete_index(history)], || {
                            let txn = read.the_txn(history);
                            format!("Element {element} of key {key} was read by {txn}, but nobody ever appended it")
                        });
                    }
                }
                Some(op) if history.outcome(op) == Outcome::Fail => {
                    if reported.insert(*element) {
                        let failed = history.complete_index(op);
                        found.add("G1a", &[failed, read.complete_index(history)], || {
                            let writer = history.op(op).map_or_else(String::new, |op| the_txn(&op));
                            let txn = read.the_txn(history);
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
            let once = |element| !appended.repeated[appended.version(key_id, element)];
            if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1] && once(pair[0])) {
                in_order = false;
                found.add("duplicate-elements", &[read.complete_index(history)], || {
                    let txn = read.the_txn(history);
                    format!("Key {key} was read by {txn} with element {} twice: {}", pair[0], short(read.list))
                });
            }
        }
        if let Some(before) = before
            && looked_at < before.list.len()
        {
            in_order = false;
            let events = [before.complete_index(history), read.complete_index(history)];
            found.add("incompatible-order", &events, || {
                format!(
                    "Key {key} was read as {} by {}, and as {} by {}: neither is a prefix of the other, they part at \
                     position {looked_at}",
                    short_at(before.list, looked_at),
                    before.the_txn(history),
                    short_at(read.list, looked_at),
                    read.the_txn(history),
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

/// `lost-update`: by key and version read first.
fn lost_updates(history: &History, found: &mut Found) {
    // The version is told by its length and last element; elements are unique, and where they are not, a longer look
    // decides. Of each the number of its first reader among all of those, that reader, and what it read.
    let mut first_of: FxHashMap<Version, (u32, u32, &[i64])> = FxHashMap::default();
    let mut updates: Vec<(u32, [u32; 2], i64, &[i64])> = Vec::new();
    let txns = history.txns();
    for op in txn_ids(history).filter(|op| history.outcome(*op) == Outcome::Ok) {
        let range = txns.range(op);
        for at in range.clone() {
            let (kind, key, arg) = txns.raw(at);
            let Some(list) = list_of(txns, kind, arg) else { continue };
            let is_of_key = |at: usize, is_append: bool| {
                let (kind, other, _) = txns.raw(at);
                other == key && (kind == MopKind::Append) == is_append
            };
            let is_first = !(range.start..at).any(|at| is_of_key(at, false));
            if !is_first || !(at..range.end).any(|at| is_of_key(at, true)) {
                continue;
            }
            let version = (txns.key(key), list.len(), list.last().copied());
            let number = first_of.len() as u32;
            let first = first_of.entry(version).or_insert((number, op as u32, list));
            if first.1 != op as u32 && first.2 == list {
                updates.push((first.0, [first.1, op as u32], version.0, list));
            }
        }
    }
    updates.sort_by_key(|(number, ..)| *number);
    for (_, [first, second], key, list) in updates {
        let (Some(first), Some(second)) = (history.op(first as usize), history.op(second as usize)) else { continue };
        found.add("lost-update", &[first.complete_index, second.complete_index], || {
            format!(
                "Both {} and {} read key {key} as {} and then appended to it",
                the_txn(&first),
                the_txn(&second),
                short(list)
            )
        });
    }
}

/// A key, and of the version that was read the length and the last element.
type Version = (i64, usize, Option<i64>);

/// `write-skew`, over the keys of which all reads agree on one order.
fn write_skews(appended: &Appended<'_>, longest: &[Option<&[i64]>], found: &mut Found) {
    let history = appended.history;
    let txns = history.txns();
    // By version: where it stands in the longest read of its key, of which every read is a prefix.
    let mut positions = vec![NONE; appended.op.len()];
    for (key, list) in longest.iter().enumerate() {
        for (at, element) in list.iter().copied().flatten().enumerate() {
            positions[appended.version(key as u32, *element)] = at as u32;
        }
    }
    // Acknowledged elements that no read holds come after all that are read. In the order of operations.
    let mut unread: FxHashMap<u32, Vec<i64>> = FxHashMap::default();
    for op in txn_ids(history).filter(|op| history.outcome(*op) == Outcome::Ok) {
        for at in txns.range(op) {
            if let (MopKind::Append, key, element) = txns.raw(at)
                && longest[key as usize].is_some()
                && positions[appended.version(key, element as i64)] == NONE
            {
                unread.entry(key).or_default().push(element as i64);
            }
        }
    }
    let mut pairs: FxHashSet<(u32, u32)> = FxHashSet::default();
    // Of one transaction: each key that it appended to, and where the element stands.
    let mut appends: Vec<(u32, u32)> = Vec::new();
    for first in txn_ids(history).filter(|op| history.outcome(*op) == Outcome::Ok) {
        appends.clear();
        appends.extend(txns.range(first).filter_map(|at| match txns.raw(at) {
            (MopKind::Append, key, element) if longest[key as usize].is_some() => {
                Some((key, positions[appended.version(key, element as i64)]))
            }
            _ => None,
        }));
        for at in txns.range(first) {
            let (kind, key, arg) = txns.raw(at);
            let Some(list) = list_of(txns, kind, arg) else { continue };
            let Some(later) = longest[key as usize].and_then(|longest| longest.get(list.len()..)) else { continue };
            if appends.iter().all(|(other, _)| *other == key) {
                continue;
            }
            let unread = unread.get(&key).map_or(&[][..], Vec::as_slice);
            for element in later.iter().take(NEIGHBOURS).chain(unread.iter().take(NEIGHBOURS)) {
                let Some(second) = appended.op(key, *element) else { continue };
                if second == first || history.outcome(second) != Outcome::Ok {
                    continue;
                }
                // A key that the first one appended to and the second one read without that.
                let other = appends.iter().filter(|(other, _)| *other != key).find(|(other, position)| {
                    txns.range(second).any(|at| {
                        let (kind, read, arg) = txns.raw(at);
                        let lacks = |list: &[i64]| *position as usize >= list.len();
                        read == *other && list_of(txns, kind, arg).is_some_and(lacks)
                    })
                });
                let Some((other, _)) = other else { continue };
                if pairs.insert((first.min(second) as u32, first.max(second) as u32))
                    && let (Some(first), Some(second)) = (history.op(first), history.op(second))
                {
                    found.add("write-skew", &[first.complete_index, second.complete_index], || {
                        format!(
                            "{} read key {} without element {element} of {}, which read key {} without what the first one \
                             appended to it",
                            say::capital(&the_txn(&first)),
                            txns.key(key),
                            the_txn(&second),
                            txns.key(*other),
                        )
                    });
                }
            }
        }
    }
}

/// `lost-append`. Gives how many acknowledged elements nothing can be said of.
///
/// The last state of a key is what the final reads of primaries say; without final reads, the reads of primaries (of
/// anyone, without claims) that were invoked after the acknowledgement, and after every read that holds it had ended.
/// But such a read may lawfully be old, unless strict serializability is asked for: a serializable store may answer from
/// yesterday's snapshot. So without final reads and under weaker models nothing is called lost.
fn lost_appends(
    appended: &Appended<'_>,
    keys: &[u32],
    reads: &ByKey<ListRead<'_>>,
    found: &mut Found,
    result: &mut ListAppendResult,
) -> Undecided {
    let history = appended.history;
    let txns = history.txns();
    let mut finals: Vec<Op<'_>> =
        history.ops().filter(|op| op.is_final && *op.f == F::Txn && op.outcome == Outcome::Ok).collect();
    finals.sort_by_key(|op| op.complete_index);
    let mut undecided = Undecided::default();
    let authoritative: Option<FxHashSet<u32>> = match authority::authoritative(history, &finals) {
        Ok(ops) => (!finals.is_empty()).then(|| ops.iter().map(|op| op.id as u32).collect()),
        Err(why) => {
            undecided.reason = Some(why);
            Some(FxHashSet::default())
        }
    };
    let models = &history.header().consistency_models;
    let real_time = models.is_empty() || models.iter().any(|model| model == "strict-serializable");
    // Of each key the acknowledged elements, each once, with who appended it and its acknowledgement.
    let acknowledged = ByKey::new(txns.keys_len(), (0, 0, 0), |visit| {
        let mut done = vec![false; appended.op.len()];
        for op in txn_ids(history) {
            let Some(ok) = appended.ok(op) else { continue };
            for at in txns.range(op) {
                let (MopKind::Append, key, element) = txns.raw(at) else { continue };
                let version = appended.version(key, element as i64);
                if appended.op[version] == op as u32 && !std::mem::replace(&mut done[version], true) {
                    visit(key, (element as i64, op as u32, ok));
                }
            }
        }
    });
    // By version: when it was last held, by the end of a read (final reads that count: for ever); 0: never, for no read
    // ends with the first event.
    let mut held_until = vec![0_u64; appended.op.len()];
    let mut lost: Vec<(u64, i64, i64, u32, ListRead<'_>)> = Vec::new();
    for key in keys {
        let (elements, reads) = (acknowledged.of(*key), reads.of(*key));
        if elements.is_empty() {
            continue;
        }
        // The reads that say what the last state is, of each node the last.
        let mut counted: Vec<ListRead<'_>> = Vec::new();
        match &authoritative {
            Some(ids) => {
                let mut by_node: BTreeMap<Option<&str>, ListRead<'_>> = BTreeMap::new();
                for read in reads.iter().filter(|read| ids.contains(&read.op)) {
                    by_node
                        .entry(read.node(history))
                        .and_modify(|last| {
                            if last.complete_index(history) <= read.complete_index(history) {
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
                        || read.node(history).zip(read.complete_index(history)).is_some_and(|(node, index)| {
                            authority::role_at(history, node, index) == Some(ClaimedRole::Primary)
                        })
                };
                counted.extend(reads.iter().filter(counts));
                counted.sort_by_key(|read| read.invoke_index(history));
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
        for read in if by_finals { &counted } else { reads } {
            let until = if by_finals { u64::MAX } else { read.complete_index(history).unwrap_or(0) };
            for element in read.list {
                let held = &mut held_until[appended.version(*key, *element)];
                *held = (*held).max(until);
            }
        }
        // The read that decides: of final reads the first invoked, for none of them may be older than the element; of
        // others the last invoked.
        let decider = if by_finals {
            counted.iter().min_by_key(|read| read.invoke_index(history)).copied()
        } else {
            counted.last().copied()
        };
        let Some(decider) = decider else { continue };
        let invoked = decider.invoke_index(history);
        for (element, op, ok) in elements {
            let held = held_until[appended.version(*key, *element)];
            if held == u64::MAX {
                continue;
            }
            // An element of the deciding read itself is held until its end.
            if invoked > *ok && invoked > held {
                lost.push((*ok, txns.key(*key), *element, *op, decider));
            } else if held < *ok {
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
        let Some(op) = history.op(op as usize) else { continue };
        let ok_ns = op.complete_ns.unwrap_or(op.invoke_ns);
        let node = op.node.map(Into::into);
        result.lost_appends.push(LostAppend { key, element, process: op.process, node, ok_ns, ok_index });
        found.add("lost-append", &[Some(ok_index), decider.complete_index(history)], || {
            let whose = if authoritative.is_some() {
                "the final read of every primary lacks it".into()
            } else {
                format!("it is gone for {}", decider.the_txn(history))
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
    let limits = format!("Looked for {}; dependency cycles are what isolation looks for.", say::list(ANOMALIES));
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
