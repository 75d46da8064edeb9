//! How fast generators and the Redis client are: `cargo run --release --example throughput [redis-port]`.
//!
//! One thread does everything. With a port it also runs the `set` workload with 20 connections against the Redis that
//! listens there on 127.0.0.1.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for developers")]

use std::{collections::BTreeMap, io, sync::Arc, time::Instant};

use futures::future::{BoxFuture, join_all};
use schism_checker::history::EventType;
use schism_seed::Seed;
use schism_workloads::{
    Op, WorkloadPlan, by_name,
    client::{
        Connect, Dial,
        redis::{Options, Redis},
    },
    generator::{Context, Free, Generator, Latency, Step, mix, op_limit, phases, simulate, stagger, time_limit},
    names,
};
use tokio::net::TcpStream;

const OPS: u64 = 2_000_000;

fn plan(clients: u32) -> WorkloadPlan {
    WorkloadPlan { clients, seed: Seed::new(1), nodes: Vec::new(), rate_per_s: 0.0 }
}

/// The stack of a run: phases, a time limit, a rate, a mixture and a workload.
fn stack(name: &str, plan: &WorkloadPlan) -> Box<dyn Generator> {
    let workload = by_name(name, &BTreeMap::new()).unwrap();
    let mixture = mix(plan.seed, "bench", vec![(1, workload.generator(plan))]);
    let limited = time_limit(u64::MAX, stagger(1e9, plan.seed, mixture));
    phases(vec![op_limit(OPS, limited)])
}

/// Asks `OPS` times, with one of 20 clients free in turn.
fn ask(mut generator: Box<dyn Generator>, clients: u32) -> u64 {
    let process_of: Vec<u32> = (0..clients).collect();
    let mut free = Free::all(clients);
    let mut asked = 0;
    loop {
        let ctx = Context { time_ns: asked * 1_000, clients, free: &free, process_of: &process_of };
        match generator.next(&ctx) {
            Step::Op { op, next, .. } => {
                asked += 1;
                free.take(op.client);
                free.put(op.client);
                generator = next;
            }
            Step::Pending { .. } | Step::Done => return asked,
        }
    }
}

struct Local;

impl Dial for Local {
    fn dial<'a>(&'a self, _site: u32, _node: &'a str, port: u16) -> BoxFuture<'a, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(("127.0.0.1", port)))
    }
}

/// Adds only, by 20 connections.
async fn redis(port: u16, ops: u64) {
    let plan = plan(20);
    let options = BTreeMap::from([("ops-per-read".to_owned(), "0".to_owned())]);
    let generator = op_limit(ops, by_name("set", &options).unwrap().generator(&plan));
    let mut scripts = vec![Vec::new(); 20];
    for event in simulate(generator, 20, &Latency::fixed(1), plan.seed) {
        if event.kind == EventType::Invoke {
            let slot = event.process.client().unwrap();
            scripts[slot as usize].push(Op::new(slot, event.f, event.value));
        }
    }
    let redis = Redis::new(Arc::new(Local), Options { port, ..Options::default() });
    let mut clients = Vec::new();
    for slot in 0..20 {
        clients.push(redis.open(slot, "n1").await.unwrap());
    }
    let (started, cpu_started) = (Instant::now(), cpu_s());
    join_all(clients.into_iter().zip(scripts).map(|(mut client, script)| async move {
        for op in script {
            assert!(client.invoke(&op).await.error.is_none());
        }
    }))
    .await;
    let (wall_s, cpu_s) = (started.elapsed().as_secs_f64(), cpu_s() - cpu_started);
    println!(
        "redis, 20 connections, one thread: {:.0} ops/s; {:.0} ops per second of our processor time",
        ops as f64 / wall_s,
        ops as f64 / cpu_s
    );
}

/// Processor time of this thread: what the machine's other work does not disturb.
fn cpu_s() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedstat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn main() {
    for name in names() {
        let started = cpu_s();
        let asked = ask(stack(name, &plan(20)), 20);
        println!("{name}: {:.2} million ops per second of processor time", asked as f64 / (cpu_s() - started) / 1e6);
    }
    if let Some(port) = std::env::args().nth(1) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(redis(port.parse().unwrap(), 300_000));
    }
}
