//! Explains why the HTTP library can't parse a request. Its own answer has no body.

use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::head::BadHead;
use crate::message::quote;

/// The limits of the library.
const MOST_FIELDS: usize = 96;
const MOST_BYTES: usize = 128 << 10;
const MOST_TARGET: usize = 65_534;

/// How many bytes are read from a refused client, and for how long. If a connection is closed with unread data, the
/// client may lose the answer.
pub(super) const DRAINED_BYTES: usize = 64 * 1024;
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

const BAD_REQUEST: &str = "400 Bad Request";
const TOO_LARGE: &str = "431 Request Header Fields Too Large";

/// The library's own answers are shorter.
const LONGEST: usize = 250;

/// Finds the library's own answer in bytes for a client: its position and status. It is the last answer of a
/// connection.
pub(super) fn find(bytes: &[u8]) -> Option<(usize, &'static str)> {
    // A quick check: these answers end so, and few others do.
    bytes.ends_with(b" GMT\r\n\r\n").then_some(())?;
    let end = &bytes[bytes.len().saturating_sub(LONGEST)..];
    let at = memchr::memmem::rfind(end, b"HTTP/1.")?;
    let mut lines = std::str::from_utf8(&end[at..]).ok()?.strip_suffix("\r\n\r\n")?.split("\r\n");
    let (_, status) = lines.next()?.split_once(' ')?;
    let status = [BAD_REQUEST, TOO_LARGE].into_iter().find(|known| *known == status)?;
    let is_empty = lines.next()? == "content-length: 0";
    let is_own = |line: &str| line.starts_with("connection: ") || line.starts_with("date: ");
    (is_empty && lines.all(is_own)).then_some((bytes.len() - end.len() + at, status))
}

/// The answer that replaces it.
pub(super) fn answer(status: &str, reason: &str) -> Vec<u8> {
    let body = format!("{status}: {reason}\n");
    let mut answer = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n");
    answer.push_str("X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n");
    answer.push_str("Connection: close\r\n");
    let _ = write!(answer, "Content-Length: {}\r\n\r\n{body}", body.len());
    answer.into_bytes()
}

/// What is wrong with the head of a request, or with its beginning. Keeps the messages of Go's server.
pub(super) fn reason(status: &str, head: BadHead<'_>) -> String {
    let BadHead { text, length, is_behind_body } = head;
    if status == TOO_LARGE {
        let has_raw_target = text.iter().take_while(|byte| **byte != b'\n').any(|byte| !byte.is_ascii());
        return if (1..MOST_BYTES).contains(&length) && has_raw_target {
            format!("the request line has more than {} KiB once its raw bytes are escaped", MOST_BYTES >> 10)
        } else if (1..MOST_BYTES).contains(&length) {
            format!("there are more than {MOST_FIELDS} header fields")
        } else {
            format!("the request line and the header fields have more than {} KiB", MOST_BYTES >> 10)
        };
    }
    if text.is_empty() {
        return NO_REQUEST.to_owned();
    }
    if let Some(other) = other_protocol(text) {
        return other.to_owned();
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(text) {
        // The body is longer than announced.
        Err(httparse::Error::Token | httparse::Error::Version | httparse::Error::Status)
            if is_behind_body =>
        {
            NO_REQUEST.to_owned()
        }
        Err(error) => bad_syntax(text, error),
        Ok(httparse::Status::Complete(_)) => bad_request(&request),
        // Only the beginning of the head was kept.
        Ok(httparse::Status::Partial) if !text.contains(&b'\n') && length > MOST_TARGET => long_target(),
        Ok(httparse::Status::Partial) => "the request line or the header fields can't be read".to_owned(),
    }
}

/// Either data that is not a request follows a body, or the chunks of a body are malformed.
const NO_REQUEST: &str = "what follows the request before on this connection is no request: its Content-Length or \
    its chunks may be wrong";

/// Recognises the beginning of another protocol.
fn other_protocol(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(&[0x16, 3]) {
        return Some("this is TLS, but there is no TLS on this port: use http:// in the URL");
    }
    if head.starts_with(b"PRI * HTTP/2") {
        return Some("this is HTTP/2, but only HTTP/1.1 is spoken here");
    }
    if head.starts_with(b"PROXY ") || head.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        return Some("this is the PROXY protocol, which is not spoken here: let the proxy send HTTP only");
    }
    None
}

/// The reason why a head can't be parsed.
fn bad_syntax(head: &[u8], error: httparse::Error) -> String {
    let start = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or_default();
    let mut lines = head[start..].split(|byte| *byte == b'\n');
    let line = lines.next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine => {
            bad_field(lines, error)
        }
        _ => bad_request_line(line),
    }
}

fn bad_request_line(line: &[u8]) -> String {
    let mut parts = line.split(|byte| *byte == b' ');
    let method = parts.next().unwrap_or_default();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if method.is_empty() || !method.iter().all(is_token) {
        return format!("{} is no method", quote(method));
    }
    let rest: Vec<&[u8]> = parts.collect();
    match rest.as_slice() {
        [] | [_] => "the request line is not METHOD PATH HTTP/1.1".to_owned(),
        [target, version] => match target.iter().find(|byte| byte.is_ascii_control()) {
            Some(byte) => format!("the path has the control character {byte:#04x}: write it as %{byte:02X}"),
            None if target.is_empty() => "there is no path".to_owned(),
            None => format!("{} is not spoken here, only HTTP/1.1", quote(version)),
        },
        _ => "the path has a blank: write it as %20".to_owned(),
    }
}

/// The first line that is not a header field.
fn bad_field<'a>(lines: impl Iterator<Item = &'a [u8]>, error: httparse::Error) -> String {
    for (number, line) in (1..).zip(lines) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let with_end = [line, b"\r\n\r\n"].concat();
        let Err(of_line) = httparse::parse_headers(&with_end, &mut [httparse::EMPTY_HEADER]) else {
            continue;
        };
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        return match of_line {
            httparse::Error::HeaderValue if line.len() > name.len() => {
                format!("the value of the header field {} has a control character", quote(name))
            }
            _ if line.len() == name.len() => format!("line {number} of the header fields has no colon"),
            _ => format!("invalid header name {}", quote(name)),
        };
    }
    format!("the header fields can't be read: {error}")
}

/// What is wrong with a request that can be parsed.
fn bad_request(request: &httparse::Request<'_, '_>) -> String {
    let (target, is_http_1_1) = (request.path.unwrap_or_default(), request.version == Some(1));
    let values = |name: &str| {
        let fields = request.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        fields.map(|field| field.value.trim_ascii()).collect::<Vec<_>>()
    };
    let (hosts, lengths, codings) = (values("host"), values("content-length"), values("transfer-encoding"));
    let is_number = |value: &[u8]| {
        std::str::from_utf8(value).is_ok_and(|value| !value.starts_with('+') && value.parse::<u64>().is_ok())
    };
    match (&*hosts, &*lengths, &*codings) {
        ([], ..) if is_http_1_1 => "missing required Host header".to_owned(),
        ([_, _, ..], ..) => "too many Host headers".to_owned(),
        (_, [_, _, ..], _) => "there is more than one Content-Length".to_owned(),
        (_, [length], _) if !is_number(length) => {
            format!("{} is no Content-Length", quote(length))
        }
        (.., [_, ..]) if !is_http_1_1 => "HTTP/1.0 has no Transfer-Encoding".to_owned(),
        (.., [_, _, ..]) => "there is more than one Transfer-Encoding".to_owned(),
        (.., [coding]) if !coding.eq_ignore_ascii_case(b"chunked") => {
            format!("unsupported transfer encoding {}, only chunked is known", quote(coding))
        }
        (_, [_], [_]) => "there are both a Content-Length and a Transfer-Encoding".to_owned(),
        (_, [], _) if !is_http_1_1 && request.method == Some("POST") => {
            "a POST in HTTP/1.0 needs a Content-Length".to_owned()
        }
        _ if target.len() > MOST_TARGET => long_target(),
        _ => format!(
            "the path {} can't be read: it begins with a slash, and what is no letter, digit or one of \
            -._~ is escaped as %XX",
            quote(target.as_bytes())
        ),
    }
}

fn long_target() -> String {
    format!("the path has more than {MOST_TARGET} bytes")
}

/// The last answer of a connection, to a request that can't be parsed.
#[derive(Debug)]
pub(super) struct Refusing {
    answer: Vec<u8>,
    sent: usize,
    is_finished: bool,
    drained: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Refusing {
    /// Prepares to send these bytes.
    pub(super) fn new(answer: Vec<u8>) -> Refusing {
        let deadline = Box::pin(sleep(DRAIN_TIMEOUT));
        Refusing { answer, sent: 0, is_finished: false, drained: 0, deadline }
    }

    /// Sends the answer, and then reads from the client for a while. If the connection were closed with unread
    /// data, the client might lose the answer.
    pub(super) fn poll<S>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        S: AsyncRead + AsyncWrite,
    {
        while self.sent < self.answer.len() {
            match ready!(stream.as_mut().poll_write(context, &self.answer[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        if !self.is_finished {
            ready!(stream.as_mut().poll_shutdown(context))?;
            self.is_finished = true;
        }
        let mut unread = [0; 1024];
        while self.drained < DRAINED_BYTES && self.deadline.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut unread);
            ready!(stream.as_mut().poll_read(context, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                count => self.drained += count,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn because(head: &str) -> String {
        said_of(BAD_REQUEST, head.as_bytes())
    }

    fn said_of(status: &str, head: &[u8]) -> String {
        reason(status, BadHead { text: head, length: head.len(), is_behind_body: false })
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (head, said) in [
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "too many Host headers"),
            ("GET / HTTP/1.1\r\n\r\n", "missing required Host header"),
            ("GET /metrics\r\n\r\n", "the request line is not METHOD PATH HTTP/1.1"),
            ("GARBAGE\r\n\r\n", "the request line is not METHOD PATH HTTP/1.1"),
            ("GET / HTTP/9.9\r\n\r\n", r#""HTTP/9.9" is not spoken here, only HTTP/1.1"#),
            ("G(T / HTTP/1.1\r\n\r\n", r#""G(T" is no method"#),
            ("GET /a b HTTP/1.1\r\n\r\n", "the path has a blank: write it as %20"),
            ("GET /a\u{1}b HTTP/1.1\r\n\r\n", "the path has the control character 0x01: write it as %01"),
            ("GET  HTTP/1.1\r\n\r\n", "there is no path"),
            ("GET / HTTP/1.1\r\nHost: a\r\nb c: d\r\n\r\n", r#"invalid header name "b c""#),
            ("GET / HTTP/1.1\r\nHost: a\r\nbc\r\n\r\n", "line 2 of the header fields has no colon"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{1}b\r\n\r\n",
                r#"the value of the header field "X" has a control character"#,
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", r#""-1" is no Content-Length"#),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", r#""+1" is no Content-Length"#),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                "there is more than one Content-Length",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
                r#"unsupported transfer encoding "gzip", only chunked is known"#,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
                "there are both a Content-Length and a Transfer-Encoding",
            ),
            ("POST / HTTP/1.0\r\n\r\n", "a POST in HTTP/1.0 needs a Content-Length"),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0 has no Transfer-Encoding"),
            ("PRI * HTTP/2.0\r\n\r\n", "this is HTTP/2, but only HTTP/1.1 is spoken here"),
            ("\u{16}\u{3}\u{1}\r\n", "this is TLS, but there is no TLS on this port: use http:// in the URL"),
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
                "this is the PROXY protocol, which is not spoken here: let the proxy send HTTP only",
            ),
            ("", NO_REQUEST),
        ] {
            assert_eq!(because(head), said, "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(97));
        assert_eq!(said_of(TOO_LARGE, many.as_bytes()), "there are more than 96 header fields");
        let too_long = "the request line and the header fields have more than 128 KiB";
        let start = BadHead { text: b"GET / HTTP/1.1\r\nX: aaaa", length: MOST_BYTES, is_behind_body: false };
        assert_eq!(reason(TOO_LARGE, start), too_long);
        assert_eq!(said_of(TOO_LARGE, b""), too_long);
        let start = BadHead { text: b"GET /aaaa", length: 66_000, is_behind_body: false };
        assert_eq!(reason(BAD_REQUEST, start), "the path has more than 65534 bytes");
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(65_534));
        assert_eq!(because(&long), "the path has more than 65534 bytes");
    }

    proptest::proptest! {
        #[test]
        fn something_is_said_of_anything(head in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            for status in [BAD_REQUEST, TOO_LARGE] {
                proptest::prop_assert!(!said_of(status, &head).is_empty());
            }
        }

        #[test]
        fn something_is_said_of_what_looks_like_a_head(head in "[A-Z ]{0,5} ?[/a-z ]{0,9} HTTP/1.[01]\r?\n([A-Za-z:\u{1} 0-9\r]{0,20}\n){0,9}") {
            proptest::prop_assert!(!because(&head).is_empty());
        }
    }

    #[test]
    fn only_an_answer_at_the_end_is_the_librarys() {
        let own = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\
                   date: Sat, 28 Nov 2026 15:15:46 GMT\r\n\r\n";
        assert_eq!(find(own.as_bytes()), Some((0, BAD_REQUEST)));
        assert_eq!(find(format!("HTTP/1.1 200 OK\r\n\r\n{own}").as_bytes()), Some((19, BAD_REQUEST)));
        let kept_alive = own.replace("connection: close\r\n", "");
        assert_eq!(find(kept_alive.as_bytes()), Some((0, BAD_REQUEST)));
        let long = "x".repeat(1000) + &own.replace("HTTP/1.1", "HTTP/1.0");
        assert_eq!(find(long.as_bytes()), Some((1000, BAD_REQUEST)));
        assert_eq!(find(own.replace("content-length: 0", "content-length: 1").as_bytes()), None);
        assert_eq!(find(own.replace("connection: close", "location: /").as_bytes()), None);
        assert_eq!(find(own.replace("400 Bad Request", "200 OK").as_bytes()), None);
        assert_eq!(find(format!("{own}\n").as_bytes()), None);
        assert_eq!(find(&own.as_bytes()[1..]), None);
        assert_eq!(find(b""), None);
    }
}
