//! The published groups.
//!
//! Only this file holds guards of the map. It never holds a guard across an await point (there is none), and never
//! two at once.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::store::group::Group;
use crate::store::group_labels::source_key;

/// With this many shards, a snapshot, which visits them one by one, blocks few pushes at a time.
const SHARDS: usize = 256;

/// The published groups by key.
#[derive(Debug)]
pub(super) struct Groups {
    map: DashMap<Arc<str>, Place, RandomState>,
    /// Whether to keep the versions of the last commit for groups that have changed since.
    keeps_saved: bool,
    /// The groups that have changed since the last commit.
    touched: Mutex<Vec<Arc<str>>>,
    /// The keys of those that are sources.
    sources: Mutex<BTreeSet<Arc<str>>>,
}

/// A published group.
#[derive(Debug)]
struct Place {
    version: Arc<Group>,
    /// Set if it has changed since the last commit.
    unsaved: Option<Box<Unsaved>>,
}

#[derive(Debug)]
struct Unsaved {
    /// The version of the last commit. `None` if the group is new.
    before: Option<Arc<Group>>,
    /// The numbers of the idempotency keys that came with the changes.
    keys: SmallVec<[u64; 1]>,
}

/// A group that was deleted, or has changed since the last commit.
#[derive(Debug)]
pub(super) struct Changed {
    /// The version of the last commit. `None` if the group was new.
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

/// A published group whose guard is held.
pub(super) struct Held<'a> {
    groups: &'a Groups,
    place: &'a mut Place,
}

impl Held<'_> {
    /// The group.
    pub(super) fn group(&self) -> &Group {
        &self.place.version
    }

    /// The group for changes.
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

    /// Notes the number of the idempotency key that came with a change. Returns false if the group has not changed
    /// since the last commit.
    pub(super) fn note_key(&mut self, number: u64) -> bool {
        let Some(unsaved) = &mut self.place.unsaved else { return false };
        unsaved.keys.push(number);
        true
    }
}

impl Groups {
    /// An empty map. `keeps_saved` is for changes that are published before they are committed.
    pub(super) fn new(keeps_saved: bool) -> Groups {
        Groups {
            map: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            keeps_saved,
            touched: Mutex::default(),
            sources: Mutex::default(),
        }
    }

    fn sources(&self) -> MutexGuard<'_, BTreeSet<Arc<str>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_source(&self, group: &Group) {
        if group.is_source() {
            self.sources().insert(group.labels.key.clone());
        }
    }

    /// The keys of the sources of a group, in order.
    pub(super) fn sources_of(&self, target: &str) -> Vec<Arc<str>> {
        self.with_sources_of(target, |keys| keys.cloned().collect())
    }

    /// Whether a group has sources.
    pub(super) fn has_sources(&self, target: &str) -> bool {
        self.with_sources_of(target, |keys| keys.next().is_some())
    }

    /// How many sources a group has.
    pub(super) fn source_count(&self, target: &str) -> usize {
        self.with_sources_of(target, |keys| keys.count())
    }

    fn with_sources_of<T>(
        &self,
        target: &str,
        read: impl FnOnce(&mut dyn Iterator<Item = &Arc<str>>) -> T,
    ) -> T {
        let first = source_key(target, "");
        let from = (Bound::Included(&*first), Bound::Unbounded);
        let sources = self.sources();
        read(&mut sources.range::<str, _>(from).take_while(|key| key.starts_with(&first)))
    }

    /// The keys of all sources, in order.
    pub(super) fn all_sources(&self) -> Vec<Arc<str>> {
        self.sources().iter().cloned().collect()
    }

    /// Changes what of a group is not kept on disk.
    pub(super) fn amend(&self, key: &str, change: impl FnOnce(&mut Group)) {
        if let Some(mut place) = self.map.get_mut(key) {
            change(Arc::make_mut(&mut place.version));
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

    /// Reads a group without sharing it, so that the next push need not copy it.
    pub(super) fn read<T>(&self, key: &str, read: impl FnOnce(&Group) -> T) -> Option<T> {
        self.map.get(key).map(|place| read(&place.version))
    }

    /// Changes or reads a group under its guard.
    #[inline]
    pub(super) fn hold<T>(&self, key: &str, change: impl FnOnce(Held<'_>) -> T) -> Option<T> {
        let mut place = self.map.get_mut(key)?;
        Some(change(Held { groups: self, place: &mut place }))
    }

    /// Calls `each` for all groups, in no order.
    pub(super) fn each(&self, mut each: impl FnMut(&Arc<Group>)) {
        self.map.iter().for_each(|place| each(&place.version));
    }

    /// Adds a group that did not exist at the last commit.
    pub(super) fn insert(&self, group: Arc<Group>) {
        self.note_source(&group);
        if self.keeps_saved {
            self.touched().push(group.labels.key.clone());
        }
        let unsaved = self.keeps_saved.then(|| Box::new(Unsaved { before: None, keys: SmallVec::new() }));
        self.map.insert(group.labels.key.clone(), Place { version: group, unsaved });
    }

    /// Adds a group that counts as committed.
    pub(super) fn insert_saved(&self, group: Arc<Group>) {
        self.note_source(&group);
        self.map.insert(group.labels.key.clone(), Place { version: group, unsaved: None });
    }

    /// Publishes another version of an existing group. Returns the version that it replaces.
    pub(super) fn replace(&self, group: Arc<Group>) -> Option<Arc<Group>> {
        let mut place = self.map.get_mut(&group.labels.key)?;
        let mut held = Held { groups: self, place: &mut place };
        held.keep_saved();
        Some(std::mem::replace(&mut held.place.version, group))
    }

    /// Removes a group.
    pub(super) fn remove(&self, key: &str) -> Option<Changed> {
        self.remove_if(key, |_| true)
    }

    /// Removes a group if `goes` says so, under its guard.
    pub(super) fn remove_if(&self, key: &str, goes: impl FnOnce(&Group) -> bool) -> Option<Changed> {
        let removed = self.map.remove_if(key, |_, place| goes(&place.version));
        removed.map(|(key, mut place)| {
            if place.version.is_source() {
                self.sources().remove(&key);
            }
            place.change()
        })
    }

    /// Calls `each` for every group that has changed since the last commit. They count as committed from now on.
    pub(super) fn take_unsaved(&self, mut each: impl FnMut(Changed)) {
        let touched = std::mem::take(&mut *self.touched());
        for key in touched {
            // A group that was deleted and created again is in the list twice.
            if let Some(mut place) = self.map.get_mut(&key).filter(|place| place.unsaved.is_some()) {
                each(place.change());
            }
        }
    }

    /// As [`Groups::take_unsaved`], but calls `each` for all groups.
    pub(super) fn take_all(&self, mut each: impl FnMut(Changed)) {
        // A group that changes from here on is in the new list. At worst it is taken for changed twice.
        self.touched().clear();
        self.map.iter_mut().for_each(|mut place| each(place.change()));
    }

    fn touched(&self) -> MutexGuard<'_, Vec<Arc<str>>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
