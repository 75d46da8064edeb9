//! What can be measured of a cluster from a victim's side: how strong a fault really is.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, PROBE_PORT};
use crate::ending::Ending;

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
        }
    }

    /// The unit in which it is measured.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        match self {
            Self::RoundTrip { .. } | Self::EndingTime { .. } | Self::Lifetime { .. } => "ms",
            Self::OrderlyEnds { .. } => "%",
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
