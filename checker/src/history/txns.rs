//! The micro-operations of all transactions, in columns.
//!
//! Twelve bytes a micro-operation, whatever it read: a list is kept once per key, and a read of its beginning is a length.
//! Reads of one key are nearly always prefixes of one another (where they are not, the database is at fault), so a
//! history of a million transactions is a few dozen megabytes instead of all its lists one by one.

use rustc_hash::FxHashMap;

use super::{Mop, Value};

/// What transactions of a workload do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TxnKind {
    /// `[:append key element]` and `[:r key list]`.
    ListAppend,
    /// `[:w key value]` and `[:r key value]`.
    RwRegister,
}

impl TxnKind {
    pub(crate) fn of(workload: &str) -> Option<Self> {
        match workload {
            "list-append" => Some(Self::ListAppend),
            "rw-register" => Some(Self::RwRegister),
            _ => None,
        }
    }

    pub(super) const fn complaint(self) -> &'static str {
        match self {
            Self::ListAppend => {
                "the value of a txn must be a list of [\"append\", key, element] and [\"r\", key, list or null]"
            }
            Self::RwRegister => {
                "the value of a txn must be a list of [\"w\", key, value] and [\"r\", key, value or null]"
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
}

const KIND_SHIFT: u32 = 29;
/// Keys are numbered in the bits below the kind.
const KEYS_MAX: usize = 1 << KIND_SHIFT;
const NONE_U32: u32 = u32::MAX;

/// One transaction while it is read; reused for the next.
#[derive(Debug, Default)]
pub(crate) struct TxnBuffer {
    mops: Vec<Buffered>,
    /// The lists of all reads, one after the other.
    elements: Vec<i64>,
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
        })
    }

    pub(super) fn clear(&mut self) {
        self.mops.clear();
        self.elements.clear();
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
                (TxnKind::RwRegister, _) => false,
            });
        }
        let Some(items) = items(value) else { return false };
        items.iter().all(|item| self.fill_mop(kind, item, &mut int_of))
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

/// A transaction as a value, of which symbols are given as their texts.
pub(super) fn txn_value<'h, 's>(
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
        })
    });
    Value::list(mops.collect())
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
}

impl Txns {
    /// A new operation's transaction.
    pub(super) fn push(&mut self, txn: &TxnBuffer) -> Result<(), String> {
        let start = self.store(txn)?;
        self.starts.push(start);
        self.lens.push(txn.mops.len() as u32);
        Ok(())
    }

    /// What a completion says of an operation's transaction.
    pub(super) fn complete(&mut self, id: usize, txn: &TxnBuffer) -> Result<(), String> {
        let tail = self.store(txn)? as usize;
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

    fn store(&mut self, txn: &TxnBuffer) -> Result<u32, String> {
        let start =
            u32::try_from(self.args.len()).ok().filter(|start| start.checked_add(txn.mops.len() as u32).is_some());
        let Some(start) = start else { return Err("more than four billion micro-operations".into()) };
        for mop in &txn.mops {
            let (key, kind, arg) = match *mop {
                Buffered::Append { key, element } => (key, MopKind::Append, element as u64),
                Buffered::Read { key, list: None } => (key, MopKind::ReadNil, 0),
                Buffered::Read { key, list: Some((from, to)) } => {
                    let id = self.key_id(key)?;
                    (key, MopKind::Read, self.list(id, &txn.elements[from..to])?)
                }
                Buffered::Write { key, value } => (key, MopKind::Write, value as u64),
                Buffered::Get { key, value: None } => (key, MopKind::GetNil, 0),
                Buffered::Get { key, value: Some(value) } => (key, MopKind::Get, value as u64),
            };
            let id = self.key_id(key)?;
            self.kinds_and_keys.push(((kind as u32) << KIND_SHIFT) | id);
            self.args.push(arg);
        }
        Ok(start)
    }

    fn key_id(&mut self, key: i64) -> Result<u32, String> {
        if let Some(id) = self.key_ids.get(&key) {
            return Ok(*id);
        }
        if self.keys.len() == KEYS_MAX {
            return Err(format!("more than {KEYS_MAX} keys"));
        }
        let id = self.keys.len() as u32;
        self.keys.push(key);
        self.trunks.push(NONE_U32);
        self.key_ids.insert(key, id);
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
            _ => MopKind::Get,
        };
        (kind, packed & (KEYS_MAX as u32 - 1), self.args[at])
    }

    pub(crate) fn mop(&self, at: usize) -> MopRef<'_> {
        let (kind, key, arg) = self.raw(at);
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
            MopKind::Get => MopRef::Get { key, value: Some(arg as i64) },
        }
    }
}
