//! Relabelling, as Prometheus does it (`model/relabel` of its version 3).
//!
//! It acts on a list of labels, whatever they are the labels of.

mod letters;
mod template;

use std::borrow::Cow;

use md5::{Digest, Md5};

use self::letters::{to_lower, to_upper};
pub(super) use self::template::Template;
use super::pattern::Pattern;
use crate::model::limits::{MAX_RELABELLED_BYTES, MAX_RELABELLED_LABELS};

/// One step of relabelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relabel {
    /// The labels whose values are joined.
    pub(super) source_labels: Box<[Box<str>]>,
    /// What stands between the joined values.
    pub(super) separator: Box<str>,
    /// What is done.
    pub(super) action: Action,
}

/// What a step does with the joined values, or with all labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// If the pattern matches, sets a label.
    Replace { pattern: Pattern, target: Template, replacement: Template },
    /// Drops the list unless the pattern matches.
    Keep(Pattern),
    /// Drops the list if the pattern matches.
    Drop(Pattern),
    /// Drops the list unless the target has this value.
    KeepEqual(Box<str>),
    /// Drops the list if the target has this value.
    DropEqual(Box<str>),
    /// Sets the target to the hash of the value modulo this number.
    HashMod { target: Box<str>, modulus: u64 },
    /// Copies labels whose names the pattern matches to other names.
    LabelMap { pattern: Pattern, replacement: Template },
    /// Removes labels whose names the pattern matches.
    LabelDrop(Pattern),
    /// Removes labels whose names the pattern does not match.
    LabelKeep(Pattern),
    /// Sets the target to the value in lower case.
    Lowercase(Box<str>),
    /// Sets the target to the value in upper case.
    Uppercase(Box<str>),
}

/// A label: name and value.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Labels while they are relabelled.
#[derive(Clone, Debug)]
pub struct Labels<'a> {
    /// First those that it began with, sorted by name, then those that were set since, in the order in which they were
    /// set first. Where `labelmap` gives two the same name, this order decides which one stays.
    labels: Vec<Pair<'a>>,
    /// How many of them it began with.
    began: usize,
    /// Labels that can be read, but neither set nor removed.
    fixed: &'a [(&'a str, &'a str)],
    /// How many bytes have been set.
    set_bytes: usize,
}

impl<'a> Labels<'a> {
    /// A list of these labels. One without a value is none.
    #[must_use]
    pub fn new(labels: impl IntoIterator<Item = Pair<'a>>) -> Labels<'a> {
        Labels::beside(&[], labels)
    }

    /// The same beside labels that can be read, but neither set nor removed. They hide others of their names.
    #[must_use]
    pub fn beside(fixed: &'a [(&'a str, &'a str)], labels: impl IntoIterator<Item = Pair<'a>>) -> Labels<'a> {
        let is_own =
            |(name, value): &Pair<'_>| !value.is_empty() && fixed.iter().all(|(other, _)| other != name);
        let mut labels: Vec<Pair<'a>> = labels.into_iter().filter(is_own).collect();
        labels.sort_by(|(a, _), (b, _)| a.cmp(b));
        Labels { began: labels.len(), labels, fixed, set_bytes: 0 }
    }

    /// The value of a label, empty if there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        let fixed = self.fixed.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
        let own = || self.labels.iter().find(|(own, _)| *own == name).map(|(_, value)| &**value);
        fixed.or_else(own).unwrap_or_default()
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        if self.is_fixed(&name) {
            return;
        }
        self.set_bytes += name.len() + value.len();
        let at = self.labels.iter().position(|(own, _)| *own == name);
        match at {
            Some(at) if at >= self.began && !value.is_empty() => {
                self.labels[at].1 = value;
                return;
            }
            Some(at) => self.remove_at(at),
            None => {}
        }
        if !value.is_empty() {
            self.labels.push((name, value));
        }
    }

    /// Whether there are more than [`MAX_RELABELLED_LABELS`], or more than [`MAX_RELABELLED_BYTES`] were set.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.labels.len() > MAX_RELABELLED_LABELS || self.set_bytes > MAX_RELABELLED_BYTES
    }

    /// The labels that are not fixed, in no particular order.
    #[must_use]
    pub fn into_pairs(self) -> Vec<Pair<'a>> {
        self.labels
    }

    fn is_fixed(&self, name: &str) -> bool {
        self.fixed.iter().any(|(own, _)| *own == name)
    }

    fn remove_at(&mut self, at: usize) {
        self.labels.remove(at);
        self.began -= usize::from(at < self.began);
    }

    fn retain(&mut self, keeps: impl Fn(&str) -> bool) {
        let mut at = 0;
        let mut began = self.began;
        self.labels.retain(|(name, _)| {
            let is_kept = keeps(name);
            began -= usize::from(!is_kept && at < self.began);
            at += 1;
            is_kept
        });
        self.began = began;
    }

    /// All labels with their names, in the order in which Prometheus goes over them.
    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let (began, set) = self.labels.split_at(self.began);
        began
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .chain(self.fixed.iter().copied().filter(|(_, value)| !value.is_empty()))
            .chain(set.iter().map(|(name, value)| (&**name, &**value)))
    }
}

/// Applies the steps, one after the other. `None` if one of them drops the labels. Stops where these become [too
/// large](Labels::is_too_large).
#[must_use]
pub fn relabel<'a>(steps: &[Relabel], mut labels: Labels<'a>) -> Option<Labels<'a>> {
    steps.iter().all(|step| labels.is_too_large() || step.apply(&mut labels)).then_some(labels)
}

impl Relabel {
    /// Whether it may give labels other names or values, or take some away.
    pub(super) fn changes_labels(&self) -> bool {
        !matches!(
            self.action,
            Action::Keep(_) | Action::Drop(_) | Action::KeepEqual(_) | Action::DropEqual(_)
        )
    }

    /// The values of the source labels, joined.
    fn value<'l>(&self, labels: &'l Labels<'_>) -> Cow<'l, str> {
        match &*self.source_labels {
            [] => Cow::Borrowed(""),
            [one] => Cow::Borrowed(labels.get(one)),
            [first, rest @ ..] => {
                let mut value = labels.get(first).to_owned();
                for name in rest {
                    value.push_str(&self.separator);
                    value.push_str(labels.get(name));
                }
                Cow::Owned(value)
            }
        }
    }

    /// Applies the step. False if it drops the labels.
    fn apply(&self, labels: &mut Labels<'_>) -> bool {
        let value = self.value(labels);
        let set = match &self.action {
            Action::Keep(pattern) => return pattern.is_match(&value),
            Action::Drop(pattern) => return !pattern.is_match(&value),
            Action::KeepEqual(target) => return labels.get(target) == value,
            Action::DropEqual(target) => return labels.get(target) != value,
            Action::LabelDrop(pattern) => {
                labels.retain(|name| !pattern.is_match(name));
                return true;
            }
            Action::LabelKeep(pattern) => {
                labels.retain(|name| pattern.is_match(name));
                return true;
            }
            Action::LabelMap { pattern, replacement } => {
                let mapped = |(name, value): (&str, &str)| {
                    Some((replacement.expand(pattern, name)?, value.to_owned()))
                };
                let mapped: Vec<(String, String)> = labels.iter().filter_map(mapped).collect();
                for (name, value) in mapped {
                    if labels.is_too_large() {
                        break;
                    }
                    labels.set(name.into(), value.into());
                }
                return true;
            }
            Action::Replace { pattern, target, replacement } => {
                let set = |target: String| Some((target, replacement.expand(pattern, &value)?));
                match target.expand(pattern, &value).filter(|target| !target.is_empty()).and_then(set) {
                    Some(set) => set,
                    None => return true,
                }
            }
            Action::HashMod { target, modulus } => {
                let digest: [u8; 16] = Md5::digest(value.as_bytes()).into();
                // The last 8 bytes.
                let hash = u128::from_be_bytes(digest) as u64;
                (target.to_string(), (hash % modulus).to_string())
            }
            Action::Lowercase(target) => (target.to_string(), to_lower(&value)),
            Action::Uppercase(target) => (target.to_string(), to_upper(&value)),
        };
        labels.set(set.0.into(), set.1.into());
        true
    }
}

#[cfg(test)]
mod tests;
