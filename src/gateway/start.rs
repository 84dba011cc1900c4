//! From the configuration to a gateway with everything that was there before.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::commit::{Committer, Health};
use super::interval::Interval;
use super::writer::Writer;
use super::{Gateway, Keeping, Rules, limits, now, scrape, stock};
use crate::config::{Config, Persistence, Sync};
use crate::exposition::text;
use crate::persistence::disk::{Disk, Folder};
use crate::persistence::file::{self, Found, OpenError, StoreFile};
use crate::persistence::stock_file;
use crate::store::Store;
use crate::store::change::Tracking;
use crate::telemetry::{Telemetry, own_families};

/// Why a gateway can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The gateway's own metrics can't be registered; never in a build that passes the tests.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// The persistence file can't be used.
    #[error("persistence file {file}: {source}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: OpenError,
    },
    /// The system has no thread to give.
    #[error("can't start the writer of the persistence file: {0}")]
    Thread(std::io::Error),
}

impl Gateway {
    /// A gateway that obeys this configuration, with what its persistence file holds.
    ///
    /// # Errors
    ///
    /// When the file can't be used. It is left as it is then.
    pub fn new(config: &Config) -> Result<Gateway, StartError> {
        let disk = Folder::new(Path::new(&config.persistence.file));
        Gateway::with_disk(config, Box::new(disk))
    }

    /// The same with a disk of the caller's. It is used when the configuration names a persistence
    /// file.
    ///
    /// # Errors
    ///
    /// As [`Gateway::new`].
    pub fn with_disk(config: &Config, disk: Box<dyn Disk>) -> Result<Gateway, StartError> {
        let tracking = match (config.persistence.file.is_empty(), config.persistence.sync) {
            (true, _) => Tracking::Nothing,
            (false, Sync::Push) => Tracking::Versions,
            (false, Sync::Interval) => Tracking::Touched,
        };
        let store = Arc::new(Store::new(own_families(), tracking, config.push.idempotency_window));
        let telemetry = Telemetry::new()?;
        let health = Arc::new(Health::default());
        let keeping = if tracking == Tracking::Nothing {
            Keeping::Memory
        } else {
            keeping(&config.persistence, config.aggregation.enabled, disk, &store, &telemetry, &health)?
        };
        // What was there before is there again, even if it is more.
        store.limit(limits::of_store(&config.limits));
        let newest_push = store.newest_push();
        Ok(Gateway {
            store,
            telemetry,
            exposition: scrape::Exposition {
                created_series: config.exposition.created_series,
                has_units: !config.has_stock_formats(),
                zero_lead: config.exposition.zero_lead,
                started: now(),
                latest: newest_push.into(),
            },
            prepared: scrape::Prepared::default(),
            deep_lists: super::browse::OneByOne::default(),
            rules: Rules {
                aggregate: config.aggregation.enabled,
                put: config.push.put,
                names: if config.push.enable_utf8_names { text::Names::Utf8 } else { text::Names::Legacy },
                require_final_newline: config.push.require_final_newline,
            },
            limits: limits::of_push(&config.limits, config.web.max_body_bytes),
            keeping,
            health,
        })
    }
}

/// Opens the file and starts its writer.
fn keeping(
    persistence: &Persistence,
    aggregate: bool,
    disk: Box<dyn Disk>,
    store: &Arc<Store>,
    telemetry: &Telemetry,
    health: &Arc<Health>,
) -> Result<Keeping, StartError> {
    let name = persistence.file.clone();
    let started = Instant::now();
    let file =
        open(disk, store, aggregate).map_err(|source| StartError::File { file: name.clone(), source })?;
    tracing::info!(
        file = %name,
        groups = store.group_count(),
        series = store.series_count(),
        duration = %humantime::format_duration(std::time::Duration::from_millis(started.elapsed().as_millis() as u64)),
        "opened the persistence file"
    );
    let commits = telemetry.commits().clone();
    let committer = Committer::new(store.clone(), file, name, commits, health.clone());
    let keeping = match persistence.sync {
        Sync::Push => Writer::start(store.clone(), committer, telemetry.queue().clone()).map(Keeping::Before),
        Sync::Interval => Interval::start(committer, persistence.interval).map(Keeping::After),
    };
    keeping.map_err(StartError::Thread)
}

fn open(disk: Box<dyn Disk>, store: &Store, aggregate: bool) -> Result<StoreFile, OpenError> {
    match file::find(&*disk)? {
        Found::Nothing => StoreFile::create(disk, store, false),
        Found::Empty => StoreFile::create(disk, store, true),
        Found::Own => StoreFile::open(disk, store),
        Found::Other => import(disk, store, aggregate),
    }
}

/// Takes over the file of a stock gateway, and keeps it as it is under another name.
fn import(disk: Box<dyn Disk>, store: &Store, aggregate: bool) -> Result<StoreFile, OpenError> {
    let bytes = disk.read()?;
    if !stock_file::looks_like(&bytes) {
        let what = "it is neither a file of this gateway nor of a stock Pushgateway";
        return Err(OpenError::Foreign(what.to_owned()));
    }
    let file = stock_file::read(&bytes)
        .map_err(|error| OpenError::Damaged(format!("as the file of a stock Pushgateway: {error}")))?;
    let left_out = stock::import(&file, store, aggregate);
    let original = disk.keep()?;
    let opened = StoreFile::create(disk, store, true)?;
    for sentence in &left_out {
        tracing::warn!(what = %sentence, "left out of the stock gateway's file");
    }
    tracing::info!(original, left_out = left_out.len(), "imported the stock gateway's persistence file");
    Ok(opened)
}

/// What a stock gateway would have written with what is in the persistence file.
///
/// # Errors
///
/// When there is no such file, or it can't be used.
pub fn export_stock(config: &Config) -> Result<Vec<u8>, StartError> {
    let name = &config.persistence.file;
    let export = || {
        let disk = Box::new(Folder::new(Path::new(name)));
        if matches!(file::find(&*disk)?, Found::Nothing | Found::Empty) {
            return Err(OpenError::Io { source: std::io::ErrorKind::NotFound.into() });
        }
        let store = Store::new(own_families(), Tracking::Nothing, config.push.idempotency_window);
        let mut file = StoreFile::open(disk, &store)?;
        let groups = stock::export(&store.groups());
        file.close();
        Ok(stock_file::write(&groups))
    };
    export().map_err(|source| StartError::File { file: name.clone(), source })
}
