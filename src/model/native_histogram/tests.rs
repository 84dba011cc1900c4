//! Tests of decoding, encoding and merging, against observations counted one by one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::bounds::bound;
use super::*;
use crate::model::count::Count;
use crate::model::groupings;

fn span(offset: i32, length: u32) -> Span {
    Span { offset, length }
}

fn ints(schema: i32, spans: &[Span], deltas: &[i64]) -> Encoded {
    let positive = EncodedBuckets { spans: spans.to_vec(), deltas: deltas.to_vec(), counts: Vec::new() };
    Encoded { schema, positive, ..Encoded::default() }
}

fn floats(schema: i32, spans: &[Span], counts: &[f64]) -> Encoded {
    let positive = EncodedBuckets { spans: spans.to_vec(), deltas: Vec::new(), counts: counts.to_vec() };
    Encoded { schema, positive, ..Encoded::default() }
}

fn decoded(encoded: &Encoded) -> NativeHistogram {
    NativeHistogram::decode(encoded, None).unwrap()
}

fn fault(encoded: &Encoded) -> String {
    NativeHistogram::decode(encoded, None).unwrap_err().to_string()
}

fn merged(all: &[NativeHistogram]) -> NativeHistogram {
    let mut sum = all[0].clone();
    all[1..].iter().for_each(|one| sum.merge(one));
    sum
}

/// A histogram with these integer buckets.
fn histogram(schema: i32, zero_threshold: f64, zero: u64, positive: &[(i32, u64)]) -> NativeHistogram {
    let populations = Populations::Int(Sparse { zero, positive: positive.to_vec(), negative: Vec::new() });
    let parts = Parts { schema, zero_threshold, thresholds_differ: false, absorbed: None, populations };
    NativeHistogram::from_parts(parts).unwrap()
}

fn positive(histogram: &NativeHistogram) -> Vec<(i32, u64)> {
    match histogram.parts().populations {
        Populations::Int(sparse) => sparse.positive,
        Populations::Float(_) => panic!("floats"),
    }
}

#[test]
fn spans_say_which_buckets_the_counts_are_for() {
    let encoded = ints(0, &[span(-2, 2), span(1, 0), span(3, 3)], &[1, 2, -3, 5, -4]);
    assert_eq!(positive(&decoded(&encoded)), [(-2, 1), (-1, 3), (5, 5), (6, 1)]);
}

#[test]
fn higher_schemas_lose_resolution() {
    // A bucket of schema 8 contains 2^12 buckets of schema 20.
    let encoded = ints(20, &[span(4096, 2), span(4094, 2)], &[1, 1, 1, 1]);
    let histogram = decoded(&encoded);
    assert_eq!((histogram.schema(), positive(&histogram)), (8, vec![(1, 1), (2, 5), (3, 4)]));
    let infinity = ints(9, &[span(524_289, 1)], &[7]);
    assert_eq!(positive(&decoded(&infinity)), [(262_145, 7)]);
}

#[test]
fn what_contradicts_itself_is_none() {
    let far = |offset| ints(0, &[span(offset, 1)], &[1]);
    for (encoded, expected) in [
        (ints(0, &[span(0, 2)], &[3]), "its spans have 2 buckets, but there are 1 counts"),
        (ints(0, &[span(0, 1)], &[1, 1]), "its spans have 1 buckets, but there are 2 counts"),
        (ints(0, &[], &[1]), "its spans have 0 buckets, but there are 1 counts"),
        (
            ints(0, &[span(0, u32::MAX), span(0, u32::MAX)], &[1]),
            "its spans have 8589934590 buckets, but there are 1 counts",
        ),
        (floats(0, &[span(0, 2)], &[1.0]), "its spans have 2 buckets, but there are 1 counts"),
        (
            ints(0, &[span(0, 1), span(-1, 1)], &[1, 0]),
            "a span other than the first has the negative offset -1",
        ),
        (ints(0, &[span(0, 2)], &[1, -2]), "a bucket has the count -1, but a count is a number from 0 up"),
        (
            floats(0, &[span(0, 1)], &[f64::NAN]),
            "a bucket has the count NaN, but a count is a number from 0 up",
        ),
        (
            floats(0, &[span(0, 1)], &[f64::INFINITY]),
            "a bucket has the count inf, but a count is a number from 0 up",
        ),
        (floats(0, &[span(0, 1)], &[-0.5]), "a bucket has the count -0.5, but a count is a number from 0 up"),
        (ints(0, &[span(0, 2)], &[i64::MAX, 1]), "its counts do not fit into 64 bits"),
        (ints(0, &[span(0, 3)], &[i64::MAX, 0, 0]), "its counts do not fit into 64 bits"),
        (ints(77, &[span(0, 1)], &[3]), "schema 77 is unknown, only -4 to 52 are exponential"),
        (ints(-5, &[span(0, 1)], &[3]), "schema -5 is unknown, only -4 to 52 are exponential"),
        (ints(-53, &[span(0, 1)], &[3]), "custom buckets can't be pushed in this format"),
        (
            far(i32::MAX),
            "bucket 2147483647 is populated, but in schema 0 numbers fall into the buckets -1074 to 1025",
        ),
        (
            far(-1075),
            "bucket -1075 is populated, but in schema 0 numbers fall into the buckets -1074 to 1025",
        ),
        (
            Encoded { zero_threshold: f64::INFINITY, ..Encoded::default() },
            "the zero threshold is inf, but it must be a finite number from 0 up",
        ),
        (
            Encoded { zero_threshold: -1.0, ..Encoded::default() },
            "the zero threshold is -1, but it must be a finite number from 0 up",
        ),
        (
            Encoded { zero_count_float: -1.0, ..Encoded::default() },
            "the zero bucket has the count -1, but a count is a number from 0 up",
        ),
    ] {
        assert_eq!(fault(&encoded), expected, "{encoded:?}");
    }
    // The position of empty buckets does not matter.
    assert_eq!(positive(&decoded(&ints(0, &[span(i32::MIN, 1), span(i32::MAX, 1)], &[0, 0]))), []);
}

#[test]
fn the_count_must_be_that_of_the_buckets() {
    let mut encoded = ints(0, &[span(0, 2)], &[3, 1]);
    encoded.zero_count = 2;
    let histogram = decoded(&encoded);
    for (count, sum, is_right) in [
        (Count::Int(9), 1.0, true),
        (Count::Int(8), 1.0, false),
        (Count::Int(10), 1.0, false),
        (Count::Int(10), f64::NAN, true),
        (Count::Int(8), f64::NAN, false),
        (Count::Float(9.5), 1.0, true),
        (Count::Float(8.5), 1.0, false),
        (Count::Float(f64::NAN), 1.0, false),
    ] {
        assert_eq!(histogram.check_count(count, sum).is_ok(), is_right, "{count:?} {sum}");
    }
}

#[test]
fn what_is_sent_is_compact() {
    let histogram = histogram(3, 0.25, 4, &[(-3, 2), (-1, 5), (2, 1), (6, 9)]);
    let encoded = histogram.encode(false);
    assert_eq!(encoded.positive.spans, [span(-3, 6), span(3, 1)]);
    assert_eq!(encoded.positive.deltas, [2, -2, 5, -5, 0, 1, 8]);
    assert_eq!((encoded.zero_count, encoded.negative), (4, EncodedBuckets::default()));
    let encoded = histogram.encode(true);
    assert_eq!(encoded.positive.spans, [span(-3, 1), span(1, 1), span(2, 1), span(3, 1)]);
    assert_eq!(encoded.positive.counts, [2.0, 5.0, 1.0, 9.0]);
    assert_eq!((encoded.zero_count, encoded.zero_count_float), (0, 4.0));
}

#[test]
fn an_empty_histogram_has_an_empty_span() {
    let empty = decoded(&ints(3, &[span(0, 0)], &[]));
    assert_eq!(empty.encode(false), ints(3, &[span(0, 0)], &[]));
    assert!(empty.encode(true).is_native() && !Encoded::default().is_native());
    assert_eq!(empty.buckets(), []);
}

#[test]
fn integers_and_floats_give_floats() {
    let int = histogram(0, 0.0, 0, &[(1, 2)]);
    let float = decoded(&floats(0, &[span(1, 1)], &[0.5]));
    for both in [merged(&[int.clone(), float.clone()]), merged(&[float, int.clone()])] {
        assert_eq!(both.buckets()[0].count, Count::Float(2.5));
    }
    let half = histogram(0, 0.0, 0, &[(1, 1 << 62)]);
    let whole = merged(&[half.clone(), half]);
    assert_eq!(whole.buckets()[0].count, Count::Float(9_223_372_036_854_775_808.0));
    assert_eq!(merged(&[whole, int]).encode(false).positive.counts, [9_223_372_036_854_775_808.0]);
}

#[test]
fn the_lower_schema_wins() {
    let fine = histogram(1, 0.0, 1, &[(1, 1), (2, 2), (3, 4)]);
    let coarse = histogram(0, 0.0, 2, &[(1, 10)]);
    for both in [merged(&[fine.clone(), coarse.clone()]), merged(&[coarse, fine])] {
        assert_eq!(both, histogram(0, 0.0, 3, &[(1, 13), (2, 4)]));
    }
}

#[test]
fn the_widest_zero_bucket_wins_and_cuts_no_populated_bucket() {
    let narrow = histogram(0, 0.0, 1, &[(-3, 1), (0, 2), (2, 4)]);
    for (threshold, expected, zero, buckets) in [
        (0.125, 0.125, 12, &[(0, 2), (2, 4)][..]),
        // Inside an empty bucket.
        (0.3, 0.3, 12, &[(0, 2), (2, 4)]),
        // Inside buckets 0 and 2.
        (0.7, 1.0, 14, &[(2, 4)]),
        (3.0, 4.0, 18, &[]),
    ] {
        let wide = histogram(0, threshold, 10, &[]);
        for both in [merged(&[narrow.clone(), wide.clone()]), merged(&[wide.clone(), narrow.clone()])] {
            assert_eq!(both.zero_threshold(), expected);
            assert_eq!((positive(&both), both.population()), (buckets.to_vec(), Count::Int(18)));
            assert_eq!(both.encode(false).zero_count, zero);
        }
    }
    // A threshold that all clients share may be within a bucket, because they know what they count in which.
    let cut = histogram(0, 0.7, 1, &[(0, 5)]);
    assert_eq!(merged(&[cut.clone(), cut.clone()]), histogram(0, 0.7, 2, &[(0, 10)]));
    // Until another threshold is merged.
    assert_eq!(merged(&[cut.clone(), histogram(0, 0.6, 1, &[]), cut]).zero_threshold(), 1.0);
}

#[test]
fn what_went_into_the_zero_bucket_is_remembered_when_the_schema_falls() {
    let fine = histogram(8, 0.0, 0, &[(150, 1)]);
    let wide = histogram(8, 1.6, 0, &[]);
    let coarse = histogram(0, 0.0, 0, &[(5, 1)]);
    let first = merged(&[fine.clone(), wide.clone(), coarse.clone()]);
    let last = merged(&[fine, coarse, wide]);
    assert_eq!((first.zero_threshold(), positive(&first)), (2.0, vec![(5, 1)]));
    assert_eq!((last.zero_threshold(), positive(&last)), (2.0, vec![(5, 1)]));
}

#[test]
fn too_many_buckets_cost_resolution_but_no_counts() {
    let all: Vec<(i32, u64)> = (-1000..1000).map(|index| (index, 1)).collect();
    let mut limited = histogram(8, 0.0, 5, &all);
    limited.limit(MAX_BUCKETS);
    // 2000 buckets of 2^-8 octaves, 126 of 2^-4.
    assert_eq!((limited.schema(), positive(&limited).len(), limited.zero_threshold()), (4, 126, 0.0));
    assert_eq!(limited.population(), Count::Int(2005));

    // Numbers of all sizes and both signs need 266 buckets even in the lowest schema.
    let all: Vec<(i32, u64)> = (-67..=65).map(|index| (index, 1)).collect();
    let populations = Populations::Int(Sparse { zero: 0, positive: all.clone(), negative: all });
    let parts =
        Parts { schema: -4, zero_threshold: 1e-300, thresholds_differ: false, absorbed: None, populations };
    let mut limited = NativeHistogram::from_parts(parts).unwrap();
    limited.limit(MAX_BUCKETS);
    assert_eq!(limited.zero_threshold(), bound(-15, -4));
    assert_eq!((limited.buckets().len(), limited.population()), (161, Count::Int(266)));
}

#[test]
fn buckets_are_shown_from_the_lowest_to_the_highest() {
    let side = EncodedBuckets { spans: vec![span(0, 2)], deltas: vec![1, 0], counts: Vec::new() };
    let encoded = Encoded {
        zero_threshold: 0.001,
        zero_count: 2,
        positive: EncodedBuckets {
            spans: vec![span(0, 2), span(1, 2)],
            deltas: vec![1, 1, -1, 0],
            ..side.clone()
        },
        negative: side,
        ..Encoded::default()
    };
    let shown: Vec<(u8, f64, f64, f64)> = decoded(&encoded)
        .buckets()
        .iter()
        .map(|b| (b.includes as u8, b.lower, b.upper, b.count.as_f64()))
        .collect();
    assert_eq!(
        shown,
        [
            (1, -2.0, -1.0, 1.0),
            (1, -1.0, -0.5, 1.0),
            (3, -0.001, 0.001, 2.0),
            (0, 0.5, 1.0, 1.0),
            (0, 1.0, 2.0, 2.0),
            (0, 4.0, 8.0, 1.0),
            (0, 8.0, 16.0, 1.0),
        ]
    );
}

#[test]
fn parts_make_the_same_histogram() {
    let whole = merged(&[histogram(8, 0.0, 0, &[(150, 1)]), histogram(8, 1.6, 0, &[(500, 2)])]);
    assert_eq!(NativeHistogram::from_parts(whole.parts()), Some(whole.clone()));
    for spoil in [
        |parts: &mut Parts| parts.schema = 9,
        |parts: &mut Parts| parts.zero_threshold = f64::NAN,
        |parts: &mut Parts| parts.absorbed = Some(i32::MAX),
        |parts: &mut Parts| {
            let positive = vec![(2, 1), (1, 1)];
            parts.populations = Populations::Int(Sparse { zero: 0, positive, negative: Vec::new() });
        },
        |parts: &mut Parts| {
            let positive = vec![(2, 0)];
            parts.populations = Populations::Int(Sparse { zero: 0, positive, negative: Vec::new() });
        },
        |parts: &mut Parts| {
            let negative = vec![(2, f64::NAN)];
            parts.populations = Populations::Float(Sparse { zero: 0.0, positive: Vec::new(), negative });
        },
    ] {
        let mut parts = whole.parts();
        spoil(&mut parts);
        assert_eq!(NativeHistogram::from_parts(parts), None);
    }
}

// Against observations counted one by one.

/// The settings of a client.
#[derive(Clone, Copy, Debug)]
struct Client {
    schema: i32,
    zero_threshold: f64,
}

/// The bucket of a positive number, from the definition.
fn bucket_of(value: f64, schema: i32) -> i32 {
    let octaves = value.log2();
    (octaves * f64::from(schema).exp2()).ceil() as i32
}

/// The histogram that a client with these observations sends.
fn observed(client: Client, values: &[f64]) -> NativeHistogram {
    let (zero, positive, negative) = counted(client, values);
    let populations = Populations::Int(Sparse { zero, positive, negative });
    let Client { schema, zero_threshold } = client;
    let parts = Parts { schema, zero_threshold, thresholds_differ: false, absorbed: None, populations };
    NativeHistogram::from_parts(parts).unwrap()
}

fn counted(client: Client, values: &[f64]) -> (u64, Buckets<u64>, Buckets<u64>) {
    let (mut zero, mut positive, mut negative) = (0, BTreeMap::new(), BTreeMap::new());
    for value in values {
        if value.abs() <= client.zero_threshold {
            zero += 1;
        } else {
            let side = if *value > 0.0 { &mut positive } else { &mut negative };
            *side.entry(bucket_of(value.abs(), client.schema)).or_insert(0) += 1;
        }
    }
    (zero, positive.into_iter().collect(), negative.into_iter().collect())
}

fn client() -> impl Strategy<Value = Client> {
    let thresholds = vec![0.0, 0.0, 2f64.powi(-128), 0.001, 0.3, 1.0, 1.1, 1.7];
    (-4i32..=8, prop::sample::select(thresholds))
        .prop_map(|(schema, zero_threshold)| Client { schema, zero_threshold })
}

/// A client and its observations: small and large numbers and zero, some of them close to others.
fn pushes() -> impl Strategy<Value = Vec<(Client, Vec<f64>)>> {
    let value = prop_oneof![
        4 => (-9.0..9.0f64, 1..=2).prop_map(|(octaves, sign)| octaves.exp2() * if sign == 1 { 1.0 } else { -1.0 }),
        2 => 1.0..2.0f64,
        1 => Just(0.0),
        1 => (-9..9).prop_map(|power| f64::from(power).exp2()),
    ];
    prop::collection::vec((client(), prop::collection::vec(value, 0..12)), 1..7)
}

fn merged_anyhow(all: Vec<NativeHistogram>, choices: &[prop::sample::Index]) -> NativeHistogram {
    groupings::merged_anyhow(all, choices, NativeHistogram::merge)
}

/// Many observations of all sizes, by clients with different zero buckets. They need more buckets than allowed.
fn wide_pushes() -> impl Strategy<Value = Vec<(Client, Vec<f64>)>> {
    let value = (-1000.0..1000.0f64, any::<bool>())
        .prop_map(|(octaves, is_negative)| if is_negative { -octaves.exp2() } else { octaves.exp2() });
    let threshold = prop_oneof![Just(0.0), (-900.0..900.0f64).prop_map(f64::exp2)];
    let client =
        (-4i32..=8, threshold).prop_map(|(schema, zero_threshold)| Client { schema, zero_threshold });
    prop::collection::vec((client, prop::collection::vec(value, 0..200)), 2..7)
}

/// The histogram of a client as it is stored.
fn kept(client: Client, values: &[f64]) -> NativeHistogram {
    let mut kept = observed(client, values);
    kept.limit(MAX_BUCKETS);
    kept
}

/// The same observations as floats, each weighted with a fraction.
fn weighted(histogram: &NativeHistogram) -> NativeHistogram {
    let populations = match histogram.parts().populations {
        Populations::Int(sparse) => Populations::Float(sparse.map(|count| count as f64 * 0.1)),
        floats => floats,
    };
    NativeHistogram::from_parts(Parts { populations, ..histogram.parts() }).unwrap()
}

/// Whether Prometheus would take `after` for a reset, after it has seen `before`.
fn is_reset(before: &NativeHistogram, after: &NativeHistogram) -> bool {
    let mut before = before.clone();
    if after.schema() > before.schema() || after.zero_threshold() < before.zero_threshold() {
        return true;
    }
    // Prometheus compares populated buckets in their earlier resolution.
    before.absorbed = None;
    if before.zero_threshold != after.zero_threshold {
        before.thresholds_differ = true;
        before.zero_threshold = after.zero_threshold;
        before.settle_zero_bucket();
        if before.zero_threshold != after.zero_threshold {
            return true;
        }
    }
    before.thresholds_differ = false;
    before.reduce_to(after.schema());
    let zero = |histogram: &NativeHistogram| histogram.encode(true).zero_count_float;
    let buckets = |histogram: &NativeHistogram| {
        let sparse = histogram.populations.to_float().into_owned();
        let side = |side: Buckets<f64>| side.into_iter().collect::<BTreeMap<_, _>>();
        [side(sparse.positive), side(sparse.negative)]
    };
    let grown = |before: &BTreeMap<i32, f64>, after: &BTreeMap<i32, f64>| {
        before.iter().all(|(index, count)| after.get(index).is_some_and(|now| now >= count))
    };
    let (old, new) = (buckets(&before), buckets(after));
    zero(after) < zero(&before) || !grown(&old[0], &new[0]) || !grown(&old[1], &new[1])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn merging_counts_as_one_client_would(
        pushes in pushes(),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 12),
    ) {
        let all: Vec<f64> = pushes.iter().flat_map(|(_, values)| values.iter().copied()).collect();
        let parts: Vec<_> = pushes.iter().map(|(client, values)| observed(*client, values)).collect();
        let merged = merged_anyhow(parts, &choices);

        prop_assert_eq!(merged.schema(), pushes.iter().map(|(client, _)| client.schema).min().unwrap());
        let widest = pushes.iter().map(|(client, _)| client.zero_threshold).fold(0.0, f64::max);
        let threshold = merged.zero_threshold();
        if threshold != widest {
            let index = bucket_of(widest, merged.schema());
            prop_assert_eq!(threshold, bound(index, merged.schema()));
            prop_assert!(all.iter().any(|v| *v != 0.0 && bucket_of(v.abs(), merged.schema()) == index));
        }
        // The merged result shows what one client would have counted.
        let client = Client { schema: merged.schema(), zero_threshold: threshold };
        let (zero, positive, negative) = counted(client, &all);
        prop_assert_eq!(merged.parts().populations, Populations::Int(Sparse { zero, positive, negative }));
        prop_assert_eq!(merged.population(), Count::Int(all.len() as u64));
    }

    #[test]
    fn the_order_of_merging_does_not_matter(
        pushes in pushes(),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 12),
        others in prop::collection::vec(any::<prop::sample::Index>(), 12),
    ) {
        let parts: Vec<_> = pushes.iter().map(|(client, values)| observed(*client, values)).collect();
        let one = merged_anyhow(parts.clone(), &choices);
        let other = merged_anyhow(parts, &others);
        prop_assert_eq!(one.encode(false), other.encode(false));
    }

    #[test]
    fn what_is_exposed_is_never_a_reset(pushes in pushes(), most in 1usize..12) {
        let mut state = observed(pushes[0].0, &pushes[0].1);
        for (client, values) in &pushes[1..] {
            let before = state.clone();
            state.merge(&observed(*client, values));
            state.limit(most);
            prop_assert!(!is_reset(&before, &state), "{:?} then {:?}", before, state);
            prop_assert!(state.buckets().len() <= most + 1);
        }
    }

    #[test]
    fn the_cap_does_not_depend_on_the_order(
        values in prop::collection::vec(prop::collection::vec(-300.0..300.0f64, 1..60), 2..8),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 12),
    ) {
        let client = Client { schema: 8, zero_threshold: 0.0 };
        let numbers = |octaves: &Vec<f64>| octaves.iter().map(|o| o.exp2()).collect::<Vec<_>>();
        let parts: Vec<_> = values.iter().map(|octaves| observed(client, &numbers(octaves))).collect();
        let one = merged_anyhow(parts.clone(), &choices);
        prop_assert_eq!(&one, &merged(&parts));
        prop_assert!(one.buckets().len() <= MAX_BUCKETS);
    }

    #[test]
    fn what_is_sent_reads_back_as_it_was(pushes in pushes(), as_float in any::<bool>()) {
        let merged = merged(&pushes.iter().map(|(c, values)| observed(*c, values)).collect::<Vec<_>>());
        let encoded = merged.encode(as_float);
        prop_assert_eq!(decoded(&encoded).encode(as_float), encoded);
    }

    #[test]
    fn hostile_input_is_bounded(
        schema in -60i32..60,
        spans in prop::collection::vec((any::<i32>(), any::<u32>()), 0..6),
        deltas in prop::collection::vec(any::<i64>(), 0..6),
        zero_threshold in any::<f64>(),
    ) {
        let spans: Vec<Span> = spans.iter().map(|&(offset, length)| span(offset, length % 4)).collect();
        let encoded = Encoded { zero_threshold, ..ints(schema, &spans, &deltas) };
        if let Ok(histogram) = NativeHistogram::decode(&encoded, None) {
            let mut twice = histogram.clone();
            twice.merge(&histogram);
            prop_assert!(twice.population().as_f64() >= histogram.population().as_f64());
            prop_assert!(NativeHistogram::from_parts(twice.parts()).is_some());
        }
    }

    #[test]
    fn it_does_not_matter_which_histogram_comes_first(pushes in wide_pushes(), floats in any::<[bool; 2]>()) {
        let state = |at: usize| {
            let whole = kept(pushes[at].0, &pushes[at].1);
            if floats[at] { weighted(&whole) } else { whole }
        };
        prop_assert_eq!(merged(&[state(0), state(1)]), merged(&[state(1), state(0)]));
    }

    #[test]
    fn beyond_the_cap_each_grouping_counts_as_one_client_would(
        pushes in wide_pushes(),
        choices in groupings::choices(),
    ) {
        let all: Vec<f64> = pushes.iter().flat_map(|(_, values)| values.iter().copied()).collect();
        let parts: Vec<_> = pushes.iter().map(|(client, values)| kept(*client, values)).collect();
        let merged = merged_anyhow(parts, &choices);
        prop_assert!(merged.populations.bucket_count() <= MAX_BUCKETS);
        prop_assert_eq!(merged.population(), Count::Int(all.len() as u64));
        let client = Client { schema: merged.schema(), zero_threshold: merged.zero_threshold() };
        let (zero, positive, negative) = counted(client, &all);
        prop_assert_eq!(merged.parts().populations, Populations::Int(Sparse { zero, positive, negative }));
    }

    #[test]
    fn floats_are_close_in_any_grouping(pushes in pushes(), choices in groupings::choices()) {
        let parts: Vec<_> = pushes.iter().map(|(client, values)| weighted(&observed(*client, values))).collect();
        let (one, other) = (merged(&parts), merged_anyhow(parts.clone(), &choices));
        prop_assert_eq!((one.schema(), one.zero_threshold()), (other.schema(), other.zero_threshold()));
        prop_assert_eq!(one.populations.indexes(), other.populations.indexes());
        let all = |histogram: &NativeHistogram| {
            histogram.populations.to_float().populations().collect::<Vec<f64>>()
        };
        // Each addition rounds once, and there is at most one for each observation.
        let is_close = |(a, b): (&f64, &f64)| (a - b).abs() <= a.max(*b) * f64::EPSILON * 84.0;
        prop_assert!(all(&one).iter().zip(&all(&other)).all(is_close));
    }
}
