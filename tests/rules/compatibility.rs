//! Requests as the users of gravel-gateway and prom-aggregation-gateway send them.

use std::io::Write as _;
use std::process::Stdio;

use crate::programs;
use crate::support::{Directory, Gateway, assert_valid_exposition};

const CLEARMODE: &str = "[push]\nclearmode = true\n";
const DEFAULT_JOB: &str = "[push]\ndefault_job = \"browser\"\n";

fn gateway(config: &str) -> Gateway {
    Gateway::start_with_config(config, &[])
}

/// Pipes a body to curl as shell users do. Returns the status and the answer.
fn piped_to_curl(body: &str, url: &str) -> Option<String> {
    let curl = programs::curl()?;
    let mut command = programs::command(curl);
    command.args(["-sS", "-w", "%{http_code}", "--data-binary", "@-", url]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    Some(String::from_utf8(process.wait_with_output().unwrap().stdout).unwrap())
}

#[test]
fn gravel_s_example() {
    let gateway = gateway("[push]\nclearmode = true\ndefault_job = \"gravel\"\n");
    for (counted, version) in [(1, "0.0.1"), (3, "0.0.2")] {
        let body = format!(
            "# TYPE value_total counter\nvalue_total {counted}\n# TYPE value2 gauge\nvalue2{{clearmode=\"aggregate\"}} 1\n\
             # TYPE version gauge\nversion{{version=\"{version}\",clearmode=\"family\"}} 1\n"
        );
        let Some(answer) = piped_to_curl(&body, &gateway.url("/metrics")) else { return };
        assert_eq!(answer, "200");
    }
    assert_eq!(
        gateway.pushed(),
        "# TYPE value2 gauge\nvalue2{instance=\"\",job=\"gravel\"} 2\n\
         # TYPE value_total counter\nvalue_total{instance=\"\",job=\"gravel\"} 4\n\
         # TYPE version gauge\nversion{instance=\"\",job=\"gravel\",version=\"0.0.2\"} 1\n"
    );
}

#[test]
fn the_label_clearmode_says_how_values_are_merged() {
    let gateway = gateway(CLEARMODE);
    for value in [5, 3, 7] {
        let mut body = String::new();
        for mode in ["aggregate", "sum", "replace", "family", "info", ""] {
            body += &format!("# TYPE g_{mode} gauge\ng_{mode}{{clearmode=\"{mode}\"}} {value}\n");
            body += &format!("u_{mode}{{clearmode=\"{mode}\"}} {value}\n");
            body += &format!("u_{mode}_total{{a=\"1\",clearmode=\"{mode}\",b=\"2\"}} {value}\n");
        }
        gateway.push("/metrics/job/faas/function/f", &body);
    }
    let shown = gateway.scrape();
    assert!(!shown.contains("clearmode="), "{shown}");
    let sample = |name: &str, own: (&str, &str)| {
        let (first, second) = own;
        gateway.sample(&format!("{name}{{{first}function=\"f\",instance=\"\",job=\"faas\"{second}}}"))
    };
    for (mode, gauge, untyped, total) in [
        ("aggregate", 15.0, 15.0, 15.0),
        ("sum", 15.0, 15.0, 15.0),
        ("replace", 7.0, 7.0, 7.0),
        ("family", 7.0, 7.0, 7.0),
        ("info", 7.0, 7.0, 7.0),
        ("", 7.0, 7.0, 15.0),
    ] {
        assert_eq!(sample(&format!("g_{mode}"), ("", "")), Some(gauge), "g_{mode}");
        assert_eq!(sample(&format!("u_{mode}"), ("", "")), Some(untyped), "u_{mode}");
        assert_eq!(
            sample(&format!("u_{mode}_total"), ("a=\"1\",b=\"2\",", "")),
            Some(total),
            "u_{mode}_total"
        );
    }
}

#[test]
fn counters_that_are_replaced_are_running_totals() {
    let gateway = gateway(CLEARMODE);
    let mut seen = 0.0;
    // The sender is restarted after the second push.
    for (value, expected) in [(3.0, 3.0), (5.0, 5.0), (2.0, 7.0), (2.0, 7.0)] {
        let body = format!(
            "# TYPE c_total counter\nc_total{{clearmode=\"replace\"}} {value}\n\
             # TYPE h histogram\nh_bucket{{clearmode=\"replace\",le=\"1\"}} 0\n\
             h_bucket{{clearmode=\"replace\",le=\"+Inf\"}} {value}\nh_sum{{clearmode=\"replace\"}} {value}\n\
             h_count{{clearmode=\"replace\"}} {value}\n"
        );
        gateway.push("/metrics/job/a", &body);
        let counted = gateway.sample("c_total{instance=\"\",job=\"a\"}").unwrap();
        assert!(counted >= seen, "{counted} after {seen}");
        seen = counted;
        assert_eq!(counted, expected);
        assert_eq!(gateway.sample("h_count{instance=\"\",job=\"a\"}"), Some(expected));
    }
}

#[test]
fn a_family_is_replaced_in_its_group_only() {
    let file = Directory::new();
    let file = format!("--persistence.file={}", file.path_of("metrics.db"));
    let mut gateway = Gateway::start_with_config(CLEARMODE, &[&file]);
    // As autometrics pushes it.
    let build_info = |version: &str| {
        format!(
            "# HELP build_info Autometrics info metric\n# TYPE build_info gauge\n\
             build_info{{branch=\"main\",version=\"{version}\",clearmode=\"family\"}} 1\n\
             build_info{{branch=\"next\",version=\"{version}\",clearmode=\"family\"}} 1\nother 1\n"
        )
    };
    for (job, version) in [("a", "1"), ("b", "1"), ("a", "2")] {
        gateway.push(&format!("/metrics/job/{job}"), &build_info(version));
    }
    let lines = "# TYPE build_info gauge\n\
        build_info{branch=\"main\",instance=\"\",job=\"a\",version=\"2\"} 1\n\
        build_info{branch=\"main\",instance=\"\",job=\"b\",version=\"1\"} 1\n\
        build_info{branch=\"next\",instance=\"\",job=\"a\",version=\"2\"} 1\n\
        build_info{branch=\"next\",instance=\"\",job=\"b\",version=\"1\"} 1\n\
        # TYPE other untyped\nother{instance=\"\",job=\"a\"} 1\nother{instance=\"\",job=\"b\"} 1\n";
    assert_eq!(gateway.pushed(), lines);
    gateway.kill();
    gateway = Gateway::start_with_config(CLEARMODE, &[&file]);
    assert_eq!(gateway.pushed(), lines);
    // A part of the series takes the place of all, too.
    gateway
        .push("/metrics/job/b", "# TYPE build_info gauge\nbuild_info{version=\"3\",clearmode=\"info\"} 1\n");
    assert_eq!(gateway.pushed().matches("job=\"b\",version").count(), 1, "{}", gateway.pushed());
}

#[test]
fn modes_that_the_gateway_does_not_have_are_refused() {
    let gateway = gateway(CLEARMODE);
    for (body, message) in [
        (
            "ok 1\ng{clearmode=\"mean5m\"} 1\n",
            "a series of metric family g has the label clearmode=\"mean5m\", but the gateway merges nothing over a \
             time: let a rule observe the metric as a histogram, or push it with clearmode=\"aggregate\" and ask \
             Prometheus for its increase over that time (line 2, column 1)",
        ),
        ("g{clearmode=\"sum1h\"} 1\n", "clearmode=\"sum1h\", but the gateway merges nothing over a time"),
        (
            "g{clearmode=\"median\"} 1\n",
            "has the label clearmode=\"median\", which says nothing: expected aggregate, sum, replace, family or info",
        ),
        ("g{clearmode=\"summary\"} 1\n", "which says nothing"),
        (
            "# TYPE g gauge\ng{a=\"1\",clearmode=\"replace\"} 1\ng{a=\"2\",clearmode=\"aggregate\"} 1\n",
            "series of metric family g have the labels clearmode=\"replace\" and clearmode=\"aggregate\": give all \
             series of a metric the same (line 3, column 1)",
        ),
        ("g{clearmode=\"replace\"} 1\ng{a=\"2\"} 1\n", "clearmode=\"replace\" and clearmode=\"\""),
        (
            "g{clearmode=\"replace\"} 1\ng{clearmode=\"replace\"} 1\n",
            "was collected before with the same name",
        ),
    ] {
        let answer = gateway.refused("/metrics/job/a", body);
        assert!(answer.contains(message), "{answer}");
    }
    let openmetrics = "# TYPE build info\nbuild_info{clearmode=\"aggregate\"} 1\n# EOF\n";
    let headers = [("Content-Type", "application/openmetrics-text; version=1.0.0")];
    let answer = gateway.request("POST", "/metrics/job/a", &headers, openmetrics.as_bytes());
    assert_eq!(answer.status, 400);
    let message = "clearmode=\"aggregate\", but values of its type can't be added: use replace or family";
    assert!(answer.text().contains(message), "{}", answer.text());
    assert_eq!(gateway.pushed(), "");
}

#[test]
fn a_rule_counts_more_than_the_label() {
    let gateway = gateway(&format!(
        "{CLEARMODE}{}",
        r#"
[[metrics]]
match = 'highest'
merge = "greatest"
[[metrics]]
match = 'c_total'
temporality = "delta"
[[metrics]]
match = 'seconds'
observe = { buckets = [1] }
[[metrics]]
match = '{__name__=~"added|.*info"}'
relabel = [{ action = "labeldrop", regex = "pid" }]
"#
    ));
    for value in [4, 2] {
        let body = format!(
            "highest{{clearmode=\"aggregate\"}} {value}\n# TYPE c_total counter\nc_total{{clearmode=\"replace\"}} {value}\n\
             seconds{{clearmode=\"replace\"}} {value}\nadded{{pid=\"1\",clearmode=\"aggregate\"}} {value}\n\
             added{{pid=\"2\",clearmode=\"aggregate\"}} {value}\n\
             info{{pid=\"1\",v=\"{value}\",clearmode=\"family\"}} 1\ninfo{{pid=\"2\",v=\"{value}\",clearmode=\"family\"}} 1\n\
             info{{pid=\"2\",v=\"x\",clearmode=\"family\"}} 1\n"
        );
        gateway.push("/metrics/job/a", &body);
    }
    assert_eq!(
        gateway.pushed(),
        "# TYPE added untyped\nadded{instance=\"\",job=\"a\"} 12\n\
         # TYPE c_total counter\nc_total{instance=\"\",job=\"a\"} 6\n\
         # TYPE highest untyped\nhighest{instance=\"\",job=\"a\"} 4\n\
         # TYPE info untyped\ninfo{instance=\"\",job=\"a\",v=\"2\"} 1\ninfo{instance=\"\",job=\"a\",v=\"x\"} 1\n\
         # TYPE seconds histogram\nseconds_bucket{instance=\"\",job=\"a\",le=\"1\"} 0\n\
         seconds_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 2\nseconds_sum{instance=\"\",job=\"a\"} 6\n\
         seconds_count{instance=\"\",job=\"a\"} 2\n"
    );
    // Relabelling can't bring together what is merged in different ways.
    let rules = format!(
        "{CLEARMODE}[[metrics]]\nmatch = '{{__name__=~\"a|b\"}}'\n\
         relabel = [{{ target_label = \"__name__\", replacement = \"ab\" }}]\n"
    );
    let gateway = self::gateway(&rules);
    let answer =
        gateway.refused("/metrics/job/a", "a{clearmode=\"aggregate\"} 1\nb{clearmode=\"replace\"} 1\n");
    assert!(answer.contains("merge in different ways"), "{answer}");
}

#[test]
fn the_label_is_one_as_any_other_by_default() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", "g{clearmode=\"mean5m\"} 1\n");
    assert_eq!(gateway.sample("g{clearmode=\"mean5m\",instance=\"\",job=\"a\"}"), Some(1.0));
    // With stock behaviour, it is taken off and nothing adds.
    let config = format!("[aggregation]\nenabled = false\n{CLEARMODE}");
    let stock = self::gateway(&config);
    for value in [1, 2] {
        stock.push("/metrics/job/a", &format!("g{{clearmode=\"aggregate\"}} {value}\n"));
    }
    assert_eq!(stock.pushed(), "# TYPE g untyped\ng{instance=\"\",job=\"a\"} 2\n");
}

#[test]
fn paths_of_prom_aggregation_gateway() {
    let gateway = gateway(DEFAULT_JOB);
    // Its README.
    let body = "http_requests_total{method=\"post\",code=\"200\"} 1027\n";
    let Some(answer) = piped_to_curl(body, &gateway.url("/metrics/")) else { return };
    assert_eq!(answer, "200");
    let body = format!("\n{body}http_errors_total{{method=\"post\",code=\"500\"}} 6\n");
    let url = gateway.url("/metrics/domain/sometest.com/instance/nginx-1");
    assert_eq!(piped_to_curl(&body, &url).unwrap(), "200");
    // Its benchmark: spaces before lines, no line feed at the end, and a content type that is not so.
    let payload = "\n  # TYPE some_metric counter\n  some_metric{label=\"val1\"} 5\n  # TYPE another_metric gauge\n  \
        # HELP another_metric Just an example.\n  another_metric 1000\n  \
        k6_http_requests_total{method=\"post\",code=\"200\"} 3000\n  ";
    let headers = [("Content-Type", "application/json")];
    for path in ["/metrics/job/job1/foo/qux", "/metrics/", "/metrics", "/metrics/foo/qux/job/job2/"] {
        for _ in 0..2 {
            let answer = gateway.request("POST", path, &headers, payload.as_bytes());
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        }
    }
    for (series, value) in [
        ("http_requests_total{code=\"200\",instance=\"\",job=\"browser\",method=\"post\"}", 1027.0),
        (
            "http_errors_total{code=\"500\",domain=\"sometest.com\",instance=\"nginx-1\",job=\"browser\",method=\"post\"}",
            6.0,
        ),
        ("some_metric{instance=\"\",job=\"browser\",label=\"val1\"}", 20.0),
        ("some_metric{foo=\"qux\",instance=\"\",job=\"job1\",label=\"val1\"}", 10.0),
        ("some_metric{foo=\"qux\",instance=\"\",job=\"job2\",label=\"val1\"}", 10.0),
    ] {
        assert_eq!(gateway.sample(series), Some(value), "{series}");
    }
    // PUT replaces, as on any path.
    assert_eq!(gateway.put("/metrics", "# TYPE some_metric counter\nsome_metric 1\n").status, 200);
    assert_eq!(gateway.sample("some_metric{instance=\"\",job=\"browser\"}"), Some(1.0));
    assert_eq!(gateway.sample("another_metric{instance=\"\",job=\"browser\"}"), None);
    // The group is the one of its job, for scrapes, the API, deletions and every other path.
    let groups = gateway.api();
    let labels: Vec<_> =
        groups["data"].as_array().unwrap().iter().map(|group| &group["labels"]["job"]).collect();
    assert_eq!(labels, ["browser", "job1", "job2", "browser"], "{groups}");
    gateway.push("/metrics/job/browser", "# TYPE some_metric counter\nsome_metric 2\n");
    assert_eq!(gateway.sample("some_metric{instance=\"\",job=\"browser\"}"), Some(3.0));
    assert_valid_exposition(&gateway.scrape());
    assert_eq!(gateway.delete("/metrics/instance/nginx-1/domain/sometest.com").status, 202);
    assert_eq!(gateway.delete("/metrics").status, 202);
    assert!(!gateway.scrape().contains("browser"), "{}", gateway.scrape());
    assert!(gateway.scrape().contains("job=\"job1\""));
}

#[test]
fn with_put_that_adds_gauges_the_sums_are_those_of_prom_aggregation_gateway() {
    let config = format!(
        "{DEFAULT_JOB}put = \"aggregate\"\n[[metrics]]\nmatch = '{{__name__!=\"\"}}'\nmerge = \"add\"\n"
    );
    let gateway = gateway(&config);
    for _ in 0..2 {
        let body = "# TYPE c counter\nc 1\n# TYPE g gauge\ng 2\nu 3\n";
        assert_eq!(gateway.put("/metrics", body).status, 200);
    }
    assert_eq!(
        gateway.pushed(),
        "# TYPE c counter\nc{instance=\"\",job=\"browser\"} 2\n# TYPE g gauge\ng{instance=\"\",job=\"browser\"} 4\n\
         # TYPE u untyped\nu{instance=\"\",job=\"browser\"} 6\n"
    );
}

#[test]
fn a_default_job_takes_no_label_away() {
    let gateway = gateway(DEFAULT_JOB);
    for path in ["/metrics", "/metrics/domain/a"] {
        let answer = gateway.refused(path, "ok 1\nm{job=\"own\"} 1\n");
        assert!(
            answer.contains(
                "a series of metric family m has a label job, but the path of the push has none, so that \
                 push.default_job would take its place: push it to /metrics/job/NAME (line 2, column 1)"
            ),
            "{answer}"
        );
    }
    assert_eq!(gateway.pushed(), "");
    // An empty label is none.
    gateway.push("/metrics", "m{job=\"\"} 1\n");
    // Where the path has a job, that one counts, as in the stock gateway.
    gateway.push("/metrics/domain/a/job/path", "m{job=\"own\"} 2\n");
    assert_eq!(
        gateway.pushed(),
        "# TYPE m untyped\nm{instance=\"\",job=\"browser\"} 1\nm{domain=\"a\",instance=\"\",job=\"path\"} 2\n"
    );
    // A series is in one group.
    gateway.push("/metrics/domain/b", "m 3\n");
    let answer = gateway.refused("/metrics", "m{domain=\"b\"} 1\n");
    assert!(answer.contains("; the other one is in group {domain=\"b\",job=\"browser\"}"), "{answer}");
    // Large bodies go another way.
    let large = format!("# {}\nm{{job=\"own\"}} 1\n", "x".repeat(300 << 10));
    assert!(gateway.refused("/metrics", &large).contains("push.default_job"));
}

#[test]
fn paths_without_a_job_that_name_no_group() {
    let gateway = gateway(DEFAULT_JOB);
    for (path, message) in [
        (
            "/metrics/domain",
            "odd number of components in label string \"/domain\": write /metrics/LABEL/VALUE, or \
             /metrics/job/NAME/LABEL/VALUE",
        ),
        ("/metrics/do-main/a", "improper label name \"do-main\""),
        ("/metrics/domain/a/job/", "job name is required: write /metrics/LABEL/VALUE"),
        ("/metrics/Job/a", "write /metrics/job/a"),
    ] {
        let answer = gateway.refused(path, "m 1\n");
        assert!(answer.contains(message), "{path}: {answer}");
    }
    let answer = gateway.request("OPTIONS", "/metrics", &[], b"");
    assert_eq!((answer.status, answer.header("allow")), (200, Some("DELETE, GET, HEAD, OPTIONS, POST, PUT")));
    assert_eq!(gateway.get("/metrics/domain/a").status, 405);
    // By default there are no such paths.
    let plain = Gateway::start(&[]);
    assert_eq!(plain.post("/metrics", "m 1\n").status, 405);
    assert_eq!(plain.post("/metrics/domain/a", "m 1\n").status, 404);
    assert_eq!(plain.delete("/metrics").status, 405);
}

#[test]
fn rules_are_for_groups_with_the_default_job_too() {
    let gateway = gateway(&format!(
        "{DEFAULT_JOB}{}",
        r#"
[[groups]]
match = '{job="browser",domain="a"}'
relabel = [{ source_labels = ["domain"], target_label = "job" }, { action = "labeldrop", regex = "domain" }]
[[groups]]
match = '{job="browser"}'
accept = false
"#
    ));
    gateway.push("/metrics/domain/a", "m 1\n");
    assert_eq!(gateway.pushed(), "# TYPE m untyped\nm{instance=\"\",job=\"a\"} 1\n");
    assert_eq!(gateway.post("/metrics/domain/b", "m 1\n").status, 403);
    assert_eq!(gateway.delete("/metrics/job/a").status, 202);
    assert_eq!(gateway.pushed(), "");
}
