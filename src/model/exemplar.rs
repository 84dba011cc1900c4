//! Exemplars: examples of single observations, such as a request with its trace id.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use crate::model::by_series::BySeries;

/// How many exemplars a native histogram keeps. client_golang keeps as many by default.
pub const MAX_NATIVE: usize = 10;

/// How many characters the names and values of an exemplar's labels may have in total (OpenMetrics 1.0,
/// "Exemplars").
pub const MAX_LABEL_CHARS: usize = 128;

/// An exemplar.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Its labels, as a label block.
    pub block: Box<str>,
    /// The observed value.
    pub value: f64,
    /// When it was observed, in nanoseconds since the epoch.
    pub at: Option<i64>,
}

/// The part of a series that an exemplar belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// The value of a counter.
    Value,
    /// The bucket of a classic histogram with this upper bound.
    Bucket(f64),
    /// A native histogram.
    Native,
}

/// An exemplar with its place in a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The part of the series that it belongs to.
    pub place: Place,
    /// The exemplar.
    pub exemplar: Arc<Exemplar>,
}

impl Place {
    /// The sort order of the exemplars of a series.
    fn order(&self, other: &Place) -> Ordering {
        match (self, other) {
            // Equal bounds, such as 0 and -0, are the same bucket.
            (Place::Bucket(a), Place::Bucket(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    fn rank(self) -> u8 {
        match self {
            Place::Value => 0,
            Place::Bucket(_) => 1,
            Place::Native => 2,
        }
    }
}

/// The exemplars of some series, sorted by place within a series.
pub type Exemplars = BySeries<Placed>;

impl Exemplars {
    /// Replaces the exemplars of a series.
    pub fn replace(&mut self, series: u32, mut pushed: Vec<Placed>) {
        pushed.sort_by(|a, b| a.place.order(&b.place));
        self.set(series, pushed);
    }

    /// Adds exemplars to those of a series, from a push or from another state of the series. A value or bucket
    /// keeps its newest exemplar, a native histogram its [`MAX_NATIVE`] newest ones. No exemplar counts as newer
    /// than `now`, in nanoseconds since the epoch; otherwise one from a fast clock would stay for good.
    ///
    /// For the same `now`, the result depends neither on the order in which exemplars are added nor on how they are
    /// grouped. Those of a native histogram are listed in the order in which they came.
    pub fn add(&mut self, series: u32, pushed: Vec<Placed>, now: i64) {
        let is_native = |placed: &Placed| placed.place == Place::Native;
        let (mut natives, mut others): (Vec<Placed>, Vec<Placed>) =
            self.of(series).cloned().partition(is_native);
        let (mut pushed_natives, mut pushed): (Vec<Placed>, Vec<Placed>) =
            pushed.into_iter().partition(is_native);
        let kept = newest(&exemplars_of(&natives), &exemplars_of(&pushed_natives), now);
        natives.append(&mut pushed_natives);
        let mut at = 0..;
        natives.retain(|_| at.next().is_some_and(|at| kept.contains(&at)));

        others.append(&mut pushed);
        others.sort_by(|a, b| a.place.order(&b.place));
        let mut all: Vec<Placed> = Vec::with_capacity(others.len() + natives.len());
        for placed in others {
            match all.last_mut().filter(|last| last.place == placed.place) {
                Some(last) if last.exemplar.age(&placed.exemplar, now).is_lt() => *last = placed,
                Some(_) => {}
                None => all.push(placed),
            }
        }
        all.append(&mut natives);
        self.set(series, all);
    }
}

impl Exemplar {
    /// Sorts exemplars from the oldest to the newest. Only identical exemplars are equal. A time after `now` counts
    /// as `now`, but as older than `now` itself. Of two with the same time, the one with the larger value counts as
    /// newer.
    fn age(&self, other: &Exemplar, now: i64) -> Ordering {
        let time = |exemplar: &Exemplar| (exemplar.at.map(|at| at.min(now)), Reverse(exemplar.at));
        time(self)
            .cmp(&time(other))
            .then_with(|| self.value.total_cmp(&other.value))
            .then_with(|| self.block.cmp(&other.block))
    }
}

fn exemplars_of(placed: &[Placed]) -> Vec<&Exemplar> {
    placed.iter().map(|placed| &*placed.exemplar).collect()
}

/// The ascending positions of the [`MAX_NATIVE`] newest exemplars among the present ones of a native histogram and
/// more.
///
/// An exemplar that a client pushes again is the same exemplar. Only within one push or one state does a repeated
/// one count again.
fn newest(present: &[&Exemplar], more: &[&Exemplar], now: i64) -> Vec<usize> {
    struct Candidate<'a> {
        at: usize,
        exemplar: &'a Exemplar,
        /// How many equal ones come before it on its side.
        copy: usize,
    }
    let mut all: Vec<Candidate<'_>> = Vec::with_capacity(present.len() + more.len());
    for side in [present, more] {
        let start = all.len();
        all.extend((start..).zip(side).map(|(at, exemplar)| Candidate { at, exemplar, copy: 0 }));
        let side = &mut all[start..];
        side.sort_by(|a, b| b.exemplar.age(a.exemplar, now));
        for at in 1..side.len() {
            if side[at].exemplar.age(side[at - 1].exemplar, now).is_eq() {
                side[at].copy = side[at - 1].copy + 1;
            }
        }
    }
    let order = |a: &Candidate<'_>, b: &Candidate<'_>| {
        b.exemplar.age(a.exemplar, now).then_with(|| a.copy.cmp(&b.copy))
    };
    // Of equal ones, the present one comes first and stays.
    all.sort_by(order);
    all.dedup_by(|next, kept| order(next, kept).is_eq());
    all.truncate(MAX_NATIVE);
    let mut places: Vec<usize> = all.iter().map(|candidate| candidate.at).collect();
    places.sort_unstable();
    places
}

/// How many more exemplars a series has after these are added to the `present` ones; see [`Exemplars::add`]. A
/// native histogram has room for [`MAX_NATIVE`], a value or bucket for one.
pub fn added(present: &[(u32, Placed)], pushed: impl Iterator<Item = (Place, Exemplar)>) -> i64 {
    let start = present.partition_point(|(_, placed)| placed.place != Place::Native);
    let (others, natives) = present.split_at(start);
    let mut places: Vec<Place> = others.iter().map(|(_, placed)| placed.place).collect();
    let (pushed_natives, pushed): (Vec<_>, Vec<_>) = pushed.partition(|(place, _)| *place == Place::Native);
    places.extend(pushed.iter().map(|(place, _)| *place));
    places.sort_by(Place::order);
    places.dedup();
    let natives: Vec<&Exemplar> = natives.iter().map(|(_, placed)| &*placed.exemplar).collect();
    let pushed_natives: Vec<&Exemplar> = pushed_natives.iter().map(|(_, exemplar)| exemplar).collect();
    let kept = newest(&natives, &pushed_natives, i64::MAX).len();
    (places.len() + kept) as i64 - present.len() as i64
}

/// The exemplar of a counter, among those of its series.
pub fn of_value(exemplars: &[(u32, Placed)]) -> Option<&Exemplar> {
    let placed = exemplars.first().filter(|(_, placed)| placed.place == Place::Value);
    placed.map(|(_, placed)| &*placed.exemplar)
}

/// The exemplars of a native histogram, among those of its series.
pub fn of_native(exemplars: &[(u32, Placed)]) -> impl Iterator<Item = &Exemplar> {
    let start = exemplars.partition_point(|(_, placed)| placed.place != Place::Native);
    exemplars[start..].iter().map(|(_, placed)| &*placed.exemplar)
}

/// The newest exemplars of a series, at most `most`, the newest first. One that is both in a classic bucket and among those
/// of a native histogram is listed once.
pub fn latest(exemplars: &[(u32, Placed)], most: usize) -> Vec<&Exemplar> {
    let mut all: Vec<&Exemplar> = exemplars.iter().map(|(_, placed)| &*placed.exemplar).collect();
    all.sort_by(|a, b| b.age(a, i64::MAX));
    all.dedup_by(|next, kept| next.age(kept, i64::MAX).is_eq());
    all.truncate(most);
    all
}

/// The exemplars of the buckets of a histogram, bucket by bucket.
#[derive(Debug)]
pub struct OfBuckets<'a> {
    exemplars: &'a [(u32, Placed)],
    /// The remaining exemplars with their values, ascending. Set if the shown buckets may be narrower than the
    /// pushed ones.
    by_value: Option<std::iter::Peekable<std::vec::IntoIter<(f64, &'a Exemplar)>>>,
}

impl<'a> OfBuckets<'a> {
    /// The exemplars of a series, bucket by bucket. With `is_as_pushed`, the shown buckets have the pushed bounds.
    /// Otherwise pushes had different bounds, and an exemplar belongs to the bucket that its value falls into.
    pub fn new(exemplars: &'a [(u32, Placed)], is_as_pushed: bool) -> OfBuckets<'a> {
        if is_as_pushed || exemplars.is_empty() {
            return OfBuckets { exemplars, by_value: None };
        }
        let value = |(_, placed): &'a (u32, Placed)| match placed.place {
            Place::Bucket(bound) => Some((placed.exemplar.value.min(bound), &*placed.exemplar)),
            Place::Value | Place::Native => None,
        };
        let mut by_value: Vec<(f64, &Exemplar)> = exemplars.iter().filter_map(value).collect();
        by_value.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        OfBuckets { exemplars, by_value: Some(by_value.into_iter().peekable()) }
    }

    /// The exemplar of the next bucket, which has this bound.
    #[inline]
    pub fn next(&mut self, bound: f64) -> Option<&'a Exemplar> {
        if self.exemplars.is_empty() {
            return None;
        }
        let Some(rest) = &mut self.by_value else {
            let place = Place::Bucket(bound);
            let at = self.exemplars.binary_search_by(|(_, placed)| placed.place.order(&place)).ok()?;
            return Some(&*self.exemplars[at].1.exemplar);
        };
        let within = std::iter::from_fn(|| rest.next_if(|(value, _)| *value <= bound));
        within.map(|(_, exemplar)| exemplar).max_by_key(|exemplar| exemplar.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::groupings::{choices, merged_anyhow, merged_in_groups};
    use proptest::prelude::*;

    fn placed(place: Place, value: f64, at: i64) -> Placed {
        Placed { place, exemplar: Arc::new(Exemplar { block: "{}".into(), value, at: Some(at) }) }
    }

    fn values(exemplars: &Exemplars, series: u32) -> Vec<f64> {
        exemplars.of(series).map(|placed| placed.exemplar.value).collect()
    }

    #[test]
    fn each_bucket_keeps_its_newest() {
        let mut all = Exemplars::default();
        let push = [placed(Place::Bucket(2.0), 1.5, 10), placed(Place::Bucket(1.0), 0.5, 10)];
        all.add(1, push.to_vec(), 100);
        all.add(0, vec![placed(Place::Value, 7.0, 10)], 100);
        let push = [placed(Place::Bucket(1.0), 0.6, 11), placed(Place::Bucket(2.0), 1.6, 9)];
        all.add(1, push.to_vec(), 100);
        assert_eq!((values(&all, 0), values(&all, 1)), (vec![7.0], vec![0.6, 1.5]));
        all.replace(1, Vec::new());
        assert_eq!((values(&all, 0), values(&all, 1), all.iter().len()), (vec![7.0], vec![], 1));
    }

    #[test]
    fn the_latest_come_first_and_once() {
        let mut all = Exemplars::default();
        let push = [
            placed(Place::Bucket(1.0), 0.5, 10),
            placed(Place::Bucket(2.0), 1.5, 30),
            placed(Place::Bucket(3.0), 2.5, 20),
            placed(Place::Native, 1.5, 30),
            placed(Place::Native, 9.0, 25),
        ];
        all.add(1, push.to_vec(), 100);
        let values = |most| -> Vec<f64> { latest(all.slice(1), most).iter().map(|one| one.value).collect() };
        assert_eq!(values(9), [1.5, 9.0, 2.5, 0.5]);
        assert_eq!(values(2), [1.5, 9.0]);
        assert!(latest(all.slice(0), 9).is_empty());
    }

    #[test]
    fn a_native_histogram_keeps_the_newest_few() {
        let mut all = Exemplars::default();
        all.add(0, vec![placed(Place::Bucket(1.0), -1.0, 0)], 100);
        for at in 0..12 {
            all.add(0, vec![placed(Place::Native, f64::from(at), i64::from(at))], 100);
        }
        all.add(0, vec![placed(Place::Native, 99.0, 1), placed(Place::Native, 11.0, 11)], 100);
        all.add(1, vec![placed(Place::Native, 50.0, 1)], 100);
        let expected: Vec<f64> = [-1.0].into_iter().chain((2..12).map(f64::from)).collect();
        assert_eq!((values(&all, 0), values(&all, 1)), (expected, vec![50.0]));
    }

    #[test]
    fn a_fast_clock_does_not_win_for_good() {
        let mut all = Exemplars::default();
        all.add(0, vec![placed(Place::Value, 1.0, 1_000)], 100);
        all.add(0, vec![placed(Place::Value, 2.0, 99)], 100);
        assert_eq!(values(&all, 0), [1.0]);
        all.add(0, vec![placed(Place::Value, 3.0, 101)], 101);
        assert_eq!(values(&all, 0), [3.0]);
    }

    #[test]
    fn an_exemplar_belongs_to_the_bucket_that_it_was_pushed_with_or_falls_into() {
        let mut all = Exemplars::default();
        let pushed = [(1.0, 0.5, 10), (2.0, 1.8, 11), (5.0, 1.5, 10), (f64::INFINITY, 9.0, 10)];
        let pushed = pushed.map(|(bound, value, at)| placed(Place::Bucket(bound), value, at));
        all.replace(3, pushed.to_vec());
        let shown = |is_as_pushed, bounds: &[f64]| {
            let mut exemplars = OfBuckets::new(all.slice(3), is_as_pushed);
            bounds
                .iter()
                .map(|bound| exemplars.next(*bound).map(|exemplar| exemplar.value))
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(true, &[5.0, 1.0, 3.0]), [Some(1.5), Some(0.5), None]);
        let bounds = [1.0, 2.0, 5.0, 7.0, f64::INFINITY];
        assert_eq!(shown(false, &bounds), [Some(0.5), Some(1.8), None, None, Some(9.0)]);
    }

    #[test]
    fn what_is_pushed_again_takes_no_second_place() {
        let mut all = Exemplars::default();
        for _ in 0..3 {
            all.add(0, vec![placed(Place::Native, f64::NAN, 1), placed(Place::Native, 2.0, 1)], 100);
        }
        assert_eq!(all.iter().len(), 2);
        let again = || (Place::Native, placed(Place::Native, 5.0, 1).exemplar.as_ref().clone());
        assert_eq!(added(all.slice(0), [again()].into_iter()), 1);
        all.add(0, vec![placed(Place::Native, 5.0, 1)], 100);
        assert_eq!((all.iter().len(), added(all.slice(0), [again()].into_iter())), (3, 0));
    }

    /// Exemplars up to this time count as not in the future.
    const NOW: i64 = 6;

    fn pushes() -> impl Strategy<Value = Vec<Vec<Placed>>> {
        let places = vec![
            Place::Value,
            Place::Bucket(0.0),
            Place::Bucket(-0.0),
            Place::Bucket(f64::INFINITY),
            Place::Native,
            Place::Native,
            Place::Native,
            Place::Native,
        ];
        let values = prop::sample::select(vec![0.0, 1.0, f64::NAN]);
        let blocks = prop::sample::select(vec!["{}", "{trace=\"1\"}"]);
        let exemplar = (prop::sample::select(places), prop::option::of(0..9i64), values, blocks);
        let exemplar = exemplar.prop_map(|(place, at, value, block)| Placed {
            place,
            exemplar: Arc::new(Exemplar { block: block.into(), value, at }),
        });
        prop::collection::vec(prop::collection::vec(exemplar, 0..8), 1..8)
    }

    fn state(push: &[Placed]) -> Exemplars {
        let mut exemplars = Exemplars::default();
        exemplars.add(0, push.to_vec(), NOW);
        exemplars
    }

    fn merge(exemplars: &mut Exemplars, later: &Exemplars) {
        exemplars.add(0, later.of(0).cloned().collect(), NOW);
    }

    fn texts<'a>(exemplars: impl Iterator<Item = &'a Placed>) -> Vec<String> {
        let text = |placed: &Placed| format!("{placed:?}").replace("Bucket(-0.0)", "Bucket(0.0)");
        exemplars.map(text).collect()
    }

    fn sorted(mut texts: Vec<String>) -> Vec<String> {
        texts.sort();
        texts
    }

    /// Which of all pushed exemplars stay: the newest of each place. A repeated exemplar stays as often as the push
    /// that repeats it most often has it.
    fn kept(pushes: &[Vec<Placed>]) -> Vec<String> {
        let mut all: Vec<(&Placed, String, usize)> = Vec::new();
        for push in pushes {
            let texts = texts(push.iter());
            for (at, placed) in push.iter().enumerate() {
                let copy = texts[..at].iter().filter(|text| **text == texts[at]).count();
                all.push((placed, texts[at].clone(), copy));
            }
        }
        all.sort_by(|a, b| b.0.exemplar.age(&a.0.exemplar, NOW).then(a.2.cmp(&b.2)));
        let (mut kept, mut taken) = (Vec::new(), Vec::new());
        for (placed, text, copy) in all {
            let room = if placed.place == Place::Native { MAX_NATIVE } else { 1 };
            let is_new = !kept.contains(&(text.clone(), copy));
            if is_new && taken.iter().filter(|place| **place == placed.place).count() < room {
                kept.push((text, copy));
                taken.push(placed.place);
            }
        }
        sorted(kept.into_iter().map(|(text, _)| text).collect())
    }

    proptest! {
        #[test]
        fn any_order_and_grouping_keeps_the_same(pushes in pushes(), choices in choices()) {
            let mut pushed = Exemplars::default();
            for push in &pushes {
                let more = push.iter().map(|placed| (placed.place, placed.exemplar.as_ref().clone()));
                let (before, more) = (pushed.iter().len() as i64, added(pushed.slice(0), more));
                pushed.add(0, push.clone(), NOW);
                prop_assert_eq!(pushed.iter().len() as i64, before + more);
            }
            prop_assert_eq!(sorted(texts(pushed.of(0))), kept(&pushes));
            let states: Vec<Exemplars> = pushes.iter().map(|push| state(push)).collect();
            let grouped = merged_in_groups(states.clone(), &choices, merge);
            prop_assert_eq!(texts(grouped.of(0)), texts(pushed.of(0)));
            let anyhow = merged_anyhow(states, &choices, merge);
            prop_assert_eq!(sorted(texts(anyhow.of(0))), kept(&pushes));
        }
    }
}
