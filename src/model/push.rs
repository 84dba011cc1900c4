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
            order: Vec::new(),
        };
        let mut families = Vec::with_capacity(body.families.len());
        let mut series = Vec::with_capacity(count);
        for family in &body.families {
            if body.series_of(family).any(|series| series.has_timestamp) {
                return Err(Refusal::of(Cause::Timestamp));
            }
        }
        for family in body.families.iter().filter(|f| !GROUP_FAMILIES.contains(&&*f.name)) {
            let kind = family.kind.unwrap_or(Kind::Untyped);
            let adds = aggregate && kind.adds(&family.name);
            let first = series.len();
            for pushed in body.series_of(family) {
                let block = builder.block(&family.name, kind, pushed)?;
                let value = builder.value(kind, adds, pushed).map_err(|fault| {
                    let metric = builder.describe(&family.name, kind, block, pushed);
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
                    .as_ref()
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
    /// The names, and where the label stands in the block.
    labels: Vec<(&'g str, std::ops::Range<usize>)>,
    /// The block of a series without labels of its own.
    block: String,
    /// Where the empty `instance` label stands that a label of the body may replace.
    default_instance: Option<usize>,
}

impl<'g> ForcedLabels<'g> {
    fn of(grouping: &'g Grouping<'_>) -> ForcedLabels<'g> {
        let mut names: Vec<(&str, &str)> =
            grouping.labels().iter().map(|label| (&*label.name, &*label.value)).collect();
        let default_instance = (!grouping.has_instance()).then(|| {
            let at = names.partition_point(|(name, _)| *name < "instance");
            names.insert(at, ("instance", ""));
            at
        });
        let mut block = Vec::with_capacity(grouping.key().len() + 16);
        let labels = names.into_iter().map(|(name, value)| {
            block.push(if block.is_empty() { b'{' } else { b',' });
            let start = block.len();
            write_pair(&mut block, name, &escape(value));
            (name, start..block.len())
        });
        let labels = labels.collect();
        block.push(b'}');
        ForcedLabels { labels, block: String::from_utf8(block).unwrap_or_default(), default_instance }
    }

    fn name(&self, at: usize) -> Option<&'g str> {
        self.labels.get(at).map(|(name, _)| *name)
    }

    fn text(&self, at: usize) -> &[u8] {
        &self.block.as_bytes()[self.labels[at].1.clone()]
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
    /// Positions of a series' labels, sorted by name; kept to spare an allocation per series.
    order: Vec<u32>,
}

impl Builder<'_, '_> {
    /// Writes the label block of a series: its labels and the forced ones, sorted.
    fn block(&mut self, family: &str, kind: Kind, series: &body::Series) -> Result<Span, Refusal> {
        let labels = self.body.labels_of(series);
        let start = self.text.len() as u32;
        if labels.is_empty() && !self.forced_is_special(kind) {
            self.text.extend_from_slice(self.forced.block.as_bytes());
            return Ok(Span { start, end: self.text.len() as u32 });
        }
        self.order.clear();
        self.order.extend(0..labels.len() as u32);
        if !labels.is_sorted_by(|a, b| a.name <= b.name) {
            self.order.sort_by(|a, b| labels[*a as usize].name.cmp(&labels[*b as usize].name));
        }
        self.text.push(b'{');
        let (mut own, mut forced) = (0, 0);
        let mut last_own: Option<&str> = None;
        let mut has_special = self.forced_is_special(kind);
        loop {
            let next_own = self.order.get(own).map(|&at| &labels[at as usize]);
            let next_forced = self.forced.name(forced);
            let order = match (next_own, next_forced) {
                (None, None) => break,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(own), Some(forced)) => (*own.name).cmp(forced),
            };
            if self.text.len() > start as usize + 1 {
                self.text.push(b',');
            }
            if let Some(label) = next_own.filter(|_| order.is_le()) {
                let is_invalid = label.name.is_empty() || is_reserved_label_name(&label.name);
                if last_own == Some(&*label.name) || is_invalid {
                    return Err(self.label_fault(family, kind, series, start, &label.name, last_own));
                }
                last_own = Some(&label.name);
                own += 1;
                let is_overwritten = order.is_eq() && self.forced.default_instance != Some(forced);
                if !is_overwritten {
                    has_special |= is_special(kind, &label.name);
                    write_pair(&mut self.text, &label.name, &label.escaped_value);
                    forced += usize::from(order.is_eq());
                    continue;
                }
            }
            self.text.extend_from_slice(self.forced.text(forced));
            forced += 1;
        }
        self.text.push(b'}');
        let block = Span { start, end: self.text.len() as u32 };
        if has_special {
            let label = if kind == Kind::Summary { "quantile" } else { "le" };
            let metric = self.describe(family, kind, block, series);
            return Err(Refusal::at(series.offset, Cause::ExplicitLabel { metric, label }));
        }
        Ok(block)
    }

    fn forced_is_special(&self, kind: Kind) -> bool {
        kind.form() != Form::Number && self.forced.labels.iter().any(|(name, _)| is_special(kind, name))
    }

    #[cold]
    fn label_fault(
        &mut self,
        family: &str,
        kind: Kind,
        series: &body::Series,
        start: u32,
        label: &str,
        last: Option<&str>,
    ) -> Refusal {
        self.text.push(b'}');
        let block = Span { start, end: self.text.len() as u32 };
        let metric = self.describe(family, kind, block, series);
        let label_name = label.to_owned();
        let cause = if last == Some(label) {
            Cause::DuplicateLabel { metric, label: label_name }
        } else {
            Cause::InvalidLabelName { metric, label: label_name }
        };
        Refusal::at(series.offset, cause)
    }

    /// Checks a value and copies its buckets or quantiles.
    fn value(&mut self, kind: Kind, adds: bool, series: &body::Series) -> Result<Value, ValueFault> {
        match series.value {
            body::Value::Missing => Err(ValueFault::NotA(kind)),
            body::Value::Number(value) if adds && !(value >= 0.0 && value.is_finite()) => {
                Err(ValueFault::Counter(value))
            }
            body::Value::Number(value) => Ok(Value::Number(value)),
            body::Value::Summary { sum, count, quantiles } => {
                let count = whole_count(count.unwrap_or(Count::ZERO));
                if let Count::Float(_) = count
                    && self.aggregate
                {
                    return Err(ValueFault::Count(count));
                }
                let body = self.body;
                let quantiles = span_of(&mut self.quantiles, |all| all.extend(body.quantiles_of(quantiles)));
                Ok(Value::Summary { sum: sum.unwrap_or(0.0), count: stock_count(count), quantiles })
            }
            body::Value::Histogram { sum, count, buckets } => {
                let body = self.body;
                let ignore_nan = !adds;
                let span = span_of(&mut self.buckets, |all| {
                    all.extend(body.buckets_of(buckets).filter(|b| !(ignore_nan && b.bound.is_nan())));
                });
                let total = if adds && kind == Kind::Histogram {
                    let sum = sum.unwrap_or(0.0);
                    check_histogram(&mut self.buckets[span.start as usize..], sum, count)?
                } else {
                    count.unwrap_or(Count::ZERO)
                };
                Ok(Value::Histogram { sum: sum.unwrap_or(0.0), total, buckets: span })
            }
        }
    }

    #[cold]
    fn describe(&self, family: &str, kind: Kind, block: Span, series: &body::Series) -> String {
        let none = Span { start: 0, end: 0 };
        let value = match series.value {
            body::Value::Missing => Value::Number(0.0),
            body::Value::Number(value) => Value::Number(value),
            body::Value::Summary { sum, count, .. } => Value::Summary {
                sum: sum.unwrap_or(0.0),
                count: count.unwrap_or(Count::ZERO),
                quantiles: none,
            },
            body::Value::Histogram { sum, count, .. } => Value::Histogram {
                sum: sum.unwrap_or(0.0),
                total: count.unwrap_or(Count::ZERO),
                buckets: none,
            },
        };
        let block = std::str::from_utf8(block.of(&self.text)).unwrap_or_default();
        describe(family, kind, block, &value)
    }
}

/// Whether a label of this name would stand twice in the text of a composite series.
fn is_special(kind: Kind, label: &str) -> bool {
    match kind.form() {
        Form::Number => false,
        Form::Summary => label == "quantile",
        Form::Histogram => label == "le",
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
