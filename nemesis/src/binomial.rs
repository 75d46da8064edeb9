//! How far a measured share may be from the share that was asked for: by chance alone, and no further.

use std::ops::RangeInclusive;

/// A sound fault is called one that does not bite with less than this probability, on either side.
const TAIL: f64 = 1e-7;

/// The counts of hits, of so many trials with this chance each, outside of which it ends with a probability below
/// [`TAIL`] on either side.
pub(crate) fn counts(trials: u32, share: f64) -> RangeInclusive<u32> {
    if share >= 1.0 {
        return trials..=trials;
    }
    let low = (0..=trials).zip(cumulated(trials, share)).find(|&(_, below)| below > TAIL).map_or(0, |(hits, _)| hits);
    // From the other side, the misses are the hits: no difference of two numbers near one.
    let misses = cumulated(trials, 1.0 - share);
    let high = (0..=trials).zip(misses).find(|&(_, below)| below > TAIL).map_or(trials, |(misses, _)| trials - misses);
    low..=high
}

/// The same in percent.
pub(crate) fn percents(trials: u32, share: f64) -> RangeInclusive<f64> {
    let counts = counts(trials, share);
    let percent = |hits: u32| 100.0 * f64::from(hits) / f64::from(trials.max(1));
    percent(*counts.start())..=percent(*counts.end())
}

/// The probability of at most 0, 1, 2, … hits.
fn cumulated(trials: u32, share: f64) -> impl Iterator<Item = f64> {
    // By logarithms: the first of these numbers are far below what a float can hold.
    let odds = (share / (1.0 - share)).ln();
    let mut log = f64::from(trials) * (1.0 - share).ln();
    let mut sum = 0.0;
    (0..=trials).map(move |hits| {
        sum += log.exp();
        log += (f64::from(trials - hits) / f64::from(hits + 1)).ln() + odds;
        sum
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_bounds() {
        // By hand: the chance of no hit in 300 at 10 % is 0.9^300 = 1.9e-14; the deviation is 5.2.
        let bounds = counts(300, 0.1);
        assert!((6..=10).contains(bounds.start()) && (58..=66).contains(bounds.end()), "{bounds:?}");
        assert_eq!(counts(10, 1.0), 10..=10);
        // Ten fair coins: even all or none is likelier than one in ten million.
        assert_eq!(counts(10, 0.5), 0..=10);
        assert_eq!(percents(10, 1.0), 100.0..=100.0);
    }

    proptest! {
        #[test]
        fn bounds_hold_the_mean_and_are_at_least_four_deviations_away(trials in 100_u32..20_000, share in 0.01_f64..0.99) {
            let bounds = counts(trials, share);
            let mean = f64::from(trials) * share;
            let deviation = (mean * (1.0 - share)).sqrt();
            let (low, high) = (f64::from(*bounds.start()), f64::from(*bounds.end()));
            prop_assert!(low == 0.0 || low < mean - 4.0 * deviation + 1.0, "{bounds:?} {mean}");
            prop_assert!(high == f64::from(trials) || high > mean + 4.0 * deviation - 1.0, "{bounds:?} {mean}");
            // And no wider than Bernstein's inequality allows for this probability.
            let wide = 2.0 * (1.0 / TAIL).ln();
            prop_assert!(mean - low <= wide / 3.0 + (wide * deviation * deviation).sqrt() + wide);
            prop_assert!(high - mean <= wide / 3.0 + (wide * deviation * deviation).sqrt() + wide);
        }
    }
}
