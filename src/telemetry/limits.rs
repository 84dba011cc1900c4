//! Metrics of limits, and quotas of what is limited at any one time.

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

/// How much of something may be in use at a time, and how much is.
#[derive(Clone, Debug)]
pub struct Quota(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    limit: Limit,
    used: Arc<AtomicU64>,
    most: u64,
    limits: LimitMetrics,
}

/// A part of a [`Quota`] that is in use until it is dropped.
#[derive(Debug)]
pub struct Share {
    quota: Quota,
    amount: u64,
}

impl Quota {
    /// Takes a part of `amount`, if that much is left. Else counts a hit of the limit.
    pub fn take(&self, amount: u64) -> Option<Share> {
        let mut share = Share { quota: self.clone(), amount: 0 };
        share.grow_to(amount).then_some(share)
    }

    /// Which limit it is.
    pub fn limit(&self) -> Limit {
        self.0.limit
    }
}

impl Share {
    /// Makes the part larger by this, if that much is left. Else counts a hit of the limit.
    pub fn grow_by(&mut self, more: u64) -> bool {
        self.grow_to(self.amount.saturating_add(more))
    }

    /// The same, but never larger than the whole quota.
    pub fn grow_within(&mut self, more: u64) -> bool {
        self.grow_to(self.amount.saturating_add(more).min(self.quota.0.most))
    }

    /// Makes the part at least as large as this, if that much is left. Else counts a hit of the limit.
    pub fn grow_to(&mut self, amount: u64) -> bool {
        let more = amount.saturating_sub(self.amount);
        let Counted { limit, used, most, limits } = &*self.quota.0;
        if used.fetch_add(more, Ordering::Relaxed).saturating_add(more) > *most {
            used.fetch_sub(more, Ordering::Relaxed);
            limits.hit(*limit);
            return false;
        }
        self.amount += more;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.quota.0.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

/// Metrics of limits.
#[derive(Clone, Debug)]
pub struct LimitMetrics {
    metrics: LimitFamilies,
    hits: Arc<[IntCounter]>,
    /// When each limit was logged last, in seconds since `started` plus 1; 0 for never.
    logged: Arc<[AtomicU64]>,
    started: Instant,
    /// How much of each of [`IN_FLIGHT`] is in use.
    used: [Arc<AtomicU64>; IN_FLIGHT.len()],
}

/// The limits for which there is a [`Quota`].
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
            started: Instant::now(),
            used: Default::default(),
        })
    }

    /// Counts a hit of a limit, and logs it from time to time.
    pub fn hit(&self, limit: Limit) {
        self.hits[limit as usize].inc();
        let (now, every) = (self.started.elapsed().as_secs() + 1, LOG_INTERVAL.as_secs());
        let is_due = |last: u64| (last == 0 || now >= last + every).then_some(now);
        let logged = &self.logged[limit as usize];
        if logged.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_due).is_ok() {
            tracing::warn!(
                limit = %limit.setting(),
                hits = self.hits[limit as usize].get(),
                "a limit was hit; the metric tallygate_limit_hits_total counts how often"
            );
        }
    }

    /// A quota of `most` for one of [`IN_FLIGHT`].
    pub fn quota(&self, limit: Limit, most: u64) -> Quota {
        let at = IN_FLIGHT.iter().position(|other| *other == limit).unwrap_or_default();
        Quota(Arc::new(Counted { limit, used: self.used[at].clone(), most, limits: self.clone() }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_given_back() {
        let limits = LimitMetrics::new(&Registry::new()).unwrap();
        let quota = limits.quota(Limit::BodyBytesInFlight, 10);
        let mut share = quota.take(6).unwrap();
        assert!(quota.take(5).is_none() && quota.take(4).is_some());
        assert!(share.grow_to(10) && share.grow_to(3) && !share.grow_to(11));
        drop(share);
        assert_eq!(quota.0.used.load(Ordering::Relaxed), 0);
        assert_eq!(limits.hits[Limit::BodyBytesInFlight as usize].get(), 2);
    }
}
