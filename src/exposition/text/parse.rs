//! Parses the text format as `expfmt.TextParser` of prometheus/common 0.67 does, with some extensions.
//!
//! Like Prometheus, it accepts blanks at the end of a line, and repeated HELP and TYPE lines. For Windows, lines
//! may end in CRLF and the body may begin with a byte order mark. The last line needs no line feed if it is a
//! sample.

use bumpalo::Bump;

use super::kinds::{kind_of, word_of};
use super::targets::{Target, Targets};
use crate::exposition::assembly::{Assembly, Member, Owner, Role, duplicate_label};
use crate::exposition::ending;
use crate::exposition::error::ParseError;
use crate::exposition::label_names::LabelNames;
use crate::exposition::last_composite::LastComposite;
use crate::exposition::reading::{Names, Reading};
use crate::exposition::scan::{Cursor, Fault, parse_f64};
use crate::message::{quote, quote_byte};
use crate::model::body::{Body, Label};
use crate::model::kind::Form;
use crate::model::labels::{quote_value, unescape};
use crate::model::name::{is_legacy_label_name, is_legacy_metric_name};

/// The name of the format in messages.
const FORMAT: &str = "text format";

/// Parses a body in the text format. Texts whose form in the body differs, such as a quoted name with escapes, are
/// stored in `arena`.
///
/// # Errors
///
/// The first fault in the body. Nothing of a faulty body is returned.
pub fn parse<'a>(input: &'a [u8], names: Names, arena: &'a Bump) -> Result<Body<'a>, ParseError> {
    read(input, &Reading::unlimited(names), arena)
}

/// As [`parse`], with these settings.
///
/// # Errors
///
/// As [`parse`], an exceeded limit, and a last line without a line feed if [`Reading::require_final_newline`] is
/// set.
pub(in crate::exposition) fn read<'a>(
    input: &'a [u8],
    reading: &Reading,
    arena: &'a Bump,
) -> Result<Body<'a>, ParseError> {
    let mut parser = Parser::new(input, reading, arena);
    let read = parser.lines();
    let read = read.and_then(|()| if reading.require_final_newline { check_end(input) } else { Ok(()) });
    read.map_err(|fault| fault.in_body(input, FORMAT))?;
    let mut body = parser.assembly.body;
    body.families.retain(|family| !family.series.is_empty());
    Ok(body)
}

/// Refuses a body whose last line has no line feed, as the stock gateway does.
fn check_end(input: &[u8]) -> Result<(), Fault> {
    // The stock gateway accepts spaces at the end.
    if ending::unfinished_line(input).is_none_or(|line| ending::trim_blanks_end(line).is_empty()) {
        return Ok(());
    }
    Err(Fault::unfinished(input))
}

/// Where the metric name of a sample is.
#[derive(Clone, Copy)]
enum NamePlace {
    BeforeBraces,
    /// Among the labels, not read yet.
    InBraces,
    /// Among the labels, already read.
    Read,
}

struct Parser<'a> {
    input: &'a [u8],
    arena: &'a Bump,
    names: Names,
    assembly: Assembly<'a>,
    targets: Targets<'a>,
    label_names: LabelNames<'a>,
    last_composite: LastComposite<'a>,
}

impl<'a> Parser<'a> {
    fn new(input: &'a [u8], reading: &Reading, arena: &'a Bump) -> Parser<'a> {
        let assembly = Assembly::of(input, reading);
        Parser {
            input,
            arena,
            names: reading.names,
            assembly,
            targets: Targets::new(),
            label_names: LabelNames::default(),
            last_composite: LastComposite::default(),
        }
    }

    fn lines(&mut self) -> Result<(), Fault> {
        let mut cursor = Cursor::new(self.input, self.arena);
        if ending::is_mark_alone(self.input) {
            return Err(cursor.unfinished());
        }
        while !cursor.is_at_end_of_body() {
            cursor.skip_blanks();
            match cursor.peek() {
                b'#' => {
                    self.comment(&mut cursor)?;
                    // It may be a whole file that lost its line feeds.
                    if cursor.is_unfinished() && ending::ends_in_comment(self.input) {
                        return Err(cursor.unfinished());
                    }
                }
                b'{' => self.braced_sample(&mut cursor)?,
                _ if cursor.is_at_end_of_line() => {}
                _ => self.sample(&mut cursor)?,
            }
            cursor.next_line();
        }
        if self.input.last() == Some(&b'\r') && ending::has_only_carriage_returns(self.input) {
            return Err(cursor.unfinished());
        }
        Ok(())
    }

    /// Parses `# HELP name text`, `# TYPE name type`, or a comment.
    fn comment(&mut self, line: &mut Cursor<'a>) -> Result<(), Fault> {
        let is_help = match line.comment_keyword() {
            b"HELP" => true,
            b"TYPE" => false,
            _ => {
                line.skip_line();
                return Ok(());
            }
        };
        line.skip_blanks();
        if line.is_at_end_of_line() {
            return Ok(());
        }
        let name_at = line.at;
        let target = match self.targets.same_target(line) {
            Some(target) => target,
            None => {
                let name = line.metric_name()?;
                if line.is_at_end_of_line() {
                    return Ok(());
                }
                if !matches!(line.peek(), b' ' | b'\t') {
                    return Err(line.fault(line.at, "invalid metric name in comment"));
                }
                self.check_metric_name(line, name_at, name)?;
                let is_bare = line.is_bare(name_at);
                let target = self.targets.target(&mut self.assembly.body, name, is_bare);
                self.assembly.body.check_families().map_err(|much| line.too_much(name_at, much))?;
                target
            }
        };
        if !line.is_at_end_of_line() && !matches!(line.peek(), b' ' | b'\t') {
            return Err(line.fault(line.at, "invalid metric name in comment"));
        }
        let name = &self.input[name_at..line.at];
        line.skip_blanks();
        if line.is_at_end_of_line() {
            return Ok(());
        }
        let family = &mut self.assembly.body.families[target.family];
        if is_help {
            let help = line.help()?;
            match family.help {
                None => family.help = Some(help),
                // The help text of `h_count` is not that of the histogram `h`.
                Some(known) if known != help && is_name(name, family.name) => {
                    let message = format!(
                        "second HELP line for metric name {}: {} here, {} before",
                        quote(family.name.as_bytes()),
                        quote(help.as_bytes()),
                        quote(known.as_bytes())
                    );
                    return Err(line.fault(name_at, message));
                }
                Some(_) => {}
            }
            return Ok(());
        }
        let at = line.at;
        let word = line.words();
        match (kind_of(word), family.kind) {
            (Some(kind), None) => family.kind = Some(kind),
            (Some(kind), Some(known)) if kind == known => {}
            (_, Some(known)) => {
                let message = format!(
                    "second TYPE line for metric name {}, or TYPE reported after samples: {} here, {} before",
                    quote(family.name.as_bytes()),
                    quote(word),
                    quote(word_of(known).as_bytes())
                );
                return Err(line.fault(name_at, message));
            }
            (None, None) if line.is_unfinished() => return Err(line.unfinished()),
            (None, None) => return Err(line.fault(at, format!("unknown metric type {}", quote(word)))),
        }
        Ok(())
    }

    fn sample(&mut self, line: &mut Cursor<'a>) -> Result<(), Fault> {
        let start = line.at;
        if let Some(again) = self.last_composite.take(line, &self.assembly.body) {
            let target = Target { family: again.family, role: Role::Plain };
            line.skip_blanks();
            self.value(line, start, target, Owner::Known(again.handle), again.member)?;
            return Ok(());
        }
        self.last_composite.forget();
        let target = match self.targets.same_target(line) {
            Some(target) => target,
            None => {
                let name = line.metric_name()?;
                if name.is_empty() {
                    return Err(line.fault(start, "invalid metric name"));
                }
                self.check_metric_name(line, start, name)?;
                self.targets.target(&mut self.assembly.body, name, line.is_bare(start))
            }
        };
        line.skip_blanks();
        if line.peek() == b'{' {
            line.at += 1;
            self.labels_and_value(line, start, target, NamePlace::BeforeBraces)
        } else {
            let mark = self.assembly.body.label_mark();
            self.value(line, start, target, Owner::LabelsSince(mark), Member::None)?;
            Ok(())
        }
    }

    /// Parses `{"name",label="value"} 1`: the name is in the braces, as the string without a value.
    fn braced_sample(&mut self, line: &mut Cursor<'a>) -> Result<(), Fault> {
        let start = line.at;
        line.at += 1;
        let name = self.name_in_braces(line.clone())?;
        let target = self.targets.target(&mut self.assembly.body, name, false);
        self.labels_and_value(line, start, target, NamePlace::InBraces)
    }

    /// Searches the braces for the metric name. The labels are read afterwards.
    fn name_in_braces(&self, mut line: Cursor<'a>) -> Result<&'a str, Fault> {
        loop {
            line.skip_blanks();
            let at = line.at;
            if line.peek() == b'}' {
                return Err(line.fault(at, "invalid metric name"));
            }
            let name = line.label_name()?;
            line.skip_blanks();
            match line.peek() {
                _ if name.is_empty() => return Err(line.fault(at, "invalid label name for metric \"\"")),
                b'=' => {}
                b',' | b'}' => {
                    self.check_metric_name(&line, at, name)?;
                    return Ok(name);
                }
                other => {
                    let message = format!("unexpected end of metric name {}", quote_byte(other));
                    return Err(line.fault(line.at, message));
                }
            }
            line.at += 1;
            line.skip_blanks();
            line.label_value()?;
            line.skip_blanks();
            if line.peek() != b',' {
                return Err(line.fault(at, "invalid metric name"));
            }
            line.at += 1;
        }
    }

    fn labels_and_value(
        &mut self,
        line: &mut Cursor<'a>,
        start: usize,
        target: Target,
        mut name_place: NamePlace,
    ) -> Result<(), Fault> {
        let mark = self.assembly.body.label_mark();
        let form = self.assembly.kind(target.family).form();
        let special = form.special_label().unwrap_or("");
        let mut member = Member::None;
        // Where the value of the special label begins, and where it ends.
        let mut special_value = (start, start);
        self.label_names.begin();
        let end = loop {
            line.skip_blanks();
            if line.peek() == b'}' {
                line.at += 1;
                break line.at - 1;
            }
            let name_at = line.at;
            let name = if form != Form::Number && line.take_label_name(special) {
                special
            } else if let Some(name) = self.label_names.take(line) {
                name
            } else if let Some(name) = self.label_name(line, target, special, &mut name_place)? {
                name
            } else {
                continue;
            };
            line.at += 1;
            line.skip_blanks();
            let value_at = line.at;
            let value = line.label_value()?;
            if form == Form::Number || name != special {
                let label = Label { name, escaped_value: value };
                self.assembly.body.push_label(label).map_err(|much| line.too_much(name_at, much))?;
            } else {
                let Some(number) = parse_f64(value.as_bytes()) else {
                    let value = quote_value(value);
                    let message = format!("expected float as value for '{special}' label, got {value}");
                    return Err(line.fault(value_at, message));
                };
                member =
                    if form == Form::Histogram { Member::Bound(number) } else { Member::Quantile(number) };
                special_value = (value_at + 1, line.at);
            }
            line.skip_blanks();
            match line.peek() {
                b',' => line.at += 1,
                b'}' => {}
                _ => {
                    let value = quote_value(value);
                    return Err(line.fault(line.at, format!("unexpected end of label value {value}")));
                }
            }
        };
        let labels = self.assembly.body.labels_since(mark).len();
        if self.label_names.may_repeat() {
            self.check_duplicate_labels(line, start, target, mark)?;
        }
        if self.assembly.body.has_labels_to_drop() {
            self.assembly.body.drop_empty_labels(mark);
        }
        line.skip_blanks();
        let handle = self.value(line, start, target, Owner::LabelsSince(mark), member)?;
        let (value_start, value_end) = special_value;
        let is_bare = matches!(name_place, NamePlace::BeforeBraces);
        if is_bare && target.role == Role::Plain && value_end == end {
            let start = &self.input[start..value_start];
            self.last_composite.remember(start, labels, member, (target.family, handle));
        }
        Ok(())
    }

    /// A label name up to the equals sign that the line before did not have. `None` if it is the metric name.
    fn label_name(
        &mut self,
        line: &mut Cursor<'a>,
        target: Target,
        special: &str,
        name_place: &mut NamePlace,
    ) -> Result<Option<&'a str>, Fault> {
        let name_at = line.at;
        let name = line.label_name()?;
        line.skip_blanks();
        if line.peek() != b'=' && !name.is_empty() {
            match name_place {
                NamePlace::BeforeBraces => {}
                NamePlace::InBraces => {
                    *name_place = NamePlace::Read;
                    line.at += usize::from(line.peek() == b',');
                    return Ok(None);
                }
                NamePlace::Read => {
                    let metric = quote(self.name(target).as_bytes());
                    return Err(line.fault(name_at, format!("multiple metric names for metric {metric}")));
                }
            }
            let found = quote_byte(line.peek());
            return Err(line.fault(line.at, format!("expected '=' after label name, found {found}")));
        }
        self.check_label_name(line, name_at, name, target)?;
        if name != special {
            self.label_names.add(name, self.input[name_at] != b'"');
        }
        Ok(Some(name))
    }

    /// Parses the value, an optional timestamp, and the end of the line. Returns the handle of the series.
    #[inline]
    fn value(
        &mut self,
        line: &mut Cursor<'a>,
        start: usize,
        target: Target,
        owner: Owner,
        member: Member,
    ) -> Result<u32, Fault> {
        self.assembly.body.count_sample().map_err(|much| line.too_much(start, much))?;
        let value = match line.take_short_decimal() {
            Some(value) => value,
            None => self.any_value(line)?,
        };
        let handle = self
            .assembly
            .record(start, (target.family, target.role), owner, member, value)
            .map_err(|what| {
                let name = quote(self.name(target).as_bytes());
                line.fault(start, format!("negative {what} for histogram {name}"))
            })?;
        if line.is_blank_to_end_of_line() {
            return Ok(handle);
        }
        line.skip_blanks();
        let timestamp_at = line.at;
        let token = line.token();
        if std::str::from_utf8(token).ok().and_then(|t| t.parse::<i64>().ok()).is_none() {
            return Err(
                line.fault(timestamp_at, format!("expected integer as timestamp, got {}", quote(token)))
            );
        }
        if !line.is_blank_to_end_of_line() {
            let rest_at = line.at;
            let rest = quote(line.rest());
            return Err(line.fault(rest_at, format!("spurious string after timestamp: {rest}")));
        }
        self.assembly.body.series_mut(handle).has_timestamp = true;
        Ok(handle)
    }

    fn any_value(&self, line: &mut Cursor<'a>) -> Result<f64, Fault> {
        let at = line.at;
        let token = line.token();
        parse_f64(token)
            .ok_or_else(|| line.fault(at, format!("expected float as value, got {}", quote(token))))
    }

    /// The name of the family of a target.
    fn name(&self, target: Target) -> &'a str {
        self.assembly.body.families[target.family].name
    }

    /// A bare name is valid once it was scanned. Whether a quoted name is valid depends on the configuration.
    #[inline]
    fn check_metric_name(&self, line: &Cursor<'a>, at: usize, name: &str) -> Result<(), Fault> {
        if line.is_bare(at) || is_legacy_metric_name(name) || (self.names == Names::Utf8 && !name.is_empty())
        {
            return Ok(());
        }
        Err(line.fault(at, format!("invalid metric name {}", quote(name.as_bytes()))))
    }

    #[inline]
    fn check_label_name(
        &self,
        line: &Cursor<'a>,
        at: usize,
        name: &str,
        target: Target,
    ) -> Result<(), Fault> {
        if name.is_empty() {
            let metric = quote(self.name(target).as_bytes());
            return Err(line.fault(at, format!("invalid label name for metric {metric}")));
        }
        if name == "__name__" {
            return Err(line.fault(at, "label name \"__name__\" is reserved"));
        }
        if line.is_bare(at) || is_legacy_label_name(name) || self.names == Names::Utf8 {
            return Ok(());
        }
        Err(line.fault(at, format!("invalid label name {}", quote(name.as_bytes()))))
    }

    #[inline]
    fn check_duplicate_labels(
        &self,
        line: &Cursor<'a>,
        start: usize,
        target: Target,
        mark: usize,
    ) -> Result<(), Fault> {
        if duplicate_label(self.assembly.body.labels_since(mark)).is_some() {
            let metric = quote(self.name(target).as_bytes());
            return Err(line.fault(start, format!("duplicate label names for metric {metric}")));
        }
        Ok(())
    }
}

/// Whether `written` is the name as comments write it.
fn is_name(written: &[u8], name: &str) -> bool {
    match written.strip_prefix(b"\"").and_then(|written| written.strip_suffix(b"\"")) {
        Some(quoted) => std::str::from_utf8(quoted).is_ok_and(|quoted| unescape(quoted) == name),
        None => written == name.as_bytes(),
    }
}
