//! What transactions do beside the groups: deadlines that come, and what is counted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Store;
use crate::store::deadlines::Subject;
use crate::store::structure::Structure;

/// What is counted, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Groups that went because nobody pushed to them.
    pub expired_groups: u64,
    /// Sources that went because they did not push, or whose values did.
    pub expired_sources: u64,
    /// Series that went because no push brought them.
    pub expired_series: u64,
    /// Pushed series that were added to an overflow series.
    pub overflowed: u64,
    /// Pushes of senders of running totals that had begun anew.
    pub restarts: u64,
}

/// The same for all transactions that are published.
#[derive(Debug, Default)]
pub(super) struct Tallies([AtomicU64; COUNTS]);

const COUNTS: usize = 5;

impl Tallies {
    pub(super) fn add(&self, tally: Tally) {
        for (all, more) in self.0.iter().zip(tally.counts()) {
            // Most transactions have nothing to count.
            if more > 0 {
                all.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    fn read(&self) -> Tally {
        Tally::of(self.0.each_ref().map(|count| count.load(Ordering::Relaxed)))
    }
}

impl Tally {
    fn counts(self) -> [u64; COUNTS] {
        let Tally { expired_groups, expired_sources, expired_series, overflowed, restarts } = self;
        [expired_groups, expired_sources, expired_series, overflowed, restarts]
    }

    fn of(counts: [u64; COUNTS]) -> Tally {
        let [expired_groups, expired_sources, expired_series, overflowed, restarts] = counts;
        Tally { expired_groups, expired_sources, expired_series, overflowed, restarts }
    }

    fn add(&mut self, other: Tally) {
        let (mut counts, more) = (self.counts(), other.counts());
        counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        *self = Tally::of(counts);
    }
}

/// What transactions do that are not published yet.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// What may be over, and when; in nanoseconds since the epoch.
    pub(super) ends: Vec<(Subject, i64)>,
    pub(super) tally: Tally,
}

impl Effects {
    /// Takes in what later transactions do.
    pub(super) fn add(&mut self, mut later: Effects) {
        self.ends.append(&mut later.ends);
        self.tally.add(later.tally);
    }
}

impl Store {
    /// What was counted so far.
    pub fn tally(&self) -> Tally {
        self.tallies.read()
    }

    /// Whether something may be over earlier than anything else was to be, since the last call.
    pub fn take_sooner(&self) -> bool {
        self.is_sooner.load(Ordering::Relaxed) && self.is_sooner.swap(false, Ordering::Relaxed)
    }

    /// Lets what was published have its effects.
    pub(super) fn settle(&self, effects: Effects, structure: &mut Structure) {
        self.tallies.add(effects.tally);
        for (subject, deadline) in effects.ends {
            let is_first = structure.deadlines.first().is_none_or(|first| deadline < first);
            structure.deadlines.add(subject, deadline);
            if is_first {
                self.is_sooner.store(true, Ordering::Relaxed);
            }
        }
    }
}
