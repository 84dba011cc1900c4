//! New versions of groups that are not visible yet.
//!
//! A draft holds the groups that some transactions touch, in their new versions. The meaning of metric names and
//! all totals already are as if the draft were published, so that later transactions of the draft are checked
//! against earlier ones. Dropping a draft reverts that, by the difference of its versions and the published ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::fast::RandomState;

use crate::store::difference::Difference;
use crate::store::effects::Effects;
use crate::store::family::Family;
use crate::store::group::Group;
use crate::store::structure::Structure;
use crate::store::{CommitMode, Store};

/// The groups that some transactions touch, over the published ones. [`Store::publish`] or [`Store::drop_draft`]
/// must end it.
#[derive(Debug)]
pub struct Draft {
    /// The new version of each group. `None` for a deleted one.
    pub(super) groups: HashMap<Arc<str>, Option<Arc<Group>>, RandomState>,
    /// The number of the first idempotency key of the draft.
    first_key: u64,
    /// The number of type changes before it, see
    /// [`Definitions::retypings`](super::definition::Definitions::retypings).
    retypings: usize,
    /// Whether it adds or removes groups, families or series.
    pub(super) is_structural: bool,
    /// What it does beside the groups, once it is published.
    pub(super) effects: Effects,
}

impl Store {
    /// An empty draft. Only one may exist at a time, and nothing else may change the store meanwhile.
    pub fn draft(&self) -> Draft {
        self.draft_under(&self.hold())
    }

    /// As [`Store::draft`], for a caller that holds the structure.
    pub(super) fn draft_under(&self, structure: &Structure) -> Draft {
        Draft {
            groups: HashMap::default(),
            first_key: self.keys.next(),
            retypings: structure.definitions.retypings(),
            is_structural: false,
            effects: Effects::default(),
        }
    }

    /// The changes of a draft, for a commit.
    pub fn difference_of(&self, draft: &Draft) -> Difference {
        let structure = self.hold();
        let mut difference = Difference {
            names: structure.definitions.changed().map(|(name, kind)| (name.clone(), kind)).collect(),
            keys: self.keys.from(draft.first_key),
            first_key: self.first_key_if_new(&structure),
            ..Difference::default()
        };
        for (key, after) in &draft.groups {
            difference.add(self.groups.get(key), after.clone());
        }
        difference
    }

    /// Makes a draft visible. A scrape sees all of it or nothing.
    pub fn publish(&self, draft: Draft) {
        let mut structure = self.hold();
        let gone = self.publish_locked(draft, &mut structure);
        drop(structure);
        // Dropping a large store is slow, so it happens after the lock is released.
        drop(gone);
    }

    /// As [`Store::publish`], for a caller that holds the structure. Returns the versions that were replaced.
    pub(super) fn publish_locked(&self, draft: Draft, structure: &mut Structure) -> Vec<Arc<Group>> {
        let mut gone = Vec::new();
        if draft.is_structural {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        for (key, version) in draft.groups {
            match version {
                Some(version) if self.groups.contains(&key) => gone.extend(self.groups.replace(version)),
                Some(version) => self.groups.insert(version),
                None => {
                    let Some(changed) = self.groups.remove(&key) else { continue };
                    gone.push(changed.version.clone());
                    self.note_gone(changed, structure);
                }
            }
        }
        self.settle(draft.effects, structure);
        if self.commit_mode == CommitMode::Before {
            structure.definitions.publish();
            structure.first_key = self.keys.first();
        }
        gone
    }

    /// Drops a draft and reverts what it has changed.
    pub fn drop_draft(&self, draft: Draft) {
        let mut structure = self.lock();
        let first_key = draft.first_key;
        self.withdraw(draft, &mut structure, |key| self.groups.get(key));
        self.keys.forget_from(first_key);
        structure.definitions.forget_changes();
    }

    /// Reverts a draft, for a caller that holds the structure. `under` returns the versions below the draft.
    pub(super) fn withdraw(
        &self,
        draft: Draft,
        structure: &mut Structure,
        under: impl Fn(&str) -> Option<Arc<Group>>,
    ) {
        let versions: Vec<_> = draft.groups.into_iter().map(|(key, after)| (under(&key), after)).collect();
        for (before, after) in &versions {
            let Some(after) = after else { continue };
            match before.as_deref().filter(|before| before.epoch == after.epoch) {
                Some(before) => {
                    let changed = structural_changes(after, before);
                    changed.for_each(|family| after.release_family(family, &mut structure.definitions));
                    self.count(before, 1);
                    self.count(after, -1);
                }
                None => self.forget(after, structure),
            }
        }
        for (before, after) in &versions {
            let Some(before) = before else { continue };
            match after.as_deref().filter(|after| after.epoch == before.epoch) {
                Some(after) => {
                    let changed = structural_changes(before, after);
                    changed.for_each(|family| lease_again(before, family, structure, &under));
                }
                None => {
                    if !before.is_source() {
                        structure.take_slot(before.slot);
                        for family in before.families() {
                            lease_again(before, family, structure, &under);
                        }
                    }
                    self.welcome(before, structure);
                }
            }
        }
        structure.definitions.withdraw(draft.retypings);
        self.count_names(structure);
    }
}

/// Registers a family of a group again, as it was before. `under` returns the groups.
fn lease_again(
    group: &Group,
    family: &Family,
    structure: &mut Structure,
    under: &impl Fn(&str) -> Option<Arc<Group>>,
) {
    let name = family.definition.name();
    structure.definitions.expect_shape(name, &group.labels.shape, |key, each| {
        if let Some(group) = under(key) {
            group.blocks_of(name).for_each(each);
        }
    });
    group.lease_family_again(family, &mut structure.definitions);
}

/// The families of a version whose names, types or series differ from those of another version.
fn structural_changes<'a>(version: &'a Group, other: &'a Group) -> impl Iterator<Item = &'a Family> {
    let is_same = |family: &Family| {
        let other = other.family(family.definition.name());
        other.is_some_and(|other| {
            std::ptr::eq(family, other)
                || (Arc::ptr_eq(&family.definition, &other.definition)
                    && (family.number, family.slot, family.epoch, family.series_count())
                        == (other.number, other.slot, other.epoch, other.series_count()))
        })
    };
    // A source has no names of its own.
    let families = if version.is_source() { &[] } else { version.families() };
    families.iter().map(|family| &**family).filter(move |family| !is_same(family))
}
