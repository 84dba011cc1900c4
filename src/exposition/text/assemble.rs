//! Putting samples where they belong: names to families, the samples of a histogram or summary
//! together.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::scan::Cursor;
use crate::model::body::{Body, Chain, Family, Label, Value};
use crate::model::count::Count;
use crate::model::histogram::Bucket;
use crate::model::kind::{Form, Kind};
use crate::model::name::is_legacy_metric_name;
use crate::model::summary::Quantile;

/// What the samples of one name are for.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) family: usize,
    role: Role,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// The value itself, a bucket or a quantile.
    Plain,
    Sum,
    Count,
}

/// The label that tells the samples of one histogram or summary apart.
#[derive(Clone, Copy)]
pub(super) enum Member {
    None,
    Bound(f64),
    Quantile(f64),
}

/// A body under construction.
pub(super) struct Assembly<'a> {
    pub(super) body: Body<'a>,
    targets: HashMap<&'a str, Target, RandomState>,
    /// The name of the last line: most lines have the same.
    last: Option<(&'a str, Target)>,
    /// Histograms and summaries by family and label set, for bodies that scatter their samples.
    composites: HashTable<u32>,
    last_composite: Option<(usize, u32)>,
    hasher: RandomState,
}

impl<'a> Assembly<'a> {
    /// An empty body with room for what a text of `bytes` bytes typically holds.
    pub(super) fn with_capacity_for(bytes: usize) -> Assembly<'a> {
        Assembly {
            body: Body::with_capacity_for(bytes),
            targets: HashMap::with_capacity_and_hasher(14, RandomState::default()),
            last: None,
            composites: HashTable::new(),
            last_composite: None,
            hasher: RandomState::default(),
        }
    }

    /// The name of the family that a target is in.
    pub(super) fn name(&self, target: Target) -> &'a str {
        self.body.families[target.family].name
    }

    /// The target of the last line, if this one has the same name.
    #[inline]
    pub(super) fn same_target(&self, line: &mut Cursor<'a>) -> Option<Target> {
        let (name, target) = self.last.as_ref()?;
        line.take_metric_name(name).then_some(*target)
    }

    /// Puts a sample where it belongs; returns the handle of its series. Its labels are those that were
    /// added since `mark`, its line begins at `start`.
    ///
    /// # Errors
    ///
    /// Which count of a histogram is negative.
    #[inline]
    pub(super) fn record(
        &mut self,
        start: usize,
        target: Target,
        mark: usize,
        member: Member,
        value: f64,
    ) -> Result<u32, &'static str> {
        let form = self.kind(target.family).form();
        if form == Form::Number {
            let offset = Some(start as u32);
            return Ok(self.body.push_series(target.family, mark, Value::Number(value), offset));
        }
        let handle = self.composite(target.family, mark, start);
        if form == Form::Histogram && value < 0.0 {
            match (target.role, member) {
                (Role::Count, _) => return Err("count"),
                (Role::Plain, Member::Bound(_)) => return Err("bucket population"),
                _ => {}
            }
        }
        let count = Count::from_f64(value);
        match (target.role, member) {
            (Role::Plain, Member::Bound(bound)) => self.body.push_bucket(handle, Bucket { bound, count }),
            (Role::Plain, Member::Quantile(quantile)) if !quantile.is_nan() => {
                self.body.push_quantile(handle, Quantile { quantile, value });
            }
            (Role::Plain, Member::Quantile(_) | Member::None) => {}
            (Role::Sum | Role::Count, _) => {
                if let Some(composite) = self.body.composite_mut(handle) {
                    match target.role {
                        Role::Count => composite.count = Some(count),
                        _ => composite.sum = Some(value),
                    }
                }
            }
        }
        Ok(handle)
    }

    /// The histogram or summary with the labels since `mark`, which are dropped where it is known.
    fn composite(&mut self, family: usize, mark: usize, start: usize) -> u32 {
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

    /// The type of a family, which its first sample fixes as untyped where no TYPE line came before.
    #[inline]
    pub(super) fn kind(&mut self, family: usize) -> Kind {
        *self.body.families[family].kind.get_or_insert(Kind::Untyped)
    }

    /// The family and role of the samples with this name.
    pub(super) fn target(&mut self, name: &'a str) -> Target {
        let target = match self.targets.get(name) {
            Some(target) => *target,
            None => {
                let target = self.member_of_composite(name).unwrap_or_else(|| {
                    self.body.families.push(Family {
                        name,
                        kind: None,
                        help: None,
                        series: Chain::default(),
                    });
                    Target { family: self.body.families.len() - 1, role: Role::Plain }
                });
                self.targets.insert(name, target);
                target
            }
        };
        // A bare line must not match a name that has to be quoted.
        self.last = is_legacy_metric_name(name).then_some((name, target));
        target
    }

    /// Where `name` is that of a summary or histogram with one of their suffixes: that family.
    fn member_of_composite(&self, name: &str) -> Option<Target> {
        let (base, role) = if let Some(base) = name.strip_suffix("_count") {
            (base, Role::Count)
        } else if let Some(base) = name.strip_suffix("_sum") {
            (base, Role::Sum)
        } else {
            (name.strip_suffix("_bucket")?, Role::Plain)
        };
        let family = self.targets.get(base).filter(|_| !base.is_empty())?.family;
        let has_suffix = match self.body.families[family].kind?.form() {
            Form::Number => false,
            Form::Summary => role != Role::Plain,
            Form::Histogram => true,
        };
        (has_suffix && self.body.families[family].name == base).then_some(Target { family, role })
    }
}

/// A hash of a family and a label set that does not depend on the order of the labels.
fn label_set_hash(hasher: &RandomState, family: usize, labels: &[Label<'_>]) -> u64 {
    labels.iter().fold(hasher.hash_one(family), |hash, label| {
        hash.wrapping_add(hasher.hash_one((label.name, label.escaped_value)))
    })
}

/// Whether two lists without duplicates hold the same labels.
fn same_label_set(a: &[Label<'_>], b: &[Label<'_>]) -> bool {
    a.len() == b.len() && (a == b || a.iter().all(|label| b.contains(label)))
}
