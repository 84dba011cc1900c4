//! The groups and series whose time is over.

use std::sync::Arc;

use crate::store::deadlines::{Fate, Subject};
use crate::store::group::GroupLabels;
use crate::store::selection::SeriesName;
use crate::store::times::Times;
use crate::store::{GroupAt, Store};

/// A group whose time is over, or a series of it.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// The labels of the group.
    pub labels: Arc<GroupLabels>,
    /// The times that the group had when it was looked at.
    pub seen: Times,
    /// The series; none for the group itself.
    pub series: Option<Arc<SeriesName>>,
}

impl Store {
    /// Notes that a published group, or a series of it, may be over at this time, in nanoseconds since the epoch. Whether
    /// it is is asked then, so that pushes need not say it again. True if nothing may be over earlier.
    pub fn expect_end(&self, key: &str, series: Option<Arc<SeriesName>>, deadline: i64) -> bool {
        let mut structure = self.hold();
        let Some(group) = self.groups.read(key, |group| group.labels.key.clone()) else { return false };
        let is_first = structure.deadlines.next().is_none_or(|next| deadline < next);
        structure.deadlines.add(Subject { group, series }, deadline);
        is_first
    }

    /// When something may be over, in nanoseconds since the epoch; none where nothing ever is.
    pub fn next_end(&self) -> Option<i64> {
        self.hold().deadlines.next()
    }

    /// The groups and series that are over at this time, in nanoseconds since the epoch; so many at most, those first
    /// that were to be looked at first. `end` tells of a group, or of a series of it, when it is over; none for never.
    /// What is over is found again and again until it has gone.
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
            // Shared, so that no guard is held while it is looked at.
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
