//! Applies what the rules say about metrics to a body.
//!
//! Families that no rule changes stay as they are. The series of the others are taken out of their families, get new
//! labels and values, and are put into the families of their new names.

mod observe;
mod series;

use std::collections::HashMap;
use std::sync::Arc;

use bumpalo::Bump;
use foldhash::fast::RandomState;
use smallvec::SmallVec;

use self::observe::{is_observable, observe};
use self::series::{Occurrences, Relabelled, Relabeller};
use super::decision::GroupDecision;
use super::metric::MetricDecision;
use crate::message::Excerpt;
use crate::model::body::{Body, Family};
use crate::model::grouping::Grouping;
use crate::model::kind::Kind;
use crate::model::labels::EmptyLabels;
use crate::model::push::absorb_created;
use crate::model::refusal::{Cause, Refusal};

/// Relabels the series of a body, and makes observations of numbers, as `decision` says for each of its families. The
/// labels of the group as `pushed` can be read, but not changed.
///
/// Series that then have the same name and labels are spread over several bodies, which are to be merged one after the
/// other: the n-th of them is in the n-th body. A family says under which name it was
/// [pushed](crate::model::body::Family::pushed_name), which is what the rules decide on.
///
/// # Errors
///
/// If series that come together are of different types or are merged in different ways, if a series has no name then, or
/// if a value is no observation.
pub fn transform<'a>(
    mut body: Body<'a>,
    pushed: &Grouping<'_>,
    decision: &GroupDecision,
    arena: &'a Bump,
) -> Result<Vec<Body<'a>>, Refusal> {
    if !decision.metrics.can_change_series() || !changes_any(&body, decision) {
        return Ok(vec![body]);
    }
    if body.empty_labels() == EmptyLabels::Absent {
        absorb_created(&mut body);
    }
    let origins: Vec<Origin<'a>> =
        body.families.iter().map(|family| Origin::of(family, decision.metric(family.name))).collect();
    let mut relabelled = Vec::new();
    let mut relabeller = Relabeller::new(pushed, arena);
    for (at, origin) in origins.iter().enumerate().filter(|(_, origin)| origin.is_changed) {
        for handle in body.take_series(at) {
            if let Some(observation) = origin.decision.observe.as_ref().filter(|_| origin.is_observed) {
                observe(&mut body, handle, origin.family.name, observation)?;
            }
            let name = match &*origin.decision.relabel {
                [] => Some(relabeller.unchanged(&body, handle, origin.family.name)),
                steps => relabeller.relabel(&mut body, handle, origin.family.name, steps)?,
            };
            relabelled.extend(name.map(|series| (at, series)));
        }
    }
    // A family first gets back what stays in it, so that it keeps its type and help where others come to it.
    let (staying, moving): (Vec<_>, Vec<_>) =
        relabelled.into_iter().partition(|(origin, series)| series.name == origins[*origin].family.name);
    let mut assignment = Assignment::new(&body, &origins, pushed, &decision.target);
    for (origin, series) in staying.into_iter().chain(moving) {
        assignment.assign(&mut body, origin, series)?;
    }
    Ok(assignment.finish(body))
}

/// Whether the rules change the series of any family.
fn changes_any(body: &Body<'_>, decision: &GroupDecision) -> bool {
    body.families.iter().any(|family| {
        let metric = decision.metric(family.name);
        !metric.relabel.is_empty() || metric.observe.is_some() && is_observable(family.kind)
    })
}

/// A family as it was pushed.
struct Origin<'a> {
    /// Without its series, and with the type that these have now.
    family: Family<'a>,
    decision: Arc<MetricDecision>,
    is_observed: bool,
    is_changed: bool,
}

impl<'a> Origin<'a> {
    fn of(family: &Family<'a>, decision: Arc<MetricDecision>) -> Origin<'a> {
        let is_observed = decision.observe.is_some() && is_observable(family.kind);
        let kind = if is_observed { Some(Kind::Histogram) } else { family.kind };
        Origin {
            family: Family { kind, ..family.without_series() },
            is_observed,
            is_changed: is_observed || !decision.relabel.is_empty(),
            decision,
        }
    }

    fn kind(&self) -> Kind {
        self.family.kind.unwrap_or(Kind::Untyped)
    }

    /// Whether values are merged as those of the other family are.
    fn merges_like(&self, other: &Origin<'_>) -> bool {
        let mode = |origin: &Origin<'_>| origin.decision.mode_that_counts(origin.family.clear_mode);
        self.decision.merges_like(&other.decision) && mode(self) == mode(other)
    }
}

/// Puts series into families and bodies.
struct Assignment<'o, 'a> {
    origins: &'o [Origin<'a>],
    /// The families by name.
    families: HashMap<&'a str, usize, RandomState>,
    /// For each family, the origin that its type and decision are from.
    from: SmallVec<[usize; 16]>,
    occurrences: Occurrences<'o>,
    /// The series that are not in the first body: in which they are, of which family, and their handle.
    further: Vec<(usize, usize, u32)>,
}

impl<'o, 'a> Assignment<'o, 'a> {
    fn new(
        body: &Body<'a>,
        origins: &'o [Origin<'a>],
        pushed: &'o Grouping<'_>,
        target: &'o Grouping<'_>,
    ) -> Assignment<'o, 'a> {
        Assignment {
            origins,
            families: (0..).zip(&body.families).map(|(at, family)| (family.name, at)).collect(),
            from: (0..origins.len()).collect(),
            occurrences: Occurrences::new(pushed, target),
            further: Vec::new(),
        }
    }

    /// Puts a series that came from the family at `origin` into the one of its name.
    fn assign(&mut self, body: &mut Body<'a>, origin: usize, series: Relabelled<'a>) -> Result<(), Refusal> {
        let family = self.family(body, origin, &series)?;
        match self.occurrences.next(body, origin, family, &series) {
            0 => body.put_series(series.handle, family),
            number => self.further.push((number - 1, family, series.handle)),
        }
        Ok(())
    }

    /// The family for a series, which fits it.
    fn family(
        &mut self,
        body: &mut Body<'a>,
        origin: usize,
        series: &Relabelled<'a>,
    ) -> Result<usize, Refusal> {
        let from = &self.origins[origin];
        let at = *self.families.entry(series.name).or_insert_with(|| {
            body.families.push(Family::new(series.name));
            self.from.push(origin);
            body.families.len() - 1
        });
        let family = &mut body.families[at];
        if family.series.is_empty() {
            *family = Family { name: series.name, ..from.family.without_series() };
            self.from[at] = origin;
            return Ok(at);
        }
        let other = &self.origins[self.from[at]];
        let refused = |cause| Err(Refusal::at(series.offset, cause));
        let name = || Excerpt::of(series.name);
        let kind = family.kind.unwrap_or(Kind::Untyped);
        match kind.joined(from.kind()) {
            Some(joined) if joined == kind => {}
            Some(joined) => family.kind = Some(joined),
            None => {
                return refused(Cause::RelabelledKind { family: name(), moved: from.kind(), kind });
            }
        }
        if !other.merges_like(from) {
            let (family, other) = (Excerpt::of(from.family.name), Excerpt::of(other.family.name));
            return refused(Cause::RelabelledMerge { family, other });
        }
        Ok(at)
    }

    /// The bodies, without families that have no series left.
    fn finish(self, mut body: Body<'a>) -> Vec<Body<'a>> {
        let mut bodies: Vec<Body<'a>> = Vec::new();
        let mut families: HashMap<(usize, usize), usize, RandomState> = HashMap::default();
        for (number, family, handle) in self.further {
            // An occurrence comes after the one before, so that its body is there or the next.
            if bodies.len() <= number {
                bodies.push(body.sibling());
            }
            let further = &mut bodies[number];
            let at = *families.entry((number, family)).or_insert_with(|| {
                further.families.push(body.families[family].without_series());
                further.families.len() - 1
            });
            body.copy_series(handle, further, at);
        }
        bodies.iter_mut().for_each(Body::finish);
        let is_emptied = |at: usize| self.origins.get(at).is_some_and(|origin| origin.is_changed);
        body.retain_families(|at, family| !family.series.is_empty() || !is_emptied(at));
        bodies.insert(0, body);
        bodies
    }
}

#[cfg(test)]
mod tests;
