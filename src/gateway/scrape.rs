//! A scrape: everything that is there, joined with the gateway's own metrics, in the stock order.

use std::sync::Arc;

use crate::exposition::negotiation::Format;
use crate::exposition::writer::{Head, Labels, Writer};
use crate::gateway::Gateway;
use crate::model::kind::Kind;
use crate::store::order::Entry;
use crate::store::piece::RowValue;
use crate::store::snapshot::{GroupTimes, Snapshot, SnapshotFamily};
use crate::telemetry;

/// How much is written before it is handed on.
const CHUNK_BYTES: usize = 128 * 1024;

/// The families that the gateway keeps for every group: name, help, and their value.
const GROUP_FAMILIES: [(&str, &str, fn(&GroupTimes) -> i64); 2] = [
    (
        "push_failure_time_seconds",
        "Last Unix time when changing this group in the Pushgateway failed.",
        |times| times.failed_at,
    ),
    ("push_time_seconds", "Last Unix time when changing this group in the Pushgateway succeeded.", |times| {
        times.pushed_at
    }),
];

/// Under this name the order of the series of both [`GROUP_FAMILIES`] is kept, which is the same.
const GROUP_ORDER: &str = "push_time_seconds";

/// The receiver of an exposition has gone.
#[derive(Debug)]
pub struct ReceiverGone;

/// Nanoseconds since the epoch as the seconds that a metric shows.
pub fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

/// A family to be written, of whatever origin.
enum Source<'a> {
    Pushed(&'a SnapshotFamily),
    Own(&'a telemetry::Family),
    Group(&'static str, &'static str, fn(&GroupTimes) -> i64),
}

impl Source<'_> {
    fn name(&self) -> &str {
        match self {
            Source::Pushed(family) => family.name(),
            Source::Own(family) => &family.name,
            Source::Group(name, _, _) => name,
        }
    }
}

impl Gateway {
    /// How many series a scrape has, roughly.
    pub fn scrape_size(&self) -> u64 {
        (self.store.series_count() + 2 * self.store.group_count()).unsigned_abs()
    }

    /// Writes everything in this format, handing it to `deliver` in chunks.
    ///
    /// # Errors
    ///
    /// What `deliver` returns; nothing more is written then.
    pub fn scrape(
        &self,
        format: Format,
        deliver: impl FnMut(&mut Vec<u8>) -> Result<(), ReceiverGone>,
    ) -> Result<(), ReceiverGone> {
        let snapshot = self.store.snapshot();
        let own = self.telemetry.families(&self.store);
        self.store.orders().retain(|name| {
            name == GROUP_ORDER || snapshot.families.binary_search_by(|f| (**f.name()).cmp(name)).is_ok()
        });
        let mut sources: Vec<Source<'_>> = snapshot.families.iter().map(Source::Pushed).collect();
        sources.extend(own.iter().map(Source::Own));
        if !snapshot.groups.extents().is_empty() {
            sources.extend(GROUP_FAMILIES.iter().map(|(name, help, time)| Source::Group(name, help, *time)));
        }
        // Own families before pushed ones of the same name: their help counts, and their series have
        // fewer labels.
        sources.sort_by(|a, b| {
            a.name().cmp(b.name()).then(matches!(b, Source::Own(_)).cmp(&matches!(a, Source::Own(_))))
        });
        let mut exposure = Exposure {
            gateway: self,
            snapshot: &snapshot,
            writer: Writer::new(format),
            out: Vec::with_capacity(CHUNK_BYTES + 4096),
            deliver,
        };
        for family in sources.chunk_by(|a, b| a.name() == b.name()) {
            exposure.family(family)?;
        }
        exposure.flush()
    }
}

struct Exposure<'a, D> {
    gateway: &'a Gateway,
    snapshot: &'a Snapshot,
    writer: Writer,
    out: Vec<u8>,
    deliver: D,
}

impl<D: FnMut(&mut Vec<u8>) -> Result<(), ReceiverGone>> Exposure<'_, D> {
    fn family(&mut self, sources: &[Source<'_>]) -> Result<(), ReceiverGone> {
        let mut has_begun = false;
        for source in sources {
            match source {
                Source::Own(family) => {
                    self.begin(&mut has_begun, &family.name, family.kind, Some(&family.help));
                    self.own_rows(family);
                }
                Source::Pushed(family) => {
                    let entries = self.order(family.name(), family);
                    if !entries.is_empty() {
                        self.begin(&mut has_begun, family.name(), family.kind, family.help());
                        self.rows(family, &entries)?;
                    }
                }
                Source::Group(name, help, time) => {
                    self.begin(&mut has_begun, name, Kind::Gauge, Some(help));
                    self.group_rows(*time)?;
                }
            }
        }
        if has_begun {
            self.writer.end(&mut self.out);
        }
        self.flush_if_full()
    }

    fn begin(&mut self, has_begun: &mut bool, name: &str, kind: Kind, help: Option<&str>) {
        if !std::mem::replace(has_begun, true) {
            self.writer.begin(&mut self.out, Head { name, kind, help });
        }
    }

    fn order(&self, name: &str, family: &SnapshotFamily) -> Arc<Vec<Entry>> {
        self.gateway.store.orders().of(name, family.extents(), |entry| family.block(entry))
    }

    fn rows(&mut self, family: &SnapshotFamily, entries: &[Entry]) -> Result<(), ReceiverGone> {
        for entry in entries {
            let Some((piece, row)) = family.row(*entry) else { continue };
            let labels = Labels { block: piece.block(row), has_quoted_names: piece.has_quoted_names() };
            match piece.value(row) {
                RowValue::Number(value) => self.writer.number(&mut self.out, labels, value),
                RowValue::Summary(summary) => self.writer.summary(&mut self.out, labels, summary),
                RowValue::Histogram(histogram) => self.writer.histogram(&mut self.out, labels, histogram),
            }
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn group_rows(&mut self, time: fn(&GroupTimes) -> i64) -> Result<(), ReceiverGone> {
        let groups = &self.snapshot.groups;
        let block = |entry: Entry| groups.get(entry.slot).map_or("", GroupTimes::block);
        let order = self.gateway.store.orders().of(GROUP_ORDER, groups.extents(), block);
        for entry in order.iter() {
            let Some(times) = groups.get(entry.slot) else { continue };
            let labels = Labels { block: times.block(), has_quoted_names: times.has_quoted_names() };
            self.writer.number(&mut self.out, labels, seconds(time(times)));
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn own_rows(&mut self, family: &telemetry::Family) {
        for row in &family.rows {
            let labels = Labels { block: &row.block, has_quoted_names: false };
            match &row.value {
                telemetry::RowValue::Number(value) => self.writer.number(&mut self.out, labels, *value),
                telemetry::RowValue::Summary(summary) => self.writer.summary(&mut self.out, labels, summary),
            }
        }
    }

    #[inline]
    fn flush_if_full(&mut self) -> Result<(), ReceiverGone> {
        if self.out.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ReceiverGone> {
        (self.deliver)(&mut self.out)?;
        self.out.clear();
        Ok(())
    }
}
