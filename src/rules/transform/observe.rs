//! Numbers that become observations of a histogram.

use crate::message::Excerpt;
use crate::model::body::{Body, Value};
use crate::model::count::Count;
use crate::model::histogram::Bucket;
use crate::model::kind::Kind;
use crate::model::native_histogram::Encoded;
use crate::model::refusal::{Cause, Refusal};
use crate::rules::metric::Observe;

/// Whether the values of a family of this type can be observations.
pub(super) fn is_observable(kind: Option<Kind>) -> bool {
    matches!(kind, None | Some(Kind::Gauge | Kind::Untyped))
}

/// Makes the value of a series the only observation of a histogram.
pub(super) fn observe(body: &mut Body<'_>, handle: u32, name: &str, to: &Observe) -> Result<(), Refusal> {
    let series = body.series(handle);
    let Value::Number(value) = series.value else { return Ok(()) };
    if !value.is_finite() {
        let cause = Cause::Observation { family: Excerpt::of(name), value };
        return Err(Refusal::at(series.offset, cause));
    }
    let offset = series.offset;
    let parts = match to {
        Observe::Classic(bounds) => bounds.len() + 1,
        Observe::Native => 1,
    };
    body.count_parts(parts).map_err(|_| {
        let most = body.limits().samples;
        Refusal::at(offset, Cause::ObservedTooMuch { family: Excerpt::of(name), most })
    })?;
    body.make_composite(handle);
    if let Some(composite) = body.composite_mut(handle) {
        composite.sum = Some(value);
        composite.count = Some(Count::Int(1));
    }
    match to {
        Observe::Classic(bounds) => {
            for &bound in bounds.iter().chain(&[f64::INFINITY]) {
                body.push_bucket(handle, Bucket { bound, count: Count::Int(u64::from(value <= bound)) });
            }
        }
        Observe::Native => body.push_native(handle, Encoded::of_observation(value)),
    }
    Ok(())
}
