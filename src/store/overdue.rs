//! Finds expired groups and series.

use std::sync::Arc;

use crate::store::deadlines::{Fate, Subject};
use crate::store::group::GroupLabels;
use crate::store::selection::SeriesName;
use crate::store::times::Times;
use crate::store::{GroupAt, Store};

/// An expired group or series.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// The labels of the group.
    pub labels: Arc<GroupLabels>,
    /// The times of the group when it was checked.
    pub seen: Times,
    /// The series, or `None` for the whole group.
    pub series: Option<Arc<SeriesName>>,
}

impl Store {
    /// Notes that a published group, or a series of it, may expire at `deadline`, in nanoseconds since the epoch.
    /// The expiry job checks then whether it does, so pushes need not update the deadline. Returns whether it is
    /// the earliest deadline.
    pub fn expect_end(&self, key: &str, series: Option<Arc<SeriesName>>, deadline: i64) -> bool {
        let mut structure = self.hold();
        let Some(group) = self.groups.read(key, |group| group.labels.key.clone()) else { return false };
        let is_first = structure.deadlines.next().is_none_or(|next| deadline < next);
        structure.deadlines.add(Subject { group, series }, deadline);
        is_first
    }

    /// The earliest time at which something may expire, in nanoseconds since the epoch. `None` if nothing can.
    pub fn next_end(&self) -> Option<i64> {
        self.hold().deadlines.next()
    }

    /// At most `most` groups and series that have expired at `now`, in nanoseconds since the epoch, those with the
    /// earliest deadlines first. `end` says when a group or a series of it expires, `None` if never. Each is found
    /// again until it is removed.
    pub fn overdue(
        &self,
        now: i64,
        most: usize,
        end: impl Fn(GroupAt<'_>, Option<&SeriesName>) -> Option<i64>,
    ) -> Vec<Overdue> {
        let mut structure = self.hold();
        let mut looked_at = Vec::new();
        let over = structure.deadlines.over(now, most, |subject| {
            let series = subject.series.as_deref();
            // Clones the pointer, so that no guard is held while `end` looks at the group.
            let group = self.groups.get(&subject.group).filter(|group| {
                series.is_none_or(|series| {
                    group.family(&series.family).is_some_and(|family| family.find(&series.block).is_some())
                })
            });
            let Some(group) = group else { return Fate::Gone };
            match end(GroupAt::new(&group), series) {
                Some(end) if end > now => Fate::Later(end),
                Some(_) => {
                    looked_at.push((group.labels.clone(), group.times));
                    Fate::Over
                }
                None => Fate::Gone,
            }
        });
        let overdue = |((labels, seen), Subject { series, .. })| Overdue { labels, seen, series };
        looked_at.into_iter().zip(over).map(overdue).collect()
    }
}
