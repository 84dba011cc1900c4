//! Bodies that another thread writes while the client reads.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::{self, Bytes};
use actix_web::{HttpResponse, HttpResponseBuilder};
use tokio::sync::mpsc;

use crate::gateway::scrape::ReceiverGone;

/// Chunks that wait for the client before the writer does.
const QUEUED_CHUNKS: usize = 4;

/// Hands a chunk to the client, and waits while it is slow.
pub(super) type Send<'a> = &'a mut dyn FnMut(Bytes) -> Result<(), ReceiverGone>;

/// An answer whose body `write` sends chunk by chunk, on a thread where it may block.
pub(super) fn answer(
    mut answer: HttpResponseBuilder,
    write: impl FnOnce(Send<'_>) -> Result<(), ReceiverGone> + std::marker::Send + 'static,
) -> HttpResponse {
    let (sender, receiver) = mpsc::channel(QUEUED_CHUNKS);
    // Nobody waits for the writer: it stops when the client has gone, and the body ends with it.
    drop(web::block(move || {
        let mut send = |chunk| sender.blocking_send(chunk).map_err(|_| ReceiverGone);
        if write(&mut send).is_err() {
            tracing::debug!("the client went away before its answer was written");
        }
    }));
    answer.body(Chunks { receiver })
}

struct Chunks {
    receiver: mpsc::Receiver<Bytes>,
}

impl MessageBody for Chunks {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.receiver.poll_recv(context).map(|chunk| chunk.map(Ok))
    }
}
