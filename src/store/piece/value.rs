//! The values of one form: what the rows of a piece have in common, whatever they hold.

use std::sync::Arc;

use crate::model::histogram::{Bucket, Histogram, Layout, Pushed};
use crate::model::merge::{Merge, extreme};
use crate::model::native_histogram::NativeHistogram;
use crate::model::push::{Push, Series, Value};
use crate::model::sum::Sum;
use crate::model::summary::{Quantile, Summary};
use crate::store::piece::{OwnedValue, RowValue};

/// A value of one form, and how pushed ones are merged into it.
pub(super) trait FormValue: Clone {
    /// What a push says of a series of this form.
    type Pushed<'a>: Copy;

    /// What a pushed series says; none where it has another form.
    fn pushed<'a>(push: &'a Push, series: &Series) -> Option<Self::Pushed<'a>>;

    /// The value of a new series. `neighbour` and `known` have bucket layouts that it may share.
    fn first(pushed: Self::Pushed<'_>, neighbour: Option<&Self>, known: &[Arc<Layout>]) -> Self;

    /// Merges a pushed value into it.
    fn merge_pushed(&mut self, pushed: Self::Pushed<'_>, merge: Merge);

    /// The part of its size that grows with what is pushed, in bytes.
    fn growing_bytes(&self) -> usize;

    /// By how many bytes [`FormValue::merge_pushed`] makes it grow.
    fn growth(&self, pushed: Self::Pushed<'_>, merge: Merge) -> i64;

    /// What [`FormValue::growing_bytes`] of a new one will be, at most.
    fn size_of(pushed: Self::Pushed<'_>) -> usize;

    /// Asks the processor to read what it has elsewhere in memory before that is needed.
    #[inline]
    fn prefetch(&self) {}

    /// The value, borrowed.
    fn seen(&self) -> RowValue<'_>;

    /// The value of this form in one of any form; none where that has another.
    fn from_owned(value: OwnedValue) -> Option<Self>;

    /// The value, with all that there is to it.
    fn owned(&self) -> OwnedValue;
}

impl FormValue for Sum {
    type Pushed<'a> = f64;

    #[inline]
    fn pushed(_push: &Push, series: &Series) -> Option<f64> {
        if let Value::Number(value) = series.value { Some(value) } else { None }
    }

    fn first(pushed: f64, _neighbour: Option<&Sum>, _known: &[Arc<Layout>]) -> Sum {
        Sum::new(pushed)
    }

    #[inline]
    fn merge_pushed(&mut self, pushed: f64, merge: Merge) {
        match merge {
            Merge::Add => self.add(pushed),
            Merge::Last | Merge::Fold(_) => *self = Sum::new(pushed),
            Merge::Least | Merge::Greatest => {
                *self = Sum::new(extreme(self.value(), pushed, merge == Merge::Greatest));
            }
        }
    }

    fn growing_bytes(&self) -> usize {
        0
    }

    fn growth(&self, _pushed: f64, _merge: Merge) -> i64 {
        0
    }

    fn size_of(_pushed: f64) -> usize {
        0
    }

    fn seen(&self) -> RowValue<'_> {
        RowValue::Number(self.value())
    }

    fn from_owned(value: OwnedValue) -> Option<Sum> {
        if let OwnedValue::Number(value) = value { Some(value) } else { None }
    }

    fn owned(&self) -> OwnedValue {
        OwnedValue::Number(*self)
    }
}

/// What a push says of a summary.
#[derive(Clone, Copy)]
pub(super) struct PushedSummary<'a> {
    sum: f64,
    count: crate::model::count::Count,
    quantiles: &'a [Quantile],
}

impl FormValue for Summary {
    type Pushed<'a> = PushedSummary<'a>;

    fn pushed<'a>(push: &'a Push, series: &Series) -> Option<PushedSummary<'a>> {
        let Value::Summary { sum, count, quantiles } = series.value else { return None };
        Some(PushedSummary { sum, count, quantiles: push.quantiles(quantiles) })
    }

    fn first(pushed: PushedSummary<'_>, _neighbour: Option<&Summary>, _known: &[Arc<Layout>]) -> Summary {
        Summary::new(pushed.sum, pushed.count, pushed.quantiles)
    }

    fn merge_pushed(&mut self, PushedSummary { sum, count, quantiles }: PushedSummary<'_>, merge: Merge) {
        match merge {
            Merge::Add => self.merge(sum, count, quantiles),
            _ => *self = Summary::new(sum, count, quantiles),
        }
    }

    fn growing_bytes(&self) -> usize {
        size_of_val(&*self.quantiles)
    }

    fn growth(&self, pushed: PushedSummary<'_>, _merge: Merge) -> i64 {
        size_of_val(pushed.quantiles) as i64 - self.growing_bytes() as i64
    }

    fn size_of(pushed: PushedSummary<'_>) -> usize {
        size_of_val(pushed.quantiles)
    }

    fn seen(&self) -> RowValue<'_> {
        RowValue::Summary(self)
    }

    fn from_owned(value: OwnedValue) -> Option<Summary> {
        if let OwnedValue::Summary(value) = value { Some(value) } else { None }
    }

    fn owned(&self) -> OwnedValue {
        OwnedValue::Summary(self.clone())
    }
}

impl FormValue for Histogram {
    type Pushed<'a> = Pushed<'a>;

    fn pushed<'a>(push: &'a Push, series: &Series) -> Option<Pushed<'a>> {
        let Value::Histogram { sum, total, buckets, native, policy } = series.value else { return None };
        let (buckets, native) = (push.buckets(buckets), push.native(native));
        Some(Pushed { buckets, native, sum, total, policy })
    }

    fn first(pushed: Pushed<'_>, neighbour: Option<&Histogram>, known: &[Arc<Layout>]) -> Histogram {
        Histogram::new(pushed, neighbour.map(Histogram::layout).into_iter().chain(known))
    }

    fn merge_pushed(&mut self, pushed: Pushed<'_>, merge: Merge) {
        match merge {
            Merge::Add => self.merge(pushed),
            _ => *self = Histogram::new(pushed, [&self.layout().clone()]),
        }
    }

    fn growing_bytes(&self) -> usize {
        self.size()
    }

    fn growth(&self, pushed: Pushed<'_>, merge: Merge) -> i64 {
        match merge {
            Merge::Add => Histogram::growth(self, pushed),
            _ => pushed_size(pushed.buckets, pushed.native) as i64 - self.size() as i64,
        }
    }

    fn size_of(pushed: Pushed<'_>) -> usize {
        pushed_size(pushed.buckets, pushed.native)
    }

    #[inline]
    fn prefetch(&self) {
        Histogram::prefetch(self);
    }

    fn seen(&self) -> RowValue<'_> {
        RowValue::Histogram(self)
    }

    fn from_owned(value: OwnedValue) -> Option<Histogram> {
        if let OwnedValue::Histogram(value) = value { Some(value) } else { None }
    }

    fn owned(&self) -> OwnedValue {
        OwnedValue::Histogram(self.clone())
    }
}

/// What [`Histogram::size`] of these buckets will be.
fn pushed_size(buckets: &[Bucket], native: Option<&NativeHistogram>) -> usize {
    Histogram::size_of(buckets.len()) + native.map_or(0, NativeHistogram::size)
}
