//! Writing delimited protobuf.

use super::wire::{put_double, put_message, put_sint, put_string, put_uint};
use crate::exposition::escaping::Escaping;
use crate::exposition::writer::{Head, Labels};
use crate::model::count::Count;
use crate::model::histogram::Histogram;
use crate::model::kind::Kind;
use crate::model::labels::pairs;
use crate::model::native_histogram::{Encoded, EncodedBuckets};
use crate::model::summary::Summary;

/// Writes delimited protobuf. A family is one message with its length in front, so it is put
/// together before any of it goes out.
#[derive(Debug)]
pub struct ProtobufWriter {
    escaping: Escaping,
    kind: Kind,
    message: Vec<u8>,
}

impl ProtobufWriter {
    /// A writer with this scheme for names.
    pub fn new(escaping: Escaping) -> ProtobufWriter {
        ProtobufWriter { escaping, kind: Kind::Untyped, message: Vec::new() }
    }

    /// Begins a family.
    pub fn begin(&mut self, head: Head<'_>) {
        self.kind = head.kind;
        self.message.clear();
        put_string(&mut self.message, 1, &self.escaping.metric_name(head.name));
        if let Some(help) = head.help {
            put_string(&mut self.message, 2, help);
        }
        put_uint(&mut self.message, 3, u64::from(head.kind.number().unsigned_abs()));
    }

    /// Ends the family and writes it.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        super::delimit(out, &self.message);
    }

    /// Writes a counter, gauge or untyped series.
    #[inline]
    pub fn number(&mut self, labels: Labels<'_>, value: f64) {
        let field = match self.kind {
            Kind::Counter => 3,
            Kind::Gauge => 2,
            _ => 5,
        };
        let escaping = self.escaping;
        put_message(&mut self.message, 4, |metric| {
            put_labels(metric, labels, escaping);
            put_message(metric, field, |number| put_double(number, 1, value));
        });
    }

    /// Writes a summary series.
    pub fn summary(&mut self, labels: Labels<'_>, summary: &Summary) {
        let escaping = self.escaping;
        put_message(&mut self.message, 4, |metric| {
            put_labels(metric, labels, escaping);
            put_message(metric, 4, |message| {
                put_uint(message, 1, whole(summary.count));
                put_double(message, 2, summary.sum.value());
                for quantile in &summary.quantiles {
                    put_message(message, 3, |message| {
                        put_double(message, 1, quantile.quantile);
                        put_double(message, 2, quantile.value);
                    });
                }
            });
        });
    }

    /// Writes a histogram series.
    pub fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let escaping = self.escaping;
        let is_float = histogram.is_float();
        put_message(&mut self.message, 4, |metric| {
            put_labels(metric, labels, escaping);
            put_message(metric, 7, |message| {
                let count = histogram.count();
                if is_float {
                    put_double(message, 4, count.as_f64());
                } else {
                    put_uint(message, 1, whole(count));
                }
                put_double(message, 2, histogram.sum.value());
                histogram.buckets(|_, bound, count| {
                    put_message(message, 3, |message| {
                        if is_float {
                            put_double(message, 4, count.as_f64());
                        } else {
                            put_uint(message, 1, whole(count));
                        }
                        put_double(message, 2, bound);
                    });
                });
                if let Some(native) = histogram.native() {
                    put_native(message, &native.encode(is_float), is_float);
                }
            });
        });
    }
}

fn put_native(message: &mut Vec<u8>, native: &Encoded, is_float: bool) {
    put_sint(message, 5, i64::from(native.schema));
    put_double(message, 6, native.zero_threshold);
    if is_float {
        put_double(message, 8, native.zero_count_float);
    } else {
        put_uint(message, 7, native.zero_count);
    }
    put_native_buckets(message, &native.negative, [9, 10, 11]);
    put_native_buckets(message, &native.positive, [12, 13, 14]);
}

fn put_native_buckets(message: &mut Vec<u8>, buckets: &EncodedBuckets, numbers: [u64; 3]) {
    let [spans, deltas, counts] = numbers;
    for span in &buckets.spans {
        put_message(message, spans, |message| {
            put_sint(message, 1, i64::from(span.offset));
            put_uint(message, 2, u64::from(span.length));
        });
    }
    // Not packed, as the schema has it.
    for delta in &buckets.deltas {
        put_sint(message, deltas, *delta);
    }
    for count in &buckets.counts {
        put_double(message, counts, *count);
    }
}

fn put_labels(metric: &mut Vec<u8>, labels: Labels<'_>, escaping: Escaping) {
    for pair in pairs(labels.block) {
        put_message(metric, 1, |label| {
            put_string(label, 1, &escaping.label_name(&pair.name()));
            put_string(label, 2, &pair.value());
        });
    }
}

/// A count for a field that has no fraction.
fn whole(count: Count) -> u64 {
    match count {
        Count::Int(count) => count,
        Count::Float(count) => count as u64,
    }
}
