//! What is known about one name.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::model::histogram::Layout;
use crate::model::kind::Kind;
use crate::model::labels::{has_empty_labels, without_empty_labels};
use crate::store::CommitMode;
use crate::store::blocks::Blocks;
use crate::store::definition::Definition;
use crate::store::free_slots::FreeSlots;
use crate::store::group_labels::{GroupLabels, Shape};
use crate::store::metadata::Texts;
use crate::store::spellings::Spellings;

/// What a live name takes beside what its families in the groups do, in bytes.
const NAME_BYTES: u64 = 512;

/// What [`Definitions`](super::Definitions) knows about one name.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) definition: Arc<Definition>,
    /// The type, which a draft may have changed.
    pub(super) kind: Kind,
    /// The groups that have the family, by their slots. Very many names have one.
    pub(super) holders: SmallVec<[Option<Arc<GroupLabels>>; 1]>,
    /// The shape of these groups, unless they are mixed.
    pub(super) shape: Shape,
    /// Help texts and units.
    pub(super) texts: Texts,
    pub(super) rare: Option<Box<Rare>>,
}

// A name of one group takes 80 bytes here.
const _: () = assert!(size_of::<Entry>() <= 80);

/// What most names do not have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    pub(super) free_slots: FreeSlots,
    pub(super) mixed: Option<Mixed>,
    pub(super) layouts: Vec<Arc<Layout>>,
    /// Of series with empty labels.
    pub(super) spellings: Option<Spellings>,
}

/// What is known about a family once its groups have had more than one shape: only then can a series belong to two
/// of them.
#[derive(Debug, Default)]
pub(super) struct Mixed {
    /// How many groups there are, by shape.
    pub(super) shapes: HashMap<Shape, u32, RandomState>,
    /// Of all series.
    pub(super) blocks: Blocks,
}

impl Rare {
    fn is_empty(&self) -> bool {
        let Rare { free_slots, mixed, layouts, spellings } = self;
        free_slots.len() == 0 && mixed.is_none() && layouts.is_empty() && spellings.is_none()
    }
}

impl Entry {
    pub(super) fn of(definition: Arc<Definition>, shape: &Shape) -> Entry {
        Entry {
            kind: definition.kind(),
            definition,
            holders: SmallVec::new(),
            shape: shape.clone(),
            texts: Texts::default(),
            rare: None,
        }
    }

    pub(super) fn mixed(&self) -> Option<&Mixed> {
        self.rare.as_ref()?.mixed.as_ref()
    }

    pub(super) fn mixed_mut(&mut self) -> Option<&mut Mixed> {
        self.rare.as_mut()?.mixed.as_mut()
    }

    pub(super) fn spellings(&self) -> Option<&Spellings> {
        self.rare.as_ref()?.spellings.as_ref()
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        **self.definition.name() == *name
    }

    pub(super) fn groups(&self) -> u32 {
        (self.holders.len() - self.free_count()) as u32
    }

    pub(super) fn free_slots(&self) -> Option<&FreeSlots> {
        Some(&self.rare.as_ref()?.free_slots)
    }

    /// Frees the slot of a group.
    pub(super) fn give_up(&mut self, slot: u32) {
        let mut end = self.holders.len() as u32;
        if slot + 1 < end {
            self.holders[slot as usize] = None;
            self.rare.get_or_insert_default().free_slots.extend([slot]);
            return;
        }
        end -= 1;
        if let Some(rare) = &mut self.rare {
            end = rare.free_slots.shorten(end);
        }
        self.holders.truncate(end as usize);
        self.rare.take_if(|rare| rare.is_empty());
    }

    /// How many slots no group has.
    pub(super) fn free_count(&self) -> usize {
        self.free_slots().map_or(0, FreeSlots::len)
    }

    pub(super) fn list<'b>(&mut self, group: &Arc<str>, blocks: impl Iterator<Item = &'b str>) {
        for block in blocks {
            if let Some(mixed) = self.mixed_mut() {
                mixed.blocks.add(block);
            }
            if has_empty_labels(block) {
                let spellings = &mut self.rare.get_or_insert_default().spellings;
                spellings.get_or_insert_default().add(group, &without_empty_labels(block));
            }
        }
    }

    pub(super) fn unlist<'b>(&mut self, group: &str, blocks: impl Iterator<Item = &'b str>) {
        let Some(rare) = &mut self.rare else { return };
        if let Some(mixed) = &mut rare.mixed {
            blocks.for_each(|block| mixed.blocks.remove(block));
        }
        if let Some(spellings) = &mut rare.spellings {
            spellings.remove(group);
        }
        rare.spellings.take_if(|spellings| spellings.is_empty());
    }
}

/// The groups of other shapes that have a family: one of them may hold a series that is new to a group.
#[derive(Clone, Copy, Debug)]
pub struct OtherShapes<'a> {
    pub(super) own: &'a Shape,
    pub(super) entry: &'a Entry,
}

impl<'a> OtherShapes<'a> {
    /// Whether one of the groups may hold a series with this label block. Another group `holds_it`, or does not.
    pub fn may_hold(self, block: &str, holds_it: impl FnOnce() -> bool) -> bool {
        let Some(mixed) = self.entry.mixed() else { return true };
        mixed.blocks.may_have_more_than(0, block)
            && mixed.blocks.may_have_more_than(usize::from(holds_it()), block)
    }

    /// The shapes.
    pub fn iter(self) -> impl Iterator<Item = &'a Shape> {
        let OtherShapes { own, entry } = self;
        let single = entry.mixed().is_none().then_some(&entry.shape);
        let many = entry.mixed().into_iter().flat_map(|mixed| mixed.shapes.keys());
        single.into_iter().chain(many).filter(move |shape| *shape != own)
    }
}

/// Gives a group this slot of a family.
pub(super) fn hold(entry: &mut Entry, slot: u32, group: &Arc<GroupLabels>, free_slots: &mut usize) {
    *free_slots -= entry.free_count();
    let end = entry.holders.len() as u32;
    if slot > end {
        entry.rare.get_or_insert_default().free_slots.extend(end..slot);
    }
    if slot >= end {
        entry.holders.resize(slot as usize + 1, None);
    }
    if let Some(rare) = &mut entry.rare {
        rare.free_slots.remove(slot);
    }
    entry.rare.take_if(|rare| rare.is_empty());
    *free_slots += entry.free_count();
    entry.holders[slot as usize] = Some(group.clone());
    if let Some(mixed) = entry.mixed_mut() {
        *mixed.shapes.entry(group.shape.clone()).or_default() += 1;
    }
}

/// Notes that a name comes, goes or changes its type; scrapes show it at once where nothing is kept back for them.
pub(super) fn note_change(
    commit_mode: CommitMode,
    holds_back: bool,
    changed: &mut HashSet<Arc<str>, RandomState>,
    entry: &Entry,
) {
    if !holds_back {
        entry.definition.show(entry.kind);
    }
    if commit_mode != CommitMode::Never {
        changed.insert(entry.definition.name.clone());
    }
}

/// What a name takes.
pub(super) fn bytes_of(name: &str) -> u64 {
    NAME_BYTES + name.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::grouping::{Grouping, GroupingLabel};

    /// The slots that are given up and taken, in order, then how many slots there are, and how many are free.
    type Case = (&'static [u32], &'static [u32], (usize, usize));

    #[test]
    fn slots_are_given_up_from_the_end() {
        let grouping = Grouping::new(vec![GroupingLabel { name: "job".into(), value: "a".into() }]);
        let labels = Arc::new(GroupLabels::of(&grouping));
        let cases: [Case; 7] = [
            (&[], &[], (4, 0)),
            (&[3], &[], (3, 0)),
            (&[1], &[], (4, 1)),
            (&[1, 2, 3], &[], (1, 0)),
            (&[0, 2, 1], &[], (4, 3)),
            (&[0, 2], &[2, 0], (4, 0)),
            (&[3, 2, 1, 0], &[2], (3, 2)),
        ];
        for (given_up, taken, expected) in cases {
            let definition = Arc::new(Definition::new("m".into(), Kind::Counter));
            let (mut entry, mut free) = (Entry::of(definition, &labels.shape), 0);
            (0..4).for_each(|slot| hold(&mut entry, slot, &labels, &mut free));
            given_up.iter().for_each(|slot| entry.give_up(*slot));
            free = entry.free_count();
            taken.iter().for_each(|slot| hold(&mut entry, *slot, &labels, &mut free));
            assert_eq!((entry.holders.len(), free), expected, "{given_up:?} {taken:?}");
            assert_eq!(free, entry.free_count());
            assert_eq!(entry.rare.is_some(), free > 0, "what is not needed takes no memory");
            assert_eq!(entry.holders.iter().filter(|holder| holder.is_some()).count() as u32, entry.groups());
        }
    }
}
