//! Series that become equal if a scrape escapes their label names.
//!
//! `{"a.b"="1"}` and `{a_b="1"}` are two series if names are quoted, but the same text if `.` becomes `_`.
//! Prometheus would keep one of them and drop the other, so the gateway shows only one: the one without escaped
//! names, or else the one whose label block sorts first.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::model::escaping::Escaping;
use crate::model::labels::{has_quoted_names, pairs, write_block};

/// The label blocks of a family that are not shown.
#[derive(Debug)]
pub(super) struct Doubles {
    hidden: HashSet<Box<str>, RandomState>,
}

impl Doubles {
    /// Finds the hidden series among those with these label blocks.
    pub(super) fn among<'a, I: Iterator<Item = &'a str>>(
        blocks: impl Fn() -> I,
        escaping: Escaping,
    ) -> Doubles {
        let mut hidden = HashSet::default();
        // Holds only series with escaped names, because there are usually many without.
        let mut shown: HashMap<String, &'a str, RandomState> = HashMap::default();
        for block in blocks().filter(|block| has_quoted_names(block)) {
            let first = shown.entry(label_set(block, escaping)).or_insert(block);
            if *first != block {
                hidden.insert(std::cmp::max(*first, block).into());
                *first = std::cmp::min(*first, block);
            }
        }
        for block in blocks().filter(|block| !has_quoted_names(block)) {
            if let Some(escaped) = shown.remove(&label_set(block, escaping)) {
                hidden.insert(escaped.into());
            }
        }
        Doubles { hidden }
    }

    /// Whether the series with this label block is hidden.
    pub(super) fn hide(&self, block: &str) -> bool {
        self.hidden.contains(block)
    }
}

/// The labels of a series as Prometheus reads them: sorted, and without empty ones.
fn label_set(block: &str, escaping: Escaping) -> String {
    let labels = pairs(block).filter(|pair| !pair.escaped_value().is_empty());
    let mut labels: Vec<_> =
        labels.map(|pair| (escaping.label_name(&pair.name()).into_owned(), pair.escaped_value())).collect();
    labels.sort_unstable();
    let mut set = String::with_capacity(block.len());
    write_block(&mut set, labels);
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_those_that_become_the_same_is_shown() {
        let blocks = [
            r#"{"a.b"="1",instance="",job="x"}"#,
            r#"{a_b="1",instance="",job="x"}"#,
            r#"{"a.b"="2",instance="",job="x"}"#,
            r#"{"a b"="2",instance="",job="x"}"#,
            r#"{"a-b"="2",instance="",job="x"}"#,
            r#"{a0="3","a.b"="4"}"#,
            r#"{"a.b"="5"}"#,
        ];
        let hidden = |escaping| {
            let doubles = Doubles::among(|| blocks.into_iter(), escaping);
            (0..blocks.len()).filter(|at| doubles.hide(blocks[*at])).collect::<Vec<_>>()
        };
        assert_eq!(hidden(Escaping::Underscores), [0, 2, 4]);
        assert_eq!(hidden(Escaping::Dots), [4]);
        assert_eq!(hidden(Escaping::Values), [0; 0]);
    }
}
