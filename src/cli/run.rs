//! `tallygate run`: runs a program and pushes metrics of the run.
//!
//! For the caller nothing changes: the program has its own arguments and streams, gets the signals, and its exit code is
//! the command's. If the gateway fails, that costs one line on stderr and a bounded wait.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::client::{Client, Failure, Key, OPENMETRICS, Request, TEXT};
use super::connection::{self, ConnectionArguments, ConnectionError};
use super::group::{Group, GroupArguments, GroupError};
use crate::message::bounded;
use crate::model::name::is_legacy_metric_name;
use child::{Run, TimeLimits};
use metrics_file::MetricsFile;
use report::Report;

mod child;
mod metrics_file;
mod report;

/// The exit code if the program was not even started, as with `timeout` and `env`.
pub(super) const NOT_TRIED: u8 = 125;

/// The command line.
#[derive(Args, Debug)]
#[command(
    mut_arg("timeout", |arg| arg.long("push-timeout").default_value("10s").help("Longest time for a push, all attempts together"))
)]
pub struct Arguments {
    #[command(flatten)]
    group: GroupArguments,
    /// What the names of the metrics begin with
    #[arg(long, value_name = "PREFIX", default_value = "batch_job_", value_parser = prefix)]
    prefix: String,
    /// Longest time for the program; then it is sent SIGTERM
    #[arg(id = "time_limit", long = "timeout", value_name = "DURATION", value_parser = connection::positive)]
    time_limit: Option<Duration>,
    /// How long after that it is sent SIGKILL
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = connection::positive)]
    kill_after: Duration,
    /// Push at the start, too, that the program is running
    #[arg(long)]
    announce: bool,
    /// File for metrics that the program adds, in place of a temporary one. What is in it is removed at the start
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

fn prefix(text: &str) -> Result<String, String> {
    match is_legacy_metric_name(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("a metric can't be called so: letters, digits, _ and : are, and no digit is the first"
                .to_owned())
        }
    }
}

/// Why nothing was pushed.
#[derive(Debug, thiserror::Error)]
enum NotPushed {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Request(#[from] Failure),
    #[error("the push was given up at a signal")]
    GivenUp,
    #[error("can't wait for the program: {0}")]
    Wait(io::Error),
}

/// Writes a line to stderr, if it is open.
fn say(what: impl Display) {
    let _ = writeln!(io::stderr(), "{} run: {}", env!("CARGO_PKG_NAME"), bounded(what));
}

impl Arguments {
    /// Runs the program and returns its exit code.
    ///
    /// # Errors
    ///
    /// If job and labels do not name a group. The program was not started then.
    pub(super) fn run(self) -> Result<u8, GroupError> {
        let group = Group::new(&self.group.job, &self.group.labels)?;
        let connection = ConnectionArguments { timeout_flag: "--push-timeout", ..self.connection };
        let target = Target { group, connection };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(match runtime {
            Ok(runtime) => {
                let code = runtime.block_on(all(Job {
                    target,
                    prefix: self.prefix,
                    limits: TimeLimits { time: self.time_limit, kill_after: self.kill_after },
                    announce: self.announce,
                    metrics_file: self.metrics_file,
                    program: self.program,
                }));
                // Does not wait for a push that is still in flight.
                runtime.shutdown_background();
                code
            }
            Err(error) => {
                say(NotPushed::Wait(error));
                NOT_TRIED
            }
        })
    }
}

/// How long a push may go on after a signal that asks the command to stop.
const GRACE: Duration = Duration::from_secs(3);

/// Where the metrics go.
#[derive(Clone, Debug)]
struct Target {
    group: Group,
    connection: ConnectionArguments,
}

impl Target {
    /// Pushes a body. Blocks.
    fn push(&self, content_type: &'static str, body: &str) -> Result<(), NotPushed> {
        let client = Client::new(&self.connection)?;
        Ok(client.send(&Request::post(&self.group, content_type, body.as_bytes(), Key::random()?))?)
    }

    /// Pushes the metrics of the run with those that the program has added. If the gateway refuses the latter, pushes
    /// the former alone.
    fn report(&self, own: &str, added: &metrics_file::Added) -> Result<(), NotPushed> {
        if added.text.is_empty() {
            return self.push(TEXT, own);
        }
        let content_type = if added.is_openmetrics { OPENMETRICS } else { TEXT };
        match self.push(content_type, &added.behind(own)) {
            Err(NotPushed::Request(error @ Failure::Refused { .. })) => {
                self.push(TEXT, own)?;
                say(format_args!("the metrics that the program added were left out: {error}"));
                Ok(())
            }
            result => result,
        }
    }
}

/// A program to run and push the metrics of.
#[derive(Debug)]
struct Job {
    target: Target,
    prefix: String,
    limits: TimeLimits,
    announce: bool,
    metrics_file: Option<PathBuf>,
    program: Vec<OsString>,
}

async fn all(job: Job) -> u8 {
    let file = MetricsFile::new(job.metrics_file.as_deref())
        .inspect_err(|error| say(format_args!("the program can't add metrics: {error}")))
        .ok();
    let report = Report::new(job.prefix);
    let announced = job.announce.then(|| {
        let (target, body) = (job.target.clone(), report.at_the_start());
        tokio::task::spawn_blocking(move || target.push(TEXT, &body))
    });
    let mut run = Run::new();
    let end = run.program(&job.program, file.as_ref().map(MetricsFile::path), job.limits).await;
    if let Some(error) = &end.error {
        say(error);
    }
    let own = report.at_the_end(&end, job.announce);
    let target = job.target;
    let pushed = async move {
        // The push from the start must arrive before the one from the end.
        let first = match announced {
            Some(first) => first.await.unwrap_or(Err(NotPushed::GivenUp)),
            None => Ok(()),
        };
        let last = tokio::task::spawn_blocking(move || {
            let added = file.map(|file| file.take()).unwrap_or_default();
            target.report(&own, &added)
        });
        // If both have failed, the error of the last one is enough.
        last.await.unwrap_or(Err(NotPushed::GivenUp)).and(first)
    };
    let pushed = tokio::select! {
        pushed = pushed => pushed,
        // After a signal that asks the command to stop, it does not wait for the gateway much longer.
        () = async {
            run.stop_signal().await;
            tokio::time::sleep(GRACE).await;
        } => Err(NotPushed::GivenUp),
    };
    if let Err(error) = pushed {
        say(error);
    }
    end.code
}
