//! Notes why pushes were refused, for the page and the API.

use std::fmt::Display;

use actix_web::HttpRequest;

use super::State;
use crate::gateway::{PushError, PushRequest};

/// Begins the stock gateway's sentence about a refused push, and says no more than that it was refused.
const INCONSISTENT: &str = "pushed metrics are invalid or inconsistent with existing metrics: ";

/// Notes a push that was not accepted. `hint` follows the error in the answer.
#[cold]
pub(super) fn unaccepted(
    state: &State,
    request: &HttpRequest,
    push: &PushRequest<'_>,
    error: &PushError,
    hint: &str,
) {
    let method = request.method().as_str();
    let sentence = error.to_string();
    let reason = sentence.strip_prefix(INCONSISTENT).unwrap_or(&sentence);
    state.gateway.note_refused(push.grouping, method, push.client, format_args!("{reason}{hint}"));
    if !matches!(error, PushError::Refused { .. } | PushError::Failed(_)) {
        state.gateway.note_unread(request.uri().path(), method, push.client, format_args!("{error}{hint}"));
    }
}

/// Notes a request that could not be read, if it would have changed a group.
#[cold]
pub(super) fn unread(state: &State, request: &HttpRequest, reason: impl Display) {
    let (method, path) = (request.method().as_str(), request.uri().path());
    // Others are those of scanners.
    if matches!(method, "POST" | "PUT" | "DELETE") && path.contains("metrics") {
        state.gateway.note_unread(path, method, state.client(request), reason);
    }
}
