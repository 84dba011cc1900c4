//! What a refusal says: what clashes, where the other one is, and all of it at once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test reports")]

mod support;

use std::path::Path;

use support::{Gateway, assert_valid_exposition};

fn input(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports").join(name)).unwrap()
}

#[test]
fn a_conflict_of_types_names_the_group_that_has_the_other_type() {
    let (histogram, summary) = (input("type-conflict-1-histogram.txt"), input("type-conflict-2-summary.txt"));
    for flags in [&[][..], &["--no-push.aggregate"]] {
        let gateway = Gateway::start(flags);
        gateway.push("/metrics/job/a", &histogram);
        let message = gateway.refused("/metrics/job/b", &summary);
        assert!(message.contains("is not a HISTOGRAM"), "{message}");
        assert!(message.contains("; the other one is in group {job=\"a\"}\n"), "{message}");
        gateway.push("/metrics/job/c/x/1", &histogram);
        gateway.push("/metrics/job/d", &histogram);
        let message = gateway.refused("/metrics/job/b", &summary);
        assert!(message.contains("; the other one is in group {job=\"a\"} and 2 more\n"), "{message}");
        // It is named whichever is left.
        gateway.delete("/metrics/job/a");
        gateway.delete("/metrics/job/c/x/1");
        for _ in 0..2 {
            let message = gateway.refused("/metrics/job/b", &summary);
            assert!(message.contains("; the other one is in group {job=\"d\"}\n"), "{message}");
        }
        // Its own type may not change by what another group has.
        let message = gateway.post("/metrics/job/d", &summary).text();
        assert!(flags.len() == 1 || message.contains("in group {job=\"d\"}"), "{message}");
    }
}

#[test]
fn a_series_that_is_there_already_is_said_to_be_where_it_is() {
    for flags in [&[][..], &["--no-push.aggregate"]] {
        let gateway = Gateway::start(flags);
        gateway.push("/metrics/job/a", "x{b=\"1\"} 1\n");
        let message = gateway.refused("/metrics/job/a/b/1", "# HELP x Help.\nx 1\n");
        assert!(
            message.contains("was collected before with the same name and label values (line 2, column 1)")
        );
        assert!(message.contains("; the other one is in group {job=\"a\"}\n"), "{message}");
        let message = gateway.refused("/metrics/job/a", "y 1\ny 2\n");
        assert!(message.contains("; the other one is in the same push\n"), "{message}");
    }
}

#[test]
fn names_that_are_parts_of_others_are_said_to_be_where_they_are() {
    let gateway = Gateway::start(&["--push.enable-utf8-names"]);
    gateway.push(
        "/metrics/job/a",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n{\"n.m\"} 1\n",
    );
    gateway.push("/metrics/job/b", "g_count 1\n");
    for (body, words) in [
        (
            "h_count 1\n",
            "\"h_count\" collides with previously collected histogram named \"h\" (line 1, column 1); the other one is in group {job=\"a\"}\n",
        ),
        (
            "# TYPE g summary\ng_sum 1\ng_count 1\n",
            "named \"g_count\" (line 2, column 1); the other one is in group {job=\"b\"}\n",
        ),
        (
            "n_m 1\n",
            "the same as another once it is escaped: n_m (line 1, column 1); the other one is in group {job=\"a\"}\n",
        ),
        ("{\"o.p\"} 1\no_p 1\n", "the other one is in the same push\n"),
        ("{\"push.time.seconds\"} 1\n", "the other one is the gateway's own\n"),
        (
            "# TYPE process_open_fds counter\nprocess_open_fds 1\n",
            "should have GAUGE (line 2, column 1); the other one is the gateway's own\n",
        ),
    ] {
        let message = gateway.refused("/metrics/job/c", body);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn all_clashes_of_a_push_are_named() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", "# TYPE m gauge\nm 1\n");
    let message = gateway.refused(
        "/metrics/job/b",
        "# TYPE process_open_fds counter\nprocess_open_fds 1\n# TYPE fine gauge\nfine 1\n\
         # TYPE process_cpu_seconds_total gauge\nprocess_cpu_seconds_total 4\n\
         # TYPE m counter\nm 1\ntallygate_groups 1\n",
    );
    for words in [
        "process_open_fds has type COUNTER but should have GAUGE (line 2, column 1)",
        "; also: gathered metric family process_cpu_seconds_total has type GAUGE but should have COUNTER;",
        "is not a GAUGE; the other one is in group {job=\"a\"}",
        "tallygate_groups is reserved",
    ] {
        assert!(message.contains(words), "no {words} in {message}");
    }
    assert!(!message.contains("fine"), "{message}");
    let body: String = (0..1000).map(|n| format!("# TYPE m{n} gauge\nm{n} 1\n")).collect();
    gateway.push("/metrics/job/a", &body);
    let message = gateway.refused("/metrics/job/b", &body.replace("gauge", "counter"));
    assert!(message.ends_with("; and more\n") && message.len() < 4096, "{message}");
}

#[test]
fn long_labels_are_cut() {
    let gateway = Gateway::start(&[]);
    let value = "v".repeat(60_000);
    let labels: String = (0..100).map(|n| format!("l{n}=\"{value}\",")).collect();
    let message = gateway.refused("/metrics/job/a", &format!("# TYPE c counter\nc{{a=\"1\",{labels}}} -1\n"));
    assert!(message.contains("label:{name:\"a\" value:\"1\"}") && message.len() < 1000, "{:.1500}", message);
}

#[test]
fn a_whole_page_without_types_goes_together_with_the_gateways_own() {
    let page = input("own-names-untyped.txt");
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/x", &page);
    let scrape = gateway.scrape();
    assert_valid_exposition(&scrape);
    for line in [
        "# TYPE process_cpu_seconds_total counter\n",
        "\nprocess_cpu_seconds_total{instance=\"\",job=\"x\"} 4\n",
        "# TYPE process_open_fds gauge\n",
        "\nprocess_open_fds{instance=\"\",job=\"x\"} 12\n",
        "\nprocess_open_fds ",
    ] {
        assert!(scrape.contains(line), "no {line:?} in {scrape}");
    }
    // The same with the types that it has, and not with others.
    gateway.push("/metrics/job/x", "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1\n");
    assert_eq!(gateway.sample("process_cpu_seconds_total{instance=\"\",job=\"x\"}"), Some(5.0));
    gateway
        .refused("/metrics/job/x", "# TYPE process_cpu_seconds_total gauge\nprocess_cpu_seconds_total 1\n");
    // As at the stock gateway, where nothing adds up untyped is a type.
    let gateway = Gateway::start(&["--no-push.aggregate"]);
    let message = gateway.refused("/metrics/job/x", &page);
    assert!(message.contains("process_open_fds has type UNTYPED but should have GAUGE"), "{message}");
    assert!(message.contains("process_max_fds has type UNTYPED but should have GAUGE"), "{message}");
}

#[test]
fn the_gateways_own_process_metrics_can_be_hidden() {
    let page = "# TYPE process_cpu_seconds_total gauge\nprocess_cpu_seconds_total 4\n";
    let config = "[telemetry]\nprocess_metrics = false\n";
    for flags in [&[][..], &["--no-push.aggregate"]] {
        let gateway = Gateway::start_with_config(config, flags);
        assert!(!gateway.scrape().contains("process_"), "{}", gateway.scrape());
        gateway.push("/metrics/job/x", page);
        let shown: Vec<String> =
            gateway.scrape().lines().filter(|line| line.starts_with("process_")).map(str::to_owned).collect();
        assert_eq!(shown, ["process_cpu_seconds_total{instance=\"\",job=\"x\"} 4"]);
        assert_valid_exposition(&gateway.scrape());
    }
}

#[test]
fn process_metrics_that_are_shown_again_give_way_to_what_was_pushed() {
    let folder = support::Directory::new();
    let file = format!("--persistence.file={}", folder.path_of("store"));
    let gateway = Gateway::start_with_config("[telemetry]\nprocess_metrics = false\n", &[&file]);
    let body = "# TYPE process_open_fds histogram\nprocess_open_fds_bucket{le=\"+Inf\"} 1\nprocess_open_fds_sum 1\nprocess_open_fds_count 1\n";
    gateway.push("/metrics/job/x", body);
    drop(gateway);
    let gateway = Gateway::start(&[&file]);
    let scrape = gateway.scrape();
    assert_valid_exposition(&scrape);
    assert!(
        scrape.contains("# TYPE process_open_fds histogram\n") && !scrape.contains("\nprocess_open_fds "),
        "{scrape}"
    );
    assert!(scrape.contains("\nprocess_max_fds "), "{scrape}");
}
