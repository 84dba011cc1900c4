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

    /// What tells the senders of a group apart.
    SourceBy {
        /// The labels of the path, as they were pushed.
        #[default]
        Path = "path",
        /// The header `X-Push-Source`.
        Header = "header",
    }

    /// What happens to the series of a push that its group has no room for.
    Overflow {
        /// The push is refused.
        #[default]
        Refuse = "refuse",
        /// They are added up in one series of their metric with the label `overflow="true"`.
        Fold = "fold",
    }

    /// How the values of a gauge or an untyped metric are merged.
    NumberMerge {
        /// The latest push counts.
        #[default]
        Last = "last",
        /// Every push is added.
        Add = "add",
        /// The lowest value that was ever pushed.
        Least = "least",
        /// The highest value that was ever pushed.
        Greatest = "greatest",
        /// The sum of the latest values of all sources.
        Sum = "sum",
        /// The lowest of the latest values of all sources.
        Min = "min",
        /// The highest of the latest values of all sources.
        Max = "max",
        /// The mean of the latest values of all sources.
        Mean = "mean",
        /// How many sources there are.
        Count = "count",
    }

    /// What the pushed values of a counter, histogram or summary count from.
    Temporality {
        /// From the push before.
        #[default]
        Delta = "delta",
        /// From the start of the sender.
        Cumulative = "cumulative",
        /// From the start of the sender if the push says when that was, else from the push before.
        Auto = "auto",
    }

    /// What is shown of a histogram that was pushed with different bucket bounds.
    Buckets {
        /// All bounds.
        #[default]
        Union = "union",
        /// The bounds that all pushes have.
        Intersection = "intersection",
        /// Pushes with other bounds than the first are refused.
        Reject = "reject",
    }

    /// What a step of relabelling does, as in Prometheus.
    RelabelAction {
        /// Sets a label if the regex matches.
        #[default]
        Replace = "replace",
        /// Drops what the regex does not match.
        Keep = "keep",
        /// Drops what the regex matches.
        Drop = "drop",
        /// Drops what has not this value in the target label.
        KeepEqual = "keepequal",
        /// Drops what has this value in the target label.
        DropEqual = "dropequal",
        /// Sets a label to a hash modulo a number.
        HashMod = "hashmod",
        /// Copies labels whose names the regex matches.
        LabelMap = "labelmap",
        /// Removes labels whose names the regex matches.
        LabelDrop = "labeldrop",
        /// Removes labels whose names the regex does not match.
        LabelKeep = "labelkeep",
        /// Sets a label to the value in lower case.
        Lowercase = "lowercase",
        /// Sets a label to the value in upper case.
        Uppercase = "uppercase",
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

/// Lets choices be read from their names.
macro_rules! from_names {
    ($($Choice:ident),*) => {$(
        impl TryFrom<String> for $Choice {
            type Error = String;

            fn try_from(name: String) -> Result<Self, String> {
                Self::named(&name)
            }
        }
    )*};
}

from_names!(Buckets, LogFormat, NumberMerge, Overflow, PutMode, SourceBy, Sync, Temporality);

impl TryFrom<String> for LogLevel {
    type Error = String;

    /// Accepts capital letters, as the stock gateway does for this setting alone.
    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name.to_lowercase())
    }
}

impl TryFrom<String> for RelabelAction {
    type Error = String;

    /// Accepts capital letters, as Prometheus does.
    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name.to_lowercase())
    }
}
