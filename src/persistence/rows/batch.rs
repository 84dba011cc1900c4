//! The encoded rows of a commit.

use std::ops::Range;
use std::sync::Arc;

use postcard::ser_flavors::Flavor;
use serde::Serialize;

use crate::model::kind::Kind;
use crate::persistence::rows::row::{
    FamilyRow, GroupRow, GroupValuesRef, KeyRow, LabelsRef, OwnValuesRef, rule_number,
};
use crate::store::family::Family;
use crate::store::group::Group;
use crate::store::group_labels::GroupLabels;
use crate::store::idempotency::Record;
use crate::store::metadata::MetadataRef;
use crate::store::piece::Piece;

/// The key of a row: group, family (0 for the group itself) and piece, each big-endian. So all rows of a group are
/// neighbours.
pub(in crate::persistence) type RowKey = [u8; 16];

/// The piece number of the row with the name of a family. It sorts behind those of all pieces.
pub(in crate::persistence) const FAMILY_NAME: u32 = u32::MAX;

/// Two tables with the same row keys. They separate data that every push writes from data that is written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::persistence) enum Table {
    /// Labels, names and help texts.
    Names,
    /// Values and times.
    Values,
}

/// One step of a commit.
#[derive(Debug)]
pub(in crate::persistence) enum Step {
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
    /// The number that the next idempotency key gets at least.
    #[cfg(feature = "postgres")]
    NextKey(u64),
    /// The latest time that was seen, and whether the file is closed after it.
    Latest {
        nanos: i64,
        is_last: bool,
    },
}

/// The rows of one commit. Each row holds its whole new state, so writing a batch twice does no harm.
#[derive(Debug, Default)]
pub(in crate::persistence) struct Batch {
    pub(in crate::persistence) steps: Vec<Step>,
    bytes: Vec<u8>,
}

impl Batch {
    /// How many rows are written.
    pub(in crate::persistence) fn rows(&self) -> u64 {
        self.steps.len() as u64
    }

    /// The total length of the rows in bytes.
    pub(in crate::persistence) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Empties the batch for reuse.
    pub(in crate::persistence) fn clear(&mut self) {
        self.steps.clear();
        self.bytes.clear();
        // Frees the memory of a huge batch.
        self.bytes.shrink_to(1 << 20);
        self.steps.shrink_to(1 << 14);
    }

    pub(in crate::persistence) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }

    /// Adds the latest time that was seen, in nanoseconds since the epoch. `is_last` means that the file is closed
    /// after this batch.
    pub(in crate::persistence) fn add_latest(&mut self, nanos: i64, is_last: bool) {
        self.steps.push(Step::Latest { nanos, is_last });
    }

    /// Removes all rows and idempotency keys. The types of names stay.
    #[cfg(feature = "postgres")]
    pub(in crate::persistence) fn all_gone(&mut self) {
        self.remove(row_key(0, 0, 0), [u8::MAX; 16]);
        self.keys_gone(0..u64::MAX);
    }

    /// Removes all rows of a deleted group. If several steps concern the same row, the last one counts.
    pub(in crate::persistence) fn group_gone(&mut self, group: u64) {
        self.remove(row_key(group, 0, 0), row_key(group + 1, 0, 0));
    }

    /// Removes all rows of a deleted family.
    pub(in crate::persistence) fn family_gone(&mut self, group: u64, family: u32) {
        self.remove(row_key(group, family + 1, 0), row_key(group, family + 2, 0));
    }

    /// Removes the pieces of a family from number `from` on.
    pub(in crate::persistence) fn pieces_gone(&mut self, group: u64, family: u32, from: u32) {
        self.remove(row_key(group, family + 1, from), row_key(group, family + 1, FAMILY_NAME));
    }

    /// Writes the labels of a group.
    pub(in crate::persistence) fn group(&mut self, group: u64, of: &GroupLabels) {
        let labels = of.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        let row = GroupRow { labels };
        match of.source() {
            None => self.put(Table::Names, row_key(group, 0, 0), &row),
            Some(source) => self.put(Table::Names, row_key(group, 0, 0), &(row, source)),
        }
    }

    /// Writes the times of a group and how long it stays. For a small group, also writes the values of all its
    /// families, none of which has more than one piece. Such a group has no rows of [`Batch::values`].
    pub(in crate::persistence) fn times(&mut self, group: &Group, small: Option<&[Arc<Family>]>) {
        let row = GroupValuesRef { times: group.times, ttl: group.ttl(), small };
        self.put(Table::Values, row_key(group.epoch, 0, 0), &row);
    }

    /// Writes the name, help text and unit of a family. With `has_own_kind` its type is not that of its name.
    pub(in crate::persistence) fn family(&mut self, group: u64, family: &Family, has_own_kind: bool) {
        let MetadataRef { help, unit } = family.metadata().texts();
        let row = FamilyRow { name: family.definition.name(), help, unit };
        let key = row_key(group, family.number + 1, FAMILY_NAME);
        if family.rule.is_none() && !has_own_kind {
            self.put(Table::Names, key, &row);
            return;
        }
        let rule = family.rule.map_or(0, rule_number);
        let kind = has_own_kind.then(|| family.definition.kind() as u8);
        self.put(Table::Names, key, &(row, rule, kind));
    }

    /// Writes the labels and start times of a piece of a family.
    pub(in crate::persistence) fn labels(&mut self, group: u64, family: u32, number: u32, piece: &Piece) {
        self.put(Table::Names, row_key(group, family + 1, number), &LabelsRef(piece));
    }

    /// Writes the values of a piece. The row of the first piece also holds the push time of the family. A family
    /// without series has a row for a first piece that does not exist.
    pub(in crate::persistence) fn values(&mut self, group: u64, family: &Family, number: u32) {
        let row = OwnValuesRef { family, number: number as usize };
        self.put(Table::Values, row_key(group, family.number + 1, number), &row);
    }

    /// Writes the type of a metric name. `None` removes it.
    pub(in crate::persistence) fn kind(&mut self, name: &str, kind: Option<Kind>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        let kind = kind.map(|kind| kind as u8);
        self.steps.push(Step::Kind { name: start..self.bytes.len(), kind });
    }

    /// Writes an idempotency key.
    pub(in crate::persistence) fn key(&mut self, record: &Record) {
        let row = KeyRow { id: record.key.id, fingerprint: record.key.fingerprint, at: record.at };
        let value = self.encode(&row);
        self.steps.push(Step::Key { number: record.number, value });
    }

    /// Removes the idempotency keys with these numbers.
    pub(in crate::persistence) fn keys_gone(&mut self, numbers: Range<u64>) {
        self.steps.push(Step::KeysGone { from: numbers.start, to: numbers.end });
    }

    /// Writes the number that the next idempotency key gets at least.
    #[cfg(feature = "postgres")]
    pub(in crate::persistence) fn next_key(&mut self, number: u64) {
        self.steps.push(Step::NextKey(number));
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
        append(row, &mut self.bytes);
        start..self.bytes.len()
    }
}

/// Appends a row to a buffer.
pub(in crate::persistence) fn append(row: &impl Serialize, to: &mut Vec<u8>) {
    // Writing to a vector can't fail, and all sequences know their length.
    let written = postcard::serialize_with_flavor(row, Appender(to));
    debug_assert!(written.is_ok(), "a vector takes everything");
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

pub(in crate::persistence) fn row_key(group: u64, family: u32, piece: u32) -> RowKey {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&group.to_be_bytes());
    key[8..12].copy_from_slice(&family.to_be_bytes());
    key[12..].copy_from_slice(&piece.to_be_bytes());
    key
}

/// The group, family and piece of a row key.
pub(in crate::persistence) fn row_key_parts(key: &RowKey) -> (u64, u32, u32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *key;
    (
        u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        u32::from_be_bytes([i, j, k, l]),
        u32::from_be_bytes([m, n, o, p]),
    )
}
