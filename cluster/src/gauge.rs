//! What can be measured of a cluster from a victim's side: how strong a fault really is.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, PROBE_PORT};

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
}

impl Gauge {
    /// What it is, for people: `round trip n1→n2`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::RoundTrip { from, to } => format!("round trip {from}→{to}"),
            Self::ClockOffset { node, process } => format!("clock of {} ahead", server(node, process.as_deref())),
            Self::ClockRate { node, process, .. } => format!("clock of {} fast", server(node, process.as_deref())),
        }
    }

    /// The unit in which it is measured.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        match self {
            Self::RoundTrip { .. } | Self::ClockOffset { .. } => "ms",
            Self::ClockRate { .. } => "ppm",
        }
    }
}

fn server(node: &str, process: Option<&str>) -> String {
    process.map_or_else(|| node.to_owned(), |process| format!("{node}'s {process}"))
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
            Gauge::ClockOffset { node, process } => self.clock_offset_ms(node, process.as_deref()).await,
            Gauge::ClockRate { node, process, over_ms } => {
                self.clock_rate_ppm(node, process.as_deref(), Duration::from_millis(*over_ms)).await
            }
        }
    }

    async fn round_trip_ms(&self, from: &str, to: &str) -> Result<f64, String> {
        let (host, address) = self.host_and_address(from, to)?;
        let begin = Instant::now();
        // Refused is an answer, and the fastest there is.
        let _ = tokio::time::timeout(ROUND_TRIP_MAX, host.connect(SocketAddrV4::new(address, PROBE_PORT))).await;
        Ok(begin.elapsed().as_secs_f64() * 1_000.0)
    }
}
