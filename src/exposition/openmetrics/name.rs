//! The name and type of a family in OpenMetrics.
//!
//! In OpenMetrics the name of a family lacks the suffix that its type adds to its samples. In the other formats,
//! and in the store, a counter or an info has the name of its samples.

use crate::model::kind::Kind;

/// A family in OpenMetrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub kind: Kind,
}

/// Converts a family with this name and type.
///
/// A counter without `_total` and an info without `_info` at the end of the name can't keep their type in
/// OpenMetrics without changing the names of their samples. They become unknown and gauge, as in client_golang.
pub fn form(name: &str, kind: Kind) -> Form<'_> {
    let suffix = suffix_of(kind);
    if suffix.is_empty() {
        return Form { name, kind };
    }
    match name.strip_suffix(suffix).filter(|base| !base.is_empty()) {
        Some(base) => Form { name: base, kind },
        None => plain_form(name, kind),
    }
}

/// The suffix that this type adds to the names of its samples. In the store the name of the family has it.
pub(super) fn suffix_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        _ => "",
    }
}

/// A family whose type can't be shown.
pub(super) fn plain_form(name: &str, kind: Kind) -> Form<'_> {
    let kind = match kind {
        Kind::Info | Kind::StateSet => Kind::Gauge,
        Kind::Counter => Kind::Untyped,
        other => other,
    };
    Form { name, kind }
}

/// The suffixes of the samples of a family whose type can't be shown. All samples with the same suffix become a
/// family of their own. With `as_text`, a gauge histogram has the suffixes of the text format.
pub fn apart(kind: Kind, as_text: bool) -> &'static [&'static str] {
    match kind {
        Kind::Summary => &["", "_count", "_sum"],
        Kind::Histogram => &["_bucket", "_count", "_sum"],
        Kind::GaugeHistogram if as_text => &["_bucket", "_count", "_sum"],
        Kind::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        _ => &[""],
    }
}

impl Form<'_> {
    /// The name of the type.
    pub fn type_name(self) -> &'static str {
        match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
            Kind::Untyped => "unknown",
            Kind::Histogram => "histogram",
            Kind::GaugeHistogram => "gaugehistogram",
            Kind::Info => "info",
            Kind::StateSet => "stateset",
        }
    }
}

/// The type with this name.
pub(super) fn kind_of(type_name: &[u8]) -> Option<Kind> {
    Some(match type_name {
        b"counter" => Kind::Counter,
        b"gauge" => Kind::Gauge,
        b"histogram" => Kind::Histogram,
        b"summary" => Kind::Summary,
        b"gaugehistogram" => Kind::GaugeHistogram,
        b"info" => Kind::Info,
        b"stateset" => Kind::StateSet,
        b"unknown" => Kind::Untyped,
        _ => return None,
    })
}
