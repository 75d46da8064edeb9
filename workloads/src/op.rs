//! What a generator asks for, and the shapes of its values.

use std::sync::Arc;

use schism_checker::history::{F, Mop, Value};

/// What a generator wants done.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// The worker that does it: a slot in `0..clients`, not a process number.
    pub client: u32,
    /// What.
    pub f: F,
    /// Its argument.
    pub value: Value,
    /// `Some`: it must be sent to this node (final reads). `None`: the route decides.
    pub node: Option<Arc<str>>,
    /// True for the reads of every node that end a run.
    pub is_final: bool,
}

impl Op {
    /// An ordinary operation, sent wherever the route says.
    #[must_use]
    pub const fn new(client: u32, f: F, value: Value) -> Self {
        Self { client, f, value, node: None, is_final: false }
    }
}

/// Integers in the canonical shape (see [`Value`]): two of them may be a [`Value::Pair`].
pub(crate) fn ints(numbers: Vec<i64>) -> Value {
    if let [first, second] = numbers[..]
        && let Ok(first) = i32::try_from(first)
    {
        return Value::Pair(first, second);
    }
    Value::Ints(Box::new(numbers))
}

/// `[key, value]`; `[key, null]` for a read not yet answered or a key that was never written.
pub(crate) fn keyed(key: i64, value: Option<i64>) -> Value {
    match value {
        Some(value) => ints(vec![key, value]),
        None => Value::List(Box::new(vec![Value::Int(key), Value::Nil])),
    }
}

/// `[key, [old, new]]`.
pub(crate) fn keyed_cas(key: i64, old: i64, new: i64) -> Value {
    Value::KeyedPair(Box::new((key, old, new)))
}

/// What the store must do for an operation, parsed once from the shapes of [`F`] and [`Value`]; every client starts
/// from it, so that none can read `[1, 2]` differently from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Request<'a> {
    /// Add an element to the set.
    Add(i64),
    /// Read the whole set.
    ReadSet,
    /// Read one register.
    Read(i64),
    /// Write one register: key, value.
    Write(i64, i64),
    /// Compare and set one register: key, old, new.
    Cas(i64, i64, i64),
    /// A list-append transaction.
    Txn(&'a [Mop]),
}

impl<'a> Request<'a> {
    /// `None` for shapes no workload makes.
    pub(crate) fn of(op: &'a Op) -> Option<Self> {
        match (&op.f, &op.value) {
            (F::Add, Value::Int(element)) => Some(Self::Add(*element)),
            (F::Read, Value::Nil) => Some(Self::ReadSet),
            (F::Read, Value::List(list)) => match list[..] {
                [Value::Int(key), Value::Nil] => Some(Self::Read(key)),
                _ => None,
            },
            (F::Write, Value::Pair(key, value)) => Some(Self::Write(i64::from(*key), *value)),
            (F::Write, Value::Ints(numbers)) => match numbers[..] {
                [key, value] => Some(Self::Write(key, value)),
                _ => None,
            },
            (F::Cas, Value::KeyedPair(triple)) => Some(Self::Cas(triple.0, triple.1, triple.2)),
            (F::Txn, Value::Txn(mops)) => Some(Self::Txn(mops)),
            _ => None,
        }
    }

    /// True when it cannot change anything, whatever happens to it.
    pub(crate) fn only_reads(self) -> bool {
        match self {
            Self::ReadSet | Self::Read(_) => true,
            Self::Add(_) | Self::Write(..) | Self::Cas(..) => false,
            Self::Txn(mops) => mops.iter().all(|mop| matches!(mop, Mop::Read { .. })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_canonical_and_parse_back() {
        assert_eq!(ints(vec![1, 2]), Value::Pair(1, 2));
        assert_eq!(ints(vec![1 << 40, 2]), Value::Ints(Box::new(vec![1 << 40, 2])));
        assert_eq!(ints(vec![]), Value::Ints(Box::default()));
        for key in [0, -7, 1 << 40] {
            let write = Op::new(0, F::Write, keyed(key, Some(9)));
            assert_eq!(Request::of(&write), Some(Request::Write(key, 9)));
            let read = Op::new(0, F::Read, keyed(key, None));
            assert_eq!(Request::of(&read), Some(Request::Read(key)));
            let cas = Op::new(0, F::Cas, keyed_cas(key, 1, 2));
            assert_eq!(Request::of(&cas), Some(Request::Cas(key, 1, 2)));
        }
        assert_eq!(Request::of(&Op::new(0, F::Add, Value::Nil)), None);
    }
}
