//! How long a group and its series stay when nobody pushes.

use std::sync::Arc;

use crate::store::family::Family;
use crate::store::group::{Group, Restructuring};
use crate::store::piece::PIECE_ROWS;
use crate::store::sight::{Outlook, Sight};

/// A piece of a family of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct PieceAt {
    /// The metric name.
    pub(in crate::store) family: Arc<str>,
    /// The number of the piece.
    pub(in crate::store) number: u32,
}

/// When a group, or the first series of one of its pieces, may be over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct End {
    /// The piece; `None` for the group itself.
    pub(in crate::store) piece: Option<PieceAt>,
    /// In nanoseconds since the epoch.
    pub(in crate::store) deadline: i64,
}

impl Group {
    /// How long the group stays when nobody pushes to it, in nanoseconds; `None` where it stays for good.
    pub fn ttl(&self) -> Option<i64> {
        self.rare.as_ref()?.ttl
    }

    /// Gives a group the TTL of a push, or that it had before.
    pub(in crate::store) fn set_ttl(&mut self, ttl: Option<i64>) {
        if self.ttl() != ttl {
            self.rare.get_or_insert_default().ttl = ttl;
        }
    }

    /// Whether the group is over earlier with this TTL than with the one that it has. Where it is not, the deadline
    /// that it has is early enough.
    pub(in crate::store) fn is_shortened_by(&self, ttl: Option<i64>) -> bool {
        ttl.is_some_and(|ttl| self.ttl().is_none_or(|before| ttl < before))
    }

    /// Looks whether the group is over, or series of a piece of it; `None` where nothing there ever is.
    pub(in crate::store) fn outlook(&self, piece: Option<&PieceAt>, sight: Sight) -> Option<Outlook> {
        match piece {
            Some(piece) => self.family(&piece.family)?.outlook(piece.number, sight),
            None => {
                let mut outlook = Outlook::default();
                outlook.add(self.times.quiet_since(), self.ttl()?, sight);
                Some(outlook)
            }
        }
    }

    /// When the group and the first series of each of its pieces may be over.
    pub(in crate::store) fn ends(&self) -> Vec<End> {
        let mut ends = Vec::new();
        expect_group(self, &mut ends);
        self.families.iter().for_each(|family| expect_series(family, 0, &mut ends));
        ends
    }
}

impl Restructuring<'_> {
    /// The series of a family may be over, from the piece of this position on.
    pub(super) fn expect_series(&mut self, family: &Family, position: u32) {
        expect_series(family, position, &mut self.ends);
    }

    /// The group may be over.
    pub(super) fn expect_group(&mut self, group: &Group) {
        expect_group(group, &mut self.ends);
    }
}

fn expect_group(group: &Group, ends: &mut Vec<End>) {
    let deadline = |ttl| group.times.quiet_since().saturating_add(ttl);
    ends.extend(group.ttl().map(|ttl| End { piece: None, deadline: deadline(ttl) }));
}

fn expect_series(family: &Family, position: u32, ends: &mut Vec<End>) {
    let end = |(number, deadline)| {
        let piece = PieceAt { family: family.definition.name().clone(), number };
        End { piece: Some(piece), deadline }
    };
    ends.extend(family.ends_from(position / PIECE_ROWS as u32).map(end));
}
