//! Between the store and its disk: what a commit has to write, and what becomes of the changes when it
//! has succeeded or failed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::model::grouping::Grouping;
use crate::model::time::Moment;
use crate::store::change::{Change, PieceKey, Times, Tracking};
use crate::store::family::{Family, Metadata};
use crate::store::group::Group;
use crate::store::{Gone, GroupView, Store, Structure};

/// What a commit concerned: while it is not known whether it reached the disk, the state of these there
/// is in doubt.
#[derive(Debug, Default)]
pub struct Doubt {
    /// The groups, by the name that they have on disk and by key.
    pub groups: Vec<(u64, Arc<str>)>,
    /// The metric names.
    pub names: Vec<Arc<str>>,
    /// The numbers of the idempotency keys.
    pub keys: Vec<u64>,
}

impl Doubt {
    /// How much is in doubt.
    pub fn len(&self) -> usize {
        self.groups.len() + self.names.len() + self.keys.len()
    }

    /// Whether nothing is in doubt.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds what another commit concerned. While the disk fails for long, the same things come again and
    /// again.
    pub fn extend(&mut self, other: Doubt) {
        self.groups.extend(other.groups);
        self.groups.sort_unstable_by_key(|(epoch, _)| *epoch);
        self.groups.dedup_by_key(|(epoch, _)| *epoch);
        self.names.extend(other.names);
        self.names.sort_unstable();
        self.names.dedup();
        self.keys.extend(other.keys);
        self.keys.sort_unstable();
        self.keys.dedup();
    }
}

impl Store {
    /// Puts back a group that was there before. Must not be one that is there.
    pub fn restore(&self, view: GroupView) {
        let mut structure = self.lock();
        self.restore_into(view, &mut structure);
    }

    /// Gives a group the times that it had before. One that is not there yet is created for it.
    /// False where it can't be there beside another.
    pub fn restore_times(&self, grouping: &Grouping<'_>, times: Times) -> bool {
        self.push_failed(grouping, Moment::at(times.created_at));
        match self.groups.get_mut(grouping.key()) {
            Some(mut group) => {
                group.times = times;
                true
            }
            None => false,
        }
    }

    /// Everything restored so far is on disk.
    pub fn restored(&self) {
        let mut structure = self.lock();
        structure.definitions.settle();
        structure.first_key = self.keys.first();
    }

    /// Calls `each` with everything that has changed since the last commit.
    ///
    /// With [`Tracking::Touched`] the changes count as written then. With [`Tracking::Versions`]
    /// either [`Store::publish`] or [`Store::take_back`] must follow before the next request is
    /// applied.
    pub fn collect(&self, each: impl FnMut(Change<'_>)) -> Doubt {
        self.collect_from(&mut self.hold(), each)
    }

    /// The same with everything that is needed to make sure of what is on disk of what is in doubt, all of it
    /// as it is at one moment. What is collected is in doubt then, too.
    pub fn collect_all_of(&self, doubt: &mut Doubt, mut each: impl FnMut(Change<'_>)) {
        let mut structure = self.hold();
        doubt.extend(self.collect_from(&mut structure, |_| {}));
        let mut keys = doubt.keys.clone();
        for (epoch, key) in &doubt.groups {
            each(Change::GroupGone { group: *epoch });
            if let Some(mut group) = self.groups.get_mut(key).filter(|group| group.epoch == *epoch) {
                keys.extend(pending_keys(&group));
                whole_group(&mut group, &mut each);
            }
        }
        for name in &doubt.names {
            let kind = structure.definitions.live(name).map(|(kind, _)| kind);
            each(Change::Kind { name, kind });
        }
        each(Change::KeysGone { from: 0, to: self.keys.first() });
        if let Some(first) = doubt.keys.first().filter(|_| self.tracking == Tracking::Versions) {
            // Requests with these keys were not applied after all.
            each(Change::KeysGone { from: *first, to: u64::MAX });
        }
        self.each_key(keys, &mut each);
    }

    fn collect_from(&self, structure: &mut Structure, mut each: impl FnMut(Change<'_>)) -> Doubt {
        let mut doubt = Doubt::default();
        for gone in &structure.gone {
            each(Change::GroupGone { group: gone.epoch });
            doubt.groups.push((gone.epoch, gone.key.clone()));
        }
        for (name, kind) in structure.definitions.changed() {
            each(Change::Kind { name, kind });
            doubt.names.push(name.clone());
        }
        let mut keys = structure.gone_keys.clone();
        let touched = match self.tracking {
            Tracking::Versions => self.touched().clone(),
            _ => std::mem::take(&mut *self.touched()),
        };
        for key in touched {
            let Some(mut group) = self.groups.get_mut(&key) else { continue };
            // A group that has gone and come again is in the list twice.
            if group.changes().is_none() {
                continue;
            }
            keys.extend(pending_keys(&group));
            doubt.groups.push((group.epoch, key));
            group_changes(&mut group, &mut each);
            if self.tracking == Tracking::Touched {
                group.settle();
            }
        }
        doubt.keys = self.each_key(keys, &mut each);
        let first = self.keys.first();
        if first != structure.first_key {
            structure.first_key = first;
            each(Change::KeysGone { from: 0, to: first });
        }
        if self.tracking == Tracking::Touched {
            structure.settle();
        }
        doubt
    }

    /// Calls `each` with the keys of these numbers that are still remembered. Gives the numbers, sorted.
    fn each_key(&self, mut numbers: Vec<u64>, each: &mut impl FnMut(Change<'_>)) -> Vec<u64> {
        numbers.sort_unstable();
        numbers.dedup();
        for record in numbers.iter().filter_map(|number| self.keys.get(*number)) {
            each(Change::Key(&record));
        }
        numbers
    }

    /// What was collected is on disk: scrapes may show it.
    pub fn publish(&self) {
        let mut structure = self.hold();
        let touched = std::mem::take(&mut *self.touched());
        for key in touched {
            if let Some(mut group) = self.groups.get_mut(&key) {
                group.settle();
            }
        }
        let gone = structure.settle();
        drop(structure);
        // A wiped store takes its time to be given back; nobody has to wait for that.
        drop(gone);
    }

    /// What was collected is not on disk: everything becomes as it was published. `first_key` is the
    /// number that the first idempotency key since then would have got.
    pub fn take_back(&self, first_key: u64) {
        let mut structure = self.lock();
        structure.definitions.take_back();
        let touched = std::mem::take(&mut *self.touched());
        let gone = std::mem::take(&mut structure.gone);
        let mut before: Vec<Group> = gone.into_iter().filter_map(|gone| gone.group).collect();
        structure.gone_keys.clear();
        for key in touched {
            let Some((_, group)) = self.groups.remove(&key) else { continue };
            self.forget(&group, &mut structure);
            before.push(group);
        }
        for view in before.iter().filter_map(|group| self.view(group)) {
            self.restore_into(view, &mut structure);
        }
        structure.definitions.settle();
        self.keys.forget_from(first_key);
    }

    /// Calls `each` with everything that there is, as it is at one moment: a key is among it if and only if
    /// what came with it is.
    pub fn all(&self, mut each: impl FnMut(Change<'_>)) {
        let structure = self.hold();
        // Values go on changing. What has its key by now is seen below; what comes later is seen or not, and
        // if it is, its key waits in its group.
        let mut keys: Vec<u64> = self.keys.from(0).iter().map(|record| record.number).collect();
        for mut group in self.groups.iter_mut() {
            keys.extend(pending_keys(&group));
            whole_group(&mut group, &mut each);
        }
        for (name, kind) in structure.definitions.all() {
            each(Change::Kind { name, kind: Some(kind) });
        }
        self.each_key(keys, &mut each);
        drop(structure);
        self.forget_gone_touches();
    }

    /// Shortens the list of touched groups by those that have gone, and by repetitions.
    fn forget_gone_touches(&self) {
        // No lock may be held while a guard is taken.
        let mut touched = std::mem::take(&mut *self.touched());
        touched.sort_unstable();
        touched.dedup();
        touched.retain(|key| self.groups.contains_key(key));
        self.touched().append(&mut touched);
    }

    pub(super) fn restore_into(&self, view: GroupView, structure: &mut Structure) {
        structure.next_epoch = structure.next_epoch.max(view.epoch);
        let created = Moment::at(view.times.created_at);
        let mut group = Group::new(view.labels, structure.slot(), view.epoch, created);
        group.times = view.times;
        group.set_small(view.is_small);
        let mut families = view.families;
        families.sort_by(|a, b| a.name.cmp(&b.name));
        for family in families {
            self.expect_shape(&family.name, &group.labels.shape, structure);
            let lease = structure.definitions.lease(&family.name, family.kind, group.labels.holder());
            let mut restored = Family::new(lease, structure.epoch(), family.number);
            let mut share = |text: Arc<str>| structure.definitions.text(&family.name, &text);
            restored.metadata = Metadata {
                help: family.metadata.help.map(&mut share),
                unit: family.metadata.unit.map(&mut share),
            };
            restored.pushed_at = family.pushed_at;
            restored.restore(family.pieces);
            structure.definitions.list(&family.name, &group.labels.key, restored.blocks_from(0));
            restored.share_layout(&mut structure.definitions);
            group.restore(restored);
        }
        self.insert(group, structure);
        self.count_names(structure);
    }

    /// Gives back what a group holds of the structure, when it has left the map.
    pub(super) fn forget(&self, group: &Group, structure: &mut Structure) {
        group.release(&mut structure.definitions);
        self.count_names(structure);
        structure.spelled.remove(&group.labels.key);
        structure.free_slot(group.slot);
        self.group_count.fetch_sub(1, Ordering::Relaxed);
        self.series_count.fetch_sub(group.series() as i64, Ordering::Relaxed);
        self.bytes.fetch_sub(group.bytes() as i64, Ordering::Relaxed);
    }
}

impl Structure {
    /// What has changed is on disk. Gives the groups that have gone.
    fn settle(&mut self) -> Vec<Gone> {
        self.definitions.settle();
        self.gone_keys.clear();
        std::mem::take(&mut self.gone)
    }
}

/// The numbers of the idempotency keys that came with what is not written yet.
fn pending_keys(group: &Group) -> impl Iterator<Item = u64> {
    group.changes().into_iter().flat_map(|changes| changes.keys.iter().copied())
}

fn header(group: u64, family: &Family) -> Change<'_> {
    Change::Family {
        group,
        family: family.number,
        name: family.definition.name(),
        metadata: &family.metadata,
    }
}

/// Everything that has changed in a group.
fn group_changes(group: &mut Group, each: &mut impl FnMut(Change<'_>)) {
    let outgrows = group.outgrows();
    let group = &*group;
    let Some(changes) = group.changes() else { return };
    let epoch = group.epoch;
    for (number, _) in &changes.gone {
        each(Change::FamilyGone { group: epoch, family: *number });
    }
    if changes.is_new {
        each(Change::Group { group: epoch, labels: &group.labels });
    }
    for family in group.families() {
        let Some(changes) = family.changes() else { continue };
        let at = |number| PieceKey { group: epoch, family: family.number, number };
        let pieces = family.pieces();
        let count = pieces.len() as u32;
        if count < changes.pieces_before {
            each(Change::PiecesGone { from: at(count) });
        }
        if changes.is_new || changes.has_new_metadata {
            each(header(epoch, family));
        }
        for number in changes.labels.iter().take_while(|number| *number < count) {
            each(Change::Labels { at: at(number), piece: &pieces[number as usize] });
        }
    }
    if group.is_small() {
        each(Change::Small { group: epoch, times: group.times, families: group.families() });
        return;
    }
    each(Change::Times { group: epoch, times: group.times });
    for family in group.families() {
        if outgrows {
            all_values(epoch, family, each);
            continue;
        }
        let Some(changes) = family.changes() else { continue };
        // The first row holds the push time of the family.
        let count = family.pieces().len() as u32;
        let first = (count == 0 || !changes.values.has(0)).then_some(0);
        let touched = changes.values.iter().take_while(|number| *number < count);
        first.into_iter().chain(touched).for_each(|number| values(epoch, family, number, each));
    }
}

/// Everything that there is of a group.
fn whole_group(group: &mut Group, each: &mut impl FnMut(Change<'_>)) {
    group.outgrows();
    let group = &*group;
    let epoch = group.epoch;
    each(Change::Group { group: epoch, labels: &group.labels });
    for family in group.families() {
        each(header(epoch, family));
        for (number, piece) in family.pieces().iter().enumerate() {
            let at = PieceKey { group: epoch, family: family.number, number: number as u32 };
            each(Change::Labels { at, piece });
        }
    }
    if group.is_small() {
        each(Change::Small { group: epoch, times: group.times, families: group.families() });
    } else {
        each(Change::Times { group: epoch, times: group.times });
        group.families().iter().for_each(|family| all_values(epoch, family, each));
    }
}

fn all_values(group: u64, family: &Family, each: &mut impl FnMut(Change<'_>)) {
    (0..(family.pieces().len() as u32).max(1)).for_each(|number| values(group, family, number, each));
}

fn values(group: u64, family: &Family, number: u32, each: &mut impl FnMut(Change<'_>)) {
    let at = PieceKey { group, family: family.number, number };
    let piece = family.pieces().get(number as usize).map(|piece| &**piece);
    each(Change::Values { at, pushed_at: family.pushed_at, piece });
}
