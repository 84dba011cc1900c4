//! The difference of two versions, which a commit writes to disk.

use std::sync::Arc;

use crate::model::kind::Kind;
use crate::store::Store;
use crate::store::group::Group;
use crate::store::groups::Changed;
use crate::store::idempotency::Record;
use crate::store::structure::Structure;

/// The changes since the last commit.
#[derive(Debug, Default)]
pub struct Difference {
    /// The deleted groups, by their epochs.
    pub gone: Vec<u64>,
    /// The new and changed groups.
    pub groups: Vec<Versions>,
    /// The metric names that came, went or changed their type, with their current types.
    pub names: Vec<(Arc<str>, Option<Kind>)>,
    /// The new idempotency keys.
    pub keys: Vec<Record>,
    /// The number of the first idempotency key that is still remembered, if older ones were forgotten.
    pub first_key: Option<u64>,
}

/// Two versions of a group with the same epoch.
#[derive(Clone, Debug)]
pub struct Versions {
    /// The version of the last commit. `None` if the group is new.
    pub before: Option<Arc<Group>>,
    /// The current version.
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

    /// The number of the key after the new ones. `None` if there are none.
    pub fn next_key(&self) -> Option<u64> {
        self.keys.iter().map(|record| record.number + 1).max()
    }

    /// Adds the difference of two versions with the same key. `None` stands for a group that did not exist or was
    /// deleted.
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

/// The whole content of a store at one moment.
#[derive(Debug, Default)]
pub struct State {
    /// The groups, in no order.
    pub groups: Vec<Arc<Group>>,
    /// The metric names with their types.
    pub names: Vec<(Arc<str>, Kind)>,
    /// The remembered idempotency keys, sorted by number.
    pub keys: Vec<Record>,
    /// The number of the first of them, or of the next one if there are none.
    pub first_key: u64,
}

impl State {
    /// The number of the key after those that are remembered.
    pub fn next_key(&self) -> u64 {
        self.keys.last().map_or(self.first_key, |last| last.number + 1)
    }
}

impl Store {
    /// Takes the changes since the last commit, if changes are published before they are committed. They count as
    /// committed from now on.
    pub fn take_unsaved(&self) -> Difference {
        let mut structure = self.hold();
        let mut difference = Difference::default();
        let mut numbers = self.take_structural(&mut structure, &mut difference);
        self.groups.take_unsaved(|changed| difference.add_changed(changed, &mut numbers));
        difference.keys = self.keys.records(numbers);
        difference
    }

    /// Takes the whole content and the changes since the last commit, both at one moment. It holds a key exactly if
    /// it holds the change that came with the key. All of it counts as committed from now on.
    pub fn take_all(&self) -> (State, Difference) {
        let mut structure = self.hold();
        let mut difference = Difference::default();
        let mut state = State {
            names: structure.definitions.all().map(|(name, kind)| (name.clone(), kind)).collect(),
            ..State::default()
        };
        let mut numbers = self.take_structural(&mut structure, &mut difference);
        state.first_key = structure.first_key;
        // Values may change meanwhile. A change whose key is taken here is seen below. A later change may be seen
        // or not; if it is, its key is noted in its group.
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

    /// Takes deleted groups and changed names. Returns the numbers of the keys that came with deleted groups.
    fn take_structural(&self, structure: &mut Structure, difference: &mut Difference) -> Vec<u64> {
        difference.gone = std::mem::take(&mut structure.gone);
        let changed = structure.definitions.changed();
        difference.names.extend(changed.map(|(name, kind)| (name.clone(), kind)));
        structure.definitions.publish();
        difference.first_key = self.first_key_if_new(structure);
        structure.first_key = difference.first_key.unwrap_or(structure.first_key);
        std::mem::take(&mut structure.lone_keys)
    }

    /// The number of the first key that is still remembered, if the last commit left older ones on disk.
    pub(super) fn first_key_if_new(&self, structure: &Structure) -> Option<u64> {
        let first = self.keys.first();
        (first != structure.first_key).then_some(first)
    }
}
