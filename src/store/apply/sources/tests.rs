//! Tests of pushes of sources.

use std::borrow::Cow;
use std::time::Duration;

use bumpalo::Bump;

use crate::exposition::openmetrics;
use crate::exposition::text::Names;
use crate::model::body::Family;
use crate::model::limits::{Limit, PushLimits, StoreFull, StoreLimits};
use crate::model::merge::{Buckets, FamilyTerms, Fold, Merge, Temporality};
use crate::model::push::Push;
use crate::model::refusal::Cause;
use crate::model::time::Moment;
use crate::store::fixture::{grouping, push, push_within, pushing, store};
use crate::store::semantics::{Absent, Semantics};
use crate::store::{CommitMode, Overflow, Part, Rejection, RowValue, Store, Terms, Transaction};

fn merging(merge: Merge) -> FamilyTerms {
    FamilyTerms { merge: Some(merge), ..FamilyTerms::default() }
}

/// The numbers, counts and buckets that the group shows.
fn shown(store: &Store) -> Vec<String> {
    let group = store.group(grouping().key()).unwrap();
    let mut lines = Vec::new();
    for family in &group.families {
        for series in family.series() {
            lines.push(match series.value {
                RowValue::Number(value) => format!("{} {value}", family.name),
                RowValue::Summary(summary) => format!("{} {:?}", family.name, summary.count.value()),
                RowValue::Histogram(histogram) => {
                    let mut buckets = String::new();
                    histogram
                        .all_buckets(|bound, _, count| buckets += &format!(" {bound}:{}", count.as_f64()));
                    format!("{}{buckets}", family.name)
                }
            });
        }
    }
    lines
}

#[test]
fn gauges_are_merged_as_rules_say() {
    let values = ["3", "-2", "NaN", "7", "1"];
    let cases = [
        (Merge::Last, Some("g 1")),
        (Merge::Least, Some("g -2")),
        (Merge::Greatest, Some("g 7")),
        // Two sources push in turn: the last values are 7 and 1.
        (Merge::Fold(Fold::Sum), Some("g 8")),
        (Merge::Fold(Fold::Min), Some("g 1")),
        (Merge::Fold(Fold::Max), Some("g 7")),
        (Merge::Fold(Fold::Mean), Some("g 4")),
        (Merge::Fold(Fold::Count), Some("g 2")),
    ];
    for (merge, expected) in cases {
        let store = store();
        for ((value, source), at) in values.iter().zip(["x", "y"].into_iter().cycle()).zip(10..) {
            let body = format!("# TYPE g gauge\ng {value}\n");
            push(&store, Some(source), merging(merge), &body, at).unwrap();
        }
        assert_eq!(shown(&store).first().map(String::as_str), expected, "{merge:?}");
    }
}

#[test]
fn gauges_that_add_may_be_negative() {
    let store = store();
    for value in ["5", "-7", "0.5"] {
        push(&store, None, merging(Merge::Add), &format!("# TYPE g gauge\ng {value}\n"), 10).unwrap();
    }
    assert_eq!(shown(&store), ["g -1.5"]);
    let (arena, grouping) = (Bump::new(), grouping());
    let parsed = openmetrics::parse(b"# TYPE g gauge\ng NaN\n# EOF\n", Names::Legacy, &arena).unwrap();
    let terms = |_: &Family<'_>| merging(Merge::Add);
    let refused = Push::prepare_under(&parsed, &grouping, true, PushLimits::NONE, Some(&terms)).unwrap_err();
    assert!(matches!(refused.cause, Cause::SummandValue { .. }), "{refused}");
}

fn histogram(buckets: &[(&str, u32)], total: u32) -> String {
    let mut body = String::from("# TYPE h histogram\n");
    for (bound, count) in buckets {
        body += &format!("h_bucket{{le=\"{bound}\"}} {count}\n");
    }
    body + &format!("h_bucket{{le=\"+Inf\"}} {total}\nh_sum {total}\nh_count {total}\n")
}

#[test]
fn other_bounds_are_refused_where_rules_say_so() {
    let store = store();
    let reject = FamilyTerms { buckets: Buckets::Reject, ..FamilyTerms::default() };
    push(&store, None, reject, &histogram(&[("1.0", 1), ("5.0", 2)], 3), 10).unwrap();
    push(&store, None, reject, &histogram(&[("1.0", 1), ("5.0", 1)], 1), 11).unwrap();
    let other = histogram(&[("1.0", 1), ("2.5", 2)], 3);
    let Err(Rejection::Refused(refusal)) = push(&store, None, reject, &other, 12) else { panic!("accepted") };
    let text = refusal.to_string();
    assert!(text.contains("1 2.5 +Inf") && text.contains("1 5 +Inf"), "{text}");
    assert_eq!(shown(&store), ["h 1:2 5:3 +Inf:4"]);
    assert_eq!(store.group(grouping().key()).unwrap().times.failed_at, 12);
    // Others are taken where rules don't mind, or keep what is common.
    let common = FamilyTerms { buckets: Buckets::Intersection, ..FamilyTerms::default() };
    push(&store, None, common, &other, 13).unwrap();
    assert_eq!(shown(&store), ["h 1:3 +Inf:7"]);
    push(&store, None, FamilyTerms::default(), &other, 14).unwrap();
    assert_eq!(shown(&store), ["h 1:4 2.5:5 +Inf:10"]);
}

#[test]
fn totals_whose_bounds_change_count_at_common_bounds() {
    let cumulative = FamilyTerms { temporality: Temporality::Cumulative, ..FamilyTerms::default() };
    let steps = [
        (histogram(&[("1.0", 2), ("5.0", 4)], 6), "h 1:2 5:4 +Inf:6", 0),
        (histogram(&[("1.0", 3), ("2.0", 4), ("5.0", 6)], 9), "h 1:3 5:6 +Inf:9", 0),
        (histogram(&[("1.0", 3), ("2.0", 5), ("5.0", 7)], 10), "h 1:3 2:4 5:7 +Inf:10", 0),
        // A bucket has fallen: all of it counts.
        (histogram(&[("1.0", 1), ("2.0", 5), ("5.0", 7)], 11), "h 1:4 2:9 5:14 +Inf:21", 1),
    ];
    let store = store();
    for ((body, expected, restarts), at) in steps.into_iter().zip(10..) {
        push(&store, Some("x"), cumulative, &body, at).unwrap();
        assert_eq!((shown(&store), store.tally().restarts), (vec![expected.to_owned()], restarts), "{body}");
    }
    // Where other bounds are refused, those of the sender are too.
    let reject = FamilyTerms { buckets: Buckets::Reject, ..cumulative };
    let refused = push(&store, Some("x"), reject, &histogram(&[("1.0", 9)], 12), 20);
    assert!(matches!(refused, Err(Rejection::Refused(_))), "{refused:?}");
}

#[test]
fn a_source_has_its_place_in_the_limits_and_leaves_nothing() {
    let store = store();
    let sum = merging(Merge::Fold(Fold::Sum));
    push(&store, Some("x"), sum, "# TYPE g gauge\ng 1\n", 10).unwrap();
    let (bytes, series) = (store.bytes(), store.series_count());
    assert_eq!((store.group_count(), series, store.groups().len()), (1, 2, 1));
    store.limit(StoreLimits { series: 3, series_per_group: 10, groups: 10, bytes: 1 << 20 });
    // A source more, of a series that the group has.
    push(&store, Some("y"), sum, "# TYPE g gauge\ng 1\n", 11).unwrap();
    // One more, or a series in target and source, is too much.
    for (source, body) in [("z", "# TYPE g gauge\ng 1\n"), ("x", "# TYPE g gauge\ng{l=\"1\"} 1\n")] {
        let full = push(&store, Some(source), sum, body, 12).unwrap_err();
        assert!(matches!(full, Rejection::Full(StoreFull { limit: Limit::Series, .. })), "{full:?}");
    }
    assert_eq!(store.sources(grouping().key(), 0, usize::MAX).1.len(), 2);
    let delete = |seen, keeps_totals| {
        let grouping = Cow::Owned(grouping());
        let part = Part::DeleteSource { grouping, source: "y".into(), seen, keeps_totals };
        store.submit(&Transaction::of(part), Moment::at(20)).unwrap();
        store.sources(grouping_key(), 0, usize::MAX).1.len()
    };
    let seen = store.sources(grouping().key(), 0, usize::MAX).1[1].times;
    push(&store, Some("y"), sum, "# TYPE g gauge\ng 4\n", 13).unwrap();
    assert_eq!(delete(Some(seen), true), 2, "it has pushed since");
    assert_eq!(shown(&store), ["g 5"]);
    assert_eq!(delete(None, true), 1);
    assert_eq!((shown(&store), store.series_count()), (vec!["g 1".to_owned()], series));
    assert_eq!(store.bytes(), bytes);
}

fn grouping_key() -> &'static str {
    "{job=\"a\"}"
}

#[test]
fn a_sender_that_lives_on_is_not_counted_twice() {
    let cumulative = FamilyTerms { temporality: Temporality::Cumulative, ..FamilyTerms::default() };
    for (keeps_totals, expected) in [(true, "c 9"), (false, "c 16")] {
        let store = store();
        push(&store, Some("x"), cumulative, "# TYPE c counter\nc_total 7\n", 10).unwrap();
        let grouping = Cow::Owned(grouping());
        let part = Part::DeleteSource { grouping, source: "x".into(), seen: None, keeps_totals };
        store.submit(&Transaction::of(part), Moment::at(11)).unwrap();
        assert_eq!(store.sources(grouping_key(), 0, usize::MAX).1.len(), usize::from(keeps_totals));
        push(&store, Some("x"), cumulative, "# TYPE c counter\nc_total 9\n", 12).unwrap();
        assert_eq!(shown(&store), [expected.replace("c ", "c_total ")]);
    }
}

#[test]
fn what_is_folded_is_kept_until_something_changes() {
    let store = store();
    let sum = merging(Merge::Fold(Fold::Sum));
    for source in ["x", "y"] {
        push(&store, Some(source), sum, "# TYPE g gauge\ng 1\n# TYPE other gauge\nother 1\n", 10).unwrap();
    }
    let address = |name: &str| {
        let snapshot = store.snapshot();
        let family = snapshot.families.iter().find(|family| **family.name() == *name).unwrap();
        let address = std::ptr::from_ref(family.pieces().next().unwrap()) as usize;
        (address, family.pieces().map(|piece| format!("{:?}", piece.value(0))).collect::<String>())
    };
    let (g, other) = (address("g"), address("other"));
    assert_eq!((address("g"), address("other")), (g.clone(), other.clone()));
    push(&store, Some("y"), sum, "# TYPE g gauge\ng 2\n", 11).unwrap();
    assert_eq!(address("g").1, "Number(3.0)");
    assert_eq!(address("other"), other);
    assert_eq!(g.1, "Number(2.0)");
}
fn delete_source(store: &Store, source: &'static str, at: i64) {
    let (grouping, source) = (Cow::Owned(grouping()), source.into());
    let part = Part::DeleteSource { grouping, source, seen: None, keeps_totals: false };
    store.submit(&Transaction::of(part), Moment::at(at)).unwrap();
}

const ROOM_FOR_ONE: Terms =
    Terms { ttl: None, source_ttl: None, max_series: Some(1), overflow: Overflow::Fold };

#[test]
fn what_finds_no_room_is_folded_over_sources_too() {
    let store = store();
    let sum = merging(Merge::Fold(Fold::Sum));
    let replacing = Semantics { absent: Absent::Drop, ..Semantics::replacing(true) };
    let mut at = 10;
    for (source, semantics, values, expected, series) in [
        ("{p=\"1\"}", Semantics::merging(), "1=1 2=2", &["g 1", "g 2"][..], 4),
        // Several values of one source are added, as those of several sources are.
        ("{p=\"2\"}", Semantics::merging(), "2=5 3=7", &["g 1", "g 14"], 5),
        ("{p=\"1\"}", Semantics::merging(), "2=3", &["g 1", "g 15"], 5),
        ("{p=\"2\"}", replacing, "1=4", &["g 5", "g 3"], 5),
        ("{p=\"2\"}", replacing, "2=6", &["g 1", "g 9"], 5),
    ] {
        let lines = values.split(' ').map(|pair| pair.split_once('=').unwrap());
        let lines: String = lines.map(|(n, value)| format!("g{{n=\"{n}\"}} {value}\n")).collect();
        let body = format!("# TYPE g gauge\n{lines}");
        push_within(&store, Some(source), semantics, sum, ROOM_FOR_ONE, &body, at).unwrap();
        assert_eq!((shown(&store), store.series_count()), (to_owned(expected), series), "{values}");
        at += 1;
    }
    delete_source(&store, "{p=\"1\"}", at);
    assert_eq!((shown(&store), store.series_count()), (to_owned(&["g 6"]), 2));
    delete_source(&store, "{p=\"2\"}", at);
    assert_eq!((shown(&store), store.series_count()), (Vec::new(), 0));
    assert_eq!(store.tally().overflowed, 5);
}

#[test]
fn a_put_spares_other_sources_that_push_in_the_same_batch() {
    let store = Store::new([], CommitMode::Before, Duration::ZERO, 1);
    let sum = merging(Merge::Fold(Fold::Sum));
    let put = Semantics { absent: Absent::Drop, source_if_shared: true, ..Semantics::replacing(true) };
    let mut at = 10;
    let mut apply = |steps: &[(&'static str, Semantics, FamilyTerms, &str)]| {
        let mut draft = store.draft();
        for (source, semantics, of_family, body) in steps {
            let transaction = pushing(Some(*source), *semantics, *of_family, Terms::default(), body);
            store.submit_to(&mut draft, &transaction, Moment::at(at)).unwrap();
            at += 1;
        }
        store.publish(draft);
        (shown(&store), store.sources(grouping_key(), 0, usize::MAX).0)
    };
    // In a group without sources it is a PUT as any other, which nobody is remembered for.
    let first = ("{p=\"1\"}", Semantics::merging(), FamilyTerms::default(), "# TYPE a gauge\na 1\n");
    let second = ("{p=\"2\"}", put, FamilyTerms::default(), "# TYPE b gauge\nb 1\n");
    assert_eq!(apply(&[(first.0, put, first.2, first.3), second]), (to_owned(&["b 1"]), 0));
    // A source comes, and no commit in between tells of it.
    let source = ("{p=\"3\"}", Semantics::merging(), sum, "# TYPE g gauge\ng 5\n");
    assert_eq!(apply(&[source, second]), (to_owned(&["b 1", "g 5"]), 1));
    assert_eq!(apply(&[second]), (to_owned(&["b 1", "g 5"]), 1));
}

#[test]
fn what_running_totals_grow_by_is_added_where_there_is_room() {
    let store = store();
    let cumulative = FamilyTerms { temporality: Temporality::Cumulative, ..FamilyTerms::default() };
    for (source, values, expected, restarts) in [
        ("{p=\"1\"}", "1=5 2=3", ["c 5", "c 3"], 0),
        ("{p=\"1\"}", "1=6 2=5 3=1", ["c 6", "c 6"], 0),
        ("{p=\"2\"}", "2=10", ["c 6", "c 16"], 0),
        ("{p=\"2\"}", "2=1", ["c 6", "c 17"], 1),
        ("{p=\"1\"}", "1=6 2=5 3=1", ["c 6", "c 17"], 1),
    ] {
        let lines = values.split(' ').map(|pair| pair.split_once('=').unwrap());
        let lines: String = lines.map(|(n, value)| format!("c_total{{n=\"{n}\"}} {value}\n")).collect();
        let (body, merging) = (format!("# TYPE c counter\n{lines}"), Semantics::merging());
        push_within(&store, Some(source), merging, cumulative, ROOM_FOR_ONE, &body, 10).unwrap();
        let shown = shown(&store).iter().map(|line| line.replace("_total", "")).collect::<Vec<_>>();
        assert_eq!((shown, store.tally().restarts), (to_owned(&expected), restarts), "{values}");
    }
}

#[test]
fn bounds_that_a_rule_refuses_do_not_reach_the_overflow_series() {
    let store = store();
    let reject = FamilyTerms { buckets: Buckets::Reject, ..FamilyTerms::default() };
    let send = |n: u8, bound: &str| {
        let bucket = |le: &str| format!("h_bucket{{n=\"{n}\",le=\"{le}\"}} 1\n");
        let rest = format!("h_sum{{n=\"{n}\"}} 1\nh_count{{n=\"{n}\"}} 1\n");
        let body = format!("# TYPE h histogram\n{}{}{rest}", bucket(bound), bucket("+Inf"));
        push_within(&store, None, Semantics::merging(), reject, ROOM_FOR_ONE, &body, 10)
    };
    for (n, bound, is_taken) in
        [(1, "1.0", true), (2, "2.0", true), (3, "2.0", true), (4, "1.0", false), (1, "1.0", true)]
    {
        assert_eq!(send(n, bound).is_ok(), is_taken, "{n} with {bound}");
    }
    assert_eq!(store.series_count(), 2);
}

fn to_owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}
