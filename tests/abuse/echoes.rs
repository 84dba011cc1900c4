//! Refused pushes whose errors would be long if they quoted everything that was pushed.

use std::io::Write as _;

use super::attack::Attack;
use crate::support::{Connection, encode_request};

/// The maximum length of an answer or a log line.
const LONGEST: usize = 4096;

fn gzip(body: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(body.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// A negative counter with this many labels of 60 KB, compressed.
fn negative_counter(labels: usize) -> Vec<u8> {
    let value = "v".repeat(60_000);
    let labels: String = (0..labels).map(|number| format!("l{number}=\"{value}\",")).collect();
    gzip(&format!("# TYPE c counter\nc{{{labels}}} -1\n"))
}

fn gzip_push(body: &[u8]) -> Vec<u8> {
    encode_request("POST", "/metrics/job/echo", &[("Content-Encoding", "gzip")], body)
}

#[track_caller]
fn assert_short(log: &str) {
    let longest = log.lines().map(str::len).max().unwrap_or_default();
    assert!(longest <= LONGEST, "a line of {longest} bytes");
}

#[test]
fn a_refusal_does_not_say_all_that_was_pushed() {
    let attack = Attack::start("");
    // More labels than a body may have, more than a series may have, and as many as are allowed.
    let [_, _, text] = [330, 20, 16].map(|labels| {
        let headers = [("Content-Encoding", "gzip")];
        let body = negative_counter(labels);
        let answer = attack.gateway.request("POST", "/metrics/job/echo", &headers, &body);
        assert!(matches!(answer.status, 400 | 413));
        assert!(answer.body.len() <= LONGEST, "{} bytes", answer.body.len());
        answer.text()
    });
    assert!(text.contains("\"... (59800 more bytes)} ... (14 more labels) counter:{value:-1}}"), "{text}");
    assert!(text.contains(" has the value -1, but a counter only adds numbers from 0 up (line 2, column 1)"));
    let word = "x".repeat(500_000);
    let text = attack.gateway.refused("/metrics/job/echo", &format!("# TYPE m {word}\n"));
    assert!(text.len() <= LONGEST && text.contains("unknown metric type \"xxxxx"), "{text:.300}");
    assert!(text.ends_with("x\"... (499800 more bytes) (column 10)\n"), "{text}");
    assert_short(&attack.gateway.stderr());
    attack.is_over();
}

#[test]
fn refusals_that_nobody_reads_take_no_memory() {
    const FIRST: usize = 4;
    const CONNECTIONS: usize = 48;
    // More than the socket buffers of a connection hold.
    const LONG: usize = 6 << 20;
    let attack = Attack::start("web.max_body_bytes = 8388608\nbody_bytes_in_flight = 67108864");
    let long = "x".repeat(LONG);
    let malformed =
        || attack.gateway.sample("tallygate_pushes_total{result=\"malformed\"}").unwrap_or_default();
    let push = gzip_push(&gzip(&format!("# TYPE m {long}\n")));
    let send = |count: usize| -> Vec<Connection> {
        let held = (0..count).map(|_| {
            let mut connection = attack.gateway.connect();
            connection.send(&push).unwrap();
            connection
        });
        held.collect()
    };
    let until_refused = |count: usize| attack.until(|| malformed() == count as f64);
    // The memory for parsing on each processor is not measured here.
    let first = send(FIRST);
    until_refused(FIRST);
    let before = attack.peak();
    let second = send(CONNECTIONS);
    until_refused(FIRST + CONNECTIONS);
    // Without shortening, they would take 288 MiB.
    let taken = attack.peak() - before;
    assert!(taken < 96 << 20, "{} MiB", taken >> 20);
    for mut connection in first.into_iter().chain(second) {
        let answer = connection.read_response("POST").unwrap();
        assert_eq!(answer.status, 400, "{:.300}", answer.text());
        assert!(answer.body.len() <= LONGEST, "{} bytes", answer.body.len());
    }
    assert_short(&attack.gateway.stderr());
    attack.is_over();
}
