//! What was decided, by text: bounded, and read by many threads at once.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Longer texts are decided anew each time.
const LONGEST_KEY: usize = 1024;

/// How much some caches may take together.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    most: usize,
}

impl Budget {
    /// A budget of so many bytes.
    pub(super) fn new(most: usize) -> Arc<Budget> {
        Arc::new(Budget { used: AtomicUsize::new(0), most })
    }
}

/// Decisions by text.
#[derive(Debug)]
pub(super) struct Cache<V> {
    shards: Box<[RwLock<Shard<V>>]>,
    hasher: RandomState,
    /// About how much an entry takes beside so many times its text, in bytes.
    cost: (usize, usize),
}

#[derive(Debug)]
struct Shard<V> {
    entries: HashTable<(Box<str>, Arc<V>)>,
    budget: Arc<Budget>,
    /// What it has used of the budget.
    bytes: usize,
}

impl<V> Cache<V> {
    /// An empty cache of one shard for each of these budgets. An entry takes about `bytes`, and `times` its text.
    pub(super) fn new(
        budgets: impl IntoIterator<Item = Arc<Budget>>,
        bytes: usize,
        times: usize,
    ) -> Cache<V> {
        let shard = |budget| RwLock::new(Shard { entries: HashTable::new(), budget, bytes: 0 });
        let shards = budgets.into_iter().map(shard).collect();
        Cache { shards, hasher: RandomState::default(), cost: (bytes, times) }
    }

    /// The decision for a text, which is made if it is not known.
    #[inline]
    pub(super) fn get_or(&self, key: &str, decide: impl FnOnce() -> Arc<V>) -> Arc<V> {
        let hash = self.hasher.hash_one(key);
        // The table uses the highest and the lowest bits itself.
        let shard = &self.shards[(hash >> 32) as usize % self.shards.len()];
        let known = {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.entries.find(hash, |(own, _)| **own == *key).map(|(_, value)| Arc::clone(value))
        };
        known.unwrap_or_else(|| self.add(shard, hash, key, decide()))
    }

    #[cold]
    fn add(&self, shard: &RwLock<Shard<V>>, hash: u64, key: &str, value: Arc<V>) -> Arc<V> {
        let cost = self.cost.0 + self.cost.1 * key.len();
        if key.len() > LONGEST_KEY {
            return value;
        }
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let budget = Arc::clone(&shard.budget);
        if let Some((_, known)) = shard.entries.find(hash, |(own, _)| **own == *key) {
            return Arc::clone(known);
        }
        let mut old = HashTable::new();
        if budget.used.fetch_add(cost, Ordering::Relaxed) + cost > budget.most {
            budget.used.fetch_sub(std::mem::take(&mut shard.bytes), Ordering::Relaxed);
            std::mem::swap(&mut shard.entries, &mut old);
            if budget.used.load(Ordering::Relaxed) > budget.most {
                // Others hold the rest.
                budget.used.fetch_sub(cost, Ordering::Relaxed);
                return value;
            }
        }
        shard.bytes += cost;
        let hasher = &self.hasher;
        shard
            .entries
            .insert_unique(hash, (key.into(), Arc::clone(&value)), |(own, _)| hasher.hash_one(&**own));
        drop(shard);
        drop(old);
        value
    }

    /// How many decisions are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap().entries.len()).sum()
    }
}

impl<V> Drop for Cache<V> {
    fn drop(&mut self) {
        for shard in &mut self.shards {
            let shard = shard.get_mut().unwrap_or_else(PoisonError::into_inner);
            shard.budget.used.fetch_sub(shard.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_made_once_and_the_cache_stays_bounded() {
        let cache = Cache::new([Budget::new(10_000)], 90, 1);
        let mut most = 0;
        let first = cache.get_or("key", || Arc::new(1));
        assert!(Arc::ptr_eq(&first, &cache.get_or("key", || Arc::new(2))));
        for number in 0..10_000 {
            let key = format!("{number:010}");
            assert_eq!(*cache.get_or(&key, || Arc::new(number)), number);
            assert_eq!(*cache.get_or(&key, || Arc::new(-1)), number, "it is not kept");
            most = most.max(cache.len());
        }
        assert_eq!(most, 100);
        let long = "k".repeat(LONGEST_KEY + 1);
        let before = cache.len();
        assert_eq!((*cache.get_or(&long, || Arc::new(3)), cache.len()), (3, before));
    }

    #[test]
    fn caches_share_a_budget() {
        let budget = Budget::new(1000);
        let caches = [(); 2].map(|()| Cache::new([Arc::clone(&budget)], 100, 0));
        let [first, second] = &caches;
        for number in 0..10 {
            first.get_or(&number.to_string(), || Arc::new(number));
        }
        // There is no room, but the decision is right.
        assert_eq!(*second.get_or("a", || Arc::new(5)), 5);
        assert_eq!((first.len(), second.len()), (10, 0));
        first.get_or("more", || Arc::new(7));
        second.get_or("a", || Arc::new(6));
        assert_eq!((first.len(), second.len()), (1, 1));
        drop(caches);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
