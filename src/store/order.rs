//! The order in which a scrape lists the series of a family.
//!
//! The stock gateway sorts everything on every scrape. Here the order of a family is kept between
//! scrapes, and only series that are new are sorted and put in.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;

use crate::model::labels::{scrape_order, write_sort_key};

/// One series: the slot of its group within the family, and its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The slot.
    pub slot: u32,
    /// The position.
    pub position: u32,
}

/// The series of one slot: how many, and an epoch that changes when positions change their meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The epoch.
    pub epoch: u64,
    /// How many series there are.
    pub len: u32,
}

/// The orders of all families.
#[derive(Debug, Default)]
pub struct Orders {
    families: Mutex<HashMap<Box<str>, Known, RandomState>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    extents: Vec<Extent>,
    entries: Arc<Vec<Entry>>,
}

impl Orders {
    /// The order of a family whose slots hold `extents`; `block` gives the label block of a series.
    pub fn of<'a>(
        &self,
        name: &str,
        extents: &[Extent],
        block: impl Fn(Entry) -> &'a str,
    ) -> Arc<Vec<Entry>> {
        let mut known = self.lock().get(name).cloned().unwrap_or_default();
        if known.extents != extents {
            known = known.brought_up_to(extents, block);
            self.lock().insert(name.into(), known.clone());
        }
        known.entries
    }

    /// How many series of this slot, which has this extent, stand in no order yet.
    pub fn unordered(&self, name: &str, slot: u32, extent: Extent) -> u32 {
        extent.len - self.lock().get(name).map_or(0, |known| known.len_of(slot, extent))
    }

    /// Those series of one slot that `is_wanted`, by position, in order. Does not keep the order of those that
    /// are new.
    pub fn of_slot<'a>(
        &self,
        name: &str,
        slot: u32,
        extent: Extent,
        is_wanted: impl Fn(u32) -> bool,
        block: impl Fn(u32) -> &'a str,
    ) -> Vec<Entry> {
        let known = self.lock().get(name).map(|known| (known.len_of(slot, extent), known.entries.clone()));
        let (known, entries) = known.unwrap_or_default();
        let is_kept =
            |entry: &&Entry| entry.slot == slot && entry.position < known && is_wanted(entry.position);
        let kept: Vec<Entry> = entries.iter().filter(is_kept).copied().collect();
        let fresh = (known..extent.len).filter(|position| is_wanted(*position));
        let fresh = fresh.map(|position| Entry { slot, position }).collect();
        let block = |entry: Entry| block(entry.position);
        merged(&kept, &sorted(fresh, block), block)
    }

    /// Forgets the families that `is_live` does not know.
    pub fn retain(&self, is_live: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| is_live(name));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Known, RandomState>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// How many series of this slot, which has this extent, are in the order.
    fn len_of(&self, slot: u32, extent: Extent) -> u32 {
        match self.extents.get(slot as usize) {
            Some(known) if known.epoch == extent.epoch && known.len <= extent.len => known.len,
            _ => 0,
        }
    }

    fn brought_up_to<'a>(&self, extents: &[Extent], block: impl Fn(Entry) -> &'a str) -> Known {
        let known: Vec<u32> = (0..).zip(extents).map(|(slot, extent)| self.len_of(slot, *extent)).collect();
        let mut kept: Vec<Entry> = self
            .entries
            .iter()
            .copied()
            .filter(|entry| known.get(entry.slot as usize).is_some_and(|len| entry.position < *len))
            .collect();
        let mut fresh: Vec<Entry> = Vec::new();
        for (slot, (extent, known)) in extents.iter().zip(&known).enumerate() {
            let slot = slot as u32;
            fresh.extend((*known..extent.len).map(|position| Entry { slot, position }));
        }
        // Merging costs a search per new series, sorting a pass over all of them.
        let entries = if fresh.len() > kept.len() / 8 {
            kept.append(&mut fresh);
            sorted(kept, &block)
        } else {
            merged(&kept, &sorted(fresh, &block), &block)
        };
        Known { extents: extents.to_vec(), entries: Arc::new(entries) }
    }
}

/// `kept` with `fresh`, both in order.
fn merged<'a>(kept: &[Entry], fresh: &[Entry], block: impl Fn(Entry) -> &'a str) -> Vec<Entry> {
    let mut out = Vec::with_capacity(kept.len() + fresh.len());
    let mut rest = kept;
    for &entry in fresh {
        let new = block(entry);
        let before = rest.partition_point(|&old| scrape_order(block(old), new) == Ordering::Less);
        out.extend_from_slice(&rest[..before]);
        out.push(entry);
        rest = &rest[before..];
    }
    out.extend_from_slice(rest);
    out
}

/// `entries` in the order of a scrape.
pub fn sorted<'a>(entries: Vec<Entry>, block: impl Fn(Entry) -> &'a str) -> Vec<Entry> {
    let mut keys =
        Keys { bytes: Vec::with_capacity(entries.len() * 48), ends: Vec::with_capacity(entries.len()) };
    for &entry in &entries {
        write_sort_key(&mut keys.bytes, block(entry));
        keys.ends.push(keys.bytes.len());
    }
    let mut items: Vec<Item> = (0..entries.len() as u32).map(|at| Item { prefix: 0, at }).collect();
    sort(&keys, &mut items, 0, 0);
    items.iter().map(|item| entries[item.at as usize]).collect()
}

/// The sort keys of some entries, one after the other.
struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// What follows the first `depth` bytes of a key.
    fn after(&self, at: u32, depth: usize) -> &[u8] {
        let at = at as usize;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        let key = &self.bytes[start..self.ends[at]];
        &key[depth.min(key.len())..]
    }
}

#[derive(Clone, Copy)]
struct Item {
    /// Eight bytes of the key from the current depth.
    prefix: u64,
    at: u32,
}

/// Beyond this many levels keys are compared as a whole, so that hostile keys can't exhaust the stack.
const DEEPEST: u32 = 64;

/// A multikey sort: keys share long prefixes, so they are compared eight bytes at a time, from where
/// they begin to differ.
fn sort(keys: &Keys, items: &mut [Item], depth: usize, level: u32) {
    let Some(first) = items.first().map(|item| item.at) else { return };
    if items.len() == 1 {
        return;
    }
    if level > DEEPEST {
        items.sort_unstable_by(|a, b| keys.after(a.at, depth).cmp(keys.after(b.at, depth)));
        return;
    }
    let first = keys.after(first, depth);
    let shared = items[1..].iter().fold(first.len(), |shared, item| {
        let key = keys.after(item.at, depth);
        first[..shared].iter().zip(key).take_while(|(a, b)| a == b).count()
    });
    let depth = depth + shared;
    for item in items.iter_mut() {
        let key = keys.after(item.at, depth);
        let mut prefix = [0u8; 8];
        let length = key.len().min(8);
        prefix[..length].copy_from_slice(&key[..length]);
        item.prefix = u64::from_be_bytes(prefix);
    }
    items.sort_unstable_by_key(|item| item.prefix);
    for run in items.chunk_by_mut(|a, b| a.prefix == b.prefix) {
        // Keys that are equal to the end are those of equal blocks, which can't be; a key that ends
        // within the prefix is padded, and differs from a longer one later or not at all.
        if run.len() > 1 && run.iter().any(|item| keys.after(item.at, depth).len() > 8) {
            sort(keys, run, depth + 8, level + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks() -> impl Strategy<Value = Vec<String>> {
        let value = prop_oneof!["[ab]{0,2}", "prefix-that-is-shared-[ab]{0,12}", "[\u{0}\u{1}a]{0,3}"];
        prop::collection::vec((value.clone(), prop::option::of(value)), 1..40).prop_map(|sets| {
            let block = |(at, (a, b)): (usize, (String, Option<String>))| match b {
                Some(b) => crate::model::labels::block_of([("a", &*a), ("b", &*b), ("c", &*at.to_string())]),
                None => crate::model::labels::block_of([("a", &*a), ("d", &*at.to_string())]),
            };
            sets.into_iter().enumerate().map(block).collect()
        })
    }

    proptest! {
        #[test]
        fn growing_step_by_step_gives_the_same_order(blocks in blocks(), steps in prop::collection::vec(1usize..20, 1..6)) {
            let name = "m";
            let orders = Orders::default();
            let mut len = 0;
            for step in steps {
                len = (len + step).min(blocks.len());
                let extent = Extent { epoch: 1, len: len as u32 };
                let order = orders.of(name, &[extent], |entry| &blocks[entry.position as usize]);
                let got: Vec<&str> = order.iter().map(|entry| &*blocks[entry.position as usize]).collect();
                let mut expected: Vec<&str> = blocks[..len].iter().map(|b| &**b).collect();
                expected.sort_by(|a, b| scrape_order(a, b));
                prop_assert_eq!(got, expected);
            }
        }
    }

    proptest! {
        #[test]
        fn one_slot_is_listed_in_the_order_of_all(
            blocks in blocks(), ordered in 0usize..40, wanted in prop::collection::vec(any::<bool>(), 40),
        ) {
            let name = "m";
            let orders = Orders::default();
            let ordered = ordered.min(blocks.len());
            // Slots 0 and 1 are in the order, slot 0 has grown since.
            let known = [ordered as u32, 3].map(|len| Extent { epoch: 1, len });
            let others = ["{a=\"\"}", "{a=\"b\"}", "{z=\"a\"}"];
            orders.of(name, &known, |entry| match entry.slot {
                0 => &blocks[entry.position as usize],
                _ => others[entry.position as usize],
            });
            let extent = Extent { epoch: 1, len: blocks.len() as u32 };
            prop_assert_eq!(orders.unordered(name, 0, extent), (blocks.len() - ordered) as u32);
            for (slot, epoch) in [(0, 1), (0, 2), (5, 1)] {
                let extent = Extent { epoch, ..extent };
                let block = |position: u32| &*blocks[position as usize];
                let got = orders.of_slot(name, slot, extent, |position| wanted[position as usize], block);
                prop_assert!(got.iter().all(|entry| entry.slot == slot));
                let got: Vec<&str> = got.iter().map(|entry| block(entry.position)).collect();
                let expected = blocks.iter().zip(&wanted).filter(|(_, wanted)| **wanted);
                let mut expected: Vec<&str> = expected.map(|(block, _)| &**block).collect();
                expected.sort_by(|a, b| scrape_order(a, b));
                prop_assert_eq!(got, expected);
            }
        }
    }

    #[test]
    fn a_new_epoch_forgets_the_old_series() {
        let name = "m";
        let orders = Orders::default();
        let old = ["{a=\"2\"}", "{a=\"1\"}"];
        let order = orders.of(name, &[Extent { epoch: 1, len: 2 }], |e| old[e.position as usize]);
        assert_eq!(order.iter().map(|e| e.position).collect::<Vec<_>>(), [1, 0]);
        let order = orders.of(name, &[Extent { epoch: 2, len: 1 }], |_| "{a=\"9\"}");
        assert_eq!(order.iter().map(|e| e.position).collect::<Vec<_>>(), [0]);
    }
}
