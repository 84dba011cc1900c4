//! What came of reading a file that can change while the gateway runs.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::message::bounded;

/// When what is in force was read, and what was wrong since.
#[derive(Debug)]
pub(super) struct Loaded(Mutex<Reading>);

/// The same at one moment.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// When what is in force was read.
    pub(super) at: SystemTime,
    /// The hash of the file that it comes from; empty if there is none or it is not known.
    pub(super) fingerprint: String,
    /// Why the file as it was read last is not in force.
    pub(super) problem: Option<Problem>,
}

/// Why a file is not in force.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// Since when.
    pub(super) since: SystemTime,
    /// What is wrong.
    pub(super) reason: String,
}

impl Loaded {
    /// What was read just now.
    pub(super) fn new(fingerprint: String) -> Loaded {
        Loaded(Mutex::new(Reading { at: SystemTime::now(), fingerprint, problem: None }))
    }

    /// Notes that the file was read and is in force.
    pub(super) fn succeeded(&self, fingerprint: String) {
        *self.lock() = Reading { at: SystemTime::now(), fingerprint, problem: None };
    }

    /// Notes whether something is wrong with what was read last. What is in force stays so.
    pub(super) fn set_problem(&self, reason: Option<&str>) {
        let reason = reason.map(bounded);
        let mut reading = self.lock();
        if reading.problem.as_ref().map(|problem| &problem.reason) != reason.as_ref() {
            reading.problem = reason.map(|reason| Problem { since: SystemTime::now(), reason });
        }
    }

    /// What came of it.
    pub(super) fn reading(&self) -> Reading {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_lasts_until_it_is_solved() {
        let loaded = Loaded::new("a".to_owned());
        let problem = || loaded.reading().problem;
        loaded.set_problem(Some("wrong"));
        let since = problem().unwrap().since;
        loaded.set_problem(Some("wrong"));
        assert_eq!(problem().unwrap().since, since);
        loaded.set_problem(Some("worse"));
        assert_eq!((&*problem().unwrap().reason, &*loaded.reading().fingerprint), ("worse", "a"));
        loaded.set_problem(None);
        assert!(problem().is_none());
        loaded.set_problem(Some("wrong"));
        loaded.succeeded("b".to_owned());
        assert!(problem().is_none());
        assert_eq!(loaded.reading().fingerprint, "b");
    }
}
