//! Why a file can't be opened or written.

use std::io;

use redb::{DatabaseError, StorageError};

use crate::persistence::rows::format::FORMAT;

/// Why a file can't be used. The caller puts the path before the message.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It can't be read or written.
    #[error("{source}{}", advice(.source.kind()))]
    Io {
        /// The error of the system.
        source: io::Error,
    },
    /// Another process uses it.
    #[error("another process is using it: stop that one, or give each its own file")]
    InUse,
    /// It is a file neither of this gateway nor of a stock gateway.
    #[error(
        "{0}: it was left as it is; name another file, or move this one away to start with an empty store"
    )]
    Foreign(String),
    /// A newer gateway wrote it.
    #[error(
        "a newer tallygate wrote it (format {found}, this one knows {FORMAT}): start a newer version, or name another file"
    )]
    Newer {
        /// Its format.
        found: u64,
    },
    /// It is damaged.
    #[error(
        "it is damaged ({0}) and was left as it is: restore it from a copy, or move it away to start with an empty store"
    )]
    Damaged(String),
}

/// What the operator can do about an error of the system.
fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => {
            ": the gateway must own the file and its folder, or be allowed to write both"
        }
        io::ErrorKind::NotFound => ": create the folder, or name another file",
        io::ErrorKind::ReadOnlyFilesystem => ": name a file on a disk that can be written",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": make room on the disk",
        io::ErrorKind::IsADirectory => ": name a file, not a folder",
        io::ErrorKind::InvalidInput => ": name a file of its own for the gateway",
        _ => "",
    }
}

/// Why a batch could not be written. It may be on disk nevertheless.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct WriteError {
    message: String,
    /// Whether the file can't be trusted any more, because writes that the system reported as done may be lost.
    pub(super) is_fatal: bool,
}

impl WriteError {
    pub(super) fn new(message: &str, is_fatal: bool) -> WriteError {
        WriteError { message: message.to_owned(), is_fatal }
    }
}

impl From<io::Error> for OpenError {
    fn from(source: io::Error) -> OpenError {
        match source.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse,
            _ => OpenError::Io { source },
        }
    }
}

impl From<DatabaseError> for OpenError {
    fn from(error: DatabaseError) -> OpenError {
        match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse,
            DatabaseError::UpgradeRequired(version) => {
                OpenError::Foreign(format!("it has version {version} of the redb format"))
            }
            DatabaseError::Storage(error) => error.into(),
            error => OpenError::Damaged(error.to_string()),
        }
    }
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> OpenError {
        match error {
            StorageError::Io(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    OpenError::Damaged(error.to_string())
                }
                _ => OpenError::Io { source: error },
            },
            error => OpenError::Damaged(error.to_string()),
        }
    }
}

pub(super) fn damaged(error: &dyn std::error::Error) -> OpenError {
    OpenError::Damaged(error.to_string())
}

pub(super) fn not_written(error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(source) => OpenError::Io { source },
        error => OpenError::Damaged(error.to_string()),
    }
}
