//! The sources of a group, a page at a time, in the order that is asked for.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Asker, Missing, SourcePage, Window, cut};
use crate::gateway::Gateway;
use crate::store::{GroupView, RowValue};

/// A query for the sources of a group.
#[derive(Debug)]
pub struct SourceQuery {
    /// What they are sorted by. Equal ones are sorted by their labels.
    pub sort: SourceSort,
    /// Whether the order is descending.
    pub is_descending: bool,
    /// The part of the list to return.
    pub window: Window,
}

/// What sources are sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSort {
    /// Their labels.
    Name,
    /// The latest push.
    Pushed,
    /// The number of pushes.
    Pushes,
    /// The largest value in the family of this name, or the largest count. Sources without one come last in any order.
    Value(String),
}

/// A source and what its place depends on.
struct Entry {
    key: Arc<str>,
    pushed_at: i64,
    pushes: u64,
    value: Option<f64>,
}

impl SourceQuery {
    fn entry(&self, key: Arc<str>, source: &GroupView) -> Entry {
        let value = match &self.sort {
            SourceSort::Value(family) => largest(source, family),
            _ => None,
        };
        Entry { key, pushed_at: source.times.pushed_at, pushes: source.times.pushes, value }
    }

    fn compare(&self, a: &Entry, b: &Entry) -> Ordering {
        let turned = |order: Ordering| if self.is_descending { order.reverse() } else { order };
        let order = match self.sort {
            SourceSort::Name => return turned(a.key.cmp(&b.key)),
            SourceSort::Pushed => turned(a.pushed_at.cmp(&b.pushed_at)),
            SourceSort::Pushes => turned(a.pushes.cmp(&b.pushes)),
            SourceSort::Value(_) => match (a.value, b.value) {
                (Some(a), Some(b)) => turned(a.total_cmp(&b)),
                (a, b) => b.is_some().cmp(&a.is_some()),
            },
        };
        order.then_with(|| a.key.cmp(&b.key))
    }
}

/// The largest value of a source in a family. A histogram or a summary counts with its number of observations.
fn largest(source: &GroupView, family: &str) -> Option<f64> {
    let family = source.families.iter().find(|one| *one.name == *family)?;
    let values = family.series().map(|series| match series.value {
        RowValue::Number(value) => value,
        RowValue::Summary(summary) => summary.count.value().as_f64(),
        RowValue::Histogram(histogram) => histogram.count().as_f64(),
    });
    values.filter(|value| !value.is_nan()).max_by(f64::total_cmp)
}

impl Gateway {
    /// Some sources of a group.
    ///
    /// # Errors
    ///
    /// If there is no such group, or the client has gone.
    pub fn browse_sources(
        &self,
        key: &str,
        query: &SourceQuery,
        asker: &Asker,
    ) -> Result<SourcePage, Missing> {
        self.store.visit_group(key, |_| ()).ok_or(Missing::Group)?;
        let mut entries = Vec::new();
        for source in self.store.source_keys(key) {
            asker.still_waits()?;
            // One that goes meanwhile is left out.
            if let Some(view) = self.store.source(&source) {
                entries.push(query.entry(source, &view));
            }
        }
        let total = entries.len();
        let entries = cut(entries, query.window, |a, b| query.compare(a, b));
        let sources = entries.iter().filter_map(|entry| self.store.source(&entry.key)).collect();
        Ok(SourcePage { total, sources })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(sort: SourceSort, is_descending: bool) -> Vec<&'static str> {
        let query = SourceQuery { sort, is_descending, window: Window { offset: 0, limit: 9 } };
        let entry = |(key, pushed_at, pushes, value): (&'static str, i64, u64, Option<f64>)| {
            (key, Entry { key: key.into(), pushed_at, pushes, value })
        };
        let mut entries = [
            ("a", 3, 1, Some(-0.5)),
            ("b", 1, 2, None),
            ("c", 2, 2, Some(f64::INFINITY)),
            ("d", 2, 1, None),
            ("e", 4, 9, Some(7.0)),
        ]
        .map(entry);
        entries.sort_by(|(_, a), (_, b)| query.compare(a, b));
        entries.map(|(key, _)| key).to_vec()
    }

    #[test]
    fn sources_without_a_value_come_last() {
        let value = || SourceSort::Value("f".to_owned());
        assert_eq!(order(value(), false), ["a", "e", "c", "b", "d"]);
        assert_eq!(order(value(), true), ["c", "e", "a", "b", "d"]);
        assert_eq!(order(SourceSort::Name, true), ["e", "d", "c", "b", "a"]);
        assert_eq!(order(SourceSort::Pushed, false), ["b", "c", "d", "a", "e"]);
        assert_eq!(order(SourceSort::Pushes, true), ["e", "b", "c", "a", "d"]);
    }
}
