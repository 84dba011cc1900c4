//! Reads the rules again when a file changes or the operator asks for it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use actix_web::web;
use tokio::time::MissedTickBehavior;

use super::Guard;
use crate::http::State;

/// How often the files are checked for changes.
const INTERVAL: Duration = Duration::from_secs(1);

/// Why the files are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// The interval has passed.
    Interval,
    /// The operator has asked for a reload, whether files have changed or not.
    Asked,
}

/// The state of a file when it was last read.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    seen: Option<Seen>,
}

/// File attributes that change with its content, or if a link replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watched {
    /// Call it before the file is read, so that a change in between is noticed later.
    pub(super) fn new(path: &Path) -> Watched {
        Watched { path: path.to_owned(), seen: Seen::of(path) }
    }

    fn is_unchanged(&self) -> bool {
        self.seen == Seen::of(&self.path)
    }
}

impl Seen {
    fn of(path: &Path) -> Option<Seen> {
        let file = std::fs::metadata(path).ok()?;
        Some(Seen {
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

/// Keeps the rules up to date while the gateway runs.
pub(in crate::http) async fn watch(state: Arc<State>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let looking = state.clone();
        let looked = web::block(move || {
            if let Some(guard) = &looking.guard {
                look(&looking, guard, Occasion::Interval);
            }
        });
        // The thread pool fails only during shutdown.
        if looked.await.is_err() {
            return;
        }
    }
}

/// Reads the rules again, changed or not. Blocks.
///
/// # Errors
///
/// What is wrong with them; the old ones stay in force.
pub(in crate::http) fn read_again(state: &State, guard: &Guard) -> Result<(), String> {
    look(state, guard, Occasion::Asked).map_or(Ok(()), Err)
}

/// Reads the rules if a file has changed or a reload was asked for. Returns the current problem. While there is one,
/// every check tries again, because its cause may be outside the files.
fn look(state: &State, guard: &Guard, occasion: Occasion) -> Option<String> {
    let mut problem = guard.problem.lock().unwrap_or_else(PoisonError::into_inner);
    *problem = look_after(state, guard, occasion, problem.take());
    guard.loaded.set_problem(problem.as_deref());
    problem.clone()
}

/// The same; `before` is the problem at the last check.
fn look_after(state: &State, guard: &Guard, occasion: Occasion, before: Option<String>) -> Option<String> {
    let old = guard.rules();
    let telemetry = state.gateway.telemetry().web();
    if occasion == Occasion::Interval && old.files.iter().all(Watched::is_unchanged) {
        if before.is_some() {
            telemetry.config_read();
            tracing::info!("the web configuration is what it was again");
        }
        return None;
    }
    match guard.sources.read_after(&old) {
        Ok(rules) => {
            rules.warn();
            guard.replace(rules);
            telemetry.config_read();
            match occasion {
                Occasion::Interval => tracing::info!("the web configuration has changed and is in force"),
                Occasion::Asked => tracing::info!("the web configuration was read again and is in force"),
            }
            None
        }
        Err(error) => {
            let problem = error.to_string();
            telemetry.config_refused();
            if occasion == Occasion::Asked || before.as_ref() != Some(&problem) {
                tracing::error!(err = %problem, "Unable to parse configuration; the last good one stays in force");
            }
            Some(problem)
        }
    }
}
