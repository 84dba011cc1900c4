//! Selects series of a group.

use std::fmt;
use std::sync::Arc;

use crate::store::family::Family;
use crate::store::group::Group;
use crate::store::sight::Sight;

/// A series of a group by its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesName {
    /// The metric name.
    pub family: Arc<str>,
    /// The label block.
    pub block: Box<str>,
}

impl SeriesName {
    /// How much memory it takes, in bytes.
    pub fn size(&self) -> usize {
        size_of::<SeriesName>() + self.block.len()
    }
}

/// Says by metric name and label block whether a series is selected.
pub type Matches = dyn Fn(&str, &str) -> bool + Send + Sync;

/// Some series of a group.
#[derive(Clone)]
pub enum Selection {
    /// The listed series, as far as they exist.
    Listed(Vec<Arc<SeriesName>>),
    /// The series for which this returns true.
    Matching(Arc<Matches>),
}

impl Selection {
    /// Selects the series for which `matches` is true. It gets metric name and label block.
    pub fn matching(matches: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Selection {
        Selection::Matching(Arc::new(matches))
    }

    /// How much memory it takes, in bytes.
    pub fn size(&self) -> usize {
        match self {
            Selection::Listed(series) => series.iter().map(|series| series.size()).sum(),
            Selection::Matching(_) => size_of::<Selection>(),
        }
    }

    /// The families of a group that have selected series, with the sorted positions of these.
    pub(super) fn positions_in(&self, group: &Group) -> Vec<Selected> {
        match self {
            Selection::Listed(series) => listed(series, group),
            Selection::Matching(matches) => {
                let families = group.families().iter();
                families.filter_map(|family| Selected::of(family, matching(family, matches))).collect()
            }
        }
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selection::Listed(series) => f.debug_tuple("Listed").field(series).finish(),
            Selection::Matching(_) => f.write_str("Matching"),
        }
    }
}

/// Some series of one family.
#[derive(Debug)]
pub(super) struct Selected {
    /// The metric name.
    pub(super) family: Arc<str>,
    /// Their sorted positions. Never empty.
    pub(super) positions: Vec<u32>,
}

impl Selected {
    /// The series of these families whose TTL is over.
    pub(super) fn over(families: &[Arc<str>], group: &Group, sight: Sight) -> Vec<Selected> {
        let families = families.iter().filter_map(|name| group.family(name));
        families.filter_map(|family| Selected::of(family, family.over(sight))).collect()
    }

    pub(super) fn of(family: &Family, positions: Vec<u32>) -> Option<Selected> {
        let family = family.definition.name().clone();
        (!positions.is_empty()).then_some(Selected { family, positions })
    }
}

fn matching(family: &Family, matches: &Arc<Matches>) -> Vec<u32> {
    let name = family.definition.name();
    (0..).zip(family.blocks_from(0)).filter(|(_, block)| matches(name, block)).map(|(at, _)| at).collect()
}

fn listed(series: &[Arc<SeriesName>], group: &Group) -> Vec<Selected> {
    let mut series: Vec<&SeriesName> = series.iter().map(|series| &**series).collect();
    series.sort_unstable();
    let of_family = |series: &[&SeriesName]| {
        let family = group.family(&series.first()?.family)?;
        let mut positions: Vec<u32> = series.iter().filter_map(|series| family.find(&series.block)).collect();
        positions.sort_unstable();
        positions.dedup();
        Selected::of(family, positions)
    };
    series.chunk_by(|a, b| a.family == b.family).filter_map(of_family).collect()
}
