//! Tests of classic histograms, against every push counted at every bound.

use super::*;
use proptest::prelude::*;

type Classic = (Vec<Bucket>, f64, Count);

fn pushed((buckets, sum, total): &Classic) -> Pushed<'_> {
    Pushed { buckets, native: None, sum: *sum, total: *total, policy: Buckets::Union }
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
    // Only the 8 pushes with a bound from 0.5 to 1 report that 0.5 is at most 1.
    let counts = shown(&histogram);
    assert_eq!(counts.iter().map(|(bound, _)| *bound).collect::<Vec<_>>(), bounds(0.0));
    assert!(counts.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    assert_eq!((counts[0], counts[1], counts[9_999]), ((0.0, 0.0), (1.0, 1.0 + 8.0), (9_999.0, 4_000.0)));
    assert_eq!(histogram.count(), Count::Int(4_000));
    assert_eq!(histogram.size(), merged(&[first]).size());
    // A few layouts are still kept separately.
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
