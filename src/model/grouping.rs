//! Grouping labels: the labels in the path of a push, which all its series get.

mod limits;

use std::borrow::Cow;

use crate::model::labels::{EmptyLabels, INSTANCE, block_of};

pub use limits::OverLimit;

/// One grouping label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupingLabel<'a> {
    /// The label name.
    pub name: Cow<'a, str>,
    /// The label value.
    pub value: Cow<'a, str>,
}

/// The grouping labels of a request, sorted by name, and the key of their group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping<'a> {
    labels: Vec<GroupingLabel<'a>>,
    /// The names of labels that no series of the request has: grouping labels with empty values, if these count as
    /// absent.
    absent: Vec<Cow<'a, str>>,
    key: String,
}

impl<'a> Grouping<'a> {
    /// The grouping for these labels, as in the stock gateway. If a name is repeated, the last label counts.
    pub fn new(labels: Vec<GroupingLabel<'a>>) -> Grouping<'a> {
        Grouping::with(labels, EmptyLabels::Kept)
    }

    /// As [`Grouping::new`], with this treatment of labels with empty values.
    pub fn with(mut labels: Vec<GroupingLabel<'a>>, empty_labels: EmptyLabels) -> Grouping<'a> {
        // The sort is stable, so the last of several equal names stays last.
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        labels.reverse();
        labels.dedup_by(|later, kept| later.name == kept.name);
        labels.reverse();
        let mut absent = Vec::new();
        if empty_labels == EmptyLabels::Absent {
            labels.retain(|label| {
                if label.value.is_empty() {
                    absent.push(label.name.clone());
                }
                !label.value.is_empty()
            });
        }
        // An empty `instance` does not make another group, because the own series of both would be the same.
        let key = block(labels.iter().filter(|label| !is_empty_instance(label)));
        Grouping { labels, absent, key }
    }

    /// The same grouping, owning its labels.
    pub fn to_static(&self) -> Grouping<'static> {
        let owned = |text: &str| Cow::Owned(text.to_owned());
        let label = |label: &GroupingLabel<'_>| GroupingLabel {
            name: owned(&label.name),
            value: owned(&label.value),
        };
        Grouping {
            labels: self.labels.iter().map(label).collect(),
            absent: self.absent.iter().map(|name| owned(name)).collect(),
            key: self.key.clone(),
        }
    }

    /// The labels, sorted by name.
    pub fn labels(&self) -> &[GroupingLabel<'a>] {
        &self.labels
    }

    /// The names of labels that no series of the request has, sorted.
    pub fn absent(&self) -> &[Cow<'a, str>] {
        &self.absent
    }

    /// The identity of the group: its labels as a label block, without an empty `instance`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether any label has an empty value, `instance` aside.
    pub fn has_empty_labels(&self) -> bool {
        self.labels.iter().any(|label| label.value.is_empty() && label.name != INSTANCE)
    }

    /// The key that the group would have if labels with empty values were kept. `None` if it is the same.
    pub fn key_with_empty_labels(&self) -> Option<String> {
        let empty = |name: &Cow<'a, str>| GroupingLabel { name: name.clone(), value: Cow::Borrowed("") };
        let mut labels: Vec<_> = self.absent.iter().filter(|name| **name != *INSTANCE).map(empty).collect();
        if labels.is_empty() {
            return None;
        }
        labels.extend(self.labels.iter().cloned());
        Some(Grouping::new(labels).key)
    }

    /// Whether `instance` is a grouping label. If not, series without that label get an empty one.
    pub fn has_instance(&self) -> bool {
        self.labels.iter().any(|label| label.name == INSTANCE)
    }

    /// The label block of the group's own series, such as its `push_time_seconds`.
    pub fn series_block(&self) -> String {
        if self.has_instance() {
            return block(self.labels.iter());
        }
        let instance = GroupingLabel { name: Cow::Borrowed(INSTANCE), value: Cow::Borrowed("") };
        let before = self.labels.partition_point(|label| *label.name < *INSTANCE);
        let (before, after) = self.labels.split_at(before);
        block(before.iter().chain([&instance]).chain(after))
    }
}

fn is_empty_instance(label: &GroupingLabel<'_>) -> bool {
    label.name == INSTANCE && label.value.is_empty()
}

fn block<'b>(labels: impl Iterator<Item = &'b GroupingLabel<'b>>) -> String {
    block_of(labels.map(|label| (&*label.name, &*label.value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouping(labels: &[(&'static str, &'static str)]) -> Grouping<'static> {
        Grouping::new(labels.iter().map(|(name, value)| label(name, value)).collect())
    }

    fn label(name: &'static str, value: &'static str) -> GroupingLabel<'static> {
        GroupingLabel { name: Cow::Borrowed(name), value: Cow::Borrowed(value) }
    }

    #[test]
    fn order_does_not_matter_and_the_last_of_a_name_counts() {
        let a = grouping(&[("job", "x"), ("b", "1"), ("a", "\"")]);
        assert_eq!(a.key(), r#"{a="\"",b="1",job="x"}"#);
        assert_eq!(a, grouping(&[("a", "\""), ("b", "0"), ("job", "x"), ("b", "1")]));
        assert_eq!(a.series_block(), r#"{a="\"",b="1",instance="",job="x"}"#);
    }

    #[test]
    fn an_empty_instance_makes_no_other_group() {
        let plain = grouping(&[("job", "x")]);
        let spelled = grouping(&[("job", "x"), ("instance", "")]);
        assert_eq!((spelled.key(), spelled.series_block()), (plain.key(), plain.series_block()));
        assert_eq!(spelled.labels().len(), 2);
        assert_ne!(grouping(&[("job", "x"), ("instance", "i")]).key(), plain.key());
    }

    #[test]
    fn empty_labels_are_absent_or_kept() {
        let labels = || vec![label("job", "x"), label("b", ""), label("instance", ""), label("a", "1")];
        let kept = Grouping::with(labels(), EmptyLabels::Kept);
        assert_eq!(kept.key(), r#"{a="1",b="",job="x"}"#);
        assert_eq!(kept.series_block(), r#"{a="1",b="",instance="",job="x"}"#);
        assert!(kept.has_instance() && kept.absent().is_empty());
        let absent = Grouping::with(labels(), EmptyLabels::Absent);
        assert_eq!(absent.key(), r#"{a="1",job="x"}"#);
        assert_eq!(absent.series_block(), r#"{a="1",instance="",job="x"}"#);
        assert_eq!(absent.absent(), ["b", "instance"]);
        assert_eq!(absent.to_static(), absent);
        assert_eq!(absent.key_with_empty_labels().as_deref(), Some(kept.key()));
        assert_eq!(kept.key_with_empty_labels(), None);
    }
}
