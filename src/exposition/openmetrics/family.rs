//! Families of a body: their metadata, and which samples they may have.

use std::collections::{HashMap, HashSet};

use bumpalo::Bump;
use foldhash::fast::RandomState;

use super::name::{self, Form};
use crate::exposition::assembly::Role;
use crate::model::body::{Body, Family, Label};
use crate::model::kind::Kind;

/// What a sample is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// A part of the value.
    Value(Role),
    /// The start time of the series.
    Created,
}

/// The family that is being read.
#[derive(Debug)]
pub(super) struct Current<'a> {
    /// Its name in OpenMetrics.
    pub(super) name: &'a str,
    pub(super) kind: Option<Kind>,
    pub(super) help: Option<&'a str>,
    pub(super) unit: Option<&'a str>,
    /// Its position in the body, once it has samples.
    pub(super) at: Option<usize>,
    /// Start times that were not next to their series.
    pub(super) starts: Vec<SeriesStart<'a>>,
}

/// The start time of a series.
#[derive(Debug)]
pub(super) struct SeriesStart<'a> {
    /// The labels of the series.
    pub(super) labels: Vec<Label<'a>>,
    /// The time, in nanoseconds since the epoch.
    pub(super) nanos: i64,
    /// Whether the line has a timestamp too.
    pub(super) has_timestamp: bool,
}

impl<'a> Current<'a> {
    pub(super) fn new(name: &'a str) -> Current<'a> {
        Current { name, kind: None, help: None, unit: None, at: None, starts: Vec::new() }
    }

    /// The type. It is unknown if it was not declared.
    pub(super) fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::Untyped)
    }

    /// The meaning of a sample with this suffix. `None` if the family must not have such samples.
    pub(super) fn sample(&self, suffix: &str) -> Option<Sample> {
        Some(match (self.kind(), suffix) {
            (Kind::Counter, "_total") | (Kind::Info, "_info") => Sample::Value(Role::Plain),
            (Kind::Gauge | Kind::Untyped | Kind::StateSet | Kind::Summary, "") => Sample::Value(Role::Plain),
            (Kind::Histogram | Kind::GaugeHistogram, "_bucket") => Sample::Value(Role::Plain),
            (Kind::Histogram | Kind::Summary, "_sum") | (Kind::GaugeHistogram, "_gsum") => {
                Sample::Value(Role::Sum)
            }
            (Kind::Histogram | Kind::Summary, "_count") | (Kind::GaugeHistogram, "_gcount") => {
                Sample::Value(Role::Count)
            }
            (Kind::Counter | Kind::Histogram | Kind::Summary, "_created") => Sample::Created,
            _ => return None,
        })
    }

    /// The suffixes of the samples that the family may have, for a message.
    pub(super) fn suffixes(&self) -> &'static str {
        match self.kind() {
            Kind::Counter => "_total or _created",
            Kind::Info => "_info",
            Kind::Histogram => "_bucket, _sum, _count or _created",
            Kind::GaugeHistogram => "_bucket, _gsum or _gcount",
            Kind::Summary => "_sum, _count, _created or none",
            Kind::Gauge | Kind::Untyped | Kind::StateSet => "none",
        }
    }

    /// Assigns start times to series that came before or after them.
    pub(super) fn settle_starts(&mut self, body: &mut Body<'a>) {
        let Some(family) = self.at.filter(|_| !self.starts.is_empty()) else { return };
        let sorted = |labels: &[Label<'a>]| {
            let mut labels = labels.to_vec();
            labels.sort_unstable_by_key(|label| label.name);
            labels
        };
        let handles: HashMap<Vec<Label<'a>>, u32, RandomState> = body
            .handles_of(&body.families[family])
            .map(|(handle, series)| (sorted(body.labels_of(series)), handle))
            .collect();
        for start in self.starts.drain(..) {
            if let Some(&handle) = handles.get(&sorted(&start.labels)) {
                body.push_start(handle, start.nanos);
                body.series_mut(handle).has_timestamp |= start.has_timestamp;
            }
        }
    }
}

/// The names in the body so far.
#[derive(Debug, Default)]
pub(super) struct Seen<'a> {
    /// Names of families in OpenMetrics.
    families: HashSet<&'a str, RandomState>,
    /// Names of families in the store.
    stored: HashSet<&'a str, RandomState>,
}

impl<'a> Seen<'a> {
    /// Whether this is the first family with this name.
    pub(super) fn begin(&mut self, name: &'a str) -> bool {
        self.families.insert(name)
    }

    /// Adds the current family to the body at its first sample. `None` if its samples would have the names of
    /// another family's samples.
    pub(super) fn add(
        &mut self,
        current: &mut Current<'a>,
        body: &mut Body<'a>,
        arena: &'a Bump,
    ) -> Option<usize> {
        if let Some(at) = current.at {
            return Some(at);
        }
        let kind = current.kind();
        let name = match name::suffix_of(kind) {
            "" => current.name,
            suffix => arena.alloc_str(&format!("{}{suffix}", current.name)),
        };
        debug_assert_eq!(name::form(name, kind), Form { name: current.name, kind });
        if !self.stored.insert(name) {
            return None;
        }
        let Current { help, unit, .. } = *current;
        let unit = unit.filter(|unit| !unit.is_empty());
        body.families.push(Family { kind: Some(kind), help, unit, ..Family::new(name) });
        current.at = Some(body.families.len() - 1);
        current.at
    }
}
