//! Deadlines for the expiry of groups and series.
//!
//! A deadline is the earliest time at which a group or series may expire. A push does not change it. When it has
//! passed, the job asks when the group or series really expires, and moves the deadline if that is later. So pushes
//! cost nothing, and a check costs only what is due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::store::selection::SeriesName;

/// A group or a series that may expire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subject {
    /// The key of the group.
    pub(super) group: Arc<str>,
    /// The series, or `None` for the whole group.
    pub(super) series: Option<Arc<SeriesName>>,
}

/// What happens when a deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has expired. The deadline stays until it is removed from the store.
    Over,
    /// It expires at this time, in nanoseconds since the epoch.
    Later(i64),
    /// It no longer exists or no longer expires.
    Gone,
}

/// The deadlines in order, in nanoseconds since the epoch.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    ordered: BTreeSet<(i64, Subject)>,
    /// The deadline of each group or series.
    by_subject: BTreeMap<Subject, i64>,
}

impl Deadlines {
    /// Adds a deadline. An earlier one stays, and is moved when it has passed.
    pub(super) fn add(&mut self, subject: Subject, deadline: i64) {
        if self.by_subject.get(&subject).is_none_or(|before| deadline < *before) {
            self.set(subject, deadline);
        }
    }

    fn set(&mut self, subject: Subject, deadline: i64) {
        if let Some(before) = self.by_subject.insert(subject.clone(), deadline) {
            self.ordered.remove(&(before, subject.clone()));
        }
        self.ordered.insert((deadline, subject));
    }

    fn remove(&mut self, subject: Subject) {
        if let Some(deadline) = self.by_subject.remove(&subject) {
            self.ordered.remove(&(deadline, subject));
        }
    }

    /// Removes the deadlines of a deleted group and of its series.
    pub(super) fn forget_group(&mut self, group: &Arc<str>) {
        if self.by_subject.is_empty() {
            return;
        }
        let first = Subject { group: group.clone(), series: None };
        let of_group = self.by_subject.range(first..).take_while(|(subject, _)| subject.group == *group);
        let subjects: Vec<Subject> = of_group.map(|(subject, _)| subject.clone()).collect();
        subjects.into_iter().for_each(|subject| self.remove(subject));
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<i64> {
        self.ordered.first().map(|(deadline, _)| *deadline)
    }

    /// Calls `fate` for everything whose deadline has passed at `now`, the earliest first, until `most` have
    /// expired. Returns the expired ones in this order.
    pub(super) fn over(
        &mut self,
        now: i64,
        most: usize,
        mut fate: impl FnMut(&Subject) -> Fate,
    ) -> Vec<Subject> {
        let mut over = Vec::new();
        let mut others = Vec::new();
        for (deadline, subject) in &self.ordered {
            if *deadline > now || over.len() >= most {
                break;
            }
            match fate(subject) {
                Fate::Over => over.push(subject.clone()),
                other => others.push((subject.clone(), other)),
            }
        }
        for (subject, fate) in others {
            match fate {
                Fate::Later(deadline) => self.set(subject, deadline),
                Fate::Over | Fate::Gone => self.remove(subject),
            }
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Add(usize, i64),
        /// A push moves the expiry.
        Push(usize, i64),
        Forget(usize),
        Look(i64, usize),
    }

    fn subject(number: usize) -> Subject {
        let series = (number % 3).checked_sub(1).map(|series| {
            let block = format!("{{n=\"{series}\"}}").into();
            Arc::new(SeriesName { family: "g".into(), block })
        });
        Subject { group: format!("{{job=\"{}\"}}", number / 3).into(), series }
    }

    const SUBJECTS: usize = 12;

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..SUBJECTS, 0..40i64).prop_map(|(subject, after)| Step::Add(subject, after)),
            4 => (0..SUBJECTS, 0..40i64).prop_map(|(subject, after)| Step::Push(subject, after)),
            1 => (0..SUBJECTS / 3).prop_map(Step::Forget),
            4 => (0..20i64, 1..5usize).prop_map(|(passed, most)| Step::Look(passed, most)),
        ];
        prop::collection::vec(step, 1..60)
    }

    /// When each one expires, in no order.
    #[derive(Default)]
    struct Slow(HashMap<usize, i64>);

    proptest! {
        /// A check finds everything that has expired by then, whatever was added, moved and removed before.
        #[test]
        fn a_look_finds_what_is_over(steps in steps()) {
            let (mut deadlines, mut slow, mut now) = (Deadlines::default(), Slow::default(), 0);
            for step in steps {
                match step {
                    Step::Add(number, after) => {
                        let end = slow.0.entry(number).or_insert(now + after);
                        *end = (*end).max(now + after);
                        deadlines.add(subject(number), now + after);
                    }
                    // The deadline does not know about the push.
                    Step::Push(number, after) => {
                        slow.0.entry(number).and_modify(|end| *end = (*end).max(now + after));
                    }
                    Step::Forget(group) => {
                        slow.0.retain(|number, _| number / 3 != group);
                        deadlines.forget_group(&subject(group * 3).group);
                    }
                    Step::Look(passed, most) => {
                        now += passed;
                        let due = deadlines.ordered.iter().filter(|(deadline, _)| *deadline <= now).count();
                        let mut asked = 0;
                        let found = deadlines.over(now, most, |asking| {
                            asked += 1;
                            match (0..SUBJECTS).find(|n| subject(*n) == *asking).and_then(|n| slow.0.get(&n)) {
                                Some(end) if *end <= now => Fate::Over,
                                Some(end) => Fate::Later(*end),
                                None => Fate::Gone,
                            }
                        });
                        let over = slow.0.iter().filter(|(_, end)| **end <= now);
                        let over: Vec<Subject> = over.map(|(number, _)| subject(*number)).collect();
                        prop_assert_eq!(found.len(), over.len().min(most));
                        prop_assert!(found.iter().all(|subject| over.contains(subject)));
                        prop_assert!(asked <= due, "{asked} were asked, and {due} are due");
                        // It counts as expired until it is removed.
                        for gone in found.iter().skip(1) {
                            slow.0.retain(|number, _| subject(*number) != *gone);
                        }
                    }
                }
                let by_subject = deadlines.by_subject.clone().into_iter();
                let ordered: BTreeSet<_> = by_subject.map(|(subject, deadline)| (deadline, subject)).collect();
                prop_assert_eq!(&ordered, &deadlines.ordered);
                // No deadline is later than the expiry, so none is missed.
                for (number, end) in &slow.0 {
                    let deadline = deadlines.by_subject.get(&subject(*number));
                    prop_assert!(deadline.is_some_and(|deadline| deadline <= end), "{deadline:?}");
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
        let over = deadlines.over(3, 10, |subject| {
            asked.push(subject.clone());
            if asked.len() == 2 { Fate::Later(100) } else { Fate::Gone }
        });
        assert_eq!((over, asked), (Vec::new(), (0..4).map(subject).collect()));
        assert_eq!((deadlines.next(), deadlines.ordered.len()), (Some(4), SUBJECTS - 3));
        // An earlier deadline counts. A later one is found when the earlier one has passed.
        deadlines.add(subject(11), 2);
        deadlines.add(subject(11), 50);
        assert_eq!(deadlines.next(), Some(2));
        deadlines.forget_group(&subject(11).group);
        assert_eq!((deadlines.next(), deadlines.ordered.len()), (Some(4), SUBJECTS - 6));
    }
}
