//! Turns samples from a command line, such as `files_total=12` and `'duration_seconds{step="dump"}=3.4'`, into a
//! body.

use std::collections::BTreeSet;
use std::fmt::Write;

use bumpalo::Bump;

use super::group::pair;
use crate::exposition::Names;
use crate::exposition::text::parse;
use crate::message::Excerpt;

/// A type that a sample can be given. The name is that of the text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Type {
    /// Goes up, and adds up across pushes.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
    /// Has quantiles.
    Summary,
    /// Not known.
    Untyped,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
            Type::Summary => "summary",
            Type::Untyped => "untyped",
        }
    }

    /// What messages call a value other than the sum and the count.
    fn part(self) -> &'static str {
        if self == Type::Histogram { "bucket" } else { "quantile" }
    }

    /// The endings of the names of the samples that belong to a metric of this type.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Type::Histogram => &["_bucket", "_sum", "_count"],
            Type::Summary => &["_sum", "_count"],
            _ => &[],
        }
    }
}

/// `NAME=TYPE`.
pub(super) fn typed(text: &str) -> Result<(String, Type), String> {
    let (name, kind) = pair(text)?;
    let known = <Type as clap::ValueEnum>::from_str(&kind, false);
    let kind =
        known.map_err(|_| "the type is none of counter, gauge, histogram, summary, untyped".to_owned())?;
    Ok((name, kind))
}

/// Why samples can't be pushed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A sample does not have the form `NAME=VALUE`.
    #[error("sample {sample:?}: {reason}, but a sample is NAME=VALUE, or 'NAME{{LABEL=\"VALUE\"}}=VALUE'")]
    Form {
        /// The sample.
        sample: Excerpt,
        /// What is wrong.
        reason: &'static str,
    },
    /// A sample is not valid in the text format.
    #[error("sample {sample:?}: {reason}")]
    Text {
        /// The sample.
        sample: Excerpt,
        /// What is wrong, and where.
        reason: String,
    },
    /// Each sample is valid, but not all together.
    #[error("the samples do not go together: {0}")]
    Together(String),
    /// A flag is about a metric that is not pushed.
    #[error("{flag} {name:?}: no sample has this name")]
    NoSample {
        /// The flag.
        flag: &'static str,
        /// The name.
        name: Excerpt,
    },
    /// A flag is given twice for a metric.
    #[error("{flag} {name:?} is given twice")]
    Repeated {
        /// The flag.
        flag: &'static str,
        /// The name.
        name: Excerpt,
    },
}

/// A metric and its samples.
struct Metric {
    name: String,
    /// The name as in the text format: in quotes, if it needs them.
    shown: String,
    kind: Type,
    lines: String,
}

/// The body in the text format for these samples, with the types and help texts of their metrics. A metric without a
/// type is a counter if its name ends in `_total`, and a gauge otherwise.
///
/// # Errors
///
/// The first error in the samples, types or help texts.
pub fn body(
    samples: &[String],
    types: &[(String, Type)],
    helps: &[(String, String)],
) -> Result<String, SampleError> {
    check_unique("--type", types)?;
    check_unique("--help-text", helps)?;
    let mut metrics: Vec<Metric> = Vec::new();
    let mut seen = BTreeSet::new();
    for sample in samples {
        let Sample { line, shown, name, labels } = read(sample)?;
        let member = name.clone();
        let (name, shown, kind) = metric_of(name, shown, types);
        let wrong = |reason| SampleError::Text { sample: Excerpt::of(sample), reason };
        check_member(kind, &name, &member, &labels).map_err(wrong)?;
        if !kind.endings().is_empty() && !seen.insert((member, labels)) {
            return Err(wrong("its name and labels are given twice".to_owned()));
        }
        let line = format!("{line}\n");
        match metrics.iter_mut().find(|metric| metric.name == name) {
            Some(metric) => metric.lines.push_str(&line),
            None => metrics.push(Metric { name, shown, kind, lines: line }),
        }
    }
    let is_there = |name: &String| metrics.iter().any(|metric| metric.name == *name);
    let names = types.iter().map(|(name, _)| ("--type", name));
    let names = names.chain(helps.iter().map(|(name, _)| ("--help-text", name)));
    if let Some((flag, name)) = names.into_iter().find(|(_, name)| !is_there(name)) {
        return Err(SampleError::NoSample { flag, name: Excerpt::of(name) });
    }
    let mut text = String::new();
    for metric in &metrics {
        if let Some((_, help)) = helps.iter().find(|(name, _)| *name == metric.name) {
            let help = help.replace('\\', r"\\").replace('\n', r"\n");
            let _ = writeln!(text, "# HELP {} {help}", metric.shown);
        }
        let _ = write!(text, "# TYPE {} {}\n{}", metric.shown, metric.kind.name(), metric.lines);
    }
    match parse(text.as_bytes(), Names::Utf8, &Bump::new()) {
        Ok(_) => Ok(text),
        Err(error) => Err(SampleError::Together(error.message)),
    }
}

fn check_unique<T>(flag: &'static str, given: &[(String, T)]) -> Result<(), SampleError> {
    let mut seen = BTreeSet::new();
    match given.iter().find(|(name, _)| !seen.insert(name)) {
        Some((name, _)) => Err(SampleError::Repeated { flag, name: Excerpt::of(name) }),
        None => Ok(()),
    }
}

/// Whether a sample with these labels, sorted by name, is one of a metric of this type. The text format lets others
/// pass, and their values are lost.
fn check_member(kind: Type, metric: &str, name: &str, labels: &[(String, String)]) -> Result<(), String> {
    let label = match kind {
        Type::Histogram => "le",
        Type::Summary => "quantile",
        _ => return Ok(()),
    };
    let value = labels.iter().find(|(name, _)| name == label).map(|(_, value)| value);
    let ending = name.strip_prefix(metric).unwrap_or_default();
    let metric = Excerpt::of(metric);
    match (kind, ending, value) {
        (Type::Histogram, "", _) => Err(format!(
            "{metric} is a histogram, whose samples are {metric}_bucket with the label le, {metric}_sum and {metric}_count"
        )),
        (Type::Summary, "", None) => Err(format!(
            "{metric} is a summary, whose samples are {metric} with the label quantile, {metric}_sum and {metric}_count"
        )),
        (Type::Histogram, "_bucket", None) => Err("a bucket has a label le with its upper bound".to_owned()),
        (Type::Histogram, "_bucket", Some(_)) => Ok(()),
        (Type::Summary, "", Some(quantile)) if quantile.parse().is_ok_and(f64::is_nan) => {
            Err("its quantile is not a number".to_owned())
        }
        (Type::Summary, "", Some(_)) | (_, _, None) => Ok(()),
        (..) => Err(format!("only the samples for each {} have the label {label}", kind.part())),
    }
}

/// A parsed sample.
struct Sample {
    /// Its line in the text format.
    line: String,
    /// The name as it is written.
    shown: String,
    name: String,
    /// Sorted by name.
    labels: Vec<(String, String)>,
}

/// Parses a sample.
fn read(sample: &str) -> Result<Sample, SampleError> {
    let wrong = |reason| SampleError::Form { sample: Excerpt::of(sample), reason };
    let at = equals_sign(sample).map_err(wrong)?;
    let (series, value) = (sample[..at].trim(), sample[at + 1..].trim());
    if value.is_empty() {
        return Err(wrong("it has no value"));
    }
    // Text behind a blank would be a timestamp.
    if value.contains(char::is_whitespace) {
        return Err(wrong("its value has a blank"));
    }
    if series.is_empty() {
        return Err(wrong("it has no name"));
    }
    // A label value from a shell may hold a line feed, which the text format wants escaped.
    let line = format!("{} {value}", series.replace('\n', r"\n"));
    let arena = Bump::new();
    let text = format!("{line}\n");
    let body = parse(text.as_bytes(), Names::Utf8, &arena).map_err(|error| {
        let column = error.place.map_or(1, |(_, column)| column);
        let reason = format!("{} (column {column})", error.message);
        SampleError::Text { sample: Excerpt::of(sample), reason }
    })?;
    let family = body.families.first().ok_or_else(|| wrong("it is a comment"))?;
    let name = family.name.to_owned();
    let labels = body.series_of(family).flat_map(|series| body.labels_of(series));
    let mut labels: Vec<_> =
        labels.map(|label| (label.name.to_owned(), label.escaped_value.to_owned())).collect();
    labels.sort();
    let shown = match line.split_once('{') {
        Some((before, inside)) if before.trim().is_empty() => quoted(inside.trim_start()).to_owned(),
        _ => name.clone(),
    };
    Ok(Sample { line, shown, name, labels })
}

/// The position of the `=` between a series and its value.
fn equals_sign(sample: &str) -> Result<usize, &'static str> {
    let (mut in_braces, mut in_quotes, mut is_escaped) = (false, false, false);
    for (at, byte) in sample.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_quotes => is_escaped = true,
            b'"' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            b'{' => in_braces = true,
            b'}' => in_braces = false,
            b'=' if !in_braces => return Ok(at),
            _ => {}
        }
    }
    Err(match (in_quotes, in_braces) {
        (true, _) => "a quote is not closed",
        (_, true) => "a brace is not closed",
        _ => "there is no =",
    })
}

/// The quoted string, quotes included, at the beginning of a text.
fn quoted(text: &str) -> &str {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    &text[..end.map_or(text.len(), |end| end + 2)]
}

/// The metric that a sample of this name belongs to, and its type.
fn metric_of(name: String, shown: String, types: &[(String, Type)]) -> (String, String, Type) {
    if let Some((_, kind)) = types.iter().find(|(typed, _)| *typed == name) {
        return (name, shown, *kind);
    }
    for (metric, kind) in types {
        let ending = name.strip_prefix(metric.as_str()).unwrap_or_default();
        if kind.endings().contains(&ending) {
            let shown = match shown.strip_suffix('"') {
                Some(start) => format!("{}\"", start.strip_suffix(ending).unwrap_or(start)),
                None => metric.clone(),
            };
            return (metric.clone(), shown, *kind);
        }
    }
    let kind = if name.ends_with("_total") { Type::Counter } else { Type::Gauge };
    (name, shown, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(samples: &[&str], types: &[(&str, Type)], helps: &[(&str, &str)]) -> Result<String, String> {
        let samples: Vec<_> = samples.iter().map(|sample| sample.to_string()).collect();
        let types: Vec<_> = types.iter().map(|(name, kind)| (name.to_string(), *kind)).collect();
        let helps: Vec<_> = helps.iter().map(|(name, help)| (name.to_string(), help.to_string())).collect();
        body(&samples, &types, &helps).map_err(|error| error.to_string())
    }

    #[test]
    fn names_tell_types() {
        assert_eq!(
            text(&["files_total=12", r#"seconds{step="dump"}=3.4"#, r#"files_total{a="b"}=1"#], &[], &[])
                .unwrap(),
            "# TYPE files_total counter\nfiles_total 12\nfiles_total{a=\"b\"} 1\n\
             # TYPE seconds gauge\nseconds{step=\"dump\"} 3.4\n"
        );
    }

    #[test]
    fn types_and_help_texts_are_those_given() {
        assert_eq!(
            text(
                &["h_sum=3", r#"h_bucket{le="+Inf"}=2"#, "h_count=2", "rows=7"],
                &[("h", Type::Histogram), ("rows", Type::Counter)],
                &[("rows", "a\\b\nc")]
            )
            .unwrap(),
            "# TYPE h histogram\nh_sum 3\nh_bucket{le=\"+Inf\"} 2\nh_count 2\n\
             # HELP rows a\\\\b\\nc\n# TYPE rows counter\nrows 7\n"
        );
    }

    #[test]
    fn label_values_can_be_anything() {
        assert_eq!(
            text(&["m{a=\"=}{,\\\"\\\\\",b=\"x\ny\"}=-Inf"], &[], &[]).unwrap(),
            "# TYPE m gauge\nm{a=\"=}{,\\\"\\\\\",b=\"x\\ny\"} -Inf\n"
        );
        assert_eq!(
            text(&["{\"m.\\\"x_total\",\"l.b\"=\"\"}=1"], &[], &[]).unwrap(),
            "# TYPE \"m.\\\"x_total\" counter\n{\"m.\\\"x_total\",\"l.b\"=\"\"} 1\n"
        );
        assert_eq!(
            text(&[r#"{"h.x_sum"}=1"#, r#"{"h.x_count"}=1"#], &[("h.x", Type::Summary)], &[]).unwrap(),
            "# TYPE \"h.x\" summary\n{\"h.x_sum\"} 1\n{\"h.x_count\"} 1\n"
        );
    }

    #[test]
    fn errors_say_where() {
        for (sample, error) in [
            ("m", "there is no =, but a sample is NAME=VALUE, or 'NAME{LABEL=\"VALUE\"}=VALUE'"),
            ("m=", "it has no value"),
            ("=1", "it has no name"),
            ("m=1 2", "its value has a blank"),
            ("m{a=\"b=1", "a quote is not closed"),
            ("m{a=\"b\"=1", "a brace is not closed"),
            ("#=1", "it is a comment"),
            ("m=x", "expected float as value, got \"x\" (column 3)"),
            ("m{a=b}=1", "(column 5)"),
            ("9m=1", "(column 1)"),
        ] {
            let found = text(&[sample], &[], &[]).unwrap_err();
            assert!(found.starts_with(&format!("sample {sample:?}: ")) && found.contains(error), "{found}");
        }
        assert_eq!(
            text(&["m=1"], &[("n", Type::Gauge)], &[]).unwrap_err(),
            "--type \"n\": no sample has this name"
        );
        assert_eq!(
            text(&["m=1"], &[], &[("m", ""), ("m", "")]).unwrap_err(),
            "--help-text \"m\" is given twice"
        );
    }

    #[test]
    fn what_would_be_lost_is_refused() {
        let (histogram, summary) = (("m", Type::Histogram), ("m", Type::Summary));
        for (kind, samples, error) in [
            (
                histogram,
                &["m=1"][..],
                "m is a histogram, whose samples are m_bucket with the label le, m_sum and m_count",
            ),
            (histogram, &["m_sum=1", r#"m{le="1"}=1"#], "m is a histogram"),
            (histogram, &["m_bucket=1"], "a bucket has a label le"),
            (histogram, &[r#"m_bucket{quantile="1"}=1"#], "a bucket has a label le"),
            (histogram, &[r#"m_sum{le="1"}=1"#], "only the samples for each bucket have the label le"),
            (
                histogram,
                &[r#"m_count{a="b",le="1"}=1"#],
                "only the samples for each bucket have the label le",
            ),
            (histogram, &["m_sum=1", "m_sum=2"], "its name and labels are given twice"),
            (
                histogram,
                &[r#"m_count{a="1",b="2"}=1"#, r#"m_count{b="2",a="1"}=1"#],
                "its name and labels are given twice",
            ),
            (
                summary,
                &["m=1"],
                "m is a summary, whose samples are m with the label quantile, m_sum and m_count",
            ),
            (summary, &[r#"m{le="1"}=1"#], "m is a summary"),
            (summary, &[r#"m{quantile="NaN"}=1"#], "its quantile is not a number"),
            (
                summary,
                &[r#"m_sum{quantile="0.5"}=1"#],
                "only the samples for each quantile have the label quantile",
            ),
            (summary, &[r#"{"m",a="b"}=1"#], "m is a summary"),
        ] {
            let found = text(samples, &[kind], &[]).unwrap_err();
            let place = format!("sample {:?}: ", samples[samples.len() - 1]);
            assert!(found.starts_with(&format!("{place}{error}")), "{found}");
        }
        for (kind, samples) in [
            (histogram, &[r#"m_bucket{le="1",quantile="x"}=1"#, r#"m_sum{quantile="x"}=1"#][..]),
            (histogram, &[r#"m_sum{a="1"}=1"#, r#"m_sum{a="2"}=1"#, "m_count=1"]),
            (summary, &[r#"m{quantile="0.5",le="x"}=1"#, "m_count=1"]),
            // Not of this metric.
            (summary, &["m_sum=1", r#"m_bucket{le="1"}=1"#]),
        ] {
            text(samples, &[kind], &[]).unwrap();
        }
    }
}
