//! The published groups.
//!
//! This file is the only one that holds a guard of the map: never across an await point (there is none), and never
//! while another is held.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::store::group::Group;

/// So many that a snapshot, which visits them one by one, holds up few pushes at a time.
const SHARDS: usize = 256;

/// The published groups by key.
#[derive(Debug)]
pub(super) struct Groups {
    map: DashMap<Arc<str>, Place, RandomState>,
    /// Whether the versions of the last commit are kept of the groups that have changed since.
    keeps_saved: bool,
    /// The groups that have changed since the last commit.
    touched: Mutex<Vec<Arc<str>>>,
}

/// A published group.
#[derive(Debug)]
struct Place {
    version: Arc<Group>,
    /// Where it has changed since the last commit.
    unsaved: Option<Box<Unsaved>>,
}

#[derive(Debug)]
struct Unsaved {
    /// The version of the last commit; none where the group was not there.
    before: Option<Arc<Group>>,
    /// The numbers of the idempotency keys that came with the changes.
    keys: SmallVec<[u64; 1]>,
}

/// A group that is not published any more, or has changed since the last commit.
#[derive(Debug)]
pub(super) struct Changed {
    /// The version of the last commit; none where the group was not there.
    pub(super) before: Option<Arc<Group>>,
    /// The version that was published last.
    pub(super) version: Arc<Group>,
    /// The numbers of the idempotency keys that came with the changes.
    pub(super) keys: SmallVec<[u64; 1]>,
}

impl Place {
    fn change(&mut self) -> Changed {
        let version = self.version.clone();
        match self.unsaved.take() {
            Some(unsaved) => Changed { before: unsaved.before, version, keys: unsaved.keys },
            None => Changed { before: Some(version.clone()), version, keys: SmallVec::new() },
        }
    }
}

/// A published group while its guard is held.
pub(super) struct Held<'a> {
    groups: &'a Groups,
    place: &'a mut Place,
}

impl Held<'_> {
    /// The group.
    pub(super) fn group(&self) -> &Group {
        &self.place.version
    }

    /// The group, to be changed.
    #[inline]
    pub(super) fn edit(&mut self) -> &mut Group {
        self.keep_saved();
        Arc::make_mut(&mut self.place.version)
    }

    #[inline]
    fn keep_saved(&mut self) {
        if self.groups.keeps_saved && self.place.unsaved.is_none() {
            let before = self.place.version.clone();
            self.groups.touched().push(before.labels.key.clone());
            self.place.unsaved = Some(Box::new(Unsaved { before: Some(before), keys: SmallVec::new() }));
        }
    }

    /// Notes the number of the idempotency key that came with a change. False where the group is the same as at the last
    /// commit.
    pub(super) fn note_key(&mut self, number: u64) -> bool {
        let Some(unsaved) = &mut self.place.unsaved else { return false };
        unsaved.keys.push(number);
        true
    }
}

impl Groups {
    /// No groups. `keeps_saved` where changes are published before they are committed.
    pub(super) fn new(keeps_saved: bool) -> Groups {
        Groups {
            map: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            keeps_saved,
            touched: Mutex::default(),
        }
    }

    /// Whether there is a group with this key.
    pub(super) fn contains(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// The group with this key.
    pub(super) fn get(&self, key: &str) -> Option<Arc<Group>> {
        self.map.get(key).map(|place| place.version.clone())
    }

    /// Looks at a group without sharing it: the next push need not copy it.
    pub(super) fn read<T>(&self, key: &str, read: impl FnOnce(&Group) -> T) -> Option<T> {
        self.map.get(key).map(|place| read(&place.version))
    }

    /// Changes a group, or only looks at it; nobody else does meanwhile.
    #[inline]
    pub(super) fn hold<T>(&self, key: &str, change: impl FnOnce(Held<'_>) -> T) -> Option<T> {
        let mut place = self.map.get_mut(key)?;
        Some(change(Held { groups: self, place: &mut place }))
    }

    /// Looks at all groups, one after the other, in no order.
    pub(super) fn each(&self, mut each: impl FnMut(&Arc<Group>)) {
        self.map.iter().for_each(|place| each(&place.version));
    }

    /// Adds a group that was not there at the last commit.
    pub(super) fn insert(&self, group: Arc<Group>) {
        if self.keeps_saved {
            self.touched().push(group.labels.key.clone());
        }
        let unsaved = self.keeps_saved.then(|| Box::new(Unsaved { before: None, keys: SmallVec::new() }));
        self.map.insert(group.labels.key.clone(), Place { version: group, unsaved });
    }

    /// Adds a group that counts as committed.
    pub(super) fn insert_saved(&self, group: Arc<Group>) {
        self.map.insert(group.labels.key.clone(), Place { version: group, unsaved: None });
    }

    /// Publishes another version of a group that is there. Gives the one that it takes the place of.
    pub(super) fn replace(&self, group: Arc<Group>) -> Option<Arc<Group>> {
        let mut place = self.map.get_mut(&group.labels.key)?;
        let mut held = Held { groups: self, place: &mut place };
        held.keep_saved();
        Some(std::mem::replace(&mut held.place.version, group))
    }

    /// Takes a group out.
    pub(super) fn remove(&self, key: &str) -> Option<Changed> {
        self.remove_if(key, |_| true)
    }

    /// Takes a group out, if it is to go. Nobody changes it in between.
    pub(super) fn remove_if(&self, key: &str, goes: impl FnOnce(&Group) -> bool) -> Option<Changed> {
        let removed = self.map.remove_if(key, |_, place| goes(&place.version));
        removed.map(|(_, mut place)| place.change())
    }

    /// Calls `each` with every group that has changed since the last commit. From then on it counts as committed.
    pub(super) fn take_unsaved(&self, mut each: impl FnMut(Changed)) {
        let touched = std::mem::take(&mut *self.touched());
        for key in touched {
            // A group that has gone and come again is in the list twice.
            if let Some(mut place) = self.map.get_mut(&key).filter(|place| place.unsaved.is_some()) {
                each(place.change());
            }
        }
    }

    /// The same, with all others too.
    pub(super) fn take_all(&self, mut each: impl FnMut(Changed)) {
        // What is touched from here on is in the new list, and at worst taken for changed twice.
        self.touched().clear();
        self.map.iter_mut().for_each(|mut place| each(place.change()));
    }

    fn touched(&self) -> MutexGuard<'_, Vec<Arc<str>>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
