//! `/api/v1/health`: what is wrong at the moment, for the page and for scripts.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::groups::answer;
use super::limits::LimitUse;
use crate::gateway::troubles::TroubledGroups;
use crate::http::State;
use crate::model::limits::Limit;

/// Tells what is wrong. The answer is 200 in any case: `/-/ready` is for probes.
pub(in crate::http) async fn health(state: &Arc<State>, request: &HttpRequest) -> HttpResponse {
    answer(state, request, "api/v1/health", |state, _, _| Ok(Health::of(state))).await
}

#[derive(Serialize)]
struct Health {
    /// Whether nothing is wrong. Stale groups may be what they should be.
    ok: bool,
    not_kept: Option<NotKept>,
    /// Those that were hit lately.
    limits: Vec<LimitUse>,
    failed_groups: u64,
    suspicious_groups: u64,
    stale_groups: u64,
    unread_pushes: usize,
    rules_current: bool,
    web_config_current: bool,
}

/// Why pushes are not kept, and since when.
#[derive(Serialize)]
struct NotKept {
    reason: String,
    since: String,
}

impl Health {
    fn of(state: &State) -> Health {
        let (gateway, telemetry) = (state.gateway(), state.gateway().telemetry());
        let not_kept = gateway.failure().map(|reason| NotKept {
            reason: format!("pushes can't be kept: {reason}"),
            since: humantime::format_rfc3339_seconds(gateway.failing_since().unwrap_or(state.started_at))
                .to_string(),
        });
        let limits = Limit::ALL.into_iter().filter(|limit| telemetry.limits().was_hit_lately(*limit));
        let limits: Vec<_> = limits.map(|limit| LimitUse::of(state, limit)).collect();
        let TroubledGroups { failed, suspicious, stale } = gateway.troubled_groups();
        let unread_pushes = gateway.recently_unread();
        let (rules_current, web_config_current) =
            (telemetry.rules().are_current(), telemetry.web().is_current());
        Health {
            ok: not_kept.is_none()
                && limits.is_empty()
                && failed + suspicious == 0
                && unread_pushes == 0
                && rules_current
                && web_config_current,
            not_kept,
            limits,
            failed_groups: failed,
            suspicious_groups: suspicious,
            stale_groups: stale,
            unread_pushes,
            rules_current,
            web_config_current,
        }
    }
}
