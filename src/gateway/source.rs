//! The families of a scrape by their origin.

use crate::model::kind::Kind;
use crate::store::snapshot::{GroupTimes, SnapshotFamily};
use crate::telemetry;

/// How many bytes are written before they are handed on.
pub(super) const CHUNK_BYTES: usize = 252 * 1024;

/// The capacity of a chunk. The last write before it is handed on is usually short.
pub const CHUNK_CAPACITY: usize = 256 * 1024;

/// One of the times of a group, in nanoseconds since the epoch.
pub(super) type TimeOf = fn(&GroupTimes) -> i64;

/// The receiver of a scrape has closed the connection.
#[derive(Debug)]
pub struct ReceiverGone;

/// Converts nanoseconds since the epoch to the seconds that a metric shows.
pub fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

/// A family to write, by its origin.
pub(super) enum Source<'a> {
    Pushed(&'a SnapshotFamily),
    Own(&'a telemetry::Family),
    Group(&'static str, &'static str, TimeOf),
}

impl Source<'_> {
    pub(super) fn name(&self) -> &str {
        match self {
            Source::Pushed(family) => family.name(),
            Source::Own(family) => &family.name,
            Source::Group(name, _, _) => name,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Source::Pushed(family) => family.kind,
            Source::Own(family) => family.kind,
            Source::Group(..) => Kind::Gauge,
        }
    }
}
