//! Numbers in OpenMetrics: counts are integers, and all other numbers are marked as floats.

use crate::exposition::scan::parse_f64;
use crate::model::count::Count;
use crate::model::number::write_float;

/// Appends `.0` to the text of a number that looks like an integer.
#[inline]
pub(super) fn mark_float(text: &mut Vec<u8>) {
    if text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-') {
        text.extend_from_slice(b".0");
    }
}

/// Appends a number of observations.
pub(super) fn write_count(out: &mut Vec<u8>, count: Count) {
    match count {
        Count::Int(count) => out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes()),
        Count::Float(count) => write_float(out, count),
    }
}

/// Appends a time in seconds since the epoch, with nanoseconds.
pub(super) fn write_time(out: &mut Vec<u8>, nanos: i64) {
    let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    if seconds < 0 {
        // No counter began before the epoch, but such a time is at least a number.
        return write_float(out, nanos as f64 / 1e9);
    }
    out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
    let digits = format!(".{rest:09}");
    out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    if rest == 0 {
        out.push(b'0');
    }
}

/// Parses a time in seconds to nanoseconds. Decimals are read exactly, because an `f64` of today's seconds can't
/// hold nanoseconds.
pub(super) fn parse_time(token: &[u8]) -> Option<i64> {
    let seconds = parse_f64(token).filter(|seconds| seconds.is_finite())?;
    let exact = || {
        let text = std::str::from_utf8(token).ok()?;
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        if whole.starts_with(['+', '-']) || decimals.len() > 9 {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        let rest: i64 = if decimals.is_empty() { 0 } else { decimals.parse().ok()? };
        let scale = 10i64.pow(9 - decimals.len() as u32);
        whole.checked_mul(1_000_000_000)?.checked_add(rest * scale)
    };
    exact().or_else(|| {
        let nanos = seconds * 1e9;
        (nanos.abs() < i64::MAX as f64).then_some(nanos as i64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"1 ".to_vec();
        write(&mut out);
        String::from_utf8(out.split_off(2)).unwrap()
    }

    #[test]
    fn counts_are_integers_while_they_can_be() {
        assert_eq!(text(|out| write_count(out, Count::Int(u64::MAX))), "18446744073709551615");
        assert_eq!(text(|out| write_count(out, Count::Float(2.0))), "2.0");
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        for (nanos, expected) in [
            (1_795_331_944_438_298_852, "1795331944.438298852"),
            (1_520_879_607_789_000_000, "1520879607.789"),
            (1_000_000_000, "1.0"),
            (1, "0.000000001"),
            (-1_500_000_000, "-1.5"),
        ] {
            assert_eq!(text(|out| write_time(out, nanos)), expected);
        }
    }
}
