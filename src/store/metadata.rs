//! Help texts and units of families. Families with the same ones share them.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::model::push::{self, Push};

/// With fewer texts than this, unused ones are not searched for.
const MIN_TEXTS: usize = 16;

/// The metadata of a family that has neither help text nor unit.
pub(super) static NO_METADATA: Metadata = Metadata { help: None, unit: None };

/// Borrowed [`Metadata`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MetadataRef<'a> {
    /// The help text.
    pub help: Option<&'a str>,
    /// The unit.
    pub unit: Option<&'a str>,
}

/// What clients tell about a family beside its type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The help text.
    pub help: Option<Arc<str>>,
    /// The unit.
    pub unit: Option<Arc<str>>,
}

impl Metadata {
    /// Whether a push changes this: with what it says, and if the family `is_replaced` also with what it
    /// does not say.
    #[inline]
    pub fn changes_with(&self, push: &Push, pushed: &push::Family, is_replaced: bool) -> bool {
        let changes = |old: Option<&str>, new: Option<&str>| old != new && (is_replaced || new.is_some());
        changes(self.help.as_deref(), push.help(pushed)) || changes(self.unit.as_deref(), push.unit(pushed))
    }

    /// By how many bytes the texts grow when a push that replaces nothing changes this.
    pub fn growth(&self, push: &Push, pushed: &push::Family) -> i64 {
        let growth = |old: &Option<Arc<str>>, new: Option<&str>| {
            let old = old.as_ref().map_or(0, |old| old.len() as i64);
            new.map_or(0, |new| new.len() as i64 - old)
        };
        growth(&self.help, push.help(pushed)) + growth(&self.unit, push.unit(pushed))
    }

    /// The texts after the push.
    pub fn changed_with<'a>(
        &'a self,
        push: &'a Push,
        pushed: &push::Family,
        is_replaced: bool,
    ) -> MetadataRef<'a> {
        let own = self.texts();
        let change = |old: Option<&'a str>, new: Option<&'a str>| if is_replaced { new } else { new.or(old) };
        MetadataRef { help: change(own.help, push.help(pushed)), unit: change(own.unit, push.unit(pushed)) }
    }

    /// The texts.
    pub fn texts(&self) -> MetadataRef<'_> {
        MetadataRef { help: self.help.as_deref(), unit: self.unit.as_deref() }
    }
}

/// The metadata of one metric name. Groups usually agree on it. If they don't, each is still found quickly.
#[derive(Debug, Default)]
pub(super) enum Texts {
    #[default]
    None,
    One(Arc<Metadata>),
    Many(Box<Many>),
}

/// Different metadata of one metric name.
#[derive(Debug, Default)]
pub(super) struct Many {
    all: HashTable<Arc<Metadata>>,
    hasher: RandomState,
    /// The number of them at which unused ones are removed next.
    cleaned_at: usize,
}

impl Texts {
    /// The shared copy of these texts. `None` if there is no text.
    pub(super) fn shared(&mut self, texts: MetadataRef<'_>) -> Option<Arc<Metadata>> {
        if texts == NO_METADATA.texts() {
            return None;
        }
        match self {
            Texts::None => {
                let metadata = texts.to_shared();
                *self = Texts::One(metadata.clone());
                Some(metadata)
            }
            Texts::One(known) if known.texts() == texts => Some(known.clone()),
            Texts::One(known) => {
                let mut many = Box::<Many>::default();
                many.insert(known.clone());
                let metadata = many.shared(texts);
                *self = Texts::Many(many);
                Some(metadata)
            }
            Texts::Many(many) => Some(many.shared(texts)),
        }
    }
}

impl MetadataRef<'_> {
    fn to_shared(self) -> Arc<Metadata> {
        Arc::new(Metadata { help: self.help.map(Arc::from), unit: self.unit.map(Arc::from) })
    }
}

impl Many {
    fn shared(&mut self, texts: MetadataRef<'_>) -> Arc<Metadata> {
        let hash = self.hasher.hash_one(texts);
        if let Some(known) = self.all.find(hash, |known| known.texts() == texts) {
            return known.clone();
        }
        // A search at every insertion would make each new text cost more than the one before.
        if self.all.len() >= self.cleaned_at.max(MIN_TEXTS) {
            self.all.retain(|known| Arc::strong_count(known) > 1);
            let hasher = &self.hasher;
            self.all.shrink_to_fit(|known| hasher.hash_one(known.texts()));
            self.cleaned_at = 2 * self.all.len();
        }
        let metadata = texts.to_shared();
        self.insert(metadata.clone());
        metadata
    }

    fn insert(&mut self, metadata: Arc<Metadata>) {
        let hasher = &self.hasher;
        let hash = |known: &Arc<Metadata>| hasher.hash_one(known.texts());
        self.all.insert_unique(hash(&metadata), metadata, hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Help texts alone, units alone, and both: none is the same as another.
    fn shared(texts: &mut Texts, n: usize) -> Arc<Metadata> {
        let text = (n / 3).to_string();
        let help = (n % 3 != 1).then_some(&*text);
        let unit = (!n.is_multiple_of(3)).then_some(&*text);
        texts.shared(MetadataRef { help, unit }).unwrap()
    }

    #[test]
    fn a_text_is_there_once_and_goes_with_the_last_that_has_it() {
        let mut texts = Texts::default();
        let kept: Vec<Arc<Metadata>> = (0..100).map(|n| shared(&mut texts, n)).collect();
        for (n, known) in kept.iter().enumerate() {
            assert!(Arc::ptr_eq(&shared(&mut texts, n), known));
        }
        for n in 100..10_000 {
            shared(&mut texts, n);
        }
        assert!(texts.shared(MetadataRef { help: None, unit: None }).is_none());
        let Texts::Many(texts) = texts else { panic!("there are many") };
        assert!(texts.all.len() <= 2 * 100 + MIN_TEXTS, "{}", texts.all.len());
        assert!(kept.iter().all(|known| Arc::strong_count(known) == 2));
    }
}
