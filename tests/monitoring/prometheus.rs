//! A real Prometheus scrapes the gateway with the configuration and the rules of `config/`. Its results match the
//! pushes, its alerts fire, and promtool accepts everything.
//!
//! Skipped if there is no Prometheus; see `tests/programs/mod.rs`.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::programs::{self, ask_until};
use crate::scraper::{Prometheus, number, prometheus_3};
use crate::support::protobuf::{self, CONTENT_TYPE, Histogram, Native};
use crate::support::{self, Gateway};

const GROUP: &str = "/metrics/job/import/shop/berlin";

/// The increments of one push, by series. The names are also selectors for Prometheus.
const COUNTERS: [(&str, f64); 2] =
    [(r#"orders_total{kind="new"}"#, 1.0), (r#"orders_total{kind="old"}"#, 2.5)];
const HISTOGRAM: [(&str, f64); 4] = [
    (r#"order_seconds_bucket{le="0.5"}"#, 3.0),
    (r#"order_seconds_bucket{le="+Inf"}"#, 4.0),
    ("order_seconds_sum", 5.25),
    ("order_seconds_count", 4.0),
];

/// The body of a push with these increments, multiplied by `times`.
fn orders(times: f64) -> String {
    let lines = |series: &[(&str, f64)]| -> String {
        series.iter().map(|(series, value)| format!("{series} {}\n", value * times)).collect()
    };
    let (counters, histogram) = (lines(&COUNTERS), lines(&HISTOGRAM));
    format!("# TYPE orders_total counter\n{counters}# TYPE order_seconds histogram\n{histogram}")
}

#[test]
fn increase_agrees_with_what_several_threads_pushed() {
    const THREADS: usize = 4;
    const SCRAPES: f64 = 5.0;

    let Some(program) = programs::prometheus() else { return };
    let gateway = Gateway::start(&[]);
    // increase() ignores the first value of a series, so it is 0 here and scraped before the rest.
    gateway.push(GROUP, &orders(0.0));
    let prometheus = Prometheus::start(&program, &gateway);
    let scrapes = || prometheus.value(r#"count_over_time(orders_total{kind="new"}[10m])"#);
    let scrapes_of_zero = ask_until("the first scrape", scrapes);

    // Push without a pause until Prometheus has scraped some more times.
    let stop = AtomicBool::new(false);
    let pushes: u32 = thread::scope(|scope| {
        let _stop = SetOnDrop(&stop);
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| push_until(&gateway, &stop))).collect();
        ask_until("more scrapes", || match scrapes()? {
            count if count >= scrapes_of_zero + SCRAPES => Ok(()),
            count => Err(format!("{count} scrapes")),
        });
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(pushes > 0);

    for (series, value) in COUNTERS.into_iter().chain(HISTOGRAM) {
        let total = value * f64::from(pushes);
        ask_until_it_is(&prometheus, series, total);

        let answer = prometheus.query(&format!("{series}[10m]"), None).unwrap();
        let labels = answer[0]["metric"].as_object().unwrap();
        assert_eq!((&labels["job"], &labels["shop"]), (&"import".into(), &"berlin".into()), "{labels:?}");
        assert!(!labels.contains_key("instance") && !labels.contains_key("exported_job"), "{labels:?}");

        let samples = samples(&answer[0]);
        let values: Vec<f64> = samples.iter().map(|&(_, value)| value).collect();
        assert!(values.is_sorted(), "{series} fell: {values:?}");
        assert_eq!((values[0], values[values.len() - 1]), (0.0, total), "{series}");
        assert!(values.iter().any(|&value| 0.0 < value && value < total), "one jump: {values:?}");

        // Between a zero and the last sample nothing is extrapolated.
        let last = samples[samples.len() - 1].0;
        let answer = prometheus.query(&format!("increase({series}[10m])"), Some(last)).unwrap();
        let increase = number(&answer[0]["value"][1]);
        assert!((increase - total).abs() <= 1e-9 * total, "increase({series}) is {increase}, not {total}");
    }
}

/// Waits until an expression has this value.
#[track_caller]
fn ask_until_it_is(prometheus: &Prometheus, expression: &str, value: f64) {
    ask_until(expression, || match prometheus.value(expression)? {
        seen if seen == value => Ok(()),
        seen => Err(format!("{seen} instead of {value}")),
    });
}

#[test]
fn native_histograms_of_all_resolutions_are_one_counter() {
    let Some(program) = programs::prometheus() else { return };
    let gateway = Gateway::start(&[]);
    let prometheus = Prometheus::start_for_native_histograms(&program, &gateway);
    let mut count = 0.0;
    // The resolution falls, and the edge of the zero bucket moves into a populated bucket.
    for (schema, zero_threshold) in [(3, 0.0), (3, 0.001), (2, 0.3), (1, 1.2), (0, 3.1), (5, 0.0)] {
        let native = Native {
            schema,
            zero_threshold,
            zero_count: 1.0,
            negative: vec![(20, 2.0)],
            positive: vec![(16, 3.0), (17, 4.0), (40, 5.0)],
        };
        let body = Histogram::native(1.0, native).body(protobuf::HISTOGRAM);
        let response = gateway.request("POST", GROUP, &[("Content-Type", CONTENT_TYPE)], &body);
        assert_eq!(response.status, 200, "{}", response.text());
        count += 15.0;
        ask_until_it_is(&prometheus, "histogram_count(h)", count);
    }
    assert_eq!(prometheus.value("resets(h[10m])"), Ok(0.0));
    assert_eq!(prometheus.value(r#"min_over_time(up{job="tallygate"}[10m])"#), Ok(1.0));
}

#[test]
fn the_api_estimates_quantiles_as_prometheus_does() {
    let Some(program) = prometheus_3() else { return };
    let gateway = Gateway::start(&[]);
    let prometheus = Prometheus::start_for_native_histograms(&program, &gateway);
    let positive = Native {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 2.0,
        positive: vec![(-20, 5.0), (0, 70.0), (1, 31.0), (17, 9.0), (40, 3.0)],
        ..Native::default()
    };
    let negative = Native {
        schema: -1,
        negative: vec![(-2, 7.0), (1, 60.0), (2, 31.0)],
        positive: Vec::new(),
        ..positive.clone()
    };
    let both =
        Native { schema: 0, negative: vec![(0, 40.0), (3, 2.0)], zero_count: 55.0, ..positive.clone() };
    for (job, native) in [("positive", positive), ("negative", negative), ("both", both)] {
        let body = Histogram::native(1.0, native).body(protobuf::HISTOGRAM);
        let path = format!("/metrics/job/{job}");
        let response = gateway.request("POST", &path, &[("Content-Type", CONTENT_TYPE)], &body);
        assert_eq!(response.status, 200, "{}", response.text());
        let ask = |path: &str| -> Value { serde_json::from_str(&gateway.get(path).text()).unwrap() };
        let groups = ask(&format!("/api/v1/groups?q=job={job}"));
        let id = groups["data"]["groups"][0]["id"].as_str().unwrap();
        let page = ask(&format!("/api/v1/groups/{id}/series?family=h"));
        let quantiles = page["data"]["series"][0]["quantiles"].as_array().unwrap();
        assert_eq!(quantiles.len(), 3);
        for pair in quantiles {
            let (quantile, estimated) = (number(&pair[0]), number(&pair[1]));
            let expression = format!("histogram_quantile({quantile}, h{{job=\"{job}\"}})");
            let real = ask_until(&expression, || prometheus.value(&expression));
            assert!((estimated - real).abs() <= 1e-12 * real.abs(), "{expression}: {estimated}, not {real}");
        }
    }
}

/// Pushes everything that a client can push: the classic types, exemplars, and native histograms with and without
/// classic buckets.
fn push_everything(gateway: &Gateway, schema: i64) {
    let text = "# TYPE jobs counter\njobs_total{kind=\"a\"} 2 # {trace_id=\"t\"} 1.0\n# TYPE build info\nbuild_info{version=\"1\"} 1\n\
        # TYPE state stateset\nstate{state=\"on\"} 1\nstate{state=\"off\"} 0\n# TYPE degrees gauge\ndegrees -3.5\n\
        # TYPE wait_seconds histogram\n# UNIT wait_seconds seconds\nwait_seconds_bucket{le=\"1\"} 1\nwait_seconds_bucket{le=\"2.5\"} 3\n\
        wait_seconds_bucket{le=\"+Inf\"} 4\nwait_seconds_sum 9.5\nwait_seconds_count 4\n\
        # TYPE size summary\nsize{quantile=\"0.5\"} 7\nsize_sum 16\nsize_count 2\n# EOF\n";
    let content_type = "application/openmetrics-text; version=1.0.0";
    let answer = gateway.request("POST", GROUP, &[("Content-Type", content_type)], text.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Observations of 1, 1 and 16, which are in corresponding buckets at every resolution, and one of 0.
    let positive = vec![(0, 2.0), (4 << schema, 1.0)];
    let native = Native { schema, zero_threshold: 0.001, zero_count: 1.0, positive, ..Native::default() };
    let body = Histogram::native(18.0, native).body(protobuf::HISTOGRAM);
    let answer = gateway.request("POST", GROUP, &[("Content-Type", CONTENT_TYPE)], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    // The same metric from a client without native buckets, and a unit that Prometheus would refuse.
    let classic = Histogram { count: 3.0, sum: 1.0, classic: vec![(1.0, 2.0)], ..Histogram::default() };
    let unit = protobuf::unit("seconds");
    let gauge = [unit, protobuf::metric(&[], 2, &[protobuf::number(1, 1.5)])];
    let body = [classic.body(protobuf::HISTOGRAM), protobuf::family("age", 1, &gauge)].concat();
    let answer = gateway.request("POST", "/metrics/job/classic", &[("Content-Type", CONTENT_TYPE)], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn every_protocol_shows_the_same() {
    let Some(program) = prometheus_3() else { return };
    for protocol in [
        "PrometheusProto",
        "OpenMetricsText1.0.0",
        "OpenMetricsText0.0.1",
        "PrometheusText1.0.0",
        "PrometheusText0.0.4",
    ] {
        let gateway = Gateway::start(&[]);
        push_everything(&gateway, 3);
        let global = format!("  scrape_protocols: [{protocol}]\n");
        let features = "native-histograms,exemplar-storage";
        let prometheus = Prometheus::start_with_features(&program, &gateway, features, &global);
        ask_until_it_is(&prometheus, "jobs_total", 2.0);
        // The resolution of the pushes changes all the time.
        for schema in [5, 0, 2, 8] {
            push_everything(&gateway, schema);
        }
        for (expression, value) in [
            ("jobs_total{kind=\"a\"}", 10.0),
            ("build_info{version=\"1\"}", 1.0),
            ("state{state=\"on\"}", 1.0),
            ("degrees", -3.5),
            ("age", 1.5),
            ("h_count{job=\"classic\"}", 15.0),
            ("h_bucket{job=\"classic\",le=\"1.0\"}", 10.0),
            ("wait_seconds_bucket{le=\"1.0\"}", 5.0),
            ("wait_seconds_bucket{le=\"2.5\"}", 15.0),
            ("wait_seconds_bucket{le=\"+Inf\"}", 20.0),
            ("wait_seconds_sum", 47.5),
            ("wait_seconds_count", 20.0),
            ("histogram_quantile(0.5, wait_seconds_bucket)", 1.75),
            ("size{quantile=\"0.5\"}", 7.0),
            ("size_sum", 80.0),
        ] {
            ask_until_it_is(&prometheus, expression, value);
        }
        assert_eq!(prometheus.value(r#"min_over_time(up{job="tallygate"}[10m])"#), Ok(1.0), "{protocol}");
        assert_eq!(prometheus.value("resets(wait_seconds_count[10m])"), Ok(0.0), "{protocol}");
        if protocol == "PrometheusProto" {
            for (expression, value) in [
                ("histogram_count(h)", 20.0),
                ("histogram_sum(h)", 90.0),
                ("histogram_quantile(1, h)", 16.0),
                ("histogram_fraction(-0.001, 0.001, h)", 0.25),
                ("resets(h[10m])", 0.0),
                ("count({__name__=~\"h_bucket|h_sum\",job!=\"classic\"}) or vector(0)", 0.0),
            ] {
                ask_until_it_is(&prometheus, expression, value);
            }
        } else {
            ask_until_it_is(&prometheus, "h_count{job!=\"classic\"}", 20.0);
        }
        let has_exemplars = !protocol.starts_with("PrometheusText");
        let exemplars = || prometheus.exemplars("jobs_total");
        if has_exemplars {
            ask_until(protocol, || match exemplars()?.pointer("/0/exemplars/0/labels/trace_id") {
                Some(id) if id == "t" => Ok(()),
                other => Err(format!("{other:?}")),
            });
        } else {
            assert_eq!(exemplars().unwrap(), serde_json::json!([]), "{protocol}");
        }
    }
}

/// For families that OpenMetrics shows without a type, Prometheus stores the same samples as from the other
/// formats.
#[test]
fn families_without_a_type_in_openmetrics_have_their_samples() {
    let Some(program) = prometheus_3() else { return };
    for protocol in ["OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0"] {
        let gateway = Gateway::start_with_config("[exposition]\ncreated_series = true\n", &[]);
        let body = "# TYPE cold histogram\ncold_bucket{le=\"-1\"} 1\ncold_bucket{le=\"+Inf\"} 3\ncold_sum -7\ncold_count 3\n\
            # TYPE half histogram\nhalf_bucket{le=\"1\"} 0.5\nhalf_sum 2\nhalf_count 3.5\n\
            # TYPE odd summary\nodd{quantile=\"1.5\"} -4\nodd_sum -2\nodd_count 3\n\
            # TYPE tall histogram\ntall_bucket{le=\"1\"} 1\ntall_sum 2\ntall_count 3\n";
        gateway.push(GROUP, body);
        gateway.push("/metrics/job/other", "# TYPE tall_created gauge\ntall_created 5\n");
        let global = format!("  scrape_protocols: [{protocol}]\n");
        let prometheus = Prometheus::start_with_features(&program, &gateway, "", &global);
        for (expression, value) in [
            ("cold_bucket{le=\"-1.0\"}", 1.0),
            ("cold_bucket{le=\"+Inf\"}", 3.0),
            ("cold_sum", -7.0),
            ("cold_count", 3.0),
            ("half_bucket{le=\"1.0\"}", 0.5),
            ("half_bucket{le=\"+Inf\"}", 3.5),
            ("half_count", 3.5),
            ("odd{quantile=\"1.5\"}", -4.0),
            ("odd_sum", -2.0),
            ("tall_bucket{le=\"1.0\"}", 1.0),
            ("tall_count", 3.0),
            ("tall_created", 5.0),
        ] {
            ask_until_it_is(&prometheus, expression, value);
        }
        let scraped = prometheus.value("scrape_samples_scraped - scrape_samples_post_metric_relabeling");
        assert_eq!(scraped, Ok(0.0), "{protocol}");
        assert_eq!(prometheus.value(r#"min_over_time(up{job="tallygate"}[10m])"#), Ok(1.0), "{protocol}");
    }
}

/// `increase()` ignores the first value of a series, unless Prometheus knows when it was 0 or has scraped it as 0.
#[test]
fn the_first_increment_is_seen() {
    let Some(program) = prometheus_3() else { return };
    let first = |gateway: &Gateway, prometheus: &Prometheus| {
        ask_until("a scrape", || prometheus.value("up{job=\"tallygate\"} == 1"));
        gateway.push(GROUP, &orders(1.0));
        ask_until("an increase", || {
            let value = |expression: &str| prometheus.value(expression);
            let increase = value("increase(orders_total{kind=\"new\"}[1m])")?;
            let seconds =
                value("histogram_count(increase(order_seconds[1m])) or increase(order_seconds_count[1m])")?;
            // The increase is extrapolated, but by no more than half.
            let is_seen = (1.0..1.6).contains(&increase) && (4.0..6.4).contains(&seconds);
            if is_seen { Ok(()) } else { Err(format!("{increase} and {seconds}")) }
        });
    };
    // Prometheus asks the kernel for the time, and ignores a start time in its future.
    let gateway = Gateway::start_with(&[], &[(programs::CLOCK_LIBRARY, "")]);
    let features = "native-histograms,created-timestamp-zero-ingestion";
    first(&gateway, &Prometheus::start_with_features(&program, &gateway, features, ""));
    let gateway = Gateway::start_with_config("[exposition]\nzero_lead = \"3s\"\n", &[]);
    first(&gateway, &Prometheus::start(&program, &gateway));
}

/// Pushes over one connection until `stop`. Returns the number of pushes.
fn push_until(gateway: &Gateway, stop: &AtomicBool) -> u32 {
    let request = support::encode_request("POST", GROUP, &[], orders(1.0).as_bytes());
    let mut connection = gateway.connect();
    let mut pushes = 0;
    while !stop.load(Ordering::Relaxed) {
        connection.send(&request).unwrap();
        assert_eq!(connection.read_response("POST").unwrap().status, 200);
        pushes += 1;
    }
    pushes
}

/// Ends the other threads if this one fails.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_refused_push_raises_an_alert_until_the_next_is_accepted() {
    let Some(program) = programs::prometheus() else { return };
    let gateway = Gateway::start(&[]);
    let prometheus = Prometheus::start(&program, &gateway);
    gateway.push(GROUP, "# TYPE orders_total counter\norders_total 1\n");
    gateway.refused(GROUP, "# TYPE orders_total gauge\norders_total 2\n");

    let alert = r#"ALERTS{alertname="TallygatePushFailing",alertstate="firing",job="import",shop="berlin"}"#;
    ask_until("the alert", || prometheus.value(alert));
    // The selectors of the rules on HTTP errors match, with the labels that they use.
    let errors = r#"sum(pushgateway_http_requests_total{job="tallygate",code=~"4.."})"#;
    ask_until_it_is(&prometheus, errors, 1.0);

    gateway.push(GROUP, "# TYPE orders_total counter\norders_total 1\n");
    ask_until_it_is(&prometheus, "orders_total", 2.0);
    ask_until("the end of the alert", || match prometheus.value(alert) {
        Ok(_) => Err("it is still firing".to_owned()),
        Err(_) => Ok(()),
    });
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() {
    let Some(promtool) = programs::promtool() else { return };
    let gateway = Gateway::start(&[]);
    // One request of every kind, so that all families of the gateway exist.
    gateway.push(GROUP, &format!("# HELP orders_total Orders.\n{}", counter("orders_total", 1)));
    gateway.refused(GROUP, "# TYPE orders_total gauge\norders_total 2\n");
    assert_eq!(gateway.put("/metrics/job/other", &counter("other_total", 1)).status, 200);
    assert_eq!(gateway.delete("/metrics/job/other").status, 202);
    for path in ["/-/healthy", "/-/ready", "/api/v1/status", "/api/v1/metrics", "/metrics"] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
    }
    let metrics = gateway.scrape();
    for family in ["pushgateway_http_requests_total", "pushgateway_http_push_size_bytes", "push_time_seconds"]
    {
        assert!(metrics.contains(&format!("# TYPE {family} ")), "no {family} in\n{metrics}");
    }

    let mut check = programs::command(promtool);
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    assert_eq!(programs::text_of(&output), "", "promtool about\n{metrics}");
    assert!(output.status.success(), "{}", output.status);
}

fn counter(name: &str, value: u32) -> String {
    format!("# TYPE {name} counter\n{name} {value}\n")
}

#[test]
fn the_configuration_and_the_rules_that_we_ship_are_valid() {
    let Some(promtool) = programs::promtool() else { return };
    for arguments in [
        ["check", "config", "config/prometheus.yml"],
        ["check", "rules", "config/alerts.yml"],
        ["test", "rules", "tests/alerts.test.yml"],
    ] {
        programs::output_of(programs::command(&promtool).args(arguments));
    }
}

/// Time and value of each sample of a range.
fn samples(series: &Value) -> Vec<(f64, f64)> {
    let samples = series["values"].as_array().expect("a range of samples");
    samples.iter().map(|sample| (sample[0].as_f64().unwrap(), number(&sample[1]))).collect()
}
