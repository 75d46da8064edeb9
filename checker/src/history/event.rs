//! One line of a history: what a client invoked, what came back, and what went on beside it.

use std::{fmt, sync::Arc};

/// Who did it. Client processes are numbered; a process whose operation ended indeterminate never acts again, and
/// its client goes on under a new number (number + count of clients), as in Jepsen, so that no process ever has two
/// operations in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Process {
    /// A client process. `number % clients` is the client (worker) it runs on.
    Client(u32),
    /// The nemesis: faults injected and healed. Written as `"nemesis"`.
    Nemesis,
    /// The monitor: which node claims to be primary. Written as `"monitor"`.
    Monitor,
    /// The run itself: phases, recovery, interruption. Written as `"schism"`.
    Harness,
}

impl Process {
    /// The client's number, `None` for the side channels.
    #[must_use]
    pub const fn client(self) -> Option<u32> {
        match self {
            Self::Client(number) => Some(number),
            Self::Nemesis | Self::Monitor | Self::Harness => None,
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(number) => write!(formatter, "{number}"),
            Self::Nemesis => formatter.write_str("nemesis"),
            Self::Monitor => formatter.write_str("monitor"),
            Self::Harness => formatter.write_str("schism"),
        }
    }
}

/// Jepsen's four event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// An operation begins.
    Invoke,
    /// It certainly happened.
    Ok,
    /// It certainly did not happen.
    Fail,
    /// It may have happened, now or later. Also every event of a side channel.
    Info,
}

impl EventType {
    /// The name in histories.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info",
        }
    }
}

/// What an operation does: Jepsen's `:f`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum F {
    /// Read a register or a whole set.
    Read,
    /// Write a register.
    Write,
    /// Compare a register with one value and set another.
    Cas,
    /// Add an element to a set.
    Add,
    /// A transaction of micro-operations.
    Txn,
    /// Anything else: side channels, foreign histories.
    Other(Arc<str>),
}

impl F {
    /// The name in histories.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Cas => "cas",
            Self::Add => "add",
            Self::Txn => "txn",
            Self::Other(name) => name,
        }
    }

    /// The function of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "read" => Self::Read,
            "write" => Self::Write,
            "cas" => Self::Cas,
            "add" => Self::Add,
            "txn" => Self::Txn,
            other => Self::Other(other.into()),
        }
    }
}

/// An operation's argument or result. 16 bytes: a history of millions of operations holds one each.
///
/// The shapes are Jepsen's: a set's element is `5`, a keyed read or write is `[key, value]`, a keyed
/// compare-and-set is `[key, [old, new]]`, a transaction is `[["append", key, value], ["r", key, [1, 2]]]`. What a
/// shape *means* depends on the workload (`[1, 2]` is key 1 with value 2, or the set {1, 2}); so the constructors
/// are canonical by shape alone, and a checker asks through [`Value::as_keyed`], [`Value::as_ints`] and so on.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Nil,
    /// `5`
    Int(i64),
    /// Two integers, the first small: `[1, 2]`.
    Pair(i32, i64),
    /// Any other number of integers (0, 1, 3, …), or two whose first does not fit [`Value::Pair`].
    Ints(Box<Vec<i64>>),
    /// `[key, [old, new]]`.
    KeyedPair(Box<(i64, i64, i64)>),
    /// A transaction's micro-operations; an empty transaction is `Ints([])`.
    Txn(Box<Vec<Mop>>),
    /// Whatever has none of the shapes above (`[key, null]` among them).
    List(Box<Vec<Value>>),
    /// Strings, maps, booleans, fractions: side channels and foreign histories.
    Other(Box<serde_json::Value>),
}

/// A micro-operation of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Mop {
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
        list: Option<Vec<i64>>,
    },
}

/// Why an operation did not end `ok`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpError {
    /// A stable word or the database's own code: `timeout`, `connection-lost`, `40001`, `READONLY`.
    pub class: Arc<str>,
    /// The message, for people.
    pub text: Arc<str>,
}

/// One event of a history.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Position in the history, from 0.
    pub index: u64,
    /// Monotonic nanoseconds since the run started.
    pub time_ns: u64,
    /// Who.
    pub process: Process,
    /// Invocation or the kind of completion.
    pub kind: EventType,
    /// What.
    pub f: F,
    /// Argument (invocation) or result (completion).
    pub value: Value,
    /// Why it did not end `ok`.
    pub error: Option<OpError>,
    /// The endpoint (node name) that served it.
    pub node: Option<Arc<str>>,
    /// True for the reads of every node that end a run, after healing and recovery.
    pub is_final: bool,
    /// Where the database says that it placed the transaction among all: a commit's number or time, for example.
    pub order: Option<i64>,
}
