//! What becomes of a request: known at once, or when it is on disk.

use tokio::sync::oneshot;

use crate::store::{Outcome, Rejection};

/// Why a request was not applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// It can't be applied to what is there.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It could not be brought to disk.
    #[error("the push could not be kept because the persistence file can't be written: try again later")]
    NotKept,
    /// Too many requests wait to be brought to disk.
    #[error("too many pushes wait for the disk: try again later")]
    QueueFull,
    /// The gateway goes down.
    #[error("the gateway is shutting down: try again later")]
    Closing,
}

impl Failure {
    /// A word for it, for the label of a metric.
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

/// The answer to a request; see [`Gateway::pushed`](super::Gateway::pushed) and [`Gateway::done`](super::Gateway::done).
#[derive(Debug)]
pub enum Pending {
    /// It is known.
    Done(Result<Outcome, Failure>),
    /// It comes when the effect of the request is on disk.
    Waiting(oneshot::Receiver<Result<Outcome, Failure>>),
    /// The request is refused, which also waits to be noted on disk.
    Refused(oneshot::Receiver<Result<Outcome, Failure>>, Rejection),
}

impl Pending {
    pub(super) fn of(submitted: Result<oneshot::Receiver<Result<Outcome, Failure>>, Failure>) -> Pending {
        match submitted {
            Ok(receiver) => Pending::Waiting(receiver),
            Err(failure) => Pending::Done(Err(failure)),
        }
    }

    /// The answer, once it is known.
    pub(super) async fn wait(self) -> Result<Outcome, Failure> {
        match self {
            Pending::Done(result) => result,
            Pending::Waiting(receiver) => received(receiver.await),
            Pending::Refused(receiver, rejection) => refused(received(receiver.await), rejection),
        }
    }

    /// The same, on a thread that may wait.
    ///
    /// # Panics
    ///
    /// Within an asynchronous task.
    pub(super) fn wait_blocking(self) -> Result<Outcome, Failure> {
        match self {
            Pending::Done(result) => result,
            Pending::Waiting(receiver) => received(receiver.blocking_recv()),
            Pending::Refused(receiver, rejection) => refused(received(receiver.blocking_recv()), rejection),
        }
    }
}

/// The writer drops a request unanswered only when it fails.
fn received(
    received: Result<Result<Outcome, Failure>, oneshot::error::RecvError>,
) -> Result<Outcome, Failure> {
    received.unwrap_or(Err(Failure::NotKept))
}

fn refused(noted: Result<Outcome, Failure>, rejection: Rejection) -> Result<Outcome, Failure> {
    noted.and(Err(Failure::Rejected(rejection)))
}
