//! Errors of a web configuration file, with their place and without values that may be secret.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_saphyr::{Error, Location};

/// Why a web configuration file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// The file can't be read.
    #[error("web config file {path:?}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error, with Go's message if Go has one.
        reason: String,
    },
    /// The file says something wrong.
    #[error("web config file {path:?}{position}: {message}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where in it.
        position: Position,
        /// What is wrong.
        message: String,
    },
}

impl WebConfigError {
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> WebConfigError {
        WebConfigError::Unreadable { path: path.to_owned(), reason: system_error("open", path, error) }
    }

    pub(super) fn wrong(path: &Path, problem: Problem) -> WebConfigError {
        let Problem { position, message } = problem;
        WebConfigError::Wrong { path: path.to_owned(), position, message }
    }
}

/// An error of the system as Go prints it, such as `open web.yml: no such file or directory`.
pub fn system_error(operation: &str, path: &Path, error: &std::io::Error) -> String {
    format!("{operation} {}: {}", path.display(), system_reason(error))
}

/// The same without the file.
pub fn system_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// A place in the file, `None` if it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(Option<(u64, u64)>);

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((line, column)) => write!(formatter, ", line {line}, column {column}"),
            None => Ok(()),
        }
    }
}

impl From<Option<Location>> for Position {
    fn from(location: Option<Location>) -> Position {
        Position(
            location
                .filter(|location| location.line() > 0)
                .map(|location| (location.line(), location.column())),
        )
    }
}

/// Something wrong in the text of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) position: Position,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn at(location: &Location, message: String) -> Problem {
        Problem { position: Some(*location).into(), message }
    }

    pub(super) fn somewhere(message: &str) -> Problem {
        Problem { position: None.into(), message: message.to_owned() }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let error = error.without_snippet();
        Problem { position: error.location().into(), message: message(error) }
    }
}

/// The parser's message without the value that it found, which may be a hash or a key.
fn message(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let kind = match expected.first() {
                Some(&"cert") => "web.TLSConfig",
                Some(&"http2") => "web.HTTPConfig",
                Some(&"interval") => "web.RateLimiterConfig",
                _ => "web.Config",
            };
            let field = if super::may_be_secret(field) { "" } else { &format!("{field} ") };
            format!("field {field}not found in type {kind}, expected one of {}", expected.join(", "))
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            let found = unexpected.split(['"', '`', '\'']).next().unwrap_or_default().trim();
            format!("expected {expected}, found {}", if found.is_empty() { "something else" } else { found })
        }
        Error::DuplicateMappingKey { key: Some(key), .. } if !super::may_be_secret(key) => {
            format!("key {key:?} already set in map")
        }
        Error::DuplicateMappingKey { .. } => "key already set in map".to_owned(),
        Error::NonFiniteFloat { .. } | Error::QuotingRequired { .. } => "invalid value".to_owned(),
        Error::Message { msg, .. } => msg.clone(),
        // All other messages are about the form and quote nothing from the file.
        other => {
            let text = other.to_string();
            text.lines().next().unwrap_or("malformed YAML").to_owned()
        }
    }
}
