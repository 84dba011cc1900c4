//! Applies deletions by selector.

use std::sync::Arc;

use super::Applying;
use crate::store::deletion::{Deleted, DeletionFilter, Survey, Taken};
use crate::store::group::Group;
use crate::store::structure::Structure;

impl Applying<'_, '_> {
    /// Takes out what matches, whole groups and series of others. Gives what that was, and the versions that it was
    /// in: dropping them is slow, so it happens after the lock is released.
    pub(super) fn delete_matching(
        &mut self,
        filter: &DeletionFilter,
        survey: &Survey,
        structure: &mut Structure,
    ) -> (Deleted, Vec<Arc<Group>>) {
        let mut groups = Vec::new();
        self.space.each(|group| {
            if !group.is_source() && filter.may_take(group) {
                groups.push(group.clone());
            }
        });
        let mut deleted = Deleted::default();
        for group in &groups {
            // Values may have changed since, and which series there are has not.
            let taken = filter.taken_of(group, survey);
            deleted.add(group, &taken);
            match taken {
                Taken::Group => {
                    self.remove_if(&group.labels.key, |_| true, structure);
                    self.remove_sources(&group.labels.key, structure);
                }
                Taken::Series(gone) => self.remove_selected(group, &gone, structure),
            }
        }
        deleted.shorten();
        (deleted, groups)
    }
}
