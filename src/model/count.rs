//! Counts of observations: integers until a fraction arrives.

use crate::model::sum::Sum;

/// A number of observations. It stays an exact integer while only integers are added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    /// A whole number.
    Int(u64),
    /// A number with a fraction, or one beyond `u64`.
    Float(f64),
}

impl Count {
    /// No observations.
    pub const ZERO: Count = Count::Int(0);

    /// The count for a sample value: an integer if the value is one.
    pub fn from_f64(value: f64) -> Count {
        // Nearly all values fit here, and conversions of signed numbers are cheaper.
        let whole = value as i64;
        if whole as f64 == value && (0..i64::MAX).contains(&whole) {
            return Count::Int(whole as u64);
        }
        // The cast saturates. Values beyond u64, below zero or with a fraction convert back to another number. 2^64
        // is what the largest u64 converts back to, so it is excluded.
        let whole = value as u64;
        if whole as f64 == value && whole != u64::MAX { Count::Int(whole) } else { Count::Float(value) }
    }

    /// The count for formats that have only one type of number.
    pub fn as_f64(self) -> f64 {
        match self {
            Count::Int(n) => n as f64,
            Count::Float(x) => x,
        }
    }

    /// Whether the count is a float.
    pub fn is_float(self) -> bool {
        matches!(self, Count::Float(_))
    }

    /// The same number as a float.
    pub fn to_float(self) -> Count {
        Count::Float(self.as_f64())
    }
}

/// A running count. It is an exact integer while only integers are added and `u64` holds them. After that it is a
/// compensated sum, which counts single observations even beyond 2^53.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RunningCount {
    /// A whole number.
    Int(u64),
    /// A number with a fraction, or one beyond `u64`.
    Float(Sum),
}

impl RunningCount {
    /// No observations.
    pub const ZERO: RunningCount = RunningCount::Int(0);

    /// The count as a scrape shows it.
    pub fn value(self) -> Count {
        match self {
            RunningCount::Int(n) => Count::Int(n),
            RunningCount::Float(sum) => Count::Float(sum.value()),
        }
    }

    /// Adds a number of observations.
    pub fn add(&mut self, count: Count) {
        *self = self.plus(count.into());
    }

    /// The sum of both counts, in either order the same. Integers are added exactly, even beyond `u64`. Numbers
    /// with a fraction are added as precisely as [`Sum::merge`] does.
    pub fn plus(self, other: RunningCount) -> RunningCount {
        match (self, other) {
            (RunningCount::Int(a), RunningCount::Int(b)) if a.checked_add(b).is_some() => {
                RunningCount::Int(a + b)
            }
            (a, b) => {
                let mut sum = a.to_sum();
                sum.merge(b.to_sum());
                RunningCount::Float(sum)
            }
        }
    }

    /// The count as a sum.
    pub fn to_sum(self) -> Sum {
        match self {
            RunningCount::Int(n) => Sum::of_integer(n),
            RunningCount::Float(sum) => sum,
        }
    }
}

impl From<Count> for RunningCount {
    fn from(count: Count) -> RunningCount {
        match count {
            Count::Int(n) => RunningCount::Int(n),
            Count::Float(x) => RunningCount::Float(Sum::new(x)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::groupings::{choices, is_close, merged_anyhow};
    use proptest::prelude::*;

    fn running(counts: &[Count]) -> Count {
        let mut total = RunningCount::ZERO;
        counts.iter().for_each(|count| total.add(*count));
        total.value()
    }

    #[test]
    fn integers_stay_integers() {
        assert_eq!(running(&[Count::from_f64(3.0), Count::Int(4)]), Count::Int(7));
        assert_eq!(running(&[Count::from_f64(1.5), Count::Int(4)]), Count::Float(5.5));
        assert_eq!(Count::from_f64(-1.0), Count::Float(-1.0));
        assert!(Count::from_f64(f64::NAN).is_float() && Count::from_f64(1.8446744073709552e19).is_float());
    }

    #[test]
    fn beyond_u64_goes_on_as_float() {
        let max = Count::Int(u64::MAX);
        assert_eq!(running(&[max, Count::Int(1)]), Count::Float(18_446_744_073_709_551_616.0));
        assert_eq!(running(&[Count::Int(1 << 63), Count::Int(5)]), Count::Int((1 << 63) + 5));
        let mut single = vec![max];
        single.extend([Count::Int(1); 4097]);
        assert_eq!(running(&single), Count::Float(18_446_744_073_709_555_712.0));
    }

    #[test]
    fn beyond_2_to_the_53_single_observations_count() {
        let mut counts = vec![Count::Float(0.5), Count::Int(1 << 53)];
        counts.extend([Count::Int(1); 1000]);
        assert_eq!(running(&counts), Count::Float(9_007_199_254_741_992.0));
        assert_eq!(running(&[Count::Float(1.7e308), Count::Float(1.7e308)]), Count::Float(f64::MAX));
    }

    fn plus(count: &mut RunningCount, other: &RunningCount) {
        *count = count.plus(*other);
    }

    proptest! {
        #[test]
        fn whole_numbers_are_exact_in_any_grouping(
            counts in prop::collection::vec(prop_oneof![0..100u64, any::<u64>()], 1..20),
            choices in choices(),
        ) {
            let exact: u128 = counts.iter().map(|count| u128::from(*count)).sum();
            let merged = merged_anyhow(counts.into_iter().map(RunningCount::Int).collect(), &choices, plus);
            match u64::try_from(exact) {
                Ok(exact) => prop_assert_eq!(merged, RunningCount::Int(exact)),
                Err(_) => {
                    let high = exact as f64;
                    let low = (exact as i128 - high as i128) as f64;
                    prop_assert_eq!(merged, RunningCount::Float(Sum::from_parts((high, low))));
                }
            }
        }

        #[test]
        fn numbers_with_a_fraction_are_close_in_any_grouping(
            counts in prop::collection::vec(
                prop_oneof![any::<u64>().prop_map(Count::Int), (0.0..1e18f64).prop_map(Count::Float)], 1..20),
            choices in choices(),
        ) {
            let merged = merged_anyhow(counts.iter().map(|count| (*count).into()).collect(), &choices, plus);
            prop_assert!(is_close(merged.value().as_f64(), running(&counts).as_f64()));
            prop_assert_eq!(merged.value().is_float(), running(&counts).is_float());
            for pair in counts.windows(2) {
                let (a, b) = (RunningCount::from(pair[0]), RunningCount::from(pair[1]));
                prop_assert_eq!(a.plus(b), b.plus(a));
            }
        }
    }
}
