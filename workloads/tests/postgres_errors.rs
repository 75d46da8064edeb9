//! The error table of PostgreSQL against a real server: each row that can be provoked is, and what the table says is
//! compared with what the server kept.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

mod support;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use schism_checker::history::{EventType, F, Mop, Value};
use schism_workloads::{
    Op,
    client::{
        CONNECTION_LOST, Client, Completion, Connect,
        postgres::{Isolation, Options, Postgres, Tables},
        postgres_errors::table,
    },
};
use support::server::{Local, Server, postgres};

fn connect(server: &Server, tables: Tables) -> Postgres {
    let options = Options { port: server.port, isolation: Isolation::Serializable, ..Options::default() };
    Postgres::new(Arc::new(Local), tables, options)
}

async fn open(postgres: &Postgres) -> Box<dyn Client> {
    postgres.open(0, "n1").await.unwrap()
}

async fn refusal(postgres: &Postgres) -> String {
    postgres.open(0, "n1").await.err().expect("a connection was opened").class.to_string()
}

async fn admin(server: &Server, database: &str) -> tokio_postgres::Client {
    let config = format!("host=127.0.0.1 port={} user=postgres dbname={database}", server.port);
    let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn add(element: i64) -> Op {
    Op::new(0, F::Add, Value::Int(element))
}

fn txn(mops: &[Mop]) -> Op {
    Op::new(0, F::Txn, Value::Txn(Box::new(mops.to_vec())))
}

const fn append(key: i64, element: i64) -> Mop {
    Mop::Append { key, element }
}

fn assert_ends(completion: &Completion, kind: EventType, class: &str) {
    assert_eq!((completion.kind, completion.class()), (kind, class), "{completion:?}");
}

/// Whether the element is in the set.
async fn has(admin: &tokio_postgres::Client, element: i64) -> bool {
    let sql = "SELECT count(*) FROM schism_set WHERE element = $1";
    admin.query_one(sql, &[&element]).await.unwrap().get::<_, i64>(0) > 0
}

/// A list as text.
async fn list(admin: &tokio_postgres::Client, key: i64) -> Option<String> {
    let row = admin.query_opt("SELECT v FROM schism_list WHERE k = $1", &[&key]).await.unwrap();
    row.map(|row| row.get(0))
}

/// Starts an operation and waits until its backend waits for something.
async fn in_flight(
    admin: &tokio_postgres::Client,
    mut client: Box<dyn Client>,
    op: Op,
) -> tokio::task::JoinHandle<(Completion, Box<dyn Client>)> {
    let task = tokio::spawn(async move { (client.invoke(&op).await, client) });
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'schism-0' AND state = 'active' \
               AND (wait_event_type = 'Lock' OR wait_event = 'SyncRep')";
    for _ in 0..500 {
        if admin.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            return task;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the operation waits for nothing");
}

async fn signal_backends(admin: &tokio_postgres::Client, function: &str) {
    let sql = format!("SELECT {function}(pid) FROM pg_stat_activity WHERE application_name = 'schism-0'");
    admin.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn errors_of_one_server() {
    let Some(server) = postgres(&[("deadlock_timeout", "50ms")]).await else { return };
    let admin = admin(&server, "postgres").await;
    no_table(&server).await;
    let set = connect(&server, Tables::Set);
    let lists = connect(&server, Tables::ListAppend);
    set.setup("n1").await.unwrap();
    lists.setup("n1").await.unwrap();
    unique_violation(&set, &admin).await;
    read_only(&set, &admin).await;
    serialization_failure(&server, &lists, &admin).await;
    deadlock(&server, &lists, &admin).await;
    lock_timeout_and_cancel(&server, &lists, &admin).await;
    terminated_before_commit(&server, &lists, &admin).await;
    terminated_while_idle(&set, &admin).await;
    autocommit_in_doubt(&server, &set, &admin).await;
    synchronous_replication(&set, &lists, &admin).await;
    table_dropped(&lists, &admin).await;
}

async fn no_table(server: &Server) {
    assert_eq!(refusal(&connect(server, Tables::Set)).await, "42P01");
}

async fn unique_violation(set: &Postgres, admin: &tokio_postgres::Client) {
    let mut client = open(set).await;
    assert_eq!(client.invoke(&add(1)).await.kind, EventType::Ok);
    assert_ends(&client.invoke(&add(1)).await, EventType::Fail, "23505");
    assert!(has(admin, 1).await, "from the first time");
}

async fn read_only(set: &Postgres, admin: &tokio_postgres::Client) {
    admin.batch_execute("ALTER DATABASE postgres SET default_transaction_read_only = on").await.unwrap();
    assert_ends(&open(set).await.invoke(&add(2)).await, EventType::Fail, "25006");
    admin.batch_execute("ALTER DATABASE postgres RESET default_transaction_read_only").await.unwrap();
    assert!(!has(admin, 2).await);
}

/// A transaction of ours waits for a row that another one has changed, and may not overwrite it.
async fn serialization_failure(server: &Server, lists: &Postgres, admin: &tokio_postgres::Client) {
    let other = self::admin(server, "postgres").await;
    other.batch_execute("BEGIN; INSERT INTO schism_list VALUES (10, '1')").await.unwrap();
    let task = in_flight(admin, open(lists).await, txn(&[Mop::Read { key: 10, list: None }, append(10, 2)])).await;
    other.batch_execute("COMMIT").await.unwrap();
    let (completion, mut client) = task.await.unwrap();
    assert_ends(&completion, EventType::Fail, "40001");
    assert_eq!(list(admin, 10).await.as_deref(), Some("1"));
    // The connection is fit for the next one.
    assert_eq!(client.invoke(&txn(&[append(10, 3)])).await.kind, EventType::Ok);
    assert_eq!(list(admin, 10).await.as_deref(), Some("1,3"));
}

async fn deadlock(server: &Server, lists: &Postgres, admin: &tokio_postgres::Client) {
    let other = self::admin(server, "postgres").await;
    other
        .batch_execute("SET deadlock_timeout = '1min'; BEGIN; INSERT INTO schism_list VALUES (22, '1')")
        .await
        .unwrap();
    let task = in_flight(admin, open(lists).await, txn(&[append(21, 2), append(22, 2)])).await;
    // Waits for our row, while we wait for this one: ours finds out first and is the victim.
    other.batch_execute("INSERT INTO schism_list VALUES (21, '1'); COMMIT").await.unwrap();
    let (completion, _) = task.await.unwrap();
    assert_ends(&completion, EventType::Fail, "40P01");
    assert_eq!(list(admin, 21).await.as_deref(), Some("1"));
}

async fn lock_timeout_and_cancel(server: &Server, lists: &Postgres, admin: &tokio_postgres::Client) {
    let other = self::admin(server, "postgres").await;
    other.batch_execute("BEGIN; INSERT INTO schism_list VALUES (30, '1')").await.unwrap();
    admin.batch_execute("ALTER DATABASE postgres SET lock_timeout = '50ms'").await.unwrap();
    let mut client = open(lists).await;
    assert_ends(&client.invoke(&txn(&[append(31, 2), append(30, 2)])).await, EventType::Fail, "55P03");
    admin.batch_execute("ALTER DATABASE postgres RESET lock_timeout").await.unwrap();
    let task = in_flight(admin, open(lists).await, txn(&[append(31, 2), append(30, 2)])).await;
    signal_backends(admin, "pg_cancel_backend").await;
    let (completion, _) = task.await.unwrap();
    assert_ends(&completion, EventType::Fail, "57014");
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(list(admin, 31).await, None);
}

async fn terminated_before_commit(server: &Server, lists: &Postgres, admin: &tokio_postgres::Client) {
    let other = self::admin(server, "postgres").await;
    other.batch_execute("BEGIN; INSERT INTO schism_list VALUES (40, '1')").await.unwrap();
    let task = in_flight(admin, open(lists).await, txn(&[append(41, 2), append(40, 2)])).await;
    signal_backends(admin, "pg_terminate_backend").await;
    let (completion, client) = task.await.unwrap();
    assert_ends(&completion, EventType::Fail, "57P01");
    assert!(client.is_broken());
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(list(admin, 41).await, None);
}

async fn terminated_while_idle(set: &Postgres, admin: &tokio_postgres::Client) {
    let mut client = open(set).await;
    signal_backends(admin, "pg_terminate_backend").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let completion = client.invoke(&add(50)).await;
    assert_ends(&completion, EventType::Fail, CONNECTION_LOST);
    assert!(client.is_broken());
    assert!(!has(admin, 50).await);
}

/// An autocommit statement whose backend is told to end: the last word comes while it waits for a lock, and the
/// statement is undone, but that is more than the client can know.
async fn autocommit_in_doubt(server: &Server, set: &Postgres, admin: &tokio_postgres::Client) {
    let other = self::admin(server, "postgres").await;
    other.batch_execute("BEGIN; INSERT INTO schism_set VALUES (60)").await.unwrap();
    let task = in_flight(admin, open(set).await, add(60)).await;
    signal_backends(admin, "pg_terminate_backend").await;
    let (completion, _) = task.await.unwrap();
    assert_ends(&completion, EventType::Info, "57P01");
    other.batch_execute("ROLLBACK").await.unwrap();
    assert!(!has(admin, 60).await);
}

/// Commits that wait for a synchronous replica that does not exist. They are done here, and that is all.
async fn synchronous_replication(set: &Postgres, lists: &Postgres, admin: &tokio_postgres::Client) {
    let names = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'";
    let (set_client, list_client) = (open(set).await, open(lists).await);
    admin.batch_execute("SET synchronous_commit = local").await.unwrap();
    admin.batch_execute(names).await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;

    let task = in_flight(admin, set_client, add(70)).await;
    signal_backends(admin, "pg_cancel_backend").await;
    let (completion, client) = task.await.unwrap();
    assert_ends(&completion, EventType::Info, "01000");
    assert!(has(admin, 70).await, "it is there, on this node");
    // The warning belongs to one operation only.
    let read = Op::new(0, F::Read, Value::Nil);
    let mut client = client;
    assert_eq!(client.invoke(&read).await.kind, EventType::Ok);

    let task = in_flight(admin, list_client, txn(&[append(70, 1)])).await;
    signal_backends(admin, "pg_cancel_backend").await;
    let (completion, client) = task.await.unwrap();
    assert_ends(&completion, EventType::Info, "01000");
    assert_eq!(list(admin, 70).await.as_deref(), Some("1"));

    let task = in_flight(admin, client, txn(&[append(71, 1)])).await;
    signal_backends(admin, "pg_terminate_backend").await;
    let (completion, _) = task.await.unwrap();
    assert_eq!(completion.kind, EventType::Info, "{completion:?}");
    assert_eq!(list(admin, 71).await.as_deref(), Some("1"));
    admin.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
}

async fn table_dropped(lists: &Postgres, admin: &tokio_postgres::Client) {
    let mut client = open(lists).await;
    admin.batch_execute("DROP TABLE schism_list").await.unwrap();
    assert_ends(&client.invoke(&txn(&[append(1, 1)])).await, EventType::Fail, "42P01");
}

#[tokio::test]
async fn connections_that_are_refused() {
    let settings = [("max_connections", "5"), ("superuser_reserved_connections", "0"), ("max_wal_senders", "0")];
    let Some(server) = postgres(&settings).await else { return };
    let set = connect(&server, Tables::Set);
    set.setup("n1").await.unwrap();
    let mut open_ones = Vec::new();
    let refused = loop {
        match set.open(0, "n1").await {
            Ok(client) => open_ones.push(client),
            Err(error) => break error,
        }
        assert!(open_ones.len() <= 5);
    };
    assert_eq!(&*refused.class, "53300");
    drop(open_ones);
    tokio::time::sleep(Duration::from_millis(300)).await;

    let maintenance = admin(&server, "template1").await;
    maintenance.batch_execute("DROP DATABASE postgres WITH (FORCE)").await.unwrap();
    assert_eq!(refusal(&set).await, "3D000");

    let hba = server.dir.0.join("data/pg_hba.conf");
    std::fs::write(hba, "host template1 all 127.0.0.1/32 trust\n").unwrap();
    maintenance.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(refusal(&set).await, "28000");

    // A smart shutdown waits for `maintenance`, and lets nobody else in.
    server.signal("TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(refusal(&set).await, "57P03");
}

#[test]
fn every_row_says_why_and_none_is_there_twice() {
    let mut seen = BTreeSet::new();
    for row in table() {
        assert!(!row.why.is_empty());
        for phase in row.phases {
            assert!(seen.insert((row.code, phase.name())), "{} {}", row.code, phase.name());
        }
    }
}
