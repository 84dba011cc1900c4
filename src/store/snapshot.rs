//! What a scrape sees: shared pointers to all groups, arranged by family.
//!
//! A snapshot holds no guard. Pushes go on meanwhile, and copy the parts that they share with it.

use std::collections::HashMap;
use std::slice;
use std::sync::Arc;

use foldhash::fast::RandomState;
use prefetch_index::prefetch_index;
use smallvec::SmallVec;

use crate::model::kind::Kind;
use crate::model::merge::Merge;
use crate::store::definition::Definition;
use crate::store::family::Family;
use crate::store::fold::Folding;
use crate::store::group::Group;
use crate::store::group_labels::GroupLabels;
use crate::store::order::{Entry, Extent};
use crate::store::piece::{PIECE_ROWS, Piece};

/// How many families of a group are asked for before they are needed.
const PREFETCHED_FAMILIES: usize = 64;

/// How many pieces of each of them.
const PREFETCHED_PIECES: usize = 4;

/// All families of all groups, and the push times of the groups.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The families, sorted by name.
    pub families: Vec<SnapshotFamily>,
    /// The groups by slot.
    pub groups: SnapshotGroups,
}

/// One family across all groups.
#[derive(Debug)]
pub struct SnapshotFamily {
    definition: Arc<Definition>,
    /// The type.
    pub kind: Kind,
    help: SharedText,
    unit: SharedText,
    members: Members,
}

/// The pieces of all groups that have a family. In one list, because a scrape looks up every series. There may be very many
/// families that only one group has, so one piece takes no other memory.
#[derive(Debug, Default)]
struct Members {
    pieces: SmallVec<[Arc<Piece>; 1]>,
    /// Where the pieces of the group in each slot begin, and how many there are.
    ranges: SmallVec<[(u32, u32); 1]>,
    extents: SmallVec<[Extent; 1]>,
}

impl Members {
    fn add<'a>(&mut self, slot: u32, extent: Extent, pieces: impl Iterator<Item = &'a Arc<Piece>>) {
        let slot = slot as usize;
        if self.ranges.len() <= slot {
            self.ranges.resize(slot + 1, (0, 0));
            self.extents.resize(slot + 1, Extent::default());
        }
        let first = self.pieces.len();
        self.pieces.extend(pieces.cloned());
        self.ranges[slot] = (first as u32, (self.pieces.len() - first) as u32);
        self.extents[slot] = extent;
    }
}

/// Finds the rows of a family.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    pieces: &'a [Arc<Piece>],
    ranges: &'a [(u32, u32)],
}

impl<'a> Lookup<'a> {
    /// All pieces.
    pub fn pieces(self) -> &'a [Arc<Piece>] {
        self.pieces
    }

    /// Which of the pieces holds a series.
    #[inline]
    pub fn index(self, entry: Entry) -> Option<usize> {
        let (slot, number) = piece_of(entry);
        let (first, count) = *self.ranges.get(slot as usize)?;
        (number < count).then_some((first + number) as usize)
    }

    /// The piece that holds a series.
    pub fn piece(self, entry: Entry) -> Option<&'a Piece> {
        self.pieces.get(self.index(entry)?).map(|piece| &**piece)
    }
}

/// The slot of a series, and the number of its piece there.
#[inline]
pub fn piece_of(entry: Entry) -> (u32, u32) {
    (entry.slot, entry.position / PIECE_ROWS as u32)
}

/// The row of a series in its piece.
#[inline]
pub fn row_in_piece(entry: Entry) -> usize {
    entry.position as usize % PIECE_ROWS
}

/// A text that may differ between groups. The one of the smallest group key is used, so that every snapshot has the
/// same.
#[derive(Debug, Default)]
struct SharedText(Option<Box<Known>>);

#[derive(Debug)]
struct Known {
    group: Arc<str>,
    text: Arc<str>,
}

impl SharedText {
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

/// The push times of a group.
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

/// The groups by slot, and what their order in a scrape depends on.
#[derive(Debug, Default)]
pub struct SnapshotGroups {
    times: Vec<Option<GroupTimes>>,
    extents: Vec<Extent>,
}

impl SnapshotGroups {
    fn set(&mut self, slot: u32, extent: Extent, times: GroupTimes) {
        let slot = slot as usize;
        if self.times.len() <= slot {
            self.times.resize_with(slot + 1, || None);
            self.extents.resize(slot + 1, Extent::default());
        }
        self.times[slot] = Some(times);
        self.extents[slot] = extent;
    }

    /// The group in this slot.
    pub fn get(&self, slot: u32) -> Option<&GroupTimes> {
        self.times.get(slot as usize)?.as_ref()
    }

    /// The extents of all slots. An empty slot has a zero extent.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }
}

impl SnapshotFamily {
    /// The metric name.
    pub fn name(&self) -> &Arc<str> {
        self.definition.name()
    }

    /// Whether the values add up where pushes are aggregated.
    pub fn adds(&self) -> bool {
        self.definition.merge() == Merge::Add
    }

    /// The help text. Among the groups that have one, the smallest group key wins.
    pub fn help(&self) -> Option<&str> {
        self.help.get()
    }

    /// The unit, chosen like the help text.
    pub fn unit(&self) -> Option<&str> {
        self.unit.get()
    }

    /// The extents of the groups that have the family.
    pub fn extents(&self) -> &[Extent] {
        &self.members.extents
    }

    /// Finds its rows.
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup { pieces: &self.members.pieces, ranges: &self.members.ranges }
    }

    /// The pieces of all groups, in no particular order.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.members.pieces.iter().map(|piece| &**piece)
    }

    /// The label blocks of all series, in no order.
    pub fn blocks(&self) -> impl Iterator<Item = &str> {
        self.pieces().flat_map(|piece| (0..piece.len()).map(|row| piece.block(row)))
    }

    /// The label block of a series.
    pub fn block(&self, entry: Entry) -> &str {
        self.lookup().piece(entry).map_or("", |piece| piece.block(row_in_piece(entry)))
    }
}

impl Snapshot {
    /// A snapshot of these groups, whose families have `names` different names, with their folded values.
    pub(super) fn of(groups: Vec<Arc<Group>>, names: usize, folding: &mut Folding<'_>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.families.reserve_exact(names);
        let mut positions: HashMap<usize, usize, RandomState> = HashMap::default();
        positions.reserve(names);
        let mut groups = groups.into_iter();
        // None is held longer than needed: a push meanwhile copies what is held.
        while let Some(group) = groups.next() {
            prefetch(groups.as_slice());
            let times = GroupTimes {
                labels: group.labels.clone(),
                pushed_at: group.times.pushed_at,
                failed_at: group.times.failed_at,
            };
            snapshot.groups.set(group.slot, Extent { epoch: group.epoch, len: 1 }, times);
            for family in group.families() {
                let families = &mut snapshot.families;
                let identity = Arc::as_ptr(&family.definition) as usize;
                let at = *positions.entry(identity).or_insert_with(|| {
                    families.push(SnapshotFamily {
                        definition: family.definition.clone(),
                        kind: family.definition.kind(),
                        help: SharedText::default(),
                        unit: SharedText::default(),
                        members: Members::default(),
                    });
                    families.len() - 1
                });
                let all = &mut families[at];
                let extent = Extent { epoch: family.epoch, len: family.series_count() };
                let folded = folding.pieces(&group, family);
                let pieces = folded.as_ref().unwrap_or(family.pieces());
                all.members.add(family.slot, extent, pieces.iter());
                all.help.add(&group.labels.key, family.metadata().help.as_ref());
                all.unit.add(&group.labels.key, family.metadata().unit.as_ref());
            }
        }
        snapshot.families.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        snapshot
    }
}

/// Asks for the next groups before they are needed: for a group, for the families of the one before it, and for some
/// pieces of the one before that.
fn prefetch(next: &[Arc<Group>]) {
    if let Some(group) = next.get(2) {
        prefetch_index(slice::from_ref(&**group), 0);
    }
    if let Some(group) = next.get(1) {
        first_families(group).for_each(|family| prefetch_index(slice::from_ref(&**family), 0));
    }
    if let Some(group) = next.first() {
        let pieces = first_families(group).flat_map(|family| family.pieces().iter().take(PREFETCHED_PIECES));
        pieces.for_each(|piece| piece.prefetch());
    }
}

fn first_families(group: &Group) -> impl Iterator<Item = &Arc<Family>> {
    group.families().iter().take(PREFETCHED_FAMILIES)
}
