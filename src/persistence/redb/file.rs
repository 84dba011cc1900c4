//! The persistence file: redb tables, written in transactions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{Builder, Database};

use crate::model::time::Moment;
use crate::persistence::redb::disk::{Bytes, Disk, Watch, Watched};
use crate::persistence::redb::error::{OpenError, WriteError, not_written};
use crate::persistence::redb::tables::{begin, check_format, load, read_history, write, write_new};
use crate::persistence::rows::batch::Batch;
use crate::persistence::rows::format::FORMAT;
use crate::persistence::rows::history::History;
use crate::persistence::rows::layout::Layout;
use crate::progress::Steps;
use crate::store::Store;

/// The whole store is read only at start. Later only the upper levels of the tables are needed.
const CACHE_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=16 << 20;

/// The size of the store divided by that of the cache.
const STORE_PER_CACHE: u64 = 8;

/// The settings of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// For how many nanoseconds new series are shown as 0.
    pub lead: u64,
    /// The size of redb's cache in bytes.
    cache: usize,
}

impl Usage {
    /// The settings for a store of at most `store_bytes`.
    pub fn new(lead: u64, store_bytes: u64) -> Usage {
        let cache = (store_bytes / STORE_PER_CACHE).clamp(*CACHE_BYTES.start(), *CACHE_BYTES.end());
        Usage { lead, cache: cache as usize }
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct StoreFile {
    disk: Box<dyn Disk>,
    usage: Usage,
    watch: Arc<Watch>,
    /// `None` after a failure, until the file is opened again.
    database: Option<Database>,
    history: History,
}

/// What exists at the path of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// An empty file.
    Empty,
    /// A redb file.
    Own,
    /// Another file.
    Other,
}

/// The first bytes of every redb file.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Finds out what exists at the path, without changing it.
///
/// # Errors
///
/// If it can't be read.
pub fn find(disk: &dyn Disk) -> Result<Found, OpenError> {
    Ok(match disk.head()? {
        None => Found::Nothing,
        Some(head) if head.is_empty() => Found::Empty,
        Some(head) if head.starts_with(MAGIC) => Found::Own,
        Some(_) => Found::Other,
    })
}

impl StoreFile {
    /// Opens an existing file, checks all of it and reads it into an empty store.
    ///
    /// # Errors
    ///
    /// If it can't be used. It is left unchanged then.
    pub(super) fn open(
        disk: Box<dyn Disk>,
        store: &Store,
        now: Moment,
        usage: Usage,
        steps: &Arc<Steps>,
        layout: &mut Layout,
    ) -> Result<StoreFile, OpenError> {
        let watch = Watch::new(steps.clone());
        let lead = usage.lead;
        let bytes = disk.open()?;
        // Each takes about as many reads as there are bytes.
        let length = bytes.len()?;
        steps.phase("checking the persistence file", length);
        let database = open(bytes, usage, &watch)?;
        steps.phase("reading the persistence file", length);
        let history = readable(|| {
            let format = check_format(&database)?;
            let latest = load(&database, store, now, layout).map_err(OpenError::Damaged)?;
            let before = read_history(&database)?;
            let before = History { latest: before.latest.max(latest), ..before };
            let history = before.at(now, lead);
            // Most gateways never show series as 0, and write nothing here.
            let has_news = before.is_closed || history.shown_until != before.shown_until;
            if format != FORMAT || before.lead != lead || (has_news && lead > 0) {
                begin(&database, history)?;
            }
            Ok(history)
        })?;
        // Removes an unfinished replacement of an earlier gateway.
        disk.discard();
        Ok(StoreFile { disk, usage, watch, database: Some(database), history })
    }

    /// Writes a batch to a new file and installs it. `over` allows it to replace an existing file. `latest` is the
    /// latest time in the batch, in nanoseconds since the epoch.
    ///
    /// # Errors
    ///
    /// If it can't be written. An existing file is left unchanged then.
    pub(super) fn create(
        disk: Box<dyn Disk>,
        batch: &Batch,
        over: bool,
        latest: i64,
        usage: Usage,
        steps: &Arc<Steps>,
    ) -> Result<StoreFile, OpenError> {
        let watch = Watch::new(steps.clone());
        let history = History { latest, shown_until: latest, lead: usage.lead, is_closed: false };
        let database = new_file(&*disk, usage, &watch, batch, over, history)?;
        Ok(StoreFile { disk, usage, watch, database: Some(database), history })
    }

    /// The history that the file had when it was opened.
    pub(super) fn history(&self) -> History {
        self.history
    }

    /// Writes a batch durably.
    ///
    /// # Errors
    ///
    /// If the write fails. It may be on disk nevertheless, so everything in it must be written again, after
    /// [`StoreFile::reopen`] or by [`StoreFile::replace`].
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<(), WriteError> {
        let Some(database) = &self.database else {
            return Err(WriteError::new("the file is closed", false));
        };
        let result = catch_unwind(AssertUnwindSafe(|| write(database, batch)));
        let message = match result {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the file is not what was written".to_owned(),
        };
        // After a failure redb refuses all work until the file is opened again.
        self.close();
        Err(WriteError::new(&message, self.watch.take_sync_failed()))
    }

    /// Opens the file again after a failure.
    ///
    /// # Errors
    ///
    /// If that is not possible yet.
    pub(super) fn reopen(&mut self) -> Result<(), WriteError> {
        if self.database.is_none() {
            let bytes = self.disk.open().map_err(|error| WriteError::new(&error.to_string(), false))?;
            let opened = open(bytes, self.usage, &self.watch).and_then(|database| {
                check_format(&database)?;
                Ok(database)
            });
            let opened = opened.map_err(|error| {
                // A file that can't be read any more can still be replaced.
                let is_fatal = matches!(error, OpenError::Damaged(_) | OpenError::Foreign(_));
                WriteError::new(&error.to_string(), is_fatal || self.watch.take_sync_failed())
            })?;
            self.database = Some(opened);
        }
        Ok(())
    }

    /// Replaces a file that can't be trusted. `batch` must hold the whole state.
    ///
    /// # Errors
    ///
    /// If the new file can't be written. The old one still exists then.
    pub(super) fn replace(&mut self, batch: &Batch) -> Result<(), WriteError> {
        self.close();
        let database =
            new_file(&*self.disk, self.usage, &self.watch, batch, true, self.history).map_err(|error| {
                self.watch.take_sync_failed();
                WriteError::new(&error.to_string(), true)
            })?;
        self.database = Some(database);
        Ok(())
    }

    /// How many bytes were written so far.
    pub(super) fn written(&self) -> u64 {
        self.watch.written()
    }

    /// Closes the file.
    pub(super) fn close(&mut self) {
        if let Some(database) = self.database.take() {
            // If redb fails to mark the file as closed, nothing is lost: the next start only checks more.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
        }
    }
}

fn open(bytes: Bytes, usage: Usage, watch: &Arc<Watch>) -> Result<Database, OpenError> {
    let watched = Watched { bytes, watch: watch.clone() };
    readable(|| {
        let opened = Builder::new()
            .set_cache_size(usage.cache)
            .set_check_integrity_on_open(true)
            .create_with_backend(watched);
        Ok(opened?)
    })
}

/// Calls `read` and turns a panic into an error, in case the checks of redb have missed some damage.
fn readable<T>(read: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(OpenError::Damaged("it can't be read".into())))
}

fn new_file(
    disk: &dyn Disk,
    usage: Usage,
    watch: &Arc<Watch>,
    batch: &Batch,
    over: bool,
    history: History,
) -> Result<Database, OpenError> {
    let bytes = disk.create_new()?;
    let made = open(bytes, usage, watch).and_then(|database| {
        write_new(&database, batch, history).map_err(not_written)?;
        disk.install(over)?;
        Ok(database)
    });
    if made.is_err() {
        disk.discard();
    }
    made
}
