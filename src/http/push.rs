//! `POST` and `PUT` on a group.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};

use super::answer;
use super::body::{self, BodyError, Encoding};
use super::connection::Watch;
use super::hints::{self, Unread};
use super::path::{self, JobEncoding, PathError};
use super::{State, refuse_path};
use crate::config::unlimited::longest;
use crate::exposition::negotiation::Offers;
use crate::exposition::protobuf::native_values;
use crate::gateway::idempotency::{self, BadKey};
use crate::gateway::{BodyFormat, Gateway, Method, Pending, PushError, PushRequest};
use crate::message::Excerpt;
use crate::model::grouping::Grouping;
use crate::model::limits::{Limit, PushLimits};
use crate::store::Outcome;
use crate::telemetry::limits::Share;

/// Bodies up to this size are parsed where they were read; larger ones, and compressed ones, would
/// hold up the other connections of the worker.
const INLINE_BYTES: usize = 256 * 1024;

/// The labels of the group come to every series, so the same holds for this product of their length and that of
/// the body.
const INLINE_TEXT_BYTES: usize = 64 * 1024 * 1024;

/// What parsing takes for a line of a text body beside the text of its labels, in bytes; for one that may begin a
/// family; and for a label. These and the next are measured, by bodies that have nothing else.
const LINE_BYTES: usize = 250;
const FAMILY_BYTES: usize = 350;
const LABEL_BYTES: usize = 80;

/// What parsing takes for a series of a protobuf body, which may have native buckets, and for a bucket.
const METRIC_BYTES: usize = 600;
const BUCKET_BYTES: usize = 100;

/// What it takes for a span, difference or count of a native histogram, which is kept as it came and decoded.
const NATIVE_BYTES: usize = 48;

/// The tags in protobuf of field 1 of a `Metric`, 3 of a `Histogram` and 4 of a `MetricFamily`.
const LABEL_TAG: u8 = 1 << 3 | 2;
const BUCKET_TAG: u8 = 3 << 3 | 2;
const METRIC_TAG: u8 = 4 << 3 | 2;

/// The headers that an idempotency key comes in. Go's transport repeats a request by itself when it has
/// either.
const IDEMPOTENCY_HEADERS: [&str; 2] = ["idempotency-key", "x-idempotency-key"];

/// The group that a request is for, as its path spells it.
#[derive(Clone, Copy)]
pub(super) struct GroupPath<'a> {
    pub(super) encoding: JobEncoding,
    pub(super) job: &'a str,
    pub(super) labels: &'a str,
}

impl<'a> GroupPath<'a> {
    /// The grouping that the path names.
    pub(super) fn grouping(self, gateway: &Gateway) -> Result<Grouping<'a>, PathError> {
        path::grouping(self.encoding, self.job, self.labels, gateway.names(), gateway.empty_labels())
    }

    /// The answer where the path names no group.
    pub(super) fn refuse(self, state: &State, request: &HttpRequest, error: &PathError) -> HttpResponse {
        refuse_path(state, request, &path::explained(error, &state.routes.prefix, self.job, self.labels))
    }
}

/// Answers a push, and counts it.
pub(super) async fn push(
    state: &Arc<State>,
    method: Method,
    request: &HttpRequest,
    mut payload: Payload,
    group: GroupPath<'_>,
) -> HttpResponse {
    let started = Instant::now();
    let answer = accept(state, method, request, &mut payload, group).await;
    let bytes = approximate_size(request);
    let code = answer.status().as_u16();
    state.gateway.telemetry().push(method == Method::Put, code, bytes, started.elapsed());
    answer
}

async fn accept(
    state: &Arc<State>,
    method: Method,
    request: &HttpRequest,
    payload: &mut Payload,
    group: GroupPath<'_>,
) -> HttpResponse {
    let grouping = match group.grouping(&state.gateway) {
        Ok(grouping) => grouping,
        Err(error) => return group.refuse(state, request, &error),
    };
    if let Err(error) = path::check_limits(&grouping, state.gateway.push_limits()) {
        state.gateway.telemetry().limits().hit(error.limit());
        return refuse_path(state, request, &error.to_string());
    }
    let key = match idempotency_key(request.headers()) {
        Ok(key) => key,
        Err(error) => return answer::error(StatusCode::BAD_REQUEST, error),
    };
    let (limit, time) = (state.max_body_bytes, longest(state.limits.body_timeout));
    // Taken where the body is large, and held until it is answered.
    let mut share = None;
    let body = match body::read(payload, request, limit, time, &mut share, &state.bodies).await {
        Ok(body) => body,
        Err(error) => {
            if let (BodyError::TooSlow, Some(watch)) = (&error, request.conn_data::<Rc<Watch>>()) {
                watch.end();
            }
            return refuse_body(state, request, &error, "");
        }
    };
    let encoding = Encoding::of(request.headers());
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |v| v.as_bytes());
    let format = body_format(request, state.offers);
    let client = state.client(request);
    let push =
        PushRequest { content_type, key, client, ..PushRequest::new(method, &grouping, format, &body) };
    let is_small = body.len() <= INLINE_BYTES && body.len() * grouping.key().len() <= INLINE_TEXT_BYTES;
    let result = if encoding == Encoding::Identity && is_small {
        let pending = read(state, request.headers(), &push, false);
        Ok(conclude(state, &push, pending).await)
    } else {
        push_elsewhere(state, &push, body.clone(), request.headers(), encoding, share).await
    };
    match result {
        Ok(Ok(outcome)) => {
            let code = if state.answers_unchecked { StatusCode::ACCEPTED } else { StatusCode::OK };
            answer::applied(code, outcome)
        }
        Ok(Err(Unaccepted { error, hint })) => match error {
            // Without the check the stock gateway has answered before it finds out.
            PushError::Refused { refusal, .. }
                if state.answers_unchecked && refusal.cause.limit().is_none() =>
            {
                HttpResponse::Accepted().finish()
            }
            PushError::TooMuch { .. } => answer::error(StatusCode::PAYLOAD_TOO_LARGE, error),
            PushError::Failed(failure) => answer::failure(&failure),
            error => answer::error(StatusCode::BAD_REQUEST, format_args!("{error}{hint}")),
        },
        Err(error @ BodyError::Encoding(_)) => {
            refuse_body(state, request, &error, &hints::of_encoding(request.headers(), &body))
        }
        Err(error) => refuse_body(state, request, &error, ""),
    }
}

/// A push that was not accepted.
struct Unaccepted {
    error: PushError,
    /// What follows the error.
    hint: String,
}

impl From<PushError> for Unaccepted {
    fn from(error: PushError) -> Unaccepted {
        Unaccepted { error, hint: String::new() }
    }
}

/// Passes a push on. `is_decoded` says whether the body was decompressed.
fn read(
    state: &State,
    headers: &HeaderMap,
    push: &PushRequest<'_>,
    is_decoded: bool,
) -> Result<Pending, Unaccepted> {
    state.gateway.push(push).map_err(|error| {
        let is_unread =
            matches!(error, PushError::Text(_) | PushError::OpenMetrics(_) | PushError::Protobuf(_));
        let (body, format, offers) = (push.body, push.format, state.offers);
        let unread = Unread { headers, body, is_decoded, format, error: &error, offers };
        let hint = if is_unread { hints::of_body(&unread, &state.gateway) } else { String::new() };
        Unaccepted { error, hint }
    })
}

/// What becomes of a push, once that is known.
async fn conclude(
    state: &State,
    push: &PushRequest<'_>,
    pending: Result<Pending, Unaccepted>,
) -> Result<Outcome, Unaccepted> {
    Ok(state.gateway.conclude(push, pending?.wait().await)?)
}

/// Inflates and parses on a thread where that may take its time. It does not wait for the disk: the threads
/// are few, and scrapes need them too.
async fn push_elsewhere(
    state: &Arc<State>,
    push: &PushRequest<'_>,
    body: Bytes,
    headers: &HeaderMap,
    encoding: Encoding,
    share: Option<Share>,
) -> Result<Result<Outcome, Unaccepted>, BodyError> {
    let theirs = state.clone();
    let headers = headers.clone();
    let grouping = push.grouping.to_static();
    let (method, format, client) = (push.method, push.format, push.client);
    let content_type = push.content_type.to_vec();
    let key = push.key.map(<[u8]>::to_vec);
    let mut share = share.or_else(|| state.bodies.take(0)).ok_or(BodyError::Busy)?;
    // The semaphore is never closed.
    let parsing = state.parsing.clone().acquire_owned().await.ok();
    let pushed = web::block(move || {
        let _parsing = parsing;
        let is_decoded = encoding.in_fact(&body) != Encoding::Identity;
        let body = body::inflate(body, encoding, theirs.max_body_bytes, &mut share)?;
        // One that needs more than there is goes alone.
        if !share.grow_within(parsed_bytes(&body, format, &grouping, theirs.gateway.push_limits())) {
            return Err(BodyError::Busy);
        }
        let push = PushRequest {
            content_type: &content_type,
            key: key.as_deref(),
            client,
            ..PushRequest::new(method, &grouping, format, &body)
        };
        let pending = read(&theirs, &headers, &push, is_decoded);
        Ok((body, pending, share))
    });
    // The pool only fails while the server goes down.
    let (body, pending, _share) =
        pushed.await.unwrap_or(Err(BodyError::Encoding("the gateway is shutting down")))?;
    Ok(conclude(state, &PushRequest { body: &body, ..*push }, pending).await)
}

/// About how much memory parsing a body takes, and no less.
fn parsed_bytes(body: &[u8], format: BodyFormat, grouping: &Grouping<'_>, limits: PushLimits) -> u64 {
    let (of_labels, of_samples, series) = match format {
        BodyFormat::Protobuf => parts_of_protobuf(body, limits),
        BodyFormat::Text | BodyFormat::OpenMetrics => parts_of_text(body, limits),
    };
    let of_grouping = series.saturating_mul(grouping.key().len());
    [body.len(), of_labels, of_samples, of_grouping].into_iter().fold(0, usize::saturating_add) as u64
}

/// What the labels of a text body take, and its lines, and how many of these may be series. A body with more than
/// `limits` says is not parsed to its end.
fn parts_of_text(body: &[u8], limits: PushLimits) -> (usize, usize, usize) {
    let (mut lines, mut families, mut last) = (0_usize, 0_usize, &b""[..]);
    for line in body.split(|byte| *byte == b'\n') {
        lines += 1;
        // A comment may name a family of its own, and what begins with a brace has its name within.
        let end =
            line.iter().position(|byte| matches!(byte, b'{' | b' ' | b'\t' | b'#')).unwrap_or(line.len());
        let name = &line[..end];
        families += usize::from(name.is_empty() || name != last);
        last = name;
    }
    let (lines, families) = (lines.min(limits.samples), families.min(limits.samples));
    let labels = memchr::memchr_iter(b'=', body).count().min(limits.label_pairs);
    let of_lines = lines.saturating_mul(LINE_BYTES).saturating_add(families.saturating_mul(FAMILY_BYTES));
    (labels.saturating_mul(LABEL_BYTES), of_lines, lines)
}

/// The same of a protobuf body. Bytes that only look like a tag count too.
fn parts_of_protobuf(body: &[u8], limits: PushLimits) -> (usize, usize, usize) {
    let count = |tag: u8, most: usize| memchr::memchr_iter(tag, body).count().min(most);
    let labels = count(LABEL_TAG, limits.label_pairs);
    let (buckets, series) = (count(BUCKET_TAG, limits.samples), count(METRIC_TAG, limits.samples));
    let families = count_messages(body).min(limits.samples);
    let natives = native_values(body).min(limits.samples);
    let of_samples =
        [(buckets, BUCKET_BYTES), (natives, NATIVE_BYTES), (series, METRIC_BYTES), (families, FAMILY_BYTES)];
    let of_samples = of_samples.into_iter().map(|(count, bytes)| count.saturating_mul(bytes));
    (labels.saturating_mul(LABEL_BYTES), of_samples.fold(0, usize::saturating_add), series)
}

/// How many messages with their lengths in front a body has.
fn count_messages(mut body: &[u8]) -> usize {
    let mut messages = 0;
    while !body.is_empty() {
        messages += 1;
        let end = body.iter().position(|byte| *byte < 0x80).unwrap_or(body.len() - 1);
        let (prefix, rest) = body.split_at(end + 1);
        let length = prefix.iter().rev().fold(0_u64, |length, byte| length << 7 | u64::from(byte & 0x7f));
        body = usize::try_from(length).ok().and_then(|length| rest.get(length..)).unwrap_or_default();
    }
    messages
}

/// The idempotency key of a request.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&[u8]>, BadKey> {
    let mut keys = IDEMPOTENCY_HEADERS.iter().flat_map(|name| headers.get_all(*name));
    let Some(first) = keys.next() else { return Ok(None) };
    // Two different ones can't both be meant.
    if keys.any(|other| other != first) {
        return Err(BadKey);
    }
    idempotency::parse(first.as_bytes()).map(Some)
}

fn refuse_body(state: &State, request: &HttpRequest, error: &BodyError, hint: &str) -> HttpResponse {
    let (source, url) = (state.client(request), Excerpt::of(request.uri().path()));
    tracing::debug!(method = request.method().as_str(), source = %source, %url, err = %error, "body not read");
    let limits = state.gateway.telemetry().limits();
    let code = match error {
        BodyError::TooLarge { .. } => {
            limits.hit(Limit::MaxBodyBytes);
            StatusCode::PAYLOAD_TOO_LARGE
        }
        BodyError::TooSlow => {
            limits.hit(Limit::BodyTimeout);
            StatusCode::REQUEST_TIMEOUT
        }
        BodyError::Busy => return answer::busy(state.bodies.limit()),
        BodyError::Incomplete(_) | BodyError::Encoding(_) => StatusCode::BAD_REQUEST,
    };
    answer::error(code, format_args!("{error}{hint}"))
}

/// OpenMetrics in any version, unless the formats are those of the stock gateway; protobuf only with exactly
/// the parameters that clients send. Everything else is read as text, as the stock gateway does.
fn body_format(request: &HttpRequest, offers: Offers) -> BodyFormat {
    let Some(content_type) = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) else {
        return BodyFormat::Text;
    };
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    if offers == Offers::All && media.eq_ignore_ascii_case("application/openmetrics-text") {
        return BodyFormat::OpenMetrics;
    }
    let is_protobuf = media.eq_ignore_ascii_case("application/vnd.google.protobuf");
    let parameter = |wanted: &str| {
        parts.clone().filter_map(|part| part.split_once('=')).find_map(|(name, value)| {
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
        })
    };
    let is_delimited = is_protobuf
        && parameter("proto") == Some("io.prometheus.client.MetricFamily")
        && parameter("encoding") == Some("delimited");
    if is_delimited { BodyFormat::Protobuf } else { BodyFormat::Text }
}

/// The size of a request as client_golang estimates it: request line, headers, host and announced
/// body.
fn approximate_size(request: &HttpRequest) -> u64 {
    let uri = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.as_bytes().len()).sum();
    let body = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        .unwrap_or(0);
    (uri + request.method().as_str().len() + "HTTP/1.1".len() + headers) as u64 + body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &[u8], format: BodyFormat) -> usize {
        parsed_bytes(body, format, &Grouping::new(Vec::new()), PushLimits::NONE) as usize
    }

    #[test]
    fn families_take_more_than_lines() {
        let lines = |line: fn(usize) -> String| (0..1000).map(line).collect::<String>().into_bytes();
        let one_family = lines(|n| format!("m{{l=\"{n}\"}} 1\n"));
        let estimate = parsed(&one_family, BodyFormat::Text);
        assert!((330_000..360_000).contains(&estimate), "{estimate}");
        for families in [
            lines(|n| format!("m{n} 1\n")),
            lines(|n| format!("# TYPE m{n} gauge\n")),
            lines(|n| format!("{{\"m{n}\"}} 1\n")),
            lines(|n| format!("m{n}\t1\n")),
        ] {
            assert!(parsed(&families, BodyFormat::Text) > 600_000);
            assert!(parsed(&families, BodyFormat::OpenMetrics) > 600_000);
        }
    }

    #[test]
    fn everything_in_a_protobuf_body_counts() {
        let message = [5, 0x0a, 1, b'm', METRIC_TAG, 0];
        assert!(parsed(&[3, 0x0a, 1, b'm'].repeat(1000), BodyFormat::Protobuf) > 350_000);
        assert!(parsed(&message.repeat(1000), BodyFormat::Protobuf) > 900_000);
        assert!(parsed(&[LABEL_TAG, 0].repeat(1000), BodyFormat::Protobuf) > 80_000);
        assert!(parsed(&[BUCKET_TAG, 0].repeat(1000), BodyFormat::Protobuf) > 100_000);
        // A family of one metric, which is a histogram with 100 differences.
        let native = [&[108, 0x22, 106, 0x3a, 104, 0x6a, 102][..], &[0; 102]].concat();
        assert!(parsed(&native, BodyFormat::Protobuf) > 4_000);
        // Lengths that lead nowhere.
        for (body, messages) in [
            (&[][..], 0),
            (&[0x80][..], 1),
            (&[0xff; 20], 1),
            (&[5, 0], 1),
            (&[1, 0, 0x80, 0x80, 0, 0], 3),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], 1),
        ] {
            assert_eq!(count_messages(body), messages, "{body:?}");
        }
    }

    #[test]
    fn what_is_not_parsed_takes_nothing() {
        let limits = PushLimits { samples: 10, label_pairs: 20, ..PushLimits::NONE };
        for (format, body) in [(BodyFormat::Text, &b"m= 1\n"[..]), (BodyFormat::Protobuf, &[2, 0x22, 0x0a])] {
            let body = body.repeat(1000);
            let estimate = parsed_bytes(&body, format, &Grouping::new(Vec::new()), limits);
            assert!(estimate < body.len() as u64 + 15_000, "{estimate}");
        }
    }
}
