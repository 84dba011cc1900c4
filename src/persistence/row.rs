//! The rows of the file, in the format of `postcard`. Everything here is part of the file format: a
//! change of any of these types is a new [`super::file::FORMAT`].

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::ser::{Serialize, SerializeTuple, Serializer};
use serde::{Deserialize, Serialize as DeriveSerialize};

use crate::model::count::Count;
use crate::model::histogram::{Counts, Histogram, Layout, NativePart, Part};
use crate::model::kind::Form;
use crate::model::native_histogram::{NativeHistogram, Parts, Populations, Sparse};
use crate::model::sum::Sum;
use crate::model::summary::{Quantile, Summary};
use crate::store::piece::{OwnedValue, Piece, Rows};

/// The grouping labels of a group, sorted by name.
#[derive(Debug, DeriveSerialize, Deserialize)]
pub(super) struct GroupRow<'a> {
    #[serde(borrow)]
    pub(super) labels: Vec<(&'a str, &'a str)>,
}

/// The times of a group, in nanoseconds since the epoch.
#[derive(Debug, DeriveSerialize, Deserialize)]
pub(super) struct TimesRow {
    pub(super) created_at: i64,
    pub(super) pushed_at: i64,
    pub(super) failed_at: i64,
}

/// The name and help text of a family.
#[derive(Debug, DeriveSerialize, Deserialize)]
pub(super) struct FamilyRow<'a> {
    pub(super) name: &'a str,
    pub(super) help: Option<&'a str>,
}

/// The label blocks of a piece, with the start times of the series in milliseconds since the epoch.
#[derive(Debug, Deserialize)]
pub(super) struct LabelsRow<'a> {
    #[serde(borrow)]
    series: Vec<(&'a str, i64)>,
}

/// The values of a piece.
#[derive(Debug, Deserialize)]
pub(super) struct ValuesRow {
    /// The push time of the family, in nanoseconds since the epoch. Only that in the row of its first
    /// piece counts.
    pub(super) pushed_at: i64,
    values: Values,
}

/// What [`ValuesRef`] writes. The variants must stay in this order.
#[derive(Debug, Deserialize)]
enum Values {
    Nothing,
    /// Each the two halves of a sum.
    Numbers(Vec<(f64, f64)>),
    Summaries(Vec<SummaryRow>),
    Histograms(Vec<Box<[f64]>>, Vec<HistogramRow<CountsRow>>),
}

#[derive(Debug, DeriveSerialize, Deserialize)]
struct SummaryRow {
    sum: (f64, f64),
    count: CountRow,
    quantiles: Vec<(f64, f64)>,
}

#[derive(Debug, DeriveSerialize, Deserialize)]
struct HistogramRow<C> {
    sum: (f64, f64),
    parts: Vec<PartRow<C>>,
    native: Option<NativeRow>,
}

#[derive(Debug, DeriveSerialize, Deserialize)]
struct NativeRow {
    is_alone: bool,
    schema: i32,
    zero_threshold: f64,
    thresholds_differ: bool,
    absorbed: Option<i32>,
    populations: PopulationsRow,
}

#[derive(Debug, DeriveSerialize, Deserialize)]
enum PopulationsRow {
    Int(SparseRow<u64>),
    Float(SparseRow<f64>),
}

/// The zero bucket, and the populated buckets of both sides by index.
#[derive(Debug, DeriveSerialize, Deserialize)]
struct SparseRow<N> {
    zero: N,
    positive: Vec<(i32, N)>,
    negative: Vec<(i32, N)>,
}

#[derive(Debug, DeriveSerialize, Deserialize)]
struct PartRow<C> {
    /// The position of the bounds in the row.
    layout: u32,
    counts: C,
    total: CountRow,
}

#[derive(Debug, DeriveSerialize, Deserialize)]
enum CountRow {
    Int(u64),
    Float(f64),
}

#[derive(Debug, Deserialize)]
enum CountsRow {
    Int(Box<[u64]>),
    Float(Box<[f64]>),
}

/// Writes a [`CountsRow`].
#[derive(DeriveSerialize)]
enum CountsRef<'a> {
    Int(&'a [u64]),
    Float(&'a [f64]),
}

/// A remembered idempotency key.
#[derive(Debug, DeriveSerialize, Deserialize)]
pub(super) struct KeyRow {
    pub(super) id: u128,
    pub(super) fingerprint: u128,
    pub(super) at: i64,
}

/// Writes a [`LabelsRow`].
pub(super) struct LabelsRef<'a>(pub(super) &'a Piece);

impl Serialize for LabelsRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let piece = self.0;
        serializer.collect_seq((0..piece.len()).map(|at| (piece.block(at), piece.start_ms(at))))
    }
}

/// Writes a [`ValuesRow`].
pub(super) struct ValuesRef<'a> {
    pub(super) pushed_at: i64,
    pub(super) piece: Option<&'a Piece>,
}

impl Serialize for ValuesRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_tuple(2)?;
        row.serialize_element(&self.pushed_at)?;
        row.serialize_element(&RowsRef(self.piece.map(Piece::rows)))?;
        row.end()
    }
}

struct RowsRef<'a>(Option<&'a Rows>);

const VALUES: &str = "Values";

impl Serialize for RowsRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_unit_variant(VALUES, 0, "Nothing"),
            Some(Rows::Numbers(rows)) => {
                let rows = Seq(rows.iter().map(|row| row.value.parts()));
                serializer.serialize_newtype_variant(VALUES, 1, "Numbers", &rows)
            }
            Some(Rows::Summaries(rows)) => {
                let rows = Seq(rows.iter().map(|row| summary_row(&row.value)));
                serializer.serialize_newtype_variant(VALUES, 2, "Summaries", &rows)
            }
            Some(Rows::Histograms(rows)) => {
                let mut layouts: Vec<&Arc<Layout>> = Vec::new();
                let rows: Vec<HistogramRow<CountsRef<'_>>> =
                    rows.iter().map(|row| histogram_row(&row.value, &mut layouts)).collect();
                let bounds: Vec<&[f64]> = layouts.iter().map(|layout| layout.bounds()).collect();
                use serde::ser::SerializeTupleVariant;
                let mut variant = serializer.serialize_tuple_variant(VALUES, 3, "Histograms", 2)?;
                variant.serialize_field(&bounds)?;
                variant.serialize_field(&rows)?;
                variant.end()
            }
        }
    }
}

/// A sequence of what an iterator gives.
struct Seq<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Seq<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

fn count_row(count: Count) -> CountRow {
    match count {
        Count::Int(n) => CountRow::Int(n),
        Count::Float(x) => CountRow::Float(x),
    }
}

fn count(row: &CountRow) -> Count {
    match *row {
        CountRow::Int(n) => Count::Int(n),
        CountRow::Float(x) => Count::Float(x),
    }
}

fn summary_row(summary: &Summary) -> SummaryRow {
    SummaryRow {
        sum: summary.sum.parts(),
        count: count_row(summary.count),
        quantiles: summary.quantiles.iter().map(|q| (q.quantile, q.value)).collect(),
    }
}

fn summary(row: SummaryRow) -> Summary {
    let quantile = |(quantile, value): (f64, f64)| Quantile { quantile, value };
    Summary {
        sum: Sum::from_parts(row.sum),
        count: count(&row.count),
        quantiles: row.quantiles.into_iter().map(quantile).collect(),
    }
}

fn histogram_row<'a>(
    histogram: &'a Histogram,
    layouts: &mut Vec<&'a Arc<Layout>>,
) -> HistogramRow<CountsRef<'a>> {
    let part = |part: &'a Part| {
        let known = layouts.iter().position(|layout| Arc::ptr_eq(layout, &part.layout));
        let layout = known.unwrap_or_else(|| {
            layouts.push(&part.layout);
            layouts.len() - 1
        });
        let counts = match &part.counts {
            Counts::Int(counts) => CountsRef::Int(counts),
            Counts::Float(counts) => CountsRef::Float(counts),
        };
        PartRow { layout: layout as u32, counts, total: count_row(part.total) }
    };
    HistogramRow {
        sum: histogram.sum.parts(),
        parts: histogram.parts().map(part).collect(),
        native: histogram.native_part().map(native_row),
    }
}

fn native_row(native: &NativePart) -> NativeRow {
    let Parts { schema, zero_threshold, thresholds_differ, absorbed, populations } = native.histogram.parts();
    let populations = match populations {
        Populations::Int(Sparse { zero, positive, negative }) => {
            PopulationsRow::Int(SparseRow { zero, positive, negative })
        }
        Populations::Float(Sparse { zero, positive, negative }) => {
            PopulationsRow::Float(SparseRow { zero, positive, negative })
        }
    };
    NativeRow { is_alone: native.is_alone, schema, zero_threshold, thresholds_differ, absorbed, populations }
}

fn native_part(row: NativeRow) -> Option<NativePart> {
    let NativeRow { is_alone, schema, zero_threshold, thresholds_differ, absorbed, populations } = row;
    let populations = match populations {
        PopulationsRow::Int(SparseRow { zero, positive, negative }) => {
            Populations::Int(Sparse { zero, positive, negative })
        }
        PopulationsRow::Float(SparseRow { zero, positive, negative }) => {
            Populations::Float(Sparse { zero, positive, negative })
        }
    };
    let parts = Parts { schema, zero_threshold, thresholds_differ, absorbed, populations };
    Some(NativePart { histogram: NativeHistogram::from_parts(parts)?, is_alone })
}

fn histogram(row: HistogramRow<CountsRow>, layouts: &[Arc<Layout>]) -> Option<Histogram> {
    let part = |row: PartRow<CountsRow>| {
        let layout = layouts.get(row.layout as usize)?.clone();
        let (len, counts) = match row.counts {
            CountsRow::Int(counts) => (counts.len(), Counts::Int(counts)),
            CountsRow::Float(counts) => (counts.len(), Counts::Float(counts)),
        };
        (len == layout.bounds().len()).then_some(Part { layout, counts, total: count(&row.total) })
    };
    let parts: Option<Vec<Part>> = row.parts.into_iter().map(part).collect();
    let native = match row.native {
        Some(row) => Some(native_part(row)?),
        None => None,
    };
    Some(Histogram::from_parts(parts?, Sum::from_parts(row.sum))?.with_native_part(native))
}

/// The bucket layouts that were read so far, so that series share them again.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    by_bounds: HashMap<Box<[u64]>, Arc<Layout>, RandomState>,
}

impl Layouts {
    fn shared(&mut self, bounds: &[f64]) -> Arc<Layout> {
        let bits: Box<[u64]> = bounds.iter().map(|bound| bound.to_bits()).collect();
        self.by_bounds.entry(bits).or_insert_with(|| Arc::new(Layout::of(bounds))).clone()
    }
}

/// The piece that two rows describe; none where they contradict each other or themselves.
pub(super) fn piece(labels: LabelsRow<'_>, values: ValuesRow, layouts: &mut Layouts) -> Option<Piece> {
    let series = labels.series;
    match values.values {
        Values::Nothing => None,
        Values::Numbers(values) => {
            let values = values.into_iter().map(|parts| OwnedValue::Number(Sum::from_parts(parts)));
            joined(Form::Number, &series, values)
        }
        Values::Summaries(values) => {
            let values = values.into_iter().map(|row| OwnedValue::Summary(summary(row)));
            joined(Form::Summary, &series, values)
        }
        Values::Histograms(bounds, values) => {
            let layouts: Vec<Arc<Layout>> = bounds.iter().map(|bounds| layouts.shared(bounds)).collect();
            let values: Option<Vec<OwnedValue>> =
                values.into_iter().map(|row| histogram(row, &layouts).map(OwnedValue::Histogram)).collect();
            joined(Form::Histogram, &series, values?.into_iter())
        }
    }
}

fn joined(
    form: Form,
    series: &[(&str, i64)],
    values: impl ExactSizeIterator<Item = OwnedValue>,
) -> Option<Piece> {
    if series.len() != values.len() || series.is_empty() {
        return None;
    }
    Some(Piece::of(form, series.iter().zip(values).map(|((block, start), value)| (*block, *start, value))))
}
