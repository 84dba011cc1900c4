//! The list of replicas in the database.

use std::time::Duration;

use tokio_postgres::Row;

use crate::persistence::engine::Replica;
use crate::persistence::postgres::connection::Query;
use crate::persistence::postgres::error::DatabaseError;
use crate::persistence::postgres::schema::Statements;

/// Another replica that noted within this time that it is there may write what was lost.
const THERE_WITHIN: Duration = Duration::from_secs(5);

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Notes that a replica is there and how far it has come, and removes what nobody needs for that any more.
pub(super) fn beat<'a>(
    statements: &'a Statements,
    id: &'a String,
    name: &'a String,
    seq: &'a i64,
    seconds: &'a f64,
) -> [Query<'a>; 3] {
    let of = |statement, parameters| Query { statement, parameters };
    [
        of(&statements.beat, vec![id, name, &VERSION, seq, seconds]),
        of(&statements.shorten, vec![id]),
        of(&statements.forget, Vec::new()),
    ]
}

/// The replicas in an answer, and the highest number that another one than this has seen which is there. `head` is the
/// number of the last commit.
pub(super) fn read(rows: &[Row], own_id: &str, head: i64) -> Result<(Vec<Replica>, i64), DatabaseError> {
    let (mut replicas, mut highest) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        let (seq, quiet_micros): (i64, i64) = (row.try_get(3)?, row.try_get(5)?);
        let is_self = row.try_get::<_, &str>(0)? == own_id;
        if !is_self && i128::from(quiet_micros) < THERE_WITHIN.as_micros() as i128 {
            highest = highest.max(seq);
        }
        replicas.push(Replica {
            name: row.try_get(1)?,
            version: row.try_get(2)?,
            started_micros: row.try_get(4)?,
            quiet_micros,
            behind: u64::try_from(head.saturating_sub(seq)).unwrap_or_default(),
            is_self,
        });
    }
    Ok((replicas, highest))
}
