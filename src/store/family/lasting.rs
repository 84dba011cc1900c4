//! How long the series of a family stay, and when each was pushed last.

use crate::store::family::Family;
use crate::store::piece::{PIECE_ROWS, Piece};
use crate::store::sight::{Outlook, Sight, Standing};

/// Of families with more series than this, those go together that are over at about the same time.
const LARGE: u32 = 2048;

/// So many times in a TTL series of such a family go.
const PARTS_OF_TTL: i64 = 16;

/// For how long the series of a family stay when nobody pushes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasting {
    /// How long, in nanoseconds.
    pub ttl: i64,
    /// When the family was last pushed to before its series had a TTL: no series of which nothing else is known was
    /// pushed after that. In nanoseconds since the epoch.
    pub since: i64,
}

impl Family {
    /// For how long series stay; `None` where they have no TTL.
    #[inline]
    pub fn lasting(&self) -> Option<Lasting> {
        self.rare.as_ref()?.lasting
    }

    /// Gives a family the TTL that it had before.
    pub(in crate::store) fn restore_lasting(&mut self, lasting: Option<Lasting>) {
        if self.lasting() != lasting {
            self.set_rare(|rare| rare.lasting = lasting);
        }
    }

    /// Takes the TTL of a push, before the push itself.
    #[inline]
    pub(in crate::store) fn set_ttl(&mut self, ttl: Option<i64>) {
        let before = self.lasting();
        if before.map(|before| before.ttl) != ttl {
            let since = before.map_or(self.pushed_at, |before| before.since);
            self.restore_lasting(ttl.map(|ttl| Lasting { ttl, since }));
        }
    }

    /// Whether some series are over earlier with this TTL than before.
    #[inline]
    pub(in crate::store) fn is_shortened_by(&self, ttl: Option<i64>) -> bool {
        ttl.is_some_and(|ttl| self.lasting().is_none_or(|before| ttl < before.ttl))
    }

    /// When the series at this position was pushed last, as far as is known: not later than this. In nanoseconds since
    /// the epoch; `None` where series have no TTL.
    pub fn last_push(&self, position: u32) -> Option<i64> {
        let lasting = self.lasting()?;
        let piece = self.pieces.get(position as usize / PIECE_ROWS)?;
        Some(lasting.last_push(piece, position as usize % PIECE_ROWS))
    }

    /// The positions of the series whose TTL is over, in order.
    pub(in crate::store) fn over(&self, sight: Sight) -> Vec<u32> {
        let Some(lasting) = self.lasting() else { return Vec::new() };
        let rows = self.pieces.iter().flat_map(|piece| (0..piece.len()).map(move |row| (piece, row)));
        let is_over = |piece, row| sight.of(lasting.last_push(piece, row), lasting.ttl) == Standing::Over;
        (0..)
            .zip(rows)
            .filter(|(_, (piece, row))| is_over(piece, *row))
            .map(|(position, _)| position)
            .collect()
    }

    /// Looks whether series of a piece are over; `None` where they have no TTL, or have gone.
    pub(in crate::store) fn outlook(&self, piece: u32, sight: Sight) -> Option<Outlook> {
        let (lasting, held) = (self.lasting()?, self.pieces.get(piece as usize)?);
        let mut outlook = Outlook::default();
        for row in 0..held.len() {
            outlook.add(lasting.last_push(held, row), lasting.ttl, sight);
        }
        outlook.next = outlook.next.map(|next| self.together(next));
        Some(outlook)
    }

    /// When the first series of each piece is over, from this piece on, if nobody pushes it: the number of the piece
    /// and the time, in nanoseconds since the epoch. None where series have no TTL.
    pub(in crate::store) fn ends_from(&self, piece: u32) -> impl Iterator<Item = (u32, i64)> {
        let lasting = self.lasting();
        let numbers = piece..lasting.map_or(piece, |_| self.pieces.len() as u32);
        numbers.filter_map(move |number| {
            let (lasting, held) = (lasting?, self.pieces.get(number as usize)?);
            let first = (0..held.len()).map(|row| lasting.last_push(held, row)).min()?;
            Some((number, self.together(first.saturating_add(lasting.ttl))))
        })
    }

    /// The time at which series of a large family go that are over at this time. The family is rebuilt without them,
    /// which costs what the family has, so that it is not done for each of them.
    fn together(&self, end: i64) -> i64 {
        let Some(lasting) = self.lasting().filter(|_| self.len > LARGE) else { return end };
        let every = (lasting.ttl / PARTS_OF_TTL).max(1);
        end.saturating_add(every - 1) / every * every
    }
}

impl Lasting {
    /// When the series of a row was pushed last, as far as is known: not later than this; in nanoseconds since the
    /// epoch.
    pub fn last_push(self, piece: &Piece, row: usize) -> i64 {
        piece.pushed().get(row).map_or(self.since, |pushed| self.since.max(*pushed))
    }
}
