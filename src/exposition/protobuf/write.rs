//! Writes delimited protobuf.
//!
//! A family is one message with a length prefix. Building the message to learn its length would take as much memory
//! as the whole family. So it is written twice, and the first time only its length counts. Most series are plain
//! numbers with simple labels, whose length is computed without writing.

use super::wire::{put_double, put_message, put_sint, put_string, put_uint, put_varint, varint_bytes};
use crate::exposition::openmetrics::form;
use crate::exposition::written::{Details, Head, Labels};
use crate::model::count::Count;
use crate::model::escaping::Escaping;
use crate::model::exemplar::{Exemplar, OfBuckets, of_native, of_value};
use crate::model::histogram::Histogram;
use crate::model::kind::Kind;
use crate::model::labels::pairs;
use crate::model::native_histogram::{Encoded, EncodedBuckets};
use crate::model::summary::Summary;

/// Writes delimited protobuf.
#[derive(Debug)]
pub struct ProtobufWriter {
    escaping: Escaping,
    kind: Kind,
    /// The length of the family so far.
    length: u64,
    is_measuring: bool,
    /// A buffer for data that is written only to measure it.
    scratch: Vec<u8>,
    /// The start time of the last plain number, and its encoded field, because series that are pushed together have
    /// the same start time.
    start: (i64, Vec<u8>),
}

impl ProtobufWriter {
    /// A writer with this escaping scheme.
    pub fn new(escaping: Escaping) -> ProtobufWriter {
        ProtobufWriter {
            escaping,
            kind: Kind::Untyped,
            length: 0,
            is_measuring: false,
            scratch: Vec::new(),
            start: (i64::MIN, Vec::new()),
        }
    }

    /// Begins to measure the length of the next family.
    pub fn measure(&mut self) {
        self.length = 0;
        self.is_measuring = true;
    }

    /// Ends measuring. The family is written next.
    pub fn measured(&mut self) {
        self.is_measuring = false;
    }

    /// Whether it only measures at the moment.
    pub fn is_measuring(&self) -> bool {
        self.is_measuring
    }

    /// Begins a family.
    pub fn begin(&mut self, out: &mut Vec<u8>, head: Head<'_>) {
        self.kind = head.kind.classic();
        let (kind, escaping) = (self.kind, self.escaping);
        if !self.is_measuring {
            put_varint(out, self.length);
        }
        self.put(out, |out| {
            let name = escaping.metric_name(head.name);
            put_string(out, 1, &name);
            if let Some(help) = head.help {
                put_string(out, 2, help);
            }
            put_uint(out, 3, kind as u64);
            if let Some(unit) = head.unit_in(form(&name, kind).name) {
                put_string(out, 5, unit);
            }
        });
    }

    /// Writes a part of the family, or measures it.
    #[inline]
    fn put(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if self.is_measuring {
            self.scratch.clear();
            write(&mut self.scratch);
            self.length += self.scratch.len() as u64;
        } else {
            write(out);
        }
    }

    /// Writes a counter, gauge or untyped series.
    #[inline]
    pub fn number(&mut self, out: &mut Vec<u8>, labels: Labels<'_>, value: f64, details: Details<'_>) {
        let is_counter = self.kind == Kind::Counter;
        let field = match self.kind {
            Kind::Counter => 3,
            Kind::Gauge => 2,
            _ => 5,
        };
        let start = details.start.filter(|_| is_counter);
        let escaping = self.escaping;
        if labels.simple_labels > 0 && details.exemplars.is_empty() {
            if let Some(nanos) = start.filter(|nanos| self.start.0 != *nanos) {
                self.start.0 = nanos;
                self.start.1.clear();
                put_time(&mut self.start.1, 3, Some(nanos));
            }
            let start = start.map_or(&[][..], |_| &self.start.1);
            let member = 9 + start.len();
            let metric = simple_labels_bytes(labels) + 2 + member;
            if self.is_measuring {
                self.length += (1 + varint_bytes(metric as u64) + metric) as u64;
                return;
            }
            put_varint(out, 4 << 3 | 2);
            put_varint(out, metric as u64);
            put_simple_labels(out, labels.block);
            put_varint(out, field << 3 | 2);
            put_varint(out, member as u64);
            put_double(out, 1, value);
            out.extend_from_slice(start);
            return;
        }
        self.put(out, |out| {
            put_message(out, 4, |metric| {
                put_labels(metric, labels, escaping);
                put_message(metric, field, |number| {
                    put_double(number, 1, value);
                    if let Some(exemplar) = of_value(details.exemplars).filter(|_| is_counter) {
                        put_exemplar(number, 2, exemplar, escaping);
                    }
                    put_time(number, 3, start);
                });
            });
        });
    }

    /// Writes a summary series.
    pub fn summary(
        &mut self,
        out: &mut Vec<u8>,
        labels: Labels<'_>,
        summary: &Summary,
        details: Details<'_>,
    ) {
        let escaping = self.escaping;
        self.put(out, |out| {
            put_message(out, 4, |metric| {
                put_labels(metric, labels, escaping);
                put_message(metric, 4, |message| {
                    put_uint(message, 1, whole(summary.count.value()));
                    put_double(message, 2, summary.sum.value());
                    for quantile in &summary.quantiles {
                        put_message(message, 3, |message| {
                            put_double(message, 1, quantile.quantile);
                            put_double(message, 2, quantile.value);
                        });
                    }
                    put_time(message, 4, details.start);
                });
            });
        });
    }

    /// Writes a histogram series.
    pub fn histogram(
        &mut self,
        out: &mut Vec<u8>,
        labels: Labels<'_>,
        histogram: &Histogram,
        details: Details<'_>,
    ) {
        let (escaping, kind) = (self.escaping, self.kind);
        let is_float = histogram.is_float();
        self.put(out, |out| {
            put_message(out, 4, |metric| {
                put_labels(metric, labels, escaping);
                put_message(metric, 7, |message| {
                    let count = histogram.count();
                    if is_float {
                        put_double(message, 4, count.as_f64());
                    } else {
                        put_uint(message, 1, whole(count));
                    }
                    put_double(message, 2, histogram.sum.value());
                    let mut exemplars = OfBuckets::new(details.exemplars, histogram.has_one_layout());
                    histogram.buckets(|_, bound, count| {
                        put_message(message, 3, |message| {
                            if is_float {
                                put_double(message, 4, count.as_f64());
                            } else {
                                put_uint(message, 1, whole(count));
                            }
                            put_double(message, 2, bound);
                            if let Some(exemplar) = exemplars.next(bound) {
                                put_exemplar(message, 3, exemplar, escaping);
                            }
                        });
                    });
                    if let Some(native) = histogram.native() {
                        put_native(message, &native.encode(is_float), is_float);
                    }
                    put_time(message, 15, details.start.filter(|_| kind == Kind::Histogram));
                    if histogram.native().is_some() {
                        of_native(details.exemplars)
                            .for_each(|exemplar| put_exemplar(message, 16, exemplar, escaping));
                    }
                });
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
    // Not packed, as in the schema.
    for delta in &buckets.deltas {
        put_sint(message, deltas, *delta);
    }
    for count in &buckets.counts {
        put_double(message, counts, *count);
    }
}

fn put_exemplar(message: &mut Vec<u8>, field: u64, exemplar: &Exemplar, escaping: Escaping) {
    put_message(message, field, |message| {
        put_labels(message, Labels::unquoted(&exemplar.block), escaping);
        put_double(message, 2, exemplar.value);
        put_time(message, 3, exemplar.at);
    });
}

/// Appends a `google.protobuf.Timestamp`. Leaves out fields that are zero, as proto3 does.
fn put_time(message: &mut Vec<u8>, field: u64, nanos: Option<i64>) {
    let Some(nanos) = nanos else { return };
    put_message(message, field, |time| {
        for (field, value) in [(1, nanos.div_euclid(1_000_000_000)), (2, nanos.rem_euclid(1_000_000_000))] {
            if value != 0 {
                put_uint(time, field, value as u64);
            }
        }
    });
}

fn put_labels(metric: &mut Vec<u8>, labels: Labels<'_>, escaping: Escaping) {
    for pair in pairs(labels.block) {
        put_message(metric, 1, |label| {
            put_string(label, 1, &escaping.label_name(&pair.name()));
            put_string(label, 2, &pair.value());
        });
    }
}

/// The length of simple labels as fields. A label takes four bytes in the block beside its name and value, and six
/// here. The block has one extra byte for its braces.
fn simple_labels_bytes(labels: Labels<'_>) -> usize {
    labels.block.len() - 1 + 2 * usize::from(labels.simple_labels)
}

/// The tags of strings and messages with the numbers 1 and 2.
const LENGTH_DELIMITED_1: u8 = 1 << 3 | 2;
const LENGTH_DELIMITED_2: u8 = 2 << 3 | 2;

/// Appends simple labels as fields.
#[inline]
fn put_simple_labels(metric: &mut Vec<u8>, block: &str) {
    let block = block.as_bytes();
    let mut start = 1;
    let mut quotes = quotes(block);
    while let (Some(open), Some(close)) = (quotes.next(), quotes.next()) {
        let (name, value) = (&block[start..open - 1], &block[open + 1..close]);
        start = close + 2;
        // The lengths of simple labels fit one byte.
        metric.extend_from_slice(&[
            LENGTH_DELIMITED_1,
            (name.len() + value.len() + 4) as u8,
            LENGTH_DELIMITED_1,
            name.len() as u8,
        ]);
        metric.extend_from_slice(name);
        metric.extend_from_slice(&[LENGTH_DELIMITED_2, value.len() as u8]);
        metric.extend_from_slice(value);
    }
}

/// The positions of quotes, eight bytes at a time. In labels they are too close to each other for a search that has
/// to be set up for each.
#[inline]
fn quotes(text: &[u8]) -> impl Iterator<Item = usize> {
    const LOW: u64 = u64::from_le_bytes([0x7f; 8]);
    const QUOTES: u64 = u64::from_le_bytes([b'"'; 8]);
    let (words, rest) = text.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut words = words.iter().copied().chain([last]);
    let (mut offset, mut found) = (0usize.wrapping_sub(8), 0u64);
    std::iter::from_fn(move || {
        while found == 0 {
            let difference = u64::from_le_bytes(words.next()?) ^ QUOTES;
            // Sets the highest bit of each byte that is a quote, and of no other.
            found = !(((difference & LOW) + LOW) | difference | LOW);
            offset = offset.wrapping_add(8);
        }
        let at = offset + found.trailing_zeros() as usize / 8;
        found &= found - 1;
        Some(at)
    })
}

/// A count for an integer field.
fn whole(count: Count) -> u64 {
    match count {
        Count::Int(count) => count,
        Count::Float(count) => count as u64,
    }
}
