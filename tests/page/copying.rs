//! What the page gives to copy does what it says when it is pasted.

use std::path::Path;

use serde_json::{Value, json};

use super::browser::{Browser, DESKTOP};
use super::{BACKUP, BACKUP_PATH, family, push_jobs, toggle};
use crate::programs;
use crate::support::{Gateway, binary};

/// Lets the page write to the clipboard, and the test read it.
pub(super) fn allow_clipboard(browser: &Browser) {
    let permissions = json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]});
    browser.devtools("Browser.grantPermissions", &permissions);
}

/// Clicks a button and returns what it has copied.
#[track_caller]
pub(super) fn copied(browser: &Browser, button: &str) -> String {
    copied_by(browser, || browser.click(button))
}

/// What is copied by what the user does.
#[track_caller]
pub(super) fn copied_by(browser: &Browser, act: impl FnOnce()) -> String {
    browser.run("document.querySelector('#said').textContent = ''");
    act();
    browser.wait_for("document.querySelector('#said').textContent.startsWith('Copied: ')");
    browser.run("return navigator.clipboard.readText()").as_str().unwrap().to_owned()
}

/// A button of the first group by its place.
pub(super) fn button(number: usize) -> String {
    format!(".group-body > .copies button:nth-of-type({number})")
}

#[track_caller]
fn run(command: &str) {
    let folder = binary().parent().map(Path::to_owned).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    programs::output_of(programs::command("bash").args(["-c", command]).env("PATH", path));
}

#[track_caller]
fn matched(gateway: &Gateway, selector: &str) -> Value {
    let form = format!("dry_run=true&match[]={}", encoded(selector));
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = gateway.request("PUT", "/api/v1/admin/delete", &headers, form.as_bytes());
    assert_eq!(answer.status, 200, "{selector}: {}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    answer["data"]["series"].clone()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn commands_and_selectors_that_are_copied_work() {
    if programs::curl().is_none() {
        return;
    }
    let gateway = Gateway::start(&["--web.enable-admin-api"]);
    gateway.push(BACKUP_PATH, BACKUP);
    push_jobs(&gateway, &["other"]);
    let odd = "/metrics/job/it%27s%20%22odd%22/path@base64/L2EvYg";
    gateway.push(odd, "load{x=\"a\\\"b\\\\c\"} 1\nload{x=\"c\"} 1\n");
    let Some(browser) = Browser::start(DESKTOP) else { return };
    allow_clipboard(&browser);

    browser.open(&gateway.url("/#q=nightly"));
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 4);
    assert_eq!(copied(&browser, &button(1)), r#"{job="nightly_backup", instance="db1"}"#);
    assert_eq!(matched(&gateway, &copied(&browser, &button(1))), 5);
    for name in ["backup_files_total", "backup_duration_seconds", "backup_lag_seconds"] {
        browser.click(&toggle(&family(name)));
    }
    browser.wait_for_count(".values", 2);
    browser.wait_for_count(".card", 1);
    let query = copied(&browser, &format!("{} td .copy", family("backup_files_total")));
    let inner = r#"backup_files_total{job="nightly_backup", instance="db1", volume="home"}"#;
    assert_eq!(query, format!("rate({inner}[5m])"));
    assert_eq!(matched(&gateway, inner), 1);
    let query = copied(&browser, &format!("{} .card .copy", family("backup_duration_seconds")));
    assert_eq!(query, r#"rate(backup_duration_seconds_bucket{job="nightly_backup", instance="db1"}[5m])"#);
    let query = copied(&browser, &format!("{} .copies button", family("backup_lag_seconds")));
    assert_eq!(matched(&gateway, &query), 1, "{query}");
    let link = copied(&browser, &button(5));

    // Labels that mean something to a shell, and to PromQL.
    browser.go("about:blank");
    browser.open(&gateway.url("/#q=odd"));
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 1);
    browser.click(&toggle(".family"));
    browser.wait_for_count(".values tbody tr", 2);
    let query = copied(&browser, ".values td .copy");
    assert_eq!(matched(&gateway, &query), 1, "{query}");
    for (number, series) in [(2, 3), (3, 3)] {
        let command = copied(&browser, &button(number));
        run(&command);
        assert_eq!(matched(&gateway, r#"{path="/a/b"}"#), series, "{command}");
    }
    run(&copied(&browser, &button(4)));
    assert_eq!(matched(&gateway, r#"{path="/a/b"}"#), 0);
    assert_eq!(gateway.api()["data"].as_array().unwrap().len(), 2);

    browser.go("about:blank");
    browser.open(&link);
    browser.wait_for_count(".group.open", 1);
    browser.finish();
}
