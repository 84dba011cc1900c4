//! Restores the content of a store when the gateway starts.

use std::sync::Arc;

use crate::model::grouping::Grouping;
use crate::model::time::Moment;
use crate::store::deadlines::Subject;
use crate::store::definition::Lease;
use crate::store::family::Family;
use crate::store::group::{End, Group, NO_SLOT};
use crate::store::group_labels::GroupLabels;
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
            let name = family.name.clone();
            let visit = |key: &str, each: &mut dyn FnMut(&str)| {
                self.groups.read(key, |group| group.blocks_of(&name).for_each(each));
            };
            group.restore(family_of(family, &group.labels, structure, &mut shareable, visit));
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
            group.restore(family_of_source(family, structure, &mut shareable));
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

/// The family of a view, for a group that is shown. `visit` calls back with the label blocks that the group with a key has
/// of it.
pub(super) fn family_of(
    view: FamilyView,
    group: &Arc<GroupLabels>,
    structure: &mut Structure,
    shareable: &mut Shareable,
    visit: impl Fn(&str, &mut dyn FnMut(&str)),
) -> Family {
    structure.definitions.expect_shape(&view.name, &group.shape, visit);
    let lease = structure.definitions.lease(&view.name, view.kind, group);
    let metadata = structure.definitions.metadata(&view.name, view.metadata.texts());
    let (name, lasting) = (view.name.clone(), view.lasting);
    let mut family = restored(view, lease, structure.epoch(), shareable);
    family.set_metadata(metadata);
    family.restore_lasting(lasting);
    // They are counted once all sources are there.
    family.forget_holders();
    structure.definitions.list(&name, &group.key, family.blocks_from(0));
    family.share_layout(&mut structure.definitions);
    family
}

/// The family of a view, for a source.
pub(super) fn family_of_source(
    view: FamilyView,
    structure: &mut Structure,
    shareable: &mut Shareable,
) -> Family {
    let definition = structure.definitions.shared(&view.name, view.kind);
    restored(view, Lease { definition, slot: NO_SLOT }, structure.epoch(), shareable)
}

/// The family of a view, with its series.
fn restored(family: FamilyView, lease: Lease, epoch: u64, shareable: &mut Shareable) -> Family {
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
