//! The version of the rows.

/// The version of the rows. A file or database with a newer version is refused. One with an older version is
/// read, and gets this version.
pub const FORMAT: u64 = 3;

/// The first version.
pub(in crate::persistence) const OLDEST_FORMAT: u64 = 1;
