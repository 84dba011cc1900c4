//! Metrics of idempotency keys.

use prometheus::{Gauge, IntCounter, IntGauge};

use super::declare::metrics;
use crate::model::time::Moment;
use crate::store::idempotency::Keys;

metrics! {
    /// Metrics of idempotency keys.
    pub(super) struct IdempotencyMetrics {
        keys: IntGauge = "tallygate_idempotency_keys",
            "Idempotency keys that are remembered.";
        window: Gauge = "tallygate_idempotency_window_seconds",
            "How long idempotency keys are remembered at the moment: less than configured where there are too many.";
        evictions: IntCounter = "tallygate_idempotency_evictions_total",
            "Idempotency keys that were forgotten before their time was over, to make room.";
        replays: IntCounter = "tallygate_idempotency_replays_total",
            "Requests that changed nothing because they had been applied before.";
        conflicts: IntCounter = "tallygate_idempotency_conflicts_total",
            "Requests that were refused because their idempotency key had come with another body.";
    }
}

impl IdempotencyMetrics {
    /// Counts a request that was applied before and changed nothing now.
    pub(super) fn replayed(&self) {
        self.replays.inc();
    }

    /// Counts a request whose idempotency key was used before with another body.
    pub(super) fn key_reused(&self) {
        self.conflicts.inc();
    }

    /// Brings the metrics up to date with the keys.
    pub(super) fn update(&self, keys: &Keys, now: Moment) {
        self.keys.set(keys.len() as i64);
        self.window.set(keys.effective_window(now).as_secs_f64());
        let new = keys.evicted().saturating_sub(self.evictions.get());
        self.evictions.inc_by(new);
    }
}
