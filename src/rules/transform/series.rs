//! Series with new labels, and which of them are the same.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::BuildHasher;

use bumpalo::Bump;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::message::Excerpt;
use crate::model::body::{Body, Label, Series};
use crate::model::grouping::Grouping;
use crate::model::labels::{EmptyLabels, escape, unescape};
use crate::model::name::is_unusable_label_name;
use crate::model::refusal::{Cause, Refusal};
use crate::rules::relabel::{Labels, Relabel, relabel};
use crate::rules::selector::METRIC_NAME;

/// A series that was relabelled, and is in no family.
pub(super) struct Relabelled<'a> {
    pub(super) handle: u32,
    /// The name of its family now.
    pub(super) name: &'a str,
    pub(super) offset: Option<u32>,
    /// The series as it was, with the labels that it had.
    before: Series,
}

/// Relabels the series of a push, one by one.
pub(super) struct Relabeller<'a> {
    /// The labels of the group as pushed.
    fixed: &'a [(&'a str, &'a str)],
    arena: &'a Bump,
    labels: Vec<Label<'a>>,
    /// The name of the last series that got another.
    last_name: &'a str,
    /// How many bytes the labels of all series have that were relabelled.
    bytes: usize,
}

impl<'a> Relabeller<'a> {
    pub(super) fn new(pushed: &Grouping<'_>, arena: &'a Bump) -> Relabeller<'a> {
        let label = |name: &str, value: &str| (&*arena.alloc_str(name), &*arena.alloc_str(value));
        let absent = pushed.absent().iter().map(|name| label(name, ""));
        let given = pushed.labels().iter().map(|given| label(&given.name, &given.value));
        let fixed: Vec<(&str, &str)> = given.chain(absent).collect();
        Relabeller {
            fixed: arena.alloc_slice_copy(&fixed),
            arena,
            labels: Vec::new(),
            last_name: "",
            bytes: 0,
        }
    }

    /// A series that keeps its name and labels.
    pub(super) fn unchanged(&self, body: &Body<'a>, handle: u32, name: &'a str) -> Relabelled<'a> {
        let before = *body.series(handle);
        Relabelled { handle, name, offset: before.offset, before }
    }

    /// Relabels a series of a family with this name. `None` if it is dropped.
    pub(super) fn relabel(
        &mut self,
        body: &mut Body<'a>,
        handle: u32,
        name: &'a str,
        steps: &[Relabel],
    ) -> Result<Option<Relabelled<'a>>, Refusal> {
        let before = *body.series(handle);
        let own = body.labels_of(&before).iter();
        let own = own.map(|label| (Cow::Borrowed(label.name), unescape(label.escaped_value)));
        let named = [(Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name))];
        let Some(labels) = relabel(steps, Labels::beside(self.fixed, named.into_iter().chain(own))) else {
            return Ok(None);
        };
        if labels.is_too_large() {
            return Err(Refusal::at(before.offset, Cause::RelabelledTooMuch { family: Excerpt::of(name) }));
        }
        self.labels.clear();
        let mut new_name = None;
        for (name, value) in labels.into_pairs() {
            if name == METRIC_NAME {
                new_name = Some(value);
            } else if !is_unusable_label_name(&name) {
                let name = self.text(name);
                // What is borrowed has no escapes, or it would not be as it stands in the body.
                let escaped_value = match value {
                    Cow::Borrowed(value) => value,
                    Cow::Owned(value) => self.arena.alloc_str(&escape(&value)),
                };
                self.bytes += name.len() + escaped_value.len();
                self.labels.push(Label { name, escaped_value });
            }
        }
        let limit = body.limits().text;
        if self.bytes > limit {
            return Err(Refusal::at(before.offset, Cause::TooMuchText { limit }));
        }
        let Some(new_name) = new_name else {
            return Err(Refusal::at(before.offset, Cause::NoName { family: Excerpt::of(name) }));
        };
        let name = match new_name {
            Cow::Owned(new) if new == name => name,
            Cow::Owned(new) if new == self.last_name => self.last_name,
            new => {
                self.last_name = self.text(new);
                self.last_name
            }
        };
        body.set_labels(handle, self.labels.iter().copied());
        Ok(Some(Relabelled { handle, name, offset: before.offset, before }))
    }

    fn text(&self, text: Cow<'a, str>) -> &'a str {
        match text {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => self.arena.alloc_str(&text),
        }
    }
}

/// Counts how often a series comes.
pub(super) struct Occurrences<'o> {
    hasher: RandomState,
    /// Which labels of a series its group takes the place of: before and after relabelling.
    before: Hidden<'o>,
    after: Hidden<'o>,
    /// The series as they were pushed, by family and labels, and in which body they are.
    pushed: HashTable<(usize, Series, usize)>,
    /// Those of each family that have come, by labels, and how often.
    known: HashTable<(usize, u32, usize)>,
    /// The families that had series which no rule changed, once these are among the known ones.
    indexed: HashSet<usize, RandomState>,
}

impl<'o> Occurrences<'o> {
    pub(super) fn new(pushed: &'o Grouping<'_>, target: &'o Grouping<'_>) -> Occurrences<'o> {
        Occurrences {
            hasher: RandomState::default(),
            before: Hidden::by(pushed),
            after: Hidden::by(target),
            pushed: HashTable::new(),
            known: HashTable::new(),
            indexed: HashSet::default(),
        }
    }

    /// How often a series with the name and labels of this one has come before to this family. One that was the same
    /// before relabelling does not count: it was pushed twice, and is refused for that.
    pub(super) fn next(
        &mut self,
        body: &Body<'_>,
        origin: usize,
        family: usize,
        series: &Relabelled<'_>,
    ) -> usize {
        self.index(body, family);
        let (hasher, before, after) = (&self.hasher, &self.before, &self.after);
        let empty = body.empty_labels();
        let hash_before = |&(origin, ref series, _): &(usize, Series, usize)| {
            before.hash(hasher, origin, body.labels_of(series), empty)
        };
        let labels = body.labels_of(&series.before);
        let pushed_hash = before.hash(hasher, origin, labels, empty);
        let is_same = |other: &(usize, Series, usize)| {
            other.0 == origin && before.are_same(body.labels_of(&other.1), labels, empty)
        };
        if let Some((_, _, number)) = self.pushed.find(pushed_hash, is_same) {
            return *number;
        }
        let hash_after = |&(family, handle, _): &(usize, u32, usize)| {
            after.hash(hasher, family, body.labels_of(body.series(handle)), empty)
        };
        let labels = body.labels_of(body.series(series.handle));
        let hash = after.hash(hasher, family, labels, empty);
        let known = self.known.find_mut(hash, |other| {
            other.0 == family && after.are_same(body.labels_of(body.series(other.1)), labels, empty)
        });
        let number = match known {
            Some((_, _, times)) => {
                *times += 1;
                *times - 1
            }
            None => {
                self.known.insert_unique(hash, (family, series.handle, 1), hash_after);
                0
            }
        };
        self.pushed.insert_unique(pushed_hash, (origin, series.before, number), hash_before);
        number
    }

    /// Makes the series known that a family has before any is put into it.
    fn index(&mut self, body: &Body<'_>, family: usize) {
        if !self.indexed.insert(family) {
            return;
        }
        let (hasher, after, empty) = (&self.hasher, &self.after, body.empty_labels());
        let hash = |handle: u32| after.hash(hasher, family, body.labels_of(body.series(handle)), empty);
        for (handle, _) in body.handles_of(&body.families[family]) {
            self.known.insert_unique(hash(handle), (family, handle, 1), |other| {
                after.hash(hasher, other.0, body.labels_of(body.series(other.1)), empty)
            });
        }
    }
}

/// The names of the labels that a group takes the place of in its series, sorted.
struct Hidden<'g>(Vec<&'g str>);

impl<'g> Hidden<'g> {
    fn by(grouping: &'g Grouping<'_>) -> Hidden<'g> {
        let given = grouping.labels().iter().map(|label| &*label.name);
        let mut names: Vec<&str> = given.chain(grouping.absent().iter().map(|name| &**name)).collect();
        names.sort_unstable();
        Hidden(names)
    }

    /// The labels that tell series apart.
    fn telling<'l, 'a>(
        &'l self,
        labels: &'l [Label<'a>],
        empty: EmptyLabels,
    ) -> impl Iterator<Item = &'l Label<'a>> + Clone {
        labels.iter().filter(move |label| {
            let is_none = label.escaped_value.is_empty() && empty == EmptyLabels::Absent;
            !is_none && self.0.binary_search(&label.name).is_err()
        })
    }

    /// A hash that does not depend on the order of the labels.
    fn hash(&self, hasher: &RandomState, family: usize, labels: &[Label<'_>], empty: EmptyLabels) -> u64 {
        self.telling(labels, empty).fold(hasher.hash_one(family), |hash, label| {
            hash.wrapping_add(hasher.hash_one((label.name, label.escaped_value)))
        })
    }

    fn are_same(&self, a: &[Label<'_>], b: &[Label<'_>], empty: EmptyLabels) -> bool {
        let (a, b) = (self.telling(a, empty), self.telling(b, empty));
        if a.clone().count() != b.clone().count() {
            return false;
        }
        // Most have the same order.
        if a.clone().eq(b.clone()) {
            return true;
        }
        let known: HashSet<&Label<'_>, RandomState> = b.collect();
        a.clone().all(|label| known.contains(label))
    }
}
