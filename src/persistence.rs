//! What keeps the state of a store, and how it comes back.
//!
//! An [`engine::Engine`] takes the difference of two versions of the store and keeps it whole, or not at all. Knows
//! neither HTTP nor exposition formats; the only module that knows disks.

pub mod engine;
pub mod memory;
pub mod redb;
mod row;
pub mod stock_file;
