//! Parses and writes OpenMetrics text 1.0.
//!
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>

mod content_type;
mod family;
mod name;
mod number;
mod parse;
mod values;
mod write;

pub(super) use super::lines_cost::cost;
pub use content_type::OpenMetricsVersion;
pub(super) use content_type::{MEDIA_TYPE, is_body};
pub use name::{Form, apart, form};
pub use parse::parse;
pub(super) use parse::read;
pub use values::{can_be_histogram, can_be_number, can_be_summary};
pub use write::OpenMetricsWriter;
