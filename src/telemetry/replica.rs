//! Metrics of a gateway that shares a database with others.

use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntGauge, exponential_buckets};

use super::declare::metrics;

metrics! {
    /// Metrics of a gateway that shares a database with others.
    pub struct ReplicaMetrics {
        replicas: IntGauge = "tallygate_replicas",
            "Gateways that use the database, this one included: those that noted there within 30 seconds that they do.";
        behind: IntGauge = "tallygate_replica_behind_commits",
            "How many commits of others the gateway did not have when it looked last; it took them in then.";
        barrier: Histogram = "tallygate_replica_barrier_seconds",
            "How long scrapes and requests to the API waited until the gateway had everything that others had committed \
             before.",
            exponential_buckets(0.000_25, 2.0, 15)?;
        taken_in: IntCounter = "tallygate_replica_taken_in_commits_total",
            "Commits of others that the gateway took in.";
        overtaken: IntCounter = "tallygate_replica_overtaken_total",
            "Batches of requests that were applied again because another gateway had committed first.";
        reloads: IntCounter = "tallygate_replica_reloads_total",
            "How often the gateway read the whole database again, because it was away for long or the database was put \
             back.";
        rewrites: IntCounter = "tallygate_replica_rewrites_total",
            "How often the gateway wrote everything to the database again, because that had lost commits.";
        clock_ahead: Gauge = "tallygate_replica_clock_ahead_seconds",
            "By how much the clock of the database is ahead of that of the gateway, which follows it.";
    }
}

impl ReplicaMetrics {
    /// Counts a wait for what others had committed.
    pub fn caught_up(&self, took: Duration) {
        self.barrier.observe(took.as_secs_f64());
    }

    /// Counts commits of others that were taken in.
    pub fn took_in(&self, commits: u64) {
        self.behind.set(i64::try_from(commits).unwrap_or(i64::MAX));
        self.taken_in.inc_by(commits);
    }

    /// Counts a batch that is applied again.
    pub fn overtaken(&self) {
        self.overtaken.inc();
    }

    /// Counts that everything was read again.
    pub fn reloaded(&self) {
        self.reloads.inc();
    }

    /// Counts that everything was written again.
    pub fn rewritten(&self) {
        self.rewrites.inc();
    }

    /// Sets how many gateways there are.
    pub fn set_replicas(&self, replicas: usize) {
        self.replicas.set(i64::try_from(replicas).unwrap_or(i64::MAX));
    }

    /// Sets by how many nanoseconds the clock of the database is ahead.
    pub fn set_clock_ahead(&self, nanos: i64) {
        self.clock_ahead.set(nanos as f64 / 1e9);
    }
}
