//! What every engine does, and what it promises.
//!
//! # The contract
//!
//! An engine keeps what a store holds. It is given differences of two versions of the store, one after the other, each
//! from the version that the one before led to.
//!
//! 1. **All or nothing.** After a crash at any moment the engine gives back a version that one of the differences led
//!    to: all groups, names and idempotency keys of it, and nothing of a later one.
//! 2. **Kept means kept.** When [`Engine::commit`] has succeeded, the engine gives back that version or a later one,
//!    whatever ends the process.
//! 3. **A failure leaves a doubt, and the engine remembers it.** When a commit has failed, its difference may be kept
//!    or not. The next version may begin at either side of it: the caller has dropped the difference or not.
//!    [`Engine::recover`] must succeed before the next commit; it is given everything that there is, and from then on
//!    the engine gives back exactly that.
//! 4. **Nothing is taken on trust.** What the system has said to be written may be lost once a sync has failed. An
//!    engine that learns of that writes everything anew.
//! 5. **Absolute values.** A commit that is repeated does no harm.
//! 6. **Others.** An engine that several gateways share may find that another was first: with the type of a name, with
//!    an idempotency key. It then keeps nothing and says what it has learned, and the caller drafts again.
//!
//! How rows look, which of them lie together, when a file is rewritten and what is in doubt is the engine's own affair.

use crate::store::difference::{Difference, Established, State};

/// Keeps the state of a store; see the contract of the module.
pub trait Engine: std::fmt::Debug + Send {
    /// Keeps a difference for good. `latest` is the latest time that the gateway has seen, in nanoseconds since the
    /// epoch: the engine must not forget it with what has it.
    ///
    /// # Errors
    ///
    /// When it may not be kept. [`Engine::recover`] must succeed then before the next commit.
    fn commit(&mut self, difference: &Difference, latest: i64) -> Result<Committed, CommitError>;

    /// Makes ready to recover, after a failure. Costs little where that is not possible yet.
    ///
    /// # Errors
    ///
    /// When it is not.
    fn prepare_recovery(&mut self) -> Result<(), CommitError>;

    /// Brings what is kept in line with everything that there is, after a failure. `since` is what has changed since
    /// the commit that failed.
    ///
    /// # Errors
    ///
    /// When that is not possible yet.
    fn recover(&mut self, state: &State, since: &Difference, latest: i64) -> Result<Written, CommitError>;

    /// How many bytes were written so far, the engine's own bookkeeping included.
    fn written(&self) -> u64;

    /// Ends in good order; no later time than `latest` was seen, in nanoseconds since the epoch. Nothing is lost
    /// should that fail.
    fn close(&mut self, latest: i64);
}

/// What became of a commit that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is kept.
    Kept(Written),
    /// Nothing is kept: others were first.
    Overtaken(Established),
}

/// What a commit wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows written or removed.
    pub rows: u64,
    /// How long they are together, in bytes.
    pub bytes: u64,
}

/// Why a commit failed. Whether it is kept all the same is in doubt.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CommitError {
    message: String,
}

impl CommitError {
    /// One that says this.
    pub fn new(message: &str) -> CommitError {
        CommitError { message: message.to_owned() }
    }
}
