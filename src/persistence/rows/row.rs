//! The rows of the file, in the `postcard` format. All types here are part of the file format. A change to one of
//! them needs a new [`super::file::FORMAT`].
//!
//! What only some groups and families have stands at the end of a row. A row without it ends before, so most rows are as
//! in format 2. Each row has one such end, and whoever reads it knows by the number of bytes whether it is there:
//!
//! * Group, names: the labels. Of a source then: what tells it apart.
//! * Group, values: times, values of a small group, pushes. Then, if there is any of it: the TTL of the group or source,
//!   and for families of a small group the TTL and push times of their series ([`GroupTermsRow`]).
//! * Family, names: name, help text, unit. Under a rule, and of a source, then: the number of the rule's merge (0: none),
//!   and of a source the type.
//! * Piece, names: labels and start times.
//! * Piece, values: push time of the family, values, exemplars. Then, if its series have a TTL: that, and their push
//!   times ([`LastingRow`]).
//!
//! The first files have no number of pushes.

mod lasting;
mod merges;
mod read;

use std::sync::Arc;

use serde::ser::{Serialize, SerializeTuple, SerializeTupleVariant, Serializer};
use serde::{Deserialize, Serialize as DeriveSerialize};
use smallvec::SmallVec;

use crate::model::count::RunningCount;
use crate::model::exemplar::{Exemplar, Exemplars, Place, Placed};
use crate::model::histogram::{Counts, Histogram, Layout, NativePart, Part};
use crate::model::kind::Form;
use crate::model::merge::Merge;
use crate::model::native_histogram::{NativeHistogram, Parts, Populations, Sparse};
use crate::model::sum::Sum;
use crate::model::summary::{Quantile, Summary};
use crate::model::time::Start;
use crate::store::family::{Family, Lasting};
use crate::store::piece::{OwnedValue, Piece, Rows};
use crate::store::times::Times;

use lasting::{GroupTermsRow, LastingRow};
use merges::RULES;

pub(super) use merges::rule_number;
pub(super) use read::{Labels, Layouts, piece};

/// The grouping labels of a group, sorted by name.
#[derive(Debug, DeriveSerialize, Deserialize)]
pub(super) struct GroupRow<'a> {
    #[serde(borrow)]
    pub(super) labels: Vec<(&'a str, &'a str)>,
}

impl<'a> GroupRow<'a> {
    /// The labels of a group, and what tells it apart if it is a source.
    pub(super) fn read(bytes: &'a [u8]) -> postcard::Result<(GroupRow<'a>, Option<&'a str>)> {
        let (row, rest) = postcard::take_from_bytes(bytes)?;
        let source = if rest.is_empty() { None } else { Some(postcard::from_bytes(rest)?) };
        Ok((row, source))
    }
}

/// The times of a group in nanoseconds since the epoch, all values of a small group, and the number of accepted
/// pushes. Read it with [`GroupValuesRow::read`].
#[derive(Debug)]
pub(super) struct GroupValuesRow {
    pub(super) times: Times,
    /// How long the group stays when nobody pushes to it, in nanoseconds.
    pub(super) ttl: Option<i64>,
    /// By family number, ascending. `None` if the values have rows of their own.
    pub(super) small: Option<Vec<(u32, ValuesRow)>>,
}

impl GroupValuesRow {
    /// Reads a row of [`GroupValuesRef`]. The first files have no number of pushes at the end.
    pub(super) fn read(bytes: &[u8]) -> postcard::Result<GroupValuesRow> {
        type Small = Option<Vec<(u32, ValuesRow)>>;
        let ((created_at, pushed_at, failed_at, small), rest): ((i64, i64, i64, Small), &[u8]) =
            postcard::take_from_bytes(bytes)?;
        let (pushes, rest) = if rest.is_empty() { (0, rest) } else { postcard::take_from_bytes(rest)? };
        let terms = if rest.is_empty() { GroupTermsRow::default() } else { postcard::from_bytes(rest)? };
        let mut small = small;
        for (number, lasting) in terms.families {
            let family = small.iter_mut().flatten().find(|(other, _)| *other == number);
            if let Some((_, values)) = family {
                values.lasting = Some(lasting);
            }
        }
        let times = Times { created_at, pushed_at, failed_at, pushes };
        Ok(GroupValuesRow { times, ttl: terms.ttl, small })
    }
}

/// The name, help text and unit of a family.
#[derive(Debug, DeriveSerialize, Deserialize)]
pub(super) struct FamilyRow<'a> {
    pub(super) name: &'a str,
    pub(super) help: Option<&'a str>,
    pub(super) unit: Option<&'a str>,
}

/// What only some families have in their rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FamilyTerms {
    /// How values are merged where a rule says so.
    pub(super) rule: Option<Merge>,
    /// The number of the type that the family of a source has.
    pub(super) kind: Option<u8>,
}

impl<'a> FamilyRow<'a> {
    /// Reads a row. What most families do not have is not there in the rows of these.
    pub(super) fn read(bytes: &'a [u8]) -> postcard::Result<(FamilyRow<'a>, FamilyTerms)> {
        let (row, rest) = postcard::take_from_bytes(bytes)?;
        if rest.is_empty() {
            return Ok((row, FamilyTerms::default()));
        }
        let (rule, kind): (u8, Option<u8>) = postcard::from_bytes(rest)?;
        let known = RULES.get(usize::from(rule).wrapping_sub(1)).copied();
        if rule != 0 && known.is_none() {
            return Err(postcard::Error::DeserializeBadEnum);
        }
        Ok((row, FamilyTerms { rule: known, kind }))
    }
}

/// The label blocks and start times of a piece, each as the difference to the one before, because the series of a
/// piece have nearly all of their labels in common.
#[derive(Debug, Deserialize)]
pub(super) struct LabelsRow<'a> {
    #[serde(borrow)]
    series: Vec<SeriesRow<'a>>,
}

#[derive(Debug, DeriveSerialize, Deserialize)]
struct SeriesRow<'a> {
    /// How many bytes at the start are the same as in the block before.
    prefix: u32,
    /// How many bytes at the end are the same.
    suffix: u32,
    /// The text between.
    middle: &'a str,
    /// The code of the start time, minus that of the one before.
    start: i64,
}

/// The values of a piece.
#[derive(Debug, Deserialize)]
pub(super) struct ValuesRow {
    /// The push time of the family, in nanoseconds since the epoch. Only the row of the first piece counts.
    pub(super) pushed_at: i64,
    values: Values,
    exemplars: Vec<ExemplarRow<Box<str>>>,
    /// Behind the others, where series have a TTL and the values lie in a row of their own.
    #[serde(skip)]
    lasting: Option<LastingRow>,
}

impl ValuesRow {
    /// Reads what [`OwnValuesRef`] writes.
    pub(super) fn read(bytes: &[u8]) -> postcard::Result<ValuesRow> {
        let (row, rest): (ValuesRow, &[u8]) = postcard::take_from_bytes(bytes)?;
        let lasting = if rest.is_empty() { None } else { Some(postcard::from_bytes(rest)?) };
        Ok(ValuesRow { lasting, ..row })
    }

    /// How long the series of the family stay; only in the row of its first piece.
    pub(super) fn lasting(&self) -> Option<Lasting> {
        let (ttl, since) = self.lasting.as_ref()?.family?;
        Some(Lasting { ttl, since })
    }
}

#[derive(Debug, DeriveSerialize, Deserialize)]
struct ExemplarRow<B> {
    /// The position of the series in the piece.
    series: u32,
    place: PlaceRow,
    block: B,
    value: f64,
    at: Option<i64>,
}

#[derive(Debug, DeriveSerialize, Deserialize)]
enum PlaceRow {
    Value,
    Bucket(f64),
    Native,
}

/// The form of [`ValuesRef`] for reading. The variants must stay in this order.
#[derive(Debug, Deserialize)]
enum Values {
    Nothing,
    /// The rounded sums, and the rounding errors that are not zero, by position.
    Numbers(Vec<f64>, Vec<(u32, f64)>),
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
    /// As in format 1.
    Float(f64),
    Sum(f64, f64),
}

#[derive(Debug, Deserialize)]
enum CountsRow {
    Int(Box<[u64]>),
    /// As in format 1.
    Float(Box<[f64]>),
    Sum(Box<[(f64, f64)]>),
}

/// Writes a [`CountsRow`].
#[derive(DeriveSerialize)]
enum CountsRef<'a> {
    Int(&'a [u64]),
    #[allow(dead_code, reason = "keeps the place of the variant of format 1")]
    Float(&'a [f64]),
    Sum(Vec<(f64, f64)>),
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
        serializer.collect_seq((0..piece.len()).map(|at| {
            let (before, start_before) = match at.checked_sub(1) {
                Some(before) => (piece.block(before), piece.start(before).code()),
                None => ("", 0),
            };
            let block = piece.block(at);
            let (prefix, suffix) = common(before, block);
            SeriesRow {
                prefix: prefix as u32,
                suffix: suffix as u32,
                middle: &block[prefix..block.len() - suffix],
                start: piece.start(at).code().wrapping_sub(start_before),
            }
        }))
    }
}

/// The lengths of the common prefix, and of the common suffix of the rest.
fn common(before: &str, block: &str) -> (usize, usize) {
    let same = |(a, b): &(u8, u8)| a == b;
    let mut prefix = before.bytes().zip(block.bytes()).take_while(same).count();
    while !block.is_char_boundary(prefix) {
        prefix -= 1;
    }
    let (before, block) = (&before[prefix..], &block[prefix..]);
    let mut suffix = before.bytes().rev().zip(block.bytes().rev()).take_while(same).count();
    while !block.is_char_boundary(block.len() - suffix) {
        suffix -= 1;
    }
    (prefix, suffix)
}

/// Writes a [`ValuesRow`].
pub(super) struct ValuesRef<'a> {
    pub(super) pushed_at: i64,
    pub(super) piece: Option<&'a Piece>,
}

impl Serialize for ValuesRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let exemplars = self.piece.and_then(Piece::all_exemplars);
        let exemplars = exemplars.into_iter().flat_map(Exemplars::iter).map(exemplar_row);
        let mut row = serializer.serialize_tuple(3)?;
        row.serialize_element(&self.pushed_at)?;
        row.serialize_element(&RowsRef(self.piece.map(Piece::rows)))?;
        row.serialize_element(&exemplars.collect::<Vec<_>>())?;
        row.end()
    }
}

/// Writes a [`ValuesRow`] that is a row of its own: that of a piece of a family.
pub(super) struct OwnValuesRef<'a> {
    pub(super) family: &'a Family,
    pub(super) number: usize,
}

impl Serialize for OwnValuesRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { family, number } = *self;
        let piece = family.pieces().get(number).map(|piece| &**piece);
        let row = ValuesRef { pushed_at: family.pushed_at, piece };
        match LastingRow::of(family, number) {
            Some(lasting) => (row, lasting).serialize(serializer),
            None => row.serialize(serializer),
        }
    }
}

/// Writes a [`GroupValuesRow`].
pub(super) struct GroupValuesRef<'a> {
    pub(super) times: Times,
    pub(super) ttl: Option<i64>,
    pub(super) small: Option<&'a [Arc<Family>]>,
}

impl Serialize for GroupValuesRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut families: SmallVec<[&Family; 16]> =
            self.small.into_iter().flatten().map(|family| &**family).collect();
        families.sort_unstable_by_key(|family| family.number);
        let values = families.iter().map(|family| {
            let piece = family.pieces().first().map(|piece| &**piece);
            (family.number, ValuesRef { pushed_at: family.pushed_at, piece })
        });
        let lasting = families.iter().filter_map(|family| Some((family.number, LastingRow::of(family, 0)?)));
        let terms = GroupTermsRow { ttl: self.ttl, families: lasting.collect() };
        let has_terms = terms.ttl.is_some() || !terms.families.is_empty();
        let mut row = serializer.serialize_tuple(5 + usize::from(has_terms))?;
        row.serialize_element(&self.times.created_at)?;
        row.serialize_element(&self.times.pushed_at)?;
        row.serialize_element(&self.times.failed_at)?;
        row.serialize_element(&self.small.map(|_| Seq(values)))?;
        row.serialize_element(&self.times.pushes)?;
        if has_terms {
            row.serialize_element(&terms)?;
        }
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
                let parts = rows.iter().map(|row| row.value.parts());
                let rest = parts.clone().enumerate().filter(|(_, (_, low))| low.to_bits() != 0);
                let rest: Vec<(u32, f64)> = rest.map(|(at, (_, low))| (at as u32, low)).collect();
                let mut variant = serializer.serialize_tuple_variant(VALUES, 1, "Numbers", 2)?;
                variant.serialize_field(&Seq(parts.map(|(high, _)| high)))?;
                variant.serialize_field(&rest)?;
                variant.end()
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
                let mut variant = serializer.serialize_tuple_variant(VALUES, 3, "Histograms", 2)?;
                variant.serialize_field(&bounds)?;
                variant.serialize_field(&rows)?;
                variant.end()
            }
        }
    }
}

/// Serializes an iterator as a sequence.
struct Seq<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Seq<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

fn exemplar_row((series, placed): (u32, &Placed)) -> ExemplarRow<&str> {
    let place = match placed.place {
        Place::Value => PlaceRow::Value,
        Place::Bucket(bound) => PlaceRow::Bucket(bound),
        Place::Native => PlaceRow::Native,
    };
    let Exemplar { block, value, at } = &*placed.exemplar;
    ExemplarRow { series, place, block, value: *value, at: *at }
}

fn count_row(count: RunningCount) -> CountRow {
    match count {
        RunningCount::Int(n) => CountRow::Int(n),
        RunningCount::Float(sum) => {
            let (high, low) = sum.parts();
            CountRow::Sum(high, low)
        }
    }
}

fn summary_row(summary: &Summary) -> SummaryRow {
    SummaryRow {
        sum: summary.sum.parts(),
        count: count_row(summary.count),
        quantiles: summary.quantiles.iter().map(|q| (q.quantile, q.value)).collect(),
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
            Counts::Float(counts) => CountsRef::Sum(counts.iter().map(|sum| sum.parts()).collect()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_back(piece: &Piece) -> Piece {
        let labels = postcard::to_allocvec(&LabelsRef(piece)).unwrap();
        let values = postcard::to_allocvec(&ValuesRef { pushed_at: 7, piece: Some(piece) }).unwrap();
        let values: ValuesRow = postcard::from_bytes(&values).unwrap();
        assert_eq!(values.pushed_at, 7);
        let labels = Labels::read(&postcard::from_bytes(&labels).unwrap()).unwrap();
        super::piece(&labels, values, &mut Layouts::default()).unwrap()
    }

    #[test]
    fn the_pushes_of_a_group_are_read_back_and_none_where_they_were_not_written() {
        for small in [None, Some(&[][..])] {
            let times = Times { created_at: 1, pushed_at: -2, failed_at: i64::MAX, pushes: 300 };
            let row = postcard::to_allocvec(&GroupValuesRef { times, ttl: None, small }).unwrap();
            let read = |row: &[u8]| GroupValuesRow::read(row).map(|row| (row.times, row.small.is_some()));
            assert_eq!(read(&row), Ok((times, small.is_some())));
            // The first files end here; 300 takes two bytes.
            let first = &row[..row.len() - 2];
            assert_eq!(read(first), Ok((Times { pushes: 0, ..times }, small.is_some())));
            assert!(read(&row[..row.len() - 1]).is_err());
        }
    }

    proptest! {
        #[test]
        fn pieces_read_back_bit_for_bit(
            rows in prop::collection::vec(("[{]?[aä€]{0,6}[}]?", any::<i64>(), any::<u64>(), any::<u64>()), 1..40)
        ) {
            let row = |(block, start, high, low): &(String, i64, u64, u64)| {
                let sum = Sum::from_parts((f64::from_bits(*high), f64::from_bits(*low)));
                (block.clone(), Start::from_code(*start), OwnedValue::Number(sum))
            };
            let owned: Vec<_> = rows.iter().map(row).collect();
            let piece = Piece::of(Form::Number, owned.iter().map(|(b, s, v)| (b.as_str(), *s, v.clone())));
            let back = read_back(&piece);
            prop_assert_eq!(back.len(), rows.len());
            let Rows::Numbers(values) = back.rows() else { panic!("numbers") };
            for (at, (block, start, high, low)) in rows.iter().enumerate() {
                prop_assert_eq!((back.block(at), back.start(at).code()), (block.as_str(), *start));
                let (h, l) = values[at].value.parts();
                prop_assert_eq!((h.to_bits(), l.to_bits()), (*high, *low));
            }
        }

        #[test]
        fn no_bytes_make_reading_panic(labels in prop::collection::vec(any::<u8>(), 0..60), values in prop::collection::vec(any::<u8>(), 0..60)) {
            if let (Ok(labels), Ok(values)) = (postcard::from_bytes(&labels), postcard::from_bytes(&values)) {
                Labels::read(&labels).and_then(|labels| super::piece(&labels, values, &mut Layouts::default()));
            }
        }
    }
}
