//! Writes families in any format.

use crate::exposition::negotiation::{Format, Syntax};
use crate::exposition::openmetrics::OpenMetricsWriter;
use crate::exposition::protobuf::ProtobufWriter;
use crate::exposition::text::TextWriter;
use crate::model::histogram::Histogram;
use crate::model::summary::Summary;

pub use crate::exposition::written::{Details, Full, Head, Labels};

/// Writes families one after the other: [`Writer::begin`], then the series. [`Writer::finish`] ends the scrape.
///
/// If [`Writer::needs_length`] is true, each family is passed twice: first between [`Writer::measure`] and
/// [`Writer::measured`] to measure its length, when nothing is written.
#[derive(Debug)]
pub enum Writer {
    /// The text format.
    Text(TextWriter),
    /// OpenMetrics text.
    OpenMetrics(OpenMetricsWriter),
    /// Delimited protobuf.
    Protobuf(ProtobufWriter),
}

impl Writer {
    /// A writer of this format. With `has_created_series`, it writes start times as series of their own in formats
    /// that have no other place for them.
    pub fn new(format: Format, has_created_series: bool) -> Writer {
        let escaping = format.escaping;
        match format.syntax {
            Syntax::Text(_) => Writer::Text(TextWriter::new(escaping)),
            Syntax::OpenMetrics(_) => {
                Writer::OpenMetrics(OpenMetricsWriter::new(escaping, has_created_series))
            }
            Syntax::Protobuf => Writer::Protobuf(ProtobufWriter::new(escaping)),
        }
    }

    /// Whether a family begins with its length.
    pub fn needs_length(&self) -> bool {
        matches!(self, Writer::Protobuf(_))
    }

    /// Begins to measure the length of the next family.
    pub fn measure(&mut self) {
        if let Writer::Protobuf(writer) = self {
            writer.measure();
        }
    }

    /// Ends measuring.
    pub fn measured(&mut self) {
        if let Writer::Protobuf(writer) = self {
            writer.measured();
        }
    }

    /// Whether it only measures at the moment.
    pub fn is_measuring(&self) -> bool {
        matches!(self, Writer::Protobuf(writer) if writer.is_measuring())
    }

    /// Begins a family.
    pub fn begin(&mut self, out: &mut Vec<u8>, head: Head<'_>) {
        match self {
            Writer::Text(writer) => writer.begin(out, head),
            Writer::OpenMetrics(writer) => writer.begin(out, head),
            Writer::Protobuf(writer) => writer.begin(out, head),
        }
    }

    /// Writes a series with one value.
    #[inline]
    pub fn number(&mut self, out: &mut Vec<u8>, labels: Labels<'_>, value: f64, details: Details<'_>) {
        match self {
            Writer::Text(writer) => writer.number(out, labels, value),
            Writer::OpenMetrics(writer) => writer.number(out, labels, value, details),
            Writer::Protobuf(writer) => writer.number(out, labels, value, details),
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
        match self {
            Writer::Text(writer) => writer.summary(out, labels, summary, full),
            Writer::OpenMetrics(writer) => writer.summary(out, labels, summary, details, full),
            Writer::Protobuf(writer) => writer.summary(out, labels, summary, details),
        }
    }

    /// Writes a histogram series.
    pub fn histogram(
        &mut self,
        out: &mut Vec<u8>,
        labels: Labels<'_>,
        histogram: &Histogram,
        details: Details<'_>,
        full: Full<'_>,
    ) {
        match self {
            Writer::Text(writer) => writer.histogram(out, labels, histogram, full),
            Writer::OpenMetrics(writer) => writer.histogram(out, labels, histogram, details, full),
            Writer::Protobuf(writer) => writer.histogram(out, labels, histogram, details),
        }
    }

    /// Ends the scrape.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Writer::OpenMetrics(writer) = self {
            writer.finish(out);
        }
    }
}
