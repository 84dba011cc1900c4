//! How values of the same series are merged: which types add and which replace.

use crate::model::kind::Kind;

/// How a pushed value changes the state of its series. Decided once for each pushed family, and passed on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It is added.
    Add,
    /// It replaces the value: the latest push stays.
    Last,
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
