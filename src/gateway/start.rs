//! Creates a gateway from its configuration and its persistence file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Instant;

use super::clock::Clock;
use super::commit::{Committer, Health};
use super::interval::Interval;
use super::jobs::Worker;
use super::writer::Writer;
use super::{Durability, Gateway, PushSettings, limits, scrape, stock};
use crate::config::unlimited::most;
use crate::config::{Config, Sync};
use crate::exposition::Names;
use crate::persistence::redb::Redb;
use crate::persistence::redb::disk::{Disk, Folder};
use crate::persistence::redb::error::OpenError;
use crate::persistence::redb::file::{self, Found, Usage};
use crate::persistence::stock_file;
use crate::progress::{Progress, Steps};
use crate::rules::{RuleError, RuleSet};
use crate::store::{Store, Tracking};
use crate::telemetry::{Telemetry, own_families};

/// Why a gateway can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The gateway's own metrics can't be registered. The tests rule this out.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// A rule of the configuration file is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The persistence file can't be used.
    #[error("persistence file {file}: {source}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: OpenError,
    },
    /// The system can't start a thread.
    #[error("can't start the writer of the persistence file: {0}")]
    Thread(std::io::Error),
}

impl Gateway {
    /// A gateway with this configuration and the content of its persistence file.
    ///
    /// # Errors
    ///
    /// If the file can't be used. It is left unchanged then.
    pub fn new(config: &Config) -> Result<Gateway, StartError> {
        let disk = Folder::new(Path::new(&config.persistence.file));
        Gateway::with_disk(config, Box::new(disk))
    }

    /// As [`Gateway::new`], but with this disk. It is used only if the configuration names a persistence file.
    ///
    /// # Errors
    ///
    /// As [`Gateway::new`].
    pub fn with_disk(config: &Config, disk: Box<dyn Disk>) -> Result<Gateway, StartError> {
        let rules = RuleSet::compile(&config.rules)?;
        let tracking = match (config.persistence.file.is_empty(), config.persistence.sync) {
            (true, _) => Tracking::Nothing,
            (false, Sync::Push) => Tracking::Drafts,
            (false, Sync::Interval) => Tracking::Unsaved,
        };
        let store = Arc::new(Store::new(
            own_families(config.telemetry.process_metrics),
            tracking,
            config.push.idempotency_window,
            limits::most_keys(config),
        ));
        let telemetry = Telemetry::new(config.telemetry.process_metrics)?;
        let health = Arc::new(Health::default());
        let clock = Arc::new(Clock::new());
        let worker = Arc::new(OnceLock::new());
        let mut shown_until = 0;
        let durability = if tracking == Tracking::Nothing {
            Durability::Memory
        } else {
            let file = open_file(config, disk, &store, &clock)?;
            let history = file.history();
            shown_until = history.shown_until;
            clock.has_been(history.latest);
            let commits = telemetry.commits().clone();
            let committer = Committer::new(
                store.clone(),
                Box::new(file),
                config.persistence.file.clone(),
                commits,
                health.clone(),
                clock.clone(),
            );
            durability(config, &store, &clock, &telemetry, committer, &worker)?
        };
        // Sets the limits after loading, because the file may hold more than they allow.
        store.limit(limits::of_store(&config.limits));
        let started = clock.now();
        let gateway = Gateway {
            store,
            clock,
            telemetry,
            exposition: scrape::Exposition {
                created_series: config.exposition.created_series,
                has_units: !config.has_stock_formats(),
                zero_lead: config.exposition.zero_lead,
                started,
                shown_until,
            },
            prepared: scrape::Prepared::default(),
            refusals: super::refusals::Refusals::default(),
            deep_lists: super::browse::OneByOne::default(),
            rules: RwLock::default(),
            has_rules: AtomicBool::new(false),
            settings: PushSettings {
                aggregate: config.aggregation.enabled,
                put: config.push.put,
                names: if config.push.enable_utf8_names { Names::Utf8 } else { Names::Legacy },
                require_final_newline: config.push.require_final_newline,
                clear_modes: config.push.clearmode,
            },
            limits: limits::of_push(&config.limits, config.web.max_body_bytes),
            durability,
            health,
            worker,
        };
        gateway.set_rules(rules);
        Ok(gateway)
    }
}

/// Opens the persistence file and reads it into the store.
fn open_file(config: &Config, disk: Box<dyn Disk>, store: &Store, clock: &Clock) -> Result<Redb, StartError> {
    let name = config.persistence.file.clone();
    let started = Instant::now();
    let file =
        open(config, disk, store, clock).map_err(|source| StartError::File { file: name.clone(), source })?;
    tracing::info!(
        file = %name,
        groups = store.group_count(),
        series = store.series_count(),
        duration = %humantime::format_duration(std::time::Duration::from_millis(started.elapsed().as_millis() as u64)),
        "opened the persistence file"
    );
    Ok(file)
}

/// Starts the thread that writes the file.
fn durability(
    config: &Config,
    store: &Arc<Store>,
    clock: &Arc<Clock>,
    telemetry: &Telemetry,
    committer: Committer,
    worker: &Arc<OnceLock<Worker>>,
) -> Result<Durability, StartError> {
    let persistence = &config.persistence;
    let durability = match persistence.sync {
        Sync::Push => {
            let room = config.limits.body_bytes_in_flight;
            let metrics = telemetry.queue().clone();
            let worker = worker.clone();
            Writer::start(store.clone(), clock.clone(), committer, metrics, room, worker)
                .map(Durability::Before)
        }
        Sync::Interval => Interval::start(committer, persistence.interval).map(Durability::After),
    };
    durability.map_err(StartError::Thread)
}

/// The settings of the file.
fn usage(config: &Config) -> Usage {
    // New series are shown as 0 for this long.
    let lead = u64::try_from(config.exposition.zero_lead.as_nanos()).unwrap_or(u64::MAX);
    Usage::new(lead, most(config.limits.store_bytes))
}

fn open(config: &Config, disk: Box<dyn Disk>, store: &Store, clock: &Clock) -> Result<Redb, OpenError> {
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
            if config.aggregation.enabled {
                drop_empty_labels(&mut file, store)?;
            }
            Ok(file)
        }
        Found::Other => import(config, disk, store, clock, steps),
    }
}

/// With aggregation, a label with an empty value counts as absent. If the file is from a gateway that kept such
/// labels, it is written anew without them.
fn drop_empty_labels(file: &mut Redb, store: &Store) -> Result<(), OpenError> {
    let groups = store.drop_empty_labels();
    if groups == 0 {
        return Ok(());
    }
    file.rewrite(&store.take_all().0)
        .map_err(|error| OpenError::Io { source: std::io::Error::other(error.to_string()) })?;
    tracing::info!(groups, "labels with empty values have been dropped: where values add up they are none");
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
    if !stock_file::looks_like(&bytes) {
        let what = "it is neither a file of this gateway nor of a stock Pushgateway";
        return Err(OpenError::Foreign(what.to_owned()));
    }
    let file = stock_file::read(&bytes)
        .map_err(|error| OpenError::Damaged(format!("as the file of a stock Pushgateway: {error}")))?;
    let left_out = stock::import(&file, store, clock.now(), config.aggregation.enabled, steps);
    let original = disk.keep()?;
    let opened = Redb::create(disk, &store.take_all().0, true, store.newest_push(), usage(config), steps)?;
    for sentence in &left_out {
        tracing::warn!(what = %sentence, "left out of the stock gateway's file");
    }
    tracing::info!(original, left_out = left_out.len(), "imported the stock gateway's persistence file");
    Ok(opened)
}

/// The content of the persistence file in the format of the stock gateway.
///
/// # Errors
///
/// If the file does not exist or can't be used.
pub fn export_stock(config: &Config) -> Result<Vec<u8>, StartError> {
    let name = &config.persistence.file;
    let export = || {
        // Resolves a symbolic link, so that it stays in place.
        let path = fs::canonicalize(name).unwrap_or_else(|_| PathBuf::from(name));
        let disk = Box::new(Folder::new(&path));
        if matches!(file::find(&*disk)?, Found::Nothing | Found::Empty) {
            return Err(OpenError::Io { source: std::io::ErrorKind::NotFound.into() });
        }
        let (window, keys) = (config.push.idempotency_window, limits::most_keys(config));
        let store = Store::new(own_families(true), Tracking::Nothing, window, keys);
        let progress = Progress::start();
        let usage = Usage::new(0, most(config.limits.store_bytes));
        Redb::open(disk, &store, Clock::new().now(), usage, progress.steps())?.leave();
        let groups = stock::export(&store.groups(), progress.steps());
        Ok(stock_file::write(&groups))
    };
    export().map_err(|source| StartError::File { file: name.clone(), source })
}
