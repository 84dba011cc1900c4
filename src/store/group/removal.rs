//! How series leave a group one by one.

use std::sync::Arc;

use crate::store::group::{Group, Restructuring};
use crate::store::selection::Selected;

impl Group {
    /// Takes out these series. A family that is left without any goes; the group stays.
    pub(in crate::store) fn remove_series(&mut self, gone: &[Selected], with: &mut Restructuring<'_>) {
        for Selected { family: name, positions } in gone {
            let Ok(at) = self.position(name) else { continue };
            let family = &self.families[at];
            self.series -= u64::from(family.series_count());
            self.family_bytes -= family.bytes();
            if positions.len() >= family.series_count() as usize {
                let family = self.families.remove(at);
                if !self.is_source() {
                    self.release_family(&family, with.definitions);
                }
                continue;
            }
            let is_listed = !self.is_source() && with.definitions.is_listed(name);
            if is_listed {
                with.definitions.unlist(name, &self.labels.key, family.blocks_from(0));
            }
            *with.next_epoch += 1;
            let family = Arc::make_mut(&mut self.families[at]);
            family.remove(positions, *with.next_epoch);
            if is_listed {
                with.definitions.list(name, &self.labels.key, family.blocks_from(0));
            }
            // Series have moved to earlier pieces.
            with.expect_series(family, positions.first().copied().unwrap_or(0));
            self.series += u64::from(family.series_count());
            self.family_bytes += family.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use bumpalo::Bump;

    use super::*;
    use crate::exposition::openmetrics;
    use crate::exposition::text::Names;
    use crate::model::grouping::{Grouping, GroupingLabel};
    use crate::model::push::Push;
    use crate::model::time::Moment;
    use crate::store::selection::{Selection, SeriesName};
    use crate::store::semantics::Semantics;
    use crate::store::{CommitMode, Part, Store, Transaction};

    fn store() -> Store {
        Store::new([], CommitMode::Never, Duration::ZERO, 1)
    }

    fn grouping(labels: &[(&'static str, &'static str)]) -> Grouping<'static> {
        let label = |(name, value): &(&'static str, &'static str)| GroupingLabel {
            name: (*name).into(),
            value: (*value).into(),
        };
        Grouping::new(labels.iter().map(label).collect())
    }

    fn push(store: &Store, grouping: &Grouping<'_>, body: &str, at: i64) -> bool {
        let arena = Bump::new();
        let body = format!("{body}# EOF\n");
        let parsed = openmetrics::parse(body.as_bytes(), Names::Legacy, &arena).unwrap();
        let push = Push::prepare(&parsed, grouping, true).unwrap();
        let (semantics, terms) = (Semantics::merging(), crate::store::Terms::default());
        let part = Part::Push { grouping: Cow::Borrowed(grouping), push, semantics, source: None, terms };
        store.submit(&Transaction::of(part), Moment::at(at)).is_ok()
    }

    fn drop_series(store: &Store, grouping: &Grouping<'_>, which: Selection) {
        let part = Part::DropSeries { grouping: Cow::Borrowed(grouping), which };
        store.submit(&Transaction::of(part), Moment::at(1000)).unwrap();
    }

    /// Everything of all series of a group, and what is counted.
    fn shown(store: &Store, grouping: &Grouping<'_>) -> Vec<String> {
        let group = store.group(grouping.key()).unwrap();
        let mut lines = vec![format!("{:?} {} {}", group.times, store.series_count(), store.bytes())];
        for family in &group.families {
            for piece in family.pieces.iter() {
                lines.extend((0..piece.len()).map(|at| {
                    let exemplars: Vec<_> = piece.exemplars(at).iter().map(|(_, placed)| placed).collect();
                    let (block, start) = (piece.block(at), piece.start(at).code());
                    format!("{}{block} {start} {:?} {exemplars:?}", family.name, piece.owned(at))
                }));
            }
        }
        lines
    }

    fn counter(numbers: impl IntoIterator<Item = u32>) -> String {
        let mut body = String::from("# TYPE c counter\n");
        for n in numbers {
            let exemplar = if n % 5 == 0 { format!(" # {{id=\"{n}\"}} 1 3.0") } else { String::new() };
            body.push_str(&format!("c_total{{n=\"{n}\"}} 0.1{exemplar}\n"));
        }
        body
    }

    /// How many series there are, and which of them go.
    type Case = (u32, fn(u32) -> bool);

    #[test]
    fn what_is_left_is_as_if_the_others_had_never_come() {
        let group = grouping(&[("job", "a")]);
        // Within a piece, at the edges of pieces, whole pieces, first and last ones, and across chunks of them.
        let cases: [Case; 9] = [
            (5, |n| n == 0),
            (9, |n| n == 8),
            (32, |n| n % 2 == 0),
            (100, |n| n == 99),
            (100, |n| (32..64).contains(&n)),
            (100, |n| n < 33),
            (100, |n| n % 3 > 0),
            (5000, |n| n == 4000 || n == 2),
            (5000, |n| n > 2040),
        ];
        for (count, goes) in cases {
            let (dropped, expected) = (store(), store());
            for at in [10, 20] {
                assert!(push(&dropped, &group, &counter(0..count), at));
                assert!(push(&expected, &group, &counter((0..count).filter(|n| !goes(*n))), at));
            }
            let before = dropped.group(group.key()).unwrap();
            let number = |block: &str| block.split('"').rev().nth(1).unwrap().parse::<u32>().unwrap();
            drop_series(&dropped, &group, Selection::matching(move |_, block| goes(number(block))));
            assert_eq!(shown(&dropped, &group), shown(&expected, &group));
            let after = dropped.group(group.key()).unwrap();
            assert_eq!(before.epoch, after.epoch);
            // Full pieces before the first one that goes are the same.
            let first = (0..count).find(|n| goes(*n)).unwrap() as usize;
            let differing = after.families[0].pieces.differing(&before.families[0].pieces).next();
            assert!(differing.is_none_or(|piece| piece >= first / 32));
            // They are found, and come again as new ones.
            assert!(push(&dropped, &group, &counter(0..count), 30));
            assert!(push(&expected, &group, &counter(0..count), 30));
            let sorted = |store: &Store| {
                let mut lines = shown(store, &group);
                lines.sort();
                lines
            };
            assert_eq!(sorted(&dropped), sorted(&expected));
        }
    }

    #[test]
    fn a_family_without_series_goes_and_gives_its_name_back() {
        let (store, group) = (store(), grouping(&[("job", "a")]));
        assert!(push(&store, &group, &format!("{}# TYPE g gauge\ng 1\n", counter([1, 2])), 10));
        let bytes = store.bytes();
        assert!(!push(&store, &grouping(&[("job", "b")]), "# TYPE c_total gauge\nc_total 1\n", 11));
        let delete = |job| {
            let part = Part::Delete { grouping: Cow::Owned(grouping(&[("job", job)])) };
            store.submit(&Transaction::of(part), Moment::at(12)).unwrap();
        };
        delete("b");
        let series = |n: u32| {
            let block = format!("{{instance=\"\",job=\"a\",n=\"{n}\"}}");
            Arc::new(SeriesName { family: "c_total".into(), block: block.into() })
        };
        drop_series(&store, &group, Selection::Listed(vec![series(2), series(7), series(1), series(2)]));
        assert_eq!((store.group_count(), store.series_count()), (1, 1));
        assert!(push(&store, &grouping(&[("job", "b")]), "# TYPE c_total gauge\nc_total 1\n", 13));
        delete("b");
        drop_series(&store, &group, Selection::matching(|_, _| true));
        assert_eq!((store.group_count(), store.series_count()), (1, 0));
        delete("a");
        assert_eq!(store.bytes(), 0);
        // Everything comes back as it was.
        assert!(push(&store, &group, &format!("{}# TYPE g gauge\ng 1\n", counter([1, 2])), 10));
        assert_eq!(store.bytes(), bytes);
    }

    #[test]
    fn what_has_gone_stands_in_no_other_groups_way() {
        let (store, a) = (store(), grouping(&[("job", "a")]));
        let within = grouping(&[("job", "a"), ("n", "1")]);
        assert!(push(&store, &a, &counter([1, 2]), 10));
        // The same series can't stand in two groups.
        assert!(!push(&store, &within, &counter([]).replace("\n", "\nc_total 1\n"), 11));
        drop_series(&store, &a, Selection::matching(|_, block| block.contains("n=\"1\"")));
        assert!(push(&store, &within, &counter([]).replace("\n", "\nc_total 1\n"), 12));
        assert!(!push(&store, &a, &counter([1]), 13));
        assert!(push(&store, &a, &counter([2, 3]), 14));
        // What is left is still in the way of others.
        assert!(!push(&store, &grouping(&[("job", "a"), ("n", "2")]), "# TYPE c counter\nc_total 1\n", 15));
    }
}
