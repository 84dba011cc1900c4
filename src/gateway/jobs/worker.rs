//! The thread that runs jobs.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Job, Jobs};
use crate::gateway::Gateway;

/// The longest wait for a job that is due later, because the system's clock may be set meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The thread of the jobs, once it is needed.
#[derive(Debug)]
pub(in crate::gateway) struct Worker {
    signal: Arc<Signal>,
    thread: Mutex<Thread>,
}

#[derive(Debug)]
enum Thread {
    /// It is not needed yet.
    Waiting {
        gateway: Weak<Gateway>,
        jobs: Arc<Mutex<Jobs>>,
    },
    Running(JoinHandle<()>),
    Stopped,
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
    /// One that runs these jobs once it is started.
    pub(in crate::gateway) fn new(gateway: Weak<Gateway>, jobs: Vec<Job>) -> Worker {
        let jobs = Arc::new(Mutex::new(Jobs::new(jobs)));
        Worker { signal: Arc::default(), thread: Mutex::new(Thread::Waiting { gateway, jobs }) }
    }

    /// Starts the thread, unless it runs. It ends with the gateway, or when it is stopped.
    ///
    /// # Errors
    ///
    /// If the system can't start a thread.
    pub(in crate::gateway) fn start(&self) -> io::Result<()> {
        let mut thread = self.lock();
        let Thread::Waiting { gateway, jobs } = &*thread else { return Ok(()) };
        let (signal, gateway, jobs) = (self.signal.clone(), gateway.clone(), jobs.clone());
        let run = move || signal.run(&gateway, &mut jobs.lock().unwrap_or_else(PoisonError::into_inner));
        *thread = Thread::Running(thread::Builder::new().name("jobs".to_owned()).spawn(run)?);
        Ok(())
    }

    /// Wakes the thread, because a job may be due earlier than before.
    pub(in crate::gateway) fn wake(&self) {
        self.signal.change(|state| state.is_awake = true);
        if let Err(error) = self.start() {
            tracing::error!(err = %error, "can't start the thread that lets groups and series expire");
        }
    }

    /// Stops the thread after the job that is running, and waits for its end.
    pub(in crate::gateway) fn stop(&self) {
        self.signal.change(|state| state.is_closed = true);
        let Thread::Running(thread) = std::mem::replace(&mut *self.lock(), Thread::Stopped) else { return };
        // The thread itself may drop the last reference to the gateway, and can't wait for itself.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the thread that runs jobs has failed");
        }
    }

    #[cfg(test)]
    pub(in crate::gateway) fn is_running(&self) -> bool {
        matches!(*self.lock(), Thread::Running(_))
    }

    fn lock(&self) -> MutexGuard<'_, Thread> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn run(&self, gateway: &Weak<Gateway>, jobs: &mut Jobs) {
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
