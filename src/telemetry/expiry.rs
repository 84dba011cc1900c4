//! Metrics of what goes by itself, of what finds no room, and of senders that begin anew.

use prometheus::IntCounter;

use super::declare::metrics;
use crate::store::effects::Tally;

metrics! {
    /// Metrics of what goes by itself, of what finds no room, and of senders that begin anew.
    pub(super) struct ExpiryMetrics {
        groups: IntCounter = "tallygate_expired_groups_total",
            "Groups that went because nobody pushed to them for their TTL.";
        sources: IntCounter = "tallygate_expired_sources_total",
            "Senders whose values that are merged over senders went because they did not push for their TTL.";
        series: IntCounter = "tallygate_expired_series_total",
            "Series that went because no push brought them for their TTL; those of expired groups are not counted.";
        overflowed: IntCounter = "tallygate_overflowed_series_total",
            "Pushed series that were added to an overflow series because their group had no room for them.";
        restarts: IntCounter = "tallygate_cumulative_restarts_total",
            "Pushes of running totals whose sender had begun anew.";
    }
}

impl ExpiryMetrics {
    /// Brings the metrics up to date.
    pub(super) fn update(&self, tally: Tally) {
        let Tally { expired_groups, expired_sources, expired_series, overflowed, restarts } = tally;
        for (counter, now) in [
            (&self.groups, expired_groups),
            (&self.sources, expired_sources),
            (&self.series, expired_series),
            (&self.overflowed, overflowed),
            (&self.restarts, restarts),
        ] {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
    }
}
