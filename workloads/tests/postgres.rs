//! The PostgreSQL client against a real server.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use schism_checker::history::{EventType, F, Mop, Value};
use schism_workloads::{
    Op,
    client::{
        CAS_MISMATCH, CONNECTION_LOST, Client, Connect, UNSUPPORTED,
        postgres::{Isolation, Options, PROMOTED, Postgres, Tables},
    },
};
use support::{
    Done, final_lists, final_set, mops, plan, run,
    server::{Local, Server, postgres, postgres_replica},
    workload,
};

fn options(server: &Server, isolation: Isolation) -> Options {
    Options { port: server.port, isolation, ..Options::default() }
}

fn connect(server: &Server, tables: Tables, isolation: Isolation) -> Postgres {
    Postgres::new(Arc::new(Local), tables, options(server, isolation))
}

async fn open(postgres: &Postgres) -> Box<dyn Client> {
    postgres.open(0, "n1").await.unwrap()
}

fn txn(mops: Vec<Mop>) -> Op {
    Op::new(0, F::Txn, Value::Txn(Box::new(mops)))
}

const fn append(key: i64, element: i64) -> Mop {
    Mop::Append { key, element }
}

const fn read(key: i64) -> Mop {
    Mop::Read { key, list: None }
}

fn read_as(key: i64, list: &[i64]) -> Mop {
    Mop::Read { key, list: Some(list.to_vec()) }
}

#[tokio::test]
async fn round_trips() {
    let Some(mut server) = postgres(&[]).await else { return };
    set(&server).await;
    register(&server).await;
    list_append(&server).await;
    dies(&mut server).await;
}

async fn set(server: &Server) {
    let postgres = Arc::new(connect(server, Tables::Set, Isolation::Serializable));
    let history = run(postgres.clone(), &*workload("set"), &plan(8, 1), &["n1"], 1_000).await;
    assert!(history.iter().all(Done::is_ok));
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
    // A second run begins with nothing.
    postgres.setup("n1").await.unwrap();
    let all = open(&postgres).await.invoke(&Op::new(0, F::Read, Value::Nil)).await;
    assert_eq!(all.value, Some(Value::Ints(Box::default())));
    let other = open(&postgres).await.invoke(&txn(vec![read(1)])).await;
    assert_eq!(other.class(), UNSUPPORTED);
}

async fn register(server: &Server) {
    for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead, Isolation::Serializable] {
        let postgres = connect(server, Tables::Register, isolation);
        postgres.setup("n1").await.unwrap();
        let mut client = open(&postgres).await;
        let read = Op::new(0, F::Read, Value::List(Box::new(vec![Value::Int(1), Value::Nil])));
        let write = Op::new(0, F::Write, Value::Pair(1, 4));
        let cas = |old, new| Op::new(0, F::Cas, Value::KeyedPair(Box::new((1, old, new))));
        assert_eq!(client.invoke(&read).await.value, Some(read.value.clone()));
        assert_eq!(client.invoke(&cas(4, 5)).await.class(), CAS_MISMATCH);
        assert_eq!(client.invoke(&write).await.kind, EventType::Ok);
        assert_eq!(client.invoke(&read).await.value, Some(Value::Pair(1, 4)));
        assert_eq!(client.invoke(&cas(4, -5)).await.kind, EventType::Ok);
        let mismatch = client.invoke(&cas(4, 6)).await;
        assert_eq!((mismatch.kind, mismatch.class()), (EventType::Fail, CAS_MISMATCH));
        assert_eq!(client.invoke(&read).await.value, Some(Value::Pair(1, -5)));
    }
}

async fn list_append(server: &Server) {
    let postgres = Arc::new(connect(server, Tables::ListAppend, Isolation::Serializable));
    postgres.setup("n1").await.unwrap();
    let mut client = open(&postgres).await;
    let first = client.invoke(&txn(vec![read(1), append(1, 10), append(1, 11), read(1), append(2, 12)])).await;
    let expected = vec![read(1), append(1, 10), append(1, 11), read_as(1, &[10, 11]), append(2, 12)];
    assert_eq!(first.value, Some(Value::Txn(Box::new(expected))));
    let second = client.invoke(&txn(vec![read(2), read(3)])).await;
    assert_eq!(second.value, Some(Value::Txn(Box::new(vec![read_as(2, &[12]), read(3)]))));

    let started = Instant::now();
    let history = run(postgres, &*workload("list-append"), &plan(8, 1), &["n1"], 2_000).await;
    eprintln!("2,000 serializable transactions by 8 clients: {:?}", started.elapsed());
    let last = final_lists(&history, "n1");
    let mut classes: BTreeMap<String, u32> = BTreeMap::new();
    let mut expected = BTreeSet::new();
    for done in history.iter().filter(|done| done.slot < 8) {
        *classes.entry(done.completion.class().to_owned()).or_default() += 1;
        assert!(done.is_ok() || done.is_fail(), "{done:?}");
        for mop in mops(done.value()) {
            let Mop::Append { key, element } = mop else { continue };
            if done.is_ok() {
                assert!(expected.insert((key, element)));
            }
        }
    }
    eprintln!("by class: {classes:?}");
    let kept: Vec<(i64, i64)> =
        last.iter().flat_map(|(key, list)| list.iter().map(move |element| (*key, *element))).collect();
    assert_eq!(kept.len(), expected.len(), "once each");
    assert!(kept.into_iter().all(|element| expected.contains(&element)), "nothing of a failed transaction");
}

async fn dies(server: &mut Server) {
    let postgres = connect(server, Tables::Set, Isolation::Serializable);
    let (mut idle, mut writing, mut reading) = (open(&postgres).await, open(&postgres).await, open(&postgres).await);
    // Backends are stopped while the operations wait, so that nobody answers.
    let backends: Vec<String> = backends(server).await.iter().map(i32::to_string).collect();
    let kill = |signal: &str| {
        let status = std::process::Command::new("kill").arg(format!("-{signal}")).args(&backends).status().unwrap();
        assert!(status.success());
    };
    kill("STOP");
    let add = Op::new(0, F::Add, Value::Int(-1));
    let read = Op::new(0, F::Read, Value::Nil);
    let in_flight = tokio::spawn(async move { writing.invoke(&add).await });
    let read_in_flight = tokio::spawn(async move { reading.invoke(&read).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.kill();
    kill("KILL");
    let completion = in_flight.await.unwrap();
    assert_eq!((completion.kind, completion.class()), (EventType::Info, CONNECTION_LOST));
    let completion = read_in_flight.await.unwrap();
    assert_eq!((completion.kind, completion.class()), (EventType::Fail, CONNECTION_LOST));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let completion = idle.invoke(&Op::new(0, F::Add, Value::Int(-2))).await;
    assert_eq!((completion.kind, completion.class()), (EventType::Fail, CONNECTION_LOST));
    assert!(idle.is_broken());
    assert!(postgres.open(0, "n1").await.is_err());
}

async fn admin(server: &Server) -> tokio_postgres::Client {
    let config = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", server.port);
    let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Process ids of our clients' backends.
async fn backends(server: &Server) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'schism-0'";
    admin(server).await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn replicas_serve_reads_until_they_are_promoted() {
    let Some(primary) = postgres(&[]).await else { return };
    let on_primary = connect(&primary, Tables::ListAppend, Isolation::Serializable);
    on_primary.setup("n1").await.unwrap();
    let mut writer = open(&on_primary).await;
    assert_eq!(writer.invoke(&txn(vec![append(1, 1)])).await.kind, EventType::Ok);
    let replica = postgres_replica(&primary, &[]).await;
    let on_replica = connect(&replica, Tables::ListAppend, Isolation::Serializable);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut reader = loop {
        match on_replica.open(0, "n2").await {
            Ok(client) => break client,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let read_one = txn(vec![read(1)]);
    assert_eq!(reader.invoke(&read_one).await.value, Some(Value::Txn(Box::new(vec![read_as(1, &[1])]))));
    let written = reader.invoke(&txn(vec![append(1, 2)])).await;
    assert_eq!(written.kind, EventType::Fail, "{written:?}");
    // Without the replica's own isolation, SERIALIZABLE is refused there.
    let strict = Options { read_only_on_replicas: false, ..options(&replica, Isolation::Serializable) };
    let refused = Postgres::new(Arc::new(Local), Tables::ListAppend, strict).open(0, "n2").await;
    assert_eq!(&*refused.err().unwrap().class, "0A000");
    let weak = Options { read_only_on_replicas: false, ..options(&replica, Isolation::RepeatableRead) };
    let mut weak = Postgres::new(Arc::new(Local), Tables::ListAppend, weak).open(0, "n2").await.unwrap();
    assert_eq!(weak.invoke(&read_one).await.kind, EventType::Ok);
    let written = weak.invoke(&txn(vec![append(1, 3)])).await;
    assert_eq!((written.kind, written.class()), (EventType::Fail, "25006"));
    // A connection of a replica is not used on a primary.
    admin(&replica).await.execute("SELECT pg_promote()", &[]).await.unwrap();
    let promoted = reader.invoke(&read_one).await;
    assert_eq!((promoted.kind, promoted.class()), (EventType::Fail, PROMOTED), "{promoted:?}");
    assert!(reader.is_broken());
    let mut fresh = open(&on_replica).await;
    assert_eq!(
        fresh.invoke(&txn(vec![append(1, 4), read(1)])).await.value.map(|value| mops(&value)),
        Some(vec![append(1, 4), read_as(1, &[1, 4])])
    );
}
