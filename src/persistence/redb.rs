//! The engine that keeps everything in one redb file.

pub mod disk;
pub mod error;
pub mod file;
pub mod tables;

use std::sync::Arc;

use crate::model::time::Moment;
use crate::persistence::engine::{CommitError, Committed, Engine, Recovery, Written};
use crate::persistence::redb::disk::Disk;
use crate::persistence::redb::error::{OpenError, WriteError};
use crate::persistence::redb::file::{StoreFile, Usage};
use crate::persistence::rows::batch::Batch;
use crate::persistence::rows::history::History;
use crate::persistence::rows::layout::Layout;
use crate::persistence::rows::unconfirmed::Unconfirmed;
use crate::progress::Steps;
use crate::store::Store;
use crate::store::difference::{Difference, State};

/// The engine of a file.
#[derive(Debug)]
pub struct Redb {
    file: StoreFile,
    layout: Layout,
    batch: Batch,
    unconfirmed: Unconfirmed,
    /// Whether the file can't be trusted any more.
    is_fatal: bool,
}

impl Redb {
    /// Opens an existing file, checks all of it and reads it into an empty store.
    ///
    /// # Errors
    ///
    /// If the file can't be used. It is left unchanged then.
    pub fn open(
        disk: Box<dyn Disk>,
        store: &Store,
        now: Moment,
        usage: Usage,
        steps: &Arc<Steps>,
    ) -> Result<Redb, OpenError> {
        let mut layout = Layout::default();
        let file = StoreFile::open(disk, store, now, usage, steps, &mut layout)?;
        store.restored();
        Ok(Redb::of(file, layout))
    }

    /// Writes the whole state to a new file and installs it. `over` allows it to replace an existing file. `latest`
    /// is the latest time in the state, in nanoseconds since the epoch.
    ///
    /// # Errors
    ///
    /// If it can't be written. An existing file is left unchanged then.
    pub fn create(
        disk: Box<dyn Disk>,
        state: &State,
        over: bool,
        latest: i64,
        usage: Usage,
        steps: &Arc<Steps>,
    ) -> Result<Redb, OpenError> {
        steps.phase("writing the persistence file", 0);
        let (mut layout, mut batch) = (Layout::default(), Batch::default());
        layout.state(state, &mut batch);
        let file = StoreFile::create(disk, &batch, over, latest, usage, steps)?;
        Ok(Redb::of(file, layout))
    }

    fn of(file: StoreFile, layout: Layout) -> Redb {
        Redb { file, layout, batch: Batch::default(), unconfirmed: Unconfirmed::default(), is_fatal: false }
    }

    /// The history that the file had when it was opened.
    pub fn history(&self) -> History {
        self.file.history()
    }

    /// Writes the whole state to a new file and replaces the current one.
    ///
    /// # Errors
    ///
    /// If it can't be written. The old file still exists then.
    pub fn rewrite(&mut self, state: &State) -> Result<(), CommitError> {
        self.batch.clear();
        self.layout.state(state, &mut self.batch);
        let replaced = self.file.replace(&self.batch).map_err(|error| self.failed(error));
        self.batch.clear();
        replaced
    }

    /// Closes the file without a last write.
    pub fn leave(mut self) {
        self.file.close();
    }

    fn failed(&mut self, error: WriteError) -> CommitError {
        self.is_fatal |= error.is_fatal;
        CommitError::new(&error.to_string())
    }

    fn written_now(&self) -> Written {
        Written { rows: self.batch.rows(), bytes: self.batch.size() }
    }
}

impl Engine for Redb {
    fn commit(&mut self, difference: &Difference, latest: i64) -> Result<Committed, CommitError> {
        self.batch.clear();
        self.layout.difference(difference, &mut self.batch);
        // A change records its time in its group or with its key. A deletion removes that record, so the time is
        // kept here.
        if !difference.gone.is_empty() {
            self.batch.add_latest(latest, false);
        }
        match self.file.commit(&self.batch) {
            Ok(()) => Ok(Committed::Kept(self.written_now())),
            Err(error) => {
                let failed = self.failed(error);
                self.note_unconfirmed(difference);
                Err(failed)
            }
        }
    }

    fn prepare_recovery(&mut self) -> Result<Recovery, CommitError> {
        if self.is_fatal {
            return Ok(Recovery::Write);
        }
        let reopened = self.file.reopen().map_err(|error| self.failed(error));
        // A file that can't be trusted is replaced, so it need not be opened.
        if self.is_fatal { Ok(Recovery::Write) } else { reopened.map(|()| Recovery::Write) }
    }

    /// Writes everything that failed commits have changed, because these may have reached the disk in part or as a
    /// whole. After a failed sync, not even the rest of the file can be trusted: the system may have dropped what
    /// it could not write, and reports that only once. Then a new file replaces it.
    fn recover(&mut self, state: &State, since: &Difference, latest: i64) -> Result<Written, CommitError> {
        self.note_unconfirmed(since);
        self.is_fatal |= self.unconfirmed.is_too_much(state);
        self.batch.clear();
        let written = if self.is_fatal {
            self.layout.state(state, &mut self.batch);
            self.batch.add_latest(latest, false);
            self.file.replace(&self.batch)
        } else {
            self.unconfirmed.write(state, &mut self.layout, &mut self.batch);
            self.batch.add_latest(latest, false);
            self.file.commit(&self.batch)
        };
        written.map_err(|error| self.failed(error))?;
        self.unconfirmed = Unconfirmed::default();
        self.is_fatal = false;
        Ok(self.written_now())
    }

    fn written(&self) -> u64 {
        self.file.written()
    }

    fn close(&mut self, latest: i64) {
        if self.unconfirmed.is_empty() && !self.is_fatal {
            self.batch.clear();
            self.batch.add_latest(latest, true);
            // Without it the next start only knows less about the latest time.
            if let Err(error) = self.file.commit(&self.batch) {
                tracing::debug!(err = %error, "the time of the end can't be written");
            }
        }
        self.file.close();
    }
}

impl Redb {
    /// Notes that a difference may be on disk or not.
    fn note_unconfirmed(&mut self, difference: &Difference) {
        if self.is_fatal {
            // The next recovery writes everything anew.
            self.unconfirmed = Unconfirmed::default();
        } else {
            self.unconfirmed.add(difference);
        }
    }
}
