//! Loads rows into a store.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::message::Excerpt;
use crate::model::grouping::{Grouping, GroupingLabel};
use crate::model::kind::Kind;
use crate::model::time::Moment;
use crate::persistence::rows::batch::{FAMILY_NAME, RowKey, row_key_parts};
use crate::persistence::rows::layout::Layout;
use crate::persistence::rows::row::{
    self, FamilyRow, FamilyTerms, GroupRow, GroupValuesRow, KeyRow, LabelsRow, Layouts, ValuesRow,
};
use crate::store::group_labels::GroupLabels;
use crate::store::idempotency::{Key, Record};
use crate::store::metadata::Metadata;
use crate::store::piece::{PIECE_ROWS, Piece};
use crate::store::pieces::Pieces;
use crate::store::{FamilyView, GroupView, Store};

/// The rows of all tables, each in the order of its keys, with an iterator `I` over keys and rows for each.
pub(in crate::persistence) struct Tables<K, N, V, I> {
    /// The types of the metric names.
    pub(in crate::persistence) kinds: K,
    /// See [`Table::Names`](crate::persistence::rows::batch::Table).
    pub(in crate::persistence) names: N,
    /// See [`Table::Values`](crate::persistence::rows::batch::Table).
    pub(in crate::persistence) values: V,
    /// The idempotency keys by number.
    pub(in crate::persistence) keys: I,
}

/// Reads all rows into an empty store. Returns the latest time in them, in nanoseconds since the epoch.
///
/// # Errors
///
/// The first damage.
pub(in crate::persistence) fn load<B: AsRef<[u8]>>(
    tables: Tables<
        impl Iterator<Item = Result<(Arc<str>, u8), String>>,
        impl Iterator<Item = Found<B>>,
        impl Iterator<Item = Found<B>>,
        impl Iterator<Item = Result<(u64, B), String>>,
    >,
    store: &Store,
    now: Moment,
    layout: &mut Layout,
) -> Result<i64, String> {
    let mut latest = 0;
    let mut loader = Loader {
        names: tables.names,
        peeked: None,
        values: tables.values,
        small: None,
        kinds: HashMap::default(),
        layouts: Layouts::default(),
    };
    for row in tables.kinds {
        let (name, number) = row?;
        let kind = kind(&name, number)?;
        loader.kinds.insert(name, kind);
    }
    while let Some((group, is_small)) = loader.group()? {
        if !is_small {
            layout.lies_apart(group.epoch);
        }
        latest = latest.max(group.times.latest());
        store.restore(group);
    }
    if let Some(row) = loader.values.next() {
        return Err(format!("a row too many, {:?}", row_key_parts(&row?.0)));
    }
    for row in tables.keys {
        let (number, row) = row?;
        let record = record(number, row.as_ref())?;
        latest = latest.max(record.at);
        store.keys().restore(record, now);
    }
    Ok(latest)
}

/// The type with this number.
pub(super) fn kind(name: &str, number: u8) -> Result<Kind, String> {
    let unknown = || format!("metric {} has the unknown type {number}", Excerpt::of(name));
    Kind::from_number(number).ok_or_else(unknown)
}

/// The name and type of a family with these terms. `live` is what the name stands for in all groups.
pub(super) fn named(
    name: &str,
    terms: FamilyTerms,
    live: Option<(Arc<str>, Kind)>,
) -> Result<(Arc<str>, Kind), String> {
    let Some(number) = terms.kind else {
        return live.ok_or_else(|| format!("metric {} has no type", Excerpt::of(name)));
    };
    let own = kind(name, number)?;
    // The name may have got another type since, or may be gone.
    Ok(live.filter(|(_, live)| live.form() == own.form()).unwrap_or_else(|| (name.into(), own)))
}

/// The labels of the group that a row describes.
pub(super) fn group_labels(row: &[u8]) -> Result<GroupLabels, String> {
    let (row, source) = GroupRow::read(row).map_err(text)?;
    let label = |(name, value): (&str, &str)| GroupingLabel {
        name: name.to_owned().into(),
        value: value.to_owned().into(),
    };
    let grouping = Grouping::new(row.labels.into_iter().map(label).collect());
    Ok(match source {
        Some(source) => GroupLabels::of_source(&grouping, source),
        None => GroupLabels::of(&grouping),
    })
}

/// The idempotency key of a row.
pub(super) fn record(number: u64, row: &[u8]) -> Result<Record, String> {
    let KeyRow { id, fingerprint, at } =
        postcard::from_bytes(row).map_err(|error| format!("idempotency key {number}: {error}"))?;
    Ok(Record { number, key: Key { id, fingerprint }, at })
}

pub(super) fn text(error: impl std::error::Error) -> String {
    error.to_string()
}

/// A row with its key, or why it can't be read.
pub(in crate::persistence) type Found<B> = Result<(RowKey, B), String>;

/// Reads the tables of names and values side by side.
struct Loader<B, N, V> {
    names: N,
    peeked: Option<(RowKey, B)>,
    values: V,
    /// The values of the current group, if they are in one row.
    small: Option<std::vec::IntoIter<(u32, ValuesRow)>>,
    kinds: HashMap<Arc<str>, Kind, RandomState>,
    layouts: Layouts,
}

impl<B: AsRef<[u8]>, N: Iterator<Item = Found<B>>, V: Iterator<Item = Found<B>>> Loader<B, N, V> {
    /// The next group with its content, and whether its values are in one row.
    fn group(&mut self) -> Result<Option<(GroupView, bool)>, String> {
        let Some((key, labels)) = self.next_name()? else { return Ok(None) };
        let (epoch, family, piece) = row_key_parts(&key);
        let fault = |what: &str| format!("group {epoch}: {what}");
        if (family, piece) != (0, 0) {
            return Err(fault("a row of a family before its own"));
        }
        let group_labels = group_labels(labels.as_ref()).map_err(|e| fault(&e))?;
        let row = self.value(&key).map_err(|e| fault(&e))?;
        let values = GroupValuesRow::read(row.as_ref()).map_err(|e| fault(&text(e)))?;
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
            let Some((key, row)) = self.next_name_of(group)? else {
                return if pieces.is_empty() { Ok(None) } else { Err("a family without its name".into()) };
            };
            let (_, family, number) = row_key_parts(&key);
            if number == FAMILY_NAME {
                let (FamilyRow { name, help, unit }, terms) = FamilyRow::read(row.as_ref()).map_err(text)?;
                if pieces.is_empty() {
                    let mut first = key;
                    first[12..].fill(0);
                    let values = self.values(&first)?;
                    (pushed_at, lasting) = (values.pushed_at, values.lasting());
                }
                let live = self.kinds.get_key_value(name).map(|(name, kind)| (name.clone(), *kind));
                let (name, kind) = named(name, terms, live)?;
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
            let values = self.values(&key)?;
            let is_next = number as usize == pieces.len();
            if is_next && number == 0 {
                (pushed_at, lasting) = (values.pushed_at, values.lasting());
            }
            let last = pieces.len().checked_sub(1).and_then(|last| pieces.get(last));
            let is_full = last.is_none_or(|piece| piece.len() == PIECE_ROWS);
            let labels: LabelsRow<'_> = postcard::from_bytes(row.as_ref()).map_err(text)?;
            let labels = row::Labels::read(&labels);
            let piece = labels
                .and_then(|labels| row::piece(&labels, values, &mut self.layouts))
                .filter(|piece| is_next && is_full && piece.len() <= PIECE_ROWS)
                .ok_or_else(|| format!("family {family}: piece {number} does not fit"))?;
            // What is left of a TTL that the family has no more.
            let piece = if lasting.is_none() { piece.with_pushed(Vec::new()) } else { piece };
            pieces.push(Arc::new(piece));
        }
    }

    /// The next row of the names, if it is of this group and not the group itself.
    fn next_name_of(&mut self, group: u64) -> Result<Option<(RowKey, B)>, String> {
        let Some(row) = self.next_name()? else { return Ok(None) };
        let (of, family, _) = row_key_parts(&row.0);
        if of == group && family > 0 {
            return Ok(Some(row));
        }
        self.peeked = Some(row);
        Ok(None)
    }

    fn next_name(&mut self) -> Result<Option<(RowKey, B)>, String> {
        match self.peeked.take() {
            Some(row) => Ok(Some(row)),
            None => self.names.next().transpose(),
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
        ValuesRow::read(row.as_ref()).map_err(text)
    }

    /// The next row of the values, which must have this key.
    fn value(&mut self, key: &RowKey) -> Result<B, String> {
        match self.values.next() {
            Some(Ok((found, row))) if found == *key => Ok(row),
            Some(Err(error)) => Err(error),
            _ => Err(format!("the values of row {:?} are missing", row_key_parts(key))),
        }
    }
}
