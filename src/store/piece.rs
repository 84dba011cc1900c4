//! Pieces: blocks of limited size that hold the series of a family.
//!
//! A piece is the unit of copy on write. A scrape clones shared pointers to pieces; a push that
//! changes a piece while a scrape holds it copies that piece and no more.

mod value;

use std::sync::Arc;

use crate::model::exemplar::{self, Exemplars, Placed};
use crate::model::histogram::{Histogram, Layout};
use crate::model::kind::Form;
use crate::model::labels::{has_quoted_names, simple_labels};
use crate::model::limits::MAX_BLOCK_BYTES;
use crate::model::merge::Merge;
use crate::model::push::{Push, Series, Value};
use crate::model::sum::Sum;
use crate::model::summary::{Quantile, Summary};
use crate::model::time::{Moment, Start};
use crate::store::piece::value::FormValue;

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
    labels: Box<str>,
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

impl<V> Row<V> {
    /// A row whose label block is the last in labels of this length.
    fn new(value: V, start: Start, block: &str, label_end: usize) -> Row<V> {
        Row { value, start, label_end: label_end as u32, simple_labels: simple_labels(block) }
    }
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

impl Piece {
    /// An empty piece for rows of this form.
    pub fn new(form: Form) -> Piece {
        Piece { labels: Box::default(), rows: Rows::new(form), has_quoted_names: false, exemplars: None }
    }

    /// A piece of these label blocks and rows. Every row must have its own block, and all values the
    /// same form.
    pub fn of<'a>(form: Form, rows: impl IntoIterator<Item = (&'a str, Start, OwnedValue)>) -> Piece {
        let (mut piece, mut labels) = (Piece::new(form), String::new());
        for (block, start, value) in rows {
            with_rows!(&mut piece.rows, rows => if let Some(value) = FormValue::from_owned(value) {
                labels.push_str(block);
                piece.has_quoted_names |= has_quoted_names(block);
                rows.push(Row::new(value, start, block, labels.len()));
            });
        }
        piece.labels = labels.into();
        with_rows!(&mut piece.rows, rows => rows.shrink_to_fit());
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
        self.exemplars.as_deref()
    }

    /// The exemplars of a row.
    pub fn exemplars(&self, at: usize) -> &[(u32, Placed)] {
        exemplars_of(&self.exemplars, at)
    }

    /// The same piece with these exemplars.
    pub fn with_exemplars(mut self, exemplars: Exemplars) -> Piece {
        self.exemplars = (!exemplars.is_empty()).then(|| Box::new(exemplars));
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

    /// The label block of a row.
    pub fn block(&self, at: usize) -> &str {
        with_rows!(&self.rows, rows => block_in(&self.labels, rows, at))
    }

    /// The size of a row in bytes, roughly: as the limit of the store counts it. Bucket bounds count in
    /// every series that has them, although series share those that are the same.
    pub fn row_bytes(&self, at: usize) -> u64 {
        let value = with_rows!(&self.rows, rows => rows[at].value.growing_bytes());
        (ROW_BYTES + self.block(at).len() + value + self.exemplars(at).len() * EXEMPLAR_BYTES) as u64
    }

    /// How many labels a row has, if they are simple ones; see [`simple_labels`].
    pub fn simple_labels(&self, at: usize) -> u16 {
        with_rows!(&self.rows, rows => rows[at].simple_labels)
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

    /// Adds a row for each of some pushed series. `known` are bucket layouts that they may share.
    pub fn append(
        &mut self,
        push: &Push,
        series: &[&Series],
        merge: Merge,
        now: Moment,
        known: &[Arc<Layout>],
    ) {
        // No more room than they need: most families never grow again.
        let mut labels = String::from(std::mem::take(&mut self.labels));
        labels.reserve_exact(series.iter().map(|one| push.block(one).len()).sum());
        let first = self.len();
        with_rows!(&mut self.rows, rows => append(rows, &mut labels, push, series, merge, now, known));
        self.labels = labels.into();
        for (at, one) in (first..).zip(series) {
            self.has_quoted_names |= has_quoted_names(push.block(one));
            add_exemplars(&mut self.exemplars, at, push, one, merge, now);
        }
    }

    /// By how many bytes [`Piece::update`] with a pushed series makes its row grow.
    pub fn growth(&self, at: usize, push: &Push, series: &Series, merge: Merge) -> i64 {
        let value = with_rows!(&self.rows, rows => growth(&rows[at].value, push, series, merge));
        if self.exemplars.is_none() && !push.has_exemplars() {
            return value;
        }
        let present = self.exemplars(at);
        let exemplars = match merge {
            Merge::Add => exemplar::added(present, push.exemplars(series)),
            Merge::Last => push.exemplars(series).count() as i64 - present.len() as i64,
        };
        value + exemplars * EXEMPLAR_BYTES as i64
    }

    /// Lets pushed series meet the rows that they belong to. Gives by how many bytes these grow.
    #[inline]
    pub fn update<'a>(
        &mut self,
        push: &Push,
        series: impl Iterator<Item = (usize, &'a Series)>,
        merge: Merge,
        now: Moment,
    ) -> i64 {
        let exemplars = &mut self.exemplars;
        with_rows!(&mut self.rows, rows => update(rows, exemplars, push, series, merge, now))
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
    rows: &mut Vec<Row<V>>,
    labels: &mut String,
    push: &Push,
    series: &[&Series],
    merge: Merge,
    now: Moment,
    known: &[Arc<Layout>],
) {
    rows.reserve_exact(series.len());
    for one in series {
        let Some(pushed) = V::pushed(push, one) else { continue };
        let block = push.block(one);
        let start = match merge {
            Merge::Add => Start::accepted(now.nanos),
            Merge::Last => told_start(push, one),
        };
        labels.push_str(block);
        let value = V::first(pushed, rows.last().map(|row| &row.value), known);
        rows.push(Row::new(value, start, block, labels.len()));
    }
}

/// Lets pushed series meet these rows. Gives by how many bytes they grow, with their exemplars.
#[inline]
fn update<'a, V: FormValue>(
    rows: &mut [Row<V>],
    exemplars: &mut Option<Box<Exemplars>>,
    push: &Push,
    series: impl Iterator<Item = (usize, &'a Series)>,
    merge: Merge,
    now: Moment,
) -> i64 {
    let has_exemplars = exemplars.is_some() || push.has_exemplars();
    let mut grown = 0;
    for (at, one) in series {
        let Some(pushed) = V::pushed(push, one) else { continue };
        let value = &mut rows[at].value;
        let before = value.growing_bytes();
        value.meet(pushed, merge);
        grown += value.growing_bytes() as i64 - before as i64;
        if has_exemplars {
            let before = exemplars_of(exemplars, at).len() as i64;
            add_exemplars(exemplars, at, push, one, merge, now);
            let more = exemplars_of(exemplars, at).len() as i64 - before;
            grown += more * EXEMPLAR_BYTES as i64;
        }
    }
    grown
}

fn growth<V: FormValue>(value: &V, push: &Push, series: &Series, merge: Merge) -> i64 {
    V::pushed(push, series).map_or(0, |pushed| value.growth(pushed, merge))
}

fn exemplars_of(exemplars: &Option<Box<Exemplars>>, at: usize) -> &[(u32, Placed)] {
    exemplars.as_ref().map_or(&[], |exemplars| exemplars.slice(at as u32))
}

/// Adds the exemplars of a pushed series to those of a row.
#[inline]
fn add_exemplars(
    all: &mut Option<Box<Exemplars>>,
    at: usize,
    push: &Push,
    series: &Series,
    merge: Merge,
    now: Moment,
) {
    let pushed = push.exemplars(series).map(|(place, mut exemplar)| {
        if merge == Merge::Add {
            // Which is the newest must be known, and Prometheus would take it for a new one at every
            // scrape.
            exemplar.at.get_or_insert(now.nanos);
        }
        Placed { place, exemplar: Arc::new(exemplar) }
    });
    let mut pushed = pushed.peekable();
    if pushed.peek().is_none() && (merge == Merge::Add || all.is_none()) {
        return;
    }
    let exemplars = all.get_or_insert_default();
    match merge {
        Merge::Add => exemplars.add(at as u32, pushed.collect(), now.nanos),
        Merge::Last => exemplars.replace(at as u32, pushed.collect()),
    }
    if exemplars.is_empty() {
        *all = None;
    }
}

/// What [`Piece::row_bytes`] of a pushed series will be, at most.
pub fn pushed_bytes(push: &Push, series: &Series) -> usize {
    let value = match series.value {
        Value::Number(_) => 0,
        Value::Summary { .. } => Summary::pushed(push, series).map_or(0, Summary::size_of),
        Value::Histogram { .. } => {
            Histogram::pushed(push, series).map_or(0, <Histogram as FormValue>::size_of)
        }
    };
    ROW_BYTES + push.block(series).len() + value + push.exemplars(series).count() * EXEMPLAR_BYTES
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
