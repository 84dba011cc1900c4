//! How many files and connections the system lets the process have.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that are open beside connections, generously: logs, the store, libraries, what `/proc` is read by.
const OTHERS: u64 = 64;

/// Asks the system for as many open files as it gives, and says how many connections that is enough for.
pub(super) fn connections() -> u64 {
    let mut limits = getrlimit(Resource::Nofile);
    if limits.current != limits.maximum {
        let raised = rustix::process::Rlimit { current: limits.maximum, ..limits };
        // What is not given is not there; then there are fewer connections.
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limits = raised;
        }
    }
    limits.current.unwrap_or(u64::MAX).saturating_sub(OTHERS)
}

/// As many of `wanted` connections as there can be.
pub(super) fn affordable(wanted: u64) -> u64 {
    let there = connections();
    if wanted > there && wanted != u64::MAX {
        tracing::warn!(
            wanted,
            connections = there,
            "limits.connections is more than the system allows this process: raise its limit of open files"
        );
    }
    wanted.min(there)
}
