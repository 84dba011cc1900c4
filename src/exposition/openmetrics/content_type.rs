//! The media type of OpenMetrics.

use crate::exposition::media_type::MediaType;

/// The media type.
pub(in crate::exposition) const MEDIA_TYPE: &str = "application/openmetrics-text";

/// A version of OpenMetrics text. Both are written in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMetricsVersion {
    /// 0.0.1
    V0_0_1,
    /// 1.0.0
    V1_0_0,
}

impl OpenMetricsVersion {
    /// The version that this parameter of an `Accept` header names.
    pub(in crate::exposition) fn named(version: &str) -> Option<OpenMetricsVersion> {
        match version {
            "" | "0.0.1" => Some(OpenMetricsVersion::V0_0_1),
            "1.0.0" => Some(OpenMetricsVersion::V1_0_0),
            _ => None,
        }
    }

    /// The `Content-Type`.
    pub(in crate::exposition) fn content_type(self) -> &'static str {
        match self {
            OpenMetricsVersion::V0_0_1 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            OpenMetricsVersion::V1_0_0 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Whether a body with this media type is OpenMetrics of any version.
pub(in crate::exposition) fn is_body(media_type: MediaType<'_>) -> bool {
    media_type.is(MEDIA_TYPE)
}
