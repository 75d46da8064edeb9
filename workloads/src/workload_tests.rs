//! The workloads, by the operations they make.

use std::collections::{BTreeMap, BTreeSet};

use schism_checker::history::{Event, EventType, F, Mop, Process, Value};
use schism_seed::Seed;

use crate::{
    Workload, WorkloadError, WorkloadPlan, by_name,
    closed_predicate::{RowMop, parsed},
    generator::{Context, Free, Latency, Step, op_limit, simulate},
    lock, names,
};

fn plan(clients: u32, seed: u64) -> WorkloadPlan {
    WorkloadPlan { clients, seed: Seed::new(seed), nodes: vec!["n1".into()], rate_per_s: 0.0 }
}

fn workload(name: &str, options: &[(&str, &str)]) -> Box<dyn Workload> {
    let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    by_name(name, &options).unwrap()
}

/// The invocations of `ops` operations.
fn invoked(workload: &dyn Workload, plan: &WorkloadPlan, ops: u64, latency: &Latency) -> Vec<Event> {
    let history = simulate(op_limit(ops, workload.generator(plan)), plan.clients, latency, plan.seed);
    history.into_iter().filter(|event| event.kind == EventType::Invoke).collect()
}

fn by_slot(events: &[Event], clients: u32) -> Vec<Vec<(F, Value)>> {
    let mut slots = vec![Vec::new(); clients as usize];
    for event in events {
        let process = event.process.client().unwrap();
        slots[(process % clients) as usize].push((event.f.clone(), event.value.clone()));
    }
    slots
}

#[test]
fn a_slots_ops_depend_on_the_seed_and_the_slot_alone() {
    let even = Latency::fixed(1_000);
    let uneven = Latency { range_ns: 0..=1_000_000, fail_permille: 200, info_permille: 200 };
    // (Of a lock, what a slot draws: see below.)
    for name in names().iter().filter(|name| lock::Kind::of(name).is_none()) {
        let workload = workload(name, &[]);
        let one = by_slot(&invoked(&*workload, &plan(5, 3), 4_000, &even), 5);
        let other = by_slot(&invoked(&*workload, &plan(5, 3), 4_000, &uneven), 5);
        let another_seed = by_slot(&invoked(&*workload, &plan(5, 4), 4_000, &even), 5);
        for slot in 0..5 {
            assert!(one[slot][..600] == other[slot][..600], "{name}: slot {slot} depends on completions");
            assert_ne!(one[slot][..600], another_seed[slot][..600], "{name}: slot {slot} ignores the seed");
        }
    }
}

/// Pinned for good: a change here breaks every published seed.
#[test]
fn op_streams_never_change() {
    let first = |name| {
        let events = invoked(&*workload(name, &[]), &plan(2, 42), 10, &Latency::fixed(1));
        by_slot(&events, 2).remove(1)
    };
    let mop = |mop: &Mop| match mop {
        Mop::Read { key, .. } => format!("r {key}"),
        Mop::Append { key, element } => format!("append {key} {element}"),
    };
    let line = |(f, value): &(F, Value)| match value {
        Value::Txn(mops) => mops.iter().map(mop).collect::<Vec<_>>().join(", "),
        value => format!("{} {value:?}", f.name()),
    };
    let lines = |name| first(name).iter().map(line).collect::<Vec<_>>();
    assert_eq!(lines("set"), ["add Int(1)", "add Int(3)", "add Int(5)", "add Int(7)", "add Int(9)"]);
    assert_eq!(
        lines("register"),
        [
            "write Pair(5, 1)",
            "write Pair(5, 3)",
            "cas KeyedPair((5, 3, 5))",
            "cas KeyedPair((5, 5, 7))",
            "read List([Int(5), Nil])"
        ]
    );
    assert_eq!(
        lines("list-append"),
        ["append 9 1, append 9 3, append 9 5", "append 6 7", "r 9, r 7, append 8 9", "r 9, r 8", "r 8, r 9, r 7"]
    );
    let rows: Vec<String> = first("closed-predicate").iter().map(|(_, value)| value.to_json().to_string()).collect();
    assert_eq!(
        rows,
        [
            r#"[0,[["insert",17,4],["rp",["mod",2,1],null],["insert",19,0]]]"#,
            r#"[0,[["insert",23,4]]]"#,
            r#"[0,[["r",20,null],["insert",11,8],["rp",["=",8],null]]]"#,
            r#"[0,[["insert",3,6],["rp",["=",1],null],["rp",["mod",2,1],null],["rp",["mod",2,0],null]]]"#,
            r#"[0,[["r",7,null],["rp",["mod",2,0],null]]]"#
        ]
    );
}

#[test]
fn set_adds_unique_elements_and_reads_ever_less_often() {
    let events = invoked(&*workload("set", &[]), &plan(10, 1), 100_000, &Latency::fixed(1_000));
    let mut elements = BTreeSet::new();
    let (mut reads, mut early_reads, mut elements_read) = (0, 0, 0);
    for (index, event) in events.iter().enumerate() {
        match event.value {
            Value::Int(element) => assert!(elements.insert(element), "{element} twice"),
            Value::Nil => {
                reads += 1;
                early_reads += u32::from(index < 2_000);
                elements_read += elements.len();
            }
            ref other => panic!("{other:?}"),
        }
    }
    assert!((5..=16).contains(&early_reads), "one in 200 at first: {early_reads}");
    assert!((30..90).contains(&reads), "{reads}");
    assert!((5 * 100_000..16 * 100_000).contains(&elements_read), "about ten times the set: {elements_read}");

    let none = invoked(&*workload("set", &[("ops-per-read", "0")]), &plan(3, 1), 2_000, &Latency::fixed(1));
    assert!(none.iter().all(|event| event.f == F::Add));
    assert_eq!(workload("set", &[]).final_reads(&plan(3, 1), &[1, 2, 3]), [(Value::Nil, F::Read)]);
}

#[test]
fn register_values_are_unique_and_cas_follows_the_slots_own_writes() {
    let events = invoked(&*workload("register", &[]), &plan(4, 1), 20_000, &Latency::fixed(1_000));
    let mut counts = BTreeMap::new();
    let mut values = BTreeSet::new();
    for slot in by_slot(&events, 4) {
        let mut last = None;
        for (f, value) in slot {
            *counts.entry(f.name().to_owned()).or_insert(0) += 1;
            match value {
                Value::Pair(key, value) => {
                    assert!((0..10).contains(&key));
                    assert!(values.insert(value), "{value} twice");
                    last = Some((i64::from(key), value));
                }
                Value::KeyedPair(cas) => {
                    assert_eq!(last, Some((cas.0, cas.1)));
                    assert!(values.insert(cas.2), "{} twice", cas.2);
                    last = Some((cas.0, cas.2));
                }
                Value::List(_) => assert_eq!(f, F::Read),
                other => panic!("{other:?}"),
            }
        }
    }
    assert!((7_600..8_400).contains(&counts["read"]), "{counts:?}");
    assert!((7_600..8_400).contains(&counts["write"]), "{counts:?}");
    assert!((3_700..4_300).contains(&counts["cas"]), "{counts:?}");
    assert_eq!(workload("register", &[("keys", "3")]).final_reads(&plan(4, 1), &[9; 4]).len(), 3);
}

#[test]
fn list_append_spreads_appends_over_a_moving_window() {
    let workload = workload("list-append", &[]);
    let plan = plan(8, 1);
    let events = invoked(&*workload, &plan, 40_000, &Latency::fixed(1_000));
    let mut appends_per_key: BTreeMap<i64, u32> = BTreeMap::new();
    let mut elements = BTreeSet::new();
    let (mut reads, mut appends, mut lengths) = (0_u32, 0_u32, [0_u32; 5]);
    for event in &events {
        let Value::Txn(mops) = &event.value else { panic!("{event:?}") };
        lengths[mops.len()] += 1;
        for mop in mops.iter() {
            match mop {
                Mop::Append { key, element } => {
                    assert!(elements.insert(*element), "{element} twice");
                    *appends_per_key.entry(*key).or_default() += 1;
                    appends += 1;
                }
                Mop::Read { list, .. } => {
                    assert_eq!(*list, None);
                    reads += 1;
                }
            }
        }
    }
    assert!(lengths[1..].iter().all(|&count| (9_500..10_500).contains(&count)), "{lengths:?}");
    assert!(appends.abs_diff(reads) < 1_500, "{appends} {reads}");
    let last = *appends_per_key.keys().next_back().unwrap();
    let settled: Vec<u32> = appends_per_key.range(20..last - 20).map(|(_, &count)| count).collect();
    let mean = f64::from(settled.iter().sum::<u32>()) / settled.len() as f64;
    assert!((30.0..34.0).contains(&mean), "{mean}");
    assert!(settled.iter().all(|&count| (12..64).contains(&count)), "{settled:?}");

    // The final reads cover every key in use, each once.
    let mut invoked_per_client = [0; 8];
    for event in &events {
        invoked_per_client[(event.process.client().unwrap() % 8) as usize] += 1;
    }
    let mut read = Vec::new();
    for (value, f) in workload.final_reads(&plan, &invoked_per_client) {
        assert_eq!(f, F::Txn);
        let Value::Txn(mops) = value else { panic!("{value:?}") };
        assert!(mops.len() <= 50);
        read.extend(mops.iter().map(|mop| match mop {
            Mop::Read { key, list: None } => *key,
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(read, (0..read.len() as i64).collect::<Vec<_>>());
    assert!(last < read.len() as i64, "key {last} is not read");
    assert!(read.len() as i64 <= last + 12, "{} keys read, {last} used", read.len());
    assert_eq!(workload.final_reads(&plan, &[0; 8]), []);
}

/// What the checker infers from stands on this: a row is inserted once and then updated or deleted at most once, all by
/// one client, and no two of its values are alike.
#[test]
fn closed_predicate_writes_each_row_in_turn_by_one_client() {
    for (clients, options) in
        [(8, vec![]), (3, vec![("rows", "2")]), (1, vec![("max-txn-length", "1"), ("rows", "50")])]
    {
        let workload = workload("closed-predicate", &options);
        let plan = plan(clients, 1);
        let events = invoked(&*workload, &plan, 20_000, &Latency::fixed(1_000));
        let mut rows: BTreeMap<i64, (usize, Vec<RowMop>)> = BTreeMap::new();
        let mut universes: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
        let mut counts = [0_u32; 3];
        for (slot, ops) in by_slot(&events, clients).iter().enumerate() {
            for (f, value) in ops {
                assert_eq!(*f, F::Txn);
                let (universe, mops) = parsed(value).unwrap();
                let mut written = BTreeSet::new();
                for mop in mops {
                    let key = match mop {
                        RowMop::Insert(key, _) | RowMop::Write(key, _) | RowMop::Delete(key) => key,
                        RowMop::Read(key) => {
                            counts[1] += 1;
                            universes.entry(universe).or_default().insert(key);
                            continue;
                        }
                        RowMop::Select(_) => {
                            counts[2] += 1;
                            continue;
                        }
                    };
                    counts[0] += 1;
                    assert!(written.insert(key), "{key} twice in a transaction");
                    universes.entry(universe).or_default().insert(key);
                    let (of, writes) = rows.entry(key).or_insert((slot, Vec::new()));
                    assert_eq!(*of, slot, "row {key} is another's");
                    writes.push(mop);
                }
            }
        }
        for (key, (_, writes)) in &rows {
            match writes[..] {
                [RowMop::Insert(..)] | [RowMop::Insert(..), RowMop::Delete(_)] => {}
                [RowMop::Insert(_, first), RowMop::Write(_, second)] => assert_ne!(first, second, "{key}"),
                _ => panic!("{key}: {writes:?}"),
            }
        }
        let mut last = -1;
        for (universe, keys) in &universes {
            assert!(keys.first().is_some_and(|first| *first > last), "{universe} shares keys");
            last = *keys.last().unwrap();
        }
        assert!(counts.iter().all(|count| *count > 2_000), "{counts:?}");
        let mut invoked_per_client = vec![0; clients as usize];
        for event in &events {
            invoked_per_client[(event.process.client().unwrap() % clients) as usize] += 1;
        }
        let reads = workload.final_reads(&plan, &invoked_per_client);
        let (last, _) = universes.last_key_value().unwrap();
        assert_eq!(reads.len() as i64, last + 1);
        assert_eq!(reads[0].0.to_json().to_string(), r#"[0,[["rp","true",null]]]"#);
    }
}

/// What a slot did, and how it ended: time in milliseconds, f, type.
fn lock_slot(events: &[Event], clients: u32, slot: u32) -> Vec<(u64, &str, EventType)> {
    let own = events.iter().filter(|event| event.process.client().is_some_and(|process| process % clients == slot));
    own.map(|event| (event.time_ns / 1_000_000, event.f.name(), event.kind)).collect()
}

#[test]
fn who_was_granted_a_lock_holds_it_until_its_release_is_answered() {
    let latency = Latency { range_ns: 1_000_000..=5_000_000, fail_permille: 400, info_permille: 100 };
    for (name, options) in [("mutex", vec![]), ("fenced-lock", vec![("hold-ms", "1000")])] {
        let workload = workload(name, &options);
        let plan = plan(4, 7);
        let history = simulate(op_limit(4_000, workload.generator(&plan)), 4, &latency, plan.seed);
        let hold_ms = if name == "mutex" { 2_000..=10_000 } else { 200..=1_000 };
        let (mut holds, mut writes, mut again) = (Vec::new(), 0, 0);
        for slot in 0..4 {
            let mut held_since: Option<u64> = None;
            let mut released = false;
            for pair in lock_slot(&history, 4, slot).windows(2) {
                let [(ended_ms, f, kind), (next_ms, next, next_kind)] = pair else { unreachable!() };
                if *kind == EventType::Invoke {
                    continue;
                }
                assert_eq!(*next_kind, EventType::Invoke);
                match (*f, kind) {
                    ("acquire", EventType::Ok) => held_since = Some(*ended_ms),
                    ("release", EventType::Ok) | (_, EventType::Info) => held_since = None,
                    _ => {}
                }
                let gap_ms = next_ms - ended_ms;
                match held_since {
                    None => {
                        assert_eq!(*next, "acquire", "{name}");
                        assert!((49..=201).contains(&gap_ms), "{name}: {gap_ms} ms");
                        released = false;
                    }
                    Some(since_ms) if *next == "release" && !released => {
                        let held_ms = next_ms - since_ms;
                        assert!((hold_ms.start() - 1..=hold_ms.end() + 7).contains(&held_ms), "{name}: {held_ms} ms");
                        holds.push(held_ms);
                        released = true;
                    }
                    // It tries again what certainly did not happen.
                    Some(_) if released => {
                        assert_eq!((*f, *next), ("release", "release"));
                        assert!((49..=201).contains(&gap_ms), "{name}: {gap_ms} ms");
                        again += 1;
                    }
                    Some(_) => {
                        assert_eq!((name, *next), ("fenced-lock", "write"));
                        assert!(gap_ms <= 201, "{gap_ms} ms");
                        writes += 1;
                    }
                }
            }
        }
        assert!(holds.len() > 50 && again > 20, "{name}: {} holds, {again} released again", holds.len());
        assert!((writes > 500) == (name == "fenced-lock"), "{name}: {writes} writes");
        let mean = holds.iter().sum::<u64>() as f64 / holds.len() as f64;
        assert!((0.52..0.68).contains(&(mean / *hold_ms.end() as f64)), "{name}: {mean} ms on average");
    }
}

/// Pinned for good, and whatever the others do: a change here breaks every published seed.
#[test]
fn the_holds_of_a_lock_depend_on_the_seed_and_the_slot_alone() {
    let holds = |latency: &Latency, seed| {
        let plan = plan(2, seed);
        let history = simulate(op_limit(400, workload("mutex", &[]).generator(&plan)), 2, latency, plan.seed);
        let mut holds = Vec::new();
        let mut since_ms = None;
        for (ms, f, kind) in lock_slot(&history, 2, 1) {
            match (f, kind) {
                ("acquire", EventType::Ok) => since_ms = Some(ms),
                ("release", EventType::Invoke) => holds.extend(since_ms.take().map(|since_ms| ms - since_ms)),
                _ => {}
            }
        }
        holds.truncate(5);
        holds
    };
    let even = holds(&Latency::fixed(1_000_000), 42);
    let often_taken = Latency { range_ns: 1_000_000..=1_000_000, fail_permille: 500, info_permille: 0 };
    assert_eq!(even, holds(&often_taken, 42), "attempts in vain shift nothing");
    assert_ne!(even, holds(&Latency::fixed(1_000_000), 43));
    assert_eq!(even, [7962, 6254, 7085, 6550, 8898]);
}

/// The token that an acquire answered is the one written; nothing is read in the end.
#[test]
fn a_fenced_lock_writes_with_its_token() {
    let plan = plan(1, 1);
    let free = Free::all(1);
    let at = |time_ns| Context { time_ns, clients: 1, free: &free, process_of: &[0] };
    let fenced = workload("fenced-lock", &[]);
    let Step::Pending { until_ns: Some(first_ns), next } = fenced.generator(&plan).next(&at(0)) else {
        panic!("not all come at once")
    };
    let Step::Op { op, next, .. } = next.next(&at(first_ns)) else { panic!("it is due") };
    assert_eq!((op.f.name(), &op.value), ("acquire", &Value::Nil));
    let granted = Event {
        index: 1,
        time_ns: first_ns,
        process: Process::Client(0),
        kind: EventType::Ok,
        f: op.f,
        value: Value::Int(33),
        error: None,
        node: None,
        is_final: false,
        order: None,
    };
    let Step::Op { op, .. } = next.update(&at(first_ns), &granted).next(&at(first_ns)) else { panic!("it works") };
    assert_eq!((op.f, op.value), (F::Write, Value::Int(33)));
    assert_eq!(fenced.final_reads(&plan, &[1]), []);
}

#[test]
fn errors_list_what_would_have_been_right() {
    let error = |name: &str, key: &str, value: &str| {
        by_name(name, &BTreeMap::from([(key.to_owned(), value.to_owned())])).unwrap_err()
    };
    assert_eq!(
        by_name("registr", &BTreeMap::new()).unwrap_err().to_string(),
        "there is no workload \"registr\"; the workloads are register, set, mutex, fenced-lock, list-append, \
         closed-predicate"
    );
    assert_eq!(
        error("list-append", "max-txn-len", "4").to_string(),
        "workload list-append has no option \"max-txn-len\"; its options are max-txn-length, key-count, \
         max-writes-per-key"
    );
    assert_eq!(
        error("list-append", "key-count", "63").to_string(),
        "workload list-append: option key-count cannot be \"63\"; it takes 1..=62 (default 10)"
    );
    let weights = ["read-weight", "write-weight", "cas-weight"].map(|key| (key.to_owned(), "0".to_owned()));
    assert!(matches!(by_name("register", &weights.into()), Err(WorkloadError::Contradiction { .. })));
}
