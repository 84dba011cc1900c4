//! Commits of the store to its file, and what is done when one fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::persistence::batch::Batch;
use crate::persistence::file::{CommitError, StoreFile};
use crate::store::{Doubt, Store};
use crate::telemetry::persistence::Commits;

/// How long after a failure the disk is tried again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Whether pushes can be kept.
#[derive(Debug, Default)]
pub(super) struct Health {
    is_failing: AtomicBool,
    reason: Mutex<String>,
}

impl Health {
    /// Why pushes can't be kept; none when they can.
    pub(super) fn failure(&self) -> Option<String> {
        self.is_failing
            .load(Ordering::Acquire)
            .then(|| self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    pub(super) fn fail(&self, reason: String) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        self.is_failing.store(true, Ordering::Release);
    }

    fn recover(&self) {
        self.is_failing.store(false, Ordering::Release);
    }
}

/// Commits the changes of a store. Knows nothing of when.
#[derive(Debug)]
pub(super) struct Committer {
    store: Arc<Store>,
    file: StoreFile,
    name: String,
    metrics: Commits,
    health: Arc<Health>,
    batch: Batch,
    /// What commits that failed concerned.
    doubt: Doubt,
    /// Whether the file can't be trusted any more.
    is_fatal: bool,
    tried_at: Instant,
}

impl Committer {
    /// Commits to `file`, which is called `name` in messages.
    pub(super) fn new(
        store: Arc<Store>,
        file: StoreFile,
        name: String,
        metrics: Commits,
        health: Arc<Health>,
    ) -> Committer {
        Committer {
            store,
            file,
            name,
            metrics,
            health,
            batch: Batch::default(),
            doubt: Doubt::default(),
            is_fatal: false,
            tried_at: Instant::now(),
        }
    }

    /// Whether pushes can be kept, for others to see.
    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Whether the last commit failed.
    pub(super) fn is_failing(&self) -> bool {
        self.health.is_failing.load(Ordering::Acquire)
    }

    /// Writes what has changed, where anything has. `requests` is for the metrics.
    ///
    /// # Errors
    ///
    /// When it may not be on disk. [`Committer::recover`] must succeed before the next commit.
    pub(super) fn commit(&mut self, requests: usize) -> Result<(), CommitError> {
        self.batch.clear();
        let batch = &mut self.batch;
        let concerned = self.store.collect(|change| batch.add(change));
        if self.batch.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let result = self.file.commit(&self.batch);
        match &result {
            Ok(()) => self.metrics.committed(requests, &self.batch, started.elapsed(), self.file.written()),
            Err(error) => {
                self.doubt.extend(concerned);
                self.failed(error);
            }
        }
        result
    }

    /// Notes what has changed since, without writing it: [`Committer::recover`] will.
    pub(super) fn postpone(&mut self) {
        let concerned = self.store.collect(|_| {});
        self.doubt.extend(concerned);
    }

    /// Whether it is time to try the disk again.
    pub(super) fn may_recover(&self) -> bool {
        self.tried_at.elapsed() >= RETRY_AFTER
    }

    /// Brings the file in line with the store after a failure.
    ///
    /// What commits that failed concerned is written whole: they may have reached the disk in part, or
    /// altogether. After a failed sync not even the rest of the file can be trusted (the system may
    /// have dropped what it could not write, and says so only once), so that a new one takes its place.
    pub(super) fn recover(&mut self) -> Result<(), CommitError> {
        self.tried_at = Instant::now();
        let result = self.try_recover();
        match &result {
            Ok(()) => {
                self.doubt = Doubt::default();
                self.is_fatal = false;
                self.health.recover();
                tracing::info!(file = %self.name, "the persistence file can be written again");
            }
            Err(error) => self.failed(error),
        }
        result
    }

    fn try_recover(&mut self) -> Result<(), CommitError> {
        let started = Instant::now();
        self.batch.clear();
        let batch = &mut self.batch;
        if self.is_fatal {
            self.store.all(|change| batch.add(change));
            self.file.replace(&self.batch)?;
        } else {
            self.file.reopen()?;
            self.store.all_of(&self.doubt, |change| batch.add(change));
            self.file.commit(&self.batch)?;
        }
        self.metrics.committed(0, &self.batch, started.elapsed(), self.file.written());
        Ok(())
    }

    fn failed(&mut self, error: &CommitError) {
        self.tried_at = Instant::now();
        self.is_fatal |= error.is_fatal;
        self.metrics.failed(self.file.written());
        let is_new = !self.is_failing();
        self.health.fail(format!("persistence file {}: {error}", self.name));
        if is_new {
            tracing::error!(
                file = %self.name,
                err = %error,
                "the persistence file can't be written; trying again every second"
            );
        } else {
            tracing::debug!(file = %self.name, err = %error, "the persistence file still can't be written");
        }
    }

    /// Closes the file in good order.
    pub(super) fn close(&mut self) {
        self.file.close();
    }
}
