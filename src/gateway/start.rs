//! Creates a gateway from its configuration and what was kept of it.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, RwLock};

use super::clock::Clock;
use super::commit::{Committer, Health, Medium};
use super::engine::{self, EngineError};
use super::interval::Interval;
use super::jobs::Worker;
use super::replicas::Replicas;
use super::writer::Writer;
use super::{Durability, Gateway, PushSettings, limits, scrape};
use crate::config::{Config, Sync};
use crate::exposition::Names;
use crate::persistence::redb::disk::{Disk, Folder};
use crate::rules::{RuleError, RuleSet};
use crate::store::{CommitMode, Store};
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
    /// What is kept can't be opened.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The system can't start a thread.
    #[error("can't start the thread that writes: {0}")]
    Thread(std::io::Error),
}

impl Gateway {
    /// A gateway with this configuration and what was kept of it, in a file or a database.
    ///
    /// # Errors
    ///
    /// If that can't be used. It is left unchanged then.
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
        let commit_mode = match (config.persistence.keeps(), config.persistence.sync) {
            (false, _) => CommitMode::Never,
            (true, Sync::Push) => CommitMode::Before,
            (true, Sync::Interval) => CommitMode::After,
        };
        let store = Arc::new(Store::new(
            own_families(config.telemetry.process_metrics),
            commit_mode,
            config.push.idempotency_window,
            limits::most_keys(config),
        ));
        let telemetry = Telemetry::new(config.telemetry.process_metrics, config.replica_name().as_deref())?;
        let clock = Arc::new(Clock::new());
        let worker = Arc::new(OnceLock::new());
        let mut shown_until = 0;
        let (mut replicas, mut kept_in) = (None, String::new());
        let health = Arc::new(Health::of(Medium::of(config)));
        let durability = if commit_mode == CommitMode::Never {
            Durability::Memory
        } else {
            let opened = engine::open(config, disk, &store, &clock)?;
            shown_until = opened.history.shown_until;
            clock.has_been(opened.history.latest);
            replicas = opened.engine.is_shared().then(|| Arc::new(Replicas::default()));
            kept_in.clone_from(&opened.name);
            let commits = telemetry.commits().clone();
            let committer = Committer::new(
                store.clone(),
                opened.engine,
                opened.name,
                commits,
                health.clone(),
                clock.clone(),
            );
            let committer = committer.with_replicas(replicas.clone(), telemetry.replica().cloned());
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
            kept_in,
            replicas,
            worker,
        };
        gateway.set_rules(rules);
        Ok(gateway)
    }
}

/// Starts the thread that commits.
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
