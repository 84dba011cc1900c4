//! What of a deletion can be found out before it is applied, without a lock.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{Conditions, DeletionFilter, Verdict, matching};
use crate::store::Store;
use crate::store::family::Family;

/// Which series match in the families that their labels had to be looked at of. As long as a family has the same
/// epoch, its series stand where they stood, and there are only more of them.
#[derive(Debug, Default)]
pub struct Survey(HashMap<u64, Seen, RandomState>);

#[derive(Debug)]
struct Seen {
    len: u32,
    positions: Vec<u32>,
}

impl Survey {
    /// The positions of all series of a family that match. Only those that came after the survey are looked at.
    pub(super) fn completed(&self, family: &Family, conditions: &[Conditions<'_>]) -> Vec<u32> {
        let seen = self.0.get(&family.epoch).filter(|seen| seen.len <= family.series_count());
        let (len, mut positions) =
            seen.map_or_else(Default::default, |seen| (seen.len, seen.positions.clone()));
        positions.extend(matching(family, len, conditions));
        positions
    }

    /// How much memory it takes, in bytes, roughly.
    pub(in crate::store) fn size(&self) -> usize {
        let size = |seen: &Seen| size_of::<(u64, Seen)>() + size_of_val(&*seen.positions);
        self.0.values().map(size).sum()
    }
}

impl Store {
    /// Looks for the series that a deletion takes, group by group, while pushes go on.
    pub fn survey(&self, filter: &DeletionFilter) -> Survey {
        let mut survey = Survey::default();
        let mut keys = Vec::new();
        self.groups.each(|group| {
            if !group.is_source() && filter.needs_labels(group) {
                keys.push(group.labels.key.clone());
            }
        });
        for key in keys {
            let Some(group) = self.groups.get(&key) else { continue };
            for family in group.families() {
                if let Verdict::Some(conditions) = filter.verdict(&group.labels, family) {
                    let positions = matching(family, 0, &conditions).collect();
                    survey.0.insert(family.epoch, Seen { len: family.series_count(), positions });
                }
            }
        }
        survey
    }
}
