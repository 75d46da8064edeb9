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
        redis::{LockOptions, Options, Redis, WAIT_SHORT, Wait},
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

const LEASE_MS: u32 = 300;

fn locking(server: &Server, is_fenced: bool, wait: Option<Wait>) -> Redis {
    let lock = LockOptions { lease_ms: LEASE_MS, is_fenced };
    Redis::new(Arc::new(Local), Options { port: server.port, wait, lock })
}

fn lock_op(f: &str) -> Op {
    Op::new(0, F::from_name(f), Value::Nil)
}

/// How it ended: `ok`, the value of the answer, or the class of the error.
async fn ask(client: &mut Box<dyn Client>, op: Op) -> String {
    let done = client.invoke(&op).await;
    match (done.kind, &done.value) {
        (EventType::Ok, Some(value)) => value.to_json().to_string(),
        (EventType::Ok, None) => "ok".to_owned(),
        (kind, _) => format!("{} {}", kind.name(), done.class()),
    }
}

async fn leases(count: u32) {
    tokio::time::sleep(Duration::from_millis(u64::from(LEASE_MS * count))).await;
}

fn token(number: i64) -> Op {
    Op::new(0, F::Write, Value::Int(number))
}

#[tokio::test]
async fn a_lock_is_renewed_while_it_is_held_and_only_then() {
    let Some(server) = redis(&[]).await else { return };
    let redis = locking(&server, false, None);
    let (mut one, mut two) = (redis.open(1, "n1").await.unwrap(), redis.open(2, "n1").await.unwrap());
    assert_eq!(ask(&mut one, lock_op("release")).await, "fail unsupported", "it holds none");
    assert_eq!(ask(&mut one, lock_op("acquire")).await, "ok");
    for _ in 0..4 {
        leases(1).await;
        assert_eq!(ask(&mut two, lock_op("acquire")).await, "fail lock-taken");
    }
    // Another connection of the same client is the same holder.
    drop(one);
    leases(2).await;
    let mut one = redis.open(1, "n1").await.unwrap();
    assert_eq!(ask(&mut two, lock_op("acquire")).await, "fail lock-taken");
    assert_eq!(ask(&mut one, lock_op("release")).await, "ok");
    assert_eq!(ask(&mut two, lock_op("acquire")).await, "ok");
    assert_eq!(ask(&mut one, lock_op("acquire")).await, "fail lock-taken");

    // Somebody takes it away: the holder does not notice before it releases, and releases nobody else's.
    let mut admin = admin(&server);
    ::redis::cmd("SET").arg("schism:lock").arg("another").exec(&mut admin).unwrap();
    leases(2).await;
    assert_eq!(ask(&mut two, lock_op("release")).await, "\"not-holder\"");
    let kept: String = ::redis::cmd("GET").arg("schism:lock").query(&mut admin).unwrap();
    assert_eq!(kept, "another");
    ::redis::cmd("DEL").arg("schism:lock").exec(&mut admin).unwrap();

    // Who tries to get it does not hold it any more: nothing renews what it held.
    assert_eq!(ask(&mut one, lock_op("acquire")).await, "ok");
    assert_eq!(ask(&mut one, lock_op("acquire")).await, "fail lock-taken");
    leases(2).await;
    assert_eq!(ask(&mut two, lock_op("acquire")).await, "ok");
    // Nor does anything when the connector is gone.
    drop((one, two, redis));
    leases(2).await;
    let left: Option<String> = ::redis::cmd("GET").arg("schism:lock").query(&mut admin).unwrap();
    assert_eq!(left, None);
}

#[tokio::test]
async fn a_fenced_lock_gives_tokens_that_grow_and_refuses_old_ones() {
    let Some(server) = redis(&[]).await else { return };
    let redis = locking(&server, true, None);
    let (mut one, mut two) = (redis.open(1, "n1").await.unwrap(), redis.open(2, "n1").await.unwrap());
    assert_eq!(ask(&mut one, lock_op("acquire")).await, "1");
    assert_eq!(ask(&mut two, lock_op("acquire")).await, "fail lock-taken");
    assert_eq!(ask(&mut one, token(1)).await, "ok");
    leases(2).await;
    assert_eq!(ask(&mut two, lock_op("acquire")).await, "fail lock-taken", "a write keeps the watchdog");
    assert_eq!(ask(&mut one, lock_op("release")).await, "ok");
    assert_eq!(ask(&mut two, lock_op("acquire")).await, "2");
    assert_eq!(ask(&mut one, token(1)).await, "ok", "nobody wrote with a newer one yet");
    assert_eq!(ask(&mut two, token(2)).await, "ok");
    assert_eq!(ask(&mut one, token(1)).await, "fail stale-token");
    assert_eq!(ask(&mut two, token(2)).await, "ok");
    // As numbers, not as texts.
    assert_eq!(ask(&mut two, token(10)).await, "ok");
    assert_eq!(ask(&mut two, token(9)).await, "fail stale-token");
}

/// The pause of a server that outlasts the lease: its clock goes on.
#[tokio::test]
async fn a_lease_runs_out_while_the_server_stands_still() {
    let Some(server) = redis(&[]).await else { return };
    let redis = locking(&server, false, None);
    let (mut one, mut two) = (redis.open(1, "n1").await.unwrap(), redis.open(2, "n1").await.unwrap());
    assert_eq!(ask(&mut one, lock_op("acquire")).await, "ok");
    server.signal("STOP");
    leases(3).await;
    server.signal("CONT");
    assert_eq!(ask(&mut two, lock_op("acquire")).await, "ok", "and now two hold it");
    assert_eq!(ask(&mut one, lock_op("release")).await, "\"not-holder\"");
}

#[tokio::test]
async fn what_fails_leaves_the_lock_held_and_renewed() {
    let Some(server) = redis(&[]).await else { return };
    let mut admin = admin(&server);
    let mut set = |setting: &str, value: &str| {
        ::redis::cmd("CONFIG").arg("SET").arg(setting).arg(value).exec(&mut admin).unwrap();
    };
    for is_fenced in [false, true] {
        let redis = locking(&server, is_fenced, None);
        let (mut one, mut two) = (redis.open(1, "n1").await.unwrap(), redis.open(2, "n1").await.unwrap());
        set("min-replicas-to-write", "1");
        assert_eq!(ask(&mut one, lock_op("acquire")).await, "fail NOREPLICAS");
        set("min-replicas-to-write", "0");
        set("maxmemory", "1");
        assert_eq!(ask(&mut one, lock_op("acquire")).await, "fail OOM");
        set("maxmemory", "0");
        let granted = ask(&mut one, lock_op("acquire")).await;
        assert_eq!(granted, if is_fenced { "1" } else { "ok" }, "a refused script gave no token");
        set("min-replicas-to-write", "1");
        assert_eq!(ask(&mut one, lock_op("release")).await, "fail NOREPLICAS");
        assert_eq!(ask(&mut one, token(1)).await, "fail NOREPLICAS");
        set("min-replicas-to-write", "0");
        leases(2).await;
        assert_eq!(ask(&mut two, lock_op("acquire")).await, "fail lock-taken");
        assert_eq!(ask(&mut one, lock_op("release")).await, "ok");
    }
}

#[tokio::test]
async fn a_lock_that_too_few_replicas_confirm_is_in_doubt_and_ends_with_its_lease() {
    let Some(server) = redis(&[]).await else { return };
    for is_fenced in [false, true] {
        let alone = locking(&server, is_fenced, Some(Wait { replicas: 1, timeout_ms: 20 }));
        let mut one = alone.open(1, "n1").await.unwrap();
        assert_eq!(ask(&mut one, lock_op("acquire")).await, "info wait-short");
        assert_eq!(ask(&mut one, lock_op("acquire")).await, "fail lock-taken", "the replies are still in step");
        leases(2).await;
        let surely = locking(&server, is_fenced, None);
        let mut two = surely.open(2, "n1").await.unwrap();
        let granted = ask(&mut two, lock_op("acquire")).await;
        assert_eq!(granted, if is_fenced { "2" } else { "ok" });
        assert_eq!(ask(&mut two, lock_op("release")).await, "ok");
    }
}
