//! Metrics of limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

use crate::model::kind::Kind;
use crate::model::limits::Limit;

/// The families that are declared here.
pub(super) const FAMILIES: [(&str, Kind); 6] = [
    ("tallygate_limit_hits_total", Kind::Counter),
    ("tallygate_connections", Kind::Gauge),
    ("tallygate_requests_in_flight", Kind::Gauge),
    ("tallygate_scrapes_in_flight", Kind::Gauge),
    ("tallygate_body_bytes_in_flight", Kind::Gauge),
    ("tallygate_store_bytes", Kind::Gauge),
];

/// A limit that is hit again and again is logged this often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Metrics of limits.
#[derive(Clone, Debug)]
pub struct Limits {
    hits: Arc<[IntCounter]>,
    hits_by_limit: IntCounterVec,
    /// When each was logged last, in seconds since `started`, from 1.
    logged: Arc<[AtomicU64]>,
    started: Instant,
    /// How much there is of [`IN_FLIGHT`].
    used: [Arc<AtomicU64>; 4],
    in_flight: [IntGauge; 4],
    store_bytes: IntGauge,
}

/// What is limited at a time.
const IN_FLIGHT: [Limit; 4] =
    [Limit::Connections, Limit::RequestsInFlight, Limit::ScrapesInFlight, Limit::BodyBytesInFlight];

impl Limits {
    pub(super) fn new() -> prometheus::Result<Limits> {
        let hits_by_limit = IntCounterVec::new(
            Opts::new(
                "tallygate_limit_hits_total",
                "How often a limit was hit: connections, requests and pushes that were refused, and clients that were too slow.",
            ),
            &["limit"],
        )?;
        let hits = Limit::ALL.map(|limit| hits_by_limit.with_label_values(&[limit.name()]));
        Ok(Limits {
            hits: hits.into(),
            hits_by_limit,
            logged: Limit::ALL.map(|_| AtomicU64::new(0)).into(),
            started: Instant::now(),
            used: Default::default(),
            in_flight: [
                IntGauge::new("tallygate_connections", "Open connections.")?,
                IntGauge::new("tallygate_requests_in_flight", "Requests that are being answered.")?,
                IntGauge::new(
                    "tallygate_scrapes_in_flight",
                    "Scrapes and other large answers that are being sent, this one included.",
                )?,
                IntGauge::new(
                    "tallygate_body_bytes_in_flight",
                    "Memory of large and of compressed bodies that are being read.",
                )?,
            ],
            store_bytes: IntGauge::new(
                "tallygate_store_bytes",
                "Size of everything that the gateway holds, as limits.store_bytes counts it.",
            )?,
        })
    }

    pub(super) fn collectors(&self) -> impl Iterator<Item = Box<dyn Collector>> {
        let gauges = self.in_flight.iter().chain([&self.store_bytes]);
        let gauges = gauges.map(|gauge| Box::new(gauge.clone()) as Box<dyn Collector>);
        gauges.chain([Box::new(self.hits_by_limit.clone()) as Box<dyn Collector>])
    }

    /// A limit was hit.
    pub fn hit(&self, limit: Limit) {
        self.hits[limit as usize].inc();
        let (now, every) = (self.started.elapsed().as_secs() + 1, LOG_INTERVAL.as_secs());
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

    /// How much there is of something at the moment. `limit` must be one of those of which there is so much at a time.
    pub fn in_flight(&self, limit: Limit) -> Arc<AtomicU64> {
        let at = IN_FLIGHT.iter().position(|other| *other == limit).unwrap_or_default();
        self.used[at].clone()
    }

    pub(super) fn show(&self, store_bytes: i64) {
        self.store_bytes.set(store_bytes);
        for (gauge, used) in self.in_flight.iter().zip(&self.used) {
            gauge.set(i64::try_from(used.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
        }
    }
}
