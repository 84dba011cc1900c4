//! OpenMetrics text, version 1.0, in and out.
//!
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>

mod family;
mod name;
mod number;
mod parse;
mod values;
mod write;

pub use name::{Form, apart, form};
pub use parse::{ParseError, check_final_line_feed, parse, parse_within};
pub use values::{can_be_histogram, can_be_number, can_be_summary};
pub use write::OpenMetricsWriter;
