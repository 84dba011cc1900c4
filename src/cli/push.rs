//! `tallygate push`: adds to a group, or replaces it.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use clap::Args;

use super::CommandError;
use super::client::{Client, Key, OPENMETRICS, Request, TEXT};
use super::connection::ConnectionArguments;
use super::group::{Group, GroupArguments, pair};
use super::samples::{self, SampleError, Type, typed};
use crate::config::web::system_reason;

/// The file name that means the standard input.
const STDIN: &str = "-";

/// The largest body: the default of `web.max_body_bytes`.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// The command line.
#[derive(Args, Debug)]
pub struct Arguments {
    /// What to push: NAME=VALUE, or 'NAME{LABEL="VALUE"}=VALUE'
    #[arg(value_name = "SAMPLE")]
    samples: Vec<String>,
    /// File to push, in the text format or OpenMetrics; - or neither file nor samples: stdin
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    group: GroupArguments,
    /// Type of a metric: counter, gauge, histogram, summary or untyped [default: counter if the name ends in _total,
    /// else gauge]
    #[arg(long = "type", value_name = "NAME=TYPE", value_parser = typed)]
    types: Vec<(String, Type)>,
    /// Help text of a metric
    #[arg(long = "help-text", value_name = "NAME=TEXT", value_parser = pair)]
    helps: Vec<(String, String)>,
    /// Replace all that the group has, in place of adding to it
    #[arg(long)]
    put: bool,
    /// Print the body on stdout, and where it would go on stderr; push nothing
    #[arg(long)]
    dry_run: bool,
    /// Key that makes the gateway count the push once however often it comes [default: another for each call]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<Key>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Why there is nothing to push.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The samples can't be used.
    #[error(transparent)]
    Samples(#[from] SampleError),
    /// The file can't be read.
    #[error("{file}: {reason}")]
    Unreadable {
        /// Its name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The file is empty.
    #[error("{0} is empty, so there is nothing to push")]
    Empty(String),
    /// Neither samples nor a file was given, and the standard input is a terminal.
    #[error("there is nothing to push: give samples such as files_total=12, or a file with -f")]
    Nothing,
    /// Samples can't be appended to OpenMetrics, which ends with `# EOF`.
    #[error("{0} is in OpenMetrics: push it and the samples one after the other")]
    Mixed(String),
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let group = Group::new(&self.group.job, &self.group.labels)?;
        let (content_type, body) = self.body()?;
        let client = Client::new(&self.connection)?;
        let key = match &self.idempotency_key {
            Some(key) => key.clone(),
            None => Key::random()?,
        };
        let push = if self.put { Request::put } else { Request::post };
        let request = push(&group, content_type, &body, key);
        if self.dry_run {
            let _ = writeln!(io::stderr(), "{} {}{}", request.method(), client.url(), group.path());
            return io::stdout().write_all(&body).map_err(CommandError::Stdout);
        }
        Ok(client.send(&request)?)
    }

    /// What to push, with its content type.
    fn body(&self) -> Result<(&'static str, Vec<u8>), BodyError> {
        let samples = samples::body(&self.samples, &self.types, &self.helps)?.into_bytes();
        let Some((name, mut body)) = self.file()? else { return Ok((TEXT, samples)) };
        if body.trim_ascii().is_empty() {
            return Err(BodyError::Empty(name));
        }
        if is_openmetrics(&body) {
            return if samples.is_empty() { Ok((OPENMETRICS, body)) } else { Err(BodyError::Mixed(name)) };
        }
        if !body.ends_with(b"\n") {
            body.push(b'\n');
        }
        body.extend(samples);
        Ok((TEXT, body))
    }

    /// The name and content of the file, if there is one.
    fn file(&self) -> Result<Option<(String, Vec<u8>)>, BodyError> {
        let (name, content) = match &self.file {
            Some(path) if path.as_os_str() != STDIN => {
                (path.display().to_string(), fs::File::open(path).and_then(read_all))
            }
            None if !self.samples.is_empty() => return Ok(None),
            None if io::stdin().is_terminal() => return Err(BodyError::Nothing),
            _ => ("stdin".to_owned(), read_all(io::stdin())),
        };
        match content {
            Ok(content) => Ok(Some((name, content))),
            Err(error) => Err(BodyError::Unreadable { file: name, reason: system_reason(&error) }),
        }
    }
}

/// Reads all of a file, if it is not larger than a gateway accepts.
fn read_all(file: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {} MiB, which is more than a gateway takes", MOST_BYTES >> 20),
        ));
    }
    Ok(content)
}

/// Whether a body is in OpenMetrics, which ends with `# EOF`. In the text format that would be a comment, which no
/// client writes.
fn is_openmetrics(body: &[u8]) -> bool {
    body.trim_ascii_end().rsplit(|byte| *byte == b'\n').next() == Some(b"# EOF")
}
