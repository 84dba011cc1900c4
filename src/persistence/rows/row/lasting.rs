//! How long groups and series stay, as rows have it.

use serde::{Deserialize, Serialize as DeriveSerialize};

use crate::store::family::{Family, Lasting};

/// How long a group stays, and the series of the families whose values are in its row. Written at the end, if there is
/// anything of it.
#[derive(Debug, Default, DeriveSerialize, Deserialize)]
pub(in crate::persistence) struct GroupTermsRow {
    pub(in crate::persistence) ttl: Option<i64>,
    /// By the numbers of the families, ascending.
    pub(in crate::persistence) families: Vec<(u32, LastingRow)>,
}

/// How long the series of a family stay, and when those of a piece were pushed last.
#[derive(Debug, DeriveSerialize, Deserialize)]
pub(in crate::persistence) struct LastingRow {
    /// What the family has, as [`Lasting`]; only in the row of its first piece.
    pub(in crate::persistence) family: Option<(i64, i64)>,
    /// Each less the push time that stands before the values; empty where it is not known.
    pub(in crate::persistence) pushed: Vec<i64>,
}

impl LastingRow {
    pub(in crate::persistence) fn of(family: &Family, number: usize) -> Option<LastingRow> {
        let Lasting { ttl, since } = family.lasting()?;
        let pushed = family.pieces().get(number).map_or(&[][..], |piece| piece.pushed());
        let pushed = pushed.iter().map(|pushed| pushed.wrapping_sub(family.pushed_at)).collect();
        Some(LastingRow { family: (number == 0).then_some((ttl, since)), pushed })
    }
}
