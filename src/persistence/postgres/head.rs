//! The head of the history in the database: where it is, and how a gateway adds to it.
//!
//! A commit moves the head from the commit that the gateway has seen last to the next number. If another gateway has
//! moved it first, the commit fails and nothing of it is kept. That holds as well for a commit that a lost connection
//! left behind, and for a gateway that was stopped for a while and goes on.

use std::time::{Duration, Instant};

use ring::rand::SecureRandom as _;
use tokio_postgres::Row;

use crate::persistence::engine::{CommonTime, Replica};
use crate::persistence::postgres::changes::Changes;
use crate::persistence::postgres::connection::{Connection, Query};
use crate::persistence::postgres::error::DatabaseError;
use crate::persistence::postgres::place::{self, Place};
use crate::persistence::postgres::schema::Statements;

/// For how long reading tells what the latest commit is, after the server has kept something. A server that another
/// one has replaced can still be read, but keeps nothing any more if it waits for standbys.
const TRUSTED_FOR: Duration = Duration::from_secs(2);

/// How often a gateway notes in the database that it is there.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// How often a turn is asked for where the server can't put transactions in order.
const TRIES: usize = 5;

/// What the database says of commits after the one that this gateway has seen last.
#[derive(Debug)]
pub(super) enum Seen {
    /// There are none.
    Nothing,
    /// These, in order, and the last of them.
    Commits(Vec<Box<[u8]>>, Place),
    /// The log does not say: this gateway was away for too long, or the database was put back and used since.
    Unknown,
    /// The database has lost the commit that this gateway has seen.
    Lost,
}

/// The head of the history, as this gateway knows it.
#[derive(Debug)]
pub(super) struct Head {
    connection: Connection,
    /// `None` while the connection is not open.
    statements: Option<Statements>,
    /// What stands for this gateway in the database.
    id: String,
    /// Its name for people.
    name: String,
    /// The commit that it has seen last.
    place: Place,
    /// The number of the last commit in the database, when it was asked for.
    seen_until: i64,
    /// Whether it holds the lock that lets no other gateway commit, and has seen everything.
    has_turn: bool,
    /// When the server has kept something of this gateway last; `None` if it did not yet.
    kept_at: Option<Instant>,
    /// When it has noted there last that it is there.
    beaten_at: Option<Instant>,
    time: Option<CommonTime>,
    replicas: Vec<Replica>,
    /// When they were asked for.
    listed_at: Option<Instant>,
}

impl Head {
    /// Begins at this place.
    pub(super) fn new(
        mut connection: Connection,
        id: String,
        name: &str,
        place: Place,
    ) -> Result<Head, DatabaseError> {
        let statements = Some(Statements::prepare(&mut connection)?);
        let name = name.to_owned();
        Ok(Head {
            connection,
            statements,
            id,
            name,
            seen_until: place.seq,
            place,
            has_turn: false,
            kept_at: None,
            beaten_at: None,
            time: None,
            replicas: Vec::new(),
            listed_at: None,
        })
    }

    /// The connection, to read.
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Notes that the gateway has taken in everything up to this commit.
    pub(super) fn arrive(&mut self, place: Place) {
        self.place = place;
    }

    /// The clock of the database, as it was read last.
    pub(super) fn time(&self) -> Option<CommonTime> {
        self.time
    }

    /// Reads the clock of the database.
    pub(super) fn read_time(&mut self) -> Result<CommonTime, DatabaseError> {
        let Some(statements) = &self.statements else { return Err(DatabaseError::closed()) };
        let asked = Instant::now();
        let rows = self.connection.rows(&statements.look, &[&i64::MAX])?;
        let micros: i64 = rows.first().ok_or_else(place::missing)?.try_get(2)?;
        let time = CommonTime { asked, answered: Instant::now(), nanos: micros.saturating_mul(1000) };
        self.time = Some(time);
        Ok(time)
    }

    /// The gateways that use the database, as they were read last.
    pub(super) fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// Whether it has the turn; see [`Head::take_turn`].
    pub(super) fn has_turn(&self) -> bool {
        self.has_turn
    }

    /// Waits until no other gateway commits, lets none commit until the next commit or [`Head::give_up_turn`], and
    /// says what was committed before.
    pub(super) fn take_turn(&mut self) -> Result<Seen, DatabaseError> {
        for _ in 1..TRIES {
            match self.try_turn() {
                Err(DatabaseError::Overtaken) => {}
                seen => return self.closing_on_error(seen),
            }
        }
        let seen = self.try_turn();
        self.closing_on_error(seen)
    }

    fn try_turn(&mut self) -> Result<Seen, DatabaseError> {
        self.give_up_turn()?;
        let Some(statements) = &self.statements else { return Err(DatabaseError::closed()) };
        let asked = Instant::now();
        // Even if that fails, a transaction has begun.
        self.has_turn = true;
        let rows = self.connection.locked_rows(&statements.lock, &statements.look, &[&self.place.seq])?;
        self.seen(&rows, asked)
    }

    /// Lets others commit.
    pub(super) fn give_up_turn(&mut self) -> Result<(), DatabaseError> {
        if !std::mem::take(&mut self.has_turn) {
            return Ok(());
        }
        let ended = self.connection.execute("ROLLBACK");
        self.closing_on_error(ended)
    }

    /// Says what was committed since the last commit that this gateway has seen.
    pub(super) fn look(&mut self) -> Result<Seen, DatabaseError> {
        if self.kept_at.is_none_or(|kept| kept.elapsed() >= TRUSTED_FOR) {
            self.beat()?;
        }
        let Some(statements) = &self.statements else { return Err(DatabaseError::closed()) };
        let asked = Instant::now();
        let rows = self.connection.rows(&statements.look, &[&self.place.seq]);
        let seen = rows.and_then(|rows| self.seen(&rows, asked));
        let seen = self.closing_on_error(seen)?;
        if self.listed_at.is_none_or(|listed| listed.elapsed() >= BEAT_EVERY) {
            let listed = self.list();
            self.closing_on_error(listed)?;
        }
        Ok(seen)
    }

    fn list(&mut self) -> Result<(), DatabaseError> {
        let Some(statements) = &self.statements else { return Err(DatabaseError::closed()) };
        let rows = self.connection.rows(&statements.replicas, &[])?;
        let head = self.seen_until;
        let replica = |row: &Row| {
            let behind = head.saturating_sub(row.try_get(3)?);
            Ok::<_, DatabaseError>(Replica {
                is_self: row.try_get::<_, &str>(0)? == self.id,
                name: row.try_get(1)?,
                version: row.try_get(2)?,
                behind: u64::try_from(behind).unwrap_or_default(),
                started_micros: row.try_get(4)?,
                quiet_micros: row.try_get(5)?,
            })
        };
        self.replicas = rows.iter().map(replica).collect::<Result<_, _>>()?;
        self.listed_at = Some(Instant::now());
        Ok(())
    }

    fn seen(&mut self, rows: &[Row], asked: Instant) -> Result<Seen, DatabaseError> {
        let first = rows.first().ok_or_else(place::missing)?;
        let head = Place { seq: first.try_get(0)?, replica: first.try_get(1)? };
        self.seen_until = head.seq;
        let micros: i64 = first.try_get(2)?;
        self.time = Some(CommonTime { asked, answered: Instant::now(), nanos: micros.saturating_mul(1000) });
        if head == self.place {
            return Ok(Seen::Nothing);
        }
        if head.seq < self.place.seq {
            return Ok(Seen::Lost);
        }
        let (mut at, mut commits) = (self.place.clone(), Vec::with_capacity(rows.len()));
        for row in rows {
            let Some(seq) = row.try_get::<_, Option<i64>>(3)? else { return Ok(Seen::Unknown) };
            let before: &str = row.try_get(5)?;
            if seq != at.seq + 1 || *before != *at.replica {
                return Ok(Seen::Unknown);
            }
            at = Place { seq, replica: row.try_get(4)? };
            commits.push(row.try_get::<_, &[u8]>(6)?.into());
        }
        if at == head { Ok(Seen::Commits(commits, at)) } else { Ok(Seen::Unknown) }
    }

    /// Makes changes of about so many bytes and adds them to the history, whose next row is `log`. Returns false if
    /// another gateway was first, and nothing was kept. After a failure [`Head::reconnect`] must succeed before the
    /// next call.
    pub(super) fn commit(
        &mut self,
        changes: &Changes<'_>,
        log: &[u8],
        bytes: u64,
    ) -> Result<bool, DatabaseError> {
        let from = self.place.clone();
        self.commit_from(&from, self.place.seq + 1, changes, log, bytes)
    }

    /// The same after the database has lost commits: whatever it has is replaced.
    pub(super) fn commit_over(
        &mut self,
        changes: &Changes<'_>,
        log: &[u8],
        bytes: u64,
    ) -> Result<bool, DatabaseError> {
        self.give_up_turn()?;
        let found = Place::latest(&mut self.connection);
        let found = self.closing_on_error(found)?;
        self.commit_from(&found, found.seq.max(self.place.seq) + 1, changes, log, bytes)
    }

    fn commit_from(
        &mut self,
        from: &Place,
        seq: i64,
        changes: &Changes<'_>,
        log: &[u8],
        bytes: u64,
    ) -> Result<bool, DatabaseError> {
        let Some(statements) = &self.statements else { return Err(DatabaseError::closed()) };
        let mut queries = vec![Query {
            statement: &statements.advance,
            parameters: vec![&seq, &self.id, &from.seq, &from.replica],
        }];
        changes.queries(statements, &mut queries);
        queries.push(Query {
            statement: &statements.log,
            parameters: vec![&seq, &self.id, &from.replica, &log],
        });
        let asked = Instant::now();
        let beats = self.beaten_at.is_none_or(|beaten| beaten.elapsed() >= BEAT_EVERY);
        if beats {
            queries.extend(beat(statements, &self.id, &self.name, &seq));
        }
        let began = std::mem::take(&mut self.has_turn);
        match self.connection.transaction(&queries, bytes + log.len() as u64, began) {
            Ok(()) => {
                self.place = Place { seq, replica: self.id.clone() };
                self.kept_at = Some(asked);
                if beats {
                    self.beaten_at = Some(asked);
                }
                Ok(true)
            }
            Err(DatabaseError::Overtaken) => Ok(false),
            Err(error) => self.closing_on_error(Err(error)),
        }
    }

    /// Notes in the database that this gateway is there and how far it has come, and shortens the log.
    pub(super) fn beat(&mut self) -> Result<(), DatabaseError> {
        let Some(statements) = &self.statements else { return Err(DatabaseError::closed()) };
        let queries = beat(statements, &self.id, &self.name, &self.place.seq);
        let asked = Instant::now();
        let kept = self.connection.transaction(&queries, 0, false);
        if kept.is_ok() {
            (self.kept_at, self.beaten_at) = (Some(asked), Some(asked));
        }
        self.closing_on_error(kept)
    }

    /// Sets single numbers.
    pub(super) fn set(&mut self, changes: &Changes<'_>) -> Result<(), DatabaseError> {
        let Some(statements) = &self.statements else { return Err(DatabaseError::closed()) };
        let mut queries = Vec::new();
        changes.queries(statements, &mut queries);
        let set = self.connection.transaction(&queries, 0, false);
        self.closing_on_error(set)
    }

    /// Connects again if the connection was lost.
    pub(super) fn reconnect(&mut self) -> Result<(), DatabaseError> {
        if self.is_open() {
            return Ok(());
        }
        self.close();
        self.connection.reopen()?;
        self.statements = Some(Statements::prepare(&mut self.connection)?);
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.statements.is_some() && self.connection.is_open()
    }

    /// Removes what stands for this gateway, and closes the connection.
    pub(super) fn leave(&mut self) {
        if self.is_open() {
            // Without it the log is shortened a little later.
            let left = self.give_up_turn().and_then(|()| {
                let sql = "DELETE FROM tallygate_replicas WHERE id = $1";
                self.connection.first(sql, &[&self.id]).map(drop)
            });
            if let Err(error) = left {
                tracing::debug!(err = %error, "the database can't be told that this gateway ends");
            }
        }
        self.close();
    }

    /// Closes the connection.
    fn close(&mut self) {
        self.statements = None;
        self.has_turn = false;
        (self.kept_at, self.beaten_at) = (None, None);
        self.connection.close();
    }

    /// After an error a new connection may lead to another server, as after a failover.
    fn closing_on_error<T>(&mut self, result: Result<T, DatabaseError>) -> Result<T, DatabaseError> {
        if result.is_err() {
            self.close();
        }
        result
    }
}

/// Notes that a replica is there and how far it has come, and removes what nobody needs for that any more.
fn beat<'a>(statements: &'a Statements, id: &'a String, name: &'a String, seq: &'a i64) -> [Query<'a>; 3] {
    let of = |statement, parameters| Query { statement, parameters };
    [
        of(&statements.beat, vec![id, name, &VERSION, seq]),
        of(&statements.shorten, Vec::new()),
        of(&statements.forget, Vec::new()),
    ]
}

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An id that no other gateway has.
pub(super) fn new_id() -> Result<String, DatabaseError> {
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
