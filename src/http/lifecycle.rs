//! Health, readiness, and the requests to stop and to reload.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};

use super::State;
use super::answer;
use super::reload::ReloadError;
use crate::gateway::idempotency::WINDOW_HEADER;

/// Says that the gateway is alive. Every client with a login may ask for this, so the answer also says how long the
/// gateway remembers idempotency keys.
pub(super) fn healthy(state: &State, method: &str) -> HttpResponse {
    state.gateway.telemetry().request("healthy", method, 200);
    let mut answer = answer::text(StatusCode::OK, "OK");
    let window = state.gateway.idempotency_window().as_secs();
    answer.headers_mut().insert(HeaderName::from_static(WINDOW_HEADER), HeaderValue::from(window));
    answer
}

/// Says whether the gateway accepts pushes and can keep them.
pub(super) async fn ready(state: &State, method: &str) -> HttpResponse {
    let reason = match state.gateway.failure() {
        None => state.gateway.catch_up().await.err(),
        failure => failure,
    };
    let answer = match reason {
        None => answer::text(StatusCode::OK, "OK"),
        Some(reason) => {
            answer::error(StatusCode::SERVICE_UNAVAILABLE, format_args!("pushes can't be kept: {reason}"))
        }
    };
    state.gateway.telemetry().request("ready", method, answer.status().as_u16());
    answer
}

/// Stops the gateway, if that is enabled.
pub(super) fn quit(state: &State) -> HttpResponse {
    if !state.enable_lifecycle {
        return not_enabled();
    }
    state.quit.notify_one();
    answer::text(StatusCode::OK, "Requesting termination... Goodbye!")
}

/// Reads the rules and the web configuration again, if that is enabled. The answer tells whether they are in force.
pub(super) async fn reload(state: &Arc<State>) -> HttpResponse {
    if !state.enable_lifecycle {
        return not_enabled();
    }
    match state.reload().await {
        Ok(()) => HttpResponse::Ok().finish(),
        Err(error @ ReloadError::Closing) => answer::unavailable(error),
        Err(error) => {
            let message = format_args!("failed to reload config: {error}");
            answer::error(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    }
}

fn not_enabled() -> HttpResponse {
    answer::text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.")
}

/// The answer to `GET`, which does not stop the gateway.
pub(super) fn quit_needs_post() -> HttpResponse {
    answer::text(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed.")
}
