//! What groups with sources show, against a [slow and obvious reference](crate::support::reference).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use tallygate::model::body::{Body, Family, Label, Value};
use tallygate::model::count::Count;
use tallygate::model::grouping::{Grouping, GroupingLabel};
use tallygate::model::histogram::Bucket;
use tallygate::model::kind::Kind;
use tallygate::model::limits::PushLimits;
use tallygate::model::merge::{FamilyTerms, Fold, Merge, Temporality};
use tallygate::model::push::Push;
use tallygate::model::time::Moment;
use tallygate::persistence::engine::Engine;
use tallygate::persistence::memory::Memory;
use tallygate::persistence::redb::Redb;
use tallygate::persistence::redb::file::Usage;
use tallygate::progress::Progress;
use tallygate::store::selection::Selection;
use tallygate::store::semantics::{Absent, FamilyRule, Semantics};
use tallygate::store::{CommitMode, Part, RowValue, Store, Terms, Transaction};

use crate::support::disk::SimulatedDisk;
use crate::support::reference::{self, Method, Pushed};

const GAUGES: [&str; 2] = ["g0", "g1"];
const LABELS: [&str; 3] = ["a", "b", "c"];
const BOUNDS: [f64; 2] = [1.0, 5.0];

fn semantics(method: Method) -> Semantics {
    let replace = Semantics::replacing(true);
    match method {
        Method::Post => Semantics::merging(),
        Method::PutReplace => Semantics { absent: Absent::Drop, ..replace },
        Method::PutAggregate => {
            Semantics { adding: FamilyRule::Merge, absent: Absent::DropReplaced, ..replace }
        }
    }
}

/// What rules say of a push: each family may be under others in each.
#[derive(Clone, Debug)]
struct Rules {
    gauges: [Option<Merge>; 2],
    temporality: Temporality,
}

/// Values of a family, by label: of a gauge any, of the others a count; the sums of histograms and summaries are half of it.
type Values = BTreeMap<usize, i32>;

#[derive(Clone, Debug)]
struct Sent {
    method: Method,
    source: Option<u8>,
    rules: Rules,
    gauges: [Option<Values>; 2],
    counter: Option<Values>,
    histogram: Option<Values>,
    summary: Option<Values>,
    start: Option<i64>,
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize, Sent),
    DeleteSource(usize, u8, bool),
    Delete(usize),
    /// The series with this label go.
    Drop(usize, usize),
    Wipe,
    Reopen,
}

// The reference.

type Group = reference::Group<u8, usize>;

fn pushed(sent: &Sent) -> Vec<Pushed<usize>> {
    let gauges = GAUGES.into_iter().zip(&sent.gauges).zip(sent.rules.gauges);
    let gauges =
        gauges.map(|((name, values), rule)| (name, values, rule.unwrap_or(Merge::Last), Temporality::Delta));
    let counts = [("c_total", &sent.counter), ("h", &sent.histogram), ("s", &sent.summary)];
    let counts = counts.map(|(name, values)| (name, values, Merge::Add, sent.rules.temporality));
    let pushed = gauges.chain(counts).filter_map(|(name, values, merge, temporality)| {
        let series = values.as_ref()?.iter().map(|(label, value)| (*label, f64::from(*value))).collect();
        Some(Pushed { name: name.into(), merge, temporality, start: sent.start, series })
    });
    pushed.collect()
}

fn lines(group: &Group) -> BTreeSet<String> {
    group.shown().map(|(name, label, value)| format!("{name} {} {value}", LABELS[*label])).collect()
}

// The gateway's store.

fn grouping(number: usize) -> Grouping<'static> {
    Grouping::new(vec![GroupingLabel { name: "job".into(), value: ["x", "y"][number].into() }])
}

fn source_name(number: u8) -> String {
    format!("{{pod=\"{number}\"}}")
}

fn body(sent: &Sent) -> Body<'static> {
    let mut body = Body::with_capacity(8, 8);
    let mut add = |name: &'static str, kind: Kind, values: &Option<Values>| {
        let Some(values) = values else { return };
        let at = body.families.len();
        body.families.push(Family { kind: Some(kind), ..Family::new(name) });
        for (label, value) in values {
            let mark = body.label_mark();
            body.push_label(Label { name: "l", escaped_value: LABELS[*label] }).unwrap();
            let count = u64::try_from(*value).unwrap_or(0);
            let handle = match kind {
                Kind::Histogram | Kind::Summary => {
                    let handle = body.push_composite(at, mark, None);
                    for (bound, share) in BOUNDS.into_iter().zip([4, 2]).filter(|_| kind == Kind::Histogram) {
                        body.push_bucket(handle, Bucket { bound, count: Count::Int(count / share) });
                    }
                    let composite = body.composite_mut(handle).unwrap();
                    composite.count = Some(Count::Int(count));
                    composite.sum = Some(count as f64 / 2.0);
                    handle
                }
                _ => body.push_series(at, mark, Value::Number(f64::from(*value)), None),
            };
            if let Some(start) = sent.start.filter(|_| kind != Kind::Gauge) {
                body.push_start(handle, start);
            }
        }
    };
    for (name, values) in GAUGES.into_iter().zip(&sent.gauges) {
        add(name, Kind::Gauge, values);
    }
    add("c_total", Kind::Counter, &sent.counter);
    add("h", Kind::Histogram, &sent.histogram);
    add("s", Kind::Summary, &sent.summary);
    body.finish();
    body
}

fn part(step: &Step) -> Option<Part<'static>> {
    Some(match step {
        Step::Push(group, sent) => {
            let grouping = grouping(*group);
            let terms = |family: &Family<'_>| FamilyTerms {
                merge: GAUGES
                    .iter()
                    .position(|gauge| *gauge == family.name)
                    .and_then(|at| sent.rules.gauges[at]),
                temporality: sent.rules.temporality,
                ..FamilyTerms::default()
            };
            let push =
                Push::prepare_under(&body(sent), &grouping, true, PushLimits::NONE, Some(&terms)).unwrap();
            let source = sent.source.map(|source| source_name(source).into());
            Part::Push {
                grouping: Cow::Owned(grouping),
                push,
                semantics: semantics(sent.method),
                source,
                terms: Terms::default(),
            }
        }
        Step::DeleteSource(group, source, keeps_totals) => Part::DeleteSource {
            grouping: Cow::Owned(grouping(*group)),
            source: source_name(*source).into(),
            seen: None,
            keeps_totals: *keeps_totals,
        },
        Step::Delete(group) => Part::Delete { grouping: Cow::Owned(grouping(*group)) },
        Step::Drop(group, label) => {
            let label = format!("l=\"{}\"", LABELS[*label]);
            let which = Selection::matching(move |_, block| block.contains(&label));
            Part::DropSeries { grouping: Cow::Owned(grouping(*group)), which }
        }
        Step::Wipe => Part::Wipe,
        Step::Reopen => return None,
    })
}

fn label_of(block: &str) -> &str {
    block.split("l=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("none")
}

fn line(name: &str, block: &str, value: RowValue<'_>) -> String {
    let label = label_of(block);
    match value {
        RowValue::Number(value) => format!("{name} {label} {value}"),
        RowValue::Summary(summary) => {
            let count = summary.count.value().as_f64();
            assert_eq!(
                summary.sum.value(),
                count / 2.0,
                "sum and count of {name} {label} do not belong together"
            );
            format!("{name} {label} {count}")
        }
        RowValue::Histogram(histogram) => {
            assert_eq!(histogram.sum.value(), histogram.count().as_f64() / 2.0);
            format!("{name} {label} {}", histogram.count().as_f64())
        }
    }
}

/// What a group shows as a whole, and in a scrape.
fn shown(store: &Store, number: usize) -> [BTreeSet<String>; 2] {
    let grouping = grouping(number);
    let mut viewed = BTreeSet::new();
    let group = store.group(grouping.key());
    for family in group.iter().flat_map(|group| &group.families) {
        viewed.extend(family.series().map(|series| line(&family.name, series.block, series.value)));
        let listed = store.family(grouping.key(), &family.name).unwrap().unwrap();
        for piece in listed.pieces.iter() {
            for at in 0..piece.len() {
                assert!(viewed.contains(&line(&family.name, piece.block(at), piece.value(at))));
            }
        }
    }
    let job = format!("job=\"{}\"", ["x", "y"][number]);
    let mut scraped = BTreeSet::new();
    for family in &store.snapshot().families {
        for piece in family.pieces() {
            let rows = (0..piece.len()).filter(|at| piece.block(*at).contains(&job));
            scraped.extend(rows.map(|at| line(family.name(), piece.block(at), piece.value(at))));
        }
    }
    [viewed, scraped]
}

/// The engines that a store is reopened with.
trait Kept {
    fn engine(&mut self) -> &mut dyn Engine;
    fn reopen(&mut self, store: &Store);
}

struct InMemory(Memory);

impl Kept for InMemory {
    fn engine(&mut self) -> &mut dyn Engine {
        &mut self.0
    }

    fn reopen(&mut self, store: &Store) {
        self.0.kept().restore(store);
    }
}

struct InFile {
    disk: SimulatedDisk,
    engine: Option<Redb>,
}

impl InFile {
    fn new(seed: u64, store: &Store) -> InFile {
        let (disk, progress) = (SimulatedDisk::new(seed, Vec::new()), Progress::start());
        let state = store.take_all().0;
        let usage = Usage::new(0, 1 << 20);
        let engine = Redb::create(Box::new(disk.clone()), &state, false, 0, usage, progress.steps()).unwrap();
        InFile { disk, engine: Some(engine) }
    }
}

impl Kept for InFile {
    fn engine(&mut self) -> &mut dyn Engine {
        self.engine.as_mut().unwrap()
    }

    fn reopen(&mut self, store: &Store) {
        self.engine.take().unwrap().close(0);
        self.disk = self.disk.after_crash(Vec::new());
        let (progress, now) = (Progress::start(), Moment::at(0));
        let disk = Box::new(self.disk.clone());
        self.engine = Some(Redb::open(disk, store, now, Usage::new(0, 1 << 20), progress.steps()).unwrap());
    }
}

fn store() -> Store {
    Store::new([], CommitMode::After, Duration::ZERO, 1)
}

fn check(steps: &[Step], mut kept: impl Kept, mut store: Store) {
    let mut groups: [Group; 2] = Default::default();
    for (step, at) in steps.iter().zip(1000..) {
        if let Some(part) = part(step) {
            store.submit(&Transaction::of(part), Moment::at(at)).unwrap();
            kept.engine().commit(&store.take_unsaved(), at).unwrap();
        } else {
            store = self::store();
            kept.reopen(&store);
        }
        match step {
            Step::Push(group, sent) => {
                groups[*group].push(pushed(sent), sent.source.as_ref(), sent.method, None);
            }
            Step::DeleteSource(group, source, keeps) => groups[*group].delete_source(source, *keeps),
            Step::Delete(group) => groups[*group] = Group::default(),
            Step::Drop(group, label) => groups[*group].drop_label(label),
            Step::Wipe => groups = Default::default(),
            Step::Reopen => {}
        }
        for (number, group) in groups.iter().enumerate() {
            let [viewed, scraped] = shown(&store, number);
            assert_eq!(viewed, lines(group), "after {step:?}");
            assert_eq!(scraped, lines(group), "scraped after {step:?}");
        }
        assert_eq!(
            store.series_count() as usize,
            groups.iter().map(Group::series).sum::<usize>(),
            "after {step:?}"
        );
    }
    store.submit(&Transaction::of(Part::Wipe), Moment::at(2000)).unwrap();
    assert_eq!((store.bytes(), store.series_count(), store.group_count()), (0, 0, 0));
}

fn merges() -> impl Strategy<Value = Option<Merge>> {
    let folds =
        [Fold::Sum, Fold::Min, Fold::Max, Fold::Mean, Fold::Count].map(|fold| Some(Merge::Fold(fold)));
    let others = vec![None, Some(Merge::Add), Some(Merge::Least), Some(Merge::Greatest)];
    prop_oneof![3 => prop::sample::select(folds.to_vec()), 1 => prop::sample::select(others)]
}

/// The parts of a [`Sent`]: the method, the source, the rules, gauges, what counts, and the start time.
type Parts = (
    Method,
    Option<u8>,
    Option<Rules>,
    (Option<Values>, Option<Values>),
    (Option<Values>, Option<Values>, Option<Values>),
    Option<i64>,
);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let temporality = vec![Temporality::Delta, Temporality::Cumulative, Temporality::Auto];
    let rules = move || {
        let rules = (merges(), merges(), prop::sample::select(temporality.clone()));
        rules.prop_map(|(one, other, temporality)| Rules { gauges: [one, other], temporality })
    };
    // Most pushes are under the rules that hold throughout.
    let usual = rules();
    let values = |range: std::ops::Range<i32>| {
        prop::option::weighted(0.6, prop::collection::btree_map(0..LABELS.len(), range, 0..3))
    };
    let methods = prop_oneof![
        4 => Just(Method::Post),
        1 => Just(Method::PutReplace),
        1 => Just(Method::PutAggregate),
    ];
    let sent = (
        methods,
        prop::option::weighted(0.85, 0..3u8),
        prop::option::weighted(0.1, rules()),
        (values(-9..9), values(-9..9)),
        (values(0..40), values(0..40), values(0..40)),
        prop::option::weighted(0.7, 1..4i64),
    );
    let step = prop_oneof![
        20 => (0..2usize, sent).prop_map(Some),
        8 => Just(None),
    ];
    let other = prop_oneof![
        3 => (0..2usize, 0..3u8, any::<bool>()).prop_map(|(group, source, keeps)| Step::DeleteSource(group, source, keeps)),
        1 => (0..2usize).prop_map(Step::Delete),
        1 => (0..2usize, 0..LABELS.len()).prop_map(|(group, label)| Step::Drop(group, label)),
        1 => Just(Step::Wipe),
        3 => Just(Step::Reopen),
    ];
    (usual, prop::collection::vec((step, other), 1..25)).prop_map(|(usual, steps)| {
        let step = |(push, other): (Option<(usize, Parts)>, Step)| match push {
            Some((group, (method, source, rules, (one, two), (counter, histogram, summary), start))) => {
                let rules = rules.unwrap_or_else(|| usual.clone());
                let gauges = [one, two];
                Step::Push(group, Sent { method, source, rules, gauges, counter, histogram, summary, start })
            }
            None => other,
        };
        steps.into_iter().map(step).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn groups_show_what_their_sources_pushed(steps in steps()) {
        check(&steps, InMemory(Memory::default()), store());
    }

    #[test]
    fn groups_show_what_their_sources_pushed_from_a_file_too(steps in steps(), seed in any::<u64>()) {
        let store = store();
        check(&steps, InFile::new(seed, &store), store);
    }
}
