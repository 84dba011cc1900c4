//! Sums that keep what a plain `f64` would round away.

/// A running sum as an unevaluated pair: `high` is the sum rounded to an `f64`, `low` what the
/// rounding left over.
///
/// 1e16 + 1 + 1 + 1 keeps the three ones, and integers stay exact far beyond 2^53. Adding a value
/// that is not negative never lowers [`Sum::value`], which matters because Prometheus takes a step
/// down by one unit in the last place for a full counter reset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    /// A sum of one value.
    pub const fn new(value: f64) -> Sum {
        Sum { high: value, low: 0.0 }
    }

    /// Both halves, the rounded sum first.
    pub const fn parts(self) -> (f64, f64) {
        (self.high, self.low)
    }

    /// The sum with these halves, as [`Sum::parts`] gave them.
    pub const fn from_parts((high, low): (f64, f64)) -> Sum {
        Sum { high, low }
    }

    /// A sum of one integer, exactly.
    pub fn of_integer(value: u64) -> Sum {
        let high = value as f64;
        Sum { high, low: (i128::from(value) - high as i128) as f64 }
    }

    /// The sum as it is exposed.
    pub const fn value(self) -> f64 {
        self.high
    }

    /// Adds what another sum has added up.
    pub fn merge(&mut self, other: Sum) {
        self.add(other.high);
        self.add(other.low);
    }

    /// Adds `value` (Neumaier's summation, renormalised so that `high` is always the rounded sum).
    ///
    /// A sum of finite values stops at the largest finite number instead of becoming infinite:
    /// infinity would absorb everything that follows. Of two infinities the positive one stays: their sum
    /// would be no number, and nothing that is added later makes it one again.
    pub fn add(&mut self, value: f64) {
        if !(self.high.is_finite() && value.is_finite()) {
            let sum = self.high + value;
            let is_made_up = sum.is_nan() && !self.high.is_nan() && !value.is_nan();
            *self = Sum::new(if is_made_up { f64::INFINITY } else { sum });
            return;
        }
        let sum = self.high + value;
        let error = if self.high.abs() >= value.abs() {
            (self.high - sum) + value
        } else {
            (value - sum) + self.high
        };
        let low = self.low + error;
        let high = sum + low;
        *self = if high.is_finite() {
            Sum { high, low: (sum - high) + low }
        } else {
            // The rounding error of a sum that overflows is no number.
            Sum::new(f64::MAX.copysign(sum))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(values: &[f64]) -> f64 {
        let mut sum = Sum::default();
        values.iter().for_each(|v| sum.add(*v));
        sum.value()
    }

    #[test]
    fn small_increments_survive_beside_large_ones() {
        assert_eq!(total(&[1e16, 1.0, 1.0, 1.0]), 10_000_000_000_000_004.0);
        let mut sum = Sum::new(9_007_199_254_740_992.0);
        for _ in 0..1000 {
            sum.add(1.0);
        }
        assert_eq!(sum.value(), 9_007_199_254_741_992.0);
        assert_eq!(total(&[0.1; 10]), 1.0);
    }

    #[test]
    fn special_values() {
        assert_eq!(total(&[f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(total(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(total(&[f64::NAN, 1.0]).is_nan());
        assert_eq!(total(&[f64::INFINITY, f64::NEG_INFINITY, 1.0]), f64::INFINITY);
        assert_eq!(total(&[f64::NEG_INFINITY, 1.0, f64::INFINITY]), f64::INFINITY);
        assert_eq!(total(&[f64::NEG_INFINITY, -1.0]), f64::NEG_INFINITY);
    }

    #[test]
    fn the_largest_number_is_where_a_sum_of_numbers_stops() {
        let mut sum = Sum::new(1.797e308);
        for _ in 0..3 {
            sum.add(4.989_595_37e291);
            assert!(sum.value().is_finite());
        }
        let mut sum = Sum::new(f64::MAX);
        for _ in 0..100 {
            sum.add(9e291);
            assert_eq!(sum.value(), f64::MAX);
        }
        sum.add(-f64::MAX);
        assert!(sum.value().is_finite());
        assert_eq!(total(&[-f64::MAX, -f64::MAX]), -f64::MAX);
    }

    proptest! {
        #[test]
        fn never_steps_back(values in prop::collection::vec(0.0..f64::MAX, 1..60), small in prop::collection::vec(0.0..1.0f64, 1..60)) {
            let mut sum = Sum::default();
            let mut last = 0.0;
            for value in values.iter().zip(small.iter().cycle()).flat_map(|(a, b)| [*a, *b, 1.0, f64::MIN_POSITIVE]) {
                sum.add(value);
                prop_assert!(sum.value() >= last && sum.value().is_finite());
                last = sum.value();
            }
        }

        #[test]
        fn integers_are_exact(values in prop::collection::vec(0u64..1 << 53, 1..100)) {
            let exact: u128 = values.iter().map(|v| u128::from(*v)).sum();
            let floats: Vec<f64> = values.iter().map(|v| *v as f64).collect();
            prop_assert_eq!(total(&floats), exact as f64);
        }

        #[test]
        fn order_of_integers_does_not_matter(mut values in prop::collection::vec(0u32.., 2..50), seed in any::<u64>()) {
            let floats = |v: &[u32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
            let before = total(&floats(&values));
            let n = values.len();
            for i in 0..n {
                values.swap(i, (seed as usize).wrapping_mul(i + 1) % n);
            }
            prop_assert_eq!(before, total(&floats(&values)));
        }
    }
}
