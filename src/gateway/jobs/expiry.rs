//! The job that removes expired groups and series.

use std::borrow::Cow;

use super::Job;
use crate::gateway::Gateway;
use crate::model::time::Moment;
use crate::store::sight::Sight;
use crate::store::{Look, Overdue, Part, Transaction};

/// How many groups and pieces of families are checked and submitted together at most.
const BATCH: usize = 128;

/// How many at first.
const FIRST_BATCH: usize = 8;

/// A batch should take at most this long, in nanoseconds: pushes that come meanwhile wait for it, and are committed
/// with it if there is a file.
const BATCH_NANOS: i64 = 1_500_000;

/// Deletes groups, sources and series whose TTL is over.
pub fn job() -> Job {
    Job::new("expiry", |gateway| gateway.store.next_end(), expire)
}

fn expire(gateway: &Gateway, now: Moment) {
    let mut batch = FIRST_BATCH;
    loop {
        let started = gateway.clock.now().steady;
        let Look { over, is_all, sight } = gateway.store.overdue(now.nanos, batch);
        // The last look forgets what has gone.
        if over.is_empty() && is_all {
            return;
        }
        let parts = over.into_iter().map(|overdue| part(overdue, sight));
        let submitted: Vec<_> = parts.map(|part| gateway.submit(Transaction::of(part), 0)).collect();
        let mut failure = None;
        for pending in submitted {
            failure = pending.wait_blocking().err().or(failure);
        }
        if let Some(failure) = failure {
            tracing::debug!(err = %failure, "what is over could not go; trying again");
            return;
        }
        let took = gateway.clock.now().steady - started;
        batch = if took > BATCH_NANOS { batch / 2 } else { batch * 2 }.clamp(1, BATCH);
    }
}

fn part(Overdue { labels, seen, families }: Overdue, sight: Sight) -> Part<'static> {
    let grouping = Cow::Owned(labels.grouping());
    if let Some(source) = labels.source() {
        // A sender that lives on and pushes rarely must not be counted twice, so its totals stay.
        let source = Cow::Owned(source.to_owned());
        Part::DeleteSource { grouping, source, seen: Some(seen), keeps_totals: true }
    } else if families.is_empty() {
        Part::Expire { grouping, seen }
    } else {
        Part::ExpireSeries { grouping, families, sight }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bumpalo::Bump;

    use super::*;
    use crate::config::Config;
    use crate::exposition::negotiation::{Format, Offers};
    use crate::exposition::text::{Names, parse};
    use crate::gateway::jobs::Jobs;
    use crate::model::grouping::{Grouping, GroupingLabel};
    use crate::model::limits::PushLimits;
    use crate::model::merge::{FamilyTerms, Fold, Merge, Temporality};
    use crate::model::push::Push;
    use crate::store::Terms;
    use crate::store::deletion::{DeletionFilter, Survey};
    use crate::store::semantics::Semantics;

    type Parts<'a> = &'a dyn Fn() -> Vec<Part<'static>>;

    const SECOND: i64 = 1_000_000_000;
    const HOUR: i64 = 3600 * SECOND;

    fn grouping(job: &str) -> Grouping<'static> {
        Grouping::new(vec![GroupingLabel { name: "job".into(), value: job.to_owned().into() }])
    }

    /// Pushes to a group. What a rule says: how long the group stays, and its series.
    fn push(gateway: &Gateway, job: &str, body: &str, ttl: Option<i64>, series_ttl: Option<i64>) {
        let of_family = FamilyTerms { series_ttl, ..FamilyTerms::default() };
        send(gateway, job, None, body, of_family, Terms { ttl, ..Terms::default() });
    }

    /// A source pushes gauges that are added up and counters that are running totals.
    fn push_from(gateway: &Gateway, job: &str, source: &str, values: &str, terms: Terms, ttl: Option<i64>) {
        let merge = Some(Merge::Fold(Fold::Sum));
        let of_family = FamilyTerms {
            merge,
            temporality: Temporality::Cumulative,
            series_ttl: ttl,
            ..FamilyTerms::default()
        };
        let line = |value: &str| {
            let (series, value) = value.rsplit_once('=').unwrap();
            format!("{series} {value}\n")
        };
        let lines: String = values.split(' ').map(line).collect();
        let body = format!("# TYPE g gauge\n# TYPE c_total counter\n{lines}");
        send(gateway, job, Some(source), &body, of_family, terms);
    }

    /// As [`push_from`], and later than the group was pushed to before. Gives when.
    fn push_later_from(
        gateway: &Gateway,
        job: &str,
        source: &str,
        values: &str,
        terms: Terms,
        ttl: Option<i64>,
    ) -> i64 {
        let before = pushed_at(gateway, job);
        while pushed_at(gateway, job) <= before {
            push_from(gateway, job, source, values, terms, ttl);
        }
        pushed_at(gateway, job)
    }

    fn send(
        gateway: &Gateway,
        job: &str,
        source: Option<&str>,
        body: &str,
        of_family: FamilyTerms,
        terms: Terms,
    ) {
        let grouping = grouping(job);
        let arena = Bump::new();
        let parsed = parse(body.as_bytes(), Names::Legacy, &arena).unwrap();
        let push =
            Push::prepare_under(&parsed, &grouping, true, PushLimits::NONE, Some(&|_| of_family)).unwrap();
        let (grouping, semantics) = (Cow::Borrowed(&grouping), Semantics::merging());
        let part = Part::Push { grouping, push, semantics, source: source.map(Cow::Borrowed), terms };
        submit(gateway, part);
    }

    fn submit(gateway: &Gateway, part: Part<'_>) {
        gateway.submit(Transaction::of(part), 0).wait_blocking().unwrap();
    }

    /// What a group shows, with its values.
    fn values(gateway: &Gateway, job: &str) -> Vec<String> {
        let families = gateway.group(grouping(job).key()).unwrap().families;
        let value = |family: &crate::store::FamilyView| {
            let of_series = |series: crate::store::SeriesView<'_>| {
                let crate::store::RowValue::Number(value) = series.value else { panic!("it is a number") };
                format!("{} {value}", family.name)
            };
            family.series().map(of_series).collect::<Vec<_>>()
        };
        families.iter().flat_map(value).collect()
    }

    /// A scrape that is sent whole, or not.
    fn scrape(gateway: &Gateway, is_whole: bool) {
        let seen = gateway.scrape(Format::negotiate("", Offers::All), |chunk| {
            chunk.clear();
            Ok(())
        });
        if is_whole {
            gateway.scraped(seen.unwrap());
        }
    }

    fn pushed_at(gateway: &Gateway, job: &str) -> i64 {
        gateway.group(grouping(job).key()).unwrap().times.pushed_at
    }

    /// The families and series that a group shows. `None` if the group does not exist.
    fn shown(gateway: &Gateway, job: &str) -> Option<Vec<String>> {
        let group = gateway.group(grouping(job).key())?;
        let series = group
            .families
            .iter()
            .flat_map(|family| family.series().map(move |series| format!("{}{}", family.name, series.block)));
        Some(series.collect())
    }

    fn jobs() -> Jobs {
        Jobs::new(vec![job()])
    }

    /// Runs a test with each kind of persistence.
    fn with_each_gateway(name: &str, test: impl Fn(&Gateway)) {
        test(&Gateway::new(&Config::default()).unwrap());
        for sync in [crate::config::Sync::Push, crate::config::Sync::Interval] {
            let name = format!("tallygate-expiry-{}-{name}-{sync:?}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            let mut config = Config::default();
            config.persistence.file = folder.join("store").to_str().unwrap().to_owned();
            config.persistence.sync = sync;
            let gateway = Gateway::new(&config).unwrap();
            test(&gateway);
            let shown_before = ["a", "b", "c"].map(|job| shown(&gateway, job));
            let next_end = gateway.store.next_end();
            assert!(gateway.close());
            drop(gateway);
            let again = Gateway::new(&config).unwrap();
            assert_eq!(["a", "b", "c"].map(|job| shown(&again, job)), shown_before);
            assert_eq!(again.store.next_end(), next_end);
            again.close();
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }

    #[test]
    fn a_group_goes_when_nobody_pushed_to_it_for_long_enough() {
        with_each_gateway("groups", |gateway| {
            let mut jobs = jobs();
            for (job, ttl) in [("a", Some(HOUR)), ("b", Some(HOUR)), ("c", None)] {
                push(gateway, job, "c_total 1\n", ttl, None);
            }
            let first = pushed_at(gateway, "a");
            scrape(gateway, true);
            assert_eq!(gateway.store.next_end(), Some(first + HOUR));
            jobs.run_due(gateway, Moment::at(first + HOUR - 1));
            assert_eq!(gateway.counts(), (3, 3));
            // A later push counts, although it does not change the deadline.
            while pushed_at(gateway, "b") <= first {
                push(gateway, "b", "c_total 1\n", Some(HOUR), None);
            }
            let later = pushed_at(gateway, "b");
            scrape(gateway, true);
            jobs.run_due(gateway, Moment::at(first + HOUR));
            assert_eq!(shown(gateway, "a"), None);
            assert_eq!(gateway.counts(), (2, 2));
            assert_eq!(gateway.store.next_end(), Some(later + HOUR));
            jobs.run_due(gateway, Moment::at(later + 2 * HOUR));
            assert_eq!(gateway.counts(), (1, 1));
            assert_eq!(gateway.store.next_end(), None);
            assert_eq!(gateway.store.tally().expired_groups, 2);
            // A group that comes back begins anew, without the old deadline.
            push(gateway, "a", "c_total 5\n", None, None);
            jobs.run_due(gateway, Moment::at(later + 4 * HOUR));
            assert_eq!(gateway.counts(), (2, 2));
        });
    }

    #[test]
    fn series_go_and_their_group_stays() {
        with_each_gateway("series", |gateway| {
            let mut jobs = jobs();
            push(gateway, "a", "g{n=\"1\"} 1\ng{n=\"2\"} 2\ng{n=\"3\"} 3\n", None, Some(HOUR));
            let block = |n: u8| format!("{{instance=\"\",job=\"a\",n=\"{n}\"}}");
            let first = pushed_at(gateway, "a");
            while pushed_at(gateway, "a") <= first {
                push(gateway, "a", "g{n=\"2\"} 2\n", None, Some(HOUR));
            }
            let later = pushed_at(gateway, "a");
            scrape(gateway, true);
            jobs.run_due(gateway, Moment::at(first + HOUR));
            assert_eq!(shown(gateway, "a"), Some(vec![format!("g{}", block(2))]));
            assert_eq!(gateway.store.next_end(), Some(later + HOUR));
            jobs.run_due(gateway, Moment::at(later + 2 * HOUR));
            assert_eq!(gateway.store.next_end(), None);
            assert_eq!(shown(gateway, "a"), Some(Vec::new()));
            assert_eq!(gateway.store.tally().expired_series, 3);
            // A name that no group uses is free for another type.
            push(gateway, "c", "# TYPE g counter\ng 1\n", None, Some(HOUR));
        });
    }

    #[test]
    fn what_no_scrape_has_shown_stays_ten_times_as_long() {
        with_each_gateway("scrapes", |gateway| {
            let mut jobs = jobs();
            push(gateway, "a", "c_total 1\n", Some(HOUR), None);
            push(gateway, "b", "g 1\n", None, Some(HOUR));
            let (first, second) = (pushed_at(gateway, "a"), pushed_at(gateway, "b"));
            // One that broke off does not count.
            scrape(gateway, false);
            let mut at = second + HOUR;
            jobs.run_due(gateway, Moment::at(at));
            assert_eq!((gateway.counts(), gateway.store.next_end()), ((2, 2), Some(first + 10 * HOUR)));
            scrape(gateway, true);
            assert_eq!(gateway.store.next_end(), Some(first));
            at += SECOND;
            jobs.run_due(gateway, Moment::at(at));
            assert_eq!((gateway.counts(), gateway.store.next_end()), ((1, 0), None));
            // A scrape before a push says nothing of it.
            push(gateway, "a", "c_total 1\n", Some(HOUR), None);
            let last = pushed_at(gateway, "a");
            let looks = [(last + HOUR, true), (last + 10 * HOUR - 1, true), (last + 10 * HOUR, false)];
            for ((nanos, is_there), look) in looks.into_iter().zip(1..) {
                jobs.run_due(gateway, Moment { nanos, steady: last + look * 100 * HOUR });
                assert_eq!(shown(gateway, "a").is_some(), is_there);
            }
        });
    }

    #[test]
    fn a_push_without_a_ttl_takes_the_deadline_away() {
        with_each_gateway("without", |gateway| {
            push(gateway, "a", "g{n=\"1\"} 1\n", Some(HOUR), Some(2 * HOUR));
            let first = pushed_at(gateway, "a");
            push(gateway, "a", "g{n=\"2\"} 1\n", None, None);
            scrape(gateway, true);
            jobs().run_due(gateway, Moment::at(first + 100 * HOUR));
            assert_eq!((gateway.counts(), gateway.store.next_end()), ((1, 2), None));
            // A shorter one brings an earlier deadline.
            push(gateway, "a", "g{n=\"2\"} 1\n", Some(3 * HOUR), None);
            push(gateway, "a", "g{n=\"2\"} 1\n", Some(2 * HOUR), Some(HOUR));
            let last = pushed_at(gateway, "a");
            assert!(gateway.store.next_end().is_some_and(|next| next <= last + HOUR));
            scrape(gateway, true);
            jobs().run_due(gateway, Moment::at(last + HOUR));
            // When the series that was not pushed was pushed last, nobody knows: when its family was.
            assert_eq!((gateway.counts(), gateway.store.next_end()), ((1, 0), Some(last + 2 * HOUR)));
        });
    }

    #[test]
    fn very_many_go_in_one_run() {
        let gateway = Gateway::new(&Config::default()).unwrap();
        let count = 2 * BATCH + 3;
        for n in 0..count {
            push(&gateway, &n.to_string(), "g 1\n", Some(HOUR), None);
        }
        scrape(&gateway, true);
        let last = pushed_at(&gateway, &(count - 1).to_string());
        let mut jobs = jobs();
        jobs.run_due(&gateway, Moment::at(pushed_at(&gateway, "0") + HOUR - 1));
        assert_eq!(gateway.counts().0, count as u64);
        jobs.run_due(&gateway, Moment::at(last + 2 * HOUR));
        assert_eq!((gateway.counts(), gateway.store.next_end()), ((0, 0), None));
    }

    #[test]
    fn what_a_sender_has_goes_when_it_does_not_push_and_its_totals_count_once() {
        with_each_gateway("sources", |gateway| {
            let (mut jobs, terms) = (jobs(), Terms { source_ttl: Some(HOUR), ..Terms::default() });
            push_from(gateway, "a", "{p=\"1\"}", "g=1", terms, None);
            let first = pushed_at(gateway, "a");
            let second = push_later_from(gateway, "a", "{p=\"2\"}", "g=2 c_total=5", terms, None);
            // They wait for a scrape, as groups do.
            jobs.run_due(gateway, Moment::at(first + HOUR));
            assert_eq!(values(gateway, "a"), ["c_total 5", "g 3"]);
            scrape(gateway, true);
            // A job rests for a moment.
            jobs.run_due(gateway, Moment { nanos: first + HOUR, steady: first + 2 * HOUR });
            assert_eq!(values(gateway, "a"), ["c_total 5", "g 2"]);
            jobs.run_due(gateway, Moment::at(second + 3 * HOUR));
            assert_eq!(values(gateway, "a"), ["c_total 5"]);
            assert_eq!((gateway.store.next_end(), gateway.store.tally().expired_sources), (None, 2));
            // It lives on after all.
            push_from(gateway, "a", "{p=\"2\"}", "g=4 c_total=7", terms, None);
            assert_eq!(values(gateway, "a"), ["c_total 7", "g 4"]);
            assert_eq!(gateway.store.next_end(), Some(pushed_at(gateway, "a") + HOUR));
            // The target, the totals and the value.
            assert_eq!(gateway.store.series_count(), 4);
            // A push without the TTL takes the deadline away.
            push_from(gateway, "a", "{p=\"2\"}", "g=4", Terms::default(), None);
            scrape(gateway, true);
            jobs.run_due(gateway, Moment::at(pushed_at(gateway, "a") + 100 * HOUR));
            assert_eq!((values(gateway, "a").len(), gateway.store.next_end()), (2, None));
        });
    }

    #[test]
    fn a_group_that_goes_takes_its_sources_along() {
        with_each_gateway("targets", |gateway| {
            let terms = Terms { ttl: Some(HOUR), source_ttl: Some(3 * HOUR), ..Terms::default() };
            for source in ["{p=\"1\"}", "{p=\"2\"}"] {
                push_from(gateway, "a", source, "g=1 c_total=5", terms, None);
            }
            // The TTL of the group is not that of its sources, so one source alone keeps all of it.
            let last = push_later_from(gateway, "a", "{p=\"2\"}", "g=1 c_total=5", terms, None);
            scrape(gateway, true);
            jobs().run_due(gateway, Moment::at(last + HOUR - 1));
            assert_eq!(values(gateway, "a"), ["c_total 10", "g 2"]);
            jobs().run_due(gateway, Moment::at(last + HOUR));
            assert_eq!((shown(gateway, "a"), gateway.store.series_count()), (None, 0));
            let tally = gateway.store.tally();
            assert_eq!((tally.expired_groups, tally.expired_sources, gateway.store.next_end()), (1, 0, None));
        });
    }

    #[test]
    fn series_that_go_take_along_what_sources_have_of_them() {
        with_each_gateway("parts", |gateway| {
            let (mut jobs, terms, ttl) = (jobs(), Terms::default(), Some(HOUR));
            push_from(gateway, "a", "{p=\"1\"}", "g{n=\"1\"}=1 g{n=\"2\"}=2", terms, ttl);
            push_from(gateway, "a", "{p=\"2\"}", "g{n=\"2\"}=5", terms, ttl);
            let first = pushed_at(gateway, "a");
            push_later_from(gateway, "a", "{p=\"2\"}", "g{n=\"1\"}=10", terms, ttl);
            scrape(gateway, true);
            jobs.run_due(gateway, Moment::at(first + HOUR));
            assert_eq!((values(gateway, "a"), gateway.store.series_count()), (vec!["g 11".to_owned()], 3));
            assert_eq!(gateway.store.tally().expired_series, 1);
            // It begins anew, with its one source.
            push_from(gateway, "a", "{p=\"2\"}", "g{n=\"2\"}=4", terms, ttl);
            assert_eq!(values(gateway, "a"), ["g 11", "g 4"]);
            let (grouping, source) = (Cow::Owned(grouping("a")), "{p=\"2\"}".into());
            submit(gateway, Part::DeleteSource { grouping, source, seen: None, keeps_totals: true });
            assert_eq!((values(gateway, "a"), gateway.store.series_count()), (vec!["g 1".to_owned()], 2));
        });
    }

    #[test]
    fn what_is_deleted_has_no_deadline() {
        let filter = |series: &[&str], groups: &[&str]| {
            let parse = |texts: &[&str]| {
                texts.iter().map(|text| crate::rules::selector::Selector::parse(text).unwrap()).collect()
            };
            Arc::new(DeletionFilter {
                series: parse(series),
                groups: parse(groups),
                keys: Default::default(),
            })
        };
        let matching = |filter| Part::DeleteMatching { filter, survey: Survey::default() };
        let source = |source: &'static str, keeps_totals| Part::DeleteSource {
            grouping: Cow::Owned(grouping("a")),
            source: source.into(),
            seen: None,
            keeps_totals,
        };
        // What is deleted, and whether only a look finds that nothing is left to expire.
        let deletions: [(&str, Parts<'_>, bool); 6] = [
            ("delete", &|| vec![Part::Delete { grouping: Cow::Owned(grouping("a")) }], false),
            ("wipe", &|| vec![Part::Wipe], false),
            ("groups", &|| vec![matching(filter(&[], &["{job=\"a\"}"]))], false),
            ("series", &|| vec![matching(filter(&["g"], &[])), source("{p=\"1\"}", false)], false),
            ("sources", &|| vec![source("{p=\"1\"}", false)], false),
            ("totals", &|| vec![source("{p=\"1\"}", true)], true),
        ];
        for (name, parts, is_looked_for) in deletions {
            with_each_gateway(name, |gateway| {
                let terms = Terms { source_ttl: Some(HOUR), ..Terms::default() };
                push_from(gateway, "a", "{p=\"1\"}", "g=1 c_total=5", terms, None);
                assert!(gateway.store.next_end().is_some());
                let at = pushed_at(gateway, "a") + 100 * HOUR;
                parts().into_iter().for_each(|part| submit(gateway, part));
                assert_eq!(gateway.store.next_end().is_some(), is_looked_for, "{name}");
                jobs().run_due(gateway, Moment::at(at));
                assert_eq!(gateway.store.next_end(), None, "{name}");
                assert_eq!(gateway.store.tally().expired_sources, 0, "{name}");
            });
        }
    }

    #[test]
    fn the_thread_starts_with_the_first_ttl() {
        let gateway = std::sync::Arc::new(Gateway::new(&Config::default()).unwrap());
        gateway.start_jobs(vec![job()]).unwrap();
        let is_running = || gateway.worker.get().unwrap().is_running();
        push(&gateway, "a", "g 1\n", None, None);
        assert!(!is_running());
        push(&gateway, "a", "g 1\n", Some(HOUR), None);
        assert!(is_running());
        gateway.close();
        assert!(!is_running());
    }
}
