//! Remembers which processes pushed to a group recently, to detect those that push running totals.
//!
//! With aggregation, a long-running process that pushes all that it has counted since its start is counted again
//! with every push.

use smallvec::SmallVec;

use crate::model::push::Session;

/// How many processes with alternating pushes can be told apart.
const MAX_SESSIONS: usize = 4;

/// The latest push of each process. The most recent one is last.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    latest: SmallVec<[Session; MAX_SESSIONS]>,
    /// Whether the latest repeated push of a process looked like running totals.
    is_suspected: bool,
    was_told: bool,
}

impl Sessions {
    /// Notes an accepted push. Returns `None` if it does not seem to repeat an earlier push of the same process,
    /// otherwise whether this is noticed for the first time.
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
        // If the counts are lower than before, the process has begun to count anew.
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
        // The process counts anew for each push after all.
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
