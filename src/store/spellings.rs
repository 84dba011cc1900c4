//! Labels with empty values, in a gateway that keeps them.
//!
//! Prometheus takes such a label for absent. So two label blocks that differ only in such labels are the same
//! series to it. The stock gateway shows both, and Prometheus drops one of them at each scrape.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// The label blocks with empty labels by their form without these, and the groups that have them.
#[derive(Debug, Default)]
pub struct Spellings {
    /// A group is listed once for each of its blocks.
    holders: HashMap<Box<str>, Vec<Arc<str>>, RandomState>,
    blocks: HashMap<Arc<str>, Vec<Box<str>>, RandomState>,
}

impl Spellings {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Notes that a group has a block whose form without empty labels is `block`.
    pub fn add(&mut self, group: &Arc<str>, block: &str) {
        self.holders.entry(block.into()).or_default().push(group.clone());
        self.blocks.entry(group.clone()).or_default().push(block.into());
    }

    /// Removes all blocks of a group.
    pub fn remove(&mut self, group: &str) {
        for block in self.blocks.remove(group).into_iter().flatten() {
            let Some(holders) = self.holders.get_mut(&block) else { continue };
            if let Some(at) = holders.iter().position(|holder| **holder == *group) {
                holders.swap_remove(at);
            }
            if holders.is_empty() {
                self.holders.remove(&block);
            }
        }
    }

    /// A group other than `group` that has a block whose form without empty labels is `block`.
    pub fn other_holder(&self, block: &str, group: &str) -> Option<&Arc<str>> {
        self.holders.get(block)?.iter().find(|holder| ***holder != *group)
    }

    /// The groups that have such blocks.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<str>> {
        self.blocks.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_what_their_blocks_stand_for() {
        let (a, b): (Arc<str>, Arc<str>) = ("{job=\"a\"}".into(), "{job=\"b\"}".into());
        let mut spellings = Spellings::default();
        for (group, block) in [(&a, "{x}"), (&a, "{x}"), (&b, "{x}"), (&b, "{y}")] {
            spellings.add(group, block);
        }
        assert_eq!(spellings.other_holder("{x}", &a), Some(&b));
        assert_eq!(spellings.other_holder("{x}", &b), Some(&a));
        assert_eq!(spellings.other_holder("{y}", &b), None);
        spellings.remove(&a);
        assert_eq!(spellings.other_holder("{x}", &b), None);
        assert_eq!(spellings.other_holder("{x}", &a), Some(&b));
        assert_eq!(spellings.groups().collect::<Vec<_>>(), [&b]);
        spellings.remove(&b);
        assert!(spellings.is_empty() && spellings.holders.is_empty());
    }
}
