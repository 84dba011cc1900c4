//! Regular expressions as Prometheus reads them: in the syntax of Go, and matched from the first to the last character.
//!
//! The crate that matches them has a syntax that differs in details: what `\d`, `\w` and `\b` mean, sets within
//! classes, `\Q…\E`, braces that repeat nothing. So a pattern is translated into what means the same there.

use std::fmt::{self, Write as _};

use regex::{Captures, Regex};
use thiserror::Error;

use crate::message::Excerpt;

/// What everything matches, and relabelling has by default.
pub(super) const ANYTHING: &str = "(.*)";

/// No repetition may ask for more, as in Go.
const MOST_REPEATS: u32 = 1000;

/// A regular expression that has to match a whole text.
#[derive(Clone)]
pub(super) struct Pattern {
    source: Box<str>,
    regex: Regex,
    /// The names of the groups, that of the first group at 1.
    names: Vec<Option<String>>,
}

/// Why a text is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message} (at character {at} of the regular expression)")]
pub(super) struct PatternError {
    /// Which character is wrong, from 1.
    pub(super) at: usize,
    /// What is wrong.
    pub(super) message: String,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// If Go would not read it, or it is too large.
    pub(super) fn new(source: &str) -> Result<Pattern, PatternError> {
        let mut translation = Translation {
            source,
            rest: source,
            out: String::with_capacity(source.len() + 8),
            names: vec![None],
            open: Vec::new(),
        };
        translation.run()?;
        let Translation { out, names, .. } = translation;
        let regex = Regex::new(&format!("^(?s:{out})$")).map_err(|error| {
            let message = match error {
                regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
                error => {
                    let text = error.to_string();
                    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
                }
            };
            PatternError { at: 1, message }
        })?;
        Ok(Pattern { source: source.into(), regex, names })
    }

    /// Whether the pattern matches all of a text.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.is_anything() || self.regex.is_match(text)
    }

    /// Whether this is the pattern that matches everything and has it as its only group.
    pub(super) fn is_anything(&self) -> bool {
        *self.source == *ANYTHING
    }

    pub(super) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.regex.captures(text)
    }

    /// The numbers of the groups with this name. Several may have it.
    pub(super) fn groups(&self, name: &str) -> impl Iterator<Item = usize> {
        (0..).zip(&self.names).filter(move |(_, own)| own.as_deref() == Some(name)).map(|(number, _)| number)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pattern({:?})", self.source)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

/// The translation of a pattern, up to where the rest begins.
struct Translation<'s> {
    source: &'s str,
    rest: &'s str,
    out: String,
    names: Vec<Option<String>>,
    /// Where the groups begin that have not ended.
    open: Vec<&'s str>,
}

/// What stood last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing that can be repeated.
    Nothing,
    Item,
    Repetition,
}

/// What a character after a backslash means, or without one.
enum Meaning {
    Char(char),
    /// Characters as they stand in a class, and whether all others are meant.
    Class(&'static str, bool),
}

impl<'s> Translation<'s> {
    fn run(&mut self) -> Result<(), PatternError> {
        let mut last = Last::Nothing;
        while let Some(c) = self.rest.chars().next() {
            let start = self.rest;
            last = match c {
                '(' => {
                    self.open_group()?;
                    Last::Nothing
                }
                ')' => {
                    self.take(c);
                    if self.open.pop().is_none() {
                        return Err(self.error(start, "unexpected )"));
                    }
                    self.out.push(')');
                    Last::Item
                }
                '|' => {
                    self.take(c);
                    self.out.push('|');
                    Last::Nothing
                }
                '[' => {
                    self.class()?;
                    Last::Item
                }
                '*' | '+' | '?' => {
                    self.take(c);
                    self.out.push(c);
                    self.end_repetition(start, last)?
                }
                '{' => match self.repetition()? {
                    true => self.end_repetition(start, last)?,
                    false => {
                        self.take(c);
                        self.out.push_str("\\{");
                        Last::Item
                    }
                },
                '\\' => self.escape()?,
                '.' | '^' | '$' => {
                    self.take(c);
                    self.out.push(c);
                    Last::Item
                }
                _ => {
                    self.take(c);
                    self.push_literal(c);
                    Last::Item
                }
            };
        }
        match self.open.last() {
            Some(start) => Err(self.error(start, "missing closing )")),
            None => Ok(()),
        }
    }

    fn take(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
    }

    /// An error at the place where this part of the pattern begins.
    fn error(&self, part: &str, message: impl Into<String>) -> PatternError {
        let before = &self.source[..self.source.len() - part.len()];
        PatternError { at: before.chars().count() + 1, message: message.into() }
    }

    fn push_literal(&mut self, c: char) {
        if c.is_ascii_alphanumeric() || !c.is_ascii() {
            self.out.push(c);
        } else {
            let _ = write!(self.out, "\\x{{{:x}}}", u32::from(c));
        }
    }

    /// After an operator that repeats: it must have something to repeat, which is no repetition.
    fn end_repetition(&mut self, start: &str, last: Last) -> Result<Last, PatternError> {
        match last {
            Last::Nothing => return Err(self.error(start, "missing argument to repetition operator")),
            Last::Repetition => return Err(self.error(start, "invalid nested repetition operator")),
            Last::Item => {}
        }
        if let Some(rest) = self.rest.strip_prefix('?') {
            self.rest = rest;
            self.out.push('?');
        }
        Ok(Last::Repetition)
    }

    /// Takes `{2}`, `{2,}` or `{2,3}`. False if this is no repetition, and the brace stands for itself.
    fn repetition(&mut self) -> Result<bool, PatternError> {
        let start = self.rest;
        let Some((inside, rest)) = start[1..].split_once('}') else { return Ok(false) };
        let (least, most) = inside.split_once(',').map_or((inside, None), |(a, b)| (a, Some(b)));
        let is_number = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_digit())
                && (text.len() == 1 || !text.starts_with('0'))
        };
        if !is_number(least) || most.is_some_and(|most| !most.is_empty() && !is_number(most)) {
            return Ok(false);
        }
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number <= MOST_REPEATS);
        let most = most.filter(|most| !most.is_empty()).unwrap_or(least);
        match (number(least), number(most)) {
            (Some(least), Some(most)) if least <= most => {}
            _ => return Err(self.error(start, "invalid repeat count")),
        }
        let _ = write!(self.out, "{{{inside}}}");
        self.rest = rest;
        Ok(true)
    }

    /// Takes what begins a group, or sets flags.
    fn open_group(&mut self) -> Result<(), PatternError> {
        let start = self.rest;
        let inside = &start[1..];
        let Some(special) = inside.strip_prefix('?') else {
            self.rest = inside;
            self.open.push(start);
            self.names.push(None);
            self.out.push('(');
            return Ok(());
        };
        if let Some(named) = special.strip_prefix("P<").or_else(|| special.strip_prefix('<')) {
            let is_name = |name: &str| {
                !name.is_empty() && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
            };
            let (name, rest) = match named.split_once('>') {
                Some((name, rest)) if is_name(name) => (name, rest),
                _ => return Err(self.error(start, "invalid named capture")),
            };
            self.rest = rest;
            self.open.push(start);
            self.names.push(Some(name.to_owned()));
            self.out.push('(');
            return Ok(());
        }
        let end = special.find([':', ')']);
        let is_flags = |flags: &str| {
            let (on, off) = flags.split_once('-').map_or((flags, None), |(on, off)| (on, Some(off)));
            let are_known = |flags: &str| flags.bytes().all(|byte| b"imsU".contains(&byte));
            are_known(on) && off.is_none_or(|off| !off.is_empty() && are_known(off))
        };
        let Some(end) = end.filter(|end| is_flags(&special[..*end])) else {
            return Err(self.error(start, "invalid or unsupported Perl syntax"));
        };
        let (flags, rest) = special.split_at(end);
        self.rest = &rest[1..];
        if rest.starts_with(':') {
            self.open.push(start);
        }
        // A flag that comes twice is the same as once, which the crate does not think.
        let (on, off) = flags.split_once('-').unwrap_or((flags, ""));
        let once = |flags: &str| "imsU".chars().filter(|flag| flags.contains(*flag)).collect::<String>();
        let (on, off) = (once(on), once(off));
        let on: String = on.chars().filter(|flag| !off.contains(*flag)).collect();
        let is_group = rest.starts_with(':');
        match (off.is_empty(), on.is_empty(), is_group) {
            (true, true, false) => self.out.push_str("(?:)"),
            (true, _, _) => _ = write!(self.out, "(?{on}{}", &rest[..1]),
            (false, _, _) => _ = write!(self.out, "(?{on}-{off}{}", &rest[..1]),
        }
        Ok(())
    }

    /// Takes a backslash and what it makes of the characters behind it, outside a class.
    fn escape(&mut self) -> Result<Last, PatternError> {
        let after = &self.rest[1..];
        match after.chars().next() {
            Some(c @ ('A' | 'z')) => {
                self.rest = &after[1..];
                let _ = write!(self.out, "\\{c}");
            }
            Some(c @ ('b' | 'B')) => {
                self.rest = &after[1..];
                let _ = write!(self.out, "(?-u:\\{c})");
            }
            Some('Q') => {
                let quoted = &after[1..];
                let (quoted, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                self.rest = rest;
                quoted.chars().for_each(|c| self.push_literal(c));
                return Ok(if quoted.is_empty() { Last::Nothing } else { Last::Item });
            }
            Some('p' | 'P') => {
                let class = self.unicode_class()?;
                self.out.push_str(&class);
            }
            _ => match self.escaped()? {
                Meaning::Char(c) => self.push_literal(c),
                Meaning::Class(chars, is_negated) => {
                    let _ = write!(self.out, "[{}{chars}]", if is_negated { "^" } else { "" });
                }
            },
        }
        Ok(Last::Item)
    }

    /// Takes `\pN`, `\p{Greek}`, `\P{^Greek}`.
    fn unicode_class(&mut self) -> Result<String, PatternError> {
        let start = self.rest;
        let mut is_negated = start[1..].starts_with('P');
        let name = &start[2..];
        let invalid = "invalid character class range";
        let (name, rest) = match name.strip_prefix('{') {
            Some(name) => name.split_once('}').ok_or_else(|| self.error(start, invalid))?,
            None => match name.chars().next() {
                Some(c) => name.split_at(c.len_utf8()),
                None => return Err(self.error(start, invalid)),
            },
        };
        let name = match name.strip_prefix('^') {
            Some(name) => {
                is_negated = !is_negated;
                name
            }
            None => name,
        };
        let class = format!("\\{}{{{name}}}", if is_negated { 'P' } else { 'p' });
        if name.is_empty()
            || !name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
            || Regex::new(&class).is_err()
        {
            return Err(self.error(start, format!("unknown class of characters {:?}", Excerpt::of(name))));
        }
        self.rest = rest;
        Ok(class)
    }

    /// Takes a backslash and what is behind it, inside or outside a class.
    fn escaped(&mut self) -> Result<Meaning, PatternError> {
        let start = self.rest;
        let mut chars = start[1..].chars();
        let Some(c) = chars.next() else {
            return Err(self.error(start, "trailing backslash at end of expression"));
        };
        let invalid = "invalid escape sequence";
        let meaning = match c {
            'd' | 'D' => Meaning::Class("0-9", c == 'D'),
            's' | 'S' => Meaning::Class("\\t\\n\\x0c\\r ", c == 'S'),
            'w' | 'W' => Meaning::Class("0-9A-Za-z_", c == 'W'),
            'a' => Meaning::Char('\u{7}'),
            'f' => Meaning::Char('\u{c}'),
            'n' => Meaning::Char('\n'),
            'r' => Meaning::Char('\r'),
            't' => Meaning::Char('\t'),
            'v' => Meaning::Char('\u{b}'),
            '0'..='7' => {
                let digits =
                    start[1..].bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                if c != '0' && digits == 1 {
                    // Would be a reference to a group.
                    return Err(self.error(start, invalid));
                }
                let code = u32::from_str_radix(&start[1..=digits], 8).unwrap_or_default();
                self.rest = &start[1 + digits..];
                return Ok(Meaning::Char(char::from_u32(code).unwrap_or_default()));
            }
            'x' => {
                let after = chars.as_str();
                let (digits, rest) = match after.strip_prefix('{') {
                    Some(inside) => inside.split_once('}').unwrap_or_default(),
                    None => after.split_at_checked(2).unwrap_or_default(),
                };
                let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex);
                let Some(c) = code.and_then(char::from_u32) else {
                    return Err(self.error(start, invalid));
                };
                self.rest = rest;
                return Ok(Meaning::Char(c));
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Meaning::Char(c),
            _ => return Err(self.error(start, invalid)),
        };
        self.rest = chars.as_str();
        Ok(meaning)
    }

    /// Takes a class in brackets.
    fn class(&mut self) -> Result<(), PatternError> {
        let start = self.rest;
        let missing = "missing closing ]";
        self.rest = &start[1..];
        self.out.push('[');
        if let Some(rest) = self.rest.strip_prefix('^') {
            self.rest = rest;
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            let item = self.rest;
            match item.chars().next() {
                None => return Err(self.error(start, missing)),
                Some(']') if !is_first => break,
                _ => {}
            }
            is_first = false;
            if let Some((name, rest)) = item.strip_prefix("[:").and_then(|named| named.split_once(":]")) {
                const NAMES: [&str; 14] = [
                    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
                    "space", "upper", "word", "xdigit",
                ];
                if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                    return Err(self.error(item, "invalid character class range"));
                }
                let _ = write!(self.out, "[:{name}:]");
                self.rest = rest;
                continue;
            }
            if item.starts_with("\\p") || item.starts_with("\\P") {
                let class = self.unicode_class()?;
                self.out.push_str(&class);
                continue;
            }
            let low = match self.class_char(start)? {
                Meaning::Char(c) => c,
                Meaning::Class(chars, is_negated) => {
                    let _ = write!(self.out, "[{}{chars}]", if is_negated { "^" } else { "" });
                    continue;
                }
            };
            let mut high = low;
            if let Some(rest) = self.rest.strip_prefix('-').filter(|rest| !rest.starts_with(']')) {
                self.rest = rest;
                high = match self.class_char(start)? {
                    Meaning::Char(c) if low <= c => c,
                    _ => return Err(self.error(item, "invalid character class range")),
                };
            }
            let _ = write!(self.out, "\\x{{{:x}}}-\\x{{{:x}}}", u32::from(low), u32::from(high));
        }
        self.rest = &self.rest[1..];
        self.out.push(']');
        Ok(())
    }

    fn class_char(&mut self, class: &str) -> Result<Meaning, PatternError> {
        match self.rest.chars().next() {
            None => Err(self.error(class, "missing closing ]")),
            Some('\\') => self.escaped(),
            Some(c) => {
                self.take(c);
                Ok(Meaning::Char(c))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pattern, text, and whether it matches: what Go says of the same.
    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("a|b", "ab", false),
            ("a|b", "b", true),
            (".*", "a\nb", true),
            ("(?-s).*", "a\nb", false),
            ("(?i)straSSe", "STRASSE", true),
            (r"\d+", "12", true),
            // Other digits than those of ASCII are none.
            (r"\d", "\u{663}", false),
            (r"\w", "ä", false),
            (r"\W", "ä", true),
            (r"\s", "\u{a0}", false),
            (r"\s", "\u{b}", false),
            (r"\S", "\u{b}", true),
            (r"ä\bb", "äb", true),
            (r"a\Bb", "ab", true),
            (r"[\d-]+", "1-2", true),
            (r"[^\d]", "x", true),
            (r"[\Dx]", "7", false),
            (r"[\W]", "é", true),
            ("[[a]", "[", true),
            ("[[a]b]", "ab]", true),
            ("[a&&b]+", "a&b", true),
            ("[+--]+", "-,", true),
            ("[^-a]", "b", true),
            ("(?P<x>a)|(?P<x>b)", "b", true),
            ("[a~~b]", "~", true),
            ("[]a]+", "]a", true),
            ("[^]a]", "b", true),
            ("[a-]+", "a-", true),
            ("[[:alpha:]_]+", "a_", true),
            ("[[:^alpha:]]", "1", true),
            ("[[:alpha]", ":", true),
            (r"[\]\-\^]+", "]-^", true),
            (r"\Qa.b*\E+", "a.b**", true),
            (r"\Qa.b", "a.b", true),
            (r"\<a\>", "<a>", true),
            (r"a\_b\-c\/", "a_b-c/", true),
            ("a{2}", "aa", true),
            ("a{2,}", "aaaa", true),
            ("a{,2}", "a{,2}", true),
            ("a{", "a{", true),
            ("a{x}", "a{x}", true),
            ("a{02}", "a{02}", true),
            ("a}b]", "a}b]", true),
            (r"\x41\x{42}\103", "ABC", true),
            (r"\0", "\0", true),
            (r"\07", "\u{7}", true),
            (r"\p{Greek}+\pL", "αβx", true),
            (r"\P{Greek}", "α", false),
            (r"\p{^Greek}", "x", true),
            (r"[\p{Lu}0]+", "ÄA0", true),
            ("(?P<x>a)(?<y>b)(?:c)(?i:D)", "abcd", true),
            ("(?i)k", "\u{212a}", true),
            ("(?U)a+", "aaa", true),
            ("(?ii-s-m)", "", false),
            ("a # b", "a # b", true),
            ("x??", "x", true),
            ("a||b", "", true),
            ("()", "", true),
            (r"\Aa\z", "a", true),
            ("^a$", "a", true),
            ("a$b", "ab", false),
        ] {
            let matches = Pattern::new(pattern).map(|pattern| pattern.is_match(text));
            assert_eq!(matches.unwrap_or(false), expected, "{pattern} {text:?}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused_where_it_is_wrong() {
        for (pattern, at, message) in [
            ("a(b", 2, "missing closing )"),
            ("a)|(b", 2, "unexpected )"),
            ("[a", 1, "missing closing ]"),
            ("[]", 1, "missing closing ]"),
            ("ä[z-a]", 3, "invalid character class range"),
            ("[[:alfa:]]", 2, "invalid character class range"),
            ("*", 1, "missing argument to repetition operator"),
            ("a|*", 3, "missing argument to repetition operator"),
            ("{2}", 1, "missing argument to repetition operator"),
            ("a**", 3, "invalid nested repetition operator"),
            ("a+{2}", 3, "invalid nested repetition operator"),
            ("a???", 4, "invalid nested repetition operator"),
            ("a{1001}", 2, "invalid repeat count"),
            ("a{2,1}", 2, "invalid repeat count"),
            (r"a\", 2, "trailing backslash at end of expression"),
            (r"\q", 1, "invalid escape sequence"),
            (r"\1", 1, "invalid escape sequence"),
            (r"\C", 1, "invalid escape sequence"),
            (r"\ä", 1, "invalid escape sequence"),
            (r"\x{110000}", 1, "invalid escape sequence"),
            (r"\x4", 1, "invalid escape sequence"),
            (r"\p{Grec}", 1, "unknown class of characters \"Grec\""),
            ("(?=a)", 1, "invalid or unsupported Perl syntax"),
            ("(?x)a", 1, "invalid or unsupported Perl syntax"),
            ("(?i-)a", 1, "invalid or unsupported Perl syntax"),
            ("(?P<a b>c)", 1, "invalid named capture"),
            ("[a--]", 2, "invalid character class range"),
            ("(a{1000}){1000}{1000}", 16, "invalid nested repetition operator"),
            ("((a{1000}){1000}){1000}", 1, "it is too large"),
        ] {
            let error = Pattern::new(pattern).unwrap_err();
            assert_eq!((error.at, &*error.message), (at, message), "{pattern}");
        }
    }
}
