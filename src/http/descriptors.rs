//! The file descriptors of the process, and how they are divided.
//!
//! Connections get what is left. There are never so many that the gateway runs out of descriptors for the
//! persistence file, for other files, or for telling a client that there are too many connections.

use std::fs;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::config::unlimited::most;

/// The inherited descriptors if the system does not tell: stdin, stdout and stderr.
const INHERITED: u64 = 3;

/// The descriptors of the main thread and the accepting thread: event queues, and a socket pair for signals.
const RUNTIME: u64 = 8;

/// The descriptors of each worker.
const PER_WORKER: u64 = 4;

/// The persistence file and its replacement, each opened twice, and their folder.
const PERSISTENCE: u64 = 5;

/// Descriptors that are open for a moment: files of the web configuration and of `/proc`, one at a time, the socket
/// of systemd, and some spare ones.
const MOMENTARY: u64 = 6;

/// With fewer connections than this the gateway does not start.
const FEWEST: u64 = 8;

/// The maximum number of workers in actix.
const MOST_WORKERS: usize = 512;

/// One in this many connections is reserved for clients that are told that there are too many.
const ONE_OF: u64 = 8;

/// The most connections that are reserved so.
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

/// How the descriptors of the process are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    workers: usize,
    /// The most connections of each worker, including refused ones.
    per_worker: u64,
    connections: u64,
}

impl Descriptors {
    /// Raises the limit of open files as far as the system allows, and divides the descriptors.
    ///
    /// # Errors
    ///
    /// If there are too few.
    pub fn of(config: &Config) -> Result<Descriptors, TooFew> {
        let there = raised();
        let inherited = fs::read_dir("/proc/self/fd")
            // The listed folder itself is open meanwhile.
            .map_or(INHERITED, |open| (open.count() as u64).saturating_sub(1));
        let listeners = if config.web.systemd_socket { 0 } else { config.web.listen_address.len() as u64 };
        let persistence = if !config.persistence.keeps() { 0 } else { PERSISTENCE };
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
            // Each worker needs the same number.
            return Err(TooFew { there, needed: own + FEWEST.next_multiple_of(count) });
        }
        let refusals = (all / ONE_OF).clamp(2, MOST_REFUSALS);
        Ok(Descriptors { workers, per_worker, connections: wanted.min(all - refusals) })
    }

    /// The number of workers.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// The most connections of each worker, including refused ones.
    pub(super) fn per_worker(&self) -> usize {
        usize::try_from(self.per_worker).unwrap_or(usize::MAX).min(1 << 40)
    }

    /// The most connections.
    pub(super) fn connections(&self) -> u64 {
        self.connections
    }

    /// How many refused clients get time to read the answer. There is room for as many more that only get it sent.
    pub(super) fn patient_refusals(&self) -> usize {
        let free = (self.per_worker * self.workers as u64).saturating_sub(self.connections);
        (free / 2).min(MOST_REFUSALS) as usize
    }
}

/// Raises the limit of open files as far as the system allows, and returns it.
fn raised() -> u64 {
    let mut limits = getrlimit(Resource::Nofile);
    if limits.current != limits.maximum {
        let raised = Rlimit { current: limits.maximum, ..limits };
        // If the system refuses, there are fewer connections.
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
