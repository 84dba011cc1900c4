//! Attacks from a hostile network. After each one the gateway answers a push and a scrape, and its memory never
//! exceeded the bound in the manual.

pub(crate) mod attack;
mod echoes;
mod memory;

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{self, PATIENCE, encode_request, sample};
use attack::{Attack, chosen_in, push_what_stalls, raise_descriptors};

#[test]
fn heads_that_come_slowly_are_cut_off() {
    let attack = Attack::start("head_timeout = \"2s\"");
    // The first request of a connection, a connection without a request, and a second request.
    let mut first = attack.gateway.connect();
    first.send(b"POST /metrics/job/slow HTTP/1.1\r\nX-a: b\r\n").unwrap();
    let mut silent = attack.gateway.connect();
    let mut later = attack.gateway.connect();
    later.send(&encode_request("GET", "/-/healthy", &[], b"")).unwrap();
    assert_eq!(later.read_response("GET").unwrap().status, 200);
    later.send(b"GET /metr").unwrap();
    for connection in [&mut first, &mut silent, &mut later] {
        assert_eq!(connection.read_response("GET").unwrap().status, 408);
        assert!(connection.read_to_end().unwrap().is_empty());
    }
    assert_eq!(attack.hits("head_timeout"), 3.0);
    attack.is_over();
}

#[test]
fn a_connection_that_was_answered_may_be_idle() {
    let attack = Attack::start("head_timeout = \"1s\"\nsend_timeout = \"1s\"\nidle_timeout = \"10m\"");
    let mut idle = attack.gateway.connect();
    idle.send(&encode_request("GET", "/-/healthy", &[], b"")).unwrap();
    assert_eq!(idle.read_response("GET").unwrap().status, 200);
    // Another one has run out of time since.
    let mut slow = attack.gateway.connect();
    assert_eq!(slow.read_response("GET").unwrap().status, 408);
    idle.send(&encode_request("GET", "/-/healthy", &[], b"")).unwrap();
    assert_eq!(idle.read_response("GET").unwrap().status, 200);
    attack.is_over();
}

#[test]
fn idle_connections_are_closed_but_not_too_early() {
    let attack = Attack::start("idle_timeout = \"300ms\"");
    let mut idle = attack.gateway.connect();
    let sent = Instant::now();
    idle.send(&encode_request("GET", "/-/healthy", &[], b"")).unwrap();
    assert_eq!(idle.read_response("GET").unwrap().status, 200);
    assert!(idle.read_to_end().unwrap().is_empty());
    assert!(sent.elapsed() >= Duration::from_millis(300), "{:?}", sent.elapsed());
    attack.is_over();
}

#[test]
fn bodies_that_come_slowly_are_cut_off() {
    let attack = Attack::start("body_timeout = \"1s\"");
    for framing in [("Content-Length", "100000"), ("Transfer-Encoding", "chunked")] {
        let mut connection = attack.gateway.connect();
        connection.send(&encode_request("POST", "/metrics/job/slow", &[framing], b"")).unwrap();
        connection.send(b"5\r\nslow ").unwrap();
        let answer = connection.read_response("POST").unwrap();
        assert_eq!(answer.status, 408, "{}", answer.text());
        assert!(answer.text().contains("limits.body_timeout"), "{}", answer.text());
        assert!(connection.read_to_end().unwrap().is_empty());
    }
    assert_eq!(attack.hits("body_timeout"), 2.0);
    assert!(!attack.gateway.scrape().contains("job=\"slow\""));
    attack.is_over();
}

#[test]
fn a_refused_body_may_not_go_on_for_ever() {
    let attack = Attack::start("idle_timeout = \"300ms\"");
    let chunked = [("Transfer-Encoding", "chunked")];
    let mut connection = attack.gateway.connect();
    connection.send(&encode_request("POST", "/nope", &chunked, b"5\r\nslow ")).unwrap();
    assert_eq!(connection.read_response("POST").unwrap().status, 404);
    assert!(connection.read_to_end().unwrap().is_empty());
    attack.is_over();
}

#[test]
fn many_slow_clients_leave_the_others_alone() {
    let attack = Attack::start("head_timeout = \"10m\"\nbody_timeout = \"10m\"");
    let mut slow = Vec::new();
    for number in 0..80 {
        let mut connection = attack.gateway.connect();
        let head: &[u8] = match number % 2 {
            0 => b"POST /metrics/job/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nslow ",
            _ => b"POST /metrics/job/slow HTTP/1.1\r\nHost: a\r\nX: ",
        };
        connection.send(head).unwrap();
        slow.push(connection);
    }
    attack.is_over();
}

#[test]
fn ten_thousand_idle_connections() {
    const IDLE: usize = 10_000;
    if !raise_descriptors(IDLE + 500) {
        return;
    }
    let attack = Attack::start("connections = 10000\nhead_timeout = \"10m\"\nidle_timeout = \"10m\"");
    let address = attack.gateway.addresses()[0];
    let idle: Vec<TcpStream> = (0..IDLE - 10).map(|_| TcpStream::connect(address).unwrap()).collect();
    attack.gateway.push("/metrics/job/among_them", "m 1\n");
    let open = || sample(&attack.gateway.scrape(), "tallygate_connections").unwrap();
    let started = Instant::now();
    while open() <= (IDLE - 10) as f64 {
        assert!(started.elapsed() < PATIENCE, "{} connections are open", open());
    }
    attack.is_within_bound();
    drop(idle);
    attack.is_over();
}

#[test]
fn one_connection_too_many_is_told_so() {
    let attack = Attack::start("connections = 20\nhead_timeout = \"10m\"");
    let mut held: Vec<_> = (0..20).map(|_| attack.gateway.connect()).collect();
    // A connection that is answered was accepted.
    for connection in &mut held {
        connection.send(&encode_request("GET", "/-/healthy", &[], b"")).unwrap();
        assert_eq!(connection.read_response("GET").unwrap().status, 200);
    }
    for _ in 0..50 {
        let answer = attack.gateway.get("/metrics");
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{}", answer.text());
        assert!(answer.text().contains("(limits.connections)"));
    }
    // An accepted connection keeps working.
    last_answer(held.last_mut().unwrap());
    drop(held);
    attack.until_served();
    assert!(attack.hits("connections") >= 50.0);
    attack.is_over();
}

fn last_answer(connection: &mut support::Connection) {
    connection.send(&encode_request("GET", "/-/healthy", &[], b"")).unwrap();
    assert_eq!(connection.read_response("GET").unwrap().status, 200);
}

#[test]
fn bombs_stop_at_the_limit() {
    let attack = Attack::start("");
    let zeros = vec![b'\n'; 24 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&zeros).unwrap();
    let mut snappy = snap::write::FrameEncoder::new(Vec::new());
    snappy.write_all(&zeros).unwrap();
    let bombs = [
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::encode_all(zeros.as_slice(), 3).unwrap()),
        ("snappy", snappy.into_inner().unwrap()),
    ];
    for (name, bomb) in &bombs {
        for _ in 0..5 {
            let answer =
                attack.gateway.request("POST", "/metrics/job/bomb", &[("Content-Encoding", name)], bomb);
            assert_eq!(answer.status, 413, "{name}: {}", answer.text());
            assert!(answer.text().contains("web.max_body_bytes"));
        }
    }
    assert_eq!(attack.hits("max_body_bytes"), 15.0);
    attack.is_over();
}

#[test]
fn lengths_that_nobody_means() {
    let attack = Attack::start("");
    let mut connection = attack.gateway.connect();
    let headers = [("Content-Length", "4294967296")];
    connection.send(&encode_request("POST", "/metrics/job/long", &headers, b"m 1\n")).unwrap();
    assert_eq!(connection.read_response("POST").unwrap().status, 413);
    let protobuf =
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    // A message of 4 GiB, and one of 2^64 - 1 bytes.
    for prefix in [&b"\x80\x80\x80\x80\x10"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"] {
        let answer =
            attack.gateway.request("POST", "/metrics/job/long", &[("Content-Type", protobuf)], prefix);
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    let mut connection = attack.gateway.connect();
    let chunked = [("Transfer-Encoding", "chunked")];
    connection.send(&encode_request("POST", "/metrics/job/long", &chunked, b"ffffffff\r\nm 1\n")).unwrap();
    connection.finish_sending().unwrap();
    let answer = String::from_utf8(connection.read_to_end().unwrap_or_default()).unwrap();
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    attack.is_over();
}

#[test]
fn a_million_labels() {
    let attack = Attack::start("");
    let mut body = "m{".to_owned();
    for number in 0..100_000 {
        body += &format!("l{number}=\"\",");
    }
    body += "} 1\n";
    let answer = attack.gateway.post("/metrics/job/labels", &body);
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.text().contains("(limits.label_pairs_per_push) (line 1, column "), "{}", answer.text());
    let body: String = (0..100_000).map(|number| format!("m{{l=\"{number}\"}} 1\n")).collect();
    let answer = attack.gateway.post("/metrics/job/labels", &body);
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.text().contains("more than 10240 samples in one push (limits.samples_per_push)"));
    // Long grouping labels on each of many series.
    let path = format!("/metrics/job/labels/long/{}", "x".repeat(60_000));
    let body: String = (0..9_000).map(|number| format!("m{{l=\"{number}\"}} 1\n")).collect();
    let answer = attack.gateway.post(&path, &body);
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("push less at a time"), "{}", answer.text());
    attack.is_over();
}

#[test]
fn series_and_groups_without_end() {
    let attack = Attack::start("series = 30000\ngroups = 500");
    let mut refused = [0, 0];
    for push in 0..40 {
        let body: String = (0..1000).map(|series| format!("m{{l=\"{push}_{series}\"}} 1\n")).collect();
        refused[0] += usize::from(attack.gateway.post("/metrics/job/deep", &body).status == 429);
    }
    for group in 0..600 {
        refused[1] +=
            usize::from(attack.gateway.post(&format!("/metrics/job/wide/g/{group}"), "").status == 429);
    }
    assert_eq!(refused, [10, 101]);
    attack.gateway.push("/metrics/job/deep", "# TYPE m gauge\nm{l=\"0_0\"} 5\n");
    assert_eq!(attack.gateway.delete("/metrics/job/deep").status, 202);
    attack.is_over();
}

/// The path of the series list of a family in the only group.
fn listing(attack: &Attack, query: &str) -> String {
    let groups: serde_json::Value =
        serde_json::from_slice(&attack.gateway.get("/api/v1/groups").body).unwrap();
    let id = groups["data"]["groups"][0]["id"].as_str().unwrap();
    format!("/api/v1/groups/{id}/series?family=f&{query}")
}

#[test]
fn lists_of_series_with_many_labels() {
    let attack = Attack::start("grouping_labels = 0");
    let path: String = (0..4000).map(|label| format!("/l{label}/x")).collect();
    let series: String = (0..200).map(|series| format!("f{{s=\"{series}\"}} 1\n")).collect();
    attack.gateway.push(&format!("/metrics/job/a{path}"), &series);
    // A scrape writes as many labels. The list looks at them, whatever is looked for.
    let begun = attack.processor_time();
    (0..3).for_each(|_| drop(attack.gateway.scrape()));
    let scrapes = attack.processor_time() - begun;
    for (query, matching) in [("limit=1000", 200), ("q=l1&limit=1", 0), ("q=s%3D19&limit=1", 11)] {
        let begun = attack.processor_time();
        let answer = attack.gateway.get(&listing(&attack, query));
        let took = attack.processor_time() - begun;
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["data"]["matching"], matching);
        // It takes about as long as one scrape. Comparing each series with each other took at least 25 times as
        // long.
        assert!(took < 4 * scrapes, "{query}: {took} ms, and three scrapes {scrapes} ms");
    }
    attack.is_over();
}

#[test]
fn lists_that_nobody_waits_for() {
    const ASKED: usize = 200;
    // So that the gateway checks its connections all the time.
    let attack = Attack::start("head_timeout = \"2s\"\nconnections = 300\nscrapes_in_flight = 20");
    let value = "abc\\\\".repeat(20);
    for part in 0..4 {
        let line = |series: usize| format!("f{{s=\"{part}_{series}{value}\"}} 1\n");
        attack.gateway.push("/metrics/job/a", &(0..5_000).map(line).collect::<String>());
    }
    // Words that are searched in every label and occur in none.
    let path = listing(&attack, &format!("q={}", "bca+".repeat(30)));
    let requests = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let ask = || {
        for _ in 0..ASKED {
            // A second request follows, which is not read while the first is being answered.
            let _ = attack.gateway.connect().send(requests.repeat(2).as_bytes());
        }
    };
    ask();
    // Scrapes are answered meanwhile, because waiting list requests take no share from them.
    attack.gateway.scrape();
    let count = |code: u16| {
        let series = format!(
            "pushgateway_http_requests_total{{code=\"{code}\",handler=\"api/v1/groups/id/series\",method=\"get\"}}"
        );
        attack.gateway.sample(&series).unwrap_or_default()
    };
    attack.until(|| count(499) + count(200) >= ASKED as f64);
    // A fast machine may have answered all of them before it noticed that the clients were gone.
    attack.until(|| {
        let is_noticed = count(499) > 0.0;
        if !is_noticed {
            ask();
        }
        is_noticed
    });
    attack.is_over();
}

#[test]
fn floods_of_headers() {
    let attack = Attack::start("");
    let many: String = (0..1000).map(|number| format!("X-{number}: a\r\n")).collect();
    let long = format!("X: {}\r\n", "a".repeat(1 << 20));
    for headers in [many, long] {
        let mut connection = attack.gateway.connect();
        // The gateway may close before it has read all.
        let _ = connection.send(format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes());
        if let Ok(answer) = connection.read_response("GET") {
            assert!(matches!(answer.status, 400 | 431), "{}", answer.status);
        }
    }
    // Heads that nearly reach the size limit, on many connections at once.
    let almost = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(120_000));
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut connection = attack.gateway.connect();
        connection.send(almost.as_bytes()).unwrap();
        held.push(connection);
    }
    attack.is_over();
}

#[test]
fn tricks_with_paths() {
    let attack = Attack::start("");
    let slashes = format!("/metrics/job/a{}", "/".repeat(60_000));
    let dots = format!("/metrics/job/a{}", "/..".repeat(20_000));
    let pairs = format!("/metrics/job/a{}", "/l/v".repeat(15_001));
    let escapes = format!("/metrics/job/{}", "%2e%2e%2f".repeat(7000));
    let base64 = format!("/metrics/job@base64/{}", "_".repeat(60_000));
    for path in [
        &slashes,
        &dots,
        &pairs,
        &escapes,
        &base64,
        "/metrics/job/../../../../etc/passwd",
        "/metrics/job/%00",
        "/metrics/job/a/%ff/b",
        "/metrics/job/a/__name__/b",
        "/%2e%2e/metrics/job/a",
        "//metrics//job//a",
        "/metrics/job/a/l@base64/***",
        "*",
        "http://other/metrics/job/a",
    ] {
        if let Ok(answer) = attack.gateway.try_request("POST", path, &[], b"m 1\n") {
            assert!(answer.status < 500, "{path:.60}: {}", answer.status);
        }
    }
    support::assert_valid_exposition(&attack.gateway.scrape());
    attack.is_over();
}

#[test]
fn requests_piled_up_by_a_client_that_reads_nothing() {
    let attack = Attack::start("send_timeout = \"500ms\"");
    for request in
        [&b"OPTIONS /metrics HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"]
    {
        let mut connection = attack.gateway.connect();
        let many = request.repeat(20_000);
        // Until the gateway stops reading.
        let mut sent = 0;
        while sent < 256 << 20 && connection.send(&many).is_ok() {
            sent += many.len();
        }
        assert!(sent < 256 << 20, "the gateway took {sent} bytes of requests without an answer being read");
    }
    attack.until_hits("send_timeout", 2.0);
    attack.is_over();
}

#[test]
fn requests_piled_up_behind_one_that_waits() {
    const CONNECTIONS: usize = 80;
    let folder = support::Directory::new();
    // Each first request waits for the check of a wrong password.
    let hash = "$2y$11$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
    let users = folder.write("web.yml", format!("basic_auth_users:\n  alice: {hash}\n"));
    let attack = Attack::start_with("", &[&format!("--web.config.file={users}")]);
    let before = attack.peak();
    let filler = "x".repeat(30_000);
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\na: {filler}\r\nb: {filler}\r\nc: {filler}\r\n\r\n");
    let mut streams: Vec<(TcpStream, Vec<u8>)> = (0..CONNECTIONS)
        .map(|number| {
            let stream = TcpStream::connect(attack.gateway.addresses()[0]).unwrap();
            stream.set_nonblocking(true).unwrap();
            let login = STANDARD.encode(format!("nobody{number}:guess"));
            let first = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {login}\r\n\r\n");
            (stream, (first + &large.repeat(20)).into_bytes())
        })
        .collect();
    // As much as the gateway takes, until the first ones are answered.
    while streams[2].0.peek(&mut [0]).is_err() {
        for (stream, unsent) in &mut streams {
            let sent = stream.write(unsent).unwrap_or(0);
            unsent.drain(..sent);
        }
    }
    let taken = attack.peak() - before;
    assert!(taken < CONNECTIONS as u64 * (400 << 10), "{} MiB", taken >> 20);
}

#[test]
fn requests_that_are_cancelled() {
    let attack = Attack::start("");
    let body: String = (0..5000).map(|series| format!("m{{l=\"{series}\"}} 1\n")).collect();
    attack.gateway.push("/metrics/job/large", &body);
    for number in 0..600 {
        let mut connection = attack.gateway.connect();
        let request = match number % 3 {
            0 => encode_request("GET", "/metrics", &[], b""),
            1 => encode_request("GET", "/api/v1/metrics", &[], b""),
            _ => encode_request("POST", "/metrics/job/cut", &[("Content-Length", "900000")], b"m "),
        };
        // A connection beyond the limit is closed at once.
        let _ = connection.send(&request);
    }
    assert!(!attack.scrape_once_served().contains("job=\"cut\""));
    attack.is_over();
}

#[test]
fn http_1_0_and_what_is_none() {
    let attack = Attack::start("");
    for (bytes, status) in [
        (&b"POST /metrics/job/old HTTP/1.0\r\nContent-Length: 4\r\n\r\nm 1\n"[..], "HTTP/1.0 200"),
        (b"GET /metrics HTTP/1.0\r\n\r\n", "HTTP/1.0 200"),
        (b"GET /metrics HTTP/9.9\r\nHost: a\r\n\r\n", "HTTP/1.1 400"),
        (b"GET /metrics\r\n\r\n", "HTTP/1.1 400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400"),
        (
            b"POST /metrics/job/two HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nm 1\n\n",
            "HTTP/1.1 400",
        ),
        (
            b"POST /metrics/job/two HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 400",
        ),
    ] {
        let mut connection = attack.gateway.connect();
        connection.send(bytes).unwrap();
        connection.finish_sending().unwrap();
        let answer = connection.read_to_end().unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(status), "{:?}: {answer:.60}", String::from_utf8_lossy(bytes));
    }
    attack.is_over();
}

#[test]
fn clients_that_never_read_a_large_scrape() {
    let attack = Attack::start("scrapes_in_flight = 4\nsend_timeout = \"5s\"");
    // More than the socket buffers hold.
    push_what_stalls(&attack.gateway, "/metrics/job/large");
    let mut stalled: Vec<_> = (0..4)
        .map(|_| {
            let mut connection = attack.gateway.connect();
            connection.send(&encode_request("GET", "/metrics", &[], b"")).unwrap();
            // It has begun.
            assert_eq!(connection.read_interim().unwrap().status, 200);
            connection
        })
        .collect();
    let answer = attack.gateway.get("/metrics");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{}", answer.text());
    assert!(answer.text().contains("(limits.scrapes_in_flight)"));
    for path in ["/api/v1/metrics", "/api/v1/groups", "/api/v1/groups/e30", "/api/v1/groups/e30/series"] {
        assert_eq!(attack.gateway.get(path).status, 503, "{path}");
    }
    // Pushes go on, and so do other scrapes once the stalled ones have timed out.
    attack.gateway.push("/metrics/job/meanwhile", "m 1\n");
    attack.until_served();
    attack.until_hits("send_timeout", 4.0);
    // A partial scrape must not look complete.
    if let Ok(rest) = stalled[0].read_to_end() {
        assert!(!rest.ends_with(b"0\r\n\r\n"), "a part of a scrape ends like a whole one");
    }
    attack.is_over();
}

#[test]
fn many_buckets_with_long_labels() {
    // The store is small, but with all labels on every line the scrape has gigabytes.
    let attack = Attack::start("send_timeout = \"10m\"");
    let path = format!("/metrics/job/wide/long/{}", "x".repeat(60_000));
    let bucket = |at: usize| format!("h_bucket{{le=\"{at}\"}} {at}\n");
    let buckets: String = (0..9_000).map(bucket).collect();
    let body = format!("# TYPE h histogram\n{buckets}h_bucket{{le=\"+Inf\"}} 9000\nh_sum 1\nh_count 9000\n");
    attack.gateway.push(&path, &body);
    for encoding in ["identity", "gzip"] {
        let stalled = ["text/plain", "application/openmetrics-text"].map(|accept| {
            let mut connection = attack.gateway.connect();
            let headers = [("Accept", accept), ("Accept-Encoding", encoding)];
            connection.send(&encode_request("GET", "/metrics", &headers, b"")).unwrap();
            assert_eq!(connection.read_interim().unwrap().status, 200);
            connection
        });
        let api = attack.gateway.get("/api/v1/metrics").text();
        assert!(api.contains("\"8999\":\"8999\""));
        attack.is_within_bound();
        drop(stalled);
        attack.until_served();
    }
    assert_eq!(attack.gateway.delete(&path).status, 202);
    attack.is_over();
}

#[test]
fn requests_that_keep_the_gateway_busy() {
    let attack = Attack::start("requests_in_flight = 3\nbody_timeout = \"10m\"");
    let stall = || {
        let mut connection = attack.gateway.connect();
        let headers = [("Content-Length", "100")];
        connection.send(&encode_request("POST", "/metrics/job/stalled", &headers, b"m ")).unwrap();
        connection
    };
    // This request may itself exceed the limit.
    let held = std::cell::RefCell::new(vec![stall(), stall(), stall()]);
    attack.until(|| {
        let is_busy = attack.gateway.get("/metrics").status == 503;
        held.borrow_mut().extend((!is_busy).then(&stall));
        is_busy
    });
    let answer = attack.gateway.post("/metrics/job/other", "m 1\n");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{}", answer.text());
    assert!(answer.text().contains("(limits.requests_in_flight)"));
    assert_eq!(attack.gateway.get("/-/healthy").status, 200);
    assert_eq!(attack.gateway.get("/-/ready").status, 200);
    drop(held);
    attack.until_served();
    assert!(attack.hits("requests_in_flight") >= 2.0);
    attack.is_over();
}

/// A body of this size takes all the memory that a body may, in whatever parts it arrives.
const NEARLY_A_BODY: usize = (2 << 20) - 1024;

/// A push with nearly the largest body, of which the rest is missing, and whether all of that could be sent.
fn large_body_without_end(attack: &Attack) -> (support::Connection, std::io::Result<()>) {
    let body = vec![b'\n'; NEARLY_A_BODY];
    let mut connection = attack.gateway.connect();
    let chunked = [("Transfer-Encoding", "chunked")];
    connection.send(&encode_request("POST", "/metrics/job/held", &chunked, b"")).unwrap();
    let sent = connection.send(&[format!("{:x}\r\n", body.len()).as_bytes(), &body].concat());
    (connection, sent)
}

#[test]
fn large_bodies_that_fill_the_memory_for_them() {
    let attack = Attack::start("body_timeout = \"10m\"");
    // The gateway stops reading a refused body.
    let held: Vec<_> = (0..12).map(|_| large_body_without_end(&attack).0).collect();
    let comments = "# comment\n".repeat(1 << 17);
    let push = || attack.gateway.post("/metrics/job/large", &comments);
    attack.until(|| push().status != 200);
    let answer = push();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{}", answer.text());
    assert!(answer.text().contains("(limits.body_bytes_in_flight)"));
    // Small pushes need none of it.
    attack.gateway.push("/metrics/job/small", "m 1\n");
    drop(held);
    attack.until_served();
    attack.is_over();
}

#[test]
fn families_without_end_take_their_share() {
    let attack = Attack::start("body_timeout = \"10m\"");
    let held: Vec<_> = (0..7)
        .map(|_| {
            let (connection, sent) = large_body_without_end(&attack);
            sent.unwrap();
            connection
        })
        .collect();
    // Each has a buffer for the largest body.
    let taken = 7.0 * NEARLY_A_BODY as f64;
    attack.until(|| attack.gateway.sample("tallygate_body_bytes_in_flight") >= Some(taken));
    // 2 MiB are left. What these take is not in their length.
    let long = "x".repeat(100);
    let families: String = (0..9_900).map(|number| format!("m{number}_{long} 1\n")).collect();
    let answer = attack.gateway.post("/metrics/job/families", &families);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{}", answer.text());
    assert!(answer.text().contains("(limits.body_bytes_in_flight)"));
    let series: String = (0..5_000).map(|number| format!("m{{l=\"{number}\"}} 1\n")).collect();
    attack.gateway.push("/metrics/job/series", &series);
    drop(held);
    attack.until(|| attack.gateway.post("/metrics/job/families", &families).status == 200);
    // Many at a time, for most of which the store has no room.
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (attack, families) = (&attack, &families);
            scope.spawn(move || {
                for group in 0..2 {
                    let path = format!("/metrics/job/families/l/{thread}_{group}");
                    let answer = attack.gateway.post(&path, families);
                    assert!(matches!(answer.status, 200 | 429 | 503), "{}", answer.text());
                }
            });
        }
    });
    assert!(attack.gateway.sample("tallygate_store_bytes").unwrap() <= f64::from(20 << 20));
    attack.is_over();
}

#[test]
fn names_without_end() {
    let mut attack = Attack::start_with("", &["--persistence.file=FOLDER/state"]);
    let names = |first: usize, count: usize| {
        (first..first + count).map(|name| format!("m{name} 1\n")).collect::<String>()
    };
    // Of one group, of many, and many small pushes.
    let mut next = 0;
    let mut is_full = |path: &str, count: usize| {
        let status = attack.gateway.post(path, &names(next, count)).status;
        next += count;
        assert!(matches!(status, 200 | 429), "{status}");
        status == 429
    };
    while (0..10).all(|group| !is_full(&format!("/metrics/job/names/group/{group}"), 100)) {}
    while !is_full("/metrics/job/names", 1) {}
    assert!(next > 10_000, "{next} names");
    let look_around = |attack: &Attack| {
        std::thread::scope(|scope| {
            for accept in ["text/plain", "application/openmetrics-text", support::protobuf::CONTENT_TYPE] {
                scope.spawn(move || {
                    for path in ["/metrics", "/api/v1/metrics", "/api/v1/groups"] {
                        let answer = attack.gateway.request("GET", path, &[("Accept", accept)], b"");
                        assert!(matches!(answer.status, 200 | 503), "{path}: {}", answer.status);
                    }
                });
            }
        });
        attack.is_within_bound();
    };
    look_around(&attack);
    attack.restart();
    look_around(&attack);
    assert!(attack.gateway.scrape().contains("\nm0{"));
    let over = attack.gateway.post("/metrics/job/names", "one_too_many 1\n");
    assert_eq!(over.status, 429, "{}", over.text());
    assert_eq!(attack.gateway.delete("/metrics/job/names/group/0").status, 202);
    attack.is_over();
}

#[test]
fn native_buckets_without_end() {
    let attack = Attack::start("");
    let field = |number: u8, content: &[u8]| {
        let mut bytes = vec![number << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        [&bytes, content].concat()
    };
    // Differences of 0, spans without buckets, and floats.
    for values in
        [field(13, &vec![0; 1_900_000]), field(12, &[]).repeat(900_000), field(14, &vec![0; 1_900_000])]
    {
        let family = [field(1, b"h"), vec![0x18, 4], field(4, &field(7, &values))].concat();
        let body = field(0, &family)[1..].to_vec();
        for encoding in ["identity", "gzip"] {
            let body = match encoding {
                "gzip" => {
                    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                    gzip.write_all(&body).unwrap();
                    gzip.finish().unwrap()
                }
                _ => body.clone(),
            };
            let headers = [("Content-Type", support::protobuf::CONTENT_TYPE), ("Content-Encoding", encoding)];
            let answer = attack.gateway.request("POST", "/metrics/job/native", &headers, &body);
            assert_eq!(answer.status, 413, "{}", answer.text());
            assert!(answer.text().contains("limits.samples_per_push"), "{}", answer.text());
        }
    }
    attack.is_over();
}

#[test]
fn labels_that_outgrow_a_block_of_series() {
    let attack = Attack::start("web.max_body_bytes = 33554432\nbody_bytes_in_flight = 67108864");
    let values: String = (0..280).map(|label| format!("l{label}=\"{}\",", "x".repeat(60_000))).collect();
    for series in 0..3 {
        let answer =
            attack.gateway.post("/metrics/job/block", &format!("m{{{values}series=\"{series}\"}} 1\n"));
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("but 16777216 are the most"), "{}", answer.text());
    }
    attack.is_over();
}

#[test]
fn many_new_series_beside_groups_of_all_shapes() {
    const SHAPES: usize = 2000;
    // With empty labels that count as absent, and in a gateway that keeps them.
    for (flags, label) in [(&[][..], ""), (&["--no-push.aggregate"], ",z=\"\"")] {
        let attack = Attack::start_with("", flags);
        let body = |label: &str| -> String {
            (0..5_000).map(|series| format!("f{{k=\"{series}\"{label}}} 1\n")).collect()
        };
        let time_of = |path: &str| {
            let before = attack.processor_time();
            for body in [body(""), body(label)] {
                assert_eq!(attack.gateway.put(path, &body).status, 200);
            }
            attack.processor_time() - before
        };
        let alone = time_of("/metrics/job/alone");
        for shape in 0..SHAPES {
            attack.gateway.push(&format!("/metrics/job/s/l{shape}/x"), "f 1\n");
        }
        // A search of every shape for every series would take a thousand times as long.
        let among_others = time_of("/metrics/job/other");
        assert!(among_others < 50 * alone.max(10), "{among_others} ms, {alone} ms without others");
        attack.is_within_bound();
    }
}

#[test]
fn bodies_in_chunks_of_one_byte() {
    let attack = Attack::start("body_timeout = \"10m\"");
    let chunks = b"1\r\n\n\r\n".repeat(100_000);
    let send = |count: usize| -> Vec<_> {
        let sent = (0..count).map(|_| {
            let mut connection = attack.gateway.connect();
            let chunked = [("Transfer-Encoding", "chunked")];
            connection.send(&encode_request("POST", "/metrics/job/chunks", &chunked, b"")).unwrap();
            connection.send(&chunks).unwrap();
            connection
        });
        sent.collect()
    };
    let first = send(5);
    let before = attack.peak();
    let second = send(60);
    attack.gateway.push("/metrics/job/among_them", "m 1\n");
    // It was 1.5 MiB when each byte was stored separately.
    let taken = (attack.peak() - before) / 60;
    assert!(taken < 600 << 10, "{} KiB for a connection", taken >> 10);
    for mut connection in first.into_iter().chain(second) {
        connection.send(b"0\r\n\r\n").unwrap();
        assert_eq!(connection.read_response("POST").unwrap().status, 200);
    }
    attack.is_over();
}

#[test]
fn bucket_bounds_without_end() {
    let attack = Attack::start("");
    let push = |bounds: &mut dyn Iterator<Item = f64>| {
        let mut body = "# TYPE h histogram\n".to_owned();
        let buckets: Vec<f64> = bounds.collect();
        for (at, bound) in buckets.iter().enumerate() {
            body += &format!("h_bucket{{le=\"{bound}\"}} {at}\n");
        }
        let count = buckets.len();
        body += &format!("h_bucket{{le=\"+Inf\"}} {count}\nh_sum 1\nh_count {count}\n");
        attack.gateway.push("/metrics/job/bounds", &body);
    };
    for made_up in 0..300 {
        push(&mut (0..2000).map(|at| f64::from(at) + f64::from(made_up) / 512.0));
    }
    attack.is_within_bound();
    let shown = attack.gateway.scrape().matches("\nh_bucket{").count();
    assert!((2000..=16_385).contains(&shown), "{shown}");
    // Small pushes do not become slower by it.
    let time_of_small = |from: i32| {
        let before = attack.processor_time();
        (0..200).for_each(|at| push(&mut std::iter::once(f64::from(from - at))));
        attack.processor_time() - before
    };
    let spent = time_of_small(-1);
    assert!(spent < 20_000, "{spent} ms for 200 small pushes");
    assert_eq!(attack.gateway.sample("h_count{instance=\"\",job=\"bounds\"}"), Some(300.0 * 2000.0 + 200.0));
    attack.is_over();
}

/// Checks that the answer is one of those for an exceeded limit.
#[track_caller]
fn assert_refused_or_taken(answer: &support::Response) {
    let status = answer.status;
    assert!(matches!(status, 200 | 202 | 400 | 408 | 413 | 429 | 431 | 503), "{status}: {}", answer.text());
}

#[test]
fn less_than_64_mib_are_enough_to_refuse() {
    let mut attack = Attack::start_within(48, "", &["--persistence.file=FOLDER/state"]);
    let post = |attack: &Attack, path: &str, body: &str| {
        assert_refused_or_taken(&attack.gateway.post(path, body));
    };
    // Bombs, and large bodies of all shapes, several at a time.
    let zeros = zstd::encode_all(vec![b'\n'; 24 << 20].as_slice(), 3).unwrap();
    let names: String = (0..50_000).map(|name| format!("m{name} 1\n")).collect();
    let series: String = (0..30_000).map(|series| format!("s{{l=\"{series}\"}} 1\n")).collect();
    let labels: String = (0..20_000).map(|label| format!("l{label}=\"\",")).collect();
    let long = format!("m{{l=\"{}\"}} 1\n", "x".repeat(400_000));
    let bodies = [names.clone(), series, format!("m{{{labels}}} 1\n"), long];
    let attack_with_bodies = |attack: &Attack| {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (zeros, bodies) = (&zeros, &bodies);
                scope.spawn(move || {
                    for (number, body) in bodies.iter().enumerate() {
                        // This beginning is within the limits of a body.
                        let fitting =
                            &body[..body[..body.len().min(400_000)].rfind('\n').map_or(0, |at| at + 1)];
                        post(attack, &format!("/metrics/job/j{number}/thread/{thread}"), body);
                        post(attack, &format!("/metrics/job/f{number}/thread/{thread}"), fitting);
                        let zstd = [("Content-Encoding", "zstd")];
                        assert_refused_or_taken(&attack.gateway.request(
                            "POST",
                            "/metrics/job/z",
                            &zstd,
                            zeros,
                        ));
                        let packed = zstd::encode_all(fitting.as_bytes(), 3).unwrap();
                        assert_refused_or_taken(&attack.gateway.request(
                            "POST",
                            "/metrics/job/z",
                            &zstd,
                            &packed,
                        ));
                    }
                });
            }
        });
    };
    attack_with_bodies(&attack);
    // Until the store is full, by names of their own and by series with long labels.
    let mut next = 0;
    let mut pushes = |attack: &Attack, line: &dyn Fn(usize) -> String| {
        for _ in 0..2000 {
            let body: String = (next..next + 100).map(line).collect();
            next += 100;
            let answer = attack.gateway.post(&format!("/metrics/job/full/group/{}", next % 700), &body);
            assert_refused_or_taken(&answer);
            if answer.status == 429 {
                return;
            }
        }
        panic!("the store is never full");
    };
    pushes(&attack, &|name| format!("full{name} 1\n"));
    assert_eq!(attack.gateway.delete("/metrics/job/full/group/0").status, 202);
    pushes(&attack, &|series| format!("wide{{l=\"{series}{}\"}} 1\n", "y".repeat(500)));
    // More keys than it can remember.
    for key in 0..12_000 {
        let key = format!("{key}-{}", "k".repeat(200));
        let headers = [("Idempotency-Key", key.as_str())];
        let answer =
            attack.gateway.request("POST", "/metrics/job/keys", &headers, b"# TYPE k counter\nk 1\n");
        assert_refused_or_taken(&answer);
    }
    let kept = attack.gateway.sample("tallygate_idempotency_keys").unwrap();
    // The oldest key is forgotten after the newest is on disk.
    assert!(kept <= (chosen_in(48, "push.idempotency_keys") + 1) as f64, "{kept} keys");
    let look_around = |attack: &Attack| {
        // Scrapes that nobody reads, silent connections, and heads that nearly reach the size limit.
        let almost = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(120_000));
        let held: Vec<_> = (0..40)
            .map(|number| {
                let mut connection = attack.gateway.connect();
                let request = match number % 3 {
                    0 => encode_request("GET", "/metrics", &[], b""),
                    1 => almost.clone().into_bytes(),
                    _ => b"POST /metrics/job/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\nslow "
                        .to_vec(),
                };
                // A connection beyond the limit is closed before that.
                let _ = connection.send(&request);
                connection
            })
            .collect();
        drop(held);
        for path in ["/metrics", "/api/v1/metrics", "/api/v1/groups", "/"] {
            assert_refused_or_taken(&attack.gateway.get(path));
        }
    };
    look_around(&attack);
    attack_with_bodies(&attack);
    attack.restart();
    look_around(&attack);
    attack.until_served();
    // What is too much goes away.
    for group in (0..7).map(|group| group * 100) {
        assert_eq!(attack.gateway.delete(&format!("/metrics/job/full/group/{group}")).status, 202);
    }
    attack.is_over();
}

#[test]
fn limits_follow_the_memory_and_what_is_set_stays() {
    let attack = Attack::start_within(64, "series = 5000", &[]);
    if attack.has_memory_group() {
        let log = attack.gateway.stderr();
        let line = log.lines().find(|line| line.contains("limits that are not set follow")).expect("a line");
        for part in [
            "memory=67108864",
            "allowed_by=/sys/fs/cgroup/",
            "limits.connections = 21",
            "store_bytes = 3801088",
        ] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!log.contains("level=warn"), "{log}");
    }
    let attack = Attack::start_within(64, "store_bytes = 1000000000\nweb.max_body_bytes = 1000000", &[]);
    if attack.has_memory_group() {
        let log = attack.gateway.stderr();
        assert!(log.contains("need more memory than the system allows"), "{log}");
        let line = log.lines().find(|line| line.contains("limits that are not set follow")).expect("a line");
        assert!(!line.contains("store_bytes") && !line.contains("max_body_bytes"), "{line}");
    }
    let answer = attack.gateway.post("/metrics/job/a", &"#\n".repeat(600_000));
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("larger than 1000000 bytes"), "{}", answer.text());
}

#[test]
fn limits_follow_those_of_the_process() {
    // Half of the free address space, and half of the data segment.
    for (limit, name) in [("ulimit -v 4000000", "RLIMIT_AS"), ("ulimit -d 1000000", "RLIMIT_DATA")] {
        let script = format!("{limit} && exec \"$@\"");
        let program = support::binary();
        let flags = ["-c", &script, "sh", program.to_str().unwrap(), "--web.listen-address=127.0.0.1:0"];
        let gateway = support::Gateway::start_program(std::path::Path::new("sh"), &flags, &[]);
        let log = gateway.stderr();
        assert!(log.contains(&format!("allowed_by={name} ")), "{log}");
        for _ in 0..3 {
            gateway.push("/metrics/job/a", "m 1\n");
            gateway.scrape();
        }
    }
}
