//! One result, many views: `result.json`, `report.html`, `junit.xml`, plots, complete lists, and the terminal.
//!
//! [`write_all`] writes them all, after a run and again for `schism report DIR`. Every view is a function of the
//! [`RunResult`] and the history; none computes a verdict.

mod anomalies;
mod contradiction;
mod file;
#[cfg(test)]
mod fixture;
mod html;
mod json;
mod junit;
mod plots;
mod terminal;
mod words;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use schism_checker::{
    Check, Details, Finding,
    history::{History, MopRef, Op, Outcome as HistoryOutcome, Value},
    linearizability::EvidenceOp,
};

pub(crate) use self::{
    anomalies::{DrawingFormat, files as anomaly_files},
    contradiction::page as contradiction_page,
    file::write_atomically,
    json::{RESULT_FILE, read},
    terminal::summary,
};
use self::{
    file::remove_stale,
    plots::{Figure, OpGrid, OpOutcome, OpSample, Timeline},
};
use crate::{experiment::JOURNAL_FILE, result::RunResult};

/// Names of all plots, so that those which a new report lacks can be removed.
const PLOT_NAMES: [&str; 7] = ["claims", "lost-writes", "latency", "latency-quantiles", "rate", "clocks", "evidence"];
/// What no order explains, drawn.
const CONTRADICTION_FILE: &str = "linearizability.html";
/// The anomalies of transactions, drawn.
const CYCLES_FOLDER: &str = "cycles";
/// Files of the database's nodes that `files` lists at most.
const NODE_FILES_MAX: usize = 500;

/// Writes every report into `dir`, each file whole or not at all, and fills `result.files` with what lies there.
/// `result.json` comes first of the reports: what follows could be made anew from it.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write_all(dir: &Path, result: &mut RunResult, history: &History) -> anyhow::Result<()> {
    let timeline = Timeline::new(result, history.time_end_ns());
    let grid = OpGrid::collect(timeline.end_ns(), history.ops().map(sample));
    let figures = plots::plots(result, &timeline, &grid).context("could not draw the plots")?;
    let evidence = evidence_figures(result, &figures, history).context("could not draw the evidence")?;
    let contradiction = result.checks.iter().find_map(|check| match &check.details {
        Details::Linearizability(found) => contradiction_page(history, found),
        _ => None,
    });
    let cycles = result.checks.iter().find_map(|check| match &check.details {
        Details::Isolation(found) => Some(anomaly_files(found, DrawingFormat::Svg)),
        _ => None,
    });
    let cycles = cycles.transpose().context("could not write the anomalies")?.unwrap_or_default();
    write_views(dir, result, &figures, &evidence, contradiction, &cycles)
}

fn write_views(
    dir: &Path,
    result: &mut RunResult,
    figures: &[Figure],
    evidence: &[Figure],
    contradiction: Option<String>,
    cycles: &[(String, String)],
) -> anyhow::Result<()> {
    let mut files = vec![("report".to_owned(), "report.html".to_owned())];
    let picture = dir.join(CONTRADICTION_FILE);
    match contradiction {
        Some(page) => {
            write_atomically(&picture, |out| Ok(out.write_all(page.as_bytes())?))?;
            files.push(("evidence against linearizability".to_owned(), CONTRADICTION_FILE.to_owned()));
        }
        None => remove_stale(&picture)?,
    }
    let folder = dir.join(CYCLES_FOLDER);
    for old in sorted_entries(&folder)? {
        remove_stale(&old)?;
    }
    for (name, content) in cycles {
        write_atomically(&folder.join(name), |out| Ok(out.write_all(content.as_bytes())?))?;
        files.push((format!("anomaly: {name}"), format!("{CYCLES_FOLDER}/{name}")));
    }
    files.push(("result".to_owned(), RESULT_FILE.to_owned()));
    files.push(("JUnit".to_owned(), "junit.xml".to_owned()));
    files.extend(recorded_files(dir)?);
    files.extend(json::write_lists(dir, result)?);
    files.extend(write_plots(dir, figures, evidence)?);
    keep_other_files(&mut files, &result.files);
    result.files = files;

    json::write(dir, result)?;
    let page = html::page(result, figures, evidence);
    write_atomically(&dir.join("report.html"), |out| Ok(out.write_all(page.as_bytes())?))?;
    let xml = junit::junit(result)?;
    write_atomically(&dir.join("junit.xml"), |out| Ok(out.write_all(xml.as_bytes())?))
}

/// Keeps what others listed and this module does not write itself.
fn keep_other_files(files: &mut Vec<(String, String)>, listed: &[(String, String)]) {
    let ours = |path: &str| {
        path == CONTRADICTION_FILE
            || ["plots/", "anomalies/", "nodes/", "cycles/"].iter().any(|folder| path.starts_with(folder))
    };
    for (name, path) in listed {
        if !ours(path) && files.iter().all(|(_, known)| known != path) {
            files.push((name.clone(), path.clone()));
        }
    }
}

fn write_plots(dir: &Path, figures: &[Figure], evidence: &[Figure]) -> anyhow::Result<Vec<(String, String)>> {
    let path_of = |name: &str| format!("plots/{name}.svg");
    let mut written: Vec<(String, String)> = Vec::new();
    for figure in figures.iter().chain(evidence) {
        let path = path_of(figure.name);
        if written.iter().any(|(_, known)| *known == path) {
            continue;
        }
        write_atomically(&dir.join(&path), |out| Ok(out.write_all(figure.svg.as_bytes())?))?;
        written.push((format!("plot: {}", figure.title), path));
    }
    for path in PLOT_NAMES.map(path_of).iter().filter(|path| written.iter().all(|(_, known)| known != *path)) {
        remove_stale(&dir.join(path))?;
    }
    Ok(written)
}

/// What the run itself left in the folder: plan, history, and each node's logs and configuration.
fn recorded_files(dir: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let known = [
        ("plan", "plan.toml"),
        ("history", "history.jsonl"),
        ("history as EDN", "history.edn"),
        ("journal of the experiment", JOURNAL_FILE),
    ];
    let mut files: Vec<(String, String)> = known
        .into_iter()
        .filter(|(_, path)| dir.join(path).is_file())
        .map(|(name, path)| (name.to_owned(), path.to_owned()))
        .collect();
    let mut node_files = Vec::new();
    for node in sorted_entries(&dir.join("nodes"))?.into_iter().filter(|path| path.is_dir()) {
        node_files.extend(sorted_entries(&node)?.into_iter().filter(|path| path.is_file()));
    }
    node_files.truncate(NODE_FILES_MAX);
    files.extend(node_files.iter().filter_map(|path| {
        let relative = path.strip_prefix(dir).ok()?.to_str()?;
        let name = relative.strip_prefix("nodes/")?.replacen('/', ": ", 1);
        Some((name, relative.to_owned()))
    }));
    Ok(files)
}

/// A folder's entries by name; none if there is no such folder.
fn sorted_entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("could not list {}", folder.display()))?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    Ok(paths)
}

fn sample(op: Op<'_>) -> OpSample<'_> {
    let outcome = match op.outcome {
        HistoryOutcome::Ok => OpOutcome::Ok,
        HistoryOutcome::Fail => OpOutcome::Fail,
        HistoryOutcome::Info => OpOutcome::Info,
    };
    OpSample { invoke_ns: op.invoke_ns, complete_ns: op.complete_ns, f: op.f.name(), outcome, node: op.node }
}

/// Pictures of the first finding, or of a run without findings the one that shows what the nodes did.
fn evidence_figures(result: &RunResult, figures: &[Figure], history: &History) -> anyhow::Result<Vec<Figure>> {
    let first_of = |names: &[&str]| {
        let found = names.iter().find_map(|name| figures.iter().find(|figure| figure.name == *name));
        found.cloned().into_iter().collect::<Vec<Figure>>()
    };
    let Some((check, finding)) = words::evidence(result).next() else {
        return Ok(first_of(&["claims", "rate"]));
    };
    let operations = match &check.details {
        Details::Set(_) => return Ok(first_of(&["lost-writes", "claims"])),
        Details::ListAppend(_) if finding.kind == "lost-append" => {
            return Ok(first_of(&["lost-writes", "claims"]));
        }
        Details::Isolation(found) => match anomalies::figure(found, &finding.kind) {
            Some(figure) => Some(figure),
            None => transactions_figure(check, finding, history)?,
        },
        Details::ListAppend(_) => transactions_figure(check, finding, history)?,
        Details::Linearizability(keys) => match keys.invalid_keys.first() {
            Some(key) => plots::evidence(format!("Key {}: operations that no order explains", key.key), &key.ops)?,
            None => None,
        },
        _ => None,
    };
    // Who led is what one asks next.
    Ok(operations.into_iter().chain(first_of(&["claims"])).collect())
}

/// The transactions that a finding names by their events, as bars.
fn transactions_figure(check: &Check, finding: &Finding, history: &History) -> anyhow::Result<Option<Figure>> {
    let named = |op: &Op<'_>| {
        let index = |index: u64| finding.event_indexes.contains(&index);
        index(op.invoke_index) || op.complete_index.is_some_and(index)
    };
    let ops: Vec<EvidenceOp> = history.ops().filter(named).map(|op| evidence_op(&op)).collect();
    plots::evidence(format!("{}: {}", check.name, finding.kind), &ops)
}

fn evidence_op(op: &Op<'_>) -> EvidenceOp {
    EvidenceOp {
        process: op.process,
        op: format!("{} {}", op.f.name(), in_words(op)).trim_end().to_owned(),
        outcome: op.outcome.name().to_owned(),
        node: op.node.map(str::to_owned),
        invoke_ns: op.invoke_ns,
        complete_ns: op.complete_ns,
        invoke_index: op.invoke_index,
        complete_index: op.complete_index,
    }
}

/// A value as evidence shows it: `append 3 7 · r 3 [7]`.
fn in_words(op: &Op<'_>) -> String {
    let mop = |mop: MopRef<'_>| match mop {
        MopRef::Append { key, element } => format!("append {key} {element}"),
        MopRef::Write { key, value } => format!("w {key} {value}"),
        MopRef::Read { key, list: None } | MopRef::Get { key, value: None } => format!("r {key}"),
        MopRef::Get { key, value: Some(value) } => format!("r {key} {value}"),
        MopRef::Read { key, list: Some(list) } => {
            let elements: Vec<String> = list.iter().map(i64::to_string).collect();
            format!("r {key} [{}]", elements.join(" "))
        }
        MopRef::Insert { key, value } => format!("insert {key} {value}"),
        MopRef::Delete { key } => format!("delete {key}"),
        MopRef::Select { predicate, rows: None } => format!("select {predicate}"),
        MopRef::Select { predicate, rows: Some(rows) } => {
            let rows: Vec<String> = rows.iter().map(|(key, value)| format!("{key} {value}")).collect();
            format!("select {predicate} {{{}}}", rows.join(", "))
        }
    };
    match op.value {
        Value::Nil => op.mops().map(mop).collect::<Vec<_>>().join(" · "),
        other => other.to_json().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use schism_checker::history::notation;

    use super::*;

    /// The picture of the first finding where it needs no history.
    pub(super) fn evidence_without_history(result: &RunResult, figures: &[Figure]) -> Vec<Figure> {
        evidence_figures(result, figures, &notation::history("set", "").unwrap()).unwrap()
    }

    const HISTORY: &str = "phase steady
        0> add 1 t=10; 0+ @n1 t=12; 1> add 2 t=13; 1? !timeout t=500; 2> read t=600; 2+ [1] @n2 t=601; 3> add 3 t=700";

    fn list_files(dir: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for path in sorted_entries(&folder).unwrap() {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn writes_everything_and_lists_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("nodes/n1")).unwrap();
        fs::write(dir.path().join("nodes/n1/redis.log"), "x").unwrap();
        fs::write(dir.path().join("plan.toml"), "x").unwrap();
        let history = notation::history("set", HISTORY).unwrap();
        let mut result = fixture::losses_and_split_brain(1500);
        write_all(dir.path(), &mut result, &history).unwrap();

        let mut listed: Vec<String> = result.files.iter().map(|(_, path)| path.clone()).collect();
        listed.sort();
        assert_eq!(listed, list_files(dir.path()));
        assert!(listed.contains(&"anomalies/lost-writes.jsonl".to_owned()));
        assert!(listed.contains(&"plots/latency.svg".to_owned()));
        assert!(listed.contains(&"nodes/n1/redis.log".to_owned()));
    }

    #[test]
    fn rendering_anew_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let history = notation::history("set", HISTORY).unwrap();
        write_all(dir.path(), &mut fixture::losses_and_split_brain(1500), &history).unwrap();
        let contents = || -> Vec<(String, Vec<u8>)> {
            let read = |path: String| (path.clone(), fs::read(dir.path().join(path)).unwrap());
            list_files(dir.path()).into_iter().map(read).collect()
        };
        let before = contents();
        write_all(dir.path(), &mut read(dir.path()).unwrap(), &history).unwrap();
        assert!(before == contents());
    }

    #[test]
    fn pictures_of_an_earlier_verdict_do_not_linger() {
        let dir = tempfile::tempdir().unwrap();
        let history = notation::history("set", HISTORY).unwrap();
        write_all(dir.path(), &mut fixture::losses_and_split_brain(9), &history).unwrap();
        assert!(dir.path().join("plots/lost-writes.svg").exists());
        write_all(dir.path(), &mut fixture::valid(), &history).unwrap();
        assert!(!dir.path().join("plots/lost-writes.svg").exists());
    }

    #[test]
    fn transactions_of_a_finding_are_drawn_from_the_history() {
        let text = "0: txn a 1 5, r 1 [5]; 1: txn r 1 [5 6]; 2: txn a 2 7";
        let history = notation::history("list-append", text).unwrap();
        let finding = Finding { kind: "G1a".to_owned(), sentence: String::new(), event_indexes: vec![1, 3] };
        let details = Details::ListAppend(schism_checker::isolation::list_append::ListAppendResult::default());
        let check = Check { details, ..fixture::valid().checks[0].clone() };
        let figure = transactions_figure(&check, &finding, &history).unwrap().unwrap();
        assert!(figure.svg.contains("append 1 5 · r 1 [5]") && figure.svg.contains("r 1 [5 6]"), "{}", figure.svg);
        assert!(!figure.svg.contains("append 2 7"));
    }

    #[test]
    fn plots_stay_small_at_a_million_operations() {
        let result = fixture::losses_and_split_brain(10_000);
        for ops in [1_000_000, 5_000_000] {
            let timeline = Timeline::new(&result, fixture::END_NS);
            let started = Instant::now();
            let grid = OpGrid::collect(timeline.end_ns(), fixture::samples(ops));
            let collected = started.elapsed();
            let figures = plots::plots(&result, &timeline, &grid).unwrap();
            println!("{ops} ops: collected in {collected:?}, drawn in {:?}", started.elapsed() - collected);
            for figure in &figures {
                println!("  {}: {} KiB", figure.name, figure.svg.len() >> 10);
                assert!(figure.svg.len() <= 3 << 20, "{} has {} bytes", figure.name, figure.svg.len());
            }
        }
    }

    /// Every cell of the grid in use by every outcome: what no real run does.
    #[test]
    fn plots_stay_small_at_the_worst_spread() {
        let outcomes = [OpOutcome::Ok, OpOutcome::Fail, OpOutcome::Info];
        let ops = (0..3_000_000u64).map(|number| {
            let invoke_ns = (number * 7919) % fixture::END_NS;
            let latency_ns = 10f64.powf(3.0 + 8.9 * ((number * 104_729) % 1_000_003) as f64 / 1_000_003.0) as u64;
            OpSample {
                invoke_ns,
                complete_ns: Some(invoke_ns + latency_ns),
                f: ["a", "b", "c", "d", "e"][number as usize % 5],
                outcome: outcomes[number as usize % 3],
                node: None,
            }
        });
        let result = fixture::valid();
        let timeline = Timeline::new(&result, fixture::END_NS);
        let grid = OpGrid::collect(timeline.end_ns(), ops);
        for figure in plots::plots(&result, &timeline, &grid).unwrap() {
            assert!(figure.svg.len() <= 3 << 20, "{} has {} bytes", figure.name, figure.svg.len());
        }
    }
}
