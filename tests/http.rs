//! The protocol below the routes: connections that stay open, bodies that stop half way.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test reports")]

mod support;

use support::{Connection, Gateway, assert_valid_exposition, encode_request, pushed_lines};

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
        // In one piece, and cut in two.
        for cut in [sent.len(), 10] {
            let mut connection = gateway.connect();
            connection.send(&sent[..cut]).unwrap();
            // It may be refused before all of it is there.
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
    // In a piece of its own it is looked at.
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

#[test]
fn a_request_to_speak_another_protocol_is_answered_as_one_that_is_none() {
    let gateway = Gateway::start(&[]);
    let mut pushes = 0;
    let variants: [&[(&str, &str)]; 8] = [
        &[],
        &[("Upgrade", "websocket")],
        &[("Connection", "upgrade")],
        &[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGVzdA==")],
        // As curl --http2 does.
        &[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")],
        &[("connection", "keep-alive,UPGRADE"), ("upgrade", "x/1, websocket")],
        &[
            ("Connection", "keep-alive"),
            ("Connection", "Upgrade"),
            ("UPGRADE", "WebSocket"),
            ("Upgrade", "h2c"),
        ],
        &[("Upgrade", "")],
    ];
    for headers in variants {
        let mut connection = gateway.connect();
        let chunked = [headers, &[("Transfer-Encoding", "chunked")]].concat();
        let length = encode_request("POST", "/metrics/job/a", headers, b"# TYPE c counter\nc 1\n");
        let chunks = encode_request(
            "POST",
            "/metrics/job/a",
            &chunked,
            b"11\r\n# TYPE c counter\n\r\n4\r\nc 1\n\r\n0\r\n\r\n",
        );
        // One after the other, all at once, and a byte at a time.
        for push in [&length, &chunks] {
            connection.send(push).unwrap();
            assert_eq!(connection.read_response("POST").unwrap().status, 200, "{headers:?}");
        }
        let scrape = encode_request("GET", "/metrics", headers, b"");
        let all = [&*length, &*chunks, &*scrape, &*length, &*chunks, &*scrape].concat();
        connection.send(&all).unwrap();
        for _ in 0..2 {
            for method in ["POST", "POST", "GET"] {
                let answer = connection.read_response(method).unwrap();
                assert_eq!((answer.status, answer.header("connection")), (200, None), "{headers:?}");
            }
        }
        for byte in length.iter().chain(&chunks) {
            connection.send(&[*byte]).unwrap();
        }
        for _ in 0..2 {
            assert_eq!(connection.read_response("POST").unwrap().status, 200, "{headers:?}");
        }
        pushes += 8;
        assert_eq!(gateway.sample(r#"c{instance="",job="a"}"#), Some(f64::from(pushes)), "{headers:?}");
    }
    // What else stands in the header counts.
    let mut connection = gateway.connect();
    let headers = [("Connection", "upgrade, close"), ("Upgrade", "websocket")];
    connection.send(&encode_request("GET", "/-/healthy", &headers, b"")).unwrap();
    assert_eq!(connection.read_response("GET").unwrap().status, 200);
    assert!(connection.read_to_end().unwrap().is_empty());
}

#[test]
fn connect_is_a_method_like_others_that_nothing_answers() {
    let gateway = Gateway::start(&[]);
    let mut connection = gateway.connect();
    let healthy = encode_request("GET", "/-/healthy", &[], b"");
    for (target, headers, body, status) in [
        ("/metrics", &[][..], &b""[..], 405),
        ("/metrics/job/a", &[("Upgrade", "websocket")][..], b"", 405),
        ("gateway.test:443", &[], b"", 404),
        ("/nope", &[("Transfer-Encoding", "chunked")], b"0\r\n\r\n", 404),
    ] {
        let request = encode_request("CONNECT", target, headers, body);
        connection.send(&[&*request, &*healthy].concat()).unwrap();
        assert_eq!(connection.read_response("POST").unwrap().status, status, "{target}");
        assert_eq!(connection.read_response("GET").unwrap().text(), "OK", "{target}");
    }
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
    // The path of the second has bytes that the library does not take.
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

/// Headers with which a client waits before it sends its body.
fn waiting<'a>(framing: (&'a str, &'a str), others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("Expect", "100-continue"), framing], others].concat()
}

const FRAMINGS: [(&str, &str); 2] = [("Content-Length", "4"), ("Transfer-Encoding", "chunked")];

/// Sends the head of a push that waits for 100, and expects that it is answered without one. Returns the connection,
/// which ends.
#[track_caller]
fn assert_not_asked_for(gateway: &Gateway, path: &str, headers: &[(&str, &str)], status: u16) -> Connection {
    let mut connection = gateway.connect();
    connection.send(&encode_request("POST", path, headers, b"")).unwrap();
    let answer = connection.read_response("POST").unwrap();
    let found = (answer.status, answer.interim, answer.header("connection"));
    assert_eq!(found, (status, 0, Some("close")), "{path} {headers:?}: {}", answer.text());
    connection
}

#[test]
fn a_connection_whose_body_was_not_asked_for_ends() {
    let gateway = Gateway::start(&[]);
    for (framing, body) in FRAMINGS.into_iter().zip(["m 1\n", "4\r\nm 1\n\r\n0\r\n\r\n"]) {
        for sent in ["", body, "GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n"] {
            let mut connection = assert_not_asked_for(&gateway, "/nope", &waiting(framing, &[]), 404);
            connection.send(sent.as_bytes()).unwrap();
            assert!(connection.read_to_end().unwrap_or_default().is_empty(), "{framing:?} {sent:?}");
        }
    }
}

#[test]
fn no_body_is_asked_for_that_is_not_wanted() {
    let config = "[web]\nmax_body_bytes = 1000\nallowed_hosts = [\"gateway.test\"]\n";
    let gateway = Gateway::start_with_config(config, &[]);
    for framing in FRAMINGS {
        for (path, headers, status) in [
            ("/nope", &[][..], 404),
            ("/metrics", &[], 405),
            ("/metrics/job/a/b", &[], 400),
            ("/metrics/job/a", &[("Idempotency-Key", "")], 400),
            ("/metrics/job/a", &[("Sec-Fetch-Site", "cross-site")], 403),
            ("/metrics/job/a", &[("Host", "evil.example")], 421),
        ] {
            assert_not_asked_for(&gateway, path, &waiting(framing, headers), status);
        }
    }
    assert_not_asked_for(&gateway, "/metrics/job/a", &waiting(("Content-Length", "1001"), &[]), 413);
    assert_eq!(gateway.pushed(), "");
    let closed = Gateway::start_with_config("access.anonymous = [\"scrape\"]\n", &[]);
    for framing in FRAMINGS {
        assert_not_asked_for(&closed, "/metrics/job/a", &waiting(framing, &[]), 403);
    }
}

#[test]
fn no_body_is_asked_for_while_there_is_no_room() {
    let gateway = Gateway::start_with_config("limits.body_bytes_in_flight = 1000\n", &[]);
    assert_not_asked_for(&gateway, "/metrics/job/a", &waiting(("Content-Length", "1001"), &[]), 503);
    let gateway = Gateway::start_with_config("limits.requests_in_flight = 1\n", &[]);
    let mut first = gateway.connect();
    let headers = waiting(FRAMINGS[0], &[]);
    first.send(&encode_request("POST", "/metrics/job/a", &headers, b"")).unwrap();
    assert_eq!(first.read_interim().unwrap().status, 100);
    for framing in FRAMINGS {
        assert_not_asked_for(&gateway, "/metrics/job/a", &waiting(framing, &[]), 503);
    }
    first.send(b"m 1\n").unwrap();
    assert_eq!(first.read_response("POST").unwrap().status, 200);
}

#[test]
fn a_body_is_asked_for_once_and_only_if_it_is_waited_for() {
    let gateway = Gateway::start(&[]);
    let mut connection = gateway.connect();
    let length = encode_request("POST", "/metrics/job/a", &waiting(FRAMINGS[0], &[]), b"");
    let chunked = encode_request("POST", "/metrics/job/a", &waiting(FRAMINGS[1], &[]), b"");
    for (head, parts) in [(length, &["m ", "1", "\n"][..]), (chunked, &["4\r\nm 1", "\n\r\n0", "\r\n\r\n"])] {
        connection.send(&head).unwrap();
        assert_eq!(connection.read_interim().unwrap().status, 100);
        for part in parts {
            connection.send(part.as_bytes()).unwrap();
        }
        let answer = connection.read_response("POST").unwrap();
        assert_eq!((answer.status, answer.interim, answer.header("connection")), (200, 0, None));
        // Together with its head.
        connection.send(&[&*head, parts.concat().as_bytes()].concat()).unwrap();
        let answer = connection.read_response("POST").unwrap();
        assert_eq!((answer.status, answer.interim, answer.header("connection")), (200, 0, None));
    }
    // Nothing is to be asked for where there is no body, and HTTP/1.0 has no interim answers.
    let empty = encode_request("PUT", "/metrics/job/a", &waiting(("Content-Length", "0"), &[]), b"");
    connection.send(&empty).unwrap();
    let answer = connection.read_response("PUT").unwrap();
    assert_eq!((answer.status, answer.interim, answer.header("connection")), (200, 0, None));
    let old = "POST /metrics/job/a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    connection.send(old.as_bytes()).unwrap();
    connection.send(b"m 1\n").unwrap();
    let answer = connection.read_response("POST").unwrap();
    assert_eq!((answer.status, answer.interim), (200, 0));
}

#[test]
fn an_unknown_expectation_is_refused() {
    let gateway = Gateway::start(&[]);
    for value in ["200-ok", "100-continued", "x=\"100-continue\""] {
        for framing in FRAMINGS {
            assert_not_asked_for(&gateway, "/metrics/job/a", &[("Expect", value), framing], 417);
        }
        let answer = gateway.request("GET", "/metrics", &[("Expect", value)], b"");
        assert_eq!(answer.status, 417);
        assert!(answer.text().starts_with("Expectation Failed: "), "{}", answer.text());
    }
    for value in ["", "100-Continue", "x, 100-continue"] {
        assert_eq!(gateway.request("GET", "/metrics", &[("Expect", value)], b"").status, 200, "{value:?}");
    }
}
