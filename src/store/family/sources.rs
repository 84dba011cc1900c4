//! What a family has to do with sources: how its values are merged, and how many sources have its series.

use crate::model::merge::{Fold, Merge};
use crate::model::push;
use crate::model::time::Start;
use crate::store::family::Family;
use crate::store::piece::{PIECE_ROWS, Piece};

impl Family {
    /// How its values are merged.
    pub fn merge_rule(&self) -> Merge {
        self.rule.unwrap_or_else(|| self.definition.merge())
    }

    /// What the values of its sources come to, if they are folded. In a target the rows have the latest values of
    /// all sources, in a source its own.
    pub fn fold(&self) -> Option<Fold> {
        if let Some(Merge::Fold(fold)) = self.rule { Some(fold) } else { None }
    }

    /// Whether this family of a source has the totals of a pushed one.
    pub(in crate::store) fn holds_totals_of(&self, pushed: &push::Family) -> bool {
        self.fold().is_none() && self.form() == pushed.kind.form()
    }

    /// How its values are stored.
    pub(in crate::store) fn form(&self) -> crate::model::kind::Form {
        self.pieces().first().map_or(self.definition.kind().form(), |piece| piece.form())
    }

    /// The piece that has the series at this position, and its row there.
    pub(in crate::store) fn row(&self, position: u32) -> Option<(&Piece, usize)> {
        let position = position as usize;
        Some((self.pieces().get(position / PIECE_ROWS)?, position % PIECE_ROWS))
    }

    fn row_mut(&mut self, position: u32) -> Option<(&mut Piece, usize)> {
        let position = position as usize;
        Some((self.pieces.get_mut(position / PIECE_ROWS)?, position % PIECE_ROWS))
    }

    /// Gives a series another start.
    pub(in crate::store) fn set_start(&mut self, position: u32, start: Start) {
        if self.row(position).is_some_and(|(piece, row)| piece.start(row) != start)
            && let Some((piece, row)) = self.row_mut(position)
        {
            piece.set_start(row, start);
        }
    }

    /// One more source has each of these series.
    pub(in crate::store) fn gain_holders<'b>(&mut self, blocks: impl Iterator<Item = &'b str>) {
        let mut expected = 0;
        for block in blocks {
            let Some(position) = self.find_near(block, expected) else { continue };
            expected = position + 1;
            if let Some((piece, row)) = self.row_mut(position) {
                piece.gain_holder(row);
            }
        }
    }

    /// A source has these series no more. Gives the positions of those that no source has any more, in order.
    pub(in crate::store) fn lose_holders<'b>(&mut self, blocks: impl Iterator<Item = &'b str>) -> Vec<u32> {
        let (mut expected, mut gone) = (0, Vec::new());
        for block in blocks {
            let Some(position) = self.find_near(block, expected) else { continue };
            expected = position + 1;
            let is_last = self.row_mut(position).is_some_and(|(piece, row)| piece.lose_holder(row));
            gone.extend(is_last.then_some(position));
        }
        gone.sort_unstable();
        gone
    }

    /// Forgets which sources have its series.
    pub(in crate::store) fn forget_holders(&mut self) {
        for number in 0..self.pieces.len() {
            let has_some = |piece: &Piece| (0..piece.len()).any(|at| piece.holders(at) > 0);
            if self.pieces.get(number).is_some_and(|piece| has_some(piece))
                && let Some(piece) = self.pieces.get_mut(number)
            {
                piece.forget_holders();
            }
        }
    }
}
