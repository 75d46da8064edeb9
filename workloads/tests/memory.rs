//! The in-memory store tells the truth, or its one lie, often enough to be seen in a thousand operations.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use schism_checker::history::{ClaimedRole, F, Mop, Value};
use schism_workloads::client::{
    Client, Connect,
    lie::{Lie, LieError},
    memory::{Memory, Options},
};
use support::{Done, elements, final_lists, final_set, mops, plan, run, workload};

const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// A thousand operations by ten clients, which is what a run of five seconds at 200 per second makes.
async fn history(workload_name: &str, lie: Option<Lie>, seed: u64) -> Vec<Done> {
    let plan = plan(10, seed);
    let options = Options { latency_min_us: 100, latency_max_us: 3_000 };
    let memory = Memory::new(workload_name, lie, plan.seed, options).unwrap();
    let nodes = if lie == Some(Lie::SplitBrain) { &NODES[..2] } else { &NODES[..1] };
    run(Arc::new(memory), &*workload(workload_name), &plan, nodes, 1_000).await
}

/// What is wrong with a history, by simple means: enough to tell truth from lies, no checker.
fn anomalies(workload: &str, history: &[Done]) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    match workload {
        "set" => set_anomalies(history, &mut found),
        "register" => register_anomalies(history, &mut found),
        _ => list_anomalies(history, &mut found),
    }
    found
}

fn set_anomalies(history: &[Done], found: &mut BTreeSet<&'static str>) {
    let last = final_set(history, "n1");
    let unique: BTreeSet<i64> = last.iter().copied().collect();
    if unique.len() < last.len() {
        found.insert("duplicated");
    }
    if history.iter().any(|done| done.node == "n2") && final_set(history, "n2") != last {
        found.insert("diverged");
    }
    for done in history {
        let Value::Int(element) = done.argument else { continue };
        if done.is_ok() && !unique.contains(&element) {
            found.insert("lost");
        }
        if done.is_fail() && unique.contains(&element) {
            found.insert("unexpected");
        }
    }
}

/// A register is wrong where an answer is older than something that was over before the question: each value is
/// written once, so every answer names its write.
fn register_anomalies(history: &[Done], found: &mut BTreeSet<&'static str>) {
    let mut writes: BTreeMap<(i64, i64), (&Done, Option<i64>)> = BTreeMap::new();
    for done in history {
        match &done.argument {
            Value::Pair(key, value) => drop(writes.insert((i64::from(*key), *value), (done, None))),
            Value::KeyedPair(cas) => drop(writes.insert((cas.0, cas.2), (done, Some(cas.1)))),
            _ => {}
        }
    }
    let read = |done: &Done| match done.value() {
        Value::Pair(key, value) => Some((i64::from(*key), Some(*value))),
        Value::List(list) => match list[..] {
            [Value::Int(key), Value::Nil] => Some((key, None)),
            _ => None,
        },
        _ => None,
    };
    for done in history.iter().filter(|done| done.f == F::Read && done.is_ok()) {
        let Some((key, value)) = read(done) else { panic!("{done:?}") };
        let source = value.map(|value| writes[&(key, value)].0);
        if source.is_some_and(Done::is_fail) {
            found.insert("not linearizable");
        }
        // Another write came after the one that was read, and was over before the read began.
        let later = writes.iter().filter(|((other, _), (write, _))| *other == key && write.is_ok());
        let source_end = source.map_or(0, |source| source.completed);
        if later.into_iter().any(|(_, (write, _))| {
            write.invoked > source_end
                && write.completed < done.invoked
                && source.is_none_or(|source| !std::ptr::eq(source, *write))
        }) {
            found.insert("not linearizable");
        }
    }
    // A compare-and-set succeeded although the value it compared with had been overwritten before it began.
    for ((key, _), (cas, old)) in &writes {
        let Some(old) = old.filter(|_| cas.is_ok()) else { continue };
        let Some((source, _)) = writes.get(&(*key, old)) else { continue };
        let overwritten = writes.iter().any(|((other, _), (write, _))| {
            other == key && write.is_ok() && write.invoked > source.completed && write.completed < cas.invoked
        });
        if overwritten || source.is_fail() {
            found.insert("not linearizable");
        }
    }
    for key in 0..10 {
        let value = |node| {
            let reads = history.iter().filter(|done| done.slot == u32::MAX && done.node == node);
            reads.filter_map(read).find(|(other, _)| *other == key)
        };
        if history.iter().any(|done| done.node == "n2") && value("n1") != value("n2") {
            found.insert("diverged");
        }
    }
}

fn list_anomalies(history: &[Done], found: &mut BTreeSet<&'static str>) {
    let last = final_lists(history, "n1");
    let position = |key: i64, element: i64| last.get(&key)?.iter().position(|&other| other == element);
    if last.values().any(|list| list.iter().collect::<BTreeSet<_>>().len() < list.len()) {
        found.insert("duplicate-elements");
    }
    if history.iter().any(|done| done.node == "n2") && final_lists(history, "n2") != last {
        found.insert("diverged");
    }
    for done in history {
        let mut own: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut seen: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for mop in mops(done.value()) {
            match mop {
                Mop::Append { key, element } => {
                    if done.is_ok() && position(key, element).is_none() {
                        found.insert("lost");
                    }
                    if done.is_fail() && position(key, element).is_some() {
                        found.insert("G1a");
                    }
                    own.entry(key).or_default().push(element);
                    if let Some(list) = seen.get_mut(&key) {
                        list.push(element);
                    }
                }
                Mop::Read { key, list } if done.is_ok() => {
                    let list = list.unwrap_or_default();
                    if seen.get(&key).is_some_and(|before| *before != list)
                        || own.get(&key).is_some_and(|own| !list.ends_with(own))
                    {
                        found.insert("internal");
                    }
                    seen.insert(key, list);
                }
                Mop::Read { .. } => {}
            }
        }
    }
    if has_write_skew(history, &last) {
        found.insert("write-skew");
    }
}

/// Two transactions of which each read a list without what the other appended there.
fn has_write_skew(history: &[Done], last: &BTreeMap<i64, Vec<i64>>) -> bool {
    let txns: Vec<Vec<Mop>> = history.iter().filter(|done| done.is_ok()).map(|done| mops(done.value())).collect();
    let mut appender = BTreeMap::new();
    for (txn, mops) in txns.iter().enumerate() {
        for mop in mops {
            if let Mop::Append { key, element } = mop {
                appender.insert((*key, *element), txn);
            }
        }
    }
    let mut missed = BTreeSet::new();
    for (txn, mops) in txns.iter().enumerate() {
        for mop in mops {
            let Mop::Read { key, list } = mop else { continue };
            let length = list.as_ref().map_or(0, Vec::len);
            if mops.iter().any(|other| matches!(other, Mop::Append { key: other, .. } if other == key)) {
                continue;
            }
            for element in last.get(key).into_iter().flat_map(|list| list.iter().skip(length)) {
                // An element of a transaction that was refused has no acknowledged appender.
                missed.extend(appender.get(&(*key, *element)).map(|&other| (txn, other)));
            }
        }
    }
    missed.iter().any(|&(one, other)| one != other && missed.contains(&(other, one)))
}

#[tokio::test]
async fn the_truth_has_no_anomaly() {
    for workload in ["set", "register", "list-append"] {
        for seed in 0..3 {
            let history = history(workload, None, seed).await;
            let expected = BTreeSet::new();
            assert_eq!(anomalies(workload, &history), expected, "{workload}, seed {seed}");
            assert!(history.iter().filter(|done| done.is_ok()).count() > 800);
        }
    }
}

#[tokio::test]
async fn every_lie_shows_in_every_workload_that_it_fits() {
    let expected = |lie, workload| match (lie, workload) {
        (Lie::LostWrite, "set" | "list-append") => "lost",
        (Lie::DirtyRead, "set") => "unexpected",
        (Lie::DirtyRead, "list-append") => "G1a",
        (Lie::LostUpdate, "list-append") => "lost",
        (Lie::Duplicate, "set") => "duplicated",
        (Lie::Duplicate, "list-append") => "duplicate-elements",
        (Lie::SplitBrain, _) => "diverged",
        (Lie::WriteSkew, "list-append") => "write-skew",
        (Lie::NonRepeatableRead, "list-append") => "internal",
        (_, "register") => "not linearizable",
        other => panic!("{other:?}"),
    };
    let every = Lie::all().iter().flat_map(|row| row.workloads.iter().map(move |workload| (row.lie, *workload)));
    let every_seed = every.flat_map(|(lie, workload)| (0..5).map(move |seed| (lie, workload, seed)));
    // Side by side: most of their time is waiting.
    futures::future::join_all(every_seed.map(|(lie, workload, seed)| async move {
        let found = anomalies(workload, &history(workload, Some(lie), seed).await);
        let wanted = expected(lie, workload);
        assert!(found.contains(wanted), "{} in {workload}, seed {seed}: {found:?}", lie.name());
    }))
    .await;
}

#[tokio::test]
async fn write_skew_is_nothing_worse() {
    for seed in 0..3 {
        let found = anomalies("list-append", &history("list-append", Some(Lie::WriteSkew), seed).await);
        assert_eq!(found, BTreeSet::from(["write-skew"]));
    }
}

#[tokio::test]
async fn split_brain_claims_and_acknowledges_twice_for_a_while() {
    let plan = plan(2, 1);
    let options = Options { latency_min_us: 0, latency_max_us: 0 };
    let memory = Memory::new("set", Some(Lie::SplitBrain), plan.seed, options).unwrap();
    let primaries = || memory.claims().iter().filter(|(_, role)| *role == ClaimedRole::Primary).count();
    let mut clients: Vec<Box<dyn Client>> = Vec::new();
    for node in ["n1", "n2"] {
        clients.push(memory.open(0, node).await.unwrap());
    }
    assert_eq!(primaries(), 1);
    let mut both = 0;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut element = 0;
    while both == 0 || primaries() == 2 {
        assert!(std::time::Instant::now() < deadline, "the split never ended");
        for client in &mut clients {
            element += 1;
            let op = schism_workloads::Op::new(0, F::Add, Value::Int(element));
            let completion = client.invoke(&op).await;
            both += u32::from(completion.error.is_none() && primaries() == 2);
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(both > 100, "{both}");
    let read = schism_workloads::Op::new(0, F::Read, Value::Nil);
    let (one, two) = (clients[0].invoke(&read).await, clients[1].invoke(&read).await);
    assert_ne!(elements(&one.value.unwrap()), elements(&two.value.unwrap()));
}

#[test]
fn lies_that_cannot_show_are_refused() {
    let error = Lie::by_name("write-skew", "set").unwrap_err();
    assert_eq!(
        error.to_string(),
        "workload set cannot show the lie write-skew, which fits list-append; the lies that fit set are lost-write, \
         dirty-read, split-brain, duplicate"
    );
    assert!(
        matches!(Lie::by_name("lost-wrote", "set"), Err(LieError::Unknown { valid, .. }) if valid[0] == "lost-write")
    );
    assert_eq!(Lie::by_name("stale-read", "register"), Ok(Lie::StaleRead));
}
