//! Views of published groups, for the API, the page and the persistence file.

use std::sync::Arc;

use crate::model::exemplar::Placed;
use crate::model::kind::Kind;
use crate::model::merge::Merge;
use crate::model::time::Start;
use crate::store::Store;
use crate::store::family::{Family, Lasting};
use crate::store::fold::Folding;
use crate::store::group::Group;
use crate::store::group_labels::GroupLabels;
use crate::store::metadata::Metadata;
use crate::store::order::Extent;
use crate::store::piece::{Piece, RowValue};
use crate::store::pieces::Pieces;
use crate::store::times::Times;

/// The whole content of a group, for the API and for loading from disk.
#[derive(Debug)]
pub struct GroupView {
    /// Identifies the group on disk.
    pub epoch: u64,
    /// The labels.
    pub labels: Arc<GroupLabels>,
    /// When it was pushed to, and how often.
    pub times: Times,
    /// How long the group stays when nobody pushes to it, in nanoseconds. `None` if it stays for good.
    pub ttl: Option<i64>,
    /// The families. For the API they are sorted by name.
    pub families: Vec<FamilyView>,
}

/// A family of a [`GroupView`].
#[derive(Debug)]
pub struct FamilyView {
    /// Identifies the family within the group on disk.
    pub number: u32,
    /// The metric name.
    pub name: Arc<str>,
    /// The type.
    pub kind: Kind,
    /// Help text and unit of this group's latest push.
    pub metadata: Metadata,
    /// How its values are merged where the latest push was under a rule that says so.
    pub rule: Option<Merge>,
    /// When the latest push with this family was accepted, in nanoseconds since the epoch.
    pub pushed_at: i64,
    /// How long its series stay when nobody pushes them. `None` if they stay for good.
    pub lasting: Option<Lasting>,
    /// The series. All pieces except the last are full.
    pub pieces: Pieces,
}

/// A series as the API and the page show it.
#[derive(Clone, Copy, Debug)]
pub struct SeriesView<'a> {
    /// The label block.
    pub block: &'a str,
    /// The value.
    pub value: RowValue<'a>,
    /// When it began.
    pub start: Start,
    /// Its exemplars.
    pub exemplars: &'a [(u32, Placed)],
}

impl<'a> SeriesView<'a> {
    /// The series of a row.
    pub fn of(piece: &'a Piece, row: usize) -> SeriesView<'a> {
        SeriesView {
            block: piece.block(row),
            value: piece.value(row),
            start: piece.start(row),
            exemplars: piece.exemplars(row),
        }
    }
}

impl FamilyView {
    /// Whether a rule folds its values over sources.
    pub fn is_folded(&self) -> bool {
        matches!(self.rule, Some(Merge::Fold(_)))
    }

    /// When a series was pushed last, as far as is known: not later than this; in nanoseconds since the epoch.
    pub fn last_push(&self, piece: &Piece, row: usize) -> i64 {
        self.lasting.map_or(self.pushed_at, |lasting| lasting.last_push(piece, row))
    }

    /// The series, in the order in which they arrived.
    pub fn series(&self) -> impl Iterator<Item = SeriesView<'_>> {
        let rows = |piece: &Arc<Piece>| 0..piece.len();
        self.pieces.iter().flat_map(move |piece| rows(piece).map(move |row| SeriesView::of(piece, row)))
    }
}

/// A reference to a published group.
#[derive(Clone, Copy, Debug)]
pub struct GroupAt<'a> {
    group: &'a Group,
    /// When it was pushed to, and how often.
    pub times: Times,
}

/// The entry of a family in a list.
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
    /// Its entry in a list.
    pub summary: FamilySummary,
    /// The number of this family among those of all groups with the same name.
    pub slot: u32,
    /// The number of series, and what their order depends on.
    pub extent: Extent,
    /// The series.
    pub pieces: Pieces,
}

impl<'a> GroupAt<'a> {
    pub(super) fn new(group: &'a Group) -> GroupAt<'a> {
        GroupAt { group, times: group.times }
    }

    /// Whether a process seems to push running totals to this group.
    pub fn has_running_totals(&self) -> bool {
        self.group.has_running_totals()
    }

    /// The labels.
    pub fn labels(&self) -> &'a Arc<GroupLabels> {
        &self.group.labels
    }

    /// The name of each family and its number of series, in no order. All groups share one copy of a name.
    pub fn families(self) -> impl Iterator<Item = (&'a Arc<str>, u32)> {
        let families = self.group.families().iter();
        families.map(|family| (family.definition.name(), family.series_count()))
    }

    /// The entries of the families in a list, sorted by name.
    pub fn summaries(self) -> Vec<FamilySummary> {
        self.group.families().iter().map(|family| summary_of(family)).collect()
    }

    fn family(self, name: &str) -> Option<FamilySeries> {
        let family = self.group.family(name)?;
        Some(FamilySeries {
            group: self.group.labels.clone(),
            summary: summary_of(family),
            slot: family.slot,
            extent: Extent { epoch: family.epoch, len: family.series_count() },
            pieces: family.pieces().clone(),
        })
    }
}

fn summary_of(family: &Family) -> FamilySummary {
    FamilySummary {
        name: family.definition.name().clone(),
        kind: family.definition.kind(),
        metadata: family.metadata().clone(),
        pushed_at: family.pushed_at,
        series: family.series_count(),
    }
}

impl GroupView {
    /// A view of this version of a group.
    pub fn of(group: &Group) -> GroupView {
        let family = |family: &Arc<Family>| FamilyView {
            number: family.number,
            name: family.definition.name().clone(),
            kind: family.definition.kind(),
            metadata: family.metadata().clone(),
            rule: family.rule,
            pushed_at: family.pushed_at,
            lasting: family.lasting(),
            pieces: family.pieces().clone(),
        };
        GroupView {
            epoch: group.epoch,
            labels: group.labels.clone(),
            times: group.times,
            ttl: group.ttl(),
            families: group.families().iter().map(family).collect(),
        }
    }

    fn has_folds(&self) -> bool {
        self.families.iter().any(|family| matches!(family.rule, Some(Merge::Fold(_))))
    }

    fn folded(group: &Group, folding: &mut Folding<'_>) -> GroupView {
        let mut view = GroupView::of(group);
        for (shown, family) in view.families.iter_mut().zip(group.families()) {
            if let Some(pieces) = folding.pieces(group, family) {
                shown.pieces = pieces;
            }
        }
        view
    }

    /// Whether the latest push that could be parsed was accepted.
    pub fn last_push_successful(&self) -> bool {
        self.times.last_push_successful()
    }
}

impl Store {
    /// All published groups, sorted by key.
    pub fn groups(&self) -> Vec<GroupView> {
        let mut groups = Vec::new();
        self.visit_groups(|group| groups.push(GroupView::of(group.group)));
        for view in groups.iter_mut().filter(|view| view.has_folds()) {
            view.families = self.group(&view.labels.key).map_or_else(Vec::new, |group| group.families);
        }
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

    /// The published group with this key, if it exists.
    pub fn group(&self, key: &str) -> Option<GroupView> {
        let view = self.raw_group(key)?;
        if view.has_folds() { self.folded(key, GroupView::folded) } else { Some(view) }
    }

    /// The same with the latest values that were pushed where others are folded.
    pub(super) fn raw_group(&self, key: &str) -> Option<GroupView> {
        self.groups.read(key, GroupView::of)
    }

    /// The family of this name of the published group with this key; none if there is no such group.
    pub fn family(&self, key: &str, name: &str) -> Option<Option<FamilySeries>> {
        let is_folded = |group: &Group| group.family(name).is_some_and(|family| family.fold().is_some());
        let family = self.groups.read(key, |group| {
            if is_folded(group) { None } else { Some(GroupAt::new(group).family(name)) }
        })?;
        family.or_else(|| {
            self.folded(key, |group, folding| {
                let mut series = GroupAt::new(group).family(name)?;
                let families = group.families().iter();
                for family in families.filter(|family| **family.definition.name() == *name) {
                    series.pieces = folding.pieces(group, family).unwrap_or(series.pieces);
                }
                Some(series)
            })
        })
    }

    /// How many sources the published group with this key has.
    pub fn source_count(&self, key: &str) -> usize {
        self.groups.source_count(key)
    }

    /// How many sources the published group with this key has, and those from `offset` on, `limit` at most, in order, with
    /// what they remember. What tells them apart is in their labels.
    pub fn sources(&self, key: &str, offset: usize, limit: usize) -> (usize, Vec<GroupView>) {
        let _structure = self.hold();
        let sources = self.groups.sources_of(key);
        let shown = sources.iter().skip(offset).take(limit);
        (sources.len(), shown.filter_map(|source| self.raw_group(source)).collect())
    }

    /// The keys of the sources of the published group with this key, in order.
    pub fn source_keys(&self, key: &str) -> Vec<Arc<str>> {
        let _structure = self.hold();
        self.groups.sources_of(key)
    }

    /// The source with this key, with what it remembers.
    pub fn source(&self, key: &str) -> Option<GroupView> {
        self.raw_group(key)
    }

    /// What `view` makes of a group with folded families, if it is there.
    fn folded<T>(&self, key: &str, view: impl FnOnce(&Group, &mut Folding<'_>) -> T) -> Option<T> {
        // No push of a source comes in between.
        let structure = self.hold();
        let group = self.groups.get(key)?;
        let keys = self.groups.sources_of(key);
        let sources: Vec<Arc<Group>> = keys.iter().filter_map(|key| self.groups.get(key)).collect();
        drop(structure);
        let mut folding = Folding::new(&self.folds, &sources);
        let viewed = view(&group, &mut folding);
        folding.keep(false);
        Some(viewed)
    }

    /// Calls `each` for every published group, in no order. Labels, names and types can't change meanwhile.
    pub fn visit_groups(&self, mut each: impl FnMut(GroupAt<'_>)) {
        let _structure = self.hold();
        self.groups.each(|group| {
            if !group.is_source() {
                each(GroupAt::new(group));
            }
        });
    }

    /// Calls `view` for the published group with this key, if it exists.
    pub fn visit_group<T>(&self, key: &str, view: impl FnOnce(GroupAt<'_>) -> T) -> Option<T> {
        self.groups.read(key, |group| view(GroupAt::new(group)))
    }
}
