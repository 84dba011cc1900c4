//! What has changed since the last commit, and what stood there before.
//!
//! A store that is kept on disk notes which pieces a push touches, so that a commit writes those and
//! no others. A store that must not show anything before it is on disk also keeps the versions that
//! were published: snapshots show these, and a commit that fails goes back to them.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::kind::Kind;
use crate::store::definition::Definition;
use crate::store::family::{Family, Metadata, Pieces};
use crate::store::group::GroupLabels;
use crate::store::idempotency::Record;
use crate::store::piece::Piece;

/// What a store notes of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracking {
    /// Nothing: it lives in memory only.
    #[default]
    Nothing,
    /// What to write. Changes are visible at once.
    Touched,
    /// What to write, and what was there before. Changes are visible once they are published.
    Versions,
}

/// One difference between the store and what is on disk, with its new state. Groups are named by
/// their epoch, families by their number in the group.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// The group has gone, with all that is in it.
    GroupGone {
        /// The group.
        group: u64,
    },
    /// The family has gone, with all that is in it.
    FamilyGone {
        /// The group.
        group: u64,
        /// The family.
        family: u32,
    },
    /// A group is new.
    Group {
        /// The group.
        group: u64,
        /// Its labels.
        labels: &'a GroupLabels,
    },
    /// The times of a group.
    Times {
        /// The group.
        group: u64,
        /// Its times.
        times: Times,
    },
    /// The times of a small group, with the values of all of its families. Of a group that is written
    /// like this there are no [`Change::Values`].
    Small {
        /// The group.
        group: u64,
        /// Its times.
        times: Times,
        /// Its families, none with more than one piece.
        families: &'a [Family],
    },
    /// A family is new, or other things are told about it.
    Family {
        /// The group.
        group: u64,
        /// The family.
        family: u32,
        /// Its name.
        name: &'a str,
        /// What is told about it.
        metadata: &'a Metadata,
    },
    /// The labels and start times of a piece.
    Labels {
        /// Which piece.
        at: PieceKey,
        /// The piece.
        piece: &'a Piece,
    },
    /// The values of a piece, and with those of its first piece the push time of the family. A family
    /// without series has a first piece that is not there.
    Values {
        /// Which piece.
        at: PieceKey,
        /// The latest accepted push with the family, in nanoseconds since the epoch.
        pushed_at: i64,
        /// The piece.
        piece: Option<&'a Piece>,
    },
    /// The family has no pieces from this one on.
    PiecesGone {
        /// The first that has gone.
        from: PieceKey,
    },
    /// The type of a metric name.
    Kind {
        /// The name.
        name: &'a str,
        /// The type; none when the name has gone.
        kind: Option<Kind>,
    },
    /// An idempotency key is remembered.
    Key(&'a Record),
    /// Idempotency keys with these numbers are forgotten.
    KeysGone {
        /// The first of them.
        from: u64,
        /// The first that is not.
        to: u64,
    },
}

/// The times of a group, in nanoseconds since the epoch, and how often it was pushed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When the first request came.
    pub created_at: i64,
    /// The latest accepted push; 0 for never.
    pub pushed_at: i64,
    /// The latest refused push; 0 for never.
    pub failed_at: i64,
    /// How many pushes were accepted since the group is there.
    pub pushes: u64,
}

impl Times {
    /// The times of two groups that become one.
    pub fn join(&mut self, other: Times) {
        self.created_at = self.created_at.min(other.created_at);
        self.pushed_at = self.pushed_at.max(other.pushed_at);
        self.failed_at = self.failed_at.max(other.failed_at);
        self.pushes += other.pushes;
    }

    /// Whether the latest push that could be parsed was accepted.
    pub fn last_push_successful(&self) -> bool {
        self.failed_at <= self.pushed_at
    }
}

/// A piece of a family of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceKey {
    /// The group.
    pub group: u64,
    /// The family.
    pub family: u32,
    /// The number of the piece in the family.
    pub number: u32,
}

/// A set of small numbers.
#[derive(Debug, Default)]
pub struct Numbers {
    words: SmallVec<[u64; 1]>,
}

impl Numbers {
    /// Adds a number; whether it is new.
    pub fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1u64 << (number % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    /// Whether the number is in the set.
    pub fn has(&self, number: u32) -> bool {
        self.words.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// The numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let bits = |word: u64| (0..64u32).filter(move |bit| word >> bit & 1 == 1);
        self.words
            .iter()
            .enumerate()
            .filter(|(_, word)| **word != 0)
            .flat_map(move |(at, word)| bits(*word).map(move |bit| at as u32 * 64 + bit))
    }
}

/// The changes of one family.
#[derive(Debug)]
pub struct FamilyChanges {
    /// Whether the family was not there before.
    pub is_new: bool,
    /// Whether its help text or unit changed.
    pub has_new_metadata: bool,
    /// The pieces whose values changed.
    pub values: Numbers,
    /// The pieces whose labels or start times changed.
    pub labels: Numbers,
    /// How many pieces there were.
    pub pieces_before: u32,
    /// The published version, where one is kept and there was one.
    pub before: Option<FamilyVersion>,
}

/// A published version of a family.
#[derive(Debug)]
pub struct FamilyVersion {
    /// The name and type.
    pub definition: Arc<Definition>,
    /// Help text and unit.
    pub metadata: Metadata,
    /// The latest accepted push with the family, in nanoseconds since the epoch.
    pub pushed_at: i64,
    /// See [`Family::epoch`].
    pub epoch: u64,
    /// How many series there were.
    pub len: u32,
    /// The pieces that differ from those of the family.
    pub pieces: PiecesBefore,
}

/// The pieces of a published version.
#[derive(Debug)]
pub enum PiecesBefore {
    /// Those of the family, but for these.
    Touched(Vec<(u32, Arc<Piece>)>),
    /// All others.
    All(Pieces),
}

impl FamilyChanges {
    /// No changes yet to a family that was there.
    pub fn of(family: &Family, tracking: Tracking) -> FamilyChanges {
        let before = (tracking == Tracking::Versions).then(|| FamilyVersion {
            definition: family.definition.clone(),
            metadata: family.metadata.clone(),
            pushed_at: family.pushed_at,
            epoch: family.epoch,
            len: family.series_count(),
            pieces: PiecesBefore::Touched(Vec::new()),
        });
        FamilyChanges {
            is_new: false,
            has_new_metadata: false,
            values: Numbers::default(),
            labels: Numbers::default(),
            pieces_before: family.pieces().len() as u32,
            before,
        }
    }

    /// The changes of a family that was not there.
    pub fn of_new() -> FamilyChanges {
        FamilyChanges {
            is_new: true,
            has_new_metadata: true,
            values: Numbers::default(),
            labels: Numbers::default(),
            pieces_before: 0,
            before: None,
        }
    }

    /// Notes that the values of a piece are about to change.
    #[inline]
    pub fn touch(&mut self, number: u32, piece: &Arc<Piece>) {
        if self.values.insert(number)
            && number < self.pieces_before
            && let Some(FamilyVersion { pieces: PiecesBefore::Touched(touched), .. }) = &mut self.before
        {
            touched.push((number, piece.clone()));
        }
    }

    /// Notes that other pieces are about to take the place of all.
    pub fn replace_all(&mut self, pieces: Pieces) {
        if let Some(before) = &mut self.before
            && let PiecesBefore::Touched(_) = before.pieces
        {
            before.pieces = PiecesBefore::All(before.pieces_among(&pieces));
        }
    }
}

impl FamilyVersion {
    /// The pieces of this version, where those of the family are `now`.
    pub fn pieces_among(&self, now: &Pieces) -> Pieces {
        match &self.pieces {
            PiecesBefore::All(pieces) => pieces.clone(),
            PiecesBefore::Touched(touched) => {
                let mut pieces = now.clone();
                for (number, piece) in touched {
                    pieces[*number as usize] = piece.clone();
                }
                pieces.truncate((self.len as usize).div_ceil(crate::store::piece::PIECE_ROWS));
                pieces
            }
        }
    }
}

/// The changes of one group.
#[derive(Debug, Default)]
pub struct GroupChanges {
    /// Whether the group was not there before.
    pub is_new: bool,
    /// The published times of the group.
    pub times_before: Times,
    /// The families that have gone and were there before: their numbers, and where published versions
    /// are kept the families themselves.
    pub gone: Vec<(u32, Option<Family>)>,
    /// The numbers of the idempotency keys that came with the changes.
    pub keys: SmallVec<[u64; 1]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_a_set() {
        let mut numbers = Numbers::default();
        for number in [3, 64, 3, 200, 0] {
            numbers.insert(number);
        }
        assert!(!numbers.insert(200) && numbers.insert(63));
        assert_eq!(numbers.iter().collect::<Vec<_>>(), [0, 3, 63, 64, 200]);
    }
}
