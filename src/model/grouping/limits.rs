//! Limits of grouping labels.

use super::Grouping;
use crate::model::limits::{Limit, PushLimits};

/// Grouping labels exceed a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverLimit {
    /// A name or value is too long.
    #[error("the {what} of a grouping label has {length} bytes, but {most} are the most ({})", .limit.setting())]
    TooLong {
        /// Whether it is the name or the value.
        what: &'static str,
        /// Its length.
        length: usize,
        /// The maximum length.
        most: usize,
        /// The limit.
        limit: Limit,
    },
    /// There are too many labels.
    #[error(
        "the group has {count} labels, but {most} are the most ({}): let the series have those that not all of them share",
        Limit::GroupingLabels.setting()
    )]
    TooMany {
        /// The number of labels.
        count: usize,
        /// The maximum number.
        most: usize,
    },
}

impl OverLimit {
    /// The limit.
    pub fn limit(&self) -> Limit {
        match self {
            OverLimit::TooLong { limit, .. } => *limit,
            OverLimit::TooMany { .. } => Limit::GroupingLabels,
        }
    }
}

impl Grouping<'_> {
    /// Checks the number and the length of grouping labels. Labels with empty values count too.
    ///
    /// # Errors
    ///
    /// The first limit that is exceeded.
    pub fn check_limits(&self, limits: PushLimits) -> Result<(), OverLimit> {
        let count = self.labels().len() + self.absent().len();
        let most = limits.most(Limit::GroupingLabels);
        if count > most {
            return Err(OverLimit::TooMany { count, most });
        }
        for label in self.labels() {
            for (what, text, limit) in
                [("name", &label.name, Limit::NameLength), ("value", &label.value, Limit::LabelValueLength)]
            {
                let most = limits.most(limit);
                if text.len() > most {
                    return Err(OverLimit::TooLong { what, length: text.len(), most, limit });
                }
            }
        }
        Ok(())
    }
}
