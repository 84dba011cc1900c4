//! The order in which a scrape lists the series of a family.
//!
//! The stock gateway sorts everything at every scrape. Here the order of a family is kept between scrapes, and only
//! new series are sorted and inserted.

mod sorted;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use crate::model::labels::scrape_order;
pub use sorted::sorted;

/// One series: the slot of its group within the family, and its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The slot.
    pub slot: u32,
    /// The position.
    pub position: u32,
}

/// The series in one slot: their number, and an epoch that changes when positions stand for other series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The epoch.
    pub epoch: u64,
    /// How many series there are.
    pub len: u32,
}

/// A slot and the series in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The slot.
    pub slot: u32,
    /// Its series.
    pub extent: Extent,
}

/// Series in the order of a scrape.
#[derive(Clone, Debug)]
pub enum Order {
    /// A single series, as in very many families.
    One([Entry; 1]),
    /// Any number, shared.
    Many(Arc<Vec<Entry>>),
}

impl Deref for Order {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        match self {
            Order::One(entry) => entry,
            Order::Many(entries) => entries,
        }
    }
}

/// The series of these slots if there is only one.
fn single(extents: &[Extent]) -> Option<Entry> {
    let mut filled = (0..).zip(extents).filter(|(_, extent)| extent.len > 0);
    match (filled.next(), filled.next()) {
        (Some((slot, Extent { len: 1, .. })), None) => Some(Entry { slot, position: 0 }),
        _ => None,
    }
}

/// The sort orders of all families.
#[derive(Debug, Default)]
pub struct Orders {
    families: Mutex<HashMap<Box<str>, Known, RandomState>>,
    /// Held while an order is updated. Only one update at a time needs memory, and scrapes that want the same order
    /// wait for it. Taken before `families`, and no other lock is taken while it is held.
    sorting: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    extents: Vec<Extent>,
    entries: Arc<Vec<Entry>>,
}

impl Orders {
    /// The order of a family whose slots have `extents`. `block` returns the label block of a series.
    pub fn of<'a>(&self, name: &str, extents: &[Extent], block: impl Fn(Entry) -> &'a str) -> Order {
        // A single series is not kept: its order would take as much memory as the series.
        if let Some(entry) = single(extents) {
            return Order::One([entry]);
        }
        if let Some(entries) = self.known(name, extents) {
            return Order::Many(entries);
        }
        let _sorting = self.sorting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entries) = self.known(name, extents) {
            return Order::Many(entries);
        }
        let known = self.lock().get(name).cloned().unwrap_or_default();
        let known = known.brought_up_to(extents, block);
        let entries = known.entries.clone();
        self.lock().insert(name.into(), known);
        Order::Many(entries)
    }

    /// The order, if it is up to date.
    fn known(&self, name: &str, extents: &[Extent]) -> Option<Arc<Vec<Entry>>> {
        self.lock().get(name).filter(|known| known.extents == extents).map(|known| known.entries.clone())
    }

    /// How many series of this slot, which has this extent, are not sorted yet.
    pub fn unordered(&self, name: &str, slot: u32, extent: Extent) -> u32 {
        extent.len - self.lock().get(name).map_or(0, |known| known.len_of(slot, extent))
    }

    /// The series of one slot for which `is_wanted` is true for their position, in order: at most `limit` after the
    /// first `offset`. Does not keep the order of new ones.
    pub fn of_slot<'a>(
        &self,
        name: &str,
        Slot { slot, extent }: Slot,
        (offset, limit): (usize, usize),
        is_wanted: impl Fn(u32) -> bool,
        block: impl Fn(u32) -> &'a str,
    ) -> Vec<Entry> {
        let known = self.lock().get(name).map(|known| (known.len_of(slot, extent), known.entries.clone()));
        let (known, entries) = known.unwrap_or_default();
        let fresh = (known..extent.len).filter(|position| is_wanted(*position));
        let fresh = fresh.map(|position| Entry { slot, position }).collect();
        let fresh = sorted(fresh, |entry| block(entry.position));
        let is_kept =
            |entry: &&Entry| entry.slot == slot && entry.position < known && is_wanted(entry.position);
        let mut kept = entries.iter().filter(is_kept).copied().peekable();
        let mut fresh = fresh.into_iter().peekable();
        let comes_first = |a: &Entry, b: &Entry| scrape_order(block(a.position), block(b.position)).is_lt();
        let all = std::iter::from_fn(|| match (kept.peek(), fresh.peek()) {
            (Some(old), Some(new)) if comes_first(new, old) => fresh.next(),
            (Some(_), _) => kept.next(),
            (None, _) => fresh.next(),
        });
        all.skip(offset).take(limit).collect()
    }

    /// Drops the orders of families for which `is_live` is false.
    pub fn retain(&self, is_live: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| is_live(name));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Known, RandomState>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// How many series of this slot, which has this extent, are in the order already.
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
        // Merging costs a search for each new series. Sorting costs a pass over all series.
        let entries = if fresh.len() > kept.len() / 8 {
            kept.append(&mut fresh);
            sorted(kept, &block)
        } else {
            merged(&kept, &sorted(fresh, &block), &block)
        };
        Known { extents: extents.to_vec(), entries: Arc::new(entries) }
    }
}

/// Merges `kept` and `fresh`, both in order.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::labels::block_of;
    use proptest::prelude::*;

    fn blocks() -> impl Strategy<Value = Vec<String>> {
        let value = prop_oneof![
            "[ab]{0,2}",
            "prefix-that-is-shared-[ab]{0,12}",
            "[\u{0}\u{1}a]{0,3}",
            "shared-[\\\\\"\n,{}=a]{0,9}",
            "[aé\\\\\u{0}]{5,9}",
        ];
        let name = prop_oneof!["b", "b", "[b\"\\\\,=]{1,3}"];
        prop::collection::vec((value.clone(), prop::option::of((name, value))), 1..40).prop_map(|sets| {
            let block = |(at, (a, b)): (usize, (String, Option<(String, String)>))| match b {
                Some((name, b)) => block_of([("a", &*a), (&*name, &*b), ("c", &*at.to_string())]),
                None => block_of([("a", &*a), ("d", &*at.to_string())]),
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
            window in (0usize..45, 0usize..45),
        ) {
            let name = "m";
            let orders = Orders::default();
            let ordered = ordered.min(blocks.len());
            // Slots 0 and 1 are in the order, and slot 0 has grown since.
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
                let slot = Slot { slot, extent };
                let all = orders.of_slot(name, slot, (0, usize::MAX), |position| wanted[position as usize], block);
                let page = orders.of_slot(name, slot, window, |position| wanted[position as usize], block);
                let expected = all.iter().skip(window.0).take(window.1).copied();
                prop_assert_eq!(page, expected.collect::<Vec<_>>());
                let (got, slot) = (all, slot.slot);
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
    fn who_wants_the_same_order_waits_for_it() {
        let blocks: Vec<String> =
            (0..5000).map(|at| block_of([("a", &*(at * 7 % 5000).to_string())])).collect();
        let extents = [Extent { epoch: 1, len: blocks.len() as u32 }];
        let asked = |threads: usize| {
            let (orders, asked) = (Orders::default(), std::sync::atomic::AtomicUsize::new(0));
            let block = |entry: Entry| {
                asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                &*blocks[entry.position as usize]
            };
            let all = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..threads).map(|_| scope.spawn(|| orders.of("m", &extents, block))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            assert!(all.iter().all(|order| std::ptr::eq(&**order, &*all[0])));
            asked.into_inner()
        };
        assert_eq!(asked(8), asked(1));
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
