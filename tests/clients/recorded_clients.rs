//! Requests of the Go client and the Java client as they were recorded, with all headers: see
//! `tests/recorded/README.md`.

use std::path::Path;

use crate::support::formats::{OPENMETRICS, protobuf_of, text_of, without_now};
use crate::support::{Gateway, Response};

/// Sends a recorded request on a connection of its own.
fn send(gateway: &Gateway, name: &str) -> Response {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/recorded/{name}.http"));
    let request = std::fs::read(file).unwrap();
    let method = std::str::from_utf8(request.split(|byte| *byte == b' ').next().unwrap()).unwrap();
    let mut connection = gateway.connect();
    connection.send(&request).unwrap();
    connection.read_response(method).unwrap()
}

#[track_caller]
fn accepted(gateway: &Gateway, name: &str) {
    let answer = send(gateway, name);
    let expected = if name.ends_with("delete") { 202 } else { 200 };
    assert_eq!(answer.status, expected, "{name}: {}", answer.text());
}

#[test]
fn the_go_client_adds() {
    let gateway = Gateway::start(&[]);
    accepted(&gateway, "go-add-1");
    accepted(&gateway, "go-add-2");
    let labels = r#"instance="",job="nightly",path="a/b""#;
    for (series, value) in [
        (format!("jobs_total{{{},kind=\"a\",path=\"a/b\"}}", &labels[..labels.len() - 11]), 3.0),
        (format!("temperature_celsius{{{labels}}}"), -3.5),
        (format!("wait_seconds_bucket{{{labels},le=\"0.5\"}}"), 2.0),
        (format!("wait_seconds_bucket{{{labels},le=\"2\"}}"), 4.0),
        (format!("wait_seconds_sum{{{labels}}}"), 12.75),
        (format!("both_seconds_count{{{labels}}}"), 6.0),
        (format!("lag_seconds_count{{{labels}}}"), 6.0),
    ] {
        assert_eq!(gateway.sample(&series), Some(value), "{series}");
    }
    let words = without_now(&gateway, &protobuf_of(&gateway));
    let line = |family: &str| {
        let at = words.find(&format!("{family} help=")).unwrap();
        words[at..].lines().nth(1).unwrap().to_owned()
    };
    // 0.25, 1, 3 and then twice as much each, at a resolution of eight buckets for a power of two.
    let size = line("size_bytes");
    for part in [
        "count=6 sum=12.75 ",
        " schema=3 ",
        "start=NOW",
        // An exemplar of each push, with its own time.
        "#{trace_id=\"t3\"}1@1795522670.894478606",
        "#{trace_id=\"t3\"}6@1795522670.896494096",
    ] {
        assert!(size.contains(part), "no {part} in {size}");
    }
    let both = line("both_seconds");
    assert!(both.contains(" le1=3 ") && both.contains(" schema=0 "), "{both}");
    let jobs = line("jobs_total");
    let latest = " counter 3 #{trace_id=\"t1\"}2@1795522670.896479734 start=NOW";
    assert!(jobs.contains(latest), "{jobs}");
}

#[test]
fn the_go_client_replaces_and_deletes() {
    let gateway = Gateway::start(&[]);
    accepted(&gateway, "go-push");
    accepted(&gateway, "go-push");
    assert_eq!(gateway.sample("jobs_total{instance=\"\",job=\"replaced\",kind=\"a\"}"), Some(4.0));
    let words = protobuf_of(&gateway);
    let starts: Vec<&str> =
        words.split(" start=").skip(1).map(|rest| rest.split_whitespace().next().unwrap()).collect();
    // As the client tells them, in the order of names: a histogram, two counters, a summary, two histograms.
    let told = [
        "1795522670.897100188",
        "1795522670.897168219",
        "1795522670.897170292",
        "1795522670.897119467",
        "1795522670.897098986",
        "1795522670.897096683",
    ];
    assert_eq!(starts, told, "{words}");
    accepted(&gateway, "go-delete");
    assert_eq!(gateway.pushed(), "");
}

#[test]
fn the_go_client_speaks_text_and_openmetrics() {
    let gateway = Gateway::start(&[]);
    for name in ["go-add-text", "go-add-openmetrics"] {
        accepted(&gateway, name);
        accepted(&gateway, name);
    }
    for job in ["text", "openmetrics"] {
        let series = format!("jobs_total{{instance=\"\",job=\"{job}\",kind=\"a\"}}");
        assert_eq!(gateway.sample(&series), Some(2.0), "{job}");
        let series = format!("wait_seconds_bucket{{instance=\"\",job=\"{job}\",le=\"2\"}}");
        assert_eq!(gateway.sample(&series), Some(4.0), "{job}");
    }
    let text = text_of(&gateway, OPENMETRICS);
    // The client writes times as floating-point numbers, which are good to a microsecond.
    let bucket =
        "wait_seconds_bucket{instance=\"\",job=\"openmetrics\",le=\"0.5\"} 2 # {trace_id=\"t2\"} 0.25";
    let line = text.lines().find(|line| line.starts_with(bucket)).unwrap();
    assert!(line[bucket.len()..].starts_with(" 1795522670.898230"), "{line}");
}

#[test]
fn the_java_client_adds_replaces_and_deletes() {
    let gateway = Gateway::start(&[]);
    accepted(&gateway, "java-add");
    accepted(&gateway, "java-add");
    assert_eq!(
        without_now(&gateway, &protobuf_of(&gateway)),
        "build_info help=\"What runs.\" GAUGE\n  {instance=\"10.0.0.7\",job=\"nightly\",version=\"1.2\"} gauge 1\n\
         jobs_total help=\"Jobs.\" COUNTER\n\
         \x20 {instance=\"10.0.0.7\",job=\"nightly\",kind=\"a\"} counter 4 #{span_id=\"s1\",trace_id=\"t1\"}1@1795521794.123000000 start=NOW\n\
         \x20 {instance=\"10.0.0.7\",job=\"nightly\",kind=\"b\"} counter 2 start=NOW\n\
         wait_seconds help=\"Waiting.\" HISTOGRAM\n\
         \x20 {instance=\"10.0.0.7\",job=\"nightly\"} histogram count=6 sum=8.5 le0.5=2 #{span_id=\"s1\",trace_id=\"t2\"}0.25@1795521794.123000000 \
         le2=4 leinf=6 schema=0 threshold=0.000000000000000000000000000000000000002938735877055719 zero=0 \
         +span(-2,5) delta=2 delta=-2 delta=2 delta=-2 delta=2 start=NOW\n"
    );
    accepted(&gateway, "java-push-text");
    assert_eq!(gateway.sample("jobs_total{instance=\"\",job=\"a/b\",kind=\"a\"}"), Some(2.0));
    accepted(&gateway, "java-delete");
    assert_eq!(gateway.sample("jobs_total{instance=\"\",job=\"a/b\",kind=\"a\"}"), None);
}
