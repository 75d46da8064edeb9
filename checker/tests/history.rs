//! The history: what is read is what was written, what is malformed is listed, and nothing panics.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::sync::Arc;

use proptest::prelude::*;
use schism_checker::history::{
    Event, EventType, F, Header, HistoryBuilder, Mop, MopRef, OpError, Outcome, Problems, Process, ReadOptions, Value,
    notation, parse_event, read, write_event, write_event_edn, write_header,
};

fn header(workload: &str) -> Header {
    Header {
        schism_history: Header::VERSION,
        workload: workload.into(),
        target: "memory".into(),
        seed: 7,
        clients: 3,
        nodes: vec!["n1".into(), "n2".into()],
        consistency_models: vec![],
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".*".prop_map(Into::into),
        Just("append".into()),
        Just("r".into()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((".*", inner), 0..4)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn mop() -> impl Strategy<Value = Mop> {
    prop_oneof![
        (any::<i64>(), any::<i64>()).prop_map(|(key, element)| Mop::Append { key, element }),
        (any::<i64>(), prop::option::of(prop::collection::vec(any::<i64>(), 0..4)))
            .prop_map(|(key, list)| Mop::Read { key, list }),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Nil),
        any::<i64>().prop_map(Value::Int),
        prop::collection::vec(any::<i64>(), 0..5).prop_map(Value::ints),
        (-5_i64..5, any::<i64>()).prop_map(|(a, b)| Value::ints(vec![a, b])),
        (any::<i64>(), prop::option::of(any::<i64>())).prop_map(|(key, value)| Value::keyed(key, value)),
        (any::<i64>(), any::<i64>(), any::<i64>()).prop_map(|(key, old, new)| Value::cas(key, old, new)),
        prop::collection::vec(mop(), 0..5).prop_map(Value::txn),
        json().prop_map(Value::from_json),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let process = prop_oneof![
        any::<u32>().prop_map(Process::Client),
        Just(Process::Nemesis),
        Just(Process::Monitor),
        Just(Process::Harness),
    ];
    let kind = prop_oneof![Just(EventType::Invoke), Just(EventType::Ok), Just(EventType::Fail), Just(EventType::Info)];
    let f = prop_oneof![Just(F::Read), Just(F::Add), ".*".prop_map(|name| F::from_name(&name))];
    let text = || ".*".prop_map(Arc::<str>::from);
    let error = prop::option::of((text(), text()).prop_map(|(class, text)| OpError { class, text }));
    (
        any::<u64>(),
        any::<u64>(),
        process,
        kind,
        f,
        value(),
        error,
        prop::option::of(text()),
        (any::<bool>(), prop::option::of(any::<i64>())),
    )
        .prop_map(|(index, time_ns, process, kind, f, value, error, node, (is_final, order))| Event {
            index,
            time_ns,
            process,
            kind,
            f,
            value,
            error,
            node,
            is_final,
            order,
        })
}

fn line(event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    write_event(&mut out, event);
    out
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(event in event()) {
        let written = line(&event);
        let parsed = parse_event(&written).unwrap();
        prop_assert_eq!(&parsed, &event);
        prop_assert_eq!(line(&parsed), written);
    }

    #[test]
    fn values_have_one_shape(value in value()) {
        prop_assert_eq!(Value::from_json(value.to_json()), value);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), workload in prop::option::of("set|register|x")) {
        let _ = parse_event(&bytes);
        let _ = read(&bytes[..], &ReadOptions { workload });
    }

    #[test]
    fn any_events_are_taken_without_panic(events in prop::collection::vec(event(), 0..12), workload in "set|register|list-append|x") {
        let mut builder = HistoryBuilder::new(header(&workload));
        for mut event in events {
            // Most arbitrary events would fall to the first check alone.
            event.index %= 50;
            event.time_ns %= 50;
            if let Process::Client(number) = &mut event.process {
                *number %= 3;
            }
            let mut edn = Vec::new();
            if event.process.client().is_some() {
                write_event_edn(&mut edn, &event);
            }
            builder.push(event);
        }
        let (history, problems) = builder.finish_lenient();
        let _ = problems.to_string();
        for op in history.ops() {
            prop_assert_eq!(history.op(op.id).unwrap().invoke_index, op.invoke_index);
        }
        let _ = schism_checker::check(&history, &schism_checker::Options::default());
        let _ = schism_checker::availability::measure(&history);
    }

    #[test]
    fn nearly_valid_lines_are_read_without_panic(events in prop::collection::vec(event(), 1..5), cut in any::<prop::sample::Index>(), flip in any::<u8>()) {
        let mut file = Vec::new();
        write_header(&mut file, &header("x"));
        for event in &events {
            write_event(&mut file, event);
        }
        let at = cut.index(file.len());
        file[at] = flip;
        let _ = read(&file[..], &ReadOptions::default());
    }
}

const FILE: &str = r#"{"schism-history":1,"workload":"register","target":"memory","seed":7,"clients":3,"nodes":["n1"]}
{"index":0,"time_ns":10,"process":0,"type":"invoke","f":"write","value":[1,5]}
{"index":1,"time_ns":20,"process":"monitor","type":"info","f":"claim","value":{"node":"n1","role":"primary","asked-ns":15}}
{"index":2,"time_ns":30,"process":0,"type":"info","f":"write","value":[1,5],"error":{"class":"timeout","text":"5 s"},"node":"n1"}
{"index":3,"time_ns":40,"process":3,"type":"invoke","f":"read","value":[1,null],"final":true}
{"index":4,"time_ns":50,"process":3,"type":"ok","f":"read","value":[1,5],"node":"n1","final":true}
"#;

#[test]
fn a_file_is_read_into_operations() {
    let loaded = read(FILE.as_bytes(), &ReadOptions::default()).unwrap();
    assert!(loaded.warnings.is_empty());
    let history = loaded.history;
    assert_eq!(history.len(), 2);
    assert_eq!(history.time_end_ns(), 50);
    assert_eq!(history.claims()[0].value.node, "n1");
    let write = history.op(0).unwrap();
    assert_eq!((write.process, write.outcome, write.complete_index), (0, Outcome::Info, Some(2)));
    assert_eq!(write.error.map(|error| &*error.class), Some("timeout"));
    let read = history.op(1).unwrap();
    assert!(read.is_final);
    assert_eq!((read.value.as_keyed(), read.node, read.complete_ns), (Some((1, Some(5))), Some("n1"), Some(50)));
    assert!(history.op(2).is_none());
}

#[test]
fn what_nodes_took_the_time_for_is_kept() {
    let clock = r#"{"index":5,"time_ns":60,"process":"monitor","type":"info","f":"clock","value":{"node":"n1","offset-ms":-3600000.25,"asked-ns":55}}"#;
    let history = read(format!("{FILE}{clock}\n").as_bytes(), &ReadOptions::default()).unwrap().history;
    let [sample] = history.clocks() else { panic!("{:?}", history.clocks()) };
    assert_eq!((sample.value.node.as_str(), sample.value.offset_ms, sample.time_ns), ("n1", -3_600_000.25, 60));
    assert_eq!(history.len(), 2, "it is no operation");
    let malformed = clock.replace("offset-ms", "offset");
    assert!(read(format!("{FILE}{malformed}\n").as_bytes(), &ReadOptions::default()).is_err());
}

#[test]
fn a_file_cut_anywhere_is_readable_up_to_its_last_whole_line() {
    let lines: Vec<usize> = FILE.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect();
    let last_line = lines[lines.len() - 2];
    for cut in last_line..FILE.len() {
        let loaded = read(&FILE.as_bytes()[..cut], &ReadOptions::default()).unwrap();
        // The closing brace is the last byte that matters.
        let whole = cut == last_line || cut == FILE.len() - 1;
        assert_eq!(loaded.warnings.is_empty(), whole, "cut at {cut}");
        assert_eq!(loaded.history.op(1).unwrap().complete_index.is_some(), cut == FILE.len() - 1);
    }
    for cut in lines[0]..last_line {
        assert!(read(&FILE.as_bytes()[..cut], &ReadOptions::default()).is_ok(), "cut at {cut}");
    }
}

fn problems(workload: &str, events: &str) -> Problems {
    let mut file = Vec::new();
    write_header(&mut file, &header(workload));
    file.extend_from_slice(events.trim_start().as_bytes());
    read(&file[..], &ReadOptions::default()).unwrap_err()
}

#[test]
fn every_problem_is_listed_with_its_place() {
    let found = problems(
        "set",
        r#"
{"index":0,"time_ns":10,"process":0,"type":"invoke","f":"add","value":1}
{"index":1,"time_ns":11,"process":0,"type":"invoke","f":"add","value":2}
{"index":2,"time_ns":12,"process":0,"type":"ok","f":"add","value":1}
{"index":3,"time_ns":13,"process":0,"type":"ok","f":"add","value":1}
{"index":4,"time_ns":14,"process":1,"type":"ok","f":"add","value":1}
{"index":4,"time_ns":15,"process":2,"type":"invoke","f":"add","value":3}
{"index":6,"time_ns":9,"process":2,"type":"invoke","f":"add","value":3}
{"index":7,"time_ns":20,"process":2,"type":"invoke","f":"add","value":3}
{"index":8,"time_ns":21,"process":2,"type":"ok","f":"read","value":[]}
{"index":9,"time_ns":22,"process":2,"type":"began","f":"add","value":3}
{"index":10,"time_ns":23,"process":2,"type":"invoke","f":"write","value":[1,2]}
{"index":11,"time_ns":24,"process":"nemesis","type":"info","f":"kill","value":{"id":1}}
{"index":12,"time_ns":25,"process":3,"type":"invoke","f":"add","value":[1,2]}
{"index":13,"time_ns":26,"process":4,"type":"invoke","f":"add","value":7}
{"index":14,"time_ns":27,"process":4,"type":"ok","f":"add","value":8}
not json
{"index":16,"time_ns":27,"process":"god","type":"info","f":"add"}
{"index":17,"time_ns":28,"process":5,"type":"invoke","value":3}
{"index":18,"time_ns":28,"time_ns":29,"process":5,"type":"invoke","f":"read"}
{"index":19,"time_ns":30,"process":"monitor","type":"ok","f":"claim","value":3}
{"index":20,"time_ns":31,"process":"monitor","type":"info","f":"clam","value":3}
{"index":5000000000,"time_ns":32,"process":5,"type":"invoke","f":"read"}
"#,
    );
    let expected = [
        "line 3 (event 1): process 0 invokes while its operation of event 0 is in flight",
        "line 5 (event 3): process 0 completes an operation that ended with event 2",
        "line 6 (event 4): process 1 completes an operation that it never invoked",
        "line 7 (event 4): the index does not increase: it follows 4",
        "line 8 (event 6): time goes backwards: 9 ns follows 14 ns",
        "line 10 (event 8): read completes, but add was invoked by process 2",
        "line 11, column 50: invalid value: string \"began\", expected \"invoke\", \"ok\", \"fail\" or \"info\"",
        "line 12 (event 10): write: the workload has no such f",
        "line 13 (event 11): malformed value of \"nemesis\" kill: missing field `kind`",
        "line 14 (event 12): add: the value of an add must be an integer",
        "line 16 (event 14): add ends ok with another value than it was invoked with",
        "line 17, column 2: expected ident",
        "line 18, column 40: invalid value: string \"god\", expected a process number, \"nemesis\", \"monitor\" or \"schism\"",
        "line 19, column 63: missing field `f`",
        "line 20, column 37: time_ns twice",
        "line 21 (event 19): an event of \"monitor\" must be of type info",
        "line 22 (event 20): \"monitor\" has no f \"clam\"",
        "line 23 (event 5000000000): the index does not fit into 32 bits",
    ];
    let shown: Vec<String> = found.list().iter().map(ToString::to_string).collect();
    let mut sorted = shown.clone();
    sorted.sort_by_key(|text| text[5..].split([' ', ',']).next().unwrap().parse::<u32>().unwrap());
    assert_eq!(sorted, shown, "in the order of lines");
    assert_eq!(shown, expected);
}

#[test]
fn headers() {
    let with = |first: &str, workload: Option<&str>| {
        read(first.as_bytes(), &ReadOptions { workload: workload.map(Into::into) })
            .map(|loaded| loaded.history.header().workload.clone())
            .map_err(|problems| problems.to_string())
    };
    let event = "{\"index\":0,\"time_ns\":1,\"process\":0,\"type\":\"invoke\",\"f\":\"add\",\"value\":1}\n";
    assert_eq!(with(event, Some("set")), Ok("set".into()));
    assert!(with(event, None).unwrap_err().starts_with("line 1: no header"));
    assert!(with("", None).unwrap_err().contains("empty"));
    assert!(with("{\"schism-history\":1}\n", None).unwrap_err().contains("malformed header"));
    let future = FILE.replacen(":1,", ":2,", 1);
    assert!(with(&future, None).unwrap_err().contains("version 2 of the history format is not supported"));
}

#[test]
fn many_problems_are_counted() {
    let lines = "x\n".repeat(50);
    let text = problems("set", &lines).to_string();
    assert_eq!(text.lines().count(), Problems::SHOWN_MAX + 1);
    assert!(text.ends_with("and 30 more problems"), "{text}");
}

#[test]
fn notation_spells_events() {
    let history = notation::history(
        "register",
        "0> w 1 5 t=3; 1> r 1
         0? !timeout @n2   # it may have happened
         1+ 5 @n1; claim n1 primary; fault 0 kill injected n1; 2: cas 1 5 6 final",
    )
    .unwrap();
    assert_eq!(history.header().nodes, ["n1", "n2"]);
    assert_eq!(history.header().clients, 3);
    let ops: Vec<_> = history.ops().map(|op| (op.process, op.f.name(), op.outcome, op.invoke_ns / 1_000_000)).collect();
    assert_eq!(ops, [(0, "write", Outcome::Info, 3), (1, "read", Outcome::Ok, 4), (2, "cas", Outcome::Ok, 9)]);
    assert_eq!(history.op(1).unwrap().value.as_keyed(), Some((1, Some(5))));
    assert_eq!(history.faults()[0].value.victims, ["n1"]);
    let txn = notation::history("list-append", "0: txn a 1 5, r 1 [5 6], r 2 nil").unwrap();
    assert_eq!(txn.op(0).unwrap().mops().nth(1), Some(MopRef::Read { key: 1, list: Some(&[5, 6]) }));
    assert!(notation::history("set", "0> add x").unwrap_err().contains("not an integer"));
    assert!(notation::history("set", "add 5").is_err());
}
