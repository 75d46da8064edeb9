//! What may be asked of a fault of links: drawn from a seed, read from a schedule, written to one.

use std::ops::RangeInclusive;

use schism_cluster::{Corruption, Distribution, Rule};
use schism_seed::Stream;

use super::{Direction, Links, Shaping, measure};
use crate::{
    Kind,
    options::{OptionError, Options},
    units,
};

/// A link that takes a packet's share of less is not told from a sound one within a second.
const SHARE_MIN_PPM: u32 = 1_000;

impl Shaping {
    /// This kind as a seed draws it; `None` for a kind of another family.
    pub(crate) fn drawn(kind: Kind, stream: &mut Stream) -> Option<Self> {
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
            _ => return None,
        };
        Some(Self::of(rule))
    }

    /// This kind with these options; `None` for a kind of another family.
    pub(crate) fn read(kind: Kind, options: &mut Options) -> Result<Option<Self>, OptionError> {
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
            _ => return Ok(None),
        };
        let links = options.word("links")?.unwrap_or_default();
        // It is the victim that says nothing; what others say of their ends arrives.
        let direction =
            if rule == Rule::HalfOpen { Direction::From } else { options.word("direction")?.unwrap_or_default() };
        Ok(Some(Self { rule, links, direction, pcap: options.word("pcap")?.unwrap_or(false) }))
    }

    /// So that [`Shaping::read`] gives the same.
    pub(crate) fn write(&self, options: &mut Options) {
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
                options.set("rate", units::bits_per_s_text(bits_per_s));
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
    let chain = measure::Bursts { share_ppm, burst_packets };
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
    let bits_per_s = options.parsed("rate", units::parse_bits_per_s)?.unwrap_or(10_000_000);
    if RANGE.contains(&bits_per_s) {
        return Ok(bits_per_s);
    }
    let [min, max] = [RANGE.start(), RANGE.end()].map(|&end| units::bits_per_s_text(end));
    Err(wrong("rate", format!("`rate` is between {min} and {max}, not {}", units::bits_per_s_text(bits_per_s))))
}

#[cfg(test)]
mod tests {
    use super::*;

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
