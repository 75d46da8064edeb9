//! Any history file: ours, or another tool's.

use std::io::{self, BufReader, Cursor, Read};

use super::{
    Loaded, Problem, Problems, ReadOptions, dbcop, edn, foreign::Foreign, json, jsonl, plume, porcupine, sessions,
};

/// How a history is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// schism's own: a header and one JSON object a line.
    Jsonl,
    /// Jepsen's EDN.
    Edn,
    /// The same maps as JSON, as elle-cli reads them.
    Json,
    /// Jepsen's log lines, as Porcupine's etcd tests read them.
    PorcupineLog,
    /// Plume's text: `r(key,value,session,txn)` and `w(key,value,session,txn)`.
    Plume,
    /// dbcop's JSON: sessions of transactions.
    Dbcop,
}

impl Format {
    /// All of them, with the names that users type.
    pub const NAMES: &'static [(&'static str, Self)] = &[
        ("jsonl", Self::Jsonl),
        ("edn", Self::Edn),
        ("json", Self::Json),
        ("porcupine", Self::PorcupineLog),
        ("plume", Self::Plume),
        ("dbcop", Self::Dbcop),
    ];

    /// The format of a file that begins so; `None` if it begins like none of them.
    fn of_beginning(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii_start();
        // Jepsen's logs have other lines between.
        if memchr::memmem::find(text, porcupine::PREFIX).is_some_and(|at| at == 0 || text[at - 1] == b'\n') {
            return Some(Self::PorcupineLog);
        }
        match text {
            [b'r' | b'w', rest @ ..] if rest.trim_ascii_start().starts_with(b"(") => Some(Self::Plume),
            [b'{', rest @ ..] if dbcop::NAMES.iter().any(|name| rest.trim_ascii_start().starts_with(name)) => {
                Some(Self::Dbcop)
            }
            [b'{', rest @ ..] if matches!(rest.trim_ascii_start(), [b'"', ..]) => {
                // Without a header, schism's own events are told by the name of their time.
                let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let has = |word: &[u8]| memchr::memmem::find(line, word).is_some();
                let ours = has(b"\"schism-history\"") || has(b"\"time_ns\"");
                Some(if ours { Self::Jsonl } else { Self::Json })
            }
            [b'[', rest @ ..] => match rest.trim_ascii_start() {
                [b'{', rest @ ..] if matches!(rest.trim_ascii_start(), [b'"', ..]) => Some(Self::Json),
                // A vector in a vector is no operation.
                [b'[', ..] => Some(Self::Dbcop),
                _ => Some(Self::Edn),
            },
            [b'{' | b'(' | b'#' | b';', ..] => Some(Self::Edn),
            _ => None,
        }
    }
}

/// How much of a file tells its format.
const BEGINNING_BYTES: u64 = 64 << 10;

/// Reads a history in any format. `format`: as the user says; `None`: as the file begins.
///
/// Another tool's file does not say what it is of: `options.workload` must, but of plume's and dbcop's, which are always
/// of `rw-register`.
///
/// # Errors
/// Every problem of a malformed file, each with its place.
pub fn read_any(reader: impl Read, format: Option<Format>, options: &ReadOptions) -> Result<Loaded, Problems> {
    read_with(reader, format, options, false)
}

/// The same, for [`convert`](super::convert): the history keeps every event as it was read, of about 120 bytes each.
///
/// # Errors
/// As [`read_any`].
pub fn read_any_for_conversion(
    reader: impl Read,
    format: Option<Format>,
    options: &ReadOptions,
) -> Result<Loaded, Problems> {
    read_with(reader, format, options, true)
}

fn read_with(
    mut reader: impl Read,
    format: Option<Format>,
    options: &ReadOptions,
    keep: bool,
) -> Result<Loaded, Problems> {
    let problem = |message: String| Problems::from(Problem { line: None, column: None, event_index: None, message });
    let mut beginning = Vec::new();
    let taken = reader.by_ref().take(BEGINNING_BYTES).read_to_end(&mut beginning);
    taken.map_err(|error: io::Error| problem(format!("cannot be read: {error}")))?;
    let names = || Format::NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let format = match format.or_else(|| Format::of_beginning(&beginning)) {
        Some(format) => format,
        None if beginning.trim_ascii().is_empty() => return Err(problem("the file is empty".into())),
        None => return Err(problem(format!("begins like no history; the formats are {}", names()))),
    };
    let whole = Cursor::new(beginning).chain(reader);
    if format == Format::Jsonl {
        return jsonl::read_with(BufReader::with_capacity(1 << 20, whole), options, keep);
    }
    if matches!(format, Format::Plume | Format::Dbcop) {
        return match &options.workload {
            Some(model) if model != sessions::MODEL => Err(problem(format!(
                "sessions of transactions of reads and writes: the model is {}, and not {model}",
                sessions::MODEL
            ))),
            _ => {
                let foreign = Foreign::new(sessions::MODEL, keep);
                let whole = BufReader::with_capacity(1 << 20, whole);
                if format == Format::Plume { plume::read(whole, foreign) } else { dbcop::read(whole, foreign) }
            }
        };
    }
    let Some(model) = &options.workload else {
        return Err(problem("no header: another tool's history does not say what it is of".into()));
    };
    let foreign = Foreign::new(model, keep);
    match format {
        Format::PorcupineLog => porcupine::read(BufReader::with_capacity(1 << 20, whole), foreign),
        Format::Json => json::read(BufReader::with_capacity(1 << 20, whole), foreign),
        _ => edn::read(whole, foreign),
    }
}
