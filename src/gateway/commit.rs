//! Commits the store to its engine, and recovers when a commit fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::config::Config;
use crate::gateway::clock::Clock;
use crate::gateway::replicas::Replicas;
use crate::persistence::engine::{CommitError, Committed, Engine, Recovery, Written};
use crate::store::Store;
use crate::store::difference::Difference;
use crate::store::news::News;
use crate::telemetry::persistence::CommitMetrics;
use crate::telemetry::replica::ReplicaMetrics;

/// How long to wait after a failure before the disk is tried again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// If a write takes longer, the gateway reports that it can't keep pushes.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// What a store is kept in, for messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Medium {
    /// The persistence file.
    #[default]
    File,
    /// A database.
    Database,
}

impl Medium {
    /// What the configuration names.
    pub(super) fn of(config: &Config) -> Medium {
        if config.persistence.has_database() { Medium::Database } else { Medium::File }
    }

    fn name(self) -> &'static str {
        match self {
            Medium::File => "persistence file",
            Medium::Database => "database",
        }
    }
}

/// Whether pushes can be kept.
#[derive(Debug, Default)]
pub(super) struct Health {
    medium: Medium,
    is_failing: AtomicBool,
    reason: Mutex<String>,
    /// When the first of the failures in a row was.
    failing_since: Mutex<Option<SystemTime>>,
    /// When something was kept last.
    kept_at: Mutex<Option<SystemTime>>,
    /// When the current write began. `None` if there is none.
    writing_since: Mutex<Option<Instant>>,
}

impl Health {
    /// That of a store in this medium.
    pub(super) fn of(medium: Medium) -> Health {
        Health { medium, ..Health::default() }
    }

    /// Why pushes can't be kept. `None` if they can.
    pub(super) fn failure(&self) -> Option<String> {
        if self.is_failing.load(Ordering::Acquire) {
            return Some(self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone());
        }
        let since = *self.writing_since.lock().unwrap_or_else(PoisonError::into_inner);
        let stalled = since.map(|since| since.elapsed()).filter(|elapsed| *elapsed >= STALLED_AFTER)?;
        Some(format!("a write to the {} has not ended for {} s", self.medium.name(), stalled.as_secs()))
    }

    /// Since when pushes can't be kept. `None` if they can.
    pub(super) fn failing_since(&self) -> Option<SystemTime> {
        if self.is_failing.load(Ordering::Acquire) {
            return *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        }
        let since = *self.writing_since.lock().unwrap_or_else(PoisonError::into_inner);
        SystemTime::now().checked_sub(since?.elapsed())
    }

    /// Runs `write` and notes that the disk is being written meanwhile.
    fn writing<T>(&self, write: impl FnOnce() -> T) -> T {
        let set = |since| *self.writing_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
        set(Some(Instant::now()));
        let written = write();
        set(None);
        written
    }

    pub(super) fn fail(&self, reason: String) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        if !self.is_failing.load(Ordering::Acquire) {
            *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(SystemTime::now());
        }
        self.is_failing.store(true, Ordering::Release);
    }

    fn recover(&self) {
        self.is_failing.store(false, Ordering::Release);
    }

    fn kept(&self) {
        *self.kept_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(SystemTime::now());
    }

    /// When something was kept last. `None` if nothing was since the start.
    pub(super) fn kept_at(&self) -> Option<SystemTime> {
        *self.kept_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports a failure if the committing thread panics.
pub(super) struct FailOnPanic(pub(super) Arc<Health>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let what = self.0.medium.name();
            self.0.fail(format!("the writer of the {what} has failed: restart the gateway"));
        }
    }
}

/// Commits the changes of a store. The caller decides when.
#[derive(Debug)]
pub(super) struct Committer {
    store: Arc<Store>,
    engine: Box<dyn Engine>,
    name: String,
    metrics: CommitMetrics,
    health: Arc<Health>,
    clock: Arc<Clock>,
    tried_at: Instant,
    /// What others have committed and the store does not have yet.
    news: Option<News>,
    replicas: Option<(Arc<Replicas>, ReplicaMetrics)>,
}

impl Committer {
    /// Commits to this engine. `name` is its file in messages.
    pub(super) fn new(
        store: Arc<Store>,
        engine: Box<dyn Engine>,
        name: String,
        metrics: CommitMetrics,
        health: Arc<Health>,
        clock: Arc<Clock>,
    ) -> Committer {
        Committer {
            store,
            engine,
            name,
            metrics,
            health,
            clock,
            tried_at: Instant::now(),
            news: None,
            replicas: None,
        }
    }

    /// Notes which other gateways there are, and how they go together.
    pub(super) fn with_replicas(
        mut self,
        replicas: Option<Arc<Replicas>>,
        metrics: Option<ReplicaMetrics>,
    ) -> Committer {
        self.replicas = replicas.zip(metrics);
        self
    }

    /// The shared record of whether changes can be kept.
    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Whether other gateways may commit, too.
    pub(super) fn is_shared(&self) -> bool {
        self.engine.is_shared()
    }

    /// Must come before a draft.
    ///
    /// # Errors
    ///
    /// As [`Committer::commit`].
    pub(super) fn begin(&mut self) -> Result<(), CommitError> {
        if self.news.is_none() {
            self.news = self.ask(|engine, store| engine.begin(store))?;
        }
        self.take_in();
        Ok(())
    }

    /// Takes in all that others have committed until now. There must be no draft.
    ///
    /// # Errors
    ///
    /// As [`Committer::commit`].
    pub(super) fn look(&mut self) -> Result<(), CommitError> {
        self.take_in();
        self.news = self.ask(|engine, store| engine.look(store))?;
        self.take_in();
        Ok(())
    }

    /// Asks the engine for what others have committed.
    fn ask(
        &mut self,
        ask: impl FnOnce(&mut dyn Engine, &Store) -> Result<Option<News>, CommitError>,
    ) -> Result<Option<News>, CommitError> {
        if !self.engine.is_shared() {
            return Ok(None);
        }
        let before = self.engine.common_time().map(|time| time.asked);
        let asked = self.health.writing(|| ask(&mut *self.engine, &self.store));
        let time = self.engine.common_time().filter(|time| Some(time.asked) != before);
        // A batch begins without a question where nobody else commits.
        if let (Some(time), Some((replicas, metrics))) = (time, &self.replicas) {
            self.clock.follow(time);
            metrics.set_replicas(replicas.set(self.engine.replicas()));
            metrics.set_clock_ahead(self.clock.ahead());
            match asked.as_ref() {
                Ok(Some(News { is_all: true, .. })) => metrics.reloaded(),
                Ok(news) => metrics.took_in(news.as_ref().map_or(0, |news| news.commits)),
                Err(_) => {}
            }
        }
        asked.inspect_err(|error| self.failed(error))
    }

    fn take_in(&mut self) {
        if let Some(news) = self.news.take() {
            self.clock.has_been(news.latest);
            self.store.catch_up(news, self.clock.now());
        }
    }

    /// Whether the last commit failed.
    pub(super) fn is_failing(&self) -> bool {
        self.health.is_failing.load(Ordering::Acquire)
    }

    /// Commits a difference unless it is empty. `requests` is for the metrics.
    ///
    /// # Errors
    ///
    /// If the commit fails. [`Committer::recover`] must succeed before the next commit.
    pub(super) fn commit(
        &mut self,
        difference: &Difference,
        requests: usize,
    ) -> Result<Committed, CommitError> {
        if difference.is_empty() {
            // What is answered must hold at this moment.
            self.news = self.ask(|engine, store| engine.look(store))?;
            let is_current = self.news.is_none();
            return Ok(if is_current { Committed::Kept(Written::default()) } else { Committed::Overtaken });
        }
        let started = Instant::now();
        let latest = self.clock.latest();
        let result = self.health.writing(|| self.engine.commit(difference, latest));
        match &result {
            Ok(Committed::Kept(written)) => {
                self.health.kept();
                self.metrics.committed(requests, *written, started.elapsed(), self.engine.written());
            }
            Ok(Committed::Overtaken) => {
                if let Some((_, metrics)) = &self.replicas {
                    metrics.overtaken();
                }
            }
            Err(error) => self.failed(error),
        }
        result
    }

    /// Commits changes that are already visible.
    pub(super) fn commit_unsaved(&mut self) -> Result<(), CommitError> {
        let difference = self.store.take_unsaved();
        self.commit(&difference, 0).map(drop)
    }

    /// Whether it is time to try again.
    pub(super) fn may_recover(&self) -> bool {
        self.tried_at.elapsed() >= RETRY_AFTER
    }

    /// Makes the store and what is kept the same again after a failure.
    pub(super) fn recover(&mut self) -> Result<(), CommitError> {
        self.tried_at = Instant::now();
        let latest = self.clock.latest();
        let prepared = self.health.writing(|| self.engine.prepare_recovery());
        let recovered = prepared.and_then(|recovery| match recovery {
            Recovery::Write => {
                let (state, since) = self.store.take_all();
                let written = self.health.writing(|| self.engine.recover(&state, &since, latest));
                if let Some((_, metrics)) = self.replicas.as_ref().filter(|_| written.is_ok()) {
                    metrics.rewritten();
                }
                written
            }
            Recovery::Look => self.look().map(|()| Written::default()),
        });
        match recovered {
            Ok(written) => {
                let took = self.tried_at.elapsed();
                if written != Written::default() {
                    self.metrics.committed(0, written, took, self.engine.written());
                }
                self.health.recover();
                self.health.kept();
                tracing::info!(file = %self.name, "the {} can be written again", self.health.medium.name());
                Ok(())
            }
            Err(error) => {
                self.failed(&error);
                Err(error)
            }
        }
    }

    fn failed(&mut self, error: &CommitError) {
        self.tried_at = Instant::now();
        self.metrics.failed(self.engine.written());
        let is_new = !self.is_failing();
        self.health.fail(format!("{} {}: {error}", self.health.medium.name(), self.name));
        if is_new {
            tracing::error!(
                file = %self.name,
                err = %error,
                "the {} can't be written; trying again every second",
                self.health.medium.name()
            );
        } else {
            let what = self.health.medium.name();
            tracing::debug!(file = %self.name, err = %error, "the {what} still can't be written");
        }
    }

    /// Writes the last changes before the gateway ends, and tries once more if that fails.
    ///
    /// # Errors
    ///
    /// If the changes are lost.
    pub(super) fn commit_last(&mut self) -> Result<(), CommitError> {
        let committed = if self.is_failing() { self.recover() } else { self.commit_unsaved() };
        let committed = committed.or_else(|_| self.recover());
        committed.inspect_err(|error| {
            tracing::error!(file = %self.name, err = %error, "the latest changes are lost: they can't be written");
        })
    }

    /// Closes the engine.
    pub(super) fn close(&mut self) {
        self.engine.close(self.clock.latest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::memory::Memory;
    use crate::store::CommitMode;
    use crate::telemetry::Telemetry;

    #[test]
    fn what_begins_or_looks_without_an_answer_has_failed_until_it_recovers() {
        let shared = Memory::shared();
        let store = Arc::new(Store::new([], CommitMode::Before, Duration::ZERO, 1));
        let engine = Box::new(shared.join(&store));
        let metrics = Telemetry::new(false, None).unwrap().commits().clone();
        let (health, clock) = (Arc::new(Health::default()), Arc::new(Clock::new()));
        let mut committer = Committer::new(store, engine, "memory".to_owned(), metrics, health, clock);
        for ask in [Committer::begin, Committer::look] {
            assert!(ask(&mut committer).is_ok() && !committer.is_failing());
            shared.fail_reads(2);
            assert!(ask(&mut committer).is_err() && committer.is_failing());
            assert!(committer.recover().is_err() && committer.is_failing());
            assert!(committer.recover().is_ok() && !committer.is_failing());
        }
    }

    #[test]
    fn a_write_that_does_not_end_is_a_failure_after_a_while() {
        let health = Health::default();
        let since = |elapsed| *health.writing_since.lock().unwrap() = Instant::now().checked_sub(elapsed);
        assert_eq!(health.failure(), None);
        since(Duration::ZERO);
        assert_eq!(health.failure(), None);
        since(STALLED_AFTER + Duration::from_secs(2));
        let failure = health.failure().unwrap();
        // On a slow machine more time may have passed.
        let seconds = failure.split("has not ended for ").nth(1).and_then(|rest| rest.split(" s").next());
        assert!(seconds.and_then(|text| text.parse::<u64>().ok()).is_some_and(|n| n >= 12), "{failure}");
        health.writing(|| ());
        assert_eq!(health.failure(), None);
    }
}
