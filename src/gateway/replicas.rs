//! The gateways that share what is kept, as they were seen last.

use std::sync::{Mutex, PoisonError};

use crate::persistence::engine::Replica;

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
        replicas.iter().filter(|replica| replica.is_there()).count()
    }

    /// The latest list.
    pub(super) fn list(&self) -> Vec<Replica> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
