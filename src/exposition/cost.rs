//! Estimates how much memory parsing takes, before anything of a body is kept.

/// The memory that parsing a body takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// In bytes, without the grouping labels.
    pub(super) bytes: usize,
    /// The maximum number of series. Each gets the grouping labels.
    pub(super) series: usize,
}

impl Cost {
    /// The total in bytes, with `grouping` bytes of grouping labels for each series.
    pub(super) fn with_grouping(self, grouping: usize) -> usize {
        self.bytes.saturating_add(self.series.saturating_mul(grouping))
    }
}

/// The sum of counts times sizes.
pub(super) fn sum(of: &[(usize, usize)]) -> usize {
    of.iter().fold(0, |sum, (count, bytes)| sum.saturating_add(count.saturating_mul(*bytes)))
}
