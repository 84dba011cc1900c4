//! The head of the history in the database: where it is, and how a gateway adds to it.
//!
//! A commit moves the head from the commit that the gateway has seen last to the next number. If another gateway has
//! moved it first, the commit fails and nothing of it is kept. That holds as well for a commit that a lost connection
//! left behind, and for a gateway that was stopped for a while and goes on.

use std::time::{Duration, Instant};

use ring::rand::SecureRandom as _;
use tokio_postgres::Row;

use crate::model::time::Moment;
use crate::persistence::engine::{CommonTime, Replica};
use crate::persistence::postgres::address::Address;
use crate::persistence::postgres::changes::Changes;
use crate::persistence::postgres::connection::{Connection, Query};
use crate::persistence::postgres::error::DatabaseError;
use crate::persistence::postgres::place::{Past, Place};
use crate::persistence::postgres::read::{self, Recorded};
use crate::persistence::postgres::roster::{self, Others};
use crate::persistence::postgres::schema::{self, Statements};
use crate::persistence::postgres::seen::{self, Logged, Seen};
use crate::persistence::rows::layout::Layout;
use crate::store::Store;

/// For how long reading tells what the latest commit is, after the server has kept something. A server that another
/// one has replaced can still be read, but keeps nothing any more if it waits for standbys.
const TRUSTED_FOR: Duration = Duration::from_secs(2);

/// How often a gateway notes in the database that it is there.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// How often a turn is asked for where the server can't put transactions in order.
const TRIES: usize = 5;

/// How long to wait, after a loss was found, for other replicas that may have seen more.
const OTHERS_WITHIN: Duration = Duration::from_secs(3);

/// For how long the log is kept for a gateway that reads everything.
const READS_WITHIN: f64 = 300.0;

/// For how long the others wait for a gateway that writes everything.
const WRITES_WITHIN: f64 = 60.0;

/// The size of a part of the log: what a slow connection brings before the server takes the gateway for idle.
const PART_BYTES: usize = 256 << 10;

/// What to do about a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// There is none any more.
    Over,
    /// The database has another history by now.
    Replaced,
    /// Another replica may have more to write.
    Waits,
    /// This gateway writes what it has.
    Mine,
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
    /// The commits up to there.
    past: Past,
    /// When it was found that the database has lost commits, and which its last one was then.
    lost: Option<(Instant, Place)>,
    /// The other replicas.
    others: Others,
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
    /// Connects, and becomes one of the replicas, under this name for people.
    pub(super) fn join(address: &Address, name: &str) -> Result<Head, DatabaseError> {
        let mut connection = Connection::open(address)?;
        let statements = Some(prepared(&mut connection)?);
        let place = Place::latest(&mut connection)?;
        let mut past = Past::default();
        past.begin_at(&place);
        let (id, name) = (new_id()?, name.to_owned());
        let mut head = Head {
            connection,
            statements,
            id,
            name,
            seen_until: place.seq,
            place,
            past,
            lost: None,
            others: Others::default(),
            has_turn: false,
            kept_at: None,
            beaten_at: None,
            time: None,
            replicas: Vec::new(),
            listed_at: None,
        };
        // From here on the log keeps what is committed later.
        head.beat()?;
        Ok(head)
    }

    /// Reads everything into an empty store. Returns what is recorded beside it.
    pub(super) fn read_everything(
        &mut self,
        store: &Store,
        now: Moment,
        layout: &mut Layout,
    ) -> Result<Recorded, DatabaseError> {
        let read = self.try_read(store, now, layout);
        let (place, recorded) = self.closing_on_error(read)?;
        self.past.begin_at(&place);
        self.place = place;
        Ok(recorded)
    }

    fn try_read(
        &mut self,
        store: &Store,
        now: Moment,
        layout: &mut Layout,
    ) -> Result<(Place, Recorded), DatabaseError> {
        self.give_up_turn()?;
        // What is committed meanwhile must stay in the log.
        let found = Place::latest(&mut self.connection)?;
        self.beat_at(found.seq, READS_WITHIN)?;
        let read = read::everything(&mut self.connection, store, now, layout)?;
        self.beaten_at = None;
        Ok(read)
    }

    /// Whether this gateway, which has joined so long ago, may begin with what the database has: all others have said
    /// since how far they are, and none has seen more.
    pub(super) fn may_begin(&mut self, joined: Duration) -> Result<bool, DatabaseError> {
        if self.is_beat_due() {
            // Others may wait to hear how far this one is.
            self.beat()?;
        }
        let asked = self.list().and_then(|()| Place::latest(&mut self.connection));
        let found = self.closing_on_error(asked)?;
        Ok(self.others.have_at_most(found.seq, &self.name, joined))
    }

    /// Notes that the gateway has taken these commits in.
    pub(super) fn advance(&mut self, commits: Vec<Logged>) {
        for Logged { place, .. } in commits {
            self.past.add(&place);
            self.place = place;
        }
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
        let (_, micros) = seen::head(&rows)?;
        Ok(self.note_time(micros, asked))
    }

    fn note_time(&mut self, micros: i64, asked: Instant) -> CommonTime {
        let nanos = micros.saturating_mul(1000);
        *self.time.insert(CommonTime { asked, answered: Instant::now(), nanos })
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
        for _ in 0..TRIES {
            match self.try_turn() {
                Err(DatabaseError::Overtaken) => {}
                Err(DatabaseError::Locked) => self.unblock()?,
                Ok(Seen::TooMuch) => {
                    // It is read while others go on.
                    self.give_up_turn()?;
                    return self.look();
                }
                seen => return self.closing_on_error(seen),
            }
        }
        self.closing_on_error(Err(DatabaseError::Overtaken))
    }

    /// Ends whoever has the turn and stands still in the middle of it, which its server does not notice.
    fn unblock(&mut self) -> Result<(), DatabaseError> {
        self.give_up_turn()?;
        let statement = self.statements.as_ref().and_then(|statements| statements.unblock.as_ref());
        let Some(statement) = statement else { return Err(DatabaseError::Locked) };
        let ended = self.connection.rows(statement, &[]);
        let ended = self.closing_on_error(ended)?;
        let count: i64 = ended.first().map_or(Ok(0), |row| row.try_get(0))?;
        if count == 0 {
            return Err(DatabaseError::Locked);
        }
        tracing::warn!("a gateway stands still in the middle of a commit: its connection is ended");
        Ok(())
    }

    fn try_turn(&mut self) -> Result<Seen, DatabaseError> {
        self.give_up_turn()?;
        let Some(statements) = &self.statements else { return Err(DatabaseError::closed()) };
        let asked = Instant::now();
        // Even if that fails, a transaction has begun.
        self.has_turn = true;
        let rows = self.connection.locked_rows(&statements.lock, &statements.glance, &[&self.place.seq])?;
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
        (self.replicas, self.others) = roster::read(&rows, &self.id, self.seen_until)?;
        self.listed_at = Some(Instant::now());
        Ok(())
    }

    fn seen(&mut self, rows: &[Row], asked: Instant) -> Result<Seen, DatabaseError> {
        let (head, micros) = seen::head(rows)?;
        self.seen_until = head.seq;
        self.note_time(micros, asked);
        let seen = seen::seen(rows, &self.place, &self.past)?;
        if matches!(seen, Seen::Lost) && self.lost.is_none() {
            self.lost = Some((asked, head));
        }
        Ok(seen)
    }

    /// Decides who writes to the database again what it has lost: the replica that has seen most. Of several, one.
    pub(super) fn loss(&mut self) -> Result<Loss, DatabaseError> {
        let loss = self.try_loss();
        self.closing_on_error(loss)
    }

    fn try_loss(&mut self) -> Result<Loss, DatabaseError> {
        self.give_up_turn()?;
        self.beat()?;
        self.list()?;
        let found = Place::latest(&mut self.connection)?;
        let (since, known) = self.lost.get_or_insert_with(|| (Instant::now(), found.clone()));
        *known = found.clone();
        let since = since.elapsed();
        let loss = if found == self.place {
            Loss::Over
        } else if self.past.has(&found) {
            let has_most = self.others.have_less_than(self.place.seq, &self.id, since);
            if since >= OTHERS_WITHIN && has_most { Loss::Mine } else { Loss::Waits }
        } else if found.seq < self.place.seq && self.others.older_has_more_than(found.seq) {
            // It may know whether what was found is in the past of both.
            Loss::Waits
        } else {
            Loss::Replaced
        };
        match loss {
            Loss::Over | Loss::Replaced => self.lost = None,
            // While it writes, it says nothing else.
            Loss::Mine => self.beat_at(self.place.seq, WRITES_WITHIN)?,
            Loss::Waits => {}
        }
        Ok(loss)
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

    /// The same after the database has lost commits: what it has is replaced, unless that has changed since
    /// [`Head::loss`] was asked.
    pub(super) fn commit_over(
        &mut self,
        changes: &Changes<'_>,
        log: &[u8],
        bytes: u64,
    ) -> Result<bool, DatabaseError> {
        let Some((_, found)) = self.lost.clone() else { return Ok(false) };
        let is_kept = self.commit_from(&found, found.seq.max(self.place.seq) + 1, changes, log, bytes)?;
        if is_kept {
            self.lost = None;
        }
        Ok(is_kept)
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
        if *from != self.place {
            queries.push(Query { statement: &statements.unlog, parameters: vec![&from.seq] });
        }
        let parts = parts(log);
        let count = parts.len() as i64;
        for (part, changes) in &parts {
            queries.push(Query {
                statement: &statements.log,
                parameters: vec![&seq, part, &count, &self.id, &from.replica, changes],
            });
        }
        let asked = Instant::now();
        let beats = self.is_beat_due();
        if beats {
            queries.extend(roster::beat(statements, &self.id, &self.name, &seq, &0.0));
        }
        let began = std::mem::take(&mut self.has_turn);
        match self.connection.transaction(&queries, bytes + log.len() as u64, began) {
            Ok(()) => {
                self.place = Place { seq, replica: self.id.clone() };
                self.past.add(&self.place);
                self.kept_at = Some(asked);
                if beats {
                    self.beaten_at = Some(asked);
                }
                Ok(true)
            }
            Err(DatabaseError::Overtaken) => Ok(false),
            Err(DatabaseError::Locked) => self.unblock().map(|()| false),
            Err(error) => self.closing_on_error(Err(error)),
        }
    }

    fn is_beat_due(&self) -> bool {
        self.beaten_at.is_none_or(|beaten| beaten.elapsed() >= BEAT_EVERY)
    }

    /// Notes in the database that this gateway is there and how far it has come, and shortens the log.
    pub(super) fn beat(&mut self) -> Result<(), DatabaseError> {
        self.beat_at(self.place.seq, 0.0)
    }

    /// The same for a place, in advance for so many seconds.
    fn beat_at(&mut self, seq: i64, seconds: f64) -> Result<(), DatabaseError> {
        let Some(statements) = &self.statements else { return Err(DatabaseError::closed()) };
        let queries = roster::beat(statements, &self.id, &self.name, &seq, &seconds);
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
        // It may be another database than before.
        self.statements = Some(prepared(&mut self.connection)?);
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
        (self.kept_at, self.beaten_at, self.lost) = (None, None, None);
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

/// Makes sure that the tables are there and can be used, and prepares the statements.
fn prepared(connection: &mut Connection) -> Result<Statements, DatabaseError> {
    schema::create(connection)?;
    read::check_format(connection)?;
    Statements::prepare(connection)
}

/// The parts of a row of the log, with their numbers: at least one.
fn parts(log: &[u8]) -> Vec<(i64, &[u8])> {
    if log.is_empty() { vec![(0, log)] } else { (0..).zip(log.chunks(PART_BYTES)).collect() }
}

/// An id that no other gateway has.
fn new_id() -> Result<String, DatabaseError> {
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
