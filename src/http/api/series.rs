//! A series in the answers of the API: its labels, its value, when it began, and its latest exemplars.

use std::borrow::Cow;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::{count_text, timestamp};
use crate::model::exemplar::{Exemplar, latest};
use crate::model::histogram::Histogram;
use crate::model::labels::{Pair, pairs};
use crate::model::native_histogram::NativeHistogram;
use crate::model::number::format_f64_signed;
use crate::model::quantile::quantile;
use crate::store::{RowValue, SeriesView};

/// How many exemplars of a series are listed at most. One with many buckets may have thousands.
const MAX_EXEMPLARS: usize = 10;

/// The quantiles of a histogram that are estimated.
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

type Labels<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

#[derive(Serialize)]
pub(super) struct Series<'a> {
    labels: Labels<'a>,
    #[serde(flatten)]
    value: Value<'a>,
    started_at: Option<String>,
    exemplars: Vec<ShownExemplar<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Number {
        value: String,
    },
    Summary {
        count: String,
        sum: String,
        quantiles: Vec<(String, String)>,
    },
    Histogram {
        count: String,
        sum: String,
        /// Estimated.
        quantiles: [(String, String); QUANTILES.len()],
        /// Upper bounds and cumulative counts. `None` if only native buckets hold all observations.
        buckets: Option<Classic<'a>>,
        native: Option<Native<'a>>,
    },
}

#[derive(Serialize)]
struct ShownExemplar<'a> {
    labels: Labels<'a>,
    value: String,
    at: Option<String>,
}

/// The classic buckets of a histogram, of which there may be very many.
struct Classic<'a>(&'a Histogram);

impl Serialize for Classic<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_float = self.0.is_float();
        let mut buckets = serializer.serialize_seq(None)?;
        let mut written = Ok(());
        self.0.all_buckets(|bound, _, count| {
            if written.is_ok() {
                written = buckets.serialize_element(&(bound, count_text(count, is_float)));
            }
        });
        written?;
        buckets.end()
    }
}

#[derive(Serialize)]
struct Native<'a> {
    schema: i32,
    zero_threshold: String,
    buckets: NativeBuckets<'a>,
}

/// Lower bound, upper bound and population of each native bucket, ascending.
struct NativeBuckets<'a>(&'a NativeHistogram, bool);

impl Serialize for NativeBuckets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let NativeBuckets(native, is_float) = *self;
        serializer.collect_seq(native.buckets().into_iter().map(|bucket| {
            let [lower, upper] = [bucket.lower, bucket.upper].map(format_f64_signed);
            (lower, upper, count_text(bucket.count, is_float))
        }))
    }
}

impl<'a> Series<'a> {
    /// A series with these labels of its own.
    pub(super) fn of(labels: impl Iterator<Item = Pair<'a>>, series: SeriesView<'a>) -> Series<'a> {
        Series {
            labels: labels_of(labels),
            value: Value::of(series.value),
            started_at: series.start.nanos().map(timestamp),
            exemplars: latest(series.exemplars, MAX_EXEMPLARS).into_iter().map(ShownExemplar::of).collect(),
        }
    }
}

impl<'a> Value<'a> {
    fn of(value: RowValue<'a>) -> Value<'a> {
        match value {
            RowValue::Number(value) => Value::Number { value: format_f64_signed(value) },
            RowValue::Summary(summary) => {
                let quantiles = summary.quantiles.iter();
                Value::Summary {
                    count: count_text(summary.count.value(), false),
                    sum: format_f64_signed(summary.sum.value()),
                    quantiles: quantiles
                        .map(|q| (format_f64_signed(q.quantile), format_f64_signed(q.value)))
                        .collect(),
                }
            }
            RowValue::Histogram(histogram) => Value::Histogram {
                count: count_text(histogram.count(), histogram.is_float()),
                sum: format_f64_signed(histogram.sum.value()),
                quantiles: QUANTILES
                    .map(|q| (format_f64_signed(q), format_f64_signed(quantile(histogram, q)))),
                buckets: classic_buckets(histogram),
                native: native_buckets(histogram),
            },
        }
    }
}

impl<'a> ShownExemplar<'a> {
    fn of(exemplar: &'a Exemplar) -> ShownExemplar<'a> {
        ShownExemplar {
            labels: labels_of(pairs(&exemplar.block)),
            value: format_f64_signed(exemplar.value),
            at: exemplar.at.filter(|at| *at >= 0).map(timestamp),
        }
    }
}

fn labels_of<'a>(labels: impl Iterator<Item = Pair<'a>>) -> Labels<'a> {
    labels.map(|pair| (pair.name(), pair.value())).collect()
}

fn classic_buckets(histogram: &Histogram) -> Option<Classic<'_>> {
    let is_native_alone = histogram.native_part().is_some_and(|native| native.is_alone);
    (!is_native_alone).then_some(Classic(histogram))
}

fn native_buckets(histogram: &Histogram) -> Option<Native<'_>> {
    let native = histogram.native()?;
    Some(Native {
        schema: native.schema(),
        zero_threshold: format_f64_signed(native.zero_threshold()),
        buckets: NativeBuckets(native, histogram.is_float()),
    })
}
