//! Pieces: blocks of limited size that hold the series of a family.
//!
//! A piece is the unit of copy on write. A scrape clones shared pointers to pieces; a push that
//! changes a piece while a scrape holds it copies that piece and no more.

/// Does the same with the rows of any form.
macro_rules! with_rows {
    ($rows:expr, $name:ident => $do:expr) => {
        match $rows {
            Rows::Numbers($name) => $do,
            Rows::Summaries($name) => $do,
            Rows::Histograms($name) => $do,
        }
    };
}

mod ahead;
mod columns;
mod few;
mod holders;
mod numbers;
mod row;
mod value;
mod whole;

use std::sync::Arc;

use crate::model::exemplar::{self, Exemplars, Placed};
use crate::model::histogram::Histogram;
use crate::model::kind::Form;
use crate::model::labels::has_quoted_names;
use crate::model::limits::MAX_BLOCK_BYTES;
use crate::model::merge::Merge;
use crate::model::push::{Push, Series, Value};
use crate::model::sum::Sum;
use crate::model::summary::{Quantile, Summary};
use crate::model::time::{Moment, Start};
use crate::store::piece::columns::Columns;
use crate::store::piece::few::List;
use crate::store::piece::row::span;
use crate::store::piece::value::FormValue;
use crate::store::shareable::Shareable;

pub use few::Few;
pub use numbers::Numbers;
pub use row::Row;

/// How many series a piece holds at most. Every piece of a family but the last is full.
pub const PIECE_ROWS: usize = 32;

// Where labels end in a piece is told in 32 bits.
const _: () = assert!(PIECE_ROWS as u64 * MAX_BLOCK_BYTES as u64 <= u32::MAX as u64);

// Very many families have one series. With the counts of its `Arc`, the piece of such a family takes 80 bytes and its
// labels.
const _: () = assert!(size_of::<Piece>() <= 64);

/// What a row takes beside its labels and what can grow, in bytes.
const ROW_BYTES: usize = 64;

/// What an exemplar takes, in bytes.
const EXEMPLAR_BYTES: usize = 256;

/// Some series of one family of one group, in the order in which they arrived.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The label blocks of all rows, one after the other. Pieces of other families may share them.
    labels: Arc<str>,
    rows: Rows,
    /// Whether any label name needs quotes.
    has_quoted_names: bool,
    /// Most pieces have none.
    columns: Columns,
}

/// A pushed series that is new to its family, and the label block that it has there.
#[derive(Clone, Copy, Debug)]
pub struct Fresh<'a> {
    /// The label block.
    pub block: &'a str,
    /// The series.
    pub series: &'a Series,
}

/// The rows of a piece: one list of the form that the family has.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Counters, gauges and untyped values.
    Numbers(Few<Row<Sum>>),
    /// Summaries.
    Summaries(Vec<Row<Summary>>),
    /// Histograms.
    Histograms(Vec<Row<Histogram>>),
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

/// What a scrape shows of a row beside its labels and exemplars.
#[derive(Clone, Copy, Debug)]
pub struct ShownRow<'a> {
    /// The value.
    pub value: RowValue<'a>,
    /// When the series began.
    pub start: Start,
    /// How many labels the row has, if they are simple ones and not very many; see
    /// [`simple_labels`](crate::model::labels::simple_labels). Zero if not.
    pub simple_labels: u16,
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
    /// Merges in the state of another series of the same type, whose latest push is newer.
    pub fn merge(&mut self, later: &OwnedValue, merge: Merge) {
        if merge.replaces() {
            *self = later.clone();
            return;
        }
        match (self, later) {
            (OwnedValue::Number(sum), OwnedValue::Number(later)) if merge != Merge::Add => {
                sum.merge_pushed(later.value(), merge);
            }
            (OwnedValue::Number(sum), OwnedValue::Number(later)) => sum.merge(*later),
            (OwnedValue::Summary(summary), OwnedValue::Summary(later)) => summary.merge_state(later),
            (OwnedValue::Histogram(histogram), OwnedValue::Histogram(later)) => histogram.merge_state(later),
            // The values of a family have one form.
            _ => {}
        }
    }
}

impl Piece {
    /// An empty piece for rows of this form.
    pub fn new(form: Form) -> Piece {
        Piece {
            labels: Arc::default(),
            rows: Rows::new(form),
            has_quoted_names: false,
            columns: Columns::default(),
        }
    }

    /// A piece of these label blocks and rows. Every row must have its own block, and all values the
    /// same form.
    pub fn of<'a>(form: Form, rows: impl IntoIterator<Item = (&'a str, Start, OwnedValue)>) -> Piece {
        let (mut piece, mut labels) = (Piece::new(form), String::new());
        for (block, start, value) in rows {
            with_rows!(&mut piece.rows, rows => if let Some(value) = FormValue::from_owned(value) {
                labels.push_str(block);
                piece.has_quoted_names |= has_quoted_names(block);
                rows.add(Row::new(value, start, block, labels.len()));
            });
        }
        piece.labels = labels.into();
        with_rows!(&mut piece.rows, rows => rows.shrink());
        piece
    }

    /// The rows.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// When the series of a row began.
    pub fn start(&self, at: usize) -> Start {
        with_rows!(&self.rows, rows => rows[at].start)
    }

    /// The exemplars of all rows, by row.
    pub fn all_exemplars(&self) -> Option<&Exemplars> {
        self.columns.exemplars()
    }

    /// The exemplars of a row.
    pub fn exemplars(&self, at: usize) -> &[(u32, Placed)] {
        self.columns.exemplars_of(at)
    }

    /// The same piece with these exemplars.
    pub fn with_exemplars(mut self, exemplars: Exemplars) -> Piece {
        self.columns.set_exemplars(exemplars);
        self
    }

    /// When each series was pushed last, in nanoseconds since the epoch; empty where that is not known.
    pub fn pushed(&self) -> &[i64] {
        self.columns.pushed()
    }

    /// The same piece with these times of the last pushes: of all series, or none.
    pub fn with_pushed(mut self, pushed: Vec<i64>) -> Piece {
        self.columns.set_pushed(pushed);
        self
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        with_rows!(&self.rows, rows => rows.len())
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

    /// As [`Piece::blocks`], to be shared with other pieces.
    pub fn shared_blocks(&self) -> &Arc<str> {
        &self.labels
    }

    /// The label block of a row.
    #[inline]
    pub fn block(&self, at: usize) -> &str {
        with_rows!(&self.rows, rows => block_in(&self.labels, rows, at))
    }

    /// The size of a row in bytes, roughly: as the limit of the store counts it. Bucket bounds count in
    /// every series that has them, although series share those that are the same.
    pub fn row_bytes(&self, at: usize) -> u64 {
        let value = with_rows!(&self.rows, rows => rows[at].value.growing_bytes());
        (ROW_BYTES + self.block(at).len() + value + self.exemplars(at).len() * EXEMPLAR_BYTES) as u64
    }

    /// What a scrape shows of a row beside its labels and exemplars, looked up once.
    #[inline]
    pub fn shown(&self, at: usize) -> ShownRow<'_> {
        with_rows!(&self.rows, rows => {
            let row = &rows[at];
            ShownRow { value: row.value.seen(), start: row.start, simple_labels: row.simple_labels() }
        })
    }

    /// The value of a row.
    #[inline]
    pub fn value(&self, at: usize) -> RowValue<'_> {
        with_rows!(&self.rows, rows => rows[at].value.seen())
    }

    /// The value of a row, with all that there is to it.
    pub fn owned(&self, at: usize) -> OwnedValue {
        with_rows!(&self.rows, rows => rows[at].value.owned())
    }

    /// Shares the label text with other pieces that have the same.
    pub fn share_labels(&mut self, known: &mut Shareable) {
        self.labels = known.labels(&self.labels);
    }

    /// Adds a row for each of some pushed series. `known` is what they may share. With `since`, the last push of each
    /// series is noted; the existing ones were not pushed after that, as far as is known.
    #[allow(clippy::too_many_arguments, reason = "one caller, and each argument is a different thing")]
    pub fn append(
        &mut self,
        push: &Push,
        series: &[Fresh<'_>],
        merge: Merge,
        now: Moment,
        known: &mut Shareable,
        since: Option<i64>,
    ) {
        let first = self.len();
        let labels = &mut self.labels;
        with_rows!(&mut self.rows, rows => append(rows, labels, push, series, merge, now, known));
        for (at, one) in (first..).zip(series) {
            self.has_quoted_names |= has_quoted_names(one.block);
            self.columns.merge_pushed(at, push, one.series, merge, now);
        }
        if let Some(since) = since {
            let rows = self.len();
            (first..rows).for_each(|at| self.columns.note_push(at, rows, since, now.nanos));
        }
    }

    /// By how many bytes [`Piece::update`] with a pushed series makes its row grow.
    pub fn growth(&self, at: usize, push: &Push, series: &Series, merge: Merge) -> i64 {
        let value = with_rows!(&self.rows, rows => growth(&rows[at].value, push, series, merge));
        if self.all_exemplars().is_none() && !push.has_exemplars() {
            return value;
        }
        let present = self.exemplars(at);
        let exemplars = match merge {
            Merge::Add => exemplar::added(present, push.exemplars(series)),
            _ => push.exemplars(series).count() as i64 - present.len() as i64,
        };
        value + exemplars * EXEMPLAR_BYTES as i64
    }

    /// Merges pushed series into the rows that they belong to. Gives by how many bytes these grow. `since` as in
    /// [`Piece::append`].
    #[inline]
    pub fn update<'a>(
        &mut self,
        push: &Push,
        series: impl Iterator<Item = (usize, &'a Series)>,
        merge: Merge,
        now: Moment,
        since: Option<i64>,
    ) -> i64 {
        let columns = &mut self.columns;
        if since.is_none() && !columns.is_empty() {
            columns.set_pushed(Vec::new());
        }
        with_rows!(&mut self.rows, rows => update(rows, columns, push, series, merge, now, since))
    }

    /// Sets the value of a number.
    pub fn set(&mut self, at: usize, value: f64) {
        if let Rows::Numbers(rows) = &mut self.rows {
            rows[at].value = Sum::new(value);
        }
    }

    /// Sets when the series of a row began.
    pub fn set_start(&mut self, at: usize, start: Start) {
        with_rows!(&mut self.rows, rows => rows[at].start = start);
    }
}

/// Adds a row for each of some pushed series, whose form was checked before.
fn append<V: FormValue>(
    rows: &mut impl List<Row<V>>,
    labels: &mut Arc<str>,
    push: &Push,
    series: &[Fresh<'_>],
    merge: Merge,
    now: Moment,
    known: &mut Shareable,
) {
    let mut end = labels.len();
    let series = || series.iter().filter_map(|one| Some((*one, V::pushed(push, one.series)?)));
    *labels = known.extended(labels, series().map(|(one, _)| one.block));
    // No more room than they need: most families never grow again.
    rows.reserve(series().count());
    for (Fresh { block, series: one }, pushed) in series() {
        let start = match merge {
            Merge::Add => Start::accepted(now.nanos),
            _ => told_start(push, one),
        };
        end += block.len();
        let value = V::first(pushed, rows.last().map(|row| &row.value), &known.layouts);
        rows.add(Row::new(value, start, block, end));
    }
}

/// Merges pushed series into these rows. Gives by how many bytes they grow, with their exemplars.
#[inline]
fn update<'a, V: FormValue>(
    rows: &mut [Row<V>],
    columns: &mut Columns,
    push: &Push,
    series: impl Iterator<Item = (usize, &'a Series)>,
    merge: Merge,
    now: Moment,
    since: Option<i64>,
) -> i64 {
    let has_columns = !columns.is_empty() || push.has_exemplars() || since.is_some();
    let (count, mut grown) = (rows.len(), 0);
    for (at, one) in series {
        let Some(pushed) = V::pushed(push, one) else { continue };
        let value = &mut rows[at].value;
        let before = value.growing_bytes();
        value.merge_pushed(pushed, merge);
        grown += value.growing_bytes() as i64 - before as i64;
        if has_columns {
            let before = columns.exemplars_of(at).len() as i64;
            columns.merge_pushed(at, push, one, merge, now);
            let more = columns.exemplars_of(at).len() as i64 - before;
            grown += more * EXEMPLAR_BYTES as i64;
            if let Some(since) = since {
                columns.note_push(at, count, since, now.nanos);
            }
        }
    }
    grown
}

fn growth<V: FormValue>(value: &V, push: &Push, series: &Series, merge: Merge) -> i64 {
    V::pushed(push, series).map_or(0, |pushed| value.growth(pushed, merge))
}

/// What [`Piece::row_bytes`] of a pushed series will be, at most.
pub fn pushed_bytes(push: &Push, series: &Series) -> usize {
    plain_bytes(push.block(series)) + growing_bytes(push, series)
}

/// What a series with this label block takes before anything of it grows, in bytes.
pub fn plain_bytes(block: &str) -> usize {
    ROW_BYTES + block.len()
}

/// The size of what can grow in a pushed series, in bytes. Its row grows by no more than this.
pub fn growing_bytes(push: &Push, series: &Series) -> usize {
    let value = match series.value {
        Value::Number(_) => 0,
        Value::Summary { .. } => Summary::pushed(push, series).map_or(0, Summary::size_of),
        Value::Histogram { .. } => {
            Histogram::pushed(push, series).map_or(0, <Histogram as FormValue>::size_of)
        }
    };
    value + push.exemplars(series).count() * EXEMPLAR_BYTES
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
            Form::Number => Rows::Numbers(Few::default()),
            Form::Summary => Rows::Summaries(Vec::new()),
            Form::Histogram => Rows::Histograms(Vec::new()),
        }
    }
}

#[inline]
fn block_in<'a, V>(labels: &'a str, rows: &[Row<V>], at: usize) -> &'a str {
    &labels[span(rows, at)]
}
