//! Start times and first increments: what a scrape shows of both, and that start times do not change while the
//! series lives.

use crate::support::formats::{
    self, OPENMETRICS, PROTOBUF, TEXT, protobuf_of, push, send, text_of, with_created_series,
};
use crate::support::protobuf::{family, metric, number, timestamp};
use crate::support::{self, Directory, Gateway};

const COUNTER: &str = "# TYPE c_total counter\nc_total 5\n";

/// The start time of the only pushed series with one.
#[track_caller]
fn start(gateway: &Gateway) -> Option<String> {
    let words = protobuf_of(gateway);
    let mut starts = words.split_whitespace().filter_map(|word| word.strip_prefix("start="));
    let start = starts.next().map(str::to_owned);
    assert_eq!(starts.next(), None, "{words}");
    start
}

/// The counter `c_total` with this start time.
fn counter_since(seconds: u64, value: f64) -> Vec<u8> {
    let content = [number(1, value), timestamp(3, (seconds, 7))];
    family("c_total", 0, &[metric(&[], 3, &content)])
}

#[test]
fn the_start_of_what_adds_is_its_first_push_and_stays() {
    let folder = Directory::new();
    let flags = [&*format!("--persistence.file={}", folder.path_of("store"))];
    let gateway = Gateway::start(&flags);
    gateway.push("/metrics/job/a", COUNTER);
    let first = start(&gateway).unwrap();
    // The start time of one process says nothing about the sum.
    push(&gateway, "/metrics/job/a", PROTOBUF, counter_since(1_520_430_000, 1.0));
    gateway.push("/metrics/job/a", COUNTER);
    assert_eq!(start(&gateway).as_ref(), Some(&first));
    drop(gateway);
    let gateway = Gateway::start(&flags);
    assert_eq!(start(&gateway).as_ref(), Some(&first));
    assert_eq!(gateway.sample("c_total{instance=\"\",job=\"a\"}"), Some(11.0));
    gateway.delete("/metrics/job/a");
    gateway.push("/metrics/job/a", COUNTER);
    let second = start(&gateway).unwrap();
    assert!(second.parse::<f64>().unwrap() > first.parse().unwrap(), "{second} after {first}");
}

#[test]
fn the_start_of_what_replaces_is_what_its_client_says() {
    let told = Some("1520430000.000000007");
    for flags in [&["--no-push.aggregate"][..], &[]] {
        let gateway = with_created_series(flags);
        let put = |content_type, body: &[u8]| {
            assert_eq!(send(&gateway, "PUT", "/metrics/job/a", content_type, body).status, 200);
        };
        put(PROTOBUF, &counter_since(1_520_430_000, 1.0));
        assert_eq!(start(&gateway).as_deref(), told, "{flags:?}");
        // A newer process.
        put(PROTOBUF, &counter_since(1_520_430_001, 1.0));
        assert_eq!(start(&gateway).as_deref(), Some("1520430001.000000007"));
        // A client without start times may have counted for long.
        put(TEXT, COUNTER.as_bytes());
        assert_eq!(start(&gateway), None);
        put(OPENMETRICS, b"# TYPE c counter\nc_total 1\nc_created 1520430000.000000007\n# EOF\n");
        assert_eq!(start(&gateway).as_deref(), told);
    }
    let gateway = Gateway::start(&["--no-push.aggregate"]);
    gateway.push("/metrics/job/a", COUNTER);
    assert_eq!(start(&gateway), None);
}

#[test]
fn openmetrics_has_start_times_only_if_asked_for() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", COUNTER);
    assert!(!text_of(&gateway, OPENMETRICS).contains("_created"));
    let gateway = with_created_series(&[]);
    gateway.push("/metrics/job/a", COUNTER);
    let text = text_of(&gateway, OPENMETRICS);
    assert!(text.contains("\nc_created{instance=\"\",job=\"a\"} "), "{text}");
}

/// In the text of the Python client, the start times of counters, histograms and summaries are gauges.
const WITH_CREATED: &str = "# TYPE c_total counter\nc_total{l=\"1\"} 5\n\
    # TYPE c_created gauge\nc_created{l=\"1\"} 1.6e9\n\
    # TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 2\n\
    # TYPE h_created gauge\nh_created 1.7e9\n\
    # TYPE s summary\ns_count 1\ns_sum 2\n\
    # TYPE s_created gauge\ns_created 1.7e9\n";

#[test]
fn start_times_that_are_pushed_as_gauges_are_no_metrics_beside_sums() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", WITH_CREATED);
    gateway.push("/metrics/job/a", WITH_CREATED);
    assert!(!gateway.pushed().contains("_created"), "{}", gateway.pushed());
    assert_eq!(gateway.sample("c_total{instance=\"\",job=\"a\",l=\"1\"}"), Some(10.0));
    // With PUT, they are the start times of the pushed values.
    assert_eq!(gateway.put("/metrics/job/a", WITH_CREATED).status, 200);
    let words = protobuf_of(&gateway);
    assert_eq!(words.matches("start=1600000000.000000000").count(), 1, "{words}");
    assert_eq!(words.matches("start=1700000000.000000000").count(), 2, "{words}");
}

#[test]
fn other_gauges_of_such_a_name_stay() {
    for body in [
        // A value that is not a time, another label, and no family that it would belong to.
        "# TYPE c_total counter\nc_total 5\n# TYPE c_created gauge\nc_created 17\n",
        "# TYPE c_total counter\nc_total 5\n# TYPE c_created gauge\nc_created{l=\"1\"} 1.6e9\n",
        "# TYPE c gauge\nc 5\n# TYPE c_created gauge\nc_created 1.6e9\n",
    ] {
        let gateway = Gateway::start(&[]);
        gateway.push("/metrics/job/a", body);
        assert!(gateway.pushed().contains("# TYPE c_created gauge\nc_created{"), "{body}");
    }
}

#[test]
fn where_values_replace_pushed_start_times_stay_series() {
    let gateway = with_created_series(&["--no-push.aggregate"]);
    gateway.push("/metrics/job/a", WITH_CREATED);
    assert!(
        gateway
            .pushed()
            .contains("# TYPE c_created gauge\nc_created{instance=\"\",job=\"a\",l=\"1\"} 1.6e+09\n")
    );
    // In OpenMetrics they can only be part of the family that they belong to.
    let text = text_of(&gateway, OPENMETRICS);
    assert_eq!(
        text,
        "# TYPE c counter\nc_total{instance=\"\",job=\"a\",l=\"1\"} 5.0\nc_created{instance=\"\",job=\"a\",l=\"1\"} 1.6e+09\n\
         # TYPE h histogram\nh_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 1\nh_sum{instance=\"\",job=\"a\"} 2.0\n\
         h_count{instance=\"\",job=\"a\"} 1\nh_created{instance=\"\",job=\"a\"} 1.7e+09\n\
         # TYPE s summary\ns_sum{instance=\"\",job=\"a\"} 2.0\ns_count{instance=\"\",job=\"a\"} 1\n\
         s_created{instance=\"\",job=\"a\"} 1.7e+09\n# EOF\n"
    );
}

#[test]
fn a_gauge_that_is_called_like_start_times_is_shown_in_every_format() {
    for (flags, pushes) in [
        // Of another group.
        (&[][..], &["# TYPE x_created gauge\nx_created 5\n", "# TYPE x_total counter\nx_total 7\n"][..]),
        // With other labels.
        (
            &["--no-push.aggregate"],
            &["# TYPE x_total counter\nx_total 7\n# TYPE x_created gauge\nx_created{l=\"1\"} 5\n"],
        ),
        // The value is not a time.
        (
            &["--no-push.aggregate"],
            &["# TYPE x_total counter\nx_total 7\n# TYPE x_created gauge\nx_created 5\n"],
        ),
        // Beside a counter that can't have start times.
        (
            &["--no-push.aggregate"],
            &["# TYPE x_total counter\nx_total 7\nx 1\n# TYPE x_created gauge\nx_created 5\n"],
        ),
        // Beside a family of the gateway itself.
        (&[], &["# TYPE process_cpu_seconds_created gauge\nprocess_cpu_seconds_created 5\n"]),
        // Beside a family that has no other form.
        (&["--no-push.aggregate"], &["# TYPE x summary\nx_sum 1\nx_count 1\nx_created{l=\"1\"} 5\n"]),
    ] {
        let gateway = with_created_series(flags);
        for (job, body) in pushes.iter().enumerate() {
            gateway.push(&format!("/metrics/job/{job}"), body);
        }
        let text = formats::scrape(&gateway, OPENMETRICS).text();
        let is_shown = |line: &str| line.contains("_created{") && line.ends_with(" 5.0");
        assert!(text.lines().any(is_shown), "{pushes:?}\n{text}");
    }
}

// The first increment.

/// One of each type that adds, and one that does not.
const NEWBORN: &str = "# TYPE c_total counter\nc_total 5\nu_total 6\n# TYPE g gauge\ng 7\n\
    # TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n\
    # TYPE s summary\ns{quantile=\"0.5\"} 8\ns_sum 9\ns_count 1\n";

fn with_lead(lead: &str, flags: &[&str]) -> Gateway {
    Gateway::start_with_config(&format!("[exposition]\nzero_lead = \"{lead}\"\n"), flags)
}

#[test]
fn a_newborn_series_is_shown_as_zero_for_a_while() {
    let folder = Directory::new();
    let flags = [&*format!("--persistence.file={}", folder.path_of("store"))];
    let zero = "# TYPE c_total counter\nc_total{instance=\"\",job=\"a\"} 0\n\
        # TYPE g gauge\ng{instance=\"\",job=\"a\"} 7\n\
        # TYPE h histogram\nh_bucket{instance=\"\",job=\"a\",le=\"1\"} 0\nh_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 0\n\
        h_sum{instance=\"\",job=\"a\"} 0\nh_count{instance=\"\",job=\"a\"} 0\n\
        # TYPE s summary\ns{instance=\"\",job=\"a\",quantile=\"0.5\"} 8\ns_sum{instance=\"\",job=\"a\"} 0\ns_count{instance=\"\",job=\"a\"} 0\n\
        # TYPE u_total untyped\nu_total{instance=\"\",job=\"a\"} 0\n";
    let gateway = with_lead("1h", &flags);
    gateway.push("/metrics/job/a", NEWBORN);
    assert_eq!(gateway.pushed(), zero);
    gateway.push("/metrics/job/a", NEWBORN);
    assert_eq!(gateway.pushed(), zero);
    for (format, shown) in
        [(OPENMETRICS, "c_total{instance=\"\",job=\"a\"} 0.0\n"), (PROTOBUF, "counter 0 start=")]
    {
        let text = if format == PROTOBUF { protobuf_of(&gateway) } else { text_of(&gateway, format) };
        assert!(text.contains(shown), "{text}");
    }
    // The stored value is not 0.
    assert_eq!(gateway.api()["data"][0]["c_total"]["metrics"][0]["value"], "10");
    drop(gateway);
    assert_eq!(with_lead("1h", &flags).pushed(), zero);
    // The setting affects only what is shown.
    let gateway = Gateway::start(&flags);
    assert_eq!(gateway.sample("c_total{instance=\"\",job=\"a\"}"), Some(10.0));
    assert_eq!(gateway.sample("h_bucket{instance=\"\",job=\"a\",le=\"1\"}"), Some(4.0));
}

#[test]
fn a_newborn_series_has_no_exemplar_yet() {
    let body = "# TYPE c counter\nc_total 5 # {trace_id=\"1\"} 1\n# EOF\n";
    let shown = |lead| {
        let gateway = with_lead(lead, &[]);
        assert_eq!(send(&gateway, "POST", "/metrics/job/a", OPENMETRICS, body.as_bytes()).status, 200);
        text_of(&gateway, OPENMETRICS)
    };
    let (newborn, grown) = (shown("1h"), shown("0s"));
    assert!(newborn.contains("c_total{instance=\"\",job=\"a\"} 0.0\n"), "{newborn}");
    assert!(grown.contains("c_total{instance=\"\",job=\"a\"} 5.0 # {trace_id=\"1\"} 1.0 "), "{grown}");
}

#[test]
fn what_replaces_is_shown_as_it_is() {
    let gateway = with_lead("1h", &[]);
    let body = counter_since(1_520_430_000, 3.0);
    assert_eq!(send(&gateway, "PUT", "/metrics/job/a", PROTOBUF, &body).status, 200);
    assert_eq!(gateway.sample("c_total{instance=\"\",job=\"a\"}"), Some(3.0));
    let gateway = with_lead("1h", &["--no-push.aggregate"]);
    gateway.push("/metrics/job/a", NEWBORN);
    assert_eq!(gateway.sample("c_total{instance=\"\",job=\"a\"}"), Some(5.0));
}

#[test]
fn a_native_histogram_begins_with_its_own_resolution() {
    let gateway = with_lead("1h", &[]);
    let native = support::protobuf::Native {
        schema: 3,
        zero_threshold: 0.5,
        zero_count: 1.0,
        positive: vec![(2, 4.0)],
        ..Default::default()
    };
    let histogram = support::protobuf::Histogram::native(1.5, native);
    push(&gateway, "/metrics/job/a", PROTOBUF, histogram.body(support::protobuf::HISTOGRAM));
    let words = protobuf_of(&gateway);
    assert!(words.contains("count=0 sum=0 schema=3 threshold=0.5 zero=0 +span(0,0) start="), "{words}");
}
