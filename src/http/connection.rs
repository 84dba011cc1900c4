//! Connections: how many there are, and how long a client may take.
//!
//! actix bounds the time for the first head of a connection only. Here every head has its time, and so has
//! reading an answer; and nothing is read ahead: neither from a client that does not read its answers, nor behind
//! a request that is being answered. What actix would refuse without a word is escaped where it can be, and else
//! the client is told what is wrong. A client that waits to be asked for the body of its request is asked here, once
//! the body is wanted.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::asking::Asking;
use super::closing::Closing;
use super::head::{Expectation, Heads, Looked};
use super::refusal::{DRAIN_TIMEOUT, DRAINED_BYTES, Refusing};
use super::serve::Admitted;
use super::{State, refusal};
use crate::config::Limits;
use crate::config::unlimited::longest;
use crate::gateway::Client;
use crate::gateway::browse::Asker;
use crate::model::limits::Limit;
use crate::telemetry::limits::Share;

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 68\r\n\r\n\
    too many connections are open (limits.connections): try again later\n";

const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\n\
    X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\nContent-Length: 70\r\n\r\n\
    the head of the request took longer than it may (limits.head_timeout)\n";

/// A connection that is watched.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    watch: Rc<Watch>,
    /// What was read and has not been looked at: the request before has not been understood or answered.
    held: Vec<u8>,
    /// What has been looked at and not been handed on.
    waiting: Vec<u8>,
    /// The last answer, to a request that actix does not understand.
    refusing: Option<Box<Refusing>>,
    _share: Share,
}

/// What is known about a connection. Times are those of [`Warden::now`], 0 for none.
#[derive(Debug)]
pub(super) struct Watch {
    /// Since when the head of a request has been on its way.
    head_since: Cell<u64>,
    /// Since when the client has not read what waits for it.
    blocked_since: Cell<u64>,
    /// Whether something was to be read meanwhile.
    has_read_waiting: Cell<bool>,
    /// Requests that are being answered.
    answering: Cell<u32>,
    /// Whether the body of the one that is being answered is being read.
    is_reading_body: Cell<bool>,
    /// Whether the client waits to be asked for that body.
    asking: Asking,
    /// When the last of them was answered.
    answered_at: Cell<u64>,
    /// Whether the client has been told that the connection ends, and may be waiting for that.
    is_closing: Cell<bool>,
    /// Whether the connection ends with the answer, although more of the request may come.
    is_ending: Cell<bool>,
    /// Whether the client has closed the connection, or its side of it, as far as that was seen.
    is_closed: Cell<bool>,
    /// Who waits for an answer that need not be made for nobody.
    asker: RefCell<Option<Asker>>,
    verdict: Cell<Option<Verdict>>,
    is_told: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    heads: RefCell<Heads>,
    /// The other end.
    client: Client,
    warden: Rc<Warden>,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The head of a request did not come in time.
    SlowHead,
    /// An answer was not read in time.
    SlowReading,
    /// Nothing is to be expected any more.
    Over,
}

/// Lasts while a request is being answered.
#[derive(Debug)]
pub(super) struct Answering(Rc<Watch>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.set(self.0.answering.get() - 1);
        self.0.answered_at.set(self.0.warden.now.get());
        self.0.read_on();
        if self.0.is_ending.get() && self.0.answering.get() == 0 {
            self.0.verdict.set(self.0.verdict.get().or(Some(Verdict::Over)));
            self.0.wake();
        }
    }
}

/// Lasts while an answer is being made that need not be made once the client has gone.
#[derive(Debug)]
pub(super) struct Attended {
    watch: Rc<Watch>,
    asker: Asker,
}

impl Attended {
    /// Who waits for the answer.
    pub(super) fn asker(&self) -> &Asker {
        &self.asker
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.asker.leave();
        self.watch.asker.replace(None);
    }
}

/// Lasts while the body of a request is being read.
#[derive(Debug)]
pub(super) struct ReadingBody(Rc<Watch>);

impl Drop for ReadingBody {
    fn drop(&mut self) {
        self.0.is_reading_body.set(false);
    }
}

impl Watch {
    /// A request has come whole, or its head has, and is answered from now on.
    pub(super) fn answering(self: &Rc<Watch>) -> Answering {
        self.answering.set(self.answering.get() + 1);
        self.head_since.set(0);
        let expectation = SPARE_HEAD.with_borrow_mut(|spare| self.heads.borrow_mut().understood(spare));
        self.asking.begin(expectation);
        Answering(self.clone())
    }

    /// The answer that is being made is of no use a moment after the client has closed the connection.
    pub(super) fn attended(self: &Rc<Watch>) -> Attended {
        let asker = Asker::default();
        self.asker.replace(Some(asker.clone()));
        Attended { watch: self.clone(), asker }
    }

    /// What the client expects before it sends the body of the request that is being answered.
    pub(super) fn expectation(&self) -> Expectation {
        self.asking.expectation()
    }

    /// The body of the request that is being answered has begun to come, although the client was not asked for it.
    pub(super) fn body_has_come(&self) {
        self.asking.body_has_come();
    }

    /// More of the body of the request that is being answered is to come. A client that waits for that is asked for it.
    pub(super) fn reading_body(self: &Rc<Watch>) -> ReadingBody {
        self.is_reading_body.set(true);
        if self.asking.body_is_wanted() {
            self.wake();
        }
        self.read_on();
        ReadingBody(self.clone())
    }

    /// Whether nothing is read at the moment: a client that does not read gets no chance to send requests whose answers
    /// pile up, and requests behind one that is being answered wait in the buffers of the system. actix would take in
    /// as many as 16, with heads of 128 KiB each.
    fn holds_reading_up(&self) -> bool {
        self.blocked_since.get() != 0 || (self.answering.get() != 0 && !self.is_reading_body.get())
    }

    /// Reads what was held up, if it was, and nothing holds it up any more.
    fn read_on(&self) {
        if self.has_read_waiting.get() && !self.holds_reading_up() {
            self.has_read_waiting.set(false);
            self.wake();
        }
    }

    /// The answer in the place of these bytes, if actix refuses with them what it does not understand.
    fn refusal(&self, bytes: &[u8]) -> Option<Box<Refusing>> {
        let heads = self.heads.borrow();
        let head = heads.refused()?;
        let (at, status) = refusal::find(bytes)?;
        let reason = refusal::reason(status, head);
        tracing::debug!(source = %self.client, err = reason, "request can't be read");
        let answer = [&bytes[..at], &refusal::answer(status, &reason)].concat();
        Some(Box::new(Refusing::new(answer)))
    }

    /// Ends the connection with the answer that is being given. actix waits for the rest of a body that comes in
    /// chunks.
    pub(super) fn end(&self) {
        self.is_ending.set(true);
    }

    /// Ends the connection soon after the answer that is being given, which says so. A client that sends the body of
    /// its request nonetheless has a moment for it, so that it can read the answer.
    pub(super) fn end_soon(&self) {
        self.is_closing.set(true);
    }

    fn judge(&self, now: u64, times: &Times) {
        if let Some(asker) = &*self.asker.borrow() {
            // One that has only closed its own side gets what is answered soon.
            if self.is_closed.get() {
                asker.leave();
            } else {
                // Nothing is read meanwhile, so that nothing else tells.
                self.wake();
            }
        }
        let is_over = |since: u64, longest: u64| since != 0 && now.saturating_sub(since) >= longest;
        let is_waiting = self.answering.get() == 0 && self.blocked_since.get() == 0;
        let (verdict, limit) = if is_over(self.blocked_since.get(), times.send) {
            (Verdict::SlowReading, Some(Limit::SendTimeout))
        } else if is_waiting && self.is_closing.get() {
            // What is read now is a body that nobody wants.
            if !is_over(self.answered_at.get(), times.close) {
                return;
            }
            (Verdict::Over, None)
        } else if is_waiting && is_over(self.head_since.get(), times.head) {
            (Verdict::SlowHead, Some(Limit::HeadTimeout))
        } else if is_waiting && self.head_since.get() == 0 && is_over(self.answered_at.get(), times.idle) {
            (Verdict::Over, None)
        } else {
            return;
        };
        if self.verdict.replace(Some(verdict)).is_none()
            && let Some(limit) = limit
        {
            self.warden.state.gateway.telemetry().limits().hit(limit);
            tracing::debug!(source = %self.client, limit = limit.setting(), "the client is too slow");
        }
        self.wake();
    }

    /// Notes that something was read, which begins a head if nothing is being answered.
    fn something_came(&self) {
        if self.answering.get() == 0 && self.head_since.get() == 0 {
            self.head_since.set(self.warden.now.get());
        }
    }

    fn look(&self, bytes: &[u8]) -> Looked {
        SPARE_HEAD.with_borrow_mut(|spare| self.heads.borrow_mut().read(bytes, spare))
    }

    fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn wait(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if waker.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }
}

/// Looks after the connections of one thread.
#[derive(Debug)]
struct Warden {
    /// Milliseconds, from 1 on; as exact as the ticks.
    now: Cell<u64>,
    connections: RefCell<Vec<Weak<Watch>>>,
    state: Arc<State>,
}

/// How long what may take, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    head: u64,
    send: u64,
    idle: u64,
    close: u64,
}

/// How much later than actix idle connections are closed here: it does not see all of them.
const IDLE_SLACK: Duration = Duration::from_secs(1);

impl Times {
    fn of(limits: &Limits) -> Times {
        let millis = |time| u64::try_from(longest(time).as_millis()).unwrap_or(u64::MAX);
        Times {
            head: millis(limits.head_timeout),
            send: millis(limits.send_timeout),
            idle: millis(longest(limits.idle_timeout) + IDLE_SLACK),
            close: millis(DRAIN_TIMEOUT),
        }
    }

    /// How exact times have to be.
    fn tick(self) -> Duration {
        Duration::from_millis((self.head.min(self.send) / 8).clamp(10, 500))
    }
}

thread_local! {
    static WARDEN: RefCell<Option<Rc<Warden>>> = const { RefCell::new(None) };

    /// Memory for the next head that is read.
    static SPARE_HEAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The warden of this thread, which begins with the first connection.
fn warden(state: &Arc<State>) -> Rc<Warden> {
    WARDEN.with_borrow_mut(|warden| {
        let begin = || {
            let warden =
                Rc::new(Warden { now: Cell::new(1), connections: RefCell::default(), state: state.clone() });
            actix_web::rt::spawn(watch(warden.clone()));
            warden
        };
        warden.get_or_insert_with(begin).clone()
    })
}

async fn watch(warden: Rc<Warden>) {
    let times = Times::of(&warden.state.limits);
    let began = Instant::now();
    let mut ticks = tokio::time::interval(times.tick());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        warden.now.set(now);
        let judged =
            |watch: &Weak<Watch>| watch.upgrade().inspect(|watch| watch.judge(now, &times)).is_some();
        let mut connections = warden.connections.borrow_mut();
        connections.retain(judged);
        if connections.capacity() > 4 * connections.len() + 1024 {
            connections.shrink_to_fit();
        }
    }
}

/// Lets a connection in, if there are not too many.
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
    /// A connection of this stream, which lasts as long as its share.
    pub(super) fn new(state: &Arc<State>, stream: S, peer: Option<SocketAddr>, share: Share) -> Watched<S> {
        let warden = warden(state);
        let watch = Rc::new(Watch {
            head_since: Cell::new(warden.now.get()),
            blocked_since: Cell::new(0),
            has_read_waiting: Cell::new(false),
            answering: Cell::new(0),
            is_reading_body: Cell::new(false),
            asking: Asking::default(),
            answered_at: Cell::new(0),
            is_closing: Cell::new(false),
            is_ending: Cell::new(false),
            is_closed: Cell::new(false),
            asker: RefCell::default(),
            verdict: Cell::new(None),
            is_told: Cell::new(false),
            waker: RefCell::default(),
            heads: RefCell::default(),
            client: Client::from(peer),
            warden: warden.clone(),
        });
        warden.connections.borrow_mut().push(Rc::downgrade(&watch));
        Watched { stream, watch, held: Vec::new(), waiting: Vec::new(), refusing: None, _share: share }
    }

    /// What is known about the connection.
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

/// Gives a client this answer and closes the connection. What goes wrong then is the client's loss.
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

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client is too slow")
}

impl<S: AsyncRead + AsyncWrite + Closing + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let watch = &this.watch;
        match watch.verdict.get() {
            None => {}
            Some(Verdict::SlowHead) => {
                if !watch.is_told.replace(true) {
                    // A client that does not read it gets nothing.
                    let _ = Pin::new(&mut this.stream).poll_write(context, TOO_SLOW);
                }
                return Poll::Ready(Ok(()));
            }
            Some(Verdict::Over) => return Poll::Ready(Ok(())),
            Some(Verdict::SlowReading) => return Poll::Ready(Err(too_slow())),
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
        // What was read may be nothing that is handed on.
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

/// Hands on as much as there is room for.
fn hand_on(waiting: &mut Vec<u8>, buffer: &mut ReadBuf<'_>) {
    let length = waiting.len().min(buffer.remaining());
    buffer.put_slice(&waiting[..length]);
    waiting.drain(..length);
}

impl<S> Watched<S> {
    /// Notes whether the client takes what is sent.
    fn note<T>(&self, context: &mut Context<'_>, written: &Poll<io::Result<T>>) {
        let watch = &self.watch;
        if written.is_pending() {
            if watch.blocked_since.get() == 0 {
                watch.blocked_since.set(watch.warden.now.get());
            }
            watch.wait(context);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.watch.verdict.get() == Some(Verdict::SlowReading) {
            return Poll::Ready(Err(too_slow()));
        }
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
            // What actix would have said counts as written once it is said in other words.
            Some(refusing) => refusing.poll(Pin::new(&mut this.stream), context).map_ok(|()| bytes.len()),
            None => Pin::new(&mut this.stream).poll_write(context, bytes),
        };
        this.note(context, &written);
        written
    }

    /// actix flushes once all that it has is written.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.note(context, &flushed);
        if flushed.is_ready() && this.watch.blocked_since.replace(0) != 0 {
            if this.watch.head_since.get() != 0 {
                this.watch.head_since.set(this.watch.warden.now.get());
            }
            this.watch.read_on();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
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
