//! Metrics of limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::declare::metrics;
use crate::model::kind::Kind;
use crate::model::limits::Limit;

metrics! {
    /// The metrics of [`LimitMetrics`].
    struct LimitFamilies {
        hits: IntCounterVec by ["limit"] = "tallygate_limit_hits_total",
            "How often a limit was hit: connections, requests and pushes that were refused, and clients that were too \
             slow.";
        connections: IntGauge = "tallygate_connections",
            "Open connections.";
        requests_in_flight: IntGauge = "tallygate_requests_in_flight",
            "Requests that are being answered.";
        scrapes_in_flight: IntGauge = "tallygate_scrapes_in_flight",
            "Scrapes and other large answers that are being sent, this one included.";
        body_bytes_in_flight: IntGauge = "tallygate_body_bytes_in_flight",
            "Memory of large and of compressed bodies that are being read.";
        store_bytes: IntGauge = "tallygate_store_bytes",
            "Size of everything that the gateway holds, as limits.store_bytes counts it.";
    }
}

/// A limit that is hit repeatedly is logged once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A limit was hit lately if it was within this time.
const LATELY: Duration = Duration::from_secs(15 * 60);

/// Metrics of limits.
#[derive(Clone, Debug)]
pub struct LimitMetrics {
    metrics: LimitFamilies,
    hits: Arc<[IntCounter]>,
    /// When each limit was logged last, in seconds since `started` plus 1; 0 for never.
    logged: Arc<[AtomicU64]>,
    /// When each limit was hit last, in the same way.
    hit_at: Arc<[AtomicU64]>,
    started: Instant,
    /// How much of each of [`IN_FLIGHT`] is in use.
    used: [Arc<AtomicU64>; IN_FLIGHT.len()],
}

/// The limits on what is in use at a time.
const IN_FLIGHT: [Limit; 4] =
    [Limit::Connections, Limit::RequestsInFlight, Limit::ScrapesInFlight, Limit::BodyBytesInFlight];

impl LimitMetrics {
    pub(super) const FAMILIES: &[(&'static str, Kind)] = LimitFamilies::FAMILIES;

    pub(super) fn new(registry: &Registry) -> prometheus::Result<LimitMetrics> {
        let metrics = LimitFamilies::new(registry)?;
        let hits = Limit::ALL.map(|limit| metrics.hits.with_label_values(&[limit.name()]));
        Ok(LimitMetrics {
            metrics,
            hits: hits.into(),
            logged: Limit::ALL.map(|_| AtomicU64::new(0)).into(),
            hit_at: Limit::ALL.map(|_| AtomicU64::new(0)).into(),
            started: Instant::now(),
            used: Default::default(),
        })
    }

    /// Counts a hit of a limit, and logs it from time to time.
    pub fn hit(&self, limit: Limit) {
        self.hits[limit as usize].inc();
        let (now, every) = (self.started.elapsed().as_secs() + 1, LOG_INTERVAL.as_secs());
        self.hit_at[limit as usize].store(now, Ordering::Relaxed);
        let is_due = |last: u64| (last == 0 || now >= last + every).then_some(now);
        let logged = &self.logged[limit as usize];
        if logged.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_due).is_ok() {
            tracing::warn!(
                limit = %limit.setting(),
                hits = self.hits(limit),
                "a limit was hit; the metric tallygate_limit_hits_total counts how often"
            );
        }
    }

    /// How often a limit was hit.
    pub fn hits(&self, limit: Limit) -> u64 {
        self.hits[limit as usize].get()
    }

    /// Whether a limit was hit within the last 15 minutes.
    pub fn was_hit_lately(&self, limit: Limit) -> bool {
        let at = self.hit_at[limit as usize].load(Ordering::Relaxed);
        at > 0 && self.started.elapsed().as_secs() + 1 - at <= LATELY.as_secs()
    }

    /// How much of something is in use at the moment. `limit` must be one of `IN_FLIGHT`.
    pub fn in_flight(&self, limit: Limit) -> Arc<AtomicU64> {
        let at = IN_FLIGHT.iter().position(|other| *other == limit).unwrap_or_default();
        self.used[at].clone()
    }

    /// Brings the metrics up to date.
    pub(super) fn update(&self, store_bytes: i64) {
        let metrics = &self.metrics;
        metrics.store_bytes.set(store_bytes);
        let in_flight = [
            &metrics.connections,
            &metrics.requests_in_flight,
            &metrics.scrapes_in_flight,
            &metrics.body_bytes_in_flight,
        ];
        for (gauge, used) in in_flight.into_iter().zip(&self.used) {
            gauge.set(i64::try_from(used.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
        }
    }
}
