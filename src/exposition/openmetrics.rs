//! OpenMetrics text, version 1.0, in and out.
//!
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>

mod family;
mod name;
mod number;
mod parse;
mod write;

pub use name::{Form, form};
pub use parse::{ParseError, check_final_line_feed, parse, parse_within};
pub use write::OpenMetricsWriter;
