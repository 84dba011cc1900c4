//! `POST` and `PUT` on a group.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};

use super::admission::Share;
use super::answer;
use super::body::{self, BodyError, Encoding};
use super::connection::Watch;
use super::hints::{self, Unread};
use super::path::{self, JobEncoding, NamedGroup, PathError};
use super::{State, refuse_path, refused};
use crate::exposition::BodyFormat;
use crate::gateway::idempotency::{self, BadKey};
use crate::gateway::{Method, Pending, PushError, PushRequest, SenderHeaders};
use crate::message::Excerpt;
use crate::model::limits::Limit;
use crate::store::Outcome;

/// Bodies up to this size are parsed on the worker that read them. Larger and compressed ones would hold up its
/// other connections.
const INLINE_BYTES: usize = 256 * 1024;

/// The same limit for the length of the grouping labels times the length of the body, because every series gets the
/// grouping labels.
const INLINE_TEXT_BYTES: usize = 64 * 1024 * 1024;

/// The headers for an idempotency key. Go's HTTP client repeats a request by itself if it has one of them.
static IDEMPOTENCY_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("idempotency-key"), HeaderName::from_static("x-idempotency-key")];

static SOURCE: HeaderName = HeaderName::from_static("x-push-source");
static TTL: HeaderName = HeaderName::from_static("x-push-ttl");
static TEMPORALITY: HeaderName = HeaderName::from_static("x-push-temporality");

/// The group of a request as its path spells it.
#[derive(Clone, Copy)]
pub(super) struct GroupPath<'a> {
    pub(super) encoding: JobEncoding,
    pub(super) job: &'a str,
    pub(super) labels: &'a str,
}

impl<'a> GroupPath<'a> {
    /// Parses the grouping labels.
    pub(super) fn parse(self, state: &'a State) -> Result<NamedGroup<'a>, PathError> {
        let GroupPath { encoding, job, labels } = self;
        let (gateway, default_job) = (&state.gateway, &state.routes.default_job);
        path::group(encoding, job, labels, default_job, gateway.names(), gateway.empty_labels())
    }

    /// The answer to a path that names no group.
    pub(super) fn refuse(self, state: &State, request: &HttpRequest, error: &PathError) -> HttpResponse {
        let GroupPath { encoding, job, labels } = self;
        refuse_path(state, request, &path::explained(error, &state.routes.prefix, encoding, job, labels))
    }
}

/// Answers a push and counts it.
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
    state.gateway.telemetry().push(method == Method::Put, code, bytes, started);
    answer
}

async fn accept(
    state: &Arc<State>,
    method: Method,
    request: &HttpRequest,
    payload: &mut Payload,
    group: GroupPath<'_>,
) -> HttpResponse {
    let NamedGroup { grouping, has_default_job } = match group.parse(state) {
        Ok(named) => named,
        Err(error) => return group.refuse(state, request, &error),
    };
    if let Err(error) = grouping.check_limits(state.gateway.push_limits()) {
        state.gateway.telemetry().limits().hit(error.limit());
        return refuse_path(state, request, &error.to_string());
    }
    let key = match idempotency_key(request.headers()) {
        Ok(key) => key,
        Err(error) => {
            refused::unread(state, request, &error);
            return answer::error(StatusCode::BAD_REQUEST, error);
        }
    };
    let limit = state.max_body_bytes;
    // Taken for a large body, and held until it is answered.
    let mut share = None;
    let body = match body::read(payload, request, limit, &mut share, &state.bodies).await {
        Ok(body) => body,
        Err(error) => {
            if let (BodyError::TooSlow, Some(watch)) = (&error, request.conn_data::<Rc<Watch>>()) {
                watch.end();
            }
            return refuse_body(state, request, &error, "");
        }
    };
    let encoding = Encoding::of(request.headers());
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let format = BodyFormat::of(content_type.and_then(|v| v.to_str().ok()).unwrap_or_default(), state.offers);
    let content_type = content_type.map_or(&b""[..], |v| v.as_bytes());
    let client = state.client(request);
    let sender = sender(request.headers());
    let push = PushRequest {
        content_type,
        key,
        client,
        sender,
        has_default_job,
        ..PushRequest::new(method, &grouping, format, &body)
    };
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
            answer::applied(code, &outcome)
        }
        Ok(Err(Unaccepted { error, hint })) => {
            refused::unaccepted(state, request, &push, &error, &hint);
            match error {
                // Without the consistency check, the stock gateway has answered before it finds the error.
                PushError::Refused { refusal, .. }
                    if state.answers_unchecked && refusal.cause.limit().is_none() =>
                {
                    HttpResponse::Accepted().finish()
                }
                error => answer::unaccepted(&error, &hint),
            }
        }
        Err(error @ BodyError::Encoding(_)) => {
            refuse_body(state, request, &error, &hints::of_encoding(request.headers(), &body))
        }
        Err(error) => refuse_body(state, request, &error, ""),
    }
}

/// A push that was not accepted.
struct Unaccepted {
    error: PushError,
    /// The text to append to the error.
    hint: String,
}

impl From<PushError> for Unaccepted {
    fn from(error: PushError) -> Unaccepted {
        Unaccepted { error, hint: String::new() }
    }
}

/// Passes a push to the gateway. `is_decoded` says whether the body was decompressed.
fn read(
    state: &State,
    headers: &HeaderMap,
    push: &PushRequest<'_>,
    is_decoded: bool,
) -> Result<Pending, Unaccepted> {
    state.gateway.push(push).map_err(|error| {
        let PushError::Unreadable(fault) = &error else { return error.into() };
        let (body, format, offers) = (push.body, push.format, state.offers);
        let unread = Unread { headers, body, is_decoded, format, error: fault, offers };
        let hint = hints::of_body(&unread, &state.gateway);
        Unaccepted { error, hint }
    })
}

/// Waits for the result of a push.
async fn conclude(
    state: &State,
    push: &PushRequest<'_>,
    pending: Result<Pending, Unaccepted>,
) -> Result<Outcome, Unaccepted> {
    Ok(state.gateway.pushed(push, pending?).await?)
}

/// Decompresses and parses a push on a thread that may block. Does not wait for the disk there, because there are
/// few such threads and scrapes need them too.
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
    let PushRequest { method, format, client, has_default_job, .. } = *push;
    let content_type = push.content_type.to_vec();
    let key = push.key.map(<[u8]>::to_vec);
    let mut share = share.or_else(|| state.bodies.take(0)).ok_or(BodyError::Busy)?;
    // The semaphore is never closed.
    let parsing = state.parsing.clone().acquire_owned().await.ok();
    let pushed = web::block(move || {
        let _parsing = parsing;
        let is_decoded = encoding.in_fact(&body) != Encoding::Identity;
        let body = body::inflate(body, encoding, theirs.max_body_bytes, &mut share)?;
        // A push that needs more memory than the whole quota runs alone.
        if !share.grow_within(format.cost(&body, grouping.key().len(), theirs.gateway.push_limits())) {
            return Err(BodyError::Busy);
        }
        let push = PushRequest {
            content_type: &content_type,
            key: key.as_deref(),
            client,
            sender: sender(&headers),
            has_default_job,
            ..PushRequest::new(method, &grouping, format, &body)
        };
        let pending = read(&theirs, &headers, &push, is_decoded);
        Ok((body, pending, share))
    });
    // The thread pool fails only during shutdown.
    let (body, pending, _share) =
        pushed.await.unwrap_or(Err(BodyError::Encoding("the gateway is shutting down")))?;
    Ok(conclude(state, &PushRequest { body: &body, ..*push }, pending).await)
}

/// What the headers of a request say of its sender.
pub(super) fn sender(headers: &HeaderMap) -> SenderHeaders<'_> {
    let header = |name: &HeaderName| headers.get(name).map(|value| value.as_bytes());
    SenderHeaders { source: header(&SOURCE), ttl: header(&TTL), temporality: header(&TEMPORALITY) }
}

/// The idempotency key of a request.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&[u8]>, BadKey> {
    let mut keys = IDEMPOTENCY_HEADERS.iter().flat_map(|name| headers.get_all(name));
    let Some(first) = keys.next() else { return Ok(None) };
    // Different keys contradict each other.
    if keys.any(|other| other != first) {
        return Err(BadKey);
    }
    idempotency::parse(first.as_bytes()).map(Some)
}

fn refuse_body(state: &State, request: &HttpRequest, error: &BodyError, hint: &str) -> HttpResponse {
    let (source, url) = (state.client(request), Excerpt::of(request.uri().path()));
    tracing::debug!(method = request.method().as_str(), source = %source, %url, err = %error, "body not read");
    let code = body_code(state, error);
    match error {
        BodyError::Busy => answer::busy(state.bodies.limit()),
        _ => {
            refused::unread(state, request, format_args!("{error}{hint}"));
            answer::error(code, format_args!("{error}{hint}"))
        }
    }
}

/// The status of the answer where a body was not read. Counts a limit that it would have passed.
pub(super) fn body_code(state: &State, error: &BodyError) -> StatusCode {
    let limits = state.gateway.telemetry().limits();
    match error {
        BodyError::TooLarge { .. } => {
            limits.hit(Limit::MaxBodyBytes);
            StatusCode::PAYLOAD_TOO_LARGE
        }
        BodyError::TooSlow => {
            limits.hit(Limit::BodyTimeout);
            StatusCode::REQUEST_TIMEOUT
        }
        BodyError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        BodyError::Incomplete(_) | BodyError::Encoding(_) => StatusCode::BAD_REQUEST,
    }
}

/// The size of a request as client_golang estimates it: request line, headers, host, and the announced length of
/// the body.
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
