//! What is wrong is told above the groups, and leads to what it is about.

use std::path::Path;

use serde_json::{Value, json};

use super::browser::{Browser, DESKTOP, PHONE};
use super::push_jobs;
use crate::programs::{self, ask_until};
use crate::support::{Directory, Gateway, binary};

#[track_caller]
fn health(gateway: &Gateway) -> Value {
    let response = gateway.get("/api/v1/health");
    assert_eq!(response.status, 200, "{}", response.text());
    let mut answer: Value = serde_json::from_slice(&response.body).expect("JSON");
    answer["data"].take()
}

const NEGATIVE: &str = "# TYPE runs_total counter\nruns_total -1\n";

/// The text of what has the focus.
fn focused_text(browser: &Browser) -> String {
    let text = browser.value("document.activeElement.innerText");
    text.as_str().unwrap().replace(" \t", "\t").trim().to_owned()
}

#[test]
fn nothing_is_told_while_nothing_is_wrong() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a"]);
    let well = json!({
        "ok": true, "not_kept": null, "limits": [], "failed_groups": 0, "suspicious_groups": 0, "stale_groups": 0,
        "unread_pushes": 0, "rules_current": true, "web_config_current": true
    });
    assert_eq!(health(&gateway), well);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.wait_for("document.querySelector('#health').dataset.loaded");
    assert_eq!(browser.value("document.querySelector('#health').offsetParent"), Value::Null);
    assert_eq!(browser.value("document.querySelector('#stale').offsetParent"), Value::Null);
    browser.finish();
}

#[test]
fn failed_and_unread_pushes_are_told_and_lead_to_their_reasons() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a", "b", "c"]);
    for job in ["a", "b"] {
        gateway.refused(&format!("/metrics/job/{job}"), NEGATIVE);
    }
    gateway.refused("/metrics/job/new", "m\n");
    let told = health(&gateway);
    assert_eq!(
        [&told["ok"], &told["failed_groups"], &told["unread_pushes"]],
        [&json!(false), &json!(2), &json!(1)]
    );
    for screen in [DESKTOP, PHONE] {
        let Some(browser) = Browser::start(screen) else { return };
        browser.open(&gateway.url("/"));
        browser.wait_for_text("#health", "The last pushes of 2 groups were refused");
        browser.picture("health");
        let widths = browser.value("[document.documentElement.scrollWidth, innerWidth]");
        assert_eq!(widths[0], widths[1], "on a {}", screen.name);
        browser.click("#health button");
        browser.wait_for_text("#totals", "2 of 3 groups");
        assert_eq!(browser.value("document.querySelector('#filter').value"), "is:failed");
        browser.click("#health a");
        browser.wait_for_count("#refusals li", 1);
        browser.wait_for_text("#refusals", "/metrics/job/new");
        browser.back();
        browser.wait_for("document.querySelector('#filter').offsetParent");
        browser.finish();
    }
}

#[test]
fn a_limit_that_is_hit_is_named_with_how_full_it_is() {
    let gateway = Gateway::start_with_config("[limits]\nseries = 3\n", &[]);
    push_jobs(&gateway, &["a", "b", "c"]);
    assert_eq!(gateway.post("/metrics/job/d", "m 1\n").status, 429);
    assert_eq!(
        health(&gateway)["limits"],
        json!([{ "limit": "limits.series", "hits": 1, "used": 3, "most": 3 }])
    );
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.wait_for_text("#health", "The limit limits.series was hit once: 3 of 3 in use");
    browser.click("#health a");
    browser.wait_for("document.activeElement.dataset.place === 'limits.series'");
    assert_eq!(focused_text(&browser), "limits.series\t3\t3\t1, lately");
    // The name leads on to the setting.
    browser.click("[data-place='limits.series'] a");
    browser.wait_for("document.activeElement.dataset.place === 'setting limits.series'");
    let setting = focused_text(&browser);
    assert!(
        setting.starts_with("limits.series\t3\t") && setting.ends_with("tallygate.toml, line 2"),
        "{setting}"
    );
    browser.back();
    browser.wait_for("document.activeElement.dataset.place === 'limits.series'");
    browser.back();
    browser.wait_for("document.querySelector('#filter').offsetParent");
    browser.finish();
}

#[test]
fn rules_that_are_wrong_are_told() {
    let folder = Directory::new();
    let config = folder.write("tallygate.toml", "");
    let gateway = Gateway::start(&[&format!("--config.file={config}"), "--web.enable-lifecycle"]);
    folder.write("tallygate.toml", "[[groups]]\nmatch = '{'\n");
    assert_eq!(gateway.post("/-/reload", "").status, 500);
    assert_eq!(health(&gateway)["rules_current"], false);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.wait_for_text("#health", "The rules in the configuration file are wrong");
    browser.click("#health a");
    browser.wait_for("document.activeElement.dataset.place === 'rules'");
    browser.wait_for_text("#status-view .trouble", &format!("config file {config:?}, line 2"));
    browser.picture("rules");
    browser.back();
    browser.wait_for("document.querySelector('#filter').offsetParent");
    folder.write("tallygate.toml", "");
    assert_eq!(gateway.post("/-/reload", "").status, 200);
    assert_eq!(health(&gateway)["ok"], true);
    browser.wait_for("document.querySelector('#health').hidden");
    browser.finish();
}

#[test]
fn a_web_configuration_that_is_wrong_is_told() {
    let folder = Directory::new();
    let web = folder.write("web.yml", "");
    let gateway = Gateway::start(&[&format!("--web.config.file={web}"), "--web.enable-lifecycle"]);
    folder.write("web.yml", "tls_server_config: {\n");
    assert_eq!(gateway.post("/-/reload", "").status, 500);
    assert_eq!(health(&gateway)["web_config_current"], false);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.wait_for_text("#health", "The web configuration can't be used");
    browser.click("#health a");
    browser.wait_for("document.activeElement.dataset.place === 'web'");
    browser.wait_for(
        "[...document.querySelectorAll('#status-view .trouble')].some(e => e.innerText.includes('web.yml'))",
    );
    browser.finish();
}

#[test]
fn a_full_disk_is_told_in_the_words_of_readiness() {
    let folder = Directory::new();
    let file = format!("--persistence.file={}", folder.path_of("store"));
    // A file that reaches the limit of its process is to the gateway what a full disk is.
    let limit = "trap '' XFSZ; ulimit -S -f 4000; exec \"$0\" \"$@\"";
    let program = binary();
    let flags = ["-c", limit, program.to_str().unwrap(), "--web.listen-address=127.0.0.1:0", &file];
    let gateway = Gateway::start_program(Path::new("sh"), &flags, &[]);
    let series: String = (0..1000).map(|n| format!("m{{n=\"{n:0100}\"}} {n}\n")).collect();
    let is_kept = |n: &u32| gateway.post(&format!("/metrics/job/j{n}"), &series).status == 200;
    assert!((0..1000).any(|n| !is_kept(&n)), "the file has room for everything");
    // The gateway makes room by itself, but never in a file that is not its own.
    std::fs::rename(folder.write("other", "something else"), folder.path_of("store")).unwrap();
    gateway.post("/metrics/job/again", &series);
    let reason = ask_until("a reason", || {
        let ready = gateway.get("/-/ready").text();
        if ready.contains("another file has taken its place") { Ok(ready) } else { Err(ready) }
    });
    let told = health(&gateway);
    assert_eq!(told["not_kept"]["reason"], reason.trim());
    assert!(told["not_kept"]["since"].is_string());
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.wait_for_text("#health", "pushes can't be kept: persistence file");
    browser.click("#health a");
    browser.wait_for("document.activeElement.dataset.place === 'persistence'");
    let state = browser.text("#status-view div:has(> [data-place=persistence])");
    assert!(state.contains("pushes can't be kept: persistence file"), "{state}");
    browser.picture("disk");
    browser.back();
    browser.wait_for("document.querySelector('#filter').offsetParent");
    // A deletion that can't be kept is no push.
    browser.click("#filter");
    browser.press("job=j0");
    browser.wait_for_text("#totals", "1 of");
    browser.click(".group .remove");
    browser.click("#confirm-delete");
    browser.wait_for_text("#confirm-problem", "the deletion could not be kept");
    browser.finish_with_failed_requests();
}

#[test]
fn who_has_not_pushed_for_a_day_is_found() {
    let Some(library) = programs::faketime_library() else { return };
    let folder = Directory::new();
    let file = format!("--persistence.file={}", folder.path_of("store"));
    let flags = ["--web.listen-address=127.0.0.1:0", &file];
    let clock = [("LD_PRELOAD", &*library), ("FAKETIME", "-2d"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let gateway = Gateway::start_program(&binary(), &flags, &clock);
    for name in ["faketime_shm_", "sem.faketime_sem_"] {
        let _ = std::fs::remove_file(format!("/dev/shm/{name}{}", gateway.process_id()));
    }
    push_jobs(&gateway, &["old"]);
    gateway.signal("TERM");
    gateway.wait();
    let gateway = Gateway::start_program(&binary(), &flags, &[]);
    push_jobs(&gateway, &["new"]);
    let told = health(&gateway);
    assert_eq!([&told["stale_groups"], &told["ok"]], [&json!(1), &json!(true)]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.wait_for_text("#stale", "1 group without a push for a day");
    browser.click("#stale");
    browser.wait_for_text("#totals", "1 of 2 groups");
    browser.wait_for_text(".group .labels", "old");
    browser.finish();
}
