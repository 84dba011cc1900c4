//! Push in, answer out.
//!
//! Owns what a request means: which rules apply to a push, when it counts, what is told and logged
//! of it. Only the gateway changes the store. Knows neither HTTP nor how formats look.

pub mod scrape;

use std::time::{SystemTime, UNIX_EPOCH};

use bumpalo::Bump;

use crate::config::{Config, PutMode};
use crate::exposition::{protobuf, text};
use crate::model::grouping::Grouping;
use crate::model::push::Push;
use crate::model::rules::{Cause, Refusal};
use crate::store::group::{Absent, FamilyRule, Moment, Semantics};
use crate::store::{GroupView, Store};
use crate::telemetry::{Telemetry, own_families};

/// The gateway without its network.
#[derive(Debug)]
pub struct Gateway {
    store: Store,
    telemetry: Telemetry,
    rules: Rules,
    prepared: scrape::Prepared,
}

/// What the configuration says about pushes.
#[derive(Clone, Copy, Debug)]
struct Rules {
    aggregate: bool,
    put: PutMode,
    names: text::Names,
}

/// The method of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Adds to the group.
    Post,
    /// Replaces the group.
    Put,
}

/// The format of a pushed body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// The text format.
    Text,
    /// Delimited protobuf.
    Protobuf,
}

/// Why a push was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The text can't be parsed.
    #[error(transparent)]
    Text(#[from] text::ParseError),
    /// The protobuf can't be parsed.
    #[error(transparent)]
    Protobuf(#[from] protobuf::ParseError),
    /// The push breaks a rule or contradicts what is there.
    #[error("pushed metrics are invalid or inconsistent with existing metrics: {cause}{}", Place(*.place))]
    Refused {
        /// What is wrong.
        cause: Cause,
        /// Line and column of the series in a text body.
        place: Option<(usize, usize)>,
    },
}

/// Line and column behind a message.
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
    /// An empty gateway that obeys this configuration.
    ///
    /// # Errors
    ///
    /// Never in a build that passes the tests; see [`Telemetry::new`].
    pub fn new(config: &Config) -> prometheus::Result<Gateway> {
        Ok(Gateway {
            store: Store::new(own_families()),
            telemetry: Telemetry::new()?,
            prepared: scrape::Prepared::default(),
            rules: Rules {
                aggregate: config.aggregation.enabled,
                put: config.push.put,
                names: if config.push.enable_utf8_names { text::Names::Utf8 } else { text::Names::Legacy },
            },
        })
    }

    /// The gateway's own metrics.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Which names pushes may use.
    pub fn names(&self) -> text::Names {
        self.rules.names
    }

    /// Takes a push: parses it, checks it and applies it whole, or not at all.
    ///
    /// # Errors
    ///
    /// What is wrong with it. Nothing has changed then but, for a push that could be parsed, the time
    /// of the group's last failure.
    pub fn push(
        &self,
        method: Method,
        grouping: &Grouping<'_>,
        format: BodyFormat,
        body: &[u8],
    ) -> Result<(), PushError> {
        let arena = Bump::new();
        let parsed = match format {
            BodyFormat::Text => text::parse(body, self.rules.names, &arena).map_err(PushError::from),
            BodyFormat::Protobuf => protobuf::parse(body, &arena).map_err(PushError::from),
        };
        let parsed = parsed.inspect_err(|error| {
            self.telemetry.push_malformed();
            tracing::debug!(source = %grouping.key(), err = %error, "failed to parse push");
        })?;
        let now = now();
        let result = Push::prepare(&parsed, grouping, self.rules.aggregate)
            .inspect_err(|_| self.store.push_failed(grouping, now))
            .and_then(|push| self.store.push(grouping, &push, &self.rules.semantics(method), now));
        match result {
            Ok(()) => {
                self.telemetry.push_accepted();
                Ok(())
            }
            Err(refusal) => Err(self.refused(method, grouping, body, refusal)),
        }
    }

    /// Removes a group, if it is there.
    pub fn delete(&self, grouping: &Grouping<'_>) {
        self.store.delete(grouping);
    }

    /// Removes all groups.
    pub fn wipe(&self) {
        self.store.wipe();
    }

    /// All groups, sorted by key.
    pub fn groups(&self) -> Vec<GroupView> {
        self.store.groups()
    }

    #[cold]
    fn refused(&self, method: Method, grouping: &Grouping<'_>, body: &[u8], refusal: Refusal) -> PushError {
        let place = refusal.offset.map(|offset| text::position(body, offset as usize));
        self.telemetry.push_refused(refusal.cause.reason());
        let method = match method {
            Method::Post => "POST",
            Method::Put => "PUT",
        };
        tracing::error!(
            method,
            source = %grouping.key(),
            err = %format_args!("{}{}", refusal.cause, Place(place)),
            "pushed metrics are invalid or inconsistent with existing metrics"
        );
        PushError::Refused { cause: refusal.cause, place }
    }
}

impl Rules {
    /// How a push with this method changes its group.
    fn semantics(self, method: Method) -> Semantics {
        let replace = Semantics {
            adding: FamilyRule::Replace,
            replacing: FamilyRule::Replace,
            absent: Absent::Keep,
            reconciles: self.aggregate,
        };
        match (self.aggregate, method) {
            (true, Method::Post) => {
                Semantics { adding: FamilyRule::Merge, replacing: FamilyRule::Merge, ..replace }
            }
            (true, Method::Put) if self.put == PutMode::Aggregate => {
                Semantics { adding: FamilyRule::Merge, absent: Absent::DropReplaced, ..replace }
            }
            (_, Method::Put) => Semantics { absent: Absent::Drop, ..replace },
            (false, Method::Post) => replace,
        }
    }
}

fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment { nanos: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX) }
}
