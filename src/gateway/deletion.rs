//! Deletions by selector.

use std::fmt::Display;
use std::sync::Arc;

use super::{Client, Failure, Gateway, Pending, idempotency};
use crate::message::bounded;
use crate::store::deletion::{Deleted, DeletionFilter, Survey};
use crate::store::idempotency::Key;
use crate::store::{Outcome, Part, Transaction};

/// A deletion by selector as it was received.
#[derive(Clone, Debug)]
pub struct DeletionRequest<'a> {
    /// What goes.
    pub filter: Arc<DeletionFilter>,
    /// The parameters that say so. A key counts for a request with the same ones.
    pub parameters: &'a str,
    /// The idempotency key, as [`idempotency::parse`] gives it.
    pub key: Option<&'a [u8]>,
    /// Who sent it, for the log.
    pub client: Client,
}

impl Gateway {
    /// Deletes what matches, in one transaction. What becomes of that [`Gateway::deleted`] tells. It looks at the labels of
    /// many series, so it takes a thread that may block.
    pub fn delete_matching(&self, request: &DeletionRequest<'_>) -> Pending {
        let key: Option<Key> = request.key.map(|key| idempotency::identify_deletion(key, request.parameters));
        let is_known = key.as_ref().is_some_and(|key| self.is_known(key));
        let survey = if is_known { Survey::default() } else { self.store.survey(&request.filter) };
        let part = Part::DeleteMatching { filter: request.filter.clone(), survey };
        self.submit(Transaction::of(part).with_key(key), request.parameters.len())
    }

    /// What a deletion would take at the moment. It takes a thread that may block.
    pub fn would_delete(&self, filter: &DeletionFilter) -> Deleted {
        self.store.would_delete(filter)
    }

    /// What becomes of a deletion by selector, once that is known.
    ///
    /// # Errors
    ///
    /// Why it changed nothing.
    pub async fn deleted(&self, request: &DeletionRequest<'_>, pending: Pending) -> Result<Outcome, Failure> {
        let result = self.done(pending).await;
        let (source, selectors) = (request.client, &bounded(request.parameters));
        match &result {
            Ok(Outcome::Deleted(deleted)) => {
                let Deleted { groups, series, .. } = **deleted;
                tracing::info!(source = %source, selectors, groups, series, "deleted what matches");
            }
            Ok(_) => tracing::info!(source = %source, selectors, "deletion had been done before"),
            Err(failure) => failed(source, selectors, failure),
        }
        result
    }
}

fn failed(source: Client, selectors: &str, failure: &impl Display) {
    tracing::warn!(source = %source, selectors, err = %failure, "deletion not done");
}
