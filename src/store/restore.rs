//! Restores the content of a store when the gateway starts.

use std::sync::Arc;

use crate::model::grouping::Grouping;
use crate::model::time::Moment;
use crate::store::family::{Family, Metadata};
use crate::store::group::Group;
use crate::store::structure::Structure;
use crate::store::times::Times;
use crate::store::transaction::{Part, Transaction};
use crate::store::{GroupView, Store};

impl Store {
    /// Restores a group, which must not exist yet.
    pub fn restore(&self, view: GroupView) {
        let mut structure = self.lock();
        self.restore_into(view, &mut structure);
    }

    /// Marks everything restored so far as committed.
    pub fn restored(&self) {
        let mut structure = self.lock();
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
        let created = Moment::at(view.times.created_at);
        let mut group = Group::new(view.labels, structure.slot(), view.epoch, created);
        group.times = view.times;
        let mut families = view.families;
        families.sort_by(|a, b| a.name.cmp(&b.name));
        for family in families {
            structure.definitions.expect_shape(&family.name, &group.labels.shape, |key, each| {
                self.groups.read(key, |group| group.blocks_of(&family.name).for_each(each));
            });
            let lease = structure.definitions.lease(&family.name, family.kind, group.labels.holder());
            let mut restored = Family::new(lease, structure.epoch(), family.number);
            let mut share = |text: Arc<str>| structure.definitions.text(&family.name, &text);
            restored.metadata = Metadata {
                help: family.metadata.help.map(&mut share),
                unit: family.metadata.unit.map(&mut share),
            };
            restored.pushed_at = family.pushed_at;
            restored.restore(family.pieces);
            structure.definitions.list(&family.name, &group.labels.key, restored.blocks_from(0));
            restored.share_layout(&mut structure.definitions);
            group.restore(restored);
        }
        self.welcome(&group, structure);
        self.groups.insert_saved(Arc::new(group));
        structure.definitions.forget_retypings();
        self.count_names(structure);
    }
}
