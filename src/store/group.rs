//! One group: its labels, its families, and how a push changes them.

mod growth;
mod lasting;
mod overflow;
mod removal;
mod source;

use std::slice;
use std::sync::Arc;

use prefetch_index::prefetch_index;

use crate::model::merge::Merge;
use crate::model::push::{self, Push};
use crate::model::refusal::{Cause, Other, Refusal};
use crate::model::time::Moment;
use crate::store::definition::{Definitions, Lease};
use crate::store::family::{Family, NEW, Placement, Positions};
use crate::store::group_labels::GroupLabels;
use crate::store::semantics::{Absent, FamilyRule, Semantics};
use crate::store::sessions::Sessions;
use crate::store::shareable::Shareable;
use crate::store::terms::Terms;
use crate::store::times::Times;

pub use growth::{growth_of_new_group, own_bytes};
pub(in crate::store) use lasting::{End, PieceAt};
pub use source::NO_SLOT;
pub(in crate::store) use source::{Held, Memory};

/// Families beyond these are read when they are needed: a push rarely has more.
const WARMED_FAMILIES: usize = 16;

/// Up to so many new families are put in their places one by one; more are sorted with all that are there.
const MOST_INSERTED: usize = 4;

/// A group: one version of it.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its labels.
    pub labels: Arc<GroupLabels>,
    /// When it was pushed to, and how often.
    pub times: Times,
    /// The number of this group among all, dense and reused.
    pub slot: u32,
    /// Unique among all groups that ever existed. Identifies the group on disk.
    pub epoch: u64,
    /// The families, sorted by name.
    families: Vec<Arc<Family>>,
    /// The series of all families, and their bytes.
    series: u64,
    family_bytes: u64,
    next_number: u32,
    /// Most groups have nothing of it.
    rare: Option<Box<Rare>>,
}

/// What few groups have.
#[derive(Clone, Debug, Default)]
struct Rare {
    /// The latest pushes of processes that give their start time.
    sessions: Sessions,
    /// How long the group stays when nobody pushes to it, in nanoseconds. For a source: when its sender does not push.
    ttl: Option<i64>,
}

/// Where each part of a push belongs in its group.
#[derive(Debug)]
pub struct Plan {
    /// For each family of the push.
    steps: Vec<Step>,
    /// Whether labels, names or types change, and not only values.
    pub is_structural: bool,
    /// How many series are added to an overflow series.
    pub folded: u64,
}

#[derive(Debug)]
struct Step {
    /// The position of the family in the group.
    family: Option<usize>,
    placement: Placement,
}

/// What is needed to give a group new families and series.
pub struct Restructuring<'a> {
    /// All live names.
    pub definitions: &'a mut Definitions,
    /// Gives out epochs.
    pub next_epoch: &'a mut u64,
    /// When the group, or the first series of a piece of it, may be over from now on; in nanoseconds since the epoch.
    pub(in crate::store) ends: Vec<End>,
}

impl Group {
    /// A group without families.
    pub fn new(labels: Arc<GroupLabels>, slot: u32, epoch: u64, now: Moment) -> Group {
        Group {
            labels,
            times: Times { created_at: now.nanos, ..Times::default() },
            slot,
            epoch,
            families: Vec::new(),
            series: 0,
            family_bytes: 0,
            next_number: 0,
            rare: None,
        }
    }

    /// Puts back a family that the group had before. Families must come sorted by name.
    pub fn restore(&mut self, family: Family) {
        self.restore_shared(Arc::new(family));
    }

    /// As [`Group::restore`], for a family that another version of the group has.
    pub fn restore_shared(&mut self, family: Arc<Family>) {
        self.next_number = self.next_number.max(family.number + 1);
        self.count(&family);
        self.families.push(family);
    }

    /// Takes over what is known of the processes that pushed to another version.
    pub(in crate::store) fn keep_sessions_of(&mut self, before: &Group) {
        if let Some(rare) = &before.rare {
            self.rare.get_or_insert_default().sessions = rare.sessions.clone();
        }
    }

    /// Notes that a push was accepted.
    fn accepted(&mut self, now: Moment) {
        self.times.pushed_at = now.nanos;
        self.times.pushes += 1;
    }

    /// Notes the process that an accepted push comes from. Whether it seems to repeat what that had pushed before,
    /// and if so, whether that is noticed for the first time.
    pub fn note_session(&mut self, push: &Push, semantics: &Semantics) -> Option<bool> {
        let session = push.session().filter(|_| semantics.adding == FamilyRule::Merge)?;
        self.rare.get_or_insert_default().sessions.note(session)
    }

    /// Whether a process seems to push running totals to this group.
    pub fn has_running_totals(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.sessions.is_suspected())
    }

    /// The families, sorted by name.
    pub fn families(&self) -> &[Arc<Family>] {
        &self.families
    }

    /// How many series the group has, not counting the two that the gateway adds.
    pub fn series(&self) -> u64 {
        self.series
    }

    /// The size of everything in bytes, roughly; see [`crate::store::piece::Piece::row_bytes`].
    pub fn bytes(&self) -> u64 {
        own_bytes(&self.labels.key) + self.family_bytes
    }

    fn count(&mut self, family: &Family) {
        self.series += u64::from(family.series_count());
        self.family_bytes += family.bytes();
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.families.binary_search_by(|family| (**family.definition.name()).cmp(name))
    }

    /// The label blocks of the series of a family; none where there is no such family.
    pub fn blocks_of(&self, name: &str) -> impl Iterator<Item = &str> {
        self.family(name).into_iter().flat_map(|family| family.blocks_from(0))
    }

    /// The family of this name.
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.shared_family(name).map(|family| &**family)
    }

    /// As [`Group::family`], to be shared with another version of the group.
    pub(in crate::store) fn shared_family(&self, name: &str) -> Option<&Arc<Family>> {
        self.position(name).ok().map(|at| &self.families[at])
    }

    /// Asks for the first families before any is needed. A group that was not pushed to for a while has left the caches, and
    /// its families would wait for memory one after the other.
    fn warm_up(&self) {
        let families = || self.families.iter().take(WARMED_FAMILIES);
        families().for_each(|family| prefetch_index(slice::from_ref(&**family), 0));
        let pieces = || families().filter_map(|family| family.pieces().first());
        pieces().for_each(|piece| piece.prefetch());
        pieces().for_each(|piece| piece.prefetch_rows([0].into_iter()));
        pieces().for_each(|piece| piece.prefetch_rest([0].into_iter()));
    }

    /// Finds out where everything of a push belongs.
    ///
    /// # Errors
    ///
    /// A series that stands in the push twice.
    pub fn plan(&self, push: &Push, semantics: &Semantics, terms: &Terms) -> Result<Plan, Refusal> {
        self.warm_up();
        let mut steps = Vec::with_capacity(push.families().len());
        let mut is_structural = false;
        let (mut next, mut new) = (0, 0);
        for pushed in push.families() {
            let name = push.name(pushed);
            let family = match self.families.get(next) {
                Some(family) if **family.definition.name() == *name => Some(next),
                _ => self.position(name).ok(),
            };
            let placement = match family {
                Some(at) => self.families[at].place(push, pushed),
                None => new_placement(push, pushed),
            }
            .map_err(|series| duplicate(push, pushed, &push.series(pushed)[series], Other::SamePush))?;
            new += placement.new;
            is_structural |= match family {
                Some(at) => {
                    next = at + 1;
                    let family = &self.families[at];
                    let kind = family.definition.kind();
                    let is_replaced = semantics.rule(pushed) == FamilyRule::Replace;
                    if !is_replaced {
                        family.check_bounds(push, pushed, &placement)?;
                    }
                    family.is_shortened_by(pushed.series_ttl)
                        || (pushed.kind != kind && semantics.kind_after(kind, name, pushed.kind) != kind)
                        || family.rule != pushed.rule
                        || family.metadata().changes_with(push, pushed, is_replaced)
                        || (is_replaced && !family.is_identity(&placement))
                }
                None => true,
            };
            steps.push(Step { family, placement });
        }
        let folded = self.fold(push, semantics, terms, new as u64, &mut steps);
        if folded > 0 {
            self.check_overflow_bounds(push, semantics, &steps)?;
        }
        is_structural |=
            self.is_shortened_by(terms.ttl) || steps.iter().any(|step| step.placement.adds_series());
        if semantics.absent != Absent::Keep && !is_structural {
            is_structural = self.absent_families(push, semantics).next().is_some();
        }
        Ok(Plan { steps, is_structural, folded })
    }

    /// Checks the bounds of the series that are added to overflow series.
    fn check_overflow_bounds(
        &self,
        push: &Push,
        semantics: &Semantics,
        steps: &[Step],
    ) -> Result<(), Refusal> {
        let merged = push.families().iter().zip(steps);
        for (pushed, step) in merged.filter(|(pushed, _)| semantics.rule(pushed) != FamilyRule::Replace) {
            if let Some(family) = step.family.and_then(|at| self.families.get(at)) {
                family.check_bounds(push, pushed, &step.placement)?;
            }
        }
        Ok(())
    }

    /// The families that a push removes because it does not have them.
    pub fn absent_families<'a>(
        &'a self,
        push: &'a Push,
        semantics: &'a Semantics,
    ) -> impl Iterator<Item = &'a Family> {
        self.families
            .iter()
            .map(|family| &**family)
            .filter(|family| semantics.drops(family) && push.family(family.definition.name()).is_none())
    }

    /// The pushed families with their series that are new to the group, and the label blocks that these have in it.
    pub fn new_series<'a>(
        push: &'a Push,
        plan: &'a Plan,
    ) -> impl Iterator<Item = (&'a push::Family, &'a push::Series, &'a str)> {
        push.families().iter().zip(&plan.steps).flat_map(move |(pushed, step)| {
            let placed = push.series(pushed).iter().zip(&step.placement.positions);
            let new = placed.filter(|(_, position)| **position == NEW);
            let new = new.map(|(series, _)| (series, push.block(series)));
            let overflow = step.placement.new_overflow(push.series(pushed));
            new.chain(overflow).map(move |(series, block)| (pushed, series, block))
        })
    }

    /// Applies a plan that changes values only. Gives by how many bytes the group grows.
    pub fn apply(
        &mut self,
        push: &Push,
        plan: &Plan,
        semantics: &Semantics,
        terms: &Terms,
        now: Moment,
    ) -> i64 {
        let mut grown = 0;
        let mut shareable = Shareable::default();
        for (pushed, step) in push.families().iter().zip(&plan.steps) {
            if let Some(family) = step.family.and_then(|at| self.families.get_mut(at)) {
                let family = Arc::make_mut(family);
                let before = family.series_bytes();
                change(family, push, pushed, &step.placement, semantics.rule(pushed), now, 0, &mut shareable);
                grown += family.series_bytes() as i64 - before as i64;
            }
        }
        self.family_bytes = self.family_bytes.saturating_add_signed(grown);
        self.set_ttl(terms.ttl);
        self.accepted(now);
        grown
    }

    /// Applies a plan that adds, removes or retypes families or series.
    pub fn restructure(
        &mut self,
        push: &Push,
        plan: &Plan,
        semantics: &Semantics,
        terms: &Terms,
        now: Moment,
        with: &mut Restructuring<'_>,
    ) {
        if semantics.absent != Absent::Keep {
            let is_absent = |family: &mut Arc<Family>| {
                semantics.drops(family) && push.family(family.definition.name()).is_none()
            };
            for family in self.families.extract_if(.., is_absent) {
                self.series -= u64::from(family.series_count());
                self.family_bytes -= family.bytes();
                let (name, holder) = (family.definition.name(), &self.labels);
                with.definitions.release(name, family.slot, holder, family.blocks_from(0));
            }
        }
        let mut added = Vec::new();
        let mut shareable = self.shareable();
        for (pushed, step) in push.families().iter().zip(&plan.steps) {
            let name = push.name(pushed);
            *with.next_epoch += 1;
            let epoch = *with.next_epoch;
            let live = with.definitions.live(name).map(|(kind, _)| kind);
            let kind = live.map_or(pushed.kind, |live| semantics.kind_after(live, name, pushed.kind));
            let family = match self.position(name) {
                Ok(at) => {
                    let family = Arc::make_mut(&mut self.families[at]);
                    self.series -= u64::from(family.series_count());
                    self.family_bytes -= family.bytes();
                    if let Some(definition) = with.definitions.retyped(name, kind) {
                        family.definition = definition;
                    }
                    family
                }
                Err(_) => {
                    let lease = with.definitions.lease(name, kind, &self.labels);
                    let family = Family::new(lease, epoch, self.next_number);
                    self.next_number += 1;
                    added.push(family);
                    let last = added.len() - 1;
                    &mut added[last]
                }
            };
            family.rule = pushed.rule;
            // A gauge's value can't serve as the start of a counter, so a retyped family is replaced.
            let is_retyped = live.is_some_and(|live| Merge::of(live, name) != Merge::of(kind, name));
            let rule = if is_retyped { FamilyRule::Replace } else { semantics.rule(pushed) };
            shareable.layouts = with.definitions.layouts(name);
            let is_replaced = rule == FamilyRule::Replace;
            let is_listed = push.has_empty_labels() || with.definitions.is_listed(name);
            if is_listed && is_replaced {
                with.definitions.unlist(name, &self.labels.key, family.blocks_from(0));
            }
            let first_new = if is_replaced { 0 } else { family.series_count() };
            let first_end = if family.is_shortened_by(pushed.series_ttl) { 0 } else { first_new };
            change(family, push, pushed, &step.placement, rule, now, epoch, &mut shareable);
            if is_listed {
                with.definitions.list(name, &self.labels.key, family.blocks_from(first_new));
            }
            if family.metadata().changes_with(push, pushed, is_replaced) {
                let texts = family.metadata().changed_with(push, pushed, is_replaced);
                let metadata = with.definitions.metadata(name, texts);
                family.set_metadata(metadata);
            }
            family.share_layout(with.definitions);
            with.expect_series(family, first_end);
            self.series += u64::from(family.series_count());
            self.family_bytes += family.bytes();
        }
        self.insert(added);
        self.set_ttl(terms.ttl);
        self.accepted(now);
        with.expect_group(self);
    }

    /// What new series may share with some that the group has.
    pub(in crate::store) fn shareable(&self) -> Shareable {
        let first_pieces = self.families.iter().filter_map(|family| family.pieces().first());
        Shareable::with(first_pieces.map(|piece| piece.shared_blocks()))
    }

    /// Adds families, and makes little more room than they need: most groups never grow again.
    fn insert(&mut self, added: Vec<Family>) {
        let (len, more) = (self.families.len(), added.len());
        if self.families.capacity() < len + more {
            self.families.reserve_exact(more.max(len / 8));
        }
        if more > MOST_INSERTED {
            self.families.extend(added.into_iter().map(Arc::new));
            self.families.sort_by(|a, b| a.definition.name().cmp(b.definition.name()));
            return;
        }
        for family in added {
            let at = self.position(family.definition.name()).unwrap_or_else(|at| at);
            self.families.insert(at, Arc::new(family));
        }
    }

    /// Releases the names of all families before the group is deleted.
    pub fn release(&self, definitions: &mut Definitions) {
        if self.is_source() {
            return;
        }
        self.families.iter().for_each(|family| self.release_family(family, definitions));
    }

    /// Releases the name of a family.
    pub fn release_family(&self, family: &Family, definitions: &mut Definitions) {
        let (name, holder) = (family.definition.name(), &self.labels);
        definitions.release(name, family.slot, holder, family.blocks_from(0));
    }

    /// Takes the name of a family as the group had it before.
    pub fn lease_family_again(&self, family: &Family, definitions: &mut Definitions) {
        let lease = Lease { definition: family.definition.clone(), slot: family.slot };
        definitions.lease_again(lease, &self.labels, family.blocks_from(0));
    }
}

#[allow(clippy::too_many_arguments, reason = "two callers, and each argument is a different thing")]
fn change(
    family: &mut Family,
    push: &Push,
    pushed: &push::Family,
    placement: &Placement,
    rule: FamilyRule,
    now: Moment,
    epoch: u64,
    known: &mut Shareable,
) {
    family.set_ttl(pushed.series_ttl);
    match rule {
        FamilyRule::Merge => {
            family.merge(push, pushed, placement, merge_of(pushed, rule), now, known);
        }
        FamilyRule::Replace => family.replace(push, pushed, placement, now, epoch, known),
    }
    family.pushed_at = now.nanos;
}

/// How the values of a pushed family are merged with existing ones.
fn merge_of(pushed: &push::Family, rule: FamilyRule) -> Merge {
    if rule == FamilyRule::Merge { pushed.merge } else { Merge::Last }
}

/// The plan of a push to a group that is not there, whose own series will have this label block.
///
/// # Errors
///
/// A series that stands in the push twice.
pub fn plan_of_new_group(push: &Push, terms: &Terms, series_block: &str) -> Result<Plan, Refusal> {
    let step = |pushed: &push::Family| {
        let placement = new_placement(push, pushed)
            .map_err(|series| duplicate(push, pushed, &push.series(pushed)[series], Other::SamePush))?;
        Ok(Step { family: None, placement })
    };
    let mut steps = push.families().iter().map(step).collect::<Result<Vec<_>, Refusal>>()?;
    let folded = overflow::fold_into_new_group(push, terms, series_block, &mut steps);
    Ok(Plan { steps, is_structural: true, folded })
}

fn new_placement(push: &Push, pushed: &push::Family) -> Result<Placement, usize> {
    let new = push.series(pushed).len();
    crate::store::family::check_unique(push, push.series(pushed))?;
    Ok(Placement::of(Positions::from_elem(NEW, new), new))
}

/// The refusal of a series that exists already.
pub(super) fn duplicate(push: &Push, pushed: &push::Family, series: &push::Series, other: Other) -> Refusal {
    let cause = Cause::DuplicateSeries { metric: push.describe(pushed, series) };
    Refusal::at(series.offset, cause).with(other)
}
