//! Which process a push comes from, as far as it says: it tells when it began.

use crate::model::body::{Body, Value};

/// Clients that show their whole process have a gauge of this name.
const PROCESS_START: &str = "process_start_time_seconds";

/// The process that a push comes from, as far as the push says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Session {
    /// When the process began, in nanoseconds since the epoch.
    pub start: i64,
    /// All values together that add up.
    pub total: f64,
}

/// When the process began that pushes this body, if it says so as a gauge; in nanoseconds since the epoch.
pub(super) fn process_start(body: &Body<'_>) -> Option<i64> {
    let family = body.families.iter().find(|family| family.name == PROCESS_START)?;
    match body.series_of(family).next()?.value {
        Value::Number(seconds) if seconds > 0.0 => Some((seconds * 1e9) as i64),
        _ => None,
    }
}
