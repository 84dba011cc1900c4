//! What a group shows, computed slowly: it keeps what every source pushed last, and adds up what totals have grown by, in
//! plain maps.

use std::collections::{BTreeMap, BTreeSet};

use tallygate::model::merge::{Fold, Merge, Temporality};

/// How a push changes its group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Method {
    Post,
    PutReplace,
    PutAggregate,
}

impl Method {
    fn replaces(self, merge: Merge) -> bool {
        match self {
            Method::Post => false,
            Method::PutReplace => true,
            Method::PutAggregate => merge.replaces(),
        }
    }
}

/// A pushed family: how its values are merged, what they are, when its process began, and values by label.
#[derive(Clone, Debug)]
pub(crate) struct Pushed<L> {
    pub(crate) name: String,
    pub(crate) merge: Merge,
    pub(crate) temporality: Temporality,
    pub(crate) start: Option<i64>,
    pub(crate) series: Vec<(L, f64)>,
}

/// How many series a group may have, and the labels of the series that others are added to.
#[derive(Clone, Debug)]
pub(crate) struct Room<L> {
    pub(crate) most: usize,
    pub(crate) overflow: L,
}

#[derive(Clone, Debug)]
struct Value<S> {
    latest: f64,
    by_source: BTreeMap<S, f64>,
}

/// A group with sources `S` and labels `L`.
#[derive(Clone, Debug)]
pub(crate) struct Group<S, L> {
    merges: BTreeMap<String, Merge>,
    values: BTreeMap<(String, L), Value<S>>,
    totals: BTreeMap<(S, String, L), (Option<i64>, f64)>,
}

impl<S, L> Default for Group<S, L> {
    fn default() -> Group<S, L> {
        Group { merges: BTreeMap::new(), values: BTreeMap::new(), totals: BTreeMap::new() }
    }
}

fn is_fold(merge: Merge) -> bool {
    matches!(merge, Merge::Fold(_))
}

fn merged(old: f64, new: f64, merge: Merge) -> f64 {
    match merge {
        Merge::Add => old + new,
        Merge::Least => old.min(new),
        Merge::Greatest => old.max(new),
        Merge::Last | Merge::Fold(_) => new,
    }
}

impl<S: Clone + Ord, L: Clone + Ord> Group<S, L> {
    /// Gives the series that the group has before its source loses any.
    pub(crate) fn push(
        &mut self,
        push: Vec<Pushed<L>>,
        source: Option<&S>,
        method: Method,
        room: Option<&Room<L>>,
    ) -> BTreeSet<(String, L)> {
        let push: Vec<_> = push.into_iter().map(|pushed| self.increases(pushed, source, method)).collect();
        let push = if let Some(room) = room { self.within(room, push, source, method) } else { push };
        let mut lost = Vec::new();
        for (name, merge) in self.merges.clone() {
            if method == Method::Post || push.iter().any(|pushed| pushed.name == name) {
                continue;
            }
            match source.filter(|_| is_fold(merge)) {
                _ if !method.replaces(merge) => {}
                Some(_) => lost.push((name, BTreeSet::new())),
                None => self.drop_family(&name),
            }
        }
        for pushed in push {
            if let Some(kept) = self.merge(&pushed, source, method) {
                lost.push((pushed.name, kept));
            }
        }
        let had = self.keys();
        for (name, kept) in lost {
            source.into_iter().for_each(|source| self.lose(&name, source, &kept));
        }
        had
    }

    pub(crate) fn keys(&self) -> BTreeSet<(String, L)> {
        self.values.keys().cloned().collect()
    }

    /// What totals have grown by in the place of totals, which are remembered.
    fn increases(&mut self, mut pushed: Pushed<L>, source: Option<&S>, method: Method) -> Pushed<L> {
        let Some(source) = source else { return pushed };
        let Pushed { name, merge, temporality, start, series } = &mut pushed;
        if *temporality == Temporality::Delta {
            self.totals.retain(|(of, family, _), _| (of, family) != (source, &*name));
        }
        let is_total = match temporality {
            Temporality::Delta => false,
            Temporality::Cumulative => true,
            Temporality::Auto => start.is_some(),
        };
        if !is_total {
            return pushed;
        }
        let replaces = method.replaces(*merge);
        let increase = |(label, value): (L, f64)| {
            let key = (source.clone(), name.clone(), label.clone());
            let mut increase = value;
            if let Some((before_start, before)) = self.totals.get(&key).filter(|_| !replaces) {
                let grown = value - before;
                match start.zip(*before_start) {
                    Some((now, then)) if now < then => return None,
                    Some((now, then)) if now == then && grown < 0.0 => return None,
                    Some((now, then)) if now > then => {}
                    _ if grown < 0.0 => {}
                    _ => increase = grown,
                }
            }
            self.totals.insert(key, (*start, value));
            Some((label, increase))
        };
        *series = std::mem::take(series).into_iter().filter_map(increase).collect();
        pushed
    }

    /// The push where new series that find no room have the overflow labels.
    fn within(
        &self,
        room: &Room<L>,
        mut push: Vec<Pushed<L>>,
        source: Option<&S>,
        method: Method,
    ) -> Vec<Pushed<L>> {
        let is_replaced = |merge| method.replaces(merge) && !(is_fold(merge) && source.is_some());
        let stays = |(name, label): &&(String, L)| match push.iter().find(|pushed| pushed.name == *name) {
            Some(pushed) if is_replaced(pushed.merge) => {
                pushed.series.iter().any(|(other, _)| other == label)
            }
            Some(_) => true,
            None => method == Method::Post || !is_replaced(self.merges[name]),
        };
        let others = self.values.keys().filter(|(_, label)| *label != room.overflow);
        let mut left = room.most.saturating_sub(others.filter(stays).count());
        for pushed in &mut push {
            for (label, _) in &mut pushed.series {
                if *label == room.overflow || self.values.contains_key(&(pushed.name.clone(), label.clone()))
                {
                    continue;
                }
                if left > 0 {
                    left -= 1;
                } else {
                    *label = room.overflow.clone();
                }
            }
        }
        push
    }

    /// Gives the labels that the source keeps, if it may lose some.
    fn merge(&mut self, pushed: &Pushed<L>, source: Option<&S>, method: Method) -> Option<BTreeSet<L>> {
        let Pushed { name, merge, series, .. } = pushed;
        let source = source.filter(|_| is_fold(*merge));
        let replaces = method.replaces(*merge);
        // What is folded no more, or replaced by who is nobody, is nobody's.
        if self.merges.get(name).is_some_and(|merge| is_fold(*merge))
            && source.is_none()
            && (!is_fold(*merge) || replaces)
        {
            let of_family = self.values.iter_mut().filter(|((family, _), _)| family == name);
            of_family.for_each(|(_, value)| value.by_source.clear());
        }
        self.merges.insert(name.clone(), *merge);
        if replaces && source.is_none() {
            self.values.retain(|(family, _), _| family != name);
        }
        let mut of_push: BTreeMap<&L, f64> = BTreeMap::new();
        for (label, new) in series {
            // Only in the overflow series several of a push come together.
            let new = match (of_push.get(label), merge) {
                (Some(other), Merge::Fold(Fold::Sum)) => other + new,
                (Some(other), Merge::Fold(Fold::Min)) => other.min(*new),
                (Some(other), Merge::Fold(Fold::Max)) => other.max(*new),
                _ => *new,
            };
            of_push.insert(label, new);
            let key = (name.clone(), label.clone());
            let latest = self.values.get(&key).map_or(new, |old| merged(old.latest, new, *merge));
            let value = self.values.entry(key).or_insert(Value { latest, by_source: BTreeMap::new() });
            value.latest = latest;
            value.by_source.extend(source.map(|source| (source.clone(), new)));
        }
        source.filter(|_| replaces).map(|_| series.iter().map(|(label, _)| label.clone()).collect())
    }

    fn drop_family(&mut self, name: &str) {
        self.merges.remove(name);
        self.values.retain(|(family, _), _| family != name);
    }

    /// A source has only these series of a folded family any more.
    fn lose(&mut self, name: &str, source: &S, kept: &BTreeSet<L>) {
        self.values.retain(|(family, label), value| {
            let loses = family == name && !kept.contains(label) && value.by_source.remove(source).is_some();
            !(loses && value.by_source.is_empty())
        });
        self.drop_empty();
    }

    /// A family without series is none.
    fn drop_empty(&mut self) {
        let Group { merges, values, .. } = self;
        merges.retain(|name, _| values.keys().any(|(family, _)| family == name));
    }

    pub(crate) fn delete_source(&mut self, source: &S, keeps_totals: bool) {
        for (name, _) in self.merges.clone().into_iter().filter(|(_, merge)| is_fold(*merge)) {
            self.lose(&name, source, &BTreeSet::new());
        }
        if !keeps_totals {
            self.totals.retain(|(of, _, _), _| of != source);
        }
    }

    /// The series with this label go.
    pub(crate) fn drop_label(&mut self, label: &L) {
        self.values.retain(|(_, of), _| of != label);
        self.drop_empty();
    }

    /// The series with their names, labels and values.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&str, &L, f64)> {
        self.values.iter().map(|((name, label), value)| {
            let values: Vec<f64> = match value.by_source.is_empty() {
                true => vec![value.latest],
                false => value.by_source.values().copied().collect(),
            };
            let sum: f64 = values.iter().sum();
            let shown = match self.merges[name] {
                Merge::Fold(Fold::Sum) => sum,
                Merge::Fold(Fold::Min) => values.iter().copied().fold(f64::INFINITY, f64::min),
                Merge::Fold(Fold::Max) => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                Merge::Fold(Fold::Mean) => sum / values.len() as f64,
                Merge::Fold(Fold::Count) => values.len() as f64,
                _ => value.latest,
            };
            (name.as_str(), label, shown)
        })
    }

    /// Whether it remembers anything of any source.
    pub(crate) fn has_sources(&self) -> bool {
        !self.totals.is_empty() || self.values.values().any(|value| !value.by_source.is_empty())
    }

    /// How many series there are, with what sources remember.
    pub(crate) fn series(&self) -> usize {
        let folded: usize = self.values.values().map(|value| value.by_source.len()).sum();
        self.values.len() + folded + self.totals.len()
    }
}
