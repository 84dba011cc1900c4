//! The rules of the settings file as they are written: the lists `[[groups]]` and `[[metrics]]`.
//!
//! This is plain data. Each rule, and each value that only compilation can refuse, keeps its place in the file. Rules
//! come from the file alone: neither flags nor the environment have them.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::choices::{Buckets, NumberMerge, Overflow, PutMode, RelabelAction, SourceBy, Temporality};
use super::duration;

/// The rules of a settings file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "lists of rules")]
pub struct RuleFile {
    /// The file that they come from; empty without one.
    #[serde(skip)]
    pub path: String,
    /// The SHA-256 hash of the whole file in hexadecimal digits; empty without one.
    #[serde(skip)]
    pub fingerprint: String,
    /// `[[groups]]`: what a push belongs to. The first that matches the labels of the path counts.
    pub groups: Vec<Placed<GroupRule>>,
    /// `[[metrics]]`: how values are merged. The first that matches the metric name and the labels of the path counts.
    pub metrics: Vec<Placed<MetricRule>>,
}

/// A place in the file. Both numbers are 0 for what comes from no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// In bytes, until line and column are known.
    offset: usize,
}

/// A value with its place in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it begins.
    pub place: Place,
}

impl<T> From<T> for Placed<T> {
    /// A value that comes from no file.
    fn from(value: T) -> Placed<T> {
        Placed { value, place: Place::default() }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Placed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Placed<T>, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        let place = Place { offset: spanned.span().start, ..Place::default() };
        Ok(Placed { value: spanned.into_inner(), place })
    }
}

/// A rule of `[[groups]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a rule such as { match = '{job=\"worker\"}', ttl = \"24h\" }")]
pub struct GroupRule {
    /// `match`: the selector of the pushes that the rule is for.
    #[serde(rename = "match")]
    pub selector: Placed<String>,
    /// Relabelling of the labels of the path. The result are the labels of the group.
    #[serde(default)]
    pub relabel: Vec<Placed<Relabelling>>,
    /// What tells senders apart.
    #[serde(default)]
    pub source: SourceBy,
    /// What PUT does, if it is not what `push.put` says.
    #[serde(default)]
    pub put: Option<PutMode>,
    /// After how long without a push the group is deleted; 0 for never.
    #[serde(default, deserialize_with = "duration::deserialize")]
    pub ttl: Duration,
    /// After how long without a push from a source its part is deleted; 0 for never.
    #[serde(default, deserialize_with = "duration::deserialize")]
    pub source_ttl: Duration,
    /// How many series the group may have; 0 for no limit of its own.
    #[serde(default)]
    pub max_series: u64,
    /// What happens to series beyond `max_series`.
    #[serde(default)]
    pub overflow: Overflow,
    /// Whether pushes are accepted.
    #[serde(default = "yes")]
    pub accept: bool,
    /// Whether the headers `X-Push-Source`, `X-Push-TTL` and `X-Push-Temporality` count.
    #[serde(default)]
    pub headers: bool,
}

impl GroupRule {
    /// A rule with this selector that changes nothing.
    #[must_use]
    pub fn new(selector: &str) -> GroupRule {
        GroupRule {
            selector: selector.to_owned().into(),
            relabel: Vec::new(),
            source: SourceBy::default(),
            put: None,
            ttl: Duration::ZERO,
            source_ttl: Duration::ZERO,
            max_series: 0,
            overflow: Overflow::default(),
            accept: true,
            headers: false,
        }
    }
}

fn yes() -> bool {
    true
}

/// A rule of `[[metrics]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a rule such as { match = 'queue_depth', merge = \"sum\" }")]
pub struct MetricRule {
    /// `match`: the selector of the metrics that the rule is for.
    #[serde(rename = "match")]
    pub selector: Placed<String>,
    /// Relabelling of the metric name and the series' own labels.
    #[serde(default)]
    pub relabel: Vec<Placed<Relabelling>>,
    /// How values of gauges and untyped metrics are merged.
    #[serde(default)]
    pub merge: Option<Placed<NumberMerge>>,
    /// What the values of counters, histograms and summaries count from.
    #[serde(default)]
    pub temporality: Option<Placed<Temporality>>,
    /// What is shown of histograms whose bucket bounds differ.
    #[serde(default)]
    pub buckets: Buckets,
    /// After how long without a push a series is deleted; 0 for never.
    #[serde(default, deserialize_with = "duration::deserialize")]
    pub series_ttl: Duration,
    /// Makes each pushed value of a gauge or untyped metric an observation of a histogram.
    #[serde(default)]
    pub observe: Option<Placed<Observation>>,
}

impl MetricRule {
    /// A rule with this selector that changes nothing.
    #[must_use]
    pub fn new(selector: &str) -> MetricRule {
        MetricRule {
            selector: selector.to_owned().into(),
            relabel: Vec::new(),
            merge: None,
            temporality: None,
            buckets: Buckets::default(),
            series_ttl: Duration::ZERO,
            observe: None,
        }
    }
}

/// The histogram that pushed values are observations of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table such as { buckets = [1, 10, 60] } or { native = true }"
)]
pub struct Observation {
    /// The bucket bounds of a classic histogram.
    pub buckets: Option<Placed<Vec<Placed<Bound>>>>,
    /// Whether it is a native histogram.
    pub native: Option<bool>,
}

/// A bucket bound.
#[derive(Clone, Copy, Debug)]
pub struct Bound(pub f64);

impl PartialEq for Bound {
    fn eq(&self, other: &Bound) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Bound {}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bound, D::Error> {
        f64::deserialize(deserializer).map(Bound)
    }
}

/// One step of relabelling, as Prometheus has it. What is `None` has Prometheus' default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a step such as { action = \"labeldrop\", regex = \"pod\" }"
)]
pub struct Relabelling {
    /// The labels whose values are joined.
    pub source_labels: Option<Placed<Vec<Placed<String>>>>,
    /// What stands between the joined values, by default `;`.
    pub separator: Option<Placed<String>>,
    /// What the joined values, or the label names, must match as a whole, by default `(.*)`.
    pub regex: Option<Placed<String>>,
    /// The modulus of `hashmod`.
    pub modulus: Option<Placed<u64>>,
    /// The label that is set.
    pub target_label: Option<Placed<String>>,
    /// What it is set to, by default `$1`.
    pub replacement: Option<Placed<String>>,
    /// What is done, by default `replace`.
    pub action: Option<Placed<RelabelAction>>,
}

impl RuleFile {
    /// The rules of a text that has nothing else.
    ///
    /// # Errors
    ///
    /// If it has something else, or a rule has a key or value that no rule has.
    pub fn parse(text: &str) -> Result<RuleFile, toml::de::Error> {
        let mut rules: RuleFile = toml::from_str(text)?;
        rules.locate(text);
        Ok(rules)
    }

    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.metrics.is_empty()
    }

    /// Finds lines and columns, in the text that the rules were read from.
    pub(super) fn locate(&mut self, text: &str) {
        let mut places = self.places();
        places.sort_unstable_by_key(|place| place.offset);
        let (mut at, mut line, mut column) = (0, 1, 1);
        for place in places {
            for char in text.get(at..place.offset).unwrap_or_default().chars() {
                (line, column) = if char == '\n' { (line + 1, 1) } else { (line, column + 1) };
            }
            at = at.max(place.offset);
            *place = Place { line, column, offset: 0 };
        }
    }

    fn places(&mut self) -> Vec<&mut Place> {
        let mut places = Vec::new();
        for Placed { value: GroupRule { selector, relabel, .. }, place } in &mut self.groups {
            places.extend([place, &mut selector.place]);
            relabel.iter_mut().for_each(|step| step.add_places(&mut places));
        }
        for Placed { value, place } in &mut self.metrics {
            let MetricRule { selector, relabel, merge, temporality, observe, .. } = value;
            places.extend([place, &mut selector.place]);
            relabel.iter_mut().for_each(|step| step.add_places(&mut places));
            places.extend(merge.as_mut().map(|merge| &mut merge.place));
            places.extend(temporality.as_mut().map(|temporality| &mut temporality.place));
            if let Some(observe) = observe {
                places.push(&mut observe.place);
                if let Some(buckets) = &mut observe.value.buckets {
                    places.push(&mut buckets.place);
                    places.extend(buckets.value.iter_mut().map(|bound| &mut bound.place));
                }
            }
        }
        places
    }
}

impl Placed<Relabelling> {
    fn add_places<'p>(&'p mut self, places: &mut Vec<&'p mut Place>) {
        let Relabelling { source_labels, separator, regex, modulus, target_label, replacement, action } =
            &mut self.value;
        places.push(&mut self.place);
        if let Some(labels) = source_labels {
            places.push(&mut labels.place);
            places.extend(labels.value.iter_mut().map(|label| &mut label.place));
        }
        let texts = [separator, regex, target_label, replacement];
        places.extend(texts.into_iter().flatten().map(|text| &mut text.place));
        places.extend(modulus.as_mut().map(|modulus| &mut modulus.place));
        places.extend(action.as_mut().map(|action| &mut action.place));
    }
}
