//! What a push with a source brings to its target, and what is remembered of it.
//!
//! The target gets what running totals have grown by since their source's push before. The source remembers the totals
//! and start times that it pushed last, and the values that are folded.

use crate::model::histogram::Pushed;
use crate::model::increase::{Continuity, Increase, is_total, of_number, of_summary};
use crate::model::merge::{Buckets, Merge, Temporality};
use crate::model::push::{self, PartValue, Push, Value};
use crate::model::refusal::{Other, Refusal};
use crate::store::family::{Family, bounds_differ, check_unique};
use crate::store::group::{Group, duplicate};
use crate::store::piece::RowValue;

/// A push of a source in two parts.
#[derive(Debug)]
pub(super) struct Divided {
    /// What the target gets; none where that is the push as it is.
    pub(super) target: Option<Push>,
    /// What the source remembers.
    pub(super) remembered: Push,
    /// Whether any total has begun anew.
    pub(super) has_restarted: bool,
}

/// Divides a push; `source` is what is remembered of its source. A push that `replaces` totals brings them whole.
///
/// # Errors
///
/// Totals that stand in the push twice, or come with bounds that rules refuse.
pub(super) fn divide(push: &Push, source: Option<&Group>, replaces: bool) -> Result<Divided, Refusal> {
    if !push.has_totals() {
        let remembered = push.part(is_folded, |_, _| Some(PartValue::Same)).without_exemplars();
        return Ok(Divided { target: None, remembered, has_restarted: false });
    }
    let mut increases = Vec::new();
    let mut has_restarted = false;
    for pushed in push.families() {
        if pushed.temporality == Temporality::Delta {
            continue;
        }
        check_unique(push, push.series(pushed))
            .map_err(|at| duplicate(push, pushed, &push.series(pushed)[at], Other::SamePush))?;
        let before = source.filter(|_| !replaces).and_then(|group| group.family(push.name(pushed)));
        let mut before =
            Before { family: before.filter(|before| before.holds_totals_of(pushed)), expected: 0 };
        for one in push.series(pushed) {
            let increase = before.increase(push, pushed, one)?;
            has_restarted |= matches!(increase, Increase::All { is_restart: true });
            increases.push(increase);
        }
    }
    let mut of_target = increases.iter();
    let target = push.part(
        |_| true,
        |pushed, _| match pushed.temporality {
            Temporality::Delta => Some(PartValue::Same),
            _ => match of_target.next()? {
                Increase::All { .. } => Some(PartValue::Same),
                Increase::Part(value) => Some(value.clone()),
                Increase::Nothing => None,
            },
        },
    );
    let mut of_source = increases.iter();
    let remembered = push.part(
        |pushed| is_folded(pushed) || pushed.temporality != Temporality::Delta,
        |pushed, one| match pushed.temporality {
            Temporality::Delta => Some(PartValue::Same),
            temporality => {
                let is_new = !matches!(of_source.next()?, Increase::Nothing);
                let is_total = is_total(temporality, push.session_start(one).is_some());
                (is_new && is_total).then_some(PartValue::Same)
            }
        },
    );
    Ok(Divided { target: Some(target), remembered: remembered.without_exemplars(), has_restarted })
}

fn is_folded(pushed: &push::Family) -> bool {
    matches!(pushed.merge, Merge::Fold(_))
}

/// The totals of a family that a source pushed before.
struct Before<'a> {
    family: Option<&'a Family>,
    /// The position that follows that of the series before.
    expected: u32,
}

impl Before<'_> {
    fn increase(
        &mut self,
        push: &Push,
        pushed: &push::Family,
        one: &push::Series,
    ) -> Result<Increase<PartValue>, Refusal> {
        let start = push.session_start(one);
        if !is_total(pushed.temporality, start.is_some()) {
            return Ok(Increase::All { is_restart: false });
        }
        let block = push.block(one);
        let found = self.family.and_then(|family| {
            let position = family.find_near(block, self.expected)?;
            self.expected = position + 1;
            family.row(position)
        });
        let Some((piece, row)) = found else { return Ok(Increase::All { is_restart: false }) };
        let continuity = Continuity::of(start, Some(piece.start(row).nanos()));
        Ok(match (one.value, piece.value(row)) {
            (Value::Number(now), RowValue::Number(before)) => {
                continuity.increase(|| of_number(now, before).map(PartValue::Number))
            }
            (Value::Summary { sum, count, .. }, RowValue::Summary(before)) => continuity.increase(|| {
                of_summary(sum, count, before).map(|(sum, count)| PartValue::Summary(sum, count))
            }),
            (Value::Histogram { sum, total, buckets, native, policy }, RowValue::Histogram(before)) => {
                let buckets = push.buckets(buckets);
                if policy == Buckets::Reject && !buckets.is_empty() && !before.has_bounds_of(buckets) {
                    let cause = bounds_differ(push, pushed, one, before.layout());
                    return Err(Refusal::at(one.offset, cause));
                }
                let pushed = Pushed { buckets, native: push.native(native), sum, total, policy };
                continuity.increase(|| before.increase(pushed).map(PartValue::Histogram))
            }
            // Values of a family have one form.
            _ => Increase::All { is_restart: false },
        })
    }
}
