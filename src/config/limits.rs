//! `[limits]`: how much the gateway takes, of anything. 0 is no limit.

use std::time::Duration;

use serde::Deserialize;

use super::duration;

/// How much the gateway takes. 0 is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings")]
pub struct Limits {
    /// Open connections.
    pub connections: u64,
    /// Requests that are being answered.
    pub requests_in_flight: u64,
    /// Scrapes and other large answers that are being sent.
    pub scrapes_in_flight: u64,
    /// Memory for reading and parsing large and compressed bodies, in bytes.
    pub body_bytes_in_flight: u64,
    /// How long a client may take for the head of a request.
    #[serde(deserialize_with = "duration::deserialize")]
    pub head_timeout: Duration,
    /// How long it may take for every 256 KiB of a body, and for the rest.
    #[serde(deserialize_with = "duration::deserialize")]
    pub body_timeout: Duration,
    /// How long it may take to read an answer.
    #[serde(deserialize_with = "duration::deserialize")]
    pub send_timeout: Duration,
    /// How long a connection may be idle between requests.
    #[serde(deserialize_with = "duration::deserialize")]
    pub idle_timeout: Duration,
    /// Samples in one push.
    pub samples_per_push: u64,
    /// Labels of all series in one push.
    pub label_pairs_per_push: u64,
    /// The length of a metric or label name in bytes.
    pub name_length: u64,
    /// The length of a label value in bytes.
    pub label_value_length: u64,
    /// Labels of a group, the job among them.
    pub grouping_labels: u64,
    /// Series in all groups, a histogram or summary counted once.
    pub series: u64,
    /// Series in one group.
    pub series_per_group: u64,
    /// Groups.
    pub groups: u64,
    /// The size of all series, in bytes.
    pub store_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            requests_in_flight: 4096,
            scrapes_in_flight: 40,
            body_bytes_in_flight: 512 << 20,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(2 * 60),
            idle_timeout: Duration::from_secs(3 * 60),
            samples_per_push: 1_000_000,
            label_pairs_per_push: 5_000_000,
            name_length: 1024,
            label_value_length: 64 << 10,
            grouping_labels: 64,
            series: 10_000_000,
            series_per_group: 2_000_000,
            groups: 1_000_000,
            store_bytes: 8 << 30,
        }
    }
}

/// The number itself; 0 is more than there can be.
pub fn most(value: u64) -> u64 {
    if value == 0 { u64::MAX } else { value }
}

/// The duration itself; 0 is longer than anybody waits.
pub fn longest(value: Duration) -> Duration {
    if value.is_zero() { Duration::from_secs(100 * 365 * 86_400) } else { value }
}
