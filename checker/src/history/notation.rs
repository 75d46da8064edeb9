//! A history in few lines, for tests: short enough that a person can check it.
//!
//! Events stand apart by a line's end or `;`. Each begins with a process and a mark:
//!
//! | mark | meaning | example |
//! |---|---|---|
//! | `>` | invokes | `0> add 5` |
//! | `+` | ends ok | `0+`, for a read `0+ [5 6]` |
//! | `-` | fails | `0-` |
//! | `?` | ends indeterminate | `0?` |
//! | `:` | invokes and ends ok, with nothing in between | `0: read [5 6]` |
//!
//! Operations, and what a read's completion adds:
//!
//! | operation | | completion of its read |
//! |---|---|---|
//! | `add 5`, `read` | a set | `[5 6]` |
//! | `w 1 5`, `cas 1 5 6`, `r 1` | a register: key, value(s) | `5` or `nil` |
//! | `txn a 1 5, r 1, r 2` | list-append: append to key 1, read keys 1 and 2 | `txn a 1 5, r 1 [5], r 2 nil` |
//! | `txn w 1 5, r 2` | rw-register: write key 1, read key 2 | `txn w 1 5, r 2 7` |
//! | `init insert 1 5`, `txn insert 2 6, delete 1, select mod 2 = 1` (or `= 5`, or `true`) | closed-predicate: what there is at first; then insert and delete rows, read by predicate | `txn insert 2 6, delete 1, select mod 2 = 1 {1 5, 3 7}` |
//!
//! After that, in any order: `@n1` (node), `!timeout` (class of the error), `final`, `t=12` (time in milliseconds;
//! else one more than the event before). Side channels:
//!
//! ```text
//! claim n1 primary asked=3       asked: milliseconds, else the event's own time
//! fault 0 partition inject n1,n2         stages as in FaultStage; effective: now
//! phase faults
//! recovery true 120
//! ```
//!
//! `#` begins a comment. `models=serializable,snapshot-isolation`, `nodes=n1,n2` and `clients=3`, each on a line of
//! its own, set the header; without, nodes are those named, by name, and clients as many as needed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{
    ClaimEvent, ClaimedRole, Event, EventType, F, FaultEvent, FaultStage, Header, History, HistoryBuilder, Mop,
    OpError, Phase, PhaseEvent, Predicate, Process, RecoveryEvent, TxnKind, Value,
};

const NS_PER_MS: u64 = 1_000_000;

/// The history that `text` spells.
pub fn history(workload: &str, text: &str) -> Result<History, String> {
    let (header, events) = parse(workload, text)?;
    let mut builder = HistoryBuilder::new(header);
    for event in events {
        builder.push(event);
    }
    builder.finish().map_err(|problems| problems.to_string())
}

/// Header and events of the history that `text` spells, well formed or not.
pub fn parse(workload: &str, text: &str) -> Result<(Header, Vec<Event>), String> {
    let mut parser = Parser::default();
    let mut header = Header {
        schism_history: Header::VERSION,
        workload: workload.into(),
        target: "test".into(),
        seed: 0,
        clients: 0,
        nodes: Vec::new(),
        consistency_models: Vec::new(),
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        for part in line.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            if let Some(models) = part.strip_prefix("models=") {
                header.consistency_models = models.split(',').map(Into::into).collect();
            } else if let Some(nodes) = part.strip_prefix("nodes=") {
                header.nodes = nodes.split(',').map(Into::into).collect();
            } else if let Some(clients) = part.strip_prefix("clients=") {
                header.clients = clients.parse().map_err(|_| format!("{part}: not a number"))?;
            } else {
                parser.part(part).map_err(|message| format!("{part}: {message}"))?;
            }
        }
    }
    if header.nodes.is_empty() {
        header.nodes = parser.nodes.into_iter().collect();
    }
    if header.clients == 0 {
        let highest = parser.events.iter().filter_map(|event| event.process.client()).max();
        header.clients = highest.map_or(1, |highest| highest.saturating_add(1));
    }
    Ok((header, parser.events))
}

#[derive(Default)]
struct Parser {
    events: Vec<Event>,
    nodes: BTreeSet<String>,
    time_ms: u64,
    /// Operation in flight by process: its f and value.
    open: std::collections::BTreeMap<u32, (F, Value)>,
}

/// What stands after an operation.
#[derive(Default)]
struct Tail {
    node: Option<Arc<str>>,
    error: Option<OpError>,
    is_final: bool,
}

impl Parser {
    fn part(&mut self, part: &str) -> Result<(), String> {
        let mut words: Vec<&str> = Vec::new();
        let mut tail = Tail::default();
        let mut time_ms = None;
        let mut asked_ms = None;
        for word in part.split_whitespace() {
            if let Some(node) = word.strip_prefix('@') {
                self.nodes.insert(node.into());
                tail.node = Some(node.into());
            } else if let Some(class) = word.strip_prefix('!') {
                tail.error = Some(OpError { class: class.into(), text: format!("it was {class}").into() });
            } else if word == "final" {
                tail.is_final = true;
            } else if let Some(time) = word.strip_prefix("t=") {
                time_ms = Some(time.parse::<u64>().map_err(|_| "t= needs milliseconds")?);
            } else if let Some(asked) = word.strip_prefix("asked=") {
                asked_ms = Some(asked.parse::<u64>().map_err(|_| "asked= needs milliseconds")?);
            } else {
                words.push(word);
            }
        }
        self.time_ms = time_ms.unwrap_or(self.time_ms + 1);
        let Some((first, rest)) = words.split_first() else { return Err("nothing said".into()) };
        match *first {
            "claim" | "fault" | "phase" | "recovery" => {
                self.side(first, rest, asked_ms.map_or(self.time_ms * NS_PER_MS, |asked| asked * NS_PER_MS))
            }
            _ => self.op(first, rest, tail),
        }
    }

    fn op(&mut self, first: &str, words: &[&str], tail: Tail) -> Result<(), String> {
        let at = first.find(|letter: char| !letter.is_ascii_digit()).ok_or("a mark is missing: > + - ? :")?;
        let process: u32 = first[..at].parse().map_err(|_| "an event begins with a process number")?;
        match &first[at..] {
            ">" => {
                let (f, value) = invoked(words)?;
                self.push(process, EventType::Invoke, f, value, tail);
            }
            ":" => {
                let (f, value) = invoked(words)?;
                let (_, completed) = completed(words)?;
                let node = tail.node.clone();
                let invocation = Tail { node, error: None, is_final: tail.is_final };
                self.push(process, EventType::Invoke, f.clone(), value, invocation);
                self.time_ms += 1;
                self.push(process, EventType::Ok, f, completed, tail);
            }
            mark => {
                let kind = match mark {
                    "+" => EventType::Ok,
                    "-" => EventType::Fail,
                    "?" => EventType::Info,
                    other => return Err(format!("{other} is no mark")),
                };
                let (f, value) = self.open.get(&process).cloned().unwrap_or((F::Read, Value::Nil));
                let value = match (&f, words) {
                    (_, []) => value,
                    (F::Txn, words) => completed(words)?.1,
                    (F::Other(name), words) if **name == *TxnKind::INIT => completed(words)?.1,
                    (F::Read, words) => match value.as_keyed() {
                        Some((key, _)) => Value::keyed(key, optional_int(words)?),
                        None => Value::ints(ints(words)?),
                    },
                    _ => return Err("only a read's completion has a value of its own".into()),
                };
                self.push(process, kind, f, value, tail);
            }
        }
        Ok(())
    }

    fn push(&mut self, process: u32, kind: EventType, f: F, value: Value, tail: Tail) {
        if kind == EventType::Invoke {
            self.open.insert(process, (f.clone(), value.clone()));
        }
        self.events.push(Event {
            index: self.events.len() as u64,
            time_ns: self.time_ms * NS_PER_MS,
            process: Process::Client(process),
            kind,
            f,
            value,
            error: tail.error,
            node: tail.node,
            is_final: tail.is_final,
            order: None,
        });
    }

    fn side(&mut self, kind: &str, words: &[&str], asked_ns: u64) -> Result<(), String> {
        let time_ns = self.time_ms * NS_PER_MS;
        let (process, f, json) = match (kind, words) {
            ("claim", [node, role]) => {
                self.nodes.insert((*node).into());
                let role = match *role {
                    "primary" => ClaimedRole::Primary,
                    "replica" => ClaimedRole::Replica,
                    "neither" => ClaimedRole::Neither,
                    "unreachable" => ClaimedRole::Unreachable,
                    other => return Err(format!("no role {other}")),
                };
                let claim = ClaimEvent { node: (*node).into(), role, term: None, asked_ns };
                (Process::Monitor, "claim", serde_json::to_value(claim))
            }
            ("fault", [id, kind, stage, victims @ ..]) => {
                let stage = match *stage {
                    "inject" => FaultStage::Inject,
                    "injected" => FaultStage::Injected,
                    "heal" => FaultStage::Heal,
                    "healed" => FaultStage::Healed,
                    "failed" => FaultStage::Failed,
                    other => return Err(format!("no stage {other}")),
                };
                let effective = matches!(stage, FaultStage::Injected | FaultStage::Healed);
                let fault = FaultEvent {
                    id: id.parse().map_err(|_| "a fault begins with its id")?,
                    kind: (*kind).into(),
                    stage,
                    target: "primary".into(),
                    victims: victims.iter().flat_map(|list| list.split(',')).map(Into::into).collect(),
                    detail: String::new(),
                    verified: String::new(),
                    measured: Vec::new(),
                    effective_ns: effective.then_some(time_ns),
                };
                (Process::Nemesis, *kind, serde_json::to_value(fault))
            }
            ("phase", [phase]) => {
                let phase = match *phase {
                    "steady" => Phase::Steady,
                    "faults" => Phase::Faults,
                    "heal" => Phase::Heal,
                    "recovery" => Phase::Recovery,
                    "final-reads" => Phase::FinalReads,
                    "done" => Phase::Done,
                    "interrupted" => Phase::Interrupted,
                    other => return Err(format!("no phase {other}")),
                };
                let phase = PhaseEvent { phase, detail: String::new() };
                (Process::Harness, "phase", serde_json::to_value(phase))
            }
            ("recovery", [recovered, waited_ms]) => {
                let recovery = RecoveryEvent {
                    recovered: *recovered == "true",
                    waited_ms: waited_ms.parse().map_err(|_| "recovery needs milliseconds")?,
                    limit_ms: 60_000,
                    missing: if *recovered == "true" { String::new() } else { "a primary".into() },
                };
                (Process::Harness, "recovery", serde_json::to_value(recovery))
            }
            _ => return Err("claim NODE ROLE, fault ID KIND STAGE [VICTIMS], phase NAME, recovery BOOL MS".into()),
        };
        let json = json.map_err(|error| error.to_string())?;
        self.events.push(Event {
            index: self.events.len() as u64,
            time_ns,
            process,
            kind: EventType::Info,
            f: F::from_name(f),
            value: Value::from_json(json),
            error: None,
            node: None,
            is_final: false,
            order: None,
        });
        Ok(())
    }
}

/// f and value of an invocation: reads are still without an answer.
fn invoked(words: &[&str]) -> Result<(F, Value), String> {
    let (f, value) = completed(words)?;
    let value = match (&f, value) {
        (F::Read, value) => match value.as_keyed() {
            Some((key, _)) if words.first() == Some(&"r") => Value::keyed(key, None),
            _ => Value::Nil,
        },
        (F::Txn, Value::Txn(mops)) => Value::txn(
            mops.iter()
                .map(|mop| match mop {
                    Mop::Read { key, .. } => Mop::Read { key: *key, list: None },
                    append @ Mop::Append { .. } => append.clone(),
                })
                .collect(),
        ),
        (F::Txn, Value::List(mops)) => Value::list(mops.iter().map(unanswered).collect()),
        (_, value) => value,
    };
    Ok((f, value))
}

/// A register's micro-operation without the answer of its read.
fn unanswered(mop: &Value) -> Value {
    match mop {
        Value::List(parts) if [Some(&word("r")), Some(&word("rp"))].contains(&parts.first()) => {
            Value::list(parts.iter().take(2).cloned().chain([Value::Nil]).collect())
        }
        other => other.clone(),
    }
}

fn word(word: &str) -> Value {
    Value::Other(Box::new(word.into()))
}

/// f and value with the answers of reads, as far as they stand there.
fn completed(words: &[&str]) -> Result<(F, Value), String> {
    let Some((f, arguments)) = words.split_first() else { return Err("what does it do?".into()) };
    Ok(match (*f, arguments) {
        ("add", [element]) => (F::Add, Value::Int(int(element)?)),
        ("read", []) => (F::Read, Value::Nil),
        ("read", list) => (F::Read, Value::ints(ints(list)?)),
        ("w", [key, value]) => (F::Write, Value::keyed(int(key)?, optional_int(&[value])?)),
        ("cas", [key, old, new]) => (F::Cas, Value::cas(int(key)?, int(old)?, int(new)?)),
        ("r", [key]) => (F::Read, Value::keyed(int(key)?, None)),
        ("r", [key, value]) => (F::Read, Value::keyed(int(key)?, optional_int(&[value])?)),
        (TxnKind::INIT, mops) => {
            (F::from_name(TxnKind::INIT), Value::list(split(&mops.join(" ")).map(row_mop).collect::<Result<_, _>>()?))
        }
        ("txn", mops) => {
            let joined = mops.join(" ");
            let mops = split(&joined);
            if mops.clone().any(is_of_rows) {
                (F::Txn, Value::list(mops.map(row_mop).collect::<Result<_, _>>()?))
            } else if mops.clone().any(is_of_register) {
                (F::Txn, Value::list(mops.map(register_mop).collect::<Result<_, _>>()?))
            } else {
                (F::Txn, Value::txn(mops.map(mop).collect::<Result<_, _>>()?))
            }
        }
        (other, _) => return Err(format!("no operation {other} with these arguments")),
    })
}

/// The micro-operations, which commas set apart; those within braces do not.
fn split(text: &str) -> impl Iterator<Item = &str> + Clone {
    let mut depth = 0;
    let ends = move |letter: char| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    };
    text.split(ends).map(str::trim).filter(|mop| !mop.is_empty())
}

/// Whether only rows can be asked to do this.
fn is_of_rows(mop: &str) -> bool {
    matches!(mop.split_whitespace().next(), Some("insert" | "delete" | "select"))
}

fn row_mop(text: &str) -> Result<Value, String> {
    let of = |text: &str| -> Result<Value, String> {
        let (asked, rows) = text.split_once('{').map_or((text, None), |(asked, rows)| (asked, Some(rows)));
        let words: Vec<&str> = asked.split_whitespace().collect();
        let predicate = match words[..] {
            ["true"] => Predicate::True,
            ["=", value] => Predicate::Equals(int(value)?),
            ["mod", modulus, "=", remainder] => Predicate::Mod { modulus: int(modulus)?, remainder: int(remainder)? },
            _ => return Err(format!("{asked}: true, = VALUE, or mod MODULUS = REMAINDER")),
        };
        let row = |row: &str| match row.split_whitespace().collect::<Vec<_>>()[..] {
            [key, value] => Ok(Value::list(vec![Value::Int(int(key)?), Value::Int(int(value)?)])),
            _ => Err(format!("{row}: KEY VALUE")),
        };
        let rows = match rows.map(|rows| rows.trim_end().trim_end_matches('}')) {
            None => Value::Nil,
            Some(rows) => Value::list(split(rows).map(row).collect::<Result<_, String>>()?),
        };
        Ok(Value::list(vec![word("rp"), predicate.to_value(), rows]))
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        ["select", ..] => of(text.trim_start_matches("select")),
        ["insert", key, value] => Ok(Value::list(vec![word("insert"), Value::Int(int(key)?), Value::Int(int(value)?)])),
        ["delete", key] => Ok(Value::list(vec![word("delete"), Value::Int(int(key)?)])),
        _ => register_mop(text),
    }
}

fn mop(text: &str) -> Result<Mop, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        ["a", key, element] => Ok(Mop::Append { key: int(key)?, element: int(element)? }),
        ["r", key] | ["r", key, "nil"] => Ok(Mop::Read { key: int(key)?, list: None }),
        ["r", key, ..] => Ok(Mop::Read { key: int(key)?, list: Some(ints(&words[2..])?) }),
        _ => Err(format!("{text}: a KEY ELEMENT, or r KEY [LIST]")),
    }
}

/// Whether only a register can do this: what reads nil may be either.
fn is_of_register(mop: &str) -> bool {
    match mop.split_whitespace().collect::<Vec<_>>()[..] {
        ["w", ..] => true,
        ["r", _, value] => value.parse::<i64>().is_ok(),
        _ => false,
    }
}

fn register_mop(text: &str) -> Result<Value, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        ["w", key, value] => Ok(Value::list(vec![word("w"), Value::Int(int(key)?), Value::Int(int(value)?)])),
        ["r", key, ref value @ ..] => {
            let value = if value.is_empty() { None } else { optional_int(value)? };
            let value = value.map_or(Value::Nil, Value::Int);
            Ok(Value::list(vec![word("r"), Value::Int(int(key)?), value]))
        }
        _ => Err(format!("{text}: w KEY VALUE, or r KEY [VALUE]")),
    }
}

fn int(word: &str) -> Result<i64, String> {
    word.parse().map_err(|_| format!("{word} is not an integer"))
}

fn optional_int(words: &[&str]) -> Result<Option<i64>, String> {
    match words {
        ["nil"] => Ok(None),
        [word] => int(word).map(Some),
        _ => Err("one value or nil".into()),
    }
}

fn ints(words: &[&str]) -> Result<Vec<i64>, String> {
    let joined = words.join(" ");
    let inner = joined.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or("a list stands in [ ]")?;
    inner.split_whitespace().map(int).collect()
}
