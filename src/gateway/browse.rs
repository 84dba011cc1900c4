//! Queries of the store, a page at a time: groups, the families of a group, and the series of a family.
//!
//! A query looks at all groups, or at all series of the family, and copies only what is on the page. It stops when
//! the client has gone.

mod filter;
mod sources;
mod state;

use std::cmp::Ordering;
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::gateway::Gateway;
use crate::gateway::refusals::Refused;
use crate::model::labels::Pair;
use crate::store::group_labels::GroupLabels;
use crate::store::order::{Entry, Slot, sorted};
use crate::store::piece::{PIECE_ROWS, Piece};
use crate::store::times::Times;
use crate::store::{FamilySeries, FamilySummary, GroupView, SeriesView};

use filter::own_labels;
pub use filter::{GroupFilter, MAX_WORDS, SeriesFilter, TooManyWords};
pub use sources::{SourceQuery, SourceSort};
use state::has_failed;
pub(super) use state::{GroupState, STALE_AFTER};

/// A page of at most this many matching series is sorted on its own. For more, the order is kept as it is for
/// scrapes.
const SORTED_AT_ONCE: usize = 2048;

/// How many groups a list holds while it is made, beside those up to the end of its page.
const GROUPS_AT_ONCE: usize = 8192;

/// A query for groups, with their order.
#[derive(Debug)]
pub struct GroupQuery {
    /// The words that they must match.
    pub words: GroupFilter,
    /// The sort key. Groups with equal values are sorted by group key.
    pub sort: GroupSort,
    /// Whether the order is descending.
    pub is_descending: bool,
    /// The part of the list to return.
    pub window: Window,
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many items before it are skipped.
    pub offset: usize,
    /// The maximum number of items.
    pub limit: usize,
}

/// Tells a query whether its client still waits.
#[derive(Clone, Debug, Default)]
pub struct Asker(Arc<AtomicBool>);

impl Asker {
    /// Marks the client as gone.
    pub fn leave(&self) {
        self.0.store(true, Memory::Relaxed);
    }

    /// Whether the client has gone.
    pub fn has_left(&self) -> bool {
        self.0.load(Memory::Relaxed)
    }

    fn still_waits(&self) -> Result<(), Missing> {
        if self.has_left() { Err(Missing::Asker) } else { Ok(()) }
    }
}

/// Why a query has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The client has gone.
    #[error("the client has gone")]
    Asker,
    /// There is no such group.
    #[error("there is no such group: it was deleted, or never there")]
    Group,
    /// The group has no such family.
    #[error("the group has no family of this name")]
    Family,
}

/// What groups are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSort {
    /// Their job, then their other labels.
    Name,
    /// The latest accepted push.
    Pushed,
    /// The number of series.
    Size,
    /// The number of accepted pushes.
    Pushes,
}

/// The entry of a group in a list.
#[derive(Debug)]
pub struct GroupSummary {
    /// The labels.
    pub labels: Arc<GroupLabels>,
    /// When it was pushed to, and how often.
    pub times: Times,
    /// The last push that was refused, if that is known.
    pub refused: Option<Arc<Refused>>,
    /// Whether a process seems to push running totals to it, which would count twice.
    pub has_running_totals: bool,
    /// How many families it has.
    pub families: u64,
    /// How many series it has, not counting the two that the gateway adds.
    pub series: u64,
}

impl GroupSummary {
    /// Whether its last push was refused, even if that could not be read.
    pub fn has_failed(&self) -> bool {
        has_failed(self.times, self.refused.as_deref())
    }
}

/// A page of a list of groups.
#[derive(Debug, Default)]
pub struct GroupPage {
    /// How many groups there are.
    pub total: u64,
    /// How many match.
    pub matching: u64,
    /// How many series all groups have.
    pub total_series: u64,
    /// How many series the matching groups have.
    pub series: u64,
    /// The groups on the page.
    pub groups: Vec<GroupSummary>,
}

/// A group with its families.
#[derive(Debug)]
pub struct GroupDetail {
    /// The entry of the group in a list.
    pub summary: GroupSummary,
    /// Its families, sorted by name.
    pub families: Vec<FamilySummary>,
    /// How many sources it has.
    pub sources: usize,
}

/// Some sources of a group.
#[derive(Debug)]
pub struct SourcePage {
    /// How many sources the group has.
    pub total: usize,
    /// The sources, in order, with what they remember.
    pub sources: Vec<GroupView>,
}

/// The labels of a series that a source remembers, without those of its group.
pub fn source_labels<'a>(source: &'a GroupView, block: &'a str) -> impl Iterator<Item = Pair<'a>> {
    own_labels(&source.labels, block)
}

/// A page of the series of a family of a group.
#[derive(Debug)]
pub struct SeriesPage {
    family: FamilySeries,
    /// How many series match.
    pub matching: u64,
    positions: Vec<u32>,
}

impl SeriesPage {
    /// The summary of the family, as in a list.
    pub fn family(&self) -> &FamilySummary {
        &self.family.summary
    }

    /// The series, in the order of a scrape.
    pub fn series(&self) -> impl Iterator<Item = SeriesView<'_>> {
        let rows = self.positions.iter().filter_map(|&position| row_at(&self.family, position));
        rows.map(|(piece, row)| SeriesView::of(piece, row))
    }

    /// The labels of a series of the page, without those that all series of its group have.
    pub fn labels_of<'a>(&'a self, block: &'a str) -> impl Iterator<Item = Pair<'a>> {
        own_labels(&self.family.group, block)
    }
}

fn row_at(family: &FamilySeries, position: u32) -> Option<(&Piece, usize)> {
    let piece = family.pieces.get(position as usize / PIECE_ROWS)?;
    Some((piece, position as usize % PIECE_ROWS))
}

/// Returns the items of the window, sorted. Sorts no more than these.
fn cut<T>(mut items: Vec<T>, window: Window, mut compare: impl FnMut(&T, &T) -> Ordering) -> Vec<T> {
    let end = window.offset.saturating_add(window.limit).min(items.len());
    let start = window.offset.min(end);
    if end < items.len() {
        items.select_nth_unstable_by(end, &mut compare);
        items.truncate(end);
    }
    if start > 0 && start < end {
        items.select_nth_unstable_by(start, &mut compare);
    }
    let mut page = items.split_off(start);
    page.sort_unstable_by(compare);
    page
}

impl GroupQuery {
    fn compare(&self, a: &GroupSummary, b: &GroupSummary) -> Ordering {
        let by_key = || a.labels.key.cmp(&b.labels.key);
        let order = match self.sort {
            GroupSort::Name => a.labels.job().cmp(b.labels.job()).then_with(by_key),
            GroupSort::Pushed => a.times.pushed_at.cmp(&b.times.pushed_at),
            GroupSort::Size => a.series.cmp(&b.series),
            GroupSort::Pushes => a.times.pushes.cmp(&b.times.pushes),
        };
        if self.is_descending { order.reverse() } else { order }.then_with(by_key)
    }
}

impl Gateway {
    /// The groups of a page.
    ///
    /// # Errors
    ///
    /// If the client has gone.
    pub fn browse_groups(&self, query: &GroupQuery, asker: &Asker) -> Result<GroupPage, Missing> {
        let mut page = GroupPage::default();
        let end = query.window.offset.saturating_add(query.window.limit);
        // Makes one large list at a time, so that concurrent lists together hold all groups at most once.
        let _deep = (end > GROUPS_AT_ONCE).then(|| self.deep_lists.enter());
        let mut matcher = query.words.matcher();
        let (refusals, now) = (self.last_refusals(), self.clock.now().nanos);
        asker.still_waits()?;
        self.store.visit_groups(|group| {
            if asker.has_left() {
                return;
            }
            let count = |(families, series), (_, len)| (families + 1, series + u64::from(len));
            let (families, series) = group.families().fold((0u64, 0u64), count);
            page.total += 1;
            page.total_series += series;
            let (labels, times) = (group.labels(), group.times);
            let refused = refusals.get(&labels.key);
            let state = GroupState::of(&group, refused.map(|refused| &**refused), now);
            if matcher.matches(labels, state, group.families().map(|(name, _)| &**name)) {
                page.matching += 1;
                page.series += series;
                let (labels, refused) = (labels.clone(), refused.cloned());
                page.groups.push(GroupSummary {
                    labels,
                    times,
                    refused,
                    has_running_totals: state.is_suspicious,
                    families,
                    series,
                });
                if page.groups.len() >= end.saturating_mul(2).saturating_add(GROUPS_AT_ONCE) {
                    // Drops the groups behind the page.
                    page.groups.select_nth_unstable_by(end, |a, b| query.compare(a, b));
                    page.groups.truncate(end);
                }
            }
        });
        asker.still_waits()?;
        page.groups = cut(page.groups, query.window, |a, b| query.compare(a, b));
        Ok(page)
    }

    /// The group with this key and its families. `None` if it does not exist.
    pub fn browse_group(&self, key: &str) -> Option<GroupDetail> {
        let sources = self.store.source_count(key);
        self.store.visit_group(key, |group| {
            let families = group.summaries();
            let summary = GroupSummary {
                labels: group.labels().clone(),
                times: group.times,
                refused: self.last_refusal(key),
                has_running_totals: group.has_running_totals(),
                families: families.len() as u64,
                series: families.iter().map(|family| u64::from(family.series)).sum(),
            };
            GroupDetail { summary, families, sources }
        })
    }

    /// Series of a family of the group with this key.
    ///
    /// # Errors
    ///
    /// If the group or the family does not exist, or the client has gone.
    pub fn browse_series(
        &self,
        key: &str,
        family: &str,
        words: &SeriesFilter,
        window: Window,
        asker: &Asker,
    ) -> Result<SeriesPage, Missing> {
        asker.still_waits()?;
        let family = self.store.family(key, family);
        let family = family.ok_or(Missing::Group)?.ok_or(Missing::Family)?;
        let matching = if words.is_empty() { None } else { Some(Matching::of(&family, words, asker)?) };
        let count = matching.as_ref().map_or(family.extent.len as usize, |matching| matching.count);
        let entries = if window.limit == 0 || window.offset >= count {
            Vec::new()
        } else {
            self.in_order(&family, matching, count, window)
        };
        let positions = entries.iter().map(|entry| entry.position).collect();
        Ok(SeriesPage { family, matching: count as u64, positions })
    }

    /// The series of the window among the matching ones, in the order of a scrape.
    fn in_order(
        &self,
        family: &FamilySeries,
        matching: Option<Matching>,
        count: usize,
        window: Window,
    ) -> Vec<Entry> {
        let FamilySeries { slot, extent, .. } = *family;
        let name = &*family.summary.name;
        let block = |position| family.pieces.block(position);
        let is_wanted = |position| matching.as_ref().is_none_or(|matching| matching.has(position));
        if count <= SORTED_AT_ONCE {
            let positions = (0..extent.len).filter(|position| is_wanted(*position));
            let entries = positions.map(|position| Entry { slot, position }).collect();
            let entries = sorted(entries, |entry| block(entry.position));
            return entries.into_iter().skip(window.offset).take(window.limit).collect();
        }
        let orders = self.store.orders();
        if orders.unordered(name, slot, extent) as usize > SORTED_AT_ONCE {
            // Sorts the whole family as a scrape does, so that the next scrape need not sort it again.
            let snapshot = self.store.snapshot();
            if let Ok(at) = snapshot.families.binary_search_by(|family| (**family.name()).cmp(name)) {
                self.order_of(&snapshot.families[at]);
            }
        }
        orders.of_slot(name, Slot { slot, extent }, (window.offset, window.limit), is_wanted, block)
    }
}

/// Lets one caller in at a time.
#[derive(Debug, Default)]
pub(super) struct OneByOne(Mutex<()>);

impl OneByOne {
    fn enter(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which series match, one bit each.
struct Matching {
    bits: Vec<u64>,
    count: usize,
}

impl Matching {
    fn of(family: &FamilySeries, words: &SeriesFilter, asker: &Asker) -> Result<Matching, Missing> {
        let len = family.extent.len;
        let mut matching = Matching { bits: vec![0; (len as usize).div_ceil(64)], count: 0 };
        let mut matcher = words.matcher(&family.group);
        for (first, piece) in (0..).step_by(PIECE_ROWS).zip(family.pieces.iter()) {
            asker.still_waits()?;
            matcher.rows(piece, |row| {
                let position = first + row as u32;
                // The extent decides how many series there are, as everywhere.
                if position < len {
                    matching.bits[position as usize / 64] |= 1 << (position % 64);
                    matching.count += 1;
                }
            });
        }
        Ok(matching)
    }

    fn has(&self, position: u32) -> bool {
        self.bits[position as usize / 64] & 1 << (position % 64) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_window_is_what_sorting_all_would_show(
            items in prop::collection::vec(any::<(u8, u8)>(), 0..60),
            offset in prop_oneof![0usize..70, Just(usize::MAX)],
            limit in prop_oneof![0usize..70, Just(usize::MAX)],
        ) {
            let mut all = items.clone();
            all.sort();
            let expected: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
            prop_assert_eq!(cut(items, Window { offset, limit }, Ord::cmp), expected);
        }
    }
}
