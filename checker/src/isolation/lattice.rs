//! The consistency models, the anomalies, and what each refutes: the whole of it as data.
//!
//! Sources, by the short names used below:
//!
//! - Adya: "Weak consistency: a generalized theory and optimistic implementations for distributed transactions" (1999);
//!   Adya, Liskov & O'Neil: "Generalized isolation level definitions" (2000). PL-1 … PL-3, PL-SS, G0 … G2.
//! - Bailis: Bailis, Davidson, Fekete et al.: "Highly available transactions: virtues and limitations" (2014).
//! - Bernstein: Bernstein, Hadzilacos & Goodman: "Concurrency control and recovery in database systems" (1987).
//! - Berenson: Berenson et al.: "A critique of ANSI SQL isolation levels" (1995).
//! - Cerone: Cerone, Bernardi & Gotsman: "A framework for transactional consistency models with atomic visibility" (2015);
//!   Cerone & Gotsman: "Analysing snapshot isolation" (2016), by which G-nonadjacent refutes snapshot isolation.
//! - Daudjee: Daudjee & Salem: "Lazy database replication with ordering guarantees" (2004), "… with snapshot isolation"
//!   (2006). Strong and strong session variants.
//! - Liu: Liu, Ölveczky et al.: "ROLA: a new distributed transaction protocol and its formal analysis" (2018). Update atomic.
//! - Zuikevičiūtė: Zuikevičiūtė & Pedone: "Correctness criteria for database replication" (2008).
//! - Elle: Kingsbury & Alvaro: "Elle: inferring isolation anomalies from experimental observations" (2020), whose lattice
//!   this is; the tests hold it against Elle's own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A consistency model.
pub(super) struct Model {
    /// The canonical name.
    pub(super) name: &'static str,
    /// What people call it, first the name that results use. None: the canonical one.
    pub(super) friendly: &'static [&'static str],
    /// Models that hold wherever this one does.
    pub(super) implies: &'static [&'static str],
    /// Anomalies that it forbids by itself; those that imply them, and those of the models above, too.
    pub(super) forbids: &'static [&'static str],
}

/// All models, the weaker first.
pub(super) const MODELS: &[Model] = &[
    Model {
        name: "PL-1",
        friendly: &["read-uncommitted"],
        implies: &[],
        // Adya. Where an element comes twice, a version order turns in a circle, or a value comes from nowhere, there is
        // no history of his to speak of.
        forbids: &["G0", "PL-1-cycle-exists", "cyclic-versions", "duplicate-elements", "garbage-read"],
    },
    // Adya
    Model { name: "PL-2", friendly: &["read-committed"], implies: &["PL-1"], forbids: &["G1", "PL-2-cycle-exists"] },
    // Adya; lost updates: Bailis
    Model {
        name: "PL-CS",
        friendly: &["cursor-stability"],
        implies: &["PL-2"],
        forbids: &["G1", "G-cursor", "lost-update"],
    },
    // Adya
    Model { name: "PL-2L", friendly: &["monotonic-view"], implies: &["PL-2"], forbids: &["G1", "G-monotonic"] },
    Model { name: "PL-MSR", friendly: &["monotonic-snapshot-read"], implies: &["PL-2"], forbids: &["G1", "G-MSR"] },
    Model { name: "PL-2+", friendly: &["consistent-view"], implies: &["PL-CS", "PL-2L"], forbids: &["G1", "G-single"] },
    Model { name: "PL-FCV", friendly: &["forward-consistent-view"], implies: &["PL-2+"], forbids: &["G1", "G-SIb"] },
    Model { name: "PL-3U", friendly: &["update-serializable"], implies: &["PL-FCV"], forbids: &["G1", "G-update"] },
    // Bailis
    Model { name: "monotonic-atomic-view", friendly: &[], implies: &["PL-2"], forbids: &[] },
    // Cerone. A future read breaks its axiom EXT: it saw what its own transaction had yet to write.
    Model {
        name: "read-atomic",
        friendly: &[],
        implies: &["monotonic-atomic-view"],
        forbids: &["internal", "G1a", "future-read"],
    },
    // Liu
    Model { name: "update-atomic", friendly: &[], implies: &["read-atomic"], forbids: &["lost-update"] },
    // Cerone, three
    Model { name: "causal-cerone", friendly: &[], implies: &["read-atomic"], forbids: &["internal", "G1a"] },
    Model { name: "prefix", friendly: &[], implies: &["causal-cerone"], forbids: &["internal", "G1a"] },
    Model {
        name: "parallel-snapshot-isolation",
        friendly: &[],
        implies: &["causal-cerone", "update-atomic"],
        forbids: &["internal", "G1a"],
    },
    // Adya: G1, G-SI. Cerone: internal, nonadjacent rw edges. Implications: Adya, Bailis, Cerone.
    Model {
        name: "PL-SI",
        friendly: &["snapshot-isolation"],
        implies: &["PL-FCV", "PL-MSR", "monotonic-atomic-view", "parallel-snapshot-isolation", "prefix"],
        forbids: &["internal", "G1", "G-SI", "G-nonadjacent", "PL-SI-cycle-exists"],
    },
    // Adya; lost updates and monotonic atomic view: Bailis
    Model {
        name: "PL-2.99",
        friendly: &["repeatable-read"],
        implies: &["PL-CS", "monotonic-atomic-view"],
        forbids: &["G1", "G2-item", "PL-2.99-cycle-exists", "lost-update"],
    },
    // Bernstein
    Model { name: "view-serializable", friendly: &[], implies: &[], forbids: &[] },
    // Adya; snapshot isolation: Bailis, Cerone. Conflict serializability is meant.
    Model {
        name: "PL-3",
        friendly: &["serializable", "conflict-serializable"],
        implies: &["PL-2.99", "PL-3U", "PL-SI", "view-serializable"],
        forbids: &["G1", "G2", "internal", "predicate-read-miss", "PL-3-cycle-exists"],
    },
    // Strong session and strong variants of the two weakest: Elle.
    Model {
        name: "strong-session-PL-1",
        friendly: &["strong-session-read-uncommitted"],
        implies: &["PL-1"],
        forbids: &["G0-process", "strong-session-PL-1-cycle-exists"],
    },
    Model {
        name: "strong-session-PL-2",
        friendly: &["strong-session-read-committed"],
        implies: &["PL-2", "strong-session-PL-1"],
        forbids: &["G1c-process", "strong-session-PL-2-cycle-exists"],
    },
    Model {
        name: "strong-PL-1",
        friendly: &["strong-read-uncommitted"],
        implies: &["strong-session-PL-1"],
        forbids: &["G0-realtime", "strong-PL-1-cycle-exists"],
    },
    Model {
        name: "strong-PL-2",
        friendly: &["strong-read-committed"],
        implies: &["strong-PL-1", "strong-session-PL-2"],
        forbids: &["G1c-realtime", "strong-PL-2-cycle-exists"],
    },
    // Daudjee; nonadjacent rw edges as for snapshot isolation itself: Cerone, Elle
    Model {
        name: "strong-session-snapshot-isolation",
        friendly: &[],
        implies: &["PL-SI", "strong-session-PL-2"],
        forbids: &["internal", "G1-process", "G-nonadjacent-process", "strong-session-snapshot-isolation-cycle-exists"],
    },
    Model {
        name: "strong-snapshot-isolation",
        friendly: &[],
        implies: &["strong-session-snapshot-isolation", "strong-PL-2"],
        forbids: &["internal", "G1-realtime", "G-nonadjacent-realtime", "strong-snapshot-isolation-cycle-exists"],
    },
    // Daudjee
    Model {
        name: "strong-session-serializable",
        friendly: &[],
        implies: &["PL-3", "strong-session-snapshot-isolation"],
        forbids: &["G1-process", "G2-process", "strong-session-serializable-cycle-exists"],
    },
    // Bernstein, Zuikevičiūtė
    Model { name: "1SR", friendly: &[], implies: &[], forbids: &[] },
    Model { name: "session-serializable", friendly: &[], implies: &["1SR"], forbids: &[] },
    // Of single objects, all Bailis
    Model { name: "monotonic-reads", friendly: &[], implies: &[], forbids: &[] },
    Model { name: "monotonic-writes", friendly: &[], implies: &[], forbids: &[] },
    Model { name: "read-your-writes", friendly: &[], implies: &[], forbids: &[] },
    Model { name: "writes-follow-reads", friendly: &[], implies: &[], forbids: &[] },
    Model {
        name: "PRAM",
        friendly: &[],
        implies: &["monotonic-reads", "monotonic-writes", "read-your-writes"],
        forbids: &[],
    },
    Model { name: "causal", friendly: &[], implies: &["PRAM", "writes-follow-reads"], forbids: &[] },
    Model { name: "sequential", friendly: &[], implies: &["causal"], forbids: &[] },
    Model { name: "linearizable", friendly: &[], implies: &["sequential"], forbids: &[] },
    // Adya; Bailis; Zuikevičiūtė
    Model {
        name: "PL-SS",
        friendly: &["strong-serializable", "strict-serializable"],
        implies: &[
            "PL-3",
            "PL-SI",
            "linearizable",
            "session-serializable",
            "strong-session-serializable",
            "strong-snapshot-isolation",
        ],
        forbids: &["G1", "G1c-realtime", "G2-realtime", "PL-SS-cycle-exists"],
    },
];

/// What else is there where an anomaly is.
const IMPLIED_ANOMALIES: &[(&str, &[&str])] = &[
    // Adya. That a process does one thing after the other makes of each anomaly its session variant, and of that the
    // real-time one.
    ("G0", &["G1c", "G0-process"]),
    ("G0-process", &["G1c-process", "G0-realtime"]),
    ("G0-realtime", &["G1c-realtime"]),
    ("G1a", &["G1"]),
    ("G1b", &["G1"]),
    ("G1c", &["G1", "G1c-process"]),
    ("G1c-process", &["G1-process", "G1c-realtime"]),
    ("G1c-realtime", &["G1-realtime"]),
    ("G1", &["G1-process"]),
    ("G1-process", &["G1-realtime"]),
    // Adya. One anti-dependency is a special case of several that do not adjoin, and that of any; items are a special
    // case of predicates.
    ("G-single-item", &["G-single", "G-nonadjacent-item", "G-single-item-process"]),
    ("G-single-item-process", &["G-single-process", "G-nonadjacent-item-process", "G-single-item-realtime"]),
    ("G-single-item-realtime", &["G-single-realtime", "G-nonadjacent-item-realtime"]),
    ("G-single", &["G-nonadjacent", "GSIb", "G-single-process"]),
    ("G-single-process", &["G-nonadjacent-process", "G-single-realtime"]),
    ("G-single-realtime", &["G-nonadjacent-realtime"]),
    ("G-nonadjacent-item", &["G-nonadjacent", "G2-item", "G-nonadjacent-item-process"]),
    ("G-nonadjacent-item-process", &["G-nonadjacent-process", "G2-item-process", "G-nonadjacent-item-realtime"]),
    ("G-nonadjacent-item-realtime", &["G-nonadjacent-realtime", "G2-item-realtime"]),
    ("G-nonadjacent", &["G2", "G-nonadjacent-process"]),
    ("G-nonadjacent-process", &["G2-process", "G-nonadjacent-realtime"]),
    ("G-nonadjacent-realtime", &["G2-realtime"]),
    ("G2-item", &["G2", "G2-item-process"]),
    ("G2-item-process", &["G2-process", "G2-item-realtime"]),
    ("G2-item-realtime", &["G2-realtime"]),
    ("G2", &["G2-process"]),
    ("G2-process", &["G2-realtime"]),
    // Adya
    ("GSIa", &["GSI"]),
    ("GSIb", &["GSI"]),
    // Elle. Two committed reads that fit into no one order: one of them read what was never there. A transaction that
    // reads what it writes later depends on itself. What a committed write stands on was committed, or else was dirty.
    ("incompatible-order", &["G1a"]),
    ("future-read", &["G1c"]),
    ("dirty-update", &["G1a"]),
    // Bailis, Berenson
    ("lost-update", &["write-skew", "G2-item"]),
    ("write-skew", &["G2"]),
];

/// Anomalies that say that nothing could be decided.
pub(crate) const UNKNOWN: &[&str] =
    &["empty-transaction-graph", "cycle-search-timeout", "duplicate-appends", "duplicate-writes"];

/// Kinds of cycles, the most severe first: the order in which they are searched, in which none is looked for that another
/// found before implies. Severity: Elle.
pub(crate) const CYCLES: &[&str] = &[
    "G-single-item",
    "G0",
    "G-nonadjacent-item",
    "G-single",
    "G-nonadjacent",
    "G-single-item-process",
    "G1c",
    "G-nonadjacent-item-process",
    "G-single-process",
    "G-nonadjacent-process",
    "G-single-item-realtime",
    "G2-item",
    "G2",
    "G-nonadjacent-item-realtime",
    "G-single-realtime",
    "G-nonadjacent-realtime",
    "G0-process",
    "G1c-process",
    "G2-item-process",
    "G2-process",
    "G0-realtime",
    "G1c-realtime",
    "G2-item-realtime",
    "G2-realtime",
];

/// Those of which there is none without a read by predicate that is not one of items besides.
pub(crate) const IS_OF_PREDICATES: &[&str] = &["G-single", "G-nonadjacent", "G2"];

/// Cycles of a kind that are told by more than the most severe reasons of their edges, and what they are called then: by
/// the weakest model that they refute. The weaker models first.
pub(crate) const EXISTS: &[(&str, &str)] = &[
    ("G0-process", "strong-session-PL-1-cycle-exists"),
    ("G1c-process", "strong-session-PL-2-cycle-exists"),
    ("G-single-process", "strong-session-snapshot-isolation-cycle-exists"),
    ("G-nonadjacent-process", "strong-session-snapshot-isolation-cycle-exists"),
    ("G2-process", "strong-session-serializable-cycle-exists"),
    ("G0-realtime", "strong-PL-1-cycle-exists"),
    ("G1c-realtime", "strong-PL-2-cycle-exists"),
    ("G-single-realtime", "strong-snapshot-isolation-cycle-exists"),
    ("G-nonadjacent-realtime", "strong-snapshot-isolation-cycle-exists"),
    ("G2-realtime", "PL-SS-cycle-exists"),
];

fn model(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name || model.friendly.contains(&name))
}

/// The name that results use.
pub(super) fn friendly(canonical: &'static str) -> &'static str {
    model(canonical).and_then(|model| model.friendly.first().copied()).unwrap_or(canonical)
}

/// Every name that a user may ask for, canonical and friendly.
#[must_use]
pub fn model_names() -> Vec<&'static str> {
    let names: BTreeSet<&str> =
        MODELS.iter().flat_map(|model| std::iter::once(model.name).chain(model.friendly.iter().copied())).collect();
    names.into_iter().collect()
}

/// Every anomaly that the models and the implications speak of.
#[must_use]
pub fn anomaly_names() -> Vec<&'static str> {
    let mut names: BTreeSet<&str> = MODELS.iter().flat_map(|model| model.forbids.iter().copied()).collect();
    for (name, implied) in IMPLIED_ANOMALIES {
        names.insert(name);
        names.extend(implied.iter());
    }
    names.into_iter().collect()
}

/// Everything that can be reached.
fn closure<'n>(from: impl IntoIterator<Item = &'n str>, next: impl Fn(&str) -> Vec<&'n str>) -> BTreeSet<&'n str> {
    let mut seen = BTreeSet::new();
    let mut queue: VecDeque<&str> = from.into_iter().collect();
    while let Some(name) = queue.pop_front() {
        if seen.insert(name) {
            queue.extend(next(name));
        }
    }
    seen
}

/// The anomalies, and all that they imply.
pub(crate) fn implied_by<'n>(anomalies: impl IntoIterator<Item = &'n str>) -> BTreeSet<&'n str> {
    closure(anomalies, |anomaly| {
        IMPLIED_ANOMALIES
            .iter()
            .filter(|(name, _)| *name == anomaly)
            .flat_map(|(_, implied)| implied.to_vec())
            .collect()
    })
}

/// The anomalies, and all that imply one of them.
fn implying<'n>(anomalies: impl IntoIterator<Item = &'n str>) -> BTreeSet<&'n str> {
    closure(anomalies, |anomaly| {
        IMPLIED_ANOMALIES.iter().filter(|(_, implied)| implied.contains(&anomaly)).map(|(name, _)| *name).collect()
    })
}

fn weaker(canonical: &str) -> Vec<&'static str> {
    model(canonical).map(|model| model.implies.to_vec()).unwrap_or_default()
}

pub(super) fn stronger(canonical: &str) -> Vec<&'static str> {
    MODELS.iter().filter(|model| model.implies.contains(&canonical)).map(|model| model.name).collect()
}

/// The anomalies that must not be there if all these models are to hold. Unknown names forbid nothing.
pub fn anomalies_forbidden_by(models: &[String]) -> BTreeSet<&'static str> {
    let asked = models.iter().filter_map(|name| model(name)).map(|model| model.name);
    let direct: BTreeSet<&str> =
        closure(asked, weaker).into_iter().filter_map(model).flat_map(|model| model.forbids.iter().copied()).collect();
    implying(direct)
}

/// The anomalies that make a history invalid for whoever asks for these models and for the absence of these anomalies.
pub(crate) fn prohibited(models: &[String], anomalies: &[String]) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = anomalies_forbidden_by(models).into_iter().map(Into::into).collect();
    all.extend(implying(anomalies.iter().map(String::as_str)).into_iter().map(Into::into));
    all
}

/// The models that cannot hold where these anomalies are.
pub(crate) fn impossible<'n>(anomalies: impl IntoIterator<Item = &'n str>) -> BTreeSet<&'static str> {
    let anomalies = implied_by(anomalies);
    let direct = MODELS.iter().filter(|model| model.forbids.iter().any(|anomaly| anomalies.contains(anomaly)));
    closure(direct.map(|model| model.name), stronger)
}

/// The weakest models that the anomalies refute, and the others that fall with them, by the names that results use.
#[must_use]
pub fn boundary<'n>(anomalies: impl IntoIterator<Item = &'n str>) -> (Vec<&'static str>, Vec<&'static str>) {
    let impossible = impossible(anomalies);
    let is_weakest = |name: &str| weaker(name).iter().all(|weaker| closure_of_weaker(weaker).is_disjoint(&impossible));
    let (not, also_not): (BTreeMap<&str, ()>, BTreeMap<&str, ()>) = {
        let (not, also): (Vec<&'static str>, Vec<&'static str>) =
            impossible.iter().copied().partition(|name| is_weakest(name));
        (
            not.into_iter().map(|name| (friendly(name), ())).collect(),
            also.into_iter().map(|name| (friendly(name), ())).collect(),
        )
    };
    (not.into_keys().collect(), also_not.into_keys().collect())
}

pub(super) fn closure_of_weaker(name: &'static str) -> BTreeSet<&'static str> {
    closure([name], weaker)
}

pub(super) fn closure_of_stronger(name: &'static str) -> BTreeSet<&'static str> {
    closure([name], stronger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_and_nothing_goes_round() {
        for model in MODELS {
            for weaker_name in model.implies {
                assert!(MODELS.iter().any(|model| model.name == *weaker_name), "{weaker_name}");
                assert!(!closure_of_weaker(weaker_name).contains(model.name), "{}", model.name);
            }
        }
        for (name, implied) in IMPLIED_ANOMALIES {
            assert!(!implied_by(implied.iter().copied()).contains(name), "{name}");
        }
        let anomalies = anomaly_names();
        assert!(CYCLES.iter().all(|kind| anomalies.contains(kind)));
        assert_eq!(MODELS.iter().map(|model| model.name).collect::<BTreeSet<_>>().len(), MODELS.len());
    }

    #[test]
    fn boundaries() {
        assert_eq!(boundary(["G2-item"]).0, ["repeatable-read"]);
        assert_eq!(boundary(["G-single-item"]).0, ["consistent-view", "repeatable-read"]);
        assert_eq!(
            boundary(["G-nonadjacent-item-realtime"]),
            (vec!["strong-snapshot-isolation"], vec!["strong-serializable"])
        );
        assert_eq!(boundary(["lost-update"]).0, ["cursor-stability", "update-atomic"]);
        assert_eq!(boundary([]), (vec![], vec![]));
    }
}
