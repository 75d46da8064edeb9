//! What can be measured of a cluster from a victim's side: how strong a fault really is.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, PROBE_PORT};
use crate::ending::Ending;
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
}

impl Gauge {
    /// What it is, for people: `round trip n1→n2`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::RoundTrip { from, to } => format!("round trip {from}→{to}"),
            Self::OrderlyEnds { node } => format!("processes of {node} that ended by themselves"),
            Self::EndingTime { node } => format!("time in which {node} ended"),
            Self::Lifetime { node } => format!("life of {node}"),
            Self::ServedClients { node } => format!("new clients served by {node}"),
            Self::FreeDescriptors { node } => format!("left to open for servers of {node}"),
            Self::ProcessStarts { node } => format!("servers of {node} that may start a process"),
            Self::Loads { node, .. } => format!("left in {node}"),
            Self::LoadCores { node, .. } => format!("processor time taken in {node}"),
            Self::LoadMemory { node, .. } => format!("memory taken in {node}"),
            Self::LoadConnections { node, .. } => format!("connections to {node} taken"),
        }
    }

    /// The unit in which it is measured.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        match self {
            Self::RoundTrip { .. } | Self::EndingTime { .. } | Self::Lifetime { .. } => "ms",
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
        }
    }
}

impl Cluster {
    /// Measures it, in its unit. `Err` says why it could not be.
    pub async fn measure(&self, gauge: &Gauge) -> Result<f64, String> {
        match gauge {
            Gauge::RoundTrip { from, to } => {
                let mut all_ms = Vec::with_capacity(ROUND_TRIPS);
                for _ in 0..ROUND_TRIPS {
                    all_ms.push(self.round_trip_ms(from, to).await?);
                }
                all_ms.sort_by(f64::total_cmp);
                Ok(all_ms[ROUND_TRIPS / 2])
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
