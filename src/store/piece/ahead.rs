//! Asks the processor to read parts of pieces before they are needed, without waiting for them.
//!
//! Most of a piece is in three places of memory: the piece itself, its rows, and its labels. What is in the next place can
//! be asked for only when the one before it has come, so each has a step of its own, and between two steps there should be
//! other work.

use std::slice;

use prefetch_index::prefetch_index;

use super::{Piece, Row, Rows, span_in};
use crate::store::piece::value::FormValue;

/// What is read from memory at once, in bytes, on nearly all machines.
const CACHE_LINE: usize = 64;

impl Piece {
    /// First step: the piece itself.
    #[inline]
    pub fn prefetch(&self) {
        // It is as long as a line, and mostly stands in two.
        prefetch_index(slice::from_ref(self), 0);
        prefetch_index(slice::from_ref(self), 1);
    }

    /// Second step: a row, and the end of the one before it, which says where the labels of the row begin.
    #[inline]
    pub fn prefetch_row(&self, at: usize) {
        with_rows!(&self.rows, rows => prefetch_row(rows, at));
    }

    /// Third step: the label block of a row, and the counts of a histogram.
    #[inline]
    pub fn prefetch_rest(&self, at: usize) {
        let labels = self.labels.as_bytes();
        let (start, end) = with_rows!(&self.rows, rows => {
            let Some(row) = rows.get(at) else { return };
            row.value.prefetch();
            span_in(rows, at)
        });
        (start..end).step_by(CACHE_LINE).for_each(|at| prefetch_index(labels, at));
        prefetch_index(labels, end.wrapping_sub(1));
    }
}

#[inline]
fn prefetch_row<V>(rows: &[Row<V>], at: usize) {
    prefetch_index(rows, at);
    // A long row has its end in another line than its start. The end of a short one is in the line of its start, but that
    // of the row before it may not be.
    let is_long = size_of::<Row<V>>() > CACHE_LINE;
    prefetch_index(rows, if is_long { at + 1 } else { at.wrapping_sub(1) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kind::Form;

    #[test]
    fn what_is_not_there_may_be_asked_for() {
        for form in [Form::Number, Form::Summary, Form::Histogram] {
            let piece = Piece::new(form);
            piece.prefetch();
            for at in [0, 1, usize::MAX - 1] {
                piece.prefetch_row(at);
                piece.prefetch_rest(at);
            }
        }
    }
}
