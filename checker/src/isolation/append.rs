//! list-append: from what transactions read, who wrote what after whom.
//!
//! Kingsbury & Alvaro, "Elle: inferring isolation anomalies from experimental observations" (2020). A read of a list shows
//! the appends before it in their order. The version order of a key is its longest read; what no read holds came after
//! everything that was read. From it follow
//!
//! - `ww`: from the append of an element to that of the next, and from the last one read to each that never was,
//! - `wr`: from the append of a read's last element to the read,
//! - `rw`: from a read to the append of the element after its last one.
//!
//! Ok transactions count, and indeterminate ones: what they read if their completion says so, and what they appended, once
//! somebody has seen it, orders others. Nothing follows from a failed transaction's appends but that nobody may see them.
//!
//! Beside the graph, what needs none: `internal` and `future-read` within a transaction, `G1a`, `G1b`, `dirty-update`,
//! `lost-update`, `duplicate-elements`, `incompatible-order`, `garbage-read`, `duplicate-appends`.
//!
//! Predicates are another model's: [`super::closed_predicate`].

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Found, Reason, Settings,
    graph::{Edge, EdgeKind, Edges, NONE},
    txn_words::{list_around, list_end, the_txn},
    versions::Versions,
};
use crate::history::{History, MopKind, MopRef, Outcome, Txns};

/// What is known of each version and list.
pub(crate) struct Index<'h> {
    history: &'h History,
    versions: Versions,
    /// By version: the operation that appended it; [`NONE`]: nobody, or several.
    writer: Vec<u32>,
    /// By version.
    flags: Vec<u8>,
    /// By version: its place in the version order, from 1; 0: no read that counts holds it.
    place: Vec<u32>,
    /// By list: where its versions begin in `list_versions`.
    list_starts: Vec<u32>,
    list_versions: Vec<u32>,
    /// By list: how much of it was read by a transaction that happened, and by which first.
    longest: Vec<(u32, u32)>,
    /// Indeterminate transactions that happened.
    seen: FxHashSet<u32>,
    /// By key: where its version order begins in `order`.
    order_starts: Vec<u32>,
    order: Vec<u32>,
    /// By key: where its appends that no read holds begin in `unread`: version and appending operation.
    unread_starts: Vec<u32>,
    unread: Vec<(u32, u32)>,
}

const FAILED: u8 = 1;
const INTERMEDIATE: u8 = 2;
/// Appended more than once.
const REPEATED: u8 = 4;
/// Several of its appends may have happened.
const AMBIGUOUS: u8 = 8;
const TRIED: u8 = 16;
/// Its writer's end is indeterminate.
const IN_DOUBT: u8 = 32;

/// Whether an operation takes part, and how.
fn outcome_of(history: &History, op: u32) -> Outcome {
    history.outcome(op as usize)
}

impl<'h> Index<'h> {
    /// `None`: there is more than can be numbered.
    pub(crate) fn new(history: &'h History, settings: &Settings) -> Option<Self> {
        let txns = history.txns();
        let versions = Versions::of(txns)?;
        let mut index = Self {
            history,
            writer: vec![NONE; versions.len()],
            flags: vec![0; versions.len()],
            place: vec![0; versions.len()],
            versions,
            list_starts: Vec::new(),
            list_versions: Vec::new(),
            longest: vec![(0, NONE); txns.lists_len()],
            seen: FxHashSet::default(),
            order_starts: Vec::new(),
            order: Vec::new(),
            unread_starts: Vec::new(),
            unread: Vec::new(),
        };
        index.appends(settings);
        for list in 0..txns.lists_len() as u32 {
            let (key, list) = txns.list_at(list);
            index.list_starts.push(u32::try_from(index.list_versions.len()).ok()?);
            index.list_versions.extend(list.iter().map(|element| index.versions.get(key, *element)));
        }
        index.list_starts.push(u32::try_from(index.list_versions.len()).ok()?);
        index.reads();
        index.orders();
        index.unread_appends(settings);
        Some(index)
    }

    fn appends(&mut self, settings: &Settings) {
        let txns = self.history.txns();
        for op in 0..self.history.len() {
            if !settings.is_there(self.history, op) {
                continue;
            }
            let failed = self.history.outcome(op) == Outcome::Fail;
            let range = txns.range(op);
            for at in range.clone() {
                let (MopKind::Append, key, element) = txns.raw(at) else { continue };
                let version = self.versions.get(key, element as i64) as usize;
                let flags = self.flags[version];
                let mut new = flags | TRIED;
                if flags & TRIED != 0 {
                    new |= REPEATED;
                }
                if failed {
                    if self.writer[version] == NONE {
                        self.writer[version] = op as u32;
                        new |= FAILED;
                    }
                } else if flags & TRIED == 0 || flags & FAILED != 0 {
                    // Of a failed append and another, only the other can have happened.
                    self.writer[version] = op as u32;
                    new &= !(FAILED | INTERMEDIATE);
                    if self.history.outcome(op) == Outcome::Info {
                        new |= IN_DOUBT;
                    }
                } else {
                    new |= AMBIGUOUS;
                }
                let is_intermediate = txns.range(op).skip(at + 1 - range.start).any(|later| {
                    let (kind, other, _) = txns.raw(later);
                    kind == MopKind::Append && other == key
                });
                if is_intermediate && self.writer[version] == op as u32 {
                    new |= INTERMEDIATE;
                }
                self.flags[version] = new;
            }
        }
    }

    /// What a read tells: its list and how much of it; `None` where it tells nothing.
    fn read(&self, op: usize, at: usize) -> Option<(u32, Option<u32>, u32)> {
        let txns = self.history.txns();
        let outcome = self.history.outcome(op);
        match txns.raw(at) {
            // Whether the list was read at all is not known where the end is not.
            (MopKind::ReadNil, key, _) if outcome == Outcome::Ok => Some((key, None, 0)),
            (MopKind::Read, key, arg) if outcome != Outcome::Fail => {
                let (list, len) = Txns::list_of(arg);
                Some((key, Some(list), len))
            }
            _ => None,
        }
    }

    /// How much of each list was read by transactions that happened: those that ended ok, and of the indeterminate ones
    /// those of which another that happened read something. What the rest read, its own appends for example, is no
    /// version order: it may have been rolled back, whatever it saw.
    fn reads(&mut self) {
        let mut more: Vec<(u32, u32)> = Vec::new();
        for op in 0..self.history.len() {
            if self.history.outcome(op) == Outcome::Ok {
                self.reads_of(op, &mut more);
            }
        }
        if !(0..self.history.len()).any(|op| self.history.outcome(op) == Outcome::Info) {
            return;
        }
        let mut queue: Vec<u32> = Vec::new();
        for list in 0..self.longest.len() {
            self.see(list as u32, 0, &mut queue);
        }
        while let Some(op) = queue.pop() {
            self.reads_of(op as usize, &mut more);
            for (list, before) in &more {
                self.see(*list, *before, &mut queue);
            }
        }
    }

    /// Notes what a transaction read. `more`: the lists of which it read more than others had, and how much that was.
    fn reads_of(&mut self, op: usize, more: &mut Vec<(u32, u32)>) {
        more.clear();
        for at in self.history.txns().range(op) {
            if let Some((_, Some(list), len)) = self.read(op, at) {
                let longest = &mut self.longest[list as usize];
                if longest.0 < len {
                    more.push((list, longest.0));
                    *longest = (len, op as u32);
                }
            }
        }
    }

    /// Who appended what a list holds past `before` happened. Gives the indeterminate ones of which that is new.
    fn see(&mut self, list: u32, before: u32, queue: &mut Vec<u32>) {
        let start = self.list_starts[list as usize] as usize;
        for at in before as usize..self.longest[list as usize].0 as usize {
            let version = self.list_versions[start + at];
            // Most writers ended ok: their outcome, elsewhere in memory, need not be looked up.
            if self.flags[version as usize] & IN_DOUBT != 0
                && let Some(writer) = self.writer_of(version)
                && self.seen.insert(writer)
            {
                queue.push(writer);
            }
        }
    }

    /// The version order of each key: its longest read.
    fn orders(&mut self) {
        let txns = self.history.txns();
        let mut longest: Vec<u32> = vec![NONE; txns.keys_len()];
        for list in 0..txns.lists_len() as u32 {
            let best = &mut longest[txns.list_at(list).0 as usize];
            let len = |list: u32| self.longest.get(list as usize).map_or(0, |(len, _)| *len);
            if len(list) >= len(*best) && len(list) > 0 {
                *best = list;
            }
        }
        for list in longest {
            self.order_starts.push(self.order.len() as u32);
            let Some((len, _)) = self.longest.get(list as usize) else { continue };
            let start = self.list_starts[list as usize] as usize;
            for at in start..start + *len as usize {
                let version = self.list_versions[at];
                // An element that comes twice counts where it came first.
                if self.place[version as usize] == 0 {
                    self.order.push(version);
                    let start = self.order_starts.last().copied().unwrap_or(0);
                    self.place[version as usize] = self.order.len() as u32 - start;
                }
            }
        }
        self.order_starts.push(self.order.len() as u32);
    }

    fn order_of(&self, key: u32) -> &[u32] {
        &self.order[self.order_starts[key as usize] as usize..self.order_starts[key as usize + 1] as usize]
    }

    fn unread_of(&self, key: u32) -> &[(u32, u32)] {
        &self.unread[self.unread_starts[key as usize] as usize..self.unread_starts[key as usize + 1] as usize]
    }

    fn unread_appends(&mut self, settings: &Settings) {
        let txns = self.history.txns();
        let mut starts = vec![0u32; txns.keys_len() + 1];
        let each = |index: &Self, visit: &mut dyn FnMut(u32, u32, u32)| {
            for op in 0..index.history.len() {
                if !index.happened(op) || !settings.is_there(index.history, op) {
                    continue;
                }
                for at in txns.range(op) {
                    if let (MopKind::Append, key, element) = txns.raw(at) {
                        let version = index.versions.get(key, element as i64);
                        if index.place[version as usize] == 0 {
                            visit(key, version, op as u32);
                        }
                    }
                }
            }
        };
        each(self, &mut |key, _, _| starts[key as usize + 1] += 1);
        for key in 0..txns.keys_len() {
            starts[key + 1] += starts[key];
        }
        let mut unread = vec![(0, 0); starts[txns.keys_len()] as usize];
        let mut at = starts.clone();
        each(self, &mut |key, version, op| {
            unread[at[key as usize] as usize] = (version, op);
            at[key as usize] += 1;
        });
        self.unread_starts = starts;
        self.unread = unread;
    }

    /// Who certainly or perhaps appended it; nobody whose append failed, or who is one of several.
    fn writer_of(&self, version: u32) -> Option<u32> {
        let writer = self.writer[version as usize];
        (writer != NONE && self.flags[version as usize] & (FAILED | AMBIGUOUS) == 0).then_some(writer)
    }

    /// The last version that a read holds, `None` for an empty list.
    fn last_version(&self, list: Option<u32>, len: u32) -> Option<u32> {
        let start = self.list_starts[list? as usize];
        len.checked_sub(1).map(|last| self.list_versions[(start + last) as usize])
    }

    /// All edges between transactions that data makes.
    pub(crate) fn edges(&self, edges_max: usize) -> Edges {
        let mut edges = Edges::new(self.history.len(), edges_max);
        let txns = self.history.txns();
        for key in 0..txns.keys_len() as u32 {
            let order = self.order_of(key);
            for pair in order.windows(2) {
                if let (Some(first), Some(second)) = (self.writer_of(pair[0]), self.writer_of(pair[1])) {
                    edges.push(first, second, EdgeKind::Ww);
                }
            }
            if let Some(last) = order.last().and_then(|last| self.writer_of(*last)) {
                for (_, op) in self.unread_of(key) {
                    edges.push(last, *op, EdgeKind::Ww);
                }
            }
        }
        // Who read the last version of a key that has appends which no read holds.
        let mut last_readers: Vec<(u32, u32)> = Vec::new();
        for op in (0..self.history.len()).filter(|op| self.happened(*op)) {
            for at in txns.range(op) {
                let Some((key, list, len)) = self.read(op, at) else { continue };
                let last = self.last_version(list, len);
                if let Some(writer) = last.and_then(|last| self.writer_of(last)) {
                    edges.push(writer, op as u32, EdgeKind::Wr);
                }
                match self.next(key, last) {
                    Next::Version(next) => {
                        if let Some(writer) = self.writer_of(next) {
                            edges.push(op as u32, writer, EdgeKind::Rw);
                        }
                    }
                    Next::Unread if self.unread_of(key).is_empty() => {}
                    Next::Unread => last_readers.push((key, op as u32)),
                    Next::Unknown => {}
                }
            }
        }
        last_readers.sort_unstable();
        for readers in last_readers.chunk_by(|one, other| one.0 == other.0) {
            let key = readers[0].0;
            let readers: Vec<u32> = readers.iter().map(|(_, op)| *op).collect();
            let writers: Vec<u32> = self.unread_of(key).iter().map(|(_, op)| *op).collect();
            edges.push_all(&readers, &writers, EdgeKind::Rw);
        }
        edges
    }

    /// What came after a version; `None`: after the initial state.
    fn next(&self, key: u32, version: Option<u32>) -> Next {
        let place = match version {
            None => 0,
            // Of an element that several appended it is not told whose this is. (Where all but one failed, it is.)
            Some(version) if self.flags[version as usize] & AMBIGUOUS != 0 => return Next::Unknown,
            Some(version) => match self.place[version as usize] {
                0 => return Next::Unknown,
                place => place,
            },
        };
        self.order_of(key).get(place as usize).map_or(Next::Unread, |next| Next::Version(*next))
    }

    /// Why this edge is there, in words.
    pub(crate) fn why(&self, (from, to, kind): Edge, names: [&str; 2]) -> Option<Reason> {
        let [a, b] = names;
        let txns = self.history.txns();
        let reason = |key, mops, text| Some(Reason { text, of: Some((key, mops)) });
        let spell = |value: i64| self.history.spell(value);
        match kind {
            EdgeKind::Ww => txns.range(to as usize).find_map(|at| {
                let (MopKind::Append, key, element) = txns.raw(at) else { return None };
                let version = self.versions.get(key, element as i64);
                let place = self.place[version as usize] as usize;
                // An element that several appended is nobody's, and tells nothing.
                let is_its = if place == 0 {
                    self.unread_of(key).contains(&(version, to))
                } else {
                    self.writer_of(version) == Some(to)
                };
                if !is_its {
                    return None;
                }
                let order = self.order_of(key);
                let previous = if place == 0 { order.last() } else { order.get(place.checked_sub(2)?) };
                let previous = *previous.filter(|previous| self.writer_of(**previous) == Some(from))?;
                let (before_at, before) = self.append_of(from, key, previous)?;
                let (key_name, element) = (spell(txns.key(key)), spell(element as i64));
                let text = if place == 0 {
                    format!(
                        "{b} appended {element} to key {key_name}, which no read holds, and so after {a}'s {}, the last \
                         element read",
                        spell(before)
                    )
                } else {
                    let read = self.witness(key, place);
                    format!("{b} appended {element} to key {key_name} after {a}'s {}{read}", spell(before))
                };
                reason(key, [before_at, at], text)
            }),
            EdgeKind::Wr => txns.range(to as usize).find_map(|at| {
                let (key, list, len) = self.read(to as usize, at)?;
                let last = self.last_version(list, len).filter(|last| self.writer_of(*last) == Some(from))?;
                let (append_at, element) = self.append_of(from, key, last)?;
                let list = self.list(list, len);
                let text = format!(
                    "{b} read key {} as {}, whose last element {} is {a}'s",
                    spell(txns.key(key)),
                    list_end(self.history, list),
                    spell(element)
                );
                reason(key, [append_at, at], text)
            }),
            EdgeKind::Rw => txns.range(from as usize).find_map(|at| {
                let (key, list, len) = self.read(from as usize, at)?;
                let read = list_end(self.history, self.list(list, len));
                let key_name = spell(txns.key(key));
                match self.next(key, self.last_version(list, len)) {
                    Next::Version(next) if self.writer_of(next) == Some(to) => {
                        let witness = self.witness(key, self.place[next as usize] as usize);
                        let (append_at, element) = self.append_of(to, key, next)?;
                        let element = spell(element);
                        let text =
                            format!("{a} read key {key_name} as {read}, and {b} appended the next, {element}{witness}");
                        reason(key, [at, append_at], text)
                    }
                    Next::Unread => {
                        let (version, _) = self.unread_of(key).iter().find(|(_, op)| *op == to)?;
                        let (append_at, element) = self.append_of(to, key, *version)?;
                        let element = spell(element);
                        let text = format!(
                            "{a} read key {key_name} as {read}, without {b}'s {element}, which no read holds and so came \
                             after all that was read"
                        );
                        reason(key, [at, append_at], text)
                    }
                    _ => None,
                }
            }),
            EdgeKind::Wrp | EdgeKind::Rwp | EdgeKind::Process | EdgeKind::Realtime => None,
        }
    }

    /// Whether a transaction certainly happened. What another may have read and appended closes no cycle.
    fn happened(&self, op: usize) -> bool {
        match self.history.outcome(op) {
            Outcome::Ok => true,
            Outcome::Info => self.is_seen(op as u32),
            Outcome::Fail => false,
        }
    }

    /// Whether an indeterminate transaction happened: another that did read one of its appends.
    pub(crate) fn is_seen(&self, op: u32) -> bool {
        self.seen.contains(&op)
    }

    fn list(&self, list: Option<u32>, len: u32) -> &[i64] {
        list.map_or(&[], |list| &self.history.txns().list_at(list).1[..len as usize])
    }

    /// The append by which an operation made a version: its place among all micro-operations, and the element.
    fn append_of(&self, op: u32, key: u32, version: u32) -> Option<(usize, i64)> {
        let txns = self.history.txns();
        txns.range(op as usize).find_map(|at| match txns.raw(at) {
            (MopKind::Append, other, element) if other == key && self.versions.get(key, element as i64) == version => {
                Some((at, element as i64))
            }
            _ => None,
        })
    }

    /// `, as T's read of event 9 shows: [… 5 7]`.
    fn witness(&self, key: u32, place: usize) -> String {
        let txns = self.history.txns();
        let lists = (0..txns.lists_len() as u32).filter(|list| txns.list_at(*list).0 == key);
        let Some(list) = lists.max_by_key(|list| (self.longest[*list as usize].0, std::cmp::Reverse(*list))) else {
            return String::new();
        };
        let (len, reader) = self.longest[list as usize];
        let read = &txns.list_at(list).1[..len as usize];
        let around = list_around(self.history, read, place.saturating_sub(1));
        self.history.op(reader as usize).map_or_else(String::new, |op| format!(", as {} read {around}", the_txn(&op)))
    }

    /// The anomalies that need no graph.
    pub(crate) fn phenomena(&self, found: &mut Found, settings: &Settings) {
        self.lists(found, settings);
        self.transactions(found);
        if !settings.elle {
            self.own_orders(found);
        }
        self.dirty_updates(found, settings);
        self.lost_updates(found);
        for op in 0..self.history.len() {
            if !settings.is_there(self.history, op) {
                continue;
            }
            for at in self.history.txns().range(op) {
                if let (MopKind::Append, key, element) = self.history.txns().raw(at) {
                    let version = self.versions.get(key, element as i64) as usize;
                    if self.flags[version] & REPEATED != 0 {
                        found.add(self.history, "duplicate-appends", &[op as u32], || {
                            format!(
                                "{} appended {} to key {}, which was appended more than once: whose it is cannot be told",
                                self.txn(op as u32),
                                self.history.spell(element as i64),
                                self.history.spell(self.history.txns().key(key))
                            )
                        });
                    }
                }
            }
        }
    }

    fn txn(&self, op: u32) -> String {
        self.history.op(op as usize).map_or_else(String::new, |op| the_txn(&op))
    }

    /// Of each list: duplicates, aborted and garbage elements; of each key: lists that fit into no one order.
    fn lists(&self, found: &mut Found, settings: &Settings) {
        let txns = self.history.txns();
        let lists = txns.lists_len();
        // By list: how long a read must be to hold one.
        let mut duplicate = vec![NONE; lists];
        let mut failed = vec![NONE; lists];
        let mut garbage = vec![NONE; lists];
        let mut seen = vec![NONE; self.versions.len()];
        for list in 0..lists {
            let range = self.list_starts[list] as usize..self.list_starts[list + 1] as usize;
            for (at, version) in self.list_versions[range].iter().enumerate() {
                let (len, flags) = (at as u32 + 1, self.flags[*version as usize]);
                if std::mem::replace(&mut seen[*version as usize], list as u32) == list as u32 && flags & REPEATED == 0
                {
                    duplicate[list] = duplicate[list].min(len);
                }
                if flags & FAILED != 0 {
                    failed[list] = failed[list].min(len);
                }
                if flags & TRIED == 0 && !settings.elle {
                    garbage[list] = garbage[list].min(len);
                }
            }
        }
        drop(seen);
        if [&duplicate, &failed, &garbage].iter().any(|of| of.iter().any(|len| *len != NONE)) {
            self.bad_reads(found, &duplicate, &failed, &garbage);
        }
        let mut longest: Vec<u32> = vec![NONE; txns.keys_len()];
        let len = |list: u32| self.longest.get(list as usize).map_or(0, |(len, _)| *len);
        for list in 0..lists as u32 {
            let best = &mut longest[txns.list_at(list).0 as usize];
            if len(list) >= len(*best) && len(list) > 0 {
                *best = list;
            }
        }
        for list in 0..lists as u32 {
            let (key, elements) = txns.list_at(list);
            let best = longest[key as usize];
            if best == list || best == NONE || len(list) == 0 {
                continue;
            }
            let (read, order) = (&elements[..len(list) as usize], &txns.list_at(best).1[..len(best) as usize]);
            if order.starts_with(read) {
                continue;
            }
            let ops = [self.longest[list as usize].1, self.longest[best as usize].1];
            found.add(self.history, "incompatible-order", &ops, || {
                let at = read.iter().zip(order).take_while(|(left, right)| left == right).count();
                format!(
                    "Key {} was read as {} by {} and as {} by {}: no order of its appends gives both",
                    self.history.spell(txns.key(key)),
                    list_around(self.history, read, at),
                    self.txn(ops[0]),
                    list_around(self.history, order, at),
                    self.txn(ops[1])
                )
            });
        }
    }

    fn bad_reads(&self, found: &mut Found, duplicate: &[u32], failed: &[u32], garbage: &[u32]) {
        let txns = self.history.txns();
        for op in (0..self.history.len()).filter(|op| self.happened(*op)) {
            let is_ok = self.history.outcome(op) == Outcome::Ok;
            for at in txns.range(op) {
                let Some((key, Some(list), len)) = self.read(op, at) else { continue };
                let holds = |of: &[u32]| of[list as usize] <= len;
                let element = |of: &[u32]| txns.list_at(list).1[of[list as usize] as usize - 1];
                let read = || {
                    let key = self.history.spell(txns.key(key));
                    format!(
                        "{} read key {key} as {}",
                        self.txn(op as u32),
                        list_end(self.history, self.list(Some(list), len))
                    )
                };
                if holds(duplicate) {
                    found.add(self.history, "duplicate-elements", &[op as u32], || {
                        format!("{}, with element {} twice", read(), self.history.spell(element(duplicate)))
                    });
                }
                if is_ok && holds(failed) {
                    let writer = self.writer[self.versions.get(key, element(failed)) as usize];
                    found.add(self.history, "G1a", &[writer, op as u32], || {
                        let element = self.history.spell(element(failed));
                        format!("{}, with element {element} of {}, which failed", read(), self.txn(writer))
                    });
                }
                if holds(garbage) {
                    found.add(self.history, "garbage-read", &[op as u32], || {
                        let element = self.history.spell(element(garbage));
                        format!("{}, with element {element}, which nobody ever tried to append", read())
                    });
                }
            }
        }
    }

    /// `internal` and `future-read` within, `G1b` between transactions.
    fn transactions(&self, found: &mut Found) {
        let txns = self.history.txns();
        for op in 0..self.history.len() {
            if self.history.outcome(op) != Outcome::Ok {
                continue;
            }
            let range = txns.range(op);
            for at in range.clone() {
                let (kind, key, arg) = txns.raw(at);
                let earlier = || range.start..at;
                let same_key = |at: &usize| txns.raw(*at).1 == key;
                if kind == MopKind::Append {
                    let holds = |at: usize| match txns.mop(at) {
                        MopRef::Read { list: Some(list), .. } => list.contains(&(arg as i64)),
                        _ => false,
                    };
                    let is_ambiguous = self.flags[self.versions.get(key, arg as i64) as usize] & AMBIGUOUS != 0;
                    if !is_ambiguous && earlier().filter(same_key).any(holds) {
                        found.add(self.history, "future-read", &[op as u32], || {
                            format!(
                                "{} read element {} of key {} before it appended it",
                                self.txn(op as u32),
                                self.history.spell(arg as i64),
                                self.history.spell(txns.key(key))
                            )
                        });
                    }
                    continue;
                }
                let Some((_, list, len)) = self.read(op, at) else { continue };
                if let Some(last) = self.last_version(list, len)
                    && self.flags[last as usize] & INTERMEDIATE != 0
                    // Of an element that another appended, too, it may be the other's.
                    && self.flags[last as usize] & AMBIGUOUS == 0
                    && self.writer[last as usize] != op as u32
                {
                    let writer = self.writer[last as usize];
                    found.add(self.history, "G1b", &[writer, op as u32], || {
                        format!(
                            "{} read key {} as {}, whose last element {} overwrote itself later",
                            self.txn(op as u32),
                            self.history.spell(txns.key(key)),
                            list_end(self.history, self.list(list, len)),
                            self.txn(writer)
                        )
                    });
                }
                if earlier().any(|at| same_key(&at)) {
                    self.internal(found, op, range.start, at);
                }
            }
        }
    }

    /// Whether a read agrees with what its own transaction knew of the key.
    fn internal(&self, found: &mut Found, op: usize, start: usize, at: usize) {
        let txns = self.history.txns();
        let key = txns.raw(at).1;
        let mut known: Option<&[i64]> = None;
        let mut own: Vec<i64> = Vec::new();
        for earlier in (start..at).filter(|earlier| txns.raw(*earlier).1 == key) {
            match txns.mop(earlier) {
                MopRef::Append { element, .. } => own.push(element),
                MopRef::Read { list, .. } => {
                    known = Some(list.unwrap_or_default());
                    own.clear();
                }
                _ => {}
            }
        }
        let MopRef::Read { list, .. } = txns.mop(at) else { return };
        let list = list.unwrap_or_default();
        let agrees = match known {
            Some(known) => list.strip_prefix(known).is_some_and(|rest| rest == own),
            None => list.ends_with(&own),
        };
        if !agrees {
            found.add(self.history, "internal", &[op as u32], || {
                let expected = [known.unwrap_or_default(), &own].concat();
                let end = if known.is_some() { "" } else { "a list that ends with " };
                format!(
                    "{} read key {} as {}, though by its own reads and appends before it must be {end}{}",
                    self.txn(op as u32),
                    self.history.spell(txns.key(key)),
                    list_end(self.history, list),
                    list_end(self.history, &expected)
                )
            });
        }
    }

    /// A transaction's appends in another order than its own. No other transaction is needed for that, so it is no edge.
    fn own_orders(&self, found: &mut Found) {
        let txns = self.history.txns();
        for op in 0..self.history.len() {
            let range = txns.range(op);
            for at in range.clone() {
                let (MopKind::Append, key, element) = txns.raw(at) else { continue };
                let place = |element: u64| {
                    let version = self.versions.get(key, element as i64);
                    (self.writer_of(version) == Some(op as u32)).then(|| self.place[version as usize])
                };
                let next = (at + 1..range.end).find_map(|later| match txns.raw(later) {
                    (MopKind::Append, other, next) if other == key => Some(next),
                    _ => None,
                });
                let Some(next) = next else { continue };
                if let (Some(before), Some(after)) = (place(element), place(next))
                    && after > 0
                    && (before == 0 || before > after)
                {
                    found.add(self.history, "incompatible-order", &[op as u32], || {
                        format!(
                            "{} appended {} to key {} and then {}, which was read before it",
                            self.txn(op as u32),
                            self.history.spell(element as i64),
                            self.history.spell(txns.key(key)),
                            self.history.spell(next as i64)
                        )
                    });
                }
            }
        }
    }

    /// A committed append on top of one that failed.
    fn dirty_updates(&self, found: &mut Found, settings: &Settings) {
        if !settings.elle && !self.flags.iter().any(|flags| flags & FAILED != 0) {
            return;
        }
        for key in 0..self.history.txns().keys_len() as u32 {
            let mut failed: Option<u32> = None;
            for version in self.order_of(key) {
                let writer = self.writer[*version as usize];
                // Only here Elle stumbles over an element that is nobody's.
                if settings.elle && self.flags[*version as usize] & TRIED == 0 {
                    found.add(self.history, "garbage-read", &[], || {
                        format!(
                            "key {} was read with an element that nobody ever tried to append",
                            self.history.spell(self.history.txns().key(key))
                        )
                    });
                }
                if writer == NONE || self.flags[*version as usize] & AMBIGUOUS != 0 {
                    continue;
                }
                match outcome_of(self.history, writer) {
                    Outcome::Fail => failed = failed.or(Some(writer)),
                    Outcome::Info => {}
                    Outcome::Ok => {
                        if let Some(failed) = failed.take() {
                            found.add(self.history, "dirty-update", &[failed, writer], || {
                                format!(
                                    "{} appended to key {} on top of what {} had appended, which failed",
                                    self.txn(writer),
                                    self.history.spell(self.history.txns().key(key)),
                                    self.txn(failed)
                                )
                            });
                        }
                    }
                }
            }
        }
    }

    /// Two ok transactions whose first read of a key is the same and which both append to it afterwards.
    fn lost_updates(&self, found: &mut Found) {
        let txns = self.history.txns();
        // By version that was read, and by key for the initial state: who updated it first.
        let mut updated = vec![NONE; self.versions.len()];
        let mut created = vec![NONE; txns.keys_len()];
        // Reads that end alike and are yet not the same.
        let mut others: FxHashMap<(u32, &[i64]), u32> = FxHashMap::default();
        for op in 0..self.history.len() {
            if self.history.outcome(op) != Outcome::Ok {
                continue;
            }
            let range = txns.range(op);
            for at in range.clone() {
                let Some((key, list, len)) = self.read(op, at) else { continue };
                let is_of_key = |at: usize, read: bool| {
                    let (kind, other, _) = txns.raw(at);
                    other == key && (kind == MopKind::Append) != read
                };
                if (range.start..at).any(|at| is_of_key(at, true))
                    || !(at + 1..range.end).any(|at| is_of_key(at, false))
                {
                    continue;
                }
                let read = self.list(list, len);
                let first = match self.last_version(list, len) {
                    None => &mut created[key as usize],
                    Some(last) => &mut updated[last as usize],
                };
                if *first == NONE {
                    *first = op as u32;
                    continue;
                }
                let mut first = *first;
                let same = |first: u32| {
                    let first_read = txns.range(first as usize).find(|at| {
                        let (kind, other, _) = txns.raw(*at);
                        other == key && kind != MopKind::Append
                    });
                    first_read.is_some_and(|at| match txns.mop(at) {
                        MopRef::Read { list, .. } => list.unwrap_or_default() == read,
                        _ => false,
                    })
                };
                if !same(first) {
                    match others.get(&(key, read)) {
                        Some(other) => first = *other,
                        None => {
                            others.insert((key, read), op as u32);
                            continue;
                        }
                    }
                }
                found.add(self.history, "lost-update", &[first, op as u32], || {
                    format!(
                        "{} and {} both read key {} as {} and then appended to it",
                        self.txn(first),
                        self.txn(op as u32),
                        self.history.spell(txns.key(key)),
                        list_end(self.history, read)
                    )
                });
            }
        }
    }
}

enum Next {
    Version(u32),
    /// Nothing that was read: whatever never was.
    Unread,
    Unknown,
}
