//! The changes of a request as one value, and their result.

use std::borrow::Cow;

use smallvec::{SmallVec, smallvec};

use crate::model::grouping::Grouping;
use crate::model::limits::StoreFull;
use crate::model::push::Push;
use crate::model::refusal::Refusal;
use crate::store::idempotency::Key;
use crate::store::selection::Selection;
use crate::store::semantics::Semantics;
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
            | Part::DropSeries { grouping, .. }
            | Part::Expire { grouping, .. } => Some(grouping),
            Part::Wipe => None,
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

    /// How much memory the pushes and lists of series take, in bytes.
    pub fn size(&self) -> usize {
        let size = |part: &Part<'_>| match part {
            Part::Push { push, .. } => push.size(),
            Part::DropSeries { which, .. } => which.size(),
            _ => 0,
        };
        self.parts.iter().map(size).sum()
    }

    /// A copy that owns its labels, for the queue.
    pub fn into_static(self) -> Transaction<'static> {
        let owned = |grouping: Cow<'a, Grouping<'a>>| Cow::Owned(grouping.to_static());
        let parts = self.parts.into_iter().map(|part| match part {
            Part::Push { grouping, push, semantics } => {
                Part::Push { grouping: owned(grouping), push, semantics }
            }
            Part::Failed { grouping } => Part::Failed { grouping: owned(grouping) },
            Part::Delete { grouping } => Part::Delete { grouping: owned(grouping) },
            Part::DropSeries { grouping, which } => Part::DropSeries { grouping: owned(grouping), which },
            Part::Expire { grouping, seen } => Part::Expire { grouping: owned(grouping), seen },
            Part::Wipe => Part::Wipe,
        });
        Transaction { parts: parts.collect(), key: self.key }
    }
}

/// The result of a request that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied.
    Applied,
    /// It was applied, and seems to repeat what its process had pushed before.
    Repeating {
        /// Whether this is noticed in the group for the first time.
        is_new: bool,
    },
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
