//! HTTP below the routes: persistent connections, and bodies that stop half way.

use crate::support::{self, Gateway, assert_valid_exposition, encode_request, pushed_lines};

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
        // A gateway that has not read a body may also refuse the requests after it.
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
    let answer = connection.read_response("GET").unwrap();
    assert_eq!((answer.status, &*answer.text()), (400, "400 Bad Request: missing required Host header\n"));
}

#[test]
fn what_is_no_request_is_told_so() {
    let gateway = Gateway::start(&[]);
    let fields = |fields: &str| format!("POST /metrics/job/a HTTP/1.1\r\n{fields}\r\n").into_bytes();
    let lines = |line: &str| format!("{line}\r\nHost: a\r\n\r\n").into_bytes();
    for (sent, said) in [
        (fields("Host: a\r\nHost: b\r\n"), "400 Bad Request: too many Host headers"),
        (fields("Host: a\r\nContent-Length: 4x\r\n"), "400 Bad Request: \"4x\" is no Content-Length"),
        (
            fields("Host: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n"),
            "400 Bad Request: there is more than one Content-Length",
        ),
        (
            fields("Host: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
            "400 Bad Request: there are both a Content-Length and a Transfer-Encoding",
        ),
        (
            fields("Host: a\r\nTransfer-Encoding: gzip\r\n"),
            "400 Bad Request: unsupported transfer encoding \"gzip\", only chunked is known",
        ),
        (fields("Host: a\r\nX y: z\r\n"), "400 Bad Request: invalid header name \"X y\""),
        (fields("Host: a\r\nX\r\n"), "400 Bad Request: line 2 of the header fields has no colon"),
        (
            fields("Host: a\r\nX: \u{1}\r\n"),
            "400 Bad Request: the value of the header field \"X\" has a control character",
        ),
        (
            fields(&"X: y\r\n".repeat(97)),
            "431 Request Header Fields Too Large: there are more than 96 header fields",
        ),
        (
            fields(&format!("X: {}\r\n", "y".repeat(150_000))),
            "431 Request Header Fields Too Large: the request line and the header fields have more than 128 KiB",
        ),
        (lines("GET /metrics"), "400 Bad Request: the request line is not METHOD PATH HTTP/1.1"),
        (lines("GET /metrics HTTP/3.0"), "400 Bad Request: \"HTTP/3.0\" is not spoken here, only HTTP/1.1"),
        (lines("G(T /metrics HTTP/1.1"), "400 Bad Request: \"G(T\" is no method"),
        (lines("GET /a b HTTP/1.1"), "400 Bad Request: the path has a blank: write it as %20"),
        (
            lines("GET /\u{7f} HTTP/1.1"),
            "400 Bad Request: the path has the control character 0x7f: write it as %7F",
        ),
        (
            lines(&format!("GET /{} HTTP/1.1", "a".repeat(66_000))),
            "400 Bad Request: the path has more than 65534 bytes",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            "400 Bad Request: this is HTTP/2, but only HTTP/1.1 is spoken here",
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            "400 Bad Request: this is TLS, but there is no TLS on this port: use http:// in the URL",
        ),
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n".to_vec(),
            "400 Bad Request: this is the PROXY protocol, which is not spoken here: let the proxy send HTTP only",
        ),
        (
            b"POST /metrics/job/a HTTP/1.0\r\n\r\nm 1\n".to_vec(),
            "400 Bad Request: a POST in HTTP/1.0 needs a Content-Length",
        ),
    ] {
        let start = String::from_utf8_lossy(&sent[..sent.len().min(60)]).into_owned();
        // In one piece, and in two.
        for cut in [sent.len(), 10] {
            let mut connection = gateway.connect();
            connection.send(&sent[..cut]).unwrap();
            // It may be refused before all of it has arrived.
            let _ = connection.send(&sent[cut..]);
            let answer = connection.read_response("POST").unwrap();
            assert_eq!(answer.text(), format!("{said}\n"), "{start:?}");
            assert!(said.starts_with(&answer.status.to_string()), "{start:?}");
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
            assert_eq!(answer.header("connection"), Some("close"));
            assert!(connection.read_to_end().unwrap().is_empty(), "{start:?}");
        }
    }
    assert_eq!(gateway.pushed(), "");
}

#[test]
fn what_follows_a_request_and_is_none_is_told_so() {
    let gateway = Gateway::start(&[]);
    // A body that is longer than it says.
    let request = encode_request("POST", "/metrics/job/a", &[("Content-Length", "4")], b"m 1\nm{} 2\n");
    let chunked =
        encode_request("POST", "/metrics/job/a", &[("Transfer-Encoding", "chunked")], b"0\r\n\r\nm 1\n");
    for request in [request, chunked] {
        let mut connection = gateway.connect();
        connection.send(&request).unwrap();
        assert_eq!(connection.read_response("POST").unwrap().status, 200);
        connection.finish_sending().unwrap();
        let rest = String::from_utf8(connection.read_to_end().unwrap()).unwrap();
        let said = "400 Bad Request: what follows the request before on this connection is no request: its \
                    Content-Length or its chunks may be wrong\n";
        assert!(rest.starts_with("HTTP/1.1 400 ") && rest.ends_with(said), "{rest}");
    }
    // In a write of its own, it is examined.
    for version in ["1.0", "1.1"] {
        let mut connection = gateway.connect();
        let first = format!("GET /-/healthy HTTP/{version}\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        connection.send(first.as_bytes()).unwrap();
        assert_eq!(connection.read_response("GET").unwrap().status, 200);
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n").unwrap();
        let answer = connection.read_response("GET").unwrap();
        let said = "400 Bad Request: line 2 of the header fields has no colon\n";
        assert_eq!((answer.status, &*answer.text()), (400, said), "{version}");
        assert!(connection.read_to_end().unwrap().is_empty());
    }
}

#[test]
fn answers_that_look_like_a_refusal_stay_as_they_are() {
    let gateway = Gateway::start(&["--push.enable-utf8-names"]);
    let line = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\
                date: Sat, 28 Nov 2026 15:15:46 GMT\r\n\r\n";
    let path = format!(
        "/metrics/job/{}",
        line.replace('/', "%2F").replace(' ', "%20").replace('\r', "%0D").replace('\n', "%0A")
    );
    gateway.push(&path, "m 1\n");
    let groups = gateway.api()["data"].clone();
    assert_eq!(groups[0]["labels"]["job"], line);
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
        // Whatever the answer is, it must not be that the push was accepted.
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

#[test]
fn what_is_refused_is_refused_wherever_it_comes() {
    let gateway = Gateway::start(&[]);
    let push = |body: &str| encode_request("POST", "/metrics/job/a", &[], body.as_bytes());
    let chunked = encode_request(
        "POST",
        "/metrics/job/b",
        &[("Transfer-Encoding", "chunked")],
        b"4;x=y\r\nm 1\n\r\n0\r\nTrailer: x\r\n\r\n",
    );
    // The path of the second request has bytes that the library refuses.
    let raw = "POST /metrics/job/c/b/ü HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nm 1\n".as_bytes();
    let mut connection = gateway.connect();
    let bad = b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n";
    connection.send(&[&*push("m 1\n"), raw, &*chunked, raw, bad].concat()).unwrap();
    for _ in 0..4 {
        let answer = connection.read_response("POST").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let answer = connection.read_response("GET").unwrap();
    let said = "400 Bad Request: the path has a blank: write it as %20\n";
    assert_eq!((answer.status, &*answer.text()), (400, said));
    assert!(connection.read_to_end().unwrap().is_empty());
    assert_eq!(gateway.sample(r#"m{b="ü",instance="",job="c"}"#), Some(1.0));
}
