//! The rows of a piece of numbers, as a scrape needs them.

use super::row::span;
use super::{Piece, Row, Rows};
use crate::model::sum::Sum;

/// The rows of a piece of numbers whose label names need no quotes, looked up once.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    /// The rows.
    pub rows: &'a [Row<Sum>],
    pub(super) labels: &'a [u8],
}

impl Piece {
    /// The rows, if they are numbers and no label name needs quotes.
    #[inline]
    pub fn numbers(&self) -> Option<Numbers<'_>> {
        match &self.rows {
            Rows::Numbers(rows) if !self.has_quoted_names => {
                Some(Numbers { rows, labels: self.labels.as_bytes() })
            }
            _ => None,
        }
    }
}

impl<'a> Numbers<'a> {
    /// The label block of a row.
    #[inline]
    pub fn block(&self, at: usize) -> &'a [u8] {
        &self.labels[span(self.rows, at)]
    }
}
