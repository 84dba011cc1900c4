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
        /// The dotted key, empty where the file is no TOML.
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
    /// The layers are fine one by one, but not together.
    #[error(transparent)]
    Layers(#[from] Box<config::ConfigError>),
    /// A value is wrong in the light of others. It comes from a flag.
    #[error("{0}")]
    Setting(Problem),
}

/// What is wrong with a setting, found when all settings were known.
#[derive(Debug, Error)]
#[error("{key}: {message}")]
pub struct Problem {
    pub(super) key: &'static str,
    pub(super) message: String,
}

fn key_part(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!(", key {key}") }
}
