//! The overflow series of a family: what has no room of its own is added to it.

use std::sync::Arc;

use crate::model::labels::{pairs, write_block};
use crate::model::merge::{Fold, Merge};
use crate::model::push::{self, Push};
use crate::model::time::Moment;
use crate::store::family::{FOLDED, Family, NEW, Placement};
use crate::store::piece::{Fresh, PIECE_ROWS, growing_bytes, plain_bytes};
use crate::store::shareable::Shareable;

/// The label that the overflow series has beside the grouping labels, with its value.
const OVERFLOW_LABEL: (&str, &str) = ("overflow", "true");

/// The overflow series that some series of a pushed family are added to.
#[derive(Debug)]
pub struct Overflowing {
    /// The label block.
    pub block: Arc<str>,
    /// Whether the family does not have it yet.
    pub is_new: bool,
}

/// The label block of the overflow series of a group whose own series have this block.
pub fn overflow_block(series_block: &str) -> String {
    let (name, value) = OVERFLOW_LABEL;
    let own: Vec<_> = pairs(series_block).map(|pair| (pair.name(), pair.escaped_value())).collect();
    let has_label = own.iter().any(|(own, _)| *own == name);
    let before = own.partition_point(|(own, _)| **own < *name);
    let (before, after) = own.split_at(before);
    // A grouping label of that name overwrites it, as in any series of a push.
    let overflow = (!has_label).then(|| (name.into(), value));
    let mut block = String::with_capacity(series_block.len() + name.len() + value.len() + 4);
    write_block(&mut block, before.iter().cloned().chain(overflow).chain(after.iter().cloned()));
    block
}

impl Placement {
    /// The series that are added to the overflow series.
    pub(super) fn folded<'a>(&'a self, series: &'a [push::Series]) -> impl Iterator<Item = &'a push::Series> {
        let is_folded = self.overflow.is_some();
        let placed = series.iter().zip(&self.positions).take_while(move |_| is_folded);
        placed.filter(|(_, position)| **position == FOLDED).map(|(one, _)| one)
    }

    /// Lets those new series of a source be added to its overflow series that are so in its target. `own` is the family
    /// of the source, `target` that of the target after the push, and `block` the block of the overflow series.
    pub(in crate::store) fn redirect(
        &mut self,
        push: &Push,
        pushed: &push::Family,
        own: &Family,
        target: &Family,
        block: String,
    ) {
        let series = push.series(pushed);
        let mut folded = 0;
        for (one, position) in series.iter().zip(&mut self.positions) {
            if *position == NEW && target.find(push.block(one)).is_none() {
                *position = FOLDED;
                folded += 1;
            }
        }
        if folded > 0 {
            self.new -= folded;
            let is_pushed = || series.iter().any(|one| *push.block(one) == *block);
            let is_new = own.find(&block).is_none() && !is_pushed();
            self.overflow = Some(Overflowing { block: block.into(), is_new }.into());
        }
    }

    /// The first of them, with the block of the overflow series, where that is new to the family.
    pub fn new_overflow<'a>(&'a self, series: &'a [push::Series]) -> Option<(&'a push::Series, &'a str)> {
        let overflow = self.overflow.as_ref().filter(|overflow| overflow.is_new)?;
        Some((self.folded(series).next()?, &overflow.block))
    }

    /// How many series the overflow adds, and by how many bytes it grows at most.
    pub fn overflow_growth(&self, push: &Push, pushed: &push::Family) -> (i64, i64) {
        let Some(overflow) = &self.overflow else { return (0, 0) };
        let folded = self.folded(push.series(pushed)).map(|one| growing_bytes(push, one) as i64);
        let own = if overflow.is_new { plain_bytes(&overflow.block) as i64 } else { 0 };
        (i64::from(overflow.is_new), own + folded.sum::<i64>())
    }
}

impl Family {
    /// Adds the folded series of a push to the overflow series, one after the other. The first one makes it as any new
    /// series that is merged into nothing, by `first`. What is folded over sources comes from this one together.
    pub(super) fn add_overflow(
        &mut self,
        push: &Push,
        pushed: &push::Family,
        placement: &Placement,
        first: Merge,
        now: Moment,
        known: &mut Shareable,
    ) {
        let Some(overflow) = &placement.overflow else { return };
        let series = push.series(pushed);
        // Whether the overflow series has something of this push.
        let mut has_some = series.iter().any(|one| *push.block(one) == *overflow.block);
        for one in placement.folded(series) {
            let merge = match pushed.merge {
                Merge::Fold(Fold::Sum) if has_some => Merge::Add,
                Merge::Fold(Fold::Min) if has_some => Merge::Least,
                Merge::Fold(Fold::Max) if has_some => Merge::Greatest,
                merge => merge,
            };
            has_some = true;
            let Some(position) = self.find(&overflow.block) else {
                let fresh = Fresh { block: &overflow.block, series: one };
                self.append(push, pushed, &[fresh], first, now, known);
                continue;
            };
            let (number, row) = (position as usize / PIECE_ROWS, position as usize % PIECE_ROWS);
            let since = self.lasting().map(|lasting| lasting.since);
            if let Some(piece) = self.pieces.get_mut(number) {
                let grown = piece.update(push, [(row, one)].into_iter(), merge, now, since);
                self.bytes = self.bytes.saturating_add_signed(grown);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overflow_series_has_the_grouping_labels_and_one_more() {
        for (own, expected) in [
            (r#"{instance="",job="a"}"#, r#"{instance="",job="a",overflow="true"}"#),
            (r#"{instance="",job="a",zone="\"z"}"#, r#"{instance="",job="a",overflow="true",zone="\"z"}"#),
            (r#"{instance="",job="a","p.q"="1"}"#, r#"{instance="",job="a",overflow="true","p.q"="1"}"#),
            (r#"{job="a",overflow="no"}"#, r#"{job="a",overflow="no"}"#),
        ] {
            assert_eq!(overflow_block(own), expected);
        }
    }
}
