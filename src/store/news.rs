//! What other gateways have committed to an engine that several share, and how a store takes it in.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::kind::Kind;
use crate::model::time::Moment;
use crate::store::draft::Draft;
use crate::store::family::Family;
use crate::store::group::{Group, Held, NO_SLOT};
use crate::store::idempotency::Record;
use crate::store::restore::{expect_ends, family_of, family_of_source, without_families};
use crate::store::shareable::Shareable;
use crate::store::structure::Structure;
use crate::store::{FamilyView, GroupView, Store};

/// What other gateways have committed since this one has looked.
#[derive(Debug, Default)]
pub struct News {
    /// Whether this is everything that there is: groups and names that are not in it are gone.
    pub is_all: bool,
    /// The keys of deleted groups. One of them may be in `groups` again.
    pub gone: Vec<Arc<str>>,
    /// The new and changed groups, whole, with the types that names have now. What has not changed in a group has the pieces that the store has.
    pub groups: Vec<GroupView>,
    /// The types of metric names that came or changed. `None` for names that are gone.
    pub kinds: Vec<(Arc<str>, Option<Kind>)>,
    /// The new idempotency keys, by number.
    pub keys: Vec<Record>,
    /// The number that the next key gets at least.
    pub next_key: u64,
    /// How many commits these are, if that is known.
    pub commits: u64,
    /// The latest time that is recorded, in nanoseconds since the epoch.
    pub latest: i64,
}

impl Store {
    /// Takes in what others have committed. A scrape sees all of it or nothing. There must be no draft.
    pub fn catch_up(&self, news: News, now: Moment) {
        let mut structure = self.hold();
        let mut catching_up = CatchingUp {
            store: self,
            draft: self.draft_under(&structure),
            kinds: news.kinds.into_iter().collect(),
            held: Vec::new(),
            to_recount: BTreeSet::new(),
        };
        catching_up.groups(news.is_all, news.gone, news.groups, &mut structure);
        let CatchingUp { draft, .. } = catching_up;
        if news.is_all {
            self.keys.forget_from(0);
        }
        for record in news.keys {
            // Those that the store has already are the same.
            if record.number >= self.keys.next() {
                self.keys.restore(record, now);
            }
        }
        self.keys.begin_at(news.next_key);
        // What this gateway has forgotten is not removed from the rows by what others did.
        let first_key = structure.first_key;
        let replaced = self.publish_locked(draft, &mut structure);
        structure.first_key = first_key;
        self.count_names(&structure);
        drop(structure);
        drop(replaced);
    }

    /// The published version of a group.
    pub fn version(&self, key: &str) -> Option<Arc<Group>> {
        self.groups.get(key)
    }

    /// The type of a live metric name.
    pub fn kind_of(&self, name: &str) -> Option<(Arc<str>, Kind)> {
        self.hold().definitions.named(name)
    }
}

/// A store that takes in news.
struct CatchingUp<'a> {
    store: &'a Store,
    /// The new versions. All that is counted is as if they were published.
    draft: Draft,
    kinds: HashMap<Arc<str>, Option<Kind>, RandomState>,
    /// Which folded series sources have got and have no more, by the key of the target.
    held: Vec<(Arc<str>, Held)>,
    /// The keys of targets whose series must be looked up in all their sources.
    to_recount: BTreeSet<Arc<str>>,
}

impl CatchingUp<'_> {
    fn groups(
        &mut self,
        is_all: bool,
        gone: Vec<Arc<str>>,
        views: Vec<GroupView>,
        structure: &mut Structure,
    ) {
        let mut after: HashMap<Arc<str>, Option<GroupView>, RandomState> = HashMap::default();
        if is_all {
            self.store.groups.each(|group| drop(after.insert(group.labels.key.clone(), None)));
        }
        after.extend(gone.into_iter().map(|key| (key, None)));
        for mut view in views {
            view.families.sort_by(|a, b| a.name.cmp(&b.name));
            structure.next_epoch = structure.next_epoch.max(view.epoch);
            after.insert(view.labels.key.clone(), Some(view));
        }
        // All that goes gives its names back before anything that comes takes one.
        for (key, view) in &after {
            if let Some(before) = self.store.groups.get(key) {
                self.release(&before, view.as_ref(), structure);
            }
        }
        self.draft.is_structural |= !self.kinds.is_empty();
        for (name, kind) in &self.kinds {
            if let Some(kind) = kind {
                structure.definitions.take_kind(name, *kind);
            }
        }
        // A source comes after its target, whose definitions it shares.
        let (sources, others): (Vec<_>, Vec<_>) =
            after.into_iter().partition(|(_, view)| view.as_ref().is_some_and(|view| view.labels.is_source));
        for (key, view) in others.into_iter().chain(sources) {
            let before = self.store.groups.get(&key);
            let version = view.map(|view| Arc::new(self.version(before.as_deref(), view, structure)));
            self.note_holders(before.as_deref(), version.as_deref());
            self.draft.groups.insert(key, version);
        }
        self.count_holders();
    }

    /// Releases what a version of a group has of names and does not go on with.
    fn release(&mut self, before: &Group, view: Option<&GroupView>, structure: &mut Structure) {
        let Some(view) = view.filter(|view| view.epoch == before.epoch) else {
            self.draft.is_structural = true;
            self.store.forget(before, structure);
            return;
        };
        self.store.count(before, -1);
        if before.is_source() {
            return;
        }
        for family in before.families() {
            if !find(view, family).is_some_and(|view| family.is_continued_by(view)) {
                self.draft.is_structural = true;
                before.release_family(family, &mut structure.definitions);
            }
        }
    }

    /// The version of a group that a view describes.
    fn version(&mut self, before: Option<&Group>, view: GroupView, structure: &mut Structure) -> Group {
        let before = before.filter(|before| before.epoch == view.epoch);
        let is_source = view.labels.is_source;
        let slot = match before {
            Some(before) => before.slot,
            None if is_source => NO_SLOT,
            None => structure.slot(),
        };
        let (mut group, families) = without_families(view, slot);
        if let Some(before) = before {
            group.keep_sessions_of(before);
        }
        let mut shareable = before.map(Group::shareable).unwrap_or_default();
        for view in families {
            let known = before.and_then(|before| before.shared_family(&view.name));
            match known.filter(|family| family.is_continued_by(&view)) {
                Some(family) if family.is_same_as(&view) => group.restore_shared(family.clone()),
                Some(family) => {
                    let family = self.continued(family, view, &group, &mut shareable, structure);
                    group.restore_shared(Arc::new(family));
                }
                None => {
                    self.draft.is_structural = true;
                    let family = self.new_family(view, &group, &mut shareable, structure);
                    group.restore(family);
                }
            }
        }
        match before {
            Some(_) => self.store.count(&group, 1),
            None => {
                self.draft.is_structural = true;
                self.store.welcome(&group, structure);
            }
        }
        expect_ends(&group, |subject, deadline| self.draft.effects.ends.push((subject, deadline)));
        group
    }

    /// A family with the series that it had, and perhaps more.
    fn continued(
        &mut self,
        family: &Family,
        view: FamilyView,
        group: &Group,
        shareable: &mut Shareable,
        structure: &mut Structure,
    ) -> Family {
        let name = view.name.clone();
        let metadata = if group.is_source() {
            None
        } else {
            structure.definitions.metadata(&name, view.metadata.texts())
        };
        let mut after = family.continued_with(view, shareable);
        after.set_metadata(metadata);
        let first_new = family.series_count();
        if after.series_count() > first_new {
            self.draft.is_structural = true;
            if !group.is_source() && structure.definitions.is_listed(&name) {
                structure.definitions.list(&name, &group.labels.key, after.blocks_from(first_new));
            }
        }
        after
    }

    /// A family that the group did not have, or not with these series.
    fn new_family(
        &mut self,
        view: FamilyView,
        group: &Group,
        shareable: &mut Shareable,
        structure: &mut Structure,
    ) -> Family {
        if group.is_source() {
            return family_of_source(view, structure, shareable);
        }
        let name = view.name.clone();
        let visit = |key: &str, each: &mut dyn FnMut(&str)| match self.draft.groups.get(key) {
            Some(version) => version.iter().for_each(|group| group.blocks_of(&name).for_each(&mut *each)),
            None => {
                self.store.groups.read(key, |group| group.blocks_of(&name).for_each(&mut *each));
            }
        };
        let family = family_of(view, &group.labels, structure, shareable, visit);
        if family.fold().is_some() {
            self.to_recount.insert(group.labels.key.clone());
        }
        family
    }

    /// Notes which folded series a source has got, and has no more.
    fn note_holders(&mut self, before: Option<&Group>, after: Option<&Group>) {
        let Some(labels) = before.or(after).map(|group| &group.labels).filter(|labels| labels.is_source)
        else {
            return;
        };
        let Some(target) = labels.target() else { return };
        let held = Held::between(before, after);
        if !held.is_empty() {
            self.held.push((target.into(), held));
        }
    }

    /// Brings up to date how many sources have the series of targets.
    fn count_holders(&mut self) {
        for key in std::mem::take(&mut self.to_recount) {
            let mut sources: BTreeSet<Arc<str>> = self.store.groups.sources_of(&key).into_iter().collect();
            let of_target = |group: &&Arc<Group>| group.labels.target().is_some_and(|target| *target == *key);
            let drafted = self.draft.groups.values().flatten().filter(of_target);
            sources.extend(drafted.map(|group| group.labels.key.clone()));
            let sources: Vec<Arc<Group>> = sources.iter().filter_map(|source| self.current(source)).collect();
            self.held.retain(|(target, _)| **target != *key);
            self.amend(&key, |target| {
                target.forget_holders(&target.folded());
                sources.iter().for_each(|source| target.count_holders_of(source));
            });
        }
        for (key, held) in std::mem::take(&mut self.held) {
            self.amend(&key, |target| drop(target.count_holders(&held)));
        }
    }

    /// The version of a group as it will be.
    fn current(&self, key: &str) -> Option<Arc<Group>> {
        match self.draft.groups.get(key) {
            Some(version) => version.clone(),
            None => self.store.groups.get(key),
        }
    }

    fn amend(&mut self, key: &Arc<str>, change: impl FnOnce(&mut Group)) {
        let Some(mut group) = self.current(key) else { return };
        change(Arc::make_mut(&mut group));
        self.draft.groups.insert(key.clone(), Some(group));
    }
}

fn find<'a>(view: &'a GroupView, family: &Family) -> Option<&'a FamilyView> {
    let found = view.families.binary_search_by(|other| other.name.cmp(family.definition.name()));
    found.ok().map(|at| &view.families[at])
}
