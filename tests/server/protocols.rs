//! Requests to switch the protocol, and requests that wait for `100 Continue`.

use crate::support::{Connection, Gateway, encode_request};

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
        // One after the other, all at once, and byte by byte.
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
        for push in [&length, &chunks] {
            // The library may close the connection after an answer if the next request is arriving in parts, so
            // each has a connection of its own.
            let mut connection = gateway.connect();
            for byte in push {
                connection.send(&[*byte]).unwrap();
            }
            assert_eq!(connection.read_response("POST").unwrap().status, 200, "{headers:?}");
        }
        pushes += 8;
        assert_eq!(gateway.sample(r#"c{instance="",job="a"}"#), Some(f64::from(pushes)), "{headers:?}");
    }
    // Other values in the header still count.
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

/// Headers of a client that waits before it sends its body.
fn waiting<'a>(framing: (&'a str, &'a str), others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("Expect", "100-continue"), framing], others].concat()
}

const FRAMINGS: [(&str, &str); 2] = [("Content-Length", "4"), ("Transfer-Encoding", "chunked")];

/// Sends the head of a push that waits for `100 Continue`, and checks that it is answered without one. Returns the
/// connection, which the gateway closes.
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
        // The body together with its head.
        connection.send(&[&*head, parts.concat().as_bytes()].concat()).unwrap();
        let answer = connection.read_response("POST").unwrap();
        assert_eq!((answer.status, answer.interim, answer.header("connection")), (200, 0, None));
    }
    // A request without a body needs no `100 Continue`, and HTTP/1.0 does not have it.
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
