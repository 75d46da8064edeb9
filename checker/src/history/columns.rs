//! The history in memory: one column per property, invocation and completion paired.
//!
//! 45 bytes an operation beside what a value itself points to, so that five million fit into 300 MB. Indexes of events
//! are held in 32 bits: a history of more than four billion events is refused.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;

use super::{
    ClaimEvent, ClockEvent, Event, EventType, F, FaultEvent, Header, OpError, PhaseEvent, ProbeEvent, Problem,
    Problems, Process, RecoveryEvent, Value,
    txns::{MopRef, TxnBuffer, TxnKind, Txns, txn_value},
};
use crate::jepsen;

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It certainly happened.
    Ok,
    /// It certainly did not.
    Fail,
    /// Nobody knows; also an operation that never completed.
    Info,
}

impl Outcome {
    /// `ok`, `fail` or `info`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info",
        }
    }
}

/// An operation: a view into the columns.
#[derive(Debug, Clone, Copy)]
pub struct Op<'h> {
    /// Position among the operations, by invocation, from 0.
    pub id: usize,
    /// The client process.
    pub process: u32,
    /// What it does.
    pub f: &'h F,
    /// How it ended.
    pub outcome: Outcome,
    /// The completion's value when it ended ok, otherwise the invocation's. Of a transaction nil: [`Op::mops`] has it.
    pub value: &'h Value,
    /// Index of the invocation event.
    pub invoke_index: u64,
    /// Index of the completion event; `None`: it never completed.
    pub complete_index: Option<u64>,
    /// Time of the invocation.
    pub invoke_ns: u64,
    /// Time of the completion; `None`: it never completed.
    pub complete_ns: Option<u64>,
    /// The serving node, as the completion names it, else the invocation.
    pub node: Option<&'h str>,
    /// Why it did not end ok: its class, with one example of a text of that class.
    pub error: Option<&'h OpError>,
    /// One of the reads of every node that end a run.
    pub is_final: bool,
    txns: &'h Txns,
}

impl<'h> Op<'h> {
    /// The micro-operations of a transaction, none for anything else: the completion's when it ended ok, or when it is
    /// indeterminate and the completion says what was read; otherwise the invocation's.
    pub fn mops(&self) -> impl ExactSizeIterator<Item = MopRef<'h>> + DoubleEndedIterator + Clone + use<'h> {
        let txns = self.txns;
        txns.range(self.id).map(move |at| txns.mop(at))
    }
}

/// An event of a side channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideEvent<T> {
    /// Index of the event.
    pub index: u64,
    /// Its time.
    pub time_ns: u64,
    /// Its value.
    pub value: T,
}

const NONE_U8: u8 = u8::MAX;
const NONE_U16: u16 = u16::MAX;
const NONE_U32: u32 = u32::MAX;
const FINAL: u8 = 4;
/// More values than fit into a history's 32-bit indexes.
const SYMBOLS_MAX: i64 = 1 << 33;

/// One column per property; position = operation id.
#[derive(Debug, Default)]
struct Columns {
    invoke_index: Vec<u32>,
    complete_index: Vec<u32>,
    invoke_ns: Vec<u64>,
    /// From invocation to completion; [`NONE_U32`] where it is in `long_ns`. Half the width of a time, because four
    /// seconds are enough for nearly every operation, and this is most of what a run keeps in memory.
    latency_ns: Vec<u32>,
    /// Latencies of four seconds and more, by operation id.
    long_ns: BTreeMap<u32, u64>,
    process: Vec<u32>,
    f: Vec<u8>,
    /// Bits 0 and 1: the outcome; bit 2: final.
    flags: Vec<u8>,
    node: Vec<u8>,
    error: Vec<u16>,
    value: Vec<Value>,
}

impl Columns {
    fn complete_ns(&self, id: usize) -> u64 {
        let latency_ns = match self.latency_ns[id] {
            NONE_U32 => self.long_ns.get(&(id as u32)).copied().unwrap_or_default(),
            short => u64::from(short),
        };
        self.invoke_ns[id].saturating_add(latency_ns)
    }

    fn set_complete_ns(&mut self, id: usize, complete_ns: u64) {
        // Time that goes backwards is a problem of its own; such a history is never judged.
        let latency_ns = complete_ns.saturating_sub(self.invoke_ns[id]);
        self.latency_ns[id] = u32::try_from(latency_ns).unwrap_or(NONE_U32);
        if self.latency_ns[id] == NONE_U32 {
            self.long_ns.insert(id as u32, latency_ns);
        }
    }

    fn shrink(&mut self) {
        self.invoke_index.shrink_to_fit();
        self.complete_index.shrink_to_fit();
        self.invoke_ns.shrink_to_fit();
        self.latency_ns.shrink_to_fit();
        self.process.shrink_to_fit();
        self.f.shrink_to_fit();
        self.flags.shrink_to_fit();
        self.node.shrink_to_fit();
        self.error.shrink_to_fit();
        self.value.shrink_to_fit();
    }
}

/// A finished history. Operations are ordered by invocation.
#[derive(Debug)]
pub struct History {
    header: Header,
    columns: Columns,
    txns: Txns,
    /// By operation: its place by the database's word.
    orders: FxHashMap<u32, i64>,
    fs: Vec<F>,
    nodes: Vec<Arc<str>>,
    errors: Vec<OpError>,
    claims: Vec<SideEvent<ClaimEvent>>,
    clocks: Vec<SideEvent<ClockEvent>>,
    faults: Vec<SideEvent<FaultEvent>>,
    phases: Vec<SideEvent<PhaseEvent>>,
    recovery: Vec<SideEvent<RecoveryEvent>>,
    probes: Vec<SideEvent<ProbeEvent>>,
    symbols: Vec<Arc<str>>,
    is_foreign: bool,
    is_keyed: bool,
    is_timeless: bool,
    names_processes: bool,
    /// Events of a foreign file that are no operations.
    others: u64,
    /// The events as they were read, where they are kept.
    kept: Vec<Event>,
    events: u64,
    time_end_ns: u64,
}

impl History {
    /// What the run says of itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Judge transactions by these consistency models instead of those that the run asked for.
    pub fn set_consistency_models(&mut self, models: Vec<String>) {
        self.header.consistency_models = models;
    }

    /// Number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.process.len()
    }

    /// True without any operation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.process.is_empty()
    }

    /// Number of events, side channels included.
    #[must_use]
    pub const fn events_total(&self) -> u64 {
        self.events
    }

    /// All operations by invocation.
    pub fn ops(&self) -> impl ExactSizeIterator<Item = Op<'_>> + DoubleEndedIterator + Clone {
        (0..self.len()).map(|id| self.view(id))
    }

    /// The operation with this id.
    #[must_use]
    pub fn op(&self, id: usize) -> Option<Op<'_>> {
        (id < self.len()).then(|| self.view(id))
    }

    /// The caller has checked that `id` is an operation's.
    fn view(&self, id: usize) -> Op<'_> {
        let columns = &self.columns;
        let flags = columns.flags[id];
        let complete_index = columns.complete_index[id];
        Op {
            id,
            process: columns.process[id],
            f: &self.fs[usize::from(columns.f[id])],
            outcome: self.outcome(id),
            value: &columns.value[id],
            invoke_index: u64::from(columns.invoke_index[id]),
            complete_index: (complete_index != NONE_U32).then_some(u64::from(complete_index)),
            invoke_ns: columns.invoke_ns[id],
            complete_ns: (complete_index != NONE_U32).then(|| columns.complete_ns(id)),
            node: self.nodes.get(usize::from(columns.node[id])).map(|node| &**node),
            error: self.errors.get(usize::from(columns.error[id])),
            is_final: flags & FINAL != 0,
            txns: &self.txns,
        }
    }

    /// An operation's value, a transaction's made of its micro-operations again.
    #[must_use]
    pub fn value_of(&self, op: &Op<'_>) -> Cow<'_, Value> {
        let value = &self.columns.value[op.id];
        let is_txn = TxnKind::of(&self.header.workload).is_some_and(|kind| kind.is_txn(op.f));
        let is_taken_apart = !self.txns.range(op.id).is_empty() || (is_txn && *value == Value::Nil);
        if !is_taken_apart {
            return Cow::Borrowed(value);
        }
        let universe = self.txns.universe_name(self.txns.universe_of(op.id));
        Cow::Owned(txn_value(universe, op.mops(), |id| self.symbol(id).map(|text| &**text)))
    }

    // By column, for what looks at millions of operations for one property each. The caller has checked the id.

    pub(crate) fn outcome(&self, id: usize) -> Outcome {
        match self.columns.flags[id] & 3 {
            0 => Outcome::Ok,
            1 => Outcome::Fail,
            _ => Outcome::Info,
        }
    }

    pub(crate) fn process(&self, id: usize) -> u32 {
        self.columns.process[id]
    }

    pub(crate) fn invoke_index(&self, id: usize) -> u64 {
        u64::from(self.columns.invoke_index[id])
    }

    pub(crate) fn complete_index(&self, id: usize) -> Option<u64> {
        let index = self.columns.complete_index[id];
        (index != NONE_U32).then_some(u64::from(index))
    }

    /// Where the database says that it placed a transaction.
    pub(crate) fn order(&self, id: usize) -> Option<i64> {
        self.orders.get(&(id as u32)).copied()
    }

    /// Whether the database said of any transaction where it placed it.
    #[must_use]
    pub fn tells_order(&self) -> bool {
        !self.orders.is_empty()
    }

    /// The transactions' micro-operations, in columns.
    pub(crate) const fn txns(&self) -> &Txns {
        &self.txns
    }

    /// What nodes said of themselves, in order.
    #[must_use]
    pub fn claims(&self) -> &[SideEvent<ClaimEvent>] {
        &self.claims
    }

    /// What nodes took the time for, in order.
    #[must_use]
    pub fn clocks(&self) -> &[SideEvent<ClockEvent>] {
        &self.clocks
    }

    /// Faults, in order.
    #[must_use]
    pub fn faults(&self) -> &[SideEvent<FaultEvent>] {
        &self.faults
    }

    /// Phases of the run, in order.
    #[must_use]
    pub fn phases(&self) -> &[SideEvent<PhaseEvent>] {
        &self.phases
    }

    /// How the waits for recovery ended; usually one.
    #[must_use]
    pub fn recovery(&self) -> &[SideEvent<RecoveryEvent>] {
        &self.recovery
    }

    /// What probes of the steady state found, in order.
    #[must_use]
    pub fn probes(&self) -> &[SideEvent<ProbeEvent>] {
        &self.probes
    }

    /// A key or value in words. What is no integer in a foreign history (a keyword, a string, a list) has been given a
    /// number when it was read, and is told by its text.
    #[must_use]
    pub fn spell(&self, value: i64) -> Cow<'_, str> {
        self.symbol(value).map_or_else(|| Cow::Owned(value.to_string()), |text| Cow::Borrowed(&**text))
    }

    /// Whether this is the number of something that is no integer.
    #[must_use]
    pub fn is_symbol(&self, value: i64) -> bool {
        self.symbol(value).is_some()
    }

    /// What is no integer, by its number.
    pub(super) fn symbol_texts(&self) -> impl Iterator<Item = &str> {
        self.symbols.iter().map(|text| &**text)
    }

    /// The operation that was invoked by the event of this index.
    #[must_use]
    pub fn op_invoked_at(&self, index: u64) -> Option<Op<'_>> {
        let index = u32::try_from(index).ok()?;
        let id = self.columns.invoke_index.binary_search(&index).ok()?;
        Some(self.view(id))
    }

    fn symbol(&self, value: i64) -> Option<&Arc<str>> {
        // Not below zero: the least integer is the first symbol's number.
        let at = value.wrapping_sub(i64::MIN);
        self.symbols.get(usize::try_from(at).ok()?)
    }

    /// Recorded by another tool: nothing is known of its run but the operations.
    #[must_use]
    pub const fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// Whether registers have keys of their own. A foreign history of a single one may name none; its key here is 0.
    #[must_use]
    pub const fn is_keyed(&self) -> bool {
        self.is_keyed
    }

    /// The texts that stand behind numbers, by number from the least.
    pub(super) fn symbols(&self) -> &[Arc<str>] {
        &self.symbols
    }

    /// The events as they were read, where the reader was asked to keep them.
    pub(super) fn kept(&self) -> &[Event] {
        &self.kept
    }

    /// Events that are no operations: of faults, claims, clocks and phases, and whatever a foreign file has.
    pub(super) const fn events_aside(&self) -> u64 {
        let (claims, clocks) = (self.claims.len(), self.clocks.len());
        let (phases, recovery, probes) = (self.phases.len(), self.recovery.len(), self.probes.len());
        self.others + (self.faults.len() + claims + clocks + phases + recovery + probes) as u64
    }

    /// Whether the order of events is that of real time. A history of sessions alone (plume, dbcop) does not say what
    /// happened first in different processes: there only the operations of one process follow each other.
    #[must_use]
    pub const fn has_real_time(&self) -> bool {
        !self.is_timeless
    }

    /// Whether operations say whose they are. Where a foreign history does not, each has a process that means nothing.
    #[must_use]
    pub const fn names_processes(&self) -> bool {
        self.names_processes
    }

    /// Time of the last event.
    #[must_use]
    pub const fn time_end_ns(&self) -> u64 {
        self.time_end_ns
    }
}

/// The promises of the workloads known here, as far as the shape of their values goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shapes {
    Set,
    Register,
    Txn(TxnKind),
    /// Whatever one of Jepsen's checkers has no complaint about.
    Jepsen,
    /// Another workload: nothing is known of its values.
    Any,
}

impl Shapes {
    fn of(workload: &str) -> Self {
        match workload {
            "set" => Self::Set,
            "register" | "cas-register" => Self::Register,
            other if jepsen::by_name(other).is_some() => Self::Jepsen,
            other => TxnKind::of(other).map_or(Self::Any, Self::Txn),
        }
    }

    /// What is wrong with the value of an invocation (`is_ok` false) or an `ok` completion (true).
    fn complaint(self, f: &F, value: &Value, is_ok: bool) -> Option<&'static str> {
        let (fits, complaint) = match (self, f) {
            (Self::Any | Self::Jepsen, _) => return None,
            (Self::Set, F::Add) => (value.as_int().is_some(), "the value of an add must be an integer"),
            (Self::Set, F::Read) => {
                (!is_ok || value.as_ints().is_some(), "the value of an ok read must be a list of integers")
            }
            (Self::Register, F::Read | F::Write) => {
                (value.as_keyed().is_some(), "the value of a read or write must be [key, value] or [key, null]")
            }
            (Self::Register, F::Cas) => (value.as_cas().is_some(), "the value of a cas must be [key, [old, new]]"),
            // What a transaction must be is seen when it is taken apart.
            (Self::Txn(kind), f) if kind.is_txn(f) => return None,
            _ => (false, "the workload has no such f"),
        };
        (!fits).then_some(complaint)
    }
}

/// What a process is at.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    /// Its last operation.
    id: u32,
    open: bool,
}

/// Collects events into a [`History`]. Cheap enough for the loop that records a run: a push is a hash lookup and a few
/// writes. A malformed event is noted and left out; the rest goes on.
#[derive(Debug)]
pub struct HistoryBuilder {
    history: History,
    shapes: Shapes,
    in_flight: FxHashMap<u32, InFlight>,
    error_classes: FxHashMap<Arc<str>, u16>,
    symbol_ids: FxHashMap<Arc<str>, i64>,
    /// Taken apart here, transaction by transaction.
    txn: TxnBuffer,
    last_index: Option<u64>,
    keeps_events: bool,
    problems: Problems,
}

impl HistoryBuilder {
    /// A history without events.
    #[must_use]
    pub fn new(header: Header) -> Self {
        let mut problems = Problems::default();
        if header.schism_history != Header::VERSION {
            problems.push(Problem {
                line: None,
                column: None,
                event_index: None,
                message: format!(
                    "version {} of the history format is not supported, only {}",
                    header.schism_history,
                    Header::VERSION
                ),
            });
        }
        Self {
            shapes: Shapes::of(&header.workload),
            history: History {
                header,
                columns: Columns::default(),
                txns: Txns::default(),
                orders: FxHashMap::default(),
                fs: vec![F::Read, F::Write, F::Cas, F::Add, F::Txn],
                nodes: Vec::new(),
                errors: Vec::new(),
                claims: Vec::new(),
                clocks: Vec::new(),
                faults: Vec::new(),
                phases: Vec::new(),
                recovery: Vec::new(),
                probes: Vec::new(),
                symbols: Vec::new(),
                is_foreign: false,
                is_keyed: true,
                is_timeless: false,
                names_processes: true,
                others: 0,
                kept: Vec::new(),
                events: 0,
                time_end_ns: 0,
            },
            in_flight: FxHashMap::default(),
            error_classes: FxHashMap::default(),
            symbol_ids: FxHashMap::default(),
            txn: TxnBuffer::default(),
            last_index: None,
            keeps_events: false,
            problems,
        }
    }

    /// What transactions do, where the workload has any.
    pub(super) const fn txn_kind(&self) -> Option<TxnKind> {
        match self.shapes {
            Shapes::Txn(kind) => Some(kind),
            _ => None,
        }
    }

    /// Adds an event.
    pub fn push(&mut self, event: Event) {
        self.push_from(event, None);
    }

    /// Of another tool's making.
    pub(super) fn set_foreign(&mut self) {
        self.history.is_foreign = true;
        // Another tool's set is judged as Jepsen judges it.
        if jepsen::by_name(&self.history.header.workload).is_some() {
            self.shapes = Shapes::Jepsen;
        }
    }

    /// Whether the values bear keys.
    pub(super) const fn set_keyed(&mut self, keyed: bool) {
        self.history.is_keyed = keyed;
    }

    /// Every event is kept as it is pushed, for those who write the history down again.
    pub(super) const fn keep_events(&mut self) {
        self.keeps_events = true;
    }

    /// An event of a foreign file that is no operation: only kept.
    pub(super) fn push_aside(&mut self, event: Event) {
        self.history.others += 1;
        if self.keeps_events {
            self.history.kept.push(event);
        }
    }

    /// The order of events says nothing but each process' own.
    pub(super) const fn set_timeless(&mut self) {
        self.history.is_timeless = true;
    }

    /// No operation says whose it is.
    pub(super) const fn set_nameless(&mut self) {
        self.history.names_processes = false;
    }

    /// The number of what is no integer: one that no integer of the history has, for those below
    /// [`SYMBOLS_MAX`] above the least are given numbers, too.
    pub(super) fn symbol(&mut self, text: &str) -> i64 {
        if let Some(known) = self.symbol_ids.get(text) {
            return *known;
        }
        let id = i64::MIN + self.history.symbols.len() as i64;
        let text: Arc<str> = text.into();
        self.history.symbols.push(text.clone());
        self.symbol_ids.insert(text, id);
        id
    }

    /// An integer as it is, unless it could be taken for a symbol.
    pub(super) fn int(&mut self, int: i64) -> i64 {
        if int < i64::MIN + SYMBOLS_MAX { self.symbol(&int.to_string()) } else { int }
    }

    /// What the operation in flight of this process does.
    pub(super) fn invoked_f(&self, process: u32) -> Option<F> {
        let in_flight = self.in_flight.get(&process).filter(|in_flight| in_flight.open)?;
        let f = self.history.columns.f.get(in_flight.id as usize)?;
        self.history.fs.get(usize::from(*f)).cloned()
    }

    /// Notes why an event is left out, as if it had been pushed: its process is busy or free afterwards.
    pub(super) fn refuse(&mut self, process: u32, kind: EventType, problem: Problem) {
        self.in_flight.insert(process, InFlight { id: NONE_U32, open: kind == EventType::Invoke });
        self.problems.push(problem);
    }

    /// Problems so far.
    #[must_use]
    pub const fn problems(&self) -> &Problems {
        &self.problems
    }

    pub(super) fn note(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(super) fn push_from(&mut self, event: Event, line: Option<u64>) {
        self.push_txn(event, None, line);
    }

    /// `txn`: the transaction that the event's value is, where it has been taken apart already.
    pub(super) fn push_txn(&mut self, event: Event, txn: Option<&TxnBuffer>, line: Option<u64>) {
        let index = event.index;
        let kept = self.keeps_events.then(|| {
            let mut kept = event.clone();
            if let Some(txn) = txn {
                kept.value = txn_value(txn.universe(), txn.mops(), |_| None);
            }
            kept
        });
        match self.try_push(event, txn) {
            Ok(()) => self.history.kept.extend(kept),
            Err(message) => self.problems.push(Problem { line, column: None, event_index: Some(index), message }),
        }
    }

    fn try_push(&mut self, event: Event, txn: Option<&TxnBuffer>) -> Result<(), String> {
        let Ok(index) = u32::try_from(event.index) else {
            return Err("the index does not fit into 32 bits".into());
        };
        if index == NONE_U32 {
            return Err("the index does not fit into 32 bits".into());
        }
        if let Some(last) = self.last_index
            && event.index <= last
        {
            return Err(format!("the index does not increase: it follows {last}"));
        }
        self.last_index = Some(event.index);
        if event.time_ns < self.history.time_end_ns {
            return Err(format!("time goes backwards: {} ns follows {} ns", event.time_ns, self.history.time_end_ns));
        }
        self.history.time_end_ns = event.time_ns;
        self.history.events += 1;
        match event.process {
            Process::Client(process) => match event.kind {
                EventType::Invoke => self.invoke(process, index, event, txn),
                EventType::Ok => self.complete(process, index, event, txn, Outcome::Ok),
                EventType::Fail => self.complete(process, index, event, txn, Outcome::Fail),
                EventType::Info => self.complete(process, index, event, txn, Outcome::Info),
            },
            Process::Nemesis | Process::Monitor | Process::Harness => self.side(event),
        }
    }

    /// A refused invocation leaves its process at a skipped operation, so that its completion is not reported too.
    fn invoke(&mut self, process: u32, index: u32, mut event: Event, txn: Option<&TxnBuffer>) -> Result<(), String> {
        if let Some(InFlight { id, open: true }) = self.in_flight.get(&process) {
            return Err(match self.history.columns.invoke_index.get(*id as usize) {
                Some(since) => format!("process {process} invokes while its operation of event {since} is in flight"),
                None => format!("process {process} invokes while an operation is in flight"),
            });
        }
        // Skipped until it proves well formed.
        self.in_flight.insert(process, InFlight { id: NONE_U32, open: true });
        if let Some(complaint) = self.shapes.complaint(&event.f, &event.value, false) {
            return Err(format!("{}: {complaint}", event.f.name()));
        }
        let f = self.intern_f(&event.f)?;
        let node = self.intern_node(event.node)?;
        let columns = &mut self.history.columns;
        let Ok(id) = u32::try_from(columns.process.len()) else {
            return Err("too many operations".into());
        };
        if let Shapes::Txn(kind) = self.shapes {
            let value = std::mem::replace(&mut event.value, Value::Nil);
            let txn = taken_apart(kind, txn, &mut self.txn, &value)?;
            self.history.txns.push(txn)?;
        }
        columns.invoke_index.push(index);
        columns.complete_index.push(NONE_U32);
        columns.invoke_ns.push(event.time_ns);
        columns.latency_ns.push(0);
        columns.process.push(process);
        columns.f.push(f);
        columns.flags.push(Outcome::Info as u8 | if event.is_final { FINAL } else { 0 });
        columns.node.push(node);
        columns.error.push(NONE_U16);
        columns.value.push(event.value);
        self.in_flight.insert(process, InFlight { id, open: true });
        Ok(())
    }

    fn complete(
        &mut self,
        process: u32,
        index: u32,
        mut event: Event,
        txn: Option<&TxnBuffer>,
        outcome: Outcome,
    ) -> Result<(), String> {
        let id = match self.in_flight.get(&process) {
            None => return Err(format!("process {process} completes an operation that it never invoked")),
            Some(InFlight { id, open: false }) => {
                return Err(match self.history.columns.complete_index.get(*id as usize) {
                    Some(before) if *before != NONE_U32 => {
                        format!("process {process} completes an operation that ended with event {before}")
                    }
                    _ => format!("process {process} completes an operation twice"),
                });
            }
            Some(InFlight { id, open: true }) => *id,
        };
        // Whatever is wrong with this completion, the process is free again; the operation stays indeterminate.
        self.in_flight.insert(process, InFlight { id, open: false });
        if id == NONE_U32 {
            return Ok(());
        }
        let at = id as usize;
        let f = &self.history.fs[usize::from(self.history.columns.f[at])];
        if *f != event.f {
            let message = format!("{} completes, but {} was invoked by process {process}", event.f.name(), f.name());
            return Err(message);
        }
        if let Shapes::Txn(kind) = self.shapes {
            let value = std::mem::replace(&mut event.value, Value::Nil);
            match taken_apart(kind, txn, &mut self.txn, &value) {
                Ok(txn) => self.history.txns.complete(at, txn)?,
                Err(message) if outcome == Outcome::Ok => return Err(message),
                // What is said of an unknown end may be anything, `:timeout` for example: then it says nothing.
                Err(_) => {}
            }
        }
        let value = if outcome == Outcome::Ok { self.completed_value(at, event.value, &event.f)? } else { None };
        let node = self.intern_node(event.node)?;
        let error = self.intern_error(event.error);
        if let Some(order) = event.order {
            self.history.orders.insert(id, order);
        }
        let columns = &mut self.history.columns;
        columns.complete_index[at] = index;
        columns.set_complete_ns(at, event.time_ns);
        columns.flags[at] = outcome as u8 | (columns.flags[at] & FINAL) | if event.is_final { FINAL } else { 0 };
        if node != NONE_U8 {
            columns.node[at] = node;
        }
        columns.error[at] = error;
        if let Some(value) = value {
            columns.value[at] = value;
        }
        Ok(())
    }

    /// The value of an `ok` completion, where it says more than the invocation's. A write that is acknowledged with
    /// another value than it was invoked with would be judged by one of the two at random; so it is a problem.
    fn completed_value(&self, at: usize, value: Value, f: &F) -> Result<Option<Value>, String> {
        let invoked = &self.history.columns.value[at];
        let writes = match self.shapes {
            Shapes::Any => false,
            Shapes::Jepsen => !jepsen::answers(f),
            Shapes::Set | Shapes::Register | Shapes::Txn(_) => matches!(f, F::Add | F::Write | F::Cas),
        };
        if writes {
            // What a transfer brought about does not matter.
            let is_free = matches!(f, F::Other(name) if **name == *"transfer");
            if value == Value::Nil || value == *invoked || is_free {
                return Ok(None);
            }
            return Err(format!("{} ends ok with another value than it was invoked with", f.name()));
        }
        if let Some(complaint) = self.shapes.complaint(f, &value, true) {
            return Err(format!("{}: {complaint}", f.name()));
        }
        if self.shapes == Shapes::Register
            && value.as_keyed().map(|(key, _)| key) != invoked.as_keyed().map(|(key, _)| key)
        {
            return Err("a read ends ok with another key than it was invoked with".into());
        }
        Ok(Some(value))
    }

    fn side(&mut self, event: Event) -> Result<(), String> {
        if event.kind != EventType::Info {
            return Err(format!("an event of \"{}\" must be of type info", event.process));
        }
        match (event.process, event.f.name()) {
            (Process::Nemesis, _) => self.history.faults.push(typed(&event)?),
            (Process::Monitor, "claim") => self.history.claims.push(typed(&event)?),
            (Process::Monitor, "clock") => self.history.clocks.push(typed(&event)?),
            (Process::Harness, "phase") => self.history.phases.push(typed(&event)?),
            (Process::Harness, "recovery") => self.history.recovery.push(typed(&event)?),
            (Process::Harness, "probe") => self.history.probes.push(typed(&event)?),
            (process, f) => return Err(format!("\"{process}\" has no f \"{f}\"")),
        }
        Ok(())
    }

    fn intern_f(&mut self, f: &F) -> Result<u8, String> {
        let known = match f {
            F::Read => 0,
            F::Write => 1,
            F::Cas => 2,
            F::Add => 3,
            F::Txn => 4,
            F::Other(_) => match self.history.fs.iter().position(|known| known == f) {
                Some(at) => at,
                None => {
                    self.history.fs.push(f.clone());
                    self.history.fs.len() - 1
                }
            },
        };
        u8::try_from(known).map_err(|_| "more than 256 different f".into())
    }

    fn intern_node(&mut self, node: Option<Arc<str>>) -> Result<u8, String> {
        let Some(node) = node else { return Ok(NONE_U8) };
        let nodes = &mut self.history.nodes;
        let at = nodes.iter().position(|known| *known == node).unwrap_or(nodes.len());
        match u8::try_from(at) {
            Ok(interned) if interned != NONE_U8 => {
                if at == nodes.len() {
                    nodes.push(node);
                }
                Ok(interned)
            }
            _ => Err("more than 255 different nodes".into()),
        }
    }

    /// One text is kept per class. Past 65 thousand classes (a client that puts a message into the class), the rest
    /// share the last one.
    fn intern_error(&mut self, error: Option<OpError>) -> u16 {
        let Some(error) = error else { return NONE_U16 };
        if let Some(known) = self.error_classes.get(&error.class) {
            return *known;
        }
        let errors = &mut self.history.errors;
        match u16::try_from(errors.len()) {
            Ok(new) if new < NONE_U16 => {
                self.error_classes.insert(error.class.clone(), new);
                errors.push(error);
                new
            }
            _ => NONE_U16 - 1,
        }
    }

    /// The history, if it had no problem.
    pub fn finish(self) -> Result<History, Problems> {
        match self.finish_lenient() {
            (history, problems) if problems.is_empty() => Ok(history),
            (_, problems) => Err(problems),
        }
    }

    /// The history without the events that had a problem, and the problems. For the loop that records a run: its own
    /// history is well formed, and where it is not, the user still wants the report (and to hear of it).
    #[must_use]
    pub fn finish_lenient(mut self) -> (History, Problems) {
        self.history.columns.shrink();
        self.history.txns.shrink();
        (self.history, self.problems)
    }
}

/// A transaction, taken apart.
fn taken_apart<'t>(
    kind: TxnKind,
    txn: Option<&'t TxnBuffer>,
    buffer: &'t mut TxnBuffer,
    value: &Value,
) -> Result<&'t TxnBuffer, String> {
    if let Some(txn) = txn {
        return Ok(txn);
    }
    // The words of our own files are integers already.
    let mut fits = true;
    let mut int_of = |value: &Value| {
        value.as_int().unwrap_or_else(|| {
            fits = false;
            0
        })
    };
    let filled = buffer.fill(kind, value, &mut int_of);
    if filled && fits { Ok(buffer) } else { Err(format!("txn: {}", kind.complaint())) }
}

/// A side channel's value in its type.
fn typed<T: DeserializeOwned>(event: &Event) -> Result<SideEvent<T>, String> {
    let value = T::deserialize(event.value.to_json())
        .map_err(|error| format!("malformed value of \"{}\" {}: {error}", event.process, event.f.name()))?;
    Ok(SideEvent { index: event.index, time_ns: event.time_ns, value })
}
