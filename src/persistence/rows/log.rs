//! A batch as one row, which tells other gateways what a commit has changed.

use serde::{Deserialize, Serialize, Serializer};

use crate::persistence::rows::batch::{Batch, RowKey, Step, Table, append};

/// One step of a commit, as the row has it.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::persistence) enum Entry<'a> {
    Names(RowKey, #[serde(borrow)] Bytes<'a>),
    Values(RowKey, #[serde(borrow)] Bytes<'a>),
    Remove(RowKey, RowKey),
    Kind(&'a str, Option<u8>),
    Key(u64, #[serde(borrow)] Bytes<'a>),
    KeysGone(u64, u64),
    Latest(i64),
    NextKey(u64),
}

/// Bytes that are written as a whole.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::persistence) struct Bytes<'a>(#[serde(borrow)] pub(in crate::persistence) &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Writes the steps of a batch into an empty buffer.
pub(in crate::persistence) fn write(batch: &Batch, to: &mut Vec<u8>) {
    for step in &batch.steps {
        let entry = match step {
            Step::Put { table: Table::Names, key, value } => Entry::Names(*key, Bytes(batch.bytes(value))),
            Step::Put { table: Table::Values, key, value } => Entry::Values(*key, Bytes(batch.bytes(value))),
            Step::Remove { from, to } => Entry::Remove(*from, *to),
            Step::Kind { name, kind } => {
                // A family name is always text.
                Entry::Kind(std::str::from_utf8(batch.bytes(name)).unwrap_or_default(), *kind)
            }
            Step::Key { number, value } => Entry::Key(*number, Bytes(batch.bytes(value))),
            Step::KeysGone { from, to } => Entry::KeysGone(*from, *to),
            Step::Latest { nanos, .. } => Entry::Latest(*nanos),
            Step::NextKey(number) => Entry::NextKey(*number),
        };
        append(&entry, to);
    }
}

/// The steps in a row.
///
/// # Errors
///
/// If the row is damaged.
pub(in crate::persistence) fn read(mut row: &[u8]) -> Result<Vec<Entry<'_>>, postcard::Error> {
    let mut entries = Vec::new();
    while !row.is_empty() {
        let (entry, rest) = postcard::take_from_bytes(row)?;
        entries.push(entry);
        row = rest;
    }
    Ok(entries)
}
