//! The job that removes expired groups and series.

use std::borrow::Cow;
use std::sync::Arc;

use super::Job;
use crate::gateway::Gateway;
use crate::model::time::Moment;
use crate::store::selection::{Selection, SeriesName};
use crate::store::{GroupAt, Overdue, Part, Transaction};

/// How many groups and series are checked and submitted together.
const BATCH: usize = 512;

/// Removes groups and series once they have expired. `end` says when a group, or one of its series, expires, in
/// nanoseconds since the epoch, or `None` if never. It is asked for those whose expected deadline in the store has
/// passed.
pub fn job(end: impl Fn(GroupAt<'_>, Option<&SeriesName>) -> Option<i64> + Send + 'static) -> Job {
    Job::new("expiry", |gateway| gateway.store.next_end(), move |gateway, now| expire(gateway, now, &end))
}

fn expire(gateway: &Gateway, now: Moment, end: &impl Fn(GroupAt<'_>, Option<&SeriesName>) -> Option<i64>) {
    loop {
        let overdue = gateway.store.overdue(now.nanos, BATCH, end);
        let is_last = overdue.len() < BATCH;
        let parts = parts(overdue);
        let submitted: Vec<_> =
            parts.into_iter().map(|part| gateway.submit(Transaction::of(part), 0)).collect();
        let mut failure = None;
        for pending in submitted {
            failure = pending.wait_blocking().err().or(failure);
        }
        if let Some(failure) = failure {
            tracing::debug!(err = %failure, "what is over could not go; trying again");
            return;
        }
        if is_last {
            return;
        }
    }
}

/// One change for each group.
fn parts(mut overdue: Vec<Overdue>) -> Vec<Part<'static>> {
    // A group is removed with its series.
    overdue.sort_by(|a, b| (&a.labels.key, a.series.is_some()).cmp(&(&b.labels.key, b.series.is_some())));
    let of_group = |group: &[Overdue]| {
        let Overdue { labels, seen, series } = group.first()?;
        let grouping = Cow::Owned(labels.grouping());
        Some(match series {
            None => Part::Expire { grouping, seen: *seen },
            Some(_) => {
                let series: Vec<Arc<SeriesName>> =
                    group.iter().filter_map(|one| one.series.clone()).collect();
                Part::DropSeries { grouping, which: Selection::Listed(series) }
            }
        })
    };
    overdue.chunk_by(|a, b| a.labels.key == b.labels.key).filter_map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::gateway::jobs::Jobs;
    use crate::gateway::{BodyFormat, Method, PushRequest};
    use crate::model::grouping::{Grouping, GroupingLabel};

    const SECOND: i64 = 1_000_000_000;
    const HOUR: i64 = 3600 * SECOND;

    fn grouping(job: &str) -> Grouping<'static> {
        Grouping::new(vec![GroupingLabel { name: "job".into(), value: job.to_owned().into() }])
    }

    fn push(gateway: &Gateway, job: &str, body: &str) {
        let grouping = grouping(job);
        let push = PushRequest::new(Method::Post, &grouping, BodyFormat::Text, body.as_bytes());
        gateway.push_blocking(&push).unwrap();
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

    fn series(gateway: &Gateway, job: &str, block: &str) -> Arc<SeriesName> {
        let family = gateway.group(grouping(job).key()).unwrap().families[0].name.clone();
        Arc::new(SeriesName { family, block: block.into() })
    }

    /// Jobs that let everything expire an hour after the last push to its group.
    fn jobs() -> Jobs {
        Jobs::new(vec![job(|group, _| Some(group.times.quiet_since() + HOUR))])
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
            assert!(gateway.close());
            drop(gateway);
            let again = Gateway::new(&config).unwrap();
            assert_eq!(["a", "b", "c"].map(|job| shown(&again, job)), shown_before);
            again.close();
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }

    #[test]
    fn a_group_goes_when_nobody_pushed_to_it_for_long_enough() {
        with_each_gateway("groups", |gateway| {
            let mut jobs = jobs();
            for job in ["a", "b", "c"] {
                push(gateway, job, "c_total 1\n");
            }
            let first = pushed_at(gateway, "a");
            for job in ["a", "b"] {
                gateway.store.expect_end(grouping(job).key(), None, first + HOUR);
            }
            // Groups without a deadline stay, and a group that does not exist gets none.
            assert!(!gateway.store.expect_end(grouping("none").key(), None, first));
            jobs.run_due(gateway, Moment::at(first + HOUR - 1));
            assert_eq!(gateway.counts(), (3, 3));
            // A later push counts, although it does not change the deadline.
            while pushed_at(gateway, "b") <= first {
                push(gateway, "b", "c_total 1\n");
            }
            let later = pushed_at(gateway, "b");
            jobs.run_due(gateway, Moment::at(first + HOUR));
            assert_eq!(shown(gateway, "a"), None);
            assert_eq!(gateway.counts(), (2, 2));
            assert_eq!(gateway.store.next_end(), Some(later + HOUR));
            jobs.run_due(gateway, Moment::at(later + 2 * HOUR));
            assert_eq!(gateway.counts(), (1, 1));
            assert_eq!(gateway.store.next_end(), None);
            // A group that comes back begins anew, without the old deadline.
            push(gateway, "a", "c_total 5\n");
            jobs.run_due(gateway, Moment::at(later + 4 * HOUR));
            assert_eq!(gateway.counts(), (2, 2));
        });
    }

    #[test]
    fn series_go_and_their_group_stays() {
        with_each_gateway("series", |gateway| {
            let mut jobs = jobs();
            push(gateway, "a", "g{n=\"1\"} 1\ng{n=\"2\"} 2\ng{n=\"3\"} 3\n");
            let key = grouping("a");
            let block = |n: u8| format!("{{instance=\"\",job=\"a\",n=\"{n}\"}}");
            let first = pushed_at(gateway, "a");
            for n in [3, 1] {
                let series = series(gateway, "a", &block(n));
                gateway.store.expect_end(key.key(), Some(series), first + HOUR);
            }
            jobs.run_due(gateway, Moment::at(first + HOUR));
            assert_eq!(shown(gateway, "a"), Some(vec![format!("g{}", block(2))]));
            // They are gone, so no deadline is left after a look.
            jobs.run_due(gateway, Moment::at(first + 2 * HOUR));
            assert_eq!(gateway.store.next_end(), None);
            let series = series(gateway, "a", &block(2));
            gateway.store.expect_end(key.key(), Some(series), first + HOUR);
            jobs.run_due(gateway, Moment::at(first + 3 * HOUR));
            assert_eq!(shown(gateway, "a"), Some(Vec::new()));
            // A name that no group uses is free for another type.
            push(gateway, "c", "# TYPE g counter\ng 1\n");
        });
    }

    #[test]
    fn very_many_go_in_one_run() {
        let gateway = Gateway::new(&Config::default()).unwrap();
        let count = 2 * BATCH + 3;
        for n in 0..count {
            let job = n.to_string();
            push(&gateway, &job, "g 1\n");
            assert_eq!(gateway.store.expect_end(grouping(&job).key(), None, 5), n == 0);
        }
        let mut jobs = Jobs::new(vec![job(|_, _| Some(7))]);
        jobs.run_due(&gateway, Moment::at(6));
        assert_eq!(gateway.counts().0, count as u64);
        assert_eq!(gateway.store.next_end(), Some(7));
        jobs.run_due(&gateway, Moment { nanos: 7, steady: 2 * SECOND });
        assert_eq!((gateway.counts(), gateway.store.next_end()), ((0, 0), None));
    }
}
