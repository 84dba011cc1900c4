//! Requests that browsers send for pages of other sites, and the security headers of answers.

use crate::logins::{basic, users, web_config};
use crate::support::{Directory, Gateway, Response};

/// Requests that change something, and their status.
const CHANGES: [(&str, &str, u16); 7] = [
    ("POST", "/metrics/job/a", 200),
    ("PUT", "/metrics/job/a", 200),
    ("POST", "//metrics/job@base64/YQ/b/c", 200),
    ("DELETE", "/metrics/job/a", 202),
    ("PUT", "/api/v1/admin/wipe", 202),
    ("PUT", "/api/v1/admin/delete?id[]=e30", 200),
    ("PUT", "/-/quit", 200),
];

#[test]
fn other_sites_change_nothing_where_there_are_no_logins_either() {
    let flags =
        ["--web.enable-admin-api", "--web.enable-lifecycle", "--web.external-url=https://metrics.example/p/"];
    let flags = [&flags[..], &["--web.route-prefix=/"]].concat();
    let open = Gateway::start(&flags);
    let config = "access.anonymous = [\"push\", \"scrape\", \"delete\", \"admin\"]\n";
    let open_by_name = Gateway::start_with_config(config, &flags);
    for gateway in [open, open_by_name] {
        gateway.push("/metrics/job/kept", "m 1\n");
        for (method, path, _) in CHANGES.into_iter().chain([("POST", "/-/quit", 200)]) {
            // The headers that a browser adds to a form: over TLS, over plain HTTP, and in a frame without an
            // origin.
            for headers in [
                &[
                    ("Sec-Fetch-Site", "cross-site"),
                    ("Sec-Fetch-Mode", "navigate"),
                    ("Origin", "http://evil.example"),
                ][..],
                &[("Sec-Fetch-Site", "same-site"), ("Origin", "http://gateway.test")],
                &[("Sec-Fetch-Site", "cross-site")],
                &[("Origin", "http://evil.example"), ("Content-Type", "application/x-www-form-urlencoded")],
                &[("Origin", "http://gateway.test:81")],
                &[("Origin", "null")],
            ] {
                let answer = gateway.request(method, path, headers, b"m 2\n");
                assert_eq!(answer.status, 403, "{method} {path} {headers:?}");
                let text = answer.text();
                assert!(text.starts_with("Forbidden: the browser says that another site sent"), "{text}");
            }
        }
        assert_eq!(gateway.sample("m{instance=\"\",job=\"kept\"}"), Some(1.0));
        // Requests that change nothing are answered as usual.
        for (method, path, status) in [
            ("GET", "/metrics", 200),
            ("GET", "/", 200),
            ("OPTIONS", "/metrics/job/a", 200),
            ("POST", "/nope", 404),
        ] {
            let headers = [("Sec-Fetch-Site", "cross-site"), ("Origin", "http://evil.example")];
            assert_eq!(gateway.request(method, path, &headers, b"").status, status, "{method} {path}");
        }
        // The page itself, also behind proxies that change Host, and other programs.
        for (method, path, status) in CHANGES {
            for headers in [
                &[][..],
                &[("Sec-Fetch-Site", "same-origin"), ("Origin", "https://proxy.example")],
                &[("Sec-Fetch-Site", "none")],
                &[("Origin", "http://gateway.test")],
                &[("Origin", "https://proxy.example"), ("X-Forwarded-Host", "proxy.example")],
                &[("Origin", "https://metrics.example")],
            ] {
                if path == "/-/quit" && !headers.is_empty() {
                    continue;
                }
                assert_eq!(
                    gateway.request(method, path, headers, b"").status,
                    status,
                    "{method} {path} {headers:?}"
                );
            }
        }
        gateway.wait();
    }
}

#[test]
fn the_gateway_answers_under_the_names_that_are_allowed() {
    let config =
        "[web]\nallowed_hosts = [\"Gateway.test\", \"10.0.0.1\", \"[::1]:9091\", \"metrics.example:443\"]\n";
    let gateway = Gateway::start_with_config(config, &["--web.enable-lifecycle", "--log.level=debug"]);
    let ask = |method, path, host: &str| gateway.request(method, path, &[("Host", host)], b"");
    for host in
        ["gateway.test", "GATEWAY.TEST:9091", "gateway.test.", "10.0.0.1:1", "[::1]:9091", "metrics.example"]
    {
        assert_eq!(ask("GET", "/metrics", host).status, 200, "{host}");
        assert_eq!(ask("POST", "/metrics/job/a", host).status, 200, "{host}");
    }
    let mut refused = 0;
    for host in [
        "evil.example",
        "gateway.test.evil.example",
        "[::1]:9092",
        "127.0.0.1",
        "metrics.example:80",
        "",
        "a b",
    ] {
        for (method, path) in [
            ("GET", "/metrics"),
            ("GET", "/"),
            ("GET", "/api/v1/status"),
            ("OPTIONS", "/api/v1/status"),
            ("POST", "/metrics/job/a"),
            ("DELETE", "/metrics/job/a"),
            ("PUT", "/-/quit"),
            ("GET", "/nope"),
        ] {
            let answer = ask(method, path, host);
            assert_eq!(answer.status, 421, "{method} {path} {host}");
            assert!(answer.text().starts_with("Misdirected Request: "), "{}", answer.text());
            assert_eq!(answer.header("access-control-allow-origin"), None);
            refused += 1;
        }
        // Probes know only the address.
        assert_eq!(ask("GET", "/-/healthy", host).status, 200, "{host}");
        assert_eq!(ask("GET", "/-/ready", host).status, 200, "{host}");
    }
    // Neither header helps: a page of another site can set both once the name is its own.
    let headers =
        [("Host", "evil.example"), ("X-Forwarded-Host", "gateway.test"), ("Forwarded", "host=gateway.test")];
    assert_eq!(gateway.request("GET", "/metrics", &headers, b"").status, 421);
    let mut connection = gateway.connect();
    connection.send(b"GET http://evil.example/metrics HTTP/1.1\r\nHost: gateway.test\r\n\r\n").unwrap();
    assert_eq!(connection.read_response("GET").unwrap().status, 421);
    let mut connection = gateway.connect();
    connection.send(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(connection.read_response("GET").unwrap().status, 421);
    refused += 3;
    let denied = format!("\ntallygate_denied_requests_total{{reason=\"other_host\"}} {refused}\n");
    let scrape = gateway.scrape();
    assert!(scrape.contains(&denied), "{scrape}");
    gateway.wait_for_log("the host is none of web.allowed_hosts");
}

#[test]
fn a_host_that_is_refused_needs_no_login() {
    let folder = Directory::new();
    let web_config = web_config(&folder, &users(&[("alice", "secret")]));
    let gateway = Gateway::start_with_config("web.allowed_hosts = [\"gateway\"]\n", &[&web_config]);
    let alice = basic("alice", "secret");
    let ask = |host, headers: &[(&str, &str)]| {
        gateway.request("GET", "/metrics", &[&[("Host", host)], headers].concat(), b"").status
    };
    assert_eq!(ask("evil.example", &[]), 421);
    assert_eq!(ask("evil.example", &[("Authorization", &alice)]), 421);
    assert_eq!((ask("gateway", &[]), ask("gateway", &[("Authorization", &alice)])), (401, 200));
}

#[test]
fn headers_of_the_web_configuration_are_on_refusals_too() {
    let folder = Directory::new();
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n";
    let gateway =
        Gateway::start_with_config("web.allowed_hosts = [\"gateway\"]\n", &[&web_config(&folder, headers)]);
    for (host, headers, status) in
        [("other", &[][..], 421), ("gateway", &[("Expect", "x")], 417), ("gateway", &[], 200)]
    {
        let answer = gateway.request("GET", "/metrics", &[&[("Host", host)], headers].concat(), b"");
        assert_eq!((answer.status, answer.header("X-Frame-Options")), (status, Some("deny")));
    }
}

/// Checks the headers of every answer, with the policy for pages of other sites.
#[track_caller]
fn assert_protected(answer: &Response, policy: &str) {
    let headers = ["X-Content-Type-Options", "Cross-Origin-Resource-Policy"].map(|name| {
        let mut values = answer.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        let first = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} twice: {answer:?}");
        first
    });
    assert_eq!(headers, [Some("nosniff"), Some(policy)], "{} {:?}", answer.status, answer.text());
}

#[test]
fn every_answer_is_protected_from_other_sites() {
    let gateway = Gateway::start(&["--web.enable-admin-api"]);
    gateway.push("/metrics/job/a", "m 1\n");
    // More than one chunk.
    let body: String = (0..5000).map(|n| format!("series{{n=\"{n}\"}} 1\n")).collect();
    gateway.push("/metrics/job/large", &body);
    for (method, path, headers, status) in [
        ("GET", "/metrics", &[][..], 200),
        ("HEAD", "/metrics", &[], 200),
        ("GET", "/metrics", &[("Accept-Encoding", "gzip")], 200),
        ("GET", "/", &[], 200),
        ("GET", "/static/page.js", &[], 200),
        ("GET", "/static/page.js", &[("If-None-Match", "*")], 304),
        ("GET", "/static/nothing", &[], 404),
        ("GET", "/-/healthy", &[], 200),
        ("GET", "/-/ready", &[], 200),
        ("GET", "/-/quit", &[], 405),
        ("PUT", "/-/quit", &[], 403),
        ("POST", "/metrics/job/a", &[], 200),
        ("POST", "/metrics/job/a/b", &[], 400),
        ("POST", "/metrics/job/a", &[("Content-Encoding", "gzip")], 400),
        ("POST", "/metrics/job/a", &[("Content-Length", "100000000")], 413),
        ("POST", "/metrics/job/a", &[("Origin", "null")], 403),
        ("POST", "/metrics/job/a", &[("Expect", "x")], 417),
        ("DELETE", "/metrics/job/a", &[], 202),
        ("OPTIONS", "/metrics/job/a", &[], 200),
        ("GET", "/status/", &[], 301),
        ("HEAD", "//metrics", &[], 307),
        ("POST", "/Metrics/job/a", &[], 400),
        ("GET", "/%zz", &[], 400),
        ("GET", "/nope", &[], 404),
        ("GET", "/api/v1/nope", &[], 404),
        ("GET", "/ /", &[], 400),
    ] {
        let answer = gateway.request(method, path, headers, b"");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_protected(&answer, "same-origin");
    }
    // Answers that any page may read.
    for (method, path) in [
        ("GET", "/api/v1/status"),
        ("HEAD", "/api/v1/status"),
        ("GET", "/api/v1/metrics"),
        ("GET", "/api/v1/groups"),
        ("GET", "/api/v1/groups/nothing"),
        ("OPTIONS", "/api/v1/status"),
    ] {
        let answer = gateway.request(method, path, &[], b"");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{method} {path}");
        assert_protected(&answer, "cross-origin");
    }
    assert_protected(&gateway.request("PUT", "/api/v1/admin/wipe", &[], b""), "same-origin");
    assert_protected(&gateway.put("/api/v1/admin/delete?id[]=e30", ""), "same-origin");
    assert_protected(&gateway.put("/api/v1/admin/delete", ""), "same-origin");

    let full = Gateway::start_with_config("limits.connections = 2\n", &[]);
    let mut connections = Vec::new();
    let busy = loop {
        let mut connection = full.connect();
        // A refused connection may be closed already.
        let _ = connection.send(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = connection.read_response("GET").unwrap();
        assert_protected(&answer, "same-origin");
        if answer.status == 503 {
            break answer;
        }
        connections.push(connection);
    };
    assert!(busy.text().contains("limits.connections"), "{}", busy.text());

    let slow =
        Gateway::start_with_config("limits.head_timeout = \"50ms\"\nlimits.body_timeout = \"50ms\"\n", &[]);
    for (sent, status) in
        [("GET /", 408), ("POST /metrics/job/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", 408)]
    {
        let mut connection = slow.connect();
        connection.send(sent.as_bytes()).unwrap();
        let answer = connection.read_response("GET").unwrap();
        assert_eq!(answer.status, status);
        assert_protected(&answer, "same-origin");
    }
    let none = Gateway::start_with_config("limits.requests_in_flight = 1\n", &[]);
    let mut first = none.connect();
    first
        .send(b"POST /metrics/job/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        .unwrap();
    assert_eq!(first.read_interim().unwrap().status, 100);
    let busy = none.get("/metrics");
    assert_eq!(busy.status, 503);
    assert_protected(&busy, "same-origin");

    let folder = Directory::new();
    let web_config =
        web_config(&folder, &(users(&[("alice", "secret")]) + "rate_limit:\n  interval: 1h\n  burst: 1\n"));
    let guarded = Gateway::start(&[&web_config]);
    for status in [401, 429] {
        let answer = guarded.get("/metrics");
        assert_eq!(answer.status, status);
        assert_protected(&answer, "same-origin");
    }
}
