//! The engine that keeps everything in a PostgreSQL database.
//!
//! Several gateways, the replicas, may share a database. Its content is one sequence of commits, as if one gateway had
//! made them all: each says which commit it follows, and fails if there is another one meanwhile. Its row in the log has
//! what it changes. A replica that finds others' commits there takes them in, and drafts its own again over them. So all
//! replicas have the same versions of everything, and whoever ends leaves nothing behind.
//!
//! A replica that was overtaken locks the head of the sequence before it drafts, so that its next commit succeeds;
//! replicas that push a lot take turns.

mod address;
mod changes;
mod connection;
mod error;
mod head;
mod place;
mod read;
mod roster;
mod schema;
mod seen;
mod tls;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::model::time::Moment;
use crate::persistence::engine::{CommitError, Committed, CommonTime, Engine, Recovery, Replica, Written};
use crate::persistence::postgres::changes::Changes;
use crate::persistence::postgres::connection::Connection;
use crate::persistence::postgres::head::{Head, Loss};
use crate::persistence::postgres::seen::Seen;
use crate::persistence::rows::batch::Batch;
use crate::persistence::rows::format::FORMAT;
use crate::persistence::rows::history::{FORMAT_KEY, History, LEAD_KEY, SHOWN_KEY};
use crate::persistence::rows::layout::Layout;
use crate::persistence::rows::log;
use crate::persistence::rows::news::{Changed, GroupKeys};
use crate::progress::Steps;
use crate::store::difference::{Difference, State};
use crate::store::news::News;
use crate::store::{CommitMode, GroupView, Store};

pub use address::Address;
pub use error::DatabaseError;

/// How long a start waits for a database that can't be reached, and how often it tries.
const START_WITHIN: Duration = Duration::from_secs(30);
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// How often a gateway that starts looks how far others are.
const POLL: Duration = Duration::from_millis(100);

/// The engine of a database.
#[derive(Debug)]
pub struct Postgres {
    head: Head,
    layout: Layout,
    /// The groups that the database has at the place of the head.
    groups: GroupKeys,
    batch: Batch,
    /// The batch as a row of the log.
    log: Vec<u8>,
    /// Whether others commit at the same time, so that it is better to wait for a turn.
    is_contended: bool,
    /// Whether the database has lost commits, and must be written anew.
    is_behind: bool,
    /// What was committed that the store does not have, and can't be told from the log.
    must_reload: bool,
    history: History,
    written: u64,
}

impl Postgres {
    /// Connects to a database and reads everything into an empty store. `name` is that of this gateway among those that
    /// share the database, `now` the time by its clock, and `lead` for how many nanoseconds new series are shown as 0.
    ///
    /// # Errors
    ///
    /// If the database can't be used.
    pub fn open(
        address: &Address,
        name: &str,
        store: &Store,
        now: impl FnOnce(CommonTime) -> Moment,
        lead: u64,
        steps: &Arc<Steps>,
    ) -> Result<Postgres, DatabaseError> {
        steps.phase("connecting to the database", 0);
        let begun = Instant::now();
        // What starts together with its database must wait for it.
        let mut head = loop {
            match Head::join(address, name) {
                Ok(head) => break head,
                Err(error) if error.may_pass() && begun.elapsed() < START_WITHIN => {
                    tracing::warn!(err = %error, "the database can't be reached; trying again");
                    thread::sleep(RETRY_AFTER);
                }
                Err(error) => return Err(error),
            }
        };
        steps.phase("waiting for other gateways to say how far they are", 0);
        let joined = Instant::now();
        // The database may have lost what others are about to write again.
        while joined.elapsed() < START_WITHIN && !head.may_begin(joined.elapsed())? {
            thread::sleep(POLL);
        }
        steps.phase("reading the database", 0);
        let now = now(head.read_time()?);
        let mut layout = Layout::default();
        let recorded = head.read_everything(store, now, &mut layout)?;
        let mut postgres = Postgres {
            head,
            layout,
            groups: GroupKeys::default(),
            batch: Batch::default(),
            log: Vec::new(),
            is_contended: false,
            is_behind: false,
            must_reload: false,
            history: recorded.history.at(now, lead),
            written: 0,
        };
        store.restored();
        postgres.know_groups(&store.take_all().0);
        postgres.record_settings()?;
        Ok(postgres)
    }

    /// Reads everything into an empty store, without being a replica. Returns the latest time in it, in nanoseconds since
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
        let (_, recorded) = read::everything(&mut connection, store, now, &mut Layout::default())?;
        store.restored();
        Ok(Some(recorded.history.latest))
    }

    /// What was recorded before this gateway.
    pub fn history_before(&self) -> History {
        self.history
    }

    /// Writes the whole state in the place of all that is there. Returns false if another gateway has committed
    /// meanwhile: nothing is written then.
    ///
    /// # Errors
    ///
    /// If it can't be written.
    pub fn rewrite(&mut self, state: &State) -> Result<bool, CommitError> {
        self.fill_whole(state);
        self.must_reload = true;
        let is_kept = self.commit_batch()?;
        if is_kept {
            self.know_groups(state);
            self.must_reload = false;
        }
        self.batch.clear();
        self.log.clear();
        Ok(is_kept)
    }

    /// Fills a database that holds nothing with a state, as a copy of it. `latest` is the latest time in it, in nanoseconds
    /// since the epoch. Returns false if another gateway has committed something meanwhile.
    ///
    /// # Errors
    ///
    /// If it can't be written.
    pub fn fill(&mut self, state: &State, latest: i64) -> Result<bool, CommitError> {
        let is_kept = self.rewrite(state)?;
        // Whoever had them before may have shown all series with their values.
        self.history.shown_until = latest;
        self.record_settings()?;
        Ok(is_kept)
    }

    /// Records the format of the rows, and with what settings they are shown.
    fn record_settings(&mut self) -> Result<(), DatabaseError> {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let changes = Changes::of_meta([
            (FORMAT_KEY, signed(FORMAT)),
            (LEAD_KEY, signed(self.history.lead)),
            (SHOWN_KEY, self.history.shown_until),
        ]);
        self.head.set(&changes)
    }

    /// Fills the batch with the whole state, in the place of all that is there.
    fn fill_whole(&mut self, state: &State) {
        self.batch.clear();
        self.batch.all_gone();
        self.layout.state(state, &mut self.batch);
        self.batch.next_key(state.next_key());
    }

    /// Notes the groups of a state in the place of those that are known.
    fn know_groups(&mut self, state: &State) {
        self.groups = state.groups.iter().map(|group| (group.epoch, group.labels.key.clone())).collect();
    }

    /// Commits the batch. Returns false if another gateway was first.
    fn commit_batch(&mut self) -> Result<bool, DatabaseError> {
        self.log.clear();
        log::write(&self.batch, &mut self.log);
        let bytes = self.batch.size();
        let changes = Changes::of(&self.batch);
        let is_kept = if self.is_behind {
            self.head.commit_over(&changes, &self.log, bytes)?
        } else {
            self.head.commit(&changes, &self.log, bytes)?
        };
        self.written += if is_kept { bytes } else { 0 };
        Ok(is_kept)
    }

    fn written_now(&self) -> Written {
        Written { rows: self.batch.rows(), bytes: self.batch.size() }
    }

    /// What the store has to take in of what the database says.
    fn news(&mut self, seen: Seen, store: &Store) -> Result<Option<News>, DatabaseError> {
        let commits = match seen {
            _ if self.must_reload => return self.reload(),
            Seen::Nothing => return Ok(None),
            Seen::Commits(commits) => commits,
            Seen::Lost => {
                self.is_behind = true;
                // At once, so that one that starts waits.
                self.head.give_up_turn()?;
                self.head.beat()?;
                return Err(DatabaseError::Behind);
            }
            Seen::TooMuch | Seen::Unknown => return self.reload(),
        };
        // If it fails half way, only the rows themselves can be trusted.
        self.must_reload = true;
        let mut changed = Changed::default();
        for row in &commits {
            let entries =
                log::read(&row.changes).map_err(|error| DatabaseError::Damaged(error.to_string()))?;
            entries.iter().for_each(|entry| changed.add(entry));
        }
        let news = changed.news(store, &mut self.groups, &mut self.layout).map_err(DatabaseError::Damaged)?;
        let news = News { commits: commits.len() as u64, ..news };
        self.head.advance(commits);
        self.must_reload = false;
        Ok(Some(news))
    }

    /// Everything in the database.
    fn reload(&mut self) -> Result<Option<News>, DatabaseError> {
        tracing::warn!("reading everything from the database: the log does not say what others have changed");
        self.must_reload = true;
        let store = Store::new([], CommitMode::Never, Duration::MAX, usize::MAX);
        let mut layout = Layout::default();
        let recorded = self.head.read_everything(&store, Moment::at(0), &mut layout)?;
        store.restored();
        let state = store.take_all().0;
        self.know_groups(&state);
        self.layout = layout;
        self.must_reload = false;
        Ok(Some(News {
            is_all: true,
            gone: Vec::new(),
            groups: state.groups.iter().map(|group| GroupView::of(group)).collect(),
            kinds: state.names.into_iter().map(|(name, kind)| (name, Some(kind))).collect(),
            keys: state.keys,
            next_key: recorded.next_key,
            commits: 0,
            latest: recorded.history.latest,
        }))
    }

    /// Fails until what the database has lost is decided about; see [`Engine::prepare_recovery`].
    fn check_not_behind(&self) -> Result<(), DatabaseError> {
        if self.is_behind { Err(DatabaseError::Behind) } else { Ok(()) }
    }
}

impl Engine for Postgres {
    fn begin(&mut self, store: &Store) -> Result<Option<News>, CommitError> {
        if !self.is_contended {
            return Ok(None);
        }
        self.check_not_behind()?;
        let seen = self.head.take_turn()?;
        // With nobody else committing, the round trip for a turn is not worth it.
        self.is_contended = !matches!(seen, Seen::Nothing);
        let news = self.news(seen, store);
        if news.is_err() {
            self.head.give_up_turn()?;
        }
        Ok(news?)
    }

    fn commit(&mut self, difference: &Difference, latest: i64) -> Result<Committed, CommitError> {
        self.check_not_behind()?;
        self.batch.clear();
        self.layout.difference(difference, &mut self.batch);
        // A change records its time in its group or with its key. A deletion removes that record, so the time is
        // kept here.
        if !difference.gone.is_empty() {
            self.batch.add_latest(latest, false);
        }
        // The row of the last key may be gone when the next one comes.
        if let Some(next) = difference.next_key() {
            self.batch.next_key(next);
        }
        match self.commit_batch() {
            Ok(true) => {}
            Ok(false) => {
                self.layout.revert();
                self.is_contended = true;
                return Ok(Committed::Overtaken);
            }
            Err(error) => {
                // Where it was kept nevertheless, the log says so.
                self.layout.revert();
                return Err(error.into());
            }
        }
        for epoch in &difference.gone {
            self.groups.remove(epoch);
        }
        let new = difference.groups.iter().filter(|versions| versions.before.is_none());
        self.groups.extend(new.map(|new| (new.after.epoch, new.after.labels.key.clone())));
        Ok(Committed::Kept(self.written_now()))
    }

    fn look(&mut self, store: &Store) -> Result<Option<News>, CommitError> {
        self.check_not_behind()?;
        if self.head.has_turn() && !self.must_reload {
            // Nobody can have committed since.
            self.head.give_up_turn()?;
            return Ok(None);
        }
        let seen = self.head.look()?;
        Ok(self.news(seen, store)?)
    }

    fn prepare_recovery(&mut self) -> Result<Recovery, CommitError> {
        self.head.reconnect()?;
        if !self.is_behind {
            return Ok(Recovery::Look);
        }
        match self.head.loss()? {
            Loss::Mine => return Ok(Recovery::Write),
            Loss::Waits => return Err(DatabaseError::Behind.into()),
            Loss::Replaced | Loss::Over => self.must_reload = true,
        }
        self.is_behind = false;
        Ok(Recovery::Look)
    }

    fn recover(&mut self, state: &State, _since: &Difference, latest: i64) -> Result<Written, CommitError> {
        tracing::error!(
            "the database has lost commits, as after a failover or when it is put back: it gets them again"
        );
        self.fill_whole(state);
        self.batch.add_latest(latest, false);
        if !self.commit_batch()? {
            return Err(DatabaseError::Overtaken.into());
        }
        self.know_groups(state);
        (self.is_behind, self.must_reload) = (false, false);
        // The tables may be new ones.
        self.record_settings()?;
        Ok(self.written_now())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn common_time(&self) -> Option<CommonTime> {
        self.head.time()
    }

    fn replicas(&self) -> &[Replica] {
        self.head.replicas()
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn close(&mut self, _latest: i64) {
        self.head.leave();
    }
}
