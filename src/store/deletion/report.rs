//! What a deletion took, or would take.

use std::sync::Arc;

use super::{DeletionFilter, Survey, Taken};
use crate::store::Store;
use crate::store::group::Group;
use crate::store::group_labels::GroupLabels;

/// So many parts of a deletion are listed.
pub const MOST_PARTS: usize = 100;

/// What a deletion took, or would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// How many series, those of whole groups included.
    pub series: u64,
    /// How many whole groups.
    pub groups: u64,
    /// How many parts there are: whole groups, and families of other groups.
    pub parts: u64,
    /// The first of them by group and metric name, at most [`MOST_PARTS`].
    pub listed: Vec<DeletedPart>,
}

/// A group that goes, or series of one family of a group.
#[derive(Clone, Debug)]
pub struct DeletedPart {
    /// The labels of the group.
    pub group: Arc<GroupLabels>,
    /// The metric name; none where the whole group goes.
    pub family: Option<Arc<str>>,
    /// How many series.
    pub series: u64,
}

impl DeletedPart {
    fn order(&self) -> (&str, Option<&str>) {
        (&self.group.key, self.family.as_deref())
    }
}

impl PartialEq for DeletedPart {
    fn eq(&self, other: &DeletedPart) -> bool {
        self.order() == other.order() && self.series == other.series
    }
}

impl Eq for DeletedPart {}

impl Deleted {
    /// Adds what goes of a group.
    pub(in crate::store) fn add(&mut self, group: &Group, taken: &Taken) {
        match taken {
            Taken::Group => {
                self.groups += 1;
                self.add_part(&group.labels, None, group.series());
            }
            Taken::Series(selected) => {
                for selected in selected {
                    self.add_part(&group.labels, Some(&selected.family), selected.positions.len() as u64);
                }
            }
        }
    }

    fn add_part(&mut self, group: &Arc<GroupLabels>, family: Option<&Arc<str>>, series: u64) {
        self.series += series;
        self.parts += 1;
        self.listed.push(DeletedPart { group: group.clone(), family: family.cloned(), series });
        if self.listed.len() >= 2 * MOST_PARTS {
            self.shorten();
        }
    }

    /// Sorts the list and cuts it.
    pub(in crate::store) fn shorten(&mut self) {
        self.listed.sort_by(|a, b| a.order().cmp(&b.order()));
        self.listed.truncate(MOST_PARTS);
    }

    /// Whether there is more than what is listed.
    pub fn is_truncated(&self) -> bool {
        self.parts > self.listed.len() as u64
    }
}

impl Store {
    /// What a deletion would take. The groups are looked at one after the other, while pushes go on.
    pub fn would_delete(&self, filter: &DeletionFilter) -> Deleted {
        let mut keys = Vec::new();
        self.groups.each(|group| {
            if !group.is_source() && filter.may_take(group) {
                keys.push(group.labels.key.clone());
            }
        });
        let (mut deleted, survey) = (Deleted::default(), Survey::default());
        for key in keys {
            if let Some(group) = self.groups.get(&key) {
                deleted.add(&group, &filter.taken_of(&group, &survey));
            }
        }
        deleted.shorten();
        deleted
    }
}
