//! Validity of metric and label names.
//!
//! "Legacy" names are those of Prometheus before 3.0 (`[a-zA-Z_:][a-zA-Z0-9_:]*` for metrics, without
//! the colon for labels); since then any non-empty UTF-8 string can be a name.

/// Whether a byte is allowed in a legacy label name, except at its start.
pub static LABEL_NAME_BYTES: [bool; 256] = name_bytes(false);

/// Whether a byte is allowed in a legacy metric name, except at its start.
pub static METRIC_NAME_BYTES: [bool; 256] = name_bytes(true);

const fn name_bytes(may_have_colon: bool) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || byte == b'_' || (byte == b':' && may_have_colon);
        byte += 1;
    }
    table
}

/// Whether `name` is a metric name that every Prometheus understands without quotes.
pub fn is_legacy_metric_name(name: &str) -> bool {
    name.bytes().all(|byte| METRIC_NAME_BYTES[usize::from(byte)])
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// Whether `name` is a label name that every Prometheus understands without quotes.
pub fn is_legacy_label_name(name: &str) -> bool {
    name.bytes().all(|byte| LABEL_NAME_BYTES[usize::from(byte)])
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// Whether a legacy name may have `c` at the offset `at`.
pub fn is_legacy_at(at: usize, c: char, name_bytes: &[bool; 256]) -> bool {
    c.is_ascii() && name_bytes[c as usize] && (at > 0 || !c.is_ascii_digit())
}

/// Whether `name` is reserved for Prometheus itself.
pub fn is_reserved_label_name(name: &str) -> bool {
    name.starts_with("__")
}

/// Whether no series can have a label of this name: it is empty or reserved, or has a NUL character, which
/// Prometheus does not read in names.
pub fn is_unusable_label_name(name: &str) -> bool {
    name.is_empty() || is_reserved_label_name(name) || name.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_names() {
        for name in ["a", "_", "a1", "aB_9", "__x"] {
            assert!(is_legacy_label_name(name) && is_legacy_metric_name(name), "{name}");
        }
        for name in ["", "1a", "a-b", "ä", "a b", "a.b"] {
            assert!(!is_legacy_label_name(name) && !is_legacy_metric_name(name), "{name}");
        }
        assert!(is_legacy_metric_name(":a:b") && !is_legacy_label_name("a:b"));
    }
}
