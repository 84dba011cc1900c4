//! The thread that runs jobs.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Job, Jobs};
use crate::gateway::Gateway;

/// The longest wait for a job that is due later, because the system's clock may be set meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The running thread of the jobs.
#[derive(Debug)]
pub(in crate::gateway) struct Worker {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_awake: bool,
    is_closed: bool,
}

impl Worker {
    /// Starts the thread. It ends with the gateway, or when it is stopped.
    ///
    /// # Errors
    ///
    /// If the system can't start a thread.
    pub(in crate::gateway) fn start(gateway: Weak<Gateway>, jobs: Vec<Job>) -> io::Result<Worker> {
        let signal = Arc::new(Signal::default());
        let theirs = signal.clone();
        let run = move || theirs.run(&gateway, Jobs::new(jobs));
        let thread = thread::Builder::new().name("jobs".to_owned()).spawn(run)?;
        Ok(Worker { signal, thread: Mutex::new(Some(thread)) })
    }

    /// Wakes the thread, because a job may be due earlier than before.
    pub(in crate::gateway) fn wake(&self) {
        self.signal.change(|state| state.is_awake = true);
    }

    /// Stops the thread after the job that is running, and waits for its end.
    pub(in crate::gateway) fn stop(&self) {
        self.signal.change(|state| state.is_closed = true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread itself may drop the last reference to the gateway, and can't wait for itself.
        let thread = thread.filter(|thread| thread.thread().id() != thread::current().id());
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that runs jobs has failed");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.signal.change(|state| state.is_closed = true);
    }
}

impl Signal {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    fn run(&self, gateway: &Weak<Gateway>, mut jobs: Jobs) {
        loop {
            let Some(gateway) = gateway.upgrade() else { return };
            jobs.run_due(&gateway, gateway.clock.now());
            let wait = jobs.wait(&gateway, gateway.clock.now());
            drop(gateway);
            if self.is_closed_after(wait.map(|wait| wait.min(LONGEST_WAIT))) {
                return;
            }
        }
    }

    /// Waits until this time has passed or the thread is woken or stopped. Returns whether it is stopped.
    fn is_closed_after(&self, wait: Option<Duration>) -> bool {
        let until = wait.map(|wait| Instant::now() + wait);
        let mut state = self.lock();
        while !state.is_closed && !state.is_awake {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            state = match left {
                Some(left) => {
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state.is_awake = false;
        state.is_closed
    }
}
