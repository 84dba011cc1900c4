//! An index of the label blocks of a family in all groups.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// The hashes of label blocks. A block whose hash is missing is certainly not there.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Each hash is in it as often as its block was added.
    hashes: HashTable<u64>,
    hasher: RandomState,
}

impl Blocks {
    /// Adds a block.
    pub(super) fn add(&mut self, block: &str) {
        let hash = self.hasher.hash_one(block);
        self.hashes.insert_unique(hash, hash, |hash| *hash);
    }

    /// Removes a block once.
    pub(super) fn remove(&mut self, block: &str) {
        let hash = self.hasher.hash_one(block);
        if let Ok(found) = self.hashes.find_entry(hash, |other| *other == hash) {
            found.remove();
        }
    }

    /// Whether the block was added more than `times` times. Rarely also true if it was not.
    pub(super) fn may_have_more_than(&self, times: usize, block: &str) -> bool {
        let hash = self.hasher.hash_one(block);
        self.hashes.iter_hash(hash).filter(|other| **other == hash).nth(times).is_some()
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
        for times in [2, 1, 0] {
            assert!((0..3).all(|n| blocks.may_have_more_than(n, "{a=\"1\"}") == (n < times)));
            blocks.remove("{a=\"1\"}");
        }
        assert!(blocks.may_have_more_than(0, "{}"));
    }
}
