//! Pushes and scrapes in every format.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use crate::support::protobuf::CONTENT_TYPE as PROTOBUF;
use crate::support::protobuf::in_words;
use crate::support::{Gateway, Response, pushed_lines};

pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(crate) const TEXT: &str = "text/plain; version=0.0.4";

/// Sends a body of this type.
pub(crate) fn send(gateway: &Gateway, method: &str, path: &str, content_type: &str, body: &[u8]) -> Response {
    gateway.request(method, path, &[("Content-Type", content_type)], body)
}

/// Pushes a body of this type, which must be accepted.
#[track_caller]
pub(crate) fn push(gateway: &Gateway, path: &str, content_type: &str, body: impl AsRef<[u8]>) {
    let answer = send(gateway, "POST", path, content_type, body.as_ref());
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), String::from_utf8_lossy(body.as_ref()));
}

pub(crate) fn scrape(gateway: &Gateway, accept: &str) -> Response {
    let answer = gateway.request("GET", "/metrics", &[("Accept", accept)], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// The pushed part of a scrape in a text format, without push times.
pub(crate) fn text_of(gateway: &Gateway, accept: &str) -> String {
    let mut text = String::new();
    for line in pushed_lines(&scrape(gateway, accept).text()) {
        if !line.contains("push_time_seconds") && !line.contains("push_failure_time_seconds") {
            writeln!(text, "{line}").unwrap();
        }
    }
    text
}

/// The pushed part of a scrape in protobuf, as readable text without push times.
pub(crate) fn protobuf_of(gateway: &Gateway) -> String {
    let mut is_own = false;
    let mut text = String::new();
    for line in in_words(&scrape(gateway, PROTOBUF).body) {
        if !line.starts_with(' ') {
            let own = ["pushgateway_", "process_", "tallygate_", "push_"];
            is_own = own.iter().any(|own| line.starts_with(own));
        }
        if !is_own {
            writeln!(text, "{line}").unwrap();
        }
    }
    text
}

/// Replaces each time since the start of the gateway by `NOW`, because only its presence matters. Pushed times are
/// older, and stay exact.
pub(crate) fn without_now(gateway: &Gateway, text: &str) -> String {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    // The time in a text may be rounded, to milliseconds or as a floating-point number.
    let run = seconds(gateway.started()) - 0.1..seconds(SystemTime::now()) + 0.1;
    let is_now = |word: &str| word.parse().is_ok_and(|time: f64| run.contains(&time));
    let words = text.split_inclusive([' ', '\n', '@', '=']).map(|word| {
        let (bare, end) = word.split_at(word.trim_end_matches([' ', '\n', '@', '=']).len());
        [if is_now(bare) { "NOW" } else { bare }, end].concat()
    });
    words.collect()
}

/// A gateway that shows start times in OpenMetrics, too.
pub(crate) fn with_created_series(flags: &[&str]) -> Gateway {
    Gateway::start_with_config("[exposition]\ncreated_series = true\nstock_formats = false\n", flags)
}
