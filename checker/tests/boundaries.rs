//! The executable definition of the levels: between each two neighbours of the lattice that list-append can tell apart, a
//! history that the weaker model allows and the stronger forbids.
//!
//! Neighbours are a model and one that its row of the lattice implies. They can be told apart where an anomaly that the
//! checker finds in lists refutes the stronger and not the weaker. The test computes which those are, so that a pair is
//! neither forgotten nor kept in vain; those that no list tells apart are listed with the reason. The histories are the
//! examples of `schism explain`.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};

use schism_checker::{
    Details, Validity,
    isolation::{
        self, Settings,
        explain::{self, AnomalyExplanation, Explanation, ModelExplanation},
    },
};

/// The weaker model, the stronger, and the anomaly whose example lies between them.
const BOUNDARIES: &[(&str, &str, &str)] = &[
    // Isolation levels.
    ("read-uncommitted", "read-committed", "G1a"),
    ("read-committed", "cursor-stability", "lost-update"),
    ("cursor-stability", "consistent-view", "G-single-item"),
    ("monotonic-view", "consistent-view", "lost-update"),
    ("monotonic-atomic-view", "read-atomic", "internal"),
    ("read-atomic", "update-atomic", "lost-update"),
    ("causal-cerone", "parallel-snapshot-isolation", "lost-update"),
    ("forward-consistent-view", "snapshot-isolation", "G-nonadjacent-item"),
    ("monotonic-snapshot-read", "snapshot-isolation", "lost-update"),
    ("monotonic-atomic-view", "snapshot-isolation", "lost-update"),
    ("parallel-snapshot-isolation", "snapshot-isolation", "G-nonadjacent-item"),
    ("prefix", "snapshot-isolation", "lost-update"),
    ("cursor-stability", "repeatable-read", "G2-item"),
    ("monotonic-atomic-view", "repeatable-read", "G2-item"),
    ("repeatable-read", "serializable", "internal"),
    ("update-serializable", "serializable", "G-nonadjacent-item"),
    ("snapshot-isolation", "serializable", "G2-item"),
    // With the order within each process.
    ("read-uncommitted", "strong-session-read-uncommitted", "G0-process"),
    ("read-committed", "strong-session-read-committed", "G1c-process"),
    ("strong-session-read-uncommitted", "strong-session-read-committed", "G1c"),
    ("snapshot-isolation", "strong-session-snapshot-isolation", "G-single-item-process"),
    ("strong-session-read-committed", "strong-session-snapshot-isolation", "G-nonadjacent-item-process"),
    ("serializable", "strong-session-serializable", "G-nonadjacent-item-process"),
    ("strong-session-snapshot-isolation", "strong-session-serializable", "G2-item-process"),
    // With real time.
    ("strong-session-read-uncommitted", "strong-read-uncommitted", "G0-realtime"),
    ("strong-read-uncommitted", "strong-read-committed", "G1c"),
    ("strong-session-read-committed", "strong-read-committed", "G1c-realtime"),
    ("strong-session-snapshot-isolation", "strong-snapshot-isolation", "G-single-item-realtime"),
    ("strong-read-committed", "strong-snapshot-isolation", "G-nonadjacent-item-realtime"),
    ("serializable", "strong-serializable", "G-single-item-realtime"),
    ("snapshot-isolation", "strong-serializable", "G2-item"),
    ("strong-session-serializable", "strong-serializable", "G2-item-realtime"),
    ("strong-snapshot-isolation", "strong-serializable", "G2-item"),
];

const NOTHING_BETWEEN: &str = "all that is found in lists and refutes the stronger refutes the weaker, too";
/// That such a model is not refuted says nothing.
const SAYS_NOTHING: &str = "the lattice ties nothing that is found in lists to the weaker";

/// Neighbours that no list tells apart, the weaker first, and why.
const ALIKE: &[(&str, &str, &str)] = &[
    ("read-committed", "monotonic-view", NOTHING_BETWEEN),
    ("read-committed", "monotonic-snapshot-read", NOTHING_BETWEEN),
    ("consistent-view", "forward-consistent-view", NOTHING_BETWEEN),
    ("forward-consistent-view", "update-serializable", NOTHING_BETWEEN),
    ("read-committed", "monotonic-atomic-view", NOTHING_BETWEEN),
    ("read-atomic", "causal-cerone", NOTHING_BETWEEN),
    ("causal-cerone", "prefix", NOTHING_BETWEEN),
    ("update-atomic", "parallel-snapshot-isolation", NOTHING_BETWEEN),
    ("view-serializable", "serializable", SAYS_NOTHING),
    ("1SR", "session-serializable", SAYS_NOTHING),
    ("linearizable", "strong-serializable", SAYS_NOTHING),
    ("session-serializable", "strong-serializable", SAYS_NOTHING),
    ("monotonic-reads", "PRAM", SAYS_NOTHING),
    ("monotonic-writes", "PRAM", SAYS_NOTHING),
    ("read-your-writes", "PRAM", SAYS_NOTHING),
    ("PRAM", "causal", SAYS_NOTHING),
    ("writes-follow-reads", "causal", SAYS_NOTHING),
    ("causal", "sequential", SAYS_NOTHING),
    ("sequential", "linearizable", SAYS_NOTHING),
];

fn anomaly(name: &str) -> AnomalyExplanation {
    match explain::explain(name) {
        Some(Explanation::Anomaly(anomaly)) => anomaly,
        other => panic!("{name}: {other:?}"),
    }
}

fn model(name: &str) -> ModelExplanation {
    match explain::explain(name) {
        Some(Explanation::Model(model)) => model,
        other => panic!("{name}: {other:?}"),
    }
}

/// Each model with each that its row implies, by the names that results use.
fn neighbours() -> Vec<(&'static str, &'static str)> {
    let models = explain::models().into_iter().flat_map(|group| group.names).map(model);
    models.flat_map(|stronger| stronger.implies.into_iter().map(move |weaker| (weaker, stronger.name))).collect()
}

/// The anomalies that the checker finds in lists, with the models that each refutes.
fn found_in_lists() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let rows = explain::anomalies().into_iter().flat_map(|group| group.names).map(anomaly);
    let found = rows.filter(|row| {
        row.never_reported.is_none() && row.example.is_some_and(|example| example.workload == "list-append")
    });
    found
        .map(|row| (row.name, row.forbidden_by_weakest.into_iter().chain(row.forbidden_by_stronger).collect()))
        .collect()
}

/// The anomalies that tell a pair apart, or why there are none.
fn between(
    (weaker, stronger): (&str, &str),
    found: &BTreeMap<&'static str, BTreeSet<&'static str>>,
) -> Result<Vec<&'static str>, &'static str> {
    let refuting = |model: &str| -> BTreeSet<&'static str> {
        found.iter().filter(|(_, models)| models.contains(model)).map(|(name, _)| *name).collect()
    };
    let by_weaker = refuting(weaker);
    if by_weaker.is_empty() {
        return Err(SAYS_NOTHING);
    }
    let between: Vec<&str> = refuting(stronger).difference(&by_weaker).copied().collect();
    if between.is_empty() { Err(NOTHING_BETWEEN) } else { Ok(between) }
}

fn verdict(name: &str, model: &str) -> Validity {
    let history = anomaly(name).example.unwrap().history().unwrap();
    let settings = Settings { consistency_models: Some(vec![model.into()]), ..Settings::default() };
    let check = isolation::check(&history, &settings);
    assert!(matches!(check.details, Details::Isolation(_)));
    check.valid
}

#[test]
fn between_neighbours_lies_a_history_that_only_the_weaker_allows() {
    for (weaker, stronger, name) in BOUNDARIES {
        assert_eq!(verdict(name, weaker), Validity::Valid, "{name} for {weaker}");
        assert_eq!(verdict(name, stronger), Validity::Invalid, "{name} for {stronger}");
    }
}

#[test]
fn no_neighbours_are_forgotten() {
    let found = found_in_lists();
    let mut told_apart: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    let mut alike: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for pair in neighbours() {
        match between(pair, &found) {
            Ok(names) => drop(told_apart.insert(pair, names)),
            Err(why) => drop(alike.insert(pair, why)),
        }
    }
    let mut wrong = Vec::new();
    for (pair, names) in &told_apart {
        match BOUNDARIES.iter().find(|(weaker, stronger, _)| (*weaker, *stronger) == *pair) {
            None => wrong.push(format!("{pair:?} have no history; of these anomalies any would do: {names:?}")),
            Some((.., name)) if !names.contains(name) => {
                wrong.push(format!("{pair:?}: not {name}, but one of {names:?}"))
            }
            Some(_) => {}
        }
    }
    for (pair, why) in &alike {
        if !ALIKE.contains(&(pair.0, pair.1, why)) {
            wrong.push(format!("{pair:?} are no longer told apart: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Each pair once, and no others.
    assert_eq!((BOUNDARIES.len(), ALIKE.len()), (told_apart.len(), alike.len()));
    assert_eq!(told_apart.len() + alike.len(), neighbours().len());
}
