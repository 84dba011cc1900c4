//! Real clients push, replace and delete, and the totals are right: Python's `prometheus_client` and Node's
//! `prom-client` (text), Go's `client_golang` (protobuf), `prometheus-cpp`, and the programs in `examples/`.
//!
//! The drivers in `tests/clients/` are one short batch job each, and all do the same work: a run
//! of amount `n` counts `n` tasks as ok and one as failed, and observes `n` times 0.125 s, 0.5 s and
//! 2 s. A client that is not on this machine is skipped; see `tests/programs/mod.rs`.

mod recorded_clients;

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs;
use crate::support::{self, Directory, Gateway};

const RED: &[(&str, &str)] = &[("job", "nightly"), ("team", "red")];
const BLUE: &[(&str, &str)] = &[("job", "nightly"), ("team", "blue")];

#[test]
fn python_runs_add_up() {
    runs_add_up(Client::python());
}

#[test]
fn node_runs_add_up() {
    runs_add_up(Client::node());
}

#[test]
fn go_runs_add_up() {
    runs_add_up(Client::go());
}

fn runs_add_up(client: Option<Client>) {
    let Some(client) = client else { return };
    let gateway = Gateway::start(&[]);
    for amount in [1, 2, 4] {
        client.run("add", &gateway, "nightly", &[("team", "red")], amount);
    }
    // Another group has its own total.
    client.run("add", &gateway, "nightly", &[("team", "blue")], 8);
    assert_runs(&gateway, RED, &[1, 2, 4]);
    assert_runs(&gateway, BLUE, &[8]);
}

#[test]
fn compressed_runs_add_up() {
    for client in [Client::python(), Client::node()].into_iter().flatten() {
        let gateway = Gateway::start(&[]);
        client.run("add-gzip", &gateway, "nightly", &[], 3);
        client.run("add-gzip", &gateway, "nightly", &[], 5);
        assert_runs(&gateway, &[("job", "nightly")], &[3, 5]);
    }
}

#[test]
fn prom_client_pushes_without_a_job() {
    let Some(client) = Client::node() else { return };
    let gateway = Gateway::start_with_config("[push]\ndefault_job = \"browser\"\n", &[]);
    for (mode, amount) in [("add", 3), ("add-gzip", 2)] {
        client.run(mode, &gateway, "", &[], amount);
    }
    assert_runs(&gateway, &[("job", "browser")], &[3, 2]);
    client.run("replace", &gateway, "", &[], 4);
    assert_runs(&gateway, &[("job", "browser")], &[4]);
    client.run("delete", &gateway, "", &[], 0);
    assert_eq!(gateway.pushed(), "");
}

#[test]
fn clients_of_all_languages_add_to_the_same_series() {
    let gateway = Gateway::start(&[]);
    let mut amounts = Vec::new();
    for round in 0..2 {
        for (index, client) in Client::all().iter().enumerate() {
            let amount = 1 << (index + 3 * round);
            client.run("add", &gateway, "mixed", &[("path", "a/b")], amount);
            amounts.push(amount);
        }
    }
    if !amounts.is_empty() {
        assert_runs(&gateway, &[("job", "mixed"), ("path", "a/b")], &amounts);
    }
}

#[test]
fn replacing_drops_what_the_group_had_and_nothing_else() {
    for client in Client::all() {
        let gateway = Gateway::start(&[]);
        gateway.push("/metrics/job/nightly/team/red", "# TYPE old_total counter\nold_total 5\n");
        client.run("add", &gateway, "nightly", &[("team", "red")], 1);
        client.run("add", &gateway, "nightly", &[("team", "blue")], 8);

        client.run("replace", &gateway, "nightly", &[("team", "red")], 2);

        assert_runs(&gateway, RED, &[2]);
        assert_eq!(gateway.sample(&series("old_total", RED, &[])), None);
        assert_runs(&gateway, BLUE, &[8]);
    }
}

#[test]
fn deleting_drops_the_group_and_nothing_else() {
    for client in Client::all() {
        let gateway = Gateway::start(&[]);
        client.run("add", &gateway, "nightly", &[("team", "red")], 1);
        client.run("add", &gateway, "nightly", &[("team", "blue")], 8);
        client.run("add", &gateway, "nightly", &[], 16);

        client.run("delete", &gateway, "nightly", &[("team", "red")], 0);

        assert!(!gateway.scrape().contains(r#"team="red""#), "{}: {}", client.name, gateway.scrape());
        assert_runs(&gateway, BLUE, &[8]);
        assert_runs(&gateway, &[("job", "nightly")], &[16]);

        // The next run starts again from nothing.
        client.run("add", &gateway, "nightly", &[("team", "red")], 2);
        assert_runs(&gateway, RED, &[2]);
    }
}

/// Grouping values that each client writes into the URL in a way of its own.
const UNUSUAL_VALUES: [&str; 13] = [
    "",
    "/",
    "a/b",
    "/a//b/",
    "two words",
    "Zürich",
    "日本語",
    "quote \" backslash \\",
    "line\nfeed",
    "50%",
    "%2F",
    "a+b",
    "a?b#c&d=e;f@base64",
];

#[test]
fn unusual_grouping_values_arrive_as_they_are() {
    for client in Client::all() {
        let gateway = Gateway::start(&[]);
        // The Go client writes a space as `+`, which every Pushgateway keeps as a plus sign.
        let values: Vec<&str> = UNUSUAL_VALUES
            .into_iter()
            .filter(|value| client.name != "Go" || value.contains('/') || !value.contains(' '))
            .collect();
        for amount in [1, 2] {
            for value in &values {
                client.run("add", &gateway, "nightly", &[("place", value)], amount);
            }
        }
        for value in &values {
            assert_runs(&gateway, &[("job", "nightly"), ("place", value)], &[1, 2]);
        }
        assert_eq!(grouping_values(&gateway, "place"), sorted(&values), "{}", client.name);

        for value in &values {
            client.run("delete", &gateway, "nightly", &[("place", value)], 0);
        }
        assert_eq!(grouping_values(&gateway, "place"), [""; 0], "{}", client.name);
    }
}

#[test]
fn unusual_job_names_arrive_as_they_are() {
    // All but the empty one, because a job must have a name.
    let jobs = &UNUSUAL_VALUES[1..];
    for client in Client::all() {
        let gateway = Gateway::start(&[]);
        let jobs: Vec<&str> = jobs
            .iter()
            .copied()
            .filter(|job| client.name != "Go" || job.contains('/') || !job.contains(' '))
            .collect();
        for job in &jobs {
            client.run("add", &gateway, job, &[], 1);
        }
        assert_eq!(grouping_values(&gateway, "job"), sorted(&jobs), "{}", client.name);
    }
}

#[test]
fn a_slash_at_the_end_of_the_base_url_and_an_empty_value_lose_nothing() {
    for client in Client::all() {
        let gateway = Gateway::start(&[]);
        let url = gateway.url("/");
        let groupings = [("env", ""), ("team", "red")];
        for amount in [1, 2] {
            client.run_at(&url, "add", "nightly", &groupings, amount);
        }
        assert_eq!(sum_over(&gateway, "tasks_total{", "nightly"), 5.0, "{}", client.name);
        assert_eq!(grouping_values(&gateway, "team"), ["red"], "{}", client.name);
        client.run_at(&url, "replace", "nightly", &groupings, 4);
        assert_eq!(sum_over(&gateway, "tasks_total{", "nightly"), 5.0, "{}", client.name);
        client.run_at(&url, "delete", "nightly", &groupings, 0);
        assert_eq!(gateway.pushed(), "", "{}", client.name);
    }
}

#[test]
fn prometheus_cpp_loses_nothing() {
    let folder = Directory::new();
    let source = Path::new("tests/clients/push.cc");
    let Some(program) = programs::build_cpp(source, folder.path()) else { return };
    let gateway = Gateway::start(&[]);
    // The client joins its host and port arguments with a colon.
    let ports = [gateway.port().to_string(), format!("{}/", gateway.port()), format!("{}//", gateway.port())];
    let run = |mode: &str, port: &str, amount: &str, labels: &[&str]| {
        let mut command = programs::command(&program);
        command.args([mode, "http://127.0.0.1", port, "nightly", amount]).args(labels);
        programs::output_of(&mut command).trim().to_owned()
    };
    let labels = ["env", "", "place", "Zürich"];
    for port in &ports {
        assert_eq!(run("add", port, "3", &labels), "200");
    }
    assert_eq!(sum_over(&gateway, "tasks_total{", "nightly"), 9.0);
    assert_eq!(run("replace", &ports[1], "5", &labels), "200");
    assert_eq!(sum_over(&gateway, "tasks_total{", "nightly"), 5.0);
    assert_eq!(grouping_values(&gateway, "place"), ["Zürich"]);
    // It deletes the group without labels, whatever labels it pushes with.
    assert_eq!(run("add", &ports[1], "1", &[]), "200");
    assert_eq!(sum_over(&gateway, "tasks_total{", "nightly"), 6.0);
    assert_eq!(run("delete", &ports[1], "0", &labels), "202");
    assert_eq!(sum_over(&gateway, "tasks_total{", "nightly"), 5.0);
}

#[test]
fn python_info_and_enum_keep_the_latest_run() {
    let Some(client) = Client::python() else { return };
    let gateway = Gateway::start(&[]);
    for amount in [1, 3, 4] {
        client.run("add", &gateway, "nightly", &[], amount);
    }
    let value = |name, own| gateway.sample(&series(name, &[("job", "nightly")], &[own]));
    assert_eq!(value("job_build_info", ("version", "1.2")), Some(1.0));
    assert_eq!(value("job_state", ("job_state", "odd")), Some(0.0));
    assert_eq!(value("job_state", ("job_state", "even")), Some(1.0));
}

#[test]
fn node_summaries_have_the_quantiles_of_the_latest_run() {
    let Some(client) = Client::node() else { return };
    let gateway = Gateway::start(&[]);
    for amount in [1, 4] {
        client.run("add", &gateway, "nightly", &[], amount);
    }
    let median = series("task_bytes", &[("job", "nightly")], &[("quantile", "0.5")]);
    assert_eq!(gateway.sample(&median), Some(400.0));
}

#[test]
fn the_shell_example_adds() {
    if programs::curl().is_none() {
        return;
    }
    let gateway = Gateway::start(&[]);
    run_example_twice(&gateway, &mut example("sh", Path::new("examples/push.sh")));
    let value =
        |name, volume| gateway.sample(&series(name, &[("job", "nightly_backup")], &[("volume", volume)]));
    assert_eq!(value("backup_files_total", "home"), Some(2500.0));
    assert_eq!(value("backup_files_total", "mail"), Some(620.0));
    assert_eq!(value("backup_bytes_total", "home"), Some(104_857_600.0));
    assert_eq!(value("backup_last_size_bytes", "home"), Some(7_516_192_768.0));
}

#[test]
fn the_python_example_adds() {
    let Some(python) = programs::python() else { return };
    let gateway = Gateway::start(&[]);
    run_example_twice(&gateway, &mut example(&python, Path::new("examples/push.py")));
    assert_eq!(sum_over(&gateway, "orders_imported_total{", "import_orders"), 40.0);
    assert_eq!(sum_over(&gateway, "order_import_seconds_count{", "import_orders"), 40.0);
}

#[test]
fn the_node_example_adds() {
    let Some(modules) = programs::node_modules() else { return };
    let folder = Directory::new();
    let script = copy_beside_modules("examples/push.mjs", &modules, &folder);
    let gateway = Gateway::start(&[]);
    run_example_twice(&gateway, &mut example("node", &script));
    assert_eq!(sum_over(&gateway, "mails_sent_total{", "send_mail"), 40.0);
    assert_eq!(sum_over(&gateway, "mail_send_seconds_count{", "send_mail"), 40.0);
}

#[test]
fn the_go_example_adds() {
    let folder = Directory::new();
    let source = Path::new("examples/push.go");
    let Some(program) = programs::build_go(source, folder.path()) else { return };
    let gateway = Gateway::start(&[]);
    run_example_twice(&gateway, &mut programs::command(program));
    assert_eq!(sum_over(&gateway, "images_resized_total{", "resize_images"), 40.0);
    assert_eq!(sum_over(&gateway, "image_resize_seconds_count{", "resize_images"), 40.0);
}

#[test]
fn the_totals_of_many_parallel_jobs_are_what_they_pushed() {
    let Some(python) = programs::python() else { return };
    let gateway = Gateway::start(&[]);
    let mut demo = example(&python, Path::new("examples/many_jobs.py"));
    demo.args(["--jobs", "24", "--parallel", "8"]).env("GATEWAY", gateway.url(""));
    // The script fails if a total is wrong.
    programs::output_of(&mut demo);
    // A second run takes the existing totals into account.
    let report = programs::output_of(&mut demo);
    assert!(report.contains("all totals are what was pushed"), "{report}");
}

/// A client library, as a program that is one short batch job.
struct Client {
    name: &'static str,
    program: PathBuf,
    script: Option<PathBuf>,
    _folder: Directory,
}

impl Client {
    /// The clients that are installed on this machine.
    fn all() -> Vec<Client> {
        [Client::python(), Client::node(), Client::go()].into_iter().flatten().collect()
    }

    fn python() -> Option<Client> {
        let program = programs::python()?;
        let script = Some("tests/clients/push.py".into());
        Some(Client { name: "Python", program, script, _folder: Directory::new() })
    }

    fn node() -> Option<Client> {
        let modules = programs::node_modules()?;
        let folder = Directory::new();
        let script = Some(copy_beside_modules("tests/clients/push.mjs", &modules, &folder));
        Some(Client { name: "Node", program: "node".into(), script, _folder: folder })
    }

    fn go() -> Option<Client> {
        let folder = Directory::new();
        let program = programs::build_go(Path::new("tests/clients/push.go"), folder.path())?;
        Some(Client { name: "Go", program, script: None, _folder: folder })
    }

    /// Runs the batch job to its end. The client must accept the answer.
    #[track_caller]
    fn run(&self, mode: &str, gateway: &Gateway, job: &str, groupings: &[(&str, &str)], amount: u32) {
        self.run_at(&gateway.url(""), mode, job, groupings, amount);
    }

    /// The same with this base URL.
    #[track_caller]
    fn run_at(&self, url: &str, mode: &str, job: &str, groupings: &[(&str, &str)], amount: u32) {
        let groupings: BTreeMap<_, _> = groupings.iter().copied().collect();
        let mut command = programs::command(&self.program);
        command.args(&self.script).args([mode, url, job]);
        command.arg(serde_json::to_string(&groupings).unwrap()).arg(amount.to_string());
        programs::output_of(&mut command);
    }
}

/// Checks that the group with these labels shows the sum over runs of these amounts, and the gauge of the last run.
#[track_caller]
fn assert_runs(gateway: &Gateway, group: &[(&str, &str)], amounts: &[u32]) {
    let total = f64::from(amounts.iter().sum::<u32>());
    let runs = amounts.len() as f64;
    let latest = f64::from(amounts[amounts.len() - 1]);
    let expected = [
        (series("tasks_total", group, &[("result", "ok")]), total),
        (series("tasks_total", group, &[("result", "failed")]), runs),
        (series("last_amount", group, &[]), latest),
        (series("task_seconds_bucket", group, &[("le", "0.25")]), total),
        (series("task_seconds_bucket", group, &[("le", "1")]), total + runs),
        (series("task_seconds_bucket", group, &[("le", "+Inf")]), total + 2.0 * runs),
        (series("task_seconds_sum", group, &[]), 0.125 * total + 2.5 * runs),
        (series("task_seconds_count", group, &[]), total + 2.0 * runs),
        (series("task_bytes_sum", group, &[]), 100.0 * total),
        (series("task_bytes_count", group, &[]), runs),
    ];
    let exposition = gateway.scrape();
    for (series, value) in expected {
        assert_eq!(support::sample(&exposition, &series), Some(value), "{series} in\n{exposition}");
    }
}

/// A series as `/metrics` writes it: labels in order, `le` and `quantile` last.
fn series(name: &str, group: &[(&str, &str)], own: &[(&str, &str)]) -> String {
    let mut labels = [&[("instance", "")], group, own].concat();
    labels.sort_by_key(|&(name, _)| (matches!(name, "le" | "quantile"), name));
    let labels: Vec<String> = labels
        .into_iter()
        .filter(|&(name, value)| name == "instance" || !value.is_empty())
        .map(|(name, value)| {
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    format!("{name}{{{}}}", labels.join(","))
}

/// The values of a grouping label, one for each group, in order. Empty for a group without it.
fn grouping_values(gateway: &Gateway, label: &str) -> Vec<String> {
    let answer = gateway.api();
    let groups = answer["data"].as_array().expect("a list of groups");
    let mut values: Vec<String> =
        groups.iter().map(|group| group["labels"][label].as_str().unwrap_or_default().to_owned()).collect();
    values.sort_unstable();
    values
}

fn sorted(values: &[&str]) -> Vec<String> {
    let mut values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
    values.sort_unstable();
    values
}

/// The sum of a job's series that begin with this text.
fn sum_over(gateway: &Gateway, start: &str, job: &str) -> f64 {
    let job = format!(r#"job="{job}""#);
    let exposition = gateway.scrape();
    let series = exposition.lines().filter(|line| line.starts_with(start) && line.contains(&job));
    series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

fn example(program: impl AsRef<std::ffi::OsStr>, script: &Path) -> Command {
    let mut command = programs::command(program);
    command.arg(script);
    command
}

#[track_caller]
fn run_example_twice(gateway: &Gateway, command: &mut Command) {
    command.env("GATEWAY", gateway.url(""));
    programs::output_of(command);
    programs::output_of(command);
}

/// Node searches packages beside the script, so the script is copied to where they are.
fn copy_beside_modules(script: &str, modules: &Path, folder: &Directory) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let copy = folder.path().join(source.file_name().unwrap());
    std::fs::copy(&source, &copy).unwrap();
    symlink(modules, folder.path().join("node_modules")).unwrap();
    copy
}
