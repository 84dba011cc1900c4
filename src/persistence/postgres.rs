//! The engine that keeps everything in a PostgreSQL database.
//!
//! One gateway at a time owns the rows. The latest that starts takes over: it writes its name into the row of the
//! writer, and every commit of another fails from then on, because its first statement checks that name and the number
//! of the last commit. A commit whose answer was lost can't be repeated by the server later for the same reason.
//!
//! The owner asks again and again whether it still is the one. Its [`Lease`] ends a while after the last time that it
//! was told so, and whoever takes over waits for as long. So nobody sees old values after new ones.

mod address;
mod changes;
mod connection;
mod error;
mod read;
mod schema;
mod tls;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ring::rand::SecureRandom as _;

use crate::model::time::Moment;
use crate::persistence::engine::{CommitError, Committed, Engine, Written};
use crate::persistence::lease::Lease;
use crate::persistence::postgres::changes::Changes;
use crate::persistence::postgres::connection::{Connection, Query};
use crate::persistence::postgres::schema::{Statements, WRITER};
use crate::persistence::rows::batch::Batch;
use crate::persistence::rows::format::FORMAT;
use crate::persistence::rows::history::{CLOSED_KEY, FORMAT_KEY, History, LATEST_KEY, LEAD_KEY, SHOWN_KEY};
use crate::persistence::rows::layout::Layout;
use crate::persistence::rows::unconfirmed::Unconfirmed;
use crate::progress::Steps;
use crate::store::Store;
use crate::store::difference::{Difference, State};

pub use address::Address;
pub use error::DatabaseError;

/// How long a start waits for a database that can't be reached, and how often it tries.
const START_WITHIN: Duration = Duration::from_secs(30);
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The engine of a database.
#[derive(Debug)]
pub struct Postgres {
    connection: Connection,
    /// `None` while the connection is not open.
    statements: Option<Statements>,
    /// The name of this gateway in the row of the writer.
    owner: String,
    /// The number of the last commit.
    seq: i64,
    lease: Arc<Lease>,
    layout: Layout,
    batch: Batch,
    unconfirmed: Unconfirmed,
    /// Whether the rows are not those that this gateway has written, and must all be written anew.
    is_strange: bool,
    /// Whether another gateway has taken over. It stays so.
    is_over: bool,
    history: History,
    written: u64,
}

impl Postgres {
    /// Connects to a database, takes over from the gateway that used it before, and reads everything into an empty
    /// store. `lead` is for how many nanoseconds new series are shown as 0. Leases hold for `lease`; see
    /// [`lease::LENGTH`](crate::persistence::lease::LENGTH).
    ///
    /// Unless that gateway has closed the database, this takes as long as its lease may hold.
    ///
    /// # Errors
    ///
    /// If the database can't be used.
    pub fn open(
        address: Address,
        store: &Store,
        now: Moment,
        lead: u64,
        lease: Duration,
        steps: &Arc<Steps>,
    ) -> Result<Postgres, DatabaseError> {
        steps.phase("connecting to the database", 0);
        let begun = Instant::now();
        // What starts together with its database must wait for it.
        let (mut postgres, was_closed) = loop {
            match Postgres::owner(address.clone(), lease) {
                Ok(owner) => break owner,
                Err(error) if error.may_pass() && begun.elapsed() < START_WITHIN => {
                    tracing::warn!(err = %error, "the database can't be reached; trying again");
                    thread::sleep(RETRY_AFTER);
                }
                Err(error) => return Err(error),
            }
        };
        let taken = Instant::now();
        steps.phase("reading the database", 0);
        let latest = read::everything(&mut postgres.connection, store, now, &mut postgres.layout)?;
        let before = postgres.history()?;
        let before = History { latest: before.latest.max(latest), ..before };
        postgres.history = before.at(now, lead);
        if !was_closed {
            steps.phase("waiting until the gateway before has noticed", 0);
            // Clocks do not run at quite the same speed.
            thread::sleep((lease + lease / 8).saturating_sub(taken.elapsed()));
        }
        postgres.begin()?;
        store.restored();
        Ok(postgres)
    }

    /// Reads everything into an empty store, without taking over. Returns the latest time in it, in nanoseconds since
    /// the epoch; `None` if no gateway has used the database.
    ///
    /// # Errors
    ///
    /// If the database can't be used.
    pub fn read(
        address: Address,
        store: &Store,
        now: Moment,
        steps: &Arc<Steps>,
    ) -> Result<Option<i64>, DatabaseError> {
        steps.phase("reading the database", 0);
        let mut postgres = Postgres::connect(address, Duration::ZERO)?;
        if !schema::is_there(&mut postgres.connection)? {
            return Ok(None);
        }
        postgres.check_format()?;
        // Everything as it is at one moment.
        postgres.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")?;
        let latest = read::everything(&mut postgres.connection, store, now, &mut postgres.layout)?
            .max(postgres.history()?.latest);
        store.restored();
        postgres.connection.close();
        Ok(Some(latest))
    }

    /// Connects and takes over. Returns also whether the gateway before has closed the database.
    fn owner(address: Address, lease: Duration) -> Result<(Postgres, bool), DatabaseError> {
        let mut postgres = Postgres::connect(address, lease)?;
        schema::create(&mut postgres.connection)?;
        postgres.check_format()?;
        postgres.statements = Some(Statements::prepare(&mut postgres.connection)?);
        let was_closed = postgres.take_over()?;
        Ok((postgres, was_closed))
    }

    /// Connects.
    fn connect(address: Address, lease: Duration) -> Result<Postgres, DatabaseError> {
        let mut postgres = Postgres {
            connection: Connection::new(address)?,
            statements: None,
            owner: new_name()?,
            seq: 0,
            lease: Arc::new(Lease::new(lease)),
            layout: Layout::default(),
            batch: Batch::default(),
            unconfirmed: Unconfirmed::default(),
            is_strange: false,
            is_over: false,
            history: History::default(),
            written: 0,
        };
        postgres.connection.open()?;
        postgres.check_server()?;
        Ok(postgres)
    }

    /// What was recorded before this gateway.
    pub fn history_before(&self) -> History {
        self.history
    }

    /// Whether this gateway may show what it has.
    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// Writes the whole state in the place of all that is there.
    ///
    /// # Errors
    ///
    /// If it can't be written.
    pub fn rewrite(&mut self, state: &State) -> Result<(), CommitError> {
        self.fill_whole(state);
        let replaced = self.write().map_err(CommitError::from);
        self.batch.clear();
        replaced
    }

    /// Fills a database that holds nothing with a state, as a copy of it. `latest` is the latest time in it, in nanoseconds
    /// since the epoch.
    ///
    /// # Errors
    ///
    /// If it can't be written.
    pub fn fill(&mut self, state: &State, latest: i64) -> Result<(), CommitError> {
        self.rewrite(state)?;
        // Whoever had them before may have shown all series with their values.
        self.history.shown_until = latest;
        Ok(self.begin()?)
    }

    /// Refuses a server that forgets commits after it has answered them.
    fn check_server(&mut self) -> Result<(), DatabaseError> {
        let setting =
            |connection: &mut Connection, name: &str| match connection.first(&format!("SHOW {name}"), &[]) {
                Ok(row) => Ok(row.and_then(|row| row.try_get::<_, String>(0).ok())),
                // Another server may have no such setting.
                Err(DatabaseError::Refused { .. }) if connection.is_open() => Ok(None),
                Err(error) => Err(error),
            };
        if let Some(value) = setting(&mut self.connection, "synchronous_commit")?
            && value == "off"
        {
            return Err(DatabaseError::Forgetful(value));
        }
        if setting(&mut self.connection, "fsync")?.is_some_and(|value| value == "off") {
            tracing::warn!(
                "fsync is off in the database: a crash of its machine loses pushes that were answered"
            );
        }
        Ok(())
    }

    fn meta(&mut self, key: &str) -> Result<Option<i64>, DatabaseError> {
        let row = self.connection.first("SELECT value FROM tallygate_meta WHERE key = $1", &[&key])?;
        Ok(match row {
            Some(row) => Some(row.try_get(0)?),
            None => None,
        })
    }

    fn check_format(&mut self) -> Result<(), DatabaseError> {
        match self.meta(FORMAT_KEY)? {
            Some(found) if u64::try_from(found).is_ok_and(|found| found > FORMAT) => {
                Err(DatabaseError::Newer { found })
            }
            _ => Ok(()),
        }
    }

    fn history(&mut self) -> Result<History, DatabaseError> {
        Ok(History {
            latest: self.meta(LATEST_KEY)?.unwrap_or_default(),
            is_closed: self.meta(CLOSED_KEY)?.is_some_and(|closed| closed != 0),
            lead: self.meta(LEAD_KEY)?.map_or(0, |lead| u64::try_from(lead).unwrap_or_default()),
            shown_until: self.meta(SHOWN_KEY)?.unwrap_or_default(),
        })
    }

    /// Makes this gateway the owner. A commit of the one before either is done by then or fails. Returns whether that
    /// one has closed the database.
    fn take_over(&mut self) -> Result<bool, DatabaseError> {
        let enter = format!(
            "INSERT INTO tallygate_writers (id, owner, seq, is_closed) VALUES ({WRITER}, '', 0, true) \
             ON CONFLICT (id) DO NOTHING"
        );
        self.connection.execute(&enter)?;
        // The subquery sees the row as it was before, and so does `FOR UPDATE` let nobody change it in between.
        let take = format!(
            "WITH before AS (SELECT is_closed FROM tallygate_writers WHERE id = {WRITER} FOR UPDATE) \
             UPDATE tallygate_writers SET owner = $1, seq = seq + 1, is_closed = false \
             FROM before WHERE id = {WRITER} RETURNING seq, before.is_closed"
        );
        let row = self.connection.first(&take, &[&self.owner])?.ok_or(DatabaseError::TakenOver)?;
        self.seq = row.try_get(0)?;
        Ok(row.try_get(1)?)
    }

    /// Records that this gateway uses the database, with its settings, and has not closed it yet.
    fn begin(&mut self) -> Result<(), DatabaseError> {
        let keys = [FORMAT_KEY, LEAD_KEY, SHOWN_KEY, CLOSED_KEY].to_vec();
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let values = vec![signed(FORMAT), signed(self.history.lead), self.history.shown_until, 0];
        let asked = Instant::now();
        let statements = self.statements.as_ref().ok_or(DatabaseError::Silent)?;
        let queries = [
            Query { statement: &statements.fence, parameters: vec![&self.owner, &self.seq] },
            Query { statement: &statements.put_meta, parameters: vec![&keys, &values] },
        ];
        self.connection.transaction(&queries, 0)?;
        self.seq += 1;
        self.lease.confirm(asked);
        Ok(())
    }

    /// Fills the batch with the whole state, in the place of all that is there.
    fn fill_whole(&mut self, state: &State) {
        self.batch.clear();
        self.batch.all_gone();
        self.layout.state(state, &mut self.batch);
    }

    /// Writes the batch in one transaction.
    fn write(&mut self) -> Result<(), DatabaseError> {
        let Some(statements) = &self.statements else {
            return Err(DatabaseError::Unreachable("the connection is closed".to_owned()));
        };
        let changes = Changes::of(&self.batch);
        let mut queries =
            vec![Query { statement: &statements.fence, parameters: vec![&self.owner, &self.seq] }];
        changes.queries(statements, &mut queries);
        let asked = Instant::now();
        let written = self.connection.transaction(&queries, self.batch.size());
        if written.is_ok() {
            self.written += self.batch.size();
        }
        self.concluded(asked, written)
    }

    /// Confirms the lease by a transaction that changes nothing else. Only a server that can be written confirms it.
    fn confirm(&mut self) -> Result<(), DatabaseError> {
        let Some(statements) = &self.statements else {
            return Err(DatabaseError::Unreachable("the connection is closed".to_owned()));
        };
        let queries = [Query { statement: &statements.fence, parameters: vec![&self.owner, &self.seq] }];
        let asked = Instant::now();
        let confirmed = self.connection.transaction(&queries, 0);
        self.concluded(asked, confirmed)
    }

    /// Notes what became of a transaction.
    fn concluded(&mut self, asked: Instant, result: Result<(), DatabaseError>) -> Result<(), DatabaseError> {
        match &result {
            Ok(()) => {
                self.seq += 1;
                self.lease.confirm(asked);
            }
            Err(error) => {
                if matches!(error, DatabaseError::TakenOver) {
                    self.lease.end();
                }
                // A new connection may lead to another server, as after a failover.
                self.connection.close();
                self.statements = None;
            }
        }
        result
    }

    /// Connects again, and learns whether the commit whose answer was lost has been kept.
    fn reconnect(&mut self) -> Result<(), DatabaseError> {
        if self.is_over {
            return Err(DatabaseError::TakenOver);
        }
        if self.statements.is_some() && self.connection.is_open() {
            return Ok(());
        }
        self.statements = None;
        self.connection.open()?;
        // The server may have been set up anew, or be another one.
        self.check_server()?;
        let sql = format!("SELECT owner, seq FROM tallygate_writers WHERE id = {WRITER}");
        let found = match self.connection.first(&sql, &[])? {
            Some(row) => Some((row.try_get::<_, String>(0)?, row.try_get::<_, i64>(1)?)),
            None => None,
        };
        let Some((_, seq)) = found.filter(|(owner, _)| *owner == self.owner) else {
            self.is_over = true;
            self.lease.end();
            return Err(DatabaseError::TakenOver);
        };
        // Only the last commit can be in doubt. Otherwise the database has lost some, or was put back.
        self.is_strange |= seq != self.seq && seq != self.seq + 1;
        self.seq = seq;
        self.statements = Some(Statements::prepare(&mut self.connection)?);
        Ok(())
    }

    fn written_now(&self) -> Written {
        Written { rows: self.batch.rows(), bytes: self.batch.size() }
    }
}

impl Engine for Postgres {
    fn commit(&mut self, difference: &Difference, latest: i64) -> Result<Committed, CommitError> {
        self.batch.clear();
        self.layout.difference(difference, &mut self.batch);
        // A change records its time in its group or with its key. A deletion removes that record, so the time is
        // kept here.
        if !difference.gone.is_empty() {
            self.batch.add_latest(latest, false);
        }
        match self.write() {
            Ok(()) => Ok(Committed::Kept(self.written_now())),
            Err(error) => {
                self.unconfirmed.add(difference);
                Err(error.into())
            }
        }
    }

    fn prepare_recovery(&mut self) -> Result<(), CommitError> {
        Ok(self.reconnect()?)
    }

    fn recover(&mut self, state: &State, since: &Difference, latest: i64) -> Result<Written, CommitError> {
        self.unconfirmed.add(since);
        if self.is_strange || self.unconfirmed.is_too_much(state) {
            self.fill_whole(state);
        } else {
            self.batch.clear();
            self.unconfirmed.write(state, &mut self.layout, &mut self.batch);
        }
        self.batch.add_latest(latest, false);
        self.write()?;
        self.unconfirmed = Unconfirmed::default();
        self.is_strange = false;
        Ok(self.written_now())
    }

    fn renew(&mut self) -> Result<(), CommitError> {
        Ok(self.confirm()?)
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn close(&mut self, latest: i64) {
        self.lease.end();
        if self.unconfirmed.is_empty() && !self.is_strange && self.connection.is_open() {
            self.batch.clear();
            self.batch.add_latest(latest, true);
            let changes = Changes::of(&self.batch);
            if let Some(statements) = &self.statements {
                let mut queries =
                    vec![Query { statement: &statements.fence, parameters: vec![&self.owner, &self.seq] }];
                changes.queries(statements, &mut queries);
                queries.push(Query { statement: &statements.set_closed, parameters: vec![&true] });
                // Without it the next gateway only waits longer, and knows less about the latest time.
                if let Err(error) = self.connection.transaction(&queries, 0) {
                    tracing::debug!(err = %error, "the end can't be written to the database");
                }
            }
        }
        self.connection.close();
    }
}

/// A name that no other gateway has.
fn new_name() -> Result<String, DatabaseError> {
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
