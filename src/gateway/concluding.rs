//! Waits for the results of requests, and counts and logs what becomes of the pushes that reach the gateway.

use std::fmt::Display;

use super::{Failure, Gateway, Pending, Place, PushError, PushRequest, TargetFault};
use crate::exposition::ending;
use crate::model::labels::ShownLabels;
use crate::model::refusal::Refusal;
use crate::store::{Outcome, Rejection};

impl Gateway {
    /// Counts and logs a push that is not taken: nothing of it reaches the store.
    #[cold]
    pub(super) fn not_taken(&self, push: &PushRequest<'_>, error: &PushError) {
        let what = match error {
            PushError::Unreadable(_) => {
                self.telemetry.push_malformed();
                "failed to parse text"
            }
            PushError::TooMuch { limit, .. } => {
                self.telemetry.limits().hit(*limit);
                self.telemetry.push_refused(limit.name());
                "failed to parse text"
            }
            PushError::Forbidden(_) | PushError::Target { .. } => {
                if let PushError::Target { fault: TargetFault::OverLimit(over), .. } = error {
                    self.telemetry.limits().hit(over.limit());
                }
                self.telemetry.push_refused("rule");
                "push refused by a rule"
            }
            PushError::Header(_) => {
                self.telemetry.push_refused("header");
                "push refused because of a header"
            }
            // They are counted when their result is known.
            PushError::Refused { .. } | PushError::Failed(_) => return,
        };
        log_for_debugging(push, error, what);
    }

    /// Waits for the result of a push.
    ///
    /// # Errors
    ///
    /// If the push was not accepted. Then nothing has changed except, for a refused push, the time of the group's
    /// last failure.
    pub async fn pushed(&self, push: &PushRequest<'_>, pending: Pending) -> Result<Outcome, PushError> {
        self.conclude(push, pending.wait().await)
    }

    /// Waits for the result of another request.
    ///
    /// # Errors
    ///
    /// If it changed nothing.
    pub async fn done(&self, pending: Pending) -> Result<Outcome, Failure> {
        self.count_key(pending.wait().await)
    }

    /// As [`Gateway::done`], but blocks the thread.
    ///
    /// # Errors
    ///
    /// As [`Gateway::done`].
    ///
    /// # Panics
    ///
    /// If called within an asynchronous task.
    pub fn done_blocking(&self, pending: Pending) -> Result<Outcome, Failure> {
        self.count_key(pending.wait_blocking())
    }

    /// Takes a push and blocks until its result is known.
    ///
    /// # Errors
    ///
    /// As [`Gateway::push`] and [`Gateway::pushed`].
    ///
    /// # Panics
    ///
    /// If called within an asynchronous task.
    pub fn push_blocking(&self, push: &PushRequest<'_>) -> Result<Outcome, PushError> {
        let pending = self.push(push)?;
        self.conclude(push, pending.wait_blocking())
    }

    /// Counts and logs the result of a push.
    ///
    /// # Errors
    ///
    /// If the push was not accepted. Then nothing has changed except, for a refused push, the time of the group's
    /// last failure.
    fn conclude(
        &self,
        push: &PushRequest<'_>,
        result: Result<Outcome, Failure>,
    ) -> Result<Outcome, PushError> {
        match self.count_key(result) {
            Ok(outcome) => {
                match outcome {
                    Outcome::Dropped => self.telemetry.push_dropped(),
                    Outcome::Applied | Outcome::Repeating { .. } => self.telemetry.push_accepted(),
                    Outcome::Replayed | Outcome::Deleted(_) => {}
                }
                if let Outcome::Repeating { is_new } = outcome {
                    self.running_totals(push, is_new);
                }
                Ok(outcome)
            }
            Err(Failure::Rejected(Rejection::Refused(refusal))) => Err(self.refused(push, *refusal)),
            Err(failure) => {
                if let Failure::Rejected(Rejection::Full(full)) = &failure {
                    self.telemetry.limits().hit(full.limit);
                }
                self.telemetry.push_refused(failure.reason());
                log_for_debugging(push, &failure, "push not applied");
                Err(PushError::Failed(failure))
            }
        }
    }

    /// Counts replayed requests, and keys that were used again with another body.
    fn count_key(&self, result: Result<Outcome, Failure>) -> Result<Outcome, Failure> {
        match &result {
            Ok(Outcome::Replayed) => self.telemetry.replayed(),
            Err(Failure::Rejected(Rejection::KeyReused)) => self.telemetry.key_reused(),
            _ => {}
        }
        result
    }

    /// Counts a push that seems to repeat what its process has pushed before, and logs it once for each group.
    #[cold]
    fn running_totals(&self, push: &PushRequest<'_>, is_new: bool) {
        self.telemetry.running_totals_suspected();
        if is_new {
            tracing::warn!(
                method = push.method.name(),
                source = %push.client,
                group = %ShownLabels::of(push.grouping.key()),
                "two pushes with the same start time, and counters that did not fall: if the process pushes all that \
                 it has counted so far, its totals are added again and again; let it push with PUT, or only what is new"
            );
        }
    }

    #[cold]
    fn refused(&self, push: &PushRequest<'_>, refusal: Refusal) -> PushError {
        let place = refusal.offset.map(|offset| ending::position(push.body, offset as usize));
        self.telemetry.push_refused(refusal.cause.reason());
        if let Some(limit) = refusal.cause.limit() {
            self.telemetry.limits().hit(limit);
        }
        tracing::error!(
            method = push.method.name(),
            source = %push.client,
            group = %ShownLabels::of(push.grouping.key()),
            err = %refusal.sentence(Place(place)),
            "pushed metrics are invalid or inconsistent with existing metrics"
        );
        PushError::Refused { refusal: Box::new(refusal), place }
    }
}

/// Logs at the level debug why a push was not accepted.
fn log_for_debugging(push: &PushRequest<'_>, error: &dyn Display, what: &str) {
    tracing::debug!(
        method = push.method.name(),
        source = %push.client,
        group = %ShownLabels::of(push.grouping.key()),
        err = %error,
        "{what}"
    );
}
