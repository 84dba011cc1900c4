//! Applies pushes and answers scrapes.
//!
//! Owns what a request means: which rules apply to a push, when it counts, and what is logged about it. Only the
//! gateway changes the store. It knows neither HTTP nor the syntax of the formats.

pub mod browse;
mod clashes;
mod client;
mod clock;
mod commit;
mod concluding;
pub mod deletion;
mod doubles;
mod engine;
mod explain;
mod exposure;
pub mod idempotency;
mod interval;
pub mod jobs;
mod limits;
mod pending;
pub mod refusals;
mod replicas;
mod ruled;
pub mod scrape;
mod sender;
pub mod source;
mod start;
mod stock;
mod thread;
mod transfer;
pub mod troubles;
mod writer;

use std::borrow::Cow;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use bumpalo::Bump;
use smallvec::SmallVec;

use crate::config::PutMode;
use crate::exposition::{Names, ParseError, Reading};
use crate::model::body::Body;
use crate::model::grouping::Grouping;
use crate::model::labels::EmptyLabels;
use crate::model::limits::{Limit, PushLimits};
use crate::model::push::Push;
use crate::model::refusal::Refusal;
use crate::rules::RuleSet;
use crate::store::group_labels::GroupLabels;
use crate::store::idempotency::{Key, Known};
use crate::store::semantics::{Absent, FamilyRule, Semantics};
use crate::store::{GroupView, Outcome, Part, Rejection, Store, Terms, Transaction};
use crate::telemetry::Telemetry;
use clock::Clock;
use commit::Health;
use idempotency::Keyed;
use interval::Interval;
use jobs::Worker;
use replicas::Replicas;
use ruled::{Pushes, Ruled, check_own_jobs, deletion};
use writer::Writer;

pub use crate::exposition::BodyFormat;
pub use client::Client;
pub use engine::EngineError;
pub use explain::{ExplainedFamily, Explanation};
pub use pending::{Failure, Pending};
pub use ruled::{RulePlace, TargetFault};
pub use sender::{BadHeader, SenderHeaders};
pub use start::StartError;
pub use transfer::{Copied, Target, copy, export_stock};

/// The gateway without its network.
#[derive(Debug)]
pub struct Gateway {
    store: Arc<Store>,
    clock: Arc<Clock>,
    telemetry: Telemetry,
    settings: PushSettings,
    rules: RwLock<Option<Arc<RuleSet>>>,
    /// Whether there are rules: nearly nobody who has none pays for the lock.
    has_rules: AtomicBool,
    limits: PushLimits,
    exposition: scrape::Exposition,
    prepared: scrape::Prepared,
    /// Lets only one large list of groups be made at a time, because it takes memory for most groups.
    deep_lists: browse::OneByOne,
    durability: Durability,
    health: Arc<Health>,
    /// The file or database that keeps the store, for messages. Empty for none.
    kept_in: String,
    /// Those that use the same database. `None` if there is none.
    replicas: Option<Arc<Replicas>>,
    refusals: refusals::Refusals,
    /// Unset if there are no jobs.
    worker: Arc<OnceLock<Worker>>,
}

/// When changes go to disk.
#[derive(Debug)]
enum Durability {
    /// Never: the store is in memory only.
    Memory,
    /// Before they are visible and answered.
    Before(Writer),
    /// Some time after they are visible and answered.
    After(Interval),
}

/// What the configuration says about pushes.
#[derive(Clone, Copy, Debug)]
struct PushSettings {
    aggregate: bool,
    put: PutMode,
    names: Names,
    require_final_newline: bool,
    /// Whether the label `clearmode` says how values are merged.
    clear_modes: bool,
}

/// The method of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Adds to the group.
    Post,
    /// Replaces the group.
    Put,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
        }
    }
}

/// A push as it was received.
#[derive(Clone, Copy, Debug)]
pub struct PushRequest<'a> {
    /// The method.
    pub method: Method,
    /// The group.
    pub grouping: &'a Grouping<'a>,
    /// The format of the body.
    pub format: BodyFormat,
    /// The body, inflated.
    pub body: &'a [u8],
    /// The `Content-Type` as it was sent.
    pub content_type: &'a [u8],
    /// The idempotency key, as [`idempotency::parse`] gives it.
    pub key: Option<&'a [u8]>,
    /// Who sent it, for the log.
    pub client: Client,
    /// What its headers say of the sender.
    pub sender: SenderHeaders<'a>,
    /// Whether its path has no job, so that the group has the default one.
    pub has_default_job: bool,
}

impl<'a> PushRequest<'a> {
    /// A push from an unknown client, without a content type and without an idempotency key.
    pub fn new(
        method: Method,
        grouping: &'a Grouping<'a>,
        format: BodyFormat,
        body: &'a [u8],
    ) -> PushRequest<'a> {
        PushRequest {
            method,
            grouping,
            format,
            body,
            content_type: b"",
            key: None,
            client: Client::default(),
            sender: SenderHeaders::default(),
            has_default_job: false,
        }
    }

    /// Checks that no series has a job of its own where the path has none.
    fn check_jobs(&self, body: &Body<'_>) -> Result<(), Refusal> {
        if self.has_default_job { check_own_jobs(body) } else { Ok(()) }
    }

    fn key(&self, ruled: Option<&Ruled>, is_known: impl Fn(&Key) -> bool) -> Option<Key> {
        let (source, temporality) = ruled.map_or((None, None), Ruled::sender_names);
        let request = Keyed {
            method: self.method.name(),
            grouping: self.grouping,
            content_type: self.content_type,
            body: self.body,
            source,
            temporality,
        };
        self.key.map(|key| idempotency::identify(key, &request, is_known))
    }
}

/// Why a push was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The body can't be parsed.
    #[error(transparent)]
    Unreadable(#[from] ParseError),
    /// The push exceeds a limit on what one push may hold.
    #[error("more than {most} {} in one push ({}){}", what(*.limit), .limit.setting(), Place(*.place))]
    TooMuch {
        /// The limit.
        limit: Limit,
        /// The most that the limit allows.
        most: usize,
        /// Line and column in a text body where the limit is exceeded.
        place: Option<(usize, usize)>,
    },
    /// The push breaks a rule or contradicts existing metrics.
    #[error("pushed metrics are invalid or inconsistent with existing metrics: {}", .refusal.sentence(Place(*.place)))]
    Refused {
        /// What is wrong.
        refusal: Box<Refusal>,
        /// Line and column of the series in a text body.
        place: Option<(usize, usize)>,
    },
    /// A rule does not accept pushes to the group.
    #[error("pushes to this group are not accepted: {0} says so")]
    Forbidden(RulePlace),
    /// Relabelling by a rule makes a group of it that can't be.
    #[error("the relabelling of {rule} {fault}")]
    Target {
        /// The rule.
        rule: RulePlace,
        /// What is wrong with the group.
        fault: TargetFault,
    },
    /// A header can't be used.
    #[error(transparent)]
    Header(#[from] BadHeader),
    /// It was not applied for another reason.
    #[error(transparent)]
    Failed(Failure),
}

fn what(limit: Limit) -> &'static str {
    if limit == Limit::LabelPairsPerPush { "labels" } else { "samples" }
}

/// Appends line and column to a message.
struct Place(Option<(usize, usize)>);

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some((line, column)) => write!(f, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

impl Gateway {
    /// The gateway's own metrics.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Which names pushes may use.
    pub fn names(&self) -> Names {
        self.settings.names
    }

    /// How labels with empty values are treated.
    pub fn empty_labels(&self) -> EmptyLabels {
        EmptyLabels::of(self.settings.aggregate)
    }

    /// Whether the last line of a text body has to end in a line feed.
    pub fn requires_final_newline(&self) -> bool {
        self.settings.require_final_newline
    }

    /// What a push may hold.
    pub fn push_limits(&self) -> PushLimits {
        self.limits
    }

    /// How bodies are read.
    fn reading(&self) -> Reading {
        Reading {
            names: self.settings.names,
            limits: self.limits,
            empty_labels: self.empty_labels(),
            require_final_newline: self.settings.require_final_newline,
        }
    }

    /// Takes a push: parses it, checks it and applies it whole, or not at all. [`Gateway::pushed`] returns its
    /// result.
    ///
    /// # Errors
    ///
    /// If a rule does not accept the push, or a header or the body can't be used. Nothing has changed then.
    pub fn push(&self, push: &PushRequest<'_>) -> Result<Pending, PushError> {
        self.take(push).inspect_err(|error| self.not_taken(push, error))
    }

    fn take(&self, push: &PushRequest<'_>) -> Result<Pending, PushError> {
        let PushRequest { method, grouping, format, body, .. } = *push;
        let ruled = self.ruled(push)?;
        let arena = Bump::new();
        let parsed = format.parse(body, &self.reading(), &arena).map_err(|error| self.not_parsed(error))?;
        if ruled.as_ref().is_some_and(Ruled::is_dropped) {
            return Ok(Pending::Done(Ok(Outcome::Dropped)));
        }
        let key = push.key(ruled.as_ref(), |key| self.is_known(key));
        // The parsed body is dropped in there, because the next steps need memory too.
        let prepared = self.prepare(parsed, push, ruled.as_ref(), &arena);
        drop(arena);
        Ok(match prepared {
            Ok(pushes) => {
                let transaction = self.transaction(method, grouping, pushes, ruled.as_ref());
                self.submit(transaction.with_key(key), body.len())
            }
            Err(refusal) => {
                let grouping = Cow::Borrowed(ruled.as_ref().map_or(grouping, |ruled| ruled.target()));
                match self.submit(Transaction::of(Part::Failed { grouping }), body.len()) {
                    Pending::Done(Ok(_)) => Pending::Done(Err(Rejection::from(refusal).into())),
                    Pending::Waiting(noted) => Pending::Refused(noted, refusal.into()),
                    failed => failed,
                }
            }
        })
    }

    /// What prepared pushes change: the group that the rules say, if there are rules.
    fn transaction<'a>(
        &self,
        method: Method,
        pushed: &'a Grouping<'a>,
        pushes: Pushes,
        ruled: Option<&'a Ruled>,
    ) -> Transaction<'a> {
        let source = ruled.and_then(|ruled| ruled.source_of(method, pushed, &pushes));
        let source_if_shared = source.as_ref().is_some_and(|source| source.only_if_shared);
        let semantics = |method| {
            let semantics = self.settings.semantics(method, ruled.and_then(Ruled::put));
            Semantics { source_if_shared, ..semantics }
        };
        let target = ruled.map_or(pushed, |ruled| ruled.target());
        let terms = ruled.map_or_else(Terms::default, Ruled::group_terms);
        let part = |at: usize, push: Push| Part::Push {
            grouping: Cow::Borrowed(target),
            push,
            // What a PUT takes away has gone with the first of its pushes.
            semantics: semantics(if at == 0 { method } else { Method::Post }),
            source: source.as_ref().map(|source| Cow::Owned(source.block.clone())),
            terms,
        };
        let mut parts = SmallVec::with_capacity(pushes.len());
        for (at, push) in pushes.into_iter().enumerate() {
            parts.push(part(at, push));
        }
        Transaction { parts, key: None }
    }

    /// Submits a transaction. While it waits, the client holds `held` bytes for it.
    fn submit(&self, transaction: Transaction<'_>, held: usize) -> Pending {
        match &self.durability {
            Durability::Before(writer) => Pending::of(writer.submit(transaction.into_static(), held)),
            Durability::After(interval) => {
                let result = self.store.submit(&transaction, self.clock.now());
                interval.touch();
                self.submitted(result)
            }
            Durability::Memory => self.submitted(self.store.submit(&transaction, self.clock.now())),
        }
    }

    fn submitted(&self, result: Result<Outcome, Rejection>) -> Pending {
        if self.store.take_sooner() {
            self.wake_jobs();
        }
        Pending::Done(result.map_err(Failure::from))
    }

    /// Deletes a group, if it exists. [`Gateway::done`] returns the result. `key` is the idempotency key of the
    /// request.
    ///
    /// # Errors
    ///
    /// When a header that a rule reads can't be used.
    pub fn delete(
        &self,
        grouping: &Grouping<'_>,
        key: Option<&[u8]>,
        sender: SenderHeaders<'_>,
    ) -> Result<Pending, BadHeader> {
        let ruled = self.ruled_deletion(grouping, sender)?;
        let source = ruled.as_ref().and_then(|ruled| ruled.sender_names().0);
        let (method, content_type, body) = ("DELETE", &b""[..], &b""[..]);
        let request = Keyed { method, grouping, content_type, body, source, temporality: None };
        let key = key.map(|key| idempotency::identify(key, &request, |key| self.is_known(key)));
        Ok(self.submit(deletion(grouping, ruled.as_ref()).with_key(key), 0))
    }

    /// Deletes all groups.
    pub fn wipe(&self) -> Pending {
        self.submit(Transaction::of(Part::Wipe), 0)
    }

    /// Whether the gateway remembers this key, whatever the request was.
    fn is_known(&self, key: &Key) -> bool {
        self.store.keys().known(key, self.clock.now()) != Known::Unknown
    }

    /// How long the gateway remembers idempotency keys at the moment. Zero if they have no effect.
    pub fn idempotency_window(&self) -> Duration {
        self.store.keys().effective_window(self.clock.now())
    }

    /// Answers waiting requests, writes everything to disk and closes the file. False if the last write failed and
    /// accepted pushes are lost.
    pub fn close(&self) -> bool {
        if let Some(worker) = self.worker.get() {
            worker.stop();
        }
        match &self.durability {
            Durability::Memory => true,
            Durability::Before(writer) => {
                writer.close();
                true
            }
            Durability::After(interval) => interval.close(),
        }
    }

    /// How many groups and how many series there are.
    pub fn counts(&self) -> (u64, u64) {
        (self.store.group_count().unsigned_abs(), self.store.series_count().unsigned_abs())
    }

    /// The labels of all groups, sorted by key.
    pub fn group_labels(&self) -> Vec<Arc<GroupLabels>> {
        self.store.group_labels()
    }

    /// The group with this key and all its families, if it exists.
    pub fn group(&self, key: &str) -> Option<GroupView> {
        self.store.group(key)
    }

    /// Why a body was not parsed.
    fn not_parsed(&self, error: ParseError) -> PushError {
        match error.limit {
            Some(limit) => PushError::TooMuch { limit, most: self.limits.most(limit), place: error.place },
            None => error.into(),
        }
    }
}

impl PushSettings {
    /// How a push with this method changes its group.
    /// `put` is what a rule says of PUT.
    fn semantics(self, method: Method, put: Option<PutMode>) -> Semantics {
        let replace = Semantics::replacing(self.aggregate);
        match (self.aggregate, method) {
            (true, Method::Post) => Semantics::merging(),
            (true, Method::Put) if put.unwrap_or(self.put) == PutMode::Aggregate => {
                Semantics { adding: FamilyRule::Merge, absent: Absent::DropReplaced, ..replace }
            }
            (_, Method::Put) => Semantics { absent: Absent::Drop, ..replace },
            (false, Method::Post) => replace,
        }
    }
}
