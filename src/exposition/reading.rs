//! How bodies are read.

use crate::model::labels::EmptyLabels;
use crate::model::limits::PushLimits;

/// Which metric and label names a push may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`, the default.
    Legacy,
    /// Any UTF-8 (`--push.enable-utf8-names`).
    Utf8,
}

/// How a body is read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The names that a text may use; protobuf may use any.
    pub names: Names,
    /// How much the body may hold.
    pub limits: PushLimits,
    /// What labels with empty values are.
    pub empty_labels: EmptyLabels,
    /// Whether the last line of a text has to end in a line feed.
    pub require_final_newline: bool,
}

impl Reading {
    /// Reads bodies with these names as the stock gateway does, without limits.
    pub fn unlimited(names: Names) -> Reading {
        Reading {
            names,
            limits: PushLimits::NONE,
            empty_labels: EmptyLabels::Kept,
            require_final_newline: false,
        }
    }
}
