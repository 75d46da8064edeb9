//! What several tests need: histories with known verdicts beside the checkout, and just enough EDN to read them.
#![allow(dead_code, unreachable_pub, clippy::print_stderr)]

use std::{collections::BTreeMap, path::PathBuf};

use schism_checker::history::{Event, EventType, F, Header, History, HistoryBuilder, Mop, OpError, Process, Value};

/// The folder of conformance histories, or `None`, said loudly.
pub fn conformance(what: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SCHISM_CONFORMANCE")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance"), PathBuf::from);
    let path = root.join(what);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: no conformance histories at {}", path.display());
    None
}

pub fn header(workload: &str, models: &[&str]) -> Header {
    Header {
        schism_history: Header::VERSION,
        workload: workload.into(),
        target: "conformance".into(),
        seed: 0,
        clients: 0,
        nodes: vec![],
        consistency_models: models.iter().map(|model| (*model).into()).collect(),
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Edn {
    Nil,
    Int(i64),
    Word(String),
    Text(String),
    List(Vec<Edn>),
    Map(Vec<(Edn, Edn)>),
}

impl Edn {
    pub fn get(&self, name: &str) -> &Self {
        let Self::Map(pairs) = self else { return &Self::Nil };
        let found = pairs.iter().find(|(key, _)| matches!(key, Self::Word(word) if word == name));
        found.map_or(&Self::Nil, |(_, value)| value)
    }

    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }

    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(list) => list,
            _ => &[],
        }
    }
}

/// All forms of a text.
pub fn edn(text: &str) -> Vec<Edn> {
    let mut rest = text;
    let mut forms = Vec::new();
    while let Some(form) = form(&mut rest) {
        forms.push(form);
    }
    forms
}

fn form(rest: &mut &str) -> Option<Edn> {
    *rest = rest.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ',');
    if rest.starts_with('#') {
        // A tagged map: the tag tells nothing here.
        *rest = &rest[rest.find('{')?..];
    }
    let first = rest.chars().next()?;
    match first {
        '[' | '(' | '{' => {
            *rest = &rest[1..];
            let mut items = Vec::new();
            loop {
                *rest = rest.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ',');
                if rest.starts_with([']', ')', '}']) {
                    *rest = &rest[1..];
                    break;
                }
                items.push(form(rest)?);
            }
            if first == '{' {
                let mut pairs = Vec::new();
                let mut items = items.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    pairs.push((key, value));
                }
                return Some(Edn::Map(pairs));
            }
            Some(Edn::List(items))
        }
        '"' => {
            let end = rest[1..].find('"')? + 1;
            let text = rest[1..end].to_owned();
            *rest = &rest[end + 1..];
            Some(Edn::Text(text))
        }
        _ => {
            let end = rest.find(|letter: char| letter.is_whitespace() || ",[](){}\"".contains(letter));
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            *rest = after;
            if word.is_empty() {
                return None;
            }
            Some(match (word, word.parse()) {
                ("nil", _) => Edn::Nil,
                (_, Ok(int)) => Edn::Int(int),
                (word, _) => Edn::Word(word.trim_start_matches(':').to_owned()),
            })
        }
    }
}

/// Jepsen's op maps, numbered anew, of client processes only.
pub struct Ops {
    pub kind: EventType,
    pub process: u32,
    pub f: String,
    pub value: Edn,
}

pub fn ops(text: &str) -> Vec<Ops> {
    let mut forms = edn(text);
    if let [Edn::List(list)] = &forms[..] {
        forms = list.clone();
    }
    forms
        .iter()
        .filter_map(|form| {
            let kind = match form.get("type").word()? {
                "invoke" => EventType::Invoke,
                "ok" => EventType::Ok,
                "fail" => EventType::Fail,
                "info" => EventType::Info,
                _ => return None,
            };
            let process = u32::try_from(form.get("process").int()?).ok()?;
            let f = form.get("f").word().unwrap_or("txn").to_owned();
            Some(Ops { kind, process, f, value: form.get("value").clone() })
        })
        .collect()
}

/// Builds a history from events in order, and says so where it is malformed.
pub fn build(header: Header, events: impl IntoIterator<Item = (u32, EventType, F, Value)>) -> Result<History, String> {
    let mut builder = HistoryBuilder::new(header);
    for (index, (process, kind, f, value)) in (0_u64..).zip(events) {
        builder.push(Event {
            index,
            time_ns: index * 1_000_000,
            process: Process::Client(process),
            kind,
            f,
            value,
            error: (kind == EventType::Info).then(|| OpError { class: "unknown".into(), text: "".into() }),
            node: None,
            is_final: false,
        });
    }
    builder.finish().map_err(|problems| problems.to_string())
}

/// Register operations, keyed or on key 0.
pub fn register(text: &str, keyed: bool) -> Result<History, String> {
    let mut invoked: BTreeMap<u32, (i64, Edn)> = BTreeMap::new();
    let events = ops(text).into_iter().map(|op| {
        let (key, mut value) = match op.value.list() {
            [key, value] if keyed => (key.int().unwrap_or(0), value.clone()),
            _ => (0, op.value.clone()),
        };
        let mut key = key;
        if op.kind == EventType::Invoke {
            invoked.insert(op.process, (key, value.clone()));
        } else if let Some((invoked_key, invoked_value)) = invoked.get(&op.process) {
            key = *invoked_key;
            // A write's completion repeats it, or says something else entirely (`:timed-out`).
            if op.f != "read" || op.kind != EventType::Ok {
                value = invoked_value.clone();
            }
        }
        let value = match (op.f.as_str(), value.list()) {
            ("cas", [old, new]) => Value::cas(key, old.int().unwrap_or(0), new.int().unwrap_or(0)),
            ("read", _) if op.kind == EventType::Invoke => Value::keyed(key, None),
            _ => Value::keyed(key, value.int()),
        };
        (op.process, op.kind, F::from_name(&op.f), value)
    });
    build(header("register", &[]), events)
}

/// list-append transactions; keys that are words are numbered.
pub fn list_append(text: &str, models: &[&str]) -> Result<History, String> {
    let mut keys: BTreeMap<String, i64> = BTreeMap::new();
    let mut key_of = |key: &Edn| match key {
        Edn::Int(int) => *int,
        other => {
            let next = 1_000_000 + keys.len() as i64;
            *keys.entry(format!("{other:?}")).or_insert(next)
        }
    };
    let mut events = Vec::new();
    for op in ops(text) {
        let mut mops = Vec::new();
        for mop in op.value.list() {
            let (f, key, value) = match mop.list() {
                [f, key] => (f, key, &Edn::Nil),
                [f, key, value] => (f, key, value),
                _ => return Err(format!("no micro-operation: {mop:?}")),
            };
            let key = key_of(key);
            mops.push(match (f.word(), value) {
                (Some("append"), Edn::Int(element)) => Mop::Append { key, element: *element },
                (Some("r"), Edn::Nil) => Mop::Read { key, list: None },
                (Some("r"), Edn::List(list)) => {
                    Mop::Read { key, list: Some(list.iter().filter_map(Edn::int).collect()) }
                }
                _ => return Err(format!("no micro-operation: {mop:?}")),
            });
        }
        events.push((op.process, op.kind, F::Txn, Value::txn(mops)));
    }
    build(header("list-append", models), events)
}
