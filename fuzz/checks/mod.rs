//! What must hold for any input: one function for every fuzz target, which panics if it does not.
//!
//! The tests of the gateway also run them over the seeds, which include inputs that fuzzing found.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a check reports")]
#![allow(unreachable_pub, reason = "a crate of its own when fuzzing")]

pub mod exposition;
mod headers;
mod memory;
mod path;
mod push;
mod rules;
mod stock_file;

pub use headers::headers;
pub use path::path;
pub use push::{openmetrics, protobuf, text};
pub use rules::{relabelling, rules, selector};
pub use stock_file::stock_file;
