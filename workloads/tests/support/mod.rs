//! Runs a workload's operations against clients and records what happened.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use schism_checker::history::{EventType, F, Mop, Value};
use schism_seed::Seed;
use schism_workloads::{
    Op, Workload, WorkloadPlan, by_name,
    client::{Completion, Connect},
    generator::{Latency, op_limit, simulate},
};

pub(crate) mod server;

/// An operation with its result; `invoked` and `completed` are positions in one common order.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) slot: u32,
    pub(crate) node: String,
    pub(crate) f: F,
    pub(crate) argument: Value,
    pub(crate) completion: Completion,
    pub(crate) invoked: u64,
    pub(crate) completed: u64,
}

impl Done {
    pub(crate) fn is_ok(&self) -> bool {
        self.completion.kind == EventType::Ok
    }

    pub(crate) fn is_fail(&self) -> bool {
        self.completion.kind == EventType::Fail
    }

    /// The result, or what was invoked.
    pub(crate) fn value(&self) -> &Value {
        self.completion.value.as_ref().unwrap_or(&self.argument)
    }
}

pub(crate) fn workload(name: &str) -> Box<dyn Workload> {
    by_name(name, &BTreeMap::new()).unwrap()
}

pub(crate) fn plan(clients: u32, seed: u64) -> WorkloadPlan {
    WorkloadPlan { clients, seed: Seed::new(seed), nodes: Vec::new(), rate_per_s: 0.0 }
}

/// What each slot does, `ops` operations in all.
pub(crate) fn scripts(workload: &dyn Workload, plan: &WorkloadPlan, ops: u64) -> Vec<Vec<(F, Value)>> {
    let generator = op_limit(ops, workload.generator(plan));
    let mut scripts = vec![Vec::new(); plan.clients as usize];
    for event in simulate(generator, plan.clients, &Latency::fixed(1), plan.seed) {
        if event.kind == EventType::Invoke {
            scripts[event.process.client().unwrap() as usize].push((event.f, event.value));
        }
    }
    scripts
}

/// Unused positions before the final reads.
pub(crate) const GAP: u64 = 10;

/// All slots at once, slot `s` on node `s % nodes`; then the final reads of every node, appended with `slot` = u32::MAX.
pub(crate) async fn run(
    connect: Arc<dyn Connect>,
    workload: &dyn Workload,
    plan: &WorkloadPlan,
    nodes: &[&str],
    ops: u64,
) -> Vec<Done> {
    connect.setup(nodes[0]).await.unwrap();
    let history = Arc::new(Mutex::new(Vec::new()));
    let clock = Arc::new(AtomicU64::new(0));
    let mut invoked = Vec::new();
    let mut tasks = Vec::new();
    for (slot, script) in scripts(workload, plan, ops).into_iter().enumerate() {
        invoked.push(script.len() as u64);
        let node = nodes[slot % nodes.len()].to_owned();
        let (connect, history, clock) = (Arc::clone(&connect), Arc::clone(&history), Arc::clone(&clock));
        tasks.push(tokio::spawn(async move {
            let mut client = connect.open(slot as u32, &node).await.unwrap();
            for (f, value) in script {
                let op = Op::new(slot as u32, f, value);
                let start = clock.fetch_add(1, Ordering::SeqCst);
                let completion = client.invoke(&op).await;
                let completed = clock.fetch_add(1, Ordering::SeqCst);
                let node = node.clone();
                let done =
                    Done { slot: op.client, node, f: op.f, argument: op.value, completion, invoked: start, completed };
                history.lock().unwrap().push(done);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut history = std::mem::take(&mut *history.lock().unwrap());
    clock.fetch_add(GAP, Ordering::SeqCst);
    for node in nodes {
        for (value, f) in workload.final_reads(plan, &invoked) {
            let mut client = connect.open(0, node).await.unwrap();
            let op = Op { node: Some((*node).into()), is_final: true, ..Op::new(0, f, value) };
            let completion = client.invoke(&op).await;
            assert_eq!(completion.kind, EventType::Ok, "{completion:?}");
            let node = (*node).to_owned();
            let invoked = clock.fetch_add(2, Ordering::SeqCst);
            let completed = invoked + 1;
            history.push(Done { slot: u32::MAX, node, f: op.f, argument: op.value, completion, invoked, completed });
        }
    }
    history
}

/// The integers of a set that was read.
pub(crate) fn elements(value: &Value) -> Vec<i64> {
    match value {
        Value::Ints(numbers) => numbers.to_vec(),
        Value::Pair(first, second) => vec![i64::from(*first), *second],
        other => panic!("not a set: {other:?}"),
    }
}

/// The final state of one node's lists.
pub(crate) fn final_lists(history: &[Done], node: &str) -> BTreeMap<i64, Vec<i64>> {
    let reads = history.iter().filter(|done| done.slot == u32::MAX && done.node == node);
    reads
        .flat_map(|done| mops(done.value()))
        .filter_map(|mop| match mop {
            Mop::Read { key, list } => Some((key, list.unwrap_or_default())),
            Mop::Append { .. } => None,
        })
        .collect()
}

pub(crate) fn mops(value: &Value) -> Vec<Mop> {
    match value {
        Value::Txn(mops) => mops.to_vec(),
        other => panic!("not a transaction: {other:?}"),
    }
}

/// The set a node holds in the end.
pub(crate) fn final_set(history: &[Done], node: &str) -> Vec<i64> {
    let read = history.iter().rfind(|done| done.slot == u32::MAX && done.node == node).unwrap();
    elements(read.value())
}
