//! Against verdicts of others: Knossos and Porcupine for registers, Elle for list-append.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::{fs, process::Command, time::Instant};

use schism_checker::{
    Check, Details, Options, Validity, check_with_witnesses,
    history::History,
    isolation::list_append,
    linearizability::{Budget, write_certificate},
    verify::{Certificate, Verification},
};

fn text<'v>(record: &'v serde_json::Value, name: &str) -> &'v str {
    record[name].as_str().unwrap_or_default()
}

fn records(file: &str) -> Vec<serde_json::Value> {
    file.lines().map(|line| serde_json::from_str(line).expect("a record a line")).collect()
}

/// The check of linearizability, whose certificate holds.
fn certified(history: &History, budget: &Budget) -> Check {
    let (mut checks, witnesses) =
        check_with_witnesses(history, &Options { linearizability: *budget, ..Options::default() }).unwrap();
    let mut certificate = Vec::new();
    write_certificate(history, checks[0].valid, &witnesses, &mut certificate).unwrap();
    match (checks[0].valid, Certificate::open(&certificate[..]).unwrap().verify(history).unwrap()) {
        (Validity::Unknown, Verification::Undecided(_)) => {}
        (found, Verification::Holds { valid, .. }) if found == valid => {}
        (found, other) => panic!("{found:?}, but {other:?}"),
    }
    checks.swap_remove(0)
}

#[test]
fn recorded_histories_as_knossos_judges_them() {
    let Some(path) = support::conformance("linearizability/recorded.jsonl") else { return };
    let mut judged = 0;
    for record in records(&fs::read_to_string(path).unwrap()) {
        let (name, model) = (text(&record, "name"), text(&record, "model"));
        let history = support::foreign(model, text(&record, "edn")).unwrap_or_else(|why| panic!("{name}: {why}"));
        let check = certified(&history, &Budget::default());
        assert_eq!(check.valid.name(), text(&record, "verdict"), "{name}: {check:?}");
        judged += 1;
    }
    assert_eq!(judged, 57);
}

#[test]
fn etcd_logs_as_porcupine_judges_them() {
    let Some(path) = support::conformance("linearizability/etcd-logs") else { return };
    let expected: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(path.join("expected.json")).unwrap()).unwrap();
    let expected = expected.as_object().unwrap();
    for (name, verdict) in expected {
        let log = fs::read_to_string(path.join(name)).unwrap();
        let history = support::foreign("cas-register", &log).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(history.len() > 50, "{name}: {} operations", history.len());
        let check = certified(&history, &Budget::default());
        assert_eq!(check.valid.name(), verdict.as_str().unwrap(), "{name}");
        if let Details::Linearizability(result) = &check.details {
            for key in &result.invalid_keys {
                eprintln!("{name}: {} ops: {}", key.ops.len(), key.explanation);
            }
        }
    }
    assert!(expected.len() > 40);
}

#[test]
fn synthetic_registers() {
    let Some(path) = support::conformance("linearizability/synthetic.jsonl.gz") else { return };
    let Ok(output) = Command::new("gzip").arg("-dc").arg(path).output() else {
        eprintln!("SKIPPED: no gzip");
        return;
    };
    // Undecided is no mistake, and in a debug build dear.
    let budget = if cfg!(debug_assertions) {
        Budget { steps_per_key: 1_000_000, ..Budget::default() }
    } else {
        Budget::default()
    };
    let (mut decided, mut total) = (0, 0);
    for record in records(&String::from_utf8(output.stdout).unwrap()) {
        let name = text(&record, "name");
        let history =
            support::foreign("cas-register", text(&record, "edn")).unwrap_or_else(|why| panic!("{name}: {why}"));
        let started = Instant::now();
        let check = certified(&history, &budget);
        let Details::Linearizability(result) = &check.details else { panic!("another result") };
        eprintln!("{name}: {} steps {} in {:?}", check.valid.name(), result.steps, started.elapsed());
        total += 1;
        if check.valid != Validity::Unknown {
            decided += 1;
            assert_eq!(check.valid.name(), text(&record, "verdict"), "{name}");
        }
    }
    eprintln!("{decided} of {total} decided");
    assert!(decided * 10 >= total * 7, "{decided} of {total}");
}

/// Soundness: what we call a violation of the models asked for, mostly strict serializability, Elle does too. And some of what Elle finds by these
/// names, we find.
#[test]
fn list_append_never_accuses_where_elle_does_not() {
    let mut accused = 0;
    let mut missed: std::collections::BTreeMap<String, u32> = std::collections::BTreeMap::new();
    for file in ["isolation/list-append-random.jsonl", "isolation/cases.jsonl"] {
        let Some(path) = support::conformance(file) else { return };
        for record in records(&fs::read_to_string(path).unwrap()) {
            if text(&record, "model") != "list-append" {
                continue;
            }
            let name = text(&record, "name");
            // Asked for nothing, Elle still looks; we ask for the least.
            let asked: Vec<&str> = record["default"]["consistency-models"]
                .as_array()
                .map(|models| models.iter().filter_map(serde_json::Value::as_str).collect())
                .filter(|models: &Vec<&str>| !models.is_empty())
                .unwrap_or_else(|| vec!["read-uncommitted"]);
            let history = match support::foreign("list-append", text(&record, "edn")) {
                Ok(mut history) => {
                    history.set_consistency_models(asked.iter().map(ToString::to_string).collect());
                    history
                }
                Err(why) => {
                    eprintln!("{name} left out: {why}");
                    continue;
                }
            };
            let check = list_append::check(&history);
            let elle = &record["default"];
            let Details::ListAppend(result) = &check.details else { panic!("another result") };
            // Elle throws on elements that nobody appended and on duplicate appends.
            if check.valid == Validity::Invalid {
                accused += 1;
                assert!(
                    elle["valid"] == serde_json::Value::Bool(false) || elle.get("throws").is_some(),
                    "{name}: {:?} {:?}",
                    result.refuting,
                    check.findings
                );
            }
            if elle.get("throws").is_some() {
                continue;
            }
            for kind in ["internal", "G1a", "incompatible-order", "duplicate-elements", "lost-update"] {
                let theirs = elle["anomaly-types"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == kind));
                let ours = result.anomalies.iter().any(|anomaly| anomaly.kind == kind);
                if theirs && !ours {
                    *missed.entry(kind.into()).or_default() += 1;
                    eprintln!("{name}: {kind} missed");
                }
                assert!(theirs || !ours || kind == "lost-update", "{name}: {kind} is not in Elle's answer: {check:?}");
            }
        }
    }
    eprintln!("{accused} accused, missed {missed:?}");
    assert!(accused > 80, "{accused}");
    assert!(missed.is_empty(), "{missed:?}");
}
