//! A place in the sequence of commits.

use crate::persistence::postgres::connection::Connection;
use crate::persistence::postgres::error::DatabaseError;

/// A commit: its number, and the replica that made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seq: i64,
    pub(super) replica: String,
}

impl Place {
    /// The last commit in the database.
    pub(super) fn latest(connection: &mut Connection) -> Result<Place, DatabaseError> {
        let row = connection.first("SELECT seq, replica FROM tallygate_head WHERE id = 1", &[])?;
        let row = row.ok_or_else(missing)?;
        Ok(Place { seq: row.try_get(0)?, replica: row.try_get(1)? })
    }
}

pub(super) fn missing() -> DatabaseError {
    DatabaseError::Damaged("tallygate_head is empty".to_owned())
}
