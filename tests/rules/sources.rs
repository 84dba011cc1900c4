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
    assert_eq!(ask(&format!("/api/v1/groups/{id}"))["data"]["sources"], 2);
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
                { "name": "depth", "folded": true, "series": [{ "labels": [["q", "x"]], "value": value, "started_at": null, "exemplars": [] }] },
                { "name": "runs", "folded": false, "series": [{ "labels": [], "value": format!("{value}0"), "started_at": null, "exemplars": [] }] },
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
fn sources_are_sorted_by_what_is_asked_for() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    for (pod, depths) in [("a", &[3, 1][..]), ("b", &[40]), ("c", &[]), ("d", &[5, 7]), ("b", &[40])] {
        let series: String =
            depths.iter().enumerate().map(|(at, depth)| format!("depth{{q=\"{at}\"}} {depth}\n")).collect();
        let body = format!("# TYPE depth gauge\n{series}# TYPE runs counter\nruns 1\n");
        gateway.push(&format!("/metrics/job/worker/pod/{pod}"), &body);
    }
    let ask = |path: &str| -> serde_json::Value { serde_json::from_str(&gateway.get(path).text()).unwrap() };
    let groups = ask("/api/v1/groups");
    let id = groups["data"]["groups"][0]["id"].as_str().unwrap();
    for (query, expected) in [
        ("order=desc", "dcba"),
        ("sort=value&family=depth&order=desc", "bdac"),
        ("sort=value&family=depth", "adbc"),
        ("sort=value&family=depth&order=desc&offset=1&limit=2", "da"),
        ("sort=value&family=nothing", "abcd"),
        ("sort=pushes&order=desc", "bacd"),
        ("sort=pushed", "acdb"),
    ] {
        let answer = ask(&format!("/api/v1/groups/{id}/sources?{query}"));
        let sources = answer["data"]["sources"].as_array().unwrap();
        let pods: String = sources.iter().map(|source| source["labels"][1][1].as_str().unwrap()).collect();
        assert_eq!(pods, expected, "{query}");
        assert_eq!(answer["data"]["total"], 4);
    }
    assert_eq!(gateway.get(&format!("/api/v1/groups/{id}/sources?sort=value")).status, 400);
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

/// The sources of the only group, as the API lists them.
fn sources(gateway: &Gateway) -> Vec<serde_json::Value> {
    let ask = |path: &str| -> serde_json::Value { serde_json::from_str(&gateway.get(path).text()).unwrap() };
    let groups = ask("/api/v1/groups");
    let id = groups["data"]["groups"][0]["id"].as_str().unwrap();
    ask(&format!("/api/v1/groups/{id}/sources"))["data"]["sources"].as_array().unwrap().clone()
}

#[test]
fn a_put_takes_away_only_what_its_sender_contributes() {
    let depth = |value: u32| format!("# TYPE depth gauge\ndepth {value}\n");
    // By header, and by the path of the group itself beside those that are relabelled.
    let gateway = Gateway::start_with_config(RULES, &[]);
    let send = |method: &str, source: &str, body: &str| {
        let headers = [("X-Push-Source", source)];
        assert_eq!(gateway.request(method, "/metrics/job/named", &headers, body.as_bytes()).status, 200);
    };
    send("POST", "a", &depth(5));
    send("POST", "b", &depth(7));
    let shown = || gateway.sample("depth{instance=\"\",job=\"named\"}");
    assert_eq!(shown(), Some(12.0));
    send("PUT", "b", "x 1\n");
    assert_eq!(shown(), Some(5.0));
    // Of b nothing is left to remember.
    assert_eq!(sources(&gateway).len(), 1);
    let gateway = Gateway::start_with_config(RULES, &[]);
    gateway.push("/metrics/job/worker/pod/a", &depth(10));
    gateway.push("/metrics/job/worker", &depth(3));
    let shown = || gateway.sample(&format!("depth{{{WORKER}}}"));
    assert_eq!(shown(), Some(13.0));
    for (body, expected) in [("x 1\n".to_owned(), 10.0), (depth(1), 11.0), ("x 2\n".to_owned(), 10.0)] {
        assert_eq!(gateway.put("/metrics/job/worker", &body).status, 200);
        assert_eq!(shown(), Some(expected), "{body}");
    }
}

#[test]
fn sources_have_keys_of_their_own() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    let send = |method: &str, source: &str, more: &[(&str, &str)], body: &str| {
        let headers = [&[("X-Push-Source", source), ("Idempotency-Key", "run-7")], more].concat();
        gateway.request(method, "/metrics/job/named", &headers, body.as_bytes())
    };
    let body = "# TYPE runs counter\nruns 5\n# TYPE depth gauge\ndepth 5\n";
    for source in ["a", "b", "a"] {
        assert_eq!(send("POST", source, &[], body).status, 200, "{source}");
    }
    let shown =
        || ["runs", "depth"].map(|name| gateway.sample(&format!("{name}{{instance=\"\",job=\"named\"}}")));
    assert_eq!(shown(), [Some(10.0), Some(10.0)]);
    // The same key for pushes that mean different things is a mistake.
    assert_eq!(send("POST", "a", &[("X-Push-Temporality", "delta")], body).status, 422);
    for source in ["a", "b"] {
        assert_eq!(send("DELETE", source, &[], "").status, 202);
    }
    assert_eq!(shown(), [Some(10.0), None]);
    assert_eq!(send("DELETE", "b", &[], "").status, 202);
}

#[test]
fn a_dry_run_of_a_deletion_does_not_count_sources() {
    let gateway = Gateway::start_with_config(RULES, &["--web.enable-admin-api"]);
    for pod in ["a", "b"] {
        let body = "# TYPE depth gauge\ndepth{n=\"1\"} 1\ndepth{n=\"2\"} 1\n# TYPE runs counter\nruns 1\n";
        gateway.push(&format!("/metrics/job/worker/pod/{pod}"), body);
    }
    for (selector, groups, series) in [
        ("match[]=depth%7Bn%3D%221%22%7D", 0, 1),
        ("match[]=%7Bjob%3D%22worker%22%7D", 0, 2),
        ("group[]=%7Bjob%3D%22worker%22%7D", 1, 2),
    ] {
        let told = |more: &str| {
            let path = format!("/api/v1/admin/delete?{selector}{more}");
            let answer = gateway.request("PUT", &path, &[], b"").text();
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            ["groups", "series"].map(|what| answer["data"][what].as_u64().unwrap())
        };
        let dry = told("&dry_run=true");
        let expected = if selector.contains("job") && groups == 0 { [groups, 2] } else { [groups, series] };
        assert_eq!(dry, told(""), "{selector}");
        assert_eq!(dry[0], expected[0], "{selector}: {dry:?}");
        gateway.push(
            "/metrics/job/worker/pod/a",
            "# TYPE depth gauge\ndepth{n=\"2\"} 1\n# TYPE runs counter\nruns 1\n",
        );
    }
}

#[test]
fn the_overflow_series_has_what_a_sender_pushed_beyond_the_room() {
    let rules = r#"
[[groups]]
match = '{job="worker"}'
relabel = [{ action = "labeldrop", regex = "pod" }]
max_series = 3
overflow = "fold"
[[metrics]]
match = 'depth'
merge = "sum"
"#;
    let gateway = Gateway::start_with_config(rules, &[]);
    let body = |name: &str, first: u32| {
        let series = (first..first + 5).map(|at| format!("{name}{{a=\"{at}\"}} 2\n"));
        format!("# TYPE {name} gauge\n{}", series.collect::<String>())
    };
    for pod in ["a", "b"] {
        gateway.push(&format!("/metrics/job/worker/pod/{pod}"), &body("depth", 1));
    }
    let overflow = || gateway.sample("depth{instance=\"\",job=\"worker\",overflow=\"true\"}");
    let all = || {
        let of =
            |at| gateway.sample(&format!("depth{{a=\"{at}\",instance=\"\",job=\"worker\"}}")).unwrap_or(0.0);
        (1..=5).map(of).sum::<f64>() + overflow().unwrap_or(0.0)
    };
    assert_eq!((overflow(), all()), (Some(8.0), 20.0));
    // What a client calls so itself does not count either.
    let gateway = Gateway::start_with_config(rules, &[]);
    let own = "# TYPE p counter\np{overflow=\"true\"} 1\np{a=\"1\"} 1\np{a=\"2\"} 1\np{a=\"3\"} 1\n";
    gateway.push("/metrics/job/worker", own);
    gateway.push("/metrics/job/worker", "# TYPE q counter\nq{overflow=\"true\"} 4\nq{a=\"1\"} 1\n");
    let sample =
        |name: &str| gateway.sample(&format!("{name}{{instance=\"\",job=\"worker\",overflow=\"true\"}}"));
    assert_eq!((sample("p"), sample("q")), (Some(1.0), Some(5.0)));
}
