//! What becomes of a store when others have committed: rows that have changed, and the versions that they make.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::kind::Kind;
use crate::persistence::rows::batch::{FAMILY_NAME, RowKey, row_key_parts};
use crate::persistence::rows::layout::Layout;
use crate::persistence::rows::load::{self, text};
use crate::persistence::rows::log::Entry;
use crate::persistence::rows::row::{self, FamilyRow, GroupValuesRow, Labels, Layouts, ValuesRow};
use crate::store::group::Group;
use crate::store::metadata::Metadata;
use crate::store::news::News;
use crate::store::pieces::Pieces;
use crate::store::{FamilyView, GroupView, Store};

/// The keys of the groups that are kept, by the epochs that stand for them in rows.
pub(in crate::persistence) type GroupKeys = HashMap<u64, Arc<str>, RandomState>;

/// What has changed, as rows have it. The latest row counts.
#[derive(Debug, Default)]
pub(in crate::persistence) struct Changed<'a> {
    /// Whether all that was before is gone.
    is_all: bool,
    groups: BTreeMap<u64, ChangedGroup<'a>>,
    kinds: BTreeMap<&'a str, Option<u8>>,
    keys: BTreeMap<u64, &'a [u8]>,
    next_key: u64,
    latest: i64,
}

#[derive(Debug, Default)]
struct ChangedGroup<'a> {
    /// Whether nothing is left of what was before.
    is_new: bool,
    labels: Option<&'a [u8]>,
    values: Option<&'a [u8]>,
    families: BTreeMap<u32, ChangedFamily<'a>>,
    /// The families of which nothing is left.
    gone: BTreeSet<u32>,
}

#[derive(Debug, Default)]
struct ChangedFamily<'a> {
    name: Option<&'a [u8]>,
    labels: BTreeMap<u32, &'a [u8]>,
    values: BTreeMap<u32, &'a [u8]>,
    /// How many of the pieces that were before are left at most.
    left: Option<u32>,
}

impl<'a> Changed<'a> {
    /// Adds a later step.
    pub(in crate::persistence) fn add(&mut self, entry: &Entry<'a>) {
        match *entry {
            Entry::Names(key, value) => {
                let (epoch, family, piece) = row_key_parts(&key);
                match (family.checked_sub(1), piece) {
                    (None, _) => self.group(epoch).labels = Some(value.0),
                    (Some(family), FAMILY_NAME) => self.family(epoch, family).name = Some(value.0),
                    (Some(family), piece) => {
                        self.family(epoch, family).labels.insert(piece, value.0);
                    }
                }
            }
            Entry::Values(key, value) => {
                let (epoch, family, piece) = row_key_parts(&key);
                match family.checked_sub(1) {
                    None => self.group(epoch).values = Some(value.0),
                    Some(family) => drop(self.family(epoch, family).values.insert(piece, value.0)),
                }
            }
            Entry::Remove(from, to) => self.remove(&from, &to),
            Entry::Kind(name, kind) => drop(self.kinds.insert(name, kind)),
            Entry::Key(number, value) => drop(self.keys.insert(number, value.0)),
            Entry::KeysGone(from, to) => self.keys.retain(|number, _| !(from..to).contains(number)),
            Entry::NextKey(number) => self.next_key = self.next_key.max(number),
            Entry::Latest(nanos) => self.latest = self.latest.max(nanos),
        }
    }

    fn remove(&mut self, from: &RowKey, to: &RowKey) {
        let (epoch, family, piece) = row_key_parts(from);
        match (row_key_parts(to), family.checked_sub(1)) {
            ((u64::MAX, ..), _) => {
                let Changed { next_key, latest, .. } = *self;
                *self = Changed { is_all: true, next_key, latest, ..Changed::default() };
            }
            (_, None) => {
                self.groups.insert(epoch, ChangedGroup { is_new: true, ..ChangedGroup::default() });
            }
            (_, Some(family)) if piece == 0 => {
                let group = self.group(epoch);
                group.families.remove(&family);
                group.gone.insert(family);
            }
            (_, Some(family)) => {
                let family = self.family(epoch, family);
                family.left = Some(family.left.map_or(piece, |left| left.min(piece)));
                drop(family.labels.split_off(&piece));
                drop(family.values.split_off(&piece));
            }
        }
    }

    fn group(&mut self, epoch: u64) -> &mut ChangedGroup<'a> {
        let is_new = self.is_all;
        self.groups.entry(epoch).or_insert_with(|| ChangedGroup { is_new, ..ChangedGroup::default() })
    }

    fn family(&mut self, epoch: u64, number: u32) -> &mut ChangedFamily<'a> {
        self.group(epoch).families.entry(number).or_default()
    }

    /// What a store has to take in. `keys` and `layout` are brought up to date.
    ///
    /// # Errors
    ///
    /// The first damage.
    pub(in crate::persistence) fn news(
        self,
        store: &Store,
        keys: &mut GroupKeys,
        layout: &mut Layout,
    ) -> Result<News, String> {
        let mut news =
            News { is_all: self.is_all, next_key: self.next_key, latest: self.latest, ..News::default() };
        let mut kinds: HashMap<&str, (Arc<str>, Kind), RandomState> = HashMap::default();
        for (name, kind) in &self.kinds {
            let shared: Arc<str> = (*name).into();
            let kind = kind.map(|number| load::kind(name, number)).transpose()?;
            kinds.extend(kind.map(|kind| (*name, (shared.clone(), kind))));
            news.kinds.push((shared, kind));
        }
        if self.is_all {
            keys.clear();
        }
        let mut reading = Reading { store, kinds, layouts: Layouts::default() };
        for (epoch, changed) in self.groups {
            let before =
                if changed.is_new { None } else { keys.get(&epoch).and_then(|key| store.version(key)) };
            let before = before.filter(|before| before.epoch == epoch);
            if before.is_none() && changed.labels.is_none() {
                news.gone.extend(keys.remove(&epoch));
                layout.forget(epoch);
                continue;
            }
            let (view, is_small) = reading
                .group(epoch, before.as_deref(), changed)
                .map_err(|error| format!("group {epoch}: {error}"))?;
            if is_small {
                layout.forget(epoch)
            } else {
                layout.lies_apart(epoch)
            }
            // A gateway that has not seen a deleted group may give its epoch to another one.
            let former = keys.insert(epoch, view.labels.key.clone());
            news.gone.extend(former.filter(|former| *former != view.labels.key));
            news.latest = news.latest.max(view.times.latest());
            news.groups.push(view);
        }
        for (number, row) in self.keys {
            let record = load::record(number, row)?;
            news.latest = news.latest.max(record.at);
            news.keys.push(record);
        }
        Ok(news)
    }
}

/// What is needed to read changed rows.
struct Reading<'a> {
    store: &'a Store,
    kinds: HashMap<&'a str, (Arc<str>, Kind), RandomState>,
    layouts: Layouts,
}

impl Reading<'_> {
    /// A group after the change, and whether its values are in one row.
    fn group(
        &mut self,
        epoch: u64,
        before: Option<&Group>,
        mut changed: ChangedGroup<'_>,
    ) -> Result<(GroupView, bool), String> {
        let row = changed.values.ok_or("its times are missing")?;
        let values = GroupValuesRow::read(row).map_err(text)?;
        let labels = match (changed.labels, before) {
            (Some(row), _) => Arc::new(load::group_labels(row)?),
            (None, Some(before)) => before.labels.clone(),
            (None, None) => return Err("its labels are missing".to_owned()),
        };
        let is_small = values.small.is_some();
        let mut first_values: HashMap<u32, ValuesRow, RandomState> =
            values.small.into_iter().flatten().collect();
        let mut families: BTreeMap<u32, FamilyView> = before
            .map(|before| GroupView::of(before).families)
            .into_iter()
            .flatten()
            .filter(|family| !changed.gone.contains(&family.number))
            .map(|family| (family.number, self.retyped(family, labels.is_source)))
            .collect();
        for number in first_values.keys() {
            changed.families.entry(*number).or_default();
        }
        for (number, changed) in changed.families {
            let values = first_values.remove(&number);
            let family = self
                .family(number, families.remove(&number), changed, values)
                .map_err(|error| format!("family {number}: {error}"))?;
            families.insert(number, family);
        }
        let families = families.into_values().collect();
        Ok((GroupView { epoch, labels, times: values.times, ttl: values.ttl, families }, is_small))
    }

    /// A family with the type that its name has now. What a source remembers may be of a time when the name had another
    /// one.
    fn retyped(&self, family: FamilyView, is_of_source: bool) -> FamilyView {
        match self.kinds.get(&*family.name).filter(|_| !is_of_source) {
            Some((_, kind)) => FamilyView { kind: *kind, ..family },
            None => family,
        }
    }

    /// A family after the change. `first` has the values of its first piece if they do not lie in a row of their own.
    fn family(
        &mut self,
        number: u32,
        before: Option<FamilyView>,
        mut changed: ChangedFamily<'_>,
        mut first: Option<ValuesRow>,
    ) -> Result<FamilyView, String> {
        let mut family = match (changed.name, before) {
            (Some(row), before) => self.named(number, row, before)?,
            (None, Some(before)) => before,
            (None, None) => return Err("its name is missing".to_owned()),
        };
        if let Some(left) = changed.left {
            family.pieces.truncate(left as usize);
        }
        let mut numbers: BTreeSet<u32> =
            changed.labels.keys().chain(changed.values.keys()).copied().collect();
        if first.is_some() {
            numbers.insert(0);
        }
        for at in numbers {
            let values = match (changed.values.remove(&at), first.take_if(|_| at == 0)) {
                (Some(row), None) => ValuesRow::read(row).map_err(text)?,
                (_, Some(values)) => values,
                (None, None) => return Err(format!("the values of piece {at} are missing")),
            };
            if at == 0 {
                (family.pushed_at, family.lasting) = (values.pushed_at, values.lasting());
            }
            let before = family.pieces.get(at as usize);
            if let Some(before) = before {
                self.layouts.know(before);
            }
            let labels = match (changed.labels.remove(&at), before) {
                (Some(row), _) => postcard::from_bytes(row).ok().and_then(|row| Labels::read(&row)),
                (None, Some(before)) => Some(Labels::of(before)),
                // A family without series has values of none.
                (None, None) => continue,
            };
            let piece = labels.and_then(|labels| row::piece(&labels, values, &mut self.layouts));
            let piece = piece
                .filter(|piece| at as usize <= family.pieces.len() && piece.form() == family.kind.form());
            let piece = piece.ok_or_else(|| format!("piece {at} does not fit"))?;
            let piece = if family.lasting.is_none() { piece.with_pushed(Vec::new()) } else { piece };
            family.pieces.put(at as usize, Arc::new(piece));
        }
        Ok(family)
    }

    /// A family with the name and texts of a row.
    fn named(&self, number: u32, row: &[u8], before: Option<FamilyView>) -> Result<FamilyView, String> {
        let (FamilyRow { name, help, unit }, terms) = FamilyRow::read(row).map_err(text)?;
        let live = self.kinds.get(name).cloned().or_else(|| self.store.kind_of(name));
        let (name, kind) = load::named(name, terms, live)?;
        let before = before.filter(|before| before.name == name);
        let (pushed_at, lasting, pieces) = match before {
            Some(before) => (before.pushed_at, before.lasting, before.pieces),
            None => (0, None, Pieces::default()),
        };
        let metadata = Metadata { help: help.map(Arc::from), unit: unit.map(Arc::from) };
        Ok(FamilyView { number, name, kind, metadata, rule: terms.rule, pushed_at, lasting, pieces })
    }
}
