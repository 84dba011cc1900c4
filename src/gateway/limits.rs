//! Converts the configured limits for pushes and the store.

use crate::config::unlimited::most;
use crate::config::{Config, Limits};
use crate::model::limits::{MAX_TEXT_BYTES, PushLimits, StoreLimits};

/// The maximum text in the labels of a push, as a multiple of the largest body. The grouping labels count for each
/// series.
const TEXT_PER_BODY: u64 = 4;

/// What one push may hold.
pub(super) fn of_push(limits: &Limits, max_body_bytes: u64) -> PushLimits {
    let max_body_bytes = most(max_body_bytes);
    let most = |value| usize::try_from(most(value)).unwrap_or(usize::MAX);
    PushLimits {
        samples: most(limits.samples_per_push),
        label_pairs: most(limits.label_pairs_per_push),
        name_length: most(limits.name_length),
        label_value_length: most(limits.label_value_length),
        grouping_labels: most(limits.grouping_labels),
        text: max_body_bytes.saturating_mul(TEXT_PER_BODY).clamp(1 << 20, MAX_TEXT_BYTES as u64) as usize,
    }
}

/// What the store may hold.
pub(super) fn of_store(limits: &Limits) -> StoreLimits {
    StoreLimits {
        series: most(limits.series),
        series_per_group: most(limits.series_per_group),
        groups: most(limits.groups),
        bytes: most(limits.store_bytes),
    }
}

/// How many idempotency keys are remembered.
pub(super) fn most_keys(config: &Config) -> usize {
    usize::try_from(most(config.push.idempotency_keys)).unwrap_or(usize::MAX)
}
