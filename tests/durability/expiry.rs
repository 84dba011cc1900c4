//! Groups and series that go by themselves, and series that find no room, held against a slow and obvious model through
//! random pushes, looks, scrapes and starts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bumpalo::Bump;
use proptest::prelude::*;
use tallygate::exposition::text::{Names, parse};
use tallygate::model::body::Family;
use tallygate::model::grouping::{Grouping, GroupingLabel};
use tallygate::model::limits::{Limit, PushLimits};
use tallygate::model::merge::FamilyTerms;
use tallygate::model::push::Push;
use tallygate::model::time::Moment;
use tallygate::persistence::engine::{Committed, Engine};
use tallygate::persistence::memory::Memory;
use tallygate::persistence::redb::Redb;
use tallygate::persistence::redb::file::Usage;
use tallygate::progress::Progress;
use tallygate::store::piece::RowValue;
use tallygate::store::semantics::{Absent, Semantics};
use tallygate::store::{CommitMode, Look, Overflow, Part, Rejection, Store, Terms, Transaction};

use crate::support::disk::SimulatedDisk;
use crate::support::{Directory, Gateway};

const FAMILIES: [&str; 3] = ["a_total", "b_total", "g"];

/// The label of the overflow series in the model.
const OVERFLOW: u8 = u8::MAX;

/// Which family, its TTL, and the labels and values of its series.
type PushedFamily = (usize, Option<i64>, Vec<(u8, u8)>);

#[derive(Clone, Debug)]
struct Pushed {
    group: usize,
    is_put: bool,
    ttl: Option<i64>,
    most: Option<u64>,
    folds: bool,
    families: Vec<PushedFamily>,
}

#[derive(Clone, Debug)]
enum Step {
    Push(Pushed),
    Delete(usize),
    /// Time passes, and the job runs.
    Expire(i64),
    /// Time passes, and a look is followed by a push that comes before what the look has found goes.
    ExpireLate(i64, Pushed),
    Scrape,
    Restart,
}

fn grouping(group: usize) -> Grouping<'static> {
    Grouping::new(vec![GroupingLabel { name: "job".into(), value: group.to_string().into() }])
}

fn pushes() -> impl Strategy<Value = Pushed> {
    let ttl = || prop::option::weighted(0.6, 1..60i64);
    let series = prop::collection::vec((0..45u8, 1..9u8), 1..40).prop_map(|mut series| {
        let mut seen = Vec::new();
        series.retain(|(label, _)| !seen.contains(label) && (seen.push(*label), true).1);
        series
    });
    let family = (0..FAMILIES.len(), ttl(), series);
    let families = prop::collection::vec(family, 0..3).prop_map(|mut families| {
        families.sort_by_key(|(family, _, _)| *family);
        families.dedup_by_key(|(family, _, _)| *family);
        families
    });
    let most = prop::option::weighted(0.4, 0..60u64);
    (0..3usize, prop::bool::weighted(0.2), ttl(), most, prop::bool::weighted(0.7), families).prop_map(
        |(group, is_put, ttl, most, folds, families)| Pushed { group, is_put, ttl, most, folds, families },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => pushes().prop_map(Step::Push),
        1 => (0..3usize).prop_map(Step::Delete),
        5 => (0..80i64).prop_map(Step::Expire),
        2 => (0..80i64, pushes()).prop_map(|(passed, push)| Step::ExpireLate(passed, push)),
        3 => Just(Step::Scrape),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

impl Pushed {
    fn body(&self) -> String {
        let mut body = String::new();
        for (family, _, series) in &self.families {
            let name = FAMILIES[*family];
            let kind = if name == "g" { "gauge" } else { "counter" };
            body.push_str(&format!("# TYPE {name} {kind}\n"));
            for (label, value) in series {
                body.push_str(&format!("{name}{{n=\"{label}\"}} {value}\n"));
            }
        }
        body
    }

    fn transaction(&self) -> Transaction<'static> {
        let (grouping, arena, body) = (grouping(self.group), Bump::new(), self.body());
        let parsed = parse(body.as_bytes(), Names::Legacy, &arena).unwrap();
        let series_ttl =
            |name: &str| self.families.iter().find(|(family, _, _)| FAMILIES[*family] == name)?.1;
        let of_family = |family: &Family<'_>| FamilyTerms {
            series_ttl: series_ttl(family.name),
            ..FamilyTerms::default()
        };
        let push = Push::prepare_under(&parsed, &grouping, true, PushLimits::NONE, Some(&of_family)).unwrap();
        let replacing = Semantics { absent: Absent::Drop, ..Semantics::replacing(true) };
        let semantics = if self.is_put { replacing } else { Semantics::merging() };
        let overflow = if self.folds { Overflow::Fold } else { Overflow::Refuse };
        let terms = Terms { ttl: self.ttl, max_series: self.most, overflow, ..Terms::default() };
        Transaction::of(Part::Push { grouping: Cow::Owned(grouping), push, semantics, source: None, terms })
    }
}

// The model.

#[derive(Clone, Debug, Default)]
struct Model {
    groups: BTreeMap<usize, ModelGroup>,
    scraped: i64,
}

#[derive(Clone, Debug)]
struct ModelGroup {
    ttl: Option<i64>,
    last: i64,
    families: BTreeMap<usize, ModelFamily>,
}

#[derive(Clone, Debug, Default)]
struct ModelFamily {
    ttl: Option<i64>,
    pushed_at: i64,
    /// By label.
    series: BTreeMap<u8, ModelSeries>,
}

#[derive(Clone, Debug)]
struct ModelSeries {
    value: u64,
    /// When the gateway accepted the first push of it; 0 where it was replaced.
    start: i64,
    last: i64,
}

impl ModelGroup {
    fn count(&self) -> u64 {
        let labels = self.families.values().flat_map(|family| family.series.keys());
        labels.filter(|label| **label != OVERFLOW).count() as u64
    }
}

impl Model {
    /// False where the push is refused.
    fn push(&mut self, push: &Pushed, now: i64) -> bool {
        let new = ModelGroup { ttl: None, last: now, families: BTreeMap::new() };
        let before = self.groups.get(&push.group).cloned();
        let mut group = before.clone().unwrap_or(new);
        if push.is_put {
            // What is pushed takes the place of all that is there; series that are there keep their room.
            let pushed = |family: &usize| push.families.iter().find(|(pushed, _, _)| pushed == family);
            group.families.retain(|family, _| pushed(family).is_some());
            for (family, there) in &mut group.families {
                let (_, _, series) = pushed(family).unwrap();
                there.series.retain(|label, _| series.iter().any(|(pushed, _)| pushed == label));
            }
        }
        let most = push.most.filter(|_| push.folds);
        let mut room = most.map(|most| most.saturating_sub(group.count()));
        for (number, ttl, series) in &push.families {
            let family = group.families.entry(*number).or_default();
            let adds = FAMILIES[*number] != "g";
            if ttl.is_some() && family.ttl.is_none() {
                // Of what was not watched until now only this is known.
                family.series.values_mut().for_each(|series| series.last = family.pushed_at);
            }
            family.ttl = *ttl;
            family.pushed_at = now;
            let mut overflow_is_new = push.is_put || !family.series.contains_key(&OVERFLOW);
            for (label, value) in series {
                let is_new = !family.series.contains_key(label);
                let has_room = !is_new || room.is_none_or(|room| room > 0);
                if is_new && has_room {
                    room = room.map(|room| room - 1);
                }
                let label = if has_room { *label } else { OVERFLOW };
                let start = if adds && !push.is_put { now } else { 0 };
                let fresh = ModelSeries { value: 0, start, last: now };
                let series = family.series.entry(label).or_insert(fresh.clone());
                let replaces = if label == OVERFLOW { overflow_is_new } else { push.is_put };
                if push.is_put && replaces {
                    *series = fresh;
                }
                if label == OVERFLOW {
                    overflow_is_new = false;
                }
                series.value = if adds { series.value } else { 0 } + u64::from(*value);
                series.last = now;
            }
        }
        // What does not grow is welcome.
        let (count, had) = (group.count(), before.map_or(0, |before| before.count()));
        if !push.folds && push.most.is_some_and(|most| count > most && count > had) {
            return false;
        }
        (group.ttl, group.last) = (push.ttl, now);
        self.groups.insert(push.group, group);
        true
    }

    fn scrape(&mut self, now: i64) {
        let latest = self.groups.values().map(|group| group.last).max().unwrap_or(0);
        self.scraped = self.scraped.max(latest.min(now));
    }

    /// How many groups go, and how many series: without those of these groups, and with them. Series of a group may be
    /// over before it is.
    fn expire(&mut self, now: i64) -> [u64; 3] {
        let scraped = self.scraped;
        let is_over = |last: i64, ttl: Option<i64>| {
            ttl.is_some_and(|ttl| now >= last + ttl && (scraped >= last || now >= last + 10 * ttl))
        };
        let (groups, all) = (self.groups.len() as u64, self.series());
        self.groups.retain(|_, group| !is_over(group.last, group.ttl));
        let of_others = self.series();
        for group in self.groups.values_mut() {
            for family in group.families.values_mut() {
                family.series.retain(|_, series| !is_over(series.last, family.ttl));
            }
            group.families.retain(|_, family| !family.series.is_empty());
        }
        let left = self.series();
        [groups - self.groups.len() as u64, of_others - left, all - left]
    }

    fn series(&self) -> u64 {
        let families = self.groups.values().flat_map(|group| group.families.values());
        families.map(|family| family.series.len() as u64).sum()
    }

    fn shown(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, group) in &self.groups {
            lines.push(format!("group {number}"));
            for (family, there) in &group.families {
                for (label, series) in &there.series {
                    let labels = if *label == OVERFLOW {
                        format!("{{instance=\"\",job=\"{number}\",overflow=\"true\"}}")
                    } else {
                        format!("{{instance=\"\",job=\"{number}\",n=\"{label}\"}}")
                    };
                    lines.push(format!("{}{labels} {} {}", FAMILIES[*family], series.value, series.start));
                }
            }
        }
        lines.sort();
        lines
    }
}

fn shown(store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    for group in store.groups() {
        lines.push(format!("group {}", group.labels.labels[0].1));
        for family in &group.families {
            for piece in family.pieces.iter() {
                for row in 0..piece.len() {
                    let RowValue::Number(value) = piece.value(row) else { panic!("it is a number") };
                    let start = piece.start(row).accepted_nanos().unwrap_or(0);
                    lines.push(format!("{}{} {value} {start}", family.name, piece.block(row)));
                }
            }
        }
    }
    lines.sort();
    lines
}

// The store, with what keeps it.

enum Kept {
    Nothing,
    Memory(Memory),
    File(SimulatedDisk),
}

struct Subject {
    store: Store,
    engine: Option<Box<dyn Engine>>,
    kept: Kept,
    commit_mode: CommitMode,
}

fn empty(commit_mode: CommitMode) -> Store {
    Store::new([], commit_mode, Duration::from_secs(3600), 1000)
}

fn usage() -> Usage {
    Usage::new(0, 1 << 20)
}

impl Subject {
    fn new(kept: Kept, commit_mode: CommitMode) -> Subject {
        let store = empty(commit_mode);
        let engine: Option<Box<dyn Engine>> = match &kept {
            Kept::Nothing => None,
            Kept::Memory(memory) => Some(Box::new(memory.clone())),
            Kept::File(disk) => {
                let (disk, progress) = (Box::new(disk.clone()), Progress::start());
                let state = store.take_all().0;
                Some(Box::new(Redb::create(disk, &state, false, 0, usage(), progress.steps()).unwrap()))
            }
        };
        Subject { store, engine, kept, commit_mode }
    }

    fn submit(&mut self, transaction: &Transaction<'_>, now: i64) -> Result<(), Rejection> {
        if self.commit_mode != CommitMode::Before {
            let result = self.store.submit(transaction, Moment::at(now)).map(drop);
            if let Some(engine) = &mut self.engine {
                let committed = engine.commit(&self.store.take_unsaved(), now).unwrap();
                assert!(matches!(committed, Committed::Kept(_)));
            }
            return result;
        }
        let mut draft = self.store.draft();
        let result = self.store.submit_to(&mut draft, transaction, Moment::at(now)).map(drop);
        if let Some(engine) = &mut self.engine {
            engine.commit(&self.store.difference_of(&draft), now).unwrap();
        }
        self.store.publish(draft);
        result
    }

    fn look(&self, now: i64) -> (Vec<Transaction<'static>>, bool) {
        let Look { over, is_all, sight } = self.store.overdue(now, 2);
        let part = |overdue: tallygate::store::Overdue| {
            let grouping = Cow::Owned(overdue.labels.grouping());
            match overdue.families.is_empty() {
                true => Part::Expire { grouping, seen: overdue.seen },
                false => Part::ExpireSeries { grouping, families: overdue.families, sight },
            }
        };
        (over.into_iter().map(|overdue| Transaction::of(part(overdue))).collect(), is_all)
    }

    fn expire(&mut self, now: i64) {
        for _ in 0..100 {
            let (transactions, is_all) = self.look(now);
            transactions.iter().for_each(|transaction| self.submit(transaction, now).unwrap());
            if transactions.is_empty() && is_all {
                // What is left is due later.
                assert!(self.store.next_end().is_none_or(|next| next > now));
                return;
            }
        }
        panic!("the looks do not end");
    }

    /// False where nothing is kept.
    fn restart(&mut self) -> bool {
        self.engine = None;
        match &mut self.kept {
            Kept::Nothing => return false,
            Kept::Memory(memory) => {
                let store = empty(self.commit_mode);
                memory.kept().restore(&store);
                self.engine = Some(Box::new(memory.clone()));
                self.store = store;
            }
            Kept::File(disk) => {
                *disk = disk.after_crash(Vec::new());
                let store = empty(self.commit_mode);
                let (disk, progress) = (Box::new(disk.clone()), Progress::start());
                let opened = Redb::open(disk, &store, Moment::at(0), usage(), progress.steps()).unwrap();
                self.engine = Some(Box::new(opened));
                self.store = store;
            }
        }
        true
    }
}

fn check(mut subject: Subject, steps: &[Step]) {
    let (mut model, mut now) = (Model::default(), 1000);
    for step in steps {
        now += 1;
        match step {
            Step::Push(push) => push_to_both(&mut subject, &mut model, push, now),
            Step::Delete(group) => {
                let part = Part::Delete { grouping: Cow::Owned(grouping(*group)) };
                subject.submit(&Transaction::of(part), now).unwrap();
                model.groups.remove(group);
            }
            Step::Expire(passed) => {
                now += passed;
                let before = subject.store.tally();
                subject.expire(now);
                let [groups, least, most] = model.expire(now);
                let tally = subject.store.tally();
                assert_eq!(tally.expired_groups - before.expired_groups, groups);
                let series = tally.expired_series - before.expired_series;
                assert!((least..=most).contains(&series), "{least} <= {series} <= {most}");
            }
            Step::ExpireLate(passed, push) => {
                now += passed;
                let (found, _) = subject.look(now);
                now += 1;
                push_to_both(&mut subject, &mut model, push, now);
                let before = shown(&subject.store);
                found.iter().for_each(|transaction| subject.submit(transaction, now).unwrap());
                // Whatever went then is over still, and all of it is.
                let after = shown(&subject.store);
                assert!(after.iter().all(|line| before.contains(line)));
                subject.expire(now);
                model.expire(now);
            }
            Step::Scrape => {
                let (_, seen) = subject.store.snapshot_for_scrape(Moment::at(now));
                subject.store.note_scraped(seen);
                model.scrape(now);
            }
            Step::Restart => {
                if subject.restart() {
                    model.scraped = 0;
                }
            }
        }
        assert_eq!(shown(&subject.store), model.shown(), "after {step:?}");
    }
}

fn push_to_both(subject: &mut Subject, model: &mut Model, push: &Pushed, now: i64) {
    let result = subject.submit(&push.transaction(), now);
    let mut after = model.clone();
    if after.push(push, now) {
        assert_eq!(result, Ok(()), "{push:?}");
        *model = after;
    } else {
        let Err(Rejection::Full(full)) = result else { panic!("{result:?} for {push:?}") };
        assert_eq!((full.limit, Some(full.most)), (Limit::MaxSeries, push.most));
        // A refused push is noted in a group that has no deadline by that.
        model.groups.entry(push.group).or_insert(ModelGroup {
            ttl: None,
            last: now,
            families: BTreeMap::new(),
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_goes_is_what_a_slow_model_says(steps in steps(), seed in any::<u64>()) {
        check(Subject::new(Kept::Nothing, CommitMode::Never), &steps);
        check(Subject::new(Kept::Nothing, CommitMode::Before), &steps);
        for commit_mode in [CommitMode::Before, CommitMode::After] {
            check(Subject::new(Kept::Memory(Memory::default()), commit_mode), &steps);
            check(Subject::new(Kept::File(SimulatedDisk::new(seed, Vec::new())), commit_mode), &steps);
        }
    }
}

#[test]
fn a_file_of_the_format_without_ttls_is_read_and_written_anew() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/persistence-samples/format-2.db.gz");
    let mut content = Vec::new();
    let packed = std::fs::read(path).unwrap();
    flate2::read::GzDecoder::new(&*packed).read_to_end(&mut content).unwrap();
    let folder = Directory::new();
    let file = folder.write("store", content);
    for start in 1..3 {
        let gateway = Gateway::start(&[&format!("--persistence.file={file}")]);
        for (series, value) in [
            ("small_total{instance=\"\",job=\"small\",l=\"1\"}", 3.0),
            ("h_bucket{instance=\"\",job=\"small\",le=\"1\"}", 2.0),
            ("many_total{instance=\"\",job=\"large\",n=\"99\",zone=\"z\"}", 98.0 + f64::from(start)),
            ("push_time_seconds{instance=\"\",job=\"small\"}", 1.7959364576193793e9),
            ("tallygate_series", 103.0),
        ] {
            assert_eq!(gateway.sample(series), Some(value), "{series}");
        }
        gateway.push("/metrics/job/large/zone/z", "many_total{n=\"99\"} 1\n");
    }
}

fn sent(store: &Store, group: usize, body: &str, terms: Terms, now: i64) -> Result<(), Rejection> {
    let (grouping, arena) = (grouping(group), Bump::new());
    let parsed = parse(body.as_bytes(), Names::Legacy, &arena).unwrap();
    let push = Push::prepare(&parsed, &grouping, true).unwrap();
    let grouping = Cow::Owned(grouping);
    let part = Part::Push { grouping, push, semantics: Semantics::merging(), source: None, terms };
    store.submit(&Transaction::of(part), Moment::at(now)).map(drop)
}

/// The shown values of one family.
fn values_of(store: &Store, name: &str) -> Vec<String> {
    let groups = store.groups();
    let families = groups.iter().flat_map(|group| &group.families).filter(|family| *family.name == *name);
    let series = families.flat_map(|family| family.series());
    series.map(|series| format!("{} {:?}", series.block, series.value)).collect()
}

/// What is folded comes to the same as if each series had been pushed as the overflow series, one after the other.
#[test]
fn folded_series_add_up_as_pushes_of_the_overflow_series_would() {
    let terms = Terms { max_series: Some(1), overflow: Overflow::Fold, ..Terms::default() };
    let one = |label: &str, buckets: &str, count: u32| {
        let line = |(bound, n): (&str, u32)| format!("h_bucket{{{label}le=\"{bound}\"}} {n}\n");
        let bounds: String = buckets.split(' ').zip(1..).map(line).collect();
        let label = label.trim_end_matches(',');
        format!(
            "{bounds}h_bucket{{{label},le=\"+Inf\"}} {count}\nh_sum{{{label}}} 2\nh_count{{{label}}} {count}\n"
        )
    };
    let cases = [
        // Histograms of several layouts.
        ["n=\"1\",", "n=\"2\",", "n=\"3\","]
            .into_iter()
            .zip(["1 2", "1 5", "1 2"])
            .map(|(label, buckets)| one(label, buckets, 4))
            .collect::<Vec<_>>(),
        [
            "s{n=\"1\",quantile=\"0.5\"} 1\ns_sum{n=\"1\"} 2\ns_count{n=\"1\"} 3\n",
            "s_sum{n=\"2\"} 2\ns_count{n=\"2\"} 3\n",
        ]
        .map(str::to_owned)
        .to_vec(),
        ["g{n=\"1\"} 1\n", "g{n=\"2\"} 7\n", "g{n=\"3\"} 5\n"].map(str::to_owned).to_vec(),
        ["c_total{n=\"1\"} 0.1\n", "c_total{n=\"2\"} 0.2\n", "c_total{n=\"3\"} 1e16\n"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (series, (name, kind)) in
        cases.iter().zip([("h", "histogram"), ("s", "summary"), ("g", "gauge"), ("c_total", "counter")])
    {
        let typed = |body: &str| format!("# TYPE {name} {kind}\n{body}");
        let (folded, expected) = (empty(CommitMode::Never), empty(CommitMode::Never));
        // In a new group, and again where everything is there.
        for now in [10, 20] {
            sent(&folded, 1, &typed(&series.concat()), terms, now).unwrap();
            for (at, one) in series.iter().enumerate() {
                let is_first = at == 0;
                let label = format!("n=\"{}\"", at + 1);
                let one = if is_first { one.clone() } else { one.replace(&label, "overflow=\"true\"") };
                sent(&expected, 1, &typed(&one), Terms::default(), now).unwrap();
            }
            assert_eq!(values_of(&folded, name), values_of(&expected, name), "{name}");
            assert_eq!((folded.series_count(), folded.bytes()), (2, expected.bytes()), "{name}");
        }
        assert_eq!(folded.tally().overflowed, 2 * (series.len() as u64 - 1));
    }
}

#[test]
fn an_overflow_series_that_goes_makes_no_room() {
    let pushed = |is_put, folds, labels: std::ops::Range<u8>| {
        let families = vec![(0, None, labels.map(|label| (label, 1)).collect())];
        Pushed { group: 1, is_put, ttl: None, most: Some(2), folds, families }
    };
    let store = empty(CommitMode::Never);
    let submit = |push: Pushed, at| store.submit(&push.transaction(), Moment::at(at));
    submit(pushed(false, true, 0..4), 10).unwrap();
    assert_eq!(store.series_count(), 3);
    // Three in the place of two and their overflow series.
    let refused = submit(pushed(true, false, 5..8), 11);
    assert!(matches!(refused, Err(Rejection::Full(full)) if full.limit == Limit::MaxSeries), "{refused:?}");
    submit(pushed(true, false, 5..7), 12).unwrap();
    assert_eq!(store.series_count(), 2);
}

#[test]
fn a_group_has_no_more_series_than_its_rule_says() {
    let terms = |most, overflow| Terms { max_series: Some(most), overflow, ..Terms::default() };
    let store = empty(CommitMode::Never);
    let full = |result: Result<(), Rejection>| match result {
        Err(Rejection::Full(full)) => full.to_string(),
        other => panic!("{other:?}"),
    };
    let refused = full(sent(&store, 1, "a 1\nb 1\nc 1\n", terms(2, Overflow::Refuse), 10));
    assert!(refused.contains("2 series are the most in a group (max_series of the rule)"), "{refused}");
    sent(&store, 1, "a 1\nb 1\n", terms(2, Overflow::Refuse), 11).unwrap();
    // What is there goes on, and another group has its own room.
    sent(&store, 1, "a 2\n", terms(1, Overflow::Refuse), 12).unwrap();
    sent(&store, 2, "a 1\n", terms(1, Overflow::Refuse), 12).unwrap();
    full(sent(&store, 1, "a 3\nc 1\n", terms(2, Overflow::Refuse), 13));
    assert_eq!(
        values_of(&store, "a"),
        [r#"{instance="",job="1"} Number(2.0)"#, r#"{instance="",job="2"} Number(1.0)"#]
    );
    // An overflow series does not count, and its family may have others later.
    sent(&store, 1, "c{n=\"1\"} 1\nc{n=\"2\"} 2\n", terms(2, Overflow::Fold), 14).unwrap();
    assert_eq!(values_of(&store, "c"), [r#"{instance="",job="1",overflow="true"} Number(2.0)"#]);
    sent(&store, 1, "d 1\n", terms(3, Overflow::Refuse), 15).unwrap();
    assert_eq!(store.group(grouping(1).key()).unwrap().families.len(), 4);
    // The same series can't stand in two groups.
    let label =
        |name: &'static str, value: &'static str| GroupingLabel { name: name.into(), value: value.into() };
    let within = Grouping::new(vec![label("job", "1"), label("overflow", "true")]);
    let arena = Bump::new();
    let parsed = parse(b"e 1\n", Names::Legacy, &arena).unwrap();
    let push = Push::prepare(&parsed, &within, true).unwrap();
    let (grouping, semantics) = (Cow::Borrowed(&within), Semantics::merging());
    let part = Part::Push { grouping, push, semantics, source: None, terms: Terms::default() };
    store.submit(&Transaction::of(part), Moment::at(16)).unwrap();
    let clash = sent(&store, 1, "e{n=\"1\"} 1\n", terms(2, Overflow::Fold), 17);
    assert!(matches!(clash, Err(Rejection::Refused(_))), "{clash:?}");
}
