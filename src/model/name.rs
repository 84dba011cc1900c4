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
    is_legacy(name, &METRIC_NAME_BYTES)
}

/// Whether `name` is a label name that every Prometheus understands without quotes.
pub fn is_legacy_label_name(name: &str) -> bool {
    is_legacy(name, &LABEL_NAME_BYTES)
}

fn is_legacy(name: &str, name_bytes: &[bool; 256]) -> bool {
    !name.is_empty() && legacy_length(name.as_bytes(), name_bytes) == name.len()
}

/// The length of the legacy name at the start of `text`. 0 if there is none.
#[inline]
pub fn legacy_length(text: &[u8], name_bytes: &[bool; 256]) -> usize {
    if text.first().is_none_or(u8::is_ascii_digit) {
        return 0;
    }
    // Eight bytes at once, because a branch for each of them takes twice the time.
    let is_part = |byte: u8| name_bytes[usize::from(byte)];
    let (words, _) = text.as_chunks::<8>();
    let whole = words.iter().take_while(|word| word.iter().fold(true, |all, byte| all & is_part(*byte)));
    let start = whole.count() * 8;
    let rest = &text[start..];
    start + rest.iter().position(|byte| !is_part(*byte)).unwrap_or(rest.len())
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
    name.is_empty() || is_reserved_label_name(name) || memchr::memchr(0, name.as_bytes()).is_some()
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

    #[test]
    fn a_name_ends_before_the_first_byte_that_it_can_not_have() {
        let name = "abcdefghijklmnopqrstuvwxyz_0123456789";
        for length in 0..name.len() {
            for rest in ["", "{", " x", "\u{e4}bcdefgh", "-23456789"] {
                let text = format!("{}{rest}", &name[..length]);
                assert_eq!(legacy_length(text.as_bytes(), &LABEL_NAME_BYTES), length, "{text}");
            }
        }
        assert_eq!(legacy_length(b"9abcdefghi", &LABEL_NAME_BYTES), 0);
    }
}
