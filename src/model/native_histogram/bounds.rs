//! The bounds of the buckets of exponential schemas.
//!
//! In schema s each power of two is divided into 2^s buckets, or 2^-s powers of two share one. Bucket
//! i reaches up to 2^(i * 2^-s), inclusive, from the bound of bucket i - 1, exclusive; negative
//! buckets mirror that. A bound of a schema is a bound of all higher ones too, to the last bit.

use std::ops::RangeInclusive;

/// The schemas that are stored.
pub const SCHEMAS: RangeInclusive<i32> = -4..=8;

/// The schemas that are accepted. Those above [`SCHEMAS`] lose resolution.
pub const KNOWN_SCHEMAS: RangeInclusive<i32> = -4..=52;

/// 2^(1/2), 2^(1/4) and so on. Multiplied in this order, largest first, they give exactly the numbers in
/// Prometheus's table of bounds. For that, the first is one unit in the last place too small.
const ROOTS: [f64; 8] = [
    std::f64::consts::SQRT_2.next_down(),
    1.189_207_115_002_721,
    1.090_507_732_665_257_7,
    1.044_273_782_427_413_8,
    1.021_897_148_654_116_6,
    1.010_889_286_051_700_5,
    1.005_429_901_112_802_7,
    1.002_711_275_050_202_5,
];

/// The range of possible indexes: from the bucket of the smallest positive number to that of infinity.
pub fn indexes(schema: i32) -> RangeInclusive<i64> {
    if schema < 0 {
        let shared = schema.unsigned_abs();
        -(1074 >> shared)..=(1024 >> shared) + 1
    } else {
        -1074 << schema..=(1024 << schema) + 1
    }
}

/// The bucket that contains bucket `index` in a schema that is lower by `steps`.
pub fn reduced(index: i64, steps: u32) -> i64 {
    ((index - 1) >> steps) + 1
}

/// The upper bound of a bucket, a positive number.
pub fn bound(index: i32, schema: i32) -> f64 {
    let (fraction, exponent) = if schema < 0 {
        (1.0, i64::from(index) << schema.unsigned_abs())
    } else {
        let roots = ROOTS.iter().take(schema.unsigned_abs() as usize).enumerate();
        let product = roots
            .filter(|(at, _)| index >> (schema - 1 - *at as i32) & 1 == 1)
            .fold(1.0, |product, (_, root)| product * root);
        (product, i64::from(index >> schema))
    };
    match exponent {
        // The bound of the last bucket before infinity exceeds the largest number.
        1024 if fraction == 1.0 => f64::MAX,
        1024.. => f64::INFINITY,
        -1022.. => fraction * power_of_two(exponent),
        // Two factors, so that a subnormal result is rounded only once.
        _ => fraction * power_of_two((exponent + 1022).max(-1022)) * power_of_two(-1022),
    }
}

/// 2^exponent, for exponents of normal numbers.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_prometheus() {
        for (index, schema, expected) in [
            (0, 0, 1.0),
            (1, 0, 2.0),
            (-1, 0, 0.5),
            (0, 1, 1.0),
            (-1, 1, 0.7071067811865475),
            (1, 1, 2.0 * 0.7071067811865475),
            (3, 1, 2.82842712474619),
            (-6, 8, 0.9838856116165875),
            (1, -1, 4.0),
            (-2, -4, 2f64.powi(-32)),
            (1024, 0, f64::MAX),
            (1025, 0, f64::INFINITY),
            (262_144, 8, f64::MAX),
            (262_145, 8, f64::INFINITY),
            (64, -4, f64::MAX),
            (65, -4, f64::INFINITY),
            (-1074, 0, 5e-324),
            (-1075, 0, 0.0),
            (-1074 * 256, 8, 5e-324),
            (-1022 * 2, 1, f64::MIN_POSITIVE),
        ] {
            assert_eq!(bound(index, schema), expected, "bucket {index} of schema {schema}");
        }
    }

    #[test]
    fn the_table_is_that_of_prometheus_to_the_last_bit() {
        // FNV-1a over the 256 words of Prometheus's table of schema 8.
        let hash = (-256..0).fold(0xcbf2_9ce4_8422_2325_u64, |hash, index| {
            (hash ^ bound(index, 8).to_bits()).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(hash, 0x3a54_89a2_c419_aae6);
    }

    #[test]
    fn bounds_ascend_and_those_of_a_schema_are_among_those_of_the_next() {
        for schema in SCHEMAS {
            let (first, last) = indexes(schema).into_inner();
            let (first, last) = (first as i32, last as i32);
            assert!(bound(first, schema) > 0.0 && bound(last, schema) == f64::INFINITY);
            assert!((first..last).all(|index| bound(index, schema) <= bound(index + 1, schema)));
            if schema < 8 {
                assert!((first..=1024).all(|index| {
                    i64::from(index) > *indexes(schema).end()
                        || bound(index, schema) == bound(index * 2, schema + 1)
                        // The bucket of infinity has no bound that other schemas share.
                        || i64::from(index) == *indexes(schema).end()
                }));
            }
        }
    }

    #[test]
    fn the_bucket_of_infinity_maps_onto_that_of_every_lower_schema() {
        for schema in -3..=52 {
            assert_eq!(reduced(*indexes(schema).end(), 1), *indexes(schema - 1).end());
            assert_eq!(reduced(*indexes(schema).start(), 1), *indexes(schema - 1).start());
        }
    }
}
