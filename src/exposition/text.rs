//! The text format, version 0.0.4, in and out.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

mod parse;
mod targets;
mod write;

pub use parse::{Names, ParseError, check_final_line_feed, parse, parse_within};
pub use write::TextWriter;
