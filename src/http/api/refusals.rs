//! `/api/v1/refusals`: the latest pushes that could not be read, and why; and how a refusal is written.

use actix_web::HttpResponse;
use serde::Serialize;

use super::json::{Success, to_json};
use super::{json, timestamp};
use crate::gateway::refusals::{Refused, Unread};
use crate::http::State;

/// Lists the latest pushes that could not be read, the newest first.
pub(in crate::http) fn refusals(state: &State, method: &str) -> HttpResponse {
    state.gateway.telemetry().request("api/v1/refusals", method, 200);
    let unread = state.gateway.unread();
    let refusals = unread.iter().map(UnreadPush::of).collect();
    json().body(to_json(&Success { status: "success", data: Data { refusals } }))
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
