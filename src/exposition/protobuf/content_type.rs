//! The media type of delimited protobuf.

use crate::exposition::media_type::MediaType;

/// The `Content-Type`.
pub(in crate::exposition) const CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// The media type.
pub(in crate::exposition) const MEDIA_TYPE: &str = "application/vnd.google.protobuf";

/// Whether these are the parameters of delimited metric families. The gateway knows no other messages.
pub(in crate::exposition) fn are_delimited_families<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> bool {
    parameter("proto") == Some("io.prometheus.client.MetricFamily")
        && parameter("encoding") == Some("delimited")
}

/// Whether a body with this media type is delimited protobuf.
pub(in crate::exposition) fn is_body(media_type: MediaType<'_>) -> bool {
    media_type.is(MEDIA_TYPE) && are_delimited_families(|name| media_type.parameter(name))
}
