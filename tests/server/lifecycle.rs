//! Start and stop: flags, exit codes, listeners, configuration, and that a stop loses no request.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};

use crate::support::{self, Connection, Directory, Gateway, encode_request, run, run_with};

/// A push whose head has reached the gateway and whose body has not been sent.
fn push_in_flight(gateway: &Gateway, path: &str, length: usize) -> Connection {
    let mut connection = gateway.connect();
    let length = length.to_string();
    let headers = [("Expect", "100-continue"), ("Content-Length", length.as_str())];
    connection.send(&encode_request("POST", path, &headers, b"")).unwrap();
    // The gateway sends `100 Continue` once it reads the body, so the request is in flight.
    let interim = connection.read_interim().unwrap();
    assert_eq!(interim.status, 100);
    connection
}

// Stop.

#[test]
fn sigterm_and_sigint_exit_cleanly() {
    for signal in ["TERM", "INT"] {
        let gateway = Gateway::start(&[]);
        gateway.push("/metrics/job/a", "m 1\n");
        gateway.signal(signal);
        let finished = gateway.wait();
        assert_eq!(finished.status.code(), Some(0), "{signal}: {}", finished.stderr);
        assert!(
            finished.stderr.contains("received SIGINT/SIGTERM; exiting gracefully..."),
            "{signal}: {}",
            finished.stderr
        );
    }
}

#[test]
fn sigterm_answers_the_push_in_flight() {
    for signal in ["TERM", "INT"] {
        let gateway = Gateway::start(&[]);
        let body = b"# TYPE c counter\nc 1\n";
        let mut connection = push_in_flight(&gateway, "/metrics/job/a", body.len());
        connection.send(&body[..10]).unwrap();
        gateway.signal(signal);
        gateway.wait_for_log("exiting gracefully");
        connection.send(&body[10..]).unwrap();
        let response = connection.read_response("POST").unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(gateway.wait().status.code(), Some(0));
    }
}

#[test]
fn sigterm_does_not_wait_for_idle_connections() {
    let gateway = Gateway::start(&[]);
    let mut idle = gateway.connect();
    let mut used = gateway.connect();
    used.send(&encode_request("GET", "/-/ready", &[], b"")).unwrap();
    assert_eq!(used.read_response("GET").unwrap().status, 200);
    gateway.signal("TERM");
    assert_eq!(gateway.wait().status.code(), Some(0));
    assert!(used.read_to_end().unwrap_or_default().is_empty());
    assert!(idle.read_to_end().unwrap_or_default().is_empty());
}

/// The tests of logins show what SIGHUP does.
#[test]
fn only_sigterm_and_sigint_stop_it() {
    let gateway = Gateway::start(&[]);
    for signal in [
        "HUP", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "PIPE", "IO", "PWR", "XCPU", "XFSZ", "WINCH", "CONT",
    ] {
        gateway.signal(signal);
        gateway.push("/metrics/job/a", "m 1\n");
    }
    gateway.wait_for_log("received SIGHUP; there is no web configuration to read again");
    for signal in ["TERM", "INT"] {
        let gateway = Gateway::start(&[]);
        gateway.signal(signal);
        assert_eq!(gateway.wait().status.code(), Some(0), "{signal}");
    }
}

#[test]
fn sighup_does_not_stop_the_start_or_the_stop() {
    let folder = Directory::new();
    let file = format!("--persistence.file={}", folder.path_of("state"));
    let mut child = std::process::Command::new(support::binary())
        .args(["--web.listen-address=127.0.0.1:0", &file])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let hang_up = || rustix::process::kill_process(pid, rustix::process::Signal::HUP);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // From the first log line until it listens.
    while !lines.next().expect("it goes on").contains("TLS is disabled") {
        hang_up().unwrap();
    }
    let rest = std::thread::spawn(move || lines.count());
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    while child.try_wait().unwrap().is_none() {
        let _ = hang_up();
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    rest.join().unwrap();
}

#[test]
fn a_second_sigterm_stops_at_once() {
    let gateway = Gateway::start_with_config("[web]\nshutdown_timeout = \"1h\"\n", &[]);
    let mut connection = push_in_flight(&gateway, "/metrics/job/a", 100);
    gateway.signal("TERM");
    gateway.wait_for_log("exiting gracefully");
    gateway.signal("TERM");
    // If it waited for the push, this would take an hour.
    gateway.wait();
    assert!(connection.read_response("POST").is_err(), "a push that was never sent whole was answered");
}

#[test]
fn without_a_time_a_stop_waits_for_as_long_as_it_takes() {
    let gateway = Gateway::start_with_config("[web]\nshutdown_timeout = \"0s\"\n", &[]);
    let body = b"m 1\n";
    let mut connection = push_in_flight(&gateway, "/metrics/job/a", body.len());
    let _never_ends = push_in_flight(&gateway, "/metrics/job/b", body.len());
    gateway.signal("TERM");
    gateway.wait_for_log("exiting gracefully");
    connection.send(body).unwrap();
    assert_eq!(connection.read_response("POST").unwrap().status, 200);
    gateway.signal("TERM");
    gateway.wait();
}

#[test]
fn a_stop_waits_for_a_push_no_longer_than_configured() {
    let gateway = Gateway::start_with_config("[web]\nshutdown_timeout = \"10ms\"\n", &[]);
    let _connection = push_in_flight(&gateway, "/metrics/job/a", 100);
    gateway.signal("TERM");
    gateway.wait();
}

#[test]
fn quit_stops_where_the_lifecycle_api_is_enabled() {
    for method in ["PUT", "POST"] {
        let gateway = Gateway::start(&["--web.enable-lifecycle"]);
        let response = gateway.request(method, "/-/quit", &[], b"");
        assert_eq!(response.status, 200);
        assert_eq!(response.text(), "Requesting termination... Goodbye!");
        let finished = gateway.wait();
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
        assert!(
            finished.stderr.contains("received termination request via web service, exiting gracefully..."),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn quit_answers_the_push_in_flight() {
    let gateway = Gateway::start(&["--web.enable-lifecycle"]);
    let body = b"m 1\n";
    let mut connection = push_in_flight(&gateway, "/metrics/job/a", body.len());
    assert_eq!(gateway.put("/-/quit", "").status, 200);
    gateway.wait_for_log("exiting gracefully");
    connection.send(body).unwrap();
    assert_eq!(connection.read_response("POST").unwrap().status, 200);
    assert_eq!(gateway.wait().status.code(), Some(0));
}

#[test]
fn quit_does_nothing_where_the_lifecycle_api_is_disabled() {
    let gateway = Gateway::start(&[]);
    for method in ["PUT", "POST"] {
        let response = gateway.request(method, "/-/quit", &[], b"");
        assert_eq!(response.status, 403);
        assert_eq!(response.text(), "Lifecycle API is not enabled.");
    }
    assert_eq!(gateway.get("/-/ready").status, 200);
}

#[test]
fn quit_needs_put_or_post() {
    let gateway = Gateway::start(&["--web.enable-lifecycle"]);
    let response = gateway.get("/-/quit");
    assert_eq!(response.status, 405);
    assert_eq!(response.text(), "Only POST or PUT requests allowed.");
    assert_eq!(gateway.delete("/-/quit").status, 405);
    assert_eq!(gateway.get("/-/ready").status, 200);
}

// Listeners.

#[test]
fn a_port_in_use_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = run(&[&format!("--web.listen-address={address}")]);
    assert_ne!(finished.status.code(), Some(0));
    assert!(finished.stderr.contains(&address), "{}", finished.stderr);
}

#[test]
fn one_port_in_use_of_several_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("--web.listen-address={}", taken.local_addr().unwrap());
    let finished = run(&["--web.listen-address=127.0.0.1:0", &address]);
    assert_ne!(finished.status.code(), Some(0));
}

#[test]
fn addresses_that_are_none_stop_the_start() {
    for address in ["127.0.0.1", "127.0.0.1:99999", "127.0.0.1:1,127.0.0.1:2", "nonsense"] {
        let finished = run(&[&format!("--web.listen-address={address}")]);
        assert_ne!(finished.status.code(), Some(0), "{address}");
        assert!(!finished.stderr.is_empty(), "{address}");
    }
}

#[test]
fn several_listeners_serve_one_store() {
    let flags = ["--web.listen-address=127.0.0.1:0", "--web.listen-address", "127.0.0.1:0"];
    let gateway = Gateway::start_exactly(&flags, &[]);
    let [first, second] = gateway.addresses() else { panic!("{:?}", gateway.addresses()) };
    assert_ne!(first.port(), second.port());
    gateway.push("/metrics/job/a", "m 1\n");
    let mut connection = Connection::open(*second).unwrap();
    connection.send(&encode_request("GET", "/metrics", &[], b"")).unwrap();
    let scrape = connection.read_response("GET").unwrap().text();
    assert_eq!(support::sample(&scrape, r#"m{instance="",job="a"}"#), Some(1.0));
}

#[test]
fn the_port_is_free_after_a_stop() {
    let gateway = Gateway::start(&[]);
    let port = gateway.port();
    gateway.signal("TERM");
    gateway.wait();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    let address = format!("--web.listen-address=127.0.0.1:{port}");
    let again = Gateway::start_exactly(&[&address], &[]);
    assert_eq!(again.get("/-/ready").status, 200);
}

// Paths.

#[test]
fn the_external_url_gives_the_prefix() {
    let gateway = Gateway::start(&["--web.external-url=http://gate.example:80/some/path/"]);
    gateway.push("/some/path/metrics/job/a", "m 1\n");
    assert_eq!(gateway.get("/some/path/metrics").status, 200);
    assert_eq!(gateway.get("/metrics").status, 404);
}

#[test]
fn a_route_prefix_goes_over_the_external_url() {
    let gateway = Gateway::start(&["--web.external-url=http://gate.example/outside", "--web.route-prefix=/"]);
    gateway.push("/metrics/job/a", "m 1\n");
    assert_eq!(gateway.get("/outside/metrics").status, 404);

    let gateway =
        Gateway::start(&["--web.external-url=http://gate.example/outside", "--web.route-prefix=inside/"]);
    gateway.push("/inside/metrics/job/a", "m 1\n");
    assert_eq!(gateway.get("/metrics").status, 404);
    assert_eq!(gateway.get("/outside/metrics").status, 404);
}

#[test]
fn the_telemetry_path_moves_only_the_exposition() {
    let gateway = Gateway::start(&["--web.telemetry-path=/all"]);
    gateway.push("/metrics/job/a", "m 1\n");
    let scrape = gateway.get("/all");
    assert_eq!(scrape.status, 200);
    assert!(scrape.text().contains("m{instance=\"\",job=\"a\"} 1\n"));
    assert_eq!(gateway.get("/metrics").status, 404);
}

#[test]
fn wipes_and_deletions_need_the_admin_api() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", "m 1\n");
    for method in ["PUT", "POST", "GET", "DELETE"] {
        for path in ["/api/v1/admin/wipe", "/api/v1/admin/delete?match[]=m"] {
            assert_eq!(gateway.request(method, path, &[], b"").status, 404, "{method} {path}");
        }
    }
    assert_eq!(gateway.sample(r#"m{instance="",job="a"}"#), Some(1.0));
}

// Flags.

#[test]
fn help_goes_to_stdout() {
    for flag in ["--help", "-h"] {
        let finished = run(&[flag]);
        assert_eq!(finished.status.code(), Some(0));
        assert_eq!(finished.stderr, "");
        for expected in ["usage: tallygate [<flags>]", "--web.listen-address=:9091", "--[no-]push.aggregate"]
        {
            assert!(finished.stdout.contains(expected), "no {expected:?} in\n{}", finished.stdout);
        }
    }
}

#[test]
fn the_version_goes_to_stdout() {
    let finished = run(&["--version"]);
    assert_eq!(finished.status.code(), Some(0));
    assert_eq!(finished.stderr, "");
    let start = format!("tallygate, version {} (branch: ", env!("CARGO_PKG_VERSION"));
    assert!(finished.stdout.starts_with(&start), "{}", finished.stdout);
}

#[test]
fn usage_errors_are_worded_as_stock_words_them() {
    for (flags, message) in [
        (&["--foo"][..], "unknown long flag '--foo'"),
        (&["--foo=1"], "unknown long flag '--foo'"),
        (&["-x"], "unknown short flag '-x'"),
        (&["-persistence.file=x"], "unknown short flag '-p'"),
        (&["--web.enable-lifecycle=true"], "unexpected true"),
        (&["--no-web.enable-lifecycle=false"], "unexpected false"),
        (&["--no-persistence.file"], "unknown long flag '--no-persistence.file'"),
        (&["--persistence.file=a", "--persistence.file=b"], "flag 'persistence.file' cannot be repeated"),
        (
            &["--web.enable-lifecycle", "--web.enable-lifecycle"],
            "flag 'web.enable-lifecycle' cannot be repeated",
        ),
        (&["positional"], "unexpected positional"),
        (&["--persistence.file"], "expected argument for flag '--persistence.file'"),
        (&["--web.listen-address"], "expected argument for flag '--web.listen-address'"),
        (&["--persistence.interval=1d"], "time: unknown unit \"d\" in duration \"1d\""),
        (&["--persistence.interval=x"], "time: invalid duration \"x\""),
        (&["--persistence.interval="], "time: invalid duration \"\""),
        (&["--log.level=loud"], "unrecognized log level loud"),
        (&["--log.format=xml"], "unrecognized log format xml"),
        (&["--log.format=JSON"], "unrecognized log format JSON"),
        (&["--web.external-url=::bad"], "invalid URL: parse \"::bad\": missing protocol scheme"),
    ] {
        let finished = run(flags);
        assert_eq!(finished.status.code(), Some(1), "{flags:?}: {}", finished.stderr);
        assert_eq!(finished.stdout, "", "{flags:?}");
        assert_eq!(finished.stderr, format!("tallygate: error: {message}, try --help\n"), "{flags:?}");
    }
}

#[test]
fn every_flag_of_stock_is_accepted() {
    let gateway = Gateway::start(&[
        "--no-web.systemd-socket",
        "--web.config.file=",
        "--web.telemetry-path=/metrics",
        "--web.external-url=",
        "--web.route-prefix=",
        "--web.enable-lifecycle",
        "--web.enable-admin-api",
        "--persistence.file=",
        "--persistence.interval=1h30m",
        "--no-push.disable-consistency-check",
        "--push.enable-utf8-names",
        "--log.level=INFO",
        "--log.format=logfmt",
    ]);
    let status = gateway.get("/api/v1/status").text();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let flags = &status["data"]["flags"];
    assert_eq!(flags["persistence.interval"], "1h30m0s");
    assert_eq!(flags["web.enable-lifecycle"], "true");
    assert_eq!(flags["web.systemd-socket"], "false");
    assert_eq!(flags["push.enable-utf8-names"], "true");
    assert_eq!(flags["log.level"], "info");
    assert_eq!(flags["web.listen-address"], "127.0.0.1:0");
}

#[test]
fn logs_are_json_if_asked() {
    let gateway = Gateway::start(&["--log.format=json"]);
    gateway.signal("TERM");
    let finished = gateway.wait();
    assert!(!finished.stderr.is_empty());
    for line in finished.stderr.lines() {
        let entry: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["ts", "level", "caller", "msg"] {
            assert!(entry[key].is_string(), "no {key} in {line}");
        }
    }
}

#[test]
fn logs_have_the_keys_of_stock() {
    let gateway = Gateway::start(&[]);
    gateway.refused("/metrics/job/a", "m 1 1000\n");
    gateway.wait_for_log("pushed metrics are invalid or inconsistent with existing metrics");
    gateway.signal("TERM");
    let finished = gateway.wait();
    for line in finished.stderr.lines() {
        let mut keys = line.split(' ').filter_map(|word| word.split_once('=')).map(|(key, _)| key);
        let first: Vec<_> = keys.by_ref().take(3).collect();
        assert_eq!(first, ["ts", "level", "caller"], "{line}");
    }
    assert!(finished.stderr.contains("level=info "), "{}", finished.stderr);
    assert!(finished.stderr.contains("msg=\"starting "), "{}", finished.stderr);
    let refused = finished.stderr.lines().find(|line| line.contains("pushed metrics are invalid")).unwrap();
    assert!(refused.contains("level=error ") && refused.contains("method=POST"), "{refused}");
    assert!(refused.contains("err=\"pushed metrics must not have timestamps"), "{refused}");
}

// Configuration.

#[test]
fn the_configuration_is_checked_on_request() {
    let directory = Directory::new();
    let good = directory.write("good.toml", "[aggregation]\nenabled = false\n");
    let finished = run(&["--config.check", &format!("--config.file={good}")]);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    let finished = run(&["--config.check"]);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
}

#[test]
fn a_wrong_configuration_stops_the_start_and_says_where_it_is_wrong() {
    let directory = Directory::new();
    for (text, line, key) in [
        ("[aggregation]\nenable = true\n", "2", "enable"),
        ("[aggregation]\nenabled = \"perhaps\"\n", "2", "enabled"),
        ("\n\n[nothing]\n", "3", "nothing"),
        ("[push]\nput = \"append\"\n", "2", "put"),
        ("[persistence]\ninterval = \"1d\"\n", "2", "interval"),
        ("[web]\nenable_admin_api = true\nmax_body_bytes = -1\n", "3", "max_body_bytes"),
        ("[web\n", "1", ""),
    ] {
        let file = directory.write("wrong.toml", text);
        for flags in [vec!["--config.file", &file], vec!["--config.check", "--config.file", &file]] {
            let finished = run(&flags);
            assert_ne!(finished.status.code(), Some(0), "{text}");
            for expected in [file.as_str(), &format!("line {line}"), key] {
                assert!(finished.stderr.contains(expected), "no {expected:?} in {}", finished.stderr);
            }
        }
    }
}

#[test]
fn a_missing_configuration_stops_the_start() {
    let finished = run(&["--config.file=/nowhere/tallygate.toml"]);
    assert_ne!(finished.status.code(), Some(0));
    assert!(finished.stderr.contains("/nowhere/tallygate.toml"), "{}", finished.stderr);
}

#[test]
fn flags_go_over_the_environment_and_that_over_the_file() {
    let aggregates = |file: &str, variable: Option<&str>, flag: Option<&str>| {
        let directory = Directory::new();
        let file = directory.write("tallygate.toml", file);
        let file = format!("--config.file={file}");
        let flags: Vec<_> = [Some(file.as_str()), flag].into_iter().flatten().collect();
        let variables: Vec<_> =
            variable.iter().map(|value| ("TALLYGATE_AGGREGATION__ENABLED", *value)).collect();
        let gateway = Gateway::start_with(&flags, &variables);
        for _ in 0..2 {
            gateway.push("/metrics/job/a", "# TYPE c counter\nc 1\n");
        }
        gateway.sample(r#"c{instance="",job="a"}"#) == Some(2.0)
    };
    let off = "[aggregation]\nenabled = false\n";
    let on = "[aggregation]\nenabled = true\n";
    assert!(aggregates("", None, None));
    assert!(!aggregates(off, None, None));
    assert!(aggregates(off, Some("true"), None));
    assert!(!aggregates(on, Some("false"), None));
    assert!(aggregates(off, Some("false"), Some("--push.aggregate")));
    assert!(!aggregates(on, Some("true"), Some("--no-push.aggregate")));
}

#[test]
fn a_wrong_variable_stops_the_start() {
    for (name, value) in [("TALLYGATE_AGGREGATION__ENABLED", "perhaps"), ("TALLYGATE_WEB__LISTN", ":1")] {
        let finished = run_with(&["--web.listen-address=127.0.0.1:0"], &[(name, value)]);
        assert_ne!(finished.status.code(), Some(0), "{name}");
        assert!(finished.stderr.contains(name), "{}", finished.stderr);
    }
}

#[test]
fn bodies_over_the_limit_are_refused() {
    use std::io::Write as _;

    let gateway = Gateway::start_with_config("[web]\nmax_body_bytes = 1000\n", &[]);
    let fits = format!("m{{l=\"{}\"}} 1\n", "x".repeat(980));
    let large = format!("m{{l=\"{}\"}} 1\n", "x".repeat(2000));
    gateway.push("/metrics/job/a", &fits);
    assert_eq!(gateway.post("/metrics/job/a", &large).status, 413);
    let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let response =
        gateway.request("POST", "/metrics/job/a", &[("Transfer-Encoding", "chunked")], chunked.as_bytes());
    assert_eq!(response.status, 413);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(large.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    assert!(gzip.len() < 1000);
    assert_eq!(gateway.request("POST", "/metrics/job/a", &[("Content-Encoding", "gzip")], &gzip).status, 413);
    assert_eq!(gateway.api()["data"][0]["m"]["metrics"].as_array().unwrap().len(), 1);
}
