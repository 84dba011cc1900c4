//! Writes OpenMetrics text as `expfmt.MetricFamilyToOpenMetrics` does, with units and all types.

use super::name::{Form, form, plain_form};
use super::number::{mark_float, write_count, write_time};
use super::values::can_be_exemplar;
use crate::exposition::line::Lines;
use crate::exposition::written::{Details, Full, Head, Labels};
use crate::model::count::Count;
use crate::model::escaping::Escaping;
use crate::model::exemplar::{Exemplar, OfBuckets, of_value};
use crate::model::histogram::Histogram;
use crate::model::kind::{self, Kind};
use crate::model::labels::has_quoted_names;
use crate::model::number::{format_f64, write_float};
use crate::model::summary::Summary;

/// Writes OpenMetrics text.
#[derive(Debug)]
pub struct OpenMetricsWriter {
    escaping: Escaping,
    /// Whether start times are written as series of their own.
    has_created_series: bool,
    kind: Kind,
    lines: Lines,
    /// The only samples to write of a summary or histogram whose type can't be shown. They are a family of their
    /// own.
    only: Option<&'static str>,
    /// The metadata lines of that family, until it has a sample.
    head: Vec<u8>,
}

impl OpenMetricsWriter {
    /// A writer with this escaping scheme. With `has_created_series`, it writes start times.
    pub fn new(escaping: Escaping, has_created_series: bool) -> OpenMetricsWriter {
        OpenMetricsWriter {
            escaping,
            has_created_series,
            kind: Kind::Untyped,
            lines: Lines::new(escaping),
            only: None,
            head: Vec::new(),
        }
    }

    /// Writes HELP, TYPE and UNIT.
    pub fn begin(&mut self, out: &mut Vec<u8>, head: Head<'_>) {
        let name = self.escaping.metric_name(head.name);
        self.only = head.only.filter(|_| head.kind.form() != kind::Form::Number);
        if let Some(suffix) = self.only {
            let mut begun = std::mem::take(&mut self.head);
            begun.clear();
            let form = Form { name: &format!("{name}{suffix}"), kind: Kind::Untyped };
            self.metadata(&mut begun, Head { unit: None, ..head }, form);
            self.head = begun;
            return;
        }
        // A state set has the state in a label with the name of the family.
        let is_odd = head.kind == Kind::StateSet && name != self.escaping.label_name(head.name);
        let form: Form<'_> =
            if head.only.is_some() || is_odd { plain_form(&name, head.kind) } else { form(&name, head.kind) };
        self.metadata(out, head, form);
    }

    fn metadata(&mut self, out: &mut Vec<u8>, head: Head<'_>, form: Form<'_>) {
        self.kind = form.kind;
        self.lines.begin(form.name);
        let shown = self.lines.shown_name();
        if let Some(help) = head.help {
            out.extend_from_slice(format!("# HELP {shown} ").as_bytes());
            for byte in help.bytes() {
                match byte {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'"' => out.extend_from_slice(b"\\\""),
                    other => out.push(other),
                }
            }
            out.push(b'\n');
        }
        out.extend_from_slice(format!("# TYPE {shown} {}\n", form.type_name()).as_bytes());
        let may_have_unit = !matches!(form.kind, Kind::Info | Kind::StateSet);
        if let Some(unit) = head.unit_in(form.name).filter(|_| may_have_unit) {
            out.extend_from_slice(format!("# UNIT {shown} {unit}\n").as_bytes());
        }
    }

    /// Writes a series with one value.
    pub fn number(&self, out: &mut Vec<u8>, labels: Labels<'_>, value: f64, details: Details<'_>) {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            _ => "",
        };
        self.lines.plain(out, suffix, labels);
        out.push(b' ');
        write_float(out, value);
        if self.kind != Kind::Counter {
            return out.push(b'\n');
        }
        self.exemplar(out, of_value(details.exemplars));
        out.push(b'\n');
        if details.created.is_some() || self.has_created_series {
            self.created(out, self.lines.block(labels).as_bytes(), details);
        }
    }

    /// Writes a summary series.
    pub fn summary(
        &mut self,
        out: &mut Vec<u8>,
        labels: Labels<'_>,
        summary: &Summary,
        details: Details<'_>,
        full: Full<'_>,
    ) {
        if let Some(only) = self.only {
            return self.part_of_summary(out, only, labels, summary, full);
        }
        let block = self.lines.block(labels);
        let block = block.as_bytes();
        self.quantiles(out, block, summary, full);
        self.sum_and_count(out, ["_sum", "_count"], block, summary.sum.value(), summary.count.value());
        self.created(out, block, details);
    }

    /// Writes the classic buckets of a histogram series, with a `+Inf` bucket in any case.
    pub fn histogram(
        &mut self,
        out: &mut Vec<u8>,
        labels: Labels<'_>,
        histogram: &Histogram,
        details: Details<'_>,
        full: Full<'_>,
    ) {
        if let Some(only) = self.only {
            return self.part_of_histogram(out, only, labels, histogram, full);
        }
        let block = self.lines.block(labels);
        let block = block.as_bytes();
        let is_float = histogram.is_float();
        let whole = |count: Count| if is_float { Count::Float(count.as_f64()) } else { count };
        let mut label = Vec::new();
        let mut exemplars = OfBuckets::new(details.exemplars, histogram.has_one_layout());
        histogram.all_buckets(|text, bound, count| {
            label.clear();
            label.extend_from_slice(text.as_bytes());
            mark_float(&mut label);
            self.series(out, "_bucket", block, Some(("le", &label)));
            write_count(out, whole(count));
            self.exemplar(out, exemplars.next(bound));
            out.push(b'\n');
            full(out);
        });
        let is_gauge = self.kind == Kind::GaugeHistogram;
        let suffixes = if is_gauge { ["_gsum", "_gcount"] } else { ["_sum", "_count"] };
        self.sum_and_count(out, suffixes, block, histogram.sum.value(), whole(histogram.count()));
        if !is_gauge {
            self.created(out, block, details);
        }
    }

    /// Writes the samples of a summary that become a family of their own.
    fn part_of_summary(
        &mut self,
        out: &mut Vec<u8>,
        only: &str,
        labels: Labels<'_>,
        summary: &Summary,
        full: Full<'_>,
    ) {
        if only.is_empty() {
            if !summary.quantiles.is_empty() {
                out.append(&mut self.head);
                self.quantiles(out, self.lines.block(labels).as_bytes(), summary, full);
            }
            return;
        }
        self.part(out, only, labels, summary.sum.value(), summary.count.value());
    }

    /// Writes the samples of a histogram that become a family of their own.
    fn part_of_histogram(
        &mut self,
        out: &mut Vec<u8>,
        only: &str,
        labels: Labels<'_>,
        histogram: &Histogram,
        full: Full<'_>,
    ) {
        if only != "_bucket" {
            return self.part(out, only, labels, histogram.sum.value(), histogram.count());
        }
        out.append(&mut self.head);
        let block = self.lines.block(labels);
        histogram.all_buckets(|text, _, count| {
            let mut label = text.as_bytes().to_vec();
            mark_float(&mut label);
            self.series(out, "", block.as_bytes(), Some(("le", &label)));
            write_float(out, count.as_f64());
            out.push(b'\n');
            full(out);
        });
    }

    /// Writes the sum or count of a summary or histogram as the only sample of a family.
    fn part(&mut self, out: &mut Vec<u8>, only: &str, labels: Labels<'_>, sum: f64, count: Count) {
        out.append(&mut self.head);
        self.series(out, "", self.lines.block(labels).as_bytes(), None);
        write_float(out, if matches!(only, "_sum" | "_gsum") { sum } else { count.as_f64() });
        out.push(b'\n');
    }

    fn quantiles(&self, out: &mut Vec<u8>, block: &[u8], summary: &Summary, full: Full<'_>) {
        for quantile in &summary.quantiles {
            let mut label = format_f64(quantile.quantile).into_bytes();
            mark_float(&mut label);
            self.series(out, "", block, Some(("quantile", &label)));
            write_float(out, quantile.value);
            out.push(b'\n');
            full(out);
        }
    }

    /// Writes the end of the exposition.
    pub fn finish(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"# EOF\n");
    }

    /// Writes the name with `suffix`, the labels followed by `extra`, and a space.
    #[inline]
    fn series(&self, out: &mut Vec<u8>, suffix: &str, block: &[u8], extra: Option<(&str, &[u8])>) {
        self.lines.series(out, suffix, block, extra);
        out.push(b' ');
    }

    fn sum_and_count(&self, out: &mut Vec<u8>, suffixes: [&str; 2], block: &[u8], sum: f64, count: Count) {
        self.series(out, suffixes[0], block, None);
        write_float(out, sum);
        out.push(b'\n');
        self.series(out, suffixes[1], block, None);
        write_count(out, count);
        out.push(b'\n');
    }

    fn exemplar(&self, out: &mut Vec<u8>, exemplar: Option<&Exemplar>) {
        let Some(exemplar) = exemplar else { return };
        let block = &exemplar.block;
        let labels = Labels { block, has_quoted_names: has_quoted_names(block), simple_labels: 0 };
        let block = self.lines.block(labels);
        if !can_be_exemplar(&block) {
            return;
        }
        out.extend_from_slice(b" # ");
        out.extend_from_slice(block.as_bytes());
        out.push(b' ');
        write_float(out, exemplar.value);
        if let Some(at) = exemplar.at {
            out.push(b' ');
            write_time(out, at);
        }
    }

    /// Writes the start time of a series: the one that was pushed as a series, or else the one that the gateway
    /// knows.
    fn created(&self, out: &mut Vec<u8>, block: &[u8], details: Details<'_>) {
        if let Some(created) = details.created {
            self.series(out, "_created", block, None);
            write_float(out, created);
        } else if let Some(start) = details.start.filter(|_| self.has_created_series) {
            self.series(out, "_created", block, None);
            write_time(out, start);
        } else {
            return;
        }
        out.push(b'\n');
    }
}
