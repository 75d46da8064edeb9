//! Histories as JSON, as elle-cli reads them: op maps with string keys, one after the other or in one array.

use std::{
    fmt,
    io::{BufRead, Read},
};

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::{
    EventType, F, Loaded, OpError, Problem, Problems, Value,
    foreign::{Foreign, ForeignEvent, Who},
    interned::Words,
    jsonl::without_place,
    value::string_word,
};

pub(super) fn read(mut reader: impl BufRead, foreign: Foreign) -> Result<Loaded, Problems> {
    let mut file = File { foreign, words: Words::default(), warnings: Vec::new() };
    match in_array(&mut reader) {
        Ok(true) => file.array(reader),
        Ok(false) => file.lines(reader),
        Err(error) => file.problem(None, None, format!("cannot be read: {error}")),
    }
    file.foreign.finish(file.warnings)
}

/// Whether an array stands around all.
fn in_array(reader: &mut impl BufRead) -> std::io::Result<bool> {
    loop {
        let text = reader.fill_buf()?;
        match text.iter().position(|byte| !byte.is_ascii_whitespace()) {
            Some(at) => return Ok(text[at] == b'['),
            None if text.is_empty() => return Ok(false),
            None => {
                let blank = text.len();
                reader.consume(blank);
            }
        }
    }
}

struct File {
    foreign: Foreign,
    words: Words,
    warnings: Vec<String>,
}

impl File {
    fn problem(&mut self, line: Option<u64>, column: Option<u64>, message: String) {
        self.foreign.problem(Problem { line, column, event_index: None, message });
    }

    fn lines(&mut self, reader: impl BufRead) {
        let mut reader = reader;
        let mut text = Vec::new();
        for number in 1_u64.. {
            text.clear();
            match reader.read_until(b'\n', &mut text) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return self.problem(Some(number), None, format!("cannot be read: {error}")),
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Json>(&text) {
                Ok(json) => self.op(json, Some(number)),
                Err(error) if error.is_eof() && text.last() != Some(&b'\n') => self.cut_off(number),
                Err(error) => self.problem(
                    Some(number),
                    Some(error.column() as u64),
                    without_place(&error.to_string()).to_owned(),
                ),
            }
        }
    }

    fn array(&mut self, reader: impl Read) {
        let mut deserializer = serde_json::Deserializer::from_reader(reader);
        let read = Ops { file: self }.deserialize(&mut deserializer).and_then(|()| deserializer.end());
        match read {
            Ok(()) => self.foreign.was_list(),
            Err(error) if error.is_eof() => self.cut_off(error.line() as u64),
            Err(error) => {
                let place = (Some(error.line() as u64), Some(error.column() as u64));
                self.problem(place.0, place.1, without_place(&error.to_string()).to_owned());
            }
        }
    }

    fn cut_off(&mut self, line: u64) {
        self.warnings.push(format!("line {line} is cut off and was left out: the file was not written to its end"));
    }

    fn op(&mut self, json: Json, line: Option<u64>) {
        match self.event(json) {
            Ok(event) => self.foreign.push(event, line),
            Err(message) => self.foreign.note(line, message),
        }
    }

    fn event(&mut self, mut json: Json) -> Result<ForeignEvent, String> {
        let Some(op) = json.as_object_mut() else { return Err("expected an operation: an object".into()) };
        // A keyword may have kept its colon.
        let word = |json: &Json| json.as_str().map(|word| word.trim_start_matches(':').to_owned());
        let kind = match op.get("type").and_then(word).as_deref() {
            Some("invoke") => EventType::Invoke,
            Some("ok") => EventType::Ok,
            Some("fail") => EventType::Fail,
            Some("info") => EventType::Info,
            Some(other) => return Err(format!("{other} is no \"type\"; they are invoke, ok, fail and info")),
            None => return Err("an operation without \"type\"".into()),
        };
        let who = match op.get("process") {
            None => Who::Nobody,
            Some(process) => Who::of(&Value::from_json(process.clone())),
        };
        let f: Option<F> = op.get("f").and_then(word).map(|f| self.words.f(f.as_bytes()));
        let text = |json: &Json| json.as_str().map_or_else(|| json.to_string(), str::to_owned);
        let error = op.get("error").filter(|error| !error.is_null()).map(|error| self.words.text(&text(error)));
        let node = op.get("node").filter(|node| !node.is_null()).map(|node| self.words.text(&text(node)));
        Ok(ForeignEvent {
            kind,
            who,
            f,
            time_ns: op.get("time").and_then(Json::as_i64),
            is_final: op.get("final?").or(op.get("final")) == Some(&Json::Bool(true)),
            key: op.get_mut("key").map(|key| Value::from_json(as_words(key.take()))),
            value: op.get_mut("value").map_or(Value::Nil, |value| Value::from_json(as_words(value.take()))),
            error: error.map(|class| OpError { text: class.clone(), class }),
            node,
            is_tuple: false,
            order: op.get("order").and_then(Json::as_i64),
        })
    }
}

/// Strings as words are kept: see [`string_word`]. That a keyword has lost its colon in JSON, or not, is no difference.
pub(super) fn as_words(json: Json) -> Json {
    match json {
        Json::String(text) if !text.starts_with(':') => Json::String(string_word(text)),
        Json::Array(items) => Json::Array(items.into_iter().map(as_words).collect()),
        other => other,
    }
}

/// The operations of an array, each as it is read.
struct Ops<'f> {
    file: &'f mut File,
}

impl<'de> DeserializeSeed<'de> for Ops<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Ops<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of operations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut ops: A) -> Result<(), A::Error> {
        // Within an array the place of an operation is its number.
        while let Some(json) = ops.next_element::<Json>()? {
            self.file.op(json, None);
        }
        Ok(())
    }
}
