//! The formats of Prometheus: what a push says, and how a scrape is written.
//!
//! Owns parsing into [`crate::model::body::Body`], writing, and content negotiation. Knows the model
//! and bytes; it neither blocks nor does I/O, and every parser is safe on any input.

mod assembly;
pub mod ending;
mod line;
pub mod negotiation;
pub mod openmetrics;
pub mod protobuf;
mod scan;
pub mod text;
pub mod writer;
