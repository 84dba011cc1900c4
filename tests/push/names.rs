//! Names that some scrape could not show. They are refused, so that no push makes a scrape fail.

use crate::support::formats::{self, OPENMETRICS, PROTOBUF, push, scrape, send, text_of};
use crate::support::protobuf::{exemplar, family, metric, number};
use crate::support::{self, Gateway};

fn with_utf8_names() -> Gateway {
    Gateway::start(&["--push.enable-utf8-names"])
}

/// Checks that nothing new is visible.
#[track_caller]
fn check_refused(gateway: &Gateway, path: &str, content_type: &str, body: &[u8], reason: &str) {
    let before = gateway.pushed();
    let answer = send(gateway, "POST", path, content_type, body);
    assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(body));
    assert!(answer.text().contains(reason), "{}", answer.text());
    assert_eq!(gateway.pushed(), before);
}

#[test]
fn nul_characters_are_no_part_of_names_and_exemplars() {
    let gateway = with_utf8_names();
    let job = "/metrics/job/a";
    let counter = |labels: &[(&str, &str)]| {
        let value = [number(1, 1.0), exemplar(2, labels, 1.0, None)].concat();
        family("c", 0, &[metric(&[], 3, &[value])])
    };
    let reason = "NUL character, which Prometheus does not read";
    check_refused(&gateway, job, PROTOBUF, &counter(&[("id", "a\0b")]), reason);
    check_refused(&gateway, job, PROTOBUF, &counter(&[("i\0d", "a")]), "has a NUL character");
    let body = b"# TYPE a counter\na_total 1 # {e=\"\0\"} 1\n# EOF\n";
    check_refused(&gateway, job, OPENMETRICS, body, reason);
    check_refused(&gateway, job, "text/plain", b"{\"a\0b\"} 1\n", reason);
    check_refused(&gateway, job, "text/plain", b"a{\"b\0\"=\"c\"} 1\n", "invalid name");
    let body = b"# TYPE a counter\na_total 1 # {\"a.b\"=\"1\",a_b=\"2\"} 1\n# EOF\n";
    check_refused(&gateway, job, OPENMETRICS, body, "comes twice: \"a_b\"");
    check_refused(&gateway, "/metrics/job/a/b%00c/d", "text/plain", b"a 1\n", "improper label name");
    // Prometheus accepts NUL in label values.
    gateway.push(job, "a{b=\"\0\"} 1\n");
}

#[test]
fn labels_whose_names_become_the_same_are_refused() {
    let gateway = with_utf8_names();
    for (a, b) in
        [("a.b", "a_b"), ("a.b", "a b"), ("a.b", "a_dot_b"), ("a.b", "U__a_2e_b"), ("..name..", "x")]
    {
        let body = format!("m{{\"{a}\"=\"1\",\"{b}\"=\"2\"}} 1\n");
        let reason = "names are the same once they are escaped";
        check_refused(&gateway, "/metrics/job/a", "text/plain", body.as_bytes(), reason);
    }
    // Clashes within the group, and between grouping labels and those of a series.
    let reason = "the names of two labels are the same once they are escaped: a_c";
    check_refused(&gateway, "/metrics/job/j/a.c/1/a_c/2", "text/plain", b"", reason);
    check_refused(&gateway, "/metrics/job/j/a.c/1/a_c/2", "text/plain", b"m 1\n", reason);
    let reason = "names are the same once they are escaped";
    check_refused(&gateway, "/metrics/job/j/a.c/1", "text/plain", b"m{a_c=\"2\"} 1\n", reason);
    let answer = gateway.request("DELETE", "/metrics/job/j/a.c/1/a_c/2", &[], b"");
    assert_eq!(answer.status, 400);
}

#[test]
fn metrics_whose_names_become_the_same_are_refused() {
    for (there, new) in [
        ("a_b", "a.b"),
        ("a.b", "a b"),
        ("a.b", "a_b"),
        ("a.b", "a_dot_b"),
        ("a_dot_b", "a.b"),
        ("a.b", "U__a_2e_b"),
    ] {
        let gateway = with_utf8_names();
        let body = |name: &str| format!("{{\"{name}\"}} 1\n");
        gateway.push("/metrics/job/a", &body(there));
        let reason = "is the same as another once it is escaped";
        check_refused(&gateway, "/metrics/job/b", "text/plain", body(new).as_bytes(), reason);
        let both = body(there) + &body(new);
        check_refused(&gateway, "/metrics/job/c", "text/plain", both.as_bytes(), reason);
        // The name is free again.
        gateway.delete("/metrics/job/a");
        gateway.push("/metrics/job/b", &body(new));
    }
}

#[test]
fn samples_of_histograms_and_summaries_are_told_apart_by_their_escaped_names() {
    let histogram =
        |name: &str| format!("# TYPE \"{name}\" histogram\n{{\"{name}_count\"}} 1\n{{\"{name}_sum\"}} 1\n");
    let gauge = |name: &str| format!("# TYPE \"{name}\" gauge\n{{\"{name}\"}} 1\n");
    for (a, b) in [
        (histogram("a.b"), gauge("a_b_count")),
        (histogram("a_b"), gauge("a.b_count")),
        (histogram("a.b"), gauge("a-b_sum")),
        (histogram("a.b"), gauge("a_dot_b_bucket")),
    ] {
        for (there, new) in [(&a, &b), (&b, &a)] {
            let gateway = with_utf8_names();
            gateway.push("/metrics/job/a", there);
            let reason = "collides with previously collected";
            check_refused(&gateway, "/metrics/job/b", "text/plain", new.as_bytes(), reason);
            let both = format!("{there}{new}");
            check_refused(&gateway, "/metrics/job/c", "text/plain", both.as_bytes(), reason);
        }
    }
    let gateway = with_utf8_names();
    let own = gauge("tallygate.commit_duration_seconds_count");
    check_refused(&gateway, "/metrics/job/a", "text/plain", own.as_bytes(), "collides");
}

#[test]
fn openmetrics_tells_families_apart_by_their_escaped_names() {
    let gateway = with_utf8_names();
    gateway
        .push("/metrics/job/a", "# TYPE \"x.y_total\" counter\n{\"x.y_total\"} 1\n# TYPE x_y gauge\nx_y 2\n");
    let text = text_of(&gateway, OPENMETRICS);
    assert!(text.contains("# TYPE x_y gauge\n") && text.contains("# TYPE x_y_total unknown\n"), "{text}");
    let text = text_of(&gateway, &format!("{OPENMETRICS}; escaping=allow-utf-8"));
    assert!(text.contains("# TYPE x_y gauge\n") && text.contains("# TYPE \"x.y\" counter\n"), "{text}");
}

#[test]
fn a_unit_that_is_no_part_of_the_name_is_not_shown() {
    let gateway = with_utf8_names();
    for (name, unit) in
        [("foo", "seconds"), ("foo_a\nevil_metric 1", "a\nevil_metric 1"), ("x_a b", "a b"), ("y_\"", "\"")]
    {
        let unit = support::protobuf::unit(unit);
        push(
            &gateway,
            "/metrics/job/a",
            PROTOBUF,
            family(name, 1, &[unit, metric(&[], 2, &[number(1, 1.0)])]),
        );
    }
    for escaping in ["allow-utf-8", "underscores", "dots", "values"] {
        let text = scrape(&gateway, &format!("{OPENMETRICS}; escaping={escaping}")).text();
        assert!(!text.contains("# UNIT") && !text.contains("\nevil"), "{text}");
        let stream = scrape(&gateway, &format!("{PROTOBUF}; escaping={escaping}")).body;
        let words = support::protobuf::in_words(&stream).join("\n");
        assert!(!words.contains("unit="), "{words}");
    }
    // The stock gateway never shows units.
    let gateway = Gateway::start(&["--no-push.aggregate"]);
    let unit = support::protobuf::unit("seconds");
    push(
        &gateway,
        "/metrics/job/a",
        PROTOBUF,
        family("a_seconds", 1, &[unit, metric(&[], 2, &[number(1, 1.0)])]),
    );
    assert!(!formats::protobuf_of(&gateway).contains("unit="));
}

#[test]
fn names_that_become_those_of_the_gateway_are_refused() {
    let gateway = with_utf8_names();
    for name in [
        "push.time.seconds",
        "push_failure.time.seconds",
        "process.open.fds",
        "process cpu_seconds_total",
        "pushgateway.build_info",
        "tallygate-groups",
    ] {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        let body = format!("# TYPE \"{name}\" {kind}\n{{\"{name}\"}} 1\n");
        let answer = send(&gateway, "POST", "/metrics/job/a", "text/plain", body.as_bytes());
        assert_eq!(answer.status, 400, "{name}");
        let is_told = |reason: &&str| answer.text().contains(reason);
        let reasons = ["is the same as another once it is escaped", "is reserved for the gateway itself"];
        assert!(reasons.iter().any(is_told), "{name}: {}", answer.text());
    }
    assert_eq!(gateway.pushed().lines().filter(|line| !line.contains("push_")).count(), 0);
}

/// Series and groups that differ if names are quoted, but not if they are escaped. Prometheus would keep one of two
/// equal series and drop the other.
#[test]
fn one_of_two_series_that_become_the_same_is_shown() {
    let gateway = with_utf8_names();
    gateway.push("/metrics/job/j", "m{\"a.b\"=\"1\"} 1\nm{\"a.b\"=\"2\"} 2\n");
    gateway.push("/metrics/job/j/k/l", "m{\"a.b\"=\"1\"} 3\n");
    gateway.push("/metrics/job/j/a_b/1", "m 4\n");
    gateway.push("/metrics/job/g/a.b/1", "");
    gateway.push("/metrics/job/g/a_b/1", "");
    let shown = |accept: &str| {
        let text = scrape(&gateway, accept).text();
        let lines =
            text.lines().filter(|line| line.starts_with("m{") || line.starts_with("push_time_seconds{"));
        let is_of = |line: &&str| line.starts_with("m{") || line.contains("job=\"g\"");
        let series = lines.filter(is_of).map(|line| line.rsplit_once(' ').unwrap().0.to_owned());
        let values = text.lines().filter(|line| line.starts_with("m{"));
        (
            series.collect::<Vec<_>>(),
            values.map(|line| line.rsplit_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>(),
        )
    };
    let (series, values) = shown("text/plain; version=1.0.0; escaping=allow-utf-8");
    assert_eq!((series.len(), values.len()), (6, 4), "{series:?}");
    for accept in ["text/plain", "text/plain; version=1.0.0", OPENMETRICS] {
        let (series, values) = shown(accept);
        assert_eq!(
            series,
            [
                "m{a_b=\"1\",instance=\"\",job=\"j\"}",
                "m{a_b=\"2\",instance=\"\",job=\"j\"}",
                "m{a_b=\"1\",instance=\"\",job=\"j\",k=\"l\"}",
                "push_time_seconds{a_b=\"1\",instance=\"\",job=\"g\"}",
            ],
            "{accept}"
        );
        assert_eq!(values.iter().map(|value| &value[..1]).collect::<String>(), "423");
    }
    // The hidden ones are shown to clients that accept quoted names, and to all once the others are gone.
    gateway.delete("/metrics/job/j/a_b/1");
    assert!(shown("text/plain").1.contains(&"1".to_owned()));
}
