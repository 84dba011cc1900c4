//! The file of the store: redb tables, written in transactions.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition, WriteTransaction,
};

use crate::model::time::Moment;
use crate::persistence::redb::batch::{Batch, RowKey, Step, Table};
use crate::persistence::redb::changes::Layout;
use crate::persistence::redb::disk::{Bytes, Disk, Watch, Watched};
use crate::persistence::redb::load;
use crate::progress::Steps;
use crate::store::Store;

/// The version of the rows. Files of a newer one are refused; those of an older one are read, and have this one
/// from then on.
pub const FORMAT: u64 = 2;

/// The first version.
const OLDEST_FORMAT: u64 = 1;

/// The store is read once, at the start; after that only the upper levels of the tables are needed.
const CACHE_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=16 << 20;

/// A store has so many times the size of the cache.
const STORE_PER_CACHE: u64 = 8;

/// Single numbers: the format, and what [`History`] has.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT_KEY: &str = "format";
const LATEST_KEY: &str = "latest_nanos";
const LEAD_KEY: &str = "lead_nanos";
const SHOWN_KEY: &str = "shown_until_nanos";
const CLOSED_KEY: &str = "closed";

/// See [`Table::Names`].
pub(super) const NAMES: TableDefinition<'_, &RowKey, &[u8]> = TableDefinition::new("names");
/// See [`Table::Values`].
pub(super) const VALUES: TableDefinition<'_, &RowKey, &[u8]> = TableDefinition::new("values");
/// The types of the metric names.
pub(super) const KINDS: TableDefinition<'_, &str, u8> = TableDefinition::new("kinds");
/// The idempotency keys by number.
pub(super) const KEYS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("keys");

/// Why a file can't be used. The path stands in front of the message.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It can't be read or written.
    #[error("{source}{}", advice(.source.kind()))]
    Io {
        /// What the system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another process is using it: stop that one, or give each its own file")]
    InUse,
    /// It is none of this gateway's, and none of a stock gateway's.
    #[error(
        "{0}: it was left as it is; name another file, or move this one away to start with an empty store"
    )]
    Foreign(String),
    /// A newer gateway wrote it.
    #[error(
        "a newer tallygate wrote it (format {found}, this one knows {FORMAT}): start a newer version, or name another file"
    )]
    Newer {
        /// Its format.
        found: u64,
    },
    /// It is not what was written.
    #[error(
        "it is damaged ({0}) and was left as it is: restore it from a copy, or move it away to start with an empty store"
    )]
    Damaged(String),
}

/// What an operator can do about a failure of the system.
fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => {
            ": the gateway must own the file and its folder, or be allowed to write both"
        }
        io::ErrorKind::NotFound => ": create the folder, or name another file",
        io::ErrorKind::ReadOnlyFilesystem => ": name a file on a disk that can be written",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": make room on the disk",
        io::ErrorKind::IsADirectory => ": name a file, not a folder",
        io::ErrorKind::InvalidInput => ": name a file of its own for the gateway",
        _ => "",
    }
}

/// Why a batch was not written. Nothing of it counts.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct WriteError {
    message: String,
    /// Whether the file can't be trusted any more: what the system says to be written may be lost.
    pub(super) is_fatal: bool,
}

/// What a file knows of the gateways that had it before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The latest time that it has seen, as far as that is known, in nanoseconds since the epoch.
    pub latest: i64,
    /// Whether it has closed the file in good order: then there was no later time.
    pub is_closed: bool,
    /// For how many nanoseconds newborn series were shown as 0, and are from now on.
    pub lead: u64,
    /// Series that began up to then may have been shown with their values, in nanoseconds since the epoch.
    pub shown_until: i64,
}

impl History {
    /// What is known now, where newborn series are shown as 0 for `lead` nanoseconds. A gateway that has closed
    /// its file, or a clock that is right, tells which were shown as 0 before; a gateway that did so for a
    /// shorter time may have shown any.
    fn at(self, now: Moment, lead: u64) -> History {
        let is_known = self.lead >= lead && (self.is_closed || now.nanos > self.latest);
        History { lead, shown_until: if is_known { self.shown_until } else { self.latest }, ..self }
    }
}

/// How a file is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// For how many nanoseconds newborn series are shown as 0.
    pub lead: u64,
    /// The memory for parts of the file, in bytes.
    cache: usize,
}

impl Usage {
    /// For a store of so many bytes.
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
    /// None after a failure, until it is opened again.
    database: Option<Database>,
    history: History,
}

/// What there is where the file should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// An empty file.
    Empty,
    /// A file of the kind that this gateway writes.
    Own,
    /// Something else.
    Other,
}

/// The first bytes of every redb file.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Looks what there is, without changing it.
///
/// # Errors
///
/// When it can't be read.
pub fn find(disk: &dyn Disk) -> Result<Found, OpenError> {
    Ok(match disk.head()? {
        None => Found::Nothing,
        Some(head) if head.is_empty() => Found::Empty,
        Some(head) if head.starts_with(MAGIC) => Found::Own,
        Some(_) => Found::Other,
    })
}

impl StoreFile {
    /// Opens the file that is there, checks all of it and reads it into an empty store. It is `now`.
    ///
    /// # Errors
    ///
    /// When it can't be used. It is left as it is then.
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
            let latest = load::load(&database, store, now, layout).map_err(OpenError::Damaged)?;
            let before = read_history(&database)?;
            let before = History { latest: before.latest.max(latest), ..before };
            let history = before.at(now, lead);
            // Most gateways show nothing as 0, and write nothing here.
            let has_news = before.is_closed || history.shown_until != before.shown_until;
            if format != FORMAT || before.lead != lead || (has_news && lead > 0) {
                begin(&database, history)?;
            }
            Ok(history)
        })?;
        // What a gateway left that could not replace the file.
        disk.discard();
        Ok(StoreFile { disk, usage, watch, database: Some(database), history })
    }

    /// Writes a batch to a new file and puts it in its place, `over` what is there. The latest
    /// time in it is `latest`, in nanoseconds since the epoch.
    ///
    /// # Errors
    ///
    /// When it can't be written. What was there before is left as it is then.
    pub(super) fn create(
        disk: Box<dyn Disk>,
        batch: &Batch,
        over: bool,
        latest: i64,
        usage: Usage,
        steps: &Arc<Steps>,
    ) -> Result<StoreFile, OpenError> {
        let watch = Watch::new(steps.clone());
        steps.phase("writing the persistence file", 0);
        let history = History { latest, shown_until: latest, lead: usage.lead, is_closed: false };
        let database = new_file(&*disk, usage, &watch, batch, over, history)?;
        Ok(StoreFile { disk, usage, watch, database: Some(database), history })
    }

    /// What the file knew when it was opened.
    pub(super) fn history(&self) -> History {
        self.history
    }

    /// Writes a batch for good.
    ///
    /// # Errors
    ///
    /// When it may not be on disk. It may be there all the same, so what it concerned must be written
    /// anew, after [`StoreFile::reopen`] or by [`StoreFile::replace`].
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
        // After a failure redb does nothing more until the file is opened again.
        self.close();
        Err(WriteError::new(&message, self.watch.take_sync_failed()))
    }

    /// Opens the file again after a failure.
    ///
    /// # Errors
    ///
    /// When that is not possible yet.
    pub(super) fn reopen(&mut self) -> Result<(), WriteError> {
        if self.database.is_none() {
            let bytes = self.disk.open().map_err(|error| WriteError::new(&error.to_string(), false))?;
            let opened = open(bytes, self.usage, &self.watch).and_then(|database| {
                check_format(&database)?;
                Ok(database)
            });
            let opened = opened.map_err(|error| {
                // What can't be read any more can be written anew.
                let is_fatal = matches!(error, OpenError::Damaged(_) | OpenError::Foreign(_));
                WriteError::new(&error.to_string(), is_fatal || self.watch.take_sync_failed())
            })?;
            self.database = Some(opened);
        }
        Ok(())
    }

    /// Puts a new file in the place of one that can't be trusted. `batch` must hold everything.
    ///
    /// # Errors
    ///
    /// When the new file can't be written; the old one is still there then.
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

    /// Closes the file in good order.
    pub(super) fn close(&mut self) {
        if let Some(database) = self.database.take() {
            // Nothing is lost should redb fail to say that it was closed: the next start checks more.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
        }
    }
}

impl WriteError {
    fn new(message: &str, is_fatal: bool) -> WriteError {
        WriteError { message: message.to_owned(), is_fatal }
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

/// What `read` gives. Should the checks of redb have missed some damage, that must not end in a stack
/// trace.
fn readable<T>(read: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(OpenError::Damaged("it can't be read".into())))
}

impl From<io::Error> for OpenError {
    fn from(source: io::Error) -> OpenError {
        match source.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse,
            _ => OpenError::Io { source },
        }
    }
}

impl From<DatabaseError> for OpenError {
    fn from(error: DatabaseError) -> OpenError {
        match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse,
            DatabaseError::UpgradeRequired(version) => {
                OpenError::Foreign(format!("it has version {version} of the redb format"))
            }
            DatabaseError::Storage(error) => error.into(),
            error => OpenError::Damaged(error.to_string()),
        }
    }
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> OpenError {
        match error {
            StorageError::Io(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    OpenError::Damaged(error.to_string())
                }
                _ => OpenError::Io { source: error },
            },
            error => OpenError::Damaged(error.to_string()),
        }
    }
}

fn check_format(database: &Database) -> Result<u64, OpenError> {
    let read = database.begin_read().map_err(|error| damaged(&error))?;
    let table = read
        .open_table(META)
        .map_err(|_| OpenError::Foreign("it is a redb file, but none of this gateway".to_owned()))?;
    let found = table.get(FORMAT_KEY).map_err(|error| damaged(&error))?.map(|value| value.value());
    match found {
        Some(found) if (OLDEST_FORMAT..=FORMAT).contains(&found) => Ok(found),
        Some(found) if found > FORMAT => Err(OpenError::Newer { found }),
        _ => Err(OpenError::Damaged("its format is not known".into())),
    }
}

fn damaged(error: &dyn std::error::Error) -> OpenError {
    OpenError::Damaged(error.to_string())
}

fn read_history(database: &Database) -> Result<History, OpenError> {
    let read = database.begin_read().map_err(|error| damaged(&error))?;
    let table = read.open_table(META).map_err(|error| damaged(&error))?;
    let number = |key| {
        let found = table.get(key).map_err(|error| damaged(&error))?;
        Ok::<_, OpenError>(found.map_or(0, |number| number.value()))
    };
    let latest = i64::try_from(number(LATEST_KEY)?).unwrap_or(i64::MAX);
    let shown_until = i64::try_from(number(SHOWN_KEY)?).unwrap_or(i64::MAX);
    Ok(History { latest, is_closed: number(CLOSED_KEY)? != 0, lead: number(LEAD_KEY)?, shown_until })
}

/// Says in the file what the gateway that has it from now on does, and that it has not closed it yet.
fn begin(database: &Database, history: History) -> Result<(), OpenError> {
    let begin = || {
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(META)?;
            table.insert(FORMAT_KEY, FORMAT)?;
            table.insert(LEAD_KEY, history.lead)?;
            table.insert(SHOWN_KEY, history.shown_until.unsigned_abs())?;
            table.remove(CLOSED_KEY)?;
        }
        transaction.commit()?;
        Ok(())
    };
    begin().map_err(not_written)
}

fn not_written(error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(source) => OpenError::Io { source },
        error => OpenError::Damaged(error.to_string()),
    }
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

/// Writes the first batch of a new file.
fn write_new(database: &Database, batch: &Batch, history: History) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let mut meta = transaction.open_table(META)?;
    meta.insert(FORMAT_KEY, FORMAT)?;
    meta.insert(LEAD_KEY, history.lead)?;
    meta.insert(SHOWN_KEY, history.shown_until.unsigned_abs())?;
    drop(meta);
    // Reading expects all of them.
    transaction.open_table(NAMES)?;
    transaction.open_table(VALUES)?;
    transaction.open_table(KINDS)?;
    transaction.open_table(KEYS)?;
    commit(transaction, batch)
}

/// Writes a batch in one synced transaction.
fn write(database: &Database, batch: &Batch) -> Result<(), redb::Error> {
    commit(database.begin_write()?, batch)
}

fn commit(transaction: WriteTransaction, batch: &Batch) -> Result<(), redb::Error> {
    {
        let mut tables =
            Tables { transaction: &transaction, names: None, values: None, kinds: None, keys: None };
        batch.steps.iter().try_for_each(|step| tables.apply(step, batch))?;
    }
    transaction.commit()?;
    Ok(())
}

/// The tables of a transaction, opened when they are needed: most commits need one.
struct Tables<'a> {
    transaction: &'a WriteTransaction,
    names: Option<redb::Table<'a, &'static RowKey, &'static [u8]>>,
    values: Option<redb::Table<'a, &'static RowKey, &'static [u8]>>,
    kinds: Option<redb::Table<'a, &'static str, u8>>,
    keys: Option<redb::Table<'a, u64, &'static [u8]>>,
}

/// The table of this definition, opened if it is not yet.
fn opened<'a, 't, K: redb::Key + 'static, V: redb::Value + 'static>(
    table: &'t mut Option<redb::Table<'a, K, V>>,
    transaction: &'a WriteTransaction,
    definition: TableDefinition<'static, K, V>,
) -> Result<&'t mut redb::Table<'a, K, V>, redb::TableError> {
    match table {
        Some(table) => Ok(table),
        None => Ok(table.insert(transaction.open_table(definition)?)),
    }
}

impl<'a> Tables<'a> {
    fn names(&mut self) -> Result<&mut redb::Table<'a, &'static RowKey, &'static [u8]>, redb::TableError> {
        opened(&mut self.names, self.transaction, NAMES)
    }

    fn values(&mut self) -> Result<&mut redb::Table<'a, &'static RowKey, &'static [u8]>, redb::TableError> {
        opened(&mut self.values, self.transaction, VALUES)
    }

    fn apply(&mut self, step: &Step, batch: &Batch) -> Result<(), redb::Error> {
        match step {
            Step::Put { table: Table::Names, key, value } => {
                self.names()?.insert(key, batch.bytes(value))?;
            }
            Step::Put { table: Table::Values, key, value } => {
                self.values()?.insert(key, batch.bytes(value))?;
            }
            Step::Remove { from, to } => {
                self.names()?.retain_in::<&RowKey, _>(from..to, |_, _| false)?;
                self.values()?.retain_in::<&RowKey, _>(from..to, |_, _| false)?;
            }
            Step::Kind { name, kind } => {
                // Names of families are text.
                let name = std::str::from_utf8(batch.bytes(name)).unwrap_or_default();
                let kinds = opened(&mut self.kinds, self.transaction, KINDS)?;
                match kind {
                    Some(kind) => kinds.insert(name, kind)?,
                    None => kinds.remove(name)?,
                };
            }
            Step::Key { number, value } => {
                opened(&mut self.keys, self.transaction, KEYS)?.insert(number, batch.bytes(value))?;
            }
            Step::KeysGone { from, to } => {
                opened(&mut self.keys, self.transaction, KEYS)?
                    .retain_in::<u64, _>(from..to, |_, _| false)?;
            }
            Step::Latest { nanos, is_last } => {
                let mut table = self.transaction.open_table(META)?;
                table.insert(LATEST_KEY, nanos.unsigned_abs())?;
                if *is_last {
                    table.insert(CLOSED_KEY, 1)?;
                }
            }
        }
        Ok(())
    }
}
