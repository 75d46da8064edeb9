//! A history written down in another format. What a format cannot say is an error that names the operation; what it has
//! no place for and no verdict needs is left out, and said to be.

mod plume;
mod porcupine;

use std::io::{self, Write};

use super::{
    History, Op, Outcome, TxnKind,
    edn::{write_event_edn, write_foreign_event_edn, write_rows_event_edn},
    jsonl,
};

/// A format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// schism's own. Of another tool's history the header says so, and everything comes back.
    Jsonl,
    /// Jepsen's EDN, one map a line.
    Edn,
    /// What Porcupine's tests read: Jepsen's log lines of one register, or the maps of a kv store.
    Porcupine,
    /// Plume's text: sessions of transactions of reads and writes.
    Plume,
}

impl Target {
    /// All of them, with the names that users type.
    pub const NAMES: &'static [(&'static str, Self)] =
        &[("jsonl", Self::Jsonl), ("edn", Self::Edn), ("porcupine", Self::Porcupine), ("plume", Self::Plume)];
}

/// Why a history was not written.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The format cannot say it; nothing was written.
    #[error("{0}")]
    Inexpressible(String),
    /// Writing failed.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
}

/// Writes a history that [`read_any_for_conversion`](super::read_any_for_conversion) read. Gives what was left out, in
/// words.
///
/// # Errors
/// The first operation that the format cannot express, before anything is written; or that writing failed.
pub fn convert(history: &History, target: Target, out: &mut dyn Write) -> Result<Vec<String>, ConvertError> {
    let mut left_out = LeftOut::default();
    match target {
        Target::Jsonl => write_jsonl(history, out, &mut left_out)?,
        Target::Edn => write_edn(history, out)?,
        Target::Porcupine | Target::Plume => {
            let written = if target == Target::Plume {
                plume::write(history, &mut left_out)
            } else {
                porcupine::write(history, &mut left_out)
            };
            out.write_all(&written.map_err(ConvertError::Inexpressible)?)?;
            left_out.count(history.events_aside(), "event of faults, claims, phases and the like");
        }
    }
    out.flush()?;
    Ok(left_out.said)
}

/// What the target has no place for.
#[derive(Debug, Default)]
struct LeftOut {
    said: Vec<String>,
}

impl LeftOut {
    fn count(&mut self, count: u64, what: &str) {
        if count > 0 {
            self.say(format!("left out: {}", crate::say::count(count, what)));
        }
    }

    fn say(&mut self, what: String) {
        self.said.push(what);
    }
}

const BUFFER_BYTES: usize = 1 << 16;

fn write_jsonl(history: &History, out: &mut dyn Write, left_out: &mut LeftOut) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(2 * BUFFER_BYTES);
    jsonl::write_header_of(&mut buffer, history);
    for event in history.kept() {
        // Our own faults and claims have a form of their own; others' have not.
        if history.is_foreign() && event.process.client().is_none() {
            continue;
        }
        jsonl::write_event(&mut buffer, event);
        if buffer.len() >= BUFFER_BYTES {
            out.write_all(&buffer)?;
            buffer.clear();
        }
    }
    if history.is_foreign() {
        left_out.count(history.events_aside(), "event of another than a numbered process");
    }
    out.write_all(&buffer)
}

fn write_edn(history: &History, out: &mut dyn Write) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(2 * BUFFER_BYTES);
    let of_rows = TxnKind::of(&history.header().workload) == Some(TxnKind::ClosedPredicate);
    for event in history.kept() {
        if of_rows && event.process.client().is_some() {
            write_rows_event_edn(&mut buffer, event, history);
        } else if history.is_foreign() {
            write_foreign_event_edn(&mut buffer, event, history);
        } else {
            write_event_edn(&mut buffer, event);
        }
        if buffer.len() >= BUFFER_BYTES {
            out.write_all(&buffer)?;
            buffer.clear();
        }
    }
    out.write_all(&buffer)
}

/// An error that names the operation.
fn refuse<T>(op: &Op<'_>, why: impl std::fmt::Display) -> Result<T, String> {
    Err(format!("event {}: process {}'s {}: {why}", op.invoke_index, op.process, op.f.name()))
}

/// A natural number, which these formats' keys and values are.
fn natural(history: &History, op: &Op<'_>, number: i64) -> Result<i64, String> {
    if number < 0 || history.is_symbol(number) {
        return refuse(op, format!("{} is no natural number", history.spell(number)));
    }
    Ok(number)
}

/// Operations of which nobody knows whether they happened, and which would have written.
const fn may_have_written(op: &Op<'_>, reads: bool) -> bool {
    matches!(op.outcome, Outcome::Info) && !reads
}
