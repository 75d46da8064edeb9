//! What can be measured of a cluster from a victim's side: how strong a fault really is.

mod connections;
mod datagrams;

use std::io;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, PROBE_PORT};
use crate::disk;
use crate::ending::Ending;
use crate::fuse::{self, DiskError, DiskFiles, DiskOperation, FAR_TOO_LONG, Probed};
use crate::info::NodeInfo;
use crate::resource;

/// How many round trips are measured; their median is told.
const ROUND_TRIPS: usize = 9;
/// A round trip that takes longer counts as so long.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(5);

/// How long the processor time of a load is watched: the kernel counts in hundredths of a second.
const CORES_DURING: Duration = Duration::from_secs(1);

/// In bytes.
const MIB: f64 = 1_048_576.0;

/// A quantity of a running cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gauge {
    /// How long `from` waits for the kernel of `to` to answer: the median of nine connection attempts.
    RoundTrip {
        /// The host that calls.
        from: String,
        /// The host that answers.
        to: String,
    },
    /// What becomes of numbered datagrams from one host to another.
    Datagrams {
        /// The host that sends.
        from: String,
        /// The host that receives.
        to: String,
        /// How many are sent, within about a second.
        count: u32,
        /// For how long after the last one that arrived another one may come, in milliseconds.
        wait_ms: u64,
        /// What is looked at.
        of: DatagramGauge,
    },
    /// How many bits a second arrive when more are sent, Ethernet headers counted.
    Throughput {
        /// The host that sends.
        from: String,
        /// The host that receives.
        to: String,
        /// How many bits a second are sent.
        offered_bits_per_s: u64,
        /// How long the last datagram may be on its way, in milliseconds.
        wait_ms: u64,
    },
    /// How long a connection over which a byte goes back and forth every few milliseconds lives until it is reset.
    ResetAge {
        /// The host that opens it and talks first.
        from: String,
        /// The host that answers.
        to: String,
        /// A connection that lives longer counts as so old, in milliseconds.
        max_ms: u64,
    },
    /// How long the end of a connection takes to arrive.
    CloseTime {
        /// The host that closes its end.
        from: String,
        /// The host that waits for it.
        to: String,
        /// One that takes longer counts as so long, in milliseconds.
        max_ms: u64,
    },
    /// How many ends of connections arrive within a time: half of them orderly (FIN), half of them not (RST).
    EndsSeen {
        /// The host that closes its end.
        from: String,
        /// The host that waits for it.
        to: String,
        /// How long it waits, in milliseconds.
        within_ms: u64,
    },
    /// How far the wall clock of a server is ahead of ours (behind: negative), by its own word.
    ClockOffset {
        /// Its node.
        node: String,
        /// Which server of the node; `None`: the database.
        process: Option<String>,
    },
    /// By how much the wall clock of a server runs faster than ours (slower: negative), by its own word.
    ClockRate {
        /// Its node.
        node: String,
        /// Which server of the node; `None`: the database.
        process: Option<String>,
        /// Between the two looks at it, in milliseconds.
        over_ms: u64,
    },
    /// The kernel's answer to a write to the node's disk, synced: 0, or the number of an error (5 EIO, 28 ENOSPC,
    /// 30 EROFS).
    DiskAnswer {
        /// The node.
        node: String,
    },
    /// Bits of the node's files that a fault has turned over.
    FlippedBits {
        /// The node.
        node: String,
        /// The fault's number.
        fault: u32,
    },
    /// Written bytes that a fault has cut off the end of the node's files.
    MissingBytes {
        /// The node.
        node: String,
        /// The fault's number.
        fault: u32,
    },
    /// How old the files were to which a fault has set the node back, at that moment, in seconds.
    Staleness {
        /// The node.
        node: String,
        /// The fault's number.
        fault: u32,
    },
    /// What the node's servers can still write to its disk, in KiB.
    DiskFree {
        /// The node.
        node: String,
    },
    /// How many of the node's main processes ended by themselves, in time, when they were last asked to.
    OrderlyEnds {
        /// The node.
        node: String,
    },
    /// How long it took from asking the node's processes to end until none was left.
    EndingTime {
        /// The node.
        node: String,
    },
    /// How many of three new clients the node's server serves.
    ServedClients {
        /// The node.
        node: String,
    },
    /// How many more descriptors a server of the node may open.
    FreeDescriptors {
        /// The node.
        node: String,
    },
    /// Which share of the node's servers may start a process or thread.
    ProcessStarts {
        /// The node.
        node: String,
    },
    /// Whether a load runs: 1 or 0.
    Loads {
        /// The node.
        node: String,
        /// The load.
        id: u32,
    },
    /// The processor time that a load gets.
    LoadCores {
        /// The node.
        node: String,
        /// The load.
        id: u32,
    },
    /// What a load has in memory.
    LoadMemory {
        /// The node.
        node: String,
        /// The load.
        id: u32,
        /// In percent of what was available when it started, not in MiB.
        of_available: bool,
    },
    /// Connections to the node that a load holds.
    LoadConnections {
        /// The node.
        node: String,
        /// The load.
        id: u32,
        /// In percent of what the server has, not their number.
        of_all: bool,
    },
    /// How long the node's first process had run when it was ended last.
    Lifetime {
        /// The node.
        node: String,
    },
    /// How long an operation takes on a file that a fault's rule delays: the median of those that it hits, and of all
    /// where it hits none.
    DiskLatency {
        /// What is probed.
        probe: DiskProbe,
        /// What the rule is to add, in milliseconds.
        delay_ms: u64,
    },
    /// How many of an operation's attempts fail with this error, on a file that a fault's rule is about.
    DiskErrors {
        /// What is probed.
        probe: DiskProbe,
        /// The error. Another one is a failure of the measurement.
        error: DiskError,
    },
    /// How many writes take less than they were given, on a file that a fault's rule is about.
    DiskShortWrites {
        /// What is probed.
        probe: DiskProbe,
    },
    /// How many operations of the database itself a fault's rule has changed since it was set.
    DiskHits {
        /// The node.
        node: String,
        /// The fault.
        id: u32,
    },
}

/// An operation on a file that a fault's rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskProbe {
    /// The node.
    pub node: String,
    /// The fault whose rule it is.
    pub id: u32,
    /// The files that the rule is about.
    pub files: DiskFiles,
    /// What is done.
    pub operation: DiskOperation,
    /// How many of them the rule is to hit, in parts per million: decides how often it is done.
    pub probability_ppm: u32,
}

/// What of datagrams is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramGauge {
    /// The median time from sending to receiving.
    Delay,
    /// The range of the middle half of these times.
    DelaySpread,
    /// The share that does not arrive.
    Lost,
    /// The mean number of datagrams that are lost in a row.
    LossRun,
    /// The share that arrives more than once.
    Duplicated,
    /// The share that arrives after one that was sent later.
    Overtaken,
    /// The share that does not arrive because its checksum is wrong, as the receiver's kernel says.
    CorruptedNoticed,
    /// The share that arrives with wrong content, of those that arrive.
    CorruptedUnnoticed,
}

impl Gauge {
    /// What it is, for people: `round trip n1→n2`.
    #[must_use]
    pub fn name(&self) -> String {
        let (what, from, to) = match self {
            Self::RoundTrip { from, to } => ("round trip", from, to),
            Self::Datagrams { from, to, of, .. } => (of.name(), from, to),
            Self::Throughput { from, to, .. } => ("throughput", from, to),
            Self::ResetAge { from, to, .. } => ("age of a connection when it is reset", from, to),
            Self::CloseTime { from, to, .. } => ("time that the end of a connection takes", from, to),
            Self::EndsSeen { from, to, .. } => ("ends of connections that arrive", from, to),
            Self::ClockOffset { node, process } => {
                return format!("clock of {} ahead", server(node, process.as_deref()));
            }
            Self::DiskAnswer { node } => return format!("answer to a write on {node}'s disk"),
            Self::FlippedBits { node, .. } => return format!("flipped in {node}'s files"),
            Self::MissingBytes { node, .. } => return format!("missing from {node}'s files"),
            Self::Staleness { node, .. } => return format!("age of {node}'s files"),
            Self::DiskFree { node } => return format!("free on {node}'s disk"),
            Self::DiskLatency { probe, .. } => return format!("{} on {}", probe.what(), probe.node),
            Self::DiskErrors { probe, error } => {
                return format!("{} on {} gives {}", probe.what(), probe.node, error.name());
            }
            Self::DiskShortWrites { probe } => return format!("short writes ({}) on {}", probe.files, probe.node),
            Self::DiskHits { node, .. } => return format!("operations of the database hit on {node}"),
            Self::OrderlyEnds { node } => return format!("processes of {node} that ended by themselves"),
            Self::EndingTime { node } => return format!("time in which {node} ended"),
            Self::Lifetime { node } => return format!("life of {node}"),
            Self::ServedClients { node } => return format!("new clients served by {node}"),
            Self::FreeDescriptors { node } => return format!("left to open for servers of {node}"),
            Self::ProcessStarts { node } => return format!("servers of {node} that may start a process"),
            Self::Loads { node, .. } => return format!("left in {node}"),
            Self::LoadCores { node, .. } => return format!("processor time taken in {node}"),
            Self::LoadMemory { node, .. } => return format!("memory taken in {node}"),
            Self::LoadConnections { node, .. } => return format!("connections to {node} taken"),
            Self::ClockRate { node, process, .. } => {
                return format!("clock of {} fast", server(node, process.as_deref()));
            }
        };
        format!("{what} {from}→{to}")
    }

    /// The unit in which it is measured.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        match self {
            Self::RoundTrip { .. } | Self::ResetAge { .. } | Self::CloseTime { .. } | Self::ClockOffset { .. } => "ms",
            Self::ClockRate { .. } => "ppm",
            Self::EndingTime { .. } | Self::Lifetime { .. } => "ms",
            Self::OrderlyEnds { .. }
            | Self::ProcessStarts { .. }
            | Self::LoadMemory { of_available: true, .. }
            | Self::LoadConnections { of_all: true, .. } => "%",
            Self::LoadMemory { of_available: false, .. } => "MiB",
            Self::LoadCores { .. } => "cores",
            Self::ServedClients { .. } => "of 3",
            Self::FreeDescriptors { .. } => "descriptors",
            Self::Loads { .. } => "loads",
            Self::LoadConnections { of_all: false, .. } => "connections",
            Self::DiskLatency { .. } => "ms",
            Self::DiskErrors { .. } | Self::DiskShortWrites { .. } => "%",
            Self::DiskHits { .. } => "operations",
            Self::DiskAnswer { .. } => "errno",
            Self::FlippedBits { .. } => "bits",
            Self::MissingBytes { .. } => "bytes",
            Self::Staleness { .. } => "s",
            Self::DiskFree { .. } => "KiB",
            Self::Datagrams { of: DatagramGauge::Delay | DatagramGauge::DelaySpread, .. } => "ms",
            Self::Datagrams { of: DatagramGauge::LossRun, .. } => "datagrams",
            Self::Datagrams { .. } | Self::EndsSeen { .. } => "%",
            Self::Throughput { .. } => "Mbit/s",
        }
    }
}

impl DatagramGauge {
    const fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::DelaySpread => "spread of the delay",
            Self::Lost => "datagrams lost",
            Self::LossRun => "datagrams lost in a row",
            Self::Duplicated => "datagrams duplicated",
            Self::Overtaken => "datagrams overtaken",
            Self::CorruptedNoticed => "datagrams with a wrong checksum",
            Self::CorruptedUnnoticed => "datagrams with wrong content",
        }
    }
}

fn server(node: &str, process: Option<&str>) -> String {
    process.map_or_else(|| node.to_owned(), |process| format!("{node}'s {process}"))
}

impl DiskProbe {
    fn what(&self) -> String {
        format!("{} ({})", self.operation.name(), self.files)
    }

    /// How often a rule of this probability has to be tried to see its share: so often that it hits twenty times.
    #[must_use]
    pub fn attempts(&self) -> usize {
        let least = if self.probability_ppm >= 1_000_000 { 20 } else { 400 };
        (20_000_000 / self.probability_ppm.max(1) as usize).max(least)
    }
}

/// Whether enough was seen of a delay: a few times when it is short, once when it is so long that nothing else takes
/// as long; or nothing where a good deal should have been.
fn enough_slow(all: &[Probed], delay_ms: f64, probability_ppm: u32) -> bool {
    let wanted = match delay_ms {
        long if long >= 5_000.0 => 1,
        medium if medium >= BELIEVED_MS => 4,
        _ => 9,
    };
    let slow = all.iter().filter(|one| one.took_ms >= delay_ms / 2.0).count();
    slow >= wanted || all.len() >= 20_000_000 / probability_ppm.max(1) as usize
}

/// A delay of this length is not the machine's load.
const BELIEVED_MS: f64 = 500.0;

fn latency_ms(all: &[Probed], delay_ms: f64, probability_ppm: u32) -> f64 {
    let slow: Vec<f64> = all.iter().map(|one| one.took_ms).filter(|&took| took >= delay_ms / 2.0).collect();
    let share = f64::from(probability_ppm) / 1e6;
    // Less than a quarter of what should be slow is: that was something else.
    let hit = !slow.is_empty() && (delay_ms >= BELIEVED_MS || slow.len() as f64 >= all.len() as f64 * share / 4.0);
    median(if hit { slow } else { all.iter().map(|one| one.took_ms).collect() })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn percent(all: &[Probed], is: impl Fn(&Probed) -> bool) -> f64 {
    100.0 * all.iter().filter(|one| is(one)).count() as f64 / all.len().max(1) as f64
}

impl Cluster {
    /// Measures it, in its unit. `Err` says why it could not be.
    pub async fn measure(&self, gauge: &Gauge) -> Result<f64, String> {
        match gauge {
            Gauge::DiskAnswer { node } => self.of_disk(node, |node| disk::probe(node).map(f64::from)).await,
            &Gauge::FlippedBits { ref node, fault } => {
                self.of_disk(node, move |node| disk::damage::flipped_bits(node, fault)).await
            }
            &Gauge::MissingBytes { ref node, fault } => {
                self.of_disk(node, move |node| disk::damage::missing_bytes(node, fault)).await
            }
            &Gauge::Staleness { ref node, fault } => {
                self.of_disk(node, move |node| disk::damage::staleness_s(node, fault)).await
            }
            Gauge::DiskFree { node } => {
                self.of_disk(node, |node| disk::free_bytes(node).map(|bytes| bytes as f64 / 1024.0)).await
            }
            Gauge::DiskLatency { probe, delay_ms } => {
                let (probability_ppm, delay_ms) = (probe.probability_ppm, *delay_ms as f64);
                let probed = self.probe_disk(probe, move |all| enough_slow(all, delay_ms, probability_ppm)).await?;
                if let Some(code) = probed.iter().find_map(|one| one.error) {
                    return Err(format!("{} failed: {}", gauge.name(), io::Error::from_raw_os_error(code)));
                }
                Ok(latency_ms(&probed, delay_ms, probability_ppm))
            }
            Gauge::DiskErrors { probe, error } => {
                let probed = self.probe_disk_often(probe).await?;
                let other = probed.iter().filter_map(|one| one.error).find(|code| *code != error.code());
                if let Some(code) = other {
                    return Err(format!("{} failed: {}", probe.what(), io::Error::from_raw_os_error(code)));
                }
                Ok(percent(&probed, |one| one.error.is_some()))
            }
            Gauge::DiskShortWrites { probe } => {
                let probed = self.probe_disk_often(probe).await?;
                if let Some(code) = probed.iter().find_map(|one| one.error) {
                    return Err(format!("{} failed: {}", probe.what(), io::Error::from_raw_os_error(code)));
                }
                Ok(percent(&probed, |one| one.short))
            }
            Gauge::DiskHits { node, id } => {
                let (node, id) = (self.node_info(node)?, *id);
                let hits = tokio::task::spawn_blocking(move || fuse::hits(&node, id)).await;
                let hits = hits.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                Ok(hits as f64)
            }
            Gauge::OrderlyEnds { node } => {
                self.ending(node).map(|ending| 100.0 * ending.by_themselves as f64 / ending.ran as f64)
            }
            Gauge::EndingTime { node } => self.ending(node).map(|ending| ending.took_ms as f64),
            Gauge::Lifetime { node } => self.ending(node).map(|ending| ending.life_ms as f64),
            Gauge::ServedClients { node } => self.served_clients(node).await,
            Gauge::FreeDescriptors { node } => resource::free_descriptors(self.node(node)?),
            Gauge::ProcessStarts { node } => {
                let by_limit = resource::may_start_processes(self.node(node)?)?;
                // A client of PostgreSQL is a process: that one is served shows that it could be started.
                let seen = if self.forks_for_clients() { self.served_clients(node).await? * 100.0 / 3.0 } else { 0.0 };
                Ok(by_limit.max(seen))
            }
            Gauge::Loads { node, id } => Ok(f64::from(u8::from(resource::is_alive(self.node(node)?, *id)))),
            Gauge::LoadCores { node, id } => {
                let (node, id) = (self.node(node)?.clone(), *id);
                let measuring = tokio::task::spawn_blocking(move || resource::cpu_cores(&node, id, CORES_DURING));
                measuring.await.map_err(|error| error.to_string())?
            }
            Gauge::LoadMemory { node, id, of_available } => {
                let node = self.node(node)?;
                let mib = resource::resident_mib(node, *id)?;
                if *of_available { resource::share_of(node, *id, mib * MIB) } else { Ok(mib) }
            }
            Gauge::LoadConnections { node, id, of_all } => {
                let node = self.node(node)?;
                let held = resource::held_connections(node, *id)?;
                if *of_all { resource::share_of(node, *id, held) } else { Ok(held) }
            }
            Gauge::ClockOffset { node, process } => self.clock_offset_ms(node, process.as_deref()).await,
            Gauge::ClockRate { node, process, over_ms } => {
                self.clock_rate_ppm(node, process.as_deref(), Duration::from_millis(*over_ms)).await
            }
            Gauge::RoundTrip { from, to } => {
                let mut all_ms = Vec::with_capacity(ROUND_TRIPS);
                for _ in 0..ROUND_TRIPS {
                    all_ms.push(self.round_trip_ms(from, to).await?);
                }
                all_ms.sort_by(f64::total_cmp);
                Ok(all_ms[ROUND_TRIPS / 2])
            }
            Gauge::Datagrams { from, to, count, wait_ms, of } => {
                let quiet = Duration::from_millis(*wait_ms);
                datagrams::measure(self.host(from)?, self.host(to)?, *count, quiet, *of).await
            }
            Gauge::Throughput { from, to, offered_bits_per_s, wait_ms } => {
                let quiet = Duration::from_millis(*wait_ms);
                datagrams::throughput(self.host(from)?, self.host(to)?, *offered_bits_per_s, quiet).await
            }
            Gauge::ResetAge { from, to, max_ms } => {
                connections::reset_age_ms(self.host(from)?, self.host(to)?, *max_ms).await
            }
            Gauge::CloseTime { from, to, max_ms } => {
                connections::close_time_ms(self.host(from)?, self.host(to)?, *max_ms).await
            }
            Gauge::EndsSeen { from, to, within_ms } => {
                connections::ends_seen(self.host(from)?, self.host(to)?, *within_ms).await
            }
        }
    }

    /// On a thread that may block: a dying disk takes its time to answer.
    async fn of_disk(
        &self,
        node: &str,
        look: impl FnOnce(&NodeInfo) -> io::Result<f64> + Send + 'static,
    ) -> Result<f64, String> {
        let info = self.info().node(node).cloned().ok_or_else(|| format!("there is no node {node:?}"))?;
        let looked = tokio::task::spawn_blocking(move || look(&info)).await;
        looked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    fn node_info(&self, name: &str) -> Result<NodeInfo, String> {
        self.info().node(name).cloned().ok_or_else(|| format!("there is no node {name:?}"))
    }

    async fn probe_disk_often(&self, probe: &DiskProbe) -> Result<Vec<Probed>, String> {
        let wanted = probe.attempts();
        self.probe_disk(probe, move |all| all.len() >= wanted).await
    }

    /// On a thread of its own: one that hangs must keep neither the runtime's threads nor its end.
    async fn probe_disk(
        &self,
        probe: &DiskProbe,
        enough: impl FnMut(&[Probed]) -> bool + Send + 'static,
    ) -> Result<Vec<Probed>, String> {
        let (node, what) = (self.node_info(&probe.node)?, probe.clone());
        let (sender, result) = tokio::sync::oneshot::channel();
        let act = move || {
            let _ = sender.send(fuse::probe(&node, what.id, &what.files, what.operation, enough));
        };
        std::thread::Builder::new().name("probe".to_owned()).spawn(act).map_err(|error| error.to_string())?;
        match tokio::time::timeout(FAR_TOO_LONG, result).await {
            Ok(Ok(probed)) => probed,
            Ok(Err(_)) => Err("the probe ended early".to_owned()),
            Err(_) => Err(format!("no end after {} s", FAR_TOO_LONG.as_secs())),
        }
    }

    fn ending(&self, node: &str) -> Result<Ending, String> {
        Ending::read(self.node(node)?)
    }

    async fn round_trip_ms(&self, from: &str, to: &str) -> Result<f64, String> {
        let (host, address) = self.host_and_address(from, to)?;
        let begin = Instant::now();
        // Refused is an answer, and the fastest there is.
        let _ = tokio::time::timeout(ROUND_TRIP_MAX, host.connect(SocketAddrV4::new(address, PROBE_PORT))).await;
        Ok(begin.elapsed().as_secs_f64() * 1_000.0)
    }
}
