//! Asks the processor to read parts of pieces before they are needed, without waiting for them.
//!
//! Most of a piece is in three places of memory: the piece itself, its rows, and its labels. What is in the next place can
//! be asked for only when the one before it has come, so each has a step of its own, and between two steps there should be
//! other work.

use std::ops::Range;
use std::slice;

use prefetch_index::prefetch_index;

use super::row::span;
use super::{Numbers, Piece, Row, Rows};
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

    /// Second step: rows.
    #[inline]
    pub fn prefetch_rows(&self, at: impl Iterator<Item = usize>) {
        with_rows!(&self.rows, rows => prefetch_rows(rows, at));
    }

    /// Third step: the label blocks of rows, and the counts of histograms.
    #[inline]
    pub fn prefetch_rest(&self, at: impl Iterator<Item = usize>) {
        let labels = self.labels.as_bytes();
        with_rows!(&self.rows, rows => prefetch_rest(rows, labels, at));
    }
}

impl Numbers<'_> {
    /// As [`Piece::prefetch_rows`].
    #[inline]
    pub fn prefetch_rows(&self, at: impl Iterator<Item = usize>) {
        prefetch_rows(self.rows, at);
    }

    /// As [`Piece::prefetch_rest`].
    #[inline]
    pub fn prefetch_rest(&self, at: impl Iterator<Item = usize>) {
        prefetch_rest(self.rows, self.labels, at);
    }
}

#[inline]
fn prefetch_rows<V>(rows: &[Row<V>], at: impl Iterator<Item = usize>) {
    for at in at {
        prefetch_index(rows, at);
        // A long row has its end in another line than its start.
        if size_of::<Row<V>>() > CACHE_LINE {
            prefetch_index(rows, at + 1);
        }
    }
}

#[inline]
fn prefetch_rest<V: FormValue>(rows: &[Row<V>], labels: &[u8], at: impl Iterator<Item = usize>) {
    for at in at {
        let Some(row) = rows.get(at) else { return };
        row.value.prefetch();
        let Range { start, end } = span(rows, at);
        // Where the line of the start begins; it need not begin within the labels.
        let before = (labels.as_ptr().addr() + start) % CACHE_LINE;
        prefetch_index(labels, start);
        let (mut next, end) = (start + CACHE_LINE - before, end);
        while next < end {
            prefetch_index(labels, next);
            next += CACHE_LINE;
        }
    }
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
                piece.prefetch_rows([at].into_iter());
                piece.prefetch_rest([at].into_iter());
            }
        }
    }
}
