//! Deletions by selector: what they take of a group, and what they took.
//!
//! A deletion is decided while it is applied, so that no push comes in between. To look at the labels of all series
//! takes long, so that is done before, without a lock: see [`Survey`].

mod report;
mod survey;

use std::collections::HashSet;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::model::labels::pairs;
use crate::rules::selector::{METRIC_NAME, Matcher, Selector};
use crate::store::family::Family;
use crate::store::group::Group;
use crate::store::group_labels::GroupLabels;
use crate::store::selection::Selected;

pub use report::{Deleted, DeletedPart, MOST_PARTS};
pub use survey::Survey;

/// Which groups and series a deletion takes.
#[derive(Debug, Default)]
pub struct DeletionFilter {
    /// A series goes if one of these matches its metric name and labels. A histogram or summary is one series.
    pub series: Vec<Selector>,
    /// A group goes if one of these matches its grouping labels.
    pub groups: Vec<Selector>,
    /// Groups with these keys go.
    pub keys: HashSet<Box<str>, RandomState>,
}

/// What a deletion takes of a group.
#[derive(Debug)]
pub(super) enum Taken {
    /// All of it.
    Group,
    /// These series. There may be none.
    Series(Vec<Selected>),
}

/// Which series of a family match.
enum Verdict<'a> {
    None,
    All,
    /// Those whose own labels match all matchers of one of these.
    Some(SmallVec<[Conditions<'a>; 1]>),
}

/// What of a selector is left to be decided by the labels of a series.
type Conditions<'a> = SmallVec<[&'a Matcher; 2]>;

impl DeletionFilter {
    /// Whether a whole group goes.
    pub(super) fn takes_group(&self, labels: &GroupLabels) -> bool {
        let value = |name: &str| label_of_group(labels, name).unwrap_or_default();
        let matches =
            |selector: &Selector| selector.matchers().iter().all(|one| one.matches(value(one.name())));
        self.keys.contains(&*labels.key) || self.groups.iter().any(matches)
    }

    /// Whether something of a group may go: the group, or a series of a family that names and grouping labels do
    /// not exclude.
    pub(super) fn may_take(&self, group: &Group) -> bool {
        self.takes_group(&group.labels) || self.may_take_series(group, |_| true)
    }

    /// Whether a family has series whose own labels decide.
    pub(super) fn needs_labels(&self, group: &Group) -> bool {
        !self.takes_group(&group.labels)
            && self.may_take_series(group, |verdict| matches!(verdict, Verdict::Some(_)))
    }

    fn may_take_series(&self, group: &Group, counts: impl Fn(&Verdict<'_>) -> bool) -> bool {
        let verdicts = || group.families().iter().map(|family| self.verdict(&group.labels, family));
        !self.series.is_empty()
            && verdicts().any(|verdict| !matches!(verdict, Verdict::None) && counts(&verdict))
    }

    /// What goes of a group, with the help of what a survey has found in it.
    pub(super) fn taken_of(&self, group: &Group, survey: &Survey) -> Taken {
        if self.takes_group(&group.labels) {
            return Taken::Group;
        }
        if self.series.is_empty() {
            return Taken::Series(Vec::new());
        }
        let selected = |family: &std::sync::Arc<Family>| {
            let positions = match self.verdict(&group.labels, family) {
                Verdict::None => return None,
                Verdict::All => (0..family.series_count()).collect(),
                Verdict::Some(conditions) => survey.completed(family, &conditions),
            };
            Selected::of(family, positions)
        };
        Taken::Series(group.families().iter().filter_map(selected).collect())
    }

    /// Decides as much as the metric name and the grouping labels do, which are labels of every series of the group.
    fn verdict(&self, group: &GroupLabels, family: &Family) -> Verdict<'_> {
        let mut undecided = SmallVec::new();
        for selector in &self.series {
            let mut rest = Conditions::new();
            let may_match = selector.matchers().iter().all(|one| {
                let known = match one.name() {
                    METRIC_NAME => Some(&**family.definition.name()),
                    name => label_of_group(group, name),
                };
                if known.is_none() {
                    rest.push(one);
                }
                known.is_none_or(|value| one.matches(value))
            });
            match (may_match, rest.is_empty()) {
                (false, _) => {}
                (true, true) => return Verdict::All,
                (true, false) => undecided.push(rest),
            }
        }
        if undecided.is_empty() { Verdict::None } else { Verdict::Some(undecided) }
    }

    /// How much memory it takes, in bytes, roughly.
    pub(super) fn size(&self) -> usize {
        let selectors = self.series.len() + self.groups.len();
        selectors * size_of::<Selector>() + self.keys.iter().map(|key| key.len() + 16).sum::<usize>()
    }
}

fn label_of_group<'a>(labels: &'a GroupLabels, name: &str) -> Option<&'a str> {
    labels.labels.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
}

/// The positions of the series of a family from this one on that match one of these.
fn matching(family: &Family, from: u32, any: &[Conditions<'_>]) -> impl Iterator<Item = u32> {
    let blocks = (from..).zip(family.blocks_from(from));
    blocks
        .filter(|(_, block)| any.iter().any(|all| all.iter().all(|one| is_met(one, block))))
        .map(|(at, _)| at)
}

fn is_met(matcher: &Matcher, block: &str) -> bool {
    let value = pairs(block).find(|pair| pair.name() == matcher.name()).map(|pair| pair.value());
    matcher.matches(&value.unwrap_or_default())
}
