//! Summaries: a sum, a count, and quantiles that a client computed.

use crate::model::count::{Count, RunningCount};
use crate::model::sum::Sum;

/// One quantile of a summary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    /// Which quantile, 0.99 for the 99th percentile.
    pub quantile: f64,
    /// Its value.
    pub value: f64,
}

/// The state of a summary series.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The sum of all observations.
    pub sum: Sum,
    /// The number of observations.
    pub count: RunningCount,
    /// The quantiles of the latest push: quantiles of several pushes can't be combined.
    pub quantiles: Box<[Quantile]>,
}

impl Summary {
    /// A summary from its first push.
    pub fn new(sum: f64, count: Count, quantiles: &[Quantile]) -> Summary {
        Summary { sum: Sum::new(sum), count: count.into(), quantiles: quantiles.into() }
    }

    /// Adds a push: sum and count add up, the quantiles are those of the push.
    pub fn merge(&mut self, sum: f64, count: Count, quantiles: &[Quantile]) {
        self.sum.add(sum);
        self.count.add(count);
        self.replace_quantiles(quantiles);
    }

    /// Adds another summary of the same series, whose latest push came later.
    ///
    /// Sum and count do not depend on the order. The quantiles are those of the later summary, as if its pushes had
    /// come after the pushes of this one.
    pub fn merge_state(&mut self, later: &Summary) {
        self.sum.merge(later.sum);
        self.count = self.count.plus(later.count);
        self.replace_quantiles(&later.quantiles);
    }

    fn replace_quantiles(&mut self, quantiles: &[Quantile]) {
        if *self.quantiles != *quantiles {
            self.quantiles = quantiles.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::groupings::{choices, merged_anyhow, merged_in_groups};
    use proptest::prelude::*;

    type Push = (i32, u64, Vec<i32>);

    /// Sums are multiples of 1/64, which add up exactly.
    fn quantiles(values: &[i32]) -> Vec<Quantile> {
        let quantile =
            |(n, value): (u32, &i32)| Quantile { quantile: f64::from(n) / 8.0, value: f64::from(*value) };
        (0..).zip(values).map(quantile).collect()
    }

    fn state((sum, count, values): &Push) -> Summary {
        Summary::new(f64::from(*sum) / 64.0, Count::Int(*count), &quantiles(values))
    }

    fn pushes() -> impl Strategy<Value = Vec<Push>> {
        let count = prop_oneof![0..9u64, any::<u64>()];
        prop::collection::vec((any::<i32>(), count, prop::collection::vec(-2..3, 0..3)), 1..12)
    }

    proptest! {
        #[test]
        fn summaries_merge_as_their_pushes_would(pushes in pushes(), choices in choices()) {
            let mut pushed = state(&pushes[0]);
            for (sum, count, values) in &pushes[1..] {
                pushed.merge(f64::from(*sum) / 64.0, Count::Int(*count), &quantiles(values));
            }
            let states: Vec<Summary> = pushes.iter().map(state).collect();
            prop_assert_eq!(&merged_in_groups(states.clone(), &choices, Summary::merge_state), &pushed);
            // In another order everything is the same but the quantiles, which come from one of the pushes.
            let merged = merged_anyhow(states.clone(), &choices, Summary::merge_state);
            prop_assert_eq!((merged.sum, merged.count), (pushed.sum, pushed.count));
            prop_assert!(states.iter().any(|state| state.quantiles == merged.quantiles));
        }
    }
}
