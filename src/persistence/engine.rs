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
//!    either version, because the caller may have dropped the failed one. [`Engine::recover`] must succeed before the
//!    next commit. It gets the whole content, and from then on the engine restores exactly that.
//! 4. **Trust ends with a failed sync.** After a failed sync, earlier writes may be lost although the system has
//!    reported them as written. An engine that learns of one writes everything anew.
//! 5. **Absolute values.** Repeating a commit does no harm.
//! 6. **Others.** An engine that several gateways share may find that another gateway was first with the type of a
//!    name or with an idempotency key. It then keeps nothing and returns what it has learned, and the caller drafts
//!    again.
//!
//! The layout of rows, the rewriting of files and the tracking of failed commits are the engine's own business.

use std::sync::Arc;

use crate::persistence::lease::Lease;
use crate::store::difference::{Difference, Established, State};

/// Keeps the state of a store; see the contract of this module.
pub trait Engine: std::fmt::Debug + Send {
    /// Keeps a difference. `latest` is the latest time that the gateway has seen, in nanoseconds since the epoch.
    /// The engine must still know it after the data with that time is deleted.
    ///
    /// # Errors
    ///
    /// If the commit fails. [`Engine::recover`] must succeed before the next commit.
    fn commit(&mut self, difference: &Difference, latest: i64) -> Result<Committed, CommitError>;

    /// Prepares recovery after a failure. Cheap if recovery is not possible yet.
    ///
    /// # Errors
    ///
    /// If recovery is not possible yet.
    fn prepare_recovery(&mut self) -> Result<(), CommitError>;

    /// Makes the kept state equal to `state` after a failure. `since` holds the changes since the failed commit.
    ///
    /// # Errors
    ///
    /// If that is not possible yet.
    fn recover(&mut self, state: &State, since: &Difference, latest: i64) -> Result<Written, CommitError>;

    /// Confirms that what is kept still is this gateway's own, where another one can take it over. The caller asks
    /// before it answers a request that changes nothing, and about once a second while nothing is committed.
    ///
    /// # Errors
    ///
    /// If another one has taken it over, or that can't be found out. [`Engine::recover`] must succeed before the next
    /// commit.
    fn renew(&mut self) -> Result<(), CommitError> {
        Ok(())
    }

    /// The lease on what is kept, where another gateway can take it over.
    fn lease(&self) -> Option<&Arc<Lease>> {
        None
    }

    /// How many bytes were written so far, including the engine's own bookkeeping.
    fn written(&self) -> u64;

    /// Closes the engine. `latest` is the latest time that was seen, in nanoseconds since the epoch. A failure
    /// loses no data.
    fn close(&mut self, latest: i64);
}

/// The result of a commit that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The difference is kept.
    Kept(Written),
    /// Nothing is kept, because other gateways were first.
    Overtaken(Established),
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
