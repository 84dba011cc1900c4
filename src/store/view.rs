//! All that is published of a group.

use std::sync::Arc;

use crate::model::kind::Kind;
use crate::store::Store;
use crate::store::change::Times;
use crate::store::family::{Family, Metadata, Pieces};
use crate::store::group::{Group, GroupLabels};

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

impl GroupView {
    /// Whether the latest push that could be parsed was accepted.
    pub fn last_push_successful(&self) -> bool {
        self.times.last_push_successful()
    }
}

impl Store {
    /// All published groups, sorted by key.
    pub fn groups(&self) -> Vec<GroupView> {
        let structure = self.hold();
        let mut groups: Vec<GroupView> = self.groups.iter().filter_map(|group| self.view(&group)).collect();
        groups.extend(structure.gone_groups().filter_map(|group| self.view(group)));
        drop(structure);
        groups.sort_by(|a, b| a.labels.key.cmp(&b.labels.key));
        groups
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
        let mut families: Vec<FamilyView> = group.published_families().filter_map(family).collect();
        // Those that have gone since come last.
        families.sort_by(|a, b| a.name.cmp(&b.name));
        Some(GroupView {
            epoch: group.epoch,
            labels: group.labels.clone(),
            times,
            is_small: group.is_small(),
            families,
        })
    }
}
