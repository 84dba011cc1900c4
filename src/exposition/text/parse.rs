//! Reading the text format as `expfmt.TextParser` of prometheus/common 0.67 does.
//!
//! Two things are wider than there: a body may end without a line feed, and lines may end in CRLF.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use bumpalo::Bump;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::scan::{Cursor, Fault, parse_f64};
use crate::exposition::quote::{quote, quote_byte};
use crate::model::body::{Body, Chain, Family, Label, Value};
use crate::model::count::Count;
use crate::model::histogram::Bucket;
use crate::model::kind::{Form, Kind};
use crate::model::name::{is_legacy_label_name, is_legacy_metric_name};
use crate::model::summary::Quantile;

/// Which metric and label names a push may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`, the default.
    Legacy,
    /// Any UTF-8 (`--push.enable-utf8-names`).
    Utf8,
}

/// Why a text body can't be parsed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("text format parsing error in line {line}: {message} (column {column})")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
    /// What is wrong, in the words of the stock gateway.
    pub message: String,
}

/// Parses a body in the text format. Texts that differ from what the body has, such as a quoted name
/// with escapes, are put into `arena`.
///
/// # Errors
///
/// The first fault in the order of the body; nothing of a faulty body is returned.
pub fn parse<'a>(input: &'a [u8], names: Names, arena: &'a Bump) -> Result<Body<'a>, ParseError> {
    let mut parser = Parser::new(input, names, arena);
    match parser.lines() {
        Ok(()) => {
            parser.body.families.retain(|family| !family.series.is_empty());
            Ok(parser.body)
        }
        Err(fault) => {
            let (line, column) = position(input, fault.offset);
            Err(ParseError { line, column, message: fault.message })
        }
    }
}

/// Line and column, both from 1, of a byte of `input`.
pub fn position(input: &[u8], offset: usize) -> (usize, usize) {
    let before = &input[..offset.min(input.len())];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    (memchr::memchr_iter(b'\n', before).count() + 1, before.len() - line_start + 1)
}

/// What the samples of one name are for.
#[derive(Clone, Copy)]
struct Target {
    family: usize,
    role: Role,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// The value itself, a bucket or a quantile.
    Plain,
    Sum,
    Count,
}

/// Where the metric name of a sample stands.
#[derive(Clone, Copy)]
enum NamePlace {
    BeforeBraces,
    /// Among the labels, not yet passed.
    InBraces,
    /// Among the labels, passed.
    Read,
}

/// The label that tells the samples of one histogram or summary apart.
#[derive(Clone, Copy)]
enum Member {
    None,
    Bound(f64),
    Quantile(f64),
}

struct Parser<'a> {
    input: &'a [u8],
    arena: &'a Bump,
    names: Names,
    body: Body<'a>,
    targets: HashMap<&'a str, Target, RandomState>,
    last: Option<(&'a str, Target)>,
    /// Histograms and summaries by family and label set, for bodies that scatter their samples.
    composites: HashTable<u32>,
    last_composite: Option<(usize, u32)>,
    hasher: RandomState,
}

impl<'a> Parser<'a> {
    fn new(input: &'a [u8], names: Names, arena: &'a Bump) -> Parser<'a> {
        Parser {
            input,
            arena,
            names,
            body: Body::with_capacity_for(input.len()),
            targets: HashMap::with_capacity_and_hasher(14, RandomState::default()),
            last: None,
            composites: HashTable::new(),
            last_composite: None,
            hasher: RandomState::default(),
        }
    }

    fn lines(&mut self) -> Result<(), Fault> {
        let mut cursor = Cursor::new(self.input, self.arena);
        while !cursor.is_at_end_of_body() {
            cursor.skip_blanks();
            match cursor.peek() {
                b'#' => self.comment(&mut cursor)?,
                b'{' => self.braced_sample(&mut cursor)?,
                _ if cursor.is_at_end_of_line() => {}
                _ => self.sample(&mut cursor)?,
            }
            cursor.next_line();
        }
        Ok(())
    }

    /// `# HELP name text`, `# TYPE name type`, or a comment.
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
        let target = match self.same_target(line) {
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
                self.target(name)
            }
        };
        if !line.is_at_end_of_line() && !matches!(line.peek(), b' ' | b'\t') {
            return Err(line.fault(line.at, "invalid metric name in comment"));
        }
        line.skip_blanks();
        if line.is_at_end_of_line() {
            return Ok(());
        }
        let at = line.at;
        let family = &mut self.body.families[target.family];
        if is_help {
            if family.help.is_some() {
                let name = quote(family.name.as_bytes());
                return Err(line.fault(name_at, format!("second HELP line for metric name {name}")));
            }
            family.help = Some(line.help()?);
        } else {
            if family.kind.is_some() {
                let name = quote(family.name.as_bytes());
                let message =
                    format!("second TYPE line for metric name {name}, or TYPE reported after samples");
                return Err(line.fault(name_at, message));
            }
            let word = line.rest();
            let Some(kind) = kind_of(word) else {
                return Err(line.fault(at, format!("unknown metric type {}", quote(word))));
            };
            family.kind = Some(kind);
        }
        Ok(())
    }

    /// The target of the last line, if this one has the same name.
    #[inline]
    fn same_target(&self, line: &mut Cursor<'a>) -> Option<Target> {
        let (name, target) = self.last.as_ref()?;
        line.take_metric_name(name).then_some(*target)
    }

    fn sample(&mut self, line: &mut Cursor<'a>) -> Result<(), Fault> {
        let start = line.at;
        let target = match self.same_target(line) {
            Some(target) => target,
            None => {
                let name = line.metric_name()?;
                if name.is_empty() {
                    return Err(line.fault(start, "invalid metric name"));
                }
                self.check_metric_name(line, start, name)?;
                self.target(name)
            }
        };
        line.skip_blanks();
        if line.peek() == b'{' {
            line.at += 1;
            self.labels_and_value(line, start, target, NamePlace::BeforeBraces)
        } else {
            let mark = self.body.label_mark();
            self.value(line, start, target, mark, Member::None)
        }
    }

    /// `{"name",label="value"} 1`: the name stands in the braces, as the string without a value.
    fn braced_sample(&mut self, line: &mut Cursor<'a>) -> Result<(), Fault> {
        let start = line.at;
        line.at += 1;
        let name = self.name_in_braces(line.clone())?;
        let target = self.target(name);
        self.labels_and_value(line, start, target, NamePlace::InBraces)
    }

    /// Looks through the braces for the metric name; the labels are read afterwards.
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
        let mark = self.body.label_mark();
        let form = self.kind(target.family).form();
        let mut member = Member::None;
        loop {
            line.skip_blanks();
            if line.peek() == b'}' {
                line.at += 1;
                break;
            }
            let name_at = line.at;
            let name = line.label_name()?;
            line.skip_blanks();
            if line.peek() != b'=' && !name.is_empty() {
                match name_place {
                    NamePlace::BeforeBraces => {}
                    NamePlace::InBraces => {
                        name_place = NamePlace::Read;
                        line.at += usize::from(line.peek() == b',');
                        continue;
                    }
                    NamePlace::Read => {
                        let metric = quote(self.body.families[target.family].name.as_bytes());
                        return Err(line.fault(name_at, format!("multiple metric names for metric {metric}")));
                    }
                }
                let found = quote_byte(line.peek());
                return Err(line.fault(line.at, format!("expected '=' after label name, found {found}")));
            }
            self.check_label_name(line, name_at, name, target)?;
            line.at += 1;
            line.skip_blanks();
            let value_at = line.at;
            let value = line.label_value()?;
            let special = match form {
                Form::Histogram if name == "le" => Some("le"),
                Form::Summary if name == "quantile" => Some("quantile"),
                _ => None,
            };
            match special {
                None => self.body.push_label(Label { name, escaped_value: value }),
                Some(label) => {
                    let Some(number) = parse_f64(value.as_bytes()) else {
                        let value = quote(crate::model::labels::unescape(value).as_bytes());
                        let message = format!("expected float as value for '{label}' label, got {value}");
                        return Err(line.fault(value_at, message));
                    };
                    member = if label == "le" { Member::Bound(number) } else { Member::Quantile(number) };
                }
            }
            line.skip_blanks();
            match line.peek() {
                b',' => line.at += 1,
                b'}' => {}
                _ => {
                    let value = quote(crate::model::labels::unescape(value).as_bytes());
                    return Err(line.fault(line.at, format!("unexpected end of label value {value}")));
                }
            }
        }
        self.check_duplicate_labels(line, start, target, mark)?;
        line.skip_blanks();
        self.value(line, start, target, mark, member)
    }

    /// The value, an optional timestamp, and the end of the line.
    #[inline]
    fn value(
        &mut self,
        line: &mut Cursor<'a>,
        start: usize,
        target: Target,
        mark: usize,
        member: Member,
    ) -> Result<(), Fault> {
        let value_at = line.at;
        let token = line.token();
        let Some(value) = parse_f64(token) else {
            return Err(line.fault(value_at, format!("expected float as value, got {}", quote(token))));
        };
        let handle = self.record(line, start, target, mark, member, value)?;
        if line.is_at_end_of_line() {
            return Ok(());
        }
        line.skip_blanks();
        let timestamp_at = line.at;
        let token = line.token();
        if std::str::from_utf8(token).ok().and_then(|t| t.parse::<i64>().ok()).is_none() {
            return Err(
                line.fault(timestamp_at, format!("expected integer as timestamp, got {}", quote(token)))
            );
        }
        let rest_at = line.at;
        let rest = line.rest();
        if !rest.is_empty() {
            return Err(line.fault(rest_at, format!("spurious string after timestamp: {}", quote(rest))));
        }
        self.body.series_mut(handle).has_timestamp = true;
        Ok(())
    }

    /// Puts one sample where it belongs; returns the handle of its series.
    #[inline]
    fn record(
        &mut self,
        line: &Cursor<'a>,
        start: usize,
        target: Target,
        mark: usize,
        member: Member,
        value: f64,
    ) -> Result<u32, Fault> {
        let form = self.kind(target.family).form();
        if form == Form::Number {
            let offset = Some(start as u32);
            return Ok(self.body.push_series(target.family, mark, Value::Number(value), offset));
        }
        let handle = self.composite(target.family, mark, start);
        let negative = |what: &str| {
            let name = quote(self.body.families[target.family].name.as_bytes());
            line.fault(start, format!("negative {what} for histogram {name}"))
        };
        if form == Form::Histogram && value < 0.0 {
            match (target.role, member) {
                (Role::Count, _) => return Err(negative("count")),
                (Role::Plain, Member::Bound(_)) => return Err(negative("bucket population")),
                _ => {}
            }
        }
        let count = Count::from_f64(value);
        match (target.role, member) {
            (Role::Plain, Member::Bound(bound)) => self.body.push_bucket(handle, Bucket { bound, count }),
            (Role::Plain, Member::Quantile(quantile)) => {
                self.body.push_quantile(handle, Quantile { quantile, value });
            }
            (Role::Plain, Member::None) => {}
            (Role::Sum | Role::Count, _) => {
                if let Some(composite) = self.body.composite_mut(handle) {
                    match target.role {
                        Role::Count => composite.count = Some(count),
                        _ => composite.sum = Some(value),
                    }
                }
            }
        }
        Ok(handle)
    }

    /// The histogram or summary with the labels since `mark`, which are dropped where it is known.
    fn composite(&mut self, family: usize, mark: usize, start: usize) -> u32 {
        if let Some((last_family, handle)) = self.last_composite
            && last_family == family
            && self.body.labels_of(self.body.series(handle)) == self.body.labels_since(mark)
        {
            self.body.drop_labels(mark);
            return handle;
        }
        let hash = label_set_hash(&self.hasher, family, self.body.labels_since(mark));
        let body = &self.body;
        let found = self.composites.find(hash, |&handle| {
            let series = body.series(handle);
            series.family() == family && same_label_set(body.labels_of(series), body.labels_since(mark))
        });
        let handle = match found {
            Some(&handle) => {
                self.body.drop_labels(mark);
                handle
            }
            None => {
                let handle = self.body.push_composite(family, mark, Some(start as u32));
                let (body, hasher) = (&self.body, &self.hasher);
                self.composites.insert_unique(hash, handle, |&other| {
                    let series = body.series(other);
                    label_set_hash(hasher, series.family(), body.labels_of(series))
                });
                handle
            }
        };
        self.last_composite = Some((family, handle));
        handle
    }

    /// The type of a family, which its first sample fixes as untyped where no TYPE line came before.
    #[inline]
    fn kind(&mut self, family: usize) -> Kind {
        *self.body.families[family].kind.get_or_insert(Kind::Untyped)
    }

    /// The family and role of the samples with this name.
    fn target(&mut self, name: &'a str) -> Target {
        let target = match self.targets.get(name) {
            Some(target) => *target,
            None => {
                let target = self.member_of_composite(name).unwrap_or_else(|| {
                    self.body.families.push(Family {
                        name,
                        kind: None,
                        help: None,
                        series: Chain::default(),
                    });
                    Target { family: self.body.families.len() - 1, role: Role::Plain }
                });
                self.targets.insert(name, target);
                target
            }
        };
        // A bare line must not match a name that has to be quoted.
        self.last = is_legacy_metric_name(name).then_some((name, target));
        target
    }

    /// Where `name` is that of a summary or histogram with one of their suffixes: that family.
    fn member_of_composite(&self, name: &str) -> Option<Target> {
        let (base, role) = if let Some(base) = name.strip_suffix("_count") {
            (base, Role::Count)
        } else if let Some(base) = name.strip_suffix("_sum") {
            (base, Role::Sum)
        } else {
            (name.strip_suffix("_bucket")?, Role::Plain)
        };
        let family = self.targets.get(base).filter(|_| !base.is_empty())?.family;
        let has_suffix = match self.body.families[family].kind?.form() {
            Form::Number => false,
            Form::Summary => role != Role::Plain,
            Form::Histogram => true,
        };
        (has_suffix && self.body.families[family].name == base).then_some(Target { family, role })
    }

    /// A bare name is valid as it was scanned; a quoted one depends on the configuration.
    #[inline]
    fn check_metric_name(&self, line: &Cursor<'a>, at: usize, name: &str) -> Result<(), Fault> {
        let is_bare = self.input.get(at) != Some(&b'"');
        if is_bare || is_legacy_metric_name(name) || (self.names == Names::Utf8 && !name.is_empty()) {
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
            let metric = quote(self.body.families[target.family].name.as_bytes());
            return Err(line.fault(at, format!("invalid label name for metric {metric}")));
        }
        if name == "__name__" {
            return Err(line.fault(at, "label name \"__name__\" is reserved"));
        }
        let is_bare = self.input.get(at) != Some(&b'"');
        if is_bare || is_legacy_label_name(name) || self.names == Names::Utf8 {
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
        let labels = self.body.labels_since(mark);
        let has_duplicate = if labels.len() <= 16 {
            (1..labels.len()).any(|i| labels[..i].iter().any(|earlier| earlier.name == labels[i].name))
        } else {
            let mut seen = HashSet::with_capacity(labels.len());
            !labels.iter().all(|label| seen.insert(label.name))
        };
        if has_duplicate {
            let metric = quote(self.body.families[target.family].name.as_bytes());
            return Err(line.fault(start, format!("duplicate label names for metric {metric}")));
        }
        Ok(())
    }
}

/// A hash of a family and a label set that does not depend on the order of the labels.
fn label_set_hash(hasher: &RandomState, family: usize, labels: &[Label<'_>]) -> u64 {
    labels.iter().fold(hasher.hash_one(family), |hash, label| {
        hash.wrapping_add(hasher.hash_one((label.name, label.escaped_value)))
    })
}

/// Whether two lists without duplicates hold the same labels.
fn same_label_set(a: &[Label<'_>], b: &[Label<'_>]) -> bool {
    a.len() == b.len() && (a == b || a.iter().all(|label| b.contains(label)))
}

/// The type that a TYPE line names; upper and lower case are the same.
fn kind_of(word: &[u8]) -> Option<Kind> {
    match word {
        b"counter" => return Some(Kind::Counter),
        b"gauge" => return Some(Kind::Gauge),
        b"histogram" => return Some(Kind::Histogram),
        _ => {}
    }
    let kinds: [(&str, Kind); 7] = [
        ("counter", Kind::Counter),
        ("gauge", Kind::Gauge),
        ("summary", Kind::Summary),
        ("untyped", Kind::Untyped),
        ("histogram", Kind::Histogram),
        ("gauge_histogram", Kind::GaugeHistogram),
        ("gaugehistogram", Kind::GaugeHistogram),
    ];
    kinds.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word)).map(|(_, kind)| *kind)
}
