//! How much memory parsing takes, told before anything of a body is kept.

/// What parsing a body takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// Without the labels of the group.
    pub(super) bytes: usize,
    /// How many series there are at most: each gets the labels of the group.
    pub(super) series: usize,
}

impl Cost {
    /// The whole, where the labels of the group have so many bytes.
    pub(super) fn with_grouping(self, grouping: usize) -> usize {
        self.bytes.saturating_add(self.series.saturating_mul(grouping))
    }
}

/// The sum of so many things of so many bytes each.
pub(super) fn sum(of: &[(usize, usize)]) -> usize {
    of.iter().fold(0, |sum, (count, bytes)| sum.saturating_add(count.saturating_mul(*bytes)))
}
