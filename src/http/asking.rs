//! Sends `100 Continue` to a client that waits for it, once the gateway wants the body.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::head::Expectation;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Whether the client of a connection waits for `100 Continue` to the current request.
#[derive(Debug, Default)]
pub(super) struct Asking {
    expectation: Cell<Expectation>,
    /// The part of [`CONTINUE`] that is still to be sent. `None` if nothing is.
    rest: Cell<Option<&'static [u8]>>,
}

impl Asking {
    /// Begins a request with this expectation.
    pub(super) fn begin(&self, expectation: Expectation) {
        self.expectation.set(expectation);
    }

    /// What the client still waits for.
    pub(super) fn expectation(&self) -> Expectation {
        self.expectation.get()
    }

    /// Notes that the client sends the body without waiting any longer.
    pub(super) fn body_has_come(&self) {
        self.expectation.set(Expectation::None);
    }

    /// Notes that the gateway wants the body. Returns whether the client waits for `100 Continue`.
    pub(super) fn body_is_wanted(&self) -> bool {
        let waits = self.expectation.replace(Expectation::None) == Expectation::Continue;
        if waits {
            self.rest.set(Some(CONTINUE));
        }
        waits
    }

    /// Whether `100 Continue` has to be sent.
    pub(super) fn is_due(&self) -> bool {
        self.rest.get().is_some()
    }

    /// Drops `100 Continue` because the answer is ready. If a part was sent, the rest must follow.
    pub(super) fn give_up(&self) {
        if self.rest.get().is_some_and(|rest| rest.len() == CONTINUE.len()) {
            self.rest.set(None);
        }
    }

    /// Sends `100 Continue` or the rest of it.
    pub(super) fn poll<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.rest.get() {
            match Pin::new(&mut *stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.rest.set(Some(&rest[count..])),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let flushed = Pin::new(stream).poll_flush(context);
        if flushed.is_ready() {
            self.rest.set(None);
        }
        flushed
    }
}
