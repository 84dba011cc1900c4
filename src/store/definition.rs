//! The meaning of each metric name across all groups, and which pushes contradict it.
//!
//! A name is defined by its first live family and free again when its last group has gone.

mod entry;
mod names;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use foldhash::fast::RandomState;

use crate::message::Excerpt;
use crate::model::escaping::Escaping;
use crate::model::histogram::Layout;
use crate::model::kind::Kind;
use crate::model::merge::{Merge, reconciled};
use crate::model::push::GROUP_FAMILIES;
use crate::model::refusal::{Cause, Other};
use crate::store::CommitMode;
use crate::store::free_slots::FreeSlots;
use crate::store::group_labels::{GroupLabels, Shape};
use crate::store::metadata::{Metadata, MetadataRef};
use crate::store::shown_names::ShownNames;
use crate::store::spellings::Spellings;
use crate::store::suffixes::check_suffixes;
use entry::{Entry, Mixed, bytes_of, hold, note_change};
use names::Names;

pub use entry::OtherShapes;

/// How many bucket layouts of a family are kept for sharing.
const SHARED_LAYOUTS: usize = 16;

/// A live metric name and its type as scrapes show it, shared by the groups that have it.
#[derive(Debug)]
pub struct Definition {
    name: Arc<str>,
    kind: AtomicU8,
    merge: Merge,
}

impl Definition {
    fn new(name: Arc<str>, kind: Kind) -> Definition {
        let merge = Merge::of(kind, &name);
        Definition { name, kind: AtomicU8::new(kind as u8), merge }
    }

    /// How the values of the family are merged where pushes are aggregated. Types that can take each other's place in a
    /// definition have the same.
    pub fn merge(&self) -> Merge {
        self.merge
    }

    /// The metric name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The type, which all groups share.
    #[inline]
    pub fn kind(&self) -> Kind {
        Kind::from_number(self.kind.load(Ordering::Relaxed)).unwrap_or(Kind::Untyped)
    }

    fn show(&self, kind: Kind) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }
}

/// A family of the gateway's own.
#[derive(Clone, Debug)]
pub struct OwnFamily {
    /// The type.
    pub kind: Kind,
    /// Whether jobs may push a family of this name and type, as they may push `process_*`.
    pub is_shared: bool,
}

/// All live definitions.
#[derive(Debug, Default)]
pub struct Definitions {
    families: Names,
    /// See [`Definitions::bytes`].
    bytes: u64,
    /// See [`Definitions::free_slots`].
    free_slots: usize,
    shown: ShownNames,
    own: HashMap<String, OwnFamily, RandomState>,
    commit_mode: CommitMode,
    /// Whether types that change are shown later.
    holds_back: bool,
    /// Names that came, went or changed their type since the last commit.
    changed: HashSet<Arc<str>, RandomState>,
    /// The names that went or changed their types, with the types that they had.
    retypings: Vec<(Arc<str>, Kind)>,
}

/// What a new family of a group gets from the definition of its name.
#[derive(Debug)]
pub struct Lease {
    /// The definition.
    pub definition: Arc<Definition>,
    /// The number of the group among those that have the family, dense and reused.
    pub slot: u32,
}

impl Definitions {
    /// No live names; `own` are those of the gateway itself.
    pub fn new(own: impl IntoIterator<Item = (String, OwnFamily)>, commit_mode: CommitMode) -> Definitions {
        Definitions {
            families: Names::default(),
            bytes: 0,
            free_slots: 0,
            shown: ShownNames::default(),
            own: own.into_iter().collect(),
            commit_mode,
            holds_back: commit_mode == CommitMode::Before,
            changed: HashSet::default(),
            retypings: Vec::new(),
        }
    }

    /// The names that came, went or changed their type since the last commit, with the types that they
    /// have now.
    pub fn changed(&self) -> impl Iterator<Item = (&Arc<str>, Option<Kind>)> {
        self.changed.iter().map(|name| (name, self.families.get(name).map(|entry| entry.kind)))
    }

    /// All live names with their types.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<str>, Kind)> {
        self.families.iter().map(|entry| (entry.definition.name(), entry.kind))
    }

    /// The definition of a name for a group that has no slot: that which the name has, if values of this type are stored
    /// alike.
    pub fn shared(&self, name: &str, kind: Kind) -> Arc<Definition> {
        match self.families.get(name).filter(|entry| entry.kind.form() == kind.form()) {
            Some(entry) => entry.definition.clone(),
            None => Arc::new(Definition::new(name.into(), kind)),
        }
    }

    /// How many live names there are.
    pub fn len(&self) -> usize {
        self.families.len()
    }

    /// Whether there is no live name.
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// What the names take beside what their families in the groups do, in bytes, roughly.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many slots of all families no group has, between those that groups have.
    pub fn free_slots(&self) -> usize {
        self.free_slots
    }

    /// By how many bytes this grows when one more group has a family of this name.
    pub fn growth_with(&self, name: &str) -> i64 {
        if self.families.contains(name) { 0 } else { bytes_of(name) as i64 }
    }

    /// By how many bytes this shrinks when one group that has the family has it no more.
    pub fn shrinkage_without(&self, name: &str) -> i64 {
        let is_last = self.families.get(name).is_some_and(|entry| entry.groups() == 1);
        if is_last { bytes_of(name) as i64 } else { 0 }
    }

    /// Marks all changes as committed, so that scrapes may show them.
    pub fn publish(&mut self) {
        for name in std::mem::take(&mut self.changed) {
            if let Some(entry) = self.families.get(&name) {
                entry.definition.show(entry.kind);
            }
        }
        self.retypings.clear();
    }

    /// How many changes of types there were of names that groups had. Those from a number on can be withdrawn until
    /// they are published.
    pub fn retypings(&self) -> usize {
        self.retypings.len()
    }

    /// Withdraws the changes of types from this one on. The families must have been given back before.
    pub fn withdraw(&mut self, from: usize) {
        for (name, kind) in self.retypings.drain(from.min(self.retypings.len())..).rev() {
            if let Some(entry) = self.families.get_mut(&name) {
                entry.kind = kind;
                note_change(self.commit_mode, self.holds_back, &mut self.changed, entry);
            }
        }
    }

    /// No change of a type can be withdrawn any more.
    pub fn forget_retypings(&mut self) {
        self.retypings.clear();
    }

    /// Whether scrapes shall show no new types for the moment. Gives whether that was so.
    pub fn hold_back(&mut self, holds_back: bool) -> bool {
        std::mem::replace(&mut self.holds_back, holds_back)
    }

    /// Lets scrapes show the types that were held back.
    pub fn show_retyped(&mut self) {
        for (name, _) in std::mem::take(&mut self.retypings) {
            if let Some(entry) = self.families.get(&name) {
                entry.definition.show(entry.kind);
            }
        }
    }

    /// Marks nothing as changed since the last commit.
    pub fn forget_changes(&mut self) {
        self.changed.clear();
    }

    /// Whether a family of this name and type contradicts the gateway's own families. With `reconciles`, untyped
    /// goes together with a type.
    ///
    /// # Errors
    ///
    /// The contradiction, in the words of the stock gateway where it has some.
    pub fn check_own(&self, name: &str, kind: Kind, reconciles: bool) -> Result<(), Cause> {
        let goes_together = |own: &OwnFamily| {
            own.kind == kind.classic() || (reconciles && reconciled(own.kind, name, kind).is_some())
        };
        match self.own.get(name) {
            Some(own) if !own.is_shared => Err(Cause::Reserved { family: Excerpt::of(name) }),
            Some(own) if !goes_together(own) => {
                Err(Cause::OwnKindConflict { family: Excerpt::of(name), pushed: kind, own: own.kind })
            }
            _ => check_suffixes(name, kind, |other| self.own.get(other).map(|own| own.kind))
                .map_err(|(cause, _)| cause),
        }
    }

    /// The type of a live name and in how many groups it is.
    pub fn live(&self, name: &str) -> Option<(Kind, u32)> {
        self.families.get(name).map(|entry| (entry.kind, entry.groups()))
    }

    /// Takes the type that another gateway has given to a name, if the name is live.
    pub fn take_kind(&mut self, name: &str, kind: Kind) {
        if let Some(entry) = self.families.get_mut(name).filter(|entry| entry.kind != kind) {
            entry.kind = kind;
            note_change(self.commit_mode, self.holds_back, &mut self.changed, entry);
        }
    }

    /// A live name, and its type.
    pub fn named(&self, name: &str) -> Option<(Arc<str>, Kind)> {
        self.families.get(name).map(|entry| (entry.definition.name().clone(), entry.kind))
    }

    /// A group other than `group` that has the family.
    pub fn holder(&self, name: &str, group: &str) -> Option<&Arc<str>> {
        let mut holders = self.families.get(name)?.holders.iter().flatten().map(|labels| &labels.key);
        holders.find(|key| ***key != *group)
    }

    /// Whether the gateway has a family of this name itself.
    pub fn is_own(&self, name: &str) -> bool {
        self.own.contains_key(name)
    }

    /// Whether a name that is not live yet would look like a live one where a scrape escapes names.
    ///
    /// # Errors
    ///
    /// What both become, and the other one.
    pub fn check_shown(&self, name: &str) -> Result<(), (Cause, Other)> {
        let is_own = |shown: &str| self.own.contains_key(shown) || GROUP_FAMILIES.contains(&shown);
        let is_legacy = |shown: &str| self.families.contains(shown) || is_own(shown);
        let Some(escaped) = self.shown.collision(name, is_legacy) else { return Ok(()) };
        let changed = (0..Escaping::CHANGING.len()).find_map(|at| self.shown.find(at, &escaped));
        let other = match changed.filter(|changed| ***changed != *name) {
            Some(changed) => Other::Family(changed.to_string()),
            None if is_own(&escaped) => Other::Gateway,
            None => Other::Family(escaped.clone()),
        };
        Err((Cause::CollidingName { family: Excerpt::of(name), escaped: Excerpt::of(&escaped) }, other))
    }

    /// The live names that are no legacy names, as they are shown.
    pub fn shown(&self) -> &ShownNames {
        &self.shown
    }

    /// The groups of other shapes than `own` that have this family; none where there are none.
    pub fn other_shapes<'a>(&'a self, name: &str, own: &'a Shape) -> Option<OtherShapes<'a>> {
        let entry = self.families.get(name)?;
        let shapes = OtherShapes { own, entry };
        shapes.iter().next().is_some().then_some(shapes)
    }

    /// Must come before a group of this shape leases a family: from its second shape on, all series of the family
    /// are listed. `visit` calls back with the label blocks that the group with a key has of the family.
    pub fn expect_shape(&mut self, name: &str, shape: &Shape, visit: impl Fn(&str, &mut dyn FnMut(&str))) {
        let Some(entry) = self.families.get_mut(name) else { return };
        if entry.mixed().is_some() || entry.shape == *shape {
            return;
        }
        let mut mixed = Mixed::default();
        mixed.shapes.insert(entry.shape.clone(), entry.groups());
        for labels in entry.holders.iter().flatten() {
            visit(&labels.key, &mut |block| mixed.blocks.add(block));
        }
        entry.rare.get_or_insert_default().mixed = Some(mixed);
    }

    /// Registers that one more group has the family.
    pub fn lease(&mut self, name: &str, kind: Kind, group: &Arc<GroupLabels>) -> Lease {
        let entry = match self.families.get_mut(name) {
            Some(entry) => entry,
            None => {
                let definition = Arc::new(Definition::new(name.into(), kind));
                self.bytes += bytes_of(name);
                self.shown.add(&definition.name);
                let entry = Entry::of(definition, &group.shape);
                note_change(self.commit_mode, self.holds_back, &mut self.changed, &entry);
                self.families.insert(entry)
            }
        };
        if entry.kind != kind {
            self.retypings.push((entry.definition.name.clone(), entry.kind));
            entry.kind = kind;
            note_change(self.commit_mode, self.holds_back, &mut self.changed, entry);
        }
        // The first ones, so that the last ones can be given up.
        let slot = entry.free_slots().and_then(FreeSlots::first).unwrap_or(entry.holders.len() as u32);
        hold(entry, slot, group, &mut self.free_slots);
        Lease { definition: entry.definition.clone(), slot }
    }

    /// Registers that a group has a family with these label blocks as it had it before, under this definition and in
    /// this slot.
    pub fn lease_again<'b>(
        &mut self,
        Lease { definition, slot }: Lease,
        group: &Arc<GroupLabels>,
        blocks: impl Iterator<Item = &'b str>,
    ) {
        let entry = match self.families.get_mut(definition.name()) {
            Some(entry) => entry,
            None => {
                self.bytes += bytes_of(definition.name());
                self.shown.add(definition.name());
                let entry = Entry::of(definition.clone(), &group.shape);
                self.families.insert(entry)
            }
        };
        note_change(self.commit_mode, self.holds_back, &mut self.changed, entry);
        entry.definition = definition;
        hold(entry, slot, group, &mut self.free_slots);
        entry.list(&group.key, blocks);
    }

    /// Changes the type of a live name that a group has. Where no other group has it, or values have another form,
    /// the name gets another definition: no version that was seen before changes its meaning.
    pub fn retyped(&mut self, name: &str, kind: Kind) -> Option<Arc<Definition>> {
        let entry = self.families.get_mut(name)?;
        if entry.kind != kind {
            if entry.groups() == 1 || entry.kind.form() != kind.form() {
                entry.definition = Arc::new(Definition::new(entry.definition.name.clone(), kind));
            }
            self.retypings.push((entry.definition.name.clone(), entry.kind));
            entry.kind = kind;
            note_change(self.commit_mode, self.holds_back, &mut self.changed, entry);
        }
        Some(entry.definition.clone())
    }

    /// Takes back what [`Definitions::lease`] gave to a group that has these label blocks of the family.
    pub fn release<'b>(
        &mut self,
        name: &str,
        slot: u32,
        group: &Arc<GroupLabels>,
        blocks: impl Iterator<Item = &'b str>,
    ) {
        let Some(entry) = self.families.get_mut(name) else { return };
        if entry.holders.get(slot as usize).is_some_and(Option::is_some) {
            self.free_slots -= entry.free_count();
            entry.give_up(slot);
            self.free_slots += entry.free_count();
            if entry.holders.capacity() > 2 * entry.holders.len() {
                entry.holders.shrink_to_fit();
            }
        }
        if entry.groups() == 0 {
            self.retypings.push((entry.definition.name.clone(), entry.kind));
            note_change(self.commit_mode, self.holds_back, &mut self.changed, entry);
            self.families.remove(name);
            // All slots were given up with the last one.
            self.bytes -= bytes_of(name);
            self.shown.remove(name);
            return;
        }
        entry.unlist(&group.key, blocks);
        if let Some(mixed) = entry.mixed_mut()
            && let Some(groups) = mixed.shapes.get_mut(&group.shape)
        {
            *groups -= 1;
            if *groups == 0 {
                mixed.shapes.remove(&group.shape);
            }
        }
    }

    /// The series of a family that have empty labels; none where there are none.
    pub fn spellings(&self, name: &str) -> Option<&Spellings> {
        self.families.get(name)?.spellings()
    }

    /// The groups that have series with empty labels; those of several families come several times.
    pub fn groups_with_spellings(&self) -> impl Iterator<Item = &Arc<str>> {
        self.families.iter().filter_map(Entry::spellings).flat_map(Spellings::groups)
    }

    /// Whether the series of a family are listed, some of them at least: then [`Definitions::list`] and
    /// [`Definitions::unlist`] must follow what changes.
    pub fn is_listed(&self, name: &str) -> bool {
        self.families.get(name).is_some_and(|entry| entry.mixed().is_some() || entry.spellings().is_some())
    }

    /// Notes that a group has got series of the family with these label blocks.
    pub fn list<'b>(&mut self, name: &str, group: &Arc<str>, blocks: impl Iterator<Item = &'b str>) {
        if let Some(entry) = self.families.get_mut(name) {
            entry.list(group, blocks);
        }
    }

    /// Notes that all series of the family that a group has go. These are their label blocks.
    pub fn unlist<'b>(&mut self, name: &str, group: &str, blocks: impl Iterator<Item = &'b str>) {
        if let Some(entry) = self.families.get_mut(name) {
            entry.unlist(group, blocks);
        }
    }

    /// The shared copy of the help text and unit of a family. `None` if there are none.
    pub fn metadata(&mut self, name: &str, texts: MetadataRef<'_>) -> Option<Arc<Metadata>> {
        self.families.get_mut(name)?.texts.shared(texts)
    }

    /// Bucket layouts of this family that a new series may share.
    pub fn layouts(&self, name: &str) -> Vec<Arc<Layout>> {
        self.families
            .get(name)
            .and_then(|entry| entry.rare.as_ref())
            .map_or_else(Vec::new, |rare| rare.layouts.clone())
    }

    /// Offers a bucket layout for sharing.
    pub fn share_layout(&mut self, name: &str, layout: &Arc<Layout>) {
        let Some(entry) = self.families.get_mut(name) else { return };
        let layouts = &mut entry.rare.get_or_insert_default().layouts;
        if layouts.len() < SHARED_LAYOUTS && !layouts.iter().any(|known| Arc::ptr_eq(known, layout)) {
            layouts.push(layout.clone());
        }
    }
}
