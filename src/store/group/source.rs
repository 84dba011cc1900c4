//! Groups that are sources: what one sender pushed to another group, its target.
//!
//! A source is a group that is not shown. It has the values that are folded in its target and the latest running totals
//! of its sender. Its families share the definitions of the target's, but have no slots.

use std::sync::Arc;

use crate::model::merge::Merge;
use crate::model::push::{self, Push};
use crate::model::time::{Moment, Start};
use crate::store::definition::Lease;
use crate::store::family::{Family, NEW, Placement, Positions, overflow_block, pushed_own_bytes};
use crate::store::group::{Group, Restructuring, growth};
use crate::store::selection::{Selected, SeriesName};
use crate::store::semantics::{FamilyRule, Semantics};
use crate::store::shareable::Shareable;

/// The slot of what has none.
pub const NO_SLOT: u32 = u32::MAX;

/// The series that a source has got or has no more, of the families that are folded.
#[derive(Debug, Default)]
pub(in crate::store) struct Held {
    pub(in crate::store) gained: Vec<(Arc<str>, Vec<Box<str>>)>,
    pub(in crate::store) lost: Vec<(Arc<str>, Vec<Box<str>>)>,
}

/// What a source is to remember of a push of its sender.
#[derive(Clone, Copy)]
pub(in crate::store) struct Memory<'a> {
    /// The push, in which no series stands twice.
    pub(in crate::store) whole: &'a Push,
    /// The part that is remembered.
    pub(in crate::store) remembered: &'a Push,
    pub(in crate::store) semantics: &'a Semantics,
    /// See [`Terms::source_ttl`](crate::store::Terms::source_ttl).
    pub(in crate::store) source_ttl: Option<i64>,
    /// The target after the push, if series may be added to overflow series there. What is added so in the target is in
    /// the source too, so that all sources together are what the target shows.
    pub(in crate::store) target: Option<&'a Group>,
}

impl Held {
    /// What a source has got and has no more from one of its versions to another.
    pub(in crate::store) fn between(before: Option<&Group>, after: Option<&Group>) -> Held {
        Held { gained: folds_without(after, before), lost: folds_without(before, after) }
    }

    /// Whether there is nothing of it.
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.gained.is_empty() && self.lost.is_empty()
    }

    fn lose(&mut self, family: &Family) {
        if family.fold().is_some() {
            self.lost.push((family.definition.name().clone(), blocks(family.blocks_from(0))));
        }
    }
}

/// The folded series of a version of a source that another one does not have.
fn folds_without(version: Option<&Group>, other: Option<&Group>) -> Vec<(Arc<str>, Vec<Box<str>>)> {
    let folded = version.into_iter().flat_map(Group::families).filter(|family| family.fold().is_some());
    let lacking = folded.filter_map(|family| {
        let name = family.definition.name();
        let other = other.and_then(|other| other.shared_family(name)).filter(|other| other.fold().is_some());
        if other.is_some_and(|other| Arc::ptr_eq(other, family)) {
            return None;
        }
        let is_lacking = |block: &&str| other.is_none_or(|other| other.find(block).is_none());
        let lacking = blocks(family.blocks_from(0).filter(is_lacking));
        (!lacking.is_empty()).then(|| (name.clone(), lacking))
    });
    lacking.collect()
}

fn blocks<'b>(blocks: impl Iterator<Item = &'b str>) -> Vec<Box<str>> {
    blocks.map(Box::from).collect()
}

impl Group {
    /// Whether it is a source.
    pub fn is_source(&self) -> bool {
        self.labels.is_source
    }

    /// Whether any of its families is folded.
    pub fn has_folds(&self) -> bool {
        self.families.iter().any(|family| family.fold().is_some())
    }

    /// The names of the families that are folded.
    pub(in crate::store) fn folded(&self) -> Vec<Arc<str>> {
        let folded = self.families.iter().filter(|family| family.fold().is_some());
        folded.map(|family| family.definition.name().clone()).collect()
    }

    /// Those of some series that are folded.
    pub(in crate::store) fn folded_series(&self, of: &[Selected]) -> Vec<Arc<SeriesName>> {
        let mut names = Vec::new();
        for Selected { family: name, positions } in of {
            let Some(family) = self.family(name).filter(|family| family.fold().is_some()) else { continue };
            let rows = positions.iter().filter_map(|position| family.row(*position));
            names.extend(rows.map(|(piece, row)| {
                Arc::new(SeriesName { family: name.clone(), block: piece.block(row).into() })
            }));
        }
        names
    }

    /// By how many series and bytes a source grows at most, when it remembers this.
    pub(in crate::store) fn growth_of_source(source: Option<&Group>, key: &str, push: &Push) -> (i64, i64) {
        let (mut series, mut bytes) = (0, if source.is_none() { growth::own_bytes(key) as i64 } else { 0 });
        for pushed in push.families() {
            let family = source.and_then(|group| group.family(push.name(pushed)));
            let placement = family.and_then(|family| family.place(push, pushed).ok());
            match family.zip(placement) {
                Some((family, placement)) => {
                    series += placement.new as i64;
                    let is_new = |at: usize| placement.positions.get(at).is_none_or(|at| *at == NEW);
                    bytes += growth::series_bytes(push, pushed, is_new);
                    bytes += family.growth(push, pushed, &placement, Merge::Last);
                }
                None => {
                    series += push.series(pushed).len() as i64;
                    bytes += pushed_own_bytes(push, pushed) as i64;
                    bytes += growth::series_bytes(push, pushed, |_| true);
                }
            }
        }
        (series, bytes)
    }

    /// Takes in what a source remembers of a push of its sender. Gives which folded series it has got, and has no more.
    pub(in crate::store) fn remember(
        &mut self,
        memory: &Memory<'_>,
        now: Moment,
        with: &mut Restructuring<'_>,
    ) -> Held {
        let Memory { whole, remembered, semantics, source_ttl, .. } = *memory;
        let mut held = Held::default();
        let goes = |family: &Family| match whole.family(family.definition.name()) {
            None => family.fold().is_some() && semantics.drops(family),
            // What was remembered in another sense, or is no more.
            Some(pushed) => {
                family.form() != pushed.kind.form()
                    || family.fold().is_some() != matches!(pushed.merge, Merge::Fold(_))
                    || (family.fold().is_none() && pushed.temporality == Default::default())
            }
        };
        self.families.retain(|family| {
            let goes = goes(family);
            if goes {
                self.series -= u64::from(family.series_count());
                self.family_bytes -= family.bytes();
                held.lose(family);
            }
            !goes
        });
        let mut shareable = self.shareable();
        for pushed in remembered.families() {
            shareable.layouts = with.definitions.layouts(remembered.name(pushed));
            self.remember_family(memory, pushed, now, with, &mut held, &mut shareable);
        }
        self.accepted(now);
        // What a source with nothing but totals remembers stays as long as its target.
        let ttl = source_ttl.filter(|_| self.families.is_empty() || self.has_folds());
        let is_shortened = self.is_shortened_by(ttl);
        self.set_ttl(ttl);
        if is_shortened {
            with.expect_group(self);
        }
        held
    }

    fn remember_family(
        &mut self,
        memory: &Memory<'_>,
        pushed: &push::Family,
        now: Moment,
        with: &mut Restructuring<'_>,
        held: &mut Held,
        shareable: &mut Shareable,
    ) {
        let Memory { remembered: push, semantics, target, .. } = *memory;
        let name = push.name(pushed);
        let definition = with.definitions.shared(name, pushed.kind);
        let at = match self.position(name) {
            Ok(at) => at,
            Err(at) => {
                let lease = Lease { definition: definition.clone(), slot: NO_SLOT };
                self.families.insert(at, Arc::new(Family::new(lease, 0, self.next_number)));
                self.next_number += 1;
                self.family_bytes += self.families[at].bytes();
                at
            }
        };
        let family = Arc::make_mut(&mut self.families[at]);
        self.series -= u64::from(family.series_count());
        self.family_bytes -= family.bytes();
        family.definition = definition;
        family.rule = pushed.rule.filter(|rule| matches!(rule, Merge::Fold(_)));
        let series = push.series(pushed);
        let mut placement = family.place(push, pushed).unwrap_or_else(|_| {
            // The target would have refused it.
            Placement::of(Positions::from_elem(NEW, series.len()), series.len())
        });
        let is_folded = family.fold().is_some();
        if is_folded {
            if let Some(target) = target
                && let Some(there) = target.family(name)
            {
                let block = overflow_block(&target.labels.series_block);
                placement.redirect(push, pushed, family, there, block);
            }
            let new = series.iter().zip(&placement.positions).filter(|(_, position)| **position == NEW);
            let overflow = placement.new_overflow(series).map(|(_, block)| block);
            let gained = blocks(new.map(|(one, _)| push.block(one)).chain(overflow));
            if !gained.is_empty() {
                held.gained.push((family.definition.name().clone(), gained));
            }
        }
        if is_folded && semantics.replacing == FamilyRule::Replace {
            let mut stays: Vec<u32> = placement.positions.iter().copied().collect();
            stays.sort_unstable();
            let gone = (0..family.series_count()).filter(|position| stays.binary_search(position).is_err());
            let lost = gone.filter_map(|position| family.row(position)).map(|(piece, row)| piece.block(row));
            let is_overflow =
                |block: &str| placement.overflow.as_ref().is_some_and(|overflow| *overflow.block == *block);
            let lost = blocks(lost.filter(|block| !is_overflow(block)));
            if !lost.is_empty() {
                held.lost.push((family.definition.name().clone(), lost));
            }
            *with.next_epoch += 1;
            family.replace(push, pushed, &placement, now, *with.next_epoch, shareable);
        } else {
            let first_new = family.series_count();
            family.merge(push, pushed, &placement, Merge::Last, now, shareable);
            if !is_folded {
                let mut next_new = first_new..;
                for (one, position) in series.iter().zip(&placement.positions) {
                    let position = if *position == NEW { next_new.next() } else { Some(*position) };
                    let start = push.session_start(one).map_or(Start::UNKNOWN, Start::told);
                    position.into_iter().for_each(|position| family.set_start(position, start));
                }
            }
        }
        family.pushed_at = now.nanos;
        self.series += u64::from(family.series_count());
        self.family_bytes += family.bytes();
    }

    /// Takes the families out of a source that are folded, those that `goes` takes. Gives their series.
    pub(in crate::store) fn forget_folds(&mut self, goes: impl Fn(&str) -> bool) -> Held {
        let mut held = Held::default();
        self.families.retain(|family| {
            let goes = family.fold().is_some() && goes(family.definition.name());
            if goes {
                self.series -= u64::from(family.series_count());
                self.family_bytes -= family.bytes();
                held.lose(family);
            }
            !goes
        });
        held
    }

    /// Notes in a target which folded series a source has got, and has no more. Gives those that no source has any more.
    pub(in crate::store) fn count_holders(&mut self, held: &Held) -> Vec<Selected> {
        for (name, blocks) in &held.gained {
            if let Ok(at) = self.position(name) {
                Arc::make_mut(&mut self.families[at]).gain_holders(blocks.iter().map(|block| &**block));
            }
        }
        let mut gone = Vec::new();
        for (name, blocks) in &held.lost {
            let Ok(at) = self.position(name) else { continue };
            let family = Arc::make_mut(&mut self.families[at]);
            let positions = family.lose_holders(blocks.iter().map(|block| &**block));
            if family.fold().is_some() && !positions.is_empty() {
                gone.push(Selected { family: name.clone(), positions });
            }
        }
        gone
    }

    /// Notes in a target that a source is there.
    pub(in crate::store) fn count_holders_of(&mut self, source: &Group) {
        let mut held = Held::default();
        source.families.iter().for_each(|family| held.lose(family));
        self.count_holders(&Held { gained: held.lost, lost: Vec::new() });
    }

    /// Forgets in a target which sources have the series of these families.
    pub(in crate::store) fn forget_holders(&mut self, names: &[Arc<str>]) {
        for name in names {
            if let Ok(at) = self.position(name) {
                Arc::make_mut(&mut self.families[at]).forget_holders();
            }
        }
    }
}
