//! Bucket bounds of a push that differ from those of its series, where rules refuse that.

use crate::message::Excerpt;
use crate::model::histogram::Layout;
use crate::model::kind::Form;
use crate::model::merge::Buckets;
use crate::model::number::format_f64;
use crate::model::push::{self, Push, Value};
use crate::model::refusal::{Cause, Refusal};
use crate::store::family::{FOLDED, Family, NEW, Placement};
use crate::store::piece::{PIECE_ROWS, RowValue};

impl Family {
    /// Checks the bounds of a pushed family that is to be merged with this one.
    ///
    /// # Errors
    ///
    /// The first series whose bounds differ, where rules refuse that.
    #[inline]
    pub(in crate::store) fn check_bounds(
        &self,
        push: &Push,
        pushed: &push::Family,
        placement: &Placement,
    ) -> Result<(), Refusal> {
        if pushed.kind.form() == Form::Histogram {
            self.compare_bounds(push, pushed, placement)
        } else {
            Ok(())
        }
    }

    fn compare_bounds(
        &self,
        push: &Push,
        pushed: &push::Family,
        placement: &Placement,
    ) -> Result<(), Refusal> {
        for (one, &position) in push.series(pushed).iter().zip(&placement.positions) {
            let Value::Histogram { buckets, policy: Buckets::Reject, native, .. } = one.value else {
                return Ok(());
            };
            let buckets = push.buckets(buckets);
            // Who pushes native buckets alone has no bounds.
            if buckets.is_empty() && native.is_some() {
                continue;
            }
            let position = match position {
                NEW => None,
                FOLDED => placement.overflow.as_ref().and_then(|overflow| self.find(&overflow.block)),
                known => Some(known),
            };
            let Some(position) = position.map(|position| position as usize) else { continue };
            let value =
                self.pieces().get(position / PIECE_ROWS).map(|piece| piece.value(position % PIECE_ROWS));
            let Some(RowValue::Histogram(live)) = value else { continue };
            if !live.has_bounds_of(buckets) {
                let cause = bounds_differ(push, pushed, one, live.layout());
                return Err(Refusal::at(one.offset, cause));
            }
        }
        Ok(())
    }
}

/// Says that a pushed series has other bounds than these.
pub(in crate::store) fn bounds_differ(
    push: &Push,
    pushed: &push::Family,
    series: &push::Series,
    live: &Layout,
) -> Cause {
    let text = |bounds: &mut dyn Iterator<Item = f64>| {
        Excerpt::of(&bounds.map(format_f64).collect::<Vec<_>>().join(" "))
    };
    let own = match series.value {
        Value::Histogram { buckets, .. } => push.buckets(buckets),
        _ => &[],
    };
    Cause::BoundsDiffer {
        metric: push.describe(pushed, series),
        pushed: text(&mut own.iter().map(|bucket| bucket.bound)),
        live: text(&mut live.bounds().iter().copied()),
    }
}
