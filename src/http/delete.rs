//! `DELETE` on a group.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::State;
use super::answer;
use super::push::GroupPath;

/// Removes a group. The answer is the same whether there was one or not.
pub(super) fn delete(state: &State, group: GroupPath<'_>) -> HttpResponse {
    let answer = match group.grouping(&state.gateway) {
        Ok(grouping) => {
            state.gateway.delete(&grouping);
            HttpResponse::Accepted().finish()
        }
        Err(error) => answer::error(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    state.gateway.telemetry().request("delete", "delete", answer.status().as_u16());
    answer
}
