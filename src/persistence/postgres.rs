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
mod owner;
mod read;
mod schema;
mod tls;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::model::time::Moment;
use crate::persistence::engine::{CommitError, Committed, Engine, Written};
use crate::persistence::lease::Lease;
use crate::persistence::postgres::changes::Changes;
use crate::persistence::postgres::connection::Connection;
use crate::persistence::postgres::owner::{Owner, Then};
use crate::persistence::rows::batch::Batch;
use crate::persistence::rows::format::FORMAT;
use crate::persistence::rows::history::{CLOSED_KEY, FORMAT_KEY, History, LEAD_KEY, SHOWN_KEY};
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
    owner: Owner,
    layout: Layout,
    batch: Batch,
    unconfirmed: Unconfirmed,
    /// Whether the rows are not those that this gateway has written, and must all be written anew.
    is_strange: bool,
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
        address: &Address,
        store: &Store,
        now: Moment,
        lead: u64,
        lease: Duration,
        steps: &Arc<Steps>,
    ) -> Result<Postgres, DatabaseError> {
        steps.phase("connecting to the database", 0);
        let begun = Instant::now();
        // What starts together with its database must wait for it.
        let (mut owner, was_closed) = loop {
            match own(address, lease) {
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
        let mut layout = Layout::default();
        let latest = read::everything(owner.connection(), store, now, &mut layout)?;
        let before = read::history(owner.connection())?;
        let before = History { latest: before.latest.max(latest), ..before };
        if !was_closed {
            steps.phase("waiting until the gateway before has noticed", 0);
            // Clocks do not run at quite the same speed.
            thread::sleep((lease + lease / 8).saturating_sub(taken.elapsed()));
        }
        let mut postgres = Postgres {
            owner,
            layout,
            batch: Batch::default(),
            unconfirmed: Unconfirmed::default(),
            is_strange: false,
            history: before.at(now, lead),
            written: 0,
        };
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
        address: &Address,
        store: &Store,
        now: Moment,
        steps: &Arc<Steps>,
    ) -> Result<Option<i64>, DatabaseError> {
        steps.phase("reading the database", 0);
        let mut connection = Connection::open(address)?;
        if !schema::is_there(&mut connection)? {
            return Ok(None);
        }
        read::check_format(&mut connection)?;
        // Everything as it is at one moment.
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")?;
        let latest = read::everything(&mut connection, store, now, &mut Layout::default())?;
        let latest = latest.max(read::history(&mut connection)?.latest);
        store.restored();
        Ok(Some(latest))
    }

    /// What was recorded before this gateway.
    pub fn history_before(&self) -> History {
        self.history
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

    /// Records that this gateway uses the database, with its settings, and has not closed it yet.
    fn begin(&mut self) -> Result<(), DatabaseError> {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let changes = Changes::of_meta([
            (FORMAT_KEY, signed(FORMAT)),
            (LEAD_KEY, signed(self.history.lead)),
            (SHOWN_KEY, self.history.shown_until),
            (CLOSED_KEY, 0),
        ]);
        self.owner.transact(&changes, 0, Then::GoesOn)
    }

    /// Fills the batch with the whole state, in the place of all that is there.
    fn fill_whole(&mut self, state: &State) {
        self.batch.clear();
        self.batch.all_gone();
        self.layout.state(state, &mut self.batch);
    }

    /// Writes the batch in one transaction.
    fn write(&mut self) -> Result<(), DatabaseError> {
        let bytes = self.batch.size();
        self.owner.transact(&Changes::of(&self.batch), bytes, Then::GoesOn)?;
        self.written += bytes;
        Ok(())
    }

    fn written_now(&self) -> Written {
        Written { rows: self.batch.rows(), bytes: self.batch.size() }
    }
}

/// Connects, makes sure that the tables are there, and takes over. Returns also whether the gateway before has closed
/// the database.
fn own(address: &Address, lease: Duration) -> Result<(Owner, bool), DatabaseError> {
    let mut connection = Connection::open(address)?;
    schema::create(&mut connection)?;
    read::check_format(&mut connection)?;
    Owner::take_over(connection, Lease::new(lease))
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
        self.is_strange |= !self.owner.reconnect()?;
        Ok(())
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
        // Only a server that can be written confirms it.
        Ok(self.owner.transact(&Changes::default(), 0, Then::GoesOn)?)
    }

    fn lease(&self) -> Option<&Arc<Lease>> {
        Some(self.owner.lease())
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn close(&mut self, latest: i64) {
        self.owner.lease().end();
        if self.unconfirmed.is_empty() && !self.is_strange && self.owner.is_open() {
            self.batch.clear();
            self.batch.add_latest(latest, true);
            // Without it the next gateway only waits longer, and knows less about the latest time.
            if let Err(error) = self.owner.transact(&Changes::of(&self.batch), 0, Then::Closes) {
                tracing::debug!(err = %error, "the end can't be written to the database");
            }
            self.owner.lease().end();
        }
        self.owner.close();
    }
}
