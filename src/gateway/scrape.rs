//! A scrape: all pushed metrics and the gateway's own, in the stock gateway's order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::exposition::negotiation::Format;
use crate::exposition::writer::Writer;
use crate::gateway::Gateway;
use crate::gateway::clashes::Clashes;
use crate::gateway::exposure::{Exposure, Part};
use crate::gateway::source::{CHUNK_CAPACITY, ReceiverGone, Source, TimeOf};
use crate::model::merge::reconciled;
use crate::model::time::Moment;
use crate::store::Seen;
use crate::store::order::{Entry, Order};
use crate::store::snapshot::{GroupTimes, Snapshot, SnapshotFamily, SnapshotGroups};
use crate::telemetry;

/// The families that the gateway adds to every group: name, help, and which time they show.
const GROUP_FAMILIES: [(&str, &str, TimeOf); 2] = [
    ("push_failure_time_seconds", PUSH_FAILURE_TIME_HELP, |times| times.failed_at),
    ("push_time_seconds", PUSH_TIME_HELP, |times| times.pushed_at),
];

/// The help text of `push_time_seconds`.
pub const PUSH_TIME_HELP: &str = "Last Unix time when changing this group in the Pushgateway succeeded.";

/// The help text of `push_failure_time_seconds`.
pub const PUSH_FAILURE_TIME_HELP: &str = "Last Unix time when changing this group in the Pushgateway failed.";

/// The name under which the common series order of both [`GROUP_FAMILIES`] is kept.
const GROUP_ORDER: &str = "push_time_seconds";

/// The settings for scrapes, and what was shown before the start.
#[derive(Debug)]
pub(super) struct Exposition {
    /// Whether start times are shown as series of their own in formats that have no other place for them.
    pub(super) created_series: bool,
    /// Whether units are shown. The stock gateway never shows them.
    pub(super) has_units: bool,
    /// How long new series that add up are shown as 0.
    pub(super) zero_lead: Duration,
    /// When the gateway was started.
    pub(super) started: Moment,
    /// Series that began before this time, in nanoseconds since the epoch, may have been shown with their values.
    pub(super) shown_until: i64,
}

impl Exposition {
    /// Series that began after this time are shown as 0; `None` if no series is. A series that was shown with its
    /// value before a restart must not be shown as 0 again.
    fn lead_start(&self, now: Moment) -> Option<i64> {
        let lead = i64::try_from(self.zero_lead.as_nanos()).ok().filter(|lead| *lead > 0)?;
        Some(now.nanos.saturating_sub(lead).max(self.shown_until))
    }
}

impl Gateway {
    /// Roughly how many series a scrape has.
    pub fn scrape_size(&self) -> u64 {
        (self.store.series_count() + 2 * self.store.group_count()).unsigned_abs()
    }

    /// Roughly how many bytes the store holds.
    pub fn size_in_bytes(&self) -> u64 {
        self.store.bytes().unsigned_abs()
    }

    /// Notes that the receiver of a scrape has got all of it.
    pub fn scraped(&self, seen: Seen) {
        if self.store.note_scraped(seen) {
            self.wake_jobs();
        }
    }
    /// Writes a scrape in this format and passes it to `deliver` in chunks. Returns what [`Gateway::scraped`] needs once
    /// the receiver has got all of it.
    ///
    /// # Errors
    ///
    /// The error of `deliver`, after which nothing more is written.
    pub fn scrape(
        &self,
        format: Format,
        deliver: impl FnMut(&mut Vec<u8>) -> Result<(), ReceiverGone>,
    ) -> Result<Seen, ReceiverGone> {
        let now = self.clock.now();
        let (snapshot, seen) = self.store.snapshot_for_scrape(now);
        self.forget_orders(&snapshot);
        let mut own = self.telemetry.families(&self.store, now);
        own.retain(|family| goes_together(family, &snapshot));
        let mut sources = Vec::with_capacity(snapshot.families.len() + own.len() + GROUP_FAMILIES.len());
        sources.extend(snapshot.families.iter().map(Source::Pushed));
        sources.extend(own.iter().map(Source::Own));
        if !snapshot.groups.extents().is_empty() {
            sources.extend(GROUP_FAMILIES.iter().map(|(name, help, time)| Source::Group(name, help, *time)));
        }
        self.expose(format, &snapshot, sources, now, deliver)?;
        Ok(seen)
    }

    /// The same for the pushed metrics alone.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn scrape_pushed(
        &self,
        format: Format,
        deliver: impl FnMut(&mut Vec<u8>) -> Result<(), ReceiverGone>,
    ) -> Result<(), ReceiverGone> {
        let snapshot = self.store.snapshot();
        let sources = snapshot.families.iter().map(Source::Pushed).collect();
        self.expose(format, &snapshot, sources, self.clock.now(), deliver)
    }

    fn expose(
        &self,
        format: Format,
        snapshot: &Snapshot,
        mut sources: Vec<Source<'_>>,
        now: Moment,
        deliver: impl FnMut(&mut Vec<u8>) -> Result<(), ReceiverGone>,
    ) -> Result<(), ReceiverGone> {
        // The gateway's own families come before pushed ones of the same name. Their help text is used, and their
        // series have fewer labels.
        sources.sort_by(|a, b| {
            a.name().cmp(b.name()).then(matches!(b, Source::Own(_)).cmp(&matches!(a, Source::Own(_))))
        });
        let writer = Writer::new(format, self.exposition.created_series);
        let clashes = match writer {
            Writer::OpenMetrics(_) => Clashes::among(&sources, format.escaping),
            Writer::Text(_) | Writer::Protobuf(_) => Clashes::default(),
        };
        let mut exposure = Exposure {
            gateway: self,
            snapshot,
            clashes: &clashes,
            lead_start: self.exposition.lead_start(now),
            part: Part::All,
            only: None,
            escaping: format.escaping,
            doubles: None,
            writer,
            out: Vec::with_capacity(CHUNK_CAPACITY),
            deliver,
        };
        let families = sources.chunk_by(|a, b| a.name() == b.name());
        for family in families.filter(|family| !clashes.is_folded(family[0].name())) {
            exposure.family(family)?;
        }
        exposure.writer.finish(&mut exposure.out);
        exposure.flush()
    }
}

/// Whether a family of the gateway can be shown beside a pushed one of the same name. Jobs may have pushed another
/// type while `process_*` metrics were turned off.
fn goes_together(own: &telemetry::Family, snapshot: &Snapshot) -> bool {
    let pushed = snapshot.families.binary_search_by(|family| (**family.name()).cmp(&own.name));
    pushed.ok().is_none_or(|at| reconciled(own.kind, &own.name, snapshot.families[at].kind).is_some())
}

impl Gateway {
    /// Sorts new series in advance for the next scrape. Works only if groups or series have come or gone, and the
    /// store has not changed in this way since the last call. A store that keeps growing is sorted by the scrapes
    /// themselves.
    pub fn prepare_scrape(&self) {
        let now = self.store.generation();
        let seen = self.prepared.seen.swap(now, Ordering::Relaxed);
        if now != seen || self.prepared.sorted.swap(now, Ordering::Relaxed) == now {
            return;
        }
        let snapshot = self.store.snapshot();
        self.forget_orders(&snapshot);
        for family in &snapshot.families {
            self.order_of(family);
        }
        self.order_of_groups(&snapshot.groups);
    }

    /// Drops the sort orders of families that no longer exist.
    fn forget_orders(&self, snapshot: &Snapshot) {
        self.store.orders().retain(|name| {
            name == GROUP_ORDER || snapshot.families.binary_search_by(|f| (**f.name()).cmp(name)).is_ok()
        });
    }

    pub(super) fn order_of(&self, family: &SnapshotFamily) -> Order {
        self.store.orders().of(family.name(), family.extents(), |entry| family.block(entry))
    }

    pub(super) fn order_of_groups(&self, groups: &SnapshotGroups) -> Order {
        let block = |entry: Entry| groups.get(entry.slot).map_or("", GroupTimes::block);
        self.store.orders().of(GROUP_ORDER, groups.extents(), block)
    }
}

/// Generations of the store: the one at the last call of [`Gateway::prepare_scrape`], and the one that was sorted
/// last.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    seen: AtomicU64,
    sorted: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposition(zero_lead: Duration, shown_until: i64) -> Exposition {
        let started = Moment::at(0);
        Exposition { created_series: false, has_units: true, zero_lead, started, shown_until }
    }

    #[test]
    fn what_was_shown_is_not_shown_as_0_again() {
        let exposition = exposition(Duration::from_nanos(30), 70);
        let lead_start = |nanos| exposition.lead_start(Moment::at(nanos));
        assert_eq!(lead_start(80), Some(70));
        assert_eq!(lead_start(100), Some(70));
        assert_eq!(lead_start(101), Some(71));
    }

    #[test]
    fn without_a_lead_nothing_is_shown_as_0() {
        assert_eq!(exposition(Duration::ZERO, 0).lead_start(Moment::at(100)), None);
    }
}
