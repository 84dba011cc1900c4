//! What is known about one name.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::histogram::Layout;
use crate::model::kind::Kind;
use crate::model::labels::{has_empty_labels, without_empty_labels};
use crate::store::Tracking;
use crate::store::blocks::Blocks;
use crate::store::definition::{Definition, Holder, Shape};
use crate::store::free_slots::FreeSlots;
use crate::store::spellings::Spellings;
use crate::store::texts::Texts;

/// What a live name takes beside what its families in the groups do, in bytes.
const NAME_BYTES: u64 = 512;

/// What [`Definitions`](super::Definitions) knows about one name.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) definition: Arc<Definition>,
    /// The type, which a draft may have changed.
    pub(super) kind: Kind,
    /// The keys of the groups that have the family, by their slots.
    pub(super) holders: Vec<Option<Arc<str>>>,
    pub(super) free_slots: FreeSlots,
    /// The shape of these groups, unless they are mixed.
    pub(super) shape: Shape,
    /// Help texts and units.
    pub(super) texts: Texts,
    pub(super) rare: Option<Box<Rare>>,
}

/// What most names do not have.
#[derive(Debug, Default)]
pub(super) struct Rare {
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

impl Entry {
    pub(super) fn of(definition: Arc<Definition>, shape: &Shape) -> Entry {
        Entry {
            kind: definition.kind(),
            definition,
            holders: Vec::with_capacity(1),
            free_slots: FreeSlots::default(),
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

    pub(super) fn groups(&self) -> u32 {
        (self.holders.len() - self.free_slots.len()) as u32
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
pub(super) fn hold(entry: &mut Entry, slot: u32, group: Holder<'_>, free_slots: &mut usize) {
    *free_slots -= entry.free_slots.len();
    let end = entry.holders.len() as u32;
    entry.free_slots.extend(end..=slot);
    if end <= slot {
        entry.holders.resize(slot as usize + 1, None);
    }
    entry.free_slots.remove(slot);
    *free_slots += entry.free_slots.len();
    entry.holders[slot as usize] = Some(group.key.clone());
    if let Some(mixed) = entry.mixed_mut() {
        *mixed.shapes.entry(group.shape.clone()).or_default() += 1;
    }
}

/// Notes that a name comes, goes or changes its type; scrapes show it at once where nothing is kept back for them.
pub(super) fn note_change(
    tracking: Tracking,
    holds_back: bool,
    changed: &mut HashSet<Arc<str>, RandomState>,
    entry: &Entry,
) {
    if !holds_back {
        entry.definition.show(entry.kind);
    }
    if tracking != Tracking::Nothing {
        changed.insert(entry.definition.name.clone());
    }
}

/// What a name takes.
pub(super) fn bytes_of(name: &str) -> u64 {
    NAME_BYTES + name.len() as u64
}
