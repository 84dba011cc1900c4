//! `tallygate install`: copies the program, for example into a volume that containers share.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

/// The command line.
#[derive(Args, Debug)]
pub struct Arguments {
    /// File to write, or a folder to write to under the name of the program. What is there is replaced
    #[arg(value_name = "DEST")]
    to: PathBuf,
}

/// Why the program can't be copied.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub(super) struct InstallError {
    path: PathBuf,
    source: io::Error,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), InstallError> {
        let to = if self.to.is_dir() { self.to.join(env!("CARGO_PKG_NAME")) } else { self.to };
        copy(&to).map_err(|source| InstallError { path: to, source })
    }
}

/// Copies the program to a temporary file and renames that. So nobody runs half a copy, and a
/// running program can be replaced.
fn copy(to: &Path) -> io::Result<()> {
    if fs::metadata(to).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is there and no regular file"));
    }
    let name = to.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut beside = name.to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = to.with_file_name(beside);
    // This is the running program even if its file was replaced or removed since.
    let mut program = File::open("/proc/self/exe").or_else(|_| File::open(std::env::current_exe()?))?;
    let mut options = OpenOptions::new();
    let mut copy = options.write(true).create_new(true).mode(0o755).open(&beside)?;
    let done = io::copy(&mut program, &mut copy)
        // Other users must be able to run it, whatever the umask of this process is.
        .and_then(|_| copy.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)))
        .and_then(|()| copy.sync_all())
        .and_then(|()| fs::rename(&beside, to));
    done.inspect_err(|_| drop(fs::remove_file(&beside)))
}
