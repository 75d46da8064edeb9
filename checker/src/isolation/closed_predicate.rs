//! closed-predicate: dependencies through what a read by predicate got, and through what it did not get.
//!
//! Adya, "Weak consistency" (1999), section 4.4: a read by predicate reads a version of every row there is, also of those
//! that do not satisfy the predicate, or are not there (not yet inserted, or deleted). Which version of those it was cannot
//! be seen. But in a closed universe, one whose every row and version is known, it follows by exclusion:
//! where all versions but one satisfy the predicate, a read that lacks the row met that one. So Elle does it
//! (Kingsbury & Alvaro 2020, `elle.closed-predicate`).
//!
//! A universe begins with its `init`, which inserts rows before anything else happens, or empty. Elle's rows are then
//! inserted, written or deleted once; so a row has two versions, in a known order. Here it may be inserted, written and
//! deleted once each: only what was inserted can be written over or deleted (one that finds no row must have failed), and
//! only what was not deleted can be written over. Where a row was written more often, its first version comes before the
//! others, and of those nothing is known.
//!
//! Edges: `wr` and `rw` from what was read by key and from rows that a read by predicate got; `wrp` and `rwp` from rows
//! that it lacks; `ww` from a version to those after it. Failed transactions have none; of indeterminate ones the writes count
//! as perhaps there. What a transaction wrote itself says nothing of others.

use rustc_hash::FxHashMap;

use super::{
    Found, Reason, Settings,
    graph::{Edge, EdgeKind, Edges, NONE},
    txn_words::{selected, the_txn},
};
use crate::history::{F, History, MopKind, Op, Outcome, Predicate, TxnKind};

/// A version of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    /// `None`: it is not there.
    value: Option<i64>,
    /// [`NONE`]: nobody, it was like that from the beginning.
    writer: u32,
    /// What made it.
    made_by: Made,
}

/// What makes a version of a row, in the order in which they can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Made {
    /// It was there from the beginning, or not there.
    Initially,
    Insert,
    Write,
    Delete,
}

impl Version {
    const UNBORN: Self = Self { value: None, writer: NONE, made_by: Made::Initially };

    fn satisfies(self, predicate: Predicate) -> bool {
        self.value.is_some_and(|value| predicate.matches(value))
    }
}

/// All versions of a row that may ever have been, the first one first.
#[derive(Debug, Clone)]
struct Row {
    versions: Vec<Version>,
    /// The versions are in the order in which they came.
    is_ordered: bool,
    /// The transactions that wrote the row and failed, each with what they wrote.
    failed: Vec<Version>,
}

impl Row {
    /// Puts the versions in order, if they tell it.
    fn order(&mut self) {
        let [first, rest @ ..] = &mut self.versions[..] else { return };
        rest.sort_by_key(|version| version.made_by);
        let is_each_once = rest.windows(2).all(|pair| pair[0].made_by < pair[1].made_by);
        let inserts = usize::from(first.value.is_some())
            + usize::from(rest.first().is_some_and(|version| version.made_by == Made::Insert));
        // Of Elle's only version besides it does not matter how it was made: a write may insert, too.
        self.is_ordered = rest.len() < 2 || (is_each_once && inserts == 1);
    }

    /// The versions that certainly came after the one at this place.
    fn after(&self, at: usize) -> std::ops::Range<usize> {
        let len = self.versions.len();
        if self.is_ordered || at == 0 { at + 1..len } else { len..len }
    }
}

/// What a transaction met of a row.
#[derive(Debug, Clone, Copy)]
struct Observation {
    /// The place of the read among all micro-operations.
    at: usize,
    key: u32,
    met: Met,
    /// It is a read by predicate that lacks the row.
    is_absence: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// The version at this place.
    Version(usize),
    /// What there was before the first version; it should have been seen by nobody.
    Nothing,
    /// It may be one of several.
    Unknown,
    /// A value that no version has.
    Stranger(i64),
}

/// What is known of each row.
pub(crate) struct Index<'h> {
    history: &'h History,
    /// By key.
    rows: Vec<Row>,
    ids: FxHashMap<(u32, i64), u32>,
    /// By universe and predicate that somebody asked for: the keys of which a read that lacks the row tells the version,
    /// for all others but one satisfy the predicate. Mostly few: a row without any that does tells nothing.
    telling: FxHashMap<(u32, Predicate), Vec<u32>>,
    elle: bool,
}

impl<'h> Index<'h> {
    /// An error says why nothing can be inferred.
    pub(crate) fn new(history: &'h History, settings: &Settings) -> Result<Self, String> {
        let txns = history.txns();
        if !settings.elle {
            begins_with_init(history)?;
        }
        let mut index = Self {
            history,
            rows: vec![Row { versions: vec![Version::UNBORN], is_ordered: true, failed: Vec::new() }; txns.keys_len()],
            ids: FxHashMap::default(),
            telling: FxHashMap::default(),
            elle: settings.elle,
        };
        let mut universes: Vec<Vec<u32>> = vec![Vec::new(); txns.universes_len()];
        for key in 0..txns.keys_len() as u32 {
            let universe = txns.universe_of_key(key);
            universes[universe as usize].push(key);
            index.ids.insert((universe, txns.key(key)), key);
        }
        for op in 0..history.len() {
            if !settings.is_there(history, op) {
                continue;
            }
            let is_init = history.op(op).is_some_and(|op| is_init(op.f));
            for (key, value, made_by) in index.last_writes(op) {
                let made_by = if is_init { Made::Initially } else { made_by };
                let version = Version { value, writer: op as u32, made_by };
                let row = &mut index.rows[key as usize];
                match history.outcome(op) {
                    Outcome::Fail => row.failed.push(version),
                    _ if is_init => row.versions[0] = version,
                    _ => row.versions.push(version),
                }
            }
        }
        index.rows.iter_mut().for_each(Row::order);
        for at in 0..txns.mops_len() {
            let (MopKind::Select, universe, arg) = txns.raw(at) else { continue };
            let predicate = txns.selection(arg).0;
            let rows = &index.rows;
            index.telling.entry((universe, predicate)).or_insert_with(|| {
                let others = |key: &u32| {
                    rows[*key as usize].versions.iter().filter(|version| !version.satisfies(predicate)).count()
                };
                universes[universe as usize].iter().copied().filter(|key| others(key) < 2).collect()
            });
        }
        Ok(index)
    }

    /// The keys that a transaction wrote, each with what it left, and how.
    fn last_writes(&self, op: usize) -> Vec<(u32, Option<i64>, Made)> {
        let mut writes: Vec<(u32, Option<i64>, Made)> = Vec::new();
        for (at, key, value) in self.writes(op) {
            let made_by = match self.history.txns().raw(at).0 {
                MopKind::Insert => Made::Insert,
                MopKind::Delete => Made::Delete,
                _ => Made::Write,
            };
            // What it inserted and then wrote over, others can only have met as inserted.
            let before = writes.iter().position(|(other, ..)| *other == key).map(|at| writes.remove(at));
            let made_by = before.map_or(made_by, |(.., before)| before.min(made_by));
            writes.push((key, value, made_by));
        }
        writes
    }

    /// Each write of a transaction: its place, the key, and what it wrote.
    fn writes(&self, op: usize) -> impl DoubleEndedIterator<Item = (usize, u32, Option<i64>)> + '_ {
        let txns = self.history.txns();
        txns.range(op).filter_map(move |at| match txns.raw(at) {
            (MopKind::Insert | MopKind::Write, key, value) => Some((at, key, Some(value as i64))),
            (MopKind::Delete, key, _) => Some((at, key, None)),
            _ => None,
        })
    }

    /// The version that fits, if there is only one. What a transaction has yet to write it cannot have met.
    fn met(&self, op: usize, key: u32, fits: impl Fn(Version) -> bool) -> Option<Met> {
        let versions = &self.rows[key as usize].versions;
        let is_own = |version: Version| version.writer == op as u32 && !self.elle;
        let mut fitting = (0..versions.len()).filter(|at| fits(versions[*at]) && !is_own(versions[*at]));
        match (fitting.next(), fitting.next()) {
            (Some(at), None) => Some(Met::Version(at)),
            (Some(_), Some(_)) => Some(Met::Unknown),
            (None, _) => None,
        }
    }

    fn met_value(&self, op: usize, key: u32, value: Option<i64>) -> Met {
        let met = self.met(op, key, |version| version.value == value);
        met.unwrap_or_else(|| value.map_or(Met::Nothing, Met::Stranger))
    }

    /// All that a transaction met of others' rows, but for rows that it lacks and that tell nothing.
    fn observe(&self, op: usize, mut visit: impl FnMut(Observation)) {
        let txns = self.history.txns();
        let mut own: Vec<u32> = Vec::new();
        let mut written: Vec<u32> = self.writes(op).map(|(_, key, _)| key).collect();
        written.sort_unstable();
        written.dedup();
        // Elle does not tell what a transaction wrote itself from what others did.
        let is_others = |own: &[u32], key: u32| self.elle || !own.contains(&key);
        for at in txns.range(op) {
            let (kind, key, arg) = txns.raw(at);
            match kind {
                MopKind::Insert | MopKind::Write | MopKind::Delete => own.push(key),
                MopKind::Get | MopKind::GetNil => {
                    if is_others(&own, key) {
                        let value = (kind == MopKind::Get).then_some(arg as i64);
                        visit(Observation { at, key, met: self.met_value(op, key, value), is_absence: false });
                    }
                }
                _ => {
                    let universe = key;
                    let (predicate, Some(rows)) = txns.selection(arg) else { continue };
                    for (key, value) in rows {
                        let Some(key) = self.ids.get(&(universe, *key)).copied() else { continue };
                        if is_others(&own, key) {
                            visit(Observation {
                                at,
                                key,
                                met: self.met_value(op, key, Some(*value)),
                                is_absence: false,
                            });
                        }
                    }
                    // What it has yet to write itself it cannot have met: of such a row there may be only one left.
                    let telling = self.telling.get(&(universe, predicate)).map_or(&[][..], Vec::as_slice);
                    let yet_to_write =
                        written.iter().copied().filter(|key| telling.binary_search(key).is_err() && !own.contains(key));
                    for key in telling.iter().copied().chain(yet_to_write) {
                        if is_others(&own, key) && rows_of(rows, txns.key(key)).is_empty() {
                            let met = self.met(op, key, |version| !version.satisfies(predicate));
                            visit(Observation { at, key, met: met.unwrap_or(Met::Nothing), is_absence: true });
                        }
                    }
                }
            }
        }
    }

    /// Those who wrote what comes after what was met, and that for the edge that it makes.
    fn later(&self, seen: &Observation) -> impl Iterator<Item = (Version, EdgeKind)> + '_ {
        let row = &self.rows[seen.key as usize];
        let versions = &row.versions;
        let (before, range) = match seen.met {
            Met::Version(at) => (versions[at], row.after(at)),
            // Elle has the same rule, and does not come to it: its `versions-after` gives nothing for what was unborn.
            Met::Nothing if !(seen.is_absence && self.elle) => (Version::UNBORN, 0..versions.len()),
            Met::Nothing | Met::Unknown | Met::Stranger(_) => (Version::UNBORN, 0..0),
        };
        let txns = self.history.txns();
        let asked = match txns.raw(seen.at) {
            (MopKind::Select, _, arg) => Some(txns.selection(arg).0),
            _ => None,
        };
        let is_absence = seen.is_absence;
        versions[range].iter().filter_map(move |version| {
            let kind = match asked {
                Some(predicate) if is_absence => version.satisfies(predicate).then_some(EdgeKind::Rwp)?,
                // What a read by predicate got, it read; for Elle only whether it satisfies the predicate counts.
                Some(predicate) if self.elle => {
                    (before.satisfies(predicate) != version.satisfies(predicate)).then_some(EdgeKind::Rwp)?
                }
                _ => EdgeKind::Rw,
            };
            Some((*version, kind))
        })
    }

    /// Who wrote what was met, and the edge from there.
    fn writer_of(&self, seen: &Observation) -> Option<(u32, EdgeKind)> {
        let Met::Version(at) = seen.met else { return None };
        let writer = self.rows[seen.key as usize].versions[at].writer;
        (writer != NONE).then_some((writer, if seen.is_absence { EdgeKind::Wrp } else { EdgeKind::Wr }))
    }

    /// All edges between transactions that data makes.
    pub(crate) fn edges(&self, edges_max: usize) -> Edges {
        let mut edges = Edges::new(self.history.len(), edges_max);
        let seen = self.seen();
        // Of an indeterminate one that nobody met nothing followed: it may not have happened.
        let happened = |op: u32| op != NONE && (self.history.outcome(op as usize) == Outcome::Ok || seen[op as usize]);
        for row in &self.rows {
            for (at, version) in row.versions.iter().enumerate().filter(|(_, version)| happened(version.writer)) {
                for later in &row.versions[row.after(at)] {
                    edges.push(version.writer, later.writer, EdgeKind::Ww);
                }
            }
        }
        for op in (0..self.history.len()).filter(|op| self.history.outcome(*op) == Outcome::Ok) {
            self.observe(op, |seen| {
                if let Some((writer, kind)) = self.writer_of(&seen) {
                    edges.push(writer, op as u32, kind);
                }
                for (version, kind) in self.later(&seen).filter(|(version, _)| version.writer != NONE) {
                    edges.push(op as u32, version.writer, kind);
                }
            });
        }
        edges
    }

    /// Why this edge is there, in words.
    pub(crate) fn why(&self, (from, to, kind): Edge, [a, b]: [&str; 2]) -> Option<Reason> {
        let mut reason = None;
        let mut tell = |key: u32, mops: [Option<usize>; 2], text: String| {
            let [from, to] = mops;
            reason.get_or_insert(Reason { text, of: from.zip(to).map(|(from, to)| (key, [from, to])) });
        };
        let write = |op: u32, key: u32| {
            let last = self.writes(op as usize).rfind(|(_, of, _)| *of == key);
            last.map(|(at, ..)| at)
        };
        let wrote = |key: u32, value: Option<i64>| match value {
            Some(value) => format!("wrote {value} to {}", self.spell(key)),
            None => format!("deleted {}", self.spell(key)),
        };
        match kind {
            EdgeKind::Ww => {
                for (key, row) in (0..).zip(&self.rows) {
                    let Some(at) = row.versions.iter().position(|version| version.writer == from) else { continue };
                    for version in row.versions[row.after(at)].iter().filter(|version| version.writer == to) {
                        let text = format!("{b} {}, which {a} had written before", wrote(key, version.value));
                        tell(key, [write(from, key), write(to, key)], text);
                    }
                }
            }
            EdgeKind::Wr | EdgeKind::Wrp => self.observe(to as usize, |seen| {
                if self.writer_of(&seen) != Some((from, kind)) {
                    return;
                }
                let Met::Version(at) = seen.met else { return };
                let wrote = wrote(seen.key, self.rows[seen.key as usize].versions[at].value);
                let text = if seen.is_absence {
                    format!("{a} {wrote}, and {b} met that: {}", self.lacks(&seen))
                } else {
                    format!("{a} {wrote}, and {b} read it")
                };
                tell(seen.key, [write(from, seen.key), Some(seen.at)], text);
            }),
            EdgeKind::Rw | EdgeKind::Rwp => self.observe(from as usize, |seen| {
                for (version, _) in self.later(&seen).filter(|(other, of)| other.writer == to && *of == kind) {
                    let met = if seen.is_absence {
                        self.lacks(&seen)
                    } else {
                        format!("{a} read {} as {}", self.spell(seen.key), self.spell_met(&seen))
                    };
                    let text = format!("{b} {}, which {a} had not met: {met}", wrote(seen.key, version.value));
                    tell(seen.key, [Some(seen.at), write(to, seen.key)], text);
                }
            }),
            EdgeKind::Process | EdgeKind::Realtime => {}
        }
        reason
    }

    /// How it follows which version was met.
    fn lacks(&self, seen: &Observation) -> String {
        let txns = self.history.txns();
        let predicate = match txns.raw(seen.at) {
            (MopKind::Select, _, arg) => txns.selection(arg).0,
            _ => Predicate::True,
        };
        let versions = &self.rows[seen.key as usize].versions;
        let spelled: Vec<String> = versions.iter().map(|version| spell(version.value)).collect();
        let rest = match seen.met {
            Met::Version(at) => format!("only {} does not satisfy that", spell(versions[at].value)),
            _ => "each of them satisfies that".to_owned(),
        };
        format!(
            "the read by predicate ({predicate}) lacks {}, and of its versions ({}) {rest}",
            self.spell(seen.key),
            spelled.join(", ")
        )
    }

    /// The anomalies that need no graph. Elle knows one of them.
    pub(crate) fn phenomena(&self, found: &mut Found) {
        for op in (0..self.history.len()).filter(|op| self.history.outcome(*op) == Outcome::Ok) {
            let mut missed: Vec<Observation> = Vec::new();
            self.observe(op, |seen| match seen.met {
                Met::Nothing if seen.is_absence => missed.push(seen),
                _ if self.elle => {}
                Met::Stranger(value) => self.stranger(op, &seen, value, found),
                Met::Nothing => drop(self.failed(op, &seen, None, found)),
                Met::Unknown => self.ambiguous(op, &seen, found),
                Met::Version(_) => {}
            });
            for seen in missed {
                found.add(self.history, "predicate-read-miss", &[op as u32], || {
                    format!("{}: {}", self.txn(op as u32), self.lacks(&seen))
                });
            }
            if !self.elle {
                self.internal(op, found);
                self.unsatisfying(op, found);
            }
        }
        if !self.elle {
            self.lost_updates(found);
        }
    }

    /// It read a value that no transaction left behind.
    fn stranger(&self, op: usize, seen: &Observation, value: i64, found: &mut Found) {
        if self.failed(op, seen, Some(value), found) {
            return;
        }
        let writes_it = |writer: usize| self.writes(writer).any(|(_, key, of)| (key, of) == (seen.key, Some(value)));
        let writer =
            (0..self.history.len()).find(|writer| self.history.outcome(*writer) != Outcome::Fail && writes_it(*writer));
        let read = self.read(op, seen);
        match writer {
            Some(writer) if writer != op => found.add(self.history, "G1b", &[writer as u32, op as u32], || {
                format!("{read}, which {} wrote and overwrote", self.txn(writer as u32))
            }),
            Some(_) => found.add(self.history, "future-read", &[op as u32], || {
                format!("{read}, which nobody wrote but itself, and that later")
            }),
            None => found.add(self.history, "garbage-read", &[op as u32], || format!("{read}, which nobody wrote")),
        }
    }

    /// It read what only a failed transaction wrote. Gives whether there is one.
    fn failed(&self, op: usize, seen: &Observation, value: Option<i64>, found: &mut Found) -> bool {
        let failed = self.rows[seen.key as usize].failed.iter().find(|version| version.value == value);
        if let Some(version) = failed {
            found.add(self.history, "G1a", &[version.writer, op as u32], || {
                format!("{}, which is of {}, and that failed", self.read(op, seen), self.txn(version.writer))
            });
        }
        failed.is_some()
    }

    /// A value that several transactions wrote.
    fn ambiguous(&self, op: usize, seen: &Observation, found: &mut Found) {
        let txns = self.history.txns();
        let value = match txns.raw(seen.at) {
            (MopKind::Get, _, value) => value as i64,
            (MopKind::Select, _, arg) if !seen.is_absence => {
                let rows = txns.selection(arg).1.unwrap_or_default();
                let Some((_, value)) = rows_of(rows, txns.key(seen.key)).first() else { return };
                *value
            }
            _ => return,
        };
        let writers: Vec<u32> = self.rows[seen.key as usize]
            .versions
            .iter()
            .filter(|version| version.value == Some(value))
            .map(|version| version.writer)
            .collect();
        found.add(self.history, "duplicate-writes", &[&writers[..], &[op as u32]].concat(), || {
            format!("{}, which several transactions wrote: whose it was cannot be told", self.read(op, seen))
        });
    }

    /// A row that does not satisfy the predicate by which it was read.
    fn unsatisfying(&self, op: usize, found: &mut Found) {
        let txns = self.history.txns();
        for at in txns.range(op) {
            let (MopKind::Select, universe, arg) = txns.raw(at) else { continue };
            let (predicate, rows) = txns.selection(arg);
            let wrong = |(_, value): &&(i64, i64)| !predicate.matches(*value);
            if let Some((key, value)) = rows.unwrap_or_default().iter().find(wrong) {
                let key = self.ids.get(&(universe, *key)).map_or_else(|| key.to_string(), |key| self.spell(*key));
                found.add(self.history, "garbage-read", &[op as u32], || {
                    format!(
                        "{}'s read by predicate ({predicate}) got {key} with {value}, which does not satisfy it",
                        self.txn(op as u32)
                    )
                });
            }
        }
    }

    /// A read that disagrees with what the same transaction knew of a row: what it had written or read.
    fn internal(&self, op: usize, found: &mut Found) {
        let txns = self.history.txns();
        let mut known: FxHashMap<u32, Option<i64>> = FxHashMap::default();
        for at in txns.range(op) {
            let (kind, key, arg) = txns.raw(at);
            let mut contradicted: Option<(u32, Option<i64>)> = None;
            match kind {
                MopKind::Insert | MopKind::Write => drop(known.insert(key, Some(arg as i64))),
                MopKind::Delete => drop(known.insert(key, None)),
                MopKind::Get | MopKind::GetNil => {
                    let value = (kind == MopKind::Get).then_some(arg as i64);
                    let before = known.insert(key, value);
                    contradicted = before.filter(|before| *before != value).map(|before| (key, before));
                }
                _ => {
                    let (predicate, Some(rows)) = txns.selection(arg) else { continue };
                    let disagrees = |(key, before): (&u32, &Option<i64>)| {
                        let agrees = match (*before, rows_of(rows, txns.key(*key))) {
                            (Some(value), []) => !predicate.matches(value),
                            (None, met) => met.is_empty(),
                            (Some(value), met) => met.iter().all(|(_, of)| *of == value),
                        };
                        (!agrees).then_some((*key, *before))
                    };
                    contradicted = known.iter().filter_map(disagrees).min();
                    for met in rows.chunk_by(|one, next| one.0 == next.0) {
                        let (Some(id), [(_, first), rest @ ..]) = (self.ids.get(&(key, met[0].0)), met) else {
                            continue;
                        };
                        // One read that got two versions of a row.
                        if rest.iter().any(|(_, other)| other != first) {
                            contradicted = contradicted.or(Some((*id, Some(*first))));
                        }
                        known.insert(*id, Some(*first));
                    }
                }
            }
            if let Some((key, before)) = contradicted {
                found.add(self.history, "internal", &[op as u32], || {
                    let read = match txns.raw(at) {
                        (MopKind::Select, _, arg) => {
                            let (predicate, rows) = txns.selection(arg);
                            format!("its read by predicate ({predicate}) got{}", selected(self.history, rows))
                        }
                        (MopKind::Get, _, value) => format!("it read {}", value as i64),
                        _ => "it read nil".to_owned(),
                    };
                    format!("{} knew {} as {}, and then {read}", self.txn(op as u32), self.spell(key), spell(before))
                });
            }
        }
    }

    /// Two ok transactions that met the same version of a row and then wrote the row.
    fn lost_updates(&self, found: &mut Found) {
        let mut updated: FxHashMap<(u32, usize), u32> = FxHashMap::default();
        for op in (0..self.history.len()).filter(|op| self.history.outcome(*op) == Outcome::Ok) {
            // The first that it met of each row.
            let mut first: Vec<(u32, Met)> = Vec::new();
            self.observe(op, |seen| {
                if !seen.is_absence && !first.iter().any(|(key, _)| *key == seen.key) {
                    first.push((seen.key, seen.met));
                }
            });
            first.retain(|(key, _)| self.writes(op).any(|(_, of, _)| of == *key));
            for (key, met) in first {
                let Met::Version(at) = met else { continue };
                if let Some(before) = updated.insert((key, at), op as u32) {
                    found.add(self.history, "lost-update", &[before, op as u32], || {
                        format!(
                            "{} and {} both read {} as {} and then wrote it",
                            self.txn(before),
                            self.txn(op as u32),
                            self.spell(key),
                            spell(self.rows[key as usize].versions[at].value)
                        )
                    });
                }
            }
        }
    }

    /// Whether the last word on some row is anybody's guess: it was written more than once.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.rows.iter().any(|row| !row.is_ordered)
    }

    /// Whether some read met one of several versions of a row, between which there may be others: one that lacks a row
    /// came before it was inserted or after it was deleted, and nothing says which.
    pub(crate) fn is_torn(&self) -> bool {
        let txns = self.history.txns();
        // By universe: the rows that may be so.
        let mut long: Vec<Vec<u32>> = vec![Vec::new(); txns.universes_len()];
        for (key, _) in (0..).zip(&self.rows).filter(|(_, row)| row.versions.len() > 2) {
            long[txns.universe_of_key(key) as usize].push(key);
        }
        let ok = (0..self.history.len()).filter(|op| self.history.outcome(*op) == Outcome::Ok);
        ok.flat_map(|op| txns.range(op)).any(|at| match txns.raw(at) {
            (MopKind::Select, universe, arg) => {
                let (predicate, rows) = txns.selection(arg);
                let rows = rows.unwrap_or_default();
                long[universe as usize].iter().any(|key| {
                    let others =
                        self.rows[*key as usize].versions.iter().filter(|version| !version.satisfies(predicate));
                    rows_of(rows, txns.key(*key)).is_empty() && others.count() > 1
                })
            }
            (MopKind::GetNil, key, _) => {
                let versions = &self.rows[key as usize].versions;
                versions.len() > 2 && versions.iter().filter(|version| version.value.is_none()).count() > 1
            }
            _ => false,
        })
    }

    /// By transaction: whether somebody met what it wrote.
    pub(crate) fn seen(&self) -> Vec<bool> {
        let mut seen_of = vec![false; self.history.len()];
        for op in (0..self.history.len()).filter(|op| self.history.outcome(*op) == Outcome::Ok) {
            self.observe(op, |seen| {
                if let Some((writer, _)) = self.writer_of(&seen) {
                    seen_of[writer as usize] = true;
                }
            });
        }
        seen_of
    }

    fn txn(&self, op: u32) -> String {
        self.history.op(op as usize).map_or_else(String::new, |op| the_txn(&op))
    }

    /// `process 3's transaction (event 7) read key 5 as 4`.
    fn read(&self, op: usize, seen: &Observation) -> String {
        format!("{} read {} as {}", self.txn(op as u32), self.spell(seen.key), self.spell_met(seen))
    }

    fn spell_met(&self, seen: &Observation) -> String {
        let txns = self.history.txns();
        match txns.raw(seen.at) {
            (MopKind::Get, _, value) => spell(Some(value as i64)),
            (MopKind::Select, _, arg) => {
                let rows = rows_of(txns.selection(arg).1.unwrap_or_default(), txns.key(seen.key));
                spell(rows.first().map(|(_, value)| *value))
            }
            _ => spell(None),
        }
    }

    /// `key 5`, `key 5 of universe 2`.
    fn spell(&self, key: u32) -> String {
        let txns = self.history.txns();
        let of = txns.universe_name(txns.universe_of_key(key));
        let of = of.map_or_else(String::new, |name| format!(" of universe {}", self.history.spell(name)));
        format!("key {}{of}", self.history.spell(txns.key(key)))
    }
}

/// The rows with this key: mostly one or none. They are sorted by key.
fn rows_of(rows: &[(i64, i64)], key: i64) -> &[(i64, i64)] {
    let start = rows.partition_point(|(of, _)| *of < key);
    let len = rows[start..].iter().take_while(|(of, _)| *of == key).count();
    &rows[start..start + len]
}

fn spell(value: Option<i64>) -> String {
    value.map_or_else(|| "nil".to_owned(), |value| value.to_string())
}

fn is_init(f: &F) -> bool {
    f.name() == TxnKind::INIT
}

/// Whether what each universe begins with is certain: one `init`, acknowledged before any transaction began.
fn begins_with_init(history: &History) -> Result<(), String> {
    let txns = history.txns();
    // By universe: its first operation.
    let mut firsts: Vec<Option<Op<'_>>> = vec![None; txns.universes_len()];
    for op in history.ops() {
        let universe = txns.universe_of(op.id);
        let name = txns.universe_name(universe);
        let of = name.map_or_else(String::new, |name| format!(" of universe {}", history.spell(name)));
        let Some(first) = firsts[universe as usize] else {
            firsts[universe as usize] = Some(op);
            continue;
        };
        if is_init(op.f) {
            return Err(format!("the init{of} (event {}) is not the first thing that happened there", op.invoke_index));
        }
        let is_certain = first.outcome == Outcome::Ok && first.complete_index.is_some_and(|end| end < op.invoke_index);
        if is_init(first.f) && !is_certain {
            return Err(format!(
                "{} began before the init{of} (event {}) had ended ok: what it found is not certain",
                the_txn(&op),
                first.invoke_index
            ));
        }
    }
    Ok(())
}
