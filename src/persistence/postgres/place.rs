//! Places in the sequence of commits.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::persistence::postgres::connection::Connection;
use crate::persistence::postgres::error::DatabaseError;

/// How many commits a gateway remembers to have seen.
const REMEMBERED: usize = 100_000;

/// A commit: its number, and the replica that made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seq: i64,
    pub(super) replica: String,
}

impl Place {
    /// The last commit in the database.
    pub(super) fn latest(connection: &mut Connection) -> Result<Place, DatabaseError> {
        let row = connection.first("SELECT seq, replica FROM tallygate_head WHERE id = 1", &[])?;
        let row = row.ok_or_else(missing)?;
        Ok(Place { seq: row.try_get(0)?, replica: row.try_get(1)? })
    }

    /// Whether nobody has committed anything.
    fn is_first(&self) -> bool {
        self.seq == 0
    }
}

pub(super) fn missing() -> DatabaseError {
    DatabaseError::Damaged("tallygate_head is empty".to_owned())
}

/// The commits that a gateway has seen, the last of which is its place. A database whose last commit is one of the others
/// has lost commits; one whose last commit is unknown has another history.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// By number. Very many commits are of few replicas.
    seen: VecDeque<(i64, Arc<str>)>,
}

impl Past {
    /// Adds a commit that follows the others.
    pub(super) fn add(&mut self, place: &Place) {
        let known = self.seen.iter().rev().take(16).find(|(_, replica)| **replica == *place.replica);
        let replica = known.map_or_else(|| place.replica.as_str().into(), |(_, replica)| replica.clone());
        self.seen.push_back((place.seq, replica));
        if self.seen.len() > REMEMBERED {
            self.seen.pop_front();
        }
    }

    /// Begins anew at a place whose history is not known.
    pub(super) fn begin_at(&mut self, place: &Place) {
        self.seen.clear();
        self.add(place);
    }

    /// Whether this commit is one of them. Every history begins with an empty database.
    pub(super) fn has(&self, place: &Place) -> bool {
        let at = self.seen.binary_search_by_key(&place.seq, |(seq, _)| *seq);
        place.is_first() || at.is_ok_and(|at| *self.seen[at].1 == *place.replica)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(seq: i64, replica: &str) -> Place {
        Place { seq, replica: replica.to_owned() }
    }

    #[test]
    fn only_what_was_seen_is_in_the_past() {
        let mut past = Past::default();
        past.begin_at(&place(5, "a"));
        [place(6, "b"), place(7, "a"), place(12, "b")].iter().for_each(|place| past.add(place));
        for (seq, replica, is_known) in [
            (0, "", true),
            (4, "a", false),
            (5, "a", true),
            (5, "b", false),
            (7, "a", true),
            (8, "a", false),
            (12, "b", true),
            (13, "b", false),
        ] {
            assert_eq!(past.has(&place(seq, replica)), is_known, "{seq} {replica}");
        }
        past.begin_at(&place(9, "c"));
        assert!(past.has(&place(9, "c")) && !past.has(&place(7, "a")));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut past = Past::default();
        (1..=REMEMBERED as i64 + 2).for_each(|seq| past.add(&place(seq, "a")));
        assert!(!past.has(&place(2, "a")) && past.has(&place(3, "a")));
    }
}
