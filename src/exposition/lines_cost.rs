//! How much memory parsing takes in the formats that are lines of text.

use super::cost::{Cost, sum};
use crate::model::limits::PushLimits;

/// What parsing takes for a line beside the text of its labels, in bytes; for one that may begin a
/// family; and for a label. They are measured, by bodies that have nothing else.
const LINE_BYTES: usize = 250;
const FAMILY_BYTES: usize = 350;
const LABEL_BYTES: usize = 80;

/// What it takes to parse a body.
pub(super) fn cost(body: &[u8], limits: PushLimits) -> Cost {
    let (mut lines, mut families, mut last) = (0_usize, 0_usize, &b""[..]);
    for line in body.split(|byte| *byte == b'\n') {
        lines += 1;
        // A comment may name a family of its own, and what begins with a brace has its name within.
        let end =
            line.iter().position(|byte| matches!(byte, b'{' | b' ' | b'\t' | b'#')).unwrap_or(line.len());
        let name = &line[..end];
        families += usize::from(name.is_empty() || name != last);
        last = name;
    }
    let (lines, families) = (lines.min(limits.samples), families.min(limits.samples));
    let labels = memchr::memchr_iter(b'=', body).count().min(limits.label_pairs);
    let bytes = sum(&[(body.len(), 1), (lines, LINE_BYTES), (families, FAMILY_BYTES), (labels, LABEL_BYTES)]);
    Cost { bytes, series: lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(body: &[u8]) -> usize {
        cost(body, PushLimits::NONE).bytes
    }

    #[test]
    fn families_take_more_than_lines() {
        let lines = |line: fn(usize) -> String| (0..1000).map(line).collect::<String>().into_bytes();
        let one_family = lines(|n| format!("m{{l=\"{n}\"}} 1\n"));
        let estimate = bytes(&one_family);
        assert!((330_000..360_000).contains(&estimate), "{estimate}");
        for families in [
            lines(|n| format!("m{n} 1\n")),
            lines(|n| format!("# TYPE m{n} gauge\n")),
            lines(|n| format!("{{\"m{n}\"}} 1\n")),
            lines(|n| format!("m{n}\t1\n")),
        ] {
            assert!(bytes(&families) > 600_000);
        }
    }

    #[test]
    fn what_is_not_parsed_takes_nothing() {
        let limits = PushLimits { samples: 10, label_pairs: 20, ..PushLimits::NONE };
        let body = b"m= 1\n".repeat(1000);
        assert!(cost(&body, limits).bytes < body.len() + 15_000);
    }
}
