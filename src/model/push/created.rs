//! The series `*_created` that clients push beside their counters, histograms and summaries.
//!
//! Clients that write the text format have no other place for a start time (the Python client does so by
//! default). As gauges of their own they would be meaningless beside sums of many processes, and
//! OpenMetrics does not allow them beside what they belong to.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::model::body::{Body, Family, Label, Series, Value};
use crate::model::kind::Kind;
use crate::model::time::can_be_start;

/// The families of a body that hold start times.
#[derive(Debug, Default)]
pub(super) struct Created {
    /// Their positions in the body, ascending.
    families: Vec<usize>,
    /// Start times by the handle of the series, in nanoseconds since the epoch.
    starts: HashMap<u32, i64, RandomState>,
}

impl Created {
    /// Those of this body. A family holds start times if all of its values can be some, and all are those
    /// of series with the same labels.
    pub(super) fn of(body: &Body<'_>) -> Created {
        let mut created = Created::default();
        if !body.families.iter().any(|family| base_of(family).is_some()) {
            return created;
        }
        let bases = body.families.iter().rev().filter_map(|family| Some((base(family)?, family)));
        let bases: HashMap<&str, &Family<'_>, RandomState> = bases.collect();
        for (at, family) in body.families.iter().enumerate() {
            if let Some(of) = base_of(family).and_then(|base| bases.get(base)) {
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
            can_be_start(seconds).then_some((*handle, (seconds * 1e9) as i64))
        };
        if let Some(starts) = body.series_of(family).map(start).collect::<Option<Vec<_>>>() {
            self.starts.extend(starts);
            self.families.push(at);
        }
    }

    /// Makes the values of these families the start times of the series that they are for, and removes the families.
    fn absorb(self, body: &mut Body<'_>) {
        let mut starts: Vec<(u32, i64)> = self.starts.into_iter().collect();
        starts.retain(|(handle, _)| body.start_of(*handle).is_none());
        for (handle, start) in starts {
            body.push_start(handle, start);
        }
        body.finish();
        body.retain_families(|at, _| self.families.binary_search(&at).is_err());
    }

    /// Whether the family at this position holds start times.
    pub(super) fn is_in(&self, family: usize) -> bool {
        self.families.binary_search(&family).is_ok()
    }

    /// The start time of the series with this handle, in nanoseconds since the epoch.
    pub(super) fn start_of(&self, handle: u32) -> Option<i64> {
        self.starts.get(&handle).copied()
    }
}

/// Makes the series `*_created` of a body start times, as [`Push::prepare`](super::Push::prepare) does: before their
/// labels or those of what they belong to change.
pub fn absorb_created(body: &mut Body<'_>) {
    let created = Created::of(body);
    if !created.families.is_empty() {
        created.absorb(body);
    }
}

/// What a family of start times, which this may be, is called without `_created`.
fn base_of<'a>(family: &Family<'a>) -> Option<&'a str> {
    let is_plain = matches!(family.kind, None | Some(Kind::Gauge | Kind::Untyped));
    family.name.strip_suffix("_created").filter(|_| is_plain)
}

/// What the start times of this family would be called without `_created`.
fn base<'a>(family: &Family<'a>) -> Option<&'a str> {
    match family.kind {
        Some(Kind::Counter) => Some(family.name.strip_suffix("_total").unwrap_or(family.name)),
        Some(Kind::Histogram | Kind::Summary) => Some(family.name),
        _ => None,
    }
}

fn sorted_labels<'a>(body: &Body<'a>, series: &Series) -> Vec<Label<'a>> {
    let mut labels = body.labels_of(series).to_vec();
    labels.sort_unstable_by_key(|label| label.name);
    labels
}
