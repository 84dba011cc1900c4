//! The tables in the database, and the statements that change them.
//!
//! Every row belongs to a writer, which is a gateway. For now there is one, [`WRITER`], and whoever owns it may change
//! its rows. The SQL is what PostgreSQL, CockroachDB and YugabyteDB have in common.

use tokio_postgres::Statement;

use crate::persistence::postgres::connection::Connection;
use crate::persistence::postgres::error::DatabaseError;
use crate::persistence::rows::batch::Table;

/// The writer that the rows belong to.
pub(super) const WRITER: i64 = 1;

/// Creates what is not there.
const CREATE: [&str; 6] = [
    "CREATE TABLE IF NOT EXISTS tallygate_meta (key text PRIMARY KEY, value bigint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tallygate_writers \
     (id bigint PRIMARY KEY, owner text NOT NULL, seq bigint NOT NULL, is_closed boolean NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tallygate_names \
     (writer bigint, key bytea, value bytea NOT NULL, PRIMARY KEY (writer, key))",
    "CREATE TABLE IF NOT EXISTS tallygate_values \
     (writer bigint, key bytea, value bytea NOT NULL, PRIMARY KEY (writer, key))",
    "CREATE TABLE IF NOT EXISTS tallygate_kinds (name text PRIMARY KEY, kind smallint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tallygate_keys (number bigint PRIMARY KEY, value bytea NOT NULL)",
];

/// How often the tables are created again because another gateway creates them at the same time.
const TRIES: usize = 5;

/// Creates the tables that are not there.
pub(super) fn create(connection: &mut Connection) -> Result<(), DatabaseError> {
    let mut tried = 0;
    loop {
        let created = CREATE.iter().try_for_each(|sql| connection.execute(sql));
        tried += 1;
        // Two that create the same table disturb each other, whatever the SQL says.
        if created.is_ok() || tried == TRIES || !connection.is_open() {
            return created;
        }
    }
}

/// Whether the tables are there.
pub(super) fn is_there(connection: &mut Connection) -> Result<bool, DatabaseError> {
    // As the names are found by the search path.
    match connection.first("SELECT value FROM tallygate_meta WHERE key = 'format'", &[]) {
        Ok(row) => Ok(row.is_some()),
        Err(DatabaseError::Refused { is_missing: true, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The statements that change rows, prepared.
#[derive(Debug)]
pub(super) struct Statements {
    /// Fails unless this owner still is the one and nothing was written since this number: it divides by zero.
    pub(super) fence: Statement,
    pub(super) put_names: Statement,
    pub(super) put_values: Statement,
    pub(super) remove_names: Statement,
    pub(super) remove_values: Statement,
    pub(super) put_kinds: Statement,
    pub(super) remove_kinds: Statement,
    pub(super) put_keys: Statement,
    pub(super) remove_keys: Statement,
    pub(super) put_meta: Statement,
    pub(super) set_closed: Statement,
}

impl Statements {
    pub(super) fn prepare(connection: &mut Connection) -> Result<Statements, DatabaseError> {
        let put = |table: &str, is_own: bool, (key, keys): (&str, &str), (value, values): (&str, &str)| {
            let (column, writer) =
                if is_own { ("writer, ", format!("{WRITER}, ")) } else { ("", String::new()) };
            format!(
                "INSERT INTO tallygate_{table} ({column}{key}, {value}) SELECT {writer}new.{key}, new.{value} \
                 FROM unnest($1::{keys}[], $2::{values}[]) AS new ({key}, {value}) \
                 ON CONFLICT ({column}{key}) DO UPDATE SET {value} = excluded.{value}"
            )
        };
        let (bytes, number, text) = ("bytea", "bigint", "text");
        let remove = |table: &str| {
            format!("DELETE FROM tallygate_{table} WHERE writer = {WRITER} AND key >= $1 AND key < $2")
        };
        let fence = format!(
            "WITH owned AS (UPDATE tallygate_writers SET seq = seq + 1 \
             WHERE id = {WRITER} AND owner = $1 AND seq = $2 RETURNING id) SELECT 1 / count(*) FROM owned"
        );
        Ok(Statements {
            fence: connection.prepare(&fence)?,
            put_names: connection.prepare(&put("names", true, ("key", bytes), ("value", bytes)))?,
            put_values: connection.prepare(&put("values", true, ("key", bytes), ("value", bytes)))?,
            remove_names: connection.prepare(&remove("names"))?,
            remove_values: connection.prepare(&remove("values"))?,
            put_kinds: connection.prepare(&put("kinds", false, ("name", text), ("kind", "smallint")))?,
            remove_kinds: connection.prepare("DELETE FROM tallygate_kinds WHERE name = ANY ($1::text[])")?,
            put_keys: connection.prepare(&put("keys", false, ("number", number), ("value", bytes)))?,
            remove_keys: connection
                .prepare("DELETE FROM tallygate_keys WHERE number >= $1 AND number < $2")?,
            put_meta: connection.prepare(&put("meta", false, ("key", text), ("value", number)))?,
            set_closed: connection
                .prepare(&format!("UPDATE tallygate_writers SET is_closed = $1 WHERE id = {WRITER}"))?,
        })
    }

    pub(super) fn put(&self, table: Table) -> &Statement {
        match table {
            Table::Names => &self.put_names,
            Table::Values => &self.put_values,
        }
    }
}
