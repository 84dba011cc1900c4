//! The single writer. Requests queue for it, and it answers each one when its effect is on disk.
//!
//! It takes the requests that gathered while it was busy, applies all of them to a draft that nobody sees, commits
//! the difference, publishes the draft, and answers everyone. So a thousand pushes to the same ten series cost one
//! small write.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use tokio::sync::oneshot;

use super::Failure;
use super::clock::Clock;
use super::commit::{Committer, FailOnPanic, RETRY_AFTER};
use super::jobs::Worker;
use super::thread::WriterThread;
use crate::config::unlimited::most;
use crate::persistence::engine::Committed;
use crate::store::{Outcome, Store, Transaction};
use crate::telemetry::persistence::QueueMetrics;

/// How many requests may wait.
const MAX_QUEUED: usize = 8192;

/// The most memory that waiting pushes may take, in bytes. `body_bytes_in_flight` may lower it. A larger push may
/// wait only if nothing else waits.
const MAX_QUEUED_BYTES: u64 = 256 << 20;

/// The memory of a request besides its push and its body, in bytes.
const REQUEST_BYTES: usize = 1024;

/// The most requests in one commit.
const MAX_BATCH: usize = 1024;

/// How often a batch is drafted again because other gateways have committed first.
const MAX_TRIES: usize = 100;

/// The most memory for the pushes of one commit, in bytes. It keeps small pushes from waiting for all large ones
/// before them. A larger push is committed alone.
const MAX_BATCH_BYTES: usize = 16 << 20;

type Answer = Result<Outcome, Failure>;

/// Who waits until all that others have committed is taken in.
type Looker = oneshot::Sender<Result<(), Failure>>;

/// What the writer does at once.
#[derive(Debug, Default)]
struct Batch {
    jobs: Vec<Job>,
    lookers: Vec<Looker>,
}

#[derive(Debug)]
struct Job {
    transaction: Transaction<'static>,
    bytes: usize,
    answer: oneshot::Sender<Answer>,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    lookers: Vec<Looker>,
    bytes: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// How much memory waiting pushes may take, in bytes.
    room: usize,
    changed: Condvar,
    metrics: QueueMetrics,
}

/// The writer's queue and thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Arc<Queue>,
    thread: WriterThread,
}

impl Writer {
    /// Starts the thread. Waiting pushes may take at most `body_bytes_in_flight` of memory. `worker` is woken when
    /// something may expire earlier than before.
    ///
    /// # Errors
    ///
    /// If the system can't start a thread.
    pub(super) fn start(
        store: Arc<Store>,
        clock: Arc<Clock>,
        committer: Committer,
        metrics: QueueMetrics,
        body_bytes_in_flight: u64,
        worker: Arc<OnceLock<Worker>>,
    ) -> std::io::Result<Writer> {
        let room = most(body_bytes_in_flight).min(MAX_QUEUED_BYTES) as usize;
        let queue = Arc::new(Queue { waiting: Mutex::default(), room, changed: Condvar::new(), metrics });
        let work = Work { store, clock, committer, queue: queue.clone(), worker };
        let thread = WriterThread::start(move || work.run())?;
        Ok(Writer { queue, thread })
    }

    /// Queues a request. Its client holds `held` bytes while it waits. The answer comes when the effect is on disk.
    ///
    /// # Errors
    ///
    /// If too many requests wait already, or the gateway is shutting down.
    pub(super) fn submit(
        &self,
        transaction: Transaction<'static>,
        held: usize,
    ) -> Result<oneshot::Receiver<Answer>, Failure> {
        let bytes = transaction.size() + held + REQUEST_BYTES;
        let (answer, receiver) = oneshot::channel();
        let mut waiting = self.queue.lock();
        if waiting.is_closed {
            return Err(Failure::Closing);
        }
        let has_room = waiting.jobs.len() < MAX_QUEUED && waiting.bytes + bytes <= self.queue.room;
        if !has_room && !waiting.jobs.is_empty() {
            self.queue.metrics.overflowed();
            return Err(Failure::QueueFull);
        }
        waiting.bytes += bytes;
        waiting.jobs.push_back(Job { transaction, bytes, answer });
        self.queue.metrics.depth(waiting.jobs.len());
        let is_first = waiting.jobs.len() == 1;
        drop(waiting);
        if is_first {
            self.queue.changed.notify_one();
        }
        Ok(receiver)
    }

    /// Asks to take in all that other gateways have committed. The answer comes when that has happened; those who ask
    /// while the writer is busy share one question.
    ///
    /// # Errors
    ///
    /// If the gateway is shutting down.
    pub(super) fn look(&self) -> Result<oneshot::Receiver<Result<(), Failure>>, Failure> {
        let (answer, receiver) = oneshot::channel();
        let mut waiting = self.queue.lock();
        if waiting.is_closed {
            return Err(Failure::Closing);
        }
        waiting.lookers.push(answer);
        drop(waiting);
        self.queue.changed.notify_one();
        Ok(receiver)
    }

    /// Takes no more requests, and waits until the waiting ones are answered and the file is closed.
    pub(super) fn close(&self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_one();
        self.thread.join();
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for requests and takes a batch. `None` when the queue is closed. Returns an empty batch now and then
    /// if `is_impatient`, so that the caller can try the disk again or look what others have committed. `has_company` says
    /// whether requests come several at a time: then those that come with the first one share its commit.
    fn take(&self, is_impatient: bool, has_company: bool) -> Option<Batch> {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() && waiting.lookers.is_empty() {
            if waiting.is_closed {
                return None;
            }
            if is_impatient {
                waiting =
                    self.changed.wait_timeout(waiting, RETRY_AFTER).unwrap_or_else(PoisonError::into_inner).0;
                if waiting.jobs.is_empty() && waiting.lookers.is_empty() && !waiting.is_closed {
                    return Some(Batch::default());
                }
            } else {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
        }
        drop(waiting);
        if has_company {
            // The first request wakes the thread. On a single core, others are only about to come then.
            std::thread::yield_now();
        }
        let mut batch = Batch::default();
        self.top_up(&mut batch);
        Some(batch)
    }

    /// Adds what has come meanwhile, as far as there is room in the batch.
    fn top_up(&self, batch: &mut Batch) {
        let mut waiting = self.lock();
        waiting.move_to(batch);
        self.metrics.depth(waiting.jobs.len());
    }
}

impl Waiting {
    /// Moves as much to a batch as may be in it, and one request at least to an empty one.
    fn move_to(&mut self, batch: &mut Batch) {
        let mut bytes = batch.jobs.iter().map(|job| job.bytes).sum::<usize>();
        let fits = |job: &&Job| {
            bytes += job.bytes;
            bytes <= MAX_BATCH_BYTES
        };
        let room = MAX_BATCH.saturating_sub(batch.jobs.len());
        let least = usize::from(batch.jobs.is_empty());
        let count = self.jobs.iter().take(room).take_while(fits).count().max(least).min(self.jobs.len());
        self.bytes -= self.jobs.iter().take(count).map(|job| job.bytes).sum::<usize>();
        batch.jobs.extend(self.jobs.drain(..count));
        batch.lookers.append(&mut self.lookers);
    }
}

/// The state of the thread.
struct Work {
    store: Arc<Store>,
    clock: Arc<Clock>,
    committer: Committer,
    queue: Arc<Queue>,
    worker: Arc<OnceLock<Worker>>,
}

impl Work {
    fn run(mut self) {
        let _fails = FailOnPanic(self.committer.health().clone());
        let _closes = CloseOnDrop(self.queue.clone());
        // Whether the last batch had several requests.
        let mut has_company = false;
        while let Some(mut batch) =
            self.queue.take(self.committer.is_shared() || self.committer.is_failing(), has_company)
        {
            has_company = batch.jobs.len() > 1;
            let is_current = self.is_ready() && self.do_at_once(&mut batch);
            // What others have committed may expire, too.
            if self.store.take_sooner()
                && let Some(worker) = self.worker.get()
            {
                worker.wake();
            }
            let Batch { jobs, lookers } = batch;
            jobs.into_iter().for_each(|job| reply(job.answer, Err(Failure::NotKept)));
            let answer = || if is_current { Ok(()) } else { Err(Failure::NotKept) };
            // If the client has gone, nobody receives the answer.
            lookers.into_iter().for_each(|looker| drop(looker.send(answer())));
        }
        self.committer.close();
    }

    /// Whether the disk works. Tries to recover if the last commit failed and a new try is due.
    fn is_ready(&mut self) -> bool {
        !self.committer.is_failing() || (self.committer.may_recover() && self.committer.recover().is_ok())
    }

    /// Processes requests, or looks what others have committed if there are none. Returns whether the store has all that
    /// was committed before.
    fn do_at_once(&mut self, batch: &mut Batch) -> bool {
        if batch.jobs.is_empty() { self.committer.look().is_ok() } else { self.process(batch) }
    }

    /// Applies and keeps requests together and answers them. If that can't be done, returns false and leaves them.
    fn process(&mut self, batch: &mut Batch) -> bool {
        // Before the batch, so that a failed commit loses no key.
        self.store.keys().trim(self.clock.now());
        for _ in 0..MAX_TRIES {
            if self.committer.begin().is_err() {
                return false;
            }
            if self.committer.is_shared() {
                // It may have waited for the turn of others.
                self.queue.top_up(batch);
            }
            let mut draft = self.store.draft();
            let answers: Vec<Answer> = batch
                .jobs
                .iter()
                .map(|job| {
                    let applied = self.store.submit_to(&mut draft, &job.transaction, self.clock.now());
                    applied.map_err(Failure::from)
                })
                .collect();
            let committed = {
                let difference = self.store.difference_of(&draft);
                self.committer.commit(&difference, answers.len())
            };
            match committed {
                Ok(Committed::Kept(_)) => {
                    self.store.publish(draft);
                    let answered = batch.jobs.drain(..).zip(answers);
                    answered.for_each(|(job, answer)| reply(job.answer, answer));
                    return true;
                }
                Ok(Committed::Overtaken) => self.store.drop_draft(draft),
                Err(_) => {
                    self.store.drop_draft(draft);
                    return false;
                }
            }
        }
        false
    }
}

/// If the writer thread ends or panics, closes the queue so that waiting requests fail instead of hanging.
struct CloseOnDrop(Arc<Queue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.is_closed = true;
        waiting.jobs.clear();
        waiting.lookers.clear();
    }
}

fn reply(sender: oneshot::Sender<Answer>, answer: Answer) {
    // If the client has gone, nobody receives the answer.
    let _ = sender.send(answer);
}
