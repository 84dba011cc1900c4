//! Runs a program: forwards signals, limits its time and says how it ended.

use std::ffi::OsString;
use std::fs;
use std::future::{pending, poll_fn};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{UsageWho, getrusage};
use rustix::process::{Pid, Signal, getpgrp, kill_process, kill_process_group};
use rustix::termios::tcgetpgrp;
use tokio::process::Child;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{Instant as Deadline, sleep_until};

use crate::message::Excerpt;

/// The variable that names the file for metrics of the program.
const FILE_VARIABLE: &str = "TALLYGATE_METRICS_FILE";

/// Exit codes of shells and of `timeout`.
const TIMED_OUT: u8 = 124;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
const OF_SIGNAL: i32 = 128;

/// Signals that are forwarded to the program, those that ask it to stop first.
const FORWARDED: [Signal; 9] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::CONT,
    Signal::WINCH,
];

/// Signals that a terminal sends to the whole foreground group, and so to the program itself.
const OF_KEYS: [Signal; 3] = [Signal::INT, Signal::QUIT, Signal::WINCH];

/// Signals that ask a program to stop.
const STOPS: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// How long a program may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimits {
    pub(super) time: Option<Duration>,
    pub(super) kill_after: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct End {
    /// The exit code to end with.
    pub(super) code: u8,
    pub(super) result: Outcome,
    pub(super) started: SystemTime,
    pub(super) took: Duration,
    /// Processor time of the program and of all children that it waited for.
    pub(super) cpu: Duration,
    /// The maximum resident size of one of these processes, in bytes.
    pub(super) max_rss: u64,
    /// Why it was not started.
    pub(super) error: Option<String>,
}

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
    Timeout,
}

/// A run of a program, with the signals that it forwards.
#[derive(Debug)]
pub(super) struct Run {
    signals: Vec<(Signal, unix::Signal)>,
    /// Whether this process is in the foreground of a terminal.
    is_in_foreground: bool,
}

impl Run {
    /// Begins to catch signals for the program.
    pub(super) fn new() -> Run {
        // The parent may have set SIGCHLD to be ignored, and then nobody learns that the program has ended. Installing a
        // handler ends that, even if it is dropped.
        drop(unix::signal(SignalKind::child()));
        let ignored = ignored(&fs::read_to_string("/proc/self/status").unwrap_or_default());
        let signals = FORWARDED.into_iter().filter(|signal| ignored & (1 << (signal.as_raw() - 1)) == 0);
        let signals = signals
            // A signal that is ignored, as under nohup, stays ignored for the program.
            .filter_map(|signal| Some((signal, unix::signal(SignalKind::from_raw(signal.as_raw())).ok()?)))
            .collect();
        let foreground = fs::File::open("/dev/tty").ok().and_then(|terminal| tcgetpgrp(terminal).ok());
        Run { signals, is_in_foreground: foreground == Some(getpgrp()) }
    }

    /// Runs a program until it ends.
    pub(super) async fn program(
        &mut self,
        program: &[OsString],
        file: Option<&Path>,
        limits: TimeLimits,
    ) -> End {
        let (started, begun) = (SystemTime::now(), Instant::now());
        let status = match self.start(program, file) {
            Ok(child) => self.wait(child, limits).await,
            Err((code, error)) => Err((code, error)),
        };
        let took = begun.elapsed();
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
        let time = |time: nix::sys::time::TimeVal| {
            let micros = time.tv_sec().unsigned_abs() * 1_000_000 + time.tv_usec().unsigned_abs();
            Duration::from_micros(micros)
        };
        let (result, code, error) = match status {
            Ok((status, false)) if status.success() => (Outcome::Success, 0, None),
            Ok((status, false)) => (Outcome::Failure, code(status), None),
            Ok((_, true)) => (Outcome::Timeout, TIMED_OUT, None),
            Err((code, error)) => (Outcome::Failure, code, Some(error)),
        };
        End {
            code,
            result,
            started,
            took,
            cpu: usage.map_or(Duration::ZERO, |usage| time(usage.user_time()) + time(usage.system_time())),
            // The system reports KiB.
            max_rss: usage.map_or(0, |usage| usage.max_rss().unsigned_abs() << 10),
            error,
        }
    }

    fn start(&self, program: &[OsString], file: Option<&Path>) -> Result<Child, (u8, String)> {
        let Some((name, arguments)) = program.split_first() else { return Err((NOT_FOUND, String::new())) };
        let mut command = Command::new(name);
        command.args(arguments);
        match file {
            Some(file) => _ = command.env(FILE_VARIABLE, file),
            None => _ = command.env_remove(FILE_VARIABLE),
        }
        if !self.is_in_foreground {
            // In a process group of its own, the program can be stopped with all its children. In the foreground it must
            // stay in the group that the terminal sends signals to.
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
        }
        tokio::process::Command::from(command).spawn().map_err(|error| {
            let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE };
            let hint = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
                Some(rustix::io::Errno::NOEXEC) => ": a script begins with a line such as #!/bin/sh",
                _ => "",
            };
            (code, format!("{:?}: {error}{hint}", Excerpt::of(&name.to_string_lossy())))
        })
    }

    /// Waits for the program to end. Returns its status and whether its time was up.
    async fn wait(
        &mut self,
        mut child: Child,
        limits: TimeLimits,
    ) -> Result<(ExitStatus, bool), (u8, String)> {
        // The number belongs to the program until its status was fetched, which nobody else does.
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let mut deadline = limits.time.map(|time| Deadline::now() + time);
        let mut is_up = false;
        loop {
            tokio::select! {
                biased;
                status = child.wait() => {
                    let failed = |error| (NOT_RUNNABLE, format!("can't wait for the program: {error}"));
                    return Ok((status.map_err(failed)?, is_up));
                }
                signal = self.next() => {
                    if let Some(pid) = pid && !(self.is_in_foreground && OF_KEYS.contains(&signal)) {
                        self.send(pid, signal);
                    }
                }
                () = until(deadline) => {
                    let signal = if is_up { Signal::KILL } else { Signal::TERM };
                    if let Some(pid) = pid {
                        self.send(pid, signal);
                    }
                    deadline = (!is_up).then(|| Deadline::now() + limits.kill_after);
                    is_up = true;
                }
            }
        }
    }

    /// Sends a signal to the program, or to its process group if it has one of its own.
    fn send(&self, pid: Pid, signal: Signal) {
        let _ =
            if self.is_in_foreground { kill_process(pid, signal) } else { kill_process_group(pid, signal) };
    }

    /// The next signal.
    async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (signal, stream) in &mut self.signals {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for a signal that asks to stop.
    pub(super) async fn stop_signal(&mut self) {
        while !STOPS.contains(&self.next().await) {}
    }
}

async fn until(deadline: Option<Deadline>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| OF_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// The signals that the process ignores, from `/proc/self/status`. The lowest bit is signal 1.
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    u64::from_str_radix(line.trim(), 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001001\n"), 0x1001);
        assert_eq!(ignored(""), 0);
    }

    #[test]
    fn exit_codes_are_those_of_shells() {
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }
}
