//! Rules: what a push belongs to, and how its values are merged.
//!
//! Owns selectors, relabelling and the rule set, which decides about groups and metrics, and applies what it decided to
//! the body of a push. Knows neither store nor gateway; it does no I/O.

mod cache;
mod compile;
mod decision;
mod error;
mod metric;
mod names;
mod pattern;
pub mod relabel;
pub mod selector;
mod set;
pub mod transform;

pub use crate::config::{Buckets, NumberMerge, Overflow, SourceBy, Temporality};
pub use decision::GroupDecision;
pub use error::RuleError;
pub use metric::{MetricDecision, Observe};
pub use set::{RuleName, RuleSet};
pub use transform::transform;
