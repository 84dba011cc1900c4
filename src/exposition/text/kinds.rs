//! The types that a `# TYPE` line names.

use crate::model::kind::Kind;

/// The name of a type in a TYPE line.
pub(super) fn word_of(kind: Kind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).map_or("untyped", |(word, _)| *word)
}

/// The types and their names in TYPE lines.
const KINDS: [(&str, Kind); 7] = [
    ("counter", Kind::Counter),
    ("gauge", Kind::Gauge),
    ("summary", Kind::Summary),
    ("untyped", Kind::Untyped),
    ("histogram", Kind::Histogram),
    ("gaugehistogram", Kind::GaugeHistogram),
    ("gauge_histogram", Kind::GaugeHistogram),
];

/// The type that a TYPE line names. Case does not matter.
pub(super) fn kind_of(word: &[u8]) -> Option<Kind> {
    match word {
        b"counter" => return Some(Kind::Counter),
        b"gauge" => return Some(Kind::Gauge),
        b"histogram" => return Some(Kind::Histogram),
        _ => {}
    }
    KINDS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word)).map(|(_, kind)| *kind)
}
