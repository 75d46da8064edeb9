//! What a check writes, this accepts; what is changed in it is accepted only where it is true all the same.

use serde_json::{Value as Json, json};

use super::{Certificate, CertificateError, Verification, explore, register::Effect};
use crate::{
    Options, Validity, WORKLOADS, check_with_witnesses,
    history::{Event, EventType, F, Header, History, HistoryBuilder, Outcome, Process, Value, notation},
    linearizability::{models, write_certificate},
};

/// SplitMix64 (Steele, Lea & Flood 2014): a seed gives the same histories everywhere.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % end as u64) as usize
    }

    fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

fn json_value(text: &str) -> Value {
    Value::from_json(serde_json::from_str(text).unwrap())
}

/// What may be done with an object of this model, with every answer.
fn operations(model: &str, unique: &mut i64) -> Vec<(&'static str, Value)> {
    *unique += 1;
    let with = |items: &[(&'static str, &str)]| items.iter().map(|(f, value)| (*f, json_value(value))).collect();
    match model {
        "register" | "cas-register" => {
            let mut ops = Vec::new();
            for key in 0..2 {
                ops.push(("read", Value::keyed(key, None)));
                for value in 1..3 {
                    ops.push(("read", Value::keyed(key, Some(value))));
                    ops.push(("write", Value::keyed(key, Some(value))));
                    ops.push(("cas", Value::cas(key, value, 3 - value)));
                }
                ops.push(("write", Value::keyed(key, Some(10 + *unique))));
                ops.push(("read", Value::keyed(key, Some(10 + *unique / 2))));
                ops.push(("cas", Value::cas(key, 10 + *unique / 2, 11 + *unique)));
            }
            ops
        }
        "mutex" => with(&[("acquire", "null"), ("release", "null")]),
        "fifo-queue" | "unordered-queue" => {
            with(&[("enqueue", "1"), ("enqueue", "2"), ("dequeue", "1"), ("dequeue", "2"), ("dequeue", "null")])
        }
        "stack" => with(&[("push", "1"), ("push", "2"), ("pop", "1"), ("pop", "2"), ("pop", "null")]),
        "kv" => with(&[
            ("put", r#"["k","a"]"#),
            ("append", r#"["k","b"]"#),
            ("get", r#"["k","a"]"#),
            ("get", r#"["k","ab"]"#),
            ("get", r#"["l",null]"#),
            ("put", r#"["l","a"]"#),
        ]),
        "multi-register" => with(&[
            ("txn", r#"[[":write","x",1],[":write","y",1]]"#),
            ("txn", r#"[[":read","x",1],[":read","y",2]]"#),
            ("txn", r#"[[":read","x",2],[":write","y",2]]"#),
            ("txn", r#"[[":write","z",1]]"#),
            ("txn", r#"[[":read","z",1]]"#),
        ]),
        "reentrant-mutex" => {
            with(&[("acquire", "\"a\""), ("release", "\"a\""), ("acquire", "\"b\""), ("release", "\"b\"")])
        }
        "fenced-lock" => {
            with(&[("acquire", "1"), ("acquire", "2"), ("write", "1"), ("write", "2"), ("release", "null")])
        }
        "linearizable-set" => with(&[
            ("add", "1"),
            ("add", "2"),
            ("remove", "1"),
            ("contains", "[1,true]"),
            ("contains", "[2,false]"),
            ("add", "3"),
        ]),
        "grow-only-set" => with(&[
            ("add", "1"),
            ("add", "2"),
            ("add", "3"),
            ("read", "[]"),
            ("read", "[1]"),
            ("read", "[1,2]"),
            ("read", "[2,3]"),
        ]),
        "append-list" => with(&[
            ("append", "1"),
            ("append", "2"),
            ("append", "3"),
            ("read", "[]"),
            ("read", "[1]"),
            ("read", "[1,2]"),
            ("read", "[2,3]"),
        ]),
        "linearizable-counter" => {
            with(&[("add", "1"), ("add", "1"), ("read", "0"), ("read", "1"), ("read", "2"), ("add", "2")])
        }
        "fetch-and-add" => with(&[
            ("fetch-and-add", "[1,0]"),
            ("fetch-and-add", "[1,1]"),
            ("fetch-and-add", "[1,2]"),
            ("read", "0"),
            ("read", "1"),
            ("read", "2"),
        ]),
        _ => Vec::new(),
    }
}

/// Models with certificates for which histories can be drawn here.
fn certified() -> impl Iterator<Item = &'static str> {
    let is_drawn = |model: &&&str| !operations(model, &mut 0).is_empty();
    WORKLOADS.iter().filter(is_drawn).copied()
}

fn history(model: &str, events: Vec<(u32, EventType, &str, Value)>) -> History {
    let mut builder = HistoryBuilder::new(Header {
        schism_history: Header::VERSION,
        workload: model.into(),
        target: "test".into(),
        seed: 0,
        clients: 3,
        nodes: Vec::new(),
        consistency_models: Vec::new(),
    });
    for (index, (process, kind, f, value)) in (0..).zip(events) {
        builder.push(Event {
            index,
            time_ns: index * 1000,
            process: Process::Client(process),
            kind,
            f: F::from_name(f),
            value,
            error: None,
            node: None,
            is_final: false,
            order: None,
        });
    }
    builder.finish().unwrap()
}

/// Up to so many operations of three processes; an ok one is drawn again until the object could have answered so, if the
/// history is to be lawful.
fn draw_history(model: &str, draw: &mut Draw, ops_max: usize) -> History {
    let mut events = Vec::new();
    let mut open: Vec<(u32, &str, Value, EventType)> = Vec::new();
    let (ops, mut begun, mut unique) = (1 + draw.below(ops_max), 0, 0);
    let mut process = 0;
    while begun < ops || !open.is_empty() {
        if begun < ops && (open.is_empty() || (open.len() < 3 && draw.percent(50))) {
            let (f, value) = draw.one_of(&operations(model, &mut unique));
            let kind = [EventType::Ok, EventType::Info, EventType::Fail]
                [if draw.percent(80) { 0 } else { 1 + usize::from(draw.percent(20)) }];
            let asked = match (model, f) {
                ("register" | "cas-register", "read") => Value::keyed(value.as_keyed().unwrap().0, None),
                ("fetch-and-add", "fetch-and-add") => Value::Int(1),
                ("linearizable-set", "contains") => Value::Int(value.to_json()[0].as_i64().unwrap()),
                ("fenced-lock", "acquire") | (_, "read" | "pop" | "dequeue") => Value::Nil,
                _ => value.clone(),
            };
            events.push((process, EventType::Invoke, f, asked));
            open.push((process, f, value, kind));
            process += 1;
            begun += 1;
        } else {
            let (process, f, value, kind) = open.remove(draw.below(open.len()));
            events.push((process, kind, f, value));
        }
    }
    history(model, events)
}

/// The verdict on linearizability, and its certificate.
fn certify(history: &History) -> (Validity, String) {
    let (checks, witnesses) = check_with_witnesses(history, &Options::default()).unwrap();
    let mut text = Vec::new();
    write_certificate(history, checks[0].valid, &witnesses, &mut text).unwrap();
    (checks[0].valid, String::from_utf8(text).unwrap())
}

fn verify(history: &History, certificate: &str) -> Result<Verification, CertificateError> {
    Certificate::open(certificate.as_bytes())?.verify(history)
}

fn holds(history: &History, certificate: &str) -> bool {
    matches!(verify(history, certificate), Ok(Verification::Holds { .. }))
}

fn lines(certificate: &str) -> Vec<Json> {
    certificate.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(lines: &[Json]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// How often each model is tried.
const CASES: usize = 1_500;

#[test]
fn accepts_what_a_check_writes() {
    for model in certified() {
        let mut draw = Draw(1);
        let mut seen = [0, 0];
        for _ in 0..CASES {
            let history = draw_history(model, &mut draw, 10);
            let (valid, certificate) = certify(&history);
            match (valid, verify(&history, &certificate).unwrap()) {
                (Validity::Unknown, Verification::Undecided(_)) => {}
                (known, Verification::Holds { valid, .. }) if known == valid => {
                    seen[usize::from(valid == Validity::Valid)] += 1;
                }
                (_, other) => panic!("{model}: {valid:?}, but {other:?} for {certificate}\n{:?}", Listing(&history)),
            }
        }
        assert!(seen.iter().all(|times| *times > CASES / 50), "{model}: {seen:?}");
    }
}

/// A history as a person reads it.
struct Listing<'h>(&'h History);

impl std::fmt::Debug for Listing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.ops().try_for_each(|op| {
            let (f_name, value) = (op.f.name(), op.value.to_json());
            writeln!(f, "{} {:?} {f_name} {value} {}", op.invoke_index, op.complete_index, op.outcome.name())
        })
    }
}

/// Whether an order is one, by definition.
fn is_order(history: &History, order: &[u64]) -> bool {
    let ops: Vec<_> = order.iter().map(|index| history.op_invoked_at(*index).unwrap()).collect();
    let returned = |at: usize| super::model::return_of(&ops[at]);
    let agrees = (0..ops.len()).all(|at| (0..at).all(|before| returned(at) > ops[before].invoke_index));
    let mut held = super::Held::Nil;
    agrees
        && ops.iter().all(|op| {
            let next = Effect::of(op).unwrap().1.apply(held);
            held = next.unwrap_or(held);
            next.is_some()
        })
}

#[test]
fn refuses_what_was_changed() {
    let mut draw = Draw(2);
    let mut refused = 0;
    for case in 0..CASES {
        let history = draw_history("register", &mut draw, 10);
        let (valid, certificate) = certify(&history);
        if valid != Validity::Valid {
            continue;
        }
        let lines = lines(&certificate);
        let at = 1 + draw.below(lines.len() - 2);
        let field = if lines[at].get("order").is_some() { "order" } else { "left-out" };
        let ops: Vec<u64> = serde_json::from_value(lines[at][field].clone()).unwrap();
        let changed = |ops: &[u64]| {
            let mut lines = lines.clone();
            lines[at][field] = json!(ops);
            text(&lines)
        };
        // Left out of its line, twice in it, or one that is not the key's, that failed, that nobody invoked.
        let gone = draw.below(ops.len());
        let fewer: Vec<u64> = (0..ops.len()).filter(|at| *at != gone).map(|at| ops[at]).collect();
        assert!(!holds(&history, &changed(&fewer)), "{case}");
        // (An indeterminate read tells nothing, and may be left out or not.)
        let tells = |index: &u64| {
            let op = history.op_invoked_at(*index);
            op.is_none_or(|op| op.outcome != Outcome::Info || *op.f != F::Read)
        };
        for extra in (0..history.events_total() + 1).filter(tells) {
            let more: Vec<u64> = ops.iter().copied().chain([extra]).collect();
            assert!(!holds(&history, &changed(&more)), "{case}: {extra}");
        }
        for (one, other) in (0..ops.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
            let mut swapped = ops.clone();
            swapped.swap(one, other);
            if field == "order" {
                assert_eq!(holds(&history, &changed(&swapped)), is_order(&history, &swapped), "{case}: {swapped:?}");
                refused += u32::from(!is_order(&history, &swapped));
            }
        }
        // A line less, the other verdict, another count.
        let mut fewer = lines.clone();
        fewer.remove(at);
        assert!(!holds(&history, &text(&fewer)), "{case}");
        let last = lines.len() - 1;
        for (field, value) in [("valid", json!(false)), ("keys", json!(77))] {
            let mut other = lines.clone();
            other[last][field] = value;
            assert!(!holds(&history, &text(&other)), "{case}");
        }
        assert!(verify(&history, &text(&lines[..last])).is_err(), "cut off");
    }
    assert!(refused > 30, "{refused}");
}

/// Of a history that has an order nothing can be named that has none.
#[test]
fn believes_no_forged_contradiction() {
    for model in certified() {
        let mut draw = Draw(3);
        for _ in 0..CASES {
            let history = draw_history(model, &mut draw, 8);
            let (valid, certificate) = certify(&history);
            if valid != Validity::Valid {
                continue;
            }
            let mut lines = lines(&certificate);
            let key = lines[1]["key"].clone();
            let mut ops: Vec<u64> = lines
                .iter()
                .filter(|line| line.get("key") == Some(&key))
                .flat_map(|line| {
                    let ops = line.get("order").or(line.get("left-out")).unwrap();
                    serde_json::from_value::<Vec<u64>>(ops.clone()).unwrap()
                })
                .collect();
            ops.sort_unstable();
            ops.retain(|_| draw.percent(60));
            let mut forged = json!({"key": key, "contradiction": ops});
            for (field, percent) in [("from", 40), ("before", 60)] {
                if draw.percent(percent) {
                    forged[field] = json!(draw.below(history.events_total() as usize + 1));
                }
            }
            let end = lines.len() - 1;
            lines.retain(|line| line.get("key") != Some(&key));
            let end = end.min(lines.len() - 1);
            lines.insert(end, forged);
            lines.last_mut().unwrap()["valid"] = json!(false);
            assert!(!holds(&history, &text(&lines)), "{model}: {}\n{:?}", text(&lines), Listing(&history));
        }
    }
}

/// Evidence that is as small as it can be proves nothing if it is made smaller.
#[test]
fn believes_no_part_of_a_contradiction() {
    let cases = [
        ("register", "0: w 1 5; 0: w 1 6; 1: r 1 5"),
        ("register", "0: w 1 5; 0: w 1 6; 0: w 1 5; 0: w 1 7; 1: r 1 5"),
        ("register", "0: w 1 5; 0: w 1 6; 1: r 1 nil"),
    ];
    for (model, spelled) in cases {
        let history = notation::history(model, spelled).unwrap();
        let (valid, certificate) = certify(&history);
        assert_eq!(valid, Validity::Invalid);
        assert!(holds(&history, &certificate), "{certificate}");
        let whole = lines(&certificate);
        let ops: Vec<u64> = serde_json::from_value(whole[1]["contradiction"].clone()).unwrap();
        for gone in &ops {
            let mut fewer = whole.clone();
            fewer[1]["contradiction"] = ops.iter().filter(|op| *op != gone).copied().collect();
            assert!(!holds(&history, &text(&fewer)), "{}", text(&fewer));
        }
    }
}

#[test]
fn refuses_another_history_and_another_model() {
    let one = notation::history("register", "0: w 1 5; 1: r 1 5").unwrap();
    let (_, certificate) = certify(&one);
    assert!(holds(&one, &certificate));
    let other = notation::history("register", "0: w 1 5; 1: r 1 5; 0: r 1 5").unwrap();
    assert!(matches!(verify(&other, &certificate), Ok(Verification::DoesNotHold(_))));
    let model = certificate.replace("\"register\"", "\"cas-register\"");
    assert!(matches!(verify(&one, &model), Ok(Verification::DoesNotHold(_))));
    for broken in
        ["", "{}\n", "x\n", "{\"schism-certificate\":2,\"model\":\"register\",\"history\":\"\",\"operations\":1}\n"]
    {
        assert!(verify(&one, broken).is_err(), "{broken}");
    }
    assert!(verify(&one, &format!("{certificate}{{}}\n")).is_err(), "nothing may follow");
}

/// What is too large to be tried is not believed and not refused.
#[test]
fn says_what_is_too_large() {
    // Nothing unique: many concurrent writes of two values, and a read of a third that a late write wrote.
    let mut events: Vec<(u32, EventType, &str, Value)> = Vec::new();
    let writers = 1_200;
    for process in 0..writers {
        events.push((process, EventType::Invoke, "write", Value::keyed(1, Some(i64::from(process % 7)))));
    }
    for process in 0..writers {
        events.push((process, EventType::Ok, "write", Value::keyed(1, Some(i64::from(process % 7)))));
    }
    let history = history("register", events);
    let ops: Vec<u64> = history.ops().map(|op| op.invoke_index).collect();
    assert!(ops.len() > explore::OPS_MAX);
    let forged = text(&[
        json!({"schism-certificate": 1, "model": "register", "history": history.digest(), "operations": history.len()}),
        json!({"key": "1", "contradiction": ops}),
        json!({"valid": false, "keys": 1}),
    ]);
    assert!(matches!(verify(&history, &forged), Ok(Verification::Undecided(_))));
}

/// What is wrong with a number is shown by nearly all operations on it: too many to try, but not to add up.
#[test]
fn adds_up_what_is_too_large_to_try() {
    let adds = explore::OPS_MAX as i64 * 4;
    let each = |f: &'static str, answer: fn(i64) -> Value, told: &[(i64, i64)]| {
        let mut events: Vec<(u32, EventType, &str, Value)> = Vec::new();
        for number in 0..adds {
            events.push((0, EventType::Invoke, f, Value::Int(1)));
            events.push((0, EventType::Ok, f, answer(number)));
            for (_, read) in told.iter().filter(|(after, _)| *after == number) {
                events.push((0, EventType::Invoke, "read", Value::Nil));
                events.push((0, EventType::Ok, "read", Value::Int(*read)));
            }
        }
        events
    };
    let counter: fn(i64) -> Value = |_| Value::Int(1);
    let fetched: fn(i64) -> Value = |number| Value::from_json(json!([1, number]));
    let twice: fn(i64) -> Value = |number| Value::from_json(json!([1, if number == 3_000 { 2_999 } else { number }]));
    let cases = [
        ("linearizable-counter", each("add", counter, &[(10, 11), (3_999, 3_999)])),
        ("linearizable-counter", each("add", counter, &[(2_000, 2_002)])),
        ("fetch-and-add", each("fetch-and-add", fetched, &[(3_999, 3_999)])),
        ("fetch-and-add", each("fetch-and-add", fetched, &[(3_990, 4_000)])),
        ("fetch-and-add", each("fetch-and-add", twice, &[])),
    ];
    for (case, (model, events)) in cases.into_iter().enumerate() {
        let history = history(model, events);
        let (valid, certificate) = certify(&history);
        assert_eq!(valid, Validity::Invalid, "{case}");
        assert!(holds(&history, &certificate), "{case}: {:?}", verify(&history, &certificate));
    }
}

/// Every model that the checker of linearizability serves is tried here.
#[test]
fn no_model_is_forgotten() {
    for model in models::NAMES {
        assert!(certified().any(|known| known == *model), "{model}");
    }
    assert!(history("register", Vec::new()).ops().all(|op| op.outcome == Outcome::Ok));
}
