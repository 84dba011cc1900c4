//! Finds the family and role of the samples of a name, in the text format.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::exposition::assembly::Role;
use crate::exposition::scan::Cursor;
use crate::model::body::{Body, Family};
use crate::model::kind::Form;

/// The family of the samples with one name, and their role in it.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) family: usize,
    pub(super) role: Role,
}

/// The names in the body so far.
pub(super) struct Targets<'a> {
    by_name: HashTable<(&'a str, Target)>,
    hasher: RandomState,
    /// The name of the last line, because most lines have the same.
    last: Option<(&'a str, Target)>,
}

impl<'a> Targets<'a> {
    /// No names yet.
    pub(super) fn new() -> Targets<'a> {
        Targets { by_name: HashTable::with_capacity(14), hasher: RandomState::default(), last: None }
    }

    /// The target of the last line, if this one has the same name.
    #[inline]
    pub(super) fn same_target(&self, line: &mut Cursor<'a>) -> Option<Target> {
        let (name, target) = self.last.as_ref()?;
        line.take_metric_name(name).then_some(*target)
    }

    /// The family and role of the samples with this name. A family that is new is added to the body. `is_bare` is false
    /// for a name that is written in quotes.
    pub(super) fn target(&mut self, body: &mut Body<'a>, name: &'a str, is_bare: bool) -> Target {
        let hash = self.hasher.hash_one(name);
        let target = self.find(hash, name).unwrap_or_else(|| {
            let target = self.member_of_composite(body, name).unwrap_or_else(|| {
                body.families.push(Family::new(name));
                Target { family: body.families.len() - 1, role: Role::Plain }
            });
            let hasher = &self.hasher;
            self.by_name.insert_unique(hash, (name, target), |(name, _)| hasher.hash_one(name));
            target
        });
        // A name in quotes is not remembered: it may need them, and then no line without quotes matches it.
        self.last = is_bare.then_some((name, target));
        target
    }

    fn find(&self, hash: u64, name: &str) -> Option<Target> {
        self.by_name.find(hash, |(known, _)| *known == name).map(|(_, target)| *target)
    }

    /// The summary or histogram of which `name` is a sample name with a suffix, if there is one.
    fn member_of_composite(&self, body: &Body<'a>, name: &str) -> Option<Target> {
        let (base, role) = if let Some(base) = name.strip_suffix("_count") {
            (base, Role::Count)
        } else if let Some(base) = name.strip_suffix("_sum") {
            (base, Role::Sum)
        } else {
            (name.strip_suffix("_bucket")?, Role::Plain)
        };
        let family = self.find(self.hasher.hash_one(base), base).filter(|_| !base.is_empty())?.family;
        let has_suffix = match body.families[family].kind?.form() {
            Form::Number => false,
            Form::Summary => role != Role::Plain,
            Form::Histogram => true,
        };
        (has_suffix && body.families[family].name == base).then_some(Target { family, role })
    }
}
