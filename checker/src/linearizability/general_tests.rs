//! The general search against every order there is, for each model.

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    general::{Call, is_linearization, search},
    models::{FifoQueue, Kv, Model, ModelOp, MultiRegister, Mutex, Stack, UnorderedQueue},
    partition::NEVER,
    search::{Allowance, Answer},
};
use crate::history::Value;

pub(super) const AMPLE: Allowance = Allowance { steps: 10_000_000, memo_bytes: 500_000_000 };

/// What a call is made of.
pub(super) type Op = (&'static str, Value, bool);

/// By definition: some order of the completed calls and of any of the others, that respects real time and the model.
pub(super) fn brute<M: Model>(model: &M, calls: &[Call<'_>]) -> bool {
    fn from<M: Model>(model: &M, calls: &[Call<'_>], done: u32, state: &M::State) -> bool {
        let open = |at: &usize| done >> at & 1 == 0;
        if (0..calls.len()).filter(open).all(|at| calls[at].ret == NEVER) {
            return true;
        }
        let first_return = (0..calls.len()).filter(open).map(|at| calls[at].ret).min().unwrap_or(NEVER);
        (0..calls.len()).filter(open).any(|at| {
            let mut next = Vec::new();
            if calls[at].invoke < first_return {
                model.step(state, &calls[at].op, &mut next);
            }
            next.iter().any(|state| from(model, calls, done | 1 << at, state))
        })
    }
    from(model, calls, 0, &M::State::default())
}

/// When each call is invoked and returns, from a word of choices; `NEVER` where it does not end ok.
pub(super) fn moments(ops: &[Op], choices: &[usize]) -> Vec<(u32, u32)> {
    let mut moments: Vec<(u32, u32)> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let (mut index, mut choices) = (0, choices.iter().cycle());
    while moments.len() < ops.len() || !open.is_empty() {
        index += 1;
        let choice = choices.next().unwrap() % (open.len() + usize::from(moments.len() < ops.len()));
        if choice < open.len() {
            moments[open.remove(choice)].1 = index;
        } else {
            if ops[moments.len()].2 {
                open.push(moments.len());
            }
            moments.push((index, NEVER));
        }
    }
    moments
}

pub(super) fn calls<'o>(ops: &'o [Op], moments: &[(u32, u32)]) -> Vec<Call<'o>> {
    let call = |(id, ((f, value, is_ok), (invoke, ret))): (u32, (&'o Op, &(u32, u32)))| Call {
        op: ModelOp { f, value, is_ok: *is_ok, process: id % 2 },
        invoke: *invoke,
        ret: *ret,
        id,
    };
    (0..).zip(ops.iter().zip(moments)).map(call).collect()
}

/// Gives each call the answer of an object to which it happened when it returned (or, if it never did, when invoked).
/// Tells those to which none of the answers was possible.
pub(super) fn answer<M: Model>(model: &M, ops: &mut [Op], moments: &[(u32, u32)], answers: &[Value]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..ops.len()).collect();
    order.sort_by_key(|at| if moments[*at].1 == NEVER { moments[*at].0 } else { moments[*at].1 });
    let mut state = M::State::default();
    let mut impossible = Vec::new();
    for at in order {
        let (f, value, is_ok) = ops[at].clone();
        let possible = std::iter::once(value).chain(answers.iter().cloned()).find_map(|value| {
            let mut next = Vec::new();
            model.step(&state, &ModelOp { f, value: &value, is_ok, process: at as u32 % 2 }, &mut next);
            Some((value, next.pop()?))
        });
        match possible {
            Some((value, next)) => (ops[at].1, state) = (value, next),
            None => impossible.push(at as u32),
        }
    }
    impossible
}

/// Tries a model: `ops` are all that may be done, with all answers; `answers` those that an object may give.
fn try_model<M: Model>(name: &str, model: &M, ops: &[Op], answers: &[Value]) {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let recipe = (
        prop::collection::vec((prop::sample::select(ops.to_vec()), prop::bool::weighted(0.8)), 1..8),
        prop::collection::vec(0_usize..8, 14),
        any::<bool>(),
        prop::option::of((any::<prop::sample::Index>(), prop::sample::select(ops.to_vec()))),
    );
    let (mut valid, mut invalid) = (0, 0);
    // `scripts/agree` tries more.
    let cases = std::env::var("SCHISM_AGREE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(6_000);
    for _ in 0..cases {
        let (drawn, choices, is_lawful, damage) = recipe.new_tree(&mut runner).unwrap().current();
        let mut ops: Vec<Op> = drawn.into_iter().map(|((f, value, _), is_ok)| (f, value, is_ok)).collect();
        let moments = moments(&ops, &choices);
        if is_lawful {
            answer(model, &mut ops, &moments, answers);
            if let Some((at, (f, value, _))) = damage {
                let at = at.index(ops.len());
                ops[at] = (f, value, ops[at].2);
            }
        }
        let calls = calls(&ops, &moments);
        let expected = brute(model, &calls);
        let (found, _) = search(model, &calls, AMPLE);
        match &found {
            Answer::Linearizable(order) => {
                assert!(expected, "{name}: {calls:?}");
                assert!(is_linearization(model, &calls, order), "{name}: {order:?} of {calls:?}");
                valid += 1;
            }
            Answer::NotLinearizable { .. } => {
                assert!(!expected, "{name}: {calls:?}");
                invalid += 1;
            }
            Answer::OutOfBudget { shortage, .. } => panic!("{name}: {shortage}"),
        }
    }
    assert!(valid > cases / 6 && invalid > cases / 6, "{name}: {valid} valid, {invalid} invalid");
}

pub(super) fn json(text: &str) -> Value {
    Value::from_json(serde_json::from_str(text).unwrap())
}

#[test]
fn every_model_agrees_with_every_order() {
    let op = |f: &'static str, value: &str| (f, json(value), true);
    let values = [json("1"), json("2"), Value::Nil];
    let queue: Vec<Op> = [("enqueue", "1"), ("enqueue", "2"), ("dequeue", "1"), ("dequeue", "2"), ("dequeue", "null")]
        .map(|(f, value)| op(f, value))
        .into();
    try_model("fifo-queue", &FifoQueue, &queue, &values);
    try_model("unordered-queue", &UnorderedQueue, &queue, &values);
    let stack: Vec<Op> = [("push", "1"), ("push", "2"), ("pop", "1"), ("pop", "2"), ("pop", "null")]
        .map(|(f, value)| op(f, value))
        .into();
    try_model("stack", &Stack, &stack, &values);
    try_model("mutex", &Mutex, &[op("acquire", "null"), op("release", "null")], &[]);
    let kv: Vec<Op> = [
        ("put", r#"["k","a"]"#),
        ("append", r#"["k","b"]"#),
        ("get", r#"["k","a"]"#),
        ("get", r#"["k","ab"]"#),
        ("get", r#"["k",null]"#),
    ]
    .map(|(f, value)| op(f, value))
    .into();
    let texts: Vec<Value> = ["", "a", "b", "ab", "bb", "abb"].map(|text| json(&format!(r#"["k","{text}"]"#))).into();
    try_model("kv", &Kv, &kv, &texts);
    let txns: Vec<Op> = [
        r#"[[":write","x",1],[":write","y",1]]"#,
        r#"[[":write","x",2]]"#,
        r#"[[":read","x",1],[":read","y",2]]"#,
        r#"[[":read","x",2],[":write","y",2]]"#,
        r#"[[":read","y",1]]"#,
        r#"[["r","y",null],["w","x",1],["r","x",1]]"#,
    ]
    .map(|value| op("txn", value))
    .into();
    try_model("multi-register", &MultiRegister, &txns, &[]);
}

/// Long texts are counted: a search that keeps many of them ends in time.
#[test]
fn the_memory_of_states_is_bounded() {
    let text = "x".repeat(10_000);
    let ops: Vec<Op> =
        (0..100).map(|_| ("append", Value::list(vec![Value::Int(0), json(&format!("\"{text}\""))]), true)).collect();
    let moments: Vec<(u32, u32)> = (0..100).map(|at| (2 * at, 2 * at + 1)).collect();
    let calls = calls(&ops, &moments);
    let little = Allowance { steps: 10_000_000, memo_bytes: 20_000_000 };
    assert!(matches!(search(&Kv, &calls, little).0, Answer::OutOfBudget { .. }));
    assert!(matches!(search(&Kv, &calls, AMPLE).0, Answer::Linearizable(_)));
}
