//! Failing disks and machines at every step of a commit. What was acknowledged exists, exactly once. What was not
//! is only visible, as a whole, if a crash came between its commit and its answer. Pushes work again once the disk
//! does.
//!
//! The disk is simulated, see `support/disk.rs`. The same requests run many times, each time with a fault at
//! another operation. A gateway without a file that gets the acknowledged requests shows the expected state. All of it
//! is done without rules and with.
//!
//! `TALLYGATE_TEST_FAULTS=all` places faults at each operation; without it, at some.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use tallygate::config::rules::RuleFile;
use tallygate::config::{Config, Sync};
use tallygate::exposition::negotiation::{Format, Offers};
use tallygate::gateway::{
    BodyFormat, EngineError, Failure, Gateway, Method, Pending, PushError, PushRequest, SenderHeaders,
    StartError,
};
use tallygate::model::grouping::{Grouping, GroupingLabel};
use tallygate::persistence::redb::error::OpenError;
use tallygate::store::{Outcome, Rejection};

use crate::support::disk::{Done, Fault, Kind, Operation, SimulatedDisk};
use crate::support::random::Random;
use crate::support::ruled::{self, RULES};

// Requests, and what becomes of them.

#[derive(Clone, Debug)]
enum What {
    Push(Method, String),
    Delete,
    Wipe,
}

#[derive(Clone, Debug)]
struct Request {
    what: What,
    job: &'static str,
    /// What rules take away from the labels; empty for none.
    pod: &'static str,
    key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Applied,
    Replayed,
    /// The key was used before with another body.
    Conflict,
    /// A 400.
    Refused,
    /// A 503.
    NotKept,
}

impl Request {
    fn post(job: &'static str, body: impl Into<String>) -> Request {
        Request { what: What::Push(Method::Post, body.into()), job, pod: "", key: None }
    }

    fn put(job: &'static str, body: impl Into<String>) -> Request {
        Request { what: What::Push(Method::Put, body.into()), job, pod: "", key: None }
    }

    fn delete(job: &'static str) -> Request {
        Request { what: What::Delete, job, pod: "", key: None }
    }

    fn wipe() -> Request {
        Request { what: What::Wipe, job: "", pod: "", key: None }
    }

    fn key(self, key: impl Into<String>) -> Request {
        Request { key: Some(key.into()), ..self }
    }

    fn pod(self, pod: &'static str) -> Request {
        Request { pod, ..self }
    }

    /// What identifies a remembered key, and what must be the same when it is repeated.
    fn identity(&self) -> Option<(String, &str)> {
        let (method, body) = match &self.what {
            What::Push(Method::Post, body) => ("POST", body.as_str()),
            What::Push(Method::Put, body) => ("PUT", body.as_str()),
            What::Delete => ("DELETE", ""),
            What::Wipe => return None,
        };
        self.key.as_ref().map(|key| (format!("{method} {} {} {key}", self.job, self.pod), body))
    }

    fn send(&self, gateway: &Gateway) -> Answer {
        self.send_with(gateway, self.key.as_deref().map(str::as_bytes))
    }

    fn send_with(&self, gateway: &Gateway, key: Option<&[u8]>) -> Answer {
        let label = |(name, value): (&'static str, &'static str)| GroupingLabel {
            name: name.into(),
            value: value.into(),
        };
        let labels = [("job", self.job), ("pod", self.pod)];
        let grouping =
            Grouping::new(labels.into_iter().filter(|(_, value)| !value.is_empty()).map(label).collect());
        let result = match &self.what {
            What::Push(method, body) => {
                let body = body.as_bytes();
                let push =
                    PushRequest { key, ..PushRequest::new(*method, &grouping, BodyFormat::Text, body) };
                match gateway.push_blocking(&push) {
                    Err(PushError::Failed(failure)) => Err(failure),
                    Err(_) => return Answer::Refused,
                    Ok(outcome) => Ok(outcome),
                }
            }
            What::Delete => {
                gateway.done_blocking(gateway.delete(&grouping, key, SenderHeaders::default()).unwrap())
            }
            What::Wipe => gateway.done_blocking(gateway.wipe()),
        };
        match result {
            Ok(Outcome::Applied | Outcome::Deleted(_) | Outcome::Repeating { .. }) => Answer::Applied,
            Ok(Outcome::Replayed) => Answer::Replayed,
            Err(Failure::Rejected(Rejection::KeyReused)) => Answer::Conflict,
            Err(Failure::NotKept) => Answer::NotKept,
            other => panic!("{self:?} ended with {other:?}"),
        }
    }
}

// What a gateway shows.

/// The pushed lines of a scrape, how often each group was pushed to, and how many series there are.
fn shown(gateway: &Gateway) -> Vec<String> {
    const OWN: [&str; 3] = ["pushgateway_", "process_", "tallygate_"];
    let mut text = Vec::new();
    let written = gateway.scrape(Format::negotiate("", Offers::All), |chunk| {
        text.append(chunk);
        Ok(())
    });
    assert!(written.is_ok());
    let is_own = |line: &str| {
        let name = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")).unwrap_or(line);
        OWN.iter().any(|own| name.starts_with(own))
    };
    let text = String::from_utf8(text).unwrap();
    let labels = gateway.group_labels();
    let pushes = labels.iter().filter_map(|labels| gateway.group(&labels.key));
    let pushes = pushes.map(|group| format!("{}: {} pushes", group.labels.key, group.times.pushes));
    // With those that sources remember.
    let series = format!("{} series", gateway.counts().1);
    text.lines().filter(|line| !is_own(line)).map(str::to_owned).chain(pushes).chain([series]).collect()
}

/// The same without the times of the groups.
fn values(shown: &[String]) -> Vec<&str> {
    shown.iter().map(String::as_str).filter(|line| !line.starts_with("push_")).collect()
}

// The expected state.

/// The settings without a file.
fn config(is_ruled: bool) -> Config {
    let rules = if is_ruled { RuleFile::parse(RULES).unwrap() } else { RuleFile::default() };
    Config { rules, ..Config::default() }
}

/// A gateway without a file and without keys, and the keys that count.
struct Model {
    gateway: Gateway,
    keys: HashMap<String, String>,
}

impl Model {
    fn new(is_ruled: bool) -> Model {
        Model { gateway: Gateway::new(&config(is_ruled)).unwrap(), keys: HashMap::new() }
    }

    fn apply(&mut self, request: &Request) -> Answer {
        let identity = request.identity();
        if let Some((id, body)) = &identity
            && let Some(known) = self.keys.get(id)
        {
            return if known == body { Answer::Replayed } else { Answer::Conflict };
        }
        let answer = request.send_with(&self.gateway, None);
        if let Some((id, body)) = identity
            && answer == Answer::Applied
        {
            self.keys.insert(id, body.to_owned());
        }
        answer
    }
}

// Running requests over a disk that fails.

/// What the client and the machine do after a request that could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnFailure {
    /// The client repeats the request until it is kept.
    Retry,
    /// The machine stops before the gateway tries again.
    Crash,
    /// The client gives up, and the machine stops after the gateway works again.
    GiveUp,
}

#[derive(Clone, Debug)]
struct Case {
    is_ruled: bool,
    seed: u64,
    faults: Vec<Fault>,
    on_failure: OnFailure,
}

struct Run {
    disk: SimulatedDisk,
    gateway: Gateway,
    model: Model,
    /// What was shown after the latest answer.
    shown: Vec<String>,
    is_ruled: bool,
    on_failure: OnFailure,
    random: Random,
    /// The disk operations before the last restart.
    operations: Vec<Operation>,
}

impl Run {
    fn new(case: &Case) -> Run {
        let mut disk = SimulatedDisk::new(case.seed, case.faults.clone());
        let gateway = open(&mut disk, case.is_ruled);
        let shown = shown(&gateway);
        let random = Random::new(case.seed);
        Run {
            disk,
            gateway,
            model: Model::new(case.is_ruled),
            shown,
            is_ruled: case.is_ruled,
            on_failure: case.on_failure,
            random,
            operations: Vec::new(),
        }
    }

    /// Sends a request until it is answered.
    fn send(&mut self, request: &Request) {
        // Whether a crash came between its commit and its answer.
        let mut may_be_replayed = false;
        let answer = loop {
            let attempts = self.disk.attempts();
            let answer = request.send(&self.gateway);
            if answer != Answer::NotKept {
                break answer;
            }
            if self.disk.has_crashed() || self.on_failure == OnFailure::Crash {
                self.crash(Some(request));
                may_be_replayed = true;
                continue;
            }
            assert_eq!(values(&shown(&self.gateway)), values(&self.shown), "seen but not kept");
            if self.disk.is_broken() {
                assert!(self.gateway.failure().is_some());
                assert_eq!(request.send(&self.gateway), Answer::NotKept);
                self.disk.mend();
            }
            self.disk.wait_for_attempt(attempts);
            if self.on_failure == OnFailure::GiveUp && self.waits_until_it_works() {
                self.crash(None);
            }
        };
        let expected = self.model.apply(request);
        match (answer, expected) {
            (Answer::Replayed, Answer::Applied) if may_be_replayed => {}
            // The body is checked before the key, and the group notes the refusal.
            (Answer::Refused, Answer::Conflict) => {
                assert_eq!(request.send_with(&self.model.gateway, None), Answer::Refused);
            }
            _ => assert_eq!(answer, expected, "{request:?}"),
        }
        assert_eq!(self.gateway.failure(), None);
        self.shown = shown(&self.gateway);
        assert_eq!(values(&self.shown), values(&shown(&self.model.gateway)), "after {request:?}");
    }

    /// Whether the disk can be written again without another fault.
    fn waits_until_it_works(&mut self) -> bool {
        loop {
            let attempts = self.disk.attempts();
            // A request that changes nothing.
            match Request::delete("none").send(&self.gateway) {
                Answer::NotKept if self.disk.has_crashed() => return false,
                Answer::NotKept => self.disk.wait_for_attempt(attempts),
                _ => return true,
            }
        }
    }

    /// Stops the machine, unless it has stopped, and starts it again. `unanswered` may have been committed.
    fn crash(&mut self, unanswered: Option<&Request>) {
        // The old gateway can't write to the disk of the new one.
        let mut disk = self.disk.after_crash(Vec::new());
        self.gateway.close();
        if self.random.flip() {
            // A start may also be interrupted.
            disk.add_fault(self.random.below(12), Kind::Crash);
        }
        self.gateway = open(&mut disk, self.is_ruled);
        self.disk = disk;
        let now = shown(&self.gateway);
        if now != self.shown {
            let request = unanswered.unwrap_or_else(|| {
                panic!("was shown: {:#?}\nis shown: {now:#?}\n", self.shown);
            });
            self.model.apply(request);
            assert_eq!(values(&now), values(&shown(&self.model.gateway)), "crashed within {request:?}");
            self.shown = now;
        }
    }

    /// Stops and starts the gateway cleanly.
    fn restart(&mut self) {
        self.gateway.close();
        // If a sync fails during shutdown, the next gateway can't know that.
        if self.disk.has_crashed() || self.disk.has_lost() {
            return self.crash(None);
        }
        self.gateway = open(&mut self.disk, self.is_ruled);
        assert_eq!(shown(&self.gateway), self.shown, "after a restart");
    }
}

/// Starts a gateway, and tries again if a crash or a fault interrupts the start.
fn open(disk: &mut SimulatedDisk, is_ruled: bool) -> Gateway {
    let mut config = config(is_ruled);
    config.persistence.file = "simulated".to_owned();
    for _ in 0..10 {
        match Gateway::with_disk(&config, Box::new(disk.clone())) {
            Ok(gateway) => return gateway,
            // An operator who sees a failed sync repairs the disk first.
            Err(StartError::Engine(EngineError::File { .. })) if disk.has_crashed() || disk.has_lost() => {
                *disk = disk.after_crash(Vec::new());
            }
            Err(StartError::Engine(EngineError::File { source: OpenError::Io { .. }, .. })) => disk.mend(),
            Err(error) => panic!("the gateway does not start: {error}"),
        }
    }
    panic!("the gateway never starts")
}

// The requests of the enumeration: every kind of change, and what is likely to share rows.

fn series(name: &str, kind: &str, count: usize, value: usize) -> String {
    let lines = (0..count).map(|at| format!("{name}{{at=\"{at}\"}} {}\n", value + at));
    format!("# HELP {name} help\n# TYPE {name} {kind}\n{}", lines.collect::<String>())
}

fn histogram(bounds: &[&str]) -> String {
    let buckets = bounds.iter().enumerate().map(|(at, bound)| format!("h_bucket{{le=\"{bound}\"}} {at}\n"));
    format!("# TYPE h histogram\n{}h_sum 0.1\nh_count {}\n", buckets.collect::<String>(), bounds.len())
}

fn script() -> Vec<Request> {
    let counter = "# TYPE c_total counter\nc_total 1\n";
    vec![
        Request::post("a", counter).key("1"),
        Request::post("a", "# TYPE c_total counter\nc_total 1e16\n").key("2"),
        Request::post("a", counter).key("1"),
        Request::post("a", "# TYPE c_total counter\nc_total 7\n").key("1"),
        Request::post("b", series("g", "gauge", 40, 1) + &histogram(&["1", "5"])).key("3"),
        Request::post("b", histogram(&["0.5", "2"])).key("4"),
        Request::post("b", "# TYPE g counter\ng 1\n"),
        Request::put("b", series("g", "gauge", 3, 2)).key("5"),
        Request::put("b", series("g", "counter", 70, 3) + "# TYPE empty gauge\n").key("6"),
        Request::post("d", series("many_total", "counter", 300, 1)).key("7"),
        Request::delete("b").key("8"),
        Request::post("b", "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 3\ns_count 2\n").key("9"),
        Request::delete("b").key("8"),
        Request::post("a", counter),
        Request::delete("d"),
        Request::post("d", counter).key("10"),
        Request::wipe(),
        Request::post("a", counter).key("1"),
        Request::post("a", counter).key("11"),
        Request::post("a", "# HELP c_total other\n# TYPE c_total counter\nc_total 1\n").key("12"),
    ]
}

/// The same under rules: what sources push, replace and delete.
fn ruled_script() -> Vec<Request> {
    let pushed = |pod, count, noise| Request::post("a", ruled::body(count, noise)).pod(pod);
    let depths = |count, value| series("depth", "gauge", count, value);
    vec![
        pushed("1", 1, 1).key("1"),
        pushed("2", 4, 2).key("2"),
        pushed("1", 3, 3).key("3"),
        pushed("1", 3, 3).key("3"),
        pushed("1", 9, 9).key("3"),
        // Running totals that have begun anew, and some that come late.
        pushed("2", 2, 4),
        Request::post("b", series("many_total", "counter", 40, 1)).pod("1").key("4"),
        Request::post("b", depths(15, 1)).pod("2"),
        Request::post("b", depths(3, 9)).pod("1").key("5"),
        Request::put("b", depths(2, 2)).pod("2").key("6"),
        Request::delete("a").pod("1").key("7"),
        pushed("1", 5, 1).key("8"),
        Request::post("a", "# TYPE ticks_total gauge\nticks_total 1\n").pod("2"),
        Request::put("a", "# TYPE depth gauge\ndepth 8\n# TYPE ticks_total counter\nticks_total 3\n")
            .pod("2"),
        Request::delete("b").pod("2"),
        Request::post("b", depths(4, 5)).pod("3").key("9"),
        // The group itself, with its sources.
        Request::delete("a").key("10"),
        pushed("1", 6, 2),
        Request::wipe(),
        pushed("1", 7, 3).key("8"),
        pushed("2", 7, 3).key("11"),
        pushed("2", 9, 4).key("12"),
    ]
}

fn run(case: &Case) -> Run {
    let mut run = Run::new(case);
    for request in if case.is_ruled { ruled_script() } else { script() } {
        run.send(&request);
    }
    run.operations = run.disk.operations();
    run.restart();
    run.crash(None);
    run
}

/// Runs the cases on several threads, most of which wait for gateways that try their disk again.
fn run_all(cases: &[Case]) {
    const THREADS: usize = 64;
    assert!(!cases.is_empty());
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..THREADS.min(cases.len()) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if catch_unwind(AssertUnwindSafe(|| run(case))).is_err() {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(case);
                        next.store(cases.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    if let Some(case) = failed.into_inner().unwrap() {
        panic!("{case:?} has failed, see above");
    }
}

/// The operations of the script, with their numbers: all, or one of so many.
fn places(one_of: u64, is_ruled: bool) -> Vec<(u64, Operation)> {
    let one_of = if std::env::var_os("TALLYGATE_TEST_FAULTS").is_some() { 1 } else { one_of };
    // The operations are much the same with rules.
    let one_of = if is_ruled && one_of > 1 { 3 * one_of } else { one_of };
    let case = Case { is_ruled, seed: 0, faults: Vec::new(), on_failure: OnFailure::Retry };
    let operations = run(&case).operations;
    let is_chosen = |&(at, _): &(u64, Operation)| Random::new(at).below(one_of) == 0;
    (0..).zip(operations).filter(is_chosen).collect()
}

fn errors(operation: Operation) -> Vec<Kind> {
    let error = |error, done| Kind::Error(operation, error, done);
    match operation {
        Operation::Write => vec![
            error(ErrorKind::StorageFull, Done::Nothing),
            error(ErrorKind::Other, Done::Some),
            error(ErrorKind::Other, Done::All),
        ],
        Operation::Install => {
            vec![error(ErrorKind::Other, Done::Nothing), error(ErrorKind::Other, Done::All)]
        }
        _ => vec![error(ErrorKind::Other, Done::Nothing)],
    }
}

/// Cases with a fault each, without rules and with.
fn cases(one_of: u64, lasts: bool, on_failure: OnFailure) -> Vec<Case> {
    both(|is_ruled| {
        let case = move |at, kind| {
            let faults = vec![Fault { at, kind, lasts }];
            Case { is_ruled, seed: at, faults, on_failure }
        };
        places(one_of, is_ruled)
            .into_iter()
            .flat_map(|(at, operation)| errors(operation).into_iter().map(move |kind| case(at, kind)))
            .collect()
    })
}

fn both(cases: impl Fn(bool) -> Vec<Case>) -> Vec<Case> {
    [false, true].into_iter().flat_map(cases).collect()
}

#[test]
fn a_crash_at_any_operation_loses_nothing_and_repeats_nothing() {
    let crash = |at| Fault { at, kind: Kind::Crash, lasts: false };
    run_all(&both(|is_ruled| {
        let case = |(at, _)| {
            let on_failure = OnFailure::Retry;
            Case { is_ruled, seed: at, faults: vec![crash(at)], on_failure }
        };
        places(8, is_ruled).into_iter().map(case).collect()
    }));
}

#[test]
fn a_crash_after_a_fault_loses_nothing_and_repeats_nothing() {
    run_all(&cases(24, false, OnFailure::Crash));
}

#[test]
fn a_crash_within_the_recovery_loses_nothing_and_repeats_nothing() {
    let mut cases = cases(24, false, OnFailure::Retry);
    for case in &mut cases {
        let after = 1 + Random::new(!case.seed).below(30);
        case.faults.push(Fault { at: case.seed + after, kind: Kind::Crash, lasts: false });
    }
    run_all(&cases);
}

#[test]
fn the_gateway_recovers_from_a_fault() {
    run_all(&cases(24, false, OnFailure::Retry));
}

#[test]
fn the_gateway_recovers_when_the_disk_does() {
    run_all(&cases(24, true, OnFailure::Retry));
}

#[test]
fn the_gateway_recovers_when_the_new_file_can_be_put_in_place() {
    let sync = Kind::Error(Operation::Sync, ErrorKind::Other, Done::Nothing);
    run_all(&both(|is_ruled| {
        let places = places(1, is_ruled).into_iter();
        let syncs = places.filter(|(_, operation)| *operation == Operation::Sync).step_by(if is_ruled {
            12
        } else {
            4
        });
        let cases = |(at, _)| {
            [Operation::Create, Operation::Install].map(|operation| {
                let error = Kind::Error(operation, ErrorKind::Other, Done::All);
                let faults =
                    vec![Fault { at, kind: sync, lasts: false }, Fault { at, kind: error, lasts: true }];
                Case { is_ruled, seed: at, faults, on_failure: OnFailure::Retry }
            })
        };
        syncs.flat_map(cases).collect()
    }));
}

#[test]
fn what_a_client_gave_up_is_gone_for_good() {
    run_all(&cases(24, false, OnFailure::GiveUp));
}

/// The last write of a commit makes it count. If it is done but reported as failed, the next start must not find
/// anything of it.
#[test]
fn a_commit_that_is_reported_as_failed_leaves_nothing_behind() {
    let is_last = |pair: &&[(u64, Operation)]| (pair[0].1, pair[1].1) == (Operation::Write, Operation::Sync);
    run_all(&both(|is_ruled| {
        let case = |pair: &[(u64, Operation)]| {
            let kind = Kind::Error(Operation::Write, ErrorKind::Other, Done::All);
            let fault = Fault { at: pair[0].0, kind, lasts: false };
            Case { is_ruled, seed: fault.at, faults: vec![fault], on_failure: OnFailure::GiveUp }
        };
        let places = places(1, is_ruled);
        let cases = places.windows(2).filter(is_last).map(case);
        cases.step_by(if is_ruled { 3 } else { 1 }).collect()
    }));
}

// Several clients.

const CLIENTS: usize = 4;

/// The value of a counter, or of its overflow series.
fn counter(shown: &[String], name: &str) -> u64 {
    let series = format!("{name}{{instance=\"\",job=\"a\"");
    let rest = shown.iter().find_map(|line| line.strip_prefix(&series));
    let value =
        rest.and_then(|rest| ["} ", ",overflow=\"true\"} "].iter().find_map(|end| rest.strip_prefix(end)));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Push `number` of a client, counted from 0. Each has a key of its own. With rules, a client is a source, and each push
/// counts in a running total, too.
fn push_of(client: usize, number: u64, own: &str, is_ruled: bool) -> Request {
    let mut body = format!("# TYPE {own} counter\n{own} 1\n# TYPE all_total counter\nall_total 1\n");
    if is_ruled {
        body += &format!("# TYPE ticks_total counter\nticks_total {}\n", number + 1);
    }
    let pod = if is_ruled { ["0", "1", "2", "3"][client] } else { "" };
    Request::post("a", body).pod(pod).key(format!("{client}-{number}"))
}

/// Pushes until the disk fails, or `most` times. Each push has its own key, and the first one may be one that was
/// committed before. Returns how many were acknowledged.
fn push_many(
    gateway: &Gateway,
    (client, is_ruled): (usize, bool),
    before: u64,
    most: u64,
    highest: &AtomicU64,
) -> u64 {
    let own = format!("own{client}_total");
    for done in before..before + most {
        match push_of(client, done, &own, is_ruled).send(gateway) {
            Answer::NotKept => return done,
            Answer::Replayed if done == before => {}
            answer => assert_eq!(answer, Answer::Applied),
        }
        let now = shown(gateway);
        assert_eq!(counter(&now, &own), done + 1);
        highest.fetch_max(counter(&now, "all_total"), Ordering::Relaxed);
    }
    before + most
}

#[test]
fn several_clients_lose_nothing_and_repeat_nothing() {
    [false, true].into_iter().for_each(check_several_clients);
}

fn check_several_clients(is_ruled: bool) {
    const ROUNDS: u64 = 20;
    let mut random = Random::new(1);
    let mut disk = SimulatedDisk::new(1, Vec::new());
    let mut acknowledged = [0; CLIENTS];
    let highest = AtomicU64::new(0);
    for round in 0..=ROUNDS {
        let gateway = open(&mut disk, is_ruled);
        let now = shown(&gateway);
        let mut all = 0;
        for (client, acknowledged) in acknowledged.iter().enumerate() {
            let own = counter(&now, &format!("own{client}_total"));
            assert!(own == *acknowledged || own == acknowledged + 1, "{own} of {acknowledged}");
            all += own;
        }
        assert_eq!(counter(&now, "all_total"), all, "half a push");
        assert_eq!(counter(&now, "ticks_total"), if is_ruled { all } else { 0 });
        assert!(all >= highest.load(Ordering::Relaxed), "a scrape has shown more");
        let most = if round == ROUNDS { 3 } else { u64::MAX >> 1 };
        if round < ROUNDS {
            let kinds = errors([Operation::Write, Operation::Sync][random.below(2) as usize]);
            let kind = kinds[random.below(kinds.len() as u64) as usize];
            disk.add_fault(random.below(100), if random.flip() { kind } else { Kind::Crash });
        }
        thread::scope(|scope| {
            let clients = acknowledged.iter_mut().enumerate().map(|(client, acknowledged)| {
                let (gateway, highest) = (&gateway, &highest);
                scope.spawn(move || {
                    *acknowledged = push_many(gateway, (client, is_ruled), *acknowledged, most, highest);
                })
            });
            clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().unwrap());
        });
        if round == ROUNDS {
            let all = counter(&shown(&gateway), "all_total");
            assert_eq!(all, acknowledged.iter().sum::<u64>());
        }
        let next = disk.after_crash(Vec::new());
        gateway.close();
        disk = next;
    }
}

// A disk that hangs.

#[test]
fn what_waits_for_a_disk_that_hangs_is_bounded_and_kept_when_it_goes_on() {
    const MORE_THAN_MAY_WAIT: usize = 20_000;
    let mut disk = SimulatedDisk::new(1, Vec::new());
    let gateway = open(&mut disk, false);
    let label = GroupingLabel { name: "job".into(), value: "a".into() };
    let grouping = Grouping::new(vec![label]);
    let push = PushRequest::new(Method::Post, &grouping, BodyFormat::Text, b"c_total 1\n");
    disk.hold();
    let mut waiting = Vec::new();
    let refused = (0..MORE_THAN_MAY_WAIT).find_map(|_| match gateway.push(&push).unwrap() {
        Pending::Done(result) => Some(result),
        pending => {
            waiting.push(pending);
            None
        }
    });
    assert_eq!(refused, Some(Err(Failure::QueueFull)));
    assert_eq!(counter(&shown(&gateway), "c_total"), 0, "seen but not kept");
    disk.release();
    let count = waiting.len() as u64;
    waiting.into_iter().for_each(|pending| assert_eq!(gateway.done_blocking(pending), Ok(Outcome::Applied)));
    assert_eq!(counter(&shown(&gateway), "c_total"), count);
    assert!(gateway.push_blocking(&push).is_ok());
}

// Writing from time to time.

/// A gateway that answers at once and writes later.
fn open_interval(disk: &SimulatedDisk, is_ruled: bool) -> Gateway {
    let mut config = config(is_ruled);
    config.persistence.file = "simulated".to_owned();
    config.persistence.sync = Sync::Interval;
    config.persistence.interval = Duration::from_millis(1);
    Gateway::with_disk(&config, Box::new(disk.clone())).unwrap()
}

/// A crash takes back changes together with their keys, even just after the disk has failed and recovered while
/// clients went on. Each of their requests, sent again, counts once, and the file can be read.
#[test]
fn with_an_interval_pushes_and_their_keys_are_kept_or_lost_together() {
    const CASES: u64 = 8;
    // Some pushes are the first with their name; the others change values only.
    let name = |client: usize, number: u64| format!("own{client}_{}_total", number / 8);
    let case = |seed: u64| {
        let is_ruled = seed % 2 == 1;
        let request = |client: usize, number: u64| push_of(client, number, &name(client, number), is_ruled);
        let mut random = Random::new(seed);
        let disk = SimulatedDisk::new(seed, Vec::new());
        let gateway = open_interval(&disk, is_ruled);
        let kinds = errors([Operation::Write, Operation::Sync][random.below(2) as usize]);
        let is_over = AtomicBool::new(false);
        let (crashed, sent) = thread::scope(|scope| {
            let push_until_over = |client| {
                let sent = (0..).take_while(|number| {
                    assert_eq!(request(client, *number).send(&gateway), Answer::Applied);
                    !is_over.load(Ordering::Relaxed)
                });
                sent.count() as u64 + 1
            };
            let clients = (0..CLIENTS).map(|client| scope.spawn(move || push_until_over(client)));
            let clients: Vec<_> = clients.collect();
            disk.add_fault(random.below(60), kinds[random.below(kinds.len() as u64) as usize]);
            let wait_until = |fails: bool| {
                while gateway.failure().is_some() != fails {
                    thread::yield_now();
                }
            };
            wait_until(true);
            wait_until(false);
            let crashed = disk.after_crash(Vec::new());
            is_over.store(true, Ordering::Relaxed);
            (crashed, clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>())
        });
        gateway.close();
        let gateway = open_interval(&crashed, is_ruled);
        for (client, sent) in sent.iter().enumerate() {
            for number in 0..*sent {
                let answer = request(client, number).send(&gateway);
                assert!(matches!(answer, Answer::Applied | Answer::Replayed), "{answer:?}");
            }
        }
        let shown = shown(&gateway);
        let all = sent.iter().sum();
        assert_eq!(counter(&shown, "all_total"), all, "case {seed}");
        assert_eq!(counter(&shown, "ticks_total"), if is_ruled { all } else { 0 }, "case {seed}");
        for (client, sent) in sent.iter().enumerate() {
            for first in (0..*sent).step_by(8) {
                let name = name(client, first);
                assert_eq!(counter(&shown, &name), 8.min(sent - first), "{name} of case {seed}");
            }
        }
    };
    thread::scope(|scope| (0..CASES).for_each(|seed| drop(scope.spawn(move || case(seed)))));
}

// Any requests, crashes and restarts.

#[derive(Clone, Debug)]
enum Step {
    Send(Request),
    Restart,
    Crash,
    /// A fault after this many operations. The machine stops when it shows.
    Trouble(u64, Kind),
}

fn family() -> impl Strategy<Value = String> {
    let numbers = (
        prop::sample::select(vec!["c_total", "g", "x"]),
        prop::sample::select(vec!["counter", "gauge", "untyped"]),
        prop::sample::select(vec![0usize, 1, 2, 33, 70]),
        prop::sample::select(vec![0usize, 1, 1 << 53]),
    );
    let numbers = numbers.prop_map(|(name, kind, count, value)| series(name, kind, count, value));
    let histogram =
        prop::sample::select(vec![vec!["1", "5"], vec!["2"], vec![]]).prop_map(|bounds| histogram(&bounds));
    let summary = Just("# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 0.1\ns_count 2\n".to_owned());
    // Most of it is what the rules are about.
    let ruled = (0..9u64, 0..20u64).prop_map(|(count, noise)| ruled::body(count, noise));
    prop_oneof![4 => numbers, 2 => histogram, 1 => summary, 3 => ruled]
}

fn request() -> impl Strategy<Value = Request> {
    let body = || prop::collection::vec(family(), 0..3).prop_map(|families| families.concat());
    let pod = prop::sample::select(vec!["", "1", "2"]);
    let what = prop_oneof![
        6 => body().prop_map(|body| What::Push(Method::Post, body)),
        3 => body().prop_map(|body| What::Push(Method::Put, body)),
        2 => Just(What::Delete),
        1 => Just(What::Wipe),
    ];
    let key = prop::option::of(prop::sample::select(vec!["1", "2", "3"]).prop_map(str::to_owned));
    let job = prop::sample::select(vec!["a", "b", "c"]);
    (what, job, pod, key).prop_map(|(what, job, pod, key)| Request { what, job, pod, key })
}

fn step() -> impl Strategy<Value = Step> {
    let operation = prop::sample::select(vec![Operation::Write, Operation::SetLength, Operation::Sync]);
    let error = (operation, any::<prop::sample::Index>()).prop_map(|(operation, kind)| {
        let errors = errors(operation);
        errors[kind.index(errors.len())]
    });
    let kind = prop_oneof![2 => Just(Kind::Crash), 1 => error];
    prop_oneof![
        12 => request().prop_map(Step::Send),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        2 => (0..25u64, kind).prop_map(|(after, kind)| Step::Trouble(after, kind)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_what_was_acknowledged_is_there_once(
        steps in prop::collection::vec(step(), 1..30), seed in any::<u64>(), is_ruled in any::<bool>()
    ) {
        let mut run = Run::new(&Case { is_ruled, seed, faults: Vec::new(), on_failure: OnFailure::Crash });
        for step in &steps {
            match step {
                Step::Send(request) => run.send(request),
                Step::Restart => run.restart(),
                Step::Crash => run.crash(None),
                Step::Trouble(after, kind) => run.disk.add_fault(*after, *kind),
            }
        }
        run.restart();
    }
}
