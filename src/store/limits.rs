//! The limits of the store.
//!
//! A push that adds groups or series holds the lock of the structure, so that no race exceeds a limit. Existing
//! data stays and can be pushed to; at a limit the store refuses only growth. If a push changes only values, its
//! growth in bytes, for example by new buckets, is checked without that lock. So concurrent pushes may exceed the
//! limit together.

use crate::model::grouping::Grouping;
use crate::model::limits::{Limit, StoreFull, StoreLimits};
use crate::model::push::Push;
use crate::store::Store;
use crate::store::apply::Pushing;
use crate::store::definition::Definitions;
use crate::store::group::{Group, Plan, growth_of_new_group, own_bytes};
use crate::store::piece::most_growth;
use crate::store::semantics::Semantics;
use crate::store::space::Space;

impl Store {
    /// Sets the limits. Existing data stays, even if it exceeds them.
    pub fn limit(&self, limits: StoreLimits) {
        let _ = self.limits.set(limits);
    }

    /// Checks that a push does not exceed a limit of the store.
    pub(super) fn check_limits(
        &self,
        space: &Space<'_>,
        pushing: Pushing<'_>,
        plan: &Plan,
        definitions: &Definitions,
    ) -> Result<(), StoreFull> {
        let Pushing { grouping, push, semantics, terms } = pushing;
        if let Some(most) = terms.max_series {
            check_max_series(space, pushing, plan, definitions, most)?;
        }
        let Some(limits) = self.limits.get() else { return Ok(()) };
        let growth = space.read(grouping.key(), |group| {
            let growth = |with_values| group.growth(push, plan, semantics, definitions, with_values);
            let (series, bytes) = growth(false);
            let may_fill = self.may_fill(bytes, push, limits);
            (group.series(), if may_fill { growth(true) } else { (series, bytes) })
        });
        let (in_group, (series, bytes)) = match growth {
            Some(growth) => growth,
            None => {
                check(Limit::Groups, self.group_count(), 1, limits.groups)?;
                (0, growth_of_new_group(push, plan, grouping.key(), definitions))
            }
        };
        check(Limit::Series, self.series_count(), series, limits.series)?;
        check(Limit::SeriesPerGroup, in_group as i64, series, limits.series_per_group)?;
        check(Limit::StoreBytes, self.bytes(), bytes, limits.bytes)
    }

    /// Why a push that changes only values can't be applied: it needs more memory than the limit allows.
    pub(super) fn is_too_large_for(
        &self,
        group: &Group,
        push: &Push,
        plan: &Plan,
        semantics: &Semantics,
    ) -> Option<StoreFull> {
        let limits = self.limits.get()?;
        if !self.may_fill(0, push, limits) {
            return None;
        }
        let bytes = group.growth_of_values(push, plan, semantics);
        check(Limit::StoreBytes, self.bytes(), bytes, limits.bytes).err()
    }

    /// Whether the values of a push may need more memory than the limit leaves beside `bytes`. Only then the exact
    /// growth is computed.
    fn may_fill(&self, bytes: i64, push: &Push, limits: &StoreLimits) -> bool {
        let bytes = self.bytes().saturating_add(bytes).max(0).unsigned_abs();
        bytes.saturating_add(most_growth(push) as u64) > limits.bytes
    }

    /// Whether this group may be created to note a refused push.
    pub(super) fn may_create(&self, grouping: &Grouping<'_>) -> bool {
        let has_room = |limits: &StoreLimits| {
            let own = own_bytes(grouping.key()) as i64;
            check(Limit::Groups, self.group_count(), 1, limits.groups).is_ok()
                && check(Limit::StoreBytes, self.bytes(), own, limits.bytes).is_ok()
        };
        self.limits.get().is_none_or(has_room)
    }
}

/// Checks that a push brings its group no more series than a rule says.
fn check_max_series(
    space: &Space<'_>,
    Pushing { grouping, push, semantics, terms }: Pushing<'_>,
    plan: &Plan,
    definitions: &Definitions,
    most: u64,
) -> Result<(), StoreFull> {
    let check = |have: u64, more| check(Limit::MaxSeries, have as i64, more, most);
    // Overflow series do not count, whoever makes them.
    let new_overflows = |series_block: &str| {
        let pushed = if terms.room().is_some() { plan.pushed_overflows(push, series_block) } else { 0 };
        plan.new_overflows() + pushed
    };
    let checked = space.read(grouping.key(), |group| {
        let (more, _) = group.growth(push, plan, semantics, definitions, false);
        // Overflow series are only looked for where they make a difference. One that goes makes no room.
        if group.series().saturating_add_signed(more) <= most {
            return Ok(());
        }
        let lost = group.lost_overflows(push, semantics);
        check(group.series_without_overflow(), more - new_overflows(&group.labels.series_block) + lost)
    });
    checked.unwrap_or_else(|| {
        let (series, _) = growth_of_new_group(push, plan, grouping.key(), definitions);
        check(0, series - new_overflows(&grouping.series_block()))
    })
}

pub(super) fn check(limit: Limit, have: i64, more: i64, most: u64) -> Result<(), StoreFull> {
    let is_over = more > 0 && have.saturating_add(more).unsigned_abs() > most;
    if is_over { Err(StoreFull { limit, most }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::body::{Body, Family, Label, Value};
    use crate::model::count::Count;
    use crate::model::exemplar::Place;
    use crate::model::grouping::GroupingLabel;
    use crate::model::histogram::Bucket;
    use crate::model::kind::Kind;
    use crate::model::native_histogram::{Encoded, EncodedBuckets, Span};
    use crate::model::summary::Quantile;
    use crate::model::time::Moment;
    use crate::store::semantics::{Absent, FamilyRule};
    use crate::store::{CommitMode, Outcome, Part, Rejection, Transaction};

    const TEXTS: [&str; 5] = ["0", "1", "2", "3", "a text that is longer than all the others"];

    #[derive(Clone, Debug)]
    struct Sketch {
        group: usize,
        semantics: usize,
        families: Vec<(usize, Kind, Option<usize>, Vec<Series>)>,
    }

    #[derive(Clone, Debug)]
    struct Series {
        label: usize,
        /// Bits for the bounds that it has, and for those of them that have exemplars.
        bounds: u8,
        exemplars: u8,
        /// Schema, first index and number of buckets.
        native: Option<(i32, i32, u32)>,
        /// The times of exemplars of the native part.
        observed: Vec<Option<i64>>,
    }

    fn sketches() -> impl Strategy<Value = Vec<Sketch>> {
        let native = prop::option::of((-1..3i32, -200..200i32, 1..200u32));
        let observed = prop::collection::vec(prop::option::of(0..20i64), 0..4);
        let series = (0..4usize, 0..16u8, 0..16u8, native, observed);
        let series = series.prop_map(|(label, bounds, exemplars, native, observed)| Series {
            label,
            bounds,
            exemplars,
            native,
            observed,
        });
        let series = prop::collection::vec(series, 0..5).prop_map(|mut series| {
            series.sort_by_key(|one| one.label);
            series.dedup_by_key(|one| one.label);
            series
        });
        let kinds = vec![Kind::Counter, Kind::Gauge, Kind::Summary, Kind::Histogram, Kind::GaugeHistogram];
        let any = prop::sample::select(kinds.clone());
        let family = (0..7usize, any, prop::option::of(0..TEXTS.len()), series).prop_map(
            // Some names always get the same type.
            move |(name, any, help, series)| (name, kinds.get(name).copied().unwrap_or(any), help, series),
        );
        let families = prop::collection::vec(family, 0..4).prop_map(|mut families| {
            families.sort_by_key(|family| family.0);
            families.dedup_by_key(|family| family.0);
            families
        });
        let sketch = (0..2usize, 0..3usize, families);
        let sketch = sketch.prop_map(|(group, semantics, families)| Sketch { group, semantics, families });
        prop::collection::vec(sketch, 1..14)
    }

    fn push_of(sketch: &Sketch, grouping: &Grouping<'_>, aggregate: bool) -> Push {
        let names = ["c_total", "g", "s", "h", "gh", "any", "other"];
        let mut body = Body::with_capacity(1, 1);
        for (name, kind, help, series) in &sketch.families {
            let help = help.map(|at| TEXTS[at]);
            let at = body.families.len();
            body.families.push(Family { kind: Some(*kind), help, ..Family::new(names[*name]) });
            for one in series {
                add(&mut body, at, *kind, one);
            }
        }
        body.finish();
        Push::prepare(&body, grouping, aggregate).unwrap()
    }

    fn add(body: &mut Body<'_>, family: usize, kind: Kind, series: &Series) {
        let mark = body.label_mark();
        body.push_label(Label { name: "l", escaped_value: TEXTS[series.label] }).unwrap();
        let bounds = (0..4).filter(|bit| series.bounds >> bit & 1 == 1);
        let mut places = Vec::new();
        let handle = match kind.form() {
            crate::model::kind::Form::Number => {
                places.extend(
                    (kind == Kind::Counter && series.exemplars & 1 == 1).then_some((Place::Value, None)),
                );
                body.push_series(family, mark, Value::Number(1.0), None)
            }
            crate::model::kind::Form::Summary => {
                let handle = body.push_composite(family, mark, None);
                for bit in bounds {
                    let quantile = Quantile { quantile: f64::from(bit) / 4.0, value: 1.0 };
                    body.push_quantile(handle, quantile);
                }
                handle
            }
            crate::model::kind::Form::Histogram => {
                let handle = body.push_composite(family, mark, None);
                for bit in bounds {
                    body.push_bucket(handle, Bucket { bound: f64::from(bit), count: Count::ZERO });
                    let has_exemplar = series.exemplars >> bit & 1 == 1;
                    places.extend(has_exemplar.then_some((Place::Bucket(f64::from(bit)), Some(5))));
                }
                match series.native {
                    Some((schema, offset, length)) => {
                        let mut deltas = vec![0; length as usize];
                        deltas[0] = 1;
                        let positive = EncodedBuckets {
                            spans: vec![Span { offset, length }],
                            deltas,
                            counts: Vec::new(),
                        };
                        body.push_native(handle, Encoded { schema, positive, ..Encoded::default() });
                        places.extend(series.observed.iter().map(|at| (Place::Native, *at)));
                    }
                    None => body.composite_mut(handle).unwrap().count = Some(Count::Int(2)),
                }
                handle
            }
        };
        for (place, at) in places {
            let mark = body.label_mark();
            body.push_label(Label { name: "id", escaped_value: "x" }).unwrap();
            body.push_exemplar(handle, place, mark, 1.0, at);
        }
    }

    fn semantics(number: usize, aggregate: bool) -> Semantics {
        let replace = Semantics::replacing(aggregate);
        match number {
            0 if aggregate => {
                Semantics { adding: FamilyRule::Merge, replacing: FamilyRule::Merge, ..replace }
            }
            1 if aggregate => {
                Semantics { adding: FamilyRule::Merge, absent: Absent::DropReplaced, ..replace }
            }
            0 => replace,
            _ => Semantics { absent: Absent::Drop, ..replace },
        }
    }

    fn grouping(number: usize) -> Grouping<'static> {
        let label = |name: &'static str, value: &'static str| GroupingLabel {
            name: name.into(),
            value: value.into(),
        };
        Grouping::new(vec![label("job", ["a", "b"][number])])
    }

    /// A store with two empty groups.
    fn store() -> Store {
        let store = Store::new([], CommitMode::Never, Duration::ZERO, 1);
        for group in 0..2 {
            let empty = Sketch { group, semantics: 0, families: Vec::new() };
            send(&store, &empty, true, 0).unwrap();
        }
        store
    }

    fn send(store: &Store, sketch: &Sketch, aggregate: bool, at: i64) -> Result<Outcome, Rejection> {
        let grouping = grouping(sketch.group);
        let push = push_of(sketch, &grouping, aggregate);
        let semantics = semantics(sketch.semantics, aggregate);
        let grouping = std::borrow::Cow::Borrowed(&grouping);
        let terms = crate::store::Terms::default();
        let part = Part::Push { grouping, push, semantics, source: None, terms };
        store.submit(&Transaction::of(part), Moment::at(at))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        /// What is refused would exceed the limit, and what is accepted does not, judged by the resulting size of
        /// the store.
        #[test]
        fn only_what_grows_beyond_the_limit_is_refused(
            sketches in sketches(),
            aggregate in any::<bool>(),
            limit in 1500..40_000u64,
        ) {
            let limited = store();
            limited.limit(StoreLimits { series: 1000, series_per_group: 1000, groups: 10, bytes: limit });
            let mut accepted: Vec<(usize, &Sketch)> = Vec::new();
            for (at, sketch) in sketches.iter().enumerate() {
                let (before, at) = (limited.bytes(), at + 100);
                let answer = send(&limited, sketch, aggregate, at as i64);
                let unlimited = store();
                for (at, sketch) in &accepted {
                    send(&unlimited, sketch, aggregate, *at as i64).unwrap();
                }
                prop_assert_eq!(unlimited.bytes(), before);
                let would = send(&unlimited, sketch, aggregate, at as i64);
                let is_too_much = unlimited.bytes() > before.max(limit as i64);
                match answer {
                    Ok(_) => {
                        prop_assert!(would.is_ok() && !is_too_much, "{} of {limit} accepted", unlimited.bytes());
                        prop_assert_eq!(limited.bytes(), unlimited.bytes());
                        accepted.push((at, sketch));
                    }
                    Err(Rejection::Full(_)) => {
                        prop_assert!(is_too_much, "{} of {limit} refused, from {before}", unlimited.bytes());
                    }
                    Err(_) => prop_assert!(would.is_err()),
                }
                prop_assert!(answer_bytes_are_right(&limited));
            }
        }
    }

    /// Checks that the counted size is the real one.
    fn answer_bytes_are_right(store: &Store) -> bool {
        let bytes = |group: &Group| {
            own_bytes(&group.labels.key) + group.families().iter().map(|kept| kept.bytes()).sum::<u64>()
        };
        let series = |group: &Group| {
            group.families().iter().map(|family| i64::from(family.series_count())).sum::<i64>()
        };
        let names = store.hold().definitions.bytes();
        let groups = store.versions();
        let bytes = names + groups.iter().map(|group| bytes(group)).sum::<u64>();
        let series: i64 = groups.iter().map(|group| series(group)).sum();
        (bytes as i64, series) == (store.bytes(), store.series_count())
    }
}
