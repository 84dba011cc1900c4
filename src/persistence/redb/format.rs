//! The version of the rows of a file.

/// The version of the rows. A file with a newer version is refused. A file with an older one is read, and gets this
/// version.
pub const FORMAT: u64 = 3;

/// The first version.
pub(super) const OLDEST_FORMAT: u64 = 1;
