//! Reads the tokens of the text formats.

mod number;
mod value_end;

use std::borrow::Cow;

use bumpalo::Bump;

use crate::exposition::ending::{self, BYTE_ORDER_MARK};
use crate::exposition::error::ParseError;
use crate::message::{printable, quote, quote_byte};
use crate::model::labels::{closing_quote, unescape};
use crate::model::limits::{Limit, TooMuch};
use crate::model::name::{LABEL_NAME_BYTES, METRIC_NAME_BYTES, legacy_length};
use number::{number_before, short_decimal_at};
use value_end::find_value_end;

pub(super) use number::parse_f64;

/// A position in the body, with methods that read tokens from it.
///
/// No token reaches beyond its line, so lines need not be found first. A line ends with LF, CRLF or the end of the
/// body.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    input: &'a [u8],
    /// The whole body as text if it is UTF-8, so that no part of it has to be checked again.
    text: Option<&'a str>,
    /// Stores texts whose form in the body differs.
    arena: &'a Bump,
    pub(super) at: usize,
}

/// A fault and its offset in the body.
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) message: String,
    /// The exceeded limit, if that is the fault.
    pub(super) limit: Option<Limit>,
}

impl Fault {
    /// The fault of a body that ends within a line.
    #[cold]
    pub(super) fn unfinished(input: &[u8]) -> Fault {
        Fault { offset: input.len(), message: ending::UNFINISHED.to_owned(), limit: None }
    }

    /// Converts the fault to an error in the format with this name.
    #[cold]
    pub(super) fn in_body(self, input: &[u8], format: &'static str) -> ParseError {
        let place = Some(ending::position(input, self.offset));
        ParseError { format, place, limit: self.limit, message: self.message }
    }
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of the body, behind a byte order mark.
    pub(super) fn new(input: &'a [u8], arena: &'a Bump) -> Cursor<'a> {
        let at = if input.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Cursor { input, text: simdutf8::basic::from_utf8(input).ok(), arena, at }
    }

    fn keep(&self, text: Cow<'a, str>) -> &'a str {
        match text {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => self.arena.alloc_str(&text),
        }
    }

    /// A part of the body as text, if it is UTF-8.
    #[inline]
    fn text(&self, start: usize, end: usize) -> Option<&'a str> {
        match self.text {
            Some(text) => text.get(start..end),
            None => std::str::from_utf8(&self.input[start..end]).ok(),
        }
    }

    /// The bytes from here to the end of the body.
    #[inline]
    fn ahead(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    #[inline]
    pub(super) fn is_at_end_of_body(&self) -> bool {
        self.at >= self.input.len()
    }

    /// The next byte. At the end of the body, a line feed.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.input.get(self.at).copied().unwrap_or(b'\n')
    }

    #[inline]
    pub(super) fn is_at_end_of_line(&self) -> bool {
        match self.peek() {
            b'\n' => true,
            b'\r' => matches!(self.input.get(self.at + 1), None | Some(b'\n')),
            _ => false,
        }
    }

    /// Whether only blanks are left in the line. If so, skips them.
    #[inline]
    pub(super) fn is_blank_to_end_of_line(&mut self) -> bool {
        // Usually a single blank follows, before something else.
        self.is_at_end_of_line()
            || (matches!(self.ahead(), [b' ' | b'\t'] | [b' ' | b'\t', b' ' | b'\t' | b'\r' | b'\n', ..])
                && self.skips_blanks_to_end_of_line())
    }

    #[cold]
    fn skips_blanks_to_end_of_line(&mut self) -> bool {
        let start = self.at;
        self.skip_blanks();
        let is_blank = self.is_at_end_of_line();
        if !is_blank {
            self.at = start;
        }
        is_blank
    }

    /// The bytes from here to the end of the line, without trailing blanks.
    pub(super) fn words(&mut self) -> &'a [u8] {
        let ahead = self.ahead();
        // Usually a single word.
        let length = ahead.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if ahead.get(length) == Some(&b'\n') {
            self.at += length;
            return &ahead[..length];
        }
        ending::trim_blanks_end(self.rest())
    }

    /// Whether the line has no line feed. Must be called at the end of the line.
    #[inline]
    pub(super) fn is_unfinished(&self) -> bool {
        matches!(self.ahead(), [] | [b'\r'])
    }

    /// The fault of a body that ends within a line.
    #[cold]
    pub(super) fn unfinished(&self) -> Fault {
        Fault::unfinished(self.input)
    }

    /// Moves to the start of the next line. Must be called at the end of the line.
    #[inline]
    pub(super) fn next_line(&mut self) {
        self.at = (self.at + 1 + usize::from(self.peek() == b'\r')).min(self.input.len());
    }

    /// Moves to the end of the line.
    pub(super) fn skip_line(&mut self) {
        self.at = self.end_of_line();
    }

    /// The offset of the end of the line.
    fn end_of_line(&self) -> usize {
        let ahead = self.ahead();
        let length = memchr::memchr(b'\n', ahead).unwrap_or(ahead.len());
        let has_return = length > 0 && ahead[length - 1] == b'\r';
        self.at + length - usize::from(has_return)
    }

    #[inline]
    pub(super) fn skip_blanks(&mut self) {
        // Mostly there is none, or one.
        if matches!(self.peek(), b' ' | b'\t') {
            self.at += 1;
            if matches!(self.peek(), b' ' | b'\t') {
                self.skip_more_blanks();
            }
        }
    }

    #[cold]
    fn skip_more_blanks(&mut self) {
        let blanks = self.ahead().iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        self.at += blanks;
    }

    /// The bytes from here to the next blank.
    #[inline]
    pub(super) fn token(&mut self) -> &'a [u8] {
        let ahead = self.ahead();
        let mut length = ahead.iter().position(|b| matches!(b, b' ' | b'\t' | b'\n')).unwrap_or(ahead.len());
        let is_before_blank = ahead.get(length).is_some_and(|b| *b != b'\n');
        if length > 0 && ahead[length - 1] == b'\r' && !is_before_blank {
            length -= 1;
        }
        self.at += length;
        &ahead[..length]
    }

    /// The first word of a comment.
    #[inline]
    pub(super) fn comment_keyword(&mut self) -> &'a [u8] {
        match self.ahead() {
            // The form that every client writes.
            [b'#', b' ', keyword @ ..] if keyword.starts_with(b"HELP ") || keyword.starts_with(b"TYPE ") => {
                self.at += 6;
                &keyword[..4]
            }
            _ => {
                self.at += 1;
                self.skip_blanks();
                self.token()
            }
        }
    }

    /// The first word of an OpenMetrics comment, which begins with exactly `# `.
    #[inline]
    pub(super) fn openmetrics_keyword(&mut self) -> &'a [u8] {
        if !self.is_at(b"# ") {
            return b"";
        }
        self.at += 2;
        self.token()
    }

    /// Whether this text follows.
    #[inline]
    pub(super) fn is_at(&self, text: &[u8]) -> bool {
        self.ahead().starts_with(text)
    }

    /// The bytes from here to the end of the line.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        let start = self.at;
        self.skip_line();
        &self.input[start..self.at]
    }

    pub(super) fn fault(&self, offset: usize, message: impl Into<String>) -> Fault {
        Fault { offset, message: message.into(), limit: None }
    }

    /// The fault of an exceeded limit at this position.
    #[cold]
    pub(super) fn too_much(&self, offset: usize, TooMuch(limit): TooMuch) -> Fault {
        Fault { offset, message: format!("too much for one push ({})", limit.setting()), limit: Some(limit) }
    }

    /// Whether the name at this offset is written without quotes.
    #[inline]
    pub(super) fn is_bare(&self, at: usize) -> bool {
        self.input.get(at) != Some(&b'"')
    }

    /// A metric name, bare or quoted. Empty if none follows.
    #[inline]
    pub(super) fn metric_name(&mut self) -> Result<&'a str, Fault> {
        if self.peek() == b'"' {
            return self.quoted_name("metric");
        }
        Ok(self.bare_name(&METRIC_NAME_BYTES))
    }

    /// A label name, bare or quoted. Empty if none follows.
    #[inline]
    pub(super) fn label_name(&mut self) -> Result<&'a str, Fault> {
        if self.peek() == b'"' {
            return self.quoted_name("label");
        }
        Ok(self.bare_name(&LABEL_NAME_BYTES))
    }

    fn bare_name(&mut self, name_bytes: &[bool; 256]) -> &'a str {
        let start = self.at;
        self.at += legacy_length(self.ahead(), name_bytes);
        self.text(start, self.at).unwrap_or_default()
    }

    /// Takes `name` if it is the next metric name.
    #[inline]
    pub(super) fn take_metric_name(&mut self, name: &str) -> bool {
        let ahead = self.ahead();
        let is_same = ahead.starts_with(name.as_bytes())
            && ahead.get(name.len()).is_none_or(|next| !METRIC_NAME_BYTES[usize::from(*next)]);
        self.at += if is_same { name.len() } else { 0 };
        is_same
    }

    /// Takes the bare label name `name` if it follows with an equals sign.
    #[inline]
    pub(super) fn take_label_name(&mut self, name: &str) -> bool {
        let ahead = self.ahead();
        let is_same = ahead.get(name.len()) == Some(&b'=') && ahead.starts_with(name.as_bytes());
        self.at += if is_same { name.len() } else { 0 };
        is_same
    }

    /// Takes a short decimal that is followed by a blank or a line feed, as most values are.
    #[inline]
    pub(super) fn take_short_decimal(&mut self) -> Option<f64> {
        let ahead = self.ahead();
        let (value, length) = short_decimal_at(ahead)?;
        if !matches!(ahead.get(length), Some(b' ' | b'\n' | b'\t')) {
            return None;
        }
        self.at += length;
        Some(value)
    }

    /// Takes the number in quotes behind the next `skipped` bytes if the closing brace follows.
    #[inline]
    pub(super) fn take_number_at_end_of_labels(&mut self, skipped: usize) -> Option<f64> {
        const END: &[u8] = b"\"}";
        let ahead = self.ahead().get(skipped..)?;
        let (number, length) = match short_decimal_at(ahead) {
            Some((number, length)) if ahead[length..].starts_with(END) => (number, length),
            _ => number_before(ahead, END)?,
        };
        self.at += skipped + length + END.len();
        Some(number)
    }

    fn quoted_name(&mut self, what: &str) -> Result<&'a str, Fault> {
        let start = self.at + 1;
        let line = &self.input[start..self.end_of_line().max(start)];
        let Some(length) = closing_quote(line) else {
            return Err(self.unterminated(start, &format!("{what} name"), line));
        };
        let raw = &line[..length];
        self.check_escapes(raw, start)?;
        let Some(raw) = self.text(start, start + length) else {
            return Err(self.fault(start, format!("invalid {what} name {}", quote(raw))));
        };
        self.at = start + length + 1;
        Ok(self.keep(unescape(raw)))
    }

    /// A label value with its quotes. Escapes are checked and stay.
    #[inline]
    pub(super) fn label_value(&mut self) -> Result<&'a str, Fault> {
        if self.peek() != b'"' {
            let found = quote_byte(self.peek());
            return Err(self.fault(self.at, format!("expected '\"' at start of label value, found {found}")));
        }
        let start = self.at + 1;
        let ahead = &self.input[start..];
        let length = match find_value_end(ahead).map(|at| (at, ahead[at])) {
            Some((length, b'"')) => length,
            _ => self.escaped_length(start)?,
        };
        let Some(value) = self.text(start, start + length) else {
            let message = format!("invalid label value {}", quote(&ahead[..length]));
            return Err(self.fault(start, message));
        };
        self.at = start + length + 1;
        Ok(value)
    }

    /// As for the text format, but a backslash that begins no escape stands for itself, as in OpenMetrics.
    #[inline]
    pub(super) fn openmetrics_label_value(&mut self) -> Result<&'a str, Fault> {
        if self.peek() != b'"' {
            return self.label_value();
        }
        let start = self.at + 1;
        let ahead = &self.input[start..];
        match find_value_end(ahead).map(|at| ahead[at]) {
            Some(b'\\') => self.odd_label_value(start),
            _ => self.label_value(),
        }
    }

    /// A label value with escapes, and perhaps with backslashes that begin none.
    #[cold]
    fn odd_label_value(&mut self, start: usize) -> Result<&'a str, Fault> {
        let line = &self.input[start..self.end_of_line().max(start)];
        let Some(length) = closing_quote(line) else {
            return Err(self.unterminated(start, "label value", line));
        };
        let Some(value) = self.text(start, start + length) else {
            return Err(self.fault(start, format!("invalid label value {}", quote(&line[..length]))));
        };
        self.at = start + length + 1;
        Ok(self.keep(with_known_escapes(value)))
    }

    /// The length of a label value that has escapes or no end.
    #[cold]
    fn escaped_length(&self, start: usize) -> Result<usize, Fault> {
        let line = &self.input[start..self.end_of_line().max(start)];
        let length = closing_quote(line);
        self.check_escapes(&line[..length.unwrap_or(line.len())], start)?;
        length.ok_or_else(|| self.unterminated(start, "label value", line))
    }

    fn unterminated(&self, start: usize, what: &str, line: &[u8]) -> Fault {
        if memchr::memchr(b'\n', self.ahead()).is_none() {
            self.unfinished()
        } else {
            self.fault(start, format!("{what} {} contains unescaped new-line", quote(line)))
        }
    }

    fn check_escapes(&self, raw: &[u8], start: usize) -> Result<(), Fault> {
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'\\', &raw[at..]) {
            at += found + 1;
            match raw.get(at) {
                Some(b'\\' | b'"' | b'n') => at += 1,
                Some(other) => {
                    let other = char::from(*other).to_string();
                    let message = format!("invalid escape sequence '\\{}'", printable(&other));
                    return Err(self.fault(start + at - 1, message));
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// The help text in OpenMetrics: the rest of the line with `\\`, `\n` and `\"` resolved.
    pub(super) fn openmetrics_help(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        let raw = self.rest();
        match self.text(start, self.at) {
            Some(text) => Ok(match with_known_escapes(text) {
                Cow::Borrowed(text) => self.keep(unescape(text)),
                Cow::Owned(text) => self.arena.alloc_str(&unescape(&text)),
            }),
            None => Err(self.fault(start, format!("the help text is not UTF-8: {}", quote(raw)))),
        }
    }

    /// The unit: the rest of the line.
    pub(super) fn unit(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        let raw = self.words();
        match self.text(start, start + raw.len()) {
            Some(text) => Ok(text),
            None => Err(self.fault(start, format!("invalid unit {}", quote(raw)))),
        }
    }

    /// The help text: the rest of the line with `\\`, `\n` and `\"` resolved. Invalid UTF-8 is replaced, because a
    /// scrape must be UTF-8.
    pub(super) fn help(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        let ahead = self.ahead();
        // Usually without escapes.
        if let Some(length) = memchr::memchr2(b'\n', b'\\', ahead)
            && ahead[length] == b'\n'
            && let Some(text) = self.text(start, start + length)
        {
            let text = text.strip_suffix('\r').unwrap_or(text);
            self.at += text.len();
            return Ok(text);
        }
        let raw = self.rest();
        self.check_escapes(raw, start)?;
        Ok(match self.text(start, self.at) {
            Some(text) => self.keep(unescape(text)),
            None => self.arena.alloc_str(&unescape(&String::from_utf8_lossy(raw))),
        })
    }
}

/// Doubles each backslash that begins no escape.
fn with_known_escapes(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = memchr::memchr(b'\\', &text.as_bytes()[at..]) {
        let backslash = at + found;
        if matches!(text.as_bytes().get(backslash + 1), Some(b'\\' | b'"' | b'n')) {
            at = backslash + 2;
        } else {
            out.push_str(&text[copied..=backslash]);
            out.push('\\');
            at = backslash + 1;
            copied = at;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}
