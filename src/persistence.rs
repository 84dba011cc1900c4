//! What is kept on disk, and how it comes back.
//!
//! The seam to the store is narrow: a [`batch::Batch`] of absolute new states goes to disk in one
//! transaction, or not at all. Knows neither HTTP nor exposition formats; the only module that knows
//! disks.

pub mod batch;
pub mod disk;
pub mod file;
mod load;
mod row;
