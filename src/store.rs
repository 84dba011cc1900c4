//! The groups and what they hold.
//!
//! Owns the map of groups and everything that lets a push be checked without looking at the whole
//! store. This file is the only one that holds a guard of the map: never across an await point (there
//! is none), never while another guard is held. Locks are taken in the order definitions, map.

mod blocks;
pub mod change;
pub mod check;
pub mod definition;
mod empty_labels;
pub mod family;
pub mod group;
pub mod idempotency;
mod limits;
mod locate;
pub mod order;
pub mod piece;
mod sessions;
mod settle;
pub mod shown_names;
pub mod snapshot;
pub mod spellings;
pub mod states;
mod texts;
mod view;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::model::grouping::Grouping;
use crate::model::labels::{has_empty_labels, without_empty_labels};
use crate::model::limits::{StoreFull, StoreLimits};
use crate::model::push::Push;
use crate::model::rules::Refusal;
use crate::model::time::Moment;
use crate::store::change::Tracking;
use crate::store::definition::{Definitions, OwnFamily, Shape};
use crate::store::group::{Group, GroupLabels, Plan, Restructuring, Semantics, plan_of_new_group, shape_of};
use crate::store::idempotency::{Key, Keys, Known};
use crate::store::order::Orders;
use crate::store::snapshot::{Snapshot, SnapshotBuilder};
use crate::store::spellings::Spellings;

pub use settle::Doubt;
pub use view::{FamilySeries, FamilySummary, FamilyView, GroupAt, GroupView};

/// So many that a snapshot, which visits them one by one, holds up few pushes at a time.
const SHARDS: usize = 256;

/// Slots that no group has any more take room in scrapes as long as others behind them are taken. So many don't count.
const FREE_SLOTS: usize = 10_000;

/// What each other takes, in bytes.
const SLOT_BYTES: u64 = 80;

/// All groups.
#[derive(Debug)]
pub struct Store {
    groups: DashMap<Arc<str>, Group, RandomState>,
    structure: Mutex<Structure>,
    orders: Orders,
    keys: Keys,
    tracking: Tracking,
    /// The groups that began to note changes since the last commit.
    touched: Mutex<Vec<Arc<str>>>,
    group_count: AtomicI64,
    series_count: AtomicI64,
    /// See [`group::Group::bytes`].
    bytes: AtomicI64,
    /// See [`Definitions::bytes`].
    name_bytes: AtomicI64,
    /// None while what was there before is put back.
    limits: OnceLock<StoreLimits>,
    generation: AtomicU64,
}

/// What only changes when labels, names or types do. Who changes these holds its lock throughout.
#[derive(Debug)]
struct Structure {
    definitions: Definitions,
    /// The keys of groups that have empty labels.
    spelled: Spellings,
    next_epoch: u64,
    next_slot: u32,
    free_slots: BTreeSet<u32>,
    /// The groups that have gone since the last commit and were there before.
    gone: Vec<Gone>,
    /// The numbers of idempotency keys that came since with groups that have gone.
    gone_keys: Vec<u64>,
    /// The oldest idempotency key that the last commit left.
    first_key: u64,
}

/// A group that has gone and was there before.
#[derive(Debug)]
struct Gone {
    epoch: u64,
    key: Arc<str>,
    /// The group itself, where published versions are kept.
    group: Option<Group>,
}

/// What became of a request that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied.
    Applied,
    /// It was applied, and seems to repeat what its process had pushed before.
    Repeating {
        /// Whether that is noticed in its group for the first time.
        is_new: bool,
    },
    /// A request with its idempotency key had been applied before, so nothing was changed.
    Replayed,
}

impl Outcome {
    /// The outcome of a push that was applied, and of which this was noticed; see [`Group::note_session`].
    fn of(repeats: Option<bool>) -> Outcome {
        repeats.map_or(Outcome::Applied, |is_new| Outcome::Repeating { is_new })
    }
}

/// Why a request changed nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The push breaks a rule or contradicts what is there.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// It would bring the store over a limit.
    #[error(transparent)]
    Full(#[from] StoreFull),
    /// Its idempotency key came with another request before.
    #[error(
        "the idempotency key was used before with another body: send what was sent then, or use a new key"
    )]
    KeyReused,
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Rejection {
        Rejection::Refused(Box::new(refusal))
    }
}

impl Store {
    /// An empty store. `own` are the families of the gateway itself, whose names are taken;
    /// idempotency keys count for `window`, and no more than `keys` are remembered.
    pub fn new(
        own: impl IntoIterator<Item = (String, OwnFamily)>,
        tracking: Tracking,
        window: Duration,
        keys: usize,
    ) -> Store {
        Store {
            groups: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            structure: Mutex::new(Structure {
                definitions: Definitions::new(own, tracking),
                spelled: Spellings::default(),
                next_epoch: 0,
                next_slot: 0,
                free_slots: BTreeSet::new(),
                gone: Vec::new(),
                gone_keys: Vec::new(),
                first_key: 0,
            }),
            orders: Orders::default(),
            keys: Keys::new(window, keys),
            tracking,
            touched: Mutex::default(),
            group_count: AtomicI64::new(0),
            series_count: AtomicI64::new(0),
            bytes: AtomicI64::new(0),
            name_bytes: AtomicI64::new(0),
            limits: OnceLock::new(),
            generation: AtomicU64::new(0),
        }
    }

    /// Checks a push and applies it, whole or not at all; with an idempotency key, once.
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
        key: Option<&Key>,
    ) -> Result<Outcome, Rejection> {
        let _claim = key.map(|key| self.keys.claim(key));
        if self.is_replay(key, now)? {
            return Ok(Outcome::Replayed);
        }
        if let Some(mut group) = self.groups.get_mut(grouping.key()) {
            match group.plan(push, semantics) {
                Ok(plan) if plan.is_structural => {}
                Ok(plan) => {
                    if let Some(full) = self.is_too_large_for(&group, push, &plan, semantics) {
                        self.fail(&mut group, now);
                        return Err(full.into());
                    }
                    self.track(&mut group);
                    let grown = group.apply(push, &plan, semantics, now, self.tracking);
                    if grown != 0 {
                        self.bytes.fetch_add(grown, Ordering::Relaxed);
                    }
                    if let Some(key) = key {
                        group.track_key(self.number_of(key, now));
                    }
                    return Ok(Outcome::of(group.note_session(push, semantics)));
                }
                Err(refusal) => {
                    self.fail(&mut group, now);
                    return Err(refusal.into());
                }
            }
        }
        let shape = shape_of(grouping);
        let mut structure = self.lock();
        let plan = self.check((grouping, &shape), push, semantics, &structure);
        let plan = plan.map_err(Rejection::from).and_then(|plan| {
            self.check_limits(grouping, push, &plan, semantics, &structure.definitions)?;
            Ok(plan)
        });
        match plan {
            Ok(plan) => {
                for pushed in push.families() {
                    self.expect_shape(push.name(pushed), &shape, &mut structure);
                }
                let outcome = self.restructure(grouping, push, &plan, semantics, now, &mut structure);
                self.count_names(&structure);
                if let Some(key) = key {
                    self.remember(grouping.key(), key, now, &mut structure);
                }
                Ok(outcome)
            }
            Err(mut rejection) => {
                if let Rejection::Refused(refusal) = &mut rejection {
                    self.locate(refusal, push, grouping.key(), &structure.definitions);
                }
                self.note_failure(grouping, now, &mut structure);
                Err(rejection)
            }
        }
    }

    /// Notes that a push to a group was refused before it reached the store.
    pub fn push_failed(&self, grouping: &Grouping<'_>, now: Moment) {
        if let Some(mut group) = self.groups.get_mut(grouping.key()) {
            self.fail(&mut group, now);
            return;
        }
        let mut structure = self.lock();
        self.note_failure(grouping, now, &mut structure);
    }

    /// Removes a group, if it is there; with an idempotency key, once.
    ///
    /// # Errors
    ///
    /// When the key came with another request before.
    pub fn delete(
        &self,
        grouping: &Grouping<'_>,
        now: Moment,
        key: Option<&Key>,
    ) -> Result<Outcome, Rejection> {
        let _claim = key.map(|key| self.keys.claim(key));
        if self.is_replay(key, now)? {
            return Ok(Outcome::Replayed);
        }
        let mut structure = self.lock();
        self.remove(grouping.key(), &mut structure);
        if let Some(key) = key {
            self.remember(grouping.key(), key, now, &mut structure);
        }
        Ok(Outcome::Applied)
    }

    /// Removes all groups.
    pub fn wipe(&self) {
        let mut structure = self.lock();
        let keys: Vec<Arc<str>> = self.groups.iter().map(|group| group.key().clone()).collect();
        for key in keys {
            self.remove(&key, &mut structure);
        }
    }

    /// The idempotency keys of what was applied.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How many groups there are.
    pub fn group_count(&self) -> i64 {
        self.group_count.load(Ordering::Relaxed)
    }

    /// How many series there are, without the two of each group.
    pub fn series_count(&self) -> i64 {
        self.series_count.load(Ordering::Relaxed)
    }

    /// The size of everything in bytes, roughly: what the limit counts.
    pub fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::Relaxed) + self.name_bytes.load(Ordering::Relaxed)
    }

    /// Must come after names came or went.
    fn count_names(&self, structure: &Structure) {
        let free = structure.definitions.free_slots() + structure.free_slots.len();
        let of_free = free.saturating_sub(FREE_SLOTS) as u64 * SLOT_BYTES;
        self.name_bytes.store((structure.definitions.bytes() + of_free) as i64, Ordering::Relaxed);
    }

    /// When the latest push was accepted, in nanoseconds since the epoch; 0 for never.
    pub fn newest_push(&self) -> i64 {
        self.groups.iter().map(|group| group.times.pushed_at).max().unwrap_or(0)
    }

    /// A number that grows when groups, families or series come or go.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Shared pointers to everything. Labels, names and types stay as they are while the snapshot is
    /// taken, so that nothing stands in it twice; values go on changing.
    pub fn snapshot(&self) -> Snapshot {
        let structure = self.hold();
        let mut builder = SnapshotBuilder::with_capacity(structure.definitions.len());
        for group in self.groups.iter() {
            builder.add(&group, self.tracking);
        }
        // Groups that have gone are published until that is on disk.
        structure.gone_groups().for_each(|group| builder.add(group, self.tracking));
        builder.finish()
    }

    /// The orders in which scrapes list series.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Whether a request was applied before.
    fn is_replay(&self, key: Option<&Key>, now: Moment) -> Result<bool, Rejection> {
        match key.map_or(Known::Unknown, |key| self.keys.known(key, now)) {
            Known::Unknown => Ok(false),
            Known::Applied => Ok(true),
            Known::Different => Err(Rejection::KeyReused),
        }
    }

    /// Remembers a key and gives its number.
    fn number_of(&self, key: &Key, now: Moment) -> u64 {
        self.keys.remember(*key, now, self.tracking == Tracking::Versions)
    }

    /// Remembers the key of a request that changed this group.
    fn remember(&self, group: &str, key: &Key, now: Moment, structure: &mut Structure) {
        let number = self.number_of(key, now);
        match self.groups.get_mut(group) {
            Some(mut group) => group.track_key(number),
            None if self.tracking != Tracking::Nothing => structure.gone_keys.push(number),
            None => {}
        }
    }

    /// Notes that a push to a group was refused.
    fn fail(&self, group: &mut Group, now: Moment) {
        self.track(group);
        group.times.failed_at = now.nanos;
    }

    /// Begins to note the changes of a group.
    fn track(&self, group: &mut Group) {
        if group.track(self.tracking) {
            self.touch(group.labels.key.clone());
        }
    }

    fn touch(&self, key: Arc<str>) {
        self.touched().push(key);
    }

    fn touched(&self) -> MutexGuard<'_, Vec<Arc<str>>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the structure, to change it.
    fn lock(&self) -> MutexGuard<'_, Structure> {
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.hold()
    }

    /// Locks the structure, so that it stays as it is.
    fn hold(&self) -> MutexGuard<'_, Structure> {
        self.structure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that can be wrong with a push that changes more than values.
    fn check(
        &self,
        (grouping, shape): (&Grouping<'_>, &Shape),
        push: &Push,
        semantics: &Semantics,
        structure: &Structure,
    ) -> Result<Plan, Refusal> {
        let definitions = &structure.definitions;
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
            check::check_twin(grouping, &structure.spelled, |key| self.groups.contains_key(key))?;
        }
        check::check_spellings(push, grouping.key(), definitions)?;
        let own = (grouping.key(), shape);
        check::check_other_groups(push, &plan, own, definitions, |key, family, block| {
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
    ) -> Outcome {
        let created = self.created(grouping, now, structure);
        let mut with = Restructuring {
            definitions: &mut structure.definitions,
            next_epoch: &mut structure.next_epoch,
            tracking: self.tracking,
        };
        match created {
            Some(mut group) => {
                group.restructure(push, plan, semantics, now, &mut with);
                let outcome = Outcome::of(group.note_session(push, semantics));
                self.insert(group, structure);
                outcome
            }
            None => {
                let Some(mut group) = self.groups.get_mut(grouping.key()) else { return Outcome::Applied };
                let (series, bytes) = (group.series() as i64, group.bytes() as i64);
                self.track(&mut group);
                group.restructure(push, plan, semantics, now, &mut with);
                self.series_count.fetch_add(group.series() as i64 - series, Ordering::Relaxed);
                self.bytes.fetch_add(group.bytes() as i64 - bytes, Ordering::Relaxed);
                Outcome::of(group.note_session(push, semantics))
            }
        }
    }

    /// Must come before a group of this shape gets a family, while no guard is held.
    fn expect_shape(&self, name: &str, shape: &Shape, structure: &mut Structure) {
        structure.definitions.expect_shape(name, shape, |key, each| {
            if let Some(group) = self.groups.get(key)
                && let Some(family) = group.family(name)
            {
                family.blocks_from(0).for_each(each);
            }
        });
    }

    /// A new group, where there is none with this key.
    fn created(&self, grouping: &Grouping<'_>, now: Moment, structure: &mut Structure) -> Option<Group> {
        if self.groups.contains_key(grouping.key()) {
            return None;
        }
        let (slot, epoch) = (structure.slot(), structure.epoch());
        let mut group = Group::new(Arc::new(GroupLabels::of(grouping)), slot, epoch, now);
        group.track_new(self.tracking);
        if self.tracking != Tracking::Nothing {
            self.touch(group.labels.key.clone());
        }
        Some(group)
    }

    fn insert(&self, group: Group, structure: &mut Structure) {
        let key = &group.labels.key;
        if has_empty_labels(key) {
            structure.spelled.add(key, &without_empty_labels(key));
        }
        self.series_count.fetch_add(group.series() as i64, Ordering::Relaxed);
        self.bytes.fetch_add(group.bytes() as i64, Ordering::Relaxed);
        self.groups.insert(group.labels.key.clone(), group);
        self.group_count.fetch_add(1, Ordering::Relaxed);
    }

    /// Marks a group as failed; one that is not there yet is created for it, as the stock gateway
    /// does, unless its own series would stand in its twin too.
    fn note_failure(&self, grouping: &Grouping<'_>, now: Moment, structure: &mut Structure) {
        if check::check_twin(grouping, &structure.spelled, |key| self.groups.contains_key(key)).is_err() {
            return;
        }
        if !self.may_create(grouping) {
            return;
        }
        match self.created(grouping, now, structure) {
            Some(mut group) => {
                group.times.failed_at = now.nanos;
                self.insert(group, structure);
            }
            None => {
                if let Some(mut group) = self.groups.get_mut(grouping.key()) {
                    self.fail(&mut group, now);
                }
            }
        }
    }

    fn remove(&self, key: &str, structure: &mut Structure) {
        if let Some((_, group)) = self.groups.remove(key) {
            self.forget(&group, structure);
            if self.tracking != Tracking::Nothing {
                structure.gone_keys.extend(group.changes().into_iter().flat_map(|changes| &changes.keys));
                if group.changes().is_none_or(|changes| !changes.is_new) {
                    let (epoch, key) = (group.epoch, group.labels.key.clone());
                    let group = (self.tracking == Tracking::Versions).then_some(group);
                    structure.gone.push(Gone { epoch, key, group });
                }
            }
        }
    }
}

impl Structure {
    /// The groups that have gone but are still published.
    fn gone_groups(&self) -> impl Iterator<Item = &Group> {
        self.gone.iter().filter_map(|gone| gone.group.as_ref())
    }

    fn epoch(&mut self) -> u64 {
        self.next_epoch += 1;
        self.next_epoch
    }

    fn slot(&mut self) -> u32 {
        self.free_slots.pop_first().unwrap_or_else(|| {
            self.next_slot += 1;
            self.next_slot - 1
        })
    }

    /// Gives up the slot of a group.
    fn free_slot(&mut self, slot: u32) {
        self.free_slots.insert(slot);
        while self.free_slots.last().is_some_and(|last| last + 1 == self.next_slot) {
            self.free_slots.pop_last();
            self.next_slot -= 1;
        }
    }
}
