//! Which series of a push a group has room for, and which are added to an overflow series.

use std::sync::Arc;

use crate::model::kind::Kind;
use crate::model::push::{self, Push};
use crate::store::family::{FOLDED, Family, NEW, Overflowing, overflow_block};
use crate::store::group::{Group, Plan, Step};
use crate::store::semantics::{Absent, FamilyRule, Semantics};
use crate::store::terms::Terms;

/// Gives room to the new series of a push, in its order.
struct Room<'a> {
    block: Arc<str>,
    /// How many more series the group may have.
    left: u64,
    folded: u64,
    push: &'a Push,
}

impl Room<'_> {
    /// Lets the new series of a family that find no room be added to its overflow series. `family` is what is there
    /// and stays.
    fn give(&mut self, pushed: &push::Family, family: Option<&Family>, step: &mut Step) {
        // A state set has no state for what is added up.
        let may_fold = pushed.kind != Kind::StateSet;
        let mut folded = 0;
        let placed = self.push.series(pushed).iter().zip(&mut step.placement.positions);
        for (series, position) in placed.filter(|(_, position)| **position == NEW) {
            if *self.push.block(series) == *self.block {
                continue;
            }
            if self.left > 0 || !may_fold {
                self.left = self.left.saturating_sub(1);
            } else {
                *position = FOLDED;
                folded += 1;
            }
        }
        if folded > 0 {
            step.placement.new -= folded;
            let pushed = self.push.series(pushed);
            let is_there = family.is_some_and(|family| family.find(&self.block).is_some());
            let is_pushed = || pushed.iter().any(|series| *self.push.block(series) == *self.block);
            let is_new = !is_there && !is_pushed();
            step.placement.overflow = Some(Overflowing { block: self.block.clone(), is_new }.into());
            self.folded += folded as u64;
        }
    }
}

/// Folds what is too much for a group that is not there yet.
pub(super) fn fold_into_new_group(push: &Push, terms: &Terms, series_block: &str, steps: &mut [Step]) -> u64 {
    let Some(most) = terms.room() else { return 0 };
    let mut room = Room { block: overflow_block(series_block).into(), left: most, folded: 0, push };
    push.families().iter().zip(steps).for_each(|(pushed, step)| room.give(pushed, None, step));
    room.folded
}

impl Plan {
    /// How many overflow series are new.
    pub fn new_overflows(&self) -> i64 {
        let is_new = |step: &&Step| step.placement.overflow.as_ref().is_some_and(|overflow| overflow.is_new);
        self.steps.iter().filter(is_new).count() as i64
    }

    /// How many new series of the push are overflow series themselves, in a group whose own series have this block.
    pub fn pushed_overflows(&self, push: &Push, series_block: &str) -> i64 {
        let block = overflow_block(series_block);
        let of_step = |(pushed, step): (&push::Family, &Step)| {
            let placed = push.series(pushed).iter().zip(&step.placement.positions);
            placed.filter(|(one, position)| **position == NEW && *push.block(one) == *block).count()
        };
        push.families().iter().zip(&self.steps).map(of_step).sum::<usize>() as i64
    }
}

impl Group {
    /// Lets series be added to overflow series that a push brings beyond what the group may have. `new` series are new
    /// to the group. Gives how many are added so.
    pub(super) fn fold(
        &self,
        push: &Push,
        semantics: &Semantics,
        terms: &Terms,
        new: u64,
        steps: &mut [Step],
    ) -> u64 {
        let Some(most) = terms.room() else { return 0 };
        if new == 0 || self.series() + new <= most {
            return 0;
        }
        let block: Arc<str> = overflow_block(&self.labels.series_block).into();
        let of_family = |family: &Arc<Family>| self.staying(push, semantics, steps, family, &block);
        let staying: u64 = self.families.iter().map(of_family).sum();
        let mut room = Room { block, left: most.saturating_sub(staying), folded: 0, push };
        for (pushed, step) in push.families().iter().zip(steps) {
            let is_replaced = semantics.rule(pushed) == FamilyRule::Replace;
            let family = step.family.and_then(|at| self.families.get(at)).filter(|_| !is_replaced);
            room.give(pushed, family.map(|family| &**family), step);
        }
        room.folded
    }

    /// How many series the group has without overflow series: what `max_series` counts.
    pub fn series_without_overflow(&self) -> u64 {
        let block = overflow_block(&self.labels.series_block);
        self.families.iter().map(|family| without_overflow(family, &block)).sum()
    }

    /// How many overflow series a push takes away or replaces.
    pub fn lost_overflows(&self, push: &Push, semantics: &Semantics) -> i64 {
        let block = overflow_block(&self.labels.series_block);
        let is_lost = |family: &Family| match push.family(family.definition.name()) {
            None => semantics.drops(family),
            Some(pushed) => {
                let is_pushed = || push.series(pushed).iter().any(|series| *push.block(series) == *block);
                semantics.rule(pushed) == FamilyRule::Replace && !is_pushed()
            }
        };
        let lost = self.families.iter().filter(|family| family.find(&block).is_some() && is_lost(family));
        lost.count() as i64
    }

    /// How many series of a family a push leaves there, without the overflow series, which has this block.
    fn staying(
        &self,
        push: &Push,
        semantics: &Semantics,
        steps: &[Step],
        family: &Arc<Family>,
        block: &str,
    ) -> u64 {
        let Some(pushed) = push.family(family.definition.name()) else {
            let goes = semantics.absent != Absent::Keep && semantics.drops(family);
            return if goes { 0 } else { without_overflow(family, block) };
        };
        if semantics.rule(pushed) != FamilyRule::Replace {
            return without_overflow(family, block);
        }
        let is_here = |at: usize| self.families.get(at).is_some_and(|other| Arc::ptr_eq(other, family));
        let step = steps.iter().find(|step| step.family.is_some_and(is_here));
        let overflow = family.find(block);
        let is_kept = |at: &&u32| **at < FOLDED && Some(**at) != overflow;
        step.map_or(0, |step| step.placement.positions.iter().filter(is_kept).count() as u64)
    }
}

fn without_overflow(family: &Family, block: &str) -> u64 {
    u64::from(family.series_count()) - u64::from(family.find(block).is_some())
}
