//! The Redis client against a real server.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

mod support;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use schism_checker::history::{EventType, F, Value};
use schism_workloads::{
    Op,
    client::{
        CAS_MISMATCH, CONNECT, CONNECTION_LOST, Client, Connect, UNSUPPORTED,
        redis::{Options, Redis, WAIT_SHORT, Wait},
    },
};
use support::{
    elements, final_set, plan, run,
    server::{Local, Server, redis},
    workload,
};

fn connect(server: &Server, wait: Option<Wait>) -> Redis {
    Redis::new(Arc::new(Local), Options { port: server.port, wait, ..Options::default() })
}

async fn open(redis: &Redis) -> Box<dyn Client> {
    redis.open(0, "n1").await.unwrap()
}

fn add(element: i64) -> Op {
    Op::new(0, F::Add, Value::Int(element))
}

fn read(key: i64) -> Op {
    Op::new(0, F::Read, Value::List(Box::new(vec![Value::Int(key), Value::Nil])))
}

fn write(key: i32, value: i64) -> Op {
    Op::new(0, F::Write, Value::Pair(key, value))
}

fn cas(key: i64, old: i64, new: i64) -> Op {
    Op::new(0, F::Cas, Value::KeyedPair(Box::new((key, old, new))))
}

#[tokio::test]
async fn a_set_keeps_what_was_acknowledged() {
    let Some(server) = redis(&[]).await else { return };
    let history = run(Arc::new(connect(&server, None)), &*workload("set"), &plan(8, 1), &["n1"], 2_000).await;
    assert!(history.iter().all(support::Done::is_ok));
    let added: BTreeSet<i64> = history
        .iter()
        .filter_map(|done| match done.argument {
            Value::Int(element) => Some(element),
            _ => None,
        })
        .collect();
    let mut kept = final_set(&history, "n1");
    kept.sort_unstable();
    assert_eq!(kept, added.into_iter().collect::<Vec<_>>());
    assert!(history.iter().any(|done| done.f == F::Read && done.slot < 8), "some reads in between");
}

#[tokio::test]
async fn a_register_reads_writes_and_compares() {
    let Some(server) = redis(&[]).await else { return };
    let redis = connect(&server, None);
    let mut client = open(&redis).await;
    let unwritten = client.invoke(&read(1)).await;
    assert_eq!(unwritten.value, Some(read(1).value), "null");
    assert_eq!(client.invoke(&cas(1, 4, 5)).await.class(), CAS_MISMATCH, "nothing to compare with");
    assert_eq!(client.invoke(&write(1, 4)).await.kind, EventType::Ok);
    assert_eq!(client.invoke(&read(1)).await.value, Some(Value::Pair(1, 4)));
    assert_eq!(client.invoke(&cas(1, 4, -5)).await.kind, EventType::Ok);
    let mismatch = client.invoke(&cas(1, 4, 6)).await;
    assert_eq!((mismatch.kind, mismatch.class()), (EventType::Fail, CAS_MISMATCH));
    assert_eq!(client.invoke(&read(1)).await.value, Some(Value::Pair(1, -5)));
    assert_eq!(client.invoke(&read(2)).await.value, Some(read(2).value), "keys are independent");
    let txn = Op::new(0, F::Txn, Value::Txn(Box::default()));
    assert_eq!(client.invoke(&txn).await.class(), UNSUPPORTED);

    let history = run(Arc::new(redis), &*workload("register"), &plan(8, 1), &["n1"], 2_000).await;
    let cas = history.iter().filter(|done| done.f == F::Cas);
    let succeeded = cas.clone().filter(|done| done.is_ok()).count();
    assert!(succeeded > 50, "{succeeded} of {} succeeded", cas.count());
}

#[tokio::test]
async fn a_large_set_is_read_page_by_page_in_the_end() {
    let Some(server) = redis(&[]).await else { return };
    let redis = connect(&server, None);
    let mut client = open(&redis).await;
    let mut admin = admin(&server);
    for chunk in 0..150 {
        let elements: Vec<i64> = (chunk * 1_000..(chunk + 1) * 1_000).collect();
        ::redis::cmd("SADD").arg("schism:set").arg(elements).exec(&mut admin).unwrap();
    }
    let final_read = Op { is_final: true, ..Op::new(0, F::Read, Value::Nil) };
    let expected: Vec<i64> = (0..150_000).collect();
    for op in [final_read, Op::new(0, F::Read, Value::Nil)] {
        let started = Instant::now();
        let mut found = elements(&client.invoke(&op).await.value.unwrap());
        eprintln!("150,000 elements, final {}: {:?}", op.is_final, started.elapsed());
        found.sort_unstable();
        assert!(found == expected, "final {}: {} elements", op.is_final, found.len());
    }
}

#[tokio::test]
async fn a_write_that_too_few_replicas_confirm_is_in_doubt() {
    let Some(server) = redis(&[]).await else { return };
    let redis = connect(&server, Some(Wait { replicas: 1, timeout_ms: 20 }));
    let mut client = open(&redis).await;
    let alone = client.invoke(&add(1)).await;
    assert_eq!((alone.kind, alone.class()), (EventType::Info, WAIT_SHORT));
    assert_eq!(client.invoke(&write(1, 1)).await.class(), WAIT_SHORT);
    let mismatch = client.invoke(&cas(1, 9, 2)).await;
    assert_eq!((mismatch.kind, mismatch.class()), (EventType::Fail, CAS_MISMATCH), "WAIT changes no definite failure");
    assert_eq!(client.invoke(&cas(1, 1, 2)).await.class(), WAIT_SHORT);
    assert_eq!(client.invoke(&read(1)).await.value, Some(Value::Pair(1, 2)), "the replies are still in step");

    let primary = server.port.to_string();
    let Some(replica) = support::server::redis(&[("replicaof", &format!("127.0.0.1 {primary}"))]).await else { return };
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.invoke(&add(2)).await.kind != EventType::Ok {
        assert!(Instant::now() < deadline, "the replica never confirmed");
    }
    drop(replica);
}

#[tokio::test]
async fn a_server_that_dies_leaves_no_lie_behind() {
    let Some(mut server) = redis(&[]).await else { return };
    let redis = connect(&server, None);
    let (mut idle, mut writing, mut reading) = (open(&redis).await, open(&redis).await, open(&redis).await);
    server.signal("STOP");
    let in_flight = tokio::spawn(async move { (writing.invoke(&add(1)).await, writing.is_broken()) });
    let read_in_flight = tokio::spawn(async move { reading.invoke(&read(1)).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.kill();
    let (completion, broken) = in_flight.await.unwrap();
    assert_eq!((completion.kind, completion.class()), (EventType::Info, CONNECTION_LOST));
    assert!(broken);
    let completion = read_in_flight.await.unwrap();
    assert_eq!((completion.kind, completion.class()), (EventType::Fail, CONNECTION_LOST));
    // The end of an idle connection is noticed before anything is sent.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let completion = idle.invoke(&add(2)).await;
    assert_eq!((completion.kind, completion.class()), (EventType::Fail, CONNECTION_LOST));
    assert!(idle.is_broken());
    assert_eq!(idle.invoke(&add(3)).await.kind, EventType::Fail, "and for good");
    let refused = redis.open(0, "n1").await.err().unwrap();
    assert_eq!(&*refused.class, CONNECT);
}

fn admin(server: &Server) -> ::redis::Connection {
    let client = ::redis::Client::open(format!("redis://127.0.0.1:{}", server.port)).unwrap();
    client.get_connection().unwrap()
}
