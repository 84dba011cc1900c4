//! What a scrape sees: shared pointers to everything, taken shard by shard.
//!
//! A snapshot holds no guard. Pushes go on beside it; they copy the pieces that it shares.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::model::kind::Kind;
use crate::store::change::{Times, Tracking};
use crate::store::definition::Definition;
use crate::store::family::Pieces;
use crate::store::group::{Group, GroupLabels};
use crate::store::order::{Entry, Extent};
use crate::store::piece::{PIECE_ROWS, Piece};

/// All families of all groups, and the groups' own times.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The families, sorted by name.
    pub families: Vec<SnapshotFamily>,
    /// The groups by slot.
    pub groups: Slots<GroupTimes>,
}

/// One family across all groups.
#[derive(Debug)]
pub struct SnapshotFamily {
    definition: Arc<Definition>,
    /// The type.
    pub kind: Kind,
    help: Told,
    unit: Told,
    members: Slots<Pieces>,
}

/// A text that groups may tell differently: the one of the smallest group key, so that it is the same in
/// every snapshot.
#[derive(Debug, Default)]
struct Told(Option<Box<Known>>);

#[derive(Debug)]
struct Known {
    group: Arc<str>,
    text: Arc<str>,
}

impl Told {
    fn add(&mut self, group: &Arc<str>, text: Option<&Arc<str>>) {
        let Some(text) = text else { return };
        match &mut self.0 {
            None => self.0 = Some(Box::new(Known { group: group.clone(), text: text.clone() })),
            Some(known) if known.group <= *group => {}
            Some(known) => {
                known.group.clone_from(group);
                if !Arc::ptr_eq(&known.text, text) {
                    known.text.clone_from(text);
                }
            }
        }
    }

    fn get(&self) -> Option<&str> {
        self.0.as_ref().map(|known| &*known.text)
    }
}

/// When a group was last pushed to.
#[derive(Debug)]
pub struct GroupTimes {
    labels: Arc<GroupLabels>,
    /// The latest accepted push, in nanoseconds since the epoch; 0 for never.
    pub pushed_at: i64,
    /// The latest refused push, in nanoseconds since the epoch; 0 for never.
    pub failed_at: i64,
}

impl GroupTimes {
    /// The label block of the group's own series.
    pub fn block(&self) -> &str {
        &self.labels.series_block
    }

    /// Whether any of its label names needs quotes.
    pub fn has_quoted_names(&self) -> bool {
        self.labels.has_quoted_names
    }
}

/// Items by slot, each with the extent that the order of a family depends on. There can be very many families, of
/// one group each.
#[derive(Debug)]
pub struct Slots<T> {
    items: SmallVec<[Option<T>; 1]>,
    extents: SmallVec<[Extent; 1]>,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { items: SmallVec::new(), extents: SmallVec::new() }
    }
}

impl<T> Slots<T> {
    fn set(&mut self, slot: u32, extent: Extent, item: T) {
        let slot = slot as usize;
        if self.items.len() <= slot {
            self.items.resize_with(slot + 1, || None);
            self.extents.resize(slot + 1, Extent::default());
        }
        self.items[slot] = Some(item);
        self.extents[slot] = extent;
    }

    /// The item in this slot.
    pub fn get(&self, slot: u32) -> Option<&T> {
        self.items.get(slot as usize)?.as_ref()
    }

    /// The extents of all slots; that of an empty one is zero.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }
}

impl SnapshotFamily {
    /// The metric name.
    pub fn name(&self) -> &Arc<str> {
        self.definition.name()
    }

    /// The help text: of the groups that have one, that of the smallest key.
    pub fn help(&self) -> Option<&str> {
        self.help.get()
    }

    /// The unit, by the same rule.
    pub fn unit(&self) -> Option<&str> {
        self.unit.get()
    }

    /// The extents of the groups that have the family.
    pub fn extents(&self) -> &[Extent] {
        self.members.extents()
    }

    /// The piece that holds a series, and its row there.
    #[inline]
    pub fn row(&self, entry: Entry) -> Option<(&Piece, usize)> {
        let position = entry.position as usize;
        let piece = self.members.get(entry.slot)?.get(position / PIECE_ROWS)?;
        Some((piece, position % PIECE_ROWS))
    }

    /// All series, in no order of theirs: as pieces, with how many rows of each count.
    pub fn pieces(&self) -> impl Iterator<Item = (&Piece, usize)> {
        let slots = self.members.items.iter().zip(&self.members.extents);
        slots.filter_map(|(pieces, extent)| Some((pieces.as_ref()?, extent.len as usize))).flat_map(
            |(pieces, len)| {
                let rows = move |at: usize| len.saturating_sub(at * PIECE_ROWS).min(PIECE_ROWS);
                pieces.iter().enumerate().map(move |(at, piece)| (&**piece, rows(at)))
            },
        )
    }

    /// The label block of a series.
    pub fn block(&self, entry: Entry) -> &str {
        self.row(entry).map_or("", |(piece, row)| piece.block(row))
    }
}

/// Collects a [`Snapshot`] group by group.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    snapshot: Snapshot,
    positions: HashMap<usize, usize, RandomState>,
}

impl SnapshotBuilder {
    /// A builder with room for so many families, and no more than that.
    pub fn with_capacity(families: usize) -> SnapshotBuilder {
        let mut builder = SnapshotBuilder::default();
        builder.snapshot.families.reserve_exact(families);
        builder.positions.reserve(families);
        builder
    }

    /// Adds what is published of a group.
    pub fn add(&mut self, group: &Group, tracking: Tracking) {
        let Some(Times { pushed_at, failed_at, .. }) = group.published_times(tracking) else { return };
        let times = GroupTimes { labels: group.labels.clone(), pushed_at, failed_at };
        self.snapshot.groups.set(group.slot, Extent { epoch: group.epoch, len: 1 }, times);
        for family in group.published_families() {
            let Some(published) = family.published(tracking) else { continue };
            let families = &mut self.snapshot.families;
            let identity = Arc::as_ptr(published.definition) as usize;
            let at = *self.positions.entry(identity).or_insert_with(|| {
                families.push(SnapshotFamily {
                    definition: published.definition.clone(),
                    kind: published.definition.published_kind(),
                    help: Told::default(),
                    unit: Told::default(),
                    members: Slots::default(),
                });
                families.len() - 1
            });
            let all = &mut families[at];
            let extent = Extent { epoch: published.epoch, len: published.len };
            all.members.set(family.slot, extent, published.pieces);
            all.help.add(&group.labels.key, published.metadata.help.as_ref());
            all.unit.add(&group.labels.key, published.metadata.unit.as_ref());
        }
    }

    /// The snapshot of what was added.
    pub fn finish(mut self) -> Snapshot {
        self.snapshot.families.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        self.snapshot
    }
}
