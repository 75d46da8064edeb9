//! Against Elle: its verdicts on recorded and random histories, and its lattice.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use schism_checker::{
    Check, Details, Validity,
    history::History,
    isolation::{self, IsolationResult, Settings},
    verify::{Certificate, Verification},
};
use serde_json::Value;

fn strings(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect()
}

fn settings(asked: &Value, anomalies: &Value) -> Settings {
    let options = asked["options"].as_str().unwrap_or_default();
    Settings {
        consistency_models: Some(strings(&asked["consistency-models"]).into_iter().collect()),
        anomalies: strings(anomalies).into_iter().collect(),
        wfr_keys: options.contains(":wfr-keys? true"),
        sequential_keys: options.contains(":sequential-keys? true"),
        linearizable_keys: options.contains(":linearizable-keys? true"),
        ..Settings::default()
    }
}

/// Elle's lattice, to compare kinds of anomalies by.
struct Lattice {
    implied: BTreeMap<String, BTreeSet<String>>,
}

impl Lattice {
    fn closure(&self, kinds: &BTreeSet<String>) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut queue: Vec<String> = kinds.iter().cloned().collect();
        while let Some(kind) = queue.pop() {
            queue.extend(self.implied.get(&kind).into_iter().flatten().cloned());
            all.insert(kind);
        }
        all
    }
}

fn models() -> Option<Value> {
    let path = support::conformance("isolation/models.json")?;
    Some(serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
}

#[derive(Default, Debug)]
struct Tally {
    total: u32,
    valid: u32,
    not: u32,
    also_not: u32,
    types: u32,
    types_equal: u32,
    stricter: u32,
    /// Verdicts whose certificate holds, and those of which it says nothing.
    certified: u32,
    uncertified: u32,
}

fn compare(file: &str) -> Option<Tally> {
    let path = support::conformance(file)?;
    let models = models()?;
    let implied = models["implied-anomalies"].as_object().unwrap();
    let lattice = Lattice { implied: implied.iter().map(|(kind, of)| (kind.clone(), strings(of))).collect() };
    let mut tally = Tally::default();
    for line in fs::read_to_string(path).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let name = record["name"].as_str().unwrap();
        let history = match support::foreign(record["model"].as_str().unwrap(), record["edn"].as_str().unwrap()) {
            Ok(history) => history,
            // Elle refuses it as we do where it needs to know which end belongs to which beginning.
            Err(why) if name == "list-append-unobserved-write-test-001" && why.contains("is in flight") => continue,
            Err(why) => panic!("{name}: {why}"),
        };
        let asked = std::iter::once((&record["default"], &record["default"]["anomalies-option"]))
            .chain(record["verdicts"].as_array().unwrap().iter().map(|asked| (asked, &Value::Null)));
        for (elle, anomalies) in asked {
            let settings = settings(elle, anomalies);
            let check = isolation::check(&history, &settings);
            let Details::Isolation(ours) = &check.details else { panic!("another result") };
            certify(name, &history, &settings, &check, ours, &mut tally);
            // Garbage and duplicates, which Elle overlooks or throws on: its own answer on request.
            let is_stricter = |kind: &String| ["garbage-read", "duplicate-appends"].contains(&kind.as_str());
            if elle.get("throws").is_some() || ours.anomaly_types.iter().any(is_stricter) {
                tally.stricter += 1;
                assert!(ours.anomaly_types.iter().any(is_stricter) == (check.valid == Validity::Invalid), "{name}");
                let settings = Settings { elle: true, ..settings };
                let check = isolation::check(&history, &settings);
                let Details::Isolation(ours) = &check.details else { panic!("another result") };
                // Where Elle throws, any answer is better; it gives none.
                if elle.get("throws").is_none() {
                    judge(name, elle, &settings, &check.valid, ours, &lattice, &mut tally);
                }
                continue;
            }
            judge(name, elle, &settings, &check.valid, ours, &lattice, &mut tally);
        }
    }
    eprintln!("{file}: {tally:?}");
    Some(tally)
}

/// No verdict is denied by what re-checks it.
fn certify(
    name: &str,
    history: &History,
    settings: &Settings,
    check: &Check,
    found: &IsolationResult,
    tally: &mut Tally,
) {
    let mut certificate = Vec::new();
    isolation::write_certificate(history, settings, check.valid, found, &mut certificate).unwrap();
    match Certificate::open(&certificate[..]).unwrap().verify(history).unwrap() {
        Verification::Holds { valid, .. } if valid == check.valid => tally.certified += 1,
        Verification::Undecided(_) => tally.uncertified += 1,
        other => panic!("{name}: {other:?}\n{}\n{}", check.summary, String::from_utf8_lossy(&certificate)),
    }
}

fn judge(
    name: &str,
    elle: &Value,
    settings: &Settings,
    valid: &Validity,
    ours: &IsolationResult,
    lattice: &Lattice,
    tally: &mut Tally,
) {
    let kinds: BTreeSet<String> = ours.anomaly_types.iter().cloned().collect();
    tally.total += 1;
    let mut differ = Vec::new();
    let same = serde_json::to_value(valid).unwrap() == elle["valid"];
    tally.valid += u32::from(same);
    if !same {
        differ.push(format!("valid {valid:?}, Elle {}", elle["valid"]));
    }
    let not: BTreeSet<String> = ours.not.iter().cloned().collect();
    let also_not: BTreeSet<String> = ours.also_not.iter().cloned().collect();
    tally.not += u32::from(not == strings(&elle["not"]));
    tally.also_not += u32::from(also_not == strings(&elle["also-not"]));
    if not != strings(&elle["not"]) || also_not != strings(&elle["also-not"]) {
        differ.push(format!("not {not:?}, Elle {}", elle["not"]));
    }
    let theirs = strings(&elle["anomaly-types"]);
    tally.types_equal += u32::from(theirs == kinds);
    // What Elle names, we name or imply. We may name more: that it refutes no more is seen above.
    let our_closure = lattice.closure(&kinds);
    let fits = theirs.iter().filter(|kind| !kind.ends_with("-cycle-exists")).all(|kind| our_closure.contains(kind));
    tally.types += u32::from(fits);
    if !fits {
        differ.push(format!("types {kinds:?}, Elle {theirs:?}"));
    }
    if !differ.is_empty() {
        eprintln!("{name} {:?} {}: {}", settings.consistency_models, elle["options"], differ.join("; "));
    }
}

fn all_agree(file: &str) {
    let Some(tally) = compare(file) else { return };
    assert!(tally.total > 50, "{tally:?}");
    assert_eq!(
        (tally.valid, tally.not, tally.also_not, tally.types),
        (tally.total, tally.total, tally.total, tally.total),
        "{tally:?}"
    );
}

#[test]
fn list_append_as_elle_judges_it() {
    all_agree("isolation/list-append-random.jsonl");
}

#[test]
fn rw_register_as_elle_judges_it() {
    all_agree("isolation/rw-register-random.jsonl");
}

#[test]
fn cases_as_elle_judges_them() {
    all_agree("isolation/cases.jsonl");
}

/// Our own anomalies beside Elle's.
const OURS: &[&str] = &["garbage-read"];

#[test]
fn the_lattice_is_elles() {
    let Some(elle) = models() else { return };
    let names: BTreeSet<String> = isolation::model_names().into_iter().map(Into::into).collect();
    assert_eq!(names, strings(&elle["all-models"]));
    for (anomaly, boundary) in elle["boundary-of-each-anomaly"].as_object().unwrap() {
        let (not, also_not) = isolation::boundary([anomaly.as_str()]);
        let (not, also_not): (BTreeSet<String>, BTreeSet<String>) =
            (not.into_iter().map(Into::into).collect(), also_not.into_iter().map(Into::into).collect());
        assert_eq!((not, also_not), (strings(&boundary["not"]), strings(&boundary["also-not"])), "{anomaly}");
    }
    for (model, prohibited) in elle["prohibited"].as_object().unwrap() {
        let ours: BTreeSet<String> = isolation::anomalies_forbidden_by(std::slice::from_ref(model))
            .into_iter()
            .filter(|anomaly| !OURS.contains(anomaly))
            .map(Into::into)
            .collect();
        assert_eq!(ours, strings(prohibited), "{model}");
    }
    let known: BTreeSet<String> =
        isolation::anomaly_names().into_iter().filter(|anomaly| !OURS.contains(anomaly)).map(Into::into).collect();
    assert_eq!(known, strings(&elle["all-anomalies"]));
}
