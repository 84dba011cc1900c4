//! Applies transactions to groups: checks them first, then applies them whole or not at all.

mod deletion;
mod failure;
mod removal;
mod sources;

use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::grouping::Grouping;
use crate::model::labels::{has_empty_labels, without_empty_labels};
use crate::model::push::Push;
use crate::model::refusal::Refusal;
use crate::model::time::Moment;
use crate::store::check;
use crate::store::deadlines::Subject;
use crate::store::draft::Draft;
use crate::store::effects::{Effects, Tally};
use crate::store::group::{End, Group, Plan, Restructuring, plan_of_new_group};
use crate::store::group_labels::{GroupLabels, Shape, shape_of};
use crate::store::groups::Changed;
use crate::store::idempotency::{Key, Known};
use crate::store::semantics::Semantics;
use crate::store::space::{Handle, Space};
use crate::store::structure::Structure;
use crate::store::terms::Terms;
use crate::store::transaction::{Outcome, Part, Rejection, Transaction};
use crate::store::{CommitMode, Store};

impl Store {
    /// Checks a transaction and applies it to the published groups, whole or not at all; with an idempotency key,
    /// once.
    ///
    /// A push that changes values only takes the guard of its group and nothing else, so such pushes
    /// run in parallel. What changes labels, names or types, or concerns several groups, also takes the lock that all
    /// such changes share.
    ///
    /// # Errors
    ///
    /// Why it was refused; the groups of its pushes then only note that a push failed.
    pub fn submit(&self, transaction: &Transaction<'_>, now: Moment) -> Result<Outcome, Rejection> {
        self.once(transaction, now, Space::published(&self.groups))
    }

    /// As [`Store::submit`], for a draft.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn submit_to(
        &self,
        draft: &mut Draft,
        transaction: &Transaction<'_>,
        now: Moment,
    ) -> Result<Outcome, Rejection> {
        self.once(transaction, now, Space::drafted(&self.groups, draft))
    }

    fn once(
        &self,
        transaction: &Transaction<'_>,
        now: Moment,
        space: Space<'_>,
    ) -> Result<Outcome, Rejection> {
        let key = transaction.key.as_ref();
        let _claim = key.map(|key| self.keys.claim(key));
        if self.is_replay(key, now)? {
            return Ok(Outcome::Replayed);
        }
        match &*transaction.parts {
            [part] => Applying { store: self, space, now, key, structure: None }.part(part),
            parts => self.together(parts, now, key, space),
        }
    }

    /// Applies several parts, all or none: to a draft over the space that they are for.
    fn together(
        &self,
        parts: &[Part<'_>],
        now: Moment,
        key: Option<&Key>,
        mut space: Space<'_>,
    ) -> Result<Outcome, Rejection> {
        let mut structure = self.lock();
        let was_held_back = structure.definitions.hold_back(true);
        let drafting = Drafting::begin(&self.is_drafting);
        let mut draft = self.draft_under(&structure);
        let is_draft = space.is_draft();
        let now = if is_draft { now } else { self.after_snapshots(now) };
        let (result, mut structure) = {
            let space = space.with(&mut draft);
            let mut applying = Applying { store: self, space, now, key: None, structure: Some(structure) };
            let mut apply = |outcome, part| match applying.part(part)? {
                Outcome::Applied => Ok(outcome),
                noticed => Ok(noticed),
            };
            let result = parts.iter().try_fold(Outcome::Applied, &mut apply);
            (result, applying.structure.take().unwrap_or_else(|| self.hold()))
        };
        let mut gone = Vec::new();
        match &result {
            Ok(_) => {
                gone = space.take_in(draft, self, &mut structure);
                let concerned = parts.first().and_then(Part::grouping).map_or("", Grouping::key);
                Applying { store: self, space, now, key, structure: None }
                    .remember(concerned, &mut structure);
            }
            Err(_) => {
                self.withdraw(draft, &mut structure, |key| space.get(key));
                let mut applying = Applying { store: self, space, now, key: None, structure: None };
                let pushes = parts.iter().filter(|part| matches!(part, Part::Push { .. }));
                for grouping in pushes.filter_map(Part::grouping) {
                    applying.note_failure(grouping, &mut structure);
                }
            }
        }
        structure.definitions.hold_back(was_held_back);
        if !is_draft {
            structure.definitions.show_retyped();
        }
        // Dropped before the structure is released, because the next transaction may draft then.
        drop(drafting);
        drop(structure);
        drop(gone);
        result
    }

    /// Whether a request was applied before.
    fn is_replay(&self, key: Option<&Key>, now: Moment) -> Result<bool, Rejection> {
        match key.map_or(Known::Unknown, |key| self.keys.known(key, now)) {
            Known::Unknown => Ok(false),
            Known::Applied => Ok(true),
            Known::Different => Err(Rejection::KeyReused),
        }
    }

    /// Releases what a deleted group holds of the structure.
    pub(super) fn forget(&self, group: &Group, structure: &mut Structure) {
        self.count(group, -1);
        if group.is_source() {
            return;
        }
        group.release(&mut structure.definitions);
        self.count_names(structure);
        structure.spelled.remove(&group.labels.key);
        structure.free_slot(group.slot);
        self.group_count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes that a published group was deleted.
    pub(super) fn note_gone(&self, changed: Changed, structure: &mut Structure) {
        structure.deadlines.forget_group(&changed.version.labels.key);
        // For the next commit.
        if self.commit_mode == CommitMode::After {
            structure.gone.extend(changed.before.map(|before| before.epoch));
            structure.lone_keys.extend(changed.keys);
        }
    }

    /// Remembers a key and returns its number.
    fn number_of(&self, key: &Key, now: Moment) -> u64 {
        self.keys.remember(*key, now, self.commit_mode == CommitMode::Before)
    }

    /// Changes a group and updates the totals.
    fn recount<T>(&self, group: &mut Group, change: impl FnOnce(&mut Group) -> T) -> T {
        let (series, bytes) = (group.series() as i64, group.bytes() as i64);
        let changed = change(group);
        self.series_count.fetch_add(group.series() as i64 - series, Ordering::Relaxed);
        self.bytes.fetch_add(group.bytes() as i64 - bytes, Ordering::Relaxed);
        changed
    }

    /// Adds a new group to the totals.
    pub(super) fn welcome(&self, group: &Group, structure: &mut Structure) {
        self.count(group, 1);
        if group.is_source() {
            return;
        }
        let key = &group.labels.key;
        if has_empty_labels(key) {
            structure.spelled.add(key, &without_empty_labels(key));
        }
        self.group_count.fetch_add(1, Ordering::Relaxed);
    }
}

/// While it is there, pushes that would change the values of a published group wait for the structure: a version that
/// is drafted over it must not miss them.
struct Drafting<'a>(&'a AtomicBool);

impl<'a> Drafting<'a> {
    fn begin(is_drafting: &'a AtomicBool) -> Drafting<'a> {
        is_drafting.store(true, Ordering::SeqCst);
        Drafting(is_drafting)
    }
}

impl Drop for Drafting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A push, and all that was decided about it.
#[derive(Clone, Copy)]
pub(super) struct Pushing<'a> {
    pub(super) grouping: &'a Grouping<'a>,
    pub(super) push: &'a Push,
    pub(super) semantics: &'a Semantics,
    pub(super) terms: &'a Terms,
}

fn restructuring(structure: &mut Structure) -> Restructuring<'_> {
    Restructuring {
        definitions: &mut structure.definitions,
        next_epoch: &mut structure.next_epoch,
        ends: Vec::new(),
    }
}

/// What a part needs to be applied.
struct Applying<'a, 'd> {
    store: &'a Store,
    space: Space<'d>,
    now: Moment,
    key: Option<&'a Key>,
    /// Set if the caller holds it already.
    structure: Option<MutexGuard<'a, Structure>>,
}

impl<'a> Applying<'a, '_> {
    fn part(&mut self, part: &Part<'_>) -> Result<Outcome, Rejection> {
        match part {
            Part::Push { grouping, push, semantics, source, terms } => {
                let pushing = Pushing { grouping, push, semantics, terms };
                return self.push_by(pushing, source.as_deref());
            }
            Part::Failed { grouping } => {
                if !self.fail(grouping.key()) {
                    self.locked(|this, structure| this.note_failure(grouping, structure));
                }
            }
            Part::Delete { grouping } => self.locked(|this, structure| {
                this.remove_if(grouping.key(), |_| true, structure);
                this.remove_sources(grouping.key(), structure);
                this.remember(grouping.key(), structure);
            }),
            Part::DeleteSource { grouping, source, seen, keeps_totals } => self.locked(|this, structure| {
                this.delete_source(grouping.key(), source, *seen, *keeps_totals, structure);
                this.remember(grouping.key(), structure);
            }),
            Part::Expire { grouping, seen } => self.locked(|this, structure| {
                let is_quiet = |group: &Group| group.times.is_quiet_since(*seen);
                let has_expired = this.remove_if(grouping.key(), is_quiet, structure);
                if has_expired {
                    this.remove_sources(grouping.key(), structure);
                }
                let expired_groups = u64::from(has_expired);
                this.space.count(Tally { expired_groups, ..Tally::default() }, this.store);
                this.remember(grouping.key(), structure);
            }),
            Part::ExpireSeries { grouping, families, sight } => self.locked(|this, structure| {
                this.expire_series(grouping.key(), families, *sight, structure);
                this.remember(grouping.key(), structure);
            }),
            Part::DropSeries { grouping, which } => self.locked(|this, structure| {
                this.remove_series(grouping.key(), which, structure);
                this.remember(grouping.key(), structure);
            }),
            Part::DeleteMatching { filter, survey } => {
                let (deleted, gone) = self.locked(|this, structure| {
                    let deleted = this.delete_matching(filter, survey, structure);
                    this.remember("", structure);
                    deleted
                });
                drop(gone);
                return Ok(Outcome::Deleted(deleted.into()));
            }
            Part::Wipe => self.locked(|this, structure| {
                for key in this.space.keys() {
                    this.remove_if(&key, |_| true, structure);
                }
                this.remember("", structure);
            }),
        }
        Ok(Outcome::Applied)
    }

    /// Does something with the structure, which is locked for that if it is not yet.
    fn locked<T>(&mut self, change: impl FnOnce(&mut Self, &mut Structure) -> T) -> T {
        self.space.note_structural();
        self.with_structure(Store::lock, change)
    }

    /// Does something with the structure, which `take` gives unless it is held already.
    fn with_structure<T>(
        &mut self,
        take: impl FnOnce(&'a Store) -> MutexGuard<'a, Structure>,
        change: impl FnOnce(&mut Self, &mut Structure) -> T,
    ) -> T {
        match self.structure.take() {
            Some(mut structure) => {
                let done = change(self, &mut structure);
                self.structure = Some(structure);
                done
            }
            None => {
                let mut structure = take(self.store);
                if !self.space.is_draft() {
                    self.now = self.store.after_snapshots(self.now);
                }
                let done = change(self, &mut structure);
                if !self.space.is_draft() {
                    structure.definitions.forget_retypings();
                }
                done
            }
        }
    }

    fn push(&mut self, pushing: Pushing<'_>, structure: &mut Structure) -> Result<Outcome, Rejection> {
        let Pushing { grouping, push, .. } = pushing;
        let shape = shape_of(grouping);
        let plan = self.check(pushing, &shape, structure);
        let plan = plan.map_err(Rejection::from).and_then(|plan| {
            self.store.check_limits(&self.space, pushing, &plan, &structure.definitions)?;
            Ok(plan)
        });
        match plan {
            Ok(plan) => {
                for pushed in push.families() {
                    self.expect_shape(push.name(pushed), &shape, structure);
                }
                let unfolded = self.unfolded_by(grouping.key(), push, pushing.semantics);
                let outcome = self.restructure(pushing, &plan, structure);
                self.unfold(grouping.key(), &unfolded, structure);
                self.store.count_names(structure);
                self.remember(grouping.key(), structure);
                Ok(outcome)
            }
            Err(mut rejection) => {
                if let Rejection::Refused(refusal) = &mut rejection {
                    self.store.locate(&self.space, refusal, push, grouping.key(), &structure.definitions);
                }
                self.note_failure(grouping, structure);
                Err(rejection)
            }
        }
    }

    /// Applies a push that changes only values. `None` if it changes more.
    fn push_values(&mut self, pushing: Pushing<'_>) -> Option<Result<Outcome, Rejection>> {
        let Pushing { grouping, push, semantics, terms } = pushing;
        let Applying { store, now, key, .. } = *self;
        let mut overflowed = 0;
        let mut change = |mut handle: Handle<'_>| match handle.group().plan(push, semantics, terms) {
            Ok(plan) if plan.is_structural => None,
            Ok(plan) => {
                let now = if handle.is_published() { store.after_snapshots(now) } else { now };
                if let Some(full) = store.is_too_large_for(handle.group(), push, &plan, semantics) {
                    handle.edit().times.failed_at = now.nanos;
                    return Some(Err(full.into()));
                }
                let group = handle.edit();
                let grown = group.apply(push, &plan, semantics, terms, now);
                let outcome = Outcome::of(group.note_session(push, semantics));
                if grown != 0 {
                    store.bytes.fetch_add(grown, Ordering::Relaxed);
                }
                if let Some(key) = key {
                    handle.note_key(store.number_of(key, now));
                }
                overflowed = plan.folded;
                Some(Ok(outcome))
            }
            Err(refusal) => {
                handle.edit().times.failed_at = now.nanos;
                Some(Err(refusal.into()))
            }
        };
        let done = self
            .space
            .hold(grouping.key(), |handle| if handle.waits_for(store) { None } else { change(handle) })
            .flatten();
        if overflowed > 0 {
            self.space.count(Tally { overflowed, ..Tally::default() }, store);
        }
        done
    }

    /// Remembers the key of a request that changed this group.
    fn remember(&mut self, group: &str, structure: &mut Structure) {
        let Some(key) = self.key else { return };
        let number = self.store.number_of(key, self.now);
        let is_noted = self.space.hold(group, |mut handle| handle.note_key(number)).unwrap_or(false);
        if !is_noted && self.store.commit_mode == CommitMode::After {
            structure.lone_keys.push(number);
        }
    }

    /// Everything that can be wrong with a push that changes more than values.
    fn check(&self, pushing: Pushing<'_>, shape: &Shape, structure: &Structure) -> Result<Plan, Refusal> {
        let Pushing { grouping, push, semantics, terms } = pushing;
        let definitions = &structure.definitions;
        let plan = self.space.read(grouping.key(), |group| {
            check::check_names(push, Some(group), definitions, semantics)?;
            group.plan(push, semantics, terms)
        });
        let is_new = plan.is_none();
        let plan = plan.unwrap_or_else(|| {
            check::check_names(push, None, definitions, semantics)?;
            plan_of_new_group(push, terms, &grouping.series_block())
        })?;
        // No guard is held from here on: the checks look at other groups, and the lock that the
        // caller holds keeps the structure as it is.
        if is_new {
            check::check_twin(grouping, &structure.spelled, |key| self.space.contains(key))?;
        }
        check::check_spellings(push, grouping.key(), definitions)?;
        let own = (grouping.key(), shape);
        check::check_other_groups(push, &plan, own, definitions, |key, family, block| {
            let holds =
                |group: &Group| group.family(family).is_some_and(|family| family.find(block).is_some());
            self.space.read(key, holds).unwrap_or(false)
        })?;
        Ok(plan)
    }

    fn restructure(&mut self, pushing: Pushing<'_>, plan: &Plan, structure: &mut Structure) -> Outcome {
        let Pushing { grouping, push, semantics, terms } = pushing;
        let (store, now) = (self.store, self.now);
        let created = self.created(grouping, structure);
        let mut with = restructuring(structure);
        let mut apply = |group: &mut Group| {
            group.restructure(push, plan, semantics, terms, now, &mut with);
            Outcome::of(group.note_session(push, semantics))
        };
        let outcome = if let Some(mut group) = created {
            let outcome = apply(&mut group);
            let ends = with.ends;
            self.insert(group, structure);
            (outcome, ends)
        } else {
            let changed = self
                .space
                .hold(grouping.key(), |mut handle| store.recount(handle.edit(), |group| apply(group)));
            (changed.unwrap_or(Outcome::Applied), with.ends)
        };
        let (outcome, ends) = outcome;
        let tally = Tally { overflowed: plan.folded, ..Tally::default() };
        self.settle(grouping.key(), ends, tally, structure);
        outcome
    }

    /// Lets what was done to a group have its effects.
    fn settle(&mut self, key: &str, ends: Vec<End>, tally: Tally, structure: &mut Structure) {
        if ends.is_empty() && tally == Tally::default() {
            return;
        }
        let Some(key) = self.space.read(key, |group| group.labels.key.clone()) else { return };
        let ends =
            ends.into_iter().map(|End { piece, deadline }| (Subject { group: key.clone(), piece }, deadline));
        self.space.settle(Effects { ends: ends.collect(), tally }, self.store, structure);
    }

    /// Must come before a group of this shape gets a family, while no guard is held.
    fn expect_shape(&self, name: &str, shape: &Shape, structure: &mut Structure) {
        structure.definitions.expect_shape(name, shape, |key, each| {
            self.space.read(key, |group| group.blocks_of(name).for_each(each));
        });
    }

    /// A new group, if none with this key exists.
    fn created(&self, grouping: &Grouping<'_>, structure: &mut Structure) -> Option<Group> {
        if self.space.contains(grouping.key()) {
            return None;
        }
        let (slot, epoch) = (structure.slot(), structure.epoch());
        Some(Group::new(GroupLabels::of(grouping).into(), slot, epoch, self.now))
    }

    fn insert(&mut self, group: Group, structure: &mut Structure) {
        self.store.welcome(&group, structure);
        self.space.insert(group);
    }
}
