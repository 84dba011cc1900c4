//! The pieces of a family in chunks that its versions share.
//!
//! A version that changes one piece of a family of a million series copies the chunk that the piece stands
//! in and the list of chunks: hundreds of pointers, not 31,250.

use std::slice;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::store::piece::{PIECE_ROWS, Piece};
use crate::store::shareable::Shareable;

/// How many pieces stand in a chunk. Every chunk of a family but the last is full.
const CHUNK_PIECES: usize = 64;

type Chunk = SmallVec<[Arc<Piece>; CHUNK_PIECES]>;

/// The pieces of a family, in order.
#[derive(Clone, Debug, Default)]
pub struct Pieces(Held);

#[derive(Clone, Debug, Default)]
enum Held {
    #[default]
    None,
    /// Most families have one.
    One(Arc<Piece>),
    Many(Box<Chunks>),
}

/// A vector on the heap, because very many families do not need one.
type Chunks = SmallVec<[Arc<Chunk>; 2]>;

impl Pieces {
    /// How many pieces there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Held::None => 0,
            Held::One(_) => 1,
            Held::Many(chunks) => {
                let last = chunks.last().map_or(0, |chunk| chunk.len());
                chunks.len().saturating_sub(1) * CHUNK_PIECES + last
            }
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Held::None)
    }

    /// The piece with this number.
    #[inline]
    pub fn get(&self, number: usize) -> Option<&Arc<Piece>> {
        match &self.0 {
            Held::None => None,
            Held::One(piece) => (number == 0).then_some(piece),
            Held::Many(chunks) => chunks.get(number / CHUNK_PIECES)?.get(number % CHUNK_PIECES),
        }
    }

    /// The first piece.
    pub fn first(&self) -> Option<&Arc<Piece>> {
        self.get(0)
    }

    /// The piece with this number, to be changed: it and its chunk are copied if other versions share them.
    #[inline]
    pub fn get_mut(&mut self, number: usize) -> Option<&mut Piece> {
        self.place(number).map(Arc::make_mut)
    }

    /// The place of the piece with this number. Its chunk is copied if other versions share it.
    #[inline]
    fn place(&mut self, number: usize) -> Option<&mut Arc<Piece>> {
        match &mut self.0 {
            Held::None => None,
            Held::One(piece) => (number == 0).then_some(piece),
            Held::Many(chunks) => {
                Arc::make_mut(chunks.get_mut(number / CHUNK_PIECES)?).get_mut(number % CHUNK_PIECES)
            }
        }
    }

    /// Lets the pieces share their labels with other pieces that have the same.
    pub(super) fn share_labels(&mut self, known: &mut Shareable) {
        for number in 0..self.len() {
            if let Some(piece) = self.get_mut(number) {
                piece.share_labels(known);
            }
        }
    }

    /// Adds a piece behind all others.
    pub fn push(&mut self, piece: Arc<Piece>) {
        match &mut self.0 {
            Held::None => self.0 = Held::One(piece),
            Held::One(_) => {
                let Held::One(first) = std::mem::take(&mut self.0) else { return };
                let chunk = Arc::new(Chunk::from_iter([first, piece]));
                self.0 = Held::Many(Box::new(Chunks::from_iter([chunk])));
            }
            Held::Many(chunks) => match chunks.last_mut().filter(|chunk| chunk.len() < CHUNK_PIECES) {
                Some(chunk) => Arc::make_mut(chunk).push(piece),
                None => chunks.push(Arc::new(Chunk::from_iter([piece]))),
            },
        }
    }

    /// Puts a piece in the place of the one with its number, or behind the last.
    pub fn put(&mut self, number: usize, piece: Arc<Piece>) {
        match self.place(number) {
            Some(place) => *place = piece,
            None => self.push(piece),
        }
    }

    /// Takes away the pieces from this number on.
    pub fn truncate(&mut self, count: usize) {
        if count < self.len() {
            *self = self.iter().take(count).cloned().collect();
        }
    }

    /// The pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Piece>> {
        self.chunks().flatten()
    }

    /// The numbers of the pieces that are not the very ones that `before` has there, in order.
    pub fn differing<'a>(&'a self, before: &'a Pieces) -> impl Iterator<Item = usize> + 'a {
        let first_numbers = (0..).step_by(CHUNK_PIECES);
        first_numbers.zip(self.chunks()).flat_map(move |(first, chunk)| {
            let before = before.chunk(first / CHUNK_PIECES);
            // The same chunk starts at the same place.
            let looked_at = if std::ptr::eq(chunk, before) { &[] } else { chunk };
            let differs =
                move |at: &usize| before.get(*at).is_none_or(|before| !Arc::ptr_eq(before, &chunk[*at]));
            (0..looked_at.len()).filter(differs).map(move |at| first + at)
        })
    }

    fn chunk(&self, number: usize) -> &[Arc<Piece>] {
        match &self.0 {
            Held::One(piece) if number == 0 => slice::from_ref(piece),
            Held::Many(chunks) => chunks.get(number).map_or(&[], |chunk| chunk),
            _ => &[],
        }
    }

    fn chunks(&self) -> impl Iterator<Item = &[Arc<Piece>]> {
        let count = match &self.0 {
            Held::None => 0,
            Held::One(_) => 1,
            Held::Many(chunks) => chunks.len(),
        };
        (0..count).map(|number| self.chunk(number))
    }

    /// The label block of the series at this position, which must be there.
    #[inline]
    pub fn block(&self, position: u32) -> &str {
        let position = position as usize;
        self.get(position / PIECE_ROWS).map_or("", |piece| piece.block(position % PIECE_ROWS))
    }
}

impl FromIterator<Arc<Piece>> for Pieces {
    fn from_iter<I: IntoIterator<Item = Arc<Piece>>>(pieces: I) -> Pieces {
        let mut all = Pieces::default();
        pieces.into_iter().for_each(|piece| all.push(piece));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kind::Form;

    fn pieces(count: usize) -> Pieces {
        (0..count).map(|_| Arc::new(Piece::new(Form::Number))).collect()
    }

    #[test]
    fn pieces_are_found_by_their_numbers() {
        for count in [0, 1, 2, 63, 64, 65, 128, 200] {
            let held = pieces(count);
            assert_eq!((held.len(), held.is_empty(), held.iter().count()), (count, count == 0, count));
            for (number, piece) in held.iter().enumerate() {
                assert!(Arc::ptr_eq(piece, held.get(number).unwrap()));
            }
            assert!(held.get(count).is_none());
        }
    }

    #[test]
    fn a_version_shares_what_it_does_not_change() {
        for (count, changed) in [(1, &[0][..]), (2, &[1]), (200, &[0, 64, 130, 199])] {
            let before = pieces(count);
            let mut after = before.clone();
            for &number in changed {
                after.get_mut(number).unwrap();
            }
            assert_eq!(after.differing(&before).collect::<Vec<_>>(), changed);
            after.push(Arc::new(Piece::new(Form::Number)));
            let with_new: Vec<usize> = changed.iter().copied().chain([count]).collect();
            assert_eq!(after.differing(&before).collect::<Vec<_>>(), with_new);
            assert_eq!(before.differing(&after).collect::<Vec<_>>(), changed);
            assert_eq!(after.differing(&pieces(0)).count(), count + 1);
            assert_eq!(before.differing(&before).count(), 0);
        }
    }
}
