//! Metrics of commits to the persistence file or database, and of the requests that wait for them.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, exponential_buckets};

use super::declare::metrics;
use crate::persistence::engine::Written;

metrics! {
    /// Metrics of commits.
    pub struct CommitMetrics {
        commits: IntCounterVec by ["result"] = "tallygate_commits_total",
            "Commits to the persistence file or database by what became of them.";
        duration: Histogram = "tallygate_commit_duration_seconds",
            "How long commits took that succeeded, the sync of the disk or the answer of the database included.",
            exponential_buckets(0.000_25, 2.0, 15)?;
        requests: Histogram = "tallygate_commit_requests",
            "How many requests went into one commit; none are counted with persistence.sync = \"interval\".",
            exponential_buckets(1.0, 4.0, 6)?;
        rows: IntCounter = "tallygate_commit_rows_total",
            "Rows that were written to the persistence file or database, or removed from it.";
        row_bytes: IntCounter = "tallygate_commit_row_bytes_total",
            "Size of the rows that were written to the persistence file or database.";
        written: IntCounter = "tallygate_persistence_written_bytes_total",
            "Bytes written to the persistence file, with whole pages for rows and with its own bookkeeping, or to the database.";
    }
}

metrics! {
    /// Metrics of the queue of the writer.
    pub struct QueueMetrics {
        length: IntGauge = "tallygate_queue_length",
            "Requests that wait for the next commit.";
        full: IntCounter = "tallygate_queue_full_total",
            "Requests that were turned away because too many waited already.";
    }
}

impl CommitMetrics {
    /// Shows both results from the start.
    pub(super) fn prepare(&self) {
        self.commits.with_label_values(&["ok"]);
        self.commits.with_label_values(&["failed"]);
    }

    /// Counts a commit of this many requests that succeeded. `written` is how many bytes were written to the file so
    /// far.
    pub fn committed(&self, requests: usize, rows: Written, took: Duration, written: u64) {
        self.commits.with_label_values(&["ok"]).inc();
        self.duration.observe(took.as_secs_f64());
        if requests > 0 {
            self.requests.observe(requests as f64);
        }
        self.rows.inc_by(rows.rows);
        self.row_bytes.inc_by(rows.bytes);
        self.written(written);
    }

    /// Counts a commit that failed. `written` is how many bytes were written to the file so far.
    pub fn failed(&self, written: u64) {
        self.commits.with_label_values(&["failed"]).inc();
        self.written(written);
    }

    /// How many commits succeeded, and how many failed.
    pub fn counts(&self) -> (u64, u64) {
        let count = |result| self.commits.with_label_values(&[result]).get();
        (count("ok"), count("failed"))
    }

    fn written(&self, written: u64) {
        self.written.inc_by(written.saturating_sub(self.written.get()));
    }
}

impl QueueMetrics {
    /// Sets how many requests wait.
    pub fn depth(&self, requests: usize) {
        self.length.set(requests as i64);
    }

    /// How many requests wait.
    pub fn waiting(&self) -> u64 {
        self.length.get().max(0).unsigned_abs()
    }

    /// Counts a request that was turned away because the queue was full.
    pub fn overflowed(&self) {
        self.full.inc();
    }
}
