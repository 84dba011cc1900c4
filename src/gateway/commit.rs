//! Commits of the store to its file, and what is done when one fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::gateway::clock::Clock;
use crate::persistence::batch::Batch;
use crate::persistence::file::{CommitError, StoreFile};
use crate::store::change::Change;
use crate::store::{Doubt, Store};
use crate::telemetry::persistence::CommitMetrics;

/// How long after a failure the disk is tried again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A write to the disk that takes this long makes pushes wait too long to be called kept.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// How much may be in doubt beyond twice the groups that there are.
const MAX_DOUBT: usize = 100_000;

/// Whether pushes can be kept.
#[derive(Debug, Default)]
pub(super) struct Health {
    is_failing: AtomicBool,
    reason: Mutex<String>,
    /// Since when the disk is being written.
    writing_since: Mutex<Option<Instant>>,
}

impl Health {
    /// Why pushes can't be kept; none when they can.
    pub(super) fn failure(&self) -> Option<String> {
        if self.is_failing.load(Ordering::Acquire) {
            return Some(self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone());
        }
        let since = *self.writing_since.lock().unwrap_or_else(PoisonError::into_inner);
        let stalled = since.map(|since| since.elapsed()).filter(|elapsed| *elapsed >= STALLED_AFTER)?;
        Some(format!("a write to the persistence file has not ended for {} s", stalled.as_secs()))
    }

    /// Does something that writes to the disk.
    fn writing<T>(&self, write: impl FnOnce() -> T) -> T {
        let set = |since| *self.writing_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
        set(Some(Instant::now()));
        let written = write();
        set(None);
        written
    }

    pub(super) fn fail(&self, reason: String) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        self.is_failing.store(true, Ordering::Release);
    }

    fn recover(&self) {
        self.is_failing.store(false, Ordering::Release);
    }
}

/// Whatever ends the thread that commits, it is seen.
pub(super) struct FailOnPanic(pub(super) Arc<Health>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the writer of the persistence file has failed: restart the gateway".to_owned());
        }
    }
}

/// Commits the changes of a store. Knows nothing of when.
#[derive(Debug)]
pub(super) struct Committer {
    store: Arc<Store>,
    file: StoreFile,
    name: String,
    metrics: CommitMetrics,
    health: Arc<Health>,
    clock: Arc<Clock>,
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
        metrics: CommitMetrics,
        health: Arc<Health>,
        clock: Arc<Clock>,
    ) -> Committer {
        Committer {
            store,
            file,
            name,
            metrics,
            health,
            clock,
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
        let mut times_go = false;
        let concerned = self.store.collect(|change| {
            times_go |= matches!(change, Change::GroupGone { .. });
            batch.add(change);
        });
        if self.batch.is_empty() {
            return Ok(());
        }
        if times_go {
            self.add_latest();
        }
        let started = Instant::now();
        let result = self.health.writing(|| self.file.commit(&self.batch));
        match &result {
            Ok(()) => self.metrics.committed(requests, &self.batch, started.elapsed(), self.file.written()),
            Err(error) => {
                self.doubt.extend(concerned);
                self.failed(error);
            }
        }
        result
    }

    /// What changes has its time in its group, or with its key; what goes takes its time along.
    fn add_latest(&mut self) {
        self.batch.add_latest(self.clock.latest(), false);
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
            self.add_latest();
            self.file.replace(&self.batch)?;
        } else {
            self.file.reopen()?;
            self.store.collect_all_of(&mut self.doubt, |change| batch.add(change));
            self.add_latest();
            self.file.commit(&self.batch)?;
        }
        self.metrics.committed(0, &self.batch, started.elapsed(), self.file.written());
        Ok(())
    }

    fn failed(&mut self, error: &CommitError) {
        self.tried_at = Instant::now();
        // Where groups come and go while the disk fails, more and more is in doubt: then everything is
        // written anew.
        let is_too_much = self.doubt.len() > 2 * self.store.group_count().unsigned_abs() as usize + MAX_DOUBT;
        self.is_fatal |= error.is_fatal || is_too_much;
        if self.is_fatal {
            self.doubt = Doubt::default();
        }
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

    /// Writes what has changed before the gateway ends, with one more try where that fails.
    ///
    /// # Errors
    ///
    /// When what has changed is lost.
    pub(super) fn commit_last(&mut self) -> Result<(), CommitError> {
        let committed = if self.is_failing() { self.recover() } else { self.commit(0) };
        let committed = committed.or_else(|_| self.recover());
        committed.inspect_err(|error| {
            tracing::error!(file = %self.name, err = %error, "the latest changes are lost: they can't be written");
        })
    }

    /// Closes the file in good order.
    pub(super) fn close(&mut self) {
        if !self.is_failing() {
            self.batch.clear();
            self.batch.add_latest(self.clock.latest(), true);
            // Without it the next start knows less of the time, and says nothing that is wrong.
            if let Err(error) = self.file.commit(&self.batch) {
                tracing::debug!(file = %self.name, err = %error, "the time of the end can't be written");
            }
        }
        self.file.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_does_not_end_is_a_failure_after_a_while() {
        let health = Health::default();
        let since = |elapsed| *health.writing_since.lock().unwrap() = Instant::now().checked_sub(elapsed);
        assert_eq!(health.failure(), None);
        since(Duration::ZERO);
        assert_eq!(health.failure(), None);
        since(STALLED_AFTER + Duration::from_secs(2));
        let failure = health.failure().unwrap();
        // On a slow machine it is later already.
        let seconds = failure.split("has not ended for ").nth(1).and_then(|rest| rest.split(" s").next());
        assert!(seconds.and_then(|text| text.parse::<u64>().ok()).is_some_and(|n| n >= 12), "{failure}");
        health.writing(|| ());
        assert_eq!(health.failure(), None);
    }
}
