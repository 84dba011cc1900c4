//! Reading the tokens of one line.

use std::borrow::Cow;

use crate::exposition::quote::{quote, quote_byte};
use crate::model::labels::closing_quote;
use crate::model::name::{LABEL_NAME_BYTES, METRIC_NAME_BYTES};

/// A cursor over one line of the body.
///
/// The line is a range of the whole body, so that every position is an offset that an error can
/// turn into line and column.
#[derive(Clone)]
pub(super) struct Line<'a> {
    input: &'a [u8],
    /// The whole body as text, where all of it is UTF-8: then no part of it need be checked again.
    text: Option<&'a str>,
    pub(super) at: usize,
    end: usize,
    /// Whether the body ends where the line ends, without a line feed.
    is_unfinished: bool,
}

/// What is wrong, and at which offset of the body.
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) message: String,
}

impl<'a> Line<'a> {
    pub(super) fn new(
        input: &'a [u8],
        text: Option<&'a str>,
        start: usize,
        end: usize,
        is_unfinished: bool,
    ) -> Line<'a> {
        Line { input, text, at: start, end, is_unfinished }
    }

    /// A part of the body as text, if it is UTF-8.
    #[inline]
    fn text(&self, start: usize, end: usize) -> Option<&'a str> {
        match self.text {
            Some(text) => text.get(start..end),
            None => std::str::from_utf8(&self.input[start..end]).ok(),
        }
    }

    /// The next byte; a line feed at the end of the line.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        if self.at < self.end { self.input[self.at] } else { b'\n' }
    }

    #[inline]
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    #[inline]
    pub(super) fn skip_blanks(&mut self) {
        while self.at < self.end && matches!(self.input[self.at], b' ' | b'\t') {
            self.at += 1;
        }
    }

    /// The bytes from here to the next blank.
    #[inline]
    pub(super) fn token(&mut self) -> &'a [u8] {
        let start = self.at;
        while self.at < self.end && !matches!(self.input[self.at], b' ' | b'\t') {
            self.at += 1;
        }
        &self.input[start..self.at]
    }

    /// The bytes from here to the end of the line.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        let start = std::mem::replace(&mut self.at, self.end);
        &self.input[start..self.end]
    }

    pub(super) fn fault(&self, offset: usize, message: impl Into<String>) -> Fault {
        Fault { offset, message: message.into() }
    }

    /// A metric name, bare or quoted; empty where none stands here.
    #[inline]
    pub(super) fn metric_name(&mut self) -> Result<Cow<'a, str>, Fault> {
        if self.peek() == b'"' {
            return self.quoted_name("metric");
        }
        Ok(Cow::Borrowed(self.bare_name(&METRIC_NAME_BYTES)))
    }

    /// A label name, bare or quoted; empty where none stands here.
    #[inline]
    pub(super) fn label_name(&mut self) -> Result<Cow<'a, str>, Fault> {
        if self.peek() == b'"' {
            return self.quoted_name("label");
        }
        Ok(Cow::Borrowed(self.bare_name(&LABEL_NAME_BYTES)))
    }

    #[inline]
    fn bare_name(&mut self, name_bytes: &[bool; 256]) -> &'a str {
        let line = &self.input[self.at..self.end];
        if line.first().is_none_or(u8::is_ascii_digit) {
            return "";
        }
        let start = self.at;
        self.at += line.iter().position(|byte| !name_bytes[usize::from(*byte)]).unwrap_or(line.len());
        self.text(start, self.at).unwrap_or_default()
    }

    /// Takes `name` if it is the name that stands here.
    #[inline]
    pub(super) fn same_metric_name(&mut self, name: &str) -> bool {
        let line = &self.input[self.at..self.end];
        let is_same = line.starts_with(name.as_bytes())
            && line.get(name.len()).is_none_or(|next| !METRIC_NAME_BYTES[usize::from(*next)]);
        self.at += if is_same { name.len() } else { 0 };
        is_same
    }

    fn quoted_name(&mut self, what: &str) -> Result<Cow<'a, str>, Fault> {
        let start = self.at + 1;
        let Some(length) = closing_quote(&self.input[start..self.end]) else {
            let message =
                format!("{what} name {} contains unescaped new-line", quote(&self.input[start..self.end]));
            return Err(self.unterminated(start, message));
        };
        let raw = &self.input[start..start + length];
        self.check_escapes(raw, start)?;
        let Some(raw) = self.text(start, start + length) else {
            return Err(self.fault(start, format!("invalid {what} name {}", quote(raw))));
        };
        self.at = start + length + 1;
        Ok(crate::model::labels::unescape(raw))
    }

    /// A label value with its quotes, escapes checked and left in place.
    #[inline]
    pub(super) fn label_value(&mut self) -> Result<&'a str, Fault> {
        if self.peek() != b'"' {
            let found = quote_byte(self.peek());
            return Err(self.fault(self.at, format!("expected '\"' at start of label value, found {found}")));
        }
        let start = self.at + 1;
        let line = &self.input[start..self.end];
        let mut length = line.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(line.len());
        if length < line.len() && line[length] == b'\\' {
            length = match closing_quote(line) {
                Some(length) => length,
                None => line.len(),
            };
            self.check_escapes(&line[..length], start)?;
        }
        if length >= line.len() {
            let message = format!("label value {} contains unescaped new-line", quote(line));
            return Err(self.unterminated(start, message));
        }
        let Some(value) = self.text(start, start + length) else {
            return Err(self.fault(start, format!("invalid label value {}", quote(&line[..length]))));
        };
        self.at = start + length + 1;
        Ok(value)
    }

    fn unterminated(&self, start: usize, message: String) -> Fault {
        if self.is_unfinished {
            self.fault(self.end, "unexpected end of input stream")
        } else {
            self.fault(start, message)
        }
    }

    fn check_escapes(&self, raw: &[u8], start: usize) -> Result<(), Fault> {
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'\\', &raw[at..]) {
            at += found + 1;
            match raw.get(at) {
                Some(b'\\' | b'"' | b'n') => at += 1,
                Some(other) => {
                    let other = char::from(*other);
                    return Err(self.fault(start + at - 1, format!("invalid escape sequence '\\{other}'")));
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// The help text: the rest of the line with `\\`, `\n` and `\"` resolved.
    pub(super) fn help(&mut self) -> Result<Cow<'a, str>, Fault> {
        let start = self.at;
        let raw = self.rest();
        self.check_escapes(raw, start)?;
        Ok(match String::from_utf8_lossy(raw) {
            Cow::Borrowed(text) => crate::model::labels::unescape(text),
            Cow::Owned(text) => Cow::Owned(crate::model::labels::unescape(&text).into_owned()),
        })
    }
}

/// A number as `expfmt` reads it: Go's `ParseFloat` without hexadecimal and underscores.
#[inline]
pub(super) fn parse_f64(token: &[u8]) -> Option<f64> {
    if token.len() <= 15 && !token.is_empty() && token.iter().all(u8::is_ascii_digit) {
        return Some(token.iter().fold(0u64, |n, d| n * 10 + u64::from(d - b'0')) as f64);
    }
    let text = std::str::from_utf8(token).ok()?;
    let value: f64 = text.parse().ok()?;
    let digits = text.trim_start_matches(['+', '-']);
    let is_word = !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    // Rust reads a signed NaN and rounds what is out of range to infinity; Go refuses both.
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
    fn numbers_that_go_refuses() {
        for text in ["", "0x1F", "0x1p-2", "1_000", "1e999", "-NaN", "+nan", "1i", "--1", "1\r", "abc", "1e"]
        {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
    }
}
