//! Runs the queries of the dashboards in `config/dashboards` on a real Prometheus that scrapes a busy gateway, or
//! replicas. Also checks the examples for Docker Compose.
//!
//! `.ci/schemas` checks their form. Tests that need a Prometheus are skipped if there is none; see
//! `tests/programs/mod.rs`.

use std::collections::BTreeSet;
#[cfg(feature = "postgres")]
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
#[cfg(feature = "postgres")]
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

#[cfg(feature = "postgres")]
use crate::programs::database::Database;
use crate::programs::{self, ask_until};
use crate::scraper::{self, Prometheus};
use crate::support::{self, Directory, Gateway};

/// The values that Grafana substitutes, for a scrape every second.
const GIVEN: [(&str, &str); 2] = [("$__rate_interval", RATE_INTERVAL), ("$__range", "1m")];
const RATE_INTERVAL: &str = "10s";

/// The row of panels whose series only gateways with a database have.
const REPLICAS: &str = "Replicas";

/// A dashboard, with the name of its file.
struct Dashboard {
    name: String,
    content: Value,
}

/// A query of a panel or a variable.
struct Query {
    title: String,
    /// The title of the row of panels, empty for a variable.
    row: String,
    expression: String,
    /// Whether the results are a column of a table, in the row with the same labels.
    is_column: bool,
}

impl Query {
    /// The result, once a panel can show it: quantiles without observations are NaN.
    fn result(&self, prometheus: &Prometheus) -> Result<Value, String> {
        let result = prometheus.query(&self.expression, None)?;
        let mut values =
            result.as_array().into_iter().flatten().map(|series| scraper::number(&series["value"][1]));
        if values.any(f64::is_finite) { Ok(result) } else { Err(format!("{} is {result}", self.expression)) }
    }
}

impl Dashboard {
    fn all() -> Vec<Dashboard> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dashboards");
        let mut all: Vec<Dashboard> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path())
            .map(|path| Dashboard {
                name: path.file_stem().unwrap().to_string_lossy().into_owned(),
                content: serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(),
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(all.iter().map(|one| &one.name).collect::<Vec<_>>(), ["batch-jobs", "gateway"]);
        all
    }

    fn panels(&self) -> impl Iterator<Item = &Value> {
        self.content["panels"].as_array().unwrap().iter()
    }

    fn variables(&self) -> impl Iterator<Item = &Value> {
        self.content["templating"]["list"].as_array().unwrap().iter()
    }

    /// Each query as Grafana sends it at first, for all values of the variables.
    fn queries(&self) -> Vec<Query> {
        let (mut queries, mut row) = (Vec::new(), "");
        for panel in self.panels() {
            if panel["type"] == "row" {
                row = text(&panel["title"]);
            }
            let title = format!("{}: {}", self.name, text(&panel["title"]));
            let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
            let is_column = panel["type"] == "table" && targets.len() > 1;
            for target in targets {
                let expression = self.filled(text(&target["expr"]));
                queries.push(Query { title: title.clone(), row: row.to_owned(), expression, is_column });
            }
        }
        for variable in self.variables().filter(|variable| variable["type"] == "query") {
            let query = text(&variable["query"]["query"]);
            let (series, label) = query
                .strip_prefix("label_values(")
                .and_then(|query| query.strip_suffix(')')?.rsplit_once(", "))
                .unwrap_or_else(|| panic!("{query}"));
            let title = format!("{}: variable {}", self.name, text(&variable["name"]));
            let expression = self.filled(&format!("count by ({label}) ({series})"));
            queries.push(Query { title, row: String::new(), expression, is_column: false });
        }
        queries
    }

    /// An expression with the values of all its variables.
    fn filled(&self, expression: &str) -> String {
        let mut filled = expression.to_owned();
        for (name, value) in GIVEN {
            filled = filled.replace(name, value);
        }
        for variable in self.variables() {
            let name = format!("${}", text(&variable["name"]));
            match text(&variable["type"]) {
                "query" => filled = filled.replace(&name, text(&variable["allValue"])),
                "interval" => filled = filled.replace(&name, RATE_INTERVAL),
                _ => {}
            }
        }
        assert!(!filled.contains('$'), "a variable that {} does not have: {expression}", self.name);
        filled
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Runs a job that ends with this exit code, and announces it as its timer would.
fn run_job(gateway: &Gateway, job: &str, exit_code: u8) {
    let script = format!("exit {exit_code}");
    let url = gateway.url("");
    let finished =
        support::run(&["run", "--announce", "--url", &url, "--job", job, "--", "sh", "-c", &script]);
    assert_eq!(finished.status.code(), Some(i32::from(exit_code)), "{}", finished.stderr);
    assert_eq!(finished.stderr, "");
}

/// Makes the gateway count one of everything.
fn keep_busy(gateway: &Gateway, round: u32) {
    run_job(gateway, "backup", 0);
    run_job(gateway, "report", 3);
    run_job(gateway, "report", 0);
    gateway.push("/metrics/job/import/shop/berlin", "# TYPE orders_total counter\norders_total 1\n");
    assert_eq!(gateway.put("/metrics/job/put", "gauge 1\n").status, 200);
    gateway.refused("/metrics/job/import/shop/berlin", "# TYPE orders_total gauge\norders_total 1\n");
    assert_eq!(gateway.post("/metrics/job/malformed", "1 2 3\n").status, 400);
    assert_eq!(gateway.delete("/metrics/job/put").status, 202);
    for body in ["again_total 1\n", "again_total 1\n", "again_total 2\n"] {
        let key = format!("\"{round}\"");
        let headers = [("Idempotency-Key", key.as_str())];
        let status = gateway.request("POST", "/metrics/job/retry", &headers, body.as_bytes()).status;
        assert_eq!(status, if body.contains('2') { 422 } else { 200 });
    }
}

/// Sets the flag even if the test fails, which ends the other threads.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does something while a gateway is kept busy.
fn while_busy(gateway: &Gateway, then: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = SetOnDrop(&stop);
        scope.spawn(|| {
            let rounds = (0..).take_while(|_| !stop.load(Ordering::Relaxed));
            rounds.for_each(|round| keep_busy(gateway, round));
        });
        then();
    });
}

/// Asks all queries of the dashboards that this holds for.
fn ask_queries(prometheus: &Prometheus, is_asked: impl Fn(&Query) -> bool) {
    for query in Dashboard::all().iter().flat_map(Dashboard::queries).filter(is_asked) {
        let result = ask_until(&query.title, || query.result(prometheus));
        let has_name = result[0]["metric"].get("__name__").is_some();
        assert!(!(query.is_column && has_name), "the name of the series parts the rows: {result}");
    }
}

#[test]
fn every_query_has_a_result() {
    let Some(program) = programs::prometheus() else { return };
    let folder = Directory::new();
    let gateway = Gateway::start(&[&format!("--persistence.file={}", folder.path_of("metrics"))]);
    let prometheus = Prometheus::start(&program, &gateway);
    while_busy(&gateway, || {
        ask_queries(&prometheus, |query| query.row != REPLICAS);
        for (question, query) in table_of_manual("monitoring.md", "Queries") {
            let expression = first_code(&query).to_owned();
            let query = Query { title: question, row: String::new(), expression, is_column: false };
            ask_until(&query.title, || query.result(&prometheus));
        }
    });
}

/// Replicas behind the balancer of the example, so that each scrape shows another one.
#[cfg(feature = "postgres")]
#[test]
fn every_query_has_a_result_for_replicas() {
    let Some(program) = programs::prometheus() else { return };
    let Some(database) = Database::start(&["fsync=off"]) else { return };
    let url = format!("--persistence.postgres={}", database.url());
    let names = ["tallygate-1", "tallygate-2", "tallygate-3"];
    let gateways = names.map(|name| Gateway::start(&[&url, &format!("--persistence.replica={name}")]));
    let Some(balancer) = Balancer::before(&gateways) else { return };
    let prometheus = Prometheus::start_at(&program, balancer.port);
    let is = |title: &str, value: f64| {
        let queries = Dashboard::all().iter().flat_map(Dashboard::queries).collect::<Vec<_>>();
        let query = queries.iter().find(|query| query.title == title).unwrap();
        ask_until(title, || match prometheus.value(&query.expression)? {
            seen if seen == value => Ok(()),
            seen => Err(format!("{} is {seen} instead of {value}", query.expression)),
        });
    };
    while_busy(&gateways[1], || {
        ask_queries(&prometheus, |_| true);
        for name in names {
            // Each of them is seen, and also after another one's scrape.
            let seen =
                format!("increase(tallygate_replica_barrier_seconds_count{{replica=\"{name}\"}}[10s])");
            ask_until(&seen, || prometheus.value(&format!("{seen} > 0")));
        }
    });
    assert_eq!(gateways[0].put("/metrics/job/one", "g 1\n").status, 200);
    let groups = gateways[2].sample("tallygate_groups{replica=\"tallygate-3\"}").unwrap();
    is("gateway: Groups", groups);
    is("gateway: Gateways that use the database", 3.0);
    is("gateway: Gateways up", 1.0);
    is("gateway: Web configuration", 1.0);

    let scrape = gateways[0].scrape();
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let own = types.filter(|(name, _)| name.starts_with("tallygate_replica"));
    let own: BTreeSet<_> = own.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    let documented = table_of_manual("metrics.md", "Metrics of replicas").into_iter();
    assert_eq!(own, documented.map(|(name, kind)| (first_code(&name).to_owned(), kind)).collect());
}

/// The haproxy of the example, before gateways of this machine. It ends when dropped.
#[cfg(feature = "postgres")]
struct Balancer {
    process: Child,
    port: u16,
    _folder: Directory,
}

#[cfg(feature = "postgres")]
impl Balancer {
    fn before(gateways: &[Gateway]) -> Option<Balancer> {
        let program = programs::haproxy()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let compose = example("docker-compose.replicas.yml");
        let mut config = text(&compose["configs"]["haproxy"]["content"]).to_owned();
        let mut replace = |from: &str, to: &str| {
            assert!(config.contains(from), "no {from:?} in {config}");
            config = config.replace(from, to);
        };
        replace("bind :9091", &format!("bind 127.0.0.1:{port}"));
        // There is no server for names in this test.
        replace("resolvers docker\n  nameserver dns 127.0.0.11:53\n", "");
        replace(" resolvers docker init-addr libc,none", "");
        for (number, gateway) in gateways.iter().enumerate() {
            replace(&format!(" tallygate-{}:9091", number + 1), &format!(" 127.0.0.1:{}", gateway.port()));
        }
        let folder = Directory::new();
        let file = folder.write("haproxy.cfg", config);
        let mut command = programs::command(program);
        let process = command.args(["-f", &file]).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let balancer = Balancer { process, port, _folder: folder };
        ask_until("the balancer", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|e| e.to_string())
        });
        Some(balancer)
    }
}

#[cfg(feature = "postgres")]
impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The first two columns of the first table below a heading of a page.
fn table_of_manual(page: &str, heading: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let manual = std::fs::read_to_string(path).unwrap();
    let (_, section) = manual.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let rows =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = rows.skip(2).map(|row| row.split('|').map(str::trim).skip(1));
    cells.map(|mut cells| (cells.next().unwrap().to_owned(), cells.next().unwrap().to_owned())).collect()
}

/// The text between the first two backquotes.
fn first_code(text: &str) -> &str {
    text.split('`').nth(1).unwrap_or_else(|| panic!("no code in {text}"))
}

#[test]
fn the_manual_lists_every_alert() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/alerts.yml");
    let rules: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules: BTreeSet<_> = groups
        .flat_map(|group| group["rules"].as_array().unwrap())
        .map(|rule| (text(&rule["alert"]).to_owned(), text(&rule["labels"]["severity"]).to_owned()))
        .collect();
    let manual = table_of_manual("monitoring.md", "Alerts").into_iter();
    let listed: BTreeSet<_> =
        manual.map(|(alert, severity)| (first_code(&alert).to_owned(), severity)).collect();
    assert_eq!(listed, rules);
}

#[test]
fn a_job_that_failed_is_counted() {
    let Some(program) = programs::prometheus() else { return };
    let gateway = Gateway::start(&[]);
    let prometheus = Prometheus::start(&program, &gateway);
    run_job(&gateway, "backup", 0);
    run_job(&gateway, "report", 143);
    let dashboards = Dashboard::all();
    let queries: Vec<_> = dashboards.iter().flat_map(Dashboard::queries).collect();
    for (title, value) in [
        ("batch-jobs: Jobs that report", 2.0),
        ("batch-jobs: Failed last time", 1.0),
        ("batch-jobs: Not ended since their start", 0.0),
        ("batch-jobs: Without a success for a day", 0.0),
        ("gateway: Gateways up", 1.0),
        ("gateway: Groups", 2.0),
        ("gateway: Groups whose latest push was refused", 0.0),
    ] {
        let query = queries.iter().find(|query| query.title == title).unwrap_or_else(|| panic!("no {title}"));
        ask_until(title, || match prometheus.value(&query.expression)? {
            seen if seen == value => Ok(()),
            seen => Err(format!("{} is {seen} instead of {value}", query.expression)),
        });
    }
}

#[test]
fn panels_are_in_order() {
    let mut of_dashboards = BTreeSet::new();
    for dashboard in &Dashboard::all() {
        let uid = text(&dashboard.content["uid"]).to_owned();
        assert!(of_dashboards.insert(uid), "{} has the uid of another", dashboard.name);
        let (mut ids, mut titles, mut taken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for panel in dashboard.panels() {
            let title = text(&panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has the id of another");
            assert!(titles.insert(title), "two panels are called {title}");
            let number = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            let (x, y) = (number("x"), number("y"));
            assert!(x + number("w") <= 24, "{title} is outside of the grid");
            for place in (x..x + number("w")).flat_map(|x| (y..y + number("h")).map(move |y| (x, y))) {
                assert!(taken.insert(place), "{title} lies over another at {place:?}");
            }
            if panel["type"] == "row" {
                continue;
            }
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            }
            assert_overrides_match(panel);
        }
    }
}

/// Checks that overrides, such as the unit, use the final names of columns.
fn assert_overrides_match(panel: &Value) {
    let renamed = panel["transformations"].as_array().into_iter().flatten();
    let names: BTreeSet<&str> = renamed
        .flat_map(|one| one["options"]["renameByName"].as_object().into_iter().flatten())
        .map(|(_, name)| text(name))
        .collect();
    for wanted in panel["fieldConfig"]["overrides"].as_array().unwrap() {
        let column = text(&wanted["matcher"]["options"]);
        assert!(names.contains(column), "{} has no column {column}", panel["title"]);
    }
}

/// An example for Docker Compose.
fn example(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The examples name existing files and services, and have a valid configuration of Prometheus.
#[test]
fn the_examples_of_compose_are_whole() {
    for (name, services) in [
        ("docker-compose.yml", &["grafana", "prometheus", "tallygate"][..]),
        (
            "docker-compose.replicas.yml",
            &["balancer", "postgres", "prometheus", "tallygate-1", "tallygate-2", "tallygate-3"],
        ),
    ] {
        let compose = example(name);
        let found: BTreeSet<_> =
            compose["services"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, services.iter().copied().collect(), "{name}");
        assert_files_exist(name, &compose);
        assert_prometheus_is_valid(&compose["configs"]["prometheus"]["content"], services);
    }
}

/// Checks that volumes and configurations that the services use are there, and that there are no others.
fn assert_files_exist(name: &str, compose: &Value) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut volumes, mut configs) = (BTreeSet::new(), BTreeSet::new());
    for (service, described) in compose["services"].as_object().unwrap() {
        for volume in described["volumes"].as_array().into_iter().flatten() {
            let (source, _) = text(volume).split_once(':').unwrap();
            if source.starts_with('.') {
                assert!(root.join("examples").join(source).exists(), "{service} of {name} needs {source}");
            } else {
                volumes.insert(source);
            }
        }
        for config in described["configs"].as_array().into_iter().flatten() {
            configs.insert(text(&config["source"]));
        }
    }
    for (key, used) in [("volumes", volumes), ("configs", configs)] {
        let defined: BTreeSet<_> = compose[key].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(used, defined, "{key} of {name} that are used, and are there");
    }
}

/// Checks a configuration of Prometheus that scrapes one of these services.
fn assert_prometheus_is_valid(content: &Value, services: &[&str]) {
    let config: Value = serde_saphyr::from_str(text(content)).unwrap();
    let targets = config["scrape_configs"][0]["static_configs"][0]["targets"].as_array().unwrap();
    let [target] = targets.as_slice() else { panic!("not one target: {targets:?}") };
    let (service, port) = text(target).split_once(':').unwrap();
    assert!(services.contains(&service) && port == "9091", "{target}");

    let Some(promtool) = programs::promtool() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Directory::new();
    folder.write("alerts.yml", std::fs::read_to_string(root.join("config/alerts.yml")).unwrap());
    let config = folder.write("prometheus.yml", text(content));
    let check: &mut Command = &mut programs::command(promtool);
    programs::output_of(check.args(["check", "config", &config]));
}
