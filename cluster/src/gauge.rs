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
}

impl Gauge {
    /// What it is, for people: `round trip n1→n2`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::RoundTrip { from, to } => format!("round trip {from}→{to}"),
            Self::DiskAnswer { node } => format!("answer to a write on {node}'s disk"),
            Self::FlippedBits { node, .. } => format!("flipped in {node}'s files"),
            Self::MissingBytes { node, .. } => format!("missing from {node}'s files"),
            Self::Staleness { node, .. } => format!("age of {node}'s files"),
            Self::DiskFree { node } => format!("free on {node}'s disk"),
        }
    }

    /// The unit in which it is measured.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        match self {
            Self::RoundTrip { .. } => "ms",
            Self::DiskAnswer { .. } => "errno",
            Self::FlippedBits { .. } => "bits",
            Self::MissingBytes { .. } => "bytes",
            Self::Staleness { .. } => "s",
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
