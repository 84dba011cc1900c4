//! How a push changes its group, by its method.

use crate::model::kind::Kind;
use crate::model::merge::{Merge, reconciled};
use crate::model::push;
use crate::store::family::Family;

/// How a family of a push is applied to the family of the same name in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyRule {
    /// Series by series: values that add are added, others are replaced. Series that are not pushed stay.
    Merge,
    /// The pushed family replaces the old one.
    Replace,
}

/// What happens to families of a group that a push does not mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// They stay.
    Keep,
    /// Families that add stay, others are removed.
    DropReplaced,
    /// They are removed.
    Drop,
}

/// How a push changes its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Semantics {
    /// For the families that add.
    pub adding: FamilyRule,
    /// For the other families.
    pub replacing: FamilyRule,
    /// For families that the push does not mention.
    pub absent: Absent,
    /// Whether an untyped family and a typed one with the same storage may stand for each other.
    pub reconciles: bool,
    /// Whether other sources push to the group: then what is folded of their values stays.
    pub is_shared: bool,
    /// Whether the source of the push only counts in a group that has sources. In others it is as if it had none.
    pub source_if_shared: bool,
}

impl Semantics {
    /// A push replaces existing metrics, family by family.
    pub fn replacing(reconciles: bool) -> Semantics {
        Semantics {
            adding: FamilyRule::Replace,
            replacing: FamilyRule::Replace,
            absent: Absent::Keep,
            reconciles,
            is_shared: false,
            source_if_shared: false,
        }
    }

    /// A push is merged with existing metrics, series by series.
    pub fn merging() -> Semantics {
        Semantics { adding: FamilyRule::Merge, replacing: FamilyRule::Merge, ..Semantics::replacing(true) }
    }

    /// How this pushed family is applied to the existing one.
    pub fn rule(&self, pushed: &push::Family) -> FamilyRule {
        match pushed.merge {
            _ if pushed.is_whole => FamilyRule::Replace,
            Merge::Fold(_) if self.is_shared => FamilyRule::Merge,
            merge if merge.replaces() => self.replacing,
            _ => self.adding,
        }
    }

    /// The type of a family after a push with type `pushed`. If the types conflict, that of the push.
    pub(super) fn kind_after(&self, live: Kind, name: &str, pushed: Kind) -> Kind {
        let kind = if self.reconciles { reconciled(live, name, pushed) } else { live.joined(pushed) };
        kind.unwrap_or(pushed)
    }

    /// Whether a push removes a family of the group that it does not mention.
    pub fn drops(&self, family: &Family) -> bool {
        match self.absent {
            Absent::Keep => false,
            _ if self.is_shared && family.fold().is_some() => false,
            Absent::DropReplaced => family.merge_rule().replaces(),
            Absent::Drop => true,
        }
    }
}
