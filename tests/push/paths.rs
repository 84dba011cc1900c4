//! Paths as clients write them. A push is accepted, or refused with advice. None is redirected.

use crate::support::{self, Gateway, encode_request};

const COUNTER: &str = "# TYPE c counter\nc 1\n";

/// Sends a request with these bytes and the length of its body, on a new connection.
#[track_caller]
fn send(gateway: &Gateway, method: &str, head: &[u8], body: &str) -> support::Response {
    let mut connection = gateway.connect();
    let fields = format!(" HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    connection.send(&[method.as_bytes(), b" ", head, fields.as_bytes()].concat()).unwrap();
    connection.read_response(method).unwrap()
}

#[test]
fn slashes_before_metrics_count_once() {
    for (prefix, paths) in [
        ("", &["/metrics/job/a", "//metrics/job/a", "///metrics/job/a", "/metrics//job/a"][..]),
        (
            "/p/q",
            &["/p/q/metrics/job/a", "/p/q//metrics/job/a", "//p/q///metrics/job/a", "/p//q/metrics//job/a"],
        ),
    ] {
        let gateway = Gateway::start(&[&format!("--web.route-prefix={prefix}")]);
        for path in paths {
            assert_eq!(gateway.post(path, COUNTER).status, 200, "{path}");
        }
        let scrape = gateway.get(&format!("{prefix}/metrics")).text();
        assert_eq!(support::sample(&scrape, r#"c{instance="",job="a"}"#), Some(4.0), "{scrape}");
        for path in paths {
            assert_eq!(gateway.put(path, COUNTER).status, 200, "{path}");
            assert_eq!(gateway.delete(path).status, 202, "{path}");
        }
        assert!(!gateway.get(&format!("{prefix}/metrics")).text().contains("job=\"a\""));
    }
}

#[test]
fn an_empty_component_is_an_empty_value() {
    let gateway = Gateway::start(&[]);
    for path in [
        "/metrics/job/x/a//b/v",
        "/metrics/job/x/a@base64//b/v",
        "//metrics/job/x/a@base64/=/b/v",
        "/metrics/job@base64/eA/b/v/a/",
    ] {
        gateway.push(path, COUNTER);
    }
    let scrape = gateway.scrape();
    let series: Vec<&str> = scrape.lines().filter(|line| line.starts_with("c{")).collect();
    assert_eq!(series.len(), 1, "{series:?}");
    assert!(series[0].contains(r#"b="v""#) && series[0].ends_with(" 4"), "{series:?}");
    assert_eq!(gateway.delete("//metrics/job/x/a//b/v").status, 202);
    assert_eq!(gateway.pushed(), "");
    // Without aggregation the label is kept, as in the stock gateway.
    let gateway = Gateway::start(&["--no-push.aggregate"]);
    gateway.push("/metrics/job/x/a//b/v", COUNTER);
    assert_eq!(gateway.sample(r#"c{a="",b="v",instance="",job="x"}"#), Some(1.0));
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_write() {
    let flags = ["--web.enable-lifecycle", "--web.enable-admin-api"];
    let gateway = Gateway::start(&flags);
    for (path, said) in [
        ("/metrics/job/", "job name is required: write /metrics/job/NAME\n"),
        ("//metrics/job/", "job name is required: write /metrics/job/NAME\n"),
        ("/metrics/job//b/c", "job name is required: write /metrics/job/NAME\n"),
        ("/metrics/job/a/b/c/", "odd number of components in label string \"/b/c/\"\n"),
        (
            "/metrics/job/a//b/c",
            "odd number of components in label string \"//b/c\": each label is /LABEL/VALUE, and only a value may be \
             empty: /LABEL//, or /LABEL@base64/=\n",
        ),
        (
            "/metrics/job/a//b",
            "improper label name \"\": each label is /LABEL/VALUE, and only a value may be empty: /LABEL//, or \
             /LABEL@base64/=\n",
        ),
        (
            "/Metrics/JOB/a/b/c",
            "there is nothing at this path, and what changes something is not redirected: write \
             /metrics/job/a/b/c\n",
        ),
        (
            "/metrics/job/a/b/..",
            "the path has . or .. as a component: as a value write %2E or %2E%2E, and else leave it out\n",
        ),
        (
            "/./metrics/job/a",
            "the path has . or .. as a component: as a value write %2E or %2E%2E, and else leave it out\n",
        ),
        (
            "/metrics/job/a/b/100%",
            "400 Bad Request: a percent sign in the path is not followed by two hexadecimal digits: write it as \
             %25\n",
        ),
    ] {
        for method in ["POST", "PUT", "DELETE"] {
            let answer = gateway.request(method, path, &[], COUNTER.as_bytes());
            assert_eq!((answer.status, &*answer.text()), (400, said), "{method} {path}");
        }
    }
    // As in the stock gateway, which does not redirect these.
    for path in ["/metrics/job", "/metrics/job@base64", "/metrics/job@base64/", "/status/", "/nowhere"] {
        assert_eq!(gateway.post(path, COUNTER).status, 404, "{path}");
    }
    for (method, path, said) in [
        ("PUT", "/-/quit/", "write /-/quit\n"),
        ("POST", "/-/QUIT", "write /-/quit\n"),
        ("PUT", "/api/v1/admin/wipe/", "write /api/v1/admin/wipe\n"),
    ] {
        let answer = gateway.request(method, path, &[], b"");
        assert!(answer.status == 400 && answer.text().ends_with(said), "{path}: {}", answer.text());
    }
    assert_eq!(gateway.pushed(), "");
    gateway.push("/metrics/job/a", COUNTER);
    assert_eq!(gateway.put("//api/v1/admin/wipe", "").status, 202);
    assert_eq!(gateway.pushed(), "");
    assert_eq!(gateway.put("//-/quit", "").status, 200);
    assert_eq!(gateway.wait().status.code(), Some(0));
}

#[test]
fn escapes_and_base64_are_values_whatever_they_stand_for() {
    let gateway = Gateway::start(&[]);
    for (path, series) in [
        ("//metrics/job/a/l/%2F", r#"c{instance="",job="a",l="/"}"#),
        ("/metrics/job/a/l/%2F%2F", r#"c{instance="",job="a",l="//"}"#),
        ("/metrics/job/a/l/%2E", r#"c{instance="",job="a",l="."}"#),
        ("/metrics/job/%2E%2E", r#"c{instance="",job=".."}"#),
        ("/metrics/job/a/l/.hidden", r#"c{instance="",job="a",l=".hidden"}"#),
        ("/metrics/job/a/l/...", r#"c{instance="",job="a",l="..."}"#),
        ("/metrics/job@base64/Li4/l@base64/Lw", r#"c{instance="",job="..",l="/"}"#),
    ] {
        gateway.push(path, COUNTER);
        assert_eq!(gateway.sample(series), Some(1.0), "{path}");
    }
}

#[test]
fn other_methods_on_paths_of_groups_stay_as_they_are() {
    let gateway = Gateway::start(&[]);
    let allowed = Some("DELETE, OPTIONS, POST, PUT");
    for (method, status) in [("GET", 405), ("HEAD", 405), ("PATCH", 405), ("BREW", 405), ("OPTIONS", 200)] {
        let answer = gateway.request(method, "/metrics/job/a", &[], b"");
        assert_eq!((answer.status, answer.header("allow")), (status, allowed), "{method}");
        let answer = gateway.request(method, "//metrics/job/a", &[], b"");
        assert_eq!((answer.status, answer.header("location")), (307, Some("/metrics/job/a")), "{method}");
    }
}

/// Requests of the gem `prometheus-client` for a gateway at `http://localhost:9091/`.
#[test]
fn the_ruby_client_loses_nothing() {
    let gateway = Gateway::start(&[]);
    let headers = [
        ("Accept-Encoding", "gzip;q=1.0,deflate;q=0.6,identity;q=0.3"),
        ("Accept", "*/*"),
        ("User-Agent", "Ruby"),
        ("Content-Type", "text/plain; version=0.0.4"),
        ("Host", "localhost:9091"),
    ];
    let body = "# TYPE c counter\n# HELP c Counted.\nc{kind=\"a\"} 1.0\n";
    for (method, path, status) in [
        ("POST", "//metrics/job/nightly", 200),
        ("POST", "//metrics/job/nightly/env@base64/=/team/red%20one", 200),
        ("POST", "//metrics/job@base64/YS9i/team/red", 200),
        ("PUT", "//metrics/job/nightly", 200),
        ("DELETE", "//metrics/job/nightly", 202),
    ] {
        let body = if method == "DELETE" { "" } else { body };
        assert_eq!(gateway.request(method, path, &headers, body.as_bytes()).status, status, "{path}");
    }
    let pushed = gateway.pushed();
    assert_eq!(pushed.lines().filter(|line| line.starts_with("c{")).count(), 2, "{pushed}");
}

/// Requests of the crate `prometheus` for a label without a value: it escapes nothing and joins with slashes.
#[test]
fn the_rust_client_loses_nothing() {
    let gateway = Gateway::start(&[]);
    let protobuf =
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let headers = [("content-type", protobuf), ("accept", "*/*")];
    // One family: the counter c with the value 2.
    let body = b"\x12\x0a\x01c\x18\x00\x22\x0b\x1a\x09\x09\0\0\0\0\0\0\0\x40";
    for _ in 0..2 {
        let answer = gateway.request("POST", "/metrics/job/nightly/env//team/red", &headers, body);
        assert_eq!((answer.status, &*answer.text()), (200, ""));
    }
    let scrape = gateway.scrape();
    let series: Vec<&str> = scrape.lines().filter(|line| line.starts_with("c{")).collect();
    assert!(
        series.len() == 1 && series[0].contains(r#"team="red""#) && series[0].ends_with(" 4"),
        "{series:?}"
    );
}

#[test]
fn raw_bytes_are_read_as_the_stock_gateway_reads_them() {
    let gateway = Gateway::start(&[]);
    for (path, series) in [
        ("/metrics/job/münchen", r#"c{instance="",job="münchen"}"#),
        ("//metrics/job/a/l/日本語/m/é", r#"c{instance="",job="a",l="日本語",m="é"}"#),
        ("/metrics/job/a#b", r#"c{instance="",job="a#b"}"#),
        ("/metrics/job/a/l/{\"}<|>^`", r#"c{instance="",job="a",l="{\"}<|>^`"}"#),
        ("/metrics/job/q?x=ü#", r#"c{instance="",job="q"}"#),
    ] {
        for method in ["POST", "PUT"] {
            assert_eq!(send(&gateway, method, path.as_bytes(), COUNTER).status, 200, "{path}");
        }
        assert_eq!(gateway.sample(series), Some(1.0), "{path}");
        assert_eq!(send(&gateway, "DELETE", path.as_bytes(), "").status, 202);
    }
    assert_eq!(gateway.pushed(), "");
    let answer = send(&gateway, "POST", b"/metrics/job/m\xfcnchen", COUNTER);
    let said = "the value of label job is not UTF-8: \"m\\xfcnchen\"\n";
    assert_eq!((answer.status, &*answer.text()), (400, said));
}

#[test]
fn raw_bytes_are_read_wherever_a_request_is_cut() {
    let gateway = Gateway::start(&[]);
    let request = encode_request("POST", "/metrics/job/münchen/l/#", &[], COUNTER.as_bytes());
    let mut connection = gateway.connect();
    for byte in &request {
        connection.send(&[*byte]).unwrap();
    }
    assert_eq!(connection.read_response("POST").unwrap().status, 200);
    // On one connection, with bodies that look like heads.
    let body = "# HELP d POST /ü# HTTP/1.1\n# TYPE d counter\nd{l=\"GET /ü#\"} 1\n\n";
    for _ in 0..3 {
        let request = encode_request("POST", "/metrics/job/köln", &[], body.as_bytes());
        let (start, end) = request.split_at(request.len() - 20);
        connection.send(start).unwrap();
        connection.send(end).unwrap();
        assert_eq!(connection.read_response("POST").unwrap().status, 200);
    }
    assert_eq!(gateway.sample(r##"c{instance="",job="münchen",l="#"}"##), Some(1.0));
    assert_eq!(gateway.sample(r##"d{instance="",job="köln",l="GET /ü#"}"##), Some(3.0));
    let scrape = gateway.scrape();
    assert!(scrape.contains("# HELP d POST /ü# HTTP/1.1\n"), "{scrape}");
}

#[test]
fn a_path_that_grows_by_its_escapes_arrives_whole() {
    let gateway = Gateway::start(&[]);
    // Escaped, it is longer than the initial buffer of the HTTP library.
    let value = "ü".repeat(6_000);
    let path = format!("/metrics/job/a/l/{value}");
    let mut connection = gateway.connect();
    for _ in 0..2 {
        connection.send(&encode_request("POST", &path, &[], COUNTER.as_bytes())).unwrap();
        assert_eq!(connection.read_response("POST").unwrap().status, 200);
    }
    assert_eq!(gateway.sample(&format!(r#"c{{instance="",job="a",l="{value}"}}"#)), Some(2.0));
}
