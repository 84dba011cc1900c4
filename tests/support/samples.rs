//! Samples of scrapes as Prometheus reads them.

use tallygate::model::labels::{closing_quote, unescape};
use tallygate::model::number::format_f64;

/// A series as Prometheus identifies it: by name and labels, without empty ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
}

impl Sample {
    pub(crate) fn new(name: &str, labels: impl IntoIterator<Item = (String, String)>) -> Sample {
        let mut labels: Vec<_> = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        for (_, value) in labels.iter_mut().filter(|(name, _)| name == "le" || name == "quantile") {
            // Bounds in Prometheus's spelling, whatever the format.
            if let Ok(number) = value.parse::<f64>() {
                *value = bound(number);
            }
        }
        labels.sort_unstable();
        Sample { name: name.to_owned(), labels }
    }
}

pub(crate) fn bound(number: f64) -> String {
    format_f64(number + 0.0)
}

/// The sample of a line in a text format, and the text behind its name and labels.
pub(crate) fn sample_in(line: &str) -> (Sample, &str) {
    let brace = line.find(['{', ' ']).unwrap();
    let (mut name, mut rest) = (line[..brace].to_owned(), &line[brace..]);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            rest = rest.strip_prefix(',').unwrap_or(rest);
            let label = match rest.strip_prefix('"') {
                Some(quoted) => {
                    let end = closing_quote(quoted.as_bytes()).unwrap();
                    rest = &quoted[end + 1..];
                    unescape(&quoted[..end]).into_owned()
                }
                None => {
                    let end = rest.find('=').unwrap();
                    let label = rest[..end].to_owned();
                    rest = &rest[end..];
                    label
                }
            };
            match rest.strip_prefix("=\"") {
                Some(value) => {
                    let end = closing_quote(value.as_bytes()).unwrap();
                    labels.push((label, unescape(&value[..end]).into_owned()));
                    rest = &value[end + 1..];
                }
                None => name = label,
            }
        }
        rest = &rest[1..];
    }
    assert!(!name.is_empty(), "{line}");
    (Sample::new(&name, labels), &rest[1..])
}
