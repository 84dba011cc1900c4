//! Limits of pushes and of the store: where they are, how the gateway answers, and what still works.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::protobuf::{CONTENT_TYPE, HISTOGRAM, Histogram, Native};
use crate::support::{Directory, Gateway, Response, assert_valid_exposition};

/// The gateway with these limits.
fn limited(limits: &str) -> Gateway {
    Gateway::start_with_config(&format!("[limits]\n{limits}\n"), &[])
}

/// How often a limit was hit.
#[track_caller]
fn hits(gateway: &Gateway, limit: &str) -> f64 {
    gateway.sample(&format!("tallygate_limit_hits_total{{limit=\"{limit}\"}}")).expect("a counter")
}

/// Checks that an answer is due to a limit.
#[track_caller]
fn assert_limited(answer: &Response, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(words), "{}", answer.text());
}

fn series(range: std::ops::Range<usize>) -> String {
    range.map(|number| format!("s_total{{n=\"{number}\"}} 1\n")).collect()
}

fn failed_at(gateway: &Gateway, labels: &str) -> Option<f64> {
    gateway.sample(&format!("push_failure_time_seconds{{{labels}}}"))
}

#[test]
fn live_series_go_on_where_new_ones_are_refused() {
    let gateway = limited("series = 10");
    gateway.push("/metrics/job/a", &series(0..8));
    gateway.push("/metrics/job/b", &series(0..2));
    let before = gateway.pushed();
    for (path, body) in [("/metrics/job/a", series(7..9)), ("/metrics/job/c", series(0..1))] {
        let answer = gateway.post(path, &body);
        assert_limited(&answer, 429, "10 series are the most (limits.series)");
    }
    assert_eq!(gateway.pushed(), before, "a refused push changed something");
    assert!(failed_at(&gateway, r#"instance="",job="a""#).unwrap() > 0.0);
    gateway.push("/metrics/job/a", &series(0..8));
    assert_eq!(gateway.sample(r#"s_total{instance="",job="a",n="0"}"#), Some(2.0));
    assert_eq!(hits(&gateway, "series"), 2.0);
    let reasons = gateway.sample("tallygate_refused_pushes_total{reason=\"series\"}");
    assert_eq!(reasons, Some(2.0));

    // A PUT frees what it replaces, and so does a DELETE.
    assert_eq!(gateway.put("/metrics/job/a", &series(100..108)).status, 200);
    assert_limited(&gateway.put("/metrics/job/a", &series(0..9)), 429, "limits.series");
    assert_eq!(gateway.put("/metrics/job/a", &series(0..3)).status, 200);
    gateway.push("/metrics/job/c", &series(0..5));
    assert_limited(&gateway.post("/metrics/job/c", &series(5..6)), 429, "limits.series");
    assert_eq!(gateway.delete("/metrics/job/b").status, 202);
    gateway.push("/metrics/job/c", &series(5..7));
    assert_limited(&gateway.post("/metrics/job/c", &series(7..8)), 429, "limits.series");
    assert_eq!(gateway.sample("tallygate_series"), Some(10.0));
}

#[test]
fn a_group_has_its_own_limit() {
    let gateway = limited("series_per_group = 5");
    gateway.push("/metrics/job/a", &series(0..5));
    gateway.push("/metrics/job/b", &series(0..5));
    let answer = gateway.post("/metrics/job/a", &series(5..6));
    assert_limited(&answer, 429, "5 series are the most in a group (limits.series_per_group)");
    assert_eq!(gateway.put("/metrics/job/a", &series(5..10)).status, 200);
    assert_eq!(hits(&gateway, "series_per_group"), 1.0);
}

#[test]
fn a_group_too_many_does_not_come_to_be() {
    let gateway = limited("groups = 2");
    gateway.push("/metrics/job/a", "m 1\n");
    assert_eq!(gateway.put("/metrics/job/b", "").status, 200);
    assert_limited(&gateway.post("/metrics/job/c", "m 1\n"), 429, "2 groups are the most (limits.groups)");
    // A push that is refused for another reason does not create one either.
    assert_eq!(gateway.post("/metrics/job/d", "m 1 1\n").status, 400);
    assert_eq!(gateway.sample("tallygate_groups"), Some(2.0));
    let scrape = gateway.scrape();
    assert!(!scrape.contains("job=\"c\"") && !scrape.contains("job=\"d\""), "{scrape}");
    gateway.push("/metrics/job/a", "m 2\n");
    gateway.delete("/metrics/job/b");
    gateway.push("/metrics/job/c", "m 1\n");
    assert_eq!(hits(&gateway, "groups"), 1.0);
}

#[test]
fn racing_pushes_don_t_pass_a_limit() {
    for flags in [&[][..], &["file"]] {
        let directory = Directory::new();
        let file = format!("--persistence.file={}", directory.path_of("metrics.db"));
        let flags: Vec<&str> = flags.iter().map(|_| file.as_str()).collect();
        let gateway = Gateway::start_with_config("[limits]\nseries = 100\ngroups = 7\n", &flags);
        let accepted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (gateway, accepted) = (&gateway, &accepted);
                scope.spawn(move || {
                    for push in 0..10 {
                        let body = series(thread * 100 + push * 3..thread * 100 + push * 3 + 3);
                        let answer = gateway.post(&format!("/metrics/job/{thread}"), &body);
                        assert!(matches!(answer.status, 200 | 429), "{}", answer.text());
                        accepted.fetch_add(usize::from(answer.status == 200), Ordering::Relaxed);
                    }
                });
            }
        });
        // 33 pushes of three series fit, in any order, apart from those for groups that came too late.
        let accepted = accepted.into_inner();
        assert_eq!(gateway.sample("tallygate_series"), Some(accepted as f64 * 3.0));
        assert_eq!(gateway.sample("tallygate_groups"), Some(7.0));
        assert_eq!(accepted, 33);
    }
}

#[test]
fn a_store_above_a_lowered_limit_loads_whole() {
    let directory = Directory::new();
    let file = format!("--persistence.file={}", directory.path_of("metrics.db"));
    let first = Gateway::start(&[&file]);
    for group in 0..3 {
        first.push(&format!("/metrics/job/{group}"), &series(0..10));
    }
    let before = first.pushed();
    let bytes = first.sample("tallygate_store_bytes").unwrap();
    first.signal("TERM");
    first.wait();
    let lowered = "[limits]\nseries = 12\ngroups = 1\nseries_per_group = 4\nstore_bytes = 100\n";
    let gateway = Gateway::start_with_config(lowered, &[&file]);
    assert_eq!(gateway.pushed(), before);
    assert_eq!(gateway.sample("tallygate_store_bytes"), Some(bytes), "what was read back counts alike");
    gateway.push("/metrics/job/1", &series(0..10));
    assert_limited(&gateway.post("/metrics/job/1", &series(10..11)), 429, "limits.series");
    assert_limited(&gateway.post("/metrics/job/9", ""), 429, "limits.groups");
    // It may become smaller.
    assert_eq!(gateway.put("/metrics/job/1", &series(20..25)).status, 200);
    assert_eq!(gateway.delete("/metrics/job/0").status, 202);
    assert_eq!(gateway.sample("tallygate_series"), Some(15.0));
    assert_limited(&gateway.post("/metrics/job/2", &series(10..11)), 429, "limits.series");
}

#[test]
fn what_is_kept_has_a_size() {
    let gateway = limited("store_bytes = 200_000");
    let long = "x".repeat(1000);
    let body = |n: usize| format!("m{{n=\"{n}\",l=\"{long}\"}} 1\n");
    let accepted = (0..400).filter(|n| gateway.post("/metrics/job/a", &body(*n)).status == 200).count();
    assert!((100..200).contains(&accepted), "{accepted}");
    let answer = gateway.post("/metrics/job/a", &body(1000));
    assert_limited(&answer, 429, "200000 bytes are the most that is kept (limits.store_bytes)");
    gateway.push("/metrics/job/a", &body(0));
    assert!(gateway.sample("tallygate_store_bytes").unwrap() <= 200_000.0);
    let filled = gateway.sample("tallygate_store_bytes").unwrap();
    gateway.delete("/metrics/job/a");
    assert_eq!(gateway.sample("tallygate_store_bytes"), Some(0.0), "of {filled}");

    // A histogram with new buckets each time grows without new series.
    let histogram = |n: usize| {
        let bounds = (0..200).map(|b| format!("h_bucket{{le=\"{}\"}} 1\n", b * 1000 + n));
        format!("# TYPE h histogram\n{}h_bucket{{le=\"+Inf\"}} 1\nh_sum 1\n", bounds.collect::<String>())
    };
    gateway.push("/metrics/job/h", &histogram(0));
    let statuses: Vec<u16> = (1..100).map(|n| gateway.post("/metrics/job/h", &histogram(n)).status).collect();
    assert_eq!(statuses.last(), Some(&429));
    assert!(statuses.is_sorted(), "{statuses:?}");
    let last = statuses.iter().rposition(|status| *status == 200).unwrap() + 1;
    gateway.push("/metrics/job/h", &histogram(last));
    assert_eq!(
        hits(&gateway, "store_bytes") as usize,
        400 - accepted + 1 + statuses.iter().filter(|s| **s == 429).count()
    );
    assert_valid_exposition(&gateway.scrape());
}

#[test]
fn a_push_holds_so_many_samples_and_labels() {
    let gateway = limited("samples_per_push = 5\nlabel_pairs_per_push = 12");
    gateway.push("/metrics/job/a", &series(0..5));
    let answer = gateway.post("/metrics/job/b", &series(0..6));
    let words = "more than 5 samples in one push (limits.samples_per_push) (line 6, column 1)";
    assert_limited(&answer, 413, words);
    let labels = |count: usize| {
        let pairs: Vec<String> = (0..count).map(|n| format!("l{n}=\"v\"")).collect();
        format!("m{{{}}} 1\n", pairs.join(","))
    };
    gateway.push("/metrics/job/a", &labels(12));
    let answer = gateway.post("/metrics/job/b", &labels(13));
    assert_limited(
        &answer,
        413,
        "more than 12 labels in one push (limits.label_pairs_per_push) (line 1, column 89)",
    );
    let openmetrics = [("Content-Type", "application/openmetrics-text")];
    let body = format!("# TYPE s counter\n{}# EOF\n", series(0..6));
    let answer = gateway.request("POST", "/metrics/job/b", &openmetrics, body.as_bytes());
    assert_limited(&answer, 413, "(limits.samples_per_push) (line 7, column 1)");
    // No failure is noted for a body that was not parsed.
    assert!(!gateway.scrape().contains("job=\"b\""));
    assert_eq!((hits(&gateway, "samples_per_push"), hits(&gateway, "label_pairs_per_push")), (2.0, 1.0));
}

#[test]
fn names_and_values_have_a_length() {
    let gateway = limited("name_length = 8\nlabel_value_length = 10");
    gateway.push("/metrics/job/a/g/0123456789", "m2345678{l2345678=\"\\\"123456789\"} 1\n");
    for (path, body, words) in [
        ("/metrics/job/a", "ok 1\nm23456789 1\n", "(limits.name_length): m23456789 (line 2, column 1)"),
        ("/metrics/job/a", "ok 1\nm{l23456789=\"1\"} 1\n", "a label name has 9 bytes, but 8 are the most"),
        (
            "/metrics/job/a",
            "m{l=\"01234567890\"} 1\n",
            "the value of label l has 11 bytes, but 10 are the most (limits.label_value_length) (line 1, column 1)",
        ),
        (
            "/metrics/job/a/l23456789/b",
            "m 1\n",
            "the name of a grouping label has 9 bytes, but 8 are the most",
        ),
        (
            "/metrics/job/01234567890",
            "m 1\n",
            "the value of a grouping label has 11 bytes, but 10 are the most",
        ),
    ] {
        assert_limited(&gateway.post(path, body), 400, words);
    }
    assert_eq!((hits(&gateway, "name_length"), hits(&gateway, "label_value_length")), (3.0, 2.0));
    // Existing groups can be deleted.
    assert_eq!(gateway.delete("/metrics/job/01234567890").status, 202);
}

#[test]
fn a_group_has_so_many_labels() {
    let labels = |count: usize| (1..count).map(|number| format!("/l{number}/v")).collect::<String>();
    let gateway = Gateway::start(&[]);
    gateway.push(&format!("/metrics/job/a{}", labels(64)), "m 1\n");
    let words = "the group has 65 labels, but 64 are the most (limits.grouping_labels)";
    for push in [Gateway::post, Gateway::put] {
        assert_limited(&push(&gateway, &format!("/metrics/job/a{}", labels(65)), "m 1\n"), 400, words);
    }
    // A repeated label counts once. A label with an empty value counts, although it is treated as absent.
    gateway.push(&format!("/metrics/job/a{}/l1/w", labels(64)), "m 1\n");
    assert_limited(&gateway.post(&format!("/metrics/job/a{}/empty/", labels(64)), "m 1\n"), 400, words);
    assert_eq!(hits(&gateway, "grouping_labels"), 3.0);
    assert_eq!(gateway.delete(&format!("/metrics/job/a{}", labels(65))).status, 202);
    let gateway = limited("grouping_labels = 1");
    gateway.push("/metrics/job/a", "m 1\n");
    assert_limited(&gateway.post("/metrics/job/a/b/c", "m 1\n"), 400, "2 labels, but 1 are the most");
}

#[test]
fn a_file_with_more_labels_of_groups_is_loaded_whole() {
    let folder = Directory::new();
    let file = format!("--persistence.file={}", folder.path_of("store"));
    let path = "/metrics/job/a/l1/v/l2/v";
    Gateway::start(&[&file]).push(path, "m 1\n");
    let gateway = Gateway::start_with_config("[limits]\ngrouping_labels = 2\n", &[&file]);
    assert_eq!(gateway.sample("m{instance=\"\",job=\"a\",l1=\"v\",l2=\"v\"}"), Some(1.0));
    assert_limited(&gateway.post(path, "m 1\n"), 400, "(limits.grouping_labels)");
    assert_eq!(gateway.delete(path).status, 202);
    assert_eq!(gateway.sample("tallygate_series"), Some(0.0));
}

#[test]
fn a_limit_is_said_where_other_refusals_are_not() {
    let gateway = Gateway::start_with_config("[limits]\nseries = 1\n", &["--push.disable-consistency-check"]);
    assert_eq!(gateway.post("/metrics/job/a", "m 1\n").status, 202);
    assert_limited(&gateway.post("/metrics/job/a", "n 1\n"), 429, "limits.series");
}

#[test]
fn zero_is_no_limit() {
    let all = [
        "connections",
        "requests_in_flight",
        "scrapes_in_flight",
        "body_bytes_in_flight",
        "samples_per_push",
        "label_pairs_per_push",
        "name_length",
        "label_value_length",
        "grouping_labels",
        "series",
        "series_per_group",
        "groups",
        "store_bytes",
    ];
    let times = ["head_timeout", "body_timeout", "send_timeout", "idle_timeout"];
    let counts = all.iter().map(|name| format!("{name} = 0\n"));
    let settings: String = counts.chain(times.iter().map(|name| format!("{name} = \"0s\"\n"))).collect();
    let gateway = limited(&settings);
    gateway.push("/metrics/job/a", &series(0..5000));
    assert_eq!(gateway.sample("tallygate_series"), Some(5000.0));
    assert_valid_exposition(&gateway.scrape());
}

const STORE_FULL: &str = "(limits.store_bytes)";

/// Fills the store to its last byte.
#[track_caller]
fn fill(gateway: &Gateway, most: usize) {
    let push = |help: usize| {
        gateway.push("/metrics/job/filler", &format!("# HELP filler {}\nfiller 1\n", "x".repeat(help)));
    };
    push(1);
    push(1 + most - store_bytes(gateway) as usize);
    assert_eq!(store_bytes(gateway), most as f64);
}

fn store_bytes(gateway: &Gateway) -> f64 {
    gateway.sample("tallygate_store_bytes").unwrap()
}

#[test]
fn families_count_by_themselves() {
    let gateway = limited("store_bytes = 2_000_000");
    let families = |count: usize| (0..count).map(|n| format!("family{n} 1\n")).collect::<String>();
    assert_limited(&gateway.put("/metrics/job/a", &families(9000)), 429, STORE_FULL);
    assert_eq!(gateway.put("/metrics/job/a", &families(2000)).status, 200);
    assert!(store_bytes(&gateway) <= 2_000_000.0, "{}", store_bytes(&gateway));
    // Neither beside the existing metrics nor instead of them.
    assert_limited(&gateway.post("/metrics/job/a", &families(9000)), 429, STORE_FULL);
    assert_limited(&gateway.put("/metrics/job/a", &families(9000)), 429, STORE_FULL);
    assert_limited(&gateway.post("/metrics/job/b", &families(2000)), 429, STORE_FULL);
    assert_eq!(gateway.put("/metrics/job/a", &families(2000)).status, 200);
    assert!(store_bytes(&gateway) <= 2_000_000.0, "{}", store_bytes(&gateway));
}

#[test]
fn native_buckets_have_no_room_in_a_full_store() {
    let gateway = limited("store_bytes = 60_000");
    let native = |schema: i64, indexes: std::ops::Range<i64>| {
        let positive = indexes.map(|index| (index, 1.0)).collect();
        let native = Native { schema, zero_threshold: 0.001, positive, ..Native::default() };
        Histogram::native(1.0, native).body(HISTOGRAM)
    };
    let send =
        |body: Vec<u8>| gateway.request("POST", "/metrics/job/n", &[("Content-Type", CONTENT_TYPE)], &body);
    assert_eq!(send(native(3, 0..20)).status, 200);
    fill(&gateway, 60_000);
    let filled = store_bytes(&gateway);
    assert_limited(&send(native(3, 0..150)), 429, STORE_FULL);
    assert_limited(&send(native(3, -30..20)), 429, STORE_FULL);
    assert_eq!(store_bytes(&gateway), filled);
    // The same buckets, some of them, and finer ones that fall into the same.
    for body in [native(3, 0..20), native(3, 5..7), native(4, 10..30)] {
        let answer = send(body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(store_bytes(&gateway), filled);
    // Coarser buckets make it smaller.
    assert_eq!(send(native(0, 0..2)).status, 200);
    assert!(store_bytes(&gateway) < filled);
    assert_eq!(gateway.sample("h_count{instance=\"\",job=\"n\"}"), Some(64.0));
}

#[test]
fn exemplars_have_no_room_in_a_full_store_but_where_some_are() {
    let gateway = limited("store_bytes = 60_000");
    let histogram = |with: &[usize]| {
        let bucket = |n: usize| {
            let exemplar = if with.contains(&n) { format!(" # {{id=\"a\"}} {n}.0") } else { String::new() };
            format!("h_bucket{{le=\"{n}.0\"}} 1{exemplar}\n")
        };
        let buckets: String = (0..10).map(bucket).collect();
        format!("# TYPE h histogram\n{buckets}h_bucket{{le=\"+Inf\"}} 1\nh_count 1\nh_sum 1\n# EOF\n")
    };
    let send = |with: &[usize]| {
        let openmetrics = [("Content-Type", "application/openmetrics-text")];
        gateway.request("POST", "/metrics/job/e", &openmetrics, histogram(with).as_bytes())
    };
    assert_eq!(send(&[3, 7]).status, 200);
    fill(&gateway, 60_000);
    let filled = store_bytes(&gateway);
    for with in [&[4][..], &[3, 4], &[3, 4, 7]] {
        assert_limited(&send(with), 429, STORE_FULL);
    }
    for with in [&[3, 7][..], &[7], &[]] {
        let answer = send(with);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(store_bytes(&gateway), filled);
}

#[test]
fn what_a_put_replaces_makes_room_for_it() {
    for flags in [&[][..], &["--no-push.aggregate"]] {
        let gateway = Gateway::start_with_config("[limits]\nstore_bytes = 60_000\n", flags);
        let histogram = |bounds: std::ops::Range<usize>| {
            let buckets = bounds.map(|b| format!("h_bucket{{le=\"{b}\"}} 1\n")).collect::<String>();
            format!("# TYPE h histogram\n{buckets}h_bucket{{le=\"+Inf\"}} 1\nh_count 1\nh_sum 1\n")
        };
        let summary = |quantiles: std::ops::Range<usize>| {
            let quantiles = quantiles.map(|q| format!("s{{quantile=\"0.{q}\"}} 1\n")).collect::<String>();
            format!("# TYPE s summary\n{quantiles}s_count 1\ns_sum 1\n")
        };
        assert_eq!(gateway.put("/metrics/job/h", &histogram(0..200)).status, 200);
        assert_eq!(gateway.put("/metrics/job/s", &summary(10..90)).status, 200);
        fill(&gateway, 60_000);
        assert_limited(&gateway.put("/metrics/job/h", &histogram(0..210)), 429, STORE_FULL);
        assert_limited(&gateway.put("/metrics/job/s", &summary(10..99)), 429, STORE_FULL);
        for (path, body) in [
            ("/metrics/job/h", histogram(1000..1200)),
            ("/metrics/job/h", histogram(50..150)),
            ("/metrics/job/s", summary(10..80)),
        ] {
            let answer = gateway.put(path, &body);
            assert_eq!(answer.status, 200, "{flags:?}: {}", answer.text());
        }
        assert!(store_bytes(&gateway) < 57_000.0, "{}", store_bytes(&gateway));
    }
}
