//! Why pushes were refused, for whoever looks: the last reason for each group, and the latest pushes that could not be
//! read.
//!
//! It is in memory only, and bounded in number and in bytes. An accepted push never comes here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Display;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use super::{Client, Gateway};
use crate::message::{Bounded, Excerpt};
use crate::model::grouping::Grouping;

/// The longest reason that is kept, in bytes.
const REASON_BYTES: usize = 1024;

/// The most groups whose last refusal is kept.
const MOST_GROUPS: usize = 4096;

/// The most bytes of their keys and reasons.
const MOST_BYTES: usize = 4 << 20;

/// The most pushes in the list of those that could not be read.
pub const MOST_UNREAD: usize = 200;

/// A push that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When, in nanoseconds since the epoch.
    pub at: i64,
    /// The method of its request.
    pub method: Box<str>,
    /// Who sent it.
    pub client: Client,
    /// Why.
    pub reason: Box<str>,
}

/// A push that could not be read, or whose path could not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The latest time.
    pub refused: Refused,
    /// The beginning of the path.
    pub path: Box<str>,
    /// How often the same client sent the same to the same path.
    pub times: u64,
}

/// The last refusals by group key.
pub type ByGroup = HashMap<Arc<str>, Arc<Refused>, RandomState>;

/// What is known of refused pushes.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    groups: HashMap<Arc<str>, (u64, Arc<Refused>), RandomState>,
    /// The groups in the order of their last refusal.
    order: BTreeMap<u64, Arc<str>>,
    next: u64,
    bytes: usize,
    /// The latest is the last.
    unread: VecDeque<Unread>,
}

impl Refusals {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn note_group(&mut self, key: &str, refused: Refused) {
        self.forget(key);
        let size = size_of(key, &refused);
        if size > MOST_BYTES {
            return;
        }
        while self.groups.len() >= MOST_GROUPS || self.bytes + size > MOST_BYTES {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.forget(&oldest);
        }
        let key: Arc<str> = key.into();
        self.bytes += size;
        self.order.insert(self.next, key.clone());
        self.groups.insert(key, (self.next, Arc::new(refused)));
        self.next += 1;
    }

    fn forget(&mut self, key: &str) {
        if let Some((number, refused)) = self.groups.remove(key) {
            self.order.remove(&number);
            self.bytes = self.bytes.saturating_sub(size_of(key, &refused));
        }
    }

    fn note_unread(&mut self, path: Box<str>, refused: Refused) {
        let is_same = |known: &Unread| {
            known.path == path
                && known.refused.reason == refused.reason
                && known.refused.method == refused.method
                && known.refused.client.address() == refused.client.address()
        };
        let before = self.unread.iter().position(is_same).and_then(|at| self.unread.remove(at));
        if self.unread.len() >= MOST_UNREAD {
            self.unread.pop_front();
        }
        let times = before.map_or(0, |before| before.times).saturating_add(1);
        self.unread.push_back(Unread { refused, path, times });
    }
}

fn size_of(key: &str, refused: &Refused) -> usize {
    key.len() + refused.reason.len()
}

fn cut(reason: impl Display) -> Box<str> {
    let mut cut = Bounded::new(REASON_BYTES);
    let _ = write!(cut, "{reason}");
    cut.finish().into()
}

impl Gateway {
    /// Notes why a push to a group was refused. `pushed` are the labels of its path.
    pub fn note_refused(&self, pushed: &Grouping<'_>, method: &str, client: Client, reason: impl Display) {
        let refused = self.refused_now(method, client, reason);
        let decision = self.rules().map(|rules| rules.decide(pushed));
        let target = decision.as_ref().map_or(pushed.key(), |decision| decision.target.key());
        self.refusals.kept().note_group(target, refused);
    }

    /// Notes a push that could not be read, or whose path could not.
    pub fn note_unread(&self, path: &str, method: &str, client: Client, reason: impl Display) {
        let refused = self.refused_now(method, client, reason);
        self.refusals.kept().note_unread(Excerpt::of(path).to_string().into(), refused);
    }

    fn refused_now(&self, method: &str, client: Client, reason: impl Display) -> Refused {
        let method = Excerpt::of(method).to_string().into();
        Refused { at: self.clock.now().nanos, method, client, reason: cut(reason) }
    }

    /// The latest pushes that could not be read, the newest first.
    pub fn unread(&self) -> Vec<Unread> {
        self.refusals.kept().unread.iter().rev().cloned().collect()
    }

    /// How many of them are so.
    pub(super) fn count_unread(&self, is_so: impl Fn(&Unread) -> bool) -> usize {
        self.refusals.kept().unread.iter().filter(|unread| is_so(unread)).count()
    }

    /// The last refused push to the group with this key, if it is known.
    pub(super) fn last_refusal(&self, key: &str) -> Option<Arc<Refused>> {
        self.refusals.kept().groups.get(key).map(|(_, refused)| refused.clone())
    }

    /// The last refused push of every group where it is known.
    pub(super) fn last_refusals(&self) -> ByGroup {
        let kept = self.refusals.kept();
        kept.groups.iter().map(|(key, (_, refused))| (key.clone(), refused.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: &str) -> Refused {
        Refused { at: 1, method: "POST".into(), client: Client::default(), reason: reason.into() }
    }

    #[test]
    fn the_last_reason_of_the_latest_groups_is_kept() {
        let mut kept = Kept::default();
        for number in 0..MOST_GROUPS + 10 {
            kept.note_group(&format!("g{number}"), refused("a"));
        }
        kept.note_group("g10", refused("bb"));
        kept.note_group("new", refused("c"));
        assert_eq!((kept.groups.len(), kept.order.len()), (MOST_GROUPS, MOST_GROUPS));
        assert!(!kept.groups.contains_key("g9") && !kept.groups.contains_key("g11"));
        assert_eq!(&*kept.groups["g10"].1.reason, "bb");
        let bytes: usize = kept.groups.iter().map(|(key, (_, refused))| size_of(key, refused)).sum();
        assert_eq!(kept.bytes, bytes);
    }

    #[test]
    fn long_keys_take_no_more_than_their_share() {
        let mut kept = Kept::default();
        kept.note_group(&"k".repeat(MOST_BYTES + 1), refused("a"));
        assert_eq!((kept.groups.len(), kept.bytes), (0, 0));
        for number in 0..10 {
            kept.note_group(&format!("{number}{}", "k".repeat(MOST_BYTES / 3)), refused("a"));
        }
        assert_eq!((kept.groups.len(), kept.order.len()), (2, 2));
        assert!(kept.bytes <= MOST_BYTES);
        assert!(cut("x".repeat(5000)).len() <= REASON_BYTES);
    }

    #[test]
    fn the_same_again_is_counted() {
        let mut kept = Kept::default();
        for path in ["/a", "/b", "/a", "/a"] {
            kept.note_unread(path.into(), refused("r"));
        }
        let shown: Vec<_> = kept.unread.iter().map(|unread| (&*unread.path, unread.times)).collect();
        assert_eq!(shown, [("/b", 1), ("/a", 3)]);
        for number in 0..MOST_UNREAD {
            kept.note_unread(format!("/{number}").into(), refused("r"));
        }
        assert_eq!((kept.unread.len(), &*kept.unread[0].path), (MOST_UNREAD, "/0"));
    }
}
