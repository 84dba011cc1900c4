//! Quoting as Go's `%q` does it, for messages whose words clients may match.

use std::fmt::Write;

/// `bytes` in double quotes, with what is not printable UTF-8 escaped.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_char(&mut out, c, '"'));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

/// `byte` as Go quotes a character.
pub fn quote_byte(byte: u8) -> String {
    let mut out = String::from("'");
    push_char(&mut out, char::from(byte), '\'');
    out.push('\'');
    out
}

fn push_char(out: &mut String, c: char, delimiter: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        c if c == delimiter => {
            out.push('\\');
            out.push(c);
        }
        c if (c as u32) < 0x20 || c as u32 == 0x7f => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        c if is_unprintable(c) && (c as u32) < 0x10000 => {
            let _ = write!(out, "\\u{:04x}", c as u32);
        }
        c if is_unprintable(c) => {
            let _ = write!(out, "\\U{:08x}", c as u32);
        }
        c => out.push(c),
    }
}

/// An approximation of `!unicode.IsPrint` that covers controls, format characters, blanks other than
/// the space, surrogates' neighbours and private use.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}'
            | '\u{e0000}'..='\u{10ffff}')
}

/// The first characters of a text, quoted.
pub fn quote_beginning(text: &str) -> String {
    const SHOWN_CHARS: usize = 64;
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", quote(&text.as_bytes()[..end])),
        None => quote(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_quotes() {
        assert_eq!(quote(b"/b/c/"), r#""/b/c/""#);
        assert_eq!(quote(b"a\"b\\c\n\t\x00\xff"), r#""a\"b\\c\n\t\x00\xff""#);
        assert_eq!(quote("größe ✓ \u{feff}".as_bytes()), "\"größe ✓ \\ufeff\"");
        assert_eq!(quote_byte(b'\n'), r"'\n'");
        assert_eq!(quote_byte(b'\''), r"'\''");
    }
}
