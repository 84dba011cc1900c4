//! The tables in the database, and the statements that change them.
//!
//! The SQL is what PostgreSQL, CockroachDB and YugabyteDB have in common.

use std::thread;
use std::time::Duration;

use tokio_postgres::Statement;

use crate::persistence::engine::Replica;
use crate::persistence::postgres::connection::Connection;
use crate::persistence::postgres::error::DatabaseError;
use crate::persistence::rows::batch::Table;

/// Creates what is not there.
const CREATE: [&str; 8] = [
    "CREATE TABLE IF NOT EXISTS tallygate_meta (key text PRIMARY KEY, value bigint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tallygate_head \
     (id bigint PRIMARY KEY, seq bigint NOT NULL, replica text NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tallygate_log \
     (seq bigint, part bigint, parts bigint NOT NULL, replica text NOT NULL, before text NOT NULL, \
      changes bytea NOT NULL, PRIMARY KEY (seq, part))",
    "CREATE TABLE IF NOT EXISTS tallygate_replicas \
     (id text PRIMARY KEY, name text NOT NULL, version text NOT NULL, seq bigint NOT NULL, \
      started timestamptz NOT NULL, seen timestamptz NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tallygate_names (key bytea PRIMARY KEY, value bytea NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tallygate_values (key bytea PRIMARY KEY, value bytea NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tallygate_kinds (name text PRIMARY KEY, kind smallint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tallygate_keys (number bigint PRIMARY KEY, value bytea NOT NULL)",
];

/// Who inserts it waits for whoever commits, so that this is not tried where it is there.
const HEAD: &str = "SELECT seq FROM tallygate_head WHERE id = 1";
const INSERT_HEAD: &str =
    "INSERT INTO tallygate_head (id, seq, replica) VALUES (1, 0, '') ON CONFLICT (id) DO NOTHING";

/// How often the tables are created again because another gateway creates them at the same time, and how long to wait
/// before that.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Creates the tables that are not there.
pub(super) fn create(connection: &mut Connection) -> Result<(), DatabaseError> {
    for _ in 1..TRIES {
        // Two that create the same table disturb each other, whatever the SQL says.
        match create_once(connection) {
            Err(DatabaseError::Refused { is_race: true, .. } | DatabaseError::Overtaken) => {
                thread::sleep(PAUSE)
            }
            created => return created,
        }
    }
    create_once(connection)
}

fn create_once(connection: &mut Connection) -> Result<(), DatabaseError> {
    CREATE.iter().try_for_each(|sql| connection.execute(sql))?;
    match connection.first(HEAD, &[])? {
        Some(_) => Ok(()),
        None => connection.execute(INSERT_HEAD),
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

/// Ends connections of other gateways that hold the lock and made no progress for a while.
const UNBLOCK: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
     WHERE usename = current_user AND datname = current_database() \
     AND application_name = current_setting('application_name') AND pid <> pg_backend_pid() \
     AND wait_event_type = 'Client' AND query_start < clock_timestamp() - interval '6 seconds' \
     AND state_change < clock_timestamp() - interval '6 seconds' \
     AND pid IN (SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database \
     WHERE pg_database.datname = current_database() \
     AND relation = CAST('tallygate_head' AS regclass) AND mode IN ('RowShareLock', 'RowExclusiveLock'))";

/// The statements that are executed again and again, prepared.
#[derive(Debug)]
pub(super) struct Statements {
    /// Takes the next place in the history. Fails unless the last commit is the one that is expected: it divides by
    /// zero.
    pub(super) advance: Statement,
    pub(super) log: Statement,
    /// Removes what is in the log from a number on.
    pub(super) unlog: Statement,
    /// Waits until no other gateway commits, and lets none do so until the transaction ends.
    pub(super) lock: Statement,
    /// What was committed since, in order, and at least one row.
    pub(super) look: Statement,
    /// The same, for who lets others wait: only so much that a connection holds it by itself.
    pub(super) glance: Statement,
    /// Ends connections that hold the lock and do not go on. `None` where the server does not know how.
    pub(super) unblock: Option<Statement>,
    /// Notes that a replica is there, and how far it has come; also in advance, for so many seconds.
    pub(super) beat: Statement,
    /// Removes from the log what every replica that is there has. One of them does it, as two would disturb each other.
    pub(super) shorten: Statement,
    /// All replicas.
    pub(super) replicas: Statement,
    /// Forgets replicas that were not there for long.
    pub(super) forget: Statement,
    pub(super) put_names: Statement,
    pub(super) put_values: Statement,
    pub(super) remove_names: Statement,
    pub(super) remove_values: Statement,
    pub(super) put_kinds: Statement,
    pub(super) remove_kinds: Statement,
    pub(super) put_keys: Statement,
    pub(super) remove_keys: Statement,
    pub(super) put_meta: Statement,
}

/// A connection holds so much that the server has sent and the client has not read yet.
const GLANCE_BYTES: usize = 100_000;

/// What was committed since a number. `changes` is what is read of the changes.
fn look(changes: &str) -> String {
    format!(
        "SELECT head.seq, head.replica, {NOW}, log.seq, log.part, log.parts, log.replica, log.before, {changes} \
         FROM tallygate_head AS head LEFT JOIN tallygate_log AS log ON log.seq > $1 \
         WHERE head.id = 1 ORDER BY log.seq, log.part"
    )
}

/// The time of the database, in microseconds since the epoch.
const NOW: &str = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)";

impl Statements {
    pub(super) fn prepare(connection: &mut Connection) -> Result<Statements, DatabaseError> {
        let put = |table: &str, (key, keys): (&str, &str), (value, values): (&str, &str)| {
            format!(
                "INSERT INTO tallygate_{table} ({key}, {value}) SELECT new.{key}, new.{value} \
                 FROM unnest($1::{keys}[], $2::{values}[]) AS new ({key}, {value}) \
                 ON CONFLICT ({key}) DO UPDATE SET {value} = excluded.{value}"
            )
        };
        let (bytes, number, text) = ("bytea", "bigint", "text");
        let remove = |table: &str| format!("DELETE FROM tallygate_{table} WHERE key >= $1 AND key < $2");
        Ok(Statements {
            advance: connection.prepare(
                "WITH advanced AS (UPDATE tallygate_head SET seq = $1, replica = $2 \
                 WHERE id = 1 AND seq = $3 AND replica = $4 RETURNING id) SELECT 1 / count(*) FROM advanced",
            )?,
            log: connection.prepare(
                "INSERT INTO tallygate_log (seq, part, parts, replica, before, changes) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (seq, part) DO UPDATE SET parts = excluded.parts, \
                 replica = excluded.replica, before = excluded.before, changes = excluded.changes",
            )?,
            unlog: connection.prepare("DELETE FROM tallygate_log WHERE seq >= $1")?,
            lock: connection.prepare("SELECT seq FROM tallygate_head WHERE id = 1 FOR UPDATE")?,
            look: connection.prepare(&look("log.changes"))?,
            glance: connection.prepare(&look(&format!(
                "CASE WHEN sum(length(log.changes)) OVER (ORDER BY log.seq, log.part) <= {GLANCE_BYTES} \
                 THEN log.changes END"
            )))?,
            unblock: connection.prepare(UNBLOCK).ok(),
            beat: connection.prepare(
                "INSERT INTO tallygate_replicas (id, name, version, seq, started, seen) \
                 VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp() + $5 * interval '1 second') \
                 ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, seen = excluded.seen",
            )?,
            shorten: connection.prepare(&format!(
                "WITH there AS (SELECT id, seq FROM tallygate_replicas \
                 WHERE seen > clock_timestamp() - interval '{} seconds') \
                 DELETE FROM tallygate_log WHERE seq <= (SELECT min(seq) FROM there) \
                 AND (SELECT min(id) FROM there) = $1",
                Replica::GONE_AFTER.as_secs()
            ))?,
            replicas: connection.prepare(
                "SELECT id, name, version, seq, CAST(extract(epoch FROM started) * 1000000 AS bigint), \
                 CAST(extract(epoch FROM clock_timestamp() - seen) * 1000000 AS bigint) \
                 FROM tallygate_replicas ORDER BY name, started",
            )?,
            forget: connection.prepare(
                "DELETE FROM tallygate_replicas WHERE seen < clock_timestamp() - interval '1 hour'",
            )?,
            put_names: connection.prepare(&put("names", ("key", bytes), ("value", bytes)))?,
            put_values: connection.prepare(&put("values", ("key", bytes), ("value", bytes)))?,
            remove_names: connection.prepare(&remove("names"))?,
            remove_values: connection.prepare(&remove("values"))?,
            put_kinds: connection.prepare(&put("kinds", ("name", text), ("kind", "smallint")))?,
            remove_kinds: connection.prepare("DELETE FROM tallygate_kinds WHERE name = ANY ($1::text[])")?,
            put_keys: connection.prepare(&put("keys", ("number", number), ("value", bytes)))?,
            remove_keys: connection
                .prepare("DELETE FROM tallygate_keys WHERE number >= $1 AND number < $2")?,
            put_meta: connection.prepare(&put("meta", ("key", text), ("value", number)))?,
        })
    }

    pub(super) fn put(&self, table: Table) -> &Statement {
        match table {
            Table::Names => &self.put_names,
            Table::Values => &self.put_values,
        }
    }
}
