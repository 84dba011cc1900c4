//! Unused slots below the highest one in use.

use std::collections::BTreeSet;

/// Unused slots below the highest one in use. There are rarely any.
#[derive(Debug, Default)]
pub(super) struct FreeSlots(Option<Box<Slots>>);

#[derive(Debug, Default)]
struct Slots(BTreeSet<u32>);

impl FreeSlots {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |slots| slots.0.len())
    }

    /// The lowest.
    pub(super) fn first(&self) -> Option<u32> {
        self.0.as_ref()?.0.first().copied()
    }

    /// Adds some.
    pub(super) fn extend(&mut self, slots: impl IntoIterator<Item = u32>) {
        let mut slots = slots.into_iter().peekable();
        if slots.peek().is_some() {
            self.0.get_or_insert_default().0.extend(slots);
        }
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(slots) = &mut self.0 {
            slots.0.remove(&slot);
        }
        self.0.take_if(|slots| slots.0.is_empty());
    }

    /// Removes the slots directly before `end`. Returns the new end.
    pub(super) fn shorten(&mut self, mut end: u32) -> u32 {
        if let Some(slots) = &mut self.0 {
            while slots.0.last().is_some_and(|last| last + 1 == end) {
                slots.0.pop_last();
                end -= 1;
            }
        }
        self.0.take_if(|slots| slots.0.is_empty());
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_moves_down_when_the_last_go() {
        let mut free = FreeSlots::default();
        free.extend([1, 3, 2]);
        assert_eq!((free.len(), free.first(), free.shorten(5)), (3, Some(1), 5));
        free.extend([4]);
        assert_eq!((free.shorten(5), free.len(), free.first()), (1, 0, None));
        free.extend([0]);
        free.remove(0);
        assert_eq!((free.len(), free.shorten(3)), (0, 3));
    }
}
