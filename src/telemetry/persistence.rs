//! Metrics of what is kept on disk.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts};

use crate::model::kind::Kind;
use crate::persistence::engine::Written;

/// The families that are declared here.
pub(super) const FAMILIES: [(&str, Kind); 8] = [
    ("tallygate_commits_total", Kind::Counter),
    ("tallygate_commit_duration_seconds", Kind::Histogram),
    ("tallygate_commit_requests", Kind::Histogram),
    ("tallygate_commit_rows_total", Kind::Counter),
    ("tallygate_commit_row_bytes_total", Kind::Counter),
    ("tallygate_persistence_written_bytes_total", Kind::Counter),
    ("tallygate_queue_length", Kind::Gauge),
    ("tallygate_queue_full_total", Kind::Counter),
];

/// Metrics of commits.
#[derive(Clone, Debug)]
pub struct Commits {
    commits: IntCounterVec,
    duration: Histogram,
    requests: Histogram,
    rows: IntCounter,
    row_bytes: IntCounter,
    written: IntCounter,
}

/// Metrics of the queue of the writer.
#[derive(Clone, Debug)]
pub struct Queue {
    length: IntGauge,
    full: IntCounter,
}

impl Commits {
    pub(super) fn new() -> prometheus::Result<Commits> {
        let durations = prometheus::exponential_buckets(0.000_25, 2.0, 15)?;
        let sizes = prometheus::exponential_buckets(1.0, 4.0, 6)?;
        let commits = IntCounterVec::new(
            Opts::new("tallygate_commits_total", "Commits to the persistence file by what became of them."),
            &["result"],
        )?;
        commits.with_label_values(&["ok"]);
        commits.with_label_values(&["failed"]);
        Ok(Commits {
            commits,
            duration: Histogram::with_opts(
                HistogramOpts::new(
                    "tallygate_commit_duration_seconds",
                    "How long commits took that succeeded, the sync of the disk included.",
                )
                .buckets(durations),
            )?,
            requests: Histogram::with_opts(
                HistogramOpts::new(
                    "tallygate_commit_requests",
                    "How many requests went into one commit; none are counted with persistence.sync = \"interval\".",
                )
                .buckets(sizes),
            )?,
            rows: IntCounter::new(
                "tallygate_commit_rows_total",
                "Rows that were written to the persistence file or removed from it.",
            )?,
            row_bytes: IntCounter::new(
                "tallygate_commit_row_bytes_total",
                "Size of the rows that were written to the persistence file.",
            )?,
            written: IntCounter::new(
                "tallygate_persistence_written_bytes_total",
                "Bytes written to the persistence file, with whole pages for rows and with its own bookkeeping.",
            )?,
        })
    }

    pub(super) fn collectors(&self) -> [Box<dyn Collector>; 6] {
        [
            Box::new(self.commits.clone()),
            Box::new(self.duration.clone()),
            Box::new(self.requests.clone()),
            Box::new(self.rows.clone()),
            Box::new(self.row_bytes.clone()),
            Box::new(self.written.clone()),
        ]
    }

    /// A commit succeeded, with so many requests in it; `written` are the bytes written so far.
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

    /// A commit failed; `written` are the bytes written so far.
    pub fn failed(&self, written: u64) {
        self.commits.with_label_values(&["failed"]).inc();
        self.written(written);
    }

    fn written(&self, written: u64) {
        self.written.inc_by(written.saturating_sub(self.written.get()));
    }
}

impl Queue {
    pub(super) fn new() -> prometheus::Result<Queue> {
        Ok(Queue {
            length: IntGauge::new("tallygate_queue_length", "Requests that wait for the next commit.")?,
            full: IntCounter::new(
                "tallygate_queue_full_total",
                "Requests that were turned away because too many waited already.",
            )?,
        })
    }

    pub(super) fn collectors(&self) -> [Box<dyn Collector>; 2] {
        [Box::new(self.length.clone()), Box::new(self.full.clone())]
    }

    /// So many requests wait.
    pub fn depth(&self, requests: usize) {
        self.length.set(requests as i64);
    }

    /// A request was turned away.
    pub fn overflowed(&self) {
        self.full.inc();
    }
}
