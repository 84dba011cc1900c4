//! A row of a piece: the state of one series.

use std::ops::Range;

use crate::model::labels::simple_labels;
use crate::model::time::Start;

/// The state of one series.
#[derive(Clone, Debug)]
pub struct Row<V> {
    /// The value.
    pub value: V,
    /// When the series began.
    pub start: Start,
    /// Where its label block ends in the labels of the piece.
    label_end: u32,
    /// The length of the block, or [`LONG`].
    label_length: u16,
    /// `None` if they are not simple, or more than 255.
    simple_labels: Option<u8>,
}

/// The length of a block that is as long, or longer: it begins where that of the row before ends.
const LONG: u16 = u16::MAX;

impl<V> Row<V> {
    /// A row whose label block is the last in labels of this length.
    pub(super) fn new(value: V, start: Start, block: &str, label_end: usize) -> Row<V> {
        let label_length = u16::try_from(block.len()).unwrap_or(LONG);
        let simple_labels = u8::try_from(simple_labels(block)).ok().filter(|count| *count > 0);
        Row { value, start, label_end: label_end as u32, label_length, simple_labels }
    }

    /// How many labels the row has, if they are simple ones and not very many; see [`simple_labels`]. Zero if not.
    #[inline]
    pub fn simple_labels(&self) -> u16 {
        self.simple_labels.map_or(0, u16::from)
    }
}

/// Where the label block of a row is in the labels of a piece.
#[inline]
pub(super) fn span<V>(rows: &[Row<V>], at: usize) -> Range<usize> {
    let row = &rows[at];
    let (end, length) = (row.label_end, row.label_length);
    let start = if length == LONG { end_before(rows, at) } else { end.wrapping_sub(u32::from(length)) };
    start as usize..end as usize
}

#[cold]
fn end_before<V>(rows: &[Row<V>], at: usize) -> u32 {
    at.checked_sub(1).map_or(0, |before| rows[before].label_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_any_length_are_found() {
        let (long, longest) = ("l".repeat(LONG as usize - 1), "m".repeat(LONG as usize + 1));
        let blocks = ["", "{a=\"1\"}", &longest, "", &long, &longest[1..], "{}"];
        let labels = blocks.concat();
        let mut end = 0;
        let row = |block: &&str| {
            end += block.len();
            Row::new((), Start::UNKNOWN, block, end)
        };
        let rows: Vec<_> = blocks.iter().map(row).collect();
        for (at, block) in blocks.iter().enumerate() {
            assert!(labels[span(&rows, at)] == **block, "{at}");
            assert_eq!(rows[at].simple_labels(), u16::from(at == 1), "{at}");
        }
    }
}
