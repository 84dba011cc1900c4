//! A piece as a whole: its size, and how it compares with another one.

use crate::store::piece::Piece;

impl Piece {
    /// The size of all rows in bytes, roughly.
    pub fn bytes(&self) -> u64 {
        (0..self.len()).map(|at| self.row_bytes(at)).sum()
    }

    /// Whether the first rows have the labels of all rows of another piece.
    pub fn begins_with(&self, other: &Piece) -> bool {
        self.len() >= other.len()
            && self.blocks().starts_with(other.blocks())
            && (0..other.len()).all(|at| self.block(at).len() == other.block(at).len())
    }
}
