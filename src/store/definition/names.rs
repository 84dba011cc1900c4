//! The live names, each once, found by their texts.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::entry::Entry;

/// What is known about each live name. The table has pointers, because much of it is empty.
#[derive(Debug, Default)]
pub(super) struct Names {
    entries: HashTable<Box<Entry>>,
    hasher: RandomState,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.find(self.hasher.hash_one(name), |entry| entry.is_called(name)).map(|entry| &**entry)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries
            .find_mut(self.hasher.hash_one(name), |entry| entry.is_called(name))
            .map(|entry| &mut **entry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|entry| &**entry)
    }

    /// Adds a name that is not live yet.
    pub(super) fn insert(&mut self, entry: Entry) -> &mut Entry {
        let hasher = &self.hasher;
        let hash = |entry: &Entry| hasher.hash_one(&**entry.definition.name());
        self.entries.insert_unique(hash(&entry), Box::new(entry), |entry| hash(entry)).into_mut()
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Ok(entry) = self.entries.find_entry(self.hasher.hash_one(name), |entry| entry.is_called(name))
        {
            entry.remove();
        }
    }
}
