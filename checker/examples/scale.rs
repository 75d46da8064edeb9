//! The sizes that the checkers are made for, with what each takes: `cargo run --release -p schism-checker --example scale`.
//! (`scripts/bench checker`.)
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::type_complexity)]

use std::time::{Duration, Instant};

use schism_checker::{
    Details, Validity, availability,
    durability::set,
    history::{Event, EventType, F, Header, History, HistoryBuilder, Process, Value, write_event},
    linearizability::{self, Budget},
};

fn header(workload: &str) -> Header {
    Header {
        schism_history: Header::VERSION,
        workload: workload.into(),
        target: "scale".into(),
        seed: 0,
        clients: 20,
        nodes: vec!["n1".into()],
        consistency_models: vec![],
    }
}

/// A sequence that looks random and is the same everywhere.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn event(index: u64, process: u32, kind: EventType, f: F, value: Value) -> Event {
    Event {
        index,
        time_ns: index * 1000,
        process: Process::Client(process),
        kind,
        f,
        value,
        error: None,
        node: Some("n1".into()),
        is_final: false,
        order: None,
    }
}

/// A register on each of `keys`, whose operations take effect at a moment between their ends.
fn register(ops: u64, keys: u64, clients: u32, damage_at: Option<u64>) -> History {
    let mut random = Sequence(7);
    let mut builder = HistoryBuilder::new(header("register"));
    let mut state: Vec<Option<i64>> = vec![None; keys as usize];
    // What each client has in flight: its answer, once it took effect.
    let mut open: Vec<Option<(F, i64, i64, i64, Option<(EventType, Value)>)>> = vec![None; clients as usize];
    let (mut index, mut begun, mut ended) = (0, 0, 0);
    let mut process: Vec<u32> = (0..clients).collect();
    while ended < ops {
        let client = random.below(u64::from(clients)) as usize;
        let mut push = |kind, f: &F, value| {
            builder.push(event(index, process[client], kind, f.clone(), value));
            index += 1;
        };
        match &mut open[client] {
            None if begun < ops => {
                begun += 1;
                let key = random.below(keys) as i64;
                let (old, new) = (random.below(5) as i64, random.below(5) as i64);
                let (f, value) = match random.below(3) {
                    0 => (F::Read, Value::keyed(key, None)),
                    1 => (F::Write, Value::keyed(key, Some(new))),
                    _ => (F::Cas, Value::cas(key, old, new)),
                };
                push(EventType::Invoke, &f, value);
                open[client] = Some((f, key, old, new, None));
            }
            None => {}
            Some((f, key, old, new, answer @ None)) => {
                let of = &mut state[*key as usize];
                *answer = Some(match f {
                    F::Read => (EventType::Ok, Value::keyed(*key, *of)),
                    F::Write => {
                        *of = Some(*new);
                        (EventType::Ok, Value::keyed(*key, Some(*new)))
                    }
                    _ if *of == Some(*old) => {
                        *of = Some(*new);
                        (EventType::Ok, Value::cas(*key, *old, *new))
                    }
                    _ => (EventType::Fail, Value::Nil),
                });
            }
            Some((f, key, .., Some((kind, value)))) => {
                ended += 1;
                let mut value = value.clone();
                if Some(ended) >= damage_at && *f == F::Read && damage_at.is_some_and(|at| ended < at + 50) {
                    value = Value::keyed(*key, Some((ended % 5) as i64));
                }
                let (kind, f) = (*kind, f.clone());
                // With enough indeterminate writes of each value, any read can be explained.
                let lost = random.below(100) == 0 && damage_at.is_none();
                push(if lost { EventType::Info } else { kind }, &f, value);
                if lost {
                    process[client] += clients;
                }
                open[client] = None;
            }
        }
    }
    builder.finish().expect("well formed")
}

fn timed<T>(what: &str, at_most: Duration, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = work();
    eprintln!("{what}: {:?}", started.elapsed());
    assert!(started.elapsed() < at_most, "{what} took {:?}", started.elapsed());
    result
}

fn memory_peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

fn registers() {
    for (name, ops, keys, clients) in [
        ("6 k ops on each of 10 keys", 60_000, 10, 12),
        ("500 k ops on one key", 500_000, 1, 20),
        ("60 k ops on one key", 60_000, 1, 12),
    ] {
        let history = register(ops, keys, clients, None);
        let before = memory_peak_kb();
        let check = timed(name, Duration::from_secs(5), || linearizability::check(&history, &Budget::default()));
        eprintln!("{}; {} MB more at the peak", check.summary, (memory_peak_kb() - before) / 1024);
        assert_eq!(check.valid, Validity::Valid, "{check:?}");
        let damaged = register(ops, keys, clients, Some(ops * 9 / 10));
        let check = timed("damaged", Duration::from_secs(30), || linearizability::check(&damaged, &Budget::default()));
        let Details::Linearizability(result) = &check.details else { panic!("another result") };
        eprintln!("{} {} steps", check.summary, result.steps);
        for key in &result.invalid_keys {
            eprintln!("  {} ops: {}", key.ops.len(), key.explanation);
        }
        assert_eq!(check.valid, Validity::Invalid);
    }
}

fn a_million_adds() {
    let (adds, reads, lost) = (1_000_000_i64, 50, 60_000);
    let mut random = Sequence(1);
    let mut builder = HistoryBuilder::new(header("set"));
    let mut index = 0;
    let mut push = |kind, f, value, is_final| {
        builder.push(Event { is_final, ..event(index, 0, kind, f, value) });
        index += 1;
    };
    let mut held: Vec<i64> = Vec::new();
    for element in 0..adds {
        push(EventType::Invoke, F::Add, Value::Int(element), false);
        push(EventType::Ok, F::Add, Value::Int(element), false);
        held.push(element);
        if element % (adds / reads) == adds / reads - 1 {
            if element > adds / 2 && held.len() as i64 > element - lost {
                let gone = held.len() - (lost / (reads / 2)) as usize;
                // Unordered, as databases answer.
                for at in 0..held.len() {
                    let other = random.below(held.len() as u64) as usize;
                    held.swap(at, other);
                }
                held.truncate(gone);
            }
            push(EventType::Invoke, F::Read, Value::Nil, false);
            push(EventType::Ok, F::Read, Value::ints(held.clone()), element == adds - 1);
        }
    }
    let history = builder.finish().expect("well formed");
    let check = timed("set of 1 M", Duration::from_secs(2), || set::check(&history));
    eprintln!("{}", check.summary);
    let Details::Set(result) = check.details else { panic!("another result") };
    assert!(result.lost.len() > 50_000, "{}", result.lost.len());
    timed("availability of 1 M", Duration::from_secs(2), || availability::measure(&history));
}

fn recording() {
    let events: Vec<Event> = (0..2_000_000_u64)
        .map(|index| {
            let kind = if index % 2 == 0 { EventType::Invoke } else { EventType::Ok };
            event(index, (index / 2 % 20) as u32, kind, F::Add, Value::Int((index / 2) as i64))
        })
        .collect();
    let mut out = Vec::with_capacity(1 << 20);
    let started = Instant::now();
    let mut bytes = 0;
    for event in &events {
        out.clear();
        write_event(&mut out, event);
        bytes += out.len();
    }
    eprintln!("write: {} ns an event, {} bytes", started.elapsed().as_nanos() / 2_000_000, bytes / 2_000_000);
    let mut file = Vec::new();
    schism_checker::history::write_header(&mut file, &header("set"));
    for event in &events {
        write_event(&mut file, event);
    }
    let started = Instant::now();
    let loaded = schism_checker::history::read(&file[..], &Default::default()).expect("well formed");
    eprintln!("read: {} ns an event", started.elapsed().as_nanos() / 2_000_000);
    assert_eq!(loaded.history.len(), 1_000_000);
    let mut builder = HistoryBuilder::new(header("set"));
    let started = Instant::now();
    for event in events {
        builder.push(event);
    }
    eprintln!("push: {} ns an event", started.elapsed().as_nanos() / 2_000_000);
}

fn main() {
    registers();
    a_million_adds();
    recording();
}
