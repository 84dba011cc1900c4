//! The settings of the gateway that a command line, the environment and the configuration file would start.

use std::ffi::OsString;

use crate::config::Config;
use crate::config::flags::{self, Invocation, StartError};
use crate::config::memory::{self, Allowance};

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServingError {
    /// The gateway would not start either.
    #[error("{0}")]
    Wrong(String),
    /// The flags do not start a gateway.
    #[error("these flags start no gateway")]
    NoGateway,
    /// The gateway would keep nothing.
    #[error(
        "{command} needs the file to read: --persistence.file, or the database: --persistence.postgres, or these in a config file"
    )]
    KeepsNothing {
        /// The command that needs it.
        command: &'static str,
    },
}

/// The settings of the gateway that these flags would start, which must keep its store.
pub(super) fn keeping(command: &'static str, flags: Vec<OsString>) -> Result<Config, ServingError> {
    let config = config(flags, memory::allowed())?;
    if config.persistence.keeps() { Ok(config) } else { Err(ServingError::KeepsNothing { command }) }
}

/// The settings of the gateway that these flags would start. Limits that are not set follow the memory that the system
/// allows, if that is given.
pub(super) fn config(flags: Vec<OsString>, allowance: Option<Allowance>) -> Result<Config, ServingError> {
    let program = OsString::from(env!("CARGO_PKG_NAME"));
    let variables =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    match flags::invocation(std::iter::once(program).chain(flags), variables, allowance) {
        Ok(Invocation::Run(config)) => Ok(*config),
        Ok(_) => Err(ServingError::NoGateway),
        Err(StartError::Usage { cause, .. }) => Err(ServingError::Wrong(cause.to_string())),
        Err(StartError::Config { cause, .. }) => Err(ServingError::Wrong(cause.to_string())),
    }
}
