//! Checks a push against everything in the store: the stock gateway's rules, by indexes.
//!
//! The stock gateway gathers its whole store to find out whether a push fits. Here the cost of a check depends on
//! the push alone: names are looked up in [`Definitions`], and a series can only be in another group if its own
//! labels spell out the key of that group.

use std::collections::HashSet;

use crate::message::{Excerpt, quote};
use crate::model::escaping::Escaping;
use crate::model::grouping::Grouping;
use crate::model::kind::{Form, Kind};
use crate::model::labels::{ShownLabels, pairs, without_empty_labels, write_pair};
use crate::model::merge::reconciled;
use crate::model::name::is_legacy_metric_name;
use crate::model::push::{self, Push};
use crate::model::refusal::{Cause, Other, Refusal};
use crate::store::definition::{Definitions, OtherShapes};
use crate::store::group::{Group, Plan, duplicate};
use crate::store::group_labels::Shape;
use crate::store::semantics::{FamilyRule, Semantics};
use crate::store::shown_names::ShownNames;
use crate::store::spellings::Spellings;
use crate::store::suffixes::check_suffixes;

/// Checks the names and types of a push.
///
/// # Errors
///
/// The families whose names or types contradict existing ones.
pub fn check_names(
    push: &Push,
    group: Option<&Group>,
    definitions: &Definitions,
    semantics: &Semantics,
) -> Result<(), Refusal> {
    let shown = shown_names_of(push)?;
    let names = Names { push, group, definitions, semantics, shown: &shown };
    let mut refused: Option<Refusal> = None;
    for pushed in push.families() {
        let Err((cause, other)) = names.check(pushed) else { continue };
        let offset = push.series(pushed).first().and_then(|series| series.offset);
        let refusal = Refusal::at(offset, cause).with(other);
        match &mut refused {
            Some(first) => {
                if !first.add(refusal) {
                    break;
                }
            }
            None => refused = Some(refusal),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Checks the names of a push.
struct Names<'a> {
    push: &'a Push,
    group: Option<&'a Group>,
    definitions: &'a Definitions,
    semantics: &'a Semantics,
    /// The names in the push that are not legacy names.
    shown: &'a ShownNames,
}

impl Names<'_> {
    fn check(&self, pushed: &push::Family) -> Result<(), (Cause, Other)> {
        let Names { push, group, definitions, semantics, shown } = *self;
        let name = push.name(pushed);
        self.check_own(name, pushed)?;
        if !is_legacy_metric_name(name) {
            for scheme in Escaping::CHANGING {
                self.check_own(&scheme.metric_name(name), pushed)?;
            }
        }
        let live = definitions.live(name);
        if live.is_some_and(|(kind, _)| kind.joined(pushed.kind).is_some()) {
            return Ok(());
        }
        if let Some((kind, groups)) = live {
            if semantics.reconciles && reconciled(kind, name, pushed.kind).is_some() {
                return Ok(());
            }
            let elsewhere = groups - u32::from(group.is_some_and(|group| group.family(name).is_some()));
            if elsewhere > 0 || !may_change_kind(kind, pushed, semantics) {
                return Err((kind_conflict(push, pushed, kind), Other::Family(name.to_owned())));
            }
        }
        if live.is_none() {
            definitions.check_shown(name)?;
        }
        let kind_of = |other: &str| kind_after(other, push, group, definitions, semantics);
        let with_family = |(cause, other)| (cause, Other::Family(other));
        check_suffixes(name, pushed.kind, kind_of).map_err(with_family)?;
        if shown.is_empty() && definitions.shown().is_empty() {
            return Ok(());
        }
        // Suffixes are appended to the name as a scrape shows it.
        for (at, scheme) in Escaping::CHANGING.into_iter().enumerate() {
            let kind_of_shown = |other: &str| {
                let changed =
                    [shown, definitions.shown()].into_iter().find_map(|names| names.find(at, other));
                changed.and_then(|name| kind_of(name)).or_else(|| kind_of(other))
            };
            check_suffixes(&scheme.metric_name(name), pushed.kind, kind_of_shown).map_err(with_family)?;
        }
        Ok(())
    }

    fn check_own(&self, name: &str, pushed: &push::Family) -> Result<(), (Cause, Other)> {
        self.definitions
            .check_own(name, pushed.kind, self.semantics.reconciles)
            .map_err(|cause| (cause, Other::Gateway))
    }
}

/// The names of a push that are not legacy names.
///
/// # Errors
///
/// A name that a scrape with escaped names would show like another one of the push.
fn shown_names_of(push: &Push) -> Result<ShownNames, Refusal> {
    let mut shown = ShownNames::default();
    for pushed in push.families().iter().filter(|pushed| !is_legacy_metric_name(push.name(pushed))) {
        let name = push.name(pushed);
        if let Some(escaped) = shown.collision(name, |legacy| push.family(legacy).is_some()) {
            let offset = push.series(pushed).first().and_then(|series| series.offset);
            let cause = Cause::CollidingName { family: Excerpt::of(name), escaped: Excerpt::of(&escaped) };
            return Err(Refusal::at(offset, cause).with(Other::SamePush));
        }
        shown.add(&name.into());
    }
    Ok(shown)
}

/// Whether the push may change the type of a family that only its own group has.
fn may_change_kind(live: Kind, pushed: &push::Family, semantics: &Semantics) -> bool {
    let is_declared = semantics.reconciles && live == Kind::Untyped && pushed.kind.form() == Form::Number;
    semantics.rule(pushed) == FamilyRule::Replace || is_declared
}

/// The type that a name will have once the push is applied.
fn kind_after(
    name: &str,
    push: &Push,
    group: Option<&Group>,
    definitions: &Definitions,
    semantics: &Semantics,
) -> Option<Kind> {
    if let Some(pushed) = push.family(name) {
        return Some(pushed.kind);
    }
    let (kind, groups) = definitions.live(name)?;
    let goes = group.and_then(|group| group.family(name)).is_some_and(|family| semantics.drops(family));
    (groups > u32::from(goes)).then_some(kind)
}

fn kind_conflict(push: &Push, pushed: &push::Family, kind: Kind) -> Cause {
    let metric = match push.series(pushed).first() {
        Some(series) => push.describe(pushed, series),
        None => format!("collected metric {}", quote(push.name(pushed).as_bytes())),
    };
    Cause::KindConflict { metric, kind }
}

/// Checks that no new series of a push is in another group. The push's group has this key and shape. `holds` says
/// whether the group with a key has a family with a label block.
///
/// # Errors
///
/// The first series that is.
pub fn check_other_groups(
    push: &Push,
    plan: &Plan,
    (own, own_shape): (&str, &Shape),
    definitions: &Definitions,
    holds: impl Fn(&str, &str, &str) -> bool,
) -> Result<(), Refusal> {
    let mut others: Option<(&str, Option<OtherShapes<'_>>)> = None;
    for (pushed, series, block) in Group::new_series(push, plan) {
        let name = push.name(pushed);
        let of_name = others.filter(|(of, _)| *of == name).map(|(_, others)| others);
        let of_name = of_name.unwrap_or_else(|| definitions.other_shapes(name, own_shape));
        others = Some((name, of_name));
        let Some(of_name) = of_name else { continue };
        let shown = if push.has_empty_labels() { without_empty_labels(block) } else { block.into() };
        let spellings = if *shown == *block { &[block][..] } else { &[block, &shown] };
        let holder = |block: &&str| {
            let mut keys = of_name.iter().filter_map(|shape| key_within(block, shape));
            keys.find(|key| holds(key, name, block))
        };
        let mut spellings =
            spellings.iter().filter(|block| of_name.may_hold(block, || holds(own, name, block)));
        if let Some(key) = spellings.find_map(holder) {
            return Err(duplicate(
                push,
                pushed,
                series,
                Other::Group { key: ShownLabels::of(&key), more: 0 },
            ));
        }
    }
    Ok(())
}

/// Checks that Prometheus would not take a series of the push for another one, of the push or of a group other than
/// `own`. Prometheus ignores labels with empty values.
///
/// # Errors
///
/// The first such series.
pub fn check_spellings(push: &Push, own: &str, definitions: &Definitions) -> Result<(), Refusal> {
    for pushed in push.families() {
        let spellings = definitions.spellings(push.name(pushed));
        if spellings.is_none() && !push.has_empty_labels() {
            continue;
        }
        let mut seen = HashSet::with_capacity(push.series(pushed).len());
        for series in push.series(pushed) {
            let shown = without_empty_labels(push.block(series));
            if let Some(key) = spellings.and_then(|all| all.other_holder(&shown, own)) {
                let other = Other::Group { key: ShownLabels::of(key), more: 0 };
                return Err(duplicate(push, pushed, series, other));
            }
            if !seen.insert(shown) {
                return Err(duplicate(push, pushed, series, Other::SamePush));
            }
        }
    }
    Ok(())
}

/// The key of the group with this shape that a series with this label block would belong to.
fn key_within(block: &str, shape: &Shape) -> Option<String> {
    let mut key = String::from("{");
    let mut labels = pairs(block);
    for name in shape.iter() {
        let pair = labels.find(|pair| pair.name() == **name)?;
        if key.len() > 1 {
            key.push(',');
        }
        write_pair(&mut key, name, pair.escaped_value());
    }
    key.push('}');
    Some(key)
}

/// Checks that Prometheus would not take the own series of a new group for those of its twin, the group whose key
/// differs only in labels with empty values. `spelled` are the keys with such labels.
///
/// # Errors
///
/// The twin, if `exists` says that it exists.
pub fn check_twin(
    grouping: &Grouping<'_>,
    spelled: &Spellings,
    exists: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    let key = grouping.key();
    let shown = without_empty_labels(key);
    let twin = if *shown != *key && exists(&shown) {
        Some(&*shown)
    } else {
        spelled.other_holder(&shown, key).map(|twin| &**twin)
    };
    match twin {
        Some(twin) => {
            let (group, twin) = (ShownLabels::of(key), ShownLabels::of(twin));
            Err(Refusal::of(Cause::TwinGroup { group, twin }))
        }
        None => Ok(()),
    }
}
