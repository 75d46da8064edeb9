//! What can be done to the packets of a directed link. Pure: a packet and a moment in, its fate out.

use std::fmt;

use rustc_hash::FxHashMap;
use schism_seed::Stream;
use serde::{Deserialize, Serialize};

use super::chance::{Distribution, GilbertElliott};
use super::frame::{FIN, Layout, RST, SYN};

const MILLION: u64 = 1_000_000;
const NS_PER_MS: u64 = 1_000_000;
/// Connections of one link that are remembered; beyond that the oldest are forgotten, and reset when they speak.
const FLOWS_MAX: usize = 100_000;

/// What happens to the packets of a directed link. Each packet's lot is drawn on its own, in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rule {
    /// Packets arrive later. With jitter they overtake one another, as each is delayed by a time of its own.
    Delay {
        /// By how much, one way, in milliseconds.
        delay_ms: u64,
        /// How far the time of a packet may be from that, in milliseconds; see [`Distribution`].
        jitter_ms: u64,
        /// How it is spread.
        distribution: Distribution,
    },
    /// Packets are lost, each by itself.
    Loss {
        /// How many, in parts per million.
        share_ppm: u32,
    },
    /// Packets are lost, several in a row (Gilbert–Elliott).
    BurstLoss {
        /// How many, in parts per million.
        share_ppm: u32,
        /// How many in a row on average.
        burst_packets: u32,
    },
    /// Packets arrive twice.
    Duplicate {
        /// How many, in parts per million.
        share_ppm: u32,
    },
    /// Packets are held back while later ones pass.
    Reorder {
        /// How many, in parts per million.
        share_ppm: u32,
        /// For how long, in milliseconds.
        hold_ms: u64,
    },
    /// One bit of a packet is flipped.
    Corrupt {
        /// In how many, in parts per million.
        share_ppm: u32,
        /// Whether the receiver can notice.
        mode: Corruption,
    },
    /// No more than so many bits a second pass, Ethernet headers counted.
    Bandwidth {
        /// How many.
        bits_per_s: u64,
        /// A packet that would have to wait longer than this before its turn, in milliseconds, is dropped.
        queue_ms: u64,
    },
    /// Connections are reset, as by a firewall that has lost its memory and has little patience: both ends get an RST.
    Reset {
        /// When a connection's packet crosses so long after its first, in milliseconds. A connection whose beginning
        /// was not seen is reset at its next packet.
        after_ms: u64,
    },
    /// The end of a connection (FIN) arrives late; what was sent before it does not.
    SlowClose {
        /// By how much, in milliseconds.
        hold_ms: u64,
    },
    /// Neither FIN nor RST arrives: a connection that one end has given up lives on at the other.
    HalfOpen,
}

/// What of a packet is made wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corruption {
    /// The receiver's checksum finds it, and the packet is dropped.
    #[default]
    Checksum,
    /// The checksum is made right again: the application gets wrong bytes.
    Payload,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |ppm: &u32| f64::from(*ppm) / 10_000.0;
        match self {
            Self::Delay { delay_ms, jitter_ms: 0, .. } => write!(f, "delayed by {delay_ms} ms"),
            Self::Delay { delay_ms, jitter_ms, distribution } => {
                write!(f, "delayed by {delay_ms} ms ± {jitter_ms} ms ({distribution:?})")
            }
            Self::Loss { share_ppm } => write!(f, "{} % lost", percent(share_ppm)),
            Self::BurstLoss { share_ppm, burst_packets } => {
                write!(f, "{} % lost, {burst_packets} in a row on average", percent(share_ppm))
            }
            Self::Duplicate { share_ppm } => write!(f, "{} % duplicated", percent(share_ppm)),
            Self::Reorder { share_ppm, hold_ms } => {
                write!(f, "{} % held back for {hold_ms} ms", percent(share_ppm))
            }
            Self::Corrupt { share_ppm, mode: Corruption::Checksum } => {
                write!(f, "one bit flipped in {} %", percent(share_ppm))
            }
            Self::Corrupt { share_ppm, mode: Corruption::Payload } => {
                write!(f, "one bit flipped in {} %, checksum mended", percent(share_ppm))
            }
            Self::Bandwidth { bits_per_s, .. } => write!(f, "at most {} Mbit/s", *bits_per_s as f64 / 1e6),
            Self::Reset { after_ms } => write!(f, "connections reset after {after_ms} ms"),
            Self::SlowClose { hold_ms } => write!(f, "FIN held back for {hold_ms} ms"),
            Self::HalfOpen => f.write_str("FIN and RST dropped"),
        }
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It never arrives.
    Drop,
    /// It arrives at this time.
    Pass { at_ns: u64 },
    /// It arrives at this time, and again.
    Twice { at_ns: u64 },
    /// Its content arrives now, the end of the connection at this time.
    Split { fin_at_ns: u64 },
    /// It never arrives; both ends learn that their connection is reset.
    Reset,
}

/// A rule on one directed link, with what it remembers of it.
#[derive(Debug)]
pub(crate) struct RuleState {
    pub(crate) rule: Rule,
    stream: Stream,
    memory: Memory,
}

#[derive(Debug)]
enum Memory {
    None,
    Bursts(GilbertElliott),
    /// When the link will have sent everything that it has accepted.
    Sending {
        free_ns: u64,
    },
    /// When each connection was first seen, by its ports: the link has the addresses.
    Flows(FxHashMap<(u16, u16), u64>),
}

impl RuleState {
    pub(crate) fn new(rule: Rule, mut stream: Stream) -> Self {
        let memory = match rule {
            Rule::BurstLoss { share_ppm, burst_packets } => {
                Memory::Bursts(GilbertElliott::new(share_ppm, burst_packets, &mut stream))
            }
            Rule::Bandwidth { .. } => Memory::Sending { free_ns: 0 },
            Rule::Reset { .. } => Memory::Flows(FxHashMap::default()),
            _ => Memory::None,
        };
        Self { rule, stream, memory }
    }

    /// What becomes of a packet that gets here at `at_ns`; may change its bytes.
    pub(crate) fn fate(&mut self, layout: &Layout, frame: &mut [u8], at_ns: u64) -> Fate {
        let Self { rule, stream, memory } = self;
        let hits = |stream: &mut Stream, share_ppm: u32| stream.chance(u64::from(share_ppm), MILLION);
        match (*rule, memory) {
            (Rule::Delay { delay_ms, jitter_ms, distribution }, _) => {
                let jitter_ns = match jitter_ms {
                    0 => 0.0,
                    _ => distribution.draw(stream) * (jitter_ms * NS_PER_MS) as f64,
                };
                // Nothing arrives before it was sent: the cast takes what is below zero for zero.
                Fate::Pass { at_ns: at_ns + ((delay_ms * NS_PER_MS) as f64 + jitter_ns) as u64 }
            }
            (Rule::Loss { share_ppm }, _) if hits(stream, share_ppm) => Fate::Drop,
            (Rule::BurstLoss { .. }, Memory::Bursts(chain)) => {
                if chain.loses(stream) {
                    Fate::Drop
                } else {
                    Fate::Pass { at_ns }
                }
            }
            (Rule::Duplicate { share_ppm }, _) if hits(stream, share_ppm) => Fate::Twice { at_ns },
            (Rule::Reorder { share_ppm, hold_ms }, _) if hits(stream, share_ppm) => {
                Fate::Pass { at_ns: at_ns + hold_ms * NS_PER_MS }
            }
            (Rule::Corrupt { share_ppm, mode }, _) => {
                // Drawn for every packet, whether or not there is something to flip: what a packet holds must not
                // change the lot of the next.
                if hits(stream, share_ppm) {
                    let draw = |below| stream.below(below);
                    match mode {
                        Corruption::Checksum => layout.corrupt(frame, draw),
                        Corruption::Payload => layout.corrupt_unnoticed(frame, draw),
                    };
                }
                Fate::Pass { at_ns }
            }
            (Rule::Bandwidth { bits_per_s, queue_ms }, Memory::Sending { free_ns }) => {
                let begin_ns = at_ns.max(*free_ns);
                if begin_ns - at_ns > queue_ms * NS_PER_MS {
                    return Fate::Drop;
                }
                *free_ns = begin_ns + (frame.len() as u64 * 8 * 1_000_000_000).div_ceil(bits_per_s.max(1));
                Fate::Pass { at_ns: *free_ns }
            }
            (Rule::Reset { after_ms }, Memory::Flows(flows)) => reset(layout, flows, after_ms, at_ns),
            (Rule::SlowClose { hold_ms }, _) if has(layout, FIN) && !has(layout, RST) => {
                let fin_at_ns = at_ns + hold_ms * NS_PER_MS;
                if layout.has_payload() { Fate::Split { fin_at_ns } } else { Fate::Pass { at_ns: fin_at_ns } }
            }
            (Rule::HalfOpen, _) if has(layout, FIN | RST) => Fate::Drop,
            _ => Fate::Pass { at_ns },
        }
    }
}

fn has(layout: &Layout, flags: u8) -> bool {
    layout.tcp().is_some_and(|tcp| tcp.flags & flags != 0)
}

fn reset(layout: &Layout, flows: &mut FxHashMap<(u16, u16), u64>, after_ms: u64, at_ns: u64) -> Fate {
    let pass = Fate::Pass { at_ns };
    let Some(tcp) = layout.tcp() else { return pass };
    // A reset ends a connection, and is never answered.
    if tcp.flags & RST != 0 {
        flows.remove(&tcp.ports);
        return pass;
    }
    if tcp.flags & SYN != 0 {
        if flows.len() >= FLOWS_MAX {
            let oldest = flows.values().copied().min().unwrap_or(0);
            flows.retain(|_, begin_ns| *begin_ns > oldest);
        }
        flows.insert(tcp.ports, at_ns);
        return pass;
    }
    match flows.get(&tcp.ports) {
        Some(begin_ns) if at_ns.saturating_sub(*begin_ns) <= after_ms * NS_PER_MS => pass,
        _ => Fate::Reset,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schism_seed::Seed;

    use super::super::frame::parse;
    use super::super::frame::tests::{tcp_segment, udp};
    use super::*;

    const ACK: u8 = 0x10;

    fn state(rule: Rule) -> RuleState {
        RuleState::new(rule, Seed::new(1).stream("n1→n2"))
    }

    fn fate(state: &mut RuleState, frame: &mut [u8], at_ns: u64) -> Fate {
        state.fate(&parse(frame).unwrap(), frame, at_ns)
    }

    fn fates(rule: Rule, count: u64) -> Vec<Fate> {
        let mut state = state(rule);
        (0..count).map(|at_ns| fate(&mut state, &mut udp(b"payload"), at_ns)).collect()
    }

    #[test]
    fn shares_are_as_asked() {
        let share = |rule, is: fn(&Fate, u64) -> bool| {
            let fates = fates(rule, 100_000);
            (0..).zip(&fates).filter(|&(at_ns, fate)| is(fate, at_ns)).count() as f64 / 100_000.0
        };
        let near = |got: f64, asked: f64| assert!((got - asked).abs() < 0.006, "got {got}, asked {asked}");
        near(share(Rule::Loss { share_ppm: 100_000 }, |fate, _| *fate == Fate::Drop), 0.1);
        near(share(Rule::BurstLoss { share_ppm: 100_000, burst_packets: 4 }, |fate, _| *fate == Fate::Drop), 0.1);
        near(share(Rule::Duplicate { share_ppm: 50_000 }, |fate, _| matches!(fate, Fate::Twice { .. })), 0.05);
        let held = Rule::Reorder { share_ppm: 200_000, hold_ms: 5 };
        near(share(held, |fate, at_ns| *fate == Fate::Pass { at_ns: at_ns + 5_000_000 }), 0.2);
        near(share(held, |fate, at_ns| *fate == Fate::Pass { at_ns }), 0.8);
    }

    #[test]
    fn one_rule_on_two_links_does_not_do_the_same_to_both() {
        let lot = |name: &str| {
            let mut state = RuleState::new(Rule::Loss { share_ppm: 500_000 }, Seed::new(1).stream(name));
            (0..64).map(|at_ns| fate(&mut state, &mut udp(b"x"), at_ns)).collect::<Vec<_>>()
        };
        assert_ne!(lot("n1→n2"), lot("n2→n1"));
        assert_eq!(lot("n1→n2"), lot("n1→n2"));
    }

    #[test]
    fn a_delay_without_jitter_is_exact_and_keeps_the_order() {
        let rule = Rule::Delay { delay_ms: 100, jitter_ms: 0, distribution: Distribution::Uniform };
        for (at_ns, fate) in (0..).zip(fates(rule, 100)) {
            assert_eq!(fate, Fate::Pass { at_ns: at_ns + 100_000_000 });
        }
    }

    #[test]
    fn a_packet_never_arrives_before_it_was_sent() {
        let rule = Rule::Delay { delay_ms: 1, jitter_ms: 1_000, distribution: Distribution::Normal };
        let early = |(at_ns, fate)| match fate {
            Fate::Pass { at_ns: due_ns } => due_ns < at_ns,
            _ => true,
        };
        assert!(!(0..).zip(fates(rule, 10_000)).any(early));
    }

    #[test]
    fn bandwidth_is_kept_and_what_would_wait_too_long_is_dropped() {
        let rule = Rule::Bandwidth { bits_per_s: 1_000_000, queue_ms: 10 };
        let mut state = state(rule);
        let mut frame = udp(&[0; 1_250 - 42]);
        // 10 ms a frame: one is being sent, one waits for its turn, the third would wait for more than 10 ms.
        assert_eq!(fate(&mut state, &mut frame, 0), Fate::Pass { at_ns: 10_000_000 });
        assert_eq!(fate(&mut state, &mut frame, 0), Fate::Pass { at_ns: 20_000_000 });
        assert_eq!(fate(&mut state, &mut frame, 0), Fate::Drop);
        assert_eq!(fate(&mut state, &mut frame, 15_000_000), Fate::Pass { at_ns: 30_000_000 });
        assert_eq!(fate(&mut state, &mut frame, 1_000_000_000), Fate::Pass { at_ns: 1_010_000_000 });
    }

    #[test]
    fn connections_are_reset_by_age_and_strangers_at_once() {
        let mut state = state(Rule::Reset { after_ms: 1 });
        let mut data = tcp_segment(ACK, b"x");
        assert_eq!(fate(&mut state, &mut data, 0), Fate::Reset);
        assert_eq!(fate(&mut state, &mut tcp_segment(SYN, b""), 10), Fate::Pass { at_ns: 10 });
        assert_eq!(fate(&mut state, &mut data, 1_000_010), Fate::Pass { at_ns: 1_000_010 });
        assert_eq!(fate(&mut state, &mut data, 1_000_011), Fate::Reset);
        // An RST is not answered by another, and a new connection may have the same ports.
        assert_eq!(fate(&mut state, &mut tcp_segment(RST, b""), 2_000_000), Fate::Pass { at_ns: 2_000_000 });
        assert_eq!(fate(&mut state, &mut tcp_segment(SYN, b""), 3_000_000), Fate::Pass { at_ns: 3_000_000 });
        assert_eq!(fate(&mut state, &mut data, 3_000_001), Fate::Pass { at_ns: 3_000_001 });
        assert_eq!(fate(&mut state, &mut udp(b"x"), 9_000_000), Fate::Pass { at_ns: 9_000_000 });
    }

    #[test]
    fn only_ends_of_connections_are_held_or_lost() {
        let mut slow = state(Rule::SlowClose { hold_ms: 1 });
        assert_eq!(fate(&mut slow, &mut tcp_segment(FIN | ACK, b""), 5), Fate::Pass { at_ns: 1_000_005 });
        assert_eq!(fate(&mut slow, &mut tcp_segment(FIN | ACK, b"x"), 5), Fate::Split { fin_at_ns: 1_000_005 });
        assert_eq!(fate(&mut slow, &mut tcp_segment(RST | ACK, b""), 5), Fate::Pass { at_ns: 5 });
        assert_eq!(fate(&mut slow, &mut tcp_segment(ACK, b"x"), 5), Fate::Pass { at_ns: 5 });
        let mut half = state(Rule::HalfOpen);
        for lost in [FIN | ACK, RST, RST | ACK] {
            assert_eq!(fate(&mut half, &mut tcp_segment(lost, b""), 5), Fate::Drop);
        }
        assert_eq!(fate(&mut half, &mut tcp_segment(SYN, b""), 5), Fate::Pass { at_ns: 5 });
        assert_eq!(fate(&mut half, &mut udp(b"x"), 5), Fate::Pass { at_ns: 5 });
    }

    #[test]
    fn what_is_corrupted_is_one_bit_and_arrives() {
        for mode in [Corruption::Checksum, Corruption::Payload] {
            let mut state = state(Rule::Corrupt { share_ppm: 300_000, mode });
            let mut changed = 0;
            for _ in 0..10_000 {
                let mut frame = udp(b"payload");
                assert_eq!(fate(&mut state, &mut frame, 1), Fate::Pass { at_ns: 1 });
                changed += u32::from(frame != udp(b"payload"));
            }
            assert!((2_700..3_300).contains(&changed), "{changed}");
        }
    }

    proptest! {
        #[test]
        fn a_link_never_sends_more_than_it_may(
            bits_per_s in 64_000_u64..100_000_000, queue_ms in 1_u64..200,
            packets in proptest::collection::vec((0_u64..5_000_000, 0_usize..1_400), 1..200),
        ) {
            let mut state = state(Rule::Bandwidth { bits_per_s, queue_ms });
            let (mut now_ns, mut bits, mut last_ns, mut first_ns) = (0, 0, 0, None);
            for (gap_ns, size) in packets {
                now_ns += gap_ns;
                let mut frame = udp(&vec![0; size]);
                if let Fate::Pass { at_ns } = fate(&mut state, &mut frame, now_ns) {
                    let begin_ns = *first_ns.get_or_insert(now_ns);
                    bits += frame.len() as u64 * 8;
                    prop_assert!(at_ns >= last_ns && at_ns > now_ns);
                    last_ns = at_ns;
                    prop_assert!(u128::from(bits) * 1_000_000_000
                        <= u128::from(at_ns - begin_ns) * u128::from(bits_per_s));
                }
            }
        }
    }
}
