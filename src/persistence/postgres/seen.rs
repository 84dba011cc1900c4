//! What a gateway reads of the log.

use tokio_postgres::Row;

use crate::persistence::postgres::error::DatabaseError;
use crate::persistence::postgres::place::{self, Past, Place};

/// What the database says of commits after the one that this gateway has seen last.
#[derive(Debug)]
pub(super) enum Seen {
    /// There are none.
    Nothing,
    /// These, in order.
    Commits(Vec<Logged>),
    /// So much that it can't be read while others wait.
    TooMuch,
    /// The log does not say: this gateway was away for too long, or the database was put back and used since.
    Unknown,
    /// The database has lost the commit that this gateway has seen, as far as the numbers tell.
    Lost,
}

/// A commit of the log.
#[derive(Debug)]
pub(super) struct Logged {
    pub(super) place: Place,
    /// What it has changed.
    pub(super) changes: Vec<u8>,
}

/// The last commit in the database, from the answer to [`Statements::look`](super::schema::Statements::look).
pub(super) fn head(rows: &[Row]) -> Result<(Place, i64), DatabaseError> {
    let first = rows.first().ok_or_else(place::missing)?;
    let head = Place { seq: first.try_get(0)?, replica: first.try_get(1)? };
    Ok((head, first.try_get(2)?))
}

/// What an answer means for a gateway at this place.
pub(super) fn seen(rows: &[Row], place: &Place, past: &Past) -> Result<Seen, DatabaseError> {
    let (head, _) = head(rows)?;
    if head == *place {
        return Ok(Seen::Nothing);
    }
    if past.has(&head) || head.seq < place.seq {
        return Ok(Seen::Lost);
    }
    let mut commits: Vec<Logged> = Vec::new();
    let mut next_part = 0;
    for row in rows {
        let Some(seq) = row.try_get::<_, Option<i64>>(3)? else { return Ok(Seen::Unknown) };
        let (part, parts): (i64, i64) = (row.try_get(4)?, row.try_get(5)?);
        let (replica, before): (&str, &str) = (row.try_get(6)?, row.try_get(7)?);
        let Some(changes) = row.try_get::<_, Option<&[u8]>>(8)? else { return Ok(Seen::TooMuch) };
        if part == 0 && next_part == 0 {
            let at = commits.last().map_or(place, |last| &last.place);
            if seq != at.seq + 1 || *before != *at.replica {
                return Ok(Seen::Unknown);
            }
            commits.push(Logged { place: Place { seq, replica: replica.to_owned() }, changes: Vec::new() });
        }
        match commits.last_mut() {
            Some(last) if part == next_part && last.place.seq == seq && *last.place.replica == *replica => {
                last.changes.extend_from_slice(changes);
            }
            _ => return Ok(Seen::Unknown),
        }
        next_part = if part + 1 == parts { 0 } else { part + 1 };
    }
    let is_whole = next_part == 0 && commits.last().is_some_and(|last| last.place == head);
    Ok(if is_whole { Seen::Commits(commits) } else { Seen::Unknown })
}
