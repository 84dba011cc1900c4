//! What is published of a group: all of it, or what a list shows.

use std::sync::Arc;

use crate::model::kind::Kind;
use crate::store::Store;
use crate::store::change::{Times, Tracking};
use crate::store::family::{Family, Metadata, Pieces, Published};
use crate::store::group::{Group, GroupLabels};
use crate::store::order::Extent;

/// All of a group: as the API shows it, and as it is read back from disk.
#[derive(Debug)]
pub struct GroupView {
    /// Names the group on disk.
    pub epoch: u64,
    /// The labels.
    pub labels: Arc<GroupLabels>,
    /// When it was pushed to, and how often.
    pub times: Times,
    /// Whether its values lie together on disk.
    pub is_small: bool,
    /// The families. Those that the API shows are sorted by name.
    pub families: Vec<FamilyView>,
}

/// A family of a [`GroupView`].
#[derive(Debug)]
pub struct FamilyView {
    /// Names the family within the group, on disk.
    pub number: u32,
    /// The metric name.
    pub name: Arc<str>,
    /// The type.
    pub kind: Kind,
    /// Help text and unit of this group's latest push.
    pub metadata: Metadata,
    /// When the latest push with this family was accepted, in nanoseconds since the epoch.
    pub pushed_at: i64,
    /// The series; all pieces but the last are full.
    pub pieces: Pieces,
}

/// A published group where it lies, for as long as its guard is held.
#[derive(Clone, Copy, Debug)]
pub struct GroupAt<'a> {
    group: &'a Group,
    tracking: Tracking,
    /// When it was pushed to, and how often.
    pub times: Times,
}

/// What a list shows of a family of one group.
#[derive(Debug)]
pub struct FamilySummary {
    /// The metric name.
    pub name: Arc<str>,
    /// The type.
    pub kind: Kind,
    /// Help text and unit of this group's latest push.
    pub metadata: Metadata,
    /// When the latest push with this family was accepted, in nanoseconds since the epoch.
    pub pushed_at: i64,
    /// How many series there are.
    pub series: u32,
}

/// A family of one group with its series.
#[derive(Debug)]
pub struct FamilySeries {
    /// The labels of the group.
    pub group: Arc<GroupLabels>,
    /// What a list shows of it.
    pub summary: FamilySummary,
    /// The number of this family among those of all groups with the same name.
    pub slot: u32,
    /// What the order of the series depends on.
    pub extent: Extent,
    /// The series.
    pub pieces: Pieces,
}

impl<'a> GroupAt<'a> {
    fn new(group: &'a Group, tracking: Tracking) -> Option<GroupAt<'a>> {
        Some(GroupAt { group, tracking, times: group.published_times(tracking)? })
    }

    /// Whether a process seems to push running totals to this group.
    pub fn has_running_totals(&self) -> bool {
        self.group.has_running_totals()
    }

    /// The labels.
    pub fn labels(&self) -> &'a Arc<GroupLabels> {
        &self.group.labels
    }

    /// The name of each family, and how many series it has, in no order. Families of the same name have the
    /// very same name, in all groups.
    pub fn families(self) -> impl Iterator<Item = (&'a Arc<str>, u32)> {
        self.group.published_families().filter_map(move |family| {
            let len = family.published_len(self.tracking)?;
            Some((family.definition.name(), len))
        })
    }

    /// What a list shows of the families, sorted by name.
    pub fn summaries(self) -> Vec<FamilySummary> {
        let summary = |family: &Family| family.published(self.tracking).map(|family| summary_of(&family));
        let mut families: Vec<FamilySummary> = self.group.published_families().filter_map(summary).collect();
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families
    }

    /// The family of this name.
    pub fn family(self, name: &str) -> Option<FamilySeries> {
        let family = |family: &Family| {
            let published = family.published(self.tracking)?;
            Some(FamilySeries {
                group: self.group.labels.clone(),
                summary: summary_of(&published),
                slot: family.slot,
                extent: Extent { epoch: published.epoch, len: published.len },
                pieces: published.pieces,
            })
        };
        let of_this_name = |family: &&Family| **family.definition.name() == *name;
        self.group.published_families().filter(of_this_name).find_map(family)
    }
}

fn summary_of(published: &Published<'_>) -> FamilySummary {
    FamilySummary {
        name: published.definition.name().clone(),
        kind: published.definition.published_kind(),
        metadata: published.metadata.clone(),
        pushed_at: published.pushed_at,
        series: published.len,
    }
}

impl GroupView {
    /// Whether the latest push that could be parsed was accepted.
    pub fn last_push_successful(&self) -> bool {
        self.times.last_push_successful()
    }
}

impl Store {
    /// All published groups, sorted by key.
    pub fn groups(&self) -> Vec<GroupView> {
        let mut groups = Vec::new();
        self.visit_groups(|group| groups.extend(self.view(group.group)));
        groups.sort_by(|a, b| a.labels.key.cmp(&b.labels.key));
        groups
    }

    /// The labels of all published groups, sorted by key.
    pub fn group_labels(&self) -> Vec<Arc<GroupLabels>> {
        let mut labels = Vec::new();
        self.visit_groups(|group| labels.push(group.labels().clone()));
        labels.sort_by(|a, b| a.key.cmp(&b.key));
        labels
    }

    /// All of the published group with this key, if there is one.
    pub fn group(&self, key: &str) -> Option<GroupView> {
        self.visit_group(key, |group| self.view(group.group)).flatten()
    }

    /// Calls `each` with every published group, in no order. Labels, names and types stay as they are
    /// meanwhile.
    pub fn visit_groups(&self, mut each: impl FnMut(GroupAt<'_>)) {
        let structure = self.hold();
        for group in self.groups.iter() {
            GroupAt::new(&group, self.tracking).into_iter().for_each(&mut each);
        }
        // Groups that have gone are published until that is on disk.
        structure.gone_groups().filter_map(|group| GroupAt::new(group, self.tracking)).for_each(each);
    }

    /// What `view` makes of the published group with this key, if there is one.
    pub fn visit_group<T>(&self, key: &str, view: impl FnOnce(GroupAt<'_>) -> T) -> Option<T> {
        let structure = self.hold();
        if let Some(group) = self.groups.get(key)
            && let Some(group) = GroupAt::new(&group, self.tracking)
        {
            return Some(view(group));
        }
        let mut gone = structure.gone_groups().filter(|group| *group.labels.key == *key);
        gone.find_map(|group| GroupAt::new(group, self.tracking)).map(view)
    }

    /// What is published of a group; none where nothing is yet.
    pub(super) fn view(&self, group: &Group) -> Option<GroupView> {
        let family = |family: &Family| {
            let published = family.published(self.tracking)?;
            Some(FamilyView {
                number: family.number,
                name: published.definition.name().clone(),
                kind: published.definition.published_kind(),
                metadata: published.metadata.clone(),
                pushed_at: published.pushed_at,
                pieces: published.pieces,
            })
        };
        let times = group.published_times(self.tracking)?;
        let mut families = Vec::with_capacity(group.families().len());
        families.extend(group.published_families().filter_map(family));
        // Those that have gone since come last.
        families.sort_unstable_by(|a: &FamilyView, b| a.name.cmp(&b.name));
        Some(GroupView {
            epoch: group.epoch,
            labels: group.labels.clone(),
            times,
            is_small: group.is_small(),
            families,
        })
    }
}
