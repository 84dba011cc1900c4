//! What a request changes, as one value, and what becomes of it.

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
    /// The idempotency key, with which it counts once.
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
    /// A push to a group was refused before it reached the store, which is noted in the group.
    Failed {
        /// The group.
        grouping: Cow<'a, Grouping<'a>>,
    },
    /// A group goes, if it is there.
    Delete {
        /// The group.
        grouping: Cow<'a, Grouping<'a>>,
    },
    /// Some series of a group go, one by one, as far as they are there. The group stays.
    DropSeries {
        /// The group.
        grouping: Cow<'a, Grouping<'a>>,
        /// The series.
        which: Selection,
    },
    /// A group goes if nothing was pushed to it since somebody looked: what comes in between is not lost.
    Expire {
        /// The group.
        grouping: Cow<'a, Grouping<'a>>,
        /// The times that the group had then.
        seen: Times,
    },
    /// All groups go.
    Wipe,
}

impl<'a> Part<'a> {
    /// The group that it is about, if it is about one.
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
    /// One change, without an idempotency key.
    pub fn of(part: Part<'a>) -> Transaction<'a> {
        Transaction { parts: smallvec![part], key: None }
    }

    /// The same with an idempotency key, if there is one.
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

    /// The same with its own labels, to be kept for later.
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

/// What became of a request that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied.
    Applied,
    /// It was applied, and seems to repeat what its process had pushed before.
    Repeating {
        /// Whether that is noticed in its group for the first time.
        is_new: bool,
    },
    /// A request with its idempotency key had been applied before, so nothing was changed.
    Replayed,
}

impl Outcome {
    /// The outcome of a push that was applied, and of which this was noticed; see
    /// [`Group::note_session`](crate::store::group::Group::note_session).
    pub(super) fn of(repeats: Option<bool>) -> Outcome {
        repeats.map_or(Outcome::Applied, |is_new| Outcome::Repeating { is_new })
    }
}

/// Why a request changed nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The push breaks a rule or contradicts what is there.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// It would bring the store over a limit.
    #[error(transparent)]
    Full(#[from] StoreFull),
    /// Its idempotency key came with another request before.
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
