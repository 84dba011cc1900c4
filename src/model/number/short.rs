//! Numbers of up to three decimals, as most values are, written without a branch for each digit.

use super::PLAIN_BELOW;

/// Appends `value` in plain notation, with a `.0` behind whole numbers if `MARKED`. Returns false and appends nothing if
/// it has more than three decimals, is a million or more, or no number.
///
/// No two decimals of up to 15 digits read back as the same number, so the digits are the shortest form.
#[inline]
pub(super) fn write<const MARKED: bool>(out: &mut Vec<u8>, value: f64) -> bool {
    let magnitude = value.abs();
    if magnitude >= PLAIN_BELOW {
        return false;
    }
    let whole = magnitude as u32;
    let (mut text, mut length) = if f64::from(whole) != magnitude {
        let Some(decimal) = decimal(magnitude, whole) else { return false };
        decimal
    } else {
        let (digits, length) = digits(whole);
        (u128::from(digits), length)
    };
    if MARKED && f64::from(whole) == magnitude {
        text |= u128::from(u16::from_le_bytes(*b".0")) << (8 * length);
        length += 2;
    }
    let sign = usize::from(value < 0.0);
    text = text << (8 * sign) | u128::from(b'-' * sign as u8);
    append(out, &text.to_le_bytes(), sign + length);
    true
}

/// Appends a space and `value` as [`write`] does, if it is not negative, and a line feed.
#[inline]
pub(super) fn write_end(out: &mut Vec<u8>, value: f64) -> bool {
    let whole = value as u32;
    if value >= PLAIN_BELOW {
        return false;
    }
    if f64::from(whole) == value {
        write_whole_end(out, whole);
        return true;
    }
    // A negative number or none is taken for one with decimals, which it isn't.
    let Some((text, length)) = decimal(value, whole) else { return false };
    append(out, &(text << 8 | u128::from(b' ')).to_le_bytes(), 1 + length);
    out.push(b'\n');
    true
}

/// Appends a space, a number below a million, and a line feed.
#[inline]
pub(super) fn write_whole_end(out: &mut Vec<u8>, number: u32) {
    let (digits, length) = digits(number);
    // As there are six digits at most, all of it are eight bytes.
    let text = u64::from(b' ') | digits << 8 | u64::from(b'\n') << (8 * (1 + length));
    append(out, &text.to_le_bytes(), length + 2);
}

/// Appends the first `length` bytes of a text. To append all of it and take back what is too much is faster than to copy a
/// length that is not known.
#[inline]
fn append(out: &mut Vec<u8>, text: &[u8], length: usize) {
    let end = out.len() + length;
    out.extend_from_slice(text);
    out.truncate(end);
}

/// The text of a number with up to three decimals whose whole part is `whole`, and its length. `None` if there are more.
#[inline]
fn decimal(magnitude: f64, whole: u32) -> Option<(u128, usize)> {
    let thousandths = (magnitude * 1000.0 + 0.5) as u32;
    // Also what is no number differs.
    if f64::from(thousandths) / 1000.0 != magnitude {
        return None;
    }
    let (digits, length) = digits(whole);
    // Not a whole number, so it can't have been rounded up to the next one.
    let rest = thousandths - whole * 1000;
    let digit = |unit: u32| b'0' + (rest / unit % 10) as u8;
    let decimals = u32::from_le_bytes([b'.', digit(100), digit(10), digit(1)]);
    let text = u128::from(digits) | u128::from(decimals) << (8 * length);
    let count = 2 + usize::from(!rest.is_multiple_of(100)) + usize::from(!rest.is_multiple_of(10));
    Some((text, length + count))
}

/// The digits of a number below 10^8 as bytes, the first one in the lowest byte, and how many there are. The number is
/// divided three times, each time into parts half as long that stand side by side (as in D. Lemire, "Converting integers
/// to fix-digit representations quickly", 2021).
#[inline]
fn digits(number: u32) -> (u64, usize) {
    let fours = u64::from(number / 10_000) | u64::from(number % 10_000) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | (twos - tens * 10) << 8;
    let leading = (ones.trailing_zeros() / 8).min(7);
    ((ones | 0x3030_3030_3030_3030) >> (8 * leading), 8 - leading as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_digits_in_their_order() {
        for number in (0..100_000).chain((0..100_000_000).step_by(9_973)).chain([99_999_999]) {
            let (digits, length) = digits(number);
            assert_eq!(&digits.to_le_bytes()[..length], number.to_string().as_bytes());
        }
    }

    #[test]
    fn every_number_of_three_decimals() {
        let thousandths = (0..2_000_000).chain((0..1_000_000_000).step_by(9_973)).chain([999_999_999]);
        for thousandths in thousandths {
            for value in [f64::from(thousandths) / 1000.0, -f64::from(thousandths) / 1000.0] {
                let mut out = b"1 ".to_vec();
                assert!(write::<false>(&mut out, value), "{value}");
                // `Display` writes the shortest digits, but zero with its sign.
                assert_eq!(&out[2..], (value + 0.0).to_string().as_bytes());
                let mut line = b"1".to_vec();
                let is_positive = value >= 0.0;
                assert_eq!(write_end(&mut line, value), is_positive, "{value}");
                assert_eq!(line, if is_positive { [&out[..], b"\n"].concat() } else { b"1".to_vec() });
                out.truncate(2);
                assert!(write::<true>(&mut out, value), "{value}");
                // `Debug` writes whole numbers with a decimal.
                assert_eq!(&out[2..], format!("{:?}", value + 0.0).as_bytes());
            }
        }
    }

    #[test]
    fn other_numbers_are_left_alone() {
        for value in
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e6, -1e6, 0.0001, 0.0005, 0.1 + 0.2, 1e-300, 5e-324]
        {
            let mut out = b"1 ".to_vec();
            assert!(!write::<true>(&mut out, value), "{value}");
            assert!(!write_end(&mut out, value), "{value}");
            assert_eq!(out, b"1 ");
        }
    }
}
