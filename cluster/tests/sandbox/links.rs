//! Links through the switch: that each rule does what it says, alone and with others, and how fast and exact it is.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use schism_cluster::{Cluster, Corruption, DatagramGauge, Distribution, Gauge, Probe, Rule, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{PROBE, Start, step};

const UNIFORM: Distribution = Distribution::Uniform;

fn there() -> Vec<(String, String)> {
    vec![("c1".to_owned(), "n1".to_owned())]
}

fn both() -> Vec<(String, String)> {
    vec![("c1".to_owned(), "n1".to_owned()), ("n1".to_owned(), "c1".to_owned())]
}

async fn shape(cluster: &Cluster, id: u32, pairs: Vec<(String, String)>, rule: Rule) {
    step(cluster, Step::Shape { id, pairs, rule, seed: 42, pcap: false }).await;
}

async fn measured(cluster: &Cluster, gauge: Gauge) -> f64 {
    let began = Instant::now();
    let value = cluster.measure(&gauge).await.unwrap();
    println!("    {}: {value:.3} {} ({:.1} s)", gauge.name(), gauge.unit(), began.elapsed().as_secs_f64());
    value
}

fn datagrams(of: DatagramGauge, count: u32) -> Gauge {
    Gauge::Datagrams { from: "c1".into(), to: "n1".into(), count, wait_ms: 500, of }
}

pub(crate) async fn rules(start: &Start<'_>) {
    let cluster = start.cluster("redis/single", &[]).await.unwrap();
    let near = |got: f64, low: f64, high: f64| assert!((low..=high).contains(&got), "{got} is not in {low}..={high}");
    step(&cluster, Step::Unshape { id: 1 }).await;
    assert_eq!(cluster.remains().await.unwrap(), Vec::<String>::new());
    near(measured(&cluster, datagrams(DatagramGauge::Lost, 300)).await, 0.0, 0.0);

    shape(&cluster, 1, there(), Rule::Delay { delay_ms: 50, jitter_ms: 0, distribution: UNIFORM }).await;
    assert_eq!(cluster.remains().await.unwrap(), ["c1→n1: delayed by 50 ms (fault 1)"]);
    near(measured(&cluster, datagrams(DatagramGauge::Delay, 200)).await, 50.0, 70.0);
    let round_trip = Gauge::RoundTrip { from: "n1".into(), to: "c1".into() };
    near(measured(&cluster, round_trip.clone()).await, 50.0, 70.0);
    shape(&cluster, 1, both(), Rule::Delay { delay_ms: 50, jitter_ms: 20, distribution: UNIFORM }).await;
    near(measured(&cluster, datagrams(DatagramGauge::DelaySpread, 400)).await, 12.0, 40.0);
    near(measured(&cluster, round_trip.clone()).await, 70.0, 160.0);

    // A second fault on the same links; what comes out of the switch can still be cut.
    shape(&cluster, 2, there(), Rule::Loss { share_ppm: 200_000 }).await;
    assert_eq!(cluster.remains().await.unwrap().len(), 3);
    near(measured(&cluster, datagrams(DatagramGauge::Lost, 500)).await, 10.0, 32.0);
    near(measured(&cluster, datagrams(DatagramGauge::Delay, 500)).await, 45.0, 75.0);
    step(&cluster, Step::Cut { pairs: there() }).await;
    assert_eq!(cluster.probe("c1", "n1", PROBE).await, Probe::Silent);
    near(measured(&cluster, datagrams(DatagramGauge::Lost, 100)).await, 100.0, 100.0);
    step(&cluster, Step::Uncut { pairs: there() }).await;
    step(&cluster, Step::Unshape { id: 1 }).await;
    step(&cluster, Step::Unshape { id: 1 }).await;
    near(measured(&cluster, datagrams(DatagramGauge::Delay, 100)).await, 0.0, 20.0);
    near(measured(&cluster, datagrams(DatagramGauge::Lost, 500)).await, 10.0, 32.0);

    shape(&cluster, 2, there(), Rule::BurstLoss { share_ppm: 200_000, burst_packets: 5 }).await;
    near(measured(&cluster, datagrams(DatagramGauge::Lost, 4_000)).await, 10.0, 32.0);
    near(measured(&cluster, datagrams(DatagramGauge::LossRun, 4_000)).await, 3.5, 6.5);
    shape(&cluster, 2, there(), Rule::Duplicate { share_ppm: 200_000 }).await;
    near(measured(&cluster, datagrams(DatagramGauge::Duplicated, 500)).await, 10.0, 32.0);
    shape(&cluster, 2, there(), Rule::Reorder { share_ppm: 200_000, hold_ms: 10 }).await;
    near(measured(&cluster, datagrams(DatagramGauge::Overtaken, 500)).await, 10.0, 32.0);
    shape(&cluster, 2, there(), Rule::Corrupt { share_ppm: 200_000, mode: Corruption::Checksum }).await;
    near(measured(&cluster, datagrams(DatagramGauge::CorruptedNoticed, 500)).await, 10.0, 32.0);
    shape(&cluster, 2, there(), Rule::Corrupt { share_ppm: 200_000, mode: Corruption::Payload }).await;
    near(measured(&cluster, datagrams(DatagramGauge::CorruptedUnnoticed, 500)).await, 10.0, 32.0);
    near(measured(&cluster, datagrams(DatagramGauge::Lost, 500)).await, 0.0, 0.0);
    for bits_per_s in [64_000, 10_000_000, 100_000_000] {
        shape(&cluster, 2, there(), Rule::Bandwidth { bits_per_s, queue_ms: 100 }).await;
        let offered_bits_per_s = 2 * bits_per_s;
        let gauge = Gauge::Throughput { from: "c1".into(), to: "n1".into(), offered_bits_per_s, wait_ms: 500 };
        near(measured(&cluster, gauge).await, 0.7e-6 * bits_per_s as f64, 1.01e-6 * bits_per_s as f64);
    }
    connections(&cluster).await;
    half_open(&cluster).await;
    captured(&cluster, start).await;
    dead_switch(&cluster).await;
    step(&cluster, Step::Unshape { id: 2 }).await;
    assert_eq!(cluster.remains().await.unwrap(), Vec::<String>::new());
    near(measured(&cluster, datagrams(DatagramGauge::Lost, 300)).await, 0.0, 0.0);
    let pairs = vec![("c1".to_owned(), "n9".to_owned())];
    let unknown = Step::Shape { id: 3, pairs, rule: Rule::HalfOpen, seed: 1, pcap: false };
    assert!(cluster.run(unknown).await.is_err());
    cluster.shutdown().await.unwrap();
}

/// Two faults of which one is to be undone by somebody else. False where there is no TAP device.
pub(crate) async fn shape_if_possible(cluster: &Cluster) -> bool {
    let able = schism_cluster::sandbox::capabilities().system;
    if able.iter().any(|ability| ability.name == "tun" && ability.missing.is_some()) {
        println!("    no TAP devices here: nothing is shaped");
        return false;
    }
    shape(cluster, 1, both(), Rule::Delay { delay_ms: 20, jitter_ms: 0, distribution: UNIFORM }).await;
    assert_eq!(cluster.remains().await.unwrap().len(), 2);
    true
}

/// Connections of processes that are killed live on at their clients, who learn of it when the fault is over.
async fn half_open(cluster: &Cluster) {
    let mut streams = Vec::new();
    for _ in 0..2 {
        streams.push(cluster.dial(0, "n1", cluster.client_port()).await.unwrap());
    }
    let [idle, busy] = &mut streams[..] else { panic!() };
    let mut answer = [0; 7];
    for stream in [&mut *idle, &mut *busy] {
        stream.write_all(b"PING\r\n").await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
    }
    let from_node = vec![("n1".to_owned(), "c1".to_owned())];
    shape(cluster, 2, from_node, Rule::HalfOpen).await;
    step(cluster, Step::Restart { node: "n1".to_owned() }).await;
    busy.write_all(b"PING\r\n").await.unwrap();
    for stream in [&mut *idle, &mut *busy] {
        let silence = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut answer)).await;
        assert!(silence.is_err(), "{silence:?}");
    }
    step(cluster, Step::Unshape { id: 2 }).await;
    let error = busy.read_exact(&mut answer).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    step(cluster, Step::Freeze { node: "n1".to_owned() }).await;
    assert!(cluster.run(Step::Restart { node: "n1".to_owned() }).await.is_err());
    step(cluster, Step::Kill { node: "n1".to_owned() }).await;
    assert!(cluster.run(Step::Restart { node: "n1".to_owned() }).await.is_err());
    step(cluster, Step::Start { node: "n1".to_owned() }).await;
}

async fn connections(cluster: &Cluster) {
    let (from, to) = ("c1".to_owned(), "n1".to_owned());
    let near = |got: f64, low: f64, high: f64| assert!((low..=high).contains(&got), "{got} is not in {low}..={high}");
    shape(cluster, 2, both(), Rule::Reset { after_ms: 300 }).await;
    let age = Gauge::ResetAge { from: from.clone(), to: to.clone(), max_ms: 3_000 };
    near(measured(cluster, age.clone()).await, 300.0, 500.0);
    shape(cluster, 2, both(), Rule::SlowClose { hold_ms: 700 }).await;
    let close = Gauge::CloseTime { from: from.clone(), to: to.clone(), max_ms: 3_000 };
    near(measured(cluster, close.clone()).await, 700.0, 900.0);
    shape(cluster, 2, there(), Rule::HalfOpen).await;
    let ends = Gauge::EndsSeen { from, to, within_ms: 300 };
    near(measured(cluster, ends.clone()).await, 0.0, 0.0);
    step(cluster, Step::Unshape { id: 2 }).await;
    near(measured(cluster, age).await, 3_000.0, 3_000.0);
    near(measured(cluster, close).await, 0.0, 100.0);
    near(measured(cluster, ends).await, 100.0, 100.0);
    // A connection from before the fault is reset at its next word, at both ends.
    let mut stream = cluster.dial(0, "n1", cluster.client_port()).await.unwrap();
    let mut answer = [0; 7];
    stream.write_all(b"PING\r\n").await.unwrap();
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
    shape(cluster, 2, both(), Rule::Reset { after_ms: 60_000 }).await;
    stream.write_all(b"PING\r\n").await.unwrap();
    let error = stream.read_exact(&mut answer).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    step(cluster, Step::Unshape { id: 2 }).await;
}

/// What a fault did is in the files.
async fn captured(cluster: &Cluster, start: &Start<'_>) {
    let rule = Rule::Loss { share_ppm: 500_000 };
    step(cluster, Step::Shape { id: 2, pairs: there(), rule, seed: 1, pcap: true }).await;
    measured(cluster, datagrams(DatagramGauge::Lost, 200)).await;
    step(cluster, Step::Unshape { id: 2 }).await;
    let size = |end: &str| {
        std::fs::metadata(Path::new(start.results).join(format!("nodes/fault-2.{end}.pcap"))).unwrap().len()
    };
    let (came, left) = (size("in"), size("out"));
    println!("    captured: {came} bytes in, {left} bytes out");
    assert!(came >= 24 + 200 * (16 + 106) && left < came);
}

/// A switch that is killed is told of, silences its links, and is started again by whatever step comes next.
async fn dead_switch(cluster: &Cluster) {
    shape(cluster, 2, there(), Rule::Duplicate { share_ppm: 200_000 }).await;
    // The sandbox's own /proc shows the sandbox's processes only.
    let is_switch = |entry: &std::fs::DirEntry| {
        let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        line.split('\0').nth(1) == Some("internal-switch")
    };
    let switches: Vec<_> = std::fs::read_dir("/proc").unwrap().flatten().filter(is_switch).collect();
    assert_eq!(switches.len(), 1);
    let pid = switches[0].file_name();
    assert!(std::process::Command::new("kill").arg("-9").arg(pid).status().unwrap().success());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let remains = cluster.remains().await.unwrap();
    assert_eq!(remains.last().unwrap(), "the switch is dead: shaped links are silent");
    assert_eq!(cluster.probe("c1", "n1", PROBE).await, Probe::Silent);
    shape(cluster, 3, there(), Rule::Delay { delay_ms: 1, jitter_ms: 0, distribution: UNIFORM }).await;
    assert_eq!(cluster.probe("c1", "n1", PROBE).await, Probe::Reached);
    measured(cluster, datagrams(DatagramGauge::Duplicated, 300)).await;
    step(cluster, Step::Unshape { id: 3 }).await;
}

/// Run by hand: how exact a delay is, and how much a link carries.
pub(crate) async fn speed(start: &Start<'_>) {
    let cluster = start.cluster("redis/single", &[]).await.unwrap();
    for delay_ms in [0, 20] {
        if delay_ms > 0 {
            shape(&cluster, 1, there(), Rule::Delay { delay_ms, jitter_ms: 0, distribution: UNIFORM }).await;
        }
        for _ in 0..3 {
            measured(&cluster, datagrams(DatagramGauge::Delay, 1_000)).await;
        }
        measured(&cluster, datagrams(DatagramGauge::DelaySpread, 1_000)).await;
    }
    step(&cluster, Step::Unshape { id: 1 }).await;
    transfer(&cluster, "plain bridge").await;
    let nothing = Rule::Delay { delay_ms: 0, jitter_ms: 0, distribution: UNIFORM };
    shape(&cluster, 1, there(), nothing).await;
    transfer(&cluster, "one direction through the switch").await;
    shape(&cluster, 1, both(), nothing).await;
    transfer(&cluster, "both directions through the switch").await;
    let gauge = Gauge::RoundTrip { from: "c1".into(), to: "n1".into() };
    measured(&cluster, gauge.clone()).await;
    step(&cluster, Step::Unshape { id: 1 }).await;
    measured(&cluster, gauge).await;
    cluster.shutdown().await.unwrap();
}

/// Sends for two seconds from the client's site to a server on the node, by `internal-sink`.
async fn transfer(cluster: &Cluster, what: &str) {
    let netns = &cluster.info().nodes[0].netns;
    let own = std::env::current_exe().unwrap();
    let mut sink = std::process::Command::new("nsenter")
        .arg(format!("--net={}", netns.display()))
        .arg(own)
        .arg("sink")
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut stream = loop {
        match cluster.dial(0, "n1", 9_999).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let (begin, bytes, mut sent) = (Instant::now(), vec![0; 256 << 10], 0_u64);
    while begin.elapsed() < Duration::from_secs(2) {
        stream.write_all(&bytes).await.unwrap();
        sent += bytes.len() as u64;
    }
    stream.shutdown().await.unwrap();
    // The sink's end of the connection ends when it has read everything.
    let _ = stream.read(&mut [0]).await;
    let seconds = begin.elapsed().as_secs_f64();
    println!("    {what}: {:.2} Gbit/s", sent as f64 * 8.0 / 1e9 / seconds);
    sink.wait().unwrap();
}

/// Reads one connection to its end.
pub(crate) fn sink() {
    let listener = std::net::TcpListener::bind("0.0.0.0:9999").unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut buffer = vec![0; 256 << 10];
    while stream.read(&mut buffer).unwrap() > 0 {}
    let _ = stream.write(b"");
}
