//! Which label blocks the series of a family have, in all groups.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// The hashes of some label blocks: what is not among them is surely not there.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Each as often as it was added.
    hashes: HashTable<u64>,
    hasher: RandomState,
}

impl Blocks {
    /// Adds a block.
    pub(super) fn add(&mut self, block: &str) {
        let hash = self.hasher.hash_one(block);
        self.hashes.insert_unique(hash, hash, |hash| *hash);
    }

    /// Takes away a block that was added, once.
    pub(super) fn remove(&mut self, block: &str) {
        let hash = self.hasher.hash_one(block);
        if let Ok(found) = self.hashes.find_entry(hash, |other| *other == hash) {
            found.remove();
        }
    }

    /// Whether the block is there; rarely true where it is not.
    pub(super) fn may_have(&self, block: &str) -> bool {
        let hash = self.hasher.hash_one(block);
        self.hashes.find(hash, |other| *other == hash).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_there_as_often_as_it_was_added() {
        let mut blocks = Blocks::default();
        for block in ["{a=\"1\"}", "{a=\"1\"}", "{}"] {
            blocks.add(block);
        }
        blocks.remove("{a=\"2\"}");
        for is_there in [true, true, false] {
            assert_eq!(blocks.may_have("{a=\"1\"}"), is_there);
            blocks.remove("{a=\"1\"}");
        }
        assert!(blocks.may_have("{}"));
    }
}
