//! A native histogram of a single observation.

use super::bounds::{bound, indexes};
use super::encoding::{Encoded, EncodedBuckets, Span};

/// Eight buckets for each power of two: what clients choose for a growth of 1.1 from one bucket to the next.
const SCHEMA: i32 = 3;

/// The zero bucket of clients, unless they are told otherwise: 2^-128.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

impl Encoded {
    /// The histogram of one observation, which must be a finite number.
    pub fn of_observation(value: f64) -> Encoded {
        let mut encoded = Encoded { schema: SCHEMA, zero_threshold: ZERO_THRESHOLD, ..Encoded::default() };
        if value.abs() <= ZERO_THRESHOLD {
            encoded.zero_count = 1;
        } else {
            let spans = vec![Span { offset: index_of(value.abs()), length: 1 }];
            let buckets = EncodedBuckets { spans, deltas: vec![1], counts: Vec::new() };
            *(if value > 0.0 { &mut encoded.positive } else { &mut encoded.negative }) = buckets;
        }
        encoded
    }
}

/// The bucket that a positive number falls into.
fn index_of(value: f64) -> i32 {
    // Bounds ascend, so the first that is not below the value can be searched for.
    let (mut low, mut high) = indexes(SCHEMA).into_inner();
    while low < high {
        let middle = low + (high - low) / 2;
        if bound(middle as i32, SCHEMA) < value {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::count::Count;
    use crate::model::native_histogram::NativeHistogram;

    #[test]
    fn observations_fall_into_the_buckets_of_clients() {
        assert_eq!(ZERO_THRESHOLD, 2f64.powi(-128));
        // As client_golang counts them.
        for (value, zero, positive, negative) in [
            (0.0, 1, None, None),
            (-0.0, 1, None, None),
            (ZERO_THRESHOLD, 1, None, None),
            (1e-40, 1, None, None),
            (1.0, 0, Some(0), None),
            (1.05, 0, Some(1), None),
            (2.0, 0, Some(8), None),
            (2.0f64.next_up(), 0, Some(9), None),
            (42.0, 0, Some(44), None),
            (0.5, 0, Some(-8), None),
            (-3.0, 0, None, Some(13)),
            (f64::MAX, 0, Some(8192), None),
        ] {
            let encoded = Encoded::of_observation(value);
            let index = |side: &EncodedBuckets| side.spans.first().map(|span| span.offset);
            let found = (encoded.zero_count, index(&encoded.positive), index(&encoded.negative));
            assert_eq!(found, (zero, positive, negative), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_number_is_within_its_bucket(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let encoded = Encoded::of_observation(value);
            prop_assert!(encoded.is_native());
            let histogram = NativeHistogram::decode(&encoded, Some(Count::Int(1))).unwrap();
            prop_assert_eq!(histogram.check_count(Count::Int(1), value), Ok(()));
            if value.abs() > ZERO_THRESHOLD {
                let index = index_of(value.abs());
                prop_assert!(bound(index - 1, SCHEMA) < value.abs() && value.abs() <= bound(index, SCHEMA));
            }
        }
    }
}
