//! Properties of merged histograms, in any order and in any groups.

use proptest::prelude::*;

use super::*;
use crate::model::groupings::{choices, is_close, merged_anyhow, merged_in_groups};

/// A push: its buckets, the number of its observations, and their sum in 64ths, which add up exactly.
#[derive(Clone, Debug)]
struct Push {
    buckets: Vec<Bucket>,
    total: Count,
    sum: i32,
    native: Option<NativeHistogram>,
}

impl Push {
    fn pushed(&self) -> Pushed<'_> {
        let sum = f64::from(self.sum) / 64.0;
        Pushed {
            buckets: &self.buckets,
            native: self.native.as_ref(),
            sum,
            total: self.total,
            policy: Buckets::Union,
        }
    }

    fn state(&self) -> Histogram {
        Histogram::new(self.pushed(), [])
    }

    /// How many of its observations it reports as at most `bound`.
    fn at_most(&self, bound: f64) -> RunningCount {
        if bound == f64::INFINITY {
            return self.total.into();
        }
        let within = self.buckets.partition_point(|bucket| bucket.bound <= bound);
        within.checked_sub(1).map_or(RunningCount::ZERO, |last| self.buckets[last].count.into())
    }
}

fn states(pushes: &[Push]) -> Vec<Histogram> {
    pushes.iter().map(Push::state).collect()
}

fn one_by_one(pushes: &[Push]) -> Histogram {
    let mut histogram = pushes[0].state();
    pushes[1..].iter().for_each(|push| histogram.merge(push.pushed()));
    histogram
}

fn shown(histogram: &Histogram) -> Vec<(f64, Count)> {
    let mut all = Vec::new();
    histogram.buckets(|_, bound, count| all.push((bound, count)));
    all
}

/// The sum over all pushes for each bound that any of them has.
fn expected(pushes: &[Push]) -> Vec<(f64, Count)> {
    let mut bounds: Vec<f64> = pushes.iter().flat_map(|push| push.buckets.iter().map(|b| b.bound)).collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    bounds.into_iter().map(|bound| (bound, expected_at(pushes, bound))).collect()
}

fn expected_at(pushes: &[Push], bound: f64) -> Count {
    let counts = pushes.iter().map(|push| push.at_most(bound));
    counts.fold(RunningCount::ZERO, RunningCount::plus).value()
}

/// The bounds of a push that are numbers.
fn finite(push: &Push) -> Vec<f64> {
    push.buckets.iter().map(|bucket| bucket.bound).filter(|bound| bound.is_finite()).collect()
}

fn exact_sum(pushes: &[Push]) -> f64 {
    pushes.iter().map(|push| i64::from(push.sum)).sum::<i64>() as f64 / 64.0
}

/// A push with some of nine bounds, so that there are hundreds of layouts.
fn push(increment: impl Strategy<Value = Count> + Clone) -> impl Strategy<Value = Push> {
    let bounds = vec![-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, f64::INFINITY];
    let increments = prop::collection::vec(increment, 10);
    (prop::sample::subsequence(bounds, 0..=9), increments, any::<i32>()).prop_map(
        |(bounds, increments, sum)| {
            let mut count = RunningCount::ZERO;
            let mut grown = |increment: &Count| {
                count.add(*increment);
                count.value()
            };
            let (mut buckets, mut total) = (Vec::new(), Count::ZERO);
            for (bound, increment) in bounds.iter().zip(&increments) {
                total = grown(increment);
                buckets.push(Bucket { bound: *bound, count: total });
            }
            if bounds.last() != Some(&f64::INFINITY) {
                total = grown(&increments[9]);
            }
            // As the check of pushed histograms leaves them.
            if total.is_float() || buckets.iter().any(|bucket| bucket.count.is_float()) {
                buckets.iter_mut().for_each(|bucket| bucket.count = bucket.count.to_float());
                total = total.to_float();
            }
            Push { buckets, total, sum, native: None }
        },
    )
}

fn whole() -> impl Strategy<Value = Count> + Clone {
    prop_oneof![20 => 0..50u64, 1 => any::<u64>().prop_map(|n| n >> 4)].prop_map(Count::Int)
}

fn with_fractions() -> impl Strategy<Value = Count> + Clone {
    prop_oneof![whole(), (0.0..1e20f64).prop_map(Count::Float), (0.0..1.0f64).prop_map(Count::Float)]
}

/// Pushes with and without native buckets, observations and classic buckets.
fn mixed_pushes() -> impl Strategy<Value = Vec<Push>> {
    let push = (push(whole()), prop::option::weighted(0.9, 0..3i32), 0..6);
    let push = push.prop_map(|(mut push, schema, choice)| {
        if choice == 0 {
            push.total = Count::ZERO;
            push.buckets.iter_mut().for_each(|bucket| bucket.count = Count::ZERO);
        } else if choice < 3 {
            push.buckets.clear();
        }
        push.native = schema.map(|schema| native(schema, push.total));
        push
    });
    prop::collection::vec(push, 1..6)
}

/// Native buckets with this many observations, all of 1.
fn native(schema: i32, total: Count) -> NativeHistogram {
    use crate::model::native_histogram::{Parts, Populations, Sparse};
    let populations = match total {
        Count::Int(0) => Populations::Int(Sparse::default()),
        Count::Int(n) => Populations::Int(Sparse { zero: 0, positive: vec![(0, n)], negative: Vec::new() }),
        Count::Float(x) => {
            Populations::Float(Sparse { zero: 0.0, positive: vec![(0, x)], negative: Vec::new() })
        }
    };
    let parts = Parts { schema, zero_threshold: 0.0, thresholds_differ: false, absorbed: None, populations };
    NativeHistogram::from_parts(parts).unwrap()
}

/// Pushes of thousands of buckets: every `step`th of the numbers from `start` on.
fn large_pushes() -> impl Strategy<Value = Vec<Push>> {
    let push =
        (0..4000u32, 0..9000u32, prop::sample::select(vec![1u32, 2, 3, 7]), any::<bool>(), any::<i32>());
    let push = push.prop_map(|(start, length, step, has_inf, sum)| {
        let bounds = (0..length).map(|at| f64::from(start + at * step));
        let bounds = bounds.chain(has_inf.then_some(f64::INFINITY));
        let buckets: Vec<Bucket> =
            bounds.zip(1..).map(|(bound, count)| Bucket { bound, count: Count::Int(count) }).collect();
        let total = match buckets.last() {
            Some(last) if has_inf => last.count,
            _ => Count::Int(u64::from(length) + 5),
        };
        Push { buckets, total, sum, native: None }
    });
    prop::collection::vec(push, 2..9)
}

/// The count that a histogram knows for a bound: that at its largest bound not above it.
fn known(histogram: &Histogram, bounds: &[f64]) -> Vec<u64> {
    let counts = shown(histogram);
    let known = |bound: &f64| {
        let within = counts.partition_point(|(own, _)| own <= bound);
        let count = match *bound {
            f64::INFINITY => histogram.count(),
            _ => within.checked_sub(1).map_or(Count::ZERO, |last| counts[last].1),
        };
        whole_number(count)
    };
    bounds.iter().map(known).collect()
}

fn whole_number(count: Count) -> u64 {
    match count {
        Count::Int(n) => n,
        Count::Float(x) => panic!("{x} is no integer"),
    }
}

fn bounds_of(histogram: &Histogram) -> Vec<f64> {
    shown(histogram).into_iter().map(|(bound, _)| bound).collect()
}

/// Merges, and checks the properties that hold for any number of bounds.
fn merge_checked(histogram: &mut Histogram, other: &Histogram) {
    let before = histogram.clone();
    histogram.merge_state(other);
    let bounds = bounds_of(histogram);
    let sums = known(&before, &bounds).into_iter().zip(known(other, &bounds)).map(|(a, b)| a + b);
    assert!(sums.eq(known(histogram, &bounds)), "a bound has another count than both have for it");
    assert!(bounds.is_sorted_by(|a, b| a < b) && known(histogram, &bounds).is_sorted());
    let is_kept = |bound: &f64| bounds.binary_search_by(|own| own.total_cmp(bound)).is_ok();
    assert!(bounds_of(&before).iter().all(is_kept));
    let largest = bounds_of(&before).len().max(other.parts().map(Part::len).max().unwrap_or(0));
    assert!(bounds.len() <= MAX_BUCKETS.max(largest) && histogram.others.len() < MAX_LAYOUTS);
    assert_eq!(whole_number(histogram.count()), whole_number(before.count()) + whole_number(other.count()));
}

proptest! {
    #[test]
    fn common_bounds_are_those_that_all_pushes_have_and_their_counts_are_exact(
        pushes in prop::collection::vec(push(whole()), 1..8),
    ) {
        let mut histogram = pushes[0].state();
        for push in &pushes[1..] {
            let pushed = Pushed { policy: Buckets::Intersection, ..push.pushed() };
            let grown = histogram.growth(pushed) + histogram.size() as i64;
            histogram.merge(pushed);
            prop_assert_eq!(grown, histogram.size() as i64);
        }
        let has = |push: &Push, bound: f64| push.buckets.iter().any(|bucket| bucket.bound == bound);
        let mut common = expected(&pushes);
        common.retain(|(bound, _)| pushes.iter().all(|push| has(push, *bound)));
        prop_assert_eq!(shown(&histogram), common);
        prop_assert_eq!(histogram.count(), expected_at(&pushes, f64::INFINITY));
        prop_assert_eq!(histogram.sum.value(), exact_sum(&pushes));
        // What several layouts have in common, where bounds were joined before.
        let mut joined = one_by_one(&pushes);
        joined.merge(Pushed { policy: Buckets::Intersection, ..pushes[0].pushed() });
        prop_assert_eq!(bounds_of(&joined), bounds_of(&histogram));
        for push in &pushes {
            prop_assert_eq!(pushes[0].state().has_bounds_of(&push.buckets), finite(push) == finite(&pushes[0]));
        }
    }

    #[test]
    fn whole_counts_are_exact_in_any_grouping(
        pushes in prop::collection::vec(push(whole()), 1..40),
        choices in choices(),
    ) {
        let anyhow = merged_anyhow(states(&pushes), &choices, Histogram::merge_state);
        for merged in [&one_by_one(&pushes), &anyhow] {
            let floats = |counts: Vec<(f64, Count)>| counts.into_iter().map(|(bound, count)| (bound, count.as_f64()));
            prop_assert!(floats(shown(merged)).eq(floats(expected(&pushes))));
            prop_assert_eq!(merged.count().as_f64(), expected_at(&pushes, f64::INFINITY).as_f64());
            prop_assert_eq!(merged.sum.value(), exact_sum(&pushes));
            if !merged.is_float() {
                prop_assert_eq!(shown(merged), expected(&pushes));
            }
        }
        prop_assert_eq!(anyhow.is_float(), one_by_one(&pushes).is_float());
    }

    #[test]
    fn counts_with_fractions_are_close_in_any_grouping(
        pushes in prop::collection::vec(push(with_fractions()), 1..40),
        choices in choices(),
    ) {
        let anyhow = merged_anyhow(states(&pushes), &choices, Histogram::merge_state);
        for merged in [&one_by_one(&pushes), &anyhow] {
            let (shown, expected) = (shown(merged), expected(&pushes));
            prop_assert_eq!(shown.len(), expected.len());
            for (one, other) in shown.iter().zip(&expected) {
                prop_assert!(one.0 == other.0 && is_close(one.1.as_f64(), other.1.as_f64()));
            }
            prop_assert!(shown.is_sorted_by(|a, b| a.1.as_f64() <= b.1.as_f64()));
            let total = expected_at(&pushes, f64::INFINITY).as_f64();
            prop_assert!(is_close(merged.count().as_f64(), total));
        }
        prop_assert_eq!(anyhow.is_float(), one_by_one(&pushes).is_float());
    }

    #[test]
    fn a_state_of_one_push_merges_as_the_push(
        pushes in prop::collection::vec(push(with_fractions()), 1..24),
        last in push(with_fractions()),
    ) {
        let mut pushed = one_by_one(&pushes);
        let mut merged = pushed.clone();
        pushed.merge(last.pushed());
        merged.merge_state(&last.state());
        prop_assert_eq!(merged.sum, pushed.sum);
        prop_assert!(merged.parts().map(|p| (p.layout.bounds(), &p.counts, p.total))
            .eq(pushed.parts().map(|p| (p.layout.bounds(), &p.counts, p.total))));
    }

    #[test]
    fn native_buckets_stay_only_while_they_hold_everything(pushes in mixed_pushes(), choices in choices()) {
        let is_empty = |push: &Push| push.total.as_f64() == 0.0;
        let has_native = pushes.iter().any(|push| push.native.is_some())
            && pushes.iter().all(|push| push.native.is_some() || is_empty(push));
        let is_alone = pushes.iter().any(|push| push.buckets.is_empty() && !is_empty(push));
        let in_groups = merged_in_groups(states(&pushes), &choices, Histogram::merge_state);
        let anyhow = merged_anyhow(states(&pushes), &choices, Histogram::merge_state);
        let one_by_one = one_by_one(&pushes);
        for merged in [&one_by_one, &in_groups, &anyhow] {
            prop_assert_eq!(merged.native().is_some(), has_native);
            prop_assert_eq!(merged.native_part(), one_by_one.native_part());
            if let Some(part) = merged.native_part() {
                prop_assert_eq!(part.is_alone, is_alone);
                prop_assert_eq!(part.histogram.population().as_f64(), merged.count().as_f64());
            }
            let is_hidden = has_native && is_alone;
            prop_assert_eq!(shown(merged).len(), if is_hidden { 0 } else { expected(&pushes).len() });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, max_shrink_iters: 16, ..ProptestConfig::default() })]

    #[test]
    fn too_many_bounds_cost_only_bounds(pushes in large_pushes(), choices in choices()) {
        let expected = expected(&pushes);
        let anyhow = merged_anyhow(states(&pushes), &choices, merge_checked);
        for merged in [&one_by_one(&pushes), &anyhow] {
            prop_assert_eq!(merged.count(), expected_at(&pushes, f64::INFINITY));
            prop_assert_eq!(merged.sum.value(), exact_sum(&pushes));
            if expected.len() <= MAX_BUCKETS {
                prop_assert!(shown(merged) == expected);
            }
            for (bound, count) in shown(merged) {
                let at = expected.partition_point(|(other, _)| *other < bound);
                prop_assert!(expected[at].0 == bound && whole_number(count) <= whole_number(expected[at].1));
            }
        }
    }
}

#[test]
fn a_layout_with_all_bounds_is_taken_however_large() {
    let bucket = |at: u32| Bucket { bound: f64::from(at), count: Count::Int(u64::from(at)) };
    let large =
        Push { buckets: (0..20_000).map(bucket).collect(), total: Count::Int(20_000), sum: 0, native: None };
    let small = Push { buckets: vec![bucket(7)], total: Count::Int(9), sum: 0, native: None };
    let none = Push { buckets: Vec::new(), total: Count::Int(3), sum: 0, native: None };
    let in_order = one_by_one(&[none.clone(), small.clone(), large.clone()]);
    let reversed = one_by_one(&[large, small, none]);
    assert_eq!(shown(&in_order), shown(&reversed));
    assert_eq!((shown(&in_order).len(), in_order.count()), (20_000, Count::Int(20_012)));
    assert_eq!(shown(&in_order)[7], (7.0, Count::Int(14)));
}

#[test]
fn integers_beyond_u64_make_a_float_histogram_whatever_their_layouts() {
    let push = |bound: f64| {
        let total = Count::Int(u64::MAX);
        Push { buckets: vec![Bucket { bound, count: total }], total, sum: 0, native: None }
    };
    let mut histogram = one_by_one(&[push(1.0), push(2.0)]);
    assert!(histogram.is_float());
    assert_eq!(
        shown(&histogram),
        [(1.0, Count::Int(u64::MAX)), (2.0, Count::Float(36_893_488_147_419_103_232.0))]
    );
    histogram.collapse();
    assert!(histogram.is_float());
}

#[test]
fn a_bound_comes_with_the_counts_of_all_layouts_or_not_at_all() {
    let push = |bounds: Vec<f64>| {
        let bucket = |(bound, count)| Bucket { bound, count: Count::Int(count) };
        let buckets: Vec<Bucket> = bounds.into_iter().zip(1..).map(bucket).collect();
        Push { total: Count::Int(buckets.len() as u64), buckets, sum: 0, native: None }
    };
    let mut histogram = push((0..8000).map(f64::from).collect()).state();
    let halves = (0..9000).map(|n| f64::from(n) + 0.5).collect();
    let other = one_by_one(&[push(halves), push(vec![3.75])]);
    merge_checked(&mut histogram, &other);
    assert_eq!(shown(&histogram)[3..5], [(3.0, Count::Int(4 + 3)), (4.0, Count::Int(5 + 4 + 1))]);
    assert_eq!(histogram.count(), Count::Int(8000 + 9000 + 1));
}
