//! A store and pushes to it, for the unit tests.

use std::borrow::Cow;
use std::time::Duration;

use bumpalo::Bump;

use crate::exposition::openmetrics;
use crate::exposition::text::Names;
use crate::model::grouping::{Grouping, GroupingLabel};
use crate::model::limits::PushLimits;
use crate::model::merge::FamilyTerms;
use crate::model::push::Push;
use crate::model::time::Moment;
use crate::store::semantics::Semantics;
use crate::store::{CommitMode, Outcome, Part, Rejection, Store, Terms, Transaction};

/// A store in memory.
pub(in crate::store) fn store() -> Store {
    Store::new([], CommitMode::Never, Duration::ZERO, 1)
}

/// The group that is pushed to.
pub(in crate::store) fn grouping() -> Grouping<'static> {
    Grouping::new(vec![GroupingLabel { name: "job".into(), value: "a".into() }])
}

/// Pushes an OpenMetrics body without its end, from a source or without one, under these terms of all its families.
pub(in crate::store) fn push(
    store: &Store,
    source: Option<&'static str>,
    terms: FamilyTerms,
    body: &str,
    at: i64,
) -> Result<Outcome, Rejection> {
    push_within(store, source, Semantics::merging(), terms, Terms::default(), body, at)
}

/// The same with other semantics and terms of the group.
pub(in crate::store) fn push_within(
    store: &Store,
    source: Option<&'static str>,
    semantics: Semantics,
    of_family: FamilyTerms,
    terms: Terms,
    body: &str,
    at: i64,
) -> Result<Outcome, Rejection> {
    store.submit(&pushing(source, semantics, of_family, terms, body), Moment::at(at))
}

/// The transaction of such a push.
pub(in crate::store) fn pushing(
    source: Option<&'static str>,
    semantics: Semantics,
    of_family: FamilyTerms,
    terms: Terms,
    body: &str,
) -> Transaction<'static> {
    let (arena, grouping) = (Bump::new(), grouping());
    let body = format!("{body}# EOF\n");
    let parsed = openmetrics::parse(body.as_bytes(), Names::Legacy, &arena).unwrap();
    let push = Push::prepare_under(&parsed, &grouping, true, PushLimits::NONE, Some(&|_| of_family)).unwrap();
    let source = source.map(Cow::Borrowed);
    let part = Part::Push { grouping: Cow::Owned(grouping), push, semantics, source, terms };
    Transaction::of(part)
}
