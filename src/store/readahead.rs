//! The rows of a family in the order of a scrape, read ahead.
//!
//! Series that are neighbours in a scrape are far apart in memory, and out of the caches where there are many. So rows
//! are asked for some time before they are needed, in the three steps that begin with [`Piece::prefetch`], and others are
//! written between the steps.

use smallvec::SmallVec;

use crate::store::order::Entry;
use crate::store::piece::Piece;
use crate::store::snapshot::SnapshotFamily;

/// How many rows are asked for at once. With more of them, those that come too early push out others.
const STRETCH: usize = 8;

/// How many stretches are under way: one for each step, and the one that is needed now.
const UNDER_WAY: usize = 4;

type Stretch<'a> = SmallVec<[(&'a Piece, usize); STRETCH]>;

/// Reads rows ahead, stretch by stretch.
#[derive(Debug)]
pub struct ReadAhead<'a> {
    family: &'a SnapshotFamily,
    entries: &'a [Entry],
    /// The stretches under way. The newest one is at `newest`, the others follow it by age, in a circle.
    stretches: [Stretch<'a>; UNDER_WAY],
    newest: usize,
}

impl<'a> ReadAhead<'a> {
    /// Reads these rows of a family.
    pub fn new(family: &'a SnapshotFamily, entries: &'a [Entry]) -> ReadAhead<'a> {
        let mut ahead = ReadAhead { family, entries, stretches: Default::default(), newest: 0 };
        for _ in 1..UNDER_WAY {
            ahead.advance();
        }
        ahead
    }

    /// The next rows: pieces, and the rows in them. None after the last one.
    pub fn rows(&mut self) -> Option<&[(&'a Piece, usize)]> {
        self.advance();
        while self.stretches[self.oldest()].is_empty() {
            if self.entries.is_empty() && self.stretches.iter().all(SmallVec::is_empty) {
                return None;
            }
            self.advance();
        }
        Some(&self.stretches[self.oldest()])
    }

    fn oldest(&self) -> usize {
        (self.newest + 1) % UNDER_WAY
    }

    /// Begins a stretch, and takes the others one step further.
    fn advance(&mut self) {
        self.newest = (self.newest + 1) % UNDER_WAY;
        let older = |age: usize| (self.newest + UNDER_WAY - age) % UNDER_WAY;
        let (asked, known) = (older(1), older(2));
        let newest = &mut self.stretches[self.newest];
        newest.clear();
        let (stretch, rest) = self.entries.split_at(self.entries.len().min(STRETCH));
        self.entries = rest;
        for entry in stretch {
            if let Some((piece, row)) = self.family.row(*entry) {
                piece.prefetch();
                newest.push((piece, row));
            }
        }
        self.stretches[asked].iter().for_each(|(piece, row)| piece.prefetch_row(*row));
        self.stretches[known].iter().for_each(|(piece, row)| piece.prefetch_rest(*row));
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::model::merge::FamilyTerms;
    use crate::store::fixture::{push, store};

    #[test]
    fn every_row_comes_in_its_turn() {
        let store = store();
        let mut body = String::from("# TYPE m gauge\n");
        (0..150).for_each(|at| writeln!(body, "m{{at=\"{at}\"}} {at}").unwrap());
        push(&store, None, FamilyTerms::default(), &body, 1).unwrap();
        let snapshot = store.snapshot();
        let family = &snapshot.families[0];
        // In an order that is not that of memory.
        let entry = |at: u32| Entry { slot: 0, position: at * 7 % 150 };
        let unknown = Entry { slot: 9, position: 0 };
        // Any number of stretches under way, full and begun, and many.
        for count in (0..=(STRETCH * (UNDER_WAY + 1)) as u32).chain([150]) {
            let entries: Vec<_> = (0..count).map(entry).collect();
            // A stretch of what is not there ends nothing.
            let with_gap = [&entries[..], &[unknown; STRETCH * UNDER_WAY], &entries[..]].concat();
            for entries in [entries, with_gap] {
                let mut ahead = ReadAhead::new(family, &entries);
                let mut read = Vec::new();
                while let Some(rows) = ahead.rows() {
                    read.extend(rows.iter().map(|(piece, row)| piece.block(*row).to_owned()));
                }
                let expected = entries.iter().filter(|entry| entry.slot == 0);
                let expected: Vec<_> = expected.map(|entry| family.block(*entry).to_owned()).collect();
                assert_eq!(read, expected);
                assert!(ahead.rows().is_none());
            }
        }
    }
}
