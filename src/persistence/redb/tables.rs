//! The tables of a file, and how a batch is written to them.

use redb::{AccessGuard, Database, ReadableDatabase, TableDefinition, WriteTransaction};

use crate::model::time::Moment;
use crate::persistence::redb::error::{OpenError, damaged, not_written};
use crate::persistence::rows::batch::{Batch, RowKey, Step, Table};
use crate::persistence::rows::format::{FORMAT, OLDEST_FORMAT};
use crate::persistence::rows::history::{CLOSED_KEY, FORMAT_KEY, History, LATEST_KEY, LEAD_KEY, SHOWN_KEY};
use crate::persistence::rows::layout::Layout;
use crate::persistence::rows::load;
use crate::store::Store;

/// Single numbers: the format, and the fields of [`History`].
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// See [`Table::Names`].
const NAMES: TableDefinition<'_, &RowKey, &[u8]> = TableDefinition::new("names");
/// See [`Table::Values`].
const VALUES: TableDefinition<'_, &RowKey, &[u8]> = TableDefinition::new("values");
/// The types of the metric names.
const KINDS: TableDefinition<'_, &str, u8> = TableDefinition::new("kinds");
/// The idempotency keys by number.
const KEYS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("keys");

pub(super) fn check_format(database: &Database) -> Result<u64, OpenError> {
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

pub(super) fn read_history(database: &Database) -> Result<History, OpenError> {
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

/// Records in the file that a gateway uses it, with its settings, and has not closed it yet.
pub(super) fn begin(database: &Database, history: History) -> Result<(), OpenError> {
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

/// Reads the whole file into an empty store. Returns the latest time in it, in nanoseconds since the epoch.
///
/// # Errors
///
/// The first damage.
pub(super) fn load(
    database: &Database,
    store: &Store,
    now: Moment,
    layout: &mut Layout,
) -> Result<i64, String> {
    let read = database.begin_read().map_err(text)?;
    let kinds = read.open_table(KINDS).map_err(text)?.range::<&str>(..).map_err(text)?;
    let keys = read.open_table(KEYS).map_err(text)?.range::<u64>(..).map_err(text)?;
    let rows = |table: TableDefinition<'static, &'static RowKey, &'static [u8]>| {
        let rows = read.open_table(table).map_err(text)?.range::<&RowKey>(..).map_err(text)?;
        Ok::<_, String>(rows.map(|row| row.map(|(key, row)| (*key.value(), Bytes(row))).map_err(text)))
    };
    let tables = load::Tables {
        kinds: kinds.map(|row| row.map(|(name, kind)| (name.value().into(), kind.value())).map_err(text)),
        names: rows(NAMES)?,
        values: rows(VALUES)?,
        keys: keys.map(|row| row.map(|(number, row)| (number.value(), Bytes(row))).map_err(text)),
    };
    load::load(tables, store, now, layout)
}

/// The bytes of a row in the cache of the file.
struct Bytes(AccessGuard<'static, &'static [u8]>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.0.value()
    }
}

fn text(error: impl std::error::Error) -> String {
    error.to_string()
}

/// Writes the first batch of a new file.
pub(super) fn write_new(database: &Database, batch: &Batch, history: History) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let mut meta = transaction.open_table(META)?;
    meta.insert(FORMAT_KEY, FORMAT)?;
    meta.insert(LEAD_KEY, history.lead)?;
    meta.insert(SHOWN_KEY, history.shown_until.unsigned_abs())?;
    drop(meta);
    // Readers expect all tables to exist.
    transaction.open_table(NAMES)?;
    transaction.open_table(VALUES)?;
    transaction.open_table(KINDS)?;
    transaction.open_table(KEYS)?;
    commit(transaction, batch)
}

/// Writes a batch in one synced transaction.
pub(super) fn write(database: &Database, batch: &Batch) -> Result<(), redb::Error> {
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

/// The tables of a transaction. Opened on demand, because most commits need only one.
struct Tables<'a> {
    transaction: &'a WriteTransaction,
    names: Option<redb::Table<'a, &'static RowKey, &'static [u8]>>,
    values: Option<redb::Table<'a, &'static RowKey, &'static [u8]>>,
    kinds: Option<redb::Table<'a, &'static str, u8>>,
    keys: Option<redb::Table<'a, u64, &'static [u8]>>,
}

/// Opens the table on the first call.
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
                // A family name is always text.
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
            #[cfg(feature = "postgres")]
            Step::NextKey(_) => {}
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
