//! How many sources have the series of a row, and the values that all of them come to.

use crate::model::sum::Sum;
use crate::store::piece::{Piece, Rows};

impl Piece {
    /// How many sources have the series of a row.
    pub fn holders(&self, at: usize) -> u32 {
        self.columns.holders().get(at).copied().unwrap_or(0)
    }

    /// One more source has the series of a row.
    pub fn gain_holder(&mut self, at: usize) {
        self.columns.gain_holder(at);
    }

    /// A source has the series of a row no more. Whether it was the last.
    pub fn lose_holder(&mut self, at: usize) -> bool {
        self.columns.lose_holder(at)
    }

    /// Forgets how many sources have its series.
    pub fn forget_holders(&mut self) {
        self.columns.set_holders(Vec::new());
    }

    /// The same piece with these numbers of sources.
    pub fn with_holders(mut self, counts: impl Iterator<Item = u32>) -> Piece {
        let counts: Vec<u32> = counts.collect();
        if counts.iter().any(|count| *count > 0) {
            self.columns.set_holders(counts);
        }
        self
    }

    /// The same rows with other numbers; `value` gives that of a row.
    pub fn with_numbers(&self, mut value: impl FnMut(usize, f64) -> f64) -> Piece {
        let mut piece = self.clone();
        piece.forget_holders();
        if let Rows::Numbers(rows) = &mut piece.rows {
            for (at, row) in rows.iter_mut().enumerate() {
                row.value = Sum::new(value(at, row.value.value()));
            }
        }
        piece
    }
}
