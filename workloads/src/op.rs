//! What a generator asks for, and the shapes of its values.

use std::sync::Arc;

use schism_checker::history::{F, Mop, Value};

use crate::closed_predicate::parsed;

/// What somebody does who would like to have the lock.
pub(crate) const ACQUIRE: &str = "acquire";
/// What somebody does who needs it no more.
pub(crate) const RELEASE: &str = "release";

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
    /// A transaction on rows, which [`parsed`] takes apart.
    Rows(&'a Value),
    /// Get the lock.
    Acquire,
    /// Release the lock.
    Release,
    /// Write to what the lock protects, with this token.
    FencedWrite(i64),
}

impl<'a> Request<'a> {
    /// `None` for shapes no workload makes.
    pub(crate) fn of(op: &'a Op) -> Option<Self> {
        match (&op.f, &op.value) {
            (F::Add, Value::Int(element)) => Some(Self::Add(*element)),
            (F::Read, Value::Nil) => Some(Self::ReadSet),
            (F::Read, value) => match value.as_keyed()? {
                (key, None) => Some(Self::Read(key)),
                (_, Some(_)) => None,
            },
            (F::Write, Value::Int(token)) => Some(Self::FencedWrite(*token)),
            (F::Write, value) => value.as_keyed().and_then(|(key, value)| Some(Self::Write(key, value?))),
            (F::Cas, value) => value.as_cas().and_then(|(key, old, new)| Some(Self::Cas(key, old?, new?))),
            (F::Txn, value) => match value.as_mops() {
                Some(mops) => Some(Self::Txn(mops)),
                None => parsed(value).map(|_| Self::Rows(value)),
            },
            (F::Other(name), Value::Nil) if &**name == ACQUIRE => Some(Self::Acquire),
            (F::Other(name), Value::Nil) if &**name == RELEASE => Some(Self::Release),
            _ => None,
        }
    }

    /// True when it cannot change anything, whatever happens to it.
    pub(crate) fn only_reads(self) -> bool {
        match self {
            Self::ReadSet | Self::Read(_) => true,
            Self::Add(_) | Self::Write(..) | Self::Cas(..) | Self::Acquire | Self::Release | Self::FencedWrite(_) => {
                false
            }
            Self::Txn(mops) => mops.iter().all(|mop| matches!(mop, Mop::Read { .. })),
            Self::Rows(value) => parsed(value).is_some_and(|(_, mops)| mops.iter().all(|mop| mop.only_reads())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_from_the_shapes_of_values() {
        for key in [0, -7, 1 << 40] {
            for (f, value, expected) in [
                (F::Write, Value::keyed(key, Some(9)), Some(Request::Write(key, 9))),
                (F::Read, Value::keyed(key, None), Some(Request::Read(key))),
                (F::Cas, Value::cas(key, 1, 2), Some(Request::Cas(key, 1, 2))),
                (F::Write, Value::keyed(key, None), None),
                (F::Read, Value::keyed(key, Some(9)), None),
            ] {
                assert_eq!(Request::of(&Op::new(0, f, value)), expected);
            }
        }
        assert_eq!(Request::of(&Op::new(0, F::Read, Value::Nil)), Some(Request::ReadSet));
        assert_eq!(Request::of(&Op::new(0, F::Add, Value::Nil)), None);
        assert_eq!(Request::of(&Op::new(0, F::Txn, Value::txn(vec![]))), Some(Request::Txn(&[])));
        for (f, value, expected) in [
            (F::from_name(ACQUIRE), Value::Nil, Some(Request::Acquire)),
            (F::from_name(RELEASE), Value::Nil, Some(Request::Release)),
            (F::from_name(RELEASE), Value::Int(1), None),
            (F::from_name("steal"), Value::Nil, None),
            (F::Write, Value::Int(7), Some(Request::FencedWrite(7))),
            (F::Write, Value::Nil, None),
        ] {
            assert_eq!(Request::of(&Op::new(0, f, value)), expected);
        }
    }
}
