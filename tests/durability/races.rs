//! Concurrent pushes of values, pushes that add series, transactions over several groups, and commits. Nothing is
//! lost, nothing counts twice, and the engine keeps what the store shows.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bumpalo::Bump;
use tallygate::exposition::text::{Names, parse};
use tallygate::model::grouping::{Grouping, GroupingLabel};
use tallygate::model::push::Push;
use tallygate::model::time::Moment;
use tallygate::persistence::engine::{Committed, Engine};
use tallygate::persistence::memory::Memory;
use tallygate::store::idempotency::Key;
use tallygate::store::semantics::Semantics;
use tallygate::store::{CommitMode, Outcome, Part, RowValue, Store, Terms, Transaction};

const ROUNDS: u32 = 300;

fn grouping(job: &str) -> Grouping<'static> {
    Grouping::new(vec![GroupingLabel { name: "job".into(), value: job.to_owned().into() }])
}

fn part(job: &str, body: &str) -> Part<'static> {
    let grouping = grouping(job);
    let arena = Bump::new();
    let push =
        Push::prepare(&parse(body.as_bytes(), Names::Legacy, &arena).unwrap(), &grouping, true).unwrap();
    let (semantics, terms) = (Semantics::merging(), Terms::default());
    Part::Push { grouping: Cow::Owned(grouping), push, semantics, source: None, terms }
}

fn submit(store: &Store, parts: Vec<Part<'static>>, key: u128) {
    let transaction = Transaction { parts: parts.into(), key: Some(Key { id: key, fingerprint: 1 }) };
    assert_eq!(store.submit(&transaction, Moment::at(5)), Ok(Outcome::Applied));
}

/// Pushes to two groups at once.
fn both(store: &Store, first_key: u128) {
    // So many families that dropping the old version takes some time.
    let families: String = (0..100).map(|n| format!("x{n}_total 1\n")).collect();
    for n in 0..ROUNDS {
        let parts = vec![part("a", &format!("c_total 1\n{families}")), part("b", "c_total 1\n")];
        submit(store, parts, u128::from(n) + first_key);
    }
}

/// What each group holds, and how many keys are remembered.
fn shown(store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    for group in store.groups() {
        for family in &group.families {
            let series = family.series().map(|one| format!("{}{} {:?}", family.name, one.block, one.value));
            lines.extend(series);
        }
        lines.push(format!("{}: {} pushes", group.labels.key, group.times.pushes));
    }
    lines.push(format!("{} keys", store.keys().len()));
    lines
}

fn store(commit_mode: CommitMode) -> Store {
    Store::new([], commit_mode, Duration::from_secs(3600), 1_000_000)
}

/// Some clients, while `beside` goes on.
fn push_all(store: &Store, beside: impl Fn(&AtomicBool) + Sync) {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients = [
            scope.spawn(|| (0..ROUNDS).for_each(|n| submit(store, vec![part("a", "c_total 1\n")], n.into()))),
            scope.spawn(|| both(store, 10_000)),
            scope.spawn(|| both(store, 30_000)),
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    // The second part is refused.
                    let parts =
                        vec![part("a", "c_total 1\n"), part("b", "# TYPE c_total gauge\nc_total 1\n")];
                    let transaction = Transaction { parts: parts.into(), key: None };
                    let _ = store.submit(&transaction, Moment::at(6));
                }
            }),
            scope.spawn(|| {
                for n in 0..ROUNDS {
                    let body = format!("c_total 1\nnew_total{{n=\"{n}\"}} 1\n");
                    submit(store, vec![part("a", &body)], u128::from(n) + 20_000);
                }
            }),
        ];
        scope.spawn(|| beside(&is_done));
        clients.into_iter().for_each(|client| client.join().unwrap());
        is_done.store(true, Ordering::Release);
    });
    let lines = shown(store);
    let has = |line: String| assert!(lines.contains(&line), "{line} is not among\n{}", lines.join("\n"));
    has(format!("c_total{{instance=\"\",job=\"a\"}} Number({:?})", f64::from(4 * ROUNDS)));
    has(format!("c_total{{instance=\"\",job=\"b\"}} Number({:?})", f64::from(2 * ROUNDS)));
    has(format!("{{job=\"a\"}}: {} pushes", 4 * ROUNDS));
    has(format!("{} keys", 4 * ROUNDS));
}

#[test]
fn transactions_over_several_groups_lose_no_push_beside_them() {
    let store = store(CommitMode::Never);
    let snapshots = |is_done: &AtomicBool| {
        while !is_done.load(Ordering::Acquire) {
            let snapshot = store.snapshot();
            let families = snapshot.families.iter().filter(|family| **family.name() == *"c_total");
            let rows = families.flat_map(|family| family.blocks()).count();
            assert!(rows <= 2);
        }
    };
    push_all(&store, snapshots);
}

#[test]
fn commits_beside_pushes_keep_what_is_there() {
    let store = store(CommitMode::After);
    let memory = Memory::default();
    let commit = |is_done: &AtomicBool| {
        let mut engine = memory.clone();
        for n in 0.. {
            let was_done = is_done.load(Ordering::Acquire);
            if n % 7 == 3 {
                let (state, since) = store.take_all();
                engine.recover(&state, &since, 9).unwrap();
            } else {
                assert!(matches!(engine.commit(&store.take_unsaved(), 9), Ok(Committed::Kept(_))));
            }
            if was_done {
                return;
            }
        }
    };
    push_all(&store, commit);
    let restored = self::store(CommitMode::After);
    memory.kept().restore(&restored);
    assert_eq!(shown(&restored), shown(&store));
}

/// An expiring group removes what the check has seen, and nothing that was pushed since.
#[test]
fn expiry_loses_no_push_beside_it() {
    let store = store(CommitMode::Never);
    let key = grouping("a").key().to_owned();
    let look = || {
        let group = store.group(&key)?;
        let counted = group.families.iter().flat_map(|family| family.series()).map(|one| match one.value {
            RowValue::Number(value) => value,
            _ => 0.0,
        });
        Some((group.epoch, group.times, counted.sum::<f64>()))
    };
    let (is_done, mut gone) = (AtomicBool::new(false), 0.0);
    thread::scope(|scope| {
        // All pushes have the same time. They are told apart nevertheless.
        let push = |body: &str| {
            store.submit(&Transaction::of(part("a", body)), Moment::at(5)).unwrap();
        };
        let clients = [
            scope.spawn(move || (0..20 * ROUNDS).for_each(|_| push("c_total 1\n"))),
            scope.spawn(move || (0..20 * ROUNDS).for_each(|_| push("d_total 1\n"))),
        ];
        let expire = scope.spawn(|| {
            let mut gone = 0.0;
            while !is_done.load(Ordering::Acquire) {
                let Some((epoch, seen, counted)) = look() else { continue };
                let grouping = Cow::Owned(grouping("a"));
                store.submit(&Transaction::of(Part::Expire { grouping, seen }), Moment::at(5)).unwrap();
                let is_there = look().is_some_and(|(now, ..)| now == epoch);
                gone += if is_there { 0.0 } else { counted };
            }
            gone
        });
        clients.into_iter().for_each(|client| client.join().unwrap());
        is_done.store(true, Ordering::Release);
        gone = expire.join().unwrap();
    });
    assert_eq!(gone + look().map_or(0.0, |(.., counted)| counted), f64::from(40 * ROUNDS));
}
