//! The types of settings that have one of a few values. Each value is declared once, with its name.

use serde::Deserialize;

use crate::message::Excerpt;

/// Declares enums whose values have names in settings.
macro_rules! choices {
    ($(
        $(#[$about:meta])*
        $Choice:ident {
            $($(#[$value_about:meta])* $Value:ident = $name:literal,)*
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        pub enum $Choice {
            $($(#[$value_about])* $Value,)*
        }

        impl $Choice {
            const ALL: &[Self] = &[$(Self::$Value),*];

            /// The names of all values, in the order of their declaration.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The name in settings.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Value => $name,)*
                }
            }

            fn named(name: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|value| value.name() == name).ok_or_else(|| {
                    let known: Vec<String> = Self::NAMES.iter().map(|name| format!("{name:?}")).collect();
                    format!("unknown value {:?}, expected {}", Excerpt::of(name), known.join(" or "))
                })
            }
        }
    )*};
}

choices! {
    /// When a push is on disk.
    Sync {
        /// Before it is answered.
        #[default]
        Push = "push",
        /// Within the interval, as in the stock gateway.
        Interval = "interval",
    }

    /// What PUT does to the metrics of a group.
    PutMode {
        /// PUT replaces all of them.
        #[default]
        Replace = "replace",
        /// PUT adds counters, histograms and summaries, and replaces the rest.
        Aggregate = "aggregate",
    }

    /// How severe a log line is, least first. The names are also those in log lines.
    LogLevel {
        /// Details of single requests.
        Debug = "debug",
        /// What an operator wants to know.
        #[default]
        Info = "info",
        /// What may need attention.
        Warn = "warn",
        /// What went wrong.
        Error = "error",
    }

    /// The form of a log line.
    LogFormat {
        /// `ts=… level=… caller=… msg=…`
        #[default]
        Logfmt = "logfmt",
        /// The same keys as one object.
        Json = "json",
    }
}

impl TryFrom<String> for Sync {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name)
    }
}

impl TryFrom<String> for PutMode {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name)
    }
}

impl TryFrom<String> for LogLevel {
    type Error = String;

    /// Accepts capital letters, as the stock gateway does for this setting alone.
    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name.to_lowercase())
    }
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name)
    }
}
