//! `[[groups]]`: which group a push belongs to, and whether it is accepted.

use crate::support::{Directory, Gateway};

fn gateway(rules: &str) -> Gateway {
    Gateway::start_with_config(rules, &[])
}

/// The lines of these families in a scrape.
fn shown(gateway: &Gateway, names: &[&str]) -> Vec<String> {
    let lines = gateway.scrape();
    let is_of = |line: &&str| names.iter().any(|name| line.starts_with(&format!("{name}{{")));
    lines.lines().filter(is_of).map(str::to_owned).collect()
}

#[test]
fn pushes_of_many_pods_add_up_in_one_group() {
    let gateway = gateway(
        "[[groups]]\nmatch = '{job=\"worker\"}'\nrelabel = [{ action = \"labeldrop\", regex = \"instance|pod\" }]\n",
    );
    for pod in ["a", "b", "c"] {
        gateway.push(&format!("/metrics/job/worker/pod/{pod}/zone/eu"), "# TYPE runs counter\nruns 2\n");
    }
    // Another job is left alone.
    gateway.push("/metrics/job/other/pod/a", "# TYPE runs counter\nruns 1\n");
    assert_eq!(
        shown(&gateway, &["runs", "push_time_seconds"])
            .iter()
            .map(|line| line.split(' ').next().unwrap())
            .collect::<Vec<_>>(),
        [
            "push_time_seconds{instance=\"\",job=\"other\",pod=\"a\"}",
            "push_time_seconds{instance=\"\",job=\"worker\",zone=\"eu\"}",
            "runs{instance=\"\",job=\"other\",pod=\"a\"}",
            "runs{instance=\"\",job=\"worker\",zone=\"eu\"}",
        ]
    );
    assert_eq!(gateway.sample("runs{instance=\"\",job=\"worker\",zone=\"eu\"}"), Some(6.0));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let gateway = gateway(
        r#"
[[groups]]
match = '{job="a",team!=""}'
relabel = [{ target_label = "by", replacement = "first" }]
[[groups]]
match = '{job=~"a|b"}'
relabel = [{ target_label = "by", replacement = "second" }]
"#,
    );
    for (path, by) in [
        ("/metrics/job/a/team/x", "by=\"first\",instance=\"\",job=\"a\",team=\"x\""),
        ("/metrics/job/a", "by=\"second\",instance=\"\",job=\"a\""),
        ("/metrics/job/b/team/x", "by=\"second\",instance=\"\",job=\"b\",team=\"x\""),
        ("/metrics/job/c", "instance=\"\",job=\"c\""),
    ] {
        gateway.push(path, "m 1\n");
        assert_eq!(gateway.sample(&format!("m{{{by}}}")), Some(1.0), "{path}");
    }
    for (rule, pushes) in [("1", 1.0), ("2", 2.0)] {
        let series = format!("tallygate_rule_pushes_total{{rule=\"{rule}\"}}");
        assert_eq!(gateway.sample(&series), Some(pushes), "{series}");
    }
}

#[test]
fn a_rule_may_refuse_or_drop_pushes() {
    let folder = Directory::new();
    let file = folder.write(
        "rules.toml",
        r#"
[[groups]]
match = '{job="noisy"}'
accept = false

[[groups]]
match = '{job="quiet"}'
relabel = [{ source_labels = ["zone"], regex = "test", action = "drop" }]

[[groups]]
match = '{job="lost"}'
relabel = [{ action = "labeldrop", regex = "job" }]
"#,
    );
    let gateway = Gateway::start(&[&format!("--config.file={file}"), "--log.level=debug"]);
    for method in ["POST", "PUT"] {
        let answer = gateway.request(method, "/metrics/job/noisy", &[], b"this is no metric");
        assert_eq!(answer.status, 403);
        let expected = format!("pushes to this group are not accepted: the rule in {file}, line 2 says so\n");
        assert_eq!(answer.text(), expected);
        // It is accepted, and nothing changes.
        let answer = gateway.request(method, "/metrics/job/quiet/zone/test", &[], b"m 1\n");
        assert_eq!((answer.status, answer.text().as_str()), (200, ""));
        let answer = gateway.request(method, "/metrics/job/lost", &[], b"m 1\n");
        assert_eq!(answer.status, 400);
        let expected =
            format!("the relabelling of the rule in {file}, line 10 leaves this group without a job label\n");
        assert_eq!(answer.text(), expected);
    }
    assert_eq!(gateway.pushed(), "");
    assert_eq!(gateway.sample("tallygate_pushes_total{result=\"dropped\"}"), Some(2.0));
    assert_eq!(gateway.sample("tallygate_refused_pushes_total{reason=\"rule\"}"), Some(4.0));
    gateway.wait_for_log("push refused by a rule");
    // A body that can't be read is refused all the same.
    assert_eq!(gateway.post("/metrics/job/quiet/zone/test", "m x\n").status, 400);
    gateway.push("/metrics/job/quiet/zone/eu", "m 1\n");
    assert_eq!(gateway.sample("m{instance=\"\",job=\"quiet\",zone=\"eu\"}"), Some(1.0));
}

#[test]
fn put_is_what_the_rule_says() {
    let gateway =
        gateway("[push]\nput = \"replace\"\n[[groups]]\nmatch = '{job=\"adds\"}'\nput = \"aggregate\"\n");
    for job in ["adds", "replaces"] {
        for _ in 0..2 {
            let answer = gateway.put(&format!("/metrics/job/{job}"), "# TYPE c counter\nc 3\n");
            assert_eq!(answer.status, 200);
        }
    }
    assert_eq!(gateway.sample("c{instance=\"\",job=\"adds\"}"), Some(6.0));
    assert_eq!(gateway.sample("c{instance=\"\",job=\"replaces\"}"), Some(3.0));
}

#[test]
fn a_header_that_a_rule_reads_has_to_be_right() {
    let gateway = gateway("[[groups]]\nmatch = '{job=\"a\"}'\nheaders = true\n");
    for (name, value, expected) in [
        ("X-Push-Source", "", "1 to 1024 bytes of UTF-8"),
        ("X-Push-TTL", "soon", "a duration longer than 0, such as 10m"),
        ("X-Push-Temporality", "totals", "delta, cumulative or auto"),
    ] {
        let answer = gateway.request("POST", "/metrics/job/a", &[(name, value)], b"m 1\n");
        assert_eq!(answer.status, 400, "{name}");
        assert_eq!(answer.text(), format!("the header {name} is {value:?}: expected {expected}\n"));
        // Nobody looks at it where no rule says so.
        assert_eq!(gateway.request("POST", "/metrics/job/b", &[(name, value)], b"m 1\n").status, 200);
    }
    assert_eq!(gateway.sample("tallygate_pushes_total{result=\"refused\"}"), Some(3.0));
    assert_eq!(gateway.sample("tallygate_refused_pushes_total{reason=\"header\"}"), Some(3.0));
}

#[test]
fn a_retry_with_its_key_counts_once_under_rules() {
    let gateway = gateway(
        "[[groups]]\nmatch = '{job=\"worker\"}'\nrelabel = [{ action = \"labeldrop\", regex = \"pod\" }]\n\
         [[metrics]]\nmatch = '{__name__=\"c\"}'\nrelabel = [{ action = \"labeldrop\", regex = \"pid\" }]\n",
    );
    let body = b"# TYPE c counter\nc{pid=\"1\"} 1\nc{pid=\"2\"} 10\n";
    for (path, replayed) in [("a", None), ("a", Some("true")), ("b", None)] {
        let path = format!("/metrics/job/worker/pod/{path}");
        let answer = gateway.request("POST", &path, &[("Idempotency-Key", "k")], body);
        assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, replayed), "{path}");
    }
    assert_eq!(gateway.sample("c{instance=\"\",job=\"worker\"}"), Some(22.0));
}

#[test]
fn a_group_has_room_for_so_many_series() {
    let gateway = gateway(
        r#"
[[groups]]
match = '{job="folds"}'
max_series = 1
overflow = "fold"
[[groups]]
match = '{job="refuses"}'
max_series = 1
"#,
    );
    let body = "# TYPE runs counter\nruns{n=\"1\"} 1\nruns{n=\"2\"} 2\nruns{n=\"3\"} 3\n";
    gateway.push("/metrics/job/folds", body);
    gateway.push("/metrics/job/folds", body);
    gateway.push("/metrics/job/other", body);
    let refused = gateway.post("/metrics/job/refuses", body);
    assert_eq!(refused.status, 429);
    assert!(refused.text().contains("max_series"), "{}", refused.text());
    for (series, value) in [
        ("runs{instance=\"\",job=\"folds\",n=\"1\"}", Some(2.0)),
        ("runs{instance=\"\",job=\"folds\",n=\"2\"}", None),
        ("runs{instance=\"\",job=\"folds\",overflow=\"true\"}", Some(10.0)),
        ("runs{instance=\"\",job=\"other\",n=\"3\"}", Some(3.0)),
        ("runs{instance=\"\",job=\"refuses\",n=\"1\"}", None),
        ("tallygate_overflowed_series_total", Some(4.0)),
        ("tallygate_limit_hits_total{limit=\"max_series\"}", Some(1.0)),
    ] {
        assert_eq!(gateway.sample(series), value, "{series}");
    }
}
