//! The file of the store: redb tables, written in transactions.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition, WriteTransaction,
};

use crate::persistence::batch::{Batch, RowKey, Step, Table};
use crate::persistence::disk::{Bytes, Disk, Watch, Watched};
use crate::persistence::load;
use crate::store::Store;

/// The version of the rows. Files of a newer one are refused.
pub const FORMAT: u64 = 1;

/// The store is read once, at the start; after that only the upper levels of the tables are needed.
const CACHE_BYTES: usize = 16 << 20;

/// Single numbers: the format.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT_KEY: &str = "format";

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
        _ => "",
    }
}

/// Why a commit failed. Nothing of it counts.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CommitError {
    message: String,
    /// Whether the file can't be trusted any more: what the system says to be written may be lost.
    pub is_fatal: bool,
}

/// An open file.
#[derive(Debug)]
pub struct StoreFile {
    disk: Box<dyn Disk>,
    watch: Arc<Watch>,
    /// None after a failure, until it is opened again.
    database: Option<Database>,
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
    /// Opens the file that is there, checks all of it and reads it into an empty store.
    ///
    /// # Errors
    ///
    /// When it can't be used. It is left as it is then.
    pub fn open(disk: Box<dyn Disk>, store: &Store) -> Result<StoreFile, OpenError> {
        let watch = Arc::<Watch>::default();
        let database = open(disk.open()?, &watch)?;
        readable(|| {
            check_format(&database)?;
            load::load(&database, store).map_err(OpenError::Damaged)
        })?;
        store.restored();
        // What a gateway left that could not replace the file.
        disk.discard();
        Ok(StoreFile { disk, watch, database: Some(database) })
    }

    /// Writes what there is in the store to a new file and puts it in its place, `over` what is there.
    ///
    /// # Errors
    ///
    /// When it can't be written. What was there before is left as it is then.
    pub fn create(disk: Box<dyn Disk>, store: &Store, over: bool) -> Result<StoreFile, OpenError> {
        let watch = Arc::<Watch>::default();
        let mut batch = Batch::default();
        store.all(|change| batch.add(change));
        let database = new_file(&*disk, &watch, &batch, over)?;
        store.restored();
        Ok(StoreFile { disk, watch, database: Some(database) })
    }

    /// Writes a batch for good.
    ///
    /// # Errors
    ///
    /// When it may not be on disk. It may be there all the same, so what it concerned must be written
    /// anew, after [`StoreFile::reopen`] or by [`StoreFile::replace`].
    pub fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let Some(database) = &self.database else {
            return Err(CommitError::new("the file is closed", false));
        };
        let result = catch_unwind(AssertUnwindSafe(|| write(database, batch, false)));
        let message = match result {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the file is not what was written".to_owned(),
        };
        // After a failure redb does nothing more until the file is opened again.
        self.close();
        Err(CommitError::new(&message, self.watch.take_sync_failed()))
    }

    /// Opens the file again after a failure.
    ///
    /// # Errors
    ///
    /// When that is not possible yet.
    pub fn reopen(&mut self) -> Result<(), CommitError> {
        if self.database.is_none() {
            let bytes = self.disk.open().map_err(|error| CommitError::new(&error.to_string(), false))?;
            let opened = open(bytes, &self.watch).and_then(|database| {
                check_format(&database)?;
                Ok(database)
            });
            let opened = opened.map_err(|error| {
                // What can't be read any more can be written anew.
                let is_fatal = matches!(error, OpenError::Damaged(_) | OpenError::Foreign(_));
                CommitError::new(&error.to_string(), is_fatal || self.watch.take_sync_failed())
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
    pub fn replace(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.close();
        let database = new_file(&*self.disk, &self.watch, batch, true).map_err(|error| {
            self.watch.take_sync_failed();
            CommitError::new(&error.to_string(), true)
        })?;
        self.database = Some(database);
        Ok(())
    }

    /// How many bytes were written so far.
    pub fn written(&self) -> u64 {
        self.watch.written()
    }

    /// Closes the file in good order.
    pub fn close(&mut self) {
        if let Some(database) = self.database.take() {
            // Nothing is lost should redb fail to say that it was closed: the next start checks more.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
        }
    }
}

impl CommitError {
    fn new(message: &str, is_fatal: bool) -> CommitError {
        CommitError { message: message.to_owned(), is_fatal }
    }
}

fn open(bytes: Bytes, watch: &Arc<Watch>) -> Result<Database, OpenError> {
    let watched = Watched { bytes, watch: watch.clone() };
    readable(|| {
        let opened = Builder::new()
            .set_cache_size(CACHE_BYTES)
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

fn check_format(database: &Database) -> Result<(), OpenError> {
    let damaged = |error: &dyn std::error::Error| OpenError::Damaged(error.to_string());
    let read = database.begin_read().map_err(|error| damaged(&error))?;
    let table = read
        .open_table(META)
        .map_err(|_| OpenError::Foreign("it is a redb file, but none of this gateway".to_owned()))?;
    let found = table.get(FORMAT_KEY).map_err(|error| damaged(&error))?.map(|value| value.value());
    match found {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => Err(OpenError::Newer { found }),
        _ => Err(OpenError::Damaged("its format is not known".into())),
    }
}

fn new_file(disk: &dyn Disk, watch: &Arc<Watch>, batch: &Batch, over: bool) -> Result<Database, OpenError> {
    let bytes = disk.create_new()?;
    let made = open(bytes, watch).and_then(|database| {
        write(&database, batch, true).map_err(|error| match error {
            redb::Error::Io(source) => OpenError::Io { source },
            error => OpenError::Damaged(error.to_string()),
        })?;
        disk.install(over)?;
        Ok(database)
    });
    if made.is_err() {
        disk.discard();
    }
    made
}

/// Writes a batch in one synced transaction. A new file also gets its format.
fn write(database: &Database, batch: &Batch, is_new: bool) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    if is_new {
        transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
        // Reading expects all of them.
        transaction.open_table(NAMES)?;
        transaction.open_table(VALUES)?;
        transaction.open_table(KINDS)?;
        transaction.open_table(KEYS)?;
    }
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
        }
        Ok(())
    }
}
