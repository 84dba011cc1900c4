//! The admin API: wiping the store, and deletions by selector.

mod deletion;
mod parameters;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use super::{State, answer};
use crate::gateway::Failure;
pub(super) use deletion::delete;

/// Deletes all groups.
pub(super) async fn wipe(state: &Arc<State>) -> HttpResponse {
    let wiped = state.clone();
    // Freeing a large store takes long, so it happens on another thread.
    let pending = web::block(move || wiped.gateway.wipe()).await;
    let result = match pending {
        Ok(pending) => state.gateway.done(pending).await,
        // The thread pool fails only during shutdown.
        Err(_) => Err(Failure::Closing),
    };
    let answer = answer::concluded(StatusCode::ACCEPTED, result);
    state.gateway.telemetry().request("wipe", "put", answer.status().as_u16());
    answer
}
