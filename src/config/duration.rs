//! Durations as Go reads and writes them: reads `5m`, `1h30m`, `1.5h`, `300ms`, `0`; prints `5m0s`.
//!
//! The humantime crate does not fit: it refuses spellings that Go accepts (`.5s`, `1.s`, `+5m`, the Greek
//! `μs`, fractions below a nanosecond) and accepts some with another meaning (`1M` is a month).

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use thiserror::Error;

use crate::message::Excerpt;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Go keeps a duration in a signed 64-bit count of nanoseconds.
const MOST_NANOS: u128 = i64::MAX as u128;

/// Why a text is not a duration, with the message of Go's `time.ParseDuration`.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DurationError {
    /// Not a sequence of numbers with units, or more than Go can hold.
    #[error("time: invalid duration {0:?}")]
    Invalid(Excerpt),
    /// A number without a unit.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(Excerpt),
    /// A number with a unit other than `ns`, `us`, `ms`, `s`, `m`, `h`.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The unit as written.
        unit: Excerpt,
        /// The whole duration as written.
        text: Excerpt,
    },
    /// Go accepts negative durations, but no setting has a use for one.
    #[error("time: negative duration {0:?}")]
    Negative(Excerpt),
}

/// Reads a duration as Go does, but refuses negative ones.
///
/// # Errors
///
/// If Go would refuse the text, or the duration is negative.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    parse_with(text, unit_nanos)
}

/// The same, with the longer units of Prometheus, too: `d`, `w` and `y` are 1, 7 and 365 times 24 hours.
///
/// # Errors
///
/// As for [`parse`].
pub fn parse_with_days(text: &str) -> Result<Duration, DurationError> {
    const DAY: u128 = 24 * 3_600 * NANOS_PER_SECOND;

    parse_with(text, |unit| match unit {
        "d" => Some(DAY),
        "w" => Some(7 * DAY),
        "y" => Some(365 * DAY),
        _ => unit_nanos(unit),
    })
}

fn parse_with(text: &str, units: impl Fn(&str) -> Option<u128>) -> Result<Duration, DurationError> {
    let invalid = || DurationError::Invalid(Excerpt::of(text));
    if text.starts_with('-') {
        return Err(DurationError::Negative(Excerpt::of(text)));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (nanos, after) = component(text, rest, &units)?;
        total = total.checked_add(nanos).filter(|sum| *sum <= MOST_NANOS).ok_or_else(invalid)?;
        rest = after;
    }
    let seconds = u64::try_from(total / NANOS_PER_SECOND).map_err(|_| invalid())?;
    let nanos = u32::try_from(total % NANOS_PER_SECOND).map_err(|_| invalid())?;
    Ok(Duration::new(seconds, nanos))
}

/// Reads one number and its unit from the front; returns nanoseconds and what follows.
fn component<'a>(
    text: &str,
    rest: &'a str,
    units: impl Fn(&str) -> Option<u128>,
) -> Result<(u128, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(Excerpt::of(text));
    let (whole, rest) = split_digits(rest);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => split_digits(after),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(end);
    if unit.is_empty() {
        return Err(DurationError::MissingUnit(Excerpt::of(text)));
    }
    let nanos_per_unit = units(unit)
        .ok_or_else(|| DurationError::UnknownUnit { unit: Excerpt::of(unit), text: Excerpt::of(text) })?;
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    let nanos = whole
        .checked_mul(nanos_per_unit)
        .and_then(|nanos| nanos.checked_add(fraction_nanos(fraction, nanos_per_unit)))
        .ok_or_else(invalid)?;
    Ok((nanos, after))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        // The micro sign, and the Greek letter that looks like it.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3_600 * NANOS_PER_SECOND,
        _ => return None,
    })
}

/// `digits` as decimals of a unit, cut off below a nanosecond.
fn fraction_nanos(digits: &str, nanos_per_unit: u128) -> u128 {
    // Sixteen digits resolve a nanosecond even of a day, and cannot overflow.
    let (value, scale) = digits
        .bytes()
        .take(16)
        .fold((0, 1), |(value, scale), digit| (value * 10 + u128::from(digit - b'0'), scale * 10));
    value * nanos_per_unit / scale
}

/// Writes a duration as Go's `Duration.String` does: `5m0s`, `1h0m0s`, `1.5s`, `300ms`, `0s`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(nanos, 1_000)),
        1_000_000..NANOS_PER_SECOND => format!("{}ms", decimal(nanos, 1_000_000)),
        _ => clock(nanos),
    }
}

/// The same without the zeros at the end: `5m`, `1h`.
pub(super) fn format_briefly(duration: Duration) -> String {
    let text = format(duration);
    let without = |text: &'_ str, zero, unit| -> Option<usize> {
        text.strip_suffix(zero).filter(|rest| rest.ends_with(unit)).map(str::len)
    };
    let end = without(&text, "0s", 'm').unwrap_or(text.len());
    let end = without(&text[..end], "0m", 'h').unwrap_or(end);
    text[..end].to_owned()
}

/// Hours and minutes only if they are needed, seconds always.
fn clock(nanos: u128) -> String {
    let minutes = nanos / (60 * NANOS_PER_SECOND);
    let seconds = decimal(nanos % (60 * NANOS_PER_SECOND), NANOS_PER_SECOND);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `nanos / unit` without trailing zeros.
fn decimal(nanos: u128, unit: u128) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", nanos / unit, nanos % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// For `#[serde(deserialize_with)]`: a duration in its text form.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    const EXPECTED: &str = "a duration such as \"30s\", \"5m\" or \"1h30m\"";

    struct Text;

    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(EXPECTED)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            parse(text).map_err(|error| E::custom(format_args!("{error}, expected {EXPECTED}")))
        }
    }

    deserializer.deserialize_any(Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> u128 {
        parse(text).unwrap().as_nanos()
    }

    #[test]
    fn reads_what_go_reads() {
        for (text, expected) in [
            ("0", 0),
            ("+0", 0),
            ("0s", 0),
            ("5m", 300 * NANOS_PER_SECOND),
            ("+5m", 300 * NANOS_PER_SECOND),
            ("5m0s", 300 * NANOS_PER_SECOND),
            ("1h30m", 5_400 * NANOS_PER_SECOND),
            ("1.5h", 5_400 * NANOS_PER_SECOND),
            ("2h45m30.5s", 9_930_500_000_000),
            ("30m1h", 5_400 * NANOS_PER_SECOND),
            ("1h1h", 7_200 * NANOS_PER_SECOND),
            ("300ms", 300_000_000),
            ("100us", 100_000),
            ("1µs", 1_000),
            ("1\u{3bc}s", 1_000),
            ("7ns", 7),
            (".5s", 500_000_000),
            ("1.s", NANOS_PER_SECOND),
            ("0.1ns", 0),
            ("00005m", 300 * NANOS_PER_SECOND),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("2562047h47m16.854775807s", MOST_NANOS),
        ] {
            assert_eq!(nanos(text), expected, "{text}");
        }
    }

    #[test]
    fn reads_days_where_it_is_asked_to() {
        let hours = |text: &str| parse_with_days(text).map(|duration| duration.as_secs() as f64 / 3600.0);
        for (text, expected) in
            [("1d", 24.0), ("1d12h", 36.0), ("0.5d", 12.0), ("2w", 336.0), ("1y", 8760.0), ("90m", 1.5)]
        {
            assert_eq!(hours(text), Ok(expected), "{text}");
        }
        assert_eq!(
            parse_with_days("1M").unwrap_err().to_string(),
            r#"time: unknown unit "M" in duration "1M""#
        );
        for text in ["293y", "99999999999999999999999999999999999999d", "1 d", "d"] {
            assert!(parse_with_days(text).is_err(), "{text}");
        }
    }

    /// The messages were recorded from the stock gateway 1.11.2.
    #[test]
    fn refuses_what_go_refuses_in_its_words() {
        for (text, message) in [
            ("1d", r#"time: unknown unit "d" in duration "1d""#),
            ("1", r#"time: missing unit in duration "1""#),
            ("", r#"time: invalid duration """#),
            ("x", r#"time: invalid duration "x""#),
            ("1h 30m", r#"time: unknown unit "h " in duration "1h 30m""#),
            ("1M", r#"time: unknown unit "M" in duration "1M""#),
            ("5m5", r#"time: missing unit in duration "5m5""#),
            (".s", r#"time: invalid duration ".s""#),
            ("9999999h", r#"time: invalid duration "9999999h""#),
            ("99999999999999999999999999999999999999999h", ""),
            ("340282366920938463463374607431768211455h", ""),
            ("+", r#"time: invalid duration "+""#),
            ("-5m", r#"time: negative duration "-5m""#),
            (" 5m", r#"time: invalid duration " 5m""#),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error == message || message.is_empty(), "{text}: {error}");
        }
    }

    #[test]
    fn prints_as_go_prints() {
        for text in [
            "0s",
            "1ns",
            "1.1µs",
            "2.2ms",
            "300ms",
            "3.3s",
            "1.5s",
            "5m0s",
            "4m5.001s",
            "1h0m0s",
            "5h6m7.001s",
            "59.999999999s",
            "2562047h47m16.854775807s",
        ] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        assert_eq!(format(Duration::from_secs(90)), "1m30s");
    }
}
