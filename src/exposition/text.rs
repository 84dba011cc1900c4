//! Parses and writes the text format, version 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

mod content_type;
mod kinds;
mod parse;
mod targets;
mod write;

pub(super) use super::lines_cost::cost;
pub use super::reading::Names;
pub(super) use content_type::MEDIA_TYPE;
pub use content_type::TextVersion;
pub use parse::parse;
pub(super) use parse::read;
pub use write::TextWriter;
