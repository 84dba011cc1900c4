//! The protocol below the routes: connections that stay open, bodies that stop half way.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test reports")]

mod support;

use support::{Gateway, assert_valid_exposition, encode_request, pushed_lines};

#[test]
fn one_connection_serves_many_requests() {
    let gateway = Gateway::start(&[]);
    let mut connection = gateway.connect();
    for (method, path, body, status) in [
        ("POST", "/metrics/job/a", "m 1\n", 200),
        ("POST", "/metrics/job/a", "m\n", 400),
        ("POST", "/metrics/job/a/b", "m 1\n", 400),
        ("POST", "/nope", "a body that nobody reads\n", 404),
        ("PATCH", "/metrics/job/a", "nor this one\n", 405),
        ("GET", "/metrics", "", 200),
        ("HEAD", "/metrics", "", 200),
        ("GET", "/-/healthy", "", 200),
        ("DELETE", "/metrics/job/a", "ignored", 202),
        ("GET", "/api/v1/metrics", "", 200),
    ] {
        connection.send(&encode_request(method, path, &[], body.as_bytes())).unwrap();
        let response = connection.read_response(method).unwrap();
        assert_eq!(response.status, status, "{method} {path}: {}", response.text());
        // A gateway that has not read a body may say that it will not read what follows either.
        if response.header("connection") == Some("close") {
            assert_ne!(status, 200, "{method} {path}");
            connection = gateway.connect();
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let gateway = Gateway::start(&[]);
    let mut requests = Vec::new();
    for value in 1..=20 {
        let body = format!("# TYPE c counter\nc {value}\n");
        requests.extend(encode_request("POST", "/metrics/job/a", &[], body.as_bytes()));
        requests.extend(encode_request("GET", "/metrics", &[], b""));
    }
    let mut connection = gateway.connect();
    connection.send(&requests).unwrap();
    for value in 1..=20 {
        assert_eq!(connection.read_response("POST").unwrap().status, 200);
        let scrape = connection.read_response("GET").unwrap().text();
        let total = support::sample(&scrape, r#"c{instance="",job="a"}"#);
        assert_eq!(total, Some(f64::from(value * (value + 1) / 2)));
    }
}

#[test]
fn http_1_0_needs_no_host() {
    let gateway = Gateway::start(&[]);
    let mut connection = gateway.connect();
    connection.send(b"GET /-/healthy HTTP/1.0\r\n\r\n").unwrap();
    let response = connection.read_response("GET").unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "OK"));
    assert!(connection.read_to_end().unwrap().is_empty());
}

#[test]
fn http_1_1_needs_a_host() {
    let gateway = Gateway::start(&[]);
    let mut connection = gateway.connect();
    connection.send(b"GET /-/healthy HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(connection.read_response("GET").unwrap().status, 400);
}

#[test]
fn a_connection_is_closed_on_request() {
    let gateway = Gateway::start(&[]);
    let mut connection = gateway.connect();
    connection.send(&encode_request("GET", "/-/healthy", &[("Connection", "close")], b"")).unwrap();
    assert_eq!(connection.read_response("GET").unwrap().status, 200);
    assert!(connection.read_to_end().unwrap().is_empty());
}

#[test]
fn a_body_that_waits_for_100_continue_is_asked_for() {
    let gateway = Gateway::start(&[]);
    let mut connection = gateway.connect();
    let headers = [("Expect", "100-continue"), ("Content-Length", "4")];
    connection.send(&encode_request("POST", "/metrics/job/a", &headers, b"")).unwrap();
    assert_eq!(connection.read_interim().unwrap().status, 100);
    connection.send(b"m 1\n").unwrap();
    assert_eq!(connection.read_response("POST").unwrap().status, 200);
    assert_eq!(gateway.sample(r#"m{instance="",job="a"}"#), Some(1.0));
}

#[test]
fn a_body_that_ends_early_stores_nothing() {
    let gateway = Gateway::start(&[]);
    for framing in [("Content-Length", "100"), ("Transfer-Encoding", "chunked")] {
        let mut connection = gateway.connect();
        let body: &[u8] = if framing.0 == "Content-Length" { b"m 1\n" } else { b"4\r\nm 1\n\r\n" };
        connection.send(&encode_request("POST", "/metrics/job/a", &[framing], body)).unwrap();
        connection.finish_sending().unwrap();
        // Whatever it says, it must not be that the push was accepted.
        let answer = String::from_utf8(connection.read_to_end().unwrap_or_default()).unwrap();
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
        assert_eq!(gateway.pushed(), "");
    }
}

#[test]
fn a_large_body_that_is_refused_unread_still_gets_its_answer() {
    let gateway = Gateway::start_with_config("[web]\nmax_body_bytes = 10000000\n", &[]);
    for (length, path, status) in [
        (3_000_000, "/metrics/job/a/odd", 400),
        (3_000_000, "/nope", 404),
        (3_000_000, "/metrics", 405),
        (12_000_000, "/metrics/job/a", 413),
    ] {
        let body = vec![b'x'; length];
        for _ in 0..5 {
            assert_eq!(gateway.request("POST", path, &[], &body).status, status, "{path}");
        }
    }
}

#[test]
fn bodies_without_a_limit() {
    let gateway = Gateway::start_with_config("[web]\nmax_body_bytes = 0\n", &[]);
    gateway.push("/metrics/job/small", "m 1\n");
    // Larger than the default limit.
    let large = format!("# {}\nm 2\n", "x".repeat(65 << 20));
    gateway.push("/metrics/job/large", &large);
    let zstd = zstd::encode_all(large.as_bytes(), 1).unwrap();
    let answer = gateway.request("POST", "/metrics/job/compressed", &[("Content-Encoding", "zstd")], &zstd);
    assert_eq!(answer.status, 200, "{}", answer.text());
    for (job, value) in [("small", 1.0), ("large", 2.0), ("compressed", 2.0)] {
        assert_eq!(gateway.sample(&format!("m{{instance=\"\",job=\"{job}\"}}")), Some(value), "{job}");
    }
}

#[test]
fn chunks_that_are_none_are_refused() {
    let gateway = Gateway::start(&[]);
    let headers = [("Transfer-Encoding", "chunked")];
    let mut connection = gateway.connect();
    connection
        .send(&encode_request("POST", "/metrics/job/a", &headers, b"zz\r\nm 1\n\r\n0\r\n\r\n"))
        .unwrap();
    let answer = String::from_utf8(connection.read_to_end().unwrap_or_default()).unwrap();
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert_eq!(gateway.pushed(), "");
}

#[test]
fn a_large_scrape_is_the_same_with_and_without_compression() {
    use std::io::Read as _;

    let gateway = Gateway::start(&[]);
    let mut body = "# TYPE large gauge\n".to_owned();
    for series in 0..20_000 {
        body += &format!(
            "large{{series=\"{series}\",text=\"\\\"{}\\\"\"}} {series}.5\n",
            "x".repeat(series % 50)
        );
    }
    gateway.push("/metrics/job/a", &body);
    let plain = gateway.scrape();
    assert_valid_exposition(&plain);
    assert_eq!(plain.lines().filter(|line| line.starts_with("large{")).count(), 20_000);

    let compressed = gateway.request("GET", "/metrics", &[("Accept-Encoding", "gzip")], b"");
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));
    assert!(compressed.body.len() < plain.len() / 4);
    let mut text = String::new();
    flate2::read::GzDecoder::new(compressed.body.as_slice()).read_to_string(&mut text).unwrap();
    assert!(pushed_lines(&text) == pushed_lines(&plain), "the compressed scrape is another");
}

#[test]
fn a_large_value_survives() {
    let gateway = Gateway::start_with_config("[limits]\nlabel_value_length = 2_000_000\n", &[]);
    let value = "0123456789".repeat(200_000);
    gateway.push("/metrics/job/a", &format!("# TYPE g gauge\ng{{l=\"{value}\"}} 1\n"));
    assert_eq!(gateway.sample(&format!("g{{instance=\"\",job=\"a\",l=\"{value}\"}}")), Some(1.0));
}
