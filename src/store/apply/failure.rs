//! How refused pushes are noted in their groups.

use super::Applying;
use crate::model::grouping::Grouping;
use crate::store::check;
use crate::store::space::Handle;
use crate::store::structure::Structure;

impl Applying<'_, '_> {
    /// Notes that a push to a group was refused. False where that has to wait for the structure.
    pub(super) fn fail(&mut self, key: &str) -> bool {
        let (store, now) = (self.store, self.now);
        let fail = |mut handle: Handle<'_>| {
            let waits = handle.waits_for(store);
            if !waits {
                handle.edit().times.failed_at = now.nanos;
            }
            !waits
        };
        self.space.hold(key, fail).unwrap_or(false)
    }

    /// Marks a group as failed; one that is not there yet is created for it, as the stock gateway
    /// does, unless its own series would stand in its twin too.
    pub(super) fn note_failure(&mut self, grouping: &Grouping<'_>, structure: &mut Structure) {
        let twin = check::check_twin(grouping, &structure.spelled, |key| self.space.contains(key));
        let exists = self.space.contains(grouping.key());
        if twin.is_err() || !(exists || self.store.may_create(grouping)) {
            return;
        }
        match self.created(grouping, structure) {
            Some(mut group) => {
                group.times.failed_at = self.now.nanos;
                self.insert(group, structure);
            }
            None => {
                let now = self.now;
                self.space.hold(grouping.key(), |mut handle| handle.edit().times.failed_at = now.nanos);
            }
        }
    }
}
