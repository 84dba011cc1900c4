//! The state of each connection, and the rules for closing it.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::since::Since;
use crate::config::Limits;
use crate::config::unlimited::longest;
use crate::gateway::Client;
use crate::gateway::browse::Asker;
use crate::http::State;
use crate::http::asking::Asking;
use crate::http::head::{Expectation, Heads, Looked};
use crate::http::refusal::{self, DRAIN_TIMEOUT, Refusing};
use crate::model::limits::Limit;

/// The state of a connection.
#[derive(Debug)]
pub(in crate::http) struct Watch {
    /// When the head of the current request began to arrive.
    pub(super) head_since: Since,
    /// Since when the client has not read its answer.
    pub(super) blocked_since: Since,
    /// Whether a read was held up meanwhile.
    pub(super) has_read_waiting: Cell<bool>,
    /// The number of requests that are being answered.
    answering: Cell<u32>,
    /// Since when the current part of a body is being waited for.
    body_since: Since,
    /// Whether the client waits for `100 Continue`.
    pub(super) asking: Asking,
    /// Since when the last request is answered.
    pub(super) answered_since: Since,
    /// Whether the answer told the client that the connection will close.
    is_closing: Cell<bool>,
    /// Whether the connection closes with the current answer, although the client may send more of the request.
    is_ending: Cell<bool>,
    /// Whether the client is known to have closed the connection, or its sending side.
    pub(super) is_closed: Cell<bool>,
    /// The client of an answer that need not be finished once the client has gone.
    pub(super) asker: RefCell<Option<Asker>>,
    pub(super) close_reason: Cell<Option<CloseReason>>,
    pub(super) is_told: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    pub(super) heads: RefCell<Heads>,
    /// The peer.
    client: Client,
    monitor: Rc<ConnectionMonitor>,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The head of a request did not come in time.
    SlowHead,
    /// An answer was not read in time.
    SlowReading,
    /// The client has nothing more to send or to get.
    Over,
}

/// Marks a request as being answered until it is dropped.
#[derive(Debug)]
pub(in crate::http) struct Answering(Rc<Watch>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.set(self.0.answering.get() - 1);
        self.0.answered_since.begin();
        self.0.read_on();
        if self.0.is_ending.get() && self.0.answering.get() == 0 {
            self.0.close_reason.set(self.0.close_reason.get().or(Some(CloseReason::Over)));
            self.0.wake();
        }
    }
}

/// Lets an answer be given up once the client has gone, until this is dropped.
#[derive(Debug)]
pub(in crate::http) struct Attended {
    watch: Rc<Watch>,
    pub(super) asker: Asker,
}

impl Attended {
    /// Tells whether the client still waits.
    pub(in crate::http) fn asker(&self) -> &Asker {
        &self.asker
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.asker.leave();
        self.watch.asker.replace(None);
    }
}

/// Marks the body of a request as being read until it is dropped.
#[derive(Debug)]
pub(in crate::http) struct ReadingBody(Rc<Watch>);

impl ReadingBody {
    /// Begins the time for the next part of the body.
    pub(in crate::http) fn next_part(&self) {
        self.0.body_since.begin();
    }

    /// Whether the current part takes too long. The request is woken when it does.
    pub(in crate::http) fn is_late(&self) -> bool {
        self.0.is_body_late()
    }
}

impl Drop for ReadingBody {
    fn drop(&mut self) {
        self.0.body_since.end();
    }
}

impl Watch {
    /// The state of a new connection.
    pub(super) fn begin(state: &Arc<State>, peer: Option<SocketAddr>) -> Rc<Watch> {
        let monitor = monitor(state);
        let watch = Rc::new(Watch {
            head_since: Since::default(),
            blocked_since: Since::default(),
            has_read_waiting: Cell::new(false),
            answering: Cell::new(0),
            body_since: Since::default(),
            asking: Asking::default(),
            answered_since: Since::default(),
            is_closing: Cell::new(false),
            is_ending: Cell::new(false),
            is_closed: Cell::new(false),
            asker: RefCell::default(),
            close_reason: Cell::new(None),
            is_told: Cell::new(false),
            waker: RefCell::default(),
            heads: RefCell::default(),
            client: Client::from(peer),
            monitor: monitor.clone(),
        });
        watch.head_since.begin();
        monitor.connections.borrow_mut().push(Rc::downgrade(&watch));
        watch
    }

    /// Marks the request whose head has arrived as being answered.
    pub(in crate::http) fn answering(self: &Rc<Watch>) -> Answering {
        self.answering.set(self.answering.get() + 1);
        self.head_since.end();
        let expectation = SPARE_HEAD.with_borrow_mut(|spare| self.heads.borrow_mut().understood(spare));
        self.asking.begin(expectation);
        Answering(self.clone())
    }

    /// Marks the current answer as useless soon after the client has closed the connection.
    pub(in crate::http) fn attended(self: &Rc<Watch>) -> Attended {
        let asker = Asker::default();
        self.asker.replace(Some(asker.clone()));
        Attended { watch: self.clone(), asker }
    }

    /// What the client waits for before it sends the body of the current request.
    pub(in crate::http) fn expectation(&self) -> Expectation {
        self.asking.expectation()
    }

    /// Notes that the client sends the body without waiting for `100 Continue`.
    pub(in crate::http) fn body_has_come(&self) {
        self.asking.body_has_come();
    }

    /// Lets more of the body be read. A client that waits for `100 Continue` gets it.
    pub(in crate::http) fn reading_body(self: &Rc<Watch>) -> ReadingBody {
        self.body_since.begin();
        if self.asking.body_is_wanted() {
            self.wake();
        }
        self.read_on();
        ReadingBody(self.clone())
    }

    /// Whether reading is held up. A client that does not read its answers must not send requests whose answers
    /// pile up. Requests behind the current one wait in the buffers of the system; actix would take in as many as
    /// 16, with heads of 128 KiB each.
    pub(super) fn holds_reading_up(&self) -> bool {
        self.blocked_since.lasts() || (self.answering.get() != 0 && !self.body_since.lasts())
    }

    /// Resumes a read that was held up, unless it still has to wait.
    pub(super) fn read_on(&self) {
        if self.has_read_waiting.get() && !self.holds_reading_up() {
            self.has_read_waiting.set(false);
            self.wake();
        }
    }

    /// The replacement for these bytes if they are actix's answer to a request that it can't parse.
    pub(super) fn refusal(&self, bytes: &[u8]) -> Option<Box<Refusing>> {
        let heads = self.heads.borrow();
        let head = heads.refused()?;
        let (at, status) = refusal::find(bytes)?;
        let reason = refusal::reason(status, head);
        tracing::debug!(source = %self.client, err = reason, "request can't be read");
        let answer = [&bytes[..at], &refusal::answer(status, &reason)].concat();
        Some(Box::new(Refusing::new(answer)))
    }

    /// Closes the connection with the current answer. actix would wait for the rest of a chunked body.
    pub(in crate::http) fn end(&self) {
        self.is_ending.set(true);
    }

    /// Closes the connection soon after the current answer, which says so. A client that sends its body anyway has
    /// a moment for that, so that it can read the answer.
    pub(in crate::http) fn end_soon(&self) {
        self.is_closing.set(true);
    }

    fn is_body_late(&self) -> bool {
        self.body_since.is_over(self.monitor.now.get(), self.monitor.times.body)
    }

    fn judge(&self) {
        let (now, times) = (self.monitor.now.get(), &self.monitor.times);
        for since in [&self.head_since, &self.blocked_since, &self.body_since, &self.answered_since] {
            since.date(now);
        }
        if let Some(asker) = &*self.asker.borrow() {
            // A client that has closed only its sending side still gets answers that are ready soon.
            if self.is_closed.get() {
                asker.leave();
            } else {
                // Reading is held up, so this is the only way to notice that the client has gone.
                self.wake();
            }
        }
        if self.is_body_late() {
            // Who answers the request finds out.
            self.wake();
        }
        let is_waiting = self.answering.get() == 0 && !self.blocked_since.lasts();
        let (close_reason, limit) = if self.blocked_since.is_over(now, times.send) {
            (CloseReason::SlowReading, Some(Limit::SendTimeout))
        } else if is_waiting && self.is_closing.get() {
            // The client is sending a body that is not wanted.
            if !self.answered_since.is_over(now, times.close) {
                return;
            }
            (CloseReason::Over, None)
        } else if is_waiting && self.head_since.is_over(now, times.head) {
            (CloseReason::SlowHead, Some(Limit::HeadTimeout))
        } else if is_waiting && !self.head_since.lasts() && self.answered_since.is_over(now, times.idle) {
            (CloseReason::Over, None)
        } else {
            return;
        };
        if self.close_reason.replace(Some(close_reason)).is_none()
            && let Some(limit) = limit
        {
            self.monitor.state.gateway.telemetry().limits().hit(limit);
            tracing::debug!(source = %self.client, limit = limit.setting(), "the client is too slow");
        }
        self.wake();
    }

    /// Notes that bytes have arrived. If nothing is being answered, they begin a head.
    pub(super) fn something_came(&self) {
        if self.answering.get() == 0 && !self.head_since.lasts() {
            self.head_since.begin();
        }
    }

    pub(super) fn look(&self, bytes: &[u8]) -> Looked {
        SPARE_HEAD.with_borrow_mut(|spare| self.heads.borrow_mut().read(bytes, spare))
    }

    pub(super) fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn wait(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if waker.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }
}

/// Closes the slow and idle connections of one thread.
#[derive(Debug)]
struct ConnectionMonitor {
    /// In milliseconds. It advances with each tick.
    now: Cell<u64>,
    times: Times,
    connections: RefCell<Vec<Weak<Watch>>>,
    state: Arc<State>,
}

/// The time limits, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    head: u64,
    body: u64,
    send: u64,
    idle: u64,
    close: u64,
    /// How often the connections are checked.
    tick: u64,
}

impl Times {
    fn of(limits: &Limits) -> Times {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let [head, body, send, idle] =
            [limits.head_timeout, limits.body_timeout, limits.send_timeout, limits.idle_timeout]
                .map(|time| millis(longest(time)));
        let tick = (head.min(body).min(send).min(idle) / 8).clamp(10, 500);
        Times { head, body, send, idle, close: millis(DRAIN_TIMEOUT), tick }
    }
}

thread_local! {
    static MONITOR: RefCell<Option<Rc<ConnectionMonitor>>> = const { RefCell::new(None) };

    /// A buffer for the next head.
    static SPARE_HEAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The monitor of this thread. It is created with the first connection.
fn monitor(state: &Arc<State>) -> Rc<ConnectionMonitor> {
    MONITOR.with_borrow_mut(|monitor| {
        let begin = || {
            let monitor = Rc::new(ConnectionMonitor {
                now: Cell::new(0),
                times: Times::of(&state.limits),
                connections: RefCell::default(),
                state: state.clone(),
            });
            actix_web::rt::spawn(watch(monitor.clone()));
            monitor
        };
        monitor.get_or_insert_with(begin).clone()
    })
}

async fn watch(monitor: Rc<ConnectionMonitor>) {
    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(monitor.times.tick));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        monitor.now.set(now);
        let judged = |watch: &Weak<Watch>| watch.upgrade().inspect(|watch| watch.judge()).is_some();
        let mut connections = monitor.connections.borrow_mut();
        connections.retain(judged);
        if connections.capacity() > 4 * connections.len() + 1024 {
            connections.shrink_to_fit();
        }
    }
}
