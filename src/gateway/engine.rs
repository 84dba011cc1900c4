//! Opens what keeps the store, and reads it: a file or a database.

#[cfg(feature = "postgres")]
pub(super) mod database;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::stock;
use crate::config::Config;
use crate::config::unlimited::most;
use crate::persistence::engine::{CommitError, Engine};
#[cfg(feature = "postgres")]
use crate::persistence::postgres::DatabaseError;
use crate::persistence::redb::Redb;
use crate::persistence::redb::disk::Disk;
use crate::persistence::redb::error::OpenError;
use crate::persistence::redb::file::{self, Found, Usage};
use crate::persistence::rows::history::History;
use crate::persistence::stock_file;
use crate::progress::{Progress, Steps};
use crate::store::Store;
use crate::store::difference::State;

/// Why what is kept can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The persistence file can't be used.
    #[error("persistence file {file}: {source}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: OpenError,
    },
    /// The database can't be used.
    #[cfg(feature = "postgres")]
    #[error("database {database}: {source}")]
    Database {
        /// Its host and name.
        database: String,
        /// What is wrong with it.
        source: DatabaseError,
    },
    /// The settings contradict each other.
    #[error("{0}")]
    Settings(String),
}

/// What keeps the store.
pub(super) struct Opened {
    pub(super) engine: Box<dyn Engine>,
    /// What was recorded before.
    pub(super) history: History,
    /// The file or the database, for messages.
    pub(super) name: String,
}

/// Opens the file or database that the configuration names, and reads it into an empty store.
pub(super) fn open(
    config: &Config,
    disk: Box<dyn Disk>,
    store: &Store,
    clock: &Clock,
) -> Result<Opened, EngineError> {
    let started = Instant::now();
    let opened = if config.persistence.has_database() {
        database::open(config, store, clock)?
    } else {
        let file = config.persistence.file.clone();
        let opened = open_file(config, disk, store, clock);
        let opened = opened.map_err(|source| EngineError::File { file: file.clone(), source })?;
        Opened { history: opened.history(), engine: Box::new(opened), name: file }
    };
    let duration = Duration::from_millis(started.elapsed().as_millis() as u64);
    tracing::info!(
        name = %opened.name,
        groups = store.group_count(),
        series = store.series_count(),
        duration = %humantime::format_duration(duration),
        "opened the persistence {}",
        if config.persistence.has_database() { "database" } else { "file" }
    );
    Ok(opened)
}

/// For how many nanoseconds new series are shown as 0.
pub(super) fn lead(config: &Config) -> u64 {
    u64::try_from(config.exposition.zero_lead.as_nanos()).unwrap_or(u64::MAX)
}

/// Where the program was built without it.
#[cfg(not(feature = "postgres"))]
pub(super) mod database {
    use super::{Clock, Config, EngineError, Opened, Progress, State, Store};

    pub(super) fn open(_: &Config, _: &Store, _: &Clock) -> Result<Opened, EngineError> {
        Err(missing())
    }

    pub(in crate::gateway) fn read(_: &Config, _: &Store, _: &Progress) -> Result<i64, EngineError> {
        Err(missing())
    }

    pub(in crate::gateway) fn fill(
        _: &Config,
        _: &str,
        _: (&State, i64),
        _: impl Fn() -> Store,
        _: &Progress,
    ) -> Result<(), EngineError> {
        Err(missing())
    }

    fn missing() -> EngineError {
        let what = "this tallygate was built without PostgreSQL: build it with the feature \"postgres\"";
        EngineError::Settings(what.to_owned())
    }
}

/// The settings of the file.
pub(super) fn usage(config: &Config) -> Usage {
    Usage::new(lead(config), most(config.limits.store_bytes))
}

/// Opens the persistence file and reads it into the store.
fn open_file(config: &Config, disk: Box<dyn Disk>, store: &Store, clock: &Clock) -> Result<Redb, OpenError> {
    let usage = usage(config);
    let progress = Progress::start();
    let steps = progress.steps();
    match file::find(&*disk)? {
        Found::Nothing => Redb::create(disk, &store.take_all().0, false, 0, usage, steps),
        Found::Empty => {
            tracing::warn!(
                file = %config.persistence.file,
                "the persistence file is empty, as one is that was cut short: the gateway begins without metrics"
            );
            Redb::create(disk, &store.take_all().0, true, 0, usage, steps)
        }
        Found::Own => {
            let mut file = Redb::open(disk, store, clock.now(), usage, steps)?;
            drop_empty_labels(config, store, |state| file.rewrite(state))
                .map_err(|error| OpenError::Io { source: std::io::Error::other(error.to_string()) })?;
            Ok(file)
        }
        Found::Other => import(config, disk, store, clock, steps),
    }
}

/// With aggregation, a label with an empty value counts as absent. If what is kept is from a gateway that kept such
/// labels, it is written anew without them.
fn drop_empty_labels(
    config: &Config,
    store: &Store,
    rewrite: impl FnOnce(&State) -> Result<(), CommitError>,
) -> Result<(), CommitError> {
    let groups = if config.aggregation.enabled { store.drop_empty_labels() } else { 0 };
    if groups > 0 {
        rewrite(&store.take_all().0)?;
        tracing::info!(
            groups,
            "labels with empty values have been dropped: where values add up they are none"
        );
    }
    Ok(())
}

/// Imports the file of a stock gateway, and keeps the original under another name.
fn import(
    config: &Config,
    disk: Box<dyn Disk>,
    store: &Store,
    clock: &Clock,
    steps: &Arc<Steps>,
) -> Result<Redb, OpenError> {
    steps.phase("reading the stock gateway's file", 0);
    let bytes = disk.read()?;
    let file = read_stock(&bytes)?;
    let left_out = stock::import(&file, store, clock.now(), config.aggregation.enabled, steps);
    let original = disk.keep()?;
    let opened = Redb::create(disk, &store.take_all().0, true, store.newest_push(), usage(config), steps)?;
    for sentence in &left_out {
        tracing::warn!(what = %sentence, "left out of the stock gateway's file");
    }
    tracing::info!(original, left_out = left_out.len(), "imported the stock gateway's persistence file");
    Ok(opened)
}

/// What the file of a stock gateway holds.
pub(super) fn read_stock(bytes: &[u8]) -> Result<stock_file::StockFile, OpenError> {
    if !stock_file::looks_like(bytes) {
        let what = "it is neither a file of this gateway nor of a stock Pushgateway";
        return Err(OpenError::Foreign(what.to_owned()));
    }
    stock_file::read(bytes)
        .map_err(|error| OpenError::Damaged(format!("as the file of a stock Pushgateway: {error}")))
}
