//! A scrape: everything that is there, joined with the gateway's own metrics, in the stock order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::exposition::negotiation::Format;
use crate::exposition::writer::{Head, Labels, Writer};
use crate::gateway::Gateway;
use crate::model::kind::Kind;
use crate::store::order::Entry;
use crate::store::piece::{Piece, RowValue};
use crate::store::snapshot::{GroupTimes, Slots, Snapshot, SnapshotFamily};
use crate::telemetry;

/// How much is written before it is handed on.
const CHUNK_BYTES: usize = 256 * 1024;

/// How many series are looked up before they are written. In the order of a scrape, neighbours lie
/// far apart in memory; looked up in a row, their cache misses overlap instead of adding up.
const LOOKAHEAD: usize = 64;

/// One of the times of a group, in nanoseconds since the epoch.
type TimeOf = fn(&GroupTimes) -> i64;

/// The families that the gateway keeps for every group: name, help, and their value.
const GROUP_FAMILIES: [(&str, &str, TimeOf); 2] = [
    ("push_failure_time_seconds", PUSH_FAILURE_TIME_HELP, |times| times.failed_at),
    ("push_time_seconds", PUSH_TIME_HELP, |times| times.pushed_at),
];

/// The help text of `push_time_seconds`.
pub const PUSH_TIME_HELP: &str = "Last Unix time when changing this group in the Pushgateway succeeded.";

/// The help text of `push_failure_time_seconds`.
pub const PUSH_FAILURE_TIME_HELP: &str = "Last Unix time when changing this group in the Pushgateway failed.";

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
    Group(&'static str, &'static str, TimeOf),
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
        self.forget_orders(&snapshot);
        let own = self.telemetry.families(&self.store, super::now());
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

impl Gateway {
    /// Sorts what is new since the last scrape, so that the next one need not. Does nothing unless
    /// groups or series have come or gone since the last call but one, and none since the last: a
    /// store that keeps growing is sorted by the scrapes themselves.
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

    /// Forgets the orders of families that are gone.
    fn forget_orders(&self, snapshot: &Snapshot) {
        self.store.orders().retain(|name| {
            name == GROUP_ORDER || snapshot.families.binary_search_by(|f| (**f.name()).cmp(name)).is_ok()
        });
    }

    fn order_of(&self, family: &SnapshotFamily) -> Arc<Vec<Entry>> {
        self.store.orders().of(family.name(), family.extents(), |entry| family.block(entry))
    }

    fn order_of_groups(&self, groups: &Slots<GroupTimes>) -> Arc<Vec<Entry>> {
        let block = |entry: Entry| groups.get(entry.slot).map_or("", GroupTimes::block);
        self.store.orders().of(GROUP_ORDER, groups.extents(), block)
    }
}

/// Generations of the store: the one that the last call of [`Gateway::prepare_scrape`] saw, and the
/// one that was last sorted.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    seen: AtomicU64,
    sorted: AtomicU64,
}

/// Writes a row of a piece; `block` is its label block, which the caller has looked up.
#[inline]
pub(super) fn write_row(writer: &mut Writer, out: &mut Vec<u8>, piece: &Piece, row: usize, block: &str) {
    let labels = Labels { block, has_quoted_names: piece.has_quoted_names() };
    match piece.value(row) {
        RowValue::Number(value) => writer.number(out, labels, value),
        RowValue::Summary(summary) => writer.summary(out, labels, summary),
        RowValue::Histogram(histogram) => writer.histogram(out, labels, histogram),
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
                    let entries = self.gateway.order_of(family);
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

    fn rows(&mut self, family: &SnapshotFamily, entries: &[Entry]) -> Result<(), ReceiverGone> {
        let mut rows: Vec<(&Piece, usize)> = Vec::with_capacity(LOOKAHEAD);
        let mut blocks: Vec<&str> = Vec::with_capacity(LOOKAHEAD);
        for entries in entries.chunks(LOOKAHEAD) {
            rows.clear();
            rows.extend(entries.iter().filter_map(|entry| family.row(*entry)));
            std::hint::black_box(rows.iter().fold(0, |sum, (piece, _)| sum + piece.len()));
            blocks.clear();
            blocks.extend(rows.iter().map(|(piece, row)| piece.block(*row)));
            let touched = blocks.iter().fold(0, |sum: u8, block| {
                let bytes = block.as_bytes();
                sum.wrapping_add(bytes[0]).wrapping_add(bytes[bytes.len() / 2])
            });
            std::hint::black_box(touched);
            for ((piece, row), block) in rows.iter().zip(&blocks) {
                write_row(&mut self.writer, &mut self.out, piece, *row, block);
                self.flush_if_full()?;
            }
        }
        Ok(())
    }

    fn group_rows(&mut self, time: TimeOf) -> Result<(), ReceiverGone> {
        let groups = &self.snapshot.groups;
        let order = self.gateway.order_of_groups(groups);
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
                telemetry::RowValue::Histogram(histogram) => {
                    self.writer.histogram(&mut self.out, labels, histogram);
                }
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
