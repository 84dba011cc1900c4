//! Counts the values of the native histograms of a body, before anything of it is kept.

use super::wire::{Field, WireError, delimited, fields};
use crate::model::kind::{Form, Kind};

/// The most spans, differences and counts that the native histograms of a body can have. A packed byte can be a
/// whole difference. If a message has a fault, the parser may skip it, so counting goes on behind it.
pub(super) fn native_values(body: &[u8]) -> usize {
    let mut values = 0;
    let mut rest = body;
    while !rest.is_empty()
        && let Ok(family) = delimited(&mut rest)
    {
        count(family, &mut values);
    }
    values
}

/// Whether the metrics of a family are histograms. The parser reads no native values for other types.
fn has_histograms(family: &[u8]) -> bool {
    let mut kind = None;
    let _ = fields(family, |number, content| {
        if let (3, Field::Varint(value)) = (number, content) {
            kind = Kind::from_protobuf(value as i32);
        }
        Ok::<(), WireError>(())
    });
    kind.is_some_and(|kind| kind.form() == Form::Histogram)
}

fn count(family: &[u8], values: &mut usize) {
    if !has_histograms(family) {
        return;
    }
    within(family, 4, |metric| {
        within(metric, 7, |histogram| {
            let _ = fields(histogram, |number, content| {
                *values += match (number, content) {
                    (10 | 13, Field::Bytes(packed)) => packed.len(),
                    (11 | 14, Field::Bytes(packed)) => packed.len() / size_of::<f64>(),
                    (9..=14, _) => 1,
                    _ => 0,
                };
                Ok::<(), WireError>(())
            });
        });
    });
}

/// Calls `each` for every message with this field number in a message.
fn within(message: &[u8], number: u64, mut each: impl FnMut(&[u8])) {
    // Up to a fault, if there is one.
    let _ = fields(message, |field, content| {
        if let (true, Field::Bytes(content)) = (field == number, content) {
            each(content);
        }
        Ok::<(), WireError>(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_counts() {
        let field = |number: u8, content: &[u8]| [&[number << 3 | 2, content.len() as u8], content].concat();
        let histogram = [
            field(9, &[]),
            field(10, &[0, 1, 0x80, 1]),
            field(11, &[0; 16]),
            field(12, &[0x10, 1]),
            vec![13 << 3, 2],
            field(14, &[0; 8]),
            field(3, &[0x08, 1]),
        ];
        let metric = field(4, &field(7, &histogram.concat()));
        let family = [&metric[..], &[3 << 3, 4]].concat();
        let body = [&[family.len() as u8][..], &family].concat();
        assert_eq!(native_values(&body), 1 + 4 + 2 + 1 + 1 + 1);
        assert_eq!(native_values(&body.repeat(3)), 30);
        assert_eq!(native_values(&[&body[..], &[200, 1]].concat()), 10);
        // Counters with a field of histograms, which is not read.
        for histogram in [&[0xff][..], &histogram.concat()] {
            let counter = field(4, &field(7, histogram));
            let counter = [&[counter.len() as u8][..], &counter].concat();
            assert_eq!(native_values(&[&counter[..], &body].concat()), 10);
        }
        assert_eq!(native_values(&[]), 0);
    }
}
