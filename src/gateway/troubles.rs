//! What is wrong with the groups and with what the gateway keeps, for whoever looks.

use super::Gateway;
use super::browse::{STALE_AFTER, has_failed};
use super::refusals::Unread;
use crate::model::limits::Limit;

/// Pushes that could not be read count as a trouble for this long, in nanoseconds.
const RECENT_NANOS: i64 = 3600 * 1_000_000_000;

/// How many groups need a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TroubledGroups {
    /// Those whose last push was refused.
    pub failed: u64,
    /// Those that seem to get running totals.
    pub suspicious: u64,
    /// Those that got no push for a day.
    pub stale: u64,
}

impl Gateway {
    /// Counts the groups that need a look.
    pub fn troubled_groups(&self) -> TroubledGroups {
        let (refusals, now) = (self.last_refusals(), self.clock.now().nanos);
        let stale_after = i64::try_from(STALE_AFTER.as_nanos()).unwrap_or(i64::MAX);
        let mut counts = TroubledGroups::default();
        self.store.visit_groups(|group| {
            let refused = if refusals.is_empty() { None } else { refusals.get(&group.labels().key) };
            counts.failed += u64::from(has_failed(group.times, refused.map(|refused| &**refused)));
            counts.suspicious += u64::from(group.has_running_totals());
            let quiet = now.saturating_sub(group.times.quiet_since());
            counts.stale += u64::from(quiet >= stale_after);
        });
        counts
    }

    /// How many different pushes could not be read within the last hour.
    pub fn recently_unread(&self) -> usize {
        let since = self.clock.now().nanos.saturating_sub(RECENT_NANOS);
        self.count_unread(|unread: &Unread| unread.refused.at >= since)
    }

    /// How much of a limit of the store is in use. `None` for other limits.
    pub fn in_use(&self, limit: Limit) -> Option<u64> {
        let used = match limit {
            Limit::Series => self.store.series_count(),
            Limit::Groups => self.store.group_count(),
            Limit::StoreBytes => self.store.bytes(),
            _ => return None,
        };
        Some(used.max(0).unsigned_abs())
    }
}
