//! `POST` and `PUT` on a group.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};

use super::State;
use super::answer;
use super::body::{self, BodyError, Encoding};
use super::connection::Watch;
use super::path::{self, JobEncoding, PathError};
use crate::config::limits::longest;
use crate::exposition::negotiation::Offers;
use crate::exposition::quote::quote;
use crate::gateway::idempotency::{self, BadKey};
use crate::gateway::{BodyFormat, Gateway, Method, Pending, PushError, PushRequest};
use crate::model::grouping::Grouping;
use crate::model::limits::Limit;
use crate::store::Outcome;
use crate::telemetry::limits::Share;

/// Bodies up to this size are parsed where they were read; larger ones, and compressed ones, would
/// hold up the other connections of the worker.
const INLINE_BYTES: usize = 256 * 1024;

/// The labels of the group come to every series, so the same holds for this product of their length and that of
/// the body.
const INLINE_TEXT_BYTES: usize = 64 * 1024 * 1024;

/// The tag of field 4 of a `MetricFamily`, of which each is a series.
const METRIC_TAG: u8 = 4 << 3 | 2;

/// What parsing takes for a line of a body beside the text of its labels, in bytes.
const PARSED_LINE_BYTES: usize = 250;

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
        path::grouping(self.encoding, self.job, self.labels, gateway.names())
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
        Err(error) => return answer::error(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    if let Err(error) = path::check_lengths(&grouping, state.gateway.push_limits()) {
        state.gateway.telemetry().limits().hit(error.limit());
        return answer::error(StatusCode::BAD_REQUEST, &error.to_string());
    }
    let (limit, time) = (state.max_body_bytes, longest(state.limits.body_timeout));
    // Taken where the body is large, and held until it is answered.
    let mut share = None;
    let body = match body::read(payload, request, limit, time, &mut share, &state.bodies).await {
        Ok(body) => body,
        Err(error) => {
            if let (BodyError::TooSlow, Some(watch)) = (&error, request.conn_data::<Rc<Watch>>()) {
                watch.end();
            }
            return refuse_body(state, &error);
        }
    };
    let key = match idempotency_key(request.headers()) {
        Ok(key) => key,
        Err(error) => return answer::error(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let encoding = Encoding::of(request.headers());
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |v| v.as_bytes());
    let format = body_format(request, state.offers);
    let push = PushRequest { content_type, key, ..PushRequest::new(method, &grouping, format, &body) };
    let is_small = body.len() <= INLINE_BYTES && body.len() * grouping.key().len() <= INLINE_TEXT_BYTES;
    let result = if encoding == Encoding::Identity && is_small {
        Ok(conclude(state, &push, state.gateway.push(&push)).await)
    } else {
        push_elsewhere(state, &push, body.clone(), encoding, share).await
    };
    match result {
        Ok(Ok(outcome)) => {
            let code = if state.answers_unchecked { StatusCode::ACCEPTED } else { StatusCode::OK };
            answer::applied(code, outcome)
        }
        // Without the check the stock gateway has answered before it finds out.
        Ok(Err(PushError::Refused { cause, .. })) if state.answers_unchecked && cause.limit().is_none() => {
            HttpResponse::Accepted().finish()
        }
        Ok(Err(error @ PushError::TooMuch { .. })) => {
            answer::error(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string())
        }
        Ok(Err(PushError::Failed(failure))) => answer::failure(&failure),
        Ok(Err(error)) => {
            let note = not_undone(request, &body).filter(|_| !matches!(error, PushError::Refused { .. }));
            answer::error(StatusCode::BAD_REQUEST, &format!("{error}{}", note.unwrap_or_default()))
        }
        Err(error) => refuse_body(state, &error),
    }
}

/// What becomes of a push, once that is known.
async fn conclude(
    state: &State,
    push: &PushRequest<'_>,
    pending: Result<Pending, PushError>,
) -> Result<Outcome, PushError> {
    state.gateway.conclude(push, pending?.wait().await)
}

/// Inflates and parses on a thread where that may take its time. It does not wait for the disk: the threads
/// are few, and scrapes need them too.
async fn push_elsewhere(
    state: &Arc<State>,
    push: &PushRequest<'_>,
    body: Bytes,
    encoding: Encoding,
    share: Option<Share>,
) -> Result<Result<Outcome, PushError>, BodyError> {
    let theirs = state.clone();
    let grouping = push.grouping.to_static();
    let (method, format) = (push.method, push.format);
    let content_type = push.content_type.to_vec();
    let key = push.key.map(<[u8]>::to_vec);
    let mut share = share.or_else(|| state.bodies.take(0)).ok_or(BodyError::Busy)?;
    // The semaphore is never closed.
    let parsing = state.parsing.clone().acquire_owned().await.ok();
    let pushed = web::block(move || {
        let _parsing = parsing;
        let body = body::inflate(body, encoding, theirs.max_body_bytes, &mut share)?;
        // One that needs more than there is goes alone.
        if !share.grow_within(parsed_bytes(&body, format, &grouping)) {
            return Err(BodyError::Busy);
        }
        let push = PushRequest {
            content_type: &content_type,
            key: key.as_deref(),
            ..PushRequest::new(method, &grouping, format, &body)
        };
        let pending = theirs.gateway.push(&push);
        Ok((body, pending, share))
    });
    // The pool only fails while the server goes down.
    let (body, pending, _share) =
        pushed.await.unwrap_or(Err(BodyError::Encoding("the gateway is shutting down")))?;
    Ok(conclude(state, &PushRequest { body: &body, ..*push }, pending).await)
}

/// About how much memory parsing a body takes.
fn parsed_bytes(body: &[u8], format: BodyFormat, grouping: &Grouping<'_>) -> u64 {
    // In protobuf every series begins with the tag of its field.
    let mark = if format == BodyFormat::Protobuf { METRIC_TAG } else { b'\n' };
    let lines = memchr::memchr_iter(mark, body).count() + 1;
    (body.len() + lines.saturating_mul(PARSED_LINE_BYTES + grouping.key().len())) as u64
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

fn refuse_body(state: &State, error: &BodyError) -> HttpResponse {
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
    answer::error(code, &error.to_string())
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

/// A body in an unknown encoding is read as it is, and so is one that is not in its encoding. When that
/// fails, this is the likely reason.
fn not_undone(request: &HttpRequest, body: &[u8]) -> Option<String> {
    let name = request.headers().get(header::CONTENT_ENCODING)?.as_bytes();
    if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
        return None;
    }
    match Encoding::of(request.headers()) {
        Encoding::Identity => {
            Some(format!("; Content-Encoding {} is unknown, so the body was read as it is", quote(name)))
        }
        Encoding::Zstd if !body::is_zstd(body) => {
            Some(format!("; the body is not in Content-Encoding {}, so it was read as it is", quote(name)))
        }
        _ => None,
    }
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
