//! Asking a client for the body of its request: `100 Continue`, once the body is wanted and not before.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::head::Expectation;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Whether the client of a connection has to be asked for the body of the request that is being answered.
#[derive(Debug, Default)]
pub(super) struct Asking {
    expectation: Cell<Expectation>,
    /// What of [`CONTINUE`] is to be written, while it is to be sent.
    rest: Cell<Option<&'static [u8]>>,
}

impl Asking {
    /// A request is answered from now on that expects this.
    pub(super) fn begin(&self, expectation: Expectation) {
        self.expectation.set(expectation);
    }

    /// What the client expects still.
    pub(super) fn expectation(&self) -> Expectation {
        self.expectation.get()
    }

    /// The body has begun to come, although the client was not asked for it.
    pub(super) fn body_has_come(&self) {
        self.expectation.set(Expectation::None);
    }

    /// The body is wanted. Returns whether the client waits to be asked for it.
    pub(super) fn body_is_wanted(&self) -> bool {
        let waits = self.expectation.replace(Expectation::None) == Expectation::Continue;
        if waits {
            self.rest.set(Some(CONTINUE));
        }
        waits
    }

    /// Whether something is to be sent.
    pub(super) fn is_due(&self) -> bool {
        self.rest.get().is_some()
    }

    /// The answer is there, so the body is not wanted any more. What has been sent in part has to be sent whole.
    pub(super) fn give_up(&self) {
        if self.rest.get().is_some_and(|rest| rest.len() == CONTINUE.len()) {
            self.rest.set(None);
        }
    }

    /// Sends what is to be sent.
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
