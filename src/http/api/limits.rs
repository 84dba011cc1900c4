//! The limits, and how full they are.

use std::sync::atomic::Ordering;

use serde::Serialize;

use crate::config::duration;
use crate::config::unlimited::most;
use crate::http::State;
use crate::model::limits::Limit;

/// A limit, and how full it is.
#[derive(Serialize)]
pub(super) struct LimitUse {
    /// The dotted key of its setting.
    pub(super) limit: &'static str,
    /// How often it was hit since the start.
    hits: u64,
    /// How much is in use, if that can be told.
    used: Option<u64>,
    /// The most that it allows, if `used` can be told.
    most: Option<u64>,
}

impl LimitUse {
    pub(super) fn of(state: &State, limit: Limit) -> LimitUse {
        let limits = &state.limits;
        let setting = match limit {
            Limit::Series => limits.series,
            Limit::Groups => limits.groups,
            Limit::StoreBytes => limits.store_bytes,
            _ => 0,
        };
        let telemetry = state.gateway().telemetry().limits();
        let of_store = state.gateway().in_use(limit).map(|used| (used, most(setting)));
        let quotas = [&state.connections, &state.requests, &state.scrapes, &state.bodies];
        let quota = quotas.into_iter().find(|quota| quota.limit() == limit);
        let in_flight = quota.map(|quota| (telemetry.in_flight(limit).load(Ordering::Relaxed), quota.most()));
        let (used, most) = of_store.or(in_flight).unzip();
        LimitUse { limit: limit.setting(), hits: telemetry.hits(limit), used, most }
    }
}

/// A limit with what it is, for those that nothing fills too.
#[derive(Serialize)]
pub(super) struct LimitState {
    #[serde(flatten)]
    limit: LimitUse,
    /// Whether it was hit within the last 15 minutes.
    hit_lately: bool,
    /// What it allows, as text. Empty if there is no limit.
    bound: String,
}

impl LimitState {
    /// All limits.
    pub(super) fn all(state: &State) -> Vec<LimitState> {
        let telemetry = state.gateway().telemetry().limits();
        let limits = Limit::ALL.into_iter().map(|limit| LimitState {
            hit_lately: telemetry.was_hit_lately(limit),
            bound: bound(state, limit),
            limit: LimitUse::of(state, limit),
        });
        limits.chain([keys(state)]).collect()
    }
}

/// The limit on idempotency keys: at it, the oldest are forgotten.
fn keys(state: &State) -> LimitState {
    let (used, evicted) = state.gateway().idempotency_keys();
    let most = state.idempotency_keys;
    let limit =
        LimitUse { limit: "push.idempotency_keys", hits: evicted, used: Some(used as u64), most: Some(most) };
    LimitState { limit, hit_lately: false, bound: number(most) }
}

fn bound(state: &State, limit: Limit) -> String {
    let limits = &state.limits;
    let amount = match limit {
        Limit::HeadTimeout | Limit::BodyTimeout | Limit::SendTimeout => {
            let timeout = match limit {
                Limit::HeadTimeout => limits.head_timeout,
                Limit::BodyTimeout => limits.body_timeout,
                _ => limits.send_timeout,
            };
            return if timeout.is_zero() { String::new() } else { duration::format(timeout) };
        }
        // Each rule has its own.
        Limit::MaxSeries => return String::new(),
        // Too few open files lower it.
        Limit::Connections => state.connections.most(),
        Limit::RequestsInFlight => limits.requests_in_flight,
        Limit::ScrapesInFlight => limits.scrapes_in_flight,
        Limit::BodyBytesInFlight => limits.body_bytes_in_flight,
        Limit::MaxBodyBytes => state.max_body_bytes,
        Limit::SamplesPerPush => limits.samples_per_push,
        Limit::LabelPairsPerPush => limits.label_pairs_per_push,
        Limit::NameLength => limits.name_length,
        Limit::LabelValueLength => limits.label_value_length,
        Limit::GroupingLabels => limits.grouping_labels,
        Limit::Series => limits.series,
        Limit::SeriesPerGroup => limits.series_per_group,
        Limit::Groups => limits.groups,
        Limit::StoreBytes => limits.store_bytes,
    };
    number(most(amount))
}

/// A bound as text. The largest number stands for no limit.
fn number(most: u64) -> String {
    if most == u64::MAX { String::new() } else { most.to_string() }
}
