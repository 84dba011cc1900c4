//! OpenMetrics in pushes: what is refused and how, and constructs that the other formats lack.

use crate::support::formats::{self, OPENMETRICS, TEXT, push, send, text_of};
use crate::support::{Gateway, assert_valid_exposition};

/// Bodies that break the grammar or the rules of a type, and where. The end of each body is left out.
const FAULTS: [(&str, &str); 45] = [
    ("\n", "line 1: blank line (column 1)"),
    ("a 1\n\n", "line 2: blank line (column 1)"),
    (
        "# a comment\n",
        "line 1: expected # TYPE, # UNIT, # HELP or # EOF: comments are not allowed (column 1)",
    ),
    ("#TYPE a gauge\n", "line 1: expected # TYPE, # UNIT, # HELP or # EOF"),
    ("#  TYPE a gauge\n", "line 1: expected # TYPE, # UNIT, # HELP or # EOF"),
    ("# TYPE a untyped\n", "line 1: unknown metric type \"untyped\" (column 10)"),
    ("# TYPE a Counter\n", "line 1: unknown metric type \"Counter\""),
    ("# TYPE a gauge counter\n", "line 1: unknown metric type \"gauge counter\""),
    ("# TYPE a\n", "line 1: expected a blank, found '\\n' (column 9)"),
    ("# TYPE 1a gauge\n", "line 1: invalid metric name (column 8)"),
    (
        "# TYPE a gauge\n# TYPE a counter\n",
        "line 2: second TYPE line for metric \"a\": \"counter\" here, \"gauge\" before (column 1)",
    ),
    ("# HELP a x\n# HELP a y\n", "line 2: second HELP line for metric \"a\": \"y\" here, \"x\" before"),
    ("# UNIT a_s s\n# UNIT a_s \n", "line 2: second UNIT line for metric \"a_s\": \"\" here, \"s\" before"),
    ("# UNIT a s\n", "line 1: the name \"a\" does not end in its unit (column 10)"),
    ("# TYPE a_s info\n# UNIT a_s s\n", "line 2: an info or a stateset has no unit"),
    ("# TYPE a gauge\na 1\n# HELP a x\n", "line 3: metadata of \"a\" behind its samples (column 1)"),
    ("a 1\nb 1\na{c=\"d\"} 1\n", "line 3: the lines of metric \"a\" are not together (column 1)"),
    ("# TYPE a gauge\n# TYPE b gauge\na 1\n", "line 3: the lines of metric \"a\" are not together"),
    (
        "# TYPE a counter\na 1\n",
        "line 2: a sample of the counter \"a\" needs one of these suffixes: _total or _created (column 1)",
    ),
    (
        "# TYPE a counter\na_total 1\n# TYPE a_total gauge\na_total 1\n",
        "line 4: another metric has samples that are called \"a_total\" (column 1)",
    ),
    ("# TYPE a info\na_info 2\n", "line 2: an info has the value 1 (column 8)"),
    ("# TYPE a stateset\na{a=\"b\"} 2\n", "line 2: a state has the value 0 or 1 (column 10)"),
    ("# TYPE a stateset\na{b=\"a\"} 1\n", "line 2: a sample of a stateset needs a label \"a\" (column 1)"),
    ("# TYPE a histogram\na_bucket 1\n", "line 2: a bucket needs a label le (column 1)"),
    (
        "# TYPE a histogram\na_bucket{le=\"x\"} 1\n",
        "line 2: expected a number as value of the label le, got \"x\" (column 13)",
    ),
    (
        "# TYPE a histogram\na_bucket{le=\"1\"} -1\n",
        "line 2: negative bucket population for histogram \"a\" (column 18)",
    ),
    ("# TYPE a histogram\na_bucket{le=\"1\",le=\"1\"} 1\n", "line 2: duplicate label le (column 20)"),
    ("# TYPE a summary\na 1\n", "line 2: a sample of a summary needs a label quantile (column 1)"),
    ("a{b=\"1\",b=\"2\"} 1\n", "line 1: duplicate label \"b\""),
    ("a{b=\"1\" } 1\n", "line 1: expected ',' or '}' after label value, found ' ' (column 8)"),
    ("a{b =\"1\"} 1\n", "line 1: expected '=' after label name, found ' ' (column 4)"),
    ("a{\"b.c\"=\"1\"} 1\n", "line 1: invalid label name \"b.c\" (column 3)"),
    ("a{__name__=\"1\"} 1\n", "line 1: label name \"__name__\" is reserved (column 3)"),
    ("{\"a.b\"} 1\n", "line 1: invalid metric name \"a.b\" (column 2)"),
    ("{} 1\n", "line 1: invalid metric name (column 2)"),
    ("a  1\n", "line 1: expected a number as value, got \"\" (column 3)"),
    ("a\t1\n", "line 1: expected a blank, found '\\t' (column 2)"),
    (" a 1\n", "line 1: invalid metric name (column 1)"),
    ("a 0x1F\n", "line 1: expected a number as value, got \"0x1F\" (column 3)"),
    ("a 1 x\n", "line 1: expected a timestamp, got \"x\" (column 5)"),
    ("a 1 # {b=\"c\"} 1\n", "line 1: only counters and the buckets of histograms have exemplars (column 5)"),
    ("# TYPE a counter\na_total 1 # 1\n", "line 2: expected an exemplar or the end of the line (column 11)"),
    ("# TYPE a counter\na_total 1 # {b=\"c\"}\n", "line 2: expected a blank, found '\\n' (column 20)"),
    (
        "# TYPE a counter\na_total 1 # {b=\"c\"} 1 inf\n",
        "line 2: expected a timestamp, got \"inf\" (column 23)",
    ),
    ("# TYPE a counter\na_created x\n", "line 2: expected a number as value, got \"x\" (column 11)"),
];

#[test]
fn a_parse_error_says_what_is_wrong_and_where() {
    let gateway = Gateway::start(&[]);
    let refused = |body: &str| {
        let answer = send(&gateway, "POST", "/metrics/job/a", OPENMETRICS, body.as_bytes());
        assert_eq!(answer.status, 400, "{body:?}");
        answer.text()
    };
    for (body, fault) in FAULTS {
        let error = refused(&format!("{body}# EOF\n"));
        assert!(error.starts_with(&format!("OpenMetrics parsing error in {fault}")), "{body:?}: {error}");
    }
    assert!(refused("a 1\n# EOF\nb 1\n").contains("line 3: unexpected text behind # EOF (column 1)"));
    assert!(refused("a 1\n# EOF x\n").contains("unexpected text behind # EOF"));
    for raw in [&b"a{b=\"\xff\"} 1\n# EOF\n"[..], b"# HELP a \xff\n# EOF\n", b"# UNIT a_\xff \xff\n# EOF\n"] {
        assert_eq!(send(&gateway, "POST", "/metrics/job/a", OPENMETRICS, raw).status, 400, "{raw:?}");
    }
    assert_eq!(gateway.pushed(), "");
    // The pusher of the Go client does not send `# EOF`.
    let whole = "# TYPE a counter\na_total{b=\"c\"} 17\n# EOF\n";
    for length in [whole.len(), whole.len() - 1, whole.len() - 6, whole.len() - 7] {
        push(&gateway, "/metrics/job/a", OPENMETRICS, &whole[..length]);
    }
    push(&gateway, "/metrics/job/a", "Application/OpenMetrics-Text", whole.replace('\n', "\r\n"));
    push(&gateway, "/metrics/job/a", OPENMETRICS, "# EOF");
    assert_eq!(gateway.sample("a_total{b=\"c\",instance=\"\",job=\"a\"}"), Some(85.0));
}

#[test]
fn timestamps_are_refused_as_in_every_format() {
    let gateway = Gateway::start(&[]);
    for body in [
        "a 1 1520879607.789\n# EOF\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 1\n# EOF\n",
        "# TYPE h histogram\nh_count 1\nh_created 1 1\n# EOF\n",
        "# TYPE c counter\nc_total 1\nc_created 1 1\n# EOF\n",
    ] {
        let answer = send(&gateway, "POST", "/metrics/job/a", OPENMETRICS, body.as_bytes());
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains("pushed metrics must not have timestamps"), "{}", answer.text());
    }
}

#[test]
fn exemplars_with_long_labels_are_refused() {
    let gateway = Gateway::start(&[]);
    // The limit counts the characters, not bytes, of names and values together.
    let body = |length: usize| {
        let id = "ü".repeat(length - 2);
        format!("# TYPE a counter\na_total 1 # {{id=\"{id}\"}} 1\n# EOF\n").into_bytes()
    };
    push(&gateway, "/metrics/job/a", OPENMETRICS, body(128));
    let answer = send(&gateway, "POST", "/metrics/job/a", OPENMETRICS, &body(129));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("129 characters, but 128 are the most"), "{}", answer.text());
    assert!(answer.text().contains("(line 2, column 1)"), "{}", answer.text());
    assert_eq!(gateway.sample("a_total{instance=\"\",job=\"a\"}"), Some(1.0));
}

#[test]
fn the_samples_of_a_series_may_be_scattered_within_their_family() {
    let gateway = Gateway::start(&[]);
    let body = "# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1\nh_bucket{a=\"2\",le=\"1\"} 2\nh_count{a=\"2\"} 4\n\
                h_count{a=\"1\"} 3\nh_sum{a=\"1\"} 5\nh_sum{a=\"2\"} 6\n# TYPE c counter\nc_created{a=\"1\"} 5.0\n\
                c_total{a=\"1\"} 7\nc_total{a=\"2\"} 8\nc_created{a=\"2\"} 6.0\n# EOF\n";
    push(&gateway, "/metrics/job/a", OPENMETRICS, body);
    for (series, value) in [
        ("h_bucket{a=\"1\",instance=\"\",job=\"a\",le=\"1\"}", 1.0),
        ("h_count{a=\"1\",instance=\"\",job=\"a\"}", 3.0),
        ("h_sum{a=\"2\",instance=\"\",job=\"a\"}", 6.0),
        ("c_total{a=\"2\",instance=\"\",job=\"a\"}", 8.0),
    ] {
        assert_eq!(gateway.sample(series), Some(value), "{series}");
    }
}

#[test]
fn what_is_pushed_in_one_format_adds_to_what_is_pushed_in_another() {
    let gateway = Gateway::start(&[]);
    push(
        &gateway,
        "/metrics/job/a",
        OPENMETRICS,
        "# TYPE a counter\na_total 1\n# TYPE b info\nb_info 1\n# EOF\n",
    );
    push(&gateway, "/metrics/job/a", TEXT, "# TYPE a_total counter\na_total 2\n");
    push(&gateway, "/metrics/job/a", TEXT, "a_total 4\n");
    assert_eq!(gateway.sample("a_total{instance=\"\",job=\"a\"}"), Some(7.0));
    assert!(text_of(&gateway, OPENMETRICS).contains("# TYPE b info\nb_info{"));
    // If one client calls it an info and another a gauge, it is a gauge, in either order.
    push(&gateway, "/metrics/job/b", TEXT, "# TYPE b_info gauge\nb_info 3\n");
    push(&gateway, "/metrics/job/c", OPENMETRICS, "# TYPE b info\nb_info 1\n# EOF\n");
    let text = text_of(&gateway, OPENMETRICS);
    assert!(text.contains("# TYPE b_info gauge\nb_info{"), "{text}");
    assert!(text.contains("b_info{instance=\"\",job=\"b\"} 3.0\n"), "{text}");
    gateway.refused("/metrics/job/b", "# TYPE b_info counter\nb_info 3\n");
}

#[test]
fn a_state_that_is_on_turns_the_others_of_its_set_off() {
    let gateway = Gateway::start(&[]);
    let body = |states: &str| format!("# TYPE s stateset\n{states}# EOF\n");
    push(
        &gateway,
        "/metrics/job/a",
        OPENMETRICS,
        body(
            "s{s=\"on\",of=\"x\"} 1\ns{s=\"off\",of=\"x\"} 0\ns{s=\"on\",of=\"y\"} 1\ns{s=\"off\",of=\"y\"} 0\n",
        ),
    );
    push(&gateway, "/metrics/job/a", OPENMETRICS, body("s{s=\"off\",of=\"x\"} 1\n"));
    let value = |of: &str, state: &str| {
        gateway.sample(&format!("s{{instance=\"\",job=\"a\",of=\"{of}\",s=\"{state}\"}}"))
    };
    assert_eq!((value("x", "on"), value("x", "off")), (Some(0.0), Some(1.0)));
    assert_eq!((value("y", "on"), value("y", "off")), (Some(1.0), Some(0.0)));
}

#[test]
fn the_states_of_a_set_are_found_among_many_and_shown_together() {
    let gateway = Gateway::start(&[]);
    let body = |sets: std::ops::Range<u32>, on: &str| {
        let states = |set| {
            let state = |state| format!("s{{s=\"{state}\",z=\"{set}\"}} {}\n", u8::from(state == on));
            ["a", "b"].map(state).concat()
        };
        format!("# TYPE s stateset\n{}# EOF\n", sets.map(states).collect::<String>())
    };
    push(&gateway, "/metrics/job/a", OPENMETRICS, body(10..60, "a"));
    push(&gateway, "/metrics/job/a", OPENMETRICS, "# TYPE s stateset\ns{s=\"c\",z=\"17\"} 1\n# EOF\n");
    push(&gateway, "/metrics/job/a", OPENMETRICS, "# TYPE s stateset\ns{s=\"b\",z=\"18\"} 1\n# EOF\n");
    let text = text_of(&gateway, OPENMETRICS);
    let mut lines = text.lines().filter(|line| line.starts_with("s{"));
    for set in 10..60 {
        let on = match set {
            17 => "c",
            18 => "b",
            _ => "a",
        };
        let states: &[&str] = if set == 17 { &["a", "b", "c"] } else { &["a", "b"] };
        for state in states {
            let value = u8::from(*state == on);
            let expected = format!("s{{instance=\"\",job=\"a\",s=\"{state}\",z=\"{set}\"}} {value}.0");
            assert_eq!(lines.next(), Some(&*expected));
        }
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn every_compression_that_prometheus_knows_is_undone() {
    use std::io::Write;
    let gateway = Gateway::start(&[]);
    let body = b"# TYPE a counter\na_total 1\n# EOF\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body).unwrap();
    let mut snappy = snap::write::FrameEncoder::new(Vec::new());
    snappy.write_all(body).unwrap();
    let bodies = [
        ("gzip", gzip.finish().unwrap()),
        ("snappy", snappy.into_inner().unwrap()),
        ("zstd", zstd::encode_all(&body[..], 3).unwrap()),
    ];
    for (encoding, body) in &bodies {
        let headers = [("Content-Type", OPENMETRICS), ("Content-Encoding", *encoding)];
        let answer = gateway.request("POST", "/metrics/job/a", &headers, body);
        assert_eq!(answer.status, 200, "{encoding}: {}", answer.text());
        // In chunks of two sizes.
        let (first, rest) = body.split_at(body.len() / 3);
        let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        let chunked = [chunk(first), chunk(rest), chunk(b"")].concat();
        let headers = [headers[0], headers[1], ("Transfer-Encoding", "chunked")];
        let answer = gateway.request("POST", "/metrics/job/a", &headers, &chunked);
        assert_eq!(answer.status, 200, "{encoding}, chunked: {}", answer.text());
    }
    assert_eq!(gateway.sample("a_total{instance=\"\",job=\"a\"}"), Some(6.0));
    assert_valid_exposition(&gateway.scrape());
}

#[test]
fn scrapes_are_compressed_as_asked() {
    use std::io::Read;
    let gateway = Gateway::start(&[]);
    // Larger than a chunk, so that compressed scrapes are streamed.
    let body: String = (0..3000).map(|at| format!("a{{at=\"{at}\"}} {at}\n")).collect();
    push(&gateway, "/metrics/job/a", TEXT, format!("# TYPE a gauge\n{body}"));
    let plain = text_of(&gateway, OPENMETRICS);
    for encoding in ["gzip", "zstd"] {
        let headers = [("Accept", OPENMETRICS), ("Accept-Encoding", encoding)];
        let answer = gateway.request("GET", "/metrics", &headers, b"");
        assert_eq!(answer.header("Content-Encoding"), Some(encoding));
        let mut text = String::new();
        match encoding {
            "gzip" => flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap(),
            _ => {
                zstd::stream::read::Decoder::new(&answer.body[..]).unwrap().read_to_string(&mut text).unwrap()
            }
        };
        for line in plain.lines() {
            assert!(text.contains(line), "{encoding}: {line}");
        }
        assert!(text.ends_with("\n# EOF\n"), "{encoding}");
    }
}

#[test]
fn the_formats_of_the_stock_gateway_can_be_all_that_is_offered() {
    let asks = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=1.0.0;q=0.4,*/*;q=0.2";
    let offers = |gateway: &Gateway| {
        let headers = [("Accept", asks), ("Accept-Encoding", "zstd")];
        let answer = gateway.request("GET", "/metrics", &headers, b"");
        (
            answer.header("Content-Type").unwrap().to_owned(),
            answer.header("Content-Encoding").map(str::to_owned),
        )
    };
    let stock = ("text/plain; version=0.0.4; charset=utf-8; escaping=underscores".to_owned(), None);
    let all = (format!("{OPENMETRICS}; escaping=underscores"), Some("zstd".to_owned()));
    assert_eq!(offers(&Gateway::start(&[])), all);
    assert_eq!(offers(&Gateway::start(&["--no-push.aggregate"])), stock);
    let set = |stock: bool, flags: &[&str]| {
        offers(&Gateway::start_with_config(&format!("[exposition]\nstock_formats = {stock}\n"), flags))
    };
    assert_eq!(set(true, &[]), stock);
    assert_eq!(set(false, &["--no-push.aggregate"]), all);
}

#[test]
fn where_the_formats_are_those_of_the_stock_gateway_a_body_is_read_as_it_reads_it() {
    let gateway = Gateway::start(&["--no-push.aggregate"]);
    push(&gateway, "/metrics/job/a", OPENMETRICS, "# TYPE c counter\n# a comment\n\nc_total 1\n# EOF\n");
    assert_eq!(gateway.pushed(), "# TYPE c_total untyped\nc_total{instance=\"\",job=\"a\"} 1\n");
}

/// Values that OpenMetrics does not allow: pushed in the text format, and as shown.
const UNTYPED: [(&str, &str); 7] = [
    (
        "# TYPE h histogram\nh_bucket{le=\"-1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 2\nh_count 3\n",
        "# TYPE h_bucket unknown\nh_bucket{@,le=\"-1.0\"} 1.0\nh_bucket{@,le=\"+Inf\"} 3.0\n\
         # TYPE h_count unknown\nh_count{@} 3.0\n# TYPE h_sum unknown\nh_sum{@} 2.0\n",
    ),
    (
        "# HELP h Depth.\n# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_sum -2\nh_count 3\n",
        "# HELP h_bucket Depth.\n# TYPE h_bucket unknown\nh_bucket{@,le=\"1.0\"} 3.0\nh_bucket{@,le=\"+Inf\"} 3.0\n\
         # HELP h_count Depth.\n# TYPE h_count unknown\nh_count{@} 3.0\n\
         # HELP h_sum Depth.\n# TYPE h_sum unknown\nh_sum{@} -2.0\n",
    ),
    (
        "# TYPE h histogram\nh_bucket{le=\"1\"} 0.5\nh_sum 2\nh_count 3.5\n",
        "# TYPE h_bucket unknown\nh_bucket{@,le=\"1.0\"} 0.5\nh_bucket{@,le=\"+Inf\"} 3.5\n\
         # TYPE h_count unknown\nh_count{@} 3.5\n# TYPE h_sum unknown\nh_sum{@} 2.0\n",
    ),
    (
        "# TYPE s summary\ns{quantile=\"1.5\"} 4\ns_sum 2\ns_count 3\n",
        "# TYPE s unknown\ns{@,quantile=\"1.5\"} 4.0\n# TYPE s_count unknown\ns_count{@} 3.0\n\
         # TYPE s_sum unknown\ns_sum{@} 2.0\n",
    ),
    (
        "# TYPE s summary\ns{quantile=\"0.5\"} -4\ns_sum -2\ns_count 3\n",
        "# TYPE s unknown\ns{@,quantile=\"0.5\"} -4.0\n# TYPE s_count unknown\ns_count{@} 3.0\n\
         # TYPE s_sum unknown\ns_sum{@} -2.0\n",
    ),
    (
        "# TYPE s summary\ns_sum 2\ns_count 3\n# TYPE s_created gauge\ns_created{a=\"b\"} 5\n",
        "# TYPE s_count unknown\ns_count{@} 3.0\n# TYPE s_sum unknown\ns_sum{@} 2.0\n\
         # TYPE s_created gauge\ns_created{a=\"b\",@} 5.0\n",
    ),
    (
        "# TYPE h histogram\nh_sum 2\nh_count 3\n# TYPE h_created gauge\nh_created -5\n",
        "# TYPE h_bucket unknown\nh_bucket{@,le=\"+Inf\"} 3.0\n# TYPE h_count unknown\nh_count{@} 3.0\n\
         # TYPE h_sum unknown\nh_sum{@} 2.0\n# TYPE h_created gauge\nh_created{@} -5.0\n",
    ),
];

#[test]
fn a_family_that_openmetrics_has_no_type_for_is_shown_without() {
    for (body, expected) in UNTYPED {
        let expected = expected.replace('@', "instance=\"\",job=\"a\"");
        let gateway = Gateway::start(&[]);
        push(&gateway, "/metrics/job/a", TEXT, body);
        assert_eq!(text_of(&gateway, OPENMETRICS), format!("{expected}# EOF\n"), "{body}");
        // Other families and other formats stay the same.
        assert!(text_of(&gateway, TEXT).contains(&body[..body.find('\n').unwrap()]), "{body}");
        // One such series is enough.
        push(&gateway, "/metrics/job/b", TEXT, body.replace(['-', '.'], ""));
        assert!(!text_of(&gateway, OPENMETRICS).contains("histogram"), "{body}");
        gateway.delete("/metrics/job/a");
    }
    // A family without its type has no start times, so none clash with a gauge of that name.
    let gateway = formats::with_created_series(&[]);
    push(&gateway, "/metrics/job/a", TEXT, "# TYPE h histogram\nh_sum 2\nh_count 3\n");
    assert!(text_of(&gateway, OPENMETRICS).contains("\nh_created{instance=\"\",job=\"a\"} "));
    push(&gateway, "/metrics/job/b", TEXT, "# TYPE h_created gauge\nh_created 5\n");
    let text = text_of(&gateway, OPENMETRICS);
    assert!(
        text.ends_with("# TYPE h_created gauge\nh_created{instance=\"\",job=\"b\"} 5.0\n# EOF\n"),
        "{text}"
    );
    assert_eq!(text.matches("h_created{").count(), 1, "{text}");
}

#[test]
fn types_of_values_that_are_replaced_are_shown_while_they_fit() {
    let gateway =
        Gateway::start_with_config("[exposition]\nstock_formats = false\n", &["--no-push.aggregate"]);
    for (value, kind) in [("1", "counter"), ("-1", "unknown"), ("NaN", "unknown"), ("+Inf", "counter")] {
        push(&gateway, "/metrics/job/a", TEXT, format!("# TYPE c_total counter\nc_total {value}\n"));
        let name = if kind == "counter" { "c" } else { "c_total" };
        let text = text_of(&gateway, OPENMETRICS);
        assert!(text.starts_with(&format!("# TYPE {name} {kind}\nc_total{{")), "{value}: {text}");
    }
    let body = |sum: &str, le: &str| {
        format!(
            "# TYPE g gaugehistogram\ng_bucket{{le=\"{le}\"}} 1\ng_bucket{{le=\"+Inf\"}} 2\ng_gsum {sum}\ng_gcount 2\n# EOF\n"
        )
    };
    for (body, is_typed) in [
        (body("1", "1"), true),
        (body("-1", "1"), false),
        (body("-1", "-1"), true),
        (body("NaN", "-1"), false),
    ] {
        push(&gateway, "/metrics/job/a", OPENMETRICS, body);
        let text = text_of(&gateway, OPENMETRICS);
        assert_eq!(text.contains("# TYPE g gaugehistogram\n"), is_typed, "{text}");
        assert!(text.contains("g_gsum{") && text.contains("g_gcount{"), "{text}");
    }
    for buckets in
        ["g_bucket{le=\"2\"} 1\ng_bucket{le=\"1\"} 1\n", "g_bucket{le=\"1\"} 2\ng_bucket{le=\"2\"} 1\n"]
    {
        push(
            &gateway,
            "/metrics/job/a",
            TEXT,
            format!("# TYPE h histogram\n{}h_sum 1\nh_count 2\n", buckets.replace('g', "h")),
        );
        assert!(text_of(&gateway, OPENMETRICS).contains("# TYPE h_bucket unknown\n"));
    }
}

#[test]
fn exemplars_that_some_parser_refuses_are_left_out() {
    let gateway = Gateway::start(&[]);
    for (labels, is_shown) in [
        ("id=\"__x\"", true),
        ("__id=\"x\"", false),
        ("id=\"\\\"\"", false),
        ("id=\"\\\\\"", true),
        ("", true),
    ] {
        let body = format!("# TYPE a counter\na_total 1 # {{{labels}}} 1\n# EOF\n");
        push(&gateway, "/metrics/job/a", OPENMETRICS, body);
        let text = text_of(&gateway, OPENMETRICS);
        assert_eq!(text.contains(&format!(" # {{{labels}}} 1.0 ")), is_shown, "{text}");
        assert_eq!(text.contains(" # "), is_shown, "{text}");
        assert!(formats::protobuf_of(&gateway).contains(&format!("#{{{labels}}}")), "{labels}");
    }
}
