//! `tallygate export`: writes what the persistence file holds as the file of a stock gateway.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::serving::{self, ServingError};
use crate::gateway::{EngineError, export_stock};

/// The command line.
#[derive(Args, Debug)]
pub struct Arguments {
    /// File to write, which must not be there yet
    #[arg(long, value_name = "FILE")]
    stock: PathBuf,
    /// The flags that the gateway is started with, such as --persistence.file=FILE; they stand last
    #[arg(value_name = "FLAG", trailing_var_arg = true, allow_hyphen_values = true)]
    serving: Vec<OsString>,
}

/// Why nothing is exported.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    /// The settings can't be used.
    #[error(transparent)]
    Settings(#[from] ServingError),
    /// What is kept can't be read.
    #[error(transparent)]
    Unreadable(#[from] EngineError),
    /// The target file exists, and export overwrites nothing.
    #[error("{} is there already: name another file, or move it away", .0.display())]
    Taken(PathBuf),
    /// The file can't be written.
    #[error("{}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), ExportError> {
        let config = serving::keeping("export", self.serving)?;
        let bytes = export_stock(&config)?;
        write(&self.stock, &bytes).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => ExportError::Taken(self.stock),
            _ => ExportError::Unwritable { path: self.stock, source },
        })
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    // Removes half a file, which would otherwise be taken for a whole one.
    written.inspect_err(|_| drop(fs::remove_file(path)))
}
