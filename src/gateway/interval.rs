//! Commits from time to time, as the stock gateway does. Requests are answered at once, and a crash loses at most
//! the changes of one interval.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::commit::{Committer, FailOnPanic, RETRY_AFTER};
use super::thread::WriterThread;

#[derive(Debug, Default)]
struct State {
    is_dirty: bool,
    is_closed: bool,
    /// Whether the last changes were written at the end.
    is_saved: bool,
}

#[derive(Debug, Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

/// The thread that commits.
#[derive(Debug)]
pub(super) struct Interval {
    signal: Arc<Signal>,
    thread: WriterThread,
}

impl Interval {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the system can't start a thread.
    pub(super) fn start(committer: Committer, interval: Duration) -> std::io::Result<Interval> {
        let signal = Arc::new(Signal::default());
        let theirs = signal.clone();
        let thread = WriterThread::start(move || theirs.run(committer, interval))?;
        Ok(Interval { signal, thread })
    }

    /// Notes that something has changed.
    pub(super) fn touch(&self) {
        let mut state = self.signal.lock();
        if !state.is_dirty {
            state.is_dirty = true;
            self.signal.changed.notify_one();
        }
    }

    /// Commits the last changes and closes the file. False if that failed.
    pub(super) fn close(&self) -> bool {
        self.signal.lock().is_closed = true;
        self.signal.changed.notify_one();
        self.thread.join();
        self.signal.lock().is_saved
    }
}

impl Signal {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stock gateway's schedule: after a change, commits when the interval since the start of the last commit
    /// has passed, or at once if it has passed already.
    fn run(&self, mut committer: Committer, interval: Duration) {
        let _fails = FailOnPanic(committer.health().clone());
        let mut last = Instant::now();
        loop {
            let wait = if committer.is_failing() { RETRY_AFTER } else { interval };
            let is_closed = self.wait_for_change(last, wait, committer.is_failing());
            last = Instant::now();
            self.lock().is_dirty = false;
            if is_closed {
                let is_saved = committer.commit_last().is_ok();
                committer.close();
                self.lock().is_saved = is_saved;
                return;
            }
            // The committer logs and shows the result.
            let _ = if committer.is_failing() { committer.recover() } else { committer.commit_unsaved() };
        }
    }

    /// Waits until there is something to commit and it is due, or until the gateway ends.
    fn wait_for_change(&self, last: Instant, wait: Duration, is_impatient: bool) -> bool {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return true;
            }
            let left = wait.saturating_sub(last.elapsed());
            if left.is_zero() && (state.is_dirty || is_impatient) {
                return false;
            }
            state = if state.is_dirty || is_impatient {
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            } else {
                self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }
}
