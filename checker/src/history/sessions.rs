//! Histories that are sessions of transactions on registers and say nothing of time: plume's and dbcop's.
//!
//! That transactions of different sessions ran one after the other such a file does not say, and no order of events can
//! leave it open: two sessions of two transactions each, all of one concurrent with all of the other, are no interval
//! order (Fishburn 1970). So the events stand as they do in the file, and the history is marked
//! ([`History::has_real_time`](super::History::has_real_time)): a process' transactions follow each other, and the order
//! of events says nothing else.

use rustc_hash::FxHashSet;

use super::{
    EventType, F, Loaded, Problem, Problems, Value,
    foreign::{Foreign, ForeignEvent, Who},
};

/// The model that such histories are of.
pub(super) const MODEL: &str = "rw-register";

/// One read or write.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RwOp {
    pub(super) writes: bool,
    pub(super) key: Value,
    /// Nil: what a key holds at first.
    pub(super) value: Value,
    /// Its number in the file.
    pub(super) number: u64,
    pub(super) line: Option<u64>,
}

/// A transaction.
#[derive(Debug)]
pub(super) struct RwTxn {
    pub(super) session: u64,
    pub(super) ops: Vec<RwOp>,
    pub(super) is_committed: bool,
}

/// What 0 stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    /// What every key holds at first. Some collectors write that down as the file's first transaction, which says
    /// nothing then; any other write of it could not be told from the initial state when it is read.
    Initial,
    /// A value, of a key to which it is written; else what the key holds at first.
    InitialUnlessWritten,
}

/// A history in the making.
pub(super) struct Sessions {
    foreign: Foreign,
    txns: Vec<RwTxn>,
}

impl Sessions {
    pub(super) fn new(mut foreign: Foreign) -> Self {
        foreign.set_timeless();
        Self { foreign, txns: Vec::new() }
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.foreign.problem(problem);
    }

    /// Adds a transaction; gives its number.
    pub(super) fn push(&mut self, txn: RwTxn) -> usize {
        self.txns.push(txn);
        self.txns.len() - 1
    }

    pub(super) fn txn(&mut self, number: usize) -> Option<&mut RwTxn> {
        self.txns.get_mut(number)
    }

    pub(super) fn finish(mut self, zero: Zero, warnings: Vec<String>) -> Result<Loaded, Problems> {
        let mut txns = std::mem::take(&mut self.txns);
        match zero {
            Zero::Initial => self.zero_is_initial(&mut txns),
            Zero::InitialUnlessWritten => zero_is_initial_unless_written(&mut txns),
        }
        for txn in &txns {
            self.txn_events(txn);
        }
        self.foreign.finish(warnings)
    }

    fn zero_is_initial(&mut self, txns: &mut Vec<RwTxn>) {
        let zero = Value::Int(0);
        let writes_zero = |op: &RwOp| op.writes && op.value == zero;
        if txns.first().is_some_and(|first| first.is_committed && first.ops.iter().all(writes_zero)) {
            txns.remove(0);
        }
        for op in txns.iter_mut().flat_map(|txn| &mut txn.ops) {
            if writes_zero(op) {
                let message = "a write of 0, which stands for what a key holds at first: who reads it cannot be told";
                let (line, event_index) = (op.line, Some(op.number));
                self.foreign.problem(Problem { line, column: None, event_index, message: message.into() });
            } else if op.value == zero {
                op.value = Value::Nil;
            }
        }
    }

    fn txn_events(&mut self, txn: &RwTxn) {
        let kinds = [EventType::Invoke, if txn.is_committed { EventType::Ok } else { EventType::Fail }];
        for kind in kinds {
            let ops = txn.ops.iter().map(|op| {
                let value = if op.writes || kind == EventType::Ok { op.value.clone() } else { Value::Nil };
                // As the words of `[:w key value]` and `[:r key value]` are read from EDN.
                let word = if op.writes { ":w" } else { "r" };
                Value::list(vec![Value::from_json(word.into()), op.key.clone(), value])
            });
            let event = ForeignEvent {
                kind,
                who: Who::Number(i64::try_from(txn.session).unwrap_or(i64::MAX)),
                f: Some(F::Txn),
                value: Value::list(ops.collect()),
                key: None,
                time_ns: None,
                error: None,
                node: None,
                is_tuple: false,
                is_final: false,
                order: None,
            };
            self.foreign.push(event, txn.ops.first().and_then(|op| op.line));
        }
    }
}

fn zero_is_initial_unless_written(txns: &mut [RwTxn]) {
    let zero = Value::Int(0);
    let key = |op: &RwOp| op.key.to_json().to_string();
    let all = txns.iter().flat_map(|txn| &txn.ops);
    let written: FxHashSet<String> = all.filter(|op| op.writes && op.value == zero).map(key).collect();
    for op in txns.iter_mut().flat_map(|txn| &mut txn.ops) {
        if op.value == zero && !written.contains(&key(op)) {
            op.value = Value::Nil;
        }
    }
}
