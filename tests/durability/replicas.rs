//! Several gateways on one database do what one gateway does. What crashes do to them is in `crash.rs`, random requests
//! through any of them are in `contract.rs`, and a balancer with a real Prometheus is in `balanced.rs`.

use std::path::Path;

use serde_json::Value;

use crate::programs::database::Database;
use crate::programs::{self, ask_until};
use crate::support::{Directory, Gateway, Response, binary};

const COUNTER: &str = "# TYPE a_total counter\na_total 1\n";
const TOTAL: &str = r#"a_total{instance="",job="j"}"#;

fn start(database: &Database, name: &str, config: &str) -> Gateway {
    let flags =
        [format!("--persistence.postgres={}", database.url()), format!("--persistence.replica={name}")];
    Gateway::start_with_config(config, &[&flags[0], &flags[1], "--web.enable-admin-api"])
}

fn two(config: &str) -> Option<(Database, [Gateway; 2])> {
    let database = Database::start(&["fsync=off"])?;
    let gateways = ["one", "two"].map(|name| start(&database, name, config));
    Some((database, gateways))
}

fn keyed(gateway: &Gateway, method: &str, path: &str, key: &str, body: &str) -> Response {
    gateway.request(method, path, &[("Idempotency-Key", key)], body.as_bytes())
}

#[track_caller]
fn show_the_same(gateways: &[Gateway; 2]) -> String {
    let shown = gateways.each_ref().map(Gateway::pushed);
    assert_eq!(shown[0], shown[1]);
    let ids = gateways.each_ref().map(|gateway| gateway.get("/api/v1/groups").text());
    assert_eq!(ids[0], ids[1]);
    shown[0].clone()
}

#[test]
fn what_one_takes_all_show() {
    let Some((_database, gateways)) = two("[exposition]\ncreated_series = true\n") else { return };
    let [one, two] = &gateways;
    let histogram = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    for gateway in [one, two, one] {
        gateway.push("/metrics/job/j", &format!("{COUNTER}{histogram}"));
    }
    one.push("/metrics/job/j", "# TYPE g gauge\ng 1\n");
    two.push("/metrics/job/j", "# TYPE g gauge\ng 2\n");
    let shown = show_the_same(&gateways);
    for line in [
        "a_total{instance=\"\",job=\"j\"} 3",
        "h_bucket{instance=\"\",job=\"j\",le=\"1\"} 3",
        "h_sum{instance=\"\",job=\"j\"} 9",
        "g{instance=\"\",job=\"j\"} 2",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in {shown}");
    }
    let openmetrics = |gateway: &Gateway| {
        let accept = [("Accept", "application/openmetrics-text; version=1.0.0")];
        let text = gateway.request("GET", "/metrics", &accept, b"").text();
        let of_jobs = |line: &&str| line.contains("job=\"j\"");
        text.lines().filter(of_jobs).map(str::to_owned).collect::<Vec<_>>()
    };
    // With start times.
    assert!(openmetrics(one).iter().any(|line| line.starts_with("a_created")));
    assert_eq!(openmetrics(one), openmetrics(two));
    // Another replica finds all of it.
    assert_eq!(start(&_database, "three", "").pushed().matches("a_total").count(), 2);
}

#[test]
fn a_retry_a_put_and_a_deletion_may_come_through_another_one() {
    let Some((_database, gateways)) = two("") else { return };
    let [one, two] = &gateways;
    assert_eq!(keyed(one, "POST", "/metrics/job/j", "k", COUNTER).status, 200);
    let again = keyed(two, "POST", "/metrics/job/j", "k", COUNTER);
    assert_eq!((again.status, again.header("Idempotent-Replayed")), (200, Some("true")));
    assert_eq!(keyed(two, "POST", "/metrics/job/j", "k", "a_total 2\n").status, 422);
    assert_eq!(one.sample(TOTAL), Some(1.0));
    // Types are those of the first one.
    let refused = two.post("/metrics/job/other", "# TYPE a_total gauge\na_total 1\n");
    assert_eq!(refused.status, 400, "{}", refused.text());
    two.push("/metrics/job/j", "# TYPE b_total counter\nb_total 1\n");
    assert_eq!(one.put("/metrics/job/j", "# TYPE a_total counter\na_total 7\n").status, 200);
    assert_eq!((two.sample(TOTAL), two.pushed().contains("b_total")), (Some(7.0), false));
    assert_eq!(two.delete("/metrics/job/j").status, 202);
    assert_eq!(one.sample(TOTAL), None);
    // The name is free, and a new series begins anew.
    one.push("/metrics/job/other", "# TYPE a_total gauge\na_total 5\n");
    assert_eq!(two.sample("a_total{instance=\"\",job=\"other\"}"), Some(5.0));
    let select = "/api/v1/admin/delete?match[]={job=\"other\"}";
    assert_eq!(two.request("PUT", select, &[], b"").status, 200);
    two.push("/metrics/job/j", COUNTER);
    assert_eq!(one.request("PUT", "/api/v1/admin/wipe", &[], b"").status, 202);
    assert_eq!(show_the_same(&gateways), "");
}

#[test]
fn senders_may_push_through_different_ones() {
    const RULES: &str = r#"
        [[groups]]
        match = '{pod!=""}'
        relabel = [{ action = "labeldrop", regex = "pod" }]
        max_series = 4
        overflow = "fold"
        [[metrics]]
        match = 'depth'
        merge = "sum"
        [[metrics]]
        match = 'ticks_total'
        temporality = "cumulative"
    "#;
    let Some((_database, gateways)) = two(RULES) else { return };
    let [one, two] = &gateways;
    let push = |gateway: &Gateway, pod: &str, depth: u32, ticks: u32| {
        let body =
            format!("# TYPE depth gauge\ndepth {depth}\n# TYPE ticks_total counter\nticks_total {ticks}\n");
        gateway.push(&format!("/metrics/job/w/pod/{pod}"), &body);
    };
    push(one, "a", 5, 10);
    push(two, "b", 7, 100);
    // The increase since what the other replica got.
    push(two, "a", 6, 14);
    push(one, "b", 1, 101);
    let sums = |gateway: &Gateway| {
        ["depth", "ticks_total"]
            .map(|name| gateway.sample(&format!("{name}{{instance=\"\",job=\"w\"}}")).unwrap())
    };
    assert_eq!((sums(one), sums(two)), ([7.0, 115.0], [7.0, 115.0]));
    assert_eq!(two.delete("/metrics/job/w/pod/a").status, 202);
    assert_eq!((sums(one), sums(two)), ([1.0, 115.0], [1.0, 115.0]));
    // The room of the group is that of all of them.
    for (gateway, n) in [(one, 0), (two, 1), (one, 2), (two, 3), (one, 0), (two, 4)] {
        let body = format!("# TYPE n_total counter\nn_total{{n=\"{n}\"}} 1\n");
        gateway.push("/metrics/job/w/pod/c", &body);
    }
    let shown = show_the_same(&gateways);
    let values = shown.lines().filter(|line| line.starts_with("n_total{"));
    let values: Vec<f64> = values.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
    assert_eq!((values.iter().sum::<f64>(), values.len()), (6.0, 3), "{shown}");
}

#[test]
fn what_nobody_pushes_goes_from_all_and_once() {
    let rules = "[[groups]]\nmatch = '{job=\"j\"}'\nttl = \"1s\"\n";
    let Some((_database, gateways)) = two(rules) else { return };
    let [one, two] = &gateways;
    one.push("/metrics/job/j", COUNTER);
    // Only one of them is scraped, and not the one that got it.
    ask_until("the group to expire", || match two.sample(TOTAL) {
        None => Ok(()),
        some => Err(format!("{some:?}")),
    });
    assert_eq!(one.sample(TOTAL), None);
    let expired = |gateway: &Gateway, name| {
        gateway.sample(&format!("tallygate_expired_groups_total{{replica=\"{name}\"}}")).unwrap()
    };
    assert_eq!(expired(one, "one") + expired(two, "two"), 1.0);
}

#[test]
fn limits_hold_for_all_together() {
    let Some((_database, gateways)) = two("[limits]\ngroups = 2\n") else { return };
    let [one, two] = &gateways;
    one.push("/metrics/job/a", "x 1\n");
    two.push("/metrics/job/b", "x 1\n");
    for gateway in &gateways {
        let refused = gateway.post("/metrics/job/c", "x 1\n");
        assert_eq!(refused.status, 429, "{}", refused.text());
        assert!(refused.text().contains("limits.groups"), "{}", refused.text());
    }
    assert_eq!(one.delete("/metrics/job/a").status, 202);
    two.push("/metrics/job/c", "x 1\n");
}

#[test]
fn one_that_lacks_a_part_of_the_log_reads_everything_again() {
    let Some((database, gateways)) = two("") else { return };
    let [one, two] = &gateways;
    one.push("/metrics/job/j", COUNTER);
    one.push("/metrics/job/gone", "x 1\n");
    assert_eq!(two.sample(TOTAL), Some(1.0));
    // As if the second one had stood still for long.
    let pause = || two.signal("STOP");
    pause();
    one.push("/metrics/job/j", COUNTER);
    assert_eq!(one.delete("/metrics/job/gone").status, 202);
    assert_eq!(keyed(one, "POST", "/metrics/job/j", "k", COUNTER).status, 200);
    database.sql("DELETE FROM tallygate_log");
    two.signal("CONT");
    assert_eq!(show_the_same(&gateways).matches("a_total{").count(), 1);
    assert_eq!(
        keyed(two, "POST", "/metrics/job/j", "k", COUNTER).header("Idempotent-Replayed"),
        Some("true")
    );
    two.push("/metrics/job/j", COUNTER);
    assert_eq!(one.sample(TOTAL), Some(4.0));
    let reloads = |gateway: &Gateway, name| {
        gateway.sample(&format!("tallygate_replica_reloads_total{{replica=\"{name}\"}}"))
    };
    assert_eq!((reloads(one, "one"), reloads(two, "two")), (Some(0.0), Some(1.0)));
}

#[test]
fn keys_count_once_after_all_earlier_ones_were_forgotten() {
    let Some((database, gateways)) = two("[push]\nidempotency_window = \"1s\"\n") else { return };
    let [one, _] = &gateways;
    (0..3).for_each(|n| drop(keyed(one, "POST", "/metrics/job/j", &format!("k{n}"), COUNTER)));
    ask_until("the keys to be forgotten", || {
        one.push("/metrics/job/other", "x 1\n");
        match &*database.sql("SELECT count(*) FROM tallygate_keys") {
            "0" => Ok(()),
            some => Err(some.to_owned()),
        }
    });
    // A replica that has never seen a key gives out the next number.
    let three = start(&database, "three", "");
    assert_eq!(keyed(&three, "POST", "/metrics/job/j", "k", COUNTER).status, 200);
    assert_eq!(database.sql("SELECT number FROM tallygate_keys"), "3");
    let again = keyed(&start(&database, "four", ""), "POST", "/metrics/job/j", "k", COUNTER);
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    assert_eq!(one.sample(TOTAL), Some(4.0));
}

const TABLES: [&str; 7] = ["head", "log", "names", "values", "kinds", "keys", "meta"];

/// Keeps what the database has, for [`put_back`].
fn back_up(database: &Database) {
    TABLES.iter().for_each(|table| {
        drop(database.sql(&format!("CREATE TABLE kept_{table} AS TABLE tallygate_{table}")))
    });
}

/// Puts the database back at once, as a failover does that loses commits.
fn put_back(database: &Database) {
    let table =
        |table| format!("DELETE FROM tallygate_{table}; INSERT INTO tallygate_{table} TABLE kept_{table};");
    database.sql(&TABLES.map(table).concat());
}

fn push_until_kept(gateway: &Gateway) {
    ask_until("a push", || match gateway.post("/metrics/job/j", COUNTER).status {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
}

#[test]
fn what_the_database_has_lost_comes_back_from_whoever_has_seen_most() {
    let Some((database, gateways)) = two("") else { return };
    let [one, two] = &gateways;
    one.push("/metrics/job/j", COUNTER);
    assert_eq!(two.sample(TOTAL), Some(1.0));
    back_up(&database);
    one.push("/metrics/job/j", COUNTER);
    assert_eq!(two.sample(TOTAL), Some(2.0));
    two.signal("STOP");
    one.push("/metrics/job/j", COUNTER);
    put_back(&database);
    two.signal("CONT");
    push_until_kept(two);
    push_until_kept(one);
    assert_eq!((one.sample(TOTAL), two.sample(TOTAL)), (Some(5.0), Some(5.0)));
    let rewrites: f64 = [(one, "one"), (two, "two")]
        .map(|(gateway, name)| {
            gateway.sample(&format!("tallygate_replica_rewrites_total{{replica=\"{name}\"}}")).unwrap()
        })
        .iter()
        .sum();
    assert_eq!(rewrites, 1.0);
    assert_eq!(start(&database, "three", "").sample(TOTAL), Some(5.0));
}

#[test]
fn one_that_starts_before_a_loss_is_made_good_waits_for_that() {
    let Some((database, gateways)) = two("") else { return };
    let [one, two] = &gateways;
    one.push("/metrics/job/j", COUNTER);
    back_up(&database);
    (0..5).for_each(|_| two.push("/metrics/job/j", COUNTER));
    assert_eq!(one.sample(TOTAL), Some(6.0));
    put_back(&database);
    let three = start(&database, "three", "");
    three.push("/metrics/job/j", COUNTER);
    push_until_kept(one);
    push_until_kept(two);
    assert_eq!([one, two, &three].map(|gateway| gateway.sample(TOTAL)), [Some(9.0); 3]);
}

#[test]
fn what_was_kept_since_the_database_was_put_back_stays() {
    let Some((database, gateways)) = two("") else { return };
    let [one, two] = &gateways;
    one.push("/metrics/job/j", COUNTER);
    back_up(&database);
    (0..5).for_each(|_| one.push("/metrics/job/j", COUNTER));
    assert_eq!(two.sample(TOTAL), Some(6.0));
    gateways.iter().for_each(|gateway| gateway.signal("STOP"));
    put_back(&database);
    let three = start(&database, "three", "");
    three.push("/metrics/job/j", COUNTER);
    three.push("/metrics/job/new", "x 1\n");
    gateways.iter().for_each(|gateway| gateway.signal("CONT"));
    for gateway in [one, two, &three] {
        ask_until("what is in the database", || match gateway.try_request("GET", "/metrics", &[], b"") {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        });
        assert_eq!((gateway.sample(TOTAL), gateway.pushed().contains("new")), (Some(2.0), true));
    }
}

#[test]
fn a_database_that_was_made_anew_gets_everything() {
    let Some((database, gateways)) = two("") else { return };
    let [one, two] = &gateways;
    one.push("/metrics/job/j", COUNTER);
    assert_eq!(keyed(two, "POST", "/metrics/job/j", "k", COUNTER).status, 200);
    database.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    push_until_kept(one);
    push_until_kept(two);
    assert_eq!((one.sample(TOTAL), two.sample(TOTAL)), (Some(4.0), Some(4.0)));
    let three = start(&database, "three", "");
    let again = keyed(&three, "POST", "/metrics/job/j", "k", COUNTER);
    assert_eq!((again.header("Idempotent-Replayed"), three.sample(TOTAL)), (Some("true"), Some(4.0)));
}

#[test]
fn one_that_stands_still_in_the_middle_of_a_commit_is_shut_out() {
    let Some((database, gateways)) = two("") else { return };
    let [one, two] = &gateways;
    one.push("/metrics/job/j", COUNTER);
    // A connection of the same user that holds the head, has more to send, and does not send it.
    let mut connection = std::net::TcpStream::connect(("127.0.0.1", database.port())).unwrap();
    let mut message = |kind: Option<u8>, body: &[u8]| {
        use std::io::Write as _;
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        connection.write_all(&[kind.as_slice(), &length, body].concat()).unwrap();
    };
    message(None, b"\0\x03\0\0user\0tallygate\0database\0postgres\0application_name\0tallygate\0\0");
    message(Some(b'Q'), b"BEGIN\0");
    message(Some(b'P'), b"\0UPDATE tallygate_head SET seq = seq\0\0\0");
    message(Some(b'B'), b"\0\0\0\0\0\0\0\0");
    message(Some(b'E'), b"\0\0\0\0\0");
    // Without a Sync the server waits for more, for as long as it takes; a Flush makes it do what it has.
    message(Some(b'H'), b"");
    ask_until("the lock", || {
        let held = "SELECT count(*) FROM pg_locks WHERE relation = 'tallygate_head'::regclass AND mode = 'RowExclusiveLock'";
        match &*database.sql(held) {
            "0" => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    push_until_kept(two);
    assert_eq!(one.sample(TOTAL), Some(2.0));
}

#[test]
fn each_names_itself_in_its_own_metrics_and_all_are_listed() {
    let Some((database, gateways)) = two("") else { return };
    let [one, two] = &gateways;
    for (gateway, name) in [(one, "one"), (two, "two")] {
        let own = gateway.scrape();
        let is_own = |line: &&str| line.starts_with("tallygate_") || line.starts_with("pushgateway_");
        assert!(
            own.lines().filter(is_own).all(|line| line.contains(&format!("replica=\"{name}\""))),
            "{own}"
        );
        ask_until("both", || match gateway.sample(&format!("tallygate_replicas{{replica=\"{name}\"}}")) {
            Some(2.0) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
    let status: Value = serde_json::from_slice(&two.get("/api/v1/status").body).unwrap();
    let replicas = status["data"]["replicas"].as_array().unwrap();
    let names: Vec<_> =
        replicas.iter().map(|one| (one["name"].as_str().unwrap(), &one["is_this_one"])).collect();
    assert_eq!(names, [("one", &Value::Bool(false)), ("two", &Value::Bool(true))]);
    assert_eq!(status["data"]["replica"], "two");
    // Whoever ends leaves.
    one.signal("TERM");
    ask_until("the end", || match &*database.sql("SELECT name FROM tallygate_replicas") {
        "two" => Ok(()),
        other => Err(other.to_owned()),
    });
    let without = Gateway::start(&[]);
    let status: Value = serde_json::from_slice(&without.get("/api/v1/status").body).unwrap();
    assert_eq!((&status["data"]["replicas"], &status["data"]["replica"]), (&Value::Null, &Value::Null));
    assert!(!without.scrape().contains("replica"));
}

#[test]
fn they_follow_the_clock_of_the_database() {
    let Some(library) = programs::faketime_library() else { return };
    let Some(database) = Database::start(&["fsync=off"]) else { return };
    let folder = Directory::new();
    let offset = folder.write("offset", "+2h");
    let url = format!("--persistence.postgres={}", database.url());
    let program = binary();
    let flags = ["-u", "FAKETIME", program.to_str().unwrap(), "--web.listen-address=127.0.0.1:0", &url];
    let environment = [
        ("LD_PRELOAD", &*library),
        ("FAKETIME_TIMESTAMP_FILE", &*offset),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let skewed = Gateway::start_program(Path::new("env"), &flags, &environment);
    skewed.push("/metrics/job/j", COUNTER);
    let pushed = skewed.sample("push_time_seconds{instance=\"\",job=\"j\"}").unwrap();
    let now: f64 = database.sql("SELECT extract(epoch FROM now())").parse().unwrap();
    assert!((now - pushed).abs() < 600.0, "{pushed} at {now}");
}
