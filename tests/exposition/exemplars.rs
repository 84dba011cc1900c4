//! Exemplars: which are kept, where they are shown, and that they are as durable as their series.

use crate::support::formats::{OPENMETRICS, PROTOBUF, protobuf_of, push, send, text_of, without_now};
use crate::support::protobuf::{exemplar, family, integer, message, metric, number, signed};
use crate::support::{Directory, Gateway};

fn counter(exemplar: &str) -> String {
    format!("# TYPE c counter\nc_total 1{exemplar}\n# EOF\n")
}

/// The exemplars of a scrape in OpenMetrics, with the `le` of their buckets.
fn shown(gateway: &Gateway) -> Vec<String> {
    let text = text_of(gateway, OPENMETRICS);
    let exemplars = text.lines().filter_map(|line| {
        let (sample, exemplar) = line.split_once(" # ")?;
        let bound = sample.split_once("le=\"").map_or("", |(_, bound)| bound.split('"').next().unwrap());
        Some(format!("{bound} {exemplar}"))
    });
    exemplars.collect()
}

#[test]
fn a_counter_keeps_its_newest() {
    let gateway = Gateway::start(&[]);
    for exemplar in [" # {id=\"1\"} 1.0 10.0", " # {id=\"2\"} 1.0 20.0", " # {id=\"3\"} 1.0 15.0", ""] {
        push(&gateway, "/metrics/job/a", OPENMETRICS, counter(exemplar));
    }
    assert_eq!(shown(&gateway), [" {id=\"2\"} 1.0 20.0"]);
    assert_eq!(gateway.sample("c_total{instance=\"\",job=\"a\"}"), Some(4.0));
    // An exemplar without a time counts as new as its push.
    push(&gateway, "/metrics/job/a", OPENMETRICS, counter(" # {id=\"4\"} 1.0"));
    assert_eq!(without_now(&gateway, &shown(&gateway)[0]), " {id=\"4\"} 1.0 NOW");
    // A push that replaces a value also replaces its exemplar.
    assert_eq!(send(&gateway, "PUT", "/metrics/job/a", OPENMETRICS, counter("").as_bytes()).status, 200);
    assert!(shown(&gateway).is_empty());
}

fn histogram(buckets: &[(&str, u64, &str)]) -> String {
    let lines =
        buckets.iter().map(|(le, count, exemplar)| format!("h_bucket{{le=\"{le}\"}} {count}{exemplar}\n"));
    format!("# TYPE h histogram\n{}h_sum 1\n# EOF\n", lines.collect::<String>())
}

#[test]
fn each_bucket_keeps_its_newest_whatever_the_bounds_become() {
    let gateway = Gateway::start(&[]);
    let body = histogram(&[
        ("1", 1, " # {id=\"1\"} 0.5 10.0"),
        ("5", 3, " # {id=\"2\"} 1.5 10.0"),
        ("+Inf", 4, " # {id=\"3\"} 9.0 10.0"),
    ]);
    push(&gateway, "/metrics/job/a", OPENMETRICS, body);
    assert_eq!(
        shown(&gateway),
        ["1.0 {id=\"1\"} 0.5 10.0", "5.0 {id=\"2\"} 1.5 10.0", "+Inf {id=\"3\"} 9.0 10.0"]
    );
    // With other bounds, the second exemplar of the first push falls into a narrower bucket, beside a newer one.
    let body = histogram(&[("2", 1, " # {id=\"4\"} 1.8 11.0"), ("7", 1, ""), ("+Inf", 1, "")]);
    push(&gateway, "/metrics/job/a", OPENMETRICS, body);
    assert_eq!(
        shown(&gateway),
        ["1.0 {id=\"1\"} 0.5 10.0", "2.0 {id=\"4\"} 1.8 11.0", "+Inf {id=\"3\"} 9.0 10.0"]
    );
}

/// A native histogram of one observation, with these exemplars: id and time.
fn native(exemplars: &[(&str, u64)]) -> Vec<u8> {
    let mut fields = vec![
        integer(1, 1),
        number(2, 1.0),
        signed(5, 0),
        message(12, &[signed(1, 0), integer(2, 1)]),
        signed(13, 1),
    ];
    fields.extend(exemplars.iter().map(|(id, at)| exemplar(16, &[("id", id)], 1.0, Some((*at, 0)))));
    family("h", 4, &[metric(&[], 7, &fields)])
}

#[test]
fn a_native_histogram_keeps_its_newest_ten() {
    let gateway = Gateway::start(&[]);
    let ids: Vec<String> = (0..13).map(|id| id.to_string()).collect();
    for (at, id) in ids.iter().enumerate() {
        push(&gateway, "/metrics/job/a", PROTOBUF, native(&[(id, at as u64 + 100)]));
    }
    push(&gateway, "/metrics/job/a", PROTOBUF, native(&[("late", 50), ("fresh", 200)]));
    let words = protobuf_of(&gateway);
    let kept: Vec<&str> =
        words.split("#{id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(kept, ["4", "5", "6", "7", "8", "9", "10", "11", "12", "fresh"]);
    assert!(words.contains("count=14 "), "{words}");
}

#[test]
fn exemplars_survive_a_kill() {
    let folder = Directory::new();
    let flags = [&*format!("--persistence.file={}", folder.path_of("store"))];
    let gateway = Gateway::start(&flags);
    push(&gateway, "/metrics/job/a", OPENMETRICS, counter(" # {id=\"1\"} 1.0 10.5"));
    push(&gateway, "/metrics/job/b", OPENMETRICS, histogram(&[("+Inf", 1, " # {} 1.0")]));
    push(&gateway, "/metrics/job/c", PROTOBUF, native(&[("n", 7)]));
    // More series than one piece holds.
    let many: String =
        (0..100).map(|at| format!("m_total{{at=\"{at}\"}} 1 # {{id=\"{at}\"}} 1.0 1.0\n")).collect();
    push(&gateway, "/metrics/job/d", OPENMETRICS, format!("# TYPE m counter\n{many}# EOF\n"));
    let before = (protobuf_of(&gateway), shown(&gateway));
    assert_eq!(before.1.len(), 102);
    drop(gateway);
    let gateway = Gateway::start(&flags);
    assert_eq!((protobuf_of(&gateway), shown(&gateway)), before);
}

#[test]
fn text_has_none() {
    let gateway = Gateway::start(&[]);
    push(&gateway, "/metrics/job/a", OPENMETRICS, counter(" # {id=\"1\"} 1.0 10.0"));
    assert_eq!(gateway.pushed(), "# TYPE c_total counter\nc_total{instance=\"\",job=\"a\"} 1\n");
}

/// If values replace, exemplars are those of the latest push, as in the stock gateway.
#[test]
fn where_values_replace_nothing_is_added_to_exemplars() {
    let gateway = Gateway::start(&["--no-push.aggregate"]);
    let body =
        family("c_total", 0, &[metric(&[], 3, &[number(1, 1.0), exemplar(2, &[("id", "1")], 1.0, None)])]);
    push(&gateway, "/metrics/job/a", PROTOBUF, body);
    let words = protobuf_of(&gateway);
    assert_eq!(words, "c_total COUNTER\n  {instance=\"\",job=\"a\"} counter 1 #{id=\"1\"}1\n");
}
