//! The error table of Redis against a real server: each row that can be provoked is, and what the table says is
//! compared with what the server kept.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use schism_checker::history::{EventType, F, Value};
use schism_workloads::{
    Op,
    client::{
        Client, Completion, Connect,
        redis::{Options, Redis, Wait},
        redis_errors::table,
    },
};
use support::server::{Local, Server, redis};

const ELEMENT: i64 = 77;

fn add() -> Op {
    Op::new(0, F::Add, Value::Int(ELEMENT))
}

fn connect(server: &Server) -> Redis {
    Redis::new(Arc::new(Local), Options { port: server.port, ..Options::default() })
}

async fn open(server: &Server) -> Box<dyn Client> {
    connect(server).open(0, "n1").await.unwrap()
}

/// The class of the error with which a new connection is refused.
async fn refusal(server: &Server) -> String {
    connect(server).open(0, "n1").await.err().expect("a connection was opened").class.to_string()
}

fn admin(server: &Server) -> ::redis::Connection {
    ::redis::Client::open(format!("redis://127.0.0.1:{}", server.port)).unwrap().get_connection().unwrap()
}

fn run(admin: &mut ::redis::Connection, command: &str) -> ::redis::RedisResult<::redis::Value> {
    let mut words = command.split(' ');
    let mut built = ::redis::cmd(words.next().unwrap());
    for word in words {
        built.arg(word);
    }
    built.query(admin)
}

fn has(admin: &mut ::redis::Connection) -> bool {
    ::redis::cmd("SISMEMBER").arg("schism:set").arg(ELEMENT).query(admin).unwrap()
}

/// An operation that must have failed with this class.
fn assert_fail(completion: &Completion, class: &str) {
    assert_eq!((completion.kind, completion.class()), (EventType::Fail, class), "{completion:?}");
}

#[tokio::test]
async fn refusals_of_one_server() {
    let Some(server) = redis(&[]).await else { return };
    let mut admin = admin(&server);
    let mut client = open(&server).await;
    // Each: what brings it about, its class, what ends it.
    let cases = [
        ("CONFIG SET min-replicas-to-write 1", "NOREPLICAS", "CONFIG SET min-replicas-to-write 0"),
        ("CONFIG SET maxmemory 1", "OOM", "CONFIG SET maxmemory 0"),
        ("LPUSH schism:set 1", "WRONGTYPE", "DEL schism:set"),
        ("ACL SETUSER default -sadd", "NOPERM", "ACL SETUSER default +sadd"),
        ("REPLICAOF 127.0.0.1 1", "READONLY", "REPLICAOF NO ONE"),
    ];
    for (provoke, class, end) in cases {
        run(&mut admin, provoke).unwrap();
        assert_fail(&client.invoke(&add()).await, class);
        run(&mut admin, end).unwrap();
        assert!(!has(&mut admin), "{class}: the element is there");
    }
    // The script of a compare-and-set is refused by the same rules at its write.
    run(&mut admin, "SET schism:register:1 4").unwrap();
    let cas = Op::new(0, F::Cas, Value::KeyedPair(Box::new((1, 4, 5))));
    for (provoke, class, end) in [cases[0], cases[1], cases[4]] {
        run(&mut admin, provoke).unwrap();
        assert_fail(&client.invoke(&cas).await, class);
        run(&mut admin, end).unwrap();
        let kept: i64 = ::redis::cmd("GET").arg("schism:register:1").query(&mut admin).unwrap();
        assert_eq!(kept, 4, "{class}");
    }
    assert_eq!(client.invoke(&add()).await.kind, EventType::Ok, "and now nothing is in the way");
    assert!(has(&mut admin));
}

#[tokio::test]
async fn a_replica_without_its_primary() {
    let Some(server) = redis(&[("replica-serve-stale-data", "no")]).await else { return };
    let mut admin = admin(&server);
    let mut client = open(&server).await;
    run(&mut admin, "REPLICAOF 127.0.0.1 1").unwrap();
    assert_fail(&client.invoke(&Op::new(0, F::Read, Value::Nil)).await, "MASTERDOWN");
    assert_fail(&client.invoke(&add()).await, "READONLY");
    run(&mut admin, "REPLICAOF NO ONE").unwrap();
    assert!(!has(&mut admin));
}

#[tokio::test]
async fn connections_that_are_refused() {
    let Some(server) = redis(&[]).await else { return };
    let mut admin = admin(&server);
    run(&mut admin, "CONFIG SET maxclients 1").unwrap();
    assert_eq!(refusal(&server).await, "ERR");
    run(&mut admin, "CONFIG SET maxclients 100").unwrap();
    run(&mut admin, "CONFIG SET requirepass secret").unwrap();
    assert_eq!(refusal(&server).await, "NOAUTH");
}

#[tokio::test]
async fn a_command_that_is_not_there() {
    let Some(server) = redis(&[("rename-command", "SADD \"\"")]).await else { return };
    let completion = open(&server).await.invoke(&add()).await;
    assert_fail(&completion, "ERR");
}

#[tokio::test]
async fn a_disk_that_takes_no_snapshot() {
    let Some(server) = redis(&[("save", "3600 1")]).await else { return };
    let mut admin = admin(&server);
    let mut client = open(&server).await;
    fs::remove_dir_all(&server.dir.0).unwrap();
    run(&mut admin, "BGSAVE").unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let info: String = ::redis::cmd("INFO").arg("persistence").query(&mut admin).unwrap();
        if info.contains("rdb_last_bgsave_status:err") {
            break;
        }
        assert!(Instant::now() < deadline, "{info}");
        thread::sleep(Duration::from_millis(20));
    }
    assert_fail(&client.invoke(&add()).await, "MISCONF");
    assert!(!has(&mut admin));
    // Reads are served, and so are connections for them.
    let read = Op::new(0, F::Read, Value::Nil);
    assert_eq!(open(&server).await.invoke(&read).await.kind, EventType::Ok);
}

#[tokio::test]
async fn a_script_that_does_not_end() {
    let Some(server) = redis(&[("busy-reply-threshold", "10")]).await else { return };
    let mut client = open(&server).await;
    let mut spinning = admin(&server);
    let mut ending = admin(&server);
    let spin = thread::spawn(move || {
        let _killed = ::redis::cmd("EVAL").arg("while true do end").arg(0).exec(&mut spinning);
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_fail(&client.invoke(&add()).await, "BUSY");
    assert_eq!(refusal(&server).await, "BUSY");
    run(&mut ending, "SCRIPT KILL").unwrap();
    spin.join().unwrap();
    assert!(!has(&mut ending));
}

#[tokio::test]
async fn a_server_that_reads_its_data() {
    let delay = [("key-load-delay", "20000"), ("loading-process-events-interval-bytes", "1024")];
    let Some(first) = redis(&[("dbfilename", "dump.rdb")]).await else { return };
    let mut filling = admin(&first);
    for key in 0..300 {
        ::redis::cmd("SET").arg(format!("filler:{key}")).arg("x".repeat(100)).exec(&mut filling).unwrap();
    }
    run(&mut filling, "SAVE").unwrap();
    let dump = first.dir.0.to_string_lossy().into_owned();
    let settings = [delay[0], delay[1], ("dir", dump.as_str())];
    let Some(loading) = redis(&settings).await else { return };
    let mut client = open(&loading).await;
    assert_fail(&client.invoke(&add()).await, "LOADING");
    assert_fail(&client.invoke(&Op::new(0, F::Read, Value::Nil)).await, "LOADING");
}

#[tokio::test]
async fn a_cluster_without_slots() {
    let Some(server) = redis(&[("cluster-enabled", "yes")]).await else { return };
    let completion = open(&server).await.invoke(&add()).await;
    assert_fail(&completion, "CLUSTERDOWN");
}

#[tokio::test]
async fn a_primary_that_is_demoted_while_wait_waits() {
    let Some(server) = redis(&[]).await else { return };
    let mut admin = admin(&server);
    let wait = Some(Wait { replicas: 1, timeout_ms: 0 });
    let waiting = Redis::new(Arc::new(Local), Options { port: server.port, wait, ..Options::default() });
    let mut client = waiting.open(0, "n1").await.unwrap();
    let in_flight = tokio::spawn(async move { client.invoke(&add()).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    run(&mut admin, "REPLICAOF 127.0.0.1 1").unwrap();
    let completion = in_flight.await.unwrap();
    assert_eq!((completion.kind, completion.class()), (EventType::Info, "UNBLOCKED"), "{completion:?}");
    assert!(has(&mut admin), "it was done, which is why it is not a failure");
}

/// Errors that no operation of ours can bring about, by the words the server has for them.
#[tokio::test]
async fn the_words_of_other_errors() {
    let Some(server) = redis(&[]).await else { return };
    let mut admin = admin(&server);
    let says = |error: ::redis::RedisError| error.to_string();
    let wrong = [
        ("EVALSHA 0000000000000000000000000000000000000000 0", "NOSCRIPT"),
        ("AUTH nobody nothing", "WRONGPASS"),
        ("SADD schism:set", "wrong number of arguments"),
        ("INCRBY schism:register:1 x", "value is not an integer"),
        ("NOSUCHCOMMAND", "unknown command"),
    ];
    for (command, words) in wrong {
        let said = says(run(&mut admin, command).unwrap_err());
        assert!(said.to_lowercase().contains(&words.to_lowercase()), "{command}: {said}");
    }
    run(&mut admin, "MULTI").unwrap();
    run(&mut admin, "NOSUCHCOMMAND").unwrap_err();
    let said = says(run(&mut admin, "EXEC").unwrap_err());
    assert!(said.to_uppercase().contains("EXECABORT") || said.contains("discarded"), "{said}");
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
