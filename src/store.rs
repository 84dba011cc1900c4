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
pub mod deletion;
pub mod difference;
mod draft;
pub mod effects;
mod empty_labels;
pub mod family;
#[cfg(test)]
mod fixture;
mod fold;
mod free_slots;
pub mod group;
pub mod group_labels;
mod groups;
pub mod idempotency;
mod index;
mod limits;
mod locate;
pub mod metadata;
pub mod news;
pub mod order;
mod overdue;
pub mod piece;
pub mod pieces;
pub mod readahead;
mod restore;
pub mod selection;
pub mod semantics;
mod sessions;
mod shareable;
pub mod shown_names;
pub mod sight;
pub mod snapshot;
mod space;
pub mod spellings;
pub mod states;
mod structure;
mod suffixes;
pub mod terms;
pub mod times;
mod totals;
pub mod transaction;
mod view;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::model::limits::StoreLimits;
use crate::model::time::Moment;
use crate::store::definition::OwnFamily;
use crate::store::effects::Tallies;
use crate::store::fold::{Folding, Folds};
use crate::store::group::Group;
use crate::store::groups::Groups;
use crate::store::idempotency::Keys;
use crate::store::order::Orders;
use crate::store::snapshot::Snapshot;
use crate::store::structure::Structure;

pub use draft::Draft;
pub use overdue::{Look, Overdue};
pub use piece::RowValue;
pub use terms::{Overflow, Terms};
pub use transaction::{Outcome, Part, Rejection, Transaction};
pub use view::{FamilySeries, FamilySummary, FamilyView, GroupAt, GroupView, SeriesView};

/// Free slots take memory in scrapes while slots behind them are in use. This many are not counted.
const FREE_SLOTS: usize = 10_000;

/// What each further free slot takes, in bytes.
const SLOT_BYTES: u64 = 80;

/// Whether changes are committed, and whether that is before or after they become visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitMode {
    /// Never: the store is in memory only.
    #[default]
    Never,
    /// After they are visible. The store keeps the versions of the last commit.
    After,
    /// Before they are visible. They are made to drafts, which are published once they are committed.
    Before,
}

/// Up to when a snapshot shows all pushes, in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(i64);

/// All groups, with the indexes over them.
#[derive(Debug)]
pub struct Store {
    groups: Groups,
    structure: Mutex<Structure>,
    orders: Orders,
    keys: Keys,
    commit_mode: CommitMode,
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
    folds: Folds,
    tallies: Tallies,
    /// See [`Store::take_sooner`].
    is_sooner: AtomicBool,
    /// What was pushed up to then was shown by a scrape that was sent whole, in nanoseconds since the epoch.
    scraped: AtomicI64,
    /// When the latest scrape took its snapshot, in nanoseconds since the epoch.
    looked_at: AtomicI64,
}

impl Store {
    /// An empty store. `own` are the gateway's own families, whose names are taken. Idempotency keys count for
    /// `window`, and at most `keys` are remembered.
    pub fn new(
        own: impl IntoIterator<Item = (String, OwnFamily)>,
        commit_mode: CommitMode,
        window: Duration,
        keys: usize,
    ) -> Store {
        Store {
            groups: Groups::new(commit_mode == CommitMode::After),
            structure: Mutex::new(Structure::new(own, commit_mode)),
            orders: Orders::default(),
            keys: Keys::new(window, keys),
            commit_mode,
            is_drafting: AtomicBool::new(false),
            group_count: AtomicI64::new(0),
            series_count: AtomicI64::new(0),
            bytes: AtomicI64::new(0),
            name_bytes: AtomicI64::new(0),
            limits: OnceLock::new(),
            generation: AtomicU64::new(0),
            folds: Folds::default(),
            tallies: Tallies::default(),
            is_sooner: AtomicBool::new(false),
            scraped: AtomicI64::new(0),
            looked_at: AtomicI64::new(0),
        }
    }

    /// The idempotency keys of applied requests.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How many groups there are, sources aside.
    pub fn group_count(&self) -> i64 {
        self.group_count.load(Ordering::Relaxed)
    }

    /// How many series there are, counting those of sources but not the two that the gateway adds to each group.
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
        self.shown(groups, names)
    }

    /// As [`Store::snapshot`], for a scrape that begins now. What it shows counts as seen once [`Store::note_scraped`]
    /// says so.
    pub fn snapshot_for_scrape(&self, now: Moment) -> (Snapshot, Seen) {
        let structure = self.hold();
        // Pushes that this snapshot may miss are accepted later than now.
        self.looked_at.fetch_max(now.nanos, Ordering::SeqCst);
        let names = structure.definitions.len();
        let groups = self.versions();
        drop(structure);
        // A draft over the published groups may hold earlier pushes than now.
        let latest = groups.iter().map(|group| group.times.quiet_since()).max().unwrap_or(0);
        (self.shown(groups, names), Seen(latest.min(now.nanos)))
    }

    /// What is shown of these groups: all but the sources, whose values are folded.
    fn shown(&self, mut groups: Vec<Arc<Group>>, names: usize) -> Snapshot {
        let sources: Vec<Arc<Group>> = groups.extract_if(.., |group| group.is_source()).collect();
        let mut folding = Folding::new(&self.folds, &sources);
        let snapshot = Snapshot::of(groups, names, &mut folding);
        folding.keep(true);
        snapshot
    }

    /// The time of a push that changes what is published: no snapshot of an earlier time has missed it.
    #[inline]
    fn after_snapshots(&self, now: Moment) -> Moment {
        let looked_at = self.looked_at.load(Ordering::SeqCst);
        if looked_at < now.nanos { now } else { Moment { nanos: looked_at.saturating_add(1), ..now } }
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
