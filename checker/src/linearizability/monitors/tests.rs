//! Each monitor against every order there is, and against the general search on what is too large for that.

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{super::general_tests::*, *};
use crate::{
    history::Value,
    linearizability::{
        any_model::Monitor,
        general::{is_linearization, search},
        models::{AppendList, Counter, FetchAndAdd, FifoQueue, GrowOnlySet, Model, Stack, UnorderedQueue},
        search::Answer,
    },
};

/// What a monitor is tried on.
struct Trial<'t, M> {
    name: &'t str,
    model: &'t M,
    monitor: Monitor,
    /// All that may be done, with all answers.
    ops: Vec<Op>,
    /// What an object may answer.
    answers: Vec<Value>,
    /// Operations whose values are numbered, so that none comes twice.
    unique: Option<&'t str>,
}

impl<M: Model> Trial<'_, M> {
    /// Random histories of a length, lawful ones, damaged ones and arbitrary ones. `expected`: whether calls have a
    /// linearization.
    fn run(&self, cases: usize, lengths: std::ops::Range<usize>, expected: impl Fn(&[Call<'_>]) -> bool) {
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let recipe = (
            prop::collection::vec((prop::sample::select(self.ops.clone()), prop::bool::weighted(0.9)), lengths.clone()),
            prop::collection::vec(0_usize..8, 2 * lengths.end),
            prop::bool::weighted(0.7),
            prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(self.ops.clone())), 0..2),
        );
        let (mut valid, mut invalid, mut left) = (0, 0, 0);
        for _ in 0..cases {
            let (drawn, choices, is_lawful, damage) = recipe.new_tree(&mut runner).unwrap().current();
            let mut ops: Vec<Op> = drawn.into_iter().map(|((f, value, _), is_ok)| (f, value, is_ok)).collect();
            self.number(&mut ops);
            let moments = moments(&ops, &choices);
            let mut impossible = Vec::new();
            if is_lawful {
                impossible = answer(self.model, &mut ops, &moments, &self.answers);
                for (at, (f, value, _)) in damage {
                    let at = at.index(ops.len());
                    if Some(f) != self.unique && Some(ops[at].0) != self.unique {
                        ops[at] = (f, value, ops[at].2);
                    }
                }
            }
            let mut calls = calls(&ops, &moments);
            calls.retain(|call| call.ret != NEVER || !self.model.is_read(&call.op));
            calls.retain(|call| !impossible.contains(&call.id));
            match (self.monitor)(&calls) {
                Monitored::Linearizable(order) => {
                    assert!(expected(&calls), "{}: {calls:?}", self.name);
                    assert!(is_linearization(self.model, &calls, &order), "{}: {order:?} of {calls:?}", self.name);
                    valid += 1;
                }
                Monitored::Contradiction(found) => {
                    assert!(!expected(&calls), "{}: {found:?} in {calls:?}", self.name);
                    let shown: Vec<Call<'_>> = found.calls.iter().map(|at| calls[*at as usize]).collect();
                    assert!(!expected(&shown), "{}: {found:?} in {calls:?}", self.name);
                    assert!(found.calls.contains(&found.shown_by) && calls[found.shown_by as usize].ret != NEVER);
                    invalid += 1;
                }
                Monitored::NotApplicable => left += 1,
            }
        }
        let few = cases / 8;
        assert!(valid > few && invalid > few, "{}: {valid} valid, {invalid} invalid, {left} left", self.name);
        assert!(left < cases * 2 / 3, "{}: {left} left", self.name);
    }

    fn number(&self, ops: &mut [Op]) {
        let unique = ops.iter_mut().filter(|(f, ..)| Some(*f) == self.unique);
        for (number, (_, value, _)) in (1..).zip(unique) {
            *value = Value::Int(number);
        }
    }

    fn small_and_large(&self) {
        // `scripts/agree` tries more.
        let cases = std::env::var("SCHISM_AGREE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(6_000);
        self.run(cases, 1..8, |calls| brute(self.model, calls));
        self.run(cases / 20, 12..16, |calls| match search(self.model, calls, AMPLE).0 {
            Answer::Linearizable(_) => true,
            Answer::NotLinearizable { .. } => false,
            Answer::OutOfBudget { shortage, .. } => panic!("{}: {shortage}", self.name),
        });
    }
}

fn op(f: &'static str, value: &str) -> Op {
    (f, json(value), true)
}

/// `put` and `take` of the values 1 to 4, and takes that find nothing.
fn collection(put: &'static str, take: &'static str) -> Vec<Op> {
    let takes = ["1", "2", "3", "4", "null"].map(|value| op(take, value));
    takes.into_iter().chain((0..5).map(|_| op(put, "0"))).collect()
}

fn values() -> Vec<Value> {
    ["1", "2", "3", "4", "5", "6", "7", "8", "null"].map(json).into()
}

#[test]
fn fifo_queues() {
    let (model, ops, answers) = (&FifoQueue, collection("enqueue", "dequeue"), values());
    Trial { name: "fifo-queue", model, monitor: fifo_queue, ops, answers, unique: Some("enqueue") }.small_and_large();
}

/// Without takes that find nothing, what indeterminate dequeues may have taken is decided too.
#[test]
fn fifo_queues_never_found_empty() {
    let (model, mut ops, answers) = (&FifoQueue, collection("enqueue", "dequeue"), values());
    ops.retain(|(_, value, _)| *value != Value::Nil);
    Trial { name: "fifo-queue", model, monitor: fifo_queue, ops, answers, unique: Some("enqueue") }.small_and_large();
}

#[test]
fn unordered_queues() {
    let (model, ops, answers) = (&UnorderedQueue, collection("enqueue", "dequeue"), values());
    let mut trial =
        Trial { name: "unordered-queue", model, monitor: unordered_queue, ops, answers, unique: Some("enqueue") };
    trial.small_and_large();
    // Values put in more than once.
    trial.unique = None;
    trial.ops = ["1", "2", "3"].iter().flat_map(|value| [op("enqueue", value), op("dequeue", value)]).collect();
    trial.small_and_large();
}

#[test]
fn stacks() {
    let (model, ops, answers) = (&Stack, collection("push", "pop"), values());
    let mut trial = Trial { name: "stack", model, monitor: stack, ops, answers, unique: Some("push") };
    trial.small_and_large();
    trial.ops.retain(|(_, value, _)| *value != Value::Nil);
    trial.small_and_large();
}

#[test]
fn counters() {
    for (add, reads) in [("1", ["0", "1", "2", "3"]), ("-3", ["0", "-3", "-6", "4"])] {
        let ops = reads.iter().map(|read| op("read", read)).chain((0..4).map(|_| op("add", add))).collect();
        let answers = (0..10).map(|count| Value::Int(count * json(add).as_int().unwrap())).collect();
        let trial = Trial { name: "counter", model: &Counter, monitor: counter, ops, answers, unique: None };
        trial.small_and_large();
    }
}

#[test]
fn fetches_and_adds() {
    let answers: Vec<Value> =
        (0..20).flat_map(|before| (1..4).map(move |delta| Value::ints(vec![delta, before]))).collect();
    let all = |deltas: std::ops::RangeInclusive<i64>| -> Vec<Op> {
        let answered = deltas.flat_map(|delta| (0..6).map(move |before| Value::ints(vec![delta, before])));
        let ops = answered.map(|value| ("fetch-and-add", value, true));
        ops.chain(["0", "1", "2", "3"].map(|read| op("read", read))).collect()
    };
    for deltas in [1..=1, 2..=2, 1..=3] {
        let delta = *deltas.start();
        let is_mixed = deltas.start() != deltas.end();
        let of_delta =
            answers.iter().filter(|answer| answer.as_ints().is_some_and(|parts| is_mixed || parts[0] == delta));
        let answers: Vec<Value> = of_delta.cloned().chain((0..10).map(Value::Int)).collect();
        let (model, ops) = (&FetchAndAdd, all(deltas));
        Trial { name: "fetch-and-add", model, monitor: fetch_and_add, ops, answers, unique: None }.small_and_large();
    }
}

#[test]
fn append_lists() {
    let reads = ["null", "[1]", "[1,2]", "[2,1]", "[2]", "[1,2,3]", "[1,1]", "[9]"].map(|value| op("read", value));
    let ops = reads.into_iter().chain((0..7).map(|_| op("append", "0"))).collect();
    // Every order of up to three of the values.
    let mut answers = vec![Value::Nil];
    for length in 1..4 {
        let all =
            (0..5_i64.pow(length)).map(|word| (0..length).map(|at| word / 5_i64.pow(at) % 5 + 1).collect::<Vec<_>>());
        answers.extend(all.map(Value::ints));
    }
    let (model, unique) = (&AppendList, Some("append"));
    Trial { name: "append-list", model, monitor: append_list, ops, answers, unique }.small_and_large();
}

#[test]
fn grow_only_sets() {
    let reads = ["null", "[1]", "[1,2]", "[2,1]", "[2]", "[1,2,3]", "[1,3]", "[9]"].map(|value| op("read", value));
    let adds = ["1", "2", "3", "1", "2", "3"].map(|value| op("add", value));
    let ops = reads.into_iter().chain(adds).collect();
    let subset = |word: u32| Value::ints((1..4).filter(|element| word >> element & 1 == 1).collect());
    let answers = (0..16).map(subset).collect();
    let (model, monitor) = (&GrowOnlySet, grow_only_set as Monitor);
    Trial { name: "grow-only-set", model, monitor, ops, answers, unique: None }.small_and_large();
}
