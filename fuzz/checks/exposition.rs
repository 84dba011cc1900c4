//! Scrapes in every format, which the gateway's own parsers must accept.

#![allow(dead_code, reason = "the property tests use a part of it")]

use bumpalo::Bump;
use tallygate::exposition::negotiation::{Format, Offers};
use tallygate::exposition::text::Names;
use tallygate::exposition::{openmetrics, protobuf, text};
use tallygate::gateway::{BodyFormat, Gateway};

const TEXT: &str = "text/plain;version=1.0.0";
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0";
const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

pub(crate) const FORMATS: [BodyFormat; 3] = [BodyFormat::Text, BodyFormat::OpenMetrics, BodyFormat::Protobuf];

/// The families that the gateway adds.
const OWN: [&[u8]; 4] = [b"pushgateway_", b"process_", b"tallygate_", b"push_"];

pub(crate) fn scraped(gateway: &Gateway, format: BodyFormat, escaping: &str) -> Vec<u8> {
    let accept = match format {
        BodyFormat::Text => TEXT,
        BodyFormat::OpenMetrics => OPENMETRICS,
        BodyFormat::Protobuf => PROTOBUF,
    };
    let format = Format::negotiate(&format!("{accept};escaping={escaping}"), Offers::All);
    let mut exposition = Vec::new();
    let written = gateway.scrape(format, |chunk| {
        exposition.append(chunk);
        Ok(())
    });
    written.unwrap();
    exposition
}

/// The part of an exposition that was pushed.
pub(crate) fn pushed(exposition: &[u8], format: BodyFormat) -> Vec<u8> {
    if format == BodyFormat::Protobuf { pushed_messages(exposition) } else { pushed_lines(exposition) }
}

fn is_own(name: &[u8]) -> bool {
    OWN.iter().any(|own| name.starts_with(own))
}

fn pushed_lines(exposition: &[u8]) -> Vec<u8> {
    let name = |line: &[u8]| {
        let comment =
            [&b"# HELP "[..], b"# TYPE ", b"# UNIT "].into_iter().find_map(|c| line.strip_prefix(c));
        comment.unwrap_or(line).to_vec()
    };
    exposition
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !is_own(&name(line)))
        .flatten()
        .copied()
        .collect()
}

fn pushed_messages(mut stream: &[u8]) -> Vec<u8> {
    let mut pushed = Vec::new();
    while !stream.is_empty() {
        let mut rest = stream;
        let length = varint(&mut rest);
        let (message, after) = rest.split_at(length);
        // The first field is the name.
        let mut name = message.strip_prefix(&[0x0a]).unwrap();
        let length = varint(&mut name);
        if !is_own(&name[..length]) {
            pushed.extend_from_slice(&stream[..stream.len() - after.len()]);
        }
        stream = after;
    }
    pushed
}

fn varint(bytes: &mut &[u8]) -> usize {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// The pushed metrics in each of [`FORMATS`], from scrapes that a parser of the format must accept.
pub(crate) fn shown(gateway: &Gateway) -> [Vec<u8>; 3] {
    FORMATS.map(|format| {
        let exposition = scraped(gateway, format, "allow-utf-8");
        check_parses(&exposition, format, Names::Utf8);
        pushed(&exposition, format)
    })
}

/// Fails if a parser of the format does not accept a scrape with escaped names.
pub(crate) fn check_escaped(gateway: &Gateway, format: BodyFormat, escaping: &str) {
    check_parses(&scraped(gateway, format, escaping), format, Names::Legacy);
}

fn check_parses(exposition: &[u8], format: BodyFormat, names: Names) {
    let arena = Bump::new();
    let error = match format {
        BodyFormat::Text => text::parse(exposition, names, &arena).err().map(|e| e.to_string()),
        BodyFormat::OpenMetrics => openmetrics::parse(exposition, names, &arena).err().map(|e| e.to_string()),
        BodyFormat::Protobuf => protobuf::parse(exposition, &arena).err().map(|e| e.to_string()),
    };
    if let Some(error) = error {
        panic!("{format:?}: {error}\n{}", String::from_utf8_lossy(&pushed(exposition, format)));
    }
}
