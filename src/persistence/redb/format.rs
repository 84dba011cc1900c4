//! The version of the rows of a file.

/// The version of the rows. Files of a newer one are refused; those of an older one are read, and have this one
/// from then on.
pub const FORMAT: u64 = 2;

/// The first version.
pub(super) const OLDEST_FORMAT: u64 = 1;
