//! Finds the family and role of the samples of a name, in the text format.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::exposition::assembly::Role;
use crate::exposition::scan::Cursor;
use crate::model::body::{Body, Family};
use crate::model::kind::{Form, Kind};

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
    /// Whether a family has a name that ends like the samples of a histogram or summary.
    has_suffixed_family: bool,
}

impl<'a> Targets<'a> {
    /// No names yet.
    pub(super) fn new() -> Targets<'a> {
        Targets {
            by_name: HashTable::with_capacity(14),
            hasher: RandomState::default(),
            last: None,
            has_suffixed_family: false,
        }
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
        let target = match self.member_of_last(body, name) {
            Some(target) => target,
            None => self.find_or_add(body, name),
        };
        // A name in quotes is not remembered: it may need them, and then no line without quotes matches it.
        self.last = is_bare.then_some((name, target));
        target
    }

    /// As [`Targets::member_of_composite`] for the family of the last line, if no other family can have this name.
    fn member_of_last(&self, body: &Body<'a>, name: &str) -> Option<Target> {
        let (base, role) = split_suffix(name)?;
        let family = self.last.as_ref().filter(|_| !self.has_suffixed_family)?.1.family;
        is_member(&body.families[family], base, role).then_some(Target { family, role })
    }

    fn find_or_add(&mut self, body: &mut Body<'a>, name: &'a str) -> Target {
        let hash = self.hasher.hash_one(name);
        self.find(hash, name).unwrap_or_else(|| {
            let target = self.member_of_composite(body, name).unwrap_or_else(|| {
                self.has_suffixed_family |= split_suffix(name).is_some();
                body.families.push(Family::new(name));
                Target { family: body.families.len() - 1, role: Role::Plain }
            });
            let hasher = &self.hasher;
            self.by_name.insert_unique(hash, (name, target), |(name, _)| hasher.hash_one(name));
            target
        })
    }

    fn find(&self, hash: u64, name: &str) -> Option<Target> {
        self.by_name.find(hash, |(known, _)| *known == name).map(|(_, target)| *target)
    }

    /// The summary or histogram of which `name` is a sample name with a suffix, if there is one.
    fn member_of_composite(&self, body: &Body<'a>, name: &str) -> Option<Target> {
        let (base, role) = split_suffix(name)?;
        let family = self.find(self.hasher.hash_one(base), base)?.family;
        is_member(&body.families[family], base, role).then_some(Target { family, role })
    }
}

/// A sample name without the suffix that tells its role, if it has one.
fn split_suffix(name: &str) -> Option<(&str, Role)> {
    // Most names have none, which the last letter shows.
    match name.as_bytes().last()? {
        b'm' => Some((name.strip_suffix("_sum")?, Role::Sum)),
        b't' => match name.strip_suffix("_bucket") {
            Some(base) => Some((base, Role::Plain)),
            None => Some((name.strip_suffix("_count")?, Role::Count)),
        },
        _ => None,
    }
}

/// Whether the samples of this role, whose name begins with `base`, belong to a family.
fn is_member(family: &Family<'_>, base: &str, role: Role) -> bool {
    let has_role = match family.kind.map(Kind::form) {
        None | Some(Form::Number) => false,
        Some(Form::Summary) => role != Role::Plain,
        Some(Form::Histogram) => true,
    };
    has_role && !base.is_empty() && family.name == base
}
