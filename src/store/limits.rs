//! The limits of what the store holds.
//!
//! What adds groups or series holds the lock of the structure, so that no race passes a limit. What is there
//! stays, and can be pushed to: at a limit only what grows is refused. Bytes that a push of values alone adds,
//! as by new buckets, are counted behind it: there each push that is under way may pass the limit once.

use std::sync::atomic::Ordering;

use crate::model::grouping::Grouping;
use crate::model::limits::{Limit, StoreFull, StoreLimits};
use crate::model::push::Push;
use crate::store::Store;
use crate::store::definition::Definitions;
use crate::store::group::{Group, Plan, Semantics, growth_of_new_group};

impl Store {
    /// From now on the store holds no more than this. What is there stays, even if it is more.
    pub fn limit(&self, limits: StoreLimits) {
        let _ = self.limits.set(limits);
    }

    /// Checks that a push brings the store over no limit.
    pub(super) fn check_limits(
        &self,
        grouping: &Grouping<'_>,
        push: &Push,
        plan: &Plan,
        semantics: &Semantics,
        definitions: &Definitions,
    ) -> Result<(), StoreFull> {
        let Some(limits) = self.limits.get() else { return Ok(()) };
        let (in_group, (series, bytes)) = match self.groups.get(grouping.key()) {
            Some(group) => (group.series(), group.growth(push, plan, semantics, definitions)),
            None => {
                check(Limit::Groups, self.group_count(), 1, limits.groups)?;
                (0, growth_of_new_group(push, grouping.key()))
            }
        };
        check(Limit::Series, self.series_count(), series, limits.series)?;
        check(Limit::SeriesPerGroup, in_group as i64, series, limits.series_per_group)?;
        check(Limit::StoreBytes, self.bytes(), bytes, limits.bytes)
    }

    /// Why a push that only changes values can't be applied: it needs memory, and there is none left.
    pub(super) fn is_too_large_for(&self, group: &Group, push: &Push, plan: &Plan) -> Option<StoreFull> {
        let most = self.limits.get()?.bytes;
        let is_full = self.bytes.load(Ordering::Relaxed) as u64 >= most;
        (is_full && group.swells(push, plan)).then_some(StoreFull { limit: Limit::StoreBytes, most })
    }

    /// Whether a refused push to this group may be noted in it: the group is there, or may come to be.
    pub(super) fn may_create(&self, grouping: &Grouping<'_>) -> bool {
        let has_room = |limits: &StoreLimits| {
            (self.group_count() as u64) < limits.groups && (self.bytes() as u64) < limits.bytes
        };
        self.limits.get().is_none_or(has_room) || self.groups.contains_key(grouping.key())
    }
}

fn check(limit: Limit, have: i64, more: i64, most: u64) -> Result<(), StoreFull> {
    let is_over = more > 0 && have.saturating_add(more).unsigned_abs() > most;
    if is_over { Err(StoreFull { limit, most }) } else { Ok(()) }
}
