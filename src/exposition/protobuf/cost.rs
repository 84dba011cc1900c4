//! Estimates how much memory parsing protobuf takes.

use super::natives::native_values;
use super::wire::delimited;
use crate::exposition::cost::{Cost, sum};
use crate::model::limits::PushLimits;

/// The memory for a series, which may have native buckets, for a classic bucket, for a family, and for a label, in
/// bytes. Measured with bodies of nothing else.
const METRIC_BYTES: usize = 600;
const BUCKET_BYTES: usize = 100;
const FAMILY_BYTES: usize = 350;
const LABEL_BYTES: usize = 80;

/// The memory for a span, difference or count of a native histogram, which is kept encoded and decoded.
const NATIVE_BYTES: usize = 48;

/// The tags of field 1 of a `Metric`, 3 of a `Histogram` and 4 of a `MetricFamily`.
const LABEL_TAG: u8 = 1 << 3 | 2;
const BUCKET_TAG: u8 = 3 << 3 | 2;
const METRIC_TAG: u8 = 4 << 3 | 2;

/// The memory for parsing a body. Bytes that only look like a tag count too.
pub(in crate::exposition) fn cost(body: &[u8], limits: PushLimits) -> Cost {
    let count = |tag: u8, most: usize| memchr::memchr_iter(tag, body).count().min(most);
    let labels = count(LABEL_TAG, limits.label_pairs);
    let (buckets, series) = (count(BUCKET_TAG, limits.samples), count(METRIC_TAG, limits.samples));
    let families = count_messages(body).min(limits.samples);
    let natives = native_values(body).min(limits.samples);
    let bytes = sum(&[
        (body.len(), 1),
        (labels, LABEL_BYTES),
        (buckets, BUCKET_BYTES),
        (natives, NATIVE_BYTES),
        (series, METRIC_BYTES),
        (families, FAMILY_BYTES),
    ]);
    Cost { bytes, series }
}

/// How many messages with length prefixes a body has.
fn count_messages(mut body: &[u8]) -> usize {
    let mut messages = 0;
    while !body.is_empty() {
        messages += 1;
        // The parser ends there too.
        if delimited(&mut body).is_err() {
            break;
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(body: &[u8]) -> usize {
        cost(body, PushLimits::NONE).bytes
    }

    #[test]
    fn everything_in_a_body_counts() {
        let message = [5, 0x0a, 1, b'm', METRIC_TAG, 0];
        assert!(bytes(&[3, 0x0a, 1, b'm'].repeat(1000)) > 350_000);
        assert!(bytes(&message.repeat(1000)) > 900_000);
        assert!(bytes(&[LABEL_TAG, 0].repeat(1000)) > 80_000);
        assert!(bytes(&[BUCKET_TAG, 0].repeat(1000)) > 100_000);
        // A family of one histogram with 100 differences.
        let native = [&[110, 0x18, 4, 0x22, 106, 0x3a, 104, 0x6a, 102][..], &[0; 102]].concat();
        assert!(bytes(&native) > 4_000);
        // Lengths that exceed the body.
        for (body, messages) in [
            (&[][..], 0),
            (&[0x80][..], 1),
            (&[0xff; 20], 1),
            (&[5, 0], 1),
            (&[1, 0, 0x80, 0x80, 0, 0], 3),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], 1),
        ] {
            assert_eq!(count_messages(body), messages, "{body:?}");
        }
    }

    #[test]
    fn what_is_not_parsed_takes_nothing() {
        let limits = PushLimits { samples: 10, label_pairs: 20, ..PushLimits::NONE };
        let body = [2, 0x22, 0x0a].repeat(1000);
        assert!(cost(&body, limits).bytes < body.len() + 15_000);
    }
}
