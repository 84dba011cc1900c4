//! What may be wrong with a group.

use std::time::Duration;

use crate::gateway::refusals::Refused;
use crate::store::GroupAt;
use crate::store::times::Times;

/// A group is stale if nothing was pushed to it for this long.
pub(in crate::gateway) const STALE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What a filter may ask of a group beside its labels and families.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::gateway) struct GroupState {
    /// Whether the last push was refused.
    pub(in crate::gateway) has_failed: bool,
    /// Whether a process seems to push running totals.
    pub(in crate::gateway) is_suspicious: bool,
    /// How long no push was accepted, in nanoseconds.
    pub(in crate::gateway) quiet_nanos: i64,
}

impl GroupState {
    /// Of a group with this last refusal, at this time, in nanoseconds since the epoch.
    pub(in crate::gateway) fn of(group: &GroupAt<'_>, refused: Option<&Refused>, now: i64) -> GroupState {
        GroupState {
            has_failed: has_failed(group.times, refused),
            is_suspicious: group.has_running_totals(),
            quiet_nanos: now.saturating_sub(group.times.quiet_since()),
        }
    }
}

/// Whether the last push to a group with these times, and this last refusal, was refused.
pub(super) fn has_failed(times: Times, refused: Option<&Refused>) -> bool {
    !times.last_push_successful() || refused.is_some_and(|refused| refused.at > times.pushed_at)
}
