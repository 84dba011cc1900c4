//! What a histogram has counted since its sender's push before.

use super::{Bucket, Histogram, Pushed};
use crate::model::count::Count;
use crate::model::increase::{of_count, of_sum};
use crate::model::native_histogram::NativeHistogram;

/// What a histogram has counted since a push before.
#[derive(Clone, Debug, PartialEq)]
pub struct Increased {
    /// The classic buckets.
    pub buckets: Vec<Bucket>,
    /// The native buckets.
    pub native: Option<NativeHistogram>,
    /// The sum of the observations.
    pub sum: f64,
    /// The number of observations.
    pub total: Count,
}

impl Histogram {
    /// What a pushed total has counted since this one, which its sender pushed before. None if anything has fallen.
    ///
    /// If the sender has changed its bounds, what it has counted since is known at those bounds alone that both pushes
    /// have: it comes with these. Native buckets count where both pushes have some, or the one before has no observations.
    pub fn increase(&self, pushed: Pushed<'_>) -> Option<Increased> {
        let total = of_count(pushed.total, self.count())?;
        let sum = of_sum(pushed.sum, self.sum.value(), total)?;
        let bounds = self.first.layout.bounds();
        let mut buckets = Vec::with_capacity(pushed.buckets.len());
        let mut least = Count::ZERO;
        for bucket in pushed.buckets {
            let at = bounds.partition_point(|bound| *bound < bucket.bound);
            if bounds.get(at) != Some(&bucket.bound) {
                continue;
            }
            let count = of_count(bucket.count, self.first.counts.get(at).value())?;
            if count.as_f64() < least.as_f64() {
                return None;
            }
            least = count;
            buckets.push(Bucket { bound: bucket.bound, count });
        }
        if total.as_f64() < least.as_f64() {
            return None;
        }
        let native = match (pushed.native, self.native()) {
            (Some(pushed), Some(before)) => Some(pushed.increase(before)?),
            (Some(pushed), None) if self.count().as_f64() == 0.0 => Some(pushed.clone()),
            _ => None,
        };
        Some(Increased { buckets, native, sum, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::merge::Buckets;

    /// A push that observed `values`, with these bounds.
    fn observed(values: &[f64], bounds: &[f64]) -> (Vec<Bucket>, f64, Count) {
        let count = |bound: f64| Count::Int(values.iter().filter(|v| **v <= bound).count() as u64);
        let buckets = bounds.iter().map(|&bound| Bucket { bound, count: count(bound) }).collect();
        (buckets, values.iter().sum(), count(f64::INFINITY))
    }

    fn pushed((buckets, sum, total): &(Vec<Bucket>, f64, Count)) -> Pushed<'_> {
        Pushed { buckets, native: None, sum: *sum, total: *total, policy: Buckets::Union }
    }

    #[test]
    fn what_was_counted_since_comes_with_the_bounds_that_both_have() {
        let (early, late) = ([0.5, 3.0], [0.5, 3.0, 0.7, 9.0, 1.5]);
        let cases: [(&[f64], &[f64], &[f64]); 4] = [
            (&[1.0, 5.0], &[1.0, 5.0], &[1.0, 5.0]),
            (&[1.0, 5.0], &[1.0, 2.0, 5.0, f64::INFINITY], &[1.0, 5.0]),
            (&[1.0, 2.0, 5.0], &[2.0, 4.0], &[2.0]),
            (&[1.0], &[2.0], &[]),
        ];
        for (before, now, common) in cases {
            let before = observed(&early, before);
            let raw = Histogram::new(pushed(&before), []);
            let expected = observed(&late[2..], common);
            let now = observed(&late, now);
            let increased = raw.increase(pushed(&now)).unwrap();
            assert_eq!((increased.buckets, increased.total), (expected.0, expected.2));
            assert!((increased.sum - expected.1).abs() < 1e-9);
        }
    }

    #[test]
    fn a_fall_in_any_part_is_none() {
        let raw = Histogram::new(pushed(&observed(&[0.5, 3.0, 7.0], &[1.0, 5.0])), []);
        let none: [&[f64]; 4] = [&[0.5, 3.0], &[3.0, 3.0, 7.0], &[0.5, 6.0, 7.0, 8.0], &[9.0, 9.0, 9.0]];
        for values in none {
            assert_eq!(raw.increase(pushed(&observed(values, &[1.0, 5.0]))), None, "{values:?}");
        }
        // No bucket has fallen, but what came since would be less up to 5 than up to 1.
        let (buckets, sum, total) = observed(&[0.5, 0.5, 0.5, 7.0, 7.0], &[1.0, 5.0]);
        assert_eq!(raw.increase(pushed(&(buckets, sum, total))), None);
        assert!(raw.increase(pushed(&observed(&[0.5, 3.0, 7.0, 0.1], &[1.0, 5.0]))).is_some());
    }
}
