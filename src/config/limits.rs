//! What a limit of 0 means, in numbers: none.

use std::time::Duration;

/// The number itself; 0 is more than there can be.
pub fn most(value: u64) -> u64 {
    if value == 0 { u64::MAX } else { value }
}

/// The duration itself; 0 is longer than anybody waits.
pub fn longest(value: Duration) -> Duration {
    if value.is_zero() { Duration::from_secs(100 * 365 * 86_400) } else { value }
}
