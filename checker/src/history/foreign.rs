//! Histories of other tools, made into ours: the shape that a model's values have here, keys and values of any kind as
//! integers ([`HistoryBuilder::symbol`]), events numbered by their place.
//!
//! What holds of our own files and not of theirs: `:index` may be missing or nil, `:time` missing or going backwards (the
//! order of events is what counts, and a warning says so), a register's values may bear a key or not, and what is not
//! done by a numbered process (`:nemesis`) is no operation.

use std::sync::Arc;

use super::{
    Event, EventType, F, Header, HistoryBuilder, Loaded, OpError, Problem, Problems, Process, TxnKind, Value, plain,
    txns::{TxnBuffer, items},
};
use crate::{
    jepsen::{self, JepsenModel},
    linearizability::models::{self, AnyModel, ModelOp},
};

/// An event as another tool wrote it.
#[derive(Debug)]
pub(super) struct ForeignEvent {
    pub(super) kind: EventType,
    pub(super) who: Who,
    /// What it does; nil or missing in a completion: what was invoked.
    pub(super) f: Option<F>,
    pub(super) value: Value,
    /// A key beside the value, as Porcupine's kv logs have it.
    pub(super) key: Option<Value>,
    pub(super) time_ns: Option<i64>,
    pub(super) error: Option<OpError>,
    pub(super) node: Option<Arc<str>>,
    /// The value is certainly a key with a value.
    pub(super) is_tuple: bool,
    pub(super) is_final: bool,
    pub(super) order: Option<i64>,
}

/// Whose event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// A client process.
    Number(i64),
    /// The nemesis or another that carries out no operations: the monitor and the run itself by our names, all others
    /// as the nemesis.
    Other(Process),
    /// It is not said.
    Nobody,
}

/// Operations that do not say whose they are: each gets a process while it is in flight.
#[derive(Debug, Default)]
struct Nameless {
    /// What is in flight, in the order of invocation.
    open: Vec<(u32, F, Value)>,
    free: Vec<u32>,
    processes: u32,
}

impl Nameless {
    fn invoke(&mut self, f: &F, value: &Value) -> u32 {
        let process = self.free.pop().unwrap_or_else(|| {
            self.processes += 1;
            self.processes - 1
        });
        self.open.push((process, f.clone(), value.clone()));
        process
    }

    /// The operation that ends here: the earliest that does the same, of writes with the same value.
    fn end(&mut self, f: &F, value: &Value) -> Result<u32, String> {
        let same = |(_, other, argument): &(u32, F, Value)| {
            other == f && (jepsen::answers(f) || *value == Value::Nil || argument == value)
        };
        let mut candidates = self.open.iter().enumerate().filter(|(_, open)| same(open));
        let Some((at, _)) = candidates.next() else {
            return Err(format!("{} ends, but none was invoked that it could be", f.name()));
        };
        if *value == Value::Nil && !jepsen::answers(f) && candidates.next().is_some() {
            return Err(format!("without :process and :value it is not told which {} ends", f.name()));
        }
        let (process, ..) = self.open.remove(at);
        self.free.push(process);
        Ok(process)
    }
}

impl Who {
    /// Whoever this names.
    pub(super) fn of(value: &Value) -> Self {
        let word = match value {
            Value::Int(number) => return Self::Number(*number),
            Value::Nil => return Self::Nobody,
            Value::Other(json) => json.as_str().unwrap_or_default(),
            _ => "",
        };
        Self::Other(match word.trim_start_matches(':') {
            "monitor" => Process::Monitor,
            "schism" => Process::Harness,
            _ => Process::Nemesis,
        })
    }
}

/// A history in the making.
pub(super) struct Foreign {
    builder: HistoryBuilder,
    /// Where it is one that values can be held against.
    model: Option<&'static dyn AnyModel>,
    /// Or one of Jepsen's checkers.
    jepsen: Option<&'static JepsenModel>,
    shape: Shape,
    /// Reads are of accounts with balances.
    has_accounts: bool,
    /// Whether operations say whose they are; the first one tells.
    named: Option<bool>,
    nameless: Nameless,
    /// The transaction of the event at hand.
    txn: TxnBuffer,
    index: u64,
    time_ns: u64,
    /// The first event at which time goes backwards, and how often it does.
    backwards: Option<(u64, u64)>,
    /// A list stood around all operations.
    is_list: bool,
}

/// What is made of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `[key, value]`; whether the file has keys is told by its first operation.
    Register {
        keyed: Option<bool>,
    },
    /// An element or a list of elements, as integers.
    Elements,
    Txn(TxnKind),
    /// `[key, value]`, from a key that stands beside.
    Keyed,
    AsIs,
}

impl Foreign {
    /// `keep`: every event, for those who write it down again.
    pub(super) fn new(model: &str, keep: bool) -> Self {
        let mut builder = HistoryBuilder::new(Header {
            schism_history: Header::VERSION,
            workload: model.into(),
            target: String::new(),
            seed: 0,
            clients: 0,
            nodes: Vec::new(),
            consistency_models: Vec::new(),
        });
        builder.set_foreign();
        if keep {
            builder.keep_events();
        }
        let jepsen = jepsen::by_name(model);
        let shape = match model {
            "register" | "cas-register" => Shape::Register { keyed: None },
            "kv" => Shape::Keyed,
            _ if jepsen.is_some_and(|model| model.has_elements) => Shape::Elements,
            other => TxnKind::of(other).map_or(Shape::AsIs, Shape::Txn),
        };
        Self {
            builder,
            model: models::by_name(model),
            jepsen,
            shape,
            has_accounts: model == "bank",
            txn: TxnBuffer::default(),
            named: None,
            nameless: Nameless::default(),
            index: 0,
            time_ns: 0,
            backwards: None,
            is_list: false,
        }
    }

    /// The order of its events says nothing but each process' own.
    pub(super) const fn set_timeless(&mut self) {
        self.builder.set_timeless();
    }

    /// Something is wrong with the next event, which is at this line.
    pub(super) fn note(&mut self, line: Option<u64>, message: String) {
        self.problem(Problem { line, column: None, event_index: Some(self.index), message });
        self.index += 1;
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.builder.note(problem);
    }

    /// Where a reader can take transactions apart itself, before [`Foreign::push_txn`].
    pub(super) fn txn(&mut self) -> Option<(TxnKind, &mut TxnBuffer)> {
        match self.shape {
            Shape::Txn(kind @ (TxnKind::ListAppend | TxnKind::RwRegister)) => Some((kind, &mut self.txn)),
            _ => None,
        }
    }

    pub(super) fn push(&mut self, event: ForeignEvent, line: Option<u64>) {
        self.push_txn(event, false, line);
    }

    /// `is_taken_apart`: the event's value is in [`Foreign::txn`] already.
    pub(super) fn push_txn(&mut self, event: ForeignEvent, is_taken_apart: bool, line: Option<u64>) {
        let index = self.index;
        self.index += 1;
        if let Who::Other(process) = event.who {
            return self.push_aside(index, process, event);
        }
        // jepsen.mysql's wait until every node has a universe's first rows: no part of the test.
        let waits = |f: &F| f.name() == "await-init";
        if self.shape == Shape::Txn(TxnKind::ClosedPredicate) && event.f.as_ref().is_some_and(waits) {
            return self.push_aside(index, Process::Harness, event);
        }
        let problem = |message: String| Problem { line, column: None, event_index: Some(index), message };
        let process = match self.process_of(&event) {
            Ok(process) => process,
            Err(message) => return self.builder.note(problem(message)),
        };
        // Transactions are the only operations of their models, and Elle's own histories often do not name them.
        let usual = matches!(self.shape, Shape::Txn(_)).then_some(F::Txn);
        let Some(f) = event.f.or_else(|| self.builder.invoked_f(process)).or(usual) else {
            return self.builder.refuse(process, event.kind, problem("an operation without :f".into()));
        };
        // What did not end ok says nothing that the invocation did not.
        let mut is_txn = is_taken_apart;
        let value = match (event.kind, self.shape) {
            (_, Shape::Txn(_)) if is_taken_apart => Ok(Value::Nil),
            (kind, Shape::Txn(txn)) => {
                is_txn = self.take_apart(txn, &event.value);
                // The end of an indeterminate transaction says what it read, if it says anything.
                match kind {
                    EventType::Invoke | EventType::Ok if !is_txn => Err(txn.complaint().to_owned()),
                    _ => Ok(Value::Nil),
                }
            }
            (EventType::Fail | EventType::Info, _) => Ok(Value::Nil),
            (kind, _) => self.shape(kind, &f, event.value, event.key, event.is_tuple),
        };
        let value = match value {
            Ok(value) => value,
            Err(message) => {
                return self.builder.refuse(process, event.kind, problem(format!("{}: {message}", f.name())));
            }
        };
        let time_ns = event.time_ns.and_then(|time| u64::try_from(time).ok()).unwrap_or(self.time_ns);
        if time_ns < self.time_ns {
            self.backwards.get_or_insert((index, 0)).1 += 1;
        }
        self.time_ns = self.time_ns.max(time_ns);
        let event = Event {
            index,
            time_ns: self.time_ns,
            process: Process::Client(process),
            kind: event.kind,
            f,
            value,
            error: event.error,
            node: event.node,
            is_final: event.is_final,
            order: event.order,
        };
        self.builder.push_txn(event, is_txn.then_some(&self.txn), line);
    }

    /// Micro-operations with whatever keys and elements as integers. Gives false where the value is no transaction.
    fn take_apart(&mut self, kind: TxnKind, value: &Value) -> bool {
        let mut txn = std::mem::take(&mut self.txn);
        let is_txn = txn.fill(kind, value, |value| self.int_of(value));
        self.txn = txn;
        is_txn
    }

    fn push_aside(&mut self, index: u64, process: Process, event: ForeignEvent) {
        self.builder.push_aside(Event {
            index,
            time_ns: self.time_ns,
            process,
            kind: event.kind,
            f: event.f.unwrap_or_else(|| F::from_name("nil")),
            value: event.value,
            error: event.error,
            node: event.node,
            is_final: event.is_final,
            order: event.order,
        });
    }

    fn shape(
        &mut self,
        kind: EventType,
        f: &F,
        value: Value,
        key: Option<Value>,
        is_tuple: bool,
    ) -> Result<Value, String> {
        match self.shape {
            Shape::Register { keyed } => {
                let keyed = keyed.unwrap_or_else(|| is_tuple || key.is_some() || has_key(f, &value));
                self.shape = Shape::Register { keyed: Some(keyed) };
                self.builder.set_keyed(keyed);
                let (key, value) = match (keyed, key) {
                    (true, Some(key)) => (self.int_of(&key), value),
                    (false, Some(_)) => return Err("it has a key, which the first operation has not".into()),
                    (false, None) => (0, value),
                    (true, None) => {
                        let [key, value] =
                            parts(&value).ok_or("the value must be [key value], as the first operation's value is")?;
                        (self.int_of(&key), value)
                    }
                };
                Ok(self.register(kind, f, key, &value))
            }
            Shape::Elements => {
                let value = self.of_elements(kind, f, value);
                self.of_jepsen(kind, f, value)
            }
            Shape::Keyed => {
                self.of_model(kind, f, key.map_or_else(|| value.clone(), |key| Value::list(vec![key, value.clone()])))
            }
            Shape::Txn(_) | Shape::AsIs => {
                let value = self.of_jepsen(kind, f, value)?;
                let value = if self.has_accounts && *f == F::Read { self.accounts(&value) } else { value };
                self.of_model(kind, f, value)
            }
        }
    }

    /// Elements as integers: those of a list where a list is answered, else one.
    fn of_elements(&mut self, kind: EventType, f: &F, value: Value) -> Value {
        if kind == EventType::Invoke && jepsen::answers(f) || value == Value::Nil {
            return Value::Nil;
        }
        match f.name() {
            "read" | "drain" => self.elements(&value),
            _ => Value::Int(self.int_of(&value)),
        }
    }

    /// A map of accounts to balances as pairs. What is none is not of an ok read, and so tells nothing.
    fn accounts(&mut self, value: &Value) -> Value {
        let Value::Other(json) = value else { return Value::Nil };
        let Some(object) = json.as_object() else { return Value::Nil };
        let mut pairs = Vec::with_capacity(object.len());
        for (account, balance) in object {
            // Names that are numbers are told from texts by their quotes.
            let number = account.parse().ok().filter(|number: &i64| number.to_string() == *account);
            let account = match number {
                Some(number) => self.builder.int(number),
                None => self.builder.symbol(&plain(account)),
            };
            pairs.push(Value::keyed(account, balance.as_i64()));
        }
        Value::List(Box::new(pairs))
    }

    /// What Jepsen's checker has no objection to.
    fn of_jepsen(&self, kind: EventType, f: &F, value: Value) -> Result<Value, String> {
        match self.jepsen.and_then(|model| model.complaint(f, &value, kind == EventType::Ok)) {
            Some(complaint) => Err(complaint),
            None => Ok(value),
        }
    }

    /// The process of an operation's event.
    fn process_of(&mut self, event: &ForeignEvent) -> Result<u32, String> {
        let named = *self.named.get_or_insert(event.who != Who::Nobody);
        let number = match event.who {
            Who::Number(number) if named => number,
            Who::Number(_) => return Err("an operation with :process, where the first one has none".into()),
            Who::Nobody if named => return Err("an operation without :process".into()),
            Who::Nobody | Who::Other(_) => {
                if !self.jepsen.is_some_and(|model| model.pairs_freely) {
                    return Err("an operation without :process: which one ends when is not told".into());
                }
                self.builder.set_nameless();
                let f = event.f.as_ref().ok_or("an operation without :process and :f")?;
                return match event.kind {
                    EventType::Invoke => Ok(self.nameless.invoke(f, &event.value)),
                    _ => self.nameless.end(f, &event.value),
                };
            }
        };
        u32::try_from(number).map_err(|_| format!("{number} is no process number: they are from 0 to {}", u32::MAX))
    }

    /// What the model has no objection to, whoever does it.
    fn of_model(&self, kind: EventType, f: &F, value: Value) -> Result<Value, String> {
        let op = ModelOp { f: f.name(), value: &value, is_ok: kind == EventType::Ok, process: 0 };
        match self.model.and_then(|model| model.complaint(&op)) {
            Some(complaint) => Err(complaint),
            None => Ok(value),
        }
    }

    /// A register's operation as it is written here. What has the wrong shape stays as it is, for the history to name.
    fn register(&mut self, kind: EventType, f: &F, key: i64, value: &Value) -> Value {
        match f {
            F::Cas => {
                let Some([old, new]) = parts(value) else { return value.clone() };
                match (self.optional(&old), self.optional(&new)) {
                    (Some(old), Some(new)) => Value::cas(key, old, new),
                    (old, new) => {
                        let item = |of: Option<i64>| of.map_or(Value::Nil, Value::Int);
                        Value::List(Box::new(vec![Value::Int(key), Value::List(Box::new(vec![item(old), item(new)]))]))
                    }
                }
            }
            F::Read if kind == EventType::Invoke => Value::keyed(key, None),
            _ => Value::keyed(key, self.optional(value)),
        }
    }

    fn elements(&mut self, value: &Value) -> Value {
        match value {
            Value::Nil | Value::Ints(_) | Value::Pair(..) => value.clone(),
            other => items(other).map_or_else(
                || other.clone(),
                |items| Value::ints(items.iter().map(|item| self.int_of(item)).collect()),
            ),
        }
    }

    fn optional(&mut self, value: &Value) -> Option<i64> {
        (*value != Value::Nil).then(|| self.int_of(value))
    }

    fn int_of(&mut self, value: &Value) -> i64 {
        match value {
            Value::Int(int) => self.builder.int(*int),
            Value::Other(json) if json.is_string() => self.builder.symbol(json.as_str().unwrap_or_default()),
            other => self.builder.symbol(&other.to_json().to_string()),
        }
    }

    /// A list stood around all operations: where it is empty, none were meant, and the file was not cut off.
    pub(super) const fn was_list(&mut self) {
        self.is_list = true;
    }

    pub(super) fn finish(self, mut warnings: Vec<String>) -> Result<Loaded, Problems> {
        if let Some((event, times)) = self.backwards {
            warnings.push(format!(
                "time goes backwards at event {event}{}: the order of the events counts, not their times",
                if times > 1 { format!(" and {} more times", times - 1) } else { String::new() }
            ));
        }
        if self.index == 0 && !self.is_list && self.builder.problems().is_empty() {
            let message = "no operation in the file".into();
            return Err(Problems::from(Problem { line: None, column: None, event_index: None, message }));
        }
        self.builder.finish().map(|history| Loaded { history, warnings })
    }
}

/// Whether a register's first operation bears a key.
fn has_key(f: &F, value: &Value) -> bool {
    match f {
        // `[old new]`, or `[key [old new]]`.
        F::Cas => parts(value).is_some_and(|[_, pair]| parts(&pair).is_some()),
        _ => parts(value).is_some(),
    }
}

/// The two parts of a list of two.
fn parts(value: &Value) -> Option<[Value; 2]> {
    Some(match value {
        Value::Pair(first, second) => [Value::Int(i64::from(*first)), Value::Int(*second)],
        Value::KeyedPair(triple) => [Value::Int(triple.0), Value::ints(vec![triple.1, triple.2])],
        Value::Ints(ints) => {
            let [first, second] = ints[..] else { return None };
            [Value::Int(first), Value::Int(second)]
        }
        Value::List(items) => {
            let [first, second] = &items[..] else { return None };
            [first.clone(), second.clone()]
        }
        Value::Txn(_) | Value::Nil | Value::Int(_) | Value::Other(_) => return None,
    })
}
