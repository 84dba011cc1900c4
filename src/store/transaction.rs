//! The changes of a request as one value, and their result.

use std::borrow::Cow;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::model::grouping::Grouping;
use crate::model::limits::StoreFull;
use crate::model::push::Push;
use crate::model::refusal::Refusal;
use crate::store::deletion::{Deleted, DeletionFilter, Survey};
use crate::store::idempotency::Key;
use crate::store::selection::Selection;
use crate::store::semantics::Semantics;
use crate::store::sight::Sight;
use crate::store::terms::Terms;
use crate::store::times::Times;

/// Everything that one request changes. It is applied whole, or not at all.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// The changes, in order.
    pub parts: SmallVec<[Part<'a>; 1]>,
    /// The idempotency key. Requests with the same key count once.
    pub key: Option<Key>,
}

/// One change of a [`Transaction`].
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are pushes")]
pub enum Part<'a> {
    /// A push to a group.
    Push {
        /// The group.
        grouping: Cow<'a, Grouping<'a>>,
        /// What is pushed.
        push: Push,
        /// How it changes the group.
        semantics: Semantics,
        /// The label block that tells its sender apart from others that push to the group. Without it nobody is
        /// remembered, and what rules say of senders has no effect.
        source: Option<Cow<'a, str>>,
        /// How long the group stays then, and how much it may have.
        terms: Terms,
    },
    /// Notes in the group that a push to it was refused before it reached the store.
    Failed {
        /// The group.
        grouping: Cow<'a, Grouping<'a>>,
    },
    /// Deletes a group, if it exists.
    Delete {
        /// The group.
        grouping: Cow<'a, Grouping<'a>>,
    },
    /// Removes some series of a group, as far as they exist. The group stays.
    DropSeries {
        /// The group.
        grouping: Cow<'a, Grouping<'a>>,
        /// The series.
        which: Selection,
    },
    /// Deletes a group unless a push was accepted since it was checked. So no push in between is lost.
    Expire {
        /// The group.
        grouping: Cow<'a, Grouping<'a>>,
        /// The times of the group at the check.
        seen: Times,
    },
    /// Deletes the series of some families of a group whose TTL is over, by what was known at a look. Those that were
    /// pushed since stay, and so does the group.
    ExpireSeries {
        /// The group.
        grouping: Cow<'a, Grouping<'a>>,
        /// The metric names.
        families: Vec<Arc<str>>,
        /// What was known.
        sight: Sight,
    },
    /// Deletes a source of a group: its values are folded no more. What it added to counters stays.
    DeleteSource {
        /// The group.
        grouping: Cow<'a, Grouping<'a>>,
        /// What tells it apart; see [`Part::Push`].
        source: Cow<'a, str>,
        /// The times of the source when it was found to have expired: it stays if it has pushed since. `None` if somebody
        /// deletes it.
        seen: Option<Times>,
        /// Whether the totals that it pushed last are remembered: a sender that lives on may push again, and is not to be
        /// counted twice.
        keeps_totals: bool,
    },
    /// Deletes what matches selectors: whole groups, and series of other groups, which stay.
    DeleteMatching {
        /// What goes.
        filter: Arc<DeletionFilter>,
        /// What is known already of what matches.
        survey: Survey,
    },
    /// Deletes all groups.
    Wipe,
}

impl<'a> Part<'a> {
    /// The group that the change concerns, if it concerns one.
    pub fn grouping(&self) -> Option<&Grouping<'a>> {
        match self {
            Part::Push { grouping, .. }
            | Part::Failed { grouping }
            | Part::Delete { grouping }
            | Part::DeleteSource { grouping, .. }
            | Part::DropSeries { grouping, .. }
            | Part::Expire { grouping, .. }
            | Part::ExpireSeries { grouping, .. } => Some(grouping),
            Part::DeleteMatching { .. } | Part::Wipe => None,
        }
    }
}

impl<'a> Transaction<'a> {
    /// A transaction with one change and no idempotency key.
    pub fn of(part: Part<'a>) -> Transaction<'a> {
        Transaction { parts: smallvec![part], key: None }
    }

    /// Adds an idempotency key, if there is one.
    pub fn with_key(self, key: Option<Key>) -> Transaction<'a> {
        Transaction { key, ..self }
    }

    /// How much memory the pushes, selectors and lists of series take, in bytes.
    pub fn size(&self) -> usize {
        let size = |part: &Part<'_>| match part {
            Part::Push { push, .. } => push.size(),
            Part::DropSeries { which, .. } => which.size(),
            Part::DeleteMatching { filter, survey } => filter.size() + survey.size(),
            _ => 0,
        };
        self.parts.iter().map(size).sum()
    }

    /// A copy that owns its labels, for the queue.
    pub fn into_static(self) -> Transaction<'static> {
        let owned = |grouping: Cow<'a, Grouping<'a>>| Cow::Owned(grouping.to_static());
        let parts = self.parts.into_iter().map(|part| match part {
            Part::Push { grouping, push, semantics, source, terms } => {
                let source = source.map(|source| Cow::Owned(source.into_owned()));
                Part::Push { grouping: owned(grouping), push, semantics, source, terms }
            }
            Part::Failed { grouping } => Part::Failed { grouping: owned(grouping) },
            Part::Delete { grouping } => Part::Delete { grouping: owned(grouping) },
            Part::DeleteSource { grouping, source, seen, keeps_totals } => {
                let source = Cow::Owned(source.into_owned());
                Part::DeleteSource { grouping: owned(grouping), source, seen, keeps_totals }
            }
            Part::DropSeries { grouping, which } => Part::DropSeries { grouping: owned(grouping), which },
            Part::Expire { grouping, seen } => Part::Expire { grouping: owned(grouping), seen },
            Part::DeleteMatching { filter, survey } => Part::DeleteMatching { filter, survey },
            Part::ExpireSeries { grouping, families, sight } => {
                Part::ExpireSeries { grouping: owned(grouping), families, sight }
            }
            Part::Wipe => Part::Wipe,
        });
        Transaction { parts: parts.collect(), key: self.key }
    }
}

/// The result of a request that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied.
    Applied,
    /// It was a deletion by selector, and took this.
    Deleted(Arc<Deleted>),
    /// It was applied, and seems to repeat what its process had pushed before.
    Repeating {
        /// Whether this is noticed in the group for the first time.
        is_new: bool,
    },
    /// A rule drops it, so nothing changed.
    Dropped,
    /// A request with the same idempotency key was applied before, so nothing changed.
    Replayed,
}

impl Outcome {
    /// The outcome of an applied push with this result of
    /// [`Group::note_session`](crate::store::group::Group::note_session).
    pub(super) fn of(repeats: Option<bool>) -> Outcome {
        repeats.map_or(Outcome::Applied, |is_new| Outcome::Repeating { is_new })
    }
}

/// Why a request changed nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The push breaks a rule or contradicts existing metrics.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// It would exceed a limit of the store.
    #[error(transparent)]
    Full(#[from] StoreFull),
    /// Its idempotency key was used before with another request.
    #[error(
        "the idempotency key was used before with another body: send what was sent then, or use a new key"
    )]
    KeyReused,
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Rejection {
        Rejection::Refused(Box::new(refusal))
    }
}
