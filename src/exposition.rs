//! The formats of Prometheus: what a push says, and how a scrape is written.
//!
//! Owns parsing into [`crate::model::body::Body`], writing, and content negotiation. Knows the model
//! and bytes; it neither blocks nor does I/O, and every parser is safe on any input.

pub mod escaping;
pub mod negotiation;
pub mod protobuf;
pub mod quote;
pub mod text;
pub mod writer;
