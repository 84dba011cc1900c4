//! Parses numbers as Go does.

/// Powers of ten that an `f64` holds exactly and that a short decimal may need.
const POWERS_OF_TEN: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Parses a number as `expfmt` does: Go's `ParseFloat` without hexadecimal and underscores.
#[inline]
pub(in crate::exposition) fn parse_f64(token: &[u8]) -> Option<f64> {
    short_decimal(token).or_else(|| any_f64(token))
}

/// The most digits of a short decimal.
const MAX_DIGITS: usize = 15;

/// The short decimal at the start of `bytes` and its length: up to 15 digits with an optional point. The digits and the
/// power of ten are exact, so one division rounds correctly.
#[inline]
pub(super) fn short_decimal_at(bytes: &[u8]) -> Option<(f64, usize)> {
    // So many digits can't overflow.
    let bytes = &bytes[..bytes.len().min(MAX_DIGITS + 2)];
    let (mut number, mut at) = (0, 0);
    let mut read_digits = |at: &mut usize| {
        while let Some(digit) = bytes.get(*at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
        {
            number = number * 10 + i64::from(digit);
            *at += 1;
        }
        number
    };
    let whole = read_digits(&mut at);
    let (count, value) = if bytes.get(at) == Some(&b'.') {
        let point = at;
        at += 1;
        let digits = read_digits(&mut at);
        let decimals = at - point - 1;
        (at - 1, digits as f64 / POWERS_OF_TEN.get(decimals)?)
    } else {
        (at, whole as f64)
    };
    (1..=MAX_DIGITS).contains(&count).then_some((value, at))
}

#[inline]
fn short_decimal(token: &[u8]) -> Option<f64> {
    short_decimal_at(token).and_then(|(value, length)| (length == token.len()).then_some(value))
}

/// A number that is followed by `end`, and its length, if that is one of a number.
pub(super) fn number_before(bytes: &[u8], end: &[u8]) -> Option<(f64, usize)> {
    const INFINITY: &[u8] = b"+Inf";
    const LONGEST: usize = 24;
    if bytes.strip_prefix(INFINITY).is_some_and(|rest| rest.starts_with(end)) {
        return Some((f64::INFINITY, INFINITY.len()));
    }
    let length = bytes.windows(end.len()).take(LONGEST + 1).position(|text| text == end)?;
    Some((parse_f64(&bytes[..length])?, length))
}

fn any_f64(token: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(token).ok()?;
    let value: f64 = text.parse().ok()?;
    let digits = text.trim_start_matches(['+', '-']);
    let is_word = !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    // Rust accepts a signed NaN and rounds out-of-range numbers to infinity. Go refuses both.
    if (value.is_nan() && digits.len() < text.len()) || (value.is_infinite() && !is_word) {
        return None;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_go_reads() {
        for (text, value) in [
            ("+1", 1.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1E3", 1000.0),
            ("-0", -0.0),
            ("123456789012345", 123456789012345.0),
            ("4.9e-324", 5e-324),
            ("1e-400", 0.0),
            ("Infinity", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("+Inf", f64::INFINITY),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
        }
        assert!(parse_f64(b"nan").is_some_and(f64::is_nan));
    }

    #[test]
    fn short_decimals_are_rounded_like_any_number() {
        for text in ["0.1", "387.125", "0.30000000000000", "12345678.9012345", "5.", ".5", "123456789012345"]
        {
            assert_eq!(short_decimal(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in ["", ".", "1.2.3", "-1", "1234567890123456", "0.300000000000001", "1e3"] {
            assert_eq!(short_decimal(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn numbers_that_go_refuses() {
        for text in ["", "0x1F", "0x1p-2", "1_000", "1e999", "-NaN", "+nan", "1i", "--1", "1\r", "abc", "1e"]
        {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
    }
}
