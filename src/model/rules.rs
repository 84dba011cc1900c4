//! Why a well-formed push is refused.
//!
//! The words of the stock gateway are kept where it refuses the same thing.

use crate::model::count::Count;
use crate::model::exemplar::MAX_LABEL_CHARS;
use crate::model::kind::Kind;
use crate::model::labels::pairs;
use crate::model::limits::Limit;
use crate::model::native_histogram::Fault;
use crate::model::number::format_f64;
use crate::model::push::Value;

/// A refused push: nothing of it is applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{cause}")]
pub struct Refusal {
    /// What is wrong.
    pub cause: Cause,
    /// Where in a text body the offending series begins, in bytes.
    pub offset: Option<u32>,
}

impl Refusal {
    /// A refusal that has no place in the body.
    pub fn of(cause: Cause) -> Refusal {
        Refusal { cause, offset: None }
    }

    /// A refusal because of the series at `offset`.
    pub fn at(offset: Option<u32>, cause: Cause) -> Refusal {
        Refusal { cause, offset }
    }
}

/// What is wrong with a refused push. A `metric` is a description as [`describe`] gives it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is documented by its message")]
pub enum Cause {
    #[error("pushed metrics must not have timestamps")]
    Timestamp,
    #[error("{metric} has two or more labels with the same name: {label}")]
    DuplicateLabel { metric: String, label: String },
    #[error("{metric} has a label with an invalid name: {label}")]
    InvalidLabelName { metric: String, label: String },
    #[error("{metric} must not have an explicit {label:?} label")]
    ExplicitLabel { metric: String, label: &'static str },
    #[error("{metric} was collected before with the same name and label values")]
    DuplicateSeries { metric: String },
    #[error("{metric} is not a {}", .kind.upper_name())]
    KindConflict { metric: String, kind: Kind },
    #[error("gathered metric family {family} has type {} but should have {}", .pushed.upper_name(), .own.upper_name())]
    OwnKindConflict { family: String, pushed: Kind, own: Kind },
    #[error("metric family {family} is reserved for the gateway itself: push it under another name")]
    Reserved { family: String },
    #[error("collected metric named {family:?} collides with previously collected {kind} named {base:?}")]
    SuffixOfComposite { family: String, base: String, kind: &'static str },
    #[error("collected {kind} named {family:?} collides with previously collected metric named {other:?}")]
    CompositeOverSuffix { family: String, kind: &'static str, other: String },
    #[error("metric name {family:?} has a NUL character, which Prometheus does not read")]
    InvalidName { family: String },
    #[error("metric name {family:?} is the same as another once it is escaped: {escaped}")]
    CollidingName { family: String, escaped: String },
    #[error(
        "group {group} can't exist beside group {twin}: their push_time_seconds would be the same series; delete one of them"
    )]
    TwinGroup { group: String, twin: String },
    #[error(
        "the labels of the push come to more than {limit} bytes with those of its group: push less at a time"
    )]
    TooMuchText { limit: usize },
    #[error("{what} has {length} bytes, but {most} are the most (limits.name_length): {name}...")]
    LongName { what: &'static str, name: String, length: usize, most: usize },
    #[error(
        "the value of label {label} has {length} bytes, but {most} are the most (limits.label_value_length)"
    )]
    LongValue { label: String, length: usize, most: usize },
    #[error("{metric} has labels whose names are the same once they are escaped: {label}")]
    CollidingLabelNames { metric: String, label: String },
    #[error("{metric} has the value {}, but a counter only adds numbers from 0 up", format_f64(*.value))]
    CounterValue { metric: String, value: f64 },
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
    #[error("{metric} has a native histogram that is none: {fault}")]
    NativeHistogram { metric: String, fault: Fault },
    #[error(
        "{metric} has an exemplar whose labels have {chars} characters, but {MAX_LABEL_CHARS} are the most"
    )]
    ExemplarTooLong { metric: String, chars: usize },
    #[error(
        "{metric} has an exemplar with a label name that is empty, has a NUL character or comes twice: {label:?}"
    )]
    ExemplarLabel { metric: String, label: String },
    #[error(
        "{metric} has an exemplar whose label {label} has a NUL character, which Prometheus does not read"
    )]
    ExemplarValue { metric: String, label: String },
}

impl Cause {
    /// The limit that is passed, if that is what is wrong.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Cause::LongName { .. } => Some(Limit::NameLength),
            Cause::LongValue { .. } => Some(Limit::LabelValueLength),
            _ => None,
        }
    }

    /// A short name for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Cause::Timestamp => "timestamp",
            Cause::DuplicateLabel { .. }
            | Cause::InvalidLabelName { .. }
            | Cause::CollidingLabelNames { .. }
            | Cause::ExplicitLabel { .. } => "invalid_labels",
            Cause::TooMuchText { .. } => "too_large",
            Cause::LongName { .. } => Limit::NameLength.name(),
            Cause::LongValue { .. } => Limit::LabelValueLength.name(),
            Cause::DuplicateSeries { .. } | Cause::DuplicateQuantile { .. } => "duplicate_series",
            Cause::KindConflict { .. } | Cause::OwnKindConflict { .. } => "type_conflict",
            Cause::InvalidName { .. } => "invalid_name",
            Cause::Reserved { .. } => "reserved_name",
            Cause::SuffixOfComposite { .. }
            | Cause::CompositeOverSuffix { .. }
            | Cause::CollidingName { .. } => "name_collision",
            Cause::TwinGroup { .. } => "group_collision",
            Cause::CounterValue { .. } => "counter_value",
            Cause::SumNotANumber { .. }
            | Cause::CountValue { .. }
            | Cause::BoundNotANumber { .. }
            | Cause::DuplicateBound { .. }
            | Cause::FallingCounts { .. }
            | Cause::CountDiffers { .. }
            | Cause::NoCount { .. }
            | Cause::NativeHistogram { .. } => "invalid_histogram",
            Cause::ExemplarTooLong { .. } | Cause::ExemplarLabel { .. } | Cause::ExemplarValue { .. } => {
                "invalid_exemplar"
            }
        }
    }
}

/// A series as messages show it: the words of client_golang around protobuf text.
pub fn describe(family: &str, kind: Kind, block: &str, value: &Value) -> String {
    let mut out = format!("collected metric {family:?} {{ ");
    for pair in pairs(block) {
        out.push_str(&format!("label:{{name:{:?} value:{:?}}} ", pair.name(), pair.value()));
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
