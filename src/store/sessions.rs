//! Which processes pushed to a group of late, to notice those that push running totals.
//!
//! Where pushes add up, a process that lives on and pushes all that it has counted since it began is counted
//! again with every push.

use smallvec::SmallVec;

use crate::model::push::Session;

/// How many processes that take turns are told apart.
const MAX_SESSIONS: usize = 4;

/// The latest push of each of some processes, the latest of all last.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    latest: SmallVec<[Session; MAX_SESSIONS]>,
    /// Whether running totals are suspected, by the latest push of a process that had pushed before.
    is_suspected: bool,
    was_told: bool,
}

impl Sessions {
    /// Notes an accepted push. Whether it seems to repeat what the process pushed before, and if so, whether that
    /// is noticed for the first time.
    pub(super) fn note(&mut self, session: Session) -> Option<bool> {
        let before = self.latest.iter().position(|known| known.start == session.start);
        let before = match before {
            Some(at) => Some(self.latest.remove(at)),
            None => {
                if self.latest.len() == MAX_SESSIONS {
                    self.latest.remove(0);
                }
                None
            }
        };
        self.latest.push(session);
        // Counts that are lower than before have begun anew.
        self.is_suspected = before.map_or(self.is_suspected, |before| session.total >= before.total);
        let is_repeated = before.is_some() && self.is_suspected;
        is_repeated.then(|| !std::mem::replace(&mut self.was_told, true))
    }

    /// Whether running totals are suspected.
    pub(super) fn is_suspected(&self) -> bool {
        self.is_suspected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(sessions: &mut Sessions, start: i64, total: f64) -> Option<bool> {
        sessions.note(Session { start, total })
    }

    #[test]
    fn the_same_process_with_totals_that_go_on_is_noticed() {
        let mut sessions = Sessions::default();
        assert_eq!(note(&mut sessions, 1, 5.0), None);
        assert_eq!(note(&mut sessions, 1, 5.0), Some(true));
        assert_eq!(note(&mut sessions, 1, 7.0), Some(false));
        assert!(sessions.is_suspected());
        // It counts anew for each push after all.
        assert_eq!(note(&mut sessions, 1, 2.0), None);
        assert!(!sessions.is_suspected());
        assert_eq!(note(&mut sessions, 1, 3.0), Some(false));
    }

    #[test]
    fn processes_may_take_turns_and_those_that_end_are_none() {
        let mut sessions = Sessions::default();
        for start in 1..=100 {
            assert_eq!(note(&mut sessions, start, 5.0), None);
        }
        for start in 97..=100 {
            assert_eq!(note(&mut sessions, start, 6.0), Some(start == 97));
        }
        assert_eq!(note(&mut sessions, 1, 6.0), None);
        assert_eq!(sessions.latest.len(), MAX_SESSIONS);
    }
}
