//! The micro-operations of all transactions, in columns.
//!
//! Twelve bytes a micro-operation, whatever it read: a list is kept once per key, and a read of its beginning is a length.
//! Reads of one key are nearly always prefixes of one another (where they are not, the database is at fault), so a
//! history of a million transactions is a few dozen megabytes instead of all its lists one by one.

use rustc_hash::FxHashMap;

use super::{F, Mop, Predicate, Value};

/// What transactions of a workload do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TxnKind {
    /// `[:append key element]` and `[:r key list]`.
    ListAppend,
    /// `[:w key value]` and `[:r key value]`.
    RwRegister,
    /// `[:insert key value]`, `[:w key value]`, `[:delete key]`, `[:r key value]` and `[:rp predicate rows]`.
    ClosedPredicate,
}

impl TxnKind {
    pub(crate) fn of(workload: &str) -> Option<Self> {
        match workload {
            "list-append" => Some(Self::ListAppend),
            "rw-register" => Some(Self::RwRegister),
            "closed-predicate" => Some(Self::ClosedPredicate),
            _ => None,
        }
    }

    /// Whether operations of this kind are transactions: `txn`, or the one that a universe begins with.
    pub(crate) fn is_txn(self, f: &F) -> bool {
        *f == F::Txn || (self == Self::ClosedPredicate && f.name() == Self::INIT)
    }

    /// What inserts the rows that a universe of closed predicates begins with.
    pub(crate) const INIT: &str = "init";

    pub(super) const fn complaint(self) -> &'static str {
        match self {
            Self::ListAppend => {
                "the value of a txn must be a list of [\"append\", key, element] and [\"r\", key, list or null]"
            }
            Self::RwRegister => {
                "the value of a txn must be a list of [\"w\", key, value] and [\"r\", key, value or null]"
            }
            Self::ClosedPredicate => {
                "the value must be a list of [\"insert\", key, integer], [\"w\", key, integer], [\"delete\", key], \
                 [\"r\", key, integer or null] and [\"rp\", \"true\" or [\"=\", integer] or [\"mod\", modulus, remainder], \
                 [[key, integer], …] or null], or [universe, that list]"
            }
        }
    }
}

/// A micro-operation of a transaction, as it lies in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MopRef<'h> {
    /// `["append", key, element]`
    Append {
        /// The list's key.
        key: i64,
        /// The element, unique per key.
        element: i64,
    },
    /// `["r", key, [1, 2]]`; `None` where it was not read or the key did not exist (`["r", key, null]`).
    Read {
        /// The list's key.
        key: i64,
        /// The whole list in order.
        list: Option<&'h [i64]>,
    },
    /// `["w", key, 5]`
    Write {
        /// The register's key.
        key: i64,
        /// The value, unique per key.
        value: i64,
    },
    /// `["r", key, 5]` of a register; `None` where it was not read or never written.
    Get {
        /// The register's key.
        key: i64,
        /// The value.
        value: Option<i64>,
    },
    /// `["insert", key, 5]`: a row that was not there.
    Insert {
        /// The row's key.
        key: i64,
        /// Its value.
        value: i64,
    },
    /// `["delete", key]`
    Delete {
        /// The row's key.
        key: i64,
    },
    /// `["rp", ["=", 5], [[key, 5], …]]`: a read by predicate.
    Select {
        /// What it asked for.
        predicate: Predicate,
        /// The keys and values that it got, by key; `None` where it was not read.
        rows: Option<&'h [(i64, i64)]>,
    },
}

/// What a micro-operation is, beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum MopKind {
    Append = 0,
    ReadNil = 1,
    Read = 2,
    Write = 3,
    GetNil = 4,
    Get = 5,
    Insert = 6,
    Delete = 7,
    /// It has a universe in the place of a key.
    Select = 8,
}

const KIND_SHIFT: u32 = 28;
/// Keys are numbered in the bits below the kind.
const KEYS_MAX: usize = 1 << KIND_SHIFT;
const NONE_U32: u32 = u32::MAX;

/// One transaction while it is read; reused for the next.
#[derive(Debug, Default)]
pub(crate) struct TxnBuffer {
    mops: Vec<Buffered>,
    /// The lists of all reads, one after the other.
    elements: Vec<i64>,
    /// The rows of all reads by predicate.
    rows: Vec<(i64, i64)>,
    /// The universe that its keys are of, where there is more than one.
    universe: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
enum Buffered {
    Append {
        key: i64,
        element: i64,
    },
    /// The range of its elements.
    Read {
        key: i64,
        list: Option<(usize, usize)>,
    },
    Write {
        key: i64,
        value: i64,
    },
    Get {
        key: i64,
        value: Option<i64>,
    },
    Insert {
        key: i64,
        value: i64,
    },
    Delete {
        key: i64,
    },
    /// The range of its rows.
    Select {
        predicate: Predicate,
        rows: Option<(usize, usize)>,
    },
}

impl TxnBuffer {
    pub(super) fn mops(&self) -> impl Iterator<Item = MopRef<'_>> {
        self.mops.iter().map(|mop| match *mop {
            Buffered::Append { key, element } => MopRef::Append { key, element },
            Buffered::Read { key, list } => {
                MopRef::Read { key, list: list.map(|(start, end)| &self.elements[start..end]) }
            }
            Buffered::Write { key, value } => MopRef::Write { key, value },
            Buffered::Get { key, value } => MopRef::Get { key, value },
            Buffered::Insert { key, value } => MopRef::Insert { key, value },
            Buffered::Delete { key } => MopRef::Delete { key },
            Buffered::Select { predicate, rows } => {
                MopRef::Select { predicate, rows: rows.map(|(start, end)| &self.rows[start..end]) }
            }
        })
    }

    pub(super) const fn universe(&self) -> Option<i64> {
        self.universe
    }

    pub(super) fn clear(&mut self) {
        self.mops.clear();
        self.elements.clear();
        self.rows.clear();
        self.universe = None;
    }

    pub(super) fn append(&mut self, key: i64, element: i64) {
        self.mops.push(Buffered::Append { key, element });
    }

    pub(super) fn write(&mut self, key: i64, value: i64) {
        self.mops.push(Buffered::Write { key, value });
    }

    pub(super) fn get(&mut self, key: i64, value: Option<i64>) {
        self.mops.push(Buffered::Get { key, value });
    }

    pub(super) fn read_nil(&mut self, key: i64) {
        self.mops.push(Buffered::Read { key, list: None });
    }

    /// A read whose elements follow with [`TxnBuffer::element`] up to [`TxnBuffer::end_list`].
    pub(super) fn element(&mut self, element: i64) {
        self.elements.push(element);
    }

    pub(super) fn elements_len(&self) -> usize {
        self.elements.len()
    }

    pub(super) fn end_list(&mut self, key: i64, start: usize) {
        self.mops.push(Buffered::Read { key, list: Some((start, self.elements.len())) });
    }

    /// The transaction that a value spells, with `int_of` for what is an integer or is given one's place.
    ///
    /// Gives false where it spells none.
    pub(super) fn fill(&mut self, kind: TxnKind, value: &Value, mut int_of: impl FnMut(&Value) -> i64) -> bool {
        self.clear();
        if kind == TxnKind::ClosedPredicate {
            return self.fill_universe(value, &mut int_of);
        }
        if let Value::Txn(mops) = value {
            return mops.iter().all(|mop| match (kind, mop) {
                (TxnKind::ListAppend, Mop::Append { key, element }) => {
                    self.append(int_of(&Value::Int(*key)), int_of(&Value::Int(*element)));
                    true
                }
                (TxnKind::ListAppend, Mop::Read { key, list: Some(list) }) => {
                    let start = self.elements.len();
                    self.elements.extend(list.iter().map(|element| int_of(&Value::Int(*element))));
                    self.end_list(int_of(&Value::Int(*key)), start);
                    true
                }
                (TxnKind::ListAppend, Mop::Read { key, list: None }) => {
                    self.read_nil(int_of(&Value::Int(*key)));
                    true
                }
                (TxnKind::RwRegister, Mop::Read { key, list: None }) => {
                    self.get(int_of(&Value::Int(*key)), None);
                    true
                }
                (TxnKind::RwRegister | TxnKind::ClosedPredicate, _) => false,
            });
        }
        let Some(items) = items(value) else { return false };
        items.iter().all(|item| self.fill_mop(kind, item, &mut int_of))
    }

    /// `[mop, …]`, `[universe, [mop, …]]`, or either with a map of rows to insert in the place of the list.
    fn fill_universe(&mut self, value: &Value, int_of: &mut impl FnMut(&Value) -> i64) -> bool {
        let parts = items(value);
        let (universe, value) = match parts.as_deref() {
            Some([universe @ (Value::Int(_) | Value::Other(_)), rest]) if items(universe).is_none() => {
                (Some(int_of(universe)), rest)
            }
            _ => (None, value),
        };
        let filled = match (value, items(value)) {
            (Value::Other(_), _) => rows_of(value, int_of).is_some_and(|rows| {
                self.mops.extend(rows.into_iter().map(|(key, value)| Buffered::Insert { key, value }));
                true
            }),
            (_, Some(items)) => items.iter().all(|item| self.fill_row_mop(item, int_of)),
            _ => false,
        };
        self.universe = universe;
        filled
    }

    fn fill_row_mop(&mut self, value: &Value, int_of: &mut impl FnMut(&Value) -> i64) -> bool {
        let Some(parts) = items(value) else { return false };
        let [Value::Other(word), first, rest @ ..] = &parts[..] else { return false };
        let word = word.as_str().unwrap_or_default();
        let mop = match (word.strip_prefix(':').unwrap_or(word), rest) {
            ("rp", rest) => {
                let Some(predicate) = Predicate::of(first) else { return false };
                let rows = match rest {
                    [] | [Value::Nil] => None,
                    [rows] => match rows_of(rows, int_of) {
                        Some(rows) => Some(rows),
                        None => return false,
                    },
                    _ => return false,
                };
                let rows = rows.map(|mut rows| {
                    rows.sort_unstable();
                    let start = self.rows.len();
                    self.rows.append(&mut rows);
                    (start, self.rows.len())
                });
                Buffered::Select { predicate, rows }
            }
            ("insert", [Value::Int(value)]) => Buffered::Insert { key: key_of(first, int_of), value: *value },
            ("w", [Value::Int(value)]) => Buffered::Write { key: key_of(first, int_of), value: *value },
            ("delete", [] | [Value::Nil]) => Buffered::Delete { key: key_of(first, int_of) },
            ("r", [] | [Value::Nil]) => Buffered::Get { key: key_of(first, int_of), value: None },
            ("r", [Value::Int(value)]) => Buffered::Get { key: key_of(first, int_of), value: Some(*value) },
            _ => return false,
        };
        self.mops.push(mop);
        true
    }

    fn fill_mop(&mut self, kind: TxnKind, value: &Value, int_of: &mut impl FnMut(&Value) -> i64) -> bool {
        let Some(parts) = items(value) else { return false };
        let [Value::Other(word), key, rest @ ..] = &parts[..] else { return false };
        let word = word.as_str().unwrap_or_default();
        match (kind, word.strip_prefix(':').unwrap_or(word), rest) {
            (TxnKind::ListAppend, "append", [element]) => {
                let key = int_of(key);
                self.append(key, int_of(element));
            }
            (TxnKind::ListAppend, "r", [] | [Value::Nil]) => self.read_nil(int_of(key)),
            (TxnKind::ListAppend, "r", [list]) => {
                let Some(list) = items(list) else { return false };
                let key = int_of(key);
                let start = self.elements.len();
                for element in &list {
                    self.elements.push(int_of(element));
                }
                self.end_list(key, start);
            }
            (TxnKind::RwRegister, "w", [value]) if *value != Value::Nil => {
                let key = int_of(key);
                self.write(key, int_of(value));
            }
            (TxnKind::RwRegister, "r", [] | [Value::Nil]) => self.get(int_of(key), None),
            (TxnKind::RwRegister, "r", [value]) => {
                let key = int_of(key);
                self.get(key, Some(int_of(value)));
            }
            _ => return false,
        }
        true
    }
}

/// The number of a row's key. In a map of EDN keywords have lost their colon, so it does not count.
fn key_of(key: &Value, int_of: &mut impl FnMut(&Value) -> i64) -> i64 {
    match key {
        Value::Other(json) => match json.as_str().and_then(|word| word.strip_prefix(':')) {
            Some(word) => int_of(&Value::Other(Box::new(word.into()))),
            None => int_of(key),
        },
        _ => int_of(key),
    }
}

/// Rows: a map of keys to values, or a list of pairs.
fn rows_of(value: &Value, int_of: &mut impl FnMut(&Value) -> i64) -> Option<Vec<(i64, i64)>> {
    if let Value::Other(json) = value {
        let row = |(key, value): (&String, &serde_json::Value)| {
            // Names that are numbers are told from texts by their quotes.
            let number = key.parse().ok().filter(|number: &i64| number.to_string() == *key);
            let key = number.map_or_else(|| Value::Other(Box::new(key.as_str().into())), Value::Int);
            Some((key_of(&key, int_of), value.as_i64()?))
        };
        return json.as_object()?.iter().map(row).collect();
    }
    let row = |pair: &Value| match &items(pair)?[..] {
        [key, Value::Int(value)] => Some((key_of(key, int_of), *value)),
        _ => None,
    };
    items(value)?.iter().map(row).collect()
}

/// A transaction as a value, of which symbols are given as their texts; `universe`: what its keys are of.
pub(super) fn txn_value<'h, 's>(
    universe: Option<i64>,
    mops: impl Iterator<Item = MopRef<'h>>,
    symbol: impl Fn(i64) -> Option<&'s str>,
) -> Value {
    let word = |word: &str| Value::Other(Box::new(word.into()));
    let value = |value: i64| symbol(value).map_or(Value::Int(value), word);
    let mops = mops.map(|mop| {
        Value::list(match mop {
            MopRef::Append { key, element } => vec![word("append"), value(key), value(element)],
            MopRef::Write { key, value: of } => vec![word("w"), value(key), value(of)],
            MopRef::Read { key, list } => {
                let list = list.map(|list| Value::list(list.iter().map(|element| value(*element)).collect()));
                vec![word("r"), value(key), list.unwrap_or(Value::Nil)]
            }
            MopRef::Get { key, value: of } => vec![word("r"), value(key), of.map_or(Value::Nil, value)],
            MopRef::Insert { key, value: of } => vec![word("insert"), value(key), Value::Int(of)],
            MopRef::Delete { key } => vec![word("delete"), value(key)],
            MopRef::Select { predicate, rows } => {
                let row = |(key, of): &(i64, i64)| Value::list(vec![value(*key), Value::Int(*of)]);
                let rows = rows.map(|rows| Value::list(rows.iter().map(row).collect()));
                vec![word("rp"), predicate.to_value(), rows.unwrap_or(Value::Nil)]
            }
        })
    });
    let mops = Value::list(mops.collect());
    match universe {
        Some(universe) => Value::list(vec![value(universe), mops]),
        None => mops,
    }
}

/// The items of a list.
pub(super) fn items(value: &Value) -> Option<Vec<Value>> {
    Some(match value {
        Value::Pair(first, second) => vec![Value::Int(i64::from(*first)), Value::Int(*second)],
        Value::Ints(ints) => ints.iter().map(|int| Value::Int(*int)).collect(),
        Value::KeyedPair(triple) => vec![Value::Int(triple.0), Value::ints(vec![triple.1, triple.2])],
        Value::List(items) => items.to_vec(),
        Value::Txn(mops) => mops
            .iter()
            .map(|mop| {
                let word = |word: &str| Value::Other(Box::new(word.into()));
                Value::List(Box::new(match mop {
                    Mop::Append { key, element } => vec![word("append"), Value::Int(*key), Value::Int(*element)],
                    Mop::Read { key, list } => {
                        vec![word("r"), Value::Int(*key), list.clone().map_or(Value::Nil, Value::ints)]
                    }
                }))
            })
            .collect(),
        Value::Nil | Value::Int(_) | Value::Other(_) => return None,
    })
}

/// The transactions of a history.
#[derive(Debug, Default)]
pub(crate) struct Txns {
    /// By operation id: where its micro-operations begin and how many there are.
    starts: Vec<u32>,
    lens: Vec<u32>,
    /// The kind in the upper bits, the key's number below.
    kinds_and_keys: Vec<u32>,
    /// An element or value; of a read list its number above and its length below.
    args: Vec<u64>,
    key_ids: FxHashMap<i64, u32>,
    keys: Vec<i64>,
    /// By key: the list of which reads are usually prefixes.
    trunks: Vec<u32>,
    lists: Vec<Vec<i64>>,
    /// By list: the number of its key.
    list_keys: Vec<u32>,
    universes: Universes,
    /// Of reads by predicate: what was asked for, and where the rows lie that it got.
    selections: Vec<(Predicate, Option<(u32, u32)>)>,
    rows: Vec<(i64, i64)>,
}

/// The universes of keys. All keys of most histories are of universe 0, which has no name.
#[derive(Debug, Default)]
struct Universes {
    ids: FxHashMap<i64, u32>,
    /// By number, from 1.
    names: Vec<i64>,
    /// The keys of universes other than 0.
    key_ids: FxHashMap<(u32, i64), u32>,
    /// By key, as far as any is not of universe 0.
    of_keys: Vec<u32>,
    /// By operation, likewise.
    of_ops: Vec<u32>,
}

impl Universes {
    fn id(&mut self, name: Option<i64>) -> Result<u32, String> {
        let Some(name) = name else { return Ok(0) };
        if let Some(id) = self.ids.get(&name) {
            return Ok(*id);
        }
        if self.names.len() + 1 == KEYS_MAX {
            return Err(format!("more than {KEYS_MAX} universes"));
        }
        self.names.push(name);
        let id = self.names.len() as u32;
        self.ids.insert(name, id);
        Ok(id)
    }
}

impl Txns {
    /// A new operation's transaction.
    pub(super) fn push(&mut self, txn: &TxnBuffer) -> Result<(), String> {
        let universe = self.universes.id(txn.universe)?;
        let start = self.store(txn, universe)?;
        if universe != 0 {
            self.universes.of_ops.resize(self.starts.len(), 0);
            self.universes.of_ops.push(universe);
        }
        self.starts.push(start);
        self.lens.push(txn.mops.len() as u32);
        Ok(())
    }

    /// What a completion says of an operation's transaction.
    pub(super) fn complete(&mut self, id: usize, txn: &TxnBuffer) -> Result<(), String> {
        let universe = self.universes.id(txn.universe)?;
        if universe != self.universe_of(id) {
            return Err("it ends in another universe than it was invoked in".into());
        }
        let tail = self.store(txn, universe)? as usize;
        let (start, len) = (self.starts[id] as usize, self.lens[id] as usize);
        if len == txn.mops.len() {
            self.kinds_and_keys.copy_within(tail.., start);
            self.args.copy_within(tail.., start);
            self.kinds_and_keys.truncate(tail);
            self.args.truncate(tail);
        } else {
            self.starts[id] = tail as u32;
            self.lens[id] = txn.mops.len() as u32;
        }
        Ok(())
    }

    fn store(&mut self, txn: &TxnBuffer, universe: u32) -> Result<u32, String> {
        let start =
            u32::try_from(self.args.len()).ok().filter(|start| start.checked_add(txn.mops.len() as u32).is_some());
        let Some(start) = start else { return Err("more than four billion micro-operations".into()) };
        for mop in &txn.mops {
            let (key, kind, arg) = match *mop {
                Buffered::Append { key, element } => (key, MopKind::Append, element as u64),
                Buffered::Read { key, list: None } => (key, MopKind::ReadNil, 0),
                Buffered::Read { key, list: Some((from, to)) } => {
                    let id = self.key_id(universe, key)?;
                    (key, MopKind::Read, self.list(id, &txn.elements[from..to])?)
                }
                Buffered::Write { key, value } => (key, MopKind::Write, value as u64),
                Buffered::Get { key, value: None } => (key, MopKind::GetNil, 0),
                Buffered::Get { key, value: Some(value) } => (key, MopKind::Get, value as u64),
                Buffered::Insert { key, value } => (key, MopKind::Insert, value as u64),
                Buffered::Delete { key } => (key, MopKind::Delete, 0),
                Buffered::Select { predicate, rows } => {
                    let arg = self.select(predicate, rows.map(|(from, to)| &txn.rows[from..to]), universe)?;
                    self.kinds_and_keys.push(((MopKind::Select as u32) << KIND_SHIFT) | universe);
                    self.args.push(arg);
                    continue;
                }
            };
            let id = self.key_id(universe, key)?;
            self.kinds_and_keys.push(((kind as u32) << KIND_SHIFT) | id);
            self.args.push(arg);
        }
        Ok(start)
    }

    /// Keeps what a read by predicate got; gives its number.
    fn select(&mut self, predicate: Predicate, rows: Option<&[(i64, i64)]>, universe: u32) -> Result<u64, String> {
        let range = match rows {
            None => None,
            Some(rows) => {
                let start = u32::try_from(self.rows.len()).ok();
                let end = u32::try_from(self.rows.len() + rows.len()).ok();
                self.rows.extend_from_slice(rows);
                // Of whatever it got it is known that it is there.
                for (key, _) in rows {
                    self.key_id(universe, *key)?;
                }
                Some(start.zip(end).ok_or("more than four billion rows")?)
            }
        };
        self.selections.push((predicate, range));
        Ok(self.selections.len() as u64 - 1)
    }

    fn key_id(&mut self, universe: u32, key: i64) -> Result<u32, String> {
        let known = match universe {
            0 => self.key_ids.get(&key),
            _ => self.universes.key_ids.get(&(universe, key)),
        };
        if let Some(id) = known {
            return Ok(*id);
        }
        if self.keys.len() == KEYS_MAX {
            return Err(format!("more than {KEYS_MAX} keys"));
        }
        let id = self.keys.len() as u32;
        self.trunks.push(NONE_U32);
        if universe == 0 {
            self.key_ids.insert(key, id);
        } else {
            self.universes.of_keys.resize(self.keys.len(), 0);
            self.universes.of_keys.push(universe);
            self.universes.key_ids.insert((universe, key), id);
        }
        self.keys.push(key);
        Ok(id)
    }

    /// Where a list lies: its number above its length.
    fn list(&mut self, key: u32, list: &[i64]) -> Result<u64, String> {
        let trunk = self.trunks[key as usize];
        if let Some(known) = self.lists.get_mut(trunk as usize) {
            let common = known.len().min(list.len());
            if known[..common] == list[..common] {
                known.extend_from_slice(&list[common..]);
                return Ok((u64::from(trunk) << 32) | list.len() as u64);
            }
        }
        let (Ok(id), Ok(_)) = (u32::try_from(self.lists.len()), u32::try_from(list.len())) else {
            return Err("more lists than can be numbered".into());
        };
        self.lists.push(list.to_vec());
        self.list_keys.push(key);
        if trunk == NONE_U32 {
            self.trunks[key as usize] = id;
        }
        Ok((u64::from(id) << 32) | list.len() as u64)
    }

    pub(super) fn shrink(&mut self) {
        self.starts.shrink_to_fit();
        self.lens.shrink_to_fit();
        self.kinds_and_keys.shrink_to_fit();
        self.args.shrink_to_fit();
        self.keys.shrink_to_fit();
        self.lists.shrink_to_fit();
        self.list_keys.shrink_to_fit();
        self.key_ids = FxHashMap::default();
        self.trunks = Vec::new();
    }

    /// The universe that a key is of.
    pub(crate) fn universe_of_key(&self, key: u32) -> u32 {
        self.universes.of_keys.get(key as usize).copied().unwrap_or(0)
    }

    /// The universe of an operation's keys.
    pub(crate) fn universe_of(&self, op: usize) -> u32 {
        self.universes.of_ops.get(op).copied().unwrap_or(0)
    }

    /// What a universe is called; `None` of the only one.
    pub(crate) fn universe_name(&self, universe: u32) -> Option<i64> {
        self.universes.names.get((universe as usize).checked_sub(1)?).copied()
    }

    /// How many universes have been numbered, with 0.
    pub(crate) fn universes_len(&self) -> usize {
        self.universes.names.len() + 1
    }

    /// What a [`MopKind::Select`] asked for, and the rows that it got.
    pub(crate) fn selection(&self, arg: u64) -> (Predicate, Option<&[(i64, i64)]>) {
        let (predicate, range) = self.selections[arg as usize];
        (predicate, range.map(|(start, end)| &self.rows[start as usize..end as usize]))
    }

    /// How many keys there are.
    pub(crate) fn keys_len(&self) -> usize {
        self.keys.len()
    }

    /// The key of this number.
    pub(crate) fn key(&self, id: u32) -> i64 {
        self.keys[id as usize]
    }

    /// How many lists there are.
    pub(crate) fn lists_len(&self) -> usize {
        self.lists.len()
    }

    /// The number of a list's key, and the list, as far as it was ever read.
    pub(crate) fn list_at(&self, id: u32) -> (u32, &[i64]) {
        (self.list_keys[id as usize], &self.lists[id as usize])
    }

    /// Where an operation's micro-operations lie; none for what is no transaction.
    pub(crate) fn range(&self, op: usize) -> std::ops::Range<usize> {
        match (self.starts.get(op), self.lens.get(op)) {
            (Some(start), Some(len)) => *start as usize..(*start + *len) as usize,
            _ => 0..0,
        }
    }

    /// How many micro-operations there are, by position: an upper bound, for some may be no operation's.
    pub(crate) fn mops_len(&self) -> usize {
        self.args.len()
    }

    /// The list that a [`MopKind::Read`]'s argument stands for: its number, and how much of it was read.
    pub(crate) const fn list_of(arg: u64) -> (u32, u32) {
        ((arg >> 32) as u32, arg as u32)
    }

    /// Kind, key's number and argument of a micro-operation.
    pub(crate) fn raw(&self, at: usize) -> (MopKind, u32, u64) {
        let packed = self.kinds_and_keys[at];
        let kind = match packed >> KIND_SHIFT {
            0 => MopKind::Append,
            1 => MopKind::ReadNil,
            2 => MopKind::Read,
            3 => MopKind::Write,
            4 => MopKind::GetNil,
            5 => MopKind::Get,
            6 => MopKind::Insert,
            7 => MopKind::Delete,
            _ => MopKind::Select,
        };
        (kind, packed & (KEYS_MAX as u32 - 1), self.args[at])
    }

    pub(crate) fn mop(&self, at: usize) -> MopRef<'_> {
        let (kind, key, arg) = self.raw(at);
        if kind == MopKind::Select {
            let (predicate, rows) = self.selection(arg);
            return MopRef::Select { predicate, rows };
        }
        let key = self.keys[key as usize];
        match kind {
            MopKind::Append => MopRef::Append { key, element: arg as i64 },
            MopKind::ReadNil => MopRef::Read { key, list: None },
            MopKind::Read => {
                let list = &self.lists[(arg >> 32) as usize][..arg as u32 as usize];
                MopRef::Read { key, list: Some(list) }
            }
            MopKind::Write => MopRef::Write { key, value: arg as i64 },
            MopKind::GetNil => MopRef::Get { key, value: None },
            MopKind::Insert => MopRef::Insert { key, value: arg as i64 },
            MopKind::Delete => MopRef::Delete { key },
            MopKind::Get | MopKind::Select => MopRef::Get { key, value: Some(arg as i64) },
        }
    }
}
