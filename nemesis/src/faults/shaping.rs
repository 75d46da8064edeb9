//! Faults of links: worse than a bridge, but not cut. What is done to packets is a rule of the cluster's switch; here
//! is which links of which nodes, what may be asked for, and how it is seen that it happens.

use std::ops::RangeInclusive;

use schism_cluster::{Corruption, DatagramGauge, Distribution, Gauge, Rule, Step};
use schism_seed::Stream;
use serde::{Deserialize, Serialize};

use crate::{
    Family, Kind, KindInfo, OptionInfo,
    Target::{All, Majority, Minority, One, Primary, Replica},
    binomial,
    expect::{self, Expect},
    grudge::{self, Pairs},
    injection::{Injection, Scene, each},
    options::{OptionError, Options},
    units,
};

const LINKS: OptionInfo = OptionInfo {
    name: "links",
    meaning: "which links of the target nodes: \"peers\", to other nodes, \"clients\", or \"all\" [default: all]",
};
const DIRECTION: OptionInfo = OptionInfo {
    name: "direction",
    meaning: "which packets on them: \"to\" the target nodes, \"from\" them, or \"both\" [default: both]",
};
const PCAP: OptionInfo = OptionInfo {
    name: "pcap",
    meaning: "true: the packets of these links, as they came and as they left, go to files in nodes/ of the results \
              [default: false]",
};
const SHARE: OptionInfo = OptionInfo { name: "share", meaning: "how many packets, 0.1% to 100% [default: 10%]" };

const HOW: &str = "A process of ours, the switch, gets the packets of these links and of no others (an nftables table \
                   of our own diverts them from the bridge's ports) and does it; the lots of each directed link come \
                   from the fault's draw.";

const fn kind(kind: Kind, name: &'static str, description: &'static str, verified: &'static str) -> KindInfo {
    KindInfo {
        kind,
        name,
        family: Family::Network,
        description,
        how: HOW,
        verified,
        breaks: "",
        targets: &[One, Primary, Replica, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[],
        strength: None,
        needs_time: true,
        capabilities: &["tun", "divert"],
    }
}

pub(crate) const KINDS: &[KindInfo] = &[
    KindInfo {
        breaks: "Time-outs that assume a fast network, elections during which nobody leads, synchronous replication \
                 that everyone waits for, and with jitter whatever assumes that packets keep their order.",
        options: &[
            OptionInfo {
                name: "delay",
                meaning: "how much later each packet arrives, one way, 5ms to 10s: with both directions a round trip \
                          takes twice that longer [default: 100ms]",
            },
            OptionInfo {
                name: "jitter",
                meaning: "how far a packet's delay may be from that, at most the delay itself; packets then overtake \
                          one another [default: none]",
            },
            OptionInfo {
                name: "distribution",
                meaning: "of the jitter: \"uniform\", between delay - jitter and delay + jitter; \"normal\", jitter \
                          is the standard deviation; \"pareto\", the same with few packets that are very late \
                          [default: uniform]",
            },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("delay"),
        ..kind(
            Kind::Delay,
            "delay",
            "packets to and from the target nodes arrive later",
            "Of numbered datagrams over up to 4 of the links the median time is what was asked for (no less, and at \
             most 25 ms and a tenth more; with jitter the range of the middle half, too); at the end it is below.",
        )
    },
    KindInfo {
        breaks: "Retries that are not idempotent, heartbeats that are counted too strictly, throughput that \
                 collapses.",
        options: &[SHARE, LINKS, DIRECTION, PCAP],
        strength: Some("share"),
        ..kind(
            Kind::Loss,
            "loss",
            "packets to and from the target nodes are lost, each by itself",
            "Of numbered datagrams over up to 4 of the links as many are lost as chance allows for the share (a sound \
             fault fails this once in five million measurements); at the end fewer than a fifth of it.",
        )
    },
    KindInfo {
        breaks: "What survives single losses: time-outs that three lost packets in a row reach, failure detectors.",
        options: &[
            OptionInfo {
                name: "share",
                meaning: "how many packets, 0.1% and more; the less and the longer the bursts, the longer it takes to \
                          see them, and what takes more than a second is refused [default: 10%]",
            },
            OptionInfo { name: "burst", meaning: "how many packets in a row on average, 2 to 1000 [default: 5]" },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("share"),
        ..kind(
            Kind::BurstLoss,
            "burst-loss",
            "packets to and from the target nodes are lost, several in a row (Gilbert-Elliott)",
            "As `loss`, with so many datagrams that bursts even out; and that several are lost in a row.",
        )
    },
    KindInfo {
        breaks: "Protocols over UDP that take a copy for a new message; for TCP it costs little but load.",
        options: &[SHARE, LINKS, DIRECTION, PCAP],
        strength: Some("share"),
        ..kind(
            Kind::Duplicate,
            "duplicate",
            "packets to and from the target nodes arrive twice",
            "Of numbered datagrams over up to 4 of the links as many arrive twice as chance allows for the share; at \
             the end fewer than a fifth of it.",
        )
    },
    KindInfo {
        breaks: "Protocols over UDP that assume order; for TCP needless retransmissions and less throughput.",
        options: &[
            OptionInfo { name: "share", meaning: "how many packets, 0.1% to 50% [default: 10%]" },
            OptionInfo {
                name: "hold",
                meaning: "for how long a packet is held back while others pass, 5ms to 1s [default: 10ms]",
            },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("share"),
        ..kind(
            Kind::Reorder,
            "reorder",
            "packets to and from the target nodes are overtaken by later ones",
            "Of numbered datagrams over up to 4 of the links as many arrive after a later one as chance allows for \
             the share; at the end fewer than a fifth of it.",
        )
    },
    KindInfo {
        breaks: "With `checksum` what loss breaks. With `payload` whatever has no checksum of its own: wrong values \
                 stored and acknowledged, replicas that differ for ever, parsers that crash.",
        options: &[
            OptionInfo { name: "share", meaning: "how many packets, 0.1% to 100% [default: 1%]" },
            OptionInfo {
                name: "mode",
                meaning: "\"checksum\": the receiver's checksum finds the wrong bit, and the packet is lost; \
                          \"payload\": the checksum is made right again, and the application gets wrong bytes \
                          [default: checksum]",
            },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("share"),
        ..kind(
            Kind::Corrupt,
            "corrupt",
            "one bit is flipped in packets to and from the target nodes",
            "Of numbered datagrams over up to 4 of the links as many as chance allows for the share are lost, all of \
             them counted by the receiver's kernel as wrong checksums; with `payload` so many arrive with wrong \
             content. At the end fewer than a fifth of it.",
        )
    },
    KindInfo {
        breaks: "Replicas that fall behind for ever, base backups that never end, queues without a bound, heartbeats \
                 stuck behind data.",
        options: &[
            OptionInfo {
                name: "rate",
                meaning: "how much fits through each link in each direction, 64kbit to 100Mbit a second \
                          [default: 10Mbit]",
            },
            OptionInfo {
                name: "queue",
                meaning: "a packet that would have to wait for longer is dropped, 1ms to 10s [default: 100ms]",
            },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("rate"),
        ..kind(
            Kind::Bandwidth,
            "bandwidth",
            "little fits through each link to and from the target nodes",
            "Of twice as much, sent over up to 2 of the links for a second, no more than the rate arrives, and no \
             less than a third of it (the rest is the database's); at the end more than the rate does.",
        )
    },
    KindInfo {
        breaks: "Clients and pools that take a reset for a failed operation (it may have been done), drivers that \
                 retry what must not be done twice, replicas that never reconnect.",
        options: &[
            OptionInfo {
                name: "after",
                meaning: "how old a connection gets, counted from its first packet, 50ms to 60s [default: 1s]",
            },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("after"),
        ..kind(
            Kind::Reset,
            "reset",
            "connections to and from the target nodes are reset (RST to both ends): those that are there when they next speak, \
             new ones after a time",
            "A connection over up to 4 of the links on which bytes go back and forth is reset at that age, as both \
             ends' kernels say; at the end one lives longer.",
        )
    },
    KindInfo {
        breaks: "Pools that count a connection as free when they have closed it, servers that run out of connections, \
                 fail-over that waits for the old primary's connections to end.",
        options: &[
            OptionInfo {
                name: "hold",
                meaning: "how much later the end of a connection (FIN) arrives, 100ms to 10s [default: 5s]",
            },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("hold"),
        ..kind(
            Kind::SlowClose,
            "slow-close",
            "connections to and from the target nodes take long to close; what was sent before arrives in time",
            "The end of a connection that is closed on one side of up to 4 of the links is seen on the other after \
             that time; at the end it is seen at once.",
        )
    },
    KindInfo {
        how: "The switch (see `delay`) drops FIN and RST that the target nodes send, and every process of theirs is \
              killed and at once started again: whoever was connected holds connections that nobody answers.",
        breaks: "Connections that look alive and are dead: clients without a deadline hang until the kernel gives up, \
                 pools hand out dead connections, replicas wait for a primary that forgot them.",
        options: &[LINKS, PCAP],
        ..kind(
            Kind::HalfOpen,
            "half-open",
            "the processes of the target nodes are killed and started again, and nobody is told that their \
             connections are gone",
            "Of connections over up to 4 of the links, closed at the target node by FIN and by RST, the other side \
             sees no end within 500 ms; at the end it sees them, and the database answers (30 s).",
        )
    },
];

/// A link that takes a packet's share of less is not told from a sound one within a second.
const SHARE_MIN_PPM: u32 = 1_000;
/// Pairs of hosts over which is measured.
const PAIRS_MAX: usize = 4;
/// Of those that fill a link.
const FLOODED_MAX: usize = 2;
/// Hits that are expected in a measurement: so many that a fifth of them is less than chance allows.
const HITS: u32 = 30;
/// Datagrams in a measurement at least.
const DATAGRAMS_MIN: u32 = 300;
/// After this nothing comes any more on a sound link, even when the machine is loaded.
const QUIET_MS: u64 = 500;
/// What load may add to a time: the switch, the receiver and the database share the machine's cores.
const LOAD_MS: f64 = 25.0;

/// Which links of the victims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Links {
    /// To other nodes and to client sites.
    #[default]
    All,
    /// To other nodes.
    Peers,
    /// To client sites.
    Clients,
}

/// Which packets on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Those to the victims and those from them.
    #[default]
    Both,
    /// To the victims.
    To,
    /// From the victims.
    From,
}

/// A rule on some links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shaping {
    /// What is done to packets.
    pub rule: Rule,
    /// Which links.
    pub links: Links,
    /// In which direction.
    pub direction: Direction,
    /// Whether the packets are written to files.
    pub pcap: bool,
}

impl Shaping {
    const fn of(rule: Rule) -> Self {
        let direction = if matches!(rule, Rule::HalfOpen) { Direction::From } else { Direction::Both };
        Self { rule, links: Links::All, direction, pcap: false }
    }

    pub(super) const fn kind(&self) -> Kind {
        match self.rule {
            Rule::Delay { .. } => Kind::Delay,
            Rule::Loss { .. } => Kind::Loss,
            Rule::BurstLoss { .. } => Kind::BurstLoss,
            Rule::Duplicate { .. } => Kind::Duplicate,
            Rule::Reorder { .. } => Kind::Reorder,
            Rule::Corrupt { .. } => Kind::Corrupt,
            Rule::Bandwidth { .. } => Kind::Bandwidth,
            Rule::Reset { .. } => Kind::Reset,
            Rule::SlowClose { .. } => Kind::SlowClose,
            Rule::HalfOpen => Kind::HalfOpen,
        }
    }

    /// `None` for a kind of another family.
    pub(super) fn drawn(kind: Kind, stream: &mut Stream) -> Option<Self> {
        const SHARES_PPM: [u32; 5] = [10_000, 30_000, 100_000, 200_000, 400_000];
        let mut one_of = |ladder: &[u64]| ladder[stream.index(ladder.len())];
        let share_ppm = |stream: &mut Stream| SHARES_PPM[stream.index(SHARES_PPM.len())];
        let rule = match kind {
            Kind::Delay => {
                let delay_ms = one_of(&[10, 50, 100, 300, 1_000]);
                let jitter_ms = one_of(&[0, 0, delay_ms / 5, delay_ms]);
                let distributions = [Distribution::Uniform, Distribution::Normal, Distribution::Pareto];
                let drawn = distributions[one_of(&[0, 1, 2]) as usize];
                let distribution = if jitter_ms == 0 { Distribution::Uniform } else { drawn };
                Rule::Delay { delay_ms, jitter_ms, distribution }
            }
            Kind::Loss => Rule::Loss { share_ppm: share_ppm(stream) },
            Kind::BurstLoss => {
                // Rarer bursts take longer to see than a fault should take to verify.
                let share_ppm = one_of(&[50_000, 100_000, 200_000, 400_000]) as u32;
                Rule::BurstLoss { share_ppm, burst_packets: one_of(&[3, 5, 20]) as u32 }
            }
            Kind::Duplicate => Rule::Duplicate { share_ppm: share_ppm(stream) },
            Kind::Reorder => {
                let hold_ms = one_of(&[10, 20, 50]);
                Rule::Reorder { share_ppm: share_ppm(stream), hold_ms }
            }
            // Checksums only: bytes that are wrong in spite of them are what no database promises to stand, so that
            // nobody should meet them without having asked.
            Kind::Corrupt => {
                Rule::Corrupt { share_ppm: one_of(&[2_000, 10_000, 50_000]) as u32, mode: Corruption::Checksum }
            }
            Kind::Bandwidth => {
                Rule::Bandwidth { bits_per_s: one_of(&[256_000, 1_000_000, 10_000_000, 50_000_000]), queue_ms: 100 }
            }
            Kind::Reset => Rule::Reset { after_ms: one_of(&[200, 500, 1_000, 2_000]) },
            Kind::SlowClose => Rule::SlowClose { hold_ms: one_of(&[500, 1_000, 2_000, 5_000]) },
            Kind::HalfOpen => Rule::HalfOpen,
            Kind::Kill | Kind::Pause | Kind::Failover | Kind::Partition | Kind::Flap => return None,
        };
        Some(Self::of(rule))
    }

    /// `None` for a kind of another family.
    pub(super) fn read(kind: Kind, options: &mut Options) -> Result<Option<Self>, OptionError> {
        let rule = match kind {
            Kind::Delay => read_delay(options)?,
            Kind::Loss => Rule::Loss { share_ppm: read_share(options, 100_000)? },
            Kind::BurstLoss => read_burst_loss(options)?,
            Kind::Duplicate => Rule::Duplicate { share_ppm: read_share(options, 100_000)? },
            Kind::Reorder => read_reorder(options)?,
            Kind::Corrupt => Rule::Corrupt {
                share_ppm: read_share(options, 10_000)?,
                mode: options.word("mode")?.unwrap_or_default(),
            },
            Kind::Bandwidth => Rule::Bandwidth {
                bits_per_s: read_rate(options)?,
                queue_ms: read_millis(options, "queue", 100, 1..=10_000)?,
            },
            Kind::Reset => Rule::Reset { after_ms: read_millis(options, "after", 1_000, 50..=60_000)? },
            Kind::SlowClose => Rule::SlowClose { hold_ms: read_millis(options, "hold", 5_000, 100..=10_000)? },
            Kind::HalfOpen => Rule::HalfOpen,
            Kind::Kill | Kind::Pause | Kind::Failover | Kind::Partition | Kind::Flap => return Ok(None),
        };
        let links = options.word("links")?.unwrap_or_default();
        // It is the victim that says nothing; what others say of their ends arrives.
        let direction =
            if rule == Rule::HalfOpen { Direction::From } else { options.word("direction")?.unwrap_or_default() };
        Ok(Some(Self { rule, links, direction, pcap: options.word("pcap")?.unwrap_or(false) }))
    }

    pub(super) fn write(&self, options: &mut Options) {
        match self.rule {
            Rule::Delay { delay_ms, jitter_ms, distribution } => {
                options.set_millis("delay", delay_ms);
                if jitter_ms > 0 {
                    options.set_millis("jitter", jitter_ms);
                    options.set("distribution", distribution);
                }
            }
            Rule::Loss { share_ppm } | Rule::Duplicate { share_ppm } => options.set_share_ppm("share", share_ppm),
            Rule::BurstLoss { share_ppm, burst_packets } => {
                options.set_share_ppm("share", share_ppm);
                options.set("burst", burst_packets);
            }
            Rule::Reorder { share_ppm, hold_ms } => {
                options.set_share_ppm("share", share_ppm);
                options.set_millis("hold", hold_ms);
            }
            Rule::Corrupt { share_ppm, mode } => {
                options.set_share_ppm("share", share_ppm);
                options.set("mode", mode);
            }
            Rule::Bandwidth { bits_per_s, queue_ms } => {
                options.set("rate", units::rate_text(bits_per_s));
                options.set_millis("queue", queue_ms);
            }
            Rule::Reset { after_ms } => options.set_millis("after", after_ms),
            Rule::SlowClose { hold_ms } => options.set_millis("hold", hold_ms),
            Rule::HalfOpen => {}
        }
        if self.links != Links::All {
            options.set("links", self.links);
        }
        if self.direction != Direction::Both && self.rule != Rule::HalfOpen {
            options.set("direction", self.direction);
        }
        if self.pcap {
            options.set("pcap", true);
        }
    }

    /// What it needs of a cluster beyond what its kind does: the fewest nodes.
    pub(crate) const fn nodes_min(&self) -> usize {
        if matches!(self.links, Links::Peers) { 2 } else { 1 }
    }

    pub(super) fn inject(&self, scene: &Scene<'_>) -> Injection {
        let pairs = self.pairs(scene);
        let shape =
            Step::Shape { id: scene.id, pairs: pairs.clone(), rule: self.rule, seed: scene.draw, pcap: self.pcap };
        let victims = scene.chosen.to_vec();
        let links = match self.links {
            Links::All => "all links",
            Links::Peers => "the links to other nodes",
            Links::Clients => "the links to clients",
        };
        let direction = match self.direction {
            Direction::Both => "",
            Direction::To => ", incoming",
            Direction::From => ", outgoing",
        };
        let detail = format!("{links} of {}{direction}: {}", victims.join(", "), self.rule);
        let (bites, heals) = self.expects(&pairs);
        let mut injection = Injection {
            steps: vec![shape],
            undo: vec![Step::Unshape { id: scene.id }],
            victims,
            detail,
            bites,
            heals,
            ..Injection::default()
        };
        if self.rule == Rule::HalfOpen {
            let victims = &injection.victims;
            injection.steps.extend(each(victims, |node| Step::Restart { node }));
            // Should it have come no further than the kill.
            injection.undo.extend(each(victims, |node| Step::Start { node }));
            injection.bites.extend(each(victims, |node| Expect::Running { node }));
            injection.heals.extend(super::process::serving(victims));
            injection.detail.push_str("; every process killed and started again");
        }
        injection
    }

    /// Directed pairs, sorted, each once.
    fn pairs(&self, scene: &Scene<'_>) -> Pairs {
        let sites = || scene.nodes.iter().map(|node| grudge::site_of(node));
        let others: Vec<String> = match self.links {
            Links::All => scene.nodes.iter().cloned().chain(sites()).collect(),
            Links::Peers => scene.nodes.to_vec(),
            Links::Clients => sites().collect(),
        };
        let mut pairs = Pairs::new();
        for victim in scene.chosen {
            for other in others.iter().filter(|other| *other != victim) {
                let (to, from) = ((other.clone(), victim.clone()), (victim.clone(), other.clone()));
                match self.direction {
                    Direction::Both => pairs.extend([to, from]),
                    Direction::To => pairs.push(to),
                    Direction::From => pairs.push(from),
                }
            }
        }
        pairs.sort();
        pairs.dedup();
        pairs
    }

    /// What must be measured while it is in force, and after it.
    fn expects(&self, pairs: &Pairs) -> (Vec<Expect>, Vec<Expect>) {
        let (mut bites, mut heals) = (Vec::new(), Vec::new());
        let (pairs, max) = match self.rule {
            Rule::Bandwidth { .. } => (pairs, FLOODED_MAX),
            _ => (pairs, PAIRS_MAX),
        };
        for (number, (from, to)) in expect::sample(pairs, max).enumerate() {
            let mut measures = self.measures(&from, &to);
            if pairs.len() > 1 && matches!(self.rule, Rule::BurstLoss { .. }) {
                // One on each link: two at once would share its bursts, and each see shorter ones.
                measures = vec![measures.swap_remove(number % 2)];
            }
            for (gauge, asked, bounds) in measures {
                bites.push(Expect::Measures { gauge, asked, bounds });
            }
            let (gauge, asked, bounds) = self.healed(&from, &to);
            heals.push(Expect::Measures { gauge, asked, bounds });
        }
        (bites, heals)
    }

    fn measures(&self, from: &str, to: &str) -> Vec<Measure> {
        let datagrams =
            |of, count, wait_ms| Gauge::Datagrams { from: from.to_owned(), to: to.to_owned(), count, wait_ms, of };
        let share = |of, share_ppm: u32, wait_ms| {
            let count = datagrams_for(share_ppm);
            let share = f64::from(share_ppm) / 1e6;
            vec![(datagrams(of, count, wait_ms), 100.0 * share, binomial::percents(count, share))]
        };
        match self.rule {
            Rule::Delay { delay_ms, jitter_ms, distribution } => {
                let (delay, jitter) = (delay_ms as f64, jitter_ms as f64);
                let wait_ms = QUIET_MS + 2 * delay_ms;
                let median = delay + jitter * distribution.median();
                // Six standard errors of a median of so many.
                let chance = 6.0 * jitter / f64::from(DATAGRAMS_MIN).sqrt();
                let bounds = median - chance..=median * 1.1 + chance + LOAD_MS;
                let mut all = vec![(datagrams(DatagramGauge::Delay, DATAGRAMS_MIN, wait_ms), median, bounds)];
                if jitter_ms > 0 {
                    let spread = jitter * distribution.middle_half();
                    let bounds = spread * 0.5..=spread * 1.6 + LOAD_MS;
                    all.push((datagrams(DatagramGauge::DelaySpread, DATAGRAMS_MIN, wait_ms), spread, bounds));
                }
                all
            }
            Rule::Loss { share_ppm } => share(DatagramGauge::Lost, share_ppm, QUIET_MS),
            Rule::BurstLoss { share_ppm, burst_packets } => {
                let chain = Bursts { share_ppm, burst_packets };
                let count = chain.datagrams();
                let (share, burst) = (f64::from(share_ppm) / 1e6, f64::from(burst_packets));
                let bounds = binomial::percents(chain.independent(count), share);
                // The database's packets take part in the bursts, so that fewer of ours are lost in a row; that it is
                // one and the same chance for each packet is what must be excluded.
                let single = 1.0 / (1.0 - share);
                let run = single + (burst - single) / 8.0..=burst * 1.7 + 1.0;
                vec![
                    (datagrams(DatagramGauge::Lost, count, QUIET_MS), 100.0 * share, bounds),
                    (datagrams(DatagramGauge::LossRun, count, QUIET_MS), burst, run),
                ]
            }
            Rule::Duplicate { share_ppm } => share(DatagramGauge::Duplicated, share_ppm, QUIET_MS),
            Rule::Reorder { share_ppm, hold_ms } => share(DatagramGauge::Overtaken, share_ppm, QUIET_MS + hold_ms),
            Rule::Corrupt { share_ppm, mode: Corruption::Checksum } => {
                share(DatagramGauge::CorruptedNoticed, share_ppm, QUIET_MS)
            }
            Rule::Corrupt { share_ppm, mode: Corruption::Payload } => {
                share(DatagramGauge::CorruptedUnnoticed, share_ppm, QUIET_MS)
            }
            Rule::Bandwidth { bits_per_s, queue_ms } => {
                let asked = bits_per_s as f64 / 1e6;
                // Never more, but for the rounding to packets; the rest is the database's.
                vec![(throughput(from, to, bits_per_s, queue_ms), asked, asked / 3.0..=asked * 1.02)]
            }
            Rule::Reset { after_ms } => {
                let asked = after_ms as f64;
                let gauge = reset_age(from, to, after_ms);
                // Handshakes and the pauses of the conversation are part of it.
                vec![(gauge, asked, asked..=asked * 1.1 + 200.0)]
            }
            Rule::SlowClose { hold_ms } => {
                let asked = hold_ms as f64;
                vec![(close_time(from, to, hold_ms), asked, asked * 0.99..=asked * 1.1 + 200.0)]
            }
            Rule::HalfOpen => vec![(ends_seen(from, to), 0.0, 0.0..=0.0)],
        }
    }

    /// What is measured on a link that is whole again, what it should be, and what it may be.
    fn healed(&self, from: &str, to: &str) -> Measure {
        let datagrams =
            |of, count| Gauge::Datagrams { from: from.to_owned(), to: to.to_owned(), count, wait_ms: QUIET_MS, of };
        // A share that is still in force would stay within this once in thirty million times.
        let share = |of, share_ppm: u32| {
            let fifth = f64::from(share_ppm) / 50_000.0;
            (datagrams(of, datagrams_for(share_ppm)), 0.0, 0.0..=fifth)
        };
        match self.rule {
            Rule::Delay { delay_ms, .. } => {
                // Of a short delay no more than half may be left, of a long one no more than load makes.
                let bound = LOAD_MS.min(delay_ms as f64 / 2.0);
                (datagrams(DatagramGauge::Delay, DATAGRAMS_MIN), 0.0, 0.0..=bound)
            }
            Rule::Loss { share_ppm } => share(DatagramGauge::Lost, share_ppm),
            Rule::BurstLoss { share_ppm, burst_packets } => {
                let count = Bursts { share_ppm, burst_packets }.datagrams();
                (datagrams(DatagramGauge::Lost, count), 0.0, 0.0..=f64::from(share_ppm) / 50_000.0)
            }
            Rule::Duplicate { share_ppm } => share(DatagramGauge::Duplicated, share_ppm),
            Rule::Reorder { share_ppm, .. } => share(DatagramGauge::Overtaken, share_ppm),
            Rule::Corrupt { share_ppm, mode: Corruption::Checksum } => share(DatagramGauge::Lost, share_ppm),
            Rule::Corrupt { share_ppm, mode: Corruption::Payload } => {
                share(DatagramGauge::CorruptedUnnoticed, share_ppm)
            }
            Rule::Bandwidth { bits_per_s, queue_ms } => {
                let asked = 2.0 * bits_per_s as f64 / 1e6;
                (throughput(from, to, bits_per_s, queue_ms), asked, asked * 0.55..=asked * 1.1)
            }
            Rule::Reset { after_ms } => {
                let gauge = reset_age(from, to, after_ms);
                let max = lives_ms(after_ms) as f64;
                (gauge, max, max..=max)
            }
            Rule::SlowClose { hold_ms } => {
                (close_time(from, to, hold_ms), 0.0, 0.0..=(hold_ms as f64 / 2.0).min(200.0))
            }
            Rule::HalfOpen => (ends_seen(from, to), 100.0, 100.0..=100.0),
        }
    }
}

/// What is measured, what it should be, what it may be.
type Measure = (Gauge, f64, RangeInclusive<f64>);

/// So many that both that it bites and that it is over are certain.
fn datagrams_for(share_ppm: u32) -> u32 {
    (HITS * 1_000_000).div_ceil(share_ppm).max(DATAGRAMS_MIN)
}

/// Losses in a row make a measurement less exact: so many datagrams tell as much as how many single ones?
#[derive(Debug, Clone, Copy)]
struct Bursts {
    share_ppm: u32,
    burst_packets: u32,
}

impl Bursts {
    /// Of a chain with two states, one step's correlation is what is left of one when both ways of leaving are taken
    /// away; the variance of a mean grows by (1 + r)/(1 - r).
    fn worth(self) -> f64 {
        let (share, burst) = (f64::from(self.share_ppm) / 1e6, f64::from(self.burst_packets));
        let leave = 1.0 / burst;
        let enter = leave * share / (1.0 - share).max(1e-6);
        let kept = (1.0 - leave - enter).max(0.0);
        (1.0 - kept) / (1.0 + kept)
    }

    fn datagrams(self) -> u32 {
        (f64::from(datagrams_for(self.share_ppm)) / self.worth()).ceil() as u32
    }

    fn independent(self, count: u32) -> u32 {
        (f64::from(count) * self.worth()).floor() as u32
    }
}

fn throughput(from: &str, to: &str, bits_per_s: u64, queue_ms: u64) -> Gauge {
    let offered_bits_per_s = 2 * bits_per_s;
    Gauge::Throughput { from: from.to_owned(), to: to.to_owned(), offered_bits_per_s, wait_ms: QUIET_MS + queue_ms }
}

/// A connection that lives so long is not reset.
const fn lives_ms(after_ms: u64) -> u64 {
    after_ms + 1_000
}

fn reset_age(from: &str, to: &str, after_ms: u64) -> Gauge {
    Gauge::ResetAge { from: from.to_owned(), to: to.to_owned(), max_ms: lives_ms(after_ms) }
}

fn close_time(from: &str, to: &str, hold_ms: u64) -> Gauge {
    Gauge::CloseTime { from: from.to_owned(), to: to.to_owned(), max_ms: 2 * hold_ms + 1_000 }
}

fn ends_seen(from: &str, to: &str) -> Gauge {
    Gauge::EndsSeen { from: from.to_owned(), to: to.to_owned(), within_ms: QUIET_MS }
}

fn wrong(option: &str, problem: String) -> OptionError {
    OptionError { option: Some(option.to_owned()), problem }
}

fn read_millis(
    options: &mut Options,
    name: &str,
    default_ms: u64,
    range_ms: RangeInclusive<u64>,
) -> Result<u64, OptionError> {
    let millis = options.millis(name)?.unwrap_or(default_ms);
    if range_ms.contains(&millis) {
        return Ok(millis);
    }
    let [min, max] = [range_ms.start(), range_ms.end()].map(|&end| units::millis_text(end));
    Err(wrong(name, format!("`{name}` is between {min} and {max}, not {}", units::millis_text(millis))))
}

fn read_share(options: &mut Options, default_ppm: u32) -> Result<u32, OptionError> {
    let share_ppm = options.share_ppm("share")?.unwrap_or(default_ppm);
    if share_ppm < SHARE_MIN_PPM {
        let min = units::share_text(SHARE_MIN_PPM);
        let problem = format!("a share of less than {min} cannot be seen within a second, which verifying it takes");
        return Err(wrong("share", problem));
    }
    Ok(share_ppm)
}

fn read_burst_loss(options: &mut Options) -> Result<Rule, OptionError> {
    let share_ppm = read_share(options, 100_000)?;
    let burst_packets: u32 = options.word("burst")?.unwrap_or(5);
    if !(2..=1_000).contains(&burst_packets) {
        return Err(wrong("burst", format!("`burst` is between 2 and 1000 packets, not {burst_packets}")));
    }
    // Between two bursts at least one packet arrives.
    let max_ppm = u64::from(burst_packets) * 1_000_000 / u64::from(burst_packets + 1);
    if u64::from(share_ppm) > max_ppm {
        let max = units::share_text(max_ppm as u32);
        return Err(wrong(
            "share",
            format!("bursts of {burst_packets} packets, with one between them, are {max} at most"),
        ));
    }
    let chain = Bursts { share_ppm, burst_packets };
    if chain.datagrams() > DATAGRAMS_MAX {
        let problem = "so rare and so long bursts cannot be seen within a second, which verifying them takes: \
                       a larger `share` or a smaller `burst`";
        return Err(problem.to_owned().into());
    }
    Ok(Rule::BurstLoss { share_ppm, burst_packets })
}

/// As many can be sent in about a second.
const DATAGRAMS_MAX: u32 = 50_000;

fn read_reorder(options: &mut Options) -> Result<Rule, OptionError> {
    let share_ppm = read_share(options, 100_000)?;
    if share_ppm > 500_000 {
        // Were all held back, they would all be in order again.
        return Err(wrong("share", "at most 50% of the packets can be overtaken by the others".to_owned()));
    }
    Ok(Rule::Reorder { share_ppm, hold_ms: read_millis(options, "hold", 10, 5..=1_000)? })
}

fn read_delay(options: &mut Options) -> Result<Rule, OptionError> {
    let delay_ms = read_millis(options, "delay", 100, 5..=10_000)?;
    let jitter_ms = options.millis("jitter")?.unwrap_or(0);
    let distribution: Option<Distribution> = options.word("distribution")?;
    if jitter_ms > delay_ms {
        let problem = format!(
            "`jitter` is at most the delay, {}: nothing arrives before it was sent",
            units::millis_text(delay_ms)
        );
        return Err(wrong("jitter", problem));
    }
    if jitter_ms == 0 && distribution.is_some() {
        return Err(wrong("distribution", "`distribution` is that of the jitter: it wants `jitter`".to_owned()));
    }
    Ok(Rule::Delay { delay_ms, jitter_ms, distribution: distribution.unwrap_or_default() })
}

fn read_rate(options: &mut Options) -> Result<u64, OptionError> {
    const RANGE: RangeInclusive<u64> = 64_000..=100_000_000;
    let bits_per_s = options.parsed("rate", units::parse_rate)?.unwrap_or(10_000_000);
    if RANGE.contains(&bits_per_s) {
        return Ok(bits_per_s);
    }
    let [min, max] = [RANGE.start(), RANGE.end()].map(|&end| units::rate_text(end));
    Err(wrong("rate", format!("`rate` is between {min} and {max}, not {}", units::rate_text(bits_per_s))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> [String; 3] {
        ["n1", "n2", "n3"].map(String::from)
    }

    fn injection(shaping: Shaping, victims: usize) -> Injection {
        let nodes = nodes();
        shaping.inject(&Scene::of(&One, &nodes[..victims], &nodes))
    }

    fn pairs(links: Links, direction: Direction, victims: usize) -> Vec<String> {
        let injection =
            injection(Shaping { links, direction, ..Shaping::of(Rule::Loss { share_ppm: 100_000 }) }, victims);
        let [Step::Shape { pairs, .. }] = &injection.steps[..] else { panic!("{injection:?}") };
        pairs.iter().map(|(from, to)| format!("{from}{to}")).collect()
    }

    #[test]
    fn links_and_directions_are_those_that_are_told() {
        assert_eq!(pairs(Links::Peers, Direction::Both, 1), ["n1n2", "n1n3", "n2n1", "n3n1"]);
        assert_eq!(pairs(Links::Clients, Direction::To, 1), ["c1n1", "c2n1", "c3n1"]);
        assert_eq!(pairs(Links::All, Direction::From, 1), ["n1c1", "n1c2", "n1c3", "n1n2", "n1n3"]);
        assert_eq!(pairs(Links::Peers, Direction::Both, 3).len(), 6);
        assert_eq!(pairs(Links::Peers, Direction::From, 3).len(), 6);
        assert_eq!(pairs(Links::All, Direction::Both, 3).len(), 6 + 18);
    }

    #[test]
    fn what_is_done_is_undone_and_both_are_measured() {
        for info in KINDS {
            let shaping = Shaping::read(info.kind, &mut Options::default()).unwrap().unwrap();
            assert_eq!(shaping.kind(), info.kind);
            let injection = injection(shaping, 1);
            assert_eq!(injection.undo[0], Step::Unshape { id: 0 });
            for expects in [&injection.bites, &injection.heals] {
                let measured = expects.iter().filter(|expect| matches!(expect, Expect::Measures { .. })).count();
                assert!((2..=8).contains(&measured), "{}", info.name);
            }
        }
    }

    /// A fault that does nothing does not pass for one, and one that is still in force does not pass for healed.
    #[test]
    fn no_measurement_allows_both_the_fault_and_its_absence() {
        let mut stream = schism_seed::Seed::new(3).stream("faults");
        for info in KINDS {
            for _ in 0..50 {
                let shaping = Shaping::drawn(info.kind, &mut stream).unwrap();
                let (_, whole, healed) = shaping.healed("n1", "n2");
                let (_, asked, bites) = shaping.measures("n1", "n2").remove(0);
                assert!(bites.contains(&asked) && healed.contains(&whole), "{shaping:?}");
                assert!(!bites.contains(&whole) && !healed.contains(&asked), "{shaping:?}");
            }
        }
    }

    #[test]
    fn a_half_open_node_is_started_again_whatever_comes_between() {
        let injection = injection(Shaping::of(Rule::HalfOpen), 1);
        assert!(matches!(&injection.steps[..], [Step::Shape { .. }, Step::Restart { node }] if node == "n1"));
        assert_eq!(injection.undo, [Step::Unshape { id: 0 }, Step::Start { node: "n1".into() }]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        for (kind, option, value, expected) in [
            (Kind::Delay, "delay", "1ms", "between 5ms and 10s, not 1ms"),
            (Kind::Delay, "jitter", "200ms", "at most the delay, 100ms"),
            (Kind::Delay, "distribution", "normal", "it wants `jitter`"),
            (Kind::Delay, "links", "servers", "unknown variant `servers`"),
            (Kind::Loss, "share", "0.05%", "less than 0.1% cannot be seen"),
            (Kind::BurstLoss, "share", "90%", "are 83.3333% at most"),
            (Kind::Reorder, "share", "60%", "at most 50%"),
            (Kind::Bandwidth, "rate", "1Gbit", "between 64kbit and 100Mbit, not 1Gbit"),
            (Kind::Bandwidth, "rate", "10MB", "is no rate"),
            (Kind::SlowClose, "hold", "1m", "between 100ms and 10s"),
            (Kind::Corrupt, "mode", "bits", "unknown variant `bits`"),
        ] {
            let mut options = Options::default();
            options.set(option, value);
            let error = Shaping::read(kind, &mut options).unwrap_err();
            assert!(error.problem.contains(expected), "{kind}: {}", error.problem);
            assert_eq!(error.option.as_deref(), Some(option), "{kind}");
        }
        let mut options = Options::default();
        options.set("share", "0.1%");
        options.set("burst", 100);
        let error = Shaping::read(Kind::BurstLoss, &mut options).unwrap_err();
        assert!(error.problem.contains("so rare and so long bursts"), "{}", error.problem);
    }
}
