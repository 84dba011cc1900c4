//! Deadlines for the expiry of groups and series.
//!
//! A deadline is the earliest time at which a group or series may expire. A push does not change it. When it has
//! passed, the job asks when the group or series really expires, and moves the deadline if that is later. So pushes
//! cost nothing, and a check costs only what is due.
//!
//! The series of a piece have one deadline together: that of the first of them.
//!
//! What is due but was not scraped since its last push waits. It is asked again when a scrape has shown that push, or at
//! its new deadline, which is later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::store::group::PieceAt;

/// A group that may expire, or the series of a piece of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subject {
    /// The key of the group.
    pub(super) group: Arc<str>,
    /// The piece, or `None` for the whole group.
    pub(super) piece: Option<PieceAt>,
}

/// What happens when a deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has expired, or a part of it. The deadline stays until it is removed from the store.
    Over,
    /// It expires later.
    Later {
        /// No earlier than this, in nanoseconds since the epoch.
        deadline: i64,
        /// Or once a scrape has shown what was pushed up to this time.
        waits_since: Option<i64>,
    },
    /// It no longer exists or no longer expires.
    Gone,
}

/// How far a look goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    /// How many subjects may have expired.
    pub(super) over: usize,
    /// How many are asked.
    pub(super) asked: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    deadline: i64,
    waits_since: Option<i64>,
}

/// The deadlines in order, in nanoseconds since the epoch.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    ordered: BTreeSet<(i64, Subject)>,
    /// Those that wait for a scrape, by the time up to which it must have shown what was pushed.
    waiting: BTreeSet<(i64, Subject)>,
    /// The deadline of each group or piece.
    by_subject: BTreeMap<Subject, Due>,
}

impl Deadlines {
    /// Adds a deadline. An earlier one stays, and is moved when it has passed.
    pub(super) fn add(&mut self, subject: Subject, deadline: i64) {
        match self.by_subject.get(&subject) {
            Some(before) if before.deadline <= deadline => {}
            before => {
                let waits_since = before.and_then(|before| before.waits_since);
                self.set(subject, Due { deadline, waits_since });
            }
        }
    }

    fn set(&mut self, subject: Subject, due: Due) {
        if let Some(before) = self.by_subject.insert(subject.clone(), due) {
            self.remove_ordered(&subject, before);
        }
        if let Some(since) = due.waits_since {
            self.waiting.insert((since, subject.clone()));
        }
        self.ordered.insert((due.deadline, subject));
    }

    fn remove(&mut self, subject: Subject) {
        if let Some(due) = self.by_subject.remove(&subject) {
            self.remove_ordered(&subject, due);
        }
    }

    fn remove_ordered(&mut self, subject: &Subject, due: Due) {
        self.ordered.remove(&(due.deadline, subject.clone()));
        if let Some(since) = due.waits_since {
            self.waiting.remove(&(since, subject.clone()));
        }
    }

    /// Removes the deadlines of a deleted group and of its series.
    pub(super) fn forget_group(&mut self, group: &Arc<str>) {
        if self.by_subject.is_empty() {
            return;
        }
        let first = Subject { group: group.clone(), piece: None };
        let of_group = self.by_subject.range(first..).take_while(|(subject, _)| subject.group == *group);
        let subjects: Vec<Subject> = of_group.map(|(subject, _)| subject.clone()).collect();
        subjects.into_iter().for_each(|subject| self.remove(subject));
    }

    /// The earliest deadline, whatever scrapes show.
    pub(super) fn first(&self) -> Option<i64> {
        self.ordered.first().map(|(deadline, _)| *deadline)
    }

    /// When there is something to ask next. A scrape has shown what was pushed up to `scraped`.
    pub(super) fn next(&self, scraped: i64) -> Option<i64> {
        let shown = self.waiting.first().map(|(since, _)| *since).filter(|since| *since <= scraped);
        shown.into_iter().chain(self.first()).min()
    }

    /// Calls `fate` for everything whose deadline has passed at `now`, the earliest first, and for what waited for a
    /// scrape, which has shown what was pushed up to `scraped`. Returns what has expired, in this order, and whether
    /// that is all.
    pub(super) fn over(
        &mut self,
        now: i64,
        scraped: i64,
        most: Most,
        mut fate: impl FnMut(&Subject) -> Fate,
    ) -> (Vec<Subject>, bool) {
        let mut over = Vec::new();
        let mut others = Vec::new();
        let is_due = |subject: &Subject| self.by_subject.get(subject).is_some_and(|due| due.deadline <= now);
        let due = self.ordered.iter().take_while(|(deadline, _)| *deadline <= now);
        let shown = self.waiting.iter().take_while(|(since, _)| *since <= scraped);
        let shown = shown.filter(|(_, subject)| !is_due(subject));
        let mut is_all = true;
        for (asked, (_, subject)) in due.chain(shown).enumerate() {
            if over.len() >= most.over || asked >= most.asked {
                is_all = false;
                break;
            }
            match fate(subject) {
                Fate::Over => over.push(subject.clone()),
                other => others.push((subject.clone(), other)),
            }
        }
        for (subject, fate) in others {
            match fate {
                Fate::Later { deadline, waits_since } => self.set(subject, Due { deadline, waits_since }),
                Fate::Over | Fate::Gone => self.remove(subject),
            }
        }
        (over, is_all)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::store::sight::{Outlook, Sight};

    #[derive(Clone, Debug)]
    enum Step {
        /// A push, with a TTL.
        Add(usize, i64),
        /// A push moves the expiry.
        Push(usize),
        Forget(usize),
        /// A scrape of so long ago was sent whole.
        Scrape(i64),
        Look(i64, usize),
    }

    fn subject(number: usize) -> Subject {
        let piece = (number % 3).checked_sub(1);
        let piece = piece.map(|piece| PieceAt { family: "g".into(), number: piece as u32 });
        Subject { group: format!("{{job=\"{}\"}}", number / 3).into(), piece }
    }

    const SUBJECTS: usize = 12;

    const ALL: Most = Most { over: SUBJECTS, asked: 2 * SUBJECTS };

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..SUBJECTS, 1..40i64).prop_map(|(subject, ttl)| Step::Add(subject, ttl)),
            4 => (0..SUBJECTS).prop_map(Step::Push),
            1 => (0..SUBJECTS / 3).prop_map(Step::Forget),
            2 => (0..20i64).prop_map(Step::Scrape),
            4 => (0..80i64, 1..5usize).prop_map(|(passed, most)| Step::Look(passed, most)),
        ];
        prop::collection::vec(step, 1..80)
    }

    /// When each one was pushed last, and its TTL, in no order.
    #[derive(Default)]
    struct Slow(HashMap<usize, (i64, i64)>);

    impl Slow {
        fn outlook(&self, number: usize, sight: Sight) -> Option<Outlook> {
            let mut outlook = Outlook::default();
            let (last, ttl) = self.0.get(&number)?;
            outlook.add(*last, *ttl, sight);
            Some(outlook)
        }
    }

    proptest! {
        /// A check finds everything that has expired by then, whatever was added, moved and removed before.
        #[test]
        fn a_look_finds_what_is_over(steps in steps()) {
            let (mut deadlines, mut slow) = (Deadlines::default(), Slow::default());
            let mut sight = Sight { now: 0, scraped: -1 };
            for step in steps {
                match step {
                    Step::Add(number, ttl) => {
                        let before = slow.0.insert(number, (sight.now, ttl));
                        // A later end is found when the earlier one has passed.
                        if before.is_none_or(|(_, before)| ttl < before) {
                            deadlines.add(subject(number), sight.now + ttl);
                        }
                    }
                    // The deadline does not know about the push.
                    Step::Push(number) => {
                        slow.0.entry(number).and_modify(|(last, _)| *last = sight.now);
                    }
                    Step::Forget(group) => {
                        slow.0.retain(|number, _| number / 3 != group);
                        deadlines.forget_group(&subject(group * 3).group);
                    }
                    Step::Scrape(ago) => sight.scraped = sight.scraped.max(sight.now - ago),
                    Step::Look(passed, most) => {
                        sight.now += passed;
                        let due = deadlines.ordered.iter().filter(|(deadline, _)| *deadline <= sight.now).count();
                        let shown = deadlines.waiting.iter().filter(|(since, _)| *since <= sight.scraped).count();
                        let mut asked = 0;
                        let most = Most { over: most, ..ALL };
                        let (found, is_all) = deadlines.over(sight.now, sight.scraped, most, |asking| {
                            asked += 1;
                            let number = (0..SUBJECTS).find(|n| subject(*n) == *asking);
                            match number.and_then(|number| slow.outlook(number, sight)) {
                                Some(Outlook { is_over: true, .. }) => Fate::Over,
                                Some(Outlook { next: Some(deadline), waits_since, .. }) => {
                                    Fate::Later { deadline, waits_since }
                                }
                                _ => Fate::Gone,
                            }
                        });
                        let is_over = |number: &usize| slow.outlook(*number, sight).is_some_and(|o| o.is_over);
                        let over: Vec<Subject> = slow.0.keys().filter(|n| is_over(n)).map(|n| subject(*n)).collect();
                        prop_assert_eq!(found.len(), over.len().min(most.over));
                        prop_assert!(found.iter().all(|subject| over.contains(subject)));
                        prop_assert!(is_all || found.len() == most.over);
                        prop_assert!(asked <= due + shown, "{asked} were asked, and {due} and {shown} are due");
                        // It counts as expired until it is removed.
                        for gone in found.iter().skip(1) {
                            slow.0.retain(|number, _| subject(*number) != *gone);
                        }
                    }
                }
                let by_subject = deadlines.by_subject.iter();
                let ordered: BTreeSet<_> = by_subject.clone().map(|(s, due)| (due.deadline, s.clone())).collect();
                prop_assert_eq!(&ordered, &deadlines.ordered);
                let waiting = by_subject.filter_map(|(s, due)| Some((due.waits_since?, s.clone())));
                prop_assert_eq!(&waiting.collect::<BTreeSet<_>>(), &deadlines.waiting);
                // No deadline is later than the expiry, so none is missed.
                for (number, (last, ttl)) in &slow.0 {
                    let due = deadlines.by_subject.get(&subject(*number));
                    let end = if due.is_some_and(|due| due.waits_since.is_some_and(|since| since <= *last)) {
                        last + 10 * ttl
                    } else {
                        last + ttl
                    };
                    prop_assert!(due.is_some_and(|due| due.deadline <= end), "{due:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_due_is_not_looked_at() {
        let mut deadlines = Deadlines::default();
        for number in 0..SUBJECTS {
            deadlines.add(subject(number), number as i64);
        }
        let mut asked = Vec::new();
        let over = deadlines.over(3, -1, ALL, |subject| {
            asked.push(subject.clone());
            if asked.len() == 2 { Fate::Later { deadline: 100, waits_since: None } } else { Fate::Gone }
        });
        assert_eq!((over, asked), ((Vec::new(), true), (0..4).map(subject).collect()));
        assert_eq!((deadlines.next(-1), deadlines.ordered.len()), (Some(4), SUBJECTS - 3));
        // An earlier deadline counts. A later one is found when the earlier one has passed.
        deadlines.add(subject(11), 2);
        deadlines.add(subject(11), 50);
        assert_eq!(deadlines.next(-1), Some(2));
        deadlines.forget_group(&subject(11).group);
        assert_eq!((deadlines.next(-1), deadlines.ordered.len()), (Some(4), SUBJECTS - 6));
    }

    #[test]
    fn a_look_ends_when_it_has_asked_enough() {
        let mut deadlines = Deadlines::default();
        (0..SUBJECTS).for_each(|number| deadlines.add(subject(number), number as i64));
        let most = Most { over: 3, asked: 5 };
        let later = |_: &Subject| Fate::Later { deadline: 100, waits_since: None };
        assert_eq!(deadlines.over(50, -1, most, later), (Vec::new(), false));
        assert_eq!(deadlines.next(-1), Some(5));
        assert_eq!(deadlines.over(50, -1, most, |_| Fate::Over), ((5..8).map(subject).collect(), false));
    }

    #[test]
    fn what_waits_is_asked_when_a_scrape_has_shown_it() {
        let mut deadlines = Deadlines::default();
        (0..3).for_each(|number| deadlines.add(subject(number), 10));
        let waits = |since| move |_: &Subject| Fate::Later { deadline: 100, waits_since: Some(since) };
        assert_eq!(deadlines.over(10, 4, ALL, waits(5)), (Vec::new(), true));
        assert_eq!((deadlines.next(4), deadlines.next(5)), (Some(100), Some(5)));
        assert_eq!(deadlines.over(20, 4, ALL, |_| panic!("nothing is due")), (Vec::new(), true));
        assert_eq!(deadlines.over(20, 5, ALL, |_| Fate::Over).0, (0..3).map(subject).collect::<Vec<_>>());
        // Each is asked once, although it is due in both ways.
        assert_eq!(deadlines.over(100, 5, ALL, |_| Fate::Gone), (Vec::new(), true));
        assert_eq!(deadlines.next(5), None);
    }
}
