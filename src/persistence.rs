//! Keeps the state of a store, and loads it at start.
//!
//! An [`engine::Engine`] takes the difference of two versions of the store and keeps it whole, or not at all. It
//! knows neither HTTP nor exposition formats. This is the only module that knows disks
//! and databases.

pub mod engine;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod redb;
pub mod rows;
pub mod stock_file;
