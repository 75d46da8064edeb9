//! How it is seen that links are as bad as asked, and that they are whole again: what is measured, what it should be,
//! and how far from that it may be by chance and load.

use std::ops::RangeInclusive;

use schism_cluster::{Corruption, DatagramGauge, Gauge, Rule};

use super::Shaping;
use crate::{
    binomial,
    expect::{self, Expect},
    grudge::Pairs,
};

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

impl Shaping {
    /// What must be measured while it is in force, and after it.
    pub(super) fn expects(&self, pairs: &Pairs) -> (Vec<Expect>, Vec<Expect>) {
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
pub(super) struct Bursts {
    pub(super) share_ppm: u32,
    pub(super) burst_packets: u32,
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

    pub(super) fn datagrams(self) -> u32 {
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

#[cfg(test)]
mod tests {
    use super::{super::KINDS, *};

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
}
