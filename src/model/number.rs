//! Numbers as Prometheus writes them.
//!
//! The text of a number is part of the model because `le="1e+06"` identifies a bucket. The rule is
//! Go's `strconv.FormatFloat(x, 'g', -1, 64)`, as `expfmt` uses it: the shortest digits that read
//! back as the same number; plain notation while the exponent of the first digit is between -4 and
//! 5, else `d.ddde±XX`; `+Inf`, `-Inf`, `NaN`; and 0 for negative zero.

mod short;

use crate::model::count::Count;

/// Numbers from [`PLAIN_FROM`] and below [`PLAIN_BELOW`] are in plain notation.
const PLAIN_FROM: f64 = 1e-4;
const PLAIN_BELOW: f64 = 1e6;

/// Appends `value` as a sample value.
#[inline]
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    if !short::write::<false>(out, value) {
        write_long(out, value);
    }
}

/// Appends the end of a line in the text format: a space, `value` as a sample value, and a line feed.
#[inline]
pub fn write_end(out: &mut Vec<u8>, value: f64) {
    if !short::write_end(out, value) {
        write_long_end(out, value);
    }
}

/// As [`write_end`], slower and in fewer instructions: for where few lines are written, so that the compiler inlines
/// [`write_end`] where many are.
#[inline]
pub fn write_long_end(out: &mut Vec<u8>, value: f64) {
    out.push(b' ');
    write_f64(out, value);
    out.push(b'\n');
}

/// Appends the end of a line as [`write_end`] does, with a count.
#[inline]
pub fn write_count_end(out: &mut Vec<u8>, count: Count) {
    match count {
        Count::Int(count) if count < PLAIN_BELOW as u64 => short::write_whole_end(out, count as u32),
        count => write_end(out, count.as_f64()),
    }
}

/// Appends `value` as a sample value, with `.0` if it would look like an integer.
#[inline]
pub fn write_float(out: &mut Vec<u8>, value: f64) {
    // What is not short has an exponent if it is whole.
    if !short::write::<true>(out, value) {
        write_long(out, value);
    }
}

/// Appends any value.
fn write_long(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        out.extend_from_slice(match value {
            f64::INFINITY => b"+Inf",
            f64::NEG_INFINITY => b"-Inf",
            _ => b"NaN",
        });
        return;
    }
    if value < 0.0 {
        out.push(b'-');
    }
    let magnitude = value.abs();
    let whole = magnitude as u64;
    if magnitude < 9_007_199_254_740_992.0 && whole as f64 == magnitude {
        // Below 2^53, the digits of an integer without trailing zeros are its shortest form.
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(whole).as_bytes();
        write_digits(out, digits, digits.len() as i32);
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let printed = buffer.format_finite(magnitude);
    if (PLAIN_FROM..PLAIN_BELOW).contains(&magnitude) {
        // Plain notation is the same for both, and a number with decimals has no zeros at the end.
        out.extend_from_slice(printed.as_bytes());
        return;
    }
    let mut digits = [0u8; 32];
    let (length, point) = shortest_digits(printed, &mut digits);
    write_digits(out, &digits[..length], point);
}

/// The text of `value`, as [`write_f64`] writes it.
pub fn format_f64(value: f64) -> String {
    let mut out = Vec::with_capacity(24);
    write_f64(&mut out, value);
    String::from_utf8(out).unwrap_or_default()
}

/// The text of `value` in the JSON API, which keeps the sign of negative zero (Go's `%v`).
pub fn format_f64_signed(value: f64) -> String {
    if value == 0.0 && value.is_sign_negative() { "-0".to_owned() } else { format_f64(value) }
}

/// Collects the significant digits of `printed` (such as `0.00012` or `1.5e300`) and the position of
/// the decimal point relative to them.
fn shortest_digits(printed: &str, digits: &mut [u8; 32]) -> (usize, i32) {
    let (mantissa, exponent) = match printed.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(0)),
        None => (printed, 0),
    };
    let mut length = 0;
    let mut point = 0;
    let mut past_point = false;
    for byte in mantissa.bytes() {
        if byte == b'.' {
            past_point = true;
        } else if byte == b'0' && length == 0 {
            // A leading zero is not a significant digit. Behind the point it shifts the first one to the right.
            point -= i32::from(past_point);
        } else {
            digits[length] = byte;
            length += 1;
            point += i32::from(!past_point);
        }
    }
    (length, point + exponent)
}

/// Lays out `digits` with the decimal point after the first `point` of them.
fn write_digits(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    let significant = digits.iter().rposition(|d| *d != b'0').map_or(1, |last| last + 1);
    let digits = &digits[..significant];
    let exponent = point - 1;
    if !(-4..6).contains(&exponent) {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(exponent.abs()).as_bytes());
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + point.unsigned_abs() as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        let whole = point as usize;
        out.extend_from_slice(&digits[..whole.min(digits.len())]);
        out.resize(out.len() + whole.saturating_sub(digits.len()), b'0');
        if digits.len() > whole {
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_the_stock_gateway_prints_them() {
        for (value, text) in [
            (20.0, "20"),
            (100_000.0, "100000"),
            (999_999.0, "999999"),
            (1_000_000.0, "1e+06"),
            (12_345_678.0, "1.2345678e+07"),
            (21_000_000.0, "2.1e+07"),
            (1_234_567.5, "1.2345675e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1_234_567_890_123_456_789.0, "1.2345678901234568e+18"),
            (18_446_744_073_709_551_615.0, "1.8446744073709552e+19"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (0.00001, "1e-05"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-0.0, "0"),
            (-1.5, "-1.5"),
            (-1e6, "-1e+06"),
            (12345.678, "12345.678"),
            (100.5, "100.5"),
            (0.1, "0.1"),
            (2_023_347_301_156_851.3, "2.0233473011568512e+15"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_f64(value), text);
        }
        assert_eq!(format_f64_signed(-0.0), "-0");
        assert_eq!(format_f64_signed(0.0), "0");
    }

    fn float(value: f64) -> String {
        let mut out = Vec::new();
        write_float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_look_like_floats() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (1.0, "1.0"),
            (-20.0, "-20.0"),
            (0.5, "0.5"),
            (999_999.0, "999999.0"),
            (1e6, "1e+06"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(float(value), expected);
        }
    }

    proptest! {
        #[test]
        fn a_float_is_the_number_with_a_decimal(
            value in prop_oneof![any::<f64>(), (-2_000_000i32..2_000_000).prop_map(f64::from), -1e7..1e7],
        ) {
            let plain = format_f64(value);
            let is_whole = plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            prop_assert_eq!(float(value), if is_whole { format!("{plain}.0") } else { plain });
        }

        #[test]
        fn reads_back_as_the_same_number(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            let back: f64 = format_f64(value).parse().unwrap();
            prop_assert!(back == value || (back.is_nan() && value.is_nan()));
        }

        #[test]
        fn plain_numbers_are_as_short_as_can_be(
            digits in 1i64..1_000_000_000_000_000, scale in 0i32..19, more in 0u64..3, is_negative in any::<bool>(),
        ) {
            let value = f64::from_bits((digits as f64 / 10f64.powi(scale)).to_bits() + more);
            let value = if is_negative { -value } else { value };
            if (PLAIN_FROM..PLAIN_BELOW).contains(&value.abs()) {
                // `Display` writes the shortest digits, always in plain notation.
                prop_assert_eq!(format_f64(value), value.to_string());
            }
        }

        #[test]
        fn small_and_whole_numbers_read_back(value in -1_000_000_000i64..1_000_000_000, scale in 0i32..9) {
            let value = value as f64 / 10f64.powi(scale);
            prop_assert_eq!(format_f64(value).parse::<f64>().unwrap(), value);
        }
    }
}
