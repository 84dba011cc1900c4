//! Messages of refused pushes: what clashes, where the other side is, and all clashes at once.

use std::path::Path;

use crate::support::random::Random;
use crate::support::{self, Gateway, Response, assert_valid_exposition, protobuf};

fn input(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports").join(name)).unwrap()
}

#[test]
fn a_conflict_of_types_names_the_group_that_has_the_other_type() {
    let (histogram, summary) = (input("type-conflict-1-histogram.txt"), input("type-conflict-2-summary.txt"));
    for flags in [&[][..], &["--no-push.aggregate"]] {
        let gateway = Gateway::start(flags);
        gateway.push("/metrics/job/a", &histogram);
        let message = gateway.refused("/metrics/job/b", &summary);
        assert!(message.contains("is not a HISTOGRAM"), "{message}");
        assert!(message.contains("; the other one is in group {job=\"a\"}\n"), "{message}");
        gateway.push("/metrics/job/c/x/1", &histogram);
        gateway.push("/metrics/job/d", &histogram);
        let message = gateway.refused("/metrics/job/b", &summary);
        assert!(message.contains("; the other one is in group {job=\"a\"} and 2 more\n"), "{message}");
        // The remaining group is named, whichever it is.
        gateway.delete("/metrics/job/a");
        gateway.delete("/metrics/job/c/x/1");
        for _ in 0..2 {
            let message = gateway.refused("/metrics/job/b", &summary);
            assert!(message.contains("; the other one is in group {job=\"d\"}\n"), "{message}");
        }
        // Its own type may not change, because another group has the name.
        let message = gateway.post("/metrics/job/d", &summary).text();
        assert!(flags.len() == 1 || message.contains("in group {job=\"d\"}"), "{message}");
    }
}

#[test]
fn a_series_that_is_there_already_is_said_to_be_where_it_is() {
    for flags in [&[][..], &["--no-push.aggregate"]] {
        let gateway = Gateway::start(flags);
        gateway.push("/metrics/job/a", "x{b=\"1\"} 1\n");
        let message = gateway.refused("/metrics/job/a/b/1", "# HELP x Help.\nx 1\n");
        assert!(
            message.contains("was collected before with the same name and label values (line 2, column 1)")
        );
        assert!(message.contains("; the other one is in group {job=\"a\"}\n"), "{message}");
        let message = gateway.refused("/metrics/job/a", "y 1\ny 2\n");
        assert!(message.contains("; the other one is in the same push\n"), "{message}");
    }
}

#[test]
fn names_that_are_parts_of_others_are_said_to_be_where_they_are() {
    let gateway = Gateway::start(&["--push.enable-utf8-names"]);
    gateway.push(
        "/metrics/job/a",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n{\"n.m\"} 1\n",
    );
    gateway.push("/metrics/job/b", "g_count 1\n");
    for (body, words) in [
        (
            "h_count 1\n",
            "\"h_count\" collides with previously collected histogram named \"h\" (line 1, column 1); the other one is in group {job=\"a\"}\n",
        ),
        (
            "# TYPE g summary\ng_sum 1\ng_count 1\n",
            "named \"g_count\" (line 2, column 1); the other one is in group {job=\"b\"}\n",
        ),
        (
            "n_m 1\n",
            "the same as another once it is escaped: n_m (line 1, column 1); the other one is in group {job=\"a\"}\n",
        ),
        ("{\"o.p\"} 1\no_p 1\n", "the other one is in the same push\n"),
        ("{\"push.time.seconds\"} 1\n", "the other one is the gateway's own\n"),
        (
            "# TYPE process_open_fds counter\nprocess_open_fds 1\n",
            "should have GAUGE (line 2, column 1); the other one is the gateway's own\n",
        ),
    ] {
        let message = gateway.refused("/metrics/job/c", body);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn all_clashes_of_a_push_are_named() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", "# TYPE m gauge\nm 1\n");
    let message = gateway.refused(
        "/metrics/job/b",
        "# TYPE process_open_fds counter\nprocess_open_fds 1\n# TYPE fine gauge\nfine 1\n\
         # TYPE process_cpu_seconds_total gauge\nprocess_cpu_seconds_total 4\n\
         # TYPE m counter\nm 1\ntallygate_groups 1\n",
    );
    for words in [
        "process_open_fds has type COUNTER but should have GAUGE (line 2, column 1)",
        "; also: gathered metric family process_cpu_seconds_total has type GAUGE but should have COUNTER;",
        "is not a GAUGE; the other one is in group {job=\"a\"}",
        "tallygate_groups is reserved",
    ] {
        assert!(message.contains(words), "no {words} in {message}");
    }
    assert!(!message.contains("fine"), "{message}");
    let body: String = (0..1000).map(|n| format!("# TYPE m{n} gauge\nm{n} 1\n")).collect();
    gateway.push("/metrics/job/a", &body);
    let message = gateway.refused("/metrics/job/b", &body.replace("gauge", "counter"));
    assert!(message.ends_with("; and more\n") && message.len() < 4096, "{message}");
}

#[test]
fn long_labels_are_cut() {
    let gateway = Gateway::start(&[]);
    let value = "v".repeat(60_000);
    let labels: String = (0..100).map(|n| format!("l{n}=\"{value}\",")).collect();
    let message = gateway.refused("/metrics/job/a", &format!("# TYPE c counter\nc{{a=\"1\",{labels}}} -1\n"));
    assert!(message.contains("label:{name:\"a\" value:\"1\"}") && message.len() < 1000, "{:.1500}", message);
}

#[test]
fn a_whole_page_without_types_goes_together_with_the_gateways_own() {
    let page = input("own-names-untyped.txt");
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/x", &page);
    let scrape = gateway.scrape();
    assert_valid_exposition(&scrape);
    for line in [
        "# TYPE process_cpu_seconds_total counter\n",
        "\nprocess_cpu_seconds_total{instance=\"\",job=\"x\"} 4\n",
        "# TYPE process_open_fds gauge\n",
        "\nprocess_open_fds{instance=\"\",job=\"x\"} 12\n",
        "\nprocess_open_fds ",
    ] {
        assert!(scrape.contains(line), "no {line:?} in {scrape}");
    }
    // A push with the gateway's type is accepted, one with another type is refused.
    gateway.push("/metrics/job/x", "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1\n");
    assert_eq!(gateway.sample("process_cpu_seconds_total{instance=\"\",job=\"x\"}"), Some(5.0));
    gateway
        .refused("/metrics/job/x", "# TYPE process_cpu_seconds_total gauge\nprocess_cpu_seconds_total 1\n");
    // Without aggregation, untyped is a type of its own, as in the stock gateway.
    let gateway = Gateway::start(&["--no-push.aggregate"]);
    let message = gateway.refused("/metrics/job/x", &page);
    assert!(message.contains("process_open_fds has type UNTYPED but should have GAUGE"), "{message}");
    assert!(message.contains("process_max_fds has type UNTYPED but should have GAUGE"), "{message}");
}

#[test]
fn the_gateways_own_process_metrics_can_be_hidden() {
    let page = "# TYPE process_cpu_seconds_total gauge\nprocess_cpu_seconds_total 4\n";
    let config = "[telemetry]\nprocess_metrics = false\n";
    for flags in [&[][..], &["--no-push.aggregate"]] {
        let gateway = Gateway::start_with_config(config, flags);
        assert!(!gateway.scrape().contains("process_"), "{}", gateway.scrape());
        gateway.push("/metrics/job/x", page);
        let shown: Vec<String> =
            gateway.scrape().lines().filter(|line| line.starts_with("process_")).map(str::to_owned).collect();
        assert_eq!(shown, ["process_cpu_seconds_total{instance=\"\",job=\"x\"} 4"]);
        assert_valid_exposition(&gateway.scrape());
    }
}

#[test]
fn process_metrics_that_are_shown_again_give_way_to_what_was_pushed() {
    let folder = support::Directory::new();
    let file = format!("--persistence.file={}", folder.path_of("store"));
    let gateway = Gateway::start_with_config("[telemetry]\nprocess_metrics = false\n", &[&file]);
    let body = "# TYPE process_open_fds histogram\nprocess_open_fds_bucket{le=\"+Inf\"} 1\nprocess_open_fds_sum 1\nprocess_open_fds_count 1\n";
    gateway.push("/metrics/job/x", body);
    drop(gateway);
    let gateway = Gateway::start(&[&file]);
    let scrape = gateway.scrape();
    assert_valid_exposition(&scrape);
    assert!(
        scrape.contains("# TYPE process_open_fds histogram\n") && !scrape.contains("\nprocess_open_fds "),
        "{scrape}"
    );
    assert!(scrape.contains("\nprocess_max_fds "), "{scrape}");
}

/// The maximum length of a refusal and of a log line, in bytes.
const LONGEST: usize = 4096;

/// A long text that is not valid in any part of a push, or only if escaped.
fn long_text(random: &mut Random) -> String {
    const UNITS: [&str; 12] =
        ["x", "é", "\u{202e}", "\u{9b}", "\\\\", "\\n", "\\\"", "\u{e0001}", "\u{7f}", "_", "a b", "\u{1}"];
    let mut text = String::new();
    for _ in 0..=random.below(3) {
        let unit = UNITS[random.below(UNITS.len() as u64) as usize];
        text += &unit.repeat(1 << random.below(16));
    }
    text
}

/// A text body with long parts, most of which are refused.
fn long_body(random: &mut Random) -> (&'static str, Vec<u8>) {
    const TEMPLATES: [&str; 24] = [
        "# TYPE m @\n",
        "# HELP m @\n# HELP m x@\nm 1\n",
        "# HELP @ a\n# TYPE @ @\n",
        "@ 1\n",
        "{\"@\"} 1\n",
        "{\"a@\",b=\"1\"} -1\n{\"a@\",b=\"1\"} -1\n",
        "m{@=\"1\"} 1\n",
        "m{\"@\"=\"1\",\"@\"=\"2\"} 1\n",
        "m{l=\"@\"} -1\nm{l=\"@\"} 2\n",
        "m_total{l=\"@\",k=\"@\"} -1\n",
        "m{l=\"@\"@} 1\n",
        "m @\n",
        "m 1 @\n",
        "m 1 1 @\n",
        "m{l=\"@",
        "# TYPE h histogram\nh_bucket{le=\"@\"} 1\n",
        "# TYPE s summary\ns{quantile=\"@\"} 1\n",
        "# TYPE \"@\" summary\n# TYPE \"@_sum\" gauge\n{\"@\",quantile=\"1\"} 1\n{\"@_sum\"} 1\n",
        "# TYPE clash histogram\nclash_count{l=\"@\"} 1\nclash_sum{l=\"@\"} NaN\n",
        "# UNIT m @\n# UNIT m @x\n# EOF\n",
        "# TYPE m_total counter\nm_total 1 # {l=\"@\"} 1\n# EOF\n",
        "# TYPE m counter\nm_total 1 # {\"@\"=\"@\"} 1\n# EOF\n",
        "m 1\n# EOF\n@",
        "# TYPE i info\ni_info{\"@\"=\"1\"} 2\n# EOF\n",
    ];
    const TYPES: [&str; 2] = ["text/plain", "application/openmetrics-text; version=1.0.0"];
    let template = TEMPLATES[random.below(TEMPLATES.len() as u64) as usize];
    let text = long_text(random);
    if random.below(6) == 0 {
        let protobuf =
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        let metric = protobuf::metric(&[("l", &text), (&text, "")], 3, &[protobuf::number(1, -1.0)]);
        return (protobuf, protobuf::family(&text, random.below(7), &[metric]));
    }
    let mut body = template.replace('@', &text).into_bytes();
    if random.below(4) == 0 {
        let at = random.below(body.len() as u64) as usize;
        body[at] = random.next() as u8;
    }
    (TYPES[random.below(2) as usize], body)
}

/// Checks that a refusal is short.
fn assert_short(answer: &Response, what: &str) {
    if answer.status >= 400 {
        assert!(answer.body.len() <= LONGEST, "{} bytes of answer to {what:.200}", answer.body.len());
        let text = std::str::from_utf8(&answer.body).unwrap_or_else(|_| panic!("no UTF-8 to {what:.200}"));
        // Characters that could affect a terminal.
        let is_odd = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{e0001}');
        assert!(!text.contains(is_odd), "{text:?} to {what:.200}");
    }
}

#[test]
fn whatever_is_pushed_a_refusal_is_short() {
    let config = "[limits]\nname_length = 0\nlabel_value_length = 0\n";
    for (format, seed) in [("logfmt", 1), ("json", 2)] {
        let flags = ["--push.enable-utf8-names", "--log.level=debug", &format!("--log.format={format}")];
        let gateway = Gateway::start_with_config(config, &flags);
        gateway.push("/metrics/job/a", "# TYPE clash gauge\nclash 1\n");
        let mut random = Random::new(seed);
        let mut refused = 0;
        for _ in 0..600 {
            let (content_type, body) = long_body(&mut random);
            let method = if random.flip() { "POST" } else { "PUT" };
            let path = ["/metrics/job/b", "/metrics/job/c/x/1"][random.below(2) as usize];
            let answer = gateway.request(method, path, &[("Content-Type", content_type)], &body);
            assert_short(&answer, &String::from_utf8_lossy(&body));
            refused += usize::from(answer.status == 400);
        }
        assert!(refused > 300, "{refused}");
        assert_valid_exposition(&gateway.scrape());
        gateway.signal("TERM");
        for line in gateway.wait().stderr.lines() {
            assert!(line.len() <= LONGEST, "{} bytes: {line:.300}", line.len());
            let is_raw = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{e0001}');
            assert!(!line.contains(is_raw), "{line}");
            if format == "json" {
                serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            }
        }
    }
}

#[test]
fn what_is_asked_for_is_quoted_in_short_too() {
    let gateway = Gateway::start(&["--log.level=debug", "--web.enable-admin-api", "--web.enable-lifecycle"]);
    let long = "x".repeat(60_000);
    let escaped = "%e2%80%ae".repeat(6_000);
    for (method, path, headers) in [
        ("POST", format!("/metrics/job/a/{long}"), vec![]),
        ("POST", format!("/metrics/job/a/{escaped}/b"), vec![]),
        ("POST", format!("/metrics/job/a/{long}@base64/*"), vec![]),
        ("POST", format!("/metrics/job/a/{long}/%ff"), vec![]),
        ("POST", format!("/metrics/job@base64/{long}*"), vec![]),
        ("POST", format!("/Metrics/job/{long}"), vec![]),
        ("POST", format!("/metrics/job/a/l/%zz{long}"), vec![]),
        ("POST", format!("/metrics/job/a/l/../{long}"), vec![]),
        ("POST", format!("/{long}"), vec![]),
        ("DELETE", format!("/metrics/job/a/{escaped}/b"), vec![]),
        ("DELETE", format!("/Metrics/job/{long}"), vec![]),
        ("PUT", format!("/api/v1/admin/wipe/{long}"), vec![]),
        ("GET", format!("/{long}"), vec![]),
        ("GET", format!("/api/v1/groups?sort={long}"), vec![]),
        ("GET", format!("/api/v1/groups?order={escaped}"), vec![]),
        ("GET", format!("/api/v1/groups?limit={long}"), vec![]),
        ("GET", format!("/api/v1/groups/{long}/series?family=f"), vec![]),
        (&long, "/metrics".to_owned(), vec![]),
        ("POST", "/metrics/job/a".to_owned(), vec![("Content-Encoding", &*long)]),
        ("POST", "/metrics/job/a".to_owned(), vec![("Content-Type", &*long)]),
        ("POST", "/metrics/job/a".to_owned(), vec![("Idempotency-Key", &*long)]),
        ("POST", "/metrics/job/a".to_owned(), vec![("Transfer-Encoding", &*long)]),
        ("POST", "/metrics/job/a".to_owned(), vec![("Content-Length", &*long)]),
        ("POST", "/metrics/job/a".to_owned(), vec![("a b", &*long)]),
        ("POST", "/metrics/job/a".to_owned(), vec![("Host", &*long)]),
    ] {
        let Ok(answer) = gateway.try_request(method, &path, &headers, b"0m 1\n") else { continue };
        assert!(answer.status >= 400, "{method:.20} {path:.60} {}: {:.200}", answer.status, answer.text());
        assert_short(&answer, &path);
    }
    // The location is never shortened. A long one comes without a body.
    let answer = gateway.get(&format!("//metrics/job/{long}"));
    let location = answer.header("location").unwrap_or_default();
    assert!(
        matches!(answer.status, 301 | 307) && location == format!("/metrics/job/{long}"),
        "{location:.99}"
    );
    assert!(answer.body.is_empty(), "{} bytes", answer.body.len());
    gateway.signal("TERM");
    let longest = gateway.wait().stderr.lines().map(str::len).max();
    assert!(longest <= Some(LONGEST), "{longest:?}");
}

#[test]
fn what_is_wrong_with_settings_is_quoted_in_short() {
    let long = "x".repeat(100_000);
    let folder = support::Directory::new();
    let mut all = vec![
        format!("--web.listen-address={long}"),
        format!("--web.external-url=http://[{long}"),
        format!("--web.telemetry-path={long}"),
        format!("--persistence.interval={long}"),
        format!("--log.level={long}"),
        format!("--{long}=1"),
    ];
    for (number, text) in [
        format!("[web]\n{long} = 1\n"),
        format!("[log]\nlevel = \"{long}\"\n"),
        format!("[push]\nput = \"{long}\"\n"),
        format!("[web]\ntrusted_proxies = [\"{long}\"]\n"),
        format!("[limits]\nhead_timeout = \"{long}\"\n"),
        format!("[limits]\nseries = \"{long}\"\n"),
        format!("[limits]\nseries = {long}\n"),
    ]
    .into_iter()
    .enumerate()
    {
        all.push(format!("--config.file={}", folder.write(&format!("{number}.toml"), text)));
    }
    all.push(format!("--web.config.file={}", folder.write("web.yml", format!("{long}: 1\n"))));
    for flag in all {
        let finished = support::run(&["--config.check", &flag]);
        assert!(!finished.status.success(), "{flag:.60}");
        let said = finished.stderr;
        assert!(!said.is_empty() && said.len() <= LONGEST, "{} bytes to {flag:.60}: {said:.300}", said.len());
    }
}
