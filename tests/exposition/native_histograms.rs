//! Native histograms through the real binary: what adds, what is shown, what is refused.

use serde_json::json;

use crate::support::protobuf::{CONTENT_TYPE, GAUGE_HISTOGRAM, HISTOGRAM, Histogram, Native};
use crate::support::{self, Gateway, Response, assert_valid_exposition};

const PATH: &str = "/metrics/job/a";

/// Seven observations: one of them zero, three of them negative.
fn fine() -> Native {
    Native {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1.0,
        negative: vec![(-2, 1.0), (1, 2.0)],
        positive: vec![(-1, 1.0), (0, 1.0), (7, 1.0)],
    }
}

/// Nine observations.
fn coarse() -> Native {
    Native {
        schema: 0,
        zero_threshold: 0.01,
        zero_count: 2.0,
        negative: vec![(1, 4.0)],
        positive: vec![(4, 3.0)],
    }
}

fn send(gateway: &Gateway, kind: u64, histogram: &Histogram) -> Response {
    gateway.request("POST", PATH, &[("Content-Type", CONTENT_TYPE)], &histogram.body(kind))
}

#[track_caller]
fn push(gateway: &Gateway, histogram: &Histogram) {
    let response = send(gateway, HISTOGRAM, histogram);
    assert_eq!(response.status, 200, "{}", response.text());
}

/// A scrape in protobuf.
#[track_caller]
fn scrape(gateway: &Gateway) -> Histogram {
    let accept = CONTENT_TYPE;
    let response = gateway.request("GET", "/metrics", &[("Accept", accept)], b"");
    assert_eq!(response.status, 200);
    assert_valid_exposition(&gateway.scrape());
    Histogram::of_scrape(&response.body).expect("the histogram h")
}

/// The first series of `h` in the API.
fn api(gateway: &Gateway) -> serde_json::Value {
    gateway.api()["data"][0]["h"]["metrics"][0].take()
}

fn with_classic(histogram: Histogram, classic: &[(f64, f64)]) -> Histogram {
    Histogram { classic: classic.to_vec(), ..histogram }
}

#[test]
fn pushes_add_in_the_lower_resolution() {
    let gateway = Gateway::start(&[]);
    push(&gateway, &Histogram::native(1.5, fine()));
    assert_eq!(scrape(&gateway), Histogram::native(1.5, fine()));
    push(&gateway, &Histogram::native(40.25, coarse()));
    push(&gateway, &Histogram::native(1.5, fine()));
    let sum = Native {
        schema: 0,
        zero_threshold: 0.01,
        zero_count: 4.0,
        negative: vec![(-1, 2.0), (1, 8.0)],
        positive: vec![(0, 4.0), (4, 5.0)],
    };
    assert_eq!(scrape(&gateway), Histogram::native(43.25, sum));
    assert_eq!(
        gateway.pushed(),
        r#"# TYPE h histogram
h_bucket{instance="",job="a",le="+Inf"} 23
h_sum{instance="",job="a"} 43.25
h_count{instance="",job="a"} 23
"#
    );
    assert_eq!(
        api(&gateway),
        json!({
            "buckets": [
                [1, "-2", "-1", "8"], [1, "-0.5", "-0.25", "2"], [3, "-0.01", "0.01", "4"],
                [0, "0.5", "1", "4"], [0, "8", "16", "5"],
            ],
            "count": "23",
            "labels": {"instance": "", "job": "a"},
            "sum": "43.25",
        })
    );
}

#[test]
fn floats_make_all_counts_floats() {
    let gateway = Gateway::start(&[]);
    push(&gateway, &Histogram::native(1.0, coarse()));
    let half = Native { zero_threshold: 0.01, positive: vec![(4, 0.5), (9, 1.0)], ..Native::default() };
    push(&gateway, &Histogram { is_float: true, ..Histogram::native(1.0, half) });
    let sum = Native { positive: vec![(4, 3.5), (9, 1.0)], ..coarse() };
    assert_eq!(scrape(&gateway), Histogram { is_float: true, ..Histogram::native(2.0, sum) });
    assert_eq!(api(&gateway)["count"], "10.5");
}

#[test]
fn an_empty_one_is_shown_as_native() {
    let gateway = Gateway::start(&[]);
    let empty = Histogram::native(0.0, Native { schema: 3, ..Native::default() });
    push(&gateway, &empty);
    push(&gateway, &empty);
    assert_eq!(scrape(&gateway), empty);
    assert_eq!(api(&gateway)["buckets"], json!([]));
}

#[test]
fn classic_and_native_buckets_add_side_by_side() {
    let gateway = Gateway::start(&[]);
    for _ in 0..2 {
        push(&gateway, &with_classic(Histogram::native(1.0, coarse()), &[(0.0, 6.0), (16.0, 9.0)]));
    }
    let shown = scrape(&gateway);
    assert_eq!(shown.classic, [(0.0, 12.0), (16.0, 18.0)]);
    assert_eq!(shown.native.unwrap().positive, [(4, 6.0)]);
    assert_eq!(gateway.sample(r#"h_bucket{instance="",job="a",le="0"}"#), Some(12.0));
    assert_eq!(api(&gateway)["buckets"][0], json!([1, "-2", "-1", "8"]));
}

/// Prometheus takes all series of a message for the kind of the first one.
#[test]
fn series_with_and_without_native_buckets_are_shown_in_messages_of_their_own() {
    for flags in [&[][..], &["--no-push.aggregate"]] {
        let gateway = Gateway::start(flags);
        let native = Histogram::native(1.0, coarse());
        let classic = Histogram { count: 3.0, sum: 1.0, classic: vec![(1.0, 2.0)], ..Histogram::default() };
        for (job, histogram) in [("a", &classic), ("b", &native), ("c", &classic), ("d", &native)] {
            let path = format!("/metrics/job/{job}");
            let headers = [("Content-Type", CONTENT_TYPE)];
            assert_eq!(gateway.request("POST", &path, &headers, &histogram.body(HISTOGRAM)).status, 200);
        }
        let answer = gateway.request("GET", "/metrics", &[("Accept", CONTENT_TYPE)], b"");
        let words = support::protobuf::in_words(&answer.body);
        let shown: Vec<String> = words
            .iter()
            .skip_while(|line| *line != "h HISTOGRAM")
            .take_while(|line| line.starts_with("h ") || line.starts_with(' '))
            .map(|line| match line.split_once("job=\"") {
                Some((_, rest)) => format!("{} {}", &rest[..1], rest.contains("schema=")),
                None => line.clone(),
            })
            .collect();
        assert_eq!(shown, ["h HISTOGRAM", "b true", "d true", "h HISTOGRAM", "a false", "c false"]);
    }
}

#[test]
fn only_buckets_that_hold_all_observations_are_shown() {
    let native = Histogram::native(1.0, coarse());
    let both = with_classic(native.clone(), &[(0.0, 6.0), (16.0, 9.0)]);
    let classic = Histogram { native: None, ..both.clone() };
    let nothing = Histogram { classic: vec![(0.0, 0.0)], ..Histogram::default() };
    for (pushes, shows_classic, shows_native) in [
        (vec![&both, &both], true, true),
        (vec![&both, &native], false, true),
        (vec![&native, &both], false, true),
        (vec![&both, &classic], true, false),
        (vec![&classic, &both], true, false),
        // If neither kind holds all observations, only classic buckets can be shown.
        (vec![&native, &classic], true, false),
        (vec![&classic, &native], true, false),
        (vec![&both, &native, &classic], true, false),
        (vec![&classic, &native, &native], true, false),
        // A push without observations changes nothing.
        (vec![&nothing, &native], false, true),
        (vec![&native, &nothing], false, true),
        (vec![&both, &nothing], true, true),
    ] {
        let gateway = Gateway::start(&[]);
        pushes.iter().for_each(|histogram| push(&gateway, histogram));
        let shown = scrape(&gateway);
        let count: f64 = pushes.iter().map(|histogram| histogram.count).sum();
        assert_eq!(shown.count, count);
        assert_eq!((!shown.classic.is_empty(), shown.native.is_some()), (shows_classic, shows_native));
        if let Some(native) = shown.native {
            let buckets = native.negative.iter().chain(&native.positive).map(|(_, count)| count);
            assert_eq!(native.zero_count + buckets.sum::<f64>(), count);
        }
    }
}

#[test]
fn gauge_histograms_keep_the_latest_push() {
    let gateway = Gateway::start(&[]);
    for native in [fine(), coarse()] {
        assert_eq!(send(&gateway, GAUGE_HISTOGRAM, &Histogram::native(1.0, native)).status, 200);
    }
    assert_eq!(scrape(&gateway), Histogram::native(1.0, coarse()));
}

#[test]
fn without_aggregation_the_last_push_counts() {
    let gateway = Gateway::start(&["--no-push.aggregate"]);
    let many: Vec<_> = (0..400).map(|index| (index, 1.0)).collect();
    let wide = Native { schema: 5, positive: many, ..Native::default() };
    for native in [fine(), wide.clone()] {
        push(&gateway, &Histogram::native(1.0, native));
    }
    assert_eq!(scrape(&gateway), Histogram::native(1.0, wide));
}

#[test]
fn resolution_is_given_up_where_there_are_too_many_buckets() {
    let gateway = Gateway::start(&[]);
    for first in [0, 200] {
        let positive = (first..first + 200).map(|index| (index, 1.0)).collect();
        push(&gateway, &Histogram::native(1.0, Native { schema: 8, positive, ..Native::default() }));
    }
    let native = scrape(&gateway).native.unwrap();
    // 400 buckets become 201 in the next lower schema and 101 in the one below it.
    assert_eq!((native.schema, native.positive.len()), (6, 101));
    assert_eq!(native.positive.iter().map(|(_, count)| count).sum::<f64>(), 400.0);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let gateway = Gateway::start(&[]);
    push(&gateway, &Histogram::native(1.5, fine()));
    let before = scrape(&gateway);
    for (spoil, words) in [
        (
            (|histogram, _| histogram.count += 1.0) as fn(&mut Histogram, &mut Native),
            "its count is 8, but its buckets have 7 observations",
        ),
        (|histogram, _| histogram.count = 0.0, "its count is 0, but its buckets have 7 observations"),
        (|histogram, _| histogram.sum = f64::NAN, "has a sum that is not a number"),
        (|_, native| native.schema = -53, "custom buckets can't be pushed in this format"),
        (|_, native| native.schema = 53, "schema 53 is unknown, only -4 to 52 are exponential"),
        (|_, native| native.zero_threshold = f64::NAN, "the zero threshold is NaN"),
        (|_, native| native.positive[2].1 = -1.0, "a bucket has the count -1"),
        (|_, native| native.positive[2].0 = i64::from(i32::MAX), "bucket 2147483647 is populated"),
    ] {
        let mut native = fine();
        let mut histogram = Histogram::native(1.5, native.clone());
        spoil(&mut histogram, &mut native);
        histogram.native = Some(native);
        let response = send(&gateway, HISTOGRAM, &histogram);
        assert_eq!(response.status, 400);
        assert!(response.text().contains(words), "{:?} instead of {words:?}", response.text());
    }
    assert_eq!(scrape(&gateway), before);
}
