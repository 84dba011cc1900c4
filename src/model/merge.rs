//! How values of the same series are merged: which types add and which replace.

use crate::model::kind::Kind;

/// How a pushed value changes the state of its series. Decided once for each pushed family, and passed on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It is added.
    Add,
    /// It replaces the value: the latest push stays.
    Last,
    /// The lowest number stays.
    Least,
    /// The highest number stays.
    Greatest,
    /// The latest values of all sources together. Where nobody is told apart, the latest push stays.
    Fold(Fold),
}

/// What the latest values of several sources come to. NaN spreads in sums and means; among others it counts as no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Their sum.
    Sum,
    /// The lowest.
    Min,
    /// The highest.
    Max,
    /// Their arithmetic mean.
    Mean,
    /// How many there are, whatever they are.
    Count,
}

/// What the values of a sender that adds are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// What was counted since its push before.
    #[default]
    Delta,
    /// Everything that it has counted since it began.
    Cumulative,
    /// Everything that it has counted since the start time that it tells; what was counted since its push before
    /// if it tells none.
    Auto,
}

/// What becomes of histograms whose bucket bounds differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Buckets {
    /// The series has the bounds of all.
    #[default]
    Union,
    /// The series keeps the bounds that all have.
    Intersection,
    /// A push with other bounds is refused.
    Reject,
}

/// What rules say of a pushed family. The default is what holds without rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilyTerms {
    /// How gauges and untyped values are merged. If `None`, their type decides.
    pub merge: Option<Merge>,
    /// What values are, for counters, histograms and summaries.
    pub temporality: Temporality,
    /// What becomes of bounds that differ, for histograms.
    pub buckets: Buckets,
    /// Each series goes when no push has brought it for this long, in nanoseconds. `None`: series stay.
    pub series_ttl: Option<i64>,
    /// Whether the pushed family takes the place of the one that is there, with all its series.
    pub is_whole: bool,
}

impl FamilyTerms {
    /// How the values of a family of this kind and name are merged under these terms, where pushes are aggregated.
    pub fn merge_of(self, kind: Kind, family_name: &str) -> Merge {
        let rule = self.merge.filter(|_| Merge::is_free_for(kind));
        rule.unwrap_or_else(|| Merge::of(kind, family_name))
    }
}

impl Merge {
    /// How the values of a family with this type and name are merged with aggregation.
    ///
    /// An untyped `*_total` adds, because shell users write no `# TYPE` line for their counters.
    pub fn of(kind: Kind, family_name: &str) -> Merge {
        match kind {
            Kind::Counter | Kind::Summary | Kind::Histogram => Merge::Add,
            Kind::Untyped if family_name.ends_with("_total") => Merge::Add,
            Kind::Untyped | Kind::Gauge | Kind::GaugeHistogram | Kind::Info | Kind::StateSet => Merge::Last,
        }
    }

    /// Whether the latest push of a series takes the place of what that has, as far as nobody is told apart.
    pub fn replaces(self) -> bool {
        matches!(self, Merge::Last | Merge::Fold(_))
    }

    /// Whether a rule may change how the values of a family of this kind are merged.
    pub fn is_free_for(kind: Kind) -> bool {
        matches!(kind, Kind::Gauge | Kind::Untyped)
    }
}

/// Of two numbers the one that stays where the lowest does, or the highest. A number stays where the other is NaN. The
/// order does not matter: -0 is lower than 0.
pub fn extreme(kept: f64, other: f64, highest: bool) -> f64 {
    if kept.is_nan() || other.is_nan() {
        return if kept.is_nan() { other } else { kept };
    }
    let order = other.total_cmp(&kept);
    if if highest { order.is_gt() } else { order.is_lt() } { other } else { kept }
}

/// The type of a family of type `live` after a push of type `pushed`, if an untyped and a typed family may stand
/// for each other: shell users write no `# TYPE` line, other clients of the same metric do. Both must be stored and
/// merged alike. `None` if the types conflict.
pub fn reconciled(live: Kind, family_name: &str, pushed: Kind) -> Option<Kind> {
    let is_alike =
        live.form() == pushed.form() && Merge::of(live, family_name) == Merge::of(pushed, family_name);
    match (live, pushed) {
        (Kind::Untyped, typed) | (typed, Kind::Untyped) if typed != Kind::Untyped => {
            is_alike.then_some(typed.classic())
        }
        _ => live.joined(pushed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = f64> {
        let special = vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        prop_oneof![(-9..9i8).prop_map(f64::from), prop::sample::select(special)]
    }

    proptest! {
        #[test]
        fn extremes_are_the_same_in_any_grouping(
            numbers in prop::collection::vec(number(), 1..8),
            highest in any::<bool>(),
            turn in 0..8usize,
        ) {
            let of = |numbers: &[f64]| {
                numbers.iter().copied().reduce(|kept, other| extreme(kept, other, highest))
            };
            let all = of(&numbers).unwrap();
            let mut turned = numbers.clone();
            turned.rotate_left(turn % numbers.len());
            turned.reverse();
            let (first, second) = turned.split_at(turn % numbers.len());
            let grouped = of(&[of(first), of(second)].into_iter().flatten().collect::<Vec<_>>()).unwrap();
            prop_assert!(all.to_bits() == grouped.to_bits(), "{all} and {grouped} of {numbers:?}");
            for number in numbers.iter().filter(|number| !number.is_nan()) {
                let stays = if highest { all >= *number } else { all <= *number };
                prop_assert!(stays, "{all} of {numbers:?}");
            }
        }
    }
}
