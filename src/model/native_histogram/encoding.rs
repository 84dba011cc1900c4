//! Native histograms in the form of the protobuf format: spans of neighbouring buckets. Each integer population is
//! the difference to the one before it; float populations are absolute.

use std::ops::{AddAssign, RangeInclusive};

use super::bounds::{KNOWN_SCHEMAS, SCHEMAS, indexes, reduced};
use super::populations::Populations;
use super::sparse::{Buckets, Sparse};
use super::state::NativeHistogram;
use crate::model::count::Count;

/// Up to this many empty buckets are written out rather than starting a new span, which takes more room.
/// client_golang does the same. Not used for floats.
const WRITTEN_GAP: i64 = 2;

/// A native histogram in the form of the protobuf message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// The resolution.
    pub schema: i32,
    /// The absolute value up to which observations are in the zero bucket.
    pub zero_threshold: f64,
    /// The population of the zero bucket, if it is an integer.
    pub zero_count: u64,
    /// The population of the zero bucket, if it is a float. Zero otherwise.
    pub zero_count_float: f64,
    /// Buckets of positive observations.
    pub positive: EncodedBuckets,
    /// Buckets of negative observations.
    pub negative: EncodedBuckets,
}

/// Buckets of one sign.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodedBuckets {
    /// The populated ranges of buckets.
    pub spans: Vec<Span>,
    /// Integer populations, as differences.
    pub deltas: Vec<i64>,
    /// Float populations.
    pub counts: Vec<f64>,
}

/// Buckets with consecutive indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The number of indexes skipped before it. For the first span, its first index.
    pub offset: i32,
    /// How many buckets it has.
    pub length: u32,
}

/// Why a native histogram is not valid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is documented by its message")]
pub enum Fault {
    #[error("custom buckets can't be pushed in this format")]
    CustomBuckets,
    #[error("schema {0} is unknown, only {min} to {max} are exponential", min = KNOWN_SCHEMAS.start(), max = KNOWN_SCHEMAS.end())]
    Schema(i32),
    #[error("its spans have {buckets} buckets, but there are {counts} counts")]
    Spans { buckets: u64, counts: usize },
    #[error("a span other than the first has the negative offset {0}")]
    SpanOffset(i32),
    #[error("bucket {index} is populated, but in schema {schema} numbers fall into the buckets {} to {}", .range.start(), .range.end())]
    Index { index: i64, schema: i32, range: RangeInclusive<i64> },
    #[error("a bucket has the count {0}, but a count is a number from 0 up")]
    Population(f64),
    #[error("its counts do not fit into 64 bits")]
    TooLarge,
    #[error("the zero bucket has the count {0}, but a count is a number from 0 up")]
    ZeroCount(f64),
    #[error("the zero threshold is {0}, but it must be a finite number from 0 up")]
    ZeroThreshold(f64),
    #[error("its count is {}, but its buckets have {} observations", .count.as_f64(), .buckets.as_f64())]
    CountDiffers { count: Count, buckets: Count },
}

impl Encoded {
    /// Whether this makes a histogram a native one. Without spans, and with a zero bucket of no width and no
    /// population, it can't be told from a classic one.
    pub fn is_native(&self) -> bool {
        let has_spans = !(self.positive.spans.is_empty() && self.negative.spans.is_empty());
        has_spans || self.zero_threshold > 0.0 || self.zero_count > 0 || self.zero_count_float > 0.0
    }

    fn is_float(&self) -> bool {
        self.zero_count_float != 0.0 || !(self.positive.counts.is_empty() && self.negative.counts.is_empty())
    }
}

impl NativeHistogram {
    /// Decodes a pushed histogram. `count` is the number of observations that was pushed with it. If that is a
    /// float, the whole histogram is a float histogram.
    ///
    /// # Errors
    ///
    /// Why it is not valid. No memory is allocated for buckets that were not sent.
    pub fn decode(encoded: &Encoded, count: Option<Count>) -> Result<NativeHistogram, Fault> {
        let schema = encoded.schema;
        if schema == -53 {
            return Err(Fault::CustomBuckets);
        }
        if !KNOWN_SCHEMAS.contains(&schema) {
            return Err(Fault::Schema(schema));
        }
        if !(encoded.zero_threshold >= 0.0 && encoded.zero_threshold.is_finite()) {
            return Err(Fault::ZeroThreshold(encoded.zero_threshold));
        }
        let is_float = encoded.is_float() || count.is_some_and(Count::is_float);
        let populations = if is_float {
            let zero = match encoded.zero_count_float {
                0.0 => encoded.zero_count as f64,
                zero if zero > 0.0 && zero.is_finite() => zero,
                zero => return Err(Fault::ZeroCount(zero)),
            };
            let side = |side: &EncodedBuckets| decode(schema, &side.spans, &side.counts, checked_float);
            let (positive, negative) = (side(&encoded.positive)?, side(&encoded.negative)?);
            Populations::Float(Sparse { zero, positive, negative })
        } else {
            let side = |side: &EncodedBuckets| {
                let (mut last, mut all) = (0i64, 0u64);
                decode(schema, &side.spans, &side.deltas, |delta| {
                    last = last.checked_add(delta).ok_or(Fault::TooLarge)?;
                    let count = u64::try_from(last).map_err(|_| Fault::Population(last as f64))?;
                    all = all.checked_add(count).ok_or(Fault::TooLarge)?;
                    Ok(count)
                })
            };
            let (positive, negative) = (side(&encoded.positive)?, side(&encoded.negative)?);
            Populations::Int(Sparse { zero: encoded.zero_count, positive, negative }).within_limits()
        };
        Ok(NativeHistogram {
            schema: schema.min(*SCHEMAS.end()),
            // Negative zero counts as zero.
            zero_threshold: encoded.zero_threshold.abs(),
            thresholds_differ: false,
            absorbed: None,
            populations,
        })
    }

    /// Checks that this histogram has `count` observations, with this sum. Prometheus checks the same, and drops a
    /// whole scrape for one histogram that fails.
    ///
    /// # Errors
    ///
    /// The counts that differ.
    pub fn check_count(&self, count: Count, sum: f64) -> Result<(), Fault> {
        let buckets = self.population();
        let is_right = match (count, buckets) {
            // Only observations of NaN are in no bucket, and they make the sum NaN.
            (Count::Int(count), Count::Int(buckets)) => count == buckets || (sum.is_nan() && count > buckets),
            // Floats may have been rounded.
            (count, buckets) => buckets.as_f64() <= count.as_f64() * (1.0 + 1e-9),
        };
        if is_right { Ok(()) } else { Err(Fault::CountDiffers { count, buckets }) }
    }

    /// Encodes the histogram, with floats if wanted or needed. If it has no span, it gets an empty one, which tells
    /// it from a classic histogram.
    pub fn encode(&self, as_float: bool) -> Encoded {
        let mut encoded =
            Encoded { schema: self.schema, zero_threshold: self.zero_threshold, ..Encoded::default() };
        match &self.populations {
            Populations::Int(sparse) if !as_float => {
                encoded.zero_count = sparse.zero;
                for (from, to) in
                    [(&sparse.positive, &mut encoded.positive), (&sparse.negative, &mut encoded.negative)]
                {
                    let mut last = 0;
                    to.spans = encode(from, WRITTEN_GAP, |count| {
                        // Integer populations are below 2^63.
                        to.deltas.push(count as i64 - last);
                        last = count as i64;
                    });
                }
            }
            populations => {
                let sparse = populations.to_float();
                encoded.zero_count_float = sparse.zero;
                for (from, to) in
                    [(&sparse.positive, &mut encoded.positive), (&sparse.negative, &mut encoded.negative)]
                {
                    to.spans = encode(from, 0, |count| to.counts.push(count));
                }
            }
        }
        if encoded.positive.spans.is_empty() && encoded.negative.spans.is_empty() {
            encoded.positive.spans.push(Span::default());
        }
        encoded
    }
}

fn checked_float(count: f64) -> Result<f64, Fault> {
    if count >= 0.0 && count.is_finite() { Ok(count) } else { Err(Fault::Population(count)) }
}

/// The populated buckets of these spans, in a schema that is stored. Calls `population` with each of `counts` in
/// turn.
fn decode<C: Copy, N: Copy + Default + PartialEq + AddAssign>(
    schema: i32,
    spans: &[Span],
    counts: &[C],
    mut population: impl FnMut(C) -> Result<N, Fault>,
) -> Result<Buckets<N>, Fault> {
    let buckets = spans.iter().map(|span| u64::from(span.length)).sum();
    if buckets != counts.len() as u64 {
        return Err(Fault::Spans { buckets, counts: counts.len() });
    }
    let range = indexes(schema);
    let steps = (schema - SCHEMAS.end()).max(0).unsigned_abs();
    let mut decoded = Buckets::<N>::new();
    let mut counts = counts.iter();
    // The body limits the number of spans and counts, so the sum of offsets fits 64 bits.
    let mut index = 0i64;
    for (at, span) in spans.iter().enumerate() {
        if at > 0 && span.offset < 0 {
            return Err(Fault::SpanOffset(span.offset));
        }
        index += i64::from(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            let count = population(*count)?;
            if count != N::default() {
                if !range.contains(&index) {
                    return Err(Fault::Index { index, schema, range });
                }
                // The indexes of a stored schema fit 32 bits.
                let stored = reduced(index, steps) as i32;
                match decoded.last_mut() {
                    Some((last, have)) if *last == stored => *have += count,
                    _ => decoded.push((stored, count)),
                }
            }
            index += 1;
        }
    }
    decoded.shrink_to_fit();
    Ok(decoded)
}

/// The spans of these buckets. Calls `write` with the population of every bucket in them, including empty ones in
/// gaps of at most `written_gap`.
fn encode<N: Copy + Default>(buckets: &[(i32, N)], written_gap: i64, mut write: impl FnMut(N)) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0;
    for &(index, count) in buckets {
        let gap = i64::from(index) - next;
        match spans.last_mut() {
            Some(span) if gap <= written_gap => {
                (0..gap).for_each(|_| write(N::default()));
                span.length += gap as u32 + 1;
            }
            _ => spans.push(Span { offset: gap as i32, length: 1 }),
        }
        write(count);
        next = i64::from(index) + 1;
    }
    spans
}
