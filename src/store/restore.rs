//! Restores the content of a store when the gateway starts.

use std::sync::Arc;

use crate::model::grouping::Grouping;
use crate::model::time::Moment;
use crate::store::deadlines::Subject;
use crate::store::definition::Lease;
use crate::store::family::Family;
use crate::store::group::{End, Group, NO_SLOT};
use crate::store::shareable::Shareable;
use crate::store::structure::Structure;
use crate::store::times::Times;
use crate::store::transaction::{Part, Transaction};
use crate::store::{FamilyView, GroupView, Store};

impl Store {
    /// Restores a group, which must not exist yet.
    pub fn restore(&self, view: GroupView) {
        let mut structure = self.lock();
        self.restore_into(view, &mut structure);
    }

    /// Marks everything restored so far as committed.
    pub fn restored(&self) {
        let mut structure = self.lock();
        self.count_all_holders();
        structure.definitions.publish();
        structure.first_key = self.keys.first();
    }

    /// Restores the times of a group. A group that does not exist is created. Returns false if another group
    /// prevents that.
    pub fn restore_times(&self, grouping: &Grouping<'_>, times: Times) -> bool {
        let failed = Part::Failed { grouping: std::borrow::Cow::Borrowed(grouping) };
        let created = self.submit(&Transaction::of(failed), Moment::at(times.created_at));
        let restored = self.groups.hold(grouping.key(), |mut held| held.edit().times = times);
        created.is_ok() && restored.is_some()
    }

    pub(super) fn restore_into(&self, view: GroupView, structure: &mut Structure) {
        structure.next_epoch = structure.next_epoch.max(view.epoch);
        if view.labels.is_source {
            self.restore_source(view, structure);
            return;
        }
        let (mut group, families) = without_families(view, structure.slot());
        let mut shareable = Shareable::default();
        for family in families {
            structure.definitions.expect_shape(&family.name, &group.labels.shape, |key, each| {
                self.groups.read(key, |group| group.blocks_of(&family.name).for_each(each));
            });
            let lease = structure.definitions.lease(&family.name, family.kind, &group.labels);
            let metadata = structure.definitions.metadata(&family.name, family.metadata.texts());
            let (name, lasting) = (family.name.clone(), family.lasting);
            let mut restored = restored(family, lease, structure.epoch(), &mut shareable);
            restored.set_metadata(metadata);
            restored.restore_lasting(lasting);
            // They are counted once all sources are there.
            restored.forget_holders();
            structure.definitions.list(&name, &group.labels.key, restored.blocks_from(0));
            restored.share_layout(&mut structure.definitions);
            group.restore(restored);
        }
        self.welcome(&group, structure);
        expect_ends(&group, |subject, deadline| structure.deadlines.add(subject, deadline));
        self.groups.insert_saved(Arc::new(group));
        structure.definitions.forget_retypings();
        self.count_names(structure);
    }

    /// The same for a source, whose target must come before it.
    fn restore_source(&self, view: GroupView, structure: &mut Structure) {
        let (mut group, families) = without_families(view, NO_SLOT);
        let mut shareable = Shareable::default();
        for family in families {
            let definition = structure.definitions.shared(&family.name, family.kind);
            let lease = Lease { definition, slot: NO_SLOT };
            group.restore(restored(family, lease, structure.epoch(), &mut shareable));
        }
        self.welcome(&group, structure);
        expect_ends(&group, |subject, deadline| structure.deadlines.add(subject, deadline));
        self.groups.insert_saved(Arc::new(group));
    }

    /// Counts which sources have the series of their targets.
    fn count_all_holders(&self) {
        for source in self.groups.all_sources().iter().filter_map(|key| self.groups.get(key)) {
            let Some(target) = source.labels.target() else { continue };
            self.groups.amend(target, |target| target.count_holders_of(&source));
        }
    }
}

/// The group of a view, without its families, and these in the order in which it takes them.
pub(super) fn without_families(view: GroupView, slot: u32) -> (Group, Vec<FamilyView>) {
    let mut group = Group::new(view.labels, slot, view.epoch, Moment::at(view.times.created_at));
    group.times = view.times;
    group.set_ttl(view.ttl);
    let mut families = view.families;
    families.sort_by(|a, b| a.name.cmp(&b.name));
    (group, families)
}

/// The family of a view, with its series.
pub(super) fn restored(family: FamilyView, lease: Lease, epoch: u64, shareable: &mut Shareable) -> Family {
    let mut restored = Family::new(lease, epoch, family.number);
    restored.rule = family.rule;
    restored.pushed_at = family.pushed_at;
    let mut pieces = family.pieces;
    pieces.share_labels(shareable);
    restored.restore(pieces);
    restored
}

/// Puts back when a group and its series may expire.
pub(super) fn expect_ends(group: &Group, mut expect: impl FnMut(Subject, i64)) {
    for End { piece, deadline } in group.ends() {
        expect(Subject { group: group.labels.key.clone(), piece }, deadline);
    }
}
