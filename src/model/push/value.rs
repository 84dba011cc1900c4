//! The values of the series of a push.

use std::num::NonZeroU32;

use crate::model::count::Count;
use crate::model::merge::Buckets;
use crate::model::native_histogram::NativeHistogram;

/// The pushed value of one series.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A counter, gauge or untyped value.
    Number(f64),
    /// A summary.
    Summary {
        /// The sum of the observations.
        sum: f64,
        /// The number of observations.
        count: Count,
        /// See [`Push::quantiles`](super::Push::quantiles).
        quantiles: Span,
    },
    /// A histogram.
    Histogram {
        /// The sum of the observations.
        sum: f64,
        /// The number of observations.
        total: Count,
        /// See [`Push::buckets`](super::Push::buckets).
        buckets: Span,
        /// See [`Push::native`](super::Push::native).
        native: Option<NativeAt>,
        /// What becomes of bounds that differ from those of the series.
        policy: Buckets,
    },
}

/// A range within one of the vectors of a [`Push`](super::Push).
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn of<T>(self, items: &[T]) -> &[T] {
        &items[self.start as usize..self.end as usize]
    }

    /// The part of a text.
    pub(super) fn text(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }
}

/// Where in a [`Push`](super::Push) a native histogram is. Counted from 1, so that having none takes no room.
#[derive(Clone, Copy, Debug)]
pub struct NativeAt(NonZeroU32);

impl NativeAt {
    /// Adds one to all of a push.
    pub(super) fn push(all: &mut Vec<NativeHistogram>, native: NativeHistogram) -> NativeAt {
        all.push(native);
        NativeAt(NonZeroU32::new(all.len() as u32).unwrap_or(NonZeroU32::MAX))
    }

    /// The one that it stands for.
    pub(super) fn of(self, all: &[NativeHistogram]) -> Option<&NativeHistogram> {
        all.get(self.0.get() as usize - 1)
    }
}
