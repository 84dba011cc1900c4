//! Progress of a long operation: a bar on a terminal, otherwise a log line every few seconds.
//!
//! The operation counts its steps, which costs next to nothing. A thread reads the count now and
//! then.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Operations that take less than this show no progress.
const SILENT: Duration = Duration::from_secs(2);

/// How often the bar is redrawn.
const MOVES: Duration = Duration::from_millis(200);

/// How often a line is logged if there is no terminal.
const LINES: Duration = Duration::from_secs(5);

/// The length of the bar in characters.
const WIDTH: u64 = 30;

/// The counted steps of an operation.
#[derive(Debug, Default)]
pub struct Steps {
    phase: Mutex<&'static str>,
    done: AtomicU64,
    total: AtomicU64,
}

impl Steps {
    /// Begins a phase with `total` steps, 0 if the number is not known.
    pub fn phase(&self, name: &'static str, total: u64) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        *phase = name;
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// Counts `count` more steps.
    pub fn add(&self, count: u64) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    fn state(&self) -> State {
        let phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        State { phase, hundredths: (done.min(total) * 100).checked_div(total) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    phase: &'static str,
    hundredths: Option<u64>,
}

impl State {
    /// The bar for a terminal.
    fn bar(self) -> String {
        let mut text = self.phase.to_owned();
        if let Some(hundredths) = self.hundredths {
            let filled = hundredths * WIDTH / 100;
            let (filled, empty) = ("#".repeat(filled as usize), " ".repeat((WIDTH - filled) as usize));
            _ = write!(text, " [{filled}{empty}] {hundredths}%");
        }
        text
    }

    /// The percentage, for a log line.
    fn part(self) -> String {
        self.hundredths.map_or_else(|| "unknown".to_owned(), |hundredths| format!("{hundredths}%"))
    }
}

/// Shows progress until it is dropped.
#[derive(Debug)]
pub struct Progress {
    steps: Arc<Steps>,
    shown: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Starts the thread that shows progress.
    #[must_use]
    pub fn start() -> Progress {
        let steps = Arc::new(Steps::default());
        let (sender, receiver) = mpsc::channel();
        let shown = steps.clone();
        let show = move || {
            let (begun, is_terminal) = (Instant::now(), io::stderr().is_terminal());
            let mut wait = SILENT;
            let mut has_bar = false;
            while receiver.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let state = shown.state();
                if is_terminal {
                    // Clears the line and draws the bar again.
                    let _ = write!(io::stderr(), "\r\x1b[K{}", state.bar());
                    (wait, has_bar) = (MOVES, true);
                } else {
                    say(state, begun.elapsed());
                    wait = LINES;
                }
            }
            if has_bar {
                let _ = write!(io::stderr(), "\r\x1b[K");
            }
        };
        // If the system gives no thread, the operation runs without showing progress.
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(show).ok();
        Progress { steps, shown: thread.map(|thread| (sender, thread)) }
    }

    /// The counter of the operation.
    #[must_use]
    pub fn steps(&self) -> &Arc<Steps> {
        &self.steps
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.shown.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}

fn say(state: State, after: Duration) {
    let State { phase, .. } = state;
    let (done, after) = (state.part(), humantime::format_duration(Duration::from_secs(after.as_secs())));
    if tracing::dispatcher::has_been_set() {
        tracing::info!(phase, %done, duration = %after, "still at work");
    } else {
        let _ = writeln!(io::stderr(), "{phase}: {done} after {after}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_shown() {
        let steps = Steps::default();
        steps.phase("reading the file", 200);
        steps.add(50);
        let state = steps.state();
        assert_eq!(state.bar(), format!("reading the file [{}{}] 25%", "#".repeat(7), " ".repeat(23)));
        assert_eq!(state.part(), "25%");
        // More steps than expected still show as 100 %.
        steps.add(500);
        assert_eq!(steps.state().bar(), format!("reading the file [{}] 100%", "#".repeat(30)));
        steps.phase("writing", 0);
        assert_eq!((steps.state().bar().as_str(), steps.state().part().as_str()), ("writing", "unknown"));
    }

    #[test]
    fn what_is_quick_is_over_at_once() {
        let progress = Progress::start();
        progress.steps().phase("nothing", 1);
        drop(progress);
    }
}
