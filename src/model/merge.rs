//! How values of the same series meet: the table of what adds and what replaces.

use crate::model::kind::Kind;

/// How a pushed value meets the state of its series. Decided once for each pushed family, and carried with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It is added.
    Add,
    /// It takes the place of what is there: the latest push stays.
    Last,
}

impl Merge {
    /// How the values of a family of this kind and name meet where pushes are aggregated.
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

/// The type of a family of the type `live` after a push of type `pushed`, where untyped and typed stand for each other:
/// shell users write no `# TYPE` line, other clients of the same metric do. That needs values that are stored alike and
/// meet alike. `None` where the types conflict.
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
