//! Converts limits in which 0 means no limit.

use std::time::Duration;

/// The number itself, or the largest number for 0.
pub fn most(value: u64) -> u64 {
    if value == 0 { u64::MAX } else { value }
}

/// The duration itself, or a hundred years for 0.
pub fn longest(value: Duration) -> Duration {
    if value.is_zero() { Duration::from_secs(100 * 365 * 86_400) } else { value }
}
