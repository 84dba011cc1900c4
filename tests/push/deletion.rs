//! Deletions by selector: series, whole groups, whatever keeps the store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Directory, Gateway, Response};

const PATH: &str = "/api/v1/admin/delete";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// Runs a test with a gateway that keeps nothing on disk, one that answers when it has, and one that
/// answers before.
fn everywhere(test: impl Fn(&Gateway)) {
    let admin = "--web.enable-admin-api";
    test(&Gateway::start(&[admin]));
    let folder = Directory::new();
    let file = |name: &str| format!("--persistence.file={}", folder.path_of(name));
    test(&Gateway::start(&[admin, &file("push")]));
    let config = "[persistence]\nsync = \"interval\"\n";
    test(&Gateway::start_with_config(config, &[admin, &file("interval")]));
}

/// Parameters as a query or form has them.
fn encoded(parameters: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => char::from(byte).to_string(),
            b' ' => "+".to_owned(),
            other => format!("%{other:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let pairs = parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn send(gateway: &Gateway, parameters: &[(&str, &str)]) -> Response {
    gateway.put(&format!("{PATH}?{}", encoded(parameters)), "")
}

fn parsed(answer: &Response) -> Value {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// What an accepted deletion says.
#[track_caller]
fn deleted(gateway: &Gateway, parameters: &[(&str, &str)]) -> Value {
    let answer = send(gateway, parameters);
    let mut parsed = parsed(&answer);
    assert_eq!((answer.status, &parsed["status"]), (200, &json!("success")), "{parsed}");
    parsed["data"].take()
}

/// Why a deletion was refused.
#[track_caller]
fn refused(answer: &Response) -> String {
    let parsed = parsed(answer);
    assert_eq!((answer.status, &parsed["status"]), (400, &json!("error")), "{parsed}");
    assert_eq!(parsed["errorType"], "bad_data");
    parsed["error"].as_str().unwrap().to_owned()
}

fn push_sample(gateway: &Gateway) {
    gateway.push(
        "/metrics/job/a",
        "# TYPE c_total counter\nc_total{pod=\"p1\"} 1\nc_total{pod=\"p2\"} 2\ng{pod=\"p1\"} 3\n",
    );
    gateway.push("/metrics/job/a/zone/eu", "# TYPE c_total counter\nc_total{pod=\"p1\"} 4\n");
    gateway.push("/metrics/job/b", "# TYPE c_total counter\nc_total{pod=\"p1\"} 5\ng 6\n");
    let histogram = "# TYPE h histogram\nh_bucket{pod=\"p1\",le=\"1\"} 1\nh_bucket{pod=\"p1\",le=\"+Inf\"} 2\nh_sum{pod=\"p1\"} 3\nh_count{pod=\"p1\"} 2\n";
    gateway.push("/metrics/job/c", histogram);
}

/// The lines of samples that are left.
fn left(gateway: &Gateway) -> Vec<String> {
    gateway.pushed().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// Each deletion of the sample: its parameters, how many series and groups go, and what is left of them.
type Case = (&'static [(&'static str, &'static str)], u64, u64, &'static [&'static str]);

const C_A1: &str = r#"c_total{instance="",job="a",pod="p1"} 1"#;
const C_A2: &str = r#"c_total{instance="",job="a",pod="p2"} 2"#;
const C_EU: &str = r#"c_total{instance="",job="a",pod="p1",zone="eu"} 4"#;
const C_B: &str = r#"c_total{instance="",job="b",pod="p1"} 5"#;
const G_A: &str = r#"g{instance="",job="a",pod="p1"} 3"#;
const G_B: &str = r#"g{instance="",job="b"} 6"#;

const CASES: [Case; 14] = [
    (&[("match[]", "nothing")], 0, 0, &[C_A1, C_A2, C_EU, C_B, G_A, G_B]),
    (&[("match[]", "c_total")], 4, 0, &[G_A, G_B]),
    (&[("match[]", r#"{job="a"}"#)], 4, 0, &[C_B, G_B]),
    (&[("match[]", r#"{job="a",zone=""}"#)], 3, 0, &[C_EU, C_B, G_B]),
    (&[("match[]", r#"c_total{pod="p1"}"#)], 3, 0, &[C_A2, G_A, G_B]),
    (&[("match[]", r#"{pod="p1",__name__!="h"}"#)], 4, 0, &[C_A2, G_B]),
    (&[("match[]", r#"{pod!="p1",job=~"a|b"}"#)], 2, 0, &[C_A1, C_EU, C_B, G_A]),
    (&[("match[]", r#"{instance="",pod="p2"}"#)], 1, 0, &[C_A1, C_EU, C_B, G_A, G_B]),
    (&[("match[]", "h")], 1, 0, &[C_A1, C_A2, C_EU, C_B, G_A, G_B]),
    (&[("match[]", r#"g{job="a"}"#), ("match[]", r#"c_total{zone="eu"}"#)], 2, 0, &[C_A1, C_A2, C_B, G_B]),
    (&[("group[]", r#"{job="a"}"#)], 4, 2, &[C_B, G_B]),
    (&[("group[]", r#"{job="a",zone=""}"#), ("group[]", r#"{job="c"}"#)], 4, 1 + 1, &[C_EU, C_B, G_B]),
    (&[("group[]", r#"{zone=~"e.*"}"#), ("match[]", r#"{pod="p1"}"#)], 5, 1, &[C_A2, G_B]),
    // The group of the labels {job="a"}, and not the one that has more.
    (&[("id[]", "e2pvYj0iYSJ9")], 3, 1, &[C_EU, C_B, G_B]),
];

#[test]
fn what_matches_goes_and_the_rest_stays() {
    everywhere(|gateway| {
        for (parameters, series, groups, rest) in CASES {
            gateway.put("/api/v1/admin/wipe", "");
            push_sample(gateway);
            let before = gateway.api();
            let dry_run = [parameters, &[("dry_run", "true")]].concat();
            let mut expected = deleted(gateway, &dry_run);
            assert_eq!(expected["dryRun"], true);
            assert_eq!(gateway.api(), before, "{parameters:?} on trial");
            expected["dryRun"] = false.into();

            let data = deleted(gateway, parameters);
            assert_eq!(data, expected, "{parameters:?}");
            assert_eq!(
                (&data["series"], &data["groups"]),
                (&series.into(), &groups.into()),
                "{parameters:?}"
            );
            assert_eq!(data["truncated"], false);
            let mut left = left(gateway);
            left.retain(|line| !line.starts_with("h_"));
            left.sort();
            let mut rest = rest.to_vec();
            rest.sort_unstable();
            assert_eq!(left, rest, "{parameters:?}");
            // Groups stay, unless they go whole.
            assert_eq!(gateway.api()["data"].as_array().unwrap().len() as u64, 4 - groups, "{parameters:?}");
        }
    });
}

#[test]
fn the_answer_lists_what_goes() {
    everywhere(|gateway| {
        push_sample(gateway);
        let data = deleted(gateway, &[("match[]", r#"{pod="p1"}"#), ("group[]", r#"{zone="eu"}"#)]);
        let part = |group: Value, family: Value, series: u64| json!({"group": group, "family": family, "series": series});
        let matched = json!([
            part(json!({"job": "a", "zone": "eu"}), Value::Null, 1),
            part(json!({"job": "a"}), "c_total".into(), 1),
            part(json!({"job": "a"}), "g".into(), 1),
            part(json!({"job": "b"}), "c_total".into(), 1),
            part(json!({"job": "c"}), "h".into(), 1),
        ]);
        let expected =
            json!({"dryRun": false, "series": 5, "groups": 1, "matched": matched, "truncated": false});
        assert_eq!(data, expected);
        let log =
            r#"selectors="match[]=\"{pod=\\\"p1\\\"}\" group[]=\"{zone=\\\"eu\\\"}\"" groups=1 series=5"#;
        gateway.wait_for_log("deleted what matches");
        let log_line = gateway.stderr();
        let line = log_line.lines().find(|line| line.contains("deleted what matches")).unwrap();
        assert!(line.contains(log) && line.contains("source=127.0.0.1:"), "{line}");
    });
}

#[test]
fn a_group_that_loses_its_last_series_stays_with_its_push_times() {
    everywhere(|gateway| {
        gateway.push("/metrics/job/a", "# TYPE m counter\nm 1\n");
        let times = |gateway: &Gateway| gateway.sample(r#"push_time_seconds{instance="",job="a"}"#).unwrap();
        let before = times(gateway);
        assert_eq!(deleted(gateway, &[("match[]", r#"{job="a"}"#)])["series"], 1);
        assert_eq!(gateway.pushed(), "");
        assert_eq!(times(gateway), before);
        // The name is free again, and what comes begins anew.
        gateway.push("/metrics/job/b", "# TYPE m gauge\nm 7\n");
        assert_eq!(gateway.sample(r#"m{instance="",job="b"}"#), Some(7.0));
        assert_eq!(deleted(gateway, &[("match[]", "m")])["series"], 1);
        gateway.push("/metrics/job/a", "# TYPE m counter\nm 2\n");
        assert_eq!(gateway.sample(r#"m{instance="",job="a"}"#), Some(2.0));
    });
}

#[test]
fn a_deletion_that_is_sent_again_does_not_delete_what_came_between() {
    everywhere(|gateway| {
        let send = |method: &str, key: &str, parameters: &[(&str, &str)]| {
            let path = format!("{PATH}?{}", encoded(parameters));
            let answer = gateway.request(method, &path, &[("Idempotency-Key", key)], b"");
            assert_eq!(answer.status, 200, "{}", answer.text());
            (answer.header("Idempotent-Replayed") == Some("true"), parsed(&answer)["data"].clone())
        };
        let all = [("match[]", "c_total")];
        push_sample(gateway);
        // A trial uses no key up.
        assert!(!send("PUT", "k", &[("match[]", "c_total"), ("dry_run", "true")]).0);
        let (is_replayed, data) = send("PUT", "k", &all);
        assert_eq!((is_replayed, &data["series"]), (false, &json!(4)));
        gateway.push("/metrics/job/b", "# TYPE c_total counter\nc_total{pod=\"p1\"} 5\n");
        assert_eq!(send("PUT", "k", &all), (true, json!({"dryRun": false, "replayed": true})));
        assert!(left(gateway).contains(&C_B.to_owned()));
        // A key counts for one set of parameters.
        assert_eq!(send("PUT", "k", &[("match[]", r#"c_total{job="b"}"#)]).1["series"], 1);
        assert_eq!(send("PUT", "l", &all).1["series"], 0);
        // And for a deletion by selector apart from others.
        gateway.push("/metrics/job/b", "# TYPE c_total counter\nc_total{pod=\"p1\"} 5\n");
        let answer = gateway.request("DELETE", "/metrics/job/b", &[("Idempotency-Key", "k")], b"");
        assert_eq!((answer.status, answer.header("Idempotent-Replayed")), (202, None));
    });
}

#[test]
fn a_form_says_the_same_as_a_query() {
    let gateway = Gateway::start(&["--web.enable-admin-api"]);
    push_sample(&gateway);
    let form = |query: &str, headers: &[(&str, &str)], form: &str| {
        gateway.request("PUT", &format!("{PATH}{query}"), headers, form.as_bytes())
    };
    let one = encoded(&[("match[]", r#"g{job="a"}"#)]);
    let answer = form("?dry_run=true", &[FORM], &one);
    assert_eq!(parsed(&answer)["data"]["series"], 1);
    let with_charset = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
    let answer = form("?match[]=h", &[with_charset], &one);
    assert_eq!(parsed(&answer)["data"]["series"], 2);
    assert_eq!(left(&gateway).len(), 5);
    // Many groups at once.
    let jobs: Vec<String> = (0..2000).map(|n| format!("j{n}")).collect();
    for job in &jobs {
        gateway.push(&format!("/metrics/job/{job}"), "m 1\n");
    }
    let ids = gateway.get("/api/v1/groups?limit=500").text();
    let ids: Value = serde_json::from_str(&ids).unwrap();
    let ids: Vec<&str> =
        ids["data"]["groups"].as_array().unwrap().iter().map(|group| group["id"].as_str().unwrap()).collect();
    let pairs: Vec<_> = ids.iter().map(|id| ("id[]", *id)).collect();
    let answer = form("", &[FORM], &encoded(&pairs));
    assert_eq!(parsed(&answer)["data"]["groups"], 500);
    assert_eq!(parsed(&answer)["data"]["matched"].as_array().unwrap().len(), 100);
    assert_eq!(parsed(&answer)["data"]["truncated"], true);

    let before = gateway.pushed();
    for (headers, body) in [
        (&[][..], &*one),
        (&[("Content-Type", "text/plain")], &*one),
        (&[FORM, ("Content-Encoding", "gzip")], &*one),
    ] {
        let error = refused(&form("?match[]=m", headers, body));
        assert!(error.starts_with("the body must be application/x-www-form-urlencoded"), "{error}");
    }
    assert_eq!(gateway.pushed(), before);
}

#[test]
fn what_is_wrong_deletes_nothing_and_is_said() {
    everywhere(|gateway| {
        push_sample(gateway);
        let before = gateway.pushed();
        for (parameters, said) in [
            (&[][..], "no match[], group[] or id[] parameter provided"),
            (&[("dry_run", "false")], "no match[], group[] or id[] parameter provided"),
            (&[("match[]", "g"), ("dryrun", "true")], "unknown parameter \"dryrun\""),
            (&[("match[]", "g"), ("dry_run", "1")], "invalid parameter \"dry_run\""),
            (&[("match[]", "g"), ("match[]", "")], "invalid parameter \"match[]\": \"\": "),
            (&[("match[]", "g"), ("match[]", "{}")], "invalid parameter \"match[]\": \"{}\": "),
            (&[("match[]", "g"), ("group[]", r#"{job=~".*"}"#)], "invalid parameter \"group[]\": "),
            (&[("match[]", "g"), ("group[]", r#"{job=""}"#)], "invalid parameter \"group[]\": "),
            (
                &[("match[]", "g"), ("group[]", "g")],
                "invalid parameter \"group[]\": \"g\": a group has no __name__",
            ),
            (&[("match[]", "g"), ("id[]", "%")], "invalid parameter \"id[]\": \"%\" is no id of a group"),
        ] {
            let error = refused(&send(gateway, parameters));
            assert!(error.starts_with(said), "{error}");
        }
        let unfinished = r#"{job="a",pod}"#;
        let error = refused(&send(gateway, &[("match[]", unfinished)]));
        assert!(error.contains("at character 13 of the selector"), "{error}");
        let answer = gateway.request("PUT", &format!("{PATH}?match[]=g"), &[("Idempotency-Key", "a b")], b"");
        assert!(refused(&answer).contains("Idempotency-Key"));
        assert_eq!(gateway.request("POST", &format!("{PATH}?match[]=g"), &[], b"").status, 405);
        assert_eq!(gateway.pushed(), before);
    });
}

#[test]
fn pushes_go_on_and_none_is_half_deleted() {
    const PUSHES: usize = 120;
    everywhere(|gateway| {
        let is_over = AtomicBool::new(false);
        let body = |pod: usize| {
            format!(
                "# TYPE a_total counter\na_total{{pod=\"{pod}\"}} 1\n# TYPE b_total counter\nb_total{{pod=\"{pod}\"}} 1\n"
            )
        };
        thread::scope(|scope| {
            let pushing: Vec<_> = (0..2)
                .map(|job| {
                    scope.spawn(move || {
                        for n in 0..PUSHES {
                            gateway.push(&format!("/metrics/job/{job}"), &body(n % 7));
                        }
                    })
                })
                .collect();
            let deleting = scope.spawn(|| {
                let selectors: [&[(&str, &str)]; 2] = [
                    &[("match[]", r#"{pod=~"1|3"}"#)],
                    &[("match[]", r#"{pod="2"}"#), ("group[]", r#"{job="1"}"#)],
                ];
                for parameters in selectors.iter().cycle().take_while(|_| !is_over.load(Ordering::SeqCst)) {
                    let data = deleted(gateway, parameters);
                    // Both series of a push, or none.
                    assert_eq!(data["series"].as_u64().unwrap() % 2, 0, "{data}");
                }
            });
            let scraping = scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let left = left(gateway);
                    let of = |name: &str| {
                        let lines = left.iter().filter_map(|line| line.strip_prefix(name));
                        lines.map(str::to_owned).collect::<Vec<_>>()
                    };
                    let (mut a, mut b) = (of("a_total"), of("b_total"));
                    a.sort();
                    b.sort();
                    assert_eq!(a, b);
                }
            });
            for thread in pushing {
                thread.join().unwrap();
            }
            is_over.store(true, Ordering::SeqCst);
            deleting.join().unwrap();
            scraping.join().unwrap();
        });
    });
}

#[test]
fn a_deletion_from_a_large_store_is_whole() {
    everywhere(|gateway| {
        let series = |range: std::ops::Range<usize>| -> String {
            let kind = "# TYPE s_total counter\n".to_owned();
            kind + &range.map(|n| format!("s_total{{n=\"{n}\",odd=\"{}\"}} {n}\n", n % 2)).collect::<String>()
        };
        for job in 0..10 {
            gateway.push(&format!("/metrics/job/{job}"), &series(0..10_000));
        }
        let data = deleted(gateway, &[("match[]", r#"s_total{odd="1",job!="9"}"#)]);
        assert_eq!((&data["series"], &data["groups"]), (&json!(45_000), &json!(0)));
        assert_eq!(data["matched"].as_array().unwrap().len(), 9);
        let left = left(gateway);
        assert_eq!(left.len(), 55_000);
        assert!(left.iter().all(|line| line.contains("odd=\"0\"") || line.contains("job=\"9\"")));
        let data = deleted(gateway, &[("group[]", r#"{job=~".+",job!="0"}"#)]);
        assert_eq!((&data["series"], &data["groups"]), (&json!(50_000), &json!(9)));
        gateway.push("/metrics/job/0", &series(0..10_000));
        assert_eq!(gateway.sample(r#"s_total{instance="",job="0",n="8",odd="0"}"#), Some(16.0));
        assert_eq!(gateway.sample(r#"s_total{instance="",job="0",n="9",odd="1"}"#), Some(9.0));
    });
}

#[test]
fn what_was_answered_survives_a_kill() {
    let folder = Directory::new();
    let file = format!("--persistence.file={}", folder.path_of("store"));
    let start = || Gateway::start(&["--web.enable-admin-api", &file]);
    let keyed = |gateway: &Gateway, parameters: &[(&str, &str)]| {
        let path = format!("{PATH}?{}", encoded(parameters));
        let answer = gateway.request("PUT", &path, &[("Idempotency-Key", "k")], b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("Idempotent-Replayed").is_some()
    };
    for (parameters, _, _, _) in CASES {
        let gateway = start();
        gateway.put("/api/v1/admin/wipe", "");
        push_sample(&gateway);
        assert!(!keyed(&gateway, parameters), "{parameters:?}");
        let before = gateway.api();
        let shown = gateway.pushed();
        // Dropping it is a kill -9.
        drop(gateway);
        let gateway = start();
        assert_eq!(gateway.api(), before, "{parameters:?}");
        assert_eq!(gateway.pushed(), shown);
        push_sample(&gateway);
        let before = gateway.pushed();
        assert!(keyed(&gateway, parameters), "{parameters:?}");
        assert_eq!(gateway.pushed(), before);
    }
}
