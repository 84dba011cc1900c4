//! Hints about bodies that can't be parsed.
//!
//! A hint follows the error of the parser. It says what the body is, if that is certain, and what to do. Hints are
//! made only for refused bodies, and never decide whether a body is accepted.

use std::io::Read;

use actix_web::http::header::{self, HeaderMap};
use bumpalo::Bump;

use super::body::{self, Encoding};
use crate::exposition::negotiation::Offers;
use crate::exposition::protobuf::{Shape, shape};
use crate::exposition::{BodyFormat, ParseError, Reading, ending};
use crate::gateway::Gateway;
use crate::message::quote;

const REMOTE_WRITE: &str = "this is a remote write request: remote_write belongs to a server that receives it, such as \
    a Prometheus with --web.enable-remote-write-receiver at /api/v1/write";

const OTLP: &str = "this is OTLP, which belongs to a server that receives it, such as an OpenTelemetry collector, or a \
    Prometheus with --web.enable-otlp-receiver at /api/v1/otlp/v1/metrics";

const OTHER_PROTOBUF: &str = "application/x-protobuf is the Content-Type of remote write and of OTLP, which the gateway \
    does not take";

const NO_LINE_FEED: &str =
    "the body has no line feed: curl -d @FILE removes them, so use curl --data-binary @FILE";

const CARRIAGE_RETURNS: &str = "the lines of the body end in carriage returns: end them with line feeds, and send it \
    with curl --data-binary, because -d removes both";

const CUT_COMMENT: &str = "the last line is a comment without a line feed: the body may have been cut off (with curl, \
    use --data-binary, because -d removes line feeds)";

const CUT_SAMPLE: &str =
    "the last line has no line feed (push.require_final_newline): the body may have been cut off";

const INNER_MARK: &str = "a byte order mark stands within the body, as in files that were joined: only the first one \
    of a body is skipped";

const SNAPPY_BLOCK: &str = "the body is snappy in its block format: send it in the framed format, with the header \
    Content-Encoding: snappy";

const OPENMETRICS: &str = "the body is OpenMetrics: send it with the header \
    Content-Type: application/openmetrics-text; version=1.0.0";

const OPENMETRICS_AS_TEXT: &str = "the body is OpenMetrics, which the gateway reads only with \
    exposition.stock_formats = false and the header Content-Type: application/openmetrics-text; version=1.0.0";

const TEXT: &str = "the body is in the text format: send it with the header Content-Type: text/plain";

/// The header that a push in protobuf needs.
const PROTOBUF_TYPE: &str = "Content-Type: application/vnd.google.protobuf; \
    proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A body that could not be parsed.
pub(super) struct Unread<'a> {
    /// The headers of the request.
    pub(super) headers: &'a HeaderMap,
    /// The body, decompressed.
    pub(super) body: &'a [u8],
    /// Whether its `Content-Encoding` was decoded.
    pub(super) is_decoded: bool,
    /// The format that it was parsed as.
    pub(super) format: BodyFormat,
    /// The error of the parser.
    pub(super) error: &'a ParseError,
    /// The formats that the gateway reads.
    pub(super) offers: Offers,
}

/// The text to append to the error of the parser: empty, or a semicolon, a space and the hint.
#[cold]
pub(super) fn of_body(unread: &Unread<'_>, gateway: &Gateway) -> String {
    let Unread { headers, body, is_decoded, .. } = *unread;
    let hints = match of_protocol(headers, body) {
        Some(hint) => vec![hint.to_owned()],
        None => {
            let encoding = if is_decoded { None } else { not_undone(headers) };
            let content = of_compression(body, is_decoded)
                .or_else(|| snappy_block(body).map(str::to_owned))
                .or_else(|| utf16(body))
                .or_else(|| of_protobuf(unread))
                .or_else(|| {
                    of_lines(unread, gateway).or_else(|| of_format(unread, gateway)).map(str::to_owned)
                });
            encoding.into_iter().chain(content).collect()
        }
    };
    hints.iter().map(|hint| format!("; {hint}")).collect()
}

/// The text to append to the error of a decoder.
#[cold]
pub(super) fn of_encoding(headers: &HeaderMap, body: &[u8]) -> String {
    let hint = of_protocol(headers, body).map(str::to_owned).or_else(|| {
        let sent = Encoding::of(headers).name()?;
        match Compression::of(body) {
            Some(Compression { encoding: Some(is), .. }) if is == sent => None,
            Some(Compression { encoding: Some(is), .. }) => {
                Some(format!("the body is {is}: send it with Content-Encoding: {is}, not {sent}"))
            }
            Some(Compression { name, encoding: None }) => Some(format!("the body is {name}, not {sent}")),
            None => snappy_block(body).map(str::to_owned),
        }
    });
    hint.map_or_else(String::new, |hint| format!("; {hint}"))
}

/// The text to append to a 404, for requests that are meant for other servers.
#[cold]
pub(super) fn of_path(path: &str, headers: &HeaderMap) -> String {
    let hint = if path.ends_with("/api/v1/write") {
        Some(REMOTE_WRITE)
    } else if path.ends_with("/v1/metrics") && !path.ends_with("/api/v1/metrics") {
        Some(OTLP)
    } else {
        of_protocol(headers, b"")
    };
    hint.map_or_else(String::new, |hint| format!(": {hint}"))
}

fn value<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a [u8] {
    headers.get(name).map_or(b"", |value| value.as_bytes())
}

/// Recognises requests of other protocols.
fn of_protocol(headers: &HeaderMap, body: &[u8]) -> Option<&'static str> {
    let media = value(headers, &header::CONTENT_TYPE);
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_protobuf = media.eq_ignore_ascii_case(b"application/x-protobuf");
    let is_snappy = Encoding::of(headers) == Encoding::Snappy;
    if headers.contains_key("x-prometheus-remote-write-version") || (is_protobuf && is_snappy) {
        return Some(REMOTE_WRITE);
    }
    let agent = value(headers, &header::USER_AGENT).to_ascii_lowercase();
    let is_from_otlp = contains(&agent, b"otlp") || contains(&agent, b"opentelemetry");
    let is_json = media.eq_ignore_ascii_case(b"application/json");
    if (is_protobuf && is_from_otlp) || (is_json && contains(body, b"\"resourceMetrics\"")) {
        return Some(OTLP);
    }
    is_protobuf.then_some(OTHER_PROTOBUF)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// The hint for a body whose encoding is unknown, or which is not in its encoding. Both are parsed unchanged.
fn not_undone(headers: &HeaderMap) -> Option<String> {
    let name = value(headers, &header::CONTENT_ENCODING);
    if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
        return None;
    }
    let name = quote(name);
    Some(match Encoding::of(headers) {
        Encoding::Identity => format!("Content-Encoding {name} is unknown, so the body was read as it is"),
        _ => format!("the body is not in Content-Encoding {name}, so it was read as it is"),
    })
}

/// A compression method.
#[derive(Clone, Copy)]
struct Compression {
    name: &'static str,
    /// Its name in `Content-Encoding`, if the gateway can decode it.
    encoding: Option<&'static str>,
}

/// The first bytes of compressed bodies.
const MAGICS: [(&[u8], &str, Option<&str>); 7] = [
    (&[0x1f, 0x8b, 0x08], "gzip", Some("gzip")),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", Some("zstd")),
    (b"\xff\x06\0\0sNaPpY", "snappy", Some("snappy")),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4", None),
    (b"\xfd7zXZ\0", "xz", None),
    (b"BZh91AY&SY", "bzip2", None),
    (b"PK\x03\x04", "a zip file", None),
];

impl Compression {
    /// The compression of a body, if it is certain.
    fn of(body: &[u8]) -> Option<Compression> {
        let known = MAGICS.iter().find(|(magic, ..)| body.starts_with(magic));
        if let Some((_, name, encoding)) = known {
            return Some(Compression { name, encoding: *encoding });
        }
        if body::is_zstd(body) {
            return Some(Compression { name: "zstd", encoding: Some("zstd") });
        }
        // Two bytes, which may be `x^`, prove nothing. The body must not be text, and some of it must decompress.
        let is_binary = || !is_text(body) || std::str::from_utf8(body).is_err();
        let inflates = || flate2::bufread::ZlibDecoder::new(body).read(&mut [0]).is_ok_and(|read| read > 0);
        let is_zlib = body.first() == Some(&0x78) && is_binary() && inflates();
        is_zlib.then_some(Compression { name: "deflate (zlib)", encoding: None })
    }
}

fn of_compression(body: &[u8], is_decoded: bool) -> Option<String> {
    let Compression { name, encoding } = Compression::of(body)?;
    Some(match encoding {
        _ if is_decoded => format!("the body is {name} once more after decompression: compress it once"),
        Some(encoding) => format!("the body is {name}: send it with the header Content-Encoding: {encoding}"),
        None => format!(
            "the body is {name}, which the gateway does not undo: send it plain, or with Content-Encoding gzip, \
             zstd or snappy"
        ),
    })
}

/// Recognises snappy without frames. It has no magic number, so the decompressed text must make sense.
fn snappy_block(body: &[u8]) -> Option<&'static str> {
    const MOST_BYTES: usize = 16 << 20;
    snap::raw::decompress_len(body).ok().filter(|length| (1..=MOST_BYTES).contains(length))?;
    let content = snap::raw::Decoder::new().decompress_vec(body).ok()?;
    if contains(&content, b"\x0a\x08__name__") {
        return Some(REMOTE_WRITE);
    }
    let makes_sense =
        (is_text(&content) && std::str::from_utf8(&content).is_ok()) || shape(&content).is_some();
    makes_sense.then_some(SNAPPY_BLOCK)
}

/// Recognises UTF-16 and UTF-32 by a byte order mark, or by the zero bytes in ASCII text.
fn utf16(body: &[u8]) -> Option<String> {
    const CHARACTERS: usize = 4;
    let start = &body[..body.len().min(2 * CHARACTERS)];
    let pairs = start.as_chunks::<2>().0;
    let are_pairs = |is_pair: fn(&[u8; 2]) -> bool| !pairs.is_empty() && pairs.iter().all(is_pair);
    let name = match body {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => "UTF-32",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
        _ if are_pairs(|[low, high]| is_text_byte(*low) && *high == 0) => "UTF-16",
        _ if are_pairs(|[high, low]| is_text_byte(*low) && *high == 0) => "UTF-16",
        _ => return None,
    };
    Some(format!("the body is {name}: send it as UTF-8"))
}

fn of_protobuf(unread: &Unread<'_>) -> Option<String> {
    match (shape(unread.body)?, unread.format) {
        (Shape::Undelimited, _) => Some(format!(
            "the body is a metric family in protobuf without the length prefix: write the length of each message \
             before it, as a varint, and send it with {PROTOBUF_TYPE}"
        )),
        (Shape::Delimited, BodyFormat::Protobuf) => None,
        (Shape::Delimited, _) => Some(format!("the body is protobuf: send it with {PROTOBUF_TYPE}")),
    }
}

/// The hint for wrong lines of a text.
fn of_lines(unread: &Unread<'_>, gateway: &Gateway) -> Option<&'static str> {
    let body = unread.body;
    if unread.format == BodyFormat::Protobuf || !is_text(body) {
        return None;
    }
    if ending::has_only_carriage_returns(body) {
        return Some(CARRIAGE_RETURNS);
    }
    let is_cut_comment = ending::ends_in_comment(body);
    if !is_cut_comment && gateway.requires_final_newline() && unread.error.is_unfinished() {
        return Some(CUT_SAMPLE);
    }
    if memchr::memchr(b'\n', body).is_none() {
        // A line with fewer words may as well be a sample with an error of its own.
        let words = body.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        return (is_cut_comment || words.take(3).count() == 3).then_some(NO_LINE_FEED);
    }
    if is_cut_comment {
        return Some(CUT_COMMENT);
    }
    ending::has_inner_mark(body).then_some(INNER_MARK)
}

/// Whether the beginning of a body is text.
fn is_text(body: &[u8]) -> bool {
    let start = &body[..body.len().min(64)];
    start.iter().all(|byte| is_text_byte(*byte) || !byte.is_ascii())
}

fn is_text_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte.is_ascii_whitespace()
}

/// The hint for a body that is valid in another format.
fn of_format(unread: &Unread<'_>, gateway: &Gateway) -> Option<&'static str> {
    let Unread { body, format, offers, .. } = *unread;
    let reading = Reading { limits: gateway.push_limits(), ..Reading::unlimited(gateway.names()) };
    let families_as =
        |format: BodyFormat| format.parse(body, &reading, &Bump::new()).ok().map(|body| body.families.len());
    let is_openmetrics = || has_marks_of_openmetrics(body) && families_as(BodyFormat::OpenMetrics).is_some();
    let is_text = || families_as(BodyFormat::Text).is_some_and(|families| families > 0);
    match (format, offers) {
        (BodyFormat::Text | BodyFormat::Protobuf, Offers::All) if is_openmetrics() => Some(OPENMETRICS),
        (BodyFormat::Text, Offers::Stock) if is_openmetrics() => Some(OPENMETRICS_AS_TEXT),
        (BodyFormat::OpenMetrics, _) if !ending::ends_in_eof(body) && is_text() => Some(TEXT),
        (BodyFormat::Protobuf, _) if is_text() => Some(TEXT),
        _ => None,
    }
}

/// Whether a body has syntax that only OpenMetrics has.
fn has_marks_of_openmetrics(body: &[u8]) -> bool {
    let types = [&b" unknown"[..], b" info", b" stateset"];
    let is_type = |line: &[u8]| {
        let line = line.trim_ascii_end();
        line.starts_with(b"# TYPE ") && types.iter().any(|word| line.ends_with(word))
    };
    ending::ends_in_eof(body)
        || contains(body, b"# UNIT ")
        || contains(body, b" # {")
        || body.split(|byte| *byte == b'\n').any(is_type)
}
