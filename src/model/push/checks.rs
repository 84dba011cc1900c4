//! Checks of values: types that add must be able to add them, and scrapes with them must be valid.

use crate::message::Excerpt;
use crate::model::count::Count;
use crate::model::histogram::Bucket;
use crate::model::kind::Kind;
use crate::model::limits::MAX_SERIES_PARTS;
use crate::model::native_histogram::Fault;
use crate::model::refusal::Cause;

/// What is wrong with a value; the metric's description is added when the push is refused.
pub(super) enum ValueFault {
    Counter(f64),
    Summand(f64),
    Sum,
    Count(Count),
    Bound,
    DuplicateBound(f64),
    DuplicateQuantile(f64),
    Falling(f64),
    CountDiffers {
        count: Count,
        bucket: Count,
    },
    NoCount,
    Native(Fault),
    ExemplarLabels(usize),
    ExemplarLabel(Excerpt),
    ExemplarValue(Excerpt),
    /// The value is not of the kind of its family.
    NotA(Kind),
    /// Its parts come more than once.
    Repeated,
    /// There are so many of them.
    TooMany(usize),
}

impl ValueFault {
    pub(super) fn cause(self, metric: String) -> Cause {
        match self {
            ValueFault::Counter(value) => Cause::CounterValue { metric, value },
            ValueFault::Summand(value) => Cause::SummandValue { metric, value },
            ValueFault::Sum => Cause::SumNotANumber { metric },
            ValueFault::Count(count) => Cause::CountValue { metric, count },
            ValueFault::Bound => Cause::BoundNotANumber { metric },
            ValueFault::DuplicateBound(bound) => Cause::DuplicateBound { metric, bound },
            ValueFault::DuplicateQuantile(quantile) => Cause::DuplicateQuantile { metric, quantile },
            ValueFault::Falling(bound) => Cause::FallingCounts { metric, bound },
            ValueFault::CountDiffers { count, bucket } => Cause::CountDiffers { metric, count, bucket },
            ValueFault::NoCount => Cause::NoCount { metric },
            ValueFault::Native(fault) => Cause::NativeHistogram { metric, fault },
            ValueFault::ExemplarLabels(chars) => Cause::ExemplarTooLong { metric, chars },
            ValueFault::ExemplarLabel(label) => Cause::ExemplarLabel { metric, label },
            ValueFault::ExemplarValue(label) => Cause::ExemplarValue { metric, label },
            ValueFault::NotA(kind) => Cause::KindConflict { metric, kind },
            ValueFault::Repeated => Cause::DuplicateSeries { metric },
            ValueFault::TooMany(count) => Cause::TooManyParts { metric, count },
        }
    }
}

/// The count of a summary without its fraction, as the stock gateway stores it.
pub(super) fn whole_count(count: Count) -> Count {
    Count::from_f64(match count {
        Count::Int(_) => return count,
        Count::Float(value) => value.trunc(),
    })
}

/// What Go makes of a float that fits no `uint64` (on amd64).
pub(super) fn stock_count(count: Count) -> Count {
    match count {
        Count::Float(value) if value > i64::MIN as f64 && value < 0.0 => Count::Int(value as i64 as u64),
        Count::Float(_) => Count::Int(1 << 63),
        int => int,
    }
}

/// Checks how many buckets or quantiles a series has.
pub(super) fn check_parts(count: usize) -> Result<(), ValueFault> {
    if count > MAX_SERIES_PARTS { Err(ValueFault::TooMany(count)) } else { Ok(()) }
}

/// One of these bounds or quantiles that a scrape would show twice: as text, 0 and -0 are the same, and so are
/// all that are no numbers.
pub(super) fn shown_twice(numbers: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    if numbers.clone().is_sorted_by(|a, b| a < b) {
        return None;
    }
    let mut numbers: Vec<f64> =
        numbers.map(|number| if number.is_nan() { f64::NAN } else { number + 0.0 }).collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.windows(2).find(|pair| pair[0].to_bits() == pair[1].to_bits()).map(|pair| pair[0])
}

/// Whether a count is above another one as floats.
fn is_more(count: Count, other: Count) -> bool {
    match (count, other) {
        (Count::Int(count), Count::Int(other)) if count <= other => false,
        _ => count.as_f64() > other.as_f64(),
    }
}

/// Sorts the buckets of a histogram that adds and checks that it is one. Returns its count.
pub(super) fn check_histogram(
    buckets: &mut [Bucket],
    sum: f64,
    count: Option<Count>,
) -> Result<Count, ValueFault> {
    if sum.is_nan() {
        return Err(ValueFault::Sum);
    }
    if buckets.iter().any(|b| b.bound.is_nan()) {
        return Err(ValueFault::Bound);
    }
    let is_bad = |count: &Count| matches!(count, Count::Float(x) if !(*x >= 0.0 && x.is_finite()));
    if let Some(bad) = buckets.iter().map(|b| b.count).chain(count).find(is_bad) {
        return Err(ValueFault::Count(bad));
    }
    if !buckets.is_sorted_by(|a, b| a.bound < b.bound) {
        buckets.sort_by(|a, b| a.bound.total_cmp(&b.bound));
    }
    for pair in buckets.windows(2) {
        if pair[0].bound == pair[1].bound {
            return Err(ValueFault::DuplicateBound(pair[1].bound));
        }
        if is_more(pair[0].count, pair[1].count) {
            return Err(ValueFault::Falling(pair[1].bound));
        }
    }
    let Some(last) = buckets.last() else {
        return Ok(count.unwrap_or(Count::ZERO));
    };
    let is_inf = last.bound == f64::INFINITY;
    let count = match count {
        Some(count) if is_inf && count.as_f64() != last.count.as_f64() => {
            Err(ValueFault::CountDiffers { count, bucket: last.count })
        }
        Some(count) if count.as_f64() < last.count.as_f64() => Err(ValueFault::Falling(f64::INFINITY)),
        Some(count) => Ok(count),
        None if is_inf => Ok(last.count),
        None => Err(ValueFault::NoCount),
    }?;
    // Beyond 2^53 an integer may be more than a float that it is compared equal to, and more than its sum with others.
    if count.is_float() || buckets.iter().any(|bucket| bucket.count.is_float()) {
        buckets.iter_mut().for_each(|bucket| bucket.count = bucket.count.to_float());
        return Ok(count.to_float());
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_a_histogram_are_all_integers_or_none() {
        let large = Count::Int(691_191_998_768_975_643);
        let total = Count::Float(691_191_998_768_975_616.0);
        for (counts, expected) in [
            ([large, large, large], [large, large, large]),
            ([large, large, total], [total, total, total]),
            ([Count::Float(0.5), Count::Int(1), Count::Int(2)], [0.5, 1.0, 2.0].map(Count::Float)),
        ] {
            let [first, second, count] = counts;
            let mut buckets = [Bucket { bound: 1.0, count: first }, Bucket { bound: 2.0, count: second }];
            let Ok(count) = check_histogram(&mut buckets, 0.0, Some(count)) else { panic!("{counts:?}") };
            assert_eq!([buckets[0].count, buckets[1].count, count], expected, "{counts:?}");
        }
    }
}
