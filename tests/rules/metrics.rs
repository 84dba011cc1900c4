//! `[[metrics]]`: how values are merged.

use crate::support::Gateway;

fn gateway(rules: &str) -> Gateway {
    Gateway::start_with_config(rules, &[])
}

#[test]
fn gauges_are_merged_as_the_rule_says() {
    let gateway = gateway(
        r#"
[[metrics]]
match = '{__name__=~"added.*"}'
merge = "add"
[[metrics]]
match = 'least'
merge = "least"
[[metrics]]
match = '{__name__="greatest",job="a"}'
merge = "greatest"
[[metrics]]
match = '{__name__=~"jobs_total|runs"}'
merge = "last"
"#,
    );
    for value in [5, -3, 4] {
        for job in ["a", "b"] {
            let body = format!(
                "# TYPE added gauge\nadded {value}\nadded_untyped {value}\n# TYPE least gauge\nleast {value}\n\
                 greatest {value}\nplain {value}\njobs_total {}\n# TYPE runs counter\nruns {}\n",
                value + 10,
                value + 10,
            );
            gateway.push(&format!("/metrics/job/{job}"), &body);
        }
    }
    for (name, a, b) in [
        ("added", 6.0, 6.0),
        ("added_untyped", 6.0, 6.0),
        ("least", -3.0, -3.0),
        ("greatest", 5.0, 4.0),
        ("plain", 4.0, 4.0),
        // A rule may keep the latest of an untyped value that would add, but a counter always adds.
        ("jobs_total", 14.0, 14.0),
        ("runs", 36.0, 36.0),
    ] {
        let of = |job| gateway.sample(&format!("{name}{{instance=\"\",job=\"{job}\"}}"));
        assert_eq!((of("a"), of("b")), (Some(a), Some(b)), "{name}");
    }
    // What can't be added up is refused.
    let refused = gateway.refused("/metrics/job/a", "# TYPE added gauge\nadded NaN\n");
    assert!(refused.contains("its values are added up, which only numbers can be"), "{refused}");
}

#[test]
fn series_that_relabelling_brings_together_are_merged() {
    let gateway = gateway(
        r#"
[[metrics]]
match = '{__name__=~"c|g|h"}'
relabel = [{ action = "labeldrop", regex = "pid" }]
[[metrics]]
match = 'tmp'
relabel = [{ source_labels = ["path"], regex = "/health", action = "drop" }]
"#,
    );
    let body = "# TYPE c counter\nc{pid=\"1\",x=\"y\"} 1e16\nc{pid=\"2\",x=\"y\"} 1\nc{pid=\"3\",x=\"y\"} 1\n\
        # TYPE g gauge\ng{pid=\"1\"} 7\ng{pid=\"2\"} 8\n\
        # TYPE h histogram\nh_bucket{pid=\"1\",le=\"1\"} 1\nh_bucket{pid=\"1\",le=\"+Inf\"} 2\nh_sum{pid=\"1\"} 3\n\
        h_count{pid=\"1\"} 2\nh_bucket{pid=\"2\",le=\"1\"} 0\nh_bucket{pid=\"2\",le=\"+Inf\"} 1\nh_sum{pid=\"2\"} 9\n\
        h_count{pid=\"2\"} 1\ntmp{path=\"/health\"} 1\ntmp{path=\"/\"} 2\n";
    gateway.push("/metrics/job/a", body);
    for (series, value) in [
        // Exact beyond 2^53, as sums of pushes are.
        ("c{instance=\"\",job=\"a\",x=\"y\"}", 1e16 + 2.0),
        ("g{instance=\"\",job=\"a\"}", 8.0),
        ("h_bucket{instance=\"\",job=\"a\",le=\"1\"}", 1.0),
        ("h_bucket{instance=\"\",job=\"a\",le=\"+Inf\"}", 3.0),
        ("h_sum{instance=\"\",job=\"a\"}", 12.0),
        ("h_count{instance=\"\",job=\"a\"}", 3.0),
        ("tmp{instance=\"\",job=\"a\",path=\"/\"}", 2.0),
    ] {
        assert_eq!(gateway.sample(series), Some(value), "{series}");
    }
    assert_eq!(gateway.sample("tmp{instance=\"\",job=\"a\",path=\"/health\"}"), None);
    // A PUT replaces with all of what came together.
    assert_eq!(
        gateway.put("/metrics/job/a", "# TYPE c counter\nc{pid=\"1\"} 1\nc{pid=\"2\"} 2\n").status,
        200
    );
    assert_eq!(gateway.sample("c{instance=\"\",job=\"a\"}"), Some(3.0));
    assert_eq!(gateway.sample("g{instance=\"\",job=\"a\"}"), None);
    // Nothing of a push is applied if a part of it is wrong.
    gateway.refused("/metrics/job/a", "# TYPE c counter\nc{pid=\"1\"} 1\nc{pid=\"2\"} -2\n");
    assert_eq!(gateway.sample("c{instance=\"\",job=\"a\"}"), Some(3.0));
}

#[test]
fn shell_scripts_feed_a_histogram() {
    let gateway = gateway(
        r#"
[[metrics]]
match = 'backup_duration_seconds'
observe = { buckets = [10, 60, 300] }
[[metrics]]
match = 'size_bytes'
observe = { native = true }
"#,
    );
    for seconds in ["42", "7.5", "1000"] {
        gateway.push("/metrics/job/backup", &format!("backup_duration_seconds {seconds}\nsize_bytes 3\n"));
    }
    for (series, value) in [
        ("backup_duration_seconds_bucket{instance=\"\",job=\"backup\",le=\"10\"}", 1.0),
        ("backup_duration_seconds_bucket{instance=\"\",job=\"backup\",le=\"60\"}", 2.0),
        ("backup_duration_seconds_bucket{instance=\"\",job=\"backup\",le=\"300\"}", 2.0),
        ("backup_duration_seconds_bucket{instance=\"\",job=\"backup\",le=\"+Inf\"}", 3.0),
        ("backup_duration_seconds_sum{instance=\"\",job=\"backup\"}", 1049.5),
        ("backup_duration_seconds_count{instance=\"\",job=\"backup\"}", 3.0),
        ("size_bytes_sum{instance=\"\",job=\"backup\"}", 9.0),
        ("size_bytes_count{instance=\"\",job=\"backup\"}", 3.0),
    ] {
        assert_eq!(gateway.sample(series), Some(value), "{series}");
    }
    assert_eq!(gateway.post("/metrics/job/backup", "backup_duration_seconds NaN\n").status, 400);
}

#[test]
fn buckets_that_differ_are_what_the_rule_says() {
    let gateway = gateway(
        r#"
[[metrics]]
match = 'strict'
buckets = "reject"
[[metrics]]
match = 'common'
buckets = "intersection"
"#,
    );
    let body = |name: &str, buckets: &[(&str, u32)]| {
        let mut body = format!("# TYPE {name} histogram\n");
        for (le, count) in buckets {
            body += &format!("{name}_bucket{{le=\"{le}\"}} {count}\n");
        }
        let count = buckets.last().unwrap().1;
        body + &format!("{name}_sum 1\n{name}_count {count}\n")
    };
    let first = [("1", 1), ("2", 2), ("4", 3), ("+Inf", 4)];
    let second = [("2", 10), ("3", 20), ("4", 30), ("+Inf", 40)];
    for name in ["strict", "common", "both"] {
        gateway.push("/metrics/job/a", &body(name, &first));
    }
    let refused = gateway.refused("/metrics/job/a", &body("strict", &second));
    assert!(refused.contains("strict"), "{refused}");
    gateway.push("/metrics/job/a", &body("strict", &first));
    for name in ["common", "both"] {
        gateway.push("/metrics/job/a", &body(name, &second));
    }
    let buckets = |name: &str| -> Vec<(String, f64)> {
        let start = format!("{name}_bucket{{instance=\"\",job=\"a\",le=\"");
        let of = |line: &str| {
            let (le, count) = line.strip_prefix(&start)?.split_once("\"} ")?;
            Some((le.to_owned(), count.parse().unwrap()))
        };
        gateway.pushed().lines().filter_map(of).collect()
    };
    let expected = |pairs: &[(&str, f64)]| -> Vec<(String, f64)> {
        pairs.iter().map(|(le, count)| ((*le).to_owned(), *count)).collect()
    };
    assert_eq!(buckets("strict"), expected(&[("1", 2.0), ("2", 4.0), ("4", 6.0), ("+Inf", 8.0)]));
    assert_eq!(buckets("common"), expected(&[("2", 12.0), ("4", 33.0), ("+Inf", 44.0)]));
    assert_eq!(buckets("both").len(), 5);
}

#[test]
fn running_totals_are_not_relabelled() {
    let gateway = gateway(
        r#"
[[groups]]
match = '{job="a"}'
headers = true
[[metrics]]
match = '{__name__=~"c.*"}'
relabel = [{ action = "labeldrop", regex = "pid" }]
"#,
    );
    let push = |headers: &[(&str, &str)], body: &str| {
        gateway.request("POST", "/metrics/job/a", headers, body.as_bytes())
    };
    let body = "# TYPE c counter\nc{pid=\"1\"} 100\nc{pid=\"2\"} 50\n";
    assert_eq!(push(&[], body).status, 200);
    let refused = push(&[("X-Push-Temporality", "cumulative")], body);
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("whose running totals can't be told apart"), "{}", refused.text());
    // Gauges have no totals.
    assert_eq!(push(&[("X-Push-Temporality", "auto")], "# TYPE cg gauge\ncg{pid=\"1\"} 1\n").status, 200);
    assert_eq!(gateway.sample("c{instance=\"\",job=\"a\"}"), Some(150.0));
}

#[test]
fn buckets_of_observations_count_as_samples() {
    let rules =
        "[limits]\nsamples_per_push = 20\n[[metrics]]\nmatch = 'd'\nobserve = { buckets = [1, 2, 3] }\n";
    let gateway = gateway(rules);
    let body = |series: u32| (0..series).map(|at| format!("d{{a=\"{at}\"}} 1\n")).collect::<String>();
    // Each is a line and four buckets.
    gateway.push("/metrics/job/a", &body(4));
    let refused = gateway.request("POST", "/metrics/job/a", &[], body(5).as_bytes());
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("come to more than 20 samples"), "{}", refused.text());
    assert_eq!(gateway.sample("d_count{a=\"4\",instance=\"\",job=\"a\"}"), None);
}

#[test]
fn steps_that_double_a_text_are_stopped() {
    let double = "{ source_labels = [\"a\"], target_label = \"a\", replacement = \"$1$1\" },".repeat(36);
    let map = |at| format!("{{ action = \"labelmap\", regex = \"(.+)\", replacement = \"${{1}}_{at}\" }},");
    let more: String = (0..24).map(map).collect();
    let rules = format!(
        "[[groups]]\nmatch = '{{job=\"b\"}}'\nrelabel = [{double}]\n[[metrics]]\nmatch = 'd'\nrelabel = [{double}]\n[[metrics]]\nmatch = 'm'\nrelabel = [{more}]\n"
    );
    let gateway = gateway(&rules);
    for (path, body, message) in [
        ("/metrics/job/a", "d{a=\"zz\"} 1\n", "relabelling makes more than 512 labels, or more than 1 MiB"),
        ("/metrics/job/a", "m{a=\"zz\"} 1\n", "relabelling makes more than 512 labels, or more than 1 MiB"),
        ("/metrics/job/b/a/zz", "other 1\n", "makes more than 512 labels of this group, or more than 1 MiB"),
    ] {
        let refused = gateway.request("POST", path, &[], body.as_bytes());
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.text().contains(message), "{}", refused.text());
    }
    gateway.push("/metrics/job/a", "other{a=\"zz\"} 1\n");
}
