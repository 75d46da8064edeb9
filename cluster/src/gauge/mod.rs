//! What can be measured of a cluster from a victim's side: how strong a fault really is.

mod connections;
mod datagrams;

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

    async fn round_trip_ms(&self, from: &str, to: &str) -> Result<f64, String> {
        let (host, address) = self.host_and_address(from, to)?;
        let begin = Instant::now();
        // Refused is an answer, and the fastest there is.
        let _ = tokio::time::timeout(ROUND_TRIP_MAX, host.connect(SocketAddrV4::new(address, PROBE_PORT))).await;
        Ok(begin.elapsed().as_secs_f64() * 1_000.0)
    }
}
