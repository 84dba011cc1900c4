//! Why a well-formed push is refused.
//!
//! If the stock gateway refuses the same thing, the message is the same.

use std::fmt::{self, Display};

use crate::message::{Excerpt, quote};
use crate::model::count::Count;
use crate::model::exemplar::MAX_LABEL_CHARS;
use crate::model::kind::Kind;
use crate::model::labels::{MoreLabels, Pair, SHOWN_LABELS_BYTES, ShownLabels, pairs, quote_value};
use crate::model::limits::{
    Limit, MAX_BLOCK_BYTES, MAX_RELABELLED_BYTES, MAX_RELABELLED_LABELS, MAX_SERIES_PARTS,
};
use crate::model::native_histogram::Fault;
use crate::model::number::format_f64;
use crate::model::push::value::Value;

/// How many clashes of a push a message lists, and how many bytes it may have.
const MAX_CLASHES: usize = 20;
const MAX_SENTENCE_BYTES: usize = 3000;

/// A refused push. Nothing of it is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What is wrong.
    pub cause: Cause,
    /// The offset of the offending series in a text body, in bytes.
    pub offset: Option<u32>,
    /// The other side of a clash.
    pub other: Option<Box<Other>>,
    /// Further clashes.
    pub also: Vec<(Cause, Option<Box<Other>>)>,
    /// Whether there are more clashes than listed.
    pub has_more: bool,
}

/// The other side of a clash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Other {
    /// Something in the same push.
    SamePush,
    /// The gateway's own metrics.
    Gateway,
    /// Something in another group.
    Group {
        /// The key of the group.
        key: ShownLabels,
        /// How many more groups have it.
        more: u32,
    },
    /// A family with this name, in a place that is not known yet. The name is complete, so that the family can be
    /// looked up.
    Family(String),
}

impl Refusal {
    /// A refusal without a place in the body.
    pub fn of(cause: Cause) -> Refusal {
        Refusal::at(None, cause)
    }

    /// A refusal because of the series at `offset`.
    pub fn at(offset: Option<u32>, cause: Cause) -> Refusal {
        Refusal { cause, offset, other: None, also: Vec::new(), has_more: false }
    }

    /// Adds the other side of the clash.
    pub fn with(self, other: Other) -> Refusal {
        Refusal { other: Some(Box::new(other)), ..self }
    }

    /// Adds another clash. Returns false if there are enough.
    pub fn add(&mut self, refusal: Refusal) -> bool {
        self.has_more = self.also.len() + 1 >= MAX_CLASHES;
        if !self.has_more {
            self.also.push((refusal.cause, refusal.other));
            if self.to_string().len() > MAX_SENTENCE_BYTES {
                self.also.pop();
                self.has_more = true;
            }
        }
        !self.has_more
    }

    /// All clashes with their other sides.
    pub fn others_mut(&mut self) -> impl Iterator<Item = (&Cause, &mut Other)> {
        let first = self.other.as_deref_mut().map(|other| (&self.cause, other));
        let also = self.also.iter_mut().filter_map(|(cause, other)| Some((&*cause, other.as_deref_mut()?)));
        first.into_iter().chain(also)
    }

    /// The message. `place` gives the position in the body.
    pub fn sentence(&self, place: impl Display) -> String {
        let mut sentence = format!("{}{place}", self.cause);
        let add_other = |sentence: &mut String, other: &Option<Box<Other>>| {
            if let Some(other) = other {
                sentence.push_str(&format!("; {other}"));
            }
        };
        add_other(&mut sentence, &self.other);
        for (cause, other) in &self.also {
            sentence.push_str(&format!("; also: {cause}"));
            add_other(&mut sentence, other);
        }
        if self.has_more {
            sentence.push_str("; and more");
        }
        sentence
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence(""))
    }
}

impl std::error::Error for Refusal {}

impl Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Other::SamePush => write!(f, "the other one is in the same push"),
            Other::Gateway => write!(f, "the other one is the gateway's own"),
            Other::Group { key, more: 0 } => write!(f, "the other one is in group {key}"),
            Other::Group { key, more } => write!(f, "the other one is in group {key} and {more} more"),
            Other::Family(name) => write!(f, "the other one is metric {}", Excerpt::of(name)),
        }
    }
}

/// What is wrong with a refused push. A `metric` is a description from [`describe`]. Other pushed texts are
/// excerpts, so that a refusal is always small.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is documented by its message")]
pub enum Cause {
    #[error("pushed metrics must not have timestamps")]
    Timestamp,
    #[error("{metric} has two or more labels with the same name: {label}")]
    DuplicateLabel { metric: String, label: Excerpt },
    #[error("{metric} has a label with an invalid name: {label}")]
    InvalidLabelName { metric: String, label: Excerpt },
    #[error("{metric} must not have an explicit {label:?} label")]
    ExplicitLabel { metric: String, label: &'static str },
    #[error("{metric} was collected before with the same name and label values")]
    DuplicateSeries { metric: String },
    #[error("{metric} is not a {}", .kind.upper_name())]
    KindConflict { metric: String, kind: Kind },
    #[error("gathered metric family {family} has type {} but should have {}", .pushed.upper_name(), .own.upper_name())]
    OwnKindConflict { family: Excerpt, pushed: Kind, own: Kind },
    #[error("metric family {family} is reserved for the gateway itself: push it under another name")]
    Reserved { family: Excerpt },
    #[error("collected metric named {family:?} collides with previously collected {kind} named {base:?}")]
    SuffixOfComposite { family: Excerpt, base: Excerpt, kind: &'static str },
    #[error("collected {kind} named {family:?} collides with previously collected metric named {other:?}")]
    CompositeOverSuffix { family: Excerpt, kind: &'static str, other: Excerpt },
    #[error("metric name {family:?} has a NUL character, which Prometheus does not read")]
    InvalidName { family: Excerpt },
    #[error("metric name {family:?} is the same as another once it is escaped: {escaped}")]
    CollidingName { family: Excerpt, escaped: Excerpt },
    #[error(
        "group {group} can't exist beside group {twin}: their push_time_seconds would be the same series; delete one of them"
    )]
    TwinGroup { group: ShownLabels, twin: ShownLabels },
    #[error(
        "the labels of the push come to more than {limit} bytes with those of its group: push less at a time"
    )]
    TooMuchText { limit: usize },
    #[error(
        "{metric} has labels of {length} bytes with those of its group, but {MAX_BLOCK_BYTES} are the most"
    )]
    LongLabels { metric: String, length: u32 },
    #[error("{metric} has {count} buckets or quantiles, but {MAX_SERIES_PARTS} are the most in one series")]
    TooManyParts { metric: String, count: usize },
    #[error("{what} has {length} bytes, but {most} are the most (limits.name_length): {name}")]
    LongName { what: &'static str, name: Excerpt, length: usize, most: usize },
    #[error(
        "the value of label {label} has {length} bytes, but {most} are the most (limits.label_value_length)"
    )]
    LongValue { label: Excerpt, length: usize, most: usize },
    #[error("{metric} has labels whose names are the same once they are escaped: {label}")]
    CollidingLabelNames { metric: String, label: Excerpt },
    #[error("{metric} has the value {}, but a counter only adds numbers from 0 up", format_f64(*.value))]
    CounterValue { metric: String, value: f64 },
    #[error(
        "{metric} has the value {}, but its values are added up, which only numbers can be",
        format_f64(*.value)
    )]
    SummandValue { metric: String, value: f64 },
    #[error("{metric} has a sum that is not a number, which would stay for good")]
    SumNotANumber { metric: String },
    #[error("{metric} has the count {}, but a count only adds numbers from 0 up", format_f64(.count.as_f64()))]
    CountValue { metric: String, count: Count },
    #[error("{metric} has a bucket bound that is not a number")]
    BoundNotANumber { metric: String },
    #[error("{metric} has two buckets with the bound {}", format_f64(*.bound))]
    DuplicateBound { metric: String, bound: f64 },
    #[error("{metric} has two values for the quantile {}", format_f64(*.quantile))]
    DuplicateQuantile { metric: String, quantile: f64 },
    #[error("{metric} has cumulative counts that fall at the bucket with the bound {}", format_f64(*.bound))]
    FallingCounts { metric: String, bound: f64 },
    #[error("{metric} has a count of {} but {} observations in its le=\"+Inf\" bucket", format_f64(.count.as_f64()), format_f64(.bucket.as_f64()))]
    CountDiffers { metric: String, count: Count, bucket: Count },
    #[error("{metric} has buckets but neither a count nor an le=\"+Inf\" bucket")]
    NoCount { metric: String },
    #[error("{metric} has other bucket bounds ({pushed}) than its series ({live}), which rules refuse")]
    BoundsDiffer { metric: String, pushed: Excerpt, live: Excerpt },
    #[error("{metric} has a native histogram that is none: {fault}")]
    NativeHistogram { metric: String, fault: Fault },
    #[error("relabelling leaves a series of metric family {family} without a name")]
    NoName { family: Excerpt },
    #[error("relabelling makes series of type {} part of metric family {family}, which has type {}", .moved.upper_name(), .kind.upper_name())]
    RelabelledKind { family: Excerpt, moved: Kind, kind: Kind },
    #[error(
        "relabelling makes one metric family of {family} and {other}, which the rules merge in different ways"
    )]
    RelabelledMerge { family: Excerpt, other: Excerpt },
    #[error(
        "relabelling makes more than {MAX_RELABELLED_LABELS} labels, or more than {} MiB of them, of a series of metric family {family}",
        MAX_RELABELLED_BYTES >> 20
    )]
    RelabelledTooMuch { family: Excerpt },
    #[error(
        "relabelling lets series of metric family {family} fall together, whose running totals can't be told apart then: push the metric without relabelling it, or as what was counted since the last push"
    )]
    RelabelledTotals { family: Excerpt },
    #[error(
        "the observations of metric family {family} come to more than {most} samples with their buckets (limits.samples_per_push): push less at a time, or let the rule have fewer buckets"
    )]
    ObservedTooMuch { family: Excerpt, most: usize },
    #[error(
        "a series of metric family {family} has a label job, but the path of the push has none, so that push.default_job would take its place: push it to /metrics/job/NAME"
    )]
    OwnJob { family: Excerpt },
    #[error(
        "a series of metric family {family} has the label clearmode={mode:?}, which says nothing: expected aggregate, sum, replace, family or info"
    )]
    ClearModeUnknown { family: Excerpt, mode: Excerpt },
    #[error(
        "a series of metric family {family} has the label clearmode={mode:?}, but the gateway merges nothing over a time: let a rule observe the metric as a histogram, or push it with clearmode=\"aggregate\" and ask Prometheus for its increase over that time"
    )]
    ClearModeWindow { family: Excerpt, mode: Excerpt },
    #[error(
        "series of metric family {family} have the labels clearmode={:?} and clearmode={:?}: give all series of a metric the same",
        .modes[0],
        .modes[1]
    )]
    ClearModesDiffer { family: Excerpt, modes: Box<[Excerpt; 2]> },
    #[error(
        "a series of metric family {family} has the label clearmode=\"aggregate\", but values of its type can't be added: use replace or family"
    )]
    ClearModeOfKind { family: Excerpt },
    #[error(
        "a series of metric family {family} has the value {}, but only numbers are observations of a histogram",
        format_f64(*.value)
    )]
    Observation { family: Excerpt, value: f64 },
    #[error(
        "{metric} has an exemplar whose labels have {chars} characters, but {MAX_LABEL_CHARS} are the most"
    )]
    ExemplarTooLong { metric: String, chars: usize },
    #[error(
        "{metric} has an exemplar with a label name that is empty, has a NUL character or comes twice: {label:?}"
    )]
    ExemplarLabel { metric: String, label: Excerpt },
    #[error(
        "{metric} has an exemplar whose label {label} has a NUL character, which Prometheus does not read"
    )]
    ExemplarValue { metric: String, label: Excerpt },
}

impl Cause {
    /// The exceeded limit, if that is the cause.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Cause::LongName { .. } => Some(Limit::NameLength),
            Cause::LongValue { .. } => Some(Limit::LabelValueLength),
            _ => None,
        }
    }

    /// The value of a metric's label for this cause.
    pub fn reason(&self) -> &'static str {
        match self {
            Cause::Timestamp => "timestamp",
            Cause::DuplicateLabel { .. }
            | Cause::InvalidLabelName { .. }
            | Cause::CollidingLabelNames { .. }
            | Cause::ExplicitLabel { .. }
            | Cause::OwnJob { .. }
            | Cause::ClearModeUnknown { .. }
            | Cause::ClearModeWindow { .. }
            | Cause::ClearModesDiffer { .. }
            | Cause::ClearModeOfKind { .. } => "invalid_labels",
            Cause::TooMuchText { .. }
            | Cause::LongLabels { .. }
            | Cause::TooManyParts { .. }
            | Cause::RelabelledTooMuch { .. }
            | Cause::ObservedTooMuch { .. } => "too_large",
            Cause::LongName { .. } => Limit::NameLength.name(),
            Cause::LongValue { .. } => Limit::LabelValueLength.name(),
            Cause::DuplicateSeries { .. } | Cause::DuplicateQuantile { .. } => "duplicate_series",
            Cause::KindConflict { .. }
            | Cause::OwnKindConflict { .. }
            | Cause::RelabelledKind { .. }
            | Cause::RelabelledMerge { .. }
            | Cause::RelabelledTotals { .. } => "type_conflict",
            Cause::InvalidName { .. } | Cause::NoName { .. } => "invalid_name",
            Cause::Reserved { .. } => "reserved_name",
            Cause::SuffixOfComposite { .. }
            | Cause::CompositeOverSuffix { .. }
            | Cause::CollidingName { .. } => "name_collision",
            Cause::TwinGroup { .. } => "group_collision",
            Cause::CounterValue { .. } | Cause::SummandValue { .. } => "counter_value",
            Cause::SumNotANumber { .. }
            | Cause::CountValue { .. }
            | Cause::BoundNotANumber { .. }
            | Cause::DuplicateBound { .. }
            | Cause::FallingCounts { .. }
            | Cause::CountDiffers { .. }
            | Cause::NoCount { .. }
            | Cause::BoundsDiffer { .. }
            | Cause::NativeHistogram { .. }
            | Cause::Observation { .. } => "invalid_histogram",
            Cause::ExemplarTooLong { .. } | Cause::ExemplarLabel { .. } | Cause::ExemplarValue { .. } => {
                "invalid_exemplar"
            }
        }
    }
}

/// Describes a series for messages: the words of client_golang around protobuf text. Shows only the first labels if
/// there are many, and shortens long ones.
pub fn describe(family: &str, kind: Kind, block: &str, value: &Value) -> String {
    let quoted = |pair: Pair<'_>| (quote_value(pair.escaped_name()), quote_value(pair.escaped_value()));
    describe_labels(family, kind, pairs(block), quoted, value)
}

/// As [`describe`], for labels that are not in a block. `quoted` returns the quoted name and value of a label.
pub(super) fn describe_labels<L>(
    family: &str,
    kind: Kind,
    mut labels: impl Iterator<Item = L>,
    quoted: impl Fn(L) -> (String, String),
    value: &Value,
) -> String {
    let mut out = format!("collected metric {} {{ ", quote(family.as_bytes()));
    let start = out.len();
    while out.len() - start < SHOWN_LABELS_BYTES
        && let Some(label) = labels.next()
    {
        let (name, value) = quoted(label);
        out.push_str(&format!("label:{{name:{name} value:{value}}} "));
    }
    if let Some(more) = MoreLabels::of(labels) {
        out.push_str(&format!("{more} "));
    }
    let word = kind.upper_name().to_lowercase();
    match value {
        Value::Number(value) => out.push_str(&format!("{word}:{{value:{}}}", format_f64(*value))),
        Value::Summary { sum, count, .. } | Value::Histogram { sum, total: count, .. } => {
            out.push_str(&format!(
                "{word}:{{sample_count:{} sample_sum:{}}}",
                format_f64(count.as_f64()),
                format_f64(*sum)
            ))
        }
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MESSAGE_BYTES;

    #[test]
    fn a_refusal_is_short_whatever_it_is_about() {
        for text in ["n", "\u{202e}", "\0", "\"", "\\\\", "é"] {
            let long = text.repeat(1 << 14);
            let excerpt = || Excerpt::of(&long);
            let block = format!("{{{}}}", vec![format!("a=\"{long}\""); 3].join(","));
            let metric = describe(&long, Kind::Counter, &block, &Value::Number(-1.0));
            let group = || ShownLabels::of(&block);
            let clash = |more| {
                let cause = Cause::SuffixOfComposite { family: excerpt(), base: excerpt(), kind: "summary" };
                Refusal::of(cause).with(Other::Group { key: group(), more })
            };
            let mut refusal = Refusal::of(Cause::DuplicateLabel { metric, label: excerpt() })
                .with(Other::Family(long.clone()));
            while refusal.add(clash(7)) {}
            for refusal in
                [refusal, Refusal::of(Cause::TwinGroup { group: group(), twin: group() }), clash(0)]
            {
                let sentence = refusal.sentence(" (line 1000000, column 1000000)");
                assert!(sentence.len() < MESSAGE_BYTES - 100, "{} bytes: {sentence}", sentence.len());
                // No text behind an excerpt is lost.
                assert!(!refusal.has_more || sentence.ends_with("; and more"), "{sentence}");
            }
        }
    }

    #[test]
    fn many_labels_are_counted() {
        let block = format!("{{{}}}", vec!["a=\"0123456789\""; 100].join(","));
        let text = describe("m", Kind::Gauge, &block, &Value::Number(1.0));
        assert!(
            text.starts_with("collected metric \"m\" { label:{name:\"a\" value:\"0123456789\"} label:"),
            "{text}"
        );
        assert!(text.ends_with("} ... (88 more labels) gauge:{value:1}}"), "{text}");
    }
}
