//! Estimates how much memory parsing takes in the text formats.

use super::cost::{Cost, sum};
use crate::model::limits::PushLimits;

/// The memory for a line without the text of its labels, and for a label, in bytes. A line may begin a family or be
/// a whole histogram. Measured with bodies of nothing else.
const LINE_BYTES: usize = 424;
const LABEL_BYTES: usize = 40;

/// The memory for parsing a body.
pub(super) fn cost(body: &[u8], limits: PushLimits) -> Cost {
    let (lines, labels) = line_parts(body, limits);
    Cost { bytes: sum(&[(body.len(), 1), (lines, LINE_BYTES), (labels, LABEL_BYTES)]), series: lines }
}

/// The most lines and labels of a body that are read.
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
