//! Histograms: classic buckets, kept exactly per layout and combined when they are shown, and native
//! ones beside them.

use std::sync::Arc;

use crate::model::count::{Count, RunningCount};
use crate::model::native_histogram::NativeHistogram;
use crate::model::number::format_f64;
use crate::model::sum::Sum;

/// One bucket of a pushed histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The upper bound, inclusive.
    pub bound: f64,
    /// Observations up to the bound, those of the smaller buckets included.
    pub count: Count,
}

/// The bounds of a histogram's buckets, shared by all series that have them.
#[derive(Debug)]
pub struct Layout {
    bounds: Box<[f64]>,
    /// The texts of the bounds, one after the other, and where each ends.
    texts: Box<str>,
    ends: Box<[u32]>,
}

impl Layout {
    /// The layout of these buckets, in their order.
    pub fn new(buckets: &[Bucket]) -> Layout {
        Layout::of(buckets.iter().map(|b| b.bound).collect())
    }

    /// The layout with these bounds.
    pub fn of(bounds: Box<[f64]>) -> Layout {
        let (mut texts, mut ends) = (String::new(), Vec::with_capacity(bounds.len()));
        for bound in &bounds {
            texts.push_str(&format_f64(*bound));
            ends.push(texts.len() as u32);
        }
        Layout { bounds, texts: texts.into(), ends: ends.into() }
    }

    /// The bounds with their texts.
    fn texts(&self) -> impl Iterator<Item = (f64, &str)> {
        let mut start = 0;
        self.bounds.iter().zip(&self.ends).map(move |(bound, end)| {
            let end = *end as usize;
            (*bound, &self.texts[std::mem::replace(&mut start, end)..end])
        })
    }

    /// The bounds.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Whether these buckets have exactly this layout.
    pub fn fits(&self, buckets: &[Bucket]) -> bool {
        self.bounds.len() == buckets.len() && self.bounds.iter().zip(buckets).all(|(x, b)| *x == b.bound)
    }
}

/// Cumulative counts of one layout: integers while they can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    /// Whole numbers.
    Int(Box<[u64]>),
    /// Numbers with a fraction, or beyond `u64`; all of them, so that none rounds otherwise than its neighbour.
    Float(Box<[Sum]>),
}

impl Counts {
    fn new(buckets: &[Bucket]) -> Counts {
        Counts::of(buckets.iter().map(|bucket| bucket.count.into()))
    }

    fn of(counts: impl Iterator<Item = RunningCount> + Clone) -> Counts {
        let whole = |count| if let RunningCount::Int(n) = count { Some(n) } else { None };
        match counts.clone().map(whole).collect() {
            Some(whole) => Counts::Int(whole),
            None => Counts::Float(counts.map(RunningCount::to_sum).collect()),
        }
    }

    fn get(&self, at: usize) -> RunningCount {
        match self {
            Counts::Int(counts) => RunningCount::Int(counts[at]),
            Counts::Float(counts) => RunningCount::Float(counts[at]),
        }
    }

    fn add(&mut self, buckets: &[Bucket]) {
        if let Counts::Int(counts) = self {
            let fits = counts.iter().zip(buckets).all(|(have, bucket)| match bucket.count {
                Count::Int(n) => have.checked_add(n).is_some(),
                Count::Float(_) => false,
            });
            if !fits {
                *self = Counts::Float(counts.iter().map(|n| Sum::of_integer(*n)).collect());
            }
        }
        match self {
            Counts::Int(counts) => {
                for (have, bucket) in counts.iter_mut().zip(buckets) {
                    if let Count::Int(n) = bucket.count {
                        *have += n;
                    }
                }
            }
            Counts::Float(counts) => {
                for (have, bucket) in counts.iter_mut().zip(buckets) {
                    have.merge(RunningCount::from(bucket.count).to_sum());
                }
            }
        }
    }
}

/// How many layouts a series keeps apart. A rollout has two; a client that makes up bounds has any
/// number, and must not make every scrape slower than the last.
const MAX_LAYOUTS: usize = 16;

/// How many buckets a series has once it has several layouts. What comes with more counts in the buckets that are
/// there: a push must not cost more for all that was pushed before it.
const MAX_BUCKETS: usize = 16_384;

/// What a layout takes beside its buckets, and a bucket with its bound, in bytes.
const PART_BYTES: usize = 64;
const BUCKET_BYTES: usize = 32;

/// What was pushed with one layout.
#[derive(Clone, Debug)]
pub struct Part {
    /// The bounds.
    pub layout: Arc<Layout>,
    /// A count for each bound.
    pub counts: Counts,
    /// All observations that came with this layout, those above the last bound included.
    pub total: RunningCount,
}

impl Part {
    fn len(&self) -> usize {
        self.layout.bounds.len()
    }

    /// Tells of bounds that come in ascending order how many observations are known to be at most that: the count at
    /// this layout's largest bound not above it.
    fn at_most(&self) -> impl FnMut(f64) -> RunningCount {
        let mut below = 0;
        move |bound| {
            if bound == f64::INFINITY {
                return self.total;
            }
            below += self.layout.bounds[below..].iter().take_while(|own| **own <= bound).count();
            below.checked_sub(1).map_or(RunningCount::ZERO, |last| self.counts.get(last))
        }
    }

    /// Counts what another part has counted in the buckets of this one.
    fn take_in(&mut self, other: &Part) {
        let mut at_most = other.at_most();
        let counts = self.layout.bounds.iter().enumerate();
        let counts: Vec<RunningCount> =
            counts.map(|(at, bound)| self.counts.get(at).plus(at_most(*bound))).collect();
        self.counts = Counts::of(counts.into_iter());
        self.total = self.total.plus(other.total);
    }
}

/// The native buckets of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct NativePart {
    /// The buckets. They hold all observations of the series.
    pub histogram: NativeHistogram,
    /// Whether some observations came without classic buckets.
    pub is_alone: bool,
}

/// What one push says about a histogram. Where it adds, bounds are ascending and counts cumulative.
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
}

impl Pushed<'_> {
    fn is_empty(&self) -> bool {
        self.total.as_f64() == 0.0
    }

    fn native_part(&self) -> Option<Box<NativePart>> {
        let histogram = self.native?.clone();
        Some(Box::new(NativePart { histogram, is_alone: self.is_alone() }))
    }

    /// Whether it has observations that only native buckets hold.
    fn is_alone(&self) -> bool {
        self.buckets.is_empty() && !self.is_empty()
    }
}

/// The state of a histogram series.
///
/// Counts of pushes with the same bounds add up exactly. Where bounds differ, each layout keeps its
/// own counts, and [`Histogram::buckets`] shows the union of the bounds; there each layout
/// contributes the count at its largest bound not above the bucket's. That is monotone in the bound
/// and in time, the total is exact, and a quantile errs upward by one original bucket at most. Beyond
/// 16,384 buckets new bounds are not added: their counts go to the buckets that are there, by the same rule.
///
/// Native buckets are there for as long as they hold all observations: a push that has none ends them
/// for good, because Prometheus takes no histogram whose native buckets don't add up to its count.
/// Classic buckets are not shown beside them once a push had native buckets only, but go on counting:
/// they are what is left should the native ones end.
#[derive(Clone, Debug)]
pub struct Histogram {
    first: Part,
    others: Vec<Part>,
    native: Option<Box<NativePart>>,
    /// The sum of all observations.
    pub sum: Sum,
}

impl Histogram {
    /// A histogram as it was pushed. `known` are layouts that it may share.
    pub fn new<'a>(pushed: Pushed<'_>, known: impl IntoIterator<Item = &'a Arc<Layout>>) -> Histogram {
        let Pushed { buckets, total, .. } = pushed;
        let layout = known
            .into_iter()
            .find(|layout| layout.fits(buckets))
            .map_or_else(|| Arc::new(Layout::new(buckets)), Arc::clone);
        let first = Part { layout, counts: Counts::new(buckets), total: total.into() };
        Histogram { first, others: Vec::new(), native: pushed.native_part(), sum: Sum::new(pushed.sum) }
    }

    /// A histogram of these parts, without native buckets; none without any.
    pub fn from_parts(parts: Vec<Part>, sum: Sum) -> Option<Histogram> {
        let mut parts = parts.into_iter();
        Some(Histogram { first: parts.next()?, others: parts.collect(), native: None, sum })
    }

    /// What was pushed, by layout; the layout of the first push first.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Adds a push.
    pub fn merge(&mut self, pushed: Pushed<'_>) {
        if self.native.is_some() || pushed.native.is_some() {
            self.join_native(pushed.native_part(), pushed.is_empty());
        }
        let Pushed { buckets, sum, total, .. } = pushed;
        self.sum.add(sum);
        let part = std::iter::once(&mut self.first).chain(&mut self.others).find(|p| p.layout.fits(buckets));
        match part {
            Some(part) => {
                part.counts.add(buckets);
                part.total.add(total);
            }
            None => {
                let layout = Arc::new(Layout::new(buckets));
                self.push_part(Part { layout, counts: Counts::new(buckets), total: total.into() });
            }
        }
    }

    /// Adds what another histogram of the same series has counted.
    pub fn merge_state(&mut self, other: &Histogram) {
        if self.native.is_some() || other.native.is_some() {
            self.join_native(other.native.clone(), other.count().as_f64() == 0.0);
        }
        self.sum.merge(other.sum);
        for part in other.parts() {
            let same = std::iter::once(&mut self.first)
                .chain(&mut self.others)
                .find(|own| own.layout.bounds == part.layout.bounds);
            match same {
                Some(own) => {
                    let counts: Vec<RunningCount> = (0..own.layout.bounds.len())
                        .map(|at| own.counts.get(at).plus(part.counts.get(at)))
                        .collect();
                    own.counts = Counts::of(counts.into_iter());
                    own.total = own.total.plus(part.total);
                }
                None => self.push_part(part.clone()),
            }
        }
    }

    fn push_part(&mut self, part: Part) {
        let buckets: usize = self.parts().map(Part::len).sum();
        if buckets + part.len() > MAX_BUCKETS {
            let finest = std::iter::once(&mut self.first)
                .chain(&mut self.others)
                .reduce(|finest, other| if other.len() > finest.len() { other } else { finest });
            if let Some(finest) = finest {
                finest.take_in(&part);
            }
            return;
        }
        if self.others.len() + 1 >= MAX_LAYOUTS {
            self.collapse();
        }
        self.others.push(part);
    }

    /// Adds native buckets, or ends them where there are none though something was observed.
    fn join_native(&mut self, native: Option<Box<NativePart>>, is_empty: bool) {
        let has_observations = self.count().as_f64() != 0.0;
        match (&mut self.native, native) {
            (Some(part), Some(other)) => {
                part.histogram.merge(&other.histogram);
                part.is_alone |= other.is_alone;
            }
            (native @ Some(_), None) if !is_empty => *native = None,
            // Nothing has been observed without native buckets as yet.
            (native @ None, other @ Some(_)) if !has_observations => *native = other,
            _ => {}
        }
    }

    /// Makes one layout of all, with the bounds and counts that are shown.
    fn collapse(&mut self) {
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

    /// How much memory so many buckets of one layout take, in bytes, roughly.
    pub fn size_of(buckets: usize) -> usize {
        Histogram::size_of_parts(1, buckets)
    }

    /// How much memory so many layouts with so many buckets together take, in bytes, roughly.
    pub fn size_of_parts(layouts: usize, buckets: usize) -> usize {
        layouts * PART_BYTES + buckets * BUCKET_BYTES
    }

    /// How much memory the buckets take, in bytes, roughly.
    pub fn size(&self) -> usize {
        let classic: usize = self.parts().map(|part| Histogram::size_of(part.layout.bounds.len())).sum();
        classic + self.native.as_ref().map_or(0, |part| part.histogram.size())
    }

    /// By how many bytes [`Histogram::merge`] of a push makes it grow.
    pub fn growth(&self, pushed: Pushed<'_>) -> i64 {
        let is_classic = self.native.is_none() && pushed.native.is_none();
        if is_classic && self.parts().any(|part| part.layout.fits(pushed.buckets)) {
            return 0;
        }
        // Which buckets two histograms have together, only adding them tells for sure: bounds and resolutions
        // may have to be brought together.
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

    /// Whether all pushes had the same bounds, so that buckets are shown as they were pushed.
    pub fn has_one_layout(&self) -> bool {
        self.others.is_empty()
    }

    /// The layout of the first push.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.first.layout
    }

    /// The native buckets, while they hold all observations.
    pub fn native(&self) -> Option<&NativeHistogram> {
        self.native.as_ref().map(|part| &part.histogram)
    }

    /// The native buckets with all that is known about them.
    pub fn native_part(&self) -> Option<&NativePart> {
        self.native.as_deref()
    }

    /// The same histogram with these native buckets, which must hold all observations.
    pub fn with_native_part(mut self, part: Option<NativePart>) -> Histogram {
        self.native = part.map(Box::new);
        self
    }

    /// Calls `each` with the text of the bound, the bound, and the cumulative count of every bucket,
    /// in the order in which they are shown. `+Inf` is among them only if it was pushed.
    pub fn buckets(&self, each: impl FnMut(&str, f64, Count)) {
        if self.native.as_ref().is_none_or(|part| !part.is_alone) {
            self.classic_buckets(each);
        }
    }

    /// The same with a bucket for `+Inf` in any case, as the text formats must have it.
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

    /// The same series with nothing observed as yet.
    pub fn emptied(&self) -> Histogram {
        // What was a histogram of floats stays one.
        let total = if self.is_float() { Count::Float(0.0) } else { Count::ZERO };
        let mut buckets = Vec::new();
        self.classic_buckets(|_, bound, _| buckets.push(Bucket { bound, count: total }));
        let pushed = Pushed { buckets: &buckets, native: None, sum: 0.0, total };
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

    /// Whether any count is no integer, which turns the whole histogram into a float histogram.
    pub fn is_float(&self) -> bool {
        self.parts().any(|part| part.total.value().is_float() || matches!(part.counts, Counts::Float(_)))
            || self.native().is_some_and(NativeHistogram::is_float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Classic = (Vec<Bucket>, f64, Count);

    fn pushed((buckets, sum, total): &Classic) -> Pushed<'_> {
        Pushed { buckets, native: None, sum: *sum, total: *total }
    }

    /// A push that observed `values`, with these bounds.
    fn observed(values: &[f64], bounds: &[f64]) -> Classic {
        let count = |bound: f64| Count::Int(values.iter().filter(|v| **v <= bound).count() as u64);
        let buckets = bounds.iter().map(|&bound| Bucket { bound, count: count(bound) }).collect();
        (buckets, values.iter().sum(), count(f64::INFINITY))
    }

    fn shown(histogram: &Histogram) -> Vec<(f64, f64)> {
        let mut out = Vec::new();
        histogram.buckets(|_, bound, count| out.push((bound, count.as_f64())));
        out
    }

    fn merged(pushes: &[Classic]) -> Histogram {
        let mut histogram = Histogram::new(pushed(&pushes[0]), []);
        for push in &pushes[1..] {
            histogram.merge(pushed(push));
        }
        histogram
    }

    #[test]
    fn other_bounds_are_shown_as_a_union_that_is_monotone() {
        let histogram =
            merged(&[observed(&[0.5, 3.0, 7.0], &[1.0, 5.0]), observed(&[1.5, 9.0], &[2.0, f64::INFINITY])]);
        assert_eq!(shown(&histogram), [(1.0, 1.0), (2.0, 2.0), (5.0, 3.0), (f64::INFINITY, 5.0)]);
        assert_eq!(histogram.count(), Count::Int(5));
    }

    #[test]
    fn a_fraction_turns_the_histogram_into_floats() {
        let half = Bucket { bound: 1.0, count: Count::Float(0.5) };
        let mut histogram = merged(&[observed(&[0.5], &[1.0])]);
        assert!(!histogram.is_float());
        histogram.merge(pushed(&(vec![half], 0.0, Count::Float(0.5))));
        assert!(histogram.is_float());
        assert_eq!(shown(&histogram), [(1.0, 1.5)]);
        assert_eq!(histogram.count(), Count::Float(1.5));
    }

    #[test]
    fn counts_beyond_u64_go_on_as_floats() {
        let huge = Bucket { bound: 1.0, count: Count::Int(u64::MAX) };
        let histogram = merged(&[(vec![huge], 0.0, huge.count), (vec![huge], 0.0, huge.count)]);
        assert_eq!(shown(&histogram), [(1.0, 36_893_488_147_419_103_232.0)]);
    }

    #[test]
    fn all_buckets_go_on_beyond_2_to_the_53() {
        let bucket = |bound, count| Bucket { bound, count };
        let large = Count::Int(1 << 53);
        let mut pushes = vec![
            (vec![bucket(1.0, Count::Float(0.5)), bucket(f64::INFINITY, large)], 0.0, large),
            (vec![bucket(1.0, Count::Int(1 << 53)), bucket(f64::INFINITY, large)], 0.0, large),
        ];
        pushes.extend(vec![observed(&[0.0], &[1.0, f64::INFINITY]); 1000]);
        let histogram = merged(&pushes);
        let (lower, all) = (9_007_199_254_741_992.0, 18_014_398_509_482_984.0);
        assert_eq!(shown(&histogram), [(1.0, lower), (f64::INFINITY, all)]);
        assert_eq!(histogram.count(), Count::Int(18_014_398_509_482_984));
    }

    #[test]
    fn counts_stop_at_the_largest_number() {
        let huge = Bucket { bound: f64::INFINITY, count: Count::Float(1.7e308) };
        let other = Bucket { bound: 1.0, ..huge };
        let histogram = merged(&[
            (vec![huge], 0.0, huge.count),
            (vec![huge], 0.0, huge.count),
            (vec![other], 0.0, huge.count),
        ]);
        assert_eq!(shown(&histogram), [(1.0, 1.7e308), (f64::INFINITY, f64::MAX)]);
        assert_eq!(histogram.count(), Count::Float(f64::MAX));
    }

    #[test]
    fn made_up_bounds_count_in_the_buckets_that_are_there() {
        let bounds = |from: f64| (0..10_000).map(|at| f64::from(at) + from).collect::<Vec<_>>();
        let values: Vec<f64> = (0..100).map(|at| f64::from(at) * 100.0 + 0.5).collect();
        let first = observed(&values, &bounds(0.0));
        let mut histogram = merged(std::slice::from_ref(&first));
        for push in 1..40 {
            histogram.merge(pushed(&observed(&values, &bounds(f64::from(push) / 64.0))));
        }
        // Of 0.5 the 8 pushes say that it is at most 1 that have a bound from 0.5 up to there.
        let counts = shown(&histogram);
        assert_eq!(counts.iter().map(|(bound, _)| *bound).collect::<Vec<_>>(), bounds(0.0));
        assert!(counts.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        assert_eq!((counts[0], counts[1], counts[9_999]), ((0.0, 0.0), (1.0, 1.0 + 8.0), (9_999.0, 4_000.0)));
        assert_eq!(histogram.count(), Count::Int(4_000));
        assert_eq!(histogram.size(), merged(&[first]).size());
        // A few of them are still kept apart.
        histogram.merge(pushed(&observed(&values, &[0.75])));
        assert_eq!(shown(&histogram)[..3], [(0.0, 0.0), (0.75, 1.0), (1.0, 10.0)]);
    }

    fn pushes() -> impl Strategy<Value = Vec<Classic>> {
        let layouts = prop::sample::select(vec![
            vec![1.0, 5.0],
            vec![2.0, 5.0, f64::INFINITY],
            vec![],
            vec![0.5, 4.0, 8.0],
        ]);
        let values = prop::collection::vec((0u32..12).prop_map(f64::from), 0..20);
        prop::collection::vec((values, layouts).prop_map(|(v, l)| observed(&v, &l)), 1..8)
    }

    proptest! {
        #[test]
        fn states_merge_as_their_pushes_would(pushes in pushes(), split in 0usize..8) {
            let split = split % pushes.len();
            if split > 0 {
                let (mut merged_states, other) = (merged(&pushes[..split]), merged(&pushes[split..]));
                let mut reversed = other.clone();
                reversed.merge_state(&merged_states);
                merged_states.merge_state(&other);
                for states in [&merged_states, &reversed] {
                    prop_assert_eq!(shown(states), shown(&merged(&pushes)));
                    prop_assert_eq!(states.count(), merged(&pushes).count());
                    prop_assert_eq!(states.sum.value(), merged(&pushes).sum.value());
                }
            }
        }

        #[test]
        fn order_does_not_matter_and_nothing_steps_back(pushes in pushes(), rotate in 0usize..8) {
            let forward = merged(&pushes);
            let mut other = pushes.clone();
            other.rotate_left(rotate % pushes.len());
            other.reverse();
            let other = merged(&other);
            prop_assert_eq!(shown(&forward), shown(&other));
            prop_assert_eq!(forward.count(), other.count());
            prop_assert_eq!(forward.sum, other.sum);

            let mut last: Vec<(f64, f64)> = Vec::new();
            for n in 1..=pushes.len() {
                let now = shown(&merged(&pushes[..n]));
                prop_assert!(now.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1));
                for (bound, count) in &last {
                    prop_assert!(now.iter().any(|(b, c)| b == bound && c >= count));
                }
                last = now;
            }
        }
    }
}
