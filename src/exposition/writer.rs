//! Writing families, whatever the format.

use crate::exposition::negotiation::{Format, Syntax};
use crate::exposition::protobuf::ProtobufWriter;
use crate::exposition::text::TextWriter;
use crate::model::histogram::Histogram;
use crate::model::kind::Kind;
use crate::model::summary::Summary;

/// What comes before the samples of a family.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The metric name.
    pub name: &'a str,
    /// The type.
    pub kind: Kind,
    /// The help text.
    pub help: Option<&'a str>,
}

/// The labels of a series.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// The label block; empty for a series without labels.
    pub block: &'a str,
    /// Whether any of its names needs quotes.
    pub has_quoted_names: bool,
}

/// Writes families one after the other: [`Writer::begin`], the series, [`Writer::end`].
#[derive(Debug)]
pub enum Writer {
    /// The text format.
    Text(TextWriter),
    /// Delimited protobuf.
    Protobuf(ProtobufWriter),
}

impl Writer {
    /// A writer of this format.
    pub fn new(format: Format) -> Writer {
        match format.syntax {
            Syntax::Text => Writer::Text(TextWriter::new(format.escaping)),
            Syntax::Protobuf => Writer::Protobuf(ProtobufWriter::new(format.escaping)),
        }
    }

    /// Begins a family.
    pub fn begin(&mut self, out: &mut Vec<u8>, head: Head<'_>) {
        match self {
            Writer::Text(writer) => writer.begin(out, head),
            Writer::Protobuf(writer) => writer.begin(head),
        }
    }

    /// Writes a counter, gauge or untyped series.
    #[inline]
    pub fn number(&mut self, out: &mut Vec<u8>, labels: Labels<'_>, value: f64) {
        match self {
            Writer::Text(writer) => writer.number(out, labels, value),
            Writer::Protobuf(writer) => writer.number(labels, value),
        }
    }

    /// Writes a summary series.
    pub fn summary(&mut self, out: &mut Vec<u8>, labels: Labels<'_>, summary: &Summary) {
        match self {
            Writer::Text(writer) => writer.summary(out, labels, summary),
            Writer::Protobuf(writer) => writer.summary(labels, summary),
        }
    }

    /// Writes a histogram series.
    pub fn histogram(&mut self, out: &mut Vec<u8>, labels: Labels<'_>, histogram: &Histogram) {
        match self {
            Writer::Text(writer) => writer.histogram(out, labels, histogram),
            Writer::Protobuf(writer) => writer.histogram(labels, histogram),
        }
    }

    /// Ends a family.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if let Writer::Protobuf(writer) = self {
            writer.end(out);
        }
    }
}
