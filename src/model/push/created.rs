//! The series `*_created` that clients push beside their counters, histograms and summaries.
//!
//! Clients that write the text format have no other place for a start time (the Python client does so by
//! default). As gauges of their own they would be meaningless beside sums of many processes, and
//! OpenMetrics does not allow them beside what they belong to.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::model::body::{Body, Family, Label, Series, Value};
use crate::model::kind::Kind;

/// The times between which a value can be one of the clock, in seconds since the epoch: a gauge that
/// happens to be called `*_created` is hardly ever in the 21st century.
const SECONDS: std::ops::Range<f64> = 946_684_800.0..4_102_444_800.0;

/// The families of a body that hold start times.
#[derive(Debug, Default)]
pub(super) struct Created {
    /// Their positions in the body.
    families: Vec<usize>,
    /// Start times by the handle of the series, in nanoseconds since the epoch.
    starts: HashMap<u32, i64, RandomState>,
}

impl Created {
    /// Those of this body. A family holds start times if all of its values can be some, and all are those
    /// of series with the same labels.
    pub(super) fn of(body: &Body<'_>) -> Created {
        let mut created = Created::default();
        for (at, family) in body.families.iter().enumerate() {
            let Some(base) = family.name.strip_suffix("_created") else { continue };
            let is_plain = matches!(family.kind, None | Some(Kind::Gauge | Kind::Untyped));
            if let Some(of) = body.families.iter().find(|of| is_plain && has_start_in(of, base)) {
                created.add(body, at, of);
            }
        }
        created
    }

    fn add(&mut self, body: &Body<'_>, at: usize, of: &Family<'_>) {
        let family = &body.families[at];
        let handles: HashMap<Vec<Label<'_>>, u32, RandomState> =
            body.handles_of(of).map(|(handle, series)| (sorted_labels(body, series), handle)).collect();
        let start = |series: &Series| {
            let Value::Number(seconds) = series.value else { return None };
            let handle = handles.get(&sorted_labels(body, series))?;
            SECONDS.contains(&seconds).then_some((*handle, (seconds * 1e9) as i64))
        };
        if let Some(starts) = body.series_of(family).map(start).collect::<Option<Vec<_>>>() {
            self.starts.extend(starts);
            self.families.push(at);
        }
    }

    /// Whether the family at this position holds start times.
    pub(super) fn is_in(&self, family: usize) -> bool {
        self.families.contains(&family)
    }

    /// The start time of the series with this handle, in nanoseconds since the epoch.
    pub(super) fn start_of(&self, handle: u32) -> Option<i64> {
        self.starts.get(&handle).copied()
    }
}

/// Whether the start times of a family would be called `base` with `_created` behind it.
fn has_start_in(family: &Family<'_>, base: &str) -> bool {
    match family.kind {
        Some(Kind::Counter) => family.name.strip_suffix("_total").unwrap_or(family.name) == base,
        Some(Kind::Histogram | Kind::Summary) => family.name == base,
        _ => false,
    }
}

fn sorted_labels<'a>(body: &Body<'a>, series: &Series) -> Vec<Label<'a>> {
    let mut labels = body.labels_of(series).to_vec();
    labels.sort_unstable_by_key(|label| label.name);
    labels
}
