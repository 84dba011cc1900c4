//! Which source a setting has its value from.

use std::collections::BTreeMap;

/// What gave a setting its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nothing: it has its default.
    #[default]
    Default,
    /// Nothing, but the default follows the memory that the system allows.
    Memory,
    /// The configuration file.
    File {
        /// The line of the value, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A flag.
    Flag {
        /// Its name without dashes, with `no-` if it was given so.
        name: String,
    },
}

impl Origin {
    /// The source in one word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Origin::Default => "default",
            Origin::Memory => "memory",
            Origin::File { .. } => "file",
            Origin::Environment { .. } => "environment",
            Origin::Flag { .. } => "flag",
        }
    }
}

/// The origins of all settings that do not have their default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<&'static str, Origin>);

impl Origins {
    /// Notes where a setting has its value from. What is noted later goes over what was noted before.
    pub(super) fn set(&mut self, key: &'static str, origin: Origin) {
        self.0.insert(key, origin);
    }

    /// Where the setting with this dotted key has its value from.
    #[must_use]
    pub fn of(&self, key: &str) -> Origin {
        self.0.get(key).cloned().unwrap_or_default()
    }
}
