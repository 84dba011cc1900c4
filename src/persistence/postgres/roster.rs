//! The list of replicas in the database.

use std::time::{Duration, UNIX_EPOCH};

use tokio_postgres::Row;

use crate::persistence::engine::Replica;
use crate::persistence::postgres::connection::Query;
use crate::persistence::postgres::error::DatabaseError;
use crate::persistence::postgres::schema::Statements;

/// Another replica that noted within this time that it is there is there.
const THERE_WITHIN: Duration = Duration::from_secs(5);

/// How long one that starts waits for others that do not say how far they are.
const STARTS_WITHIN: Duration = Duration::from_secs(5);

/// The other replicas.
#[derive(Debug, Default)]
pub(super) struct Others(Vec<Other>);

#[derive(Debug)]
struct Other {
    id: String,
    name: String,
    /// The last commit that it has seen.
    seq: i64,
    /// How long ago it said so.
    quiet: Duration,
    /// Whether it was started before this one.
    is_older: bool,
}

impl Others {
    /// Whether none of them has seen more, since a loss was found so long ago. Of several that have seen as much, one
    /// counts.
    pub(super) fn have_less_than(&self, seq: i64, id: &str, since: Duration) -> bool {
        // One that did not say so for a while may not have noticed yet that its connection leads nowhere.
        self.0.iter().filter(|other| other.quiet < Replica::GONE_AFTER).all(|other| {
            let is_there = other.quiet < THERE_WITHIN;
            let was_heard = other.quiet < since;
            let has_less = (other.seq, &*other.id) < (seq, id);
            if is_there { was_heard && has_less } else { was_heard }
        })
    }

    /// Whether one that is there and was started earlier has seen more.
    pub(super) fn older_has_more_than(&self, seq: i64) -> bool {
        self.0.iter().any(|other| other.quiet < THERE_WITHIN && other.is_older && other.seq > seq)
    }

    /// Whether none has seen more, of which each has said since this gateway joined how far it is. Those of its own name
    /// were here before it.
    pub(super) fn have_at_most(&self, seq: i64, name: &str, joined: Duration) -> bool {
        self.0.iter().filter(|other| other.quiet < Replica::GONE_AFTER && other.name != name).all(|other| {
            let was_heard = other.quiet < joined;
            if was_heard { other.seq <= seq } else { joined >= STARTS_WITHIN }
        })
    }
}

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

/// The replicas in an answer, and the others among them. `head` is the number of the last commit.
pub(super) fn read(rows: &[Row], own_id: &str, head: i64) -> Result<(Vec<Replica>, Others), DatabaseError> {
    let (mut replicas, mut others) = (Vec::with_capacity(rows.len()), Vec::new());
    let mut own_start = i64::MAX;
    for row in rows {
        let id: String = row.try_get(0)?;
        let (seq, started_micros, quiet_micros): (i64, i64, i64) =
            (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        let replica = Replica {
            name: row.try_get(1)?,
            version: row.try_get(2)?,
            started: UNIX_EPOCH + Duration::from_micros(started_micros.max(0).unsigned_abs()),
            quiet: Duration::from_micros(quiet_micros.max(0).unsigned_abs()),
            behind: u64::try_from(head.saturating_sub(seq)).unwrap_or_default(),
            is_self: id == own_id,
        };
        if replica.is_self {
            own_start = started_micros;
        } else {
            let quiet = replica.quiet;
            others.push((
                started_micros,
                Other { id, name: replica.name.clone(), seq, quiet, is_older: false },
            ));
        }
        replicas.push(replica);
    }
    let others = others.into_iter().map(|(start, other)| Other { is_older: start < own_start, ..other });
    Ok((replicas, Others(others.collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(of: &[(&str, i64, u64)]) -> Others {
        let other = |(id, seq, quiet): &(&str, i64, u64)| Other {
            id: (*id).to_owned(),
            name: (*id).to_owned(),
            seq: *seq,
            quiet: Duration::from_secs(*quiet),
            is_older: *id < "m",
        };
        Others(of.iter().map(other).collect())
    }

    #[test]
    fn who_has_seen_most_writes_what_was_lost() {
        for (of, is_mine) in [
            (&[][..], true),
            // It has said since that it has less, more, or as much.
            (&[("a", 6, 1)], true),
            (&[("a", 8, 1)], false),
            (&[("a", 7, 1)], true),
            (&[("z", 7, 1)], false),
            // It has not said anything since.
            (&[("a", 6, 4)], false),
            (&[("a", 6, 20)], false),
            (&[("a", 8, 40)], true),
        ] {
            assert_eq!(others(of).have_less_than(7, "m", Duration::from_secs(3)), is_mine, "{of:?}");
        }
    }

    #[test]
    fn who_starts_waits_for_those_that_have_seen_more() {
        for (of, joined, may_begin) in [
            (&[][..], 0, true),
            (&[("a", 7, 1)], 2, true),
            (&[("a", 8, 1)], 2, false),
            (&[("a", 6, 6)], 4, false),
            (&[("a", 6, 6)], 5, true),
            (&[("a", 8, 40)], 2, true),
            (&[("m", 8, 4)], 0, true),
        ] {
            let joined = Duration::from_secs(joined);
            assert_eq!(others(of).have_at_most(7, "m", joined), may_begin, "{of:?} {joined:?}");
        }
        assert!(others(&[("a", 8, 1)]).older_has_more_than(7));
        assert!(
            !others(&[("z", 8, 1)]).older_has_more_than(7) && !others(&[("a", 7, 1)]).older_has_more_than(7)
        );
    }
}
