//! A push that has its grouping labels and obeys the rules, ready to be merged.
//!
//! Turning a body into a push is a pure function of the body, the grouping and the configuration.
//! A [`Push`] owns its data, so that it can wait in a queue.

use std::cmp::Ordering;

use crate::model::body::{self, Body};
use crate::model::count::Count;
use crate::model::grouping::Grouping;
use crate::model::histogram::Bucket;
use crate::model::kind::{Form, Kind};
use crate::model::labels::{escape, write_pair};
use crate::model::name::is_reserved_label_name;
use crate::model::rules::{Cause, Refusal, describe};
use crate::model::summary::Quantile;

/// The names of the families that the gateway keeps for every group. Pushed families of these names
/// are ignored.
pub const GROUP_FAMILIES: [&str; 2] = ["push_time_seconds", "push_failure_time_seconds"];

/// A range within one of the vectors of a [`Push`].
#[derive(Clone, Copy, Debug)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn of<T>(self, items: &[T]) -> &[T] {
        &items[self.start as usize..self.end as usize]
    }
}

/// A checked push.
#[derive(Debug)]
pub struct Push {
    families: Vec<Family>,
    series: Vec<Series>,
    text: String,
    buckets: Vec<Bucket>,
    quantiles: Vec<Quantile>,
}

/// One family of a push.
#[derive(Debug)]
pub struct Family {
    name: Span,
    /// The type.
    pub kind: Kind,
    /// Whether its values add to what is there.
    pub adds: bool,
    help: Option<Span>,
    series: Span,
}

/// One series of a push.
#[derive(Debug)]
pub struct Series {
    block: Span,
    /// The pushed value.
    pub value: Value,
    /// Where in a text body the series begins, in bytes.
    pub offset: Option<u32>,
}

/// The pushed value of one series.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A counter, gauge or untyped value.
    Number(f64),
    /// A summary.
    Summary {
        /// The sum of the observations.
        sum: f64,
        /// The number of observations.
        count: Count,
        /// See [`Push::quantiles`].
        quantiles: Span,
    },
    /// A histogram.
    Histogram {
        /// The sum of the observations.
        sum: f64,
        /// The number of observations.
        total: Count,
        /// See [`Push::buckets`].
        buckets: Span,
    },
}

impl Push {
    /// The families, in the order of the body.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// The name of a family.
    pub fn name(&self, family: &Family) -> &str {
        self.str(family.name)
    }

    /// The help text of a family, if the push gives one.
    pub fn help(&self, family: &Family) -> Option<&str> {
        family.help.map(|span| self.str(span))
    }

    /// The series of a family.
    pub fn series(&self, family: &Family) -> &[Series] {
        family.series.of(&self.series)
    }

    /// The label block of a series.
    pub fn block(&self, series: &Series) -> &str {
        self.str(series.block)
    }

    /// The buckets of a histogram: ascending and cumulative where the family adds.
    pub fn buckets(&self, span: Span) -> &[Bucket] {
        span.of(&self.buckets)
    }

    /// The quantiles of a summary.
    pub fn quantiles(&self, span: Span) -> &[Quantile] {
        span.of(&self.quantiles)
    }

    /// A description of a series for messages.
    pub fn describe(&self, family: &Family, series: &Series) -> String {
        describe(self.name(family), family.kind, self.block(series), &series.value)
    }

    fn str(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.end as usize]
    }

    /// Gives the series of `body` the labels of `grouping` and checks them. With `aggregate`, values
    /// that add are checked for what would spoil a sum.
    ///
    /// Label forcing is the stock gateway's: grouping labels overwrite those of the body, and a
    /// series that then has no `instance` label gets an empty one.
    ///
    /// # Errors
    ///
    /// The first series that breaks a rule.
    pub fn prepare(body: &Body<'_>, grouping: &Grouping<'_>, aggregate: bool) -> Result<Push, Refusal> {
        let count = body.series_count();
        let mut builder = Builder {
            body,
            aggregate,
            forced: ForcedLabels::of(grouping),
            text: Vec::with_capacity(count * 64 + 256),
            buckets: Vec::new(),
            quantiles: Vec::new(),
            template: Template::default(),
        };
        let mut families = Vec::with_capacity(body.families.len());
        let mut series = Vec::with_capacity(count);
        for family in &body.families {
            if body.series_of(family).any(|series| series.has_timestamp) {
                return Err(Refusal::of(Cause::Timestamp));
            }
        }
        for family in body.families.iter().filter(|f| !GROUP_FAMILIES.contains(&f.name)) {
            let kind = family.kind.unwrap_or(Kind::Untyped);
            let adds = aggregate && kind.adds(family.name);
            let first = series.len();
            for pushed in body.series_of(family) {
                let block = builder.block(family.name, kind, pushed)?;
                let value = builder.value(kind, adds, pushed).map_err(|fault| {
                    let metric = builder.describe(family.name, kind, block, pushed);
                    Refusal::at(pushed.offset, fault.cause(metric))
                })?;
                series.push(Series { block, value, offset: pushed.offset });
            }
            families.push(Family {
                name: span_of(&mut builder.text, |text| text.extend_from_slice(family.name.as_bytes())),
                kind,
                adds,
                help: family
                    .help
                    .map(|help| span_of(&mut builder.text, |text| text.extend_from_slice(help.as_bytes()))),
                series: Span { start: first as u32, end: series.len() as u32 },
            });
        }
        // Every piece of the text was a string.
        let text = String::from_utf8(builder.text).unwrap_or_default();
        Ok(Push { families, series, text, buckets: builder.buckets, quantiles: builder.quantiles })
    }
}

fn span_of<T>(items: &mut Vec<T>, fill: impl FnOnce(&mut Vec<T>)) -> Span {
    let start = items.len() as u32;
    fill(items);
    Span { start, end: items.len() as u32 }
}

/// The grouping labels, written once per push.
struct ForcedLabels<'g> {
    /// The names, and where the label ends in the text.
    labels: Vec<(&'g str, usize)>,
    /// All labels, one after the other.
    text: Vec<u8>,
    /// Which is the empty `instance` label that a label of the body may replace.
    default_instance: Option<usize>,
}

impl<'g> ForcedLabels<'g> {
    fn of(grouping: &'g Grouping<'_>) -> ForcedLabels<'g> {
        let mut pairs: Vec<(&str, &str)> =
            grouping.labels().iter().map(|label| (&*label.name, &*label.value)).collect();
        let default_instance = (!grouping.has_instance()).then(|| {
            let at = pairs.partition_point(|(name, _)| *name < "instance");
            pairs.insert(at, ("instance", ""));
            at
        });
        let mut text = Vec::with_capacity(grouping.key().len() + 16);
        let label = |(name, value)| {
            write_pair(&mut text, name, &escape(value));
            (name, text.len())
        };
        let labels = pairs.into_iter().map(label).collect();
        ForcedLabels { labels, text, default_instance }
    }

    fn name(&self, at: usize) -> Option<&'g str> {
        self.labels.get(at).map(|(name, _)| *name)
    }

    fn label(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.labels[before].1);
        &self.text[start..self.labels[at].1]
    }
}

/// The label block of a series with its own values left out. The series of a family mostly have the
/// same label names in the same order, so they are sorted and checked once.
#[derive(Default)]
struct Template<'a> {
    /// The form of the family; none before the first series.
    form: Option<Form>,
    /// The names of the series' own labels, in the order of the body.
    names: Vec<&'a str>,
    text: Vec<u8>,
    /// Where in the text the value of which own label goes.
    values: Vec<(usize, usize)>,
}

impl<'a> Template<'a> {
    #[inline]
    fn fits(&self, kind: Kind, labels: &[body::Label<'a>]) -> bool {
        self.form == Some(kind.form())
            && self.names.len() == labels.len()
            && self.names.iter().zip(labels).all(|(name, label)| *name == label.name)
    }
}

/// What is wrong with the labels of a series.
enum LabelFault {
    Duplicate(String),
    Invalid(String),
    /// `le` on a histogram, or else `quantile` on a summary.
    Explicit(bool),
}

impl LabelFault {
    fn cause(self, metric: String) -> Cause {
        match self {
            LabelFault::Duplicate(label) => Cause::DuplicateLabel { metric, label },
            LabelFault::Invalid(label) => Cause::InvalidLabelName { metric, label },
            LabelFault::Explicit(is_le) => {
                Cause::ExplicitLabel { metric, label: if is_le { "le" } else { "quantile" } }
            }
        }
    }
}

/// What is wrong with a value; the metric's description is added when the push is refused.
enum ValueFault {
    Counter(f64),
    Sum,
    Count(Count),
    Bound,
    DuplicateBound(f64),
    Falling(f64),
    CountDiffers {
        count: Count,
        bucket: Count,
    },
    NoCount,
    /// The value is not of the kind of its family.
    NotA(Kind),
}

impl ValueFault {
    fn cause(self, metric: String) -> Cause {
        match self {
            ValueFault::Counter(value) => Cause::CounterValue { metric, value },
            ValueFault::Sum => Cause::SumNotANumber { metric },
            ValueFault::Count(count) => Cause::CountValue { metric, count },
            ValueFault::Bound => Cause::BoundNotANumber { metric },
            ValueFault::DuplicateBound(bound) => Cause::DuplicateBound { metric, bound },
            ValueFault::Falling(bound) => Cause::FallingCounts { metric, bound },
            ValueFault::CountDiffers { count, bucket } => Cause::CountDiffers { metric, count, bucket },
            ValueFault::NoCount => Cause::NoCount { metric },
            ValueFault::NotA(kind) => Cause::KindConflict { metric, kind },
        }
    }
}

struct Builder<'b, 'a> {
    body: &'b Body<'a>,
    aggregate: bool,
    forced: ForcedLabels<'b>,
    text: Vec<u8>,
    buckets: Vec<Bucket>,
    quantiles: Vec<Quantile>,
    template: Template<'a>,
}

impl<'a> Builder<'_, 'a> {
    /// Writes the label block of a series: its labels and the forced ones, sorted.
    fn block(&mut self, family: &str, kind: Kind, series: &body::Series) -> Result<Span, Refusal> {
        let labels = self.body.labels_of(series);
        if !self.template.fits(kind, labels) {
            self.template = self.template_for(kind, labels).map_err(|fault| {
                let block = self.raw_block(labels);
                let metric = self.describe(family, kind, block, series);
                Refusal::at(series.offset, fault.cause(metric))
            })?;
        }
        let start = self.text.len() as u32;
        let mut from = 0;
        for (to, own) in &self.template.values {
            self.text.extend_from_slice(&self.template.text[from..*to]);
            self.text.extend_from_slice(labels[*own].escaped_value.as_bytes());
            from = *to;
        }
        self.text.extend_from_slice(&self.template.text[from..]);
        Ok(Span { start, end: self.text.len() as u32 })
    }

    /// Lays out the block of series whose labels have these names.
    fn template_for(&self, kind: Kind, labels: &[body::Label<'a>]) -> Result<Template<'a>, LabelFault> {
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_key(|&at| labels[at].name);
        if let Some(pair) = order.windows(2).find(|pair| labels[pair[0]].name == labels[pair[1]].name) {
            return Err(LabelFault::Duplicate(labels[pair[0]].name.to_owned()));
        }
        if let Some(label) = labels.iter().find(|l| l.name.is_empty() || is_reserved_label_name(l.name)) {
            return Err(LabelFault::Invalid(label.name.to_owned()));
        }
        let mut template = Template {
            form: Some(kind.form()),
            names: labels.iter().map(|label| label.name).collect(),
            text: Vec::with_capacity(self.forced.text.len() + 64),
            values: Vec::with_capacity(labels.len()),
        };
        let special = special_label(kind);
        let (mut own, mut forced) = (order.into_iter().peekable(), 0);
        loop {
            let next_own = own.peek().map(|&at| labels[at].name);
            let order = match (next_own, self.forced.name(forced)) {
                (None, None) => break,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(own), Some(forced)) => own.cmp(forced),
            };
            template.text.push(if template.text.is_empty() { b'{' } else { b',' });
            let taken = if order.is_le() { own.next() } else { None };
            // A grouping label overwrites; the default for `instance` gives way.
            let is_own = order.is_lt() || (order.is_eq() && self.forced.default_instance == Some(forced));
            if let Some(at) = taken.filter(|_| is_own) {
                if special == Some(labels[at].name) {
                    return Err(LabelFault::Explicit(labels[at].name == "le"));
                }
                write_pair(&mut template.text, labels[at].name, "");
                // The value goes before the quote that ends it.
                template.values.push((template.text.len() - 1, at));
            } else {
                if special.is_some() && special == self.forced.name(forced) {
                    return Err(LabelFault::Explicit(special == Some("le")));
                }
                template.text.extend_from_slice(self.forced.label(forced));
            }
            forced += usize::from(order.is_ge());
        }
        template.text.extend_from_slice(b"}");
        Ok(template)
    }

    /// The labels of the body as they are, for a message.
    #[cold]
    fn raw_block(&mut self, labels: &[body::Label<'_>]) -> Span {
        span_of(&mut self.text, |text| {
            text.push(b'{');
            for (at, label) in labels.iter().enumerate() {
                if at > 0 {
                    text.push(b',');
                }
                write_pair(text, label.name, label.escaped_value);
            }
            text.push(b'}');
        })
    }

    /// Checks a value and copies its buckets or quantiles.
    fn value(&mut self, kind: Kind, adds: bool, series: &body::Series) -> Result<Value, ValueFault> {
        let body = self.body;
        match (series.value, kind.form()) {
            (body::Value::Number(value), _) if adds && !(value >= 0.0 && value.is_finite()) => {
                Err(ValueFault::Counter(value))
            }
            (body::Value::Number(value), _) => Ok(Value::Number(value)),
            (body::Value::Composite(number), Form::Summary) => {
                let composite = body.composite(number);
                let count = whole_count(composite.count.unwrap_or(Count::ZERO));
                if let Count::Float(_) = count
                    && self.aggregate
                {
                    return Err(ValueFault::Count(count));
                }
                let quantiles = span_of(&mut self.quantiles, |all| all.extend(body.quantiles_of(composite)));
                Ok(Value::Summary { sum: composite.sum.unwrap_or(0.0), count: stock_count(count), quantiles })
            }
            (body::Value::Composite(number), Form::Histogram) => {
                let composite = body.composite(number);
                let sum = composite.sum.unwrap_or(0.0);
                // The stock gateway ignores a bound that is no number; a sum can't.
                let keeps = |bucket: &Bucket| adds || !bucket.bound.is_nan();
                let buckets = span_of(&mut self.buckets, |all| {
                    all.reserve(composite.bucket_count());
                    all.extend(body.buckets_of(composite).filter(keeps));
                });
                let total = if adds {
                    check_histogram(&mut self.buckets[buckets.start as usize..], sum, composite.count)?
                } else {
                    composite.count.unwrap_or(Count::ZERO)
                };
                Ok(Value::Histogram { sum, total, buckets })
            }
            (body::Value::Missing, _) | (body::Value::Composite(_), Form::Number) => {
                Err(ValueFault::NotA(kind))
            }
        }
    }

    #[cold]
    fn describe(&self, family: &str, kind: Kind, block: Span, series: &body::Series) -> String {
        let none = Span { start: 0, end: 0 };
        let value = match series.value {
            body::Value::Missing => Value::Number(0.0),
            body::Value::Number(value) => Value::Number(value),
            body::Value::Composite(number) => {
                let composite = self.body.composite(number);
                let (sum, count) = (composite.sum.unwrap_or(0.0), composite.count.unwrap_or(Count::ZERO));
                Value::Summary { sum, count, quantiles: none }
            }
        };
        let block = std::str::from_utf8(block.of(&self.text)).unwrap_or_default();
        describe(family, kind, block, &value)
    }
}

/// The label that the text formats give to the samples of a composite series.
fn special_label(kind: Kind) -> Option<&'static str> {
    match kind.form() {
        Form::Number => None,
        Form::Summary => Some("quantile"),
        Form::Histogram => Some("le"),
    }
}

/// The count of a summary without its fraction, as the stock gateway stores it.
fn whole_count(count: Count) -> Count {
    Count::from_f64(match count {
        Count::Int(_) => return count,
        Count::Float(value) => value.trunc(),
    })
}

/// What Go makes of a float that fits no `uint64` (on amd64).
fn stock_count(count: Count) -> Count {
    match count {
        Count::Float(value) if value > i64::MIN as f64 && value < 0.0 => Count::Int(value as i64 as u64),
        Count::Float(_) => Count::Int(1 << 63),
        int => int,
    }
}

/// Sorts the buckets of a histogram that adds and checks that it is one. Returns its count.
fn check_histogram(buckets: &mut [Bucket], sum: f64, count: Option<Count>) -> Result<Count, ValueFault> {
    if sum.is_nan() {
        return Err(ValueFault::Sum);
    }
    if buckets.iter().any(|b| b.bound.is_nan()) {
        return Err(ValueFault::Bound);
    }
    if let Some(bad) =
        buckets.iter().map(|b| b.count).chain(count).find(|c| !(c.as_f64() >= 0.0 && c.as_f64().is_finite()))
    {
        return Err(ValueFault::Count(bad));
    }
    if !buckets.is_sorted_by(|a, b| a.bound < b.bound) {
        buckets.sort_by(|a, b| a.bound.total_cmp(&b.bound));
    }
    for pair in buckets.windows(2) {
        if pair[0].bound == pair[1].bound {
            return Err(ValueFault::DuplicateBound(pair[1].bound));
        }
        if pair[0].count.as_f64() > pair[1].count.as_f64() {
            return Err(ValueFault::Falling(pair[1].bound));
        }
    }
    let Some(last) = buckets.last() else {
        return Ok(count.unwrap_or(Count::ZERO));
    };
    let is_inf = last.bound == f64::INFINITY;
    match count {
        Some(count) if is_inf && count.as_f64() != last.count.as_f64() => {
            Err(ValueFault::CountDiffers { count, bucket: last.count })
        }
        Some(count) if count.as_f64() < last.count.as_f64() => Err(ValueFault::Falling(f64::INFINITY)),
        Some(count) => Ok(count),
        None if is_inf => Ok(last.count),
        None => Err(ValueFault::NoCount),
    }
}
