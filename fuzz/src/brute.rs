//! Small histories out of bytes, judged by the checker and by trying every order.
//!
//! Nothing here is shared with the checker but the history: the sequential specifications are written again.

use schism_checker::{
    Options, Validity, check,
    history::{Event, EventType, F, Header, History, HistoryBuilder, Process, Value},
};

const OPS_MAX: usize = 6;
const NEVER: usize = usize::MAX;

/// What is tried. Values are 1 and 2, keys 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Object {
    Register,
    Mutex,
    FifoQueue,
    UnorderedQueue,
    Stack,
    Kv,
}

const OBJECTS: [(Object, &str); 6] = [
    (Object::Register, "cas-register"),
    (Object::Mutex, "mutex"),
    (Object::FifoQueue, "fifo-queue"),
    (Object::UnorderedQueue, "unordered-queue"),
    (Object::Stack, "stack"),
    (Object::Kv, "kv"),
];

#[derive(Debug, Clone)]
struct Op {
    f: &'static str,
    key: usize,
    /// Written, put in, appended; of a cas what is expected.
    value: u8,
    /// What a cas leaves behind.
    new: u8,
    /// What was read or taken out; for the others unused. A kv's is a text of digits.
    answer: Vec<u8>,
    is_ok: bool,
    has_failed: bool,
    invoke: usize,
    /// Event of the ok completion, or [`NEVER`].
    ret: usize,
}

/// Judges the history that the bytes spell both ways.
pub(crate) fn compare(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let (object, model) = OBJECTS[usize::from(*first) % OBJECTS.len()];
    let (ops, history) = decode(object, model, rest);
    let checks = check(&history, &Options::default()).expect("a history of the model");
    let own = &checks[0];
    let considered: Vec<Op> = ops.iter().filter(|op| !op.has_failed).cloned().collect();
    let valid = is_linearizable(object, &considered, 0, &Default::default());
    match own.valid {
        Validity::Valid => assert!(valid, "{model}: called valid: {ops:#?}"),
        Validity::Invalid => assert!(!valid, "{model}: called invalid: {ops:#?} {own:#?}"),
        Validity::Unknown => assert!(!ops.iter().any(|op| op.is_ok), "{model}: unknown: {ops:#?} {own:#?}"),
    }
}

/// Two bytes an event: whose it is and what it does.
fn decode(object: Object, model: &str, bytes: &[u8]) -> (Vec<Op>, History) {
    let mut ops: Vec<Op> = Vec::new();
    let mut open: [Option<usize>; 3] = [None; 3];
    let mut builder = HistoryBuilder::new(Header {
        schism_history: Header::VERSION,
        workload: model.into(),
        target: String::new(),
        seed: 0,
        clients: 3,
        nodes: Vec::new(),
        consistency_models: Vec::new(),
    });
    for (index, pair) in bytes.chunks_exact(2).enumerate() {
        let (who, what) = (usize::from(pair[0]), usize::from(pair[1]));
        let process = who % 3;
        let (kind, at) = match open[process] {
            Some(at) => {
                let kind = [EventType::Ok, EventType::Ok, EventType::Ok, EventType::Info, EventType::Fail][what % 5];
                let op = &mut ops[at];
                op.is_ok = kind == EventType::Ok;
                op.has_failed = kind == EventType::Fail;
                op.answer = match object {
                    Object::Kv => [&b""[..], b"1", b"2", b"12", b"21"][what / 5 % 5].to_vec(),
                    _ => [&b""[..], b"1", b"2"][what / 5 % 3].to_vec(),
                };
                if op.is_ok {
                    op.ret = index;
                }
                open[process] = None;
                (kind, at)
            }
            None if ops.len() < OPS_MAX => {
                let fs: &[&str] = match object {
                    Object::Register => &["write", "read", "cas"],
                    Object::Mutex => &["acquire", "release"],
                    Object::FifoQueue | Object::UnorderedQueue => &["enqueue", "dequeue"],
                    Object::Stack => &["push", "pop"],
                    Object::Kv => &["put", "get", "append"],
                };
                let (value, new) = (b'1' + (what / 6 % 2) as u8, b'1' + (what / 12 % 2) as u8);
                let keyed = matches!(object, Object::Register | Object::Kv);
                ops.push(Op {
                    f: fs[what % fs.len()],
                    key: if keyed { who / 3 % 2 } else { 0 },
                    value,
                    new,
                    answer: Vec::new(),
                    is_ok: false,
                    has_failed: false,
                    invoke: index,
                    ret: NEVER,
                });
                open[process] = Some(ops.len() - 1);
                (EventType::Invoke, ops.len() - 1)
            }
            None => continue,
        };
        builder.push(Event {
            index: index as u64,
            time_ns: index as u64,
            process: Process::Client(process as u32),
            kind,
            f: F::from_name(ops[at].f),
            value: spelled(object, &ops[at], kind),
            error: None,
            node: None,
            is_final: false,
            order: None,
        });
    }
    let history = builder.finish().expect("well formed by construction");
    (ops, history)
}

/// The value as the checker expects it of this model.
fn spelled(object: Object, op: &Op, kind: EventType) -> Value {
    let int = |digit: u8| i64::from(digit - b'0');
    let answer = || if kind == EventType::Ok { op.answer.first().map(|digit| int(*digit)) } else { None };
    let text = |text: &[u8]| Value::from_json(String::from_utf8_lossy(text).into_owned().into());
    match (object, op.f) {
        (_, "write") => Value::keyed(op.key as i64, Some(int(op.value))),
        (_, "read") => Value::keyed(op.key as i64, answer()),
        (_, "cas") => Value::cas(op.key as i64, int(op.value), int(op.new)),
        (_, "enqueue" | "push") => Value::Int(int(op.value)),
        (_, "dequeue" | "pop") => answer().map_or(Value::Nil, Value::Int),
        (Object::Kv, f) => {
            let key = text(&[b'a' + op.key as u8]);
            Value::list(vec![
                key,
                match f {
                    "get" if kind == EventType::Ok => text(&op.answer),
                    "get" => Value::Nil,
                    _ => text(&[op.value]),
                },
            ])
        }
        _ => Value::Nil,
    }
}

/// What the two keys hold.
type State = [Vec<u8>; 2];

/// By definition: some order of the completed operations, and of any of the others, that respects real time.
fn is_linearizable(object: Object, ops: &[Op], done: u32, state: &State) -> bool {
    let is_open = |at: &usize| done >> at & 1 == 0;
    let first_return = (0..ops.len()).filter(is_open).map(|at| ops[at].ret).min().unwrap_or(NEVER);
    first_return == NEVER
        || (0..ops.len()).filter(is_open).any(|at| {
            ops[at].invoke < first_return
                && after(object, &ops[at], state)
                    .iter()
                    .any(|state| is_linearizable(object, ops, done | 1 << at, state))
        })
}

/// Every state that the operation may leave behind.
fn after(object: Object, op: &Op, state: &State) -> Vec<State> {
    let held = &state[op.key];
    let with = |held: Vec<u8>| {
        let mut state = state.clone();
        state[op.key] = held;
        vec![state]
    };
    // Whether this may be what was read; nobody knows what an operation would have answered that never did.
    let answers = |read: &[u8]| !op.is_ok || op.answer == read;
    let join = |left: &[u8], right: &[u8]| [left, right].concat();
    match op.f {
        "write" | "put" => with(vec![op.value]),
        "append" => with(join(held, &[op.value])),
        "read" | "get" if answers(held) => with(held.clone()),
        "cas" if *held == [op.value] => with(vec![op.new]),
        "acquire" if held.is_empty() => with(vec![1]),
        "release" if !held.is_empty() => with(Vec::new()),
        "enqueue" | "push" => with(join(held, &[op.value])),
        "dequeue" | "pop" if held.is_empty() => {
            if answers(b"") {
                with(Vec::new())
            } else {
                Vec::new()
            }
        }
        "dequeue" | "pop" => {
            let taken = match object {
                Object::FifoQueue => 0..1,
                Object::Stack => held.len() - 1..held.len(),
                _ => 0..held.len(),
            };
            let without = |at: usize| join(&held[..at], &held[at + 1..]);
            taken.filter(|at| answers(&held[*at..=*at])).flat_map(|at| with(without(at))).collect()
        }
        _ => Vec::new(),
    }
}
