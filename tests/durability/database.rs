//! A store that is kept in a PostgreSQL database. What crashes do to it is in `crash.rs`, and what the engine promises
//! in `contract.rs`.

use crate::certificates::Certificates;
use crate::programs::ask_until;
use crate::programs::database::Database;
use crate::support::{Directory, Gateway, run, run_with};

const TOTAL: &str = r#"a_total{instance="",job="j"}"#;

fn flag(database: &Database) -> String {
    format!("--persistence.postgres={}", database.url())
}

fn start(database: &Database) -> Gateway {
    Gateway::start(&[&flag(database)])
}

fn stop(gateway: Gateway) {
    gateway.signal("TERM");
    let finished = gateway.wait();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    ask_until(what, || if is_so() { Ok(()) } else { Err("it is not so yet".to_owned()) });
}

#[test]
fn pushes_and_keys_are_there_after_a_restart() {
    let Some(database) = Database::start(&[]) else { return };
    let gateway = start(&database);
    let keyed = |gateway: &Gateway, body: &str| {
        gateway.request("POST", "/metrics/job/j", &[("Idempotency-Key", "k")], body.as_bytes())
    };
    gateway.push("/metrics/job/j", "# TYPE a_total counter\na_total 2\n");
    assert_eq!(keyed(&gateway, "# TYPE a_total counter\na_total 3\n").status, 200);
    gateway.push("/metrics/job/gone", "b 1\n");
    assert_eq!(gateway.delete("/metrics/job/gone").status, 202);
    let before = gateway.pushed();
    stop(gateway);
    let gateway = start(&database);
    assert_eq!(gateway.pushed(), before);
    let again = keyed(&gateway, "# TYPE a_total counter\na_total 3\n");
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    assert_eq!(gateway.sample(TOTAL), Some(5.0));
}

#[test]
fn a_database_that_is_away_stops_pushes_and_scrapes_until_it_is_back() {
    let Some(mut database) = Database::start(&[]) else { return };
    let gateway = start(&database);
    gateway.push("/metrics/job/j", "# TYPE a_total counter\na_total 2\n");
    database.stop();
    let refused = gateway.post("/metrics/job/j", "# TYPE a_total counter\na_total 1\n");
    assert_eq!((refused.status, refused.header("Retry-After").is_some()), (503, true), "{}", refused.text());
    wait_until("no scrape", || gateway.get("/metrics").status == 503);
    let reason = gateway.get("/-/ready").text();
    assert!(reason.contains("pushes can't be kept: database 127.0.0.1:"), "{reason}");
    database.start_again();
    wait_until("pushes", || {
        gateway.post("/metrics/job/j", "# TYPE a_total counter\na_total 1\n").status == 200
    });
    assert_eq!(gateway.sample(TOTAL), Some(3.0));
}

#[test]
fn a_database_that_was_put_back_gets_everything_again() {
    let Some(database) = Database::start(&[]) else { return };
    let gateway = start(&database);
    gateway.push("/metrics/job/j", "# TYPE a_total counter\na_total 2\n");
    let tables = ["head", "log", "names", "values", "kinds", "keys", "meta"];
    for table in tables {
        database.sql(&format!("CREATE TABLE kept_{table} AS TABLE tallygate_{table}"));
    }
    gateway.push("/metrics/job/new", "# TYPE b_total counter\nb_total 3\n");
    gateway.push("/metrics/job/j", "# TYPE a_total counter\na_total 4\n");
    for table in tables {
        database
            .sql(&format!("TRUNCATE tallygate_{table}; INSERT INTO tallygate_{table} TABLE kept_{table}"));
    }
    let more = || gateway.post("/metrics/job/new", "# TYPE b_total counter\nb_total 1\n").status == 200;
    wait_until("a push", more);
    let before = gateway.pushed();
    assert_eq!(gateway.sample(TOTAL), Some(6.0));
    stop(gateway);
    assert_eq!(start(&database).pushed(), before);
}

#[test]
fn a_database_that_can_only_be_read_confirms_nothing() {
    let Some(database) = Database::start(&[]) else { return };
    let gateway = start(&database);
    gateway.push("/metrics/job/j", "# TYPE a_total counter\na_total 2\n");
    let end =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'tallygate'";
    database.sql("ALTER ROLE tallygate SET default_transaction_read_only = on");
    database.sql(end);
    wait_until("no scrape", || gateway.get("/metrics").status == 503);
    database.sql("BEGIN READ WRITE; ALTER ROLE tallygate RESET default_transaction_read_only; COMMIT");
    database.sql(end);
    wait_until("pushes", || {
        gateway.post("/metrics/job/j", "# TYPE a_total counter\na_total 1\n").status == 200
    });
    assert_eq!(gateway.sample(TOTAL), Some(3.0));
}

#[test]
fn a_gateway_that_can_not_listen_disturbs_no_other() {
    let Some(database) = Database::start(&[]) else { return };
    let gateway = start(&database);
    let address = format!("--web.listen-address={}", gateway.addresses()[0]);
    let finished = run(&[&address, &flag(&database)]);
    assert!(finished.stderr.contains("in use"), "{}", finished.stderr);
    gateway.push("/metrics/job/j", "# TYPE a_total counter\na_total 2\n");
    assert_eq!(gateway.sample(TOTAL), Some(2.0));
}

#[test]
fn no_secret_of_the_address_is_shown() {
    let Some(database) = Database::start(&[]) else { return };
    let url = database.url().replace("tallygate@", "tallygate:hunter2@");
    let directory = Directory::new();
    let file = directory.write("url", format!("{url}\n"));
    let variable = ("TALLYGATE_PERSISTENCE__POSTGRES", &*url);
    for is_named_in_a_file in [false, true] {
        let gateway = if is_named_in_a_file {
            Gateway::start_with_config(&format!("persistence.postgres_file = '{file}'\n"), &[])
        } else {
            Gateway::start_with(&[], &[variable])
        };
        gateway.push("/metrics/job/j", "# TYPE a_total counter\na_total 1\n");
        let shown = [
            gateway.get("/api/v1/status").text(),
            gateway.get("/").text(),
            gateway.get("/metrics").text(),
            gateway.stderr(),
        ];
        assert!(shown.iter().all(|text| !text.contains("hunter2")), "{shown:?}");
        stop(gateway);
    }
    assert_eq!(start(&database).sample(TOTAL), Some(2.0));
}

#[test]
fn what_can_not_work_is_refused_with_a_reason() {
    let directory = Directory::new();
    let both = format!("--persistence.file={}", directory.path_of("store"));
    for (flags, reason) in [
        (
            &["--persistence.postgres=host=hunter2"][..],
            "persistence.postgres: the address must begin with postgres://",
        ),
        (&["--persistence.postgres=postgres://u@h/d", &both], "are both named"),
    ] {
        let finished = run(flags);
        assert!(!finished.status.success() && finished.stderr.contains(reason), "{}", finished.stderr);
        assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
    }
    let finished = run_with(
        &["--persistence.postgres=postgres://u@h/d"],
        &[("TALLYGATE_PERSISTENCE__SYNC", "interval")],
    );
    assert!(finished.stderr.contains("with a database it must be \\\"push\\\""), "{}", finished.stderr);
    let Some(database) = Database::start(&[]) else { return };
    database.sql("ALTER ROLE tallygate SET synchronous_commit = off");
    let finished = run(&[&flag(&database)]);
    assert!(finished.stderr.contains("synchronous_commit is off"), "{}", finished.stderr);
    database.sql("ALTER ROLE tallygate RESET synchronous_commit");
    stop(start(&database));
    database.sql("UPDATE tallygate_meta SET value = 1000 WHERE key = 'format'");
    let finished = run(&[&flag(&database)]);
    assert!(finished.stderr.contains("a newer tallygate wrote it (format 1000"), "{}", finished.stderr);
}

#[test]
fn what_is_kept_can_be_copied_and_exported() {
    let Some(database) = Database::start(&[]) else { return };
    let directory = Directory::new();
    let (file, again) = (directory.path_of("store"), directory.path_of("again"));
    let from_file = format!("--persistence.file={file}");
    let gateway = Gateway::start(&[&from_file]);
    let keyed = |gateway: &Gateway| {
        let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
        gateway.request("POST", "/metrics/job/h", &[("Idempotency-Key", "k")], body.as_bytes())
    };
    gateway.push("/metrics/job/j", "# TYPE a_total counter\n# HELP a_total of a\na_total 2.5\n");
    let many: String = (0..3000).map(|at| format!("many{{at=\"{at}\"}} {at}\n")).collect();
    gateway.push("/metrics/job/many", &many);
    assert_eq!(keyed(&gateway).status, 200);
    let before = gateway.pushed();
    stop(gateway);
    let copied = run(&["copy", "--to", &database.url(), &from_file]);
    assert_eq!(copied.stdout, "copied 3 groups with 3002 series\n", "{}", copied.stderr);
    let gateway = start(&database);
    assert_eq!(gateway.pushed(), before);
    assert_eq!(keyed(&gateway).header("Idempotent-Replayed"), Some("true"));
    gateway.push("/metrics/job/j", "# TYPE a_total counter\na_total 1\n");
    let before = gateway.pushed();
    stop(gateway);
    // Only to where nothing is.
    let refused = run(&["copy", "--to", &database.url(), &from_file]);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("it holds something already"), "{}", refused.stderr);
    let refused = run(&["copy", "--to", &file, &flag(&database)]);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    assert_eq!(run(&["copy", "--to", &again]).status.code(), Some(2));
    // Nor may keys be forgotten, or a database be made that is only read.
    database.sql("CREATE DATABASE empty");
    let empty = database.url().replace("/postgres", "/empty");
    let refused = run(&["copy", "--to", &again, &format!("--persistence.postgres={empty}")]);
    assert!(refused.stderr.contains("no gateway has kept anything in it"), "{}", refused.stderr);
    let copied = run(&["copy", "--to", &again, &flag(&database)]);
    assert!(copied.status.success(), "{}", copied.stderr);
    let gateway = Gateway::start(&[&format!("--persistence.file={again}")]);
    assert_eq!(gateway.pushed(), before);
    assert_eq!(keyed(&gateway).header("Idempotent-Replayed"), Some("true"));
    stop(gateway);
    let stock = directory.path_of("stock");
    let exported = run(&["export", "--stock", &stock, &flag(&database)]);
    assert!(exported.status.success(), "{}", exported.stderr);
    // A file of a stock gateway can be copied as well.
    let other = directory.path_of("other");
    assert!(run(&["copy", "--to", &other, &format!("--persistence.file={stock}")]).status.success());
    let gateway = Gateway::start(&[&format!("--persistence.file={other}")]);
    assert_eq!(gateway.sample(TOTAL), Some(3.5));
}

#[test]
fn tls_is_as_sslmode_says() {
    let Some(mut database) = Database::start(&[]) else { return };
    let without = format!("--persistence.postgres={}?sslmode=require", database.url());
    let refused = run(&["export", "--stock", "x", &without]);
    assert!(refused.stderr.contains("server does not support TLS"), "{}", refused.stderr);
    let Some((certificates, strange)) = Certificates::new().zip(Certificates::new()) else { return };
    let file = |name: &str| database.private_file(name, certificates.read(name).as_bytes());
    let (certificate, key) = (file("server.crt"), file("server.key"));
    // The certificate is for one of the two addresses.
    database.set(&[
        "ssl=on",
        &format!("ssl_cert_file={certificate}"),
        &format!("ssl_key_file={key}"),
        "listen_addresses=127.0.0.1,127.0.0.2",
    ]);
    let (root, foreign) = (certificates.path("ca.crt"), strange.path("ca.crt"));
    let is_encrypted = || {
        database.sql(
            "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
             WHERE application_name = 'tallygate' AND ssl",
        )
    };
    let unnamed = database.url().replace("127.0.0.1", "127.0.0.2");
    for (address, query, encrypted) in [
        (database.url(), "sslmode=disable".to_owned(), "0"),
        (database.url(), "sslmode=prefer".to_owned(), "1"),
        (database.url(), "sslmode=require".to_owned(), "1"),
        (unnamed.clone(), format!("sslmode=verify-ca&sslrootcert={root}"), "1"),
        (database.url(), format!("sslmode=verify-full&sslrootcert={root}"), "1"),
    ] {
        let gateway = Gateway::start(&[&format!("--persistence.postgres={address}?{query}")]);
        assert_eq!(is_encrypted(), encrypted, "{query}");
        stop(gateway);
    }
    let directory = Directory::new();
    for (address, query, reason) in [
        (unnamed, format!("sslmode=verify-full&sslrootcert={root}"), "not valid for name"),
        (database.url(), format!("sslmode=verify-full&sslrootcert={foreign}"), "invalid peer certificate"),
        (database.url(), format!("sslmode=require&sslrootcert={foreign}"), "invalid peer certificate"),
    ] {
        let from = format!("--persistence.postgres={address}?{query}");
        let export = run(&["export", "--stock", &directory.path_of("x"), &from]);
        assert!(export.stderr.contains(reason), "{query}: {}", export.stderr);
    }
}
