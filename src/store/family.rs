//! A family of one group: its series in pieces, and how they are found.

mod bounds;
mod continuation;
mod lasting;
mod overflow;
mod sources;
mod state_sets;

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::model::exemplar::Exemplars;
use crate::model::kind::Kind;
use crate::model::merge::Merge;
use crate::model::push::{self, Push};
use crate::model::time::Moment;
use crate::store::definition::{Definition, Definitions, Lease};
use crate::store::index::Index;
use crate::store::metadata::{Metadata, MetadataRef, NO_METADATA};
use crate::store::piece::{Fresh, PIECE_ROWS, Piece, RowValue, told_start};
use crate::store::pieces::Pieces;
use crate::store::shareable::Shareable;
use crate::store::states::States;

pub use lasting::Lasting;
pub use overflow::{Overflowing, overflow_block};

pub(in crate::store) use bounds::bounds_differ;

/// Larger families have an index. Smaller ones are searched series by series.
const INDEXED_FROM: u32 = 8;

/// What a family takes beside its texts and series, in bytes.
const FAMILY_BYTES: u64 = 256;

/// A family of one group: one version of it.
#[derive(Clone, Debug)]
pub struct Family {
    /// The name and type.
    pub definition: Arc<Definition>,
    /// The help text and unit of the latest push that gave them. Groups share them.
    metadata: Option<Arc<Metadata>>,
    /// When the latest push with this family was accepted, in nanoseconds since the epoch.
    pub pushed_at: i64,
    /// The number of this family among those of all groups with the same name.
    pub slot: u32,
    /// How its values are merged, if the latest push was under a rule that says so.
    pub rule: Option<Merge>,
    /// Changes when positions stand for other series.
    pub epoch: u64,
    /// Names the family within its group, on disk too.
    pub number: u32,
    pieces: Pieces,
    len: u32,
    /// See [`Piece::row_bytes`].
    bytes: u64,
    /// `None` for most families, which are small.
    rare: Option<Arc<Rare>>,
}

// Very many families have one series. With the counts of its `Arc`, such a family takes 96 bytes beside its piece.
const _: () = assert!(size_of::<Family>() <= 80);

/// What few families have.
#[derive(Clone, Debug, Default)]
struct Rare {
    /// Of a family of more than [`INDEXED_FROM`] series.
    index: Option<Index>,
    /// Of a family of state sets, once they were needed.
    states: Option<States>,
    /// Where series have a TTL.
    lasting: Option<Lasting>,
}

/// Positions of series. Most families of a push have few.
pub type Positions = SmallVec<[u32; 4]>;

/// Where a pushed series belongs: its position, or a new one.
pub const NEW: u32 = u32::MAX;

/// In the place of a position: the series is added to the overflow series of its family.
pub const FOLDED: u32 = u32::MAX - 1;

/// Whether this is the position of a series that is there.
fn is_known(position: u32) -> bool {
    position < FOLDED
}

/// Where the series of a pushed family belong in the family that is there.
#[derive(Debug)]
pub struct Placement {
    /// A position for each pushed series, [`NEW`] for those that are not there yet.
    pub positions: Positions,
    /// How many are new.
    pub new: usize,
    /// Where there are [`FOLDED`] ones.
    pub overflow: Option<Box<Overflowing>>,
}

impl Placement {
    /// Whether there will be more series.
    pub fn adds_series(&self) -> bool {
        self.new > 0 || self.overflow.as_ref().is_some_and(|overflow| overflow.is_new)
    }

    /// One without an overflow series.
    pub fn of(positions: Positions, new: usize) -> Placement {
        Placement { positions, new, overflow: None }
    }
}

impl Family {
    /// A family without series.
    pub fn new(lease: Lease, epoch: u64, number: u32) -> Family {
        Family {
            definition: lease.definition,
            metadata: None,
            pushed_at: 0,
            slot: lease.slot,
            rule: None,
            epoch,
            number,
            pieces: Pieces::default(),
            len: 0,
            bytes: 0,
            rare: None,
        }
    }

    /// The help text and unit of the latest push that gave them.
    pub fn metadata(&self) -> &Metadata {
        self.metadata.as_deref().unwrap_or(&NO_METADATA)
    }

    /// Sets the help text and unit. `metadata` comes from [`Definitions::metadata`].
    pub fn set_metadata(&mut self, metadata: Option<Arc<Metadata>>) {
        self.metadata = metadata;
    }

    /// Gives a family without series those that it had before. All pieces but the last must be full.
    pub fn restore(&mut self, pieces: Pieces) {
        self.len = pieces.iter().map(|piece| piece.len() as u32).sum();
        self.bytes = pieces.iter().map(|piece| piece.bytes()).sum();
        self.pieces = pieces;
        self.forget_lookup();
        self.index_new_series();
    }

    /// Lets series that are new to other groups share the bucket layout of this family.
    pub fn share_layout(&self, definitions: &mut Definitions) {
        let first = self.pieces.first().filter(|piece| !piece.is_empty()).map(|piece| piece.value(0));
        if let Some(RowValue::Histogram(histogram)) = first {
            definitions.share_layout(self.definition.name(), histogram.layout());
        }
    }

    /// How many series there are.
    pub fn series_count(&self) -> u32 {
        self.len
    }

    /// The size of everything in bytes, roughly.
    pub fn bytes(&self) -> u64 {
        let MetadataRef { help, unit } = self.metadata().texts();
        own_bytes(self.definition.name(), [help, unit]) + self.bytes
    }

    /// The size of the series in bytes, roughly.
    pub fn series_bytes(&self) -> u64 {
        self.bytes
    }

    /// By how many bytes the existing series grow when pushed ones are merged into them.
    pub fn growth(&self, push: &Push, pushed: &push::Family, placement: &Placement, merge: Merge) -> i64 {
        let known = push.series(pushed).iter().zip(&placement.positions).filter(|(_, at)| is_known(**at));
        let growth = known.filter_map(|(one, &at)| {
            let piece = self.pieces.get(at as usize / PIECE_ROWS)?;
            Some(piece.growth(at as usize % PIECE_ROWS, push, one, merge))
        });
        growth.sum()
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// The label blocks of the series from this position on, in order.
    pub fn blocks_from(&self, position: u32) -> impl Iterator<Item = &str> {
        (position..self.len).map(|position| self.block(position))
    }

    fn block(&self, position: u32) -> &str {
        self.pieces.block(position)
    }

    /// The position of the series with this label block.
    pub fn find(&self, block: &str) -> Option<u32> {
        match self.rare.as_ref().and_then(|rare| rare.index.as_ref()) {
            Some(index) => index.find(block, &self.pieces),
            None => (0..self.len).find(|&position| self.block(position) == block),
        }
    }

    /// The same where the series at position `expected` is tried first.
    pub fn find_near(&self, block: &str, expected: u32) -> Option<u32> {
        let is_expected = expected < self.len && self.block(expected) == block;
        if is_expected { Some(expected) } else { self.find(block) }
    }

    /// Finds out where each series of a pushed family belongs.
    ///
    /// Clients push the same series in the same order again and again, so the series after the one
    /// just found is tried before the index is asked.
    ///
    /// # Errors
    ///
    /// The position in the push of a series that stands in it twice.
    pub fn place(&self, push: &Push, pushed: &push::Family) -> Result<Placement, usize> {
        let series = push.series(pushed);
        let mut positions = Positions::with_capacity(series.len());
        let mut new = 0;
        let mut expected = 0;
        let mut is_ascending = true;
        for one in series {
            let block = push.block(one);
            match self.find_near(block, expected) {
                Some(position) => {
                    is_ascending &= position >= expected;
                    expected = position + 1;
                    positions.push(position);
                }
                None => {
                    new += 1;
                    positions.push(NEW);
                }
            }
        }
        if !is_ascending || new > 1 {
            check_unique(push, series)?;
        }
        Ok(Placement::of(positions, new))
    }

    /// Whether a placement means exactly the series that are there, in their order.
    pub fn is_identity(&self, placement: &Placement) -> bool {
        placement.new == 0
            && placement.positions.len() == self.len as usize
            && placement.positions.iter().enumerate().all(|(at, &position)| at == position as usize)
    }

    /// Merges pushed series into this family.
    pub fn merge(
        &mut self,
        push: &Push,
        pushed: &push::Family,
        placement: &Placement,
        merge: Merge,
        now: Moment,
        known: &mut Shareable,
    ) {
        let series = push.series(pushed);
        let since = self.lasting().map(|lasting| lasting.since);
        let mut first = 0;
        while let Some(position) = placement.positions.get(first) {
            let number = *position as usize / PIECE_ROWS;
            let is_in_piece = |position: &&u32| **position as usize / PIECE_ROWS == number;
            let positions = &placement.positions[first..];
            let count = positions.iter().take_while(is_in_piece).count();
            // No piece has the number that those have which are not there.
            if let Some(piece) = self.pieces.get_mut(number) {
                let rows = positions.iter().map(|position| *position as usize % PIECE_ROWS);
                let grown = piece.update(push, rows.zip(&series[first..first + count]), merge, now, since);
                self.bytes = self.bytes.saturating_add_signed(grown);
            }
            first += count;
        }
        if pushed.kind == Kind::StateSet && series.len() < self.len as usize + placement.new {
            self.turn_off_absent_states(push, pushed);
        }
        if placement.new > 0 {
            let fresh: Vec<Fresh<'_>> = series
                .iter()
                .zip(&placement.positions)
                .filter(|(_, position)| **position == NEW)
                .map(|(one, _)| fresh(push, one))
                .collect();
            self.append(push, pushed, &fresh, merge, now, known);
        }
        if placement.overflow.is_some() {
            self.add_overflow(push, pushed, placement, merge, now, known);
        }
    }

    /// Puts the pushed series in the place of all that are there.
    pub fn replace(
        &mut self,
        push: &Push,
        pushed: &push::Family,
        placement: &Placement,
        now: Moment,
        epoch: u64,
        known: &mut Shareable,
    ) {
        if self.is_identity(placement) && self.form_is(pushed) {
            self.merge(push, pushed, placement, Merge::Last, now, known);
            self.restart(push, pushed);
            return;
        }
        self.pieces = Pieces::default();
        self.len = 0;
        self.bytes = 0;
        self.forget_lookup();
        self.epoch = epoch;
        let placed = push.series(pushed).iter().zip(&placement.positions);
        let all = placed.filter(|(_, position)| **position != FOLDED).map(|(one, _)| fresh(push, one));
        self.append(push, pushed, &all.collect::<Vec<_>>(), Merge::Last, now, known);
        if placement.overflow.is_some() {
            self.add_overflow(push, pushed, placement, Merge::Last, now, known);
        }
    }

    /// Takes out the series at these positions, which come in order. The positions of those behind them change, so
    /// that the family gets this epoch.
    pub fn remove(&mut self, positions: &[u32], epoch: u64) {
        let Some(first) = positions.first() else { return };
        // Full pieces before it stay unchanged, and are shared with other versions.
        let kept = *first as usize / PIECE_ROWS;
        let mut gone = positions.iter().map(|position| *position as usize).peekable();
        let moved = (kept * PIECE_ROWS..self.len as usize).filter(|at| gone.next_if_eq(at).is_none());
        let moved: Vec<usize> = moved.collect();
        let rebuilt = moved.chunks(PIECE_ROWS).map(|positions| self.piece_of(positions));
        let pieces: Pieces = self.pieces.iter().take(kept).cloned().chain(rebuilt).collect();
        self.epoch = epoch;
        self.restore(pieces);
    }

    /// A piece of the series at these positions.
    fn piece_of(&self, positions: &[usize]) -> Arc<Piece> {
        let place = |at: &usize| Some((self.pieces.get(*at / PIECE_ROWS)?, *at % PIECE_ROWS));
        let rows = || positions.iter().filter_map(place);
        let mut exemplars = Exemplars::default();
        for ((piece, at), row) in rows().zip(0..) {
            exemplars.set(row, piece.exemplars(at).iter().map(|(_, placed)| placed.clone()).collect());
        }
        let form = self.definition.kind().form();
        let form = self.pieces.first().map_or(form, |piece| piece.form());
        let values = rows().map(|(piece, at)| (piece.block(at), piece.start(at), piece.owned(at)));
        let holders = rows().map(|(piece, at)| piece.holders(at));
        let piece = Piece::of(form, values).with_exemplars(exemplars).with_holders(holders);
        let Some(lasting) = self.lasting() else { return Arc::new(piece) };
        let last = |at: &usize| self.last_push(*at as u32).unwrap_or(lasting.since);
        Arc::new(piece.with_pushed(positions.iter().map(last).collect()))
    }

    /// Gives the series, which are those of the push in its order, the start times that it tells.
    fn restart(&mut self, push: &Push, pushed: &push::Family) {
        for (at, one) in push.series(pushed).iter().enumerate() {
            let (number, row) = (at / PIECE_ROWS, at % PIECE_ROWS);
            let start = told_start(push, one);
            if self.pieces.get(number).is_some_and(|piece| piece.start(row) != start)
                && let Some(piece) = self.pieces.get_mut(number)
            {
                piece.set_start(row, start);
            }
        }
    }

    fn form_is(&self, pushed: &push::Family) -> bool {
        self.pieces.first().is_none_or(|piece| piece.form() == pushed.kind.form())
    }

    fn append(
        &mut self,
        push: &Push,
        pushed: &push::Family,
        mut fresh: &[Fresh<'_>],
        merge: Merge,
        now: Moment,
        known: &mut Shareable,
    ) {
        self.add_states(push.name(pushed), fresh);
        let since = self.lasting().map(|lasting| lasting.since);
        while !fresh.is_empty() {
            let used = self.len as usize % PIECE_ROWS;
            if used == 0 {
                self.pieces.push(Arc::new(Piece::new(pushed.kind.form())));
            }
            let (first, later) = fresh.split_at(fresh.len().min(PIECE_ROWS - used));
            if let Some(piece) = self.pieces.get_mut(self.len as usize / PIECE_ROWS) {
                let before = piece.len();
                piece.append(push, first, merge, now, known, since);
                self.bytes += (before..piece.len()).map(|at| piece.row_bytes(at)).sum::<u64>();
            }
            self.len += first.len() as u32;
            fresh = later;
        }
        self.index_new_series();
    }

    /// Forgets the index and the states, when positions come to stand for other series.
    fn forget_lookup(&mut self) {
        if self.rare.is_some() {
            self.set_rare(|rare| (rare.index, rare.states) = (None, None));
        }
    }

    fn set_rare(&mut self, set: impl FnOnce(&mut Rare)) {
        set(Arc::make_mut(self.rare.get_or_insert_default()));
        self.rare.take_if(|rare| rare.index.is_none() && rare.states.is_none() && rare.lasting.is_none());
    }

    /// Brings the index up to the series that are there.
    fn index_new_series(&mut self) {
        if self.len <= INDEXED_FROM {
            return;
        }
        let rare = Arc::make_mut(self.rare.get_or_insert_default());
        rare.index.get_or_insert_default().extend(&self.pieces, self.len);
    }
}

fn fresh<'a>(push: &'a Push, series: &'a push::Series) -> Fresh<'a> {
    Fresh { block: push.block(series), series }
}

/// What a family takes beside its series, in bytes.
fn own_bytes(name: &str, texts: [Option<&str>; 2]) -> u64 {
    let texts = texts.into_iter().flatten().map(str::len).sum::<usize>();
    FAMILY_BYTES + (name.len() + texts) as u64
}

/// What [`Family::bytes`] of a pushed family will be without its series.
pub fn pushed_own_bytes(push: &Push, pushed: &push::Family) -> u64 {
    own_bytes(push.name(pushed), [push.help(pushed), push.unit(pushed)])
}

/// Checks that no series stands in a push twice.
///
/// # Errors
///
/// The position of the second one.
pub fn check_unique(push: &Push, series: &[push::Series]) -> Result<(), usize> {
    let hasher = RandomState::default();
    let mut seen: HashTable<usize> = HashTable::with_capacity(series.len());
    for (at, one) in series.iter().enumerate() {
        let block = push.block(one);
        let hash = |&other: &usize| hasher.hash_one(push.block(&series[other]));
        let is_same = |&other: &usize| push.block(&series[other]) == block;
        match seen.entry(hasher.hash_one(block), is_same, hash) {
            hashbrown::hash_table::Entry::Occupied(_) => return Err(at),
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                vacant.insert(at);
            }
        }
    }
    Ok(())
}
