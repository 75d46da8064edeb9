//! Drawn times and drawn losses: how long a packet is late, and when losses come in bursts.

use schism_seed::Stream;
use serde::{Deserialize, Serialize};

/// How the time by which packets are later or earlier is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Evenly between the delay less the jitter and the delay plus the jitter.
    #[default]
    Uniform,
    /// Around the delay; the jitter is the standard deviation.
    Normal,
    /// Mostly a little less than the delay and sometimes very much more, as on the open internet: Pareto with shape 3,
    /// whose mean is the delay and whose standard deviation is the jitter.
    Pareto,
}

/// Of a Pareto distribution with shape 3 and scale 1.
const PARETO_SHAPE: f64 = 3.0;
const PARETO_MEAN: f64 = 1.5;
const PARETO_DEVIATION: f64 = 0.866_025_403_784_438_6;
/// One packet in 90,000 would be later than this many standard deviations: it is so late and no later, lest a link
/// seem dead.
const DEVIATIONS_MAX: f64 = 50.0;

impl Distribution {
    /// By how many jitters a packet is later than the delay.
    pub(crate) fn draw(self, stream: &mut Stream) -> f64 {
        // In (0, 1]: zero has no logarithm.
        let unit = 1.0 - stream.unit_f64();
        match self {
            Self::Uniform => 2.0 * unit - 1.0,
            // G. Box, M. Muller, "A Note on the Generation of Random Normal Deviates", 1958.
            Self::Normal => (-2.0 * unit.ln()).sqrt() * (std::f64::consts::TAU * stream.unit_f64()).cos(),
            Self::Pareto => self.quantile_of_rest(unit).min(DEVIATIONS_MAX),
        }
    }

    /// The share `rest` of packets is later than this many jitters beyond the delay.
    fn quantile_of_rest(self, rest: f64) -> f64 {
        (rest.powf(-1.0 / PARETO_SHAPE) - PARETO_MEAN) / PARETO_DEVIATION
    }

    /// Half of the packets are later than the delay by more than this many jitters.
    #[must_use]
    pub fn median(self) -> f64 {
        match self {
            Self::Uniform | Self::Normal => 0.0,
            Self::Pareto => self.quantile_of_rest(0.5),
        }
    }

    /// The middle half of the packets lies within this many jitters.
    #[must_use]
    pub fn middle_half(self) -> f64 {
        match self {
            Self::Uniform => 1.0,
            Self::Normal => 1.348_979_5,
            Self::Pareto => self.quantile_of_rest(0.25) - self.quantile_of_rest(0.75),
        }
    }
}

/// Losses in bursts: E. Gilbert, "Capacity of a Burst-Noise Channel", 1960; E. Elliott, 1963. A chain with a good
/// state that loses nothing and a bad one that loses everything; it moves once a packet. The two numbers that one can
/// ask for decide it: the share of packets that are lost, and the mean length of a burst.
#[derive(Debug, Clone)]
pub(crate) struct GilbertElliott {
    share_ppm: u32,
    burst_packets: u32,
    is_bad: bool,
}

const MILLION: u64 = 1_000_000;

impl GilbertElliott {
    /// It begins in the state in which it would be found at any other time.
    pub(crate) fn new(share_ppm: u32, burst_packets: u32, stream: &mut Stream) -> Self {
        Self { share_ppm, burst_packets, is_bad: stream.chance(u64::from(share_ppm), MILLION) }
    }

    /// Whether this packet is lost.
    pub(crate) fn loses(&mut self, stream: &mut Stream) -> bool {
        let lost = self.is_bad;
        let (share, burst) = (u64::from(self.share_ppm), u64::from(self.burst_packets));
        // In balance as many go into the bad state as leave it: good × enter = bad × 1/burst.
        let moves = if lost { stream.chance(1, burst) } else { stream.chance(share, burst * (MILLION - share).max(1)) };
        self.is_bad ^= moves;
        lost
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schism_seed::Seed;

    use super::*;

    fn drawn(distribution: Distribution, count: usize) -> Vec<f64> {
        let mut stream = Seed::new(5).stream("jitter");
        let mut values: Vec<f64> = (0..count).map(|_| distribution.draw(&mut stream)).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    #[test]
    fn distributions_have_the_mean_deviation_and_quartiles_that_are_told() {
        let count = 200_000;
        for (distribution, deviation) in
            [(Distribution::Uniform, 1.0 / 3.0_f64.sqrt()), (Distribution::Normal, 1.0), (Distribution::Pareto, 1.0)]
        {
            let values = drawn(distribution, count);
            let mean = values.iter().sum::<f64>() / count as f64;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count as f64;
            assert!(mean.abs() < 0.02, "{distribution:?} {mean}");
            // The fourth moment of this Pareto is infinite: its sample deviation comes near only slowly.
            let tolerance = if distribution == Distribution::Pareto { 0.25 } else { 0.01 };
            assert!((variance.sqrt() - deviation).abs() < tolerance, "{distribution:?} {}", variance.sqrt());
            assert!((values[count / 2] - distribution.median()).abs() < 0.02, "{distribution:?}");
            let middle = values[3 * count / 4] - values[count / 4];
            assert!((middle - distribution.middle_half()).abs() < 0.03, "{distribution:?} {middle}");
        }
    }

    #[test]
    fn a_uniform_jitter_is_bounded_and_a_pareto_is_from_below() {
        assert!(drawn(Distribution::Uniform, 10_000).iter().all(|value| value.abs() <= 1.0));
        let pareto = drawn(Distribution::Pareto, 10_000);
        assert!(pareto[0] >= (1.0 - PARETO_MEAN) / PARETO_DEVIATION);
        assert!(pareto[9_999] <= DEVIATIONS_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn bursts_have_the_share_and_the_length_that_are_asked_for(
            seed: u64, share_ppm in 20_000_u32..500_000, burst_packets in 1_u32..20,
        ) {
            prop_assume!(u64::from(share_ppm) <= MILLION * u64::from(burst_packets) / u64::from(burst_packets + 1));
            let mut stream = Seed::new(seed).stream("burst");
            let mut chain = GilbertElliott::new(share_ppm, burst_packets, &mut stream);
            let count = 300_000;
            let (mut lost, mut bursts, mut before) = (0_u32, 0_u32, false);
            for _ in 0..count {
                let now = chain.loses(&mut stream);
                lost += u32::from(now);
                bursts += u32::from(now && !before);
                before = now;
            }
            let asked = f64::from(share_ppm) / 1e6;
            let (share, length) = (f64::from(lost) / f64::from(count), f64::from(lost) / f64::from(bursts));
            // Six standard errors: a geometric burst's deviation is about its length.
            let slack = 6.0 * (f64::from(burst_packets) * 2.0 / (asked * f64::from(count))).sqrt();
            prop_assert!((share / asked - 1.0).abs() < slack, "share {share}, asked {asked}, slack {slack}");
            prop_assert!((length / f64::from(burst_packets) - 1.0).abs() < slack, "length {length}");
        }
    }
}
