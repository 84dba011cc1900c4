//! By how much a push makes a group grow.

use crate::model::merge::Merge;
use crate::model::push::{self, Push};
use crate::store::definition::Definitions;
use crate::store::family::{FOLDED, NEW, Placement, pushed_own_bytes};
use crate::store::group::{Group, Plan, merge_of};
use crate::store::semantics::{Absent, FamilyRule, Semantics};

/// What a group takes beside its labels and families, in bytes.
const GROUP_BYTES: u64 = 512;

impl Group {
    /// By how many bytes a plan that changes values only makes the group grow.
    pub fn growth_of_values(&self, push: &Push, plan: &Plan, semantics: &Semantics) -> i64 {
        let growth = push.families().iter().zip(&plan.steps).filter_map(|(pushed, step)| {
            let family = self.families.get(step.family?)?;
            let merge = merge_of(pushed, semantics.rule(pushed));
            let folded = step.placement.overflow_growth(push, pushed).1;
            Some(family.growth(push, pushed, &step.placement, merge) + folded)
        });
        growth.sum()
    }

    /// By how many series a plan changes the group, and by how many bytes at most. What series grow by that
    /// stay is only asked for `with_values`.
    pub fn growth(
        &self,
        push: &Push,
        plan: &Plan,
        semantics: &Semantics,
        definitions: &Definitions,
        with_values: bool,
    ) -> (i64, i64) {
        let (mut series, mut bytes) = (0, 0);
        if semantics.absent != Absent::Keep {
            for family in self.absent_families(push, semantics) {
                series -= i64::from(family.series_count());
                bytes -= family.bytes() as i64 + definitions.shrinkage_without(family.definition.name());
            }
        }
        for (pushed, step) in push.families().iter().zip(&plan.steps) {
            let family = step.family.and_then(|at| self.families.get(at)).map(|family| &**family);
            let is_replaced = family.is_some_and(|family| {
                let kind = family.definition.kind();
                let name = push.name(pushed);
                let after = definitions
                    .live(name)
                    .map_or(pushed.kind, |(live, _)| semantics.kind_after(live, name, pushed.kind));
                Merge::of(kind, name) != Merge::of(after, name)
                    || semantics.rule(pushed) == FamilyRule::Replace
            });
            let folded = step.placement.overflow_growth(push, pushed);
            series += folded.0;
            bytes += folded.1;
            match family {
                Some(family) if is_replaced => {
                    series += own_series(push, pushed, &step.placement) - i64::from(family.series_count());
                    bytes += pushed_bytes(push, pushed, &step.placement) - family.bytes() as i64;
                }
                Some(family) => {
                    let is_new = |at: usize| step.placement.positions.get(at).is_none_or(|at| *at == NEW);
                    series += step.placement.new as i64;
                    bytes += family.metadata().growth(push, pushed) + series_bytes(push, pushed, is_new);
                    if with_values {
                        let merge = merge_of(pushed, semantics.rule(pushed));
                        bytes += family.growth(push, pushed, &step.placement, merge);
                    }
                }
                None => {
                    let own = pushed_bytes(push, pushed, &step.placement);
                    series += own_series(push, pushed, &step.placement);
                    bytes += own + definitions.growth_with(push.name(pushed));
                }
            }
        }
        (series, bytes)
    }
}

/// What a group takes beside its families, in bytes.
pub fn own_bytes(key: &str) -> u64 {
    // The labels are there as labels, as keys, as the block of the own series and in indexes.
    GROUP_BYTES + 4 * key.len() as u64
}

/// How many series a pushed family has that are not added to an overflow series.
fn own_series(push: &Push, pushed: &push::Family, placement: &Placement) -> i64 {
    let folded = placement
        .overflow
        .as_ref()
        .map_or(0, |_| placement.positions.iter().filter(|position| **position == FOLDED).count());
    push.series(pushed).len() as i64 - folded as i64
}

/// What a pushed family comes to that is new, or takes the place of another, without its overflow.
fn pushed_bytes(push: &Push, pushed: &push::Family, placement: &Placement) -> i64 {
    let is_own = |at: usize| placement.positions.get(at).is_none_or(|position| *position != FOLDED);
    pushed_own_bytes(push, pushed) as i64 + series_bytes(push, pushed, is_own)
}

/// What the series of a pushed family come to, those that `counts` takes by their position.
pub(super) fn series_bytes(push: &Push, pushed: &push::Family, counts: impl Fn(usize) -> bool) -> i64 {
    let series = push.series(pushed).iter().enumerate().filter(|(at, _)| counts(*at));
    series.map(|(_, series)| crate::store::piece::pushed_bytes(push, series) as i64).sum()
}

/// By how many series and bytes a push to a group that is not there adds.
pub fn growth_of_new_group(push: &Push, plan: &Plan, key: &str, definitions: &Definitions) -> (i64, i64) {
    let of_family = |(pushed, placement): (&push::Family, &Placement)| {
        let folded = placement.overflow_growth(push, pushed);
        let own = pushed_bytes(push, pushed, placement) + definitions.growth_with(push.name(pushed));
        (own_series(push, pushed, placement) + folded.0, own + folded.1)
    };
    let placements = plan.steps.iter().map(|step| &step.placement);
    let families = push.families().iter().zip(placements).map(of_family);
    families.fold((0, own_bytes(key) as i64), |all, one| (all.0 + one.0, all.1 + one.1))
}
