//! How long what is pushed stays, and how much of it: what rules decide for each push.

/// The most that a push may bring, and how long its group stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The group goes when nobody has pushed to it for so long, in nanoseconds. `None`: it stays.
    pub ttl: Option<i64>,
    /// What a source has of values that are folded goes when the source has not pushed for so long, in nanoseconds.
    /// `None`: it stays.
    pub source_ttl: Option<i64>,
    /// How many series the group may have, without its overflow series. `None`: no such limit.
    pub max_series: Option<u64>,
    /// What becomes of series beyond that.
    pub overflow: Overflow,
}

impl Terms {
    /// How many series the group may have, if more are added to overflow series.
    pub(super) fn room(&self) -> Option<u64> {
        self.max_series.filter(|_| self.overflow == Overflow::Fold)
    }
}

/// What becomes of new series for which a group has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The push is refused.
    #[default]
    Refuse,
    /// They are added to one series of their family, which has the grouping labels and `overflow="true"`.
    Fold,
}
