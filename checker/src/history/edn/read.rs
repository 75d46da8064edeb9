//! Jepsen's histories: one operation map after the other, bare or in a vector around all (or several, joined), plain
//! (`{:type :invoke, …}`) or tagged (`#jepsen.history.Op{…}`).
//!
//! A map is read straight into an event; what a checker does not need is passed over. The text is read in pieces: of a
//! map that a piece cuts in two, the beginning is read again with the rest.

use std::io::Read;

use super::scan::{Cursor, Stop};
use crate::history::{
    EventType, Loaded, OpError, Problem, Problems, Value,
    foreign::{Foreign, ForeignEvent, Who},
    interned::Words,
    plain,
};

const PIECE_BYTES: usize = 1 << 20;

/// A form longer than this is none of a history.
const FORM_BYTES_MAX: usize = 1 << 30;

/// Reads a history into what its model makes of it.
pub(in crate::history) fn read(mut reader: impl Read, foreign: Foreign) -> Result<Loaded, Problems> {
    let mut file = File { foreign, words: Words::default(), around: None, line: 1, warnings: Vec::new() };
    let mut text: Vec<u8> = Vec::with_capacity(2 * PIECE_BYTES);
    let mut is_last = false;
    while !is_last {
        let before = text.len();
        // As much again as is left: a form that fills many pieces is not begun anew for each of them.
        let piece = PIECE_BYTES.max(before) as u64;
        match reader.by_ref().take(piece).read_to_end(&mut text) {
            Ok(0) => {
                is_last = true;
                // A token ends where the file does.
                text.push(b'\n');
            }
            Ok(_) => {}
            Err(error) => {
                file.note(None, format!("cannot be read: {error}"));
                return file.finish();
            }
        }
        let used = file.forms(&text, is_last);
        if used == 0 && before > FORM_BYTES_MAX {
            file.note(None, format!("a form of more than {FORM_BYTES_MAX} bytes: not a history"));
            return file.finish();
        }
        text.drain(..used);
    }
    file.finish()
}

struct File {
    foreign: Foreign,
    words: Words,
    /// What closes the vector around all.
    around: Option<u8>,
    /// The line at which the text that is left begins.
    line: u64,
    warnings: Vec<String>,
}

impl File {
    /// Reads the forms that are whole; gives how much of the text they are.
    fn forms(&mut self, text: &[u8], is_last: bool) -> usize {
        let mut used = 0;
        loop {
            let mut cursor = Cursor::new(text);
            cursor.at = used;
            match self.form(&mut cursor) {
                Ok(()) => {}
                Err(Stop::CutOff) => {
                    let rest = text[used..].trim_ascii();
                    if is_last && (self.around.is_some() || !(rest.is_empty() || rest.starts_with(b";"))) {
                        self.cut_off(rest.is_empty());
                    }
                    break;
                }
                Err(Stop::Malformed { at, message }) => {
                    let start = memchr::memrchr(b'\n', &text[..at]).map_or(0, |newline| newline + 1);
                    let line = self.line + newlines(&text[used..at.max(used)]);
                    self.note(Some((line, (at - start + 1) as u64)), message.into_owned());
                    // On with the next line: what is wrong there is another problem.
                    cursor.at = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |length| at + length + 1);
                }
            }
            self.line += newlines(&text[used..cursor.at]);
            used = cursor.at;
        }
        used
    }

    /// The next operation, or a bracket around all of them.
    fn form(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let before = cursor.at;
        match cursor.peek()? {
            b'[' | b'(' if self.around.is_none() => {
                self.around = Some(cursor.open()?);
                return Ok(());
            }
            b'#' => drop(cursor.tag()?),
            _ => {}
        }
        if let Some(close) = self.around
            && cursor.close(close)?
        {
            self.around = None;
            self.foreign.was_list();
            return Ok(());
        }
        if cursor.peek()? != b'{' {
            return Err(cursor.malformed("expected an operation: a map"));
        }
        let start = cursor.at;
        let mut is_txn = false;
        let event = self.op(cursor, &mut is_txn)?;
        let line = self.line + newlines(&cursor.text[before..start]);
        match event {
            Ok(event) => self.foreign.push_txn(event, is_txn, Some(line)),
            Err(message) => self.foreign.note(Some(line), message),
        }
        Ok(())
    }

    /// An operation's map. What is wrong with its content is the inner error. `is_txn`: its value has been taken apart
    /// already.
    fn op(&mut self, cursor: &mut Cursor<'_>, is_txn: &mut bool) -> Result<Result<ForeignEvent, String>, Stop> {
        let (mut kind, mut who, mut f, mut time_ns) = (None, None, None, None);
        let (mut value, mut key, mut error, mut node) = (Value::Nil, None, None, None);
        let (mut is_final, mut order) = (false, None);
        let close = cursor.open()?;
        while !cursor.close(close)? {
            if cursor.peek()? != b':' {
                // A name that is no keyword is none that we know.
                cursor.skip()?;
                cursor.skip()?;
                continue;
            }
            let name = cursor.token()?;
            let first = cursor.peek()?;
            if first == close {
                return Err(cursor.malformed("a map with a key that has no value"));
            }
            match name {
                b":type" => kind = Some(word_of(cursor)?),
                b":process" => {
                    who = Some(Who::of(&cursor.value()?));
                }
                b":f" => {
                    f = if first == b'"' {
                        Some(self.words.f(cursor.string()?.as_bytes()))
                    } else {
                        let word = word_of(cursor)?;
                        (word != b"nil").then(|| self.words.f(word.strip_prefix(b":").unwrap_or(word)))
                    };
                }
                b":value" => {
                    let start = cursor.at;
                    *is_txn = match self.foreign.txn() {
                        Some((kind, txn)) => cursor.txn(kind, txn)?,
                        None => false,
                    };
                    if !*is_txn {
                        cursor.at = start;
                        value = cursor.value()?;
                    }
                }
                b":key" => key = Some(cursor.value()?),
                b":time" => {
                    time_ns = match cursor.value()? {
                        Value::Int(time) => Some(time),
                        _ => None,
                    }
                }
                b":error" => error = Some(self.words.text(&spelled(&cursor.value()?))),
                b":node" => {
                    let of = cursor.value()?;
                    node = (of != Value::Nil).then(|| self.words.text(spelled(&of).trim_start_matches(':')));
                }
                // Of sessions without time, as they were written from plume's text for example.
                b":real-time?" => {
                    if cursor.value()? == Value::from_json(false.into()) {
                        self.foreign.set_timeless();
                    }
                }
                b":order" => order = cursor.value()?.as_int(),
                b":final?" => is_final = cursor.value()? == Value::from_json(true.into()),
                _ => cursor.skip()?,
            }
        }
        let kind = match kind {
            Some(b":invoke") => EventType::Invoke,
            Some(b":ok") => EventType::Ok,
            Some(b":fail") => EventType::Fail,
            Some(b":info") => EventType::Info,
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                return Ok(Err(format!("{other} is no :type; they are :invoke, :ok, :fail and :info")));
            }
            None => return Ok(Err("an operation without :type".into())),
        };
        let who = who.unwrap_or(Who::Nobody);
        let error = error.map(|class| OpError { text: class.clone(), class });
        let is_tuple = cursor.saw_tuple;
        Ok(Ok(ForeignEvent { kind, who, f, value, key, time_ns, error, node, is_tuple, is_final, order }))
    }

    fn cut_off(&mut self, between: bool) {
        let line = self.line;
        self.warnings.push(if between {
            "the vector around the operations is not closed: the file was not written to its end".into()
        } else {
            format!("line {line} is cut off and was left out: the file was not written to its end")
        });
    }

    fn note(&mut self, place: Option<(u64, u64)>, message: String) {
        let (line, column) = place.unzip();
        self.foreign.problem(Problem { line, column, event_index: None, message });
    }

    fn finish(self) -> Result<Loaded, Problems> {
        self.foreign.finish(self.warnings)
    }
}

fn newlines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// A keyword, or whatever stands in its place.
fn word_of<'t>(cursor: &mut Cursor<'t>) -> Result<&'t [u8], Stop> {
    match cursor.peek()? {
        b'[' | b'(' | b'{' | b'"' | b'#' | b'\\' => {
            let start = cursor.at;
            cursor.skip()?;
            Ok(&cursor.text[start..cursor.at])
        }
        _ => cursor.token(),
    }
}

/// A value as a short text.
fn spelled(value: &Value) -> String {
    match value {
        Value::Other(json) => json.as_str().map_or_else(|| json.to_string(), |word| plain(word).into_owned()),
        other => other.to_json().to_string(),
    }
}
