//! Reads the rules again when a file changes or the operator asks for it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    let mut problem = None;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let occasion = tokio::select! {
            _ = ticks.tick() => Occasion::Interval,
            () = state.reload.notified() => Occasion::Asked,
        };
        let looking = state.clone();
        let before = problem.take();
        let looked = web::block(move || {
            looking.guard.as_ref().and_then(|guard| look(&looking, guard, occasion, before))
        });
        match looked.await {
            Ok(after) => problem = after,
            // The thread pool fails only during shutdown.
            Err(_) => return,
        }
    }
}

/// Reads the rules if a file has changed or a reload was asked for. `before` is the problem at the last check;
/// returns the current one. While there is one, every check tries again, because its cause may be outside the
/// files.
fn look(state: &State, guard: &Guard, occasion: Occasion, before: Option<String>) -> Option<String> {
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
