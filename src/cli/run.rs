//! `tallygate run`: runs a program and tells a gateway how that went.
//!
//! Whoever waits for the program sees no difference: its arguments, streams and exit code are its own, and so are the
//! signals. What goes wrong with the gateway is one line on stderr and a bounded wait.

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
use child::{Limits, Run};
use metrics_file::MetricsFile;
use report::Report;

mod child;
mod metrics_file;
mod report;

/// How `tallygate run` ends where the program was not even tried, as `timeout` and `env` do.
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

/// Why nothing is told to the gateway.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Request(#[from] Failure),
    #[error("the push was given up at a signal")]
    GivenUp,
    #[error("can't wait for the program: {0}")]
    Wait(io::Error),
}

/// Says something on stderr. Nobody may be there to read it.
fn say(what: impl Display) {
    let _ = writeln!(io::stderr(), "{} run: {}", env!("CARGO_PKG_NAME"), bounded(what));
}

impl Arguments {
    /// Runs the program and gives its exit code.
    ///
    /// # Errors
    ///
    /// When there can't be such a group; the program was not tried then.
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
                    limits: Limits { time: self.time_limit, kill_after: self.kill_after },
                    announce: self.announce,
                    metrics_file: self.metrics_file,
                    program: self.program,
                }));
                // A push that is still under way is waited for by nobody.
                runtime.shutdown_background();
                code
            }
            Err(error) => {
                say(Trouble::Wait(error));
                NOT_TRIED
            }
        })
    }
}

/// How long a push goes on after a signal that asks for an end.
const GRACE: Duration = Duration::from_secs(3);

/// Where the metrics go.
#[derive(Clone, Debug)]
struct Target {
    group: Group,
    connection: ConnectionArguments,
}

impl Target {
    /// Pushes a body; blocks.
    fn push(&self, content_type: &'static str, body: &str) -> Result<(), Trouble> {
        let client = Client::new(&self.connection)?;
        Ok(client.send(&Request::post(&self.group, content_type, body.as_bytes(), Key::random()?))?)
    }

    /// Pushes what the gateway knows of the run, and what the program adds to it. Where the gateway refuses that, it
    /// gets the rest.
    fn report(&self, own: &str, added: &metrics_file::Added) -> Result<(), Trouble> {
        if added.text.is_empty() {
            return self.push(TEXT, own);
        }
        let content_type = if added.is_openmetrics { OPENMETRICS } else { TEXT };
        match self.push(content_type, &added.behind(own)) {
            Err(Trouble::Request(error @ Failure::Refused { .. })) => {
                self.push(TEXT, own)?;
                say(format_args!("the metrics that the program added were left out: {error}"));
                Ok(())
            }
            result => result,
        }
    }
}

/// What is to be done.
#[derive(Debug)]
struct Job {
    target: Target,
    prefix: String,
    limits: Limits,
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
        // What came first has to arrive first.
        let first = match announced {
            Some(first) => first.await.unwrap_or(Err(Trouble::GivenUp)),
            None => Ok(()),
        };
        let last = tokio::task::spawn_blocking(move || {
            let added = file.map(|file| file.take()).unwrap_or_default();
            target.report(&own, &added)
        });
        // One line is enough.
        last.await.unwrap_or(Err(Trouble::GivenUp)).and(first)
    };
    let pushed = tokio::select! {
        pushed = pushed => pushed,
        // Who ends the command now does not want to wait for the gateway, or has only sent the signal twice.
        () = async {
            run.told_to_stop().await;
            tokio::time::sleep(GRACE).await;
        } => Err(Trouble::GivenUp),
    };
    if let Err(trouble) = pushed {
        say(trouble);
    }
    end.code
}
