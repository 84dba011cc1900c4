//! How pushes of sources change their targets, and how sources go.
//!
//! The target is checked and changed as by any other push; what the source remembers can't be refused then. Both happen
//! under the lock of the structure, so that a snapshot and a commit see all of it or nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Applying, Pushing, restructuring};
use crate::model::limits::Limit;
use crate::model::push::Push;
use crate::model::refusal::Refusal;
use crate::store::Store;
use crate::store::effects::Tally;
use crate::store::group::{Group, Held, Memory, NO_SLOT};
use crate::store::group_labels::{GroupLabels, source_key};
use crate::store::limits::check;
use crate::store::selection::{Selection, SeriesName};
use crate::store::semantics::{FamilyRule, Semantics};
use crate::store::structure::Structure;
use crate::store::times::Times;
use crate::store::totals::{Divided, divide};
use crate::store::transaction::{Outcome, Rejection};

impl Applying<'_, '_> {
    /// Applies a push, as one of its source if that counts.
    pub(super) fn push_by(
        &mut self,
        pushing: Pushing<'_>,
        source: Option<&str>,
    ) -> Result<Outcome, Rejection> {
        if let Some(source) = source.filter(|_| self.source_counts(pushing)) {
            return self.holding(|this, structure| this.push_from(pushing, source, structure));
        }
        if let Some(done) = self.push_values(pushing) {
            return done;
        }
        // Another source may have pushed before the structure was locked.
        self.locked(|this, structure| match source.filter(|_| this.source_counts(pushing)) {
            Some(source) => this.push_from(pushing, source, structure),
            None => this.push(pushing, structure),
        })
    }

    fn source_counts(&self, pushing: Pushing<'_>) -> bool {
        !pushing.semantics.source_if_shared || self.space.has_sources(pushing.grouping.key())
    }

    /// Applies a push of a source.
    fn push_from(
        &mut self,
        pushing: Pushing<'_>,
        source: &str,
        structure: &mut Structure,
    ) -> Result<Outcome, Rejection> {
        let Pushing { grouping, push, semantics, .. } = pushing;
        let key = source_key(grouping.key(), source);
        let replaces = semantics.adding == FamilyRule::Replace;
        let divide = |source: Option<&Group>| {
            let divided = divide(push, source, replaces)?;
            let growth = Group::growth_of_source(source, &key, &divided.remembered);
            Ok::<_, Refusal>((divided, growth))
        };
        let divided = self.space.read(&key, |group| divide(Some(group))).unwrap_or_else(|| divide(None));
        let (divided, growth) = match divided {
            Ok(divided) => divided,
            Err(refusal) => {
                let refusal = Rejection::from(refusal);
                self.structural(|this| this.note_failure(grouping, structure));
                return Err(refusal);
            }
        };
        let target = divided.target.as_ref().unwrap_or(push);
        let shared = Semantics { is_shared: true, ..*semantics };
        let of_target = Pushing { push: target, semantics: &shared, ..pushing };
        let outcome = self.push_beside(of_target, growth, structure)?;
        if divided.has_restarted {
            self.space.count(Tally { restarts: 1, ..Tally::default() }, self.store);
        }
        self.remember_push(pushing, (source, &key), &divided, structure);
        Ok(outcome)
    }

    /// Applies the part of a push that its target gets, where its source is to grow by so many series and bytes.
    fn push_beside(
        &mut self,
        pushing: Pushing<'_>,
        (series, bytes): (i64, i64),
        structure: &mut Structure,
    ) -> Result<Outcome, Rejection> {
        let store = self.store;
        if let Some(limits) = store.limits.get() {
            let full = check(Limit::Series, store.series_count(), series, limits.series)
                .and_then(|()| check(Limit::StoreBytes, store.bytes(), bytes, limits.bytes));
            if let Err(full) = full {
                self.structural(|this| this.note_failure(pushing.grouping, structure));
                return Err(full.into());
            }
        }
        // So that the target leaves room for the source.
        let (series, bytes) = (series.max(0), bytes.max(0));
        store.series_count.fetch_add(series, Ordering::Relaxed);
        store.bytes.fetch_add(bytes, Ordering::Relaxed);
        let pushed = match self.push_values(pushing) {
            Some(pushed) => pushed,
            None => self.structural(|this| this.push(pushing, structure)),
        };
        store.series_count.fetch_sub(series, Ordering::Relaxed);
        store.bytes.fetch_sub(bytes, Ordering::Relaxed);
        pushed
    }

    /// Lets a source remember its part of a push that was applied to its target.
    fn remember_push(
        &mut self,
        Pushing { grouping, push, semantics, terms }: Pushing<'_>,
        (source, key): (&str, &str),
        divided: &Divided,
        structure: &mut Structure,
    ) {
        let (store, now) = (self.store, self.now);
        let is_new = !self.space.contains(key);
        if is_new && divided.remembered.families().is_empty() {
            return;
        }
        let target = self.space.get(grouping.key()).filter(|_| terms.room().is_some());
        let memory = Memory {
            whole: push,
            remembered: &divided.remembered,
            semantics,
            source_ttl: terms.source_ttl,
            target: target.as_deref(),
        };
        let (held, ends) = if is_new {
            let labels = GroupLabels::of_source(grouping, source);
            let mut group = Group::new(labels.into(), NO_SLOT, structure.epoch(), now);
            let mut with = restructuring(structure);
            let held = group.remember(&memory, now, &mut with);
            let ends = with.ends;
            store.welcome(&group, structure);
            self.space.insert(group);
            (held, ends)
        } else {
            let mut with = restructuring(structure);
            let held = self.space.hold(key, |mut handle| {
                store.recount(handle.edit(), |group| group.remember(&memory, now, &mut with))
            });
            (held.unwrap_or_default(), with.ends)
        };
        // Shared no longer, so that it is changed in place.
        drop(target);
        self.settle(key, ends, Tally::default(), structure);
        self.count_holders(grouping.key(), &held, structure);
        // A PUT may have taken the last that it had.
        self.remove_if_empty(key, structure);
    }

    /// Takes out a source that remembers nothing.
    fn remove_if_empty(&mut self, key: &str, structure: &mut Structure) {
        if self.space.read(key, |group| group.families().is_empty()).unwrap_or(false) {
            self.structural(|this| this.remove_if(key, |_| true, structure));
        }
    }

    /// Takes out a source: what is folded of it, and unless it `keeps_totals` what it counted last. What it has added to
    /// counters stays. If it was `seen` before, nothing happens if it has pushed since.
    pub(super) fn delete_source(
        &mut self,
        target: &str,
        source: &str,
        seen: Option<Times>,
        keeps_totals: bool,
        structure: &mut Structure,
    ) {
        let key = source_key(target, source);
        let is_over = |group: &Group| seen.is_none_or(|seen| group.times.is_quiet_since(seen));
        let has_totals = |group: &Group| group.families().iter().any(|family| family.fold().is_none());
        let found = self.space.read(&key, |group| (is_over(group), has_totals(group)));
        let Some((true, has_totals)) = found else { return };
        let held = self.forget_folds(&key, |_| true);
        if keeps_totals && has_totals {
            self.space.hold(&key, |mut handle| {
                if handle.group().ttl().is_some() {
                    handle.edit().set_ttl(None);
                }
            });
        } else {
            self.remove_if(&key, |_| true, structure);
        }
        self.count_holders(target, &held, structure);
        if seen.is_some() {
            self.space.count(Tally { expired_sources: 1, ..Tally::default() }, self.store);
        }
    }

    fn forget_folds(&mut self, key: &str, goes: impl Fn(&str) -> bool) -> Held {
        let store = self.store;
        let has_some =
            |group: &Group| group.families().iter().any(|f| f.fold().is_some() && goes(f.definition.name()));
        if !self.space.read(key, has_some).unwrap_or(false) {
            return Held::default();
        }
        let forget = |group: &mut Group| group.forget_folds(&goes);
        self.space.hold(key, |mut handle| store.recount(handle.edit(), forget)).unwrap_or_default()
    }

    /// Takes out all sources of a group.
    pub(super) fn remove_sources(&mut self, target: &str, structure: &mut Structure) {
        for key in self.space.sources_of(target) {
            self.remove_if(&key, |_| true, structure);
        }
    }

    /// The families of a group that are folded and will not be after a push, or not of the values that sources have.
    pub(super) fn unfolded_by(&self, key: &str, push: &Push, semantics: &Semantics) -> Vec<Arc<str>> {
        let unfolded = self.space.read(key, |group| {
            let mut names = group.folded();
            names.retain(|name| match push.family(name) {
                Some(pushed) => {
                    pushed.rule.is_none_or(|rule| !matches!(rule, crate::model::merge::Merge::Fold(_)))
                        || semantics.rule(pushed) == FamilyRule::Replace
                }
                None => group.family(name).is_some_and(|family| semantics.drops(family)),
            });
            names
        });
        unfolded.unwrap_or_default()
    }

    /// These families of a group are folded no more: its sources forget them.
    pub(super) fn unfold(&mut self, target: &str, names: &[Arc<str>], structure: &mut Structure) {
        if names.is_empty() {
            return;
        }
        for key in self.space.sources_of(target) {
            self.forget_folds(&key, |name| names.iter().any(|unfolded| **unfolded == *name));
            self.remove_if_empty(&key, structure);
        }
        self.space.hold(target, |mut handle| handle.edit().forget_holders(names));
    }

    /// These folded series of a group go, so its sources have none of them any more.
    pub(super) fn forget_series(
        &mut self,
        target: &str,
        names: Vec<Arc<SeriesName>>,
        structure: &mut Structure,
    ) {
        if names.is_empty() {
            return;
        }
        let which = Selection::Listed(names);
        let store = self.store;
        for key in self.space.sources_of(target) {
            let Some(version) = self.space.get(&key) else { continue };
            let mut of_source = which.positions_in(&version);
            of_source.retain(|one| version.family(&one.family).is_some_and(|family| family.fold().is_some()));
            drop(version);
            if of_source.is_empty() {
                continue;
            }
            let mut with = restructuring(structure);
            self.space.hold(&key, |mut handle| {
                store.recount(handle.edit(), |group| group.remove_series(&of_source, &mut with));
            });
            self.remove_if_empty(&key, structure);
        }
    }

    /// Notes in a target which series a source has got and has no more. What no source has goes.
    fn count_holders(&mut self, target: &str, held: &Held, structure: &mut Structure) {
        if held.gained.is_empty() && held.lost.is_empty() {
            return;
        }
        let gone = self.space.hold(target, |mut handle| handle.edit().count_holders(held));
        let gone = gone.unwrap_or_default();
        if gone.is_empty() {
            return;
        }
        let store = self.store;
        self.structural(|this| {
            let mut with = restructuring(structure);
            this.space.hold(target, |mut handle| {
                store.recount(handle.edit(), |group| group.remove_series(&gone, &mut with));
            });
            let ends = with.ends;
            store.count_names(structure);
            this.settle(target, ends, Tally::default(), structure);
        });
    }

    /// Does something with the structure, which stays as it is meanwhile unless [`Applying::structural`] says so.
    fn holding<T>(&mut self, change: impl FnOnce(&mut Self, &mut Structure) -> T) -> T {
        self.with_structure(Store::hold, change)
    }

    /// Does something that lets groups, families or series come or go, while the structure is held.
    fn structural<T>(&mut self, change: impl FnOnce(&mut Self) -> T) -> T {
        self.store.generation.fetch_add(1, Ordering::Relaxed);
        self.space.note_structural();
        change(self)
    }
}

#[cfg(test)]
mod tests;
