//! Pieces: the bounded blocks that the series of a family are kept in.
//!
//! A piece is the unit of copy on write. A scrape clones shared pointers to pieces; a push that
//! changes a piece while a scrape holds it copies that piece and no more.

use std::sync::Arc;

use crate::model::exemplar::{self, Exemplars, Placed};
use crate::model::histogram::{Bucket, Histogram, Layout, Pushed};
use crate::model::kind::Form;
use crate::model::labels::{has_quoted_names, simple_labels};
use crate::model::limits::MAX_BLOCK_BYTES;
use crate::model::native_histogram::NativeHistogram;
use crate::model::push::{Push, Series, Value};
use crate::model::sum::Sum;
use crate::model::summary::{Quantile, Summary};
use crate::model::time::{Moment, Start};

/// How many series a piece holds at most. Every piece of a family but the last is full.
pub const PIECE_ROWS: usize = 32;

// Where labels end in a piece is told in 32 bits.
const _: () = assert!(PIECE_ROWS as u64 * MAX_BLOCK_BYTES as u64 <= u32::MAX as u64);

/// What a row takes beside its labels and what can grow, in bytes.
const ROW_BYTES: usize = 64;

/// What an exemplar takes, in bytes.
const EXEMPLAR_BYTES: usize = 256;

/// Some series of one family of one group, in the order in which they arrived.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The label blocks of all rows, one after the other.
    labels: String,
    rows: Rows,
    /// Whether any label name needs quotes.
    has_quoted_names: bool,
    /// By row. Most pieces have none.
    exemplars: Option<Box<Exemplars>>,
}

/// The rows of a piece: one vector of the form that the family has.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Counters, gauges and untyped values.
    Numbers(Vec<Row<Sum>>),
    /// Summaries.
    Summaries(Vec<Row<Summary>>),
    /// Histograms.
    Histograms(Vec<Row<Histogram>>),
}

/// The state of one series.
#[derive(Clone, Debug)]
pub struct Row<V> {
    /// The value.
    pub value: V,
    /// When the series began.
    pub start: Start,
    label_end: u32,
    simple_labels: u16,
}

/// A borrowed value of any form.
#[derive(Clone, Copy, Debug)]
pub enum RowValue<'a> {
    /// A counter, gauge or untyped value.
    Number(f64),
    /// A summary.
    Summary(&'a Summary),
    /// A histogram.
    Histogram(&'a Histogram),
}

/// A value of any form.
#[derive(Clone, Debug)]
pub enum OwnedValue {
    /// A counter, gauge or untyped value.
    Number(Sum),
    /// A summary.
    Summary(Summary),
    /// A histogram.
    Histogram(Histogram),
}

impl OwnedValue {
    /// Adds the state of another series of the same type, whose latest push came later.
    pub fn merge(&mut self, later: &OwnedValue) {
        match (self, later) {
            (OwnedValue::Number(sum), OwnedValue::Number(later)) => sum.merge(*later),
            (OwnedValue::Summary(summary), OwnedValue::Summary(later)) => summary.merge_state(later),
            (OwnedValue::Histogram(histogram), OwnedValue::Histogram(later)) => histogram.merge_state(later),
            // The values of a family have one form.
            _ => {}
        }
    }
}

/// How a pushed value meets the one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// It is added.
    Add,
    /// It takes its place.
    Replace,
}

impl Piece {
    /// An empty piece for rows of this form.
    pub fn new(form: Form) -> Piece {
        Piece { labels: String::new(), rows: Rows::new(form), has_quoted_names: false, exemplars: None }
    }

    /// A piece of these label blocks and rows. Every row must have its own block, and all values the
    /// same form.
    pub fn of<'a>(form: Form, rows: impl IntoIterator<Item = (&'a str, Start, OwnedValue)>) -> Piece {
        let mut piece = Piece::new(form);
        for (block, start, value) in rows {
            piece.labels.push_str(block);
            piece.has_quoted_names |= has_quoted_names(block);
            let (label_end, simple_labels) = (piece.labels.len() as u32, simple_labels(block));
            match (&mut piece.rows, value) {
                (Rows::Numbers(rows), OwnedValue::Number(value)) => {
                    rows.push(Row { value, start, label_end, simple_labels })
                }
                (Rows::Summaries(rows), OwnedValue::Summary(value)) => {
                    rows.push(Row { value, start, label_end, simple_labels });
                }
                (Rows::Histograms(rows), OwnedValue::Histogram(value)) => {
                    rows.push(Row { value, start, label_end, simple_labels });
                }
                _ => piece.labels.truncate(piece.labels.len() - block.len()),
            }
        }
        piece.labels.shrink_to_fit();
        match &mut piece.rows {
            Rows::Numbers(rows) => rows.shrink_to_fit(),
            Rows::Summaries(rows) => rows.shrink_to_fit(),
            Rows::Histograms(rows) => rows.shrink_to_fit(),
        }
        piece
    }

    /// The rows.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// When the series of a row began.
    pub fn start(&self, at: usize) -> Start {
        match &self.rows {
            Rows::Numbers(rows) => rows[at].start,
            Rows::Summaries(rows) => rows[at].start,
            Rows::Histograms(rows) => rows[at].start,
        }
    }

    /// The exemplars of all rows, by row.
    pub fn all_exemplars(&self) -> Option<&Exemplars> {
        self.exemplars.as_deref()
    }

    /// The exemplars of a row.
    pub fn exemplars(&self, at: usize) -> &[(u32, Placed)] {
        self.exemplars.as_ref().map_or(&[], |exemplars| exemplars.slice(at as u32))
    }

    /// The same piece with these exemplars.
    pub fn with_exemplars(mut self, exemplars: Exemplars) -> Piece {
        self.exemplars = (!exemplars.is_empty()).then(|| Box::new(exemplars));
        self
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::Numbers(rows) => rows.len(),
            Rows::Summaries(rows) => rows.len(),
            Rows::Histograms(rows) => rows.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The form of the rows.
    pub fn form(&self) -> Form {
        match self.rows {
            Rows::Numbers(_) => Form::Number,
            Rows::Summaries(_) => Form::Summary,
            Rows::Histograms(_) => Form::Histogram,
        }
    }

    /// Whether any label name of any row needs quotes.
    pub fn has_quoted_names(&self) -> bool {
        self.has_quoted_names
    }

    /// The label blocks of all rows, one after the other.
    pub fn blocks(&self) -> &str {
        &self.labels
    }

    /// The label block of a row.
    pub fn block(&self, at: usize) -> &str {
        match &self.rows {
            Rows::Numbers(rows) => block_in(&self.labels, rows, at),
            Rows::Summaries(rows) => block_in(&self.labels, rows, at),
            Rows::Histograms(rows) => block_in(&self.labels, rows, at),
        }
    }

    /// The size of a row in bytes, roughly: as the limit of the store counts it. Bucket bounds count in
    /// every series that has them, although series share those that are the same.
    pub fn row_bytes(&self, at: usize) -> u64 {
        (ROW_BYTES + self.block(at).len() + self.growing_bytes(at)) as u64
    }

    /// The part of [`Piece::row_bytes`] that grows with what is pushed.
    fn growing_bytes(&self, at: usize) -> usize {
        let value = match &self.rows {
            Rows::Numbers(_) => 0,
            Rows::Summaries(rows) => size_of_val(&*rows[at].value.quantiles),
            Rows::Histograms(rows) => rows[at].value.size(),
        };
        value + self.exemplars(at).len() * EXEMPLAR_BYTES
    }

    /// Whether rows can grow when a push without exemplars is added.
    fn has_growing_values(&self) -> bool {
        !matches!(self.rows, Rows::Numbers(_))
    }

    /// How many labels a row has, if they are simple ones; see [`simple_labels`].
    pub fn simple_labels(&self, at: usize) -> u16 {
        match &self.rows {
            Rows::Numbers(rows) => rows[at].simple_labels,
            Rows::Summaries(rows) => rows[at].simple_labels,
            Rows::Histograms(rows) => rows[at].simple_labels,
        }
    }

    /// The value of a row.
    pub fn value(&self, at: usize) -> RowValue<'_> {
        match &self.rows {
            Rows::Numbers(rows) => RowValue::Number(rows[at].value.value()),
            Rows::Summaries(rows) => RowValue::Summary(&rows[at].value),
            Rows::Histograms(rows) => RowValue::Histogram(&rows[at].value),
        }
    }

    /// The value of a row, with all that there is to it.
    pub fn owned(&self, at: usize) -> OwnedValue {
        match &self.rows {
            Rows::Numbers(rows) => OwnedValue::Number(rows[at].value),
            Rows::Summaries(rows) => OwnedValue::Summary(rows[at].value.clone()),
            Rows::Histograms(rows) => OwnedValue::Histogram(rows[at].value.clone()),
        }
    }

    /// Makes room for `more` rows with `label_bytes` of label blocks, and no more than that: most
    /// families never grow again.
    pub fn reserve(&mut self, more: usize, label_bytes: usize) {
        self.labels.reserve_exact(label_bytes);
        match &mut self.rows {
            Rows::Numbers(rows) => rows.reserve_exact(more),
            Rows::Summaries(rows) => rows.reserve_exact(more),
            Rows::Histograms(rows) => rows.reserve_exact(more),
        }
    }

    /// Adds a row for a pushed series. `known` are bucket layouts that it may share.
    pub fn append(
        &mut self,
        push: &Push,
        series: &Series,
        meeting: Meeting,
        now: Moment,
        known: &[Arc<Layout>],
    ) {
        let block = push.block(series);
        let start = match meeting {
            Meeting::Add => Start::accepted(now.nanos),
            Meeting::Replace => told_start(push, series),
        };
        self.labels.push_str(block);
        self.has_quoted_names |= has_quoted_names(block);
        let (label_end, simple_labels) = (self.labels.len() as u32, simple_labels(block));
        match (&mut self.rows, series.value) {
            (Rows::Numbers(rows), Value::Number(value)) => {
                rows.push(Row { value: Sum::new(value), start, label_end, simple_labels });
            }
            (Rows::Summaries(rows), Value::Summary { sum, count, quantiles }) => {
                let value = Summary::new(sum, count, push.quantiles(quantiles));
                rows.push(Row { value, start, label_end, simple_labels });
            }
            (Rows::Histograms(rows), Value::Histogram { sum, total, buckets, native }) => {
                let (buckets, native) = (push.buckets(buckets), push.native(native));
                let pushed = Pushed { buckets, native, sum, total };
                let neighbour = rows.last().map(|row| row.value.layout().clone());
                let value = Histogram::new(pushed, neighbour.iter().chain(known));
                rows.push(Row { value, start, label_end, simple_labels });
            }
            // The form of a family and of its pushed series is checked before.
            _ => {
                self.labels.truncate(self.labels.len() - push.block(series).len());
                return;
            }
        }
        self.add_exemplars(self.len() - 1, push, series, meeting, now);
    }

    /// Adds the exemplars of a pushed series to those of a row.
    #[inline]
    fn add_exemplars(&mut self, at: usize, push: &Push, series: &Series, meeting: Meeting, now: Moment) {
        let pushed = push.exemplars(series).map(|(place, mut exemplar)| {
            if meeting == Meeting::Add {
                // Which is the newest must be known, and Prometheus would take it for a new one at every
                // scrape.
                exemplar.at.get_or_insert(now.nanos);
            }
            Placed { place, exemplar: Arc::new(exemplar) }
        });
        let mut pushed = pushed.peekable();
        if pushed.peek().is_none() && (meeting == Meeting::Add || self.exemplars.is_none()) {
            return;
        }
        let exemplars = self.exemplars.get_or_insert_default();
        match meeting {
            Meeting::Add => exemplars.add(at as u32, pushed.collect(), now.nanos),
            Meeting::Replace => exemplars.replace(at as u32, pushed.collect()),
        }
        if exemplars.is_empty() {
            self.exemplars = None;
        }
    }

    /// By how many bytes [`Piece::update`] with a pushed series makes its row grow.
    pub fn growth(&self, at: usize, push: &Push, series: &Series, meeting: Meeting) -> i64 {
        let values = match (&self.rows, series.value) {
            (Rows::Summaries(rows), Value::Summary { quantiles, .. }) => {
                size_of_val(push.quantiles(quantiles)) as i64 - size_of_val(&*rows[at].value.quantiles) as i64
            }
            (Rows::Histograms(rows), Value::Histogram { sum, total, buckets, native }) => {
                let (buckets, native) = (push.buckets(buckets), push.native(native));
                let histogram = &rows[at].value;
                match meeting {
                    Meeting::Add => histogram.growth(Pushed { buckets, native, sum, total }),
                    Meeting::Replace => pushed_size(buckets, native) as i64 - histogram.size() as i64,
                }
            }
            _ => 0,
        };
        if self.exemplars.is_none() && !push.has_exemplars() {
            return values;
        }
        let present = self.exemplars(at);
        let exemplars = match meeting {
            Meeting::Add => exemplar::added(present, push.exemplars(series)),
            Meeting::Replace => push.exemplars(series).count() as i64 - present.len() as i64,
        };
        values + exemplars * EXEMPLAR_BYTES as i64
    }

    /// Lets a pushed series meet the row that it belongs to. Gives by how many bytes it grows.
    #[inline]
    pub fn update(&mut self, at: usize, push: &Push, series: &Series, meeting: Meeting, now: Moment) -> i64 {
        // Numbers don't grow, but for their exemplars.
        if !self.has_growing_values() && self.exemplars.is_none() && !push.has_exemplars() {
            self.meet(at, push, series, meeting, now);
            return 0;
        }
        let before = self.growing_bytes(at);
        self.meet(at, push, series, meeting, now);
        self.growing_bytes(at) as i64 - before as i64
    }

    #[inline]
    fn meet(&mut self, at: usize, push: &Push, series: &Series, meeting: Meeting, now: Moment) {
        self.add_exemplars(at, push, series, meeting, now);
        match (&mut self.rows, series.value) {
            (Rows::Numbers(rows), Value::Number(value)) => match meeting {
                Meeting::Add => rows[at].value.add(value),
                Meeting::Replace => rows[at].value = Sum::new(value),
            },
            (Rows::Summaries(rows), Value::Summary { sum, count, quantiles }) => {
                let quantiles = push.quantiles(quantiles);
                match meeting {
                    Meeting::Add => rows[at].value.merge(sum, count, quantiles),
                    Meeting::Replace => rows[at].value = Summary::new(sum, count, quantiles),
                }
            }
            (Rows::Histograms(rows), Value::Histogram { sum, total, buckets, native }) => {
                let (buckets, native) = (push.buckets(buckets), push.native(native));
                let pushed = Pushed { buckets, native, sum, total };
                let histogram = &mut rows[at].value;
                match meeting {
                    Meeting::Add => histogram.merge(pushed),
                    Meeting::Replace => {
                        *histogram = Histogram::new(pushed, [&histogram.layout().clone()]);
                    }
                }
            }
            _ => {}
        }
    }

    /// Sets the value of a number.
    pub fn set(&mut self, at: usize, value: f64) {
        if let Rows::Numbers(rows) = &mut self.rows {
            rows[at].value = Sum::new(value);
        }
    }

    /// Gives a row another start.
    pub fn set_start(&mut self, at: usize, start: Start) {
        match &mut self.rows {
            Rows::Numbers(rows) => rows[at].start = start,
            Rows::Summaries(rows) => rows[at].start = start,
            Rows::Histograms(rows) => rows[at].start = start,
        }
    }
}

/// What [`Piece::row_bytes`] of a pushed series will be, at most.
pub fn pushed_bytes(push: &Push, series: &Series) -> usize {
    let value = match series.value {
        Value::Number(_) => 0,
        Value::Summary { quantiles, .. } => size_of_val(push.quantiles(quantiles)),
        Value::Histogram { buckets, native, .. } => pushed_size(push.buckets(buckets), push.native(native)),
    };
    ROW_BYTES + push.block(series).len() + value + push.exemplars(series).count() * EXEMPLAR_BYTES
}

/// What [`Histogram::size`] of these buckets will be.
fn pushed_size(buckets: &[Bucket], native: Option<&NativeHistogram>) -> usize {
    Histogram::size_of(buckets.len()) + native.map_or(0, NativeHistogram::size)
}

/// By how many bytes a push makes series grow at most that are there. Quickly told, from how much of everything
/// the push has.
pub fn most_growth(push: &Push) -> usize {
    let histograms = push.families().iter().filter(|family| family.kind.form() == Form::Histogram);
    let histograms = histograms.map(|family| push.series(family).len()).sum();
    Histogram::size_of_parts(histograms, push.bucket_count())
        + push.quantile_count() * size_of::<Quantile>()
        + push.native_size()
        + push.exemplar_count() * EXEMPLAR_BYTES
}

/// When a pushed series that replaces another, or none, says that it began.
pub fn told_start(push: &Push, series: &Series) -> Start {
    push.start(series).map_or(Start::UNKNOWN, Start::told)
}

impl Rows {
    fn new(form: Form) -> Rows {
        match form {
            Form::Number => Rows::Numbers(Vec::new()),
            Form::Summary => Rows::Summaries(Vec::new()),
            Form::Histogram => Rows::Histograms(Vec::new()),
        }
    }
}

#[inline]
fn block_in<'a, V>(labels: &'a str, rows: &[Row<V>], at: usize) -> &'a str {
    let start = at.checked_sub(1).map_or(0, |before| rows[before].label_end as usize);
    &labels[start..rows[at].label_end as usize]
}
