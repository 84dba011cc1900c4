//! What is wrong with the groups and with what the gateway keeps, for whoever looks.

use std::time::{Duration, Instant, SystemTime};

use super::browse::{GroupState, STALE_AFTER};
use super::refusals::Unread;
use super::{Durability, Gateway};
use crate::model::limits::Limit;
use crate::model::time::nanos_of;
use crate::persistence::engine::Replica;

/// Pushes that could not be read count as a trouble for this long, in nanoseconds.
const RECENT_NANOS: i64 = 3600 * 1_000_000_000;

/// How long to wait for what other gateways have committed: less than Prometheus waits for a scrape.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(5);

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

    /// Waits until all is there that other gateways had committed before. Then everything may be shown: nobody sees older
    /// values after newer ones, whichever of the gateways they ask.
    ///
    /// # Errors
    ///
    /// Why that can't be found out in time, for people.
    pub async fn catch_up(&self) -> Result<(), String> {
        let Durability::Before(writer) = &self.durability else { return Ok(()) };
        if self.replicas.is_none() {
            return Ok(());
        }
        let asked = Instant::now();
        let failed = |what: &str| Err(self.failure().unwrap_or_else(|| what.to_owned()));
        let answer = match writer.look() {
            Ok(answer) => tokio::time::timeout(CATCH_UP_WITHIN, answer).await,
            Err(failure) => return Err(failure.to_string()),
        };
        match answer {
            Ok(Ok(Ok(()))) => {
                if let Some(metrics) = self.telemetry.replica() {
                    metrics.caught_up(asked.elapsed());
                }
                Ok(())
            }
            Ok(_) => failed("what other gateways have committed can't be read from the database"),
            Err(_) => failed("the database does not say in time what other gateways have committed"),
        }
    }

    /// The gateways that share the database, as they were seen last. `None` if there is no database.
    pub fn replicas(&self) -> Option<Vec<Replica>> {
        self.replicas.as_ref().map(|replicas| replicas.list())
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
