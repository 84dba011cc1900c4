//! Parses numbers as Go does.

/// Powers of ten that an `f64` holds exactly and that a short decimal may need.
const POWERS_OF_TEN: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Parses a number as `expfmt` does: Go's `ParseFloat` without hexadecimal and underscores.
#[inline]
pub(in crate::exposition) fn parse_f64(token: &[u8]) -> Option<f64> {
    short_decimal(token).or_else(|| any_f64(token))
}

/// The maximum length of a short decimal in bytes.
pub(super) const MAX_SHORT_DECIMAL: usize = 16;

/// Up to 15 digits with an optional point. The digits and the power of ten are exact, so one division rounds
/// correctly.
#[derive(Clone, Copy, Default)]
pub(super) struct ShortDecimal {
    digits: u64,
    count: usize,
    /// The number of digits before the point, if there is one.
    whole: Option<usize>,
}

impl ShortDecimal {
    #[inline]
    pub(super) fn add(&mut self, byte: u8) -> Option<()> {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            self.digits = self.digits * 10 + u64::from(digit);
            self.count += 1;
        } else if byte == b'.' && self.whole.is_none() {
            self.whole = Some(self.count);
        } else {
            return None;
        }
        Some(())
    }

    #[inline]
    pub(super) fn value(self) -> Option<f64> {
        if !(1..=15).contains(&self.count) {
            return None;
        }
        Some(match self.count - self.whole.unwrap_or(self.count) {
            0 => self.digits as f64,
            decimals => self.digits as f64 / POWERS_OF_TEN[decimals],
        })
    }
}

#[inline]
fn short_decimal(token: &[u8]) -> Option<f64> {
    if token.len() > MAX_SHORT_DECIMAL {
        return None;
    }
    let mut decimal = ShortDecimal::default();
    token.iter().try_for_each(|byte| decimal.add(*byte))?;
    decimal.value()
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
        for text in ["0.1", "387.125", "0.30000000000000", "12345678.9012345", "5.", ".5"] {
            assert_eq!(short_decimal(text.as_bytes()), text.parse().ok(), "{text}");
        }
        assert_eq!(short_decimal(b"."), None);
    }

    #[test]
    fn numbers_that_go_refuses() {
        for text in ["", "0x1F", "0x1p-2", "1_000", "1e999", "-NaN", "+nan", "1i", "--1", "1\r", "abc", "1e"]
        {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
    }
}
