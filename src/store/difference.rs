//! What a commit brings to disk: the difference of two versions.

use std::sync::Arc;

use crate::model::kind::Kind;
use crate::model::time::Moment;
use crate::store::Store;
use crate::store::group::Group;
use crate::store::groups::Changed;
use crate::store::idempotency::{Key, Record};
use crate::store::structure::Structure;

/// What has changed since the last commit.
#[derive(Debug, Default)]
pub struct Difference {
    /// The groups that have gone, by their epochs.
    pub gone: Vec<u64>,
    /// The groups that have come or changed.
    pub groups: Vec<Versions>,
    /// The metric names that came, went or changed their type, with the types that they have now.
    pub names: Vec<(Arc<str>, Option<Kind>)>,
    /// The idempotency keys that came.
    pub keys: Vec<Record>,
    /// The number of the first idempotency key that is still remembered, where others were forgotten.
    pub first_key: Option<u64>,
}

/// Two versions of a group, both with the same epoch.
#[derive(Clone, Debug)]
pub struct Versions {
    /// That of the last commit; none where the group was not there.
    pub before: Option<Arc<Group>>,
    /// The one of now.
    pub after: Arc<Group>,
}

impl Difference {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty()
            && self.groups.is_empty()
            && self.names.is_empty()
            && self.keys.is_empty()
            && self.first_key.is_none()
    }

    /// Adds what differs between two versions that have the same key; none where it was not there, or is not any more.
    pub(super) fn add(&mut self, before: Option<Arc<Group>>, after: Option<Arc<Group>>) {
        let is_same = |before: &Arc<Group>| after.as_ref().is_some_and(|after| after.epoch == before.epoch);
        let is_kept = before.as_ref().is_some_and(is_same);
        self.gone.extend(before.as_ref().filter(|_| !is_kept).map(|before| before.epoch));
        let Some(after) = after else { return };
        let before = before.filter(|_| is_kept);
        if before.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &after)) {
            self.groups.push(Versions { before, after });
        }
    }

    fn add_changed(&mut self, changed: Changed, numbers: &mut Vec<u64>) {
        numbers.extend(changed.keys);
        self.add(changed.before, Some(changed.version));
    }
}

/// Everything that there is, at one moment.
#[derive(Debug, Default)]
pub struct State {
    /// The groups, in no order.
    pub groups: Vec<Arc<Group>>,
    /// The metric names with their types.
    pub names: Vec<(Arc<str>, Kind)>,
    /// The idempotency keys that are remembered, by their numbers.
    pub keys: Vec<Record>,
    /// The number of the first of them, or of the next one.
    pub first_key: u64,
}

/// What other gateways that share an engine have established.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Established {
    /// The types of metric names; none for one that no other has any more.
    pub names: Vec<(Arc<str>, Option<Kind>)>,
    /// Idempotency keys of requests that were applied.
    pub keys: Vec<Key>,
}

impl Store {
    /// Takes in what others have established: later transactions are checked against it.
    pub fn establish(&self, established: Established, now: Moment) {
        let mut structure = self.lock();
        for (name, kind) in established.names {
            structure.definitions.establish(name, kind);
        }
        for key in established.keys {
            self.keys.remember(key, now, true);
        }
    }

    /// What has changed since the last commit, where changes are published before they are committed. From now on it
    /// counts as committed.
    pub fn take_unsaved(&self) -> Difference {
        let mut structure = self.hold();
        let mut difference = Difference::default();
        let mut numbers = self.take_structural(&mut structure, &mut difference);
        self.groups.take_unsaved(|changed| difference.add_changed(changed, &mut numbers));
        difference.keys = self.keys.records(numbers);
        difference
    }

    /// Everything that there is, and what has changed since the last commit, both at one moment: a key is among it if
    /// and only if what came with it is. From now on all of it counts as committed.
    pub fn take_all(&self) -> (State, Difference) {
        let mut structure = self.hold();
        let mut difference = Difference::default();
        let mut state = State {
            names: structure.definitions.all().map(|(name, kind)| (name.clone(), kind)).collect(),
            ..State::default()
        };
        let mut numbers = self.take_structural(&mut structure, &mut difference);
        state.first_key = structure.first_key;
        // Values go on changing. What has its key by now is seen below; what comes later is seen or not, and if it is,
        // its key waits with its group.
        state.keys = self.keys.from(0);
        self.groups.take_all(|changed| {
            state.groups.push(changed.version.clone());
            difference.add_changed(changed, &mut numbers);
        });
        difference.keys = self.keys.records(numbers);
        let last = state.keys.last().map(|record| record.number);
        let later = difference.keys.iter().filter(|record| last.is_none_or(|last| record.number > last));
        state.keys.extend(later);
        (state, difference)
    }

    /// What has gone and what names mean. Gives the numbers of keys that came with what has gone.
    fn take_structural(&self, structure: &mut Structure, difference: &mut Difference) -> Vec<u64> {
        difference.gone = std::mem::take(&mut structure.gone);
        let changed = structure.definitions.changed();
        difference.names.extend(changed.map(|(name, kind)| (name.clone(), kind)));
        structure.definitions.publish();
        difference.first_key = self.first_key_if_new(structure);
        structure.first_key = difference.first_key.unwrap_or(structure.first_key);
        std::mem::take(&mut structure.lone_keys)
    }

    /// The number of the first key that is still remembered, if the last commit left older ones.
    pub(super) fn first_key_if_new(&self, structure: &Structure) -> Option<u64> {
        let first = self.keys.first();
        (first != structure.first_key).then_some(first)
    }
}
