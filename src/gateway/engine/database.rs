//! Opens a database, reads it and fills it.

use std::panic::resume_unwind;
use std::thread;

use super::{Clock, Config, EngineError, Opened, Store, drop_empty_labels, lead};
use crate::config::Sync;
use crate::persistence::engine::{CommitError, CommonTime, Engine as _};
use crate::persistence::postgres::{Address, DatabaseError, Postgres};
use crate::progress::Progress;
use crate::store::difference::State;

/// Opens the database that the settings name, and reads it into an empty store.
pub(super) fn open(config: &Config, store: &Store, clock: &Clock) -> Result<Opened, EngineError> {
    let settings = |what: &str| EngineError::Settings(what.to_owned());
    if !config.persistence.file.is_empty() {
        return Err(settings(
            "persistence.file and a database are both named: name one of them; \
             `tallygate copy` brings the content of one to the other",
        ));
    }
    if config.persistence.sync != Sync::Push {
        return Err(settings(
            "persistence.sync = \"interval\" is for files: with a database it must be \"push\"",
        ));
    }
    let address = address_of(config)?;
    let open = || {
        let progress = Progress::start();
        let now = |time: CommonTime| {
            clock.follow(time);
            clock.now()
        };
        let name = config.replica_name().unwrap_or_default();
        let mut postgres = Postgres::open(&address, &name, store, now, lead(config), progress.steps())
            .map_err(|source| database_error(&address, source))?;
        let rewrite = |state: &State| if postgres.rewrite(state)? { Ok(()) } else { Err(meanwhile()) };
        drop_empty_labels(config, store, rewrite).map_err(|error| not_written(&address, &error))?;
        Ok(postgres)
    };
    // The engine waits in its own runtime, which the runtime of the caller would not allow on its thread.
    let opened = thread::scope(|scope| scope.spawn(open).join());
    let postgres = opened.unwrap_or_else(|panic| resume_unwind(panic))?;
    let history = postgres.history_before();
    Ok(Opened { engine: Box::new(postgres), history, name: address.shown().to_owned() })
}

fn database_error(address: &Address, source: DatabaseError) -> EngineError {
    EngineError::Database { database: address.shown().to_owned(), source }
}

fn meanwhile() -> CommitError {
    CommitError::new("another gateway has changed something meanwhile: try again")
}

fn not_written(address: &Address, error: &CommitError) -> EngineError {
    EngineError::Settings(format!("database {}: {error}", address.shown()))
}

/// The address of the database in the settings, or in the file that they name.
fn address_of(config: &Config) -> Result<Address, EngineError> {
    let persistence = &config.persistence;
    let settings = |what: String| EngineError::Settings(what);
    if persistence.postgres_file.is_empty() {
        return Address::parse(persistence.postgres.get())
            .map_err(|error| settings(format!("persistence.postgres: {error}")));
    }
    if !persistence.postgres.is_empty() {
        return Err(settings(
            "persistence.postgres and persistence.postgres_file are both set: set one of them".into(),
        ));
    }
    let file = &persistence.postgres_file;
    let wrong = |what: String| settings(format!("persistence.postgres_file {file}: {what}"));
    let url = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    Address::parse(url.trim()).map_err(|error| wrong(error.to_string()))
}

/// Reads the database that the settings name into an empty store, without being one of its replicas. Returns the latest time in
/// it, in nanoseconds since the epoch.
pub(in crate::gateway) fn read(
    config: &Config,
    store: &Store,
    progress: &Progress,
) -> Result<i64, EngineError> {
    let address = address_of(config)?;
    let nothing = || {
        let what = "no gateway has kept anything in it";
        EngineError::Settings(format!("database {}: {what}", address.shown()))
    };
    read_at(&address, store, progress)?.ok_or_else(nothing)
}

fn read_at(address: &Address, store: &Store, progress: &Progress) -> Result<Option<i64>, EngineError> {
    let read = Postgres::read(address, store, Clock::new().now(), progress.steps());
    read.map_err(|source| database_error(address, source))
}

/// Writes a state, with the latest time in it, to a database that holds nothing.
pub(in crate::gateway) fn fill(
    config: &Config,
    url: &str,
    (state, latest): (&State, i64),
    empty_store: impl Fn() -> Store,
    progress: &Progress,
) -> Result<(), EngineError> {
    let address = Address::parse(url).map_err(|error| EngineError::Settings(error.to_string()))?;
    let check_empty = |store: &Store| {
        let what = "it holds something already: name another one";
        let taken = || EngineError::Settings(format!("database {}: {what}", address.shown()));
        let is_empty = store.group_count() == 0 && store.keys().is_empty();
        if is_empty { Ok(()) } else { Err(taken()) }
    };
    let (store, clock) = (empty_store(), Clock::new());
    let opened = Postgres::open(&address, "copy", &store, |_| clock.now(), lead(config), progress.steps());
    let mut postgres = opened.map_err(|source| database_error(&address, source))?;
    check_empty(&store)?;
    let filled = postgres.fill(state, latest).and_then(|is_kept| is_kept.then_some(()).ok_or_else(meanwhile));
    postgres.close(latest);
    filled.map_err(|error| not_written(&address, &error))
}
