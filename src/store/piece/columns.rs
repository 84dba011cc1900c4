//! What only some pieces have beside their rows: exemplars, when each series was pushed last, and how many sources have
//! it.

use std::sync::Arc;

use crate::model::exemplar::{Exemplars, Placed};
use crate::model::merge::Merge;
use crate::model::push::{Push, Series};
use crate::model::time::Moment;

/// The optional columns of a piece. A piece that has none pays for one pointer.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns(Option<Box<Held>>);

#[derive(Clone, Debug, Default)]
struct Held {
    /// By row.
    exemplars: Exemplars,
    /// When each row was pushed last, in nanoseconds since the epoch. Empty where nobody asks for it.
    pushed: Vec<i64>,
    /// How many sources have the series of each row, where sources are folded. Rows behind the last one that was counted
    /// have none.
    holders: Vec<u32>,
}

impl Columns {
    /// The exemplars of all rows, by row.
    pub(super) fn exemplars(&self) -> Option<&Exemplars> {
        self.0.as_ref().map(|held| &held.exemplars).filter(|exemplars| !exemplars.is_empty())
    }

    /// The exemplars of a row.
    pub(super) fn exemplars_of(&self, at: usize) -> &[(u32, Placed)] {
        self.0.as_ref().map_or(&[], |held| held.exemplars.slice(at as u32))
    }

    /// Whether there is any column.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Takes these exemplars in the place of all that there are.
    pub(super) fn set_exemplars(&mut self, exemplars: Exemplars) {
        if !exemplars.is_empty() || self.0.is_some() {
            self.0.get_or_insert_default().exemplars = exemplars;
            self.shrink();
        }
    }

    /// Merges the exemplars of a pushed series into those of a row.
    #[inline]
    pub(super) fn merge_pushed(
        &mut self,
        at: usize,
        push: &Push,
        series: &Series,
        merge: Merge,
        now: Moment,
    ) {
        let pushed = push.exemplars(series).map(|(place, mut exemplar)| {
            if merge == Merge::Add {
                // Which is the newest must be known, and Prometheus would take it for a new one at every
                // scrape.
                exemplar.at.get_or_insert(now.nanos);
            }
            Placed { place, exemplar: Arc::new(exemplar) }
        });
        let mut pushed = pushed.peekable();
        if pushed.peek().is_none() && (merge == Merge::Add || self.exemplars().is_none()) {
            return;
        }
        let exemplars = &mut self.0.get_or_insert_default().exemplars;
        match merge {
            Merge::Add => exemplars.add(at as u32, pushed.collect(), now.nanos),
            _ => exemplars.replace(at as u32, pushed.collect()),
        }
        self.shrink();
    }

    /// When each row was pushed last; empty where that is not known.
    pub(super) fn pushed(&self) -> &[i64] {
        self.0.as_ref().map_or(&[], |held| &held.pushed)
    }

    /// Takes these times of the last pushes.
    pub(super) fn set_pushed(&mut self, pushed: Vec<i64>) {
        if !pushed.is_empty() || self.0.is_some() {
            self.0.get_or_insert_default().pushed = pushed;
            self.shrink();
        }
    }

    /// Notes that a row, one of `rows`, was pushed at this time. The others were not pushed after `since`.
    #[inline]
    pub(super) fn note_push(&mut self, at: usize, rows: usize, since: i64, now: i64) {
        let pushed = &mut self.0.get_or_insert_default().pushed;
        if pushed.len() < rows {
            pushed.reserve_exact(rows - pushed.len());
            pushed.resize(rows, since);
        }
        pushed[at] = now;
    }

    /// How many sources have the series of each row.
    pub(super) fn holders(&self) -> &[u32] {
        self.0.as_ref().map_or(&[], |held| &held.holders)
    }

    /// One more source has the series of a row.
    pub(super) fn gain_holder(&mut self, at: usize) {
        let holders = &mut self.0.get_or_insert_default().holders;
        if holders.len() <= at {
            holders.resize(at + 1, 0);
        }
        holders[at] += 1;
    }

    /// One source less has the series of a row. Returns whether it was the last.
    pub(super) fn lose_holder(&mut self, at: usize) -> bool {
        let holders = self.0.as_mut().map(|held| &mut held.holders);
        let count = holders.and_then(|holders| holders.get_mut(at)).filter(|count| **count > 0);
        count.is_some_and(|count| {
            *count -= 1;
            *count == 0
        })
    }

    /// Takes these numbers of sources in the place of all that there are.
    pub(super) fn set_holders(&mut self, holders: Vec<u32>) {
        if !holders.is_empty() || self.0.is_some() {
            self.0.get_or_insert_default().holders = holders;
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        self.0.take_if(|held| held.exemplars.is_empty() && held.pushed.is_empty() && held.holders.is_empty());
    }
}
