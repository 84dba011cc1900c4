//! Background jobs of the gateway.
//!
//! A job says when it is due next. One thread runs all jobs, one after the other. It starts when a job has something to
//! do for the first time. A job changes the store as a request does: it submits transactions.

pub mod expiry;
mod worker;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::Gateway;
use crate::model::time::Moment;

pub(super) use worker::Worker;

/// The pause after a run of a job. Changes that are due within it are made together, and a failed job is not
/// repeated without a pause.
const REST_NANOS: i64 = 1_000_000_000;

type Next = dyn Fn(&Gateway) -> Option<i64> + Send;
type Run = dyn FnMut(&Gateway, Moment) + Send;

/// A repeated task.
pub struct Job {
    name: &'static str,
    next: Box<Next>,
    run: Box<Run>,
    /// On the monotonic clock, in nanoseconds. `None` before the first run.
    rests_until: Option<i64>,
}

impl Job {
    /// A job with this name. `next` says when it is due, in nanoseconds since the epoch, or `None` if there is
    /// nothing to do. `run` does everything that is due at a moment.
    pub fn new(
        name: &'static str,
        next: impl Fn(&Gateway) -> Option<i64> + Send + 'static,
        run: impl FnMut(&Gateway, Moment) + Send + 'static,
    ) -> Job {
        Job { name, next: Box::new(next), run: Box::new(run), rests_until: None }
    }

    /// In how many nanoseconds the job is due. `None` if there is nothing to do.
    fn wait(&self, gateway: &Gateway, now: Moment) -> Option<i64> {
        let next = (self.next)(gateway)?.saturating_sub(now.nanos);
        let rest = self.rests_until.map_or(0, |until| until.saturating_sub(now.steady));
        Some(next.max(rest).max(0))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The jobs of a gateway.
#[derive(Debug)]
pub struct Jobs(Vec<Job>);

impl Jobs {
    /// Takes the jobs to run.
    pub fn new(jobs: Vec<Job>) -> Jobs {
        Jobs(jobs)
    }

    /// How long it is until a job is due. `None` if there is nothing to do.
    pub fn wait(&self, gateway: &Gateway, now: Moment) -> Option<Duration> {
        let wait = self.0.iter().filter_map(|job| job.wait(gateway, now)).min()?;
        Some(Duration::from_nanos(wait.unsigned_abs()))
    }

    /// Runs the jobs that are due, one after the other. A panic in one does not stop the others, and the job is run
    /// again.
    pub fn run_due(&mut self, gateway: &Gateway, now: Moment) {
        for job in &mut self.0 {
            if job.wait(gateway, now) != Some(0) {
                continue;
            }
            job.rests_until = Some(now.steady.saturating_add(REST_NANOS));
            if catch_unwind(AssertUnwindSafe(|| (job.run)(gateway, now))).is_err() {
                tracing::error!(job = job.name, "a job has failed; it is tried again");
            }
        }
    }
}

impl Gateway {
    /// Lets these jobs run from now on. Call it once.
    ///
    /// # Errors
    ///
    /// If a job has something to do, and the system can't start a thread.
    pub fn start_jobs(self: &Arc<Self>, jobs: Vec<Job>) -> io::Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let is_needed = jobs.iter().any(|job| (job.next)(self).is_some());
        let worker = self.worker.get_or_init(|| Worker::new(Arc::downgrade(self), jobs));
        if is_needed { worker.start() } else { Ok(()) }
    }

    /// Wakes the thread, because a job may be due earlier than it said before.
    pub fn wake_jobs(&self) {
        if let Some(worker) = self.worker.get() {
            worker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::{Mutex, mpsc};

    use super::*;
    use crate::config::Config;

    const SECOND: i64 = 1_000_000_000;

    fn gateway() -> Gateway {
        Gateway::new(&Config::default()).unwrap()
    }

    /// A job that is due at a time that the test sets. It notes when it runs.
    fn noted(next: &Arc<AtomicI64>, runs: &Arc<Mutex<Vec<i64>>>) -> Job {
        let (next, runs) = (next.clone(), runs.clone());
        let due = move |_: &Gateway| Some(next.load(Ordering::Relaxed)).filter(|next| *next >= 0);
        Job::new("noted", due, move |_, now| runs.lock().unwrap().push(now.nanos))
    }

    #[test]
    fn a_job_runs_when_it_is_due_and_rests_then() {
        let (gateway, runs) = (gateway(), Arc::default());
        let next = Arc::new(AtomicI64::new(-1));
        let mut jobs = Jobs::new(vec![noted(&next, &runs)]);
        let wait = |jobs: &Jobs, at| jobs.wait(&gateway, Moment::at(at));
        assert_eq!(wait(&jobs, 5 * SECOND), None);
        jobs.run_due(&gateway, Moment::at(5 * SECOND));
        next.store(8 * SECOND, Ordering::Relaxed);
        assert_eq!(wait(&jobs, 5 * SECOND), Some(Duration::from_secs(3)));
        for at in [5, 7, 8, 8, 9, 10] {
            jobs.run_due(&gateway, Moment::at(at * SECOND));
        }
        assert_eq!(*runs.lock().unwrap(), [8, 9, 10].map(|at| at * SECOND));
        // If the clock is set back, only jobs that are due by it are delayed.
        let back = Moment { nanos: 8 * SECOND, steady: 11 * SECOND };
        jobs.run_due(&gateway, back);
        assert_eq!(runs.lock().unwrap().len(), 4);
        assert_eq!(jobs.wait(&gateway, back), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_job_that_panics_ends_no_other() {
        let (gateway, runs) = (gateway(), Arc::default());
        let panics = Job::new("panics", |_| Some(0), |_, _| panic!("as it should"));
        let mut jobs = Jobs::new(vec![panics, noted(&Arc::default(), &runs)]);
        jobs.run_due(&gateway, Moment::at(0));
        jobs.run_due(&gateway, Moment::at(SECOND));
        assert_eq!(*runs.lock().unwrap(), [0, SECOND]);
    }

    #[test]
    fn a_thread_runs_what_is_due_and_ends_with_its_gateway() {
        let gateway = Arc::new(gateway());
        let next = Arc::new(AtomicI64::new(0));
        let (ran, runs) = mpsc::channel();
        let due = next.clone();
        let due = move |_: &Gateway| Some(due.load(Ordering::Relaxed)).filter(|next| *next >= 0);
        let sets = next.clone();
        let job = Job::new("sends", due, move |_, _| {
            sets.store(-1, Ordering::Relaxed);
            ran.send(()).unwrap();
        });
        gateway.start_jobs(vec![job]).unwrap();
        runs.recv().unwrap();
        // The job waits for nothing until it is woken.
        next.store(0, Ordering::Relaxed);
        gateway.wake_jobs();
        runs.recv().unwrap();
        gateway.close();
        assert!(runs.recv().is_err(), "the job is there no more");
    }

    #[test]
    fn who_has_no_jobs_has_no_thread() {
        let gateway = Arc::new(gateway());
        gateway.start_jobs(Vec::new()).unwrap();
        assert!(gateway.worker.get().is_none());
        gateway.wake_jobs();
        // A gateway that is not closed leaves no thread behind that keeps it alive.
        let gateway = Arc::new(self::gateway());
        gateway.start_jobs(vec![Job::new("never", |_| None, |_, _| ())]).unwrap();
        let weak = Arc::downgrade(&gateway);
        drop(gateway);
        while weak.upgrade().is_some() {
            std::thread::yield_now();
        }
    }
}
