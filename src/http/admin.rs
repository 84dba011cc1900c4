//! The admin API: wiping the store.

use std::sync::Arc;

use actix_web::{HttpResponse, web};

use super::State;

/// Removes all groups.
pub(super) async fn wipe(state: &Arc<State>) -> HttpResponse {
    let wiped = state.clone();
    // A large store takes its time to be given back. The pool only fails while the server goes down.
    let _ = web::block(move || wiped.gateway.wipe()).await;
    state.gateway.telemetry().request("wipe", "put", 202);
    HttpResponse::Accepted().finish()
}
