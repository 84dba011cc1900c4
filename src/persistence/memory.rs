//! An engine in memory for tests. It is slow and simple, and fails on request.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::kind::Kind;
use crate::persistence::engine::{CommitError, Committed, Engine, Recovery, Written};
use crate::store::difference::{Difference, State};
use crate::store::group::Group;
use crate::store::idempotency::Record;
use crate::store::news::News;
use crate::store::{GroupView, Store};

/// The result of the next call that writes.
#[derive(Clone, Debug)]
pub enum Fate {
    /// The call works.
    Works,
    /// The call fails and keeps nothing.
    Fails,
    /// The call reports a failure but keeps everything.
    KeepsAndFails,
}

/// The state that the engine keeps.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    groups: BTreeMap<u64, Arc<Group>>,
    names: BTreeMap<Arc<str>, Kind>,
    keys: BTreeMap<u64, Record>,
    next_key: u64,
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
        self.next_key = self.next_key.max(difference.next_key().unwrap_or_default());
        if let Some(first) = difference.first_key {
            self.keys = self.keys.split_off(&first);
        }
    }

    /// Puts all of it into an empty store.
    pub fn restore(&self, store: &Store) {
        self.views().for_each(|view| store.restore(view));
        for record in self.keys.values() {
            store.keys().restore(*record, crate::model::time::Moment::at(self.latest));
        }
        store.keys().begin_at(self.next_key);
        store.restored();
    }

    fn views(&self) -> impl Iterator<Item = GroupView> {
        self.groups.values().map(|group| {
            let mut view = GroupView::of(group);
            // Versions share the types of their names with all others, so the types are restored from `names`.
            view.families.iter_mut().for_each(|family| {
                let live = self.names.get(&family.name).copied().filter(|_| !group.is_source());
                family.kind = live.unwrap_or(family.kind);
            });
            view
        })
    }

    fn news(&self) -> News {
        News {
            is_all: true,
            gone: Vec::new(),
            groups: self.views().collect(),
            kinds: self.names.iter().map(|(name, kind)| (name.clone(), Some(*kind))).collect(),
            keys: self.keys.values().copied().collect(),
            next_key: self.next_key,
            commits: 0,
            latest: self.latest,
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    kept: Kept,
    fates: VecDeque<Fate>,
    /// How many of the next calls that write nothing fail.
    failing_reads: u64,
    /// How many commits there were.
    commits: u64,
}

/// The engine. Its clones share the kept state.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    shared: Arc<Mutex<Shared>>,
    /// The number of the last commit that the gateway has seen; `None` if the engine is not shared.
    seen: Option<u64>,
    must_recover: bool,
}

impl Memory {
    /// An engine that several gateways share, each of which must [`join`](Memory::join).
    pub fn shared() -> Memory {
        Memory { seen: Some(0), ..Memory::default() }
    }

    /// The engine of one more gateway, whose empty store gets what is kept.
    pub fn join(&self, store: &Store) -> Memory {
        let shared = self.lock();
        shared.kept.restore(store);
        Memory { shared: self.shared.clone(), seen: Some(shared.commits), must_recover: false }
    }

    /// Sets the results of the next calls that write, in order. All further calls work.
    pub fn expect(&self, fates: impl IntoIterator<Item = Fate>) {
        self.lock().fates.extend(fates);
    }

    /// Makes the next `calls` calls of `begin`, `look` and `prepare_recovery` fail.
    pub fn fail_reads(&self, calls: u64) {
        self.lock().failing_reads = calls;
    }

    /// The state that a crash at this moment would leave.
    pub fn kept(&self) -> Kept {
        self.lock().kept.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail_if_told(&mut self) -> Result<(), CommitError> {
        let mut shared = self.lock();
        let Some(left) = shared.failing_reads.checked_sub(1) else { return Ok(()) };
        shared.failing_reads = left;
        drop(shared);
        self.must_recover = true;
        Err(CommitError::new("told to fail"))
    }
}

impl Engine for Memory {
    fn begin(&mut self, store: &Store) -> Result<Option<News>, CommitError> {
        self.look(store)
    }

    fn commit(&mut self, difference: &Difference, latest: i64) -> Result<Committed, CommitError> {
        if self.must_recover {
            return Err(CommitError::new("the engine has failed before"));
        }
        let mut shared = self.lock();
        if self.seen.is_some_and(|seen| seen < shared.commits) {
            return Ok(Committed::Overtaken);
        }
        let fate = shared.fates.pop_front().unwrap_or(Fate::Works);
        if !matches!(fate, Fate::Fails) {
            shared.kept.take(difference);
            shared.kept.latest = latest;
            shared.commits += 1;
        }
        let commits = shared.commits;
        drop(shared);
        self.must_recover = !matches!(fate, Fate::Works);
        if self.must_recover {
            return Err(CommitError::new("told to fail"));
        }
        self.seen = self.seen.map(|_| commits);
        Ok(Committed::Kept(Written::default()))
    }

    fn look(&mut self, _store: &Store) -> Result<Option<News>, CommitError> {
        self.fail_if_told()?;
        let shared = self.lock();
        let commits = shared.commits;
        if self.seen.is_none_or(|seen| seen == commits) {
            return Ok(None);
        }
        let news = shared.kept.news();
        drop(shared);
        self.seen = Some(commits);
        Ok(Some(news))
    }

    fn prepare_recovery(&mut self) -> Result<Recovery, CommitError> {
        self.fail_if_told()?;
        if self.seen.is_none() {
            return Ok(Recovery::Write);
        }
        self.must_recover = false;
        Ok(Recovery::Look)
    }

    fn recover(&mut self, state: &State, _since: &Difference, latest: i64) -> Result<Written, CommitError> {
        let mut shared = self.lock();
        let fate = shared.fates.pop_front().unwrap_or(Fate::Works);
        if !matches!(fate, Fate::Fails) {
            shared.kept = Kept {
                groups: state.groups.iter().map(|group| (group.epoch, group.clone())).collect(),
                names: state.names.iter().cloned().collect(),
                keys: state.keys.iter().map(|record| (record.number, *record)).collect(),
                next_key: shared.kept.next_key.max(state.next_key()),
                latest,
            };
        }
        drop(shared);
        self.must_recover = !matches!(fate, Fate::Works);
        if self.must_recover { Err(CommitError::new("told to fail")) } else { Ok(Written::default()) }
    }

    fn is_shared(&self) -> bool {
        self.seen.is_some()
    }

    fn written(&self) -> u64 {
        0
    }

    fn close(&mut self, latest: i64) {
        self.lock().kept.latest = latest;
    }
}
