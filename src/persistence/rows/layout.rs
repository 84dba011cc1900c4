//! Finds the rows that a commit writes: those of pieces whose pointers differ between two versions.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::persistence::rows::batch::Batch;
use crate::store::difference::{Difference, State, Versions};
use crate::store::family::Family;
use crate::store::group::Group;
use crate::store::piece::Piece;

/// The values of a group with up to this many series are in one row, which costs less than many rows.
const SMALL_SERIES: u64 = 64;

/// How the values of groups are stored: in one row, until a group has become too large for that.
#[derive(Debug, Default)]
pub(in crate::persistence) struct Layout {
    /// The groups whose values have rows of their own, by their epochs.
    large: HashSet<u64, RandomState>,
    /// The groups that the latest difference has added to these, or taken from them.
    turned: Vec<u64>,
}

impl Layout {
    /// Notes that the values of this group have rows of their own.
    pub(in crate::persistence) fn lies_apart(&mut self, epoch: u64) {
        self.large.insert(epoch);
    }

    /// Whether the values of a group are in one row. Once the group is too large, they have rows of their own for
    /// good.
    fn is_small(&mut self, group: &Group) -> bool {
        if self.large.contains(&group.epoch) {
            return false;
        }
        let fits = group.series() <= SMALL_SERIES && group.families().iter().all(|f| f.pieces().len() <= 1);
        if !fits {
            self.large.insert(group.epoch);
            self.turned.push(group.epoch);
        }
        fits
    }

    /// Adds a difference.
    pub(in crate::persistence) fn difference(&mut self, difference: &Difference, batch: &mut Batch) {
        self.turned.clear();
        for epoch in &difference.gone {
            batch.group_gone(*epoch);
            self.forget(*epoch);
        }
        for Versions { before, after } in &difference.groups {
            match before {
                Some(before) => self.changed_group(before, after, batch),
                None => self.whole_group(after, batch),
            }
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

    /// Adds the whole state.
    pub(in crate::persistence) fn state(&mut self, state: &State, batch: &mut Batch) {
        self.large.clear();
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

    /// Forgets a deleted group.
    pub(in crate::persistence) fn forget(&mut self, epoch: u64) {
        if self.large.remove(&epoch) {
            self.turned.push(epoch);
        }
    }

    /// Takes back the latest difference, which was not kept.
    #[cfg(feature = "postgres")]
    pub(in crate::persistence) fn revert(&mut self) {
        for epoch in self.turned.drain(..) {
            if !self.large.remove(&epoch) {
                self.large.insert(epoch);
            }
        }
    }

    /// Adds the difference between two versions of a group.
    fn changed_group(&mut self, before: &Group, after: &Group, batch: &mut Batch) {
        let epoch = after.epoch;
        let was_small = !self.large.contains(&epoch);
        let is_small = self.is_small(after);
        for (family, now) in changed_families(after, before) {
            if now.is_none() {
                batch.family_gone(epoch, family.number);
            }
        }
        // If all values are in one row, now or until now, all of them are written below.
        let has_own_values = !is_small && !was_small;
        for (family, earlier) in changed_families(before, after) {
            let Some(earlier) = earlier else {
                whole_names(after, family, batch);
                if has_own_values {
                    all_values(epoch, family, batch);
                }
                continue;
            };
            let count = family.pieces().len();
            if count < earlier.pieces().len() {
                batch.pieces_gone(epoch, family.number, count as u32);
            }
            if family.metadata() != earlier.metadata() || family.rule != earlier.rule {
                batch.family(epoch, family, after.is_source());
            }
            if has_own_values {
                // The first row holds the push time of the family.
                batch.values(epoch, family, 0);
            }
            for number in family.pieces().differing(earlier.pieces()) {
                let Some(piece) = family.pieces().get(number) else { continue };
                if earlier.pieces().get(number).is_none_or(|earlier| !has_labels_of(piece, earlier)) {
                    batch.labels(epoch, family.number, number as u32, piece);
                }
                if has_own_values && number > 0 {
                    batch.values(epoch, family, number as u32);
                }
            }
        }
        batch.times(after, is_small.then(|| after.families()));
        if was_small && !is_small {
            after.families().iter().for_each(|family| all_values(epoch, family, batch));
        }
    }

    /// Adds the whole group.
    pub(in crate::persistence) fn whole_group(&mut self, group: &Group, batch: &mut Batch) {
        let epoch = group.epoch;
        let is_small = self.is_small(group);
        batch.group(epoch, &group.labels);
        group.families().iter().for_each(|family| whole_names(group, family, batch));
        batch.times(group, is_small.then(|| group.families()));
        if !is_small {
            group.families().iter().for_each(|family| all_values(epoch, family, batch));
        }
    }
}

/// The families of a version of a group that differ from those of another version, each with its counterpart. Both
/// are sorted by name.
fn changed_families<'a>(
    other: &'a Group,
    group: &'a Group,
) -> impl Iterator<Item = (&'a Family, Option<&'a Family>)> {
    let mut others = other.families().iter().peekable();
    group.families().iter().filter_map(move |family| {
        if others.next_if(|other| Arc::ptr_eq(other, family)).is_some() {
            return None;
        }
        let name = family.definition.name();
        while others.next_if(|other| other.definition.name() < name).is_some() {}
        let other = others.next_if(|other| other.definition.name() == name);
        if other.is_some_and(|other| Arc::ptr_eq(other, family)) {
            return None;
        }
        let other = other.filter(|other| other.number == family.number);
        Some((&**family, other.map(|other| &**other)))
    })
}

/// Whether two pieces have the same labels and start times.
fn has_labels_of(piece: &Piece, other: &Piece) -> bool {
    piece.len() == other.len()
        && piece.begins_with(other)
        && (0..piece.len()).all(|at| piece.start(at) == other.start(at))
}

fn whole_names(group: &Group, family: &Family, batch: &mut Batch) {
    batch.family(group.epoch, family, group.is_source());
    for (number, piece) in (0..).zip(family.pieces().iter()) {
        batch.labels(group.epoch, family.number, number, piece);
    }
}

fn all_values(group: u64, family: &Family, batch: &mut Batch) {
    (0..family.pieces().len().max(1) as u32).for_each(|number| batch.values(group, family, number));
}
