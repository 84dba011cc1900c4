//! The media type of the text format.

/// The media type.
pub(in crate::exposition) const MEDIA_TYPE: &str = "text/plain";

/// A version of the text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextVersion {
    /// 0.0.4
    V0_0_4,
    /// 1.0.0, which is the same with optional quotes around names.
    V1_0_0,
}

impl TextVersion {
    /// The version that this parameter of an `Accept` header names.
    pub(in crate::exposition) fn named(version: &str) -> Option<TextVersion> {
        match version {
            "" | "0.0.4" => Some(TextVersion::V0_0_4),
            "1.0.0" => Some(TextVersion::V1_0_0),
            _ => None,
        }
    }

    /// The `Content-Type`.
    pub(in crate::exposition) fn content_type(self) -> &'static str {
        match self {
            TextVersion::V0_0_4 => "text/plain; version=0.0.4; charset=utf-8",
            TextVersion::V1_0_0 => "text/plain; version=1.0.0; charset=utf-8",
        }
    }
}
