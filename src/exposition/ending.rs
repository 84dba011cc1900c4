//! The start and end of a text body: byte order mark, last line, line ends.

/// The mark that Windows programs write at the start of a UTF-8 file. The parsers skip it.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The stock gateway's message for a body that ends within a line.
pub(super) const UNFINISHED: &str = "unexpected end of input stream";

/// The last line, if it has no line feed.
pub(super) fn unfinished_line(body: &[u8]) -> Option<&[u8]> {
    let start = memchr::memrchr(b'\n', body).map_or(0, |at| at + 1);
    let line = &body[start..];
    let line = if start == 0 { without_mark(line) } else { line };
    (!line.is_empty()).then_some(line)
}

/// Whether the body is only a byte order mark, as in a file that lost its content.
pub(super) fn is_mark_alone(body: &[u8]) -> bool {
    body == BYTE_ORDER_MARK
}

/// Whether the last line is an unfinished comment. `# EOF` ends a body with or without a line feed.
pub fn ends_in_comment(body: &[u8]) -> bool {
    unfinished_line(body).is_some_and(|line| line.trim_ascii_start().starts_with(b"#") && !is_eof(line))
}

/// Whether all lines of the body end in a carriage return alone.
pub fn has_only_carriage_returns(body: &[u8]) -> bool {
    memchr::memchr(b'\n', body).is_none() && memchr::memchr(b'\r', body).is_some()
}

/// Whether the last line of the body is `# EOF`.
pub fn ends_in_eof(body: &[u8]) -> bool {
    let body = body.trim_ascii_end();
    let start = memchr::memrchr(b'\n', body).map_or(0, |at| at + 1);
    is_eof(without_mark(&body[start..]))
}

/// Whether a line other than the first begins with a byte order mark.
pub fn has_inner_mark(body: &[u8]) -> bool {
    let body = without_mark(body);
    let begins_a_line = |at: usize| at == 0 || body[at - 1] == b'\n';
    memchr::memchr_iter(BYTE_ORDER_MARK[0], body)
        .any(|at| begins_a_line(at) && body[at..].starts_with(BYTE_ORDER_MARK))
}

/// Whether a line is `# EOF`.
fn is_eof(line: &[u8]) -> bool {
    let word = line.trim_ascii_start().strip_prefix(b"#");
    word.is_some_and(|word| word.trim_ascii() == b"EOF")
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// Removes spaces and tabs at the end.
pub(super) fn trim_blanks_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |at| at + 1);
    &line[..end]
}

/// Line and column, both from 1, of a byte of `input`.
pub fn position(input: &[u8], offset: usize) -> (usize, usize) {
    let before = without_mark(&input[..offset.min(input.len())]);
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    (memchr::memchr_iter(b'\n', before).count() + 1, before.len() - line_start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line() {
        for (body, line) in [
            ("", None),
            ("\n", None),
            ("a 1\n", None),
            ("\u{feff}", None),
            ("a 1", Some("a 1")),
            ("\u{feff}a 1", Some("a 1")),
            ("a 1\nb 2\r", Some("b 2\r")),
            ("a 1\n ", Some(" ")),
        ] {
            assert_eq!(unfinished_line(body.as_bytes()), line.map(str::as_bytes), "{body:?}");
        }
    }

    #[test]
    fn comments_and_ends() {
        for (body, comment, eof) in [
            ("# c", true, false),
            ("\u{feff}# c", true, false),
            ("a 1\n\t # c", true, false),
            ("a 1\n# EOF", false, true),
            ("a 1\n# EOF \r", false, true),
            ("a 1\n#EOF\n", false, true),
            ("# EOF", false, true),
            ("# EOFa 1", true, false),
            ("# TYPE a gaugea 1# EOF", true, false),
            ("# EOF\n# c\n", false, false),
            ("a 1", false, false),
            ("", false, false),
        ] {
            assert_eq!(ends_in_comment(body.as_bytes()), comment, "{body:?}");
            assert_eq!(ends_in_eof(body.as_bytes()), eof, "{body:?}");
        }
    }

    #[test]
    fn byte_order_marks_within() {
        for (body, has) in [
            ("\u{feff}a 1\n", false),
            ("# HELP a \u{feff}\n", false),
            ("\u{feff}\u{feff}a 1\n", true),
            ("a 1\n\u{feff}b 1\n", true),
        ] {
            assert_eq!(has_inner_mark(body.as_bytes()), has, "{body:?}");
        }
    }

    #[test]
    fn columns_do_not_count_the_byte_order_mark() {
        let body = "\u{feff}a x\n b".as_bytes();
        assert_eq!(position(body, 5), (1, 3));
        assert_eq!(position(body, 8), (2, 2));
        assert_eq!(position(b"a x", 2), (1, 3));
    }
}
