//! Flags of the command line, and how the values of settings are shown.

use std::time::Duration;

use super::choices::{LogFormat, LogLevel};
use super::duration;

/// What kind of value a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No value: the flag is given as `--…` or `--no-…`.
    Switch,
    Text,
    /// Text, and the flag may be repeated.
    Addresses,
    Url,
    Duration,
    LogLevel,
    LogFormat,
}

impl Kind {
    /// The values to choose from; empty if any text may be one.
    pub(super) fn values(self) -> &'static [&'static str] {
        match self {
            Kind::LogLevel => LogLevel::NAMES,
            Kind::LogFormat => LogFormat::NAMES,
            Kind::Switch | Kind::Text | Kind::Addresses | Kind::Url | Kind::Duration => &[],
        }
    }
}

/// One flag of the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flag {
    /// The long name without dashes.
    pub(super) name: &'static str,
    /// The letter of the short form.
    pub(super) short: Option<char>,
    pub(super) kind: Kind,
    /// The dotted key of the setting, empty for flags that set nothing.
    pub(super) key: &'static str,
    /// The default as the help shows it.
    pub(super) default: String,
    /// The help text. The help leaves out flags without one.
    pub(super) help: &'static str,
}

/// The value of a setting as text.
pub(super) trait Shown {
    /// As `/api/v1/status` shows it.
    fn shown(&self) -> String;

    /// As the help shows it when it is the default.
    fn as_default(&self) -> String {
        self.shown()
    }
}

impl Shown for bool {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        self.clone()
    }
}

impl Shown for Vec<String> {
    fn shown(&self) -> String {
        self.join(",")
    }
}

impl Shown for Duration {
    fn shown(&self) -> String {
        duration::format(*self)
    }

    fn as_default(&self) -> String {
        duration::format_briefly(*self)
    }
}

impl Shown for LogLevel {
    fn shown(&self) -> String {
        self.name().to_owned()
    }
}

impl Shown for LogFormat {
    fn shown(&self) -> String {
        self.name().to_owned()
    }
}
