//! The states of a family of state sets, when they come and when a push does not mention them.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::push::{self, Push};
use crate::store::family::Family;
use crate::store::piece::{Fresh, PIECE_ROWS};
use crate::store::states::{self, Set, States};

impl Family {
    fn states(&self) -> Option<&States> {
        self.rare.as_ref()?.states.as_ref()
    }

    /// Notes the states of new series, where states were needed before.
    pub(super) fn add_states(&mut self, name: &str, fresh: &[Fresh<'_>]) {
        if self.states().is_some()
            && let Some(rare) = &mut self.rare
            && let Some(states) = &mut Arc::make_mut(rare).states
        {
            fresh.iter().for_each(|one| states.add(name, one.block));
        }
    }

    /// Turns off the states of pushed state sets that the push does not mention: one whose client says
    /// that it runs is not stopped too.
    pub(super) fn turn_off_absent_states(&mut self, push: &Push, pushed: &push::Family) {
        let name = push.name(pushed);
        let blocks = || push.series(pushed).iter().map(|one| push.block(one));
        let sets: HashSet<Set<'_>, RandomState> =
            blocks().filter_map(|block| Some(states::split(name, block)?.0)).collect();
        let mentioned: HashSet<&str, RandomState> = blocks().collect();
        if self.states().is_none() {
            let states = States::of(name, (0..self.len).map(|position| self.block(position)));
            self.set_rare(|rare| rare.states = Some(states));
        }
        let Some(states) = self.states() else { return };
        let absent: Vec<u32> = if sets.len() * states.count() < self.len as usize {
            let blocks = sets.iter().flat_map(|set| states.blocks(*set));
            blocks
                .filter(|block| !mentioned.contains(&**block))
                .filter_map(|block| self.find(&block))
                .collect()
        } else {
            let is_absent = |position: &u32| {
                let block = self.block(*position);
                let is_in = |(set, _): (Set<'_>, &str)| sets.contains(&set);
                !mentioned.contains(block) && states::split(name, block).is_some_and(is_in)
            };
            (0..self.len).filter(is_absent).collect()
        };
        for position in absent {
            let (number, row) = (position as usize / PIECE_ROWS, position as usize % PIECE_ROWS);
            if let Some(piece) = self.pieces.get_mut(number) {
                piece.set(row, 0.0);
            }
        }
    }
}
