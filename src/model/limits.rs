//! The limits of pushes and of the store.

/// Declares [`Limit`] with the setting of each.
macro_rules! limits {
    ($($(#[$about:meta])* $Limit:ident = $setting:literal,)*) => {
        /// All limits.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Limit {
            $($(#[$about])* $Limit,)*
        }

        impl Limit {
            /// All limits, in the order of their declaration.
            pub const ALL: [Limit; [$(Limit::$Limit),*].len()] = [$(Limit::$Limit),*];

            /// The dotted key of the setting.
            pub fn setting(self) -> &'static str {
                match self {
                    $(Limit::$Limit => $setting,)*
                }
            }
        }
    };
}

limits! {
    /// Open connections.
    Connections = "limits.connections",
    /// Requests that are being answered.
    RequestsInFlight = "limits.requests_in_flight",
    /// Scrapes and other large answers that are being sent.
    ScrapesInFlight = "limits.scrapes_in_flight",
    /// Bytes of large bodies that are being read and parsed.
    BodyBytesInFlight = "limits.body_bytes_in_flight",
    /// The body of one push.
    MaxBodyBytes = "web.max_body_bytes",
    /// The time for the head of a request.
    HeadTimeout = "limits.head_timeout",
    /// The time for the body of a request.
    BodyTimeout = "limits.body_timeout",
    /// The time for reading an answer.
    SendTimeout = "limits.send_timeout",
    /// Samples in one push.
    SamplesPerPush = "limits.samples_per_push",
    /// Labels of all series in one push.
    LabelPairsPerPush = "limits.label_pairs_per_push",
    /// The length of a metric or label name.
    NameLength = "limits.name_length",
    /// The length of a label value.
    LabelValueLength = "limits.label_value_length",
    /// The labels of a group.
    GroupingLabels = "limits.grouping_labels",
    /// Series in all groups.
    Series = "limits.series",
    /// Series in one group.
    SeriesPerGroup = "limits.series_per_group",
    /// Groups.
    Groups = "limits.groups",
    /// The size of the whole store.
    StoreBytes = "limits.store_bytes",
    /// Series in one group, as a rule says.
    MaxSeries = "max_series of the rule",
}

impl Limit {
    /// The key of the setting without its table, which is also the value of the label `limit`.
    pub fn name(self) -> &'static str {
        let setting = self.setting();
        let key = setting.split_once('.').map_or(setting, |(_, key)| key);
        key.split_once(' ').map_or(key, |(key, _)| key)
    }
}

/// The limits of one push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushLimits {
    /// Samples: lines of a text body. In protobuf: values, buckets, quantiles, exemplars, and spans and counts of
    /// native histograms.
    pub samples: usize,
    /// Labels of all series and exemplars.
    pub label_pairs: usize,
    /// Bytes of a metric or label name.
    pub name_length: usize,
    /// Bytes of a label value.
    pub label_value_length: usize,
    /// Labels of its group, the job among them.
    pub grouping_labels: usize,
    /// Bytes of the labels of all series. The grouping labels count for each series.
    pub text: usize,
}

/// The most text of a push, because positions in it have 32 bits.
pub const MAX_TEXT_BYTES: usize = 512 * 1024 * 1024;

/// The most bytes of the labels of one series, including the grouping labels. So a piece of series stays small
/// enough to be copied, and positions in it fit 32 bits.
pub const MAX_BLOCK_BYTES: u32 = 16 * 1024 * 1024;

/// The most labels of a series or a group that relabelling makes or takes, because each step looks at all of them.
pub const MAX_RELABELLED_LABELS: usize = 512;

/// The most bytes of names and values that the steps of relabelling make of one series or group. Steps that double a
/// value would otherwise take all memory.
pub const MAX_RELABELLED_BYTES: usize = 1024 * 1024;

/// The most buckets or quantiles that one series may have, for the same reason.
pub const MAX_SERIES_PARTS: usize = 65_536;

impl Default for PushLimits {
    fn default() -> PushLimits {
        PushLimits::NONE
    }
}

/// A push exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch(pub Limit);

impl PushLimits {
    /// No limits.
    pub const NONE: PushLimits = PushLimits {
        samples: usize::MAX,
        label_pairs: usize::MAX,
        name_length: usize::MAX,
        label_value_length: usize::MAX,
        grouping_labels: usize::MAX,
        text: MAX_TEXT_BYTES,
    };

    /// The most that one push may have of something.
    pub fn most(&self, limit: Limit) -> usize {
        match limit {
            Limit::LabelPairsPerPush => self.label_pairs,
            Limit::NameLength => self.name_length,
            Limit::LabelValueLength => self.label_value_length,
            Limit::GroupingLabels => self.grouping_labels,
            _ => self.samples,
        }
    }
}

/// The limits of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Series in all groups, a histogram or summary counted once.
    pub series: u64,
    /// Series in one group.
    pub series_per_group: u64,
    /// Groups.
    pub groups: u64,
    /// The size of everything, in bytes.
    pub bytes: u64,
}

/// A push would exceed a limit of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the push adds {}, but {most} {} ({}): what is there can still be pushed; delete groups that are \
     not needed, or raise the limit",
    self.what(), self.scope(), .limit.setting()
)]
pub struct StoreFull {
    /// The limit.
    pub limit: Limit,
    /// The most that the limit allows.
    pub most: u64,
}

impl StoreFull {
    fn what(self) -> &'static str {
        match self.limit {
            Limit::Groups => "a group",
            Limit::StoreBytes => "series or buckets",
            _ => "series",
        }
    }

    fn scope(self) -> &'static str {
        match self.limit {
            Limit::Groups => "groups are the most",
            Limit::SeriesPerGroup | Limit::MaxSeries => "series are the most in a group",
            Limit::StoreBytes => "bytes are the most that is kept",
            _ => "series are the most",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_a_rule_is_named() {
        let full = StoreFull { limit: Limit::MaxSeries, most: 5 };
        let text = full.to_string();
        assert!(text.contains("5 series are the most in a group (max_series of the rule)"), "{text}");
        assert_eq!(Limit::MaxSeries.name(), "max_series");
    }

    #[test]
    fn positions_and_names_are_in_order() {
        assert!(Limit::ALL.iter().enumerate().all(|(at, limit)| *limit as usize == at));
        assert_eq!(Limit::MaxBodyBytes.setting(), "web.max_body_bytes");
        let full = StoreFull { limit: Limit::Series, most: 10 };
        assert!(
            full.to_string().starts_with("the push adds series, but 10 series are the most (limits.series)")
        );
    }
}
