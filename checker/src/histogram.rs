//! A histogram of durations with a relative error below one per cent: 128 buckets for each power of two.

use crate::availability::Quantiles;

const SUB_BITS: u32 = 7;

/// Counts by bucket; grows up to the largest value seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max_ns: u64,
}

/// Below 256 each value has its own bucket; above, the top eight bits decide.
fn bucket_of(ns: u64) -> usize {
    let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(SUB_BITS + 1);
    ((u64::from(shift) << SUB_BITS) + (ns >> shift)) as usize
}

/// The middle of a bucket.
fn value_of(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    if bucket < 2 << SUB_BITS {
        return bucket as f64;
    }
    let shift = (bucket >> SUB_BITS) - 1;
    let top = bucket - (shift << SUB_BITS);
    (top as f64 + 0.5) * 2_f64.powi(shift as i32)
}

impl Histogram {
    pub(crate) fn record(&mut self, ns: u64) {
        let bucket = bucket_of(ns);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if other.buckets.len() > self.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (bucket, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += count;
        }
        self.count += other.count;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// In nanoseconds: the smallest value at or below which the share `q` of all lies.
    fn quantile(&self, q: f64) -> f64 {
        let rank = ((q * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return value_of(bucket).min(self.max_ns as f64);
            }
        }
        0.0
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        if self.count == 0 {
            return Quantiles::default();
        }
        let ms = |q| self.quantile(q) / 1e6;
        Quantiles {
            count: self.count,
            p50: ms(0.5),
            p95: ms(0.95),
            p99: ms(0.99),
            p999: ms(0.999),
            max: self.max_ns as f64 / 1e6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_within_one_per_cent_of_its_bucket() {
        let mut ns = 1_u64;
        let mut before = 0;
        while ns < u64::MAX / 2 {
            for value in [ns, ns + ns / 3, ns + ns / 2, ns * 2 - 1] {
                let error = (value_of(bucket_of(value)) - value as f64).abs() / value as f64;
                assert!(error < 0.01, "{value}: {error}");
            }
            assert!(bucket_of(ns) > before || ns == 1);
            before = bucket_of(ns);
            ns *= 2;
        }
        assert!(bucket_of(u64::MAX) < 8192);
        assert_eq!(bucket_of(0), 0);
    }

    #[test]
    fn quantiles_of_a_ramp() {
        let (mut all, mut half) = (Histogram::default(), Histogram::default());
        for ms in 1..=1000_u64 {
            if ms % 2 == 0 { &mut half } else { &mut all }.record(ms * 1_000_000);
        }
        all.add(&half);
        let quantiles = all.quantiles();
        assert_eq!(quantiles.count, 1000);
        for (measured, exact) in
            [(quantiles.p50, 500.0), (quantiles.p95, 950.0), (quantiles.p99, 990.0), (quantiles.p999, 999.0)]
        {
            assert!((measured - exact).abs() / exact < 0.01, "{measured} {exact}");
        }
        assert!((quantiles.max - 1000.0).abs() < 1e-9);
    }
}
