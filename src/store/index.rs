//! An index of a large family: the position of each series by its label block.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::store::pieces::Pieces;

/// The most series per shard, on average. Beyond it the number of shards grows.
const SHARD_SERIES: usize = 1024;

/// The factor by which the number of shards grows.
const GROWTH: usize = 4;

/// The positions of series by label block, in shards that versions share. A version that gets a new series copies
/// only the shard of that series.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    shards: Vec<Arc<HashTable<u32>>>,
    hasher: RandomState,
    /// The number of positions in the index.
    len: u32,
}

impl Index {
    /// The position of the series with this label block. Must be up to date with these pieces.
    pub(super) fn find(&self, block: &str, pieces: &Pieces) -> Option<u32> {
        let hash = self.hasher.hash_one(block);
        let shard = self.shards.get(shard_of(hash, self.shards.len()))?;
        shard.find(hash, |&position| pieces.block(position) == block).copied()
    }

    /// Adds the series up to this position.
    pub(super) fn extend(&mut self, pieces: &Pieces, len: u32) {
        if len as usize > self.shards.len() * SHARD_SERIES {
            let mut shards = self.shards.len().max(1);
            while len as usize > shards * SHARD_SERIES {
                shards *= GROWTH;
            }
            let series = (len as usize).div_ceil(shards);
            self.shards = (0..shards).map(|_| Arc::new(HashTable::with_capacity(series))).collect();
            self.len = 0;
        }
        let hasher = &self.hasher;
        let hash = |position: &u32| hasher.hash_one(pieces.block(*position));
        for position in self.len..len {
            let hashed = hash(&position);
            let shard = shard_of(hashed, self.shards.len());
            Arc::make_mut(&mut self.shards[shard]).insert_unique(hashed, position, hash);
        }
        self.len = len;
    }
}

/// The number of shards is a power of two. The table in a shard uses the lowest and the highest bits of the hash
/// itself.
fn shard_of(hash: u64, shards: usize) -> usize {
    (hash >> 32) as usize & shards.wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kind::Form;
    use crate::model::sum::Sum;
    use crate::model::time::Start;
    use crate::store::piece::{OwnedValue, PIECE_ROWS, Piece};

    #[test]
    fn series_are_found_in_every_version() {
        let blocks: Vec<String> = (0..9000).map(|at| format!("{{n=\"{at}\"}}")).collect();
        let piece = |blocks: &[String]| {
            let row = |block: &'static str| (block, Start::UNKNOWN, OwnedValue::Number(Sum::new(1.0)));
            let rows: Vec<_> = blocks.iter().map(|block| row(block.clone().leak())).collect();
            Arc::new(Piece::of(Form::Number, rows))
        };
        let pieces: Pieces = blocks.chunks(PIECE_ROWS).map(piece).collect();
        let mut index = Index::default();
        let mut versions = Vec::new();
        for len in [1, 9, 1024, 1025, 4000, 4097, 9000] {
            index.extend(&pieces, len);
            versions.push((len, index.clone()));
        }
        for (len, index) in versions {
            for (position, block) in (0..).zip(&blocks) {
                assert_eq!(index.find(block, &pieces), (position < len).then_some(position));
            }
        }
        assert_eq!(Index::default().find("{}", &pieces), None);
    }
}
