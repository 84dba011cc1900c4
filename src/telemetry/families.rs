//! Converts what a `prometheus` registry gathers to the form that the exposition writes.

use prometheus::Registry;
use prometheus::proto::{Metric, MetricType};

use crate::model::count::Count;
use crate::model::histogram::{Bucket, Histogram, Pushed};
use crate::model::kind::Kind;
use crate::model::labels::block_of;
use crate::model::merge::Buckets;
use crate::model::summary::{Quantile, Summary};

/// One of the gateway's own families.
#[derive(Debug)]
pub struct Family {
    /// The metric name.
    pub name: String,
    /// The type.
    pub kind: Kind,
    /// The help text.
    pub help: String,
    /// The series, in the order of a scrape.
    pub rows: Vec<Row>,
}

/// One series of a [`Family`].
#[derive(Debug)]
pub struct Row {
    /// The label block; empty without labels.
    pub block: String,
    /// The value.
    pub value: RowValue,
}

/// The value of a [`Row`].
#[derive(Debug)]
pub enum RowValue {
    /// A counter or gauge.
    Number(f64),
    /// A summary.
    Summary(Summary),
    /// A histogram.
    Histogram(Histogram),
}

/// All families of `registry` that have a series, sorted by name.
pub(super) fn from_registry(registry: &Registry) -> Vec<Family> {
    let families = registry.gather().into_iter().map(|family| {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => Kind::Counter,
            MetricType::GAUGE => Kind::Gauge,
            MetricType::SUMMARY => Kind::Summary,
            MetricType::HISTOGRAM => Kind::Histogram,
            MetricType::UNTYPED => Kind::Untyped,
        };
        let mut rows: Vec<Row> = family.get_metric().iter().map(|metric| row(metric, kind)).collect();
        rows.sort_by(|a, b| crate::model::labels::scrape_order(&a.block, &b.block));
        Family { name: family.name().to_owned(), kind, help: family.help().to_owned(), rows }
    });
    families.filter(|family| !family.rows.is_empty()).collect()
}

fn row(metric: &Metric, kind: Kind) -> Row {
    let mut labels: Vec<(&str, &str)> =
        metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
    labels.sort_unstable();
    let block = if labels.is_empty() { String::new() } else { block_of(labels) };
    let value = match kind {
        Kind::Counter => RowValue::Number(metric.get_counter().get_value()),
        Kind::Summary => {
            let summary = metric.get_summary();
            let quantiles: Vec<Quantile> = summary
                .get_quantile()
                .iter()
                .map(|q| Quantile { quantile: q.quantile(), value: q.value() })
                .collect();
            let count = Count::Int(summary.sample_count());
            RowValue::Summary(Summary::new(summary.sample_sum(), count, &quantiles))
        }
        Kind::Histogram => {
            let histogram = metric.get_histogram();
            let bucket = |b: &prometheus::proto::Bucket| Bucket {
                bound: b.upper_bound(),
                count: Count::Int(b.cumulative_count()),
            };
            let buckets: Vec<Bucket> = histogram.get_bucket().iter().map(bucket).collect();
            let count = Count::Int(histogram.get_sample_count());
            let sum = histogram.get_sample_sum();
            let pushed =
                Pushed { buckets: &buckets, native: None, sum, total: count, policy: Buckets::Union };
            RowValue::Histogram(Histogram::new(pushed, []))
        }
        _ => RowValue::Number(metric.get_gauge().get_value()),
    };
    Row { block, value }
}
