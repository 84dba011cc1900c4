//! Estimates quantiles of histograms as `histogram_quantile` of Prometheus 3 does: linear within a classic bucket and
//! the zero bucket, exponential within a native bucket.

use crate::model::histogram::Histogram;
use crate::model::native_histogram::{Includes, NativeHistogram, ShownBucket};

/// Counts of neighbouring classic buckets that differ by less than this part count as equal. Prometheus takes such a
/// difference for what is left of rounding.
const TOLERANCE: f64 = 1e-12;

/// The quantile of a histogram, for `quantile` from 0 to 1. Native buckets come before classic ones. NaN if there are no
/// observations, or no bucket but `+Inf`.
pub fn quantile(histogram: &Histogram, quantile: f64) -> f64 {
    let Some(native) = histogram.native() else { return of_classic(histogram, quantile) };
    of_native(native, histogram.count().as_f64(), histogram.sum.value(), quantile)
}

fn of_classic(histogram: &Histogram, quantile: f64) -> f64 {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    histogram.all_buckets(|_, bound, count| {
        let count = count.as_f64();
        // Counts may fall where pushes replace each other, and a client may push anything.
        let before = buckets.last().map_or(0.0, |(_, before)| *before);
        let is_new = count > before && count - before > TOLERANCE * count;
        buckets.push((bound, if is_new || buckets.is_empty() { count } else { before }));
    });
    let [finite @ .., (_, observations)] = &*buckets else { return f64::NAN };
    let Some((highest, _)) = finite.last() else { return f64::NAN };
    if *observations == 0.0 {
        return f64::NAN;
    }
    let rank = quantile * observations;
    // Else it is in the bucket for `+Inf`, which has no width.
    let Some(at) = finite.iter().position(|(_, count)| *count >= rank) else { return *highest };
    let (upper, count) = finite[at];
    match at.checked_sub(1).map(|before| finite[before]) {
        Some((lower, before)) => lower + (upper - lower) * ((rank - before) / (count - before)),
        None if upper <= 0.0 => upper,
        None => upper * (rank / count),
    }
}

fn of_native(native: &NativeHistogram, observations: f64, sum: f64, quantile: f64) -> f64 {
    let buckets = native.buckets();
    if observations == 0.0 || buckets.is_empty() {
        return f64::NAN;
    }
    // Observations that are NaN are in the count and in no bucket. They count as the largest ones.
    let is_forward = sum.is_nan() || quantile < 0.5;
    let rank = if is_forward { quantile } else { 1.0 - quantile } * observations;
    let mut passed = 0.0;
    let reaches = |bucket: &&ShownBucket| {
        passed += bucket.count.as_f64();
        passed >= rank
    };
    let found = if is_forward { buckets.iter().find(reaches) } else { buckets.iter().rev().find(reaches) };
    let Some(bucket) = found else { return f64::NAN };
    let count = bucket.count.as_f64();
    let passed = passed.min(observations);
    let fraction = if is_forward { rank - (passed - count) } else { passed - rank } / count;
    let (lower, upper) = (bucket.lower, bucket.upper);
    match bucket.includes {
        Includes::Both => {
            let has = |includes| buckets.iter().any(|bucket| bucket.includes == includes);
            let (lower, upper) = match (has(Includes::Lower), has(Includes::Upper)) {
                (false, true) => (0.0, upper),
                (true, false) => (lower, 0.0),
                _ => (lower, upper),
            };
            lower + (upper - lower) * fraction
        }
        Includes::Upper => between(lower, upper, fraction),
        Includes::Lower => -between(-upper, -lower, 1.0 - fraction),
    }
}

/// The value at a fraction of the way between two positive bounds, on a logarithmic scale.
fn between(lower: f64, upper: f64, fraction: f64) -> f64 {
    let (lower, upper) = (lower.log2(), upper.log2());
    (lower + (upper - lower) * fraction).exp2()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::SQRT_2;

    use super::*;
    use crate::model::count::Count;
    use crate::model::histogram::{Bucket, NativePart, Pushed};
    use crate::model::merge::Buckets;
    use crate::model::native_histogram::{Parts, Populations, Sparse};

    fn classic(buckets: &[(f64, f64)]) -> Histogram {
        let buckets: Vec<Bucket> =
            buckets.iter().map(|&(bound, count)| Bucket { bound, count: Count::from_f64(count) }).collect();
        let total = buckets.last().map_or(Count::ZERO, |bucket| bucket.count);
        let pushed = Pushed { buckets: &buckets, native: None, sum: 1.0, total, policy: Buckets::Union };
        Histogram::new(pushed, [])
    }

    /// Native buckets that have these populations, from index 0 on.
    fn buckets(schema: i32, zero: u64, positive: &[u64], negative: &[u64]) -> NativeHistogram {
        let side = |counts: &[u64]| (0..).zip(counts.iter().copied()).filter(|(_, n)| *n > 0).collect();
        let populations =
            Populations::Int(Sparse { zero, positive: side(positive), negative: side(negative) });
        let parts =
            Parts { schema, zero_threshold: 0.001, thresholds_differ: false, absorbed: None, populations };
        NativeHistogram::from_parts(parts).unwrap()
    }

    fn native(schema: i32, zero: u64, positive: &[u64], negative: &[u64], sum: f64) -> Histogram {
        let histogram = buckets(schema, zero, positive, negative);
        let total = histogram.population();
        let pushed = Pushed { buckets: &[], native: None, sum, total, policy: Buckets::Union };
        Histogram::new(pushed, []).with_native_part(Some(NativePart { histogram, is_alone: true }))
    }

    #[track_caller]
    fn check(histogram: &Histogram, expected: &[(f64, f64)]) {
        for &(q, expected) in expected {
            let found = quantile(histogram, q);
            let is_near = (found - expected).abs() <= 1e-12 * expected.abs().max(1e-3);
            assert!(is_near || found == expected, "the quantile {q} is {found}, not {expected}");
        }
    }

    /// Cases and results of `promql/promqltest/testdata/histograms.test` of Prometheus 3.
    #[test]
    fn classic_buckets_as_prometheus_has_them() {
        let infinity = f64::INFINITY;
        let positive = classic(&[(0.1, 50.0), (0.2, 70.0), (1.0, 110.0), (infinity, 120.0)]);
        check(&positive, &[(0.0, 0.0), (0.2, 0.048), (0.5, 0.15), (0.8, 0.72), (1.0, 1.0)]);
        let negative = classic(&[(-0.2, 10.0), (-0.1, 20.0), (0.3, 20.0), (infinity, 30.0)]);
        check(&negative, &[(0.0, -0.2), (0.2, -0.2), (0.5, -0.15), (0.8, 0.3), (1.0, 0.3)]);
        let middle = classic(&[(0.0, 0.0), (2.0, 10.0), (4.0, 20.0), (6.0, 30.0), (infinity, 30.0)]);
        check(&middle, &[(1.0 / 6.0, 1.0), (0.5, 3.0), (5.0 / 6.0, 5.0)]);
        let third = classic(&[(0.0, 0.0), (0.1, 50.0), (0.2, 70.0), (1.0, 110.0), (infinity, 110.0)]);
        check(&third, &[(0.25, 0.055), (0.5, 0.125), (0.75, 0.45), (1.0, 1.0)]);
        let requests = [
            (&[(0.1, 10.0), (0.2, 30.0), (infinity, 40.0)], 0.11, 0.15),
            (&[(0.1, 20.0), (0.2, 50.0), (infinity, 60.0)], 0.09, 0.133_333_333_333_333_33),
            (&[(0.1, 30.0), (0.2, 40.0), (infinity, 60.0)], 0.06, 0.1),
            (&[(0.1, 40.0), (0.2, 70.0), (infinity, 90.0)], 0.0675, 0.116_666_666_666_666_67),
        ];
        for (buckets, third, median) in requests {
            check(&classic(buckets), &[(0.3, third), (0.5, median)]);
        }
    }

    /// Cases and results of `promql/promqltest/testdata/native_histograms.test` of Prometheus 3.
    #[test]
    fn native_buckets_as_prometheus_has_them() {
        check(&native(0, 0, &[1, 2, 1], &[], 5.0), &[(0.5, SQRT_2)]);
        check(&native(0, 0, &[], &[1, 2, 1], -5.0), &[(0.5, -SQRT_2)]);
        let positive = [
            (1.0, 16.0),
            (0.99, 15.670_724_761_390_83),
            (0.9, 12.996_038_341_699_77),
            (0.6, 4.594_793_419_988_138),
            (0.5, 1.587_401_051_968_199_4),
            (0.1, 0.0006),
            (0.0, 0.0),
        ];
        check(&native(0, 2, &[2, 3, 0, 1, 4], &[], 100.0), &positive);
        let negative = [
            (1.0, 0.0),
            (0.99, -0.000_06),
            (0.9, -0.0006),
            (0.5, -1.587_401_051_968_199_6),
            (0.1, -12.996_038_341_699_768),
            (0.0, -16.0),
        ];
        check(&native(0, 2, &[], &[2, 3, 0, 1, 4], 100.0), &negative);
        let both = [
            (1.0, 16.0),
            (0.99, 15.348_225_909_204_23),
            (0.9, 10.556_063_286_183_155),
            (0.7, 1.203_025_036_082_116_4),
            (0.55, 0.0006),
            (0.5, 0.0),
            (0.45, -0.0006),
            (0.3, -1.203_025_036_082_116_9),
            (0.1, -10.556_063_286_183_155),
            (0.01, -15.348_225_909_204_23),
            (0.0, -16.0),
        ];
        check(&native(0, 4, &[2, 3, 0, 1, 4], &[2, 3, 0, 1, 4], 100.0), &both);
        check(&native(-1, 0, &[0, 0, 5], &[], 6.0), &[(0.5, 8.0)]);
        check(&native(1, 0, &[0, 0, 5], &[], 4.0), &[(0.5, 1.681_792_830_507_429_2)]);
        check(&native(-1, 0, &[], &[0, 0, 5], 6.0), &[(0.5, -8.0)]);
        check(&native(0, 1, &[], &[], 0.0), &[(0.5, 0.0)]);
    }

    #[test]
    fn without_observations_there_is_none() {
        let infinity = f64::INFINITY;
        for histogram in [
            classic(&[]),
            classic(&[(infinity, 5.0)]),
            classic(&[(1.0, 0.0), (infinity, 0.0)]),
            native(0, 0, &[], &[], 0.0),
        ] {
            assert!(quantile(&histogram, 0.5).is_nan(), "{histogram:?}");
        }
    }

    #[test]
    fn counts_that_are_no_counts_do_no_harm() {
        let falling = classic(&[(1.0, 4.0), (2.0, f64::NAN), (3.0, 8.0), (4.0, 1.0), (f64::INFINITY, 10.0)]);
        check(&falling, &[(0.2, 0.5), (0.4, 1.0), (0.6, 2.5), (0.9, 4.0)]);
        let no_number = classic(&[(1.0, 4.0), (f64::INFINITY, f64::NAN)]);
        check(&no_number, &[(0.9, 0.9)]);
    }

    #[test]
    fn observations_that_are_no_numbers_are_the_largest() {
        let native = buckets(0, 0, &[1, 2, 1], &[]);
        let at = |q| of_native(&native, 5.0, f64::NAN, q);
        assert_eq!((at(0.2), at(0.8)), (1.0, 4.0));
        assert!(at(0.9).is_nan());
    }
}
