//! The error of a refused push: the stock gateway's message, followed by the position.

use crate::support::{Gateway, encode_request};

const CHECK: &str = "pushed metrics are invalid or inconsistent with existing metrics: ";

#[test]
fn a_parse_error_names_line_and_column() {
    let gateway = Gateway::start(&[]);
    for (body, error) in [
        ("a 1\nm foo\n", "line 2: expected float as value, got \"foo\" (column 3)"),
        ("m 1 x\n", "line 1: expected integer as timestamp, got \"x\" (column 5)"),
        ("\n\n  0m 1\n", "line 3: invalid metric name (column 3)"),
        ("a 1\r\n\r\nb x\r\n", "line 3: expected float as value, got \"x\" (column 3)"),
        ("# TYPE m wat\n", "line 1: unknown metric type \"wat\" (column 10)"),
        ("m{a=\"x\\y\"} 1\n", "line 1: invalid escape sequence '\\y' (column 7)"),
        ("m", "line 1: expected float as value, got \"\" (column 2)"),
    ] {
        let expected = format!("text format parsing error in {error}\n");
        assert_eq!(gateway.refused("/metrics/job/a", body), expected, "{body:?}");
    }
}

#[test]
fn a_parse_error_names_an_encoding_that_was_not_undone() {
    let gateway = Gateway::start(&[]);
    for encoding in ["br", "zstd", "deflate"] {
        let response =
            gateway.request("POST", "/metrics/job/a", &[("Content-Encoding", encoding)], b"\x28\xb5");
        assert_eq!(response.status, 400);
        let text = response.text();
        assert!(
            text.starts_with("text format parsing error in line 1: invalid metric name (column 1)"),
            "{text}"
        );
        assert!(text.contains(&format!("{encoding:?}")), "{text}");
    }
}

#[test]
fn a_refused_push_names_the_series_and_where_it_begins() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", "# TYPE g gauge\ng 1\n");
    for (body, words) in [
        (
            "# TYPE c counter\nc 1\nc{l=\"x\"} -1\n",
            &["\"c\"", "name:\"l\" value:\"x\"", "-1", "(line 3, column 1)"][..],
        ),
        (
            "m 1\n  m 2\n",
            &["\"m\"", "was collected before with the same name and label values", "(line 2, column 3)"],
        ),
        ("# TYPE g counter\ng 1\n", &["\"g\"", "is not a GAUGE", "(line 2, column 1)"]),
        (
            "# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"2\"} 1\nh_count 3\n",
            &["\"h\"", "fall", "(line 2, column 1)"],
        ),
    ] {
        let error = gateway.refused("/metrics/job/b", body);
        assert!(error.starts_with(CHECK) && error.ends_with('\n'), "{error}");
        for word in words {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
    }
}

#[test]
fn a_refused_push_is_logged_and_a_parse_error_is_not() {
    let gateway = Gateway::start(&[]);
    gateway.refused("/metrics/job/a", "secret_of_the_body\n");
    gateway.refused("/metrics/job/a", "m 1 1000\n");
    gateway.wait_for_log("pushed metrics must not have timestamps");
    assert!(!gateway.stderr().contains("secret_of_the_body"), "{}", gateway.stderr());
}

/// How many lines of a kind a log has, and how many more it says were left out.
fn counted(log: &str, words: &str) -> (u64, u64) {
    let (mut lines, mut more) = (0, 0);
    for line in log.lines().filter(|line| line.contains(words)) {
        match line.split_once(" more like this were not logged\" count=") {
            Some((_, rest)) => more += rest.split(' ').next().unwrap().parse::<u64>().unwrap(),
            None => lines += 1,
        }
    }
    (lines, more)
}

#[test]
fn of_refusals_that_come_again_and_again_the_log_has_the_first_and_a_count() {
    const PUSHES: u64 = 10_000;
    let gateway = Gateway::start(&[]);
    let mut connection = gateway.connect();
    let push = encode_request("POST", "/metrics/job/again", &[], b"m 1 1000\n");
    for _ in 0..PUSHES / 100 {
        connection.send(&push.repeat(100)).unwrap();
        for _ in 0..100 {
            assert_eq!(connection.read_response("POST").unwrap().status, 400);
        }
    }
    drop(connection);
    gateway.signal("TERM");
    let log = gateway.wait().stderr;
    let (lines, more) = counted(&log, "pushed metrics are invalid or inconsistent with existing metrics");
    assert_eq!(lines + more, PUSHES, "{log}");
    assert!((1..PUSHES / 2).contains(&lines), "{lines} lines");
    let first = log.lines().find(|line| line.contains("must not have timestamps")).unwrap();
    assert!(first.contains(" level=error ") && first.contains(r#" group="{job=\"again\"}" "#), "{first}");
}
