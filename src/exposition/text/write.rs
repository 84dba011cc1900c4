//! Writes the text format as `expfmt.MetricFamilyToText` does.

use crate::exposition::line::Lines;
use crate::exposition::written::{Full, Head, Labels};
use crate::model::escaping::Escaping;
use crate::model::histogram::Histogram;
use crate::model::kind::Kind;
use crate::model::number::{format_f64, write_count_end, write_end, write_long_end};
use crate::model::summary::Summary;

/// Writes the text format, version 0.0.4 or 1.0.0.
#[derive(Debug)]
pub struct TextWriter {
    escaping: Escaping,
    lines: Lines,
    /// What the lines of the buckets of a histogram begin with.
    start: Vec<u8>,
}

impl TextWriter {
    /// A writer with this escaping scheme.
    pub fn new(escaping: Escaping) -> TextWriter {
        TextWriter { escaping, lines: Lines::new(escaping), start: Vec::new() }
    }

    /// Writes the HELP and TYPE lines.
    pub fn begin(&mut self, out: &mut Vec<u8>, head: Head<'_>) {
        self.lines.begin(&self.escaping.metric_name(head.name));
        let shown = self.lines.shown_name();
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
            Kind::Gauge | Kind::Info | Kind::StateSet => "gauge",
            Kind::Summary => "summary",
            Kind::Untyped => "untyped",
            Kind::Histogram | Kind::GaugeHistogram => "histogram",
        };
        out.extend_from_slice(format!("# TYPE {shown} {kind}\n").as_bytes());
    }

    /// Writes a counter, gauge or untyped series.
    #[inline]
    pub fn number(&self, out: &mut Vec<u8>, labels: Labels<'_>, value: f64) {
        self.lines.plain(out, "", labels);
        write_long_end(out, value);
    }

    /// Writes a series of a number whose label names need no quotes.
    #[inline]
    pub fn plain_number(&self, out: &mut Vec<u8>, block: &[u8], value: f64) {
        self.lines.simple(out, block);
        write_end(out, value);
    }

    /// Writes a summary series.
    pub fn summary(&self, out: &mut Vec<u8>, labels: Labels<'_>, summary: &Summary, full: Full<'_>) {
        let block = self.lines.block(labels);
        for quantile in &summary.quantiles {
            let label = format_f64(quantile.quantile);
            self.sample(out, "", block.as_bytes(), Some(("quantile", &label)), quantile.value);
            full(out);
        }
        self.sample(out, "_sum", block.as_bytes(), None, summary.sum.value());
        self.sample(out, "_count", block.as_bytes(), None, summary.count.value().as_f64());
    }

    /// Writes a histogram series, with a `+Inf` bucket in any case.
    pub fn histogram(
        &mut self,
        out: &mut Vec<u8>,
        labels: Labels<'_>,
        histogram: &Histogram,
        full: Full<'_>,
    ) {
        let block = self.lines.block(labels);
        let start = &mut self.start;
        start.clear();
        self.lines.start(start, "_bucket", block.as_bytes(), "le");
        histogram.all_buckets(|label, _, count| {
            out.extend_from_slice(start);
            out.extend_from_slice(label.as_bytes());
            out.extend_from_slice(b"\"}");
            write_count_end(out, count);
            full(out);
        });
        self.sample(out, "_sum", block.as_bytes(), None, histogram.sum.value());
        self.sample(out, "_count", block.as_bytes(), None, histogram.count().as_f64());
    }

    /// Writes a line: the name with `suffix`, the labels followed by `extra`, the value.
    #[inline]
    fn sample(&self, out: &mut Vec<u8>, suffix: &str, block: &[u8], extra: Option<(&str, &str)>, value: f64) {
        self.lines.series(out, suffix, block, extra.map(|(name, value)| (name, value.as_bytes())));
        write_long_end(out, value);
    }
}
