//! Parses OpenMetrics text.
//!
//! As strict as its grammar, with harmless exceptions: a line may end in spaces and in CRLF, a list of labels in a
//! comma, the body may begin with a byte order mark, and `# EOF` may be missing. The Go client's pusher sends none,
//! and HTTP shows whether a body is complete.

mod value;

use bumpalo::Bump;

use super::family::{Current, Sample, Seen, SeriesStart};
use super::name::{self, kind_of};
use super::number::parse_time;
use crate::exposition::assembly::{Assembly, Member, Owner, Role, duplicate_label};
use crate::exposition::ending;
use crate::exposition::error::ParseError;
use crate::exposition::label_names::LabelNames;
use crate::exposition::last_composite::LastComposite;
use crate::exposition::reading::{Names, Reading};
use crate::exposition::scan::{Cursor, Fault, parse_f64};
use crate::message::{quote, quote_byte};
use crate::model::body::{Body, Label};
use crate::model::exemplar::Place;
use crate::model::kind::{Form, Kind};
use crate::model::labels::quote_value;
use crate::model::name::{is_legacy_label_name, is_legacy_metric_name};

/// The name of the format in messages.
const FORMAT: &str = "OpenMetrics";

/// Parses a body in OpenMetrics text. Texts whose form in the body differs, such as a quoted name with escapes, are
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
    let mut parser = Parser {
        input,
        arena,
        names: reading.names,
        assembly: Assembly::of(input, reading),
        seen: Seen::default(),
        current: Current::new(""),
        last: None,
        label_names: LabelNames::default(),
        last_composite: LastComposite::default(),
    };
    let read = parser.lines();
    let read = read.and_then(|()| if reading.require_final_newline { check_end(input) } else { Ok(()) });
    read.map_err(|fault| fault.in_body(input, FORMAT))?;
    parser.current.settle_starts(&mut parser.assembly.body);
    let mut body = parser.assembly.body;
    body.families.retain(|family| !family.series.is_empty());
    body.finish();
    Ok(body)
}

/// Refuses a body whose last line has no line feed, unless it is `# EOF`.
fn check_end(input: &[u8]) -> Result<(), Fault> {
    if ending::unfinished_line(input).is_none() || ending::ends_in_eof(input) {
        return Ok(());
    }
    Err(Fault::unfinished(input))
}

/// How a metadata line relates to an earlier one.
enum Again {
    /// There is no earlier one.
    First,
    /// Both say the same.
    Same,
    /// They differ; the texts of both.
    Other { here: String, before: String },
}

impl Again {
    /// Compares `new` with `known`. If nothing is known, `new` becomes known.
    fn of<T: Copy + PartialEq>(known: &mut Option<T>, new: T, words: impl Fn(T) -> String) -> Again {
        match *known {
            Some(before) if before == new => Again::Same,
            Some(before) => Again::Other { here: words(new), before: words(before) },
            None => {
                *known = Some(new);
                Again::First
            }
        }
    }
}

/// What the labels of a sample say, besides those that are in the body now.
struct Labels {
    member: Member,
    /// How many labels the others are.
    others: usize,
    /// Where the value of the label that distinguishes the samples of a series begins, if that label is the last.
    special_at_end: Option<usize>,
}

struct Parser<'a> {
    input: &'a [u8],
    arena: &'a Bump,
    names: Names,
    assembly: Assembly<'a>,
    seen: Seen<'a>,
    current: Current<'a>,
    /// The name, family and role of the last sample, because most lines have the same.
    last: Option<(&'a str, usize, Sample)>,
    label_names: LabelNames<'a>,
    last_composite: LastComposite<'a>,
}

impl<'a> Parser<'a> {
    fn lines(&mut self) -> Result<(), Fault> {
        let mut cursor = Cursor::new(self.input, self.arena);
        if ending::is_mark_alone(self.input) {
            return Err(cursor.unfinished());
        }
        while !cursor.is_at_end_of_body() {
            match cursor.peek() {
                b'#' => {
                    let start = cursor.at;
                    let comment = self.comment(&mut cursor);
                    if matches!(comment, Ok(true)) {
                        return Ok(());
                    }
                    // An unfinished comment may be a whole file that lost its line feeds.
                    if comment.is_err() {
                        cursor.at = start;
                        cursor.skip_line();
                    }
                    if cursor.is_unfinished() {
                        return Err(cursor.unfinished());
                    }
                    comment?;
                }
                b'{' => self.braced_sample(&mut cursor)?,
                _ if cursor.is_at_end_of_line() => return Err(cursor.fault(cursor.at, "blank line")),
                _ => self.sample(&mut cursor)?,
            }
            if !cursor.is_blank_to_end_of_line() {
                let rest_at = cursor.at;
                let message = format!("unexpected text at the end of the line: {}", quote(cursor.rest()));
                return Err(cursor.fault(rest_at, message));
            }
            cursor.next_line();
        }
        if self.input.last() == Some(&b'\r') && ending::has_only_carriage_returns(self.input) {
            return Err(cursor.unfinished());
        }
        Ok(())
    }

    /// Parses `# TYPE`, `# UNIT` or `# HELP`. True for `# EOF`.
    fn comment(&mut self, line: &mut Cursor<'a>) -> Result<bool, Fault> {
        let start = line.at;
        let keyword = line.openmetrics_keyword();
        if keyword == b"EOF" {
            if !line.is_blank_to_end_of_line() {
                return Err(line.fault(line.at, "unexpected text behind # EOF"));
            }
            line.next_line();
            if !line.is_at_end_of_body() {
                return Err(line.fault(line.at, "unexpected text behind # EOF"));
            }
            return Ok(true);
        }
        if !matches!(keyword, b"TYPE" | b"UNIT" | b"HELP") {
            return Err(
                line.fault(start, "expected # TYPE, # UNIT, # HELP or # EOF: comments are not allowed")
            );
        }
        self.blank(line)?;
        let name_at = line.at;
        let name = self.metric_name(line)?;
        self.blank(line)?;
        if name != self.current.name || self.current.name.is_empty() {
            self.begin(line, name_at, name)?;
        }
        let at = line.at;
        let again = match keyword {
            b"TYPE" => {
                let word = line.words();
                let kind = kind_of(word)
                    .ok_or_else(|| line.fault(at, format!("unknown metric type {}", quote(word))))?;
                let type_name = |kind| quote(name::Form { name, kind }.type_name().as_bytes());
                Again::of(&mut self.current.kind, kind, type_name)
            }
            b"UNIT" => {
                let unit = line.unit()?;
                if !unit.is_empty() && !name.ends_with(&format!("_{unit}")) {
                    let message = format!("the name {} does not end in its unit", quote(name.as_bytes()));
                    return Err(line.fault(at, message));
                }
                Again::of(&mut self.current.unit, unit, |unit| quote(unit.as_bytes()))
            }
            _ => {
                let help = line.openmetrics_help()?;
                Again::of(&mut self.current.help, help, |help| quote(help.as_bytes()))
            }
        };
        match again {
            // Prometheus accepts a repeated line, too.
            Again::Same => return Ok(false),
            Again::Other { here, before } => {
                let keyword = String::from_utf8_lossy(keyword);
                let message = format!(
                    "second {keyword} line for metric {}: {} here, {} before",
                    quote(name.as_bytes()),
                    here,
                    before
                );
                return Err(line.fault(start, message));
            }
            Again::First if self.current.at.is_some() => {
                let message = format!("metadata of {} behind its samples", quote(name.as_bytes()));
                return Err(line.fault(start, message));
            }
            Again::First => {}
        }
        if matches!(self.current.kind, Some(Kind::Info | Kind::StateSet))
            && self.current.unit.is_some_and(|unit| !unit.is_empty())
        {
            return Err(line.fault(start, "an info or a stateset has no unit"));
        }
        Ok(false)
    }

    /// Ends the current family and begins another.
    fn begin(&mut self, line: &Cursor<'a>, at: usize, name: &'a str) -> Result<(), Fault> {
        if !self.seen.begin(name) {
            let message = format!("the lines of metric {} are not together", quote(name.as_bytes()));
            return Err(line.fault(at, message));
        }
        self.current.settle_starts(&mut self.assembly.body);
        self.current = Current::new(name);
        self.last = None;
        self.last_composite.forget();
        Ok(())
    }

    fn sample(&mut self, line: &mut Cursor<'a>) -> Result<(), Fault> {
        let start = line.at;
        if let Some(again) = self.last_composite.take(line, &self.assembly.body) {
            let target = (again.family, Sample::Value(Role::Plain));
            self.value(line, start, target, Owner::Known(again.handle), again.member)?;
            return Ok(());
        }
        self.last_composite.forget();
        let target = match self.last {
            Some((name, family, sample)) if line.take_metric_name(name) => (family, sample),
            _ => {
                let name = line.metric_name()?;
                if name.is_empty() || self.input[start] == b'"' {
                    return Err(line.fault(start, "invalid metric name"));
                }
                self.target(line, start, name)?
            }
        };
        let mark = self.assembly.body.label_mark();
        let mut labels = Labels { member: Member::None, others: 0, special_at_end: None };
        if line.peek() == b'{' {
            line.at += 1;
            labels = self.labels(line, target)?;
        }
        let owner = Owner::LabelsSince(mark);
        let handle = self.value(line, start, target, owner, labels.member)?;
        if let (Some(handle), Some(value_at)) = (handle, labels.special_at_end) {
            let start = &self.input[start..value_at];
            self.last_composite.remember(start, labels.others, labels.member, (target.0, handle));
        }
        Ok(())
    }

    /// Parses `{"name",label="value"} 1`: the name is in the braces, as a string without a value.
    fn braced_sample(&mut self, line: &mut Cursor<'a>) -> Result<(), Fault> {
        let start = line.at;
        line.at += 1;
        let name_at = line.at;
        let name = self.metric_name(line)?;
        if line.is_bare(name_at) || !matches!(line.peek(), b',' | b'}') {
            return Err(line.fault(name_at, "invalid metric name"));
        }
        let target = self.target(line, name_at, name)?;
        let mark = self.assembly.body.label_mark();
        line.at += usize::from(line.peek() == b',');
        let labels = self.labels(line, target)?;
        self.value(line, start, target, Owner::LabelsSince(mark), labels.member)?;
        Ok(())
    }

    /// The family of a sample with this name, and the role of the sample in it.
    fn target(&mut self, line: &Cursor<'a>, at: usize, name: &'a str) -> Result<(usize, Sample), Fault> {
        let suffix = name.strip_prefix(self.current.name).filter(|_| !self.current.name.is_empty());
        let sample = match suffix.and_then(|suffix| self.current.sample(suffix)) {
            Some(sample) => sample,
            None if name == self.current.name => {
                let (kind, suffixes) = (self.current.kind(), self.current.suffixes());
                let message = format!(
                    "a sample of the {} {} needs one of these suffixes: {suffixes}",
                    name::Form { name, kind }.type_name(),
                    quote(name.as_bytes())
                );
                return Err(line.fault(at, message));
            }
            // A family of unknown type needs no declaration.
            None => {
                self.begin(line, at, name)?;
                Sample::Value(Role::Plain)
            }
        };
        let family =
            self.seen.add(&mut self.current, &mut self.assembly.body, self.arena).ok_or_else(|| {
                line.fault(
                    at,
                    format!("another metric has samples that are called {}", quote(name.as_bytes())),
                )
            })?;
        // A name in quotes is not remembered: it may need them, and then no line without quotes matches it.
        self.last = line.is_bare(at).then_some((name, family, sample));
        Ok((family, sample))
    }

    /// Parses labels up to the closing brace. Adds them to the body, except for the label that distinguishes the
    /// samples of a series.
    fn labels(&mut self, line: &mut Cursor<'a>, (family, sample): (usize, Sample)) -> Result<Labels, Fault> {
        let kind = self.assembly.kind(family);
        let special = match sample {
            Sample::Value(Role::Plain) => kind.form().special_label().unwrap_or(""),
            _ => "",
        };
        let (start, mark) = (line.at, self.assembly.body.label_mark());
        let mut member = Member::None;
        let mut special_at_end = None;
        self.label_names.begin();
        while line.peek() != b'}' {
            let name = if !special.is_empty() && line.take_label_name(special) {
                special
            } else if let Some(name) = self.label_names.take(line) {
                name
            } else {
                let at = line.at;
                let name = self.label_name(line)?;
                if name != special {
                    self.label_names.add(name, self.input[at] != b'"');
                }
                name
            };
            let (label, value_at) = self.label(line, name)?;
            if label.name == special {
                let Some(number) = parse_f64(label.escaped_value.as_bytes()) else {
                    let value = quote_value(label.escaped_value);
                    let message = format!("expected a number as value of the label {special}, got {value}");
                    return Err(line.fault(value_at, message));
                };
                let is_second = !matches!(member, Member::None);
                member = if special == "le" { Member::Bound(number) } else { Member::Quantile(number) };
                if is_second {
                    return Err(line.fault(value_at, format!("duplicate label {special}")));
                }
                let has_comma = self.input[line.at - 1] == b',';
                special_at_end = (!has_comma).then_some(value_at + 1);
            } else {
                self.assembly.body.push_label(label).map_err(|much| line.too_much(value_at, much))?;
            }
        }
        line.at += 1;
        let others = self.assembly.body.labels_since(mark).len();
        if self.label_names.may_repeat() {
            self.check_labels(line, start, mark)?;
        }
        if self.assembly.body.has_labels_to_drop() {
            self.assembly.body.drop_empty_labels(mark);
        }
        Ok(Labels { member, others, special_at_end })
    }

    /// A label name up to the equals sign.
    fn label_name(&self, line: &mut Cursor<'a>) -> Result<&'a str, Fault> {
        let name_at = line.at;
        let name = line.label_name()?;
        if name.is_empty() {
            let found = quote_byte(line.peek());
            return Err(line.fault(name_at, format!("expected a label name, found {found}")));
        }
        if !line.is_bare(name_at) && self.names == Names::Legacy && !is_legacy_label_name(name) {
            return Err(line.fault(name_at, format!("invalid label name {}", quote(name.as_bytes()))));
        }
        if name == "__name__" {
            return Err(line.fault(name_at, "label name \"__name__\" is reserved"));
        }
        if line.peek() != b'=' {
            let found = quote_byte(line.peek());
            return Err(line.fault(line.at, format!("expected '=' after label name, found {found}")));
        }
        Ok(name)
    }

    /// Parses the equals sign, the value and a comma of the label with this name. Also returns the position of the
    /// value.
    #[inline]
    fn label(&mut self, line: &mut Cursor<'a>, name: &'a str) -> Result<(Label<'a>, usize), Fault> {
        line.at += 1;
        let value_at = line.at;
        let escaped_value = line.openmetrics_label_value()?;
        match line.peek() {
            b',' => line.at += 1,
            b'}' => {}
            other => {
                let found = quote_byte(other);
                return Err(
                    line.fault(line.at, format!("expected ',' or '}}' after label value, found {found}"))
                );
            }
        }
        Ok((Label { name, escaped_value }, value_at))
    }

    #[inline]
    fn check_labels(&self, line: &Cursor<'a>, at: usize, mark: usize) -> Result<(), Fault> {
        match duplicate_label(self.assembly.body.labels_since(mark)) {
            Some(name) => Err(line.fault(at, format!("duplicate label {}", quote(name.as_bytes())))),
            None => Ok(()),
        }
    }

    /// Checks rules that hold only for some types.
    #[inline]
    fn check(
        &self,
        line: &Cursor<'a>,
        (start, value_at): (usize, usize),
        kind: Kind,
        (owner, member): (Owner, Member),
        role: Role,
        value: f64,
    ) -> Result<(), Fault> {
        let name = self.current.name;
        match kind {
            Kind::Info if value != 1.0 => Err(line.fault(value_at, "an info has the value 1")),
            Kind::StateSet if value != 0.0 && value != 1.0 => {
                Err(line.fault(value_at, "a state has the value 0 or 1"))
            }
            Kind::StateSet if !self.assembly.labels(owner).iter().any(|l| l.name == name) => {
                let message = format!("a sample of a stateset needs a label {}", quote(name.as_bytes()));
                Err(line.fault(start, message))
            }
            Kind::Histogram | Kind::GaugeHistogram
                if role == Role::Plain && matches!(member, Member::None) =>
            {
                Err(line.fault(start, "a bucket needs a label le"))
            }
            Kind::Summary if role == Role::Plain && matches!(member, Member::None) => {
                Err(line.fault(start, "a sample of a summary needs a label quantile"))
            }
            _ => Ok(()),
        }
    }

    /// A metric name, bare or quoted.
    fn metric_name(&self, line: &mut Cursor<'a>) -> Result<&'a str, Fault> {
        let at = line.at;
        let name = line.metric_name()?;
        if name.is_empty() {
            return Err(line.fault(at, "invalid metric name"));
        }
        if !line.is_bare(at) && self.names == Names::Legacy && !is_legacy_metric_name(name) {
            return Err(line.fault(at, format!("invalid metric name {}", quote(name.as_bytes()))));
        }
        Ok(name)
    }

    /// Parses exactly one space, which must be followed by something.
    #[inline]
    fn blank(&self, line: &mut Cursor<'a>) -> Result<(), Fault> {
        if line.peek() != b' ' {
            let found = quote_byte(line.peek());
            return Err(line.fault(line.at, format!("expected a blank, found {found}")));
        }
        line.at += 1;
        Ok(())
    }
}
