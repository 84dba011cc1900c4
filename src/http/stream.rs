//! Response bodies that another thread writes while the client reads.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::{self, Bytes};
use actix_web::{HttpResponse, HttpResponseBuilder};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, timeout_at};

use super::admission::Share;
use super::{State, answer};
use crate::config::unlimited::longest;
use crate::gateway::source::ReceiverGone;
use crate::model::limits::Limit;
use crate::store::Seen;

/// How many chunks may wait for the client before the writer has to wait.
const QUEUED_CHUNKS: usize = 4;

/// The largest part that the connection gets at once, because it copies what it gets.
const LARGEST_CHUNK: usize = 256 * 1024;

/// Sends a chunk to the client, and blocks while the client is slow.
pub(super) type Send<'a> = &'a mut dyn FnMut(Bytes) -> Result<(), ReceiverGone>;

/// Takes the share that an answer needs before it is made. If there are too many answers already, returns the
/// refusal.
pub(super) fn share(state: &State) -> Result<Share, Box<HttpResponse>> {
    state.scrapes.take(1).ok_or_else(|| Box::new(answer::busy(state.scrapes.limit())))
}

/// What the gateway is told once an answer was sent whole. `None` if it is not a scrape.
pub(super) type Sent = Option<Seen>;

/// An answer whose body `write` sends in chunks on a thread that may block. Their number and time are limited,
/// because each holds a thread and a snapshot of the store.
pub(super) fn answer(
    state: &Arc<State>,
    share: Share,
    mut answer: HttpResponseBuilder,
    write: impl FnOnce(Send<'_>) -> Result<Sent, ReceiverGone> + std::marker::Send + 'static,
) -> HttpResponse {
    // Held until both the thread and the client are done.
    let share = Arc::new(share);
    let (sender, receiver) = mpsc::channel(QUEUED_CHUNKS);
    let written = Arc::new(OnceLock::new());
    let is_late = Arc::new(AtomicBool::new(false));
    let body = Chunks {
        receiver,
        written: written.clone(),
        is_late: is_late.clone(),
        state: state.clone(),
        _share: share.clone(),
    };
    let deadline = Instant::now() + longest(state.limits.send_timeout);
    // Nobody awaits the writer. It stops when the client has gone, and the body ends with it.
    drop(web::block(move || {
        let send_one = |chunk| match sender.try_send(chunk) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(ReceiverGone),
            Err(TrySendError::Full(chunk)) => {
                match Handle::current().block_on(timeout_at(deadline, sender.send(chunk))) {
                    Ok(sent) => sent.map_err(|_| ReceiverGone),
                    Err(_) => {
                        is_late.store(true, Ordering::Release);
                        Err(ReceiverGone)
                    }
                }
            }
        };
        let mut send = |mut chunk: Bytes| {
            while chunk.len() > LARGEST_CHUNK {
                send_one(chunk.split_to(LARGEST_CHUNK))?;
            }
            send_one(chunk)
        };
        match write(&mut send) {
            Ok(sent) => drop(written.set(sent)),
            Err(ReceiverGone) => tracing::debug!("the client went away before its answer was written"),
        }
        drop((sender, share));
    }));
    answer.body(body)
}

/// An answer with a complete body, which counts as one that is being sent.
pub(super) fn whole(
    state: &Arc<State>,
    share: Share,
    mut answer: HttpResponseBuilder,
    body: Vec<u8>,
    sent: Sent,
) -> HttpResponse {
    answer.body(Whole { body: body.into(), state: state.clone(), sent, _share: share })
}

/// Tells the gateway, if there is anything to tell.
fn tell(state: &State, sent: Sent) {
    if let Some(seen) = sent {
        state.gateway.scraped(seen);
    }
}

struct Chunks {
    receiver: mpsc::Receiver<Bytes>,
    /// Set once everything is written.
    written: Arc<OnceLock<Sent>>,
    is_late: Arc<AtomicBool>,
    state: Arc<State>,
    _share: Arc<Share>,
}

impl MessageBody for Chunks {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, io::Error>>> {
        self.receiver.poll_recv(context).map(|chunk| match (chunk, self.written.get()) {
            (Some(chunk), _) => Some(Ok(chunk)),
            (None, Some(sent)) => {
                tell(&self.state, *sent);
                None
            }
            // An error, so that the client does not take a part for the whole.
            (None, None) => {
                // If the client reads nothing at all, this is not reached, and its connection counts the timeout.
                if self.is_late.load(Ordering::Acquire) {
                    self.state.gateway.telemetry().limits().hit(Limit::SendTimeout);
                }
                Some(Err(io::Error::other("the answer was not written to its end")))
            }
        })
    }
}

struct Whole {
    body: Bytes,
    state: Arc<State>,
    sent: Sent,
    _share: Share,
}

impl MessageBody for Whole {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.body.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        let length = self.body.len().min(LARGEST_CHUNK);
        if length == self.body.len() {
            let sent = self.sent.take();
            tell(&self.state, sent);
        }
        Poll::Ready((length > 0).then(|| Ok(self.body.split_to(length))))
    }
}
