//! The groups and their metrics.
//!
//! Owns the map of groups and the indexes that let a push be checked without reading the whole store. A published
//! version of a group never changes while anybody else holds it. Locks are taken in this order: stripe of an
//! idempotency key, structure, guard of a group, and last those of touched groups and of all keys.

mod apply;
mod blocks;
pub mod check;
mod deadlines;
pub mod definition;
pub mod difference;
mod draft;
mod empty_labels;
pub mod family;
mod free_slots;
pub mod group;
mod groups;
pub mod idempotency;
mod index;
mod limits;
mod locate;
pub mod order;
mod overdue;
pub mod piece;
pub mod pieces;
mod restore;
pub mod selection;
pub mod semantics;
mod sessions;
pub mod shown_names;
pub mod snapshot;
mod space;
pub mod spellings;
pub mod states;
mod structure;
mod suffixes;
mod texts;
pub mod times;
pub mod transaction;
mod view;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::model::limits::StoreLimits;
use crate::store::definition::OwnFamily;
use crate::store::group::Group;
use crate::store::groups::Groups;
use crate::store::idempotency::Keys;
use crate::store::order::Orders;
use crate::store::snapshot::Snapshot;
use crate::store::structure::Structure;

pub use draft::Draft;
pub use overdue::Overdue;
pub use piece::RowValue;
pub use transaction::{Outcome, Part, Rejection, Transaction};
pub use view::{FamilySeries, FamilySummary, FamilyView, GroupAt, GroupView, SeriesView};

/// Free slots take memory in scrapes while slots behind them are in use. This many are not counted.
const FREE_SLOTS: usize = 10_000;

/// What each further free slot takes, in bytes.
const SLOT_BYTES: u64 = 80;

/// What a store records about changes for commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracking {
    /// Nothing: the store is in memory only.
    #[default]
    Nothing,
    /// The versions of the last commit. Changes are visible at once.
    Unsaved,
    /// Changes are made to drafts, and are visible once these are published.
    Drafts,
}

/// All groups, with the indexes over them.
#[derive(Debug)]
pub struct Store {
    groups: Groups,
    structure: Mutex<Structure>,
    orders: Orders,
    keys: Keys,
    tracking: Tracking,
    /// Set while a transaction over several groups is drafted. Other changes of values then wait for the structure.
    is_drafting: AtomicBool,
    group_count: AtomicI64,
    series_count: AtomicI64,
    /// See [`group::Group::bytes`].
    bytes: AtomicI64,
    /// See [`Definitions::bytes`].
    name_bytes: AtomicI64,
    /// Unset until the persistence file has been loaded.
    limits: OnceLock<StoreLimits>,
    generation: AtomicU64,
}

impl Store {
    /// An empty store. `own` are the gateway's own families, whose names are taken. Idempotency keys count for
    /// `window`, and at most `keys` are remembered.
    pub fn new(
        own: impl IntoIterator<Item = (String, OwnFamily)>,
        tracking: Tracking,
        window: Duration,
        keys: usize,
    ) -> Store {
        Store {
            groups: Groups::new(tracking == Tracking::Unsaved),
            structure: Mutex::new(Structure::new(own, tracking)),
            orders: Orders::default(),
            keys: Keys::new(window, keys),
            tracking,
            is_drafting: AtomicBool::new(false),
            group_count: AtomicI64::new(0),
            series_count: AtomicI64::new(0),
            bytes: AtomicI64::new(0),
            name_bytes: AtomicI64::new(0),
            limits: OnceLock::new(),
            generation: AtomicU64::new(0),
        }
    }

    /// The idempotency keys of applied requests.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How many groups there are.
    pub fn group_count(&self) -> i64 {
        self.group_count.load(Ordering::Relaxed)
    }

    /// How many series there are, not counting the two that the gateway adds to each group.
    pub fn series_count(&self) -> i64 {
        self.series_count.load(Ordering::Relaxed)
    }

    /// Roughly the size of everything in bytes, as the limit counts it.
    pub fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::Relaxed) + self.name_bytes.load(Ordering::Relaxed)
    }

    /// Updates the size of the names. Must be called after names came or went.
    fn count_names(&self, structure: &Structure) {
        let free = structure.definitions.free_slots() + structure.free_slots();
        let of_free = free.saturating_sub(FREE_SLOTS) as u64 * SLOT_BYTES;
        self.name_bytes.store((structure.definitions.bytes() + of_free) as i64, Ordering::Relaxed);
    }

    /// Adds the series and bytes of a group to the totals, `times` times. -1 subtracts them.
    fn count(&self, group: &Group, times: i64) {
        self.series_count.fetch_add(times * group.series() as i64, Ordering::Relaxed);
        self.bytes.fetch_add(times * group.bytes() as i64, Ordering::Relaxed);
    }

    /// When the latest push was accepted, in nanoseconds since the epoch; 0 for never.
    pub fn newest_push(&self) -> i64 {
        let mut newest = 0;
        self.groups.each(|group| newest = newest.max(group.times.pushed_at));
        newest
    }

    /// A number that grows when groups, families or series come or go.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Shared pointers to everything that is published. Labels, names and types can't change while it is taken, so
    /// nothing is in it twice. Values may change meanwhile.
    pub fn snapshot(&self) -> Snapshot {
        let structure = self.hold();
        let names = structure.definitions.len();
        let groups = self.versions();
        drop(structure);
        Snapshot::of(groups, names)
    }

    /// All groups. The caller must hold the structure.
    fn versions(&self) -> Vec<Arc<Group>> {
        let mut groups = Vec::with_capacity(self.group_count().max(0) as usize);
        self.groups.each(|group| groups.push(group.clone()));
        groups
    }

    /// The orders in which scrapes list series.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Locks the structure to change it.
    fn lock(&self) -> MutexGuard<'_, Structure> {
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.hold()
    }

    /// Locks the structure to keep it unchanged.
    fn hold(&self) -> MutexGuard<'_, Structure> {
        self.structure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
