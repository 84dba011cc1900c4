//! What a running total has grown by since its sender's push before.
//!
//! Owns when a total goes on, begins anew, or comes late. What is known before comes in as an argument.

use crate::model::count::Count;
use crate::model::merge::Temporality;
use crate::model::summary::Summary;

/// How a pushed total stands to the one before it of the same series and sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// There is none before it.
    First,
    /// It goes on: both have the same start time. What is lower comes late.
    SameSession,
    /// Start times do not tell. What is lower has begun anew.
    Untold,
    /// It has begun anew.
    Restarted,
    /// It comes late: it is of a session that has ended.
    Late,
}

impl Continuity {
    /// By the start times of both, as far as they are known; `before` is none where there is no total before it.
    pub fn of(start: Option<i64>, before: Option<Option<i64>>) -> Continuity {
        let Some(before) = before else { return Continuity::First };
        match start.zip(before) {
            None => Continuity::Untold,
            Some((start, before)) if start == before => Continuity::SameSession,
            Some((start, before)) if start > before => Continuity::Restarted,
            Some(_) => Continuity::Late,
        }
    }

    /// What the total adds. `grown` gives by how much it has grown; none where some part of it has fallen.
    pub fn increase<T>(self, grown: impl FnOnce() -> Option<T>) -> Increase<T> {
        match self {
            Continuity::First => Increase::All { is_restart: false },
            Continuity::Restarted => Increase::All { is_restart: true },
            Continuity::Late => Increase::Nothing,
            Continuity::SameSession => grown().map_or(Increase::Nothing, Increase::Part),
            Continuity::Untold => grown().map_or(Increase::All { is_restart: true }, Increase::Part),
        }
    }
}

/// What a pushed total adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Increase<T> {
    /// All of it.
    All {
        /// Whether the sender has begun anew.
        is_restart: bool,
    },
    /// This much.
    Part(T),
    /// Nothing: it is not even remembered.
    Nothing,
}

/// Whether a value of this temporality is a total, if its sender tells when it began or not.
pub fn is_total(temporality: Temporality, has_start: bool) -> bool {
    match temporality {
        Temporality::Delta => false,
        Temporality::Cumulative => true,
        Temporality::Auto => has_start,
    }
}

/// By how much a counter has grown; none if it has fallen.
pub fn of_number(now: f64, before: f64) -> Option<f64> {
    (now >= before).then_some(now - before)
}

/// By how many observations a count has grown; none if it has fallen.
pub fn of_count(now: Count, before: Count) -> Option<Count> {
    match (now, before) {
        (Count::Int(now), Count::Int(before)) => now.checked_sub(before).map(Count::Int),
        (now, before) => of_number(now.as_f64(), before.as_f64()).map(Count::Float),
    }
}

/// By how much a sum of observations has grown: it falls where these are negative. Without new observations it stays.
/// None if it does not.
pub fn of_sum(now: f64, before: f64, observations: Count) -> Option<f64> {
    if now == before {
        return Some(0.0);
    }
    // A sum that is infinite tells nothing of what came since.
    let grown = if before.is_finite() { now - before } else { 0.0 };
    (grown > 0.0 || observations.as_f64() > 0.0).then_some(grown)
}

/// By how much sum and count of a summary have grown; none if it has fallen.
pub fn of_summary(sum: f64, count: Count, before: &Summary) -> Option<(f64, Count)> {
    let count = of_count(count, before.count.value())?;
    Some((of_sum(sum, before.sum.value(), count)?, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_tell_what_goes_on() {
        let cases = [
            (Some(5), None, Continuity::First),
            (None, None, Continuity::First),
            (Some(5), Some(Some(5)), Continuity::SameSession),
            (Some(6), Some(Some(5)), Continuity::Restarted),
            (Some(4), Some(Some(5)), Continuity::Late),
            (None, Some(Some(5)), Continuity::Untold),
            (Some(5), Some(None), Continuity::Untold),
            (None, Some(None), Continuity::Untold),
        ];
        for (start, before, expected) in cases {
            assert_eq!(Continuity::of(start, before), expected, "{start:?} after {before:?}");
        }
    }

    #[test]
    fn what_falls_is_late_in_the_same_session_and_a_restart_otherwise() {
        let number = |continuity: Continuity, now, before| continuity.increase(|| of_number(now, before));
        assert_eq!(number(Continuity::SameSession, 7.0, 5.0), Increase::Part(2.0));
        assert_eq!(number(Continuity::SameSession, 4.0, 5.0), Increase::Nothing);
        assert_eq!(number(Continuity::Untold, 5.0, 5.0), Increase::Part(0.0));
        assert_eq!(number(Continuity::Untold, 4.0, 5.0), Increase::All { is_restart: true });
        assert_eq!(number(Continuity::Restarted, 9.0, 5.0), Increase::All { is_restart: true });
        assert_eq!(number(Continuity::First, 9.0, 0.0), Increase::All { is_restart: false });
        assert_eq!(number(Continuity::Late, 9.0, 5.0), Increase::Nothing);
    }

    #[test]
    fn sums_may_fall_with_new_observations_only() {
        let before = Summary::new(10.0, Count::Int(5), &[]);
        assert_eq!(of_summary(4.0, Count::Int(6), &before), Some((-6.0, Count::Int(1))));
        assert_eq!(of_summary(10.0, Count::Int(5), &before), Some((0.0, Count::Int(0))));
        assert_eq!(of_summary(4.0, Count::Int(5), &before), None);
        assert_eq!(of_summary(40.0, Count::Int(4), &before), None);
        let infinite = Summary::new(f64::INFINITY, Count::Int(5), &[]);
        assert_eq!(of_summary(f64::INFINITY, Count::Int(6), &infinite), Some((0.0, Count::Int(1))));
    }
}
