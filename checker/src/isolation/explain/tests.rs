//! The examples are histories: the checker says of each what the tables say.

use super::*;
use crate::{
    Details, Validity,
    isolation::{IsolationResult, Settings, check},
};

fn rows() -> impl Iterator<Item = AnomalyExplanation> {
    anomalies().into_iter().flat_map(|group| group.names).map(|name| match explain(name) {
        Some(Explanation::Anomaly(anomaly)) => anomaly,
        other => panic!("{name}: {other:?}"),
    })
}

fn judged(example: &Example, models: &[&str]) -> (Validity, BTreeSet<String>) {
    let mut settings = Settings {
        consistency_models: Some(models.iter().map(|model| (*model).into()).collect()),
        ..Settings::default()
    };
    match example.option {
        None => {}
        Some("--linearizable-keys") => settings.linearizable_keys = true,
        Some(other) => panic!("{other}"),
    }
    let check = check(&example.history().unwrap(), &settings);
    let Details::Isolation(IsolationResult { anomaly_types, allowed, .. }) = check.details else {
        panic!("another result")
    };
    (check.valid, anomaly_types.into_iter().chain(allowed).collect())
}

#[test]
fn the_checker_reports_of_each_example_what_is_said() {
    let mut wrong = Vec::new();
    for anomaly in rows() {
        let name = anomaly.name;
        let Some(example) = anomaly.example else {
            assert_eq!(anomaly.never_reported.is_none(), name == "cycle-search-timeout", "{name}");
            assert!(anomaly.reported.is_empty(), "{name}");
            continue;
        };
        assert_eq!(anomaly.reported.contains(&name), anomaly.never_reported.is_none(), "{name}");
        let asked: &[&str] = match &anomaly.forbidden_by_weakest[..] {
            [] => &["strict-serializable"],
            weakest => weakest,
        };
        let (_, kinds) = judged(&example, asked);
        if kinds != anomaly.reported.iter().map(|kind| (*kind).to_owned()).collect() {
            wrong.push(format!("{name} is reported as {kinds:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_example_is_refuted_by_the_models_that_forbid_it_and_by_no_others() {
    let mut wrong = Vec::new();
    for anomaly in rows() {
        let Some(example) = anomaly.example else { continue };
        let name = anomaly.name;
        let undecided = anomaly.reported.iter().any(|kind| lattice::UNKNOWN.contains(kind));
        // What is found in it forbids as much, if it is a case of it.
        let tells = lattice::implied_by(anomaly.reported.iter().copied()).contains(name);
        for model in anomaly.forbidden_by_weakest.iter().chain(&anomaly.forbidden_by_stronger).filter(|_| tells) {
            let (valid, kinds) = judged(&example, &[model]);
            if valid != Validity::Invalid {
                wrong.push(format!("{name} does not refute {model}: {kinds:?}"));
            }
        }
        let mut refuted = lattice::impossible(anomaly.reported.iter().copied());
        if name == "predicate-read-miss" {
            // A universe's init ended before all else began: what lacks its rows is late in real time, too.
            refuted.insert("strong-snapshot-isolation");
        }
        for model in MODELS.iter().filter(|model| !refuted.contains(model.name)) {
            let (valid, kinds) = judged(&example, &[model.name]);
            if !(valid == Validity::Valid || undecided && valid == Validity::Unknown) {
                wrong.push(format!("{name}, {valid:?} for {}: {kinds:?}", model.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_name_has_its_text() {
    let explained: BTreeSet<&str> = names().into_iter().collect();
    assert_eq!(explained.len(), names().len(), "a name stands for two things");
    let folded: BTreeSet<String> = names().iter().map(|name| name.to_ascii_lowercase()).collect();
    assert_eq!(folded.len(), explained.len(), "names that differ only in their case");
    for name in lattice::anomaly_names().iter().chain(lattice::UNKNOWN).chain(&reported_names()) {
        assert!(explained.contains(name), "{name}");
    }
    for name in names() {
        assert!(explain(&name.to_ascii_uppercase()).is_some(), "{name}");
    }
    let promised: Vec<&str> = PROMISES.iter().flat_map(|(_, models)| models.iter()).map(|model| model.name).collect();
    assert_eq!(promised.iter().collect::<BTreeSet<_>>(), MODELS.iter().map(|model| &model.name).collect());
    assert_eq!(promised.len(), MODELS.len());
    assert_eq!(explain("no-such-thing"), None);
}

/// Whatever the checker can find has an example of its own.
#[test]
fn everything_that_the_checker_finds_has_an_example() {
    let without: BTreeSet<&str> = rows().filter(|row| row.never_reported.is_some()).map(|row| row.name).collect();
    for name in reported_names() {
        assert!(!without.contains(name), "{name}");
    }
    // These two kinds can only be found beside another that refutes the same models.
    let never: Vec<&str> =
        lattice::EXISTS.iter().map(|(_, exists)| *exists).filter(|exists| without.contains(exists)).collect();
    assert_eq!(never, ["strong-session-serializable-cycle-exists", "PL-SS-cycle-exists"]);
    for (kind, exists) in lattice::EXISTS.iter().filter(|(_, exists)| never.contains(exists)) {
        // The graph has edges of one of the two beside the data's.
        let (suffix, not) =
            if kind.ends_with("process") { ("-process", "-realtime") } else { ("-realtime", "-process") };
        assert!(kind.ends_with(suffix));
        for other in lattice::CYCLES.iter().filter(|other| !other.ends_with(not)) {
            let also = lattice::impossible([*other]);
            assert!(lattice::impossible([*exists]).is_subset(&also), "{kind}, {other}");
        }
    }
}

/// The names that the checker's own source gives to what it finds.
fn reported_names() -> Vec<&'static str> {
    let sources = [
        include_str!("../mod.rs"),
        include_str!("../append.rs"),
        include_str!("../register.rs"),
        include_str!("../closed_predicate.rs"),
    ];
    let calls = sources.into_iter().flat_map(|source| source.split("found.add(").skip(1));
    let names: Vec<&str> =
        calls.filter_map(|call| call.split('"').nth(1)).chain(lattice::CYCLES.iter().copied()).collect();
    assert!(names.contains(&"G1b") && names.contains(&"cyclic-versions"), "{names:?}");
    names
}

#[test]
fn what_is_written_badly_is_said() {
    for (line, says) in [
        ("append x 1", "begins with T1"),
        ("T1 (after T1): append x 1", "not after a line above"),
        ("T1 (soon): append x 1", "after T1, process of T1, init, or aborted"),
        ("T1 (after all): append x 1", "no transaction"),
    ] {
        assert!(in_notation(&[line]).unwrap_err().contains(says), "{line}");
    }
    assert!(notation::history("list-append", &in_notation(&["T1: push x 1"]).unwrap()).is_err());
}
