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
    /// A summary as it was pushed.
    pub fn new(sum: f64, count: Count, quantiles: &[Quantile]) -> Summary {
        Summary { sum: Sum::new(sum), count: count.into(), quantiles: quantiles.into() }
    }

    /// Adds what another summary of the same series has added up; its quantiles are the later ones.
    pub fn merge_state(&mut self, later: &Summary) {
        self.sum.merge(later.sum);
        self.count = self.count.plus(later.count);
        self.quantiles = later.quantiles.clone();
    }

    /// Adds a push: sum and count add up, the quantiles are those of the push.
    pub fn merge(&mut self, sum: f64, count: Count, quantiles: &[Quantile]) {
        self.sum.add(sum);
        self.count.add(count);
        if *self.quantiles != *quantiles {
            self.quantiles = quantiles.into();
        }
    }
}
