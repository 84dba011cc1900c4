//! What failed commits have changed.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::persistence::rows::batch::Batch;
use crate::persistence::rows::layout::Layout;
use crate::store::difference::{Difference, State};

/// How many names and groups may be unconfirmed beyond twice the number of groups. If groups come and go while
/// nothing can be written, more and more become unconfirmed. Beyond the limit everything is written anew.
const MAX_UNCONFIRMED: usize = 100_000;

/// What failed commits have changed. It may be kept or not.
#[derive(Debug, Default)]
pub(in crate::persistence) struct Unconfirmed {
    /// The groups, by their epochs.
    groups: HashSet<u64, RandomState>,
    names: HashSet<Arc<str>, RandomState>,
    /// The number of the first idempotency key.
    first_key: Option<u64>,
}

impl Unconfirmed {
    /// Notes that a difference may be kept or not.
    pub(in crate::persistence) fn add(&mut self, difference: &Difference) {
        self.groups.extend(&difference.gone);
        self.groups.extend(difference.groups.iter().map(|group| group.after.epoch));
        self.names.extend(difference.names.iter().map(|(name, _)| name.clone()));
        let first = difference.keys.iter().map(|record| record.number).min();
        self.first_key = self.first_key.into_iter().chain(first).min();
    }

    /// Whether there is nothing.
    pub(in crate::persistence) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is so much that all rows should be written anew.
    pub(in crate::persistence) fn is_too_much(&self, state: &State) -> bool {
        self.len() > 2 * state.groups.len() + MAX_UNCONFIRMED
    }

    fn len(&self) -> usize {
        self.groups.len() + self.names.len()
    }

    /// Adds the current state of all of it to a batch.
    pub(in crate::persistence) fn write(&self, state: &State, layout: &mut Layout, batch: &mut Batch) {
        for epoch in &self.groups {
            batch.group_gone(*epoch);
            layout.forget(*epoch);
        }
        for group in state.groups.iter().filter(|group| self.groups.contains(&group.epoch)) {
            layout.whole_group(group, batch);
        }
        for name in &self.names {
            batch.kind(name, None);
        }
        for (name, kind) in state.names.iter().filter(|(name, _)| self.names.contains(name)) {
            batch.kind(name, Some(*kind));
        }
        batch.keys_gone(0..state.first_key);
        if let Some(first) = self.first_key {
            batch.keys_gone(first..u64::MAX);
            state.keys.iter().filter(|record| record.number >= first).for_each(|record| batch.key(record));
        }
    }
}
