//! Families of a body: what was said about them, and which samples they may have.

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
    /// It is a part of the value.
    Value(Role),
    /// It tells when the series began.
    Created,
}

/// The family whose lines are being read.
#[derive(Debug)]
pub(super) struct Current<'a> {
    /// Its name in OpenMetrics.
    pub(super) name: &'a str,
    pub(super) kind: Option<Kind>,
    pub(super) help: Option<&'a str>,
    pub(super) unit: Option<&'a str>,
    /// Its position in the body, once it has samples.
    pub(super) at: Option<usize>,
    /// Start times that came apart from their series.
    pub(super) starts: Vec<SeriesStart<'a>>,
}

/// When a series began.
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

    /// The type; without a declaration it is unknown.
    pub(super) fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::Untyped)
    }

    /// What a sample with this suffix is for, if the family may have such samples.
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

    /// Gives start times to series that came before or after them.
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

/// The names that a body has had so far.
#[derive(Debug, Default)]
pub(super) struct Seen<'a> {
    /// Of families, as OpenMetrics has them.
    families: HashSet<&'a str, RandomState>,
    /// Of families, as the store has them.
    stored: HashSet<&'a str, RandomState>,
}

impl<'a> Seen<'a> {
    /// Whether no family of this name has begun before.
    pub(super) fn begin(&mut self, name: &'a str) -> bool {
        self.families.insert(name)
    }

    /// Adds the current family to the body when its first sample comes. None where its samples would be
    /// called like those of another family.
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
