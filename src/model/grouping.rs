//! Grouping labels: what the path of a push says about all series in it.

use std::borrow::Cow;

use crate::model::labels::{escape, write_pair};

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
    key: String,
}

impl<'a> Grouping<'a> {
    /// The grouping of these labels. Of labels with the same name the last one counts.
    pub fn new(mut labels: Vec<GroupingLabel<'a>>) -> Grouping<'a> {
        // Stable, so that the last of several equal names stays last.
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        labels.reverse();
        labels.dedup_by(|later, kept| later.name == kept.name);
        labels.reverse();
        let mut key = Vec::with_capacity(48);
        key.push(b'{');
        for (at, label) in labels.iter().enumerate() {
            if at > 0 {
                key.push(b',');
            }
            write_pair(&mut key, &label.name, &escape(&label.value));
        }
        key.push(b'}');
        Grouping { labels, key: String::from_utf8(key).unwrap_or_default() }
    }

    /// The same grouping, owning its labels.
    pub fn to_static(&self) -> Grouping<'static> {
        let owned = |text: &str| Cow::Owned(text.to_owned());
        let label = |label: &GroupingLabel<'_>| GroupingLabel {
            name: owned(&label.name),
            value: owned(&label.value),
        };
        Grouping { labels: self.labels.iter().map(label).collect(), key: self.key.clone() }
    }

    /// The labels, sorted by name.
    pub fn labels(&self) -> &[GroupingLabel<'a>] {
        &self.labels
    }

    /// The identity of the group: its labels as a label block.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether `instance` is a grouping label. Where it is not, series without one get an empty one.
    pub fn has_instance(&self) -> bool {
        self.labels.iter().any(|label| label.name == "instance")
    }

    /// The label block of the group's own series, such as its `push_time_seconds`.
    pub fn series_block(&self) -> String {
        self.with_instance().key
    }

    /// The same grouping with an `instance` label: as it is, else an empty one is added.
    pub fn with_instance(&self) -> Grouping<'a> {
        if self.has_instance() {
            return self.clone();
        }
        let instance = GroupingLabel { name: Cow::Borrowed("instance"), value: Cow::Borrowed("") };
        Grouping::new(self.labels.iter().cloned().chain([instance]).collect())
    }

    /// The only other grouping whose own series would be the same: that with an empty `instance`
    /// label where this one has none, or the other way round.
    pub fn twin(&self) -> Option<Grouping<'a>> {
        if !self.has_instance() {
            return Some(self.with_instance());
        }
        let is_empty_instance = |l: &GroupingLabel<'_>| l.name == "instance" && l.value.is_empty();
        self.labels
            .iter()
            .any(is_empty_instance)
            .then(|| Grouping::new(self.labels.iter().filter(|l| !is_empty_instance(l)).cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouping(labels: &[(&'static str, &'static str)]) -> Grouping<'static> {
        let label = |(name, value): &(&'static str, &'static str)| GroupingLabel {
            name: Cow::Borrowed(*name),
            value: Cow::Borrowed(*value),
        };
        Grouping::new(labels.iter().map(label).collect())
    }

    #[test]
    fn order_does_not_matter_and_the_last_of_a_name_counts() {
        let a = grouping(&[("job", "x"), ("b", "1"), ("a", "\"")]);
        assert_eq!(a.key(), r#"{a="\"",b="1",job="x"}"#);
        assert_eq!(a, grouping(&[("a", "\""), ("b", "0"), ("job", "x"), ("b", "1")]));
        assert_eq!(a.series_block(), r#"{a="\"",b="1",instance="",job="x"}"#);
    }

    #[test]
    fn twins_differ_by_an_empty_instance() {
        let plain = grouping(&[("job", "x")]);
        let twin = grouping(&[("job", "x"), ("instance", "")]);
        assert_eq!(plain.twin().as_ref(), Some(&twin));
        assert_eq!(twin.twin(), Some(plain));
        assert_eq!(grouping(&[("job", "x"), ("instance", "i")]).twin(), None);
    }
}
