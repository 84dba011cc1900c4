//! The groups and what they hold.
//!
//! Owns the map of groups and everything that lets a push be checked without looking at the whole
//! store. This file is the only one that holds a guard of the map: never across an await point (there
//! is none), never while another guard is held. Locks are taken in the order definitions, map.

pub mod check;
pub mod definition;
pub mod family;
pub mod group;
pub mod order;
pub mod piece;
pub mod snapshot;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::model::grouping::Grouping;
use crate::model::push::Push;
use crate::model::rules::Refusal;
use crate::store::definition::{Definitions, OwnFamily};
use crate::store::family::{Family, Pieces};
use crate::store::group::{
    Group, GroupLabels, Moment, Plan, Restructuring, Semantics, plan_of_new_group, shape_of,
};
use crate::store::order::Orders;
use crate::store::snapshot::{Snapshot, SnapshotBuilder};

/// So many that a snapshot, which visits them one by one, holds up few pushes at a time.
const SHARDS: usize = 256;

/// All groups.
#[derive(Debug)]
pub struct Store {
    groups: DashMap<Arc<str>, Group, RandomState>,
    structure: Mutex<Structure>,
    orders: Orders,
    group_count: AtomicI64,
    series_count: AtomicI64,
    generation: AtomicU64,
}

/// What only changes when labels, names or types do. Who changes these holds its lock throughout.
#[derive(Debug)]
struct Structure {
    definitions: Definitions,
    next_epoch: u64,
    next_slot: u32,
    free_slots: Vec<u32>,
}

/// A family of a [`GroupView`].
#[derive(Debug)]
pub struct FamilyView {
    /// The metric name.
    pub name: Arc<str>,
    /// The type.
    pub kind: crate::model::kind::Kind,
    /// The help text of this group's latest push.
    pub help: Option<Arc<str>>,
    /// When the latest push with this family was accepted, in nanoseconds since the epoch.
    pub pushed_at: i64,
    /// The series.
    pub pieces: Pieces,
}

/// One group as the API shows it.
#[derive(Debug)]
pub struct GroupView {
    /// The labels.
    pub labels: Arc<GroupLabels>,
    /// When the first request came, in nanoseconds since the epoch.
    pub created_at: i64,
    /// When the latest push was accepted, in nanoseconds since the epoch; 0 for never.
    pub pushed_at: i64,
    /// When the latest push was refused, in nanoseconds since the epoch; 0 for never.
    pub failed_at: i64,
    /// The families, sorted by name.
    pub families: Vec<FamilyView>,
}

impl GroupView {
    /// Whether the latest push that could be parsed was accepted.
    pub fn last_push_successful(&self) -> bool {
        self.failed_at <= self.pushed_at
    }
}

impl Store {
    /// An empty store. `own` are the families of the gateway itself, whose names are taken.
    pub fn new(own: impl IntoIterator<Item = (String, OwnFamily)>) -> Store {
        Store {
            groups: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            structure: Mutex::new(Structure {
                definitions: Definitions::new(own),
                next_epoch: 0,
                next_slot: 0,
                free_slots: Vec::new(),
            }),
            orders: Orders::default(),
            group_count: AtomicI64::new(0),
            series_count: AtomicI64::new(0),
            generation: AtomicU64::new(0),
        }
    }

    /// Checks a push and applies it, whole or not at all.
    ///
    /// A push that changes values only takes the guard of its group and nothing else, so such pushes
    /// run in parallel. One that changes what there is also takes the lock that all such pushes share.
    ///
    /// # Errors
    ///
    /// Why the push was refused; the group then only notes that a push failed.
    pub fn push(
        &self,
        grouping: &Grouping<'_>,
        push: &Push,
        semantics: &Semantics,
        now: Moment,
    ) -> Result<(), Refusal> {
        if let Some(mut group) = self.groups.get_mut(grouping.key()) {
            match group.plan(push, semantics) {
                Ok(plan) if plan.is_structural => {}
                Ok(plan) => {
                    group.apply(push, &plan, semantics, now);
                    return Ok(());
                }
                Err(refusal) => {
                    group.failed_at = now.nanos;
                    return Err(refusal);
                }
            }
        }
        let mut structure = self.lock();
        match self.check(grouping, push, semantics, &structure.definitions) {
            Ok(plan) => {
                self.restructure(grouping, push, &plan, semantics, now, &mut structure);
                Ok(())
            }
            Err(refusal) => {
                self.note_failure(grouping, now, &mut structure);
                Err(refusal)
            }
        }
    }

    /// Notes that a push to a group was refused before it reached the store.
    pub fn push_failed(&self, grouping: &Grouping<'_>, now: Moment) {
        if let Some(mut group) = self.groups.get_mut(grouping.key()) {
            group.failed_at = now.nanos;
            return;
        }
        let mut structure = self.lock();
        self.note_failure(grouping, now, &mut structure);
    }

    /// Removes a group, if it is there.
    pub fn delete(&self, grouping: &Grouping<'_>) {
        let mut structure = self.lock();
        self.remove(grouping.key(), &mut structure);
    }

    /// Removes all groups.
    pub fn wipe(&self) {
        let mut structure = self.lock();
        let keys: Vec<Arc<str>> = self.groups.iter().map(|group| group.key().clone()).collect();
        for key in keys {
            self.remove(&key, &mut structure);
        }
    }

    /// How many groups there are.
    pub fn group_count(&self) -> i64 {
        self.group_count.load(Ordering::Relaxed)
    }

    /// How many series there are, without the two of each group.
    pub fn series_count(&self) -> i64 {
        self.series_count.load(Ordering::Relaxed)
    }

    /// A number that grows when groups, families or series come or go.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Shared pointers to everything. Labels, names and types stay as they are while the snapshot is
    /// taken, so that nothing stands in it twice; values go on changing.
    pub fn snapshot(&self) -> Snapshot {
        let _structure = self.structure.lock().unwrap_or_else(PoisonError::into_inner);
        let mut builder = SnapshotBuilder::default();
        for group in self.groups.iter() {
            builder.add(&group);
        }
        builder.finish()
    }

    /// The orders in which scrapes list series.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// All groups, sorted by key.
    pub fn groups(&self) -> Vec<GroupView> {
        let family = |family: &Family| FamilyView {
            name: family.definition.name().clone(),
            kind: family.definition.kind(),
            help: family.help.clone(),
            pushed_at: family.pushed_at,
            pieces: family.pieces().clone(),
        };
        let group = |group: &Group| GroupView {
            labels: group.labels.clone(),
            created_at: group.created_at,
            pushed_at: group.pushed_at,
            failed_at: group.failed_at,
            families: group.families().iter().map(family).collect(),
        };
        let mut groups: Vec<GroupView> = self.groups.iter().map(|entry| group(&entry)).collect();
        groups.sort_by(|a, b| a.labels.key.cmp(&b.labels.key));
        groups
    }

    /// Locks the structure, to change it.
    fn lock(&self) -> MutexGuard<'_, Structure> {
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.structure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that can be wrong with a push that changes more than values.
    fn check(
        &self,
        grouping: &Grouping<'_>,
        push: &Push,
        semantics: &Semantics,
        definitions: &Definitions,
    ) -> Result<Plan, Refusal> {
        let plan = match self.groups.get(grouping.key()) {
            Some(group) => {
                check::check_names(push, Some(&group), definitions, semantics)?;
                group.plan(push, semantics)?
            }
            None => {
                check::check_names(push, None, definitions, semantics)?;
                plan_of_new_group(push)?
            }
        };
        // No guard is held from here on: the checks look at other groups, and the lock that the
        // caller holds keeps the structure as it is.
        if !self.groups.contains_key(grouping.key()) {
            check::check_twin(grouping, |key| self.groups.contains_key(key))?;
        }
        let shape = shape_of(grouping);
        check::check_other_groups(push, &plan, &shape, definitions, |key, family, block| {
            self.groups
                .get(key)
                .is_some_and(|group| group.family(family).is_some_and(|family| family.find(block).is_some()))
        })?;
        Ok(plan)
    }

    fn restructure(
        &self,
        grouping: &Grouping<'_>,
        push: &Push,
        plan: &Plan,
        semantics: &Semantics,
        now: Moment,
        structure: &mut Structure,
    ) {
        let created = self.created(grouping, now, structure);
        let mut with =
            Restructuring { definitions: &mut structure.definitions, next_epoch: &mut structure.next_epoch };
        let change = match created {
            Some(mut group) => {
                group.restructure(push, plan, semantics, now, &mut with);
                let series = group.series();
                self.insert(group);
                series as i64
            }
            None => self.groups.get_mut(grouping.key()).map_or(0, |mut group| {
                let before = group.series() as i64;
                group.restructure(push, plan, semantics, now, &mut with);
                group.series() as i64 - before
            }),
        };
        self.series_count.fetch_add(change, Ordering::Relaxed);
    }

    /// A new group, where there is none with this key.
    fn created(&self, grouping: &Grouping<'_>, now: Moment, structure: &mut Structure) -> Option<Group> {
        if self.groups.contains_key(grouping.key()) {
            return None;
        }
        structure.next_epoch += 1;
        let slot = structure.free_slots.pop().unwrap_or_else(|| {
            structure.next_slot += 1;
            structure.next_slot - 1
        });
        Some(Group::new(Arc::new(GroupLabels::of(grouping)), slot, structure.next_epoch, now))
    }

    fn insert(&self, group: Group) {
        self.groups.insert(group.labels.key.clone(), group);
        self.group_count.fetch_add(1, Ordering::Relaxed);
    }

    /// Marks a group as failed; one that is not there yet is created for it, as the stock gateway
    /// does, unless its own series would stand in its twin too.
    fn note_failure(&self, grouping: &Grouping<'_>, now: Moment, structure: &mut Structure) {
        if check::check_twin(grouping, |key| self.groups.contains_key(key)).is_err() {
            return;
        }
        match self.created(grouping, now, structure) {
            Some(mut group) => {
                group.failed_at = now.nanos;
                self.insert(group);
            }
            None => {
                if let Some(mut group) = self.groups.get_mut(grouping.key()) {
                    group.failed_at = now.nanos;
                }
            }
        }
    }

    fn remove(&self, key: &str, structure: &mut Structure) {
        if let Some((_, group)) = self.groups.remove(key) {
            group.release(&mut structure.definitions);
            structure.free_slots.push(group.slot);
            self.group_count.fetch_sub(1, Ordering::Relaxed);
            self.series_count.fetch_sub(group.series() as i64, Ordering::Relaxed);
        }
    }
}
