//! Foreign text in messages. It is shortened, so that no client can make a message long, and
//! escaped as Go's `%q` does, because clients may match the words around it.
//!
//! A text is cut where it is quoted, before it is copied. [`bounded`] limits the whole message
//! before it is sent as an answer.

use std::borrow::Cow;
use std::fmt::{self, Debug, Display, Write};

/// How many bytes of a name, a value, a path or another text a message quotes.
pub const QUOTED_BYTES: usize = 200;

/// The longest message, in bytes.
pub const MESSAGE_BYTES: usize = 4096;

/// Room for what [`LeftOut`] writes, and for a line feed.
const MARK_BYTES: usize = 40;

/// `bytes` in double quotes, with everything escaped that is not printable UTF-8. Shows only the
/// beginning of a long text.
pub fn quote(bytes: &[u8]) -> String {
    quote_beginning(bytes, 0)
}

/// The same for the beginning of a text that goes on for `more` bytes.
pub fn quote_beginning(bytes: &[u8], more: usize) -> String {
    let mut out = String::from("\"");
    let quoted = push_quoted(&mut out, bytes);
    out.push('"');
    let _ = write!(out, "{}", LeftOut(bytes.len() - quoted + more));
    out
}

/// Appends the beginning of `bytes`, escaped, and returns how many bytes of the input that is.
fn push_quoted(out: &mut String, bytes: &[u8]) -> usize {
    // If this cuts a character in two, the limit below stops before that character.
    let bytes = &bytes[..bytes.len().min(QUOTED_BYTES + char::MAX.len_utf8())];
    let (start, mut quoted) = (out.len(), 0);
    for chunk in bytes.utf8_chunks() {
        let invalid = chunk.invalid().iter().map(|byte| (1, Err(*byte)));
        for (length, part) in chunk.valid().chars().map(|c| (c.len_utf8(), Ok(c))).chain(invalid) {
            let before = out.len();
            match part {
                Ok(c) => push_char(out, c, '"'),
                Err(byte) => _ = write!(out, "\\x{byte:02x}"),
            }
            if out.len() - start > QUOTED_BYTES {
                out.truncate(before);
                return quoted;
            }
            quoted += length;
        }
    }
    quoted
}

/// `byte` as Go quotes a character.
pub fn quote_byte(byte: u8) -> String {
    let mut out = String::from("'");
    push_char(&mut out, char::from(byte), '\'');
    out.push('\'');
    out
}

/// Appends a character as Go escapes it within this delimiter.
pub fn push_char(out: &mut String, c: char, delimiter: char) {
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
        c if is_printable(c) => out.push(c),
        c if c.is_ascii() => _ = write!(out, "\\x{:02x}", u32::from(c)),
        c if u32::from(c) < 0x10000 => _ = write!(out, "\\u{:04x}", u32::from(c)),
        c => _ = write!(out, "\\U{:08x}", u32::from(c)),
    }
}

/// Nearly Go's `unicode.IsPrint`: no control character, no white space but the space, nothing
/// invisible and nothing that changes the direction of writing.
pub fn is_printable(c: char) -> bool {
    // Includes the Unicode property Default_Ignorable_Code_Point, of which Go prints some. They
    // have no visible form.
    let invisible = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}'
        | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffc}' | '\u{fffe}'..='\u{ffff}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}'
        | '\u{1bca0}'..='\u{1bcaf}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..);
    c == ' ' || !(c.is_control() || c.is_whitespace() || invisible)
}

/// The beginning of a text, for a message. `{}` shows it with non-printable characters escaped,
/// `{:?}` also in quotes.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt {
    text: Box<str>,
    left_out: usize,
}

impl Excerpt {
    /// Takes the beginning of `text`.
    pub fn of(text: &str) -> Excerpt {
        let shown = beginning(text);
        Excerpt { text: shown.into(), left_out: text.len() - shown.len() }
    }
}

impl Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", printable(&self.text), LeftOut(self.left_out))
    }
}

impl Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quote_beginning(self.text.as_bytes(), self.left_out))
    }
}

/// The beginning of `text` that a message shows: at most [`QUOTED_BYTES`] once it is [`printable`].
pub fn beginning(text: &str) -> &str {
    let (mut shown, mut escaped) = (0, String::new());
    for (at, c) in text.char_indices() {
        if is_printable(c) {
            shown += c.len_utf8();
        } else {
            escaped.clear();
            push_char(&mut escaped, c, '"');
            shown += escaped.len();
        }
        if shown > QUOTED_BYTES {
            return &text[..at];
        }
    }
    text
}

/// Escapes only the characters of `text` that are not printable.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_printable(c) {
            out.push(c);
        } else {
            push_char(&mut out, c, '"');
        }
    }
    Cow::Owned(out)
}

/// The longest beginning of `text` that has at most `most` bytes and ends between characters.
fn fitting(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Says how many bytes of a text are not shown. Writes nothing for 0.
pub struct LeftOut(pub usize);

impl Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str("... (1 more byte)"),
            count => write!(f, "... ({count} more bytes)"),
        }
    }
}

/// A message that is short enough for [`MESSAGE_BYTES`] together with a line feed.
pub fn bounded(message: impl Display) -> String {
    let mut bounded = Bounded::new(MESSAGE_BYTES);
    let _ = write!(bounded, "{message}");
    bounded.finish()
}

/// Collects a text up to a limit, and counts the bytes beyond it.
#[derive(Debug)]
pub struct Bounded {
    text: String,
    most: usize,
    left_out: usize,
}

impl Bounded {
    /// A limit of `most` bytes, including the mark for left-out bytes.
    pub fn new(most: usize) -> Bounded {
        Bounded { text: String::new(), most: most.saturating_sub(MARK_BYTES), left_out: 0 }
    }

    /// The collected text, with a mark if something was left out.
    pub fn finish(mut self) -> String {
        let _ = write!(self.text, "{}", LeftOut(self.left_out));
        self.text
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = if self.left_out > 0 { 0 } else { self.most - self.text.len() };
        let fitting = fitting(text, room);
        self.text.push_str(fitting);
        self.left_out += text.len() - fitting.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_go_quotes() {
        assert_eq!(quote(b"/b/c/"), r#""/b/c/""#);
        assert_eq!(quote(b"a\"b\\c\n\t\x00\xff"), r#""a\"b\\c\n\t\x00\xff""#);
        assert_eq!(quote("größe ✓ \u{feff}".as_bytes()), "\"größe ✓ \\ufeff\"");
        assert_eq!(quote_byte(b'\n'), r"'\n'");
        assert_eq!(quote_byte(b'\''), r"'\''");
        assert_eq!(format!("{:?}", Excerpt::of("a\"\u{202e}")), r#""a\"\u202e""#);
        assert_eq!(Excerpt::of("a\"\\\u{202e}\x1b\n").to_string(), r#"a"\\u202e\x1b\n"#);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "a".repeat(QUOTED_BYTES);
        assert_eq!(quote(long.as_bytes()), format!("\"{long}\""));
        assert_eq!(quote(format!("{long}b").as_bytes()), format!("\"{long}\"... (1 more byte)"));
        assert_eq!(quote(format!("{long}✓").as_bytes()), format!("\"{long}\"... (3 more bytes)"));
        assert_eq!(
            quote(format!("{}✓", &long[1..]).as_bytes()),
            format!("\"{}\"... (3 more bytes)", &long[1..])
        );
        assert_eq!(quote(&[0; 1000]), format!("\"{}\"... (950 more bytes)", r"\x00".repeat(50)));
        assert_eq!(Excerpt::of(&long).to_string(), long);
        assert_eq!(Excerpt::of(&format!("{long}bc")).to_string(), format!("{long}... (2 more bytes)"));
        assert_eq!(
            format!("{:?}", Excerpt::of(&format!("{long}bc"))),
            format!("\"{long}\"... (2 more bytes)")
        );
        let message =
            bounded(format_args!("{}é{}", "a".repeat(MESSAGE_BYTES - MARK_BYTES - 1), "b".repeat(7)));
        assert!(message.ends_with("aaa... (9 more bytes)"), "{message}");
        assert_eq!(bounded("é").as_str(), "é");
    }

    proptest! {
        #[test]
        fn nothing_makes_a_quotation_long(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let quoted = quote(&bytes);
            prop_assert!(quoted.len() <= QUOTED_BYTES + 2 + MARK_BYTES);
            prop_assert!(quoted.chars().all(is_printable));
            // A short text is quoted unchanged.
            let is_whole = !quoted.ends_with(" more bytes)") && !quoted.ends_with(" more byte)");
            prop_assert!(is_whole || bytes.len() > QUOTED_BYTES / 10);
        }

        #[test]
        fn an_excerpt_and_its_rest_are_the_text(text in "(?s).{0,400}|[a-zé]{0,400}") {
            let excerpt = Excerpt::of(&text);
            prop_assert!(text.starts_with(&*excerpt.text));
            prop_assert_eq!(excerpt.text.len() + excerpt.left_out, text.len());
            let shown = printable(&excerpt.text);
            prop_assert!(shown.len() <= QUOTED_BYTES && shown.chars().all(is_printable));
            prop_assert!(excerpt.left_out == 0 || shown.len() > QUOTED_BYTES - 10);
        }

        #[test]
        fn messages_are_bounded(parts in proptest::collection::vec(".{0,900}", 0..12)) {
            let mut message = Bounded::new(MESSAGE_BYTES);
            parts.iter().for_each(|part| message.write_str(part).unwrap());
            let (all, message) = (parts.concat(), message.finish());
            prop_assert!(message.len() < MESSAGE_BYTES);
            prop_assert!(message == all || all.len() > MESSAGE_BYTES - MARK_BYTES);
        }
    }
}
