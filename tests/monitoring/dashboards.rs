//! Runs the queries of the dashboards in `config/dashboards` on a real Prometheus that scrapes a busy gateway. Also
//! checks the example that shows them.
//!
//! `.ci/schemas` checks their form. Tests that need a Prometheus are skipped if there is none; see
//! `tests/programs/mod.rs`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::programs::{self, ask_until};
use crate::scraper::{self, Prometheus};
use crate::support::{self, Directory, Gateway};

/// The values that Grafana substitutes, for a scrape every second.
const GIVEN: [(&str, &str); 2] = [("$__rate_interval", "10s"), ("$__range", "1m")];

/// A dashboard, with the name of its file.
struct Dashboard {
    name: String,
    content: Value,
}

/// A query of a panel or a variable.
struct Query {
    title: String,
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
        let mut queries = Vec::new();
        for panel in self.panels() {
            let title = format!("{}: {}", self.name, text(&panel["title"]));
            let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
            let is_column = panel["type"] == "table" && targets.len() > 1;
            for target in targets {
                let expression = self.filled(text(&target["expr"]));
                queries.push(Query { title: title.clone(), expression, is_column });
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
            queries.push(Query { title, expression, is_column: false });
        }
        queries
    }

    /// An expression with the values of all its variables.
    fn filled(&self, expression: &str) -> String {
        let mut filled = expression.to_owned();
        for (name, value) in GIVEN {
            filled = filled.replace(name, value);
        }
        for variable in self.variables().filter(|variable| variable["type"] == "query") {
            let name = format!("${}", text(&variable["name"]));
            filled = filled.replace(&name, text(&variable["allValue"]));
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

#[test]
fn every_query_has_a_result() {
    let Some(program) = programs::prometheus() else { return };
    let folder = Directory::new();
    let gateway = Gateway::start(&[&format!("--persistence.file={}", folder.path_of("metrics"))]);
    let prometheus = Prometheus::start(&program, &gateway);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = SetOnDrop(&stop);
        scope.spawn(|| {
            let rounds = (0..).take_while(|_| !stop.load(Ordering::Relaxed));
            rounds.for_each(|round| keep_busy(&gateway, round));
        });
        for dashboard in Dashboard::all() {
            for query in dashboard.queries() {
                let result = ask_until(&query.title, || query.result(&prometheus));
                let has_name = result[0]["metric"].get("__name__").is_some();
                assert!(!(query.is_column && has_name), "the name of the series parts the rows: {result}");
            }
        }
        for (question, query) in table_of_manual("Queries") {
            let query =
                Query { title: question, expression: first_code(&query).to_owned(), is_column: false };
            ask_until(&query.title, || query.result(&prometheus));
        }
    });
}

/// The first two columns of the first table below a heading of the manual.
fn table_of_manual(heading: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring.md");
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
    let manual = table_of_manual("Alerts").into_iter();
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

/// The example with Prometheus and Grafana names existing files and a valid Prometheus configuration.
#[test]
fn the_example_of_compose_is_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read_to_string(root.join("examples/docker-compose.yml")).unwrap();
    let compose: Value = serde_saphyr::from_str(&file).unwrap();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(
        services.keys().collect::<BTreeSet<_>>(),
        BTreeSet::from([&"grafana".to_owned(), &"prometheus".to_owned(), &"tallygate".to_owned()])
    );
    let configs = compose["configs"].as_object().unwrap();
    let mut seen = BTreeSet::new();
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let (source, _) = text(volume).split_once(':').unwrap();
            let is_there = match source.strip_prefix('.') {
                Some(_) => root.join("examples").join(source).exists(),
                None => compose["volumes"].as_object().unwrap().contains_key(source),
            };
            assert!(is_there, "{name} needs {source}");
        }
        for config in service["configs"].as_array().into_iter().flatten() {
            seen.insert(text(&config["source"]));
        }
    }
    assert_eq!(
        seen,
        configs.keys().map(String::as_str).collect(),
        "configurations that are used, and are there"
    );

    let Some(promtool) = programs::promtool() else { return };
    let folder = Directory::new();
    folder.write("alerts.yml", std::fs::read_to_string(root.join("config/alerts.yml")).unwrap());
    let config = folder.write("prometheus.yml", text(&configs["prometheus"]["content"]));
    let check: &mut Command = &mut programs::command(promtool);
    programs::output_of(check.args(["check", "config", &config]));
}
