//! The state of the in-memory store: a set, registers with their recent past, lists with the number of the
//! transaction behind each element, rows by universe.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use rustc_hash::FxHashMap;
use schism_checker::history::Mop;

/// So many transactions back, a partner for a write skew is looked for.
const RECENT_TXNS: usize = 32;

/// One state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    /// In the order of insertion; an element may be there twice (lie `duplicate`).
    pub(crate) set: Vec<i64>,
    registers: FxHashMap<i64, Register>,
    lists: FxHashMap<i64, Vec<Element>>,
    /// By universe: keys and values.
    rows: FxHashMap<i64, BTreeMap<i64, i64>>,
    pub(crate) lock: Lock,
    /// Number of the transaction that runs, or ran last.
    txn: u64,
    /// The last transactions, newest at the back.
    recent: VecDeque<Footprint>,
}

/// A lock, and what it protects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lock {
    /// The client slot that was granted it last and has not released it.
    pub(crate) holder: Option<u32>,
    /// The token granted last.
    pub(crate) token: i64,
    /// The greatest token that was accepted.
    pub(crate) accepted: i64,
}

/// Values of a register with the time each was written, oldest first, at least the current one.
type Register = VecDeque<(Option<i64>, Instant)>;

#[derive(Debug, Clone, Copy)]
struct Element {
    value: i64,
    txn: u64,
}

/// What a transaction read and appended to.
#[derive(Debug, Clone)]
struct Footprint {
    txn: u64,
    read: Vec<i64>,
    appended: Vec<i64>,
}

impl Footprint {
    fn of(mops: &[Mop], txn: u64) -> Self {
        let (mut read, mut appended) = (Vec::new(), Vec::new());
        for mop in mops {
            match mop {
                Mop::Read { key, .. } => read.push(*key),
                Mop::Append { key, .. } => appended.push(*key),
            }
        }
        Self { txn, read, appended }
    }

    /// Whether this one reads something that the other appends to, and does not append to it itself.
    fn could_miss(&self, other: &Self) -> bool {
        self.read.iter().any(|key| other.appended.contains(key) && !self.appended.contains(key))
    }
}

impl Store {
    pub(crate) fn read(&self, key: i64) -> Option<i64> {
        self.registers.get(&key).and_then(|register| register.back()).and_then(|(value, _)| *value)
    }

    /// The newest value that had been replaced at least `age` ago; the current one when there is none.
    pub(crate) fn read_stale(&self, key: i64, age: Duration) -> Option<i64> {
        let register = self.registers.get(&key)?;
        let replaced = register.iter().zip(register.iter().skip(1)).rev().find(|(_, next)| next.1.elapsed() >= age);
        replaced.map_or_else(|| self.read(key), |((value, _), _)| *value)
    }

    pub(crate) fn write(&mut self, key: i64, value: i64) {
        let now = Instant::now();
        let register = self.registers.entry(key).or_insert_with(|| VecDeque::from([(None, now)]));
        register.push_back((Some(value), now));
        // Only the newest of those replaced a while ago is ever read.
        while register.len() > 2 && register[2].1.elapsed() >= Duration::from_millis(50) {
            register.pop_front();
        }
    }

    /// A transaction begins: what it does from here on carries its number.
    pub(crate) fn begin(&mut self, mops: &[Mop]) {
        self.txn += 1;
        if self.recent.len() == RECENT_TXNS {
            self.recent.pop_front();
        }
        self.recent.push_back(Footprint::of(mops, self.txn));
    }

    pub(crate) fn append(&mut self, key: i64, value: i64) {
        self.lists.entry(key).or_default().push(Element { value, txn: self.txn });
    }

    /// The list as of `before` (elements of that transaction and later ones are not there, but those of the
    /// transaction that runs are), or as it is. `None` for one never appended to.
    pub(crate) fn list(&self, key: i64, before: Option<u64>) -> Option<Vec<i64>> {
        let visible = |element: &&Element| before.is_none_or(|before| element.txn < before || element.txn == self.txn);
        let values: Vec<i64> = self.lists.get(&key)?.iter().filter(visible).map(|element| element.value).collect();
        (!values.is_empty()).then_some(values)
    }

    /// Removes the last element of a list if it is of an earlier transaction.
    pub(crate) fn drop_last_of_others(&mut self, key: i64) {
        let txn = self.txn;
        if let Some(list) = self.lists.get_mut(&key)
            && list.last().is_some_and(|last| last.txn != txn)
        {
            list.pop();
        }
    }

    /// The rows of a universe.
    pub(crate) fn rows(&mut self, universe: i64) -> &mut BTreeMap<i64, i64> {
        self.rows.entry(universe).or_default()
    }

    /// A copy of the lists that these read or append to.
    pub(crate) fn lists_of(&self, mops: &[Mop]) -> Self {
        let keys = mops.iter().map(|mop| match mop {
            Mop::Read { key, .. } | Mop::Append { key, .. } => *key,
        });
        let lists = keys.filter_map(|key| Some((key, self.lists.get(&key)?.clone()))).collect();
        Self { lists, txn: self.txn, ..Self::default() }
    }

    /// The number of an earlier transaction such that, reading as of just before it, a transaction of these
    /// operations makes a write skew with it and nothing worse: each reads a list that the other appends to, and
    /// nothing that this one appends to has changed since (snapshot isolation's "first committer wins").
    pub(crate) fn skewing_snapshot(&self, mops: &[Mop]) -> Option<u64> {
        let this = Footprint::of(mops, self.txn + 1);
        let unchanged_since = |txn: u64| {
            let last = |key| self.lists.get(key).and_then(|list: &Vec<Element>| list.last());
            this.appended.iter().filter_map(last).all(|last| last.txn < txn)
        };
        let partner = self.recent.iter().rev().find(|other| this.could_miss(other) && other.could_miss(&this));
        partner.map(|other| other.txn).filter(|&txn| unchanged_since(txn))
    }
}
