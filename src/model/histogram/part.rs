//! The counts of a histogram in one layout.

use std::sync::Arc;

use prefetch_index::prefetch_index;

use super::layout::{Bucket, Layout};
use crate::model::count::RunningCount;
use crate::model::sum::Sum;

/// Cumulative counts of one layout. They are integers as long as possible.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    /// Whole numbers.
    Int(Box<[u64]>),
    /// Numbers with a fraction, or beyond `u64`. All counts have this form, so that neighbours are rounded alike.
    Float(Box<[Sum]>),
}

impl Counts {
    /// Asks the processor to read them before they are needed.
    #[inline]
    pub(super) fn prefetch(&self) {
        match self {
            Counts::Int(counts) => prefetch_index(counts, 0),
            Counts::Float(counts) => prefetch_index(counts, 0),
        }
    }

    pub(super) fn new(buckets: &[Bucket]) -> Counts {
        Counts::of(buckets.iter().map(|bucket| bucket.count.into()))
    }

    pub(super) fn of(counts: impl Iterator<Item = RunningCount> + Clone) -> Counts {
        let whole = |count| if let RunningCount::Int(n) = count { Some(n) } else { None };
        match counts.clone().map(whole).collect() {
            Some(whole) => Counts::Int(whole),
            None => Counts::Float(counts.map(RunningCount::to_sum).collect()),
        }
    }

    pub(super) fn get(&self, at: usize) -> RunningCount {
        match self {
            Counts::Int(counts) => RunningCount::Int(counts[at]),
            Counts::Float(counts) => RunningCount::Float(counts[at]),
        }
    }

    /// Adds counts of the same layout.
    pub(super) fn add(&mut self, more: impl Iterator<Item = RunningCount> + Clone) {
        if let Counts::Int(counts) = self {
            let fits = counts.iter().zip(more.clone()).all(|(have, more)| match more {
                RunningCount::Int(n) => have.checked_add(n).is_some(),
                RunningCount::Float(_) => false,
            });
            if !fits {
                *self = Counts::Float(counts.iter().map(|n| Sum::of_integer(*n)).collect());
            }
        }
        match self {
            Counts::Int(counts) => {
                for (have, more) in counts.iter_mut().zip(more) {
                    if let RunningCount::Int(n) = more {
                        *have += n;
                    }
                }
            }
            Counts::Float(counts) => {
                counts.iter_mut().zip(more).for_each(|(have, more)| have.merge(more.to_sum()));
            }
        }
    }
}

/// The counts that were pushed with one layout.
#[derive(Clone, Debug)]
pub struct Part {
    /// The bounds.
    pub layout: Arc<Layout>,
    /// A count for each bound.
    pub counts: Counts,
    /// All observations that were pushed with this layout, including those above the last bound.
    pub total: RunningCount,
}

impl Part {
    /// How many buckets it has.
    pub(super) fn len(&self) -> usize {
        self.layout.bounds().len()
    }

    /// Adds another part with the same layout.
    pub(super) fn add(&mut self, other: &Part) {
        self.counts.add((0..self.len()).map(|at| other.counts.get(at)));
        self.total = self.total.plus(other.total);
    }

    /// Returns how many observations are known to be at most a bound: the count at this layout's largest bound that
    /// is not above it. Must be called with ascending bounds.
    pub(super) fn at_most(&self) -> impl FnMut(f64) -> RunningCount {
        let mut below = 0;
        move |bound| {
            if bound == f64::INFINITY {
                return self.total;
            }
            below += self.layout.bounds()[below..].iter().take_while(|own| **own <= bound).count();
            below.checked_sub(1).map_or(RunningCount::ZERO, |last| self.counts.get(last))
        }
    }

    /// Adds the counts of another part to the buckets of this one.
    pub(super) fn take_in(&mut self, other: &Part) {
        let mut at_most = other.at_most();
        let counts = self.layout.bounds().iter().enumerate();
        let counts: Vec<RunningCount> =
            counts.map(|(at, bound)| self.counts.get(at).plus(at_most(*bound))).collect();
        self.counts = Counts::of(counts.into_iter());
        self.total = self.total.plus(other.total);
    }
}
