//! What is wrong with the groups and with what the gateway keeps, for whoever looks.

use std::time::SystemTime;

use super::Gateway;
use super::browse::{GroupState, STALE_AFTER};
use super::refusals::Unread;
use crate::model::limits::Limit;
use crate::model::time::nanos_of;

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
    /// Why pushes can't be kept at the moment. `None` if they can.
    pub fn failure(&self) -> Option<String> {
        self.health.failure()
    }

    /// The file or database that keeps the store, without secrets. Empty for none.
    pub fn kept_in(&self) -> &str {
        &self.kept_in
    }

    /// Why nothing may be shown at the moment: another gateway may have taken over, and may have newer values. `None` if
    /// all may be shown.
    pub fn blindness(&self) -> Option<String> {
        let is_held = self.lease.as_ref().is_none_or(|lease| lease.is_held());
        let unknown =
            || "the database has not confirmed that this gateway is the one that uses it".to_owned();
        (!is_held).then(|| self.failure().unwrap_or_else(unknown))
    }

    /// Since when pushes can't be kept. `None` if they can.
    pub fn failing_since(&self) -> Option<SystemTime> {
        self.health.failing_since()
    }

    /// Counts the groups that need a look.
    pub fn troubled_groups(&self) -> TroubledGroups {
        let (refusals, now) = (self.last_refusals(), self.clock.now().nanos);
        let stale_after = nanos_of(STALE_AFTER);
        let mut counts = TroubledGroups::default();
        self.store.visit_groups(|group| {
            let refused = refusals.get(&group.labels().key);
            let state = GroupState::of(&group, refused.map(|refused| &**refused), now);
            counts.failed += u64::from(state.has_failed);
            counts.suspicious += u64::from(state.is_suspicious);
            counts.stale += u64::from(state.quiet_nanos >= stale_after);
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

    /// How many idempotency keys are remembered, and how many were forgotten early because there were too many.
    pub fn idempotency_keys(&self) -> (usize, u64) {
        (self.store.keys().len(), self.store.keys().evicted())
    }

    /// When something was kept on disk last. `None` if nothing was since the start.
    pub fn kept_at(&self) -> Option<SystemTime> {
        self.health.kept_at()
    }
}
