//! Assembles samples to series: puts the samples of a histogram or summary together.
//!
//! The name of a sample says what it is for. How it does differs between the text formats.

use std::collections::HashSet;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::exposition::lines_cost::line_parts;
use crate::exposition::reading::Reading;
use crate::model::body::{Body, Label, Value};
use crate::model::count::Count;
use crate::model::histogram::Bucket;
use crate::model::kind::{Form, Kind};
use crate::model::summary::Quantile;

/// The role of a sample in its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The value itself, a bucket or a quantile.
    Plain,
    Sum,
    Count,
}

/// The label that distinguishes the samples of one histogram or summary.
#[derive(Clone, Copy, Debug)]
pub(super) enum Member {
    None,
    Bound(f64),
    Quantile(f64),
}

/// The series of a sample.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    /// The one with the labels since this mark.
    LabelsSince(usize),
    /// The histogram or summary with this handle.
    Known(u32),
}

/// The parts of shorter inputs are not counted beforehand, which would take longer than it saves. In bytes.
const COUNTED_FROM: usize = 4096;

/// A body under construction.
pub(super) struct Assembly<'a> {
    pub(super) body: Body<'a>,
    /// Histograms and summaries by family and label set, for bodies in which their samples are scattered.
    composites: HashTable<u32>,
    last_composite: Option<(usize, u32)>,
    hasher: RandomState,
}

impl<'a> Assembly<'a> {
    /// An empty body with room for the series and labels of `input`, with the limits of `reading`.
    pub(super) fn of(input: &[u8], reading: &Reading) -> Assembly<'a> {
        let limits = reading.limits;
        let (series, labels) = if input.len() < COUNTED_FROM {
            (limits.samples.min(input.len() / 48 + 8), limits.label_pairs.min(input.len() / 32))
        } else {
            let (lines, labels) = line_parts(input, limits);
            // Lines that are shorter than most samples are usually not samples.
            (lines.min(input.len() / 16 + 8), labels.min(input.len() / 8))
        };
        let body = Body::with_capacity(series, labels);
        Assembly {
            body: body.within(limits).with_empty_labels(reading.empty_labels),
            composites: HashTable::new(),
            last_composite: None,
            hasher: RandomState::default(),
        }
    }

    /// The type of a family. If none was declared before the first sample, it is untyped from then on.
    #[inline]
    pub(super) fn kind(&mut self, family: usize) -> Kind {
        *self.body.families[family].kind.get_or_insert(Kind::Untyped)
    }

    /// The labels of a series.
    pub(super) fn labels(&self, owner: Owner) -> &[Label<'a>] {
        match owner {
            Owner::LabelsSince(mark) => self.body.labels_since(mark),
            Owner::Known(handle) => self.body.labels_of(self.body.series(handle)),
        }
    }

    /// Adds a sample to its series and returns the handle of the series. Its line begins at `start`.
    ///
    /// # Errors
    ///
    /// The negative count of a histogram.
    #[inline]
    pub(super) fn record(
        &mut self,
        start: usize,
        (family, role): (usize, Role),
        owner: Owner,
        member: Member,
        value: f64,
    ) -> Result<u32, &'static str> {
        let form = self.kind(family).form();
        let handle = match owner {
            Owner::Known(handle) => handle,
            Owner::LabelsSince(mark) if form == Form::Number => {
                let offset = Some(start as u32);
                return Ok(self.body.push_series(family, mark, Value::Number(value), offset));
            }
            Owner::LabelsSince(mark) => self.composite(family, mark, start),
        };
        if form == Form::Histogram && value < 0.0 {
            match (role, member) {
                (Role::Count, _) => return Err("count"),
                (Role::Plain, Member::Bound(_)) => return Err("bucket population"),
                _ => {}
            }
        }
        let count = Count::from_f64(value);
        match (role, member) {
            (Role::Plain, Member::Bound(bound)) => self.body.push_bucket(handle, Bucket { bound, count }),
            (Role::Plain, Member::Quantile(quantile)) if !quantile.is_nan() => {
                self.body.push_quantile(handle, Quantile { quantile, value });
            }
            (Role::Plain, Member::Quantile(_) | Member::None) => {}
            (Role::Sum | Role::Count, _) => {
                // The same series may have been given with other empty labels, and then is repeated.
                let may_repeat = self.body.has_dropped_labels();
                if let Some(composite) = self.body.composite_mut(handle) {
                    let is_known = match role {
                        Role::Count => composite.count.replace(count).is_some(),
                        _ => composite.sum.replace(value).is_some(),
                    };
                    composite.is_repeated |= may_repeat && is_known;
                }
            }
        }
        Ok(handle)
    }

    /// The histogram or summary with the labels since `mark`. If it exists already, these labels are dropped.
    pub(super) fn composite(&mut self, family: usize, mark: usize, start: usize) -> u32 {
        if let Some((last_family, handle)) = self.last_composite
            && last_family == family
            && self.body.labels_of(self.body.series(handle)) == self.body.labels_since(mark)
        {
            self.body.drop_labels(mark);
            return handle;
        }
        let hash = label_set_hash(&self.hasher, family, self.body.labels_since(mark));
        let body = &self.body;
        let found = self.composites.find(hash, |&handle| {
            let series = body.series(handle);
            series.family() == family && same_label_set(body.labels_of(series), body.labels_since(mark))
        });
        let handle = match found {
            Some(&handle) => {
                self.body.drop_labels(mark);
                handle
            }
            None => {
                let handle = self.body.push_composite(family, mark, Some(start as u32));
                let (body, hasher) = (&self.body, &self.hasher);
                self.composites.insert_unique(hash, handle, |&other| {
                    let series = body.series(other);
                    label_set_hash(hasher, series.family(), body.labels_of(series))
                });
                handle
            }
        };
        self.last_composite = Some((family, handle));
        handle
    }
}

/// Up to this many labels are compared with each other, which is faster than hashing.
const FEW_LABELS: usize = 16;

/// The name of a label that is twice in a list.
#[inline]
pub(super) fn duplicate_label<'a>(labels: &[Label<'a>]) -> Option<&'a str> {
    let twice = if labels.len() <= FEW_LABELS {
        (1..labels.len()).find(|&i| labels[..i].iter().any(|earlier| earlier.name == labels[i].name))
    } else {
        let mut seen = HashSet::with_capacity(labels.len());
        labels.iter().position(|label| !seen.insert(label.name))
    };
    twice.map(|at| labels[at].name)
}

/// A hash of a family and a label set that does not depend on the order of the labels.
fn label_set_hash(hasher: &RandomState, family: usize, labels: &[Label<'_>]) -> u64 {
    labels.iter().fold(hasher.hash_one(family), |hash, label| {
        hash.wrapping_add(hasher.hash_one((label.name, label.escaped_value)))
    })
}

/// Whether two lists without duplicates hold the same labels.
fn same_label_set(a: &[Label<'_>], b: &[Label<'_>]) -> bool {
    if a.len() != b.len() || a == b {
        return a.len() == b.len();
    }
    if a.len() <= FEW_LABELS {
        return a.iter().all(|label| b.contains(label));
    }
    let labels: HashSet<_, RandomState> = a.iter().collect();
    b.iter().all(|label| labels.contains(label))
}
