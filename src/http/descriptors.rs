//! How many files the system lets the process have open, and for what they are.
//!
//! Connections are what is left: so many are accepted that the gateway never runs out of descriptors, neither for the
//! persistence file nor for what it reads, nor for telling a client that there are too many.

use std::fs;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::config::unlimited::most;

/// What is open from the start where the system does not say: input, output and errors.
const INHERITED: u64 = 3;

/// What the main thread and the one that accepts have open: queues of events, and the pair that signals come by.
const RUNTIME: u64 = 8;

/// What each worker has open.
const PER_WORKER: u64 = 4;

/// A persistence file, the one that is to take its place, both open twice, and their folder.
const PERSISTENCE: u64 = 5;

/// What is open for a moment: files of the web configuration, which are read one after the other; those of `/proc`,
/// likewise; the socket of systemd; and something to spare.
const MOMENTARY: u64 = 6;

/// With fewer connections it is not worth while.
const FEWEST: u64 = 8;

/// actix has no more workers.
const MOST_WORKERS: usize = 512;

/// One of so many connections is kept free for a client that is told that there are too many.
const ONE_OF: u64 = 8;

/// So many are enough.
const MOST_REFUSALS: u64 = 256;

/// The system lets the process have too few files open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the system lets the gateway have {there} files open at a time, but it needs {needed} at least: raise that limit \
     (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of a container)"
)]
pub struct TooFew {
    there: u64,
    needed: u64,
}

/// What the descriptors of the process are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    workers: usize,
    /// How many connections each worker has at most, those that are refused among them.
    per_worker: u64,
    connections: u64,
}

impl Descriptors {
    /// Asks the system for as many as it gives, and divides them up.
    ///
    /// # Errors
    ///
    /// When there are too few.
    pub fn of(config: &Config) -> Result<Descriptors, TooFew> {
        let there = raised();
        let inherited = fs::read_dir("/proc/self/fd")
            // The folder itself is open meanwhile.
            .map_or(INHERITED, |open| (open.count() as u64).saturating_sub(1));
        let listeners = if config.web.systemd_socket { 0 } else { config.web.listen_address.len() as u64 };
        let persistence = if config.persistence.file.is_empty() { 0 } else { PERSISTENCE };
        let most_workers =
            config.fitting.as_ref().map_or(MOST_WORKERS, |fitting| fitting.workers().min(MOST_WORKERS));
        let workers = available_parallelism().map_or(1, NonZeroUsize::get).min(most_workers);
        let own = inherited + RUNTIME + listeners + persistence + MOMENTARY;
        let wanted = most(config.limits.connections);
        let descriptors = Descriptors::divided(there, own, workers, wanted)?;
        if wanted > descriptors.connections && wanted != u64::MAX {
            tracing::warn!(
                wanted,
                connections = descriptors.connections,
                "limits.connections is more than the system allows this process: raise its limit of open files"
            );
        }
        Ok(descriptors)
    }

    fn divided(there: u64, own: u64, workers: usize, wanted: u64) -> Result<Descriptors, TooFew> {
        let count = workers as u64;
        let own = own + count * PER_WORKER;
        let per_worker = there.saturating_sub(own) / count;
        let all = per_worker * count;
        if all < FEWEST {
            // As many for each.
            return Err(TooFew { there, needed: own + FEWEST.next_multiple_of(count) });
        }
        let refusals = (all / ONE_OF).clamp(2, MOST_REFUSALS);
        Ok(Descriptors { workers, per_worker, connections: wanted.min(all - refusals) })
    }

    /// How many threads serve.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// How many connections each of them has at most, those that are refused among them.
    pub(super) fn per_worker(&self) -> usize {
        usize::try_from(self.per_worker).unwrap_or(usize::MAX).min(1 << 40)
    }

    /// How many connections there may be.
    pub(super) fn connections(&self) -> u64 {
        self.connections
    }

    /// How many clients that are refused get the time to read why. Beside them there is room for as many that are
    /// told in passing.
    pub(super) fn patient_refusals(&self) -> usize {
        let free = (self.per_worker * self.workers as u64).saturating_sub(self.connections);
        (free / 2).min(MOST_REFUSALS) as usize
    }
}

/// As many open files as the system gives.
fn raised() -> u64 {
    let mut limits = getrlimit(Resource::Nofile);
    if limits.current != limits.maximum {
        let raised = Rlimit { current: limits.maximum, ..limits };
        // What is not given is not there; then there are fewer connections.
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limits = raised;
        }
    }
    limits.current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_left_is_for_connections() {
        let divided = |there, wanted| Descriptors::divided(there, 22, 2, wanted);
        assert_eq!(divided(16, 100), Err(TooFew { there: 16, needed: 38 }));
        assert_eq!(divided(37, 100), Err(TooFew { there: 37, needed: 38 }));
        assert_eq!(divided(38, 100).map(|d| (d.connections, d.patient_refusals())), Ok((6, 1)));
        assert_eq!(divided(64, 100).map(|d| (d.connections, d.patient_refusals())), Ok((30, 2)));
        assert_eq!(divided(64, 5).map(|d| (d.connections, d.patient_refusals())), Ok((5, 14)));
        let unlimited = divided(u64::MAX, u64::MAX).unwrap();
        assert!(unlimited.connections > 1 << 40 && unlimited.per_worker() == 1 << 40);
    }

    proptest! {
        #[test]
        fn never_more_than_there_are(
            there in prop_oneof![0u64..3000, any::<u64>()], own in 3u64..100, workers in 1usize..600, wanted in 1u64..,
        ) {
            let used = own + PER_WORKER * workers as u64;
            match Descriptors::divided(there, own, workers, wanted) {
                Ok(divided) => {
                    let all = divided.per_worker * workers as u64;
                    prop_assert!(used + all <= there);
                    prop_assert!((1..=wanted).contains(&divided.connections));
                    prop_assert!(divided.connections + 2 * divided.patient_refusals() as u64 <= all);
                    prop_assert!(divided.patient_refusals() >= 1);
                }
                Err(TooFew { needed, .. }) => {
                    prop_assert!(needed > there);
                    prop_assert!(Descriptors::divided(needed, own, workers, wanted).is_ok());
                }
            }
        }
    }
}
