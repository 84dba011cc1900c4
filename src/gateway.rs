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
mod doubles;
mod exposure;
pub mod idempotency;
mod interval;
pub mod jobs;
mod limits;
mod pending;
pub mod scrape;
pub mod source;
mod start;
mod stock;
mod thread;
mod writer;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bumpalo::Bump;

use crate::config::PutMode;
use crate::exposition::{Names, ParseError, Reading};
use crate::model::grouping::Grouping;
use crate::model::labels::{EmptyLabels, ShownLabels};
use crate::model::limits::{Limit, PushLimits};
use crate::model::push::Push;
use crate::model::refusal::Refusal;
use crate::store::group::GroupLabels;
use crate::store::idempotency::{Key, Known};
use crate::store::semantics::{Absent, FamilyRule, Semantics};
use crate::store::{GroupView, Part, Rejection, Store, Transaction};
use crate::telemetry::Telemetry;
use clock::Clock;
use commit::Health;
use interval::Interval;
use jobs::Worker;
use writer::Writer;

pub use crate::exposition::BodyFormat;
pub use client::Client;
pub use pending::{Failure, Pending};
pub use start::{StartError, export_stock};

/// The gateway without its network.
#[derive(Debug)]
pub struct Gateway {
    store: Arc<Store>,
    clock: Arc<Clock>,
    telemetry: Telemetry,
    rules: Rules,
    limits: PushLimits,
    exposition: scrape::Exposition,
    prepared: scrape::Prepared,
    /// Lets only one large list of groups be made at a time, because it takes memory for most groups.
    deep_lists: browse::OneByOne,
    durability: Durability,
    health: Arc<Health>,
    /// Unset if there are no jobs.
    worker: OnceLock<Worker>,
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
struct Rules {
    aggregate: bool,
    put: PutMode,
    names: Names,
    require_final_newline: bool,
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
        }
    }

    fn key(&self, is_known: impl Fn(&Key) -> bool) -> Option<Key> {
        let identify = |key| {
            let (method, grouping) = (self.method.name(), self.grouping);
            idempotency::identify(key, method, grouping, self.content_type, self.body, is_known)
        };
        self.key.map(identify)
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
        self.rules.names
    }

    /// How labels with empty values are treated.
    pub fn empty_labels(&self) -> EmptyLabels {
        EmptyLabels::of(self.rules.aggregate)
    }

    /// Whether the last line of a text body has to end in a line feed.
    pub fn requires_final_newline(&self) -> bool {
        self.rules.require_final_newline
    }

    /// What a push may hold.
    pub fn push_limits(&self) -> PushLimits {
        self.limits
    }

    /// How bodies are read.
    fn reading(&self) -> Reading {
        Reading {
            names: self.rules.names,
            limits: self.limits,
            empty_labels: self.empty_labels(),
            require_final_newline: self.rules.require_final_newline,
        }
    }

    /// Takes a push: parses it, checks it and applies it whole, or not at all. [`Gateway::pushed`] returns its
    /// result.
    ///
    /// # Errors
    ///
    /// If the body can't be parsed. Nothing has changed then.
    pub fn push(&self, push: &PushRequest<'_>) -> Result<Pending, PushError> {
        let PushRequest { method, grouping, format, body, .. } = *push;
        let arena = Bump::new();
        let parsed = format.parse(body, &self.reading(), &arena);
        let parsed = parsed.map_err(|error| self.not_parsed(error)).inspect_err(|error| {
            tracing::debug!(
                method = method.name(),
                source = %push.client,
                group = %ShownLabels::of(grouping.key()),
                err = %error,
                "failed to parse text"
            );
        })?;
        let key = push.key(|key| self.is_known(key));
        let semantics = self.rules.semantics(method);
        let prepared = Push::prepare_within(&parsed, grouping, self.rules.aggregate, self.limits);
        // Frees the memory early, because the next steps need memory too.
        drop(parsed);
        drop(arena);
        let grouping = Cow::Borrowed(grouping);
        Ok(match prepared {
            Ok(push) => {
                let part = Part::Push { grouping, push, semantics };
                self.submit(Transaction::of(part).with_key(key), body.len())
            }
            Err(refusal) => match self.submit(Transaction::of(Part::Failed { grouping }), body.len()) {
                Pending::Done(Ok(_)) => Pending::Done(Err(Rejection::from(refusal).into())),
                Pending::Waiting(noted) => Pending::Refused(noted, refusal.into()),
                failed => failed,
            },
        })
    }

    /// Submits a transaction. While it waits, the client holds `held` bytes for it.
    fn submit(&self, transaction: Transaction<'_>, held: usize) -> Pending {
        match &self.durability {
            Durability::Before(writer) => Pending::of(writer.submit(transaction.into_static(), held)),
            Durability::After(interval) => {
                let result = self.store.submit(&transaction, self.clock.now());
                interval.touch();
                Pending::Done(result.map_err(Failure::from))
            }
            Durability::Memory => {
                Pending::Done(self.store.submit(&transaction, self.clock.now()).map_err(Failure::from))
            }
        }
    }

    /// Deletes a group, if it exists. [`Gateway::done`] returns the result. `key` is the idempotency key of the
    /// request.
    pub fn delete(&self, grouping: &Grouping<'_>, key: Option<&[u8]>) -> Pending {
        let is_known = |key: &Key| self.is_known(key);
        let key = key.map(|key| idempotency::identify(key, "DELETE", grouping, b"", b"", is_known));
        let part = Part::Delete { grouping: Cow::Borrowed(grouping) };
        self.submit(Transaction::of(part).with_key(key), 0)
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

    /// Why pushes can't be kept at the moment. `None` if they can.
    pub fn failure(&self) -> Option<String> {
        self.health.failure()
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

    /// Counts a push whose body can't be parsed or exceeds a limit.
    #[cold]
    fn not_parsed(&self, error: ParseError) -> PushError {
        let Some(limit) = error.limit else {
            self.telemetry.push_malformed();
            return error.into();
        };
        self.telemetry.limits().hit(limit);
        self.telemetry.push_refused(limit.name());
        PushError::TooMuch { limit, most: self.limits.most(limit), place: error.place }
    }
}

impl Rules {
    /// How a push with this method changes its group.
    fn semantics(self, method: Method) -> Semantics {
        let replace = Semantics::replacing(self.aggregate);
        match (self.aggregate, method) {
            (true, Method::Post) => Semantics::merging(),
            (true, Method::Put) if self.put == PutMode::Aggregate => {
                Semantics { adding: FamilyRule::Merge, absent: Absent::DropReplaced, ..replace }
            }
            (_, Method::Put) => Semantics { absent: Absent::Drop, ..replace },
            (false, Method::Post) => replace,
        }
    }
}
