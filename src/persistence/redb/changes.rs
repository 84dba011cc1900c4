//! Which rows a commit writes: those of the pieces that differ between two versions, told by their pointers.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::persistence::redb::batch::Batch;
use crate::store::difference::{Difference, State, Versions};
use crate::store::family::Family;
use crate::store::group::Group;
use crate::store::piece::Piece;

/// Up to this many series the values of a group are written together: one row costs less than many.
const SMALL_SERIES: u64 = 64;

/// How the values of groups lie on disk: together, until a group has outgrown that.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The groups whose values lie apart, by their epochs.
    large: HashSet<u64, RandomState>,
}

impl Layout {
    /// The values of this group lie apart.
    pub(super) fn lies_apart(&mut self, epoch: u64) {
        self.large.insert(epoch);
    }

    /// Whether the values of a group lie together. Where they do not fit any more, they lie apart from now on.
    fn is_small(&mut self, group: &Group) -> bool {
        if self.large.contains(&group.epoch) {
            return false;
        }
        let fits = group.series() <= SMALL_SERIES && group.families().iter().all(|f| f.pieces().len() <= 1);
        if !fits {
            self.large.insert(group.epoch);
        }
        fits
    }

    /// Adds everything that differs.
    pub(super) fn difference(&mut self, difference: &Difference, batch: &mut Batch) {
        for versions in &difference.groups {
            self.group(versions, batch);
        }
        for (name, kind) in &difference.names {
            batch.kind(name, *kind);
        }
        for record in &difference.keys {
            batch.key(record);
        }
        if let Some(first) = difference.first_key {
            batch.keys_gone(0..first);
        }
    }

    /// Adds everything that there is.
    pub(super) fn state(&mut self, state: &State, batch: &mut Batch) {
        for group in &state.groups {
            self.whole_group(group, batch);
        }
        for (name, kind) in &state.names {
            batch.kind(name, Some(*kind));
        }
        for record in &state.keys {
            batch.key(record);
        }
    }

    /// Adds what differs between two versions of a group.
    fn group(&mut self, Versions { before, after }: &Versions, batch: &mut Batch) {
        let is_same = |before: &&Arc<Group>| after.as_ref().is_some_and(|after| after.epoch == before.epoch);
        if let Some(gone) = before.as_ref().filter(|before| !is_same(before)) {
            batch.group_gone(gone.epoch);
            self.large.remove(&gone.epoch);
        }
        let Some(after) = after else { return };
        match before.as_ref().filter(is_same) {
            Some(before) => self.changed_group(before, after, batch),
            None => self.whole_group(after, batch),
        }
    }

    fn changed_group(&mut self, before: &Group, after: &Group, batch: &mut Batch) {
        let epoch = after.epoch;
        let was_small = !self.large.contains(&epoch);
        let is_small = self.is_small(after);
        for family in before.families() {
            let has_gone = |now: &Family| now.number != family.number;
            if after.family(family.definition.name()).is_none_or(has_gone) {
                batch.family_gone(epoch, family.number);
            }
        }
        for (family, earlier) in changed_families(before, after) {
            let Some(earlier) = earlier else {
                whole_names(epoch, family, batch);
                continue;
            };
            let count = family.pieces().len();
            if count < earlier.pieces().len() {
                batch.pieces_gone(epoch, family.number, count as u32);
            }
            if family.metadata != earlier.metadata {
                batch.family(epoch, family);
            }
            for number in family.pieces().differing(earlier.pieces()) {
                let Some(piece) = family.pieces().get(number) else { continue };
                if earlier.pieces().get(number).is_none_or(|earlier| !has_labels_of(piece, earlier)) {
                    batch.labels(epoch, family.number, number as u32, piece);
                }
            }
        }
        batch.times(epoch, after.times, is_small.then(|| after.families()));
        if is_small {
            return;
        }
        if was_small {
            after.families().iter().for_each(|family| all_values(epoch, family, batch));
            return;
        }
        for (family, earlier) in changed_families(before, after) {
            let Some(earlier) = earlier else {
                all_values(epoch, family, batch);
                continue;
            };
            // The first row holds the push time of the family.
            let differing = family.pieces().differing(earlier.pieces());
            let others = differing.filter(|number| *number > 0);
            std::iter::once(0).chain(others).for_each(|number| batch.values(epoch, family, number as u32));
        }
    }

    /// Adds everything that there is of a group.
    pub(super) fn whole_group(&mut self, group: &Group, batch: &mut Batch) {
        let epoch = group.epoch;
        let is_small = self.is_small(group);
        batch.group(epoch, &group.labels);
        group.families().iter().for_each(|family| whole_names(epoch, family, batch));
        batch.times(epoch, group.times, is_small.then(|| group.families()));
        if !is_small {
            group.families().iter().for_each(|family| all_values(epoch, family, batch));
        }
    }
}

/// The families that are not the same in both versions of a group, with those that they were before. Both are sorted
/// by name.
fn changed_families<'a>(
    before: &'a Group,
    after: &'a Group,
) -> impl Iterator<Item = (&'a Family, Option<&'a Family>)> {
    let mut earlier = before.families().iter().peekable();
    after.families().iter().filter_map(move |family| {
        let name = family.definition.name();
        while earlier.next_if(|earlier| earlier.definition.name() < name).is_some() {}
        let earlier = earlier.next_if(|earlier| earlier.definition.name() == name);
        if earlier.is_some_and(|earlier| Arc::ptr_eq(earlier, family)) {
            return None;
        }
        let earlier = earlier.filter(|earlier| earlier.number == family.number);
        Some((&**family, earlier.map(|earlier| &**earlier)))
    })
}

/// Whether two pieces have the same labels and start times.
fn has_labels_of(piece: &Piece, other: &Piece) -> bool {
    piece.len() == other.len()
        && piece.blocks() == other.blocks()
        && (0..piece.len())
            .all(|at| piece.start(at) == other.start(at) && piece.block(at).len() == other.block(at).len())
}

fn whole_names(group: u64, family: &Family, batch: &mut Batch) {
    batch.family(group, family);
    for (number, piece) in (0..).zip(family.pieces().iter()) {
        batch.labels(group, family.number, number, piece);
    }
}

fn all_values(group: u64, family: &Family, batch: &mut Batch) {
    (0..family.pieces().len().max(1) as u32).for_each(|number| batch.values(group, family, number));
}
