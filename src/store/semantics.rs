//! How a push changes its group, by its method.

use crate::model::kind::Kind;
use crate::model::merge::{Merge, reconciled};
use crate::model::push;
use crate::store::family::Family;

/// How a family of a push meets the family of the same name in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyRule {
    /// Series by series: values that add are added, others replaced; series not pushed stay.
    Merge,
    /// The pushed family takes the place of the old one.
    Replace,
}

/// What becomes of the families of a group that a push does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// They stay.
    Keep,
    /// Those that add stay, the others go.
    DropReplaced,
    /// They go.
    Drop,
}

/// How a push changes its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Semantics {
    /// For the families that add.
    pub adding: FamilyRule,
    /// For the other families.
    pub replacing: FamilyRule,
    /// For the families that the push does not have.
    pub absent: Absent,
    /// Whether untyped and typed values that are stored alike may stand for each other.
    pub reconciles: bool,
}

impl Semantics {
    /// What is pushed takes the place of what is there, family by family.
    pub fn replacing(reconciles: bool) -> Semantics {
        Semantics {
            adding: FamilyRule::Replace,
            replacing: FamilyRule::Replace,
            absent: Absent::Keep,
            reconciles,
        }
    }

    /// What is pushed is merged with what is there, series by series.
    pub fn merging() -> Semantics {
        Semantics { adding: FamilyRule::Merge, replacing: FamilyRule::Merge, ..Semantics::replacing(true) }
    }

    /// How this family of a push meets the one that is there.
    pub fn rule(&self, pushed: &push::Family) -> FamilyRule {
        if pushed.merge == Merge::Last { self.replacing } else { self.adding }
    }

    /// The type of a family after a push with this one; that of the push where types conflict.
    pub(super) fn kind_after(&self, live: Kind, name: &str, pushed: Kind) -> Kind {
        let kind = if self.reconciles { reconciled(live, name, pushed) } else { live.joined(pushed) };
        kind.unwrap_or(pushed)
    }

    /// Whether a family of the group that the push does not have goes.
    pub fn drops(&self, family: &Family) -> bool {
        match self.absent {
            Absent::Keep => false,
            Absent::DropReplaced => family.definition.merge() == Merge::Last,
            Absent::Drop => true,
        }
    }
}
