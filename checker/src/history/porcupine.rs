//! The logs that Porcupine's tests read: Jepsen's own log lines, `INFO  jepsen.util - PROCESS :TYPE :F VALUE`. Other lines
//! are not of the history.
//!
//! `:timed-out` in a completion says that the operation may have happened, whatever type the line has.

use std::io::BufRead;

use super::{
    EventType, Loaded, Problem, Problems, Process,
    edn::value_of,
    foreign::{Foreign, ForeignEvent, Who},
    interned::Words,
};

/// What stands before every operation.
pub(super) const PREFIX: &[u8] = b"INFO  jepsen.util - ";

pub(super) fn read(reader: impl BufRead, mut foreign: Foreign) -> Result<Loaded, Problems> {
    let mut words = Words::default();
    for (number, line) in (1_u64..).zip(reader.split(b'\n')) {
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                let message = format!("cannot be read: {error}");
                foreign.problem(Problem { line: Some(number), column: None, event_index: None, message });
                break;
            }
        };
        let Some(op) = line.trim_ascii().strip_prefix(PREFIX) else { continue };
        match event(op, &mut words) {
            // A log of other matters.
            None => {}
            Some(Ok(event)) => foreign.push(event, Some(number)),
            Some(Err(message)) => foreign.note(Some(number), message),
        }
    }
    foreign.finish(Vec::new())
}

/// The operation of a line; `None` if it is about something else.
fn event(op: &[u8], words: &mut Words) -> Option<Result<ForeignEvent, String>> {
    let (process, op) = split(op)?;
    let who = value_of(process).map_or(Who::Other(Process::Nemesis), |process| Who::of(&process));
    let (kind, op) = split(op)?;
    let kind = match kind {
        b":invoke" => EventType::Invoke,
        b":ok" => EventType::Ok,
        b":fail" => EventType::Fail,
        b":info" => EventType::Info,
        _ => return None,
    };
    let (f, text) = split(op).unwrap_or((op, b"nil"));
    let f = Some(words.f(f.strip_prefix(b":").unwrap_or(f)));
    let text = text.trim_ascii();
    let kind = if text == b":timed-out" && kind != EventType::Invoke { EventType::Info } else { kind };
    let value = match value_of(text) {
        Ok(value) => value,
        Err(message) => return Some(Err(message)),
    };
    let (key, time_ns, error, node) = (None, None, None, None);
    Some(Ok(ForeignEvent {
        kind,
        who,
        f,
        value,
        key,
        time_ns,
        error,
        node,
        is_tuple: false,
        is_final: false,
        order: None,
    }))
}

/// The first word and the rest.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(u8::is_ascii_whitespace)?;
    Some((&text[..end], text[end..].trim_ascii_start()))
}
