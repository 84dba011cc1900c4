//! What rules say of values, as numbers in rows.

use crate::model::merge::{Fold, Merge};

/// What rules say of values, by their numbers in a row. 0 is none.
pub(in crate::persistence) const RULES: [Merge; 9] = [
    Merge::Add,
    Merge::Last,
    Merge::Least,
    Merge::Greatest,
    Merge::Fold(Fold::Sum),
    Merge::Fold(Fold::Min),
    Merge::Fold(Fold::Max),
    Merge::Fold(Fold::Mean),
    Merge::Fold(Fold::Count),
];

/// The number of what a rule says of values.
pub(in crate::persistence) fn rule_number(rule: Merge) -> u8 {
    RULES.iter().position(|known| *known == rule).map_or(0, |at| at as u8 + 1)
}
