//! rw-register: from what transactions read and wrote, who came after whom.
//!
//! Kingsbury & Alvaro, "Elle: inferring isolation anomalies from experimental observations" (2020), section on registers.
//! A value says who wrote it, but not what it overwrote; so the version order of a key is known only as far as something
//! tells it:
//!
//! - always: the initial state (nil) comes before every value;
//! - `wfr-keys`: within a transaction, what it reads of a key comes before what it then writes to it;
//! - `sequential-keys`: each process sees the versions of each key in their order;
//! - `linearizable-keys`: a transaction that began after another had ended sees no older version of a key;
//! - `transaction-order`: versions come in the order in which the database says that it placed their writers.
//!
//! The last four are assumptions of whoever asks for them. Where one of them makes the version order of a key turn in a
//! circle, that is the anomaly `cyclic-versions`, and that assumption is left out.
//!
//! Only what a transaction shows to others counts: its first operation on a key if that is a read, and its last write to
//! it. Edges: `wr` from who wrote a value to who read it; `ww` and `rw` from who wrote or read a version to who wrote one
//! that is known to come later. Failed and indeterminate transactions have no edges; values of the latter take part in the
//! version orders.
//!
//! Not checked: what an indeterminate transaction read.

use rustc_hash::FxHashMap;

use super::{
    Found, Reason, Settings,
    graph::{Edge, EdgeKind, Edges, NONE, Successors, components},
    txn_words::the_txn,
    versions::Versions,
};
use crate::history::{History, MopKind, MopRef, Outcome};

/// What a transaction shows of one key.
#[derive(Debug, Clone, Copy)]
struct Touch {
    op: u32,
    key: u32,
    /// The version of its first operation on the key, if that is a read.
    read: Option<u32>,
    /// The version of its last write.
    write: Option<u32>,
}

/// What is known of each version.
pub(crate) struct Index<'h> {
    history: &'h History,
    versions: Versions,
    /// By operation: where its touches begin.
    starts: Vec<u32>,
    touches: Vec<Touch>,
    /// By version, initial states last: where its ok readers and writers begin.
    readers: Lists,
    writers: Lists,
    /// By version: more than one operation that did not fail tried to write it. Whose it is cannot be told, nor what came
    /// before and after: `w 1`, `w 2`, `w 1` is no circle.
    ambiguous: Vec<bool>,
    /// Such versions, each with the first two of those.
    written_twice: Vec<(u32, u32, u32)>,
    /// Version orders: earlier, later, and what tells it. Sorted.
    orders: Vec<(u32, u32, Source)>,
}

/// What tells that one version comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    InitialState,
    WfrKeys,
    SequentialKeys,
    LinearizableKeys,
    TransactionOrder,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::InitialState => "initial-state",
            Self::WfrKeys => "wfr-keys",
            Self::SequentialKeys => "sequential-keys",
            Self::LinearizableKeys => "linearizable-keys",
            Self::TransactionOrder => "transaction-order",
        }
    }
}

/// Lists by number, in one piece.
#[derive(Debug, Default)]
struct Lists {
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    fn new(len: usize, each: impl Fn(&mut dyn FnMut(u32, u32))) -> Self {
        let mut starts = vec![0u32; len + 1];
        each(&mut |at, _| starts[at as usize + 1] += 1);
        for at in 0..len {
            starts[at + 1] += starts[at];
        }
        let mut items = vec![0; starts[len] as usize];
        let mut place = starts.clone();
        each(&mut |at, item| {
            items[place[at as usize] as usize] = item;
            place[at as usize] += 1;
        });
        Self { starts, items }
    }

    fn of(&self, at: u32) -> &[u32] {
        &self.items[self.starts[at as usize] as usize..self.starts[at as usize + 1] as usize]
    }
}

impl<'h> Index<'h> {
    /// `None`: there is more than can be numbered.
    pub(crate) fn new(history: &'h History, settings: &Settings, found: &mut Found) -> Option<Self> {
        let versions = Versions::of(history.txns())?;
        let mut index = Self {
            history,
            starts: Vec::with_capacity(history.len() + 1),
            touches: Vec::new(),
            readers: Lists::default(),
            writers: Lists::default(),
            ambiguous: vec![false; versions.len()],
            written_twice: Vec::new(),
            orders: Vec::new(),
            versions,
        };
        index.collect_touches(settings)?;
        index.mark_ambiguous(settings);
        let len = index.versions.len() + history.txns().keys_len();
        u32::try_from(len).ok()?;
        let ok = |touch: &&Touch| history.outcome(touch.op as usize) == Outcome::Ok;
        let touches = &index.touches;
        let readers = Lists::new(len, |visit| {
            touches.iter().filter(ok).for_each(|touch| touch.read.iter().for_each(|read| visit(*read, touch.op)));
        });
        let writers = Lists::new(len, |visit| {
            touches.iter().filter(ok).for_each(|touch| touch.write.iter().for_each(|write| visit(*write, touch.op)));
        });
        (index.readers, index.writers) = (readers, writers);
        index.version_orders(settings, found);
        Some(index)
    }

    /// The initial state of a key as a version.
    fn nil(&self, key: u32) -> u32 {
        self.versions.len() as u32 + key
    }

    fn is_nil(&self, version: u32) -> bool {
        version as usize >= self.versions.len()
    }

    fn collect_touches(&mut self, settings: &Settings) -> Option<()> {
        let txns = self.history.txns();
        for op in 0..self.history.len() {
            let start = self.touches.len();
            self.starts.push(u32::try_from(start).ok()?);
            let outcome = self.history.outcome(op);
            if outcome == Outcome::Fail || !settings.is_there(self.history, op) {
                continue;
            }
            for at in txns.range(op) {
                let (kind, key, arg) = txns.raw(at);
                let known = self.touches[start..].iter().position(|touch| touch.key == key);
                let (new, version) = match kind {
                    MopKind::Write => (None, Some(self.versions.get(key, arg as i64))),
                    MopKind::Get => (Some(self.versions.get(key, arg as i64)), None),
                    _ => (Some(self.nil(key)), None),
                };
                // What an indeterminate transaction read is not known.
                let new = new.filter(|_| outcome == Outcome::Ok);
                match known {
                    Some(known) => {
                        let touch = &mut self.touches[start + known];
                        touch.write = version.or(touch.write);
                    }
                    None => self.touches.push(Touch { op: op as u32, key, read: new, write: version }),
                }
            }
        }
        self.starts.push(u32::try_from(self.touches.len()).ok()?);
        Some(())
    }

    fn mark_ambiguous(&mut self, settings: &Settings) {
        let txns = self.history.txns();
        let mut writer = vec![NONE; self.versions.len()];
        for op in 0..self.history.len() {
            if self.history.outcome(op) == Outcome::Fail || !settings.is_there(self.history, op) {
                continue;
            }
            for at in txns.range(op) {
                if let (MopKind::Write, key, value) = txns.raw(at) {
                    let version = self.versions.get(key, value as i64) as usize;
                    let first = std::mem::replace(&mut writer[version], op as u32);
                    if first != NONE && first != op as u32 && !self.ambiguous[version] {
                        self.ambiguous[version] = true;
                        self.written_twice.push((version as u32, first, op as u32));
                    }
                }
            }
        }
    }

    /// The one ok transaction that wrote a version last, where no other can have written it.
    fn writer_of(&self, version: u32) -> Option<u32> {
        match self.writers.of(version) {
            [writer] if !self.ambiguous[version as usize] => Some(*writer),
            _ => None,
        }
    }

    fn is_ambiguous(&self, version: u32) -> bool {
        self.ambiguous.get(version as usize).is_some_and(|ambiguous| *ambiguous)
    }

    fn touches_of(&self, op: u32) -> &[Touch] {
        &self.touches[self.starts[op as usize] as usize..self.starts[op as usize + 1] as usize]
    }

    /// The version that an operation met first; `None` where it is not known.
    fn first(&self, touch: &Touch) -> Option<u32> {
        let nil = self.nil(touch.key);
        let ok = self.history.outcome(touch.op as usize) == Outcome::Ok;
        match (touch.read, touch.write) {
            (Some(read), _) if read != nil => Some(read),
            (_, Some(write)) => Some(write),
            (read, None) => read.filter(|_| ok),
        }
    }

    /// The version that it left.
    fn last(&self, touch: &Touch) -> Option<u32> {
        touch.write.or(touch.read)
    }

    fn version_orders(&mut self, settings: &Settings, found: &mut Found) {
        let mut initial: Vec<(u32, u32, Source)> = Vec::new();
        for touch in &self.touches {
            let nil = self.nil(touch.key);
            for version in [touch.write, touch.read].into_iter().flatten().filter(|version| *version != nil) {
                initial.push((nil, version, Source::InitialState));
            }
        }
        initial.sort_unstable();
        initial.dedup();
        self.orders = initial;
        let mut sources = vec![Source::InitialState];
        let asked = [
            (settings.wfr_keys, Source::WfrKeys),
            (settings.sequential_keys, Source::SequentialKeys),
            (settings.linearizable_keys, Source::LinearizableKeys),
            (settings.transaction_order, Source::TransactionOrder),
        ];
        for (_, source) in asked.into_iter().filter(|(asked, _)| *asked) {
            let mut more = match source {
                Source::InitialState => Vec::new(),
                Source::WfrKeys => self.by_wfr(),
                Source::SequentialKeys => self.by_process(),
                Source::LinearizableKeys => self.by_real_time(),
                Source::TransactionOrder => self.by_transaction_order(),
            };
            more.sort_unstable();
            more.dedup();
            // That a transaction reads what it writes later says that a version comes before itself. It is no order, but
            // who else read that version read it too early.
            more.retain(|(from, to, source)| from != to || *source == Source::WfrKeys);
            more.retain(|(from, to, _)| settings.elle || !(self.is_ambiguous(*from) || self.is_ambiguous(*to)));
            let mut all = [&self.orders[..], &more[..]].concat();
            all.sort_unstable();
            all.dedup_by_key(|(from, to, _)| (*from, *to));
            sources.push(source);
            if self.cyclic_versions(&all, &sources, found) {
                sources.pop();
            } else {
                self.orders = all;
            }
        }
    }

    fn by_wfr(&self) -> Vec<(u32, u32, Source)> {
        let ok = self.touches.iter().filter(|touch| self.history.outcome(touch.op as usize) == Outcome::Ok);
        ok.filter_map(|touch| {
            let read = touch.read.filter(|read| !self.is_nil(*read))?;
            Some((read, touch.write?, Source::WfrKeys))
        })
        .collect()
    }

    /// What a transaction read need not be the version just before its place, only what it wrote is in its place: under
    /// snapshot isolation it read an older state. Where those who wrote last before it are indeterminate or ambiguous, and
    /// so make no edges, the version comes after those before them, too.
    fn by_transaction_order(&self) -> Vec<(u32, u32, Source)> {
        let placed = |touch: &Touch| {
            let is_certain = self.history.outcome(touch.op as usize) == Outcome::Ok;
            let version = touch.write?;
            let order = self.history.order(touch.op as usize)?;
            Some((touch.key, order, version, is_certain && !self.is_ambiguous(version)))
        };
        let mut writes: Vec<(u32, i64, u32, bool)> = self.touches.iter().filter_map(placed).collect();
        writes.sort_unstable();
        let mut orders = Vec::new();
        for of_key in writes.chunk_by(|one, next| one.0 == next.0) {
            // What comes next comes after these.
            let mut last: Vec<u32> = Vec::new();
            for group in of_key.chunk_by(|one, next| one.1 == next.1) {
                let pairs = last.iter().flat_map(|earlier| group.iter().map(|(.., later, _)| (*earlier, *later)));
                orders.extend(pairs.map(|(earlier, later)| (earlier, later, Source::TransactionOrder)));
                if group.iter().any(|(.., is_certain)| *is_certain) {
                    last.clear();
                }
                last.extend(group.iter().map(|(.., version, _)| version));
            }
        }
        orders
    }

    fn by_process(&self) -> Vec<(u32, u32, Source)> {
        let mut orders = Vec::new();
        let mut before: FxHashMap<(u32, u32), u32> = FxHashMap::default();
        for touch in &self.touches {
            if self.history.outcome(touch.op as usize) != Outcome::Ok {
                continue;
            }
            let process = self.history.process(touch.op as usize);
            let (Some(first), Some(last)) = (self.first(touch), self.last(touch)) else { continue };
            if let Some(before) = before.insert((process, touch.key), last) {
                orders.push((before, first, Source::SequentialKeys));
            }
        }
        orders
    }

    /// Of each key: from each transaction to those that began after its end, unless a third lies between.
    fn by_real_time(&self) -> Vec<(u32, u32, Source)> {
        let by_key = Lists::new(self.history.txns().keys_len(), |visit| {
            for (at, touch) in self.touches.iter().enumerate() {
                visit(touch.key, at as u32);
            }
        });
        let mut orders = Vec::new();
        let mut open: Vec<u32> = Vec::new();
        for key in 0..self.history.txns().keys_len() as u32 {
            open.clear();
            for at in by_key.of(key) {
                let touch = &self.touches[*at as usize];
                let invoked = self.history.invoke_index(touch.op as usize);
                let end = |at: &u32| self.history.complete_index(self.touches[*at as usize].op as usize);
                let is_before = |at: &u32| end(at).is_some_and(|end| end < invoked);
                // What ended before the last of them began has one between.
                let last_began = open
                    .iter()
                    .filter(|at| is_before(at))
                    .map(|at| self.history.invoke_index(self.touches[*at as usize].op as usize))
                    .max();
                if let Some(last_began) = last_began {
                    open.retain(|at| end(at).is_none_or(|end| end > last_began));
                }
                if let Some(first) = self.first(touch) {
                    for before in open.iter().filter(|at| is_before(at)) {
                        if let Some(last) = self.last(&self.touches[*before as usize]) {
                            orders.push((last, first, Source::LinearizableKeys));
                        }
                    }
                }
                if self.history.outcome(touch.op as usize) == Outcome::Ok {
                    open.push(*at);
                }
            }
        }
        orders
    }

    /// Reports version orders that turn in a circle.
    fn cyclic_versions(&self, orders: &[(u32, u32, Source)], sources: &[Source], found: &mut Found) -> bool {
        let nodes = self.versions.len() + self.history.txns().keys_len();
        let of = components(&Orders::new(nodes, orders));
        let mut sizes: FxHashMap<u32, u32> = FxHashMap::default();
        for (from, to, _) in orders.iter().filter(|(from, to, _)| from != to) {
            if of[*from as usize] == of[*to as usize] {
                *sizes.entry(of[*from as usize]).or_default() += 1;
            }
        }
        if sizes.is_empty() {
            return false;
        }
        let names: Vec<&str> = sources.iter().map(|source| source.name()).collect();
        let mut reported: FxHashMap<u32, ()> = FxHashMap::default();
        for (from, to, _) in orders {
            let component = of[*from as usize];
            if from == to || component != of[*to as usize] || reported.insert(component, ()).is_some() {
                continue;
            }
            let members =
                orders.iter().filter(|(from, to, _)| of[*from as usize] == component && of[*to as usize] == component);
            let edges: Vec<String> = members
                .take(6)
                .map(|(from, to, _)| format!("{} before {}", self.spell(*from), self.spell(*to)))
                .collect();
            let ops: Vec<u32> = [*from, *to]
                .into_iter()
                .flat_map(|version| self.writers.of(version).iter().chain(self.readers.of(version)).copied().take(2))
                .collect();
            let key = self.key_of(*to).or_else(|| self.key_of(*from));
            found.add(self.history, "cyclic-versions", &ops, || {
                format!(
                    "The versions of key {} go round, by {}: {}",
                    key.map_or_else(String::new, |key| self.history.spell(self.history.txns().key(key)).into_owned()),
                    names.join(", "),
                    edges.join(", ")
                )
            });
        }
        true
    }

    fn key_of(&self, version: u32) -> Option<u32> {
        if self.is_nil(version) {
            return Some(version - self.versions.len() as u32);
        }
        let op = self.writers.of(version).iter().chain(self.readers.of(version)).next()?;
        let of = |touch: &&Touch| touch.read == Some(version) || touch.write == Some(version);
        self.touches_of(*op).iter().find(of).map(|touch| touch.key)
    }

    /// The value of a version.
    fn spell(&self, version: u32) -> String {
        if self.is_nil(version) {
            return "nil".into();
        }
        let ops = self.writers.of(version).iter().chain(self.readers.of(version)).copied();
        let mut values = ops.filter_map(|op| {
            self.history.txns().range(op as usize).find_map(|at| match self.history.txns().raw(at) {
                (MopKind::Write | MopKind::Get, key, value) if self.versions.get(key, value as i64) == version => {
                    Some(self.history.spell(value as i64).into_owned())
                }
                _ => None,
            })
        });
        values.next().unwrap_or_else(|| "a value".into())
    }

    /// All edges between transactions that data makes.
    pub(crate) fn edges(&self, edges_max: usize) -> Edges {
        let mut edges = Edges::new(self.history.len(), edges_max);
        for touch in &self.touches {
            if let Some(read) = touch.read.filter(|read| !self.is_nil(*read))
                && let Some(writer) = self.writer_of(read)
            {
                edges.push(writer, touch.op, EdgeKind::Wr);
            }
        }
        let mut later: Vec<u32> = Vec::new();
        for orders in self.orders.chunk_by(|one, other| one.0 == other.0) {
            let earlier = orders[0].0;
            later.clear();
            later.extend(orders.iter().flat_map(|(_, version, _)| self.writers.of(*version)));
            edges.push_all(self.writers.of(earlier), &later, EdgeKind::Ww);
            edges.push_all(self.readers.of(earlier), &later, EdgeKind::Rw);
        }
        edges
    }

    /// Whether a transaction read what it alone wrote, and later: a dependency on itself.
    pub(crate) fn depends_on_itself(&self, op: u32) -> bool {
        self.touches_of(op)
            .iter()
            .any(|touch| touch.read.is_some_and(|read| touch.write == Some(read) && self.writer_of(read) == Some(op)))
    }

    /// Why this edge is there, in words.
    pub(crate) fn why(&self, (from, to, kind): Edge, names: [&str; 2]) -> Option<Reason> {
        let [a, b] = names;
        // What a transaction shows of a key: its first operation on it if that reads, and its last write.
        let read =
            |op: u32, key: u32| self.history.txns().range(op as usize).find(|at| self.history.txns().raw(*at).1 == key);
        let written = |op: u32, key: u32| {
            let is_write = |at: &usize| matches!(self.history.txns().raw(*at), (MopKind::Write, of, _) if of == key);
            self.history.txns().range(op as usize).rev().find(is_write)
        };
        let reason = |key, from: Option<usize>, to: Option<usize>, text| {
            Some(Reason { text, of: from.zip(to).map(|(from, to)| (key, [from, to])) })
        };
        let key = |touch: &Touch| self.history.spell(self.history.txns().key(touch.key)).into_owned();
        let source = |earlier: u32, later: u32| {
            let at = self.orders.binary_search_by_key(&(earlier, later), |(from, to, _)| (*from, *to)).ok()?;
            Some(self.orders[at].2.name())
        };
        for touch in self.touches_of(from) {
            let Some(other) = self.touches_of(to).iter().find(|other| other.key == touch.key) else { continue };
            let (key, id) = (key(touch), touch.key);
            match kind {
                EdgeKind::Wr
                    if touch.write == other.read
                        && touch.write.is_some_and(|write| self.writer_of(write) == Some(from)) =>
                {
                    let value = self.spell(touch.write?);
                    let text = format!("{a} wrote {value} to key {key}, and {b} read it");
                    return reason(id, written(from, id), read(to, id), text);
                }
                EdgeKind::Ww | EdgeKind::Rw => {
                    let is_read = kind == EdgeKind::Rw;
                    if let (Some(earlier), Some(later)) = (if is_read { touch.read } else { touch.write }, other.write)
                        && let Some(source) = source(earlier, later)
                    {
                        let (earlier, later) = (self.spell(earlier), self.spell(later));
                        let (first, at) = if is_read {
                            (format!("read key {key} as {earlier}"), read(from, id))
                        } else {
                            (format!("wrote {earlier} to key {key}"), written(from, id))
                        };
                        let text = format!("{a} {first}, and {b} wrote {later}, which came later by {source}");
                        return reason(id, at, written(to, id), text);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn txn(&self, op: u32) -> String {
        self.history.op(op as usize).map_or_else(String::new, |op| the_txn(&op))
    }

    /// The anomalies that need no graph.
    pub(crate) fn phenomena(&self, found: &mut Found, settings: &Settings) {
        let txns = self.history.txns();
        // By version: who wrote it, whether it failed, whether it overwrote it itself.
        let mut failed = vec![NONE; self.versions.len()];
        let mut intermediate = vec![NONE; self.versions.len()];
        let mut written = vec![NONE; self.versions.len()];
        // Whether a transaction that did not fail wrote it, and as its last word on the key. A value that is tried again
        // after a failure is what the second attempt wrote.
        let (mut lawful, mut lawful_last) = (vec![false; self.versions.len()], vec![false; self.versions.len()]);
        const SEVERAL: u32 = NONE - 1;
        for op in 0..self.history.len() {
            let range = txns.range(op);
            for at in range.clone() {
                let (MopKind::Write, key, value) = txns.raw(at) else { continue };
                let version = self.versions.get(key, value as i64) as usize;
                let writer = &mut written[version];
                *writer = if *writer == NONE || *writer == op as u32 { op as u32 } else { SEVERAL };
                let is_lawful = self.history.outcome(op) != Outcome::Fail;
                if is_lawful {
                    lawful[version] = true;
                } else {
                    failed[version] = op as u32;
                }
                let is_of_key = |at: &usize| matches!(txns.raw(*at), (MopKind::Write, other, _) if other == key);
                if (at..range.end).rfind(is_of_key).is_some_and(|last| txns.raw(last).2 == value) {
                    lawful_last[version] |= is_lawful;
                } else {
                    intermediate[version] = op as u32;
                }
            }
        }
        for op in 0..self.history.len() {
            if self.history.outcome(op) != Outcome::Ok {
                continue;
            }
            let range = txns.range(op);
            for at in range.clone() {
                let (kind, key, arg) = txns.raw(at);
                if kind == MopKind::Write {
                    continue;
                }
                let read = || {
                    let value = match txns.mop(at) {
                        MopRef::Get { value: Some(value), .. } => self.history.spell(value).into_owned(),
                        _ => "nil".into(),
                    };
                    format!("{} read key {} as {value}", self.txn(op as u32), self.history.spell(txns.key(key)))
                };
                if kind == MopKind::Get {
                    let version = self.versions.get(key, arg as i64) as usize;
                    let writes_it = |at: usize| matches!(txns.raw(at), (MopKind::Write, other, value) if (other, value) == (key, arg));
                    let is_own = (range.start..at).any(writes_it);
                    if failed[version] != NONE && (settings.elle || !lawful[version]) {
                        found.add(self.history, "G1a", &[failed[version], op as u32], || {
                            format!("{}, which {} wrote, and that failed", read(), self.txn(failed[version]))
                        });
                    }
                    if intermediate[version] != NONE
                        && intermediate[version] != op as u32
                        && (settings.elle || !(is_own || lawful_last[version]))
                    {
                        found.add(self.history, "G1b", &[intermediate[version], op as u32], || {
                            format!("{}, which {} overwrote itself later", read(), self.txn(intermediate[version]))
                        });
                    }
                    // By program order, and by nobody else.
                    if written[version] == op as u32 && (at + 1..range.end).any(writes_it) && !is_own {
                        found.add(self.history, "own-future-read", &[op as u32], || {
                            format!("{}, which nobody wrote but itself, and that later", read())
                        });
                    }
                    if written[version] == NONE && !settings.elle {
                        found.add(self.history, "garbage-read", &[op as u32], || {
                            format!("{}, which nobody ever tried to write", read())
                        });
                    }
                }
                let known = (range.start..at).rev().find(|earlier| txns.raw(*earlier).1 == key);
                let known_value = known.map(|earlier| match txns.mop(earlier) {
                    MopRef::Write { value, .. } => Some(value),
                    MopRef::Get { value, .. } => value,
                    _ => None,
                });
                let value = (kind == MopKind::Get).then_some(arg as i64);
                if let Some(known) = known_value.filter(|known| *known != value) {
                    found.add(self.history, "internal", &[op as u32], || {
                        let expected =
                            known.map_or_else(|| "nil".into(), |known| self.history.spell(known).into_owned());
                        format!("{}, though by its own reads and writes before it must be {expected}", read())
                    });
                }
            }
        }
        self.duplicate_writes(found);
        self.lost_updates(found, settings);
    }

    /// A value that several transactions wrote and somebody read: whose it was cannot be told.
    fn duplicate_writes(&self, found: &mut Found) {
        for (version, first, second) in &self.written_twice {
            if self.readers.of(*version).is_empty() {
                continue;
            }
            found.add(self.history, "duplicate-writes", &[*first, *second], || {
                format!(
                    "{} and {} wrote the same value {}, which was read: whose it was cannot be told",
                    self.txn(*first),
                    self.txn(*second),
                    self.spell(*version)
                )
            });
        }
    }

    /// Two ok transactions whose first read of a key is the same and which both write it afterwards.
    fn lost_updates(&self, found: &mut Found, settings: &Settings) {
        let txns = self.history.txns();
        let mut updated = vec![NONE; self.versions.len() + txns.keys_len()];
        for op in 0..self.history.len() {
            if self.history.outcome(op) != Outcome::Ok {
                continue;
            }
            let range = txns.range(op);
            for at in range.clone() {
                let (kind, key, arg) = txns.raw(at);
                let is_of_key = |at: usize, read: bool| {
                    let (kind, other, _) = txns.raw(at);
                    other == key && (kind != MopKind::Write) == read
                };
                let writes_it = |at: usize| txns.raw(at) == (MopKind::Write, key, arg);
                let last_write = (at + 1..range.end).rfind(|at| is_of_key(*at, false));
                // What it read is what it leaves, and both are its own: `w 1`, `r 1`, `w 1` updates nobody else's value.
                let is_own = (range.start..at).any(writes_it) && last_write.is_some_and(writes_it);
                if kind == MopKind::Write
                    || (range.start..at).any(|at| is_of_key(at, true))
                    || last_write.is_none()
                    || is_own
                {
                    continue;
                }
                let version = if kind == MopKind::Get { self.versions.get(key, arg as i64) } else { self.nil(key) };
                // Of a value that was written twice each may have read another.
                if self.is_ambiguous(version) && !settings.elle {
                    continue;
                }
                let first = &mut updated[version as usize];
                if *first == NONE {
                    *first = op as u32;
                    continue;
                }
                let first = *first;
                found.add(self.history, "lost-update", &[first, op as u32], || {
                    format!(
                        "{} and {} both read key {} as {} and then wrote it",
                        self.txn(first),
                        self.txn(op as u32),
                        self.history.spell(txns.key(key)),
                        self.spell(version)
                    )
                });
            }
        }
    }
}

/// Version orders as a graph. They are sorted by their source.
struct Orders<'o> {
    starts: Vec<u32>,
    orders: &'o [(u32, u32, Source)],
}

impl<'o> Orders<'o> {
    fn new(nodes: usize, orders: &'o [(u32, u32, Source)]) -> Self {
        let mut starts = vec![0u32; nodes + 1];
        for (from, ..) in orders {
            starts[*from as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        Self { starts, orders }
    }
}

impl Successors for Orders<'_> {
    fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32> {
        let at = self.starts[node as usize] + *cursor;
        *cursor += 1;
        (at < self.starts[node as usize + 1]).then(|| self.orders[at as usize].1)
    }
}
