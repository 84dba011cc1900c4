//! `/api/v1/refusals`: the latest pushes that could not be read, and why; and how a refusal is written.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::json::success_json;
use super::{json, timestamp};
use crate::gateway::refusals::{Refused, Unread};
use crate::http::{State, compress};

/// Lists the latest pushes that could not be read, the newest first.
pub(in crate::http) fn refusals(state: &State, request: &HttpRequest) -> HttpResponse {
    state.gateway.telemetry().request("api/v1/refusals", request.method().as_str(), 200);
    let unread = state.gateway.unread();
    let refusals = unread.iter().map(UnreadPush::of).collect();
    let body = success_json(&Data { refusals });
    compress::Body::of(body, compress::takes_gzip(request)).send(json())
}

#[derive(Serialize)]
struct Data<'a> {
    refusals: Vec<UnreadPush<'a>>,
}

#[derive(Serialize)]
struct UnreadPush<'a> {
    path: &'a str,
    times: u64,
    #[serde(flatten)]
    refusal: Refusal<'a>,
}

impl<'a> UnreadPush<'a> {
    fn of(unread: &'a Unread) -> UnreadPush<'a> {
        UnreadPush { path: &unread.path, times: unread.times, refusal: Refusal::of(&unread.refused) }
    }
}

/// A refused push.
#[derive(Serialize)]
pub(super) struct Refusal<'a> {
    at: String,
    method: &'a str,
    /// The address of who sent it.
    from: String,
    reason: &'a str,
}

impl<'a> Refusal<'a> {
    pub(super) fn of(refused: &'a Refused) -> Refusal<'a> {
        let Refused { at, method, client, reason } = refused;
        Refusal { at: timestamp(*at), method, from: client.to_string(), reason }
    }
}
