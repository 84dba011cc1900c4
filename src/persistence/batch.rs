//! What one commit writes: changes of the store, encoded as rows.

use std::ops::Range;

use postcard::ser_flavors::Flavor;
use serde::Serialize;

use crate::persistence::row::{FamilyRow, GroupRow, GroupValuesRef, KeyRow, LabelsRef, ValuesRef};
use crate::store::change::{Change, PieceKey};

/// The key of a row: the group, the family (0 for the group itself) and the piece, each big-endian, so
/// that everything of a group lies together.
pub(super) type RowKey = [u8; 16];

/// The piece number of the row with the name of a family. It sorts behind those of all pieces.
pub(super) const FAMILY_NAME: u32 = u32::MAX;

/// The rows of two tables share their keys: what is written with every push lies apart from what is
/// written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Labels, names and help texts.
    Names,
    /// Values and times.
    Values,
}

/// One step of a commit.
#[derive(Debug)]
pub(super) enum Step {
    Put {
        table: Table,
        key: RowKey,
        value: Range<usize>,
    },
    /// Removes the rows of these keys from both tables.
    Remove {
        from: RowKey,
        to: RowKey,
    },
    Kind {
        name: Range<usize>,
        kind: Option<u8>,
    },
    Key {
        number: u64,
        value: Range<usize>,
    },
    KeysGone {
        from: u64,
        to: u64,
    },
    /// The latest time that was seen, and whether none comes after it.
    Latest {
        nanos: i64,
        is_last: bool,
    },
}

/// The rows of one commit. Each has its whole new state, so writing a batch twice does no harm.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) steps: Vec<Step>,
    bytes: Vec<u8>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many rows are written.
    pub fn rows(&self) -> u64 {
        self.steps.len() as u64
    }

    /// How long the rows are together, in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Empties the batch, to be filled again.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.bytes.clear();
        // One huge batch must not hold its memory for good.
        self.bytes.shrink_to(1 << 20);
    }

    pub(super) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }

    /// Adds the latest time that was seen, in nanoseconds since the epoch; `is_last` where the file is closed
    /// after this batch.
    pub fn add_latest(&mut self, nanos: i64, is_last: bool) {
        self.steps.push(Step::Latest { nanos, is_last });
    }

    /// Adds a change. Later changes count where they concern the same row.
    pub fn add(&mut self, change: Change<'_>) {
        match change {
            Change::GroupGone { group } => self.remove(row_key(group, 0, 0), row_key(group + 1, 0, 0)),
            Change::FamilyGone { group, family } => {
                self.remove(row_key(group, family + 1, 0), row_key(group, family + 2, 0));
            }
            Change::PiecesGone { from: PieceKey { group, family, number } } => {
                self.remove(row_key(group, family + 1, number), row_key(group, family + 1, FAMILY_NAME));
            }
            Change::Group { group, labels } => {
                let labels = labels.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
                self.put(Table::Names, row_key(group, 0, 0), &GroupRow { labels });
            }
            Change::Times { group, times } => {
                self.put(Table::Values, row_key(group, 0, 0), &GroupValuesRef { times, small: None });
            }
            Change::Small { group, times, families } => {
                let row = GroupValuesRef { times, small: Some(families) };
                self.put(Table::Values, row_key(group, 0, 0), &row);
            }
            Change::Family { group, family, name, metadata } => {
                let key = row_key(group, family + 1, FAMILY_NAME);
                let (help, unit) = (metadata.help.as_deref(), metadata.unit.as_deref());
                self.put(Table::Names, key, &FamilyRow { name, help, unit });
            }
            Change::Labels { at, piece } => {
                self.put(Table::Names, row_key(at.group, at.family + 1, at.number), &LabelsRef(piece));
            }
            Change::Values { at, pushed_at, piece } => {
                let key = row_key(at.group, at.family + 1, at.number);
                self.put(Table::Values, key, &ValuesRef { pushed_at, piece });
            }
            Change::Kind { name, kind } => {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(name.as_bytes());
                let kind = kind.map(|kind| kind as u8);
                self.steps.push(Step::Kind { name: start..self.bytes.len(), kind });
            }
            Change::Key(record) => {
                let row = KeyRow { id: record.key.id, fingerprint: record.key.fingerprint, at: record.at };
                let value = self.encode(&row);
                self.steps.push(Step::Key { number: record.number, value });
            }
            Change::KeysGone { from, to } => self.steps.push(Step::KeysGone { from, to }),
        }
    }

    fn remove(&mut self, from: RowKey, to: RowKey) {
        self.steps.push(Step::Remove { from, to });
    }

    fn put(&mut self, table: Table, key: RowKey, row: &impl Serialize) {
        let value = self.encode(row);
        self.steps.push(Step::Put { table, key, value });
    }

    fn encode(&mut self, row: &impl Serialize) -> Range<usize> {
        let start = self.bytes.len();
        // Writing to a vector does not fail, and all sequences know their length.
        let written = postcard::serialize_with_flavor(row, Appender(&mut self.bytes));
        debug_assert!(written.is_ok(), "a vector takes everything");
        start..self.bytes.len()
    }
}

/// Lets postcard append to a vector that it does not own.
struct Appender<'a>(&'a mut Vec<u8>);

impl Flavor for Appender<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

pub(super) fn row_key(group: u64, family: u32, piece: u32) -> RowKey {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&group.to_be_bytes());
    key[8..12].copy_from_slice(&family.to_be_bytes());
    key[12..].copy_from_slice(&piece.to_be_bytes());
    key
}

/// The group, family and piece of a row key.
pub(super) fn row_key_parts(key: &RowKey) -> (u64, u32, u32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *key;
    (
        u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        u32::from_be_bytes([i, j, k, l]),
        u32::from_be_bytes([m, n, o, p]),
    )
}
