//! Removes labels with empty values from the store.
//!
//! With aggregation, such a label counts as absent. Data from a gateway that kept such labels moves to the groups
//! and series without them, unchanged. Only series that become one are added, or the latest of them stays.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::exemplar::{Exemplars, Placed};
use crate::model::grouping::{Grouping, GroupingLabel};
use crate::model::kind::Kind;
use crate::model::labels::{EmptyLabels, without_empty_labels};
use crate::model::merge::Merge;
use crate::model::time::Start;
use crate::store::family::Lasting;
use crate::store::group_labels::GroupLabels;
use crate::store::metadata::Metadata;
use crate::store::piece::{OwnedValue, PIECE_ROWS, Piece};
use crate::store::pieces::Pieces;
use crate::store::times::Times;
use crate::store::{FamilyView, GroupView, Store};

/// A group under construction.
struct Joined {
    epoch: u64,
    labels: GroupLabels,
    times: Times,
    ttl: Option<i64>,
    families: BTreeMap<Arc<str>, JoinedFamily>,
}

/// A family under construction.
struct JoinedFamily {
    kind: Kind,
    metadata: Metadata,
    rule: Option<Merge>,
    pushed_at: i64,
    lasting: Option<Lasting>,
    rows: Vec<JoinedRow>,
    /// Positions of the rows by label block.
    positions: HashMap<String, usize, RandomState>,
}

struct JoinedRow {
    block: String,
    start: Start,
    pushed_at: i64,
    value: OwnedValue,
    exemplars: Vec<Placed>,
}

impl Store {
    /// Removes all labels with empty values. Returns how many groups had some, or were joined with such a group.
    ///
    /// Must be called before the first request. The file must be written anew afterwards.
    pub fn drop_empty_labels(&self) -> usize {
        let keys = self.groups_with_empty_labels();
        let mut views: Vec<GroupView> = keys.iter().filter_map(|key| self.raw_group(key)).collect();
        // In this order the latest push wins if only the latest value can stay.
        views.sort_by_key(|view| view.times.pushed_at);
        let mut groups: BTreeMap<String, Joined> = BTreeMap::new();
        for view in &views {
            let label = |(name, value): &(Box<str>, Box<str>)| GroupingLabel {
                name: name.to_string().into(),
                value: value.to_string().into(),
            };
            let labels = view.labels.labels.iter().map(label).collect();
            let grouping = Grouping::with(labels, EmptyLabels::Absent);
            match groups.get_mut(grouping.key()) {
                Some(group) => group.add(view),
                None => {
                    groups.insert(grouping.key().to_owned(), Joined::of(view, GroupLabels::of(&grouping)));
                }
            }
        }
        let mut structure = self.lock();
        // No sender of these groups is told apart: rules and kept labels do not go together.
        let sources = keys.iter().flat_map(|key| self.groups.sources_of(key));
        for gone in keys.iter().cloned().chain(sources).filter_map(|key| self.groups.remove(&key)) {
            self.forget(&gone.version, &mut structure);
        }
        for group in groups.into_values() {
            self.restore_into(group.view(), &mut structure);
        }
        views.len()
    }

    /// The sorted keys of the groups that have labels with empty values, or series with such labels, and of the
    /// groups that differ from them in nothing else.
    fn groups_with_empty_labels(&self) -> Vec<Arc<str>> {
        let structure = self.hold();
        let spelled = structure.spelled.groups().chain(structure.definitions.groups_with_spellings());
        let mut keys: BTreeSet<Arc<str>> = spelled.cloned().collect();
        let shown = keys.iter().map(|key| Arc::from(&*without_empty_labels(key)));
        let shown: Vec<Arc<str>> = shown.filter(|key| self.groups.contains(key)).collect();
        keys.extend(shown);
        keys.into_iter().collect()
    }
}

impl Joined {
    fn of(view: &GroupView, labels: GroupLabels) -> Joined {
        let (times, ttl) = (view.times, view.ttl);
        let mut group = Joined { epoch: view.epoch, labels, times, ttl, families: BTreeMap::new() };
        group.add_families(view);
        group
    }

    fn add(&mut self, view: &GroupView) {
        self.times.join(view.times);
        self.ttl = view.ttl;
        self.add_families(view);
    }

    fn add_families(&mut self, view: &GroupView) {
        for family in &view.families {
            let joined = self.families.entry(family.name.clone()).or_insert_with(|| JoinedFamily {
                kind: family.kind,
                metadata: family.metadata.clone(),
                rule: family.rule,
                pushed_at: 0,
                lasting: None,
                rows: Vec::new(),
                positions: HashMap::default(),
            });
            joined.add(family);
        }
    }

    fn view(self) -> GroupView {
        let families = self.families.into_iter().zip(0..);
        GroupView {
            epoch: self.epoch,
            labels: Arc::new(self.labels),
            times: self.times,
            ttl: self.ttl,
            families: families.map(|((name, family), number)| family.view(name, number)).collect(),
        }
    }
}

impl JoinedFamily {
    fn add(&mut self, family: &FamilyView) {
        if family.pushed_at >= self.pushed_at {
            self.metadata = family.metadata.clone();
            self.lasting = family.lasting;
        }
        self.pushed_at = self.pushed_at.max(family.pushed_at);
        let merge = self.rule.unwrap_or_else(|| Merge::of(self.kind, &family.name));
        for piece in family.pieces.iter() {
            for at in 0..piece.len() {
                let row = JoinedRow {
                    block: without_empty_labels(piece.block(at)).into_owned(),
                    start: piece.start(at),
                    pushed_at: family.last_push(piece, at),
                    value: piece.owned(at),
                    exemplars: piece.exemplars(at).iter().map(|(_, placed)| placed.clone()).collect(),
                };
                match self.positions.get(&row.block) {
                    Some(&position) => self.rows[position].join(row, merge),
                    None => {
                        self.positions.insert(row.block.clone(), self.rows.len());
                        self.rows.push(row);
                    }
                }
            }
        }
    }

    fn view(self, name: Arc<str>, number: u32) -> FamilyView {
        let piece = |rows: &[JoinedRow]| {
            let values = rows.iter().map(|row| (&*row.block, row.start, row.value.clone()));
            let mut exemplars = Exemplars::default();
            for (row, at) in rows.iter().zip(0..) {
                exemplars.add(at, row.exemplars.clone(), i64::MAX);
            }
            let piece = Piece::of(self.kind.form(), values).with_exemplars(exemplars);
            if self.lasting.is_none() {
                return Arc::new(piece);
            }
            Arc::new(piece.with_pushed(rows.iter().map(|row| row.pushed_at).collect()))
        };
        let pieces: Pieces = self.rows.chunks(PIECE_ROWS).map(piece).collect();
        FamilyView {
            number,
            name,
            kind: self.kind,
            metadata: self.metadata,
            rule: self.rule,
            pushed_at: self.pushed_at,
            lasting: self.lasting,
            pieces,
        }
    }
}

impl JoinedRow {
    /// Joins a row of the same series that was pushed later.
    fn join(&mut self, later: JoinedRow, merge: Merge) {
        self.exemplars.extend(later.exemplars);
        self.pushed_at = self.pushed_at.max(later.pushed_at);
        self.value.merge(&later.value, merge);
        let is_earlier = |later: i64| self.start.nanos().is_none_or(|start| later < start);
        if merge != Merge::Add || later.start.nanos().is_some_and(is_earlier) {
            self.start = later.start;
        }
    }
}
