//! Where a transaction reads and writes groups: the published ones, or a draft over them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::store::Store;
use crate::store::draft::Draft;
use crate::store::effects::{Effects, Tally};
use crate::store::group::Group;
use crate::store::group_labels::source_key;
use crate::store::groups::{Changed, Groups, Held};
use crate::store::structure::Structure;

/// The published groups, seen through drafts if there are any.
pub(super) struct Space<'a> {
    groups: &'a Groups,
    /// A draft below that is read only.
    under: Option<&'a Draft>,
    /// The draft that is changed.
    draft: Option<&'a mut Draft>,
}

/// Exclusive access to a group.
pub(super) enum Handle<'a> {
    /// A published group, whose guard is held.
    Published(Held<'a>),
    /// A group of a draft.
    Drafted(&'a mut Arc<Group>),
}

impl Handle<'_> {
    /// The group.
    pub(super) fn group(&self) -> &Group {
        match self {
            Handle::Published(held) => held.group(),
            Handle::Drafted(group) => group,
        }
    }

    /// Whether a change is visible at once.
    #[inline]
    pub(super) fn is_published(&self) -> bool {
        matches!(self, Handle::Published(_))
    }

    /// The group for changes.
    #[inline]
    pub(super) fn edit(&mut self) -> &mut Group {
        match self {
            Handle::Published(held) => held.edit(),
            Handle::Drafted(group) => Arc::make_mut(group),
        }
    }

    /// Whether a change has to wait for the structure, because another transaction drafts over the published
    /// groups.
    #[inline]
    pub(super) fn waits_for(&self, store: &Store) -> bool {
        matches!(self, Handle::Published(_)) && store.is_drafting.load(Ordering::SeqCst)
    }

    /// Notes the number of the idempotency key that came with a change. Returns false if the group has not changed.
    /// All keys of a draft are committed with the draft.
    pub(super) fn note_key(&mut self, number: u64) -> bool {
        match self {
            Handle::Published(held) => held.note_key(number),
            Handle::Drafted(_) => true,
        }
    }
}

impl<'a> Space<'a> {
    /// The published groups.
    pub(super) fn published(groups: &'a Groups) -> Space<'a> {
        Space { groups, under: None, draft: None }
    }

    /// A draft over them.
    pub(super) fn drafted(groups: &'a Groups, draft: &'a mut Draft) -> Space<'a> {
        Space { groups, under: None, draft: Some(draft) }
    }

    /// Puts another draft over this.
    pub(super) fn with<'b>(&'b self, draft: &'b mut Draft) -> Space<'b> {
        Space { groups: self.groups, under: self.draft.as_deref(), draft: Some(draft) }
    }

    /// Adopts a draft that is over this: publishes it, or makes it a part of the draft here. Returns the replaced
    /// versions.
    pub(super) fn take_in(
        &mut self,
        draft: Draft,
        store: &Store,
        structure: &mut Structure,
    ) -> Vec<Arc<Group>> {
        match &mut self.draft {
            Some(own) => {
                let mut replaced = Vec::new();
                own.is_structural |= draft.is_structural;
                own.effects.add(draft.effects);
                for (key, version) in draft.groups {
                    replaced.extend(own.groups.insert(key, version).flatten());
                }
                replaced
            }
            None => store.publish_locked(draft, structure),
        }
    }

    /// Notes that groups, families or series come or go.
    pub(super) fn note_structural(&mut self) {
        if let Some(draft) = &mut self.draft {
            draft.is_structural = true;
        }
    }

    /// Lets what was done have its effects: now, or with a draft.
    pub(super) fn settle(&mut self, effects: Effects, store: &Store, structure: &mut Structure) {
        match &mut self.draft {
            Some(draft) => draft.effects.add(effects),
            None => store.settle(effects, structure),
        }
    }

    /// The same where nothing is to be over.
    pub(super) fn count(&mut self, tally: Tally, store: &Store) {
        match &mut self.draft {
            Some(draft) => draft.effects.add(Effects { tally, ..Effects::default() }),
            None => store.tallies.add(tally),
        }
    }

    /// Whether this changes a draft.
    pub(super) fn is_draft(&self) -> bool {
        self.draft.is_some()
    }

    fn of_draft(&self, key: &str) -> Option<&Option<Arc<Group>>> {
        let of = |draft: &'a Draft| draft.groups.get(key);
        let own = self.draft.as_ref().and_then(|draft| draft.groups.get(key));
        own.or_else(|| self.under.and_then(of))
    }

    /// The group with this key.
    pub(super) fn get(&self, key: &str) -> Option<Arc<Group>> {
        match self.of_draft(key) {
            Some(drafted) => drafted.clone(),
            None => self.groups.get(key),
        }
    }

    /// Whether there is a group with this key.
    pub(super) fn contains(&self, key: &str) -> bool {
        match self.of_draft(key) {
            Some(drafted) => drafted.is_some(),
            None => self.groups.contains(key),
        }
    }

    /// Reads a group.
    pub(super) fn read<T>(&self, key: &str, read: impl FnOnce(&Group) -> T) -> Option<T> {
        match self.of_draft(key) {
            Some(drafted) => drafted.as_deref().map(read),
            None => self.groups.read(key, read),
        }
    }

    /// Changes or reads a group with exclusive access.
    #[inline]
    pub(super) fn hold<T>(&mut self, key: &str, change: impl FnOnce(Handle<'_>) -> T) -> Option<T> {
        let Some(draft) = &mut self.draft else {
            return self.groups.hold(key, |held| change(Handle::Published(held)));
        };
        let drafted = match draft.groups.get_mut(key) {
            Some(drafted) => drafted,
            None => {
                let under = below(self.groups, self.under, key)?;
                draft.groups.entry(under.labels.key.clone()).or_insert(Some(under))
            }
        };
        drafted.as_mut().map(|group| change(Handle::Drafted(group)))
    }

    /// Adds a group that does not exist.
    pub(super) fn insert(&mut self, group: Group) {
        let group = Arc::new(group);
        match &mut self.draft {
            Some(draft) => {
                draft.groups.insert(group.labels.key.clone(), Some(group));
            }
            None => self.groups.insert(group),
        }
    }

    /// Removes a group if `goes` says so. Returns it with what has to be committed.
    pub(super) fn remove_if(&mut self, key: &str, goes: impl FnOnce(&Group) -> bool) -> Option<Changed> {
        let Some(draft) = &mut self.draft else { return self.groups.remove_if(key, goes) };
        let version = match draft.groups.get_mut(key) {
            Some(drafted) => drafted.take_if(|group| goes(group))?,
            None => {
                let under = below(self.groups, self.under, key).filter(|group| goes(group))?;
                draft.groups.insert(under.labels.key.clone(), None);
                under
            }
        };
        Some(Changed { before: None, version, keys: Default::default() })
    }

    /// Whether a group has sources. Those of a draft count if they have folded values.
    pub(super) fn has_sources(&self, target: &str) -> bool {
        let is_drafted = self.under.is_some() || self.draft.is_some();
        self.groups.has_sources(target)
            || (is_drafted && self.read(target, Group::has_folds).unwrap_or(false))
    }

    /// The keys of the sources of a group, in order.
    pub(super) fn sources_of(&self, target: &str) -> Vec<Arc<str>> {
        let mut keys = self.groups.sources_of(target);
        let first = source_key(target, "");
        let drafts = [self.under, self.draft.as_deref()];
        let drafted = drafts.into_iter().flatten().flat_map(|draft| draft.groups.keys());
        keys.extend(drafted.filter(|key| key.starts_with(&first)).cloned());
        keys.retain(|key| self.contains(key));
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Visits all groups, sources too, in no order.
    pub(super) fn each(&self, mut each: impl FnMut(&Arc<Group>)) {
        self.groups.each(|group| {
            if self.of_draft(&group.labels.key).is_none() {
                each(group);
            }
        });
        let own = self.draft.as_deref();
        let is_below = |key: &str| own.is_none_or(|own| !own.groups.contains_key(key));
        let below = self.under.into_iter().flat_map(|under| &under.groups).filter(|(key, _)| is_below(key));
        below
            .chain(own.into_iter().flat_map(|own| &own.groups))
            .filter_map(|(_, group)| group.as_ref())
            .for_each(each);
    }

    /// The keys of all groups, sources too.
    pub(super) fn keys(&self) -> Vec<Arc<str>> {
        let mut keys = Vec::new();
        self.groups.each(|group| keys.push(group.labels.key.clone()));
        let drafts = [self.under, self.draft.as_deref()];
        let drafted = drafts.into_iter().flatten().flat_map(|draft| draft.groups.keys());
        keys.extend(drafted.filter(|key| !self.groups.contains(key)).cloned());
        keys.retain(|key| self.contains(key));
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// The group with this key in a draft, or else the published one.
fn below(groups: &Groups, under: Option<&Draft>, key: &str) -> Option<Arc<Group>> {
    match under.and_then(|under| under.groups.get(key)) {
        Some(drafted) => drafted.clone(),
        None => groups.get(key),
    }
}
