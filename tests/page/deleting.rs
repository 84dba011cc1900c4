//! Deleting a group, and all of them.

use super::browser::{Browser, DESKTOP, ESCAPE, PHONE};
use super::proxy::Proxy;
use super::{group, push_jobs, toggle};
use crate::support::Gateway;

fn remove(job: &str) -> String {
    format!("{} .remove", group(&format!("job=\"{job}\"")))
}

#[test]
fn a_group_is_deleted_once_that_is_confirmed() {
    for screen in [DESKTOP, PHONE] {
        let gateway = Gateway::start(&["--no-push.aggregate"]);
        push_jobs(&gateway, &["a", "b", "c"]);
        gateway.push("/metrics/job/b/empty@base64/=/slash@base64/eC95", "# TYPE m gauge\nm 1\n");
        let Some(browser) = Browser::start(screen) else { return };
        browser.open(&gateway.url("/"));
        assert_eq!(browser.count("#wipe"), 0, "there is no admin API");
        browser.click(&toggle(&group(r#"job="c""#)));
        browser.wait_for_count(".family", 1);

        browser.click(&remove("b"));
        assert_eq!(
            browser.text("#confirm-question"),
            r#"Do you really want to delete all metrics of group {job="b"}?"#
        );
        browser.picture("delete");
        browser.click("#confirm-cancel");
        browser.wait_for("!document.querySelector('#confirm').open");
        browser.click(&remove("b"));
        browser.press(&ESCAPE.to_string());
        browser.wait_for("!document.querySelector('#confirm').open");
        assert_eq!(gateway.api()["data"].as_array().unwrap().len(), 4);
        assert_eq!(browser.count(".group"), 4);

        browser.click(&remove("b"));
        browser.click("#confirm-delete");
        browser.wait_for_count(".group", 3);
        browser.wait_for_text("#totals", "3 groups");
        assert_eq!(browser.count(".family"), 1, "what was open stays open");
        assert!(!gateway.scrape().contains("job=\"b\"} 1"));

        let odd = group(r#"job="b", empty="", slash="x/y""#);
        browser.click(&format!("{odd} .remove"));
        browser.click("#confirm-delete");
        browser.wait_for_count(".group", 2);
        assert_eq!(gateway.api()["data"].as_array().unwrap().len(), 2);
        browser.finish();
    }
}

/// Has the answers wait for which `window.hold` says so, until `window.held` is told to go on.
const HOLD_ANSWERS: &str = "
    const ask = window.fetch;
    window.held = [];
    window.fetch = async (...request) => {
        const answer = await ask(...request);
        if (window.hold?.(...request)) await new Promise((goOn) => window.held.push(goOn));
        return answer;
    };";

#[test]
fn a_group_that_a_refresh_took_away_before_the_answer_is_counted_once() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a", "b", "c", "d"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.run(HOLD_ANSWERS);
    browser.run("window.hold = (_, { method }) => method === 'DELETE'");
    // A group that is open stays, as one that is gone, until the answer comes.
    for (job, is_open, next, left) in [("b", false, "c", 3), ("c", true, "d", 2)] {
        if is_open {
            browser.click(&toggle(&group(&format!("job=\"{job}\""))));
            browser.wait_for_count(".family", 1);
        }
        browser.click(&remove(job));
        browser.click("#confirm-delete");
        browser.wait_for("window.held.length === 1");
        browser.wait_for_text("#totals", &format!("{left} groups"));
        browser.run("window.held.pop()()");
        browser.wait_for_count("dialog[open]", 0);
        assert_eq!(
            browser.value("document.querySelector('#said').textContent"),
            format!("Deleted. {left} groups")
        );
        let focused =
            browser.value("document.activeElement.closest('.group').querySelector('.labels').innerText");
        assert_eq!(focused, format!("job=\"{next}\""));
        browser.wait_for_count(".group", left);
    }
    let messages = browser.messages();
    assert!(messages.iter().all(|message| message.contains("404")), "{messages:#?}");
    browser.finish();
}

/// The first of two lists is there, and the group that is open in it is still being brought up to date.
#[test]
fn a_list_that_is_not_the_last_one_ends_nothing() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a", "b"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click("#live");
    browser.click(&toggle(&group(r#"job="a""#)));
    browser.wait_for_count(".family", 1);
    gateway.push("/metrics/job/a", "another_total 1\n");
    browser.run(HOLD_ANSWERS);
    browser.run("window.hold = (url) => /groups\\/[^/?]+$/.test(url)");
    browser.click("[data-sort=pushed]");
    browser.wait_for("window.held.length === 1");
    browser.run("window.hold = (url) => /groups\\?/.test(url)");
    browser.press("/job=b");
    browser.wait_for("window.held.length === 2");
    browser.run("window.held.shift()()");
    browser.wait_for_count(".family", 2);
    assert_eq!(browser.value("document.querySelector('#groups').ariaBusy"), "true");
    browser.run("window.held.shift()()");
    browser.wait_for("document.querySelector('#groups').ariaBusy === 'false'");
    assert_eq!(browser.text("#totals"), "1 of 2 groups, 1 of 3 series");
    browser.finish();
}

#[test]
fn a_deletion_that_fails_says_so_and_can_be_repeated() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a", "b"]);
    let proxy = Proxy::start(gateway.addresses()[0], "");
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&proxy.url("/"));
    browser.click(&remove("a"));
    proxy.cut(true);
    browser.click("#confirm-delete");
    browser.wait_for_text("#confirm-problem", "Nothing was deleted. The gateway does not answer.");
    proxy.cut(false);
    browser.click("#confirm-delete");
    browser.wait_for_count(".group", 1);
    browser.finish_with_failed_requests();
}

#[test]
fn all_groups_are_deleted_where_the_admin_api_is_enabled() {
    let gateway = Gateway::start(&["--web.enable-admin-api"]);
    push_jobs(&gateway, &["a", "b", "c"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click("#to-status");
    assert_eq!(browser.text("#wipe"), "Delete All 3 Groups");
    browser.click("#wipe");
    assert_eq!(
        browser.text("#confirm-question"),
        "Do you really want to delete all metrics from all metric groups?"
    );
    browser.click("#confirm-cancel");
    assert_eq!(browser.count(".group"), 3);
    browser.click("#wipe");
    browser.click("#confirm-delete");
    browser.wait_for_count(".group", 0);
    browser.wait_for_text("#state", "Nothing has been pushed yet");
    assert_eq!(browser.value("document.querySelector('#wipe').disabled"), true);
    assert_eq!(gateway.pushed(), "");
    browser.finish();
}

#[test]
fn the_groups_that_a_filter_shows_are_deleted_and_no_others() {
    for screen in [DESKTOP, PHONE] {
        let gateway = Gateway::start(&["--web.enable-admin-api"]);
        let jobs: Vec<String> = (0..120).map(|n| format!("old{n:03}")).collect();
        push_jobs(&gateway, &jobs.iter().map(String::as_str).collect::<Vec<_>>());
        push_jobs(&gateway, &["kept"]);
        // Its labels have all those of a group that goes, and more.
        gateway.push("/metrics/job/old000/zone/eu", "kept_too 1\n");
        let Some(browser) = Browser::start(screen) else { return };
        browser.open(&gateway.url("/"));
        let is_offered = "document.querySelector('#delete-shown').offsetParent !== null";
        assert_eq!(browser.value(is_offered), false, "there is no filter");
        browser.click("#filter");
        browser.press("job=nothing");
        browser.wait_for_text("#state", "None of 122 groups matches this filter.");
        assert_eq!(browser.value("document.querySelector('#delete-shown').disabled"), true);
        browser.run("document.querySelector('#filter').select()");
        browser.press("job=old family:runs");
        browser.wait_for_text("#delete-shown", "Delete these 120 groups");
        assert_eq!(browser.count("#groups-view #wipe"), 0, "it never stands beside a filter");

        browser.click("#delete-shown");
        browser.wait_for("document.querySelector('#confirm').open");
        assert_eq!(
            browser.text("#confirm-question"),
            "Do you really want to delete all metrics of 120 groups?"
        );
        assert_eq!(
            browser.text("#confirm-note"),
            "The filter job=old family:runs shows them. They have 120 series."
        );
        let items = browser.texts("#confirm-list li");
        assert_eq!((items.len(), &*items[0], &*items[100]), (101, r#"{job="old000"}"#, "and 20 more groups"));
        let widths = browser.value("[document.documentElement.scrollWidth, innerWidth]");
        assert_eq!(widths[0], widths[1]);
        browser.picture("delete-shown");
        browser.click("#confirm-cancel");
        browser.wait_for("!document.querySelector('#confirm').open");
        assert_eq!(gateway.api()["data"].as_array().unwrap().len(), 122);

        // What comes after the question was not meant.
        browser.click("#delete-shown");
        browser.wait_for("document.querySelector('#confirm').open");
        push_jobs(&gateway, &["older"]);
        browser.click("#confirm-delete");
        browser.wait_for_text("#totals", "1 of 3 groups");
        let left: Vec<_> = gateway.api()["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| group["labels"].to_string())
            .collect();
        assert_eq!(left, [r#"{"job":"kept"}"#, r#"{"job":"old000","zone":"eu"}"#, r#"{"job":"older"}"#]);
        browser.wait_for_text("#delete-shown", "Delete this group");
        browser.finish();
    }
}

#[test]
fn a_deletion_of_what_is_shown_that_fails_says_so_and_can_be_repeated() {
    let gateway = Gateway::start(&["--web.enable-admin-api"]);
    push_jobs(&gateway, &["a", "b", "bc"]);
    let proxy = Proxy::start(gateway.addresses()[0], "");
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&proxy.url("/#q=job%3Db"));
    browser.click("#delete-shown");
    browser.wait_for("document.querySelector('#confirm').open");
    proxy.cut(true);
    browser.click("#confirm-delete");
    browser.wait_for_text("#confirm-problem", "Nothing was deleted. The gateway does not answer.");
    proxy.cut(false);
    browser.click("#confirm-delete");
    browser.wait_for_text("#state", "None of 1 group matches this filter.");
    assert_eq!(gateway.api()["data"].as_array().unwrap().len(), 1);
    browser.finish_with_failed_requests();
}
