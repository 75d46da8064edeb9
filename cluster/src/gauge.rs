//! What can be measured of a cluster from a victim's side: how strong a fault really is.

use std::io;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, PROBE_PORT};
use crate::disk;
use crate::info::NodeInfo;

/// How many round trips are measured; their median is told.
const ROUND_TRIPS: usize = 9;
/// A round trip that takes longer counts as so long.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(5);

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
    /// The kernel's answer to a write to the node's disk, synced: 0, or the number of an error (5 EIO, 28 ENOSPC,
    /// 30 EROFS).
    DiskAnswer {
        /// The node.
        node: String,
    },
    /// What the node's servers can still write to its disk, in KiB.
    DiskFree {
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
            Self::DiskAnswer { node } => format!("answer to a write on {node}'s disk"),
            Self::DiskFree { node } => format!("free on {node}'s disk"),
        }
    }

    /// The unit in which it is measured.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        match self {
            Self::RoundTrip { .. } => "ms",
            Self::DiskAnswer { .. } => "errno",
            Self::DiskFree { .. } => "KiB",
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
            Gauge::DiskAnswer { node } => self.of_disk(node, |node| disk::probe(node).map(f64::from)).await,
            Gauge::DiskFree { node } => {
                self.of_disk(node, |node| disk::free_bytes(node).map(|bytes| bytes as f64 / 1024.0)).await
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

    async fn round_trip_ms(&self, from: &str, to: &str) -> Result<f64, String> {
        let (host, address) = self.host_and_address(from, to)?;
        let begin = Instant::now();
        // Refused is an answer, and the fastest there is.
        let _ = tokio::time::timeout(ROUND_TRIP_MAX, host.connect(SocketAddrV4::new(address, PROBE_PORT))).await;
        Ok(begin.elapsed().as_secs_f64() * 1_000.0)
    }
}
