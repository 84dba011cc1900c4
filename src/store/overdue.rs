//! Finds expired groups and series.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::store::deadlines::{Fate, Most, Subject};
use crate::store::group_labels::GroupLabels;
use crate::store::sight::{Outlook, Sight};
use crate::store::times::Times;
use crate::store::{Seen, Store};

/// How many groups and pieces are asked at most for each that may have expired, because a look holds the structure.
const ASKED_PER_OVER: usize = 4;

/// An expired group, or a group with expired series.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// The labels of the group.
    pub labels: Arc<GroupLabels>,
    /// The times of the group when it was checked.
    pub seen: Times,
    /// The families with expired series. Empty if the whole group has expired.
    pub families: Vec<Arc<str>>,
}

/// What has expired.
#[derive(Debug)]
pub struct Look {
    /// The groups that have expired, or have expired series.
    pub over: Vec<Overdue>,
    /// Whether that is all. If not, the next look goes on.
    pub is_all: bool,
    /// What was known.
    pub sight: Sight,
}

impl Store {
    /// The earliest time at which something may expire, in nanoseconds since the epoch. `None` if nothing can.
    pub fn next_end(&self) -> Option<i64> {
        self.hold().deadlines.next(self.scraped.load(Ordering::Relaxed))
    }

    /// Notes that a scrape was sent whole. Returns whether something may expire because of it.
    pub fn note_scraped(&self, seen: Seen) -> bool {
        self.scraped.fetch_max(seen.0, Ordering::Relaxed);
        let deadlines = &self.hold().deadlines;
        deadlines.next(seen.0) != deadlines.first()
    }

    /// What has expired at `now`, in nanoseconds since the epoch: at most `most` groups and pieces of families. Each is
    /// found again until it is removed.
    pub fn overdue(&self, now: i64, most: usize) -> Look {
        let sight = Sight { now, scraped: self.scraped.load(Ordering::Relaxed) };
        let mut structure = self.hold();
        let mut found = Vec::new();
        let most = Most { over: most, asked: most.saturating_mul(ASKED_PER_OVER) };
        let (over, is_all) = structure.deadlines.over(now, sight.scraped, most, |subject| {
            let outlook = self.groups.read(&subject.group, |group| {
                let outlook = group.outlook(subject.piece.as_ref(), sight)?;
                Some((group.labels.clone(), group.times, outlook))
            });
            let Some((labels, seen, Outlook { is_over, next, waits_since })) = outlook.flatten() else {
                return Fate::Gone;
            };
            if is_over {
                found.push((labels, seen));
                return Fate::Over;
            }
            next.map_or(Fate::Gone, |deadline| Fate::Later { deadline, waits_since })
        });
        Look { over: by_group(over, found), is_all, sight }
    }
}

/// What is over, each group once. One that goes takes its series along.
fn by_group(over: Vec<Subject>, found: Vec<(Arc<GroupLabels>, Times)>) -> Vec<Overdue> {
    let mut over: Vec<_> = over.into_iter().zip(found).collect();
    over.sort_by(|(a, _), (b, _)| a.group.cmp(&b.group).then(a.piece.is_some().cmp(&b.piece.is_some())));
    let of_group = |group: &[(Subject, (Arc<GroupLabels>, Times))]| {
        let (first, (labels, seen)) = group.first()?;
        let families = group.iter().filter_map(|(subject, _)| Some(subject.piece.as_ref()?.family.clone()));
        let mut families: Vec<Arc<str>> = if first.piece.is_none() { Vec::new() } else { families.collect() };
        families.sort_unstable();
        families.dedup();
        Some(Overdue { labels: labels.clone(), seen: *seen, families })
    };
    over.chunk_by(|(a, _), (b, _)| a.group == b.group).filter_map(of_group).collect()
}
