//! dbcop's JSON: an array of sessions, each an array of transactions, bare or as the `"data"` of an object that says how
//! it came about (Biswas & Enea 2019).
//!
//! | part | today | before 2025 |
//! |---|---|---|
//! | transaction | `{"events": […], "committed": true}` | `{"events": […], "success": true}` |
//! | write | `{"Write": {"variable": 0, "version": 1}}` or `["w", 0, 1]` | `{"write": true, "variable": 0, "value": 1, "success": true}` |
//! | read | `{"Read": {"variable": 0, "version": 1}}` or `["r", 0, 1]` | the same with `"write": false` |
//!
//! What a key holds at first is version `null` today, or 0 where nobody writes that; 0 before. A write that did not
//! succeed was aborted by itself, and a read that did not succeed says nothing. Sessions are numbered from 1.

use std::{fmt, io::Read};

use serde::de::{
    Deserialize as _, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value as Json;

use super::{
    Loaded, Problem, Problems, Value,
    foreign::Foreign,
    json::as_words,
    jsonl::without_place,
    sessions::{RwOp, RwTxn, Sessions, Zero},
};

pub(super) fn read(reader: impl Read, foreign: Foreign) -> Result<Loaded, Problems> {
    let sessions = Sessions::new(foreign);
    let mut file = File { sessions, zero: Zero::InitialUnlessWritten, session: 0, txn: 0, ops: 0 };
    let mut warnings = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    let read = Part::Top.of(&mut file).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    if let Err(error) = read {
        let line = error.line() as u64;
        if error.is_eof() {
            warnings.push(format!(
                "line {line} is cut off and its last transaction was left out: the file was not written to its end"
            ));
        } else {
            let message = without_place(&error.to_string()).to_owned();
            let column = Some(error.column() as u64);
            file.sessions.problem(Problem { line: Some(line), column, event_index: None, message });
        }
    }
    file.sessions.finish(file.zero, warnings)
}

/// With which the object around the sessions may begin.
pub(super) const NAMES: [&[u8]; 5] = [b"\"params\"", b"\"info\"", b"\"start\"", b"\"end\"", b"\"data\""];

struct File {
    sessions: Sessions,
    zero: Zero,
    /// The session and its transaction that are being read, from 1.
    session: u64,
    txn: u64,
    /// Operations so far.
    ops: u64,
}

impl File {
    fn txn(&mut self, mut json: Json) {
        let (session, number) = (self.session, self.txn);
        let committed = json.get("committed").or(json.get("success")).and_then(Json::as_bool);
        let events = json.get_mut("events").map(Json::take);
        let (Some(is_committed), Some(Json::Array(events))) = (committed, events) else {
            return self.problem(format!(
                "session {session}, transaction {number}: expected {{\"events\": […], \"committed\": true or false}}"
            ));
        };
        let mut txn = RwTxn { session, ops: Vec::with_capacity(events.len()), is_committed };
        for event in events {
            match event_of(&event) {
                Some(Op { writes, key, value, is_ok, is_old }) => {
                    if is_old {
                        self.zero = Zero::Initial;
                    }
                    let op = RwOp { writes, key, value, number: self.ops, line: None };
                    match (is_ok, writes) {
                        (true, _) => txn.ops.push(op),
                        (false, true) => {
                            self.sessions.push(RwTxn { session, ops: vec![op], is_committed: false });
                        }
                        (false, false) => {}
                    }
                }
                None => self
                    .problem(format!("session {session}, transaction {number}: no read or write: {}", short(&event))),
            }
            self.ops += 1;
        }
        self.sessions.push(txn);
    }

    fn problem(&mut self, message: String) {
        self.sessions.problem(Problem { line: None, column: None, event_index: Some(self.ops), message });
    }
}

/// A read or write of either dialect.
struct Op {
    writes: bool,
    key: Value,
    value: Value,
    is_ok: bool,
    /// As it was written before 2025.
    is_old: bool,
}

fn event_of(event: &Json) -> Option<Op> {
    // A key or a value that is a list or an object is none.
    let scalar = |json: &Json| (json.is_number() || json.is_string()).then(|| Value::from_json(as_words(json.clone())));
    let op = |writes: bool, key: &Json, value: &Json| {
        let value = if value.is_null() && !writes { Value::Nil } else { scalar(value)? };
        Some(Op { writes, key: scalar(key)?, value, is_ok: true, is_old: false })
    };
    match event {
        Json::Array(parts) => match (parts.first()?.as_str()?, &parts[1..]) {
            ("w", [key, value]) => op(true, key, value),
            ("r", [key, value]) => op(false, key, value),
            _ => None,
        },
        Json::Object(fields) => match (fields.get("Write"), fields.get("Read")) {
            (Some(write), None) => op(true, write.get("variable")?, write.get("version")?),
            (None, Some(read)) => op(false, read.get("variable")?, read.get("version")?),
            _ => {
                let old = op(fields.get("write")?.as_bool()?, fields.get("variable")?, fields.get("value")?)?;
                Some(Op { is_ok: fields.get("success")?.as_bool()?, is_old: true, ..old })
            }
        },
        _ => None,
    }
}

/// So much of it as fits into a message.
fn short(json: &Json) -> String {
    let text = json.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// How deep we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Top,
    Sessions,
    Session,
    Txn,
}

impl Part {
    const fn of(self, file: &mut File) -> Seed<'_> {
        Seed { file, part: self }
    }
}

/// Reads a part, each transaction as it comes: what stands before the end of a cut file is kept.
struct Seed<'f> {
    file: &'f mut File,
    part: Part,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.part {
            Part::Top => deserializer.deserialize_any(self),
            Part::Sessions | Part::Session => deserializer.deserialize_seq(self),
            Part::Txn => {
                let json = Json::deserialize(deserializer)?;
                self.file.txn(json);
                Ok(())
            }
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.part {
            Part::Top => "an array of sessions, or an object with \"data\"",
            Part::Sessions => "an array of sessions",
            Part::Session => "a session: an array of transactions",
            Part::Txn => "a transaction: an object",
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let file = self.file;
        if self.part == Part::Session {
            while items.next_element_seed(Part::Txn.of(file))?.is_some() {
                file.txn += 1;
            }
            return Ok(());
        }
        loop {
            file.session += 1;
            file.txn = 1;
            if items.next_element_seed(Part::Session.of(file))?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(name) = map.next_key::<String>()? {
            if name != "data" {
                map.next_value::<IgnoredAny>()?;
            } else if std::mem::replace(&mut found, true) {
                return Err(A::Error::custom("data twice"));
            } else {
                map.next_value_seed(Part::Sessions.of(self.file))?;
            }
        }
        if found { Ok(()) } else { Err(A::Error::missing_field("data")) }
    }
}
