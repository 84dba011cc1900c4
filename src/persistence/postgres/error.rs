//! Why a database can't be used.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::SqlState;

use crate::persistence::engine::CommitError;
use crate::persistence::rows::format::FORMAT;

/// What a database answers for a while: when it starts, stops or is busy, or when another server takes its place.
const PASSING: [SqlState; 5] = [
    SqlState::CANNOT_CONNECT_NOW,
    SqlState::ADMIN_SHUTDOWN,
    SqlState::CRASH_SHUTDOWN,
    SqlState::TOO_MANY_CONNECTIONS,
    SqlState::READ_ONLY_SQL_TRANSACTION,
];

/// What a database answers where another gateway was first.
const OVERTAKEN: [SqlState; 3] =
    [SqlState::DIVISION_BY_ZERO, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];

/// What it answers where two create the same table.
const RACES: [SqlState; 4] = [
    SqlState::UNIQUE_VIOLATION,
    SqlState::DUPLICATE_TABLE,
    SqlState::DUPLICATE_OBJECT,
    SqlState::INTERNAL_ERROR,
];

/// Why a database can't be used. The caller puts the address before the message.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address is wrong.
    #[error("{0}")]
    Address(String),
    /// The certificates for TLS can't be used.
    #[error("{0}")]
    Tls(String),
    /// It can't be reached.
    #[error("{0}")]
    Unreachable(String),
    /// It has refused what was asked.
    #[error("{message}")]
    Refused {
        /// Its words.
        message: String,
        /// Whether a table is not there.
        is_missing: bool,
        /// Whether another gateway was creating it at the same time.
        is_race: bool,
    },
    /// It did not answer in time.
    #[error("it does not answer")]
    Silent,
    /// It would report as kept what it may lose.
    #[error(
        "synchronous_commit is {0}, so that a crash would lose pushes that were answered: set it to \"on\" for this user or database"
    )]
    Forgetful(String),
    /// Another gateway has committed first.
    #[error("another gateway has committed first")]
    Overtaken,
    /// Another gateway holds the lock for longer than one waits.
    #[error("another gateway does not end its commit")]
    Locked,
    /// It has lost what it had kept.
    #[error("it has lost commits that it had confirmed")]
    Behind,
    /// A newer gateway wrote it.
    #[error(
        "a newer tallygate wrote it (format {found}, this one knows {FORMAT}): start a newer version, or name another database"
    )]
    Newer {
        /// Its format.
        found: i64,
    },
    /// Its rows do not fit together.
    #[error("it is damaged ({0}) and was left as it is: restore it from a backup, or name another database")]
    Damaged(String),
    /// The system has refused something.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl DatabaseError {
    /// That of a connection that was closed after a failure.
    pub(super) fn closed() -> DatabaseError {
        DatabaseError::Unreachable("the connection is closed".to_owned())
    }

    /// Whether a later try may find it working.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, DatabaseError::Unreachable(_) | DatabaseError::Silent | DatabaseError::Locked)
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> DatabaseError {
        // The first statement of a commit divides by the number of heads that it finds where it expects one.
        // A server that can't put transactions in order says so itself, and keeps nothing.
        if error.code().is_some_and(|code| OVERTAKEN.contains(code)) {
            return DatabaseError::Overtaken;
        }
        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            return DatabaseError::Locked;
        }
        if let Some(answer) = error.as_db_error() {
            let message = answer.message().to_owned();
            return if PASSING.contains(answer.code()) {
                DatabaseError::Unreachable(message)
            } else {
                let is_missing = *answer.code() == SqlState::UNDEFINED_TABLE;
                DatabaseError::Refused { message, is_missing, is_race: RACES.contains(answer.code()) }
            };
        }
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !message.contains(&cause_text) {
                message = format!("{message}: {cause_text}");
            }
            source = cause.source();
        }
        DatabaseError::Unreachable(message)
    }
}

impl From<DatabaseError> for CommitError {
    fn from(error: DatabaseError) -> CommitError {
        CommitError::new(&error.to_string())
    }
}
