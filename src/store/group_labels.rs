//! The labels of a group, and what follows from them.

use std::sync::Arc;

use crate::model::grouping::{Grouping, GroupingLabel};
use crate::model::labels::{has_quoted_names, pairs};

/// The names of the grouping labels of some groups, sorted. Two groups whose grouping labels have
/// the same names differ in a value, and so can never hold the same series.
pub type Shape = Arc<[Box<str>]>;

/// Stands between the key of a target and the name of a source. No key of a group that is shown has one.
pub(in crate::store) const SOURCE_MARK: char = '\0';

/// The key of a source.
pub fn source_key(target: &str, source: &str) -> String {
    format!("{target}{SOURCE_MARK}{source}")
}

/// The labels of a group and what follows from them.
#[derive(Debug)]
pub struct GroupLabels {
    /// The grouping labels, sorted by name.
    pub labels: Vec<(Box<str>, Box<str>)>,
    /// The identity of the group: its labels as a label block.
    pub key: Arc<str>,
    /// The label block of the group's own series.
    pub series_block: Box<str>,
    /// Whether any label name needs quotes.
    pub has_quoted_names: bool,
    /// Whether the group is a source of that which the labels are of, and not shown.
    pub is_source: bool,
    /// The names of the grouping labels.
    pub shape: Shape,
}

impl GroupLabels {
    /// The labels of the group that this grouping names.
    pub fn of(grouping: &Grouping<'_>) -> GroupLabels {
        let labels = grouping.labels();
        GroupLabels {
            labels: labels.iter().map(|l| ((&*l.name).into(), (&*l.value).into())).collect(),
            key: grouping.key().into(),
            series_block: grouping.series_block().into(),
            has_quoted_names: has_quoted_names(grouping.key()),
            is_source: false,
            shape: shape_of(grouping),
        }
    }

    /// The job; empty for a group without one.
    pub fn job(&self) -> &str {
        self.labels.iter().find(|(name, _)| &**name == "job").map_or("", |(_, value)| value)
    }

    /// The labels of a source of this group.
    pub fn of_source(grouping: &Grouping<'_>, source: &str) -> GroupLabels {
        let key = source_key(grouping.key(), source).into();
        GroupLabels { key, is_source: true, ..GroupLabels::of(grouping) }
    }

    /// The key of the group that it is a source of; none for a group that is no source.
    pub fn target(&self) -> Option<&str> {
        if self.is_source { self.key.split_once(SOURCE_MARK).map(|(target, _)| target) } else { None }
    }

    /// What tells a source apart from the others of its target; none for a group that is no source.
    pub fn source(&self) -> Option<&str> {
        if self.is_source { self.key.split_once(SOURCE_MARK).map(|(_, source)| source) } else { None }
    }

    /// The grouping that names this group.
    pub fn grouping(&self) -> Grouping<'static> {
        let label = |(name, value): &(Box<str>, Box<str>)| GroupingLabel {
            name: name.to_string().into(),
            value: value.to_string().into(),
        };
        Grouping::new(self.labels.iter().map(label).collect())
    }
}

/// The names of the labels in the key of a grouping.
pub fn shape_of(grouping: &Grouping<'_>) -> Shape {
    pairs(grouping.key()).map(|pair| Box::from(pair.name())).collect()
}
