//! The rows of a family in the order of a scrape, read ahead.
//!
//! Series that are neighbours in a scrape are far apart in memory, and out of the caches where there are many. So rows
//! are asked for some time before they are needed, in the three steps that begin with [`Piece::prefetch`], and others are
//! written between the steps.

use std::sync::Arc;

use crate::store::order::Entry;
use crate::store::piece::{Numbers, Piece};
use crate::store::snapshot::{Lookup, SnapshotFamily, piece_of, row_in_piece};

/// How many rows a run has at most.
const RUN: usize = 8;

/// How many runs before it is needed the rest of the rows of a run is asked for. With more of them, those that come too
/// early push out others.
const REST_AHEAD: usize = 6;

/// How many runs before it is needed the rows of a run are asked for.
const ROWS_AHEAD: usize = 2 * REST_AHEAD;

/// How many runs before it is needed the piece of a run is asked for, at least.
const PIECE_AHEAD: usize = 3 * REST_AHEAD;

/// How many pieces are asked for at once.
const PIECES: usize = 32;

/// Where pieces have as many rows on average, their numbers are looked up before everything else, in the order of memory.
/// Where they have fewer, the list of them would be long.
const MANY_ROWS: usize = 8;

/// Rows of one piece that stand together in a scrape, as those with the labels of one group often do. For each of them all,
/// memory is waited for less than for each by itself.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The piece.
    pub piece: &'a Piece,
    /// Its numbers, if that is known already.
    numbers: Option<Numbers<'a>>,
    entries: &'a [Entry],
}

impl<'a> Run<'a> {
    /// The numbers of the piece; see [`Piece::numbers`].
    #[inline]
    pub fn numbers(&self) -> Option<Numbers<'a>> {
        self.numbers.or_else(|| self.piece.numbers())
    }

    /// The rows, in the order of the scrape.
    #[inline]
    pub fn rows(self) -> impl Iterator<Item = usize> + use<'a> {
        self.entries.iter().map(|entry| row_in_piece(*entry))
    }
}

impl Run<'_> {
    fn prefetch_rows(&self) {
        match &self.numbers {
            Some(numbers) => numbers.prefetch_rows(self.rows()),
            None => self.piece.prefetch_rows(self.rows()),
        }
    }

    fn prefetch_rest(&self) {
        match &self.numbers {
            Some(numbers) => numbers.prefetch_rest(self.rows()),
            None => self.piece.prefetch_rest(self.rows()),
        }
    }
}

/// Reads rows ahead, run by run.
#[derive(Debug)]
pub struct ReadAhead<'a> {
    lookup: Lookup<'a>,
    /// The numbers of all pieces, or nothing.
    numbers: Vec<Option<Numbers<'a>>>,
    entries: &'a [Entry],
    /// The runs whose pieces were asked for, from `at` on.
    known: Vec<Run<'a>>,
    at: usize,
}

impl<'a> ReadAhead<'a> {
    /// Reads these rows of a family. Those that are not there are left out.
    pub fn new(family: &'a SnapshotFamily, entries: &'a [Entry]) -> ReadAhead<'a> {
        let known = Vec::with_capacity(entries.len().min(PIECE_AHEAD + PIECES));
        let lookup = family.lookup();
        let pieces = lookup.pieces();
        let are_many_each = entries.len() >= pieces.len() * MANY_ROWS;
        let numbers = if are_many_each { all_numbers(pieces) } else { Vec::new() };
        let mut ahead = ReadAhead { lookup, numbers, entries, known, at: 0 };
        ahead.ask();
        ahead.known.iter().take(ROWS_AHEAD).for_each(Run::prefetch_rows);
        ahead.known.iter().take(REST_AHEAD).for_each(Run::prefetch_rest);
        ahead
    }

    /// Asks for the next pieces.
    fn ask(&mut self) {
        self.known.drain(..self.at);
        self.at = 0;
        while self.known.len() < PIECE_AHEAD + PIECES {
            let Some(first) = self.entries.first() else { return };
            let is_next = |entry: &&Entry| piece_of(**entry) == piece_of(*first);
            let length = self.entries.iter().take(RUN).take_while(is_next).count();
            let (entries, rest) = self.entries.split_at(length);
            self.entries = rest;
            let Some(at) = self.lookup.index(*first) else { continue };
            let Some(piece) = self.lookup.pieces().get(at) else { continue };
            let numbers = self.numbers.get(at).copied().flatten();
            if numbers.is_none() {
                piece.prefetch();
            }
            self.known.push(Run { piece, numbers, entries });
        }
    }
}

fn all_numbers(pieces: &[Arc<Piece>]) -> Vec<Option<Numbers<'_>>> {
    let mut all = Vec::with_capacity(pieces.len());
    for (at, piece) in pieces.iter().enumerate() {
        if let Some(later) = pieces.get(at + PIECE_AHEAD) {
            later.prefetch();
        }
        all.push(piece.numbers());
    }
    all
}

impl<'a> Iterator for ReadAhead<'a> {
    type Item = Run<'a>;

    fn next(&mut self) -> Option<Run<'a>> {
        while self.known.len() <= self.at + PIECE_AHEAD && !self.entries.is_empty() {
            self.ask();
        }
        let here = self.known.get(self.at..)?;
        let run = *here.first()?;
        self.at += 1;
        if let Some(run) = here.get(ROWS_AHEAD) {
            run.prefetch_rows();
        }
        if let Some(run) = here.get(REST_AHEAD) {
            run.prefetch_rest();
        }
        Some(run)
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
        // Any number of rows under way, and many.
        for count in 0..=150 {
            let entries: Vec<_> = (0..count).map(entry).collect();
            // Many that are not there end nothing.
            let with_gap = [&entries[..], &[unknown; 3 * PIECES], &entries[..]].concat();
            for entries in [entries, with_gap] {
                let mut ahead = ReadAhead::new(family, &entries);
                let blocks = |run: Run<'_>| run.rows().map(|row| run.piece.block(row).to_owned()).collect();
                let read: Vec<String> = ahead.by_ref().flat_map::<Vec<_>, _>(blocks).collect();
                let expected = entries.iter().filter(|entry| entry.slot == 0);
                let expected: Vec<_> = expected.map(|entry| family.block(*entry).to_owned()).collect();
                assert_eq!(read, expected);
                assert!(ahead.next().is_none());
            }
        }
    }
}
