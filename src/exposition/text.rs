//! The text format, version 0.0.4, in and out.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

mod assemble;
mod parse;
mod scan;
mod write;

pub use parse::{Names, ParseError, parse, position};
pub use write::TextWriter;
