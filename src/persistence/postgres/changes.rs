//! How a batch of rows becomes a few statements.

use std::collections::BTreeMap;

use tokio_postgres::types::ToSql;

use crate::persistence::postgres::connection::Query;
use crate::persistence::postgres::schema::Statements;
use crate::persistence::rows::batch::{Batch, RowKey, Step, Table};
use crate::persistence::rows::history::{LATEST_KEY, NEXT_KEY};

/// One statement has at most so many rows, and rows of about so many bytes: a slow connection must bring it before the
/// server takes the gateway for idle.
const MOST_ROWS: usize = 10_000;
const MOST_BYTES: usize = 256 << 10;

/// The changes of a batch in the order in which they must be made. The last change of a row is the one that counts,
/// and no statement has the same row twice.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    done: Vec<Change<'a>>,
    names: Rows<'a>,
    values: Rows<'a>,
    kinds: BTreeMap<&'a str, Option<i16>>,
    keys: BTreeMap<i64, &'a [u8]>,
    meta: BTreeMap<&'static str, i64>,
}

/// Rows that are to be written, by key.
type Rows<'a> = BTreeMap<&'a RowKey, &'a [u8]>;

/// One statement.
#[derive(Debug)]
enum Change<'a> {
    Put(Table, Vec<&'a [u8]>, Vec<&'a [u8]>),
    /// From both tables.
    Remove(&'a [u8], &'a [u8]),
    PutKinds(Vec<&'a str>, Vec<i16>),
    RemoveKinds(Vec<&'a str>),
    PutKeys(Vec<i64>, Vec<&'a [u8]>),
    RemoveKeys(i64, i64),
    PutMeta(Vec<&'static str>, Vec<i64>),
}

impl<'a> Changes<'a> {
    /// The changes of this batch.
    pub(super) fn of(batch: &'a Batch) -> Changes<'a> {
        let mut changes = Changes::default();
        batch.steps.iter().for_each(|step| changes.add(step, batch));
        changes.finish();
        changes
    }

    /// These single numbers, by their keys.
    pub(super) fn of_meta(meta: impl IntoIterator<Item = (&'static str, i64)>) -> Changes<'a> {
        let mut changes = Changes { meta: meta.into_iter().collect(), ..Changes::default() };
        changes.finish();
        changes
    }

    fn add(&mut self, step: &'a Step, batch: &'a Batch) {
        match step {
            Step::Put { table: Table::Names, key, value } => {
                self.names.insert(key, batch.bytes(value));
            }
            Step::Put { table: Table::Values, key, value } => {
                self.values.insert(key, batch.bytes(value));
            }
            Step::Remove { from, to } => {
                self.put_rows();
                self.done.push(Change::Remove(from, to));
            }
            Step::Kind { name, kind } => {
                // A family name is always text.
                let name = std::str::from_utf8(batch.bytes(name)).unwrap_or_default();
                self.kinds.insert(name, kind.map(i16::from));
            }
            Step::Key { number, value } => {
                self.keys.insert(signed(*number), batch.bytes(value));
            }
            Step::KeysGone { from, to } => {
                self.put_keys();
                self.done.push(Change::RemoveKeys(signed(*from), signed(*to)));
            }
            Step::NextKey(number) => {
                self.meta.insert(NEXT_KEY, signed(*number));
            }
            Step::Latest { nanos, .. } => {
                self.meta.insert(LATEST_KEY, *nanos);
            }
        }
    }

    fn put_rows(&mut self) {
        for table in [Table::Names, Table::Values] {
            let rows = match table {
                Table::Names => std::mem::take(&mut self.names),
                Table::Values => std::mem::take(&mut self.values),
            };
            let (mut keys, mut values, mut bytes) = (Vec::new(), Vec::new(), 0);
            for (key, value) in rows {
                keys.push(&key[..]);
                values.push(value);
                bytes += value.len();
                if keys.len() == MOST_ROWS || bytes >= MOST_BYTES {
                    self.done.push(Change::Put(
                        table,
                        std::mem::take(&mut keys),
                        std::mem::take(&mut values),
                    ));
                    bytes = 0;
                }
            }
            if !keys.is_empty() {
                self.done.push(Change::Put(table, keys, values));
            }
        }
    }

    fn put_keys(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        let all: Vec<(i64, &[u8])> = keys.into_iter().collect();
        for some in all.chunks(MOST_ROWS) {
            let (numbers, values) = some.iter().copied().unzip();
            self.done.push(Change::PutKeys(numbers, values));
        }
    }

    fn finish(&mut self) {
        self.put_rows();
        self.put_keys();
        let (mut names, mut kinds, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (name, kind) in std::mem::take(&mut self.kinds) {
            match kind {
                Some(kind) => {
                    names.push(name);
                    kinds.push(kind);
                }
                None => gone.push(name),
            }
        }
        if !names.is_empty() {
            self.done.push(Change::PutKinds(names, kinds));
        }
        if !gone.is_empty() {
            self.done.push(Change::RemoveKinds(gone));
        }
        if !self.meta.is_empty() {
            let (keys, values) = std::mem::take(&mut self.meta).into_iter().unzip();
            self.done.push(Change::PutMeta(keys, values));
        }
    }

    /// Adds the statements that make the changes.
    pub(super) fn queries<'q>(&'q self, statements: &'q Statements, queries: &mut Vec<Query<'q>>) {
        let mut ask = |statement, parameters: Vec<&'q (dyn ToSql + Sync)>| {
            queries.push(Query { statement, parameters });
        };
        for change in &self.done {
            match change {
                Change::Put(table, keys, values) => ask(statements.put(*table), vec![keys, values]),
                Change::Remove(from, to) => {
                    ask(&statements.remove_names, vec![from, to]);
                    ask(&statements.remove_values, vec![from, to]);
                }
                Change::PutKinds(names, kinds) => ask(&statements.put_kinds, vec![names, kinds]),
                Change::RemoveKinds(names) => ask(&statements.remove_kinds, vec![names]),
                Change::PutKeys(numbers, values) => ask(&statements.put_keys, vec![numbers, values]),
                Change::RemoveKeys(from, to) => ask(&statements.remove_keys, vec![from, to]),
                Change::PutMeta(keys, values) => ask(&statements.put_meta, vec![keys, values]),
            }
        }
    }
}

/// Numbers are given out one by one from 0 on.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
