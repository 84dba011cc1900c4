//! Groups, series and sources that go when nobody pushes them.
//!
//! The TTLs are short, and the tests wait until what must go has gone. What must stay has no TTL.

use crate::programs::ask_until;
use crate::support::{Directory, Gateway};

const RULES: &str = r#"
[[groups]]
match = '{job="short"}'
ttl = "50ms"
headers = true

[[groups]]
match = '{job="worker"}'
relabel = [{ action = "labeldrop", regex = "pod" }]
source_ttl = "50ms"

[[groups]]
match = '{job="hinted"}'
headers = true

[[metrics]]
match = 'seen'
series_ttl = "50ms"

[[metrics]]
match = 'depth'
merge = "sum"
"#;

/// Waits until a scrape has this value of a series; none if it is to go.
#[track_caller]
fn wait_for(gateway: &Gateway, series: &str, value: Option<f64>) {
    ask_until(series, || match gateway.sample(series) {
        shown if shown == value => Ok(()),
        shown => Err(format!("{shown:?}")),
    });
}

#[test]
fn a_group_goes_when_nobody_pushes_to_it() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    gateway.push("/metrics/job/short", "m 1\n");
    gateway.push("/metrics/job/long", "m 1\n");
    wait_for(&gateway, "m{instance=\"\",job=\"short\"}", None);
    wait_for(&gateway, "tallygate_expired_groups_total", Some(1.0));
    assert_eq!(gateway.sample("tallygate_groups"), Some(1.0));
    assert_eq!(gateway.sample("m{instance=\"\",job=\"long\"}"), Some(1.0));
    // What comes again begins anew.
    gateway.push("/metrics/job/short", "# TYPE c counter\nc 5\n");
    wait_for(&gateway, "c{instance=\"\",job=\"short\"}", None);
    gateway.push("/metrics/job/long", "# TYPE c counter\nc 2\n");
    assert_eq!(gateway.sample("c{instance=\"\",job=\"long\"}"), Some(2.0));
}

#[test]
fn a_header_may_give_a_ttl_where_a_rule_reads_it() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    for job in ["hinted", "other"] {
        let path = format!("/metrics/job/{job}");
        assert_eq!(gateway.request("POST", &path, &[("X-Push-TTL", "50ms")], b"m 1\n").status, 200);
    }
    wait_for(&gateway, "m{instance=\"\",job=\"hinted\"}", None);
    assert_eq!(gateway.sample("m{instance=\"\",job=\"other\"}"), Some(1.0));
}

#[test]
fn series_go_and_their_group_stays() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    gateway.push(
        "/metrics/job/a",
        "# TYPE seen gauge\nseen{host=\"x\"} 1\nseen{host=\"y\"} 2\n# TYPE kept gauge\nkept 3\n",
    );
    for host in ["x", "y"] {
        wait_for(&gateway, &format!("seen{{host=\"{host}\",instance=\"\",job=\"a\"}}"), None);
    }
    assert_eq!(gateway.sample("kept{instance=\"\",job=\"a\"}"), Some(3.0));
    wait_for(&gateway, "tallygate_expired_series_total", Some(2.0));
}

#[test]
fn the_part_of_a_source_goes() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    let text = "# TYPE depth gauge\ndepth 5\n# TYPE runs counter\nruns 2\n";
    for pod in ["a", "b"] {
        gateway.push(&format!("/metrics/job/worker/pod/{pod}"), text);
    }
    wait_for(&gateway, "depth{instance=\"\",job=\"worker\"}", None);
    wait_for(&gateway, "tallygate_expired_sources_total", Some(2.0));
    // What they have added stays.
    assert_eq!(gateway.sample("runs{instance=\"\",job=\"worker\"}"), Some(4.0));
}

#[test]
fn deadlines_survive_kill_9() {
    let folder = Directory::new();
    let config = format!("--config.file={}", folder.write("tallygate.toml", RULES));
    let file = format!("--persistence.file={}", folder.path_of("state"));
    let mut gateway = Gateway::start(&[&config, &file]);
    gateway.push("/metrics/job/short", "m 1\n");
    gateway.push("/metrics/job/a", "# TYPE seen gauge\nseen 1\n# TYPE kept gauge\nkept 3\n");
    gateway.kill();
    // Rules say how long what is pushed stays; what has been pushed stays as long without them.
    let gateway = Gateway::start(&[&file]);
    wait_for(&gateway, "m{instance=\"\",job=\"short\"}", None);
    wait_for(&gateway, "seen{instance=\"\",job=\"a\"}", None);
    assert_eq!(gateway.sample("kept{instance=\"\",job=\"a\"}"), Some(3.0));
}

#[test]
fn a_noisy_team_is_capped_and_its_totals_stay_right() {
    for (overflow, codes) in [("refuse", [200, 429, 200]), ("fold", [200, 200, 200])] {
        let rules =
            format!("[[groups]]\nmatch = '{{team=\"noisy\"}}'\nmax_series = 2\noverflow = \"{overflow}\"\n");
        let gateway = Gateway::start_with_config(&rules, &[]);
        let known = "# TYPE hits counter\nhits{page=\"a\"} 1\nhits{page=\"b\"} 1\n";
        let new = "# TYPE hits counter\nhits{page=\"b\"} 1\nhits{page=\"c\"} 10\nhits{page=\"d\"} 100\n";
        for (body, code) in [known, new, known].into_iter().zip(codes) {
            let answer = gateway.post("/metrics/job/web/team/noisy", body);
            assert_eq!(answer.status, code, "{overflow}: {}", answer.text());
            if code == 429 {
                assert!(answer.text().contains("max_series"), "{}", answer.text());
            }
        }
        let hits = |labels: &str| gateway.sample(&format!("hits{{{labels},team=\"noisy\"}}"));
        let (b, folded) = if overflow == "fold" { (3.0, Some(110.0)) } else { (2.0, None) };
        assert_eq!(hits("instance=\"\",job=\"web\",page=\"a\""), Some(2.0), "{overflow}");
        assert_eq!(hits("instance=\"\",job=\"web\",page=\"b\""), Some(b), "{overflow}");
        assert_eq!(hits("instance=\"\",job=\"web\",overflow=\"true\""), folded, "{overflow}");
        // Other groups have no such limit.
        gateway.push("/metrics/job/web", &new.replace("hits", "others"));
        let overflowed = if overflow == "fold" { 2.0 } else { 0.0 };
        assert_eq!(gateway.sample("tallygate_overflowed_series_total"), Some(overflowed), "{overflow}");
    }
}
