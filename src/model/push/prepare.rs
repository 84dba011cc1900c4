//! From a body to a push: label forcing, and the checks of what would spoil a sum.

use std::sync::OnceLock;

use super::checks::{ValueFault, check_histogram, check_parts, shown_twice, stock_count, whole_count};
use super::created::Created;
use super::labels::{ForcedLabels, Template};
use super::session::{Session, process_start};
use super::{Exemplar, Family, GROUP_FAMILIES, NativeAt, Push, Series, Span, Value};
use crate::message::{Excerpt, quote};
use crate::model::body::{self, Body};
use crate::model::by_series::BySeries;
use crate::model::count::Count;
use crate::model::escaping::colliding_label;
use crate::model::exemplar::MAX_LABEL_CHARS;
use crate::model::grouping::Grouping;
use crate::model::histogram::Bucket;
use crate::model::kind::{Form, Kind};
use crate::model::labels::{escape_count, quote_value, write_block};
use crate::model::limits::{MAX_BLOCK_BYTES, PushLimits};
use crate::model::merge::{Buckets, FamilyTerms, Merge, Temporality};
use crate::model::native_histogram::{MAX_BUCKETS, NativeHistogram};
use crate::model::refusal::{Cause, Refusal, describe, describe_labels};
use crate::model::summary::Quantile;

impl Push {
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
        Push::prepare_within(body, grouping, aggregate, PushLimits::NONE)
    }

    /// The same where names and values may be as long as `limits` says.
    ///
    /// # Errors
    ///
    /// As [`Push::prepare`], and what is too long.
    pub fn prepare_within(
        body: &Body<'_>,
        grouping: &Grouping<'_>,
        aggregate: bool,
        limits: PushLimits,
    ) -> Result<Push, Refusal> {
        Push::prepare_under(body, grouping, aggregate, limits, None)
    }

    /// The same where rules say how values are merged: `terms` is called with each family. Without
    /// `aggregate` nothing of it counts.
    ///
    /// # Errors
    ///
    /// As [`Push::prepare_within`].
    pub fn prepare_under(
        body: &Body<'_>,
        grouping: &Grouping<'_>,
        aggregate: bool,
        limits: PushLimits,
        terms: Option<&dyn Fn(&body::Family<'_>) -> FamilyTerms>,
    ) -> Result<Push, Refusal> {
        let count = body.series_count();
        let forced = ForcedLabels::of(grouping);
        if count.saturating_mul(forced.len()) > limits.text {
            return Err(Refusal::of(Cause::TooMuchText { limit: limits.text }));
        }
        let mut builder = Builder {
            body,
            aggregate,
            limits,
            longest_value: u32::try_from(limits.label_value_length).unwrap_or(u32::MAX),
            text: String::with_capacity(text_bytes(body, forced.len())),
            forced,
            buckets: Vec::new(),
            quantiles: Vec::new(),
            natives: Vec::new(),
            exemplars: BySeries::default(),
            template: Template::default(),
            merging: Merging { merge: Merge::Last, is_count: false, policy: Buckets::Union },
        };
        let terms = terms.filter(|_| aggregate);
        let created = if aggregate { Created::of(body) } else { Created::default() };
        let mut starts = BySeries::default();
        let mut families = Vec::with_capacity(body.families.len());
        let mut series = Vec::with_capacity(count);
        for family in &body.families {
            if let Some(series) = body.series_of(family).find(|series| series.has_timestamp) {
                return Err(Refusal::at(series.offset, Cause::Timestamp));
            }
        }
        for (at, family) in body.families.iter().enumerate() {
            if GROUP_FAMILIES.contains(&family.name) || created.is_in(at) {
                continue;
            }
            if memchr::memchr(0, family.name.as_bytes()).is_some() {
                let offset = body.series_of(family).next().and_then(|series| series.offset);
                return Err(Refusal::at(offset, Cause::InvalidName { family: Excerpt::of(family.name) }));
            }
            if family.name.len() > limits.name_length {
                let offset = body.series_of(family).next().and_then(|series| series.offset);
                return Err(Refusal::at(offset, too_long("a metric name", family.name, limits.name_length)));
            }
            let kind = family.kind.unwrap_or(Kind::Untyped);
            let terms = terms.map_or_else(FamilyTerms::default, |terms| terms(family));
            let by_kind = if aggregate { Merge::of(kind, family.name) } else { Merge::Last };
            let rule = terms.merge.filter(|rule| *rule != by_kind && Merge::is_free_for(kind));
            let merge = rule.unwrap_or(by_kind);
            // Only what adds by its type counts something.
            let is_count = merge == Merge::Add && rule.is_none();
            builder.merging = Merging { merge, is_count, policy: terms.buckets };
            let first = series.len();
            for (handle, pushed) in body.handles_of(family) {
                let block = builder.block(family.name, kind, pushed)?;
                let value = builder.value(kind, pushed).map_err(|fault| {
                    let metric = builder.describe(family.name, kind, block, pushed);
                    Refusal::at(pushed.offset, fault.cause(metric))
                })?;
                let start = body.start_of(handle).or_else(|| created.start_of(handle));
                if let Some(start) = start.filter(|_| kind.has_start()) {
                    starts.push(block.start, start);
                }
                if body.has_exemplars() {
                    builder.exemplars(handle, block).map_err(|fault| {
                        let metric = builder.describe(family.name, kind, block, pushed);
                        Refusal::at(pushed.offset, fault.cause(metric))
                    })?;
                }
                series.push(Series { block, value, offset: pushed.offset });
            }
            let mut text = |text: &str| builder.add_text(text);
            families.push(Family {
                name: text(family.name),
                kind,
                merge,
                rule,
                temporality: if is_count { terms.temporality } else { Temporality::Delta },
                series_ttl: terms.series_ttl,
                is_whole: terms.is_whole,
                help: family.help.map(&mut text),
                unit: family.unit.map(&mut text),
                series: Span { start: first as u32, end: series.len() as u32 },
            });
        }
        let mut push = Push {
            families,
            by_name: OnceLock::new(),
            series,
            text: builder.text,
            buckets: builder.buckets,
            quantiles: builder.quantiles,
            natives: builder.natives,
            exemplars: builder.exemplars,
            starts,
            has_empty_labels: body.has_empty_labels() || grouping.has_empty_labels(),
            process_start: if aggregate { process_start(body) } else { None },
            session: None,
        };
        let start = if aggregate {
            push.process_start.or_else(|| push.starts.iter().map(|(_, start)| *start).min())
        } else {
            None
        };
        push.session = start.map(|start| Session { start, total: push.added() }).filter(|s| s.total > 0.0);
        Ok(push)
    }
}

impl Push {
    /// All values together that add up.
    fn added(&self) -> f64 {
        let adding = self.families.iter().filter(|family| family.merge == Merge::Add);
        let value = |series: &Series| match series.value {
            Value::Number(value) => value,
            Value::Summary { count, .. } | Value::Histogram { total: count, .. } => count.as_f64(),
        };
        adding.flat_map(|family| self.series(family)).map(value).sum()
    }
}

/// How much room the names, help texts and label blocks of a push need, in bytes, where each series gets `forced`
/// bytes of labels of its group.
fn text_bytes(body: &Body<'_>, forced: usize) -> usize {
    // A label has `=""` and a comma, and a block the braces. Names that need quotes are few.
    let blocks = body.label_bytes() + body.label_count() * 4 + body.series_count() * (forced + 3);
    let length = |text: Option<&str>| text.map_or(0, str::len);
    let families = body.families.iter();
    blocks
        + families.map(|family| family.name.len() + length(family.help) + length(family.unit)).sum::<usize>()
}

fn too_long(what: &'static str, name: &str, most: usize) -> Cause {
    Cause::LongName { what, name: Excerpt::of(name), length: name.len(), most }
}

fn span_of<T>(items: &mut Vec<T>, fill: impl FnOnce(&mut Vec<T>)) -> Span {
    let start = items.len() as u32;
    fill(items);
    Span { start, end: items.len() as u32 }
}

fn text_of(text: &mut String, fill: impl FnOnce(&mut String)) -> Span {
    let start = text.len() as u32;
    fill(text);
    Span { start, end: text.len() as u32 }
}

struct Builder<'b, 'a> {
    body: &'b Body<'a>,
    aggregate: bool,
    limits: PushLimits,
    /// How long a label value may be, if that fits a text of a push.
    longest_value: u32,
    forced: ForcedLabels<'b>,
    text: String,
    buckets: Vec<Bucket>,
    quantiles: Vec<Quantile>,
    natives: Vec<NativeHistogram>,
    exemplars: BySeries<Exemplar>,
    template: Template<'a>,
    merging: Merging,
}

/// How values of the current family are merged.
#[derive(Clone, Copy)]
struct Merging {
    merge: Merge,
    /// Whether they count something, which never goes down.
    is_count: bool,
    policy: Buckets,
}

impl<'a> Builder<'_, 'a> {
    /// Writes the label block of a series: its labels and the forced ones, sorted.
    fn block(&mut self, family: &str, kind: Kind, series: &body::Series) -> Result<Span, Refusal> {
        let labels = self.body.labels_of(series);
        if !self.template.fits(kind, labels, &self.forced) {
            let most = self.limits.name_length;
            if let Some(label) = labels.iter().find(|label| label.name.len() > most) {
                return Err(Refusal::at(series.offset, too_long("a label name", label.name, most)));
            }
            self.template = Template::new(kind, labels, &self.forced).map_err(|fault| {
                let quoted = |label: &body::Label<'_>| {
                    (quote(label.name.as_bytes()), quote_value(label.escaped_value))
                };
                let value = self.shown_value(series);
                let metric = describe_labels(family, kind, labels.iter(), quoted, &value);
                Refusal::at(series.offset, fault.cause(metric))
            })?;
        }
        if self.text.len() > self.limits.text {
            return Err(Refusal::at(series.offset, Cause::TooMuchText { limit: self.limits.text }));
        }
        let template = &self.template;
        let block = text_of(&mut self.text, |text| template.write(text, labels));
        // Mostly all of it is shorter than a value may be.
        let length = block.end - block.start;
        if length > self.longest_value {
            self.check_values(series, labels)?;
        }
        if length > MAX_BLOCK_BYTES {
            let metric = self.describe(family, kind, block, series);
            return Err(Refusal::at(series.offset, Cause::LongLabels { metric, length }));
        }
        Ok(block)
    }

    #[cold]
    fn check_values(&self, series: &body::Series, labels: &[body::Label<'_>]) -> Result<(), Refusal> {
        let most = self.limits.label_value_length;
        let length = |escaped: &str| escaped.len() - escape_count(escaped);
        let values = labels.iter().map(|label| (label.name, length(label.escaped_value)));
        match values.into_iter().find(|(_, length)| *length > most) {
            Some((label, length)) => {
                let label = Excerpt::of(label);
                Err(Refusal::at(series.offset, Cause::LongValue { label, length, most }))
            }
            None => Ok(()),
        }
    }

    fn add_text(&mut self, text: &str) -> Span {
        text_of(&mut self.text, |all| all.push_str(text))
    }

    /// Copies the exemplars of a series, whose label block is `block`.
    fn exemplars(&mut self, handle: u32, block: Span) -> Result<(), ValueFault> {
        let body = self.body;
        for exemplar in body.exemplars_of(handle) {
            let mut labels = body.exemplar_labels(exemplar).to_vec();
            labels.sort_unstable_by_key(|label| label.name);
            let is_bad = |pair: &[body::Label<'_>]| pair[0].name == pair[1].name;
            let twice = labels.windows(2).find(|pair| is_bad(pair)).map(|pair| &pair[0]);
            let is_unusable = |label: &&body::Label<'_>| label.name.is_empty() || label.name.contains('\0');
            if let Some(bad) = labels.iter().find(is_unusable).or(twice) {
                return Err(ValueFault::ExemplarLabel(Excerpt::of(bad.name)));
            }
            if let Some(bad) = labels.iter().find(|label| label.escaped_value.contains('\0')) {
                return Err(ValueFault::ExemplarValue(Excerpt::of(bad.name)));
            }
            let chars = |label: &body::Label<'_>| {
                label.name.chars().count() + label.escaped_value.chars().count()
                    - escape_count(label.escaped_value)
            };
            let chars = labels.iter().map(chars).sum();
            if chars > MAX_LABEL_CHARS {
                return Err(ValueFault::ExemplarLabels(chars));
            }
            let own = self.raw_block(&labels);
            if let Some(bad) = colliding_label(own.text(&self.text)) {
                return Err(ValueFault::ExemplarLabel(Excerpt::of(&bad)));
            }
            let exemplar =
                Exemplar { place: exemplar.place, block: own, value: exemplar.value, at: exemplar.at };
            self.exemplars.push(block.start, exemplar);
        }
        Ok(())
    }

    /// The labels of the body as they are, for an exemplar.
    fn raw_block(&mut self, labels: &[body::Label<'_>]) -> Span {
        let pairs = labels.iter().map(|label| (label.name, label.escaped_value));
        text_of(&mut self.text, |text| write_block(text, pairs))
    }

    /// Checks a value and copies its buckets or quantiles.
    #[inline]
    fn value(&mut self, kind: Kind, series: &body::Series) -> Result<Value, ValueFault> {
        match series.value {
            // Nearly all values are such numbers.
            body::Value::Number(value) if value.is_finite() && (value >= 0.0 || !self.merging.is_count) => {
                Ok(Value::Number(value))
            }
            _ => self.any_value(kind, series),
        }
    }

    fn any_value(&mut self, kind: Kind, series: &body::Series) -> Result<Value, ValueFault> {
        let Merging { merge, is_count, policy } = self.merging;
        let (body, adds) = (self.body, merge == Merge::Add);
        if let body::Value::Composite(number) = series.value
            && body.composite(number).is_repeated
        {
            return Err(ValueFault::Repeated);
        }
        match (series.value, kind.form()) {
            (body::Value::Number(value), _) if is_count && !(value >= 0.0 && value.is_finite()) => {
                Err(ValueFault::Counter(value))
            }
            (body::Value::Number(value), _) if adds && !value.is_finite() => Err(ValueFault::Summand(value)),
            (body::Value::Number(value), _) => Ok(Value::Number(value)),
            (body::Value::Composite(number), Form::Summary) => {
                let composite = body.composite(number);
                let count = whole_count(composite.count.unwrap_or(Count::ZERO));
                let sum = composite.sum.unwrap_or(0.0);
                if self.aggregate {
                    if let Count::Float(_) = count {
                        return Err(ValueFault::Count(count));
                    }
                    if sum.is_nan() {
                        return Err(ValueFault::Sum);
                    }
                }
                let quantiles = span_of(&mut self.quantiles, |all| all.extend(body.quantiles_of(composite)));
                check_parts(quantiles.of(&self.quantiles).len())?;
                let pushed = quantiles.of(&self.quantiles).iter().map(|quantile| quantile.quantile);
                if let Some(quantile) = shown_twice(pushed) {
                    return Err(ValueFault::DuplicateQuantile(quantile));
                }
                Ok(Value::Summary { sum, count: stock_count(count), quantiles })
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
                check_parts(buckets.of(&self.buckets).len())?;
                let native = self.native(composite, adds)?;
                let mut count = composite.count;
                if let Some(native) = native.as_ref().filter(|_| self.aggregate) {
                    count = count.or_else(|| Some(native.population()));
                }
                let pushed = &mut self.buckets[buckets.start as usize..];
                let total = if adds {
                    check_histogram(pushed, sum, count)?
                } else {
                    // A scrape would show them, and text that has them can't be read.
                    let mut counts = pushed.iter().map(|bucket| bucket.count).chain(count);
                    if let Some(bad) = counts.find(|count| count.as_f64() < 0.0) {
                        return Err(ValueFault::Count(bad));
                    }
                    if let Some(bound) = shown_twice(pushed.iter().map(|bucket| bucket.bound)) {
                        return Err(ValueFault::DuplicateBound(bound));
                    }
                    count.unwrap_or(Count::ZERO)
                };
                if let Some(native) = native.as_ref().filter(|_| self.aggregate) {
                    native.check_count(total, sum).map_err(ValueFault::Native)?;
                }
                let native = native.map(|native| NativeAt::push(&mut self.natives, native));
                Ok(Value::Histogram { sum, total, buckets, native, policy })
            }
            (body::Value::Missing, _) | (body::Value::Composite(_), Form::Number) => {
                Err(ValueFault::NotA(kind))
            }
        }
    }

    /// The native part of a histogram, no larger than one that adds may be.
    fn native(&self, composite: &body::Composite, adds: bool) -> Result<Option<NativeHistogram>, ValueFault> {
        let Some(encoded) = self.body.native_of(composite) else { return Ok(None) };
        let sides = [&encoded.negative, &encoded.positive];
        check_parts(sides.iter().map(|side| side.deltas.len() + side.counts.len()).sum())?;
        let mut native = NativeHistogram::decode(encoded, composite.count).map_err(ValueFault::Native)?;
        if adds {
            native.limit(MAX_BUCKETS);
        }
        Ok(Some(native))
    }

    #[cold]
    fn describe(&self, family: &str, kind: Kind, block: Span, series: &body::Series) -> String {
        let block = block.text(&self.text);
        describe(family, kind, block, &self.shown_value(series))
    }

    /// What a description says of the value of a series.
    fn shown_value(&self, series: &body::Series) -> Value {
        let none = Span { start: 0, end: 0 };
        match series.value {
            body::Value::Missing => Value::Number(0.0),
            body::Value::Number(value) => Value::Number(value),
            body::Value::Composite(number) => {
                let composite = self.body.composite(number);
                let (sum, count) = (composite.sum.unwrap_or(0.0), composite.count.unwrap_or(Count::ZERO));
                Value::Summary { sum, count, quantiles: none }
            }
        }
    }
}
