//! The gateway's own metrics and status, on which alerts and dashboards for the stock gateway rely.

use crate::support::{Gateway, assert_valid_exposition, sample};

#[test]
fn the_families_of_stock_have_its_help_and_types() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", "m 1\n");
    let scrape = gateway.scrape();
    assert_valid_exposition(&scrape);
    for (name, kind, help) in [
        (
            "pushgateway_build_info",
            "gauge",
            "A metric with a constant '1' value labeled by version, revision, branch, goversion from which \
             pushgateway was built, and the goos and goarch for the build.",
        ),
        (
            "pushgateway_http_push_duration_seconds",
            "summary",
            "HTTP request duration for pushes to the Pushgateway.",
        ),
        ("pushgateway_http_push_size_bytes", "summary", "HTTP request size for pushes to the Pushgateway."),
        (
            "pushgateway_http_requests_total",
            "counter",
            "Total HTTP requests processed by the Pushgateway, excluding scrapes.",
        ),
        ("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds."),
        ("process_max_fds", "gauge", "Maximum number of open file descriptors."),
        (
            "process_network_receive_bytes_total",
            "counter",
            "Number of bytes received by the process over the network.",
        ),
        (
            "process_network_transmit_bytes_total",
            "counter",
            "Number of bytes sent by the process over the network.",
        ),
        ("process_open_fds", "gauge", "Number of open file descriptors."),
        ("process_resident_memory_bytes", "gauge", "Resident memory size in bytes."),
        ("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds."),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes."),
        ("process_virtual_memory_max_bytes", "gauge", "Maximum amount of virtual memory available in bytes."),
    ] {
        let lines = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name}");
        assert!(scrape.contains(&lines), "not in the exposition:\n{lines}");
    }
}

#[test]
fn the_build_has_the_labels_of_stock() {
    let scrape = Gateway::start(&[]).scrape();
    let line = scrape.lines().find(|line| line.starts_with("pushgateway_build_info{")).unwrap();
    for label in ["branch=", "goarch=", "goos=", "goversion=", "revision=", "tags=", "version="] {
        assert!(line.contains(label), "no {label} in {line}");
    }
    assert!(line.ends_with("} 1"), "{line}");
}

#[test]
fn there_are_no_go_metrics() {
    let scrape = Gateway::start(&[]).scrape();
    assert!(!scrape.lines().any(|line| line.trim_start_matches("# TYPE ").starts_with("go_")));
}

#[test]
fn request_metrics_appear_with_the_first_request() {
    let gateway = Gateway::start(&[]);
    assert!(!gateway.scrape().contains("pushgateway_http_"));
    // These requests and scrapes are not counted.
    gateway.get("/nope");
    gateway.get("/metrics/");
    gateway.request("PATCH", "/metrics/job/a", &[], b"");
    gateway.put("/-/quit", "");
    assert!(!gateway.scrape().contains("pushgateway_http_"));
    gateway.push("/metrics/job/a", "m 1\n");
    assert!(gateway.scrape().contains("pushgateway_http_requests_total{"));
}

#[test]
fn requests_are_counted_by_handler_method_and_code() {
    let gateway = Gateway::start(&["--web.enable-admin-api"]);
    gateway.push("/metrics/job/a", "m 1\n");
    gateway.push("/metrics/job@base64/YQ", "m 1\n");
    gateway.refused("/metrics/job/a", "m\n");
    gateway.refused("/metrics/job/a", "m 1 1000\n");
    gateway.refused("/metrics/job/a/b", "m 1\n");
    gateway.put("/metrics/job/a/l/v", "m 1\n");
    gateway.delete("/metrics/job/a");
    gateway.delete("/metrics/job/none");
    gateway.get("/");
    gateway.get("/status");
    gateway.get("/-/healthy");
    gateway.get("/-/ready");
    gateway.get("/api/v1/status");
    gateway.get("/api/v1/metrics");
    gateway.get("/api/v1/groups");
    gateway.request("HEAD", "/api/v1/groups", &[], b"");
    gateway.get("/api/v1/groups?limit=x");
    gateway.get("/api/v1/groups/unknown");
    gateway.get("/api/v1/groups/unknown/series?family=m");
    gateway.request("OPTIONS", "/api/v1/anything", &[], b"");
    gateway.put("/api/v1/admin/wipe", "");
    gateway.put("/api/v1/admin/delete", "");
    gateway.put("/api/v1/admin/delete?match[]=m", "");
    let scrape = gateway.scrape();
    for (code, handler, method, count) in [
        (200, "push", "post", 2.0),
        (400, "push", "post", 3.0),
        (200, "push", "put", 1.0),
        (202, "delete", "delete", 2.0),
        (200, "status", "get", 2.0),
        (200, "healthy", "get", 1.0),
        (200, "ready", "get", 1.0),
        (200, "api/v1/status", "get", 1.0),
        (200, "api/v1/metrics", "get", 1.0),
        (200, "api/v1/groups", "get", 1.0),
        (200, "api/v1/groups", "head", 1.0),
        (400, "api/v1/groups", "get", 1.0),
        (404, "api/v1/groups/id", "get", 1.0),
        (404, "api/v1/groups/id/series", "get", 1.0),
        (200, "api/v1/options", "options", 1.0),
        (202, "wipe", "put", 1.0),
        (400, "api/v1/admin/delete", "put", 1.0),
        (200, "api/v1/admin/delete", "put", 1.0),
    ] {
        let series = format!(
            "pushgateway_http_requests_total{{code=\"{code}\",handler=\"{handler}\",method=\"{method}\"}}"
        );
        assert_eq!(sample(&scrape, &series), Some(count), "{series}");
    }
}

#[test]
fn pushes_are_measured_by_method() {
    let gateway = Gateway::start(&[]);
    for _ in 0..3 {
        gateway.push("/metrics/job/a", "m 1\n");
    }
    gateway.put("/metrics/job/a", "m 1\n");
    let scrape = gateway.scrape();
    for family in ["pushgateway_http_push_duration_seconds", "pushgateway_http_push_size_bytes"] {
        assert_eq!(sample(&scrape, &format!("{family}_count{{method=\"post\"}}")), Some(3.0));
        assert_eq!(sample(&scrape, &format!("{family}_count{{method=\"put\"}}")), Some(1.0));
        for quantile in ["0.1", "0.5", "0.9"] {
            let series = format!("{family}{{method=\"post\",quantile=\"{quantile}\"}}");
            assert!(sample(&scrape, &series).is_some_and(|value| value > 0.0), "{series}");
        }
    }
    // The size includes the head and the body.
    let size = sample(&scrape, "pushgateway_http_push_size_bytes_sum{method=\"post\"}").unwrap() / 3.0;
    assert!((40.0..400.0).contains(&size), "{size}");
}

#[test]
fn the_gateways_own_names_are_its_own() {
    let gateway = Gateway::start(&[]);
    for body in [
        "pushgateway_build_info 1\n",
        "# TYPE pushgateway_build_info gauge\npushgateway_build_info{x=\"y\"} 1\n",
        "pushgateway_http_requests_total 1\n",
        "# TYPE pushgateway_http_requests_total counter\npushgateway_http_requests_total 1\n",
        "# TYPE process_start_time_seconds counter\nprocess_start_time_seconds 1\n",
        "# TYPE process_cpu_seconds_total gauge\nprocess_cpu_seconds_total 1\n",
    ] {
        gateway.refused("/metrics/job/a", body);
        assert_valid_exposition(&gateway.scrape());
    }
    let own: Vec<_> = gateway
        .scrape()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ").map(str::to_owned))
        .filter(|line| line.starts_with("tallygate_"))
        .collect();
    assert!(!own.is_empty(), "no family of ours");
    for line in own {
        let (name, kind) = line.split_once(' ').unwrap();
        if kind == "counter" || kind == "gauge" {
            gateway.refused("/metrics/job/a", &format!("# TYPE {name} {kind}\n{name} 1\n"));
        }
    }
}

#[test]
fn jobs_may_push_process_metrics_and_go_metrics() {
    let gateway = Gateway::start(&[]);
    gateway.push(
        "/metrics/job/a",
        "# HELP process_start_time_seconds Mine.\n# TYPE process_start_time_seconds gauge\n\
         process_start_time_seconds 17\n# TYPE go_goroutines gauge\ngo_goroutines 3\ngo_other 1\n",
    );
    let scrape = gateway.scrape();
    assert_valid_exposition(&scrape);
    assert_eq!(sample(&scrape, r#"process_start_time_seconds{instance="",job="a"}"#), Some(17.0));
    assert!(sample(&scrape, "process_start_time_seconds").is_some());
    assert_eq!(sample(&scrape, r#"go_goroutines{instance="",job="a"}"#), Some(3.0));
    assert_eq!(sample(&scrape, r#"go_other{instance="",job="a"}"#), Some(1.0));
}

#[test]
fn the_status_has_the_shape_of_stock() {
    let gateway = Gateway::start(&["--web.external-url=http://gate.example/p/"]);
    let response = gateway.get("/p/api/v1/status");
    assert_eq!(response.status, 200);
    let status: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(status["status"], "success");
    let data = &status["data"];
    for key in ["branch", "buildDate", "buildUser", "goVersion", "revision", "version"] {
        assert!(data["build_information"][key].is_string(), "{key}");
    }
    let flags = data["flags"].as_object().unwrap();
    for (name, value) in [
        ("log.format", "logfmt"),
        ("log.level", "info"),
        ("persistence.file", ""),
        ("persistence.interval", "5m0s"),
        ("push.disable-consistency-check", "false"),
        ("push.enable-utf8-names", "false"),
        ("web.config.file", ""),
        ("web.enable-admin-api", "false"),
        ("web.enable-lifecycle", "false"),
        ("web.external-url", "http://gate.example/p/"),
        ("web.listen-address", "127.0.0.1:0"),
        ("web.route-prefix", "/p"),
        ("web.systemd-socket", "false"),
        ("web.telemetry-path", "/metrics"),
    ] {
        assert_eq!(flags[name], value, "{name}");
    }
    assert!(flags.values().all(serde_json::Value::is_string));
    let start = data["start_time"].as_str().unwrap();
    assert!(start.starts_with("20") && start.contains('T'), "{start}");
}
