//! The settings for parsing bodies.

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

/// The settings for parsing a body.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The names that are allowed in text. Protobuf may use any.
    pub names: Names,
    /// The limits of the body.
    pub limits: PushLimits,
    /// How labels with empty values are treated.
    pub empty_labels: EmptyLabels,
    /// Whether the last line of a text must end in a line feed.
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
