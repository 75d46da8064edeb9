//! Nodes that are shut down in order, loads and limits, as steps: done twice, undone twice, and by whoever comes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use schism_cluster::{ClaimedRole, Cluster, Gauge, Limited, NodeState, Size, Step, Work};

const NODE: &str = "n1";

fn node() -> String {
    NODE.to_owned()
}

async fn twice(cluster: &Cluster, step: Step) {
    for _ in 0..2 {
        cluster.run(step.clone()).await.unwrap();
    }
}

async fn measured(cluster: &Cluster, gauge: Gauge) -> f64 {
    cluster.measure(&gauge).await.unwrap_or_else(|error| panic!("{}: {error}", gauge.name()))
}

async fn answers(cluster: &Cluster) {
    let began = Instant::now();
    while cluster.claim(NODE).await.role == ClaimedRole::Unreachable {
        assert!(began.elapsed().as_secs() < 20, "{NODE} does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The state letters of the processes whose command line has these words.
fn states_of(words: &str) -> Vec<char> {
    let mut states = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).replace('\0', " ").contains(words)
            && let Ok(stat) = std::fs::read_to_string(entry.path().join("stat"))
        {
            states.extend(stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()));
        }
    }
    states
}

pub(crate) async fn endings(cluster: &Cluster) {
    let orderly = Gauge::OrderlyEnds { node: node() };
    assert!(cluster.measure(&orderly).await.is_err(), "nothing has ended yet");
    let terminate = Step::Terminate { node: node(), grace_ms: 9_000 };
    // Found gone by whoever waits for the end, and told all the same.
    cluster.run(Step::AskToEnd { node: node() }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    twice(cluster, terminate.clone()).await;
    assert_eq!(cluster.node_state(NODE), NodeState::Dead);
    assert_eq!(measured(cluster, orderly.clone()).await, 100.0);
    assert!(measured(cluster, Gauge::EndingTime { node: node() }).await >= 3_000.0);
    twice(cluster, Step::Start { node: node() }).await;
    answers(cluster).await;
    // Asked by somebody who was interrupted: a start waits for the end, and starts.
    twice(cluster, Step::AskToEnd { node: node() }).await;
    cluster.run(Step::Start { node: node() }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    answers(cluster).await;
    // One that cannot end by itself is killed after its grace.
    cluster.run(Step::Freeze { node: node() }).await.unwrap();
    let began = Instant::now();
    cluster.run(Step::Terminate { node: node(), grace_ms: 300 }).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!((cluster.node_state(NODE), measured(cluster, orderly).await), (NodeState::Dead, 0.0));
    cluster.run(Step::Start { node: node() }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.run(Step::Kill { node: node() }).await.unwrap();
    let life_ms = measured(cluster, Gauge::Lifetime { node: node() }).await;
    assert!((480.0..5_000.0).contains(&life_ms), "{life_ms}");
    cluster.run(Step::Start { node: node() }).await.unwrap();
    answers(cluster).await;
}

pub(crate) async fn resources(cluster: &Cluster) {
    answers(cluster).await;
    loads(cluster).await;
    connections(cluster).await;
    for limited in [Limited::Files, Limited::Processes] {
        limits(cluster, limited).await;
    }
    assert_eq!(cluster.remains().await.unwrap(), [""; 0]);
}

async fn loads(cluster: &Cluster) {
    const BURN: &str = "Burn";
    let (cpu, memory) =
        (Work::Cpu { threads: 1, busy_ppm: 500_000, nice: 5 }, Work::Memory { size: Size::Bytes(64 << 20) });
    let load = |id, work| Step::Load { node: node(), id, work };
    twice(cluster, load(7, cpu)).await;
    twice(cluster, load(8, memory)).await;
    assert_eq!(states_of(BURN).len(), 1, "the second time there is one already");
    let cores = measured(cluster, Gauge::LoadCores { node: node(), id: 7 }).await;
    assert!(cores > 0.01 && cores < 0.6, "{cores}");
    let mib = measured(cluster, Gauge::LoadMemory { node: node(), id: 8, of_available: false }).await;
    assert!((64.0..128.0).contains(&mib), "{mib}");
    assert_eq!(cluster.remains().await.unwrap().len(), 2);
    let too_much = load(9, Work::Memory { size: Size::Bytes(1 << 50) });
    let error = cluster.run(too_much).await.unwrap_err().to_string();
    assert!(error.contains("have to be left"), "{error}");
    cluster.run(Step::Freeze { node: node() }).await.unwrap();
    assert_eq!(cluster.node_state(NODE), NodeState::Frozen);
    let cores = measured(cluster, Gauge::LoadCores { node: node(), id: 7 }).await;
    assert!(cores < 0.02, "a frozen node's load took {cores}");
    assert!(cluster.run(load(10, cpu)).await.is_err(), "what is started in a frozen node freezes");
    cluster.run(Step::Thaw { node: node() }).await.unwrap();
    answers(cluster).await;
    // The servers alone: the load does not make a dead node look alive.
    for file in ["postgres", "redis", "sentinel"] {
        let noted = std::fs::read_to_string(format!("/run/schism/nodes/{NODE}/{file}.pid")).unwrap_or_default();
        if let Some((pid, _)) = noted.split_once(' ') {
            std::process::Command::new("kill").args(["-9", pid]).status().unwrap();
        }
    }
    let began = Instant::now();
    while cluster.node_state(NODE) != NodeState::Dead {
        assert!(began.elapsed().as_secs() < 10, "{:?}", cluster.node_state(NODE));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(measured(cluster, Gauge::Loads { node: node(), id: 7 }).await, 1.0);
    cluster.run(Step::Kill { node: node() }).await.unwrap();
    assert_eq!(measured(cluster, Gauge::Loads { node: node(), id: 7 }).await, 0.0, "it dies with its node");
    assert!(cluster.run(load(7, cpu)).await.is_err(), "nothing to load");
    cluster.run(Step::Start { node: node() }).await.unwrap();
    answers(cluster).await;
    twice(cluster, load(7, cpu)).await;
    for id in [7, 8] {
        twice(cluster, Step::Unload { node: node(), id }).await;
    }
    assert!(states_of(BURN).is_empty());
}

async fn connections(cluster: &Cluster) {
    let load = |count| Step::Load { node: node(), id: 3, work: Work::Connections { count } };
    let held = |of_all| Gauge::LoadConnections { node: node(), id: 3, of_all };
    let served = Gauge::ServedClients { node: node() };
    twice(cluster, load(Some(12))).await;
    assert_eq!(measured(cluster, held(false)).await, 12.0);
    assert_eq!(measured(cluster, served.clone()).await, 3.0);
    twice(cluster, Step::Unload { node: node(), id: 3 }).await;
    twice(cluster, load(None)).await;
    full(cluster).await;
    // A server that is started anew is filled again, without anybody's doing.
    cluster.run(Step::Kill { node: node() }).await.unwrap();
    cluster.run(Step::Start { node: node() }).await.unwrap();
    full(cluster).await;
    cluster.run(Step::Unload { node: node(), id: 3 }).await.unwrap();
    let began = Instant::now();
    while measured(cluster, served.clone()).await < 3.0 {
        assert!(began.elapsed().as_secs() < 10, "clients are not served again");
    }
    answers(cluster).await;
}

/// Waits until all connections are held: what others have just let go of is free until the load has taken it.
async fn full(cluster: &Cluster) {
    let held = || Gauge::LoadConnections { node: node(), id: 3, of_all: true };
    let served = || Gauge::ServedClients { node: node() };
    let began = Instant::now();
    while measured(cluster, held()).await < 90.0 || measured(cluster, served()).await > 0.0 {
        assert!(began.elapsed().as_secs() < 30, "the server is not full");
    }
}

/// Of every process of the node the limit's line in the kernel's words.
fn limits_of(cluster: &Cluster, limited: Limited) -> BTreeMap<u32, String> {
    let name = if limited == Limited::Files { "Max open files" } else { "Max processes" };
    let NodeState::Running { pids } = cluster.node_state(NODE) else { panic!("{NODE} does not run") };
    let line = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        Some((pid, text.lines().find(|line| line.starts_with(name))?.to_owned()))
    };
    pids.into_iter().filter_map(line).collect()
}

async fn limits(cluster: &Cluster, limited: Limited) {
    let limit = |spare| Step::Limit { node: node(), limited, spare };
    let unlimit = Step::Unlimit { node: node(), limited };
    let before = limits_of(cluster, limited);
    let served = Gauge::ServedClients { node: node() };
    twice(cluster, limit(0)).await;
    let lowered = limits_of(cluster, limited);
    assert!(!lowered.is_empty() && lowered.iter().all(|(pid, line)| before.get(pid) != Some(line)), "{lowered:?}");
    if limited == Limited::Files {
        assert_eq!(measured(cluster, Gauge::FreeDescriptors { node: node() }).await, 0.0);
        assert_eq!(measured(cluster, served.clone()).await, 0.0);
    } else {
        assert_eq!(measured(cluster, Gauge::ProcessStarts { node: node() }).await, 0.0);
    }
    assert_eq!(cluster.remains().await.unwrap().len(), 1);
    twice(cluster, unlimit.clone()).await;
    for (pid, line) in limits_of(cluster, limited) {
        // A process that was not there before is a child and has its parent's.
        assert_eq!(before.get(&pid).or(before.values().next()), Some(&line), "{pid}");
    }
    let began = Instant::now();
    while measured(cluster, served.clone()).await < 3.0 {
        assert!(began.elapsed().as_secs() < 10, "clients are not served again");
    }
    // A server that was started meanwhile gets its forerunner's limit, and back what it had itself.
    cluster.run(limit(6)).await.unwrap();
    let main = |lines: &BTreeMap<u32, String>| lines.values().next().cloned().unwrap();
    let lowered = main(&limits_of(cluster, limited));
    cluster.run(Step::Kill { node: node() }).await.unwrap();
    assert!(cluster.run(limit(6)).await.is_err(), "nothing to limit");
    cluster.run(Step::Start { node: node() }).await.unwrap();
    answers(cluster).await;
    assert_eq!(main(&limits_of(cluster, limited)), main(&before));
    cluster.run(limit(6)).await.unwrap();
    assert_eq!(main(&limits_of(cluster, limited)), lowered);
    twice(cluster, unlimit).await;
    assert_eq!(main(&limits_of(cluster, limited)), main(&before));
    assert_eq!(cluster.remains().await.unwrap(), [""; 0]);
}
