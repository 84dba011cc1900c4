//! Checks the guarantees of every engine (see `tallygate::persistence::engine`) against a store in memory that gets
//! the acknowledged requests. After any failures and crashes, an engine restores exactly that, and at most one
//! commit more whose result was not known.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bumpalo::Bump;
use proptest::prelude::*;
use tallygate::exposition::text::{Names, parse};
use tallygate::model::body::Family;
use tallygate::model::grouping::{Grouping, GroupingLabel};
use tallygate::model::kind::{Form, Kind as MetricKind};
use tallygate::model::limits::PushLimits;
use tallygate::model::merge::{Buckets, FamilyTerms, Fold, Merge, Temporality};
use tallygate::model::push::Push;
use tallygate::model::time::Moment;
use tallygate::persistence::engine::{CommitError, Committed, Engine, Recovery, Written};
use tallygate::persistence::memory::{Fate, Memory};
#[cfg(feature = "postgres")]
use tallygate::persistence::postgres::{Address, Postgres};
use tallygate::persistence::redb::Redb;
use tallygate::persistence::redb::file::Usage;
use tallygate::progress::Progress;
use tallygate::rules::selector::Selector;
use tallygate::store::deletion::{DeletionFilter, Survey};
use tallygate::store::idempotency::Key;
use tallygate::store::selection::{Selection, SeriesName};
use tallygate::store::semantics::{Absent, FamilyRule, Semantics};
use tallygate::store::sight::Sight;
use tallygate::store::times::Times;
use tallygate::store::{CommitMode, Outcome, Overflow, Part, Rejection, Store, Terms, Transaction};

#[cfg(feature = "postgres")]
use crate::programs::database::{Cut, Database, Proxy};
use crate::support::disk::{Done, Kind, Operation, SimulatedDisk};

const HOUR: Duration = Duration::from_secs(3600);

// Requests.

#[derive(Clone, Debug)]
enum Step {
    Push {
        group: usize,
        is_put: bool,
        body: String,
        source: Option<u8>,
        /// Which of some rules hold; see [`terms`].
        rules: u8,
        /// How long the group stays, and its series and sources.
        ttls: (Option<i64>, Option<i64>),
        /// How many series the group may have, and what becomes of others.
        room: (Option<u64>, Overflow),
    },
    DeleteSource {
        group: usize,
        source: u8,
        keeps_totals: bool,
    },
    Failed(usize),
    Delete(usize),
    /// Expires the group unless it was pushed to since it was checked. Others may have pushed before the check.
    Expire {
        group: usize,
        is_late: bool,
        seen: Times,
    },
    /// The series of a group go that were not pushed for their TTL.
    ExpireSeries(usize, i64),
    /// Removes the series of a group that [`is_in`] this share, by a list or by a condition.
    DropSeries {
        group: usize,
        share: u8,
        is_listed: bool,
        listed: Vec<(Arc<str>, String)>,
    },
    /// Series and groups that match go. What matches was looked for before the steps around it.
    DeleteMatching {
        series: Vec<&'static str>,
        groups: Vec<&'static str>,
        keys: Vec<usize>,
    },
    Wipe,
}

#[derive(Clone, Debug)]
struct Request {
    steps: Vec<Step>,
    key: Option<u8>,
}

fn grouping(number: usize) -> Grouping<'static> {
    let label =
        |name: &'static str, value: &'static str| GroupingLabel { name: name.into(), value: value.into() };
    match number {
        0 => Grouping::new(vec![label("job", "a")]),
        1 => Grouping::new(vec![label("job", "b")]),
        2 => Grouping::new(vec![label("job", "a"), label("l", "1")]),
        _ => Grouping::new(vec![label("job", "c"), label("zone", "x")]),
    }
}

fn source_name(number: u8) -> String {
    format!("{{pod=\"{number}\"}}")
}

fn terms(rules: u8, kind: MetricKind, name: &str) -> FamilyTerms {
    let fold = match (rules, name) {
        (1, "g") => Some(Merge::Fold(Fold::Sum)),
        (2, "g") => Some(Merge::Fold(Fold::Mean)),
        (1 | 2, "lots") => Some(Merge::Fold(Fold::Count)),
        (3, "g") => Some(Merge::Greatest),
        _ => None,
    };
    let temporality = match rules {
        1 => Temporality::Cumulative,
        2 => Temporality::Auto,
        _ => Temporality::Delta,
    };
    let buckets = if rules == 3 { Buckets::Reject } else { Buckets::Union };
    let merge = fold.filter(|_| kind.form() == Form::Number);
    FamilyTerms { merge, temporality, buckets, ..FamilyTerms::default() }
}

impl Request {
    fn transaction(&self) -> Transaction<'static> {
        let part = |step: &Step| match step {
            Step::Push { group, is_put, body, source, rules, ttls: (ttl, series_ttl), room } => {
                let grouping = grouping(*group);
                let arena = Bump::new();
                let parsed = parse(body.as_bytes(), Names::Legacy, &arena).unwrap();
                let family_terms = |family: &Family<'_>| FamilyTerms {
                    // Some families have none.
                    series_ttl: series_ttl.filter(|_| family.name != "lots"),
                    ..terms(*rules, family.kind.unwrap_or(MetricKind::Untyped), family.name)
                };
                let push =
                    Push::prepare_under(&parsed, &grouping, true, PushLimits::NONE, Some(&family_terms))
                        .unwrap();
                let (max_series, overflow) = *room;
                let terms = Terms { ttl: *ttl, source_ttl: *series_ttl, max_series, overflow };
                let replacing = Semantics { absent: Absent::Drop, ..Semantics::replacing(true) };
                let semantics = if *is_put { replacing } else { Semantics::merging() };
                assert_eq!(Semantics::merging().adding, FamilyRule::Merge);
                let source = source.map(|source| source_name(source).into());
                Part::Push { grouping: Cow::Owned(grouping), push, semantics, source, terms }
            }
            Step::DeleteSource { group, source, keeps_totals } => Part::DeleteSource {
                grouping: Cow::Owned(grouping(*group)),
                source: source_name(*source).into(),
                seen: None,
                keeps_totals: *keeps_totals,
            },
            Step::Failed(group) => Part::Failed { grouping: Cow::Owned(grouping(*group)) },
            Step::Delete(group) => Part::Delete { grouping: Cow::Owned(grouping(*group)) },
            Step::Expire { group, seen, .. } => {
                Part::Expire { grouping: Cow::Owned(grouping(*group)), seen: *seen }
            }
            Step::ExpireSeries(group, now) => Part::ExpireSeries {
                grouping: Cow::Owned(grouping(*group)),
                families: ["c_total", "many_total", "lots", "h", "none"].map(Arc::from).to_vec(),
                sight: Sight { now: *now, scraped: *now },
            },
            Step::DropSeries { group, share, is_listed, listed } => {
                let (grouping, share) = (Cow::Owned(grouping(*group)), *share);
                let name = |(family, block): &(Arc<str>, String)| {
                    Arc::new(SeriesName { family: family.clone(), block: block.as_str().into() })
                };
                let which = if *is_listed {
                    Selection::Listed(listed.iter().map(name).collect())
                } else {
                    Selection::matching(move |family, block| is_in(share, family, block))
                };
                Part::DropSeries { grouping, which }
            }
            Step::DeleteMatching { series, groups, keys } => {
                let parse =
                    |texts: &[&str]| texts.iter().map(|text| Selector::parse(text).unwrap()).collect();
                let filter = DeletionFilter {
                    series: parse(series),
                    groups: parse(groups),
                    keys: keys.iter().map(|number| grouping(*number).key().into()).collect(),
                };
                Part::DeleteMatching { filter: filter.into(), survey: Survey::default() }
            }
            Step::Wipe => Part::Wipe,
        };
        let key = self.key.map(|key| Key { id: key.into(), fingerprint: self.fingerprint() });
        Transaction { parts: self.steps.iter().map(part).collect(), key }
    }

    /// The request that a client who has seen this store would send.
    fn seen(mut self, store: &Store) -> Request {
        for step in &mut self.steps {
            match step {
                Step::Expire { group, is_late, seen } => {
                    let group = store.group(grouping(*group).key());
                    *seen = group.map_or(Times::default(), |group| group.times);
                    seen.pushes -= u64::from(*is_late && seen.pushes > 0);
                }
                Step::DropSeries { group, share, listed, is_listed: true } => {
                    let families =
                        store.group(grouping(*group).key()).into_iter().flat_map(|group| group.families);
                    for family in families {
                        let blocks = family.series().map(|series| series.block);
                        let blocks = blocks.filter(|block| is_in(*share, &family.name, block));
                        listed.extend(blocks.map(|block| (family.name.clone(), block.to_owned())));
                    }
                    // The order, repetitions and missing series do not matter.
                    listed.reverse();
                    listed.extend(listed.first().cloned());
                    listed.push(("c_total".into(), "{none=\"1\"}".to_owned()));
                }
                _ => {}
            }
        }
        self
    }

    /// The same with what is found in this store now.
    fn surveyed(&self, store: &Store) -> Transaction<'static> {
        let mut transaction = self.transaction();
        for part in &mut transaction.parts {
            if let Part::DeleteMatching { filter, survey } = part {
                *survey = store.survey(filter);
            }
        }
        transaction
    }

    fn fingerprint(&self) -> u128 {
        format!("{:?}", self.steps)
            .bytes()
            .fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
    }
}

/// The transaction with the surveys of another that was made of the same request.
fn with_surveys(
    mut transaction: Transaction<'static>,
    surveyed: Transaction<'static>,
) -> Transaction<'static> {
    for (part, surveyed) in transaction.parts.iter_mut().zip(surveyed.parts) {
        if matches!(surveyed, Part::DeleteMatching { .. }) {
            *part = surveyed;
        }
    }
    transaction
}

/// Whether a series is in a share: 0 has all series, others leave some out.
fn is_in(share: u8, family: &str, block: &str) -> bool {
    let sum = |text: &str| text.bytes().map(usize::from).sum::<usize>();
    match share {
        0 => true,
        // Only those of some families, all or some of them.
        1 => sum(family).is_multiple_of(2),
        2 => sum(family).is_multiple_of(2) && sum(block).is_multiple_of(3),
        _ => !sum(block).is_multiple_of(usize::from(share)),
    }
}

fn body() -> impl Strategy<Value = String> {
    let series = |name: &'static str, kind: &'static str| {
        (0..90u8, 1..40u8, 0..5u8).prop_map(move |(first, count, value)| {
            let lines = (first..first + count).map(|at| format!("{name}{{n=\"{at}\"}} {value}\n"));
            let kind = if kind.is_empty() { String::new() } else { format!("# TYPE {name} {kind}\n") };
            kind + &lines.collect::<String>()
        })
    };
    let small = |name: &'static str, kind: &'static str| {
        (0..4u8, 0..9u8).prop_map(move |(label, value)| {
            let kind = if kind.is_empty() { String::new() } else { format!("# TYPE {name} {kind}\n") };
            format!("# HELP {name} h{}\n{kind}{name}{{l=\"{label}\"}} {value}\n", value % 3)
        })
    };
    let bounds = prop::sample::select(vec!["1", "2", "5"]);
    let histogram = (0..3u8, bounds, 0..9u32).prop_map(|(label, bound, count)| {
        format!(
            "# TYPE h histogram\nh_bucket{{l=\"{label}\",le=\"{bound}\"}} {count}\nh_bucket{{l=\"{label}\",le=\"+Inf\"}} \
             {count}\nh_sum{{l=\"{label}\"}} 1\nh_count{{l=\"{label}\"}} {count}\n"
        )
    });
    let family = prop_oneof![
        3 => small("c_total", "counter"),
        1 => small("c_total", ""),
        2 => small("g", "gauge"),
        1 => small("g", ""),
        1 => small("g", "counter"),
        2 => series("many_total", "counter"),
        1 => series("lots", "gauge"),
        2 => histogram,
        1 => Just("# TYPE s summary\ns_sum 1\ns_count 2\n".to_owned()),
        1 => Just("h 1\n".to_owned()),
        2 => (0..3u8).prop_map(|n| format!("process_start_time_seconds {}\n", 1_700_000_000 + u32::from(n))),
    ];
    // A body has each family only once.
    prop::collection::vec(family, 0..4).prop_map(|families| {
        let name = |body: &String| {
            body.split(['{', ' ']).find(|word| !matches!(*word, "#" | "TYPE" | "HELP")).unwrap().to_owned()
        };
        let mut seen = Vec::new();
        families
            .into_iter()
            .filter(|body| {
                !seen.contains(&name(body)) && {
                    seen.push(name(body));
                    true
                }
            })
            .collect()
    })
}

const SERIES_SELECTORS: &[&str] = &[
    "c_total",
    "nothing",
    r#"{l=~"0|1"}"#,
    r#"{l="1",job="a"}"#,
    r#"many_total{n=~"1.*"}"#,
    r#"{n=~"2.*",job!="b"}"#,
    r#"{__name__=~"h|s|g"}"#,
    r#"{job="c",l!="2"}"#,
    r#"{__name__=~".+"}"#,
];

const GROUP_SELECTORS: &[&str] = &[r#"{job="a"}"#, r#"{l="1"}"#, r#"{job=~"b|c"}"#, r#"{zone="x",job!="c"}"#];

fn ttl() -> impl Strategy<Value = Option<i64>> {
    prop::option::weighted(0.4, 1..100i64)
}

fn room() -> impl Strategy<Value = (Option<u64>, Overflow)> {
    let most = prop_oneof![2 => 1..6u64, 1 => 6..60u64];
    let overflow = prop_oneof![2 => Just(Overflow::Fold), 1 => Just(Overflow::Refuse)];
    (prop::option::weighted(0.5, most), overflow)
}

fn requests() -> impl Strategy<Value = Request> {
    let step = prop_oneof![
        12 => (
            (0..4usize, prop::bool::weighted(0.2), body(), prop::option::weighted(0.6, 0..3u8)),
            (0..4u8, (ttl(), ttl()), room()),
        )
            .prop_map(|((group, is_put, body, source), (rules, ttls, room))| {
                Step::Push { group, is_put, body, source, rules, ttls, room }
            }),
        2 => (0..4usize, 1000..1300i64).prop_map(|(group, now)| Step::ExpireSeries(group, now)),
        2 => (0..4usize, 0..3u8, any::<bool>())
            .prop_map(|(group, source, keeps_totals)| Step::DeleteSource { group, source, keeps_totals }),
        1 => (0..4usize).prop_map(Step::Failed),
        2 => (0..4usize).prop_map(Step::Delete),
        2 => (0..4usize, prop::bool::weighted(0.3))
            .prop_map(|(group, is_late)| Step::Expire { group, is_late, seen: Times::default() }),
        3 => (0..4usize, 0..8u8, any::<bool>()).prop_map(|(group, share, is_listed)| {
            Step::DropSeries { group, share, is_listed, listed: Vec::new() }
        }),
        3 => (
            prop::collection::vec(prop::sample::select(SERIES_SELECTORS), 0..3),
            prop::collection::vec(prop::sample::select(GROUP_SELECTORS), 0..2),
            prop::collection::vec(0..4usize, 0..2),
        )
            .prop_map(|(series, groups, keys)| Step::DeleteMatching { series, groups, keys }),
        1 => Just(Step::Wipe),
    ];
    let steps =
        prop_oneof![5 => prop::collection::vec(step.clone(), 1), 1 => prop::collection::vec(step, 2..4)];
    (steps, prop::option::weighted(0.3, 0..6u8)).prop_map(|(steps, key)| Request { steps, key })
}

/// A fault of a commit, and what follows.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    /// The number of the fault among those of the engine, and its delay.
    fault: u64,
    after: u64,
    /// Whether the gateway stops then or recovers.
    is_crash: bool,
}

#[derive(Clone, Debug)]
struct Batch {
    requests: Vec<Request>,
    trouble: Option<Trouble>,
    /// Whether the gateway starts again afterwards.
    restarts: bool,
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let trouble = (any::<u64>(), 0..8u64, any::<bool>());
    let trouble = trouble.prop_map(|(fault, after, is_crash)| Trouble { fault, after, is_crash });
    let batch = (
        prop::collection::vec(requests(), 1..4),
        prop::option::weighted(0.4, trouble),
        prop::bool::weighted(0.15),
    );
    let batch = batch.prop_map(|(requests, trouble, restarts)| Batch { requests, trouble, restarts });
    prop::collection::vec(batch, 1..10)
}

// What a store shows.

fn store(commit_mode: CommitMode) -> Store {
    Store::new([], commit_mode, HOUR, 1000)
}

fn shown(store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    let groups = store.groups();
    let sources =
        groups.iter().flat_map(|group| store.sources(&group.labels.key, 0, usize::MAX).1).collect::<Vec<_>>();
    for group in groups.into_iter().chain(sources) {
        lines.push(format!("{} {:?} {:?}", group.labels.key, group.times, group.ttl));
        for family in &group.families {
            // Of what a source remembers only how it is stored matters.
            let kind = if group.labels.is_source {
                format!("{:?}", family.kind.form())
            } else {
                format!("{:?}", family.kind)
            };
            lines.push(format!(
                "{} {kind} {:?} {:?} {} {:?}",
                family.name, family.metadata, family.rule, family.pushed_at, family.lasting
            ));
            for piece in family.pieces.iter() {
                let row = |at| {
                    let last = family.last_push(piece, at);
                    format!("{} {} {:?} {last}", piece.block(at), piece.start(at).code(), piece.owned(at))
                };
                lines.extend((0..piece.len()).map(row));
            }
        }
    }
    let snapshot = store.snapshot();
    for family in &snapshot.families {
        lines.push(format!("{} is a {:?}", family.name(), family.kind));
        let rows = family.pieces().flat_map(|piece| (0..piece.len()).map(move |at| (piece, at)));
        let mut rows: Vec<String> = rows
            .map(|(piece, at)| format!("{} {:?} {}", piece.block(at), piece.value(at), piece.holders(at)))
            .collect();
        rows.sort();
        lines.extend(rows);
    }
    let counts = (store.group_count(), store.series_count(), store.bytes(), store.keys().len());
    lines.push(format!("{counts:?}"));
    lines
}

/// The result without the group that a refused push clashes with, because any of several may be named, and without the
/// suspicion of running totals, which a restart forgets.
type Answer = Result<Outcome, String>;

fn answer(result: Result<Outcome, Rejection>) -> Answer {
    match result {
        Ok(Outcome::Repeating { .. }) => Ok(Outcome::Applied),
        Ok(outcome) => Ok(outcome),
        Err(Rejection::Refused(refusal)) => Err(format!("{:?}", refusal.cause)),
        Err(other) => Err(format!("{other:?}")),
    }
}

/// A store in memory that was given these requests.
fn given(log: &[(Request, Moment)]) -> (Store, Vec<Answer>) {
    let store = store(CommitMode::Never);
    let answers =
        log.iter().map(|(request, now)| answer(store.submit(&request.transaction(), *now))).collect();
    (store, answers)
}

// The engines.

trait Subject {
    fn create(&self, store: &Store) -> Box<dyn Engine>;
    /// Causes a fault soon.
    fn disturb(&self, trouble: Trouble);
    /// Opens the engine after a crash.
    fn restart(&mut self, store: &Store) -> Box<dyn Engine>;
}

struct OfMemory(Memory);

impl Subject for OfMemory {
    fn create(&self, _store: &Store) -> Box<dyn Engine> {
        Box::new(self.0.clone())
    }

    fn disturb(&self, trouble: Trouble) {
        self.0.expect([if trouble.fault.is_multiple_of(2) { Fate::Fails } else { Fate::KeepsAndFails }]);
        self.0.expect((0..trouble.after / 3).map(|_| Fate::Fails));
        self.0.fail_reads(trouble.fault / 2 % 3);
    }

    fn restart(&mut self, store: &Store) -> Box<dyn Engine> {
        let kept = self.0.kept();
        self.0 = Memory::default();
        kept.restore(store);
        let mut engine = self.0.clone();
        let (state, since) = store.take_all();
        engine.recover(&state, &since, 0).unwrap();
        Box::new(engine)
    }
}

/// An engine in memory that several gateways share.
struct OfSharedMemory(Memory);

impl Subject for OfSharedMemory {
    fn create(&self, store: &Store) -> Box<dyn Engine> {
        Box::new(self.0.join(store))
    }

    fn disturb(&self, trouble: Trouble) {
        self.0.expect([if trouble.fault.is_multiple_of(2) { Fate::Fails } else { Fate::KeepsAndFails }]);
        self.0.fail_reads(trouble.fault / 2 % 3);
    }

    fn restart(&mut self, store: &Store) -> Box<dyn Engine> {
        self.create(store)
    }
}

struct OfRedb(SimulatedDisk);

impl Subject for OfRedb {
    fn create(&self, store: &Store) -> Box<dyn Engine> {
        let progress = Progress::start();
        let usage = Usage::new(0, 1 << 20);
        let disk = Box::new(self.0.clone());
        Box::new(Redb::create(disk, &store.take_all().0, false, 0, usage, progress.steps()).unwrap())
    }

    fn disturb(&self, trouble: Trouble) {
        let operations = [Operation::Write, Operation::Sync, Operation::SetLength, Operation::Open];
        let done = [Done::Nothing, Done::Some, Done::All][trouble.fault as usize / 4 % 3];
        let operation = operations[trouble.fault as usize % 4];
        self.0.add_fault(trouble.after, Kind::Error(operation, ErrorKind::StorageFull, done));
    }

    fn restart(&mut self, store: &Store) -> Box<dyn Engine> {
        self.0 = self.0.after_crash(Vec::new());
        let (progress, now) = (Progress::start(), Moment::at(0));
        let disk = Box::new(self.0.clone());
        Box::new(Redb::open(disk, store, now, Usage::new(0, 1 << 20), progress.steps()).unwrap())
    }
}

/// An engine on a real PostgreSQL. Its connections are cut, and the answers to commits get lost.
#[cfg(feature = "postgres")]
struct OfPostgres {
    database: std::rc::Rc<Database>,
    proxy: Proxy,
    /// Whether several gateways share it, so that the connections of others stay when one crashes.
    has_others: bool,
}

#[cfg(feature = "postgres")]
impl OfPostgres {
    fn new(database: &std::rc::Rc<Database>, has_others: bool) -> OfPostgres {
        database.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        OfPostgres { database: database.clone(), proxy: Proxy::before(database), has_others }
    }

    fn open(&self, store: &Store) -> Box<dyn Engine> {
        let address = Address::parse(&self.database.url_at(self.proxy.port())).unwrap();
        let (progress, now) = (Progress::start(), Moment::at(0));
        let open = || Postgres::open(&address, "a", store, |_| now, 0, progress.steps());
        // A connection that is being cut may take this one with it.
        let opened = (0..3).find_map(|_| open().inspect_err(|error| println!("{error}")).ok());
        Box::new(opened.unwrap())
    }
}

#[cfg(feature = "postgres")]
impl Subject for OfPostgres {
    fn create(&self, store: &Store) -> Box<dyn Engine> {
        self.open(store)
    }

    fn disturb(&self, trouble: Trouble) {
        let cut = if trouble.fault.is_multiple_of(2) { Cut::Request } else { Cut::Answer };
        self.proxy.cut((trouble.after % 3) as u32, cut);
    }

    fn restart(&mut self, store: &Store) -> Box<dyn Engine> {
        if self.has_others {
            self.proxy.stop_cutting();
        } else {
            self.proxy = Proxy::before(&self.database);
        }
        self.open(store)
    }
}

/// Restarts, and finds out which of these logs the engine has kept.
fn restart(
    subject: &mut dyn Subject,
    commit_mode: CommitMode,
    logs: &[&[(Request, Moment)]],
) -> (Store, Box<dyn Engine>, usize) {
    let found = store(commit_mode);
    let engine = subject.restart(&found);
    let shown_now = shown(&found);
    let kept = logs.iter().position(|log| shown(&given(log).0) == shown_now);
    let kept = kept.unwrap_or_else(|| {
        panic!(
            "the engine has kept\n{}\ninstead of\n{}",
            shown_now.join("\n"),
            shown(&given(logs[0]).0).join("\n")
        )
    });
    (found, engine, kept)
}

fn recover(engine: &mut dyn Engine, store: &Store) {
    let recovered = (0..100).any(|_| match engine.prepare_recovery() {
        Ok(Recovery::Write) => {
            let (state, since) = store.take_all();
            engine.recover(&state, &since, 0).is_ok()
        }
        Ok(Recovery::Look) => look(engine, store).is_ok(),
        Err(_) => false,
    });
    assert!(recovered, "the engine does not recover");
}

/// The log with a batch, each of whose requests has seen what came before, and the answers to these.
fn extended(
    log: &[(Request, Moment)],
    batch: &Batch,
    now: &mut i64,
) -> (Vec<(Request, Moment)>, Vec<Answer>) {
    let mut with_batch = log.to_vec();
    for request in &batch.requests {
        *now += 10;
        let request = request.clone().seen(&given(&with_batch).0);
        with_batch.push((request, Moment::at(*now)));
    }
    let expected = given(&with_batch).1.split_off(log.len());
    (with_batch, expected)
}

/// Takes in what others have committed. Returns whether there was anything.
fn look(engine: &mut dyn Engine, store: &Store) -> Result<bool, CommitError> {
    let news = engine.look(store)?;
    let is_new = news.is_some();
    news.into_iter().for_each(|news| store.catch_up(news, Moment::at(0)));
    Ok(is_new)
}

/// Drafts are committed before they are visible.
fn check_drafts(mut subject: impl Subject, batches: &[Batch]) {
    let mut store = store(CommitMode::Before);
    let mut engine = subject.create(&store);
    let mut log: Vec<(Request, Moment)> = Vec::new();
    let mut now = 1000;
    for batch in batches {
        let (with_batch, expected) = extended(&log, batch, &mut now);
        if let Some(trouble) = batch.trouble {
            subject.disturb(trouble);
        }
        let requests = &with_batch[log.len()..];
        let transactions: Vec<_> =
            requests.iter().map(|(request, now)| (request.surveyed(&store), *now)).collect();
        let mut draft = store.draft();
        let submit = |(transaction, now): &(Transaction<'static>, Moment)| {
            answer(store.submit_to(&mut draft, transaction, *now))
        };
        let answers: Vec<Answer> = transactions.iter().map(submit).collect();
        assert_eq!(answers, expected);
        assert_eq!(values(&shown(&store)), values(&shown(&given(&log).0)), "a draft was seen");
        let difference = store.difference_of(&draft);
        match engine.commit(&difference, now) {
            Ok(Committed::Kept(_)) => {
                store.publish(draft);
                log = with_batch;
            }
            Ok(Committed::Overtaken) => panic!("there is no other gateway"),
            Err(_) => {
                store.drop_draft(draft);
                assert_eq!(shown(&store), shown(&given(&log).0), "a draft has left something");
                if batch.trouble.is_some_and(|trouble| trouble.is_crash) {
                    let kept;
                    (store, engine, kept) = restart(&mut subject, CommitMode::Before, &[&log, &with_batch]);
                    if kept == 1 {
                        log = with_batch;
                    }
                } else {
                    recover(&mut *engine, &store);
                    // Where gateways share an engine, what was kept stays.
                    let has_batch = engine.is_shared() && shown(&store) == shown(&given(&with_batch).0);
                    log = if has_batch { with_batch } else { log };
                }
            }
        }
        assert_eq!(shown(&store), shown(&given(&log).0));
        if batch.restarts {
            (store, engine, _) = restart(&mut subject, CommitMode::Before, &[&log]);
        }
    }
    restart(&mut subject, CommitMode::Before, &[&log]);
}

/// Several gateways share an engine, and do requests in turn. Each does what one gateway would have done with all of
/// them.
fn check_replicas(mut subject: impl Subject, batches: &[Batch], turns: &[usize]) {
    let join = |subject: &dyn Subject| {
        let store = store(CommitMode::Before);
        let engine = subject.create(&store);
        (store, engine)
    };
    let mut replicas: Vec<(Store, Box<dyn Engine>)> = (0..3).map(|_| join(&subject)).collect();
    let mut log: Vec<(Request, Moment)> = Vec::new();
    let mut now = 1000;
    for (number, (batch, turn)) in batches.iter().zip(turns.iter().cycle()).enumerate() {
        let (with_batch, expected) = extended(&log, batch, &mut now);
        if let Some(trouble) = batch.trouble {
            subject.disturb(trouble);
        }
        let (store, engine) = &mut replicas[*turn];
        let requests = &with_batch[log.len()..];
        let transactions: Vec<_> =
            requests.iter().map(|(request, now)| (request.surveyed(store), *now)).collect();
        let kept = (0..4).find_map(|_| commit(&mut **engine, store, &transactions, &expected, now));
        match kept.expect("it is overtaken again and again") {
            true => log = with_batch,
            false if batch.trouble.is_some_and(|trouble| trouble.is_crash) => {
                let (store, engine, kept) = restart(&mut subject, CommitMode::Before, &[&log, &with_batch]);
                replicas[*turn] = (store, engine);
                log = if kept == 1 { with_batch } else { log };
            }
            false => {
                recover(&mut **engine, store);
                let has_batch = shown(store) == shown(&given(&with_batch).0);
                log = if has_batch { with_batch } else { log };
            }
        }
        if batch.restarts {
            let (store, engine, _) = restart(&mut subject, CommitMode::Before, &[&log]);
            replicas[(*turn + 1) % 3] = (store, engine);
        }
        // Sometimes the others are behind by several commits.
        for (store, engine) in replicas.iter_mut().skip(number % 3) {
            if look(&mut **engine, store).is_err() {
                recover(&mut **engine, store);
            }
            assert_eq!(shown(store), shown(&given(&log).0));
        }
    }
    restart(&mut subject, CommitMode::Before, &[&log]);
}

/// Tries to commit requests. Returns whether they were kept for sure; `None` if another gateway was first.
fn commit(
    engine: &mut dyn Engine,
    store: &Store,
    transactions: &[(Transaction<'static>, Moment)],
    expected: &[Answer],
    now: i64,
) -> Option<bool> {
    match engine.begin(store) {
        Ok(news) => news.into_iter().for_each(|news| store.catch_up(news, Moment::at(0))),
        Err(_) => return Some(false),
    }
    let mut draft = store.draft();
    let submit = |(transaction, now): &(Transaction<'static>, Moment)| {
        answer(store.submit_to(&mut draft, transaction, *now))
    };
    let answers: Vec<Answer> = transactions.iter().map(submit).collect();
    let difference = store.difference_of(&draft);
    let committed = if difference.is_empty() {
        // There must be no draft when something is taken in.
        match engine.look(store) {
            Ok(None) => Ok(Committed::Kept(Written::default())),
            Ok(Some(news)) => {
                store.drop_draft(draft);
                store.catch_up(news, Moment::at(0));
                return None;
            }
            Err(error) => Err(error),
        }
    } else {
        engine.commit(&difference, now)
    };
    match committed {
        Ok(Committed::Kept(_)) => {
            assert_eq!(answers, expected);
            store.publish(draft);
            Some(true)
        }
        Ok(Committed::Overtaken) => {
            store.drop_draft(draft);
            None
        }
        Err(_) => {
            store.drop_draft(draft);
            Some(false)
        }
    }
}

/// The lines without the last, which tells how much there is, with drafts.
fn values(shown: &[String]) -> &[String] {
    &shown[..shown.len() - 1]
}

/// Changes are visible at once and committed later.
fn check_unsaved(mut subject: impl Subject, batches: &[Batch]) {
    let mut store = store(CommitMode::After);
    let mut engine = subject.create(&store);
    let mut log: Vec<(Request, Moment)> = Vec::new();
    let mut now = 1000;
    for batch in batches {
        let saved = log.len();
        let surveyed: Vec<_> = batch.requests.iter().map(|request| request.surveyed(&store)).collect();
        for (request, surveyed) in batch.requests.iter().zip(surveyed) {
            now += 10;
            let request = request.clone().seen(&store);
            log.push((request.clone(), Moment::at(now)));
            let transaction = with_surveys(request.transaction(), surveyed);
            let given_now = answer(store.submit(&transaction, Moment::at(now)));
            assert_eq!(Some(&given_now), given(&log).1.last());
        }
        assert_eq!(shown(&store), shown(&given(&log).0));
        if let Some(trouble) = batch.trouble {
            subject.disturb(trouble);
        }
        match engine.commit(&store.take_unsaved(), now) {
            Ok(Committed::Kept(_)) => {}
            Ok(Committed::Overtaken) => panic!("there is no other gateway"),
            Err(_) if batch.trouble.is_some_and(|trouble| trouble.is_crash) => {
                let kept;
                (store, engine, kept) = restart(&mut subject, CommitMode::After, &[&log[..saved], &log]);
                if kept == 0 {
                    log.truncate(saved);
                }
            }
            Err(_) => recover(&mut *engine, &store),
        }
        if batch.restarts {
            (store, engine, _) = restart(&mut subject, CommitMode::After, &[&log]);
        }
    }
    restart(&mut subject, CommitMode::After, &[&log]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_engine_in_memory_keeps_the_contract(batches in batches()) {
        check_drafts(OfMemory(Memory::default()), &batches);
        check_unsaved(OfMemory(Memory::default()), &batches);
    }

    #[test]
    fn replicas_over_an_engine_in_memory_do_what_one_gateway_does(
        batches in batches(), turns in prop::collection::vec(0..3usize, 1..20),
    ) {
        check_replicas(OfSharedMemory(Memory::shared()), &batches, &turns);
    }

    #[test]
    fn the_engine_of_a_file_keeps_the_contract(batches in batches(), seed in any::<u64>()) {
        check_drafts(OfRedb(SimulatedDisk::new(seed, Vec::new())), &batches);
        check_unsaved(OfRedb(SimulatedDisk::new(seed, Vec::new())), &batches);
    }
}

#[cfg(feature = "postgres")]
#[test]
fn the_engine_of_a_database_keeps_the_contract() {
    // A crash of the database has a test of its own.
    let Some(database) = Database::start(&["fsync=off"]) else { return };
    let database = std::rc::Rc::new(database);
    proptest!(ProptestConfig::with_cases(12), |(batches in batches())| {
        check_drafts(OfPostgres::new(&database, false), &batches);
    });
}

#[cfg(feature = "postgres")]
#[test]
fn replicas_over_a_database_do_what_one_gateway_does() {
    let Some(database) = Database::start(&["fsync=off"]) else { return };
    let database = std::rc::Rc::new(database);
    let turns = prop::collection::vec(0..3usize, 1..20);
    proptest!(ProptestConfig::with_cases(12), |(batches in batches(), turns in turns)| {
        check_replicas(OfPostgres::new(&database, true), &batches, &turns);
    });
}

fn push_of(group: usize, body: &str) -> Step {
    Step::Push {
        group,
        is_put: false,
        body: body.to_owned(),
        source: None,
        rules: 0,
        ttls: (None, None),
        room: (None, Overflow::Refuse),
    }
}

fn one(group: usize, body: &str) -> Request {
    Request { steps: vec![push_of(group, body)], key: None }
}

#[test]
fn keys_that_are_forgotten_are_told_until_that_is_kept() {
    let store = Store::new([], CommitMode::Before, HOUR, 2);
    let mut draft = store.draft();
    for key in 0..3 {
        let request = Request { key: Some(key), ..one(0, "c_total 1\n") };
        store.submit_to(&mut draft, &request.transaction(), Moment::at(5)).unwrap();
    }
    store.publish(draft);
    store.keys().trim(Moment::at(6));
    for _ in 0..2 {
        let draft = store.draft();
        assert_eq!(store.difference_of(&draft).first_key, Some(1));
        store.drop_draft(draft);
    }
    store.publish(store.draft());
    assert_eq!(store.difference_of(&store.draft()).first_key, None);
}

#[test]
fn a_wipe_with_a_key_counts_once() {
    let store = store(CommitMode::Never);
    let wipe = Request { steps: vec![Step::Wipe], key: Some(1) }.transaction();
    assert_eq!(store.submit(&wipe, Moment::at(5)), Ok(Outcome::Applied));
    assert_eq!(store.submit(&wipe, Moment::at(6)), Ok(Outcome::Replayed));
}

#[test]
fn values_alone_do_not_make_the_next_scrape_sort() {
    let store = store(CommitMode::Before);
    let push = |now| {
        let mut draft = store.draft();
        store.submit_to(&mut draft, &one(0, "c_total 1\n").transaction(), Moment::at(now)).unwrap();
        store.publish(draft);
    };
    push(1);
    let before = store.generation();
    push(2);
    assert_eq!(store.generation(), before);
}
