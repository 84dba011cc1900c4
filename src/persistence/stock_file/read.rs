//! Reads a stock gateway's file.

use super::gob::Cursor;
use super::schema::Schema;
use super::types::{FIRST_DEFINED, Types};
use super::{Fault, Skipped, StockFamily, StockFile, StockFileError, StockGroup, time};
use crate::message::{Excerpt, quote};
use crate::model::labels::{MoreLabels, SHOWN_LABELS_BYTES};
use crate::model::name::is_legacy_label_name;

/// Whether a file that begins with these bytes can be a stock gateway's. 32 bytes are enough, because all these
/// files begin with the definition of a type.
pub fn looks_like(start: &[u8]) -> bool {
    let mut cursor = Cursor::new(start);
    let is_long_enough = cursor.uint().is_ok_and(|length| length > 2);
    let defines_a_type = cursor.int().is_ok_and(|id| id <= -FIRST_DEFINED);
    is_long_enough && defines_a_type && matches!(cursor.uint(), Ok(1..=7))
}

/// Reads a whole file. Bytes after the groups are ignored, as the stock gateway ignores them.
///
/// # Errors
///
/// The first fault. Nothing of a faulty file is returned.
pub fn read(bytes: &[u8]) -> Result<StockFile, StockFileError> {
    let mut file = Cursor::new(bytes);
    // Without this check, the first byte of any file would be taken for a length, and the file reported as cut off.
    if !bytes.is_empty() && !looks_like(bytes) {
        return Err(file.error(Fault::Foreign));
    }
    let mut types = Types::default();
    loop {
        let mut message = file.message()?;
        let start = message;
        let id = message.int()?;
        if id >= 0 {
            let schema = Schema::find(&types, id).map_err(|fault| start.error(fault))?;
            return groups(&mut message, &types, schema);
        }
        let id = id.checked_neg().ok_or_else(|| start.error(Fault::TypeNumber { id }))?;
        types.define(&mut message, id)?;
        if !message.is_at_end() {
            return Err(message.error(Fault::Definition));
        }
    }
}

fn groups<'a>(
    cursor: &mut Cursor<'a>,
    types: &Types<'a>,
    schema: Schema,
) -> Result<StockFile, StockFileError> {
    let start = *cursor;
    // Go writes this before every value that is not a struct.
    if cursor.uint()? != 0 {
        return Err(start.error(Fault::Marker));
    }
    let mut file = StockFile::default();
    for _ in 0..cursor.count()? {
        types.skip(cursor, schema.key)?;
        let group = RawGroup::read(cursor, types, schema)?;
        file.groups.extend(group.to_text(&mut file.skipped));
    }
    file.groups.sort_by(|a, b| a.labels.cmp(&b.labels));
    if file.groups.windows(2).any(|pair| matches!(pair, [a, b] if a.labels == b.labels)) {
        return Err(start.error(Fault::Twice { what: "groups", key: "labels" }));
    }
    Ok(file)
}

/// A group whose strings may not be UTF-8.
#[derive(Debug, Default)]
struct RawGroup<'a> {
    labels: Vec<(&'a [u8], &'a [u8])>,
    families: Vec<(&'a [u8], RawFamily<'a>)>,
}

#[derive(Debug, Default)]
struct RawFamily<'a> {
    pushed_at: i64,
    message: Option<&'a [u8]>,
}

impl<'a> RawGroup<'a> {
    fn read(
        cursor: &mut Cursor<'a>,
        types: &Types<'a>,
        schema: Schema,
    ) -> Result<RawGroup<'a>, StockFileError> {
        let mut group = RawGroup::default();
        cursor.fields(|cursor, number| {
            if number == schema.labels {
                group.labels = string_map(cursor, "labels of a group", Cursor::bytes)?;
                Ok(())
            } else if number == schema.families {
                group.families = string_map(cursor, "metric families of a group", |cursor| {
                    RawFamily::read(cursor, types, schema)
                })?;
                Ok(())
            } else {
                types.skip_field(cursor, schema.group, number)
            }
        })?;
        Ok(group)
    }

    /// The group as text. `None` if a label is not UTF-8.
    fn to_text(&self, skipped: &mut Vec<Skipped>) -> Option<StockGroup> {
        let labels = self.labels.iter().map(|(name, value)| Some((text(name)?, text(value)?)));
        let Some(labels) = labels.collect() else {
            skipped.push(Skipped::Group { labels: self.describe() });
            return None;
        };
        let mut families = Vec::with_capacity(self.families.len());
        for (name, family) in &self.families {
            let message = family.message.map(<[u8]>::to_vec);
            match text(name) {
                Some(name) => families.push(StockFamily { name, pushed_at: family.pushed_at, message }),
                None => skipped.push(Skipped::Family { labels: self.describe(), name: quote(name) }),
            }
        }
        Some(StockGroup { labels, families })
    }

    /// The labels for a message.
    fn describe(&self) -> String {
        let (mut out, mut labels) = (String::from("{"), self.labels.iter());
        while out.len() < SHOWN_LABELS_BYTES
            && let Some(&(name, value)) = labels.next()
        {
            if out.len() > 1 {
                out.push(',');
            }
            match std::str::from_utf8(name).ok().filter(|name| is_legacy_label_name(name)) {
                Some(name) => out.push_str(&Excerpt::of(name).to_string()),
                None => out.push_str(&quote(name)),
            }
            out.push('=');
            out.push_str(&quote(value));
        }
        if let Some(more) = MoreLabels::of(labels) {
            out.push_str(&format!(",{more}"));
        }
        out.push('}');
        out
    }
}

impl<'a> RawFamily<'a> {
    fn read(
        cursor: &mut Cursor<'a>,
        types: &Types<'a>,
        schema: Schema,
    ) -> Result<RawFamily<'a>, StockFileError> {
        let mut family = RawFamily::default();
        cursor.fields(|cursor, number| {
            let start = *cursor;
            if number == schema.timestamp {
                family.pushed_at = time::decode(cursor.bytes()?).map_err(|fault| start.error(fault))?;
                Ok(())
            } else if number == schema.message {
                family.message = Some(cursor.bytes()?);
                Ok(())
            } else {
                types.skip_field(cursor, schema.family, number)
            }
        })?;
        Ok(family)
    }
}

/// Reads a map with string keys and sorts it by them.
fn string_map<'a, T>(
    cursor: &mut Cursor<'a>,
    what: &'static str,
    mut value: impl FnMut(&mut Cursor<'a>) -> Result<T, StockFileError>,
) -> Result<Vec<(&'a [u8], T)>, StockFileError> {
    let start = *cursor;
    let mut entries = Vec::new();
    for _ in 0..cursor.count()? {
        entries.push((cursor.bytes()?, value(cursor)?));
    }
    entries.sort_by_key(|&(key, _)| key);
    if entries.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
        return Err(start.error(Fault::Twice { what, key: "name" }));
    }
    Ok(entries)
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}
