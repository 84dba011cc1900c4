//! Selectors of series, as Prometheus' query language has them and `match[]` takes them: `up`, `{job="a",code=~"5.."}`,
//! `{"my.metric", "a b"!="c"}`.
//!
//! Knows nothing of rules: deletion by selector uses it too.

use std::fmt::{self, Display};

use thiserror::Error;

use super::pattern::Pattern;
use crate::message::{Excerpt, quote, quote_byte};
use crate::model::name::{LABEL_NAME_BYTES, METRIC_NAME_BYTES};

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// A selector: all of its matchers have to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    matchers: Box<[Matcher]>,
}

/// One condition of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    name: Box<str>,
    value: Box<str>,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Equal,
    NotEqual,
    Match(Pattern),
    NoMatch(Pattern),
}

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message} (at character {column} of the selector)")]
pub struct SelectorError {
    /// The first character that is wrong, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    ///
    /// If Prometheus would not read it, or every series would match it.
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        let mut parser = Parser { text, rest: text, named: None };
        let matchers = parser.selector()?;
        Ok(Selector { matchers: matchers.into() })
    }

    /// Whether a series matches, whose label with a name `value_of` gives: empty if it has none. The label `__name__` is
    /// the metric name.
    #[inline]
    pub fn matches<V: AsRef<str>>(&self, mut value_of: impl FnMut(&str) -> V) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(value_of(&matcher.name).as_ref()))
    }

    /// The matchers, in the order of the text. A name outside the braces comes last.
    #[must_use]
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }
}

impl Matcher {
    /// The label that it is about.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this value of the label matches; an empty one for none.
    #[must_use]
    #[inline]
    pub fn matches(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal => *self.value == *value,
            Test::NotEqual => *self.value != *value,
            Test::Match(pattern) => pattern.is_match(value),
            Test::NoMatch(pattern) => !pattern.is_match(value),
        }
    }

    /// The only value that matches, if the matcher says so.
    #[must_use]
    pub fn equal(&self) -> Option<&str> {
        matches!(self.test, Test::Equal).then_some(&*self.value)
    }
}

impl Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("{")?;
        for (at, Matcher { name, value, test }) in self.matchers.iter().enumerate() {
            let operator = match test {
                Test::Equal => "=",
                Test::NotEqual => "!=",
                Test::Match(_) => "=~",
                Test::NoMatch(_) => "!~",
            };
            let comma = if at > 0 { "," } else { "" };
            write!(formatter, "{comma}{}{operator}{}", Quoted(name), Quoted(value))?;
        }
        formatter.write_str("}")
    }
}

/// A text as it reads back.
struct Quoted<'t>(&'t str);

impl Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(formatter, "\\{c}")?,
                '\n' => formatter.write_str("\\n")?,
                c if c.is_control() => write!(formatter, "\\U{:08x}", u32::from(c))?,
                c => write!(formatter, "{c}")?,
            }
        }
        formatter.write_str("\"")
    }
}

struct Parser<'t> {
    text: &'t str,
    rest: &'t str,
    /// The metric name, if it was given as one.
    named: Option<String>,
}

impl<'t> Parser<'t> {
    fn selector(&mut self) -> Result<Vec<Matcher>, SelectorError> {
        self.skip_blanks();
        let start = self.rest;
        let name = self.take_name(&METRIC_NAME_BYTES);
        self.skip_blanks();
        let mut matchers = Vec::new();
        if self.rest.starts_with('{') {
            self.rest = &self.rest[1..];
            self.matchers(&mut matchers)?;
            self.skip_blanks();
        } else if name.is_none() {
            return Err(self.unexpected("a selector such as {job=\"a\"}"));
        }
        if !self.rest.is_empty() {
            return Err(self.unexpected(if matchers.is_empty() { "{ or the end" } else { "the end" }));
        }
        if let Some(name) = name {
            if let Some(other) = matchers.iter().find(|matcher| *matcher.name == *METRIC_NAME) {
                return Err(self.name_twice(start, name, &other.value));
            }
            matchers.push(equal(METRIC_NAME, name));
        }
        if matchers.iter().all(|matcher| matcher.matches("")) {
            let message = "every series matches, expected a matcher that does not match the empty value";
            return Err(self.error(start, message));
        }
        Ok(matchers)
    }

    /// Takes what is in the braces, and the closing one.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<(), SelectorError> {
        loop {
            self.skip_blanks();
            if let Some(rest) = self.rest.strip_prefix('}') {
                self.rest = rest;
                return Ok(());
            }
            let start = self.rest;
            let (name, is_quoted) = match self.take_name(&LABEL_NAME_BYTES) {
                Some(name) => (name.to_owned(), false),
                None => (self.string("a label name or }")?, true),
            };
            self.skip_blanks();
            if is_quoted && (self.rest.starts_with([',', '}'])) {
                if name.is_empty() {
                    return Err(self.error(start, "a metric name can't be empty"));
                }
                if let Some(other) = &self.named {
                    return Err(self.name_twice(start, &name, other));
                }
                matchers.push(equal(METRIC_NAME, &name));
                self.named = Some(name);
            } else {
                if name.is_empty() {
                    return Err(self.error(start, "a label name can't be empty"));
                }
                matchers.push(self.matcher(name)?);
            }
            self.skip_blanks();
            match self.rest.chars().next() {
                Some(',') => self.rest = &self.rest[1..],
                Some('}') => {}
                _ => return Err(self.unexpected(", or }")),
            }
        }
    }

    /// Takes the operator and the value of a matcher.
    fn matcher(&mut self, name: String) -> Result<Matcher, SelectorError> {
        const OPERATORS: [&str; 4] = ["=~", "!~", "!=", "="];
        let found = OPERATORS.into_iter().find(|operator| self.rest.starts_with(operator));
        let Some(operator) = found else { return Err(self.unexpected("one of = != =~ !~")) };
        self.rest = &self.rest[operator.len()..];
        self.skip_blanks();
        let start = self.rest;
        let value = self.string("a value in quotes")?;
        let pattern = || {
            let wrong = |error| self.error(start, format!("the regular expression is wrong: {error}"));
            Pattern::new(&value).map_err(wrong)
        };
        let test = match operator {
            "=~" => Test::Match(pattern()?),
            "!~" => Test::NoMatch(pattern()?),
            "!=" => Test::NotEqual,
            _ => Test::Equal,
        };
        Ok(Matcher { name: name.into(), value: value.into(), test })
    }

    /// Blanks, and comments to the end of their lines.
    fn skip_blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
            let Some(comment) = self.rest.strip_prefix('#') else { return };
            self.rest = comment.find(['\n', '\r']).map_or("", |end| &comment[end..]);
        }
    }

    /// Takes a name without quotes, if there is one.
    fn take_name(&mut self, name_bytes: &[bool; 256]) -> Option<&'t str> {
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let is_name = |byte: &u8| name_bytes[usize::from(*byte)];
        let length = self.rest.bytes().take_while(|byte| is_name(byte)).count();
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        (length > 0).then_some(name)
    }

    /// Takes a string in quotes of any kind, and gives what it says.
    fn string(&mut self, expected: &str) -> Result<String, SelectorError> {
        let start = self.rest;
        let quote = match start.chars().next() {
            Some(quote @ ('"' | '\'' | '`')) => quote,
            _ => return Err(self.unexpected(expected)),
        };
        self.rest = &start[1..];
        if quote == '`' {
            let Some((text, rest)) = self.rest.split_once('`') else {
                return Err(self.error(start, "the quotes are not closed"));
            };
            self.rest = rest;
            return Ok(text.to_owned());
        }
        let mut bytes = Vec::new();
        loop {
            let mut chars = self.rest.chars();
            match chars.next() {
                None | Some('\n') => return Err(self.error(start, "the quotes are not closed")),
                Some('\\') => self.escape(quote, &mut bytes)?,
                Some(c) => {
                    self.rest = chars.as_str();
                    if c == quote {
                        break;
                    }
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        String::from_utf8(bytes).map_err(|_| self.error(start, "the text is not valid UTF-8"))
    }

    /// Takes an escape and appends what it stands for.
    fn escape(&mut self, quote: char, bytes: &mut Vec<u8>) -> Result<(), SelectorError> {
        let start = self.rest;
        let mut chars = start[1..].chars();
        let simple = match chars.next() {
            Some('a') => 0x07,
            Some('b') => 0x08,
            Some('f') => 0x0c,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 0x0b,
            Some('\\') => b'\\',
            Some(c) if c == quote => c as u8,
            Some(c @ ('0'..='7' | 'x' | 'u' | 'U')) => return self.code(c, bytes),
            Some(c) => {
                return Err(self.error(start, format!("unknown escape \\{}", Excerpt::of(&c.to_string()))));
            }
            None => return Err(self.error(start, "the quotes are not closed")),
        };
        self.rest = chars.as_str();
        bytes.push(simple);
        Ok(())
    }

    /// Takes an escape that is the code of a byte or a character.
    fn code(&mut self, kind: char, bytes: &mut Vec<u8>) -> Result<(), SelectorError> {
        let start = self.rest;
        let (from, length, radix) = match kind {
            'x' => (2, 2, 16),
            'u' => (2, 4, 16),
            'U' => (2, 8, 16),
            _ => (1, 3, 8),
        };
        let digits = start.get(from..from + length).unwrap_or_default();
        let is_code = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
        let code = u32::from_str_radix(digits, radix).ok().filter(|_| is_code);
        let Some(code) = code else {
            return Err(self.error(start, format!("expected {length} digits of base {radix} in this escape")));
        };
        match kind {
            'u' | 'U' => match char::from_u32(code) {
                Some(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => return Err(self.error(start, "the escape is no Unicode character")),
            },
            _ => match u8::try_from(code) {
                Ok(byte) => bytes.push(byte),
                Err(_) => return Err(self.error(start, "the escape is no byte")),
            },
        }
        self.rest = &start[from + length..];
        Ok(())
    }

    /// An error at the place where this part of the text begins.
    fn error(&self, part: &str, message: impl Into<String>) -> SelectorError {
        let before = &self.text[..self.text.len() - part.len()];
        SelectorError { column: before.chars().count() + 1, message: message.into() }
    }

    fn unexpected(&self, expected: &str) -> SelectorError {
        let found = match self.rest.chars().next() {
            None => "end".to_owned(),
            Some(c) if c.is_ascii() => quote_byte(c as u8),
            Some(c) => quote(c.encode_utf8(&mut [0; 4]).as_bytes()),
        };
        self.error(self.rest, format!("unexpected {found}, expected {expected}"))
    }

    fn name_twice(&self, start: &str, name: &str, other: &str) -> SelectorError {
        let (name, other) = (Excerpt::of(name), Excerpt::of(other));
        self.error(start, format!("the metric name is given twice: {name:?} and {other:?}"))
    }
}

fn equal(name: &str, value: &str) -> Matcher {
    Matcher { name: name.into(), value: value.into(), test: Test::Equal }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series<'s>(labels: &'s [(&'s str, &'s str)]) -> impl FnMut(&str) -> &'s str {
        |name| labels.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| *value)
    }

    /// Selectors, and those of three series that match.
    #[test]
    fn selectors_match_as_in_promql() {
        let all: [&[(&str, &str)]; 3] = [
            &[("__name__", "up"), ("job", "a"), ("code", "500")],
            &[("__name__", "my.metric"), ("job", "b"), ("a b", "c\\n")],
            &[("__name__", "x:y"), ("job", "a\nb"), ("q", "\"'`")],
        ];
        for (selector, expected) in [
            ("up", "0"),
            ("up{}", "0"),
            (" up { job = \"a\" } ", "0"),
            ("up{job!=\"a\"}", ""),
            ("x:y", "2"),
            ("sum", ""),
            ("{job=~\".+\"}", "012"),
            ("{job=~\"a|b\"}", "01"),
            ("{job=~\"a.*\"}", "02"),
            ("{job!~\"a|b\",job!=\"\"}", "2"),
            ("{__name__=\"up\"}", "0"),
            ("{__name__=~\".*[.].*\"}", "1"),
            ("{__name__!~\"up\",job!=\"\"}", "12"),
            ("{\"my.metric\"}", "1"),
            ("{'my.metric', \"a b\"=\"c\\\\n\",}", "1"),
            ("{`my.metric`,`a b`=`c\\n`}", "1"),
            ("{\"a b\"=~\"c.+\"}", "1"),
            ("{job='a\\nb'}", "2"),
            ("{job=\"a\\x0ab\"}", "2"),
            ("{job=\"a\\012b\"}", "2"),
            ("{job=\"\\u0061\\U0000000ab\"}", "2"),
            ("{q=\"\\\"'`\"}", "2"),
            ("{q='\"\\'`'}", "2"),
            ("{code=\"500\",nothing=\"\"}", "0"),
            ("{code=~\"5..\" , nothing!=\"x\"}", "0"),
            ("# all\n{job=\"a\" # one\n}", "0"),
            ("{job=\"a\",job=~\".\"}", "0"),
        ] {
            let parsed = Selector::parse(selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
            let matching: String =
                (0..3).filter(|at| parsed.matches(series(all[*at]))).map(|at| at.to_string()).collect();
            assert_eq!(matching, expected, "{selector}");
            // Written out, it is the same.
            let again =
                Selector::parse(&parsed.to_string()).unwrap_or_else(|error| panic!("{parsed}: {error}"));
            assert!(all.iter().all(|labels| parsed.matches(series(labels)) == again.matches(series(labels))));
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_where_it_is_wrong() {
        for (selector, column, message) in [
            ("", 1, "unexpected end, expected a selector such as {job=\"a\"}"),
            ("  ü", 3, "unexpected \"ü\", expected a selector such as {job=\"a\"}"),
            ("1a", 1, "unexpected '1', expected a selector such as {job=\"a\"}"),
            ("\"up\"", 1, "unexpected '\"', expected a selector such as {job=\"a\"}"),
            ("{}", 1, "every series matches, expected a matcher that does not match the empty value"),
            ("{a=\"\"}", 1, "every series matches, expected a matcher that does not match the empty value"),
            (
                "{a=~\".*\",b!=\"x\"}",
                1,
                "every series matches, expected a matcher that does not match the empty value",
            ),
            ("{", 2, "unexpected end, expected a label name or }"),
            ("{,}", 2, "unexpected ',', expected a label name or }"),
            ("{a}", 3, "unexpected '}', expected one of = != =~ !~"),
            ("{a:b=\"c\"}", 3, "unexpected ':', expected one of = != =~ !~"),
            ("{a=\"b\"", 7, "unexpected end, expected , or }"),
            ("{a=\"b\" c=\"d\"}", 8, "unexpected 'c', expected , or }"),
            ("{a=\"b\",,}", 8, "unexpected ',', expected a label name or }"),
            ("{a==\"b\"}", 4, "unexpected '=', expected a value in quotes"),
            ("{a=b}", 4, "unexpected 'b', expected a value in quotes"),
            ("{a>\"b\"}", 3, "unexpected '>', expected one of = != =~ !~"),
            ("up[5m]", 3, "unexpected '[', expected { or the end"),
            ("{a=\"b\"}[5m]", 8, "unexpected '[', expected the end"),
            ("{a=\"b}", 4, "the quotes are not closed"),
            ("{a=\"b\n\"}", 4, "the quotes are not closed"),
            ("{a=`b}", 4, "the quotes are not closed"),
            ("{a=\"\\", 5, "the quotes are not closed"),
            ("{a=\"ü\\d\"}", 6, "unknown escape \\d"),
            ("{a=\"\\'\"}", 5, "unknown escape \\'"),
            ("{a=\"\\x4\"}", 5, "expected 2 digits of base 16 in this escape"),
            ("{a=\"\\08\"}", 5, "expected 3 digits of base 8 in this escape"),
            ("{a=\"\\400\"}", 5, "the escape is no byte"),
            ("{a=\"\\ud800\"}", 5, "the escape is no Unicode character"),
            ("{a=\"\\xff\"}", 4, "the text is not valid UTF-8"),
            ("{\"\"}", 2, "a metric name can't be empty"),
            ("{\"\"=\"a\"}", 2, "a label name can't be empty"),
            ("{\"a\",\"b\"}", 6, "the metric name is given twice: \"b\" and \"a\""),
            ("a{__name__=\"b\"}", 1, "the metric name is given twice: \"a\" and \"b\""),
            ("a{\"b\"}", 1, "the metric name is given twice: \"a\" and \"b\""),
            (
                "{a=~\"(b\"}",
                5,
                "the regular expression is wrong: missing closing ) (at character 1 of the regular expression)",
            ),
        ] {
            let error = Selector::parse(selector).unwrap_err();
            assert_eq!((error.column, &*error.message), (column, message), "{selector}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(values in prop::collection::vec((0..4usize, "\\PC{1,4}|[a-z]{1,3}", "(?s).{0,5}"), 1..4)) {
            let operators = ["=", "!=", "=~", "!~"];
            let text: Vec<String> = values.iter().map(|(operator, name, value)| {
                let value = if *operator > 1 { regex::escape(value) } else { value.clone() };
                format!("{}{}{}", Quoted(name), operators[*operator], Quoted(&value))
            }).collect();
            let text = format!("{{x=\"y\",{}}}", text.join(","));
            let selector = Selector::parse(&text).unwrap();
            prop_assert_eq!(selector.to_string(), Selector::parse(&selector.to_string()).unwrap().to_string());
            for (at, (operator, name, value)) in values.iter().enumerate() {
                let matcher = &selector.matchers()[at + 1];
                prop_assert_eq!(matcher.name(), name);
                prop_assert_eq!(matcher.matches(value), operator % 2 == 0);
                prop_assert_eq!(matcher.matches(&format!("{value}x")), operator % 2 == 1);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[{}a=~!,\"'`\\\\ #x0ü\n]{0,20}") {
            if let Ok(selector) = Selector::parse(&text) {
                prop_assert!(!selector.matches(|_| ""));
            }
        }
    }
}
