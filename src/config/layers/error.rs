//! Why the settings can't be used.

use thiserror::Error;

/// Why the settings can't be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config file {path:?}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something wrong.
    #[error("config file {path:?}, line {line}, column {column}{}: {message}", key_part(.key))]
    File {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// The dotted key, empty if the file is not TOML.
        key: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// An environment variable says something wrong.
    #[error("environment variable {variable}: {source}")]
    Variable {
        /// The variable.
        variable: String,
        /// What is wrong and what was expected.
        source: Box<config::ConfigError>,
    },
    /// Each layer is valid, but not all together.
    #[error(transparent)]
    Layers(#[from] Box<config::ConfigError>),
    /// A value from a flag does not fit other settings.
    #[error("{0}")]
    Setting(Problem),
}

/// A setting that is wrong together with others.
#[derive(Debug, Error)]
#[error("{key}: {message}")]
pub struct Problem {
    pub(super) key: &'static str,
    pub(super) message: String,
}

fn key_part(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!(", key {key}") }
}
