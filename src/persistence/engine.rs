//! The interface of an engine, and what it guarantees.
//!
//! # The contract
//!
//! An engine keeps the content of a store. It gets differences of two versions, one after the other. Each begins at
//! the version that the one before led to.
//!
//! 1. **All or nothing.** After a crash at any moment the engine restores the version after one of the differences,
//!    with all its groups, names and idempotency keys, and nothing of a later version.
//! 2. **Kept means kept.** After [`Engine::commit`] has succeeded, the engine restores that version or a later one,
//!    however the process ends.
//! 3. **A failed commit may be on disk or not, and the engine remembers that.** The next difference may begin at
//!    either version, because the caller may have dropped the failed one. [`Engine::prepare_recovery`] must succeed
//!    before the next commit, and what it asks for must be done.
//! 4. **Trust ends with a failed sync.** After a failed sync, earlier writes may be lost although the system has
//!    reported them as written. An engine that learns of one writes everything anew.
//! 5. **Absolute values.** Repeating a commit does no harm.
//! 6. **One history.** Several gateways may share an engine. Their commits form one sequence, and each difference is
//!    that of the version which all commits before it led to. If another gateway has committed since the caller has
//!    looked, a commit keeps nothing and says so. [`Engine::begin`] and [`Engine::look`] give what others have
//!    committed; the caller takes it in, and drafts again.
//! 7. **Nothing is missed.** What [`Engine::look`] gives holds every commit that ended, in any gateway, before it was
//!    called.
//!
//! The layout of rows, the rewriting of files and the tracking of failed commits are the engine's own business.

use std::time::{Duration, Instant, SystemTime};

use crate::store::Store;
use crate::store::difference::{Difference, State};
use crate::store::news::News;

/// Keeps the state of a store; see the contract of this module.
pub trait Engine: std::fmt::Debug + Send {
    /// Must be called before a difference is drafted. Returns what others have committed, if that is known to be
    /// needed: the store, which has everything before it, must take it in first.
    ///
    /// # Errors
    ///
    /// If the engine fails. It must recover before the next commit.
    fn begin(&mut self, _store: &Store) -> Result<Option<News>, CommitError> {
        Ok(None)
    }

    /// Keeps a difference. `latest` is the latest time that the gateway has seen, in nanoseconds since the epoch.
    /// The engine must still know it after the data with that time is deleted.
    ///
    /// # Errors
    ///
    /// If the commit fails. The engine must recover before the next one.
    fn commit(&mut self, difference: &Difference, latest: i64) -> Result<Committed, CommitError>;

    /// Returns what others have committed until now, or nothing if that is nothing. The store must take it in before
    /// the next call.
    ///
    /// The caller asks before it shows anything, before it answers a request that changes nothing, and about once a
    /// second while nothing else happens.
    ///
    /// # Errors
    ///
    /// If that can't be found out. The engine must recover before the next commit.
    fn look(&mut self, _store: &Store) -> Result<Option<News>, CommitError> {
        Ok(None)
    }

    /// Prepares recovery after a failure. Cheap if recovery is not possible yet. Returns what the caller must do.
    ///
    /// # Errors
    ///
    /// If recovery is not possible yet.
    fn prepare_recovery(&mut self) -> Result<Recovery, CommitError>;

    /// Makes the kept state equal to `state` after a failure. `since` holds the changes since the failed commit.
    ///
    /// # Errors
    ///
    /// If that is not possible yet.
    fn recover(&mut self, state: &State, since: &Difference, latest: i64) -> Result<Written, CommitError>;

    /// Whether several gateways may use it at the same time.
    fn is_shared(&self) -> bool {
        false
    }

    /// The clock that all gateways have in common, as it was read last.
    fn common_time(&self) -> Option<CommonTime> {
        None
    }

    /// The gateways that use it, as they were when the engine looked last; none where it is not shared.
    fn replicas(&self) -> &[Replica] {
        &[]
    }

    /// How many bytes were written so far, including the engine's own bookkeeping.
    fn written(&self) -> u64;

    /// Closes the engine. `latest` is the latest time that was seen, in nanoseconds since the epoch. A failure
    /// loses no data.
    fn close(&mut self, latest: i64);
}

/// The result of a commit that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The difference is kept.
    Kept(Written),
    /// Nothing is kept, because other gateways were first.
    Overtaken,
}

/// How an engine recovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// By [`Engine::recover`], with what the store has.
    Write,
    /// The store takes in what [`Engine::look`] gives.
    Look,
}

/// A gateway that uses a shared engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// When it was started.
    pub started: SystemTime,
    /// How long ago it noted that it is there.
    pub quiet: Duration,
    /// How many commits it did not have then that there are by now.
    pub behind: u64,
    /// Whether it is this gateway.
    pub is_self: bool,
}

impl Replica {
    /// A gateway that did not say for this long that it is there counts as gone.
    pub const GONE_AFTER: Duration = Duration::from_secs(30);

    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        self.quiet < Replica::GONE_AFTER
    }
}

/// A reading of a clock that all gateways have in common.
#[derive(Clone, Copy, Debug)]
pub struct CommonTime {
    /// When it was asked for.
    pub asked: Instant,
    /// When the answer had come.
    pub answered: Instant,
    /// What it showed in between, in nanoseconds since the epoch.
    pub nanos: i64,
}

/// What a commit wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows written or removed.
    pub rows: u64,
    /// Their total length in bytes.
    pub bytes: u64,
}

/// Why a commit failed. It may be on disk nevertheless.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CommitError {
    message: String,
}

impl CommitError {
    /// An error with this message.
    pub fn new(message: &str) -> CommitError {
        CommitError { message: message.to_owned() }
    }
}
