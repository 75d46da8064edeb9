//! What is said of transactions on rows, and of reads by predicate, from their micro-operations alone.
//!
//! A row has the versions that its universe's `init` and whoever wrote it since, and did not fail, gave it. Which of them
//! a read by predicate met that lacks the row is told by the predicate, where all versions but one satisfy it. Their
//! order is told by what made them: a row is inserted, written over and deleted, in that order, if it is that once each.

use rustc_hash::FxHashMap;

use super::transactions::Shown;
use crate::{
    history::{History, MopRef, Op, Outcome, Predicate, TxnKind},
    isolation::CertificateStep,
};

/// A universe and a key in it.
type RowKey = (u32, i64);

/// A value, or none of a row that is not there; and who left it so, if anybody did, and in which of these ways.
type Version = (Option<i64>, Option<usize>, Way);

/// How a version came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    FromTheBeginning,
    Inserted,
    Overwritten,
    Deleted,
}

/// All versions of each row, the one it began with first.
pub(super) struct Rows<'h> {
    history: &'h History,
    versions: FxHashMap<RowKey, Vec<Version>>,
}

/// What a transaction wrote last to each key.
fn left(op: &Op<'_>) -> FxHashMap<i64, Option<i64>> {
    op.mops().filter_map(write_of).collect()
}

/// How a transaction made what it left of a row: for others it was inserted if it was that first.
fn way(op: &Op<'_>, key: i64) -> Way {
    let ways = op.mops().filter_map(|mop| match mop {
        _ if is_init(op) => Some(Way::FromTheBeginning),
        MopRef::Insert { key: of, .. } if of == key => Some(Way::Inserted),
        MopRef::Write { key: of, .. } if of == key => Some(Way::Overwritten),
        MopRef::Delete { key: of } if of == key => Some(Way::Deleted),
        _ => None,
    });
    ways.min().unwrap_or(Way::FromTheBeginning)
}

fn write_of(mop: MopRef<'_>) -> Option<(i64, Option<i64>)> {
    match mop {
        MopRef::Insert { key, value } | MopRef::Write { key, value } => Some((key, Some(value))),
        MopRef::Delete { key } => Some((key, None)),
        _ => None,
    }
}

fn satisfies(value: Option<i64>, predicate: Predicate) -> bool {
    value.is_some_and(|value| predicate.matches(value))
}

fn is_init(op: &Op<'_>) -> bool {
    op.f.name() == TxnKind::INIT
}

impl<'h> Rows<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut versions: FxHashMap<RowKey, Vec<Version>> = FxHashMap::default();
        for op in history.ops() {
            let universe = history.txns().universe_of(op.id);
            // Also of rows that were only read.
            for mop in op.mops() {
                let (one, several) = match mop {
                    MopRef::Get { key, .. } => (Some(key), &[][..]),
                    MopRef::Select { rows, .. } => (None, rows.unwrap_or_default()),
                    other => (write_of(other).map(|(key, _)| key), &[][..]),
                };
                for key in one.into_iter().chain(several.iter().map(|(key, _)| *key)) {
                    versions.entry((universe, key)).or_insert_with(|| vec![(None, None, Way::FromTheBeginning)]);
                }
            }
            if op.outcome == Outcome::Fail {
                continue;
            }
            for (key, value) in left(&op) {
                let row = versions.entry((universe, key)).or_default();
                let version = (value, Some(op.id), way(&op, key));
                if is_init(&op) { row[0] = version } else { row.push(version) }
            }
        }
        Self { history, versions }
    }

    fn universe(&self, op: &Op<'_>) -> u32 {
        self.history.txns().universe_of(op.id)
    }

    fn versions(&self, of: RowKey) -> &[Version] {
        self.versions.get(&of).map_or(&[], Vec::as_slice)
    }

    /// The version of a row that a read of a transaction met; `Ok(None)`: one before all that there ever were.
    fn met(&self, op: &Op<'h>, read: MopRef<'h>, key: i64, by_absence: bool) -> Result<Option<Version>, String> {
        let fits: Box<dyn Fn(Option<i64>) -> bool> = match read {
            MopRef::Get { key: other, value } if other == key && !by_absence => Box::new(move |of| of == value),
            MopRef::Select { predicate, rows: Some(rows) } => match rows.iter().find(|(other, _)| *other == key) {
                Some((_, value)) if !by_absence => {
                    let value = *value;
                    Box::new(move |of| of == Some(value))
                }
                None if by_absence => Box::new(move |of| !satisfies(of, predicate)),
                _ => return Err("that read got something else of the row".to_owned()),
            },
            _ => return Err("it is no read of the row".to_owned()),
        };
        // What it wrote itself it wrote later.
        let others = self.versions((self.universe(op), key)).iter().filter(|(_, writer, _)| *writer != Some(op.id));
        let mut fitting = others.filter(|(value, ..)| fits(*value));
        match (fitting.next(), fitting.next()) {
            (met, None) => Ok(met.copied()),
            _ => Err("it cannot be told which version it met".to_owned()),
        }
    }

    /// Whether one version of a row comes before another.
    fn is_later(&self, of: RowKey, one: Version, later: Version) -> bool {
        let versions = self.versions(of);
        if versions.first() == Some(&one) {
            return one != later;
        }
        let made = |way: Way| versions.iter().filter(|version| version.2 == way).count();
        // What it began with is a row of its own.
        let began = usize::from(versions.first().is_some_and(|(value, ..)| value.is_some()));
        let is_each_once =
            [Way::Overwritten, Way::Deleted].into_iter().all(|way| made(way) <= 1) && made(Way::Inserted) + began == 1;
        is_each_once && one.2 < later.2
    }

    /// Whether a step of a cycle is there.
    pub(super) fn step(&self, step: &CertificateStep, [from, to]: [&Op<'h>; 2]) -> Shown {
        let no = |why: &str| Err(why.to_owned());
        let named = |op: &Op<'h>, which: usize| {
            let at = usize::try_from(step.mops?[which]).ok()?;
            Some((at, op.mops().nth(at)?))
        };
        let (Some((first_at, first)), Some((second_at, second))) = (named(from, 0), named(to, 1)) else {
            return no("it does not name two micro-operations");
        };
        if self.universe(from) != self.universe(to) {
            return no("these are two universes");
        }
        let wrote_before =
            |op: &Op<'h>, at: usize, key: i64| op.mops().take(at).filter_map(write_of).any(|(other, _)| other == key);
        let by_absence = step.kind.ends_with('p');
        match &*step.kind {
            "ww" => match (write_of(first), write_of(second)) {
                (Some((key, _)), Some((other, _))) if key == other => {
                    let by = |op: &Op<'h>| {
                        self.versions((self.universe(op), key)).iter().find(|version| version.1 == Some(op.id))
                    };
                    // Whether an indeterminate one happened would have to be shown first.
                    if from.outcome == Outcome::Info {
                        return Ok(false);
                    }
                    match (by(from), by(to)) {
                        (Some(one), Some(later)) if self.is_later((self.universe(from), key), *one, *later) => Ok(true),
                        _ => no("it cannot be told that the second came later"),
                    }
                }
                _ => no("they do not write the same row"),
            },
            "wr" | "wrp" => {
                let Some((key, _)) = write_of(first) else { return no("the first is no write") };
                if to.outcome != Outcome::Ok || wrote_before(to, second_at, key) {
                    return no("the second does not say what it read of others");
                }
                match self.met(to, second, key, by_absence)? {
                    Some((_, Some(writer), _)) if writer == from.id => Ok(true),
                    _ => no("it met another version"),
                }
            }
            "rw" | "rwp" => {
                let Some((key, _)) = write_of(second) else { return no("the second is no write") };
                if from.outcome != Outcome::Ok || wrote_before(from, first_at, key) {
                    return no("the first does not say what it read of others");
                }
                if to.outcome == Outcome::Fail {
                    return no("the second failed");
                }
                let of = (self.universe(from), key);
                let later = self.versions(of).iter().find(|version| version.1 == Some(to.id));
                let is_later = match (self.met(from, first, key, by_absence)?, later) {
                    // What was there before the first version comes before all of them.
                    (None, later) => later.is_some(),
                    (Some(version), Some(later)) => self.is_later(of, version, *later),
                    (Some(_), None) => false,
                };
                if is_later { Ok(true) } else { no("it may have met the later version") }
            }
            _ => no("there is no such dependency"),
        }
    }

    /// Anomalies of one or two transactions.
    pub(super) fn of_txns(&self, kind: &str, txns: &[Op<'h>]) -> Shown {
        let shown = match (kind, txns) {
            ("predicate-read-miss", [one]) => self.any_read(one, |at, read| {
                let keys = self.versions.keys().filter(|(universe, _)| *universe == self.universe(one));
                let lacks = |key: &i64| {
                    let is_own = one.mops().take(at).filter_map(write_of).any(|(other, _)| other == *key);
                    !is_own && self.met(one, read, *key, true) == Ok(None)
                };
                keys.map(|(_, key)| key).any(lacks)
            }),
            ("garbage-read", [one]) => self.any_read(one, |_, read| match read {
                MopRef::Get { key, value } => value.is_some() && !self.was_written(one, key, value),
                MopRef::Select { predicate, rows: Some(rows) } => rows
                    .iter()
                    .any(|(key, value)| !predicate.matches(*value) || !self.was_written(one, *key, Some(*value))),
                _ => false,
            }),
            ("G1a", [writer, reader]) if writer.outcome == Outcome::Fail => self.any_read(reader, |_, read| {
                left(writer).into_iter().any(|(key, value)| {
                    self.got(read, key, value) && {
                        self.versions((self.universe(reader), key)).iter().all(|(other, by, _)| {
                            // What it wrote itself it wrote later.
                            *other != value || *by == Some(reader.id)
                        })
                    }
                })
            }),
            // What others read is what a transaction left; what it overwrote itself was never there.
            ("G1b", [writer, reader]) if writer.id != reader.id && self.universe(writer) == self.universe(reader) => {
                self.any_read(reader, |_, read| {
                    writer.mops().filter_map(write_of).any(|(key, value)| {
                        let versions = self.versions((self.universe(reader), key));
                        let is_left = versions.iter().any(|(other, by, _)| *other == value && *by != Some(reader.id));
                        value.is_some() && self.got(read, key, value) && !is_left
                    })
                })
            }
            ("future-read", [one]) => self.any_read(one, |at, read| {
                let wrote = |(key, value): (i64, Option<i64>), mops: &[MopRef<'h>]| {
                    mops.iter().filter_map(|mop| write_of(*mop)).any(|write| write == (key, value))
                };
                let mops: Vec<MopRef<'h>> = one.mops().collect();
                left(one).into_iter().any(|(key, value)| {
                    let by_another = self
                        .versions((self.universe(one), key))
                        .iter()
                        .any(|(other, by, _)| *other == value && *by != Some(one.id));
                    let is_later = wrote((key, value), &mops[at..]) && !wrote((key, value), &mops[..at]);
                    value.is_some() && self.got(read, key, value) && is_later && !by_another
                })
            }),
            ("lost-update", [one, other]) if one.id != other.id => {
                // The version of a row that it met and then wrote over.
                let updated = |op: &Op<'h>, key: i64| {
                    let met = op.mops().find_map(|read| self.met(op, read, key, false).ok().flatten())?;
                    (op.outcome == Outcome::Ok && left(op).contains_key(&key)).then_some(met)
                };
                self.universe(one) == self.universe(other)
                    && left(one).into_keys().any(|key| {
                        let version = updated(one, key);
                        version.is_some() && version == updated(other, key)
                    })
            }
            _ => return Ok(false),
        };
        if shown { Ok(true) } else { Err("the transactions named do not show it".to_owned()) }
    }

    fn any_read(&self, op: &Op<'h>, shows: impl Fn(usize, MopRef<'h>) -> bool) -> bool {
        op.outcome == Outcome::Ok && op.mops().enumerate().any(|(at, mop)| shows(at, mop))
    }

    /// Whether a read got this value of a row.
    fn got(&self, read: MopRef<'h>, key: i64, value: Option<i64>) -> bool {
        match (read, value) {
            (MopRef::Get { key: other, value: of }, _) => (other, of) == (key, value),
            (MopRef::Select { rows: Some(rows), .. }, Some(value)) => rows.contains(&(key, value)),
            _ => false,
        }
    }

    /// Whether any transaction, whatever became of it, wrote this to the row.
    fn was_written(&self, reader: &Op<'h>, key: i64, value: Option<i64>) -> bool {
        let universe = self.universe(reader);
        let of_it = self.history.ops().filter(|op| self.universe(op) == universe);
        of_it.flat_map(|op| op.mops()).filter_map(write_of).any(|write| write == (key, value))
    }
}

/// The rows as they are, transaction after transaction.
#[derive(Default)]
pub(crate) struct State {
    values: FxHashMap<RowKey, i64>,
}

impl State {
    /// Runs a transaction; false where it cannot have read what it read.
    pub(crate) fn apply(&mut self, history: &History, op: &Op<'_>) -> bool {
        let universe = history.txns().universe_of(op.id);
        for mop in op.mops() {
            if let Some((key, value)) = write_of(mop) {
                match value {
                    Some(value) => drop(self.values.insert((universe, key), value)),
                    None => drop(self.values.remove(&(universe, key))),
                }
            }
            if op.outcome != Outcome::Ok {
                continue;
            }
            let fits = match mop {
                MopRef::Get { key, value } => self.values.get(&(universe, key)).copied() == value,
                MopRef::Select { predicate, rows: Some(rows) } => {
                    let there =
                        self.values.iter().filter(|((of, _), value)| *of == universe && predicate.matches(**value));
                    let mut there: Vec<(i64, i64)> = there.map(|((_, key), value)| (*key, *value)).collect();
                    there.sort_unstable();
                    there == rows
                }
                _ => true,
            };
            if !fits {
                return false;
            }
        }
        true
    }
}
