//! The formats of Prometheus: parsing pushes and writing scrapes.
//!
//! Owns parsing into [`crate::model::body::Body`], writing, and content negotiation. It knows the model and bytes,
//! neither blocks nor does I/O, and every parser is safe on any input.

mod assembly;
mod cost;
pub mod ending;
mod error;
mod format;
mod label_names;
mod last_composite;
mod line;
mod lines_cost;
mod media_type;
pub mod negotiation;
pub mod openmetrics;
pub mod protobuf;
mod reading;
mod scan;
#[cfg(test)]
mod tests;
pub mod text;
pub mod writer;
mod written;

pub use error::ParseError;
pub use format::BodyFormat;
pub use reading::{Names, Reading};
