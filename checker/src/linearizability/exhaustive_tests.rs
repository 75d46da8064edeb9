//! All histories of a few calls on three processes, of two values: each model against every order there is.

#![allow(clippy::print_stdout, reason = "how many were tried")]

use super::{
    any_model::Monitor,
    general::{self, Call, is_linearization},
    general_tests::{AMPLE, brute, json},
    model::{CasRegister, RegisterOp},
    models::{
        AppendList, Counter, Element, FencedLock, FetchAndAdd, FifoQueue, GrowOnlySet, Kv, Model, ModelOp,
        MultiRegister, Mutex, ReentrantMutex, Set, Stack, UnorderedQueue,
    },
    monitors::{self, Monitored},
    partition::{self, NEVER, Part, drop_unobserved},
    recheck,
    search::{self, Answer},
    tests::brute as brute_register,
    zones::{self, Zoned},
};
use crate::history::Value;

const PROCESSES: usize = 3;

/// Calls whose moments are given, by invocation.
#[derive(Debug, Clone, Default)]
struct Overlap {
    moments: Vec<(u32, u32)>,
    /// By call: it may be exchanged with the one before it.
    is_twin: Vec<bool>,
}

/// Every way in which calls may overlap, of which those of the mask never return. In which order they are invoked between
/// two returns, and return between two invocations, makes no difference: one way each is enough.
fn overlaps(calls: usize, never: u32) -> Vec<Overlap> {
    let is_never = |at: usize| never >> at & 1 == 1;
    let mut done = Vec::new();
    // With what is in flight, and the next moment.
    let mut begun = vec![(Overlap::default(), Vec::<usize>::new(), 0_u32)];
    while let Some((overlap, open, moment)) = begun.pop() {
        let (mut overlap, mut open, mut moment) = (overlap, open, moment);
        loop {
            // One more call is invoked.
            let at = overlap.moments.len();
            if !is_never(at) {
                open.push(at);
            }
            if open.len() > PROCESSES {
                break;
            }
            overlap.moments.push((moment, NEVER));
            moment += 1;
            let is_last = at + 1 == calls;
            // Then some return, and the next is invoked; after the last all do.
            for returning in 1_u32..1 << open.len() {
                if is_last && returning + 1 != 1 << open.len() {
                    continue;
                }
                let (mut next, mut moment) = (overlap.clone(), moment);
                let returns = |place: usize| returning >> place & 1 == 1;
                for (place, at) in open.iter().enumerate().filter(|(place, _)| returns(*place)) {
                    next.moments[*at].1 = moment + place as u32;
                }
                moment += open.len() as u32;
                let still = open.iter().enumerate().filter(|(place, _)| !returns(*place)).map(|(_, at)| *at).collect();
                if is_last { done.push(next) } else { begun.push((next, still, moment)) }
            }
            if is_last {
                if open.is_empty() {
                    done.push(overlap);
                }
                break;
            }
        }
    }
    for overlap in &mut done {
        let moments = &overlap.moments;
        let between = |from: u32, to: u32| moments.iter().any(|(invoke, _)| from < *invoke && *invoke < to);
        let returned = |from: u32, to: u32| moments.iter().any(|(_, ret)| from < *ret && *ret < to);
        overlap.is_twin = (0..calls)
            .map(|at| {
                let Some(before) = at.checked_sub(1) else { return false };
                let (one, other) = (moments[before], moments[at]);
                let alike = (one.1 == NEVER) == (other.1 == NEVER);
                alike && !returned(one.0, other.0) && !between(one.1.min(other.1), one.1.max(other.1))
            })
            .collect();
    }
    done
}

/// Goes through all words of `labels` letters, but for those that differ by an exchange of twins.
fn words(overlap: &Overlap, labels: usize, mut each: impl FnMut(&[usize])) {
    let mut word = vec![0; overlap.moments.len()];
    loop {
        if (1..word.len()).all(|at| !overlap.is_twin[at] || word[at - 1] <= word[at]) {
            each(&word);
        }
        let Some(at) = word.iter().rposition(|label| label + 1 < labels) else { return };
        word[at] += 1;
        word[at + 1..].fill(0);
    }
}

fn from_environment(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tries so many calls, and with one less also those that never return; of a share of the histories.
fn all_overlaps(mut each: impl FnMut(&Overlap)) {
    // `scripts/agree` tries six.
    let calls = from_environment("SCHISM_AGREE_CALLS").unwrap_or(4);
    for (calls, masks) in [(calls, 1), (calls - 1, 1 << (calls - 1))] {
        for mask in 0..masks {
            overlaps(calls, mask).iter().for_each(&mut each);
        }
    }
}

/// Whether this history belongs to the share that is tried.
struct Share {
    every: usize,
    number: usize,
}

impl Share {
    fn new() -> Self {
        Self { every: from_environment("SCHISM_AGREE_SHARE").unwrap_or(1).max(1), number: 0 }
    }

    fn takes(&mut self) -> bool {
        self.number += 1;
        self.number.is_multiple_of(self.every)
    }
}

fn exhaust<M: Model>(name: &str, model: &M, monitor: Option<Monitor>, ops: &[(&str, &str)]) {
    let values: Vec<Value> = ops.iter().map(|(_, value)| json(value)).collect();
    let (mut valid, mut invalid, mut monitored, mut share) = (0_u64, 0_u64, 0_u64, Share::new());
    let mut calls: Vec<Call<'_>> = Vec::new();
    all_overlaps(|overlap| {
        words(overlap, ops.len(), |word| {
            if !share.takes() {
                return;
            }
            calls.clear();
            for (id, (label, (invoke, ret))) in (0..).zip(word.iter().zip(&overlap.moments)) {
                let op = ModelOp { f: ops[*label].0, value: &values[*label], is_ok: *ret != NEVER, process: id % 2 };
                if op.is_ok || !model.is_read(&op) {
                    calls.push(Call { op, invoke: *invoke, ret: *ret, id });
                }
            }
            let expected = brute(model, &calls);
            *(if expected { &mut valid } else { &mut invalid }) += 1;
            match general::search(model, &calls, AMPLE).0 {
                Answer::Linearizable(order) if expected && is_linearization(model, &calls, &order) => {}
                Answer::NotLinearizable { .. } if !expected => {}
                other => panic!("{name}: {expected}, but {other:?} of {calls:?}"),
            }
            match monitor.map_or(Monitored::NotApplicable, |monitor| monitor(&calls)) {
                Monitored::NotApplicable => {}
                Monitored::Linearizable(order) if expected && is_linearization(model, &calls, &order) => monitored += 1,
                Monitored::Contradiction(found) if !expected => {
                    let shown: Vec<Call<'_>> = found.calls.iter().map(|at| calls[*at as usize]).collect();
                    assert!(!brute(model, &shown), "{name}: {found:?} of {calls:?}");
                    monitored += 1;
                }
                other => panic!("{name}: {expected}, but {other:?} of {calls:?}"),
            }
        });
    });
    println!("{name}: {valid} valid, {invalid} invalid, {monitored} by the monitor");
    assert!(
        valid > 0 && invalid > 0 && (monitored > 0) == monitor.is_some(),
        "{name}: {valid}, {invalid}, {monitored}"
    );
}

#[test]
fn all_histories_of_locks() {
    exhaust("mutex", &Mutex, None, &[("acquire", "null"), ("release", "null")]);
    exhaust(
        "reentrant-mutex",
        &ReentrantMutex,
        None,
        &[("acquire", "1"), ("acquire", "2"), ("acquire", "null"), ("release", "1"), ("release", "null")],
    );
    exhaust(
        "fenced-lock",
        &FencedLock,
        None,
        &[("acquire", "1"), ("acquire", "2"), ("write", "1"), ("write", "2"), ("release", "1")],
    );
}

#[test]
fn all_histories_of_queues() {
    let ops = [("enqueue", "1"), ("enqueue", "2"), ("dequeue", "1"), ("dequeue", "2"), ("dequeue", "null")];
    exhaust("fifo-queue", &FifoQueue, Some(monitors::fifo_queue), &ops);
    exhaust("unordered-queue", &UnorderedQueue, Some(monitors::unordered_queue), &ops);
}

#[test]
fn all_histories_of_stacks() {
    let ops = [("push", "1"), ("push", "2"), ("pop", "1"), ("pop", "2"), ("pop", "null")];
    exhaust("stack", &Stack, Some(monitors::stack), &ops);
}

#[test]
fn all_histories_of_sets() {
    exhaust(
        "linearizable-set, read whole",
        &Set,
        None,
        &[("add", "1"), ("add", "[2,true]"), ("remove", "[1,true]"), ("read", "[1]"), ("read", "[2,1]")],
    );
    exhaust(
        "linearizable-set",
        &Element,
        None,
        &[("add", "[1,true]"), ("add", "1"), ("remove", "[1,false]"), ("remove", "1"), ("contains", "[1,true]")],
    );
    exhaust(
        "grow-only-set",
        &GrowOnlySet,
        Some(monitors::grow_only_set),
        &[("add", "1"), ("add", "2"), ("read", "null"), ("read", "[1]"), ("read", "[2,1]")],
    );
}

#[test]
fn all_histories_of_lists() {
    exhaust(
        "append-list",
        &AppendList,
        Some(monitors::append_list),
        &[("append", "1"), ("append", "2"), ("read", "null"), ("read", "[1]"), ("read", "[2,1]")],
    );
    exhaust(
        "kv",
        &Kv,
        None,
        &[
            ("put", r#"[0,"a"]"#),
            ("append", r#"[0,"b"]"#),
            ("get", r#"[0,"a"]"#),
            ("get", r#"[0,"ab"]"#),
            ("get", "[0,null]"),
        ],
    );
}

#[test]
fn all_histories_of_numbers() {
    exhaust(
        "linearizable-counter",
        &Counter,
        Some(monitors::counter),
        &[("add", "1"), ("read", "0"), ("read", "1"), ("read", "2")],
    );
    exhaust(
        "linearizable-counter, both ways",
        &Counter,
        Some(monitors::counter),
        &[("add", "1"), ("add", "-1"), ("read", "0"), ("read", "1")],
    );
    exhaust(
        "fetch-and-add",
        &FetchAndAdd,
        Some(monitors::fetch_and_add),
        &[
            ("fetch-and-add", "[1,0]"),
            ("fetch-and-add", "[1,1]"),
            ("fetch-and-add", "[2,0]"),
            ("fetch-and-add", "[2,2]"),
            ("read", "2"),
        ],
    );
}

#[test]
fn all_histories_of_several_registers() {
    exhaust(
        "multi-register",
        &MultiRegister,
        None,
        &[
            ("txn", r#"[["w","x",1],["w","y",1]]"#),
            ("txn", r#"[["w","x",2]]"#),
            ("txn", r#"[["r","x",1],["r","y",2]]"#),
            ("txn", r#"[["r","x",2],["w","y",2]]"#),
            ("txn", r#"[["r","y",1]]"#),
        ],
    );
}

#[test]
fn all_histories_of_a_register() {
    let mut ops = vec![RegisterOp::Read(0)];
    for value in 1..3 {
        ops.extend([RegisterOp::Read(value), RegisterOp::Write(value)]);
        ops.extend((0..3).filter(|old| *old != value).map(|old| RegisterOp::Cas(old, value)));
    }
    let (mut valid, mut invalid, mut zoned, mut share) = (0_u64, 0_u64, 0_u64, Share::new());
    let mut part = Part { calls: Vec::new(), values: vec![1, 2] };
    all_overlaps(|overlap| {
        words(overlap, ops.len(), |word| {
            if !share.takes() {
                return;
            }
            part.calls.clear();
            for (id, (label, (invoke, ret))) in (0..).zip(word.iter().zip(&overlap.moments)) {
                let op = ops[*label];
                if *ret != NEVER || !matches!(op, RegisterOp::Read(_)) {
                    part.calls.push(partition::Call { op, invoke: *invoke, ret: *ret, id });
                }
            }
            let expected = brute_register(&part.calls);
            *(if expected { &mut valid } else { &mut invalid }) += 1;
            drop_unobserved(&mut part);
            let is_right = |order: &[u32]| expected && recheck::is_linearization(&CasRegister, 0, &part.calls, order);
            match search::search(&CasRegister, 0, &part.calls, AMPLE).0 {
                Answer::Linearizable(order) if is_right(&order) => {}
                Answer::NotLinearizable { .. } if !expected => {}
                other => panic!("{expected}, but {other:?} of {part:?}"),
            }
            match zones::decide(&part) {
                Zoned::Ambiguous => {}
                Zoned::Linearizable(order) if is_right(&order) => zoned += 1,
                Zoned::Contradiction(_) if !expected => zoned += 1,
                other => panic!("{expected}, but {other:?} of {part:?}"),
            }
        });
    });
    println!("register: {valid} valid, {invalid} invalid, {zoned} by zones");
    assert!(valid > 0 && invalid > 0 && zoned > 0);
}
