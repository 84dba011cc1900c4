//! Sources: what one sender pushed to a group is told apart from what others pushed.

use crate::support::{Directory, Gateway};

const RULES: &str = r#"
[[groups]]
match = '{job="worker"}'
relabel = [{ action = "labeldrop", regex = "pod" }]

[[groups]]
match = '{job="named"}'
source = "header"
headers = true

[[metrics]]
match = 'depth'
merge = "sum"
[[metrics]]
match = 'low'
merge = "min"
[[metrics]]
match = 'high'
merge = "max"
[[metrics]]
match = 'load'
merge = "mean"
[[metrics]]
match = 'up'
merge = "count"
[[metrics]]
match = 'runs'
temporality = "cumulative"
"#;

fn body(value: f64) -> String {
    let names = ["depth", "low", "high", "load", "up"];
    names.map(|name| format!("# TYPE {name} gauge\n{name} {value}\n")).concat()
}

/// The five folded values and the counter of the group.
fn shown(gateway: &Gateway, labels: &str) -> [Option<f64>; 5] {
    ["depth", "low", "high", "load", "up"].map(|name| gateway.sample(&format!("{name}{{{labels}}}")))
}

const WORKER: &str = "instance=\"\",job=\"worker\"";

#[test]
fn gauges_are_folded_over_the_latest_values_of_all_pods() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    for (pod, value) in [("a", 1.0), ("b", 7.0), ("c", 4.0), ("a", 10.0)] {
        gateway.push(&format!("/metrics/job/worker/pod/{pod}"), &body(value));
    }
    assert_eq!(shown(&gateway, WORKER), [21.0, 4.0, 10.0, 7.0, 3.0].map(Some));
    // A source is not shown as a group.
    assert_eq!(gateway.sample("tallygate_groups"), Some(1.0));
    assert_eq!(gateway.api()["data"].as_array().unwrap().len(), 1);
    let times = gateway.scrape().lines().filter(|line| line.starts_with("push_time_seconds{")).count();
    assert_eq!(times, 1);
    // A PUT of a pod replaces what it pushed, and no more.
    assert_eq!(gateway.put("/metrics/job/worker/pod/b", "# TYPE depth gauge\ndepth 100\n").status, 200);
    assert_eq!(shown(&gateway, WORKER), [114.0, 4.0, 10.0, 7.0, 2.0].map(Some));
    // A DELETE of a pod takes its values away, and the last one the series.
    for (pod, expected) in [
        ("a", [Some(104.0), Some(4.0), Some(4.0), Some(4.0), Some(1.0)]),
        ("c", [Some(100.0), None, None, None, None]),
        ("b", [None; 5]),
    ] {
        assert_eq!(gateway.delete(&format!("/metrics/job/worker/pod/{pod}")).status, 202);
        assert_eq!(shown(&gateway, WORKER), expected, "without {pod}");
    }
}

#[test]
fn the_api_tells_what_each_source_contributes() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    for (pod, value) in [("a", 1), ("b", 7)] {
        let text =
            format!("# TYPE depth gauge\ndepth{{q=\"x\"}} {value}\n# TYPE runs counter\nruns {value}0\n");
        gateway.push(&format!("/metrics/job/worker/pod/{pod}"), &text);
    }
    let ask = |path: &str| -> serde_json::Value { serde_json::from_str(&gateway.get(path).text()).unwrap() };
    let group = &ask("/api/v1/groups")["data"]["groups"][0];
    let id = group["id"].as_str().unwrap();
    let answer = ask(&format!("/api/v1/groups/{id}/sources"));
    assert_eq!(answer["data"]["total"], 2);
    for (at, (pod, value)) in [("a", "1"), ("b", "7")].into_iter().enumerate() {
        let source = &answer["data"]["sources"][at];
        assert_eq!(source["labels"], serde_json::json!([["job", "worker"], ["pod", pod]]));
        assert_eq!(source["pushes"], 1);
        assert!(source["pushed_at"].is_string());
        assert_eq!(
            source["families"],
            serde_json::json!([
                { "name": "depth", "folded": true, "series": [{ "labels": [["q", "x"]], "value": value }] },
                { "name": "runs", "folded": false, "series": [{ "labels": [], "value": format!("{value}0") }] },
            ])
        );
    }
    let page = ask(&format!("/api/v1/groups/{id}/sources?offset=1&limit=1"));
    assert_eq!(page["data"]["sources"].as_array().unwrap().len(), 1);
    assert_eq!(page["data"]["sources"][0], answer["data"]["sources"][1]);
    assert_eq!(gateway.get("/api/v1/groups/e30/sources").status, 404);
    assert_eq!(gateway.get(&format!("/api/v1/groups/{id}/sources?limit=x")).status, 400);
}

#[test]
fn a_header_may_name_the_source() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    let push = |source: &str, body: &str| {
        let headers = [("X-Push-Source", source)];
        assert_eq!(gateway.request("POST", "/metrics/job/named", &headers, body.as_bytes()).status, 200);
    };
    push("a", &body(1.0));
    push("b", &body(2.0));
    push("a", &body(5.0));
    let labels = "instance=\"\",job=\"named\"";
    assert_eq!(shown(&gateway, labels), [7.0, 2.0, 5.0, 3.5, 2.0].map(Some));
    // Who has no name is the source that the path names.
    gateway.push("/metrics/job/named", &body(0.0));
    assert_eq!(shown(&gateway, labels), [7.0, 0.0, 5.0, 7.0 / 3.0, 3.0].map(Some));
    // A DELETE with the header is about that source, and one without about the group.
    let answer = gateway.request("DELETE", "/metrics/job/named", &[("X-Push-Source", "b")], b"");
    assert_eq!(answer.status, 202);
    assert_eq!(shown(&gateway, labels), [5.0, 0.0, 5.0, 2.5, 2.0].map(Some));
    assert_eq!(gateway.delete("/metrics/job/named").status, 202);
    assert_eq!(shown(&gateway, labels), [None; 5]);
    assert_eq!(gateway.sample("tallygate_groups"), Some(0.0));
}

#[test]
fn what_a_source_added_to_counters_stays() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    let push = |pod: &str, total: u32| {
        let text = format!("# TYPE runs counter\nruns {total}\n# TYPE jobs counter\njobs 1\n");
        gateway.push(&format!("/metrics/job/worker/pod/{pod}"), &text);
    };
    for (pod, total) in [("a", 5), ("a", 8), ("b", 2), ("b", 2), ("a", 3)] {
        push(pod, total);
    }
    // a: 5 + 3, then it began anew with 3; b: 2.
    let totals = || ["runs", "jobs"].map(|name| gateway.sample(&format!("{name}{{{WORKER}}}")));
    assert_eq!(totals(), [Some(13.0), Some(5.0)]);
    assert_eq!(gateway.sample("tallygate_cumulative_restarts_total"), Some(1.0));
    assert_eq!(gateway.delete("/metrics/job/worker/pod/a").status, 202);
    assert_eq!(totals(), [Some(13.0), Some(5.0)]);
    // A DELETE says that the sender is over, so what comes next under its name has begun anew.
    push("a", 4);
    assert_eq!(totals(), [Some(17.0), Some(6.0)]);
}

#[test]
fn sources_survive_kill_9() {
    let folder = Directory::new();
    let config = format!("--config.file={}", folder.write("tallygate.toml", RULES));
    let file = format!("--persistence.file={}", folder.path_of("state"));
    let mut gateway = Gateway::start(&[&config, &file]);
    for (pod, value) in [("a", 1.0), ("b", 7.0), ("c", 4.0)] {
        gateway.push(
            &format!("/metrics/job/worker/pod/{pod}"),
            &(body(value) + "# TYPE runs counter\nruns 10\n"),
        );
    }
    gateway.kill();
    let mut gateway = Gateway::start(&[&config, &file]);
    assert_eq!(shown(&gateway, WORKER), [12.0, 1.0, 7.0, 4.0, 3.0].map(Some));
    gateway.push("/metrics/job/worker/pod/a", "# TYPE runs counter\nruns 15\n# TYPE depth gauge\ndepth 2\n");
    assert_eq!(gateway.delete("/metrics/job/worker/pod/b").status, 202);
    gateway.kill();
    let gateway = Gateway::start(&[&config, &file]);
    assert_eq!(shown(&gateway, WORKER), [6.0, 1.0, 4.0, 2.5, 2.0].map(Some));
    assert_eq!(gateway.sample(&format!("runs{{{WORKER}}}")), Some(35.0));
    // Without rules the last fold stays until the next push.
    assert_eq!(gateway.sample("tallygate_groups"), Some(1.0));
}
