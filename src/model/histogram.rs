//! Histograms: classic buckets, which are kept exactly for each layout and combined when they are shown, and native
//! buckets beside them.

mod bounds;
mod increase;
mod layout;
mod part;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::increase::Increased;
pub use self::layout::{Bucket, Layout};
pub use self::part::{Counts, Part};
use crate::model::count::{Count, RunningCount};
use crate::model::merge::Buckets;
use crate::model::native_histogram::NativeHistogram;
use crate::model::sum::Sum;

/// How many layouts a series keeps separately. During a rollout there are two. A client that makes up bounds has
/// any number of them, and must not make every scrape slower than the one before.
const MAX_LAYOUTS: usize = 16;

/// The most buckets of a series with several layouts. Further bounds are not added, because each push would cost
/// more than the one before.
const MAX_BUCKETS: usize = 16_384;

/// The memory of a layout without its buckets, and of a bucket with its bound, in bytes.
const PART_BYTES: usize = 64;
const BUCKET_BYTES: usize = 32;

/// The native buckets of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct NativePart {
    /// The buckets. They hold all observations of the series.
    pub histogram: NativeHistogram,
    /// Whether some observations were pushed without classic buckets.
    pub is_alone: bool,
}

/// The histogram of one push. If it is added, bounds are ascending and counts cumulative.
#[derive(Clone, Copy, Debug)]
pub struct Pushed<'a> {
    /// The classic buckets.
    pub buckets: &'a [Bucket],
    /// The native buckets.
    pub native: Option<&'a NativeHistogram>,
    /// The sum of the observations.
    pub sum: f64,
    /// The number of observations.
    pub total: Count,
    /// What becomes of bounds that differ from those of the series.
    pub policy: Buckets,
}

impl Pushed<'_> {
    fn is_empty(&self) -> bool {
        self.total.as_f64() == 0.0
    }

    fn native_part(&self) -> Option<Box<NativePart>> {
        let histogram = self.native?.clone();
        Some(Box::new(NativePart { histogram, is_alone: self.is_alone() }))
    }

    /// Whether only native buckets hold its observations.
    fn is_alone(&self) -> bool {
        self.buckets.is_empty() && !self.is_empty()
    }
}

/// The state of a histogram series.
///
/// Counts of pushes with the same bounds add up exactly. If bounds differ, each layout keeps its own counts, and
/// [`Histogram::buckets`] shows the union of the bounds. At each bound, a layout contributes the count at its
/// largest bound not above it. So counts are monotone in the bound and in time, the total is exact, and a quantile
/// errs upward by one original bucket at most. If all bounds together are more than 16,384, new ones are not added:
/// their counts go to the existing buckets, by the same rule.
///
/// A histogram keeps native buckets as long as they hold all observations. A push without them ends them for good,
/// because Prometheus refuses a histogram whose native buckets don't add up to its count. After a push with native
/// buckets only, classic buckets are not shown beside them but go on counting. They are shown if the native ones
/// end.
///
/// Two merged histograms show:
///
/// * At each bound, the sum of the counts that each of them knows for that bound. The same holds for the total. For
///   integers this is exact, for other numbers as precise as [`Sum::merge`].
/// * All bounds of both, as long as there are at most 16,384. Then merging is commutative and associative, and the
///   same as merging the pushes one by one.
/// * Beyond that, all bounds of the histogram that the other one is merged into. The order then decides which
///   bounds are kept, and no count is higher than it would be with all bounds. Totals stay exact.
/// * The same native buckets in any order; see [`NativeHistogram`].
#[derive(Clone, Debug)]
pub struct Histogram {
    first: Part,
    others: Vec<Part>,
    native: Option<Box<NativePart>>,
    /// The sum of all observations.
    pub sum: Sum,
}

impl Histogram {
    /// A histogram from its first push. `known` are layouts that it may share.
    pub fn new<'a>(pushed: Pushed<'_>, known: impl IntoIterator<Item = &'a Arc<Layout>>) -> Histogram {
        let Pushed { buckets, total, .. } = pushed;
        let layout = known
            .into_iter()
            .find(|layout| layout.fits(buckets))
            .map_or_else(|| Arc::new(Layout::new(buckets)), Arc::clone);
        let first = Part { layout, counts: Counts::new(buckets), total: total.into() };
        Histogram { first, others: Vec::new(), native: pushed.native_part(), sum: Sum::new(pushed.sum) }
    }

    /// Asks the processor to read the counts before they are needed.
    #[inline]
    pub fn prefetch(&self) {
        self.first.counts.prefetch();
    }

    /// A histogram of these parts, without native buckets. `None` if there are no parts.
    pub fn from_parts(parts: Vec<Part>, sum: Sum) -> Option<Histogram> {
        let mut parts = parts.into_iter();
        Some(Histogram { first: parts.next()?, others: parts.collect(), native: None, sum })
    }

    /// The counts of each layout. That of the first push comes first.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Adds a push.
    pub fn merge(&mut self, pushed: Pushed<'_>) {
        if self.native.is_some() || pushed.native.is_some() {
            self.join_native(pushed.native_part(), pushed.is_empty());
        }
        let Pushed { buckets, sum, total, policy, .. } = pushed;
        self.sum.add(sum);
        if policy == Buckets::Intersection {
            self.add_common(buckets, total);
            return;
        }
        let part = std::iter::once(&mut self.first).chain(&mut self.others).find(|p| p.layout.fits(buckets));
        match part {
            Some(part) => {
                part.counts.add(buckets.iter().map(|bucket| bucket.count.into()));
                part.total.add(total);
            }
            None => {
                let layout = Arc::new(Layout::new(buckets));
                self.push_part(Part { layout, counts: Counts::new(buckets), total: total.into() });
            }
        }
    }

    /// Adds the counts of another histogram of the same series.
    pub fn merge_state(&mut self, other: &Histogram) {
        if self.native.is_some() || other.native.is_some() {
            self.join_native(other.native.clone(), other.count().as_f64() == 0.0);
        }
        self.sum.merge(other.sum);
        if !other.has_one_layout() && self.bucket_count() + self.missing_buckets(other) > MAX_BUCKETS {
            // Combines the layouts first. Otherwise a bound of a later part could arrive without the counts of an
            // earlier one.
            let mut other = other.clone();
            other.collapse();
            self.add_part(&other.first);
        } else {
            other.parts().for_each(|part| self.add_part(part));
        }
    }

    fn add_part(&mut self, part: &Part) {
        let mut parts = std::iter::once(&mut self.first).chain(&mut self.others);
        match parts.find(|own| own.layout.bounds() == part.layout.bounds()) {
            Some(own) => own.add(part),
            None => self.push_part(part.clone()),
        }
    }

    /// How many buckets another histogram has in layouts that this one lacks.
    fn missing_buckets(&self, other: &Histogram) -> usize {
        let is_new = |part: &&Part| self.parts().all(|own| own.layout.bounds() != part.layout.bounds());
        other.parts().filter(is_new).map(Part::len).sum()
    }

    /// How many buckets all layouts have.
    fn bucket_count(&self) -> usize {
        self.parts().map(Part::len).sum()
    }

    /// Adds a part with a layout that no other part has.
    fn push_part(&mut self, part: Part) {
        let is_too_large = self.bucket_count() + part.len() > MAX_BUCKETS;
        if is_too_large || self.others.len() + 1 >= MAX_LAYOUTS {
            self.collapse();
        }
        if !is_too_large {
            self.others.push(part);
            return;
        }
        let own = self.first.len();
        let all = own + self.first.layout.count_missing(&part.layout);
        // A layout that has all bounds is used even if it is larger. One push may also be that large.
        if all > own && all <= MAX_BUCKETS.max(part.len()) {
            self.others.push(part);
            self.collapse();
        } else {
            self.first.take_in(&part);
        }
    }

    /// Adds native buckets. If one side has observations but no native buckets, the histogram has none from now on.
    fn join_native(&mut self, native: Option<Box<NativePart>>, is_empty: bool) {
        let has_observations = self.count().as_f64() != 0.0;
        match (&mut self.native, native) {
            (Some(part), Some(other)) => {
                part.histogram.merge(&other.histogram);
                part.is_alone |= other.is_alone;
            }
            (native @ Some(_), None) if !is_empty => *native = None,
            // There were no observations so far, so none lack native buckets.
            (native @ None, other @ Some(_)) if !has_observations => *native = other,
            _ => {}
        }
    }

    /// Combines all layouts into one, with the bounds and counts that are shown.
    ///
    /// This loses nothing. No layout has a bound between two bounds of the result, so for any later bound, the
    /// largest bound not above it has the same count as before.
    fn collapse(&mut self) {
        if self.others.is_empty() {
            return;
        }
        let (mut bounds, mut counts) = (Vec::new(), Vec::new());
        self.classic_counts(|_, bound, count| {
            bounds.push(bound);
            counts.push(count);
        });
        let total = self.total();
        let layout = Arc::new(Layout::of(bounds.into()));
        self.first = Part { layout, counts: Counts::of(counts.into_iter()), total };
        self.others.clear();
    }

    /// Roughly the memory for this many buckets of one layout, in bytes.
    pub fn size_of(buckets: usize) -> usize {
        Histogram::size_of_parts(1, buckets)
    }

    /// Roughly the memory for this many layouts with this many buckets in total, in bytes.
    pub fn size_of_parts(layouts: usize, buckets: usize) -> usize {
        layouts * PART_BYTES + buckets * BUCKET_BYTES
    }

    /// Roughly the memory for the buckets, in bytes.
    pub fn size(&self) -> usize {
        let classic: usize = self.parts().map(|part| Histogram::size_of(part.len())).sum();
        classic + self.native.as_ref().map_or(0, |part| part.histogram.size())
    }

    /// How many bytes [`Histogram::merge`] of a push adds.
    pub fn growth(&self, pushed: Pushed<'_>) -> i64 {
        let is_classic = self.native.is_none() && pushed.native.is_none();
        if is_classic && self.parts().any(|part| part.layout.fits(pushed.buckets)) {
            return 0;
        }
        // Only adding two histograms shows which buckets they have together, because bounds and resolutions may
        // have to be combined.
        let mut after = self.clone();
        after.merge(pushed);
        after.size() as i64 - self.size() as i64
    }

    /// The number of observations.
    pub fn count(&self) -> Count {
        self.total().value()
    }

    fn total(&self) -> RunningCount {
        self.others.iter().fold(self.first.total, |total, part| total.plus(part.total))
    }

    /// Whether all pushes had the same bounds, so that the buckets are shown as pushed.
    pub fn has_one_layout(&self) -> bool {
        self.others.is_empty()
    }

    /// The layout of the first push.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.first.layout
    }

    /// The native buckets, if they hold all observations.
    pub fn native(&self) -> Option<&NativeHistogram> {
        self.native.as_ref().map(|part| &part.histogram)
    }

    /// The native buckets with their metadata.
    pub fn native_part(&self) -> Option<&NativePart> {
        self.native.as_deref()
    }

    /// Sets the native buckets, which must hold all observations.
    pub fn with_native_part(mut self, part: Option<NativePart>) -> Histogram {
        self.native = part.map(Box::new);
        self
    }

    /// Calls `each` with the text of the bound, the bound, and the cumulative count of every bucket, in the order
    /// of a scrape. `+Inf` is among them only if it was pushed.
    pub fn buckets(&self, each: impl FnMut(&str, f64, Count)) {
        if self.native.as_ref().is_none_or(|part| !part.is_alone) {
            self.classic_buckets(each);
        }
    }

    /// As [`Histogram::buckets`], but always with a bucket for `+Inf`, which the text formats require.
    pub fn all_buckets(&self, mut each: impl FnMut(&str, f64, Count)) {
        let mut has_inf = false;
        self.buckets(|label, bound, count| {
            has_inf |= bound == f64::INFINITY;
            each(label, bound, count);
        });
        if !has_inf {
            each("+Inf", f64::INFINITY, self.count());
        }
    }

    /// The same series without observations.
    pub fn emptied(&self) -> Histogram {
        // A float histogram stays one.
        let total = if self.is_float() { Count::Float(0.0) } else { Count::ZERO };
        let mut buckets = Vec::new();
        self.classic_buckets(|_, bound, _| buckets.push(Bucket { bound, count: total }));
        let pushed = Pushed { buckets: &buckets, native: None, sum: 0.0, total, policy: Buckets::Union };
        let native = self
            .native
            .as_deref()
            .map(|part| NativePart { histogram: part.histogram.emptied(), is_alone: part.is_alone });
        Histogram::new(pushed, [&self.first.layout]).with_native_part(native)
    }

    fn classic_buckets(&self, mut each: impl FnMut(&str, f64, Count)) {
        self.classic_counts(|label, bound, count| each(label, bound, count.value()));
    }

    fn classic_counts(&self, mut each: impl FnMut(&str, f64, RunningCount)) {
        if self.others.is_empty() {
            let layout = &self.first.layout;
            for (at, (bound, text)) in layout.texts().enumerate() {
                each(text, bound, self.first.counts.get(at));
            }
            return;
        }
        let mut bounds: Vec<(f64, &str)> = self.parts().flat_map(|part| part.layout.texts()).collect();
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        bounds.dedup_by(|a, b| a.0 == b.0);
        let mut parts: Vec<_> = self.parts().map(Part::at_most).collect();
        for (bound, text) in bounds {
            let counts = parts.iter_mut().map(|at_most| at_most(bound));
            each(text, bound, counts.fold(RunningCount::ZERO, RunningCount::plus));
        }
    }

    /// Whether any count is a float, which makes the whole histogram a float histogram.
    pub fn is_float(&self) -> bool {
        // The integers of all layouts together may exceed `u64`.
        self.count().is_float()
            || self.parts().any(|part| matches!(part.counts, Counts::Float(_)))
            || self.native().is_some_and(NativeHistogram::is_float)
    }
}
