//! State sets: the series of a family that differ only in the label with the name of the family.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use crate::model::labels::pairs;

/// The states of a family, escaped as in label blocks. With them and the labels of a set, the other series of the
/// set are found without a search through all series.
#[derive(Clone, Debug, Default)]
pub struct States {
    names: HashSet<Box<str>, RandomState>,
}

/// The parts of a label block before and after the state.
pub type Set<'a> = (&'a str, &'a str);

impl States {
    /// The states in these label blocks of a family with this name.
    pub fn of<'a>(family: &str, blocks: impl Iterator<Item = &'a str>) -> States {
        let mut states = States::default();
        blocks.for_each(|block| states.add(family, block));
        states
    }

    /// Adds the state of a series.
    pub fn add(&mut self, family: &str, block: &str) {
        if let Some((_, state)) = split(family, block)
            && !self.names.contains(state)
        {
            self.names.insert(state.into());
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// The possible label blocks of the series of a set.
    pub fn blocks(&self, (before, after): Set<'_>) -> impl Iterator<Item = String> {
        self.names.iter().map(move |state| [before, state, after].concat())
    }
}

/// Splits the label block of a series into its set and its state.
pub fn split<'a>(family: &str, block: &'a str) -> Option<(Set<'a>, &'a str)> {
    let state = pairs(block).find(|pair| pair.name() == family)?.escaped_value();
    let start = state.as_ptr() as usize - block.as_ptr() as usize;
    Some(((&block[..start], &block[start + state.len()..]), state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_stands_among_other_labels() {
        let block = r#"{a="s=\"x\"",s="o\\n",z=""}"#;
        let (set, state) = split("s", block).unwrap();
        assert_eq!((set, state), ((r#"{a="s=\"x\"",s=""#, r#"",z=""}"#), r"o\\n"));
        assert_eq!(split("b", block), None);
        let states = States::of("s", [block, r#"{s="off"}"#, r#"{s="off",z="1"}"#].into_iter());
        assert_eq!(states.count(), 2);
        assert!(states.blocks(set).any(|other| other == block));
    }
}
