//! Why pushes are refused: at their groups, and in a list if they can't be read.

use serde_json::{Value, json};

use super::browser::{Browser, DESKTOP, PHONE};
use super::{group, push_jobs, toggle};
use crate::support::Gateway;

#[track_caller]
fn data(gateway: &Gateway, path: &str) -> Value {
    let response = gateway.get(path);
    assert_eq!(response.status, 200, "GET {path} answered {:?}", response.text());
    let mut answer: Value = serde_json::from_slice(&response.body).expect("JSON");
    answer["data"].take()
}

/// The only group that matches.
#[track_caller]
fn only(gateway: &Gateway, query: &str) -> Value {
    let mut page = data(gateway, &format!("/api/v1/groups?q={query}"));
    assert_eq!(page["matching"], 1, "{page}");
    page["groups"][0].take()
}

const NEGATIVE: &str = "# TYPE runs_total counter\nruns_total -1\n";

#[test]
fn a_group_tells_why_its_last_push_was_refused() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["good", "bad", "unread"]);
    let said = gateway.refused("/metrics/job/bad", NEGATIVE);
    let refusal = &only(&gateway, "job%3Dbad")["last_refusal"];
    assert!(said.trim_end().ends_with(refusal["reason"].as_str().unwrap()), "{said} {refusal}");
    assert!(refusal["reason"].as_str().unwrap().contains("a counter only adds"), "{refusal}");
    assert_eq!(refusal["method"], "POST");
    assert!(refusal["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{refusal}");

    // One that can't be read is no push of the group, but whoever looks wants to know.
    gateway.refused("/metrics/job/unread", "runs_total x\n");
    let unread = only(&gateway, "job%3Dunread");
    assert_eq!([&unread["last_push_successful"], &unread["failed"]], [true, true]);
    assert!(unread["last_refusal"]["reason"].as_str().unwrap().contains("line 1"), "{unread}");

    let good = only(&gateway, "job%3Dgood");
    assert_eq!((&good["failed"], &good["last_refusal"]), (&json!(false), &Value::Null));
    assert_eq!(data(&gateway, "/api/v1/groups?q=is:failed")["matching"], 2);
    // What was put right is told all the same, but is no failure any more.
    push_jobs(&gateway, &["bad", "unread"]);
    for job in ["bad", "unread"] {
        let group = only(&gateway, &format!("job%3D{job}"));
        assert_eq!(group["failed"], false);
        assert!(group["last_refusal"].is_object());
    }
    assert_eq!(data(&gateway, "/api/v1/groups?q=is:failed")["matching"], 0);
}

#[test]
fn the_reason_is_at_the_group_that_rules_make_of_it() {
    let rules =
        "[[groups]]\nmatch = '{job=\"w\"}'\nrelabel = [{ action = \"labeldrop\", regex = \"pod\" }]\n";
    let gateway = Gateway::start_with_config(rules, &[]);
    gateway.refused("/metrics/job/w/pod/1", NEGATIVE);
    let group = only(&gateway, "");
    assert_eq!(group["labels"], json!([["job", "w"]]));
    assert!(group["last_refusal"]["reason"].as_str().unwrap().contains("runs_total"), "{group}");
}

#[test]
fn what_could_not_be_read_is_listed() {
    let gateway = Gateway::start(&[]);
    assert_eq!(data(&gateway, "/api/v1/refusals"), json!({"refusals": []}));
    push_jobs(&gateway, &["a"]);
    gateway.refused("/metrics/job/a", NEGATIVE);
    for _ in 0..3 {
        gateway.refused("/metrics/job/a", "m <script>alert(1)</script>\n");
    }
    assert_eq!(gateway.post("/metrics", "m 1\n").status, 405);
    assert_eq!(gateway.post("/metrics/job/a/b", "m 1\n").status, 400);
    let long = "x".repeat(100_000);
    gateway.refused("/metrics/job/long", &format!("# TYPE m {long}\n"));
    let answer = data(&gateway, "/api/v1/refusals");
    let refusals = answer["refusals"].as_array().unwrap();
    let shown: Vec<_> = refusals.iter().map(|one| (one["path"].as_str().unwrap(), &one["times"])).collect();
    let (one, three) = (&json!(1), &json!(3));
    assert_eq!(
        shown,
        [("/metrics/job/long", one), ("/metrics/job/a/b", one), ("/metrics", one), ("/metrics/job/a", three)]
    );
    assert!(refusals.iter().all(|one| one["reason"].as_str().unwrap().len() <= 1024), "{answer}");
    assert!(refusals.iter().all(|one| one["from"].as_str().unwrap().starts_with("127.0.0.1:")));
    // It stays short, however many there are.
    for number in 0..250 {
        gateway.refused(&format!("/metrics/job/n{number}"), "m\n");
    }
    let answer = data(&gateway, "/api/v1/refusals");
    let refusals = answer["refusals"].as_array().unwrap();
    assert_eq!((refusals.len(), &refusals[0]["path"]), (200, &json!("/metrics/job/n249")));
}

#[test]
fn the_page_tells_why_the_nightly_push_failed() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["hourly", "nightly"]);
    gateway.refused("/metrics/job/nightly", NEGATIVE);
    gateway.refused("/metrics/job/hourly", "m <b>bold</b>\n");
    assert_eq!(gateway.post("/metrics/job/x/%3Ci%3E", "m 1\n").status, 400);
    for screen in [DESKTOP, PHONE] {
        let Some(browser) = Browser::start(screen) else { return };
        browser.open(&gateway.url("/"));
        browser.click("#filter");
        browser.press("is:failed job=night");
        browser.wait_for_text("#totals", "1 of 2 groups");
        let nightly = group(r#"job="nightly""#);
        assert!(browser.text(&format!("{nightly} .row .reason")).contains("a counter only adds"));
        browser.picture("failed");
        browser.click(&toggle(&nightly));
        browser.wait_for_count(".family", 1);
        let refusal = browser.text(&format!("{nightly} .refusal"));
        assert!(refusal.starts_with("The last refused push was a POST from 127.0.0.1:"), "{refusal}");
        assert!(refusal.contains("(line 2, column 1)"), "{refusal}");
        let widths = browser.value("[document.documentElement.scrollWidth, innerWidth]");
        assert_eq!(widths[0], widths[1], "on a {}", screen.name);

        // The rest is in the status.
        browser.click("#to-status");
        browser.wait_for_count("#refusals li", 2);
        assert!(browser.text("#refusals li").contains("POST /metrics/job/x/%3Ci%3E"));
        assert!(browser.text("#refusals li:last-child").contains("<b>bold</b>"));
        assert_eq!(browser.count("#refusals b, #refusals i"), 0);
        browser.picture("refusals");
        browser.finish();
    }
}

#[test]
fn groups_are_sorted_by_job_first() {
    let gateway = Gateway::start(&[]);
    for path in ["b/instance/1", "a/zone/2", "a/instance/3", "c"] {
        gateway.push(&format!("/metrics/job/{path}"), "m 1\n");
    }
    let groups = data(&gateway, "/api/v1/groups");
    let labels: Vec<_> =
        groups["groups"].as_array().unwrap().iter().map(|group| group["labels"].to_string()).collect();
    let expected = [
        r#"[["job","a"],["instance","3"]]"#,
        r#"[["job","a"],["zone","2"]]"#,
        r#"[["job","b"],["instance","1"]]"#,
        r#"[["job","c"]]"#,
    ];
    assert_eq!(labels, expected);
    assert_eq!(data(&gateway, "/api/v1/groups?q=older:0s")["matching"], 4);
    assert_eq!(data(&gateway, "/api/v1/groups?q=is:stale")["matching"], 0);
}
