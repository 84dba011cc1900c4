//! Writes a scrape, family by family and row by row, in any format.

use std::sync::Arc;

use super::clashes::Clashes;
use super::doubles::Doubles;
use super::source::{CHUNK_BYTES, ReceiverGone, Source, TimeOf, seconds};
use crate::exposition::writer::{Details, Full, Head, Labels, Writer};
use crate::gateway::Gateway;
use crate::model::count::Count;
use crate::model::escaping::Escaping;
use crate::model::kind::{Form, Kind};
use crate::model::sum::Sum;
use crate::model::summary::Summary;
use crate::model::time::Start;
use crate::store::order::{Entry, Order};
use crate::store::piece::{Piece, Row, RowValue, Rows, ShownRow};
use crate::store::readahead::ReadAhead;
use crate::store::snapshot::{Snapshot, SnapshotFamily};
use crate::store::states;
use crate::telemetry;

/// Writes a row of a piece, and hands on the output whenever `full` says so. `block` is its label block, which the
/// caller has looked up. `created` is its start time, if that was pushed as a series.
#[inline]
pub(super) fn write_row(
    writer: &mut Writer,
    out: &mut Vec<u8>,
    piece: &Piece,
    row: usize,
    block: &str,
    created: Option<f64>,
    full: Full<'_>,
) {
    let shown = piece.shown(row);
    let details = Details { start: shown.start.nanos(), exemplars: piece.exemplars(row), created };
    let labels = labels(piece, shown, block);
    match shown.value {
        RowValue::Number(value) => writer.number(out, labels, value, details),
        RowValue::Summary(summary) => writer.summary(out, labels, summary, details, full),
        RowValue::Histogram(histogram) => writer.histogram(out, labels, histogram, details, full),
    }
}

/// Writes a row of a series that adds up with the value that it had before its first push, 0.
#[cold]
fn write_empty_row(
    writer: &mut Writer,
    out: &mut Vec<u8>,
    piece: &Piece,
    row: usize,
    block: &str,
    created: Option<f64>,
    full: Full<'_>,
) {
    let shown = piece.shown(row);
    let labels = labels(piece, shown, block);
    let details = Details { start: shown.start.nanos(), created, ..Details::default() };
    match shown.value {
        // `Exposure::number` writes numbers.
        RowValue::Number(_) => {}
        RowValue::Summary(summary) => {
            let empty = Summary::new(0.0, Count::ZERO, &summary.quantiles);
            writer.summary(out, labels, &empty, details, full);
        }
        RowValue::Histogram(histogram) => {
            writer.histogram(out, labels, &histogram.emptied(), details, full);
        }
    }
}

fn labels<'a>(piece: &Piece, shown: ShownRow<'_>, block: &'a str) -> Labels<'a> {
    Labels { block, has_quoted_names: piece.has_quoted_names(), simple_labels: shown.simple_labels }
}

/// The series of state sets in the order that OpenMetrics requires: those of one set together.
fn by_set(family: &SnapshotFamily, entries: &[Entry]) -> Order {
    let set_and_state = |entry: &Entry| states::split(family.name(), family.block(*entry));
    let mut entries = entries.to_vec();
    entries.sort_by_cached_key(set_and_state);
    Order::Many(Arc::new(entries))
}

/// Which series of a family are written. If the first series of a protobuf message is a native histogram,
/// Prometheus takes all of them for native ones and then refuses the scrape for a classic one. So they need
/// separate messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    All,
    Native,
    Classic,
}

impl Part {
    #[inline]
    fn has(self, piece: &Piece, row: usize) -> bool {
        self == Part::All || is_native(piece, row) == (self == Part::Native)
    }
}

fn is_native(piece: &Piece, row: usize) -> bool {
    matches!(piece.value(row), RowValue::Histogram(histogram) if histogram.native().is_some())
}

/// The parts into which a family must be split.
fn parts(sources: &[Source<'_>]) -> &'static [Part] {
    let pushed = sources.iter().filter_map(|source| match source {
        Source::Pushed(family) if family.kind.form() == Form::Histogram => Some(family),
        _ => None,
    });
    let mut rows = pushed.flat_map(|family| {
        family.pieces().flat_map(|piece| (0..piece.len()).map(move |row| is_native(piece, row)))
    });
    match rows.next() {
        Some(first) if rows.any(|other| other != first) => &[Part::Native, Part::Classic],
        _ => &[Part::All],
    }
}

/// A scrape that is being written.
pub(super) struct Exposure<'a, D> {
    pub(super) gateway: &'a Gateway,
    pub(super) snapshot: &'a Snapshot,
    pub(super) clashes: &'a Clashes<'a>,
    /// See [`Exposition::lead_start`](crate::gateway::scrape).
    pub(super) lead_start: Option<i64>,
    pub(super) part: Part,
    /// The only samples to write, if OpenMetrics can't show the type of the family.
    pub(super) only: Option<&'static str>,
    pub(super) escaping: Escaping,
    /// The hidden series of the current family. Computed at its first series with a quoted label name.
    pub(super) doubles: Option<Doubles>,
    pub(super) writer: Writer,
    pub(super) out: Vec<u8>,
    pub(super) deliver: D,
}

impl<D: FnMut(&mut Vec<u8>) -> Result<(), ReceiverGone>> Exposure<'_, D> {
    /// Writes a family, which may have several sources with the same name.
    pub(super) fn family(&mut self, sources: &[Source<'_>]) -> Result<(), ReceiverGone> {
        self.doubles = None;
        if let Some(suffixes) = self.clashes.suffixes_of(sources[0].name()) {
            for suffix in suffixes {
                self.only = Some(suffix);
                self.content(sources)?;
            }
            self.only = None;
            return Ok(());
        }
        if !self.writer.needs_length() {
            return self.content(sources);
        }
        for part in parts(sources) {
            self.part = *part;
            self.writer.measure();
            self.content(sources)?;
            self.writer.measured();
            self.content(sources)?;
        }
        self.part = Part::All;
        Ok(())
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
                    let mut entries = self.gateway.order_of(family);
                    if family.kind == Kind::StateSet && matches!(self.writer, Writer::OpenMetrics(_)) {
                        entries = by_set(family, &entries);
                    }
                    if !entries.is_empty() {
                        self.begin(&mut has_begun, source, family.help(), family.unit());
                        if self.writer.is_measuring() {
                            self.measure_rows(family)?;
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
            let unit = unit.filter(|_| self.gateway.exposition.has_units);
            let head = Head { unit, only: self.only, ..Head::new(source.name(), source.kind(), help) };
            self.writer.begin(&mut self.out, head);
        }
    }

    /// Returns a function that says whether a series of this family is shown as 0 for now.
    fn is_newborn(&self, family: &SnapshotFamily) -> impl Fn(Start) -> bool + use<D> {
        let lead_start = self.lead_start.filter(|_| family.adds());
        move |start: Start| {
            lead_start.is_some_and(|lead| start.accepted_nanos().is_some_and(|start| start > lead))
        }
    }

    /// Passes all rows to the writer to measure their lengths, in the order of memory.
    fn measure_rows(&mut self, family: &SnapshotFamily) -> Result<(), ReceiverGone> {
        let is_newborn = self.is_newborn(family);
        for piece in family.pieces() {
            for row in 0..piece.len() {
                let block = piece.block(row);
                if !self.is_hidden(family, piece, block) {
                    self.row(piece, row, block, &is_newborn, None)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a series is hidden because it would look like another one with escaped names.
    #[inline]
    fn is_hidden(&mut self, family: &SnapshotFamily, piece: &Piece, block: &str) -> bool {
        piece.has_quoted_names() && self.escaping != Escaping::AllowUtf8 && self.is_double(family, block)
    }

    fn is_double(&mut self, family: &SnapshotFamily, block: &str) -> bool {
        let doubles = self.doubles.get_or_insert_with(|| Doubles::among(|| family.blocks(), self.escaping));
        doubles.hide(block)
    }

    #[inline]
    fn row(
        &mut self,
        piece: &Piece,
        row: usize,
        block: &str,
        is_newborn: &impl Fn(Start) -> bool,
        created: Option<f64>,
    ) -> Result<(), ReceiverGone> {
        if !self.part.has(piece, row) {
            return Ok(());
        }
        match piece.rows() {
            Rows::Numbers(numbers) => {
                let number = &numbers[row];
                self.number((piece, row), number, block, is_newborn(number.start), created);
                Ok(())
            }
            Rows::Summaries(_) | Rows::Histograms(_) => {
                self.composite(piece, row, block, is_newborn(piece.start(row)), created)
            }
        }
    }

    /// Writes a number. Within a [`RowValue`] the value would be stored and read again for every line, which takes longer
    /// than the rest of it.
    #[inline]
    fn number(
        &mut self,
        (piece, row): (&Piece, usize),
        number: &Row<Sum>,
        block: &str,
        is_newborn: bool,
        created: Option<f64>,
    ) {
        let value = if is_newborn { 0.0 } else { number.value.value() };
        let (has_quoted_names, simple_labels) = (piece.has_quoted_names(), number.simple_labels());
        let labels = Labels { block, has_quoted_names, simple_labels };
        let exemplars = if is_newborn { &[] } else { piece.exemplars(row) };
        let details = Details { start: number.start.nanos(), exemplars, created };
        self.writer.number(&mut self.out, labels, value, details);
    }

    fn composite(
        &mut self,
        piece: &Piece,
        row: usize,
        block: &str,
        is_newborn: bool,
        created: Option<f64>,
    ) -> Result<(), ReceiverGone> {
        let mut delivered = Ok(());
        let deliver = &mut self.deliver;
        let mut full = |out: &mut Vec<u8>| {
            if out.len() >= CHUNK_BYTES {
                if delivered.is_ok() {
                    delivered = deliver(out);
                }
                out.clear();
            }
        };
        if is_newborn {
            write_empty_row(&mut self.writer, &mut self.out, piece, row, block, created, &mut full);
        } else {
            write_row(&mut self.writer, &mut self.out, piece, row, block, created, &mut full);
        }
        delivered
    }

    fn rows(&mut self, family: &SnapshotFamily, entries: &[Entry]) -> Result<(), ReceiverGone> {
        let is_newborn = self.is_newborn(family);
        let created = self.clashes.created_of(family.name());
        for run in ReadAhead::new(family, entries) {
            if let (Writer::Text(writer), Some(numbers)) = (&self.writer, run.numbers()) {
                // Nearly all lines of a scrape, so what does not matter for them is not asked.
                for row in run.rows() {
                    let number = &numbers.rows[row];
                    let value = if is_newborn(number.start) { 0.0 } else { number.value.value() };
                    writer.plain_number(&mut self.out, numbers.block(row), value);
                    flush_if_full(&mut self.out, &mut self.deliver)?;
                }
                continue;
            }
            let piece = run.piece;
            for row in run.rows() {
                let block = piece.block(row);
                if self.is_hidden(family, piece, block) {
                    continue;
                }
                let created = created.and_then(|created| created.get(block).copied());
                self.row(piece, row, block, &is_newborn, created)?;
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
            if has_quoted_names && self.escaping != Escaping::AllowUtf8 {
                let blocks = || order.iter().filter_map(|entry| Some(groups.get(entry.slot)?.block()));
                let doubles = self.doubles.get_or_insert_with(|| Doubles::among(blocks, self.escaping));
                if doubles.hide(times.block()) {
                    continue;
                }
            }
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
                telemetry::RowValue::Summary(summary) => {
                    writer.summary(out, labels, summary, details, &mut |_| {})
                }
                telemetry::RowValue::Histogram(histogram) => {
                    writer.histogram(out, labels, histogram, details, &mut |_| {});
                }
            }
        }
    }

    #[inline]
    fn flush_if_full(&mut self) -> Result<(), ReceiverGone> {
        flush_if_full(&mut self.out, &mut self.deliver)
    }

    /// Hands on the output.
    pub(super) fn flush(&mut self) -> Result<(), ReceiverGone> {
        (self.deliver)(&mut self.out)?;
        self.out.clear();
        Ok(())
    }
}

/// Hands on the output if it is a whole chunk.
#[inline]
fn flush_if_full(
    out: &mut Vec<u8>,
    deliver: &mut impl FnMut(&mut Vec<u8>) -> Result<(), ReceiverGone>,
) -> Result<(), ReceiverGone> {
    if out.len() >= CHUNK_BYTES {
        deliver(out)?;
        out.clear();
    }
    Ok(())
}
