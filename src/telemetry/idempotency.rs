//! Metrics of idempotency keys.

use prometheus::core::Collector;
use prometheus::{Gauge, IntCounter, IntGauge};

use crate::model::kind::Kind;
use crate::model::time::Moment;
use crate::store::idempotency::Keys;

/// The families that are declared here.
pub(super) const FAMILIES: [(&str, Kind); 5] = [
    ("tallygate_idempotency_keys", Kind::Gauge),
    ("tallygate_idempotency_window_seconds", Kind::Gauge),
    ("tallygate_idempotency_evictions_total", Kind::Counter),
    ("tallygate_idempotency_replays_total", Kind::Counter),
    ("tallygate_idempotency_conflicts_total", Kind::Counter),
];

#[derive(Clone, Debug)]
pub(super) struct Idempotency {
    keys: IntGauge,
    window: Gauge,
    evictions: IntCounter,
    pub(super) replays: IntCounter,
    pub(super) conflicts: IntCounter,
}

impl Idempotency {
    pub(super) fn new() -> prometheus::Result<Idempotency> {
        Ok(Idempotency {
            keys: IntGauge::new("tallygate_idempotency_keys", "Idempotency keys that are remembered.")?,
            window: Gauge::new(
                "tallygate_idempotency_window_seconds",
                "How long idempotency keys are remembered at the moment: less than configured where there are too many.",
            )?,
            evictions: IntCounter::new(
                "tallygate_idempotency_evictions_total",
                "Idempotency keys that were forgotten before their time was over, to make room.",
            )?,
            replays: IntCounter::new(
                "tallygate_idempotency_replays_total",
                "Requests that changed nothing because they had been applied before.",
            )?,
            conflicts: IntCounter::new(
                "tallygate_idempotency_conflicts_total",
                "Requests that were refused because their idempotency key had come with another body.",
            )?,
        })
    }

    pub(super) fn collectors(&self) -> [Box<dyn Collector>; 5] {
        [
            Box::new(self.keys.clone()),
            Box::new(self.window.clone()),
            Box::new(self.evictions.clone()),
            Box::new(self.replays.clone()),
            Box::new(self.conflicts.clone()),
        ]
    }

    pub(super) fn show(&self, keys: &Keys, now: Moment) {
        self.keys.set(keys.len() as i64);
        self.window.set(keys.effective_window(now).as_secs_f64());
        let new = keys.evicted().saturating_sub(self.evictions.get());
        self.evictions.inc_by(new);
    }
}
