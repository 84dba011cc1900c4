//! A program that is run: its signals, its time and its end.

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

/// Exit codes as shells and `timeout` have them.
const TIMED_OUT: u8 = 124;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
const OF_SIGNAL: i32 = 128;

/// Signals that the program gets in the place of this one, those that ask for an end first.
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

/// These come from keys, too. Then the program has got them already.
const OF_KEYS: [Signal; 3] = [Signal::INT, Signal::QUIT, Signal::WINCH];

/// These ask for an end.
const STOPS: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// How long a program may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
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
    /// Of the program and all that it waited for.
    pub(super) cpu: Duration,
    /// The most memory that one of these had, in bytes.
    pub(super) max_rss: u64,
    /// Why it was not run.
    pub(super) error: Option<String>,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
    Timeout,
}

/// Signals on their way to a program.
#[derive(Debug)]
pub(super) struct Run {
    signals: Vec<(Signal, unix::Signal)>,
    /// Whether this is what the keys of a terminal are for.
    is_in_foreground: bool,
}

impl Run {
    /// From here on signals are kept for the program.
    pub(super) fn new() -> Run {
        // Ends of programs would not be told to one that ignores them, as its parent may have had it do. Once there is
        // a handler it does not, whether anybody listens or not.
        drop(unix::signal(SignalKind::child()));
        let ignored = ignored(&fs::read_to_string("/proc/self/status").unwrap_or_default());
        let signals = FORWARDED.into_iter().filter(|signal| ignored & (1 << (signal.as_raw() - 1)) == 0);
        let signals = signals
            // What is ignored, as under nohup, stays so for the program.
            .filter_map(|signal| Some((signal, unix::signal(SignalKind::from_raw(signal.as_raw())).ok()?)))
            .collect();
        let foreground = fs::File::open("/dev/tty").ok().and_then(|terminal| tcgetpgrp(terminal).ok());
        Run { signals, is_in_foreground: foreground == Some(getpgrp()) }
    }

    /// Runs a program until it ends.
    pub(super) async fn program(&mut self, program: &[OsString], file: Option<&Path>, limits: Limits) -> End {
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
            // The system says it in KiB.
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
            // All that it starts can then be ended with it. In the foreground the terminal knows one group only.
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

    /// Waits for the end, and says whether it came because the time was up.
    async fn wait(&mut self, mut child: Child, limits: Limits) -> Result<(ExitStatus, bool), (u8, String)> {
        // Nobody else waits for it, so that the number is not another's before it is known to have ended.
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

    /// Sends a signal to the program, and to all that it has started where that is in a group of its own.
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

    /// Waits for a signal that asks for an end.
    pub(super) async fn told_to_stop(&mut self) {
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

/// The signals that the process ignores, as `/proc/self/status` says, the first as the lowest bit.
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
