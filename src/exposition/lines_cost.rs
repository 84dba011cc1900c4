//! How much memory parsing takes in the formats that are lines of text.

use super::cost::{Cost, sum};
use crate::model::limits::PushLimits;

/// What parsing takes for a line beside the text of its labels, in bytes, and for a label. A line may begin a family,
/// or be a whole histogram. They are measured, by bodies that have nothing else.
const LINE_BYTES: usize = 400;
const LABEL_BYTES: usize = 40;

/// What it takes to parse a body.
pub(super) fn cost(body: &[u8], limits: PushLimits) -> Cost {
    let (lines, labels) = line_parts(body, limits);
    Cost { bytes: sum(&[(body.len(), 1), (lines, LINE_BYTES), (labels, LABEL_BYTES)]), series: lines }
}

/// How many lines and labels of a body are read at most.
pub(super) fn line_parts(body: &[u8], limits: PushLimits) -> (usize, usize) {
    let count = |byte: u8| memchr::memchr_iter(byte, body).count();
    ((count(b'\n') + 1).min(limits.samples), count(b'=').min(limits.label_pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_parsed_takes_nothing() {
        let limits = PushLimits { samples: 10, label_pairs: 20, ..PushLimits::NONE };
        let body = b"m= 1\n".repeat(1000);
        assert!(cost(&body, limits).bytes < body.len() + 15_000);
    }
}
