//! State that changes only when labels, names or types do.

use crate::store::CommitMode;
use crate::store::deadlines::Deadlines;
use crate::store::definition::{Definitions, OwnFamily};
use crate::store::free_slots::FreeSlots;
use crate::store::spellings::Spellings;

/// State that changes only when labels, names or types do. Its lock is held for the whole change.
#[derive(Debug)]
pub(super) struct Structure {
    pub(super) definitions: Definitions,
    /// The keys of groups that have empty labels.
    pub(super) spelled: Spellings,
    pub(super) next_epoch: u64,
    next_slot: u32,
    free_slots: FreeSlots,
    /// The epochs of groups that were deleted since the last commit and existed before.
    pub(super) gone: Vec<u64>,
    /// The numbers of idempotency keys since then whose groups were deleted or did not change.
    pub(super) lone_keys: Vec<u64>,
    /// When published groups and their series may expire.
    pub(super) deadlines: Deadlines,
    /// The oldest idempotency key in the last commit.
    pub(super) first_key: u64,
}

impl Structure {
    /// The structure of an empty store. `own` are the gateway's own families.
    pub(super) fn new(
        own: impl IntoIterator<Item = (String, OwnFamily)>,
        commit_mode: CommitMode,
    ) -> Structure {
        Structure {
            definitions: Definitions::new(own, commit_mode),
            spelled: Spellings::default(),
            next_epoch: 0,
            next_slot: 0,
            free_slots: FreeSlots::default(),
            gone: Vec::new(),
            lone_keys: Vec::new(),
            deadlines: Deadlines::default(),
            first_key: 0,
        }
    }

    pub(super) fn epoch(&mut self) -> u64 {
        self.next_epoch += 1;
        self.next_epoch
    }

    /// How many slots below the highest used one are free.
    pub(super) fn free_slots(&self) -> usize {
        self.free_slots.len()
    }

    pub(super) fn slot(&mut self) -> u32 {
        match self.free_slots.first() {
            Some(slot) => {
                self.free_slots.remove(slot);
                slot
            }
            None => {
                self.next_slot += 1;
                self.next_slot - 1
            }
        }
    }

    /// Takes a particular slot again.
    pub(super) fn take_slot(&mut self, slot: u32) {
        self.free_slots.extend(self.next_slot..=slot);
        self.next_slot = self.next_slot.max(slot + 1);
        self.free_slots.remove(slot);
    }

    /// Frees the slot of a group.
    pub(super) fn free_slot(&mut self, slot: u32) {
        self.free_slots.extend([slot]);
        self.next_slot = self.free_slots.shorten(self.next_slot);
    }
}
