//! Writing the text format as `expfmt.MetricFamilyToText` does.

use std::borrow::Cow;

use crate::exposition::escaping::Escaping;
use crate::exposition::writer::{Head, Labels};
use crate::model::histogram::Histogram;
use crate::model::kind::Kind;
use crate::model::labels::escape;
use crate::model::name::is_legacy_metric_name;
use crate::model::number::{format_f64, write_f64};
use crate::model::summary::Summary;

/// Writes the text format, version 0.0.4.
#[derive(Debug)]
pub struct TextWriter {
    escaping: Escaping,
    /// The name of the current family as it is written, without quotes.
    name: String,
    /// Whether the name must stand in quotes within the braces.
    is_quoted: bool,
}

impl TextWriter {
    /// A writer with this scheme for names.
    pub fn new(escaping: Escaping) -> TextWriter {
        TextWriter { escaping, name: String::new(), is_quoted: false }
    }

    /// Writes the HELP and TYPE lines.
    pub fn begin(&mut self, out: &mut Vec<u8>, head: Head<'_>) {
        let name = self.escaping.metric_name(head.name);
        self.is_quoted = !is_legacy_metric_name(&name);
        self.name = if self.is_quoted { escape(&name).into_owned() } else { name.into_owned() };
        let shown = if self.is_quoted { format!("\"{}\"", self.name) } else { self.name.clone() };
        if let Some(help) = head.help {
            out.extend_from_slice(format!("# HELP {shown} ").as_bytes());
            for byte in help.bytes() {
                match byte {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    other => out.push(other),
                }
            }
            out.push(b'\n');
        }
        let kind = match head.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
            Kind::Untyped => "untyped",
            Kind::Histogram | Kind::GaugeHistogram => "histogram",
        };
        out.extend_from_slice(format!("# TYPE {shown} {kind}\n").as_bytes());
    }

    /// Writes a counter, gauge or untyped series.
    #[inline]
    pub fn number(&self, out: &mut Vec<u8>, labels: Labels<'_>, value: f64) {
        self.sample(out, "", self.block(labels).as_bytes(), None, value);
    }

    /// Writes a summary series.
    pub fn summary(&self, out: &mut Vec<u8>, labels: Labels<'_>, summary: &Summary) {
        let block = self.block(labels);
        for quantile in &summary.quantiles {
            let label = format_f64(quantile.quantile);
            self.sample(out, "", block.as_bytes(), Some(("quantile", &label)), quantile.value);
        }
        self.sample(out, "_sum", block.as_bytes(), None, summary.sum.value());
        self.sample(out, "_count", block.as_bytes(), None, summary.count.as_f64());
    }

    /// Writes a histogram series; a missing `+Inf` bucket is added.
    pub fn histogram(&self, out: &mut Vec<u8>, labels: Labels<'_>, histogram: &Histogram) {
        let block = self.block(labels);
        let count = histogram.count().as_f64();
        let mut has_inf = false;
        histogram.buckets(|label, bound, count| {
            has_inf |= bound == f64::INFINITY;
            self.sample(out, "_bucket", block.as_bytes(), Some(("le", label)), count.as_f64());
        });
        if !has_inf {
            self.sample(out, "_bucket", block.as_bytes(), Some(("le", "+Inf")), count);
        }
        self.sample(out, "_sum", block.as_bytes(), None, histogram.sum.value());
        self.sample(out, "_count", block.as_bytes(), None, count);
    }

    #[inline]
    fn block<'a>(&self, labels: Labels<'a>) -> Cow<'a, str> {
        if labels.has_quoted_names { self.escaping.block(labels.block) } else { Cow::Borrowed(labels.block) }
    }

    /// One line: the name with `suffix`, the labels with `extra` behind them, the value.
    #[inline]
    fn sample(&self, out: &mut Vec<u8>, suffix: &str, block: &[u8], extra: Option<(&str, &str)>, value: f64) {
        if self.is_quoted {
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(self.name.as_bytes());
            out.extend_from_slice(suffix.as_bytes());
            out.push(b'"');
            // What follows the name is a list of labels that begins with a comma.
            let inner = block.get(1..block.len().saturating_sub(1)).unwrap_or_default();
            if !inner.is_empty() {
                out.push(b',');
                out.extend_from_slice(inner);
            }
            if let Some((name, value)) = extra {
                out.push(b',');
                write_extra(out, name, value);
            }
            out.push(b'}');
        } else {
            out.extend_from_slice(self.name.as_bytes());
            out.extend_from_slice(suffix.as_bytes());
            match extra {
                None => out.extend_from_slice(block),
                Some((name, value)) => {
                    let open = block.split_last().map_or(&b"{"[..], |(_, open)| open);
                    out.extend_from_slice(open);
                    if open.len() > 1 {
                        out.push(b',');
                    }
                    write_extra(out, name, value);
                    out.push(b'}');
                }
            }
        }
        out.push(b' ');
        write_f64(out, value);
        out.push(b'\n');
    }
}

#[inline]
fn write_extra(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}
