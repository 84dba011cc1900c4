//! The gateways that share what is kept, as they were seen last.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::persistence::engine::Replica;

/// A gateway that did not say for this long that it is there counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(30);

/// The gateways that share what is kept.
#[derive(Debug, Default)]
pub(super) struct Replicas(Mutex<Vec<Replica>>);

impl Replicas {
    /// Takes a new list. Returns how many of them are there.
    pub(super) fn set(&self, replicas: &[Replica]) -> usize {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != replicas {
            replicas.clone_into(&mut known);
        }
        replicas.iter().filter(|replica| is_there(replica)).count()
    }

    /// The latest list.
    pub(super) fn list(&self) -> Vec<Replica> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn is_there(replica: &Replica) -> bool {
    u128::try_from(replica.quiet_micros).is_ok_and(|quiet| quiet < GONE_AFTER.as_micros())
        || replica.quiet_micros < 0
}
