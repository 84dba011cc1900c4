//! Why a file's rules can't be used.

use thiserror::Error;

use crate::config::rules::Place;

/// A rule that is wrong: where, in which key, what is wrong, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}line {}, column {}, key {key}: {message}", file_part(.path), .place.line, .place.column)]
pub struct RuleError {
    /// The file; empty if the rules come from none.
    pub path: String,
    /// Where the wrong value, or the rule, begins.
    pub place: Place,
    /// The dotted key, such as `groups.match`.
    pub key: String,
    /// What is wrong and what was expected.
    pub message: String,
}

fn file_part(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("config file {path:?}, ") }
}
