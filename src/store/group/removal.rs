//! How series leave a group one by one.

use std::sync::Arc;

use crate::store::group::{Group, Restructuring};
use crate::store::selection::Selected;

impl Group {
    /// Takes out these series. A family that is left without any goes; the group stays.
    pub(in crate::store) fn remove_series(&mut self, gone: &[Selected], with: &mut Restructuring<'_>) {
        for Selected { family: name, positions } in gone {
            let Ok(at) = self.position(name) else { continue };
            let family = &self.families[at];
            self.series -= u64::from(family.series_count());
            self.family_bytes -= family.bytes();
            if positions.len() >= family.series_count() as usize {
                let family = self.families.remove(at);
                self.release_family(&family, with.definitions);
                continue;
            }
            let is_listed = with.definitions.is_listed(name);
            if is_listed {
                with.definitions.unlist(name, &self.labels.key, family.blocks_from(0));
            }
            *with.next_epoch += 1;
            let family = Arc::make_mut(&mut self.families[at]);
            family.remove(positions, *with.next_epoch);
            if is_listed {
                with.definitions.list(name, &self.labels.key, family.blocks_from(0));
            }
            self.series += u64::from(family.series_count());
            self.family_bytes += family.bytes();
        }
    }
}
