//! `DELETE` on a group.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};

use super::State;
use super::answer;
use super::push::{GroupPath, idempotency_key, sender};

/// Deletes a group, if it exists. The answer is the same in both cases.
pub(super) async fn delete(state: &State, request: &HttpRequest, group: GroupPath<'_>) -> HttpResponse {
    let answer = accept(state, request, group).await;
    state.gateway.telemetry().request("delete", "delete", answer.status().as_u16());
    answer
}

async fn accept(state: &State, request: &HttpRequest, group: GroupPath<'_>) -> HttpResponse {
    let grouping = match group.parse(state) {
        Ok(named) => named.grouping,
        Err(error) => return group.refuse(state, request, &error),
    };
    let key = match idempotency_key(request.headers()) {
        Ok(key) => key,
        Err(error) => return answer::error(StatusCode::BAD_REQUEST, error),
    };
    let deleted = match state.gateway.delete(&grouping, key, sender(request.headers())) {
        Ok(deleted) => deleted,
        Err(error) => return answer::error(StatusCode::BAD_REQUEST, error),
    };
    answer::concluded(StatusCode::ACCEPTED, state.gateway.done(deleted).await)
}
