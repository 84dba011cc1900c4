//! Loads the file into a store.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use redb::{AccessGuard, Database, Range, ReadableDatabase};

use crate::message::Excerpt;
use crate::model::grouping::{Grouping, GroupingLabel};
use crate::model::kind::Kind;
use crate::model::time::Moment;
use crate::persistence::redb::batch::{FAMILY_NAME, RowKey, row_key_parts};
use crate::persistence::redb::changes::Layout;
use crate::persistence::redb::tables::{KEYS, KINDS, NAMES, VALUES};
use crate::persistence::row::{
    self, FamilyRow, GroupRow, GroupValuesRow, KeyRow, LabelsRow, Layouts, ValuesRow,
};
use crate::store::group_labels::GroupLabels;
use crate::store::idempotency::{Key, Record};
use crate::store::metadata::Metadata;
use crate::store::piece::{PIECE_ROWS, Piece};
use crate::store::pieces::Pieces;
use crate::store::times::Times;
use crate::store::{FamilyView, GroupView, Store};

/// Reads the whole file into an empty store. Returns the latest time in it, in nanoseconds since the epoch.
///
/// # Errors
///
/// The first damage.
pub(super) fn load(
    database: &Database,
    store: &Store,
    now: Moment,
    layout: &mut Layout,
) -> Result<i64, String> {
    let mut latest = 0;
    let read = database.begin_read().map_err(text)?;
    let mut loader = Loader {
        names: read.open_table(NAMES).map_err(text)?.range::<&RowKey>(..).map_err(text)?,
        peeked: None,
        values: read.open_table(VALUES).map_err(text)?.range::<&RowKey>(..).map_err(text)?,
        small: None,
        kinds: HashMap::default(),
        layouts: Layouts::default(),
    };
    for row in read.open_table(KINDS).map_err(text)?.range::<&str>(..).map_err(text)? {
        let (name, kind) = row.map_err(text)?;
        let kind = Kind::from_number(kind.value()).ok_or_else(|| unknown_type(name.value(), kind.value()))?;
        loader.kinds.insert(name.value().into(), kind);
    }
    while let Some((group, is_small)) = loader.group()? {
        if !is_small {
            layout.lies_apart(group.epoch);
        }
        let Times { created_at, pushed_at, failed_at, .. } = group.times;
        latest = latest.max(created_at).max(pushed_at).max(failed_at);
        store.restore(group);
    }
    if let Some(row) = loader.values.next() {
        return Err(format!("a row too many, {:?}", row_key_parts(row.map_err(text)?.0.value())));
    }
    for row in read.open_table(KEYS).map_err(text)?.range::<u64>(..).map_err(text)? {
        let (number, row) = row.map_err(text)?;
        let number = number.value();
        let KeyRow { id, fingerprint, at } = postcard::from_bytes(row.value())
            .map_err(|error| format!("idempotency key {number}: {error}"))?;
        latest = latest.max(at);
        store.keys().restore(Record { number, key: Key { id, fingerprint }, at }, now);
    }
    Ok(latest)
}

fn unknown_type(name: &str, number: u8) -> String {
    format!("metric {} has the unknown type {number}", Excerpt::of(name))
}

fn text(error: impl std::error::Error) -> String {
    error.to_string()
}

type Rows = Range<'static, &'static RowKey, &'static [u8]>;
type Row = (AccessGuard<'static, &'static RowKey>, AccessGuard<'static, &'static [u8]>);

/// Reads the tables of names and values side by side.
struct Loader {
    names: Rows,
    peeked: Option<Row>,
    values: Rows,
    /// The values of the current group, if they are in one row.
    small: Option<std::vec::IntoIter<(u32, ValuesRow)>>,
    kinds: HashMap<Arc<str>, Kind, RandomState>,
    layouts: Layouts,
}

impl Loader {
    /// The next group with its content, and whether its values are in one row.
    fn group(&mut self) -> Result<Option<(GroupView, bool)>, String> {
        let Some((key, labels)) = self.next_name()? else { return Ok(None) };
        let (epoch, family, piece) = row_key_parts(key.value());
        let fault = |what: &str| format!("group {epoch}: {what}");
        if (family, piece) != (0, 0) {
            return Err(fault("a row of a family before its own"));
        }
        let (row, source) = GroupRow::read(labels.value()).map_err(|e| fault(&text(e)))?;
        let label = |(name, value): (&str, &str)| GroupingLabel {
            name: name.to_owned().into(),
            value: value.to_owned().into(),
        };
        let grouping = Grouping::new(row.labels.into_iter().map(label).collect());
        let group_labels = match source {
            Some(source) => GroupLabels::of_source(&grouping, source),
            None => GroupLabels::of(&grouping),
        };
        let row = self.value(key.value()).map_err(|e| fault(&e))?;
        let values = GroupValuesRow::read(row.1.value()).map_err(|e| fault(&text(e)))?;
        let mut group = GroupView {
            epoch,
            labels: Arc::new(group_labels),
            times: values.times,
            ttl: values.ttl,
            families: Vec::new(),
        };
        let is_small = values.small.is_some();
        self.small = values.small.map(Vec::into_iter);
        while let Some(family) = self.family(epoch).map_err(|e| fault(&e))? {
            group.families.push(family);
        }
        if self.small.take().is_some_and(|rest| rest.len() > 0) {
            return Err(fault("values of a family that is not there"));
        }
        Ok(Some((group, is_small)))
    }

    /// The next family of this group.
    fn family(&mut self, group: u64) -> Result<Option<FamilyView>, String> {
        let mut pieces = Pieces::default();
        let (mut pushed_at, mut lasting) = (0, None);
        loop {
            let Some(row) = self.next_name_of(group)? else {
                return if pieces.is_empty() { Ok(None) } else { Err("a family without its name".into()) };
            };
            let (_, family, number) = row_key_parts(row.0.value());
            if number == FAMILY_NAME {
                let (FamilyRow { name, help, unit }, terms) = FamilyRow::read(row.1.value()).map_err(text)?;
                if pieces.is_empty() {
                    let mut key = *row.0.value();
                    key[12..].fill(0);
                    let values = self.values(&key)?;
                    (pushed_at, lasting) = (values.pushed_at, values.lasting());
                }
                let live = self.kinds.get_key_value(name).map(|(name, kind)| (name.clone(), *kind));
                let (name, kind) = match terms.kind {
                    None => live.ok_or_else(|| format!("metric {} has no type", Excerpt::of(name)))?,
                    Some(number) => {
                        let kind = Kind::from_number(number);
                        let kind = kind.ok_or_else(|| unknown_type(name, number))?;
                        // The name may have got another type since, or may be gone.
                        live.filter(|(_, live)| live.form() == kind.form())
                            .unwrap_or_else(|| (name.into(), kind))
                    }
                };
                if pieces.iter().any(|piece: &Arc<Piece>| piece.form() != kind.form()) {
                    return Err(format!("metric {} has values of another type", Excerpt::of(&name)));
                }
                let metadata = Metadata { help: help.map(Arc::from), unit: unit.map(Arc::from) };
                let number = family.checked_sub(1).ok_or("a family without a number")?;
                let rule = terms.rule;
                return Ok(Some(FamilyView {
                    number,
                    name,
                    kind,
                    metadata,
                    rule,
                    pushed_at,
                    lasting,
                    pieces,
                }));
            }
            let values = self.values(row.0.value())?;
            let is_next = number as usize == pieces.len();
            if is_next && number == 0 {
                (pushed_at, lasting) = (values.pushed_at, values.lasting());
            }
            let last = pieces.len().checked_sub(1).and_then(|last| pieces.get(last));
            let is_full = last.is_none_or(|piece| piece.len() == PIECE_ROWS);
            let labels: LabelsRow<'_> = postcard::from_bytes(row.1.value()).map_err(text)?;
            let piece = row::piece(&labels, values, &mut self.layouts)
                .filter(|piece| is_next && is_full && piece.len() <= PIECE_ROWS)
                .ok_or_else(|| format!("family {family}: piece {number} does not fit"))?;
            // What is left of a TTL that the family has no more.
            let piece = if lasting.is_none() { piece.with_pushed(Vec::new()) } else { piece };
            pieces.push(Arc::new(piece));
        }
    }

    /// The next row of the names, if it is of this group and not the group itself.
    fn next_name_of(&mut self, group: u64) -> Result<Option<Row>, String> {
        let Some(row) = self.next_name()? else { return Ok(None) };
        let (of, family, _) = row_key_parts(row.0.value());
        if of == group && family > 0 {
            return Ok(Some(row));
        }
        self.peeked = Some(row);
        Ok(None)
    }

    fn next_name(&mut self) -> Result<Option<Row>, String> {
        match self.peeked.take() {
            Some(row) => Ok(Some(row)),
            None => self.names.next().transpose().map_err(text),
        }
    }

    fn values(&mut self, key: &RowKey) -> Result<ValuesRow, String> {
        if let Some(small) = &mut self.small {
            let (_, family, piece) = row_key_parts(key);
            return match small.next() {
                Some((number, values)) if family.checked_sub(1) == Some(number) && piece == 0 => Ok(values),
                _ => Err(format!("the values of row {:?} are missing", row_key_parts(key))),
            };
        }
        let row = self.value(key)?;
        ValuesRow::read(row.1.value()).map_err(text)
    }

    /// The next row of the values, which must have this key.
    fn value(&mut self, key: &RowKey) -> Result<Row, String> {
        match self.values.next() {
            Some(Ok(row)) if row.0.value() == key => Ok(row),
            Some(Err(error)) => Err(error.to_string()),
            _ => Err(format!("the values of row {:?} are missing", row_key_parts(key))),
        }
    }
}
