//! The result of a request: known at once, or when the request is on disk.

use tokio::sync::oneshot;

use crate::store::{Outcome, Rejection};

/// Why a request was not applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The store has refused it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It could not be written to disk.
    #[error(
        "the push could not be kept because the persistence file or database can't be written: try again later"
    )]
    NotKept,
    /// Too many requests wait for the disk.
    #[error("too many pushes wait for the disk: try again later")]
    QueueFull,
    /// The gateway is shutting down.
    #[error("the gateway is shutting down: try again later")]
    Closing,
}

impl Failure {
    /// The value of a metric's label for this failure.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Failure::Rejected(Rejection::Refused(refusal)) => refusal.cause.reason(),
            Failure::Rejected(Rejection::Full(full)) => full.limit.name(),
            Failure::Rejected(Rejection::KeyReused) => "key_reused",
            Failure::NotKept => "not_kept",
            Failure::QueueFull => "queue_full",
            Failure::Closing => "closing",
        }
    }
}

/// The pending result of a request; see [`Gateway::pushed`](super::Gateway::pushed) and
/// [`Gateway::done`](super::Gateway::done).
#[derive(Debug)]
#[must_use = "`Gateway::pushed` or `Gateway::done` waits for the result and counts it"]
pub enum Pending {
    /// The result is known.
    Done(Result<Outcome, Failure>),
    /// The result comes when the request is on disk.
    Waiting(oneshot::Receiver<Result<Outcome, Failure>>),
    /// The request is refused. That comes back once the time of the failure is on disk.
    Refused(oneshot::Receiver<Result<Outcome, Failure>>, Rejection),
}

impl Pending {
    pub(super) fn of(submitted: Result<oneshot::Receiver<Result<Outcome, Failure>>, Failure>) -> Pending {
        match submitted {
            Ok(receiver) => Pending::Waiting(receiver),
            Err(failure) => Pending::Done(Err(failure)),
        }
    }

    /// Waits for the result.
    pub(super) async fn wait(self) -> Result<Outcome, Failure> {
        match self {
            Pending::Done(result) => result,
            Pending::Waiting(receiver) => received(receiver.await),
            Pending::Refused(receiver, rejection) => refused(received(receiver.await), rejection),
        }
    }

    /// As [`Pending::wait`], but blocks the thread.
    ///
    /// # Panics
    ///
    /// If called within an asynchronous task.
    pub(super) fn wait_blocking(self) -> Result<Outcome, Failure> {
        match self {
            Pending::Done(result) => result,
            Pending::Waiting(receiver) => received(receiver.blocking_recv()),
            Pending::Refused(receiver, rejection) => refused(received(receiver.blocking_recv()), rejection),
        }
    }
}

/// The writer drops a request without an answer only if it fails.
fn received(
    received: Result<Result<Outcome, Failure>, oneshot::error::RecvError>,
) -> Result<Outcome, Failure> {
    received.unwrap_or(Err(Failure::NotKept))
}

fn refused(noted: Result<Outcome, Failure>, rejection: Rejection) -> Result<Outcome, Failure> {
    noted.and(Err(Failure::Rejected(rejection)))
}
