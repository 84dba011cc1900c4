//! Sums that keep what a plain `f64` would round away.

/// A running sum as an unevaluated pair: `high` is the sum rounded to an `f64`, and `low` is the rounding error.
///
/// 1e16 + 1 + 1 + 1 keeps the three ones, and integers stay exact far beyond 2^53. Adding a value
/// that is not negative never lowers [`Sum::value`], which matters because Prometheus takes a step
/// down by one unit in the last place for a full counter reset.
///
/// Rules for [`Sum::merge`] of two sums:
///
/// * It is commutative to the last bit, and merging a sum of one value is the same as adding that value.
/// * It is exact, and so associative to the last bit, as long as all values are multiples of one power of two and the
///   total is less than 2^100 times that power. Integers are.
/// * Other values of one sign come to the same [`Sum::value`] however they are grouped, or to its neighbour (an
///   error of at most 3 * 2^-106 of the total for each merge). If signs differ, the error is that share of the sum of
///   the magnitudes.
/// * NaN stays, then positive infinity, then negative infinity. Values of one sign stop at the largest finite number
///   in any order; of values of both signs that come close to it the order decides.
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

    /// The sum that a scrape shows.
    #[inline]
    pub const fn value(self) -> f64 {
        self.high
    }

    /// Adds another sum (accurate addition of double words from Joldes, Muller and Popescu, "Tight and rigorous
    /// error bounds for basic building blocks of double-word arithmetic").
    ///
    /// Like [`Sum::add`], it never lowers the value if the other sum isn't negative.
    pub fn merge(&mut self, other: Sum) {
        if !(self.high.is_finite() && other.high.is_finite()) {
            self.add(other.high);
            return;
        }
        let (sum, error) = exact_sum(self.high, other.high);
        let (low, low_error) = exact_sum(self.low, other.low);
        let rest = error + low;
        let high = sum + rest;
        let rest = low_error + ((sum - high) + rest);
        *self = Sum::renormalised(high, rest, sum);
    }

    /// Adds `value` (Neumaier's summation, renormalised so that `high` is always the rounded sum).
    ///
    /// A sum of finite values stops at the largest finite number instead of becoming infinite, because infinity
    /// would absorb everything that follows. If both infinities are added, the positive one stays, because their
    /// sum would be NaN for good.
    pub fn add(&mut self, value: f64) {
        if !(self.high.is_finite() && value.is_finite()) {
            let sum = self.high + value;
            let is_made_up = sum.is_nan() && !self.high.is_nan() && !value.is_nan();
            *self = Sum::new(if is_made_up { f64::INFINITY } else { sum });
            return;
        }
        let (sum, error) = exact_sum(self.high, value);
        *self = Sum::renormalised(sum, self.low + error, sum);
    }

    /// The sum of a number and a much smaller one. If it overflows, the largest finite number with the sign of
    /// `sign`.
    #[inline]
    fn renormalised(sum: f64, low: f64, sign: f64) -> Sum {
        let high = sum + low;
        if high.is_finite() {
            Sum { high, low: (sum - high) + low }
        } else {
            // The rounding error of a sum that overflows is NaN.
            Sum::new(f64::MAX.copysign(sign))
        }
    }
}

/// The rounded sum of two finite numbers, and the rounding error.
#[inline]
fn exact_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let error = if a.abs() >= b.abs() { (a - sum) + b } else { (b - sum) + a };
    (sum, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::groupings::{choices, is_close, merged_anyhow};
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

        #[test]
        fn it_does_not_matter_which_sum_comes_first(a in sum(), b in sum()) {
            let (one, other) = (merged(a, &b), merged(b, &a));
            prop_assert!(is_same(one, other), "{one:?} and {other:?}");
        }

        #[test]
        fn a_sum_of_one_value_merges_as_the_value(sum in sum(), value in any_number()) {
            let mut added = sum;
            added.add(value);
            let merged = merged(sum, &Sum::new(value));
            prop_assert!(is_same(merged, added), "{merged:?} and {added:?}");
        }

        #[test]
        fn multiples_of_a_power_of_two_are_exact_in_any_grouping(
            values in prop::collection::vec(any::<i64>(), 1..40),
            power in -1000..800i32,
            choices in choices(),
        ) {
            let unit = f64::from(power).exp2();
            // In two halves, because not every 64-bit integer fits an `f64` exactly.
            let halves = |value: &i64| [(value >> 32) as f64 * 4_294_967_296.0, (value & 0xffff_ffff) as f64];
            let sums: Vec<Sum> = values.iter().flat_map(halves).map(|half| Sum::new(half * unit)).collect();
            let exact: i128 = values.iter().map(|value| i128::from(*value)).sum();
            let high = exact as f64;
            let expected = (high * unit, (exact - high as i128) as f64 * unit);
            prop_assert_eq!(merged_anyhow(sums, &choices, Sum::merge_ref).parts(), expected);
        }

        #[test]
        fn sums_of_one_sign_are_close_in_any_grouping(
            sums in prop::collection::vec(positive_sum(), 1..40),
            choices in choices(),
            others in choices(),
        ) {
            let one = merged_anyhow(sums.clone(), &choices, Sum::merge_ref).value();
            let other = merged_anyhow(sums, &others, Sum::merge_ref).value();
            prop_assert!(is_close(one, other), "{one:e} and {other:e}");
        }

        #[test]
        fn a_merge_never_steps_back(a in positive_sum(), b in positive_sum(), more in positive_number()) {
            let both = merged(a, &b).value();
            prop_assert!(both >= a.value() && both >= b.value() && both.is_finite());
            // The sum of two also never goes down if one of them has grown.
            let mut grown = a;
            grown.add(more);
            prop_assert!(merged(grown, &b).value() >= both);
        }

        #[test]
        fn what_is_not_finite_is_the_same_in_any_grouping(
            values in prop::collection::vec(any_number(), 1..12),
            choices in choices(),
        ) {
            let has = |value: f64| values.contains(&value);
            let sum = merged_anyhow(values.iter().map(|v| Sum::new(*v)).collect(), &choices, Sum::merge_ref);
            if values.iter().any(|value| value.is_nan()) {
                prop_assert!(sum.value().is_nan());
            } else if has(f64::INFINITY) {
                prop_assert_eq!(sum.value(), f64::INFINITY);
            } else if has(f64::NEG_INFINITY) {
                prop_assert_eq!(sum.value(), f64::NEG_INFINITY);
            } else {
                prop_assert!(sum.value().is_finite() && sum.parts().1.is_finite());
            }
        }
    }

    impl Sum {
        fn merge_ref(&mut self, other: &Sum) {
            self.merge(*other);
        }
    }

    fn merged(mut sum: Sum, other: &Sum) -> Sum {
        sum.merge(*other);
        sum
    }

    fn is_same(a: Sum, b: Sum) -> bool {
        a == b || (a.value().is_nan() && b.value().is_nan() && a.low == b.low)
    }

    /// Numbers whose sums are rounded: close to each other, far apart, with few and with many digits.
    fn positive_number() -> impl Strategy<Value = f64> {
        let mantissa =
            prop_oneof![Just(0), 0..16u64, (0..16u64).prop_map(|n| (1 << 52) - 1 - n), 0..1u64 << 52];
        let exponent = prop_oneof![8 => 1000..1120u64, 1 => 0..2047u64];
        (mantissa, exponent).prop_map(|(mantissa, exponent)| f64::from_bits(exponent << 52 | mantissa))
    }

    fn any_number() -> impl Strategy<Value = f64> {
        let special =
            prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -0.0]);
        let number = (positive_number(), any::<bool>()).prop_map(|(x, minus)| if minus { -x } else { x });
        prop_oneof![6 => number, 1 => special]
    }

    fn positive_sum() -> impl Strategy<Value = Sum> {
        sum_of(prop::collection::vec(positive_number(), 1..6))
    }

    fn sum() -> impl Strategy<Value = Sum> {
        sum_of(prop::collection::vec(any_number(), 1..6))
    }

    fn sum_of(values: impl Strategy<Value = Vec<f64>>) -> impl Strategy<Value = Sum> {
        values.prop_map(|values| {
            let mut sum = Sum::new(values[0]);
            values[1..].iter().for_each(|value| sum.add(*value));
            sum
        })
    }
}
