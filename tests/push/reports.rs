//! Problems that users of push gateways have reported, rebuilt in small: what is accepted, and the messages of
//! refusals.
//!
//! The inputs that are files are in `reports/`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::programs;
use crate::support::formats::{self, OPENMETRICS, PROTOBUF, TEXT};
use crate::support::{self, Gateway, Response, pushed_lines};

/// With and without aggregation.
const MODES: [&[&str]; 2] = [&[], &["--no-push.aggregate"]];

const STOCK_WORDS: &str = "unexpected end of input stream";

type Headers<'a> = &'a [(&'a str, &'a str)];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports").join(name)
}

fn input(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap()
}

/// The same bytes as curl sends them with `-d @FILE`.
fn without_line_feeds(mut body: Vec<u8>) -> Vec<u8> {
    body.retain(|byte| !matches!(byte, b'\r' | b'\n'));
    body
}

/// The header that curl adds to `-d` and `--data-binary`.
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A gateway with a group `x` that must not change.
fn gateway_with_group(flags: &[&str]) -> Gateway {
    let gateway = Gateway::start(flags);
    gateway.push("/metrics/job/x", "# TYPE old counter\nold 1\n");
    gateway
}

/// Sends a body to the group `x` with POST and PUT. Both must be refused with these words and change nothing.
#[track_caller]
fn check_refused(gateway: &Gateway, headers: Headers<'_>, body: &[u8], words: &[&str]) {
    let before = pushed_lines(&gateway.scrape());
    for method in ["POST", "PUT"] {
        let answer = gateway.request(method, "/metrics/job/x", headers, body);
        let (status, text) = (answer.status, answer.text());
        let shown = String::from_utf8_lossy(body);
        assert_eq!(status, 400, "{method} of {shown:?} with {headers:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{method} of {shown:?} with {headers:?}: no {word:?} in {text}");
        }
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(pushed_lines(&gateway.scrape()), before, "{method} of {shown:?} changed something");
    }
}

/// The same in both modes, with curl's content type.
#[track_caller]
fn check_refused_in_both_modes(body: &[u8], words: &[&str]) {
    for flags in MODES {
        check_refused(&gateway_with_group(flags), &[FORM], body, words);
    }
}

/// Pushes with POST and PUT to an empty gateway in each mode. Both must be accepted and show these lines.
#[track_caller]
fn check_accepted(headers: Headers<'_>, body: &[u8], shown: &str) {
    for flags in MODES {
        for method in ["POST", "PUT"] {
            let gateway = Gateway::start(flags);
            let answer = gateway.request(method, "/metrics/job/x", headers, body);
            let text = String::from_utf8_lossy(body);
            assert_eq!(answer.status, 200, "{method} {flags:?} of {text:?}: {}", answer.text());
            assert_eq!(gateway.pushed(), shown, "{method} {flags:?} of {text:?}");
        }
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn snappy_frames(body: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(body).unwrap();
    encoder.into_inner().unwrap()
}

// Lost line feeds.

#[test]
fn a_file_that_lost_its_line_feeds_is_refused() {
    let body = without_line_feeds(input("comment-only-no-newline.txt"));
    check_refused_in_both_modes(
        &body,
        &["text format parsing error in line 1: ", STOCK_WORDS, "--data-binary"],
    );
    let with_mark = [b"\xef\xbb\xbf", &body[..]].concat();
    check_refused_in_both_modes(&with_mark, &[STOCK_WORDS, "--data-binary"]);
    // The same in OpenMetrics, compressed, and chunked.
    let gateway = gateway_with_group(&[]);
    for body in [&body[..], b"# TYPE a unknowna 1# EOF", b"# UNIT a_s sa_s 1# EOF", b"# EOFa 1"] {
        let words = ["OpenMetrics parsing error in line 1: unexpected", "--data-binary"];
        check_refused(&gateway, &[("Content-Type", OPENMETRICS)], body, &words);
    }
    check_refused(&gateway, &[("Content-Encoding", "gzip")], &gzip(&body), &[STOCK_WORDS, "--data-binary"]);
    let (first, rest) = body.split_at(20);
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let chunks = [chunk(first), chunk(rest), chunk(b"")].concat();
    check_refused(&gateway, &[("Transfer-Encoding", "chunked")], &chunks, &[STOCK_WORDS, "--data-binary"]);
    // Larger than a body that is parsed on the worker.
    let large = [&body[..], &b" more words".repeat(40_000)].concat();
    check_refused(&gateway, &[], &large, &[STOCK_WORDS, "--data-binary"]);
    // Turning off the consistency check does not change this.
    let unchecked = Gateway::start(&["--push.disable-consistency-check"]);
    assert_eq!(unchecked.put("/metrics/job/x", "old 1\n").status, 202);
    check_refused(&unchecked, &[FORM], &body, &[STOCK_WORDS, "--data-binary"]);
}

#[test]
fn curl_that_removes_line_feeds_fails() {
    let Some(curl) = programs::curl() else { return };
    let gateway = gateway_with_group(&[]);
    let push = |option: &str, method: &str| {
        let mut command = programs::command(&curl);
        command.args(["-sS", "-X", method, option]);
        command.arg(format!("@{}", file("comment-only-no-newline.txt").display()));
        programs::output_of(command.arg(gateway.url("/metrics/job/x")))
    };
    for method in ["POST", "PUT"] {
        let answer = push("-d", method);
        assert!(answer.contains(STOCK_WORDS) && answer.contains("--data-binary"), "{answer}");
        assert_eq!(gateway.pushed(), "# TYPE old counter\nold{instance=\"\",job=\"x\"} 1\n");
    }
    assert_eq!(push("--data-binary", "PUT"), "");
    assert_eq!(
        gateway.pushed(),
        "# TYPE backup_ok gauge\nbackup_ok{instance=\"\",job=\"x\"} 1\n\
         # TYPE backup_size_bytes untyped\nbackup_size_bytes{instance=\"\",job=\"x\"} 1234\n"
    );
}

#[test]
fn an_unfinished_comment_is_refused() {
    let bodies: [&[u8]; 12] = [
        b"#",
        b"# c",
        b"# TYPE a gauge",
        b"# TYPE a gaug",
        b"# HELP a",
        b"# HELP a x\r",
        b"#EOFa",
        b"a 1\n# TYPE b gauge",
        b"a 1\r\n# HELP b",
        b"a 1\n \t# c\t",
        b"a 1\n# EOF\n# c",
        b"a 1\n# EO",
    ];
    for body in bodies {
        check_refused_in_both_modes(body, &[STOCK_WORDS, "--data-binary"]);
    }
    let gateway = gateway_with_group(&[]);
    for body in [&b"# TYPE a gauge"[..], b"a 1\n# HELP b x", b"a 1\n# UNIT b", b"a 1\n# EO", b"a 1\n# c"] {
        check_refused(&gateway, &[("Content-Type", OPENMETRICS)], body, &[STOCK_WORDS, "--data-binary"]);
    }
    // Joined samples are refused as they are.
    check_refused(&gateway, &[FORM], b"a 1b 2", &["got \"1b\"", "--data-binary"]);
    check_refused(&gateway, &[FORM], b"a 1# HELP b text# TYPE b gaugeb 2", &["--data-binary"]);
    let answer = gateway.refused("/metrics/job/x", "a");
    assert!(!answer.contains("curl"), "{answer}");
}

#[test]
fn a_file_with_carriage_returns_only_is_refused() {
    for body in [&b"# HELP a x\r# TYPE a gauge\ra 1\r"[..], b"# TYPE a gauge\ra 1", b"a 1\r", b"# c\r", b"\r"]
    {
        check_refused_in_both_modes(body, &[STOCK_WORDS, "carriage return", "--data-binary"]);
    }
    for body in [&b"a 1\rb 2\r"[..], b"a 1\rb 2", b"\r\ra 1\r"] {
        check_refused_in_both_modes(body, &["carriage return"]);
    }
    let gateway = gateway_with_group(&[]);
    for body in [&b"# TYPE a gauge\ra 1\r# EOF\r"[..], b"a 1\r", b"a 1\r# EOF"] {
        check_refused(&gateway, &[("Content-Type", OPENMETRICS)], body, &["carriage return"]);
    }
}

#[test]
fn a_sample_and_the_end_need_no_line_feed() {
    let one = "# TYPE a untyped\na{instance=\"\",job=\"x\"} 1\n";
    for body in [
        "a 1",
        "a 1 ",
        "a 1\n# EOF",
        "a 1\n# EOF \t",
        "a 1\n#EOF",
        "a 1\r\n# EOF\r",
        "\u{feff}a 1",
        "# c\na{} 1",
    ] {
        check_accepted(&[], body.as_bytes(), one);
    }
    for body in ["", " ", "\n", "\n\n", " \t\n ", "\r\n", "\u{feff}\r\n", "# c\n", "# c\r\n", "# EOF"] {
        check_accepted(&[], body.as_bytes(), "");
    }
    check_accepted(&[("Content-Type", OPENMETRICS)], b"a 1\n# EOF", one);
    check_accepted(&[("Content-Type", OPENMETRICS)], b"a 1", one);
}

#[test]
fn a_cut_number_is_refused_where_that_is_asked_for() {
    let body = input("cut-number.txt");
    check_accepted(&[], &body, "# TYPE cut_total counter\ncut_total{instance=\"\",job=\"x\"} 1234\n");
    for flags in MODES {
        let gateway = Gateway::start_with_config("[push]\nrequire_final_newline = true\n", flags);
        gateway.push("/metrics/job/x", "old 1\n");
        let words = ["text format parsing error in line 2: unexpected end of input stream", "line feed"];
        check_refused(&gateway, &[FORM], &body, &words);
        check_refused(&gateway, &[("Content-Encoding", "gzip")], &gzip(&body), &words);
        for body in ["a 1", "{\"a\"} 1", "a 1 ", "a 1\r", "a 1\nb 2", "a 1\n# EOF", "# EOF", "a 1\n# c"] {
            check_refused(&gateway, &[], body.as_bytes(), &[STOCK_WORDS]);
        }
        for body in ["", " ", "a 1\n", "a 1\r\n", "a 1\n ", "\u{feff}a 1\n", "a 1\n# EOF\n"] {
            gateway.push("/metrics/job/x", body);
        }
    }
    // OpenMetrics has `# EOF` as its end.
    let gateway = Gateway::start_with_config("[push]\nrequire_final_newline = true\n", &[]);
    let headers = [("Content-Type", OPENMETRICS)];
    for body in ["a 12", "# TYPE a gauge\na 1", "a 1\n# EO"] {
        check_refused(&gateway, &headers, body.as_bytes(), &["OpenMetrics", STOCK_WORDS]);
    }
    for body in ["a 1\n# EOF", "a 1\n# EOF\r\n", "a 1\n", "", "# EOF"] {
        assert_eq!(
            gateway.request("POST", "/metrics/job/x", &headers, body.as_bytes()).status,
            200,
            "{body:?}"
        );
    }
    let environment = [("TALLYGATE_PUSH__REQUIRE_FINAL_NEWLINE", "true")];
    assert_eq!(Gateway::start_with(&[], &environment).post("/metrics/job/x", "a 1").status, 400);
}

// Blanks at the end of a line.

#[test]
fn blanks_at_the_end_of_a_line_are_skipped() {
    let sample = |name: &str, value: &str| {
        format!("# TYPE {name} untyped\n{name}{{instance=\"\",job=\"x\"}} {value}\n")
    };
    check_accepted(&[FORM], &input("trailing-blank-value.txt"), &(sample("a", "1") + &sample("b", "2")));
    check_accepted(&[FORM], &input("windows-echo-trailing-blank.txt"), &sample("some_metric", "3.14"));
    let gauge = "# TYPE a gauge\na{instance=\"\",job=\"x\"} 1\n";
    for end in ["\n", " \n", "\t \n", " \r\n", "\t\r\n"] {
        let body = format!("# HELP a A text.{end}# TYPE a gauge{end}a 1{end}");
        check_accepted(&[], body.as_bytes(), gauge);
        check_accepted(&[], body.trim_end_matches(['\r', '\n']).as_bytes(), gauge);
        let quoted = format!("# HELP a{end}# TYPE \"a\" gauge{end}{{\"a\"}} 1{end}");
        check_accepted(&[], quoted.as_bytes(), gauge);
        // Only the content of a line counts.
        let gateway = gateway_with_group(&[]);
        let refusal = gateway.refused("/metrics/job/y", &format!("a 1 5{end}"));
        assert!(refusal.contains("must not have timestamps"), "{refusal}");
        for body in [format!("a{end}"), format!("a {end}"), format!("a 1 x{end}"), format!("a 1 5 x{end}")] {
            check_refused(&gateway, &[], body.as_bytes(), &["text format parsing error in line 1"]);
        }
        let body = format!("# TYPE a gauge counter{end}");
        check_refused(&gateway, &[], body.as_bytes(), &["unknown metric type \"gauge counter\""]);
    }
}

#[test]
fn blanks_at_the_end_of_a_line_are_skipped_in_openmetrics() {
    for end in ["\n", " \n", "\t\n", " \r\n"] {
        let gateway = Gateway::start(&[]);
        let body = format!(
            "# TYPE a_s counter{end}# UNIT a_s s{end}# HELP a_s A text.{end}a_s_total 1{end}a_s_created 5{end}\
             # TYPE b counter{end}b_total 1 # {{id=\"1\"}} 2{end}\
             # TYPE h histogram{end}h_bucket{{le=\"+Inf\"}} 1 # {{id=\"2\"}} 2 3{end}h_count 1{end}h_sum 1{end}# EOF{end}"
        );
        formats::push(&gateway, "/metrics/job/x", OPENMETRICS, &body);
        let text = formats::text_of(&gateway, OPENMETRICS);
        for line in [
            "# UNIT a_s s\n",
            "# TYPE a_s counter\n",
            "a_s_total{instance=\"\",job=\"x\"} 1.0\n",
            "b_total{instance=\"\",job=\"x\"} 1.0 # {id=\"1\"} 2.0 ",
            "h_bucket{instance=\"\",job=\"x\",le=\"+Inf\"} 1 # {id=\"2\"} 2.0 3.0\n",
        ] {
            assert!(text.contains(line), "no {line:?} in {text}");
        }
        let headers = [("Content-Type", OPENMETRICS)];
        let answer =
            gateway.request("POST", "/metrics/job/y", &headers, format!("c 1 5{end}# EOF\n").as_bytes());
        assert!(answer.text().contains("must not have timestamps"), "{}", answer.text());
    }
}

// Encodings of text.

#[test]
fn a_byte_order_mark_at_the_start_is_skipped() {
    let counter = "# TYPE bom_total counter\nbom_total{instance=\"\",job=\"x\"} 1\n";
    let body = input("utf8-bom.txt");
    check_accepted(&[FORM], &body, counter);
    check_accepted(&[("Content-Encoding", "gzip")], &gzip(&body), counter);
    let untyped = "# TYPE m untyped\nm{instance=\"\",job=\"x\"} 1\n";
    for text in ["m 1\n", "\r\nm 1\r\n", "{\"m\"} 1\n", "# a comment\nm 1\n", "  m 1\n"] {
        check_accepted(&[], format!("\u{feff}{text}").as_bytes(), untyped);
    }
    check_accepted(&[("Content-Type", OPENMETRICS)], "\u{feff}m 1\n# EOF\n".as_bytes(), untyped);
    let gateway = gateway_with_group(&[]);
    // Lines and columns refer to the text without the mark.
    check_refused(&gateway, &[], "\u{feff}m x\n".as_bytes(), &["in line 1", "(column 3)"]);
    // A file that lost its content.
    check_refused_in_both_modes("\u{feff}".as_bytes(), &[STOCK_WORDS]);
    check_refused(&gateway, &[("Content-Type", OPENMETRICS)], "\u{feff}".as_bytes(), &[STOCK_WORDS]);
    for body in ["\u{feff}\u{feff}m 1\n", "m 1\n\u{feff}n 1\n"] {
        check_refused(&gateway, &[], body.as_bytes(), &["invalid metric name", "byte order mark"]);
    }
}

#[test]
fn utf16_is_called_that() {
    let text = "# TYPE m gauge\nm 1\n";
    let encoded =
        |text: &str, encode: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(encode).collect::<Vec<u8>>();
    for mark in ["\u{feff}", ""] {
        for text in [text, "m 1\r\n", "#", "# HELP größe größe"] {
            let text = format!("{mark}{text}");
            for encode in [u16::to_le_bytes, u16::to_be_bytes] {
                check_refused_in_both_modes(&encoded(&text, encode), &["UTF-16"]);
            }
        }
    }
    let gateway = gateway_with_group(&[]);
    let body = encoded(&format!("\u{feff}{text}"), u16::to_le_bytes);
    for content_type in [OPENMETRICS, PROTOBUF, TEXT] {
        check_refused(&gateway, &[("Content-Type", content_type)], &body, &["UTF-16"]);
    }
    check_refused(&gateway, &[("Content-Encoding", "gzip")], &gzip(&body), &["UTF-16"]);
}

// Repeated HELP and TYPE lines.

#[test]
fn help_and_type_may_come_before_each_sample() {
    let body = input("repeated-help-type.txt");
    let shown =
        "# TYPE p gauge\np{e=\"a\",instance=\"\",job=\"x\"} 1\np{e=\"b\",instance=\"\",job=\"x\"} 1\n";
    check_accepted(&[FORM], &body, shown);
    let twice = "# TYPE p GAUGE\n# TYPE p gauge \np 1\n# TYPE p Gauge\n";
    check_accepted(&[], twice.as_bytes(), "# TYPE p gauge\np{instance=\"\",job=\"x\"} 1\n");
    let untyped = "p 1\n# TYPE p untyped\n";
    check_accepted(&[], untyped.as_bytes(), "# TYPE p untyped\np{instance=\"\",job=\"x\"} 1\n");
    let part = "# TYPE h histogram\nh_bucket{l=\"a\",le=\"+Inf\"} 1\nh_sum{l=\"a\"} 1\nh_count{l=\"a\"} 1\n";
    let both = [part, &part.replace("\"a\"", "\"b\"")].concat();
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/x", &both);
    assert_eq!(gateway.sample("h_count{instance=\"\",job=\"x\",l=\"b\"}"), Some(1.0));
}

#[test]
fn openmetrics_may_repeat_its_metadata_too() {
    let gateway = Gateway::start(&[]);
    let metadata = "# HELP a_s Text.\n# TYPE a_s counter\n# UNIT a_s s\n";
    let body = format!("{metadata}a_s_total{{x=\"1\"}} 1\n{metadata}a_s_total{{x=\"2\"}} 2\n# EOF\n");
    let headers = [("Content-Type", OPENMETRICS)];
    assert_eq!(gateway.request("POST", "/metrics/job/x", &headers, body.as_bytes()).status, 200);
    assert_eq!(gateway.sample("a_s_total{instance=\"\",job=\"x\",x=\"2\"}"), Some(2.0));
    let body = body.replacen("counter", "gauge", 1);
    check_refused(
        &gateway,
        &headers,
        body.replace("_total", "").as_bytes(),
        &["\"counter\" here, \"gauge\" before"],
    );
}

#[test]
fn a_type_that_contradicts_is_refused_with_both() {
    for (body, both) in [
        ("# TYPE p gauge\np 1\n# TYPE p counter\np{e=\"b\"} 2\n", ["\"counter\"", "\"gauge\""]),
        ("# TYPE p gauge\n# TYPE p Summary\n", ["\"Summary\"", "\"gauge\""]),
        ("p 1\n# TYPE p counter\n", ["\"counter\"", "\"untyped\""]),
        ("# TYPE p gauge\n# TYPE p nothing\n", ["\"nothing\"", "\"gauge\""]),
    ] {
        let words =
            ["second TYPE line for metric name \"p\", or TYPE reported after samples", both[0], both[1]];
        check_refused_in_both_modes(body.as_bytes(), &words);
    }
}

#[test]
fn different_help_texts_are_refused_with_both() {
    let words = ["second HELP line for metric name \"p\"", "\"Two.\" here, \"One.\" before"];
    check_refused_in_both_modes(b"# HELP p One.\np{e=\"a\"} 1\n# HELP p Two.\np{e=\"b\"} 1\n", &words);
    check_refused_in_both_modes(b"# HELP \"p\" One.\n# HELP \"p\" Two.\np 1\n", &words);
    for flags in MODES {
        let gateway = Gateway::start(flags);
        // A HELP line without text says nothing, and the help text of a part is not that of the family.
        let body = "# HELP h Whole.\n# TYPE h histogram\n# HELP h\n# HELP h_count Part.\nh_count 1\nh_sum 1\nh_bucket{le=\"+Inf\"} 1\n";
        gateway.push("/metrics/job/x", body);
        assert!(gateway.scrape().contains("# HELP h Whole.\n"));
    }
}

// Compression without a header.

#[test]
fn a_compressed_body_without_its_header_is_recognised() {
    let body = input("gzip-without-header.gz");
    check_refused_in_both_modes(&body, &["the body is gzip", "Content-Encoding: gzip"]);
    let answer =
        Gateway::start(&[]).request("POST", "/metrics/job/x", &[("Content-Encoding", "gzip")], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = b"# TYPE m gauge\nm 1\n";
    let protobuf = support::protobuf::family(
        "m",
        1,
        &[support::protobuf::metric(&[], 2, &[support::protobuf::number(1, 1.0)])],
    );
    let gateway = gateway_with_group(&[]);
    for (name, compress) in [
        ("gzip", gzip as fn(&[u8]) -> Vec<u8>),
        ("zstd", |body| zstd::encode_all(body, 3).unwrap()),
        ("snappy", snappy_frames),
    ] {
        let words = [format!("the body is {name}"), format!("Content-Encoding: {name}")];
        let words = words.each_ref().map(String::as_str);
        for (content_type, body) in [(TEXT, &text[..]), (OPENMETRICS, b"m 1\n# EOF\n"), (PROTOBUF, &protobuf)]
        {
            check_refused(&gateway, &[("Content-Type", content_type)], &compress(body), &words);
        }
        // An unknown encoding, and a wrong one.
        let odd = [("Content-Encoding", "x-odd")];
        check_refused(&gateway, &odd, &compress(text), &[words[0], words[1], "\"x-odd\" is unknown"]);
        let other = if name == "gzip" { "snappy" } else { "gzip" };
        check_refused(&gateway, &[("Content-Encoding", other)], &compress(text), &[words[0], words[1]]);
        // Compressed twice.
        let twice = compress(&compress(text));
        check_refused(&gateway, &[("Content-Encoding", name)], &twice, &[words[0], "once"]);
    }
}

#[test]
fn compression_that_is_not_undone_is_named() {
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(b"m 1\n").unwrap();
    let zlib = zlib.finish().unwrap();
    let gateway = gateway_with_group(&[]);
    for (body, name) in [
        (&zlib[..], "deflate"),
        (b"\x04\x22\x4d\x18\x64\x40\xa7", "lz4"),
        (b"\xfd7zXZ\0\0\x04", "xz"),
        (b"BZh91AY&SY\xab", "bzip2"),
        (b"PK\x03\x04\x14\0", "a zip file"),
    ] {
        check_refused(&gateway, &[FORM], body, &[&format!("the body is {name}"), "gzip, zstd or snappy"]);
    }
    // A name that looks like the beginning of zlib.
    let refusal = gateway.refused("/metrics/job/x", "x^2 1\n");
    assert!(!refusal.contains("deflate"), "{refusal}");
}

// Malformed protobuf, and other protocols.

#[test]
fn protobuf_without_lengths_is_recognised() {
    let body = input("protobuf-undelimited.pb");
    let gateway = gateway_with_group(&[]);
    check_refused(&gateway, &[("Content-Type", PROTOBUF)], &body, &["protobuf", "length prefix"]);
    check_refused(
        &gateway,
        &[("Content-Type", PROTOBUF), ("Content-Encoding", "gzip")],
        &gzip(&body),
        &["length prefix"],
    );
    check_refused(&gateway, &[FORM], &body, &["length prefix", PROTOBUF]);
    let delimited = [&[u8::try_from(body.len()).unwrap()], &body[..]].concat();
    formats::push(&gateway, "/metrics/job/y", PROTOBUF, &delimited);
    assert_eq!(gateway.sample("test{instance=\"\",job=\"y\",status=\"200\"}"), Some(1.0));
    // Valid, but with the wrong content type.
    for content_type in ["application/octet-stream", "application/vnd.google.protobuf", TEXT, OPENMETRICS] {
        let words = ["the body is protobuf", PROTOBUF];
        check_refused(&gateway, &[("Content-Type", content_type)], &delimited, &words);
        check_refused(&gateway, &[("Content-Type", content_type)], &delimited.repeat(3), &words);
    }
}

#[test]
fn text_that_is_called_protobuf_is_recognised() {
    let gateway = gateway_with_group(&[]);
    let text = b"# TYPE m gauge\nm 1\n";
    check_refused(
        &gateway,
        &[("Content-Type", PROTOBUF)],
        text,
        &["text format", "Content-Type: text/plain"],
    );
    let untyped = b"# TYPE m untyped\n\nm 1\n";
    check_refused(
        &gateway,
        &[("Content-Type", OPENMETRICS)],
        untyped,
        &["text format", "Content-Type: text/plain"],
    );
}

#[test]
fn other_protocols_are_told_where_they_belong() {
    let gateway = Gateway::start(&[]);
    for (path, word) in [
        ("/api/v1/write", "this is a remote write request"),
        ("/v1/metrics", "this is OTLP"),
        ("/api/v1/otlp/v1/metrics", "this is OTLP"),
    ] {
        let answer = gateway.post(path, "x");
        assert_eq!(answer.status, 404, "{path}");
        let text = answer.text();
        assert!(text.starts_with("404 page not found: ") && text.contains(word), "{path}: {text}");
        assert_eq!(text.trim_end().lines().count(), 1);
    }
    let version = [("X-Prometheus-Remote-Write-Version", "0.1.0")];
    let answer = gateway.request("POST", "/receive", &version, b"x");
    assert!(answer.text().contains("this is a remote write request"), "{}", answer.text());
    assert_eq!(gateway.post("/receive", "x").text().trim_end(), "404 page not found");
}

#[test]
fn remote_write_is_recognised() {
    let body = input("remote-write.snappy");
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    for flags in MODES {
        let gateway = gateway_with_group(flags);
        let words = ["remote write", "/api/v1/write"];
        check_refused(&gateway, &headers, &body, &words);
        check_refused(&gateway, &headers[..2], &body, &words);
        check_refused(&gateway, &headers[2..], b"\x0a\x02\x08\x01", &words);
        let version_2 =
            [("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"), headers[1]];
        check_refused(&gateway, &version_2, &body, &words);
    }
}

#[test]
fn snappy_without_frames_is_recognised() {
    let block = |body: &[u8]| snap::raw::Encoder::new().compress_vec(body).unwrap();
    let text = block(b"# TYPE a counter\na 1\n");
    for flags in MODES {
        let gateway = gateway_with_group(flags);
        for headers in [&[FORM][..], &[("Content-Encoding", "snappy")]] {
            check_refused(&gateway, headers, &text, &["block format", "Content-Encoding: snappy"]);
            check_refused(&gateway, headers, &input("remote-write.snappy"), &["remote write"]);
        }
    }
}

#[test]
fn otlp_is_recognised() {
    let gateway = gateway_with_group(&[]);
    let json = b"{\"resourceMetrics\":[{\"resource\":{},\"scopeMetrics\":[]}]}";
    check_refused(&gateway, &[("Content-Type", "application/json")], json, &["OTLP"]);
    let protobuf = ("Content-Type", "application/x-protobuf");
    let agent = ("User-Agent", "OTel-OTLP-Exporter-Python/1.38.0");
    check_refused(&gateway, &[protobuf, agent], b"\x0a\x02\x12\x00", &["this is OTLP"]);
    check_refused(&gateway, &[protobuf], b"\x0a\x02\x12\x00", &["remote write", "OTLP"]);
}

// OpenMetrics without its content type.

#[test]
fn openmetrics_without_its_content_type_is_recognised() {
    let body = input("openmetrics-without-content-type.txt");
    let words = ["text format parsing error", "OpenMetrics", "Content-Type: application/openmetrics-text"];
    let gateway = gateway_with_group(&[]);
    check_refused(&gateway, &[FORM], &body, &words);
    check_refused(&gateway, &[], &body, &words);
    check_refused(&gateway, &[("Content-Encoding", "gzip")], &gzip(&body), &words);
    for body in [
        "# TYPE a unknown\na 1\n# EOF\n",
        "# TYPE a stateset\na{a=\"b\"} 1\n",
        "# TYPE a counter\na_total 1 # {id=\"x\"} 1\n# EOF\n",
        "# TYPE a_s gauge\n# UNIT a_s s\na_s 1 5.5\n# EOF\n",
        "\u{feff}# HELP a C:\\dir\na 1\n# EOF",
        "# TYPE a info\r\na_info 1\r\n# EOF\r\n",
    ] {
        check_refused(&gateway, &[FORM], body.as_bytes(), &words);
    }
    // The hint appears only if the body is valid OpenMetrics.
    for body in ["# TYPE a info\n\na_info 1\n", "a 1 5.5\n", "# TYPE a info\na_info 1\n# c\n"] {
        let refusal = gateway.refused("/metrics/job/x", body);
        assert!(!refusal.contains("openmetrics-text"), "{body:?}: {refusal}");
    }
    // A body that is also valid text is read as text.
    gateway.push("/metrics/job/y", "# TYPE c counter\n# UNIT c things\nc_total 1\nc_created 1.5e9\n# EOF\n");
    // If only the stock gateway's formats are offered, the header would not help.
    let stock = gateway_with_group(&["--no-push.aggregate"]);
    check_refused(&stock, &[FORM], &body, &["OpenMetrics", "exposition.stock_formats"]);
    let headers = [("Content-Type", OPENMETRICS)];
    check_refused(&stock, &headers, &body, &["OpenMetrics", "exposition.stock_formats"]);
}

#[test]
fn openmetrics_with_its_content_type_is_read() {
    let gateway = Gateway::start(&[]);
    let body = input("openmetrics-without-content-type.txt");
    let answer: Response = formats::send(&gateway, "POST", "/metrics/job/x", OPENMETRICS, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        gateway.sample("mail_build_info{instance=\"\",job=\"x\",revision=\"e2\",version=\"2.3\"}"),
        Some(1.0)
    );
}
