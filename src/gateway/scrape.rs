//! A scrape: everything that is there, joined with the gateway's own metrics, in the stock order.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::exposition::negotiation::Format;
use crate::exposition::writer::{Details, Head, Labels, Writer};
use crate::gateway::Gateway;
use crate::gateway::clashes::Clashes;
use crate::model::count::Count;
use crate::model::kind::Kind;
use crate::model::summary::Summary;
use crate::model::time::{Moment, Start};
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

/// What the configuration says about scrapes, and how far time has gone.
#[derive(Debug)]
pub(super) struct Exposition {
    /// Whether start times are shown where they can only be series of their own.
    pub(super) created_series: bool,
    /// How long newborn series that add up are shown as 0.
    pub(super) zero_lead: Duration,
    /// When the gateway was started.
    pub(super) started: Moment,
    /// The latest time that was seen, in nanoseconds since the epoch.
    pub(super) latest: AtomicI64,
}

impl Exposition {
    /// Series that were born after this are shown as 0; nothing where none are. A clock that steps back
    /// must not show anything as 0 again.
    fn lead_start(&self, now: Moment) -> Option<i64> {
        let lead = i64::try_from(self.zero_lead.as_nanos()).ok().filter(|lead| *lead > 0)?;
        let latest = self.latest.fetch_max(now.nanos, Ordering::Relaxed).max(now.nanos);
        Some(latest.saturating_sub(lead))
    }
}

/// A family to be written, of whatever origin.
pub(super) enum Source<'a> {
    Pushed(&'a SnapshotFamily),
    Own(&'a telemetry::Family),
    Group(&'static str, &'static str, TimeOf),
}

impl Source<'_> {
    pub(super) fn name(&self) -> &str {
        match self {
            Source::Pushed(family) => family.name(),
            Source::Own(family) => &family.name,
            Source::Group(name, _, _) => name,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Source::Pushed(family) => family.kind,
            Source::Own(family) => family.kind,
            Source::Group(..) => Kind::Gauge,
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
        let now = super::now();
        let own = self.telemetry.families(&self.store, now);
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
        let writer = Writer::new(format, self.exposition.created_series);
        let clashes = match writer {
            Writer::OpenMetrics(_) => Clashes::among(&sources),
            Writer::Text(_) | Writer::Protobuf(_) => Clashes::default(),
        };
        let mut exposure = Exposure {
            gateway: self,
            snapshot: &snapshot,
            clashes: &clashes,
            lead_start: self.exposition.lead_start(now),
            writer,
            out: Vec::with_capacity(CHUNK_BYTES + 4096),
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

/// Writes a row of a piece; `block` is its label block, which the caller has looked up, and `created` when
/// the series began if that was pushed as a series.
#[inline]
pub(super) fn write_row(
    writer: &mut Writer,
    out: &mut Vec<u8>,
    piece: &Piece,
    row: usize,
    block: &str,
    created: Option<f64>,
) {
    let details = Details { exemplars: piece.exemplars(row), created, ..details(piece, row) };
    let labels = labels(piece, row, block);
    match piece.value(row) {
        RowValue::Number(value) => writer.number(out, labels, value, details),
        RowValue::Summary(summary) => writer.summary(out, labels, summary, details),
        RowValue::Histogram(histogram) => writer.histogram(out, labels, histogram, details),
    }
}

/// Writes a row of a series that adds up as it was before its first push.
#[cold]
fn write_empty_row(writer: &mut Writer, out: &mut Vec<u8>, piece: &Piece, row: usize, block: &str) {
    let labels = labels(piece, row, block);
    match piece.value(row) {
        RowValue::Number(_) => writer.number(out, labels, 0.0, details(piece, row)),
        RowValue::Summary(summary) => {
            let empty = Summary::new(0.0, Count::ZERO, &summary.quantiles);
            writer.summary(out, labels, &empty, details(piece, row));
        }
        RowValue::Histogram(histogram) => {
            writer.histogram(out, labels, &histogram.emptied(), details(piece, row));
        }
    }
}

fn labels<'a>(piece: &Piece, row: usize, block: &'a str) -> Labels<'a> {
    Labels { block, has_quoted_names: piece.has_quoted_names(), simple_labels: piece.simple_labels(row) }
}

/// What is known of a row, its exemplars aside.
fn details(piece: &Piece, row: usize) -> Details<'_> {
    Details { start: piece.start(row).nanos(), ..Details::default() }
}

struct Exposure<'a, D> {
    gateway: &'a Gateway,
    snapshot: &'a Snapshot,
    clashes: &'a Clashes<'a>,
    /// See [`Exposition::lead_start`].
    lead_start: Option<i64>,
    writer: Writer,
    out: Vec<u8>,
    deliver: D,
}

impl<D: FnMut(&mut Vec<u8>) -> Result<(), ReceiverGone>> Exposure<'_, D> {
    fn family(&mut self, sources: &[Source<'_>]) -> Result<(), ReceiverGone> {
        if self.writer.needs_length() {
            self.writer.measure();
            self.content(sources)?;
            self.writer.measured();
        }
        self.content(sources)
    }

    fn content(&mut self, sources: &[Source<'_>]) -> Result<(), ReceiverGone> {
        let mut has_begun = false;
        for source in sources {
            match source {
                Source::Own(family) => {
                    self.begin(&mut has_begun, source, Some(&family.help), None);
                    self.own_rows(family);
                }
                Source::Pushed(family) => {
                    let entries = self.gateway.order_of(family);
                    if !entries.is_empty() {
                        self.begin(&mut has_begun, source, family.help(), family.unit());
                        if self.writer.is_measuring() {
                            self.measure_rows(family);
                        } else {
                            self.rows(family, &entries)?;
                        }
                    }
                }
                Source::Group(_, help, time) => {
                    self.begin(&mut has_begun, source, Some(help), None);
                    self.group_rows(*time)?;
                }
            }
        }
        self.flush_if_full()
    }

    fn begin(&mut self, has_begun: &mut bool, source: &Source<'_>, help: Option<&str>, unit: Option<&str>) {
        if !std::mem::replace(has_begun, true) {
            let is_plain = self.clashes.is_plain(source.name());
            let head = Head { unit, is_plain, ..Head::new(source.name(), source.kind(), help) };
            self.writer.begin(&mut self.out, head);
        }
    }

    /// What tells whether a series of this family is shown as it was before its first push.
    fn is_newborn(&self, family: &SnapshotFamily) -> impl Fn(Start) -> bool + use<D> {
        let lead_start = self.lead_start.filter(|_| family.kind.adds(family.name()));
        move |start: Start| {
            lead_start.is_some_and(|lead| start.accepted_nanos().is_some_and(|start| start > lead))
        }
    }

    /// Passes all rows to the writer when only their lengths count, in the order in which they lie in
    /// memory.
    fn measure_rows(&mut self, family: &SnapshotFamily) {
        let is_newborn = self.is_newborn(family);
        for (piece, rows) in family.pieces() {
            for row in 0..rows {
                self.row(piece, row, piece.block(row), &is_newborn, None);
            }
        }
    }

    #[inline]
    fn row(
        &mut self,
        piece: &Piece,
        row: usize,
        block: &str,
        is_newborn: &impl Fn(Start) -> bool,
        created: Option<f64>,
    ) {
        if is_newborn(piece.start(row)) {
            write_empty_row(&mut self.writer, &mut self.out, piece, row, block);
        } else {
            write_row(&mut self.writer, &mut self.out, piece, row, block, created);
        }
    }

    fn rows(&mut self, family: &SnapshotFamily, entries: &[Entry]) -> Result<(), ReceiverGone> {
        let is_newborn = self.is_newborn(family);
        let created = self.clashes.created_of(family.name());
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
            for (&(piece, row), block) in rows.iter().zip(&blocks) {
                let created = created.and_then(|created| created.get(block).copied());
                self.row(piece, row, block, &is_newborn, created);
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
            let has_quoted_names = times.has_quoted_names();
            let labels = Labels { has_quoted_names, ..Labels::unquoted(times.block()) };
            self.writer.number(&mut self.out, labels, seconds(time(times)), Details::default());
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn own_rows(&mut self, family: &telemetry::Family) {
        let start = family.kind.has_start().then_some(self.gateway.exposition.started.nanos);
        let details = Details { start, ..Details::default() };
        let (writer, out) = (&mut self.writer, &mut self.out);
        for row in &family.rows {
            let labels = Labels::unquoted(&row.block);
            match &row.value {
                telemetry::RowValue::Number(value) => writer.number(out, labels, *value, details),
                telemetry::RowValue::Summary(summary) => writer.summary(out, labels, summary, details),
                telemetry::RowValue::Histogram(histogram) => {
                    writer.histogram(out, labels, histogram, details);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn exposition(zero_lead: Duration) -> Exposition {
        let started = Moment { nanos: 0 };
        Exposition { created_series: false, zero_lead, started, latest: AtomicI64::new(0) }
    }

    #[test]
    fn a_clock_that_steps_back_shows_nothing_as_0_again() {
        let exposition = exposition(Duration::from_nanos(30));
        let lead_start = |nanos| exposition.lead_start(Moment { nanos });
        assert_eq!(lead_start(100), Some(70));
        assert_eq!(lead_start(50), Some(70));
        assert_eq!(lead_start(101), Some(71));
    }

    #[test]
    fn without_a_lead_nothing_is_shown_as_0() {
        assert_eq!(exposition(Duration::ZERO).lead_start(Moment { nanos: 100 }), None);
    }
}
