//! A family as another gateway has left it.

use crate::model::merge::Merge;
use crate::store::FamilyView;
use crate::store::family::Family;
use crate::store::shareable::Shareable;

impl Family {
    /// Whether a view has the series of this family in the same order, perhaps with more behind them.
    pub(in crate::store) fn is_continued_by(&self, view: &FamilyView) -> bool {
        let definition = &self.definition;
        let is_same = self.number == view.number
            && self.rule == view.rule
            && definition.merge() == Merge::of(view.kind, &view.name)
            && definition.kind().form() == view.kind.form()
            && self.pieces.len() <= view.pieces.len();
        is_same
            && view.pieces.differing(&self.pieces).all(|number| {
                let pieces = self.pieces.get(number).zip(view.pieces.get(number));
                pieces
                    .is_none_or(|(before, after)| after.form() == before.form() && after.begins_with(before))
            })
    }

    /// Whether nothing of a view that continues this family differs.
    pub(in crate::store) fn is_same_as(&self, view: &FamilyView) -> bool {
        self.pushed_at == view.pushed_at
            && self.lasting() == view.lasting
            && *self.metadata() == view.metadata
            && self.pieces.len() == view.pieces.len()
            && view.pieces.differing(&self.pieces).next().is_none()
    }

    /// This family with the values and further series of a view that continues it.
    pub(in crate::store) fn continued_with(&self, view: FamilyView, known: &mut Shareable) -> Family {
        let mut after = self.clone();
        after.pushed_at = view.pushed_at;
        after.restore_lasting(view.lasting);
        let mut pieces = view.pieces;
        let differing: Vec<usize> = pieces.differing(&self.pieces).collect();
        for number in differing {
            let before = self.pieces.get(number);
            let Some(piece) = pieces.get_mut(number) else { continue };
            match before.filter(|before| before.blocks() == piece.blocks()) {
                Some(before) => {
                    piece.share_labels(&mut Shareable::with([before.shared_blocks()].into_iter()))
                }
                None => piece.share_labels(known),
            }
            if let Some(before) = before {
                after.bytes -= before.bytes();
                after.len -= before.len() as u32;
                piece.take_holders_of(before);
            }
            after.bytes += piece.bytes();
            after.len += piece.len() as u32;
        }
        after.pieces = pieces;
        if after.len > self.len {
            if after.rare.is_some() {
                after.set_rare(|rare| rare.states = None);
            }
            after.index_new_series();
        }
        after
    }
}
