//! What the fuzzers try, one function a target. `scripts/fuzz` runs them under libFuzzer; the checker's tests give each
//! the files of its corpus (`checker/tests/fuzz_corpus.rs`), without libFuzzer.
//!
//! A reader must not panic, whatever it is given, and nor must the checkers on what it has read. The first line of an
//! input names the model; the file follows.

mod brute;
mod round;
mod transactions;

use schism_checker::{
    Options, Validity, check,
    history::{Format, History, ReadOptions, read_any},
    linearizability::Budget,
};

/// What is tried with an input; it panics if something is wrong.
pub type Target = fn(&[u8]);

/// Every target with its name, which is also that of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("jsonl", jsonl),
    ("edn", edn),
    ("json", json),
    ("porcupine", porcupine),
    ("plume", plume),
    ("dbcop", dbcop),
    ("any", any),
    ("convert", convert),
    ("check_vs_brute_force", check_vs_brute_force),
    ("transactions", transactions),
];

/// schism's own format.
pub fn jsonl(data: &[u8]) {
    read_as(Some(Format::Jsonl), data);
}

/// Jepsen's EDN.
pub fn edn(data: &[u8]) {
    read_as(Some(Format::Edn), data);
}

/// elle-cli's JSON.
pub fn json(data: &[u8]) {
    read_as(Some(Format::Json), data);
}

/// The logs of Porcupine's tests.
pub fn porcupine(data: &[u8]) {
    read_as(Some(Format::PorcupineLog), data);
}

/// Plume's text.
pub fn plume(data: &[u8]) {
    read_as(Some(Format::Plume), data);
}

/// dbcop's JSON.
pub fn dbcop(data: &[u8]) {
    read_as(Some(Format::Dbcop), data);
}

/// Whatever it looks like.
pub fn any(data: &[u8]) {
    read_as(None, data);
}

/// Linearizability by every algorithm, against every order there is.
pub fn check_vs_brute_force(data: &[u8]) {
    brute::compare(data);
}

/// Transactions: whatever the verdict, its certificate holds, and no model holds where a weaker one does not.
pub fn transactions(data: &[u8]) {
    transactions::judge(data);
}

/// What is written in another format is read again as the same.
pub fn convert(data: &[u8]) {
    round::trip(data);
}

/// Larger histories are only read: what checkers do with them takes too long to try often.
const CHECKED_OPS_MAX: usize = 40;

fn read_as(format: Option<Format>, data: &[u8]) {
    let (options, text) = split(data);
    match read_any(text, format, &options) {
        Ok(loaded) => drop(verdict(&loaded.history)),
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
}

/// The model of the first line, if it names one, and the file.
fn split(data: &[u8]) -> (ReadOptions, &[u8]) {
    let (model, text) = data.iter().position(|byte| *byte == b'\n').map_or((data, &[][..]), |at| data.split_at(at));
    let model = std::str::from_utf8(model).unwrap_or_default();
    (ReadOptions { workload: (!model.is_empty()).then(|| model.to_owned()) }, text)
}

/// What the history's own check says of it; `None` if there is none, or if it would take too long.
fn verdict(history: &History) -> Option<Validity> {
    if history.len() > CHECKED_OPS_MAX {
        return None;
    }
    let budget = Budget { steps_per_key: 2_000, steps_total: 10_000, memo_bytes: 1 << 20 };
    let checks = check(history, &Options { linearizability: budget, ..Options::default() }).ok()?;
    for finding in checks.iter().flat_map(|check| &check.findings) {
        assert!(!finding.sentence.is_empty());
    }
    checks.first().map(|check| check.valid)
}
