//! Values that OpenMetrics allows for no type, although other formats show them. Strict parsers, such as that of
//! the Python client, refuse a whole scrape for one of them.

use crate::model::count::Count;
use crate::model::exemplar::MAX_LABEL_CHARS;
use crate::model::histogram::{Counts, Histogram, Part};
use crate::model::kind::Kind;
use crate::model::labels::{Pair, pairs};
use crate::model::name::is_reserved_label_name;
use crate::model::summary::{Quantile, Summary};

/// Whether OpenMetrics allows this value for this type.
#[inline]
pub fn can_be_number(kind: Kind, value: f64) -> bool {
    match kind {
        Kind::Counter => value >= 0.0,
        Kind::Info => value == 1.0,
        Kind::StateSet => value == 0.0 || value == 1.0,
        _ => true,
    }
}

/// Whether OpenMetrics allows this summary: the sum and the values are not negative, the sum is not NaN, quantiles
/// are from 0 to 1, and the count is an integer.
pub fn can_be_summary(summary: &Summary) -> bool {
    let can_be_quantile = |quantile: &Quantile| {
        (0.0..=1.0).contains(&quantile.quantile) && (quantile.value >= 0.0 || quantile.value.is_nan())
    };
    summary.sum.value() >= 0.0
        && is_whole(summary.count.value())
        && summary.quantiles.iter().all(can_be_quantile)
}

/// Whether OpenMetrics allows this histogram: counts are integers that do not fall, bounds ascend, the count is
/// that of the last bucket, the sum is not NaN, and it is negative only if observations can be. A histogram with
/// negative bounds must have no sum at all.
pub fn can_be_histogram(kind: Kind, histogram: &Histogram) -> bool {
    let shows_classic = histogram.native_part().is_none_or(|native| !native.is_alone);
    let is_negative = |part: &Part| part.layout.bounds().iter().any(|bound| *bound < 0.0);
    let has_negative = shows_classic && histogram.parts().any(is_negative);
    let sum = histogram.sum.value();
    let can_be_sum = match kind {
        Kind::GaugeHistogram => sum >= 0.0 || (has_negative && !sum.is_nan()),
        _ => sum >= 0.0 && !has_negative,
    };
    can_be_sum
        && is_whole(histogram.count())
        && histogram.parts().all(has_whole_counts)
        // If bounds differ, the counts were added by the gateway and are in order.
        && (!shows_classic || !histogram.has_one_layout() || histogram.parts().all(is_in_order))
}

/// Whether every parser accepts these written labels of an exemplar: no reserved names, no quotes in values (the
/// parser of the Python client miscounts them), and no more characters than an exemplar may have, which escaped
/// names may exceed.
pub(super) fn can_be_exemplar(block: &str) -> bool {
    let has_quote = |pair: Pair<'_>| pair.name().contains('"') || pair.value().contains('"');
    let is_reserved = |pair: Pair<'_>| is_reserved_label_name(&pair.name());
    let chars = |pair: Pair<'_>| pair.name().chars().count() + pair.value().chars().count();
    // Usually a check of the whole block is enough.
    let is_odd = (block.contains("\\\"") && pairs(block).any(has_quote))
        || (block.contains("__") && pairs(block).any(is_reserved))
        || (block.len() > MAX_LABEL_CHARS && pairs(block).map(chars).sum::<usize>() > MAX_LABEL_CHARS);
    !is_odd
}

fn is_whole(count: Count) -> bool {
    match count {
        Count::Int(_) => true,
        Count::Float(count) => is_whole_float(count),
    }
}

fn is_whole_float(count: f64) -> bool {
    // The fraction of infinity is NaN.
    count >= 0.0 && count.fract() == 0.0
}

fn has_whole_counts(part: &Part) -> bool {
    match &part.counts {
        Counts::Int(_) => true,
        Counts::Float(counts) => counts.iter().all(|count| is_whole_float(count.value())),
    }
}

/// Whether bounds ascend and counts do not fall, up to the total.
fn is_in_order(part: &Part) -> bool {
    let bounds = part.layout.bounds();
    let ends_in_total = bounds.last() == Some(&f64::INFINITY);
    let total = part.total.value();
    let fits_total = |last: Option<Count>| match last {
        Some(last) if ends_in_total => last.as_f64() == total.as_f64() && !is_less(last, total),
        Some(last) => !is_less(total, last),
        None => true,
    };
    // A NaN bound is not in order either.
    let ascends = bounds.is_sorted_by(|a, b| a < b) && bounds.iter().all(|bound| !bound.is_nan());
    ascends
        && match &part.counts {
            Counts::Int(counts) => counts.is_sorted() && fits_total(counts.last().map(|n| Count::Int(*n))),
            Counts::Float(counts) => {
                counts.is_sorted_by(|a, b| a.value() <= b.value())
                    && fits_total(counts.last().map(|sum| Count::Float(sum.value())))
            }
        }
}

fn is_less(a: Count, b: Count) -> bool {
    match (a, b) {
        (Count::Int(a), Count::Int(b)) => a < b,
        (a, b) => a.as_f64() < b.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::histogram::{Bucket, Pushed};
    use crate::model::merge::Buckets;

    fn histogram(buckets: &[(f64, f64)], sum: f64, total: f64) -> Histogram {
        let bucket = |&(bound, count): &(f64, f64)| Bucket { bound, count: Count::from_f64(count) };
        let buckets: Vec<Bucket> = buckets.iter().map(bucket).collect();
        let total = Count::from_f64(total);
        Histogram::new(Pushed { buckets: &buckets, native: None, sum, total, policy: Buckets::Union }, [])
    }

    #[test]
    fn histograms() {
        let inf = f64::INFINITY;
        for (buckets, sum, total, as_histogram, as_gauge) in [
            (&[(1.0, 1.0), (inf, 3.0)][..], 2.0, 3.0, true, true),
            (&[(0.0, 1.0), (1.0, 1.0)], 2.0, 3.0, true, true),
            (&[], 0.0, 0.0, true, true),
            (&[], inf, 1e300, true, true),
            (&[(1.0, 1.0)], -2.0, 3.0, false, false),
            (&[(1.0, 1.0)], f64::NAN, 3.0, false, false),
            (&[(-1.0, 1.0)], -2.0, 3.0, false, true),
            (&[(-1.0, 1.0)], 2.0, 3.0, false, true),
            (&[(-1.0, 1.0)], f64::NAN, 3.0, false, false),
            (&[(1.0, 0.5)], 2.0, 3.0, false, false),
            (&[(1.0, 1.0)], 2.0, 3.5, false, false),
            (&[], 2.0, f64::NAN, false, false),
            (&[], 2.0, inf, false, false),
            (&[(1.0, 2.0), (2.0, 1.0)], 2.0, 3.0, false, false),
            (&[(2.0, 1.0), (1.0, 2.0)], 2.0, 3.0, false, false),
            (&[(f64::NAN, 1.0)], 2.0, 3.0, false, false),
            (&[(1.0, 4.0)], 2.0, 3.0, false, false),
            (&[(inf, 4.0)], 2.0, 5.0, false, false),
        ] {
            let histogram = histogram(buckets, sum, total);
            let can_be =
                [Kind::Histogram, Kind::GaugeHistogram].map(|kind| can_be_histogram(kind, &histogram));
            assert_eq!(can_be, [as_histogram, as_gauge], "{buckets:?} {sum} {total}");
        }
    }

    #[test]
    fn summaries() {
        for (quantile, value, sum, expected) in [
            (0.5, 1.0, 1.0, true),
            (0.0, f64::NAN, 0.0, true),
            (1.0, f64::INFINITY, f64::INFINITY, true),
            (0.5, -1.0, 1.0, false),
            (0.5, 1.0, -1.0, false),
            (0.5, 1.0, f64::NAN, false),
            (1.5, 1.0, 1.0, false),
            (-0.5, 1.0, 1.0, false),
            (f64::NAN, 1.0, 1.0, false),
        ] {
            let summary = Summary::new(sum, Count::Int(1), &[Quantile { quantile, value }]);
            assert_eq!(can_be_summary(&summary), expected, "{quantile} {value} {sum}");
        }
    }

    #[test]
    fn exemplars() {
        let long = "x".repeat(127);
        for (block, expected) in [
            ("{}", true),
            (r#"{id="__x",a="\\"}"#, true),
            (r#"{__id="x"}"#, false),
            (r#"{a="b",__id="x"}"#, false),
            (r#"{a="\\\""}"#, false),
            (&format!("{{a=\"{long}\"}}"), true),
            (&format!("{{ab=\"{long}\"}}"), false),
        ] {
            assert_eq!(can_be_exemplar(block), expected, "{block}");
        }
    }

    #[test]
    fn numbers() {
        for (kind, value, expected) in [
            (Kind::Counter, 0.0, true),
            (Kind::Counter, f64::INFINITY, true),
            (Kind::Counter, -1.0, false),
            (Kind::Counter, f64::NAN, false),
            (Kind::Gauge, f64::NAN, true),
            (Kind::Info, 2.0, false),
            (Kind::StateSet, 0.0, true),
            (Kind::StateSet, 0.5, false),
        ] {
            assert_eq!(can_be_number(kind, value), expected, "{kind:?} {value}");
        }
    }
}
