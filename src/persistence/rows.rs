//! The rows in which an engine keeps a store: how a difference becomes rows, and rows a store again.
//!
//! They are the same for all engines. Two tables, of names and of values, have the same keys.

pub(in crate::persistence) mod batch;
pub mod format;
pub mod history;
pub(in crate::persistence) mod layout;
pub(in crate::persistence) mod load;
#[cfg(feature = "postgres")]
pub(in crate::persistence) mod log;
#[cfg(feature = "postgres")]
pub(in crate::persistence) mod news;
mod row;
pub(in crate::persistence) mod unconfirmed;
