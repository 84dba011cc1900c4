//! Reads what a gateway has kept, for an export or a copy.

use std::fs;
use std::path::{Path, PathBuf};

use super::clock::Clock;
use super::engine::{EngineError, database, read_stock, usage};
use super::{limits, stock};
use crate::config::Config;
use crate::persistence::redb::Redb;
use crate::persistence::redb::disk::{Disk as _, Folder};
use crate::persistence::redb::error::OpenError;
use crate::persistence::redb::file::{self, Found};
use crate::persistence::stock_file;
use crate::progress::Progress;
use crate::store::{CommitMode, Store};
use crate::telemetry::own_families;

/// Where a copy goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a file that is not there yet.
    File(PathBuf),
    /// To an empty database.
    Database(String),
}

/// How much was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The groups.
    pub groups: i64,
    /// The series in them.
    pub series: i64,
}

/// What was kept, and the latest time in it, in nanoseconds since the epoch.
struct Kept {
    store: Store,
    latest: i64,
}

/// What was kept in the format of the stock gateway.
///
/// # Errors
///
/// If the file or database does not exist or can't be used.
pub fn export_stock(config: &Config) -> Result<Vec<u8>, EngineError> {
    let progress = Progress::start();
    let kept = kept(config, &progress)?;
    Ok(stock_file::write(&stock::export(&kept.store.groups(), progress.steps())))
}

/// Copies what was kept to another place, with its start times and idempotency keys. The original stays as it is.
///
/// # Errors
///
/// If one of them can't be used, or the target holds something.
pub fn copy(config: &Config, target: &Target) -> Result<Copied, EngineError> {
    let progress = Progress::start();
    let Kept { store, latest } = kept(config, &progress)?;
    let state = store.take_all().0;
    match target {
        Target::File(path) => {
            let disk = Box::new(Folder::new(path));
            let written = Redb::create(disk, &state, false, latest, usage(config), progress.steps());
            written.map_err(|source| file_error(path, source))?.leave();
        }
        Target::Database(url) => {
            database::fill(config, url, (&state, latest), || empty_store(config), &progress)?;
        }
    }
    Ok(Copied { groups: store.group_count(), series: store.series_count() })
}

fn file_error(path: &Path, source: OpenError) -> EngineError {
    EngineError::File { file: path.display().to_string(), source }
}

fn empty_store(config: &Config) -> Store {
    let (window, keys) = (config.push.idempotency_window, limits::most_keys(config));
    Store::new(own_families(true), CommitMode::Never, window, keys)
}

fn kept(config: &Config, progress: &Progress) -> Result<Kept, EngineError> {
    if config.persistence.has_database() {
        let store = empty_store(config);
        let latest = database::read(config, &store, progress)?;
        return Ok(Kept { store, latest });
    }
    let name = Path::new(&config.persistence.file);
    kept_in_file(config, name, progress).map_err(|source| file_error(name, source))
}

fn kept_in_file(config: &Config, name: &Path, progress: &Progress) -> Result<Kept, OpenError> {
    // Resolves a symbolic link, so that it stays in place.
    let path = fs::canonicalize(name).unwrap_or_else(|_| name.to_owned());
    let disk = Box::new(Folder::new(&path));
    let store = empty_store(config);
    let clock = Clock::new();
    match file::find(&*disk)? {
        Found::Nothing | Found::Empty => Err(OpenError::Io { source: std::io::ErrorKind::NotFound.into() }),
        Found::Own => {
            let opened = Redb::open(disk, &store, clock.now(), usage(config), progress.steps())?;
            let latest = opened.history().latest.max(store.newest_push());
            opened.leave();
            Ok(Kept { store, latest })
        }
        Found::Other => {
            let file = read_stock(&disk.read()?)?;
            stock::import(&file, &store, clock.now(), config.aggregation.enabled, progress.steps());
            let latest = store.newest_push();
            Ok(Kept { store, latest })
        }
    }
}
