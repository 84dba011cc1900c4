//! Connections: their number, and the time limits for clients.
//!
//! actix limits only the time for the first head of a connection and the time between two requests, with a timer for
//! each. Here every head has a time limit, and so have the parts of a body, the reading of an answer, and the time between
//! two requests; one clock watches all of them. Nothing is read ahead, neither from a client that does not read its answers
//! nor behind a request that is being answered. What actix would refuse without an explanation is escaped if possible;
//! otherwise the client is told what is wrong. A client that waits for `100 Continue` gets it here, once the gateway wants
//! the body.

mod since;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::State;
use super::admission::Share;
use super::closing::Closing;
use super::head::Looked;
use super::refusal::{DRAIN_TIMEOUT, DRAINED_BYTES, Refusing};
use watch::CloseReason;

pub(super) use watch::{Answering, ReadingBody, Watch};

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 68\r\n\r\n\
    too many connections are open (limits.connections): try again later\n";

const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\n\
    X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\nContent-Length: 70\r\n\r\n\
    the head of the request took longer than it may (limits.head_timeout)\n";

/// A connection under these limits.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    watch: Rc<Watch>,
    /// Bytes that were read but not yet examined, because the request before them is still being parsed or
    /// answered.
    held: Vec<u8>,
    /// Bytes that were examined but not yet passed to actix.
    waiting: Vec<u8>,
    /// The answer to a request that actix can't parse. It is the last one of the connection.
    refusing: Option<Box<Refusing>>,
    _share: Share,
}

/// An accepted connection with the address of its peer.
pub(super) type Admitted<S> = (Watched<S>, Option<SocketAddr>);

/// Accepts a connection unless there are too many.
pub(super) async fn admit(state: Arc<State>, stream: TcpStream) -> Result<Admitted<TcpStream>, ()> {
    let peer = stream.peer_addr().ok();
    match state.connections.take(1) {
        Some(share) => Ok((Watched::new(&state, stream, peer, share), peer)),
        None => {
            refuse(&state, stream).await;
            Err(())
        }
    }
}

impl<S> Watched<S> {
    /// Wraps a stream. The connection counts until it is dropped.
    pub(super) fn new(state: &Arc<State>, stream: S, peer: Option<SocketAddr>, share: Share) -> Watched<S> {
        let watch = Watch::begin(state, peer);
        Watched { stream, watch, held: Vec::new(), waiting: Vec::new(), refusing: None, _share: share }
    }

    /// The state of the connection.
    pub(super) fn watch(&self) -> &Rc<Watch> {
        &self.watch
    }
}

/// Tells a client that there are too many connections.
async fn refuse(state: &State, mut stream: TcpStream) {
    struct Leaves<'a>(&'a AtomicUsize);
    impl Drop for Leaves<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let has_time = state.refusing.fetch_add(1, Ordering::Relaxed) < state.descriptors.patient_refusals();
    let _leaves = Leaves(&state.refusing);
    if has_time {
        turn_away(stream, TOO_MANY).await;
    } else {
        let _ = timeout(DRAIN_TIMEOUT, stream.write_all(TOO_MANY)).await;
    }
}

/// Sends this answer and closes the connection. Errors are ignored.
pub(super) async fn turn_away(mut stream: TcpStream, answer: &[u8]) {
    let exchange = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        let mut drained = 0;
        while drained < DRAINED_BYTES {
            match stream.read(&mut unread).await? {
                0 => break,
                count => drained += count,
            }
        }
        io::Result::Ok(())
    };
    let _ = timeout(DRAIN_TIMEOUT, exchange).await;
}

impl<S: AsyncRead + AsyncWrite + Closing + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let watch = &this.watch;
        match watch.close_reason.get() {
            None => {}
            Some(CloseReason::SlowHead) => {
                if !watch.is_told.replace(true) {
                    // The client may not read it, which is ignored.
                    let _ = Pin::new(&mut this.stream).poll_write(context, TOO_SLOW);
                }
                return Poll::Ready(Ok(()));
            }
            Some(CloseReason::Over) => return Poll::Ready(Ok(())),
            Some(CloseReason::SlowReading) => return Poll::Ready(this.still_reads()),
        }
        if watch.holds_reading_up() {
            watch.has_read_waiting.set(true);
            watch.wait(context);
            if watch.asker.borrow().is_some() {
                watch.is_closed.set(this.stream.is_closed(context));
            }
            return Poll::Pending;
        }
        if !this.waiting.is_empty() {
            hand_on(&mut this.waiting, buffer);
            return Poll::Ready(Ok(()));
        }
        if watch.asking.is_due() {
            let asked = watch.asking.poll(&mut this.stream, context);
            if asked.is_pending() {
                watch.wait(context);
            }
            ready!(asked)?;
        }
        // A read may bring nothing to pass on, so this repeats.
        loop {
            if watch.heads.borrow().has_to_wait() {
                watch.has_read_waiting.set(true);
                watch.wait(context);
                return Poll::Pending;
            }
            let before = buffer.filled().len();
            if !this.held.is_empty() {
                watch.something_came();
                let Looked { taken, changed } = watch.look(&this.held);
                let behind = this.held.split_off(taken);
                this.waiting = changed.unwrap_or_else(|| std::mem::take(&mut this.held));
                this.held = behind;
            } else {
                let read = Pin::new(&mut this.stream).poll_read(context, buffer);
                if read.is_pending() {
                    watch.wait(context);
                    return Poll::Pending;
                }
                let new = &buffer.filled()[before..];
                if new.is_empty() {
                    watch.is_closed.set(true);
                    return read;
                }
                watch.something_came();
                let Looked { taken, changed } = watch.look(new);
                this.held = new[taken..].to_vec();
                let Some(changed) = changed else {
                    buffer.set_filled(before + taken);
                    return read;
                };
                buffer.set_filled(before);
                this.waiting = changed;
            }
            hand_on(&mut this.waiting, buffer);
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Moves as many bytes as fit into the buffer.
fn hand_on(waiting: &mut Vec<u8>, buffer: &mut ReadBuf<'_>) {
    let length = waiting.len().min(buffer.remaining());
    buffer.put_slice(&waiting[..length]);
    waiting.drain(..length);
}

impl<S> Watched<S> {
    /// The error of a client that did not read its answer in time.
    fn still_reads(&self) -> io::Result<()> {
        match self.watch.close_reason.get() {
            Some(CloseReason::SlowReading) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the client is too slow"))
            }
            _ => Ok(()),
        }
    }

    /// Notes whether the client reads its answer.
    fn note<T>(&self, context: &mut Context<'_>, written: &Poll<io::Result<T>>) {
        let watch = &self.watch;
        if written.is_pending() {
            if !watch.blocked_since.lasts() {
                watch.blocked_since.begin();
            }
            watch.wait(context);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.still_reads()?;
        this.watch.asking.give_up();
        if this.watch.asking.is_due() {
            let asked = this.watch.asking.poll(&mut this.stream, context);
            this.note(context, &asked);
            ready!(asked)?;
        }
        if this.refusing.is_none() {
            this.refusing = this.watch.refusal(bytes);
        }
        let written = match &mut this.refusing {
            // The bytes of actix's answer count as written once its replacement is sent.
            Some(refusing) => refusing.poll(Pin::new(&mut this.stream), context).map_ok(|()| bytes.len()),
            None => Pin::new(&mut this.stream).poll_write(context, bytes),
        };
        this.note(context, &written);
        written
    }

    /// actix flushes after it has written everything.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.still_reads()?;
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.note(context, &flushed);
        if flushed.is_ready() && this.watch.blocked_since.end() {
            this.watch.answered_since.begin();
            if this.watch.head_since.lasts() {
                this.watch.head_since.begin();
            }
            this.watch.read_on();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.still_reads()?;
        // The end of TLS may have to be sent before.
        let shut_down = Pin::new(&mut this.stream).poll_shutdown(context);
        this.note(context, &shut_down);
        shut_down
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| &**slice);
        self.poll_write(context, first)
    }
}
