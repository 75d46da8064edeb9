//! The in-memory store tells the truth, or its one lie, often enough to be seen in a thousand operations.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

mod support;

use std::{collections::BTreeSet, sync::Arc};

use schism_checker::{
    Validity,
    divergence::final_state,
    durability::set,
    history::{ClaimEvent, ClaimedRole, Event, EventType, F, Header, History, HistoryBuilder, Process, Value},
    isolation::{self, list_append},
    linearizability,
};
use schism_seed::Seed;
use schism_workloads::{
    client::{
        Client, Connect, LOCK_TAKEN, STALE_TOKEN,
        lie::{Lie, LieError},
        memory::{Memory, Options},
    },
    lock,
};
use support::{Done, elements, plan, run, workload};

const NODES: [&str; 3] = ["n1", "n2", "n3"];

const CLIENTS: u32 = 10;

/// What is found in a thousand operations by ten clients, which is what a run of five seconds at 200 per second makes.
async fn anomalies(workload_name: &str, lie: Option<Lie>, seed: u64) -> BTreeSet<String> {
    let plan = plan(CLIENTS, seed);
    let options = Options { latency_min_us: 100, latency_max_us: 3_000, ..Options::default() };
    let memory = Memory::new(workload_name, lie, plan.seed, options).unwrap();
    let clients_on = if lie == Some(Lie::SplitBrain) { &NODES[..2] } else { &NODES[..1] };
    let history = run(Arc::new(memory.clone()), &*workload(workload_name), &plan, clients_on, 1_000).await;
    assert!(history.iter().filter(|done| done.is_ok()).count() > 500);
    findings(workload_name, &recorded(workload_name, &history, clients_on, &memory))
}

/// The history as the run would have recorded it.
fn recorded(workload: &str, history: &[Done], nodes: &[&str], memory: &Memory) -> History {
    let header = Header {
        schism_history: Header::VERSION,
        workload: workload.to_owned(),
        target: "memory".to_owned(),
        seed: 0,
        clients: CLIENTS,
        nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
        consistency_models: vec!["serializable".to_owned()],
    };
    let mut events: Vec<Event> = history.iter().flat_map(events_of).collect();
    let first_final = events.iter().filter(|event| event.is_final).map(|event| event.index).min().unwrap();
    for (offset, (node, role)) in memory.claims().into_iter().enumerate() {
        let index = first_final - support::GAP + offset as u64;
        let claim = ClaimEvent { node: node.to_owned(), role, term: None, asked_ns: index };
        let value = Value::from_json(serde_json::to_value(claim).unwrap());
        let f = F::Other("claim".into());
        events.push(Event { f, value, ..side_event(index) });
    }
    events.sort_by_key(|event| event.index);
    let mut builder = HistoryBuilder::new(header);
    events.into_iter().for_each(|event| builder.push(event));
    builder.finish().unwrap()
}

fn side_event(index: u64) -> Event {
    Event {
        index,
        time_ns: index,
        process: Process::Monitor,
        kind: EventType::Info,
        f: F::Read,
        value: Value::Nil,
        error: None,
        node: None,
        is_final: false,
        order: None,
    }
}

fn events_of(done: &Done) -> [Event; 2] {
    let is_final = done.slot == u32::MAX;
    let invocation = Event {
        process: Process::Client(if is_final { 0 } else { done.slot }),
        kind: EventType::Invoke,
        f: done.f.clone(),
        value: done.argument.clone(),
        node: Some(done.node.as_str().into()),
        is_final,
        ..side_event(done.invoked)
    };
    let completion = Event {
        index: done.completed,
        time_ns: done.completed,
        kind: done.completion.kind,
        value: done.value().clone(),
        error: done.completion.error.clone(),
        ..invocation.clone()
    };
    [invocation, completion]
}

/// The kinds of what the checkers of this workload find.
fn findings(workload: &str, history: &History) -> BTreeSet<String> {
    let check = match workload {
        "set" => set::check(history),
        "register" => linearizability::check(history, &linearizability::Budget::default()),
        "closed-predicate" => {
            let models = Some(vec!["strict-serializable".to_owned()]);
            isolation::check(history, &isolation::Settings { consistency_models: models, ..Default::default() })
        }
        _ => list_append::check(history),
    };
    assert_ne!(check.valid, Validity::Unknown, "{check:?}");
    let found: BTreeSet<String> = [check, final_state::check(history)]
        .iter()
        .flat_map(|check| &check.findings)
        .map(|found| found.kind.clone())
        .collect();
    found
}

#[tokio::test]
async fn the_truth_has_no_anomaly() {
    for workload in schism_workloads::names().iter().filter(|name| lock::Kind::of(name).is_none()) {
        for seed in 0..3 {
            assert_eq!(anomalies(workload, None, seed).await, BTreeSet::new(), "{workload}, seed {seed}");
        }
    }
}

#[tokio::test]
async fn every_lie_shows_in_every_workload_that_it_fits() {
    let expected = |lie, workload| match (lie, workload) {
        (Lie::LostWrite, "set") => "lost-write",
        (Lie::LostWrite | Lie::LostUpdate, "list-append") => "lost-append",
        (Lie::DirtyRead, "set") => "unexpected-element",
        (Lie::DirtyRead, "list-append" | "closed-predicate") => "G1a",
        (Lie::Duplicate, "set") => "duplicate-element",
        (Lie::Duplicate, "list-append") => "duplicate-elements",
        (Lie::SplitBrain, _) => "divergence",
        (Lie::WriteSkew, "list-append") => "write-skew",
        (Lie::NonRepeatableRead, "list-append" | "closed-predicate") => "internal",
        // Late or in part: by data alone, or in real time.
        (Lie::LostWrite | Lie::Phantom, "closed-predicate") => "G-single",
        (_, "register") => "nonlinearizable",
        other => panic!("{other:?}"),
    };
    // Clients of a lock do what they do because of the answers, so whole runs show its lies: see `tests/memory.rs`.
    let every = Lie::all().iter().flat_map(|row| row.workloads.iter().map(move |workload| (row.lie, *workload)));
    let every = every.filter(|(_, workload)| lock::Kind::of(workload).is_none());
    let every_seed = every.flat_map(|(lie, workload)| (0..5).map(move |seed| (lie, workload, seed)));
    // Side by side: most of their time is waiting.
    futures::future::join_all(every_seed.map(|(lie, workload, seed)| async move {
        let found = anomalies(workload, Some(lie), seed).await;
        let wanted = expected(lie, workload);
        assert!(
            found.iter().any(|kind| kind.starts_with(wanted)),
            "{} in {workload}, seed {seed}: {found:?}",
            lie.name()
        );
    }))
    .await;
}

#[tokio::test]
async fn write_skew_is_nothing_worse() {
    for seed in 0..3 {
        assert_eq!(
            anomalies("list-append", Some(Lie::WriteSkew), seed).await,
            BTreeSet::from(["write-skew".to_owned()])
        );
    }
}

#[tokio::test]
async fn split_brain_claims_and_acknowledges_twice_for_a_while() {
    let plan = plan(2, 1);
    let options = Options { latency_min_us: 0, latency_max_us: 0, ..Options::default() };
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

/// Who asks for a lock on which node, and what is answered: the token, or the class of the error.
async fn ask(memory: &Memory, slot: u32, f: &str, value: Value) -> String {
    let op = schism_workloads::Op::new(slot, F::from_name(f), value);
    let done = memory.open(slot, "n1").await.unwrap().invoke(&op).await;
    match (done.kind, &done.value) {
        (EventType::Ok, Some(value)) => value.to_json().to_string(),
        (EventType::Ok, None) => "ok".to_owned(),
        _ => done.class().to_owned(),
    }
}

#[tokio::test]
async fn one_holds_a_lock_until_it_releases_it() {
    let options = Options { latency_min_us: 0, latency_max_us: 0, ..Options::default() };
    for (workload, first, second) in [("mutex", "ok", "ok"), ("fenced-lock", "1", "2")] {
        let memory = Memory::new(workload, None, Seed::new(1), options.clone()).unwrap();
        assert_eq!(ask(&memory, 0, "release", Value::Nil).await, "\"not-holder\"");
        assert_eq!(ask(&memory, 0, "acquire", Value::Nil).await, first);
        assert_eq!(ask(&memory, 1, "acquire", Value::Nil).await, LOCK_TAKEN);
        assert_eq!(ask(&memory, 1, "release", Value::Nil).await, "\"not-holder\"");
        assert_eq!(ask(&memory, 1, "acquire", Value::Nil).await, LOCK_TAKEN, "that released nothing");
        assert_eq!(ask(&memory, 0, "release", Value::Nil).await, "ok");
        assert_eq!(ask(&memory, 1, "acquire", Value::Nil).await, second);
        assert_eq!(ask(&memory, 1, "write", Value::Int(2)).await, "ok");
        assert_eq!(ask(&memory, 0, "write", Value::Int(1)).await, STALE_TOKEN);
        assert_eq!(ask(&memory, 1, "write", Value::Int(2)).await, "ok");
    }
}

#[test]
fn the_checker_knows_a_locks_answers() {
    assert_eq!(schism_checker::availability::ANSWERS, [LOCK_TAKEN, STALE_TOKEN]);
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
