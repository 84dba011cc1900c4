//! An engine in memory for tests. It is slow and simple, and fails on request.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::kind::Kind;
use crate::persistence::engine::{CommitError, Committed, Engine, Written};
use crate::store::difference::{Difference, Established, State};
use crate::store::group::Group;
use crate::store::idempotency::Record;
use crate::store::{GroupView, Store};

/// The result of the next call of an engine.
#[derive(Clone, Debug)]
pub enum Fate {
    /// The call works.
    Works,
    /// The call fails and keeps nothing.
    Fails,
    /// The call reports a failure but keeps everything.
    KeepsAndFails,
    /// Other gateways were first.
    Overtaken(Established),
}

/// The state that the engine keeps.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    groups: BTreeMap<u64, Arc<Group>>,
    names: BTreeMap<Arc<str>, Kind>,
    keys: BTreeMap<u64, Record>,
    latest: i64,
}

impl Kept {
    fn take(&mut self, difference: &Difference) {
        self.groups.retain(|epoch, _| !difference.gone.contains(epoch));
        let changed = difference.groups.iter().map(|versions| &versions.after);
        self.groups.extend(changed.map(|group| (group.epoch, group.clone())));
        for (name, kind) in &difference.names {
            match kind {
                Some(kind) => self.names.insert(name.clone(), *kind),
                None => self.names.remove(name),
            };
        }
        self.keys.extend(difference.keys.iter().map(|record| (record.number, *record)));
        if let Some(first) = difference.first_key {
            self.keys = self.keys.split_off(&first);
        }
    }

    /// Puts all of it into an empty store.
    pub fn restore(&self, store: &Store) {
        for group in self.groups.values() {
            let mut view = GroupView::of(group);
            // Versions share the types of their names with all others, so the types are restored from `names`.
            view.families.iter_mut().for_each(|family| {
                let live = self.names.get(&family.name).copied().filter(|_| !group.is_source());
                family.kind = live.unwrap_or(family.kind);
            });
            store.restore(view);
        }
        for record in self.keys.values() {
            store.keys().restore(*record, crate::model::time::Moment::at(self.latest));
        }
        store.restored();
    }
}

#[derive(Debug, Default)]
struct Shared {
    kept: Kept,
    fates: VecDeque<Fate>,
    must_recover: bool,
}

/// The engine. Its clones share the kept state.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Shared>>);

impl Memory {
    /// Sets the results of the next calls, in order. All further calls work.
    pub fn expect(&self, fates: impl IntoIterator<Item = Fate>) {
        self.lock().fates.extend(fates);
    }

    /// The state that a crash at this moment would leave.
    pub fn kept(&self) -> Kept {
        self.lock().kept.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Memory {
    fn commit(&mut self, difference: &Difference, latest: i64) -> Result<Committed, CommitError> {
        let mut shared = self.lock();
        if shared.must_recover {
            return Err(CommitError::new("the engine has failed before"));
        }
        let fate = shared.fates.pop_front().unwrap_or(Fate::Works);
        if let Fate::Overtaken(established) = fate {
            return Ok(Committed::Overtaken(established));
        }
        if !matches!(fate, Fate::Fails) {
            shared.kept.take(difference);
            shared.kept.latest = latest;
        }
        shared.must_recover = !matches!(fate, Fate::Works);
        if shared.must_recover {
            Err(CommitError::new("told to fail"))
        } else {
            Ok(Committed::Kept(Written::default()))
        }
    }

    fn prepare_recovery(&mut self) -> Result<(), CommitError> {
        Ok(())
    }

    fn recover(&mut self, state: &State, _since: &Difference, latest: i64) -> Result<Written, CommitError> {
        let mut shared = self.lock();
        let fate = shared.fates.pop_front().unwrap_or(Fate::Works);
        if !matches!(fate, Fate::Fails | Fate::Overtaken(_)) {
            shared.kept = Kept {
                groups: state.groups.iter().map(|group| (group.epoch, group.clone())).collect(),
                names: state.names.iter().cloned().collect(),
                keys: state.keys.iter().map(|record| (record.number, *record)).collect(),
                latest,
            };
        }
        shared.must_recover = !matches!(fate, Fate::Works);
        if shared.must_recover { Err(CommitError::new("told to fail")) } else { Ok(Written::default()) }
    }

    fn written(&self) -> u64 {
        0
    }

    fn close(&mut self, latest: i64) {
        self.lock().kept.latest = latest;
    }
}
