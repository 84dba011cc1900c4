//! `tallygate copy`: brings what a gateway has kept from one place to another.

use std::ffi::OsString;
use std::io::Write as _;

use clap::Args;

use super::serving::{self, ServingError};
use crate::gateway::{Copied, EngineError, Target, copy};

/// The command line.
#[derive(Args, Debug)]
pub struct Arguments {
    /// File that is not there yet, or the address of an empty database, whose password comes from PGPASSWORD
    #[arg(long, value_name = "FILE|URL")]
    to: OsString,
    /// The flags that the gateway is started with, such as --persistence.file=FILE; they stand last
    #[arg(value_name = "FLAG", trailing_var_arg = true, allow_hyphen_values = true)]
    serving: Vec<OsString>,
}

/// Why nothing is copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// The settings can't be used.
    #[error(transparent)]
    Settings(#[from] ServingError),
    /// One of the two can't be used.
    #[error(transparent)]
    Failed(#[from] EngineError),
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), CopyError> {
        let config = serving::keeping("copy", self.serving)?;
        let target = match self.to.to_str() {
            Some(url) if url.contains("://") => Target::Database(url.to_owned()),
            _ => Target::File(self.to.into()),
        };
        let Copied { groups, series } = copy(&config, &target)?;
        let _ = writeln!(std::io::stdout(), "copied {groups} groups with {series} series");
        Ok(())
    }
}
