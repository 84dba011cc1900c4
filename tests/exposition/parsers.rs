//! Parses scrapes with the parsers of the official Python client, for the text format and for OpenMetrics. The
//! second one is strict. Whatever was pushed, both read the same.
//!
//! Skipped if there is no Python client; see `tests/programs/mod.rs`.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Map, Value};

use crate::programs;
use crate::support::Gateway;
use crate::support::formats::{OPENMETRICS, PROTOBUF, TEXT, push, scrape};
use crate::support::protobuf::{HISTOGRAM, Histogram, Native};

/// The result of the Python client.
struct Parsed {
    samples: Map<String, Value>,
    types: Map<String, Value>,
    exemplars: Map<String, Value>,
}

fn parsed(python: &Path, format: &str, exposition: &str) -> Parsed {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/parse.py");
    let mut command = programs::command(python);
    command.arg(script).arg(format).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(exposition.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{format}: {}\n{exposition}", programs::text_of(&output));
    let Value::Object(mut parsed) = serde_json::from_slice(&output.stdout).unwrap() else { panic!() };
    let mut take = |key: &str| match parsed.remove(key) {
        Some(Value::Object(map)) => map,
        other => panic!("{other:?}"),
    };
    Parsed { samples: take("samples"), types: take("types"), exemplars: take("exemplars") }
}

/// The pushed samples, which must be the same in both formats. The gateway's own metrics change between scrapes.
fn pushed(samples: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let is_own =
        |name: &str| ["process_", "tallygate_", "pushgateway_"].iter().any(|own| name.starts_with(own));
    samples.iter().filter(|(name, _)| !is_own(name)).collect()
}

/// Checks that both parsers read the same. `renamed` are samples with another name in OpenMetrics.
fn check(python: &Path, gateway: &Gateway, renamed: &[(&str, &str)]) -> Parsed {
    let text = parsed(python, "text", &scrape(gateway, TEXT).text());
    let openmetrics = parsed(python, "openmetrics", &scrape(gateway, OPENMETRICS).text());
    let mut expected = Map::new();
    for (name, value) in pushed(&text.samples) {
        let new = renamed.iter().find_map(|(old, new)| Some(format!("{new}{}", name.strip_prefix(old)?)));
        expected.insert(new.unwrap_or_else(|| name.clone()), value.clone());
    }
    for (name, value) in pushed(&openmetrics.samples) {
        assert_eq!(expected.remove(name).as_ref(), Some(value), "{name}");
    }
    assert_eq!(expected, Map::new(), "not in OpenMetrics");
    openmetrics
}

/// Names and values that are hard to write.
const ODD: &str = "# HELP odd_help a \\\\ b \\n \"c\"\n# TYPE odd_help gauge\nodd_help{l=\"\\\\ \\n \\\"\"} NaN\n\
    odd_help{l=\"ü 😊\"} +Inf\nodd_help{l=\"\"} -1.5e-300\nodd_untyped 1e300\n# TYPE odd_counter counter\nodd_counter 3\n\
    # TYPE odd gauge\nodd 1\n# TYPE odd_total counter\nodd_total{x=\"1\"} 2\n\
    # TYPE taken histogram\ntaken_bucket{le=\"1\"} 1\ntaken_sum 1\ntaken_count 1\n\
    # TYPE taken_count_total counter\ntaken_count_total 4\n# TYPE build gauge\nbuild 1\n";

#[test]
fn both_parsers_read_the_same() {
    let Some(python) = programs::python() else { return };
    let gateway = Gateway::start(&[]);
    push(&gateway, "/metrics/job/a", TEXT, ODD);
    let body = "# TYPE build info\nbuild_info{v=\"1\"} 1\n# TYPE run_state stateset\nrun_state{run_state=\"on\",of=\"b\"} 1\n\
        run_state{run_state=\"off\",of=\"b\"} 0\nrun_state{run_state=\"on\",of=\"c\"} 0\nrun_state{run_state=\"off\",of=\"c\"} 1\n\
        # TYPE ages gaugehistogram\nages_bucket{le=\"1\"} 2\nages_bucket{le=\"+Inf\"} 3 # {id=\"1\"} 7.0 9.5\nages_gcount 3\nages_gsum 11\n\
        # TYPE done counter\ndone_total 1 # {id=\"2\"} 0.5 1520879607.789\n\
        # TYPE lat_seconds histogram\n# UNIT lat_seconds seconds\nlat_seconds_bucket{le=\"1\"} 1 # {id=\"3\"} 0.5 1.25\n\
        lat_seconds_bucket{le=\"+Inf\"} 2\nlat_seconds_sum 3\nlat_seconds_count 2\n\
        # TYPE size summary\nsize{quantile=\"0.99\"} 4\nsize{quantile=\"1\"} 5\nsize_sum 6\nsize_count 7\n# EOF\n";
    for path in ["/metrics/job/a", "/metrics/job/b/instance/i"] {
        push(&gateway, path, OPENMETRICS, body);
    }
    // With other bounds.
    let body = "# TYPE lat_seconds histogram\nlat_seconds_bucket{le=\"0.25\"} 1\nlat_seconds_bucket{le=\"+Inf\"} 1\nlat_seconds_sum 0\nlat_seconds_count 1\n";
    push(&gateway, "/metrics/job/a", TEXT, body);
    let native = Native { schema: 3, zero_count: 1.0, positive: vec![(4, 2.0)], ..Native::default() };
    push(&gateway, "/metrics/job/a", PROTOBUF, Histogram::native(1.0, native).body(HISTOGRAM));
    gateway.refused("/metrics/job/refused", "done_total -1\n");

    // The parser of the text format adds the suffix to every counter.
    let renamed =
        [("ages_sum", "ages_gsum"), ("ages_count", "ages_gcount"), ("odd_counter_total", "odd_counter")];
    let openmetrics = check(&python, &gateway, &renamed);
    for (family, kind) in [
        ("done", "counter"),
        ("odd_total", "unknown"),
        ("odd", "gauge"),
        ("odd_counter", "unknown"),
        ("odd_untyped", "unknown"),
        ("taken_count_total", "unknown"),
        ("build", "gauge"),
        ("build_info", "gauge"),
        ("run_state", "stateset"),
        ("ages", "gaugehistogram"),
        ("lat_seconds", "histogram"),
        ("h", "histogram"),
        ("size", "summary"),
        ("push_time_seconds", "gauge"),
        ("tallygate_pushes", "counter"),
        ("pushgateway_http_requests", "counter"),
    ] {
        assert_eq!(openmetrics.types.get(family).map(|kind| kind.as_str().unwrap()), Some(kind), "{family}");
    }
    let exemplar = |sample: &str| openmetrics.exemplars.get(sample).map(Value::to_string);
    assert_eq!(
        exemplar(r#"done_total{"instance": "", "job": "a"}"#).as_deref(),
        Some(r#"[{"id":"2"},0.5,"1520879607.789000000"]"#)
    );
    assert_eq!(openmetrics.exemplars.len(), 6, "{:?}", openmetrics.exemplars);
}

/// Everything that the Python client pushes, with aggregation and without. Without it, its start times are series,
/// for which only OpenMetrics has another place.
#[test]
fn what_the_python_client_pushes_is_read_back() {
    let Some(python) = programs::python() else { return };
    for flags in [&[][..], &["--no-push.aggregate"]] {
        let gateway = Gateway::start_with_config("[exposition]\nstock_formats = false\n", flags);
        for (job, amount) in [("a", "3"), ("a", "4"), ("b", "5")] {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/push.py");
            let mut command = programs::command(&python);
            let arguments = ["add", &gateway.url(""), job, "{}", amount];
            programs::output_of(command.arg(script).args(arguments));
        }
        let openmetrics = check(&python, &gateway, &[]);
        assert_eq!(openmetrics.types["tasks"], "counter", "{flags:?}");
        assert_eq!(openmetrics.types["task_seconds"], "histogram", "{flags:?}");
        assert!(!openmetrics.types.contains_key("tasks_created"));
        let has_created = openmetrics.samples.keys().any(|name| name.starts_with("tasks_created{"));
        assert_eq!(has_created, !flags.is_empty());
    }
}
