//! `tallygate healthcheck`: for probes that can only run a program.
//!
//! Without `--url` it asks the gateway on this machine that has the same flags, environment and configuration file.

use std::ffi::OsString;
use std::fs;
use std::time::Instant;

use clap::Args;

use super::CommandError;
use super::client::{Client, said};
use super::connection::{ConnectionArguments, authorization};
use crate::config::Config;
use crate::config::access::TokenSource;
use crate::config::flags::{self, Invocation, StartError};
use crate::config::web::WebConfigError;
use local::Local;

mod local;

/// The command line.
#[derive(Args, Debug)]
#[command(
    mut_arg("timeout", |timeout| timeout.default_value("5s").help("Longest time to wait")),
    mut_arg("retries", |retries| retries.default_value("0").hide(true)),
    mut_arg("url", |url| url.help("URL of a gateway elsewhere [default: that of the gateway with these flags]"))
)]
pub struct Arguments {
    /// Ask whether the gateway can keep pushes, too
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
    /// The flags that the gateway is started with, such as --config.file=FILE; they stand last
    #[arg(value_name = "FLAG", trailing_var_arg = true, allow_hyphen_values = true, conflicts_with = "url")]
    serving: Vec<OsString>,
}

/// Why the gateway's address or certificate is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    /// The settings are wrong, so that the gateway would not start either.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The flags print something instead of starting a gateway.
    #[error("these flags start no gateway")]
    NoGateway,
    /// The settings do not tell the address.
    #[error("{0}: name the gateway with --url")]
    NoAddress(&'static str),
    /// The web configuration can't be used.
    #[error(transparent)]
    Web(#[from] WebConfigError),
    /// The certificate of the gateway can't be read.
    #[error("the certificate of the gateway: {0}")]
    Certificate(String),
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let path = if self.ready { "/-/ready" } else { "/-/healthy" };
        if self.connection.url.is_some() {
            let asked = Client::new(&self.connection)?.ask(path);
            return asked.map_err(|failure| CommandError::NotHealthy(failure.to_string()));
        }
        let config = config(self.serving)?;
        let login = match authorization(&self.connection, None)? {
            Some(login) => Some(login),
            None => token(&config),
        };
        let deadline = Instant::now() + self.connection.timeout;
        let gateway = Local::of(&config)?;
        let answer = gateway
            .ask(path, login.as_deref(), deadline)
            .map_err(|reason| CommandError::NotHealthy(format!("{}: {reason}", gateway.url())))?;
        match answer.status {
            200 => Ok(()),
            // A gateway that asks for a login is alive.
            401 | 403 if !self.ready => Ok(()),
            status => {
                let reason = format!("{}: {status}{}", gateway.url(), said(&answer.text));
                Err(CommandError::NotHealthy(reason))
            }
        }
    }
}

/// The settings of the gateway that these flags would start.
fn config(serving: Vec<OsString>) -> Result<Config, SettingsError> {
    let program = OsString::from(env!("CARGO_PKG_NAME"));
    let variables =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    match flags::invocation(std::iter::once(program).chain(serving), variables, None)? {
        Invocation::Run(config) => Ok(*config),
        _ => Err(SettingsError::NoGateway),
    }
}

/// A token from the settings. Every login may ask for health.
fn token(config: &Config) -> Option<String> {
    let file = config.access.tokens.iter().find_map(|token| match &token.source {
        TokenSource::File(path) => Some(path),
        TokenSource::Sha256(_) => None,
    })?;
    // If the file can't be read, the request is sent without a login.
    fs::read_to_string(file).ok().map(|token| format!("Bearer {}", token.trim()))
}
