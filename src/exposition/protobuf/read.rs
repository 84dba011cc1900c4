//! Parses delimited protobuf.

use std::borrow::Cow;

use bumpalo::Bump;

use super::wire::{Field, WireError, delimited, fields, varint, zigzag};
use crate::exposition::assembly::duplicate_label;
use crate::exposition::error::ParseError;
use crate::exposition::reading::{Names, Reading};
use crate::message::quote;
use crate::model::body::{self, Body, Label, Value};
use crate::model::count::Count;
use crate::model::exemplar::Place;
use crate::model::histogram::Bucket;
use crate::model::kind::{Form, Kind};
use crate::model::labels::escape;
use crate::model::limits::{Limit, TooMuch};
use crate::model::native_histogram::{Encoded, Span};
use crate::model::summary::Quantile;

/// Why a protobuf body can't be parsed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Cause {
    /// The body ends within a message.
    #[error("unexpected EOF")]
    Truncated,
    /// A varint has more than 64 bits.
    #[error("proto: variable length integer overflow")]
    Overflow,
    /// The bytes are not a message of the schema.
    #[error("proto: cannot parse invalid wire-format data")]
    Invalid,
    /// The body exceeds a limit.
    #[error("too much for one push ({})", .0.setting())]
    TooMuch(Limit),
    /// A family has no name.
    #[error("metric family without a name (family {family} of the body)")]
    NoName {
        /// Its number in the body, from 1.
        family: usize,
    },
    /// A family has a type that the schema doesn't have.
    #[error("unknown metric type {number} of metric family {name}")]
    UnknownType {
        /// The quoted name.
        name: String,
        /// The number of the type.
        number: i32,
    },
    /// A string is not UTF-8.
    #[error("metric family {family} of the body: {what} is not UTF-8: {text}")]
    NotUtf8 {
        /// The number of the family in the body, from 1.
        family: usize,
        /// Which string.
        what: &'static str,
        /// The quoted string.
        text: String,
    },
}

impl From<TooMuch> for Cause {
    fn from(TooMuch(limit): TooMuch) -> Cause {
        Cause::TooMuch(limit)
    }
}

impl From<WireError> for Cause {
    fn from(error: WireError) -> Cause {
        match error {
            WireError::Overflow => Cause::Overflow,
            WireError::Truncated | WireError::Invalid => Cause::Invalid,
        }
    }
}

/// Parses a body of delimited `MetricFamily` messages. Label values that need escapes are stored in `arena`. If
/// families have the same name, the last one counts, as in the stock gateway.
///
/// # Errors
///
/// The first fault. Nothing of a faulty body is returned.
pub fn parse<'a>(input: &'a [u8], arena: &'a Bump) -> Result<Body<'a>, ParseError> {
    read(input, &Reading::unlimited(Names::Utf8), arena)
}

/// As [`parse`], with these settings.
///
/// # Errors
///
/// As [`parse`], and an exceeded limit.
pub(in crate::exposition) fn read<'a>(
    input: &'a [u8],
    reading: &Reading,
    arena: &'a Bump,
) -> Result<Body<'a>, ParseError> {
    families(input, reading, arena).map_err(|cause| {
        let limit = if let Cause::TooMuch(limit) = cause { Some(limit) } else { None };
        ParseError { format: "protobuf", place: None, limit, message: cause.to_string() }
    })
}

fn families<'a>(input: &'a [u8], reading: &Reading, arena: &'a Bump) -> Result<Body<'a>, Cause> {
    // A series with one label takes about this many bytes.
    let room = input.len() / 48 + 8;
    let body = Body::with_capacity(room, room);
    let body = body.within(reading.limits).with_empty_labels(reading.empty_labels);
    let mut reader = Reader { body, arena, number: 0 };
    let mut rest = input;
    while !rest.is_empty() {
        reader.number += 1;
        // If the body ends within a message, that is an early end. A field that exceeds its message is invalid.
        let message = delimited(&mut rest).map_err(|error| match error {
            WireError::Truncated => Cause::Truncated,
            other => other.into(),
        })?;
        reader.family(message)?;
    }
    let mut body = reader.body;
    let mut seen = std::collections::HashSet::new();
    let mut is_last: Vec<bool> = body.families.iter().rev().map(|f| seen.insert(f.name)).collect();
    body.families.retain(|_| is_last.pop().unwrap_or(true));
    body.finish();
    Ok(body)
}

struct Reader<'a> {
    body: Body<'a>,
    arena: &'a Bump,
    /// The number of the current family in the body, from 1.
    number: usize,
}

impl<'a> Reader<'a> {
    fn text(&self, bytes: &'a [u8], what: &'static str) -> Result<&'a str, Cause> {
        std::str::from_utf8(bytes).map_err(|_| Cause::NotUtf8 {
            family: self.number,
            what,
            text: quote(bytes),
        })
    }

    fn keep(&self, text: Cow<'a, str>) -> &'a str {
        match text {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => self.arena.alloc_str(&text),
        }
    }

    fn family(&mut self, message: &'a [u8]) -> Result<(), Cause> {
        let mut name = "";
        let (mut help, mut unit) = (None, None);
        let mut number = 0;
        fields(message, |field, content| {
            match field {
                1 => name = self.text(content.bytes()?, "the name")?,
                2 => help = Some(self.keep(String::from_utf8_lossy(content.bytes()?))),
                3 => number = content.varint()? as i32,
                5 => unit = Some(self.text(content.bytes()?, "the unit")?),
                _ => {}
            }
            Ok::<(), Cause>(())
        })?;
        if name.is_empty() {
            return Err(Cause::NoName { family: self.number });
        }
        let kind = Kind::from_protobuf(number)
            .ok_or_else(|| Cause::UnknownType { name: quote(name.as_bytes()), number })?;
        let at = self.body.families.len();
        let unit = unit.filter(|unit| !unit.is_empty());
        self.body.check_families()?;
        self.body.families.push(body::Family { kind: Some(kind), help, unit, ..body::Family::new(name) });
        fields(message, |field, content| {
            if field == 4 {
                self.metric(content.bytes()?, at, kind)?;
            }
            Ok(())
        })
    }

    fn metric(&mut self, message: &'a [u8], family: usize, kind: Kind) -> Result<(), Cause> {
        self.body.count_sample()?;
        let mark = self.body.label_mark();
        let member_field = match kind {
            Kind::Gauge | Kind::Info | Kind::StateSet => 2,
            Kind::Counter => 3,
            Kind::Summary => 4,
            Kind::Untyped => 5,
            Kind::Histogram | Kind::GaugeHistogram => 7,
        };
        let mut member = None;
        let mut has_timestamp = false;
        fields(message, |field, content| {
            match field {
                1 => self.label(content.bytes()?, true)?,
                6 => has_timestamp = true,
                _ if field == member_field => member = Some(content.bytes()?),
                _ => {}
            }
            Ok::<(), Cause>(())
        })?;
        // A repeated label is refused later.
        if self.body.has_labels_to_drop() && duplicate_label(self.body.labels_since(mark)).is_none() {
            self.body.drop_empty_labels(mark);
        }
        let handle = match (member, kind.form()) {
            (None, _) => self.body.push_series(family, mark, Value::Missing, None),
            (Some(member), Form::Number) => self.number(member, family, mark, kind)?,
            (Some(member), Form::Summary) => self.summary(member, family, mark)?,
            (Some(member), Form::Histogram) => self.histogram(member, family, mark)?,
        };
        self.body.series_mut(handle).has_timestamp = has_timestamp;
        Ok(())
    }

    fn number(&mut self, message: &'a [u8], family: usize, mark: usize, kind: Kind) -> Result<u32, Cause> {
        let mut value = 0.0;
        let (mut exemplar, mut start) = (None, None);
        fields(message, |field, content| {
            match field {
                1 => value = content.double()?,
                2 if kind == Kind::Counter => exemplar = Some(content),
                3 if kind == Kind::Counter => start = Some(timestamp(content)?),
                _ => {}
            }
            Ok::<(), Cause>(())
        })?;
        let handle = self.body.push_series(family, mark, Value::Number(value), None);
        if let Some(exemplar) = exemplar {
            self.exemplar(exemplar, handle, Place::Value)?;
        }
        self.start(handle, start);
        Ok(handle)
    }

    fn start(&mut self, handle: u32, start: Option<i64>) {
        if let Some(nanos) = start {
            self.body.push_start(handle, nanos);
        }
    }

    fn exemplar(&mut self, content: Field<'a>, handle: u32, place: Place) -> Result<(), Cause> {
        self.body.count_sample()?;
        let mark = self.body.label_mark();
        let (mut value, mut at) = (0.0, None);
        fields(content.bytes()?, |field, content| {
            match field {
                1 => self.label(content.bytes()?, false)?,
                2 => value = content.double()?,
                3 => at = Some(timestamp(content)?),
                _ => {}
            }
            Ok::<(), Cause>(())
        })?;
        self.body.push_exemplar(handle, place, mark, value, at);
        Ok(())
    }

    /// Reads a label of a series, or of an exemplar.
    fn label(&mut self, message: &'a [u8], is_of_series: bool) -> Result<(), Cause> {
        let (mut name, mut value) = ("", "");
        fields(message, |field, content| {
            match field {
                1 => name = self.text(content.bytes()?, "a label name")?,
                2 => value = self.text(content.bytes()?, "a label value")?,
                _ => {}
            }
            Ok::<(), Cause>(())
        })?;
        let label = Label { name, escaped_value: self.keep(escape(value)) };
        if is_of_series {
            self.body.push_label(label)?
        } else {
            self.body.push_exemplar_label(label)?
        }
        Ok(())
    }

    fn summary(&mut self, message: &'a [u8], family: usize, mark: usize) -> Result<u32, Cause> {
        let handle = self.body.push_composite(family, mark, None);
        let (mut new_sum, mut new_count, mut start) = (None, None, None);
        fields(message, |field, content| {
            match field {
                1 => new_count = Some(Count::Int(content.varint()?)),
                2 => new_sum = Some(content.double()?),
                3 => {
                    let (quantile, value) = doubles(content, 1, 2)?;
                    self.body.count_sample()?;
                    self.body.push_quantile(handle, Quantile { quantile, value });
                }
                4 => start = Some(timestamp(content)?),
                _ => {}
            }
            Ok::<(), Cause>(())
        })?;
        self.start(handle, start);
        if let Some(composite) = self.body.composite_mut(handle) {
            (composite.sum, composite.count) = (new_sum, new_count);
        }
        Ok(handle)
    }

    fn histogram(&mut self, message: &'a [u8], family: usize, mark: usize) -> Result<u32, Cause> {
        let handle = self.body.push_composite(family, mark, None);
        let (mut new_sum, mut integer, mut float, mut start) = (None, None, None, None);
        let mut native = Encoded::default();
        fields(message, |field, content| {
            match field {
                1 => integer = Some(content.varint()?),
                2 => new_sum = Some(content.double()?),
                3 => {
                    let (bucket, exemplar) = bucket(content)?;
                    self.body.count_sample()?;
                    self.body.push_bucket(handle, bucket);
                    if let Some(exemplar) = exemplar {
                        self.exemplar(exemplar, handle, Place::Bucket(bucket.bound))?;
                    }
                }
                4 => float = Some(content.double()?),
                5..=14 => self.native_field(&mut native, field, content)?,
                15 => start = Some(timestamp(content)?),
                16 => self.exemplar(content, handle, Place::Native)?,
                _ => {}
            }
            Ok::<(), Cause>(())
        })?;
        self.start(handle, start);
        if native.is_native() {
            self.body.push_native(handle, native);
        }
        if let Some(composite) = self.body.composite_mut(handle) {
            (composite.sum, composite.count) = (new_sum, count_of(integer, float));
        }
        Ok(handle)
    }
    /// Reads a field that only native histograms have.
    fn native_field(&mut self, native: &mut Encoded, field: u64, content: Field<'_>) -> Result<(), Cause> {
        match field {
            5 => native.schema = zigzag(content.varint()?) as i32,
            6 => native.zero_threshold = content.double()?,
            7 => native.zero_count = content.varint()?,
            8 => native.zero_count_float = content.double()?,
            9 => self.span(content, &mut native.negative.spans)?,
            10 => self.signed_varints(content, &mut native.negative.deltas)?,
            11 => self.packed_doubles(content, &mut native.negative.counts)?,
            12 => self.span(content, &mut native.positive.spans)?,
            13 => self.signed_varints(content, &mut native.positive.deltas)?,
            14 => self.packed_doubles(content, &mut native.positive.counts)?,
            _ => {}
        }
        Ok(())
    }

    fn span(&mut self, content: Field<'_>, into: &mut Vec<Span>) -> Result<(), Cause> {
        self.body.count_sample()?;
        into.push(span(content)?);
        Ok(())
    }

    /// Reads one value of a repeated field, or several packed ones.
    fn signed_varints(&mut self, content: Field<'_>, into: &mut Vec<i64>) -> Result<(), Cause> {
        let Field::Bytes(mut packed) = content else {
            self.body.count_sample()?;
            into.push(zigzag(content.varint()?));
            return Ok(());
        };
        while !packed.is_empty() {
            self.body.count_sample()?;
            into.push(zigzag(varint(&mut packed)?));
        }
        Ok(())
    }

    /// As [`signed_varints`](Self::signed_varints), for doubles.
    fn packed_doubles(&mut self, content: Field<'_>, into: &mut Vec<f64>) -> Result<(), Cause> {
        let Field::Bytes(packed) = content else {
            self.body.count_sample()?;
            into.push(content.double()?);
            return Ok(());
        };
        let (doubles, rest) = packed.as_chunks();
        if !rest.is_empty() {
            return Err(Cause::Invalid);
        }
        for bytes in doubles {
            self.body.count_sample()?;
            into.push(f64::from_le_bytes(*bytes));
        }
        Ok(())
    }
}

/// The float form of a count is used if it is above zero, as the schema says.
fn count_of(integer: Option<u64>, float: Option<f64>) -> Option<Count> {
    match float {
        Some(float) if float > 0.0 || float.is_nan() => Some(Count::Float(float)),
        Some(float) if float < 0.0 => Some(Count::Float(float)),
        _ => integer.map(Count::Int).or(float.map(Count::Float)),
    }
}

/// A bucket, and its exemplar.
fn bucket(content: Field<'_>) -> Result<(Bucket, Option<Field<'_>>), Cause> {
    let (mut integer, mut float, mut bound, mut exemplar) = (None, None, 0.0, None);
    fields(content.bytes()?, |field, content| {
        match field {
            1 => integer = Some(content.varint()?),
            2 => bound = content.double()?,
            3 => exemplar = Some(content),
            4 => float = Some(content.double()?),
            _ => {}
        }
        Ok::<(), Cause>(())
    })?;
    Ok((Bucket { bound, count: count_of(integer, float).unwrap_or(Count::ZERO) }, exemplar))
}

/// Converts a `google.protobuf.Timestamp` to nanoseconds since the epoch.
fn timestamp(content: Field<'_>) -> Result<i64, WireError> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    fields(content.bytes()?, |field, content| {
        match field {
            1 => seconds = content.varint()? as i64,
            2 => nanos = i64::from(content.varint()? as i32),
            _ => {}
        }
        Ok::<(), WireError>(())
    })?;
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

fn span(content: Field<'_>) -> Result<Span, WireError> {
    let mut span = Span::default();
    fields(content.bytes()?, |field, content| {
        match field {
            1 => span.offset = zigzag(content.varint()?) as i32,
            2 => span.length = content.varint()? as u32,
            _ => {}
        }
        Ok::<(), WireError>(())
    })?;
    Ok(span)
}

fn doubles(content: Field<'_>, first: u64, second: u64) -> Result<(f64, f64), Cause> {
    let (mut a, mut b) = (0.0, 0.0);
    fields(content.bytes()?, |field, content| {
        if field == first {
            a = content.double()?;
        } else if field == second {
            b = content.double()?;
        }
        Ok::<(), Cause>(())
    })?;
    Ok((a, b))
}
