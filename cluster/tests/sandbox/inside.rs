//! The scenarios, inside their sandbox. A failure is a panic.

#[path = "links.rs"]
pub(crate) mod links;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use schism_cluster::{
    ClaimedRole, ClockChange, Cluster, ClusterError, ClusterSpec, DiskKind, Gauge, NodeState, Probe, RecoveryGoal,
    SandboxInfo, Step, sandbox,
};
use tokio_postgres::NoTls;

const PROBE: Duration = Duration::from_millis(300);

pub(crate) fn run(name: &str, results: &str, run_id: &str) -> ExitCode {
    sandbox::prepare_inside().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (scenario, target) = name.split_once(':').unwrap_or((name, ""));
        let start = Start { results, run_id };
        match scenario {
            "exit-code" => return ExitCode::from(7),
            "signals" => {
                std::fs::write(Path::new(results).join("ready"), "").unwrap();
                tokio::time::sleep(Duration::from_secs(20)).await;
            }
            "basics" => basics(&start, target).await,
            "sentinel-failover" => sentinel_failover(&start).await,
            "postgres-lost-writes" => lost_writes(&start).await,
            "postgres-split-brain" => split_brain(&start).await,
            "postgres-base-backup" => base_backup(&start).await,
            "links" => links::rules(&start).await,
            "switch-speed" => links::speed(&start).await,
            "endings" => {
                let cluster = start.cluster(target, &[]).await.unwrap();
                crate::resources::endings(&cluster).await;
                cluster.shutdown().await.unwrap();
            }
            "resources" => {
                let cluster = start.cluster(target, &[]).await.unwrap();
                crate::resources::resources(&cluster).await;
                cluster.shutdown().await.unwrap();
            }
            "from-outside" => from_outside(&start).await,
            "bad-settings" => bad_settings(&start, target).await,
            "killed" => {
                let cluster = start.cluster("redis/sentinel", &[("sentinel-fast", "yes")]).await.unwrap();
                std::fs::write(Path::new(results).join("ready"), "").unwrap();
                tokio::time::sleep(Duration::from_secs(60)).await;
                drop(cluster);
            }
            other => panic!("no scenario {other}"),
        }
        ExitCode::SUCCESS
    })
}

pub(crate) fn step_from_outside(info: &str, step: &str) -> ExitCode {
    let info: SandboxInfo = serde_json::from_str(info).unwrap();
    serde_json::from_str::<Step>(step).unwrap().run(&info).unwrap();
    ExitCode::SUCCESS
}

pub(crate) struct Start<'a> {
    results: &'a str,
    run_id: &'a str,
}

impl Start<'_> {
    async fn cluster(&self, target: &str, settings: &[(&str, &str)]) -> Result<Cluster, ClusterError> {
        let target: schism_cluster::TargetName = target.parse().unwrap();
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let began = Instant::now();
        let cluster = Cluster::start(ClusterSpec {
            target,
            settings: settings.collect::<BTreeMap<_, _>>(),
            nodes_dir: Path::new(self.results).join("nodes"),
            run_id: self.run_id.to_owned(),
            disk: DiskKind::Memory,
            client_sites: target.nodes(),
            fuse: false,
        })
        .await;
        took(&format!("start {target}"), began);
        cluster
    }
}

fn took(what: &str, since: Instant) {
    println!("    {what}: {:.3} s", since.elapsed().as_secs_f64());
}

async fn step(cluster: &Cluster, step: Step) {
    let began = Instant::now();
    let name = format!("{step:?}");
    cluster.run(step).await.unwrap();
    took(name.split(' ').next().unwrap(), began);
}

/// Waits until the cluster has recovered.
async fn recover(cluster: &Cluster, limit_s: u64) {
    let began = Instant::now();
    loop {
        match cluster.recovered(RecoveryGoal::OnePrimary).await {
            Ok(()) => break,
            Err(missing) => assert!(began.elapsed().as_secs() < limit_s, "not recovered: {missing}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    took("recovered", began);
    cluster.recovered(RecoveryGoal::AllServing).await.unwrap();
}

async fn role(cluster: &Cluster, node: &str) -> ClaimedRole {
    let began = Instant::now();
    let claim = cluster.claim(node).await;
    assert!(began.elapsed() < Duration::from_millis(500), "a claim took {:?}", began.elapsed());
    claim.role
}

async fn basics(start: &Start<'_>, target: &str) {
    let cluster = start.cluster(target, &[]).await.unwrap();
    let nodes = cluster.node_names().to_vec();
    let info = cluster.info();
    let stored = serde_json::to_string(&info).unwrap();
    assert_eq!(serde_json::from_str::<SandboxInfo>(&stored).unwrap(), info);
    for (index, node) in nodes.iter().enumerate() {
        let expected = if index == 0 { ClaimedRole::Primary } else { ClaimedRole::Replica };
        assert_eq!(role(&cluster, node).await, expected, "{node}");
        assert!(matches!(cluster.node_state(node), NodeState::Running { .. }));
        for site in 0..nodes.len() as u32 {
            cluster.dial(site, node, cluster.client_port()).await.unwrap();
        }
        assert!(Path::new(start.results).join("nodes").join(node).join("versions.txt").exists());
    }
    assert!(cluster.dial(9, "n1", 1).await.is_err());
    cuts(&cluster, nodes.len()).await;
    let last = nodes.last().unwrap();
    freezing(&cluster, last).await;
    clocks(&cluster, last).await;
    killing(&cluster, last).await;
    recover(&cluster, 30).await;
    many_connections(&cluster).await;
    if nodes.len() == 1 || target.starts_with("redis") {
        assert!(!cluster.supports("failover"));
        assert!(matches!(cluster.failover(&[]).await, Err(ClusterError::Unsupported { .. })));
    }
    cluster.shutdown().await.unwrap();
    cluster.shutdown().await.unwrap();
    assert_eq!(cluster.node_state(last), NodeState::Dead);
}

async fn clocks(cluster: &Cluster, node: &str) {
    const HOUR_MS: f64 = 3_600_000.0;
    let server = |name: Option<&str>| Gauge::ClockOffset { node: node.to_owned(), process: name.map(str::to_owned) };
    let ahead_ms = async |name| cluster.measure(&server(name)).await.unwrap();
    let near = |found_ms: f64, wanted_ms: f64| assert!((found_ms - wanted_ms).abs() < 50.0, "{found_ms} {wanted_ms}");
    let set = |process: Option<&str>, offset_ms| Step::SetClock {
        node: node.to_owned(),
        process: process.map(str::to_owned),
        change: ClockChange::Skew { offset_ms },
    };
    near(ahead_ms(None).await, 0.0);
    // Twice, on a running node and on a frozen one, which stays frozen.
    step(cluster, set(None, 3_600_000)).await;
    near(ahead_ms(None).await, HOUR_MS);
    step(cluster, Step::Freeze { node: node.to_owned() }).await;
    step(cluster, set(None, -3_600_000)).await;
    assert_eq!(cluster.node_state(node), NodeState::Frozen);
    step(cluster, Step::Thaw { node: node.to_owned() }).await;
    near(ahead_ms(None).await, -HOUR_MS);
    assert!(!cluster.remains().await.unwrap().is_empty());
    // What is started anew has the true time until it is renewed.
    step(cluster, Step::Kill { node: node.to_owned() }).await;
    assert!(cluster.run(set(None, 1_000)).await.is_err(), "a dead node has no clock");
    step(cluster, Step::RenewClock { node: node.to_owned() }).await;
    step(cluster, Step::Start { node: node.to_owned() }).await;
    step(cluster, Step::RenewClock { node: node.to_owned() }).await;
    recover(cluster, 60).await;
    near(ahead_ms(None).await, -HOUR_MS);
    for _ in 0..2 {
        step(cluster, Step::ResetClock { node: node.to_owned() }).await;
    }
    near(ahead_ms(None).await, 0.0);
    assert_eq!(cluster.remains().await.unwrap(), [""; 0]);
    if cluster.info().nodes[0].processes.iter().any(|process| process.name == "sentinel") {
        step(cluster, set(Some("sentinel"), 3_600_000)).await;
        near(ahead_ms(Some("sentinel")).await, HOUR_MS);
        near(ahead_ms(Some("redis")).await, 0.0);
        step(cluster, Step::ResetClock { node: node.to_owned() }).await;
        near(ahead_ms(Some("sentinel")).await, 0.0);
    }
    let unknown = cluster.run(set(Some("mysqld"), 1_000)).await.unwrap_err().to_string();
    assert!(unknown.contains("it has no process \"mysqld\", but "), "{unknown}");
    recover(cluster, 60).await;
}

async fn cuts(cluster: &Cluster, nodes: usize) {
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let both = [("c1", "n1"), ("n1", "c1")];
    assert_eq!(cluster.probe("c1", "n1", PROBE).await, Probe::Reached);
    step(cluster, Step::Cut { pairs: pairs(&both) }).await;
    step(cluster, Step::Cut { pairs: pairs(&both) }).await;
    let silent = async |from, to| assert_eq!(cluster.probe(from, to, PROBE).await, Probe::Silent, "{from} {to}");
    let reached = async |from, to| assert_eq!(cluster.probe(from, to, PROBE).await, Probe::Reached, "{from} {to}");
    silent("c1", "n1").await;
    silent("n1", "c1").await;
    let counters = cluster.cut_counters().await.unwrap();
    assert!(counters.iter().any(|cut| cut.from == "c1" && cut.to == "n1" && cut.packets > 0), "{counters:?}");
    if nodes > 1 {
        reached("c2", "n1").await;
        reached("n1", "n2").await;
        reached("c1", "n2").await;
    }
    step(cluster, Step::Uncut { pairs: pairs(&both) }).await;
    step(cluster, Step::Uncut { pairs: pairs(&both) }).await;
    reached("c1", "n1").await;
    reached("n1", "c1").await;
    assert!(cluster.cut_counters().await.unwrap().is_empty());
    step(cluster, Step::Cut { pairs: pairs(&both[..1]) }).await;
    silent("c1", "n1").await;
    silent("n1", "c1").await;
    step(cluster, Step::Uncut { pairs: pairs(&both[..1]) }).await;
    reached("n1", "c1").await;
    assert!(cluster.run(Step::Cut { pairs: pairs(&[("n1", "n9")]) }).await.is_err());
}

async fn freezing(cluster: &Cluster, node: &str) {
    let before = role(cluster, node).await;
    for _ in 0..2 {
        step(cluster, Step::Freeze { node: node.to_owned() }).await;
    }
    assert_eq!(cluster.node_state(node), NodeState::Frozen);
    assert_eq!(role(cluster, node).await, ClaimedRole::Unreachable);
    assert_eq!(role(cluster, node).await, ClaimedRole::Unreachable);
    assert_eq!(cluster.probe("c1", node, PROBE).await, Probe::Reached, "its kernel goes on");
    step(cluster, Step::Start { node: node.to_owned() }).await;
    for _ in 0..2 {
        step(cluster, Step::Thaw { node: node.to_owned() }).await;
    }
    assert!(matches!(cluster.node_state(node), NodeState::Running { .. }));
    assert_eq!(role(cluster, node).await, before);
}

async fn killing(cluster: &Cluster, node: &str) {
    let processes = cluster.info().nodes.iter().find(|one| one.name == node).unwrap().processes.len();
    step(cluster, Step::Freeze { node: node.to_owned() }).await;
    for _ in 0..2 {
        step(cluster, Step::Kill { node: node.to_owned() }).await;
        assert_eq!(cluster.node_state(node), NodeState::Dead);
    }
    assert_eq!(role(cluster, node).await, ClaimedRole::Unreachable);
    assert!(cluster.run(Step::Freeze { node: node.to_owned() }).await.is_err());
    assert_eq!(cluster.probe("c1", node, PROBE).await, Probe::Reached, "its kernel goes on");
    for _ in 0..2 {
        step(cluster, Step::Start { node: node.to_owned() }).await;
    }
    let NodeState::Running { pids } = cluster.node_state(node) else { panic!("{node} does not run") };
    assert!(pids.len() >= processes);
    let zombies = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| std::fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| stat.contains(") Z ")));
    assert_eq!(zombies.count(), 0, "PID 1 reaps whatever is killed");
}

async fn many_connections(cluster: &Cluster) {
    let began = Instant::now();
    let mut open = Vec::new();
    for index in 0..300 {
        open.push(cluster.dial(0, "n1", cluster.client_port()).await.unwrap());
        assert!(open[index].nodelay().unwrap());
    }
    took("300 connections", began);
}

async fn sentinel_failover(start: &Start<'_>) {
    // The two Sentinels that are left may stand for election at once and split the vote; they try again after twice the
    // fail-over timeout, which must be well within the time that is waited here.
    let settings =
        [("down-after", "1s"), ("sentinel-fast", "yes"), ("appendfsync", "everysec"), ("failover-timeout", "3s")];
    let cluster = start.cluster("redis/sentinel", &settings).await.unwrap();
    let first = cluster.claim("n1").await;
    assert_eq!(first.role, ClaimedRole::Primary);
    step(&cluster, Step::Kill { node: "n1".to_owned() }).await;
    let began = Instant::now();
    let (node, claim) = loop {
        let mut found = None;
        for node in ["n2", "n3"] {
            let claim = cluster.claim(node).await;
            if claim.role == ClaimedRole::Primary && claim.term.is_some() {
                found = Some((node, claim));
            }
        }
        if let Some(found) = found {
            break found;
        }
        assert!(began.elapsed().as_secs() < 20, "no fail-over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    took(&format!("fail-over to {node}"), began);
    assert!(claim.term > first.term, "{first:?} {claim:?}");
    step(&cluster, Step::Start { node: "n1".to_owned() }).await;
    recover(&cluster, 40).await;
    assert_eq!(cluster.claim("n1").await.role, ClaimedRole::Replica);
    only_the_missing_process_is_started(&cluster).await;
    cluster.shutdown().await.unwrap();
}

async fn only_the_missing_process_is_started(cluster: &Cluster) {
    let noted = |process: &str| std::fs::read_to_string(format!("/run/schism/nodes/n2/{process}.pid")).unwrap();
    let before = ["redis", "sentinel"].map(noted);
    let pid = before[1].split(' ').next().unwrap();
    std::process::Command::new("kill").args(["-9", pid]).status().unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    step(cluster, Step::Start { node: "n2".to_owned() }).await;
    let after = ["redis", "sentinel"].map(noted);
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
    recover(cluster, 20).await;
}

/// Runs a statement on a node as a client at the site beside it; gives the first column.
async fn sql(cluster: &Cluster, node: &str, statement: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let site = node[1..].parse::<u32>().unwrap() - 1;
    let stream = cluster.dial(site, node, cluster.client_port()).await.unwrap();
    let mut config = tokio_postgres::Config::new();
    config.user("postgres").dbname("postgres");
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    let driver = tokio::spawn(connection);
    let messages = client.simple_query(statement).await;
    drop(client);
    driver.await.unwrap()?;
    let row = |message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
        _ => None,
    };
    Ok(messages?.into_iter().filter_map(row).collect())
}

async fn insert(cluster: &Cluster, node: &str, from: u32, to: u32) {
    let statement = format!("INSERT INTO t SELECT generate_series({from}, {to})");
    sql(cluster, node, &statement).await.unwrap();
}

async fn isolate_n1() -> Vec<(String, String)> {
    let (mut pairs, side) = (Vec::new(), ["n1", "c1"]);
    for here in side {
        for there in ["n2", "n3", "c2", "c3"] {
            pairs.push((here.to_owned(), there.to_owned()));
            pairs.push((there.to_owned(), here.to_owned()));
        }
    }
    pairs
}

async fn all_equal(cluster: &Cluster) -> Vec<String> {
    recover(cluster, 30).await;
    let query = "SELECT id FROM t ORDER BY id";
    let first = sql(cluster, "n1", query).await.unwrap();
    for node in ["n2", "n3"] {
        assert_eq!(sql(cluster, node, query).await.unwrap(), first, "{node} differs from n1");
    }
    first
}

/// Writes that the primary acknowledges while it is cut off are lost when it is killed and another is promoted; it then
/// rejoins, and all nodes agree.
async fn lost_writes(start: &Start<'_>) {
    let cluster = start.cluster("postgres/async", &[("log_checkpoints", "off")]).await.unwrap();
    sql(&cluster, "n1", "CREATE TABLE t (id int)").await.unwrap();
    insert(&cluster, "n1", 1, 100).await;
    recover(&cluster, 10).await;
    let pairs = isolate_n1().await;
    step(&cluster, Step::Cut { pairs: pairs.clone() }).await;
    insert(&cluster, "n1", 101, 200).await;
    assert_eq!(sql(&cluster, "n2", "SELECT count(*) FROM t").await.unwrap(), ["100"], "the cut bites");
    step(&cluster, Step::Kill { node: "n1".to_owned() }).await;
    let began = Instant::now();
    let failover = cluster.failover(&["n1".to_owned()]).await.unwrap();
    took(&format!("failover ({})", failover.detail), began);
    assert_eq!(failover.old_primary, "n1");
    // Not earlier: the dead primary's kernel still holds what it had sent, and would deliver it.
    step(&cluster, Step::Uncut { pairs }).await;
    let claim = cluster.claim(&failover.new_primary).await;
    assert_eq!((claim.role, claim.term), (ClaimedRole::Primary, Some(2)));
    insert(&cluster, &failover.new_primary, 201, 300).await;
    let began = Instant::now();
    let how = cluster.rejoin("n1").await.unwrap();
    took(&how, began);
    let rows = all_equal(&cluster).await;
    let expected: Vec<String> = (1..=100).chain(201..=300).map(|id| id.to_string()).collect();
    assert_eq!(rows, expected);
    let again = cluster.rejoin("n1").await.unwrap();
    assert!(again.contains("already follows"), "{again}");
    cluster.shutdown().await.unwrap();
}

/// Two primaries take writes at the same time. The old one rejoins, then takes over again, and so on: each fail-over is
/// followed at once by the rejoin, which is where pg_rewind sees "the same timeline".
async fn split_brain(start: &Start<'_>) {
    let cluster = start.cluster("postgres/async", &[]).await.unwrap();
    sql(&cluster, "n1", "CREATE TABLE t (id int)").await.unwrap();
    recover(&cluster, 10).await;
    let pairs = isolate_n1().await;
    step(&cluster, Step::Cut { pairs: pairs.clone() }).await;
    let failover = cluster.failover(&["n1".to_owned()]).await.unwrap();
    insert(&cluster, "n1", 1, 50).await;
    insert(&cluster, &failover.new_primary, 51, 100).await;
    assert_eq!(role(&cluster, "n1").await, ClaimedRole::Primary);
    assert_eq!(role(&cluster, &failover.new_primary).await, ClaimedRole::Primary);
    step(&cluster, Step::Uncut { pairs }).await;
    let missing = cluster.recovered(RecoveryGoal::OnePrimary).await.unwrap_err();
    assert_eq!(missing, "2 nodes claim to be the primary");
    let began = Instant::now();
    let how = cluster.rejoin("n1").await.unwrap();
    took(&how, began);
    assert_eq!(all_equal(&cluster).await, (51..=100).map(|id| id.to_string()).collect::<Vec<_>>());

    let (mut next, mut primary) = (101, failover.new_primary);
    sql(&cluster, &primary, "CREATE TABLE noise (id int)").await.unwrap();
    for _ in 0..5 {
        let began = Instant::now();
        // The old primary goes on writing: a standby that still received from it would get ahead of the new one.
        let failover = tokio::select! {
            failover = cluster.failover(&[]) => failover.unwrap(),
            never = noise(&cluster, &primary) => never,
        };
        assert_eq!(failover.old_primary, primary);
        primary.clone_from(&failover.new_primary);
        took(&format!("failover ({})", failover.detail), began);
        insert(&cluster, &failover.old_primary, next, next).await;
        insert(&cluster, &failover.new_primary, next + 1, next + 1).await;
        let began = Instant::now();
        let how = cluster.rejoin(&failover.old_primary).await.unwrap();
        took(&how, began);
        let rows = all_equal(&cluster).await;
        assert!(!rows.contains(&next.to_string()) && rows.contains(&(next + 1).to_string()));
        next += 2;
    }
    cluster.shutdown().await.unwrap();
}

/// Without hints in its log pg_rewind refuses, and a new copy is made.
async fn base_backup(start: &Start<'_>) {
    let cluster = start.cluster("postgres/sync", &[("wal_log_hints", "off")]).await.unwrap();
    sql(&cluster, "n1", "CREATE TABLE t (id int)").await.unwrap();
    step(&cluster, Step::Kill { node: "n1".to_owned() }).await;
    let failover = cluster.failover(&[]).await.unwrap();
    insert(&cluster, &failover.new_primary, 1, 10).await;
    let began = Instant::now();
    let how = cluster.rejoin("n1").await.unwrap();
    assert!(how.contains("base backup, because") && how.contains("wal_log_hints"), "{how}");
    took("rejoin by base backup", began);
    assert_eq!(all_equal(&cluster).await.len(), 10);
    cluster.shutdown().await.unwrap();
}

async fn from_outside(start: &Start<'_>) {
    let cluster = start.cluster("redis/single", &[]).await.unwrap();
    let NodeState::Running { pids: before } = cluster.node_state("n1") else { panic!("n1 does not run") };
    let shaped = links::shape_if_possible(&cluster).await;
    let results = Path::new(start.results);
    std::fs::write(results.join("info.json"), serde_json::to_string(&cluster.info()).unwrap()).unwrap();
    std::fs::write(results.join("ready"), "").unwrap();
    while !results.join("acted").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let NodeState::Running { pids: after } = cluster.node_state("n1") else { panic!("n1 does not run again") };
    assert_ne!(before, after);
    if shaped {
        assert_eq!(cluster.remains().await.unwrap(), Vec::<String>::new());
    }
    recover(&cluster, 10).await;
    cluster.shutdown().await.unwrap();
}

async fn noise(cluster: &Cluster, node: &str) -> ! {
    loop {
        sql(cluster, node, "INSERT INTO noise SELECT generate_series(1, 500)").await.unwrap();
    }
}

async fn bad_settings(start: &Start<'_>, target: &str) {
    let began = Instant::now();
    let error = start.cluster(target, &[("no-such_setting", "1")]).await.unwrap_err().to_string();
    assert!(error.starts_with("--set no-such_setting: not the name of"), "{error}");
    let (name, expected) = match target {
        "redis/single" => ("no-such-setting", "Bad directive or wrong number of arguments"),
        _ => ("no_such_setting", "unrecognized configuration parameter \"no_such_setting\""),
    };
    let error = start.cluster(target, &[(name, "1")]).await.unwrap_err();
    assert!(matches!(error, ClusterError::Died { .. }), "{error}");
    assert!(error.to_string().contains(expected), "{error}");
    assert!(began.elapsed().as_secs() < 10, "it ends at once");
}
