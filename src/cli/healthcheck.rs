//! `tallygate healthcheck`: for probes that can only run a program.
//!
//! Without `--url` it asks the gateway on this machine that has the same flags, environment and configuration file.

use std::ffi::OsString;
use std::fs;

use clap::Args;

use super::CommandError;
use super::client::{Client, said};
use super::connection::{ConnectionArguments, authorization};
use super::serving::{self, ServingError};
use crate::config::Config;
use crate::config::access::TokenSource;
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
    /// The flags that the gateway is started with, such as --config.file=FILE; they stand last
    #[arg(value_name = "FLAG", trailing_var_arg = true, allow_hyphen_values = true, conflicts_with = "url")]
    serving: Vec<OsString>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Why the gateway's address or certificate is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    /// The settings can't be used.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// The address is not in the settings.
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
        let config = serving::config(self.serving, None).map_err(SettingsError::from)?;
        let login = match authorization(&self.connection, None)? {
            Some(login) => Some(login),
            None => token(&config),
        };
        let gateway = Local::of(&config)?;
        let answer = gateway
            .ask(path, login.as_deref(), self.connection.timeout)
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

/// A login from the settings: each may ask for health.
fn token(config: &Config) -> Option<String> {
    let file = config.access.tokens.iter().find_map(|token| match &token.source {
        TokenSource::File(path) => Some(path),
        TokenSource::Sha256(_) => None,
    })?;
    // If the file can't be read, the request is sent without a login.
    fs::read_to_string(file).ok().map(|token| format!("Bearer {}", token.trim()))
}
