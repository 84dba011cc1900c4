//! Answers that several handlers share.

use std::fmt::Display;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};

use crate::gateway::{Failure, PushError};
use crate::message::{MESSAGE_BYTES, bounded};
use crate::model::limits::Limit;
use crate::store::{Outcome, Rejection};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// An error as Go's `http.Error` writes it: one line of plain text, of limited length.
pub(super) fn error(code: StatusCode, message: impl Display) -> HttpResponse {
    let mut message = bounded(message);
    message.push('\n');
    HttpResponse::build(code).insert_header((header::CONTENT_TYPE, TEXT)).body(message)
}

/// Seconds until a client should repeat a request that could not be kept.
const RETRY_AFTER: &str = "5";

/// The answer to a request that was applied, now or by an earlier attempt with the same key.
pub(super) fn applied(code: StatusCode, outcome: &Outcome) -> HttpResponse {
    let mut answer = HttpResponse::build(code);
    mark_replayed(&mut answer, outcome);
    answer.finish()
}

/// Says in an answer that its request was applied before, if that is so.
pub(super) fn mark_replayed(answer: &mut HttpResponseBuilder, outcome: &Outcome) {
    if *outcome == Outcome::Replayed {
        answer.insert_header(("Idempotent-Replayed", "true"));
    }
}

/// Why a deletion was not applied.
pub(super) fn of_deletion(failure: &Failure) -> String {
    match failure {
        Failure::NotKept => {
            "the deletion could not be kept because the persistence file or database can't be written: try again later"
                .to_owned()
        }
        Failure::QueueFull => "too many requests wait for the disk: try again later".to_owned(),
        other => other.to_string(),
    }
}

/// The answer to a deletion with this result: `code` if it was applied.
pub(super) fn concluded(code: StatusCode, result: Result<Outcome, Failure>) -> HttpResponse {
    match result {
        Ok(outcome) => applied(code, &outcome),
        Err(failed) => failure(&failed, of_deletion(&failed)),
    }
}

/// The answer to a push that was not accepted. `hint` follows the error.
pub(super) fn unaccepted(error: &PushError, hint: &str) -> HttpResponse {
    let code = match error {
        PushError::Unreadable(_)
        | PushError::Refused { .. }
        | PushError::Target { .. }
        | PushError::Header(_) => StatusCode::BAD_REQUEST,
        PushError::Forbidden(_) => StatusCode::FORBIDDEN,
        PushError::TooMuch { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        PushError::Failed(failed) => return failure(failed, failed),
    };
    self::error(code, format_args!("{error}{hint}"))
}

/// The answer to a request that was not applied, with this message.
fn failure(failure: &Failure, message: impl Display) -> HttpResponse {
    match failure_code(failure) {
        StatusCode::SERVICE_UNAVAILABLE => unavailable(message),
        code => error(code, message),
    }
}

/// The status of the answer to a request that was not applied.
pub(super) fn failure_code(failure: &Failure) -> StatusCode {
    match failure {
        Failure::Rejected(Rejection::Refused(_)) => StatusCode::BAD_REQUEST,
        Failure::Rejected(Rejection::Full(_)) => StatusCode::TOO_MANY_REQUESTS,
        Failure::Rejected(Rejection::KeyReused) => StatusCode::UNPROCESSABLE_ENTITY,
        Failure::NotKept | Failure::QueueFull | Failure::Closing => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// 503 with `Retry-After`: the client should try again later.
pub(super) fn unavailable(message: impl Display) -> HttpResponse {
    let mut answer = error(StatusCode::SERVICE_UNAVAILABLE, message);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    answer
}

/// Says in an answer when another try is worth it, if this status means that one is.
pub(super) fn mark_retry(answer: &mut HttpResponseBuilder, code: StatusCode) {
    if code == StatusCode::SERVICE_UNAVAILABLE {
        answer.insert_header((header::RETRY_AFTER, RETRY_AFTER));
    }
}

/// The answer to a request that exceeds a limit at the moment.
pub(super) fn busy(limit: Limit) -> HttpResponse {
    let what = match limit {
        Limit::Connections => "connections are open",
        Limit::RequestsInFlight => "requests are being answered",
        Limit::BodyBytesInFlight => "large pushes are being read",
        _ => "scrapes are being sent",
    };
    unavailable(format_args!("too many {what} ({}): try again later", limit.setting()))
}

/// A text without a line feed, as the stock gateway's own handlers write it.
pub(super) fn text(code: StatusCode, message: &'static str) -> HttpResponse {
    HttpResponse::build(code).insert_header((header::CONTENT_TYPE, TEXT)).body(message)
}

/// A redirect as Go's `http.Redirect` writes it. The location is never shortened, because that would make another
/// one; it is no longer than what the client has sent. A long redirect has no body, which would be longer still.
pub(super) fn redirect(code: u16, location: &str, query: &str, has_body: bool) -> HttpResponse {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
    let location = if query.is_empty() { location.to_owned() } else { format!("{location}?{query}") };
    let mut answer = HttpResponse::build(code);
    answer.insert_header((header::LOCATION, location.clone()));
    if !has_body || location.len() > MESSAGE_BYTES / 2 {
        return answer.finish();
    }
    let escaped =
        location.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
    let reason = code.canonical_reason().unwrap_or_default();
    answer
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .body(format!("<a href=\"{escaped}\">{reason}</a>.\n\n"))
}
