//! What is recorded about the gateways that used the same rows before.

use crate::model::time::Moment;

/// The format of the rows.
pub(in crate::persistence) const FORMAT_KEY: &str = "format";
/// See [`History::latest`].
pub(in crate::persistence) const LATEST_KEY: &str = "latest_nanos";
/// See [`History::lead`].
pub(in crate::persistence) const LEAD_KEY: &str = "lead_nanos";
/// See [`History::shown_until`].
pub(in crate::persistence) const SHOWN_KEY: &str = "shown_until_nanos";
/// The number that the next idempotency key gets, where several gateways give them out.
#[cfg(feature = "postgres")]
pub(in crate::persistence) const NEXT_KEY: &str = "next_key";
/// See [`History::is_closed`].
pub(in crate::persistence) const CLOSED_KEY: &str = "closed";

/// What is recorded about the gateways that used the rows before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The latest recorded time that the last gateway has seen, in nanoseconds since the epoch.
    pub latest: i64,
    /// Whether it has closed them. If so, it has seen no later time.
    pub is_closed: bool,
    /// For how many nanoseconds new series are shown as 0.
    pub lead: u64,
    /// Series that began before this time may have been shown with their values, in nanoseconds since the epoch.
    pub shown_until: i64,
}

impl History {
    /// The history at a start in which new series are shown as 0 for `lead` nanoseconds. If the last gateway has
    /// closed them, or the clock is later than its latest time, it is known which series were shown as 0
    /// before. If that gateway showed 0 for a shorter time, any series may have been shown with its value.
    pub(in crate::persistence) fn at(self, now: Moment, lead: u64) -> History {
        let is_known = self.lead >= lead && (self.is_closed || now.nanos > self.latest);
        History { lead, shown_until: if is_known { self.shown_until } else { self.latest }, ..self }
    }
}
