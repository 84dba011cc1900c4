//! Reads what a database holds.

use std::sync::Arc;

use crate::model::time::Moment;
use crate::persistence::postgres::connection::Connection;
use crate::persistence::postgres::error::DatabaseError;
use crate::persistence::postgres::place::Place;
use crate::persistence::rows::batch::RowKey;
use crate::persistence::rows::format::FORMAT;
use crate::persistence::rows::history::{FORMAT_KEY, History, LATEST_KEY, LEAD_KEY, NEXT_KEY, SHOWN_KEY};
use crate::persistence::rows::layout::Layout;
use crate::persistence::rows::load::{self, Tables};
use crate::store::Store;

/// Everything in the tables.
#[derive(Default)]
struct Rows {
    kinds: Vec<(Arc<str>, u8)>,
    names: Vec<(RowKey, Box<[u8]>)>,
    values: Vec<(RowKey, Box<[u8]>)>,
    keys: Vec<(u64, Box<[u8]>)>,
}

/// What is recorded beside the rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recorded {
    /// About the gateways before, with the latest time of the rows.
    pub(super) history: History,
    /// The number that the next idempotency key gets at least.
    pub(super) next_key: u64,
}

/// Reads everything, as it is at one moment, into an empty store. Returns the last commit in it.
pub(super) fn everything(
    connection: &mut Connection,
    store: &Store,
    now: Moment,
    layout: &mut Layout,
) -> Result<(Place, Recorded), DatabaseError> {
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")?;
    let place = Place::latest(connection)?;
    let history = history(connection)?;
    let next_key = meta(connection, NEXT_KEY)?.map_or(0, |next| u64::try_from(next).unwrap_or_default());
    let rows = Rows::read(connection)?;
    // Taking them in may take longer than the database waits.
    connection.execute("COMMIT")?;
    let latest = history.latest.max(rows.load(store, now, layout)?);
    store.keys().begin_at(next_key);
    Ok((place, Recorded { history: History { latest, ..history }, next_key }))
}

impl Rows {
    fn read(connection: &mut Connection) -> Result<Rows, DatabaseError> {
        let mut rows = Rows::default();
        let mut wrong = None;
        connection.each("SELECT name, kind FROM tallygate_kinds", |row| {
            match (row.try_get::<_, &str>(0), row.try_get::<_, i16>(1)) {
                (Ok(name), Ok(kind)) => {
                    rows.kinds.push((name.into(), u8::try_from(kind).unwrap_or(u8::MAX)));
                }
                (Err(error), _) | (_, Err(error)) => wrong = Some(error.to_string()),
            }
        })?;
        for (table, to) in [("names", &mut rows.names), ("values", &mut rows.values)] {
            let sql = format!("SELECT key, value FROM tallygate_{table} ORDER BY key");
            connection.each(&sql, |row| {
                let (key, value) = (row.try_get::<_, &[u8]>(0), row.try_get::<_, &[u8]>(1));
                match (key.map(RowKey::try_from), value) {
                    (Ok(Ok(key)), Ok(value)) => to.push((key, value.into())),
                    (Ok(Err(_)), _) => wrong = Some(format!("tallygate_{table} has a key of a wrong length")),
                    (Err(error), _) | (_, Err(error)) => wrong = Some(error.to_string()),
                }
            })?;
        }
        connection.each("SELECT number, value FROM tallygate_keys ORDER BY number", |row| {
            match (row.try_get::<_, i64>(0), row.try_get::<_, &[u8]>(1)) {
                (Ok(number), Ok(value)) => {
                    rows.keys.push((u64::try_from(number).unwrap_or_default(), value.into()));
                }
                (Err(error), _) | (_, Err(error)) => wrong = Some(error.to_string()),
            }
        })?;
        wrong.map_or(Ok(rows), |what| Err(DatabaseError::Damaged(what)))
    }

    /// Puts them into an empty store. Returns the latest time in them, in nanoseconds since the epoch.
    fn load(self, store: &Store, now: Moment, layout: &mut Layout) -> Result<i64, DatabaseError> {
        let tables = Tables {
            kinds: self.kinds.into_iter().map(Ok),
            names: self.names.into_iter().map(Ok),
            values: self.values.into_iter().map(Ok),
            keys: self.keys.into_iter().map(Ok),
        };
        load::load(tables, store, now, layout).map_err(DatabaseError::Damaged)
    }
}

fn meta(connection: &mut Connection, key: &str) -> Result<Option<i64>, DatabaseError> {
    let row = connection.first("SELECT value FROM tallygate_meta WHERE key = $1", &[&key])?;
    Ok(match row {
        Some(row) => Some(row.try_get(0)?),
        None => None,
    })
}

/// Refuses rows of a newer gateway.
pub(super) fn check_format(connection: &mut Connection) -> Result<(), DatabaseError> {
    match meta(connection, FORMAT_KEY)? {
        Some(found) if u64::try_from(found).is_ok_and(|found| found > FORMAT) => {
            Err(DatabaseError::Newer { found })
        }
        _ => Ok(()),
    }
}

/// What was recorded about the gateways before.
fn history(connection: &mut Connection) -> Result<History, DatabaseError> {
    Ok(History {
        latest: meta(connection, LATEST_KEY)?.unwrap_or_default(),
        // Another gateway may have gone on.
        is_closed: false,
        lead: meta(connection, LEAD_KEY)?.map_or(0, |lead| u64::try_from(lead).unwrap_or_default()),
        shown_until: meta(connection, SHOWN_KEY)?.unwrap_or_default(),
    })
}
