//! `result.json` and the complete lists beside it.
//!
//! A run can lose a million writes. `result.json` then carries the first [`LISTED_MAX`] of them and `lost-total`, and
//! `anomalies/lost-writes.jsonl` carries all, one a line. [`read`] puts them together again, so that whoever holds a
//! [`RunResult`] holds the complete lists, and rendering a report anew never shortens them.

use std::{
    any::Any,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
};

use anyhow::{Context as _, bail, ensure};
use schism_checker::Details;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::file::{remove_stale, write_atomically};
use crate::result::RunResult;

/// The file's name in a result folder.
pub(crate) const RESULT_FILE: &str = "result.json";
/// Entries of a long list that `result.json` itself carries.
const LISTED_MAX: usize = 1000;

/// A list that grows with the history.
#[derive(Debug, Clone, Copy)]
struct List {
    /// Its field in the check's details.
    field: &'static str,
    /// Where it is complete.
    file: &'static str,
    /// What it is.
    name: &'static str,
}

const LOST_WRITES: List = List { field: "lost", file: "anomalies/lost-writes.jsonl", name: "lost writes" };
const DUPLICATED: List =
    List { field: "duplicated", file: "anomalies/duplicated.jsonl", name: "elements read more than once" };
const VANISHED: List =
    List { field: "vanished", file: "anomalies/vanished.jsonl", name: "unacknowledged elements read and gone" };
const UNEXPECTED: List =
    List { field: "unexpected", file: "anomalies/unexpected.jsonl", name: "elements read but never written" };
const LOST_APPENDS: List = List { field: "lost-appends", file: "anomalies/lost-appends.jsonl", name: "lost appends" };
const TXN_ANOMALIES: List =
    List { field: "anomalies", file: "anomalies/transactions.jsonl", name: "anomalies of transactions" };
const DIFFERENCES: List =
    List { field: "differences", file: "anomalies/differences.jsonl", name: "differences between nodes" };
const INVALID_KEYS: List =
    List { field: "invalid-keys", file: "anomalies/nonlinearizable-keys.jsonl", name: "keys without linearization" };
const WINDOWS: List =
    List { field: "windows", file: "anomalies/split-brain-windows.jsonl", name: "split-brain windows" };

const LISTS: [List; 9] =
    [LOST_WRITES, VANISHED, DUPLICATED, UNEXPECTED, LOST_APPENDS, TXN_ANOMALIES, DIFFERENCES, INVALID_KEYS, WINDOWS];

/// Something done to each long list, whatever its entries are.
trait Visit {
    fn visit<T: Serialize + DeserializeOwned + 'static>(
        &mut self,
        list: List,
        items: &mut Vec<T>,
    ) -> anyhow::Result<()>;
}

/// The one place that says which lists are long.
fn visit_lists(details: &mut Details, visit: &mut impl Visit) -> anyhow::Result<()> {
    match details {
        Details::Set(set) => {
            visit.visit(LOST_WRITES, &mut set.lost)?;
            visit.visit(VANISHED, &mut set.vanished)?;
            visit.visit(DUPLICATED, &mut set.duplicated)?;
            visit.visit(UNEXPECTED, &mut set.unexpected)
        }
        Details::ListAppend(list) => {
            visit.visit(TXN_ANOMALIES, &mut list.anomalies)?;
            visit.visit(LOST_APPENDS, &mut list.lost_appends)
        }
        Details::Linearizability(keys) => visit.visit(INVALID_KEYS, &mut keys.invalid_keys),
        Details::SplitBrain(split_brain) => visit.visit(WINDOWS, &mut split_brain.windows),
        Details::Divergence(divergence) => visit.visit(DIFFERENCES, &mut divergence.differences),
        // Of isolation so many of each kind are listed.
        Details::Isolation(_)
        | Details::Jepsen(_)
        | Details::Recovery(_)
        | Details::SteadyState(_)
        | Details::Activity(_) => Ok(()),
    }
}

/// Writes each list in full to its file in `anomalies/`, and removes the files of lists that are empty. Gives back the
/// files written: (what, path relative to `dir`).
pub(crate) fn write_lists(dir: &Path, result: &mut RunResult) -> anyhow::Result<Vec<(String, String)>> {
    struct WriteLines<'a> {
        dir: &'a Path,
        written: Vec<List>,
    }
    impl Visit for WriteLines<'_> {
        fn visit<T: Serialize + DeserializeOwned + 'static>(
            &mut self,
            list: List,
            items: &mut Vec<T>,
        ) -> anyhow::Result<()> {
            if items.is_empty() {
                return Ok(());
            }
            self.written.push(list);
            write_atomically(&self.dir.join(list.file), |out| {
                for item in items {
                    serde_json::to_writer(&mut *out, item)?;
                    out.write_all(b"\n")?;
                }
                Ok(())
            })
        }
    }
    let mut lines = WriteLines { dir, written: Vec::new() };
    for check in &mut result.checks {
        visit_lists(&mut check.details, &mut lines)?;
    }
    for list in LISTS.iter().filter(|list| lines.written.iter().all(|written| written.file != list.file)) {
        remove_stale(&dir.join(list.file))?;
    }
    Ok(lines.written.iter().map(|list| (list.name.to_owned(), list.file.to_owned())).collect())
}

/// Writes `result.json`. The complete lists must have been written before ([`write_lists`]): a short list without its
/// file could not be read again.
pub(crate) fn write(dir: &Path, result: &mut RunResult) -> anyhow::Result<()> {
    let mut cut = Cut::default();
    for check in &mut result.checks {
        visit_lists(&mut check.details, &mut cut)?;
        cut.totals.push(std::mem::take(&mut cut.of_check));
    }
    let json = serde_json::to_value(&*result);
    let mut restore = Restore(cut.tails.into_iter());
    for check in &mut result.checks {
        visit_lists(&mut check.details, &mut restore)?;
    }
    let mut json = json.context("a result could not be put into JSON")?;
    insert_totals(&mut json, &cut.totals);
    write_atomically(&dir.join(RESULT_FILE), |out| {
        serde_json::to_writer_pretty(&mut *out, &json)?;
        Ok(out.write_all(b"\n")?)
    })
}

/// Takes the tails of long lists away while they are serialized: cloning a million entries to drop most of them would
/// double the memory.
#[derive(Default)]
struct Cut {
    tails: Vec<Box<dyn Any>>,
    of_check: Vec<(List, usize)>,
    totals: Vec<Vec<(List, usize)>>,
}

impl Visit for Cut {
    fn visit<T: Serialize + DeserializeOwned + 'static>(
        &mut self,
        list: List,
        items: &mut Vec<T>,
    ) -> anyhow::Result<()> {
        self.of_check.push((list, items.len()));
        self.tails.push(Box::new(items.split_off(items.len().min(LISTED_MAX))));
        Ok(())
    }
}

/// Puts the tails back, in the order in which [`Cut`] took them.
struct Restore(std::vec::IntoIter<Box<dyn Any>>);

impl Visit for Restore {
    fn visit<T: Serialize + DeserializeOwned + 'static>(
        &mut self,
        list: List,
        items: &mut Vec<T>,
    ) -> anyhow::Result<()> {
        let tail = self.0.next().and_then(|tail| tail.downcast::<Vec<T>>().ok());
        items.extend(*tail.with_context(|| format!("the rest of {} was mislaid", list.field))?);
        Ok(())
    }
}

fn total_field(list: List) -> String {
    format!("{}-total", list.field)
}

/// Notes how long each list really is.
fn insert_totals(json: &mut Value, totals: &[Vec<(List, usize)>]) {
    let Some(checks) = json.get_mut("checks").and_then(Value::as_array_mut) else { return };
    for (check, totals) in checks.iter_mut().zip(totals) {
        let Some(details) = check.get_mut("details").and_then(Value::as_object_mut) else { continue };
        for (list, total) in totals {
            details.insert(total_field(*list), Value::from(*total));
        }
    }
}

/// Reads the result in a folder, with its lists complete.
///
/// # Errors
/// When `result.json` is missing, is none, has another schema, or when a complete list is missing or cut.
pub(crate) fn read(dir: &Path) -> anyhow::Result<RunResult> {
    let path = dir.join(RESULT_FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    let json: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    check_schema(&json).with_context(|| format!("could not use {}", path.display()))?;
    let mut result = RunResult::deserialize_value(&json)
        .with_context(|| format!("{} does not have the shape of schema {}", path.display(), RunResult::SCHEMA))?;
    let details = json.get("checks").and_then(Value::as_array).into_iter().flatten();
    for (check, json) in result.checks.iter_mut().zip(details) {
        let mut complete = Complete { dir, details: json.get("details").unwrap_or(&Value::Null) };
        visit_lists(&mut check.details, &mut complete)?;
    }
    Ok(result)
}

impl RunResult {
    fn deserialize_value(json: &Value) -> Result<Self, serde_json::Error> {
        serde::Deserialize::deserialize(json)
    }
}

fn check_schema(json: &Value) -> anyhow::Result<()> {
    let Some(schema) = json.get("schema").and_then(Value::as_u64) else {
        bail!("it has no number `schema`, so it is not a result of schism");
    };
    let ours = u64::from(RunResult::SCHEMA);
    if schema == ours {
        return Ok(());
    }
    let writer = json.get("schism-version").and_then(Value::as_str).unwrap_or("an unnamed version");
    let age = if schema < ours { "older" } else { "newer" };
    bail!(
        "it has schema {schema}, written by schism {writer}, and this schism {} reads schema {ours}; the result is \
         {age}. Render it with schism {writer}, or judge its history.jsonl anew with `schism check`",
        env!("CARGO_PKG_VERSION"),
    );
}

/// Replaces lists that `result.json` carries in part by the complete ones.
struct Complete<'a> {
    dir: &'a Path,
    details: &'a Value,
}

impl Visit for Complete<'_> {
    fn visit<T: Serialize + DeserializeOwned + 'static>(
        &mut self,
        list: List,
        items: &mut Vec<T>,
    ) -> anyhow::Result<()> {
        // A list without a total was never cut: versions that did not know it as a long one wrote it whole.
        let total = self.details.get(total_field(list)).and_then(Value::as_u64);
        let total = total.map_or(items.len(), |total| total as usize);
        if total == items.len() {
            return Ok(());
        }
        *items = read_lines(&self.dir.join(list.file))?;
        ensure!(
            items.len() == total,
            "{} has {} lines, and {RESULT_FILE} says {total}: it was cut or belongs to another run",
            self.dir.join(list.file).display(),
            items.len(),
        );
        Ok(())
    }
}

fn read_lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let file = File::open(path)
        .with_context(|| format!("{} is missing; {RESULT_FILE} holds only its beginning", path.display()))?;
    let parse = |(number, line): (usize, std::io::Result<String>)| -> anyhow::Result<T> {
        let line = line.with_context(|| format!("could not read {}", path.display()))?;
        serde_json::from_str(&line).with_context(|| format!("{}, line {}", path.display(), number + 1))
    };
    BufReader::new(file).lines().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn write_whole(dir: &Path, result: &mut RunResult) {
        write_lists(dir, result).unwrap();
        write(dir, result).unwrap();
    }

    #[test]
    fn reads_what_it_wrote_also_beyond_the_cap() {
        let dir = tempfile::tempdir().unwrap();
        let mut result = fixture::losses_and_split_brain(2 * LISTED_MAX + 7);
        let before = result.clone();
        write_whole(dir.path(), &mut result);
        assert!(result == before, "writing must leave the result as it was");
        assert!(read(dir.path()).unwrap() == before);

        let text = std::fs::read_to_string(dir.path().join(RESULT_FILE)).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let set = &json["checks"][0]["details"];
        assert_eq!(set["lost"].as_array().unwrap().len(), LISTED_MAX);
        assert_eq!(set["lost-total"], 2 * LISTED_MAX + 7);
        let lines = std::fs::read_to_string(dir.path().join("anomalies/lost-writes.jsonl")).unwrap();
        assert_eq!(lines.lines().count(), 2 * LISTED_MAX + 7);
    }

    #[test]
    fn a_second_write_is_the_same_to_the_byte() {
        let dir = tempfile::tempdir().unwrap();
        write_whole(dir.path(), &mut fixture::losses_and_split_brain(1500));
        let first = std::fs::read(dir.path().join(RESULT_FILE)).unwrap();
        write_whole(dir.path(), &mut read(dir.path()).unwrap());
        assert!(std::fs::read(dir.path().join(RESULT_FILE)).unwrap() == first);
    }

    #[test]
    fn a_cut_list_is_an_error_not_a_shorter_list() {
        let dir = tempfile::tempdir().unwrap();
        write_whole(dir.path(), &mut fixture::losses_and_split_brain(1500));
        let path = dir.path().join("anomalies/lost-writes.jsonl");
        let lines = std::fs::read_to_string(&path).unwrap();
        let cut: Vec<&str> = lines.lines().take(1200).collect();
        std::fs::write(&path, cut.join("\n")).unwrap();
        let error = format!("{:#}", read(dir.path()).unwrap_err());
        assert!(error.contains("1200 lines") && error.contains("1500"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(format!("{:#}", read(dir.path()).unwrap_err()).contains("is missing"));
    }

    #[test]
    fn lists_that_became_empty_leave_no_file() {
        let dir = tempfile::tempdir().unwrap();
        write_whole(dir.path(), &mut fixture::losses_and_split_brain(10));
        write_whole(dir.path(), &mut fixture::valid());
        assert!(!dir.path().join("anomalies/lost-writes.jsonl").exists());
    }

    #[test]
    fn other_schemas_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let read_text = |text: &str| {
            std::fs::write(dir.path().join(RESULT_FILE), text).unwrap();
            format!("{:#}", read(dir.path()).unwrap_err())
        };
        let newer = read_text(r#"{"schema": 99, "schism-version": "7.0.0"}"#);
        assert!(newer.contains("schema 99") && newer.contains("7.0.0") && newer.contains("newer"), "{newer}");
        assert!(read_text(r#"{"schema": 0}"#).contains("older"));
        assert!(read_text(r#"{"valid": true}"#).contains("not a result of schism"));
        assert!(read_text("{").contains("is not JSON"));
        assert!(read_text(r#"{"schema": 1}"#).contains("shape of schema 1"));
    }
}
