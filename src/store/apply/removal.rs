//! How groups go, and series of them one by one.

use std::sync::Arc;

use super::{Applying, restructuring};
use crate::store::effects::Tally;
use crate::store::group::Group;
use crate::store::selection::{Selected, Selection};
use crate::store::sight::Sight;
use crate::store::structure::Structure;

impl Applying<'_, '_> {
    /// Takes series out of a group, if it is there.
    pub(super) fn remove_series(&mut self, key: &str, which: &Selection, structure: &mut Structure) {
        // Which series stand where does not change while the structure is held, so nobody who pushes values has to wait
        // while they are looked for.
        if let Some(group) = self.space.get(key) {
            self.remove_selected(&group, &which.positions_in(&group), structure);
        }
    }

    /// The same for series whose positions in this group are known.
    pub(super) fn remove_selected(
        &mut self,
        group: &Arc<Group>,
        gone: &[Selected],
        structure: &mut Structure,
    ) {
        if gone.is_empty() {
            return;
        }
        let key = &group.labels.key;
        self.forget_series(key, group.folded_series(gone), structure);
        let store = self.store;
        let mut with = restructuring(structure);
        self.space.hold(key, |mut handle| {
            store.recount(handle.edit(), |group| group.remove_series(gone, &mut with));
        });
        let ends = with.ends;
        store.count_names(structure);
        self.settle(key, ends, Tally::default(), structure);
    }

    /// Takes out the series of some families of a group whose TTL is over.
    pub(super) fn expire_series(
        &mut self,
        key: &str,
        families: &[Arc<str>],
        sight: Sight,
        structure: &mut Structure,
    ) {
        let store = self.store;
        let mut with = restructuring(structure);
        // A push of values may come until the guard is held, so they are looked for under it.
        let gone = self.space.hold(key, |mut handle| {
            let gone = Selected::over(families, handle.group(), sight);
            let folded = handle.group().folded_series(&gone);
            if !gone.is_empty() {
                store.recount(handle.edit(), |group| group.remove_series(&gone, &mut with));
            }
            (folded, gone.iter().map(|selected| selected.positions.len() as u64).sum())
        });
        let ends = with.ends;
        let (folded, expired_series) = gone.unwrap_or_default();
        self.forget_series(key, folded, structure);
        store.count_names(structure);
        self.settle(key, ends, Tally { expired_series, ..Tally::default() }, structure);
    }

    /// Takes out a group, if it is there and is to go. Whether it was.
    pub(super) fn remove_if(
        &mut self,
        key: &str,
        goes: impl FnOnce(&Group) -> bool,
        structure: &mut Structure,
    ) -> bool {
        let Some(changed) = self.space.remove_if(key, goes) else { return false };
        self.store.forget(&changed.version, structure);
        if !self.space.is_draft() {
            self.store.note_gone(changed, structure);
        }
        true
    }
}
