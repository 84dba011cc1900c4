//! `kill -9` at any moment loses nothing that was acknowledged and repeats nothing, whatever clients were doing.
//! After a restart, clean or not, the gateway goes on where it stopped. So it does under rules.
//!
//! `TALLYGATE_TEST_CRASHES` says how often the gateway is killed, `TALLYGATE_TEST_SEED` decides when and
//! what clients send.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

#[cfg(feature = "postgres")]
use crate::programs::database::{Cut, Database, Proxy};
use crate::support::random::Random;
use crate::support::ruled::{self, RULES};
use crate::support::{
    Connection, Directory, Gateway, PATIENCE, Response, encode_request, pushed_lines, sample,
};

const CLIENTS: usize = 8;
const SHARED_GROUPS: u64 = 3;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect("a number"))
}

// State that the clients and the killing thread share.

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// How often each gateway was started, and where it listens.
    gateways: Vec<(usize, Option<SocketAddr>)>,
    acknowledged: u64,
    is_over: bool,
}

impl Shared {
    fn of(gateways: usize) -> Shared {
        let state = State { gateways: vec![(0, None); gateways], ..State::default() };
        Shared { state: Mutex::new(state), ..Shared::default() }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait<T>(&self, what: &str, mut seen: impl FnMut(&State) -> Option<T>) -> T {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| seen(state).is_none());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        seen(&state).unwrap_or_else(|| panic!("no {what} within {PATIENCE:?}"))
    }

    /// Works even after a thread has panicked with the lock, so that the others can finish.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self, number: usize, gateway: &Gateway) {
        self.change(|state| {
            state.gateways[number].0 += 1;
            state.gateways[number].1 = Some(gateway.addresses()[0]);
        });
    }

    /// Waits until so many more requests are acknowledged.
    fn wait_for_more(&self, more: u64) {
        let target = self.lock().acknowledged + more;
        self.wait("acknowledged pushes", |state| (state.acknowledged >= target).then_some(()));
    }

    fn is_over(&self) -> bool {
        self.lock().is_over
    }
}

/// Ends the work of all threads, even if a test fails.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.is_over = true);
    }
}

/// A connection to each gateway, which is opened again when that was killed. Each request goes to any of them.
struct Line<'a> {
    shared: &'a Shared,
    /// For each gateway the latest of its starts that a connection was opened to, and the connection.
    connections: Vec<(usize, Option<Connection>)>,
    random: Random,
}

impl<'a> Line<'a> {
    fn new(shared: &'a Shared, seed: u64) -> Line<'a> {
        let connections = shared.lock().gateways.iter().map(|_| (0, None)).collect();
        Line { shared, connections, random: Random::new(seed) }
    }

    /// Sends a request once. An error means that the gateway was killed, perhaps after it has answered.
    fn once(&mut self, request: &[u8], method: &str) -> io::Result<Response> {
        let choice = self.random.next();
        let connections = &self.connections;
        let (number, start, address) = self.shared.wait("gateway to ask", |state| {
            let may_be_there = |(number, (known, connection)): (usize, &(usize, Option<Connection>))| {
                let (start, address) = state.gateways[number];
                address.filter(|_| connection.is_some() || start > *known).map(|at| (number, start, at))
            };
            let there: Vec<_> = connections.iter().enumerate().filter_map(may_be_there).collect();
            (!there.is_empty()).then(|| there[choice as usize % there.len()])
        });
        let (known, connection) = &mut self.connections[number];
        if connection.is_none() {
            *known = start;
            *connection = Some(Connection::open(address)?);
        }
        let open = connection.as_mut().unwrap();
        let answer = open.send(request).and_then(|()| open.read_response(method));
        if answer.is_err() {
            *connection = None;
        }
        answer
    }

    /// Sends a request on a connection of its own. Nobody waits for the answer.
    fn send_beside(&self, request: &[u8]) -> Option<Connection> {
        let address = self.shared.lock().gateways.last()?.1?;
        let mut connection = Connection::open(address).ok()?;
        connection.send(request).ok()?;
        Some(connection)
    }

    /// Sends a request until it is answered.
    fn until_answered(&mut self, request: &[u8], method: &str) -> Response {
        loop {
            match self.once(request, method) {
                Ok(answer) if answer.status < 500 => return answer,
                Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
                Err(_) => {}
            }
        }
    }
}

fn is_replayed(answer: &Response) -> bool {
    answer.header("Idempotent-Replayed") == Some("true")
}

// A client.

/// What a client knows about the requests that it has sent.
#[derive(Debug, Default)]
struct Sent {
    /// Pushes to each shared group.
    shared: [u64; SHARED_GROUPS as usize],
    /// Pushes to the group of its own that only grows.
    own: u64,
    /// The value in the group that it replaces and deletes.
    replaced: Option<u64>,
    /// Pushes without a key: acknowledged, and sent.
    without_key: (u64, u64),
}

/// A counter and a histogram. Its buckets differ, but it always adds the same.
fn body(prefix: &str, wide: bool) -> String {
    let buckets = if wide { [("1", 1), ("5", 2)] } else { [("0.5", 0), ("2", 2)] };
    let buckets = buckets.map(|(le, count)| format!("{prefix}_seconds_bucket{{le=\"{le}\"}} {count}\n"));
    format!(
        "# TYPE {prefix}_total counter\n{prefix}_total 1\n# TYPE {prefix}_seconds histogram\n{}\
         {prefix}_seconds_sum 7\n{prefix}_seconds_count 3\n",
        buckets.concat()
    )
}

struct Client<'a> {
    number: usize,
    /// Whether the gateway has rules.
    is_ruled: bool,
    line: Line<'a>,
    random: Random,
    next_key: u64,
    sent: Sent,
    /// An earlier request that was acknowledged.
    earlier: Option<(Vec<u8>, &'static str)>,
}

impl Client<'_> {
    /// Sends requests until the killing is over.
    fn run(mut self) -> Sent {
        while !self.line.shared.is_over() {
            match self.random.below(10) {
                0..4 => {
                    let group = self.random.below(SHARED_GROUPS);
                    let mut body = body("shared", self.random.flip());
                    if self.is_ruled {
                        body += &ruled::body(self.sent.shared[group as usize] + 1, self.random.below(20));
                    }
                    self.keyed("POST", &self.path(&format!("/metrics/job/shared/group/{group}")), &body);
                    self.sent.shared[group as usize] += 1;
                }
                4..6 => {
                    let body = body("own", self.random.flip());
                    self.keyed("POST", &format!("/metrics/job/own/client/{}", self.number), &body);
                    self.sent.own += 1;
                }
                6..8 => self.replace(),
                8 => self.push_without_key(),
                _ => self.repeat_earlier(),
            }
        }
        self.sent
    }

    /// The path of this client in a group that all have, where rules take its own label away.
    fn path(&self, group: &str) -> String {
        if self.is_ruled { format!("{group}/pod/{}", self.number) } else { group.to_owned() }
    }

    /// Sends a request with a new key until it is acknowledged.
    fn keyed(&mut self, method: &'static str, path: &str, body: &str) {
        let key = format!("{}-{}", self.number, self.next_key);
        self.next_key += 1;
        let request = encode_request(method, path, &[("Idempotency-Key", &key)], body.as_bytes());
        // A duplicate may overtake it on another connection.
        let twin = if self.random.below(8) == 0 { self.line.send_beside(&request) } else { None };
        let answer = self.line.until_answered(&request, method);
        assert!(matches!(answer.status, 200 | 202), "{method} {path}: {} {}", answer.status, answer.text());
        drop(twin);
        self.line.shared.change(|state| state.acknowledged += 1);
        if self.earlier.is_none() || self.random.flip() {
            self.earlier = Some((request, method));
        }
    }

    /// Changes the group that holds only the result of the last request.
    fn replace(&mut self) {
        let path = self.path(&format!("/metrics/job/replaced/client/{}", self.number));
        let before = self.sent.replaced.unwrap_or(0);
        // With rules a gauge that is folded, so that DELETE and PUT are about the source.
        let (kind, more) = if self.is_ruled { ("gauge", before + 1) } else { ("counter", 1) };
        let body = |value: u64| format!("# TYPE replaced_total {kind}\nreplaced_total {value}\n");
        match self.random.below(3) {
            0 => {
                self.keyed("DELETE", &path, "");
                self.sent.replaced = None;
            }
            1 => {
                let value = self.random.below(1000);
                self.keyed("PUT", &path, &body(value));
                self.sent.replaced = Some(value);
            }
            _ => {
                self.keyed("POST", &path, &body(more));
                self.sent.replaced = Some(before + 1);
            }
        }
        let scrape = self.line.until_answered(&encode_request("GET", "/metrics", &[], b""), "GET").text();
        let series = format!("replaced_total{{client=\"{}\",instance=\"\",job=\"replaced\"}}", self.number);
        assert_eq!(sample(&scrape, &series), self.sent.replaced.map(|value| value as f64));
    }

    fn push_without_key(&mut self) {
        let path = format!("/metrics/job/keyless/client/{}", self.number);
        let body = "# TYPE keyless_total counter\nkeyless_total 1\n";
        self.sent.without_key.1 += 1;
        let answer = self.line.once(&encode_request("POST", &path, &[], body.as_bytes()), "POST");
        if answer.is_ok_and(|answer| answer.status == 200) {
            self.sent.without_key.0 += 1;
            self.line.shared.change(|state| state.acknowledged += 1);
        }
    }

    fn repeat_earlier(&mut self) {
        if let Some((request, method)) = self.earlier.take() {
            let answer = self.line.until_answered(&request, method);
            assert!(matches!(answer.status, 200 | 202) && is_replayed(&answer), "{answer:?}");
        }
    }
}

// A scraper that checks that nothing ever steps back.

fn never_steps_back(scrape: &str, highest: &mut HashMap<String, f64>) {
    const GROWING: [&str; 9] =
        ["shared_", "own_", "keyless_", "depth{", "peak{", "ticks_", "runs_", "duration_", "noisy_"];
    let mut now = HashMap::new();
    for line in pushed_lines(scrape) {
        if GROWING.iter().any(|name| line.starts_with(name)) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            now.insert(series.to_owned(), value.parse().unwrap());
        }
    }
    for (series, before) in &*highest {
        let value: f64 = *now.get(series).unwrap_or_else(|| panic!("{series} {before} has gone"));
        assert!(value >= *before, "{series} fell from {before} to {value}");
    }
    *highest = now;
}

fn scrape_until_the_end(shared: &Shared) {
    let mut line = Line::new(shared, 7);
    let mut highest = HashMap::new();
    while !shared.is_over() {
        let scrape = line.until_answered(&encode_request("GET", "/metrics", &[], b""), "GET");
        assert_eq!(scrape.status, 200);
        never_steps_back(&scrape.text(), &mut highest);
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_repeated_however_often_the_gateway_is_killed() {
    kill_often(false, &mut File(Directory::new()));
}

#[test]
fn nothing_acknowledged_is_lost_or_repeated_under_rules() {
    kill_often(true, &mut File(Directory::new()));
}

/// What keeps the store while the gateway is killed.
trait Keeper {
    /// The flags that name it.
    fn flags(&self) -> Vec<String>;

    /// How often a gateway is killed by default.
    fn crashes(&self) -> u64;

    /// How many gateways there are at a time.
    fn gateways(&self) -> usize {
        1
    }

    /// Lets something go wrong while the gateway runs.
    fn disturb(&mut self, random: &mut Random);

    /// Lets nothing more go wrong: a gateway that starts does not try for ever.
    fn calm(&self) {}
}

/// A file. The disk works.
struct File(Directory);

impl Keeper for File {
    fn flags(&self) -> Vec<String> {
        vec![format!("--persistence.file={}", self.0.path_of("store"))]
    }

    fn crashes(&self) -> u64 {
        15
    }

    fn disturb(&mut self, _random: &mut Random) {}
}

/// A database that crashes, and whose connections are cut while it answers; and how many gateways share it.
#[cfg(feature = "postgres")]
struct InDatabase(Database, Proxy, usize);

#[cfg(feature = "postgres")]
impl Keeper for InDatabase {
    fn flags(&self) -> Vec<String> {
        vec![format!("--persistence.postgres={}", self.0.url_at(self.1.port()))]
    }

    fn crashes(&self) -> u64 {
        8
    }

    fn gateways(&self) -> usize {
        self.2
    }

    fn disturb(&mut self, random: &mut Random) {
        match random.below(4) {
            0 => self.0.crash(),
            1 => self.1.cut(random.below(20) as u32, Cut::Request),
            _ => self.1.cut(random.below(20) as u32, Cut::Answer),
        }
    }

    fn calm(&self) {
        self.1.stop_cutting();
    }
}

#[cfg(feature = "postgres")]
#[test]
fn nothing_acknowledged_is_lost_or_repeated_on_a_database_that_fails() {
    let Some(database) = Database::start(&[]) else { return };
    let proxy = Proxy::before(&database);
    kill_often(false, &mut InDatabase(database, proxy, 1));
}

#[cfg(feature = "postgres")]
#[test]
fn nothing_acknowledged_is_lost_or_repeated_on_a_database_under_rules() {
    let Some(database) = Database::start(&[]) else { return };
    let proxy = Proxy::before(&database);
    kill_often(true, &mut InDatabase(database, proxy, 1));
}

#[cfg(feature = "postgres")]
#[test]
fn nothing_acknowledged_is_lost_or_repeated_by_replicas() {
    let Some(database) = Database::start(&[]) else { return };
    let proxy = Proxy::before(&database);
    kill_often(false, &mut InDatabase(database, proxy, 3));
}

#[cfg(feature = "postgres")]
#[test]
fn nothing_acknowledged_is_lost_or_repeated_by_replicas_under_rules() {
    let Some(database) = Database::start(&[]) else { return };
    let proxy = Proxy::before(&database);
    kill_often(true, &mut InDatabase(database, proxy, 3));
}

fn kill_often(is_ruled: bool, keeper: &mut dyn Keeper) {
    let crashes = setting("TALLYGATE_TEST_CRASHES", keeper.crashes());
    let seed = setting("TALLYGATE_TEST_SEED", 1);
    let shared = Shared::of(keeper.gateways());
    let (gateways, sent) = thread::scope(|scope| {
        let client = |number| Client {
            number,
            is_ruled,
            line: Line::new(&shared, seed.wrapping_mul(2000) + number as u64),
            random: Random::new(seed.wrapping_mul(1000) + number as u64),
            next_key: 0,
            sent: Sent::default(),
            earlier: None,
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).map(|client| scope.spawn(|| client.run())).collect();
        let scraper = scope.spawn(|| scrape_until_the_end(&shared));
        let end = End(&shared);
        let mut random = Random::new(seed);
        let mut gateways: Vec<Gateway> = (0..keeper.gateways()).map(|_| start_on(keeper, is_ruled)).collect();
        gateways.iter().enumerate().for_each(|(number, gateway)| shared.started(number, gateway));
        for _ in 0..crashes {
            // Sometimes before any push, mostly with pushes in flight.
            shared.wait_for_more(random.below(4) * random.below(60));
            keeper.disturb(&mut random);
            shared.wait_for_more(random.below(40));
            let number = random.below(gateways.len() as u64) as usize;
            // The others go on while one stands still, whatever it was doing.
            if gateways.len() > 1 && random.flip() {
                gateways[number].signal("STOP");
                // All clients may come to wait for it. The database waits for five seconds.
                let millis = if random.below(3) == 0 { 6000 } else { random.below(400) };
                thread::sleep(Duration::from_millis(millis));
                gateways[number].signal("CONT");
                continue;
            }
            let is_killed = gateways.len() == 1 || random.below(3) > 0;
            let gateway = gateways.remove(number);
            if is_killed {
                drop(gateway)
            } else {
                stop(gateway)
            }
            keeper.calm();
            gateways.insert(number, start_on(keeper, is_ruled));
            shared.started(number, &gateways[number]);
        }
        shared.wait_for_more(100);
        drop(end);
        let sent: Vec<Sent> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        scraper.join().unwrap();
        (gateways, sent)
    });
    for gateway in &gateways {
        check(&gateway.scrape(), &sent);
        if is_ruled {
            check_ruled(&gateway.scrape(), &sent);
        }
        check_pushes(gateway, &sent);
    }
    // A last kill without requests in flight.
    let before = pushed_lines(&gateways[0].scrape());
    drop(gateways);
    assert_eq!(pushed_lines(&start_on(keeper, is_ruled).scrape()), before);
}

fn check(scrape: &str, sent: &[Sent]) {
    let value = |series: &str| sample(scrape, series).unwrap_or(0.0) as u64;
    let check_sums = |prefix: &str, labels: &str, pushes: u64| {
        assert_eq!(value(&format!("{prefix}_total{{{labels}}}")), pushes, "{prefix} {labels}");
        assert_eq!(value(&format!("{prefix}_seconds_count{{{labels}}}")), 3 * pushes);
        assert_eq!(value(&format!("{prefix}_seconds_sum{{{labels}}}")), 7 * pushes);
    };
    for group in 0..SHARED_GROUPS as usize {
        let labels = format!("group=\"{group}\",instance=\"\",job=\"shared\"");
        check_sums("shared", &labels, sent.iter().map(|sent| sent.shared[group]).sum());
    }
    for (client, sent) in sent.iter().enumerate() {
        check_sums("own", &format!("client=\"{client}\",instance=\"\",job=\"own\""), sent.own);
        let count = value(&format!("keyless_total{{client=\"{client}\",instance=\"\",job=\"keyless\"}}"));
        let (acknowledged, all) = sent.without_key;
        assert!((acknowledged..=all).contains(&count), "{count} of {acknowledged} to {all}");
    }
}

/// What rules make of the pushes to the shared groups; see [`ruled::body`].
fn check_ruled(scrape: &str, sent: &[Sent]) {
    let mut has_overflow = false;
    for group in 0..SHARED_GROUPS as usize {
        let labels = format!("group=\"{group}\",instance=\"\",job=\"shared\"");
        let value = |name: &str| sample(scrape, &format!("{name}{{{labels}}}")).unwrap_or(0.0) as u64;
        let counts = || sent.iter().map(|sent| sent.shared[group]);
        let all: u64 = counts().sum();
        for name in ["depth", "ticks_total", "runs_total", "duration_seconds_count"] {
            assert_eq!(value(name), all, "{name} of group {group}");
        }
        assert_eq!(value("duration_seconds_sum"), 2 * all);
        assert_eq!(value("peak"), counts().max().unwrap());
        let noisy =
            scrape.lines().filter(|line| line.starts_with(&format!("noisy_total{{group=\"{group}\"")));
        let (series, values): (Vec<_>, Vec<_>) = noisy.map(|line| line.rsplit_once(' ').unwrap()).unzip();
        assert_eq!(values.iter().map(|value| value.parse::<u64>().unwrap()).sum::<u64>(), all);
        let own = series.iter().filter(|series| !series.contains("overflow=\"true\"")).count();
        // Seven of the twelve series are of other families.
        assert!(own <= 5, "{series:?}");
        has_overflow |= own < series.len();
    }
    assert!(has_overflow, "the pushes are too few");
}

/// Each group knows how often it was pushed to.
fn check_pushes(gateway: &Gateway, sent: &[Sent]) {
    let groups = gateway.get("/api/v1/groups?limit=500");
    let groups: serde_json::Value = serde_json::from_slice(&groups.body).unwrap();
    let pushes = |job: &str, label: &str, value: usize| {
        let labels = serde_json::json!([["job", job], [label, value.to_string()]]);
        let groups = groups["data"]["groups"].as_array().unwrap();
        let group = groups.iter().find(|group| group["labels"] == labels);
        group.map_or(0, |group| group["pushes"].as_u64().unwrap())
    };
    for group in 0..SHARED_GROUPS as usize {
        let all: u64 = sent.iter().map(|sent| sent.shared[group]).sum();
        assert_eq!(pushes("shared", "group", group), all, "shared {group}");
    }
    for (client, sent) in sent.iter().enumerate() {
        assert_eq!(pushes("own", "client", client), sent.own, "own {client}");
    }
}

// Restarts.

fn start(directory: &Directory, is_ruled: bool) -> Gateway {
    start_with(&[&format!("--persistence.file={}", directory.path_of("store"))], is_ruled)
}

fn start_on(keeper: &dyn Keeper, is_ruled: bool) -> Gateway {
    let flags = keeper.flags();
    start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>(), is_ruled)
}

fn start_with(flags: &[&str], is_ruled: bool) -> Gateway {
    let more = ["--push.enable-utf8-names", "--web.enable-admin-api"];
    Gateway::start_with_config(rules(is_ruled), &[flags, &more].concat())
}

fn rules(is_ruled: bool) -> &'static str {
    if is_ruled { RULES } else { "" }
}

fn stop(gateway: Gateway) {
    gateway.signal("TERM");
    let finished = gateway.wait();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
}

/// A series of [`push_everything`].
const C: &str = r#"c_total{instance="",job="a"}"#;

/// Something of everything, in the order of pushes.
fn push_everything(gateway: &Gateway) {
    for value in ["1e16", "1", "1"] {
        gateway.push("/metrics/job/a", &format!("# TYPE c_total counter\nc_total {value}\n"));
    }
    gateway.push("/metrics/job/a", &body("h", true));
    gateway.push("/metrics/job/a", &body("h", false));
    gateway.push("/metrics/job/a", "# TYPE empty gauge\n# HELP empty nothing in it\n");
    gateway.push(
        "/metrics/job/b/instance/i",
        "# HELP g h\\\\e\\nlp\n# TYPE g gauge\ng{v=\"1\"} NaN\ng{v=\"2\"} +Inf\ng{v=\"3\"} -Inf\ng{v=\"4\"} -0\n",
    );
    gateway.push("/metrics/job/b", "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 0.1\ns_count 2\n");
    gateway.push("/metrics/job/b", "# TYPE s summary\ns_sum 0.2\ns_count 1\n");
    gateway.push("/metrics/job@base64/L2EvYg==/l/%22%5C%0A", "u{k=\"a\\\\b\\\"c\\nd\"} 1\n");
    gateway.push("/metrics/job/utf8", "# TYPE \"ü.total\" counter\n{\"ü.total\",\"ä b\"=\"ö\"} 1\n");
    let many: String = (0..1000).map(|at| format!("many{{at=\"{at}\"}} {at}\n")).collect();
    gateway.push("/metrics/job/many", &many);
    gateway.refused("/metrics/job/a", "# TYPE c_total gauge\nc_total 1\n");
    gateway.refused("/metrics/job/refused", "m 1 1000\n");
    // These are sources where there are rules.
    for (pod, count) in [("a", 3), ("b", 2), ("a", 5), ("b", 1)] {
        gateway.push(&format!("/metrics/job/pods/pod/{pod}"), &ruled::body(count, count));
    }
    gateway.push("/metrics/job/pods/pod/b", &many);
    assert_eq!(gateway.put("/metrics/job/pods/pod/c", "# TYPE depth gauge\ndepth 7\n").status, 200);
    gateway.push("/metrics/job/pods/pod/a", &ruled::body(6, 1));
    assert_eq!(gateway.delete("/metrics/job/pods/pod/c").status, 202);
}

/// All pushed data that a gateway shows.
fn everything(gateway: &Gateway) -> (Vec<String>, Vec<String>, serde_json::Value) {
    let utf8 = [("Accept", "text/plain;version=1.0.0;escaping=allow-utf-8")];
    let utf8 = gateway.request("GET", "/metrics", &utf8, b"").text();
    (pushed_lines(&gateway.scrape()), pushed_lines(&utf8), gateway.api())
}

#[test]
fn a_restart_brings_back_everything_as_it_was() {
    for is_ruled in [false, true] {
        let directory = Directory::new();
        let mut gateway = start(&directory, is_ruled);
        push_everything(&gateway);
        let before = everything(&gateway);
        assert!(before.1.iter().any(|line| line.contains("ü.total")), "{:?}", before.1);
        for is_graceful in [true, false, true] {
            if is_graceful {
                stop(gateway);
            } else {
                drop(gateway);
            }
            gateway = start(&directory, is_ruled);
            assert_eq!(everything(&gateway), before, "graceful: {is_graceful}, rules: {is_ruled}");
        }
    }
}

#[test]
fn what_adds_goes_on_exactly_after_a_restart() {
    for is_ruled in [false, true] {
        let directory = Directory::new();
        let gateway = start(&directory, is_ruled);
        push_everything(&gateway);
        stop(gateway);
        let restarted = start(&directory, is_ruled);
        let steady = Gateway::start_with_config(rules(is_ruled), &["--push.enable-utf8-names"]);
        push_everything(&steady);
        for gateway in [&restarted, &steady] {
            push_everything(gateway);
        }
        assert_eq!(restarted.pushed(), steady.pushed(), "rules: {is_ruled}");
        assert_eq!(restarted.sample(C), Some(20_000_000_000_000_004.0));
    }
}

#[test]
fn a_stop_between_two_intervals_loses_nothing() {
    let directory = Directory::new();
    let file = directory.path().join("store");
    let config = format!(
        "[persistence]\nfile = {file:?}\nsync = \"interval\"\ninterval = \"1h\"\n[push]\nenable_utf8_names = true\n"
    );
    let gateway = Gateway::start_with_config(&config, &[]);
    push_everything(&gateway);
    keyed(&gateway, "POST", "/metrics/job/k", "1", "# TYPE k_total counter\nk_total 1\n");
    let before = everything(&gateway);
    stop(gateway);
    let gateway = Gateway::start_with_config(&config, &[]);
    assert_eq!(everything(&gateway), before);
    assert!(keyed(&gateway, "POST", "/metrics/job/k", "1", "# TYPE k_total counter\nk_total 1\n"));
    assert_eq!(gateway.delete("/metrics/job/a").status, 202);
    let before = everything(&gateway);
    stop(gateway);
    assert_eq!(everything(&Gateway::start_with_config(&config, &[])), before);
}

/// Whether the request, which must be acknowledged, was replayed.
#[track_caller]
fn keyed(gateway: &Gateway, method: &str, path: &str, key: &str, body: &str) -> bool {
    let answer = gateway.request(method, path, &[("Idempotency-Key", key)], body.as_bytes());
    assert!(matches!(answer.status, 200 | 202), "{} {}", answer.status, answer.text());
    is_replayed(&answer)
}

#[test]
fn replacing_and_deleting_survive_a_kill() {
    let directory = Directory::new();
    let gateway = start(&directory, false);
    push_everything(&gateway);
    gateway.push("/metrics/job/replaced", "# TYPE r counter\nr 1\n# TYPE gone counter\ngone 1\n");
    assert_eq!(gateway.put("/metrics/job/replaced", "# TYPE r gauge\nr{l=\"x\"} 5\n").status, 200);
    assert_eq!(gateway.delete("/metrics/job/a").status, 202);
    let before = everything(&gateway);
    drop(gateway);
    let gateway = start(&directory, false);
    assert_eq!(everything(&gateway), before);
    assert_eq!(gateway.put("/api/v1/admin/wipe", "").status, 202);
    drop(gateway);
    let gateway = start(&directory, false);
    assert_eq!(gateway.pushed(), "");
    // Deleted data does not get in the way.
    gateway.push("/metrics/job/a", "# TYPE c_total gauge\nc_total 3\n");
    drop(gateway);
    assert_eq!(start(&directory, false).sample(C), Some(3.0));
}

#[test]
fn keys_survive_a_kill() {
    let directory = Directory::new();
    let requests = [
        ("POST", "/metrics/job/a", "# TYPE a_total counter\na_total 1\n"),
        ("PUT", "/metrics/job/b", "# TYPE b_total counter\nb_total 1\n"),
        ("DELETE", "/metrics/job/c", ""),
    ];
    let gateway = start(&directory, false);
    for (method, path, body) in requests {
        assert!(!keyed(&gateway, method, path, "k", body));
    }
    gateway.push("/metrics/job/b", "# TYPE b_total counter\nb_total 1\n");
    gateway.push("/metrics/job/c", "# TYPE c_total counter\nc_total 1\n");
    let before = gateway.pushed();
    drop(gateway);
    let gateway = start(&directory, false);
    for (method, path, body) in requests {
        assert!(keyed(&gateway, method, path, "k", body), "{method}");
    }
    let other = gateway.request("POST", "/metrics/job/a", &[("Idempotency-Key", "k")], b"a_total 2\n");
    assert_eq!(other.status, 422, "{}", other.text());
    assert_eq!(gateway.pushed(), before);
}
