//! Idempotency keys: which requests have been applied already.
//!
//! A key counts for one method and one group, within a time window. While the process runs, its age is measured on
//! the monotonic clock, so that setting the system clock forward makes no key expire. A refused request is not
//! remembered, so it can be corrected and sent again with the same key.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::model::time::{Moment, nanos_of};

/// Requests whose keys fall on the same stripe wait for each other. A retry must wait for the first try. That
/// unrelated requests sometimes wait too costs little.
const STRIPES: usize = 256;

/// The idempotency key of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// A hash of method, group and key.
    pub id: u128,
    /// A hash of the body and its content type. The same key with another fingerprint is an error of the client.
    pub fingerprint: u128,
}

/// A remembered key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts the remembered keys, from the first one that the store ever had.
    pub number: u64,
    /// The key.
    pub key: Key,
    /// When the request was applied, in nanoseconds since the epoch.
    pub at: i64,
}

/// A key with its age in this process.
#[derive(Clone, Copy, Debug)]
struct Remembrance {
    record: Record,
    /// When the request was applied, on the monotonic clock.
    steady: i64,
}

impl Remembrance {
    /// Whether the window is over.
    fn is_old(&self, window: i64, now: Moment) -> bool {
        self.steady.saturating_add(window) < now.steady
    }
}

/// What the gateway knows about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The key is not remembered.
    Unknown,
    /// The same request was applied.
    Applied,
    /// Another request with this key was applied.
    Different,
}

/// The remembered keys, oldest first.
#[derive(Debug)]
pub struct Keys {
    window: i64,
    most: usize,
    remembered: Mutex<Remembered>,
    stripes: Box<[Mutex<()>]>,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Remembered {
    /// The number of each key, by its id.
    numbers: HashMap<u128, u64, RandomState>,
    /// Sorted by number. The numbers may have gaps.
    records: VecDeque<Remembrance>,
    next: u64,
}

impl Keys {
    /// No keys yet. Keys count for `window`, and at most `most` are remembered.
    pub fn new(window: Duration, most: usize) -> Keys {
        Keys {
            most,
            window: nanos_of(window),
            remembered: Mutex::default(),
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            evicted: AtomicU64::new(0),
        }
    }

    /// Makes other requests with this key wait until the guard is dropped.
    pub fn claim(&self, key: &Key) -> MutexGuard<'_, ()> {
        self.stripes[(key.id % STRIPES as u128) as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks a key up.
    pub fn known(&self, key: &Key, now: Moment) -> Known {
        let remembered = self.lock();
        let Some(record) = remembered.numbers.get(&key.id).and_then(|number| remembered.get(*number)) else {
            return Known::Unknown;
        };
        if record.is_old(self.window, now) {
            Known::Unknown
        } else if record.record.key.fingerprint == key.fingerprint {
            Known::Applied
        } else {
            Known::Different
        }
    }

    /// Forgets expired keys, and the oldest ones if there are too many.
    pub fn trim(&self, now: Moment) {
        self.trim_to(self.most, now, &mut self.lock());
    }

    fn trim_to(&self, most: usize, now: Moment, remembered: &mut Remembered) {
        while let Some(oldest) = remembered.records.front() {
            let is_old = oldest.is_old(self.window, now);
            if !is_old && remembered.records.len() <= most {
                break;
            }
            if !is_old {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
            remembered.forget_oldest();
        }
    }

    /// Remembers a key and returns its number. If the key may still be taken back, no older key is forgotten for it
    /// now; [`Keys::trim`] does that later.
    pub fn remember(&self, key: Key, now: Moment, may_be_taken_back: bool) -> u64 {
        let mut remembered = self.lock();
        if !may_be_taken_back {
            self.trim_to(self.most.saturating_sub(1), now, &mut remembered);
        }
        let number = remembered.next;
        let record = Record { number, key, at: now.nanos };
        remembered.push(Remembrance { record, steady: now.steady });
        number
    }

    /// Restores a key that was remembered before the gateway started at `now`. Must be called in the order of the
    /// numbers.
    pub fn restore(&self, record: Record, now: Moment) {
        let age = now.nanos.saturating_sub(record.at).max(0);
        self.lock().push(Remembrance { record, steady: now.steady.saturating_sub(age) });
    }

    /// Gives the next key this number at least.
    pub fn begin_at(&self, number: u64) {
        let mut remembered = self.lock();
        remembered.next = remembered.next.max(number);
    }

    /// Forgets the keys from this number on, because their requests were not applied after all.
    pub fn forget_from(&self, number: u64) {
        let mut remembered = self.lock();
        while remembered.records.back().is_some_and(|newest| newest.record.number >= number) {
            let Some(newest) = remembered.records.pop_back() else { return };
            remembered.forget(&newest.record);
        }
        remembered.next = number;
    }

    /// The number that the next key gets.
    pub fn next(&self) -> u64 {
        self.lock().next
    }

    /// The number of the oldest key.
    pub fn first(&self) -> u64 {
        self.lock().first()
    }

    /// The keys with these numbers that are still remembered, in order.
    pub fn records(&self, mut numbers: Vec<u64>) -> Vec<Record> {
        numbers.sort_unstable();
        numbers.dedup();
        let remembered = self.lock();
        numbers.iter().filter_map(|number| remembered.get(*number)).map(|known| known.record).collect()
    }

    /// The keys from this number on, in order.
    pub fn from(&self, number: u64) -> Vec<Record> {
        let remembered = self.lock();
        let first = remembered.records.partition_point(|known| known.record.number < number);
        remembered.records.range(first..).map(|known| known.record).collect()
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.lock().records.len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys were forgotten before their time was over.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// How long keys are remembered at the moment: the window, or less if there are too many keys.
    pub fn effective_window(&self, now: Moment) -> Duration {
        let remembered = self.lock();
        let window = match remembered.records.front() {
            Some(oldest) if remembered.records.len() >= self.most => {
                now.steady.saturating_sub(oldest.steady).clamp(0, self.window)
            }
            _ => self.window,
        };
        Duration::from_nanos(window.unsigned_abs())
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    fn first(&self) -> u64 {
        self.records.front().map_or(self.next, |oldest| oldest.record.number)
    }

    fn get(&self, number: u64) -> Option<&Remembrance> {
        let at = self.records.binary_search_by_key(&number, |known| known.record.number).ok()?;
        self.records.get(at)
    }

    fn push(&mut self, known: Remembrance) {
        self.next = known.record.number + 1;
        self.numbers.insert(known.record.key.id, known.record.number);
        self.records.push_back(known);
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.records.pop_front() {
            self.forget(&oldest.record);
        }
    }

    /// Forgets the identity of a key, unless the same key has come again since.
    fn forget(&mut self, record: &Record) {
        if self.numbers.get(&record.key.id) == Some(&record.number) {
            self.numbers.remove(&record.key.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_KEYS: usize = 1000;

    const HOUR: i64 = 3_600_000_000_000;

    fn key(id: u128) -> Key {
        Key { id, fingerprint: id + 1 }
    }

    fn at(nanos: i64) -> Moment {
        Moment::at(nanos)
    }

    #[test]
    fn a_key_is_known_for_the_window_and_no_longer() {
        let keys = Keys::new(Duration::from_secs(3600), MAX_KEYS);
        assert_eq!(keys.known(&key(1), at(0)), Known::Unknown);
        keys.remember(key(1), at(10), false);
        assert_eq!(keys.known(&key(1), at(10 + HOUR)), Known::Applied);
        assert_eq!(keys.known(&Key { id: 1, fingerprint: 9 }, at(11)), Known::Different);
        assert_eq!(keys.known(&key(1), at(11 + HOUR)), Known::Unknown);
        assert_eq!(keys.remember(key(1), at(11 + HOUR), false), 1);
        assert_eq!((keys.first(), keys.len(), keys.evicted()), (1, 1, 0));
        assert_eq!(keys.known(&key(1), at(12 + HOUR)), Known::Applied);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let keys = Keys::new(Duration::from_secs(3600), MAX_KEYS);
        for id in 0..=MAX_KEYS as u128 {
            keys.remember(key(id), at(id as i64), false);
        }
        assert_eq!((keys.len(), keys.evicted(), keys.first()), (MAX_KEYS, 1, 1));
        assert_eq!(keys.known(&key(0), at(MAX_KEYS as i64)), Known::Unknown);
        assert_eq!(keys.known(&key(1), at(MAX_KEYS as i64)), Known::Applied);
        assert_eq!(keys.effective_window(at(MAX_KEYS as i64)), Duration::from_nanos(MAX_KEYS as u64 - 1));
    }

    #[test]
    fn keys_of_what_was_not_applied_after_all_are_forgotten() {
        let keys = Keys::new(Duration::from_secs(3600), MAX_KEYS);
        keys.remember(key(1), at(1), false);
        let from = keys.next();
        keys.remember(key(2), at(2), false);
        keys.forget_from(from);
        assert_eq!(keys.known(&key(2), at(3)), Known::Unknown);
        assert_eq!((keys.next(), keys.known(&key(1), at(3))), (from, Known::Applied));
    }

    #[test]
    fn a_clock_that_is_set_makes_no_key_old() {
        let keys = Keys::new(Duration::from_secs(3600), MAX_KEYS);
        keys.remember(key(1), Moment { nanos: 10, steady: 10 }, false);
        let set_forward = |steady| Moment { nanos: 24 * HOUR, steady };
        assert_eq!(keys.known(&key(1), set_forward(20)), Known::Applied);
        keys.trim(set_forward(20));
        assert_eq!(keys.known(&key(1), set_forward(11 + HOUR)), Known::Unknown);
        // The clock was ahead when the key was stored. The key is remembered for the whole window.
        keys.restore(Record { number: 5, key: key(2), at: 9 * HOUR }, Moment { nanos: HOUR, steady: 7 });
        assert_eq!(keys.known(&key(2), Moment { nanos: HOUR, steady: HOUR }), Known::Applied);
        keys.restore(Record { number: 6, key: key(3), at: 0 }, Moment { nanos: 2 * HOUR, steady: 7 });
        assert_eq!(keys.known(&key(3), Moment { nanos: 2 * HOUR, steady: 8 }), Known::Unknown);
    }

    #[test]
    fn restored_keys_go_on_with_their_numbers() {
        let keys = Keys::new(Duration::from_secs(3600), MAX_KEYS);
        keys.restore(Record { number: 7, key: key(1), at: 5 }, at(6));
        keys.restore(Record { number: 9, key: key(2), at: 6 }, at(6));
        assert_eq!((keys.first(), keys.next()), (7, 10));
        assert_eq!(keys.known(&key(1), at(7)), Known::Applied);
        let records = keys.records(vec![9, 8, 9]);
        assert_eq!(records.iter().map(|record| record.at).collect::<Vec<_>>(), [6]);
    }
}
