//! The labels of a group, and what follows from them.

use std::sync::Arc;

use crate::model::grouping::{Grouping, GroupingLabel};
use crate::model::labels::{has_quoted_names, pairs};
use crate::store::definition::{Holder, Shape};

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
            shape: shape_of(grouping),
        }
    }

    /// The grouping that names this group.
    pub fn grouping(&self) -> Grouping<'static> {
        let label = |(name, value): &(Box<str>, Box<str>)| GroupingLabel {
            name: name.to_string().into(),
            value: value.to_string().into(),
        };
        Grouping::new(self.labels.iter().map(label).collect())
    }

    /// The group as one that has a family.
    pub fn holder(&self) -> Holder<'_> {
        Holder { key: &self.key, shape: &self.shape }
    }
}

/// The names of the labels in the key of a grouping.
pub fn shape_of(grouping: &Grouping<'_>) -> Shape {
    pairs(grouping.key()).map(|pair| Box::from(pair.name())).collect()
}
